"""Names, options, folders and files of 0.1 work for one version more, each with one warning that names the new word."""

import importlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import mmbert.callbacks
import mmbert.evaluation
import mmbert.recipes
import pytest
import torch
from mmbert import Recipe
from mmbert.callbacks import LanguagePhaseCallback
from mmbert.data import MlmStream
from mmbert.data.pretraining.heldout import HeldOut
from mmbert.recipes import MaskingSchedule
from mmbert.trainers import RecipeRun, parse_run_options
from tests_support import one_warning


@pytest.mark.parametrize(
    ("module", "name", "new"),
    [
        ("recipes", "Road", mmbert.recipes.TrainingSchedule),
        ("recipes", "Stretch", mmbert.recipes.ScheduledPhase),
        ("callbacks", "ProgressCallback", mmbert.callbacks.ThroughputCallback),
        ("evaluation", "judge_embedder", mmbert.evaluation.evaluate_embedder),
    ],
)
def test_classes(module, name, new):
    value, text = one_warning(lambda: getattr(importlib.import_module(f"mmbert.{module}"), name))
    assert value is new and f"mmbert.{module}.{name} is now mmbert.{module}.{new.__name__}" in text


@pytest.mark.parametrize(
    ("module", "name", "new"),
    [
        ("mmbert.recipes.road", "Road", "TrainingSchedule"),
        ("mmbert.callbacks.progress", "ProgressCallback", "ThroughputCallback"),
        ("mmbert.trainers.ledger", "Ledger", "TokenCounter"),
    ],
)
def test_classes_by_their_old_module(monkeypatch, module, name, new):
    monkeypatch.delitem(__import__("sys").modules, module, raising=False)
    found, _ = one_warning(lambda: importlib.import_module(module))
    assert getattr(found, name) is getattr(found, new)


def test_methods_and_keywords(recipe, shards, heldout_shards, tokenizer):
    schedule, text = one_warning(lambda: recipe.road())
    assert schedule.steps == recipe.schedule().steps and "Recipe.schedule" in text
    stream = MlmStream(recipe, shards, tokenizer)
    assert one_warning(lambda: stream.road) == (
        stream.schedule,
        "MlmStream.road is now MlmStream.schedule; the old name goes in mmbert 0.3",
    )
    masking, _ = one_warning(lambda: MaskingSchedule.of_road(schedule))
    assert masking == MaskingSchedule.from_schedule(schedule)
    heldout, text = one_warning(lambda: HeldOut(heldout_shards, tokenizer, tokens_a_language=300))
    assert heldout.tokens_per_language == 300 and "tokens_a_language is now tokens_per_language" in text
    callback, _ = one_warning(lambda: LanguagePhaseCallback(evaluate_at_borders=False))
    assert callback.evaluate_at_phase_end is False
    callback, _ = one_warning(lambda: LanguagePhaseCallback(save_at_borders=False))
    assert callback.save_at_phase_end is False
    with pytest.raises(TypeError, match="both were given, keep tokens_per_language"):
        HeldOut(heldout_shards, tokenizer, tokens_a_language=300, tokens_per_language=200)


@dataclass
class Options:
    tokens_per_language: int = 2048


def test_flags():
    command = ["--output_dir", "x", "--tokens_a_language=77", "--use_cpu"]
    (options, given), text = one_warning(lambda: parse_run_options(Options, command))
    assert options.tokens_per_language == 77 and given == {"output_dir": "x", "use_cpu": True}
    assert "--tokens_a_language is now --tokens_per_language" in text


def test_a_run_of_an_older_tree_goes_on(tiny_run, tmp_path):
    """Its stable part is in `trunk/`, its token counts in `ledger.json`."""
    recipe, done = tiny_run
    shutil.copytree(done, tmp_path / "run", symlinks=True)
    assert (tmp_path / "run" / "trunk").samefile(tmp_path / "run" / "stable")  # a link, for scripts of 0.1
    (tmp_path / "run" / "trunk").unlink()
    (tmp_path / "run" / "stable").rename(tmp_path / "run" / "trunk")
    for path in (tmp_path / "run" / "trunk").glob("checkpoint-*/token_counts.json"):
        assert path.with_name("ledger.json").read_bytes() == path.read_bytes()  # for scripts of 0.1
        path.unlink()
        path.with_name("SHA256SUMS").unlink()  # its list of 0.1 did not name them
    run = RecipeRun(recipe, tmp_path / "run", arguments={"use_cpu": True}, tokens_per_language=100)
    with pytest.warns(FutureWarning, match=r"the folder .*trunk is now stable/"):
        parts = run.run(["decay-all"])
    assert parts["stable"] == tmp_path / "run" / "trunk" / "final"
    assert one_warning(lambda: parts["trunk"])[0] == parts["stable"]
    counts = json.loads(next((tmp_path / "run" / "decay-all").glob("checkpoint-*/token_counts.json")).read_text())
    assert list(counts) == ["pretrain", "midtrain", "decay-all"]  # the first two were read from the old file


