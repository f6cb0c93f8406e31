"""Rows of a task: fixed by what they say, whatever their order; what cannot be used is refused before any training."""

import json

import pytest
from datasets import Dataset
from mmbert.evaluation.benchmark.catalogue import BenchmarkTask, Part, read_task, task_named
from mmbert.evaluation.benchmark.catalogue.catalogue import load_tasks
from mmbert.evaluation.benchmark.catalogue.rows import Limits

TAGS = ("eng_Latn", "deu_Latn", "fao_Latn")


def rows(split, count, languages=TAGS, labels=("old", "new")):
    return [
        {"split": split, "lang": tag, "text": f"{split} {tag} {number}", "label": labels[number % len(labels)]}
        for tag in languages
        for number in range(count)
    ]


def write(path, found):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), encoding="utf-8")
    return str(path)


@pytest.fixture
def task():
    return BenchmarkTask("ages", "Ages", "more", "labels", "accuracy")


def test_order_does_not_matter_and_caps_keep_the_same_rows(task, tmp_path):
    found = rows("train", 40, ["eng_Latn"]) + rows("dev", 10) + rows("test", 10)
    one = write(tmp_path / "one.jsonl", found)
    other = write(tmp_path / "other.jsonl", found[::-1])
    limits = Limits(train_rows=7, test_rows=4)
    first, second = (read_task(task, {"": path}, limits) for path in (one, other))
    assert sorted(first.train["text"]) == sorted(second.train["text"]) and len(first.train) == 7
    assert sorted(first.test["text"]) == sorted(second.test["text"]) and len(first.test) == 4 * 3
    assert set(first.dev["language"]) == {"eng_Latn"}
    assert any("trained on 7 of 40 rows" in note for note in first.notes)
    assert read_task(task, {"": one}).fingerprint != first.fingerprint


def test_dev_is_cut_out_of_train_where_there_is_none(task, tmp_path):
    path = write(tmp_path / "rows.jsonl", rows("train", 50, ["eng_Latn"]) + rows("test", 5))
    found = read_task(task, {"": path})
    assert len(found.dev) == 5 and len(found.train) == 45
    assert not set(found.dev["text"]) & set(found.train["text"])
    assert any("cut out of train" in note for note in found.notes)


def test_dev_lends_its_rows_where_training_languages_have_no_train(task, tmp_path):
    path = write(tmp_path / "rows.jsonl", rows("train", 9, ["fao_Latn"]) + rows("dev", 30) + rows("test", 5))
    found = read_task(task, {"": path})
    assert set(found.train["language"]) == {"eng_Latn"} and len(found.train) + len(found.dev) == 30
    assert found.notes[0].startswith("trained on the dev split")


def test_splits_may_come_from_files_of_their_own(task, tmp_path):
    train = write(tmp_path / "a.jsonl", rows("a", 20, ["eng_Latn"]))
    test = write(tmp_path / "b.jsonl", rows("test", 4))
    found = read_task(task, {"train": train, "test": test})
    assert len(found.train) + len(found.dev) == 20 and len(found.test) == 12


def test_a_part_names_the_columns_of_its_source(tmp_path):
    path = write(tmp_path / "x.jsonl", [{**row, "tweet": row.pop("text")} for row in rows("train", 20, ["eng_Latn"])])
    test = write(tmp_path / "y.jsonl", [{**row, "tweet": row.pop("text")} for row in rows("test", 4, ["eng_Latn"])])
    parts = {
        "train": Part(path, "train", columns={"text": "tweet"}),
        "test": Part(test, "test", columns={"text": "tweet"}),
    }
    found = read_task(BenchmarkTask("t", "T", "more", "labels", "accuracy", parts))
    assert found.test["text"][0] == "test eng_Latn 0"


