"""`mmbert merge`: variants of one base become one model."""

from pathlib import Path
from typing import Annotated

import typer


def merge(
    base: Annotated[Path, typer.Argument(help="Checkpoint that all variants started from.")],
    variants: Annotated[list[Path], typer.Argument(help="Checkpoints to merge.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory to make.")],
    density: Annotated[float, typer.Option(help="Share of each task vector that is kept, in (0, 1].")] = 0.2,
    scale: Annotated[float, typer.Option(help="Factor on the merged task vector.")] = 1.0,
    weights: Annotated[list[float] | None, typer.Option(help="One for each variant: --weights 2 --weights 1.")] = None,
    trim: Annotated[
        str, typer.Option(help="global: over the whole task vector (the paper); tensor: each alone.")
    ] = "global",
) -> None:
    """Merge variants with TIES and show where they agree."""
    from rich.console import Console

    from ..merging import merge_ties, read_report

    merged = merge_ties(base, variants, output, density=density, scale=scale, weights=weights, trim=trim)  # type: ignore[arg-type]
    console = Console()
    console.print(read_report(merged).to_table())
    console.print(f"merged model: {merged}")
