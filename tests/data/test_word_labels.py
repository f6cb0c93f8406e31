"""Labels of words: numbers, entities as seqeval reads them, spans of characters, rows of a trainer and back."""

import re

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbert.data import WordRows, character_tags, entities, join_words, tag_names, tag_numbers, tags_of_spans

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "E-LOC", "S-PER", "E-PER"]
PEOPLE = {
    "tokens": [["Anna", "Maria", "lives", "in", "New", "York", "."], [], ["東京", "都", "で", "Anna"]],
    "tags": [["B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O"], [], ["B-LOC", "I-LOC", "O", "_"]],
    "language": ["eng_Latn", "eng_Latn", "jpn_Jpan"],
}
NAMES = ["O", "B-LOC", "B-PER", "I-LOC", "I-PER"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(TAGS[:5]), max_size=12))
def test_entities_are_those_of_seqeval(tags):
    from seqeval.metrics.sequence_labeling import get_entities

    running = join_words([f"w{number}" for number in range(len(tags))])
    found = entities(running, tags)
    assert [(one.label, one.first_word, one.after_word - 1) for one in found] == get_entities(tags)
    assert all(one.text == running.text[one.start : one.end] for one in found)


def test_entities_of_other_schemes():
    running = join_words("Anna lives in New York City near Bonn".split())
    tags = ["S-PER", "O", "O", "B-LOC", "I-LOC", "E-LOC", "O", "U-LOC"]
    assert [(one.label, one.text) for one in entities(running, tags)] == [
        ("PER", "Anna"), ("LOC", "New York City"), ("LOC", "Bonn"),
    ]  # fmt: skip
    assert [one.label for one in entities(join_words(["a", "b"]), ["NOUN", "NOUN"])] == ["NOUN", "NOUN"]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.text("ab東บ\u0301'", min_size=1, max_size=4), st.sampled_from(TAGS[:5])), max_size=10))
def test_characters_and_words_say_the_same(pairs):
    words, tags = [word for word, _ in pairs], [tag for _, tag in pairs]
    running = join_words(words)
    by_character = character_tags(running, tags)
    assert len(by_character) == len(running.text)
    for (start, end), tag in zip(running.spans, tags, strict=True):
        assert set(by_character[start:end]) == {tag}
    spans = [(one.start, one.end, one.label) for one in entities(running, tags)]
    back = tags_of_spans(running, spans)
    assert [(one.start, one.end, one.label) for one in entities(running, back)] == spans


def test_names_are_in_one_order_and_numbers_skip_what_has_no_label():
    assert tag_names([["O", "I-B"], ["B-A", None, "_", ""]]) == ["O", "B-A", "I-B"]
    assert tag_names([["VERB"], ["ADJ"]]) == ["ADJ", "VERB"]
    assert tag_numbers(["B-PER", None, "O", "_"], NAMES) == [2, -100, 0, -100]
    assert tag_numbers(["B-XYZ", "O"], NAMES, unknown="ignore") == [-100, 0]


def perfect(rows):
    """Scores of a model that knows every labelled word, and is wrong at all other tokens."""
    found = []
    for labels in rows.rows["labels"]:
        scores = np.zeros((len(labels) + 3, len(rows.names)))  # with padding behind
        for column, label in enumerate(labels):
            scores[column, label if label >= 0 else 4] = 1.0
        found.append(scores)
    return found


@pytest.mark.parametrize("window", [(512, 128), (8, 2)])
def test_rows_of_windows_and_back(tokenizer, window):
    max_length, stride = window
    rows = WordRows.read(Dataset.from_dict(PEOPLE), tokenizer, NAMES, max_length=max_length, stride=stride)
    assert rows.empty == 1 and set(rows.rows["row"]) == {0, 2} and (len(rows.rows) > 2) == (max_length == 8)
    guesses, truth = rows.with_gold(perfect(rows))
    with pytest.warns(FutureWarning, match="WordRows.judged is now WordRows.with_gold"):
        assert rows.judged(perfect(rows)) == (guesses, truth)
    assert truth == [PEOPLE["tags"][0], PEOPLE["tags"][2][:3]] and guesses == truth
    assert rows.predicted(perfect(rows))[0] == PEOPLE["tags"][0]
    japanese = [place for place, tag in enumerate(rows.rows["language"]) if tag == "jpn_Jpan"]
    some = rows.with_gold([perfect(rows)[place] for place in japanese], rows.rows.select(japanese))
    assert some[1] == [PEOPLE["tags"][2][:3]]
    named = rows.entities(perfect(rows))
    assert [one.text for one in named[0]] == ["Anna Maria", "New York"] and named[2][0].text == "東京都"


def test_text_and_flags_of_the_rows_are_used(tokenizer):
    rows = {"tokens": [["a", "b"]] * 2, "tags": [["O", "O"]] * 2, "text": ["ab", None], "spaces": [None, [True, False]]}
    read = WordRows.read(Dataset.from_dict(rows), tokenizer, ["O"])
    assert [one.running.text for one in read.encodings] == ["ab", "a b"]
    assert WordRows.read(Dataset.from_dict({"tokens": [["a"]]}), tokenizer, ["O"]).rows["labels"] == [[-100] * 3]


RUNNING = join_words(["New", "York", "rocks"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t: tag_numbers(["B-PRE"], NAMES, where="row 3"),
            "row 3: label 'B-PRE' is unknown to the head of 5; did",
        ),
        (lambda t: tag_numbers(["O"], NAMES, words=2), "2 words but 1 tags; every word needs one"),
        (lambda t: tag_names([[None], ["_"]]), "no word has a label"),
        (lambda t: tags_of_spans(RUNNING, [(0, 8, "LOC"), (4, 8, "ORG")]), "(0, 8, 'LOC') and (4, 8, 'ORG') overlap"),
        (lambda t: tags_of_spans(RUNNING, [(1, 8, "LOC")]), "cuts a word"),
        (lambda t: tags_of_spans(RUNNING, [(0, 99, "LOC")]), "must hold characters of the text, which has 14"),
        (lambda t: tags_of_spans(RUNNING, [(3, 4, "LOC")]), "holds no word"),
        (lambda t: entities(RUNNING, ["O"]), "1 tags for 3 words"),
        (
            lambda t: WordRows.read(Dataset.from_dict(PEOPLE), t, NAMES[:4]),
            "row 1 (eng_Latn): label 'I-PER' is unknown",
        ),
        (lambda t: WordRows.read(Dataset.from_dict({"tokens": [[]], "tags": [[]]}), t, ["O"]), "1 rows have no word"),
    ],
)
def test_refusals(tokenizer, call, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call(tokenizer)
    assert "\n" not in str(caught.value)


def test_spans_can_be_widened_to_words_and_unknown_labels_counted(tokenizer):
    assert tags_of_spans(RUNNING, [(1, 6, "LOC")], whole_words=False) == ["B-LOC", "I-LOC", "O"]
    rows = WordRows.read(Dataset.from_dict(PEOPLE), tokenizer, NAMES[:4], unknown="ignore")
    assert rows.unknown == 1 and rows.gold[0][1] == -100
