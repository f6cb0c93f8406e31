"""Language tags: `iso639-3_Script`, in mmBERT's own code convention, and the published token counts behind them.

language_counts.csv is a copy of statistics/language_counts.csv of JHU-CLSP/mmBERT (commit 108ffb3): tokens by ISO 639-3
code and phase for 1,833 languages and `code`. It decides which codes are known; other languages are named by the user
(`extra_languages`), so that a typing error never becomes a language of its own.

mmBERT uses individual codes where ISO 639 also has a macrolanguage: arb, cmn, swh, zsm, not ara, zho, swa, msa. Where
it has none of its own (Hausa, Pali) the plain ISO code stands.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Collection, Iterable
from functools import cache
from importlib.resources import files

CODE = "code"  # the tag of programming source
PHASES = ("pretrain", "ext", "decay-eng", "decay-mid", "decay-all")  # columns of language_counts.csv, in training order

_NEAR_MATCHES = 3

# ISO 639 macrolanguages and synonyms -> the code of mmBERT's statistics.
_MACROLANGUAGES = """
aka:twi ara:arb aym:ayr aze:azj est:ekk ful:fuv grn:gug hbs:srp hmn:mww iku:ike kok:gom kom:kpv kur:kmr lav:lvs mlg:plt
mol:ron mon:khk msa:zsm nep:npi nor:nob orm:gaz ori:ory pes:fas pus:pbt que:quy sqi:als swa:swh tgl:fil uzb:uzn
yid:ydd zho:cmn
"""

# ISO 639-1 (two letters, as gettext locales use them) -> the code of mmBERT's statistics.
_TWO_LETTERS = """
aa:aar ab:abk ae:ave af:afr ak:twi am:amh an:arg ar:arb as:asm av:ava ay:ayr az:azj ba:bak be:bel bg:bul bi:bis bm:bam
bn:ben bo:bod br:bre bs:bos ca:cat ce:che ch:cha co:cos cr:cre cs:ces cu:chu cv:chv cy:cym da:dan de:deu dv:div dz:dzo
ee:ewe el:ell en:eng eo:epo es:spa et:ekk eu:eus fa:fas ff:fuv fi:fin fj:fij fo:fao fr:fra fy:fry ga:gle gd:gla gl:glg
gn:gug gu:guj gv:glv ha:hau he:heb hi:hin ho:hmo hr:hrv ht:hat hu:hun hy:hye hz:her ia:ina id:ind ie:ile ig:ibo ii:iii
ik:ipk in:ind io:ido is:isl it:ita iu:ike iw:heb ja:jpn ji:ydd jv:jav jw:jav ka:kat kg:kon ki:kik kj:kua kk:kaz kl:kal
km:khm kn:kan ko:kor kr:kau ks:kas ku:kmr kv:kpv kw:cor ky:kir la:lat lb:ltz lg:lug li:lim ln:lin lo:lao lt:lit lu:lub
lv:lvs mg:plt mh:mah mi:mri mk:mkd ml:mal mn:khk mo:ron mr:mar ms:zsm mt:mlt my:mya na:nau nb:nob nd:nde ne:npi ng:ndo
nl:nld nn:nno no:nob nr:nbl nv:nav ny:nya oc:oci oj:oji om:gaz or:ory os:oss pa:pan pi:pli pl:pol ps:pbt pt:por qu:quy
rm:roh rn:run ro:ron ru:rus rw:kin sa:san sc:srd sd:snd se:sme sg:sag sh:srp si:sin sk:slk sl:slv sm:smo sn:sna so:som
sq:als sr:srp ss:ssw st:sot su:sun sv:swe sw:swh ta:tam te:tel tg:tgk th:tha ti:tir tk:tuk tl:fil tn:tsn to:ton tr:tur
ts:tso tt:tat tw:twi ty:tah ug:uig uk:ukr ur:urd uz:uzn ve:ven vi:vie vo:vol wa:wln wo:wol xh:xho yi:ydd yo:yor za:zha
zh:cmn zu:zul
"""

# ISO 15924, the codes of writing systems.
_SCRIPTS = frozenset(
    """
