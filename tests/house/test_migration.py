"""Every row of docs/migration.md has its test: the old word works with one warning, or a line names the new one."""

import functools
import importlib
import re
import sys
from pathlib import Path

import mmbert
import numpy as np
import pytest
from mmbert.cli import app
from mmbert.evaluation.embeddings.knn import neighbour_scores
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from mmbert.trainers import FineTuneOptions, RecipeRun
from tests_support import one_warning as one_warning_of
from typer.testing import CliRunner

ROOT = Path(mmbert.__file__).parent
# A word of each row's first cell, and where it is tried: a test of this file, or FILE::TEST below tests/.
HELD = {
    "Recipe.road()": "trainers/test_old_names.py::test_methods_and_keywords",
    "MaskingSchedule.of_road": "trainers/test_old_names.py::test_methods_and_keywords",
    "callbacks.ProgressCallback": "trainers/test_old_names.py::test_classes",
    "evaluate_at_borders=": "trainers/test_old_names.py::test_methods_and_keywords",
    "--tokens_a_language": "test_keywords_of_runs_and_corpora",
    "folder `trunk/`": "trainers/test_old_names.py::test_a_run_of_an_older_tree_goes_on",
    "tokenize_corpus(unit_bytes=)": "test_keywords_of_runs_and_corpora",
    "data.preparation.prepare": "test_import_paths",
    "`ledger.json`": "trainers/test_old_names.py::test_a_run_of_an_older_tree_goes_on",
    "FineTuneOptions(epochs=": "trainers/test_finetuning.py::test_short_and_old_options",
    "FineTuneOptions(evaluation_batch_size=": "test_fine_tune_options",
    "options=": "test_the_keyword_options",
    "--rows_a_language": "trainers/test_finetuning.py::test_short_and_old_options",
    "neighbour_scores(judged=)": "test_neighbour_scores",
    "`beside`": "evaluation/test_efficiency_report.py::test_rows_of_other_conditions_are_not_mixed",
    "efficiency_targets": "test_a_module_that_is_gone_says_where_to",
    "export_modernbert": "export/test_remote_code.py::test_auto_map_names_every_class",
    "the cut of a save": "test_a_save_keeps_its_cut",
    "evaluate --redo": "test_options_of_evaluate",
    "`index.json`": "embeddings/test_search_words.py::test_an_index_of_an_earlier_version_is_converted",
    "--from composer": "test_config_of_composer",
    "run_classification.py": "examples/test_run_classification.py::test_",
    "run_mlm.py": "examples/test_run_mlm.py::test_",
    "train_embeddings.py": "examples/test_train_retrieval_scripts.py::test_",
    "`--metric`": "trainers/test_finetuning.py::test_short_and_old_options",
    "SelfTest.judge": "trainers/test_old_names.py::test_methods_of_self_tests",
    "`trivial`": "trainers/test_old_names.py::test_keys_of_an_older_report",
    "import paths of modules": "test_import_paths",
}
one_warning = functools.partial(one_warning_of, errors=(ValueError, OSError))


def test_every_row_has_its_test():
    page = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("|")][2:]
    for row in rows:
        assert [word for word in HELD if word in row], f"no test is named for {row}"
    for word, place in HELD.items():
        assert any(word in row for row in rows), f"{word} is in no row"
        file, _, test = place.rpartition("::")
        source = (ROOT / "tests" / file if file else Path(__file__)).read_text(encoding="utf-8")
        assert re.search(rf"^def {test}", source, re.MULTILINE), place


def test_keywords_of_runs_and_corpora(recipe, tokenizer, tmp_path):
    run, told = one_warning(lambda: RecipeRun(recipe, tmp_path / "run", tokens_a_language=300))
    assert run.tokens_per_language == 300 and "tokens_a_language is now tokens_per_language" in told
    places = tmp_path / "no", tmp_path / "out"
    _, told = one_warning(lambda: mmbert.data.tokenize_corpus(*places, tokenizer=tokenizer, unit_bytes=1 << 20))
    assert "unit_bytes is now task_bytes" in told


@pytest.mark.parametrize(
    ("old", "name", "new"),
    [
        ("mmbert.data.preparation", "prepare", "mmbert.data.tokenization.recipe_data"),
        ("mmbert.data.feeds", "Feed", "mmbert.data.tokenization.source"),
        ("mmbert.data.feeds", "WorkUnit", "mmbert.data.tokenization.source"),
        ("mmbert.evaluation.answering", "", "mmbert.tasks.question_answering"),
    ],
)
def test_import_paths(old, name, new, monkeypatch):
    monkeypatch.delitem(sys.modules, old, raising=False)
    module, told = one_warning(lambda: importlib.import_module(old))
    assert module is importlib.import_module(new) and f"{old} is now {new}" in told
    assert not name or getattr(module, name)


def test_a_module_that_is_gone_says_where_to():
    with pytest.raises(ModuleNotFoundError, match=r"efficiency_targets is now benchmarks/targets.py"):
        importlib.import_module("mmbert.evaluation.efficiency_targets")


def test_fine_tune_options():
    args, _ = one_warning(lambda: FineTuneOptions(evaluation_batch_size=3, gradient_checkpointing=True))
    assert args.per_device_eval_batch_size == 3 and args.activation_checkpointing


def test_the_keyword_options(tmp_path):
    call = lambda: mmbert.tasks.fine_tune_classifier(tmp_path / "no", {}, tmp_path / "out", options=None)  # noqa: E731
    assert "options= is args=" in one_warning(call)[1]


def test_neighbour_scores():
    class Letters:
        def encode(self, texts, **_):
            return np.eye(26, dtype=np.float32)[[ord(text[0]) - 97 for text in texts]]

    rows = [("a", "x"), ("b", "y"), ("c", "x")]
    old, told = one_warning(lambda: neighbour_scores(Letters(), rows, judged=rows, neighbours=1))
    assert old == neighbour_scores(Letters(), rows, queries=rows, neighbours=1) and "judged is now queries" in told


@pytest.mark.parametrize(("old", "new"), [("--redo", "--overwrite-output-dir"), ("--grid=book", "--grid default")])
def test_options_of_evaluate(old, new, tmp_path):
    words = ["evaluate", str(tmp_path / "no"), "--tasks", "sib200", "-o", str(tmp_path / "out"), old]
    done, told = one_warning(lambda: CliRunner().invoke(app, words))
    assert new in told and "does not exist" in str(done.exception)


def test_config_of_composer(tmp_path):
    words = ["export", str(tmp_path / "no"), str(tmp_path / "out"), "--from", "composer", "--config", "run.yaml"]
    done, told = one_warning(lambda: CliRunner().invoke(app, words))
    assert "--composer-config" in told and done.exit_code


def test_a_save_keeps_its_cut(tokenizer, tmp_path):
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    mmbert.MmBertModel(mmbert.MmBertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(tmp_path / "model")
    save_tokenizer(tokenizer, tmp_path / "model")
    mmbert.load_embedder(tmp_path / "model", dims=8, dtype="float32", device="cpu").save(str(tmp_path / "cut"))
    for dims, width in ((None, 8), (32, 32)):
        assert mmbert.load_embedder(tmp_path / "cut", dims=dims, dtype="float32", device="cpu").encode(
            ["house"]
        ).shape == (1, width)
