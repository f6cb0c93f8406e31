"""The words that the Hub accepts in a card's metadata: language codes, licence ids, dataset ids.

The Hub checks them only on upload, so they are checked here, before anything is written. Languages become ISO 639-1
where there is such a code, else ISO 639-3: that is what the Hub's language filter searches. Our tags name individual
languages (`ekk`, `arb`, `cmn`); people search for the two letters of the macrolanguages (`et`, `ar`, `zh`). A code that
ISO has retired is written as what stands in its place today.

Licences: the table of huggingface.co/docs/hub/repositories-licenses.
"""

import re
from collections.abc import Iterable

from ...common.messages import did_you_mean
from ...languages.tags import CODE, iso_codes

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
    """Turn language tags into the Hub's codes, each once, sorted, `code` last; none for what ISO 639 does not know."""
    codes: set[str] = set()
    for tag in tags:
        language = re.split("[_-]", tag)[0]
        if tag != CODE and not re.fullmatch(r"[a-z]{2,3}", language):
            raise ValueError(f"language tag {tag!r} does not start with an ISO 639-3 code: write it like 'ekk_Latn'")
        codes.update([CODE] if tag == CODE else iso_codes(language))
    return sorted(codes, key=lambda code: (code == CODE, code))


def check_licence(licence: str) -> str:
    """Make sure that the Hub knows a licence id."""
    if licence not in _LICENCES:
        raise ValueError(f"licence {licence!r} is no id of the Hub; {did_you_mean(licence, sorted(_LICENCES))}")
    return licence


def hub_datasets(urls: Iterable[str]) -> list[str]:
    """Pick the Hub dataset ids out of source addresses; other addresses are for the card's text only."""
    found = (_DATASET_URL.match(url) for url in urls)
    return sorted({match.group(1) for match in found if match})


def check_repo_id(repo_id: str, what: str = "base_model") -> str:
    """Refuse what the Hub takes for no id of a repository."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError as refused:
        raise ValueError(f"{what} {repo_id!r} is no Hub id: write owner/name") from refused
    return repo_id
