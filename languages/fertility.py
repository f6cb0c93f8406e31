"""What a vocabulary does to a language: tokens per word and character, bytes, texts that a length cuts, and what to do.

Two sources. `measure_texts` counts on the user's own text with the user's own tokenizer. `shipped_facts` reads
fertility.csv: mmBERT's vocabulary on the Universal Declaration of Human Rights (public domain) in 445 languages,
measured by benchmarks/language_facts.py; it holds numbers only. The declaration says the same in all languages, so
that tokens can be set against English article by article; a user's text is set against it by tokens per character.
"""

from __future__ import annotations

import csv
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from .counts import CODE, published_token_counts
from .scripts import is_unspaced, script_of
from .tags import entry_phase, language_name, questions_about, same_language

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LIMITS = (128, 512, 8192)
_ROOM = 510  # tokens of text in a row of 512
_BATCH = 1000
_PATH = ("pretrain", "ext", "decay-all")  # phases whose tokens the published model has read


@dataclass
class TextCounts:
    """Counts of texts of one language.

    Attributes:
        texts: Number of texts.
        characters: Unicode characters.
        words: Runs of characters between blanks; 0 where the script writes none between words.
        tokens: Tokens without special ones.
        byte_tokens: Tokens that stand for a single byte.
        lengths: Tokens of each text with its two special ones.
        not_nfc: Texts that are not in Unicode's normal form NFC.
        tokens_nfc: Tokens after normalisation to NFC.
        scripts: Script of most letters of a text, and how many texts have it.
    """

    texts: int = 0
    characters: int = 0
    words: int = 0
    tokens: int = 0
    byte_tokens: int = 0
    lengths: list[int] = field(default_factory=list)
    not_nfc: int = 0
    tokens_nfc: int = 0
    scripts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LanguageFacts:
    """What a vocabulary does to one language, and what mmBERT read of it.

    Attributes:
        tag: Language tag.
        name: English name.
        script: ISO 15924 code.
        phase: In which phase of mmBERT's training it enters (1, 2, 3); None: never read.
        tokens_read: Tokens of it in the three phases, as published.
        source: "shipped" (the declaration, mmBERT's vocabulary), "measured" (the texts given) or "published" (no text).
        texts: Number of texts.
        tokens_per_word: None where the script writes no blanks between words.
        tokens_per_character: Tokens divided by characters.
        relative_to_english: Tokens for what English says in one; None if the language is not in the shipped table.
        byte_share: Share of tokens that are single bytes.
        over: Share of texts longer than 128, 512 and 8,192 tokens, special ones included.
        english_tokens_in_510: How many English tokens' worth of text fits into 510.
        not_nfc: Share of texts that are not in NFC.
        nfc_saves: Share of tokens that NFC would save.
        advice: What to do, a sentence each.
    """

    tag: str
    name: str
    script: str
    phase: int | None
    tokens_read: int
    source: str
    texts: int
    tokens_per_word: float | None
    tokens_per_character: float
    relative_to_english: float | None
    byte_share: float
    over: dict[int, float]
    english_tokens_in_510: int | None
    not_nfc: float
    nfc_saves: float
    advice: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as plain JSON-able values."""
        return asdict(self)


def count_texts(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase) -> TextCounts:
    """Counts what a tokenizer makes of texts."""
    counts = TextCounts()
    names = [f"<0x{value:02X}>" for value in range(256)]
    byte_ids = set(cast("list[int]", tokenizer.convert_tokens_to_ids(names))) - {tokenizer.unk_token_id, None}
    batch: list[str] = []

    def flush() -> None:
        encoded = _encode(tokenizer, batch)
        normal = [unicodedata.normalize("NFC", text) for text in batch]
        changed = [number for number, text in enumerate(batch) if normal[number] != text]
        again = dict(zip(changed, _encode(tokenizer, [normal[number] for number in changed]), strict=True))
        for number, (text, ids) in enumerate(zip(batch, encoded, strict=True)):
            script = script_of(text) or "Zyyy"
            counts.texts += 1
            counts.characters += len(text)
            counts.words += 0 if is_unspaced(text[:200]) else len(text.split())
            counts.tokens += len(ids)
            counts.byte_tokens += sum(one in byte_ids for one in ids)
            counts.lengths.append(len(ids) + 2)
            counts.not_nfc += number in again
            counts.tokens_nfc += len(again.get(number, ids))
            counts.scripts[script] = counts.scripts.get(script, 0) + 1
        batch.clear()

    for text in texts:
        if text.strip():
            batch.append(text)
        if len(batch) == _BATCH:
            flush()
    if batch:
        flush()
    return counts


def measure_texts(tag: str, texts: Iterable[str], tokenizer: PreTrainedTokenizerBase) -> LanguageFacts:
    """Measures what a tokenizer makes of a language.

    Args:
        tag: Language tag; "und" if it is not known.
        texts: Texts of the language.
        tokenizer: Any tokenizer of transformers, such as `AutoTokenizer.from_pretrained(checkpoint)`.

    Returns:
        The facts.

    Raises:
        ValueError: There is no text, or nothing but blanks.
    """
    counts = count_texts(texts, tokenizer)
    if not counts.texts:
        raise ValueError(f"no text of {tag} to measure; give at least one that is not blank.")
    shipped = _row(tag)
    per_character = counts.tokens / counts.characters
    relative = None
    if shipped is not None:
        relative = shipped["ratio"] * per_character / (shipped["tokens"] / shipped["characters"])
    return _facts(tag, "measured", counts, relative)


def shipped_facts(tags: Iterable[str] | None = None) -> list[LanguageFacts]:
    """What mmBERT's vocabulary does to languages, as measured on the declaration of human rights.

    Args:
        tags: Language tags; None: all in the table.

    Returns:
        Facts of those that the table has, in the order asked for.
    """
    found = []
    for tag in _table() if tags is None else tags:
        if (row := _row(tag)) is not None:
            names = ("texts", "characters", "words", "tokens", "byte_tokens")
            numbers: dict[str, Any] = {name: int(row[name]) for name in names}
            over = {128: row["over_128"], 512: row["over_512"], 8192: 0.0}
            counts = TextCounts(**numbers, tokens_nfc=numbers["tokens"])
            found.append(_facts(tag, "shipped", counts, row["ratio"], over))
    return found


def reading_facts(tag: str) -> LanguageFacts:
    """What is known of a language without text: name, script, phase and tokens read.

    Args:
        tag: Language tag.

    Returns:
        Facts with no texts and every measure 0 or None.
    """
    return _facts(tag, "published", TextCounts(), None)


def cut_texts(lengths: Mapping[str, Sequence[int]], limit: int) -> dict[str, dict[str, float]]:
    """Counts the texts of each language that are longer than a limit.

    Args:
        lengths: Tokens of every text by language, special ones included.
        limit: Most tokens of a text.

    Returns:
        `texts`, `cut`, `share` and `longest` of each language that has a text over the limit, most cut first.
    """
    found = {}
    for tag, own in lengths.items():
        cut = sum(length > limit for length in own)
        if cut:
            found[tag] = {"texts": len(own), "cut": cut, "share": cut / len(own), "longest": max(own)}
    return dict(sorted(found.items(), key=lambda item: (-item[1]["share"], item[0])))


def length_report(lengths: Mapping[str, Sequence[int]], limit: int, most: int = 8) -> str:
    """Says in one line which languages' texts a length cuts.

    Args:
        lengths: Tokens of every text by language, special ones included.
        limit: Most tokens of a text.
        most: How many languages to name.

    Returns:
        The line; empty if no text is cut.
    """
    found = cut_texts(lengths, limit)
    if not found:
        return ""
    texts, cut = sum(map(len, lengths.values())), sum(int(entry["cut"]) for entry in found.values())
    named = [
        f"{tag} {entry['share']:.0%} of {entry['texts']:,} (longest {entry['longest']:,})"
        for tag, entry in list(found.items())[:most]
    ]
    more = f" and {len(found) - most} more languages" if len(found) > most else ""
    longest = max(int(entry["longest"]) for entry in found.values())
    return (
        f"{cut:,} of {texts:,} texts are cut at {limit:,} tokens: {', '.join(named)}{more}; {longest:,} would hold all."
    )


def by_script(facts: Iterable[LanguageFacts]) -> dict[str, list[LanguageFacts]]:
    """Groups facts by script, the costliest script first."""
    groups: dict[str, list[LanguageFacts]] = {}
    for one in sorted(facts, key=_cost, reverse=True):
        groups.setdefault(one.script, []).append(one)
    return dict(sorted(groups.items(), key=lambda item: -_cost(item[1][len(item[1]) // 2])))


def _cost(facts: LanguageFacts) -> float:
    return facts.relative_to_english if facts.relative_to_english is not None else facts.tokens_per_character


def _facts(
    tag: str, source: str, counts: TextCounts, relative: float | None, over: Mapping[int, float] | None = None
) -> LanguageFacts:
    code, _, script = tag.partition("_")
    found = max(sorted(counts.scripts), key=counts.scripts.__getitem__, default="")
    texts = max(1, counts.texts)
    shares = over or {limit: sum(length > limit for length in counts.lengths) / texts for limit in LIMITS}
    values: dict[str, Any] = {
        "phase": entry_phase(tag),
        "tokens_read": sum(published_token_counts(phase).get(code, 0) for phase in _PATH),
        "relative_to_english": relative,
        "byte_share": counts.byte_tokens / max(1, counts.tokens),
        "over": dict(shares),
        "english_tokens_in_510": None if not relative else round(_ROOM / relative),
        "not_nfc": counts.not_nfc / texts,
        "nfc_saves": 1 - counts.tokens_nfc / counts.tokens if counts.tokens else 0.0,
    }
    return LanguageFacts(
        tag=tag,
        name=language_name(tag) if code != "und" else "language not named",
        script=script or ("Latn" if tag == CODE else found),
        source=source,
        texts=counts.texts,
        tokens_per_word=counts.tokens / counts.words if counts.words else None,
        tokens_per_character=counts.tokens / max(1, counts.characters),
        advice=tuple(_advice(tag, found, source, values)),
        **values,
    )


def _advice(tag: str, found: str, source: str, values: Mapping[str, Any]) -> Iterable[str]:
    relative, over = values["relative_to_english"] or 1.0, values["over"]
    script = tag.partition("_")[2]
    yield from questions_about([tag])
    same = {"Hans": "Hani", "Hant": "Hani", "Hang": "Kore"}
    if script and found not in ("", "Zyyy") and same.get(script, script) != same.get(found, found):
        yield f"most letters of the texts are {found}, not {script}: check the tag."
    if values["nfc_saves"] > 0.01:
        yield f"normalise the texts to NFC: it saves {values['nfc_saves']:.0%} of the tokens."
    limit = next((limit for limit in reversed(LIMITS[:-1]) if over.get(limit, 0) > 0.01), None)
    if over.get(LIMITS[-1], 0) > 0:
        yield f"{over[LIMITS[-1]]:.1%} of the texts are over 8,192 tokens, the limit: cut them into windows."
    if limit is not None:
        yield f"{over[limit]:.0%} of the texts are over {limit} tokens: give a longer max_length (up to 8,192)."
    elif relative > 2:
        tokens = 1 << math.ceil(math.log2(128 * relative))
        yield f"give {relative:.1f} times the max_length that English needs ({min(tokens, LIMITS[-1]):,} for 128)."
    if values["byte_share"] > 0.1:
        yield "many letters are not in the vocabulary and are read byte by byte: continue pre-training on such text."
    if tag.partition("_")[0] != "und" and values["phase"] is None:
        yield "mmBERT has not read this language: continue pre-training before fine-tuning."
    elif values["phase"] == 3 and 0 < values["tokens_read"] < 5_000_000:
        yield "mmBERT has read little of it: continue pre-training if you have more text."
    if source != "published" and values["phase"] is not None and relative <= 2 and values["byte_share"] <= 0.1:
        yield "nothing to mend; for few languages `mmbert trim` makes the checkpoint smaller."


@cache
def _table() -> dict[str, dict[str, float]]:
    lines = (files(__package__) / "fertility.csv").read_text(encoding="utf-8").splitlines()
    return {row.pop("language"): {key: float(value) for key, value in row.items()} for row in csv.DictReader(lines)}


def _row(tag: str) -> dict[str, float] | None:
    """The table's row for a tag; kor_Hang and kor_Kore are one, and cmn_Hani takes cmn_Hans."""
    if tag in _table():
        return _table()[tag]
    wanted = tag.replace("_Hani", "_Hans")
    return next((row for name, row in _table().items() if name == wanted or same_language(name, tag)), None)


def _encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    found: list[list[int]] = tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    return found
