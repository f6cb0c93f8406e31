"""Batches by language: shares follow the temperature, no text twice, the same again for the same seed."""

from collections import Counter

import pytest
from datasets import Dataset
from mmbert.embeddings.training.language_sampler import language_batches

SIZES = {"eng_Latn": 4000, "swh_Latn": 400, "fao_Latn": 40}


def rows_of(sizes):
    languages = [tag for tag, count in sizes.items() for _ in range(count)]
    return languages, [(f"message {n}", f"{tag} {n}") for n, tag in enumerate(languages)]


def sampler(languages, texts, temperature, batch_size=64, seed=3, epoch=0):
    data = Dataset.from_dict({"anchor": [row[0] for row in texts], "positive": [row[1] for row in texts]})
    made = language_batches(languages, texts, temperature)(data, batch_size, drop_last=False, seed=seed)
    made.set_epoch(epoch)
    return made


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_shares_follow_the_temperature(temperature):
    languages, texts = rows_of(SIZES)
    batches = list(sampler(languages, texts, temperature))
    drawn = Counter(languages[row] for batch in batches for row in batch)
    weights = {tag: count**temperature for tag, count in SIZES.items()}
    for tag in SIZES:
        assert drawn[tag] / sum(drawn.values()) == pytest.approx(weights[tag] / sum(weights.values()), abs=0.03)
    assert len(batches) == len(sampler(languages, texts, temperature)) == 4440 // 64
    assert all(len(batch) == 64 for batch in batches)


def test_no_text_twice_in_a_batch_though_every_message_has_three_languages():
    languages = [tag for tag in SIZES for _ in range(100)]
    texts = [(f"message {n % 100}", f"{tag} {n}") for n, tag in enumerate(languages)]
    for batch in sampler(languages, texts, 0.5, batch_size=80):
        seen = [text for row in batch for text in texts[row]]
        assert len(seen) == len(set(seen)) and len(batch) == 80


def test_a_batch_is_short_rather_than_wrong():
    languages = ["a"] * 30 + ["b"] * 30
    texts = [(f"message {n % 5}", f"text {n}") for n in range(60)]
    assert [len(batch) for batch in sampler(languages, texts, 1.0, batch_size=16)] == [5, 5, 5]


def test_every_row_comes_up_once_before_any_comes_twice():
    languages, texts = rows_of({"a": 50, "b": 50})
    drawn = [row for batch in sampler(languages, texts, 0.0, batch_size=10) for row in batch]
    for first in (0, 50):
        of_language = [row for row in drawn if first <= row < first + 50]
        assert len(set(of_language[:50])) == min(50, len(of_language))


def test_seed_and_epoch_decide():
    languages, texts = rows_of(SIZES)
    first = list(sampler(languages, texts, 0.5))
    assert first == list(sampler(languages, texts, 0.5))
    assert first != list(sampler(languages, texts, 0.5, epoch=1)) != list(sampler(languages, texts, 0.5, seed=4))


@pytest.mark.parametrize("temperature", [-0.1, 1.5, float("nan")])
def test_a_temperature_out_of_range_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must lie between 0"):
        language_batches(["a"], [("x", "y")], temperature)
