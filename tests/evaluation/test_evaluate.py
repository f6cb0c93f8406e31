"""`mmbert evaluate` on a tiny network: every head, resuming, failing, and the same numbers in parallel as in turn."""

import json
import os
import random
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import mmbert
import pytest
import torch
import typer
from mmbert.cli.training.evaluate import evaluate as verb
from mmbert.evaluation.benchmark.catalogue import BenchmarkTask, task_named
from mmbert.evaluation.benchmark.report import build_report
from mmbert.evaluation.benchmark.run_task import Job
from mmbert.evaluation.benchmark.runner import Evaluation, evaluate
from mmbert.evaluation.benchmark.sweep import settings_of
from mmbert.evaluation.benchmark.workers import Workers
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from tests_support import run_verb, sentences
from typer.testing import CliRunner

pytest.importorskip("sklearn")
pytest.importorskip("seqeval")

app = typer.Typer()
app.command()(verb)
VOLATILE = ("seconds", "cpu_seconds", "date")


@pytest.fixture(scope="module")
def checkpoint(tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder") / "tiny"
    config = mmbert.MmBertConfig(
        hidden_size=16,
        num_attention_heads=2,
        num_hidden_layers=2,
        intermediate_size=24,
        vocab_size=len(tokenizer),
        max_position_embeddings=128,
    )
    mmbert.MmBertForMaskedLM(config).save_pretrained(path)
    save_tokenizer(tokenizer, path)
    return str(path)


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Labels that a word decides, tags by the length of a word, answers that are words, in three languages."""
    folder, draw = tmp_path_factory.mktemp("rows"), random.Random(0)
    found = {name: [] for name in ("labels", "tags", "answers", "score", "choices")}
    for split, count in (("train", 24), ("dev", 8), ("test", 8)):
        for tag in ("eng_Latn", "deu_Latn", "ell_Grek"):
            for text in sentences(tag, count, seed=len(split)):
                words = text.split()
                row = {"split": split, "lang": tag}
                found["labels"].append({**row, "text": text, "label": str(len(words) > 8)})
                found["tags"].append(
                    {**row, "tokens": words, "tags": ["L" if len(word) > 4 else "S" for word in words]}
                )
                found["score"].append({**row, "text": text, "text_pair": text[::-1], "score": len(words) / 2})
                answer = draw.choice(words)
                answers = {"text": [answer], "answer_start": [text.index(answer)]}
                found["answers"].append({**row, "question": answer, "context": text, "answers": answers})
                place = draw.randrange(3)  # counted from 1, as Belebele and Social IQa do
                choices = [words[-1] if number == place else "of" for number in range(3)]
                found["choices"].append({**row, "text": text, "choices": choices, "label": str(place + 1)})
    return {name: write(folder / f"{name}.jsonl", rows) for name, rows in found.items()}


def plan(checkpoint, files, output, name="sib200", kind="labels", rates=(1e-3,), seeds=(1,), **options):
    task = task_named(name)
    job = Job(checkpoint, task, {"": files[kind]}, threads=1)
    settings = settings_of(task, rates=rates, epochs=(1,), changes={"max_length": 48})
    return Evaluation([job], {name: settings}, seeds, output, **options)


def plain(records):
    kept = [{key: value for key, value in record.items() if key not in VOLATILE} for record in records]
    return sorted(kept, key=lambda record: (record["stage"], record["setting"]["learning_rate"], record["seed"]))


@pytest.mark.parametrize(
    ("name", "kind", "keys"),
    [
        ("sib200", "labels", {"accuracy", "macro_f1"}),
        ("stsb_multi", "score", {"spearman", "pearson"}),
        ("udpos", "tags", {"accuracy", "run_f1"}),
        ("xquad", "answers", {"f1", "exact"}),
        ("xcopa", "choices", {"accuracy"}),
    ],
)
def test_every_head_is_trained_and_evaluated_in_every_language(checkpoint, files, tmp_path, name, kind, keys):
    outcome = evaluate(plan(checkpoint, files, tmp_path, name, kind))
    assert outcome.failures == {}
    (record,) = outcome.records
    assert set(record["scores"]["dev"]) == {"eng_Latn"}
    assert set(record["scores"]["test"]) == {"eng_Latn", "deu_Latn", "ell_Grek"}
    for tag, scores in record["scores"]["test"].items():
        assert keys <= set(scores) and scores["rows"] == 8 and scores["trained"] is (tag == "eng_Latn")
        low, high = record["intervals"][tag][record["metric"]]
        assert low <= scores[record["metric"]] <= high and low < high
    assert json.loads((tmp_path / "runs" / name / "final-lr0.001-ep1-seed1.json").read_text()) == record


@pytest.mark.slow
def test_a_stopped_evaluation_goes_on_and_ends_alike(checkpoint, files, tmp_path):
    rates = (1e-3, 2e-3)
    whole = evaluate(plan(checkpoint, files, tmp_path / "whole", rates=rates))
    assert [record["stage"] for record in whole.records] == ["sweep", "sweep", "final"]
    assert all("test" not in record["scores"] for record in whole.records if record["stage"] == "sweep")

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(plan(checkpoint, files, tmp_path / "parts", rates=rates), stop)
    told = []
    rest = evaluate(plan(checkpoint, files, tmp_path / "parts", rates=rates), lambda *what: told.append(what))
    assert rest.done_before == 1
    assert plain(rest.records) == plain(whole.records)
    assert [(done, known) for _, done, known, _ in told] == [(1, 3), (2, 3), (3, 3)]
    assert "(done before)" in told[0][0] and told[-1][3] == 0.0


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "stsb_multi",
            {"text": "a", "text_pair": "b", "score": 2.0},
            "all 2 gold scores are 2: a correlation",
        ),
        ("udpos", {"tokens": ["x"], "tags": ["_"]}, "there are 0 words to score"),
    ],
)
def test_a_language_that_cannot_be_evaluated_is_told_before_the_training(
    checkpoint, files, tmp_path, name, values, message
):
    kind = "score" if name == "stsb_multi" else "tags"
    found = [json.loads(line) for line in Path(files[kind]).read_text(encoding="utf-8").splitlines()]
    found = [row for row in found if (row["lang"], row["split"]) != ("deu_Latn", "test")]
    path = write(tmp_path / "rows.jsonl", [*found, *[{"split": "test", "lang": "deu_Latn", **values}] * 2])
    given = plan(checkpoint, {kind: path}, tmp_path / "out", name, kind, rates=(1e-3, 2e-3))
    outcome = evaluate(given)
    assert f"{name}, test in deu_Latn: {message}" in outcome.failures[name] and outcome.records == []
    assert not (tmp_path / "out").exists(), "no run of the sweep was done"


def test_changed_conditions_are_refused_or_done_anew(checkpoint, files, tmp_path):
    first = evaluate(plan(checkpoint, files, tmp_path))
    again = evaluate(plan(checkpoint, files, tmp_path))
    assert again.done_before == 1 and again.records == first.records
    changed = plan(checkpoint, files, tmp_path)
    settings = settings_of(task_named("sib200"), rates=(1e-3,), epochs=(1,), changes={"max_length": 40})
    changed = Evaluation(changed.jobs, {"sib200": settings}, (1,), tmp_path)
    refused = evaluate(changed)
    assert "setting.max_length was 48 and is now 40" in refused.failures["sib200"] and refused.records == []
    again = evaluate(Evaluation(changed.jobs, {"sib200": settings}, (1,), tmp_path, overwrite=True))
    assert again.records[0]["setting"]["max_length"] == 40


def test_the_command_reports_and_a_failing_task_takes_no_other_down(checkpoint, files, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("mmbert.modeling.hardware.usable_cores", lambda: 2)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    bad = write(tmp_path / "bad.jsonl", [{"split": "train", "lang": "eng_Latn", "text": "x", "label": "a"}])
    arguments = [checkpoint, "--tasks", "afrisenti,sib200", "-o", str(tmp_path / "out"), "--seeds", "2"]
    arguments += ["--data", f"sib200={files['labels']}", "--data", f"afrisenti={bad}"]
    result = CliRunner().invoke(app, [*arguments, "--learning-rate", "1e-3", "--epochs", "1", "--max-length", "48"])
    assert result.exit_code == 1, result.output
    assert "afrisenti failed: afrisenti: " in result.output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    (task,) = report["tasks"]
    assert task["name"] == "sib200" and task["seeds"] == [0, 1] and task["sd"] is not None
    runs = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("runs/**/*.json")]
    assert {run["threads"] for run in runs} == {2} and torch.get_num_threads() == 1
    assert set(report["failures"]) == {"afrisenti"}
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| ell_Grek | phase 1 |" in text and "## Failed" in text
    entry = task["languages"]["ell_Grek"]
    assert entry["tokens"]["tokens_per_word"] >= 1 and entry["tokens"]["rows"] == entry["rows"] == 8
    assert "(n 8: " in text and entry["interval"][0] < entry["mean"] < entry["interval"][1]
    assert "## Tokens" in text and f"| ell_Grek | {entry['tokens']['tokens_per_word']:.2f}" in text
    assert (tmp_path / "out" / "report.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "sib20"], "no task 'sib20' in the catalogue; did you mean sib200"),
        (["--tasks", ""], "there is no task to evaluate"),
        (["--tasks", "rte", "--data", "sib200=FILE"], "--data names sib200, which is not among the tasks rte"),
        (["--tasks", "rte", "--data", "rte"], "--data rte: write TASK=PATH"),
        (["--tasks", "rte", "--data", "rte:dve=FILE"], "with train, dev or test"),
        (["--tasks", "rte", "--data", "rte=nowhere"], "nowhere does not exist"),
        (["--tasks", "rte", "--grid", "huge"], "grid='huge' is none of default, paper"),
        (["--tasks", "rte", "--learning-rate", "2e-5;3e-5"], "write numbers with commas between"),
        (["--tasks", "rte", "--catalogue", "nowhere.yaml"], "nowhere.yaml does not exist"),
    ],
)
def test_bad_input_gets_one_line(checkpoint, files, tmp_path, arguments, message):
    given = [argument.replace("FILE", files["labels"]) for argument in arguments]
    result = CliRunner().invoke(app, [checkpoint, *given, "-o", str(tmp_path)])
    assert message in str(result.exception) and "\n" not in str(result.exception)


def test_what_is_no_encoder_is_refused_before_any_run(files, tmp_path):
    arguments = ["nowhere", "--tasks", "sib200", "--data", f"sib200={files['labels']}", "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code and "nowhere" in str(result.exception)


def test_list_says_what_would_run(files):
    result = CliRunner().invoke(app, ["any", "--tasks", "xtreme", "--grid", "paper", "-o", "out", "--list"])
    assert result.exit_code == 0
    assert result.output.count("20 + 3") == 8 and "google/xquad" in result.output


def test_list_needs_nothing_else():
    result = CliRunner().invoke(app, ["--list"])
    assert result.exit_code == 0 and "| sib200 |" in result.output and "| xnli |" in result.output
    refused = CliRunner().invoke(app, ["any", "-o", "out"])
    assert "needs --tasks; `mmbert evaluate --list` lists the tasks" in str(refused.exception)


@pytest.mark.parametrize("option", ["--languages", "--train-languages"])
def test_list_refuses_a_language_that_no_task_has(files, option):
    given = ["any", "--tasks", "sib200", "-o", "out", "--list", option]
    for tasks, told in (("sib200", "there is no language 'qqq_Latn'"), ("xquad", "xquad has no language 'qqq_Latn'")):
        with pytest.raises(ValueError, match=told):
            run_verb("evaluate", "any", "--tasks", tasks, *given[3:], "eng_Latn,qqq_Latn")
    with pytest.raises(ValueError, match=r"sib200 has no language 'swh_Latn'.*there are"):
        run_verb("evaluate", *given, "swh_Latn", "--data", f"sib200={files['labels']}")
    assert run_verb("evaluate", *given, "eng_Latn").exit_code == 0


@pytest.mark.slow
def test_runs_in_parallel_give_what_runs_in_turn_give(checkpoint, files, tmp_path):
    in_turn = evaluate(plan(checkpoint, files, tmp_path / "one", rates=(1e-3, 2e-3), seeds=(1, 2)))
    beside = evaluate(plan(checkpoint, files, tmp_path / "two", rates=(1e-3, 2e-3), seeds=(1, 2), processes=2))
    assert beside.failures == {}
    assert plain(beside.records) == plain(in_turn.records)
    one, two = build_report(in_turn.records), build_report(beside.records)
    assert one["tasks"][0]["mean"] == two["tasks"][0]["mean"]


class DyingWorkers(Workers):
    """Breaks its pool with every run of the deadly task, and with the first run of any other, which ran beside it."""

    seen = ()

    def submit(self, call, job, *arguments):
        name, first = job.task.name, job.task.name not in self.seen
        self.seen = (*self.seen, name)
        if first or name == "deadly":
            future = Future()
            future.set_exception(BrokenProcessPool("a process was killed"))
            return future
        return super().submit(call, job, *arguments)


def test_a_killed_process_costs_its_task_and_no_other(checkpoint, files, tmp_path, monkeypatch):
    monkeypatch.setattr("mmbert.evaluation.benchmark.runner.Workers", DyingWorkers)
    jobs = [plan(checkpoint, files, tmp_path).jobs[0]]
    jobs.insert(
        0, Job(checkpoint, BenchmarkTask("deadly", "Deadly", "more", "labels", "accuracy"), {"": files["labels"]})
    )
    settings = settings_of(task_named("sib200"), rates=(1e-3,), epochs=(1,), changes={"max_length": 48})
    outcome = evaluate(Evaluation(jobs, {"sib200": settings, "deadly": settings}, (1,), tmp_path))
    assert outcome.failures == {
        "deadly": "deadly/final-lr0.001-ep1-seed1: its process was killed (out of memory?); try fewer --jobs"
    }
    assert [record["task"] for record in outcome.records] == ["sib200"]


@pytest.mark.slow
def test_a_broken_pool_is_replaced():
    workers = Workers(2)
    try:
        with pytest.raises(BrokenProcessPool):
            workers.submit(os._exit, 3).result(timeout=120)
        assert workers.submit(dict, [("alive", 1)]).result(timeout=120) == {"alive": 1}
    finally:
        workers.close()


@pytest.mark.slow
def test_kill_between_runs_and_go_on(checkpoint, files, tmp_path):
    options = [
        "--tasks",
        "sib200",
        "--data",
        f"sib200={files['labels']}",
        "--learning-rate",
        "1e-3,2e-3",
        "--epochs",
        "1",
    ]
    command = [sys.executable, "-c", "from mmbert.cli import main; main()", "evaluate", checkpoint, *options]
    command += ["--seeds", "2", "-o", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not list((tmp_path / "out").rglob("runs/**/*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    done = len(list((tmp_path / "out").rglob("runs/**/*.json")))
    assert 1 <= done < 4
    again = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert again.returncode == 0, again.stderr
    assert f"4 runs ({done} done before)" in again.stdout
