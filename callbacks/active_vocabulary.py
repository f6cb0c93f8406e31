"""Fine-tuning with only the embedding rows that occur in the training rows; see `modeling/active_vocabulary.py`."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..common.files import file_size
from ..modeling.active_vocabulary import model_obstacle, restore, shrink

logger = logging.getLogger(__name__)

_EXACT_OPTIMIZERS = ("adamw_torch", "adamw_torch_fused")
_COPIES = 4  # of a trained weight: itself, its gradient, two moments


class ActiveVocabularyCallback(TrainerCallback):
    """Trains the embedding rows of some tokens in place of the whole table; the weights become the same.

    Make it before the trainer makes its optimizer, and hand it to the trainer. Checkpoints and the model after training
    hold the whole table; a checkpoint is resumed with the same token ids.

    Args:
        model: The network that is going to be trained.
        token_ids: Every id that occurs in the training rows.
        directory: Where the rows that are not trained lie meanwhile; None: the system's temporary folder.

    Raises:
        ValueError: If the result would not be that of training the whole table.
    """

    def __init__(self, model: nn.Module, token_ids: Iterable[int], directory: Path | None = None) -> None:
        self.active = shrink(model, token_ids, directory)
        rows, every = len(self.active.weight), self.active.num_embeddings
        saved = (every - rows) * self.active.embedding_dim * self.active.weight.element_size() * _COPIES
        logger.info(
            "active vocabulary: %s of %s embedding rows are trained, the others lie in a file; %s less memory for "
            "the same weights",
            f"{rows:,}",
            f"{every:,}",
            file_size(saved),
        )

    @staticmethod
    def obstacle(model: nn.Module, args: TrainingArguments) -> str | None:
        """Say why an active vocabulary would not give the same weights; None if it would."""
        if args.optim not in _EXACT_OPTIMIZERS:
            return f"{args.optim} may change rows without a gradient in ways of its own"
        if args.fsdp or args.deepspeed:
            return "FSDP and DeepSpeed spread the table over processes"
        return model_obstacle(model)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        """Follow the optimizer that the trainer has made."""
        while hasattr(optimizer, "optimizer"):  # accelerate's
            optimizer = optimizer.optimizer
        self.active.follow(optimizer)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """Put the whole table back."""
        restore(model)
