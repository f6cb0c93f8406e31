"""`mmbert doctor`: what is installed, what this machine can do, and what a checkpoint will do elsewhere."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ...export import Verdict

_NEEDED = ("torch", "transformers", "accelerate", "datasets", "tokenizers", "safetensors", "huggingface-hub")
_OPTIONAL = {
    "sentence-transformers": "embeddings",
    "peft": "finetune",
    "seqeval": "finetune",
    "onnxruntime": "onnx",
    "gguf": "gguf",
    "openvino": "openvino",
    "matplotlib": "plots",
    "django": "demo",
    "flash-attn": "gpu",
}


_MARKS = {"yes": "[green]yes[/green]", "no": "[red]no[/red]", "wrong": "[red]WRONG[/red]", "unknown": "?"}


def doctor(
    checkpoint: Annotated[
        Path | None, typer.Argument(help="Also check this checkpoint or export, and which software will serve it.")
    ] = None,
    run: Annotated[
        bool,
        typer.Option(
            help="Load it in stock transformers, or an export's engine, and what else is here; else read files."
        ),
    ] = True,
    python: Annotated[
        list[Path] | None, typer.Option(help="Interpreter of another environment to load it in; may be repeated.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object in place of tables.")] = False,
) -> None:
    """Say what is installed and what will run; whether a checkpoint is whole, and which software will serve it."""
    import json

    from ...version import __version__

    if checkpoint is not None and not (checkpoint / "export.json").is_file():
        from ...common.checkpoints.reader import open_checkpoint

        open_checkpoint(checkpoint)  # a wrong path is told before the installation
    report: dict[str, Any] = {
        "mmbert": __version__,
        "python": platform.python_version(),
        "packages": {package: _version(package) for package in (*_NEEDED, *_OPTIONAL)},
        "machine": machine_report(),
    }
    if not json_:
        _print_installation(report)
    if checkpoint is not None:
        report |= _examine(checkpoint, run, [Path(sys.executable), *(python or [])], quiet=json_)
    if json_:
        typer.echo(json.dumps(report, indent=2))
    if not report.get("sound", True):
        raise typer.Exit(1)


def _print_installation(report: dict[str, Any]) -> None:
    typer.echo(f"mmbert {report['mmbert']}, Python {report['python']}")
    for package, version in report["packages"].items():
        remedy = "MISSING: reinstall mmbert"
        if package in _OPTIONAL:
            remedy = f'absent: pip install "mmbert[{_OPTIONAL[package]}]"'
        typer.echo(f"  {package} {version or remedy}")
    for line in report["machine"]:
        typer.echo(line)


def _examine(checkpoint: Path, run: bool, interpreters: list[Path], quiet: bool) -> dict[str, Any]:
    """Check a checkpoint's files, numbers and readers; print unless quiet."""
    if (checkpoint / "export.json").is_file() and not (checkpoint / "model.safetensors").is_file():
        return _examine_export(checkpoint, interpreters if run else [], quiet)
    from dataclasses import asdict

    from ...common.checkpoints.reader import open_checkpoint
    from ...export import put_together, read_self_test, read_verdicts, run_verdicts

    files = check_checkpoint(checkpoint)
    test = read_self_test(checkpoint)
    comparison = test.compare(checkpoint) if test is not None and run else None
    found = comparison or ("not run" if test is not None else "none, mmbert export writes one")
    if not quiet:
        typer.echo(files)
        differs = comparison is not None and not comparison.agrees
        typer.echo(f"self-test: {found}{'; these are not the numbers it was exported with' if differs else ''}")
    ran = [verdict for python in interpreters for verdict in run_verdicts(checkpoint, python)] if run else []
    verdicts = put_together(read_verdicts(open_checkpoint(checkpoint)), ran)
    if not quiet:
        _print_verdicts(verdicts)
    return {
        "checkpoint": files,
        "self_test": asdict(comparison) if comparison else str(found),
        "engines": [asdict(verdict) for verdict in verdicts],
        "sound": comparison is None or comparison.agrees,
    }


def _examine_export(folder: Path, interpreters: list[Path], quiet: bool) -> dict[str, Any]:
    """Check an exported folder's files, say what they hold, and run it where its engine is installed."""
    from dataclasses import asdict

    from ...export.serving.exported import describe_export, export_verdicts

    told, verdicts = describe_export(folder), export_verdicts(folder, interpreters)
    if not quiet:
        typer.echo(told)
        _print_verdicts(verdicts)
    sound = all(verdict.loads not in ("no", "wrong") for verdict in verdicts if verdict.basis == "ran")
    return {"export": told, "engines": [asdict(verdict) for verdict in verdicts], "sound": sound}


def _print_verdicts(verdicts: "list[Verdict]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="will it serve?", title_justify="left", box=None, pad_edge=False)
    for column in ("engine", "loads", "why", "known from"):
        table.add_column(column, overflow="fold")
    for verdict in verdicts:
        table.add_row(verdict.engine, _MARKS[verdict.loads], verdict.why, verdict.basis)
    Console().print(table)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def machine_report() -> list[str]:
    """Lines on the device and what `mmbert embed` and `bench` run on it unasked; the last: what would be faster."""
    import torch

    from ...modeling.hardware import Runtime, default_device, has_fast_bf16

    device = default_device()
    runtime = Runtime.planned(device)
    remedies = runtime.remedies()
    if device.type == "cpu":
        place = (
            f"cpu ({torch.backends.cpu.get_cpu_capability()}), {torch.get_num_threads()} threads of {os.cpu_count()}"
        )
    else:
        place = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    return [
        f"device: {place}, bf16 instructions {'yes' if has_fast_bf16(device) else 'no'}",
        f"dtype: {runtime.dtype_name} for embedding unless told otherwise; from_pretrained keeps the checkpoint's",
        f"attention: {runtime.describe_attention()}",
        *([f"faster: {', '.join(remedies)}"] if remedies else []),
    ]


def check_checkpoint(path: Path) -> str:
    """Check a checkpoint's files, checksums and tensors against its configuration; one line on what it holds."""
    import torch

    from ... import modeling
    from ...common.checkpoints.format import architectures
    from ...common.checkpoints.reader import open_checkpoint
    from ...modeling import MmBertConfig
    from ...modeling.int8_format import int8_table
    from ...modeling.int8_weights import expect_int8

    opened = open_checkpoint(path)
    verified = opened.verify()
    architecture = (architectures(opened.config) or ["MmBertModel"])[0].replace("ModernBert", "MmBert")
    network = getattr(modeling, architecture, None)
    if network is None or opened.config.get("model_type") not in ("mmbert", "modernbert"):
        raise ValueError(
            f"{path} is a {opened.config.get('model_type')} checkpoint ({architecture}), not an mmBERT one."
        )
    with torch.device("meta"):
        model = network(MmBertConfig.from_pretrained(path))
    parameters = model.num_parameters()
    if (table := int8_table(opened.config)) is not None:
        expect_int8(model, table=table)
    opened.check_against(model)
    sums = "checksums agree" if verified else "no checksums to compare"
    kind = "" if table is None else " in int8"
    return f"checkpoint: {architecture}, {parameters:,} parameters{kind}, tensors fit, {sums}"
