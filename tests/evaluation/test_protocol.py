"""The protocol: dev decides, never test; the oracle is another thing and says so; settings are those of the book."""

import csv
import math
import statistics
from importlib.resources import files

import pytest
from mmbert.evaluation.benchmark.catalogue import load_tasks, published_scores, task_named
from mmbert.evaluation.benchmark.records import ChangedRun, identity_of, read_record, record_path, write_record
from mmbert.evaluation.benchmark.report import build_report, model_index
from mmbert.evaluation.benchmark.report_tables import markdown_report
from mmbert.evaluation.benchmark.sweep import Run, Setting, choose, final_runs, settings_of, sweep_runs
from mmbert.trainers import FineTuningArguments

LOW, HIGH = (Setting(rate, epochs, 32, 0.06, 0.01, max_length=128) for rate, epochs in ((2e-5, 1), (5e-5, 3)))


def record(setting, dev, test=None, *, stage="sweep", seed=1, task="xnli", languages=("eng_Latn",)):
    scores = {"dev": {"eng_Latn": {"rows": 10, "trained": True, "accuracy": dev}}}
    if test is not None:
        scores["test"] = {
            tag: {"rows": 10, "trained": tag == "eng_Latn", "accuracy": test - 0.1 * place, "macro_f1": 0.5}
            for place, tag in enumerate(languages)
        }
    return {
        "task": task,
        "title": "XNLI",
        "head": "labels",
        "metric": "accuracy",
        "stage": stage,
        "seed": seed,
        "setting": setting.to_dict(),
        "scores": scores,
        "baseline": {"test": {tag: {"accuracy": 1 / 3} for tag in languages}},
        "rows": {"train": 100, "dev": 10, "test": 10},
        "train_languages": ["eng_Latn"],
        "notes": [],
        "seconds": 1.0,
        "cpu_seconds": 1.0,
    }


def test_dev_chooses_where_the_oracle_would_choose_otherwise():
    sweep = [record(LOW, dev=0.70, test=0.50, stage="oracle"), record(HIGH, dev=0.60, test=0.90, stage="oracle")]
    assert choose(sweep, "accuracy") == LOW
    assert choose(sweep, "accuracy", "test") == HIGH


def test_a_sweep_has_no_test_score_to_choose_by():
    sweep = [record(LOW, dev=0.70), record(HIGH, dev=0.60)]
    assert choose(sweep, "accuracy") == LOW
    with pytest.raises(ValueError, match="a sweep run has no test score to choose by"):
        choose(sweep, "accuracy", "test")
    assert {run.stage for run in sweep_runs(task_named("xnli"), [LOW, HIGH], [1, 2])} == {"sweep"}


def test_equals_go_to_the_lower_rate_and_what_is_not_a_number_never_wins():
    assert choose([record(HIGH, dev=0.7), record(LOW, dev=0.7)], "accuracy") == LOW
    assert choose([record(LOW, dev=math.nan), record(HIGH, dev=0.1)], "accuracy") == HIGH


def test_the_grid_of_the_paper():
    settings = settings_of(task_named("xnli"), "paper")
    assert len(settings) == 20
    assert {setting.epochs for setting in settings} == {1, 2, 3, 5, 10}
    assert min(setting.learning_rate for setting in settings) == 2e-5
    assert max(setting.learning_rate for setting in settings) == 8e-5
    assert {(setting.batch_size, setting.warmup) for setting in settings} == {(32, 0.06)}
    runs = sweep_runs(task_named("xnli"), settings, [1, 2, 3])
    assert len(runs) == 20 and {run.seed for run in runs} == {1}
    assert len({run.name for run in runs}) == 20
    assert [run.seed for run in final_runs(task_named("xnli"), settings[0], [1, 2, 3])] == [1, 2, 3]


def test_adapters_are_tried_at_rates_for_adapters():
    task = task_named("xnli")
    full, lora = (settings_of(task, changes={"lora": lora})[0] for lora in (False, True))
    assert lora.learning_rate == pytest.approx(10 * full.learning_rate)
    assert settings_of(task, rates=(1e-4,), changes={"lora": True})[0].learning_rate == 1e-4


