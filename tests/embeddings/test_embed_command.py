"""`mmbert embed`: a row a text, from lines, objects and files."""

import json
import logging

import numpy as np
import pytest
import torch
import typer
from mmbert import load_embedder
from mmbert.cli.text.embed import embed
from mmbert.embeddings.encoding import load as loader
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
    assert sorted(path.name for path in output.parent.iterdir()) == ["vectors.json", "vectors.npy"]


def test_standard_input(encoder, tmp_path):
    output = tmp_path / "vectors.npy"
    result = CliRunner().invoke(app, [str(encoder), "-", str(output), "--device", "cpu"], input="red\n\n\nblue\n")
    assert result.exit_code == 0, result.output
    assert np.load(output).shape == (4, 48)


@pytest.fixture
def invoke(encoder, tmp_path):
    """Embed something in fp32; return what was said and the vectors."""

    def run(texts, *options):
        arguments = [str(encoder), str(texts), str(tmp_path / "v.npy"), "--device", "cpu", "--dtype", "float32"]
        result = CliRunner().invoke(app, [*arguments, *options])
        if result.exception is not None:
            raise result.exception
        return result.output, np.load(tmp_path / "v.npy")

    return run


def test_objects_and_files_are_texts_too(encoder, invoke, tmp_path):
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"n": 1, "body": line}) + "\n" for line in LINES))
    folder = tmp_path / "folder"
    (folder / "b").mkdir(parents=True)
    for name, line in zip(("a.txt", "b/a.md", "b/c.txt", "b/left_alone.pdf"), [*LINES, "x"], strict=True):
        (folder / name).write_text(line)
    expected = load_embedder(encoder, dtype="float32", device="cpu").encode(LINES)
    for place, options in ((tmp_path / "texts.jsonl", ["--field", "body"]), (folder, [])):
        said, vectors = invoke(place, *options)
        np.testing.assert_allclose(vectors, expected, atol=1e-5)
        assert "3 vectors of 48 dimensions; 1 were blank" in said


def test_options_reach_the_embedder_and_the_file(encoder, invoke, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(LINES))
    said, vectors = invoke(tmp_path / "texts.txt", "--prompt", "old: ", "--half", "--max-seq-length", "6")
    embedder = load_embedder(encoder, dtype="float32", device="cpu", max_seq_length=6)
    np.testing.assert_allclose(vectors, embedder.encode(LINES, prompt="old: "), atol=1e-3)
    assert vectors.dtype == np.float16 and f"{embedder.last_encoding.cut} texts were cut" in said


@pytest.mark.parametrize(
    "row, message",
    [
        ("{", "row 2: invalid JSON"),
        ('{"body": "x"}', "row 2: no 'text' among body; name the right one"),
        ("[1]", "row 2: invalid JSON .a list"),
    ],
)
def test_bad_objects_are_refused_by_line(invoke, tmp_path, row, message):
    (tmp_path / "texts.jsonl").write_text('{"text": "red"}\n' + row + "\n")
    with pytest.raises(ValueError, match=message):
        invoke(tmp_path / "texts.jsonl")


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
    result, _ = run("--dtype", "int4")
    assert isinstance(result.exception, ValueError) and "is none of auto, float32" in str(result.exception)


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
