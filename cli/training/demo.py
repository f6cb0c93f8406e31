"""`mmbert demo`: the whole way on real text, small enough to watch: train, branch, merge, align, evaluate, publish.

Every step is the function that a user calls for the real thing; here they only follow each other.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...common.files import read_json, write_json
from ...common.progress import duration

if TYPE_CHECKING:
    from ...trainers import RecipeRun

logger = logging.getLogger(__name__)


def demo(
    output_dir: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("demo_run"),
    recipe: Annotated[str, typer.Option(help="Shipped recipe or YAML file, over the catalogues corpus.")] = "demo",
    align_seconds: Annotated[float, typer.Option(help="Time to tune the embedding model.", min=1)] = 60,
    max_pairs: Annotated[int, typer.Option(help="Held-out pairs scored in each language.", min=10)] = 100,
) -> None:
    """Train a small mmBERT on the text inside installed packages, merge its variants, and make an embedding model."""
    from ...recipes import Recipe
    from ...trainers import RecipeRun

    began = time.monotonic()
    # Evaluated within the phases too, so that the picture shows curves.
    arguments = {"eval_strategy": "steps", "eval_steps": 125}
    run = RecipeRun(Recipe.load(recipe), output_dir, arguments=arguments, tokens_per_language=1024)
    with _stage("1/5  reading the corpus"):
        _log_data(run)
    with _stage(
        f"2/5  training: {', '.join(p.name for p in run.recipe.schedule().phases)}, then {len(run.recipe.variants)}"
    ):
        parts = run.run()
    with _stage("3/5  merging the decay variants with TIES"):
        merged, losses = _merge(run, parts)
    with _stage(f"4/5  tuning an embedding model on parallel text for {align_seconds:.0f} s"):
        retrieval = _align(run, merged, align_seconds, max_pairs)
    with _stage("5/5  writing the model card and its pictures"):
        record = _publish(run, retrieval, merged, losses)
    seconds = time.monotonic() - began
    _show(record, losses, retrieval)
    results = {"losses": losses, "retrieval": {k: _summary(v) for k, v in retrieval.items()}, "seconds": seconds}
    write_json(output_dir / "demo.json", results, indent=1)
    typer.echo(f"done in {seconds / 60:.1f} minutes. In {output_dir}:")
    typer.echo("  merged/               the merged masked language model")
    typer.echo("  embedder/             loads with SentenceTransformer(...), without this package")
    typer.echo("  embedder/README.md    its model card; pictures beside it in pictures/")
    typer.echo("  stable/, decay-*/      every run with its checkpoints and run_record.json")
    typer.echo(f"look at the runs: mmbert report {output_dir} --output report.html")
    typer.echo(f"search your texts: mmbert search index FOLDER --output my.index --model {output_dir / 'embedder'}")
    typer.echo("                   mmbert search serve my.index")


@contextmanager
def _stage(title: str) -> Iterator[None]:
    logger.info("--- %s", title)
    began = time.monotonic()
    yield
    logger.info("    %s", duration(time.monotonic() - began))


def _log_data(run: "RecipeRun") -> None:
    from ...data.tokenization import open_planned_corpus

    index = run.data.train.index
    for source in index["sources"]:
        logger.info("    %s %s, licence %s", source["name"], source["version"], source["licence"])
    tokens = run.data.train.token_counts
    logger.info("    %d languages, %s tokens to train on", len(tokens), f"{sum(tokens.values()):,}")
    if not hasattr(open_planned_corpus(run.recipe), "pairs"):
        raise ValueError("the demo tunes on parallel text, which this recipe's corpus does not have; use `catalogues`.")


def _merge(run: "RecipeRun", parts: dict[str, Path]) -> tuple[Path, dict[str, dict[str, float]]]:
    """Merge the variants and score them and the merge by held-out loss at the recipe's evaluation ratio."""
    from ...merging import merge_ties, read_report
    from ...trainers.pretraining.record import read_group_losses

    merged = run.output_dir / "merged"
    variants = [path for name, path in parts.items() if name in run.recipe.variants]
    if not merged.is_dir():
        merge_ties(parts["stable"], variants, merged, trim="tensor")  # loses less: docs/evidence.md
        read_report(merged).draw(run.output_dir / "merge_agreement.png")
    losses = {name: read_group_losses(path.parent) for name, path in parts.items() if name != "stable"}
    return merged, {**losses, "merged": run.score(merged)}


