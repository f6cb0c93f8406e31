"""A report is one file whose data is what the records say, escaped, and which a browser draws without a network."""

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from mmbert.cli import app
from mmbert.evaluation.benchmark.report import build_report
from mmbert.model_cards import write_report
from typer.testing import CliRunner

NASTY = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> \u2028 & '\""


class Page(HTMLParser):
    """Tags with their attributes, and the content of scripts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self._inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._inside = tag == "script"
        self.scripts += [""] if self._inside else []

    def handle_endtag(self, tag):
        self._inside = self._inside and tag != "script"

    def handle_data(self, data):
        if self._inside:
            self.scripts[-1] += data


def runs_of(path):
    page = Page(path.read_text(encoding="utf-8"))
    kinds = [attributes.get("type") for tag, attributes in page.found if tag == "script"]
    assert kinds == ["application/json", None]
    return json.loads(page.scripts[0])["runs"]


def table_of(run, title):
    table = next(one for one in run["tables"] if one["title"] == title)
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def fine_tuned(folder, rows, languages, seed=0):
    folder.mkdir(parents=True)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "predictions_test.jsonl").write_text(lines, encoding="utf-8")
    history = [
        {"step": 10, "loss": 1.5},
        {"step": 20, "loss": 0.5},
        {"step": 20, "eval_accuracy": 0.5, "eval_runtime": 1},
    ]
    record = {"checkpoint": "/home/somebody/encoder", "head": "classification", "dropped": [NASTY], "history": history}
    record |= {"options": {"seed": seed}, "rows": {"train": 5, "test": len(rows)}, "steps": 20, "best_step": 20}
    record |= {"scores": {"test": {"accuracy": 0.5}}, "by_language": {"test": languages}}
    (folder / "fine_tune_record.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def classified(tmp_path):
    rows = [
        {"row": 0, "language": "eng_Latn", "text": "fine", "right": "a", "predicted": "a"},
        {"row": 1, "language": "arb_Arab", "text": NASTY, "right": "a", "predicted": NASTY},
        {"row": 2, "language": "arb_Arab", "text": "x" * 5_000, "right": "b", "predicted": "b"},
    ]
    for seed, score in ((0, 0.25), (1, 0.75)):
        languages = {
            tag: {"accuracy": score, "rows": 2, "trained": tag == "eng_Latn"} for tag in ("eng_Latn", "arb_Arab")
        }
        fine_tuned(tmp_path / "topics" / f"seed-{seed}", rows, languages, seed)
    return tmp_path / "topics"


def test_a_pretraining_shows_what_its_record_holds(run_record, make_retrieval, tmp_path):
    (tmp_path / "run" / "stable").mkdir(parents=True)
    (tmp_path / "run" / "stable" / "run_record.json").write_text(json.dumps(run_record))
    both = {"before": make_retrieval(0.1), "after": make_retrieval(0.9)}
    (tmp_path / "run" / "stable" / "retrieval.json").write_text(json.dumps(both))
    (run,) = runs_of(write_report([tmp_path / "run"], tmp_path / "report.html"))
    assert (run["title"], run["kind"]) == ("stable", "Pre-training")
    curve = run["curves"][0]
    low = next(one["points"] for one in curve["series"] if one["name"] == "low")
    expected = [
        [row["tokens"], row["group_loss"]["low"]] for row in run_record["evaluations"] if "low" in row["group_loss"]
    ]
    np.testing.assert_allclose(low, expected, rtol=1e-5)
    assert len(curve["more"]) == len({tag for row in run_record["evaluations"] for tag in row["loss"]})
    assert [phase[0] for phase in curve["phases"]] == list(dict.fromkeys(row["phase"] for row in run_record["steps"]))
    assert max(len(one["points"]) for curve in run["curves"] for one in curve["series"]) <= 501
    rows = table_of(run, "Languages")
    assert {row["tag"] for row in rows} == set(run_record["data"]["languages"])
    thai = next(row for row in rows if row["tag"] == "tha_Thai")
    assert thai["language"] == "Thai" and thai["tokens"] == run_record["data"]["languages"]["tha_Thai"]["tokens"]
    assert thai["loss at the end"] == pytest.approx(run_record["evaluations"][-1]["loss"]["tha_Thai"], rel=1e-5)
    accuracy = next(row for row in table_of(run, "Retrieval of translations") if row["tag"] == "tha_Thai")
    assert (accuracy["before"], accuracy["after"]) == tuple(
        both[part]["languages"]["tha_Thai"]["accuracy"] for part in ("before", "after")
    )


def test_seeds_are_one_run_with_their_means_and_predictions(classified, tmp_path):
    (run,) = runs_of(write_report([classified], tmp_path / "report.html"))
    assert (run["title"], run["kind"]) == ("topics", "Fine-tuning")
    arabic = next(row for row in table_of(run, "Scores on test") if row["tag"] == "arb_Arab")
    assert (arabic["accuracy"], arabic["group"]) == (0.5, "zero-shot, phase 1")
    assert [one["name"] for one in run["curves"][0]["series"]] == ["loss, seed 0", "loss, seed 1"]
    assert [one["name"] for one in run["curves"][1]["series"]] == ["accuracy, seed 0", "accuracy, seed 1"]
    assert [one["title"] for one in run["predictions"]] == ["test, seed-0", "test, seed-1"]
    first = run["predictions"][0]["rows"]
    assert [row["error"] for row in first] == [1.0, 0.0, 0.0] and first[0]["text"] == NASTY  # the wrong one first
    assert len(first[2]["text"]) < 2_100
    confusion = next(one for one in run["heat"] if "Right labels" in one["title"])
    assert ["b", *(int(label == "b") for label in confusion["columns"])] in confusion["rows"]


def test_nothing_of_the_data_is_markup_and_no_path_is_told(classified, tmp_path):
    text = write_report([classified], tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {"img", "iframe", "link"} & {tag for tag, _ in page.found} and text.count("<script") == 2
    assert not re.search(r"""(?:src|href)=["']?(?!#)\w*:?//""", text.replace("\\u003c", "<"))
    policy = next(attributes["content"] for tag, attributes in page.found if attributes.get("http-equiv"))
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy and "unsafe" not in policy
    assert "/home/somebody" not in text and str(tmp_path) not in text


