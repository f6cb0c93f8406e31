"""Three lines per task: what is trained predicts as transformers' pipelines do; files are predicted and resumed."""

import json
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mmbert import Answerer, Chooser, Classifier, Tagger
from mmbert.tasks import load_task_model
from mmbert.tasks.predict_file import predict_file
from safetensors.torch import load_file, save_file
from tests_support import WORDS, run_forked, save_model, sentences
from transformers import pipeline

FAST = {"max_steps": 6, "learning_rate": 3e-3, "per_device_train_batch_size": 8, "use_cpu": True}


@pytest.fixture(scope="module")
def base(tokenizer, tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("base"), tokenizer)


def texts(count, seed=0):
    return [(tag, text) for tag in ("deu_Latn", "eng_Latn") for text in sentences(tag, count, seed)]


@pytest.fixture(scope="module")
def classifier(base, tmp_path_factory):
    rows = [{"text": text, "label": tag[:3], "lang": tag} for tag, text in texts(16)]
    test = [{"text": text, "label": tag[:3], "lang": tag} for tag, text in texts(4, 1)]
    folder = tmp_path_factory.mktemp("classifier")
    return Classifier.train(base, {"train": rows, "test": test}, folder, **FAST)


def test_a_classifier_predicts_what_the_pipeline_does(classifier, tmp_path):
    several = [text for _, text in texts(5, 2)] + ["x"]
    found = classifier.predict(several)
    reference = pipeline("text-classification", model=str(classifier.folder), device="cpu")
    for mine, theirs in zip(found, reference(several), strict=True):
        assert mine["label"] == theirs["label"] and mine["score"] == pytest.approx(theirs["score"], abs=1e-4)
        assert sum(mine["scores"].values()) == pytest.approx(1, abs=1e-4)
    assert classifier.predict(several[0]) == found[0]
    again = Classifier.load(classifier.save(tmp_path / "copy"))
    assert [one["label"] for one in again.predict(several)] == [one["label"] for one in found]
    record = json.loads((classifier.folder / "fine_tune_record.json").read_text())
    assert record["rows"] == {"train": 32, "test": 8} and (tmp_path / "copy" / "fine_tune_record.json").is_file()
    lines = (classifier.folder / "predictions_test.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [one["label"] for one in classifier.predict([row["text"] for row in rows])] == [
        row["predicted"] for row in rows
    ]


def test_a_damaged_folder_and_weights_that_are_not_finite_are_refused(classifier, tmp_path):
    copy = classifier.save(tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    weights["head.norm.weight"][0] = float("inf")
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"model\.safetensors: its bytes are not those recorded in SHA256SUMS"):
        Classifier.load(copy)
    (copy / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match=r"tensor 'head\.norm\.weight' holds NaN or infinity"):
        Classifier.load(copy)
    with pytest.raises(ValueError, match=r"tensor 'head\.norm\.weight' holds NaN or infinity"):
        Classifier.train(copy, {"train": [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]}, tmp_path / "on")


def test_what_is_cut_is_told(classifier, caplog):
    short = Classifier.load(classifier.folder, max_length=8)
    short.predict([{"text": " ".join(sentences("eng_Latn", 9)), "language": "eng_Latn"}, "x"])
    assert short.cut == {"eng_Latn": 1} and "1 of 2 rows were longer than max_length and were cut" in caplog.text


def test_a_tagger_gives_words_and_entities(base, tmp_path):
    rows = [
        {"tokens": WORDS[tag][:8], "tags": ["B-LONG" if len(word) > 4 else "O" for word in WORDS[tag][:8]]}
        for tag in ("deu_Latn", "eng_Latn")
    ] * 4
    tagger = Tagger.train(base, {"train": rows, "test": rows[:2]}, tmp_path, max_length=64, stride=8, **FAST)
    lines = [json.loads(line) for line in (tmp_path / "predictions_test.jsonl").read_text().splitlines()]
    found = tagger.predict([line["words"] for line in lines])
    assert [one["tags"] for one in found] == [line["predicted"] for line in lines]
    assert [one["entities"] for one in found] == [line["entities"] for line in lines]
    free = tagger.predict("der alte Fluss, und")
    assert free["words"] == ["der", "alte", "Fluss", ",", "und"] and len(free["scores"]) == 5
    assert tagger.predict(["", "x"])[0]["tags"] == []


