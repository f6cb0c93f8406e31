"""The wheel: what pip builds from the tree carries everything that the package reads at run time."""

import os
import subprocess
import sys
from pathlib import Path

import mmbert
import pytest

ROOT = Path(mmbert.__file__).parent


@pytest.mark.slow
def test_a_wheel_works_away_from_the_tree(tmp_path):
    build = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--target", str(tmp_path / "site"), str(ROOT)], check=True, timeout=200)
    code = (
        "import mmbert, pathlib; from mmbert.recipes import Recipe; from mmbert.data import published_token_counts; "
        "assert str(pathlib.Path(mmbert.__file__)).startswith({site!r}), mmbert.__file__; "
        "Recipe.load('demo'); Recipe.load('mmbert-base-mask25'); "
        "assert len(published_token_counts('decay-all')) == 1834; "
        "[getattr(mmbert, name) for name in mmbert.__all__]; "
        "from mmbert.cli import main; import sys; sys.argv = ['mmbert', 'doctor']; main()"
    ).format(site=str(tmp_path / "site"))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert f"mmbert {mmbert.__version__}" in done.stdout
    files = {path.name for path in (tmp_path / "site" / "mmbert").rglob("*")}
    assert {"py.typed", "demo.yaml", "language_counts.csv", "template.md"} <= files
    assert not {"tests", "examples", "benchmarks"} & files
