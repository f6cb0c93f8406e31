"""Masked LM on the encoder, and the head that all five share.

Only masked positions are scored (`config.sparse_prediction`), a chunk of them at a time: dense logits over 256,000
words take 1 MB a token. With labels the model therefore returns no logits; set `config.sparse_prediction = False`, at
any time, to have them.
"""

from typing import Any

from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.modeling_outputs import MaskedLMOutput

from .configuration_mmbert import MmBertConfig
from .layers import layer_norm, start_with
from .linear_cross_entropy import linear_cross_entropy
from .losses import cross_entropy, require_shape
from .modeling_mmbert import MmBertModel
from .plain_linear import is_plain_linear
from .pretrained import MmBertPreTrainedModel, returns_output


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
    """Guesses masked tokens; the decoder is the embedding table, with a bias of its own.

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
            **kwargs: See `MmBertModel.forward`.

        Returns:
            The loss if there are labels: 0 where none is masked. `logits` (B, L, vocab_size) without labels or with
            `sparse_prediction` off; what they hold at padding means nothing.
        """
        inputs = {"attention_mask": attention_mask, "position_ids": position_ids, "inputs_embeds": inputs_embeds}
        outputs = self.model(input_ids, **inputs, **kwargs, return_dict=True)
        hidden = outputs.last_hidden_state
        loss, logits = None, None
        if labels is not None:
            require_shape("labels", labels, hidden.shape[:2])
            labels = labels.to(hidden.device)
        if labels is not None and self.config.sparse_prediction:
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


__all__ = ["MmBertForMaskedLM", "MmBertPredictionHead"]
