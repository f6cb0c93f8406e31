"""Batches by a budget of tokens: the vectors of plain sentence-transformers, in any order, in bounded batches."""

import logging
import random

import numpy as np
import pytest
import torch
from mmbert import load_embedder
from mmbert.embeddings import save_embedder
from sentence_transformers import SentenceTransformer

from .conftest import ENGLISH


def texts_of_many_lengths(count=60, longest=120, seed=3):
    draw = random.Random(seed)
    return [" ".join(draw.choices(ENGLISH, k=draw.choice([1, 2, 5, 20, longest]))) for _ in range(count)]


TEXTS = ["", "   ", *texts_of_many_lengths()]


@pytest.fixture(scope="module", params=["mean", "cls"])
def saved(encoder, request, tmp_path_factory):
    """A folder that both load."""
    folder = tmp_path_factory.mktemp("saved") / request.param
    return save_embedder(load_embedder(encoder, pooling=request.param, dtype="float32", device="cpu"), folder)


@pytest.fixture
def embedder(encoder):
    return load_embedder(encoder, dtype="float32", device="cpu")


@pytest.fixture
def batches(embedder, monkeypatch):
    """Lengths of the sequences of every forward pass."""
    seen = []
    forward = embedder[0].model.forward

    def spy(input_ids=None, attention_mask=None, cu_seq_lens_q=None, **options):
        seen.append(cu_seq_lens_q.diff().tolist() if cu_seq_lens_q is not None else attention_mask.sum(1).tolist())
        return forward(input_ids, attention_mask, cu_seq_lens_q=cu_seq_lens_q, **options)

    monkeypatch.setattr(embedder[0].model, "forward", spy)
    return seen


@pytest.mark.parametrize("budget", [None, 50, 100_000])
def test_vectors_are_those_of_plain_sentence_transformers(saved, budget):
    expected = SentenceTransformer(str(saved), device="cpu").encode(TEXTS)
    ours = load_embedder(saved, dtype="float32", device="cpu", token_budget=budget)
    np.testing.assert_allclose(ours.encode(TEXTS), expected, atol=1e-5)


def test_the_order_of_the_input_changes_only_the_order_of_the_output(embedder):
    order = np.random.default_rng(0).permutation(len(TEXTS))
    straight = embedder.encode(TEXTS)
    np.testing.assert_allclose(embedder.encode([TEXTS[row] for row in order]), straight[order], atol=1e-5)


def test_no_batch_exceeds_the_budget_but_a_text_that_does_alone(embedder, batches):
    embedder.token_budget = 100
    embedder.encode(TEXTS)
    assert sum(map(len, batches)) == len(TEXTS)
    assert all(sum(batch) <= 100 or len(batch) == 1 for batch in batches)
    assert any(len(batch) > 10 for batch in batches) and [max(b) for b in batches] == sorted(map(max, batches))[::-1]
    assert embedder.last_encoding.tokens == sum(map(sum, batches)) and embedder.last_encoding.texts == len(TEXTS)


def test_batch_size_limits_rows_where_it_is_given(embedder, batches):
    embedder.encode(TEXTS, batch_size=4)
    assert max(map(len, batches)) == 4
    batches.clear()
    embedder.encode_document(TEXTS)
    assert max(map(len, batches)) > 32


@pytest.mark.parametrize("prompt", [{"prompt": "red dog: "}, {"prompt_name": "question"}, {}])
@pytest.mark.parametrize("include", [True, False])
def test_prompts_are_those_of_plain_sentence_transformers(saved, prompt, include):
    prompts = {"question": "blue tree: ", "query": "old house "}
    stock = SentenceTransformer(str(saved), device="cpu", prompts=prompts)
    ours = load_embedder(saved, dtype="float32", device="cpu", prompts=prompts)
    for model in (stock, ours):
        model.set_pooling_include_prompt(include)
    few = TEXTS[2:14]
    np.testing.assert_allclose(ours.encode(few, **prompt), stock.encode(few, **prompt), atol=1e-5)
    np.testing.assert_allclose(ours.encode_query(few), stock.encode_query(few), atol=1e-5)


def test_an_unknown_prompt_is_refused(embedder):
    with pytest.raises(ValueError, match="'nowhere' not found"):
        embedder.encode(["red"], prompt_name="nowhere")