@pytest.mark.parametrize(
    ("found", "limits", "message"),
    [
        (rows("train", 9, ["fao_Latn"]) + rows("test", 3), {}, "no rows to train on in eng_Latn; there are fao_Latn"),
        (rows("train", 9), {}, "there is no test split"),
        (rows("train", 9, labels=["old"]) + rows("test", 3), {}, "training rows have the label old"),
        (rows("train", 9) + rows("test", 3, labels=["x", "y"]), {}, "test has the labels x, y, train has new, old"),
        (rows("train", 9) + rows("test", 3), {"languages": ("swh_Latn",)}, "no row in swh_Latn"),
        ([{**rows("train", 1)[0], "text": " "}, *rows("train", 9), *rows("test", 2)], {}, "row 1: no text"),
        ([{**rows("train", 1)[0], "label": None}, *rows("train", 9), *rows("test", 2)], {}, "row 1: no label"),
        (rows("train", 9), {"test_rows": 0}, "test_rows is 0"),
    ],
)
def test_bad_rows_are_refused_in_one_line(task, tmp_path, found, limits, message):
    path = write(tmp_path / "rows.jsonl", found)
    with pytest.raises(ValueError, match=message) as refused:
        read_task(task, {"": path}, Limits(**limits))
    assert "\n" not in str(refused.value)


def test_the_class_whose_f1_counts_must_be_there(tmp_path):
    """GLUE as many files have it: 0 and 1, none of which is MRPC's `equivalent`; F1 would be 0 whatever is said."""
    found = [{**row, "text_pair": "x"} for row in rows("train", 9, labels=["0", "1"])]
    found += [{**row, "text_pair": "x"} for row in rows("test", 3, labels=["0", "1"])]
    path = write(tmp_path / "mrpc.jsonl", found)
    message = "mrpc: f1 is that of the label 'equivalent', which no training row has; the labels are 0, 1"
    with pytest.raises(ValueError, match=message):
        read_task(task_named("mrpc"), {"": path})


def test_a_file_without_splits_is_no_test_of_its_own_rows(task, tmp_path):
    path = write(tmp_path / "rows.jsonl", [{k: v for k, v in row.items() if k != "split"} for row in rows("x", 9)])
    dev = write(tmp_path / "dev.jsonl", rows("dev", 3))
    with pytest.raises(ValueError, match="all 27 test rows are training rows too; give files with a column `split`"):
        read_task(task, {"": path, "dev": dev}, Limits(train_languages=("all",)))


def test_rows_that_stand_in_both_are_counted(task, tmp_path):
    again = [{**row, "split": "test"} for row in rows("train", 5)]
    path = write(tmp_path / "rows.jsonl", rows("train", 5) + rows("dev", 3) + again + rows("test", 1))
    found = read_task(task, {"": path}, Limits(train_languages=("all",)))
    assert "15 of 18 test rows stand in train too" in found.notes


def test_all_languages_means_those_that_have_the_split(monkeypatch):
    def read(source, *, split, language, **_):
        if split == "train" and language == "tir_Ethi":
            raise ValueError(f"{source} has no split 'train'; there are test.")
        return Dataset.from_list([{**row, "language": language} for row in rows(split, 4, [language])])

    monkeypatch.setattr("mmbert.evaluation.benchmark.catalogue.rows.read_labelled", read)
    found = read_task(task_named("afrisenti"))
    assert "tir_Ethi" not in found.train_languages and "hau_Latn" in found.train_languages
    assert "tir_Ethi" in found.test["language"][:] and "there is no train split in tir_Ethi" in found.notes
    with pytest.raises(ValueError, match="has no split 'train'"):
        read_task(task_named("afrisenti"), limits=Limits(train_languages=("tir_Ethi", "hau_Latn")))


def test_dev_rows_of_the_test_choose_nothing(tmp_path):
    """XQuAD's English questions are SQuAD's dev, there with more answers."""
    squad = task_named("xquad")
    asked = {"lang": "eng_Latn", "context": "Anna lives in Oslo."}
    found = [{**asked, "split": "train", "question": "Who?", "answers": {"text": ["Anna"], "answer_start": [0]}}]
    for split, texts in (("dev", ["Oslo", "in Oslo"]), ("test", ["Oslo"])):
        starts = [asked["context"].index(text) for text in texts]
        answers = {"text": texts, "answer_start": starts}
        found.append({**asked, "split": split, "question": "Where?", "answers": answers})
    path = write(tmp_path / "rows.jsonl", found)
    with pytest.raises(ValueError, match="xquad: all 1 dev rows are test rows too, so the test would choose"):
        read_task(squad, {"": path})
    other = {**found[0], "split": "dev", "question": "What is she called?"}
    rows = read_task(squad, {"": write(tmp_path / "more.jsonl", [*found, other])})
    assert rows.dev["question"][:] == ["What is she called?"]
    assert "1 of 2 dev rows stand in the test and were left out" in rows.notes


