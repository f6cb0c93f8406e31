"""The writing system of a text, measured from Unicode names, and the tag of a gettext locale.

Unicode's script property is not in Python's standard library, but the first word of a letter's name is ("CYRILLIC SMALL
LETTER A"). That is enough for living scripts; the few with a two-word name (OLD, NEW, TAI) are left out. Simplified and
traditional Chinese share their letters: the locale decides.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

from .tags import language_code

_SCRIPTS = """
ADLAM:Adlm ARABIC:Arab ARMENIAN:Armn BALINESE:Bali BAMUM:Bamu BATAK:Batk BENGALI:Beng BOPOMOFO:Bopo BUGINESE:Bugi
CANADIAN:Cans CHAKMA:Cakm CHAM:Cham CHEROKEE:Cher CJK:Hani COPTIC:Copt CYRILLIC:Cyrl DEVANAGARI:Deva ETHIOPIC:Ethi
GEORGIAN:Geor GOTHIC:Goth GRANTHA:Gran GREEK:Grek GUJARATI:Gujr GURMUKHI:Guru HANGUL:Hang HEBREW:Hebr HIRAGANA:Kana
JAVANESE:Java KANNADA:Knda KATAKANA:Kana KAYAH:Kali KHMER:Khmr LAO:Laoo LATIN:Latn LEPCHA:Lepc LIMBU:Limb LISU:Lisu
MALAYALAM:Mlym MANDAIC:Mand MEETEI:Mtei MONGOLIAN:Mong MYANMAR:Mymr NKO:Nkoo OL:Olck ORIYA:Orya OSAGE:Osge
REJANG:Rjng SAURASHTRA:Saur SINHALA:Sinh SUNDANESE:Sund SYLOTI:Sylo SYRIAC:Syrc TAGALOG:Tglg TAMIL:Taml TELUGU:Telu
THAANA:Thaa THAI:Thai TIBETAN:Tibt TIFINAGH:Tfng VAI:Vaii YI:Yiii
"""
_BY_NAME = dict(entry.split(":") for entry in _SCRIPTS.split())

# Territories and modifiers of gettext locales that settle the script.
_TRADITIONAL = {"TW", "HK", "MO", "HANT"}
_MODIFIERS = {"latin": "Latn", "latn": "Latn", "cyrillic": "Cyrl", "cyrl": "Cyrl", "arab": "Arab", "iqtelif": "Latn"}
# A territory that makes another language of it: Punjabi of Pakistan is Western Punjabi.
_BY_TERRITORY = {("pan", "PK"): "pnb"}


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


def tag_of_locale(locale: str, text: str) -> str | None:
    """Turns a gettext locale and its text into a language tag.

    Args:
        locale: "pt_BR", "zh_Hans", "sr@latin", "ca@valencia".
        text: Text in it; decides the script where the locale does not.

    Returns:
        "por_Latn", "cmn_Hans", ...; None if the text has no letters.
    """
    base, _, modifier = locale.partition("@")
    head, _, territory = base.replace("-", "_").partition("_")
    territory = territory.partition(".")[0]
    code = language_code(head.lower())
    code = _BY_TERRITORY.get((code, territory.upper()), code)
    script = _MODIFIERS.get(modifier.lower()) or _MODIFIERS.get(territory.lower()) or script_of(text)
    if script == "Hani":
        script = "Hant" if territory.upper() in _TRADITIONAL or code == "yue" else "Hans"
    return f"{code}_{script}" if script else None


@lru_cache(maxsize=50_000)
def character_script(character: str) -> str | None:
    """The script of one letter, None for what is no letter.

    Args:
        character: One character.

    Returns:
        An ISO 15924 code; Hani for all Chinese characters, Kana for both Japanese alphabets, Hang for Korean.
    """
    if not character.isalpha():
        return None
    return _BY_NAME.get(unicodedata.name(character, "").partition(" ")[0].partition("-")[0])
