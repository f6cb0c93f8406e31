"""The mmBERT network: the encoder on a stream without padding, masked LM, and the four classifying heads.

    input_ids (B, L) --unpad--> (T,) --embeddings--> (T, h) --layers--> (T, h) --norm, pad--> (B, L, h)

Tensors and numbers are ModernBERT's. Padding leaves once and returns once; input that is packed already
(`cu_seq_lens_q`, or positions that start again) skips both. Stock transformers 5 computes every layer on padding and
the full L x L in its sliding layers.

Trade-offs: what stock computes at padding is arbitrary and nobody should read it; here it is zero, at the price of a
copy at either end. Where stock lets padding take part in a result (first column of a left-padded row, spans), these
heads do not. Masked LM scores only masked positions (`config.sparse_prediction`), a chunk of them at a time, because
dense logits over 256,000 tokens take 1 MB per token; with labels it therefore returns no logits.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers.activations import ACT2FN
from transformers.modeling_outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.modeling_utils import PreTrainedModel
from transformers.utils.generic import can_return_tuple

from .attention_backends import attention_backend, is_flash
from .buffers import BufferPool, may_reuse
from .configuration_mmbert import MmBertConfig
from .int8_weights import register_int8
from .layers import MmBertEmbeddings, MmBertEncoderLayer, initialise, layer_norm, rotations, start_with
from .linear_cross_entropy import is_plain_linear, linear_cross_entropy
from .losses import classification_loss, cross_entropy, problem_type_of, require_shape, span_loss
from .packing import TokenStream, boundaries_of, refuse_ids_beyond, stream_of_packed, stream_of_padded, tracing
from .pooling import pool

Forward = TypeVar("Forward", bound=Callable[..., Any])
register_int8()


def returns_output(forward: Forward) -> Forward:
    """Let `forward` give its output as a tuple when the caller or the configuration says `return_dict=False`."""
    return cast(Forward, can_return_tuple(forward))


class MmBertPreTrainedModel(PreTrainedModel):
    """What the encoder and its heads share: loading, initialisation, the flags that transformers reads."""

    config: MmBertConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["MmBertEncoderLayer"]  # noqa: RUF012 - transformers' class attribute
    _supports_flash_attn = True
    _supports_sdpa = True

    @classmethod
    def from_pretrained(cls, *args: Any, use_safetensors: bool | None = None, **kwargs: Any) -> Any:
        """Load a checkpoint of type `mmbert` or `modernbert`; see `PreTrainedModel.from_pretrained`.

        Args:
            *args: The directory or Hub id first.
            use_safetensors: True or None. Pickled weights are never read.
            **kwargs: As for every transformers model, `attn_implementation` and `dtype` among them.

        Returns:
            The model, in evaluation mode and in the checkpoint's dtype.

        Raises:
            ValueError: If `use_safetensors` is False, or the directory has pickled weights only.
        """
        if use_safetensors is False or _is_pickled(args[0] if args else kwargs.get("pretrained_model_name_or_path")):
            raise ValueError(
                "pytorch_model.bin is a pickle, which can run any code when read; save the model with safetensors "
                "(model.save_pretrained does) where the file is trusted, and load that"
            )
        return super().from_pretrained(*args, use_safetensors=True, **kwargs)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the network computes in, also where its embedding table lies in a file of another."""
        return getattr(self.get_input_embeddings(), "into", None) or super().dtype

    def compile(self, *, dynamic: bool | None = True, **options: Any) -> None:
        """Compile what works on each token alone, once for all layers; padding, lengths and attention stay as they are.

        Unlike `torch.compile(model)`, which also works, this keeps the removal of padding and the attention kernels of
        the processor, and takes seconds, at the first call. On a CPU it needs a C++ compiler.

        Args:
            dynamic: Expect any number of tokens.
            **options: For `torch.compile`.
        """
        for layer in cast(Any, self.base_model).layers:
            layer.compile(dynamic=dynamic, **options)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, self.config)


