"""A disk that is really full: a small file system in memory, mounted for this test alone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

WORKER = Path(__file__).parent / "rank_worker.py"
# Mount, train until the disk is full, look, make room, resume, and copy the run out: the mount ends with the shell.
SCRIPT = """
set -u
mkdir "$FOLDER/tight" && mount -t tmpfs -o size="$ROOM" none "$FOLDER/tight" || exit 77
"$PYTHON" "$WORKER" "$FOLDER" tight:24: 2> "$FOLDER/errors"
echo "$?" > "$FOLDER/status"
ls -A "$FOLDER/tight" > "$FOLDER/left"
mount -o remount,size=100m "$FOLDER/tight"
"$PYTHON" "$WORKER" "$FOLDER" tight:24:tight && cp -r "$FOLDER/tight" "$FOLDER/after"
"""


@pytest.mark.slow
def test_a_full_disk_keeps_the_checkpoint_before_it_and_the_run_goes_on(worker_folder, start, worker_environment):
    if sys.platform != "linux" or shutil.which("unshare") is None:
        pytest.skip("needs Linux' unshare to mount a small disk")
    start(worker_folder, 1, "one:24:")
    checkpoint = sum(path.stat().st_size for path in (worker_folder / "one" / "checkpoint-16").iterdir())
    room = {"FOLDER": str(worker_folder), "ROOM": str(int(1.6 * checkpoint)), "PYTHON": sys.executable}
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", SCRIPT],
        capture_output=True, text=True, timeout=280, env={**worker_environment, **room, "WORKER": str(WORKER)},
    )  # fmt: skip
    if done.returncode in (1, 77) and not (worker_folder / "status").exists():
        pytest.skip(f"no right to mount here: {done.stderr.strip()[-100:]}")
    errors = (worker_folder / "errors").read_text()
    assert (worker_folder / "status").read_text() == "1\n"
    assert "checkpoint-8 could not be written" in errors and "Free some space and start the same command" in errors
    left = (worker_folder / "left").read_text().split()
    assert "checkpoint-5" in left and "checkpoint-8" not in left and ".saving" not in left
    one, two = (load_file(worker_folder / name / "final" / "model.safetensors") for name in ("one", "after"))
    assert all((one[name] == two[name]).all() for name in one)
    facts = json.loads((worker_folder / "after" / "facts.json").read_text())
    assert [entry["step"] for entry in facts["history"]] == list(range(1, 25))
