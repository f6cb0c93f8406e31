"""Labels of words: names to numbers, spans of characters to tags and back.

Entities are read as seqeval's default does: "B-" begins one, "I-" of another kind or after "O" begins one too, so that
no predicted word is thrown away. The endings of BIOES and BILOU are understood. What this gives up: two neighbouring
entities of one kind that a model tags "I-" "I-" become one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ...common.messages import did_you_mean
from ..pretraining.masking import IGNORED
from .running_text import RunningText

UNLABELLED = (None, "_", "")  # UD and CoNLL write "_" where nobody said


@dataclass(frozen=True)
class Entity:
    """A labelled stretch of text.

    Attributes:
        label: Its kind, "PER".
        start: First character.
        end: The character after the last.
        text: Its letters.
        first_word: Number of its first word.
        after_word: Number of the word after its last.
    """

    label: str
    start: int
    end: int
    text: str
    first_word: int
    after_word: int


def tag_names(rows: Iterable[Sequence[str | None]]) -> list[str]:
    """Collects the names of labels for a model's head.

    Args:
        rows: Tags of sentences.

    Returns:
        "O" first if it occurs, then the others sorted, so that a prefix pair stands in one order in every run.

    Raises:
        ValueError: No word has a label.
    """
    found = {tag for row in rows for tag in row if tag not in UNLABELLED}
    if not found:
        raise ValueError("no word has a label; name the column of tags, or drop rows without labels.")
    return sorted((str(tag) for tag in found), key=lambda tag: (tag != "O", tag))


def tag_numbers(
    tags: Sequence[str | None],
    names: Sequence[str],
    *,
    where: str = "",
    words: int | None = None,
    unknown: Literal["error", "ignore"] = "error",
) -> list[int]:
    """Turns tags into the numbers of a head.

    Args:
        tags: A name a word; None, "" and "_" are unlabelled.
        names: The head's names, in order.
        where: What to call the row in errors, "test row 7".
        words: Words of the row, if tags are to be counted.
        unknown: What to do with a name that the head does not know: refuse, or leave the word unscored.

    Returns:
        A number a word, -100 for unlabelled words.

    Raises:
        ValueError: A name is unknown, or tags and words differ in number.
    """
    place = f"{where}: " if where else ""
    if words is not None and words != len(tags):
        raise ValueError(f"{place}{words} words but {len(tags)} tags; every word needs one (None if unlabelled).")
    numbers = {name: number for number, name in enumerate(names)}
    found = []
    for tag in tags:
        if tag in UNLABELLED:
            found.append(IGNORED)
        elif tag in numbers or unknown == "ignore":
            found.append(numbers.get(str(tag), IGNORED))
        else:
            meant = did_you_mean(str(tag), names, most=3)
            raise ValueError(f"{place}label {tag!r} is unknown to the head of {len(names)}; {meant}")
    return found


def entities(running: RunningText, tags: Sequence[str | None]) -> list[Entity]:
    """Reads entities off the tags of words.

    Args:
        running: The text and its words.
        tags: A tag a word: "B-PER", "I-PER", "O"; a tag without a prefix ("NOUN") is an entity of one word.

    Returns:
        The entities in order, with characters that include what stands between their words.

    Raises:
        ValueError: Tags and words differ in number.
    """
    if len(tags) != len(running.spans):
        raise ValueError(f"{len(tags)} tags for {len(running.spans)} words; give one a word.")
    found = []
    for label, first, after in _stretches(tags):
        start, end = running.spans[first][0], running.spans[after - 1][1]
        found.append(Entity(label, start, end, running.text[start:end], first, after))
    return found


def character_tags(running: RunningText, tags: Sequence[str | None]) -> list[str | None]:
    """Gives every character the tag of its word.

    Args:
        running: The text and its words.
        tags: A tag a word.

    Returns:
        A tag a character, None between words.

    Raises:
        ValueError: Tags and words differ in number.
    """
    found: list[str | None] = [None] * len(running.text)
    for (start, end), tag in zip(running.spans, tags, strict=True):
        found[start:end] = [tag] * (end - start)
    return found


def tags_of_spans(
    running: RunningText, spans: Sequence[tuple[int, int, str]], *, whole_words: bool = True
) -> list[str]:
    """Turns labelled spans of characters into BIO tags of words.

    Args:
        running: The text and its words.
        spans: First character, one after the last, label; in any order.
        whole_words: Refuse a span that begins or ends inside a word; False widens it to the word.

    Returns:
        A tag a word.

    Raises:
        ValueError: Spans overlap, lie outside the text, hold no word, or cut one.
    """
    tags = ["O"] * len(running.spans)
    owner: dict[int, tuple[int, int, str]] = {}
    for span in sorted(spans):
        start, end, label = span
        if not 0 <= start < end <= len(running.text):
            raise ValueError(f"span {span} must hold characters of the text, which has {len(running.text)}.")
        words = [n for n, (s, e) in enumerate(running.spans) if s < end and e > start]
        if not words:
            raise ValueError(f"span {span} ({running.text[start:end]!r:.40}) holds no word of the text.")
        exact = running.spans[words[0]][0] == start and running.spans[words[-1]][1] == end
        if whole_words and not exact:
            raise ValueError(
                f"span {span} ({running.text[start:end]!r:.40}) cuts a word; mend it, or widen it to whole words."
            )
        for word in words:
            if word in owner:
                raise ValueError(f"spans {owner[word]} and {span} overlap at {running.words[word]!r:.40}; keep one.")
            owner[word] = span
            tags[word] = ("B-" if word == words[0] else "I-") + label
    return tags


def _stretches(tags: Sequence[str | None]) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    kind, first = None, 0  # of the entity that is open
    for number, tag in enumerate(tags):
        prefix, label = _parts(tag)
        if kind is not None and (prefix != "I" or label != kind):
            found.append((kind, first, number))
            kind = None
        if label is not None and kind is None:
            kind, first = label, number
        if kind is not None and tag is not None and tag[:2] in ("E-", "S-", "L-", "U-"):
            found.append((kind, first, number + 1))
            kind = None
    if kind is not None:
        found.append((kind, first, len(tags)))
    return found


def _parts(tag: str | None) -> tuple[str, str | None]:
    """Whether a tag begins an entity (B) or may go on with one (I), and of what kind; no kind for "O"."""
    if tag in UNLABELLED or tag == "O" or tag is None:
        return "O", None
    if len(tag) > 2 and tag[1] == "-" and tag[0] in "BIESLU":
        return ("I" if tag[0] in "IEL" else "B"), tag[2:]
    return "B", tag
