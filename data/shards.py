"""Token shards: one flat file of token ids and one of document offsets a language, memory-mapped.

    DIR/index.json            counts, checksums, tokenizer fingerprint, sources with licences, what was skipped
    DIR/deu_Latn.tokens       uint32, little-endian, documents one after the other without specials
    DIR/deu_Latn.offsets      int64, where each document begins, and the end

uint32 costs twice uint16 on small vocabularies and saves a second format; the 256,000 words of Gemma need it anyway.
Opening 1,833 languages maps files on first use only. A directory appears whole or not at all.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from ..modeling.checkpoint_writer import atomic_directory
from ..modeling.tokenizer import tokenizer_fingerprint
from .corpus import Document, Source

_FORMAT = 1
_BATCH = 1024  # documents encoded at a time; the tokenizer spreads them over its threads
_FLUSH = 1 << 20  # tokens kept in memory a language


class TokenShards:
    """Token shards opened for reading.

    Args:
        directory: Where `write_shards` put them.
        verify: Compare every file with its checksum. About a second a gigabyte; a corpus of terabytes may skip it.

    Raises:
        FileNotFoundError: If the directory holds no index or misses a file.
        ValueError: If a file has another size or checksum than the index says, or the format is unknown.
    """

    def __init__(self, directory: str | Path, *, verify: bool = True) -> None:
        self.directory = Path(directory)
        path = self.directory / "index.json"
        if not path.is_file():
            raise FileNotFoundError(f"no token shards at {self.directory} (index.json is missing); write them first.")
        self.index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if self.index.get("format") != _FORMAT:
            raise ValueError(f"{path} has format {self.index.get('format')!r}; this version reads {_FORMAT}.")
        self._maps: dict[str, tuple[NDArray[np.uint32], NDArray[np.int64]]] = {}
        for language in self.languages:
            self._check(language, verify)

    def _check(self, language: str, verify: bool) -> None:
        entry = self.index["languages"][language]
        for suffix, size in (("tokens", 4 * entry["tokens"]), ("offsets", 8 * (entry["documents"] + 1))):
            path = self.directory / f"{language}.{suffix}"
            if not path.is_file():
                raise FileNotFoundError(f"shard {path} is missing; write the shards again.")
            if path.stat().st_size != size:
                raise ValueError(
                    f"shard {path} has {path.stat().st_size} bytes, the index says {size}; write it again."
                )
            if verify and hashlib.sha256(path.read_bytes()).hexdigest() != entry[f"{suffix}_sha256"]:
                raise ValueError(f"shard {path} is not what was written (SHA-256 differs); write the shards again.")

    @property
    def languages(self) -> list[str]:
        """Language tags, sorted."""
        return sorted(self.index["languages"])

    @property
    def token_counts(self) -> dict[str, int]:
        """Tokens of each language."""
        return {language: self.index["languages"][language]["tokens"] for language in self.languages}

    @property
    def document_counts(self) -> dict[str, int]:
        """Documents of each language."""
        return {language: self.index["languages"][language]["documents"] for language in self.languages}

    @property
    def tokenizer_fingerprint(self) -> str:
        """Fingerprint of the tokenizer that made the ids."""
        return str(self.index["tokenizer"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the index, and so over every file's checksum."""
        return hashlib.sha256(json.dumps(self.index, sort_keys=True).encode()).hexdigest()

    def tokens(self, language: str) -> NDArray[np.uint32]:
        """Return the token ids of a language.

        Args:
            language: Its tag.

        Returns:
            Ids of all documents, one after the other, memory-mapped.
        """
        return self._map(language)[0]

    def offsets(self, language: str) -> NDArray[np.int64]:
        """Return where the documents of a language begin.

        Args:
            language: Its tag.

        Returns:
            Shape (documents + 1,), memory-mapped; document i is tokens[offsets[i]:offsets[i + 1]].
        """
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


def write_shards(
    documents: Iterable[Document],
    tokenizer: PreTrainedTokenizerFast,
    directory: str | Path,
    *,
    sources: Mapping[str, Source] | None = None,
    skipped: Mapping[str, int] | None = None,
) -> TokenShards:
    """Tokenise documents into shards.

    Args:
        documents: What to write.
        tokenizer: Makes the ids; specials are left to the stream.
        directory: Target, absent or empty. It is filled only when everything is written.
        sources: Where the text comes from, for the index.
        skipped: Counter of what the corpus left out, read after the last document.

    Returns:
        The shards, opened.

    Raises:
        ValueError: If there is no document with a token in it, or the target holds something or cannot be written.
    """
    with atomic_directory(directory) as work:
        shelf = _Shelf(work)
        for batch in _batches(documents):
            encodings = tokenizer.backend_tokenizer.encode_batch([d.text for d in batch], add_special_tokens=False)
            for document, encoding in zip(batch, encodings, strict=True):
                shelf.put(document.language, encoding.ids)
        languages = shelf.close()
        if not languages:
            raise ValueError("the corpus has no text; check its path, its columns and its split.")
        index = {
            "format": _FORMAT,
            "tokenizer": tokenizer_fingerprint(tokenizer),
            "languages": languages,
            "sources": [asdict(source) for source in (sources or {}).values()],
            "skipped": {**dict(skipped or {}), **shelf.skipped},
        }
        (work / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=False), encoding="utf-8")
    return TokenShards(directory, verify=False)


def _batches(documents: Iterable[Document]) -> Iterable[list[Document]]:
    batch: list[Document] = []
    for document in documents:
        batch.append(document)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class _Shelf:
    """Open languages of a directory being written; keeps at most `_FLUSH` tokens of each in memory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.skipped: Counter[str] = Counter()
        self._pending: dict[str, list[NDArray[np.uint32]]] = {}
        self._pending_tokens: Counter[str] = Counter()
        self._lengths: dict[str, list[int]] = {}
        self._hashes: dict[str, Any] = {}

    def put(self, language: str, ids: list[int]) -> None:
        """Add a document; one without tokens is counted, not kept."""
        if not ids:
            self.skipped["document without tokens"] += 1
            return
        self._pending.setdefault(language, []).append(np.asarray(ids, dtype="<u4"))
        self._lengths.setdefault(language, []).append(len(ids))
        self._pending_tokens[language] += len(ids)
        if self._pending_tokens[language] >= _FLUSH:
            self._flush(language)

    def _flush(self, language: str) -> None:
        # Opened for each flush: 1,833 languages at once would pass the usual limit of 1,024 open files.
        block = np.concatenate(self._pending.pop(language)).tobytes()
        with (self.directory / f"{language}.tokens").open("ab") as file:
            file.write(block)
        self._hashes.setdefault(language, hashlib.sha256()).update(block)
        self._pending_tokens[language] = 0

    def close(self) -> dict[str, dict[str, Any]]:
        """Write what is left and return the index entries."""
        for language in list(self._pending):
            self._flush(language)
        entries = {}
        for language, lengths in sorted(self._lengths.items()):
            offsets = np.concatenate([[0], np.cumsum(lengths, dtype="<i8")]).astype("<i8").tobytes()
            (self.directory / f"{language}.offsets").write_bytes(offsets)
            entries[language] = {
                "tokens": int(sum(lengths)),
                "documents": len(lengths),
                "tokens_sha256": self._hashes[language].hexdigest(),
                "offsets_sha256": hashlib.sha256(offsets).hexdigest(),
            }
        return entries
