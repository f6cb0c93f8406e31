"""Optimizer and random state of a checkpoint as safetensors and JSON.

transformers writes both with torch.save, a pickle. Nothing of ours loads one, so a checkpoint from a stranger can be
resumed without running his code. Moments are stored under their parameter's name, which also survives a change in the
order of parameters, and whole, also where FSDP2 shards them. DeepSpeed keeps its own format.
"""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim import Optimizer

from ...common.checkpoints.format import read_header
from ...common.files import read_json, write_json
from .fsdp import cut_like, whole

OPTIMIZER_FILE = "optimizer.safetensors"
SCHEDULER_FILE = "scheduler.json"
SCALER_FILE = "scaler.json"
# What an optimizer keeps per group beside its hyper-parameters. It chooses its kernels anew, so that a
# checkpoint of a GPU resumes on a CPU.
_PROGRESS = ("step", "kahan_sum")
_SCRATCH = ("mean_square",)
_TOKEN_IDS = "token_ids"  # of the rows of an embedding table that are trained; see modeling/active_vocabulary.py


def save_optimizer(optimizer: Optimizer, model: nn.Module, directory: Path, *, write: bool = True) -> None:
    """Write the state of every parameter; ranks that do not write help to gather."""
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        if write and isinstance(token_ids := getattr(parameter, "token_ids", None), torch.Tensor):
            tensors[f"{name}/{_TOKEN_IDS}"] = token_ids
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor) and key not in _SCRATCH and value.dtype != torch.uint8:
                gathered = whole(value.detach())
                if write:
                    tensors[f"{name}/{key}"] = gathered.cpu().contiguous()
            elif isinstance(value, int | float):
                numbers[f"{name}/{key}"] = value
    if not write:
        return
    progress = [{key: _plain(group[key]) for key in _PROGRESS if key in group} for group in optimizer.param_groups]
    metadata = {"groups": json.dumps(progress), "numbers": json.dumps(numbers)}
    save_file(tensors, directory / OPTIMIZER_FILE, metadata=metadata)


def _rows_for(parameter: nn.Parameter, moments: Any, saved: torch.Tensor | None) -> Any:
    """Take from the moments of an embedding table, or of some of its rows, those of the rows that are trained now."""
    wanted: Any = getattr(parameter, "token_ids", None)
    is_same = (saved is None) == (wanted is None) and (saved is None or saved.equal(wanted))
    if is_same or not isinstance(moments, torch.Tensor) or moments.ndim != 2:
        return moments
    if saved is None:  # of all rows
        return moments[wanted] if int(wanted[-1]) < len(moments) else moments
    wanted = torch.arange(len(parameter)) if wanted is None else wanted
    places = torch.searchsorted(saved, wanted).clamp(max=len(saved) - 1)
    return torch.where((saved[places] == wanted)[:, None], moments[places], 0)  # a row without moments has had none


