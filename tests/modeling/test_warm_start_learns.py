"""A network sampled from a trained one, on real text: where its loss starts, and where thirty steps later it is."""

import logging

import pytest
import torch
from accelerate import Accelerator
from mmbert import MmBertConfig, MmBertForMaskedLM, Recipe
from mmbert.data import MlmStream, PackedCollator
from mmbert.modeling import initialise_from
from mmbert.trainers import RecipeRun, stable_adamw
from mmbert.trainers.pretraining.eval_loss import language_losses

RECIPE = """
model: {size: small, hidden_size: 128, intermediate_size: 192, num_hidden_layers: 4, num_attention_heads: 4}
data: {corpus: catalogues, vocabulary_size: 2000, heldout_fraction: 0.05}
phases:
  - name: pretrain
    languages: [eng_Latn, deu_Latn, spa_Latn, rus_Cyrl]
    temperature: 0.5
    masking_ratio: 0.3
    context_length: 64
    rope_theta: 10000
    tokens: 130k
    batch_rows: 16
    learning_rate: 3e-3
    warmup_tokens: 20k
"""
STEPS = 30


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train a base for about 130 steps on the translations of installed packages."""
    home = tmp_path_factory.mktemp("base")
    (home / "base.yaml").write_text(RECIPE, encoding="utf-8")
    run = RecipeRun(Recipe.from_yaml(home / "base.yaml"), home / "run", arguments={"use_cpu": True})
    return run, MmBertForMaskedLM.from_pretrained(run.run()["stable"])


@pytest.fixture(scope="module")
def curve(trained):
    """Return a function that scores a network before and after some steps."""
    run, _ = trained
    heldout, accelerator, collate = run.heldout(), Accelerator(cpu=True), PackedCollator()
    stream = MlmStream(run.recipe, run.data.train, run.data.tokenizer)

    def score(model):
        losses = language_losses(model, heldout, accelerator)
        return sum(losses.values()) / len(losses)

    def train(model):
        first = score(model)
        optimizer = stable_adamw(model.train(), run.recipe.optimizer, 1e-3)
        for step in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * min(1.0, (step + 1) / 10)
            batch = collate([stream[len(stream) - STEPS + step]])
            model(**batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return first, score(model)

    return train


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sampled_network_starts_and_stays_below_a_fresh_one(trained, curve):
    run, source = trained
    half = {**source.config.to_dict(), "hidden_size": 64, "num_attention_heads": 2}
    torch.manual_seed(1)
    losses = {"fresh": curve(MmBertForMaskedLM(MmBertConfig.from_dict(half)))}
    for exponent in (0.0, 0.5):
        config = MmBertConfig.from_dict(half)
        losses[f"sampled, exponent {exponent}"] = curve(initialise_from(source, config, exponent=exponent))
    twice = {**source.config.to_dict(), "hidden_size": 256, "num_attention_heads": 8}
    wider = initialise_from(source, MmBertConfig.from_dict(twice)).eval()
    for name, (first, last) in losses.items():
        logging.info("%-24s %.3f, after %d steps %.3f", name, first, STEPS, last)
    fresh, sampled = losses["fresh"], losses["sampled, exponent 0.5"]
    assert sampled[0] < fresh[0] - 0.3
    assert sampled[1] < fresh[1] - 0.1
    ids = run.heldout().rows("eng_Latn").input_ids[None, :64]
    with torch.no_grad():
        both = [model.eval()(torch.as_tensor(ids)).logits for model in (source, wider)]
    torch.testing.assert_close(*both, rtol=1e-3, atol=1e-3)
