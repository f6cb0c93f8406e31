"""Copies our network beside the weights, so that `trust_remote_code=True` runs it where mmbert is not installed.

The files are found by following the imports of the classes, never listed by hand, and a file that reaches outside its
folder, or for a package that transformers does not bring along, is refused. transformers copies only the files that
the module of a class names itself (a local folder's, version 4 and 5 alike), so one generated module, `mmbert_auto.py`,
names them all and is what `auto_map` points to.

Trade-off: our network needs transformers 5.20 and Python 3.11. Elsewhere the same module hands out stock ModernBERT
under our names: the same numbers at stock's speed, instead of an error for whoever sets the flag by habit.
"""

import ast
import sys
from functools import cache
from pathlib import Path

from ...modeling import configuration_mmbert
from ...version import __version__

ENTRY = "mmbert_auto"
HEADS = {
    "AutoModel": "Model",
    "AutoModelForMaskedLM": "ForMaskedLM",
    "AutoModelForMultipleChoice": "ForMultipleChoice",
    "AutoModelForQuestionAnswering": "ForQuestionAnswering",
    "AutoModelForSequenceClassification": "ForSequenceClassification",
    "AutoModelForTokenClassification": "ForTokenClassification",
}
_ROOTS = ("configuration_mmbert", "modeling_mmbert")  # where the classes are defined
_BROUGHT = frozenset({"huggingface_hub", "numpy", "packaging", "torch", "transformers"})

_TEMPLATE = '''\
"""mmBERT's own network, for `trust_remote_code=True`; without it transformers runs these weights as ModernBERT.

Written by mmbert {version} together with copies of its modeling files (Apache-2.0). Where transformers or Python is
older than they need, the classes are stock ModernBERT's under our names, with the same numbers.
"""

import sys

import transformers
from packaging.version import Version

if False:  # never run: transformers finds the files to copy by reading lines like these
{listed}

if Version(transformers.__version__).release >= (5, 20) and sys.version_info >= (3, 11):
    from .configuration_mmbert import MmBertConfig
    from .modeling_mmbert import (
        MmBertForMaskedLM,
        MmBertForMultipleChoice,
        MmBertForQuestionAnswering,
        MmBertForSequenceClassification,
        MmBertForTokenClassification,
        MmBertModel,
    )

    # save_pretrained copies the module of a class and what that names: it must be this one.
    for _class in (
        MmBertConfig,
        MmBertForMaskedLM,
        MmBertForMultipleChoice,
        MmBertForQuestionAnswering,
        MmBertForSequenceClassification,
        MmBertForTokenClassification,
        MmBertModel,
    ):
        _class.__module__ = __name__
else:

    class MmBertConfig(transformers.ModernBertConfig):
        pass

    for _head in {heads}:
        _stock = getattr(transformers, "ModernBert" + _head, None)  # old versions lack some
        if _stock is not None:
            _fields = {{"__module__": __name__, "config_class": MmBertConfig}}
            globals()["MmBert" + _head] = type("MmBert" + _head, (_stock,), _fields)
'''


def auto_map() -> dict[str, str]:
    """Return what config.json says about where each Auto class finds our class."""
    return {"AutoConfig": f"{ENTRY}.MmBertConfig"} | {auto: f"{ENTRY}.MmBert{head}" for auto, head in HEADS.items()}


def write_remote_code(directory: Path) -> list[str]:
    """Copy the network's files into a checkpoint and write the module that `auto_map` names; return their names."""
    files = network_files()
    for name, source in files.items():
        (directory / f"{name}.py").write_text(source, encoding="utf-8", newline="\n")
    listed = "\n".join(f"    from .{name} import __doc__" for name in files)
    entry = _TEMPLATE.format(version=__version__, listed=listed, heads=tuple(HEADS.values()))
    (directory / f"{ENTRY}.py").write_text(entry, encoding="utf-8", newline="\n")
    return [f"{name}.py" for name in (ENTRY, *files)]


@cache
def network_files() -> dict[str, str]:
    """Source text by module name: follow the network's imports from the classes on."""
    folder = Path(configuration_mmbert.__file__).parent
    found: dict[str, str] = {}
    waiting = list(_ROOTS)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = (folder / f"{name}.py").read_text(encoding="utf-8")
        waiting += _neighbours(name, found[name])
    return dict(sorted(found.items()))


def _neighbours(name: str, source: str) -> list[str]:
    """Name the files that a file imports from its own folder, and refuse other imports than transformers' own."""
    near: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            if node.level > 1 or not node.module or "." in node.module:
                raise ValueError(f"{name}.py imports {'.' * node.level}{node.module or ''}, which no copy of it can")
            near.append(node.module)
            continue
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        for module in modules:
            package = module.partition(".")[0]
            if package not in _BROUGHT and package not in sys.stdlib_module_names:
                raise ValueError(f"{name}.py imports {module}, which transformers does not bring along")
    return near
