"""The .mo files of a package, and their messages.

The standard library's gettext keeps the messages in a private attribute and reads one locale at a time through a file
search; the format (GNU gettext manual, "The Format of GNU MO Files") is three arrays, so it is read here. Catalogues in
other encodings than UTF-8 are refused: none of the packages that we read has one.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_MAGIC = 0x950412DE
_CONTEXT = "\x04"
_PLURAL = "\x00"


class Message(NamedTuple):
    """One translated message."""

    singular: str  # the English message id, without its context
    plural: str | None  # the English plural, if the message has one
    forms: tuple[str, ...]  # its translations, one for every plural form of the language

    @property
    def english(self) -> str:
        """The English side that belongs to the last form: the plural where there is one."""
        return self.plural or self.singular


def read_messages(path: Path) -> list[Message]:
    """Reads all messages of a .mo file but its header, in file order, which is sorted by message id."""
    try:
        return list(_messages(path.read_bytes()))
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise ValueError(f"{path} is no whole UTF-8 .mo file ({error})") from None


def locale_of(path: Path) -> str:
    """The locale of `.../<locale>/LC_MESSAGES/<domain>.mo`, such as "pt_BR"."""
    return path.parent.parent.name


def _messages(content: bytes) -> Iterator[Message]:
    order = "<" if struct.unpack_from("<I", content)[0] == _MAGIC else ">"
    magic, _, count, ids_at, texts_at = struct.unpack_from(f"{order}5I", content)
    if magic != _MAGIC:
        raise IndexError("wrong magic number")
    ids = struct.unpack_from(f"{order}{2 * count}I", content, ids_at)
    texts = struct.unpack_from(f"{order}{2 * count}I", content, texts_at)
    for lengths, starts in ((ids[::2], ids[1::2]), (texts[::2], texts[1::2])):
        end = max(map(operator.add, starts, lengths), default=0)
        if end > len(content):
            raise IndexError(f"a string ends at byte {end}, the file at {len(content)}")
    for row in range(0, 2 * count, 2):
        if not ids[row]:
            continue  # the header
        message_id = content[ids[row + 1] : ids[row + 1] + ids[row]].decode("utf-8")
        text = content[texts[row + 1] : texts[row + 1] + texts[row]].decode("utf-8")
        english = message_id.rpartition(_CONTEXT)[2].split(_PLURAL)
        yield Message(english[0], english[1] if len(english) > 1 else None, tuple(text.split(_PLURAL)))
