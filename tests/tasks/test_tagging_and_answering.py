"""Tagging and answering from labelled rows to scores: what can be learned is learned, what is wrong is said."""

import json
import random
import re

import pytest
from datasets import Dataset
from mmbert import MmBertForTokenClassification
from mmbert.data import read_labelled
from mmbert.tasks import language_table
from mmbert.tasks.metrics.question_answering import token_f1
from mmbert.tasks.question_answering import PassageOptions, QuestionAnswering, fine_tune_answerer
from mmbert.tasks.token_classification import TagOptions, TokenClassification, fine_tune_tagger
from mmbert.trainers import FineTuningArguments
from tests_support import WORDS, save_model

PLAN = {"per_device_train_batch_size": 16, "per_device_eval_batch_size": 64, "use_cpu": True}


@pytest.fixture(scope="module")
def checkpoint(tokenizer, tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("encoder"), tokenizer)


def sentences(languages, count, seed=0):
    """Random words of a language; those of more than four letters are names, and two in a row are one name."""
    draw = random.Random(seed)
    rows = {"tokens": [], "tags": [], "language": []}
    for language in languages:
        for _ in range(count):
            words = draw.choices(WORDS[language], k=8)
            tags = ["B-LONG" if len(word) > 4 else "O" for word in words]
            for at in range(1, len(tags)):
                if tags[at] == tags[at - 1] != "O" or (tags[at] != "O" and tags[at - 1] == "I-LONG"):
                    tags[at] = "I-LONG"
            rows["tokens"].append(words)
            rows["tags"].append(tags)
            rows["language"].append(language)
    return Dataset.from_dict(rows)


