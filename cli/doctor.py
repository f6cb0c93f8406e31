"""`mmbert doctor`: what is installed, what this machine can do, and what would make it faster."""

import importlib.metadata
import os
import platform
from importlib.util import find_spec
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
    """Describe device, threads, dtype and attention backend.

    Returns:
        Lines to print; the last ones say what would make it faster.
    """
    import torch

    if torch.cuda.is_available():
        flash = find_spec("flash_attn") is not None
        backend = "flash_attention_2" if flash else "sdpa"
        lines = [f"device: {torch.cuda.get_device_name()}, bf16 {_yes(torch.cuda.is_bf16_supported())}"]
        hint = [] if flash else ['faster: pip install "mmbert[gpu]", then attn_implementation="flash_attention_2"']
        return [*lines, f"attention: {backend}", *hint]
    bf16 = _has_cpu_bf16()
    lines = [
        f"device: cpu ({torch.backends.cpu.get_cpu_capability()}), {torch.get_num_threads()} threads of "
        f"{os.cpu_count()}, bf16 instructions {_yes(bf16)}",
        "attention: sdpa, sliding layers in blocks (cost grows with tokens, not with their square)",
    ]
    return [*lines, 'faster: load with dtype="bfloat16"'] if bf16 else lines


def _has_cpu_bf16() -> bool:
    """Whether the processor multiplies bf16 by itself; elsewhere it is emulated and slower than fp32."""
    import torch

    features = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(features.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def _yes(value: bool) -> str:
    return "yes" if value else "no"


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
