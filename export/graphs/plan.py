"""What is exported of a checkpoint, read and checked once: the network, its task, what belongs beside the graph.

A checkpoint with a head serves its own task, and as an encoder too: `feature-extraction` and `embedding` drop the head.
A folder of sentence-transformers names its kind: embedders pool inside the graph, rerankers classify, SPLADE models
pool their logits, multi-vector models project every token. The folder of a LoRA adapter (peft) names its base; the
adapter is merged into it and its trained head is kept.

Trade-off: a base that an adapter names must lie on this machine; nothing is fetched for an export.
"""

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import modeling
from ...common.checkpoints.format import PICKLES, architectures, read_header
from ...common.checkpoints.hub import load_tokenizer
from ...common.checkpoints.reader import open_checkpoint
from ...common.files import read_json
from ...common.messages import option, require_known
from ..modernbert.st_modules import MODULES, saved_kind
from .parity import fixed_batches
from .pooling_head import EmbeddingHead, TokenHead, saved_settings
from .quantization import calibration_batches, check_quantisation
from .traceable import RowQuantisedEmbedding, TraceableModel

# Task -> the class that has its head.
TASKS = {
    "feature-extraction": "MmBertModel",
    "embedding": "MmBertModel",
    "fill-mask": "MmBertForMaskedLM",
    "text-classification": "MmBertForSequenceClassification",
    "token-classification": "MmBertForTokenClassification",
    "question-answering": "MmBertForQuestionAnswering",
    "sparse-embedding": "MmBertForMaskedLM",
    "token-embedding": "MmBertModel",
}
EMBEDDERS = ("feature-extraction", "embedding")
_OF_CLASSES = ("fill-mask", "text-classification", "token-classification", "question-answering")
_OF_KINDS = {
    "SentenceTransformer": "embedding",
    "SparseEncoder": "sparse-embedding",
    "MultiVectorEncoder": "token-embedding",
}
_ADAPTER = "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_TIED = re.compile(r"(tok_embeddings|decoder)\.(lora_|token_adapter|trainable_tokens)")
_ADAPTER_TASKS = {
    "SEQ_CLS": "text-classification",
    "TOKEN_CLS": "token-classification",
    "QUESTION_ANS": "question-answering",
}


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """Everything that an exported folder is made of."""

    task: str  # one of `TASKS`
    network: TraceableModel  # what is recorded, in fp32; `round_embeddings` puts its embedding table in int8
    config: dict[str, Any]  # config.json as stock ModernBERT reads it
    tokenizer: Any | None  # the checkpoint's; None if it has none
    head: EmbeddingHead | None  # how an embedding is made; None for other tasks
    settings: dict[str, Any]  # what an embedder does with a text beside its network; empty for other tasks
    quantize: str  # `none` or a kind of quantisation
    calibration: list[dict[str, np.ndarray]] | None  # inputs to measure activations on; None without
    batches: list[tuple[torch.Tensor, torch.Tensor]]  # ids and masks on which the export is compared with torch
    expected: list[np.ndarray]  # torch's output for each of `batches`
    max_length: int  # tokens that a row may have

    def round_embeddings(self) -> None:
        """Put the embedding table of the network in int8, a scale for each row."""
        embeddings = self.network.encoder.embeddings
        embeddings.tok_embeddings = RowQuantisedEmbedding(embeddings.tok_embeddings.weight)  # type: ignore[assignment]


