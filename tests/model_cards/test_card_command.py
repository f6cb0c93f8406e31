"""`mmbert card` on the folder of a run."""

import json

import pytest
import typer
from huggingface_hub import ModelCard
from mmbert.cli.checkpoints.card import card
from typer.testing import CliRunner

app = typer.Typer()
app.command()(card)


@pytest.fixture
def run_dir(small_record, tmp_path):
    (tmp_path / "run_record.json").write_text(json.dumps(small_record))
    return tmp_path


def test_it_writes_card_and_pictures_beside_the_record(run_dir):
    result = CliRunner().invoke(app, [str(run_dir), "--name", "tiny", "--repo-id", "someone/tiny"])
    assert result.exit_code == 0, result.output
    text = (run_dir / "README.md").read_text(encoding="utf-8")
    assert ModelCard(text).data.model_name == "tiny" and "someone/tiny" in text
    drawn = sorted(path.name for path in (run_dir / "pictures").iterdir())
    assert drawn == ["loss.png", "schedule.png", "shares.png"]
    assert all(f"(pictures/{name})" in text for name in drawn)


def test_pictures_can_be_left_out(run_dir):
    result = CliRunner().invoke(app, [str(run_dir), "--no-pictures"])
    assert result.exit_code == 0 and not (run_dir / "pictures").exists()
    assert "![" not in (run_dir / "README.md").read_text(encoding="utf-8")


def test_a_folder_without_a_run_is_refused(tmp_path):
    result = CliRunner().invoke(app, [str(tmp_path)])
    assert isinstance(result.exception, FileNotFoundError) and "run_record.json" in str(result.exception)
