"""The house: what is public is visible, nothing heavy is loaded early, no class exists twice, imports stay relative."""

import ast
import subprocess
import sys
from pathlib import Path

import mmbert
import pytest
from tests_support import run_forked

ROOT = Path(mmbert.__file__).parent
ROOMS = [
    "callbacks", "cli", "common", "data", "embeddings", "evaluation", "export", "languages", "merging", "model_cards",
    "modeling", "recipes", "tasks", "trainers",
]  # fmt: skip
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def test_all_is_what_is_visible():
    assert sorted(name for name in dir(mmbert) if not name.startswith("__")) == sorted(
        name for name in mmbert.__all__ if not name.startswith("__")
    )
    for name in mmbert.__all__:
        assert getattr(mmbert, name) is not None
    assert mmbert.__all__ == sorted(mmbert.__all__, key=lambda name: (name != "__version__", name))
    with pytest.raises(AttributeError, match="no attribute 'trim'"):
        _ = mmbert.trim


def test_no_class_exists_twice():
    """pytest imports a root with an `__init__.py` a second time; the registration must not follow it."""
    import transformers

    registered = transformers.AutoModel._model_mapping[mmbert.MmBertConfig]
    assert registered is mmbert.MmBertModel
    assert transformers.AutoConfig.for_model("mmbert").__class__ is mmbert.MmBertConfig
    ours = [vars(module).get("MmBertConfig") for module in list(sys.modules.values()) if hasattr(module, "__dict__")]
    assert len({config for config in ours if config is not None}) == 1
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path and Path(path).parent.parent == ROOT and Path(path).parent.name in ROOMS:
            assert name.startswith("mmbert."), f"{path} is imported as {name}"


def test_import_loads_nothing_optional():
    heavy = ["sentence_transformers", "matplotlib", "peft", "onnxruntime", "flash_attn", "django", "sphinx", "sklearn"]
    code = f"import sys, mmbert; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd="/")
    assert done.stdout.strip() == "[]", done.stderr


def test_auto_classes_know_mmbert_after_one_import():
    code = (
        "import mmbert, transformers as t; c = mmbert.MmBertConfig(hidden_size=8, num_attention_heads=2, "
        "num_hidden_layers=1, intermediate_size=8, vocab_size=9); "
        "print([type(getattr(t, f'AutoModel{h}').from_config(c)).__name__ for h in ['', 'ForMaskedLM', "
        "'ForSequenceClassification', 'ForTokenClassification', 'ForQuestionAnswering', 'ForMultipleChoice']])"
    )
    done = run_forked("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("MmBert") == 6


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield 0, alias.name, []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.relative_to(ROOT)}")
def test_the_package_imports_itself_relatively(path):
    for level, module, _ in imports(path):
        top = module.split(".")[0]
        if level == 0 and top in ROOMS:
            # `from datasets import ...` and friends are other packages; a room of ours must never be meant.
            assert top not in ROOMS, f"{path.name} imports {module} absolutely"
        assert not (level == 0 and top == "mmbert"), f"{path.name} imports mmbert absolutely"


def test_files_of_the_network_import_their_neighbours_only():
    """A published checkpoint carries copies of these files side by side."""
    from mmbert.export.modernbert.remote_code import network_files

    for name in network_files():
        path = ROOT / "modeling" / f"{name.removesuffix('.py')}.py"
        assert all(level < 2 for level, _, _ in imports(path)), path.name


def test_the_version_is_stated_once():
    import importlib.metadata

    assert importlib.metadata.version("mmbert") == mmbert.__version__
