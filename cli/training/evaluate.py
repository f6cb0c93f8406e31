"""`mmbert evaluate`: fine-tune an encoder on tasks, score it in every language, report beside the paper's numbers."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...common.files import write_json
from ...common.options import comma_list

if TYPE_CHECKING:
    from ...evaluation.benchmark.run_task import Job
    from ...evaluation.benchmark.runner import Outcome
    from ...evaluation.benchmark.sweep import Setting


def evaluate(
    checkpoint: Annotated[str | None, typer.Argument(help="Folder or Hub id of an encoder.")] = None,
    tasks: Annotated[
        str | None, typer.Option(help="Tasks, comma-separated; a suite (glue, xtreme, low-resource) means all of it.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", file_okay=False, help="Folder for runs, report and picture.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="TASK=PATH or TASK:SPLIT=PATH: read files in place of the Hub; may be repeated."),
    ] = None,
    catalogue: Annotated[Path | None, typer.Option(help="YAML file with more tasks.")] = None,
    grid: Annotated[
        str, typer.Option(help="default: the setting of the fine-tuning scripts; paper: 4 learning rates x 5 epochs.")
    ] = "default",
    learning_rate: Annotated[str | None, typer.Option(help="Learning rates to try, comma-separated.")] = None,
    epochs: Annotated[str | None, typer.Option(help="Epochs to try, comma-separated.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows per step.", min=1)] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens of a row or window.", min=8)] = None,
    lora: Annotated[bool, typer.Option(help="Train low-rank adapters in place of all weights.")] = False,
    bf16: Annotated[bool, typer.Option(help="Compute in bfloat16; weights stay in fp32.")] = False,
    seeds: Annotated[int, typer.Option(help="Runs of the chosen setting, with seeds 0, 1, ...", min=1)] = 3,
    oracle: Annotated[bool, typer.Option(help="Choose by the test scores as well; labelled so everywhere.")] = False,
    train_languages: Annotated[
        str | None, typer.Option(help="Tags, comma-separated, or all; the task's own (mostly eng_Latn) if left out.")
    ] = None,
    languages: Annotated[str | None, typer.Option(help="Tags to test, comma-separated; all if left out.")] = None,
    max_train: Annotated[int | None, typer.Option(help="Train on so many rows at most.", min=1)] = None,
    max_test: Annotated[int | None, typer.Option(help="Test so many rows per language at most.", min=1)] = None,
    skip_bad_rows: Annotated[bool, typer.Option(help="Leave out, and count, rows that cannot be used.")] = False,
    jobs: Annotated[
        int,
        typer.Option(
            help="Runs at the same time, each in its process; they share the cores, or have OMP_NUM_THREADS each.",
            min=1,
        ),
    ] = 1,
    keep_models: Annotated[bool, typer.Option(help="Keep the trained networks under OUTPUT/models.")] = False,
    overwrite_output_dir: Annotated[
        bool, typer.Option(help="Do runs anew that were done under other conditions.")
    ] = False,
    redo: Annotated[bool, typer.Option("--redo", hidden=True)] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Only list what would be trained and where it is read; needs nothing else.")
    ] = False,
) -> None:
    """Fine-tune an encoder on tasks and score it in every language. Stopped or killed, the same call goes on."""
    from ...common.progress import Progress
    from ...evaluation.benchmark.catalogue import load_tasks
    from ...evaluation.benchmark.catalogue.rows import Limits, require_languages
    from ...evaluation.benchmark.runner import Evaluation
    from ...evaluation.benchmark.runner import evaluate as run_all
    from ...evaluation.benchmark.sweep import settings_of

    if redo:
        warnings.warn("--redo is --overwrite-output-dir now.", FutureWarning, stacklevel=2)
    if grid == "book":
        warnings.warn("--grid book is --grid default now.", FutureWarning, stacklevel=2)
        grid = "default"
    needed = {"a checkpoint": checkpoint, "--tasks": tasks, "--output": output}
    if not list_ and (missing := [name for name, value in needed.items() if value is None]):
        raise ValueError(f"mmbert evaluate needs {', '.join(missing)}; `mmbert evaluate --list` lists the tasks")
    if tasks is None:
        tasks = ",".join([*load_tasks(), *(load_tasks(catalogue) if catalogue else ())])
    checkpoint, output = checkpoint or "", output or Path()
    trained, tested = (None if text is None else comma_list(text) for text in (train_languages, languages))
    limits = Limits(trained, tested, max_train, max_test, skip_bad_rows)
    models = str(output / "models") if keep_models else None
    todo = _jobs(checkpoint, tasks, catalogue, _files(data or []), limits, models, _threads(jobs))
    given = {"batch_size": batch_size, "max_length": max_length, "lora": lora or None, "bf16": bf16 or None}
    changes = {name: value for name, value in given.items() if value is not None}
    tried = {"rates": _numbers("--learning-rate", learning_rate), "epochs": _numbers("--epochs", epochs)}
    settings = {job.task.name: settings_of(job.task, grid, changes=changes, **tried) for job in todo}
    require_languages([(job.task, job.data) for job in todo], limits)
    if list_:
        typer.echo(_plan(todo, settings, seeds))
        return
    _require_checkpoint(checkpoint)
    plan = Evaluation(todo, settings, range(seeds), output, oracle, jobs, overwrite_output_dir or redo)
    with Progress("run") as bar:
        outcome = run_all(plan, bar.step)
    _write(outcome, output, checkpoint, {"grid": grid, "tasks": tasks})
    if outcome.failures:
        raise typer.Exit(1)


def _jobs(
    checkpoint: str,
    tasks: str,
    catalogue: Path | None,
    files: dict[str, dict[str, str]],
    limits: Any,
    models: str | None,
    threads: int,
) -> "list[Job]":
    """Find the tasks; a file for a task that is not asked for is an error, not a trifle."""
    from ...evaluation.benchmark.catalogue import load_tasks, task_named
    from ...evaluation.benchmark.run_task import Job

    names: list[str] = []
    for name in comma_list(tasks):
        suite = [task.name for task in load_tasks().values() if task.suite == name]
        names += suite or [name]
    found = [task_named(name, catalogue) for name in dict.fromkeys(names)]
    stray = sorted(set(files) - {task.name for task in found})
    if stray:
        raise ValueError(f"--data names {stray[0]}, which is not among the tasks {', '.join(names) or '(none)'}")
    return [Job(checkpoint, task, files.get(task.name, {}), limits, models, threads) for task in found]


def _threads(jobs: int) -> int:
    """Share the cores among runs at the same time; 0, torch's choice, where OMP_NUM_THREADS says how many each has."""
    from ...modeling.hardware import usable_cores

    return 0 if os.environ.get("OMP_NUM_THREADS") else max(1, (usable_cores() or os.cpu_count() or 1) // jobs)


def _files(entries: list[str]) -> dict[str, dict[str, str]]:
    """Read TASK=PATH and TASK:SPLIT=PATH."""
    found: dict[str, dict[str, str]] = {}
    for entry in entries:
        name, separator, path = entry.partition("=")
        task, _, split = name.partition(":")
        if not separator or not task or not path or split not in ("", "train", "dev", "test"):
            raise ValueError(f"--data {entry}: write TASK=PATH, or TASK:SPLIT=PATH with train, dev or test")
        if not Path(path).exists():
            raise FileNotFoundError(f"--data {entry}: {path} does not exist")
        if split in found.setdefault(task, {}):
            raise ValueError(f"--data {entry}: {name} was given before; put its files into one folder")
        found[task][split] = path
    return found


def _numbers(option: str, text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ValueError(f"{option} {text}: write numbers with commas between, such as 2e-5,5e-5") from None


def _require_checkpoint(checkpoint: str) -> None:
    from ...common.checkpoints.reader import require_start

    if not (require_start(checkpoint).path / "tokenizer.json").is_file():
        raise FileNotFoundError(f"{checkpoint} holds no tokenizer.json; save the encoder with its tokenizer")


def _plan(jobs: "list[Job]", settings: "dict[str, list[Setting]]", seeds: int) -> str:
    from ...model_cards.markdown import markdown_table

    rows = []
    for job in jobs:
        task, tried = job.task, settings[job.task.name]
        place = ", ".join(job.data.values()) or ", ".join(sorted({part.hub for part in task.parts.values()}))
        sweep = f"{len(tried)} + " if len(tried) > 1 else ""
        rows.append([task.name, task.title, task.head, task.metric, place, f"{sweep}{seeds}"])
    return markdown_table(["task", "title", "head", "metric", "rows from", "runs"], rows, text_columns=5)


def _write(outcome: "Outcome", output: Path, checkpoint: str, about: dict[str, str]) -> None:
    """Write report.json, report.md, the picture and the facts for a model card."""
    from ...evaluation.benchmark.report import build_report, model_index
    from ...evaluation.benchmark.report_tables import markdown_report, task_table
    from ...model_cards.plots.benchmark import draw_benchmark
    from ...version import __version__

    facts = {"checkpoint": checkpoint, **about, "mmbert": __version__}
    report = build_report(outcome.records, outcome.failures, facts)
    report["model_index"] = model_index(report)
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "report.json", report, indent=1)
    (output / "report.md").write_text(markdown_report(report), encoding="utf-8")
    if report["tasks"]:
        typer.echo(task_table(report))
        try:
            draw_benchmark(report, output / "report.png", f"{Path(checkpoint).name}: scores by language")
        except ImportError as missing:
            typer.echo(f"no picture: {missing}", err=True)
    for name, reason in outcome.failures.items():
        typer.echo(f"{name} failed: {reason}", err=True)
    typer.echo(f"{output}: report.md, report.json and {len(outcome.records)} runs ({outcome.done_before} done before)")
