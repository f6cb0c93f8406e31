"""Texts and pairs of texts as token ids; a long document whole, cut, or in overlapping windows.

Our network reads 8,192 tokens and spends nothing on padding, so whole documents are the default. Windows are for
networks or memory that want shorter rows: each is a row of its own, and `row` says which document it is part of.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from ...common.messages import flag, name_of

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

_ROWS_AT_ONCE = 1000


def encode_texts(
    rows: Dataset,
    tokenizer: Any,
    *,
    max_length: int | None = None,
    windows: bool = False,
    overlap: int = 64,
    cut: Counter[str] | None = None,
) -> Dataset:
    """Turn texts into token ids.

    Args:
        rows: With `text` and `language`, and `text_pair` for pairs.
        tokenizer: The checkpoint's.
        max_length: Most tokens of a row, special ones included; None: what the tokenizer allows, 8,192 for mmBERT.
        windows: Spread a longer text over several rows instead of cutting it off. Not for pairs.
        overlap: Tokens that neighbouring windows share.
        cut: Gets the number of cut texts by language, for who reports it; None: the log says how many.

    Returns:
        `input_ids`, `attention_mask`, `language`, and `row`, the number of the row it comes from; in their order.

    Raises:
        ValueError: If `max_length` or `overlap` leaves no room, or windows are wanted of pairs.
    """
    from datasets import Dataset

    pairs = "text_pair" in rows.column_names
    limit = max_length or tokenizer.model_max_length
    room = limit - tokenizer.num_special_tokens_to_add(pair=pairs)
    if room < 1 + pairs or (windows and not 0 <= overlap < room):
        raise ValueError(f"max_length is {limit} and overlap {overlap}: a row has room for {room} tokens; give more.")
    if windows and pairs:
        raise ValueError("windows are for single texts; pairs are cut at max_length, the longer text first.")
    languages = rows["language"][:]
    texts, others = rows["text"][:], rows["text_pair"][:] if pairs else None
    found: dict[str, list[Any]] = {"input_ids": [], "attention_mask": [], "row": []}
    longer = 0
    for start in range(0, len(texts), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        encoded = tokenizer(
            texts[part],
            others[part] if others is not None else None,
            truncation=True,
            max_length=limit,
            stride=overlap if windows else 0,
            return_overflowing_tokens=True,
            return_token_type_ids=False,
        )
        sources = encoded["overflow_to_sample_mapping"]
        long = [start + source for source, count in Counter(sources).items() if count > 1]
        longer += len(long)
        if cut is not None and not windows:
            cut.update(languages[row] for row in long)
        for index, source in enumerate(sources):
            if windows or index == 0 or source != sources[index - 1]:
                found["input_ids"].append(encoded["input_ids"][index])
                found["attention_mask"].append(encoded["attention_mask"][index])
                found["row"].append(start + source)
    if longer and (windows or cut is None):
        rest = f"were cut; {flag('windows')} or a larger {name_of('max_length')} reads the rest"
        what = "were read in windows" if windows else rest
        logger.warning("%d of %d texts are longer than %d tokens and %s", longer, len(texts), limit, what)
    found["language"] = [languages[row] for row in found["row"]]
    return Dataset.from_dict(found)
