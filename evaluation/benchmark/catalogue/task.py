"""One task: where its rows lie, which head learns it, which number counts, and how it is trained by the book."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Head -> family of metrics (`metrics.FAMILIES`). `choices` gives one label a row, the place of the right choice.
HEADS = {
    "labels": "labels",
    "score": "similarity",
    "tags": "tags",
    "spans": "spans",
    "answers": "answers",
    "choices": "labels",
}
METRICS = {
    "labels": ("accuracy", "macro_f1", "micro_f1", "matthews", "f1"),
    "similarity": ("spearman", "pearson"),
    "tags": ("accuracy", "macro_f1", "run_f1"),
    "spans": ("f1", "precision", "recall", "accuracy"),
    "answers": ("f1", "exact"),
}
NEEDS = {
    "labels": ("text", "label"),
    "score": ("text", "text_pair", "score"),
    "tags": ("tokens", "tags"),
    "spans": ("tokens", "tags"),
    "answers": ("question", "context", "answers"),
    "choices": ("text", "choices", "label"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """Where the rows of one split lie on the Hub.

    Attributes:
        hub: Dataset id.
        split: The Hub's name of the split.
        config: Configuration; `{code}` stands for the Hub's code of each language.
        revision: Branch, tag or commit.
        columns: Our column name to the Hub's, where the reader does not know the name by itself.
        language: Language of all rows; None: those of the task, one configuration each.
    """

    hub: str
    split: str
    config: str | None = None
    revision: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A task of the catalogue.

    Attributes:
        name: Short name, `xnli`.
        title: As papers write it.
        suite: `glue`, `xtreme`, `low-resource` or `more`.
        head: `labels`, `score`, `tags`, `spans`, `answers` or `choices`.
        metric: The number that counts, one of its head's.
        parts: Hub place of `train`, `dev` and `test`; a `dev` that is missing is cut from train.
        languages: Language tag to the Hub's code, all languages that are judged.
        train_languages: Languages to train on; others are judged zero-shot.
        positive: Class whose own F1 is meant by `f1`.
        training: Hyper-parameters of the book: learning_rate, epochs, max_length, ...
        note: What a reader must know to compare.
    """

    name: str
    title: str
    suite: str
    head: str
    metric: str
    parts: Mapping[str, Part] = field(default_factory=dict)
    languages: Mapping[str, str] = field(default_factory=dict)
    train_languages: tuple[str, ...] = ("eng_Latn",)
    positive: str | None = None
    training: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise ValueError(f"task {self.name}: head must be one of {', '.join(HEADS)}, got {self.head!r}")
        known = METRICS[HEADS[self.head]]
        if self.metric not in known:
            raise ValueError(f"task {self.name}: metric must be one of {', '.join(known)}, got {self.metric!r}")

    @property
    def family(self) -> str:
        """Family of metrics."""
        return HEADS[self.head]

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that every row must fill."""
        return NEEDS[self.head]
