"""Texts, pairs and choices from labelled rows to tables: targets, windows, baselines, spreads over seeds, bad rows."""

import json
import logging
import statistics

import mmbert
import numpy as np
import pytest
import torch
from datasets import Dataset, concatenate_datasets
from mmbert.data import encode_texts
from mmbert.model_cards import draw_language_scores
from mmbert.tasks import (
    ChoiceOptions,
    TextOptions,
    fine_tune_chooser,
    fine_tune_classifier,
    language_table,
    table_lines,
)
from mmbert.tasks.metrics.intervals import share_interval
from mmbert.tasks.multiple_choice import encode_choices, first_number, right_choices
from mmbert.tasks.text_classification import (
    baseline_scores,
    decide,
    encode_rows,
    labels_of,
    pool_windows,
    problem_of,
    score,
)
from mmbert.trainers import FineTuningArguments
from tests_support import save_model, sentences

SINGLE, SEVERAL, NUMBER = "single_label_classification", "multi_label_classification", "regression"
FAST = {"use_cpu": True}


@pytest.fixture(scope="module")
def base(tokenizer, tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("base"), tokenizer, num_hidden_layers=4)


def texts(seed, count=16, languages=("deu_Latn", "eng_Latn")):
    pairs = [(tag, text) for tag in languages for text in sentences(tag, count, seed)]
    return Dataset.from_dict({"language": [tag for tag, _ in pairs], "text": [text for _, text in pairs]})


def with_column(rows, name, value):
    return rows.add_column(name, [value(tag) for tag in rows["language"][:]])


def test_windows_hold_every_token_once_more_for_the_overlap(tokenizer):
    rows = Dataset.from_dict(
        {"text": [" ".join(sentences("eng_Latn", 20)), "the old bridge"], "language": ["eng_Latn"] * 2}
    )
    whole = encode_texts(rows, tokenizer)
    parts = encode_texts(rows, tokenizer, max_length=32, windows=True, overlap=8)
    assert whole["row"][:] == [0, 1] and max(map(len, parts["input_ids"][:])) <= 32
    joined = []
    for place, ids in enumerate(
        ids for ids, row in zip(parts["input_ids"][:], parts["row"][:], strict=True) if row == 0
    ):
        joined += ids[1:-1] if place == 0 else ids[1 + 8 : -1]
    assert joined == whole["input_ids"][0][1:-1]
    assert parts["input_ids"][-1] == whole["input_ids"][1] and parts["row"][-1] == 1


def test_a_cut_is_counted_and_special_tokens_stay(tokenizer, caplog):
    rows = Dataset.from_dict({"text": [" ".join(sentences("eng_Latn", 20)), "the"], "language": ["und"] * 2})
    with caplog.at_level(logging.WARNING, logger="mmbert"):
        cut = encode_texts(rows, tokenizer, max_length=16)
    assert "1 of 2 texts are longer than 16 tokens and were cut" in caplog.text
    assert len(cut) == 2 and len(cut["input_ids"][0]) == 16 and cut["input_ids"][0][-1] == tokenizer.eos_token_id
    with pytest.raises(ValueError, match="a row has room for 0 tokens"):
        encode_texts(rows, tokenizer, max_length=2)
    with pytest.raises(ValueError, match="windows are for single texts"):
        encode_texts(rows.add_column("text_pair", ["a", "b"]), tokenizer, windows=True)


def test_pairs_are_read_as_the_tokenizer_reads_pairs(tokenizer):
    rows = Dataset.from_dict({"text": ["the house"], "text_pair": ["a river"], "language": ["eng_Latn"]})
    assert encode_texts(rows, tokenizer)["input_ids"][0] == tokenizer("the house", "a river")["input_ids"]


def test_logits_of_windows_are_averaged():
    rows = Dataset.from_dict({"row": [3, 3, 7], "labels": [1, 1, 0]})
    documents, first, logits = pool_windows([np.array([0.0, 4.0]), np.array([2.0, 0.0]), np.array([1.0, 0.5])], rows)
    assert documents.tolist() == [3, 7] and first.tolist() == [0, 2]
    assert logits.tolist() == [[1.0, 2.0], [1.0, 0.5]]
    truth = np.array(rows["labels"][:])[first]
    assert score(SINGLE, truth, decide(SINGLE, logits))["accuracy"] == 1.0


