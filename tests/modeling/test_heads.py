"""The five heads against stock's with the same weights, and what stock leaves undefined."""

import pytest
import torch
from mmbert import (
    MmBertForMaskedLM,
    MmBertForMultipleChoice,
    MmBertForQuestionAnswering,
    MmBertForSequenceClassification,
    MmBertForTokenClassification,
)
from torch.nn import functional
from transformers import (
    ModernBertForMaskedLM,
    ModernBertForMultipleChoice,
    ModernBertForQuestionAnswering,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
)


def assert_same(ours, stock):
    torch.testing.assert_close(ours, stock, atol=1e-5, rtol=0)


def assert_same_gradients(model, stock):
    theirs = dict(stock.named_parameters())
    for name, parameter in model.named_parameters():
        largest = float(theirs[name].grad.abs().max())
        # 1e-6: the bias that all choices share has no gradient but rounding.
        close = {"atol": 1e-5 * largest + 1e-6, "rtol": 1e-3}
        torch.testing.assert_close(parameter.grad, theirs[name].grad, **close, msg=name)


@pytest.fixture
def mlm_labels():
    def make(ids, mask, share=0.3):
        chosen = torch.rand(ids.shape, generator=torch.Generator().manual_seed(3)) < share
        return ids.masked_fill(~(chosen & (mask if mask is not None else torch.ones_like(ids)).bool()), -100)

    return make


@pytest.mark.parametrize("padding", ["none", "right", "left", "holes"])
@pytest.mark.parametrize("sparse", [True, False])
def test_masked_lm_equals_stock(twins, make_batch, mlm_labels, padding, sparse):
    model, stock = twins(MmBertForMaskedLM, ModernBertForMaskedLM)
    model.config.sparse_prediction = sparse
    stock.sparse_prediction = False
    ids, mask = make_batch(90, padding)
    labels = mlm_labels(ids, mask)
    real = torch.ones_like(ids).bool() if mask is None else mask.bool()
    ours, theirs = model(ids, mask, labels=labels), stock(ids, attention_mask=mask, labels=labels)
    assert_same(ours.loss, theirs.loss)
    ours.loss.backward()
    theirs.loss.backward()
    assert_same_gradients(model, stock)
    if sparse:
        assert ours.logits is None
        ours = model(ids, mask)
    assert_same(ours.logits[real], theirs.logits[real])
    assert ours.logits.shape == (3, 90, 97) and ours.logits.isfinite().all()


def test_an_evaluation_has_logits_beside_the_loss(tiny, make_batch, mlm_labels):
    model = MmBertForMaskedLM(tiny()).eval()
    ids, _ = make_batch(40, "none")
    labels = mlm_labels(ids, None)
    with torch.no_grad():
        found, spared = model(ids, labels=labels), model(ids, labels=labels, return_logits=False)
        assert_same(found.logits, model(ids).logits)
        assert model.train()(ids, labels=labels).logits is None
    assert spared.logits is None
    assert_same(found.loss, spared.loss)


def test_masked_lm_divides_by_the_items_of_the_whole_step(twins, make_batch, mlm_labels):
    model, stock = twins(MmBertForMaskedLM, ModernBertForMaskedLM)
    ids, mask = make_batch(40, "right")
    labels = mlm_labels(ids, mask)
    for items in (7, torch.tensor(7), torch.tensor(7.0)):
        ours = model(ids, mask, labels=labels, num_items_in_batch=items).loss
        assert_same(ours, stock(ids, attention_mask=mask, labels=labels, num_items_in_batch=items).loss)


def test_half_batches_add_up_to_the_whole(tiny, make_batch, mlm_labels):
    model = MmBertForMaskedLM(tiny()).eval()
    ids, _ = make_batch(40, "none", rows=4)
    labels = mlm_labels(ids, None)
    items = (labels != -100).sum()
    halves = [model(ids[rows], labels=labels[rows], num_items_in_batch=items).loss for rows in ([0, 1], [2, 3])]
    assert_same(sum(halves), model(ids, labels=labels).loss)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("items", [None, 0, torch.tensor(0)])
def test_no_masked_token_is_a_loss_of_zero_with_gradients_of_zero(tiny, make_batch, sparse, items):
    model = MmBertForMaskedLM(tiny(sparse_prediction=sparse))
    ids, _ = make_batch(20, "none")
    loss = model(ids, labels=torch.full_like(ids, -100), num_items_in_batch=items).loss
    assert loss.item() == 0
    loss.backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in model.parameters())


def test_masked_lm_loss_is_taken_in_fp32(tiny, make_batch, mlm_labels):
    model = MmBertForMaskedLM(tiny()).bfloat16().eval()
    ids, _ = make_batch(40, "none")
    labels = mlm_labels(ids, None)
    loss = model(ids, labels=labels).loss
    scored = labels != -100
    logits = model(ids).logits[scored]
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, functional.cross_entropy(logits.float(), labels[scored]), atol=2e-2, rtol=0)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("padding", ["none", "right"])
@pytest.mark.parametrize(
    ("num_labels", "labels", "problem"),
    [
        (3, torch.tensor([0, 2, 1]), "single_label_classification"),
        (3, torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 0]]), "multi_label_classification"),
        (1, torch.tensor([0.5, -1.0, 2.0]), "regression"),
        (2, torch.tensor([[0.5, 1.0], [-1.0, 0.0], [2.0, 1.0]]), "regression"),
    ],
)
def test_sequence_classification_equals_stock(twins, make_batch, pooling, padding, num_labels, labels, problem):
    classes = (MmBertForSequenceClassification, ModernBertForSequenceClassification)
    settings = {"num_labels": num_labels, "classifier_pooling": pooling, "problem_type": problem}
    model, stock = twins(*classes, **settings)
    ids, mask = make_batch(80, padding)
    ours, theirs = model(ids, mask, labels=labels), stock(ids, attention_mask=mask, labels=labels)
    assert_same(ours.logits, theirs.logits)
    assert_same(ours.loss, theirs.loss)
    ours.loss.backward()
    theirs.loss.backward()
    assert_same_gradients(model, stock)


