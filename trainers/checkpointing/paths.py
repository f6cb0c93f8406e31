"""Where the checkpoints of a run are, their tags, and how one comes to be: whole, or not at all.

A checkpoint at a phase boundary has a tag, `phase/step`, and is kept for good: a decay variant can be started months
after the stable run has ended. The tag is written inside the checkpoint, with everything else that it was trained on;
the run's `tags.json` is read from there and only says where to look.
"""

import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from ...common.checkpoints.integrity import refuse_pickled_state, verify_checksums
from ...common.files import read_json, sync_to_disk, write_json
from ...recipes import TrainingSchedule
from ..pretraining.run_fingerprint import FILE as IDENTITY_FILE

FILE = "tags.json"
_STATE: dict[str, tuple[type, ...]] = {  # what Trainer reads of its state without a look at the type
    "epoch": (int, float),
    "log_history": (list,),
    "max_steps": (int,),
    "num_input_tokens_seen": (int,),
    "num_train_epochs": (int,),
    "stateful_callbacks": (dict,),
    "total_flos": (int, float),
    "train_batch_size": (int,),
}


def give_name(written: Path, target: Path) -> None:
    """Rename a completely written checkpoint after its bytes have reached the disk; an older `target` is replaced."""
    for path in written.rglob("*"):
        if path.is_file():
            sync_to_disk(path)
    if target.exists():
        shutil.rmtree(target)
    written.rename(target)
    sync_to_disk(target.parent)


def checkpoints(directory: Path) -> dict[int, Path]:
    """Find the whole checkpoints of a run by step; one without its last file does not count."""
    return {
        int(match[1]): path
        for path in directory.glob("checkpoint-*")
        if (match := re.fullmatch(r"checkpoint-(\d+)", path.name)) and (path / IDENTITY_FILE).is_file()
    }


def last_checkpoint(directory: Path) -> Path:
    """Return the last whole checkpoint of a run."""
    found = checkpoints(directory)
    if not found:
        raise FileNotFoundError(f"no checkpoint in {directory} to resume from; start the run without resuming.")
    return found[max(found)]


def check_resumable(checkpoint: Path) -> None:
    """Check a checkpoint before a run goes on: no pickle, known bytes, and one step in all places that say it."""
    refuse_pickled_state(checkpoint)
    verify_checksums(checkpoint)
    state = read_json(checkpoint / "trainer_state.json")
    steps = {
        IDENTITY_FILE: read_json(checkpoint / IDENTITY_FILE).get("step"),
        "trainer_state.json": state.get("global_step"),
    }
    if match := re.fullmatch(r"checkpoint-(\d+)", checkpoint.name):
        steps["the folder's name"] = int(match[1])
    if len(set(steps.values())) > 1 or not isinstance(steps[IDENTITY_FILE], int):
        said = ", ".join(f"{place} says step {step}" for place, step in steps.items())
        raise ValueError(f"{checkpoint} is damaged: {said}; resume from another checkpoint")
    wrong = [name for name, kind in _STATE.items() if not isinstance(state.get(name), kind)]
    if not wrong and not all(isinstance(entry, dict) for entry in state["log_history"]):
        wrong = ["log_history"]
    if wrong:
        raise ValueError(
            f"{checkpoint / 'trainer_state.json'} is damaged ({', '.join(wrong)}); resume from another checkpoint"
        )


def tag_of(schedule: TrainingSchedule, step: int) -> str | None:
    """Name the phase boundary of a step, such as `pretrain/1200`; None inside a phase."""
    return f"{schedule.at(step - 1).phase.name}/{step}" if step > 0 and schedule.is_phase_end(step) else None


def revision_of(tag: str) -> str:
    """Spell a tag, such as `pretrain/1200`, as the revision of a published model, `pretrain/step1200`."""
    phase, _, step = tag.rpartition("/")
    return f"{phase}/step{step}"


def tags(directory: Path) -> dict[str, Path]:
    """Return the checkpoints of a run by tag, in the order of their steps."""
    found = {}
    for _, path in sorted(checkpoints(directory).items()):
        tag = read_json(path / IDENTITY_FILE).get("tag")
        if tag:
            found[str(tag)] = path
    return found


def tagged(directory: Path, tag: str) -> Path:
    """Return the checkpoint of a tag."""
    found = tags(directory)
    if tag not in found:
        known = f"it has {', '.join(found)}" if found else "it has no tagged checkpoint"
        raise FileNotFoundError(f"no checkpoint tagged {tag} in {directory}; {known}. Train that phase to its end.")
    return found[tag]


def write_tags(directory: Path) -> None:
    """Write `tags.json`: tag to the name of its checkpoint."""
    names = {tag: path.name for tag, path in tags(directory).items()}
    write_json(directory / FILE, names, indent=1)


def rotate(found: Mapping[int, Path], limit: int | None, kept: Collection[Path | None]) -> None:
    """Delete old checkpoints of a run but the newest `limit` (None or 0: all), and those that are kept anyway."""
    for _, path in sorted(found.items())[: -limit if limit else 0]:
        if path not in kept:
            shutil.rmtree(path)
