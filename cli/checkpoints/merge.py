"""`mmbert merge`: variants of one base, or checkpoints of one run, become one model with a card and a report."""

import shlex
import subprocess
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from ...merging import Trial


class Method(StrEnum):
    """How the checkpoints become one."""

    TIES = "ties"
    ARITHMETIC = "arithmetic"
    AVERAGE = "average"


def merge(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(help="Checkpoints; for ties and arithmetic first the one that all others started from."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory to make.")],
    method: Annotated[Method, typer.Option(help="TIES, sum of task vectors, or weighted average.")] = Method.TIES,
    density: Annotated[
        list[float] | None,
        typer.Option(help="Share of each task vector that is kept, in (0, 1]; several are searched."),
    ] = None,
    scale: Annotated[
        list[float] | None, typer.Option(help="Factor on the merged task vector; several are searched.")
    ] = None,
    weights: Annotated[list[float] | None, typer.Option(help="One for each variant: --weights 2 --weights 1.")] = None,
    decay: Annotated[
        float | None, typer.Option(help="For average: weight of a checkpoint relative to the next newer one.")
    ] = None,
    trim: Annotated[
        str, typer.Option(help="global: over the whole task vector (the paper); tensor: each alone.")
    ] = "global",
    score: Annotated[
        str | None, typer.Option(help="Command that prints a number last; {} stands for a merge's folder.")
    ] = None,
    lower_is_better: Annotated[bool, typer.Option("--lower-is-better", help="The score is a loss.")] = False,
    licence: Annotated[str, typer.Option(help="Licence id of the Hub for the weights.")] = "apache-2.0",
    parent_ids: Annotated[list[str] | None, typer.Option(help="Hub id of a parent, for the card.")] = None,
) -> None:
    """Merge checkpoints; show, draw and write down where they agree and what they come from."""
    from rich.console import Console

    from ... import merging

    _refuse_what_does_not_apply(method, density, scale, decay, score)
    _refuse_other_mistakes(method, weights, decay, trim, licence, parent_ids or ())
    base, variants, console = checkpoints[0], checkpoints[1:], Console()
    searched = len(density or ()) > 1 or len(scale or ()) > 1
    given: dict[str, Any] = {} if not scale else {"scale": scale[0]}
    if method is Method.AVERAGE:
        if decay is not None:
            weights = merging.exponential_weights(len(checkpoints), decay)
        merging.merge_weighted_average(checkpoints, output, weights=weights)
    elif method is Method.ARITHMETIC:
        merging.merge_task_arithmetic(base, variants, output, weights=weights, **given)
    elif searched or score:
        grid: dict[str, Any] = {"densities": density} if density else {}
        grid |= {"scales": scale} if scale else {}
        trials = merging.search_ties(
            base,
            variants,
            output,
            _scorer(score or ""),
            weights=weights,
            trim=trim,  # type: ignore[arg-type]
            higher_is_better=not lower_is_better,
            **grid,
        )
        console.print(_trial_table(trials))
    else:
        given |= {"density": density[0]} if density else {}
        merging.merge_ties(base, variants, output, weights=weights, trim=trim, **given)  # type: ignore[arg-type]
    if method is Method.TIES:
        console.print(merging.read_report(output).to_table())
    _describe(output, licence, parent_ids or ())
    console.print(f"merged model: {output}")


def _refuse_what_does_not_apply(
    method: Method,
    density: Sequence[float] | None,
    scale: Sequence[float] | None,
    decay: float | None,
    score: str | None,
) -> None:
    several = len(density or ()) > 1 or len(scale or ()) > 1
    if method is not Method.TIES and (density or score or several):
        raise ValueError(f"--density, --score and several --scale belong to ties, not to {method}; leave them out")
    if method is Method.AVERAGE and scale:
        raise ValueError("--scale belongs to ties and arithmetic, not to average; leave it out")
    if method is not Method.AVERAGE and decay is not None:
        raise ValueError(f"--decay belongs to average, not to {method}; add --method average")
    if several and not score:
        raise ValueError(
            f"{len(density or [0])} densities and {len(scale or [0])} scales to search, but no --score to choose by; "
            'give a command, such as --score "python score.py {}"'
        )


def _refuse_other_mistakes(
    method: Method,
    weights: Sequence[float] | None,
    decay: float | None,
    trim: str,
    licence: str,
    parent_ids: Sequence[str],
) -> None:
    """Refuse now what would be found when the model is merged already, or be left aside without a word."""
    from ...model_cards.cards.metadata import check_licence, check_repo_id

    if weights and decay is not None:
        raise ValueError("--weights and --decay are two ways to weigh the checkpoints; keep one")
    if method is not Method.TIES and trim != "global":
        raise ValueError(f"--trim belongs to ties, not to {method}; leave it out")
    check_licence(licence)
    for parent in parent_ids:
        check_repo_id(parent, "parent")


def _scorer(command: str) -> Callable[[Path], float]:
    """Make a score of a command that prints a number on its last line."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"--score {command!r} cannot be read: {error}") from None
    if not any("{}" in word for word in words):
        raise ValueError(f"--score {command!r} has no {{}}, which stands for the folder of the merge to score; add it")

    def score(merged: Path) -> float:
        try:
            done = subprocess.run([word.replace("{}", str(merged)) for word in words], capture_output=True, text=True)
        except OSError as error:
            raise ValueError(f"--score {command!r} cannot be run: {error.strerror}; give its full path") from None
        last = (done.stdout.strip().splitlines() or [""])[-1].strip()
        try:
            if done.returncode == 0:
                return float(last)
        except ValueError:
            pass
        told = (done.stderr.strip().splitlines() or [last])[-1]
        raise ValueError(
            f"--score {command!r} must end with a number on a line of its own and status 0, got status "
            f"{done.returncode} and {told!r}"
        )

    return score


def _trial_table(trials: "Sequence[Trial]") -> "Table":
    from rich.table import Table

    table = Table("density", "scale", "score", title="Search")
    for trial in trials:
        table.add_row(f"{trial.density:g}", f"{trial.scale:g}", "-" if trial.score is None else f"{trial.score:.5g}")
    return table


def _describe(output: Path, licence: str, parent_ids: Sequence[str]) -> None:
    """Write card and picture beside the merged model; the picture only where matplotlib is."""
    from ...common.files import read_json
    from ...merging import read_report
    from ...model_cards import build_merge_card, write_card

    record, picture = read_json(output / "merge.json"), None
    if "report" in record:
        try:
            picture = read_report(output).draw(output / "agreement.png").name
        except ImportError as missing:
            typer.echo(str(missing))
    card = build_merge_card(record, name=output.name, licence=licence, parent_ids=parent_ids, picture=picture)
    card.save(output / "README.md")
    write_card(output)
