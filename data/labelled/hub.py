"""Labelled rows of a dataset on the Hub: a configuration per language, or one with a language column.

Files of rows only: `datasets` no longer runs scripts that come with a dataset, and neither does this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...languages.tags import known_codes, language_code
from .files import SPLITS, Part

_LISTED = 12


def read_hub(
    dataset: str,
    *,
    split: str | None,
    languages: Sequence[str] | None,
    configuration: str | None = None,
    revision: str | None = None,
) -> list[Part]:
    """Read a dataset of the Hub.

    Args:
        dataset: Its id, `owner/name`.
        split: Which split; None: all of them.
        languages: Where configurations are named after languages ("swh_Latn", "sw"), only these are fetched.
        configuration: Name of one configuration ("cola"); None: the only one, or those of the languages.
        revision: A commit, branch or tag.

    Returns:
        A part a configuration and split.

    Raises:
        FileNotFoundError: If there is no such dataset, or it cannot be reached.
        ValueError: If there are several configurations that are no languages, or a split or language is missing.
    """
    from datasets import get_dataset_config_names, get_dataset_split_names, load_dataset

    try:
        names = get_dataset_config_names(dataset, revision=revision)
        chosen = _configurations(dataset, names, languages, configuration)
        parts = []
        for name, language in chosen:
            splits = get_dataset_split_names(dataset, name, revision=revision)
            for one in _splits(dataset, splits, split):
                loaded = load_dataset(dataset, name, split=one, revision=revision)
                parts.append(_part(f"{dataset} ({name}, {one})", loaded, language))
    except _ChoiceError:
        raise
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"{dataset} is no file here, and no readable dataset on the Hub ({str(error).strip().splitlines()[0]}). "
            "Check the path or id, log in if it is gated, and unset HF_HUB_OFFLINE to go online."
        ) from None
    return parts


class _ChoiceError(ValueError):
    """The dataset was reached, but what was asked for is not in it."""


def _configurations(
    dataset: str, names: Sequence[str], languages: Sequence[str] | None, configuration: str | None
) -> list[tuple[str, str | None]]:
    """Choose configurations, each with the language it is named after."""
    if configuration is not None:
        if configuration not in names:
            raise _ChoiceError(f"{dataset} has no configuration {configuration!r}; there are {_some(names)}.")
        return [(configuration, None)]
    if len(names) == 1:
        return [(names[0], None)]
    tags = {name: name for name in names if language_code(name.partition("_")[0].lower()) in known_codes()}
    if not tags:
        raise _ChoiceError(f"{dataset} has {len(names)} configurations; choose one of {_some(names)}.")
    if languages is None:
        return list(tags.items())
    chosen: list[tuple[str, str | None]] = []
    for language in languages:
        fits = [name for name in tags if same_language(name, language)]
        if not fits:
            raise _ChoiceError(f"{dataset} has no language {language!r}; there are {_some(sorted(tags))}.")
        chosen.append((fits[0], language))
    return chosen


def _splits(dataset: str, there: Sequence[str], wanted: str | None) -> list[str]:
    if wanted is None:
        return list(there)
    for name in (wanted, *SPLITS.get(wanted, ())):
        if name in there:
            return [name]
    raise _ChoiceError(f"{dataset} has no split {wanted!r}; there are {', '.join(there)}.")


def _part(place: str, loaded: Any, language: str | None) -> Part:
    names = {}
    for column, feature in loaded.features.items():
        inner = getattr(feature, "feature", feature)  # of a list
        if getattr(inner, "names", None):
            names[column] = list(inner.names)
    return Part(place, loaded.to_dict(), language, names)


def same_language(one: str, other: str) -> bool:
    """Tell whether two tags mean one language: equal, or of one code where a tag names no script ("sw", "swh_Latn").

    Args:
        one: A tag.
        other: A tag.

    Returns:
        True or False.
    """
    if one == other:
        return True
    (code, _, script), (other_code, _, other_script) = one.partition("_"), other.partition("_")
    same = language_code(code.lower()) == language_code(other_code.lower())
    return same and (not script or not other_script)


def is_among(tag: str, languages: Iterable[str]) -> bool:
    """Tell whether a language is one of several, whichever way sources write it ("en", "eng_Latn").

    Args:
        tag: The language.
        languages: The others.

    Returns:
        True or False.
    """
    return any(same_language(tag, one) for one in languages)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
