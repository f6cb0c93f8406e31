"""Checkpoints come and go: ours, stock ModernBERT's of either generation, through every Auto class; never a pickle."""

import json
import logging
import warnings

import mmbert
import pytest
import torch
import transformers
from mmbert.modeling import register
from transformers import ModernBertForMaskedLM, ModernBertModel

HEADS = {
    "AutoModel": mmbert.MmBertModel,
    "AutoModelForMaskedLM": mmbert.MmBertForMaskedLM,
    "AutoModelForSequenceClassification": mmbert.MmBertForSequenceClassification,
    "AutoModelForTokenClassification": mmbert.MmBertForTokenClassification,
    "AutoModelForQuestionAnswering": mmbert.MmBertForQuestionAnswering,
    "AutoModelForMultipleChoice": mmbert.MmBertForMultipleChoice,
}


@pytest.fixture
def spoken():
    """Collect what transformers logs at warning level and above."""
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


@pytest.mark.parametrize("auto", HEADS)
def test_round_trip_through_every_auto_class(auto, tiny, tmp_path, spoken):
    model = HEADS[auto](tiny())
    model.save_pretrained(tmp_path)
    again = getattr(transformers, auto).from_pretrained(tmp_path)
    assert type(again) is HEADS[auto]
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert type(getattr(transformers, auto).from_config(model.config)) is HEADS[auto]
    assert not spoken


def test_registering_again_is_harmless():
    register()
    register()
    assert transformers.AutoConfig.for_model("mmbert").model_type == "mmbert"


def test_saved_tensors_have_modernberts_names_and_shapes(tiny, stock_config):
    for ours, stock in ((mmbert.MmBertModel, ModernBertModel), (mmbert.MmBertForMaskedLM, ModernBertForMaskedLM)):
        ours, stock = ours(tiny()).state_dict(), stock(stock_config(tiny())).state_dict()
        assert {name: t.shape for name, t in ours.items()} == {name: t.shape for name, t in stock.items()}


def flat_only(config):
    """Rewrite a config.json as transformers 4 wrote it: flat keys, no nested ones."""
    rope = config.pop("rope_parameters")
    config.pop("layer_types")
    return config | {
        "global_rope_theta": rope["full_attention"]["rope_theta"],
        "local_rope_theta": rope["sliding_attention"]["rope_theta"],
        "global_attn_every_n_layers": 3,
        "layer_norm_eps": 1e-5,
        "position_embedding_type": "sans_pos",
        "reference_compile": True,
        "transformers_version": "4.47.0.dev0",
    }


@pytest.mark.parametrize("rewrite", [dict, flat_only])
def test_a_modernbert_directory_loads_silently_with_stocks_numbers(rewrite, tiny, stock_config, tmp_path, spoken):
    torch.manual_seed(0)
    ModernBertForMaskedLM(stock_config(tiny())).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(rewrite(json.loads(file.read_text()))))
    ids = torch.randint(5, 97, (2, 100))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error")
        stock = ModernBertForMaskedLM.from_pretrained(tmp_path)
        spoken.clear()
        ours, encoder = mmbert.MmBertForMaskedLM.from_pretrained(tmp_path), mmbert.MmBertModel.from_pretrained(tmp_path)
        torch.testing.assert_close(ours(ids).logits, stock(ids).logits, atol=1e-5, rtol=0)
        hidden = stock.model(ids).last_hidden_state
        torch.testing.assert_close(encoder(ids).last_hidden_state, hidden, atol=1e-5, rtol=0)
    assert not spoken
    assert ours.config.model_type == "mmbert"
    ours.save_pretrained(tmp_path / "again")
    assert type(transformers.AutoModel.from_pretrained(tmp_path / "again")) is mmbert.MmBertModel


def test_the_checkpoints_dtype_is_kept(tiny, tmp_path):
    mmbert.MmBertModel(tiny()).bfloat16().save_pretrained(tmp_path)
    assert mmbert.MmBertModel.from_pretrained(tmp_path).dtype == torch.bfloat16
    assert mmbert.MmBertModel.from_pretrained(tmp_path, dtype=torch.float32).dtype == torch.float32


def test_a_new_head_is_initialised_and_announced(tiny, tmp_path, spoken):
    mmbert.MmBertForMaskedLM(tiny()).save_pretrained(tmp_path)
    model = mmbert.MmBertForSequenceClassification.from_pretrained(tmp_path, num_labels=3)
    assert any("classifier.weight" in message for message in spoken)
    assert 0.01 < model.classifier.weight.std().item() < 128**-0.5
    with torch.no_grad():
        assert model(torch.tensor([[2, 7, 1]])).logits.isfinite().all()


@pytest.mark.parametrize("options", [{}, {"use_safetensors": False}, {"use_safetensors": None}])
def test_a_pickle_is_never_read(tiny, tmp_path, options):
    model = mmbert.MmBertModel(tiny())
    model.config.save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle that must not be opened")
    for load in (mmbert.MmBertModel.from_pretrained, transformers.AutoModel.from_pretrained):
        with pytest.raises(ValueError, match=r"pytorch_model\.bin is a pickle"):
            load(tmp_path, **options)


def test_an_unknown_attention_implementation_is_refused(tiny):
    model = mmbert.MmBertModel(tiny())
    model.config._attn_implementation = "flex_attention"
    with pytest.raises(ValueError, match="'flex_attention' is not one of mmBERT's: sdpa, eager, flash_attention_2"):
        model(torch.tensor([[2, 1]]))
