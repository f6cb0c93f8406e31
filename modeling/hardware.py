"""What a device does well, and in one line what a network runs on: dtype, attention backend, threads.

Our own entry points ask `preferred_dtype` when the user did not choose, and print `describe_runtime`; `from_pretrained`
keeps the checkpoint's dtype.

Trade-off: the answers come from what torch reports, not from a trial. A trial would take seconds on each start, and a
machine that others share would answer differently from day to day.
"""

import importlib.util
import os
import platform
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.utils.import_utils import is_flash_attn_2_available

from .varlen_attention import hardware_obstacle as varlen_obstacle

# Keys of torch.cpu.get_capabilities(): two of x86-64, the last of Arm.
_BF16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")
_AMPERE = (8, 0)  # compute capability from which tensor cores multiply bf16
_HALF = (torch.bfloat16, torch.float16)
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # Linux, cgroup 2: microseconds allowed and of how many, or "max"


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # a recorded graph need not ask again
def has_fast_bf16(device: torch.device) -> bool:
    """Say whether a device multiplies bf16 by itself; elsewhere bf16 is emulated and slower than fp32."""
    if device.type == "cpu":
        features = _cpu_features()
        return torch.backends.mkldnn.is_available() and any(features.get(name) for name in _BF16_INSTRUCTIONS)
    if device.type == "cuda" and torch.cuda.is_available():
        return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= _AMPERE
    return False


def preferred_dtype(device: torch.device) -> torch.dtype:
    """bf16 where the device multiplies it by itself, else fp32."""
    return torch.bfloat16 if has_fast_bf16(device) else torch.float32


def preferred_attention(device: torch.device, dtype: torch.dtype) -> str:
    """`flash_attention_2` in half precision on a GPU with the flash-attn package, else `sdpa`."""
    half_on_gpu = device.type == "cuda" and dtype in _HALF
    return "flash_attention_2" if half_on_gpu and is_flash_attn_2_available() else "sdpa"


def default_device() -> torch.device:
    """Return the accelerator if there is one, else the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


def compiler_obstacle(device: torch.device) -> str | None:
    """Say what keeps `torch.compile` from working on a device, with the remedy, or None."""
    if device.type == "cuda":
        found = importlib.util.find_spec("triton") is not None
        return None if found else "torch.compile needs Triton on a GPU: pip install triton"
    if device.type != "cpu":
        return f"torch.compile is not tried on {device.type}; run on cpu or cuda"
    if not _has_cpp_compiler():
        return "torch.compile needs a C++ compiler on a CPU: install g++ (or clang++), or name yours in CXX"
    if platform.system() == "Linux" and not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "torch.compile needs Python.h on a CPU: install Python's headers, such as the package python3-dev"
    return None


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a network runs on, or would."""

    device: torch.device  # where
    dtype: torch.dtype  # of its weights
    attention: str  # name of the backend, as `attn_implementation` has it
    compiled: bool = False  # whether its layers are compiled

    @classmethod
    def of(cls, model: PreTrainedModel) -> "Runtime":
        """Read it off a loaded network."""
        name = model.config._attn_implementation or "sdpa"
        return cls(model.device, model.dtype, name, _is_compiled(model))

    @classmethod
    def planned(cls, device: torch.device) -> "Runtime":
        """Say what our entry points take on a device when the user does not choose."""
        dtype = preferred_dtype(device)
        return cls(device, dtype, preferred_attention(device, dtype))

    @property
    def dtype_name(self) -> str:
        """Such as `bfloat16`."""
        return str(self.dtype).removeprefix("torch.")

    def describe_attention(self) -> str:
        """Name the backend and say what it does with long sequences."""
        if self.attention != "sdpa":
            return self.attention + (" (dense, slow)" if self.attention == "eager" else "")
        return "sdpa (torch's varlen kernel)" if self._has_varlen() else "sdpa (sliding layers in blocks)"

    def describe_place(self) -> str:
        """Name the device, with the threads if it is a CPU."""
        if self.device.type == "cuda":
            return f"on {torch.cuda.get_device_name(self.device)}"
        if self.device.type != "cpu":
            return f"on {self.device}"
        threads = torch.get_num_threads()
        return f"{threads} thread{'s' * (threads > 1)} on cpu"

    def remedies(self) -> list[str]:
        """List what would make it faster, the most useful first; options are those of `load_embedder`."""
        found = [self._dtype_remedy(), self._attention_remedy()]
        if self.device.type == "cpu":
            cores = usable_cores()
            found.append(f"OMP_NUM_THREADS={cores}" if cores and torch.get_num_threads() < cores else None)
        # ModernBERT's paper (arXiv 2412.13663) reports 10 % in training on GPUs. On one core of a CPU it gained between
        # -1 and 2 % (512 and 64 tokens, fp32 and bf16, base and small shapes), which is no advice.
        if self.device.type == "cuda" and not self.compiled:
            obstacle = compiler_obstacle(self.device)
            found.append(f"compile=True ({obstacle})" if obstacle else "compile=True")
        return [remedy for remedy in found if remedy]

    def _has_varlen(self) -> bool:
        return varlen_obstacle(self.device, self.dtype) is None

    def _dtype_remedy(self) -> str | None:
        best = preferred_dtype(self.device)
        emulated = self.device.type == "cpu" and self.dtype in _HALF
        if self.dtype == best or not (emulated or (self.dtype == torch.float32 and best == torch.bfloat16)):
            return None
        return f'dtype="{str(best).removeprefix("torch.")}"'

    def _attention_remedy(self) -> str | None:
        if self.attention == "eager":
            return 'attn_implementation="sdpa"'
        if self.attention != "sdpa" or self.device.type != "cuda" or self.dtype not in _HALF or self._has_varlen():
            return None
        return 'attn_implementation="flash_attention_2"' if is_flash_attn_2_available() else 'pip install "mmbert[gpu]"'


