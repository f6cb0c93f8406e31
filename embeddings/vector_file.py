"""A .npy file that grows by windows of rows, survives a kill at any moment, and appears when it is whole.

    .vectors.npy.partial    header and the rows so far
    .vectors.json.partial   how many of them count, and what they were made from: the state
    vectors.json, vectors.npy   the result; the .npy comes last, then the state goes

A window counts when the state says so, which is written only after the rows have reached the disk. What a kill left
beyond it is cut off when the file is opened again. NumPy's header has room for any number of rows, so it is rewritten
in place at the end.
"""

import json
import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..modeling.checkpoint_writer import sync_to_disk


class VectorFile:
    """Rows of vectors on their way to a .npy file, with the state of the work.

    Args:
        output: The file to make; its name ends in .npy.
        width: Values of a row.
        dtype: Of the values.

    Raises:
        ValueError: If the name ends otherwise, the folder cannot be made, or the description beside the file would
            replace a file of the user's.
    """

    def __init__(self, output: str | os.PathLike[str], width: int, dtype: str) -> None:
        self.output = Path(output)
        if self.output.suffix != ".npy":
            raise ValueError(f"output must end in .npy, got {self.output}")
        self.side = self.output.with_suffix(".json")
        self._partial = self.output.with_name(f".{self.output.name}.partial")
        self._state = self.side.with_name(f".{self.side.name}.partial")
        self._width, self._dtype = width, np.dtype(dtype)
        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"cannot write {self.output}: {error.strerror}; choose another output") from error
        if self.side.exists() and "conditions" not in (_read(self.side) or {}):
            raise ValueError(
                f"{self.side} is no description of vectors and would be replaced; move it, or choose another output"
            )

    def read_state(self) -> dict[str, Any] | None:
        """Return the state of a run that did not end, or None if there is none that can be continued."""
        state = _read(self._state)
        if state is None:
            return None
        if not self._partial.is_file() and self.output.is_file() and _read(self.side) == state:
            self.output.replace(self._partial)  # killed after the result had its name, before the state went
        there = self._partial.stat().st_size if self._partial.is_file() else 0
        return state if there >= self._end(int(state["rows"])) else None

    def begin(self) -> None:
        """Start with no rows; what an earlier run left is lost."""
        self._state.unlink(missing_ok=True)
        with self._partial.open("wb") as file:
            self._write_header(file, 0)

    def keep(self, rows: int) -> None:
        """Go on after so many rows; what lies beyond them is cut off."""
        with self._partial.open("r+b") as file:
            file.truncate(self._end(rows))

    def append(self, vectors: npt.NDArray[Any], state: dict[str, Any]) -> None:
        """Add rows, then let them count.

        Args:
            vectors: (rows, width).
            state: What to remember; `rows` is the number of all rows.
        """
        with self._partial.open("r+b") as file:
            file.seek(0, os.SEEK_END)
            file.write(np.ascontiguousarray(vectors, dtype=self._dtype).tobytes())
        sync_to_disk(self._partial)
        _write_whole(self._state, state)

    def finish(self, state: dict[str, Any]) -> None:
        """Give the file and its description their names.

        Args:
            state: The last state; it becomes the description.
        """
        with self._partial.open("r+b") as file:
            self._write_header(file, int(state["rows"]))
        sync_to_disk(self._partial)
        _write_whole(self._state, state)
        _write_whole(self.side, state)
        self._partial.replace(self.output)
        self._state.unlink(missing_ok=True)
        sync_to_disk(self.output.parent)

    def _write_header(self, file: Any, rows: int) -> None:
        shape = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, {**shape, "shape": (rows, self._width)})

    def _end(self, rows: int) -> int:
        header = BytesIO()
        self._write_header(header, rows)
        return len(header.getvalue()) + rows * self._width * self._dtype.itemsize


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a JSON file holds, or None if it is missing or broken."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _write_whole(path: Path, content: dict[str, Any]) -> None:
    """Replace a small file in one step."""
    partial = path.with_name(path.name + ".new")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sync_to_disk(partial)
    partial.replace(path)
