"""Words and tokens: each word owns one token, whatever its script, and is predicted in one window."""

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import mmbert
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbert.data import RunningText, encode_running, encode_words, split_words
from mmbert.data.features.windows import most_context, windows_over
from mmbert.modeling.tokenization_mmbert import build_tokenizer
from tokenizers import Tokenizer, pre_tokenizers

SHARED = Path(mmbert.__file__).parents[1] / "shared"
CASES = {
    "clitics": ["I", "do", "n't", "know", ",", "it", "'s", "John", "'s", "."],
    "glued": ["東京", "都", "は", "大きい", "。"],
    "thai": ["บ้าน", "อยู่", "ใกล้", "แม่น้ำ"],
    "right to left": ["البيت", "قريب", "من", "النهر", ".", "בית"],
    "combining marks": ["e\u0301te\u0301", "क्षि", "ก็"],
    "emoji": ["👩‍🔬", "🇫🇴", "👍🏽", "!"],
    "empty": ["", "a", "", "", "b", ""],
    "only empty": ["", ""],
    "blanks": [" ", "a b", "Việt Nam", "\u2581", "\u00a0", "\t"],
    "like special tokens": ["<mask>", "<eos>", "x"],
    "no letters": ["123", "45", "%", "--"],
    "long": ["ab" * 5000, "東" * 5000, "end"],
}


@pytest.fixture(scope="module")
def greedy():
    """A tokenizer whose merges love to reach over words: frequent pieces are glued words."""
    glued = ["東京都は大きい。日本語の本", "บ้านอยู่ใกล้แม่น้ำ", "I don't know it's John's.", "البيت قريب من النهر"]
    return mmbert.train_tokenizer(glued * 50, 700)


def tokens_in_order(encoding):
    """The text's tokens, each once: windows without their special tokens, laid over one another."""
    assert len(encoding.windows) <= 1
    return [token for window in encoding.windows for token in window[1:-1]]


def check(tokenizer, encoding):
    """Nothing lost, nothing doubled, by decoding alone."""
    running = encoding.running
    places = list(zip(encoding.window.tolist(), encoding.column.tolist(), strict=True))
    assert len(set(places)) == len(running.spans)
    ids = tokens_in_order(encoding)
    letters = [start for start, end in running.spans if start < end]
    if len(letters) == len(running.spans) and letters:  # empty words have a mark of their own
        plain = running.text.replace("\u2581", " ")
        back = tokenizer.decode([2, *ids, 1], skip_special_tokens=True)
        # One mark is prepended; Gemma knows tags such as <strong> as words, with marks of their own ideas around them.
        assert back.replace(" ", "") == plain.replace(" ", "") if "<" in plain else back in (plain, " " + plain)
    columns = [column - 1 for column in encoding.column.tolist()]
    assert columns == sorted(columns)
    for number, (word, begin) in enumerate(zip(running.words, columns, strict=True)):
        end = columns[number + 1] if number + 1 < len(columns) else len(ids)
        read = tokenizer.decode(ids[begin:end]).replace("\u00a0", " ")
        assert read.split() == word.replace("\u2581", " ").replace("\u00a0", " ").split()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("joiner", [None, " ", ""])
def test_every_word_owns_its_tokens(tokenizer, greedy, name, joiner):
    for one in (tokenizer, greedy):
        check(one, encode_words(one, CASES[name], joiner=joiner, max_length=100_000))


def test_tokens_are_those_of_running_text_where_no_token_reaches_over(greedy):
    for words in (["know", "it", "."], ["البيت", "قريب"], ["a", "123", "<mask>"]):
        encoding = encode_words(greedy, words)
        stock = greedy(encoding.running.text, split_special_tokens=True)["input_ids"]
        assert encoding.windows == [stock]


def test_cut_words_are_read_as_stock_tokenizers_read_cut_text(greedy):
    """The reference: the same vocabulary, never prepending, over text that was cut before."""
    reference = Tokenizer.from_str(greedy.backend_tokenizer.to_str())
    reference.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="never", split=True)
    words = ["東京", "都", "は", "大きい", "。"]
    whole = greedy("".join(words))
    assert any(len(token) > 2 for token in greedy.convert_ids_to_tokens(whole["input_ids"]))
    cut = reference.encode([" 東京", *words[1:]], is_pretokenized=True, add_special_tokens=False).ids
    assert tokens_in_order(encode_words(greedy, words)) == cut
    assert whole["input_ids"][1:-1] != cut


def test_keeping_borders_may_put_two_words_on_one_token(greedy):
    kept = encode_words(greedy, CASES["glued"], borders="keep")
    assert kept.windows == [greedy("".join(CASES["glued"]))["input_ids"]]
    assert len(set(kept.column.tolist())) < len(kept.column)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581\u00a0"), max_size=6)
