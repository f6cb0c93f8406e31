"""One phase of training: which languages, how hard the task, how long the text, how many tokens.

mmBERT has three (arXiv 2509.06888 section 3): 60 languages, temperature 0.7, masking 30 %, context 1,024, theta 10,000;
then 110, 0.5, 15 %, 8,192, 160,000; then 1,833, 0.3, 5 %. Everything changes at a phase boundary and nothing
inside a phase, except the learning rate.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from ..languages.tags import canonical_tag, note_tags
from .batch_schedule import BatchSchedule
from .quantity import RecipeError, count, number, word

Decay = Literal["none", "linear", "1-sqrt"]
ALL_LANGUAGES = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase. Every field is checked; a wrong one raises `RecipeError` (a ValueError) naming it.

    Attributes:
        name: Unique in its recipe, a file name: `pretrain`, `midtrain`, `decay-all`.
        languages: Tags `iso639-3_Script` plus `code`, or the single entry `all` for every language of the corpus.
        temperature: Exponent of the sampling distribution p ~ n**temperature; 1 keeps the corpus, 0 is uniform.
        masking_ratio: Share of tokens to predict, strictly between 0 and 1.
        context_length: Longest sequence, in tokens with its two specials.
        rope_theta: Base of the rotary embedding, global and local layers alike.
        tokens: Length of the phase in tokens.
        batch_rows: Rows of `context_length` tokens that make one optimizer step.
        batch_warmup_rows: Rows of the phase's first step, from where the batch grows to `batch_rows`; 0: it does not.
        batch_warmup_tokens: Tokens to read while the batch grows.
        learning_rate: Peak learning rate.
        warmup_tokens: Linear warm-up from zero at the start of the phase.
        decay: Shape of the learning rate over the rest of the phase.
        final_learning_rate_ratio: Where a decay ends, as a share of the peak (0.02: Y:mmBERT-base-decay alpha_f).
        shares: Languages outside temperature sampling with their fixed share of tokens. In mmBERT only the FineWeb2
            languages are sampled by temperature; English and code come from sources of their own.
        max_epochs: How often the phase may read the text of a language that is sampled by temperature; what exceeds it
            goes to the others; 0 is no limit. The authors avoid more than about 5 (arXiv 2509.06888 section 3).
    """

    name: str
    languages: tuple[str, ...]
    temperature: float
    masking_ratio: float
    context_length: int
    rope_theta: float
    tokens: int
    batch_rows: int
    learning_rate: float
    warmup_tokens: int = 0
    decay: Decay = "none"
    final_learning_rate_ratio: float = 0.02
    shares: Mapping[str, float] = field(default_factory=dict)
    batch_warmup_rows: int = 0
    batch_warmup_tokens: int = 0
    max_epochs: float = 0.0

    def __post_init__(self) -> None:
        checks = [
            (
                "name",
                re.fullmatch(r"[A-Za-z0-9][\w.-]*", self.name) is not None,
                "a file name of letters, digits, dots and dashes",
                "write for example decay-all",
            ),
            ("languages", bool(self.languages), "at least one language", "list tags such as eng_Latn, or write `all`"),
            ("temperature", self.temperature >= 0, "a number >= 0", "write 0.7 for p ~ n**0.7, 0 for uniform"),
            ("masking_ratio", 0 < self.masking_ratio < 1, "a ratio between 0 and 1", "write 0.15 for 15 %"),
            ("context_length", self.context_length >= 8, "at least 8 tokens", "mmBERT uses 1024, then 8192"),
            ("rope_theta", self.rope_theta > 1, "a base above 1", "mmBERT uses 10000, then 160000"),
            ("tokens", self.tokens > 0, "at least one token", "write for example 600B"),
            ("batch_rows", self.batch_rows > 0, "at least one row a step", "mmBERT uses 4608"),
            (
                "batch_warmup_rows",
                0 <= self.batch_warmup_rows <= self.batch_rows,
                f"at most batch_rows, {self.batch_rows}",
                "the batch grows from there; 0 is no warm-up",
            ),
            (
                "batch_warmup_tokens",
                self.batch_warmup_tokens <= self.tokens
                and (self.batch_warmup_tokens == 0) == (self.batch_warmup_rows == 0),
                f"at most the phase's {self.tokens}, and given together with batch_warmup_rows",
                "write both or neither, such as 48 and 60B",
            ),
            ("max_epochs", self.max_epochs >= 0, "0 or more", "write 5, or 0 for no limit"),
            ("learning_rate", self.learning_rate > 0, "a rate above 0", "mmBERT uses 8e-4"),
            ("warmup_tokens", self.warmup_tokens <= self.tokens, f"at most the phase's {self.tokens}", "shorten it"),
            ("decay", self.decay in get_args(Decay), f"one of {', '.join(get_args(Decay))}", "pick one of these"),
            (
                "final_learning_rate_ratio",
                0 <= self.final_learning_rate_ratio <= 1,
                "a share between 0 and 1",
                "write 0.02",
            ),
        ]
        for key, holds, limit, remedy in checks:
            if not holds:
                raise RecipeError(key, f"must be {limit}, got {getattr(self, key)!r}; {remedy}.")
        self._check_shares()
        repeated = sorted({tag for tag in self.languages if self.languages.count(tag) > 1})
        if repeated:
            raise RecipeError("languages", f"names {', '.join(repeated)} twice; remove one.")

    def _check_shares(self) -> None:
        for tag, share in self.shares.items():
            if not 0 < share < 1:
                raise RecipeError(f"shares.{tag}", f"must lie between 0 and 1, got {share}; write 0.12 for 12 %.")
            if not self.reads_all and tag not in self.languages:
                raise RecipeError(f"shares.{tag}", f"is a share of a language that phase {self.name!r} does not read.")
        if sum(self.shares.values()) >= 1 and set(self.languages) != set(self.shares):
            raise RecipeError("shares", f"must leave something to the others, got {sum(self.shares.values()):g}.")

    @property
    def reads_all(self) -> bool:
        """Whether the phase reads every language of the corpus."""
        return self.languages == (ALL_LANGUAGES,)

    @property
    def steps(self) -> int:
        """Optimizer steps that read the phase's tokens, at least one."""
        return self.batches.steps_for(self.tokens / self.context_length)

    @property
    def batches(self) -> BatchSchedule:
        """Rows of every step."""
        warmup_rows = self.batch_warmup_tokens / self.context_length
        return BatchSchedule.planned(self.batch_rows, self.batch_warmup_rows, warmup_rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the phase as plain JSON-able values."""
        return {**asdict(self), "languages": list(self.languages), "shares": dict(self.shares)}


# Warm-ups and decay belong to their own phase; all else carries over until a later phase changes it.
_OF_ITS_OWN = (
    "name",
    "warmup_tokens",
    "decay",
    "final_learning_rate_ratio",
    "batch_warmup_rows",
    "batch_warmup_tokens",
)

_READERS = {
    "temperature": number,
    "masking_ratio": number,
    "context_length": count,
    "rope_theta": number,
    "tokens": count,
    "batch_rows": count,
    "batch_warmup_rows": count,
    "batch_warmup_tokens": count,
    "max_epochs": number,
    "learning_rate": number,
    "warmup_tokens": count,
    "final_learning_rate_ratio": number,
}


def read_phase(entry: Mapping[str, Any], previous: Phase | None) -> Phase:
    """Build a phase from a YAML mapping; what it leaves out is taken from the phase before."""
    known = set(Phase.__dataclass_fields__)
    unknown = sorted(set(entry) - known)
    if unknown:
        cut = " A comma ends an entry in braces: write 10000 or 10k." if str(unknown[0]).isdecimal() else ""
        raise RecipeError(unknown[0], f"unknown key; a phase knows {', '.join(sorted(known))}.{cut}")
    inherited = {} if previous is None else previous.to_dict()
    for key in _OF_ITS_OWN:
        inherited.pop(key, None)
    values: dict[str, Any] = {**inherited, **entry}
    required = {name for name, f in Phase.__dataclass_fields__.items() if f.default is f.default_factory}
    missing = sorted(required - set(values))
    if missing:
        raise RecipeError(missing[0], f"missing key, and phase {entry.get('name')!r} has no phase before it.")
    for key, read in _READERS.items():
        if key in values:
            values[key] = read(key, values[key])
    values["languages"] = _read_languages(values["languages"], previous)
    values["shares"] = _read_shares(values.get("shares"), values["languages"])
    values["name"] = word("name", values["name"])
    values["decay"] = word("decay", values.get("decay", "none"))
    return Phase(**values)


def _read_shares(value: Any, languages: Collection[str]) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RecipeError("shares", f"must map language tags to shares, got {value!r}; write `eng_Latn: 0.12`.")
    shares = {str(tag): number(f"shares.{tag}", share) for tag, share in value.items()}
    own = {tag: canonical_tag(tag) or tag for tag in shares}
    return {own[tag] if own[tag] in languages else tag: share for tag, share in shares.items()}


def tags_in_use(tags: Iterable[str]) -> tuple[str, ...]:
    """Write languages as mmBERT's tags, and say once which were written otherwise; what is not understood stays."""
    written = list(tags)
    read = {tag: canonical_tag(tag) or tag for tag in written}
    note_tags("recipe", read)
    return tuple(read[tag] for tag in written)


def _read_languages(value: Any, previous: Phase | None) -> tuple[str, ...]:
    if value == ALL_LANGUAGES:
        return (ALL_LANGUAGES,)
    before: tuple[str, ...] = ()
    if isinstance(value, Mapping):
        if set(value) != {"add"} or previous is None:
            raise RecipeError("languages", f"must be `all`, a list, or `add:` in a later phase, got {dict(value)!r}.")
        before, value = previous.languages, value["add"]
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise RecipeError("languages", f"must be `all` or a list of tags, got {value!r}; write [eng_Latn, fra_Latn].")
    for tag in value:
        if not isinstance(tag, str) or len(tag.split()) != 1 or len(tag) < 2:  # YAML's no is False
            raise RecipeError("languages", f"holds {tag!r}, which is no language tag; write tags such as nob_Latn.")
    return before + tags_in_use(value)
