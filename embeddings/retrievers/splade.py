"""SPLADE: an encoder with its masked-LM head as sentence-transformers' SparseEncoder, at 256,000 words.

Letters in shapes: T tokens, B texts, h channels, V words.

SPLADE scores each word by the token of the text that calls for it most. The stock modules hand T x V logits from the
network to the pooling, of which B x V maxima are kept: 8 texts of 512 tokens over 256,000 words take 4.2 GB in fp32,
their maxima 8 MB. Here the network hands on its token vectors, and the pooling computes the maxima chunk by chunk, with
the token that gave each. Same scores, same gradients, same files: what is saved names the stock modules.

The gradient of a maximum goes to that one token, so backward computes no logits again: it is two products with a
sparse T x V matrix that has at most B x V entries, and after some training, when nearly all scores are zero, a few
hundred per text.

Trade-off: which token won costs 4 bytes per word and text beside the maxima. Where two tokens tie, one of them gets the
gradient, as in `torch.max`. Import this file only behind `load_sparse_encoder`: it needs sentence-transformers.
"""

from typing import Any

import torch
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling
from torch import Tensor
from torch.nn import functional

CHUNK_BYTES = 256 * 2**20  # logits at a time; as in modeling/linear_cross_entropy.py, which measures it
STOCK_MODULES = {
    "TokenVectors": "sentence_transformers.base.modules.transformer.Transformer",
    "StreamedSpladePooling": "sentence_transformers.sparse_encoder.modules.splade_pooling.SpladePooling",
}


class TokenVectors(Transformer):
    """sentence-transformers' fill-mask Transformer that stops before the head."""

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Compute `token_embeddings` (B, L, h) of the encoder below the head."""
        outputs = self.model.model(
            input_ids=features["input_ids"], attention_mask=features["attention_mask"], return_dict=True
        )
        features["token_embeddings"] = outputs.last_hidden_state
        return features


class StreamedSpladePooling(SpladePooling):
    """SpladePooling with strategy `max` that computes logits `chunk_size` tokens at a time (None: 256 MB of them)."""

    def __init__(self, network: Any, activation_function: Any = "relu", chunk_size: int | None = None) -> None:
        words = network.config.vocab_size
        super().__init__("max", activation_function, embedding_dimension=words, chunk_size=chunk_size)
        # in a list, so that the network stays the child of its own module alone
        self._network = [network]

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Pool `token_embeddings` (B, L, h) into scores of words (B, V)."""
        network, mask = self._network[0], features["attention_mask"].bool()
        hidden: Tensor = network.head(features["token_embeddings"][mask])
        lengths = mask.sum(1).tolist()
        maxima = max_linear(hidden, network.decoder.weight, network.decoder.bias, lengths, self.chunk_size)
        features["sentence_embedding"] = splade_scores(maxima, self.activation_function)
        return features


def stream_vocabulary(encoder: Any) -> None:
    """Put the streamed modules under a SparseEncoder of a fill-mask Transformer with SpladePooling."""
    transformer, pooling = encoder[0], encoder[1]
    if pooling.pooling_strategy != "max":
        raise ValueError(
            f"SPLADE by {pooling.pooling_strategy!r} needs all logits at once; "
            "load it with sentence_transformers.SparseEncoder, or train one with max"
        )
    transformer.__class__ = TokenVectors
    chunk_size = pooling.chunk_size if pooling.chunk_size and pooling.chunk_size > 0 else None
    encoder[1] = StreamedSpladePooling(transformer.model, pooling.activation_function, chunk_size)


