"""Filters on the columns of documents: `lang = 'khm_Khmr' AND year >= 2020`, turned into SQL with parameters.

    condition = column (= | != | < | <= | > | >= | LIKE) value, column IN (value, ...), combined by AND, OR, NOT and ( )

A column is a key of the documents' rows, or `document` or `file`. A value is 'text' (a quote in it is written twice) or
a number. A document without the column meets no condition on it. A language equals all the ways to write it: 'de',
'deu_Latn'; without a script, it equals itself in every script.
"""

from collections.abc import Callable
from typing import Any

import regex

from .documents import LANGUAGE_COLUMNS

_TOKEN = regex.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>[-+]?\d+(?:\.\d+)?)|(?P<sign><=|>=|!=|<>|=|<|>|\(|\)|,)"
    r'|(?P<name>"[^"]+"|[\p{L}_][\p{L}\p{M}\p{N}_.-]*))'
)
_SIGNS = ("=", "!=", "<>", "<", "<=", ">", ">=")
_OWN = {"document": "name", "file": "file"}
_DEEPEST = 32


class Filter:
    """A filter that was read.

    Args:
        text: As the user wrote it.
        tags_like: Gives the values of a language's column that mean a language; None: only itself does.

    Attributes:
        sql: A condition on the table `documents`.
        values: Its parameters.
        columns: The columns that it names.

    Raises:
        ValueError: If it cannot be read; the message shows where.
    """

    def __init__(self, text: str, tags_like: Callable[[str, str], list[str]] | None = None) -> None:
        self.text, self._tags_like = text, tags_like
        self._tokens, self._depth = _split(text), 0
        self.values: list[Any] = []
        self.columns: list[str] = []
        self.sql = self._either()
        if self._tokens:
            raise self._error("AND or OR")

    def _either(self) -> str:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"the filter has more than {_DEEPEST} brackets or NOTs within each other; write fewer")
        parts = [self._both()]
        while self._takes("OR"):
            parts.append(self._both())
        self._depth -= 1
        return f"({' OR '.join(parts)})"

    def _both(self) -> str:
        parts = [self._one()]
        while self._takes("AND"):
            parts.append(self._one())
        return " AND ".join(parts)

    def _one(self) -> str:
        if self._takes("NOT"):
            self._depth += 1
            found = f"NOT {self._one()}" if self._depth <= _DEEPEST else self._either()
            self._depth -= 1
            return found
        if self._takes("("):
            inner = self._either()
            if not self._takes(")"):
                raise self._error(")")
            return inner
        return self._comparison()

    def _comparison(self) -> str:
        if not self._tokens or self._tokens[0][0] != "name":
            raise self._error("a column")
        column = self._tokens.pop(0)[1].strip('"')
        if self._takes("LIKE"):
            return self._condition(column, "LIKE", self._value())
        if self._tokens and self._tokens[0][1] in _SIGNS:
            return self._condition(column, self._tokens.pop(0)[1], self._value())
        if not self._takes("IN"):
            raise self._error(f"{' '.join(_SIGNS)}, LIKE or IN")
        parts: list[str] = []
        while self._takes("," if parts else "("):
            parts.append(self._condition(column, "=", self._value()))
        if not parts or not self._takes(")"):
            raise self._error(")" if parts else "(")
        return f"({' OR '.join(parts)})"

    def _condition(self, column: str, sign: str, value: Any) -> str:
        if column in _OWN:
            self.values.append(value)
            return f"documents.{_OWN[column]} {sign} ?"
        self.columns.append(column)
        if column in LANGUAGE_COLUMNS and sign in ("=", "!=", "<>") and isinstance(value, str) and self._tags_like:
            among = self._tags_like(column, value)
            self.values += [column, *among]
            sides = f"{'' if sign == '=' else 'NOT '}IN ({', '.join('?' * len(among))})"
            return f"documents.id IN (SELECT document FROM metadata WHERE name = ? AND value {sides})"
        self.values += [column, value]
        number = "CAST(value AS NUMERIC)", " AND (typeof(value) != 'text' OR value GLOB '[-+.0-9]*')"
        left, more = ("value", "") if isinstance(value, str) else number
        return f"documents.id IN (SELECT document FROM metadata WHERE name = ? AND {left} {sign} ?{more})"

    def _value(self) -> Any:
        kind, text = self._tokens[0] if self._tokens else ("", "")
        if kind not in ("text", "number"):
            raise self._error("a 'text' in single quotes or a number")
        self._tokens.pop(0)
        if kind == "text":
            return text[1:-1].replace("''", "'")
        return float(text) if "." in text or len(text) > 18 else int(text)

    def _takes(self, word: str) -> bool:
        if self._tokens and self._tokens[0][0] != "text" and self._tokens[0][1].upper() == word:
            self._tokens.pop(0)
            return True
        return False

    def _error(self, expected: str) -> ValueError:
        at = repr(self._tokens[0][1]) if self._tokens else "the end"
        return ValueError(f"the filter {self.text!r} needs {expected} at {at}; write, for example, lang = 'deu_Latn'")


def _split(text: str) -> list[tuple[str, str]]:
    found, place = [], 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(
                f"the filter {text!r} cannot be read at {text[place:].strip()[:20]!r}; write, for example, "
                "lang = 'deu_Latn'"
            )
        found.append((match.lastgroup or "", match[match.lastgroup or 0]))
        place = match.end()
    return found
