"""The one line that puts our encoder into what users have: heads, pipelines, SentenceTransformers, LoRA, int8."""

import pytest
import torch
from mmbert import MmBertForMaskedLM, MmBertModel
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    ModernBertModel,
    PreTrainedTokenizerFast,
    pipeline,
)

WORDS = "<pad> <eos> <bos> <unk> <mask> the house stands near a river on hills".split()
TEXTS = ["the house", "the house stands near a river on the hills near the house", "a river"]


@pytest.fixture
def stock(tiny, stock_config):
    """Make a stock model, the encoder or one with a head, in evaluation mode."""

    def make(kind=ModernBertModel, **overrides):
        torch.manual_seed(0)
        return kind(stock_config(tiny(**overrides))).eval()

    return make


@pytest.fixture(scope="module")
def words():
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 2), ("<eos>", 1)]
    )
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, mask_token="<mask>", sep_token="<eos>", cls_token="<bos>", **special
    )


@pytest.mark.parametrize(
    "kind", [ModernBertForMaskedLM, ModernBertForSequenceClassification, ModernBertForTokenClassification]
)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_stock_head_on_our_encoder_gives_its_numbers(stock, make_batch, kind, pooling):
    model = stock(kind, classifier_pooling=pooling)
    ids, mask = make_batch(90, "right")
    labels = {"labels": torch.tensor([0, 1, 0])} if kind is ModernBertForSequenceClassification else {"labels": ids % 2}
    before = model(ids, attention_mask=mask)
    before_loss = model(ids, attention_mask=mask, **labels).loss
    model.model = MmBertModel.from_modernbert(model)
    after = model(ids, attention_mask=mask, output_hidden_states=True)
    shown = mask.bool() if before.logits.dim() == 3 else slice(None)
    torch.testing.assert_close(after.logits[shown], before.logits[shown], atol=1e-5, rtol=0)
    assert len(after.hidden_states) == 5
    if labels["labels"].dim() == 1:
        torch.testing.assert_close(model(ids, attention_mask=mask, **labels).loss, before_loss, atol=1e-5, rtol=0)


def test_tied_weights_stay_tied_in_a_stock_head(stock, make_batch):
    model = stock(ModernBertForMaskedLM)
    model.model = MmBertModel.from_modernbert(model.model)
    assert model.decoder.weight is model.model.embeddings.tok_embeddings.weight
    assert model.get_input_embeddings() is model.model.embeddings.tok_embeddings
    model.resize_token_embeddings(101)
    assert model.decoder.weight is model.model.embeddings.tok_embeddings.weight and len(model.decoder.weight) == 101


def test_a_switch_of_attention_on_the_head_reaches_our_encoder(stock, make_batch):
    model = stock(ModernBertForMaskedLM)
    model.model = MmBertModel.from_modernbert(model.model)
    model.set_attn_implementation("eager")
    assert model.model.config._attn_implementation == "eager"
    assert len(model(make_batch(9, "none")[0], output_attentions=True).attentions) == 4


def test_fill_mask_pipeline_in_one_line(stock, words):
    pipe = pipeline("fill-mask", model=stock(ModernBertForMaskedLM, vocab_size=len(WORDS)), tokenizer=words)
    texts = ["the <mask> stands near a river", "the <mask>"]
    before = pipe(texts, batch_size=2)
    pipe.model.model = MmBertModel.from_modernbert(pipe.model.model)
    for old, new in zip(before, pipe(texts, batch_size=2), strict=True):
        assert [guess["token_str"] for guess in new] == [guess["token_str"] for guess in old]
        assert [guess["score"] for guess in new] == pytest.approx([guess["score"] for guess in old], abs=1e-5)


def test_feature_extraction_pipeline_in_one_line(stock, words):
    pipe = pipeline("feature-extraction", model=stock(vocab_size=len(WORDS)), tokenizer=words, return_tensors=True)
    before = pipe(TEXTS, batch_size=3)
    pipe.model = MmBertModel.from_modernbert(pipe.model)
    for text, old, new in zip(TEXTS, before, pipe(TEXTS, batch_size=3), strict=True):
        real = len(words(text)["input_ids"])
        torch.testing.assert_close(new[0, :real], old[0, :real], atol=1e-5, rtol=0)


@pytest.fixture
def embedder(stock, words, tmp_path):
    """Load a stock SentenceTransformer the way users have it."""
    modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    library = pytest.importorskip("sentence_transformers")
    stock(vocab_size=len(WORDS), pad_token_id=0).save_pretrained(tmp_path / "encoder")
    words.save_pretrained(tmp_path / "encoder")

    def make(pooling="mean"):
        transformer = library.sentence_transformer.modules.Transformer(str(tmp_path / "encoder"))
        pool = modules.Pooling(transformer.get_embedding_dimension(), pooling_mode=pooling)
        return library.SentenceTransformer(modules=[transformer, pool], device="cpu")

    return make


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_sentence_transformer_in_one_line(embedder, pooling):
    model = embedder(pooling)
    assert type(model[0].model) is ModernBertModel
    before = model.encode(TEXTS, batch_size=3)
    model[0].model = MmBertModel.from_modernbert(model[0].model)
    after = model.encode(TEXTS, batch_size=3)
    torch.testing.assert_close(torch.tensor(after), torch.tensor(before), atol=1e-5, rtol=0)


