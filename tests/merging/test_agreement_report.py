import io

import mmbert
import numpy as np
import pytest
import torch
import typer
from mmbert.cli.checkpoints.merge import merge
from mmbert.merging import merge_weighted_average, read_report
from rich.console import Console
from typer.testing import CliRunner


@pytest.fixture
def merged(save_checkpoint, tmp_path):
    """Two variants whose numbers can be counted by hand."""
    base = {"model.layers.1.w": torch.zeros(4), "model.embeddings.w": torch.zeros(2), "head.w": torch.zeros(2)}
    one = {"model.layers.1.w": [4, -3, 2, 0.1], "model.embeddings.w": [0.2, 0.0], "head.w": [5, 0]}
    two = {"model.layers.1.w": [1, 3, 4, -0.1], "model.embeddings.w": [0.0, 0.2], "head.w": [-5, 0]}
    paths = [
        save_checkpoint(n, {k: torch.tensor(v) + 0.0 for k, v in t.items()}) for n, t in (("one", one), ("two", two))
    ]
    return mmbert.merge_ties(save_checkpoint("base", base), paths, tmp_path / "out", density=0.5)


def test_numbers_of_a_small_case(merged):
    report = read_report(merged)
    assert [layer.name for layer in report.layers] == ["embeddings", "layer 1", "head and norms"]
    embeddings, layer, head = report.layers
    # four of eight entries stay: 4 -3 2 5 of the first, 1 3 4 -5 of the second
    assert layer.kept == (0.75, 0.75) and head.kept == (0.5, 0.5) and embeddings.kept == (0, 0)
    assert layer.sign_agreement == pytest.approx(2 / 3) and head.sign_agreement == 0
    assert embeddings.sign_agreement is None
    assert layer.kept_mass == pytest.approx((9 / 9.1, 8 / 8.1))
    assert report.whole.sign_agreement == pytest.approx(2 / 4) and report.whole.parameters == 8
    one = np.array([4, -3, 2, 0.1, 0.2, 0, 5, 0])
    two = np.array([1, 3, 4, -0.1, 0, 0.2, -5, 0])
    cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    np.testing.assert_allclose(np.array(report.cosine), [[1, cosine], [cosine, 1]], rtol=1e-6)


def test_layers_are_sorted_by_number(make_models, save_checkpoint, tmp_path):
    base, variants = make_models()
    paths = [save_checkpoint(f"v{i}", v) for i, v in enumerate(variants)]
    report = read_report(mmbert.merge_ties(save_checkpoint("base", base), paths, tmp_path / "out"))
    assert [layer.name for layer in report.layers] == ["embeddings", "layer 0", "layer 2", "layer 10", "head and norms"]
    assert sum(layer.parameters for layer in report.layers) == sum(t.numel() for t in base.values())


def test_a_variant_that_did_not_move_has_no_cosine(make_models, save_checkpoint, tmp_path):
    base, (variant,) = make_models(count=1)
    paths = [save_checkpoint("same", base), save_checkpoint("other", variant)]
    report = read_report(mmbert.merge_ties(save_checkpoint("base", base), paths, tmp_path / "out"))
    assert report.cosine[0] == (None, None) and report.cosine[1][1] == pytest.approx(1)
    assert report.whole.kept_mass[0] is None


def test_table_and_picture(merged, tmp_path):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(read_report(merged).to_table())
    text = console.export_text()
    assert "layer 1" in text and "66.7 %" in text and "one / two" in text.replace("two / one", "one / two")
    pytest.importorskip("matplotlib", reason="matplotlib is in the extra plots")
    assert read_report(merged).draw(tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_an_average_has_no_report(merged, tmp_path):
    average = merge_weighted_average([merged], tmp_path / "average")
    with pytest.raises(ValueError, match="no agreement report"):
        read_report(average)


def test_command(make_models, save_checkpoint, tmp_path):
    base, variants = make_models()
    paths = [str(save_checkpoint(f"v{i}", v)) for i, v in enumerate(variants)]
    app = typer.Typer()
    app.command()(merge)
    arguments = [str(save_checkpoint("base", base)), *paths, "-o", str(tmp_path / "out"), "--density", "0.5"]
    result = CliRunner().invoke(app, [*arguments, "--weights", "1", "--weights", "1", "--weights", "2"])
    assert result.exit_code == 0, result.output
    assert "signs agree" in result.output
    assert (tmp_path / "out" / "model.safetensors").is_file()
