"""What is new to an index among documents, and what is gone: counted while they pass."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Literal

from .documents import Checked, Document
from .part import digest


class News:
    """Yields the documents that an index does not hold, or holds with another text; iterate over it once.

    Args:
        documents: What somebody gave.
        known: Digest of the text of every document that the index holds, by name.
        on_bad: See `Checked`.
        mirror: Whether the index shall hold nothing but these.

    Attributes:
        unchanged: Documents that the index holds.
        replaced: Documents that it holds with another text.
    """

    def __init__(
        self,
        documents: Iterable[Any],
        known: Mapping[str, str],
        on_bad: Literal["raise", "skip"] = "raise",
        *,
        mirror: bool = False,
    ) -> None:
        self._checked, self._known, self._mirror = Checked(documents, on_bad), known, mirror
        self.unchanged = self.replaced = 0

    @property
    def skipped(self) -> dict[str, int]:
        """How many were left out, by reason."""
        return self._checked.skipped

    def __iter__(self) -> Iterator[Document]:
        for document in self._checked:
            known = self._known.get(document.name)
            if known == digest(document.text):
                self.unchanged += 1
                continue
            if known is not None and not (document.named or self._mirror):
                raise ValueError(
                    f"text {document.name} has no name, and the index holds another document {document.name!r}; give "
                    "(name, text) pairs"
                )
            self.replaced += known is not None
            yield document

    def gone(self) -> Collection[str]:
        """Return the names of documents that the index holds and must not any more, after all have passed.

        Returns:
            Those that came and are blank now; when mirroring, those that did not come, too.

        Raises:
            ValueError: If nothing came to be mirrored.
        """
        came = self._checked
        blank = (came.blank - came.names) & self._known.keys()
        if not self._mirror:
            return blank
        if self._known and not came.names:
            raise ValueError(
                f"mirror would remove all {len(self._known)} documents, because no good one came; remove them by name"
            )
        return blank | (self._known.keys() - came.names - came.broken)
