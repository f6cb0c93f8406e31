"""What a run reads: one corpus of the user's, or the published data sets that the plan lists.

A data set is named, not fetched: a recipe can be checked and shown on a machine that has none of the data.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from .phase import ALL_LANGUAGES, Phase, tags_in_use
from .quantity import RecipeError, count

Format = Literal["text", "mds"]
_KEYS_OF_LISTS = ("phases", "languages")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """One data set of a recipe.

    Attributes:
        id: Id on the Hugging Face Hub (owner/name), or a path.
        phases: Phases and variants that read it.
        licence: Licence id as the Hub states it, or `not stated`.
        part: Folder or configuration of the data set, where only that one is read; empty for all of it.
        languages: Tags it holds, or the single entry `all` for those of the phase.
        format: `text`, or `mds` for token ids in MosaicML's shards.
        tokens: Published tokens by phase; a phase without a published figure is left out.
        note: What a user should know before fetching it.
    """

    id: str
    phases: tuple[str, ...]
    licence: str
    part: str = ""
    languages: tuple[str, ...] = (ALL_LANGUAGES,)
    format: Format = "text"
    tokens: Mapping[str, int] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        for key in ("id", "phases", "licence", "languages"):
            if not getattr(self, key):
                raise RecipeError(key, "is empty; write for example `id: HuggingFaceFW/fineweb-2`, `licence: odc-by`.")
        if self.format not in get_args(Format):
            raise RecipeError("format", f"must be one of {', '.join(get_args(Format))}, got {self.format!r}.")
        strangers = sorted(set(self.tokens) - set(self.phases))
        if strangers:
            raise RecipeError(
                f"tokens.{strangers[0]}", f"is none of its phases {', '.join(self.phases)}; add it there."
            )

    @property
    def reads_all(self) -> bool:
        """Whether it holds every language of its phases."""
        return self.languages == (ALL_LANGUAGES,)

    def to_dict(self) -> dict[str, Any]:
        """Return the source as plain JSON-able values."""
        lists = {key: list(getattr(self, key)) for key in _KEYS_OF_LISTS}
        return {**asdict(self), **lists, "tokens": dict(self.tokens)}


def read_source(key: str, entry: Any, phases: Mapping[str, Phase]) -> DataSource:
    """Build a source from a YAML mapping."""
    if not isinstance(entry, Mapping):
        raise RecipeError(key, f"must be a mapping with id, phases and licence, got {entry!r}.")
    known = DataSource.__dataclass_fields__
    unknown = sorted(set(entry) - set(known))
    if unknown:
        raise RecipeError(f"{key}.{unknown[0]}", f"unknown key; a source knows {', '.join(known)}.")
    missing = [name for name in ("id", "phases", "licence") if name not in entry]
    if missing:
        raise RecipeError(f"{key}.{missing[0]}", "missing key; a source has at least id, phases and licence.")
    values: dict[str, Any] = {
        name: value if name in (*_KEYS_OF_LISTS, "tokens") else str(value or "") for name, value in entry.items()
    }
    for name in _KEYS_OF_LISTS:
        if name in values:
            read = _read_list(f"{key}.{name}", values[name])
            values[name] = read if name != "languages" or read == (ALL_LANGUAGES,) else tags_in_use(read)
    values["tokens"] = _read_tokens(f"{key}.tokens", values.get("tokens"))
    try:
        source = DataSource(**values)
    except RecipeError as error:
        raise RecipeError(f"{key}.{error.key}", error.message) from None
    _check_phases(key, source, phases)
    return source


def _read_list(key: str, value: Any) -> tuple[str, ...]:
    if value == ALL_LANGUAGES:
        return (ALL_LANGUAGES,)
    if not isinstance(value, list):
        raise RecipeError(key, f"must be a list, got {value!r}; write it in brackets.")
    for item in value:
        if not isinstance(item, str):  # YAML reads no, yes, on and off as truth values
            raise RecipeError(key, f"holds {item!r}, which is no name; write it in quotes, or a tag such as nob_Latn.")
    return tuple(value)


def _read_tokens(key: str, value: Any) -> dict[str, int]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RecipeError(key, f"must map phases to tokens, got {value!r}; write `pretrain: 600B`.")
    return {str(name): count(f"{key}.{name}", tokens) for name, tokens in value.items()}


def _check_phases(key: str, source: DataSource, phases: Mapping[str, Phase]) -> None:
    for name in source.phases:
        if name not in phases:
            raise RecipeError(
                f"{key}.phases", f"names {name!r}, which is no phase or variant; {', '.join(phases)} are."
            )
    readers = [phases[name] for name in source.phases]
    if not source.reads_all and not any(phase.reads_all for phase in readers):
        read = {language for phase in readers for language in phase.languages}
        lost = sorted(set(source.languages) - read)
        if lost:
            raise RecipeError(f"{key}.languages", f"names {lost[0]}, which none of its phases reads; remove it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlan:
    """What the run reads.

    Attributes:
        corpus: `catalogues` (the translated messages of installed packages), a file, a folder, or a Hub dataset id.
        tokenizer: A tokenizer's directory, file or Hub id; None trains one of `vocabulary_size` on the corpus.
        vocabulary_size: Size of the trained vocabulary.
        sources: Data sets to fetch, each with its id, licence and published tokens.
        options: Further arguments of `mmbert.data.open_corpus`, such as `language_column`.
    """

    corpus: str | None = None
    tokenizer: str | None = None
    vocabulary_size: int = 32_768
    sources: tuple[DataSource, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON-able values; a plan without sources looks as it did before there were any."""
        values: dict[str, Any] = {
            "corpus": self.corpus,
            "tokenizer": self.tokenizer,
            "vocabulary_size": self.vocabulary_size,
            "options": dict(self.options),
        }
        if self.sources:
            values["sources"] = [source.to_dict() for source in self.sources]
        return values


def read_data(section: Mapping[str, Any], phases: Mapping[str, Phase]) -> DataPlan:
    """Build the plan from the `data` section of a YAML file."""
    values = dict(section)
    options = {key: values.pop(key) for key in list(values) if key not in DataPlan.__dataclass_fields__}
    if "vocabulary_size" in values:
        values["vocabulary_size"] = count("data.vocabulary_size", values["vocabulary_size"])
    sources = values.pop("sources", None) or []
    if not isinstance(sources, list):
        raise RecipeError("data.sources", f"must be a list, got {sources!r}; see recipes/mmbert-base.yaml.")
    read = tuple(read_source(f"data.sources[{index}]", entry, phases) for index, entry in enumerate(sources))
    return DataPlan(**values, sources=read, options=options)