class MmBertModel(MmBertPreTrainedModel):
    """The encoder: token ids in, one vector per token out.

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
        from .from_modernbert import share_modernbert

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
                if None. Where those of the only row start again, as transformers' DataCollatorWithFlattening writes
                them, a new packed sequence begins, unless `cu_seq_lens_q` says where.
            inputs_embeds: (B, L, hidden_size) in place of `input_ids`, before normalisation.
            cu_seq_lens_q: (N + 1,) for packed input: 0, the end of the first sequence, ..., T. If None, `seq_idx`
                (1, T), the number of each token's sequence, is read in its place.
            cu_seq_lens_k: The same as `cu_seq_lens_q`, or None.
            max_length_q: Tokens in the longest packed sequence; counted if None.
            max_length_k: The same as `max_length_q`, or None.
            output_hidden_states: Also return the first layer's input and every layer's output, the last normalised.
            output_attentions: Also return the weights (N, H, width, width) of each layer; needs the eager backend.
            **kwargs: `seq_idx`; others are ignored, as in stock ModernBERT: tokenizers add `token_type_ids`.

        Returns:
            `last_hidden_state` (B, L, hidden_size), zero at padding, or (1, T, hidden_size) for packed input.

        Raises:
            ValueError: If an argument is missing, contradicts another or lies outside the model's limits.
        """
        given = inputs_embeds if input_ids is None else input_ids
        if given is None or (input_ids is not None and inputs_embeds is not None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if given.dim() < 2:
            raise ValueError(f"input must be (batch, length), got shape {tuple(given.shape)}; add a batch dimension")
        output_hidden_states = _chosen(output_hidden_states, self.config.output_hidden_states)
        output_attentions = _chosen(output_attentions, self.config.output_attentions)
        if output_attentions and self.config._attn_implementation != "eager":
            raise ValueError(
                f"output_attentions needs attn_implementation='eager', the model has "
                f"{self.config._attn_implementation!r}; call model.set_attn_implementation('eager')"
            )
        _refuse_unequal_keys(cu_seq_lens_q, cu_seq_lens_k, max_length_q, max_length_k)
        if cu_seq_lens_q is None:
            cu_seq_lens_q = boundaries_of(position_ids, kwargs.get("seq_idx"), attention_mask, given.shape[:2])
            attention_mask = attention_mask if cu_seq_lens_q is None else None
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
            tokens, table = stream.take(input_ids.flatten()), self.embeddings.tok_embeddings
            refuse_ids_beyond("token id", tokens, _rows_of(table))
            if hasattr(table, "neftune_noise_alpha"):  # its hook is written for (B, L, hidden_size)
                hidden = self.embeddings(inputs_embeds=stream.take(table(input_ids).flatten(0, 1)))
            else:
                hidden = self.embeddings(tokens)
        return hidden

    def _encode(
        self, stream: TokenStream, hidden: Tensor, positions: Tensor, keep_inputs: bool
    ) -> tuple[list[Tensor], Tensor, list[Tensor | None]]:
        """Run all layers; return what each read if asked to keep it, the normalised output, and attention weights."""
        rotation = rotations(self.config, positions)
        buffers = self._buffer_pool(hidden)
        backend = attention_backend(self.config, stream, hidden.dtype, training=self.training, buffers=buffers)
        shared = {} if buffers is None else {"buffers": buffers}
        inputs: list[Tensor] = []
        weights: list[Tensor | None] = []
        for layer in self.layers:
            if keep_inputs:
                inputs.append(hidden)
            hidden, layer_weights = layer(hidden, rotation[cast(str, layer.attention_type)], backend, **shared)
            weights.append(layer_weights)
        return inputs, self.final_norm(hidden), weights

    def _buffer_pool(self, hidden: Tensor) -> BufferPool | None:
        if not (may_reuse(hidden) and all(type(layer) is MmBertEncoderLayer for layer in self.layers)):
            return None
        heads, channels = self.config.num_attention_heads, self.config.hidden_size // self.config.num_attention_heads
        return BufferPool((len(hidden), 3, heads, channels), self.config.local_attention // 2, hidden)


class MmBertPredictionHead(nn.Module):
    """Dense, GELU, norm: the step between the encoder and the last linear layer.

    Args:
        config: Width, activation, bias.
    """

    def __init__(self, config: MmBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=config.classifier_bias)
        self.act = ACT2FN[config.classifier_activation]
        self.norm = layer_norm(config)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (..., hidden_size) to (..., hidden_size)."""
        out: Tensor = self.norm(self.act(self.dense(hidden)))
        return out


class MmBertForMaskedLM(MmBertPreTrainedModel):
    """Predicts masked tokens; the decoder is the embedding table, with a bias of its own.

    Args:
        config: The model's configuration.
    """

    _tied_weights_keys = {"decoder.weight": "model.embeddings.tok_embeddings.weight"}  # noqa: RUF012

    def __init__(self, config: MmBertConfig) -> None:
        super().__init__(config)
        self.model = MmBertModel(config)
        self.head = MmBertPredictionHead(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=config.decoder_bias)
        if not config.tie_word_embeddings:
            start_with(self.decoder, config.hidden_size**-0.5)
        self.post_init()  # type: ignore[no-untyped-call]

    def get_output_embeddings(self) -> nn.Linear:
        """Return the decoder."""
        return self.decoder

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the decoder."""
        self.decoder = new_embeddings

    @returns_output
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        return_logits: bool | None = None,
        **kwargs: Any,
    ) -> MaskedLMOutput:
        """Score the masked tokens, or predict every token.

        Args:
            input_ids: (B, L) token ids, or (1, T) packed.
            attention_mask: (B, L), zero at padding.
            position_ids: See `MmBertModel.forward`.
            inputs_embeds: (B, L, hidden_size) in place of `input_ids`.
            labels: (B, L) the token that was masked; `config.sparse_pred_ignore_index` elsewhere.
            num_items_in_batch: Masked tokens in the whole optimizer step; the loss is divided by it.
            return_logits: Whether to give logits beside the loss with `sparse_prediction` on; None: in an evaluation
                (`model.eval()`, no gradients), where a Trainer's `compute_metrics` wants them.
            **kwargs: See `MmBertModel.forward`.

        Returns:
            The loss if there are labels: 0 where none is masked. `logits` (B, L, vocab_size) without labels, with
            `sparse_prediction` off or with `return_logits`; what they hold at padding means nothing.
        """
        if return_logits is None:
            return_logits = not (self.training or torch.is_grad_enabled())
        inputs = {"attention_mask": attention_mask, "position_ids": position_ids, "inputs_embeds": inputs_embeds}
        outputs = self.model(input_ids, **inputs, **kwargs, return_dict=True)
        hidden = outputs.last_hidden_state
        loss, logits = None, None
        if labels is not None:
            require_shape("labels", labels, hidden.shape[:2])
            labels = labels.to(hidden.device)
        if labels is not None and self.config.sparse_prediction and not return_logits:
            loss = self._loss_where_masked(hidden, labels, num_items_in_batch)
        else:
            logits = self.decoder(self.head(hidden))
            if labels is not None:
                ignored = self.config.sparse_pred_ignore_index
                loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), num_items_in_batch, ignored)
        return MaskedLMOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )

    def _loss_where_masked(self, hidden: Tensor, labels: Tensor, items: Tensor | int | None) -> Tensor:
        ignored = self.config.sparse_pred_ignore_index
        masked = labels != ignored
        read, targets = self.head(hidden[masked]), labels[masked]
        if is_plain_linear(self.decoder):
            return linear_cross_entropy(read, self.decoder.weight, self.decoder.bias, targets, items, ignored)
        return cross_entropy(self.decoder(read), targets, items, ignored)


