"""Languages: `tags` and the 1,833 that mmBERT read, `scripts` of characters, the sampling `mixture`."""

from ..common.lazy import lazy_exports

_HOMES = {
    "LanguageMixture": "mixture",
    "character_script": "scripts",
    "check_languages": "tags",
    "entry_phase": "tags",
    "is_language_tag": "tags",
    "known_codes": "tags",
    "language_code": "tags",
    "near_matches": "tags",
    "published_token_counts": "tags",
    "script_of": "scripts",
    "tag_of_locale": "scripts",
    "unknown_tag_message": "tags",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)
