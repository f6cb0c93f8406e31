import json
import re
import sys

import pytest
import typer
from mmbert.cli.checkpoints.merge import merge
from typer.testing import CliRunner


@pytest.fixture
def run(make_models, save_checkpoint, tmp_path):
    base, variants = make_models()
    paths = [str(save_checkpoint("base", base)), *(str(save_checkpoint(f"v{i}", v)) for i, v in enumerate(variants))]
    app = typer.Typer()
    app.command()(merge)

    def run(*options):
        result = CliRunner().invoke(app, [*paths, "-o", str(tmp_path / "out"), *options])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_ties_writes_card_and_picture(run, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is in the extra plots")
    assert "signs agree" in run("--parent-ids", "you/base", "--licence", "mit").output
    card = (tmp_path / "out" / "README.md").read_text()
    for words in ("base_model:\n- you/base", "base_model_relation: merge", "license: mit", "| v1 |", "agreement.png"):
        assert words in card, words
    assert (tmp_path / "out" / "agreement.png").read_bytes().startswith(b"\x89PNG")
    fingerprints = [p["fingerprint"] for p in json.loads((tmp_path / "out" / "merge.json").read_text())["parents"]]
    assert all(fingerprint[:16] in card for fingerprint in fingerprints) and str(tmp_path) not in card


def test_average_with_falling_weights(run, tmp_path):
    run("--method", "average", "--decay", "0.5")
    weights = json.loads((tmp_path / "out" / "merge.json").read_text())["parameters"]["weights"]
    assert weights == pytest.approx([1 / 15, 2 / 15, 4 / 15, 8 / 15])
    assert re.search(r"\| v2 \| `\w+` \| 0.5333 \|", (tmp_path / "out" / "README.md").read_text())


def test_task_arithmetic(run, tmp_path):
    run("--method", "arithmetic", "--scale", "0.5")
    record = json.loads((tmp_path / "out" / "merge.json").read_text())
    assert record["method"] == "task_arithmetic" and record["parameters"]["scale"] == 0.5


def test_search_by_a_command(run, tmp_path):
    script = tmp_path / "score.py"
    script.write_text(
        "import json, sys\nprint('reading', sys.argv[1])\n"
        "print(-abs(json.load(open(sys.argv[1] + '/merge.json'))['parameters']['density'] - 0.5))\n"
    )
    output = run(
        "--density", "0.2", "--density", "0.5", "--scale", "1", "--score", f"{sys.executable} {script} {{}}"
    ).output
    assert "Search" in output
    assert json.loads((tmp_path / "out" / "merge.json").read_text())["parameters"]["density"] == 0.5
    assert "score (higher is better)" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--density", "0.2", "--density", "0.5"], "no --score to choose by"),
        (["--score", "true"], r"has no \{\}"),
        (["--score", "echo {} word"], "must end with a number"),
        (["--method", "average", "--density", "0.5"], "belong to ties, not to average"),
        (["--method", "average", "--scale", "2"], "--scale belongs to ties and arithmetic"),
        (["--decay", "0.5"], "add --method average"),
        (["--method", "average", "--decay", "0.5", "--weights", "1"], "--weights and --decay are two ways"),
        (["--method", "average", "--trim", "tensor"], "--trim belongs to ties, not to average"),
        (["--trim", "tensors"], "tensors.* is none of global, tensor; did you mean tensor"),
        (["--licence", "apache"], "is no id of the Hub; did you mean apache-2.0?"),
        (["--parent-ids", "you/base/x"], "parent 'you/base/x' is no Hub id"),
        (["--score", "nonesuch {}"], "--score 'nonesuch {}' cannot be run: No such file"),
        (["--score", "echo '{}"], "cannot be read: No closing quotation"),
    ],
)
def test_refusals(run, tmp_path, options, match):
    with pytest.raises(ValueError, match=match):
        run(*options)
    assert not (tmp_path / "out").exists()