GLUED = st.text("東京都は大きい日本語の本บ้านอยู่ Idon'tkw", max_size=6)
WORD = (TEXT | GLUED).map(lambda word: "".join(word.split()))


@settings(max_examples=200, deadline=None)
@given(st.lists(WORD, max_size=12), st.sampled_from([None, "", " "]))
def test_nothing_lost_nothing_doubled(greedy, words, joiner):
    check(greedy, encode_words(greedy, words, joiner=joiner))


@settings(max_examples=100, deadline=None)
@given(st.lists(WORD, min_size=1, max_size=40), st.integers(4, 20), st.integers(0, 8))
def test_every_word_is_predicted_in_exactly_one_window(greedy, words, max_length, stride):
    if max_length - 2 <= stride:
        return
    encoding = encode_words(greedy, words, max_length=max_length, stride=stride)
    assert max(map(len, encoding.windows)) <= max_length
    labels = encoding.labels(range(len(words)))
    assert Counter(label for row in labels for label in row if label != -100) == dict.fromkeys(range(len(words)), 1)
    assert encoding.on_words(labels) == list(range(len(words)))
    whole = tokens_in_order(encode_words(greedy, words, max_length=100_000))
    chosen = encoding.on_words(encoding.windows)
    assert chosen == [whole[at - 1] for at in encode_words(greedy, words, max_length=100_000).column]


@pytest.mark.parametrize(("length", "room", "stride"), [(0, 5, 2), (5, 5, 2), (6, 5, 2), (50, 9, 0), (51, 9, 8)])
def test_windows_overlap_and_show_the_most_context(length, room, stride):
    spans = windows_over(length, room, stride)
    assert spans[0][0] == 0 and spans[-1][1] == length
    for (start, end), (following, _) in pairwise(spans):
        assert start < following <= end - stride and end - start == room
    chosen = most_context(np.arange(length), spans, length)
    for token, window in enumerate(chosen):

        def context(number, token=token):
            start, end = spans[number]
            if not start <= token < end:
                return -1
            return min(token - start if start else 999, end - 1 - token if end < length else 999)

        assert context(window) == max(map(context, range(len(spans))))


def test_a_word_may_stretch_over_windows(tokenizer):
    encoding = encode_words(tokenizer, ["ab" * 5000, "end"], max_length=64, stride=8)
    assert len(encoding.windows) == 2 and encoding.window.tolist() == [0, 1]


def test_many_texts_are_read_as_one_by_one(greedy):
    texts = [RunningText("東京都 x", ((0, 2), (2, 3), (4, 5))), split_words("don't"), RunningText("", ())]
    together = encode_running(greedy, texts)
    assert [one.windows for one in together] == [encode_words(greedy, text).windows for text in texts]
    assert together[2].windows == [] and encode_running(greedy, []) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: encode_words(t, ["a"], max_length=66, stride=64), "leaves 64, which must be more than the stride"),
        (lambda t: encode_words(t, ["a"], borders="none"), 'borders is \'none\'; write "cut" or "keep"'),
        (lambda t: encode_words(t, ["a", "b"]).labels([1]), "1 labels for 2 words"),
        (lambda t: encode_words(t, ["a"]).on_words([]), "predictions for 0 windows, but the text has 1"),
        (lambda t: encode_words(t, [3]), "word 0 is no valid Unicode string: 3"),
    ],
)
def test_refusals(tokenizer, call, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call(tokenizer)
    assert "\n" not in str(caught.value)


@pytest.mark.shared
@pytest.mark.slow
def test_all_languages_and_scripts_of_the_shared_data():
    """With Gemma's 256,000 words, whose tokens reach over many words: gold words of corpora, split words of texts."""
    if not SHARED.is_dir():
        pytest.skip("no shared data here")
    import pyarrow.parquet as parquet

    gemma = build_tokenizer(SHARED / "tokenizer" / "gemma_tokenizer.json.xz")
    languages = set()
    for name in ("ud_pos", "uner", "nc_masakhaner2"):
        table = parquet.read_table(SHARED / "data" / name / "data.parquet", columns=["lang", "tokens"])
        for row in table.take(list(range(0, table.num_rows, 25))).to_pylist():
            languages.add(row["lang"])
            for joiner in (None, ""):
                check(gemma, encode_words(gemma, row["tokens"], joiner=joiner, max_length=100_000))
    for folder in sorted((SHARED / "data").glob("text_*")):
        table = parquet.read_table(folder / "data.parquet", columns=["lang", "text"])
        seen = Counter()
        for tag, text in zip(table["lang"].to_pylist(), table["text"].to_pylist(), strict=True):
            seen[tag] += 1
            if seen[tag] <= 2:
                languages.add(tag)
                check(gemma, encode_words(gemma, split_words(" ".join(text[:600].split())), max_length=100_000))
    assert len(languages) > 480 and len({tag.split("_")[1] for tag in languages}) > 40
