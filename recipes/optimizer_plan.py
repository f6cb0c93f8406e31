"""How weights move: the numbers of StableAdamW."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .quantity import RecipeError, number


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerPlan:
    """StableAdamW as mmBERT used it (recipe YAMLs of the release).

    Attributes:
        betas: Decay rates of the two moments (0.9, 0.95).
        eps: Added to the second moment's root (1e-8).
        weight_decay: Fully decoupled: a step multiplies weights by 1 - (rate / peak rate) * weight_decay, so 8e-5 here
            is 0.1 in AdamW's terms at the peak rate of 8e-4. Norms and biases are left out.
        max_grad_norm: Gradient clipping; 0 is none, since StableAdamW clips its own updates.
    """

    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 8e-5
    max_grad_norm: float = 0.0


def read_optimizer(section: Mapping[str, Any]) -> OptimizerPlan:
    """Build the plan from the `optimizer` section of a YAML file."""
    values = dict(section)
    unknown = sorted(set(values) - set(OptimizerPlan.__dataclass_fields__))
    if unknown:
        raise RecipeError(
            f"optimizer.{unknown[0]}", f"unknown key; it knows {', '.join(OptimizerPlan.__dataclass_fields__)}."
        )
    for key in ("eps", "weight_decay", "max_grad_norm"):
        if key in values:
            values[key] = number(f"optimizer.{key}", values[key])
    if "betas" in values:
        betas = values["betas"]
        if not isinstance(betas, list | tuple) or len(betas) != 2:
            raise RecipeError("optimizer.betas", f"must be two numbers, got {betas!r}; write [0.9, 0.95].")
        values["betas"] = (number("optimizer.betas", betas[0]), number("optimizer.betas", betas[1]))
    return OptimizerPlan(**values)