def read_plan(
    checkpoint: str | os.PathLike[str],
    *,
    task: str | None = None,
    quantize: str = "none",
    calibration: Sequence[str] | None = None,
    pooling: str | None = None,
    normalize: bool | None = None,
    dims: int | None = None,
) -> ExportPlan:
    """Read a checkpoint for an export; `export_onnx` says what the options mean."""
    folder = Path(checkpoint)
    task, model, files = read_network(folder, task)
    width, limit = model.config.hidden_size, model.config.max_position_embeddings
    head = None
    if task == "embedding":
        head = EmbeddingHead.read(folder, width, pooling, normalize, dims)
    elif chosen := [n for n, v in (("pooling", pooling), ("normalize", normalize), ("dims", dims)) if v is not None]:
        raise ValueError(f"{chosen[0]} is for task embedding, the task is {task}; leave it out")
    tokenizer = _tokenizer(files)
    check_quantisation(quantize, calibration, tokenizer)
    last = TokenHead.read(folder) if task == "token-embedding" else head
    network = TraceableModel(model, task, last, tied=quantize in ("none", "fp16")).eval()
    batches = fixed_batches(tokenizer, model.config.vocab_size, limit)
    with torch.no_grad():
        expected = [network.result(*batch).numpy() for batch in batches]
    return ExportPlan(
        task=task,
        network=network,
        config=_config(model),
        tokenizer=tokenizer,
        head=head,
        settings=saved_settings(folder, tokenizer, limit) if task in EMBEDDERS else {},
        quantize=quantize,
        calibration=None if calibration is None else calibration_batches(calibration, tokenizer),
        batches=batches,
        expected=expected,
        max_length=limit,
    )


def read_network(folder: Path, task: str | None, encoder_of: Sequence[str] = ()) -> tuple[str, Any, Path]:
    """The task, the network in fp32 and eval mode with adapters merged, and the folder with its tokenizer."""
    require_known("task", task, (None, *TASKS))
    if (folder / _ADAPTER).is_file():
        return _read_adapter(folder, task)
    opened = open_checkpoint(folder)
    _refuse_other_types(folder, opened.config)
    opened.verify()
    opened.require_float()
    opened.require_finite()
    own = _own_task(folder, opened.config, opened.tensors)
    task = "embedding" if task is None and own in encoder_of else _checked_task(folder, own, task)
    for file in folder.glob("*/*"):
        if file.suffix in PICKLES:
            raise ValueError(f"{file} is a pickle, which can run code when opened; save the module as safetensors")
    return task, _loaded(TASKS[task], folder), folder


def _checked_task(folder: Path, own: str, task: str | None) -> str:
    """Return the task that was named, or the checkpoint's own, if it has what that needs."""
    served = {own, "fill-mask"} if own == "sparse-embedding" else {own}
    if own == "multiple-choice" and task is None:
        raise ValueError(
            f"{folder} is a multiple-choice model, whose head no graph has; for its encoder alone give "
            f"{option('task', 'feature-extraction')} or {option('task', 'embedding')}"
        )
    task = task or own
    if task not in (*served, *EMBEDDERS):
        has = "no head" if own in EMBEDDERS else f"the head for {own}, and none"
        choices = ", ".join(dict.fromkeys((*sorted(served - {"multiple-choice", "embedding"}), *EMBEDDERS)))
        raise ValueError(f"{folder} has {has} for {task}; export it for one of {choices}, or fine-tune it first")
    return task


def _loaded(name: str, folder: Path, **fields: Any) -> Any:
    return getattr(modeling, name).from_pretrained(folder, dtype=torch.float32, **fields).eval()


def _refuse_other_types(folder: Path, config: dict[str, Any]) -> None:
    if config.get("model_type") not in ("mmbert", "modernbert"):
        raise ValueError(
            f"{folder / 'config.json'}: model_type {config.get('model_type')!r} cannot be exported; "
            "supported are mmbert, modernbert"
        )


def _own_task(folder: Path, config: dict[str, Any], tensors: Any) -> str:
    """Find the task in what sentence-transformers saved, in the class that config.json names, or in the tensors."""
    if (folder / MODULES).is_file() and (kind := saved_kind(folder)) in _OF_KINDS:
        return _OF_KINDS[str(kind)]
    named = (architectures(config) or [""])[0]
    for task in _OF_CLASSES:
        if named.endswith(TASKS[task].removeprefix("MmBert")):
            return task
    if named.endswith("ForMultipleChoice"):
        return "multiple-choice"
    return "fill-mask" if not named and "decoder.bias" in tensors else "feature-extraction"


