"""The network in the form that graphs record well: a padded batch, fixed ranks, no value of a tensor looked at.

The network that trains removes padding and tiles its products, which is fast in torch and makes graphs whose shapes
depend on data. This form runs the very modules of it on (B, L, h). A layer with a window cuts queries into blocks as
long as its reach and reads three blocks of keys for each, so that its work grows with L and not with L^2, in a graph
as in torch: at 8,192 tokens the full scores of one such layer would take 3.2 GB. Rotary angles and both masks are
computed in the graph, once for all layers, so one graph serves every batch and length.

Trade-off: padding is computed and then ignored; callers sort by length. Texts shorter than a block pay for whole ones.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from ...modeling import MmBertModel
from ...modeling.configuration_mmbert import FULL
from ...modeling.layers import rotary_frequencies
from ...modeling.pooling import pool

_UNSEEN = -1e9  # finite, so that a query with nothing to see gives numbers; exp of it is 0 beside any real score


class TraceableEncoder(nn.Module):
    """`MmBertModel.forward` on a padded batch, for `torch.export`; shares the modules it is given.

    Args:
        encoder: The network, in evaluation mode.
    """

    def __init__(self, encoder: MmBertModel) -> None:
        super().__init__()
        config = encoder.config
        self.embeddings, self.layers, self.final_norm = encoder.embeddings, encoder.layers, encoder.final_norm
        self.heads, self.reach = config.num_attention_heads, config.local_attention // 2
        self.kinds: list[str] = list(config.layer_types or [])
        for kind in sorted(set(self.kinds)):
            frequencies, scale = rotary_frequencies(config, kind, torch.device("cpu"))
            self.register_buffer(f"{kind}_frequencies", frequencies, persistent=False)
            setattr(self, f"{kind}_scale", scale)
        near = (torch.arange(self.reach)[:, None] + self.reach - torch.arange(3 * self.reach)).abs() <= self.reach
        self.register_buffer("far", torch.where(near, 0.0, _UNSEEN), persistent=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode ids (B, L) under a mask (B, L), zero at padding; return (B, L, h), zero at padding."""
        hidden: Tensor = self.embeddings(input_ids)
        unseen = (1.0 - attention_mask.to(hidden.dtype)) * _UNSEEN
        rotations = {kind: self._rotation(kind, input_ids) for kind in sorted(set(self.kinds))}
        whole = unseen[:, None, None, :]
        near = self._near(unseen) if len(set(self.kinds) - {FULL}) else None
        for kind, layer in zip(self.kinds, self.layers, strict=True):
            hidden = self._layer(layer, hidden, rotations[kind], whole if kind == FULL else None, near)
        # Zero at padding, as `MmBertModel` gives it; poolings count on that.
        return cast(Tensor, self.final_norm(hidden) * attention_mask.to(hidden.dtype)[..., None])

    def _rotation(self, kind: str, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines and sines (L, 1, D) of a kind of layer; the two halves of the channels turn alike."""
        frequencies, scale = getattr(self, f"{kind}_frequencies"), getattr(self, f"{kind}_scale")
        positions = torch.arange(input_ids.shape[1], dtype=torch.float32)
        angles = positions[:, None] * torch.cat((frequencies, frequencies))
        return (angles.cos() * scale)[:, None], (angles.sin() * scale)[:, None]

    def _near(self, unseen: Tensor) -> Tensor:
        """Return (B * blocks, 1, reach, 3 * reach): 0 where a query of a block sees a key, else far below."""
        length, reach = unseen.shape[1], self.reach
        tail = self._tail(length)
        keys = pad(unseen, (reach, tail + reach), value=_UNSEEN).unflatten(1, (-1, reach))
        stretch = torch.cat((keys[:, :-2], keys[:, 1:-1], keys[:, 2:]), 2).flatten(0, 1)
        return torch.minimum(stretch[:, None, None, :], cast(Tensor, self.far))

    def _tail(self, length: int) -> int:
        """Return how many columns a length lacks to whole blocks, in operations that every converter knows."""
        return (length + self.reach - 1) // self.reach * self.reach - length

    def _layer(
        self, layer: Any, hidden: Tensor, rotation: tuple[Tensor, Tensor], whole: Tensor | None, near: Tensor | None
    ) -> Tensor:
        qkv = layer.attn.Wqkv(layer.attn_norm(hidden)).unflatten(-1, (3, self.heads, -1))
        query, key, value = qkv.unbind(2)
        query, key = _turned(query, *rotation), _turned(key, *rotation)
        if whole is not None:
            mixed = _attend(query, key, value, whole)
        else:
            assert near is not None
            mixed = self._attend_near(query, key, value, near)
        hidden = hidden + layer.attn.Wo(mixed.flatten(2))
        inner, gate = layer.mlp.Wi(layer.mlp_norm(hidden)).chunk(2, dim=-1)
        written: Tensor = layer.mlp.Wo(layer.mlp.act(inner) * gate)
        return hidden + written

    def _attend_near(self, query: Tensor, key: Tensor, value: Tensor, near: Tensor) -> Tensor:
        """Attend (B, L, H, D) to a window, in blocks."""
        batch, length = query.shape[0], query.shape[1]
        tail, reach = self._tail(length), self.reach
        blocks = pad(query, (0, 0, 0, 0, 0, tail)).unflatten(1, (-1, reach)).flatten(0, 1)
        keys, values = (_stretches(tensor, reach, tail) for tensor in (key, value))
        mixed = _attend(blocks, keys, values, near)
        return mixed.reshape(batch, length + tail, *mixed.shape[2:])[:, :length]


def _stretches(tensor: Tensor, reach: int, tail: int) -> Tensor:
    """Cut (B, L, H, D) into what each block of queries may see: (B * blocks, 3 * reach, H, D)."""
    cut = pad(tensor, (0, 0, 0, 0, reach, tail + reach)).unflatten(1, (-1, reach))
    return torch.cat((cut[:, :-2], cut[:, 1:-1], cut[:, 2:]), 2).flatten(0, 1)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attend (N, Q, H, D) to (N, K, H, D) under a bias (N, 1, Q or 1, K)."""
    q, k, v = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    return scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2)


