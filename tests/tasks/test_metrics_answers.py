"""Answers: the SQuAD and MLQA definitions, written here a second time with regular expressions, and known pairs."""

import string
from collections import Counter

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbert.tasks.metrics.question_answering import answer_tokens, exact_match, official_scores, token_f1

# The article patterns of MLQA's evaluation script.
MLQA = {
    "eng": r"\b(a|an|the)\b",
    "spa": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "vie": r"\b(của|là|cái|chiếc|những)\b",
    "deu": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "hin": r"(?!)",
}
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"


def second_tokens(text, language):
    text = regex.sub(r"[\p{P}$+<=>^`|~]", "", text.lower())
    text = regex.sub(MLQA.get(language, r"(?!)"), " ", text)
    return regex.findall(rf"{UNSPACED}\p{{M}}*|(?:(?!{UNSPACED})\S)+", text)


def second_f1(guess, answer, language):
    one, other = Counter(second_tokens(guess, language)), Counter(second_tokens(answer, language))
    if not one or not other:
        return float(one == other)
    shared = (one & other).total()
    precision, recall = shared / one.total(), shared / other.total()
    return 2 * precision * recall / (precision + recall) if shared else 0.0


WORDS = {
    "eng": "The a an answer is 42 , Forty-two ! ( U.S.A. ) thesis $100 the".split(),
    "spa": "La el una casa , unos ¿ qué ? años 1.990 elena".split(),
    "deu": "Der die das einen Haus , „Häuser“ des 3,5 dem Desaster".split(),
    "vie": "của là những Hà Nội , 1954 cái".split(),
    "hin": "राम । श्री लंका ॥ 1947 , का".split(),
    "cmn": "北京 是 China 的 首都 。 2008年 奥运会 「 」".split(),
    "jpn": "東京 タワー は 333 メートル 、 です 。 ABC".split(),
    "tha": "พ.ศ. 2525 กรุงเทพ ที่ น้ำ ๑๙๕๔ ฯ".split(),
    "khm": "ភ្នំពេញ ជា រាជធានី ។ 1953".split(),
    "lao": "ວຽງຈັນ ແມ່ນ ນະຄອນ 1975".split(),
    "mya": "ရန်ကုန် မြို့ ၊ ၁၉၄၈ ။".split(),
    "kor": "서울 특별시 는 , 한국 의 수도".split(),
    "heb": "ירושלים היא בירת ישראל־ , 1948 ״".split(),
}


@pytest.mark.parametrize("language", sorted(WORDS))
def test_tokens_and_f1_agree_with_a_second_implementation(language):
    words = st.lists(st.sampled_from(WORDS[language]), max_size=7).map(" ".join)

    @settings(max_examples=40, deadline=None)
    @given(words, words)
    def check(guess, answer):
        assert answer_tokens(guess, f"{language}_Xxxx") == second_tokens(guess, language)
        assert token_f1(guess, [answer], language) == pytest.approx(second_f1(guess, answer, language))
        same = second_tokens(guess, language) == second_tokens(answer, language)
        assert exact_match(guess, [answer], language) == float(same)

    check()


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("fra", "L'eau", "eau"),
        ("fra", "l’hôpital de Paris", "hôpital de Paris"),
        ("ita", "dell'acqua", "acqua"),
        ("arb", "القاهرة", "قاهرة"),
        ("arb", "في عام ١٩٥٤، مصر", "في عام ١٩٥٤ مصر"),
        ("swe", "en bil", "bil"),
        ("ell", "Το σπίτι", "σπίτι"),
        ("nld", "het huis", "huis"),
        ("afr", "'n huis", "huis"),
        ("en", "the bridge", "bridge"),  # as most sources write the language
        ("ar", "القاهرة", "قاهرة"),
        ("eng", "cafe\u0301", "caf\u00e9"),  # the same letters, composed and not
    ],
)
def test_what_does_not_count_is_gone(language, one, other):
    assert exact_match(one, [other], language) == 1.0


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("fra", "aujourd'hui", "hui"),
        ("arb", "ال", ""),  # the letters alone are no article
        ("deu", "the house", "house"),  # an article of another language is a word
        ("eng", "Theo", "o"),
        ("tha", "มา", "ม้า"),  # marks tell words apart
    ],
)
def test_what_counts_stays(language, one, other):
    assert exact_match(one, [other], language) == 0.0


