"""What the benchmark scripts share: options, and a reporter that prints a table and writes it beside the figures."""

import argparse
import json
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from mmbert.evaluation.efficiency.report import conditions
from mmbert.model_cards.markdown import markdown_table


def options_of(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """Make a parser with the options that all scripts have.

    Args:
        doc: The script's docstring.
        rounds: Default of --rounds.

    Returns:
        The parser.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds of each, in turns; the median counts")
    parser.add_argument("--quick", "--dry-run", action="store_true", help="tiny networks: does it run?")
    parser.add_argument("--output", type=Path, help="folder for the figures (JSON) and the table (Markdown)")
    return parser


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
    text = "\n\n".join(lines)
    print(text)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        found = {**figures, "date": date.today().isoformat(), "conditions": conditions()}
        (output / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        (output / f"{name}.md").write_text(text + "\n", encoding="utf-8")
