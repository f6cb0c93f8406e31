"""StableAdamW against its definition in plain tensors, and what decays."""

import pytest
import torch
from mmbert.recipes import OptimizerPlan
from mmbert.trainers import stable_adamw


def reference_step(weight, grad, exp_avg, exp_avg_sq, step, rate, peak, plan, decay):
    """AdamW with debiased betas, update clipping by RMS, and decay decoupled from the rate (ModernBERT's optimizer)."""
    beta1, beta2 = plan.betas
    b1 = 1 - (1 - beta1) / (1 - beta1**step)
    b2 = 1 - (1 - beta2) / (1 - beta2**step)
    exp_avg = b1 * exp_avg + (1 - b1) * grad
    exp_avg_sq = b2 * exp_avg_sq + (1 - b2) * grad**2
    rms = torch.sqrt((grad**2 / torch.clamp(exp_avg_sq, min=plan.eps**2)).mean())
    clipped = rate / torch.clamp(rms, min=1.0)
    weight = weight * (1 - rate / peak * decay)
    return weight - clipped * exp_avg / (exp_avg_sq.sqrt() + plan.eps), exp_avg, exp_avg_sq


def test_steps_are_those_of_the_definition():
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 4)
    plan = OptimizerPlan(weight_decay=1e-2)
    with pytest.warns(UserWarning):  # torch-optimi warns of a decay this strong; it makes the test sharper
        optimizer = stable_adamw(layer, plan, 1e-2)
    expected = {name: (p.detach().clone(), 0.0, 0.0) for name, p in layer.named_parameters()}
    for step, rate in enumerate((1e-2, 5e-3, 1e-3), start=1):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        (layer(torch.randn(3, 6)) ** 2).sum().backward()
        for name, parameter in layer.named_parameters():
            weight, exp_avg, exp_avg_sq = expected[name]
            decay = plan.weight_decay if parameter.ndim == 2 else 0.0
            expected[name] = reference_step(weight, parameter.grad, exp_avg, exp_avg_sq, step, rate, 1e-2, plan, decay)
        optimizer.step()
    for name, parameter in layer.named_parameters():
        assert torch.allclose(parameter, expected[name][0], atol=1e-6), name


def test_embeddings_decay_and_norms_do_not(recipe):
    from mmbert.trainers.recipe_run import build_model

    model = build_model(recipe, 600)
    matrices, vectors = stable_adamw(model, recipe.optimizer, 1e-3).param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (8e-5, 0.0)
    assert any(p is model.model.embeddings.tok_embeddings.weight for p in matrices["params"])
    assert all(p.ndim == 1 for p in vectors["params"])
    assert len(matrices["params"]) + len(vectors["params"]) == len(list(model.parameters()))
