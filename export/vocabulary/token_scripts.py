"""Which tokens a language may need, judged by their letters alone: the rule that needs no text.

A token belongs to a language if all its letters and marks are of the language's writing system; digits, punctuation and
symbols belong to all. That is an upper bound: every Latin token counts for German. The script of a letter is the first
word of its Unicode name, as in the corpus readers.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

_TAG = re.compile(r"[a-z]{2,3}_[A-Z][a-z]{3}|code")
_NAMES = {
    "Arab": "ARABIC",
    "Armn": "ARMENIAN",
    "Beng": "BENGALI",
    "Cans": "CANADIAN",
    "Cher": "CHEROKEE",
    "Copt": "COPTIC",
    "Cyrl": "CYRILLIC",
    "Deva": "DEVANAGARI",
    "Ethi": "ETHIOPIC",
    "Geor": "GEORGIAN",
    "Grek": "GREEK",
    "Gujr": "GUJARATI",
    "Guru": "GURMUKHI",
    "Hang": "HANGUL",
    "Hani": "CJK",
    "Hans": "CJK BOPOMOFO",
    "Hant": "CJK BOPOMOFO",
    "Hebr": "HEBREW",
    "Jpan": "CJK HIRAGANA KATAKANA",
    "Khmr": "KHMER",
    "Knda": "KANNADA",
    "Kore": "HANGUL CJK",
    "Laoo": "LAO",
    "Latn": "LATIN FEMININE MASCULINE",
    "Mlym": "MALAYALAM",
    "Mong": "MONGOLIAN",
    "Mtei": "MEETEI",
    "Mymr": "MYANMAR",
    "Nkoo": "NKO",
    "Olck": "OL",
    "Orya": "ORIYA",
    "Sinh": "SINHALA",
    "Syrc": "SYRIAC",
    "Taml": "TAMIL",
    "Telu": "TELUGU",
    "Tfng": "TIFINAGH",
    "Thaa": "THAANA",
    "Thai": "THAI",
    "Tibt": "TIBETAN",
}
# Writing without spaces between words; here a token of the original vocabulary stands for a word.
_UNSPACED = frozenset("BOPOMOFO CJK HIRAGANA KATAKANA KHMER LAO MYANMAR THAI TIBETAN".split())


def is_tag(text: str) -> bool:
    """Tell a language tag from a text.

    Args:
        text: Anything.

    Returns:
        Whether it looks like `deu_Latn`, or is `code`.
    """
    return _TAG.fullmatch(text) is not None


def letters_of(tags: Iterable[str]) -> frozenset[str]:
    """Name the writing systems of languages.

    Args:
        tags: Language tags, `iso639-3_Script`; `code` is written in Latin letters.

    Returns:
        First words of the Unicode names of their letters.

    Raises:
        ValueError: If a tag has no script, or one without a rule; near matches are named.
    """
    found: set[str] = set()
    for tag in tags:
        code, _, script = tag.partition("_")
        script = "Latn" if tag == "code" else script
        if script not in _NAMES:
            near = difflib.get_close_matches(script.title(), _NAMES, n=3)
            hint = f"did you mean {' or '.join(f'{code}_{name}' for name in near)}?" if near else "such as deu_Latn"
            raise ValueError(
                f"language {tag!r}: a tag is iso639-3_Script with one of {len(_NAMES)} scripts that have a rule; {hint}"
            )
        found.update(_NAMES[script].split())
    return frozenset(found)


def is_written_in(token: str, letters: frozenset[str]) -> bool:
    """Tell whether all letters of a token belong to given writing systems.

    Args:
        token: The token.
        letters: What `letters_of` gives.

    Returns:
        True if they do, or if it has no letters.
    """
    return all(name is None or name in letters for name in map(_script, token))


def is_unspaced(token: str) -> bool:
    """Tell whether a token has letters of a script that writes words without spaces between them.

    Args:
        token: The token.

    Returns:
        Whether it has.
    """
    return any(_script(character) in _UNSPACED for character in token)


@lru_cache(maxsize=100_000)
def _script(character: str) -> str | None:
    if unicodedata.category(character)[0] not in "LM":
        return None
    name = unicodedata.name(character, "UNNAMED").partition(" ")[0].partition("-")[0]
    return None if name in ("COMBINING", "MODIFIER", "VARIATION", "ZERO") else name
