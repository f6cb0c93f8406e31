"""An exported folder as the first module of a SentenceTransformer: ONNX Runtime or OpenVINO in place of torch.

A folder that was exported as an embedding gives vectors of texts; one that was exported for its features gives vectors
of tokens, and pooling follows in torch. Both engines read rows, so batches are filled up to their longest text; texts
of like length share a batch, and what is filled counts against the token budget.

Trade-off: an exported embedder embeds, and nothing else. To train or save it, load the checkpoint it came from.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers.base.modules.input_module import InputModule

from ...common.checkpoints.hub import load_tokenizer
from ...common.files import read_json
from ...export.graphs.runtime import RECORD, open_runtime

_TASKS = ("embedding", "feature-extraction")


class ExportedEncoder(InputModule):
    """Reads rows of tokens with ONNX Runtime or OpenVINO; `bfloat16` lets OpenVINO round products."""

    reads_packed = False
    wants_tokens = False  # of a graph that pools
    modality_config = {"text": {"method": "forward", "method_output_name": None}}  # noqa: RUF012

    def __init__(self, folder: str, backend: str, dtype: str | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if not (Path(folder) / RECORD).is_file():
            raise FileNotFoundError(
                f"{folder} holds no {RECORD}: backend={backend!r} needs an exported folder; make it with "
                f"mmbert export, or leave backend out"
            )
        self.folder, self.backend = os.fspath(folder), backend
        self.options: dict[str, Any] = {"threads": torch.get_num_threads()}
        if backend == "openvino" and dtype == "bfloat16":
            self.options["precision"] = "bf16"
        self.runtime: Any = self._open()
        record = self.runtime.record
        if record.task not in _TASKS:
            raise ValueError(f"{folder} was exported for {record.task}; an embedder needs {' or '.join(_TASKS)}")
        self.gives_vectors = record.task == "embedding"
        self.longest, self.normalized = int(record.max_length), bool(record.normalized)
        self._refuse_other_dtype(dtype)
        self.tokenizer = load_tokenizer(folder)
        self.saved = read_json(Path(folder) / RECORD)  # what the embedder said that was exported, too
        self.max_seq_length = min(self.longest, int(self.saved.get("max_seq_length") or self.longest))

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Add `sentence_embedding` (B, dimensions), `token_embeddings` (B, L, width) or both of a padded batch."""
        names = {"sentence_embedding": "sentence_embedding"} if self.gives_vectors else {}
        names |= {"token_embeddings": "last_hidden_state"} if self.wants_tokens or not names else {}
        found = self.runtime.run(features["input_ids"], features["attention_mask"], list(names.values()))
        return features | {name: torch.from_numpy(values) for name, values in zip(names, found, strict=True)}

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Turn texts into a padded batch, each behind the prompt."""
        texts = [(prompt or "") + str(text) for text in inputs]
        limit = self.max_seq_length
        options: dict[str, Any] = {"padding": True, "truncation": True, "max_length": limit, "return_tensors": "pt"}
        features = dict(self.tokenizer(texts, **options))  # type: ignore[operator]
        if prompt:  # without what ends it
            features["prompt_length"] = len(self.tokenizer(prompt)["input_ids"]) - 1  # type: ignore[operator]
        return {**features, "modality": "text"}

    def get_embedding_dimension(self) -> int:
        """Return the width of the vectors."""
        return int(self.runtime.record.dimensions)

    def fingerprint(self) -> str:
        """Digest the graph, its weights, which may lie in files beside it, and what the engine rounds to."""
        graph = Path(self.folder) / self.runtime.record.file
        digest = hashlib.sha256(str(self.options.get("precision", "")).encode())
        for path in sorted(graph.parent.glob(f"{graph.stem}.*")):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Refuse: what would be saved is there already."""
        raise ValueError(f"an exported embedder is not saved; copy {self.folder}, or save what it was exported from")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the engine out on the way to another process, which opens it anew."""
        return {**self.__dict__, "runtime": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the engine in the new process."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.runtime = self._open()

    def _open(self) -> Any:
        backend: Any = self.backend
        return open_runtime(self.folder, backend, **self.options)

    def _refuse_other_dtype(self, dtype: str | None) -> None:
        has = self.runtime.record.dtype
        rounds = "precision" in self.options and has == "float32"
        if dtype not in (None, "auto", has) and not rounds:
            raise ValueError(
                f"{self.folder} was exported in {has}, got dtype {dtype!r}; export it so, or leave dtype out"
            )


def exported_embedder(folder: str, backend: str, dtype: str | None, pooling: str | None) -> Any:
    """Open an exported folder as an embedder with the saved prompts, limit and, unless named, pooling."""
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    from .sentence_transformers_model import Embedder

    encoder = ExportedEncoder(folder, backend, dtype)
    saved, own = encoder.saved, encoder.saved.get("pooling")
    if own is not None and pooling not in (None, own):
        where = "pools inside its graph" if encoder.gives_vectors else "was tuned"
        raise ValueError(f"{folder} {where} with {own!r}, got pooling={pooling!r}; leave it out")
    modules: list[Any] = [encoder]
    if not encoder.gives_vectors:
        mode: Any = own or pooling or "mean"
        include = bool(saved.get("include_prompt", True))
        modules.append(Pooling(encoder.get_embedding_dimension(), pooling_mode=mode, include_prompt=include))
    if encoder.normalized or not encoder.gives_vectors:
        modules.append(Normalize())
    prompts, default = dict(saved.get("prompts") or {}), saved.get("default_prompt_name")
    return Embedder(modules=modules, device="cpu", prompts=prompts, default_prompt_name=default)