def test_most_predictions_are_left_out_and_counted(classified, tmp_path):
    (run,) = runs_of(write_report([classified], tmp_path / "report.html", predictions=1))
    assert [(len(one["rows"]), one["all"]) for one in run["predictions"]] == [(1, 3), (1, 3)]


@pytest.mark.parametrize(
    "right, predicted, error",
    [(1.0, 1.5, 0.5), (["a", "b"], ["a", "c"], 0.5), (["a"], ["a", "b"], 1.0), (2, 2, 0.0), (["x"], "x", 1.0)],
)
def test_errors_of_other_tasks(tmp_path, right, predicted, error):
    rows = [
        {"row": 0, "language": "eng_Latn", "text": "t", "words": ["t", "u"], "right": right, "predicted": predicted}
    ]
    folder = fine_tuned(tmp_path / "run", rows, {"eng_Latn": {"f1": 1.0, "rows": 1, "trained": True}})
    (run,) = runs_of(write_report([folder], tmp_path / "report.html"))
    expected = 0.0 if (right, predicted) == (["x"], "x") else error  # one right answer of several
    assert run["predictions"][0]["rows"][0]["error"] == expected


def test_an_evaluation_shows_tasks_and_languages(tmp_path):
    scores = {
        tag: {"accuracy": share, "rows": 10, "trained": False} for tag, share in (("deu_Latn", 0.5), ("tha_Thai", 1.0))
    }
    record = {"task": "embedding/xquad", "title": "XQuAD", "metric": "accuracy", "stage": "final", "seed": 0}
    record |= {
        "setting": {},
        "train_languages": [],
        "rows": {},
        "notes": ["a note"],
        "seconds": 1.0,
        "cpu_seconds": 1.0,
    }
    record |= {
        "scores": {"test": scores, "dev": scores},
        "baseline": {"test": {tag: {"accuracy": 0.1} for tag in scores}},
    }
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.json").write_text(json.dumps(build_report([record], about={"model": "mine"})))
    (run,) = runs_of(write_report([tmp_path / "mine"], tmp_path / "report.html"))
    assert run["kind"] == "Evaluation of embeddings" and run["notes"] == ["XQuAD: a note"]
    assert table_of(run, "Tasks")[0] | {"mean": 0.75, "majority baseline": 0.1} == table_of(run, "Tasks")[0]
    assert [row["XQuAD"] for row in table_of(run, "Languages")] == [0.5, 1.0]


