"""StableAdamW with fully decoupled weight decay, as mmBERT was trained (recipe YAMLs: decoupled_stableadamw).

The optimizer itself is torch-optimi's. Here is only which parameter decays: matrices do, embeddings included; norms,
biases and everything else of one dimension do not.
"""

from torch import nn
from torch.optim import Optimizer

from ...recipes import OptimizerPlan


def stable_adamw(model: nn.Module, plan: OptimizerPlan, peak_learning_rate: float) -> Optimizer:
    """Build the optimizer.

    Args:
        model: The network.
        plan: Betas, eps and weight decay; a step multiplies a matrix by 1 - (rate / peak) * weight_decay.
        peak_learning_rate: Highest rate of the whole run.

    Returns:
        The optimizer, with named parameter groups `matrices` and `vectors`.
    """
    from optimi import StableAdamW

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": plan.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer: Optimizer = StableAdamW(
        [group for group in groups if group["params"]],
        lr=peak_learning_rate,
        betas=plan.betas,
        eps=plan.eps,
        decouple_lr=True,
        max_lr=peak_learning_rate,
    )
    return optimizer
