"""`mmbert export`: a checkpoint becomes one that every ModernBERT reader loads."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(help="mmBERT checkpoint directory.")],
    output: Annotated[Path, typer.Argument(help="Directory to make.")],
) -> None:
    """Write a checkpoint as `modernbert`, for stock transformers 4 and 5 and serving engines."""
    from rich.console import Console

    from ..export import export_modernbert

    Console().print(f"exported model: {export_modernbert(checkpoint, output)}")
