"""`extends: mmbert-base`: a recipe written as what it changes in another one.

Mappings are merged key by key, `phases` by the phases' names; any other value takes the place of the one below it, and
null takes away an entry that the recipe below has. Sources of the recipe below forget the phases and variants that are
gone. The file that extends is the one whose line an error names, unless the recipe below has no shape to change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..common.files import inside
from .quantity import RecipeError

_MOST_ENTRIES = 100_000  # of a file; a recipe of 1,833 languages in four phases has 8,000
_DEEPEST = 8  # recipes on top of each other; more is a circle


@dataclass(frozen=True)
class Lines:
    """Line of every key path of a YAML file, such as `phases[1].masking_ratio`."""

    of: dict[str, int]

    def where(self, key: str) -> str:
        """Return ` line N` for a key path, or for the nearest one above it that the file has."""
        while key and key not in self.of:
            cut = max(key.rfind("."), key.rfind("["))
            key = key[:cut] if cut > 0 else ""
        return f" line {self.of[key]}" if key else ""


def load_extended(path: Path, shipped: Mapping[str, Path], depth: int = 0) -> tuple[Any, Lines]:
    """Parse a YAML file and lay it over the recipe that it extends, if it extends one."""
    tree, lines = load_with_lines(path)
    if not isinstance(tree, Mapping) or "extends" not in tree:
        return tree, lines
    below = _file_below(path, str(tree["extends"]), shipped, depth, lines)
    parent, lines_below = load_extended(below, shipped, depth + 1)
    if not isinstance(parent, Mapping):
        raise ValueError(f"{path.name}{lines.where('extends')}, extends: {below.name} is no recipe; name another.")
    try:
        _check_shape(parent)
    except RecipeError as error:
        raise ValueError(f"{below.name}{lines_below.where(error.key)}, {error}") from None
    changes = {key: value for key, value in tree.items() if key != "extends"}
    phases = changes.get("phases")
    try:
        if isinstance(phases, Mapping):
            changes["phases"], places = _changed_phases(parent.get("phases") or [], phases)
            lines = Lines({**lines.of, **_lines_by_place(lines.of, places)})
    except RecipeError as error:
        raise ValueError(f"{path.name}{lines.where(error.key)}, {error}") from None
    gone = _names(parent) - _names(_merged(parent, changes))
    return _merged({key: _without(gone, key, value) for key, value in parent.items() if key != "name"}, changes), lines


def _file_below(path: Path, name: str, shipped: Mapping[str, Path], depth: int, lines: Lines) -> Path:
    where = f"{path.name}{lines.where('extends')}, extends: "
    below = shipped[name] if name in shipped else inside(path.parent, name, path)
    if not below.is_file():
        raise ValueError(f"{where}no recipe {name!r}; shipped recipes are {', '.join(sorted(shipped))}.")
    if depth >= _DEEPEST:
        raise ValueError(f"{where}recipes extend each other in a circle; remove one `extends`.")
    return below


def _check_shape(parent: Mapping[str, Any]) -> None:
    """Refuse a recipe below whose phases and variants cannot be told by name."""
    phases, variants = parent.get("phases") or [], parent.get("variants") or {}
    if not isinstance(phases, list):
        raise RecipeError("phases", f"must be a list, got {phases!r}; see recipes/demo.yaml for the shape.")
    for number, phase in enumerate(phases):
        if not isinstance(phase, Mapping) or phase.get("name") is None:
            raise RecipeError(f"phases[{number}]", f"must be a mapping with a name, got {phase!r}; write `name:`.")
        if str(phase["name"]) in {str(earlier["name"]) for earlier in phases[:number]}:
            raise RecipeError(f"phases[{number}]", f"has the name {phase['name']} of an earlier phase; rename one.")
    if not isinstance(variants, Mapping):
        raise RecipeError("variants", f"must be a mapping, got {variants!r}; see recipes/demo.yaml for the shape.")


def _names(tree: Mapping[str, Any]) -> set[str]:
    """Return the names of phases and variants, as far as the tree has the shape for it."""
    phases, variants = tree.get("phases"), tree.get("variants")
    listed = [phase for phase in phases if isinstance(phase, Mapping)] if isinstance(phases, list) else []
    named = variants if isinstance(variants, Mapping) else ()
    return {str(phase.get("name")) for phase in listed} | {str(name) for name in named}


def _without(gone: set[str], key: str, value: Any) -> Any:
    """Take phases that are gone from the sources in `data`; a source that no phase is left to read goes too."""
    if key != "data" or not isinstance(value, Mapping) or not isinstance(value.get("sources"), list):
        return value
    kept = [_source_without(gone, source) for source in value["sources"]]
    return {**value, "sources": [source for source in kept if source is not None]}


def _source_without(gone: set[str], source: Any) -> Any:
    """Return the source with the phases that are left, or None if it had some and none is left."""
    if not isinstance(source, Mapping) or not isinstance(source.get("phases"), list):
        return source
    phases = [name for name in source["phases"] if str(name) not in gone]
    if source["phases"] and not phases:
        return None
    tokens = source.get("tokens")
    if not isinstance(tokens, Mapping):
        return {**source, "phases": phases}
    return {**source, "phases": phases, "tokens": {key: n for key, n in tokens.items() if str(key) not in gone}}


def _merged(below: Any, above: Any) -> Any:
    """Lay one tree over another."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    result = dict(below)
    for key, value in above.items():
        if value is None and key in result:
            del result[key]
        else:
            result[key] = _merged(below.get(key), value)
    return result


