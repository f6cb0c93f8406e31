"""`push_to_hub` of our trainers: the export format, the run's card and revision tags, instead of Trainer's own files.

Trainer uploads its output folder as it lies there, pickled arguments included, in a format that older readers run with
another RoPE base. Here every upload goes through `mmbert.export.push`: one commit of a checked folder. What
`--hub_strategy` says decides how often: `end` publishes finished models alone, `every_save` each checkpoint too; those
at the borders of phases get the tag `phase/stepN`. A push that fails while a run trains costs a warning, not the run:
the checkpoint lies on disk, and `mmbert push --history` makes up for it.
"""

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import Trainer
from transformers.trainer_utils import HubStrategy

from ..modeling.checkpoint_writer import write_json
from ..modeling.tokenizer import save_tokenizer

if TYPE_CHECKING:
    from ..export import Publication

logger = logging.getLogger(__name__)


class PublishingTrainer(Trainer):
    """A Trainer whose `push_to_hub` publishes what loads everywhere; a subclass says what a push takes along."""

    hub_model_id: str | None  # type: ignore[assignment]

    def whole_weights(self) -> dict[str, Any] | None:
        """Gather the weights where ranks hold shards of them; every rank must call.

        Returns:
            Whole tensors by name on rank 0; None where the model is whole.
        """
        return None

    def publication_tag(self) -> str | None:
        """Return the tag of the model as it stands, None for no tag."""
        return None

    def publication_record(self) -> dict[str, Any] | None:
        """Return the run's record, from which a published model's card is filled; every rank must call.

        Returns:
            The record, None if there is none.
        """
        return None

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
            Where it lies; None on every rank but the first.

        Raises:
            ConnectionError: If the Hub cannot be reached; the repository is as it was.
            ValueError: If the model cannot be exported, or the Hub refused.
        """
        weights, record, published = self.whole_weights(), self.publication_record(), None
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
                    published = self._publish(folder, self.publication_tag(), **given)
        finally:  # other ranks wait, whatever the Hub said
            self.accelerator.wait_for_everyone()
        return published

    def publish_folder(self, folder: Path, tag: str | None, message: str | None = None) -> None:
        """Publish a finished folder; a failure costs a warning with the command that makes up for it.

        Args:
            folder: The folder, whole.
            tag: Its tag.
            message: Of the commit.
        """
        try:
            published = self._publish(folder, tag, message=message)
            logger.info("published: %s", published.address)
        except (ValueError, OSError) as error:
            told = " ".join(str(error).split())
            command = f"mmbert push {folder} {self._repository()}"
            logger.warning("%s was not published: %s; by hand: %s", folder, told, command)

    def publish_checkpoint(self, checkpoint: Path, tag: str | None) -> None:
        """Publish a checkpoint that has just been written, if `hub_strategy` says so; every rank must call.

        Args:
            checkpoint: The checkpoint.
            tag: Its tag, None inside a phase.
        """
        if not self.args.push_to_hub or self.args.hub_strategy == HubStrategy.END:
            return
        record = self.publication_record()
        if not self.is_world_process_zero():
            return
        try:
            with tempfile.TemporaryDirectory(prefix="mmbert-push-") as papers:
                _write_record(record, Path(papers))
                message = f"{checkpoint.name} of {Path(str(self.args.output_dir)).absolute().name}"
                self._publish(checkpoint, tag, message=message, papers=papers)
        except (ValueError, OSError) as error:
            logger.warning("%s was not published: %s", checkpoint.name, " ".join(str(error).split()))

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Make the repository when training begins: who may not write there is told so before the first step.

        Args:
            token: Access token; `args.hub_token` if None.
            private: Whether a repository that is made is private; `args.hub_private_repo` if None.
        """
        from ..export.hub import ensure_repository

        if self.is_world_process_zero():
            self.hub_model_id = ensure_repository(
                self._repository(),
                token=token or self.args.hub_token,
                private=self.args.hub_private_repo if private is None else private,
            )
            self.push_in_progress = None

    def _repository(self) -> str:
        return self.hub_model_id or self.args.hub_model_id or Path(str(self.args.output_dir)).absolute().name

    def _publish(self, folder: Path, tag: str | None, **given: Any) -> "Publication":
        from ..export import push

        own = {
            "token": self.args.hub_token,
            "revision": self.args.hub_revision,
            "private": self.args.hub_private_repo,
        }
        options = own | {name: value for name, value in given.items() if value is not None}
        return push(folder, self._repository(), tag=tag, replace_tag=True, **options)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Trainer's own upload, of a folder that is not finished yet; `publish_checkpoint` comes after it is."""


def _write_record(record: dict[str, Any] | None, directory: Path) -> None:
    if record is not None:
        write_json(directory / "run_record.json", record)
