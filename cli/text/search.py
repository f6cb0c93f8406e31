"""`mmbert search`: index your documents, then ask; in two commands, or on a page."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

search = typer.Typer(help="Index your own documents, then ask them.", no_args_is_help=True)
_SHOWN = 240  # characters of a passage on the screen


@search.command("index")
def index_documents(
    documents: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of texts (.txt, .md, .rst) and tables (.jsonl, .csv, .parquet, ...), or single files."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the index; one that is there grows.")],
    model: Annotated[
        str | None, typer.Option(help="Folder or Hub id of an embedder; an index that is there knows its own.")
    ] = None,
    passage_tokens: Annotated[
        int | None, typer.Option(help="Most tokens of a passage; 0: one vector per document. Left out: 256.")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="Tokens of a passage that the next one repeats; none if left out.")
    ] = None,
    dims: Annotated[int | None, typer.Option(help="Keep only the first so many dimensions.")] = None,
    half: Annotated[bool, typer.Option("--half", help="Store float16 instead of float32.")] = False,
    graph: Annotated[
        bool, typer.Option("--graph", help="Build a graph with usearch, for millions of passages.")
    ] = False,
    no_texts: Annotated[bool, typer.Option("--no-texts", help="Look passages up in the files when shown.")] = False,
    field: Annotated[
        str | None, typer.Option(help="Column of a table that holds the text; found and told if left out.")
    ] = None,
    skip_bad: Annotated[bool, typer.Option(help="Leave out, and count, what cannot be read.")] = False,
    query_prompt: Annotated[str | None, typer.Option(help="Put before a question; as saved if left out.")] = None,
    document_prompt: Annotated[str | None, typer.Option(help="Put before a passage; as saved if left out.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:1; the best if left out.")] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="float32, bfloat16, float16, int8 (CPU) or auto: as stored; the fast one if left out."),
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="torch, also if left out; onnx or openvino for an exported folder.")
    ] = None,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Also remove what the index holds and these places do not hold any more.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew instead of going on after a kill.")] = False,
) -> None:
    """Embed documents, passage by passage. Called again it adds what is new or changed; after a kill it goes on."""
    from ...embeddings import read_documents
    from ...embeddings.search.store import FILE

    bad: Any = "skip" if skip_bad else "raise"
    read = read_documents(*documents, field=field, on_bad=bad)
    options = {"on_bad": bad, "mirror": mirror, "restart": restart, "show_progress": sys.stderr.isatty()}
    given: dict[str, Any] = {"--passage-tokens": passage_tokens, "--overlap": overlap, "--dims": dims}
    given |= {"--half": half or None, "--graph": graph or None, "--no-texts": no_texts or None}
    given |= {"--dtype": dtype, "--backend": backend}
    given |= {"--query-prompt": query_prompt, "--document-prompt": document_prompt}
    if (output / FILE).is_file() or (output / "index.json").is_file():
        index = _open_unfinished(output, model, device)
    else:
        index = None
    if index is not None:
        _refuse_others(given, index.store.settings, output)
        index.add(read, **options)
    elif model is None:
        raise ValueError(f"{output} is a new index; say with --model which embedder makes its vectors")
    else:
        index = _made(output, read, model, device, given, options)
    typer.echo(_summary(index))


def _open_unfinished(output: Path, model: str | None, device: str | None) -> Any:
    """Open an index; None if the call that made it was killed before its first commit."""
    from ...embeddings import SearchIndex

    try:
        return SearchIndex.open(output, model, device=device, load_model=False)
    except FileNotFoundError:
        return None


def _made(
    output: Path, read: Any, model: str, device: str | None, given: dict[str, Any], options: dict[str, Any]
) -> Any:
    """Make a new index."""
    from ...embeddings import SearchIndex, load_embedder

    prompts = {"query": given["--query-prompt"], "document": given["--document-prompt"]}
    backend, tokens = given["--backend"] or "torch", given["--passage-tokens"]
    settings: Any = {"dims": given["--dims"], "device": device, "dtype": given["--dtype"], "backend": backend}
    settings["prompts"] = {name: text for name, text in prompts.items() if text is not None}
    embedder: Any = load_embedder(model, **settings)
    place = str(Path(model).absolute()) if Path(model).exists() else model
    used = getattr(getattr(embedder[0], "model", None), "dtype", None)
    dtype = given["--dtype"] if used is None or given["--dtype"] == "int8" else str(used).split(".")[-1]
    return SearchIndex.build(
        output,
        read,
        embedder,
        passage_tokens=256 if tokens is None else tokens or None,
        overlap=given["--overlap"] or 0,
        keep_texts=not given["--no-texts"],
        dtype="float16" if given["--half"] else "float32",
        graph=bool(given["--graph"]),
        source={"checkpoint": place, "backend": backend, "dtype": dtype},
        **options,
    )


@search.command("remove")
def remove_documents(
    index: Annotated[Path, typer.Argument(help="Folder that `mmbert search index` wrote.")],
    names: Annotated[list[str], typer.Argument(help="Documents, as hits name them, without the line.")],
) -> None:
    """Let documents not be found any more. To follow a folder, call `index --mirror` on it instead."""
    from ...embeddings import SearchIndex

    opened = SearchIndex.open(index, load_model=False)
    count = opened.remove(names)
    typer.echo(f"{index}: {count:,} document{'s' * (count != 1)} removed; now {len(opened):,} passages")


@search.command("compact")
def compact_index(
    index: Annotated[Path, typer.Argument(help="Folder that `mmbert search index` wrote.")],
) -> None:
    """Give back the space of what was replaced or removed; convert an index of an earlier version."""
    from ...embeddings import SearchIndex

    before = _size(index)
    done = SearchIndex.compact(index)
    typer.echo(f"{index}: {len(done):,} passages in {_size(index):,} bytes, {before:,} before")


@search.command("query")
def query_index(
    index: Annotated[Path, typer.Argument(help="Folder that `mmbert search index` wrote.")],
    question: Annotated[
        list[str] | None, typer.Argument(help="What to look for; left out: ask line by line until an empty line.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Most hits.")] = 10,
    mode: Annotated[
        str,
        typer.Option(help="vectors: by meaning; words: by exact words, no model needed; hybrid: both rankings fused."),
    ] = "vectors",
    where: Annotated[
        str | None, typer.Option(help="Only documents whose columns meet a condition, such as \"lang = 'khm_Khmr'\".")
    ] = None,
    hubness: Annotated[
        str, typer.Option(help="none; centre: passages and languages that are near to every query come up less.")
    ] = "none",
    reranker: Annotated[
        str | None, typer.Option(help="Folder or Hub id of a cross-encoder, to order the hits.")
    ] = None,
    candidates: Annotated[int, typer.Option(min=1, help="So many passages the reranker reads.")] = 50,
    per_document: Annotated[
        bool, typer.Option("--per-document", help="Show every document once, by its best passage.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="The embedder, if it is not where it was.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:1; the best if left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line and hit, for programs.")] = False,
) -> None:
    """Find the passages nearest to a question, in any language that the model knows."""
    from ...embeddings import SearchIndex

    opened = SearchIndex.open(index, model, device=device, load_model=False)
    options: dict[str, Any] = {"mode": mode, "where": where, "candidates": candidates, "one_per_document": per_document}
    options["hubness"] = hubness
    if reranker is not None:
        from ...embeddings import load_reranker

        options["reranker"] = load_reranker(reranker, device=device)
    for asked in [" ".join(question)] if question else _questions():
        hits = opened.search(asked, top, **options)
        for rank, hit in enumerate(hits, start=1):
            typer.echo(_object(asked, rank, hit) if as_json else _shown(rank, hit))
        if not as_json and not question:
            typer.echo()
        if question and not hits:
            typer.echo(f"mmbert: {index} holds nothing for {asked!r} (--mode {mode})", err=True)
            raise typer.Exit(1)


@search.command("serve")
def serve_index(
    index: Annotated[Path, typer.Argument(help="Folder that `mmbert search index` wrote.")],
    host: Annotated[str, typer.Option(help="Address to listen on; others than 127.0.0.1 need a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port.")] = 8321,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MMBERT_SEARCH_TOKEN", help="What requests must send; for another --host one is made if left out."
        ),
    ] = None,
    reranker: Annotated[
        str | None, typer.Option(help="Folder or Hub id of a cross-encoder, for the page and /v1/rerank.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The embedder, if it is not where it was.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:1; the best if left out.")] = None,
) -> None:
    """Open a search page, /v1/embeddings and /v1/rerank, for this machine or, with a token, for others."""
    import secrets

    from ...embeddings import SearchIndex, load_reranker
    from ...embeddings.search.serve import make_app

    if host not in ("127.0.0.1", "localhost", "::1") and not token:
        token = secrets.token_urlsafe(24)
    opened = SearchIndex.open(index, model, device=device)
    loaded = None if reranker is None else load_reranker(reranker, device=device)
    app = make_app(opened, token=token, reranker=loaded)
    import uvicorn

    from ...embeddings.search.served import announced

    address = f"[{host}]" if ":" in host else host
    typer.echo(
        f"open http://{address}:{port}/{f'#token={token}' if token else ''} in a browser; Ctrl+C ends the server"
    )
    with announced(index, host, port, token, app.state.instance):
        uvicorn.run(app, host=host, port=port, log_level="warning", server_header=False)


def _questions() -> Iterator[str]:
    """Yield lines of standard input; on a screen, a prompt asks for each, and an empty one ends."""
    asking = sys.stdin.isatty()
    while True:
        if asking:
            typer.echo("? ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line or (asking and not line.strip()):
            return
        if line.strip():
            yield line.strip()


def _shown(rank: int, hit: Any) -> str:
    place = f"{hit.document}:{hit.line}" if hit.file else f"{hit.document}, line {hit.line}"
    text = "(its file has changed since)" if hit.text is None else _excerpt(hit.text, hit.highlights)
    return f"{rank:2}  {hit.score:.3f}  {place}\n    {text}"


def _excerpt(text: str, highlights: list[tuple[int, int]]) -> str:
    """Part of a passage with the first word that was asked for; its words in bold on a screen."""
    first = 0 if not highlights or highlights[0][1] < _SHOWN else max(0, highlights[0][0] - _SHOWN // 4)
    last = min(len(text), first + _SHOWN)
    shown, place = "", first
    for start, end in highlights if sys.stdout.isatty() else []:
        if first <= start and end <= last:
            shown += text[place:start] + typer.style(text[start:end], bold=True)
            place = end
    shown = " ".join((shown + text[place:last]).split())
    return f"{'...' if first else ''}{shown}{'...' if last < len(text) else ''}"


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _object(question: str, rank: int, hit: Any) -> str:
    return json.dumps({"query": question, "rank": rank, **asdict(hit)}, ensure_ascii=False)


def _summary(index: Any) -> str:
    added = index.last_added
    remarks = {"there already": added.unchanged, "replaced": added.replaced, "passages cut": added.cut or 0}
    remarks |= {f"skipped ({reason})": number for reason, number in added.skipped.items()}
    remarks |= {"passages embedded before": added.resumed, "removed": added.removed}
    more = "".join(f"; {number:,} {what}" for what, number in remarks.items() if number)
    return (
        f"{index.folder}: {added.documents:,} documents added, {added.passages:,} passages{more}; now "
        f"{len(index):,} passages of {index.model.dimensions} dimensions"
    )


def _refuse_others(given: dict[str, Any], settings: dict[str, Any], output: Path) -> None:
    """Refuse options that an index was not made with; they would have no effect."""
    model, cut = settings["model"], settings["cut"] or {"tokens": 0, "overlap": 0}
    made = {"--passage-tokens": cut["tokens"], "--overlap": cut["overlap"], "--dims": model["dimensions"]}
    made |= {"--half": settings["dtype"] == "float16", "--graph": settings["graph"]}
    source = model["source"] or {}
    made |= {"--no-texts": not settings["keep_texts"], "--dtype": source.get("dtype", model["dtype"])}
    made |= {"--backend": source.get("backend", "torch")}
    made |= {"--query-prompt": model["query_prompt"], "--document-prompt": model["document_prompt"]}
    for name, value in given.items():
        same = value in (None, "auto", made[name]) or (value == "" and made[name] is None)
        if not same:
            raise ValueError(
                f"{output} was made with {name} {made[name]!r}, got {value!r}; leave it out, or name another -o"
            )
