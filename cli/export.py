"""`mmbert export`: a checkpoint becomes one that other software reads."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(help="mmBERT checkpoint directory, or what --from says.")],
    output: Annotated[Path, typer.Argument(help="Directory to make.")],
    format_: Annotated[
        str, typer.Option("--format", help="modernbert: stock transformers 4 and 5 and serving engines.")
    ] = "modernbert",
    auto_map: Annotated[
        bool, typer.Option(help="Add our network's code, for readers who say trust_remote_code=True.")
    ] = True,
    from_: Annotated[
        str, typer.Option("--from", help="mmbert, or composer: FlexBERT's state dict as safetensors.")
    ] = "mmbert",
    config: Annotated[Path | None, typer.Option(help="With --from composer: the YAML of its run.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="With --from composer: folder of its tokenizer.")] = None,
) -> None:
    """Write a checkpoint as `modernbert`, checked against stock transformers before it appears."""
    from rich.console import Console

    from ..export import convert_composer, export_modernbert

    if format_ != "modernbert":
        raise ValueError(f"--format {format_} is unknown; choose modernbert")
    if from_ not in ("mmbert", "composer"):
        raise ValueError(f"--from {from_} is unknown; choose mmbert or composer")
    if from_ == "mmbert":
        written = export_modernbert(checkpoint, output, code=auto_map)
    elif config is None:
        raise ValueError("--from composer needs --config, the YAML that the run was started with")
    else:
        written = convert_composer(checkpoint, config, output, tokenizer=tokenizer, code=auto_map)
    Console().print(f"exported model: {written}")
