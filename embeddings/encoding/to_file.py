"""Embeds more text than fits into memory, into a .npy file that can be memory-mapped; a killed run goes on.

    texts -> windows (a number of texts, a number of characters) -> `encode` -> rows appended in the order of the texts

The cut into windows depends on the texts alone, and each window is encoded whole. So a run that was killed and goes on
writes the same bytes as one that was not, on the same machine with as many threads. It reads the texts from the start
again, checks by a digest that they are the same, and encodes only what is missing.

    .vectors.npy.partial    header and the rows so far
    .vectors.json.partial   how many of them count, and what they were made from: the state
    vectors.json, vectors.npy   the result; the .npy comes last, then the state goes

A window counts when the state says so, which is written only after the rows have reached the disk. What a kill left
beyond it is cut off when the file is opened again.

Trade-off: what a kill costs is the window it hit. Larger windows sort better by length and lose more.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ...common.changes import find_changes
from ...common.files import sync_to_disk, write_json
from ...common.locks import only_writer
from ...common.messages import flag, require_known
from .fingerprint import model_fingerprint
from .progress import StreamProgress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_log = logging.getLogger(__name__)
_WINDOW_CHARACTERS = 2_000_000  # some 500,000 tokens: minutes on a processor, seconds on a GPU


@dataclass(frozen=True, slots=True)
class FileEncoding:
    """What `encode_to_file` did.

    Attributes:
        path: The .npy file.
        rows: Texts, one row each.
        dimensions: Values of a row.
        tokens: Tokens that the network read; None if a pool of processes did, which does not tell.
        cut: Texts that were longer than the limit; None like `tokens`.
        blank: Texts of nothing but white space. They have a vector, that of `<bos> <eos>`.
        zeroed: Inputs that were no text, whose row is zero.
        resumed: Rows that were there when this call began.
        seconds: Time of this call.
    """

    path: Path
    rows: int
    dimensions: int
    tokens: int | None
    cut: int | None
    blank: int
    zeroed: int
    resumed: int
    seconds: float


def encode_to_file(
    embedder: "SentenceTransformer",
    texts: Iterable[str],
    output: str | os.PathLike[str],
    *,
    prompt_name: str | None = None,
    prompt: str | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    window: int = 8_192,
    on_bad_text: Literal["raise", "zero"] = "raise",
    restart: bool = False,
    show_progress: bool = False,
    pool: Any = None,
) -> FileEncoding:
    """Write the vectors of any number of texts; `np.load(output, mmap_mode="r")` reads them without loading them.

    Beside `vectors.npy` stands `vectors.json`: rows, the model's fingerprint, a digest of the texts, what was counted.
    Both appear when all is done. Called again after a kill with the same texts and options, it goes on where it was.

    Args:
        embedder: What `load_embedder` gave.
        texts: Any iterable, read once, a window at a time.
        output: File to write, ending in .npy; a file of this name is replaced.
        prompt_name: Name of the prompt to put before every text.
        prompt: The prompt itself.
        dtype: Of the file.
        window: Most texts that are held and sorted together.
        on_bad_text: What to do with what is no text, or holds half a surrogate pair: `raise`, or `zero`: write a row of
            zeros, which no search finds, and count it.
        restart: Begin anew instead of going on.
        show_progress: Whether to draw a bar.
        pool: Processes of `embedder.start_multi_process_pool` to share the work.

    Returns:
        What was done.

    Raises:
        ValueError: If an option is out of range, a text is none, a vector is not finite, another run writes the same
            file, or an unfinished run cannot be continued because the model, an option or the texts changed.
    """
    if isinstance(texts, str | bytes | dict):
        raise ValueError(f"texts must be an iterable of texts, got one {type(texts).__name__}; put it in a list")
    if window < 1:
        raise ValueError(f"window must be at least 1 text, got {window}")
    require_known("on_bad_text", on_bad_text, ("raise", "zero"))
    require_known("dtype", dtype, ("float32", "float16"))
    began = time.perf_counter()
    width = int(embedder.get_embedding_dimension() or 0)
    file = VectorFile(output, width, dtype)
    state = _fresh_state(embedder, width, dtype, window, prompt_name, prompt)
    with only_writer(file.output):
        earlier = None if restart else file.read_state()
        if earlier is not None:
            _refuse_other_conditions(file.output, earlier, state)
            state = earlier
            _log.info("%s: going on after %d rows", file.output, state["rows"])
            file.keep(state["rows"])
        else:
            file.begin()
        resumed = int(state["rows"])
        run = _Run(embedder, {"prompt_name": prompt_name, "prompt": prompt, "pool": pool}, on_bad_text, show_progress)
        for added in run.windows(texts, window, state, file.output):
            file.append(added, state)
        file.finish(state)
    seconds = time.perf_counter() - began
    counts = {key: state[key] for key in ("rows", "dimensions", "tokens", "cut", "blank", "zeroed")}
    return FileEncoding(path=file.output, resumed=resumed, seconds=seconds, **counts)


def _fresh_state(
    embedder: Any, width: int, dtype: str, window: int, prompt_name: str | None, prompt: str | None
) -> dict[str, Any]:
    """Return the state before the first row; what must not change comes under `conditions`."""
    conditions = {
        "model": model_fingerprint(embedder),
        "dimensions": width,
        "dtype": dtype,
        "normalize": bool(getattr(embedder, "normalize", False)),
        "max_seq_length": embedder.max_seq_length,
        "prompt": prompt if prompt is not None else embedder.prompts.get(prompt_name or embedder.default_prompt_name),
        "window": [window, _WINDOW_CHARACTERS],
    }
    counts = {"rows": 0, "tokens": 0, "cut": 0, "blank": 0, "zeroed": 0}
    return {"conditions": conditions, "dimensions": width, "texts": "", **counts}


def _refuse_other_conditions(output: Path, earlier: dict[str, Any], now: dict[str, Any]) -> None:
    if changed := find_changes(earlier["conditions"], now["conditions"]):
        raise ValueError(
            f"{output} was begun under other conditions: {changed[0]}; go on with the same, or begin anew with "
            f"{flag('restart')}"
        )


class _Run:
    """Encodes windows, or skips those that are there."""

    def __init__(self, embedder: Any, options: dict[str, Any], on_bad_text: str, shown: bool) -> None:
        self.embedder, self.options, self.on_bad_text, self.shown = embedder, options, on_bad_text, shown

    def windows(self, texts: Iterable[Any], size: int, state: dict[str, Any], output: Path) -> Iterator[Any]:
        """Yield the vectors of each window that is not there yet, after `state` was brought up to date."""
        there, known = int(state["rows"]), str(state["texts"])
        seen, digest = 0, ""
        with StreamProgress(texts, there, state["tokens"], shown=self.shown) as bar:
            for first, window in _cut(texts, size):
                kept, bad = self._checked(window, first)
                digest = _chain(digest, kept)
                seen = first + len(kept)
                if first < there:
                    if seen > there or (seen == there and digest != known):
                        raise ValueError(_other_texts(output, there))
                    continue
                state.update(rows=seen, texts=digest, zeroed=state["zeroed"] + len(bad))
                state["blank"] += sum(not text.strip() for text in kept) - len(bad)
                vectors = self._encode(kept, first, state)
                vectors[bad] = 0
                yield vectors
                bar.advance(len(kept), state["tokens"])
        if seen < there:
            raise ValueError(_other_texts(output, there))

    def _checked(self, window: list[Any], first: int) -> tuple[list[str], list[int]]:
        """Return the texts, with an empty one in place of a bad one, and where the bad ones are."""
        from .texts import check_text

        bad: list[int] = []
        for place, text in enumerate(window):
            try:
                check_text(text, f"text {first + place}")
            except ValueError:
                if self.on_bad_text == "raise":
                    raise
                bad.append(place)
        for place in bad:
            window[place] = ""
        return window, bad

    def _encode(self, texts: list[str], first: int, state: dict[str, Any]) -> Any:
        try:
            found = self.embedder.encode(texts, show_progress_bar=False, **self.options)
        except ValueError as error:
            if (row := getattr(error, "row", None)) is None:
                raise
            raise type(error)(first + row) from None
        record = getattr(self.embedder, "last_encoding", None)
        for key in ("tokens", "cut"):
            state[key] = None if record is None or state[key] is None else state[key] + getattr(record, key)
        vectors = np.asarray(found)
        if not (finite := np.isfinite(vectors).all(axis=1)).all():
            raise ValueError(f"the vector of text {first + int(np.argmin(finite))} is not finite; embed in float32")
        return vectors


def _cut(texts: Iterable[Any], size: int) -> Iterator[tuple[int, list[Any]]]:
    """Yield (number of its first text, texts) of windows that depend on nothing but the texts."""
    window: list[Any] = []
    first = characters = 0
    for text in texts:
        window.append(text)
        characters += len(text) if isinstance(text, str) else 0
        if len(window) >= size or characters >= _WINDOW_CHARACTERS:
            yield first, window
            first, window, characters = first + len(window), [], 0
    if window:
        yield first, window


def texts_digest(texts: Iterable[str], window: int = 8_192) -> str:
    """Return the fingerprint of texts in their order, as `vectors.json` holds it under `texts`.

    Args:
        texts: Any number.
        window: As for `encode_to_file`.

    Returns:
        64 hexadecimal digits.
    """
    digest = ""
    for _, part in _cut(texts, window):
        digest = _chain(digest, part)
    return digest


def _chain(digest: str, texts: list[str]) -> str:
    """Extend the digest of all texts before by those of a window."""
    found = hashlib.sha256(digest.encode())
    for text in texts:
        raw = text.encode("utf-8")
        found.update(len(raw).to_bytes(8, "little"))
        found.update(raw)
    return found.hexdigest()


def _other_texts(output: Path, rows: int) -> str:
    return (
        f"{output} was begun with other texts: the first {rows:,} differ from those given now; give the same ones, or "
        f"begin anew with {flag('restart')}"
    )


class VectorFile:
    """Rows of vectors on their way to a .npy file, with the state of the work."""

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
        if state is None or not _is_state(state):
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
        """Add (rows, width) vectors, then let them count; `rows` of the state is the number of all rows."""
        with self._partial.open("r+b") as file:
            file.seek(0, os.SEEK_END)
            file.write(np.ascontiguousarray(vectors, dtype=self._dtype).tobytes())
        sync_to_disk(self._partial)
        write_json(self._state, state, indent=1)

    def finish(self, state: dict[str, Any]) -> None:
        """Give the file and its description, the last state, their names."""
        with self._partial.open("r+b") as file:
            self._write_header(file, int(state["rows"]))
        sync_to_disk(self._partial)
        write_json(self._state, state, indent=1)
        write_json(self.side, state, indent=1)
        self._partial.replace(self.output)
        self._state.unlink(missing_ok=True)
        for name in (self.side.name, self._state.name):  # half a JSON file that a killed run left
            for left in self.output.parent.glob(f".{name}.*.partial"):
                left.unlink(missing_ok=True)
        sync_to_disk(self.output.parent)

    def _write_header(self, file: Any, rows: int) -> None:
        shape = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, {**shape, "shape": (rows, self._width)})

    def _end(self, rows: int) -> int:
        header = BytesIO()
        self._write_header(header, rows)
        return len(header.getvalue()) + rows * self._width * self._dtype.itemsize


def _is_state(state: dict[str, Any]) -> bool:
    kinds: dict[str, Any] = {"conditions": dict, "texts": str, "tokens": int | None, "cut": int | None}
    kinds |= dict.fromkeys(("rows", "dimensions", "blank", "zeroed"), int)
    numbers = [value for name in kinds if isinstance(value := state.get(name), int)]
    return all(isinstance(state.get(name, ""), kind) for name, kind in kinds.items()) and min(numbers, default=0) >= 0


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a JSON file holds, or None if it is missing or broken."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
