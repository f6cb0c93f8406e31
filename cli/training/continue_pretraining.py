"""`mmbert continue`: continue a checkpoint on new languages, merge it back, and report every language.

    mmbert continue --recipe my_continue.yaml --new kab_Latn,chv_Cyrl,fao_Latn --output_dir out

The recipe, in the shape of recipes/continue.yaml, names the checkpoint, the corpus and the phases; what it reads beside
the new languages is replayed, with `--replay_share` of the tokens. Started again it goes on where it was. Every field
of transformers' TrainingArguments is an option, but for what the recipe decides.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ...common.command import run_command
from ...common.files import write_json
from ...common.options import comma_list

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ...data.pretraining.heldout import HeldOut
    from ...recipes import Recipe
    from ...trainers import RecipeRun


@dataclass
class ContinueOptions:
    """Options of this script."""

    new: str = field(metadata={"help": "The new languages: a,b,c. All others of the recipe are replayed."})
    recipe: str = field(default="continue", metadata={"help": "Name of a shipped recipe or path of a YAML file."})
    replay_share: float = field(default=0.3, metadata={"help": "Tokens that go to the replayed languages, 0 to 1."})
    watch: str = field(default="", metadata={"help": "Languages that are scored, but not trained: a,b,c."})
    density: float = field(default=0.6, metadata={"help": "Share of the change that TIES keeps, the largest first."})
    average: float = field(default=0.5, metadata={"help": "Weight of the new model in the average with the original."})
    tokens_per_language: int = field(default=8192, metadata={"help": "Held-out tokens scored in each language."})


def main() -> None:
    """Continue with the options of the command line."""
    run_command(lambda: continue_pretraining(sys.argv[1:]))


def continue_pretraining(arguments: list[str]) -> None:
    """Train, merge, score and print losses before and after."""
    from accelerate import Accelerator

    from ...recipes import Recipe
    from ...trainers import RecipeRun, parse_run_options

    options, given = parse_run_options(ContinueOptions, arguments, "mmbert continue", __doc__)
    output, new = Path(str(given.pop("output_dir"))), list(comma_list(options.new))
    recipe = with_replay(Recipe.load(options.recipe), new, options.replay_share)
    run = RecipeRun(recipe, output, arguments=given, tokens_per_language=options.tokens_per_language)
    continued = run.run()["stable"]
    accelerator = Accelerator(cpu=bool(given.get("use_cpu")))
    with accelerator.main_process_first():
        models = merged(recipe, continued, output, options)
        heldout = [run.heldout(), *watched(run, list(comma_list(options.watch)))]
    losses = {name: score(path, heldout, accelerator) for name, path in models.items()}
    if accelerator.is_main_process:
        rows = table(losses, new, recipe.phases[-1].languages)
        typer.echo(f"held-out loss at {recipe.evaluation_masking_ratio:.0%} masking\n\n{rows}")
        (output / "before_after.md").write_text(rows + "\n", encoding="utf-8")
        write_json(output / "before_after.json", losses, indent=1)


def with_replay(recipe: Recipe, new: list[str], share: float) -> Recipe:
    """Give the replayed languages equal parts of their share; the new ones divide the rest by temperature."""
    from ...data.tokenization import planned_languages, tokenized_folder
    from ...modeling.tokenization_mmbert import build_tokenizer, tokenizer_fingerprint
    from ...recipes.replay import with_replayed_languages

    tokenized = tokenized_folder(recipe.data)  # read with the tokenizer that made it, whatever data.tokenizer says
    both = [recipe.model.get("checkpoint"), tokenized / "tokenizer" if tokenized else recipe.data.tokenizer]
    if None in both or len({tokenizer_fingerprint(build_tokenizer(str(place))) for place in both}) > 1:
        raise ValueError(f"model.checkpoint {both[0]} and data.tokenizer {both[1]} must be given and belong together.")
    return with_replayed_languages(recipe, new, share, planned_languages(recipe) if recipe.languages is None else [])


def merged(recipe: Recipe, continued: Path, output: Path, options: ContinueOptions) -> dict[str, Path]:
    """Merge the new model with the original in both ways, unless that is done; folders are named by the options."""
    from ...common.checkpoints.hub import load_tokenizer
    from ...merging import merge_ties, merge_weighted_average
    from ...modeling import MmBertForMaskedLM

    original = Path(recipe.model["checkpoint"])
    ties, average = output / f"ties-{options.density}", output / f"average-{options.average}"
    if not original.is_dir():  # a Hub id: merging reads files
        original = output / "original"
        MmBertForMaskedLM.from_pretrained(recipe.model["checkpoint"]).save_pretrained(original)
        load_tokenizer(recipe.model["checkpoint"]).save_pretrained(original)
    if not ties.is_dir():
        merge_ties(original, [continued], ties, density=options.density)
    if not average.is_dir():
        merge_weighted_average([original, continued], average, weights=[1 - options.average, options.average])
    return {"before": original, "continued": continued, "TIES": ties, "average": average}


def watched(run: RecipeRun, languages: list[str]) -> list[HeldOut]:
    """Find the held-out tokens of languages that the run does not read, or write them; a tokenized folder has them."""
    from ...data.pretraining.heldout import HeldOut
    from ...data.shards import TokenShards, write_shards
    from ...data.tokenization import open_planned_corpus, tokenized_folder

    if not languages:
        return []
    home, first = run.output_dir / "watched", run.recipe.phases[0]
    tokenized = tokenized_folder(run.recipe.data) is not None
    there = home.is_dir() and set(languages) <= set(TokenShards(home, verify=False).languages)
    if not tokenized and not there:
        plan = replace(run.recipe, phases=(replace(first, languages=tuple(languages), shares={}),))
        corpus = open_planned_corpus(plan)
        shutil.rmtree(home, ignore_errors=True)  # what was watched before
        write_shards(corpus.documents("heldout"), run.data.tokenizer, home, sources=corpus.sources())
    shards = run.data.heldout if tokenized else TokenShards(home)
    if missing := sorted(set(languages) - set(shards.languages)):
        raise ValueError(f"--watch: {shards.directory} has no text in {', '.join(missing)}; leave them out.")
    ours = run.heldout()
    options = {name: getattr(ours, name) for name in ("masking_ratio", "tokens_per_language", "seed")}
    return [HeldOut(shards, run.data.tokenizer, context_length=first.context_length, languages=languages, **options)]


def score(path: Path, heldout: list[HeldOut], accelerator: Accelerator) -> dict[str, float]:
    """Return the held-out loss by language."""
    from ...modeling import MmBertForMaskedLM
    from ...trainers.pretraining.eval_loss import language_losses

    model = MmBertForMaskedLM.from_pretrained(path).to(accelerator.device)
    return {tag: loss for one in heldout for tag, loss in language_losses(model, one, accelerator).items()}


def table(losses: Mapping[str, Mapping[str, float]], new: list[str], trained: tuple[str, ...]) -> str:
    """Write losses by language, the new ones first, then the replayed, then those only watched, each with its mean."""
    lines = ["| language | | " + " | ".join(losses) + " |", "|---|---|" + "---:|" * len(losses)]
    scored = losses["before"]
    groups = {"new": new, "replayed": [tag for tag in trained if tag not in new]}
    groups["not read"] = [tag for tag in scored if tag not in trained]
    for group, members in groups.items():
        rows = [(tag, [loss[tag] for loss in losses.values()]) for tag in members if tag in scored]
        means = [sum(column) / len(rows) for column in zip(*(values for _, values in rows), strict=True)]
        for tag, values in [*rows, *([(f"**mean of {len(rows)}**", means)] if rows else [])]:
            lines.append(f"| {tag} | {group} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    return "\n".join(lines)
