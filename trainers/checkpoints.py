"""Where the checkpoints of a run lie, and how one comes to be: whole, or not at all."""

import re
import shutil
from pathlib import Path

from ..modeling.checkpoint_writer import sync_to_disk
from .run_identity import FILE as IDENTITY_FILE


def publish(written: Path, target: Path) -> None:
    """Give a completely written checkpoint its name, after its bytes have reached the disk.

    Args:
        written: The directory as it was written.
        target: Its final name; an older directory of that name is replaced.
    """
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