def test_a_sentence_transformer_with_our_network_saves_and_loads(embedder, tmp_path):
    model = embedder()
    model[0].model = MmBertModel.from_modernbert(model[0].model)
    model.save(str(tmp_path / "saved"))
    again = type(model)(str(tmp_path / "saved"), device="cpu")
    assert isinstance(again[0].model, MmBertModel)
    torch.testing.assert_close(torch.tensor(again.encode(TEXTS)), torch.tensor(model.encode(TEXTS)))


def test_lora_layers_are_shared_and_train(stock, make_batch):
    peft = pytest.importorskip("peft")
    theirs = stock(ModernBertForSequenceClassification)
    wrapped = peft.get_peft_model(
        theirs, peft.LoraConfig(target_modules=["Wqkv", "attn.Wo", "Wi", "mlp.Wo"], r=4, init_lora_weights=False)
    )
    ids, mask = make_batch(90, "right")
    with torch.no_grad():
        before = wrapped(ids, attention_mask=mask).logits
        with wrapped.disable_adapter():
            without = wrapped(ids, attention_mask=mask).logits
        theirs.model = MmBertModel.from_modernbert(wrapped.get_base_model())
        torch.testing.assert_close(wrapped(ids, attention_mask=mask).logits, before, atol=1e-5, rtol=0)
        with wrapped.disable_adapter():
            torch.testing.assert_close(wrapped(ids, attention_mask=mask).logits, without, atol=1e-5, rtol=0)
    wrapped(ids, attention_mask=mask, labels=torch.tensor([0, 1, 0])).loss.backward()
    trained = {name for name, parameter in wrapped.named_parameters() if parameter.grad is not None}
    assert len([name for name in trained if "lora_A" in name]) == 4 * 4 and not any("base_layer" in n for n in trained)
    merged = wrapped.merge_and_unload()
    torch.testing.assert_close(merged(ids, attention_mask=mask).logits, before, atol=1e-5, rtol=0)
    assert type(merged.model.layers[0].attn.Wqkv) is nn.Linear


def test_an_adapter_of_transformers_stays_switchable(stock, make_batch):
    peft = pytest.importorskip("peft")
    theirs = stock()
    theirs.add_adapter(peft.LoraConfig(target_modules=["Wqkv"], init_lora_weights=False))
    ours = MmBertModel.from_modernbert(theirs)
    ids, mask = make_batch(30, "right")
    with torch.no_grad():
        found, expected = ours(ids, mask).last_hidden_state, theirs(ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], atol=1e-5, rtol=0)
    assert ours.active_adapters() == ["default"]
    ours.disable_adapters()
    with torch.no_grad():
        assert not torch.allclose(ours(ids, mask).last_hidden_state, found, atol=1e-3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_quantised_linear_layers_are_shared(stock, make_batch):
    quantization = pytest.importorskip("torch.ao.quantization")
    try:
        theirs = quantization.quantize_dynamic(stock(), {nn.Linear}, dtype=torch.qint8)
    except RuntimeError as error:  # a torch without a quantised engine
        pytest.skip(str(error))
    ours = MmBertModel.from_modernbert(theirs)
    assert type(ours.layers[0].mlp.Wi) is type(theirs.layers[0].mlp.Wi) is not nn.Linear
    # Activations are quantised by their range, here over a tile of tokens: these are one tile.
    ids, _ = make_batch(20, "none", rows=1)
    with torch.no_grad():
        found, expected = ours(ids).last_hidden_state, theirs(ids).last_hidden_state
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_other_things_are_refused_with_the_line_that_was_meant(stock, words, embedder, tiny):
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    pipe = pipeline("feature-extraction", model=stock(vocab_size=len(WORDS)), tokenizer=words)
    for given, said in [
        (BertModel(BertConfig(vocab_size=20, **small)), "BertModel is no stock ModernBERT"),
        (MmBertForMaskedLM(tiny()), "no stock ModernBERT"),
        (embedder(), r"write model\[0\].model = MmBertModel.from_modernbert"),
        (pipe, "write pipe.model.model = MmBertModel.from_modernbert"),
        (torch.compile(stock()), "before torch.compile"),
        (None, "NoneType is no stock ModernBERT"),
    ]:
        with pytest.raises(ValueError, match=said):
            MmBertModel.from_modernbert(given)


def test_a_peft_wrapper_is_refused_with_its_remedy(stock):
    peft = pytest.importorskip("peft")
    with pytest.raises(ValueError, match="get_base_model"):
        MmBertModel.from_modernbert(peft.get_peft_model(stock(), peft.LoraConfig(target_modules=["Wqkv"])))
