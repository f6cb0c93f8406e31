"""Tuning on parallel text: it learns, it repeats itself, and what it saves belongs to everybody."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmbert import export_modernbert, load_embedder
from mmbert.embeddings import align_encoder, save_embedder
from mmbert.evaluation import bitext_accuracy
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

TEXTS = ["red river", "rud rio", "big old house", "", " ".join(["stone road"] * 40)]

# Runs in a process of its own, with this package out of reach.
PLAIN = """
import sys, json
class Ban:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "mmbert":
            raise ImportError("mmbert must not be needed")
sys.meta_path.insert(0, Ban())
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu")
assert type(model[0].model).__name__ == "ModernBertModel"
assert not any(name.startswith("mmbert") for name in sys.modules)
print(json.dumps(model.encode(json.loads(sys.argv[2])).tolist()))
"""


@pytest.fixture(scope="module")
def tuned(encoder, train_pairs, tmp_path_factory):
    """An encoder after 90 steps on the toy language, and the report."""
    output = tmp_path_factory.mktemp("tuned") / "model"
    report = align_encoder(
        encoder, train_pairs, output, max_steps=90, batch_size=32, learning_rate=3e-3, seed=5, device="cpu"
    )
    return output, report


def plain_vectors(folder, texts):
    run = subprocess.run(
        [sys.executable, "-c", PLAIN, str(folder), json.dumps(texts)], capture_output=True, text=True, check=True
    )
    return np.array(json.loads(run.stdout.splitlines()[-1]), dtype=np.float32)


def test_tuning_finds_translations_of_sentences_it_never_saw(encoder, tuned, heldout_pairs):
    output, report = tuned
    before = bitext_accuracy(load_embedder(encoder, device="cpu"), heldout_pairs)["macro"]
    after = bitext_accuracy(load_embedder(output, device="cpu"), heldout_pairs)["macro"]
    assert before < 0.15 and after > 0.6
    assert report.steps == 90 and report.losses[-1][1] < 0.5 * report.losses[0][1]
    assert report.seconds > 0 and report.output == output


@pytest.mark.slow
def test_the_saved_model_needs_sentence_transformers_alone(tuned):
    output, _ = tuned
    ours = load_embedder(output, dtype="float32", device="cpu").encode(TEXTS)
    np.testing.assert_allclose(plain_vectors(output, TEXTS), ours, atol=1e-5)


def test_the_saved_model_is_a_modernbert_in_the_words_of_transformers_4_and_5(tuned):
    output, _ = tuned
    stock = SentenceTransformer(str(output), device="cpu")
    ours = load_embedder(output, dtype="float32", device="cpu").encode(TEXTS)
    assert type(stock[0].model).__name__ == "ModernBertModel"
    np.testing.assert_allclose(stock.encode(TEXTS), ours, atol=1e-5)
    config = json.loads((output / "config.json").read_text())
    assert config["model_type"] == "modernbert" and config["architectures"] == ["ModernBertModel"]
    assert config["local_rope_theta"] == config["rope_parameters"]["sliding_attention"]["rope_theta"] == 160_000
    tokenizer_config = json.loads((output / "tokenizer_config.json").read_text())
    assert tokenizer_config["tokenizer_class"] == "PreTrainedTokenizerFast"


@pytest.mark.slow
def test_the_export_of_a_saved_model_gives_the_same_vectors(tuned, tmp_path):
    output, _ = tuned
    exported = export_modernbert(output, tmp_path / "exported")
    ours = load_embedder(output, dtype="float32", device="cpu").encode(TEXTS)
    np.testing.assert_allclose(plain_vectors(exported, TEXTS), ours, atol=1e-5)


def test_save_pretrained_of_an_embedder_is_portable_too(encoder, tmp_path):
    embedder = load_embedder(encoder, dtype="float32", device="cpu")
    embedder.save_pretrained(str(tmp_path / "saved"))
    assert json.loads((tmp_path / "saved/config.json").read_text())["model_type"] == "modernbert"
    np.testing.assert_allclose(
        load_embedder(tmp_path / "saved", dtype="float32", device="cpu").encode(TEXTS),
        embedder.encode(TEXTS),
        atol=1e-6,
    )


def test_the_saved_embedder_keeps_length_and_pooling(encoder, tmp_path):
    save_embedder(
        load_embedder(encoder, pooling="cls", max_seq_length=64, dtype="float32", device="cpu"), tmp_path / "cls"
    )
    again = load_embedder(tmp_path / "cls", device="cpu")
    assert again[1].pooling_mode == "cls" and again.max_seq_length == 64
    with pytest.raises(ValueError, match="tuned with 'cls' pooling, got pooling='mean'"):
        load_embedder(tmp_path / "cls", pooling="mean", device="cpu")
    lengths = np.linalg.norm(load_embedder(tmp_path / "cls", normalize=False, device="cpu").encode(TEXTS), axis=1)
    assert np.abs(lengths - 1).max() > 0.1


def test_tuning_leaves_the_length_limit_as_it_was(tuned):
    assert load_embedder(tuned[0], device="cpu").max_seq_length == 512


def test_weights_are_tuned_in_fp32_whatever_the_processor_prefers(encoder, train_pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    report = align_encoder(encoder, train_pairs, tmp_path / "out", max_steps=2, batch_size=8, device="cpu")
    weights = load_file(report.output / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert any((tensor != tensor.bfloat16()).any() for tensor in weights.values())


def test_the_same_seed_gives_the_same_weights(encoder, train_pairs, tmp_path):
    options = {"max_steps": 6, "batch_size": 16, "learning_rate": 1e-3, "device": "cpu"}
    for drawn_before, (name, seed) in enumerate([("first", 3), ("second", 3), ("other", 4)]):
        torch.manual_seed(drawn_before)  # what was drawn before must not matter
        align_encoder(encoder, train_pairs, tmp_path / name, seed=seed, **options)
    first, second, other = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second", "other"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_no_text_occurs_twice_in_a_batch(encoder, train_pairs, tmp_path, monkeypatch):
    from sentence_transformers.sentence_transformer import losses

    batches = []
    stock = losses.MultipleNegativesRankingLoss.forward

    def spy(self, sentence_features, labels):
        features = list(sentence_features)
        batches.append([tuple(map(tuple, column["input_ids"].tolist())) for column in features])
        return stock(self, features, labels)

    monkeypatch.setattr(losses.MultipleNegativesRankingLoss, "forward", spy)
    messages = train_pairs[:24]
    twins = [type(row)("bis_Latn", row.english, "x " + row.text) for row in messages]  # the same English twice
    report = align_encoder(
        encoder, [*messages, *twins], tmp_path / "out", max_steps=4, batch_size=16, learning_rate=1e-4, device="cpu"
    )
    assert report.pairs == 48 and len(batches) == 4
    for english, text in batches:
        assert len(set(english)) == len(english) and len(set(text)) == len(text)


def test_a_time_budget_ends_the_run_and_reports_progress(encoder, train_pairs, tmp_path):
    seen = []
    report = align_encoder(
        encoder,
        train_pairs,
        tmp_path / "out",
        max_seconds=1.5,
        batch_size=8,
        device="cpu",
        on_step=lambda used, loss: seen.append(used),
    )
    assert 1.4 < report.seconds < 5 and report.steps == len(seen) > 2
    assert seen == sorted(seen) and seen[-1] == 1.0


def test_what_teaches_nothing_is_counted(encoder, train_pairs, tmp_path):
    kind = type(train_pairs[0])
    useless = [kind("toy_Latn", "Python", "Python"), kind("toy_Latn", " ", "rud"), train_pairs[0], train_pairs[0]]
    report = align_encoder(
        encoder, [*train_pairs[:20], *useless], tmp_path / "out", max_steps=1, batch_size=4, device="cpu"
    )
    assert report.pairs == 20
    assert report.skipped == {"untranslated": 1, "empty": 1, "repeated": 2}


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "give max_seconds"),
        ({"max_steps": 0}, "max_steps must be above 0"),
        ({"max_seconds": -1.0}, "max_seconds must be above 0"),
        ({"max_steps": 1, "learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"max_steps": 1, "batch_size": 1}, "batch_size must be at least 2"),
        ({"max_steps": 1, "pairs": []}, "at least 2 different English sides, got 0"),
        ({"max_steps": 1, "pairs": [("red", None)]}, "pair 0 .*expected text, got NoneType"),
        ({"max_steps": 1, "pairs": [("red", float("nan"))]}, "pair 0 .*expected text, got float"),
    ],
)
def test_bad_input_is_refused_in_one_line(encoder, train_pairs, tmp_path, options, message):
    kind = type(train_pairs[0])
    pairs = [kind("toy_Latn", *row) for row in options.pop("pairs")] if "pairs" in options else train_pairs
    with pytest.raises(ValueError, match=message) as caught:
        align_encoder(encoder, pairs, tmp_path / "out", device="cpu", **options)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_an_output_in_use_is_refused_before_training(encoder, train_pairs, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="exists and is not empty"):
        align_encoder(encoder, train_pairs, tmp_path, max_steps=1, device="cpu")
    assert (tmp_path / "thesis.txt").exists()
