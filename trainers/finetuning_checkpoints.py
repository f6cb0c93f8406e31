"""Checkpoints of a fine-tuning: written whole, without a pickle, and gone on from as if nothing had happened.

They say what the run is made of (`run_identity.json`), so that another one does not go on from them. Beside the newest
the best one on dev is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn
from transformers import Trainer, TrainerState

from .checkpointing import CheckpointingTrainer
from .run_identity import FILE as IDENTITY_FILE
from .tags import rotate
from .training_state import load_schedule, save_schedule

KEY = "fine_tuning"  # under which a checkpoint has what the run is made of


class FineTuneCheckpoints(CheckpointingTrainer):
    """Keeps and resumes the checkpoints of a fine-tuning."""

    identity: Mapping[str, Any]

    def write_facts(self, directory: Path) -> None:
        """Write what the run is made of into a checkpoint.

        Args:
            directory: The checkpoint being written.
        """
        if self.args.should_save:
            found = {"step": self.state.global_step, KEY: self.identity}
            text = json.dumps(found, indent=1, ensure_ascii=False)
            (directory / IDENTITY_FILE).write_text(text, encoding="utf-8")

    def keep(self, directory: Path) -> None:
        """Keep the newest checkpoints and the one that scored best.

        Args:
            directory: The checkpoint that has just been written.
        """
        rotate(directory.parent, self.args.save_total_limit, self._best_in(directory.parent))

    def show(self, directory: Path) -> None:
        """Publish nothing yet: a fine-tuned network is published when it is finished.

        Args:
            directory: The checkpoint.
        """
        best = self._best_in(directory.parent)  # Trainer looked for it where the checkpoint was being written
        self.state.best_model_checkpoint = None if best is None else str(best)

    def train_from(self, checkpoint: Path | None) -> None:
        """Train to the end.

        Args:
            checkpoint: Where an unfinished training goes on; None: from the beginning.
        """
        if checkpoint is None:
            self.train()
            return
        path = checkpoint / "trainer_state.json"
        state = TrainerState.load_from_json(str(path))
        best = checkpoint.parent / f"checkpoint-{state.best_global_step}"  # the folder may have moved
        state.best_model_checkpoint = str(best) if best.is_dir() else None
        if self.is_world_process_zero():
            partial = path.with_suffix(".partial")
            state.save_to_json(str(partial))
            partial.replace(path)
        self.accelerator.wait_for_everyone()
        if _has_ended(state):  # Trainer would do one more step
            self._load_from_checkpoint(str(checkpoint))
            self.state = state
            if self.args.load_best_model_at_end and state.best_model_checkpoint is not None:
                self._load_best_model()
        else:
            self.train(resume_from_checkpoint=str(checkpoint))

    def stand_at(self, directory: Path) -> None:
        """Let the schedule stand where it stood.

        Args:
            directory: The checkpoint.
        """
        load_schedule(self.lr_scheduler, self.optimizer, directory)

    def _best_in(self, home: Path) -> Path | None:
        best = home / f"checkpoint-{self.state.best_global_step}"
        return best if self.state.best_global_step and best.is_dir() else None

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save and not self.is_deepspeed_enabled:
            save_schedule(self.lr_scheduler, Path(output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if hasattr(self.model, "peft_config"):  # its checkpoints hold adapters and head, which peft reads
            Trainer._load_from_checkpoint(self, resume_from_checkpoint, model)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)


def _has_ended(state: TrainerState) -> bool:
    callbacks: Any = state.stateful_callbacks  # as a checkpoint has them, plain values by name
    told = callbacks.get("TrainerControl", {}).get("args", {})
    return state.global_step >= state.max_steps or bool(told.get("should_training_stop"))
