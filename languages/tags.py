"""Language tags: `iso639-3_Script` in mmBERT's code convention, and every other way in which sources write them.

mmBERT uses individual codes where ISO 639 also has a macrolanguage: arb, cmn, swh, zsm, not ara, zho, swa, msa. Sources
write "zh", "zh-Hans", "zho_Hans", "chi", "Chinese (Simplified)": `canonical_tag` turns them all into cmn_Hans, by the
tables of langcodes (BCP 47, CLDR, names) and python-iso639 (ISO 639-3 with its retired codes). `note_tags` says in one
line what was read as something else. A language beyond the 1,833 is named by the user (`extra_languages`), so that a
typing error never becomes a language of its own.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ..common.messages import first_of, option, speaks_python
from .counts import CODE, PHASES, known_codes, known_scripts, published_token_counts
from .scripts import script_by_unicode_name, script_codes, script_of

if TYPE_CHECKING:
    from iso639 import Language as Iso639

__all__ = [
    "CODE", "PHASES", "canonical_names", "canonical_tag", "check_languages", "choose_tags", "entry_phase",
    "is_among", "is_language_tag", "is_tag", "iso_codes", "known_codes", "known_scripts", "known_tag",
    "language_code", "language_name", "near_matches", "note_tags", "published_token_counts", "questions_about",
    "same_language", "tag_in_name", "tag_of_locale", "tags_in_use", "unknown_tag_message",
]  # fmt: skip

logger = logging.getLogger(__name__)

_NEAR_MATCHES = 3
_LISTED = 10
_TAG = re.compile(r"([a-z]{3})_([A-Z][a-z]{3})")
# Members that mmBERT's text is in, where CLDR's choice is another; and where the script decides.
_MEMBERS = {"aka": "twi", "ful": "fuv", "hbs": "srp", "que": "quy", "tmh": "taq"}
_MEMBERS_BY_SCRIPT = {("kur", "Arab"): "ckb", ("aze", "Arab"): "azb", ("pan", "Arab"): "pnb"}
# Codes of mmBERT's list that ISO 639-3 retired in favour of another one of the list.
_RETIRED = {"daf": "dnj", "kzj": "dtp", "tpw": "tpn"}
_SAME_SCRIPTS = {"Hang": "Kore", "Hrkt": "Jpan", "Hira": "Jpan", "Kana": "Jpan"}
_CHINESE = {"Hani", "Hans", "Hant"}
_NO_LANGUAGE = {"und", "mul", "mis", "zxx", "art"}  # ISO 639: undetermined, several, other, no language, invented
# Names of Wikipedias, and of their dumps, that are no language tags.
_WIKIPEDIAS = {"roa-rup": "rup", "fiu-vro": "vro", "bat-smg": "sgs", "zh-classical": "lzh", "zh-min-nan": "nan"}
_ENOUGH_LETTERS = 200  # some sentences: fewer may be names and numbers in another script
_LONGEST_ENDING = 3  # letters: German-ish, deutsch-e


class _Spelling(NamedTuple):
    code: str
    script: str | None  # as the source says it; None: it says none


def canonical_tag(tag: str) -> str | None:
    """Turns what a source calls a language into the tag in use, also for languages that mmBERT never read.

    Args:
        tag: A BCP 47 or locale tag ("pt-BR", "zh_TW", "sr@latin"), a code of ISO 639-1, -2 (both) or -3, of a
            macrolanguage or retired ("iw", "ger", "swa_Latn"), or a name ("Serbian (Cyrillic)", "Deutsch").

    Returns:
        "por_Latn", "cmn_Hans", ... in the language's main script where the source names none; "code"; None if nothing
        is known by that name.
    """
    found = _parse(tag)
    if found is None or found.code == "und":
        return None
    if found.code == CODE:
        return CODE
    script = found.script or _main_script(found.code)
    return f"{found.code}_{script}" if script else None


def language_code(code: str) -> str:
    """Brings a language code into mmBERT's convention: two letters or a macrolanguage to the individual code.

    Args:
        code: "zh", "zho", "chi" or "cmn"; anything else comes back as it is.

    Returns:
        Three letters, "cmn".
    """
    found = _code(code.lower(), None) if re.fullmatch(r"[A-Za-z]{2,3}", code) else None
    return found or code


def entry_phase(tag: str) -> int | None:
    """Says in which of mmBERT's phases a language enters.

    Args:
        tag: A language tag, or anything that `canonical_tag` understands.

    Returns:
        1 (pre-training), 2 (mid-training), 3 (decay), or None for a language that mmBERT never saw.
    """
    found = _parse(tag)
    for number, phase in enumerate(("pretrain", "ext", "decay-all"), start=1):
        if found and found.code in published_token_counts(phase):
            return number
    return None


@lru_cache(maxsize=10_000)
def language_name(tag: str) -> str:
    """The English name of a language.

    Args:
        tag: A language tag.

    Returns:
        "Swahili"; the tag itself where no name is known.
    """
    if tag == CODE:
        return "programming source"
    from iso639 import Language, LanguageNotFoundError
    from langcodes import Language as Bcp47

    code = tag.partition("_")[0]
    if not re.fullmatch(r"[A-Za-z]{2,8}", code):
        return tag
    try:
        language = Language.from_part3(code)
    except LanguageNotFoundError:
        language = None
    name = Bcp47.get(language.part1 if language and language.part1 else code, normalize=False).language_name()
    if name.startswith("Unknown language"):
        name = language.name if language else tag
    return name.partition(" (")[0]


def is_language_tag(tag: str, extra_languages: Collection[str] = ()) -> bool:
    """Tells whether a tag is `code`, or `xxx_Ssss` with a known language code, or named by the user.

    Args:
        tag: What stands in the data.
        extra_languages: Codes or whole tags that count as known too.

    Returns:
        True or False.
    """
    if tag == CODE or tag in extra_languages:
        return True
    code, _, script = tag.partition("_")
    return (code in known_codes() or code in extra_languages) and _is_script(script)


def is_tag(text: str) -> bool:
    """Tells a language tag from a text.

    Args:
        text: Anything.

    Returns:
        Whether it looks like `deu_Latn`, or is `code`.
    """
    return text == CODE or _TAG.fullmatch(text) is not None


def check_languages(tags: Iterable[str], extra_languages: Collection[str] = ()) -> None:
    """Refuses tags that mmBERT's statistics do not know.

    Args:
        tags: Language tags.
        extra_languages: Codes or whole tags that count as known too.

    Raises:
        ValueError: Names the first unknown tag and its near matches.
    """
    for tag in tags:
        if not is_language_tag(tag, extra_languages):
            raise ValueError(unknown_tag_message(tag))


def unknown_tag_message(tag: str) -> str:
    """The one line that tells a user what is wrong with a tag and what was probably meant.

    Args:
        tag: The unknown tag.

    Returns:
        The message.
    """
    own = canonical_tag(tag)
    near = near_matches(tag)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    if own is not None and own != CODE and own.partition("_")[0] not in known_codes():
        return (
            f"language tag {tag!r} ({language_name(own)}) is not known: it is none of the 1,833 of mmBERT's statistics."
            f"{hint}{_remedy(' To read it all the same give ', own)}"
        )
    return (
        f"language tag {tag!r} is not known: a tag is `code` or iso639-3_Script (eng_Latn) with one of the 1,833 codes"
        f" of mmBERT's statistics.{hint}{_remedy(' Give another language by ', 'TAG')}"
    )


def _remedy(words: str, tag: str) -> str:
    """Tell the option that takes more languages, in the words of what the user ran; nothing where there is none."""
    told = option("extra_languages", [tag] if speaks_python() else tag)
    return f"{words}{told}." if told else ""


def iso_codes(tag: str) -> list[str]:
    """The codes of ISO 639 that stand for a language today, the shortest as people search for them.

    Args:
        tag: A language tag of ours, or a code.

    Returns:
        Usually one: "de", "zh" for cmn, "ceb"; several for a code that was split; none if ISO knows no such language.
    """
    import langcodes

    code = tag.partition("_")[0]
    language = _iso(_RETIRED.get(code, code)) or _iso(language_code(code))
    if language is None:  # collections such as nah are in ISO 639-2 only
        return [code] if re.fullmatch(r"[a-z]{3}", code) and langcodes.tag_is_valid(code) else []
    if language.status == "R":
        successors = [language.retire_change_to] if language.retire_change_to else _split_into(language)
        return [found for one in successors for found in iso_codes(one)]
    standard = langcodes.standardize_tag(language.part3, macro=True)
    short = "ps" if language.part3 == "pbt" else standard if re.fullmatch(r"[a-z]{2}", standard) else None
    withdrawn = language.part1 == "sh"
    return [(language.part1 if not withdrawn else None) or short or language.part3]


def near_matches(tag: str) -> list[str]:
    """Known tags that an unknown one may mean: what it is by ISO 639 or by name, then what is spelled alike.

    Args:
        tag: The unknown tag, a code, a locale such as "pt-BR", a name.

    Returns:
        At most three tags, in the given script or the language's main one.
    """
    found = _parse(tag)
    if found is not None and found.code == CODE:
        return [CODE]
    head, _, tail = re.sub(r"[-@ ]", "_", tag).partition("_")
    if head.lower() in _NO_LANGUAGE or re.fullmatch(r"q[a-t][a-z]", head.lower()):
        return []
    script = found.script if found else _close_script(tail)
    codes = [found.code] if found else []
    codes += _members(head.lower()) or _siblings(codes[0] if codes else head.lower())
    if not any(code in known_codes() for code in codes):
        codes += difflib.get_close_matches(head.lower(), sorted(known_codes()), n=_NEAR_MATCHES, cutoff=0.6)
    known = [code for code in dict.fromkeys(codes) if code in known_codes()]
    tags = [f"{code}_{script or _main_script(code)}" for code in known]
    if found and script and _is_strange(found.code, script):
        tags.insert(0, f"{found.code}_{_main_script(found.code)}")
    return [near for near in dict.fromkeys(tags) if near != tag][:_NEAR_MATCHES]


def same_language(one: str, other: str) -> bool:
    """Tells whether two tags mean one language: of one code, in one script, as far as both name a script.

    Args:
        one: A tag, however a source writes it: "sw", "swa_Latn".
        other: Another.

    Returns:
        True or False.
    """
    if one == other:
        return True
    first, second = _parse(one), _parse(other)
    if first is None or second is None or first.code != second.code:
        return False
    scripts = {_SAME_SCRIPTS.get(script, script) for script in (first.script, second.script) if script}
    return len(scripts) < 2


def is_among(tag: str, languages: Iterable[str]) -> bool:
    """Tells whether a language is one of several, whichever way sources write it ("en", "eng_Latn").

    Args:
        tag: The language.
        languages: The others.

    Returns:
        True or False.
    """
    return any(same_language(tag, one) for one in languages)


def choose_tags(
    wanted: Iterable[str], there: Collection[str], where: str, lacks: str = "has no language '{}'"
) -> list[str]:
    """Finds languages that a user named among those that a source has.

    Args:
        wanted: Tags, codes or names; without a script one means every script that is there.
        there: The tags of the source.
        where: Name of the source, for the message.
        lacks: What the message says of a source without the language.

    Returns:
        Tags of `there`, each once.

    Raises:
        ValueError: One of them is not there; the message lists what is.
    """
    chosen: dict[str, None] = {}
    for name in wanted:
        found = [name] if name in there else [tag for tag in sorted(there) if same_language(name, tag)]
        if not found:
            near = [tag for tag in near_matches(name) if tag in there]
            own = canonical_tag(name)
            near += [tag for tag in sorted(there) if own and tag.partition("_")[0] == own.partition("_")[0]]
            if own is None:
                near += difflib.get_close_matches(name, sorted(there), n=_NEAR_MATCHES)
            hint = f"did you mean {' or '.join(list(dict.fromkeys(near))[:_NEAR_MATCHES])}? " if near else ""
            listed = first_of(sorted(there), _LISTED)
            raise ValueError(f"{where} {lacks.format(name)}; {hint}there are {listed}.")
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def tag_in_name(name: str) -> str | None:
    """Finds the language that the name of a file, folder or configuration says.

    Args:
        name: "swh_Latn-00001.parquet", "data/sw/train.tsv", "sw_train.tsv", "eng_Latn-swh_Latn.tsv" (the first one).

    Returns:
        The tag in use, or None. Whole tags count anywhere; a code of two or three letters only as a folder or at one
        end of the name, and only if it is a language's own (no "dev", "all", "test").
    """
    pieces = [piece for piece in re.split(r"[/\\]", name) if piece]
    for piece in reversed(pieces):
        for word in re.findall(r"(?<![A-Za-z])[A-Za-z]{2,3}[_-](?:[A-Z][a-z]{3}|[A-Z]{2})(?![A-Za-z])", piece):
            if (found := canonical_tag(word)) is not None:
                return found
    for number, piece in enumerate(reversed(pieces)):
        words = re.split(r"[._-]", piece if number else piece.partition(".")[0])
        whole = number > 0 and piece in ("id", "is", "no")  # as folders of one data set among others
        for word in (words[0], words[-1]):
            if re.fullmatch(r"[a-z]{2,3}", word) and (whole or word not in _NOT_LANGUAGES):
                found = canonical_tag(word)
                if found is not None and (
                    found.partition("_")[0] in known_codes() or getattr(_iso(word), "part1", None)
                ):
                    return found
    return None


def tag_of_locale(locale: str, text: str) -> str | None:
    """Turns a gettext locale and its text into a language tag.

    Args:
        locale: "pt_BR", "zh_Hans", "sr@latin", "ca@valencia".
        text: Text in it; decides the script where the locale does not.

    Returns:
        "por_Latn", "cmn_Hans", ...; None if the text has no letters.
    """
    base, _, modifier = locale.partition("@")
    found = _parse(base)
    if found is None:
        return None
    script = (_script_named(modifier) if modifier else None) or found.script or script_of(text)
    if script == "Hani":
        script = _main_script(found.code) if "Hani" in known_scripts(found.code) else "Hans"
    return f"{found.code}_{script}" if script else None


# Codes of languages that are words of file names first.
_NOT_LANGUAGES = frozenset(
    (
        "all csv dev out tmp ner pos raw run set sub tar tok tsv txt val web zip gold id in is no aim any are arm big "
        "bin box bus cap car cat cpu cut did due far fat fit for got gun hot hub ice law leg log man max may med men "
        "met new not old pad pen per pot row sml spy src too top vol way "
    ).split()
)


def questions_about(tags: Iterable[str], texts: Mapping[str, str] | None = None) -> list[str]:
    """What looks wrong with the tags of one source: an unlikely script, one language under two tags.

    Args:
        tags: Tags in use.
        texts: Some text of each tag, where there is any. It decides: a language that is in the script of its tag is not
            questioned, however rare that is.

    Returns:
        A sentence per question; usually none.
    """
    there = sorted(set(tags))
    said = [question for tag in there if (question := _script_question(tag, (texts or {}).get(tag, "")))]
    by_code: dict[str, list[str]] = {}
    for tag in there:
        found = _parse(tag)
        if found is not None and found.code != CODE:
            script = found.script or _main_script(found.code) or ""
            key = f"{_RETIRED.get(found.code, found.code)}_{_SAME_SCRIPTS.get(script, script)}"
            by_code.setdefault(key, []).append(tag)
    for same in by_code.values():
        if len(same) > 1:
            said.append(f"{' and '.join(same)} are one language; each is counted and sampled for itself.")
    return said


@lru_cache(maxsize=50_000)
def known_tag(tag: str, extra_languages: tuple[str, ...] = ()) -> str | None:
    """Reads the tag that a source writes as the one in use.

    Args:
        tag: What stands in the data.
        extra_languages: Codes or whole tags beyond the 1,833, in any spelling.

    Returns:
        The tag; None for a language that is neither among the 1,833 nor extra.
    """
    if is_language_tag(tag, extra_languages):
        return tag
    found = canonical_tag(tag)
    if found is None or is_language_tag(found):
        return found
    extra = {own.code for one in extra_languages if (own := _parse(one)) is not None}
    return found if found.partition("_")[0] in extra else None


def canonical_names(
    names: Iterable[str], extra_languages: Collection[str] = (), *, whole: bool = False
) -> tuple[str, ...]:
    """Reads the languages that a user names, and says once what was read as something else.

    Args:
        names: Tags, codes or names.
        extra_languages: Codes or whole tags beyond the 1,833.
        whole: Complete a name without a script by the language's main one.

    Returns:
        Each once: "deu_Latn"; "srp" where the name says no script and the language has several.

    Raises:
        ValueError: One is not known; near matches are named.
    """
    extra = tuple(extra_languages)
    read: dict[str, str] = {}
    for name in names:
        tag = known_tag(name, extra)
        if tag is None:
            raise ValueError(unknown_tag_message(name))
        found, code = _parse(name), tag.partition("_")[0]
        bare = found is not None and found.script is None and tag not in (CODE, name) and not whole
        # Chinese, Japanese and Korean have a script under several codes.
        several = len(known_scripts(code)) != 1 or known_scripts(code)[0] in {*_CHINESE, *_SAME_SCRIPTS, "Jpan"}
        read[name] = code if bare and several else tag
    note_tags("languages asked for", read)
    return tuple(dict.fromkeys(read.values()))


def tags_in_use(where: object, tags: Iterable[str], unknown: str = "und", *, apart: bool = True) -> dict[str, str]:
    """Maps the tags of one source to those in use, and notes once what was read as something else, if `where` is given.

    A whole tag whose tag in use is another one of the source stays as it is (SIB-200's aka_Latn and twi_Latn), unless
    not `apart`; "sw" beside swh_Latn does not. Where most are no languages that people speak, but names of programming
    languages, sources or genres, all stay.
    """
    own = set(tags)
    read = {tag: canonical_tag(tag) if tag not in (unknown, "") else None for tag in own}
    if sum(found is None for tag, found in read.items() if tag not in (unknown, "")) > len(own) / 2:
        return {tag: tag for tag in own}
    used = {tag: tag if not found or (apart and found in own and is_tag(tag)) else found for tag, found in read.items()}
    if where is not None:
        note_tags(where, used)
    return used


def note_tags(where: object, read: Mapping[str, str], texts: Mapping[str, str] | None = None) -> None:
    """Logs in one line what was read as something else, and what is questionable.

    Args:
        where: What was read.
        read: The source's spelling to the tag in use.
        texts: Some text of each tag in use, where there is any.
    """
    pairs = [f"{theirs} as {ours}" for theirs, ours in sorted(read.items()) if theirs != ours]
    lines = questions_about(read.values(), texts)
    if pairs:
        lines.insert(0, f"language tags are read as mmBERT writes them: {first_of(pairs, _LISTED)}.")
    if lines:
        logger.warning("%s: %s", where, " ".join(lines))


@lru_cache(maxsize=20_000)
def _parse(tag: str) -> _Spelling | None:
    """Take a tag apart: code in mmBERT's convention, and the script if the source says it."""
    tag = _WIKIPEDIAS.get(tag.lower().replace("_", "-"), tag)
    exact = _TAG.fullmatch(tag)
    if exact and exact[1] in known_codes() and _is_script(exact[2]):
        return _Spelling(exact[1], exact[2])
    words = [word for word in re.split(r"[\s_@()\[\],/-]+", re.sub(r"\.[\w-]+(?=@|$)", "", tag.strip())) if word]
    if not words:
        return None
    if words[0].lower() == CODE and len(words) <= 2:  # "code_python": a programming language's own share of it
        return _Spelling(CODE, None)
    return _by_code(words) or _by_name(words)


def _by_code(words: list[str]) -> _Spelling | None:
    """A code with script, territory and variants, as in BCP 47 and in locales."""
    head, rest = words[0].lower(), words[1:]
    if not re.fullmatch(r"[a-z]{2,3}", head):
        return None
    script = territory = None
    for number, word in enumerate(rest):
        if len(word) == 1:  # an extension or private use: nothing about the language
            break
        if script is None and (found := _script_named(word)):
            script = found
        elif re.fullmatch(r"[A-Za-z]{2}|\d{3}", word) and territory is None:
            territory = word.upper()
        elif number == 0 and re.fullmatch(r"[a-z]{3}", word) and _is_member(word, head):
            head = word  # an extended language: zh-yue; not cbk-zam, the Chavacano of Zamboanga
        elif not _is_variant(head, word):
            return None
    if script is None and head == "sh":
        script = "Latn"
    if script is None and territory is not None:
        script = _script_of_territory(head, territory)
    code = _code(head, script)
    return _Spelling(code, script) if code else None


def _is_member(code: str, macro: str) -> bool:
    one, other = _iso(code), _iso(macro)
    return one is not None and other is not None and one.macrolanguage == other.part3


def _is_variant(head: str, word: str) -> bool:
    import langcodes

    return bool(re.fullmatch(r"[A-Za-z]{5,8}|\d[A-Za-z0-9]{3,7}", word)) and langcodes.tag_is_valid(f"{head}-{word}")


def _by_name(words: list[str]) -> _Spelling | None:
    """A name in English or in the language itself, with or without a script: "serbian_latin", "Deutsch"."""
    scripts = [found for word in words if len(words) > 1 and (found := _script_named(word))]
    whole = _find_name(" ".join(words))
    bare = _find_name(" ".join(word for word in words if not _script_named(word))) if scripts else None
    if bare is not None and (whole is None or whole.code == bare.code):
        return _Spelling(_code(bare.code, scripts[0]) or bare.code, scripts[0])
    return whole


def _find_name(name: str) -> _Spelling | None:
    import langcodes

    if (len(name) < 3 and name.isascii()) or name.lower() in ("java", "javascript"):  # langcodes: Javanese
        return None
    if not name.isprintable():  # language_data uses U+0000 itself, and raises
        return None
    try:
        language = langcodes.find(name)
    except LookupError:
        return None
    if _grows_from_a_name(name):  # "nosuchthing" begins with Nosu, a name of Sichuan Yi
        return None
    code = _code(str(language.language), language.script)
    return _Spelling(code, language.script) if code else None


def _grows_from_a_name(name: str) -> bool:
    """Whether langcodes, which takes the longest name that a word begins with, has read past more than an ending."""
    from language_data import names

    table, lookup = names.TRIES.get("und/name_to_language", ()), names.normalize_name(name)
    if lookup in table or not table:
        return False
    rest = lookup.removeprefix(table.prefixes(lookup)[-1])
    return len(rest) > _LONGEST_ENDING and rest[0].isalpha()


@lru_cache(maxsize=10_000)
def _code(code: str, script: str | None) -> str | None:
    """The three-letter code in mmBERT's convention for any code of ISO 639 or BCP 47, today's or retired."""
    if (code, script) in _MEMBERS_BY_SCRIPT:
        return _MEMBERS_BY_SCRIPT[code, script]  # type: ignore[index]
    if code in known_codes() or code == CODE:
        return code
    language = _iso(code)
    if language is not None and ((language.part3, script) in _MEMBERS_BY_SCRIPT or language.part3 in known_codes()):
        return _code(language.part3, script)
    if language is None or language.scope != "M":
        named = _standard(code)
        # A language of its own is not read as another one that shares its macrolanguage.
        replaces = named is not None and (language is None or named in known_codes() or language.status == "R")
        if replaces and (language is None or named != language.part3):
            return _code(str(named), script)
    if language is None:
        return None
    if language.status == "R":
        return _code(language.retire_change_to, script) if language.retire_change_to else None
    return next(iter(_members(language.part3)), language.part3)


def _standard(code: str) -> str | None:
    """What CLDR has for a deprecated code, or for a language whose macrolanguage's code people use: iw, tgl, pes."""
    import langcodes

    standard = langcodes.standardize_tag(code, macro=True) if langcodes.tag_is_valid(code) else code
    language = langcodes.Language.get(standard, normalize=False)
    # With a territory it is another variety: Dari is fa-AF.
    named = _iso(str(language.language)) if standard != code and language.territory is None else None
    return named.part3 if named is not None else None


@cache
def _iso(code: str) -> Iso639 | None:
    """The entry of ISO 639-3 for a code of any part, retired ones too; None if there is none."""
    from iso639 import Language, LanguageNotFoundError

    for read in (Language.from_part3, Language.from_part2b, Language.from_part1):
        try:
            return read(code)
        except LanguageNotFoundError:
            continue
    return None


@cache
def _siblings(code: str) -> tuple[str, ...]:
    """What a language is a member of, and the other members: Persian for Dari (prs)."""
    language = _iso(code) if re.fullmatch(r"[a-z]{2,3}", code) else None
    whole = language.macrolanguage if language is not None and language.part3 not in known_codes() else None
    return (whole, *_members(whole)) if whole else ()


def _members(code: str) -> tuple[str, ...]:
    """Languages among the 1,833 that a macrolanguage or a split code stands for, mmBERT's main one first."""
    language = _iso(code) if re.fullmatch(r"[a-z]{2,3}", code) else None
    if language is None:
        return ()
    if language.status == "R":
        return tuple(one for one in _split_into(language) if one in known_codes())
    if language.scope != "M":
        return ()
    import langcodes

    tokens = published_token_counts("decay-all")
    members = [one for one in known_codes() if (found := _iso(one)) and found.macrolanguage == language.part3]
    standard = {
        one for one in members if langcodes.standardize_tag(one, macro=True) in (language.part1, language.part3)
    }
    if language.part1 == "sh":
        standard = {"srp"}  # as CLDR has it
    chosen = {_MEMBERS[language.part3]} if language.part3 in _MEMBERS else standard
    return tuple(sorted(members, key=lambda one: (one not in chosen, -tokens[one], one)))


@cache
def _main_script(code: str) -> str | None:
    """The script that a language without one in its tag is taken to be in; None if nothing is known."""
    scripts = [_SAME_SCRIPTS.get(script, script) for script in known_scripts(code)]
    if len(scripts) == 1 and scripts != ["Hani"]:
        return scripts[0]
    import langcodes

    likely = langcodes.Language.get(langcodes.standardize_tag(code, macro=True)).maximize()
    # langcodes answers Latn and US for a language that CLDR knows nothing about.
    unknown = likely.territory == "US" and likely.language not in ("en", "haw")
    script = None if unknown else likely.script
    if scripts and script not in scripts and not (script in _CHINESE and "Hani" in scripts):
        return scripts[0]
    return script


def _split_into(language: Iso639) -> list[str]:
    """The codes that ISO put in the place of a retired one, which it names in a sentence only."""
    return re.findall(r"\[(\w{3})\]", language.retire_remedy or "")


def _script_of_territory(code: str, territory: str) -> str | None:
    """The script of a language in a territory, where it is another than elsewhere: zh_TW, sr_ME, pa_PK."""
    import langcodes

    if not langcodes.tag_is_valid(f"{code}-{territory}"):
        return None
    there = langcodes.Language.get(f"{code}-{territory}").maximize().script
    general = langcodes.Language.get(code).maximize().script
    own = _code(code, there)
    likely = own is not None and (there in _CHINESE or there in known_scripts(own))
    return there if there != general and likely else None


def _script_question(tag: str, text: str) -> str | None:
    code, _, script = tag.partition("_")
    if not script:
        return None
    found = script_of(text)
    if found is not None and _one_script(found) == _one_script(script):
        return None
    if found is not None and sum(map(str.isalpha, text)) >= _ENOUGH_LETTERS:
        return f"{tag}: most of its text is in {found}, as the first documents show; did you mean {code}_{found}?"
    if not _is_strange(code, script):
        return None
    usual = " or ".join(f"{code}_{one}" for one in known_scripts(code))
    return f"{tag}: {language_name(tag)} is not known to be written in {script}; did you mean {usual}?"


def _one_script(script: str) -> str:
    """Fold scripts that letters alone cannot tell apart."""
    return "Hani" if script in _CHINESE else _SAME_SCRIPTS.get(script, script)


def _is_strange(code: str, script: str) -> bool:
    usual = known_scripts(code)
    if not usual or script in usual or _SAME_SCRIPTS.get(script) or (script in _CHINESE and _CHINESE & set(usual)):
        return False
    if script in {_SAME_SCRIPTS.get(one, one) for one in usual}:
        return False
    import langcodes

    if not re.fullmatch(r"[A-Za-z0-9]{1,8}", script):
        return True
    # CLDR knows a territory for scripts that are in use: kk-Arab is Kazakh of China.
    known = _iso(code)
    two = (known.part1 if known else None) or code
    return (
        langcodes.Language.get(f"{two}-{script}").maximize().territory
        == langcodes.Language.get(two).maximize().territory
    )


@cache
def _is_script(script: str) -> bool:
    return script in _common_scripts() or script in _all_scripts()


@cache
def _common_scripts() -> frozenset[str]:
    return frozenset({"Hans", "Hant", "Kore"}.union(*(known_scripts(code) for code in known_codes())))


@cache
def _all_scripts() -> frozenset[str]:
    from langcodes.data_dicts import ALL_SCRIPTS

    signs = {"Zinh", "Zmth", "Zsye", "Zsym", "Zxxx", "Zyyy", "Zzzz"}  # of no language
    return frozenset(script for script in ALL_SCRIPTS if len(script) == 4) - signs | set(script_codes())


@cache
def _script_named(word: str) -> str | None:
    """The script that a code or an English name says."""
    title = word.title()
    if len(word) == 4 and _is_script(title):
        return title
    return _script_names().get(word.lower()) or script_by_unicode_name(title)


@cache
def _script_names() -> dict[str, str]:
    import langcodes

    names = {langcodes.Language.make(script=one).script_name().lower(): one for one in sorted(_all_scripts())}
    return {**names, "iqtelif": "Latn"}  # Tatar in Latin letters, in locales


def _close_script(tail: str) -> str | None:
    """The script that was probably meant by what stands behind a code."""
    if not tail:
        return None
    near = difflib.get_close_matches(tail.title(), sorted(_common_scripts()), n=1, cutoff=0.7)
    return _script_named(tail) or next(iter(near), None)
