"""Trainers over the tiny recipe."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmbert import MlmTrainer
from mmbert.data import MlmStream, write_shards
from mmbert.data.pretraining.heldout import HeldOut
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from mmbert.recipes import Recipe
from mmbert.trainers import training_arguments
from mmbert.trainers.pretraining.run import build_model
from tests_support import TINY_RECIPE, documents
from transformers import AutoTokenizer

WORKER = Path(__file__).parent / "rank_worker.py"


@pytest.fixture(autouse=True)
def quiet():
    """Keep transformers' notes on resumed arguments out of the output, for these tests only."""
    log = logging.getLogger("transformers")
    before = log.level
    log.setLevel(logging.ERROR)
    yield
    log.setLevel(before)


def trainer_maker(folder, recipe, shards, heldout_shards, tokenizer):
    """Return a function that builds a trainer writing to a folder of its own below `folder`."""

    def make(name, variant="decay-all", recipe=recipe, callbacks=None, evaluate=False, train_on=shards, **arguments):
        stream = MlmStream(recipe, train_on, tokenizer, variant=variant)
        heldout = HeldOut(heldout_shards, tokenizer, context_length=32, tokens_per_language=200, seed=7)
        options = {"use_cpu": True, "save_steps": 4, "logging_steps": 2, **arguments}
        trainer = MlmTrainer(
            model=build_model(recipe, len(tokenizer)),
            args=training_arguments(recipe, stream.schedule, folder / name, **options),
            train_dataset=stream,
            eval_dataset=heldout,
            processing_class=tokenizer,
            callbacks=callbacks,
        )
        if not evaluate:
            trainer.evaluate = lambda **_: {}
        return trainer

    return make


@pytest.fixture
def make_trainer(recipe, shards, heldout_shards, tokenizer, tmp_path):
    """Makes trainers that write to the test's own folder."""
    return trainer_maker(tmp_path, recipe, shards, heldout_shards, tokenizer)


@pytest.fixture(scope="module")
def make_shared_trainer(shards, heldout_shards, tokenizer, tmp_path_factory):
    """Makes trainers whose runs several tests of a file look at."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "tiny.yaml").write_text(TINY_RECIPE, encoding="utf-8")
    return trainer_maker(folder, Recipe.from_yaml(folder / "tiny.yaml"), shards, heldout_shards, tokenizer)


@pytest.fixture(scope="module")
def worker_folder(tokenizer, tmp_path_factory):
    """Recipe, tokenizer and shards for `rank_worker.py`."""
    path = tmp_path_factory.mktemp("ranks")
    (path / "recipe.yaml").write_text(TINY_RECIPE, encoding="utf-8")
    save_tokenizer(tokenizer, path / "tokenizer")
    write_shards(documents(), AutoTokenizer.from_pretrained(path / "tokenizer"), path / "train")
    return path


@pytest.fixture(scope="session")
def worker_environment():
    """Variables of a worker's process."""
    paths = os.pathsep.join([str(WORKER.parent.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def start(worker_environment):
    """Return a function that runs jobs of `rank_worker.py` one after the other on so many ranks."""

    def start(folder, ranks, *jobs):
        # `accelerate launch --cpu --num_processes 2` would quietly start one process.
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks)] if ranks > 1 else []
        command = [sys.executable, "-X", "faulthandler", *torchrun, str(WORKER), str(folder), *jobs]
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, env=worker_environment)
        assert done.returncode == 0, done.stderr[-3000:]

    return start
