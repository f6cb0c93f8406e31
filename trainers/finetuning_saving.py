"""The folder that a fine-tuning leaves: one network that loads like any other, its adapters beside it, its record."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from ..modeling.tokenizer import save_tokenizer
from .finetuning_trainer import FineTuneTrainer

RECORD = "fine_tune_record.json"
ADAPTER = "adapter"


def save_fine_tuned(trainer: FineTuneTrainer, folder: Path, record: dict[str, Any]) -> None:
    """Save network, tokenizer and record; every process must call, the first one writes.

    Adapters are merged, so that `AutoModelForX.from_pretrained(folder)` and pipelines need neither peft nor the
    checkpoint that training started from. `adapter/` holds them alone, a hundredth of the size, head included.

    Args:
        trainer: The trainer, after training.
        folder: Where to.
        record: JSON.
    """
    model: Any = trainer.model
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if trainer.is_fsdp_enabled else None
    if trainer.is_world_process_zero():
        for old in folder.glob("checkpoint-*"):
            shutil.rmtree(old)
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
        text = json.dumps(record, indent=1, ensure_ascii=False, default=_plain)
        (folder / RECORD).write_text(text + "\n", encoding="utf-8")
        if trainer.args.push_to_hub:
            trainer.publish_folder(folder, f"seed-{trainer.args.seed}")
    trainer.accelerator.wait_for_everyone()


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
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def repository_name(folder: Path) -> str:
    """Name a repository after a run's folder; runs of several seeds share one.

    Args:
        folder: Such as `news` or `news/seed-1`.

    Returns:
        `news` for both.
    """
    whole = folder.absolute()
    return whole.parent.name if whole.name.startswith("seed-") else whole.name


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
