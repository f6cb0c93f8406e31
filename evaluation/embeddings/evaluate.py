"""Evaluates an embedder on the sets whose files are named, and reports by language, resource group and script.

    files -> rows -> scores by language -> `build_report`, as for fine-tuned models -> JSON, Markdown, heat map, card

All files are checked before the first text is embedded, so that a wrong path costs a second and not an hour.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...common.deprecation import renamed_keys
from ...data.tables.read import read_table
from ...model_cards.markdown import markdown_table
from ..benchmark.report import GROUPS, build_report
from ..benchmark.report_tables import group_table, language_table, script_table
from .retrieval_sets import Row
from .tasks import TASKS, SetScores

_SUFFIXES = (".parquet", ".jsonl")
_KINDS = {"accuracy": "text-retrieval", "ndcg@10": "text-retrieval", "spearman": "sentence-similarity"}


def evaluate_embedder(
    encoder: Any,
    files: Mapping[str, str | Path],
    *,
    about: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Score an embedder on some sets.

    Args:
        encoder: What turns texts into vectors, for example what `load_embedder` gives back.
        files: File or folder of each set, by its name in `TASKS`.
        about: More for the head of the report.
        tell: Told a line when a set is done.

    Returns:
        A report, as `build_report` makes; every set is a task of it.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a set is unknown, a column is missing, or a file cannot be read; before anything is embedded.
    """
    unknown = sorted(set(files) - set(TASKS))
    if unknown or not files:
        raise ValueError(f"no set {unknown[0] if unknown else 'was named'!r}; there are {', '.join(TASKS)}")
    rows = {name: read_set(name, path) for name, path in files.items()}
    records = []
    for name in TASKS:
        if name in rows:
            began, cpu = time.perf_counter(), time.process_time()
            found = TASKS[name].score(encoder, rows[name])
            spent = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
            records.append(_record(name, found, spent))
            if tell is not None:
                mean = sum(one[TASKS[name].metric] for one in found.scores.values()) / len(found.scores)
                tell(f"{TASKS[name].title}: {100 * mean:.1f} over {len(found.scores)} ({spent['seconds']:.0f} s)")
    return _with_code(build_report(records, about=about))


def _with_code(report: dict[str, Any]) -> dict[str, Any]:
    """Give programming languages a script of their own, `code`; their group is that of code in mmBERT's recipe."""
    for task in report["tasks"]:
        if all(tag.startswith("code_") for tag in task["languages"]):
            task["scripts"] = {"code": next(iter(task["groups"].values()))}
            for entry in task["languages"].values():
                entry["script"] = "code"
    return report


def read_set(name: str, path: str | Path) -> dict[str, list[Row]]:
    """Read the .parquet or .jsonl file of a set, or its files from a folder, as {file: rows}."""
    place, found = Path(path), {}
    if not place.exists():
        raise FileNotFoundError(f"{name}: {place} does not exist; give a .parquet or .jsonl file, or a folder of it")
    for part, columns in TASKS[name].columns.items():
        file = place
        if place.is_dir():
            candidates = [one for one in sorted(place.iterdir()) if one.suffix in _SUFFIXES]
            file = next((one for one in candidates if one.stem == part), candidates[0] if candidates else place)
            if not candidates or (len(TASKS[name].columns) > 1 and file.stem != part):
                raise ValueError(f"{name}: {place} holds no {part}.parquet or {part}.jsonl; name the right folder")
        elif len(TASKS[name].columns) > 1:
            raise ValueError(f"{name}: needs the files {', '.join(TASKS[name].columns)}; name their folder")
        rows = [row.values for row in read_table(file)]
        missing = [column for column in columns if not rows or column not in rows[0]]
        if missing:
            has = ", ".join(rows[0]) if rows else "no row"
            raise ValueError(f"{name}: {file} has no column {missing[0]!r}, but {has}; rename it there")
        found[part] = rows
    return found


