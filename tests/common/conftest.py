"""One tiny folder of every kind that this package writes and reads back, made once, in a folder of a strange name."""

import json
import shutil

import numpy as np
import pytest
import torch
from datasets import Dataset
from mmbert import MmBertConfig, MmBertForMaskedLM, export_modernbert, load_embedder, merge_ties, train_tokenizer
from mmbert.common.checkpoints import write_checksums
from mmbert.data import Document, write_shards
from mmbert.embeddings import save_embedder
from mmbert.export import export_gguf, export_onnx, trim_vocabulary
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from mmbert.trainers import FineTuningArguments, fine_tune
from transformers import DataCollatorWithPadding, TrainerState

TEXTS = [f"the old bridge {number} over the river leads to a house" for number in range(40)]
STRANGE = "jane-doe's (secret) höme, no. 1"


@pytest.fixture(scope="session")
def small():
    """A tokenizer of 400 words."""
    return train_tokenizer(TEXTS, 400)


@pytest.fixture(scope="session")
def folders(small, tmp_path_factory):
    """The home of one folder a kind, each under the name of what made it."""
    home = tmp_path_factory.mktemp("folders") / STRANGE
    torch.manual_seed(0)
    shape = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2)
    network = MmBertForMaskedLM(MmBertConfig.small(**shape, vocab_size=len(small)))
    network.save_pretrained(home / "plain")
    save_tokenizer(small, home / "plain")
    export_modernbert(home / "plain", home / "exported")
    embedder = load_embedder(home / "plain", dtype="float32", device="cpu")
    embedder.save_pretrained(str(home / "stock"))
    save_embedder(embedder, home / "embedder")
    write_shards([Document("eng_Latn", text, "s") for text in TEXTS], small, home / "shards")
    run = shutil.copytree(home / "plain", home / "checkpoint-6")
    (run / "run_identity.json").write_text(json.dumps({"step": 6}))
    TrainerState(epoch=0.5, global_step=6, train_batch_size=8).save_to_json(str(run / "trainer_state.json"))
    write_checksums(run)
    write_checksums(shutil.copytree(home / "plain", home / "run" / "final"))
    merge_ties(home / "plain", [home / "exported"], home / "merged")
    trim_vocabulary(home / "plain", TEXTS, home / "trimmed", max_tokens=320)
    return home


@pytest.fixture(scope="session")
def fine_tuned(folders, small):
    """A classifier of two steps beside them, and what trains it or reads it back: `fine_tuned.again(folder)`."""
    rows = Dataset.from_dict({"language": ["eng_Latn"] * 8, **small(TEXTS[:8]), "labels": [0, 1] * 4})

    def accuracy(predictions, part):
        hits = [one.argmax() == label for one, label in zip(predictions, part["labels"], strict=True)]
        return {"accuracy": float(np.mean(hits))}

    def again(folder):
        return fine_tune(
            folders / "plain", "sequence", rows, tests={"test": rows}, tokenizer=small, metrics=accuracy,
            collator=DataCollatorWithPadding(small), labels=["no", "yes"], output_dir=folder,
            args=FineTuningArguments(max_steps=2, use_cpu=True),
        )  # fmt: skip

    again(folders / "finetuned")
    return again


@pytest.fixture(scope="session")
def onnx_folder(folders):
    """The embedder as an ONNX graph."""
    pytest.importorskip("onnxscript", reason="it is in the extra onnx")
    export_onnx(folders / "embedder", folders / "onnx")
    return folders / "onnx"


@pytest.fixture(scope="session")
def gguf_folder(folders):
    """The embedder for llama.cpp."""
    pytest.importorskip("gguf", reason="it is in the extra gguf")
    export_gguf(folders / "embedder", folders / "gguf", dtype="f32")
    return folders / "gguf"
