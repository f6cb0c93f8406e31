"""Published settings for training embedders, each with its source.

A preset is where a run starts: whatever the user names wins over it.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TrainingPreset:
    """Settings of a run.

    Attributes:
        source: Where the settings come from.
        train: Sources of pairs, as `read_pairs` takes them; empty if the user must name them.
        objective: `contrastive`, `gist`, `distill` or `scored`; see `objectives.build_loss`.
        epochs: Passes over the data.
        batch_size: Rows a step; each has batch_size - 1 wrong answers, and the negatives of all.
        learning_rate: Peak of AdamW.
        warmup: Share of the steps in which the rate rises.
        max_seq_length: Texts are cut after so many tokens while training.
        bf16: Compute in bfloat16 (autocast), weights in float32.
        heldout: Rows for evaluation during training.
        seed: Of the draw of those rows.
        both_directions: Look for the question of a passage, too, as for translations.
        temperature: Of the language draw, see `language_batches`; None: batches without regard to language.
        mini_batch_tokens: Compute a batch in parts of so many tokens (GradCache): memory of a part, twice the forward
            passes; None: a batch at once.
        active_vocabulary: Train only the embedding rows of tokens that the training rows hold, where that gives the
            same weights: with AdamW, all weights trained, and no decoder that reads the table (SPLADE).
    """

    source: str
    train: tuple[str, ...] = ()
    objective: str = "contrastive"
    epochs: float = 1.0
    batch_size: int = 64
    learning_rate: float = 1e-4
    warmup: float = 0.05
    max_seq_length: int = 512
    bf16: bool = False
    heldout: int = 1000
    seed: int = 12
    both_directions: bool = False
    temperature: float | None = None
    mini_batch_tokens: int | None = None
    active_vocabulary: bool = True


PRESETS = {
    # Dataset, loss, warm-up, bf16, sampler, 1,000 triplets of seed 12: examples/train_st.py of ModernBERT, whose
    # settings the mmBERT paper keeps. Batch: 512 there, 1,024 in Ettin's script, unsaid in the paper. Rate: best of
    # 1e-4, 3e-4, 5e-4, 7e-4 for mmBERT. 1.25 million triplets.
    "msmarco": TrainingPreset(
        source="mmBERT (arXiv 2509.06888), MTEB v2; ModernBERT examples/train_st.py",
        train=(
            "sentence-transformers/msmarco-co-condenser-margin-mse-sym-mnrl-mean-v1"
            "?name=triplet-hard&anchor=query&positive=positive&negative=negative",
        ),
        batch_size=512,
        bf16=True,
        mini_batch_tokens=16384,
    ),
    # Both directions and equal languages as for LaBSE (arXiv 2007.01852), temperature as in mmBERT's middle phase.
    "parallel": TrainingPreset(
        source="cross-lingual alignment from parallel text: LaBSE (arXiv 2007.01852) in the small",
        batch_size=128,
        max_seq_length=128,
        warmup=0.1,
        both_directions=True,
        temperature=0.5,
    ),
    "pairs": TrainingPreset(source="sentence-transformers' defaults for pairs", warmup=0.1),
    # Rate, length and batch of the trial that docs/distillation.md reports.
    "distilled": TrainingPreset(
        source="distillation from a teacher's vectors", objective="distill", batch_size=128, max_seq_length=128
    ),
    "scored": TrainingPreset(
        source="CoSENT on scored pairs, as for STS", objective="scored", batch_size=32, warmup=0.1
    ),
}


def preset(name: str, **changes: Any) -> TrainingPreset:
    """Return a preset with some settings changed.

    Args:
        name: `msmarco`, `parallel`, `pairs`, `scored` or `distilled`.
        **changes: Fields of TrainingPreset; None leaves the preset's value.

    Returns:
        The settings.

    Raises:
        ValueError: If there is no such preset.
    """
    from dataclasses import replace

    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; use {', '.join(PRESETS)}")
    return replace(PRESETS[name], **{key: value for key, value in changes.items() if value is not None})
