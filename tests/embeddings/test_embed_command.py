"""`mmbert embed`: a row a line."""

import logging

import numpy as np
import pytest
import torch
import typer
from mmbert import load_embedder
from mmbert.cli.embed import embed
from mmbert.embeddings import loader
from mmbert.modeling.hardware import preferred_dtype
from typer.testing import CliRunner

app = typer.Typer()
app.command()(embed)
LINES = ["red river", "", "big old house"]


@pytest.fixture
def run(encoder, tmp_path):
    """Embed the lines with further options; return the result and the vectors."""

    def invoke(*options):
        (tmp_path / "texts.txt").write_text("\n".join(LINES))
        arguments = [str(encoder), str(tmp_path / "texts.txt"), str(tmp_path / "vectors.npy"), "--device", "cpu"]
        result = CliRunner().invoke(app, [*arguments, *options])
        return result, np.load(tmp_path / "vectors.npy") if result.exit_code == 0 else None

    return invoke


def test_rows_are_the_lines_in_their_order(encoder, tmp_path):
    (tmp_path / "texts.txt").write_bytes("\r\n".join(LINES).encode() + b"\n")  # line ends of Windows, last one missing
    output = tmp_path / "made" / "vectors.npy"
    arguments = [str(encoder), str(tmp_path / "texts.txt"), str(output), "--dims", "8", "--device", "cpu"]
    result = CliRunner().invoke(app, [*arguments, "--dtype", "float32"])
    assert result.exit_code == 0, result.output
    expected = load_embedder(encoder, dims=8, dtype="float32", device="cpu").encode(LINES)
    np.testing.assert_allclose(np.load(output), expected, atol=1e-5)
    assert [path.name for path in output.parent.iterdir()] == ["vectors.npy"]


def test_standard_input(encoder, tmp_path):
    output = tmp_path / "vectors.npy"
    result = CliRunner().invoke(app, [str(encoder), "-", str(output), "--device", "cpu"], input="red\n\n\nblue\n")
    assert result.exit_code == 0, result.output
    assert np.load(output).shape == (4, 48)


@pytest.mark.parametrize(
    "content, output, kind, message",
    [
        (None, "v.npy", FileNotFoundError, "is no file"),
        (b"", "v.npy", ValueError, "holds no text"),
        (b"red\n\xff\xfe\n", "v.npy", ValueError, "line 2: not UTF-8"),
        (b"red\n", "v.txt", ValueError, "must end in .npy"),
    ],
)
def test_bad_input_is_refused(encoder, tmp_path, content, output, kind, message):
    if content is not None:
        (tmp_path / "texts.txt").write_bytes(content)
    result = CliRunner().invoke(app, [str(encoder), str(tmp_path / "texts.txt"), str(tmp_path / output)])
    assert isinstance(result.exception, kind) and message in str(result.exception)
    assert not (tmp_path / output).exists()


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("bfloat16", 1e-2), ("auto", 1e-5), (None, 1e-2)])
def test_the_file_is_float32_whatever_the_network_computes_in(run, encoder, caplog, monkeypatch, dtype, tolerance):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(loader, "_announced", set())
    result, vectors = run(*(["--dtype", dtype] if dtype else []))
    assert result.exit_code == 0, result.output
    assert vectors.dtype == np.float32 and vectors.shape == (3, 48)
    exact = load_embedder(encoder, dtype="float32", device="cpu").encode(LINES)
    np.testing.assert_allclose(vectors, exact, atol=tolerance)
    said = {"auto": "float32", None: str(preferred_dtype(torch.device("cpu"))).removeprefix("torch.")}.get(dtype, dtype)
    assert any(record.getMessage().startswith(f"embedding in {said}, sdpa") for record in caplog.records)


def test_an_unknown_dtype_is_refused(run):
    result, _ = run("--dtype", "int8")
    assert isinstance(result.exception, ValueError) and "dtype must be one of" in str(result.exception)


def test_compiling_without_a_compiler_is_refused(run):
    with torch._inductor.config.patch({"cpp.cxx": (None, "no-such-compiler")}):
        result, _ = run("--compile")
    assert isinstance(result.exception, ValueError) and "install g++" in str(result.exception)


@pytest.mark.slow
def test_a_compiled_network_writes_the_same_vectors(run, encoder):
    result, vectors = run("--compile", "--dtype", "float32")
    assert result.exit_code == 0, result.output
    exact = load_embedder(encoder, dtype="float32", device="cpu").encode(LINES)
    np.testing.assert_allclose(vectors, exact, atol=1e-5)
