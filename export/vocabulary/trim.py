"""Trims a checkpoint's vocabulary to languages or texts: smaller, and equal on all that it still covers.

64 % of mmBERT-base's parameters and 70 % of small's are rows of the embedding table. A row that no text of the user's
languages asks for can go: the encoder's output for covered text stays equal bit for bit, because it is computed from
the same rows by the same network, and so do the logits of kept words. `vocabulary.py` says why covered text is read
as before.

The number of kept tokens is a multiple of 64, since matrix products over the vocabulary run fastest on whole tiles; the
room is filled with the next tokens of the ranking, not with dead rows.

Trade-off: an MLM's probabilities are shared among fewer words, so they change although the logits do not. And a token
is all or nothing: there is no cheaper form of a rare one than its bytes.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ...common.checkpoints.reader import Checkpoint, checkpoint_fingerprint, open_checkpoint
from ...common.checkpoints.writer import atomic_directory
from ...common.files import refuse_existing, write_json
from ...common.messages import option
from ...languages.scripts import scripts_of_tags
from ...languages.tags import is_tag
from ...model_cards.cards.folder import write_card
from ...version import __version__
from ..modernbert.self_test import SELF_TEST, make_self_test
from .bpe import Vocabulary
from .counts import HELDOUT_FRACTION, TextCounts, count_texts
from .files import VocabularyRows, write_trimmed
from .ranking import Ranking, rank_tokens
from .report import RECORD, CoverageCurve, LanguageCoverage, TrimReport
from .word_lists import word_frequencies

MULTIPLE = 64
_CURVE_POINTS = 60
_UNTAGGED = "texts"


def trim_vocabulary(
    checkpoint: str | os.PathLike[str],
    texts_or_languages: Iterable[str] | Mapping[str, Iterable[str]],
    output: str | os.PathLike[str],
    *,
    max_tokens: int | None = None,
    max_parameters: int | None = None,
    coverage: float | None = None,
    word_lists: bool = False,
) -> Path:
    """Keep the tokens that texts or languages need, in the tokenizer, the embedding table and the decoder.

    Without `max_tokens`, `max_parameters` and `coverage`, texts keep what they use, and languages without text every
    token of their writing system.

    Args:
        checkpoint: Local mmBERT or ModernBERT checkpoint with its tokenizer.json: an encoder, with any head, or a
            SentenceTransformer.
        texts_or_languages: Documents; or language tags such as `deu_Latn`; or texts by language tag, where a language
            may have none.
        output: Directory to make; it appears when it is complete, with `trim.json`, `kept_ids.txt` (line = new id,
            number = old id) and a table of coverage in README.md. If the checkpoint has a self-test, a new one is made.
        max_tokens: Keep at most so many tokens, the most used first, then others of the languages' scripts.
        max_parameters: The same as a limit on the parameters of the whole checkpoint.
        coverage: Keep as few tokens as read this share of held-out running words, in every language, as before.
        word_lists: Also rank by the word lists of the `wordfreq` package, for tagged languages.

    Returns:
        The output directory.

    Raises:
        FileNotFoundError: If checkpoint, weights or tokenizer.json is absent.
        ImportError: If word lists are asked for and wordfreq is not installed.
        ValueError: If an option, a language, a text or the tokenizer is not usable, the limits leave too few tokens, or
            the output exists or cannot be written; nothing is left there.
    """
    refuse_existing(output)
    _check_options(max_tokens, max_parameters, coverage)
    source = open_checkpoint(checkpoint)
    source.verify()
    source.require_float()
    source.require_finite()
    vocabulary = Vocabulary(source.path / "tokenizer.json")
    rows = VocabularyRows.of(source, len(vocabulary))
    limit = _token_limit(rows, max_tokens, max_parameters)
    groups = _groups(texts_or_languages)
    frequencies = {tag: word_frequencies(tag) for tag in groups if word_lists and is_tag(tag)}
    tokenizer = _plain_tokenizer(vocabulary)
    counts = {tag: count_texts(tokenizer, texts, tag) for tag, texts in groups.items()}
    _check_counts(counts)
    ranking, curves = _measured(vocabulary, tokenizer, counts, frequencies)
    tagged = all(map(is_tag, groups))
    size = _size(ranking, curves, limit, coverage, fill=tagged and (limit is not None or not _any_text(counts)))
    report = _report(source, rows, size, ranking, counts, curves)
    final = rank_tokens(vocabulary, tokenizer, counts, frequencies, heldout=True)
    if limit is None and coverage is None:
        size = max(size, _rounded(final.used if _any_text(counts) else len(final.order), len(final.order)))
        report = _report(source, rows, size, ranking, counts, curves)
    kept = sorted(final.order[:size])
    options = {"max_tokens": max_tokens, "max_parameters": max_parameters, "coverage": coverage}
    record = {**report.to_dict(), "options": {**options, "word_lists": word_lists}, "mmbert": __version__}
    record["parent"] = {"name": source.path.resolve().name, "fingerprint": checkpoint_fingerprint(source.path)}
    with atomic_directory(output) as directory:
        write_trimmed(source, directory, rows, vocabulary, kept, report.to_markdown())
        write_json(directory / RECORD, record)
        if (source.path / SELF_TEST).is_file():  # that one feeds ids which may be gone
            make_self_test(directory).write(directory)
        write_card(directory, Path(output).name)
    return Path(output)


def _check_options(max_tokens: int | None, max_parameters: int | None, coverage: float | None) -> None:
    for name, value in (("max_tokens", max_tokens), ("max_parameters", max_parameters)):
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}, but must be 1 or more")
    if coverage is not None and not 0 < coverage <= 1:
        raise ValueError(
            f"coverage is {coverage}, but must lie in (0, 1]; 0.99 reads 99 of 100 held-out words as before"
        )


def _token_limit(rows: VocabularyRows, max_tokens: int | None, max_parameters: int | None) -> int | None:
    limits = [max_tokens] if max_tokens is not None else []
    if max_parameters is not None:
        if max_parameters < rows.fixed:
            raise ValueError(
                f"{option('max_parameters', max_parameters)} is too few: the network without its vocabulary has "
                f"{rows.fixed:,}"
            )
        limits.append((max_parameters - rows.fixed) // rows.per_token)
    return min(limits) if limits else None


def _groups(given: Iterable[str] | Mapping[str, Iterable[str]]) -> dict[str, Iterable[str]]:
    """Bring the three forms of the second argument into one: texts by language."""
    if isinstance(given, str):
        raise ValueError(f"texts_or_languages is one string, {given!r:.60}; give a list of texts or of language tags")
    if isinstance(given, Mapping):
        scripts_of_tags(given)
        if single := next((tag for tag, texts in given.items() if isinstance(texts, str)), None):
            raise ValueError(f"the texts of {single} are one string; give a list of documents")
        groups = dict(given)
    else:
        items = given if isinstance(given, list | tuple) else list(given)
        tags = bool(items) and all(isinstance(item, str) and is_tag(item) for item in items)
        if tags:
            scripts_of_tags(items)
        groups = {item: () for item in items} if tags else {_UNTAGGED: items}
    if not groups:
        raise ValueError("no language to keep; give texts, language tags such as deu_Latn, or texts by tag")
    return groups


def _plain_tokenizer(vocabulary: Vocabulary) -> Tokenizer:
    """Open the original without the truncation or padding that its last user left on."""
    try:
        tokenizer = Tokenizer.from_file(str(vocabulary.path))
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{vocabulary.path}: not a tokenizer ({error})") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _any_text(counts: Mapping[str, TextCounts]) -> bool:
    return any(count.documents for count in counts.values())


def _check_counts(counts: Mapping[str, TextCounts]) -> None:
    """Refuse texts without a word; languages may come without text, but then all of them by their script."""
    if counts.keys() == {_UNTAGGED} and not (counts[_UNTAGGED].seen or counts[_UNTAGGED].heldout):
        raise ValueError("no text to trim to: the texts are empty; give at least one document")


def _measured(
    vocabulary: Vocabulary, tokenizer: Tokenizer, counts: dict[str, TextCounts], frequencies: dict[str, Any]
) -> tuple[Ranking, dict[str, CoverageCurve]]:
    """Rank without the held-out documents, and see what each size covers of them."""
    ranking = rank_tokens(vocabulary, tokenizer, counts, frequencies, heldout=False)
    return ranking, {tag: CoverageCurve(count.heldout, ranking.order) for tag, count in counts.items() if count.heldout}


def _size(
    ranking: Ranking, curves: dict[str, CoverageCurve], limit: int | None, coverage: float | None, *, fill: bool
) -> int:
    """Decide how many tokens of the ranking are kept."""
    everything = len(ranking.order)
    least = -(-ranking.required // MULTIPLE) * MULTIPLE
    if limit is not None and limit < least:
        raise ValueError(
            f"the limit leaves room for {limit:,} tokens, but bytes, ASCII, special and added tokens alone are "
            f"{ranking.required:,}, kept in multiples of {MULTIPLE}: allow {least:,} tokens or more"
        )
    wanted = everything if fill else ranking.used
    if coverage is not None:
        if not curves:
            raise ValueError(
                "coverage is measured on held-out text, and there is none; give some hundred documents a language"
            )
        hardest = max(curves, key=lambda tag: curves[tag].needed(coverage))
        wanted = curves[hardest].needed(coverage)
        most = everything if limit is None else min(limit // MULTIPLE * MULTIPLE, everything)
        if wanted > most:
            raise ValueError(
                f"coverage {coverage} of {hardest} is out of reach: the {most:,} tokens that script and limits allow "
                f"cover {curves[hardest].covered(most):.4f}; lower it or allow more"
            )
    if limit is None:
        return _rounded(max(wanted, ranking.required), everything)
    most = min(limit // MULTIPLE * MULTIPLE, everything)
    return min(_rounded(wanted, everything), most)


def _rounded(tokens: int, everything: int) -> int:
    return min(-(-tokens // MULTIPLE) * MULTIPLE, everything)


def _report(
    source: Checkpoint,
    rows: VocabularyRows,
    size: int,
    ranking: Ranking,
    counts: dict[str, TextCounts],
    curves: dict[str, CoverageCurve],
) -> TrimReport:
    lines = tuple(
        LanguageCoverage(
            tag,
            counts[tag].documents,
            curve.words,
            curve.covered(size),
            curve.distinct,
            curve.distinct_covered(size),
            curve.tokens_covered(size),
        )
        for tag, curve in curves.items()
    )
    span = range(1, _CURVE_POINTS + 1)
    sizes = sorted(
        {ranking.required + (len(ranking.order) - ranking.required) * at // _CURVE_POINTS for at in span} | {size}
    )
    drawn = {tag: tuple((n, curve.covered(n)) for n in sizes) for tag, curve in curves.items()}
    return TrimReport(
        languages=tuple(counts),
        tokens=(rows.rows, size),
        parameters=(rows.parameters(rows.rows), rows.parameters(size)),
        weight_bytes=(rows.weight_bytes(rows.rows), rows.weight_bytes(size)),
        heldout_fraction=HELDOUT_FRACTION,
        coverage=lines,
        curves=drawn,
        fixed_parameters=rows.fixed,
        parameters_per_token=rows.per_token,
    )