def test_the_training_of_an_embedder_and_links_to_runs(tmp_path):
    report = {"output": str(tmp_path / "tuned"), "rows": 7, "skipped": {"blank": 2}, "steps": 2, "seconds": 1.5}
    report |= {"losses": [[1, 2.5], [2, 1.5]], "scores": [[0, {"accuracy": 0.25}], [2, {"accuracy": 0.5}]]}
    (tmp_path / "runs" / "tuned").mkdir(parents=True)
    (tmp_path / "runs" / "tuned" / "report.json").write_text(json.dumps(report))
    (tmp_path / "runs" / "under another name").symlink_to(tmp_path / "runs" / "tuned")
    (run,) = runs_of(write_report([tmp_path / "runs"], tmp_path / "report.html"))
    assert [one["series"][0]["points"] for one in run["curves"]] == [[[1, 2.5], [2, 1.5]], [[0, 0.25], [2, 0.5]]]
    assert run["title"] == "tuned" and run["notes"] == ["left out: 2 blank"] and ["output", "tuned"] in run["facts"]


def test_the_command_and_its_one_line_errors(classified, tmp_path):
    done = CliRunner().invoke(app, ["report", str(classified), "--output", str(tmp_path / "out" / "page.html")])
    assert done.exit_code == 0 and "page.html" in done.stdout, done.exception
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "report.json").write_text('{"tasks": [{"name": 3}]}')
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    for arguments, message in (
        (["nowhere"], "nowhere does not exist"),
        ([str(tmp_path / "empty")], "holds none of run_record.json"),
        ([str(tmp_path / "broken")], "report.json has not the shape of a record"),
        ([str(tmp_path / "rows.jsonl")], "rows.jsonl"),
        ([str(classified), "--output", str(tmp_path / "page.pdf")], "the report is an HTML file"),
    ):
        failed = CliRunner().invoke(app, ["report", *arguments])
        assert failed.exit_code != 0 and message in str(failed.exception), failed.exception
        assert "\n" not in str(failed.exception)


@pytest.mark.engines
@pytest.mark.slow
def test_chromium_draws_sorts_filters_and_runs_no_script_of_the_data(classified, run_record, tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver")
    if not (browser := shutil.which("chromium")) or not (driver := shutil.which("chromedriver")):
        pytest.skip("needs chromium and chromedriver")
    record = json.loads(json.dumps(run_record))
    entry = next(iter(record["data"]["languages"].values()))
    record["data"]["languages"] |= {f"q{n:04d}_Latn": {**entry, "tokens": n} for n in range(1_733)}
    (tmp_path / "run_record.json").write_text(json.dumps(record))
    page = write_report([tmp_path / "run_record.json", classified], tmp_path / "report.html")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        window.get(page.as_uri())
        seen = window.execute_script("return [document.querySelectorAll('section').length, document.images.length]")
        assert seen == [2, 0] and not window.get_log("browser")  # no error, no alert
        asked = [one for one in window.get_log("performance") if '"Network.requestWillBeSent"' in one["message"]]
        assert len(asked) == 1  # the file itself
        look = "const s = document.querySelector('section'), t = s.querySelector('table'), "
        read = "[...t.tBodies[0].rows].map(r => r.cells[4].textContent)"
        most = window.execute_script(look + f"b = t.querySelectorAll('thead button')[4]; b.click(); return {read}")
        numbers = [int(one.replace(",", "")) for one in most]
        assert numbers == sorted(numbers, reverse=True) and len(numbers) < 200  # drawn when they come into view
        search = "i = s.querySelector('input'); i.value = 'thái'; i.dispatchEvent(new Event('input'))"
        window.execute_script(look + search)
        window.implicitly_wait(2)
        window.find_element("xpath", "//*[text()='1 of 1,843 rows']")
        wrong = "const s = document.querySelectorAll('section')[1], o = [...s.querySelectorAll('select')].at(-1);"
        wrong += (
            "o.value = 'wrong'; o.dispatchEvent(new Event('change')); return s.querySelectorAll('.said')[1].innerText"
        )
        assert "alert(1)" in window.execute_script(wrong)
    finally:
        window.quit()
