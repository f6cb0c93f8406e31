"""Three lines of Python per task: train, predict, save or publish.

    classifier = Classifier.train("jhu-clsp/mmBERT-small", rows, output_dir="news")
    classifier.predict(["the river rises"])        # [{"label": "weather", "score": 0.98, "scores": {...}}]
    classifier.push("me/news")                     # or save("elsewhere"); Classifier.load("news") opens it again

`model` and `tokenizer` are transformers' own: pipelines, Trainer and `from_pretrained` take the saved folder as well.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from ..common.checkpoints.format import architectures
from ..common.checkpoints.hub import load_tokenizer, local_checkpoint
from ..common.checkpoints.integrity import write_checksums
from ..common.checkpoints.reader import open_checkpoint, require_start
from ..common.files import read_json
from ..common.messages import columns_option
from ..common.options import known_name, spellings
from ..common.progress import Progress
from ..data.features.answers import decode_answers
from ..data.features.passages import encode_passages
from ..data.features.running_text import RunningText, join_words, split_words
from ..data.features.texts import encode_texts
from ..data.features.word_labels import entities
from ..data.features.words import encode_running
from ..data.labelled.columns import numbered_choices, usual_column
from ..data.labelled.plausibility import is_written_list, written_list
from ..trainers import FineTuningArguments, read_record
from ..trainers.finetuning.model import MODELS, Head
from ..trainers.finetuning.trainer import rows_of
from .cli import task_class
from .metrics.classification import as_prefixed, entity_scheme
from .multiple_choice import FIRST as _FIRST
from .text_classification import named, pool_windows
from .token_classification import plain_entity
from .training import fine_tune_task

logger = logging.getLogger(__name__)

_WINDOW = 1024  # rows that are sorted by length together
_ALIASES = {"validation": "dev", "eval": "dev", "valid": "dev"}

READ = ("text", "text_pair", "tokens", "question", "context", "choices", "language")
"""Columns that a network reads."""


class TaskModel(ABC):
    """A fine-tuned network with its tokenizer.

    Args:
        model: A transformers model with the task's head.
        tokenizer: Its tokenizer.
        reading: Options of reading; None: the task's defaults.
        folder: Where it lies, if it was loaded or trained.
    """

    task: ClassVar[str]  # of `task_class`
    head: ClassVar[Head]
    needs: ClassVar[Sequence[str]]  # columns of a row to predict on
    context: ClassVar[Sequence[str]] = ()  # columns that are read where they are there
    pair: ClassVar[Sequence[str]] = ()  # columns of a row that is a tuple

    def __init__(self, model: Any, tokenizer: Any, reading: Any = None, folder: Path | None = None) -> None:
        self.model, self.tokenizer, self.folder = model.eval(), tokenizer, folder
        self.reading = reading or task_class(self.task).reading_class()
        self.cut: Counter[str] = Counter()  # texts cut at max_length so far, by language
        self._home: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def load(cls, checkpoint: str | Path, *, device: str | None = None, dtype: Any = None, **reading: Any) -> Self:
        """Load a fine-tuned network; it reads texts as it did in training.

        Args:
            checkpoint: Folder or Hub id; of a folder of several seeds the first one's network is taken.
            device: Such as "cuda:1"; None: an accelerator where there is one.
            dtype: Of the weights; None: as stored.
            **reading: Options of reading that shall differ, such as `max_length`.

        Returns:
            The network, ready to predict.

        Raises:
            FileNotFoundError: If there is no such checkpoint.
            ValueError: If it has the head of another task.
        """
        import torch

        from ..embeddings.encoding.backend import known_device

        there: Any = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
        place = known_device(device) if device else there  # a wrong one is told before the network is loaded
        folder = _network_folder(checkpoint)
        opened = open_checkpoint(folder)
        opened.verify()
        own, wanted = architectures(opened.config), MODELS[cls.head]
        if not any(str(name).endswith(wanted.__name__.removeprefix("MmBert")) for name in own):
            raise ValueError(
                f"{checkpoint} is a {', '.join(map(str, own)) or 'nameless network'}, which {cls.__name__} cannot use; "
                f"train one with {cls.__name__}.train."
            )
        known = task_class(cls.task).reading_class
        opened.require_finite()
        told = _record(folder).get(task_class(cls.task).reading_name) or {}
        given = {one.name: told[one.name] for one in fields(known) if one.name in told} | reading
        model: Any = wanted.from_pretrained(folder, use_safetensors=True, **({} if dtype is None else {"dtype": dtype}))
        return cls(model.to(place), load_tokenizer(folder), known(**given), folder)

    @classmethod
    def train(
        cls,
        model: str | Path,
        rows: Any,
        output_dir: str | Path | None = None,
        args: FineTuningArguments | None = None,
        **options: Any,
    ) -> Self:
        """Fine-tune a network with one seed; called again with the same folder, it is read back or goes on.

        Args:
            model: Checkpoint to start from: a folder or a Hub id.
            rows: A file, folder or Hub id (see `mmbert.data.read_labelled`), a Dataset, DataFrame, dict of columns or
                list of dicts to train on, or a mapping of these by `train`, `dev` (which chooses the network) and names
                of tests.
            output_dir: Folder of the network; None: a temporary one, for who saves or pushes the network afterwards.
            args: Hyper-parameters.
            **options: Fields of `FineTuningArguments`, also by short forms such as `epochs`, and of the task's way to
                read rows (`max_length`, ...).

        Returns:
            The network, ready to predict; `scores` are in `fine_tune_record.json` of the folder.

        Raises:
            ValueError: If rows or options are of no use; the message says which.
        """
        kind = task_class(cls.task)
        options = _named_as_here(options, kind, f"{cls.__name__}.train")
        reading = {one.name: options.pop(one.name) for one in fields(kind.reading_class) if one.name in options}
        args = args or FineTuningArguments(**options)
        require_start(model)  # a wrong one is told before rows are read
        parts = _parts(rows, kind.columns)
        home = tempfile.TemporaryDirectory(prefix="mmbert-") if output_dir is None else None
        place: str | Path = Path(home.name) / "run" if home is not None else str(output_dir)
        fine_tune_task(kind, model, parts, place, args, reading=kind.reading_class(**reading), seeds=[args.seed])
        trained = cls.load(place)
        trained._home = home  # goes away with the network
        return trained

    def predict(self, rows: Any, *, batch_size: int = 32, show_progress: bool | None = None) -> Any:
        """Predict.

        Args:
            rows: One input or several, in the forms that the class names; also a Dataset, DataFrame or dict of columns.
            batch_size: Rows that the network reads at once.
            show_progress: Whether to say how far it is; None: on a terminal or in a notebook.

        Returns:
            A dict per row, or one dict for one row.

        Raises:
            ValueError: If a row lacks a column that is read, or several splits are given at once.
        """
        rows = _table_of(rows)
        if not isinstance(rows, Iterable):
            raise ValueError(f"rows are {rows!r:.60}, but must be a text, a dict, or several of them.")
        single, before = isinstance(rows, str | Mapping), self.cut.total()
        found = []
        with Progress("predict", shown=show_progress is not False) as bar:
            if show_progress is None and not bar.draws:
                bar.hide()
            for one in self.stream([rows] if single else rows, batch_size=batch_size):
                found.append(one)
                bar.update(len(found), len(rows) if isinstance(rows, Sized) else None, f"{len(found):,} rows")
        if self.cut.total() > before:
            logger.warning(
                "%d of %d rows were longer than max_length and were cut", self.cut.total() - before, len(found)
            )
        return found[0] if single else found

    def stream(self, rows: Iterable[Any], *, batch_size: int = 32) -> Iterator[dict[str, Any]]:
        """Predict on more rows than fit into memory, in their order.

        Args:
            rows: Inputs, as `predict` takes them.
            batch_size: Rows that the network reads at once.

        Yields:
            A dict per row.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, but must be 1 or more.")
        waiting = iter(rows)
        while part := [self.checked(row) for row in islice(waiting, _WINDOW)]:
            yield from self.decode(part, batch_size)

    @abstractmethod
    def decode(self, rows: list[dict[str, Any]], batch_size: int) -> list[dict[str, Any]]:
        """Predict on checked rows."""

    def checked(self, row: Any) -> dict[str, Any]:
        """Bring an input to a dict with the columns that the task needs."""
        if isinstance(row, list | tuple) and len(self.pair) == len(row):  # as sentence-transformers takes pairs
            row = dict(zip(self.pair, row, strict=True))
        if not isinstance(row, str | Mapping):
            raise ValueError(f"a row is {row!r:.60}, but must be a text, or a dict with {', '.join(self.needs)}.")
        found = {self.needs[0]: row} if isinstance(row, str) else dict(row)
        if not {*self.needs, *self.context} <= found.keys():
            found = with_usual_names(found, "a row")
        missing = [name for name in self.needs if found.get(name) is None]
        if missing:
            raise ValueError(
                f"a row has no {missing[0]}; it has {', '.join(map(str, found))[:200]}; name the column that holds it:"
                f" {columns_option(missing[0], 'COLUMN')}."
            )
        return found

    def save(self, folder: str | Path) -> Path:
        """Save network, tokenizer and, where there is one, the record of training.

        Args:
            folder: Where to.

        Returns:
            The folder.
        """
        from ..modeling.tokenization_mmbert import save_tokenizer

        target = Path(folder)
        self.model.save_pretrained(target)
        save_tokenizer(self.tokenizer, target)
        if self.folder is not None and self.folder.resolve() != target.resolve():
            record = self.folder / "fine_tune_record.json"
            if record.is_file():
                shutil.copy2(record, target / record.name)
        write_checksums(target)
        return target

    def push(self, repo_id: str, **options: Any) -> Any:
        """Publish the network for every reader of ModernBERT, with a card of its scores.

        Args:
            repo_id: Repository, owner/name.
            **options: See `mmbert.export.push`.

        Returns:
            Where it lies.
        """
        from ..export import push

        if self.folder is not None:
            return push(self.folder, repo_id, **options)
        with tempfile.TemporaryDirectory(prefix="mmbert-push-") as folder:
            return push(self.save(folder), repo_id, **options)

    def logits(self, ids: Sequence[Any], batch_size: int, collate: Any = None) -> list[np.ndarray]:
        """Run the network over rows of token ids, longest first; the logits come back in the order of the rows."""
        import torch

        def length(place: int) -> int:
            return max(map(len, ids[place])) if self.head == "choices" else len(ids[place])

        order = sorted(range(len(ids)), key=length, reverse=True)
        found: dict[int, np.ndarray] = {}
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            batch = (collate or self._pad)([ids[place] for place in part])
            with torch.inference_mode():
                output = self.model(**{key: value.to(self.model.device) for key, value in batch.items()})
            if self.head == "spans":
                values: Any = tuple(one.float().cpu().numpy() for one in (output.start_logits, output.end_logits))
            else:
                values = output.logits.float().cpu().numpy()
            found |= dict(zip(part, rows_of(values, {"input_ids": [ids[place] for place in part]}), strict=True))
        return [found[place] for place in range(len(order))]

    def _pad(self, ids: Sequence[Sequence[int]]) -> dict[str, Any]:
        rows = [{"input_ids": list(one), "attention_mask": [1] * len(one)} for one in ids]
        return dict(self.tokenizer.pad(rows, return_tensors="pt"))

    @property
    def labels(self) -> list[str]:
        """Names of the classes in the order of their numbers."""
        names = self.model.config.id2label
        return [str(names[number]) for number in sorted(names)]


