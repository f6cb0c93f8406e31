"""The house: who may know whom, no import cycles, no heaps, every public name importable, documented and packaged."""

import ast
import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path

import mmbert
import pytest

ROOT = Path(mmbert.__file__).parent
# A folder knows only the folders before it (CONTRIBUTING.md draws this).
FLOORS = [
    "common", "languages", "recipes", "modeling", "model_cards", "data", "export", "merging", "callbacks",
    "embeddings", "trainers", "tasks", "evaluation", "cli",
]  # fmt: skip
MOST_MODULES = 13
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for room in FLOORS
    for path in sorted((ROOT / room).rglob("*.py"))
}
PACKAGES = sorted(name.removesuffix(".__init__") for name in SOURCES if name.endswith(".__init__"))


def imports(name):
    """Modules of the package that `name` imports anywhere: at the top, in functions, for types, or lazily by name."""
    package = name.split(".")[:-1]
    for node in ast.walk(ast.parse(SOURCES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                yield module_of([*base, alias.name]) or module_of(base) or ".".join([*base, alias.name])
        elif name.endswith(".__init__") and isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            if getattr(node.targets[0], "id", None) == "_HOMES":
                for value in node.value.values:
                    yield module_of([*package, *value.value.split(".")])


def module_of(parts):
    path = ".".join(parts)
    return path if path in SOURCES else f"{path}.__init__" if f"{path}.__init__" in SOURCES else None


GRAPH = {name: set(imports(name)) - {name} for name in SOURCES}


@pytest.mark.parametrize("room", FLOORS)
def test_a_folder_knows_only_those_below_it(room):
    below = {*FLOORS[: FLOORS.index(room) + 1], "version"}
    wrong = {
        f"{name} imports {target}"
        for name, targets in GRAPH.items()
        for target in targets
        if name.split(".")[0] == room and target.split(".")[0] not in below
    }
    assert not wrong


def test_every_folder_of_the_tree_has_a_floor():
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "build"}
    assert folders == set(FLOORS)


def test_no_import_cycle():
    """Tarjan's strongly connected components over all imports, lazy ones included."""
    index, low, stack, cycles = {}, {}, [], []

    def visit(name):
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(GRAPH[name] & set(SOURCES)):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            component = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(component) > 1:
                cycles.append(sorted(component))

    for name in SOURCES:
        if name not in index:
            visit(name)
    assert not cycles


@pytest.mark.parametrize("package", [package for package in PACKAGES if package != "modeling"])
def test_no_folder_is_a_heap(package):
    """`modeling/` is flat on purpose: a published checkpoint carries copies of its files side by side."""
    modules = [name for name in SOURCES if name.rpartition(".")[0] == package and not name.endswith("__init__")]
    assert len(modules) <= MOST_MODULES


def test_every_package_is_listed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert settings["packages"] == ["mmbert", *(f"mmbert.{package}" for package in PACKAGES)]


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_importable_and_documented(package):
    module = import_module(f"mmbert.{package}")
    assert module.__doc__ and "TODO" not in module.__doc__
    for name in getattr(module, "__all__", []):
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            assert inspect.getdoc(value), f"{package}.{name} has no docstring"


def test_names_in_readme_and_guides_are_imported_the_way_users_do():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        for module, names in re.findall(r"from (mmbert[\w.]*) import ([\w, ]+)", text):
            if page.name == "migration.md":
                continue
            assert all(hasattr(import_module(module), name.split()[0]) for name in names.split(",")), (page.name, names)


def test_no_public_name_is_hidden_by_a_module_of_the_same_name():
    """Importing the module would put it in the place of the name."""
    for package in PACKAGES:
        homes = getattr(import_module(f"mmbert.{package}"), "_HOMES", {})
        assert not [name for name in homes if f"{package}.{name}" in SOURCES or f"{package}.{name}.__init__" in SOURCES]
