"""Batches for contrastive losses: languages at a temperature, and no text twice in a batch.

In-batch negatives are wrong answers only if no text occurs twice: parallel corpora repeat an English message in a
hundred languages. sentence-transformers has a sampler for that; this one draws the languages as well. A language with n
rows is drawn in proportion to n ** temperature, as the pre-training mixture does: 1 is by size, 0 gives every language
the same, 0.5 lies between. Drawn anew every epoch, a function of seed and epoch alone.

Trade-off: an epoch has as many batches as the rows fill, but below temperature 1 rows of large languages are left for
the next epoch, and those of small ones come up again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

_TRIES = 32  # rows that are put back, a row that is taken, before a batch is called full


def language_batches(languages: Sequence[str], texts: Sequence[tuple[str, ...]], temperature: float) -> "_Factory":
    """What `batch_sampler=` takes: rows that share a text never meet; temperature 0 (tags alike) to 1 (by size)."""
    if not 0 <= temperature <= 1:
        raise ValueError(f"temperature must lie between 0 (languages alike) and 1 (by size), got {temperature}")
    if len(languages) != len(texts):
        raise ValueError(f"{len(texts)} rows have {len(languages)} languages; give one a row")
    return _Factory(tuple(languages), tuple(texts), temperature)


class _Factory:
    """Makes the sampler once the trainer knows batch size and seed."""

    def __init__(self, languages: tuple[str, ...], texts: tuple[tuple[str, ...], ...], temperature: float) -> None:
        self.languages, self.texts, self.temperature = languages, texts, temperature

    def __call__(
        self,
        dataset: Any,
        batch_size: int,
        drop_last: bool,
        valid_label_columns: list[str] | None = None,
        generator: Any = None,
        seed: int = 0,
    ) -> Any:
        """Make the sampler for a data set; the evaluation set, which has other rows, gets the stock one."""
        from sentence_transformers.base.sampler import DefaultBatchSampler, NoDuplicatesBatchSampler

        options: dict[str, Any] = {
            "batch_size": batch_size,
            "drop_last": drop_last,
            "valid_label_columns": valid_label_columns,
            "generator": generator,
            "seed": seed,
        }
        if len(dataset) != len(self.texts):
            return NoDuplicatesBatchSampler(dataset, **options)
        draw = _drawer(self.languages, self.texts, self.temperature, batch_size)

        class LanguageBatchSampler(DefaultBatchSampler):
            """Batches drawn by language."""

            def __iter__(self) -> Iterator[list[int]]:
                yield from draw(self.seed or 0, self.epoch)

            def __len__(self) -> int:
                return max(1, len(dataset) // batch_size)

        return LanguageBatchSampler(dataset, **options)


def _drawer(
    languages: tuple[str, ...], texts: tuple[tuple[str, ...], ...], temperature: float, batch_size: int
) -> Callable[[int, int], Iterator[list[int]]]:
    counts = Counter(languages)
    tags = sorted(counts)
    weights = np.array([counts[tag] for tag in tags], dtype=np.float64) ** temperature
    numbers = np.unique(np.array(languages), return_inverse=True)[1]  # in the order of the tags
    members = {tag: np.flatnonzero(numbers == number) for number, tag in enumerate(tags)}

    def draw(seed: int, epoch: int) -> Iterator[list[int]]:
        generator = np.random.default_rng([seed, epoch])
        queues = {tag: _Queue(rows, generator) for tag, rows in members.items()}
        for _ in range(max(1, len(texts) // batch_size)):
            yield _batch(queues, tags, weights / weights.sum(), texts, batch_size, generator)

    return draw


class _Queue:
    """Rows of a language in random order, again and again; what did not fit a batch waits for the next."""

    def __init__(self, rows: np.ndarray, generator: np.random.Generator) -> None:
        self.rows, self.generator = rows, generator
        self.left: list[int] = []
        self.waiting: list[int] = []

    def next_row(self) -> int:
        if not self.left:
            self.left = self.generator.permutation(self.rows).tolist()
        return self.left.pop()

    def put_back(self) -> None:
        self.left.extend(self.waiting)
        self.waiting.clear()


def _batch(
    queues: dict[str, _Queue],
    tags: list[str],
    shares: np.ndarray,
    texts: tuple[tuple[str, ...], ...],
    size: int,
    generator: np.random.Generator,
) -> list[int]:
    """Draw rows that share no text; fewer than asked for if the rows hold no more different texts."""
    batch: list[int] = []
    seen: set[str] = set()
    for number in generator.choice(len(tags), size=size * _TRIES, p=shares):
        queue = queues[tags[number]]
        row = queue.next_row()
        if seen.isdisjoint(texts[row]):
            seen.update(texts[row])
            batch.append(row)
            if len(batch) == size:
                break
        elif row not in batch:
            queue.waiting.append(row)
    for queue in queues.values():
        queue.put_back()
    return batch