def test_what_rows_ask_for(tokenizer):
    numbers = Dataset.from_dict({"text": ["a"] * 3, "language": ["und"] * 3, "label": ["10", "2", "-1"]})
    assert problem_of(numbers) == SINGLE and labels_of(numbers, SINGLE) == ["-1", "2", "10"]
    several = Dataset.from_dict({"text": ["a", "b"], "language": ["und"] * 2, "labels": [["x", "y"], []]})
    names = labels_of(several, problem_of(several))
    encoded, _ = encode_rows("train", several, tokenizer, SEVERAL, names, TextOptions())
    assert names == ["x", "y"] and encoded["labels"][:] == [[1.0, 1.0], [0.0, 0.0]]
    with pytest.raises(ValueError, match="rows need a label, labels or score; there are text"):
        problem_of(Dataset.from_dict({"text": ["a"]}))


def test_guesses_against_closed_forms():
    train, test = [0] * 60 + [1] * 40, [0] * 300 + [1] * 700
    guessed = baseline_scores(SINGLE, train, test)
    assert guessed["majority"]["accuracy"] == pytest.approx(0.3)
    assert guessed["random"]["accuracy"] == pytest.approx(0.6 * 0.3 + 0.4 * 0.7, abs=0.02)
    numbers = baseline_scores(NUMBER, [0.0, 2.0], [1.0, 3.0])
    assert numbers["majority"]["rmse"] == pytest.approx(2**0.5) and numbers["majority"]["spearman"] == 0.0


KINDS = {
    SINGLE: ("label", lambda tag: tag[:3], "accuracy", 0.9),
    SEVERAL: ("labels", lambda tag: ["west", tag[:3]] if tag == "eng_Latn" else ["west"], "micro_f1", 0.9),
    NUMBER: ("score", lambda tag: 1.0 if tag == "eng_Latn" else -1.0, "spearman", 0.8),
}


@pytest.mark.parametrize(
    "problem", [SINGLE, pytest.param(SEVERAL, marks=pytest.mark.slow), pytest.param(NUMBER, marks=pytest.mark.slow)]
)
def test_every_kind_of_label_is_learned(problem, base, tokenizer, tmp_path):
    column, value, score, least = KINDS[problem]
    rows = {name: with_column(texts(seed), column, value) for name, seed in (("train", 0), ("dev", 1), ("test", 2))}
    (result,) = fine_tune_classifier(
        base, rows, tokenizer=tokenizer, output_dir=tmp_path, seeds=[1],
        args=FineTuningArguments(num_train_epochs=6, per_device_train_batch_size=8, learning_rate=3e-3, **FAST),
    )  # fmt: skip
    assert next(iter(result.scores["test"])) == score and result.scores["test"][score] > least
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["problem_type"] == problem
    assert result.record["baselines"]["test"]["majority"][score] < result.scores["test"][score]
    lines = [json.loads(line) for line in (tmp_path / "predictions_test.jsonl").read_text().splitlines()]
    assert len(lines) == 32 and lines[0]["language"] == "deu_Latn"
    assert [line["text"] for line in lines] == rows["test"]["text"][:]
    if problem == SINGLE:
        assert sum(line["right"] == line["predicted"] for line in lines) / 32 == result.scores["test"]["accuracy"]


def test_labels_that_training_has_not(tokenizer, caplog):
    rows = with_column(texts(0, 2), "label", lambda tag: tag)
    with pytest.raises(
        ValueError, match=r"test has labels that training has not: 'deu_Latn' \(2 rows\); the labels are eng"
    ):
        encode_rows("test", rows, tokenizer, SINGLE, ["eng_Latn", "x"], TextOptions())
    with caplog.at_level(logging.WARNING, logger="mmbert"):
        kept, _ = encode_rows("test", rows, tokenizer, SINGLE, ["eng_Latn", "x"], TextOptions(on_bad_row="skip"))
    assert len(kept) == 2 and "left out 2 rows" in caplog.text
    with pytest.raises(ValueError, match="test has no row left"):
        encode_rows("test", rows, tokenizer, SINGLE, ["x", "y"], TextOptions(on_bad_row="skip"))


def test_data_sets_of_different_kinds_are_refused(base, tokenizer, tmp_path):
    rows = with_column(texts(0, 2), "label", lambda tag: tag)
    other = with_column(texts(1, 2), "score", lambda _: 1.0)
    pairs = rows.add_column("text_pair", rows["text"][:])
    for test, message in ((other, "test has no label, which train has"), (pairs, "train has no pairs of texts")):
        with pytest.raises(ValueError, match=message):
            fine_tune_classifier(base, {"train": rows, "test": test}, tokenizer=tokenizer, output_dir=tmp_path)


