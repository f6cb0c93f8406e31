"""Vectors of a teacher on disk: each text is asked for once, whatever run, order or set it comes in.

    texts.digests    16 bytes a text, BLAKE2b of its UTF-8
    vectors.f16      a row a text, float16, memory-mapped when read
    teacher.json     whose vectors these are, and how wide

A text is known by its digest, so texts may be added, dropped and reordered between runs. Both files only grow; a row
counts when its digest is there, which is written after the vectors have reached the disk. What a kill left beyond the
whole rows of both is cut off when the folder is opened again.

Trade-off: float16 keeps 11 bits of a value, an error of 0.05 %, at half the disk of float32. One process writes.
"""

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....common.changes import find_changes
from ....common.files import read_json, sync_to_disk, write_json, writing
from ....common.locks import only_writer
from ....common.progress import Progress
from ...encoding.texts import check_text

_log = logging.getLogger(__name__)
_DIGEST = 16  # bytes; two of 10**9 texts share one with a probability of 10**-21
PATIENCE = 20.0
"""Seconds of work that a kill may cost a slow teacher."""
_WINDOW = 1024  # texts between two writes at most: what a kill costs; slow teachers write every 20 seconds


class LabelStore:
    """A folder of vectors by text.

    Args:
        folder: Where they lie; made where it is absent.

    Raises:
        ValueError: If the folder holds something else.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._digests, self._vectors = self.folder / "texts.digests", self.folder / "vectors.f16"
        self._about = self.folder / "teacher.json"
        if self.folder.exists() and not self._about.is_file() and any(self.folder.iterdir()):
            raise ValueError(f"{self.folder} holds no teacher.json but other files; give another folder for the labels")
        self.about: dict[str, Any] = read_json(self._about) if self._about.is_file() else {}
        self._known = self._read_digests()

    def __len__(self) -> int:
        return len(self._known)

    @property
    def dimensions(self) -> int:
        """Values of a vector; 0 before the first."""
        return int(self.about.get("dimensions", 0))

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Return the texts without a vector, each once, in their order."""
        return [text for text in dict.fromkeys(texts) if digest(text) not in self._known]

    def rows(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the row of every text in `vectors`.

        Args:
            texts: What was labelled.

        Returns:
            (texts,) numbers.

        Raises:
            ValueError: If a text has no vector.
        """
        found = np.fromiter((self._known.get(digest(text), -1) for text in texts), np.int64, len(texts))
        if (found < 0).any():
            first = texts[int(np.argmax(found < 0))]
            raise ValueError(f"{self.folder} has no vector of {(found < 0).sum():,} texts, such as {first!r:.60}")
        return found

    def vectors(self) -> npt.NDArray[np.float16]:
        """Return all vectors, (rows, dimensions), mapped and not read."""
        if not self._known:
            return np.zeros((0, self.dimensions), np.float16)
        return np.memmap(self._vectors, np.float16, "r", shape=(len(self._known), self.dimensions))

    def add(self, texts: Sequence[str], vectors: npt.NDArray[Any]) -> None:
        """Append vectors of texts that have none yet; they count when this returns.

        Args:
            texts: The texts.
            vectors: (texts, dimensions).
        """
        with writing(self._vectors):
            for path, content in (
                (self._vectors, np.ascontiguousarray(vectors, np.float16).tobytes()),
                (self._digests, b"".join(map(digest, texts))),
            ):
                with path.open("ab") as file:
                    file.write(content)
                sync_to_disk(path)
        for text in texts:
            self._known.setdefault(digest(text), len(self._known))

    @contextmanager
    def written_by(self, teacher: dict[str, Any]) -> Iterator[None]:
        """Hold the folder while the block adds vectors of a teacher.

        Args:
            teacher: What tells it from others.

        Yields:
            None: The block adds.

        Raises:
            ValueError: If the folder holds vectors of another teacher, or another run writes it.
        """
        with only_writer(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.about and (changed := find_changes(self.about["teacher"], teacher, "teacher")):
                raise ValueError(
                    f"{self.folder} holds the vectors of another teacher: {changed[0]}; name that one, or another "
                    "folder for the labels"
                )
            self.about = self.about or {"teacher": teacher}
            write_json(self._about, self.about)
            self._cut()
            yield

    def accept_width(self, width: int) -> None:
        """Note the width of the first vectors; refuse others."""
        if not self.dimensions:
            self.about = {**self.about, "dimensions": width}
            write_json(self._about, self.about)
        elif width != self.dimensions:
            raise ValueError(
                f"the teacher gives vectors of {width} dimensions, {self.folder} holds {self.dimensions}; "
                "name the teacher that made them, or another folder for the labels"
            )

    def _whole_rows(self) -> int:
        sizes = [path.stat().st_size if path.is_file() else 0 for path in (self._digests, self._vectors)]
        return min(sizes[0] // _DIGEST, sizes[1] // (2 * self.dimensions)) if self.dimensions else 0

    def _cut(self) -> None:
        """Drop what a kill left beyond the last whole row."""
        rows = self._whole_rows()
        for path, size in ((self._digests, rows * _DIGEST), (self._vectors, rows * 2 * self.dimensions)):
            if path.is_file() and path.stat().st_size != size:
                os.truncate(path, size)
        self._known = self._read_digests()

    def _read_digests(self) -> dict[bytes, int]:
        rows = self._whole_rows()
        raw = self._digests.read_bytes()[: rows * _DIGEST] if rows else b""
        return {raw[n * _DIGEST : (n + 1) * _DIGEST]: n for n in range(rows)}


def digest(text: str) -> bytes:
    """Return what a text is known by."""
    return hashlib.blake2b(text.encode("utf-8"), digest_size=_DIGEST).digest()


def label_texts(teacher: Any, texts: Iterable[str], folder: str | os.PathLike[str]) -> LabelStore:
    """Ask a teacher for the vectors of texts that have none yet; called again after a kill, it goes on.

    Args:
        teacher: Of `open_teacher`.
        texts: Any texts; repeated ones are asked for once.
        folder: Where vectors are kept, see `LabelStore`.

    Returns:
        The store, with all of them.

    Raises:
        OSError: If the folder cannot be written.
        ValueError: If the teacher fails, or gives vectors of another width, too few, or such as are not finite. What
            it gave before that is kept.
    """
    store = LabelStore(folder)
    wanted = list(texts)
    for number, text in enumerate(wanted):
        check_text(text, f"text {number} for the teacher")
    with store.written_by(teacher.identity):
        missing = store.missing(wanted)
        if there := len(set(wanted)) - len(missing):
            _log.info("%s: %d of %d texts have their vector", store.folder, there, there + len(missing))
        if missing:
            _ask(teacher, missing, store)
    return store


def _ask(teacher: Any, texts: list[str], store: LabelStore) -> None:
    done = 0
    try:
        with Progress("labelling", interval=60) as bar:
            for vectors in teacher.stream(texts, _WINDOW):
                found = np.asarray(vectors, dtype=np.float32)
                if found.ndim != 2 or len(found) > len(texts) - done:
                    raise ValueError(f"the teacher gave vectors of shape {found.shape} for {len(texts) - done} texts")
                store.accept_width(found.shape[1])
                with np.errstate(over="ignore"):
                    finite = np.isfinite(found.astype(np.float16)).all(axis=1)
                good = len(found) if finite.all() else int(np.argmin(finite))
                store.add(texts[done : done + good], found[:good])
                done += good
                if good < len(found):
                    raise ValueError(
                        f"the teacher's vector of {texts[done]!r:.60} holds a value that float16 cannot: NaN, "
                        "infinity or above 65,504"
                    )
                bar.update(done, len(texts), f"{done:,} of {len(texts):,} texts")
        if done < len(texts):
            raise ValueError("the teacher gave no more vectors")
    except (ValueError, OSError) as error:
        raise type(error)(
            f"{error}; {done:,} of {len(texts):,} new vectors are kept in {store.folder}: mend that and start the same "
            "command again"
        ) from None
