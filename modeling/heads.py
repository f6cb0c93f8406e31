"""The four classifying heads on the encoder: sequences, tokens, spans of an answer, choices.

Every head is dense + GELU + norm, then a linear layer, under ModernBERT's names. They pass `cu_seq_lens_q` and the
other arguments of `MmBertModel.forward` on to it, and read packed input where one row can hold many sequences. Where
stock ModernBERT lets padding take part in a result (first column of a left-padded row, spans), these do not.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers.modeling_outputs import (
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

from .configuration_mmbert import MmBertConfig
from .layers import start_with
from .losses import classification_loss, cross_entropy, problem_type_of, require_shape, span_loss
from .masked_lm import MmBertPredictionHead
from .modeling_mmbert import MmBertModel
from .pooling import pool
from .pretrained import MmBertPreTrainedModel, returns_output


class _Classifier(MmBertPreTrainedModel):
    """What the four classifying heads share: encoder, head, dropout, linear layer.

    Args:
        config: The model's configuration.
        outputs: Numbers that the last layer gives.
    """

    def __init__(self, config: MmBertConfig, outputs: int) -> None:
        super().__init__(config)
        self.num_labels = outputs
        self.model = MmBertModel(config)
        self.head = MmBertPredictionHead(config)
        self.drop = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, outputs)
        start_with(self.classifier, config.hidden_size**-0.5)
        self.post_init()  # type: ignore[no-untyped-call]

    def _classify(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.drop(self.head(hidden)))
        return logits


class MmBertForSequenceClassification(_Classifier):
    """One decision a sequence: classes, several classes at once, or numbers.

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
        inputs = {"attention_mask": attention_mask, "position_ids": position_ids, "inputs_embeds": inputs_embeds}
        outputs = self.model(input_ids, **inputs, **kwargs, return_dict=True)
        pooling, boundaries = self.config.classifier_pooling, kwargs.get("cu_seq_lens_q")
        logits = self._classify(pool(outputs.last_hidden_state, pooling, attention_mask, boundaries))
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
    """One class a token: names, parts of speech.

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
        inputs = {"attention_mask": attention_mask, "position_ids": position_ids, "inputs_embeds": inputs_embeds}
        outputs = self.model(input_ids, **inputs, **kwargs, return_dict=True)
        logits = self._classify(outputs.last_hidden_state)
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
        inputs = {"attention_mask": attention_mask, "position_ids": position_ids, "inputs_embeds": inputs_embeds}
        outputs = self.model(input_ids, **inputs, **kwargs, return_dict=True)
        logits = self._classify(outputs.last_hidden_state)
        lowest = torch.finfo(logits.dtype).min
        if attention_mask is not None:
            logits = logits.masked_fill(~attention_mask.to(logits.device).bool()[..., None], lowest)
        start_logits, end_logits = logits.unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            rows = logits
            if (boundaries := kwargs.get("cu_seq_lens_q")) is not None:
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
        inputs = {"attention_mask": mask, "position_ids": positions, "inputs_embeds": embeds}
        outputs = self.model(ids, **inputs, **kwargs, return_dict=True)
        pooled = pool(outputs.last_hidden_state, self.config.classifier_pooling, mask)
        logits = self._classify(pooled).view(given.shape[:2])
        loss = None if labels is None else cross_entropy(logits, labels.view(-1), num_items_in_batch)
        return MultipleChoiceModelOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


__all__ = [
    "MmBertForMultipleChoice",
    "MmBertForQuestionAnswering",
    "MmBertForSequenceClassification",
    "MmBertForTokenClassification",
]