def _record(name: str, found: SetScores, spent: dict[str, float]) -> dict[str, Any]:
    """Write down a set as a run of the evaluation harness: one seed, nothing trained, nothing chosen."""
    metric = TASKS[name].metric
    test = {tag: found.scores[tag] for tag in found.scores}
    return {
        "task": f"embedding/{name}",  # never the name of a fine-tuning task
        "title": TASKS[name].title,
        "metric": metric,
        "stage": "final",
        "seed": 0,
        "setting": {},
        "train_languages": [tag for tag in test if test[tag]["trained"]],
        "rows": {"train": 0, "dev": 0, "test": sum(one["rows"] for one in test.values())},
        "scores": {"test": test, "dev": test},
        "intervals": dict(found.intervals),
        "baseline": {"test": {tag: {metric: found.baseline[tag]} for tag in test}},
        "notes": list(found.notes),
        **spent,
    }


def embedding_markdown(report: Mapping[str, Any]) -> str:
    """Write a report.

    Args:
        report: From `evaluate_embedder`.

    Returns:
        Markdown: sets, resource groups, scripts, languages.
    """
    tasks = report["tasks"]
    notes = [f"- {task['title']}: {note}" for task in tasks for note in task["notes"]]
    parts = [
        "# Embeddings evaluated",
        "\n".join(f"- {name}: {value}" for name, value in report["about"].items()),
        "## Sets",
        summary_table({"score": report}),
        "Per cent, every language counts alike. Nothing was trained on these sets.",
        "## By resource group",
        group_table(tasks),
        "## By script",
        script_table(tasks),
        "## Languages",
        language_table(tasks),
        *(["## What to know", "\n".join(notes)] if notes else []),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary_table(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """Put models side by side.

    Args:
        reports: Reports on the same sets, by the model's name.

    Returns:
        A Markdown table: a row a set, and one for each resource group where it has several.
    """
    reports = {name: renamed_keys(report, trivial="baseline") for name, report in reports.items()}
    first = next(iter(reports.values()))
    rows = []
    for task in first["tasks"]:
        same = [next(one for one in report["tasks"] if one["name"] == task["name"]) for report in reports.values()]
        scores = [f"{100 * one['mean']:.1f}" for one in same]
        counts = [len(task["languages"]), f"{task['rows']['test']:,}"]
        rows.append([task["title"], task["metric"], *counts, *scores, f"{100 * task['baseline']:.1f}"])
        groups = [group for group in GROUPS if group in task["groups"]]
        for group in groups if len(groups) > 1 else []:
            entry = task["groups"][group]
            scores = [f"{100 * one['groups'][group]['mean']:.1f}" for one in same]
            own = sum(one["rows"] for one in task["languages"].values() if one["group"] == group)
            rows.append([f"- {group}", "", entry["languages"], f"{own:,}", *scores, f"{100 * entry['baseline']:.1f}"])
    return markdown_table(["set", "number", "languages", "rows", *reports, "chance"], rows, text_columns=2)


def embedding_model_index(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Turn a report into entries of the Hub's model-index, one a set and one a language.

    Args:
        report: From `evaluate_embedder`.

    Returns:
        Keyword arguments of `huggingface_hub.EvalResult`.
    """
    entries = []
    for task in report["tasks"]:
        values = {"all": task["mean"]} if len(task["languages"]) > 1 else {}
        values |= {tag: entry["mean"] for tag, entry in task["languages"].items()}
        entries += [
            {
                "task_type": _KINDS[task["metric"]],
                "dataset_type": task["name"],
                "dataset_name": f"{task['title']} ({'mean' if config == 'all' else config})",
                "dataset_config": config,
                "dataset_split": "test",
                "metric_type": task["metric"],
                "metric_name": f"{task['metric']}, zero-shot",
                "metric_value": round(100 * value, 2),
            }
            for config, value in values.items()
        ]
    return entries
