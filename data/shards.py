"""Token shards: per language a flat file of token ids and one of document offsets, memory-mapped.

    DIR/index.json            counts, checksums, tokenizer fingerprint, sources with licences, what was skipped
    DIR/deu_Latn.tokens       uint32, little-endian, documents one after the other without specials
    DIR/deu_Latn.offsets      int64, where each document begins, and the end
    DIR/verified.json         (made on reading) sizes and times of files that were compared with their checksums

uint32 costs twice uint16 on small vocabularies and saves a second format; the 256,000 tokens of Gemma need it anyway.
Opening lists the directory once and maps files on first use only. A directory appears whole or not at all.

`verified.json` is a note, not a proof: damage that leaves a file's time as it was (a failing disk) is found only by
`verify="again"`. A file that changed within two seconds before the note is not noted, because clocks of file systems
are coarse. Where the directory cannot be written, every opening compares again.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from ..common.checkpoints.writer import atomic_directory
from ..common.files import inside, read_json, sha256, write_json
from ..modeling.tokenization_mmbert import tokenizer_fingerprint
from .corpora.base import Document, Source
from .hashing import text_hash
from .tokenization.document_tokenizer import DocumentTokenizer
from .tokenization.intermediate import BundleWriter, read_finished
from .tokenization.writer import FORMAT, ShardOptions, write_languages

NOTE = "verified.json"
_COARSE_CLOCK = 2_000_000_000  # nanoseconds; the coarsest file systems keep two seconds
_ENTRY = {"tokens": int, "documents": int, "tokens_sha256": str, "offsets_sha256": str}
_BATCH = 1024  # documents encoded at a time; the tokenizer spreads them over its threads


class TokenShards:
    """Token shards opened for reading.

    Args:
        directory: Where `write_shards` or `mmbert tokenize` put them.
        verify: Compare every file with its checksum, about a second per gigabyte. A file that was compared before and
            has its size and time of change since is taken as good; "again" compares it all the same. False: look at
            sizes only.

    Raises:
        FileNotFoundError: If the directory holds no index or misses a file.
        ValueError: If a file has another size or checksum than the index says, or the format is unknown.
    """

    def __init__(self, directory: str | Path, *, verify: bool | Literal["again"] = True) -> None:
        self.directory = Path(directory)
        path = self.directory / "index.json"
        if not path.is_file():
            raise FileNotFoundError(f"no token shards at {self.directory} (index.json is missing); write them first.")
        self.index = _read_index(path)
        self._maps: dict[str, tuple[NDArray[np.uint32], NDArray[np.int64]]] = {}
        files = self._files()
        self._check_sizes(files)
        if verify and os.environ.get("MMBERT_VERIFY") != "0":
            verify_files(self.directory, {name: digest for name, (_, digest) in files.items()}, again=verify == "again")

    def _files(self) -> dict[str, tuple[int, str]]:
        """List what the index promises: file name to size and SHA-256."""
        files = {}
        for language, entry in self.index["languages"].items():
            files[f"{language}.tokens"] = (4 * entry["tokens"], entry["tokens_sha256"])
            files[f"{language}.offsets"] = (8 * (entry["documents"] + 1), entry["offsets_sha256"])
        return files

    def _check_sizes(self, files: Mapping[str, tuple[int, str]]) -> None:
        with os.scandir(self.directory) as entries:
            there = {entry.name: entry.stat().st_size for entry in entries if entry.name in files}
        for name, (size, _) in files.items():
            path = self.directory / name
            if name not in there:
                raise FileNotFoundError(f"shard {path} is missing; write the shards again.")
            if there[name] != size:
                raise ValueError(f"shard {path} has {there[name]} bytes, the index says {size}; write it again.")

    @cached_property
    def languages(self) -> list[str]:
        """Language tags, sorted."""
        return sorted(self.index["languages"])

    @cached_property
    def token_counts(self) -> dict[str, int]:
        """Tokens of each language."""
        return {language: self.index["languages"][language]["tokens"] for language in self.languages}

    @cached_property
    def document_counts(self) -> dict[str, int]:
        """Documents of each language."""
        return {language: self.index["languages"][language]["documents"] for language in self.languages}

    @property
    def tokenizer_fingerprint(self) -> str:
        """Fingerprint of the tokenizer that made the ids."""
        return str(self.index["tokenizer"])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the index, and so over every file's checksum."""
        return hashlib.sha256(json.dumps(self.index, sort_keys=True).encode()).hexdigest()

    def tokens(self, language: str) -> NDArray[np.uint32]:
        """Return the token ids of a language, all documents one after the other, memory-mapped."""
        return self._map(language)[0]

    def offsets(self, language: str) -> NDArray[np.int64]:
        """Where documents of a language begin: (documents + 1,); document i is tokens[offsets[i]:offsets[i + 1]]."""
        return self._map(language)[1]

    def _map(self, language: str) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        if language not in self._maps:
            if language not in self.index["languages"]:
                raise ValueError(f"no shard of language {language}; {self.directory} has {', '.join(self.languages)}.")
            stem = self.directory / language
            self._maps[language] = (
                np.memmap(f"{stem}.tokens", dtype="<u4", mode="r"),
                np.memmap(f"{stem}.offsets", dtype="<i8", mode="r"),
            )
        return self._maps[language]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}  # a worker maps for itself instead of receiving the bytes