def test_the_nearest_answer_decides_and_no_answer_is_an_answer():
    assert token_f1("old bridge", ["river", "the old stone bridge"], "eng") == pytest.approx(0.8)
    for guess, answers, right in (("", [], 1.0), ("x", [], 0.0), ("", ["x"], 0.0)):
        assert token_f1(guess, answers, "eng") == exact_match(guess, answers, "eng") == right
    assert " ".join(answer_tokens("The  Old, Bridge!")) == "old bridge"


GUESSES = [
    ("The Old-Bridge, 1.", ["old bridge 1"]),
    ("ein Haus", ["Haus"]),
    ("北京", ["北京。"]),
    ("a the", ["x y"]),
    ("x", ["the", "x y"]),
    ("", ["the"]),  # nothing is left of the right answer, or of both
    ("the", ["the"]),
    ("!", ["the", "x"]),
    ("", ["x"]),
]


def script_tokens(text):
    """What the three scripts compare of English answers."""
    return regex.sub(
        r"\b(a|an|the)\b", " ", regex.sub(rf"[{regex.escape(string.punctuation)}]", "", text.lower())
    ).split()


def script_f1(guess, answer, both_empty):
    one, other = script_tokens(guess), script_tokens(answer)
    if not one and not other:
        return both_empty
    shared = (Counter(one) & Counter(other)).total()
    return 2 * shared / (len(one) + len(other))


def test_squad_2_leaves_out_empty_right_answers_and_lets_silence_be_right():
    for guess, answers in [*GUESSES, ("", []), ("x", []), ("the", [])]:
        right = [answer for answer in answers if script_tokens(answer)] or [""]  # get_raw_scores of evaluate-v2.0.py
        found = official_scores("squad", [(guess, answers, "deu_Latn")], unanswerable=True)
        assert found["official_f1"] == pytest.approx(max(script_f1(guess, answer, 1.0) for answer in right))
        assert found["official_exact"] == any(script_tokens(guess) == script_tokens(answer) for answer in right)


@pytest.mark.parametrize("script", ["squad", "mlqa"])
def test_squad_1_and_mlqa_give_two_empty_sides_an_f1_of_0(script):
    for guess, answers in GUESSES:
        if script == "mlqa" and not guess.isascii():
            continue  # its punctuation is Unicode's
        found = official_scores(script, [(guess, answers, "eng_Latn")])
        # evaluate-v1.1.py and mlqa_evaluation_v1.py: `if num_same == 0: return 0`
        assert found["official_f1"] == pytest.approx(max(script_f1(guess, answer, 0.0) for answer in answers))
        assert found["official_exact"] == any(script_tokens(guess) == script_tokens(answer) for answer in answers)
    assert official_scores(script, [("the", ["the"], "en")]) == {"official_f1": 0.0, "official_exact": 1.0}


def test_mlqas_own_script_differs_from_squads():
    assert official_scores("mlqa", [("ein Haus", ["Haus"], "deu_Latn")])["official_exact"] == 1.0
    assert official_scores("squad", [("ein Haus", ["Haus"], "deu_Latn")])["official_exact"] == 0.0
    assert official_scores("mlqa", [("北京", ["北京。"], "cmn_Hans")]) == {"official_f1": 1.0, "official_exact": 1.0}
    assert official_scores("mlqa", [("北京", ["北海"], "cmn_Hans")])["official_f1"] == 0.5
    assert official_scores("mlqa", [("الكتاب", ["كتاب"], "arb_Arab")])["official_exact"] == 1.0
