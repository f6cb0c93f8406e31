"""What a run reads: one corpus of the user's, or the published data sets that the plan lists."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .data_source import DataSource, read_source
from .phase import Phase
from .quantity import RecipeError, count


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
    """Build the plan from the `data` section of a YAML file.

    Args:
        section: The section; keys that are no field become options of the corpus.
        phases: Phases and variants by name, which sources refer to.

    Returns:
        The checked plan.

    Raises:
        RecipeError: If an entry is wrong.
    """
    values = dict(section)
    options = {key: values.pop(key) for key in list(values) if key not in DataPlan.__dataclass_fields__}
    if "vocabulary_size" in values:
        values["vocabulary_size"] = count("data.vocabulary_size", values["vocabulary_size"])
    sources = values.pop("sources", None) or []
    if not isinstance(sources, list):
        raise RecipeError("data.sources", f"must be a list, got {sources!r}; see recipes/mmbert-base.yaml.")
    read = tuple(read_source(f"data.sources[{index}]", entry, phases) for index, entry in enumerate(sources))
    return DataPlan(**values, sources=read, options=options)
