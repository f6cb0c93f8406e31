"""Fine-tuning learns, saves what it scored, restores heads and adapters, and refuses what does not fit."""

import json
import logging
import math
from pathlib import Path

import mmbert
import numpy as np
import pytest
import torch
from datasets import Dataset
from mmbert.trainers import FineTuneOptions, FineTuningArguments, fine_tune, label_order, parse_fine_tuning, read_record
from mmbert.trainers.finetuning.class_weights import WeightedLoss, balanced_weights
from mmbert.trainers.finetuning.layerwise_lr import parameter_groups
from mmbert.trainers.finetuning.model import add_lora, build_network
from mmbert.trainers.finetuning.trainer import RowCollator
from safetensors.torch import load_file
from tests_support import save_model, sentences
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    default_data_collator,
    pipeline,
)

LABELS = ["german", "english"]  # not in the order of the alphabet
FAST = {"use_cpu": True}


@pytest.fixture(scope="module")
def base(tokenizer, tmp_path_factory):
    """A masked language model of 4 layers, with its tokenizer."""
    return save_model(tmp_path_factory.mktemp("base"), tokenizer, num_hidden_layers=4)


def encoded(tokenizer, seed, count=24):
    texts = [(tag, text) for tag in ("deu_Latn", "eng_Latn") for text in sentences(tag, count, seed)]
    rows = {"language": [tag for tag, _ in texts], "text": [text for _, text in texts]}
    rows |= tokenizer(rows["text"], return_token_type_ids=False)
    return Dataset.from_dict({**rows, "labels": [int(tag == "eng_Latn") for tag in rows["language"]]})


def accuracy(predictions, rows):
    return {"accuracy": float(np.mean([one.argmax() == y for one, y in zip(predictions, rows["labels"], strict=True)]))}


@pytest.fixture(scope="module")
def run(base, tokenizer):
    """Return a function that fine-tunes on German against English."""

    def call(folder, head="sequence", checkpoint=base, labels=LABELS, train=None, dev=None, tests=None, **options):
        plan = {"num_train_epochs": 3, "per_device_train_batch_size": 8, "learning_rate": 2e-3, **FAST, **options}
        return fine_tune(
            checkpoint,
            head,
            encoded(tokenizer, 0) if train is None else train,
            dev=dev,
            tests=tests,
            tokenizer=tokenizer,
            collator=DataCollatorWithPadding(tokenizer),
            metrics=accuracy,
            labels=labels,
            output_dir=folder,
            args=FineTuningArguments(**plan),
        )

    return call


@pytest.fixture(scope="module")
def full(run, tokenizer, tmp_path_factory):
    """A classifier trained in full."""
    test = encoded(tokenizer, 1)
    return run(tmp_path_factory.mktemp("full"), dev=test, tests={"test": test}), test


@pytest.fixture(scope="module")
def lora(run, tokenizer, tmp_path_factory):
    """A classifier of adapters."""
    test = encoded(tokenizer, 1)
    pytest.importorskip("peft")
    return run(tmp_path_factory.mktemp("lora"), tests={"test": test}, lora=True, learning_rate=5e-3), test


def logits_of(model, tokenizer, rows):
    batch = tokenizer(rows["text"][:], return_tensors="pt", padding=True, return_token_type_ids=False)
    with torch.no_grad():
        return model.eval()(**batch).logits.numpy()


@pytest.fixture(scope="module")
def lora_embeddings(run, tokenizer, tmp_path_factory):
    """A classifier of adapters and of the embeddings of the tokens that it is trained on."""
    test = encoded(tokenizer, 1)
    pytest.importorskip("peft")
    options = {"lora": True, "lora_embeddings": True, "learning_rate": 5e-3}
    return run(tmp_path_factory.mktemp("embeddings"), tests={"test": test}, **options), test


