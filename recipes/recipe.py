"""A recipe: the whole plan of a training run, read from YAML, frozen and checked before anything starts.

It says what is trained (`model`), on what (`data`), how (`optimizer`, `phases`) and which decay variants branch from
the end of the stable phases. It holds no code and no paths of a machine except where the user wrote one.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..common.deprecation import warn_renamed
from ..common.messages import did_you_mean, speaking
from ..languages.tags import is_language_tag, is_tag, unknown_tag_message
from .data_plan import DataPlan, read_data
from .extending import load_extended
from .optimizer_plan import OptimizerPlan, read_optimizer
from .phase import Phase, read_phase
from .quantity import RecipeError, count, number, switch, word
from .training_schedule import TrainingSchedule

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A checked plan of one training run.

    Attributes:
        name: The recipe's name.
        phases: The phases in order. The last one is also the template of the variants.
        variants: Decay variants by name; each takes the place of the last phase and branches where it begins.
        model: Fields of `MmBertConfig`, over the base (`size: base`) or small (`size: small`) defaults.
        data: What is read.
        optimizer: How weights move.
        seed: Decides every draw: languages, documents, rows, masks, initial weights.
        evaluation_masking_ratio: Masking at evaluation; fixed, so that losses of different phases compare (0.15).
        check_order: Refuse phases that drop languages, shorten context or raise masking; False is for studies of these.
    """

    name: str
    phases: tuple[Phase, ...]
    variants: Mapping[str, Phase] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    data: DataPlan = field(default_factory=DataPlan)
    optimizer: OptimizerPlan = field(default_factory=OptimizerPlan)
    seed: int = 21
    evaluation_masking_ratio: float = 0.15
    check_order: bool = True

    def __post_init__(self) -> None:
        if not self.phases:
            raise RecipeError("phases", "must hold at least one phase, got none; see recipes/demo.yaml for the shape.")
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise RecipeError("phases", f"must have names of their own, got {', '.join(names)}; rename one.")
        if not 0 < self.evaluation_masking_ratio < 1:
            raise RecipeError(
                "evaluation_masking_ratio",
                f"must lie between 0 and 1, got {self.evaluation_masking_ratio}; write 0.15 for 15 %.",
            )
        for index, (earlier, later) in enumerate(zip(self.phases, self.phases[1:], strict=False), start=1):
            self._check_order(f"phases[{index}]", earlier, later)
        if self.variants and len(self.phases) < 2:
            raise RecipeError("variants", "branch from the phase before the last, but there is only one; add a phase.")
        for name, phase in self.variants.items():
            if name in ("stable", "trunk", "data", *names[:-1]):  # `trunk` is the stable run of older trees
                raise RecipeError(f"variants.{name}", "is a name that the run's folder needs itself; choose another.")
            self._check_order(f"variants.{name}", self.phases[-2], phase)

    def _check_order(self, key: str, earlier: Phase, later: Phase) -> None:
        """Refuse phases that run against mmBERT's idea: more languages, longer text, an easier task."""
        if not self.check_order:
            return
        lost = [] if later.reads_all else sorted(set(earlier.languages) - set(later.languages))
        if lost:
            raise RecipeError(
                f"{key}.languages",
                f"phases out of order: {later.name!r} drops {', '.join(lost[:5])} that {earlier.name!r} reads; "
                "a later phase reads at least the languages before it (check_order: false permits it).",
            )
        for name, runs_back in (
            ("context_length", later.context_length < earlier.context_length),
            ("masking_ratio", later.masking_ratio > earlier.masking_ratio),
        ):
            if runs_back:
                raise RecipeError(
                    f"{key}.{name}",
                    f"phases out of order: goes from {getattr(earlier, name)} in {earlier.name!r} to "
                    f"{getattr(later, name)} in {later.name!r}; context grows and masking falls, so swap the phases "
                    "(check_order: false permits it).",
                )

    @classmethod
    def from_yaml(cls, path: str | Path) -> "Recipe":
        """Read a recipe from a YAML file, over the one that it `extends` if it does.

        Args:
            path: The file.

        Returns:
            The checked recipe.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is no YAML, or an entry is wrong; the message names the file, line and key.
        """
        path = Path(path)
        if not path.is_file():
            names = shipped_recipes()
            near = f"; {meant}" if "mean" in (meant := did_you_mean(str(path), names)) else "."
            raise FileNotFoundError(f"no recipe at {path}; shipped recipes are {', '.join(names)}{near}")
        tree, lines = load_extended(path, _shipped_files())
        try:
            return read_recipe(tree, default_name=path.stem)
        except RecipeError as error:
            raise ValueError(" ".join(f"{path.name}{lines.where(error.key)}, {error}".split())) from None  # odd keys

    @classmethod
    def load(cls, name: str | Path) -> "Recipe":
        """Read a shipped recipe by name (`demo`), or any recipe by path.

        Args:
            name: A shipped name or a path to a YAML file.

        Returns:
            The checked recipe.
        """
        return cls.from_yaml(_shipped_files().get(str(name), name))

    @property
    def languages(self) -> list[str] | None:
        """Every language that some phase or variant reads, sorted; None if one of them reads all of the corpus."""
        phases = (*self.phases, *self.variants.values())
        if any(phase.reads_all for phase in phases):
            return None
        return sorted({language for phase in phases for language in phase.languages})

    def schedule(self, variant: str | None = None) -> TrainingSchedule:
        """Return the phases that one run goes through, with the steps of each.

        Args:
            variant: A decay variant's name; None for the phases before the variants branch, or all of them if the
                recipe has no variants.

        Returns:
            The schedule.

        Raises:
            ValueError: If there is no such variant.
        """
        if variant is None:
            return TrainingSchedule(self.phases[:-1] if self.variants and len(self.phases) > 1 else self.phases)
        if variant not in self.variants:
            raise ValueError(f"recipe {self.name!r} has no variant {variant!r}; {did_you_mean(variant, self.variants)}")
        return TrainingSchedule((*self.phases[:-1], self.variants[variant]))

    def road(self, variant: str | None = None) -> TrainingSchedule:
        """The old name of `schedule`."""
        warn_renamed("Recipe.road", "Recipe.schedule")
        return self.schedule(variant)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain JSON-able values."""
        return {
            "name": self.name,
            "seed": self.seed,
            "phases": [phase.to_dict() for phase in self.phases],
            "variants": {name: phase.to_dict() for name, phase in self.variants.items()},
            "model": dict(self.model),
            "data": self.data.to_dict(),
            "optimizer": {**asdict(self.optimizer), "betas": list(self.optimizer.betas)},
            "evaluation_masking_ratio": self.evaluation_masking_ratio,
            # named where it is off alone: recipes of runs that began without the key keep their fingerprint
            **({} if self.check_order else {"check_order": False}),
        }

    def fingerprint(self) -> str:
        """Return a SHA-256 over everything in the recipe."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def shipped_recipes() -> list[str]:
    """Return the names of the recipes in the package."""
    return sorted(_shipped_files())