class _Classifier(MmBertPreTrainedModel):
    """What the four classifying heads share: encoder, head, dropout, linear layer."""

    def __init__(self, config: MmBertConfig, outputs: int) -> None:
        super().__init__(config)
        self.num_labels = outputs
        self.model = MmBertModel(config)
        self.head = MmBertPredictionHead(config)
        self.drop = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, outputs)
        start_with(self.classifier, config.hidden_size**-0.5)
        self.post_init()  # type: ignore[no-untyped-call]

    def _encode(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        kwargs: dict[str, Any],
    ) -> tuple[BaseModelOutput, Tensor | None]:
        """Run the encoder; return also where packed sequences begin and end, however the caller said it."""
        boundaries, given = kwargs.pop("cu_seq_lens_q", None), inputs_embeds if input_ids is None else input_ids
        if boundaries is None and given is not None and given.dim() > 1:
            boundaries = boundaries_of(position_ids, kwargs.get("seq_idx"), attention_mask, given.shape[:2])
            attention_mask = attention_mask if boundaries is None else None
        inputs = {"attention_mask": attention_mask, "position_ids": position_ids, "inputs_embeds": inputs_embeds}
        outputs = self.model(input_ids, **inputs, cu_seq_lens_q=boundaries, **kwargs, return_dict=True)
        return cast(BaseModelOutput, outputs), boundaries

    def _classify(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.drop(self.head(hidden)))
        return logits


