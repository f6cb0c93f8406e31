"""Held-out text: the same masked tokens of every language at every evaluation, always at one masking ratio.

Losses of phases that train at 30, 15 and 5 % can only be compared where the task is the same (Ettin and ModernBERT
evaluate at 15 % throughout).
"""

from collections.abc import Collection, Iterator

import numpy as np
from transformers import PreTrainedTokenizerFast

from ...common.deprecation import renamed_keywords
from ..hashing import language_key
from ..shards import TokenShards
from .dataset import PackedRows, masker_of
from .masking import Masker, row_noise
from .spans import ChunkTable


class HeldOut:
    """Masked held-out tokens by language.

    Args:
        shards: Held-out shards.
        tokenizer: The tokenizer of the shards.
        masking_ratio: Share of tokens to predict.
        context_length: Longest sequence, specials included.
        tokens_per_language: Tokens read of each language, at least one document; a language may have fewer.
        seed: Decides documents and masks.
        languages: The languages to read, those without held-out text left out; None for all that have some.

    Raises:
        ValueError: If none of the languages has held-out text.
    """

    @renamed_keywords(tokens_a_language="tokens_per_language")
    def __init__(
        self,
        shards: TokenShards,
        tokenizer: PreTrainedTokenizerFast,
        *,
        masking_ratio: float = 0.15,
        context_length: int = 1024,
        tokens_per_language: int = 8192,
        seed: int = 21,
        languages: Collection[str] | None = None,
    ) -> None:
        self.shards = shards
        self._languages = [tag for tag in shards.languages if languages is None or tag in languages]
        if not self._languages:
            raise ValueError(
                f"{shards.directory} has no held-out text in {', '.join(sorted(languages or []))}; it has "
                f"{', '.join(shards.languages)}."
            )
        self.masking_ratio = masking_ratio
        self.tokens_per_language = tokens_per_language
        self.seed = seed
        self._table = ChunkTable(shards, self._languages, context_length, seed)
        self._bos, self._eos = int(tokenizer.bos_token_id), int(tokenizer.eos_token_id)
        self._masker: Masker = masker_of(tokenizer)

    @property
    def languages(self) -> list[str]:
        """The languages that are read, sorted."""
        return self._languages

    def rows(self, language: str) -> PackedRows:
        """Return the masked held-out tokens of a language, packed, the same on every call."""
        number = self.languages.index(language)
        key = np.array([language_key(f"{language}/masks", self.seed)], dtype=np.uint64)
        pieces = list(self._pieces(number, language))
        row = np.concatenate(pieces)
        whole = np.array([len(row)])
        ids, labels = self._masker.mask(row, self.masking_ratio, row_noise(key, whole), whole)
        lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
        return PackedRows(ids, labels, lengths, np.full(len(pieces), number, dtype=np.int64), step=0)

    def _pieces(self, number: int, language: str) -> Iterator[np.ndarray]:
        tokens = self.shards.tokens(language)
        read = 0
        for draw in range(self._table.counts[number]):
            _, starts, lengths = self._table.locate(np.array([number]), np.array([draw]))
            for start, length in zip(starts, lengths, strict=True):
                yield np.concatenate([[self._bos], tokens[start : start + length], [self._eos]]).astype(np.int64)
                read += int(length) + 2
                if read >= self.tokens_per_language:
                    return
