"""What a table of token vectors is good for: an embedder of its own, and the start of a student.

The student's network begins as the table does: the best `hidden - 2` directions of it become its embedding table, a
linear layer behind the pooling leads back to the teacher's dimensions, and what its layers add begins at zero. Two
things stand between, layer norms and special tokens, and neither may change what a token says:

- A layer norm takes off the mean of a token's values and divides by their length. So the table is written in an
  orthonormal basis that is orthogonal to the vector of ones, and one direction of that basis, which nothing else uses,
  fills every token up to the same length. The norm is then a multiplication by one number, and the linear layer
  ignores the filler.
- Special tokens are given nothing but the filler: they shorten the mean of a text, and its direction stays.

So the student starts with the vectors of the table, to the last directions that `hidden` has no room for.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

_WIDEST = 99.9  # percentile of token lengths that fits below the filler; longer ones are shortened to it


def static_embedder(tokenizer: Any, table: npt.NDArray[np.float32], mean: npt.NDArray[np.float32] | None = None) -> Any:
    """Make a SentenceTransformer that looks its tokens up: no network, thousands of texts a second on one thread."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    rows = table if mean is None else table + mean
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, rows.astype(np.float32)), Normalize()], device="cpu")


def start_from_tokens(
    embedder: Any,
    table: npt.NDArray[np.float32],
    mean: npt.NDArray[np.float32],
    counts: npt.NDArray[np.floating[Any]],
) -> float:
    """Let a student begin as the table of token vectors does; its own embeddings and layers' outputs are replaced."""
    network = embedder[0].model
    weight = network.get_input_embeddings().weight
    hidden = weight.shape[1]
    if embedder[1].pooling_mode != "mean":
        raise ValueError(f"the start from tokens needs mean pooling, the student has {embedder[1].pooling_mode!r}")
    if weight.shape[0] < len(table):
        raise ValueError(f"the student has {weight.shape[0]} tokens, the table {len(table)}")
    rows = (table + mean).astype(np.float64)
    share = np.asarray(counts, np.float64) / max(float(np.sum(counts)), 1e-12)
    spread, directions = np.linalg.eigh((rows * share[:, None]).T @ rows)
    rank = min(hidden - 2, rows.shape[1])
    kept = directions[:, ::-1][:, :rank]
    signal = rows @ kept
    lengths = np.linalg.norm(signal, axis=1)
    radius = float(np.percentile(lengths[share > 0] if (share > 0).any() else lengths, _WIDEST)) or 1.0
    signal *= np.minimum(1.0, radius / np.maximum(lengths, 1e-12))[:, None]
    signal[list(embedder.tokenizer.all_special_ids)] = 0.0
    filler = np.sqrt(np.maximum(radius**2 - (signal**2).sum(axis=1), 0.0))
    basis = _basis_without_ones(hidden)
    values = signal @ basis[:, :rank].T + filler[:, None] * basis[:, rank]
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("attn.Wo.weight", "mlp.Wo.weight")):
                parameter.zero_()
            elif "norm" in name and name.endswith("weight"):
                parameter.fill_(1.0)
        weight.zero_()
        weight[:, :] = torch.from_numpy(basis[:, rank] * radius)
        weight[: len(table)] = torch.from_numpy(values).to(weight)
    # behind the norms a token has the length of sqrt(hidden)
    head = torch.from_numpy(kept @ basis[:, :rank].T * (radius / hidden**0.5))
    if type(embedder[len(embedder) - 1]).__name__ == "Normalize":
        # The length of a vector does not matter then. Adam moves a weight by the learning rate whatever its size, and
        # weights as small as these (0.006 at width 384) would be other ones within a few steps.
        head *= hidden**-0.5 / head.square().mean().sqrt()
    put_head(embedder, rows.shape[1], head)
    return float(spread[::-1][:rank].sum() / max(spread.sum(), 1e-30))


def put_head(embedder: Any, width: int, weight: torch.Tensor | None = None) -> None:
    """Put a linear layer before the normalisation, or new weights into the one that is there."""
    from sentence_transformers.sentence_transformer.modules import Dense

    for number in reversed([n for n, module in enumerate(embedder) if isinstance(module, Dense)]):
        del embedder[number]
    last = len(embedder) - 1
    tail = embedder[last] if type(embedder[last]).__name__ == "Normalize" else None
    if tail is not None:
        del embedder[last]
    device = next(embedder.parameters()).device
    dense = Dense(embedder[1].get_embedding_dimension(), width, bias=False, activation_function=torch.nn.Identity())
    if weight is not None:
        dense.linear.weight.data.copy_(weight)
    embedder.append(dense.to(device))
    if tail is not None:
        embedder.append(tail)


def _basis_without_ones(hidden: int) -> npt.NDArray[np.float64]:
    """Return hidden - 1 orthonormal columns that are orthogonal to the vector of ones."""
    draw = np.random.default_rng(0).standard_normal((hidden, hidden))
    draw[:, 0] = 1.0
    found: npt.NDArray[np.float64] = np.linalg.qr(draw)[0][:, 1:]
    return found
