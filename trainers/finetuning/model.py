"""The network that fine-tuning begins with: an encoder and the head of the task, LoRA around it where wanted.

A checkpoint may bring a head of its own. A masked-LM's dense layer and norm serve every task. A classifier is kept if
it decides among the same labels (then training goes on with it), and dropped, loudly, if it does not: a small task
starts from a checkpoint of a large one (RTE from MNLI) for its encoder.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from ...common.checkpoints.format import architectures
from ...common.checkpoints.hub import local_checkpoint
from ...common.checkpoints.reader import require_start
from ...common.files import read_json
from ...common.library_output import without_load_report
from ...common.messages import first_of
from ...modeling import (
    MmBertConfig,
    MmBertForMultipleChoice,
    MmBertForQuestionAnswering,
    MmBertForSequenceClassification,
    MmBertForTokenClassification,
    MmBertPreTrainedModel,
)
from .config import LORA_KEEPS, LORA_TARGETS, FineTuningArguments

if TYPE_CHECKING:
    from peft import PeftModel

logger = logging.getLogger(__name__)

_NAMED = 5  # labels or tensors spelled out in a message

Head = Literal["sequence", "tokens", "spans", "choices"]

MODELS: dict[str, type[MmBertPreTrainedModel]] = {
    "sequence": MmBertForSequenceClassification,
    "tokens": MmBertForTokenClassification,
    "spans": MmBertForQuestionAnswering,
    "choices": MmBertForMultipleChoice,
}
_PEFT_TASKS = {"sequence": "SEQ_CLS", "tokens": "TOKEN_CLS", "spans": "QUESTION_ANS", "choices": None}


def label_order(checkpoint: str | Path, head: Head, labels: Sequence[str]) -> list[str]:
    """Put labels in the order of a checkpoint that decides among the same ones, so that its head can go on.

    Args:
        checkpoint: Folder or Hub id.
        head: What the task decides.
        labels: The task's labels.

    Returns:
        The checkpoint's order, or the labels as they were given.
    """
    own = _own_labels(read_json(local_checkpoint(str(checkpoint)) / "config.json"), head)
    return own if own is not None and sorted(own) == sorted(labels) else list(labels)


def build_network(
    checkpoint: str | Path, head: Head, labels: Sequence[str] | None = None, problem_type: str | None = None
) -> tuple[MmBertPreTrainedModel, list[str]]:
    """Load an encoder with the head of a task."""
    opened = require_start(checkpoint)
    opened.verify()
    opened.require_finite()
    path, raw = opened.path, opened.config
    regresses = problem_type == "regression"
    names = ["score"] if regresses else list(labels or ())
    if head in ("sequence", "tokens") and not regresses and len(names) < 2:
        raise ValueError(f"{len(names)} label(s) ({', '.join(names)}): nothing to tell apart; give rows of 2 or more.")
    fields: dict[str, Any] = {"problem_type": problem_type}
    if head in ("sequence", "tokens"):
        fields["id2label"] = dict(enumerate(names))
        fields["label2id"] = {name: number for number, name in enumerate(names)}
    else:
        fields["num_labels"] = 2 if head == "spans" else 1
    with without_load_report():
        model, info = MODELS[head].from_pretrained(
            path,
            config=MmBertConfig.from_pretrained(path, **fields),
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    _refuse_holes(checkpoint, info)
    dropped = []
    if "classifier.weight" not in info["missing_keys"] and (reason := _unfit(raw, head, names, problem_type)):
        std = model.config.hidden_size**-0.5  # as `_Classifier` begins
        torch.nn.init.trunc_normal_(model.classifier.weight, std=std, a=-2 * std, b=2 * std)
        torch.nn.init.zeros_(model.classifier.bias)
        dropped = [f"the classifier of {checkpoint} was dropped and a new one begun: {reason}"]
        logger.warning("%s", dropped[0])
    return model, dropped


def add_lora(
    model: MmBertPreTrainedModel, head: Head, args: FineTuningArguments, tokens: Sequence[int] | None = None
) -> PeftModel:
    """Freeze a network and put adapters of low rank beside the four matrices of every layer."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as missing:
        raise ImportError('LoRA needs peft: pip install "mmbert[finetune]", or train in full.') from missing
    config = LoraConfig(
        task_type=_PEFT_TASKS[head],
        r=args.lora_rank,
        lora_alpha=args.lora_alpha,
        lora_dropout=args.lora_dropout,
        target_modules=list(LORA_TARGETS),
        modules_to_save=list(LORA_KEEPS),
        trainable_token_indices={"tok_embeddings": list(tokens)} if tokens else None,
    )
    return get_peft_model(model, config)


def _own_labels(config: dict[str, Any], head: Head) -> list[str] | None:
    """Return the labels that a checkpoint's head decides among; None if its head is of another kind."""
    wanted = MODELS[head].__name__.removeprefix("MmBert")
    if not any(name.endswith(wanted) for name in architectures(config)):
        return None
    names = config.get("id2label") or {}
    return [str(names[number]) for number in sorted(names, key=int)]


def _unfit(config: dict[str, Any], head: Head, names: Sequence[str], problem_type: str | None) -> str:
    """Say why a checkpoint's classifier does not serve the task; empty if it does."""
    own = _own_labels(config, head)
    if own is None:
        return f"it is a {', '.join(architectures(config) or ['nameless'])}"
    if head in ("spans", "choices"):
        return ""
    mine, theirs = first_of(own, _NAMED), first_of(names, _NAMED)
    if len(own) != len(names):
        return f"it has {len(own)} label(s) ({mine}), the data {len(names)} ({theirs})"
    if (problem_type == "regression") != (config.get("problem_type") == "regression"):
        return f"it solves {config.get('problem_type')}, the data want {problem_type}"
    return "" if own == list(names) else f"its labels are {mine}, those of the data {theirs}"


def _refuse_holes(checkpoint: str | Path, info: dict[str, Any]) -> None:
    fresh = ("head.", "classifier.")
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(fresh))
    other = sorted(str(key[0]) for key in info["mismatched_keys"] if not str(key[0]).startswith(fresh))
    if missing or other:
        kind, keys = ("lacks", missing) if missing else ("has other shapes in", other)
        raise ValueError(f"{checkpoint} does not fit its own config: it {kind} {first_of(keys, _NAMED)}.")
