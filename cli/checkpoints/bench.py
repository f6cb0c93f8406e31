"""`mmbert bench`: how fast this machine encodes, how near that is to what it could do, and how much memory it takes."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...common.checkpoints.hub import require_address
from ...common.messages import require_known
from ...common.progress import Progress

if TYPE_CHECKING:
    from ...evaluation.efficiency.measurement import Entry, Setting
    from ...evaluation.efficiency.report import Report, Row

logger = logging.getLogger(__name__)


def bench(
    checkpoint: Annotated[
        str | None,
        typer.Argument(help="Folder or Hub id of an encoder; random weights of a released size if left out."),
    ] = None,
    size: Annotated[str, typer.Option(help="base or small, where no checkpoint is given.")] = "base",
    dtype: Annotated[
        str | None, typer.Option(help="float32, bfloat16 or float16; the fastest here if left out.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads to compute with; torch's default if left out.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option(help="fixed-512, variable-512, fixed-8192 or variable-8192; may be repeated.")
    ] = None,
    rows: Annotated[int | None, typer.Option(help="Rows of a batch; the setting's own if left out.", min=1)] = None,
    rounds: Annotated[int, typer.Option(help="Timed rounds.", min=2)] = 5,
    seconds: Annotated[float, typer.Option(help="No more rounds after so long, once there are two.", min=0.1)] = 30.0,
    compile_: Annotated[bool, typer.Option("--compile", help="Measure the compiled network too.")] = False,
    against_stock: Annotated[bool, typer.Option(help="Measure transformers' ModernBERT, same weights, too.")] = False,
    memory: Annotated[bool, typer.Option(help="Measure peak memory, one more pass in a process of its own.")] = True,
    output: Annotated[Path | None, typer.Option(help="Folder for bench.json and bench.png.")] = None,
) -> None:
    """Measure how fast an encoder is on this machine's processor, in the settings of the paper."""
    import torch

    from ...evaluation.efficiency.measurement import Case, Plan, measure
    from ...evaluation.efficiency.report import Report, conditions, markdown_table

    plan = Plan(threads or torch.get_num_threads(), rounds, seconds, memory=memory)
    entries = _entries(checkpoint, size, dtype, compile_, against_stock)
    settings = _settings(setting, entries[0], rows)
    _say_what_runs(entries[0], plan.threads)
    report = Report(conditions()) if output is None else Report.open(output / "bench.json", conditions())
    now: list[Row] = []
    for one in settings:
        with Progress(f"{one.name}, {_count(plan.threads)}", interval=60) as bar:
            now += measure([Case(entry, one) for entry in entries], one.name, plan, bar.update_time)
        report.add(now)
        if output is not None:
            report.write(output / "bench.json")
    typer.echo(markdown_table(now))
    typer.echo(_explanation(now))
    if output is not None:
        _draw(report, now, output / "bench.png")


def _entries(checkpoint: str | None, size: str, dtype: str | None, compiled: bool, stock: bool) -> "list[Entry]":
    """Say who runs, and check that there is such a network."""
    import torch

    from ...evaluation.efficiency.measurement import Entry
    from ...evaluation.efficiency.models import COMPILED, OURS, STOCK, configuration
    from ...modeling.hardware import preferred_dtype

    if checkpoint is not None:
        require_address(checkpoint, "config.json")
    dtype = dtype or str(preferred_dtype(torch.device("cpu"))).removeprefix("torch.")
    networks = [OURS, *([COMPILED] if compiled else []), *([STOCK] if stock else [])]
    name = size if checkpoint is None else Path(checkpoint).resolve().name
    entries = [Entry(network, name, dtype, checkpoint) for network in networks]
    with _one_line(checkpoint):
        configuration(entries[0])
    return entries


@contextmanager
def _one_line(checkpoint: str | None) -> Iterator[None]:
    """Shorten what transformers says about files it cannot find or read."""
    try:
        yield
    except OSError as error:
        reason = (str(error).strip().splitlines() or ["unreadable"])[0]
        raise FileNotFoundError(f"cannot load {checkpoint}: {reason}") from error


def _say_what_runs(entry: "Entry", threads: int) -> None:
    """Say once in which dtype and on which backend the network runs, and what would make it faster."""
    from ...evaluation.efficiency.models import Builder
    from ...evaluation.efficiency.timing import with_threads
    from ...modeling.hardware import describe_runtime

    with with_threads(threads), _one_line(entry.checkpoint):
        typer.echo(describe_runtime(Builder().build(entry)), err=True)


def _count(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def _settings(names: list[str] | None, entry: "Entry", rows: int | None) -> "list[Setting]":
    """Return the settings asked for, or all that the encoder's limit allows."""
    from dataclasses import replace

    from ...evaluation.efficiency.measurement import SETTINGS, Case, fits
    from ...evaluation.efficiency.models import configuration, longest_input

    for name in names or []:
        require_known("setting", name, SETTINGS)
    chosen = [SETTINGS[name] for name in names or SETTINGS]
    fitting = [setting for setting in chosen if fits(Case(entry, setting))]
    if not fitting or (names and len(fitting) < len(chosen)):
        limit = longest_input(configuration(entry))
        shortest = min(setting.longest for setting in chosen)
        raise ValueError(f"the encoder reads at most {limit} tokens, the settings asked for need {shortest} or more")
    return [replace(setting, rows=rows or setting.rows) for setting in fitting]


def _explanation(rows: "list[Row]") -> str:
    clock = "CPU time of 1 thread" if rows[0].threads == 1 else f"wall time of {_count(rows[0].threads)}"
    rates = sorted({(row.dtype, f"{row.gemm_rate / 1e9:.0f}") for row in rows})
    products = ", ".join(f"{rate} GFLOP/s in {dtype}" for dtype, rate in rates)
    return f"real tokens by {clock}; roofline: share of what the layer's matrix products reach here ({products})"


def _draw(report: "Report", rows: "list[Row]", path: Path) -> None:
    """Draw the picture; without matplotlib the table must do."""
    from dataclasses import asdict

    from ...model_cards.plots.efficiency import draw_efficiency

    title = f"mmbert bench on {_count(rows[0].threads)}"
    try:
        draw_efficiency([asdict(row) for row in rows], path, title, report.about)
        typer.echo(f"{path.parent}: bench.json and {path.name}")
    except ImportError as missing:
        logger.warning("%s: bench.json, but no picture: %s", path.parent, missing)
