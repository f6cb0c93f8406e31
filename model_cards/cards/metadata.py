"""The words that the Hub accepts in a card's metadata: language codes, licence ids, dataset ids.

The Hub checks them only on upload, so they are checked here, before anything is written. Languages become ISO 639-1
where there is such a code, else ISO 639-3: that is what the Hub's language filter searches. Our tags name individual
languages (`ekk`, `arb`, `cmn`); the two-letter codes belong to the macrolanguages (`et`, `ar`, `zh`), so a second table
leads from the individual language to the code that people search for.

Sources: the ISO 639-3 code tables of SIL (iso639-3.sil.org/code_tables), part 1 and macrolanguages; licences: the table
of huggingface.co/docs/hub/repositories-licenses.
"""

import difflib
import re
from collections.abc import Iterable

_DIRECT = (
    "aar:aa abk:ab afr:af aka:ak amh:am ara:ar arg:an asm:as ava:av ave:ae aym:ay aze:az bak:ba bam:bm bel:be ben:bn "
    "bis:bi bod:bo bos:bs bre:br bul:bg cat:ca ces:cs cha:ch che:ce chu:cu chv:cv cor:kw cos:co cre:cr cym:cy dan:da "
    "deu:de div:dv dzo:dz ell:el eng:en epo:eo est:et eus:eu ewe:ee fao:fo fas:fa fij:fj fin:fi fra:fr fry:fy ful:ff "
    "gla:gd gle:ga glg:gl glv:gv grn:gn guj:gu hat:ht hau:ha heb:he her:hz hin:hi hmo:ho hrv:hr hun:hu hye:hy ibo:ig "
    "ido:io iii:ii iku:iu ile:ie ina:ia ind:id ipk:ik isl:is ita:it jav:jv jpn:ja kal:kl kan:kn kas:ks kat:ka kau:kr "
    "kaz:kk khm:km kik:ki kin:rw kir:ky kom:kv kon:kg kor:ko kua:kj kur:ku lao:lo lat:la lav:lv lim:li lin:ln lit:lt "
    "ltz:lb lub:lu lug:lg mah:mh mal:ml mar:mr mkd:mk mlg:mg mlt:mt mon:mn mri:mi msa:ms mya:my nau:na nav:nv nbl:nr "
    "nde:nd ndo:ng nep:ne nld:nl nno:nn nob:nb nor:no nya:ny oci:oc oji:oj ori:or orm:om oss:os pan:pa pli:pi pol:pl "
    "por:pt pus:ps que:qu roh:rm ron:ro run:rn rus:ru sag:sg san:sa sin:si slk:sk slv:sl sme:se smo:sm sna:sn snd:sd "
    "som:so sot:st spa:es sqi:sq srd:sc srp:sr ssw:ss sun:su swa:sw swe:sv tah:ty tam:ta tat:tt tel:te tgk:tg tgl:tl "
    "tha:th tir:ti ton:to tsn:tn tso:ts tuk:tk tur:tr twi:tw uig:ug ukr:uk urd:ur uzb:uz ven:ve vie:vi vol:vo wln:wa "
    "wol:wo xho:xh yid:yi yor:yo zha:za zho:zh zul:zu"
)
# individual language -> the macrolanguage's two letters, only where the individual one is the standard form
_STANDARD_FORMS = (
    "als:sq arb:ar ayr:ay azj:az cmn:zh ekk:et gaz:om gug:gn khk:mn lvs:lv npi:ne ory:or pbt:ps pes:fa plt:mg swh:sw "
    "uzn:uz ydd:yi zsm:ms"
)
_TWO_LETTERS = dict(pair.split(":") for pair in f"{_DIRECT} {_STANDARD_FORMS}".split())

_LICENCES = frozenset(
    "afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0 "
    "bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 "
    "cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 "
    "cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 "
    "cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 "
    "gemma gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 "
    "lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail openrail++ osl-3.0 other pddl postgresql unknown "
    "unlicense wtfpl zlib".split()
)
_DATASET_URL = re.compile(r"https?://(?:huggingface\.co|hf\.co)/datasets/([\w.-]+/[\w.-]+|[\w.-]+)/?$")


def hub_codes(tags: Iterable[str]) -> list[str]:
    """Turn language tags into the codes that the Hub's metadata accept.

    Args:
        tags: Tags like `ekk_Latn`; `code` for programming source, which the Hub knows under the same name.

    Returns:
        Each code once, sorted, `code` last.

    Raises:
        ValueError: If a tag does not start with a three-letter ISO 639-3 code.
    """
    codes: set[str] = set()
    for tag in tags:
        language = tag.split("_")[0]
        if tag != "code" and not (
            len(language) == 3 and language.isascii() and language.isalpha() and language.islower()
        ):
            raise ValueError(f"language tag {tag!r} does not start with an ISO 639-3 code: write it like 'ekk_Latn'")
        codes.add(_TWO_LETTERS.get(language, language))
    return sorted(codes, key=lambda code: (code == "code", code))


def check_licence(licence: str) -> str:
    """Make sure that the Hub knows a licence id.

    Args:
        licence: Id like `apache-2.0`.

    Returns:
        The same id.

    Raises:
        ValueError: If the Hub does not know it; the message lists the nearest ids.
    """
    if licence not in _LICENCES:
        near = difflib.get_close_matches(licence.lower(), sorted(_LICENCES), n=3)
        raise ValueError(
            f"licence {licence!r} is no id of the Hub; {'near: ' + ', '.join(near) if near else 'use other'}"
        )
    return licence


def hub_datasets(urls: Iterable[str]) -> list[str]:
    """Pick the Hub dataset ids out of source addresses; other addresses are for the card's text only.

    Args:
        urls: Addresses of data sources.

    Returns:
        Each id once, sorted.
    """
    found = (_DATASET_URL.match(url) for url in urls)
    return sorted({match.group(1) for match in found if match})


def check_repo_id(repo_id: str, what: str = "base_model") -> str:
    """Refuse what the Hub takes for no id of a repository.

    Args:
        repo_id: Like owner/name.
        what: What it is called in a message.

    Returns:
        The id.

    Raises:
        ValueError: If it is none.
    """
    from huggingface_hub.utils import HFValidationError, validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError as refused:
        raise ValueError(f"{what} {repo_id!r} is no Hub id: write owner/name") from refused
    return repo_id
