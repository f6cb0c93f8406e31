"""Training the active rows of the embedding table gives the weights that training all of it gives."""

import copy
import subprocess
import sys

import pytest
import torch
from mmbert import MmBertForMaskedLM, MmBertForSequenceClassification
from mmbert.callbacks import ActiveVocabularyCallback
from mmbert.modeling.active_vocabulary import restore, shrink
from safetensors.torch import load_file
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

VOCABULARY, USED, STEPS = 400, range(20, 90), 50
TABLE = "model.embeddings.tok_embeddings.weight"


class Rows(Dataset):
    """Rows of 3 to 30 of the used tokens, of two classes."""

    def __init__(self, count=96):
        draw = torch.Generator().manual_seed(0)
        self.rows = [
            torch.randint(USED.start, USED.stop, (int(torch.randint(3, 31, (1,), generator=draw)),), generator=draw)
            for _ in range(count)
        ]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, place):
        return {"input_ids": self.rows[place], "labels": int(self.rows[place].sum() % 2)}


def collate(rows):
    ids = torch.nn.utils.rnn.pad_sequence([row["input_ids"] for row in rows], batch_first=True)
    return {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": torch.tensor([r["labels"] for r in rows])}


@pytest.fixture
def network(tiny):
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 64, "num_attention_heads": 1, "num_hidden_layers": 2}
    return MmBertForSequenceClassification(tiny(num_labels=2, **sizes))


def trained(network, folder, *, active, steps=STEPS, resume=None, dtype=torch.float32, **options):
    """Train a copy of the network; return its weights."""
    model = copy.deepcopy(network).to(dtype)
    arguments = TrainingArguments(
        output_dir=str(folder), use_cpu=True, report_to="none", disable_tqdm=True, learning_rate=2e-3,
        per_device_train_batch_size=4, max_steps=steps, save_steps=25, logging_steps=1000, **options,
    )  # fmt: skip
    rows = Rows()
    used = {int(i) for row in rows.rows for i in row}
    callbacks = [ActiveVocabularyCallback(model, used)] if active else []
    trainer = Trainer(model, arguments, data_collator=collate, train_dataset=rows, callbacks=callbacks)
    trainer.train(resume_from_checkpoint=resume)
    return model.state_dict()


def largest_difference(one, other):
    assert one.keys() == other.keys()
    return max(float((one[name].float() - other[name].float()).abs().max()) for name in one)


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"weight_decay": 0.0}, 1e-6),
        ({"weight_decay": 0.1}, 2e-6),
        ({"weight_decay": 0.1, "max_grad_norm": 0.05, "gradient_accumulation_steps": 2}, 2e-6),
        pytest.param({"weight_decay": 0.1, "optim": "adamw_torch"}, 2e-6, marks=pytest.mark.slow),
        pytest.param({"weight_decay": 0.1, "bf16": True}, 2e-3, marks=pytest.mark.slow),
        pytest.param({"weight_decay": 0.1, "dtype": torch.bfloat16}, 2e-2, marks=pytest.mark.slow),
    ],
    ids=["plain", "decay", "clipping, accumulation", "not fused", "autocast", "bf16 weights"],
)
def test_fifty_steps_give_the_weights_of_the_whole_table(network, tmp_path, options, tolerance):
    whole = trained(network, tmp_path / "whole", active=False, **options)
    active = trained(network, tmp_path / "active", active=True, **options)
    assert largest_difference(whole, active) < tolerance
    before, unseen = network.state_dict()[TABLE], torch.tensor([i for i in range(5, VOCABULARY) if i not in USED])
    assert float((whole[TABLE].float() - before)[list(USED)].abs().max()) > 0.01  # something was learned
    if options["weight_decay"] and whole[TABLE].dtype == torch.float32:
        assert float((whole[TABLE] / before)[unseen].max()) < 0.996  # and something decayed
    if options.get("optim") == "adamw_torch":
        assert torch.equal(whole[TABLE][unseen], active[TABLE][unseen])


