"""Trainers over the tiny recipe."""

import logging

import pytest
from mmbert import MlmTrainer
from mmbert.data import MlmStream
from mmbert.data.heldout import HeldOut
from mmbert.trainers import training_arguments
from mmbert.trainers.recipe_run import build_model


@pytest.fixture(autouse=True)
def quiet():
    """Keep transformers' notes on resumed arguments out of the output, for these tests only."""
    log = logging.getLogger("transformers")
    before = log.level
    log.setLevel(logging.ERROR)
    yield
    log.setLevel(before)


@pytest.fixture
def make_trainer(recipe, shards, heldout_shards, tokenizer, tmp_path):
    """Return a function that builds a trainer writing to a folder of its own."""

    def make(name, variant="decay-all", recipe=recipe, callbacks=None, evaluate=False, train_on=shards, **arguments):
        stream = MlmStream(recipe, train_on, tokenizer, variant=variant)
        heldout = HeldOut(heldout_shards, tokenizer, context_length=32, tokens_a_language=200, seed=7)
        options = {"use_cpu": True, "save_steps": 4, "logging_steps": 2, **arguments}
        trainer = MlmTrainer(
            model=build_model(recipe, len(tokenizer)),
            args=training_arguments(recipe, stream.road, tmp_path / name, **options),
            train_dataset=stream,
            eval_dataset=heldout,
            processing_class=tokenizer,
            callbacks=callbacks,
        )
        if not evaluate:
            trainer.evaluate = lambda **_: {}
        return trainer

    return make
