"""The split that names of files and folders say; for the language see `languages.tag_in_name`."""

from __future__ import annotations

import re

SPLITS = {"dev": ("validation", "valid", "val"), "validation": ("dev", "valid", "val")}  # names of one and the same
_SPLIT_WORDS = ("train", "test", "dev", "validation", "valid", "val", "training", "testing")
_CANONICAL = {"training": "train", "testing": "test"}


def split_of(name: str) -> str | None:
    """Return the split that a path names, train, test, dev, validation, valid or val; None if it names none."""
    words = re.split(r"[^a-z]+", name.lower())
    found = next((word for word in words if word in _SPLIT_WORDS), None)
    return _CANONICAL.get(found, found) if found else None


def other_names(split: str) -> tuple[str, ...]:
    """Return a split's name and the others that mean the same."""
    return (split, *SPLITS.get(split, ()))
