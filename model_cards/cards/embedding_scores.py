"""Writes the retrieval scores of an embedder into the card of its folder: by set, resource group and language.

The section stands between two comments, so that writing it again replaces it and leaves the rest of the card as its
author left it. The card's metadata get the same numbers as a model-index, which the Hub shows beside the model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...common.deprecation import renamed_keys
from ..markdown import markdown_table

_BEGIN, _END = "<!-- mmbert: embedding scores -->", "<!-- mmbert: end of embedding scores -->"
_GROUPS = ("phase 1", "phase 2", "phase 3", "unread")


def add_embedding_scores(folder: str | Path, report: Mapping[str, Any]) -> Path:
    """Write scores into a card, which is made if there is none.

    Args:
        folder: Of the embedder.
        report: What `evaluate_embedder` gave, with its `model_index`.

    Returns:
        The README.md.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If the report holds no score.
    """
    from huggingface_hub import EvalResult, ModelCard
    from huggingface_hub.repocard_data import eval_results_to_model_index

    place = Path(folder)
    if not place.is_dir():
        raise FileNotFoundError(f"{place} is no folder; give that of the embedder")
    if not report["tasks"]:
        raise ValueError("the report holds 0 scores, a card needs at least 1: evaluate the embedder first")
    path = place / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else f"---\n---\n\n# {place.name}\n"
    card = ModelCard(text, ignore_metadata_errors=True)
    data: Any = card.data
    name = data.model_name or place.name
    kept = [one for one in data.eval_results or [] if not str(one.dataset_type).startswith("embedding/")]
    results = [*kept, *(EvalResult(**entry) for entry in report["model_index"])]
    data.eval_results, data.model_name = results, name
    eval_results_to_model_index(name, results)  # what the Hub would refuse is refused here
    before, _, rest = card.text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    card.text = f"{before.rstrip()}\n\n{_BEGIN}\n{_section(report)}\n{_END}\n{after.lstrip()}"
    card.save(path)
    return path


def _section(report: Mapping[str, Any]) -> str:
    tasks = renamed_keys(report["tasks"], trivial="baseline")
    titles = [task["title"] for task in tasks]
    sets = [
        [
            task["title"],
            task["metric"],
            len(task["languages"]),
            f"{sum(one['rows'] for one in task['languages'].values()):,}",
            _percent(task["mean"]),
            _percent(task["baseline"]),
        ]
        for task in tasks
    ]
    groups = [
        [group, *(_percent(task["groups"].get(group, {}).get("mean")) for task in tasks)]
        for group in _GROUPS
        if any(group in task["groups"] for task in tasks)
    ]
    tags = sorted({tag for task in tasks for tag in task["languages"]})
    languages = [[tag, *(_cell(task["languages"].get(tag)) for task in tasks)] for tag in tags]
    return "\n\n".join(
        [
            "## Retrieval and similarity by language",
            "Per cent; every language counts alike; nothing was trained on these sets.",
            markdown_table(["set", "number", "languages", "rows", "score", "chance"], sets),
            "By the phase in which mmBERT first reads a language:",
            markdown_table(["group", *titles], groups),
            f"<details><summary>All {len(tags)} languages</summary>",
            "n: rows, and from where to where the score lies in 95 % of samples of as many rows.",
            markdown_table(["language", *titles], languages),
            "</details>",
        ]
    )


def _cell(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    ends = entry.get("interval")
    about = f"n {entry['rows']}" + (f": {100 * ends[0]:.0f} to {100 * ends[1]:.0f}" if ends else "")
    return f"{_percent(entry['mean'])} ({about})"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"
