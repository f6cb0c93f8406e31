"""Every text pipeline of transformers that fits an encoder runs on a saved directory with a tokenizer of its own."""

import pytest
import torch
from mmbert import (
    MmBertForMaskedLM,
    MmBertForSequenceClassification,
    MmBertForTokenClassification,
    MmBertModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, pipeline

WORDS = "<pad> <eos> <bos> <unk> <mask> the house stands near a river this example is about sports politics .".split()


@pytest.fixture
def words():
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", pair="<bos> $A <eos> $B <eos>", special_tokens=[("<bos>", 2), ("<eos>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        mask_token="<mask>",
        sep_token="<eos>",
        cls_token="<bos>",
    )


@pytest.fixture
def saved(tiny, words, tmp_path):
    def save(head, **overrides):
        torch.manual_seed(0)
        head(tiny(vocab_size=len(WORDS), **overrides)).save_pretrained(tmp_path)
        words.save_pretrained(tmp_path)
        return str(tmp_path)

    return save


def test_fill_mask(saved):
    guesses = pipeline("fill-mask", saved(MmBertForMaskedLM))("the <mask> stands near a river", top_k=3)
    assert len(guesses) == 3 and all(0 < guess["score"] < 1 for guess in guesses)
    assert guesses[0]["sequence"].endswith("stands near a river")


def test_feature_extraction(saved):
    texts = ["the house", "the house stands near a river"]
    run = pipeline("feature-extraction", saved(MmBertModel), return_tensors=True)
    together, alone = run(texts, batch_size=2), [run(text) for text in texts]
    assert alone[0].shape == (1, 4, 128)
    torch.testing.assert_close(together[0][:, :4], alone[0], atol=1e-5, rtol=0)


def test_text_classification(saved):
    labels = {"id2label": {0: "dull", 1: "fair", 2: "fine"}, "label2id": {"dull": 0, "fair": 1, "fine": 2}}
    run = pipeline("text-classification", saved(MmBertForSequenceClassification, **labels), top_k=None)
    together = run(["the house", "the house stands near a river"], batch_size=2)
    assert {guess["label"] for guess in together[0]} == {"dull", "fair", "fine"}
    assert sum(guess["score"] for guess in together[0]) == pytest.approx(1)
    for guess, alone in zip(together[0], run(["the house"])[0], strict=True):
        assert guess["label"] == alone["label"] and guess["score"] == pytest.approx(alone["score"], abs=1e-5)


def test_token_classification(saved):
    tags = pipeline("token-classification", saved(MmBertForTokenClassification, num_labels=3))("the house stands")
    assert [tag["word"] for tag in tags] == ["the", "house", "stands"]


def test_zero_shot_classification(saved):
    labels = {"id2label": {0: "contradiction", 1: "entailment"}, "label2id": {"contradiction": 0, "entailment": 1}}
    run = pipeline("zero-shot-classification", saved(MmBertForSequenceClassification, **labels))
    guess = run("the house stands near a river", ["sports", "politics"])
    assert set(guess["labels"]) == {"sports", "politics"} and sum(guess["scores"]) == pytest.approx(1)