class Classifier(TaskModel):
    """Classifies texts or pairs of texts; inputs are strings, tuples, or dicts with `text` (and `text_pair`)."""

    task, head, needs, pair = "classification", "sequence", ("text",), ("text", "text_pair")

    def decode(self, rows: list[dict[str, Any]], batch_size: int) -> list[dict[str, Any]]:
        """Give `label` and `score` (or `labels`, or for numbers the `score` alone), and `scores` of all classes."""
        from datasets import Dataset

        columns = {"text": [str(row["text"]) for row in rows], "language": [_language(row) for row in rows]}
        if "text_pair" in rows[0]:
            columns["text_pair"] = [str(row.get("text_pair") or "") for row in rows]
        own = self.reading
        encoded = encode_texts(
            Dataset.from_dict(columns), self.tokenizer, max_length=own.max_length, windows=own.windows,
            overlap=own.overlap, cut=self.cut,
        )  # fmt: skip
        _, _, logits = pool_windows(self.logits(encoded["input_ids"][:], batch_size), encoded)
        problem = self.model.config.problem_type or "single_label_classification"
        said = named(problem, logits, self.labels)
        if problem == "regression":
            return [{"score": one} for one in said]
        several = problem == "multi_label_classification"
        shares = 1 / (1 + np.exp(-logits)) if several else _softmax(logits)
        found = []
        for one, row in zip(said, shares, strict=True):
            scores = {label: round(float(value), 6) for label, value in zip(self.labels, row, strict=True)}
            found.append({"labels": one, "scores": scores} if several else
                         {"label": one, "score": scores[one], "scores": scores})  # fmt: skip
        return found


