"""Phase ends, masking and learning rate at exact steps, against transformers' own schedules and closed forms."""

import math

import pytest
import torch
from mmbert.recipes import MaskingSchedule, Phase, TrainingSchedule
from transformers import get_wsd_schedule


def phase(name="p", **changes):
    values = {
        "languages": ("eng_Latn",),
        "temperature": 0.7,
        "masking_ratio": 0.3,
        "context_length": 16,
        "rope_theta": 10000.0,
        "tokens": 16 * 10,
        "batch_rows": 1,
        "learning_rate": 1e-3,
    }
    return Phase(name=name, **{**values, **changes})


def test_boundaries_belong_to_the_next_phase():
    schedule = TrainingSchedule([phase("a"), phase("b", masking_ratio=0.15, tokens=16 * 5)])
    assert schedule.steps == 15
    assert [schedule.at(step).phase.name for step in (0, 9, 10, 14, 99)] == ["a", "a", "b", "b", "b"]
    assert [MaskingSchedule.from_schedule(schedule).ratio(step) for step in (9, 10)] == [0.3, 0.15]
    assert [step for step in range(16) if schedule.is_phase_end(step)] == [10, 15]
    assert [schedule.tokens(step) for step in (0, 1, 10, 15)] == [0, 16, 160, 240]


@pytest.mark.filterwarnings("ignore:Both num_training_steps and num_stable_steps")
@pytest.mark.parametrize("decay", ["linear", "1-sqrt"])
def test_learning_rate_agrees_with_transformers_wsd(decay):
    """One phase of warm-up and stable, one of decay: the same shape as get_wsd_schedule, whose steps count from 0."""
    warmup, stable, decaying = 4, 6, 8
    schedule = TrainingSchedule(
        [
            phase("stable", warmup_tokens=16 * warmup),
            phase("decay", tokens=16 * decaying, decay=decay, final_learning_rate_ratio=0.0),
        ]
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    reference = get_wsd_schedule(
        optimizer, warmup, decaying, num_training_steps=18, num_stable_steps=stable, decay_type=decay
    )
    rates = []
    for _ in range(18):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    ours = [schedule.learning_rate(step) for step in range(18)]
    assert ours[warmup:] == pytest.approx(rates[warmup:], rel=1e-6)
    # transformers begins its warm-up at a rate of 0, a step that trains nothing; ours is one step ahead of it.
    assert ours[:warmup] == pytest.approx(rates[1 : warmup + 1])


def test_decay_ends_at_its_floor():
    schedule = TrainingSchedule([phase(tokens=16 * 1000, decay="1-sqrt", final_learning_rate_ratio=0.02)])
    assert schedule.learning_rate(0) == pytest.approx(1e-3)
    assert schedule.learning_rate(250) == pytest.approx(1e-3 * (0.02 + 0.98 * (1 - math.sqrt(0.25))))
    assert schedule.learning_rate(1000) == pytest.approx(2e-5)


def test_what_lies_ahead_is_not_part_of_the_past():
    schedule = TrainingSchedule([phase("a"), phase("b")])
    assert [entry["name"] for entry in schedule.phases_begun(10)] == ["a"]
    assert [entry["name"] for entry in schedule.phases_begun(11)] == ["a", "b"]


def test_bad_roads():
    with pytest.raises(ValueError, match=r"at least one phase"):
        TrainingSchedule([])
    with pytest.raises(ValueError, match=r"counted from 0, got -1"):
        TrainingSchedule([phase()]).at(-1)


def test_a_masking_schedule_follows_the_road_and_its_changes():
    schedule = TrainingSchedule([phase("a"), phase("b", masking_ratio=0.15)])
    plain = MaskingSchedule.from_schedule(schedule)
    assert [plain.ratio(step) for step in (0, 9, 10, 500)] == [0.3, 0.3, 0.15, 0.15]
    assert MaskingSchedule.from_schedule(schedule, {"a": 0.25}).ratio(0) == 0.25
    with pytest.raises(ValueError, match=r"no phase c .* the run has a, b"):
        MaskingSchedule.from_schedule(schedule, {"c": 0.2})
    with pytest.raises(ValueError, match=r"between 0 and 1, got 15"):
        MaskingSchedule((0,), (15,))
    with pytest.raises(ValueError, match=r"begins at step 0"):
        MaskingSchedule((5,), (0.15,))