Adlm Afak Aghb Ahom Arab Aran Armi Armn Avst Bali Bamu Bass Batk Beng Berf Bhks Blis Bopo Brah Brai Bugi Buhd Cakm
Cans Cari Cham Cher Chis Chrs Cirt Copt Cpmn Cprt Cyrl Cyrs Deva Diak Dogr Dsrt Dupl Egyd Egyh Egyp Elba Elym Ethi
Gara Geok Geor Glag Gong Gonm Goth Gran Grek Gujr Gukh Guru Hanb Hang Hani Hano Hans Hant Hatr Hebr Hira Hluw Hmng
Hmnp Hntl Hrkt Hung Inds Ital Jamo Java Jpan Jurc Kali Kana Kawi Khar Khmr Khoj Kitl Kits Knda Kore Kpel Krai Kthi
Lana Laoo Latf Latg Latn Leke Lepc Limb Lina Linb Lisu Loma Lyci Lydi Mahj Maka Mand Mani Marc Maya Medf Mend Merc
Mero Mlym Modi Mong Moon Mroo Mtei Mult Mymr Nagm Nand Narb Nbat Newa Nkdb Nkgb Nkoo Nshu Ogam Olck Onao Orkh Orya
Osge Osma Ougr Palm Pauc Pcun Pelm Perm Phag Phli Phlp Phlv Phnx Piqd Plrd Prti Psin Ranj Rjng Rohg Roro Runr Samr
Sara Sarb Saur Seal Sgnw Shaw Shrd Shui Sidd Sidt Sind Sinh Sogd Sogo Sora Soyo Sund Sunu Sylo Syrc Syre Syrj Syrn
Tagb Takr Tale Talu Taml Tang Tavt Tayo Telu Teng Tfng Tglg Thaa Thai Tibt Tirh Tnsa Todr Tols Toto Tutg Ugar Vaii
Visp Vith Wara Wcho Wole Xpeo Xsux Yezi Yiii Zanb
""".split()
)


@cache
def published_token_counts(phase: str = "pretrain") -> dict[str, int]:
    """Tokens per language that mmBERT's authors published for one training phase.

    Args:
        phase: "pretrain" (60 languages), "ext" (109), "decay-eng", "decay-mid" (the same 109) or "decay-all" (1,833).

    Returns:
        ISO 639-3 code, or "code", to tokens; only those with any in this phase.

    Raises:
        ValueError: The phase is none of the five.
    """
    if phase not in PHASES:
        raise ValueError(f"no token counts for phase {phase!r}; the published phases are {', '.join(PHASES)}.")
    lines = (files(__package__) / "language_counts.csv").read_text(encoding="utf-8").splitlines()
    counts = {row["language"]: int(row[phase]) for row in csv.DictReader(lines)}
    return {code: tokens for code, tokens in counts.items() if tokens > 0}


@cache
def known_codes() -> frozenset[str]:
    """The 1,833 language codes of mmBERT's statistics, without `code`."""
    return frozenset(code for phase in PHASES for code in published_token_counts(phase)) - {CODE}


def entry_phase(tag: str) -> int | None:
    """Says in which of mmBERT's phases a language enters.

    Args:
        tag: A language tag, or a bare ISO 639 code of three letters or two.

    Returns:
        1 (pre-training), 2 (mid-training), 3 (decay), or None for a language that mmBERT never saw.
    """
    code = language_code(tag.partition("_")[0])
    for number, phase in enumerate(("pretrain", "ext", "decay-all"), start=1):
        if code in published_token_counts(phase):
            return number
    return None


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
    return script in _SCRIPTS and (code in known_codes() or code in extra_languages)


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
    near = near_matches(tag)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return (
        f"language tag {tag!r} is not known: a tag is `code` or iso639-3_Script (eng_Latn) with one of the 1,833 codes"
        f" of mmBERT's statistics.{hint} For another language pass extra_languages=[{tag!r}]."
    )


def near_matches(tag: str) -> list[str]:
    """Known tags that resemble an unknown one: its macrolanguage's code in mmBERT's convention, then by spelling.

    Args:
        tag: The unknown tag, or a locale such as "pt-BR".

    Returns:
        At most three tags; the script is the given one, or left as `Ssss` when none was given.
    """
    head, _, tail = tag.replace("-", "_").replace("@", "_").partition("_")
    script = tail.title() if re.fullmatch(r"[A-Za-z]{4}", tail) else "Ssss"
    if script != "Ssss" and script not in _SCRIPTS:
        script = next(iter(difflib.get_close_matches(script, sorted(_SCRIPTS), n=1)), "Ssss")
    code = head.lower()
    if code == CODE:
        return [CODE]
    direct = [language_code(code)] if language_code(code) in known_codes() else []
    close = difflib.get_close_matches(code, sorted(known_codes()), n=_NEAR_MATCHES, cutoff=0.6)
    return [f"{found}_{script}" for found in dict.fromkeys(direct + close)][:_NEAR_MATCHES]


def language_code(code: str) -> str:
    """Brings an ISO 639 code into mmBERT's convention: two letters or a macrolanguage to the individual code.

    Args:
        code: "zh", "zho" or "cmn"; anything else comes back as it is.

    Returns:
        Three letters, "cmn".
    """
    return _code_table().get(code, code)


@cache
def _code_table() -> dict[str, str]:
    return dict(entry.split(":") for entry in (_TWO_LETTERS + _MACROLANGUAGES).split())
