"""Languages: `tags` and the 1,833 that mmBERT read, `scripts` of characters, the sampling `mixture`."""

from ..common.lazy import lazy_exports

_HOMES = {
    "LanguageFacts": "fertility",
    "LanguageMixture": "mixture",
    "canonical_names": "tags",
    "canonical_tag": "tags",
    "character_script": "scripts",
    "check_languages": "tags",
    "choose_tags": "tags",
    "entry_phase": "tags",
    "is_among": "tags",
    "is_language_tag": "tags",
    "is_tag": "tags",
    "is_unspaced": "scripts",
    "is_written_in": "scripts",
    "iso_codes": "tags",
    "known_codes": "counts",
    "known_scripts": "counts",
    "known_tag": "tags",
    "cut_texts": "fertility",
    "language_code": "tags",
    "language_name": "tags",
    "length_report": "fertility",
    "measure_texts": "fertility",
    "near_matches": "tags",
    "note_tags": "tags",
    "published_token_counts": "counts",
    "questions_about": "tags",
    "reading_facts": "fertility",
    "same_language": "tags",
    "script_of": "scripts",
    "scripts_of_tags": "scripts",
    "shipped_facts": "fertility",
    "tag_in_name": "tags",
    "tag_of_locale": "tags",
    "unknown_tag_message": "tags",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)
