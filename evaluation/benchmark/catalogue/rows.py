"""Rows of a task, from the Hub or from files: what to train on, what to choose on, what to score.

The three sets are fixed before any run: which rows are taken does not depend on a run's seed, on the order in a file or
on the number of processes, but on a hash of each row. What had to be decided (a dev set cut out of train, rows left
out, labels that only the test has) is said in `notes`, which every report prints.

Trade-off: a source without a train split for the training languages lends its dev split (UD's and UNER's English here),
less the part that is cut off to choose on. Rows that stand in train and in test are counted; a test set that lies in
train as a whole is refused.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....common.messages import first_of
from ....data.labelled.read import read_labelled
from ....languages.tags import canonical_tag, choose_tags, is_language_tag, near_matches
from .row_checks import answers_in_place, apart_from_test, labels_of, row_keys, shared_rows, strange_labels
from .task import BenchmarkTask, Part

if TYPE_CHECKING:
    from datasets import Dataset

_DEV_SHARE = 0.1
_LISTED = 8
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a task is used."""

    # languages to train on; ("all",): all that have rows; None: the task's own
    train_languages: tuple[str, ...] | None = None
    languages: tuple[str, ...] | None = None  # languages to score; None: all
    train_rows: int | None = None  # at most so many rows of training, over all languages
    test_rows: int | None = None  # at most so many rows of test and dev for each language
    # leave bad training rows out (no value, answer not in its passage) in place of stopping
    skip_bad_rows: bool = False

    def __post_init__(self) -> None:
        for name in ("train_languages", "languages"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(
                    self, name, tuple(tag if tag == "all" else canonical_tag(tag) or tag for tag in given)
                )
        for name in ("train_rows", "test_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, but must be 1 or more; leave it out for all rows")


@dataclass(frozen=True, slots=True)
class TaskRows:
    """The rows of a task.

    Attributes:
        train: Rows to learn from.
        dev: Rows to choose settings on, in the training languages.
        test: Rows to score, in all languages.
        labels: Classes or tags of train, sorted; empty where there are none.
        train_languages: Languages of train.
        notes: What had to be decided, a sentence each.
        fingerprint: 16 hexadecimal digits over all rows of the three sets.
    """

    train: "Dataset"
    dev: "Dataset"
    test: "Dataset"
    labels: tuple[str, ...]
    train_languages: tuple[str, ...]
    notes: tuple[str, ...]
    fingerprint: str


def read_task(task: BenchmarkTask, data: Mapping[str, str] | None = None, limits: Limits | None = None) -> TaskRows:
    """Read a task's rows.

    Args:
        task: From the catalogue.
        data: Files to read in place of the Hub: "" for all splits, or `train`, `dev` and `test`.
        limits: Which languages, and how many rows.

    Returns:
        The rows.

    Raises:
        FileNotFoundError: If there is no such file or dataset.
        ValueError: If a split or language is missing, a row lacks a value, there is but one class, the test holds only
            labels that training never saw, or all its rows are training rows, or all rows of dev.
    """
    limits, notes = limits or Limits(), list[str]()
    reader = _Reader(task, data or {}, limits, notes)
    train, dev = reader.training()
    test = reader.evaluated("test")
    labels = labels_of(task, train)
    notes += strange_labels(task, labels, test)
    notes += shared_rows(task, train, test)
    dev, left = apart_from_test(task, dev, test)
    notes += left
    rows = (train, dev, test)
    digest = hashlib.sha256("\n".join(key for part in rows for key in (*row_keys(part), "")).encode())
    languages = tuple(sorted(set(train["language"])))
    return TaskRows(train, dev, test, labels, languages, tuple(notes), digest.hexdigest()[:16])


def require_languages(tasks: Sequence[tuple[BenchmarkTask, Mapping[str, str]]], limits: Limits) -> None:
    """Refuse a language that none of the tasks has, by the catalogue or the files in place of the Hub.

    Args:
        tasks: Tasks, each with its files as for `read_task`.
        limits: The languages.

    Raises:
        ValueError: Names the language, the nearest there is, and what there is.
    """
    named = {tag for given in (limits.train_languages, limits.languages) for tag in given or ()} - {"all"}
    there: set[str] = set()
    for task, data in tasks if named else ():
        if data:
            reader = _Reader(task, data, Limits(skip_bad_rows=True), [])
            found = [reader._read(split, None) for split in ("train", "dev", "test")]
            there |= {tag for rows in found if rows is not None for tag in rows["language"]}
        else:
            there |= {*task.languages, *(part.language for part in task.parts.values() if part.language)}
    if there:
        choose_tags(sorted(named), there, ", ".join(task.name for task, _ in tasks))
    for tag in sorted(named):  # of a task whose languages only the Hub knows
        if not there and not is_language_tag(tag):
            near = near_matches(tag)
            raise ValueError(f"there is no language {tag!r}{f'; did you mean {near[0]}?' if near else ''}")


@dataclass(slots=True)
class _Reader:
    task: BenchmarkTask
    data: Mapping[str, str]
    limits: Limits
    notes: list[str]

    def training(self) -> "tuple[Dataset, Dataset]":
        """Read train and dev of the training languages; cut dev out of train where there is none."""
        wanted = self.limits.train_languages or self.task.train_languages
        train, dev = self._of("train", wanted), self._of("dev", wanted)
        if train is None:
            if dev is None:
                name, there = self.task.name, self._there()
                if there == "none":
                    path = self.data.get("", "PATH")
                    raise ValueError(
                        f"{name}: {path if self.data else 'the source'} has no split train and none called dev; give "
                        f"--data {name}:train=PATH --data {name}:test={path}"
                    )
                raise ValueError(
                    f"{name}: no rows to train on in {', '.join(wanted)}; there are {there}; "
                    f"choose with --train-languages, or give --data {name}:train=PATH"
                )
            self.notes.append("trained on the dev split, because there is no train split in the training languages")
            train, dev = dev, None
        if dev is None:
            train, dev = _cut(train, self.task)
            self.notes.append(f"settings were chosen on {len(dev):,} rows cut out of train, which has no dev beside it")
        if self.limits.skip_bad_rows and self.task.head == "answers":
            train, left = answers_in_place(self.task, train)
            self.notes += left
        if self.limits.train_rows is not None and len(train) > self.limits.train_rows:
            self.notes.append(f"trained on {self.limits.train_rows:,} of {len(train):,} rows")
            train = _first_by_hash(train, self.limits.train_rows)
        return train, self._capped("dev", dev)

    def evaluated(self, split: str) -> "Dataset":
        found = self._read(split, self.limits.languages)
        if found is None:
            raise ValueError(f"{self.task.name}: there is no {split} split; give --data {self.task.name}:{split}=PATH")
        return self._capped(split, found)

    def _of(self, split: str, languages: Sequence[str]) -> "Dataset | None":
        """Read a split in the training languages; None if there is no such split, or no row of theirs in it."""
        found = self._read(split, None if "all" in languages else languages)
        if found is None or "all" in languages:
            return found
        wanted = set(languages)
        keep = [place for place, tag in enumerate(found["language"]) if tag in wanted]
        return found.select(keep) if keep else None

    def _capped(self, split: str, rows: "Dataset") -> "Dataset":
        most = self.limits.test_rows
        if most is None:
            return rows
        places: dict[str, list[tuple[str, int]]] = {}
        for place, (tag, key) in enumerate(zip(rows["language"], row_keys(rows), strict=True)):
            places.setdefault(tag, []).append((key, place))
        keep = sorted(place for found in places.values() for _, place in sorted(found)[:most])
        if len(keep) < len(rows):
            self.notes.append(f"{split}: at most {most:,} rows a language, {len(keep):,} of {len(rows):,}")
        return rows.select(keep)

    def _read(self, split: str, languages: Sequence[str] | None) -> "Dataset | None":
        path = self.data.get(split, self.data.get(""))
        options: dict[str, Any] = {"require": self.task.needs}
        if path is not None:
            chosen = languages if split == "test" else None
            if not self.limits.skip_bad_rows:
                return self._local(path, split, options, chosen)
            found = self._local(path, split, {**options, "on_bad_row": "skip"}, chosen)
            whole = self._local(path, split, {}, chosen)
            if found is not None and whole is not None and len(found) < len(whole):
                self.notes.append(
                    f"{split}: left out {len(whole) - len(found):,} of {len(whole):,} rows, which lack a value"
                )
            return found
        if self.data:
            return None  # files were given, but not for this split: never mix them with the Hub's silently
        part = self.task.parts.get(split)
        options["on_bad_row"] = "skip" if self.limits.skip_bad_rows else "error"
        return None if part is None else self._hub(part, languages, options)

    def _local(
        self, path: str, split: str, options: dict[str, Any], languages: Sequence[str] | None
    ) -> "Dataset | None":
        only = next(iter(self.task.languages), None) if len(self.task.languages) == 1 else None
        try:
            return read_labelled(path, split=split, languages=languages, language=only, **options)
        except (ValueError, FileNotFoundError) as error:
            if "has no split" not in str(error) or not Path(path).exists():
                raise
        if split not in self.data:
            return None
        return read_labelled(path, languages=languages, language=only, **options)  # the user says what it is

    def _hub(self, part: Part, languages: Sequence[str] | None, options: dict[str, Any]) -> "Dataset":
        """Read the configurations of the languages, each under our tag."""
        from datasets import concatenate_datasets

        given = {"split": part.split, "revision": part.revision, "columns": part.columns, **options}
        if part.language is not None:
            return read_labelled(part.hub, configuration=part.config, language=part.language, **given)
        if not self.task.languages:
            return read_labelled(part.hub, languages=languages, **given)
        codes = {tag: code for tag, code in self.task.languages.items() if languages is None or tag in languages}
        missing = [tag for tag in languages or () if tag not in self.task.languages]
        if missing:
            raise ValueError(f"{self.task.name} has no {missing[0]}; there are {', '.join(self.task.languages)}")
        parts, lacking = list[Any](), list[str]()
        for tag, code in codes.items():
            config = part.config and part.config.format(code=code)
            try:
                parts.append(read_labelled(part.hub, configuration=config, language=tag, **given))
            except ValueError as error:  # AfriSenti has no train in two of its languages
                if languages is not None or "has no split" not in str(error) or (tag == list(codes)[-1] and not parts):
                    raise
                lacking.append(tag)
        if lacking:
            self.notes.append(f"there is no {part.split} split in {', '.join(lacking)}")
        return concatenate_datasets(parts)

    def _there(self) -> str:
        found = self._read("train", None) or self._read("dev", None)
        tags = sorted(set(found["language"])) if found is not None else []
        return first_of(tags, _LISTED) or "none"


def _first_by_hash(rows: "Dataset", count: int) -> "Dataset":
    chosen = sorted(range(len(rows)), key=row_keys(rows).__getitem__)[:count]
    return rows.select(sorted(chosen))


def _cut(train: "Dataset", task: BenchmarkTask) -> "tuple[Dataset, Dataset]":
    """Cut a share of train off to choose on; questions on one passage stay together."""
    groups = train["context"][:] if "context" in train.column_names else row_keys(train)
    order = sorted(set(groups), key=lambda group: hashlib.sha256(group.encode()).hexdigest())
    chosen = set(order[: max(1, round(_DEV_SHARE * len(order)))])
    dev = [place for place, group in enumerate(groups) if group in chosen]
    rest = [place for place, group in enumerate(groups) if group not in chosen]
    if not rest:
        raise ValueError(
            f"{task.name}: {len(train)} training row(s) are too few to choose and to train on; give 2 or more"
        )
    return train.select(rest), train.select(dev)