def _turned(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = heads.chunk(2, dim=-1)
    return heads * cosine + torch.cat((-second, first), -1) * sine


class TraceableModel(nn.Module):
    """Encoder and head of a task, with the outputs that an exported graph has.

    Args:
        model: Any `MmBert...` network that `export.network` loads.
        task: Its task.
        embedding: How an embedding is made, for that task.
        tied: Whether the decoder of a masked LM may be the embedding table; quantisers want a matrix of its own.
    """

    def __init__(
        self, model: Any, task: str, embedding: Callable[[Tensor, Tensor], Tensor] | None = None, *, tied: bool = True
    ) -> None:
        super().__init__()
        self.encoder = TraceableEncoder(model if isinstance(model, MmBertModel) else model.model)
        self.task, self.embedding, self.tied = task, embedding, tied
        self.pooling = model.config.classifier_pooling
        self.head = getattr(model, "head", None)
        self.last = getattr(model, "decoder", getattr(model, "classifier", None))

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs, that of the task first."""
        if self.task == "embedding":
            return ["sentence_embedding", "last_hidden_state"]
        return ["last_hidden_state" if self.task == "feature-extraction" else "logits"]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Run (B, L) ids under a mask; see `outputs`."""
        hidden = self.encoder(input_ids, attention_mask)
        if self.task == "embedding":
            assert self.embedding is not None
            return self.embedding(hidden, attention_mask), hidden
        if self.head is None or self.last is None:
            return cast(Tensor, hidden)
        if self.task == "text-classification":
            hidden = pool(hidden, self.pooling, attention_mask)
        read = self.head(hidden)
        if self.task == "fill-mask" and self.tied:
            # As one matrix, this becomes a Gemm that reads the table as it lies; else a transposed copy is stored.
            return cast(Tensor, self.last(read.flatten(0, 1)).unflatten(0, read.shape[:2]))
        return cast(Tensor, self.last(read))


def record(model: TraceableModel) -> torch.export.ExportedProgram:
    """Record the network for every batch and length.

    Args:
        model: In evaluation mode.

    Returns:
        The recorded program.
    """
    # Longer than two blocks and no multiple of one, so that neither counts as a constant.
    ids = torch.full((2, 3 * model.encoder.reach + 5), 5)
    any_size = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with torch.no_grad():
        return torch.export.export(
            model, (ids, torch.ones_like(ids)), dynamic_shapes=(any_size, any_size), strict=False
        )


class RowQuantisedEmbedding(nn.Module):
    """An embedding table in int8 with one scale a row: a quarter of the size, read row by row.

    One scale for the whole table, which quantisers give, would round small rows to nothing; the norm behind the table
    makes them as loud as any.

    Args:
        weight: (V, h) the table.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        scale = weight.detach().abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
        self.register_buffer("scale", scale)
        self.register_buffer("rows", (weight.detach() / scale).round().to(torch.int8))

    def forward(self, ids: Tensor) -> Tensor:
        """Embed ids."""
        rows, scale = cast(Tensor, self.rows), cast(Tensor, self.scale)
        return rows[ids].to(torch.float32) * scale[ids]
