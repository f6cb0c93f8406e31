"""The cap on epochs: against a brute-force search for the level, in a phase, and where there is too little text."""

import json
import logging
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbert import LanguageMixture
from mmbert.data.pretraining.epoch_cap import cap_epochs
from mmbert.data.pretraining.sampler import PhaseReader
from stream_support import phase, shards_of_lengths

COUNTS = {"eng_Latn": 1_000_000, "deu_Latn": 100_000, "fao_Latn": 1_000, "quy_Latn": 100}


def bisected(shares, counts, tokens, cap, mass):
    """The level by halving: a share is level x share or what the cap lets through."""

    def poured(level):
        return {tag: min(level * share, cap * counts[tag] / tokens) for tag, share in shares.items()}

    low, high = 0.0, 1e9
    for _ in range(300):
        middle = (low + high) / 2
        low, high = (middle, high) if math.fsum(poured(middle).values()) < mass else (low, middle)
    return poured(high)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from([f"l{i}" for i in range(12)]), st.integers(1, 10**9), min_size=1),
    st.floats(0, 1),
    st.floats(0.01, 50),
    st.floats(0.01, 50),
    st.booleans(),
)
def test_shares_are_those_of_a_brute_force_search(counts, temperature, cap, passes, with_fixed):
    tokens = max(1, round(sum(counts.values()) * passes))
    fixed = {"eng_Latn": 0.3} if with_fixed else {}
    counts = {**counts, **dict.fromkeys(fixed, 50)}
    shares = LanguageMixture(counts, temperature, fixed).probabilities()
    report = cap_epochs(shares, counts, tokens=tokens, max_epochs=cap, fixed=fixed)
    assert math.fsum(report.shares.values()) == pytest.approx(1)
    assert all(report.shares[tag] == shares[tag] for tag in fixed)
    sampled = {tag: share for tag, share in shares.items() if tag not in fixed}
    mass = 1 - sum(fixed.values())
    room = math.fsum(counts[tag] for tag in sampled) / tokens
    assert report.used == pytest.approx(max(cap, mass / room))
    for tag, share in bisected(sampled, counts, tokens, report.used * (1 + 1e-12), mass).items():
        assert report.shares[tag] == pytest.approx(share, rel=1e-6)


def test_what_is_freed_goes_to_the_others_in_proportion():
    shares = {"eng_Latn": 0.4, "deu_Latn": 0.3, "fao_Latn": 0.2, "quy_Latn": 0.1}
    report = cap_epochs(shares, COUNTS, tokens=100_000, max_epochs=5)
    after = report.shares
    assert after["quy_Latn"] == pytest.approx(5 * 100 / 100_000)
    assert after["fao_Latn"] == pytest.approx(5 * 1_000 / 100_000)
    assert after["eng_Latn"] / after["deu_Latn"] == pytest.approx(4 / 3)
    assert [entry.language for entry in report.capped] == ["fao_Latn", "quy_Latn"]
    assert report.freed == pytest.approx(0.3 - after["quy_Latn"] - after["fao_Latn"])
    assert {entry.language: entry.epochs for entry in report.languages}["quy_Latn"] == pytest.approx(5)
    assert {entry.language: entry.epochs_before for entry in report.languages}["quy_Latn"] == pytest.approx(100)
    assert not report.lifted
    assert "max_epochs 5 holds down 2 of 4 languages and gives 24.50% of the tokens" in report.summary()


def test_redistribution_may_push_a_further_language_to_the_cap():
    shares = {"eng_Latn": 0.5, "deu_Latn": 0.04, "quy_Latn": 0.46}
    counts = {"eng_Latn": 10_000, "deu_Latn": 450, "quy_Latn": 10}
    report = cap_epochs(shares, counts, tokens=10_000, max_epochs=1)
    assert {entry.language for entry in report.capped} == {"deu_Latn", "quy_Latn"}  # deu would have had 0.074
    assert report.shares == pytest.approx({"eng_Latn": 0.954, "deu_Latn": 0.045, "quy_Latn": 0.001})


def test_no_cap_changes_nothing_and_still_reports():
    shares = LanguageMixture(COUNTS, 0.3).probabilities()
    report = cap_epochs(shares, COUNTS, tokens=10**6, max_epochs=0, phase="decay")
    assert report.shares == shares and not report.capped and not report.lifted and report.freed == 0
    assert "no cap on epochs; the most read is quy_Latn" in report.summary()


def test_fixed_shares_stay_however_often_they_repeat():
    shares = LanguageMixture(COUNTS, 0.3, {"quy_Latn": 0.5}).probabilities()
    report = cap_epochs(shares, COUNTS, tokens=10_000, max_epochs=5, fixed={"quy_Latn": 0.5})
    row = next(entry for entry in report.languages if entry.language == "quy_Latn")
    assert (row.share, row.fixed, row.capped) == (0.5, True, False)
    assert row.epochs == pytest.approx(50)
    assert "| quy_Latn | 50.0000% | 50.0000% | 50 | 50 | fixed |" in report.markdown()


def test_a_temperature_that_leaves_a_language_nothing():
    shares = LanguageMixture({"eng_Latn": 10**12, "quy_Latn": 1}, 50).probabilities()
    report = cap_epochs(shares, {"eng_Latn": 10**12, "quy_Latn": 1}, tokens=10**9, max_epochs=5)
    assert report.shares == {"eng_Latn": 1.0, "quy_Latn": 0.0}


def test_a_phase_reads_by_the_cap(tokenizer, tmp_path):
    shards = shards_of_lengths(tmp_path / "s", tokenizer, {"eng_Latn": [20] * 2000, "fao_Latn": [20] * 20})
    reader = PhaseReader(phase(temperature=0.0, max_epochs=2.0), shards.languages, shards, 3)
    assert reader.shares["fao_Latn"] == pytest.approx(2 * 400 / (10 * 64 * 32))
    pieces = reader.pieces(0, 640)
    seen = (pieces.length[pieces.language == 1] + 2).sum()
    assert seen == pytest.approx(2 * 400, abs=2 * 44)  # within a draw at either end


def test_too_little_text_lifts_the_cap_and_says_so(tokenizer, tmp_path, caplog):
    shards = shards_of_lengths(tmp_path / "s", tokenizer, {"eng_Latn": [20] * 100, "fao_Latn": [20] * 20})
    with caplog.at_level(logging.WARNING):
        reader = PhaseReader(phase(temperature=0.0, max_epochs=2.0), shards.languages, shards, 3)
    assert reader.epochs.lifted and reader.epochs.used == pytest.approx(10 * 64 * 32 / 2400)
    assert reader.shares == pytest.approx({"eng_Latn": 5 / 6, "fao_Latn": 1 / 6})
    assert "too little text for max_epochs 2; the cap is lifted to 8.533" in caplog.text
    assert json.loads(json.dumps(reader.epochs.to_dict()))["lifted"] is True