def describe_runtime(model: PreTrainedModel, *, advise: bool = True) -> str:
    """What a network runs on, `bfloat16, sdpa (sliding layers in blocks), 1 thread on cpu`, and what is faster."""
    runtime = Runtime.of(model)
    compiled = ["compiled"] if runtime.compiled else []
    line = ", ".join([runtime.dtype_name, runtime.describe_attention(), *compiled, runtime.describe_place()])
    remedies = runtime.remedies() if advise else []
    return f"{line}; faster: {', '.join(remedies)}" if remedies else line


def usable_cores() -> int | None:
    """Count the physical cores that this process may use; None if torch does not say how many there are."""
    physical = _cpu_features().get("num_physical_cores")
    if not physical:
        return None
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else int(physical)
    return max(1, min(int(physical), allowed, _quota() or allowed))


def _cpu_features() -> Mapping[str, Any]:
    """Return what `torch.cpu.get_capabilities` says, or the part of it that an older torch knows."""
    if hasattr(torch.cpu, "get_capabilities"):
        features: Mapping[str, Any] = torch.cpu.get_capabilities()
        return features
    if platform.machine().lower() in ("aarch64", "arm64"):
        # On Arm this asks for the instructions; on x86-64 it also holds where they are emulated.
        check: Any = getattr(getattr(torch.ops, "mkldnn", None), "_is_mkldnn_bf16_supported", bool)
        return {"bf16": check()}
    # All processors with AMX tiles multiply bf16 in them.
    names = {"avx512_bf16": "_is_avx512_bf16_supported", "amx_bf16": "_is_amx_tile_supported"}
    return {feature: getattr(torch.cpu, name, bool)() for feature, name in names.items()}


def _quota() -> int | None:
    """Return how many cores' worth of time a container may use, if that is limited."""
    try:
        allowed, period = QUOTA.read_text().split()
        return max(1, int(allowed) // int(period))
    except (OSError, ValueError):
        return None


def _has_cpp_compiler() -> bool:
    """Ask torch, whose search also reads its own settings; by name where this torch has no such function."""
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler
    except ImportError:
        names = [os.environ.get("CXX"), "g++", "clang++", "cl"]
        return any(shutil.which(name) for name in names if name)
    try:
        return bool(get_cpp_compiler())
    except (RuntimeError, OSError):
        return False


def _is_compiled(model: PreTrainedModel) -> bool:
    """Return True after `MmBertModel.compile`, or `torch.nn.Module.compile`."""
    return any(
        getattr(module, "compiled_halves", None) is not None or module._compiled_call_impl is not None
        for module in model.modules()
    )