def test_the_default_is_that_of_the_scripts_and_needs_no_sweep():
    usual = FineTuningArguments()
    (setting,) = settings_of(task_named("udpos"))
    assert (setting.learning_rate, setting.epochs, setting.max_length) == (usual.learning_rate, 10, None)
    assert sweep_runs(task_named("udpos"), [setting], [1]) == []
    (answers,) = settings_of(task_named("xquad"))
    assert answers.arguments().choices() == {**usual.choices(), "overwrite_output_dir": True}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: settings_of(task_named("rte"), "huge"), "grid='huge' is none of default, paper"),
        (lambda: settings_of(task_named("rte"), rates=[-1.0]), "learning_rate is -1.0"),
        (lambda: settings_of(task_named("rte"), epochs=[0.0]), "epochs is 0.0"),
        (lambda: sweep_runs(task_named("rte"), [LOW], [1, 1]), r"seeds are \[1, 1\]"),
        (lambda: final_runs(task_named("rte"), LOW, []), r"seeds are \[\]"),
        (lambda: choose([], "accuracy"), "there are 0 runs to choose from"),
        (lambda: task_named("xnl"), "no task 'xnl' in the catalogue; did you mean xnli"),
    ],
)
def test_bad_plans_are_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_the_catalogue_has_the_tasks_of_the_paper():
    tasks = load_tasks()
    suites = {suite: {task.name for task in tasks.values() if task.suite == suite} for suite in ("glue", "xtreme")}
    assert suites["glue"] == {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"}
    assert suites["xtreme"] == {"xnli", "pawsx", "xcopa", "xquad", "mlqa", "tydiqa", "wikiann", "udpos"}
    assert {"sib200", "masakhaner", "afrisenti", "tiquad", "foqa", "jsquad", "uner"} <= set(tasks)
    assert len(tasks["wikiann"].languages) == 40 and len(tasks["udpos"].languages) == 33
    assert len(tasks["xnli"].languages) == 15 and len(tasks["xcopa"].languages) == 11
    for task in tasks.values():
        assert "test" in task.parts and "train" in task.parts, task.name
        for tag in task.languages:
            code, _, script = tag.partition("_")
            assert len(code) == 3 and len(script) == 4, f"{task.name}: {tag}"


def test_glue_is_evaluated_on_the_dev_that_papers_report_and_never_chosen_on_it():
    glue = [task for task in load_tasks().values() if task.suite == "glue"]
    assert len(glue) == 8 and all("dev" not in task.parts for task in glue)
    assert {task.parts["test"].split for task in glue} == {"validation", "validation_matched"}


def test_published_scores_are_those_of_the_paper():
    scores = {(row.model, row.task): row for row in published_scores()}
    assert scores["mmBERT-base", "xnli"].score == 77.1 and scores["XLM-R base", "wikiann"].score == 61.4
    assert scores["mmBERT-small", "cola"].score == 61.8 and scores["ModernBERT base", "rte"].score == 87.7
    assert scores["mmBERT-base Decay-All", "tiquad"].score == 29.9 and scores["mmBERT-base", "foqa"].score == 73.5
    for row in published_scores():
        assert row.task in load_tasks(), row


def test_the_printed_average_of_xtreme_is_a_mean_and_that_of_glue_is_not():
    lines = (files("mmbert.evaluation.benchmark.catalogue") / "published.tsv").read_text(encoding="utf-8").splitlines()
    rows = [row for row in csv.DictReader(lines, delimiter="\t") if row["suite"] in ("xtreme", "glue")]
    printed = {(row["suite"], row["model"]): float(row["score"]) for row in rows if row["task"] == "printed average"}
    xtreme, glue = (
        {
            model: statistics.fmean(row.score for row in published_scores() if (row.suite, row.model) == (suite, model))
            for found, model in printed
            if found == suite
        }
        for suite in ("xtreme", "glue")
    )
    for model, mean in xtreme.items():
        assert mean == pytest.approx(printed["xtreme", model], abs=0.06)
    assert glue["mmBERT-base"] == pytest.approx(86.85) and printed["glue", "mmBERT-base"] == 86.3
    assert all(mean > printed["glue", model] + 0.2 for model, mean in glue.items())


TAGS = ("eng_Latn", "deu_Latn", "fao_Latn", "xxx_Piqd")


def test_a_report_averages_languages_then_seeds():
    runs = [record(LOW, 0.7, test, stage="final", seed=seed, languages=TAGS) for seed, test in ((1, 0.8), (2, 0.9))]
    (task,) = build_report(runs)["tasks"]
    assert task["mean"] == pytest.approx(((0.8 + 0.7 + 0.6 + 0.5) / 4 + (0.9 + 0.8 + 0.7 + 0.6) / 4) / 2)
    assert task["sd"] == pytest.approx(0.1 / math.sqrt(2))  # of two values a tenth apart
    assert task["languages"]["deu_Latn"]["mean"] == pytest.approx(0.75)
    assert task["languages"]["xxx_Piqd"]["group"] == "unread"
    assert {name: entry["languages"] for name, entry in task["scripts"].items()} == {"Latn": 3, "Piqd": 1}
    assert task["zero_shot"]["languages"] == 3
    assert task["choice"] == "dev"
    (single,) = build_report(runs[:1])["tasks"]
    assert single["sd"] is None


def test_an_oracle_is_called_one_everywhere_and_stays_out_of_the_card():
    runs = [record(LOW, 0.7, 0.5, stage="oracle"), record(HIGH, 0.6, 0.9, stage="oracle")]
    runs += [record(LOW, 0.7, 0.5, stage="final", seed=seed) for seed in (1, 2)]
    runs += [record(HIGH, 0.6, 0.9, stage="oracle", seed=2)]
    report = build_report(runs, {"mlqa": "no such file"})
    assert [task["choice"] for task in report["tasks"]] == ["dev", "test (oracle)"]
    assert report["tasks"][1]["setting"] == HIGH.to_dict() and report["tasks"][1]["seeds"] == [1, 2]
    text = markdown_report(report)
    assert "XNLI (oracle)" in text and "chosen with the test scores in view" in text
    assert "on test (oracle), of 2" in text
    assert "- mlqa: no such file" in text
    entries = model_index(report)
    assert [entry["metric_value"] for entry in entries] == [50.0]


def test_the_card_takes_the_entries():
    hub = pytest.importorskip("huggingface_hub")
    report = build_report([record(LOW, 0.7, 0.8, stage="final", languages=TAGS)])
    results = [hub.EvalResult(**entry) for entry in model_index(report)]
    card = hub.ModelCardData(model_name="x", eval_results=results)
    assert len(results) == 1 + len(TAGS) and results[0].metric_value == pytest.approx(65.0)
    assert "facebook/xnli" in card.to_yaml() and "settings chosen on dev" in card.to_yaml()


def test_a_finished_run_is_found_and_changed_conditions_are_named(tmp_path):
    run = Run("xnli", LOW, 1, "final")
    identity = identity_of(run, task_named("xnli"), "rows", "weights")
    assert read_record(tmp_path, run, identity) is None
    write_record(tmp_path, run, {"identity": identity, "scores": {}})
    assert read_record(tmp_path, run, identity) == {"identity": identity, "scores": {}}
    longer = {**identity, "setting": {**identity["setting"], "max_length": 256}}
    with pytest.raises(ChangedRun, match=r"setting.max_length was 128 and is now 256; give another output folder"):
        read_record(tmp_path, run, longer)
    with pytest.raises(ChangedRun, match=r"checkpoint was weights and is now others"):
        read_record(tmp_path, run, {**identity, "checkpoint": "others"})
    record_path(tmp_path, run).write_text('{"cut short')
    assert read_record(tmp_path, run, identity) is None
