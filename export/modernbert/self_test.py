"""A checkpoint's own test: fixed token ids, and the vectors that the encoder must make of them.

The export writes it as `self_test.json`, so that whoever loads the checkpoint later, in any library or dtype, can tell
whether it computes what the author's did: a wrong RoPE theta, a lost window, a swapped or damaged tensor change the
vectors, where a check of names and shapes sees nothing. 160 tokens reach beyond the window of the local layers.

Trade-off: a single flipped low bit hides below the tolerance; finding that is what `SHA256SUMS` is for.
"""

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ...common.deprecation import warn_renamed
from ...common.files import read_json
from ...common.library_output import without_load_report
from ...modeling.int8_format import int8_table

SELF_TEST = "self_test.json"
# Of the relative error. A trained encoder of 7 layers shows 3e-7, 1e-3 and 8e-3; another theta or window 0.1. int8 is
# held to a cosine of 0.98, as in ONNX.
TOLERANCES = {"float32": 1e-4, "float16": 5e-3, "bfloat16": 3e-2, "int8": 0.2}
_LENGTH = 160
_OLD = {"judge": "compare_hidden", "judge_vectors": "compare_vectors"}  # names of 0.1
_ABOUT = "Feed input_ids; mean over the tokens, and last token, of last_hidden_state must be these (relative error)."


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a reader computed against what the checkpoint says.

    Attributes:
        error: The larger relative error of the two vectors; infinite if they are not finite or of another size.
        tolerance: The largest error that rounding explains.
        dtype: The type that was computed in.
    """

    error: float
    tolerance: float
    dtype: str = "float32"

    @property
    def agrees(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.error <= self.tolerance

    def __str__(self) -> str:
        sign = "<=" if self.agrees else ">"
        return f"relative error {self.error:.1e} {sign} {self.tolerance:.0e} in {self.dtype}"


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Input and expected output; make one with `make_self_test` or `read_self_test`.

    Attributes:
        input_ids: Token ids of one sequence without padding.
        mean: Mean of `last_hidden_state` over the tokens, hidden_size numbers computed in fp32.
        last: `last_hidden_state` of the last token, hidden_size numbers.
    """

    input_ids: tuple[int, ...]
    mean: tuple[float, ...]
    last: tuple[float, ...]

    def __getattr__(self, name: str) -> Any:
        if name not in _OLD:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        warn_renamed(f"SelfTest.{name}", f"SelfTest.{_OLD[name]}")
        return getattr(self, _OLD[name])

    def write(self, directory: Path) -> None:
        """Write `self_test.json`, one line a vector.

        Args:
            directory: The checkpoint directory.
        """
        fields = {"about": _ABOUT, **asdict(self), "tolerance": TOLERANCES}
        lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in fields.items())
        (directory / SELF_TEST).write_text(f"{{\n{lines}\n}}\n", encoding="utf-8", newline="\n")

    def compare(
        self, checkpoint: str | os.PathLike[str], *, stock: bool = False, dtype: torch.dtype = torch.float32
    ) -> Comparison:
        """Load a checkpoint's encoder and compute.

        Args:
            checkpoint: The directory.
            stock: Run transformers' ModernBERT instead of our network.
            dtype: Type to compute in.

        Returns:
            How far the vectors are from the expected ones.
        """
        path = Path(checkpoint)
        found = _vectors(_hidden_states(path, self.input_ids, stock=stock, dtype=dtype))
        rounded = int8_table(read_json(path / "config.json")) is not None
        return self._compare(*found, "int8" if rounded else str(dtype).removeprefix("torch."))

    def compare_hidden(self, hidden: torch.Tensor) -> Comparison:
        """Compare what any reader computed.

        Args:
            hidden: (tokens, hidden_size) last hidden state for `input_ids`, in the type it was computed in.

        Returns:
            How far its mean and last vector are from the expected ones.
        """
        mean, last = _vectors(hidden)
        return self._compare(mean, last, str(hidden.dtype).removeprefix("torch."))

    def compare_vectors(self, mean: Sequence[float], last: Sequence[float]) -> Comparison:
        """Compare vectors that another process computed in fp32.

        Args:
            mean: Mean of the last hidden state over the tokens.
            last: Last hidden state of the last token.

        Returns:
            How far they are from the expected ones.
        """
        found = [torch.tensor(vector, dtype=torch.float64) for vector in (mean, last)]
        return self._compare(found[0], found[1], "float32")

    def _compare(self, mean: torch.Tensor, last: torch.Tensor, dtype: str) -> Comparison:
        wanted = (torch.tensor(vector, dtype=torch.float64) for vector in (self.mean, self.last))
        errors = [_relative_error(vector, right) for vector, right in zip((mean, last), wanted, strict=True)]
        return Comparison(max(errors), TOLERANCES.get(dtype, TOLERANCES["float32"]), dtype)


