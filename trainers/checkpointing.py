"""A Trainer whose checkpoints are whole or absent, hold no pickle, and stand where a function of the step says.

transformers writes a checkpoint file by file under its final name, so a kill in between leaves a directory that looks
like the newest checkpoint and cannot be read. Here it is written under another name, reaches the disk, and is renamed.
"""

import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from ..modeling.checkpoint import open_checkpoint
from ..modeling.checkpoint_writer import write_checksums
from .checkpoints import publish
from .publishing import PublishingTrainer
from .sharding import fill, local
from .tags import revision_of, rotate, tags, write_tags
from .training_state import load_optimizer, load_random_state, save_optimizer, save_random_state

logger = logging.getLogger(__name__)


class NonFiniteLoss(ValueError):
    """The loss or a weight became NaN or infinite; the run stopped and kept nothing of it."""


class CheckpointingTrainer(PublishingTrainer):
    """Saves and loads the state of training; a subclass says what else a checkpoint holds, and the learning rate."""

    # What Trainer calls optional is there as soon as training begins.
    model: PreTrainedModel  # type: ignore[assignment]
    optimizer: Optimizer  # type: ignore[assignment]
    lr_scheduler: LambdaLR  # type: ignore[assignment]
    _publishing: Path | None = None

    def write_facts(self, directory: Path) -> None:
        """Write what else belongs into a checkpoint; called on every rank.

        Args:
            directory: The checkpoint being written.
        """

    def keep(self, directory: Path) -> None:
        """Keep a checkpoint that has just been written, and let go of older ones; called where files are written.

        Args:
            directory: The checkpoint.
        """
        write_tags(directory.parent)
        rotate(directory.parent, self.args.save_total_limit)

    def show(self, directory: Path) -> None:
        """Publish a checkpoint that is kept, if the run publishes them; called on every rank.

        Args:
            directory: The checkpoint.
        """
        tag = next((tag for tag, path in tags(directory.parent).items() if path == directory), None)
        self.publish_checkpoint(directory, tag and revision_of(tag))

    def refuse_broken_weights(self) -> None:
        """Stop before weights that are not finite are kept.

        Raises:
            NonFiniteLoss: If a parameter holds NaN or infinity.
        """
        names, parameters = zip(*self.model.named_parameters(), strict=True)
        # One look at all of them, and the same answer on every rank, also where each holds a shard.
        broken = torch.stack([(~local(parameter.detach()).isfinite()).sum() for parameter in parameters])
        if self.accelerator.num_processes > 1:
            broken = self.accelerator.reduce(broken, reduction="sum")
        for name, count in zip(names, broken.tolist(), strict=True):
            if count:
                raise NonFiniteLoss(
                    f"{name} is not finite after step {self.state.global_step}; it was not saved. The checkpoints "
                    "before it are intact: resume from the last one with a lower learning rate."
                )

    def whole_weights(self) -> dict[str, torch.Tensor] | None:
        """Gather the weights where ranks hold shards of them; every rank must call.

        Returns:
            Whole tensors by name on rank 0, for `save_pretrained(state_dict=...)`; None where the model is whole.
        """
        if not self.is_fsdp_enabled:
            return None
        return _without_copies(self.model, self.accelerator.get_state_dict(self.model))

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step.

        Args:
            step: Step from 0.

        Returns:
            The rate; the scheduler's own by default.
        """
        return float(self.lr_scheduler.base_lrs[0] * self.lr_scheduler.lr_lambdas[0](step))

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._publishing) if self._publishing is not None else super()._get_output_dir(trial)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save beside the other checkpoints under another name, then rename: a killed save leaves nothing half."""
        self.refuse_broken_weights()
        home = Path(self._get_output_dir(trial))
        name = f"checkpoint-{self.state.global_step}"
        self._publishing = home / ".saving"
        if self.args.should_save:
            shutil.rmtree(self._publishing, ignore_errors=True)  # what a killed save left
        self.accelerator.wait_for_everyone()
        try:
            super()._save_checkpoint(model, trial)
            self.write_facts(self._publishing / name)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                files = sorted(path.name for path in (self._publishing / name).glob("*model*.safetensors"))
                write_checksums(self._publishing / name, files)
                publish(self._publishing / name, home / name)
                self.keep(home / name)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ValueError(
                f"{name} could not be written ({' '.join(str(error).split())[:200]}); the checkpoints before it are "
                "whole. Free some space and start the same command again."
            ) from error
        finally:
            if self.args.should_save:
                shutil.rmtree(self._publishing, ignore_errors=True)
            self._publishing = None
        self.accelerator.wait_for_everyone()
        self.show(home / name)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict and _without_copies(self.model, state_dict))
        # A pickle that nobody needs: the recipe and the record say the same in JSON.
        (Path(output_dir or str(self.args.output_dir)) / "training_args.bin").unlink(missing_ok=True)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        checkpoint = open_checkpoint(resume_from_checkpoint)
        checkpoint.verify()
        checkpoint.check_against(self.model)
        if self.is_fsdp_enabled:
            fill(self.model, checkpoint.read)
        else:
            self.model.load_state_dict({name: checkpoint.read(name) for name in checkpoint.tensors}, strict=False)
            self.model.tie_weights()

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.is_deepspeed_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
        elif self.args.should_save or self.is_fsdp_enabled:
            save_optimizer(_bare(self.optimizer), self.model, Path(output_dir), write=self.args.should_save)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        if self.is_deepspeed_enabled:
            super()._load_optimizer_and_scheduler(checkpoint)
        else:
            load_optimizer(_bare(self.optimizer), self.model, Path(checkpoint))
        self.stand_at(Path(checkpoint))

    def stand_at(self, directory: Path) -> None:
        """Let the schedule stand where it stood; it is a function of the step, so there is no state to load.

        Args:
            directory: The checkpoint.
        """
        step = self.state.global_step
        self.lr_scheduler.last_epoch = step
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate_at(step)
        self.lr_scheduler._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _save_rng_state(self, output_dir: str) -> None:
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        save_random_state(Path(output_dir), self.args.process_index)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None and not load_random_state(Path(checkpoint), self.args.process_index):
            logger.warning("no random state of rank %d in %s: dropout will differ", self.args.process_index, checkpoint)


def _without_copies(model: PreTrainedModel, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Leave out the decoder's copy of the embeddings: gathered, the two no longer share memory, so both were saved."""
    tied = set(model._tied_weights_keys or ()) if model.config.tie_word_embeddings else set()
    return {name: value for name, value in weights.items() if name not in tied}


def _bare(optimizer: Any) -> Optimizer:
    bare: Optimizer = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
    return bare
