"""The best table of token vectors, in closed form: ridge regression from bags of tokens to a teacher's vectors.

    minimise  sum over texts |mean over its tokens of W[token] - target|^2  +  ridge |W|^2

X is the sparse matrix (texts, tokens) of each token's share of its text, so the normal equations are
(X'X + ridge) W = X'Y. They are solved by conjugate gradients on all columns of Y at once, preconditioned by the
diagonal, with products by X and X' only: neither X'X nor anything of tokens x tokens is ever made.

The mean of the targets is taken off before and added to every row of W after: the shares of a text sum to 1, so it is
an intercept that no penalty pulls at.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_log = logging.getLogger(__name__)
_PART = 8192  # texts that are tokenized together
_BLOCK = 65_536  # texts whose vectors are held together


def bag_of_tokens(tokenizer: Any, texts: Sequence[str], vocabulary: int, max_length: int | None = None) -> Any:
    """Count each text's tokens, without the special ones, as shares of the text."""
    from scipy.sparse import csr_matrix

    fast = getattr(tokenizer, "backend_tokenizer", tokenizer)
    ids: list[npt.NDArray[np.int32]] = []
    lengths: list[int] = []
    for first in range(0, len(texts), _PART):
        for found in fast.encode_batch_fast(list(texts[first : first + _PART]), add_special_tokens=False):
            ids.append(np.asarray(found.ids[:max_length], dtype=np.int32))
            lengths.append(len(ids[-1]))
    sizes = np.asarray(lengths, dtype=np.int64)
    shares = np.repeat(1.0 / np.maximum(sizes, 1), sizes).astype(np.float32)
    columns = np.concatenate(ids) if ids else np.zeros(0, np.int32)
    bags = csr_matrix((shares, columns, np.concatenate([[0], np.cumsum(sizes)])), shape=(len(texts), vocabulary))
    bags.sum_duplicates()
    return bags


def fit_tokens(
    bags: Any,
    targets: Any,
    *,
    ridge: float = 1.0,
    steps: int = 15,
    tolerance: float = 1e-3,
    weights: npt.NDArray[np.floating[Any]] | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Solve for the table of token vectors."""
    if bags.shape[0] != len(targets):
        raise ValueError(f"{bags.shape[0]} bags have {len(targets)} targets; give one each")
    if not ridge > 0 or steps < 1:
        raise ValueError(f"ridge must be above 0 and steps at least 1, got {ridge} and {steps}")
    scale = np.ones(len(targets), np.float32) if weights is None else np.asarray(weights, np.float32)
    # parts of the texts, so that no product holds all texts x dimensions
    parts = [(bags[n : n + _BLOCK], bags[n : n + _BLOCK].T.tocsr(), n) for n in range(0, bags.shape[0], _BLOCK)]

    total = sum(
        (scale[n : n + _BLOCK, None] * targets[n : n + _BLOCK]).sum(axis=0, dtype=np.float64) for *_, n in parts
    )
    mean = (total / scale.sum(dtype=np.float64)).astype(np.float32)

    def through(table: Any) -> Any:
        return sum(back @ (scale[n : n + _BLOCK, None] * (part @ table)) for part, back, n in parts)

    aimed = (scale[n : n + _BLOCK, None] * (np.asarray(targets[n : n + _BLOCK], np.float32) - mean) for *_, n in parts)
    right = sum(back @ wanted for (_, back, _), wanted in zip(parts, aimed, strict=True))
    squares = sum(back.power(2) @ scale[n : n + _BLOCK] for _, back, n in parts)
    inverse = (1 / (squares + ridge)).astype(np.float32)[:, None]

    table = np.zeros_like(right)
    residual, aim = right.copy(), tolerance**2 * float(np.vdot(right, right))
    conditioned = inverse * residual
    direction = conditioned.copy()
    old = np.einsum("td,td->d", residual, conditioned)
    for step in range(steps):
        product = through(direction) + ridge * direction
        length = old / np.maximum(np.einsum("td,td->d", direction, product), 1e-30)
        table += length * direction
        residual -= length * product
        left = float(np.vdot(residual, residual))
        _log.debug("ridge step %d: residual %.2e", step + 1, (left / max(aim, 1e-30)) ** 0.5 * tolerance)
        if left <= aim:
            break
        conditioned = inverse * residual
        new = np.einsum("td,td->d", residual, conditioned)
        direction = conditioned + (new / np.maximum(old, 1e-30)) * direction
        old = new
    return table, mean
