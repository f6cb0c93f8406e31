"""Shards whose documents have chosen lengths, for tests of the stream."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmbert.data import Document, TokenShards, write_shards
from mmbert.recipes import Phase

WORD = "the"  # one token of the tests' tokenizer


def shards_of_lengths(directory: Path, tokenizer, lengths: Mapping[str, Sequence[int]]) -> TokenShards:
    """Write documents of so many tokens each."""
    documents = [
        Document(language, " ".join([WORD] * length), "words") for language, many in lengths.items() for length in many
    ]
    shards = write_shards(documents, tokenizer, directory)
    assert shards.token_counts == {language: sum(many) for language, many in sorted(lengths.items())}
    return shards


def phase(**changes) -> Phase:
    """Return a phase of all languages, 64 rows of 32 tokens a step."""
    values = {
        "name": "one",
        "languages": ("all",),
        "temperature": 1.0,
        "masking_ratio": 0.15,
        "context_length": 32,
        "rope_theta": 10_000.0,
        "tokens": 10 * 64 * 32,
        "batch_rows": 64,
        "learning_rate": 1e-3,
    }
    return Phase(**{**values, **changes})
