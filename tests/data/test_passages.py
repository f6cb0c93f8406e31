"""Questions on passages: windows as the tokenizer writes pairs, answers to the letter, every span scored."""

import json
import re

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbert.data import (
    PassageRows,
    answer_spans,
    best_null_threshold,
    decode_answers,
    encode_passages,
    write_predictions,
)

CONTEXTS = [
    "The house stands near a river since 1984, and every morning people cross the old bridge.",
    "東京都は大きい。 川の近く 👩‍🔬 e\u0301t\u00e9",
    "Дом стоит у реки <mask> и каждое утро люди идут через мост",
]


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("max_length", [8192, 24])
def test_windows_are_what_the_tokenizer_writes(tokenizer, context, max_length):
    question = "where?"
    encoding = encode_passages(tokenizer, [question], [context], max_length=max_length, stride=4)[0]
    stock = tokenizer(
        question, context, truncation="only_second", max_length=max_length, stride=4, split_special_tokens=True,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    if max_length == 8192:
        assert encoding.windows == stock["input_ids"]
    assert all(len(window) <= max_length for window in encoding.windows)
    assert len(encoding.windows) == len(stock["input_ids"])
    for window, offsets in zip(encoding.windows, encoding.offsets, strict=True):
        assert len(window) == encoding.first + len(offsets) + 1
    covered = {at for offsets in encoding.offsets for start, end in offsets for at in range(start, end)}
    assert {at for at, letter in enumerate(context) if letter != " "} <= covered <= set(range(len(context)))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(CONTEXTS), st.data())
def test_answers_come_back_to_the_letter(tokenizer, context, data):
    start = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(start + 1, len(context)))
    for max_length in (8192, 40):
        encoding = encode_passages(tokenizer, ["?"], [context], max_length=max_length, stride=8)[0]
        answer = context[start:end]
        for window, (first, last) in enumerate(encoding.positions(start, end)):
            if (first, last) == (0, 0):
                continue
            begin, stop = encoding.characters(window, first, last)
            assert answer.strip() in context[begin:stop]  # whole tokens, nothing less
            if encoding.reachable(start, end):
                assert context[begin:stop] == answer.strip()
        if max_length == 8192 and answer.strip():
            assert encoding.positions(start, end) != [(0, 0)]


def test_whole_words_are_reachable(tokenizer):
    for context in CONTEXTS[::2]:
        encoding = encode_passages(tokenizer, ["?"], [context])[0]
        for match in re.finditer(r"\w+", context):
            assert encoding.reachable(*match.span())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([8192, 40]), st.integers(1, 12), st.integers(1, 6))
def test_the_best_spans_are_those_of_brute_force(tokenizer, seed, max_length, longest, n_best):
    context = CONTEXTS[0]
    encoding = encode_passages(tokenizer, ["where?"], [context], max_length=max_length, stride=8)[0]
    draw = np.random.default_rng(seed)
    starts, ends = ([draw.normal(size=len(window)) for window in encoding.windows] for _ in range(2))
    scores = {}
    for window, offsets in enumerate(encoding.offsets):
        places = [encoding.first + at for at, (a, b) in enumerate(offsets) if a < b]
        for first in places:
            for last in places:
                if first <= last < first + longest:
                    span = context[offsets[first - encoding.first][0] : offsets[last - encoding.first][1]].strip()
                    key = (encoding.characters(window, first, last), span)
                    scores[key] = max(scores.get(key, -np.inf), starts[window][first] + ends[window][last])
    ranked = sorted(scores.items(), key=lambda entry: -entry[1])[:n_best]
    found = decode_answers(encoding, starts, ends, n_best=n_best, longest=longest)
    assert [(one.start, one.end) for one in found.n_best] == [key[0] for key, _ in ranked]
    assert [one.text for one in found.n_best] == [key[1] for key, _ in ranked]
    assert np.allclose([one.score for one in found.n_best], [score for _, score in ranked])
    assert found.best == found.n_best[0] and sum(one.probability for one in found.n_best) == pytest.approx(1.0)
    null = min(start[0] + end[0] for start, end in zip(starts, ends, strict=True))
    assert found.null_odds == pytest.approx(null - ranked[0][1])
    with_null = decode_answers(encoding, starts, ends, n_best=n_best, longest=longest, null_threshold=0.0)
    assert (with_null.best.text == "") == (found.null_odds > 0)
    never = decode_answers(encoding, starts, ends, n_best=1, longest=longest, null_threshold=1e9)
    assert never.best.text == found.best.text


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1)
)
def test_no_threshold_beats_the_best(rows):
    odds, answered, silent = (list(column) for column in zip(*rows, strict=True))

    def total(threshold):
        return sum(s if o > threshold else a for o, a, s in rows)

    best = best_null_threshold(odds, answered, silent)
    assert total(best) == max(map(total, [-99.0, *[o + d for o in odds for d in (-0.5, 0, 0.5)], 99.0]))


QUESTIONS = {
    "id": ["a", "b", "c"],
    "question": ["since when?", "what?", "who?"],
    "context": [CONTEXTS[0], CONTEXTS[1], CONTEXTS[0]],
    "answers": [
        {"text": ["1984", "since 1984"], "answer_start": [36, 30]},
        {"text": ["東京都"], "answer_start": [0]},
        {"text": [], "answer_start": []},
    ],
    "language": ["eng_Latn", "jpn_Jpan", "eng_Latn"],
}