def _read_adapter(folder: Path, task: str | None) -> tuple[str, Any, Path]:
    """Return task, network with the adapter merged, and the folder of the tokenizer."""
    fields = read_json(folder / _ADAPTER)
    if not (folder / _ADAPTER_WEIGHTS).is_file():
        if pickles := sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES):
            raise ValueError(f"{folder / pickles[0]} is a pickle, which can run code; save {_ADAPTER_WEIGHTS} instead")
        raise FileNotFoundError(f"{folder / _ADAPTER_WEIGHTS} does not exist; {folder} is no complete adapter")
    tensors, _ = read_header(folder / _ADAPTER_WEIGHTS)
    own = _ADAPTER_TASKS.get(str(fields.get("task_type")), "feature-extraction")
    task = task or own
    free = own == "feature-extraction"  # peft's other task types say nothing about the head
    if task not in ((*EMBEDDERS, "fill-mask") if free else (own,)):
        raise ValueError(f"{folder} is an adapter for {own}, not for {task}; export it for {own}")
    if task == "fill-mask" and any(_TIED.search(name) for name in tensors):
        raise ValueError(
            f"{folder} adapts the embedding table or the decoder, which are one in a masked LM: merged, it would not "
            "give the logits that were trained; export it for feature-extraction or embedding, or adapt linear layers"
        )
    base = _base_of(folder, str(fields.get("base_model_name_or_path")))
    opened = open_checkpoint(base)
    opened.verify()
    _refuse_other_types(base, opened.config)
    heads = [info.shape[0] for name, info in tensors.items() if name.endswith("classifier.weight")]
    labels: dict[str, Any] = {}
    if (folder / "config.json").is_file() and "id2label" in (said := read_json(folder / "config.json")):
        labels = {"id2label": {int(number): name for number, name in said["id2label"].items()}}
    elif heads:
        labels = {"num_labels": heads[0]}
    whole = any(name.startswith("base_model.model.model.") for name in tensors)  # trained with a head on it
    if whole and TASKS[task] == "MmBertModel":
        network = _merged(_loaded("MmBertForMaskedLM", base), folder, set(tensors)).model
    else:
        network = _loaded(TASKS[task], base, **labels)
        if whole or TASKS[task] == "MmBertModel":
            network = _merged(network, folder, set(tensors))
        else:
            network.model = _merged(network.model, folder, set(tensors))
    return task, network, folder if (folder / "tokenizer.json").is_file() else base


def _base_of(folder: Path, named: str) -> Path:
    for candidate in (Path(named), folder / named, folder.parent / named):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(
        f"{folder / _ADAPTER}: its base {named!r} is no folder here; download it and put its path there"
    )


def _merged(network: Any, folder: Path, trained: set[str]) -> Any:
    """Merge an adapter, and refuse one that has no tensor for a place of it: peft leaves such a place as it was."""
    try:
        from peft import PeftModel, get_peft_model_state_dict
    except ImportError as missing:
        raise ImportError('adapters need peft: pip install "mmbert[finetune]"') from missing
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            adapted = PeftModel.from_pretrained(network, str(folder))
        absent = sorted(set(get_peft_model_state_dict(adapted, save_embedding_layers=False)) - trained)
        if absent:
            raise KeyError(f"it has no {absent[0]} ({len(absent)} such), it was trained on another class or base")
    except (RuntimeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder}: the adapter does not fit its base: {' '.join(str(error).split())[:200]}"
        ) from error
    return adapted.merge_and_unload().eval()


def _tokenizer(folder: Path) -> Any | None:
    if not (folder / "tokenizer.json").is_file():
        return None
    return load_tokenizer(folder)


def _config(model: Any) -> dict[str, Any]:
    """Say a network's configuration in ModernBERT's words, old and new."""
    fields = {k: v for k, v in model.config.to_dict().items() if not k.startswith("_") and k != "auto_map"}
    architecture = type(model).__name__.replace("MmBert", "ModernBert")
    fields |= {"model_type": "modernbert", "architectures": [architecture], "sparse_prediction": False}
    return dict(sorted(fields.items()))