def make_self_test(checkpoint: str | os.PathLike[str]) -> SelfTest:
    """Compute a checkpoint's self-test with our network in fp32, whatever type the weights have.

    Args:
        checkpoint: The directory.

    Returns:
        The test.

    Raises:
        ValueError: If the encoder's output is not finite.
    """
    path = Path(checkpoint)
    config = read_json(path / "config.json")
    length = min(_LENGTH, int(config.get("max_position_embeddings", _LENGTH)))
    ids = _token_ids(int(config.get("vocab_size", 256_000)), length)
    mean, last = _vectors(_hidden_states(path, ids))
    if not bool(mean.isfinite().all()):
        raise ValueError(f"{path}: the encoder's output is not finite; its weights are damaged or training diverged")
    return SelfTest(ids, tuple(_rounded(mean)), tuple(_rounded(last)))


def read_self_test(checkpoint: str | os.PathLike[str]) -> SelfTest | None:
    """Read a checkpoint's self-test.

    Args:
        checkpoint: The directory.

    Returns:
        The test; None if the checkpoint has none.

    Raises:
        ValueError: If the file is damaged.
    """
    path = Path(checkpoint) / SELF_TEST
    if not path.is_file():
        return None
    fields = read_json(path)
    try:
        ids = tuple(int(token) for token in fields["input_ids"])
        vectors = [tuple(float(number) for number in fields[name]) for name in ("mean", "last")]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a self-test ({error!r}); export the checkpoint again") from None
    if not ids or min(ids) < 0 or not vectors[0] or not all(map(math.isfinite, vectors[0] + vectors[1])):
        raise ValueError(f"{path}: needs token ids and two vectors of finite numbers; export the checkpoint again")
    return SelfTest(ids, *vectors)


def _token_ids(vocabulary: int, length: int) -> tuple[int, ...]:
    """Draw ids that depend on nothing but the vocabulary's size, in any language or version of a library."""
    digests = (hashlib.sha256(f"mmbert {position}".encode()).digest() for position in range(length))
    return tuple(int.from_bytes(digest[:8], "big") % vocabulary for digest in digests)


@torch.no_grad()
def _hidden_states(
    path: Path, ids: tuple[int, ...], *, stock: bool = False, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    from transformers import ModernBertModel

    from ...modeling import MmBertModel

    network: Any = ModernBertModel if stock else MmBertModel
    with without_load_report():
        model = network.from_pretrained(path, dtype=dtype, attn_implementation="sdpa").eval()
    hidden: torch.Tensor = model(torch.tensor([ids])).last_hidden_state[0]
    return hidden


def _vectors(hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    hidden = hidden.double()
    return hidden.mean(0), hidden[-1]


def _relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    if found.shape != wanted.shape:
        return math.inf
    error = float((found - wanted).norm() / wanted.norm().clamp_min(1e-12))
    return error if math.isfinite(error) else math.inf


def _rounded(vector: torch.Tensor) -> list[float]:
    return [float(f"{number:.7g}") for number in vector.tolist()]
