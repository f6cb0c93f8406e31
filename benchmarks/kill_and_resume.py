"""One recipe twice, side by side: once in peace, once killed without warning in every phase; the curves must be one.

    python benchmarks/kill_and_resume.py --recipe benchmarks/real_text.yaml --output build/killed

Both runs are `examples/run_mlm.py`, on one thread each. The second is ended by SIGKILL a few seconds after a checkpoint
in the middle of each phase, between checkpoints and at no step that it knows of, and the same command is given again.
Compared are every logged loss, every held-out loss of every language, and every weight, bit by bit. Writes
kill_and_resume.json and a picture of both curves with the kills. Exit status 1 if anything differs.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmbert import Recipe
from mmbert.recipes import TrainingSchedule
from safetensors.torch import load_file
from support import parser_of, write_results

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "run_mlm.py"
PEACE, KILLED = "in_peace", "killed"


@dataclass(frozen=True)
class Kill:
    """One SIGKILL.

    Attributes:
        phase: Which phase was being trained.
        checkpoint: The last checkpoint that was there.
        seconds_after: How long after that checkpoint appeared.
    """

    phase: str
    checkpoint: int
    seconds_after: float


def start(options: argparse.Namespace, name: str) -> subprocess.Popen[bytes]:
    """Start the run of this name, or go on with it; what it says goes to a file."""
    command = [sys.executable, str(SCRIPT), "--recipe", options.recipe, "--output_dir", str(options.output / name)]
    command += ["--use_cpu", "--save_steps", str(options.save_steps), "--logging_steps", str(options.logging_steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with (options.output / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)


def kill_in_every_phase(options: argparse.Namespace, schedule: TrainingSchedule) -> list[Kill]:
    """Run, kill and go on until every phase was interrupted; then let it run to the end."""
    kills, chance = [], random.Random(options.seed)
    for scheduled in schedule.scheduled_phases:
        middle = (scheduled.first_step + scheduled.end_step) // 2
        wanted = -(-middle // options.save_steps) * options.save_steps
        if wanted >= scheduled.end_step:
            raise ValueError(f"phase {scheduled.phase.name!r} has no checkpoint in its middle; lower --save_steps")
        process, pause = start(options, KILLED), chance.uniform(0.5, options.seconds)
        checkpoint = options.output / KILLED / "stable" / f"checkpoint-{wanted}"
        while not checkpoint.is_dir():
            if process.poll() is not None:
                raise ValueError(f"the run ended before step {wanted}; see {options.output / KILLED}.log")
            time.sleep(0.2)
        time.sleep(pause)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills.append(Kill(scheduled.phase.name, wanted, round(pause, 1)))
        print(f"killed {pause:.1f} s after checkpoint {wanted}, in {scheduled.phase.name}", flush=True)
    finish(start(options, KILLED), options.output / f"{KILLED}.log")
    return kills


def finish(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a run; one that failed ends everything."""
    if process.wait() != 0:
        raise ValueError(f"a run failed with exit status {process.returncode}; see {log}")


def compare(output: Path) -> dict[str, Any]:
    """Compare what the two runs logged, scored and ended with."""
    records = [json.loads((output / name / "stable/run_record.json").read_text()) for name in (PEACE, KILLED)]
    losses = [{entry["step"]: entry["loss"] for entry in record["steps"]} for record in records]
    scores = [
        {(entry["step"], tag): loss for entry in record["evaluations"] for tag, loss in entry["loss"].items()}
        for record in records
    ]
    weights = [load_file(output / name / "stable/final/model.safetensors") for name in (PEACE, KILLED)]
    return {
        "logged_losses": _differing(*losses),
        "held_out_losses": _differing(*scores),
        "weights": {
            "compared": sum(tensor.numel() for tensor in weights[0].values()),
            "different": sum(int((weights[0][name] != weights[1][name]).sum()) for name in weights[0]),
        },
        "tokens_by_language_equal": records[0]["shares"] == records[1]["shares"],
    }


