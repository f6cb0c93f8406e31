"""`mmbert doctor`: what is installed, what this machine can do, and what would make it faster."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Annotated

import typer

_NEEDED = ("torch", "transformers", "accelerate", "datasets", "tokenizers", "safetensors", "huggingface-hub")
_OPTIONAL = {
    "sentence-transformers": "embeddings",
    "peft": "finetune",
    "seqeval": "finetune",
    "onnxruntime": "export",
    "matplotlib": "plots",
    "django": "demo",
    "flash-attn": "gpu",
}


def doctor(
    checkpoint: Annotated[Path | None, typer.Argument(help="Also check this checkpoint's files and shapes.")] = None,
) -> None:
    """Say what is installed, which dtype and attention will run, and whether a checkpoint is whole."""
    from ..version import __version__

    typer.echo(f"mmbert {__version__}, Python {platform.python_version()}")
    for package in _NEEDED:
        typer.echo(f"  {package} {_version(package) or 'MISSING: reinstall mmbert'}")
    for package, extra in _OPTIONAL.items():
        remedy = f'absent: pip install "mmbert[{extra}]"'
        typer.echo(f"  {package} {_version(package) or remedy}")
    for line in machine_report():
        typer.echo(line)
    if checkpoint is not None:
        typer.echo(check_checkpoint(checkpoint))


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def machine_report() -> list[str]:
    """Describe the device, and what `load_embedder`, `mmbert embed` and `mmbert bench` run on it unasked.

    Returns:
        Lines to print; the last says what would make it faster.
    """
    import torch

    from ..modeling.hardware import Runtime, default_device, has_fast_bf16

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
    """Check a checkpoint's files, checksums and tensors against its configuration.

    Args:
        path: The directory.

    Returns:
        One line on what it holds.

    Raises:
        ValueError: If the network is none of ours, or the tensors do not fit it.
    """
    import torch

    from .. import modeling
    from ..modeling import MmBertConfig
    from ..modeling.checkpoint import open_checkpoint

    opened = open_checkpoint(path)
    verified = opened.verify()
    architecture = str((opened.config.get("architectures") or ["MmBertModel"])[0]).replace("ModernBert", "MmBert")
    network = getattr(modeling, architecture, None)
    if network is None or opened.config.get("model_type") not in ("mmbert", "modernbert"):
        raise ValueError(
            f"{path} is a {opened.config.get('model_type')} checkpoint ({architecture}), not an mmBERT one."
        )
    with torch.device("meta"):
        model = network(MmBertConfig.from_pretrained(path))
    opened.check_against(model)
    sums = "checksums agree" if verified else "no checksums to compare"
    return f"checkpoint: {architecture}, {model.num_parameters():,} parameters, tensors fit, {sums}"
