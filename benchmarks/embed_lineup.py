"""Who takes part in `benchmarks/embed.py`, corpus by corpus."""

from collections.abc import Collection
from dataclasses import dataclass

from mmbert.evaluation.efficiency.models import MINILM, OURS, XLM_R

MMBERT, PLAIN = "mmbert", "sentence-transformers"
TUNED_ROWS = 4  # rows of a batch for who knows that padding costs
BACKENDS = {"torch": ("int8",), "onnx": ("float32", "int8"), "openvino": ("float32", "bfloat16", "int8")}


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who embeds, and how.

    Attributes:
        network: Shape: `mmbert`, `xlm-r` or `minilm`.
        size: `base` or `small`.
        loader: `mmbert` or `sentence-transformers`.
        dtype: `float32`, `bfloat16`, `int8`, or `default`: what the loader takes by itself.
        rows: Rows of a batch where sentence-transformers is told; None: as installed.
        backend: `torch`, `onnx` or `openvino`.
    """

    network: str
    size: str
    loader: str
    dtype: str
    rows: int | None = None
    backend: str = "torch"

    def __str__(self) -> str:
        extra = f", {self.rows} rows" if self.rows else ""
        extra += f", {self.backend}" if self.backend != "torch" else ""
        return f"{self.network} {self.size}, {self.loader}, {self.dtype}{extra}"


def contestants(corpus: str, sizes: list[str], backends: Collection[str]) -> list[Contestant]:
    """List who embeds a corpus: twins in both dtypes; on short texts, also as installed beside XLM-R and MiniLM.

    Args:
        corpus: `mixed` or `short`.
        sizes: `base`, `small` or both.
        backends: Of `BACKENDS`; what each of them adds to the torch pair, in beside weights or exported.
    """
    found = []
    for size in sizes:
        for dtype in ("float32", "bfloat16") if corpus == "mixed" else ():
            found += [Contestant(OURS, size, MMBERT, dtype), Contestant(OURS, size, PLAIN, dtype)]
            found.append(Contestant(OURS, size, PLAIN, dtype, rows=TUNED_ROWS))
        if corpus == "short":
            found += [Contestant(OURS, size, loader, "default") for loader in (MMBERT, PLAIN)]
            found.append(Contestant(OURS, size, MMBERT, "float32"))
        beside = [(backend, dtype) for backend in backends for dtype in BACKENDS[backend]]
        found += [Contestant(OURS, size, MMBERT, dtype, backend=backend) for backend, dtype in beside]
    if corpus == "short":
        found += [Contestant(XLM_R, "base", PLAIN, "default"), Contestant(MINILM, "small", PLAIN, "default")]
    return found
