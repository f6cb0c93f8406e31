"""Training embedders and retrievers: they learn, say what they did, and their saves belong to everybody."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmbert import MmBertForMaskedLM, MmBertModel, load_embedder
from mmbert.common.locks import only_writer
from mmbert.embeddings import (
    PairSet,
    align_encoder,
    load_multi_vector,
    load_reranker,
    mine_negatives,
    preset,
    train_embedder,
    train_multi_vector,
    train_reranker,
    train_sparse_encoder,
)
from scipy.stats import spearmanr
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer

FAST = {"batch_size": 16, "learning_rate": 3e-3, "bf16": None}


def pair_set(rows, scores=None, languages=None, skipped=None):
    names = ("anchor", "positive", *(f"negative_{n}" for n in range(1, len(rows[0]) - 1)))
    return PairSet(names, rows, scores, languages or ["toy_Latn"] * len(rows), skipped or {})


@pytest.fixture(scope="module")
def pairs(train_pairs):
    rows = list(dict.fromkeys((row.english, row.text) for row in train_pairs))
    return pair_set(rows, languages=["toy_Latn", "bis_Latn"] * (len(rows) // 2) + ["toy_Latn"] * (len(rows) % 2))


@pytest.fixture(scope="module")
def tuned(encoder, pairs, tmp_path_factory):
    train, dev = pairs.split(60)
    output = tmp_path_factory.mktemp("embedder") / "model"
    settings = preset("parallel", **FAST)
    report = train_embedder(
        encoder, train, output, settings=settings, dev=dev, matryoshka=[16, 8], max_steps=60, device="cpu"
    )
    return output, report


def test_an_embedder_learns_and_says_so(tuned):
    output, report = tuned
    assert report.scores[0][0] == 0 and report.scores[-1][0] == report.steps == 60
    before, after = report.scores[0][1], report.scores[-1][1]
    assert before["dev_cosine_accuracy@1"] < 0.2 and after["dev_cosine_accuracy@1"] > 0.5
    assert after["dev_8_cosine_accuracy@1"] > 0.25, "the first 8 dimensions shall be good on their own"
    assert len(report.scores) == 6 and "| 60 |" in report.table()
    report.save(output / "report.json")
    assert json.loads((output / "report.json").read_text())["steps"] == 60
    stock = SentenceTransformer(str(output), device="cpu").encode(["red river", "rud rio"])
    np.testing.assert_allclose(
        load_embedder(output, dtype="float32", device="cpu").encode(["red river", "rud rio"]), stock, atol=1e-5
    )


def test_a_second_training_into_the_same_folder_is_told_who_is_at_it(encoder, pairs, tmp_path):
    with only_writer(tmp_path / "out"), pytest.raises(ValueError, match=r"out is being written by another run \("):
        train_embedder(encoder, pairs, tmp_path / "out", settings=preset("parallel", **FAST), max_steps=1)
    train_embedder(encoder, pairs, tmp_path / "out", settings=preset("parallel", **FAST), max_steps=1)
    with only_writer(tmp_path / "out"):  # let go of
        assert (tmp_path / "out" / "modules.json").is_file()


@pytest.mark.parametrize("temperature", [None, 0.5])
def test_rows_of_one_text_that_an_epoch_cannot_hold_are_told(encoder, pairs, tmp_path, caplog, temperature):
    rows = [(first, "rud" if n < 40 else second) for n, (first, second) in enumerate(pairs.rows[:100])]
    greeted = pair_set(rows, languages=pairs.languages[:100])
    settings = preset("parallel", **{**FAST, "batch_size": 10, "temperature": temperature})
    train_embedder(encoder, greeted, tmp_path / "out", settings=settings, max_steps=1, device="cpu")
    (told,) = [line for line in caplog.messages if "never share a batch" in line]
    assert "40 of 100 rows hold the text 'rud'" in told and "an epoch of 10 batches trains at most 10 of them" in told


def test_only_low_rank_updates_reach_the_weights(encoder, pairs, tmp_path):
    settings = preset("pairs", **FAST)
    train_embedder(encoder, pairs, tmp_path / "out", settings=settings, lora_rank=2, max_steps=3, device="cpu")
    before, after = (MmBertModel.from_pretrained(path).state_dict() for path in (encoder, tmp_path / "out"))
    assert set(before) == set(after), "the adapters are merged"
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.endswith(("Wqkv.weight", "Wo.weight", "Wi.weight")) for name in changed)
    rank = torch.linalg.matrix_rank(after["layers.1.attn.Wqkv.weight"] - before["layers.1.attn.Wqkv.weight"], tol=1e-5)
    assert 1 <= int(rank) <= 2


def test_gradients_in_parts_train_the_same_model(encoder, pairs, tmp_path):
    vectors = []
    for name, tokens in (("whole", None), ("parts", 40)):
        settings = preset("pairs", **FAST, mini_batch_tokens=tokens)
        train_embedder(encoder, pairs, tmp_path / name, settings=settings, max_steps=3, device="cpu")
        vectors.append(load_embedder(tmp_path / name, dtype="float32", device="cpu").encode(["red river", "rud rio"]))
    np.testing.assert_allclose(*vectors, atol=2e-4)


@pytest.mark.parametrize("objective", ["gist", "distill"])
def test_a_teacher_is_followed(encoder, tuned, pairs, tmp_path, objective):
    teacher = tuned[0]
    settings = preset("pairs", **FAST, objective=objective)
    report = train_embedder(
        encoder, pairs, tmp_path / "out", settings=settings, teacher=teacher, max_steps=25, device="cpu"
    )
    assert report.losses[-1][1] < report.losses[0][1]
    if objective == "distill":
        texts = ["red river", "old house"]
        student, master = (
            load_embedder(place, dtype="float32", device="cpu").encode(texts) for place in (tmp_path / "out", teacher)
        )
        first = load_embedder(encoder, dtype="float32", device="cpu").encode(texts)
        assert (student * master).sum(1).mean() > (first * master).sum(1).mean() + 0.1


def test_scores_of_a_reranker_are_learned_without_the_reranker(encoder, pairs, tmp_path):
    rows = [(a[0], a[1], b[1]) for a, b in zip(pairs.rows[:60], pairs.rows[60:120], strict=True)]
    taught = replace(pair_set(rows), teacher_scores=[(-4.0, 4.0)] * 60)  # the teacher prefers the other passage
    settings = preset("pairs", **FAST, objective="distill")
    train_embedder(encoder, taught, tmp_path / "out", settings=settings, max_steps=25, device="cpu")
    found = []
    for place in (encoder, tmp_path / "out"):
        embedder = load_embedder(place, dtype="float32", device="cpu")
        asked, right, other = (embedder.encode(list(column)) for column in zip(*rows, strict=True))
        found.append(((asked * other).sum(1) > (asked * right).sum(1)).mean())
    assert found[1] > max(0.9, found[0])
    with pytest.raises(ValueError, match="objective 'distill' needs a teacher"):
        train_embedder(encoder, pair_set(rows), tmp_path / "no", settings=settings, max_steps=1, device="cpu")


def test_scored_pairs_are_ranked(encoder, pairs, tmp_path):
    rows = pairs.rows[:80] + [(a[0], b[1]) for a, b in zip(pairs.rows[:80], pairs.rows[80:160], strict=True)]
    scored = pair_set(rows, scores=[1.0] * 80 + [0.0] * 80)
    settings = preset("scored", **FAST)
    report = train_embedder(
        encoder, scored, tmp_path / "out", settings=settings, dev=scored, max_steps=30, device="cpu"
    )
    assert report.scores[-1][1]["dev_spearman_cosine"] > report.scores[0][1]["dev_spearman_cosine"] + 0.2


def test_hard_negatives_are_near_and_wrong(tuned, pairs):
    embedder = load_embedder(tuned[0], dtype="float32", device="cpu")
    few = pairs.subset(range(120))
    mined = mine_negatives(embedder, few, negatives=2)
    assert mined.kind == "triplets" and len(mined) + mined.skipped["no hard negatives"] == 120
    answers = {}
    for anchor, positive in few.rows:
        answers.setdefault(anchor, set()).add(positive)
    texts = sorted({text for row in mined.rows for text in row})
    vectors = dict(zip(texts, embedder.encode(texts), strict=True))
    language_of = dict(zip((row[1] for row in few.rows), few.languages, strict=True))
    chance = np.mean([vectors[row[0]] @ vectors[other[1]] for row in mined.rows for other in mined.rows[:20]])
    for row, language in zip(mined.rows, mined.languages, strict=True):
        assert not answers[row[0]] & set(row[2:]) and {language_of[text] for text in row[2:]} == {language}
        right = vectors[row[0]] @ vectors[row[1]]
        assert all(vectors[row[0]] @ vectors[text] < right - 0.05 * abs(right) + 1e-5 for text in row[2:])
    assert np.mean([vectors[row[0]] @ vectors[row[2]] for row in mined.rows]) > chance + 0.1


def test_a_reranker_learns_to_tell_near_passages_apart(encoder, pairs, tmp_path):
    draw = np.random.default_rng(0)
    rows = [(a, p, pairs.rows[int(draw.integers(len(pairs)))][1]) for a, p in pairs.rows]
    train, dev = pair_set([row for row in rows if row[1] != row[2]]).split(40)
    settings = preset("pairs", batch_size=32, learning_rate=2e-3)
    report = train_reranker(encoder, train, tmp_path / "out", settings=settings, dev=dev, max_steps=30, device="cpu")
    assert report.losses[-1][1] < report.losses[0][1] and "dev_ndcg@10" in report.scores[-1][1]
    questions = [("red river", "rud rio"), ("old house", "snow")]
    ours, stock = load_reranker(tmp_path / "out", device="cpu"), CrossEncoder(str(tmp_path / "out"), device="cpu")
    assert type(stock[0].model).__name__ == "ModernBertForSequenceClassification"
    np.testing.assert_allclose(ours.predict(questions), stock.predict(questions), atol=1e-5)


def test_a_multi_vector_encoder_learns(encoder, pairs, tmp_path):
    train, dev = pairs.split(40)
    settings = preset("pairs", **FAST)
    report = train_multi_vector(
        encoder, train, tmp_path / "out", settings=settings, dims=32, dev=dev, max_steps=25, device="cpu"
    )
    name = "dev_maxsim_ndcg@10"
    assert report.scores[-1][1][name] > report.scores[0][1][name] + 0.2
    ours = load_multi_vector(tmp_path / "out", device="cpu").encode_document(["red river", "old house"])
    stock = MultiVectorEncoder(str(tmp_path / "out"), device="cpu").encode_document(["red river", "old house"])
    assert ours[0].shape[1] == 32
    for mine, theirs in zip(ours, stock, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_a_sparse_encoder_learns_and_grows_sparser(toy_tokenizer, encoder, pairs, tmp_path, caplog):
    folder = tmp_path / "language_model"
    torch.manual_seed(0)
    model = MmBertForMaskedLM(MmBertModel.from_pretrained(encoder).config)
    model.save_pretrained(folder)
    toy_tokenizer.save_pretrained(folder)
    train, dev = pairs.split(40)
    report = train_sparse_encoder(
        folder,
        train,
        tmp_path / "out",
        settings=preset("pairs", **FAST),
        query_weight=0.02,
        document_weight=0.02,
        dev=dev,
        max_steps=30,
        device="cpu",
    )
    assert "% of the vocabulary scores for a passage before training: the masked-LM head has" in caplog.text
    before, after = report.scores[0][1], report.scores[-1][1]
    assert after["dev_dot_ndcg@10"] > before["dev_dot_ndcg@10"] + 0.2
    assert after["dev_corpus_active_dims"] < before["dev_corpus_active_dims"]


@pytest.mark.parametrize(
    "changes, options, message",
    [
        ({"batch_size": 1}, {}, "batch_size must be at least 2"),
        ({"learning_rate": 0.0}, {}, "learning_rate and epochs must be above 0"),
        ({"warmup": 1.0}, {}, "warmup is a share of the steps"),
        ({"objective": "gist"}, {}, "objective 'gist' needs a teacher"),
        ({}, {"teacher": "somewhere"}, "objective 'contrastive' takes no teacher"),
        ({"objective": "scored"}, {}, "objective 'scored' does not fit pairs"),
        ({"objective": "best"}, {}, "objective='best' is none of contrastive, gist"),
        ({"temperature": 0.5}, {}, "batches by language need two languages, the rows have toy_Latn"),
        ({}, {"max_steps": 0}, "max_steps must be at least 1, got 0"),
        ({}, {"lora_rank": 0}, "lora_rank must be at least 1"),
        ({}, {"matryoshka": [64]}, r"matryoshka dimensions \[64\]: they must lie between 1 and 48"),
    ],
)
def test_bad_settings_are_refused_before_training(encoder, train_pairs, tmp_path, changes, options, message):
    rows = pair_set([(row.english, row.text) for row in train_pairs[:20]])
    with pytest.raises(ValueError, match=message) as caught:
        train_embedder(encoder, rows, tmp_path / "out", settings=preset("pairs", **changes), device="cpu", **options)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_retrievers_refuse_scored_pairs_and_outputs_in_use(encoder, pairs, tmp_path):
    scored = pair_set([("a", "b"), ("c", "d")], scores=[1.0, 0.0])
    with pytest.raises(ValueError, match="scored pairs have no right answer to search for"):
        train_multi_vector(encoder, scored, tmp_path / "out", settings=preset("pairs"), device="cpu")
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="exists and is not empty"):
        train_reranker(encoder, pairs, tmp_path, settings=preset("pairs"), device="cpu")


@pytest.mark.parametrize("steps", [1, 12])
def test_a_loss_that_is_not_finite_ends_the_run_and_saves_nothing(encoder, train_pairs, pairs, tmp_path, steps):
    model = MmBertModel.from_pretrained(encoder)
    with torch.no_grad():
        model.layers[1].mlp.Wi.weight[0, 0] = 3e38  # finite, and its products are not
    model.save_pretrained(tmp_path / "broken")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "broken" / name).write_bytes((encoder / name).read_bytes())
    few = pairs.subset(range(64))
    with pytest.raises(ValueError, match=r"the loss became nan .* lower the learning rate"):
        train_embedder(
            tmp_path / "broken", few, tmp_path / "out", settings=preset("pairs"), max_steps=steps, device="cpu"
        )
    with pytest.raises(ValueError, match="the loss became nan"):
        align_encoder(tmp_path / "broken", train_pairs[:64], tmp_path / "out", max_steps=steps, device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_reranker_of_scored_pairs_is_evaluated_by_rank_correlation(encoder, pairs, tmp_path):
    rows = pairs.rows[:40] + [(a[0], b[1]) for a, b in zip(pairs.rows[:40], pairs.rows[40:80], strict=True)]
    scored = pair_set(rows, scores=[1.0] * 40 + [0.0] * 40)
    settings = preset("pairs", batch_size=16)
    report = train_reranker(encoder, scored, tmp_path / "out", settings=settings, dev=scored, max_steps=2, device="cpu")
    ours = load_reranker(tmp_path / "out", device="cpu").predict(rows, show_progress_bar=False)
    assert report.scores[-1][1]["dev_spearman"] == pytest.approx(spearmanr(ours, scored.scores).statistic, abs=1e-4)
    below = pair_set(rows, scores=[1.0] * 40 + [-1.0] * 40)
    with pytest.raises(ValueError, match=r"scores between 0 and 1, got -1\.0 to 1\.0"):
        train_reranker(encoder, below, tmp_path / "x", settings=settings, device="cpu")


def test_held_out_passages_are_ranked_among_nineteen_others(encoder, pairs, tmp_path, monkeypatch):
    evaluated = []
    monkeypatch.setattr(
        CrossEncoder, "predict", lambda self, given, **options: evaluated.append(len(given)) or np.zeros(len(given))
    )
    rows = [(a, p, pairs.rows[number - 1][1]) for number, (a, p) in enumerate(pairs.rows[:60])]
    train, dev = pair_set([row for row in rows if row[1] != row[2]]).split(25)
    settings = preset("pairs", batch_size=8)
    train_reranker(encoder, train, tmp_path / "out", settings=settings, dev=dev, max_steps=1, device="cpu")
    assert evaluated and set(evaluated) == {len(dev) * 20}


def test_mining_refuses_what_it_cannot_do(tuned, pairs):
    embedder = load_embedder(tuned[0], dtype="float32", device="cpu")
    with pytest.raises(ValueError, match="negatives are mined for pairs, these are scored"):
        mine_negatives(embedder, pair_set([("a", "b"), ("c", "d")], scores=[1.0, 0.0]))
    with pytest.raises(ValueError, match="no pair of 2 found 5 negatives"):
        mine_negatives(embedder, pair_set([("a", "b"), ("c", "d")]), negatives=5)


def test_the_paper_s_recipe_is_a_preset():
    settings = preset("msmarco", learning_rate=3e-4)
    assert settings.train[0].startswith("sentence-transformers/msmarco-co-condenser-margin-mse-sym-mnrl-mean-v1?")
    chosen = (settings.epochs, settings.batch_size, settings.warmup, settings.bf16, settings.heldout, settings.seed)
    assert chosen == (1.0, 512, 0.05, True, 1000, 12) and settings.learning_rate == 3e-4
    with pytest.raises(ValueError, match="no preset 'glue'; use msmarco, parallel"):
        preset("glue")
