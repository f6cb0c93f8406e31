"""What the benchmark scripts share: options, and a reporter that prints a table and writes it beside the figures."""

import argparse
import json
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from mmbert.evaluation.efficiency.report import conditions
from mmbert.model_cards.markdown import markdown_table


def parser_of(doc: str | None, output: str | None = None) -> argparse.ArgumentParser:
    """Make a script's parser of its docstring; `output` is the help of --output, where it has that option."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if output is not None:
        parser.add_argument("--output", type=Path, help=output)
    return parser


def options_of(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """Make a parser with the options that all scripts have.

    Args:
        doc: The script's docstring.
        rounds: Default of --rounds.

    Returns:
        The parser.
    """
    parser = parser_of(doc, "folder for the figures (JSON) and the table (Markdown)")
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds of each, in turns; the median counts")
    parser.add_argument("--quick", "--dry-run", action="store_true", help="tiny networks: does it run?")
    return parser


def write_results(output: Path | None, name: str, figures: Any, text: str | None = None) -> None:
    """Print the text; write it as NAME.md and the figures as NAME.json, where there is a folder for them."""
    if text is not None:
        print(text)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        if text is not None:
            (output / f"{name}.md").write_text(text + "\n", encoding="utf-8")


def report(
    name: str, header: Sequence[str], rows: Iterable[Sequence[Any]], figures: dict[str, Any], output: Path | None
) -> None:
    """Print a table and its figures; write NAME.md and NAME.json.

    Args:
        name: Of the files.
        header: Of the table.
        rows: Of the table.
        figures: What the script is made for, by name.
        output: Folder; None: only print.
    """
    lines = [markdown_table(header, rows), *(f"{key}: {value:.3g}" for key, value in figures.items() if value)]
    found = {**figures, "date": date.today().isoformat(), "conditions": conditions()}
    write_results(output, name, found, "\n\n".join(lines))
