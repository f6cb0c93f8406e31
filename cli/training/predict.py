"""`mmbert predict`: what a fine-tuned network says of every row of a file."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def predict(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a fine-tuned network.")],
    source: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A table (.jsonl, .csv, ...) or .txt file; - reads lines of text."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File of JSON lines to write.")],
    columns: Annotated[
        list[str] | None, typer.Option(help="Our column=the file's, such as text=review; may be repeated.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Rows that the network reads at once.", min=1)] = 32,
    max_length: Annotated[
        int | None, typer.Option(help="Most tokens of a row or window; as in training if left out.", min=8)
    ] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:1; the best if left out.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16; as stored if left out.")] = None,
    prediction_only: Annotated[
        bool, typer.Option("--prediction-only", help="Leave the columns of the file out.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew instead of going on after a kill.")] = False,
) -> None:
    """Predict on every row: a class, tags and entities, an answer or a choice, with scores. A killed run goes on."""
    from ...common.messages import require_known
    from ...tasks.models import load_task_model
    from ...tasks.predict_file import predict_file, refuse_target, table_rows

    require_known("dtype", dtype, (None, "float32", "bfloat16", "float16"))
    refuse_target(output)
    named = dict(_pair(one) for one in columns or [])
    if source != "-":
        next(table_rows(source, named), None)  # a wrong path or column is told before the network is loaded
    reading = {} if max_length is None else {"max_length": max_length}
    model = load_task_model(checkpoint, device=device, dtype=dtype, **reading)
    done = predict_file(
        model,
        source,
        output,
        columns=named,
        batch_size=batch_size,
        keep=not prediction_only,
        restart=restart,
        show_progress=sys.stderr.isatty(),
    )
    cut = ", ".join(f"{tag} {count:,}" for tag, count in sorted(done.cut.items()))
    there = f"; {done.resumed:,} were there already" if done.resumed else ""
    typer.echo(f"{done.path}: {done.rows:,} rows{there}{f'; cut at max_length: {cut}' if cut else ''}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not equals or not name or not column:
        raise ValueError(f"--columns {text}: write name=column, such as text=review.")
    return name, column
