"""The folder that a fine-tuning leaves: one network that loads like any other, its adapters beside it, its record.

The record is written after all that cannot be made again; card and checksums follow, and the run's checkpoints go last:
where one of them lies beside the record, the run was killed in between, and `finish_folder` does the rest.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedTokenizerFast

from ...common.checkpoints.format import CHECKSUMS
from ...common.checkpoints.integrity import write_checksums
from ...common.files import read_json, replacing, write_json
from ...model_cards.cards.folder import write_card
from ...modeling.tokenization_mmbert import save_tokenizer
from ..pretraining.run_fingerprint import FILE
from .trainer import KEY, FineTuneTrainer, Predictions

RECORD = "fine_tune_record.json"
PREDICTIONS = "predictions.safetensors"
ADAPTER = "adapter"


def save_fine_tuned(
    trainer: FineTuneTrainer, folder: Path, record: dict[str, Any], predictions: Mapping[str, Predictions]
) -> None:
    """Save network, tokenizer, predictions and record; every process must call, the first one writes."""
    model: Any = trainer.model
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if trainer.is_fsdp_enabled else None
    if trainer.is_world_process_zero():
        shutil.rmtree(folder / ADAPTER, ignore_errors=True)  # of a run that was killed while saving
        (folder / CHECKSUMS).unlink(missing_ok=True)
        if hasattr(model, "merge_and_unload"):
            if not Path(record["checkpoint"]).exists():  # loaded from the Hub's cache, which others do not have
                for config in model.peft_config.values():
                    config.base_model_name_or_path = record["checkpoint"]
            model.save_pretrained(folder / ADAPTER)
            model = model.merge_and_unload()
        model.save_pretrained(folder, state_dict=state)
        tokenizer = trainer.processing_class
        if isinstance(tokenizer, PreTrainedTokenizerFast):
            save_tokenizer(tokenizer, folder)
        else:
            tokenizer.save_pretrained(folder)  # type: ignore[union-attr]
        write_predictions(folder, predictions)
        write_json(folder / RECORD, record, indent=1, default=_plain)
        finish_folder(folder)
        if trainer.args.push_to_hub:
            trainer.publish_folder(folder, f"seed-{trainer.args.seed}")
    trainer.accelerator.wait_for_everyone()


def finish_folder(folder: Path) -> None:
    """Write card and checksums of a run that has its record, then remove its checkpoints."""
    write_card(folder, replace=True)
    write_checksums(folder)
    for old in leftovers(folder):
        shutil.rmtree(old)


def leftovers(folder: Path) -> list[Path]:
    """Find checkpoints of a fine-tuning, and what is left of one being removed; those of a pre-training stay."""
    every = [(path, path / FILE) for path in folder.glob("checkpoint-*")]
    return [path for path, identity in every if not identity.is_file() or KEY in read_json(identity)]


def read_record(folder: str | Path) -> dict[str, Any]:
    """Read the record of a fine-tuning.

    Args:
        folder: What `fine_tune` saved.

    Returns:
        The record.

    Raises:
        FileNotFoundError: If the folder has none.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no {RECORD}; give a folder that fine_tune saved.")
    return read_json(path)


def write_predictions(folder: Path, predictions: Mapping[str, Predictions]) -> None:
    """Write what a network said of every row, so that it need not be asked again."""
    tensors: dict[str, np.ndarray] = {}
    for name, rows in predictions.items():
        if rows and rows[0].ndim > 1:
            tensors[f"{name}/lengths"] = np.array([len(row) for row in rows])
            tensors[name] = np.concatenate(rows)
        else:
            tensors[name] = np.stack(rows) if rows else np.zeros(0)
    with replacing(folder / PREDICTIONS) as partial:
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, partial)


def read_predictions(folder: Path, names: Collection[str]) -> dict[str, Predictions]:
    """Read what a network said of every row."""
    tensors = load_file(folder / PREDICTIONS)
    found = {}
    for name in names:
        lengths = tensors.get(f"{name}/lengths")
        cuts = None if lengths is None else np.cumsum(lengths)[:-1]
        found[name] = list(tensors[name]) if cuts is None else np.split(tensors[name], cuts)
    return found


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
