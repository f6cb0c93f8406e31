"""SPLADE without its logits: the numbers, gradients and files of sentence-transformers' own modules."""

import subprocess
import sys

import pytest
import torch
from mmbert import MmBertConfig, MmBertForMaskedLM
from mmbert.embeddings import load_sparse_encoder, save_retriever
from mmbert.embeddings.retrievers.splade import max_linear, splade_scores
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.modules import SpladePooling

TEXTS = ["red river", "old house by the big river", "", "snow " * 60]


@pytest.fixture(scope="module")
def language_model(toy_tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("language_model")
    torch.manual_seed(0)
    sizes = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = MmBertConfig(
        vocab_size=len(toy_tokenizer), **sizes, local_attention=8, max_position_embeddings=512, initializer_range=0.3
    )
    model = MmBertForMaskedLM(config)
    torch.nn.init.normal_(model.decoder.bias, std=0.5)
    model.save_pretrained(folder)
    save_tokenizer(toy_tokenizer, folder)
    return folder


def stock_pooling(hidden, weight, bias, lengths, activation):
    """sentence-transformers' module on all logits, padded."""
    rows = hidden.split(lengths)
    logits = torch.nn.utils.rnn.pad_sequence([row @ weight.t() + bias for row in rows], batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(n) for n in lengths], batch_first=True)
    pooling = SpladePooling("max", activation).train()
    return pooling({"token_embeddings": logits, "attention_mask": mask})["sentence_embedding"]


@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
@pytest.mark.parametrize("chunk_size", [None, 1, 7, 40])
def test_scores_and_gradients_are_those_of_the_stock_module(activation, chunk_size):
    torch.manual_seed(1)
    lengths = [3, 17, 1, 9]
    tensors = [torch.randn(30, 16), torch.randn(500, 16), torch.randn(500)]
    ours, stock = ([tensor.clone().requires_grad_() for tensor in tensors] for _ in range(2))
    upstream = torch.randn(4, 500)
    scores = splade_scores(max_linear(*ours, lengths, chunk_size), activation)
    expected = stock_pooling(*stock, lengths, activation)
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-5)
    scores.backward(upstream)
    expected.backward(upstream)
    for mine, theirs in zip(ours, stock, strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=1e-5)


def test_finite_differences_agree():
    torch.manual_seed(2)
    tensors = [torch.randn(7, 4), torch.randn(9, 4), torch.randn(9)]
    double = [tensor.double().requires_grad_() for tensor in tensors]
    assert torch.autograd.gradcheck(lambda *given: splade_scores(max_linear(*given, [3, 4], 2)), double)


def test_a_text_without_tokens_scores_nothing():
    scores = max_linear(torch.randn(4, 8), torch.randn(10, 8), None, [0, 4, 0])
    assert not scores[0].any() and not scores[2].any() and scores[1].any()


@pytest.mark.parametrize(
    "lengths, chunk_size, message",
    [([3], None, "lengths add up to 3, there are 4 tokens"), ([4], 0, "chunk_size is a number of tokens")],
)
def test_wrong_sizes_are_refused(lengths, chunk_size, message):
    with pytest.raises(ValueError, match=message):
        max_linear(torch.randn(4, 8), torch.randn(10, 8), None, lengths, chunk_size)


PEAK = """
import sys, torch
from mmbert.embeddings.retrievers.splade import max_linear, splade_scores
from mmbert.evaluation.efficiency.memory import measure_peak
torch.set_num_threads(1)
hidden, weight = torch.randn(2048, 32, requires_grad=True), torch.randn(60_000, 32, requires_grad=True)
lengths = [256] * 8
def ours():
    splade_scores(max_linear(hidden, weight, None, lengths, 64)).sum().backward()
def dense():
    (hidden @ weight.t()).view(8, 256, -1).relu().log1p().amax(1).sum().backward()
print(measure_peak({"ours": ours, "dense": dense}[sys.argv[1]]).over_weights // 2**20)
"""


@pytest.mark.slow
def test_memory_is_that_of_a_chunk_and_the_result():
    ours, dense = (
        int(subprocess.run([sys.executable, "-c", PEAK, kind], capture_output=True, text=True, check=True).stdout)
        for kind in ("ours", "dense")
    )
    # 2,048 x 60,000 logits are 492 MB and stand there twice at least; 8 x 60,000 maxima 2 MB, a chunk of 64 15 MB
    assert dense > 900 and ours < 150


def test_texts_score_as_in_plain_sentence_transformers(language_model, tmp_path):
    ours = load_sparse_encoder(language_model, device="cpu", chunk_size=5)
    stock = SparseEncoder(str(language_model), device="cpu")
    expected = stock.encode(TEXTS).to_dense()
    assert (expected > 0).sum() > 100
    torch.testing.assert_close(ours.encode(TEXTS).to_dense(), expected, atol=1e-5, rtol=1e-5)
    save_retriever(ours, tmp_path / "splade")
    again = load_sparse_encoder(tmp_path / "splade", device="cpu")
    torch.testing.assert_close(again.encode(TEXTS).to_dense(), expected, atol=1e-5, rtol=1e-5)
    plain = SparseEncoder(str(tmp_path / "splade"), device="cpu")
    assert type(plain[0].model).__name__ == "ModernBertForMaskedLM" and type(plain[1]) is SpladePooling
    torch.testing.assert_close(plain.encode(TEXTS).to_dense(), expected, atol=1e-5, rtol=1e-5)


def test_a_training_step_has_the_gradients_of_plain_sentence_transformers(language_model):
    from sentence_transformers.sparse_encoder.losses import SparseMultipleNegativesRankingLoss, SpladeLoss

    gradients = []
    for model in (load_sparse_encoder(language_model, device="cpu"), SparseEncoder(str(language_model), device="cpu")):
        model.train()
        inner = SparseMultipleNegativesRankingLoss(model)
        loss = SpladeLoss(model, inner, document_regularizer_weight=0.1, query_regularizer_weight=0.1)
        columns = [model.preprocess(list(texts)) for texts in (["red river", "old house"], ["rud rio", "bla kas bla"])]
        sum(loss(columns, None).values()).backward()
        gradients.append({name: tensor.grad for name, tensor in model[0].model.named_parameters()})
    for name, expected in gradients[1].items():
        error = (gradients[0][name] - expected).abs().max() / expected.abs().max()
        assert error < 1e-5, f"{name}: {error}"


def test_an_encoder_without_its_head_is_refused(encoder, tmp_path):
    with pytest.raises(ValueError, match="without the masked-LM head"):
        load_sparse_encoder(encoder, device="cpu")
    with pytest.raises(FileNotFoundError, match=r"neither config\.json nor modules\.json"):
        load_sparse_encoder(tmp_path, device="cpu")
