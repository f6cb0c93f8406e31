"""A recipe run from end to end: data, the stable phases once, then every decay variant from where they end.

    DIR/data/           tokenizer and token shards
    DIR/stable/         checkpoints, tags.json, final/, run_record.json of the phases before the variants branch
    DIR/<variant>/      the same for each decay variant

Beside the record is the language report, written anew at every phase boundary.

Started again it goes on where it was: finished parts are kept, an unfinished one resumes from its last checkpoint.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from accelerate import Accelerator, PartialState

from ...callbacks import LanguageReportCallback
from ...common.checkpoints.reader import open_checkpoint, require_start
from ...common.checkpoints.writer import atomic_directory
from ...common.deprecation import renamed_keywords, warn_renamed
from ...common.locks import only_writer
from ...data.pretraining.dataset import MlmStream
from ...data.pretraining.heldout import HeldOut
from ...data.tokenization.recipe_data import PreparedData, prepare
from ...modeling import MmBertForMaskedLM
from ...modeling.tokenization_mmbert import save_tokenizer
from ...recipes import Recipe
from ..checkpointing.paths import checkpoints, last_checkpoint, tagged
from .args import training_arguments
from .eval_loss import group_losses, language_losses, resource_groups
from .model_init import build_model
from .record import write_record
from .run_fingerprint import check_identity
from .trainer import MlmTrainer

logger = logging.getLogger(__name__)

__all__ = ["FINAL", "STABLE", "RecipeRun", "build_model"]

STABLE = "stable"
_OLD_STABLE = "trunk"  # the folder's name in 0.1
FINAL = "final"


class _Parts(dict[str, Path]):
    """Finished models by part; the stable run is found under its old name, too."""

    def __missing__(self, name: str) -> Path:
        if name != _OLD_STABLE:
            raise KeyError(name)
        warn_renamed(f"the part {_OLD_STABLE!r} of a run", repr(STABLE))
        return self[STABLE]


class RecipeRun:
    """One run of a recipe in one directory.

    Args:
        recipe: The plan.
        output_dir: Where everything goes.
        arguments: Overrides for TrainingArguments, such as `dataloader_num_workers` or `bf16`.
        tokens_per_language: Held-out tokens scored in each language.
        allow_changed_data: Resume although the shards changed.
        allow_changed_recipe: Resume although what was already trained is described differently now.
        draw_report: Draws the language report at every phase boundary, such as
            `mmbert.model_cards.draw_language_report`.
    """

    @renamed_keywords(tokens_a_language="tokens_per_language")
    def __init__(
        self,
        recipe: Recipe,
        output_dir: str | Path,
        *,
        arguments: Mapping[str, Any] | None = None,
        tokens_per_language: int = 2048,
        allow_changed_data: bool = False,
        allow_changed_recipe: bool = False,
        draw_report: Callable[[dict[str, Any], Path], Any] | None = None,
    ) -> None:
        self.recipe = recipe
        self.output_dir = Path(output_dir)
        self.arguments = dict(arguments or {})
        self.tokens_per_language = tokens_per_language
        self.flags = {"allow_changed_data": allow_changed_data, "allow_changed_recipe": allow_changed_recipe}
        self.draw_report = draw_report
        self._data: PreparedData | None = None
        training_arguments(recipe, recipe.schedule(), output_dir, **self.arguments)  # refuse a bad one before reading

    @property
    def data(self) -> PreparedData:
        """Tokenizer and shards; made by the first process, found by the others."""
        if self._data is None:
            with PartialState().main_process_first():
                self._data = prepare(self.recipe, self.output_dir / "data")
        return self._data

    def home(self, variant: str | None = None) -> Path:
        """Return the directory of a decay variant, or of the stable run; one of 0.1 is used under its name there."""
        old = self.output_dir / _OLD_STABLE
        if variant is None and old.is_dir() and not (self.output_dir / STABLE).is_dir():
            warn_renamed(f"the folder {old}", f"{STABLE}/", stacklevel=3)
            return old
        return self.output_dir / (variant or STABLE)

    def run(self, variants: Sequence[str] | None = None) -> dict[str, Path]:
        """Train what is not trained yet.

        Args:
            variants: Decay variants to train; None for all of the recipe.

        Returns:
            The finished model's directory by part: `stable` and each variant.
        """
        for variant in variants or []:
            self.recipe.schedule(variant)  # an unknown one is refused before anything is trained
        if (start := self.recipe.model.get("checkpoint")) and not self.home().is_dir():
            require_start(start, masked_lm=True)  # a wrong one before anything is tokenized
        with only_writer(self.output_dir) if PartialState().is_main_process else nullcontext():
            self._link_old_name()
            finished = _Parts({STABLE: self._part(None)})
            for variant in self.recipe.variants if variants is None else variants:
                finished[variant] = self._part(variant)
        return finished

    def _link_old_name(self) -> None:
        """Let scripts that read `trunk/` find the stable run for one version more, where the system has links."""
        link = self.output_dir / _OLD_STABLE
        if PartialState().is_main_process and not os.path.lexists(link):
            self.output_dir.mkdir(parents=True, exist_ok=True)
            with suppress(OSError, NotImplementedError):
                link.symlink_to(STABLE, target_is_directory=True)

    def _part(self, variant: str | None) -> Path:
        home = self.home(variant)
        final = home / FINAL
        if final.is_dir():
            _check_final(final)
            stream = MlmStream(self.recipe, self.data.train, self.data.tokenizer, variant=variant)
            if any(home.glob("checkpoint-*")):  # a user may keep the final model alone
                check_identity(last_checkpoint(home), stream, **self.flags)
            logger.info("%s is finished", home.name)
            return final
        checkpoint = self._start(variant, home)
        # The loss of the untrained network is where every curve begins.
        trainer = self.trainer(variant, eval_on_start=checkpoint is None)
        if checkpoint is not None:
            logger.info("%s goes on from %s/%s", home.name, checkpoint.parent.name, checkpoint.name)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None, **self.flags)
        record, weights = trainer.run_record(), trainer.whole_weights()
        if trainer.is_world_process_zero():
            write_record(record, home)
            with atomic_directory(final) as partial:
                trainer.model.save_pretrained(partial, state_dict=weights)
                save_tokenizer(self.data.tokenizer, partial)
            if trainer.args.push_to_hub:
                trainer.publish_folder(final, trainer.revision_tag(), message=f"{self.recipe.name}: {home.name}")
        trainer.accelerator.wait_for_everyone()
        return final

    def _start(self, variant: str | None, home: Path) -> Path | None:
        """Return where a part goes on: its own last checkpoint, else the end of the stable run, else from nothing."""
        if checkpoints(home):
            return last_checkpoint(home)
        if variant is None:
            return None
        schedule = self.recipe.schedule()
        return tagged(self.home(), f"{schedule.phases[-1].name}/{schedule.steps}")

    def heldout(self) -> HeldOut:
        """Return the held-out text of every evaluation of this run."""
        return HeldOut(
            self.data.heldout,
            self.data.tokenizer,
            masking_ratio=self.recipe.evaluation_masking_ratio,
            context_length=self.recipe.phases[0].context_length,
            tokens_per_language=self.tokens_per_language,
            seed=self.recipe.seed,
            languages=self.recipe.languages,  # a tokenized folder may hold many more
        )

    def groups(self) -> dict[str, str]:
        """Return the resource group of every language: high, mid, low by the phase in which it enters, or code."""
        read = self.recipe.languages
        trained = [tag for tag in self.data.train.languages if read is None or tag in read]
        return resource_groups(self.recipe, trained, self.heldout().languages)

    def score(self, checkpoint: str | Path) -> dict[str, float]:
        """Score any masked-LM checkpoint with this run's tokenizer on this run's held-out text.

        Args:
            checkpoint: The model.

        Returns:
            Loss by resource group.
        """
        accelerator = Accelerator(cpu=bool(self.arguments.get("use_cpu")))
        model = MmBertForMaskedLM.from_pretrained(checkpoint).to(accelerator.device)
        return group_losses(language_losses(model, self.heldout(), accelerator), self.groups())

    def trainer(self, variant: str | None = None, **overrides: Any) -> MlmTrainer:
        """Build the trainer of one part of the run.

        Args:
            variant: A decay variant, or None for the phases before.
            **overrides: Further fields of TrainingArguments.

        Returns:
            The trainer, ready to train.
        """
        stream = MlmStream(self.recipe, self.data.train, self.data.tokenizer, variant=variant)
        arguments = {**self.arguments, **overrides}
        return MlmTrainer(
            model=build_model(self.recipe, len(self.data.tokenizer), self.data.tokenizer),
            args=training_arguments(self.recipe, stream.schedule, self.home(variant), **arguments),
            train_dataset=stream,
            eval_dataset=self.heldout(),
            processing_class=self.data.tokenizer,
            callbacks=[LanguageReportCallback(self.draw_report)],
        )


def _check_final(final: Path) -> None:
    """Refuse a finished part whose network is gone or damaged."""
    try:
        open_checkpoint(final).verify()
    except (ValueError, OSError) as error:
        raise ValueError(
            f"{error}. The part is not finished without it: remove {final}, and the same command makes it again from "
            "the last checkpoint."
        ) from None
