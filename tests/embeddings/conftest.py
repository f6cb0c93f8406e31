"""A tiny encoder and a toy language pair that can be learned in seconds."""

import random
from dataclasses import dataclass

import pytest
import torch
from mmbert import MmBertConfig, MmBertModel
from mmbert.modeling import train_tokenizer
from mmbert.modeling.tokenization_mmbert import save_tokenizer

ENGLISH = "red blue old new small big river house tree dog bread snow night stone road fire".split()
TOY = "rud bla eld nov pik mag rio kas bom kan pan nif nok ston vej ild".split()


@dataclass(frozen=True)
class Row:
    language: str
    english: str
    text: str


def toy_pairs(count, seed):
    """Sentences of three to five words, and their word-by-word translation."""
    draw, rows = random.Random(seed), []
    for _ in range(count):
        words = draw.choices(range(len(ENGLISH)), k=draw.randint(3, 5))
        rows.append(Row("toy_Latn", " ".join(ENGLISH[w] for w in words), " ".join(TOY[w] for w in words)))
    return rows


@pytest.fixture(scope="session")
def train_pairs():
    return toy_pairs(1500, seed=1)


@pytest.fixture(scope="session")
def heldout_pairs(train_pairs):
    known = {row.english for row in train_pairs}
    return [row for row in toy_pairs(300, seed=2) if row.english not in known][:80]


@pytest.fixture(scope="session")
def toy_tokenizer(train_pairs):
    return train_tokenizer([text for row in train_pairs for text in (row.english, row.text)], 400)


@pytest.fixture(scope="session")
def encoder(toy_tokenizer, tmp_path_factory):
    """A folder with a plain encoder of four layers, global and local, and its tokenizer."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = MmBertConfig(
        vocab_size=len(toy_tokenizer),
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=2,
        local_attention=8,
        max_position_embeddings=512,
    )
    MmBertModel(config).save_pretrained(folder)
    save_tokenizer(toy_tokenizer, folder)
    return folder