def max_linear(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, lengths: list[int], chunk_size: int | None = None
) -> Tensor:
    """Return `linear(hidden, weight, bias).clamp(min=0)`, its maximum over the tokens of each text.

    Under autocast it multiplies in autocast's dtype, as `nn.Linear` does. It has first derivatives only.

    Args:
        hidden: (T, h) token vectors, text after text, without padding.
        weight: (V, h).
        bias: (V,), or None.
        lengths: Tokens of each text; they add up to T.
        chunk_size: Tokens whose logits stand in memory together; None for as many as `CHUNK_BYTES` holds.

    Returns:
        (B, V) maxima, 0 where no token is above 0, in the dtype of the product.

    Raises:
        ValueError: If the lengths do not add up to the tokens, or the chunk size is not positive.
    """
    if sum(lengths) != len(hidden) or min(lengths, default=1) < 0:
        raise ValueError(f"lengths add up to {sum(lengths)}, there are {len(hidden)} tokens; give each text's own")
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size is a number of tokens, at least 1, got {chunk_size}; None chooses by memory")
    dtype = hidden.dtype
    if torch.is_autocast_enabled(hidden.device.type) and dtype != torch.float64:
        dtype = torch.get_autocast_dtype(hidden.device.type)
    rows = chunk_size or max(1, CHUNK_BYTES // (len(weight) * dtype.itemsize))
    maxima: Tensor = _MaxLinear.apply(hidden, weight, bias, lengths, rows, dtype)  # type: ignore[no-untyped-call]
    return maxima


class _MaxLinear(torch.autograd.Function):
    """Maxima and winners in forward; in backward two sparse products."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, lengths: list[int], rows: int, dtype: torch.dtype
    ) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            inputs = (hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype))
            keep = any(ctx.needs_input_grad)
            maxima, winners = _maxima(*inputs, lengths, rows, keep)
        ctx.save_for_backward(hidden, weight, bias, maxima, winners)
        return maxima

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        hidden, weight, bias, maxima, winners = ctx.saved_tensors
        texts, words = ((maxima > 0) & (upstream != 0)).nonzero(as_tuple=True)
        wide = torch.promote_types(hidden.dtype, torch.float32)
        tokens, values = winners[texts, words].long(), upstream[texts, words].to(wide)
        places = torch.stack([tokens, words])
        shape = (len(hidden), len(weight))
        of_hidden = of_weight = of_bias = None
        with torch.autocast(hidden.device.type, enabled=False):
            sparse = torch.sparse_coo_tensor(places, values, shape, check_invariants=False)
            if ctx.needs_input_grad[0]:
                of_hidden = torch.sparse.mm(sparse, weight.to(wide)).to(hidden.dtype)
            if ctx.needs_input_grad[1]:
                of_weight = torch.sparse.mm(sparse.t(), hidden.to(wide)).to(weight.dtype)
        if bias is not None and ctx.needs_input_grad[2]:
            of_bias = values.new_zeros(len(bias)).index_add_(0, words, values).to(bias.dtype)
        return of_hidden, of_weight, of_bias, None, None, None


def _maxima(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, lengths: list[int], rows: int, keep: bool
) -> tuple[Tensor, Tensor | None]:
    """Return (B, V) maxima and, if they are to be kept, the tokens that gave them, as rows of `hidden`."""
    maxima = hidden.new_zeros(len(lengths), len(weight))
    winners = torch.zeros_like(maxima, dtype=torch.int32) if keep else None
    space = hidden.new_empty(min(rows, len(hidden)), len(weight))
    for chunk in _chunks(lengths, rows):
        first, last = chunk[0][1], chunk[-1][2]
        logits = space[: last - first]
        if bias is None:
            torch.mm(hidden[first:last], weight.t(), out=logits)
        else:
            torch.addmm(bias, hidden[first:last], weight.t(), out=logits)
        for text, start, end in chunk:
            highest, token = logits[start - first : end - first].max(0)
            better = highest > maxima[text]
            maxima[text] = torch.where(better, highest, maxima[text])
            if winners is not None:
                winners[text] = torch.where(better, (token + start).int(), winners[text])
    return maxima, winners


def _chunks(lengths: list[int], rows: int) -> list[list[tuple[int, int, int]]]:
    """Cut the tokens into chunks of `rows`, and those into (text, first token, last + 1)."""
    chunks: list[list[tuple[int, int, int]]] = []
    place, room = 0, 0
    for text, length in enumerate(lengths):
        end = place + length
        while place < end:
            if room == 0:
                chunks.append([])
                room = rows
            taken = min(room, end - place)
            chunks[-1].append((text, place, place + taken))
            place, room = place + taken, room - taken
    return chunks


def splade_scores(maxima: Tensor, activation: str = "relu") -> Tensor:
    """Scores (B, V) of maxima: `relu` is log(1 + x), `log1p_relu` log of that again; both rise, so may come last."""
    scores = functional.relu(maxima).log1p()
    return scores.log1p() if activation == "log1p_relu" else scores