class Tagger(TaskModel):
    """Tags words; inputs are strings, lists of words, or dicts with `text` or `tokens`."""

    task, head, needs = "tagging", "tokens", ("text",)

    def checked(self, row: Any) -> dict[str, Any]:
        """Bring text or words to running text."""
        if not isinstance(row, Iterable) or isinstance(row, bytes):
            raise ValueError(
                f"a row is {row!r:.60}, but must be a text, a list of words, or a dict with text or tokens."
            )
        found = {"text": row} if isinstance(row, str) else dict(row) if isinstance(row, Mapping) else {"tokens": row}
        if found.get("tokens") is None and found.get("text") is None:
            found = with_usual_names(found, "a row")
        words = found.get("tokens")
        if words is None and found.get("text") is None:
            raise ValueError(
                f"a row has neither text nor tokens; it has {', '.join(map(str, found))[:200]}; name the column that"
                f" holds it: {columns_option('text', 'COLUMN')}."
            )
        running = split_words(str(found["text"])) if words is None else join_words(list(words))
        return {"running": running}

    def decode(self, rows: list[dict[str, Any]], batch_size: int) -> list[dict[str, Any]]:
        """Give `text`, `words`, `tags`, `scores` (a probability per word) and, where tags mark them, `entities`."""
        own, texts = self.reading, [row["running"] for row in rows]
        encodings = encode_running(
            self.tokenizer, texts, max_length=own.max_length, stride=own.stride, borders=own.borders
        )
        windows = [window for one in encodings for window in one.windows]
        waiting = iter(self.logits(windows, batch_size))
        scheme = entity_scheme(self.labels) if own.entities is not False else None
        found = []
        for running, encoding in zip(texts, encodings, strict=True):
            shares = [_softmax(next(waiting)) for _ in encoding.windows]
            chosen: list[np.ndarray] = encoding.on_words(shares) if encoding.windows else []
            found.append(self._words(running, chosen, scheme))
        return found

    def _words(self, running: RunningText, chosen: Sequence[np.ndarray], scheme: str | None) -> dict[str, Any]:
        tags = [self.labels[int(one.argmax())] for one in chosen]
        line: dict[str, Any] = {"text": running.text, "words": list(running.words), "tags": tags}
        line["scores"] = [round(float(one.max()), 6) for one in chosen]
        if scheme is not None:
            line["entities"] = [plain_entity(one) for one in entities(running, as_prefixed(tags, scheme))]
        return line