def test_an_answerer_answers_as_its_files_say(base, tmp_path):
    context = " ".join(WORDS["eng_Latn"][:12])
    rows = [
        {"id": str(n), "question": "which?", "context": context, "answers": {"text": [word], "answer_start": [at]}}
        for n, (word, at) in enumerate((word, context.index(word)) for word in context.split()[:6])
    ]
    answerer = Answerer.train(base, {"train": rows, "test": rows[:2]}, tmp_path, **FAST)
    said = json.loads((tmp_path / "predictions_test" / "predictions.json").read_text())
    found = answerer.predict([{"question": "which?", "context": context}])[0]
    assert found["answer"] == said["0"] == context[found["start"] : found["end"]]
    assert len(found["n_best"]) == 5 and 0 < found["score"] <= 1
    with pytest.raises(ValueError, match="a row has no context"):
        answerer.predict({"question": "which?"})


def test_a_chooser_chooses_among_any_number(base, tmp_path):
    rows = [{"text": "old", "choices": [one, other], "label": str(n % 2)} for n, (one, other) in enumerate(
        zip(sentences("deu_Latn", 8), sentences("eng_Latn", 8), strict=True))]  # fmt: skip
    chooser = Chooser.train(base, {"train": rows, "test": rows[:4]}, tmp_path, **FAST)
    lines = [json.loads(line) for line in (tmp_path / "predictions_test.jsonl").read_text().splitlines()]
    found = chooser.predict([*rows[:4], {"question": "old", "choices": ["a", "b", "c"]}])
    assert [one["place"] for one in found[:4]] == [line["predicted"] for line in lines]
    assert len(found[4]["scores"]) == 3 and found[4]["choice"] in "abc"


def test_any_head_is_found_and_others_are_refused(classifier, base):
    assert isinstance(load_task_model(classifier.folder), Classifier)
    with pytest.raises(ValueError, match="MmBertForMaskedLM and predicts nothing yet; fine-tune it"):
        load_task_model(base)
    with pytest.raises(ValueError, match=r"MmBertForSequenceClassification, which Tagger cannot use"):
        Tagger.load(classifier.folder)


def write_rows(folder, kind, rows):
    path = folder / f"rows.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif kind == "csv":
        path.write_text("id,review\n" + "".join(f'{row["id"]},"{row["review"]}"\n' for row in rows), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_file_is_predicted_row_by_row(classifier, tmp_path, kind):
    rows = [{"id": str(n), "review": text} for n, (_, text) in enumerate(texts(10, 3))]
    path = write_rows(tmp_path, kind, rows)
    done = predict_file(classifier, path, tmp_path / "out.jsonl", columns={"text": "review"}, show_progress=False)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert done.rows == 20 and [line["id"] for line in lines] == [row["id"] for row in rows]
    expected = classifier.predict([row["review"] for row in rows])
    assert [line["prediction"]["label"] for line in lines] == [one["label"] for one in expected]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] in ([], [".out.jsonl.lock"])


