"""Small real things for every test: sentences in five languages and three scripts, their tokenizer, their shards."""

import gc
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

from pathlib import Path

import mmbert
import pytest
import torch
from mmbert.common.messages import speak
from mmbert.data import TokenShards, write_shards
from mmbert.recipes import Recipe
from tests_support import TINY_RECIPE, documents

THREADS = 1  # the networks here are too small to share
torch.set_num_threads(THREADS)


def pytest_collection_finish():
    """Take what is imported by now out of the garbage collector's sight.

    A trainer asks for whole collections; over all objects of torch and transformers each takes a third of a second,
    two fifths of the time of the tests that train.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def threads_stay():
    """Refuse a test that leaves torch with other threads: what follows it would no longer be what runs alone."""
    yield
    found = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    assert found == THREADS, f"torch is left with {found} threads"


@pytest.fixture(autouse=True)
def words_of_python():
    """Let messages name Python's arguments again where a test has run a command in this process."""
    yield
    speak("python")


@pytest.fixture(scope="session")
def tokenizer():
    """A tokenizer of 600 words in the mmBERT layout."""
    return mmbert.train_tokenizer([document.text for document in documents()], 600)


@pytest.fixture(scope="session")
def shards(tokenizer, tmp_path_factory) -> TokenShards:
    """Training shards of five languages."""
    return write_shards(documents(), tokenizer, tmp_path_factory.mktemp("shards") / "train")


@pytest.fixture(scope="session")
def heldout_shards(tokenizer, tmp_path_factory) -> TokenShards:
    """Held-out shards of the same languages."""
    return write_shards(documents(seed=1, scale=0.05), tokenizer, tmp_path_factory.mktemp("shards") / "heldout")


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """A recipe of 8 steps a phase on the five languages, with two decay variants."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_RECIPE, encoding="utf-8")
    return Recipe.from_yaml(path)
