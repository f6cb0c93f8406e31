"""Where variants agree: kept mass and sign agreement by layer, cosine between task vectors.

Sign agreement is the share of coordinates, among those where at least two variants survived the trim, at which all
survivors have one sign. Two unrelated variants agree on about half; the rest of a layer's conflicts is what the merge
had to throw away there. The numbers are gathered while the merge runs and cost no pass of their own.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..common.files import read_json

if TYPE_CHECKING:
    from rich.table import Table

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class LayerAgreement:
    """Agreement in one layer."""

    name: str  # "embeddings", "layer 7" or "head and norms"
    parameters: int  # number of elements
    kept: tuple[float, ...]  # share of elements that survived the trim, by variant
    # share of the task vector's absolute sum that survived, by variant; None where it did not move
    kept_mass: tuple[float | None, ...]
    sign_agreement: float | None


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """Agreement of the variants of a merge.

    Attributes:
        variants: Their names.
        cosine: Cosine between the untrimmed task vectors, (variants, variants); None where a variant did not move.
        layers: One entry a layer, embeddings first.
        whole: The same over the whole model.
    """

    variants: tuple[str, ...]
    cosine: tuple[tuple[float | None, ...], ...]
    layers: tuple[LayerAgreement, ...]
    whole: LayerAgreement

    def to_dict(self) -> dict[str, Any]:
        """Give the report as the plain values that merge.json holds under "report"."""
        return asdict(self)

    def to_table(self) -> "Table":
        """Give the report as a rich table for the terminal, one row per layer."""
        from rich.table import Table

        table = Table(title="Agreement of the variants", caption=self._cosines())
        table.add_column("layer")
        table.add_column("parameters", justify="right")
        table.add_column("signs agree", justify="right")
        for variant in self.variants:
            table.add_column(f"kept mass\n{variant}", justify="right")
        for layer in (*self.layers, self.whole):
            masses = [_percent(mass) for mass in layer.kept_mass]
            table.add_row(layer.name, f"{layer.parameters:,}", _percent(layer.sign_agreement), *masses)
        return table

    def draw(self, path: str | os.PathLike[str]) -> Path:
        """Draw sign agreement and kept mass by layer, and cosines between task vectors, as heat maps."""
        from ..model_cards.plots.agreement import draw_agreement

        return draw_agreement(self.to_dict(), path)

    def _cosines(self) -> str:
        pairs = [
            f"{self.variants[i]} / {self.variants[j]} {value:.3f}"
            for i in range(len(self.variants))
            for j in range(i)
            if (value := self.cosine[i][j]) is not None
        ]
        return "cosine between task vectors: " + ", ".join(pairs) if pairs else ""


def read_report(merged: str | os.PathLike[str]) -> AgreementReport:
    """Read the agreement report of a TIES merge.

    Args:
        merged: Directory that `merge_ties` wrote.

    Returns:
        The report.

    Raises:
        ValueError: If the merge was not a TIES merge.
    """
    record = read_json(Path(merged) / "merge.json")
    if "report" not in record:
        raise ValueError(
            f"{merged}: a merge by {record.get('method')} has no agreement report; only TIES merges have one"
        )
    raw = record["report"]
    layers = [_layer(**layer) for layer in (*raw["layers"], raw["whole"])]
    return AgreementReport(tuple(raw["variants"]), tuple(map(tuple, raw["cosine"])), tuple(layers[:-1]), layers[-1])


class AgreementTally:
    """Gathers the report's sums piece by piece, for variants of these names."""

    def __init__(self, variants: Sequence[str]) -> None:
        self._variants = tuple(variants)
        self._products = torch.zeros(len(self._variants), len(self._variants), dtype=torch.float64)
        self._sums: dict[str, torch.Tensor] = {}

    def add(self, name: str, task: torch.Tensor, trimmed: torch.Tensor) -> None:
        """Count one piece of a parameter: task vectors (variants, elements) float32 before and after the trim."""
        self._products += (task @ task.T).double()
        survivors = trimmed != 0
        several = survivors.sum(0) > 1
        both = (trimmed.amax(0) > 0) & (trimmed.amin(0) < 0)  # a fifth of the time that any(0) of a comparison takes
        agreeing = several & ~both
        single = torch.tensor([float(task.shape[1]), float(several.sum()), float(agreeing.sum())], dtype=torch.float64)
        by_variant = [survivors.sum(1), task.abs().sum(1), trimmed.abs().sum(1)]
        sums = torch.cat([single, *(values.double() for values in by_variant)])
        layer = layer_of(name)
        self._sums[layer] = self._sums.get(layer, torch.zeros_like(sums)) + sums

    def report(self) -> AgreementReport:
        """Turn the sums into shares."""
        norms = self._products.diagonal().sqrt()
        cosine = (self._products / norms[:, None] / norms[None, :]).clamp(-1, 1)
        rows = [[None if value != value else value for value in row] for row in cosine.tolist()]  # 0 / 0 is NaN
        layers = [self._share(name, self._sums[name]) for name in sorted(self._sums, key=_layer_order)]
        whole = self._share("whole model", torch.stack(list(self._sums.values())).sum(0))
        return AgreementReport(self._variants, tuple(map(tuple, rows)), tuple(layers), whole)

    def _share(self, name: str, sums: torch.Tensor) -> LayerAgreement:
        count = len(self._variants)
        size, several, agreeing = sums[:3].tolist()
        kept, mass, kept_mass = (sums[3 + place * count : 3 + (place + 1) * count].tolist() for place in range(3))
        return LayerAgreement(
            name,
            int(size),
            tuple(value / size for value in kept),
            tuple(part / all_ if all_ else None for part, all_ in zip(kept_mass, mass, strict=True)),
            agreeing / several if several else None,
        )


def layer_of(name: str) -> str:
    """Name the layer that a parameter belongs to: "layer 7", "embeddings" or "head and norms"."""
    found = _LAYER.search(name)
    if found:
        return f"layer {int(found[1])}"
    return "embeddings" if "embed" in name else "head and norms"


def _layer_order(name: str) -> tuple[int, int]:
    if name.startswith("layer "):
        return 1, int(name.removeprefix("layer "))
    return (0 if name == "embeddings" else 2), 0


def _layer(*, kept: list[float], kept_mass: list[float | None], **rest: Any) -> LayerAgreement:
    return LayerAgreement(kept=tuple(kept), kept_mass=tuple(kept_mass), **rest)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
