"""`mmbert embed`: one vector a line of text."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def embed(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of an encoder or a SentenceTransformer.")],
    texts: Annotated[str, typer.Argument(help="Text file in UTF-8, one text a line; - reads standard input.")],
    output: Annotated[Path, typer.Argument(help="NumPy file to write: one row a line, float32.")],
    dims: Annotated[int | None, typer.Option(help="Keep only the first so many dimensions.")] = None,
    batch_size: Annotated[int, typer.Option(help="Texts in one forward pass.", min=1)] = 32,
    max_seq_length: Annotated[int | None, typer.Option(help="Cut texts after so many tokens.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:1; the best there is if left out.")] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="float32, bfloat16, float16, or auto: as stored. Left out: bfloat16 where that is fast."),
    ] = None,
    compile_layers: Annotated[
        bool, typer.Option("--compile", help="Compile the layers first: a wait at the start; for many texts on a GPU.")
    ] = False,
) -> None:
    """Turn each line of a text file into a vector of length 1, in the order of the lines."""
    import numpy as np

    from ..embeddings import load_embedder

    if output.suffix != ".npy":
        raise ValueError(f"output must end in .npy, got {output}")
    lines = _read_lines(texts)
    options: Any = {"dims": dims, "max_seq_length": max_seq_length, "device": device, "dtype": dtype}
    embedder = load_embedder(checkpoint, **options, compile=compile_layers)
    vectors = embedder.encode(lines, batch_size=batch_size, show_progress_bar=sys.stderr.isatty())
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.stem}.partial.npy")
    np.save(partial, vectors.astype(np.float32), allow_pickle=False)
    partial.replace(output)
    typer.echo(f"{output}: {vectors.shape[0]:,} vectors of {vectors.shape[1]} dimensions")


def _read_lines(texts: str) -> list[str]:
    """Read the lines; an empty line is a text too, so that row and line numbers agree."""
    if texts != "-" and not Path(texts).is_file():
        raise FileNotFoundError(f"{texts} is no file; give a text file, or - for standard input")
    raw = sys.stdin.buffer.read() if texts == "-" else Path(texts).read_bytes()
    lines = [line.removesuffix(b"\r") for line in raw.removesuffix(b"\n").split(b"\n")] if raw else []
    if not lines:
        raise ValueError(f"{texts} holds no text; one line is one text")
    decoded = []
    for number, line in enumerate(lines, start=1):
        try:
            decoded.append(line.decode("utf-8"))
        except UnicodeDecodeError as broken:
            raise ValueError(f"{texts}, line {number}: not UTF-8 ({broken.reason}); convert the file first") from broken
    return decoded
