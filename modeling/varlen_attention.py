"""torch's own varlen kernel: one call a layer for the whole stream, on GPUs without the flash-attn package.

`torch.nn.attention.varlen.varlen_attn` is FlashAttention's varlen kernel as torch ships it. It reads the stream as it
lies: no padding, no mask, no grouping by length, and a window costs what it holds. `window_size` counts tokens and
includes both ends, so (64, 64) is 129 keys and (-1, -1) is no window.

Trade-off: it serves half precision on CUDA without dropout, and nothing else. `varlen_obstacle` says who gets it;
everybody else keeps `SdpaAttention`, which gives the same numbers. To switch it off, disable torch's flash kernels:
`torch.backends.cuda.enable_flash_sdp(False)`, or `torch.nn.attention.sdpa_kernel`.
"""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from .configuration_mmbert import SLIDING, MmBertConfig
from .packing import TokenStream

if TYPE_CHECKING:
    from .attention import MmBertAttention

# What torch's FlashAttention checks at its door (aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp).
KERNEL_DTYPES = (torch.float16, torch.bfloat16)
OLDEST_CAPABILITY = (8, 0)  # Ampere
MOST_CHANNELS = 256  # a head, in whole multiples of
CHANNEL_STEP = 8


class VarlenAttention:
    """Attends with torch's varlen kernel, local layers within their window; `varlen_obstacle` must be None."""

    def __init__(self, stream: TokenStream) -> None:
        self.boundaries = _boundaries_of_nonempty(stream)
        self.longest = stream.max_length

    def __call__(self, layer: "MmBertAttention", qkv: Tensor) -> tuple[Tensor, Tensor | None]:
        """Attend within sequences, and within the layer's window if it has one; no weights."""
        query, key, value = qkv.unbind(1)
        if qkv.shape[0] == 0:
            return value, None
        from torch.nn.attention.varlen import varlen_attn  # a second of imports, which a CPU need not wait for

        mixed = varlen_attn(
            query,
            key,
            value,
            self.boundaries,
            self.boundaries,
            self.longest,
            self.longest,
            scale=layer.head_dim**-0.5,
            window_size=(-1, -1) if layer.half_window is None else (layer.half_window, layer.half_window),
        )
        return cast(Tensor, mixed), None


def varlen_obstacle(config: MmBertConfig, stream: TokenStream, dtype: torch.dtype, *, training: bool) -> str | None:
    """First obstacle, in words, to torch's varlen kernel serving this forward as `SdpaAttention` would, or None."""
    return (
        hardware_obstacle(stream.cu_seq_lens.device, dtype)
        or _model_obstacle(config, training)
        or _stream_obstacle(config, stream)
    )


# A recorder cannot look into these questions, and need not: the answer holds for the whole graph.
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def hardware_obstacle(device: torch.device, dtype: torch.dtype) -> str | None:
    """Say why torch's varlen kernel cannot run on a device in this dtype (autocast's where it is on), or None."""
    if device.type != "cuda":
        return f"torch's varlen kernel runs on CUDA devices, not on {device.type}"
    if torch.version.hip is not None:
        return "torch's varlen kernel has not been tried on ROCm"
    if torch.is_autocast_enabled(device.type):
        dtype = torch.get_autocast_dtype(device.type)
    if dtype not in KERNEL_DTYPES:
        return f"torch's varlen kernel reads bfloat16 and float16, not {dtype}"
    if torch.cuda.get_device_capability(device) < OLDEST_CAPABILITY:
        return "torch's varlen kernel needs an Ampere GPU (compute capability 8.0) or a newer one"
    if not (torch.backends.cuda.is_flash_attention_available() and torch.backends.cuda.flash_sdp_enabled()):
        return "torch's flash kernels are switched off or were not built"
    if not has_window(varlen_kernel()):
        return f"torch {torch.__version__} has no varlen_attn that takes a window; a newer torch has"
    return None


def varlen_kernel() -> Callable[..., object] | None:
    """Return `torch.nn.attention.varlen.varlen_attn`, or None before torch 2.10."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


def has_window(kernel: Callable[..., object] | None) -> bool:
    """Return True if the kernel exists and takes a window; its first release did not."""
    return kernel is not None and "window_size" in inspect.signature(kernel).parameters


def has_gaps(stream: TokenStream) -> bool:
    """Return True if padding lies between the tokens of a sequence, so that columns and tokens count differently."""
    if stream.caller_tokens == stream.columns.shape[0]:
        return False  # nothing was removed: known without waiting for a GPU
    same_sequence = stream.rows.diff() == 0
    return bool((same_sequence & (stream.columns.diff() != 1)).any())


def _model_obstacle(config: MmBertConfig, training: bool) -> str | None:
    if training and config.attention_dropout > 0:
        return f"torch's varlen kernel has no dropout, attention_dropout is {config.attention_dropout}"
    if config.deterministic_flash_attn:
        return "deterministic_flash_attn is set and torch's varlen kernel has no such switch"
    channels = config.hidden_size // config.num_attention_heads
    if channels > MOST_CHANNELS or channels % CHANNEL_STEP:
        return f"torch's varlen kernel takes heads of up to {MOST_CHANNELS} channels in eights, not of {channels}"
    return None


def _stream_obstacle(config: MmBertConfig, stream: TokenStream) -> str | None:
    if stream.keep is not None:
        return "padding stays in the tokens while a graph is recorded, and torch's varlen kernel has no mask"
    if torch.jit.is_tracing() or torch.compiler.is_exporting():  # type: ignore[attr-defined, no-untyped-call]
        return "an exported graph must not depend on a kernel that other engines lack"
    is_local = SLIDING in (config.layer_types or []) and stream.shape[1] > config.local_attention // 2 + 1
    if is_local and has_gaps(stream):
        return "the attention mask has holes, where torch's varlen kernel would widen the window"
    return None


def _boundaries_of_nonempty(stream: TokenStream) -> Tensor:
    """Leave out sequences without tokens: FlashAttention on newer GPUs and on ROCm has had bugs with them."""
    if stream.groups is None:
        return stream.cu_seq_lens  # packed by the caller: none is empty
    # In order of length the empty ones come first, and `groups` does not count them.
    sequences = sum(number for number, _ in stream.groups)
    return stream.cu_seq_lens[stream.cu_seq_lens.shape[0] - 1 - sequences :]
