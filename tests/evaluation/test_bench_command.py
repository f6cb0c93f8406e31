"""`mmbert bench`, and the scripts of benchmarks/ as a user runs them."""

import subprocess
import sys
from pathlib import Path

import mmbert
import pytest
import typer
from mmbert import MmBertConfig, MmBertModel
from mmbert.cli.checkpoints.bench import bench
from mmbert.evaluation.efficiency import memory as efficiency_memory
from mmbert.evaluation.efficiency.models import OURS, STOCK
from mmbert.evaluation.efficiency.report import Report
from typer.testing import CliRunner

TINY = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 96, "vocab_size": 50}

app = typer.Typer()
app.command()(bench)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "tiny"
    config = MmBertConfig(num_hidden_layers=4, max_position_embeddings=600, **TINY)
    MmBertModel(config).save_pretrained(path)
    return path


def test_bench_measures_a_checkpoint_in_the_settings_that_fit(checkpoint, tmp_path):
    arguments = [str(checkpoint), "--threads", "1", "--rows", "2", "--rounds", "2", "--dtype", "float32"]
    result = CliRunner().invoke(app, [*arguments, "--against-stock", "--no-memory", "--output", str(tmp_path / "out")])
    assert result.exit_code == 0, (result.output, result.exception)
    assert "against stock" in result.output and "GFLOP/s in float32" in result.output
    rows = Report.read(tmp_path / "out" / "bench.json").rows
    assert {row.setting for row in rows} == {"fixed-512", "variable-512"}
    assert {(row.network, row.size, row.dtype) for row in rows} == {
        (OURS, "tiny", "float32"),
        (STOCK, "tiny", "float32"),
    }
    assert (tmp_path / "out" / "bench.png").is_file()


def test_bench_measures_peak_memory(checkpoint, monkeypatch):
    peak = efficiency_memory.Peak(total=10**9, before=9 * 10**8, cpu_seconds=1.0)
    monkeypatch.setattr("mmbert.evaluation.efficiency.measurement.encoding_peak", lambda *_: peak)
    arguments = [str(checkpoint), "--threads", "1", "--rows", "1", "--rounds", "2", "--setting", "variable-512"]
    result = CliRunner().invoke(app, [*arguments, "--dtype", "float32"])
    assert result.exit_code == 0 and "| 100 MB |" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is no folder of a saved model"),
        (["."], "holds no config.json"),
        (["--size", "huge"], "size='huge' is none of base, small"),
        (["CHECKPOINT", "--setting", "fixed-8192"], "reads at most 600 tokens, the settings asked for need 8192"),
        (["CHECKPOINT", "--setting", "fixed-1"], "setting='fixed-1' is none of fixed-512"),
        (["CHECKPOINT", "--dtype", "int4"], "dtype='int4' is none of float32, bfloat16, float16, int8"),
        (["CHECKPOINT", "--threads", "999"], "threads must lie between 1 and"),
    ],
)
def test_bench_refuses_in_one_line(checkpoint, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = [str(checkpoint) if argument == "CHECKPOINT" else argument for argument in arguments]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, (ValueError, OSError)) and message in str(result.exception)
    assert "\n" not in str(result.exception)


# The scripts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("encode.py", "--sizes small --dtypes float32 --settings variable-512 --no-memory", "mmbert small float32"),
        ("train_step.py", "--sizes small --long", "mmbert small float32, step: speed against dense logits"),
    ],
)
def test_the_scripts_run(script, arguments, words, tmp_path):
    path = Path(mmbert.__file__).parent / "benchmarks" / script
    command = [sys.executable, str(path), "--quick", *arguments.split(), "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, cwd="/")
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
    assert (tmp_path / f"{path.stem}.json").is_file() and (
        tmp_path / f"{path.stem}.md"
    ).read_text().strip() in done.stdout
