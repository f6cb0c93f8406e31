"""Words as an encoder reads them: every word in running text, one token of its own a word, windows for long texts.

`tokenizer(words, is_split_into_words=True)` reads words apart: each gets a word mark, also the comma, the clitic and
the Thai word that never have one in running text, offsets restart at every word, an empty word vanishes and what does
not fit is cut off. Here the sentence is written first (`running_text.py`), read as a whole, and its tokens are given
back to the words through their offsets.

A token can reach over the border of two words: "▁東京都" for 東京 and 都. Such words are read again, each by itself and
without a mark (`borders="cut"`), so that each owns a token; all others keep the tokens of running text.
`borders="keep"` leaves the tokens whole: words may then stand at the same place, where one label cannot tell them
apart. With Gemma's vocabulary that is one word in five of Hebrew UD, one in eleven of Arabic and Chinese. What cutting
costs: those words look a little different from what the encoder was pre-trained on.

A word's place is its first token that is more than a bare word mark. An empty word reads as one bare mark. A text
longer than a window is read in overlapping windows; every word is predicted in the one that shows most on both sides of
it, so nothing is lost and nothing predicted twice. A word of 10,000 characters simply stretches over windows.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...modeling.tokenization_mmbert import SPACE
from .running_text import RunningText, join_words
from .windows import most_context, window_room, windows_over

Borders = Literal["cut", "keep"]
Token = tuple[int, int, int]  # id, first character, one after the last


# Words that share a token are read again by the tokenizer's model, which knows pieces and no text; what the layout's
# normalizer and pre-tokenizer do around it (a mark for a blank, one more at the very start, a cut before every mark) is
# done here.
def cut_at_borders(tokenizer: Any, running: RunningText, tokens: list[Token]) -> list[Token]:
    """Reads the words again that share a token with another, each by itself."""
    spans = [span for span in running.spans if span[0] < span[1]]
    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    whole: list[Token] = []
    at = 0
    while at < len(tokens):
        first, last = _words_of(tokens[at], starts, ends)
        if last <= first:
            whole.append(tokens[at])
            at += 1
            continue
        # Take along all tokens of these words, and the words that those reach.
        begin, stop = tokens[at][1], tokens[at][2]
        while whole and whole[-1][2] > starts[first]:
            begin = min(begin, whole.pop()[1])
        at += 1
        while at < len(tokens) and tokens[at][1] < max(stop, ends[last]):
            last = max(last, _words_of(tokens[at], starts, ends)[1])
            stop = max(stop, tokens[at][2])
            at += 1
        whole += _read_apart(tokenizer, running.text, begin, max(stop, ends[last]), spans[first : last + 1])
    return whole


def _words_of(token: Token, starts: Sequence[int], ends: Sequence[int]) -> tuple[int, int]:
    """First and last word that a token has letters of; the last before the first if none."""
    return bisect_right(ends, token[1]), bisect_left(starts, token[2]) - 1


def _read_apart(tokenizer: Any, text: str, begin: int, stop: int, words: Sequence[tuple[int, int]]) -> Iterator[Token]:
    """Tokens of text[begin:stop], cut before every word but the first; blanks stay with the word after them."""
    cuts = [begin]
    for (_, before), (start, _) in pairwise(words):
        while start > before and text[start - 1] == " ":
            start -= 1
        cuts.append(start)
    model = tokenizer.backend_tokenizer.model
    for start, end in zip(cuts, [*cuts[1:], stop], strict=True):
        for piece_start, piece_end in _marked_pieces(text, start, end):
            piece = text[piece_start:piece_end].replace(" ", SPACE)
            added = start == 0 and piece_start == 0 and not piece.startswith(SPACE)
            yield from _model_tokens(model, SPACE + piece if added else piece, piece_start - added, piece_start)


def _marked_pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut before every blank, as the layout's pre-tokenizer does."""
    last = start
    for at in range(start + 1, end):
        if text[at] in (" ", SPACE):
            yield last, at
            last = at
    if last < end:
        yield last, end


def _model_tokens(model: Any, piece: str, shift: int, lowest: int) -> Iterator[Token]:
    """Tokens of one piece; the model counts bytes of its characters (or one a byte token), we count characters."""
    at = 0  # bytes
    lengths = [len(character.encode()) for character in piece]
    character_of = [number for number, length in enumerate(lengths) for _ in range(length)]
    for token in model.tokenize(piece):
        width = 1 if _is_byte(token.value, piece, character_of[at]) else len(token.value.encode())
        first, last = character_of[at], character_of[at + width - 1]
        yield token.id, max(first + shift, lowest), max(last + shift, lowest) + 1
        at += width


def _is_byte(value: str, piece: str, at: int) -> bool:
    """Whether a token is one byte of a character, not the six signs "<0x0A>" of the text."""
    return len(value) == 6 and value.startswith("<0x") and not piece.startswith(value, at)


@dataclass(frozen=True)
class WordEncoding:
    """A text in windows of token ids, and where each of its words is predicted.

    Attributes:
        running: The text and its words.
        windows: Token ids of every window, special tokens included; none longer than `max_length`. Empty if the text
            has no words.
        window: Of every word its window, shape (words,).
        column: Of every word its column in that window, shape (words,).
    """

    running: RunningText
    windows: list[list[int]]
    window: NDArray[np.int64]
    column: NDArray[np.int64]

    def labels(self, word_labels: Sequence[int], ignored: int = -100) -> list[list[int]]:
        """A list per window with the labels of words at their places, `ignored` at all other tokens."""
        if len(word_labels) != len(self.window):
            raise ValueError(f"{len(word_labels)} labels for {len(self.window)} words; give one a word.")
        rows = [[ignored] * len(window) for window in self.windows]
        for window, column, label in zip(self.window, self.column, word_labels, strict=True):
            rows[window][column] = int(label)
        return rows

    def on_words(self, predictions: Sequence[Any]) -> list[Any]:
        """Pick what a sequence per window predicts for each word; padding may follow."""
        if len(predictions) != len(self.windows):
            raise ValueError(f"predictions for {len(predictions)} windows, but the text has {len(self.windows)}.")
        return [predictions[window][column] for window, column in zip(self.window, self.column, strict=True)]