def test_windows_of_a_document_weigh_once_in_guesses_and_counts(base, tokenizer, tmp_path):
    long, short = " ".join(sentences("eng_Latn", 9)), "the old bridge"
    columns = {"text": [long, short, short + " a"], "language": ["eng_Latn"] * 3, "label": ["a", "b", "b"]}
    strange = {"text": ["the"], "language": ["eng_Latn"], "label": ["c"]}
    rows = {
        "train": Dataset.from_dict(columns),
        "test": concatenate_datasets([Dataset.from_dict(columns), Dataset.from_dict(strange)]),
    }
    (result,) = fine_tune_classifier(
        base, rows, tokenizer=tokenizer, output_dir=tmp_path, seeds=[1],
        texts=TextOptions(max_length=16, windows=True, overlap=2, on_bad_row="skip"),
        args=FineTuningArguments(max_steps=1, **FAST),
    )  # fmt: skip
    assert result.record["baselines"]["test"]["majority"]["accuracy"] == pytest.approx(2 / 3)
    assert result.record["rows"] == {"train": 3, "test": 3} and result.by_language["test"]["eng_Latn"]["rows"] == 3
    assert result.record["left_out"] == {"train": 0, "test": 1} and result.record["copies"] == {"test": 3}


def test_one_class_only_and_rows_in_both_sets(base, tokenizer, tmp_path, caplog):
    rows = with_column(texts(0, 2), "label", lambda _: "same")
    with (
        caplog.at_level(logging.WARNING, logger="mmbert"),
        pytest.raises(ValueError, match=r"1 label\(s\) \(same\): nothing to tell apart"),
    ):
        fine_tune_classifier(base, {"train": rows, "test": rows}, tokenizer=tokenizer, output_dir=tmp_path)
    assert "4 of 4 rows of test are in the training rows too" in caplog.text


def record(seed, scores, trained=("eng_Latn",)):
    rows = {tag: {"rows": 10, "trained": tag in trained, "accuracy": value} for tag, value in scores.items()}
    every = statistics.fmean(scores.values())
    return {
        "options": {"seed": seed},
        "scores": {"test": {"accuracy": every}},
        "by_language": {"test": rows},
        "baselines": {"test": {"majority": {"accuracy": 0.25}}},
    }


def test_tables_of_seeds(tmp_path):
    records = [
        record(0, {"eng_Latn": 0.8, "swh_Latn": 0.5, "fao_Latn": 0.3, "qqq_Latn": 0.1}),
        record(1, {"eng_Latn": 0.6, "swh_Latn": 0.7, "fao_Latn": 0.5, "qqq_Latn": 0.3}),
    ]
    table = language_table(records)
    assert table["languages"]["eng_Latn"]["group"] == "trained"
    assert table["languages"]["swh_Latn"]["mean"] == pytest.approx(0.6)
    assert table["languages"]["swh_Latn"]["sd"] == pytest.approx(statistics.stdev([0.5, 0.7]))
    zero_shot = table["groups"]["zero-shot, seen in pre-training"]
    assert zero_shot["languages"] == 2
    assert zero_shot["sd"] == pytest.approx(statistics.stdev([0.4, 0.6]))  # of the group's means
    assert table["groups"]["zero-shot, not seen"]["mean"] == pytest.approx(0.2)
    told = language_table(records, pretrained_on=["qqq_Latn"])
    assert told["languages"]["qqq_Latn"]["group"] == "zero-shot, seen in pre-training"
    assert told["languages"]["swh_Latn"]["group"] == "zero-shot, not seen"
    short = language_table([record(0, {"sw": 0.5})], pretrained_on=["swh_Latn"])
    assert short["languages"]["sw"]["group"] == language_table([record(0, {"sw": 0.5})])["languages"]["sw"]["group"]
    assert short["languages"]["sw"]["group"] == "zero-shot, seen in pre-training"
    lines = table_lines(table).splitlines()
    assert "| swh_Latn | zero-shot, seen in pre-training | 10 | 60.0 ± 14.1 | 31 to 83 |" in lines
    assert "| guess: majority | | | 25.0 | |" in lines and lines[-1].startswith("4 of 4 languages have fewer than 30")
    assert table_lines(language_table(records[:1])).splitlines()[0].endswith("accuracy x 100 | 95 % over rows |")
    picture = draw_language_scores(table, tmp_path / "x.png")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="nothing was evaluated on 'dev'; there is test"):
        language_table(records, "dev")
    with pytest.raises(ValueError, match="no score 'f1'; there are accuracy"):
        language_table(records, score="f1")


def test_intervals_over_rows_against_scipy():
    stats = pytest.importorskip("scipy.stats")
    for right, rows in ((0, 5), (3, 3), (61, 204), (9, 10)):
        expected = stats.binomtest(right, rows).proportion_ci(method="wilson")
        assert share_interval(right / rows, rows) == pytest.approx((expected.low, expected.high), abs=1e-6)


CHOICES = {"language": ["eng_Latn"] * 2, "text": ["a", "b"], "choices": [["x", "y"], ["y", "z"]]}


