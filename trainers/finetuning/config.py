"""Hyper-parameters of fine-tuning, all of them, so that a record can name every one.

Defaults are mmBERT's protocol where it is published (arXiv 2509.06888 and the NLU repository it points to): batches
of 32, warm-up over 6 % of the steps, 3 epochs; of the learning rates tried there, 2e-5 to 8e-5, most models did best at
2e-5 to 3e-5. Those are for networks of 140 to 307 million parameters: a small one wants more, 1e-4 to 5e-4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

LORA_TARGETS = ("Wqkv", "attn.Wo", "Wi", "mlp.Wo")  # the four matrices of every layer; plain "Wo" would be two of them
LORA_KEEPS = ("head", "classifier")  # trained whole and saved: a fresh head cannot be of low rank
ERRORS = ("rmse", "loss")  # metrics of which less is better

_FULL_RATE, _LORA_RATE = 3e-5, 3e-4


@dataclass(frozen=True, kw_only=True)
class FineTuneOptions:
    """How a network is fine-tuned.

    Attributes:
        epochs: Passes over the training rows.
        learning_rate: At its peak; None: 3e-5, with LoRA 3e-4.
        batch_size: Rows a step on each process, see `accumulation`.
        accumulation: Batches that make one optimizer step.
        warmup: Share of the steps in which the rate rises; guards a fresh head from tearing up the encoder.
        schedule: How the rate falls, a name of transformers ("linear", "cosine", "constant_with_warmup", ...).
        weight_decay: Of matrices; norms and biases have none.
        layer_decay: The rate of each layer is this times that of the layer above, embeddings lowest; 1: all alike.
        max_grad_norm: Longer gradients are clipped.
        max_steps: Stop after so many steps, whatever `epochs` says; -1: no limit.
        lora: Train low-rank adapters and the head; the rest stays as it is.
        lora_rank: Rank of the adapters.
        lora_alpha: Their scale is alpha / rank.
        lora_dropout: Dropout before the adapters.
        lora_embeddings: With `lora`, also train the embeddings of the tokens that the training rows hold. A small
            encoder needs it: on SIB-200, with all else trained, frozen embeddings took 46 % to 30 % (measured here).
        class_weights: "none"; "balanced": a class weighs n / (classes * its rows); or a weight for each label.
        metric: The score that chooses the checkpoint, or "loss"; None: the first one that the task reports.
        greater_is_better: Whether more of it is better; None: it is, but of errors (`rmse`) less is.
        patience: Stop after so many evaluations on dev without a better score; None: never.
        evaluations_an_epoch: How often dev is scored.
        evaluation_batch_size: Rows at once while scoring.
        group_by_length: Rows of similar length share batches. Saves nothing where the network unpads, as ours does;
            rows in another network are padded.
        bf16: Compute in bfloat16 (weights and optimizer stay in fp32).
        gradient_checkpointing: Compute activations twice instead of keeping them.
        seed: Of the head's first weights, of dropout and of the order of rows.
        redo: Train anew where the folder holds a run made under other conditions, instead of refusing it.
        training: Further fields of transformers' TrainingArguments: `push_to_hub`, `hub_model_id`, `use_cpu`, ...

    Raises:
        ValueError: If a value is outside its limits.
    """

    epochs: float = 3.0
    learning_rate: float | None = None
    batch_size: int = 32
    accumulation: int = 1
    warmup: float = 0.06
    schedule: str = "linear"
    weight_decay: float = 0.01
    layer_decay: float = 1.0
    max_grad_norm: float = 1.0
    max_steps: int = -1
    lora: bool = False
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    lora_embeddings: bool = False
    class_weights: str | Mapping[str, float] = "none"
    metric: str | None = None
    greater_is_better: bool | None = None
    patience: int | None = None
    evaluations_an_epoch: int = 1
    evaluation_batch_size: int = 64
    group_by_length: bool = False
    bf16: bool = False
    gradient_checkpointing: bool = False
    seed: int = 0
    redo: bool = False
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("batch_size", "accumulation", "lora_rank", "evaluations_an_epoch", "evaluation_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be 1 or more.")
        if self.epochs <= 0 and self.max_steps <= 0:
            raise ValueError(f"epochs is {self.epochs}, but must be more than 0.")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is {self.warmup}, but is a share of the steps, 0 or more and below 1.")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay is {self.layer_decay}, but must be more than 0 and at most 1.")
        self._check_lora()
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise ValueError(f"learning_rate is {self.learning_rate}, but must be more than 0.")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience is {self.patience}, but must be 1 or more; leave it out to never stop early.")
        if isinstance(self.class_weights, str) and self.class_weights not in ("none", "balanced"):
            raise ValueError(f"class_weights is {self.class_weights!r}, not none, balanced or a weight a label.")

    def _check_lora(self) -> None:
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout is {self.lora_dropout}, but must be 0 or more and below 1.")
        if self.lora_embeddings and not self.lora:
            raise ValueError("lora_embeddings goes with lora; without it, embeddings are trained anyway.")

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate, also where none was given."""
        return self.learning_rate or (_LORA_RATE if self.lora else _FULL_RATE)

    @property
    def more_is_better(self) -> bool:
        """Whether more of the metric is better, also where nobody said."""
        return self.metric not in ERRORS if self.greater_is_better is None else self.greater_is_better

    def to_dict(self) -> dict[str, Any]:
        """Return every option as JSON can hold it, what was left open resolved, but for the secret `hub_token`."""
        plain = asdict(self)
        plain["training"] = {name: value for name, value in self.training.items() if name != "hub_token"}
        plain["greater_is_better"] = self.more_is_better
        plain["learning_rate"] = self.peak_learning_rate
        plain["class_weights"] = self.class_weights if isinstance(self.class_weights, str) else dict(self.class_weights)
        return plain
