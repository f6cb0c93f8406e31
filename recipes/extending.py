"""`extends: mmbert-base`: a recipe written as what it changes in another one.

Mappings are merged key by key, `phases` by the phases' names; any other value takes the place of the one below it, and
null takes an entry away. The file that extends is the one whose line an error names.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .quantity import RecipeError
from .yaml_lines import Lines, load_with_lines

_DEEPEST = 8  # recipes on top of each other; more is a circle


def load_extended(path: Path, shipped: Mapping[str, Path], depth: int = 0) -> tuple[Any, Lines]:
    """Parse a YAML file and lay it over the recipe that it extends, if it extends one.

    Args:
        path: The file.
        shipped: Files of the recipes in the package, by name.
        depth: How many recipes extend this one.

    Returns:
        The merged tree without `extends`, and the line of every key that this file has.

    Raises:
        ValueError: If a file is missing or not YAML; the message names the file that is wrong.
    """
    tree, lines = load_with_lines(path)
    if not isinstance(tree, Mapping) or "extends" not in tree:
        return tree, lines
    below = _file_below(path, str(tree["extends"]), shipped, depth, lines)
    parent, _ = load_extended(below, shipped, depth + 1)
    if not isinstance(parent, Mapping):
        raise ValueError(f"{path.name}{lines.where('extends')}, extends: {below.name} is no recipe; name another.")
    changes = {key: value for key, value in tree.items() if key != "extends"}
    phases = changes.get("phases")
    try:
        if isinstance(phases, Mapping):
            changes["phases"], places = _changed_phases(parent.get("phases") or [], phases)
            lines = Lines({**lines.of, **_lines_by_place(lines.of, places)})
    except RecipeError as error:
        raise ValueError(f"{path.name}{lines.where(error.key)}, {error}") from None
    return _merged({key: value for key, value in parent.items() if key != "name"}, changes), lines


def _file_below(path: Path, name: str, shipped: Mapping[str, Path], depth: int, lines: Lines) -> Path:
    below = shipped.get(name, path.parent / name)
    where = f"{path.name}{lines.where('extends')}, extends: "
    if not below.is_file():
        raise ValueError(f"{where}no recipe {name!r}; shipped recipes are {', '.join(sorted(shipped))}.")
    if depth >= _DEEPEST:
        raise ValueError(f"{where}recipes extend each other in a circle; break it.")
    return below


def _merged(below: Any, above: Any) -> Any:
    """Lay one tree over another."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    result = dict(below)
    for key, value in above.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(below.get(key), value)
    return result


def _changed_phases(phases: list[Any], changes: Mapping[str, Any]) -> tuple[list[Any], dict[str, int]]:
    """Return the phases with their changes, and at which place each changed one stands."""
    places = {str(phase["name"]): number for number, phase in enumerate(phases)}
    result = list(phases)
    for name, change in changes.items():
        if name not in places:
            raise RecipeError(f"phases.{name}", f"changes no phase; there are {', '.join(places)}.")
        if not isinstance(change, Mapping):
            raise RecipeError(f"phases.{name}", f"must be a mapping of what changes, got {change!r}.")
        result[places[name]] = _merged(result[places[name]], change)
    return result, {name: places[name] for name in changes}


def _lines_by_place(lines: Mapping[str, int], places: Mapping[str, int]) -> dict[str, int]:
    """Let errors in `phases[0].tokens` find the line of `phases.pretrain.tokens`."""
    found = {}
    for name, place in places.items():
        written = f"phases.{name}"
        for key, line in lines.items():
            if key == written or key.startswith(f"{written}."):
                found[f"phases[{place}]{key.removeprefix(written)}"] = line
    return found