def load_optimizer(optimizer: Optimizer, model: nn.Module, directory: Path) -> None:
    """Read the state of every parameter back."""
    path = directory / OPTIMIZER_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{directory.name} has no {OPTIMIZER_FILE}; resume from a whole checkpoint.")
    parameters = dict(model.named_parameters())
    state: dict[nn.Parameter, dict[str, Any]] = {}
    progress, numbers = _progress(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    token_ids = {name: tensors.pop(name) for name in list(tensors) if name.endswith(f"/{_TOKEN_IDS}")}
    for full_name, value in {**tensors, **dict(numbers)}.items():
        name, _, key = full_name.rpartition("/")
        if name not in parameters:
            raise ValueError(f"{OPTIMIZER_FILE} holds a state of {name}, which the model does not have.")
        parameter = parameters[name]
        value = _rows_for(parameter, value, token_ids.get(f"{name}/{_TOKEN_IDS}"))
        if not isinstance(value, torch.Tensor):
            state.setdefault(parameter, {})[key] = value
            continue
        # Some optimizers keep a number a row or a column of a matrix.
        if value.numel() > 1 and value.ndim == parameter.ndim and value.shape != parameter.shape:
            raise ValueError(f"{OPTIMIZER_FILE}: {full_name} is {tuple(value.shape)}, not {tuple(parameter.shape)}.")
        same = value.shape == parameter.shape
        state.setdefault(parameter, {})[key] = cut_like(value, parameter) if same else value.to(parameter.device)
    if len(progress) != len(optimizer.param_groups):
        raise ValueError(f"{OPTIMIZER_FILE} has {len(progress)} parameter groups, not {len(optimizer.param_groups)}.")
    optimi = all("triton" in group for group in optimizer.param_groups)
    for parameter, moments in state.items():
        optimizer.state[parameter] = {"kahan_comp": None, **moments} if optimi else moments
    for group, saved in zip(optimizer.param_groups, progress, strict=True) if optimi else ():
        if "step" in saved:
            saved["step"] = torch.tensor(saved["step"], dtype=torch.int32)
        group.update(saved, setup=True)
        _choose_kernels(optimizer, group)


def _progress(path: Path) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Read what an optimizer file says of groups of parameters, and the plain numbers in it."""
    metadata = read_header(path)[1]
    try:
        return json.loads(metadata.get("groups", "[]")), dict(json.loads(metadata.get("numbers", "{}")))
    except (ValueError, TypeError):
        raise ValueError(f"{path} is damaged; resume from another checkpoint.") from None


def _choose_kernels(optimizer: Optimizer, group: dict[str, Any]) -> None:
    """Choose as torch-optimi does before its first step, and give the Triton kernel its scratch."""
    from optimi.utils import _default_to_triton

    if group["triton"] is None and group["foreach"] is None:
        group["triton"] = _default_to_triton(group["params"])
    if group["triton"]:
        for parameter in group["params"]:
            state = optimizer.state[parameter]
            state["mean_square"] = torch.zeros(1, dtype=torch.float32, device=parameter.device)
            if state.get("kahan_comp") is None:
                state["kahan_comp"] = torch.zeros(1, dtype=torch.uint8, device=parameter.device)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) else value


def save_scheduler(scheduler: Any, directory: Path) -> None:
    """Write the state of a learning-rate scheduler into a checkpoint."""
    write_json(directory / SCHEDULER_FILE, scheduler.state_dict(), indent=None, default=_plain)


def load_scheduler(scheduler: Any, optimizer: Optimizer, directory: Path) -> None:
    """Set a scheduler back to a checkpoint, and give every group of parameters of its optimizer its rate."""
    scheduler.load_state_dict(read_json(directory / SCHEDULER_FILE))
    for group, rate in zip(optimizer.param_groups, scheduler.get_last_lr(), strict=True):
        group["lr"] = rate


def save_scaler(scaler: Any, directory: Path) -> None:
    """Write how losses in fp16 are scaled, as JSON."""
    write_json(directory / SCALER_FILE, scaler.state_dict())


def load_scaler(scaler: Any, directory: Path) -> None:
    """Set the scale of losses in fp16 back, if the checkpoint has one."""
    if (directory / SCALER_FILE).is_file():
        scaler.load_state_dict(read_json(directory / SCALER_FILE))


def save_random_state(directory: Path, rank: int) -> None:
    """Write the state of Python's, NumPy's and torch's global generators."""
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 - the global one, as Trainer keeps it
    version, numbers, normal = random.getstate()
    cuda = torch.cuda.random.get_rng_state_all() if torch.cuda.is_available() else []
    state = {
        "python": [version, list(numbers), normal],
        "numpy": [np.asarray(keys).tolist(), int(position), int(has_gauss), float(gauss)],
        "torch": torch.random.get_rng_state().tolist(),
        "cuda": [generator.tolist() for generator in cuda],
    }
    write_json(directory / f"random_state_{rank}.json", state, indent=None)


def load_random_state(directory: Path, rank: int) -> bool:
    """Set the global generators back."""
    path = directory / f"random_state_{rank}.json"
    if not path.is_file():
        return False
    state = read_json(path)
    try:
        version, numbers, normal = state["python"]
        random.setstate((version, tuple(numbers), normal))
        keys, position, has_gauss, gauss = state["numpy"]
        np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, gauss))  # noqa: NPY002
        torch.random.set_rng_state(torch.tensor(state["torch"], dtype=torch.uint8))
        if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.random.set_rng_state_all([torch.tensor(g, dtype=torch.uint8) for g in state["cuda"]])
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError):
        raise ValueError(f"{path} is damaged; resume from another checkpoint.") from None
    return True
