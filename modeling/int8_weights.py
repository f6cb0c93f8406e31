"""Linear layers with weights in int8, for inference on a CPU: a quarter of the memory of fp32, half of bf16.

Each output channel has a scale, each token too: it is rounded by its own range, never by that of its neighbours, so a
text keeps one vector whatever shares its batch. The products run on integers, in oneDNN's `qlinear_pointwise`, which
torch's compiler uses as well. `torch.ao.quantization.quantize_dynamic`, which is deprecated, rounds all tokens by one
range; its error is 2.4 %, here 1.1 %. On one core with AVX512-VNNI and no bf16 instructions, 256 tokens from 768 to
2,304 channels take 8.5 ms in fp32; here 2.7 ms for the integer product, 0.4 for rounding the tokens and their steps.

Weights that lie in int8 on disk (`int8_format`) are read as they are, by transformers' own way of loading.

Trade-off: packed weights cannot be read back, so such a model runs and is neither trained nor saved; keep the
checkpoint it came from. Where no integer kernel is right (torch without oneDNN, as on macOS; processors without VNNI or
AMX, where oneDNN's sums of two products are cut at 16 bits), weights that are rounded here are unpacked for every
product: as small, not as fast. A checkpoint in int8 is refused there.
"""

from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AUTO_QUANTIZER_MAPPING
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from .int8_format import DECODER, METHOD, SCALE, int8_fields
from .linear_cross_entropy import is_plain_linear
from .stored_embedding import StoredEmbedding

_MIDDLE = 128  # activations are unsigned bytes around it, the kind of product that VNNI has
_STEPS = 127
_REMEDY = "load the checkpoint they are of, or this one in stock transformers with compressed-tensors"


@cache
def integer_obstacle() -> str | None:
    """Say why integer products would be slow or wrong here, or None; one small product tells."""
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.onednn, "qlinear_prepack")):
        return "this torch was built without oneDNN"
    largest = torch.full((16, 64), 255, dtype=torch.uint8), torch.full((32, 64), _STEPS, dtype=torch.int8)
    scale = torch.ones(32)
    if (_products(largest[0], _pack(largest[1]), scale, scale.int(), 0) != 64 * 255 * _STEPS).any():
        return "this processor has no VNNI or AMX instructions"
    return None


def require_integers() -> None:
    """Refuse weights that are stored in int8 where they would be slow."""
    if obstacle := integer_obstacle():
        raise ValueError(f"the checkpoint's weights are in int8, and {obstacle}; {_REMEDY}")


def _pack(rows: Tensor) -> Tensor:
    return cast(Tensor, torch.ops.onednn.qlinear_prepack(rows, None))


