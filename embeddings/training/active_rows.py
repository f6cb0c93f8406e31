"""Which embedding rows a run of sentence-transformers' trainers reads, so that it trains only these.

The tokens are those of the trainer's own collator, with its prompts and cuts; a reranker's loss joins two texts before
they are cut, so each counts whole. It costs one more pass of the tokenizer over the rows, before the first step.
"""

import logging
from collections.abc import Iterator
from typing import Any

import torch

from ...callbacks import ActiveVocabularyCallback

_log = logging.getLogger(__name__)
_ROWS = 1024  # of one call of the collator


def train_active_rows(trainer: Any) -> None:
    """Train only the embedding rows of tokens in a trainer's rows, where that gives the same weights."""
    if reason := ActiveVocabularyCallback.obstacle(trainer.model, trainer.args):
        _log.info("the whole embedding table is trained: %s", reason)
        return
    tokenizer = trainer.model.tokenizer
    known = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    trainer.add_callback(ActiveVocabularyCallback(trainer.model, known.union(*_tokens(trainer, tokenizer))))


def _tokens(trainer: Any, tokenizer: Any) -> Iterator[list[int]]:
    """Yield the tokens of one part of the rows after the other."""
    for columns in trainer.train_dataset.iter(_ROWS):
        names, count = list(columns), len(next(iter(columns.values())))
        batch = trainer.data_collator([{name: columns[name][place] for name in names} for place in range(count)])
        for name, value in batch.items():
            if name.endswith("input_ids"):
                yield torch.unique(value).tolist()
            elif isinstance(value, list) and isinstance(value[0], str):
                texts = [*value, *(batch["prompt"] + text for text in value)] if "prompt" in batch else value
                yield from tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
