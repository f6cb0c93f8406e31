"""The model card: filled from the run's own records, so that it costs nothing and cannot disagree with them.

The metadata hold what the Hub searches (languages, licence, task, scores as a model-index); the text holds recipe, data
with licences, scores by language and limits. The model-index gets the scores of the model that is published: retrieval
for an embedding model, held-out loss for an encoder; the tables show both. What the Hub would refuse is refused here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.files import read_json
from ...common.messages import first_of
from .. import markdown as tables
from ..plots.style import GROUPS, NAMES, short_count
from .evaluation import evaluation_results, evaluation_table
from .metadata import check_licence, check_repo_id, hub_codes, hub_datasets

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard

_TEMPLATE = Path(__file__).with_name("template.md")
_FEW_TOKENS = 10_000  # a language with less than about twenty pages of text is named among the limits


def build_card(
    record: dict[str, Any],
    *,
    retrieval: dict[str, Any] | None = None,
    merge: dict[str, Any] | None = None,
    evaluation: dict[str, Any] | None = None,
    pictures: Mapping[str, str] | None = None,
    name: str | None = None,
    repo_id: str | None = None,
    licence: str = "apache-2.0",
    base_model: str | None = None,
    limits: Sequence[str] = (),
) -> "ModelCard":
    """Build the model card of a run.

    Args:
        record: Run record, as the trainer writes it.
        retrieval: {"before": ..., "after": ...}, each from `bitext_accuracy`; makes it the card of an embedding model.
        merge: `merge.json` of the merged checkpoint, if the model is a merge; with {"losses": {variant: {group: loss}}}
            in it, the variants are compared.
        evaluation: `report.json` of `mmbert evaluate`: scores after fine-tuning, for table and model-index.
        pictures: Address of each picture in the card's repository, by name: schedule, shares, loss, retrieval.
        name: Title; by default `mmbert-` and the recipe's name and variant.
        repo_id: Where the model will live on the Hub; by default the name.
        licence: Licence id of the Hub for the weights.
        base_model: Hub id of the model that training started from, None if from scratch.
        limits: Sentences to add to the limits, for example what the text was about.

    Returns:
        The card; `.save(path)` writes it, `.push_to_hub(repo_id)` publishes it.

    Raises:
        ValueError: If the licence, a language tag or the base model is nothing that the Hub knows.
    """
    from huggingface_hub import ModelCard

    name = name or "-".join(filter(None, ("mmbert", record["recipe"]["name"], record.get("variant"))))
    pictures = pictures or {}
    data = _card_data(record, retrieval, merge, name, licence, base_model)
    if evaluation:
        data.eval_results = [*(data.eval_results or []), *evaluation_results(evaluation)] or None
    card: ModelCard = ModelCard.from_template(
        data,
        template_path=str(_TEMPLATE),
        name=name,
        address=repo_id or name,
        embedder=retrieval is not None,
        summary=_summary(record, retrieval is not None),
        recipe=_recipe_line(record),
        phases=tables.phase_table(record),
        merge=tables.merge_table(merge) if merge else "",
        sources=tables.source_table(record),
        data_notes=_data_notes(record),
        group_losses=tables.group_loss_table(record),
        retrieval=tables.retrieval_table(retrieval) if retrieval else "",
        fine_tuned=evaluation_table(evaluation) if evaluation else "",
        languages=tables.language_table(record, retrieval),
        limits="\n".join(f"- {limit}" for limit in (*_limits(record), *limits)),
        **{f"{picture}_picture": address for picture, address in pictures.items()},
    )
    return card


def read_records(run_dir: str | Path) -> tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]:
    """Read what a run left behind.

    Args:
        run_dir: Folder with `run_record.json`, and `retrieval.json` and `merge.json` where there was such a step.

    Returns:
        The run record, the retrieval scores or None, the merge report or None.

    Raises:
        FileNotFoundError: If there is no run record.
        ValueError: If a file is not JSON.
    """
    run_dir = Path(run_dir)
    if not (run_dir / "run_record.json").is_file():
        inner = next(iter(sorted(run_dir.glob("*/run_record.json"))), None)
        remedy = f"give {inner.parent}, which does" if inner else "give the output folder of a finished training run"
        raise FileNotFoundError(f"{run_dir} holds no run_record.json: {remedy}")
    record = read_json(run_dir / "run_record.json")
    optional = (run_dir / "retrieval.json", run_dir / "merge.json")
    retrieval, merge = (read_json(path) if path.is_file() else None for path in optional)
    return record, retrieval, merge


def _card_data(
    record: dict[str, Any],
    retrieval: dict[str, Any] | None,
    merge: dict[str, Any] | None,
    name: str,
    licence: str,
    base_model: str | None,
) -> Any:
    from huggingface_hub import ModelCardData

    embedder = retrieval is not None
    tags = ["mmbert", "modernbert", "multilingual", "masked-lm"]
    return ModelCardData(
        language=hub_codes(record["data"]["languages"]),
        license=check_licence(licence),
        library_name="sentence-transformers" if embedder else "transformers",
        pipeline_tag="sentence-similarity" if embedder else "fill-mask",
        base_model=check_repo_id(base_model) if base_model else None,
        datasets=hub_datasets(source["url"] for source in record["data"]["sources"]) or None,
        tags=[*tags, "sentence-transformers", "feature-extraction"] if embedder else tags,
        model_name=name,
        eval_results=_eval_results(record, retrieval, merge) or None,
    )


def _eval_results(
    record: dict[str, Any], retrieval: dict[str, Any] | None, merge: dict[str, Any] | None
) -> "list[EvalResult]":
    """Turn the scores into the Hub's model-index: those of the published model, overall first, then by language."""
    if retrieval is not None:  # tuning changed the encoder: its masked-token losses are no scores of this model
        after = retrieval["after"]
        by_language = [_retrieval_result(tag, tag, scores["accuracy"]) for tag, scores in after["languages"].items()]
        return [_retrieval_result("mean over languages", "all", after["macro"]), *by_language]
    if merge is not None:  # the record is that of a variant; of the merge only its own scores are known
        merged = (merge.get("losses") or {}).get("merged", {})
        return [_loss_result(NAMES[group], f"group-{group}", merged[group]) for group in GROUPS if group in merged]
    if not record["evaluations"]:
        return []
    last = record["evaluations"][-1]
    by_group = [
        _loss_result(NAMES[group], f"group-{group}", last["group_loss"][group])
        for group in GROUPS
        if group in last["group_loss"]
    ]
    return [*by_group, *(_loss_result(tag, tag, value) for tag, value in last["loss"].items())]


