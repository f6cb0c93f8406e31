"""A batch that grows: its sizes against a plain loop, and what follows for steps, tokens and learning rate."""

import pytest
from mmbert.recipes import Phase, TrainingSchedule
from mmbert.recipes.batch_schedule import BatchSchedule


def walked(rows, first, steps_per_size):
    """Yield the rows of every step, size by size, as ModernBERT's scheduler does it."""
    size = first
    while size < rows:
        for _ in range(steps_per_size):
            yield size
        size += first
    while True:
        yield rows


@pytest.mark.parametrize(
    ("rows", "first", "warmup_rows"),
    [
        (4608, 48, 60e9 / 1024),  # mmBERT base
        (24, 5, 100),  # the last size is no multiple of the first
        (24, 24, 100),  # nothing to grow
        (24, 0, 0),  # no warm-up
        (24, 8, 3),  # too short for a step at each size
    ],
)
def test_rows_grow_by_equal_amounts_at_equal_intervals(rows, first, warmup_rows):
    schedule = BatchSchedule.planned(rows, first, warmup_rows)
    before, sizes = 0, walked(rows, schedule.first_rows, schedule.steps_per_size)
    for step, size in zip(range(schedule.warmup_steps + 5), sizes, strict=False):
        assert (schedule.rows_at(step), schedule.rows_before(step)) == (size, before)
        before += size


def test_the_released_warm_up_reads_its_sixty_billion_tokens():
    schedule = BatchSchedule.planned(4608, 48, 60e9 / 1024)
    assert schedule.rows_at(0) == 48
    assert schedule.rows_before(schedule.warmup_steps) * 1024 == pytest.approx(60e9, rel=0.002)


def growing(**changes):
    values = {
        "languages": ("eng_Latn",),
        "temperature": 0.7,
        "masking_ratio": 0.3,
        "context_length": 16,
        "rope_theta": 10000.0,
        "tokens": 16 * 1000,
        "batch_rows": 20,
        "learning_rate": 1e-3,
        "batch_warmup_rows": 5,
        "batch_warmup_tokens": 16 * 120,
    }
    return Phase(name="p", **{**values, **changes})


def test_tokens_of_a_phase_count_the_small_batches():
    schedule = TrainingSchedule([growing(), growing(batch_warmup_rows=0, batch_warmup_tokens=0)])
    # 4 steps of 5, of 10 and of 15 rows, then 44 of 20.
    assert (schedule.scheduled_phases[0].end_step, schedule.tokens(12), schedule.tokens(56)) == (
        56,
        16 * 120,
        16 * 1000,
    )
    assert schedule.tokens(schedule.steps) == 16 * 2000


def test_the_learning_rate_follows_tokens_and_not_steps():
    schedule = TrainingSchedule([growing(warmup_tokens=16 * 120, tokens=16 * 1000)])
    rates = [schedule.learning_rate(step) for step in range(14)]
    assert rates == pytest.approx([1e-3 * min(1, schedule.tokens(step + 1) / (16 * 120)) for step in range(14)])
    decaying = TrainingSchedule([growing(decay="linear", final_learning_rate_ratio=0.0)])
    assert decaying.learning_rate(12) == pytest.approx(1e-3 * (1 - 120 / 1000))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_warmup_rows": 21}, "batch_warmup_rows: must be at most batch_rows, 20, got 21"),
        ({"batch_warmup_tokens": 0}, "batch_warmup_tokens: .*write both or neither"),
        ({"batch_warmup_tokens": 16 * 1001}, "batch_warmup_tokens: must be at most the phase's 16000"),
        ({"max_epochs": -1.0}, "max_epochs: must be 0 or more, got -1.0"),
    ],
)
def test_bad_warm_ups_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        growing(**changes)