def test_words_that_nobody_tagged_are_not_called_wrong(tmp_path):
    def row(split, tags):
        return {"split": split, "lang": "eng_Latn", "tokens": [split, "is", "it"], "tags": tags}

    found = [row("train", ["X", "_", "Y"]), row("dev", ["X", "_", "_"]), row("test", ["X", "_", "Z"])]
    rows = read_task(task_named("udpos"), {"": write(tmp_path / "rows.jsonl", found)})
    assert rows.labels == ("X", "Y")
    assert rows.notes == ("1 labels of the test (Z) are not in train and count as wrong",)


def test_rows_that_lack_a_value_are_left_out_and_counted(task, tmp_path):
    found = [{**rows("train", 1)[0], "text": ""}, *rows("train", 9), *rows("test", 2)]
    path = write(tmp_path / "rows.jsonl", found)
    notes = read_task(task, {"": path}, Limits(skip_bad_rows=True)).notes
    assert "train: left out 1 of 28 rows, which lack a value" in notes


def test_training_rows_whose_answer_is_not_in_its_passage_are_left_out_and_counted(tmp_path):
    def row(split, number, answer):
        context = f"{split} {number} lives in Oslo"
        answers = {"text": [answer], "answer_start": [context.find("Oslo")]}
        return {
            "split": split,
            "lang": "eng_Latn",
            "question": f"where {number}?",
            "context": context,
            "answers": answers,
        }

    found = [row("train", number, "Oslo" if number < 6 else "Rome") for number in range(8)]
    found += [row("dev", 0, "Oslo"), row("test", 0, "Rome"), row("test", 1, "Oslo")]
    path = write(tmp_path / "rows.jsonl", found)
    asked = BenchmarkTask("asked", "Asked", "more", "answers", "f1")
    kept = read_task(asked, {"": path}, Limits(skip_bad_rows=True, train_rows=6))
    assert "train: left out 2 of 8 rows, whose answer is not in their passage" in kept.notes
    assert len(kept.train) == 6 and {one["text"][0] for one in kept.train["answers"]} == {"Oslo"}
    assert len(kept.test) == 2, "what is evaluated is compared by its text"
    assert len(read_task(asked, {"": path}).train) == 8
    bad = write(tmp_path / "bad.jsonl", [row("train", 0, "Rome"), row("dev", 0, "Oslo"), row("test", 1, "Oslo")])
    with pytest.raises(ValueError, match="asked: none of 1 training rows has its answers in its passage"):
        read_task(asked, {"": bad}, Limits(skip_bad_rows=True))


def test_labels_that_only_the_test_has_are_counted(task, tmp_path):
    strange = rows("test", 4) + rows("test", 2, ["eng_Latn"], ["never"])
    path = write(tmp_path / "rows.jsonl", rows("train", 20) + strange)
    assert any("2 labels of the test (never) are not in train" in note for note in read_task(task, {"": path}).notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks: {a: {title: A, head: labels}}", "task a: metric is missing"),
        ("tasks: {a: {title: A, head: labels, metric: spearman}}", "task a: metric must be one of accuracy"),
        ("tasks: {a: {title: A, head: heads, metric: f1}}", "task a: head must be one of labels"),
        ("tasks: {a: {titel: A, head: labels, metric: f1}}", "task a: unknown key 'titel'"),
        ("tasks: [a]", "has no `tasks:`"),
        ("tasks: {", "is not valid YAML"),
    ],
)
def test_a_bad_catalogue_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "tasks.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as refused:
        load_tasks(path)
    assert "\n" not in str(refused.value)


def test_a_catalogue_of_ones_own_stands_beside_the_shipped_one(tmp_path):
    path = tmp_path / "tasks.yaml"
    path.write_text("tasks: {ages: {title: Ages, head: labels, metric: macro_f1, training: {epochs: 4}}}")
    assert task_named("ages", path).metric == "macro_f1"
    assert task_named("xnli", path).title == "XNLI"