def test_a_killed_run_over_a_file_goes_on(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr("mmbert.tasks.predict_file._FLUSH", 4)
    rows = [{"id": str(n), "review": text} for n, (_, text) in enumerate(texts(10, 3))]
    path, given = write_rows(tmp_path, "jsonl", rows), {"columns": {"text": "review"}, "show_progress": False}
    whole = predict_file(classifier, path, tmp_path / "whole.jsonl", **given)

    class Killed(Exception):
        pass

    read = []

    def stream(part, batch_size):
        if len(read) == 2:
            raise Killed
        read.append(len(part))
        return Classifier.stream(classifier, part, batch_size=batch_size)

    with monkeypatch.context() as broken, pytest.raises(Killed):
        broken.setattr(classifier, "stream", stream, raising=False)
        predict_file(classifier, path, tmp_path / "out.jsonl", **given)
    assert not (tmp_path / "out.jsonl").exists()
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    with (tmp_path / ".out.jsonl.partial").open("ab") as file:
        file.write(lines[8] + lines[9][:-5])  # a kill amid a flush: rows 9 and 10 belong into the batch of 11 and 12
    with pytest.raises(ValueError, match=r"begun under other conditions: keep was true and is now false; give"):
        predict_file(classifier, path, tmp_path / "out.jsonl", keep=False, **given)
    done = predict_file(classifier, path, tmp_path / "out.jsonl", **given)
    assert (done.resumed, done.rows) == (8, 20) and whole.resumed == 0
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.slow
def test_a_command_that_is_killed_goes_on_to_equal_bytes(classifier, tmp_path):
    write_rows(tmp_path, "jsonl", [{"id": n, "text": text} for n, (_, text) in enumerate(texts(3000, 5))])
    command = [sys.executable, "-m", "mmbert", "predict", str(classifier.folder), "rows.jsonl", "-o"]
    running, partial = subprocess.Popen([*command, "out.jsonl"], cwd=tmp_path), tmp_path / ".out.jsonl.partial"
    while running.poll() is None and not (partial.is_file() and partial.read_bytes().count(b"\n") > 1024):
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL, "it was killed before its end"
    done, whole = (run_forked(*command[2:], name, cwd=tmp_path) for name in ("out.jsonl", "whole.jsonl"))
    assert "6,000 rows; " in done.stdout and " were there already" in done.stdout
    assert whole.returncode == 0 and "already" not in whole.stdout
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not partial.exists()


@pytest.mark.parametrize(
    ("kind", "row", "other", "asked"),
    [
        (Classifier, {"sentence": "good day", "sentiment": "a"}, {"sentence": "bad", "sentiment": "b"}, "good"),
        (Tagger, {"words": ["Anna", "sings"], "ner_tags": ["B-PER", "O"]}, None, "Anna sings"),
        (Answerer, {"question": "who?", "context": "Anna sings", "answer": "Anna"}, None,
         {"question": "who?", "context": "Anna sings"}),
        (Chooser, {"premise": "rain", "choice1": "wet", "choice2": "dry", "label": 0}, None,
         {"premise": "rain", "choice1": "wet", "choice2": "dry"}),
        (Chooser, {"premise": "rain", "choices": ["wet", "dry"], "label": 0}, None,
         {"premise": "rain", "choices": ["wet", "dry"]}),
    ],
)  # fmt: skip
def test_rows_in_python_may_have_the_usual_other_names(kind, row, other, asked, base, tmp_path):
    trained = kind.train(base, [row, other or row], tmp_path / "run", **{**FAST, "max_steps": 1})
    assert trained.predict(asked)
    if kind is Chooser:
        ours = {"context": "rain", "choices": ["wet", "dry"]}
        assert trained.predict(asked) == trained.predict(ours) != trained.predict({"choices": ["wet", "dry"]})
    for rows, told in ([], "there is no row; give dicts"), ([("good", "a")], r"a row is \('good', 'a'\); give dicts"):
        with pytest.raises(ValueError, match=told):
            kind.train(base, rows, tmp_path / "other", **FAST)
    with pytest.raises(ValueError, match=r"the list of rows.* has no "):
        kind.train(base, [{"strange": "x"}], tmp_path / "other", **FAST)


def test_rows_come_as_any_table_that_python_has(classifier):
    import pandas as pd
    from datasets import Dataset, DatasetDict

    rows = [{"text": text, "label": tag[:3]} for tag, text in texts(3, 5)]
    said = [row["text"] for row in rows]
    expected = classifier.predict(said)
    columns = {"text": said, "label": [row["label"] for row in rows]}
    arrow = pa.table(columns)
    forms = (
        rows,
        pd.DataFrame(rows),
        pd.Series(said),
        Dataset.from_list(rows),
        columns,
        arrow,
        iter(said),
        tuple(said),
    )
    for form in forms:
        assert classifier.predict(form) == expected, type(form)
    assert classifier.predict([("a", "b")]) == classifier.predict([{"text": "a", "text_pair": "b"}])
    for wrong, told in (
        (
            DatasetDict(train=Dataset.from_list(rows), test=Dataset.from_list(rows)),
            "splits train, test; give one of them",
        ),
        ({"text": ["a", "b"], "label": ["x"]}, "columns must be of one length, got text 2, label 1"),
        ([3], "a row is 3, but must be a text, or a dict with text"),
        ([None], "a row is None, but must be a text"),
        (pd.DataFrame({"text": ["a", None]}), "a row has no text"),
    ):
        with pytest.raises(ValueError, match=told):
            classifier.predict(wrong)


@pytest.mark.parametrize("form", ["frame", "columns", "hub"])
def test_training_reads_tables_of_python_and_needs_no_folder(form, base, tmp_path):
    import pandas as pd
    from datasets import ClassLabel, Dataset

    names = ["deu", "eng"]
    rows = [
        {"sentence": text, "label": names.index(tag[:3]), "idx": place} for place, (tag, text) in enumerate(texts(4))
    ]
    if form == "hub":  # a data set as the Hub has them: other names, classes as numbers, a test without them
        given = Dataset.from_list(rows).cast_column("label", ClassLabel(names=names))
    else:
        frame = pd.DataFrame(rows).assign(label=[names[row["label"]] for row in rows])
        given = frame if form == "frame" else {name: list(values) for name, values in frame.items()}
    trained = Classifier.train(base, given, **FAST)
    assert sorted(trained.labels) == names and trained.predict("bread")["label"] in names
    copy = trained.save(tmp_path / "copy")
    assert Classifier.load(copy).predict("bread") == trained.predict("bread")
    assert (copy / "fine_tune_record.json").is_file()


def test_options_of_training_have_short_forms_and_the_nearest_is_named(base):
    with pytest.raises(TypeError, match=r"has no option epochen; did you mean epoch\?"):
        Classifier.train(base, [{"text": "a", "label": "b"}], epochen=3)
    with pytest.raises(ValueError, match="num_train_epochs is -1"):
        Classifier.train(base, [{"text": "a", "label": "b"}], epochs=-1)


def test_what_is_no_row_is_refused_in_python_too(classifier, base):
    for given, options, told in (
        (3, {}, "rows are 3, but must be a text"),
        (None, {}, "rows are None"),
        (["a"], {"batch_size": 0}, "batch_size is 0, but must be 1 or more"),
    ):
        with pytest.raises(ValueError, match=told):
            classifier.predict(given, **options)
    rows = [{"text": "bread", "label": "a"}, {"text": "salt", "label": "b"}]
    for odd, told in (({"text": "water", "label": None}, "no label"), ({"text": None, "label": "a"}, "no text")):
        with pytest.raises(ValueError, match=told):
            Classifier.train(base, [*rows, odd], **FAST)
    scores = [{"text": word, "label": value} for word, value in (("bread", 0.25), ("salt", 0.75))]
    with pytest.raises(
        ValueError, match=r"row 1: label is '0.25', .* these are scores and no classes; say so, by naming"
    ):
        Classifier.train(base, scores, **FAST)
    with pytest.raises(FileNotFoundError, match="modle does not exist"):
        Classifier.train("modle", rows, **FAST)
