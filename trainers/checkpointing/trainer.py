"""A Trainer whose checkpoints are whole or absent and hold no pickle, and whose pushes load everywhere.

transformers writes a checkpoint file by file under its final name, so a kill in between leaves a directory that looks
like the newest checkpoint and cannot be read. Here it is written under another name, reaches the disk, and is renamed.

transformers pushes its output folder as it is, pickled arguments included, in a format that older readers run with
another RoPE base. Here every push is one commit of an export, checked by `mmbert.export.push`. `--hub_strategy end`
publishes finished models alone, `every_save` each checkpoint too; those at phase boundaries get the tag `phase/stepN`.
A push that fails while a run trains costs a warning, not the run: the checkpoint is on disk, and
`mmbert push --history` publishes it later.
"""

import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object
from safetensors import SafetensorError
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, Trainer
from transformers.trainer_utils import HubStrategy

from ...common.checkpoints.integrity import write_checksums
from ...common.checkpoints.reader import open_checkpoint
from ...common.command import refuse_dead_reader
from ...common.files import write_json
from ...modeling.tokenization_mmbert import save_tokenizer
from .fsdp import fill, local
from .paths import checkpoints, give_name, revision_of, rotate, tags, write_tags
from .state import load_optimizer, load_random_state, load_scaler, save_optimizer, save_random_state, save_scaler

if TYPE_CHECKING:
    from ...export import Publication

logger = logging.getLogger(__name__)


class NonFiniteLoss(ValueError):
    """The loss or a weight became NaN or infinite; the run stopped and kept nothing of it."""