@pytest.fixture
def tiny_run(tmp_path):
    """The stable part of the tiny recipe over a folder of text."""
    from tests_support import TINY_RECIPE, documents

    for document in documents():
        path = tmp_path / "corpus" / f"{document.language}.txt"
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(document.text + "\n\n")
    text = TINY_RECIPE + f"\ndata: {{corpus: {tmp_path / 'corpus'}, vocabulary_size: 600, heldout_fraction: 0.1}}\n"
    Path(tmp_path / "tiny.yaml").write_text(text, encoding="utf-8")
    recipe = Recipe.from_yaml(tmp_path / "tiny.yaml")
    RecipeRun(recipe, tmp_path / "done", arguments={"use_cpu": True}, tokens_per_language=100).run([])
    return recipe, tmp_path / "done"


def test_keys_of_an_older_report():
    from mmbert.evaluation import summary_table

    group = {"mean": 0.5, "baseline": 0.25, "languages": 1}
    task = {
        "title": "t",
        "name": "t",
        "metric": "accuracy",
        "rows": {"train": 0, "dev": 0, "test": 5},
        "groups": {"phase 1": group},
        "languages": {"eng_Latn": {}},
    }
    new = task | group
    new["languages"] = task["languages"]
    old = json.loads(json.dumps(new).replace("baseline", "trivial"))
    table, text = one_warning(lambda: summary_table({"mine": {"tasks": [old]}}))
    assert table == summary_table({"mine": {"tasks": [new]}})
    assert "the key 'trivial' is now 'baseline'" in text


def test_a_record_of_an_older_evaluation_is_read(tmp_path):
    from mmbert.evaluation.benchmark.records import read_record, write_record
    from mmbert.evaluation.benchmark.sweep import Run, Setting

    run = Run("sib200", Setting(1e-3, 1.0, 8, 0.1, 0.0), 0, "final")
    scores = {"test": {"eng_Latn": {"accuracy": 0.5}}}
    write_record(tmp_path, run, {"identity": {"seed": 0}, "trivial": scores})
    record, text = one_warning(lambda: read_record(tmp_path, run, {"seed": 0}))
    assert record["baseline"] == scores and "the key 'trivial' is now 'baseline'" in text


def test_methods_of_self_tests():
    from mmbert.export.modernbert.self_test import SelfTest

    test = SelfTest((1, 2), (0.5, 0.25), (0.5, 0.25))
    found, text = one_warning(lambda: test.judge_vectors([0.5, 0.25], [0.5, 0.25]))
    assert found.agrees and "SelfTest.judge_vectors is now SelfTest.compare_vectors" in text
    hidden = torch.tensor([[0.5, 0.25], [0.5, 0.25]])
    assert one_warning(lambda: test.judge(hidden))[0] == test.compare_hidden(hidden)
    with pytest.raises(AttributeError, match="no attribute 'grade'"):
        test.grade()


def test_every_module_of_the_list_is_somewhere():
    from mmbert.common.moved import MODULES, NAMES

    root = Path(mmbert.callbacks.__file__).parents[1]
    gone = [
        new
        for new in MODULES.values()
        if not (
            (path := root.joinpath(*new.split("."))).with_suffix(".py").is_file() or (path / "__init__.py").is_file()
        )
    ]
    assert not gone
    for new in NAMES.values():
        home, _, name = new.rpartition(".")
        assert hasattr(importlib.import_module(f"mmbert.{home}"), name), new


def test_every_old_option_of_fine_tuning_is_told_in_the_migration_page():
    from mmbert.trainers.finetuning.config import _OLD_FLAGS, RENAMED

    page = (Path(mmbert.callbacks.__file__).parents[1] / "docs" / "migration.md").read_text(encoding="utf-8")
    assert not [name for name in {*RENAMED, *_OLD_FLAGS} if name not in page]
