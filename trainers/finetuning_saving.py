"""The folder that a fine-tuning leaves: one network that loads like any other, its adapters beside it, its record."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from ..modeling.tokenizer import save_tokenizer
from .finetuning_trainer import FineTuneTrainer

logger = logging.getLogger(__name__)

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
        training = record["options"]["training"]
        if training.get("push_to_hub"):
            _push(folder, training)
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


def _push(folder: Path, training: dict[str, Any]) -> None:
    from huggingface_hub import HfApi

    api = HfApi()
    name = training.get("hub_model_id") or folder.resolve().name
    made = api.create_repo(name, private=training.get("hub_private_repo"), exist_ok=True)
    api.upload_folder(repo_id=made.repo_id, folder_path=folder, revision=training.get("hub_revision"))
    logger.info("pushed to %s", made.repo_id)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
