"""What a fine-tuning is made of, so that the same call goes on with it and another one does not mix with it.

A folder tells what it was made of: finished, in its record; unfinished, in its checkpoints. Where that is the same, the
run is read back or goes on; where it differs, the folder is refused. What only says how a run goes (how often it saves,
what it prints, where it publishes, how many rows are evaluated at once, on which device) makes no other run of it.

Trade-off: rows are told apart by a hash over all of them, a tenth of a second for 400,000, and a checkpoint by a sample
of every tensor, so that asking costs next to nothing.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from accelerate.utils import get_int_from_env
from datasets import Dataset

from ...common.changes import find_changes
from ...common.checkpoints.hub import local_checkpoint
from ...common.checkpoints.reader import CHECKSUMS, INDEX, SINGLE, checkpoint_fingerprint, open_checkpoint
from ...common.files import read_json
from ...common.messages import flag
from ..checkpointing.state import OPTIMIZER_FILE
from ..pretraining.run_fingerprint import FILE
from .config import FineTuningArguments, upgraded
from .output import ADAPTER, PREDICTIONS, RECORD, read_record
from .trainer import KEY, own_checkpoints

logger = logging.getLogger(__name__)

_FREE = (  # beginnings of names; the seed stands by itself, when dev is scored is told by `evaluations`
    "seed", "active_vocabulary", "overwrite_output_dir", "per_device_eval_batch_size", "activation_checkpointing",
    "evals_per_epoch", "save_", "eval_", "log", "hub_", "push_to_hub", "report_to", "run_name", "disable_tqdm",
    "dataloader_num_workers", "dataloader_p", "use_cpu", "restore_", "resume_",
)  # fmt: skip
_WORLD = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")  # as launchers say it
_BATCH = 10_000


@dataclass(frozen=True)
class PreviousRun:
    """What a folder holds of the same run."""

    record: dict[str, Any] | None = None  # of the finished run
    checkpoint: Path | None = None  # where the unfinished one goes on


def identity_of(
    checkpoint: str | Path,
    head: str,
    rows: Mapping[str, Dataset],
    args: FineTuningArguments,
    *,
    seed: int | None = None,
    labels: Sequence[str] | None = None,
    problem_type: str | None = None,
    conditions: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Collect what the numbers of a fine-tuning depend on."""
    options = {name: value for name, value in args.choices().items() if not name.startswith(_FREE)}
    if "dev" in rows:
        options["eval_strategy"], options["eval_steps"] = args.evaluations()
    facts = {
        "checkpoint": checkpoint_fingerprint(local_checkpoint(str(checkpoint))),
        "head": head,
        "problem_type": problem_type,
        "labels": list(labels or []),
        "seed": args.seed if seed is None else seed,
        "options": options,
        "processes": get_int_from_env(_WORLD, 1),
        "conditions": dict(conditions or {}),
        "rows": {name: f"{len(part)} rows {rows_fingerprint(part)}" for name, part in rows.items()},
    }
    plain_facts: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return plain_facts


def rows_fingerprint(rows: Dataset) -> str:
    """Hash rows by what they say."""
    digest, names = hashlib.sha256(), sorted(rows.column_names)
    for batch in rows.select_columns(names).with_format("arrow").iter(batch_size=_BATCH):
        sink = pa.BufferOutputStream()
        table = batch.select(names).combine_chunks().replace_schema_metadata(None)
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        digest.update(sink.getvalue())
    return digest.hexdigest()[:16]


def find_previous_run(folder: Path, identity: Mapping[str, Any], *, overwrite: bool = False) -> PreviousRun:
    """Say what a folder holds of a run."""
    record = checkpoint = None
    if (folder / RECORD).is_file():
        record = read_record(folder)
        saved = record.get("identity")
    else:
        kept = own_checkpoints(folder)
        found = {step: path for step, path in kept.items() if _goes_on(path)}
        if not found:
            if kept:
                logger.info("%s was stopped and begins anew; with save_steps or save_strategy it would go on", folder)
            return PreviousRun()
        checkpoint = found[max(found)]
        saved = read_json(checkpoint / FILE)[KEY]
    if saved is not None:  # options that are younger than the folder had their defaults, others had other names
        dev = {name: saved["options"][name] for name in ("eval_strategy", "eval_steps") if name in saved["options"]}
        options = upgraded(saved["options"])
        saved = {**saved, "options": {n: options[n] for n in options if not n.startswith(_FREE)} | dev}
    if saved != identity:
        if overwrite:
            return PreviousRun()
        kind = find_changes(saved, dict(identity))[0] if saved else "it does not say which"
        raise ValueError(
            f"{folder} holds a run made under other conditions: {kind}; give another output folder, or train it anew "
            f"by {flag('overwrite_output_dir')}."
        )
    if record is not None and (gone := _missing(folder)):
        logger.warning("%s holds no %s any more: it is trained again", folder, gone)
        return PreviousRun()
    if record is not None:
        open_checkpoint(folder).verify()
    return PreviousRun(record, checkpoint)


def clear(folder: Path) -> None:
    """Take away what another run, or one that cannot go on, has left; what is not a fine-tuning's stays."""
    for path in [*own_checkpoints(folder).values(), folder / ADAPTER, folder / ".saving"]:
        shutil.rmtree(path, ignore_errors=True)
    if not (folder / RECORD).is_file():
        return
    for path in [folder / CHECKSUMS, *folder.glob("predictions_*"), folder / PREDICTIONS, folder / RECORD]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _missing(folder: Path) -> str | None:
    """The part of a finished run that is not there any more; the weights may be in shards."""
    weights = (folder / SINGLE).is_file() or (folder / INDEX).is_file()
    return None if weights and (folder / PREDICTIONS).is_file() else PREDICTIONS if weights else SINGLE


def _goes_on(checkpoint: Path) -> bool:
    return (checkpoint / OPTIMIZER_FILE).is_file() or any(checkpoint.glob("global_step*"))  # the latter DeepSpeed's
