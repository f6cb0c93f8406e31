"""Labels, numbers, tags and entities: every number against a second implementation, from its definition."""

import math
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbert.tasks.metrics.classification import entity_scheme, label_scores, similarity_scores, span_scores, tag_scores

pytest.importorskip("sklearn")
pytest.importorskip("seqeval")

LABELS = st.sampled_from(["a", "b", "c", "d"])
ROWS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40)


def f1_of(pairs, label):
    both = sum(guess == truth == label for guess, truth in pairs)
    named = sum(guess == label for guess, _ in pairs) + sum(truth == label for _, truth in pairs)
    return 2 * both / named if named else 0.0


def matthews_of(pairs):
    """Gorodkin's R_K: covariance of the one-hot matrices over the geometric mean of their variances."""
    names = sorted({label for pair in pairs for label in pair})
    guess, truth = (np.array([[pair[side] == name for name in names] for pair in pairs], float) for side in (0, 1))
    guess, truth = guess - guess.mean(0), truth - truth.mean(0)
    scale = math.sqrt((guess**2).sum() * (truth**2).sum())
    return (guess * truth).sum() / scale if scale else 0.0


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_labels_agree_with_the_definitions(pairs):
    scores = label_scores([guess for guess, _ in pairs], [truth for _, truth in pairs], positive="b")
    seen = {label for pair in pairs for label in pair}
    right = sum(guess == truth for guess, truth in pairs) / len(pairs)
    assert scores["accuracy"] == pytest.approx(right)
    assert scores["micro_f1"] == pytest.approx(right)  # with one label a row, every error is one of each kind
    assert scores["macro_f1"] == pytest.approx(np.mean([f1_of(pairs, label) for label in seen]))
    assert scores["matthews"] == pytest.approx(matthews_of(pairs), abs=1e-9)
    assert scores["f1"] == pytest.approx(f1_of(pairs, "b"))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sets(LABELS), st.sets(LABELS)), min_size=1, max_size=20))
def test_label_sets_agree_with_the_definitions(pairs):
    sides = [[sorted(pair[side]) for pair in pairs] for side in (0, 1)]
    seen = {label for pair in pairs for side in pair for label in side}
    if not seen:
        with pytest.raises(ValueError, match="none of the"):
            label_scores(*sides)
        return
    scores = label_scores(*sides)
    both = sum(len(guess & truth) for guess, truth in pairs)
    named = sum(len(guess) + len(truth) for guess, truth in pairs)
    assert scores["micro_f1"] == pytest.approx(2 * both / named)
    by_label = [
        f1_of([(label in guess or None, label in truth or None) for guess, truth in pairs], True) for label in seen
    ]
    assert scores["macro_f1"] == pytest.approx(np.mean(by_label))
    assert scores["accuracy"] == pytest.approx(sum(guess == truth for guess, truth in pairs) / len(pairs))


def ranks(values):
    """Mean place of each value among the sorted ones, ties sharing theirs."""
    return [sum(other < value for other in values) + (values.count(value) - 1) / 2 for value in values]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=30))
def test_correlations_agree_with_the_definitions(pairs):
    guess, truth = [float(pair[0]) for pair in pairs], [float(pair[1]) for pair in pairs]
    if len(set(truth)) == 1:
        with pytest.raises(ValueError, match="correlation needs two that differ"):
            similarity_scores(guess, truth)
        return
    scores = similarity_scores(guess, truth)
    if len(set(guess)) == 1:
        assert scores == {"spearman": 0.0, "pearson": 0.0}
        return
    assert scores["pearson"] == pytest.approx(np.corrcoef(guess, truth)[0, 1])
    assert scores["spearman"] == pytest.approx(np.corrcoef(ranks(guess), ranks(truth))[0, 1])


def spans_of(sentence):
    """Entities of a sentence as conlleval reads them: an I- that continues nothing of its type begins an entity."""
    found, start, kind = set(), None, None
    for place, tag in enumerate([*sentence, "O"]):
        mark, _, name = tag.partition("-")
        if kind is not None and (mark != "I" or name != kind):
            found.add((start, place, kind))
            kind = None
        if mark != "O" and kind is None:
            start, kind = place, name
    return found


TAGS = st.sampled_from(["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG"])
SENTENCES = st.lists(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=9), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None)
@given(SENTENCES)
def test_entities_agree_with_the_definition(sentences):
    guesses, truths = ([[pair[side] for pair in sentence] for sentence in sentences] for side in (0, 1))
    guessed = {(n, *span) for n, sentence in enumerate(guesses) for span in spans_of(sentence)}
    true = {(n, *span) for n, sentence in enumerate(truths) for span in spans_of(sentence)}
    both = len(guessed & true)
    scores = span_scores(guesses, truths)
    assert scores["precision"] == pytest.approx(both / len(guessed) if guessed else 0.0)
    assert scores["recall"] == pytest.approx(both / len(true) if true else 0.0)
    assert scores["f1"] == pytest.approx(2 * both / (len(guessed) + len(true)) if guessed or true else 0.0)


