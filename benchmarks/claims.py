"""The study: does the recipe do what the paper says? Runs that differ in one thing, over seeds, by one command.

    python benchmarks/claims.py SOURCE --output build/claims --seeds 1,2,3 --vocabulary GEMMA

SOURCE is a folder of data sets as benchmarks/gather_text.py reads it, with `tatoeba` and `sib200` beside. The recipes
are in benchmarks/claims/: `study.yaml` is mmBERT's scaled down, the others change in it what one claim is about. GEMMA
is a folder with mmBERT's tokenizer; without it the claim about vocabularies is left out. Kept in the output, and not
done again; stopped at any time, the same command goes on:

    corpus/, tokenized/          the text, one table a data set, and its token shards, shared by all runs
    gemma/, tokenized-gemma/     mmBERT's tokenizer trimmed to the size of the trained one, and the same text in it
    recipes/                     a recipe for every run and seed
    RUN/SEED/                    the runs, as `mmbert pretrain` writes them, and merged models
    scores/RUN-MODEL-SEED.json   loss on held-out text by language at 15 %, Tatoeba, SIB-200
    claims.md, .json, .png       every claim with its effect, interval and verdict
    languages.md, .json, .png    loss of a language against the tokens of it that were read

`--only status` says what is left. Arms of one seed share stable phases where only the last phase differs. A verdict is
of paired differences over seeds: their mean and its 95 % interval by Student's t; an interval that holds zero is "too
small to tell".
"""

import argparse
import json
import logging
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator
from bitext_quality import read as read_pairs
from claims_languages import write_language_report
from claims_report import MERGES, write_report
from gather_text import gather
from mmbert import MmBertConfig, MmBertForMaskedLM, load_embedder
from mmbert.data import TokenShards
from mmbert.data.tokenization.recipe_data import balanced_texts, open_planned_corpus, prepare
from mmbert.evaluation import bitext_accuracy
from mmbert.evaluation.embeddings.knn import neighbour_scores
from mmbert.export import trim_vocabulary
from mmbert.merging import merge_ties, merge_weighted_average
from mmbert.modeling.tokenization_mmbert import build_tokenizer, save_tokenizer
from mmbert.recipes import Recipe
from mmbert.trainers.pretraining.eval_loss import group_losses, language_losses
from mmbert.trainers.pretraining.run import FINAL, STABLE, RecipeRun
from pyarrow import parquet
from support import parser_of

logger = logging.getLogger("claims")
RECIPES = Path(__file__).parent / "claims"
REFERENCE, GEMMA = "study", "gemma"
PARENTS = ("decay-eng", "decay-cont", "decay-all")  # what the paper merges
PAIRS, SIB_LANGUAGES = 100, 16


def arms() -> list[str]:
    """Name the recipes, the reference first."""
    return [REFERENCE, *sorted(path.stem for path in RECIPES.glob("*.yaml") if path.stem != REFERENCE)]


def prepare_text(source: Path, output: Path, vocabulary: Path | None) -> None:
    """Gather and tokenize the text once for all runs."""
    if not (output / "corpus").is_dir():
        gather(source, output / "corpus")
    (output / "recipes").mkdir(parents=True, exist_ok=True)
    for path in RECIPES.glob("*.yaml"):
        shutil.copy(path, output / "recipes")
    corpus = {"corpus": str((output / "corpus").resolve())}
    recipe = output / "recipes" / "tokenize.yaml"
    _overlay(recipe, REFERENCE, {"data": corpus})
    plan = Recipe.from_yaml(recipe)
    prepare(plan, output / "tokenized")
    if vocabulary is not None:
        trimmed = trim_tokenizer(vocabulary, plan, output / GEMMA)
        named = {"tokenizer": str(trimmed.resolve()), "vocabulary_size": None}
        recipe = output / "recipes" / "tokenize-gemma.yaml"
        _overlay(recipe, REFERENCE, {"data": corpus | named})
        prepare(Recipe.from_yaml(recipe), output / "tokenized-gemma")


def trim_tokenizer(vocabulary: Path, plan: Recipe, folder: Path) -> Path:
    """Trim a tokenizer to the size of the trained one by the text that one was trained on."""
    if not folder.is_dir():
        with tempfile.TemporaryDirectory() as whole:
            tokenizer = build_tokenizer(str(vocabulary))
            config = MmBertConfig(
                vocab_size=len(tokenizer),
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=1,
            )
            MmBertForMaskedLM(config).save_pretrained(whole)
            save_tokenizer(tokenizer, whole)
            texts = balanced_texts(open_planned_corpus(plan))
            trim_vocabulary(whole, texts, folder, max_tokens=plan.data.vocabulary_size)
    return folder


def heldout_tokens(output: Path) -> dict[str, dict[str, int]]:
    """Count the tokens of the same held-out text by vocabulary and language."""
    folders = {REFERENCE: output / "tokenized", GEMMA: output / "tokenized-gemma"}
    return {
        name: dict(TokenShards(folder / "heldout", verify=False).token_counts)
        for name, folder in folders.items()
        if folder.is_dir()
    }


def _overlay(path: Path, below: str, changes: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump({"extends": f"{below}.yaml", "name": path.stem, **changes}), encoding="utf-8")