@pytest.mark.parametrize("kind", ["full", "lora", "lora_embeddings"])
def test_it_learns_and_what_is_loaded_gives_the_scored_logits(kind, request, tokenizer):
    result, test = request.getfixturevalue(kind)
    assert result.scores["test"]["accuracy"] > 0.9
    model = AutoModelForSequenceClassification.from_pretrained(result.folder)
    assert type(model).__name__ == "MmBertForSequenceClassification"
    np.testing.assert_allclose(logits_of(model, tokenizer, test), np.stack(result.predictions["test"]), atol=1e-5)
    classify = pipeline("text-classification", model=str(result.folder), device="cpu")
    assert {classify(text)[0]["label"] for text in sentences("eng_Latn", 3, 1)} == {"english"}
    assert not list(result.folder.glob("checkpoint-*")) and not list(result.folder.rglob("*.bin"))


@pytest.mark.parametrize("kind", ["lora", "lora_embeddings"])
def test_adapters_alone_restore_head_and_logits(kind, request, tokenizer):
    """The head is saved beside the adapters and restored: users_ask.md N."""
    from peft import AutoPeftModelForSequenceClassification

    result, test = request.getfixturevalue(kind)
    whole = AutoPeftModelForSequenceClassification.from_pretrained(result.folder / "adapter", num_labels=2)
    np.testing.assert_allclose(logits_of(whole, tokenizer, test), np.stack(result.predictions["test"]), atol=1e-5)
    trained = result.record["parameters"]
    assert 0 < trained["trained"] < trained["all"]


def test_lora_touches_four_matrices_a_layer_and_the_head(base):
    model, _ = build_network(base, "tokens", ["a", "b"])
    trained = {
        n for n, p in add_lora(model, "tokens", FineTuningArguments(lora=True)).named_parameters() if p.requires_grad
    }
    adapters = [name for name in trained if ".lora_A." in name]
    assert len(adapters) == 4 * 4
    assert sum(".head.modules_to_save." in name for name in trained) == 2
    assert sum(".classifier.modules_to_save." in name for name in trained) == 2
    assert len(trained) == 2 * len(adapters) + 4


def test_embeddings_of_tokens_in_training_rows_are_trained_and_no_others(lora_embeddings, base, tokenizer):
    result, _ = lora_embeddings
    name = "model.embeddings.tok_embeddings.weight"
    before, after = (load_file(folder / "model.safetensors")[name] for folder in (Path(base), result.folder))
    changed = (before != after).any(1).nonzero().flatten().tolist()
    seen = {number for ids in encoded(tokenizer, 0)["input_ids"] for number in ids}
    assert changed and set(changed) <= seen and len(changed) > len(seen) / 2 and len(seen) < len(before)
    saved = load_file(result.folder / "adapter" / "adapter_model.safetensors")
    assert max(len(tensor) for key, tensor in saved.items() if "embeddings" in key) == len(seen)
    with pytest.raises(ValueError, match="lora_embeddings goes with lora"):
        FineTuningArguments(lora_embeddings=True)


def test_records_and_languages(full, base):
    result, _ = full
    record = read_record(result.folder)
    assert record["options"]["seed"] == 0 and record["options"]["learning_rate"] == 2e-3
    assert record["labels"] == LABELS and record["train_languages"] == ["deu_Latn", "eng_Latn"]
    assert json.loads(json.dumps(record)) == record
    rows = record["by_language"]["test"]
    assert rows["deu_Latn"]["rows"] == 24 and rows["deu_Latn"]["trained"]
    both = (rows["deu_Latn"]["accuracy"] + rows["eng_Latn"]["accuracy"]) / 2
    assert both == pytest.approx(record["scores"]["test"]["accuracy"])
    with pytest.raises(FileNotFoundError, match="holds no fine_tune_record"):
        read_record(base)


@pytest.mark.slow
def test_a_language_that_was_not_trained_is_marked(run, tokenizer, tmp_path):
    rows = encoded(tokenizer, 0)
    english_marked = rows.map(lambda row: {"language": "en"})
    result = run(tmp_path, train=english_marked, tests={"test": encoded(tokenizer, 1, 4)}, max_steps=2)
    assert {tag: row["trained"] for tag, row in result.by_language["test"].items()} == {
        "deu_Latn": False,
        "eng_Latn": True,
    }