class Answerer(TaskModel):
    """Finds answers in passages; inputs are dicts with `question` and `context`, or tuples of the two."""

    task, head, needs, pair = "qa", "spans", ("question", "context"), ("question", "context")

    def decode(self, rows: list[dict[str, Any]], batch_size: int) -> list[dict[str, Any]]:
        """Give `answer` ("" for none), `start` and `end` (characters of the context), `score` and `n_best`."""
        own = self.reading
        encodings = encode_passages(
            self.tokenizer, [str(row["question"]) for row in rows], [str(row["context"]) for row in rows],
            max_length=own.max_length, stride=own.stride, max_question=own.max_question,
        )  # fmt: skip
        windows = [window for one in encodings for window in one.windows]
        waiting = iter(self.logits(windows, batch_size))
        threshold = self._threshold() if own.unanswerable else None
        found = []
        for row, encoding in zip(rows, encodings, strict=True):
            if encoding.question_cut:
                self.cut[_language(row)] += 1
            pairs = [next(waiting) for _ in encoding.windows]
            answers = decode_answers(
                encoding, [one[:, 0] for one in pairs], [one[:, 1] for one in pairs],
                n_best=own.n_best, longest=own.longest, null_threshold=threshold,
            )  # fmt: skip
            best = answers.best
            found.append(
                {"answer": best.text, "start": best.start, "end": best.end, "score": round(best.probability, 6),
                 "n_best": [{"answer": one.text, "score": round(one.probability, 6)} for one in answers.n_best]}
            )  # fmt: skip
        return found

    def _threshold(self) -> float:
        """The threshold of "no answer" that dev chose in training."""
        scores = _record(self.folder).get("scores") or {} if self.folder is not None else {}
        return float(next((part["null_threshold"] for part in scores.values() if "null_threshold" in part), 0.0))


