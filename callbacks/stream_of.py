"""Finding the stream that a Trainer reads, and refusing one that is read in another way than its positions say."""

from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader, RandomSampler

if TYPE_CHECKING:
    from ..data.pretraining.dataset import MlmStream


def stream_of(loader: Any, caller: str) -> "MlmStream":
    """Return the stream behind a training data loader."""
    dataset = getattr(loader, "dataset", None)
    if not (hasattr(dataset, "schedule") and hasattr(dataset, "masking")):
        raise ValueError(
            f"{caller} needs train_dataset to be an mmbert.data.MlmStream, got {type(dataset).__name__}; "
            "only a batch that is a function of its position can change at an exact step."
        )
    if any(isinstance(sampler, RandomSampler) for sampler in _samplers(loader)):
        raise ValueError(
            f"{caller}: the data loader shuffles the stream, so steps would not be where the recipe puts them; "
            "set train_sampling_strategy='sequential' in TrainingArguments, or use MlmTrainer."
        )
    return dataset  # type: ignore[return-value]


def _samplers(loader: DataLoader) -> list[Any]:
    found = [getattr(loader, "sampler", None)]
    batch_sampler = getattr(loader, "batch_sampler", None)
    while batch_sampler is not None:
        found.append(getattr(batch_sampler, "sampler", None))
        batch_sampler = getattr(batch_sampler, "batch_sampler", None)
    return found
