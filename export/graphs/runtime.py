"""Runs an exported folder: a padded batch in, vectors or logits out. Needs onnxruntime or openvino, and not optimum.

    encoder = open_runtime("exported")                       # onnx/model.onnx or openvino/openvino_model.xml in it
    vectors = encoder.encode_batch(input_ids, attention_mask)  # NumPy or torch, (B, L) each

The folder is what `export_onnx` and `export_openvino` write; `export.json` in it says the task and output.

Trade-off: both engines are opened on the CPU in the numbers of the file (OpenVINO would round to bf16 unasked on
processors that multiply it; pass `precision="bf16"` to have that).
"""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...common.files import read_json
from ...common.messages import require_known

ONNX_FOLDER, OPENVINO_FOLDER = "onnx", "openvino"
RECORD = "export.json"
_PRECISIONS = ("f32", "bf16")
_DTYPES = {"_fp16": "float16", "_quantized": "int8", "_qint8": "int8", "_qint8_static": "int8", "_q4": "q4"}


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """What an exported folder holds, as `export.json` says."""

    task: str
    file: str  # the graph, as a path below the folder
    output: str  # the output that the task is about, such as `sentence_embedding`; two for question answering
    max_length: int  # tokens that a row may have
    dimensions: int  # length of an embedding or width of vectors; number of classes, or words, for logits
    normalized: bool  # whether embeddings have length 1

    @property
    def dtype(self) -> str:
        """What the graph has its weights in, by its name: float32, float16, int8 or q4."""
        stem = Path(self.file).stem
        return next((dtype for suffix, dtype in _DTYPES.items() if stem.endswith(suffix)), "float32")

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "ExportRecord":
        """Read the record of an exported folder."""
        fields = read_json(Path(folder) / RECORD)
        try:
            return cls(**{name: fields[name] for name in cls.__slots__})
        except KeyError as missing:
            raise ValueError(f"{Path(folder) / RECORD}: has no {missing}; export the checkpoint again") from None


