"""The card of a fine-tuned network: its scores by language, filled from the record that fine-tuning leaves.

Scores are those of the tests that the record names; dev chose the network, so it is shown only where there is no test.
What the network started from is named by its Hub id, or by the name of its folder: paths stay out of a published card.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import markdown as tables
from .metadata import check_licence, check_repo_id, hub_codes

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard

_TASKS = {
    "sequence": "text-classification",
    "tokens": "token-classification",
    "spans": "question-answering",
    "choices": "multiple-choice",
}
_SHOWN_LABELS = 20
_TEXT = """
# {name}

{kind}

## Scores

{scores}

## By language

Languages that fine-tuning did not read are marked 0-shot.

{languages}

## Training

{training} `fine_tune_record.json` beside this file has every option.
"""


def build_fine_tune_card(record: dict[str, Any], *, name: str, licence: str = "apache-2.0") -> "ModelCard":
    """Build the card of a fine-tuned network.

    Args:
        record: `fine_tune_record.json`.
        name: Title.
        licence: Licence id of the Hub for the weights.

    Returns:
        The card.

    Raises:
        ValueError: If the Hub does not know the licence.
    """
    from huggingface_hub import ModelCard, ModelCardData

    base, on_hub = _base(str(record["checkpoint"]))
    evaluated = [data_set for data_set in record["scores"] if data_set != "dev"] or list(record["scores"])
    task = _TASKS.get(record["head"])
    data = ModelCardData(
        license=check_licence(licence),
        library_name="transformers",
        pipeline_tag=task,
        language=_codes(record.get("train_languages") or []) or None,
        base_model=base if on_hub else None,
        base_model_relation="finetune" if on_hub else None,
        tags=["mmbert", "modernbert", "multilingual"],
        model_name=name,
        eval_results=[_result(task, data_set, record["scores"][data_set]) for data_set in evaluated] or None,
    )
    labels = [str(label) for label in record.get("labels") or []]
    kind = f"Fine-tuned from `{base}` for {(task or record['head']).replace('-', ' ')}."
    if labels:
        kind += f" Labels: {', '.join(labels[:_SHOWN_LABELS])}{' and more' if len(labels) > _SHOWN_LABELS else ''}."
    text = _TEXT.format(
        name=name,
        kind=kind,
        scores=_scores_table(record, evaluated) if evaluated else "None were taken.",
        languages="\n\n".join(_language_table(record, data_set) for data_set in evaluated) or "None were taken.",
        training=_training(record),
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n{text}")


def _base(checkpoint: str) -> tuple[str, bool]:
    """Name what training started from, and tell whether that is an id of the Hub."""
    path = Path(checkpoint)
    if not path.exists() and not path.is_absolute() and checkpoint.count("/") == 1 and not checkpoint.startswith("."):
        try:
            return check_repo_id(checkpoint), True
        except ValueError:
            pass
    return (path.parent.name if path.name == "final" and path.parent.name else path.name), False


def _codes(tags: list[str]) -> list[str]:
    """Turn tags into the Hub's codes; the user's own rows may name languages in ways of their own."""
    found = set()
    for tag in tags:
        try:
            found.update(hub_codes([tag]))
        except ValueError:
            continue
    return sorted(found)


def _result(task: str | None, data_set: str, scores: dict[str, float]) -> "EvalResult":
    """Give the first score, the task's main one, to the Hub's model-index."""
    from huggingface_hub import EvalResult

    metric = next((name for name, value in scores.items() if math.isfinite(value)), None)
    return EvalResult(
        task_type=task or "other",
        dataset_type="mmbert-fine-tuning",
        dataset_name=f"rows of {data_set}",
        dataset_split=data_set,
        metric_type=metric or "none",
        metric_value=round(scores[metric], 4) if metric else 0.0,
    )


def _scores_table(record: dict[str, Any], evaluated: list[str]) -> str:
    names = list(dict.fromkeys(name for data_set in evaluated for name in record["scores"][data_set]))
    known = {data_set: record.get("intervals", {}).get(data_set, {}).get("overall") for data_set in evaluated}
    rows = []
    for data_set in evaluated:
        scores = (_number(record["scores"][data_set].get(name)) for name in names)
        ends = (_ends(known[data_set], names[0]),) if any(known.values()) else ()
        rows.append((data_set, f"{record['rows'][data_set]:,}", *scores, *ends))
    return tables.markdown_table(("data", "rows", *names, *_interval_head(names, any(known.values()))), rows)


def _interval_head(names: list[str], known: bool) -> tuple[str, ...]:
    return (f"{names[0]}, 95 % over rows",) if known else ()


def _ends(intervals: dict[str, Any] | None, name: str) -> str:
    ends = (intervals or {}).get(name)
    return f"{ends[0]:.2f} to {ends[1]:.2f}" if ends else "-"


def _language_table(record: dict[str, Any], data_set: str) -> str:
    entries = record["by_language"].get(data_set) or {}
    if not entries:
        return f"The rows of {data_set} name no languages."
    names = list(record["scores"][data_set])
    tokens = record.get("tokens", {}).get(data_set, {})  # not in records of 0.1, as the intervals
    intervals = record.get("intervals", {}).get(data_set, {}).get("languages", {})
    known = any(intervals.values())
    rows = []
    for tag, entry in entries.items():
        own = tokens.get(tag)
        about = (_ratio(own["tokens_per_word"]), f"{own['cut']:.0%}") if own else ("-", "-")
        scores = (_number(entry.get(name)) for name in names)
        shot = "" if entry["trained"] else "0-shot"
        ends = (_ends(intervals.get(tag), names[0]),) if known else ()
        rows.append((tag, shot, f"{entry['rows']:,}", *scores, *ends, *(about if tokens else ())))
    header = (data_set, "", "rows", *names, *_interval_head(names, known))
    header += ("tokens per word", "texts cut") if tokens else ()
    return tables.markdown_table(header, rows, text_columns=2)


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _training(record: dict[str, Any]) -> str:
    options = record["options"]
    way = f"LoRA of rank {options['lora_rank']}" if options.get("lora") else "All weights"
    if options.get("lora_embeddings"):
        way += " and the embeddings of the tokens in training rows"
    batch = options.get("per_device_train_batch_size", options.get("batch_size"))  # the latter in records of 0.1
    versions = ", ".join(f"{package} {version}" for package, version in record["versions"].items())
    return (
        f"{way}, {record['rows']['train']:,} rows, {record['steps']:,} steps of {batch} rows a process "
        f"and batch, peak learning rate {options['learning_rate']:g}, seed {options['seed']}; {versions}."
    )


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.4f}"
