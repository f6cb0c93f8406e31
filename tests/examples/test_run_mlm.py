"""examples/run_mlm.py as a user runs it: from files on disk, killed without warning, on two ranks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mmbert
import pytest
from safetensors.torch import load_file
from tests_support import TINY_RECIPE, documents, run_forked

ROOT = Path(mmbert.__file__).parent
SCRIPT = ROOT / "examples" / "run_mlm.py"


@pytest.fixture
def project(tmp_path):
    """A corpus in one jsonl file, and a recipe that trains its tokenizer and network on it."""
    with (tmp_path / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for document in documents(scale=2.0):
            file.write(json.dumps({"lang": document.language, "text": document.text}, ensure_ascii=False) + "\n")
    data = f"data: {{corpus: {tmp_path / 'corpus.jsonl'}, vocabulary_size: 600, heldout_fraction: 0.1}}\n"
    (tmp_path / "r.yaml").write_text(TINY_RECIPE + data, encoding="utf-8")
    return tmp_path


def command(project, output, *options):
    return [
        sys.executable, str(SCRIPT), "--recipe", str(project / "r.yaml"), "--output_dir", str(project / output),
        "--use_cpu", "--save_steps", "2", "--logging_steps", "1", *options,
    ]  # fmt: skip


def environment():
    return {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def run(project, output, *options):
    done = subprocess.run(
        command(project, output, *options), capture_output=True, text=True, timeout=280, env=environment(), cwd=project
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def weights(project, output, part="decay-all"):
    return load_file(project / output / part / "final" / "model.safetensors")


def same(one, other):
    return all((one[name] == other[name]).all() for name in one)


@pytest.mark.slow
def test_killed_twice_it_ends_as_if_never_killed(project):
    straight = run(project, "straight")
    assert "decay-all:" in straight.stdout
    assert (project / "straight" / "decay-eng" / "run_record.json").is_file()
    for step in (6, 14):  # once in each of the two stable phases, while it trains
        process = subprocess.Popen(
            command(project, "killed"), env=environment(), cwd=project, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 200
        while not (project / "killed" / "stable" / f"checkpoint-{step}").is_dir():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    run(project, "killed", "--dataloader_num_workers", "2")
    for part in ("stable", "decay-eng", "decay-all"):
        assert same(weights(project, "straight", part), weights(project, "killed", part))
    record = json.loads((project / "killed" / "stable" / "run_record.json").read_text())
    assert [entry["step"] for entry in record["steps"]] == list(range(1, 17))
    again = run(project, "killed")
    assert "is finished" in again.stderr


@pytest.mark.slow
def test_two_ranks_train_what_one_trains(project):
    run(project, "one")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29611"]
    done = subprocess.run(
        [*torchrun, *command(project, "two")[1:]], capture_output=True, text=True, timeout=280, env=environment(),
        cwd=project,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = weights(project, "one"), weights(project, "two")
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-5
    ledgers = [
        json.loads((project / name / "decay-all" / "run_record.json").read_text())["shares"] for name in ("one", "two")
    ]
    assert ledgers[0] == ledgers[1]


@pytest.mark.slow
def test_a_full_disk_while_saving_leaves_the_checkpoint_before_it(project):
    """A limit on the size of files stands in for the disk: the model fits, the optimizer's moments do not."""
    run(project, "roomy", "--variants", "none")
    code = (
        "import resource, runpy, sys; sys.dont_write_bytecode = True; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)); "
        f"sys.argv = {command(project, 'tight', '--variants', 'none')[1:]!r}; "
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    sizes = {p.name: p.stat().st_size for p in next((project / "roomy/stable").glob("checkpoint-16")).iterdir()}
    assert sizes["model.safetensors"] < 300_000 < sizes["optimizer.safetensors"]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=280, env=environment(), cwd=project
    )
    assert done.returncode == 2
    assert "checkpoint-2 could not be written" in done.stderr and "Free some space" in done.stderr
    assert not list((project / "tight" / "stable").glob("checkpoint-*"))
    run(project, "tight", "--variants", "none")
    assert same(weights(project, "roomy", "stable"), weights(project, "tight", "stable"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "nowhere"], "no recipe at nowhere; shipped recipes are"),
        (["--learning_rate", "1"], "learning_rate: the recipe decides this"),
    ],
)
def test_bad_options_get_one_line(project, options, message):
    done = run_forked(*command(project, "x")[1:], *options, cwd=project)
    assert done.returncode == 2
    assert message in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_script_is_thin():
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) <= 150
