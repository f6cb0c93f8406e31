"""YAML with line numbers, so that an error can say where the wrong entry stands."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Lines:
    """Line of every key path of a YAML file, such as `phases[1].masking_ratio`."""

    of: dict[str, int]

    def where(self, key: str) -> str:
        """Return ` line N` for a key path, or for the nearest one above it that the file has.

        Args:
            key: The path.

        Returns:
            The words to put after the file's name; empty if nothing above is known.
        """
        while key and key not in self.of:
            cut = max(key.rfind("."), key.rfind("["))
            key = key[:cut] if cut > 0 else ""
        return f" line {self.of[key]}" if key else ""


def load_with_lines(path: Path) -> tuple[Any, Lines]:
    """Parse a YAML file.

    Args:
        path: The file.

    Returns:
        The plain tree, and the line of every key.

    Raises:
        ValueError: If the file is not UTF-8 or not YAML, or names a key twice.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 (byte {error.start}); save it as UTF-8.") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None
    lines: dict[str, int] = {}
    if root is not None:
        _walk(path.name, root, "", lines)
    return tree, Lines(lines)


def _walk(file: str, node: yaml.Node, key: str, lines: dict[str, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for name, value in node.value:
            inner = f"{key}.{name.value}" if key else str(name.value)
            if name.value in seen:
                raise ValueError(f"{file} line {name.start_mark.line + 1}, {inner}: the key stands twice; drop one.")
            seen.add(name.value)
            lines[inner] = name.start_mark.line + 1
            _walk(file, value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[f"{key}[{index}]"] = value.start_mark.line + 1
            _walk(file, value, f"{key}[{index}]", lines)
