"""Embedders, rerankers and ColBERT trained by the embedding rows that they read get the weights of whole training."""

import logging

import pytest
import torch
from mmbert import MmBertConfig, MmBertForMaskedLM, MmBertModel, load_embedder
from mmbert.callbacks import ActiveVocabularyCallback
from mmbert.embeddings import (
    PairSet,
    align_encoder,
    preset,
    train_embedder,
    train_multi_vector,
    train_reranker,
    train_sparse_encoder,
)
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

STEPS = 20


@pytest.fixture(scope="module")
def encoder(toy_tokenizer, tmp_path_factory):
    """An encoder whose table has rows that no training text reads, and one for masked language."""
    folder = tmp_path_factory.mktemp("active") / "encoder"
    torch.manual_seed(0)
    config = MmBertConfig(
        vocab_size=len(toy_tokenizer) + 50, hidden_size=48, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, local_attention=8, max_position_embeddings=512,
    )  # fmt: skip
    model = MmBertForMaskedLM(config)
    for path, network in ((folder, model.model), (folder.with_name("mlm"), model)):
        network.save_pretrained(path)
        save_tokenizer(toy_tokenizer, path)
    return folder


@pytest.fixture(scope="module")
def pairs(train_pairs):
    rows = list(dict.fromkeys((row.english, row.text) for row in train_pairs))[:320]
    return PairSet(("anchor", "positive"), rows, None, ["toy_Latn"] * len(rows), {})


def weights(folder):
    files = sorted(path for path in folder.rglob("*.safetensors"))
    return {f"{path.relative_to(folder)}:{name}": tensor for path in files for name, tensor in load_file(path).items()}


def both(train, checkpoint, pairs, tmp_path, arguments=None, *, field=(), **options):
    """Train with and without the active vocabulary; return both sets of weights."""
    found = []
    for active in (True, False):
        settings = preset("pairs", batch_size=16, learning_rate=2e-3, active_vocabulary=active, **dict(field))
        output = tmp_path / str(active)
        torch.manual_seed(0)  # of a reranker's new head
        train(
            checkpoint, pairs, output, settings=settings, max_steps=STEPS, device="cpu", arguments=arguments, **options
        )
        found.append(weights(output))
    return found


def check(active, whole, checkpoint):
    before = MmBertModel.from_pretrained(checkpoint).state_dict()["embeddings.tok_embeddings.weight"]
    assert active.keys() == whole.keys()
    assert max(float((active[name] - whole[name]).abs().max()) for name in whole) < 1e-6
    (table,) = (tensor for name, tensor in whole.items() if "tok_embeddings" in name)
    assert float((table - before).abs().max()) > 5e-4  # something was learned


CASES = {
    "plain": (train_embedder, {}, {}, {}),
    "decay, accumulation": (train_embedder, {"weight_decay": 0.1, "gradient_accumulation_steps": 2}, {}, {}),
    "matryoshka, in parts": (train_embedder, {"weight_decay": 0.1}, {"mini_batch_tokens": 60}, {"matryoshka": [16, 8]}),
    "prompts": (train_embedder, {"prompts": {"anchor": "zebra: ", "positive": "quiz: "}}, {}, {}),
    "reranker": (train_reranker, {"weight_decay": 0.1}, {}, {}),
    "colbert": (train_multi_vector, {"weight_decay": 0.1}, {}, {"dims": 16}),
}


@pytest.mark.parametrize("case", CASES)
def test_twenty_steps_give_the_weights_of_the_whole_table(encoder, pairs, tmp_path, caplog, case):
    caplog.set_level(logging.INFO)
    train, arguments, field, options = CASES[case]
    active, whole = both(train, encoder, pairs, tmp_path, arguments, field=field, **options)
    check(active, whole, encoder)
    (line,) = [record.message for record in caplog.records if record.message.startswith("active vocabulary")]
    assert 30 < int(line.split()[2]) < 60 and " of 415 embedding rows are trained" in line


def test_alignment_trains_active_rows_too(encoder, train_pairs, tmp_path, monkeypatch):
    found = []
    for active in (True, False):
        if not active:
            monkeypatch.setattr(ActiveVocabularyCallback, "obstacle", staticmethod(lambda *_: "of this test"))
        align_encoder(encoder, train_pairs[:200], tmp_path / str(active), max_steps=STEPS, batch_size=16, device="cpu")
        found.append(weights(tmp_path / str(active)))
    check(*found, encoder)


def test_splade_and_adapters_train_the_whole_table_and_say_why(encoder, pairs, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    settings = preset("pairs", batch_size=8)
    train_sparse_encoder(
        encoder.with_name("mlm"), pairs, tmp_path / "splade", settings=settings, max_steps=1, device="cpu"
    )
    train_embedder(encoder, pairs, tmp_path / "lora", settings=settings, max_steps=1, device="cpu", lora_rank=2)
    said = [record.message for record in caplog.records if "the whole embedding table is trained" in record.message]
    assert len(said) == 2
    assert "its decoder reads the whole embedding table" in said[0] and "its embeddings are frozen" in said[1]


def test_a_checkpoint_of_sentence_transformers_is_resumed(encoder, pairs, tmp_path):
    def run(folder, resume=None):
        model = load_embedder(encoder, dtype="float32", device="cpu")
        arguments = SentenceTransformerTrainingArguments(
            output_dir=str(folder), use_cpu=True, report_to="none", disable_tqdm=True, learning_rate=2e-3, save_steps=6,
            per_device_train_batch_size=8, max_steps=12, weight_decay=0.1,
        )  # fmt: skip
        used = {token for row in pairs.rows for text in row for token in model.tokenizer(text)["input_ids"]}
        trainer = SentenceTransformerTrainer(
            model, arguments, pairs.dataset(), loss=MultipleNegativesRankingLoss(model),
            callbacks=[ActiveVocabularyCallback(model, used)],
        )  # fmt: skip
        trainer.train(resume_from_checkpoint=resume)
        return model.state_dict()

    straight = run(tmp_path / "straight")
    resumed = run(tmp_path / "again", resume=str(tmp_path / "straight/checkpoint-6"))
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