def _changed_phases(phases: list[Any], changes: Mapping[str, Any]) -> tuple[list[Any], dict[str, int]]:
    """Return the phases with their changes, and at which place each changed one stands."""
    result = {str(phase["name"]): phase for phase in phases}
    for name, change in changes.items():
        if name not in result:
            there = ", ".join(str(phase["name"]) for phase in phases) or "none"
            raise RecipeError(f"phases.{name}", f"changes no phase; there are {there}.")
        if change is not None and not isinstance(change, Mapping):
            raise RecipeError(f"phases.{name}", f"must be a mapping of what changes, got {change!r}.")
        result[name] = change if change is None else _merged(result[name], change)
    left = [name for name, phase in result.items() if phase is not None]
    return [result[name] for name in left], {name: left.index(name) for name in changes if name in left}


def _lines_by_place(lines: Mapping[str, int], places: Mapping[str, int]) -> dict[str, int]:
    """Let errors in `phases[0].tokens` find the line of `phases.pretrain.tokens`."""
    found = {}
    for name, place in places.items():
        written = f"phases.{name}"
        for key, line in lines.items():
            if key == written or key.startswith(f"{written}."):
                found[f"phases[{place}]{key.removeprefix(written)}"] = line
    return found


def load_with_lines(path: Path) -> tuple[Any, Lines]:
    """Parse a YAML file; keys are the text that is written, also where YAML would read a number or a truth value."""
    lines: dict[str, int] = {}
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        if root is None:
            return None, Lines(lines)
        _walk(path.name, root, "", lines)
        return loader.construct_document(root), Lines(lines)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 (byte {error.start}); save it as UTF-8.") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ValueError(f"{path.name} refers to itself or is nested too deeply; see recipes/demo.yaml.") from None
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        if str(error).startswith(path.name):
            raise
        raise ValueError(f"{path.name} is not YAML that can be read ({type(error).__name__}: {error})") from None


def _walk(file: str, node: yaml.Node, key: str, lines: dict[str, int]) -> None:
    if len(lines) > _MOST_ENTRIES:
        raise ValueError(
            f"{file} has more than {_MOST_ENTRIES:,} entries with its aliases; write it without nesting them."
        )
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for name, value in node.value:
            where = f"{file} line {name.start_mark.line + 1}, "
            if not isinstance(name, yaml.ScalarNode):
                raise ValueError(f"{where}{key or 'the recipe'}: a key must be a word, not a list or a mapping.")
            if name.tag != "tag:yaml.org,2002:merge":
                name.tag = "tag:yaml.org,2002:str"
            inner = f"{key}.{name.value}" if key else str(name.value)
            if name.value in seen:
                raise ValueError(f"{where}{inner}: given twice; remove one.")
            seen.add(name.value)
            lines[inner] = name.start_mark.line + 1
            _walk(file, value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[f"{key}[{index}]"] = value.start_mark.line + 1
            _walk(file, value, f"{key}[{index}]", lines)
