"""`mmbert trim`: a checkpoint with the tokens of some languages only."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...common.files import refuse_existing
from ...common.options import comma_list

if TYPE_CHECKING:
    from ...export.vocabulary.report import TrimReport

_UNITS = {"": 1, "K": 1_000, "M": 1_000_000, "B": 1_000_000_000}
PICTURE = "trim.png"


def trim(
    checkpoint: Annotated[Path, typer.Argument(help="mmBERT checkpoint or SentenceTransformer with its tokenizer.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory to make.")],
    languages: Annotated[
        str | None, typer.Option(help="Tags to keep, separated by commas: eng_Latn,deu. Without: all of the corpus.")
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Text of these languages: file, folder or Hub dataset, as for `mmbert tokenize`.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Keep at most so many tokens.", min=1)] = None,
    max_parameters: Annotated[str | None, typer.Option(help="Limit for the whole model, such as 170M.")] = None,
    coverage: Annotated[float | None, typer.Option(help="Share of held-out words to cover, such as 0.99.")] = None,
    word_lists: Annotated[bool, typer.Option("--word-lists", help="Also rank by the word lists of wordfreq.")] = False,
    extra_languages: Annotated[str, typer.Option(help="Tags beyond mmBERT's 1,833, separated by commas.")] = "",
    text_column: Annotated[str, typer.Option(help="Column with the text.")] = "text",
    language_column: Annotated[str, typer.Option(help="Column with the language tag.")] = "lang",
    on_bad_row: Annotated[str, typer.Option(help="error or skip.")] = "error",
) -> None:
    """Drop the tokens that the languages do not need; text still covered gives the same numbers, bit for bit."""
    from rich.console import Console

    from ...common.checkpoints.reader import require_start
    from ...export import read_trim_report, trim_vocabulary

    refuse_existing(output)
    require_start(checkpoint)  # a wrong one is told before the corpus is read
    options = {
        "text_column": text_column,
        "language_column": language_column,
        "on_bad_row": on_bad_row,
        "extra_languages": comma_list(extra_languages),
    }
    trimmed = trim_vocabulary(
        checkpoint,
        _texts(list(comma_list(languages)), corpus, options),
        output,
        max_tokens=max_tokens,
        max_parameters=_count(max_parameters),
        coverage=coverage,
        word_lists=word_lists,
    )
    report = read_trim_report(trimmed)
    console = Console()
    console.print(report.to_table() if report.coverage else report.sizes())
    _draw(report, trimmed)
    console.print(f"trimmed model: {trimmed}")


def _texts(tags: list[str], corpus: str | None, options: dict[str, Any]) -> dict[str, Iterable[str]]:
    """Texts by tag; a name without a script, such as `deu`, means all tags of the corpus that have this code."""
    from ...data import open_corpus
    from ...languages import canonical_names, choose_tags

    if corpus is None:
        if not tags:
            raise ValueError("say what to keep: --languages eng_Latn,deu_Latn, --corpus FOLDER, or both")
        return dict.fromkeys(canonical_names(tags, options["extra_languages"], whole=True), ())
    there = open_corpus(corpus, **options).languages()
    wanted = choose_tags(tags, there, corpus) if tags else there
    if options["on_bad_row"] == "skip":
        whole = open_corpus(corpus, heldout_fraction=0.0, **options)
        for _ in whole.documents("train"):  # bad rows are told once, not with every language
            pass
        for reason, count in whole.skipped.items():
            typer.echo(f"{corpus}: left out {count:,} x {reason}", err=True)
    return {tag: _documents(corpus, tag, options) for tag in wanted}


def _documents(corpus: str, tag: str, options: dict[str, Any]) -> Iterator[str]:
    from ...data import open_corpus

    for document in open_corpus(corpus, languages=[tag], heldout_fraction=0.0, **options).documents("train"):
        yield document.text


def _draw(report: "TrimReport", trimmed: Path) -> None:
    if not report.curves:
        return
    try:
        report.draw(trimmed / PICTURE)
    except ImportError as missing:
        typer.echo(f"no picture: {missing}", err=True)


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMB]?)", text.strip().replace(",", "").replace("_", ""), re.IGNORECASE)
    if found is None:
        raise ValueError(f"--max-parameters is {text!r}, but must be a number such as 170M or 170000000")
    return int(float(found[1]) * _UNITS[found[2].upper()])
