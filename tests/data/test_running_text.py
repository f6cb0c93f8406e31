"""Words written as text: blanks where the text, the flags or the habits of writing put them; no word is changed."""

import re
from pathlib import Path

import mmbert
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbert.data import RunningText, join_words, split_words
from mmbert.data.features.running_text import spaces_of, written_spaces

SHARED = Path(mmbert.__file__).parents[1] / "shared" / "data"


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (["The", "dog", "'s", "bone", ",", "is", "n't", "it", "?"], "The dog's bone, isn't it?"),
        (["He", "said", '"', "No", '"', "(", "loudly", ")", "."], 'He said "No" (loudly).'),
        (["L'", "eau", "d'", "ici", "co\u00fbte", "5", "\u20ac"], "L'eau d'ici co\u00fbte 5 \u20ac"),
        (["\u201e", "Ja", "\u201c", ",", "sagte", "sie"], "\u201eJa\u201c, sagte sie"),
        (["\u00bf", "Qu\u00e9", "?"], "\u00bfQu\u00e9?"),
        (["\u6771\u4eac", "\u90fd", "\u306f", "2", "\u3064", "\u3002"], "\u6771\u4eac\u90fd\u306f2\u3064\u3002"),
        (["\u0e1a\u0e49\u0e32\u0e19", "\u0e2d\u0e22\u0e39\u0e48"], "\u0e1a\u0e49\u0e32\u0e19\u0e2d\u0e22\u0e39\u0e48"),
        (["\u0918\u0930", "\u0928\u0926\u0940", "\u0964"], "\u0918\u0930 \u0928\u0926\u0940\u0964"),
        (["\u05d1\u05d9\u05ea", "\u05d2\u05d3\u05d5\u05dc", "."], "\u05d1\u05d9\u05ea \u05d2\u05d3\u05d5\u05dc."),
        (["Vi\u1ec7t Nam", "", "l\u00e0"], "Vi\u1ec7t Nam l\u00e0"),
        (["read", "-", "only"], "read-only"),
        ([], ""),
    ],
)
def test_habits_of_writing(words, written):
    running = join_words(words)
    assert running.text == written and running.words == words


def test_the_text_decides_where_it_is_known():
    assert join_words(["New", "-", "York"], text="New - York").text == "New - York"
    assert join_words(["\u0e01", "\u0e02"], text="\u0e01 \u0e02").text == "\u0e01 \u0e02"
    assert join_words(["don", "'", "t"], spaces=[False, True, False]).text == "don' t"
    assert join_words(["a", "b"], joiner="").text == "ab"
    # UD's words of a contraction are not in the text; the words around them stay where they are
    french = join_words(["La", "fin", "de", "les", "temps", "."], text="La fin  des temps .")
    assert french.text == "La fin de les temps ."


WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=12)


@settings(max_examples=150, deadline=None)
@given(WORDS, st.sampled_from([None, "", " "]))
def test_words_come_out_as_they_went_in(words, joiner):
    running = join_words(words, joiner=joiner)
    assert running.words == words
    assert re.sub(r"\s", "", running.text) == re.sub(r"\s", "", "".join(words))


@settings(max_examples=150, deadline=None)
@given(WORDS, st.text(max_size=30))
def test_no_text_can_change_the_words(words, text):
    running = join_words(words, text=text)
    assert running.words == words
    assert len(running.text) <= sum(map(len, words)) + len(words)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_splitting_covers_every_visible_character_once(text):
    running = split_words(text)
    assert running.text == text
    covered = [at for start, end in running.spans for at in range(start, end)]
    assert covered == [at for at, letter in enumerate(text) if not letter.isspace()]


def test_splitting_keeps_marks_joiners_and_clusters_together():
    family, accent = "\U0001f469\u200d\U0001f52c", "e\u0301"
    assert split_words(f"l'{accent}t{accent} 1,5 \u0e01\u0e47\u6771\u4eac").words == [
        "l", "'", f"{accent}t{accent}", "1", ",", "5", "\u0e01\u0e47", "\u6771", "\u4eac",
    ]  # fmt: skip
    assert split_words(family).words[0].endswith("\u200d")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: join_words(["a", None]), "word 1 is no valid Unicode string: None"),
        (lambda: join_words(["a\ud800"]), "word 0 is no valid Unicode string"),
        (lambda: join_words(["a", "b"], spaces=[True]), "1 flags of spaces for 2 words"),
        (lambda: RunningText("abc", ((0, 2), (1, 3))), "word 1 is at characters 1 to 3, but must lie after 2"),
        (lambda: RunningText("abc", ((0, 4),)), "within the text's 3"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.shared
def test_universal_dependencies_come_back_as_their_authors_wrote_them():
    if not SHARED.is_dir():
        pytest.skip("no shared data here")
    import pyarrow.parquet as parquet

    table = parquet.read_table(SHARED / "ud_pos" / "data.parquet", columns=["lang", "text", "tokens"])
    same, right = [], {}
    for row in table.take(list(range(0, table.num_rows, 10))).to_pylist():
        words, text = row["tokens"], " ".join(row["text"].split())
        running = join_words(words, text=text)
        assert running.words == words
        if "".join(words).replace(" ", "") == text.replace(" ", ""):
            same.append(running.text == text)
            pairs = zip(written_spaces(words)[:-1], spaces_of(words, text)[:-1], strict=True)
            right.setdefault(row["lang"], []).extend(habit == truth for habit, truth in pairs)
    assert all(same) and len(same) > 2500
    shares = sorted(sum(found) / len(found) for found in right.values())
    assert shares[len(shares) // 2] > 0.97 and len(shares) == 35  # what the module's head says of habits
