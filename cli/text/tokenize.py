"""`mmbert tokenize`: corpora become a tokenizer and token shards."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...common.options import comma_list

if TYPE_CHECKING:
    from ...data import Source, TokenShards


def tokenize(
    context: typer.Context,
    places: Annotated[
        list[str],
        typer.Argument(
            help="SOURCE... OUTPUT: files, folders, Hub dataset ids, hf:// addresses of MDS folders or finished shards,"
            " then the folder to make. Without --tokenizer: a recipe, whose `data` section counts.",
            metavar="SOURCE... OUTPUT",
        ),
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The folder to make, if not the last.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="tokenizer.json, its folder, or a Hub id.")] = None,
    processes: Annotated[int, typer.Option(help="Processes; 1 uses the tokenizer's threads.", min=1)] = 1,
    part: Annotated[str | None, typer.Option(help="I/N: do only the I-th of N parts, on this machine.")] = None,
    join: Annotated[bool, typer.Option("--join", help="The sources are parts; join them.")] = False,
    chunk_size: Annotated[int | None, typer.Option(help="Cut documents as Ettin's data was; published: 8192.")] = None,
    seed: Annotated[int, typer.Option(help="Decides where documents are cut.")] = 0,
    deduplicate: Annotated[bool, typer.Option(help="Leave out exact copies within a language.")] = True,
    heldout_fraction: Annotated[float, typer.Option(help="Share that training never sees.")] = 0.01,
    language: Annotated[str | None, typer.Option(help="Tag of files and folders whose names say none.")] = None,
    languages: Annotated[str | None, typer.Option(help="Read only these tags, separated by commas.")] = None,
    extra_languages: Annotated[str, typer.Option(help="Tags beyond mmBERT's 1,833, separated by commas.")] = "",
    text_column: Annotated[str, typer.Option(help="Column with the text.")] = "text",
    language_column: Annotated[str, typer.Option(help="Column with the language tag.")] = "lang",
    key_column: Annotated[str | None, typer.Option(help="Column that decides the held-out part.")] = None,
    text_unit: Annotated[str, typer.Option(help="A document of a .txt file: block or line.")] = "block",
    on_bad_row: Annotated[str, typer.Option(help="error or skip.")] = "error",
    max_document_bytes: Annotated[int, typer.Option(help="A longer document is a bad row.")] = 10_000_000,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub dataset.")] = None,
    hub_split: Annotated[str, typer.Option(help="Split of a Hub dataset.")] = "train",
    source_name: Annotated[str | None, typer.Option(help="Name of the source, for the index and model cards.")] = None,
    licence: Annotated[str | None, typer.Option(help="Its licence, an SPDX expression.")] = None,
) -> None:
    """Turn corpora into token shards per language. Stopped or killed, the same call goes on where it was."""
    sources, target = (places[:-1], Path(places[-1])) if output is None else (places, output)
    if not sources:
        raise ValueError("give SOURCE and OUTPUT, or a recipe and --output.")
    if join:
        _refuse_options(context, "--join takes parts as they are; leave out")
        from ...data.tokenization.pipeline import join_parts

        _report(join_parts(sources, target))
        return
    if tokenizer is None:
        _from_recipe(context, sources, target, processes)
        return
    from ...data.corpora.rows import ReadOptions
    from ...data.tokenization.pipeline import tokenize_corpus
    from ...data.tokenization.writer import ShardOptions
    from ...modeling.tokenization_mmbert import build_tokenizer

    options = ReadOptions(
        language_column=language_column,
        text_column=text_column,
        key_column=key_column,
        languages=comma_list(languages) or None,
        language=language,
        extra_languages=comma_list(extra_languages),
        on_bad_row=on_bad_row,  # type: ignore[arg-type]
        max_document_bytes=max_document_bytes,
        heldout_fraction=heldout_fraction,
        text_unit=text_unit,  # type: ignore[arg-type]
        source=_source(source_name, licence, sources, revision),
    )
    shards = tokenize_corpus(
        sources,
        target,
        build_tokenizer(tokenizer),
        options=options,
        shard_options=ShardOptions(deduplicate, chunk_size, seed),
        revision=revision,
        hub_split=hub_split,
        processes=processes,
        part=_part(part),
    )
    if not shards:
        typer.echo(f"part {part} is in {target}; join all parts by `mmbert tokenize --join PART... OUTPUT`.")
    _report(shards)


def _refuse_options(context: typer.Context, why: str, allowed: tuple[str, ...] = ()) -> None:
    """Refuse options that were given where they decide nothing."""
    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in ("places", "output", "join", *allowed)
        and getattr(context.get_parameter_source(name), "name", "DEFAULT") != "DEFAULT"
    ]
    if given:
        raise ValueError(f"{why} {', '.join(given)}.")


def _from_recipe(context: typer.Context, sources: list[str], target: Path, processes: int) -> None:
    from ...data.tokenization import prepare, tokenized_folder
    from ...recipes import Recipe

    if len(sources) != 1:
        raise ValueError(f"{len(sources)} sources need a --tokenizer; without one, name a single recipe.")
    if Path(sources[0]).is_file() and Path(sources[0]).suffix not in (".yaml", ".yml"):
        raise ValueError(f"{sources[0]} is no recipe; name a --tokenizer to tokenize it.")
    _refuse_options(
        context, "without --tokenizer the `data` section of a recipe decides; leave out", allowed=("processes",)
    )
    recipe = Recipe.load(sources[0])
    if (folder := tokenized_folder(recipe.data)) is not None:
        raise ValueError(f"{folder}, the corpus of {sources[0]}, is tokenized already; train on it as it is.")
    data = prepare(recipe, target, processes=processes)
    _report({"train": data.train, "heldout": data.heldout})


def _report(shards: "Mapping[Any, TokenShards]") -> None:
    from ...common.files import write_json
    from ...data.tokenization.fertility import fertility_line, shard_fertility, tokenizer_folder

    for name, found in shards.items():
        tokens = sum(found.token_counts.values())
        typer.echo(f"{name}: {tokens:,} tokens, {len(found.languages)} languages, fingerprint {found.fingerprint[:12]}")
        for reason, count in found.index["skipped"].items():
            typer.echo(f"  left out: {count:,} x {reason}")
        if cuts := found.index.get("chunking"):
            typer.echo(
                f"  cut: {cuts['documents']:,} documents into {cuts['pieces']:,} pieces; dropped"
                f" {cuts['dropped_tokens']:,} tokens, moved {cuts['moved_tokens']:,}"
            )
        if folder := tokenizer_folder(found.directory):
            measured = shard_fertility(found, folder)
            write_json(found.directory.parent / f"fertility_{name}.json", measured)
            if line := fertility_line(measured):
                typer.echo(f"  {line}")


def _part(text: str | None) -> tuple[int, int]:
    if text is None:
        return 1, 1
    first, _, second = text.partition("/")
    if not (first.isdigit() and second.isdigit()):
        raise ValueError(f"--part is {text!r}, but must be I/N, such as 3/8.")
    return int(first), int(second)


def _source(name: str | None, licence: str | None, sources: list[str], revision: str | None) -> "Source | None":
    if name is None and licence is None:
        return None
    from ...data.corpora.base import Source

    if len(sources) > 1:
        raise ValueError("--source-name and --licence speak of one source; tokenize several one by one, then together.")
    return Source(name or Path(sources[0]).name, revision or "local files", licence or "not stated", "")