def test_a_tagger_learns_and_its_files_say_what_it_found(checkpoint, tokenizer, tmp_path):
    rows = {"train": sentences(["eng_Latn"], 160), "test": sentences(["eng_Latn", "deu_Latn"], 20, seed=1)}
    result = fine_tune_tagger(
        checkpoint, rows, tokenizer=tokenizer, output_dir=tmp_path, seeds=[3],
        words=TagOptions(max_length=16, stride=4),
        args=FineTuningArguments(num_train_epochs=4, learning_rate=5e-3, **PLAN),
    )[0]  # fmt: skip
    table = result.by_language["test"]
    assert table["eng_Latn"]["rows"] == 20 and result.record["rows"] == {"train": 160, "test": 40}  # not windows
    assert table["eng_Latn"]["f1"] > 0.5 and table["eng_Latn"]["trained"] and not table["deu_Latn"]["trained"]
    german = language_table([result.record])["languages"]["deu_Latn"]
    assert german["interval"] == result.record["intervals"]["test"]["languages"]["deu_Latn"]["f1"]
    assert german["interval"][0] < table["deu_Latn"]["f1"] < german["interval"][1]
    low, high = result.record["intervals"]["test"]["overall"]["f1"]
    card = (tmp_path / "README.md").read_text("utf-8")
    assert "| f1, 95 % over rows |" in card and f"| {low:.2f} to {high:.2f} |" in card
    assert result.record["baselines"]["test"]["majority"]["f1"] == 0.0
    assert 0 < result.record["baselines"]["test"]["word memory"]["f1"] < 1.0
    model = MmBertForTokenClassification.from_pretrained(tmp_path)
    assert list(model.config.id2label.values()) == ["O", "B-LONG", "I-LONG"]
    lines = [json.loads(line) for line in (tmp_path / "predictions_test.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == 40
    for line in lines:
        assert [line["text"][start:end] for start, end in line["spans"]] == line["words"]
        assert len(line["predicted"]) == len(line["right"]) == 8
        assert all(line["text"][one["start"] : one["end"]] == one["text"] for one in line["entities"])


def test_parts_of_speech_are_evaluated_by_words(checkpoint, tokenizer, tmp_path):
    rows = sentences(["eng_Latn"], 8)
    tagged = rows.remove_columns("tags").add_column("tags", [["X", "Y"] * 4] * len(rows))
    result = fine_tune_tagger(
        checkpoint, {"train": tagged, "dev": tagged}, tokenizer=tokenizer, output_dir=tmp_path, seeds=[0],
        args=FineTuningArguments(max_steps=1, **PLAN),
    )[0]  # fmt: skip
    assert set(result.scores["dev"]) == {"accuracy", "macro_f1", "run_f1"}
    assert result.record["baselines"]["dev"]["majority"]["accuracy"] == 0.5


def questions(languages, count, seed=0, silent=0.0):
    """Random words with a number somewhere among them, which is the answer; or without one."""
    draw = random.Random(seed)
    rows = {"id": [], "question": [], "context": [], "answers": [], "language": []}
    for language in languages:
        for number in range(count):
            words = draw.choices(WORDS[language], k=12)
            answer = f"{draw.randint(10, 99)}"
            at = draw.randrange(12)
            has = draw.random() >= silent
            context = " ".join([*words[:at], *([answer] if has else []), *words[at:]])
            start = len(" ".join(words[:at])) + (at > 0)
            rows["id"].append(f"{language}-{number}")
            rows["question"].append("how many?")
            rows["context"].append(context)
            rows["answers"].append({"text": [answer] * has, "answer_start": [start] * has})
            rows["language"].append(language)
    return Dataset.from_dict(rows)


@pytest.mark.slow
@pytest.mark.parametrize("silent", [0.0, 0.4])
def test_an_answerer_learns_also_to_be_silent(checkpoint, tokenizer, tmp_path, silent):
    rows = {
        "train": questions(["eng_Latn"], 320, silent=silent),
        "dev": questions(["eng_Latn"], 60, seed=1, silent=silent),
        "test": questions(["eng_Latn", "rus_Cyrl"], 60, seed=2, silent=silent),
    }
    result = fine_tune_answerer(
        checkpoint, rows, tokenizer=tokenizer, output_dir=tmp_path, seeds=[0],
        args=FineTuningArguments(num_train_epochs=6, learning_rate=5e-3, **PLAN),
        passages=PassageOptions(max_length=40, stride=8, unanswerable=silent > 0),
    )[0]  # fmt: skip
    baselines = result.record["baselines"]["test"]
    assert result.by_language["test"]["eng_Latn"]["f1"] > max(one["f1"] for one in baselines.values()) + 0.1
    predictions = json.loads((tmp_path / "predictions_test" / "predictions.json").read_text(encoding="utf-8"))
    gold = dict(zip(rows["test"]["id"], rows["test"]["answers"], strict=True))
    assert predictions.keys() == gold.keys()
    evaluated = [token_f1(predictions[name], one["text"], name[:8]) for name, one in gold.items()]
    assert sum(evaluated) / len(evaluated) == pytest.approx(result.scores["test"]["f1"])
    lines = [json.loads(line) for line in (tmp_path / "predictions_test.jsonl").read_text("utf-8").splitlines()]
    assert {line["id"]: line["predicted"] for line in lines} == predictions
    assert sum(line["f1"] for line in lines) == pytest.approx(sum(evaluated))
    asked = dict(zip(rows["test"]["id"], rows["test"]["question"], strict=True))
    assert all(asked[line["id"]] == line["question"] and line["right"] == gold[line["id"]]["text"] for line in lines)
    assert ("unanswerable_f1" in result.scores["test"]) == (silent > 0)
    assert (tmp_path / "predictions_test" / "null_odds.json").is_file() == (silent > 0)
    if silent:  # whoever uses the network needs it
        odds = json.loads((tmp_path / "predictions_test" / "null_odds.json").read_text(encoding="utf-8"))
        threshold = result.record["scores"]["test"]["null_threshold"]
        assert {name for name, one in odds.items() if one > threshold} == {
            n for n, one in predictions.items() if not one
        }


def test_the_threshold_of_silence_is_chosen_on_dev_alone(tokenizer):
    import numpy as np

    rows = questions(["eng_Latn"], 6, silent=0.5)
    metrics = QuestionAnswering(
        {name: rows for name in ("train", "dev", "test")}, tokenizer, PassageOptions(unanswerable=True)
    )
    draw, encoded = np.random.default_rng(0), metrics.encoded
    scores = [draw.normal(size=(len(ids), 2)) for ids in encoded["dev"]["input_ids"]]
    metrics(scores, encoded["test"])
    metrics(scores[:2], encoded["dev"].select([0, 1]))  # one language of it
    assert metrics.threshold == 0.0
    at_zero = metrics(scores, encoded["test"])["f1"]
    assert metrics(scores, encoded["dev"])["f1"] >= at_zero


def test_what_the_data_lack_is_said_in_a_line(checkpoint, tokenizer, tmp_path):
    good = sentences(["eng_Latn"], 4)
    asked = questions(["eng_Latn"], 4)
    bad = asked.map(lambda row: {"answers": {"text": ["Oslo"], "answer_start": [0]}})
    options = {"tokenizer": tokenizer, "output_dir": tmp_path}
    cases = [
        (fine_tune_tagger, {"train": good.remove_columns("tags")}, "train has no tags"),
        (
            fine_tune_tagger,
            {"train": good.map(lambda row: {"tags": ["O"] * 8})},
            "1 label(s) (O): nothing to tell apart",
        ),
        (
            fine_tune_tagger,
            {"train": good, "test": good.map(lambda row: {"tags": ["B-LNOG"] * 8})},
            "test, row 1 (eng_Latn): label 'B-LNOG' is unknown to the head of 3; did you mean B-LONG",
        ),
        (fine_tune_answerer, {"train": asked, "test": bad}, "test, row 1 (id eng_Latn-0): answer 'Oslo' is not at"),
        (fine_tune_answerer, {"train": asked.remove_columns("context")}, "train has no context"),
    ]
    for call, rows, message in cases:
        with pytest.raises(ValueError, match=re.escape(message)) as caught:
            call(checkpoint, rows, **options)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="has no row in fao_Latn; there are eng_Latn"):
        good.to_parquet(tmp_path / "good.parquet")
        read_labelled(tmp_path / "good.parquet", languages=["fao_Latn"])


def test_an_answer_is_compared_in_the_language_of_the_answer(tokenizer):
    """AfriQA: the question is Hausa, passage and answer are English, whose articles do not count."""
    context = "the old bridge stands by the river"
    row = {"question": ["ina?"], "context": [context], "language": ["hau_Latn"]}
    rows = Dataset.from_dict({**row, "answers": [{"text": ["the old bridge"], "answer_start": [0]}]})
    plain, named = (
        QuestionAnswering({"train": rows, "test": rows}, tokenizer, PassageOptions(answer_language=language))
        for language in (None, "eng_Latn")
    )
    assert plain.scores("test", {0: "old bridge"})["exact"] == 0.0
    assert named.scores("test", {0: "old bridge"}) == {"f1": 1.0, "exact": 1.0}


def test_what_training_could_not_learn_counts_as_wrong(tokenizer):
    """`mmbert evaluate` scores published tests whole."""
    row = {"question": ["who?"], "context": ["the old bridge"], "language": ["eng_Latn"]}
    train = Dataset.from_dict({**row, "answers": [{"text": ["old"], "answer_start": [4]}]})
    test = Dataset.from_dict({**row, "answers": [{"text": ["young"], "answer_start": [4]}]})
    task = QuestionAnswering({"train": train, "test": test}, tokenizer, PassageOptions(on_bad_row="wrong"))
    assert task.parts["test"].gold == [["young"]] and task.scores("test", {0: "young"})["exact"] == 1.0
    words = {"tokens": [["the", "bridge"]], "language": ["eng_Latn"]}
    parts = {"train": [["A", "B"]], "test": [["A", "C"]]}
    rows = {name: Dataset.from_dict({**words, "tags": tags}) for name, tags in parts.items()}
    tagging = TokenClassification(rows, tokenizer, TagOptions(on_bad_row="wrong"))
    assert tagging.majority("test")["accuracy"] == 0.5
    assert TokenClassification(rows, tokenizer, TagOptions(on_bad_row="skip")).majority("test")["accuracy"] == 1.0