def _align(run: "RecipeRun", merged: Path, seconds: float, max_pairs: int) -> dict[str, Any]:
    """Tune on training pairs; score bitext retrieval on held-out pairs before and after."""
    from ...data.tokenization import open_planned_corpus
    from ...embeddings import align_encoder, load_embedder
    from ...evaluation import bitext_accuracy

    corpus: Any = open_planned_corpus(run.recipe)
    embedder = run.output_dir / "embedder"
    if not embedder.is_dir():
        report = align_encoder(
            merged, corpus.pairs("train"), embedder, max_seconds=seconds, learning_rate=1e-3, seed=run.recipe.seed
        )
        logger.info("    %d steps on %s pairs", report.steps, f"{report.pairs:,}")
    heldout = list(corpus.pairs("heldout"))
    groups = run.groups()
    return {
        # In fp32: the card's figures must not depend on the processor.
        when: bitext_accuracy(load_embedder(path, dtype="float32"), heldout, max_pairs=max_pairs, groups=groups)
        for when, path in (("before", merged), ("after", embedder))
    }


def _publish(
    run: "RecipeRun", retrieval: dict[str, Any], merged: Path, losses: dict[str, dict[str, float]]
) -> dict[str, Any]:
    """Write card and pictures beside the embedder, from the records alone."""
    from ...model_cards import build_card, draw_all

    home = run.output_dir / "embedder"
    last = list(run.recipe.variants)[-1]
    record = read_json(run.output_dir / last / "run_record.json")
    merge = {**read_json(merged / "merge.json"), "losses": losses}
    for name, value in (("run_record", record), ("retrieval", retrieval), ("merge", merge)):
        write_json(home / f"{name}.json", value, indent=1)
    drawn = draw_all(record, home / "pictures", retrieval)
    pictures = {path.stem: f"pictures/{path.name}" for path in drawn}
    card = build_card(record, retrieval=retrieval, merge=merge, pictures=pictures, name=f"mmbert-{run.recipe.name}")
    card.save(home / "README.md")
    return record


def _summary(scores: dict[str, Any]) -> dict[str, Any]:
    return {"macro": scores["macro"], "groups": scores["groups"], "languages": len(scores["languages"])}


def _show(record: dict[str, Any], losses: dict[str, dict[str, float]], retrieval: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    groups = ("high", "mid", "low", "code")
    table = Table(title="held-out loss at 15 % masking (nats), by resource group")
    for column in ("after", *groups):
        table.add_column(column, justify="left" if column == "after" else "right")
    # The last evaluation in each of the phases before the variants; the variants follow.
    rows = {entry["phase"] if entry["step"] else "nothing": entry["group_loss"] for entry in record["evaluations"]}
    rows.pop(record["variant"], None)
    for name, by_group in {**rows, **losses}.items():
        table.add_row(name, *(f"{by_group[group]:.3f}" if group in by_group else "" for group in groups))
    console = Console()
    console.print(table)
    found = Table(title="bitext retrieval on held-out text: translation found among all of its language")
    for column in ("embedding", "languages", "mean", *groups[:3]):
        found.add_column(column, justify="left" if column == "embedding" else "right")
    for when, scores in retrieval.items():
        by_group = (f"{scores['groups'][group]:.1%}" if group in scores["groups"] else "" for group in groups[:3])
        found.add_row(f"{when} tuning", str(len(scores["languages"])), f"{scores['macro']:.1%}", *by_group)
    console.print(found)