def test_the_best_network_on_dev_is_kept_and_training_stops_early(run, tokenizer, tmp_path):
    dev = encoded(tokenizer, 1, 8)
    result = run(tmp_path, dev=dev, num_train_epochs=12, patience=2, learning_rate=4e-3)
    scored = {e["step"]: e["eval_main"] for e in result.record["history"] if "eval_main" in e}
    assert result.record["steps"] < 12 * 6, "two evaluations without a gain end it"
    assert scored[result.record["best_step"]] == max(scored.values())
    assert result.scores["dev"]["accuracy"] == pytest.approx(max(scored.values()))


def test_the_loss_chooses_too(run, tokenizer, tmp_path):
    dev = encoded(tokenizer, 5, 16)
    record = run(
        tmp_path, dev=dev, metric_for_best_model="loss", num_train_epochs=3, eval_strategy="steps", eval_steps=4
    ).record
    losses = {entry["step"]: entry["eval_loss"] for entry in record["history"] if "eval_loss" in entry}
    assert record["best_step"] == min(losses, key=losses.get)


def test_the_same_seed_gives_the_same_network(run, tokenizer, tmp_path):
    tests = {"test": encoded(tokenizer, 1, 4)}
    first, again, other = (
        np.stack(run(tmp_path / name, tests=tests, seed=seed, max_steps=3).predictions["test"])
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_a_head_with_the_same_labels_goes_on_and_another_is_dropped_aloud(full, tokenizer, caplog):
    result, _ = full
    assert label_order(result.folder, "sequence", sorted(LABELS)) == LABELS
    kept, dropped = build_network(result.folder, "sequence", LABELS)
    saved = AutoModelForSequenceClassification.from_pretrained(result.folder)
    assert dropped == [] and torch.equal(kept.classifier.weight, saved.classifier.weight)
    for head, labels, reason in (
        ("sequence", ["a", "b", "c"], "it has 2 label"),
        ("sequence", ["a", "b"], "its labels are german, english, those of the data a, b"),
        ("tokens", LABELS, "it is a MmBertForSequenceClassification"),
        ("choices", None, "it is a MmBertForSequenceClassification"),
    ):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="mmbert"):
            fresh, told = build_network(result.folder, head, labels)
        assert reason in told[0] and reason in caplog.text
        assert torch.equal(fresh.head.dense.weight, saved.head.dense.weight)
        assert torch.equal(fresh.model.layers[3].mlp.Wo.weight, saved.model.layers[3].mlp.Wo.weight)
        assert not torch.equal(fresh.classifier.weight, saved.classifier.weight)
        assert fresh.classifier.bias.abs().max() == 0


def test_the_masked_language_models_head_is_kept_and_no_other_tensor_may_lack(base, tmp_path):
    model, dropped = build_network(base, "sequence", LABELS)
    pretrained = mmbert.MmBertForMaskedLM.from_pretrained(base)
    assert torch.equal(model.head.dense.weight, pretrained.head.dense.weight) and dropped == []
    config = {**json.loads((base / "config.json").read_text()), "num_hidden_layers": 5}
    config.pop("layer_types", None)
    for file in base.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"lacks model\.layers\.4"):
        build_network(tmp_path, "sequence", LABELS)


def test_a_bare_encoder_is_a_start_too(base, tmp_path):
    encoder = mmbert.MmBertModel.from_pretrained(base)
    encoder.save_pretrained(tmp_path)
    model, _ = build_network(tmp_path, "tokens", LABELS)
    assert torch.equal(model.model.layers[2].attn.Wqkv.weight, encoder.layers[2].attn.Wqkv.weight)


def test_rates_fall_from_layer_to_layer(base):
    model, _ = build_network(base, "sequence", LABELS)
    groups = parameter_groups(model, rate=1.0, weight_decay=0.1, layer_decay=0.5)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(rate) == len(list(model.parameters()))
    for name, power in (("classifier.weight", 0), ("head.dense.weight", 0), ("model.final_norm.weight", 0),
                        ("model.layers.3.mlp.Wi.weight", 1), ("model.layers.0.attn.Wo.weight", 4),
                        ("model.embeddings.tok_embeddings.weight", 5)):  # fmt: skip
        assert rate[id(model.get_parameter(name))] == 0.5**power, name
    assert decay[id(model.get_parameter("model.final_norm.weight"))] == 0
    assert decay[id(model.get_parameter("classifier.weight"))] == 0.1


