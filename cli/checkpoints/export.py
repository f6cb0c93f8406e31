"""`mmbert export`: a checkpoint becomes one that other software reads."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ...common.files import file_size
from ...common.messages import require_known


def export(
    checkpoint: Annotated[Path, typer.Argument(help="mmBERT checkpoint directory, or what --from says.")],
    output: Annotated[Path, typer.Argument(help="Directory to make.")],
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="modernbert: stock transformers 4 and 5 and serving engines; onnx; openvino; gguf: llama.cpp.",
        ),
    ] = "modernbert",
    auto_map: Annotated[
        bool, typer.Option(help="Add our network's code, for readers who say trust_remote_code=True.")
    ] = False,
    from_: Annotated[
        str, typer.Option("--from", help="mmbert, or composer: FlexBERT's state dict as safetensors.")
    ] = "mmbert",
    composer_config: Annotated[Path | None, typer.Option(help="With --from composer: the YAML of its run.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="With --from composer: folder of its tokenizer.")] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="onnx, openvino, gguf: feature-extraction, embedding, fill-mask, text-classification, "
            "token-classification, question-answering, sparse-embedding, token-embedding; the checkpoint's own if "
            "left out."
        ),
    ] = None,
    optimize: Annotated[
        int | None, typer.Option(help="onnx: 0 as recorded, 1 standard operators, 2 fused, 3 for this processor.")
    ] = None,
    quantize: Annotated[
        str | None,
        typer.Option(
            help="modernbert: none, int8; onnx: none, fp16, int8, int8-static, q4; openvino: none, int8, int8-static; "
            "gguf: f32, f16, q8_0, ..."
        ),
    ] = None,
    calibration: Annotated[Path | None, typer.Option(help="For int8-static: text file, one text per line.")] = None,
    pooling: Annotated[str | None, typer.Option(help="For embedding: mean or cls.")] = None,
    normalize: Annotated[bool | None, typer.Option(help="For embedding: vectors of length 1.")] = None,
    dims: Annotated[int | None, typer.Option(help="For embedding: keep only the first so many dimensions.")] = None,
) -> None:
    """Write a checkpoint as `modernbert`, ONNX, OpenVINO or GGUF, checked against its own numbers before it appears."""
    from rich.console import Console
    from transformers.utils import logging as transformers_logging

    from ...export import convert_composer, export_modernbert

    transformers_logging.disable_progress_bar()  # of reading weights, a moment
    graph: dict[str, Any] = {"task": task, "optimize": optimize, "quantize": quantize, "calibration": calibration}
    graph |= {"pooling": pooling, "normalize": normalize, "dims": dims}
    graph = {name: value for name, value in graph.items() if value is not None}
    require_known("format", format_, ("modernbert", "onnx", "openvino", "gguf"))
    require_known("from", from_, ("mmbert", "composer"))
    require_known("pooling", pooling, (None, "mean", "cls"))
    if format_ != "modernbert":
        if from_ != "mmbert" or composer_config or tokenizer:
            raise ValueError(f"--format {format_} reads an mmBERT checkpoint; convert it to modernbert first")
        _export_graph(checkpoint, output, format_, graph)
        return
    rounding = graph.pop("quantize", "none")
    if graph:
        raise ValueError(f"--{next(iter(graph))} is for --format onnx, openvino or gguf; leave it out")
    if from_ == "mmbert":
        written = export_modernbert(checkpoint, output, code=auto_map, quantize=rounding)
    elif rounding != "none":
        raise ValueError("--quantize is for an mmBERT checkpoint; leave it out, then export what --from composer wrote")
    elif composer_config is None:
        raise ValueError("--from composer needs --composer-config, the YAML that the run was started with")
    else:
        written = convert_composer(checkpoint, composer_config, output, tokenizer=tokenizer, code=auto_map)
    Console().print(f"exported model: {written}")


def _export_graph(checkpoint: Path, output: Path, kind: str, options: dict[str, Any]) -> None:
    """Write an ONNX or OpenVINO folder and say how far its numbers are from torch's."""
    from ...export import export_onnx, export_openvino

    if kind == "gguf":
        _export_gguf(checkpoint, output, options)
        return
    if kind == "openvino" and options.pop("optimize", None) is not None:
        raise ValueError("--optimize is for --format onnx; OpenVINO optimises when it loads a graph")
    if "calibration" in options:
        file: Path = options["calibration"]
        if not file.is_file():
            raise FileNotFoundError(f"{file} is no file; give a text file, one text a line")
        try:
            options["calibration"] = file.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as broken:
            raise ValueError(f"{file}: not UTF-8 ({broken.reason}); convert the file first") from broken
    done = (export_onnx if kind == "onnx" else export_openvino)(checkpoint, output, **options)
    size = sum(path.stat().st_size for path in (done.output / done.file).parent.iterdir())
    typer.echo(f"exported {done.task}: {done.output / done.file} ({file_size(size)})")
    typer.echo(str(done.parity))


def _export_gguf(checkpoint: Path, output: Path, options: dict[str, Any]) -> None:
    from ...export import export_gguf
    from ...export.gguf.write import DTYPES

    for name in ("optimize", "calibration", "normalize", "dims"):
        if name in options:
            raise ValueError(f"--{name} has no place in GGUF; leave it out")
    if "quantize" in options:
        require_known("quantize", options["quantize"], DTYPES)
        options["dtype"] = options.pop("quantize")
    done = export_gguf(checkpoint, output, **options)
    file = done.output / done.file
    typer.echo(f"exported {done.task}, pooling {done.pooling}: {file} ({file_size(file.stat().st_size)})")
