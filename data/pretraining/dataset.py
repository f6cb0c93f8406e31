"""The stream: position -> batch, and nothing else.

    step -> phase -> rows -> block of rows -> draws of each language -> spans -> chunks -> rows -> masks

Everything on the way is a closed form of (recipe, seed, position); `sampler` says how rows come about, here they are
read, joined and masked. Workers, prefetching, ranks, accumulation and restarts cannot change a batch, because none
of them is an argument.
"""

import difflib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from ...common.deprecation import warn_renamed
from ...recipes import MaskingSchedule, Phase, Recipe, TrainingSchedule
from ..hashing import language_key, scramble
from ..shards import TokenShards
from .masking import Masker, row_noise
from .sampler import PhaseReader, Pieces
from .spans import SPECIALS_PER_CHUNK


@dataclass(frozen=True)
class PackedRows:
    """Sequences laid end to end, masked."""

    input_ids: NDArray[np.int64]  # shape (T,)
    labels: NDArray[np.int64]  # shape (T,), -100 where nothing is predicted
    lengths: NDArray[np.int64]  # length of each sequence, shape (n,); they sum to T
    languages: NDArray[np.int64]  # index of each sequence's language in the stream's `languages`, shape (n,)
    step: int  # optimizer step that this belongs to


class MlmStream(Dataset[PackedRows]):
    """A map-style dataset: item i is part i % parts of the batch of step i // parts, packed and masked.

    Give it to any Trainer with a sequential sampler and `PackedCollator`; `parts` is the number of items that one
    optimizer step takes: batch size per device x accumulation steps x ranks.

    Args:
        recipe: The plan.
        shards: Training shards.
        tokenizer: The tokenizer of the shards.
        variant: Decay variant of the recipe to end with; None for the phases before.
        parts: Items one step is cut into.

    Raises:
        ValueError: If the shards come from another tokenizer, a phase names a language that they lack, or a phase has
            fewer rows per step than parts.
    """

    def __init__(
        self,
        recipe: Recipe,
        shards: TokenShards,
        tokenizer: PreTrainedTokenizerFast,
        *,
        variant: str | None = None,
        parts: int = 1,
    ) -> None:
        from ...modeling.tokenization_mmbert import tokenizer_fingerprint

        if shards.tokenizer_fingerprint != tokenizer_fingerprint(tokenizer):
            raise ValueError(
                f"the shards at {shards.directory} come from another tokenizer; tokenize the corpus again."
            )
        self.recipe = recipe
        self.variant = variant
        self.shards = shards
        self.schedule: TrainingSchedule = recipe.schedule(variant)
        self.masking = MaskingSchedule.from_schedule(self.schedule)
        self.languages = shards.languages
        for phase in self.schedule.phases:
            _check_languages(phase, self.languages)
        self._bos, self._eos = int(tokenizer.bos_token_id), int(tokenizer.eos_token_id)
        self._masker = masker_of(tokenizer)
        self.parts = 0
        self.split(parts)

    def split(self, parts: int) -> "MlmStream":
        """Cut every step into this many items.

        Args:
            parts: Batch size per device x accumulation steps x ranks.

        Returns:
            The stream itself.

        Raises:
            ValueError: If a phase has fewer rows per step than that.
        """
        smallest = min(self.schedule.phases, key=lambda phase: phase.batches.rows_at(0))
        rows = smallest.batches.rows_at(0)
        if not 1 <= parts <= rows:
            raise ValueError(
                f"a step is cut into {parts} parts, but phase {smallest.name!r} has {rows} rows in its first step; use "
                "fewer ranks or accumulation steps, or raise batch_rows or batch_warmup_rows."
            )
        self.parts = parts
        return self

    @cached_property
    def readers(self) -> list[PhaseReader]:
        """One reader per phase."""
        return [
            PhaseReader(
                scheduled.phase, self.languages, self.shards, language_key(scheduled.phase.name, self.recipe.seed)
            )
            for scheduled in self.schedule.scheduled_phases
        ]

    def __len__(self) -> int:
        return int(self.schedule.steps * self.parts)

    @property
    def road(self) -> TrainingSchedule:
        """The old name of `schedule`."""
        warn_renamed("MlmStream.road", "MlmStream.schedule")
        return self.schedule

    def __getitem__(self, index: int) -> PackedRows:
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of a stream of {len(self)} items.")
        step, part = divmod(index, self.parts)
        scheduled = self.schedule.at(step)
        base = scheduled.rows_into(step)
        rows = scheduled.rows_into(step + 1) - base
        return self.read(step, base + rows * part // self.parts, base + rows * (part + 1) // self.parts)

    def read(self, step: int, first: int, end: int) -> PackedRows:
        """Read rows of the phase that step `step` belongs to, masked at that step's ratio.

        Args:
            step: Step from 0.
            first: First row, counted from the start of the phase.
            end: Row after the last.

        Returns:
            The rows, end to end.
        """
        scheduled = self.schedule.at(step)
        reader = self.readers[scheduled.index]
        pieces = reader.pieces(first, end)
        lengths = pieces.length + SPECIALS_PER_CHUNK
        rows, row_starts = np.unique(pieces.row, return_index=True)
        row_lengths = np.add.reduceat(lengths, row_starts)
        # One key per row of the phase: masks do not depend on how a step is cut into parts.
        key = np.uint64(language_key(f"{scheduled.phase.name}/masks", self.recipe.seed))
        noise = row_noise(scramble(key ^ scramble(rows.astype(np.uint64) + np.uint64(1))), row_lengths)
        ids = self._gather(reader, pieces)
        masked, labels = self._masker.mask(ids, self.masking.ratio(step), noise, row_lengths)
        return PackedRows(masked, labels, lengths, reader.number[pieces.language], step)

    def _gather(self, reader: PhaseReader, pieces: Pieces) -> NDArray[np.int64]:
        """Read the pieces between their <bos> and <eos>, end to end."""
        lengths = pieces.length + SPECIALS_PER_CHUNK
        ends = np.cumsum(lengths)
        ids = np.empty(int(ends[-1]), dtype=np.int64)
        languages = reader.table.languages
        # Views without np.memmap's bookkeeping, which costs more than a short piece itself.
        tokens = {number: np.asarray(self.shards.tokens(languages[number])) for number in set(pieces.language.tolist())}
        columns = (pieces.language, pieces.start, pieces.start + pieces.length, ends - lengths + 1, ends - 1)
        for number, start, stop, at, end in zip(*(column.tolist() for column in columns), strict=True):
            ids[at:end] = tokens[number][start:stop]
        ids[ends - lengths], ids[ends - 1] = self._bos, self._eos
        if ids.max() >= len(self._masker.special):
            self._refuse_unknown_token(ids, ends, [languages[number] for number in pieces.language.tolist()])
        return ids

    def _refuse_unknown_token(self, ids: NDArray[np.int64], ends: NDArray[np.int64], languages: list[str]) -> None:
        size = len(self._masker.special)
        place = int(np.argmax(ids >= size))
        language = languages[int(np.searchsorted(ends, place, side="right"))]
        raise ValueError(
            f"token id {ids[place]} in the shard of {language} in {self.shards.directory} lies outside the "
            f"tokenizer's {size} tokens; write the shards again."
        )


def masker_of(tokenizer: PreTrainedTokenizerFast) -> Masker:
    """Return the masker of a tokenizer: its mask, and everything special left alone."""
    special = np.zeros(len(tokenizer), dtype=bool)
    special[tokenizer.all_special_ids] = True
    return Masker(int(tokenizer.mask_token_id), special)


def _check_languages(phase: Phase, languages: list[str]) -> None:
    missing = set() if phase.reads_all else set(phase.languages) - set(languages)
    for language in sorted(missing):
        same_code = [known for known in languages if known.partition("_")[0] == language.partition("_")[0]]
        near = list(dict.fromkeys([*same_code, *difflib.get_close_matches(language, languages)]))
        hint = f"; near it are {', '.join(near)}" if near else ""
        raise ValueError(
            f"phase {phase.name!r} reads {language}, of which the corpus has no text{hint}. Remove it from the phase."
        )
