"""Several seeds: what is finished is read back, what differs is refused before the first training, for every task."""

import json
import logging
import re

import numpy as np
import pytest
from datasets import Dataset, concatenate_datasets
from mmbert.tasks import fine_tune_answerer, fine_tune_chooser, fine_tune_classifier, fine_tune_tagger
from mmbert.tasks.cli import task_class
from mmbert.tasks.question_answering import PassageOptions
from mmbert.trainers import FineTuningArguments
from tests_support import WORDS, save_model

PLAN = {"max_steps": 1, "per_device_train_batch_size": 2, "learning_rate": 1e-2, "use_cpu": True}
NUMBER = 4


@pytest.fixture(scope="module")
def checkpoint(tokenizer, tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("encoder"), tokenizer, hidden_size=16, intermediate_size=24)


def rows_of(kind):
    """Four rows of a task; training rows are other ones than those of dev and test."""

    def part(first):
        words = WORDS["eng_Latn"][first : first + NUMBER]
        found = {"language": ["eng_Latn"] * NUMBER}
        if kind == "class":
            found |= {"text": words, "label": ["a", "b"] * (NUMBER // 2)}
        elif kind == "tags":
            found |= {"tokens": [[word, "x"] for word in words], "tags": [["A", "B"]] * NUMBER}
        elif kind == "choices":
            found |= {"text": words, "choices": [["yes", "no"]] * NUMBER, "label": ["yes", "no"] * (NUMBER // 2)}
        else:
            contexts = [f"{word} and {word}" for word in words]
            answers = [{"text": [word], "answer_start": [0]} for word in words[:-1]]
            answers.append({"text": [], "answer_start": []})
            found |= {"id": words, "question": ["which?"] * NUMBER, "context": contexts, "answers": answers}
        return Dataset.from_dict(found)

    return {"train": part(0), "dev": part(4), "test": part(6)}


SILENT = PassageOptions(unanswerable=True)
TASKS = {
    "class": (fine_tune_classifier, {}, "predictions_test.jsonl"),
    "tags": (fine_tune_tagger, {}, "predictions_test.jsonl"),
    "choices": (fine_tune_chooser, {}, "predictions_test.jsonl"),
    "answers": (fine_tune_answerer, {"passages": SILENT}, "predictions_test/predictions.json"),
}


@pytest.mark.parametrize("kind", TASKS)
def test_finished_seeds_are_read_back_and_the_others_trained(kind, checkpoint, tokenizer, tmp_path, caplog):
    call, own, file = TASKS[kind]
    given = {"tokenizer": tokenizer, "output_dir": tmp_path / "run", "args": FineTuningArguments(**PLAN), **own}
    first = call(checkpoint, rows_of(kind), seeds=[0, 1], **given)
    written = [(tmp_path / "run" / f"seed-{seed}" / file).read_text(encoding="utf-8") for seed in (0, 1)]
    (tmp_path / "run" / "seed-0" / file).unlink()  # as if it had been stopped before writing it
    weights = tmp_path / "run" / "seed-0" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    with caplog.at_level(logging.INFO, logger="mmbert"):
        again = call(checkpoint, rows_of(kind), seeds=[0, 1, 2], **given)
    assert weights.stat().st_mtime_ns == before and caplog.text.count("read back, not trained again") == 2
    assert [result.record["options"]["seed"] for result in again] == [0, 1, 2]
    for one, other in zip(first, again, strict=False):
        assert json.loads(json.dumps(one.record)) == other.record
        assert (one.scores, one.by_language, one.folder) == (other.scores, other.by_language, other.folder)
        for mine, theirs in zip(one.predictions["test"], other.predictions["test"], strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert written == [(tmp_path / "run" / f"seed-{seed}" / file).read_text(encoding="utf-8") for seed in (0, 1)]
    assert again[2].folder.name == "seed-2" and (again[2].folder / file).is_file()


def test_what_is_read_back_must_be_the_same(checkpoint, tokenizer, tmp_path):
    rows = rows_of("answers")
    given = {"tokenizer": tokenizer, "args": FineTuningArguments(**PLAN)}

    def call(changed=None, seeds=(0, 1), **options):
        reading = PassageOptions(unanswerable=True, **options)
        return fine_tune_answerer(
            checkpoint, changed or rows, output_dir=tmp_path, seeds=seeds, passages=reading, **given
        )

    call(seeds=(1, 2))
    call(seeds=(1, 2), n_best=3, on_bad_row="skip")  # neither says what is right or found
    more = rows["test"].map(
        lambda row: {"answers": {key: value * 2 for key, value in row["answers"].items()}}
    )  # another right answer, which no encoded row shows
    for arguments, told in (
        ({"longest": 7}, "conditions.passages.longest was 40 and is now 7"),
        ({"max_length": 100, "stride": 9}, "conditions.passages.max_length was 512 and is now 100"),
        ({"changed": {**rows, "test": more}}, "conditions.sources.test was "),
    ):
        with pytest.raises(ValueError, match=re.escape(told)) as refused:
            call(**arguments)
        assert "seed-1 holds a run made under other conditions" in str(refused.value)
    assert not (tmp_path / "seed-0").exists(), "nothing is trained before a later seed is refused"


@pytest.mark.parametrize(
    ("kind", "score", "known"),
    [("class", "pearson", "accuracy, "), ("tags", "recall", "accuracy, "), ("answers", "official_f1", "f1, exact.")],
)
def test_a_score_that_there_is_not_is_told_before_the_training(kind, score, known, checkpoint, tokenizer, tmp_path):
    call, own, _ = TASKS[kind]
    given = {"tokenizer": tokenizer, "output_dir": tmp_path / "run", **own}
    with pytest.raises(ValueError, match=f"^no score '{score}'; there are {known}"):
        call(checkpoint, rows_of(kind), score=score, **given)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("kind", "metric", "known"),
    [
        ("class", "pearson", "accuracy, macro_f1, micro_f1, matthews, loss"),
        ("answers", "official_f1", "f1, exact, answerable_f1, unanswerable_f1, loss"),
    ],
)
def test_a_metric_that_there_is_not_is_told_before_the_training(
    kind, metric, known, checkpoint, tokenizer, tmp_path, caplog
):
    call, own, _ = TASKS[kind]
    args = FineTuningArguments(**PLAN, metric_for_best_model=metric)
    given = {"tokenizer": tokenizer, "output_dir": tmp_path / "run", "args": args, **own}
    with pytest.raises(ValueError, match=f"^no metric '{metric}' to choose by; there are {known}.$"):
        call(checkpoint, rows_of(kind), **given)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("metric", ["answerable_f1", "unanswerable_f1", "loss"])
def test_what_is_named_as_a_metric_is_there_when_dev_is_scored(metric, checkpoint, tokenizer, tmp_path):
    args = FineTuningArguments(**PLAN, metric_for_best_model=metric)
    given = {"tokenizer": tokenizer, "output_dir": tmp_path, "args": args, "passages": SILENT}
    (result,) = fine_tune_answerer(checkpoint, rows_of("answers"), seeds=[0], **given)
    (scored,) = [entry for entry in result.record["history"] if "eval_main" in entry]
    assert scored["eval_main"] == scored[f"eval_{metric}"]


def test_a_language_without_a_label_is_told_before_the_training(checkpoint, tokenizer, tmp_path):
    rows = rows_of("tags")
    bare = Dataset.from_dict({"language": ["swh_Latn"], "tokens": [["mto", "x"]], "tags": [[None, "_"]]})
    rows["test"] = concatenate_datasets([rows["test"], bare])
    given = {"tokenizer": tokenizer, "output_dir": tmp_path / "run", "args": FineTuningArguments(**PLAN)}
    with pytest.raises(ValueError, match="test has no word with a label that training has in swh_Latn; give"):
        fine_tune_tagger(checkpoint, rows, **given)
    assert not (tmp_path / "run").exists()


def test_a_score_that_no_rows_have_is_refused_before_anything_is_read(checkpoint, tmp_path):
    for kind, (train, _, _) in TASKS.items():
        with pytest.raises(ValueError, match="metric='f1x' is none of "):
            train(checkpoint, {}, tmp_path / "x", FineTuningArguments(**PLAN, metric_for_best_model="f1x"))
        rows = {**rows_of(kind), "train": rows_of(kind)["train"]}
        rows.pop("dev")
        with pytest.raises(ValueError, match="table_score='accurac' is none of "):
            train(checkpoint, rows, tmp_path / "x", FineTuningArguments(**PLAN), score="accurac")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("kind", "reading", "changes"),
    [
        ("classification", {"positive": "a"}, {}),
        ("classification", {}, {"label": None, "labels": [["a"], ["b"], ["a", "b"], ["b"]]}),
        ("classification", {}, {"label": None, "score": [0.5, 1.0, 2.0, 3.0]}),
        ("tagging", {}, {}),
        ("tagging", {}, {"tags": [["B-X", "O"]] * NUMBER}),
        ("qa", {"unanswerable": True, "official": "squad"}, {}),
        ("choice", {}, {}),
    ],
)
def test_every_score_of_a_task_is_among_its_names(kind, reading, changes, tokenizer):
    own = task_class(kind)
    rows = rows_of({"classification": "class", "tagging": "tags", "choice": "choices"}.get(kind, kind))["train"]
    for name, values in changes.items():
        rows = rows.remove_columns(name) if name in rows.column_names else rows
        rows = rows if values is None else rows.add_column(name, values)
    task = own({"train": rows, "dev": rows}, tokenizer, own.reading_class(**reading))
    encoded = task.encoded["dev"]
    width = max(len(task.labels), 1) if kind != "choice" else 2
    if kind == "qa":
        guesses = [np.zeros((len(one), 2)) for one in encoded["input_ids"][:]]
    elif kind == "tagging":
        guesses = [np.eye(width)[np.zeros(len(one), int)] for one in encoded["input_ids"][:]]
    else:
        guesses = [np.arange(width, dtype=float) + row for row in range(len(encoded))]
    scores = task(guesses, encoded)
    assert {*scores} - {"null_threshold"} <= {*own.score_names}
    assert {name for one in task.baselines("dev").values() for name in one} <= {*own.score_names}
