"""What a vocabulary does to the languages of token shards: tokens per character, byte tokens, long documents.

Computed from the ids themselves, one count per id of the vocabulary, so it costs one pass over the files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .document_tokenizer import DocumentTokenizer

if TYPE_CHECKING:
    from ..shards import TokenShards

LIMITS = (128, 512, 8192)
_SPECIALS = 2  # <bos> and <eos>, which shards do not hold
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def shard_fertility(shards: TokenShards, tokenizer: Any) -> dict[str, dict[str, float]]:
    """Documents, tokens, characters, byte tokens and long documents (shares) of token shards, by language."""
    backend = DocumentTokenizer(tokenizer).backend
    pieces = [backend.id_to_token(number) or "" for number in range(backend.get_vocab_size(with_added_tokens=True))]
    values = [int(byte[1], 16) if (byte := _BYTE.fullmatch(piece)) else None for piece in pieces]
    is_byte = np.array([value is not None for value in values])
    # Of the bytes of one character in UTF-8 only the first counts: 10xxxxxx goes on with a character.
    characters = np.array(
        [len(piece) if value is None else int(value >> 6 != 2) for piece, value in zip(pieces, values, strict=True)]
    )
    found = {}
    for language in shards.languages:
        counts = np.bincount(shards.tokens(language), minlength=len(pieces))
        lengths = np.diff(shards.offsets(language)) + _SPECIALS
        tokens, written = int(counts.sum()), int(counts @ characters)
        found[language] = {
            "documents": len(lengths),
            "tokens": tokens,
            "characters": written,
            "tokens_per_character": tokens / max(written, 1),
            "byte_tokens": int(counts[is_byte].sum()) / max(tokens, 1),
            **{f"over_{limit}": float(np.mean(lengths > limit)) if len(lengths) else 0.0 for limit in LIMITS},
        }
    return found


def fertility_line(measured: Mapping[str, Mapping[str, float]], most: int = 6) -> str:
    """Name the languages that the vocabulary cuts finest, in one line; empty without languages."""
    finest = sorted(measured, key=lambda tag: (-measured[tag]["tokens_per_character"], tag))[:most]
    named = [
        f"{tag} {measured[tag]['tokens_per_character']:.2f} ({measured[tag]['byte_tokens']:.0%} byte tokens, "
        f"{measured[tag]['over_512']:.0%} of documents over 512 tokens)"
        for tag in finest
    ]
    return f"tokens per character, most first: {', '.join(named)}" if named else ""


def tokenizer_folder(shards: Path) -> Path | None:
    """Find the folder of the tokenizer that was written beside shards, or None."""
    near = (shards / "tokenizer", shards.parent / "tokenizer")
    return next((folder for folder in near if (folder / "tokenizer.json").is_file()), None)
