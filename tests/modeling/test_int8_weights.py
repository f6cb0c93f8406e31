"""int8 weights against the network they were rounded from: close, alike in any company, small, and never saved."""

import copy
import os
import subprocess
import sys

import pytest
import torch
from mmbert import MmBertForMaskedLM, MmBertModel
from mmbert.modeling import quantise_weights


def cosines(ours, theirs):
    return torch.nn.functional.cosine_similarity(ours.float(), theirs.float(), dim=-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_vectors_stay_close(tiny, make_batch, dtype):
    torch.manual_seed(0)
    model = MmBertModel(tiny()).eval().to(dtype)
    ids, mask = make_batch(70, "right")
    with torch.no_grad():
        expected = model(ids, mask).last_hidden_state
        assert quantise_weights(model) == 4 * 4
        found = model(ids, mask).last_hidden_state
    assert found.dtype == dtype
    assert cosines(found, expected)[mask.bool()].min() > 0.999


def test_a_layer_rounds_no_more_than_half_a_step_of_weight_and_token():
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Linear(96, 40))
    inputs = torch.randn(33, 96) * torch.logspace(-3, 3, 33)[:, None]
    expected = layer(inputs).detach()
    weight = layer[0].weight.detach()
    # A product of rounded numbers is off by at most |x| dw + |w| dx + dx dw, summed over 96 channels.
    dw, dx = weight.abs().amax(1) / 254, inputs.abs().amax(1, keepdim=True) / 254
    bound = inputs.abs().sum(1, keepdim=True) * dw + dx * weight.abs().sum(1) + 96 * dx * dw
    quantise_weights(layer)
    assert ((layer(inputs) - expected).abs() <= bound * 1.01 + 1e-5).all()


def test_sums_are_right_where_a_processor_has_no_vnni():
    """oneDNN then cuts the sum of two products at 16 bits: large inputs of one sign were off by 12 %."""
    script = (
        "import torch; from mmbert.modeling import quantise_weights; torch.manual_seed(0)\n"
        "layer, inputs = torch.nn.Sequential(torch.nn.Linear(768, 256)), torch.randn(64, 768).abs() + 1\n"
        "layer[0].weight.data.abs_(); wanted = layer(inputs); quantise_weights(layer)\n"
        "print(((layer(inputs) - wanted).norm() / wanted.norm()).item())"
    )
    settings = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", script], env=settings, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2e-3


def test_a_text_has_one_vector_whatever_its_neighbours(tiny, make_batch):
    torch.manual_seed(0)
    model = MmBertModel(tiny()).eval()
    quantise_weights(model)
    ids, mask = make_batch(70, "right")
    with torch.no_grad():
        together = model(ids, mask).last_hidden_state[0]
        alone = model(ids[:1], mask[:1]).last_hidden_state[0]
    assert cosines(together, alone).min() > 0.99999


def test_a_copy_gives_the_same_numbers_and_no_rows_give_none():
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Linear(96, 40))
    quantise_weights(layer)
    inputs = torch.randn(5, 96)
    assert torch.equal(copy.deepcopy(layer)(inputs), layer(inputs))
    assert layer(torch.zeros(0, 96)).shape == (0, 40)


def test_the_tied_decoder_stays_with_its_table(tiny, make_batch):
    model = MmBertForMaskedLM(tiny()).eval()
    quantise_weights(model)
    assert model.decoder.weight is model.model.embeddings.tok_embeddings.weight
    ids, mask = make_batch(20, "none")
    with torch.no_grad():
        assert model(ids, mask).logits.isfinite().all()


def test_what_cannot_be_rounded_or_saved_is_refused(tiny, tmp_path):
    model = MmBertModel(tiny()).eval()
    quantise_weights(model)
    with pytest.raises(ValueError, match="no plain linear layer to round"):
        quantise_weights(model)
    with pytest.raises(ValueError, match="save the checkpoint that they were rounded from"):
        model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="int8 weights are for the CPU, the model is on meta"):
        quantise_weights(MmBertModel(tiny()).to("meta"))
