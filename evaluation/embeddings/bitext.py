"""Bitext retrieval: does a sentence find its own translation among all the others of its language?

For each language the texts look for their English sides and the English sides look for their texts, by cosine, among
all pairs of that language. A hit is a neighbour that is nearer than every other candidate by more than float32
rounding: a tie is a miss, so an encoder that maps everything to one point scores 0 and not 100 %.

Trade-off: candidates are the language's own pairs, so a language with 500 pairs has a harder task than one with 20;
each score therefore comes with its chance level (1 / pairs). A pair counts only where the answer is unique: repeated
texts, repeated English sides and untranslated copies are left out, and counted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from ...embeddings.pairs.pair_set import TranslatedPair
from .vectors import by_text

_ROWS_AT_ONCE = 1024  # similarities are computed in bands of this many rows: 1,024 x 10,000 candidates are 41 MB
_TIE = 1e-6  # cosines of float32 unit vectors are exact to about 1e-7 a term; closer than this is the same place


class Encoder(Protocol):
    """Anything with the `encode` of a SentenceTransformer."""

    def encode(self, inputs: list[str], /, *, batch_size: int) -> Any:
        """Give back one vector a text, shape (texts, dimensions)."""


def bitext_accuracy(
    encoder: Encoder,
    pairs: Iterable[TranslatedPair],
    *,
    min_pairs: int = 10,
    max_pairs: int | None = None,
    batch_size: int = 64,
    groups: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Measure retrieval accuracy of translations, language by language.

    Args:
        encoder: What turns texts into vectors, for example what `load_embedder` gives back.
        pairs: Held-out pairs of any number of languages; English itself is left out and counted.
        min_pairs: Languages with fewer usable pairs are skipped and listed under `skipped_languages`.
        max_pairs: Take only the first so many pairs of a language (None: all); the rest is counted.
        batch_size: Texts in one forward pass.
        groups: Resource group of a language tag (`{"fra_Latn": "high"}`); gives a mean by group.

    Returns:
        `languages`: {tag: {"pairs", "to_english", "from_english", "accuracy", "chance"}} with accuracies in [0, 1] and
        `accuracy` their mean; `macro`: mean over languages; `groups`: mean over the languages of each group;
        `skipped_languages`: {tag: pairs}; `skipped`: {reason: pairs}.

    Raises:
        ValueError: If a limit is not positive, a pair holds something other than text, a vector is not finite, or no
            language has enough pairs.
    """
    if min_pairs < 2:
        raise ValueError(f"min_pairs must be at least 2, got {min_pairs}: one pair alone always finds itself")
    if max_pairs is not None and max_pairs < min_pairs:
        raise ValueError(f"max_pairs must be at least min_pairs ({min_pairs}), got {max_pairs}")
    usable, skipped = _usable_pairs(pairs, max_pairs)
    skipped_languages = {tag: len(rows) for tag, rows in sorted(usable.items()) if len(rows) < min_pairs}
    kept = {tag: rows for tag, rows in sorted(usable.items()) if len(rows) >= min_pairs}
    if not kept:
        raise ValueError(
            f"no language has {min_pairs} usable pairs (skipped: {skipped_languages or 'none seen'}); "
            "lower min_pairs or give more pairs"
        )
    vectors = _embed_once(encoder, kept, batch_size)
    languages = {tag: _retrieval(rows, vectors) for tag, rows in kept.items()}
    return {
        "languages": languages,
        "macro": _mean([scores["accuracy"] for scores in languages.values()]),
        "groups": _group_means(languages, groups or {}),
        "skipped_languages": skipped_languages,
        "skipped": dict(skipped),
    }


def _usable_pairs(
    pairs: Iterable[TranslatedPair], max_pairs: int | None
) -> tuple[dict[str, list[tuple[str, str]]], Counter[str]]:
    """Sort pairs by language as (english, text), leaving out what has no unique answer."""
    usable: dict[str, list[tuple[str, str]]] = defaultdict(list)
    seen: set[tuple[str, str, str]] = set()
    skipped: Counter[str] = Counter()
    for number, pair in enumerate(pairs):
        english, text = pair.english, pair.text
        if not isinstance(english, str) or not isinstance(text, str):
            raise ValueError(f"pair {number} ({pair.language}): both sides must be text, got {english!r} and {text!r}")
        reason = _reason_to_skip(pair.language, english, text, seen)
        if reason is None and max_pairs is not None and len(usable[pair.language]) >= max_pairs:
            reason = "over max_pairs"
        if reason is not None:
            skipped[reason] += 1
            continue
        seen.update({(pair.language, "english", english), (pair.language, "text", text)})
        usable[pair.language].append((english, text))
    return usable, skipped


def _reason_to_skip(language: str, english: str, text: str, seen: set[tuple[str, str, str]]) -> str | None:
    if language.split("_")[0] == "eng":
        return "english"
    if not english.strip() or not text.strip():
        return "empty"
    if english == text:
        return "untranslated"
    if (language, "english", english) in seen or (language, "text", text) in seen:
        return "repeated"
    return None


def _embed_once(encoder: Encoder, kept: dict[str, list[tuple[str, str]]], batch_size: int) -> dict[str, np.ndarray]:
    """Embed every distinct string one time: an English message recurs in a hundred languages."""
    texts = sorted({side for rows in kept.values() for pair in rows for side in pair})
    return by_text(texts, encoder.encode(texts, batch_size=batch_size))


def _retrieval(rows: list[tuple[str, str]], vectors: dict[str, np.ndarray]) -> dict[str, float]:
    english = np.stack([vectors[pair[0]] for pair in rows])
    text = np.stack([vectors[pair[1]] for pair in rows])
    to_english, from_english = _hit_rate(text, english), _hit_rate(english, text)
    return {
        "pairs": len(rows),
        "to_english": to_english,
        "from_english": from_english,
        "accuracy": (to_english + from_english) / 2,
        "chance": 1 / len(rows),
    }


def _hit_rate(queries: np.ndarray, candidates: np.ndarray) -> float:
    """Share of rows whose own candidate is nearer than all others; both of shape (pairs, dimensions), unit length."""
    hits = 0
    for start in range(0, len(queries), _ROWS_AT_ONCE):
        similarity = queries[start : start + _ROWS_AT_ONCE] @ candidates.T
        row = np.arange(len(similarity))
        own = similarity[row, start + row]
        similarity[row, start + row] = -np.inf
        hits += int((own > similarity.max(axis=1) + _TIE).sum())
    return hits / len(queries)


def _group_means(languages: dict[str, dict[str, float]], groups: Mapping[str, str]) -> dict[str, float]:
    members: dict[str, list[float]] = defaultdict(list)
    for tag, scores in languages.items():
        if tag in groups:
            members[groups[tag]].append(scores["accuracy"])
    return {group: _mean(members[group]) for group in sorted(members)}


def _mean(values: list[float]) -> float:
    return float(np.mean(values))