class Runtime(ABC):
    """What both engines share: checks of the input, and the output that matters."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.record = ExportRecord.read(folder)

    def encode_batch(self, input_ids: Any, attention_mask: Any) -> np.ndarray:
        """Run a padded batch.

        Args:
            input_ids: (B, L) integers, NumPy or torch.
            attention_mask: (B, L), zero at padding, which may lie anywhere.

        Returns:
            float32: (B, dimensions) for embeddings of texts and text classification; (B, L, dimensions) for the other
            tasks, without meaning at padding.

        Raises:
            ValueError: If the shapes differ or are empty, rows are too long, or an id lies outside the vocabulary.
        """
        return _one_array(self.run(input_ids, attention_mask, self.record.output.split()))

    def run(self, input_ids: Any, attention_mask: Any, outputs: list[str]) -> list[np.ndarray]:
        """Run a padded batch and give the named outputs.

        Args:
            input_ids: See `encode_batch`.
            attention_mask: See `encode_batch`.
            outputs: Such as `last_hidden_state`.

        Returns:
            float32, in their order.

        Raises:
            ValueError: See `encode_batch`.
        """
        ids, mask = (np.ascontiguousarray(given, dtype=np.int64) for given in (input_ids, attention_mask))
        if ids.ndim != 2 or ids.shape != mask.shape or 0 in ids.shape:
            raise ValueError(f"need ids and mask of one shape (batch, length), got {ids.shape} and {mask.shape}")
        if ids.shape[1] > self.record.max_length:
            raise ValueError(
                f"rows have {ids.shape[1]} tokens, the model reads at most {self.record.max_length}; truncate them"
            )
        found = self._run(ids, (mask != 0).astype(np.int64), outputs)
        return [np.array(values, dtype=np.float32) for values in found]

    @abstractmethod
    def _run(self, ids: np.ndarray, mask: np.ndarray, outputs: list[str]) -> list[Any]:
        """Give outputs for ids and a mask of ones and zeros."""


class OnnxEncoder(Runtime):
    """An exported folder on ONNX Runtime.

    Args:
        folder: What `export_onnx` wrote.
        file_name: Its graph; None: the one that `export.json` names.
        threads: Threads within an operation; None: as many as ONNX Runtime chooses, or OMP_NUM_THREADS.
        providers: ONNX Runtime's execution providers, the best first; None: the CPU.

    Raises:
        FileNotFoundError: If the folder holds no such file.
        ImportError: If onnxruntime is not installed.
        ValueError: If the file cannot be loaded.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        file_name: str | None = None,
        threads: int | None = None,
        providers: list[str] | None = None,
    ) -> None:
        super().__init__(folder)
        file = _existing(Path(folder) / (file_name or self.record.file))
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _threads(threads)
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(
                str(file), options, providers=providers or ["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions share no base class of their own
            raise ValueError(f"{file}: ONNX Runtime cannot load it: {_one_line(error)}") from error

    def _run(self, ids: np.ndarray, mask: np.ndarray, outputs: list[str]) -> list[Any]:
        try:
            found: list[Any] = self.session.run(outputs, {"input_ids": ids, "attention_mask": mask})
        except Exception as error:
            raise ValueError(f"ONNX Runtime refuses the batch: {_one_line(error)}") from error
        return found


class OpenVinoEncoder(Runtime):
    """An exported folder on OpenVINO.

    Args:
        folder: What `export_openvino` wrote.
        file_name: Its graph; None: the one that `export.json` names.
        threads: Threads; None: as many as OpenVINO chooses, or OMP_NUM_THREADS.
        precision: `f32`, or `bf16` for products rounded to it, which processors with AMX or AVX512-BF16 do faster.

    Raises:
        FileNotFoundError: If the folder holds no such file.
        ImportError: If openvino is not installed.
        ValueError: If the file cannot be loaded, or the precision is unknown.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        file_name: str | None = None,
        threads: int | None = None,
        precision: Literal["f32", "bf16"] = "f32",
    ) -> None:
        require_known("precision", precision, _PRECISIONS)
        super().__init__(folder)
        file = _existing(Path(folder) / (file_name or self.record.file))
        core = _openvino_core()
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        if count := _threads(threads):
            settings["INFERENCE_NUM_THREADS"] = count
        try:
            self.model = core.compile_model(core.read_model(file), "CPU", settings)
        except RuntimeError as error:
            raise ValueError(f"{file}: OpenVINO cannot load it: {_one_line(error)}") from error

    def _run(self, ids: np.ndarray, mask: np.ndarray, outputs: list[str]) -> list[Any]:
        try:
            found = self.model({"input_ids": ids, "attention_mask": mask})
        except RuntimeError as error:
            raise ValueError(f"OpenVINO refuses the batch: {_one_line(error)}") from error
        return [found[name] for name in outputs]


def open_runtime(
    folder: str | os.PathLike[str], backend: Literal["onnx", "openvino"] | None = None, **options: Any
) -> OnnxEncoder | OpenVinoEncoder:
    """Open an exported folder with the engine that it was exported for.

    Args:
        folder: What `export_onnx` or `export_openvino` wrote.
        backend: `onnx` or `openvino`; None: what the folder was exported for.
        **options: Those of `OnnxEncoder` or `OpenVinoEncoder`.

    Returns:
        The encoder.

    Raises:
        FileNotFoundError: If the folder holds no exported file.
        ImportError: If the engine is not installed.
        ValueError: If the backend is unknown, or the file cannot be loaded.
    """
    require_known("backend", backend, (None, "onnx", "openvino"))
    if backend is None:
        backend = "openvino" if ExportRecord.read(folder).file.endswith(".xml") else "onnx"
    return OnnxEncoder(folder, **options) if backend == "onnx" else OpenVinoEncoder(folder, **options)


def import_onnxruntime() -> Any:
    """Import onnxruntime, or name the extra."""
    try:
        import onnxruntime
    except ImportError as missing:
        raise ImportError('ONNX needs onnxruntime: pip install "mmbert[onnx]"') from missing
    return onnxruntime


def import_openvino() -> Any:
    """Import openvino, or name the extra."""
    try:
        import openvino
    except ImportError as missing:
        raise ImportError('OpenVINO needs openvino: pip install "mmbert[openvino]"') from missing
    return openvino


@cache
def _openvino_core() -> Any:
    """Give the one Core that all models of this process share.

    Each Core lays a stack of its own for signal handlers over the one before, and unmaps it when it goes. Where a first
    Core went before a second, the second put the unmapped stack back, and the next signal that Python handles (Ctrl-C,
    a worker that ends) killed the process without a word (OpenVINO 2026.4; `tests/export/test_onnx_export.py`).
    """
    return import_openvino().Core()


def _one_array(outputs: list[np.ndarray]) -> np.ndarray:
    """Give a task's output; the two of question answering as one array (B, L, 2)."""
    return outputs[0] if len(outputs) == 1 else np.stack(outputs, -1)


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist; make it with: mmbert export CHECKPOINT {file.parent.parent}")
    return file


def _threads(threads: int | None) -> int:
    """Return the number of threads, 0 for the engine's own choice; OMP_NUM_THREADS speaks to torch only."""
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    said = os.environ.get("OMP_NUM_THREADS", "")
    return threads or (int(said) if said.isdigit() else 0)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