def _products(tokens: Tensor, packed: Tensor, scale: Tensor, zero: Tensor, middle: int = _MIDDLE) -> Tensor:
    found: Tensor = torch.ops.onednn.qlinear_pointwise(
        tokens, 1.0, middle, packed, scale, zero, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return found


class Int8Linear(nn.Module):
    """What takes the place of an `nn.Linear`.

    Args:
        linear: The layer, in any float dtype, or in int8 with its `weight_scale`.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        scale = getattr(linear, SCALE, None)
        rows, scale = round_rows(linear.weight.detach()) if scale is None else (linear.weight.data, scale.data)
        scale = scale.flatten()
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("zero", torch.zeros(self.out_features, dtype=torch.int32), persistent=False)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach(), requires_grad=False)
        self._packs = integer_obstacle() is None
        # Not a buffer: the packed form has no storage that a state dict could copy.
        self._rows = _pack(rows) if self._packs else rows

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features), in the dtype of `inputs`."""
        flat = inputs.reshape(-1, self.in_features)
        scale = cast(Tensor, self.scale)
        if not self._packs or not len(flat):
            out = nn.functional.linear(flat, (self.rows() * scale[:, None]).to(flat.dtype))
        else:
            tokens, step = _quantise(flat)
            products = _products(tokens, self._rows, scale, cast(Tensor, self.zero))
            out = products.mul_(step) if flat.dtype == products.dtype else _product_in(flat.dtype, products, step)
        if self.bias is not None:
            out = out + self.bias.to(out.dtype)
        return cast(Tensor, out.unflatten(0, inputs.shape[:-1]))

    def extra_repr(self) -> str:
        """Say the sizes, as nn.Linear does."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"

    def rows(self) -> Tensor:
        """Return the weights (out_features, in_features) in int8, without their scales."""
        return self._rows.to_dense().t().contiguous() if self._rows.is_mkldnn else self._rows

    def __getstate__(self) -> dict[str, Any]:
        """Unpack the weights on the way to a copy or another process, as an array, which has no handle to share."""
        return {**self.__dict__, "_rows": self.rows().numpy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Pack the weights again."""
        rows = torch.from_numpy(state["_rows"])
        super().__setstate__({**state, "_rows": rows})  # type: ignore[no-untyped-call]
        if self._packs:
            self._rows = _pack(rows)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        raise ValueError("int8 weights are for running only; save the checkpoint that they were rounded from")


def round_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row of a matrix by its own range; return int8 rows and their scales (rows, 1) in fp32."""
    weight = weight.float()
    scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / _STEPS
    return (weight / scale).round().to(torch.int8), scale


def _product_in(dtype: torch.dtype, products: Tensor, step: Tensor) -> Tensor:
    """Multiply in fp32 and round to another dtype in the same pass."""
    return torch.mul(products, step, out=torch.empty_like(products, dtype=dtype))


def _quantise(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row of (T, channels) by its own range; return unsigned bytes around `_MIDDLE` and the steps (T, 1).

    On one core 256 rows of 768 take 0.3 ms so, and 1.0 ms by way of `aminmax` and a conversion to unsigned bytes.
    """
    step = tokens.abs().amax(1, keepdim=True).float().clamp_(min=1e-12).mul_(1 / _STEPS)
    rounded = torch.mul(tokens, step.reciprocal()).round_().to(torch.int8)
    return rounded.view(torch.uint8).bitwise_xor_(_MIDDLE), step


def quantise_weights(model: nn.Module) -> int:
    """Round the weights of every linear layer below a module to int8, in place.

    Embeddings, norms and a decoder that is tied to the embeddings stay as they are.

    Args:
        model: A network on the CPU, for inference.

    Returns:
        How many layers were rounded.

    Raises:
        ValueError: If the network is on another device, or no layer can be rounded.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    if device.type != "cpu":
        raise ValueError(f"int8 weights are for the CPU, the model is on {device}; choose bfloat16 or float16 there")
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    count = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if is_plain_linear(child) and id(child.weight) not in tables:
                setattr(parent, name, Int8Linear(cast(nn.Linear, child)))
                count += 1
    if not count:
        raise ValueError(f"{type(model).__name__} has no plain linear layer to round; is it quantised already?")
    return count


def expect_int8(model: nn.Module, *, table: bool) -> None:
    """Let a network without weights expect int8 and scales in place of its matrices, and of its embedding table."""
    for name, module in model.named_modules():
        matrix = isinstance(module, nn.Linear) and name != DECODER
        if matrix or (table and isinstance(module, nn.Embedding)):
            rows = torch.empty_like(module.weight, dtype=torch.int8)
            module.weight = nn.Parameter(rows, requires_grad=False)
            scale = rows.new_empty(len(rows), 1, dtype=torch.float32)
            module.register_parameter(SCALE, nn.Parameter(scale, requires_grad=False))


class _Int8Config(QuantizationConfigMixin):
    """What transformers passes on of a config.json that speaks of int8 weights."""

    def __init__(self, table: bool, **_: Any) -> None:
        self.quant_method: Any = METHOD
        self.table = table

    def to_dict(self) -> dict[str, Any]:
        return int8_fields(table=self.table)


class _Int8Quantizer(HfQuantizer):
    """Reads int8 weights: layers that take them before they are loaded, layers that run them after."""

    quantization_config: _Int8Config
    is_trainable = False

    def is_serializable(self) -> bool:
        return False

    def validate_environment(self, *_: Any, device_map: Any = None, **__: Any) -> None:
        require_integers()
        places = device_map.values() if isinstance(device_map, dict) else [device_map]
        if any(place is not None and torch.device(place).type != "cpu" for place in places):
            raise ValueError(f"int8 weights are for the CPU, got device_map {device_map}; {_REMEDY}")

    def _process_model_before_weight_loading(self, model: Any, **_: Any) -> None:
        expect_int8(model, table=self.quantization_config.table)

    def _process_model_after_weight_loading(self, model: Any, **_: Any) -> None:
        quantise_weights(model)
        table = model.get_input_embeddings()
        if self.quantization_config.table:
            model.set_input_embeddings(StoredEmbedding(table, model.config.dtype, table.weight_scale.data))


def register_int8() -> None:
    """Let transformers find the reader of int8 weights; a checkpoint's copy of this file leaves the installed one."""
    if __name__.startswith("transformers_modules") and METHOD in AUTO_QUANTIZER_MAPPING:
        return
    AUTO_QUANTIZATION_CONFIG_MAPPING[METHOD] = _Int8Config
    AUTO_QUANTIZER_MAPPING[METHOD] = _Int8Quantizer


__all__ = [
    "Int8Linear",
    "expect_int8",
    "integer_obstacle",
    "quantise_weights",
    "register_int8",
    "require_integers",
    "round_rows",
]