def run_of(arm: str, seed: int, output: Path, quick: bool) -> RecipeRun:
    """Build the run of one recipe and seed on the shared shards."""
    path = output / "recipes" / f"{arm}-{seed}.yaml"
    tokenized = {"corpus": str((output / ("tokenized-gemma" if arm == GEMMA else "tokenized")).resolve())}
    data = {**dict.fromkeys(("vocabulary_size", "on_bad_row", "heldout_fraction")), **tokenized}
    changes: dict[str, Any] = {"seed": seed, "data": data}
    phases = Recipe.from_yaml(output / "recipes" / f"{arm}.yaml").phases
    tokens = {phase.name: phase.tokens for phase in phases}
    if quick:
        tokens = {"pretrain": 40_000, "midtrain": 20_000, "decay": 10_000}
    if arm == GEMMA:  # the same text
        ours, theirs = (sum(counts.values()) for counts in heldout_tokens(output).values())
        tokens = {name: round(count * theirs / ours) for name, count in tokens.items()}
    changes["phases"] = {name: {"tokens": count} for name, count in tokens.items()}
    if quick:
        changes["phases"]["pretrain"]["warmup_tokens"] = 10_000
    _overlay(path, arm, changes)
    arguments = {"use_cpu": not torch.cuda.is_available(), "report_to": "none", "save_total_limit": 2}
    return RecipeRun(Recipe.from_yaml(path), output / arm / str(seed), arguments=arguments, tokens_per_language=1024)


def merged_models(run: RecipeRun) -> dict[str, Path]:
    """Merge the reference's variants in every way that a claim is about."""
    base, parents = run.home() / FINAL, [run.home(name) / FINAL for name in PARENTS]
    found = {}
    for name, options in MERGES.items():
        found[name] = run.output_dir / name
        if found[name].is_dir():
            continue
        if options is None:
            merge_weighted_average(parents, found[name])
        else:
            merge_ties(base, parents, found[name], **options)
    return found


class Probes:
    """What every finished model is scored on, read once."""

    def __init__(self, source: Path) -> None:
        self.pairs = read_pairs(source / "tatoeba" / "data.parquet", PAIRS)
        rows = parquet.read_table(source / "sib200" / "data.parquet", columns=["lang", "split", "category", "text"])
        labelled: dict[str, dict[str, list[tuple[str, str]]]] = defaultdict(lambda: defaultdict(list))
        for row in rows.to_pylist():
            labelled[row["lang"]][row["split"]].append((row["text"], row["category"]))
        every = max(1, len(labelled) // SIB_LANGUAGES)
        self.topics = {tag: labelled[tag] for tag in sorted(labelled)[::every]}

    def scores(self, model: Path) -> dict[str, Any]:
        """Score a model's vectors, mean of the last layer and untuned."""
        encoder = load_embedder(model, dtype="float32", device="cpu")
        found = bitext_accuracy(encoder, self.pairs)
        topics = {
            tag: neighbour_scores(encoder, splits["dev"], splits["test"])["accuracy"]
            for tag, splits in self.topics.items()
        }
        tatoeba = {tag: value["accuracy"] for tag, value in found["languages"].items()}
        return {"tatoeba": tatoeba, "sib200": topics}


def score(run: RecipeRun, model: Path, probes: Probes, counts: dict[str, dict[str, int]], target: Path) -> None:
    """Score one model and keep the figures; `same_text` is the loss by token of the study's vocabulary."""
    report, groups = model.parent / "language_report.json", run.groups()
    figures: dict[str, Any] = {"groups": groups}
    if report.is_file():  # written when the run ended
        languages = json.loads(report.read_text(encoding="utf-8"))["languages"]
        losses = {tag: one["loss"] for tag, one in languages.items() if one.get("loss") is not None}
        figures["read"] = {tag: one["tokens"] * one["epochs"] for tag, one in languages.items()}
    else:  # a merged model
        losses = language_losses(MmBertForMaskedLM.from_pretrained(model), run.heldout(), Accelerator(cpu=True))
    own = counts[GEMMA if target.name.startswith(GEMMA) else REFERENCE]
    figures["same_text"] = {tag: value * own[tag] / counts[REFERENCE][tag] for tag, value in losses.items()}
    figures |= {"loss": losses, "loss_by_group": group_losses(losses, groups)}
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(figures | probes.scores(model), indent=1), encoding="utf-8")


def main() -> None:
    """Do what is left of the study, then write its tables."""
    parser = parser_of(__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--output", type=Path, default=Path("build/claims"))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--vocabulary", type=Path, help="folder with mmBERT's tokenizer")
    parser.add_argument("--arms", default=",".join(arms()), help="recipes of benchmarks/claims/, separated by commas")
    parser.add_argument("--only", choices=["status", "report"], help="train nothing")
    parser.add_argument("--quick", action="store_true", help="70,000 tokens a run: does it work?")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    chosen = [arm for arm in options.arms.split(",") if arm != GEMMA or options.vocabulary is not None]
    jobs = [(seed, arm) for seed in map(int, options.seeds.split(",")) for arm in chosen]
    if options.only == "status":
        done = sorted(path.stem for path in (options.output / "scores").glob("*.json"))
        logger.info("%d models of %d runs are scored: %s", len(done), len(jobs), ", ".join(done) or "none")
        return
    if options.only is None:
        study(options, jobs)
    write_report(options.output)
    write_language_report(options.output)


def study(options: argparse.Namespace, jobs: list[tuple[int, str]]) -> None:
    """Train, merge and score every run that is not there yet; say how long each took and what is left."""
    prepare_text(options.source, options.output, options.vocabulary)
    probes, counts = Probes(options.source), heldout_tokens(options.output)
    for number, (seed, arm) in enumerate(jobs):
        began = time.monotonic()
        run = run_of(arm, seed, options.output, options.quick)
        models = run.run()
        models.pop(STABLE)
        if arm == REFERENCE:
            models |= merged_models(run)
        for name, model in models.items():
            target = options.output / "scores" / f"{arm}-{name}-{seed}.json"
            if not target.is_file():
                score(run, model, probes, counts, target)
        seconds = time.monotonic() - began
        logger.info("%s, seed %d: %.0f s; %d runs are left", arm, seed, seconds, len(jobs) - number - 1)


if __name__ == "__main__":
    main()
