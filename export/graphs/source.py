"""Which network of a checkpoint is exported, for which task: checked files in, a module in fp32 out.

A checkpoint with a head serves its own task, and as an encoder too: `feature-extraction` and `embedding` drop the head.
The folder of a LoRA adapter (peft) names its base; the adapter is merged into it and its trained head is kept.

Trade-off: a base that an adapter names must lie on this machine; nothing is fetched for an export.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ... import modeling
from ...common.checkpoints.format import PICKLES, read_header
from ...common.checkpoints.reader import open_checkpoint
from ...common.files import read_json

# Task -> the class that has its head.
TASKS = {
    "feature-extraction": "MmBertModel",
    "embedding": "MmBertModel",
    "fill-mask": "MmBertForMaskedLM",
    "text-classification": "MmBertForSequenceClassification",
    "token-classification": "MmBertForTokenClassification",
}
_ADAPTER = "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_ADAPTER_TASKS = {"SEQ_CLS": "text-classification", "TOKEN_CLS": "token-classification"}


@dataclass(frozen=True, slots=True)
class Source:
    """A checkpoint that was read for an export.

    Attributes:
        folder: Where it lies; an adapter's own folder.
        files: Folder of the tokenizer: `folder`, or the adapter's base where that has none.
        task: The task it is exported for.
        model: The network, fp32, in evaluation mode, adapters merged.
    """

    folder: Path
    files: Path
    task: str
    model: Any


def read_source(checkpoint: str | os.PathLike[str], task: str | None = None) -> Source:
    """Load the network that a task needs.

    Args:
        checkpoint: Checkpoint, SentenceTransformer or adapter directory.
        task: One of `TASKS`; None: embedding for a SentenceTransformer, else the task of the checkpoint's head.

    Returns:
        The network and where it came from.

    Raises:
        FileNotFoundError: If a directory or file is absent.
        ImportError: If an adapter is given and peft is not installed.
        ValueError: If files are damaged or pickles, the model is no mmBERT, or has no head for the task.
    """
    folder = Path(checkpoint)
    if task is not None and task not in TASKS:
        raise ValueError(f"task {task!r} is unknown; choose one of {', '.join(TASKS)}")
    if (folder / _ADAPTER).is_file():
        return _read_adapter(folder, task)
    opened = open_checkpoint(folder)
    opened.verify()
    _refuse_other_types(folder, opened.config)
    own = _own_task(opened.config, opened.tensors)
    task = task or ("embedding" if (folder / "modules.json").is_file() else own)
    if task not in (own, "feature-extraction", "embedding"):
        has = "no head" if own == "feature-extraction" else f"the head for {own}, and none"
        choices = ", ".join(dict.fromkeys((own, "feature-extraction", "embedding")))
        raise ValueError(f"{folder} has {has} for {task}; export it for one of {choices}, or fine-tune it first")
    return Source(folder, folder, task, _loaded(TASKS[task], folder))


def _loaded(name: str, folder: Path, **fields: Any) -> Any:
    return getattr(modeling, name).from_pretrained(folder, dtype=torch.float32, **fields).eval()


def _refuse_other_types(folder: Path, config: dict[str, Any]) -> None:
    if config.get("model_type") not in ("mmbert", "modernbert"):
        raise ValueError(
            f"{folder / 'config.json'}: model_type {config.get('model_type')!r} cannot be exported; "
            "supported are mmbert, modernbert"
        )


def _own_task(config: dict[str, Any], tensors: Any) -> str:
    """Tell the task by the class that config.json names, or by the tensors."""
    named = str((config.get("architectures") or [""])[0])
    for task in ("fill-mask", "text-classification", "token-classification"):
        if named.endswith(TASKS[task].removeprefix("MmBert")):
            return task
    return "fill-mask" if not named and "decoder.bias" in tensors else "feature-extraction"


def _read_adapter(folder: Path, task: str | None) -> Source:
    fields = read_json(folder / _ADAPTER)
    if not (folder / _ADAPTER_WEIGHTS).is_file():
        if pickles := sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES):
            raise ValueError(f"{folder / pickles[0]} is a pickle, which can run code; save {_ADAPTER_WEIGHTS} instead")
        raise FileNotFoundError(f"{folder / _ADAPTER_WEIGHTS} does not exist; {folder} is no complete adapter")
    tensors, _ = read_header(folder / _ADAPTER_WEIGHTS)
    own = _ADAPTER_TASKS.get(str(fields.get("task_type")), "feature-extraction")
    task = task or own
    free = own == "feature-extraction"  # peft's other task types say nothing about the head
    if task not in (("feature-extraction", "embedding", "fill-mask") if free else (own,)):
        raise ValueError(f"{folder} is an adapter for {own}, not for {task}; export it for {own}")
    base = _base_of(folder, str(fields.get("base_model_name_or_path")))
    opened = open_checkpoint(base)
    opened.verify()
    _refuse_other_types(base, opened.config)
    heads = [info.shape[0] for name, info in tensors.items() if name.endswith("classifier.weight")]
    labels: dict[str, Any] = {}
    if (folder / "config.json").is_file() and "id2label" in (said := read_json(folder / "config.json")):
        labels = {"id2label": {int(number): name for number, name in said["id2label"].items()}}
    elif heads:
        labels = {"num_labels": heads[0]}
    network = _loaded(TASKS[task], base, **labels)
    files = folder if (folder / "tokenizer.json").is_file() else base
    return Source(folder, files, task, _merged(network, folder))


def _base_of(folder: Path, named: str) -> Path:
    for candidate in (Path(named), folder / named, folder.parent / named):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(
        f"{folder / _ADAPTER}: its base {named!r} is no folder here; download it and put its path there"
    )


def _merged(network: Any, folder: Path) -> Any:
    try:
        from peft import PeftModel
    except ImportError as missing:
        raise ImportError('adapters need peft: pip install "mmbert[finetune]"') from missing
    try:
        adapted = PeftModel.from_pretrained(network, str(folder))
    except (RuntimeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder}: the adapter does not fit its base: {' '.join(str(error).split())[:200]}"
        ) from error
    return adapted.merge_and_unload().eval()