def test_class_weights_against_scikit_learn_and_torch():
    compute = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    labels = [0] * 6 + [1] * 3 + [2]
    expected = compute("balanced", classes=np.arange(3), y=np.array(labels))
    np.testing.assert_allclose(balanced_weights(labels, 3).numpy(), expected, rtol=1e-6)
    torch.testing.assert_close(balanced_weights([[0, -100], [0, 1]], 2), torch.tensor([0.75, 1.5]))
    torch.manual_seed(0)
    logits, truth, weights = torch.randn(10, 3), torch.tensor(labels), torch.tensor([0.5, 1.0, 4.0])
    plain = torch.nn.functional.cross_entropy(logits, truth, weight=weights, reduction="none").sum() / 10
    torch.testing.assert_close(WeightedLoss(weights)({"logits": logits}, truth), plain)
    several = torch.tensor(np.eye(3)[labels], dtype=torch.float32)
    reference = torch.nn.BCEWithLogitsLoss(pos_weight=weights)(logits, several)
    torch.testing.assert_close(WeightedLoss(weights)({"logits": logits}, several), reference)


@pytest.mark.slow
def test_weighted_classes_accumulate_like_one_batch(run, tokenizer, tmp_path):
    tests = {"test": encoded(tokenizer, 1, 4)}
    options = {"max_steps": 2, "class_weights": {"german": 3.0}, "max_grad_norm": 0.0}
    whole = run(tmp_path / "a", tests=tests, per_device_train_batch_size=8, **options)
    parts = run(tmp_path / "b", tests=tests, per_device_train_batch_size=2, gradient_accumulation_steps=4, **options)
    np.testing.assert_allclose(*(np.stack(r.predictions["test"]) for r in (whole, parts)), atol=2e-4)


@pytest.mark.slow
def test_tokens_and_spans(base, tokenizer, tmp_path):
    rows = encoded(tokenizer, 0, 8)
    tags = [[-100, *[row["labels"]] * (len(row["input_ids"]) - 2), -100] for row in rows]
    words = rows.remove_columns("labels").add_column("labels", tags)

    def right(predictions, data):
        pairs = [(p.argmax(-1), np.array(y)) for p, y in zip(predictions, data["labels"], strict=True)]
        assert all(len(p) == len(y) for p, y in pairs)
        return {"accuracy": float(np.mean(np.concatenate([(p == y)[y >= 0] for p, y in pairs])))}

    result = fine_tune(
        base, "tokens", words, tests={"test": words}, tokenizer=tokenizer,
        collator=DataCollatorForTokenClassification(tokenizer), metrics=right, labels=LABELS, output_dir=tmp_path / "t",
        args=FineTuningArguments(num_train_epochs=6, per_device_train_batch_size=4, learning_rate=3e-3,
                                 class_weights="balanced", **FAST),
    )  # fmt: skip
    assert result.scores["test"]["accuracy"] > 0.8
    assert AutoModelForTokenClassification.from_pretrained(result.folder).config.label2id["english"] == 1

    spans = rows.remove_columns("labels")
    ends = [len(ids) - 1 for ids in rows["input_ids"]]
    spans = spans.add_column("start_positions", [0] * len(rows)).add_column("end_positions", ends)

    def found(predictions, data):
        assert all(p.shape == (len(ids), 2) for p, ids in zip(predictions, data["input_ids"], strict=True))
        return {"exact": float(np.mean([(p.argmax(0) == [0, len(p) - 1]).all() for p in predictions]))}

    result = fine_tune(
        base, "spans", spans, dev=spans, tokenizer=tokenizer, collator=DataCollatorWithPadding(tokenizer),
        metrics=found, output_dir=tmp_path / "s",
        args=FineTuningArguments(num_train_epochs=6, per_device_train_batch_size=4, learning_rate=3e-3, **FAST),
    )  # fmt: skip
    assert result.scores["dev"]["exact"] > 0.8


