"""The mmBERT encoder: ModernBERT's tensors and numbers on a stream without padding.

    input_ids (B, L) --unpad--> (T,) --embeddings--> (T, h) --layers--> (T, h) --norm, pad--> (B, L, h)

Padding leaves once and returns once; input that is packed already (`cu_seq_lens_q`) skips both. Stock transformers 5
computes every layer on padding and the full L x L in its sliding layers.

Trade-off: what stock computes at padding is arbitrary and nobody should read it; here it is zero, at the price of a
copy at either end.
"""

from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from .attention_backends import attention_backend, is_flash
from .configuration_mmbert import MmBertConfig
from .layers import MmBertEmbeddings, MmBertEncoderLayer, layer_norm, rotations
from .packing import TokenStream, stream_of_packed, stream_of_padded, tracing
from .plain_linear import is_watched
from .pretrained import MmBertPreTrainedModel, returns_output
from .scratch import Scratch, may_reuse


class MmBertModel(MmBertPreTrainedModel):
    """The encoder: token ids in, one vector a token out.

    Args:
        config: Its shape and constants.
    """

    # An encoder read from a checkpoint with a head leaves the head where it is.
    _keys_to_ignore_on_load_unexpected = [r"^(head|decoder|classifier)\."]  # noqa: RUF012

    def __init__(self, config: MmBertConfig) -> None:
        super().__init__(config)
        self.embeddings = MmBertEmbeddings(config)
        self.layers = nn.ModuleList(MmBertEncoderLayer(config, index) for index in range(config.num_hidden_layers))
        self.final_norm = layer_norm(config)
        self.gradient_checkpointing = False
        self.post_init()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the table of token embeddings."""
        return self.embeddings.tok_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the table of token embeddings."""
        self.embeddings.tok_embeddings = cast(nn.Embedding, value)

    @classmethod
    def from_modernbert(cls, model: nn.Module) -> Self:
        """Run the weights of a loaded stock ModernBERT on this network, without copying one.

        One line gives the speed to a SentenceTransformer or a pipeline that is there already:

            embedder[0].model = MmBertModel.from_modernbert(embedder[0].model)
            pipe.model.model = MmBertModel.from_modernbert(pipe.model.model)  # fill-mask, classification, tagging
            pipe.model = MmBertModel.from_modernbert(pipe.model)  # feature-extraction

        The numbers at real tokens stay the same; at padding they are zero, where stock's are arbitrary.

        Args:
            model: A `transformers.ModernBertModel`, or a `ModernBertFor...`, whose encoder is taken.

        Returns:
            An encoder that holds the very modules of `model`, in its dtype, device and mode: training one trains both.
            It saves as a checkpoint of type `mmbert`; `mmbert.export_modernbert` turns that back.

        Raises:
            ValueError: If `model` is not stock ModernBERT, is spread over devices, or was changed beyond its layers.
        """
        from .sharing import share_modernbert

        return share_modernbert(model, cls)

    @returns_output
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cu_seq_lens_q: Tensor | None = None,
        cu_seq_lens_k: Tensor | None = None,
        max_length_q: int | None = None,
        max_length_k: int | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutput:
        """Encode a padded batch (B, L), or sequences packed into one row (1, T).

        Args:
            input_ids: (B, L) token ids.
            attention_mask: (B, L), zero at padding: right, left or in between. None means no padding.
            position_ids: (B, L) or (1, L) rotary positions; columns of the batch, or places in the packed sequence,
                if None. They turn queries and keys; which tokens see each other they do not change.
            inputs_embeds: (B, L, hidden_size) in place of `input_ids`, before normalisation.
            cu_seq_lens_q: (N + 1,) for packed input: 0, the end of the first sequence, ..., T.
            cu_seq_lens_k: The same as `cu_seq_lens_q`, or None.
            max_length_q: Tokens in the longest packed sequence; counted if None.
            max_length_k: The same as `max_length_q`, or None.
            output_hidden_states: Also return the first layer's input and every layer's output, the last normalised.
            output_attentions: Also return the weights (N, H, width, width) of each layer; needs the eager backend.
            **kwargs: Ignored, as in stock ModernBERT: tokenizers and collators add `token_type_ids`, `seq_idx`.

        Returns:
            `last_hidden_state` (B, L, hidden_size), zero at padding, or (1, T, hidden_size) for packed input.

        Raises:
            ValueError: If an argument is missing, contradicts another or lies outside the model's limits.
        """
        given = inputs_embeds if input_ids is None else input_ids
        if given is None or (input_ids is not None and inputs_embeds is not None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        output_hidden_states = _chosen(output_hidden_states, self.config.output_hidden_states)
        output_attentions = _chosen(output_attentions, self.config.output_attentions)
        if output_attentions and self.config._attn_implementation != "eager":
            raise ValueError(
                f"output_attentions needs attn_implementation='eager', the model has "
                f"{self.config._attn_implementation!r}; call model.set_attn_implementation('eager')"
            )
        _refuse_unequal_keys(cu_seq_lens_q, cu_seq_lens_k, max_length_q, max_length_k)
        stream = self._stream(given, attention_mask, cu_seq_lens_q, max_length_q)
        hidden = self._embed(stream, input_ids, inputs_embeds)
        positions = _positions(stream, position_ids, given.shape[:2])
        inputs, hidden, weights = self._encode(stream, hidden, positions, output_hidden_states)
        last = stream.restore(hidden).view(*given.shape[:2], -1)
        return BaseModelOutput(
            last_hidden_state=last,
            hidden_states=(*(stream.restore(state).view_as(last) for state in inputs), last) if inputs else None,
            attentions=tuple(weight for weight in weights if weight is not None) if output_attentions else None,
        )

    def _stream(
        self, given: Tensor, attention_mask: Tensor | None, cu_seq_lens: Tensor | None, max_length: int | None
    ) -> TokenStream:
        """Find the real tokens and their sequences, and refuse sequences longer than the model was made for."""
        if given.dim() < 2:
            raise ValueError(f"input must be (batch, length), got shape {tuple(given.shape)}; add a batch dimension")
        batch, length = given.shape[:2]
        if cu_seq_lens is None:
            stream = stream_of_padded(attention_mask, batch, length, given.device)
        elif attention_mask is not None or batch != 1:
            raise ValueError(
                f"packed input is one row without attention_mask, got {batch} rows"
                f"{'' if attention_mask is None else ' and a mask'}; give either cu_seq_lens_q or attention_mask"
            )
        else:
            by_length = not is_flash(self.config._attn_implementation)
            longest = None if max_length is None else int(max_length)
            stream = stream_of_packed(cu_seq_lens, longest, length, given.device, by_length=by_length)
        limit = self.config.max_position_embeddings
        if not tracing() and stream.max_length > limit:
            raise ValueError(
                f"a sequence has {stream.max_length} tokens, the model reads at most {limit} "
                "(max_position_embeddings); truncate or split it"
            )
        return stream

    def _embed(self, stream: TokenStream, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        if input_ids is None:
            flat = None if inputs_embeds is None else stream.take(inputs_embeds.flatten(0, 1))
            hidden: Tensor = self.embeddings(inputs_embeds=flat)
        else:
            tokens = stream.take(input_ids.flatten())
            refuse_ids_beyond("token id", tokens, self.embeddings.tok_embeddings.weight.shape[0])
            hidden = self.embeddings(tokens)
        return hidden

    def _encode(
        self, stream: TokenStream, hidden: Tensor, positions: Tensor, keep_inputs: bool
    ) -> tuple[list[Tensor], Tensor, list[Tensor | None]]:
        """Run all layers; return what each read if asked to keep it, the normalised output, and attention weights."""
        rotation = rotations(self.config, positions)
        scratch = self._scratch(hidden)
        backend = attention_backend(self.config, stream, hidden.dtype, training=self.training, scratch=scratch)
        may_overwrite = scratch is not None and not keep_inputs and self._is_unwatched()
        inputs: list[Tensor] = []
        weights: list[Tensor | None] = []
        for number, layer in enumerate(self.layers):
            if keep_inputs:
                inputs.append(hidden)
            # Not what the first layer reads: that may be the caller's.
            room = {"scratch": scratch, "in_place": may_overwrite and number > 0} if scratch is not None else {}
            hidden, layer_weights = layer(hidden, rotation[cast(str, layer.attention_type)], backend, **room)
            weights.append(layer_weights)
        return inputs, self.final_norm(hidden), weights

    def _scratch(self, hidden: Tensor) -> Scratch | None:
        if not (may_reuse(hidden) and all(type(layer) is MmBertEncoderLayer for layer in self.layers)):
            return None
        heads, channels = self.config.num_attention_heads, self.config.hidden_size // self.config.num_attention_heads
        return Scratch((len(hidden), 3, heads, channels), self.config.local_attention // 2, hidden)

    def _is_unwatched(self) -> bool:
        """Return True if nobody may keep what a layer reads or returns, which must not change then."""
        return not any(is_watched(module) for module in self.modules() if module is not self)


def refuse_ids_beyond(what: str, ids: Tensor, size: int) -> None:
    """Refuse ids outside [0, size), where looking is free: on a CPU, not while a graph is traced.

    Args:
        what: Name of the ids in the message.
        ids: Integers of any shape.
        size: Number of valid ids.

    Raises:
        ValueError: If an id is negative or not below `size`.
    """
    if tracing() or ids.device.type != "cpu" or ids.numel() == 0:
        return
    low, high = (int(bound) for bound in torch.aminmax(ids))
    if low < 0 or high >= size:
        raise ValueError(
            f"{what} {low if low < 0 else high} is outside the model's {size} (0 to {size - 1}); "
            "tokenizer, labels and model must belong together"
        )


def _chosen(argument: bool | None, default: bool | None) -> bool:
    return bool(default if argument is None else argument)


def _refuse_unequal_keys(
    cu_seq_lens_q: Tensor | None, cu_seq_lens_k: Tensor | None, max_length_q: int | None, max_length_k: int | None
) -> None:
    """Self-attention has one set of sequences: what is said of the keys must be what is said of the queries."""
    if cu_seq_lens_q is None and cu_seq_lens_k is not None:
        raise ValueError("got cu_seq_lens_k without cu_seq_lens_q; give cu_seq_lens_q")
    for q, k in ((cu_seq_lens_q, cu_seq_lens_k), (max_length_q, max_length_k)):
        if q is None or k is None or q is k or tracing() or (isinstance(q, Tensor) and q.is_cuda):
            continue
        if not torch.equal(torch.as_tensor(q), torch.as_tensor(k)):
            raise ValueError(f"queries and keys of an encoder are the same tokens, got boundaries {q} and {k}")


def _positions(stream: TokenStream, position_ids: Tensor | None, shape: torch.Size) -> Tensor:
    if position_ids is None:
        return stream.columns
    if position_ids.dim() != 2 or position_ids.shape[0] not in (1, shape[0]) or position_ids.shape[1] != shape[1]:
        raise ValueError(f"position_ids has shape {tuple(position_ids.shape)} for a batch of {tuple(shape)}")
    return stream.take(position_ids.expand(shape).flatten())


__all__ = ["MmBertModel"]
