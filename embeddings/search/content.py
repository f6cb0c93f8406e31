"""What an index holds: its parts, and which of their documents count.

A part is never changed once it is written. A document that came again with another text counts in its last part only;
one that was removed is named in the part's entry of index.json, and counts nowhere. Either can be found no more.

Trade-off: the vectors of both stay on disk, and are compared with every question, until the index is made anew.
"""

import difflib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from .part import Part

_COMPARED = 10_000  # names that a misspelt one is compared with


class IndexContent:
    """The parts of an index, open.

    Args:
        folder: Of the index.
        dimensions: Of its vectors.
        entries: What index.json says of its parts.
    """

    def __init__(self, folder: Path, dimensions: int, entries: list[dict[str, Any]]) -> None:
        self._folder, self._dimensions = folder, dimensions
        self.parts: list[Part] = []
        for entry in entries:
            self.append(entry)

    def append(self, entry: dict[str, Any]) -> None:
        """Open a part; what it holds anew counts no more in those before.

        Args:
            entry: Of index.json.
        """
        part = Part(self._folder / entry["name"], self._dimensions)
        self.hide(part.documents.keys())  # before what was removed, whose earlier texts must not come back
        for name in entry.get("removed", ()):
            part.hide(name)
        self.parts.append(part)

    def hide(self, names: Collection[str]) -> None:
        """Let documents count no more.

        Args:
            names: Of some of the documents, or of others.
        """
        for part in self.parts:
            for name in part.documents.keys() & names:
                part.hide(name)

    def entries_without(self, entries: list[dict[str, Any]], names: Collection[str]) -> list[dict[str, Any]]:
        """Return what index.json has to say so that documents count no more.

        Args:
            entries: What it says of the parts.
            names: Of the documents.

        Returns:
            The entries; those of the parts that hold the documents name them as removed.
        """
        found = []
        for part, entry in zip(self.parts, entries, strict=True):
            removed = sorted({*entry.get("removed", ()), *(part.documents.keys() & names)})
            found.append({**entry, "removed": removed} if removed else entry)
        return found

    def refuse_unknown(self, names: Collection[str]) -> None:
        """Refuse names of no document.

        Args:
            names: As somebody wrote them.

        Raises:
            ValueError: Naming the first, and one that is like it.
        """
        known = self.digests()
        if (unknown := next((name for name in names if name not in known), None)) is not None:
            near = difflib.get_close_matches(unknown, list(known)[:_COMPARED], n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(f"{self._folder} holds no document {unknown!r}{hint}; give names as hits show them")

    def digests(self) -> dict[str, str]:
        """Return the digest of every document's text, by name."""
        return {name: entry[0] for part in self.parts for name, entry in part.documents.items()}

    def __len__(self) -> int:
        """Return how many passages can be found."""
        return sum(rows for part in self.parts for _, _, rows in part.documents.values())
