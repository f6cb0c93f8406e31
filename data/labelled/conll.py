"""CoNLL and CoNLL-U: a word a line, a sentence between blank lines.

CoNLL-U has ten columns by name; multiword ranges (`1-2`) and empty nodes (`8.1`) repeat or add words and are left out.
Every other kind (CoNLL-2002, IOB2, UNER) is columns without names: the word is the first one that is no number, the tag
the column after it in a file that numbers its words (UNER's `id word tag source`), the last one elsewhere. A file
numbers its words if all of its sentences begin with a number; CoNLL-2003 has some that do ("1996 CD I-NP O").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SUFFIXES = (".conll", ".conllu", ".iob", ".iob2", ".bio", ".conll2002", ".conll2003")
# "# O" or "#news B-MISC" in a file without tabs: a word that begins a sentence, no comment.
_TAGGED = re.compile(r"#[^\s=]*(\s+[^\s=]+)*\s+(O|[BIESLU]-\S+)")
_NUMBER = re.compile(r"\d+([-.]\d+)?")
UD_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")


def read_conll(path: Path, columns: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """Read the sentences of a file.

    Args:
        path: The file, UTF-8.
        columns: Where words and tags stand: `tokens` and `tags`, each a column's number (from 0) or, in CoNLL-U, its
            name (`upos`, `xpos`, ...). `tags` is upos in CoNLL-U unless said otherwise.

    Yields:
        dict[str, Any]: `tokens`, `tags`, the comments that have a value (`sent_id`, `text`, `lang`) and `line`, the
            number of the sentence's first line.

    Raises:
        ValueError: If a line has too few columns; the message names file and line.
    """
    wanted = columns or {}
    is_ud = path.suffix == ".conllu"
    sentences = list(_lines(path, is_ud))
    numbered = is_ud or _is_numbered([words for _, words, _ in sentences])
    for comments, words, first in sentences:
        picked = _sentence(words, wanted, is_ud, numbered, f"{path}, line {first}")
        yield {**comments, **picked, "line": first}


def _lines(path: Path, is_ud: bool) -> Iterator[tuple[dict[str, str], list[list[str]], int]]:
    """Read of every sentence its comments, the columns of its words, and the number of its first line."""
    comments: dict[str, str] = {}
    words: list[list[str]] = []
    first = 0
    with path.open(encoding="utf-8") as file:
        for number, raw in enumerate([*file, "\n"], start=1):
            line = raw.rstrip("\r\n")
            if line.startswith("#") and not words and "\t" not in line and (is_ud or not _TAGGED.fullmatch(line)):
                name, equals, value = line[1:].partition("=")
                if equals:
                    comments[name.strip()] = value.strip()
            elif line.strip():
                first = first or number
                words.append(line.split("\t") if "\t" in line else line.split())
            else:
                if words and words[0][0] != "-DOCSTART-":
                    yield comments, words, first
                comments, words, first = {}, [], 0


def _is_numbered(sentences: list[list[list[str]]]) -> bool:
    starts = [words[0] for words in sentences] + (sentences[0] if sentences else [])
    return all(_NUMBER.fullmatch(word[0]) and len(word) > 2 for word in starts)


def _sentence(
    words: list[list[str]], wanted: Mapping[str, Any], is_ud: bool, numbered: bool, place: str
) -> dict[str, Any]:
    """Pick the two columns of one sentence."""
    if numbered:
        words = [word for word in words if word[0].isdecimal()]  # no ranges, no empty nodes
    token_column = _column(wanted.get("tokens", 1 if numbered else 0))
    tag_column = _column(wanted.get("tags", "upos" if is_ud else token_column + 1 if numbered else -1))
    try:
        return {"tokens": [word[token_column] for word in words], "tags": [word[tag_column] for word in words]}
    except IndexError:
        least = min(len(word) for word in words)
        raise ValueError(
            f"{place}: a word has {least} columns, but the tag is looked for in column {tag_column}, the word in "
            f'{token_column} (from 0); say columns={{"tokens": ..., "tags": ...}}.'
        ) from None


def _column(named: Any) -> int:
    """Return a column's number; CoNLL-U's ten have names."""
    if isinstance(named, str) and named in UD_COLUMNS:
        return UD_COLUMNS.index(named)
    try:
        return int(named)
    except ValueError:
        raise ValueError(
            f"no CoNLL column {named!r}; give a number from 0, or one of {', '.join(UD_COLUMNS)}."
        ) from None
