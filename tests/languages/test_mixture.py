"""Language mixture: p ~ n**temperature, with fixed shares outside the sampling."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbert import LanguageMixture
from mmbert.languages import published_token_counts

COUNTS = {"eng_Latn": 1_000_000.0, "deu_Latn": 10_000.0, "fao_Latn": 100.0}


def test_the_formula():
    shares = LanguageMixture(COUNTS, 0.5).probabilities()
    assert shares == pytest.approx({"eng_Latn": 1000 / 1110, "deu_Latn": 100 / 1110, "fao_Latn": 10 / 1110})


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.floats(1, 1e13), min_size=1, max_size=20),
    st.floats(0, 5),
)
def test_shares_sum_to_one_and_lower_temperature_is_flatter(counts, temperature):
    shares = LanguageMixture(counts, temperature).probabilities()
    assert math.fsum(shares.values()) == pytest.approx(1)
    assert all(share >= 0 for share in shares.values())
    flat = LanguageMixture(counts, temperature / 2).probabilities()
    largest = max(counts, key=counts.__getitem__)
    assert flat[largest] <= shares[largest] * (1 + 1e-9)


def test_zero_is_uniform_and_one_keeps_the_corpus():
    assert LanguageMixture(COUNTS, 0).probabilities() == pytest.approx(dict.fromkeys(COUNTS, 1 / 3))
    total = sum(COUNTS.values())
    assert LanguageMixture(COUNTS, 1).probabilities() == pytest.approx({k: v / total for k, v in COUNTS.items()})


def test_fixed_shares_are_kept_and_the_others_divide_the_rest():
    shares = LanguageMixture(COUNTS, 0.5, {"eng_Latn": 0.4}).probabilities()
    assert shares == pytest.approx({"eng_Latn": 0.4, "deu_Latn": 0.6 * 100 / 110, "fao_Latn": 0.6 * 10 / 110})


@pytest.mark.parametrize(("phase", "temperature"), [("pretrain", 0.7), ("ext", 0.5), ("decay-all", 0.3)])
@pytest.mark.parametrize("pair", [("rus", "xho"), ("cmn", "khm")])
def test_the_published_token_counts_follow_the_formula(phase, temperature, pair):
    """The authors sampled each phase's tokens at its temperature, so ln(ratio) / temperature is one and the same."""
    counts, at_one = published_token_counts(phase), published_token_counts("pretrain")
    ratio = math.log(counts[pair[0]] / counts[pair[1]]) / temperature
    corpus = {language: at_one[language] ** (1 / 0.7) for language in pair}
    ours = LanguageMixture(corpus, temperature).probabilities()
    assert math.log(ours[pair[0]] / ours[pair[1]]) / temperature == pytest.approx(ratio, rel=0.06)


@pytest.mark.parametrize(
    ("counts", "temperature", "fixed", "message"),
    [
        ({}, 0.5, None, "at least one language"),
        (COUNTS, -0.1, None, "0 or more, got -0.1"),
        (COUNTS, math.nan, None, "0 or more, got nan"),
        ({"eng_Latn": 0}, 0.5, None, "eng_Latn has 0 tokens"),
        (COUNTS, 0.5, {"fra_Latn": 0.1}, "fixed share for fra_Latn, of which the corpus has no text"),
        (COUNTS, 0.5, {"eng_Latn": 1.5}, "between 0 and 1"),
        (COUNTS, 0.5, {"eng_Latn": 1.0}, "leave nothing to the other languages"),
    ],
)
def test_bad_input(counts, temperature, fixed, message):
    with pytest.raises(ValueError, match=message):
        LanguageMixture(counts, temperature, fixed)