class MmBertForSequenceClassification(_Classifier):
    """One decision per sequence: classes, several classes at once, or numbers.

    Args:
        config: The model's configuration; `classifier_pooling` says how tokens become one vector.
    """

    def __init__(self, config: MmBertConfig) -> None:
        super().__init__(config, config.num_labels or 2)

    @returns_output
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Classify every sequence.

        Args:
            input_ids: (B, L) token ids, or (1, T) packed.
            attention_mask: (B, L), zero at padding.
            position_ids: See `MmBertModel.forward`.
            inputs_embeds: (B, L, hidden_size) in place of `input_ids`.
            labels: (N,) classes, or (N, num_labels) numbers; see `config.problem_type`.
            num_items_in_batch: Labels in the whole optimizer step; the loss is divided by it.
            **kwargs: See `MmBertModel.forward`.

        Returns:
            `logits` (N, num_labels), and the loss if there are labels.
        """
        outputs, boundaries = self._encode(input_ids, attention_mask, position_ids, inputs_embeds, kwargs)
        pooled = pool(
            cast(Tensor, outputs.last_hidden_state), self.config.classifier_pooling, attention_mask, boundaries
        )
        logits = self._classify(pooled)
        loss = None
        if labels is not None:
            # Kept once guessed, as in transformers, so that a later batch cannot change the problem.
            problem = self.config.problem_type or problem_type_of(labels, self.num_labels)
            self.config.problem_type = problem
            loss = classification_loss(logits, labels, problem, num_items_in_batch)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


class MmBertForTokenClassification(_Classifier):
    """One class per token: names, parts of speech.

    Args:
        config: The model's configuration.
    """

    def __init__(self, config: MmBertConfig) -> None:
        super().__init__(config, config.num_labels or 2)

    @returns_output
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs: Any,
    ) -> TokenClassifierOutput:
        """Classify every token.

        Args:
            input_ids: (B, L) token ids, or (1, T) packed.
            attention_mask: (B, L), zero at padding.
            position_ids: See `MmBertModel.forward`.
            inputs_embeds: (B, L, hidden_size) in place of `input_ids`.
            labels: (B, L) classes, -100 where nothing is scored.
            num_items_in_batch: Labels in the whole optimizer step; the loss is divided by it.
            **kwargs: See `MmBertModel.forward`.

        Returns:
            `logits` (B, L, num_labels), without meaning at padding, and the loss if there are labels.
        """
        outputs, _ = self._encode(input_ids, attention_mask, position_ids, inputs_embeds, kwargs)
        logits = self._classify(cast(Tensor, outputs.last_hidden_state))
        loss = None
        if labels is not None:
            require_shape("labels", labels, logits.shape[:2])
            loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), num_items_in_batch)
        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


class MmBertForQuestionAnswering(_Classifier):
    """Where in the passage the answer starts and ends.

    Padding can be neither: its logits are the lowest number of the dtype, so that padding changes no loss and no
    answer. (Stock ModernBERT lets padding compete; on input without padding the numbers are the same.)

    Args:
        config: The model's configuration.

    Raises:
        ValueError: If `config.num_labels` is not 2.
    """

    def __init__(self, config: MmBertConfig) -> None:
        if config.num_labels != 2:
            raise ValueError(f"config.num_labels is {config.num_labels}; question answering needs 2, start and end")
        super().__init__(config, config.num_labels or 2)

    @returns_output
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        **kwargs: Any,
    ) -> QuestionAnsweringModelOutput:
        """Score every token as start and as end of the answer.

        Args:
            input_ids: (B, L) token ids of question and passage, or (1, T) packed.
            attention_mask: (B, L), zero at padding.
            position_ids: See `MmBertModel.forward`.
            inputs_embeds: (B, L, hidden_size) in place of `input_ids`.
            start_positions: (N,) first token of the answer, counted from the start of its row or packed sequence.
            end_positions: (N,) last token of the answer, likewise.
            **kwargs: See `MmBertModel.forward`.

        Returns:
            `start_logits` and `end_logits` (B, L), and the loss if both positions are given.
        """
        outputs, boundaries = self._encode(input_ids, attention_mask, position_ids, inputs_embeds, kwargs)
        logits = self._classify(cast(Tensor, outputs.last_hidden_state))
        lowest = torch.finfo(logits.dtype).min
        if attention_mask is not None:
            logits = logits.masked_fill(~attention_mask.to(logits.device).bool()[..., None], lowest)
        start_logits, end_logits = logits.unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            rows = logits
            if boundaries is not None:
                sequences = logits[0].split(boundaries.diff().tolist())
                rows = pad_sequence(list(sequences), batch_first=True, padding_value=lowest)
            loss = span_loss(rows[..., 0], rows[..., 1], start_positions, end_positions)
        return QuestionAnsweringModelOutput(
            loss=loss,
            start_logits=start_logits,
            end_logits=end_logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class MmBertForMultipleChoice(_Classifier):
    """Which of several continuations fits.

    Args:
        config: The model's configuration; `classifier_pooling` says how tokens become one vector.
    """

    def __init__(self, config: MmBertConfig) -> None:
        super().__init__(config, outputs=1)

    @returns_output
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs: Any,
    ) -> MultipleChoiceModelOutput:
        """Score every choice.

        Args:
            input_ids: (B, C, L) token ids of C choices.
            attention_mask: (B, C, L), zero at padding.
            position_ids: (B, C, L); see `MmBertModel.forward`.
            inputs_embeds: (B, C, L, hidden_size) in place of `input_ids`.
            labels: (B,) the right choice.
            num_items_in_batch: Labels in the whole optimizer step; the loss is divided by it.
            **kwargs: See `MmBertModel.forward`.

        Returns:
            `logits` (B, C), and the loss if there are labels.

        Raises:
            ValueError: If there is no dimension of choices; packed input has none.
        """
        given = inputs_embeds if input_ids is None else input_ids
        if given is None or given.dim() - (input_ids is None) != 3 or kwargs.get("cu_seq_lens_q") is not None:
            shape = None if given is None else tuple(given.shape)
            raise ValueError(f"multiple choice reads (batch, choices, length), unpacked; got {shape}")
        ids, mask, positions, embeds = (
            None if tensor is None else tensor.flatten(0, 1)
            for tensor in (input_ids, attention_mask, position_ids, inputs_embeds)
        )
        outputs, boundaries = self._encode(ids, mask, positions, embeds, kwargs)
        if boundaries is not None:
            raise ValueError("position_ids start again within a choice; multiple choice reads one sequence per row")
        pooled = pool(cast(Tensor, outputs.last_hidden_state), self.config.classifier_pooling, mask)
        logits = self._classify(pooled).view(given.shape[:2])
        loss = None if labels is None else cross_entropy(logits, labels.view(-1), num_items_in_batch)
        return MultipleChoiceModelOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


def _is_pickled(checkpoint: Any) -> bool:
    """Return True for a directory whose only weights are pickles."""
    folder = Path(checkpoint) if isinstance(checkpoint, str | Path) else None
    if folder is None or not folder.is_dir() or any(folder.glob("*.safetensors")):
        return False
    return any(folder.glob("pytorch_model*.bin"))


def _rows_of(table: nn.Module) -> int:
    """Count the ids that an embedding table knows; one that trains only some of its rows says so itself."""
    return int(getattr(table, "num_embeddings", 0) or cast(Tensor, table.weight).shape[0])


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


__all__ = [
    "MmBertForMaskedLM",
    "MmBertForMultipleChoice",
    "MmBertForQuestionAnswering",
    "MmBertForSequenceClassification",
    "MmBertForTokenClassification",
    "MmBertModel",
    "MmBertPreTrainedModel",
    "MmBertPredictionHead",
]
