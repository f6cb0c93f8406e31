"""Takes paths of this machine out of what is published: a folder becomes its last name."""

import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_PARTS = r"(?:/[^\s/\"'`|,;:<>()\[\]{}]+)"
_REST = rf"(?![\w-])({_PARTS}*/?)"
# An absolute path of two parts or more that is no part of an address or of a longer word.
_PATH = re.compile(r"(?<![\w/:.<~\\-])(?:~?" + _PARTS + r"{2,}/?|[A-Za-z]:\\[^\s\"'`|,;<>()\[\]{}]+)")
_NOTES = (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME")
_SHALLOW = 2  # parts of /tmp or /home, which say nothing of anybody


def hide_local_paths(value: Any, *, only_existing: bool = False, homes: Sequence[Path] = ()) -> Any:
    """Replace local paths in a value by file names; Hub ids stay.

    `only_existing` leaves those in a longer text that lead nowhere here; below `homes` a path may hold blanks.
    """
    if isinstance(value, dict):
        options: Any = {"only_existing": only_existing, "homes": homes}
        return {hide_local_paths(key, **options): hide_local_paths(inner, **options) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [hide_local_paths(inner, only_existing=only_existing, homes=homes) for inner in value]
    if not isinstance(value, str):
        return value
    if _is_path(value):
        return _name(value)
    for home in sorted({str(one) for one in homes if len(one.parts) > _SHALLOW}, key=len, reverse=True):
        value = re.sub(re.escape(home) + _REST, lambda found: _name(found[1]) if found[1].strip("/") else ".", value)

    def hidden(found: re.Match[str]) -> str:
        path = Path(found[0])
        return found[0] if only_existing and not (path.exists() or path.parent.exists()) else _name(found[0])

    return _PATH.sub(hidden, value)


def without_notes(picture: bytes) -> bytes:
    """A PNG picture without its texts (tEXt, zTXt, iTXt, eXIf), which programs fill with titles, paths and authors."""
    kept, at, kind = [picture[:8]], 8, b""
    if not picture.startswith(b"\x89PNG"):
        return picture
    while at + 12 <= len(picture) and kind != b"IEND":
        kind, end = picture[at + 4 : at + 8], at + 12 + struct.unpack_from(">I", picture, at)[0]
        if kind not in _NOTES:
            kept.append(picture[at:end])
        at = end
    return b"".join(kept)


def _is_path(text: str) -> bool:
    if not ("/" in text or "\\" in text) or len(text) > 1000 or "\n" in text or "\0" in text or "</" in text:
        return False
    try:
        if Path(text).exists():
            return True
    except OSError:
        return False
    return (text.count("/") > 1 and text.startswith(("/", "~/", "../"))) or re.match(r"[A-Za-z]:\\", text) is not None


def _name(text: str) -> str:
    parts = [part for part in re.split(r"[/\\]", text) if part not in ("", ".", "..", "~")]
    if len(parts) > 1 and parts[-1] == "final":
        return parts[-2]
    return parts[-1] if parts else text
