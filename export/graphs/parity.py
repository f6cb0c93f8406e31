"""How far an exported file's numbers are from torch's in fp32, on fixed input: the largest, the mean, the angle.

Trade-off: the input is a dozen sentences of several scripts and one long row, the same for every export, so that
figures can be compared from one export to the next; the user's calibration texts are not in it.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

SENTENCES = (
    "The ferry leaves at seven, unless the wind turns.",
    "Der Zug nach Basel fährt heute von Gleis neun.",
    "La panadería de la esquina abre los domingos.",
    "Библиотека закрыта до конца недели.",
    "図書館は月曜日に休みます。",
    "图书馆星期一不开门。",
    "المكتبة مغلقة يوم الجمعة.",
    "पुस्तकालय सोमवार को बंद रहता है।",
    "Kütüphane pazartesi günleri kapalıdır.",
    "Maktaba imefungwa siku ya Jumatatu.",
    "도서관은 월요일에 문을 닫습니다.",
    "def add(a, b):\n    return a + b",
)
_LONG = 300  # tokens of the longest row: more than two windows
# Cosine under which an export is not the same network: the least one, and the mean one of what was rounded coarsely.
_LEAST = {"float32": 0.9999, "fp16": 0.999}
_MEAN = {"int8": 0.98, "int8-static": 0.9, "q4": 0.9}
_FEW = 8  # numbers a row below which all rows count as one vector: the cosine of a single score is its sign


@dataclass(frozen=True, slots=True)
class Parity:
    """One file against torch.

    Attributes:
        format: `onnx` or `openvino`.
        dtype: Such as `float32`, `int8` or `int8-static`.
        output: Which output was compared, at real tokens.
        max_difference: Largest absolute difference.
        mean_difference: Mean absolute difference.
        cosine: Smallest cosine of two vectors; of outputs of a few classes or scores, all together are one.
        mean_cosine: Mean cosine.
        same_choice: Share of equal largest logits; None where there are no logits.
    """

    format: str
    dtype: str
    output: str
    max_difference: float
    mean_difference: float
    cosine: float
    mean_cosine: float
    same_choice: float | None

    def as_fields(self) -> dict[str, Any]:
        """Return it as a dict that `json` can write."""
        return asdict(self)

    def __str__(self) -> str:
        """Say it in one line."""
        same = "" if self.same_choice is None else f", same choice {self.same_choice:.1%}"
        return (
            f"{self.format} {self.dtype} against torch float32: {self.output} differs by at most "
            f"{self.max_difference:.2g}, {self.mean_difference:.2g} in the mean; cosine at least "
            f"{self.cosine:.6f}{same}"
        )


def fixed_batches(tokenizer: Any | None, vocabulary: int, max_length: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Ids and masks (B, L) that are compared, padded on the right: rows of mixed lengths, and a single long one."""
    if tokenizer is None:
        draw = np.random.default_rng(0)
        rows = [draw.integers(5, vocabulary, size).tolist() for size in (3, 17, 40, 9)] if vocabulary > 5 else [[0]]
    else:
        rows = [tokenizer(text, verbose=False)["input_ids"] for text in SENTENCES]  # a word on long ones is no news
    long = [token for _ in range(_LONG) for row in rows for token in row][: min(_LONG, max_length)]
    return [padded([row[:max_length] for row in rows]), padded([long])]


def padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and mask (B, L) of rows of any length, with id 0 at padding."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return ids, mask


def compare(
    kind: tuple[str, str], output: str, expected: list[np.ndarray], found: Iterator[np.ndarray], masks: list[np.ndarray]
) -> Parity:
    """Compare torch's outputs, (B, n) or (B, L, n), with the file's batch by batch, at real tokens."""
    differences, rows, same = [], [], []
    for ours, theirs, mask in zip(expected, found, masks, strict=True):
        a, b = (x[mask.astype(bool)] if x.ndim == 3 else x for x in (ours, theirs))
        differences.append(np.abs(a - b).ravel())
        rows.append((a, b))
        same.append(a.argmax(1) == b.argmax(1))
    if rows[0][0].shape[1] < _FEW:
        whole = [np.concatenate([pair[side] for pair in rows]).reshape(1, -1) for side in (0, 1)]
        rows = [(whole[0], whole[1])]
    norms = [np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) for a, b in rows]
    cosines = [(a * b).sum(1) / np.maximum(norm, 1e-30) for (a, b), norm in zip(rows, norms, strict=True)]
    all_differences, all_cosines = np.concatenate(differences), np.concatenate(cosines)
    return Parity(
        *kind,
        output,
        float(all_differences.max()),
        float(all_differences.mean()),
        float(all_cosines.min()),
        float(all_cosines.mean()),
        float(np.concatenate(same).mean()) if output == "logits" else None,
    )


def refuse_another_network(parity: Parity) -> None:
    """Refuse an export whose numbers are too far from torch's for what its weights are in."""
    if parity.dtype in _LEAST:
        found, bound, which, remedy = parity.cosine, _LEAST[parity.dtype], "least", "export it in fp32"
    else:
        found, bound, which, remedy = parity.mean_cosine, _MEAN[parity.dtype], "mean", "choose more bits"
    if not found >= bound:
        remedy = "please report this" if parity.dtype == "float32" else remedy
        raise ValueError(
            f"the export does not give the numbers of the checkpoint and was not written: {which} cosine {found:.6f}, "
            f"{parity.dtype} wants {bound}; {remedy} ({parity})"
        )
