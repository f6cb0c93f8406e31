"""A corpus on the Hugging Face Hub, streamed by `datasets`: nothing is stored but what passes by.

Three shapes are told apart, in this order: a configuration per language (FineWeb2's `swh_Latn`), a language column,
and, for the languages that were asked for, a folder per language. A dataset folder on disk works the same way, offline.

Every pass streams the whole dataset, both splits together; write token shards once instead of reading twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...common.messages import first_line
from ...languages.tags import canonical_tag, choose_tags, is_language_tag
from .base import Source
from .rows import ReadOptions, Row, RowCorpus


class HubCorpus(RowCorpus):
    """Documents of a Hub dataset, or of a dataset folder."""

    def __init__(
        self, dataset: str, options: ReadOptions, *, revision: str | None = None, split: str = "train"
    ) -> None:
        self.dataset, self.revision, self.split = dataset, revision, split
        try:
            parts, source = self._explore(options)
        except _LayoutError:
            raise
        except (OSError, ValueError) as error:
            raise FileNotFoundError(
                f"{dataset} is no file here, and no readable dataset on the Hub ({first_line(error)})."
                " Check the id, log in if it is gated, and unset HF_HUB_OFFLINE to go online."
            ) from None
        super().__init__(options, source)
        self._parts = parts
        if all(tag is not None for tag in parts):
            self._languages = sorted(tag for tag in parts if tag is not None)

    def rows(self) -> Iterator[Row]:
        """Yields the rows of all configurations in the order of their languages."""
        for tag in self.parts:
            yield from self.part_rows(tag)

    @property
    def parts(self) -> list[str | None]:
        """What is streamed one after the other: the tag of each, or None where a column says the language."""
        return list(self._parts)

    def part_rows(self, tag: str | None, index: int = 0, count: int = 1) -> Iterator[Row]:
        """Yields the rows of one part, or of shard `index` of `count`, in order."""
        where = f"{self.dataset} ({tag})" if tag else self.dataset
        where += f", shard {index + 1} of {count}" if count > 1 else ""
        number = 0
        try:
            stream = self._stream(self._parts[tag])
            for record in stream.shard(num_shards=count, index=index) if count > 1 else stream:
                number += 1
                yield self._row(f"{where}, row {number}", tag, record)
        except (OSError, ValueError) as error:
            place = f"{where}, after row {number}"
            yield Row(place, tag, None, problem="unreadable file", detail=first_line(error))

    def shards(self, tag: str | None) -> int:
        """Return into how many shards a part can be divided, usually its number of files."""
        return max(1, int(self._stream(self._parts[tag]).num_shards))

    def data_files(self, tag: str | None) -> list[str]:
        """Return the files of a part; those on the Hub carry the commit in their names."""
        from datasets import load_dataset_builder

        found = load_dataset_builder(self.dataset, revision=self.revision, **self._parts[tag]).config.data_files
        return [str(name) for name in (found or {}).get(self.split, [])]

    def _row(self, place: str, tag: str | None, record: dict[str, Any]) -> Row:
        options = self.options
        if options.text_column not in record:
            detail = f"no column {options.text_column!r}; there are {', '.join(map(repr, record))}"
            return Row(place, tag, None, problem="no text", detail=detail)
        key = record.get(options.key_column) if options.key_column else None
        return Row(place, tag or record.get(options.language_column), record[options.text_column], key)

    def _stream(self, arguments: dict[str, str]) -> Any:
        from datasets import load_dataset

        return load_dataset(self.dataset, split=self.split, streaming=True, revision=self.revision, **arguments)

    def _explore(self, options: ReadOptions) -> tuple[dict[str | None, dict[str, str]], Source]:
        """Finds how languages are told apart: tag (None: by a column) to the arguments of `load_dataset`."""
        from datasets import get_dataset_config_names, load_dataset_builder

        configurations = get_dataset_config_names(self.dataset, revision=self.revision)
        parts: dict[str | None, dict[str, str]] = {
            name: {"name": name} for name in sorted(configurations) if is_language_tag(name, options.extra_languages)
        }
        if parts and options.languages is not None:
            try:
                chosen = choose_tags(
                    options.languages,
                    [tag for tag in parts if tag is not None],
                    self.dataset,
                    "has no configuration '{}'",
                )
            except ValueError as error:
                raise _LayoutError(str(error)) from None
            parts = {tag: parts[tag] for tag in sorted(chosen)}
        elif not parts:
            parts = self._column_or_folders(options)
        first = next(iter(parts.values()))
        info = load_dataset_builder(self.dataset, revision=self.revision, **first).info
        licence = info.license or _card_licence(self.dataset, self.revision)
        folder = Path(self.dataset)
        if folder.is_dir():
            return parts, Source(folder.resolve().name, "local files", licence, info.homepage or "")
        url = info.homepage or f"https://huggingface.co/datasets/{self.dataset}"
        return parts, Source(self.dataset, self.revision or "newest revision", licence, url)

    def _column_or_folders(self, options: ReadOptions) -> dict[str | None, dict[str, str]]:
        if options.language is not None:
            return {options.language: {}}
        first: dict[str, Any] = next(iter(self._stream({})), {})
        if options.language_column in first:
            return {None: {}}
        if options.languages is not None:
            tags = [canonical_tag(name) or name for name in options.languages]
            return {tag: {"data_dir": tag} for tag in sorted(tags)}
        raise _LayoutError(
            f"{self.dataset} has neither a configuration per language nor a column {options.language_column!r}"
            f" (there are {', '.join(map(repr, first))}); pass language_column, or languages=[...] for folders."
        )


class _LayoutError(ValueError):
    """The dataset was reached, but does not say its languages."""


def _card_licence(dataset: str, revision: str | None) -> str:
    """The licence in the head of the dataset's README.md, or "not stated"."""
    from huggingface_hub import DatasetCard, hf_hub_download

    try:
        path = Path(dataset) / "README.md"
        if not Path(dataset).is_dir():
            path = Path(hf_hub_download(dataset, "README.md", repo_type="dataset", revision=revision))
        licence = DatasetCard.load(path).data.get("license")
    except (OSError, ValueError):
        return "not stated"
    return " AND ".join(licence) if isinstance(licence, list) else str(licence or "not stated")
