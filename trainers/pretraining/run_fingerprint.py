"""What a checkpoint was trained on, so that a resume on anything else is refused before it starts.

A checkpoint remembers the phases that had begun, the seed, the model and the fingerprints of data and tokenizer. Phases
that lie ahead may change: that is how three decay variants branch from one checkpoint. A field of a phase that is
younger than the checkpoint had its default there.
"""

import json
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from ...common.changes import find_changes
from ...common.files import read_json, write_json
from ...common.messages import flag
from ...data.pretraining.dataset import MlmStream
from ...recipes.phase import Phase

FILE = "run_identity.json"
_REMEDY = {
    "data": "restore the token shards, or pass {data} to go on with other data",
    "tokenizer": "use the tokenizer of the checkpoint; its embeddings mean nothing to another one",
    "seed": "restore the seed, or pass {recipe}",
    "phases": "restore these entries, or pass {recipe}",
    "model": "restore the model section, or start a new run",
    "optimizer": "restore these entries, or pass {recipe}",
    "masking": "restore the masking schedule, or pass {recipe}",
}
_UNDER_FLAG = {"data": "data", "seed": "recipe", "phases": "recipe", "optimizer": "recipe", "masking": "recipe"}
_PHASE_DEFAULTS = {one.name: one.default for one in fields(Phase) if one.default is not MISSING}


@dataclass(frozen=True)
class RunIdentity:
    """The part of a run that decides what its next batch and weights are."""

    step: int  # steps done
    # plain values by name: seed, phases begun, model, optimizer, masking so far, data and tokenizer
    values: dict[str, Any]

    @classmethod
    def of(cls, stream: MlmStream, step: int) -> "RunIdentity":
        """Describe a run after `step` steps."""
        recipe = stream.recipe.to_dict()
        changes = zip(stream.masking.first_steps, stream.masking.ratios, strict=True)
        values = {
            "seed": recipe["seed"],
            "phases": stream.schedule.phases_begun(step),
            "model": recipe["model"],
            "optimizer": recipe["optimizer"],
            "masking": [[first, ratio] for first, ratio in changes if first < step],
            "data": stream.shards.fingerprint,
            "tokenizer": stream.shards.tokenizer_fingerprint,
        }
        return cls(step, json.loads(json.dumps(values)))

    def save(self, directory: Path, tag: str | None = None) -> None:
        """Write the identity into a checkpoint, with the tag of the phase boundary that it stands at, if it does."""
        named = {"tag": tag} if tag else {}
        write_json(directory / FILE, {"step": self.step, **named, **self.values}, indent=1)


def check_identity(
    checkpoint: Path, stream: MlmStream, *, allow_changed_data: bool = False, allow_changed_recipe: bool = False
) -> int:
    """Refuse to resume from a checkpoint that was trained on something else."""
    path = checkpoint / FILE
    if not path.is_file():
        raise FileNotFoundError(f"{checkpoint} is no checkpoint of a recipe run ({FILE} is missing); start a new run.")
    saved = read_json(path)
    step, phases = saved.pop("step", None), saved.get("phases", [])
    if not isinstance(step, int) or not (isinstance(phases, list) and all(isinstance(one, dict) for one in phases)):
        raise ValueError(f"{path} is damaged; resume from another checkpoint.")
    saved["phases"] = [{**_PHASE_DEFAULTS, **phase} for phase in phases]
    allowed = {"data": allow_changed_data, "recipe": allow_changed_recipe}
    for name, value in RunIdentity.of(stream, step).values.items():
        if saved.get(name) != value and not allowed.get(_UNDER_FLAG.get(name, ""), False):
            what = find_changes(saved.get(name), value, name)[0]
            flags = {part: flag(f"allow_changed_{part}") for part in allowed}
            raise ValueError(f"cannot resume from {checkpoint.name}: {what}; {_REMEDY[name].format(**flags)}.")
    return step