@pytest.mark.parametrize(
    ("labels", "right"),
    [
        (["0", "1"], [0, 1]),
        (["1", "2"], [0, 1]),
        (["B", "a"], [1, 0]),
        (["y", "y"], [1, 0]),
        (["1", "1"], [1, 1]),
        (["choice2", "choice1"], [1, 0]),
    ],
)
def test_ways_to_say_which_choice_is_right(labels, right):
    if labels == ["1", "1"]:  # neither 0 nor the number of choices: from 0
        several = {**CHOICES, "choices": [["x", "y", "w"], ["y", "z", "w"]]}
        assert right_choices("test", Dataset.from_dict({**several, "label": labels})) == right
    else:
        assert right_choices("test", Dataset.from_dict({**CHOICES, "label": labels})) == right


def test_a_number_is_not_taken_for_a_choice_that_reads_like_it():
    """Belebele asks how many, and counts its answers from 1."""
    counted = {"choices": [["2", "3", "4", "5"], ["a", "b", "c", "d"]], "label": ["3", "4"]}
    assert right_choices("test", Dataset.from_dict(counted)) == [2, 3]
    letters = {"choices": [["B", "A", "O"], ["x", "y", "z"]], "label": ["A", "C"]}
    assert right_choices("test", Dataset.from_dict(letters)) == [0, 2]
    themselves = {"choices": [[2, 3, 4], [5, 4, 1]], "label": ["3", "1"]}
    assert right_choices("test", Dataset.from_dict(themselves)) == [1, 2]


def test_few_rows_count_as_the_others_do():
    train = Dataset.from_dict({"choices": [["x", "y"]] * 2, "label": ["1", "2"]})
    few = Dataset.from_dict({"choices": [["x", "y"]], "label": ["1"]})
    assert first_number(train, few) == 1 and first_number(few) is None
    assert right_choices("test", few, first_number(train, few)) == [0] and right_choices("test", few) == [1]


@pytest.mark.slow
def test_choices_are_learned_and_the_head_goes_on(base, tokenizer, tmp_path, caplog):
    def rows(seed, count=32):
        german, english = sentences("deu_Latn", count, seed), sentences("eng_Latn", count, seed)
        both = [[g, e] if n % 2 else [e, g] for n, (g, e) in enumerate(zip(german, english, strict=True))]
        return Dataset.from_dict(
            {"language": ["eng_Latn"] * count, "question": ["old"] * count, "choices": both,
             "label": [str(n % 2) for n in range(count)]}
        )  # fmt: skip

    args = FineTuningArguments(num_train_epochs=5, per_device_train_batch_size=8, learning_rate=3e-3, **FAST)
    kinds = {"train": rows(0), "dev": rows(1), "test": rows(2)}
    (first,) = fine_tune_chooser(base, kinds, tokenizer=tokenizer, output_dir=tmp_path / "a", args=args, seeds=[0])
    assert first.scores["test"]["accuracy"] > 0.85
    assert first.record["baselines"]["test"]["random"]["accuracy"] == 0.5
    model = mmbert.MmBertForMultipleChoice.from_pretrained(first.folder).eval()
    pairs = tokenizer([["old", c] for c in kinds["test"]["choices"][0]], return_tensors="pt", padding=True,
                      return_token_type_ids=False)  # fmt: skip
    with torch.no_grad():
        logits = model(**{key: value[None] for key, value in pairs.items()}).logits[0].numpy()
    np.testing.assert_allclose(logits, first.predictions["test"][0], atol=1e-5)
    few = FineTuningArguments(max_steps=1, learning_rate=1e-9, **FAST)
    (again,) = fine_tune_chooser(
        first.folder, kinds, tokenizer=tokenizer, output_dir=tmp_path / "b", args=few, seeds=[0]
    )
    assert again.record["dropped"] == [] and again.scores["test"] == first.scores["test"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": ["0", "2"], "choices": [["x", "y"], ["y", "z", "w"]]}, "row 2: 3 choices, the first row has 2"),
        ({"label": ["0", "7"]}, "row 2: label '7' is none of the 2 choices; give a number from 0"),
        ({"label": ["0", "c"]}, "row 2: label 'c' is none of"),
        ({"label": ["0", "1"], "choices": [["x", "y"], ["y", None]]}, "row 2: choices are .* a list without gaps"),
        ({"label": ["0", "1"], "choices": ["yes|no"] * 2}, "row 1: choices are 'yes|no', but must be a list"),
        ({"label": ["0", "1"], "text": None}, "test has no context, text, question"),
    ],
)
def test_bad_choices(tokenizer, changes, message):
    columns = {name: values for name, values in {**CHOICES, **changes}.items() if values is not None}
    with pytest.raises(ValueError, match=message):
        encode_choices("test", Dataset.from_dict(columns), tokenizer, ChoiceOptions())
