"""`mmbert card`: the model card and the pictures of a finished run."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ...common.files import record_of


def card(
    run_dir: Annotated[Path, typer.Argument(help="Output folder of a run, with run_record.json.")],
    name: Annotated[str | None, typer.Option(help="Title of the card; the recipe's name if left out.")] = None,
    repo_id: Annotated[str | None, typer.Option(help="Where the model will live on the Hub, owner/name.")] = None,
    licence: Annotated[str, typer.Option(help="Licence id of the Hub for the weights.")] = "apache-2.0",
    base_model: Annotated[str | None, typer.Option(help="Hub id of the model that training started from.")] = None,
    evaluation: Annotated[Path | None, typer.Option(help="report.json of `mmbert evaluate`.")] = None,
    pictures: Annotated[bool, typer.Option(help="Draw the pictures as well.")] = True,
) -> None:
    """Write README.md and pictures/ beside the record of a run, from that record alone."""
    if evaluation is not None and not evaluation.is_file():
        raise FileNotFoundError(f"{evaluation} does not exist; give report.json of `mmbert evaluate`")
    with record_of(run_dir):
        _write(run_dir, evaluation, pictures, name=name, repo_id=repo_id, licence=licence, base_model=base_model)


def _write(run_dir: Path, evaluation: Path | None, pictures: bool, **said: Any) -> None:
    from ...model_cards import build_card, draw_all, read_records

    record, retrieval, merge = read_records(run_dir)
    drawn = draw_all(record, run_dir / "pictures", retrieval) if pictures else []
    filled = build_card(
        record,
        retrieval=retrieval,
        merge=merge,
        evaluation=json.loads(evaluation.read_text(encoding="utf-8")) if evaluation else None,
        pictures={path.stem: f"pictures/{path.name}" for path in drawn},
        **said,
    )
    filled.save(run_dir / "README.md")
    typer.echo(f"{run_dir / 'README.md'}" + (f" and {len(drawn)} pictures in {run_dir / 'pictures'}" if drawn else ""))