def perfect(rows):
    found = []
    for window, start, end in zip(
        *(rows.rows[c] for c in ("input_ids", "start_positions", "end_positions")), strict=True
    ):
        scores = np.zeros((len(window) + 2, 2))
        scores[start, 0] = scores[end, 1] = 9.0
        found.append(scores)
    return found


@pytest.mark.parametrize("max_length", [8192, 32])
@pytest.mark.parametrize("unanswerable", [False, True])
def test_rows_of_windows_and_back(tokenizer, tmp_path, max_length, unanswerable):
    rows = PassageRows.read(
        Dataset.from_dict(QUESTIONS), tokenizer, max_length=max_length, stride=8, unanswerable=unanswerable
    )
    assert rows.ids == ["a", "b", "c"][: 2 + unanswerable] and rows.no_answer == 1 - unanswerable
    assert rows.gold[0] == ["1984", "since 1984"]
    found = rows.answers(perfect(rows), null_threshold=0.0 if unanswerable else None)
    assert [found[number].best.text for number in found] == ["1984", "東京都", ""][: 2 + unanswerable]
    path = write_predictions(tmp_path, {rows.ids[n]: one for n, one in found.items()}, unanswerable=unanswerable)
    assert json.loads(path.read_text(encoding="utf-8"))["b"] == "東京都"
    assert (tmp_path / "null_odds.json").is_file() == unanswerable
    best = json.loads((tmp_path / "nbest_predictions.json").read_text(encoding="utf-8"))["a"][0]
    assert best["text"] == "1984" and (best["start"], best["end"]) == (36, 40)


def test_shapes_of_answers():
    row = {"context": "one two one", "question": "?"}
    assert answer_spans({**row, "answers": ["two"], "answer_start": [4]}) == [(4, 7)]
    assert answer_spans({**row, "answers": "two", "answer_start": 4}) == [(4, 7)]
    assert answer_spans({**row, "answers": [{"text": "one", "answer_start": 8}]}) == [(8, 11)]
    assert answer_spans({**row, "answers": ["one"]}) == [(0, 3)]
    assert answer_spans({**row, "answers": None}) == answer_spans({**row, "answers": [""]}) == []


def test_parallel_ids_get_their_language_and_empty_passages_no_answer(tokenizer):
    parallel = {**QUESTIONS, "id": ["x", "x", "y"]}
    assert PassageRows.read(Dataset.from_dict(parallel), tokenizer).ids == ["eng_Latn/x", "jpn_Jpan/x"]
    empty = encode_passages(tokenizer, ["", "what?"], ["", ""])
    scores = [np.zeros(len(empty[1].windows[0]))]
    assert decode_answers(empty[1], scores, scores).best.text == "" and empty[0].windows == [[2, 1, 1]]
    long = encode_passages(tokenizer, ["why " * 100], ["because"], max_length=80, stride=4, max_question=10)[0]
    assert long.question_cut > 80 and long.first == 12


def refuse(tokenizer, **changes):
    return PassageRows.read(Dataset.from_dict({**QUESTIONS, **changes}), tokenizer)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t: refuse(t, answers=[{"text": ["1984"], "answer_start": [3]}] * 3),
            "row 1 (id a): answer '1984' is not at character 3 of its passage, there stands ' hou'; it is at 36",
        ),
        (
            lambda t: refuse(t, answers=[["Oslo"], ["x"], ["x"]]),
            "answer 'Oslo' is not at character -1 of its passage, it is",
        ),
        (
            lambda t: refuse(t, answers=[{"text": ["1984", "x"], "answer_start": [36]}] * 3),
            "2 answers but 1 answer starts",
        ),
        (lambda t: refuse(t, id=["a", "b", "a"], answers=[["the"]] * 3, context=["the"] * 3), "id 'eng_Latn/a' stands"),
        (lambda t: refuse(t, answers=[{"text": [], "answer_start": []}] * 3), "none of 3 questions has an answer"),
        (lambda t: encode_passages(t, ["a"], []), "1 questions but 0 passages"),
        (lambda t: encode_passages(t, [None], ["a"]), "question 0 is no valid Unicode string: None"),
        (lambda t: encode_passages(t, ["a"], ["a"], max_length=100, stride=128), "must be more than the stride of 128"),
        (lambda t: decode_answers(encode_passages(t, ["a"], ["a"])[0], [], []), "scores of 0 windows"),
        (lambda t: best_null_threshold([], [], []), "one question at least; got 0, 0 and 0"),
    ],
)
def test_refusals(tokenizer, call, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call(tokenizer)
    assert "\n" not in str(caught.value)


def test_bad_answers_can_be_left_out_and_counted(tokenizer):
    bad = {**QUESTIONS, "answers": [{"text": ["Oslo"], "answer_start": [1]}, *QUESTIONS["answers"][1:]]}
    rows = PassageRows.read(Dataset.from_dict(bad), tokenizer, on_bad_answer="skip")
    assert (rows.bad_answers, rows.no_answer, rows.ids) == (1, 1, ["b"])
