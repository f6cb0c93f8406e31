"""What is new to an index among documents, and what is gone: checked and counted while they pass."""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ...common.messages import option, require_known
from .documents import Document

Known = tuple[str, str]  # digest of the text, columns as JSON
_TORN = re.compile("[\ud800-\udfff]")  # half a surrogate pair


@dataclass(slots=True)
class Added:
    """What a call added.

    Attributes:
        documents: Documents whose passages are new.
        passages: Their passages.
        unchanged: Documents that the index held already.
        replaced: Documents among the new ones that it held with another text or other columns.
        skipped: Documents that were left out, by reason.
        cut: Passages that were longer than the model reads; None if that is not known.
        resumed: Passages that an earlier call had embedded before it was killed.
        removed: Documents that the index held and does not any more: they are blank now, or `mirror` missed them.
    """

    documents: int = 0
    passages: int = 0
    unchanged: int = 0
    replaced: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    cut: int | None = None
    resumed: int = 0
    removed: int = 0


@dataclass
class IndexDiff:
    """Yields the documents that an index does not hold, or holds with another text; iterate over it once."""

    documents: Iterable[Any]  # Document, text, (name, text) or (name, text, columns)
    known: Callable[[str], Known | None]  # what the index holds under a name
    added: Added  # where unchanged, replaced and skipped ones are counted
    on_bad: Literal["raise", "skip"]
    mirror: bool  # whether the index shall hold nothing but these
    names: set[str] = field(default_factory=set)  # of the good ones that came
    bad: dict[str, str] = field(default_factory=dict)  # of the others, with the reason

    def __post_init__(self) -> None:
        require_known("on_bad", self.on_bad, ("raise", "skip"))
        if isinstance(self.documents, str | bytes | dict):
            raise ValueError(
                f"documents must be a list or another iterable, got one {type(self.documents).__name__}; "
                "read files with read_documents(path)"
            )

    def __iter__(self) -> Iterator[Document]:
        for number, entry in enumerate(self.documents):
            document = _document(entry, number)
            if not self._passes(document):
                continue
            self.names.add(document.name)
            known = self.known(document.name)
            if known == (digest(document.text), columns_as_json(document)):
                self.added.unchanged += 1
                continue
            if known is not None and not (document.named or self.mirror):
                raise ValueError(
                    f"text {document.name} has no name, and the index holds another document {document.name!r}; give "
                    "(name, text) pairs"
                )
            self.added.replaced += known is not None
            yield document

    def gone(self, held: Collection[str]) -> list[str]:
        """What the index must not hold any more: what came and is blank now; when mirroring, what did not come, too."""
        if not self.mirror:
            return sorted(name for name in held if self.bad.get(name) == "blank" and name not in self.names)
        if held and not self.names:
            raise ValueError(
                f"mirror would remove all {len(held)} documents, because no good one came; remove them by name"
            )
        return sorted(set(held) - self.names - {name for name, why in self.bad.items() if why != "blank"})

    def _passes(self, document: Document) -> bool:
        reason, remedy = _objection(document)
        if not reason and document.name in self.names:
            reason, remedy = "name twice", "give every document a name of its own"
        if reason and reason != "blank" and self.on_bad == "raise":
            raise ValueError(
                f"document {document.name!r}: {reason}; {remedy}, or skip such, {option('on_bad', 'skip')}"
            )
        if reason:
            self.added.skipped[reason] = self.added.skipped.get(reason, 0) + 1
            self.bad[document.name] = reason
        return not reason


def digest(text: str) -> str:
    """32 hexadecimal digits of a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def columns_as_json(document: Document) -> str:
    """The columns of a document, as they are stored."""
    return json.dumps(dict(document.columns), ensure_ascii=False, sort_keys=True, default=str)


def _document(entry: Any, number: int) -> Document:
    if isinstance(entry, Document):
        return entry
    if isinstance(entry, tuple) and len(entry) in (2, 3):
        return Document(str(entry[0]), entry[1], columns=dict(entry[2]) if len(entry) == 3 else {})
    return Document(str(number), entry, named=False)


def _objection(document: Document) -> tuple[str, str]:
    """What is wrong with a document, and the remedy; ("", "") if nothing is."""
    text: Any = document.text
    if _torn(document.name):
        return "half a surrogate pair in its name", "give it another name"
    if not isinstance(text, str):
        return "no text", f"it holds {type(text).__name__} {text!r:.40}: convert it first"
    if not text.strip():
        return "blank", ""
    if _torn(text) or _torn(columns_as_json(document)):
        return "half a surrogate pair", "repair it with text.encode('utf-8', 'replace').decode()"
    return "", ""


def _torn(text: str) -> bool:
    """Whether a text holds what no file can."""
    return _TORN.search(text) is not None
