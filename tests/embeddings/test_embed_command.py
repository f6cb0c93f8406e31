"""`mmbert embed`: a row a line."""

import numpy as np
import pytest
import typer
from mmbert import load_embedder
from mmbert.cli.embed import embed
from typer.testing import CliRunner

app = typer.Typer()
app.command()(embed)
LINES = ["red river", "", "big old house"]


def test_rows_are_the_lines_in_their_order(encoder, tmp_path):
    (tmp_path / "texts.txt").write_bytes("\r\n".join(LINES).encode() + b"\n")  # line ends of Windows, last one missing
    output = tmp_path / "made" / "vectors.npy"
    arguments = [str(encoder), str(tmp_path / "texts.txt"), str(output), "--dims", "8", "--device", "cpu"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    expected = load_embedder(encoder, dims=8, device="cpu").encode(LINES)
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