@pytest.mark.parametrize(
    ("num_labels", "labels", "problem"),
    [
        (3, torch.tensor([0, 1, 2]), "single_label_classification"),
        (3, torch.eye(3), "multi_label_classification"),
        (1, torch.ones(3), "regression"),
    ],
)
def test_the_problem_is_guessed_as_stock_guesses_it(tiny, make_batch, num_labels, labels, problem):
    model = MmBertForSequenceClassification(tiny(num_labels=num_labels)).eval()
    ids, _ = make_batch(10, "none")
    assert model(ids, labels=labels).loss.isfinite()
    assert model.config.problem_type == problem


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("padding", ["right", "left", "holes"])
def test_padding_does_not_change_a_classification(tiny, make_batch, pooling, padding):
    model = MmBertForSequenceClassification(tiny(num_labels=3, classifier_pooling=pooling)).eval()
    ids, mask = make_batch(80, padding)
    with torch.no_grad():
        together = model(ids, mask).logits
        for row in range(3):
            positions = mask[row].nonzero().flatten()
            alone = model(ids[row, positions][None], position_ids=positions[None]).logits
            if padding != "holes":  # a hole widens distances, which taking the tokens out undoes
                assert_same(together[row], alone[0])
            assert_same(together[row], model(ids[row][None], mask[row][None]).logits[0])


@pytest.mark.parametrize("padding", ["none", "right", "left"])
def test_token_classification_equals_stock(twins, make_batch, padding):
    model, stock = twins(MmBertForTokenClassification, ModernBertForTokenClassification, num_labels=5)
    ids, mask = make_batch(80, padding)
    real = torch.ones_like(ids).bool() if mask is None else mask.bool()
    labels = torch.randint(0, 5, ids.shape).masked_fill(~real, -100)
    ours, theirs = model(ids, mask, labels=labels), stock(ids, attention_mask=mask, labels=labels)
    assert_same(ours.logits[real], theirs.logits[real])
    assert_same(ours.loss, theirs.loss)
    ours.loss.backward()
    theirs.loss.backward()
    assert_same_gradients(model, stock)


def test_question_answering_equals_stock(twins, make_batch):
    model, stock = twins(MmBertForQuestionAnswering, ModernBertForQuestionAnswering)
    ids, _ = make_batch(80, "none")
    spans = {"start_positions": torch.tensor([3, 0, 79]), "end_positions": torch.tensor([9, 200, 79])}
    ours, theirs = model(ids, **spans), stock(ids, **spans)
    for name in ("start_logits", "end_logits", "loss"):
        assert_same(ours[name], theirs[name])
    ours.loss.backward()
    theirs.loss.backward()
    assert_same_gradients(model, stock)


def test_padding_takes_no_part_in_an_answer(twins, make_batch):
    model, stock = twins(MmBertForQuestionAnswering, ModernBertForQuestionAnswering)
    ids, mask = make_batch(80, "right")
    spans = {"start_positions": torch.tensor([3, 0, 5]), "end_positions": torch.tensor([9, 20, 7])}
    with torch.no_grad():
        ours, theirs = model(ids, mask, **spans), stock(ids, attention_mask=mask)
        alone = [
            model(ids[row : row + 1, : mask[row].sum()], **{name: at[row : row + 1] for name, at in spans.items()}).loss
            for row in range(3)
        ]
    for name in ("start_logits", "end_logits"):
        assert_same(ours[name][mask.bool()], theirs[name][mask.bool()])
        assert (ours[name][~mask.bool()] == torch.finfo(torch.float32).min).all()
    assert_same(ours.loss, torch.stack(alone).mean())


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("padding", ["right", "left"])
def test_multiple_choice_equals_stock(twins, make_batch, pooling, padding):
    model, stock = twins(MmBertForMultipleChoice, ModernBertForMultipleChoice, classifier_pooling=pooling)
    ids, mask = (tensor.view(2, 3, 40) for tensor in make_batch(40, padding, rows=6))
    labels = torch.tensor([2, 0])
    ours, theirs = model(ids, mask, labels=labels), stock(ids, attention_mask=mask, labels=labels)
    assert_same(ours.logits, theirs.logits)
    assert_same(ours.loss, theirs.loss)
    ours.loss.backward()
    theirs.loss.backward()
    assert_same_gradients(model, stock)


def test_every_head_gives_a_tuple_when_asked(tiny, make_batch):
    ids, _ = make_batch(6, "none")
    model = MmBertForMaskedLM(tiny()).eval()
    with torch.no_grad():
        as_tuple, as_output = model(ids, return_dict=False), model(ids)
        assert isinstance(as_tuple, tuple) and torch.equal(as_tuple[0], as_output.logits)
        assert isinstance(model.model(ids, return_dict=False), tuple)
        model.config.return_dict = False
        assert torch.equal(model(ids)[0], as_output.logits)


def test_every_head_hands_on_hidden_states_and_attentions(tiny, make_batch):
    ids, mask = make_batch(6, "right")
    for head in (
        MmBertForMaskedLM,
        MmBertForSequenceClassification,
        MmBertForTokenClassification,
        MmBertForQuestionAnswering,
    ):
        model = head(tiny()).eval()
        model.set_attn_implementation("eager")
        out = model(ids, mask, output_hidden_states=True, output_attentions=True)
        assert len(out.hidden_states) == 5 and len(out.attentions) == 4
