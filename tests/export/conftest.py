"""Tiny models of every head, exported once, with what our own network computes from them."""

import sys

import mmbert
import pytest
import torch
from mmbert.modeling.tokenization_mmbert import save_tokenizer

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 5, "num_attention_heads": 2}
VOCABULARY = 300
TEXTS = ["the sun  rises\n<mask> 太陽 🌞", "", "el sol  sale", "   "]
HEADS = (
    "Model",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
)


def tiny(head="ForMaskedLM", seed=0, **fields):
    torch.manual_seed(seed)
    # Other thetas than any default, and a window that 40 tokens exceed: a key that is lost changes the numbers.
    thetas = {"full_attention": 5e4, "sliding_attention": 70.0}
    rope = {kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in thetas.items()}
    labels = 2 if head == "ForQuestionAnswering" else 3
    defaults = {"local_attention": 8, "rope_parameters": rope, "num_labels": labels}
    unusual = {"initializer_range": 0.1, "norm_eps": 1e-3}
    config = mmbert.MmBertConfig(**{"vocab_size": VOCABULARY, **SIZES, **defaults, **unusual, **fields})
    return getattr(mmbert, f"MmBert{head}")(config).eval()


@pytest.fixture(scope="session")
def tokenizer():
    return mmbert.train_tokenizer(["el sol sale", "the sun rises", "das Licht", "太陽が昇る"] * 20, 300)


@pytest.fixture(scope="session")
def make(tokenizer, tmp_path_factory):
    """Save a tiny checkpoint of a head with its tokenizer."""

    def build(head="Model", **fields):
        folder = tmp_path_factory.mktemp(head)
        tiny(head, **{"num_hidden_layers": 3, **fields}).save_pretrained(folder)
        save_tokenizer(tokenizer, folder)
        return folder

    return build


@pytest.fixture(scope="session")
def plain(make):
    return make()


@pytest.fixture
def saved(tmp_path):
    tiny().save_pretrained(tmp_path / "ours")
    return tmp_path / "ours"


@pytest.fixture(scope="session")
def exported(tmp_path_factory, tokenizer):
    """Export every head; reference.pt beside the folders says what our network computes and the tokenizer reads."""
    folder = tmp_path_factory.mktemp("exported")
    ids = torch.randint(5, VOCABULARY, (2, 40), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 25:] = 0
    expected = {}
    for head in HEADS:
        model = tiny(head)
        model.save_pretrained(folder / f"ours-{head}")
        tokenizer.save_pretrained(folder / f"ours-{head}")
        mmbert.export_modernbert(folder / f"ours-{head}", folder / head, code=True)
        batch = {"input_ids": ids, "attention_mask": mask}
        if head == "ForMultipleChoice":
            batch = {name: value[None] for name, value in batch.items()}
        with torch.no_grad():
            output = model(**batch)
        expected[head] = output.get("last_hidden_state", output.get("logits", output.get("start_logits"))).clone()
        if expected[head].shape[:2] == mask.shape:
            expected[head][mask == 0] = 0
    torch.save({"ids": ids, "mask": mask, "expected": expected, "texts": TEXTS}, folder / "reference.pt")
    return folder


def forget_remote_code():
    """Forget the classes that came with checkpoints: other tests count how many there are of a name."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers_modules"]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def forgotten():
    """Leave no class of a checkpoint behind."""
    yield
    forget_remote_code()
