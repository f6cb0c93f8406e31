"""The network in the form that graphs record well: a padded batch, fixed ranks, no value of a tensor looked at.

The network that trains removes padding and tiles its products, which is fast in torch and makes graphs whose shapes
depend on data. This form runs the very modules of it on (B, L, h). A layer with a window cuts queries into blocks of
half its window and reads three blocks of keys for each, so that its work grows with L and not with L^2: at 8,192
tokens the full scores of one such layer would take 3.2 GB. Rotary angles and both masks are computed in the graph,
once for all layers, so one graph serves every batch and length.

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
    """`MmBertModel.forward` on a padded batch, for `torch.export`; shares the modules it is given."""

    def __init__(self, encoder: MmBertModel) -> None:
        super().__init__()
        config = encoder.config
        self.embeddings, self.layers, self.final_norm = encoder.embeddings, encoder.layers, encoder.final_norm
        self.heads, self.half_window = config.num_attention_heads, config.local_attention // 2
        self.kinds: list[str] = list(config.layer_types or [])
        for kind in sorted(set(self.kinds)):
            frequencies, scale = rotary_frequencies(config, kind, torch.device("cpu"))
            self.register_buffer(f"{kind}_frequencies", frequencies, persistent=False)
            setattr(self, f"{kind}_scale", scale)
        rows, columns = torch.arange(self.half_window)[:, None], torch.arange(3 * self.half_window)
        near = (rows + self.half_window - columns).abs() <= self.half_window
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
        """Return (B * blocks, 1, half, 3 * half): 0 where a query of a block sees a key, else far below."""
        length, half = unseen.shape[1], self.half_window
        tail = self._tail(length)
        keys = pad(unseen, (half, tail + half), value=_UNSEEN).unflatten(1, (-1, half))
        stretch = torch.cat((keys[:, :-2], keys[:, 1:-1], keys[:, 2:]), 2).flatten(0, 1)
        return torch.minimum(stretch[:, None, None, :], cast(Tensor, self.far))

    def _tail(self, length: int) -> int:
        """Return how many columns a length lacks to whole blocks, in operations that every converter knows."""
        half: int = self.half_window
        return (length + half - 1) // half * half - length

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
        tail, half = self._tail(length), self.half_window
        blocks = pad(query, (0, 0, 0, 0, 0, tail)).unflatten(1, (-1, half)).flatten(0, 1)
        keys, values = (_stretches(tensor, half, tail) for tensor in (key, value))
        mixed = _attend(blocks, keys, values, near)
        return mixed.reshape(batch, length + tail, *mixed.shape[2:])[:, :length]


def _stretches(tensor: Tensor, half: int, tail: int) -> Tensor:
    """Cut (B, L, H, D) into what each block of queries may see: (B * blocks, 3 * half, H, D)."""
    cut = pad(tensor, (0, 0, 0, 0, half, tail + half)).unflatten(1, (-1, half))
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
        model: Any `MmBert...` network that `read_plan` loads.
        task: Its task.
        last: What comes after the encoder or its head, for the tasks of embedders: takes states and mask.
        tied: Whether the decoder of a masked LM may be the embedding table; quantisers want a matrix of its own.
    """

    def __init__(
        self, model: Any, task: str, last: Callable[[Tensor, Tensor], Tensor] | None = None, *, tied: bool = True
    ) -> None:
        super().__init__()
        self.encoder = TraceableEncoder(model if isinstance(model, MmBertModel) else model.model)
        self.task, self.embed, self.tied = task, last, tied
        if not isinstance(last, nn.Module):
            self.layers = getattr(last, "layers", None)  # so that the weights are this module's
        self.pooling = model.config.classifier_pooling
        self.head = getattr(model, "head", None)
        names = ("decoder", "classifier", "qa_outputs")
        self.last = next((getattr(model, name) for name in names if hasattr(model, name)), None)

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs: vectors of tokens before a pooled one, where readers that pool look for them."""
        if self.task == "embedding":
            return ["last_hidden_state", "sentence_embedding"]
        if self.task == "question-answering":
            return ["start_logits", "end_logits"]
        named = {"feature-extraction": "last_hidden_state", "token-embedding": "token_embeddings"}
        return [named.get(self.task, "sentence_embedding" if self.task == "sparse-embedding" else "logits")]

    @property
    def output(self) -> str:
        """Name of the output that the task is about; both of them for question answering."""
        return " ".join(self.outputs) if self.task == "question-answering" else self.outputs[-1]

    def result(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Give what `output` names; the scores of answers as one tensor (B, L, 2)."""
        found = self(input_ids, attention_mask)
        if not isinstance(found, tuple):
            return cast(Tensor, found)
        return torch.stack(found, -1) if self.task == "question-answering" else cast(Tensor, found[-1])

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Run (B, L) ids under a mask; see `outputs`."""
        hidden = self.encoder(input_ids, attention_mask)
        if self.embed is not None:
            vectors = self.embed(hidden, attention_mask)
            return (hidden, vectors) if self.task == "embedding" else vectors
        if self.head is None or self.last is None:
            return cast(Tensor, hidden)
        if self.task == "text-classification":
            hidden = pool(hidden, self.pooling, attention_mask)
        read = self.head(hidden)
        if self.task == "question-answering":
            scores = self.last(read)
            return scores[..., 0], scores[..., 1]
        if self.task in ("fill-mask", "sparse-embedding") and self.tied:
            # As one matrix, this becomes a Gemm that reads the table as it lies; else a transposed copy is stored.
            logits = self.last(read.flatten(0, 1)).unflatten(0, read.shape[:2])
        else:
            logits = self.last(read)
        if self.task == "sparse-embedding":  # SPLADE: the largest log(1 + relu) of every word over the real tokens
            return cast(Tensor, (logits.relu().log1p() * attention_mask.to(logits.dtype)[..., None]).amax(1))
        return cast(Tensor, logits)


def record(model: TraceableModel) -> torch.export.ExportedProgram:
    """Record a network in evaluation mode for every batch and length."""
    # Longer than two blocks and no multiple of one, so that neither counts as a constant.
    ids = torch.full((2, 3 * model.encoder.half_window + 5), 5)
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