def _loss_result(words: str, config: str, value: float) -> "EvalResult":
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type="fill-mask",
        dataset_type="mmbert-heldout",
        dataset_name=f"held-out text ({words})",
        dataset_config=config,
        dataset_split="heldout",
        metric_type="loss",
        metric_name="loss at 15 % masking",
        metric_value=round(value, 4),
    )


def _retrieval_result(words: str, config: str, value: float) -> "EvalResult":
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type="sentence-similarity",
        task_name="bitext retrieval",
        dataset_type="mmbert-heldout-pairs",
        dataset_name=f"held-out pairs ({words})",
        dataset_config=config,
        dataset_split="heldout",
        metric_type="accuracy",
        metric_name="accuracy, mean of both directions",
        metric_value=round(value, 4),
    )


def _summary(record: dict[str, Any], embedder: bool) -> str:
    model, languages = record["model"], record["data"]["languages"]
    natural = sum(tag != "code" for tag in languages)
    kind = "sentence-embedding model on an mmBERT encoder" if embedder else "multilingual encoder of the mmBERT family"
    return (
        f"A {kind}: {short_count(model['parameters'])} parameters, {model['num_hidden_layers']} layers of width "
        f"{model['hidden_size']}, a vocabulary of {model['vocab_size']:,}, trained on {natural} languages"
        f"{' and code' if 'code' in languages else ''} by a recipe in which the masking ratio falls and the languages "
        "grow from phase to phase."
    )


def _recipe_line(record: dict[str, Any]) -> str:
    recipe, versions = record["recipe"], record["versions"]
    variant = f", variant `{record['variant']}`" if record.get("variant") else ""
    last = record["steps"][-1] if record["steps"] else {"step": 0, "tokens": 0}
    software = ", ".join(f"{package} {version}" for package, version in versions.items())
    amount = f"{last['step']:,} steps, {short_count(last['tokens'])} tokens, {record['seconds']:,.0f} seconds of steps"
    return f"Recipe `{recipe['name']}`{variant}, seed {recipe['seed']}: {amount}; {software}."


def _data_notes(record: dict[str, Any]) -> str:
    skipped = record["data"]["skipped"]
    words = ", ".join(f"{reason} ({count:,})" for reason, count in sorted(skipped.items())) or "nothing"
    return f"Fingerprint of the data: `{record['data']['fingerprint']}`. Left out, in documents: {words}."


def _limits(record: dict[str, Any]) -> list[str]:
    languages = record["data"]["languages"]
    few = sorted(tag for tag, entry in languages.items() if entry["tokens"] < _FEW_TOKENS)
    longest = max(phase["context_length"] for phase in record["recipe"]["phases"])
    limits = [
        f"Trained on sequences of up to {longest:,} tokens; longer input runs, but was never seen.",
        "The scores compare languages and phases of this run. They are no benchmark: held-out text comes from the same "
        "sources as the training text.",
        "An encoder repeats the leanings of its text, and serves the languages with little text worse than the others.",
    ]
    if few:
        limits.append(f"Languages with fewer than {_FEW_TOKENS:,} tokens of text: {len(few)} ({first_of(few, 12)}).")
    return limits
