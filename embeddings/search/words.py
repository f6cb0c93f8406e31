"""Words of every script for SQLite's FTS5: what is stored of a passage, how a query is asked, what is highlighted.

Each character of a script that writes words without blanks (Thai, Lao, Burmese, Khmer, Tibetan, Han, kana) is stored as
a token of its own, and a run of them is asked as a phrase, so any word is found without a dictionary. Accents count:
without them Vietnamese words fall together. A second column holds the words that change when their accents are taken
away, for those who type none.
"""

import unicodedata
from collections.abc import Iterator

import regex

from ...languages.scripts import UNSPACED

TOKENIZER = "unicode61 remove_diacritics 0 categories 'L* N* Co M*'"
_MOST = 64  # words of a query; FTS5 refuses trees deeper than 256

_LETTERS = r"[\p{L}\p{N}\p{Co}\p{M}]"
_SCRIPTS = "".join(rf"\p{{scx={code}}}" for code in sorted(UNSPACED | {"Hira"}))
_ALONE = rf"[[{_SCRIPTS}]--\p{{scx=Latn}}]"
_SPACED = regex.compile(f"({_ALONE})", regex.V1)
_PIECE = regex.compile(rf"(?P<run>[{_ALONE}&&{_LETTERS}]+)|(?P<word>[{_LETTERS}--{_ALONE}]+)", regex.V1)
_CHUNK = regex.compile(r'"([^"]*)"|([^\s"]+)')
_IDEOGRAPHS = regex.compile(r"[\p{scx=Hani}\p{scx=Kana}\p{scx=Hira}]")
_ACCENTS = regex.compile(r"([\p{Latin}\p{Greek}\p{Cyrillic}\p{Arabic}\p{Hebrew}])\p{M}+")
_UNDECOMPOSED = str.maketrans({"đ": "d", "Đ": "D", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ı": "i", "ħ": "h"})


def searchable(text: str) -> tuple[str, str]:
    """What FTS5 stores of a text: its words, and those that change when accents are taken away, without them."""
    text = unicodedata.normalize("NFC", text)
    folded = ""
    if not text.isascii():
        words = (match[0] for match in _PIECE.finditer(text) if match["word"] and not match[0].isascii())
        folded = " ".join(other for word in words if (other := without_accents(word)) != word)
    return _SPACED.sub(r" \1 ", text), folded


def without_accents(text: str) -> str:
    """Letters without accents, vowel points and hamza; signs of other scripts, which are letters there, stay."""
    plain = _ACCENTS.sub(r"\1", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", plain).translate(_UNDECOMPOSED)


def phrases(query: str) -> list[list[str]]:
    """The phrases of a query, each a list of tokens: what stands in double quotes, else what blanks set apart."""
    chunks = (match[1] or match[2] or "" for match in _CHUNK.finditer(unicodedata.normalize("NFC", query)))
    found = [[token for piece in _PIECE.finditer(chunk) for token in _tokens(piece)] for chunk in chunks]
    return [tokens for tokens in found if tokens][:_MOST]


def all_of(query: str) -> str:
    """FTS5's expression for passages with every phrase of a query; empty if it has no letter or digit."""
    return " AND ".join(_quoted(tokens) for tokens in phrases(query))


def any_of(query: str) -> list[tuple[str, str]]:
    """Expressions of which a passage should have some, each with the single word that it is, or an empty text."""
    found: dict[str, str] = {}
    for match in _PIECE.finditer(unicodedata.normalize("NFC", query)):
        if match["word"]:
            found[_quoted([match[0]])] = match[0].lower()
        else:
            found |= {_quoted(list(gram)): "" for gram in _grams(match[0])}
    return list(found.items())[:_MOST]


def highlights(text: str, query: str) -> list[tuple[int, int]]:
    """Where words of a query stand in a text: [start, end) of characters, in order, none overlapping."""
    words, runs = set(), []
    for match in _PIECE.finditer(query):
        words |= {_key(match[0])} if match["word"] else set()
        runs += [match[0]] if match["run"] else []
    spans = [
        match.span()
        for match in _PIECE.finditer(text)
        if match["word"] and not words.isdisjoint((key := _key(match[0]), without_accents(key)))
    ]
    for run in runs:
        pieces = [run] if run in text else _grams(run)
        spans += [match.span() for piece in pieces for match in regex.finditer(regex.escape(piece), text)]
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _tokens(match: "regex.Match[str]") -> Iterator[str]:
    yield from match[0] if match["run"] else [match[0]]


def _grams(run: str) -> list[str]:
    """Overlapping pieces about as long as a short word: 2 ideographs, or 4 characters of an alphabet."""
    size = min(len(run), 2 if _IDEOGRAPHS.search(run) else 4)
    return [run[start : start + size] for start in range(len(run) - size + 1)]


def _quoted(tokens: list[str]) -> str:
    return f'"{" ".join(tokens)}"'  # tokens are letters and digits, so there is nothing to escape


def _key(word: str) -> str:
    return unicodedata.normalize("NFC", word).casefold()
