"""`mmbert report`: runs on one HTML page."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Output folders of pretrain, finetune, evaluate, evaluated embedders; or their records."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")] = Path("report.html"),
    predictions: Annotated[
        int, typer.Option(help="Most predictions shown of a data set, the wrong ones first.", min=0)
    ] = 5_000,
) -> None:
    """Write curves, language tables, heat maps and predictions of runs as one HTML file that needs no network."""
    from ...model_cards.report import write_report

    path = write_report(runs, output, predictions=predictions)
    typer.echo(f"{path}: {path.stat().st_size:,} bytes; open it in a browser")
