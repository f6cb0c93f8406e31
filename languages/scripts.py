"""Scripts: of a character, of a text, and which scripts the tags of languages stand for.

Unicode's script property, by the `regex` library, is the only table. A sign that several scripts share (the Japanese
length mark, the Arabic tatweel) counts for the first script of its extensions; digits, punctuation and the general
combining marks count for none. Simplified and traditional Chinese share their letters: Hani stands for both.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache, lru_cache

import regex

# Writing without blanks between words (Unicode 17, chapters 6, 16 to 18); Tibetan has its own dot, Hangul has blanks.
UNSPACED = frozenset(
    {"Hani", "Kana", "Bopo", "Thai", "Laoo", "Khmr", "Mymr", "Tibt", "Java", "Bali", "Yiii", "Lana", "Talu"}
)
_COMMON = ("Hani", "Latn", "Cyrl", "Arab", "Hang", "Deva", "Hira", "Kana", "Grek", "Thai")  # looked up first
# Scripts that are mixtures of others.
_MIXTURES = {
    "Hans": ("Hani", "Bopo"),
    "Hant": ("Hani", "Bopo"),
    "Hanb": ("Hani", "Bopo"),
    "Jpan": ("Hani", "Kana"),
    "Hrkt": ("Kana",),
    "Hira": ("Kana",),
    "Kore": ("Hang", "Hani"),
    "Jamo": ("Hang",),
    "Latf": ("Latn",),
    "Latg": ("Latn",),
    "Aran": ("Arab",),
    "Cyrs": ("Cyrl",),
    "Geok": ("Geor",),
    "Syre": ("Syrc",),
    "Syrj": ("Syrc",),
    "Syrn": ("Syrc",),
}
_ONE_JAPANESE = {"Hira": "Kana"}


def script_of(text: str) -> str | None:
    """Measures the script that most letters of a text belong to.

    Args:
        text: Any text.

    Returns:
        An ISO 15924 code: Jpan where kana stand among the letters, Kore for Hangul, Hani for other Chinese characters;
        None if there is no letter of a known script.
    """
    letters: Counter[str] = Counter()
    for character, count in Counter(text).items():
        script = character_script(character)
        if script is not None:
            letters[script] += count
    if not letters:
        return None
    chinese = letters["Hani"]
    if letters["Kana"]:
        letters["Kana"] += chinese
    found = max(sorted(letters), key=letters.__getitem__)
    return {"Kana": "Jpan", "Hang": "Kore"}.get(found, found)


def character_script(character: str) -> str | None:
    """The script of one letter, None for what is no letter.

    Args:
        character: One character.

    Returns:
        An ISO 15924 code; Hani for all Chinese characters, Kana for both Japanese alphabets, Hang for Korean.
    """
    return _script(character) if character.isalpha() else None


def scripts_of_tags(tags: Iterable[str]) -> frozenset[str]:
    """The scripts in which languages are written, mixtures such as Jpan taken apart.

    Args:
        tags: Language tags, `iso639-3_Script`; `code` is written in Latin letters.

    Returns:
        ISO 15924 codes, as `character_script` gives them.

    Raises:
        ValueError: A tag names no script that Unicode has letters of.
    """
    found: set[str] = set()
    for tag in tags:
        script = "Latn" if tag == "code" else tag.partition("_")[2]
        parts = _MIXTURES.get(script, (script,))
        if not set(parts) <= set(script_codes()):
            near = difflib.get_close_matches(script.title(), [*script_codes(), *_MIXTURES], n=3) if script else []
            code = tag.partition("_")[0]
            hint = f"did you mean {' or '.join(f'{code}_{one}' for one in near)}?" if near else "such as deu_Latn"
            raise ValueError(f"language {tag!r}: a tag is iso639-3_Script with a script of Unicode; {hint}")
        found.update(parts)
    return frozenset(found)


def is_written_in(text: str, scripts: frozenset[str]) -> bool:
    """Tells whether all letters and marks of a text belong to given scripts.

    Args:
        text: The text.
        scripts: What `scripts_of_tags` gives.

    Returns:
        True if they do, or if it has none.
    """
    return all(script is None or script in scripts for script in map(_letter_or_mark, text))


def is_unspaced(text: str) -> bool:
    """Tells whether a text has characters of a script that writes words without blanks between them.

    Args:
        text: The text.

    Returns:
        Whether it has.
    """
    return any(_script(one) in UNSPACED and unicodedata.category(one)[0] in "LMN" for one in text)


@cache
def script_codes() -> tuple[str, ...]:
    """ISO 15924 codes of the scripts that have characters in Unicode, frequent ones first."""
    from langcodes.data_dicts import ALL_SCRIPTS

    signs = ("Zinh", "Zyyy", "Zzzz")
    codes = [*_COMMON, *sorted(code for code in ALL_SCRIPTS if code not in _COMMON and code not in signs)]
    return tuple(code for code in codes if _pattern(code) is not None)


def script_by_unicode_name(name: str) -> str | None:
    """The code of a script by its Unicode name ("Bengali", where CLDR says Bangla), or None."""
    pattern = _pattern(name) if name.isascii() and name.isalpha() and len(name) > 4 else None
    found = pattern.search(_all_characters()) if pattern is not None else None
    return _script(found[0]) if found else None


@cache
def _all_characters() -> str:
    return "".join(chr(point) for point in range(0x20000) if not 0xD800 <= point < 0xE000)


@cache
def _pattern(script: str, of: str = "Script") -> regex.Pattern[str] | None:
    try:
        return regex.compile(rf"\p{{{of}={script}}}")
    except regex.error:
        return None


@lru_cache(maxsize=200_000)
def _script(character: str) -> str | None:
    """The script of a character; None for those that belong to no script, or to too many to say."""
    shared = regex.match(r"[\p{Script=Zyyy}\p{Script=Zinh}]", character) is not None
    if shared and not regex.match(r"\p{L}", character) and "Latn" in _extensions(character):
        return None
    for code in _extensions(character) if shared else script_codes():
        if shared or _pattern(code).match(character):  # type: ignore[union-attr]
            return _ONE_JAPANESE.get(code, code)
    return None


def _extensions(character: str) -> list[str]:
    return [code for code in script_codes() if _pattern(code, "Script_Extensions").match(character)]  # type: ignore[union-attr]


@lru_cache(maxsize=200_000)
def _letter_or_mark(character: str) -> str | None:
    """The script of a letter or mark; None for what all scripts share; Zyyy for letters of formulas."""
    kind = unicodedata.category(character)[0]
    if kind not in "LM" or unicodedata.name(character, "").startswith(("COMBINING ", "MODIFIER ")):
        return None
    return _script(character) or ("Zyyy" if kind == "L" else None)
