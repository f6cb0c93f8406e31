"""What the names of files and folders say: the split, and the language."""

from __future__ import annotations

import re

from ...languages.tags import tag_in_name
from .files import COMPRESSED, KINDS

SPLITS = {"dev": ("validation", "valid", "val"), "validation": ("dev", "valid", "val")}  # names of one and the same
_SPLIT_WORDS = ("train", "test", "dev", "validation", "valid", "val", "training", "testing")
_SUFFIX_WORDS = ("", *(suffix[1:] for suffix in (*KINDS, *COMPRESSED)))
_CANONICAL = {"training": "train", "testing": "test"}


def split_of(name: str) -> str | None:
    """Return the split that a path names, train, test, dev, validation, valid or val; None if it names none."""
    words = re.split(r"[^a-z]+", name.lower())
    found = next((word for word in words if word in _SPLIT_WORDS), None)
    return _CANONICAL.get(found, found) if found else None


def other_names(split: str) -> tuple[str, ...]:
    """Return a split's name and the others that mean the same."""
    return (split, *SPLITS.get(split, ()))


def language_of(name: str) -> str | None:
    """The tag a path names: a whole tag anywhere ("swh_Latn_train.tsv"), a bare code only as all that a name says."""
    if re.search(r"(?<![A-Za-z])[a-z]{2,3}[_-][A-Z][a-z]{3}(?![A-Za-z])", name):
        return tag_in_name(name)
    last = name.rpartition("/")[2]
    for piece in reversed(name.split("/")):
        words = [word for word in re.split(r"[._-]", piece) if word.lower() not in (*_SPLIT_WORDS, *_SUFFIX_WORDS)]
        words = [word for word in words if not word.isdigit()]
        if len(words) == 1 or (len(words) == 2 and re.fullmatch(r"[A-Z]{2}", words[1])):
            if (found := tag_in_name("-".join(words) + ("/-" if piece != last else ""))) is not None:
                return found
    return None
