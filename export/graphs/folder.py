"""Writes an exported folder around its graph, and compares it with torch before it appears.

config.json, tokenizer files        as stock transformers reads them (`model_type: modernbert`)
modules.json, 1_Pooling, ...        for an embedding: SentenceTransformer(path, backend="onnx") finds the graph
onnx/model.onnx, model_quantized.onnx, ...; openvino/openvino_model.xml, openvino_model_qint8.xml, ...
export.json                         task, file, output, versions
parity.json                         how far its numbers are from torch's
export.log                          what the converter printed; of a conversion that failed, OUTPUT.export.log
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...common.checkpoints.writer import atomic_directory
from ...common.files import read_json, refuse_existing, write_json
from ...common.messages import require_known
from ...model_cards.cards.folder import write_card
from ...modeling.tokenization_mmbert import save_tokenizer
from ..modernbert.st_modules import LENGTH
from ..modernbert.tokenizer_files import write_portable_cut
from .noise import output_into
from .parity import Parity, compare, refuse_another_network
from .plan import ExportPlan, read_plan
from .quantization import ROUNDED
from .runtime import RECORD, ExportRecord, open_runtime

_log = logging.getLogger(__name__)

PARITY = "parity.json"
_SELF_TEST = 64  # numbers


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
class GraphFormat:
    """One kind of graph.

    Attributes:
        kind: `onnx` or `openvino`.
        file: Its path in the folder, with * for what the quantisation adds to the name.
        suffixes: What each quantisation that the format has adds to it.
        write: Writes the graph of a plan to a path.
    """

    kind: str
    file: str
    suffixes: dict[str, str]
    write: Callable[[ExportPlan, Path], None]


def write_folder(
    target: GraphFormat,
    checkpoint: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    quantize: str,
    **options: Any,
) -> Exported:
    """Read a checkpoint and write its graph, what belongs beside it and the comparison with torch, or nothing."""
    refuse_existing(output)
    require_known("quantize", quantize, target.suffixes)
    plan = read_plan(checkpoint, quantize=quantize, **options)
    kind, file = target.kind, target.file.replace("*", target.suffixes[quantize])
    if quantize in ROUNDED:
        plan.round_embeddings()
    with atomic_directory(output) as folder:
        (folder / file).parent.mkdir()
        _log.info("recording the network as a graph; what other libraries print goes into export.log")
        with output_into(folder, Path(output)):
            target.write(plan, folder / file)
        write_json(folder / "config.json", plan.config)
        if plan.tokenizer is not None:
            save_tokenizer(plan.tokenizer, folder)
            write_portable_cut(folder / "tokenizer.json")
        limit = plan.settings.get("max_seq_length") or min(
            plan.max_length, getattr(plan.tokenizer, "model_max_length", plan.max_length)
        )
        write_json(folder / LENGTH, {"max_seq_length": limit, "do_lower_case": False})  # readers cut at 512 without it
        settings = dict(plan.settings)
        if plan.head is not None:
            plan.head.write_modules(folder, plan.config["hidden_size"], settings)
            settings |= plan.head.as_fields()
        _write_record(folder, plan, file, settings)
        _log.info("comparing the numbers of %s with torch's", file)
        runtime: Any = open_runtime(folder, kind)  # type: ignore[arg-type]
        _add_self_test(folder, runtime, plan)
        parity = _compare(runtime, kind, plan)
        refuse_another_network(parity)
        write_json(folder / PARITY, parity.as_fields())
        write_card(folder, Path(output).name)
    return Exported(Path(output), file, plan.task, parity)


def _write_record(folder: Path, plan: ExportPlan, file: str, settings: dict[str, Any]) -> None:
    from ...version import __version__

    record: dict[str, Any] = {
        "task": plan.task,
        "file": file,
        "output": plan.network.output,
        "max_length": plan.max_length,
        "dimensions": plan.expected[0].shape[-1],
        "normalized": bool(settings.get("normalized")),
    }
    assert set(record) == set(ExportRecord.__slots__)
    write_json(folder / RECORD, {**record, **settings, "mmbert": __version__, "torch": torch.__version__})


def _add_self_test(folder: Path, runtime: Any, plan: ExportPlan) -> None:
    """Put a row and the graph's numbers for it into export.json, for `mmbert doctor` to compare with elsewhere."""
    ids, mask = (tensor[:1].numpy() for tensor in plan.batches[0])
    ids = ids[:, : int(mask.sum())]
    values = runtime.encode_batch(ids, np.ones_like(ids)).ravel()[:_SELF_TEST]
    test = {"input_ids": ids[0].tolist(), "values": [float(f"{value:.7g}") for value in values]}
    write_json(folder / RECORD, {**read_json(folder / RECORD), "self_test": test})


def _compare(runtime: Any, kind: str, plan: ExportPlan) -> Parity:
    dtype = "float32" if plan.quantize == "none" else plan.quantize
    found = (runtime.encode_batch(ids.numpy(), mask.numpy()) for ids, mask in plan.batches)
    return compare((kind, dtype), plan.network.output, plan.expected, found, [m.numpy() for _, m in plan.batches])
