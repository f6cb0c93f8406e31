"""`mmbert embed`: one vector per line of text, row of a table, or text file of a folder."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer


def embed(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of an encoder or a SentenceTransformer.")],
    texts: Annotated[
        str,
        typer.Argument(
            help="Text file in UTF-8, one text per line; a table (.jsonl, .csv, .tsv, .parquet, ...), one per row; a "
            "folder of tables or of .txt and .md files, one text each; - reads lines of standard input."
        ),
    ],
    output: Annotated[Path, typer.Argument(help="NumPy file to write: a row a text; a .json of what it is beside it.")],
    dims: Annotated[int | None, typer.Option(help="Keep only the first so many dimensions.")] = None,
    token_budget: Annotated[int | None, typer.Option(help="Tokens of a batch; what suits if left out.")] = None,
    max_seq_length: Annotated[int | None, typer.Option(help="Cut texts after so many tokens.")] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Such as cpu or cuda:1, or several with commas, a process each; the best if left out."),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="float32, bfloat16, float16, int8 (CPU), or auto: as stored. Left out: bfloat16 where that is fast."
        ),
    ] = None,
    backend: Annotated[str, typer.Option(help="torch; onnx or openvino for an exported folder.")] = "torch",
    prompt: Annotated[str | None, typer.Option(help="Put before every text.")] = None,
    field: Annotated[
        str | None, typer.Option(help="Column of a table that holds the text; found and told if left out.")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Write float16 instead of float32.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew instead of going on after a kill.")] = False,
    compile_layers: Annotated[
        bool, typer.Option("--compile", help="Compile the layers first: a wait at the start; for many texts on a GPU.")
    ] = False,
) -> None:
    """Turn texts into vectors of length 1, in their order; called again after a kill, it goes on where it was."""
    from ...embeddings import encode_to_file, load_embedder

    if output.suffix != ".npy":
        raise ValueError(f"output must end in .npy, got {output}")
    stream = _texts(texts, field)
    devices = [None] if device is None else [one.strip() for one in device.split(",")]
    options: Any = {"dims": dims, "max_seq_length": max_seq_length, "dtype": dtype, "backend": backend}
    options |= {"device": devices[0], "token_budget": token_budget, "compile": compile_layers}
    embedder = load_embedder(checkpoint, **options)
    pool = embedder.start_multi_process_pool([str(one) for one in devices]) if len(devices) > 1 else None
    try:
        done = encode_to_file(
            embedder,
            stream,
            output,
            prompt=prompt,
            dtype="float16" if half else "float32",
            restart=restart,
            show_progress=sys.stderr.isatty(),
            pool=pool,
        )
    finally:
        if pool is not None:
            embedder.stop_multi_process_pool(pool)
    typer.echo(f"{done.path}: {done.rows:,} vectors of {done.dimensions} dimensions{_remarks(done)}")


def _remarks(done: Any) -> str:
    remarks = {"texts were cut": done.cut, "were blank": done.blank, "were there already": done.resumed}
    return "".join(f"; {number:,} {what}" for what, number in remarks.items() if number)


def _texts(place: str, field: str | None) -> Iterator[str]:
    """Return an iterator over the texts; that there is one is seen before anything is loaded."""
    from itertools import chain

    from ...data.tables.files import format_of, refusal
    from ...embeddings import read_documents

    path = Path(place)
    if place != "-" and not path.exists():
        raise FileNotFoundError(f"{place} is no file; give a text file, a table, a folder, or - for standard input")
    if place != "-" and (path.is_dir() or format_of(path) not in (None, "text")):
        found: Iterator[str] = (document.text for document in read_documents(place, field=field))
    elif place != "-" and "cannot be read" in (told := refusal(path)):
        raise ValueError(told)
    else:
        found = _lines(place)
    first = next(found, None)
    if first is None:
        raise ValueError(f"{place} holds no text; one line is one text")
    return chain([first], found)


def _lines(place: str) -> Iterator[str]:
    """Yield the lines; an empty line is a text too, so that row and line numbers agree."""
    from ...data.tables.base import TableError
    from ...data.tables.files import open_text

    try:
        file = sys.stdin.buffer if place == "-" else open_text(Path(place))
    except TableError as error:
        raise ValueError(f"{place}: {error}") from None
    with file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
            except UnicodeDecodeError as broken:
                raise ValueError(
                    f"{place}, line {number}: not UTF-8 ({broken.reason}); convert the file first"
                ) from broken
            yield text.removeprefix("\ufeff") if number == 1 else text