def encode_words(
    tokenizer: Any,
    words: Sequence[str] | RunningText,
    *,
    text: str | None = None,
    spaces: Sequence[bool] | None = None,
    joiner: str | None = None,
    max_length: int = 8192,
    stride: int = 128,
    borders: Borders = "cut",
) -> WordEncoding:
    """Reads one sentence or document of words.

    Args:
        tokenizer: A fast tokenizer with offsets. Borders are cut in the mmBERT layout and other BPE; others keep.
        words: The words, or a text whose words are known.
        text: See `join_words`, also for the next two.
        spaces: Whether a blank follows, a flag a word.
        joiner: What stands between any two words.
        max_length: Tokens in a window, special ones included.
        stride: Tokens that neighbouring windows share.
        borders: See the head.

    Returns:
        The windows and every word's place in them.

    Raises:
        ValueError: The words are no strings, or `max_length` has no room for `stride` and progress.
    """
    running = words if isinstance(words, RunningText) else join_words(words, text=text, spaces=spaces, joiner=joiner)
    return encode_running(tokenizer, [running], max_length=max_length, stride=stride, borders=borders)[0]


def encode_running(
    tokenizer: Any, texts: Sequence[RunningText], *, max_length: int = 8192, stride: int = 128, borders: Borders = "cut"
) -> list[WordEncoding]:
    """Reads many texts at once, which is faster than one by one; see `encode_words`.

    Args:
        tokenizer: A fast tokenizer with offsets.
        texts: The texts and their words.
        max_length: Tokens in a window, special ones included.
        stride: Tokens that neighbouring windows share.
        borders: "cut" or "keep".

    Returns:
        An encoding a text.

    Raises:
        ValueError: `max_length` has no room for `stride` and progress, or `borders` is neither.
    """
    if borders not in ("cut", "keep"):
        raise ValueError(f'borders is {borders!r}; write "cut" or "keep".')
    room = window_room(max_length, stride, special=2)
    if not texts:
        return []
    read = tokenizer(
        [running.text for running in texts],
        add_special_tokens=False,
        split_special_tokens=True,  # "<mask>" in labelled text is four letters and two signs
        return_offsets_mapping=True,
        return_attention_mask=False,
        verbose=False,
    )
    mark = tokenizer.convert_tokens_to_ids(SPACE)
    mark = tokenizer.unk_token_id if mark is None else mark
    cut = borders == "cut" and type(tokenizer.backend_tokenizer.model).__name__ == "BPE"
    encodings = []
    for running, ids, offsets in zip(texts, read["input_ids"], read["offset_mapping"], strict=True):
        tokens = [(token, start, end) for token, (start, end) in zip(ids, offsets, strict=True)]
        if cut:
            tokens = cut_at_borders(tokenizer, running, tokens)
        tokens, places = _places(running, tokens, mark)
        encodings.append(_in_windows(running, [token for token, _, _ in tokens], places, room, stride, tokenizer))
    return encodings


def _places(running: RunningText, tokens: list[Token], mark: int) -> tuple[list[Token], NDArray[np.int64]]:
    """Find every word's token; empty words get a bare mark of their own."""
    if any(start == end for start, end in running.spans):
        tokens = _with_marks_for_empty_words(running, tokens, mark)
    starts = [start for _, start, _ in tokens]
    longest_end = np.maximum.accumulate([end for _, _, end in tokens]) if tokens else np.zeros(0, dtype=np.int64)
    places, after_last = np.zeros(len(running.spans), dtype=np.int64), 0
    for number, (start, end) in enumerate(running.spans):
        if start == end:
            place = next(at for at in range(after_last, len(tokens)) if tokens[at] == (mark, start, start))
            after_last = place + 1
        else:
            low = int(np.searchsorted(longest_end, start, side="right"))
            high = bisect_left(starts, end, lo=low)
            own = [at for at in range(low, high) if tokens[at][2] > tokens[at][1]]
            if not own:
                word = running.text[start:end]
                raise ValueError(f"word {number} ({word!r:.60}) has no token; the tokenizer's normalizer removes it.")
            begun = [at for at in own if tokens[at][0] != mark]
            place = (begun or own)[0]
        places[number] = place
    return tokens, places


def _with_marks_for_empty_words(running: RunningText, tokens: list[Token], mark: int) -> list[Token]:
    empty = [start for start, end in running.spans if start == end]
    merged, at = [], 0
    for token in tokens:
        while at < len(empty) and empty[at] <= token[1]:
            merged.append((mark, empty[at], empty[at]))
            at += 1
        merged.append(token)
    return merged + [(mark, start, start) for start in empty[at:]]


def _in_windows(
    running: RunningText, ids: list[int], places: NDArray[np.int64], room: int, stride: int, tokenizer: Any
) -> WordEncoding:
    if not len(places):
        return WordEncoding(running, [], places, places)
    spans = windows_over(len(ids), room, stride)
    chosen = most_context(places, spans, len(ids))
    used, window = np.unique(chosen, return_inverse=True)
    head, tail = tokenizer.cls_token_id, tokenizer.sep_token_id
    windows = [[head, *ids[slice(*spans[number])], tail] for number in used]
    firsts = np.array([spans[number][0] for number in used])
    return WordEncoding(running, windows, window.astype(np.int64), places - firsts[window] + 1)
