"""StableAdamW against its definition in plain tensors, and what decays."""

import pytest
import torch
from mmbert import Recipe
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
    from mmbert.trainers.pretraining.run import build_model

    model = build_model(recipe, 600)
    matrices, vectors = stable_adamw(model, recipe.optimizer, 1e-3).param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (8e-5, 0.0)
    assert any(p is model.model.embeddings.tok_embeddings.weight for p in matrices["params"])
    assert all(p.ndim == 1 for p in vectors["params"])
    assert len(matrices["params"]) + len(vectors["params"]) == len(list(model.parameters()))


def decay_factor(plan, peak, rate):
    """Return by what a step without a gradient multiplies a matrix."""
    layer = torch.nn.Linear(3, 2, bias=False, dtype=torch.float64)
    before = layer.weight.detach().clone()
    optimizer = stable_adamw(layer, plan, peak)
    optimizer.param_groups[0]["lr"] = rate
    layer.weight.grad = torch.zeros_like(layer.weight)
    optimizer.step()
    return (layer.weight.detach() / before).mean().item()


def test_one_weight_decay_stands_for_both_of_mmbert_small():
    """The release halves rate and decay together; here the peak is the whole run's, and the factor is the same."""
    recipe = Recipe.load("mmbert-small")
    peak = recipe.schedule("decay-all").peak_learning_rate
    published = {"pretrain": (8e-4, 8e-5), "pretrain-late": (4e-4, 4e-5), "midtrain": (4e-4, 4e-5)}
    for phase in recipe.phases[:3]:
        rate, decay = published[phase.name]
        assert phase.learning_rate == rate
        # In the release the peak is the phase's own: 1 - rate / peak * decay with rate = peak.
        assert decay_factor(recipe.optimizer, peak, rate) == pytest.approx(1 - decay, abs=1e-12)
    for rate in (4e-4, 1e-4, 1.6e-5):  # on the way down of the decay: AdamW's 0.1
        assert decay_factor(recipe.optimizer, peak, rate) == pytest.approx(1 - rate / 4e-4 * 4e-5, abs=1e-12)
        assert decay_factor(recipe.optimizer, peak, rate) == pytest.approx(1 - 0.1 * rate, abs=1e-12)