@pytest.mark.parametrize("bf16", [False, True])
def test_no_nan_from_padding_alone_or_single_tokens(run, tokenizer, tmp_path, bf16):
    """Rows of nothing but padding, of one token, and long ones beside them, in training and in evaluation."""
    rows = [
        {"input_ids": ids, "attention_mask": mask, "labels": place % 2, "language": "und"}
        for place, (ids, mask) in enumerate(
            [([0] * 6, [0] * 6), ([7], [1]), ([2, 1], [1, 1]), ([0], [0]), ([2, *range(20, 60), 1], [1] * 42)] * 4
        )
    ]
    data = Dataset.from_list(rows)
    result = run(
        tmp_path,
        train=data,
        dev=data,
        tests={"test": data},
        bf16=bf16,
        per_device_train_batch_size=3,
        num_train_epochs=2,
    )
    assert all(np.isfinite(row).all() for row in result.predictions["test"])
    assert all(math.isfinite(e["loss"]) for e in result.record["history"] if "loss" in e)


def test_a_loss_that_is_not_finite_stops_and_names_its_batch(run, tokenizer, tmp_path):
    with pytest.raises(ValueError, match=r"the loss is (nan|inf) at step \d+, languages deu_Latn.* lengths \["):
        run(tmp_path, learning_rate=1e30, num_train_epochs=3, max_grad_norm=0.0)


def test_of_errors_less_is_better(tmp_path):
    for options, more in (
        ({}, True),
        ({"metric_for_best_model": "rmse"}, False),
        ({"metric_for_best_model": "x", "greater_is_better": False}, False),
    ):
        arguments = FineTuningArguments(**options).of_run("sequence", tmp_path, 0, has_dev=True)
        assert arguments.greater_is_better is more


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warmup_steps": -1}, "warmup_steps is -1, but must be 0 or more"),
        ({"layer_decay": 0}, "layer_decay is 0"),
        ({"per_device_train_batch_size": 0}, "batch_size is 0, but must be 1 or more"),
        ({"num_train_epochs": 0}, "num_train_epochs is 0"),
        ({"patience": 0}, "patience is 0"),
        ({"class_weights": "even"}, "class_weights='even' is none of none, balanced"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
    ],
)
def test_options_outside_their_limits(options, message):
    with pytest.raises(ValueError, match=message):
        FineTuningArguments(**options)


def test_what_does_not_fit_is_refused(run, base, tokenizer, tmp_path):
    one = encoded(tokenizer, 0, 2)
    for options, message in (
        ({"labels": ["a"]}, r"1 label\(s\) \(a\): nothing to tell apart"),
        ({"train": one.select([])}, "no training row"),
        ({"train": one.remove_columns("input_ids")}, "rows must be encoded first"),
        ({"class_weights": {"french": 2.0}}, "class_weights names 'french', but the labels are german, english"),
        ({"dev": one, "metric_for_best_model": "f1"}, "metric is 'f1', but the task reports accuracy"),
    ):
        with pytest.raises(ValueError, match=message):
            run(tmp_path / "x", **{"train": one, **options})
    with pytest.raises(FileNotFoundError, match="nowhere"):
        run(tmp_path / "x", checkpoint="nowhere")


def test_languages_ride_along_and_stay_out_of_the_network():
    rows = [{"input_ids": [1, 2], "attention_mask": [1, 1], "labels": 1, "language": "fao_Latn", "text": "x"}]
    batch = RowCollator(default_data_collator)(rows)
    assert batch.pop("languages") == ["fao_Latn"] and set(batch) == {"input_ids", "attention_mask", "labels"}


