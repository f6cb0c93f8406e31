"""What every exported folder has besides its graph: config, tokenizer, modules of an embedder, record and parity.

    config.json, tokenizer files        as stock transformers reads them (`model_type: modernbert`)
    modules.json, 1_Pooling, ...        for an embedding: SentenceTransformer(path, backend="onnx") finds the graph
    onnx/model.onnx, model_qint8.onnx, model_qint8_static.onnx; openvino/openvino_model.xml, ..._qint8.xml, ...
    export.json                         task, file, output, versions
    parity.json                         how far its numbers are from torch's

Steps that both formats share live here; `onnx.py` and `openvino.py` hold what is their own.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...common.checkpoints.format import PICKLES
from ...common.checkpoints.writer import atomic_directory
from ...common.files import refuse_existing, write_json
from ...modeling.tokenization_mmbert import save_tokenizer
from .parity import Parity, compare, fixed_batches, refuse_another_network
from .pooling_head import EmbeddingHead, saved_settings
from .quantization import calibration_batches, check_quantisation
from .runtime import RECORD, ExportRecord, open_runtime
from .source import Source, read_source
from .traceable import RowQuantisedEmbedding, TraceableModel

PARITY = "parity.json"
_EMBEDDERS = ("feature-extraction", "embedding")
SUFFIXES = {"none": "", "int8": "_qint8", "int8-static": "_qint8_static"}


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote.

    Attributes:
        output: The folder.
        file: The graph, below it.
        task: What it computes.
        parity: How far its numbers are from torch's.
    """

    output: Path
    file: str
    task: str
    parity: Parity


@dataclass(frozen=True, slots=True)
class Order:
    """What a user asked of an export; see `export_onnx` for the fields."""

    task: str | None
    quantize: str
    calibration: Sequence[str] | None
    pooling: str | None
    normalize: bool | None
    dims: int | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a format turns into its graph.

    Attributes:
        model: The network to record; its embedding table is in int8 already where that was asked for.
        batches: Calibration, tokenised; None without.
        quantize: As in `Order`.
    """

    model: TraceableModel
    batches: list[dict[str, np.ndarray]] | None
    quantize: str


def write_exported(
    checkpoint: str | os.PathLike[str],
    output: str | os.PathLike[str],
    order: Order,
    graph: tuple[str, str],
    write_graph: Callable[[Prepared, Path], None],
) -> Exported:
    """Read a checkpoint, write the folder around its graph, run the graph and compare.

    Args:
        checkpoint: Checkpoint, SentenceTransformer or adapter.
        output: Folder to make; it appears when it is complete and compared.
        order: What was asked for.
        graph: Format, and the graph's path in the folder.
        write_graph: Writes the graph to a path.

    Returns:
        What was written.

    Raises:
        ValueError: If an option does not fit the checkpoint, or the graph gives other numbers.
    """
    refuse_existing(output)
    source = read_source(checkpoint, order.task)
    refuse_pickled_modules(source.folder)
    head = _embedding_head(source, order)
    tokenizer = _tokenizer(source.files)
    check_quantisation(order.quantize, order.calibration, tokenizer)
    kind, file = graph
    batches = None if order.calibration is None else calibration_batches(order.calibration, tokenizer)
    traceable = TraceableModel(source.model, source.task, head, tied=order.quantize == "none").eval()
    width = source.model.config.hidden_size
    limit = source.model.config.max_position_embeddings
    saved = saved_settings(source.folder, tokenizer, limit) if source.task in _EMBEDDERS else {}
    checked = fixed_batches(tokenizer, source.model.config.vocab_size, limit)
    with torch.no_grad():
        expected = [_first(traceable(*batch)).numpy() for batch in checked]
    if order.quantize != "none":
        embeddings = traceable.encoder.embeddings
        rounded = RowQuantisedEmbedding(embeddings.tok_embeddings.weight)
        embeddings.tok_embeddings = rounded  # type: ignore[assignment]
    with atomic_directory(output) as folder:
        (folder / file).parent.mkdir()
        write_graph(Prepared(traceable, batches, order.quantize), folder / file)
        _write_config(folder, source)
        if tokenizer is not None:
            save_tokenizer(tokenizer, folder)
        if head is not None:
            head.write_modules(folder, width, saved)
            saved |= head.as_fields()
        _write_record(folder, source, saved, traceable, file, expected[0].shape[-1])
        parity = _compare(folder, kind, order.quantize, traceable.outputs[0], expected, checked)
        refuse_another_network(parity)
        write_json(folder / PARITY, parity.as_fields())
    return Exported(Path(output), file, source.task, parity)


def _embedding_head(source: Source, order: Order) -> EmbeddingHead | None:
    chosen = [name for name in ("pooling", "normalize", "dims") if getattr(order, name) is not None]
    if source.task != "embedding":
        if chosen:
            raise ValueError(f"{chosen[0]} is for task embedding, the task is {source.task}; leave it out")
        return None
    width = source.model.config.hidden_size
    return EmbeddingHead.read(source.folder, width, order.pooling, order.normalize, order.dims)


def _tokenizer(folder: Path) -> Any | None:
    if not (folder / "tokenizer.json").is_file():
        return None
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def _first(outputs: Any) -> torch.Tensor:
    found: torch.Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return found


def _write_config(folder: Path, source: Source) -> None:
    """Write config.json in ModernBERT's words, old and new."""
    fields = {k: v for k, v in source.model.config.to_dict().items() if not k.startswith("_") and k != "auto_map"}
    architecture = type(source.model).__name__.replace("MmBert", "ModernBert")
    fields |= {"model_type": "modernbert", "architectures": [architecture], "sparse_prediction": False}
    write_json(folder / "config.json", dict(sorted(fields.items())))


def _write_record(
    folder: Path, source: Source, saved: dict[str, Any], model: TraceableModel, file: str, numbers: int
) -> None:
    from ...version import __version__

    config = source.model.config
    record: dict[str, Any] = {
        "task": source.task,
        "file": file,
        "output": model.outputs[0],
        "max_length": config.max_position_embeddings,
        "dimensions": numbers,
        "normalized": bool(saved.get("normalized")),
    }
    assert set(record) == set(ExportRecord.__slots__)
    write_json(folder / RECORD, {**record, **saved, "mmbert": __version__, "torch": torch.__version__})


def _compare(
    folder: Path,
    kind: str,
    quantize: str,
    output: str,
    expected: list[np.ndarray],
    batches: list[tuple[torch.Tensor, torch.Tensor]],
) -> Parity:
    runtime: Any = open_runtime(folder, kind)  # type: ignore[arg-type]
    dtype = "float32" if quantize == "none" else quantize
    found = (runtime.encode_batch(ids.numpy(), mask.numpy()) for ids, mask in batches)
    return compare((kind, dtype), output, expected, found, [mask.numpy() for _, mask in batches])


def refuse_pickled_modules(folder: Path) -> None:
    """Refuse a SentenceTransformer whose modules lie in pickles."""
    for file in folder.glob("*/*"):
        if file.suffix in PICKLES:
            raise ValueError(f"{file} is a pickle, which can run code when opened; save the module as safetensors")
