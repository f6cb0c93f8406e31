"""One task of the catalogue: where its rows lie, which task of `mmbert.tasks` it is, which number counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Head -> task of `mmbert.tasks`, see `task_class`.
HEADS = {
    "labels": "classification",
    "score": "classification",
    "tags": "tagging",
    "spans": "tagging",
    "answers": "qa",
    "choices": "choice",
}
METRICS = {
    "labels": ("accuracy", "macro_f1", "micro_f1", "matthews", "f1"),
    "score": ("spearman", "pearson"),
    "tags": ("accuracy", "macro_f1", "run_f1"),
    "spans": ("f1", "precision", "recall", "accuracy"),
    "answers": ("f1", "exact"),
    "choices": ("accuracy",),
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
class BenchmarkTask:
    """A task of the catalogue.

    Attributes:
        name: Short name, `xnli`.
        title: As papers write it.
        suite: `glue`, `xtreme`, `low-resource` or `more`.
        head: `labels`, `score`, `tags`, `spans`, `answers` or `choices`.
        metric: The number that counts, one of its head's.
        parts: Hub place of `train`, `dev` and `test`; a `dev` that is missing is cut from train.
        languages: Language tag to the Hub's code, all languages that are evaluated.
        train_languages: Languages to train on; others are evaluated zero-shot.
        positive: Class whose own F1 is meant by `f1`.
        training: Fields of `Setting` that differ from the defaults of fine-tuning, such as epochs.
        answer_language: Language of the answers, where it is not the row's.
        official: Script whose scores stand beside published ones, see `PassageOptions`.
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
    answer_language: str | None = None
    official: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise ValueError(f"task {self.name}: head must be one of {', '.join(HEADS)}, got {self.head!r}")
        known = METRICS[self.head]
        if self.metric not in known:
            raise ValueError(f"task {self.name}: metric must be one of {', '.join(known)}, got {self.metric!r}")

    @property
    def kind(self) -> str:
        """Task of `mmbert.tasks`."""
        return HEADS[self.head]

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that every row must fill."""
        return NEEDS[self.head]