def test_shapes_and_kinds_follow_sentence_transformers(saved):
    stock = SentenceTransformer(str(saved), device="cpu")
    ours = load_embedder(saved, dtype="float32", device="cpu")
    assert ours.encode("red").shape == (48,) and ours.encode([]).shape == stock.encode([]).shape
    tensor = ours.encode(["red", "blue"], convert_to_tensor=True)
    assert isinstance(tensor, torch.Tensor) and tensor.shape == (2, 48) and not tensor.requires_grad
    assert [type(one) for one in ours.encode(["red"], convert_to_numpy=False)] == [torch.Tensor]
    assert ours.encode(np.array(["red", "blue"])).shape == ours.encode(("red", "blue")).shape == (2, 48)
    for kind in ("binary", "ubinary", "int8", "uint8"):
        got, expected = (model.encode(TEXTS[:12], precision=kind) for model in (ours, stock))
        assert got.dtype == expected.dtype and got.shape == expected.shape
    tokens, expected = (model.encode(["red", "old dog"], output_value="token_embeddings") for model in (ours, stock))
    for got, wanted in zip(tokens, expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)
    whole = ours.encode(["red"], output_value=None)
    assert set(whole[0]) >= {"sentence_embedding", "token_embeddings"}
    np.testing.assert_allclose(
        ours.encode(["red"], processing_kwargs={"text": {"max_length": 8}}), ours.encode(["red"])
    )


@pytest.mark.parametrize("dims", [0, 49, -1])
def test_dims_beyond_the_model_are_refused_in_a_call_too(embedder, dims):
    with pytest.raises(ValueError, match="truncate_dim must lie between 1 and the model's 48 dimensions"):
        embedder.encode(["red"], truncate_dim=dims)
    assert embedder.encode(["red"], truncate_dim=8).shape == (1, 8)


def test_a_document_of_a_megabyte_is_cut_and_counted(embedder, caplog):
    caplog.set_level(logging.WARNING)
    huge = "red river stone " * 65_536
    vectors = embedder.encode(["red", huge, "blue"])
    assert embedder.last_encoding.cut == 1 and np.isfinite(vectors).all()
    assert "1 of 3 texts had more than 512 tokens and were cut there" in caplog.text
    np.testing.assert_allclose(vectors[1], embedder.encode(huge[: 16 * 1000]), atol=1e-5)


def test_a_text_of_exactly_the_limit_is_not_counted_as_cut(embedder):
    words = len(embedder.tokenizer(" ".join(["red"] * 20))["input_ids"])
    embedder.max_seq_length = words
    embedder.encode([" ".join(["red"] * 20)])
    assert embedder.last_encoding.cut == 0
    embedder.encode([" ".join(["red"] * 21)])
    assert embedder.last_encoding.cut == 1


def test_the_bar_tells_tokens_a_second(embedder, capsys):
    embedder.encode(TEXTS, show_progress_bar=True)
    drawn = capsys.readouterr().err
    assert "tokens/s" in drawn and f"{len(TEXTS)} of {len(TEXTS)} texts" in drawn and "100" in drawn
    embedder.encode(TEXTS, show_progress_bar=False)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("budget", [0, -5])
def test_a_budget_of_nothing_is_refused(encoder, budget):
    with pytest.raises(ValueError, match="token_budget must be at least 1 token, got"):
        load_embedder(encoder, device="cpu", token_budget=budget)


@pytest.mark.slow
def test_a_pool_of_processes_gives_the_same_vectors(embedder):
    pool = embedder.start_multi_process_pool(["cpu", "cpu"])
    try:
        spread = embedder.encode(TEXTS, pool=pool)
    finally:
        embedder.stop_multi_process_pool(pool)
    np.testing.assert_allclose(spread, embedder.encode(TEXTS), atol=1e-5)


@pytest.mark.slow
def test_a_compiled_network_reads_rows_within_the_budget(encoder):
    plain = load_embedder(encoder, dtype="float32", device="cpu").encode(TEXTS[:20])
    compiled = load_embedder(encoder, dtype="float32", compile=True, device="cpu", token_budget=600)
    np.testing.assert_allclose(compiled.encode(TEXTS[:20]), plain, atol=1e-5)