def test_endings_and_single_words_may_have_tags_of_their_own():
    plain = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "B-PER", "I-PER", "I-PER"]]
    guess = [["B-PER", "I-PER", "O", "B-PER"], ["B-LOC", "B-PER", "I-PER", "O"]]
    expected = span_scores(guess, plain)["f1"]
    for single, last in (("S", "E"), ("U", "L")):
        truth = [["B-PER", f"{last}-PER", "O", f"{single}-LOC"], [f"{single}-LOC", "B-PER", "I-PER", f"{last}-PER"]]
        said = [["B-PER", f"{last}-PER", "O", f"{single}-PER"], [f"{single}-LOC", "B-PER", f"{last}-PER", "O"]]
        assert span_scores(said, truth)["f1"] == pytest.approx(expected) and 0 < expected < 1


UPOS = st.sampled_from(["NOUN", "VERB", "ADP", "SCONJ"])
TAGGED = st.lists(st.lists(st.tuples(UPOS, UPOS), min_size=1, max_size=9), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(TAGGED)
def test_tags_agree_with_the_definition(sentences):
    def runs(side):
        found = set()
        for number, sentence in enumerate(sentences):
            place = 0
            for tag, members in groupby(pair[side] for pair in sentence):
                length = len(list(members))
                found.add((number, place, place + length, tag))
                place += length
        return found

    scores = tag_scores(*([[pair[side] for pair in sentence] for sentence in sentences] for side in (0, 1)))
    words = [pair for sentence in sentences for pair in sentence]
    assert scores["accuracy"] == pytest.approx(sum(guess == truth for guess, truth in words) / len(words))
    assert scores["run_f1"] == pytest.approx(2 * len(runs(0) & runs(1)) / (len(runs(0)) + len(runs(1))))


def test_entities_whatever_way_labels_mark_them():
    """The same entities in six ways of writing give the same scores; taggers that are always wrong give 0."""
    gold = "B-PER I-PER O B-LOC O B-PER".split()
    guess = "B-PER I-PER O B-PER O O".split()
    expected = span_scores([guess], [gold])
    assert expected["f1"] == pytest.approx(2 / 5 * 2 / 2, abs=0.2) and 0 < expected["f1"] < 1
    suffix = {"B-PER": "PER-B", "I-PER": "PER-I", "B-LOC": "LOC-B", "O": "O"}
    ways = [
        lambda tag: suffix[tag],
        lambda tag: suffix[tag].replace("-", "_"),
        lambda tag: tag.replace("-", "_"),
        lambda tag: tag.lower() if tag != "O" else tag,
        lambda tag: tag.lower(),
        lambda tag: tag.replace("I-", "M-"),  # BMES, as Chinese sets have it
        lambda tag: tag[2:] or "O",
        lambda tag: tag.replace("-", "."),  # GMB and spreadsheets
        lambda tag: tag.replace("-", "/").replace("I/", "In/"),
        lambda tag: {"B": "Begin", "I": "Inside", "O": "Outside"}[tag[0]] + tag[1:],
        lambda tag: tag[2:] + {"B": ":BEGIN", "I": ":INSIDE", "O": "OUT"}[tag[0]],
    ]
    for write in ways:
        found = span_scores([[write(tag) for tag in guess]], [[write(tag) for tag in gold]])
        assert {name: found[name] for name in ("f1", "precision", "recall")} == pytest.approx(
            {name: expected[name] for name in ("f1", "precision", "recall")}
        )
    bare = [tag[0] for tag in gold]
    assert span_scores([bare], [bare])["f1"] == 1.0 and span_scores([["O"] * 6], [bare])["f1"] == 0.0
    few = "person-other O location-other O".split(), "location-other O event-other O".split()
    assert span_scores([few[1]], [few[0]])["f1"] == 0.0
    with pytest.raises(ValueError, match="the label 'PER' has no prefix and 'B-LOC' has one; write all entities as"):
        entity_scheme(["B-LOC", "PER", "O"])
    with pytest.raises(ValueError, match=r"the label 'person' has no position behind it and PER-B has one"):
        entity_scheme(["PER-B", "PER-I", "person", "O"])
    assert [entity_scheme(names) for names in (["NOUN", "VERB"], ["I-PER", "O"], ["LOC", "O"], ["B", "I", "O"])] == [
        None, "prefix", "io", "bare",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: label_scores(["a"], ["a", "b"]), "1 predictions for 2 references"),
        (lambda: label_scores([], []), "there are 0 rows to score"),
        (lambda: tag_scores([["X"]], [["X", "Y"]]), "sentence 0: 1 tags for 2 words"),
        (lambda: span_scores([[]], [[]]), "there are 0 words to score"),
        (lambda: similarity_scores([math.nan, 1.0], [1.0, 2.0]), "is no number to correlate"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as refused:
        call()
    assert "\n" not in str(refused.value)
