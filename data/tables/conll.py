"""CoNLL and CoNLL-U: a word a line, a sentence between blank lines.

CoNLL-U has ten columns by name; multiword ranges (`1-2`) and empty nodes (`8.1`) repeat or add words and are left out.
Every other kind (CoNLL-2002, IOB2, UNER, GermEval) is columns without names: the word is the first one that is no
number, the tag the column after it in a file that numbers its words (UNER's `id word tag source`), the last one
elsewhere. A file numbers its words if all of its sentences begin with a number; CoNLL-2003 has some that do
("1996 CD I-NP O").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .base import Record, TableError
from .files import lines, not_utf8

# "# O" or "#news B-MISC" in a file without tabs: a word that begins a sentence, no comment.
_TAGGED = re.compile(r"#[^\s=]*(\s+[^\s=]+)*\s+(O|[BIESLU]-\S+)")
# The same between tabs: "#" or "#word", columns, and at the end a tag.
_TAGGED_COLUMNS = re.compile(r"#[^\s=]*(\t[^\t=]*)*\t(O|_|[BIESLU]-\S+)")
_NUMBER = re.compile(r"\d+([-.]\d+)?")
UD_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")


def conll_rows(path: Path, columns: Mapping[str, Any] | None = None) -> Iterator[Record]:
    """Read the sentences of a file."""
    wanted = columns or {}
    is_ud = ".conllu" in path.suffixes
    sentences = list(_sentences(path, is_ud))
    numbered = is_ud or _is_numbered([words for _, words, _ in sentences])
    for comments, words, first in sentences:
        values, problem = _picked(words, wanted, is_ud, numbered)
        yield Record(first, None, "too few columns", problem) if problem else Record(first, {**comments, **values})


def _sentences(path: Path, is_ud: bool) -> Iterator[tuple[dict[str, str], list[list[str]], int]]:
    """Read of every sentence its comments, the columns of its words, and the number of its first line."""
    comments: dict[str, str] = {}
    words: list[list[str]] = []
    first = 0
    for number, raw in [*lines(path), (0, b"")]:
        try:
            line = (raw or b"").decode("utf-8")
        except UnicodeDecodeError as error:
            raise TableError(f"line {number}: {not_utf8(path, error)}") from None
        if line.startswith("#") and not words and _is_comment(line, is_ud):
            name, equals, value = line[1:].partition("=")
            if equals:
                comments[name.strip()] = value.strip()
        elif line.startswith("-DOCSTART-"):  # Label Studio writes no blank line behind it
            if words:
                yield comments, words, first
            comments, words, first = {}, [], 0
        elif line.strip():
            first = first or number
            words.append(line.split("\t") if "\t" in line else line.split())
        else:
            if words:
                yield comments, words, first
            comments, words, first = {}, [], 0


def _is_comment(line: str, is_ud: bool) -> bool:
    """Tell a comment from a word that begins with #; an equals sign, or no tag at the end, makes a comment."""
    return is_ud or not (_TAGGED_COLUMNS if "\t" in line else _TAGGED).fullmatch(line)


def _is_numbered(sentences: list[list[list[str]]]) -> bool:
    starts = [words[0] for words in sentences] + (sentences[0] if sentences else [])
    return all(_NUMBER.fullmatch(word[0]) and len(word) > 2 for word in starts)


def _picked(
    words: list[list[str]], wanted: Mapping[str, Any], is_ud: bool, numbered: bool
) -> tuple[dict[str, list[str]], str]:
    """Pick the two columns of one sentence, or say why there are none."""
    if numbered:
        words = [word for word in words if word[0].isdecimal()]  # no ranges, no empty nodes
    token_column = _column(wanted.get("tokens", 1 if numbered else 0))
    tag_column = _column(wanted.get("tags", "upos" if is_ud else token_column + 1 if numbered else -1))
    try:
        return {"tokens": [word[token_column] for word in words], "tags": [word[tag_column] for word in words]}, ""
    except IndexError:
        least = min(len(word) for word in words)
        return {}, (
            f"a word has {least} columns, but the tag is looked for in column {tag_column}, the word in "
            f"{token_column} (from 0); name columns of words and tags by number"
        )


def _column(named: Any) -> int:
    """Return a column's number; CoNLL-U's ten have names."""
    if isinstance(named, str) and named in UD_COLUMNS:
        return UD_COLUMNS.index(named)
    try:
        return int(named)
    except (TypeError, ValueError):
        raise TableError(
            f"no CoNLL column {named!r}; give a number from 0, or one of {', '.join(UD_COLUMNS)}."
        ) from None
