"""Who embeds in `benchmarks/embed.py`: checkpoints of each shape, and one run in a process of its own.

    python benchmarks/embed_contestants.py '{"folder": ..., "loader": "mmbert", ...}'

prints one line of JSON. mmbert and plain sentence-transformers read the very same folder.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmbert import load_embedder
from mmbert.embeddings import save_embedder
from mmbert.evaluation.efficiency.memory import measure_peak
from mmbert.evaluation.efficiency.models import DTYPES, OURS, Entry, configuration
from mmbert.export import export_onnx, export_openvino
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from transformers import AutoModel

_WARM = ["a few words that let the libraries set themselves up"] * 2
_CHECKED = 8  # documents whose vectors are kept, so that twins can be compared


@dataclass(frozen=True, slots=True)
class Job:
    """One run.

    Attributes:
        folder: Saved SentenceTransformer.
        loader: `mmbert` or `sentence-transformers`.
        dtype: Of the weights; `default`: what the loader takes by itself.
        backend: `torch`, `onnx` or `openvino`.
        corpus: JSON file with the documents.
        threads: Threads to compute with.
        vectors: File for the first vectors, to compare.
        batch_size: Rows of a batch, for sentence-transformers; None: its default, 32.
    """

    folder: str
    loader: str
    dtype: str
    backend: str
    corpus: str
    threads: int
    vectors: str
    batch_size: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took.

    Attributes:
        cpu_seconds: CPU time of `encode`, tokenisation included.
        wall_seconds: Time on the wall.
        peak: Most resident memory while it ran, bytes.
        before: Resident memory before, weights included, bytes.
    """

    cpu_seconds: float
    wall_seconds: float
    peak: int
    before: int


def write_checkpoint(folder: Path, network: str, size: str, layers: int | None, tokenizer: Any) -> None:
    """Write a SentenceTransformer with random weights, mean pooling and normalisation.

    Args:
        folder: Where.
        network: `mmbert`, `xlm-r` or `minilm`.
        size: `base` or `small`.
        layers: Layers in place of the released number.
        tokenizer: Its tokenizer, the same for all.
    """
    torch.manual_seed(0)
    overrides: dict[str, Any] = {"vocab_size": len(tokenizer)}
    if layers is not None:
        overrides["num_hidden_layers"] = layers
    model = AutoModel.from_config(configuration(Entry(network, size, overrides=overrides)))
    if network == OURS:
        encoder = folder.with_name(folder.name + "-encoder")
        model.save_pretrained(encoder)
        save_tokenizer(tokenizer, encoder)
        save_embedder(load_embedder(encoder, dtype="float32", device="cpu"), folder)
        return
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules.transformer import Transformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    plain = folder.with_name(folder.name + "-encoder")
    model.save_pretrained(plain)
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(plain)
    modules = [Transformer(str(plain)), Pooling(model.config.hidden_size, pooling_mode="mean"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder), create_model_card=False)


def write_exported(checkpoint: Path, folder: Path, backend: str, quantize: str) -> None:
    """Export a SentenceTransformer as a user does."""
    export = {"onnx": export_onnx, "openvino": export_openvino}[backend]
    export(checkpoint, folder, quantize=quantize)


def load(job: Job) -> Any:
    """Load as a user does."""
    if job.loader == "mmbert":
        dtype = None if job.dtype == "default" else job.dtype
        return load_embedder(job.folder, dtype=dtype, device="cpu", backend=job.backend)
    from sentence_transformers import SentenceTransformer

    kwargs = {} if job.dtype == "default" else {"dtype": DTYPES[job.dtype]}
    return SentenceTransformer(job.folder, device="cpu", model_kwargs=kwargs)


def main() -> None:
    """Run one job and print what it took."""
    job = Job(**json.loads(sys.argv[1]))
    torch.set_num_threads(job.threads)
    texts = json.loads(Path(job.corpus).read_text(encoding="utf-8"))
    embedder = load(job)
    options = {"show_progress_bar": False, **({} if job.batch_size is None else {"batch_size": job.batch_size})}
    embedder.encode(_WARM, **options)
    kept: list[Any] = []
    began = time.perf_counter()
    peak = measure_peak(lambda: kept.append(embedder.encode(texts, **options)))
    run = Run(peak.cpu_seconds, time.perf_counter() - began, peak.total, peak.before)
    np.save(job.vectors, np.asarray(kept[0][:_CHECKED], dtype=np.float32), allow_pickle=False)
    sys.stdout.write(json.dumps(asdict(run)) + "\n")


if __name__ == "__main__":
    main()
