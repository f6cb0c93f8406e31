"""Tables of a dataset on the Hub: a configuration per language, or one with a language column.

Files of rows only: `datasets` no longer runs scripts that come with a dataset, and neither does this. What was fetched
before is read offline too, from `datasets`' cache or from the Hub's (`hf download --repo-type dataset`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...common.messages import first_line, first_of
from ...languages.tags import known_codes, language_code, same_language
from .arrow import batch_rows, feature_names
from .base import Table
from .names import other_names

_LISTED = 12


def hub_tables(
    dataset: str,
    *,
    split: str | None = None,
    languages: Sequence[str] | None = None,
    configuration: str | None = None,
    revision: str | None = None,
) -> list[Table]:
    """Read a dataset of the Hub."""
    try:
        return _tables(dataset, dataset, split, languages, configuration, revision)
    except _ChoiceError:
        raise
    except Exception as error:  # datasets raises a dozen types for a set that is not there
        if (snapshot := _snapshot(dataset, revision)) is not None:
            return _tables(dataset, snapshot, split, languages, configuration, None)
        raise FileNotFoundError(
            f"{dataset} is no file here, and no readable dataset on the Hub ({first_line(error)}). "
            "Check the path or id, log in if it is gated, and unset HF_HUB_OFFLINE to go online."
        ) from None


def _tables(
    dataset: str,
    place: str,
    split: str | None,
    languages: Sequence[str] | None,
    configuration: str | None,
    revision: str | None,
) -> list[Table]:
    from datasets import get_dataset_config_names, get_dataset_split_names, load_dataset

    names = get_dataset_config_names(place, revision=revision)
    found = []
    for name, language in _configurations(dataset, names, languages, configuration):
        for one in _splits(dataset, get_dataset_split_names(place, name, revision=revision), split):
            loaded = load_dataset(place, name, split=one, revision=revision)
            found.append(_table(f"{dataset} ({name}, {one})", loaded, language, one))
    return found


def _snapshot(dataset: str, revision: str | None) -> str | None:
    """Return the folder of a dataset that `huggingface_hub` has fetched; None if there is none."""
    from huggingface_hub import snapshot_download

    try:
        return str(snapshot_download(dataset, repo_type="dataset", revision=revision, local_files_only=True))
    except (OSError, ValueError):
        return None


class _ChoiceError(ValueError):
    """The dataset was reached, but what was asked for is not in it."""


def _configurations(
    dataset: str, names: Sequence[str], languages: Sequence[str] | None, configuration: str | None
) -> list[tuple[str, str | None]]:
    """Choose configurations, each with the language it is named after."""
    if configuration is not None:
        if configuration not in names:
            raise _ChoiceError(
                f"{dataset} has no configuration {configuration!r}; there are {first_of(names, _LISTED)}."
            )
        return [(configuration, None)]
    if len(names) == 1:
        return [(names[0], None)]
    tags = {name: name for name in names if language_code(name.partition("_")[0].lower()) in known_codes()}
    if not tags:
        raise _ChoiceError(f"{dataset} has {len(names)} configurations; choose one of {first_of(names, _LISTED)}.")
    if languages is None:
        return list(tags.items())
    chosen: list[tuple[str, str | None]] = []
    for language in languages:
        fits = [name for name in tags if same_language(name, language)]
        if not fits:
            raise _ChoiceError(f"{dataset} has no language {language!r}; there are {first_of(sorted(tags), _LISTED)}.")
        chosen.append((fits[0], language))
    return chosen


def _splits(dataset: str, there: Sequence[str], wanted: str | None) -> list[str]:
    if wanted is None:
        return list(there)
    for name in other_names(wanted):
        if name in there:
            return [name]
    raise _ChoiceError(f"{dataset} has no split {wanted!r}; there are {', '.join(there)}.")


def _table(place: str, loaded: Any, language: str | None, split: str) -> Table:
    def rows(columns: Sequence[str] | None) -> Any:
        return batch_rows(loaded.with_format("arrow").iter(1024))

    return Table(place, rows, language, split, names=feature_names(loaded.features), header=loaded.column_names)