def _shipped_files() -> dict[str, Path]:
    found = [Path(str(item)) for item in files(__package__).iterdir() if item.name.endswith(".yaml")]
    return {path.stem: path for path in found}


def read_recipe(tree: Any, default_name: str) -> Recipe:
    """Build a recipe from what a YAML file held."""
    if not isinstance(tree, Mapping):
        raise RecipeError("", "must be a mapping with `phases:`; see recipes/demo.yaml for the shape.")
    unknown = sorted(set(tree) - set(Recipe.__dataclass_fields__))
    if unknown:
        raise RecipeError(unknown[0], f"unknown key; a recipe knows {', '.join(Recipe.__dataclass_fields__)}, extends.")
    phases: list[Phase] = []
    for index, entry in enumerate(_section(tree, "phases", list)):
        phases.append(_phase(f"phases[{index}]", entry, phases[-1] if phases else None))
    variants = {
        str(name): _variant(f"variants.{name}", str(name), entry, phases)
        for name, entry in _section(tree, "variants", dict).items()
    }
    data = read_data(_section(tree, "data", dict), {**{phase.name: phase for phase in phases}, **variants})
    read = {f"phases[{index}]": phase for index, phase in enumerate(phases)}
    read |= {f"variants.{name}": phase for name, phase in variants.items()}
    for key, phase in read.items():
        _check_tags(f"{key}.languages", phase, _listed(data.options.get("extra_languages")))
    return Recipe(
        name=word("name", tree.get("name", default_name)),
        phases=tuple(phases),
        variants=variants,
        model=dict(_section(tree, "model", dict)),
        data=data,
        optimizer=read_optimizer(_section(tree, "optimizer", dict)),
        seed=count("seed", tree.get("seed", 21)),
        evaluation_masking_ratio=number("evaluation_masking_ratio", tree.get("evaluation_masking_ratio", 0.15)),
        check_order=switch("check_order", tree.get("check_order", True)),
    )


def _listed(value: Any) -> list[str]:
    return value.split(",") if isinstance(value, str) else list(value or ())


@speaking("recipe")
def _check_tags(key: str, phase: Phase, extra: Any) -> None:
    """Refuse what cannot be a tag; a tag beyond the 1,833 may be that of finished shards, and is said."""
    for tag in () if phase.reads_all else phase.languages:
        if not is_language_tag(tag, extra):
            if not is_tag(tag):
                raise RecipeError(key, unknown_tag_message(tag))
            logger.warning("%s: %s", key, unknown_tag_message(tag))


def _section(tree: Mapping[str, Any], key: str, kind: type) -> Any:
    value = tree.get(key)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        shape = "a list" if kind is list else "a mapping"
        raise RecipeError(key, f"must be {shape}, got {value!r}; see recipes/demo.yaml for the shape.")
    return value


def _phase(key: str, entry: Any, previous: Phase | None) -> Phase:
    if not isinstance(entry, Mapping):
        raise RecipeError(key, f"must be a mapping, got {entry!r}; see recipes/demo.yaml for the shape.")
    try:
        return read_phase(entry, previous)
    except RecipeError as error:
        raise RecipeError(f"{key}.{error.key}", error.message) from None


def _variant(key: str, name: str, entry: Any, phases: list[Phase]) -> Phase:
    """Read a variant: the last phase with some entries changed; `languages: {add: ...}` adds to the phase before it."""
    if not phases:
        raise RecipeError(key, "is a variant of the last phase, but the recipe has no phases.")
    template = phases[-1].to_dict()
    if isinstance(entry, Mapping) and "name" in entry:
        raise RecipeError(f"{key}.name", "is already given by the variant's key; remove it.")
    merged = {**template, **(entry or {}), "name": name} if isinstance(entry, Mapping | None) else entry
    return _phase(key, merged, phases[-2] if len(phases) > 1 else phases[-1])
