"""`mmbert languages`: what a vocabulary does to languages, and what mmBERT read of them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ...languages.fertility import LanguageFacts

_SHOWN = 40


def languages(
    what: Annotated[
        list[str] | None,
        typer.Argument(help="A checkpoint or tokenizer, and languages, files, folders or a text. None: all languages."),
    ] = None,
    text: Annotated[str | None, typer.Option(help="Measure this text.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of a text or of files whose names say none.")] = None,
    text_column: Annotated[str, typer.Option(help="Column with the text.")] = "text",
    language_column: Annotated[str, typer.Option(help="Column with the language tag.")] = "lang",
    max_texts: Annotated[int, typer.Option(help="Measure at most so many texts of a language.", min=1)] = 10_000,
    json_: Annotated[bool, typer.Option("--json", help="Print a JSON list in place of the table.")] = False,
    plot: Annotated[Path | None, typer.Option(help="PNG to draw: tokens against English, by script.")] = None,
) -> None:
    """Say what mmBERT read of languages, and measure tokens, bytes and cut texts on yours or on shipped facts."""
    from ...languages import canonical_tag, shipped_facts
    from ...languages.tags import questions_about

    checkpoint, places, tags, texts = _sorted_out(what or [], text)
    tag = (canonical_tag(language) or language) if language else None
    facts: list[LanguageFacts] = []
    if places or texts:
        if checkpoint is None:
            raise ValueError("measuring text needs a tokenizer: name one first, `mmbert languages CHECKPOINT FILE`")
        tokenizer = _tokenizer(checkpoint)
        options = {"text_column": text_column, "language_column": language_column}
        facts += _measured(texts, places, tags, tag, tokenizer, options, max_texts)
    else:
        _check_vocabulary(checkpoint)
        facts += _of_tags([*tags, *([tag] if tag else [])]) if tags or tag else shipped_facts()
    nothing = [one for one in facts if not one.texts and (one.phase is None or any(questions_about([one.tag])))]
    facts = [one for one in facts if one not in nothing]
    if plot is not None and facts:
        from ...model_cards.plots.fertility import draw_fertility

        draw_fertility([one.to_dict() for one in facts], plot)
    if json_:
        typer.echo(json.dumps([one.to_dict() for one in facts], indent=1, ensure_ascii=False))
    elif facts:
        _print(facts)
        if plot is not None:
            typer.echo(f"picture: {plot}")
    if nothing:
        why = nothing[0].advice[0].removeprefix(f"{nothing[0].tag}: ")
        raise ValueError(f"nothing is known of {', '.join(one.tag for one in nothing)}: {why}")


def _sorted_out(what: list[str], text: str | None) -> tuple[Path | None, list[str], list[str], list[str]]:
    """Tell a checkpoint, files, languages and texts apart."""
    from ...languages import canonical_tag, note_tags, unknown_tag_message

    checkpoint: Path | None = None
    read = dict[str, str]()
    places, tags, texts = list[str](), list[str](), [text] if text else list[str]()
    for one in what:
        path = Path(one)
        is_tokenizer = (path / "tokenizer.json").is_file() or path.name in ("tokenizer.json", "tokenizer.json.xz")
        if checkpoint is None and path.exists() and is_tokenizer:
            checkpoint = path
        elif path.exists():
            places.append(one)
        elif (tag := canonical_tag(one)) is not None:
            tags.append(tag)
            read[one] = tag
        elif " " in one.strip() or not one.isascii():
            texts.append(one)
        elif "/" in one or path.suffix:
            raise FileNotFoundError(
                f"{one} does not exist; give a checkpoint folder, a file of text, a language or --text."
            )
        else:
            raise ValueError(unknown_tag_message(one))
    note_tags("languages asked for", {one: tag for one, tag in read.items() if one != tag})
    return checkpoint, places, tags, texts


def _tokenizer(path: Path) -> "PreTrainedTokenizerBase":
    from ...modeling import build_tokenizer

    if path.is_dir() and (path / "tokenizer_config.json").is_file():
        from ...common.checkpoints.hub import load_tokenizer

        found: PreTrainedTokenizerBase = load_tokenizer(path)
        return found
    built: PreTrainedTokenizerBase = build_tokenizer(path)
    return built


def _check_vocabulary(checkpoint: Path | None) -> None:
    """Say where the shipped facts are not those of a checkpoint: its vocabulary is another or was trimmed."""
    if checkpoint is None:
        return
    size = len(_tokenizer(checkpoint).get_vocab())
    if size < 255_000:
        typer.echo(
            f"{checkpoint} has {size:,} tokens: the facts below are those of mmBERT's full vocabulary;"
            " give a text or a file to measure this one.",
            err=True,
        )


def _of_tags(tags: list[str]) -> "list[LanguageFacts]":
    from ...languages import shipped_facts
    from ...languages.fertility import reading_facts

    return [next(iter(shipped_facts([tag])), None) or reading_facts(tag) for tag in tags]


def _measured(
    texts: list[str],
    places: list[str],
    tags: list[str],
    tag: str | None,
    tokenizer: "PreTrainedTokenizerBase",
    options: dict[str, Any],
    most: int,
) -> "list[LanguageFacts]":
    from ...data import open_corpus
    from ...languages import measure_texts

    by_tag: dict[str, list[str]] = {}
    if texts:
        by_tag[tag or (tags[0] if len(tags) == 1 else "und")] = list(texts)
    for place in places:
        extra = [tag] if tag else []
        corpus = open_corpus(
            place, language=tag, extra_languages=[*extra, *tags], languages=tags or None, on_bad_row="skip",
            heldout_fraction=0.0, **options,
        )  # fmt: skip
        for document in corpus.documents("train"):
            own = by_tag.setdefault(document.language, [])
            if len(own) < most:
                own.append(document.text)
        for reason, count in getattr(corpus, "skipped", {}).items():
            typer.echo(f"{place}: left out {count:,} x {reason}", err=True)
    if not any(by_tag.values()):
        raise ValueError(f"{', '.join(places)} holds no text to measure.")
    return [measure_texts(name, own, tokenizer) for name, own in sorted(by_tag.items())]


def _print(facts: "list[LanguageFacts]") -> None:
    from rich.console import Console
    from rich.table import Table

    from ...languages.fertility import by_script

    console = Console(width=None if Console().is_terminal else 160)
    if len(facts) > _SHOWN:
        table = Table(title=f"{len(facts)} languages by script, on the Universal Declaration of Human Rights")
        for name in ("script", "languages", "x English, middle", "x English, most", "bytes, most"):
            table.add_column(name, justify="left" if name == "script" else "right")
        for script, own in by_script(facts).items():
            middle, most = own[len(own) // 2], own[0]
            worst = max(own, key=lambda one: one.byte_share)
            table.add_row(
                script, str(len(own)), _times(middle), f"{_times(most)} {most.tag}", f"{worst.byte_share:.0%}"
            )
        console.print(table)
        console.print(
            "Name a language or text for its own facts, or --json for all; x English: tokens for the same text."
        )
        return
    table = Table()
    for name in ("tag", "language", "phase", "tokens read", "texts", "per word", "per character", "x English", "bytes",
                 ">128", ">512", ">8192", "510 hold", "not NFC", "NFC saves"):  # fmt: skip
        table.add_column(name, justify="left" if name in ("tag", "language") else "right")
    for one in facts:
        table.add_row(*_cells(one))
    console.print(table)
    for line in _advice(facts):
        console.print(line, soft_wrap=True)
    if any(one.source == "shipped" for one in facts):
        console.print(
            "Measured on the Universal Declaration of Human Rights with mmBERT's vocabulary; a text is an article."
        )


def _cells(one: "LanguageFacts") -> list[str]:
    from ...model_cards.plots.style import short_count

    phase = "never read" if one.phase is None else str(one.phase)
    if not one.texts:
        return [one.tag, one.name, phase, short_count(one.tokens_read), "0", *[""] * 10]
    return [
        one.tag, one.name, phase, short_count(one.tokens_read), f"{one.texts:,}",
        "" if one.tokens_per_word is None else f"{one.tokens_per_word:.2f}", f"{one.tokens_per_character:.2f}",
        _times(one), f"{one.byte_share:.1%}", *(f"{one.over.get(limit, 0):.0%}" for limit in (128, 512, 8192)),
        "" if one.english_tokens_in_510 is None else str(one.english_tokens_in_510),
        f"{one.not_nfc:.0%}", f"{one.nfc_saves:.0%}",
    ]  # fmt: skip


def _times(one: "LanguageFacts") -> str:
    return "" if one.relative_to_english is None else f"{one.relative_to_english:.1f}"


def _advice(facts: "Iterable[LanguageFacts]") -> Iterable[str]:
    for one in facts:
        for sentence in one.advice:
            yield sentence if sentence.startswith(f"{one.tag}: ") else f"{one.tag}: {sentence}"