def test_checkpoints_hold_the_whole_table_and_are_resumed(network, tmp_path):
    straight = trained(network, tmp_path / "straight", active=True, weight_decay=0.1)
    saved = load_file(tmp_path / "straight/checkpoint-25/model.safetensors")
    assert saved[TABLE].shape == (VOCABULARY, 64)
    resumed = trained(
        network, tmp_path / "again", active=True, weight_decay=0.1, resume=str(tmp_path / "straight/checkpoint-25")
    )
    assert largest_difference(straight, resumed) == 0
    plain = MmBertForSequenceClassification.from_pretrained(tmp_path / "straight/checkpoint-50")
    assert largest_difference(plain.state_dict(), straight) == 0


def test_outside_training_every_token_is_embedded_and_inside_an_unknown_one_is_refused(network):
    ids = torch.randint(5, VOCABULARY, (3, 40))
    network.eval()
    expected = network(ids).logits
    shrink(network, USED)
    with torch.no_grad():
        torch.testing.assert_close(network(ids).logits, expected.detach())
        network.train()
        torch.testing.assert_close(network(ids).logits, expected.detach())
    with pytest.raises(
        ValueError, match=r"occurs in a training batch, but not among the trained ids.*active_vocabulary=False"
    ):
        network(ids)
    with pytest.raises(ValueError, match="token id 400 is outside the model's 400"):
        network(torch.full((1, 4), VOCABULARY))
    torch.testing.assert_close(copy.deepcopy(network.eval())(ids).logits, expected)
    restore(network)
    assert type(network.get_input_embeddings()) is torch.nn.Embedding
    torch.testing.assert_close(network(ids).logits, expected)


# A table of 205 MB, weight decay and some trained rows; what putting it back takes, in MB.
RESTORING = """
import re, torch
from pathlib import Path
from mmbert import MmBertConfig, MmBertForSequenceClassification
from mmbert.modeling.active_vocabulary import restore, shrink

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

sizes = {"hidden_size": 256, "num_attention_heads": 4, "num_hidden_layers": 1, "intermediate_size": 16}
model = MmBertForSequenceClassification(MmBertConfig(vocab_size=200_000, **sizes))
before = model.get_input_embeddings().weight[100].detach().clone()
active = shrink(model, range(50))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
active.follow(optimizer)
model(torch.arange(5, 40)[None]).logits.sum().backward()
optimizer.step()
trained = active.weight.detach().clone()
Path("/proc/self/clear_refs").write_text("5")
resident = peak()
restore(model)
taken = peak() - resident
table = model.get_input_embeddings().weight
assert torch.equal(table[active.token_ids], trained) and torch.equal(table[100], before * (1 - 0.01 * 0.1))
print(taken)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_the_table_comes_back_without_being_read_into_memory():
    done = subprocess.run([sys.executable, "-c", RESTORING], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 80


def test_what_would_not_be_exact_is_refused(network, tiny):
    with pytest.raises(ValueError, match="its decoder reads the whole embedding table"):
        shrink(MmBertForMaskedLM(tiny()), USED)
    with pytest.raises(ValueError, match="token ids run to 400, the table has 400 rows"):
        shrink(network, [VOCABULARY])
    active = shrink(network, USED)
    with pytest.raises(ValueError, match="ActiveEmbedding already"):
        shrink(network, USED)
    for optimizer, message in [
        (torch.optim.Adagrad(network.parameters()), "Adagrad may change rows without a gradient"),
        (torch.optim.SGD(network.parameters(), weight_decay=0.1), "weight decay of SGD goes through the gradient"),
        (torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))]), "shrink the model first"),
    ]:
        with pytest.raises(ValueError, match=message):
            active.follow(optimizer)
    frozen = MmBertForSequenceClassification(tiny(num_labels=2))
    frozen.get_input_embeddings().requires_grad_(False)
    arguments = TrainingArguments(output_dir="nowhere", use_cpu=True, report_to="none")
    assert ActiveVocabularyCallback.obstacle(frozen, arguments) == "its embeddings are frozen"
    arguments.optim = "adafactor"
    assert "adafactor may change rows" in ActiveVocabularyCallback.obstacle(frozen, arguments)
