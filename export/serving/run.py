"""Loads a checkpoint or an export in this and other interpreters, without mmbert; what happened becomes verdicts.

Each interpreter runs `probe.py` in a process of its own, isolated from this one's imports, so that a version 4
of transformers can be asked from a version 5. A verdict from a run beats one from reading.
"""

import json
import logging
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..modernbert.self_test import Comparison, SelfTest, read_self_test
from .check import Loads, Verdict

_log = logging.getLogger(__name__)

_PROBE = Path(__file__).with_name("probe.py")
_SECONDS = 600


def run_verdicts(checkpoint: str | os.PathLike[str], python: str | os.PathLike[str]) -> list[Verdict]:
    """Load a checkpoint in an interpreter with everything that it has, without network and without mmbert.

    Args:
        checkpoint: The directory.
        python: The interpreter; it needs torch and transformers.

    Returns:
        One verdict for each library that was tried.

    Raises:
        ValueError: If the interpreter cannot run the probe at all.
    """
    test = read_self_test(Path(checkpoint))
    return [_verdict(entry, test) for entry in probe(Path(checkpoint), python, "torch and transformers")]


def probe(folder: Path, python: str | os.PathLike[str], needs: str) -> list[dict[str, Any]]:
    """Run the probe on a folder in an interpreter; what each of its engines did. `needs` is told where none can run."""
    _log.info("loading the folder in %s", python)
    path = folder.absolute()
    with tempfile.TemporaryDirectory() as cache:  # where transformers copies remote code to
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": cache}
        try:
            done = subprocess.run(
                [os.fspath(python), "-I", os.fspath(_PROBE), os.fspath(path)],
                capture_output=True,
                text=True,
                check=False,
                env=environment,
                timeout=_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ValueError(f"{python}: cannot run it ({error}); give a Python with {needs}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ValueError(f"{python}: {last}; give a Python with {needs}")
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def put_together(read: Sequence[Verdict], ran: Sequence[Verdict]) -> list[Verdict]:
    """Put what was run in the place of what was read about the same engine and major version.

    Args:
        read: Verdicts from the files.
        ran: Verdicts from runs.

    Returns:
        All engines in the order of `read`, each run instead of the reading it replaces.
    """
    table: list[Verdict] = []
    for verdict in read:
        notes = verdict.why if verdict.loads == "yes" else ""
        runs = dict.fromkeys(
            Verdict(one.engine, one.loads, "; ".join(filter(None, (one.why, notes))), one.basis)
            for one in ran
            if one.engine.startswith(verdict.engine)
        )
        table += runs or [verdict]
    return table


def _verdict(entry: dict[str, Any], test: SelfTest | None) -> Verdict:
    library = "transformers" if entry["what"] == "trust_remote_code" else entry["what"]
    engine = f"{library} {entry.get('version', '')}".strip()
    if entry["what"] == "trust_remote_code":
        engine += ", trust_remote_code"
    if "error" in entry:
        return Verdict(engine, "no", entry["error"], "ran")
    if entry.get("finite") is False:
        return Verdict(engine, "wrong", "its vectors are not finite", "ran")
    if "mean" not in entry:
        size = entry.get("size")
        return Verdict(engine, "yes", f"vectors of {size}" if size else "; ".join(entry.get("outputs", [])), "ran")
    return _of_probe(engine, entry, test)


def _of_probe(engine: str, entry: dict[str, Any], test: SelfTest | None) -> Verdict:
    if test is None:
        return Verdict(engine, "yes", "no self_test.json to compare numbers with: mmbert export writes it", "ran")
    comparison: Comparison = test.compare_vectors(entry["mean"], entry["last"])
    loads: Loads = "yes" if comparison.agrees else "wrong"
    name = f"{entry['class']}, " if "class" in entry else ""
    return Verdict(engine, loads, f"{name}self-test: {comparison}", "ran")
