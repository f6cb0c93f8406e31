"""The folder that `mmbert tokenize` makes, as a recipe's corpus: it is read in place, with the tokenizer that made it.

A recipe that `extends` an official one inherits `data.tokenizer` and cannot be rid of it by naming another corpus. So
the key may stay where it does no harm: what it names is compared with the tokenizer of the folder where it can be had.
The id of an official recipe is not fetched for that: it says where the release's vocabulary is, not what is in here.
"""

import logging
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from ...modeling.tokenization_mmbert import build_tokenizer, tokenizer_fingerprint
from ...recipes import DataPlan
from ..shards import TokenShards

logger = logging.getLogger(__name__)

_OFFICIAL = ("jhu-clsp/mmBERT-base", "jhu-clsp/mmBERT-small")  # data.tokenizer of the official recipes


def tokenized_folder(plan: DataPlan) -> Path | None:
    """Return the corpus of a plan if it is a folder that `mmbert tokenize` made.

    Args:
        plan: What a recipe reads.

    Returns:
        The folder, with `tokenizer/`, `train/` and `heldout/`; None if the corpus is anything else.

    Raises:
        ValueError: If it has no held-out part or no tokenizer.
    """
    folder = Path(plan.corpus or "")
    if not plan.corpus or not (folder / "train" / "index.json").is_file():
        return None
    for name in ("heldout/index.json", "tokenizer/tokenizer.json"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}; tokenize it with a --heldout-fraction above 0.")
    return folder


def check_tokenized(plan: DataPlan, folder: Path, tokenizer: Any, train: TokenShards) -> None:
    """Refuse what a plan asks of a tokenized folder and cannot get; `data.sources` is information and may stay.

    Args:
        plan: What the recipe reads.
        folder: The folder.
        tokenizer: Its tokenizer.
        train: Its shards for training.

    Raises:
        ValueError: If the plan has options of a corpus, another tokenizer, or another size of the vocabulary.
    """
    if plan.options:
        raise ValueError(f"data.{next(iter(plan.options))} cannot change {folder}, which is tokenized; remove the key.")
    if plan.vocabulary_size not in (DataPlan().vocabulary_size, len(tokenizer)):
        raise ValueError(
            f"data.vocabulary_size is {plan.vocabulary_size}, but {folder} is tokenized with {len(tokenizer)} words; "
            "remove the key."
        )
    if plan.tokenizer is not None:
        _check_tokenizer(plan.tokenizer, folder, train)


def _check_tokenizer(name: str, folder: Path, train: TokenShards) -> None:
    own, hub_id = folder / "tokenizer", not Path(name).exists() and len(Path(name).parts) <= 2
    if hub_id and name in _OFFICIAL:
        logger.info("data.tokenizer %s is not fetched: %s is tokenized, and its own is used, %s", name, folder, own)
        return
    try:
        named = build_tokenizer(name)
    except OSError as error:
        if not hub_id:
            raise
        logger.info("data.tokenizer %s is not compared (%s): %s, with its own tokenizer, is used", name, error, folder)
        return
    if tokenizer_fingerprint(named) != train.tokenizer_fingerprint:
        words = len(AutoTokenizer.from_pretrained(own))
        raise ValueError(
            f"data.tokenizer {name} ({len(named)} words) is not {own} ({words} words), which {folder} is tokenized "
            "with; remove the key, or tokenize the corpus again."
        )