def _differing(one: dict[Any, float], other: dict[Any, float]) -> dict[str, float]:
    keys = sorted({*one, *other}, key=str)
    gaps = [abs(one[key] - other[key]) if key in one and key in other else float("inf") for key in keys]
    return {"compared": len(keys), "different": sum(gap != 0 for gap in gaps), "largest": max(gaps, default=0.0)}


def tables(output: Path, kills: Sequence[Kill], same: dict[str, Any]) -> str:
    """Lay out the comparison, and the held-out loss by group at every evaluation of the run in peace."""
    record = json.loads((output / PEACE / "stable/run_record.json").read_text())
    groups = list(record["evaluations"][0]["group_loss"])
    lines = ["| compared | how many | different |", "|---|---:|---:|"]
    lines += [
        f"| {k.replace('_', ' ')} | {v['compared']:,} | {v['different']:,} |" for k, v in same.items() if k[0] != "t"
    ]
    lines += ["", f"killed: {', '.join(f'{k.phase} after checkpoint {k.checkpoint}' for k in kills)}", ""]
    lines += [f"| step | phase | tokens | {' | '.join(groups)} |", "|---:|---|---:|" + "---:|" * len(groups)]
    for entry in record["evaluations"]:
        row = " | ".join(f"{entry['group_loss'][group]:.3f}" for group in groups)
        lines.append(f"| {entry['step']} | {entry['phase'] or ''} | {entry['tokens'] or 0:,} | {row} |")
    return "\n".join(lines)


def draw(output: Path, kills: Sequence[Kill]) -> None:
    """Draw both curves, one wide and pale, one thin on top of it, and where the second was killed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, width, colour in ((PEACE, 6.0, "#b9cde6"), (KILLED, 1.2, "#1f3a5f")):
        steps = json.loads((output / name / "stable/run_record.json").read_text())["steps"]
        axes.plot(
            [e["step"] for e in steps], [e["loss"] for e in steps], lw=width, color=colour, label=name.replace("_", " ")
        )
    for number, kill in enumerate(kills):
        axes.axvline(
            kill.checkpoint, color="#c0392b", lw=1, ls=":", label="kill -9, then resumed" if not number else None
        )
        axes.text(kill.checkpoint, 0.98, f" {kill.phase}", transform=axes.get_xaxis_transform(), va="top", fontsize=9)
    axes.set(xlabel="optimizer step", ylabel="training loss at the phase's masking ratio (nats)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(output / "kill_and_resume.png", dpi=150)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__)
    parser.add_argument("--recipe", required=True, help="a recipe without variants; its phases are what is interrupted")
    parser.add_argument("--output", type=Path, required=True, help="folder of both runs, absent or empty")
    parser.add_argument("--save_steps", type=int, default=40, help="optimizer steps between checkpoints")
    parser.add_argument("--logging_steps", type=int, default=10, help="optimizer steps between logged losses")
    parser.add_argument("--seconds", type=float, default=8.0, help="the longest pause between checkpoint and kill")
    parser.add_argument("--seed", type=int, default=0, help="of the pauses")
    return parser.parse_args()


def main() -> int:
    """Run both, compare, write."""
    options = parse_options()
    schedule = Recipe.load(options.recipe).schedule()
    options.output.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    peace = start(options, PEACE)
    kills = kill_in_every_phase(options, schedule)
    finish(peace, options.output / f"{PEACE}.log")
    same = compare(options.output)
    text = tables(options.output, kills, same)
    report = {"kills": [asdict(kill) for kill in kills], "same": same, "seconds": round(time.monotonic() - began)}
    write_results(options.output, "kill_and_resume", report, text)
    draw(options.output, kills)
    differences = [value["different"] for value in same.values() if isinstance(value, dict)]
    return int(any(differences) or not same["tokens_by_language_equal"])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
