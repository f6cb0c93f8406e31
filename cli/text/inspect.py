"""`mmbert inspect`: what the reader sees in a file for each task, and what would be left out; nothing is trained."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ...common.options import column_names

# What each task needs, in the words of its verb; `read_labelled`'s `require`.
_NEEDS: dict[str, tuple[str | tuple[str, ...], ...]] = {
    "classification": ("text", ("label", "labels", "score")),
    "tagging": ("tokens", "tags"),
    "qa": ("question", "context", "answers"),
    "choice": ("choices", "label"),
}
_WIDTH = 70


def inspect(
    place: Annotated[str, typer.Argument(help="File, folder or Hub id of a dataset.", metavar="FILE")],
    columns: Annotated[
        list[str] | None, typer.Option("--columns", help="Our name=the source's, such as text=review; may be repeated.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of rows that do not say it.")] = None,
    configuration: Annotated[str | None, typer.Option(help="Of a Hub dataset with several.")] = None,
) -> None:
    """Show what a file holds for each task: rows, columns taken, languages, classes, examples, and what is left out."""
    from ...data.labelled.read import read_labelled
    from ...data.tables.files import format_of

    named = column_names(columns or [])
    if Path(place).is_file() and format_of(place) == "text":
        typer.echo(
            f"{place} holds running text: no rows of a task, but a corpus for `mmbert tokenize` and `mmbert embed`."
        )
        return
    typer.echo("\n".join(_table(place, split, configuration)))
    given: dict[str, Any] = {"split": split, "language": language, "columns": named, "configuration": configuration}
    with _once() as notes:
        whole = len(read_labelled(place, on_bad_row="skip", **given))
        said = [line for task, needs in _NEEDS.items() for line in _task(place, task, needs, whole, given)]
        said.append(_pairs(place))
    typer.echo("\n".join([*(f"  note: {note.removeprefix(f'{place}: ')}" for note in notes), *said]))


@contextmanager
def _once() -> Iterator[dict[str, None]]:
    """Collect what readers note, each note once: every task reads the file anew."""
    notes: dict[str, None] = {}

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notes[record.getMessage()] = None

    logger, collector = logging.getLogger("mmbert"), Collector(logging.WARNING)
    kept, propagated = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [collector], False
    try:
        yield notes
    finally:
        logger.handlers, logger.propagate = kept, propagated


def _table(place: str, split: str | None, configuration: str | None) -> list[str]:
    """Say which files, rows and columns there are, and what cannot be read."""
    from ...data.tables.read import open_tables

    said, bad = [], Counter[str]()
    for table in open_tables(place, split=split, configuration=configuration):
        names: dict[str, int] = {}
        first, rows = "", 0
        for number, values, problem, detail in table.rows(None):
            rows += 1
            if values is None:
                bad[problem] += 1
                first = first or f"row {number}: {problem}{f' ({detail})' if detail else ''}"
                continue
            for name, value in values.items():
                names[name] = names.get(name, 0) + (value not in (None, "", []))
        found = ", ".join(f"{name} ({count:,})" if count < rows else name for name, count in names.items()) or "none"
        about = "".join(
            f", {what} {value}" for what, value in (("language", table.language), ("split", table.split)) if value
        )
        said.append(f"{table.place}: {rows:,} rows{about}; columns (values, where some are missing): {found}")
        if first:
            said.append(f"  cannot be read: {sum(bad.values()):,} rows, the first: {first}")
    return said


def _task(place: str, task: str, needs: Any, whole: int, given: dict[str, Any]) -> list[str]:
    """Say what one task would take, or in one line why nothing."""
    from ...data.labelled.read import first_look, read_labelled

    try:
        rows = read_labelled(place, require=needs, on_bad_row="skip", **given)
    except ValueError as error:
        return [f"{task}: no. {str(error).replace(f'{place} ', '')}"]
    left = whole - len(rows)
    return [f"{task}: {first_look(rows)}", *([f"  left out: {left:,} rows that lack a value"] if left else [])]


def _pairs(place: str) -> str:
    from ...embeddings import read_pairs

    try:
        pairs = read_pairs(place)
    except (ValueError, OSError) as error:
        return f"train embedder: no. {error}"
    left = "" if (told := pairs.left_out()) == "none" else f"; left out: {told}"
    shown = " | ".join(f"{text:.{_WIDTH // 2}}" for text in pairs.rows[0])
    return f"train embedder: {len(pairs):,} {pairs.kind}{left}\n  {shown}"
