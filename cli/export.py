"""`mmbert export`: a checkpoint becomes one that other software reads."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(help="mmBERT checkpoint directory.")],
    output: Annotated[Path, typer.Argument(help="Directory to make.")],
    format_: Annotated[
        str, typer.Option("--format", help="modernbert: stock transformers 4 and 5 and serving engines.")
    ] = "modernbert",
    auto_map: Annotated[
        bool, typer.Option(help="Add our network's code, for readers who say trust_remote_code=True.")
    ] = True,
) -> None:
    """Write a checkpoint as `modernbert`, checked against stock transformers before it appears."""
    from rich.console import Console

    from ..export import export_modernbert

    if format_ != "modernbert":
        raise ValueError(f"--format {format_} is unknown; choose modernbert")
    Console().print(f"exported model: {export_modernbert(checkpoint, output, code=auto_map)}")
