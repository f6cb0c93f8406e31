"""Between a task's rows and the trainer: each head encodes its rows and reads its predictions back.

    encode(part) -> rows of token ids        answers(part, predictions) -> one answer a row of the task

Long sentences and passages are read in windows, so encoded rows are not the task's rows; each carries the number of the
row that it is of. Texts: `heads_texts.py`; words and passages: `heads_words.py`.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..evaluation.benchmark.catalogue import Task, TaskRows
from ..evaluation.benchmark.sweep import Setting

if TYPE_CHECKING:
    from datasets import Dataset

    from ..trainers.finetuning.model import Head


class TaskHead(ABC):
    """What a head needs to be trained on a task and judged on it.

    Args:
        task: The task.
        rows: Its rows.
        tokenizer: The checkpoint's.
        setting: For the length of rows and windows.
    """

    model_head: "ClassVar[Head]"
    problem_type: ClassVar[str | None] = None

    def __init__(self, task: Task, rows: TaskRows, tokenizer: Any, setting: Setting) -> None:
        self.task, self.rows, self.tokenizer, self.setting = task, rows, tokenizer, setting
        self.labels: list[str] = list(rows.labels)

    @property
    def collator(self) -> Callable[[list[dict[str, Any]]], Any]:
        """Pads encoded rows to a batch."""
        from transformers import DataCollatorWithPadding

        return DataCollatorWithPadding(self.tokenizer)

    def part(self, name: str) -> "Dataset":
        """Return the task's rows of a part."""
        found: Dataset = getattr(self.rows, name)
        return found

    @abstractmethod
    def encode(self, part: str) -> "Dataset":
        """Encode the rows of `train`, `dev` or `test`; a row read in windows has its number in `row` of each."""

    @abstractmethod
    def answers(self, part: str, predictions: Sequence[np.ndarray]) -> list[Any]:
        """Turn predictions for the encoded rows into one answer a row of the task."""

    @abstractmethod
    def references(self, part: str) -> list[Any]:
        """Return the right answers, one a row of the task."""

    @abstractmethod
    def trivial(self, part: str) -> list[Any]:
        """Return the answers of somebody who knows the training labels only, not the text."""


def commonest(values: Iterable[Any]) -> Any:
    """Find the commonest value.

    Args:
        values: Labels or tags.

    Returns:
        The commonest; of equals the first in the alphabet.
    """
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], str(value)))
