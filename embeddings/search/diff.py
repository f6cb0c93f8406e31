"""What is new to an index among documents, and what is gone: checked and counted while they pass."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Literal

from ...common.messages import option, require_known
from .documents import Document

Known = tuple[str, str]  # digest of the text, columns as JSON


def digest(text: str) -> str:
    """32 hexadecimal digits of a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def columns_as_json(document: Document) -> str:
    """The columns of a document, as they are stored."""
    return json.dumps(dict(document.columns), ensure_ascii=False, sort_keys=True, default=str)


class IndexDiff:
    """Yields the documents that an index does not hold, or holds with another text; iterate over it once.

    Args:
        documents: Documents, texts (named by their number), (name, text) pairs or (name, text, columns).
        known: Returns what the index holds under a name, or None.
        on_bad: What to do with what is no text: `raise`, or `skip` and count.
        mirror: Whether the index shall hold nothing but these.

    Attributes:
        skipped: How many were left out, by reason.
        unchanged: Documents that the index holds.
        replaced: Documents that it holds with another text or other columns.
    """

    def __init__(
        self,
        documents: Iterable[Any],
        known: Callable[[str], Known | None],
        on_bad: Literal["raise", "skip"] = "raise",
        *,
        mirror: bool = False,
    ) -> None:
        require_known("on_bad", on_bad, ("raise", "skip"))
        if isinstance(documents, str | bytes | dict):
            raise ValueError(
                f"documents must be a list or another iterable, got one {type(documents).__name__}; "
                "read files with read_documents(path)"
            )
        self._documents, self._known, self._on_bad, self._mirror = documents, known, on_bad, mirror
        self.skipped: dict[str, int] = {}
        self.unchanged = self.replaced = 0
        self._names: set[str] = set()
        self._blank: set[str] = set()
        self._broken: set[str] = set()

    def __iter__(self) -> Iterator[Document]:
        for number, entry in enumerate(self._documents):
            document = _document(entry, number)
            if not self._passes(document):
                continue
            self._names.add(document.name)
            known = self._known(document.name)
            if known == (digest(document.text), columns_as_json(document)):
                self.unchanged += 1
                continue
            if known is not None and not (document.named or self._mirror):
                raise ValueError(
                    f"text {document.name} has no name, and the index holds another document {document.name!r}; give "
                    "(name, text) pairs"
                )
            self.replaced += known is not None
            yield document

    def gone(self, names: Callable[[], Collection[str]]) -> list[str]:
        """What the index must not hold any more: what came and is blank now; when mirroring, what did not come, too."""
        blank = {name for name in self._blank - self._names if self._known(name)}
        if not self._mirror:
            return sorted(blank)
        held = set(names())
        if held and not self._names:
            raise ValueError(
                f"mirror would remove all {len(held)} documents, because no good one came; remove them by name"
            )
        return sorted(blank | (held - self._names - self._broken))

    def _passes(self, document: Document) -> bool:
        reason, remedy = _objection(document)
        if not reason and document.name in self._names:
            reason, remedy = "name twice", "give every document a name of its own"
        if reason and reason != "blank" and self._on_bad == "raise":
            raise ValueError(
                f"document {document.name!r}: {reason}; {remedy}, or skip such, {option('on_bad', 'skip')}"
            )
        if reason:
            self.skipped[reason] = self.skipped.get(reason, 0) + 1
            (self._blank if reason == "blank" else self._broken).add(document.name)
        return not reason


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
    """Whether a text holds half a surrogate pair, which no file can."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
