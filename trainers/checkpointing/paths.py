"""Where the checkpoints of a run are, their tags, and how one comes to be: whole, or not at all.

A checkpoint at a phase boundary has a tag, `phase/step`, and is kept for good: a decay variant can be started months
after the stable run has ended. The tag is written inside the checkpoint, with everything else that it was trained on;
the run's `tags.json` is read from there and only says where to look.
"""

import re
import shutil
from pathlib import Path

from ...common.checkpoints.integrity import refuse_pickled_state, verify_checksums
from ...common.files import read_json, sync_to_disk, write_json
from ...recipes import TrainingSchedule
from ..pretraining.run_fingerprint import FILE as IDENTITY_FILE

FILE = "tags.json"


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
    """Find the whole checkpoints of a run.

    Args:
        directory: The run's directory.

    Returns:
        Checkpoint by step; one without its last file does not count.
    """
    return {
        int(match[1]): path
        for path in directory.glob("checkpoint-*")
        if (match := re.fullmatch(r"checkpoint-(\d+)", path.name)) and (path / IDENTITY_FILE).is_file()
    }


def last_checkpoint(directory: Path) -> Path:
    """Return the last whole checkpoint of a run.

    Args:
        directory: The run's directory.

    Returns:
        The checkpoint with the highest step.

    Raises:
        FileNotFoundError: If there is none.
    """
    found = checkpoints(directory)
    if not found:
        raise FileNotFoundError(f"no checkpoint in {directory} to resume from; start the run without resuming.")
    return found[max(found)]


def check_resumable(checkpoint: Path) -> None:
    """Check a checkpoint before a run goes on from it: no pickle, known bytes, and one step in all places that say it.

    Args:
        checkpoint: The checkpoint.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, or the places disagree.
    """
    refuse_pickled_state(checkpoint)
    verify_checksums(checkpoint)
    steps = {
        IDENTITY_FILE: read_json(checkpoint / IDENTITY_FILE).get("step"),
        "trainer_state.json": read_json(checkpoint / "trainer_state.json").get("global_step"),
    }
    if match := re.fullmatch(r"checkpoint-(\d+)", checkpoint.name):
        steps["the folder's name"] = int(match[1])
    if len(set(steps.values())) > 1 or not isinstance(steps[IDENTITY_FILE], int):
        said = ", ".join(f"{place} says step {step}" for place, step in steps.items())
        raise ValueError(f"{checkpoint} is damaged: {said}; resume from another checkpoint")


def tag_of(schedule: TrainingSchedule, step: int) -> str | None:
    """Name the phase boundary that a run stands at.

    Args:
        schedule: The phases.
        step: Steps done.

    Returns:
        The phase that has just ended and the step, such as `pretrain/1200`; None inside a phase.
    """
    return f"{schedule.at(step - 1).phase.name}/{step}" if step > 0 and schedule.is_phase_end(step) else None


def revision_of(tag: str) -> str:
    """Spell a tag, such as `pretrain/1200`, as the revision of a published model, `pretrain/step1200`."""
    phase, _, step = tag.rpartition("/")
    return f"{phase}/step{step}"


def tags(directory: Path) -> dict[str, Path]:
    """Return the tagged checkpoints of a run.

    Args:
        directory: The run's directory.

    Returns:
        Checkpoint by tag, in the order of their steps.
    """
    found = {}
    for _, path in sorted(checkpoints(directory).items()):
        tag = read_json(path / IDENTITY_FILE).get("tag")
        if tag:
            found[str(tag)] = path
    return found


def tagged(directory: Path, tag: str) -> Path:
    """Return the checkpoint of a tag.

    Args:
        directory: The run's directory.
        tag: Such as `pretrain/1200`.

    Returns:
        The checkpoint.

    Raises:
        FileNotFoundError: If the run has none of that tag; the message names those that it has.
    """
    found = tags(directory)
    if tag not in found:
        known = f"it has {', '.join(found)}" if found else "it has no tagged checkpoint"
        raise FileNotFoundError(f"no checkpoint tagged {tag} in {directory}; {known}. Train that phase to its end.")
    return found[tag]


def write_tags(directory: Path) -> None:
    """Write `tags.json`: tag to the name of its checkpoint."""
    names = {tag: path.name for tag, path in tags(directory).items()}
    write_json(directory / FILE, names, indent=1)


def rotate(directory: Path, limit: int | None, best: Path | None = None) -> None:
    """Delete old checkpoints: the newest stay, every tagged one, and the best.

    Args:
        directory: The run's directory.
        limit: How many of the newest; None or 0 keeps all.
        best: One that stays, if there is any.
    """
    kept = {*tags(directory).values(), best}
    for _, path in sorted(checkpoints(directory).items())[: -limit if limit else 0]:
        if path not in kept:
            shutil.rmtree(path)
