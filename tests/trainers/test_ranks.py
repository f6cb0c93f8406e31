"""Several processes, really: DDP and FSDP2 on two gloo ranks against one process, and checkpoints that change hands."""

import json

import pytest
from safetensors.torch import load_file


@pytest.fixture(scope="module")
def one(worker_folder, start):
    """One process: an unbroken run, and one that stops at step 10."""
    start(worker_folder, 1, "one:24:", "half:10:")
    return worker_folder


@pytest.fixture(scope="module")
def two(one, start):
    """Two ranks: unbroken, stopped at step 10, that one resumed, and the half of one process resumed."""
    start(one, 2, "two:24:", "two_half:10:", "two_again:24:two_half", "grown:24:half")
    start(one, 1, "shrunk:24:two_half")
    return one


@pytest.fixture(scope="module")
def sharded(one, start):
    """Two ranks under FSDP2: stopped at step 10, resumed, and the half of one process resumed."""
    start(one, 2, "fsdp", "cut:10:", "cut_again:24:cut", "cut_grown:24:half")
    start(one, 1, "whole:24:cut")
    return one


def facts(folder, name):
    return json.loads((folder / name / "facts.json").read_text())


def losses(folder, name):
    return {entry["step"]: entry["loss"] for entry in facts(folder, name)["history"]}


def furthest(folder, name, other="one"):
    one, two = (load_file(folder / each / "final" / "model.safetensors") for each in (name, other))
    assert set(one) == set(two)
    return max((one[key] - two[key]).abs().max().item() for key in one)


def assert_equal_curves(folder, name, first=1):
    here, there = losses(folder, name), losses(folder, "one")
    assert list(here) == list(range(1, 25))
    assert all(here[step] == pytest.approx(there[step], abs=2e-5) for step in range(first, 25))
    assert facts(folder, name)["tokens_read"] == facts(folder, "one")["tokens_read"]
    evaluated = [entry["eval_loss"] for entry in facts(folder, name)["evaluated"]]
    assert evaluated == pytest.approx([entry["eval_loss"] for entry in facts(folder, "one")["evaluated"]], abs=2e-5)


@pytest.mark.slow
def test_two_ranks_are_one_within_rounding(two):
    assert facts(two, "two")["ranks"] == 2 and facts(two, "one")["ranks"] == 1
    assert_equal_curves(two, "two")
    assert furthest(two, "two") < 1e-5


@pytest.mark.slow
def test_two_ranks_resume_to_the_bit(two):
    assert losses(two, "two_again") == losses(two, "two")
    assert furthest(two, "two_again", "two") == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grown", "shrunk"])
def test_a_run_may_change_its_ranks(two, name):
    assert facts(two, name)["ranks"] == {"grown": 2, "shrunk": 1}[name]
    assert_equal_curves(two, name)
    assert furthest(two, name) < 1e-5


@pytest.mark.slow
def test_fsdp2_shards_every_parameter_and_the_optimizer(sharded):
    found = facts(sharded, "cut")
    assert all(is_sharded for is_sharded, _, _ in found["layout"].values())
    table = found["layout"]["model.embeddings.tok_embeddings.weight"]
    assert table[1:] == [[300, 32], [600, 32]]
    assert found["moved"] == len(found["layout"])  # parameters that the optimizer moves
    assert "FSDPMmBertEncoderLayer" in found["classes"] and "FSDPMmBertForMaskedLM" in found["classes"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cut_again", "cut_grown", "whole"])
def test_fsdp2_is_one_process_within_rounding(sharded, name):
    """Straight through a checkpoint, on from a run of one process, and back to one process."""
    assert facts(sharded, name)["ranks"] == (1 if name == "whole" else 2)
    assert_equal_curves(sharded, name)
    assert furthest(sharded, name) < 1e-5


@pytest.mark.slow
def test_a_checkpoint_of_shards_is_like_any_other(sharded):
    cut, half = (sharded / name / "checkpoint-10" for name in ("cut", "half"))
    for file in ("model.safetensors", "optimizer.safetensors"):
        one, two = load_file(cut / file), load_file(half / file)
        assert {name: value.shape for name, value in one.items()} == {name: value.shape for name, value in two.items()}
    assert not [path for path in cut.rglob("*") if path.suffix in (".bin", ".pt", ".pth", ".distcp")]
    assert json.loads((cut / "config.json").read_text())["architectures"] == ["MmBertForMaskedLM"]


@pytest.mark.slow
def test_all_ranks_end_with_the_line_of_the_one_whose_loss_is_not_finite(worker_folder, start):
    start(worker_folder, 2, '{"poison": 7}', "broken:24:")
    said = [(worker_folder / "broken" / f"said-{rank}").read_text() for rank in (0, 1)]
    assert said[0] == said[1] and "loss is nan at step 7; the batch holds" in said[0]
    assert [path.name for path in (worker_folder / "broken").glob("checkpoint-*")] == ["checkpoint-5"]