class CheckpointingTrainer(Trainer):
    """Saves, resumes and publishes the state of training; a subclass says what else a checkpoint or a push holds."""

    # What Trainer calls optional is there as soon as training begins.
    model: PreTrainedModel  # type: ignore[assignment]
    optimizer: Optimizer  # type: ignore[assignment]
    lr_scheduler: LambdaLR  # type: ignore[assignment]
    hub_model_id: str | None  # type: ignore[assignment]
    _unfinished: Path | None = None

    # What a subclass may replace

    def write_run_state(self, directory: Path) -> None:
        """Write what else belongs into a checkpoint that is being written; called on every rank."""

    def rotate(self, directory: Path) -> None:
        """List a checkpoint that has just been written and remove old ones; called where files are written."""
        write_tags(directory.parent)
        rotate(checkpoints(home := directory.parent), self.args.save_total_limit, tags(home).values())

    def publish(self, directory: Path) -> None:
        """Publish a checkpoint that is kept, if `hub_strategy` says so; called on every rank."""
        if not self.args.push_to_hub or self.args.hub_strategy == HubStrategy.END:
            return
        record = self.run_record()
        if not self.is_world_process_zero():
            return
        tag = next((tag for tag, path in tags(directory.parent).items() if path == directory), None)
        try:
            with tempfile.TemporaryDirectory(prefix="mmbert-push-") as papers:
                _write_record(record, Path(papers))
                message = f"{directory.name} of {Path(str(self.args.output_dir)).absolute().name}"
                self._push(directory, tag and revision_of(tag), message=message, papers=papers)
        except (ValueError, OSError) as error:
            logger.warning("%s was not published: %s", directory.name, " ".join(str(error).split()))

    def restore_scheduler(self, directory: Path) -> None:
        """Set the learning-rate schedule to the step of a checkpoint; it is a function of the step, with no state."""
        step = self.state.global_step
        self.lr_scheduler.last_epoch = step
        for group in self.optimizer.param_groups:
            group["lr"] = float(self.lr_scheduler.base_lrs[0] * self.lr_scheduler.lr_lambdas[0](step))
        self.lr_scheduler._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def run_record(self) -> dict[str, Any] | None:
        """Return the run's record, from which a published model's card is filled; every rank must call."""
        return None

    def revision_tag(self) -> str | None:
        """Return the tag of the model as it stands, None for no tag."""
        return None

    # Checkpoints

    def refuse_broken_weights(self) -> None:
        """Stop before weights that are not finite are kept."""
        names, parameters = zip(*self.model.named_parameters(), strict=True)
        # One check of all of them, and the same answer on every rank, also where each holds a shard.
        broken = torch.stack([(~local(parameter.detach()).isfinite()).sum() for parameter in parameters])
        if self.accelerator.num_processes > 1:
            broken = self.accelerator.reduce(broken, reduction="sum")
        for name, count in zip(names, broken.tolist(), strict=True):
            if count:
                raise NonFiniteLoss(
                    f"{name} is not finite after step {self.state.global_step}; it was not saved. The checkpoints "
                    "before it are intact: resume from the last one with a lower learning rate."
                )

    def stop_together(self, told: str) -> None:
        """End every rank with the words of the first that has any, as the others would wait for it; all must call."""
        if self.accelerator.num_processes > 1:
            flag = torch.tensor(float(bool(told)), device=self.accelerator.device)
            if self.accelerator.reduce(flag, reduction="sum").item():
                told = next(filter(None, gather_object([told])))
        if told:
            raise NonFiniteLoss(told)

    def whole_weights(self) -> dict[str, torch.Tensor] | None:
        """Whole tensors on rank 0 where ranks hold shards, None where the model is whole; every rank must call."""
        if not self.is_fsdp_enabled:
            return None
        return _without_copies(self.model, self.accelerator.get_state_dict(self.model))

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._unfinished) if self._unfinished is not None else super()._get_output_dir(trial)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train as Trainer does; a dead reader or a stop from outside ends it with one line on where it stood."""
        try:
            return super().train(*args, **kwargs)
        except KeyboardInterrupt as stop:
            raise type(stop)(f"at step {self.state.global_step}; the same command goes on") from None
        except (RuntimeError, ConnectionError, EOFError) as error:
            refuse_dead_reader(error, self.args.dataloader_num_workers)
            raise

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save beside the other checkpoints under another name, then rename: a killed save leaves nothing half."""
        self.refuse_broken_weights()
        home = Path(self._get_output_dir(trial))
        name = f"checkpoint-{self.state.global_step}"
        self._unfinished = home / ".saving"
        if self.args.should_save:
            shutil.rmtree(self._unfinished, ignore_errors=True)  # what a killed save left
        self.accelerator.wait_for_everyone()
        try:
            super()._save_checkpoint(model, trial)
            self.write_run_state(self._unfinished / name)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                write_checksums(self._unfinished / name)
                give_name(self._unfinished / name, home / name)
                self.rotate(home / name)
        except (OSError, SafetensorError, RuntimeError) as error:
            refuse_dead_reader(error)
            raise ValueError(
                f"{name} could not be written ({' '.join(str(error).split())[:200]}); the checkpoints before it are "
                "whole. Free some space and start the same command again."
            ) from error
        finally:
            if self.args.should_save:
                shutil.rmtree(self._unfinished, ignore_errors=True)
            self._unfinished = None
        self.accelerator.wait_for_everyone()
        self.publish(home / name)

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
        self.restore_scheduler(Path(checkpoint))

    def _save_rng_state(self, output_dir: str) -> None:
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        save_random_state(Path(output_dir), self.args.process_index)

    def _save_scaler(self, output_dir: str) -> None:
        if self.args.should_save and getattr(self.accelerator, "scaler", None) is not None:
            save_scaler(self.accelerator.scaler, Path(output_dir))

    def _load_scaler(self, checkpoint: str | None) -> None:
        if checkpoint is not None and getattr(self.accelerator, "scaler", None) is not None:
            load_scaler(self.accelerator.scaler, Path(checkpoint))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None and not load_random_state(Path(checkpoint), self.args.process_index):
            logger.warning("no random state of rank %d in %s: dropout will differ", self.args.process_index, checkpoint)

    # Publishing

    def push_to_hub(  # type: ignore[override]
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> "Publication | None":
        """Publish the model as it stands, in the export format, with tokenizer, card and tag.

        Args:
            commit_message: Of the commit.
            blocking: Must be True: a commit is whole before this returns.
            token: Access token; `args.hub_token` or the stored login if None.
            revision: Branch; `args.hub_revision` or the main one if None.
            private: Whether a repository that is made is private; `args.hub_private_repo` if None.
            **kwargs: Not used; Trainer's own card takes them.

        Returns:
            Where it is; None on every rank but the first.

        Raises:
            ConnectionError: If the Hub cannot be reached; the repository is as it was.
            ValueError: If the model cannot be exported, or the Hub refused.
        """
        weights, record, published = self.whole_weights(), self.run_record(), None
        try:
            if self.is_world_process_zero():
                with tempfile.TemporaryDirectory(prefix="mmbert-push-") as temporary:
                    folder = Path(temporary) / Path(str(self.args.output_dir)).absolute().name
                    model: Any = self.accelerator.unwrap_model(self.model)
                    model.save_pretrained(folder, state_dict=weights)
                    if self.processing_class is not None:
                        save_tokenizer(self.processing_class, folder)  # type: ignore[arg-type]
                    _write_record(record, folder)
                    given = {"token": token, "revision": revision, "private": private, "message": commit_message}
                    published = self._push(folder, self.revision_tag(), **given)
        finally:  # other ranks wait, whatever the Hub said
            self.accelerator.wait_for_everyone()
        return published

    def publish_folder(self, folder: Path, tag: str | None, message: str | None = None) -> None:
        """Publish a finished folder; a failure costs a warning with the command that publishes it later."""
        try:
            published = self._push(folder, tag, message=message)
            logger.info("published: %s", published.address)
        except (ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            command = f"mmbert push {folder} {self._repository()}"
            logger.warning("%s was not published: %s; by hand: %s", folder, reason, command)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Make the repository when training begins: who may not write there learns so before the first step."""
        from ...export.hub.upload import ensure_repository

        if self.is_world_process_zero():
            self.hub_model_id = ensure_repository(
                self._repository(),
                token=token or self.args.hub_token,
                private=self.args.hub_private_repo if private is None else private,
            )
            self.push_in_progress = None

    def _repository(self) -> str:
        return self.hub_model_id or self.args.hub_model_id or Path(str(self.args.output_dir)).absolute().name

    def _push(self, folder: Path, tag: str | None, **given: Any) -> "Publication":
        from ...export import push

        own = {"token": self.args.hub_token, "revision": self.args.hub_revision, "private": self.args.hub_private_repo}
        options = own | {name: value for name, value in given.items() if value is not None}
        return push(folder, self._repository(), tag=tag, replace_tag=True, **options)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Trainer's own upload, of a folder that is not finished yet; `publish` comes after it is."""


def _write_record(record: dict[str, Any] | None, directory: Path) -> None:
    if record is not None:
        write_json(directory / "run_record.json", record)


def _without_copies(model: PreTrainedModel, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Leave out the decoder's copy of the embeddings: gathered, the two no longer share memory, so both were saved."""
    tied = set(model._tied_weights_keys or ()) if model.config.tie_word_embeddings else set()
    return {name: value for name, value in weights.items() if name not in tied}


def _bare(optimizer: Any) -> Optimizer:
    bare: Optimizer = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
    return bare