def _read_index(path: Path) -> dict[str, Any]:
    """Read an index and check that everything is there that is read from it."""
    try:
        index = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is no index ({error}); write the shards again.") from None
    if index.get("format") != FORMAT:
        raise ValueError(f"{path} has format {index.get('format')!r}; this version reads {FORMAT}.")
    for name, kind in {"tokenizer": str, "languages": dict, "sources": list, "skipped": dict}.items():
        if not isinstance(index.get(name), kind):
            raise ValueError(f"{path} is no index ({name!r} is missing or damaged); write the shards again.")
    for language, entry in index["languages"].items():
        inside(path.parent, f"{language}.tokens", path)
        if not isinstance(entry, dict) or not all(isinstance(entry.get(name), kind) for name, kind in _ENTRY.items()):
            raise ValueError(
                f"{path} is no index (the entry of {language} is not whole: it needs {', '.join(_ENTRY)}); "
                "write the shards again."
            )
    return index


def write_shards(
    documents: Iterable[Document],
    tokenizer: PreTrainedTokenizerFast,
    directory: str | Path,
    *,
    sources: Mapping[str, Source] | None = None,
    skipped: Mapping[str, int] | None = None,
    options: ShardOptions | None = None,
) -> TokenShards:
    """Tokenize documents of this process into shards; `mmbert tokenize` does the same from files, in many processes.

    Args:
        documents: What to write.
        tokenizer: Makes the ids; specials are left to the stream.
        directory: Target, absent or empty. It is filled only when everything is written.
        sources: Where the text comes from, for the index.
        skipped: Counter of what the corpus left out, read after the last document.
        options: Whether to leave out copies and to cut documents; None: neither.

    Returns:
        The shards, opened.

    Raises:
        ValueError: If there is no document with a token in it, or the target holds something or cannot be written.
    """
    with shard_writer(tokenizer, directory, sources=sources, skipped=skipped, options=options) as write:
        for batch in _batches(documents):
            write(batch)
    return TokenShards(directory, verify=False)


@contextmanager
def shard_writer(
    tokenizer: PreTrainedTokenizerFast,
    directory: str | Path,
    *,
    sources: Mapping[str, Source] | None = None,
    skipped: Mapping[str, int] | None = None,
    options: ShardOptions | None = None,
) -> Iterator[Callable[[Sequence[Document]], None]]:
    """Give a function that writes batches of documents; see `write_shards`. The shards appear when the block ends."""
    options = options or ShardOptions()
    encoder = DocumentTokenizer(tokenizer)
    with atomic_directory(directory) as work:
        (work / "bundles").mkdir()
        writer = BundleWriter(work / "bundles", 0)

        def write(batch: Sequence[Document]) -> None:
            for document, ids in zip(batch, encoder.encode([d.text for d in batch]), strict=True):
                if len(ids):
                    digest = text_hash(document.text) if options.deduplicate else 0
                    writer.add("train", document.language, ids, digest)
                else:
                    writer.skipped["document without tokens"] += 1

        yield write
        writer.close()
        task = read_finished(work / "bundles", 0)
        if task is None or not task.bundles:
            raise ValueError("the corpus has no text; check its path, its columns and its split.")
        write_languages(
            [task],
            {"train": work},
            options,
            tokenizer=tokenizer_fingerprint(tokenizer),
            sources=list((sources or {}).values()),
            skipped={**dict(skipped or {}), **task.skipped},
        )
        shutil.rmtree(work / "bundles")


def _batches(documents: Iterable[Document]) -> Iterable[list[Document]]:
    batch: list[Document] = []
    for document in documents:
        batch.append(document)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def verify_files(directory: Path, checksums: Mapping[str, str], *, again: bool = False) -> None:
    """Compare files with their SHA-256, `again` those that are noted as good, too, and note those that are good."""
    known = {} if again else _read_note(directory)
    good: dict[str, list[object]] = {}
    began = time.time_ns()
    for name, wanted in checksums.items():
        path = directory / name
        stat = path.stat()
        stamp: list[object] = [stat.st_size, stat.st_mtime_ns, wanted]
        if known.get(name) != stamp and sha256(path) != wanted:
            raise ValueError(f"shard {path} is not what was written (SHA-256 differs); write the shards again.")
        if stat.st_mtime_ns < began - _COARSE_CLOCK:
            good[name] = stamp
    if good != known:
        _write_note(directory, good)


def _read_note(directory: Path) -> dict[str, list[object]]:
    try:
        note = json.loads((directory / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _write_note(directory: Path, good: Mapping[str, list[object]]) -> None:
    with suppress(OSError):  # a directory that is read only, or a full disk: no note, no harm
        write_json(directory / NOTE, good, indent=None)
