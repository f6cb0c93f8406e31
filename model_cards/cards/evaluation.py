"""What `mmbert evaluate` found, for the card: a table of tasks, and entries of the Hub's model-index."""

from typing import TYPE_CHECKING, Any

from ...common.deprecation import renamed_keys
from ..markdown import markdown_table

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_CHOSEN_ON_DEV = "dev"


def evaluation_table(report: dict[str, Any]) -> str:
    """List the tasks of a `report.json` as Markdown, without settings that the test chose; empty if there are none."""
    rows = []
    for task in renamed_keys(report["tasks"], trivial="baseline"):
        if task["choice"] != _CHOSEN_ON_DEV:
            continue
        sd = "" if task["sd"] is None else f" ± {100 * task['sd']:.1f}"
        setting = task["setting"]
        rows.append(
            (
                task["title"],
                task["metric"],
                len(task["languages"]),
                f"{task['rows']['test']:,}" if "rows" in task else "",
                len(task["seeds"]),
                f"{100 * task['mean']:.1f}{sd}",
                f"{100 * task['baseline']:.1f}",
                _cut(task),
                f"{setting['learning_rate']:g} x {setting['epochs']:g}",
            )
        )
    counts = ("task", "metric", "languages", "test rows", "seeds")
    header = (*counts, "mean over languages", "majority baseline", "texts cut", "learning rate x epochs")
    return markdown_table(header, rows, text_columns=2) if rows else ""


def _cut(task: dict[str, Any]) -> str:
    """Say which share of the test texts a length cut, and of which language most."""
    known = {tag: entry["tokens"] for tag, entry in task["languages"].items() if entry.get("tokens")}
    rows = sum(one["rows"] for one in known.values())
    if not rows:
        return ""
    share = sum(one["cut"] * one["rows"] for one in known.values()) / rows
    worst = max(known, key=lambda tag: known[tag]["cut"])
    return f"{share:.0%}" + (f" ({worst} {known[worst]['cut']:.0%})" if known[worst]["cut"] and len(known) > 1 else "")


def evaluation_results(report: dict[str, Any]) -> "list[EvalResult]":
    """Turn a `report.json` into entries of the model-index, one per task and one per language, per cent."""
    from huggingface_hub import EvalResult

    return [EvalResult(**entry) for entry in report["model_index"]]