class Chooser(TaskModel):
    """Chooses among continuations; inputs are dicts with `choices` and `context`, `text` or `question`."""

    task, head, needs, context = "choice", "choices", ("choices",), _FIRST

    def decode(self, rows: list[dict[str, Any]], batch_size: int) -> list[dict[str, Any]]:
        """Give `choice` (its text), `place` (from 0), and `scores` of all choices, in their order."""
        limit = self.reading.max_length or self.tokenizer.model_max_length
        found: list[dict[str, Any]] = [{} for _ in rows]
        counts: dict[int, list[int]] = {}
        for place, row in enumerate(rows):
            if isinstance(row["choices"], str) or len(row["choices"]) < 2:
                raise ValueError(f"choices are {row['choices']!r:.60}, but must be a list of 2 or more.")
            counts.setdefault(len(row["choices"]), []).append(place)
        for count, places in counts.items():
            pairs = [
                (" ".join(str(rows[place][c]) for c in _FIRST if rows[place].get(c)), str(choice))
                for place in places
                for choice in rows[place]["choices"]
            ]
            ids = self.tokenizer(*map(list, zip(*pairs, strict=True)), truncation=True, max_length=limit)["input_ids"]
            for number, one in enumerate(ids):
                if len(one) >= limit and number % count == 0:
                    self.cut[_language(rows[places[number // count]])] += 1
            groups = [ids[start : start + count] for start in range(0, len(ids), count)]
            for place, logits in zip(places, self.logits(groups, batch_size, self._pad_choices), strict=True):
                best = int(logits.argmax())
                scores = [round(float(one), 6) for one in _softmax(logits)]
                found[place] = {"choice": str(rows[place]["choices"][best]), "place": best, "scores": scores}
        return found

    def _pad_choices(self, groups: Sequence[Sequence[Sequence[int]]]) -> dict[str, Any]:
        batch = self._pad([one for group in groups for one in group])
        return {key: value.view(len(groups), -1, value.shape[-1]) for key, value in batch.items()}


KINDS: dict[str, type[TaskModel]] = {
    "ForSequenceClassification": Classifier,
    "ForTokenClassification": Tagger,
    "ForQuestionAnswering": Answerer,
    "ForMultipleChoice": Chooser,
}


def load_task_model(checkpoint: str | Path, **options: Any) -> TaskModel:
    """Load a fine-tuned network of any task, by the head that its config names.

    Args:
        checkpoint: Folder or Hub id.
        **options: See `TaskModel.load`.

    Returns:
        A `Classifier`, `Tagger`, `Answerer` or `Chooser`.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it has no head of a task.
    """
    folder = _network_folder(checkpoint)
    own = architectures(read_json(folder / "config.json"))
    for ending, kind in KINDS.items():
        if any(str(name).endswith(ending) for name in own):
            return kind.load(folder, **options)
    if (folder / "modules.json").is_file():
        raise ValueError(f"{checkpoint} gives vectors, no predictions; use `mmbert embed` or `mmbert search`.")
    raise ValueError(
        f"{checkpoint} is a {', '.join(map(str, own)) or 'nameless network'} and predicts nothing yet; fine-tune it "
        "first (mmbert finetune), or give a fine-tuned folder."
    )


def _record(folder: Path) -> dict[str, Any]:
    return read_record(folder) if (folder / "fine_tune_record.json").is_file() else {}


def _network_folder(checkpoint: str | Path) -> Path:
    """Find the network's folder: of a fine-tuning with several seeds, that of the first."""
    folder = local_checkpoint(str(checkpoint))
    if not folder.is_dir():
        raise FileNotFoundError(f"{checkpoint} does not exist; give the folder or Hub id of a fine-tuned network")
    seeds = sorted(folder.glob("seed-*/config.json"), key=lambda path: (len(path.parent.name), path.parent.name))
    if not seeds or (folder / "config.json").is_file():
        return folder
    logger.info("%s holds the networks of %d seeds; %s predicts", folder, len(seeds), seeds[0].parent.name)
    return seeds[0].parent


def _table_of(rows: Any) -> Any:
    """Bring a table (pandas, polars, arrow, a dict of columns) to rows; everything else stays as it is."""
    if hasattr(rows, "iloc") and hasattr(rows, "columns"):  # pandas, where a missing value is a NaN
        return rows.astype(object).where(rows.notna(), None).to_dict("records")
    for method in ("to_dicts", "to_pylist"):  # polars, arrow
        if hasattr(rows, method):
            return getattr(rows, method)()
    if not isinstance(rows, Mapping):
        return rows
    if rows and all(hasattr(part, "column_names") or hasattr(part, "iloc") for part in rows.values()):
        if not any(getattr(part, "ndim", 2) == 1 for part in rows.values()):
            raise ValueError(f"rows are the splits {', '.join(map(str, rows))}; give one of them.")
    if not _is_table(rows):
        return rows
    lengths = {name: len(values) for name, values in rows.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"columns must be of one length, got {told}.")
    return [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]


def _is_table(rows: Mapping[Any, Any]) -> bool:
    """Whether these are columns: the texts are lists, or the words lists of lists. One row has a list of words."""
    texts = [usual_column(name, rows) for name in ("text", "question", "context")]
    words = usual_column("tokens", rows)
    return any(name is not None and isinstance(_first(rows[name]), str) for name in texts) or (
        words is not None and isinstance(_first(rows[words]), list | tuple)
    )


def _first(values: Any) -> Any:
    return next(iter(values), None) if hasattr(values, "__len__") and not isinstance(values, str | Mapping) else None


def with_usual_names(row: dict[str, Any], place: str) -> dict[str, Any]:
    """Add what the row has under a usual name, as fine-tuning reads it; lists that are written out become lists."""
    usual = {name: row[found] for name in READ if name not in row and (found := usual_column(name, row)) is not None}
    read = {**row, **usual}
    if read.get("choices") is None and (numbered := numbered_choices(row)):
        read["choices"] = [row[name] for name in numbered if row[name] not in (None, "")]
    for name in ("tokens", "choices"):
        if isinstance(read.get(name), str) and is_written_list([read[name]]):
            read[name] = written_list(read[name], f"{place}, {name}")
    return read


def _language(row: Mapping[str, Any]) -> str:
    return str(row.get("language") or row.get("lang") or "und")


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    found: np.ndarray = shares / shares.sum(-1, keepdims=True)
    return found


def _named_as_here(options: dict[str, Any], kind: type[Any], where: str) -> dict[str, Any]:
    """Options under the names of fields; short forms are understood, others refused with the nearest."""
    known = spellings([one.name for one in (*fields(FineTuningArguments), *fields(kind.reading_class))])
    found = {}
    for name, value in options.items():
        try:
            found[known_name(name, known, where)] = value
        except ValueError as error:
            raise TypeError(
                str(error).replace(f"`{where} --help` lists", f"help({where}) lists").replace("--", "")
            ) from None
    return found


def _parts(rows: Any, columns: Sequence[str | tuple[str, ...]]) -> dict[str, Any]:
    """Read training rows in any of the forms that `train` takes."""
    from ..data.labelled.read import read_labelled

    if isinstance(rows, str | Path):
        found = {}
        for split in ("train", "dev", "test"):
            try:
                found[split] = read_labelled(rows, split=split, require=columns)
            except ValueError as error:
                if "has no split" not in str(error):
                    raise
        return found or {"train": read_labelled(rows, require=columns)}
    rows = _table_of(rows) if not isinstance(rows, Mapping) or _is_table(rows) else rows
    if not isinstance(rows, Mapping):
        rows = {"train": rows}
    found = {_ALIASES.get(name, name): _plain(part, columns) for name, part in rows.items()}
    if "train" not in found:
        raise ValueError(f"there are no rows to train on; name them train, not {', '.join(rows)}.")
    return found


def _plain(part: Any, columns: Sequence[str | tuple[str, ...]]) -> Any:
    """Bring a Dataset or a list of dicts to the columns of `read_labelled`: class names, and a language per row."""
    from datasets import ClassLabel, Dataset

    from ..data.labelled.read import read_labelled

    if isinstance(part, str | Path):
        return read_labelled(part, require=columns)
    rows = part if isinstance(part, Dataset) else Dataset.from_list(_dicts(_table_of(part)))
    asked: tuple[Any, ...] = ("answers",) if "question" in columns else ()  # rows of a test may have none
    asked += (_FIRST,) if "choices" in columns else ()
    # whether 0.25 is a class is decided where files are read
    floats = "label" in rows.column_names and any(isinstance(value, float) for value in rows["label"][:])
    for name, feature in rows.features.items():
        inner = getattr(feature, "feature", feature)
        names = inner.names if isinstance(inner, ClassLabel) else None
        if names is None and name not in ("label", "labels", "tags"):
            continue
        values = [_named(value, names) for value in rows[name][:]]
        rows = rows.remove_columns(name).add_column(name, values)
    if floats or not all(_has(rows.column_names, one) for one in (*columns, *asked)) or _is_odd(rows, columns):
        return _by_usual_names(rows, columns)
    if "lang" in rows.column_names and "language" not in rows.column_names:
        rows = rows.rename_column("lang", "language")
    return rows if "language" in rows.column_names else rows.add_column("language", ["und"] * len(rows))


def _dicts(part: Iterable[Any]) -> list[Any]:
    rows = list(part)
    if not rows:
        raise ValueError("there is no row; give dicts, such as {'text': 'good morning', 'label': 'day'}.")
    if (odd := next((row for row in rows if not isinstance(row, Mapping)), None)) is not None:
        raise ValueError(f"a row is {odd!r:.60}; give dicts, such as {{'text': 'good morning', 'label': 'day'}}.")
    return rows


def _has(there: Sequence[str], wanted: str | tuple[str, ...]) -> bool:
    return any(one.endswith("?") or one in there for one in ((wanted,) if isinstance(wanted, str) else wanted))


def _is_odd(rows: Any, columns: Sequence[str | tuple[str, ...]]) -> bool:
    """Whether a value is missing: what is done then is decided where files are read."""
    for one in columns:
        name = next((name for name in ((one,) if isinstance(one, str) else one) if name in rows.column_names), None)
        if name is not None and any(value is None or value == "" for value in rows[name][:]):
            return True
    return False


def _by_usual_names(rows: Any, columns: Sequence[str | tuple[str, ...]]) -> Any:
    """Read rows whose columns have other usual names (`sentence`, `ner_tags`, `answer`) as a file of them is read."""
    from ..data.labelled.read import read_labelled

    with tempfile.TemporaryDirectory(prefix="mmbert-rows-") as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows), encoding="utf-8")
        try:
            return read_labelled(path, require=columns)
        except ValueError as error:
            told = re.sub(r"columns=\{'(\w+)': [^}]*\}", r"by naming it \1", str(error))
            raise ValueError(told.replace(str(path), "the list of rows")) from None


def _named(value: Any, names: Sequence[str] | None) -> Any:
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    if value is None or (names is not None and isinstance(value, int) and value < 0):  # -1: a test without labels
        return None
    return names[value] if names is not None and isinstance(value, int) else str(value)