def test_the_command_line_of_the_scripts():
    from mmbert.tasks import LabelledSources

    given = (
        "--model m --data d --output_dir o --lora --num_train_epochs 7 --per_device_train_batch_size 4 --bf16 --seeds 2"
        " --warmup_steps 0.1 --lr_scheduler_type cosine --seed 5 --class_weights a=2,b=0.5 --use_cpu --hub_model_id x/y"
    )
    own, args = parse_fine_tuning(LabelledSources, given.split())
    assert own.data == "d" and (args.seed, args.seeds, args.output_dir) == (5, 2, "o")
    assert (args.num_train_epochs, args.per_device_train_batch_size, args.warmup_steps) == (7, 4, 0.1)
    assert args.bf16 and args.lora and args.learning_rate == 3e-4 and args.lr_scheduler_type == "cosine"
    assert args.class_weights == {"a": 2.0, "b": 0.5} and args.use_cpu and args.hub_model_id == "x/y"
    _, chosen = parse_fine_tuning(LabelledSources, [*given.split(), "--metric_for_best_model", "eval_rmse"])
    assert chosen.metric_for_best_model == "rmse" and not chosen.greater_is_better  # else the worst would be kept
    _, chosen = parse_fine_tuning(LabelledSources, [*given.split(), "--load_best_model_at_end", "true"])
    assert chosen.of_run("sequence", Path("x"), 0, has_dev=True).load_best_model_at_end  # as without it
    with pytest.raises(ValueError, match="--output_dir is missing"):
        parse_fine_tuning(LabelledSources, ["--model", "m"])
    with pytest.raises(ValueError, match=r"has no option --num_train_epoch; did you mean --num.train.epochs"):
        parse_fine_tuning(LabelledSources, ["--model", "m", "--output_dir", "o", "--num_train_epoch", "2"])


def test_short_and_old_options():
    from mmbert.tasks import LabelledSources

    short = "--model m --output o --epochs 7 --batch-size 4 --lr 1e-3 --metric macro_f1 --save-steps 5"
    _, args = parse_fine_tuning(LabelledSources, short.split())
    assert (args.output_dir, args.num_train_epochs, args.per_device_train_batch_size) == ("o", 7, 4)
    assert (args.learning_rate, args.metric_for_best_model, args.keeps_state) == (1e-3, "macro_f1", True)
    for old, name, value in (
        ("--redo", "overwrite_output_dir", True),
        ("--evaluations_an_epoch=4", "evals_per_epoch", 4),
        ("--group_by_length", "train_sampling_strategy", "group_by_length"),
    ):
        with pytest.warns(FutureWarning, match=name) as told:
            _, args = parse_fine_tuning(LabelledSources, ["--model", "m", "--output_dir", "o", old])
        assert getattr(args, name) == value and len(told) == 1
    with pytest.warns(FutureWarning, match="rows_per_language"):
        own, _ = parse_fine_tuning(LabelledSources, "--model m --output_dir o --rows_a_language 3".split())
    assert own.rows_per_language == 3
    with pytest.warns(FutureWarning, match="FineTuneOptions is FineTuningArguments now"):
        args = FineTuneOptions(epochs=2, batch_size=4, warmup=0.1, schedule="cosine", metric="rmse", redo=True,
                               group_by_length=True, training={"optim": "adafactor"})  # fmt: skip
    assert (args.num_train_epochs, args.warmup_steps, args.optim) == (2, 0.1, "adafactor")
    assert args.overwrite_output_dir and args.train_sampling_strategy == "group_by_length"
    with pytest.warns(FutureWarning), pytest.raises(ValueError, match="training names 'use_cpus', which is no field"):
        FineTuneOptions(training={"use_cpus": True})


def test_progress_is_told_while_training(run, tokenizer, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="mmbert"):
        run(tmp_path, num_train_epochs=1, logging_steps=2)
    assert "step 2/6  loss 0." in caplog.text and "rows/s" in caplog.text and "left" in caplog.text


def test_bf16_needs_no_word_about_the_device(tmp_path):
    arguments = FineTuningArguments(bf16=True).of_run("sequence", tmp_path, 0, has_dev=False)
    assert arguments.bf16 and arguments.use_cpu == (not torch.accelerator.is_available())
