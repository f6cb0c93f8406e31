"""Documents of chosen lengths from real texts: rows of parquet tables, joined and cut.

Lengths are the quantiles of a log-uniform distribution, so that a corpus has as many documents of 10 to 20 tokens as of
4,096 to 8,192, and is the same on every machine.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

_PUBLISHED_ONLY = "nc_"  # data sets that are for evaluation alone are left out
_ROWS = 20_000  # of a table; more tell no more about lengths


def real_texts(folder: Path, seed: int = 0) -> list[str]:
    """Read the text columns of all tables below a folder, in random order.

    Args:
        folder: Where the tables are.
        seed: Of the order.

    Returns:
        The texts.

    Raises:
        FileNotFoundError: If there is none.
    """
    texts: list[str] = []
    for path in sorted(folder.rglob("*.parquet")):
        if not path.parent.name.startswith(_PUBLISHED_ONLY) and "text" in pq.read_schema(path).names:
            table = next(pq.ParquetFile(path).iter_batches(batch_size=_ROWS, columns=["text"]), None)
            texts += [text for text in (table.column("text").to_pylist() if table else []) if text]
    if not texts:
        raise FileNotFoundError(f"{folder} holds no parquet table with a column text; name the folder of the data sets")
    random.Random(seed).shuffle(texts)
    return texts


def log_uniform(count: int, shortest: int, longest: int) -> list[int]:
    """Return `count` lengths between the two, equally far apart in ratio."""
    if count < 2 or not 2 < shortest < longest:
        raise ValueError(f"want two documents or more of 3 tokens or more, got {count} of {shortest} to {longest}")
    ratio = (longest / shortest) ** (1 / (count - 1))
    return [round(shortest * ratio**number) for number in range(count)]


def documents(texts: list[str], tokenizer: Any, lengths: list[int], seed: int = 0) -> list[str]:
    """Join texts and cut them so that each document has about the tokens that are asked for.

    Args:
        texts: Real texts; each is used once.
        tokenizer: Counts the tokens.
        lengths: Tokens of each document, <bos> and <eos> included.
        seed: Of the order.

    Returns:
        The documents, in random order.

    Raises:
        ValueError: If the texts do not suffice.
    """
    source = iter(texts)
    found = [_document(source, tokenizer, length - 2) for length in lengths]
    random.Random(seed).shuffle(found)
    return found


def _document(source: Iterator[str], tokenizer: Any, tokens: int) -> str:
    parts: list[str] = []
    have = 0
    while have < tokens:
        text = next(source, None)
        if text is None:
            raise ValueError("the texts do not suffice for so many documents; ask for fewer, or give more text")
        parts.append(text)
        have += len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) + 1
    whole = "\n".join(parts)
    ends = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    return whole[: ends[min(tokens, len(ends)) - 1][1]]
