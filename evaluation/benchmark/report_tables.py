"""A report in Markdown: what was found, against the majority baseline and what was published, then every language."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...common.messages import first_of
from ...model_cards.markdown import markdown_table
from ...model_cards.plots.style import FEW_ROWS
from ...tasks.language_scores import written
from .report import GROUP_NAMES, GROUPS

_SHOWN = ("mmBERT-small", "mmBERT-base", "XLM-R base")
_MANY_SCRIPTS = 40


def markdown_report(report: Mapping[str, Any]) -> str:
    """Write what `build_report` gave as Markdown."""
    tasks = report["tasks"]
    parts = ["# Evaluation", _about(report["about"])]
    if any(task["choice"] != "dev" for task in tasks):
        parts.append(
            "**Rows marked `oracle` were chosen with the test scores in view. They are no estimate of what a user "
            "gets; they stand here because published numbers are often made so.**"
        )
    if tasks:
        parts += ["## Tasks", task_table(report), "## Settings", _setting_table(tasks)]
        parts += ["## By resource group", group_table(tasks), "## By script", script_table(tasks)]
        parts += ["## Languages", _legend(tasks), language_table(tasks), *_token_section(tasks)]
    notes = [f"- {task['title']}: {note}" for task in tasks if task["choice"] == "dev" for note in _notes(task)]
    if notes:
        parts += ["## What to know", "\n".join(notes)]
    if report["failures"]:
        failed = "\n".join(f"- {name}: {reason}" for name, reason in report["failures"].items())
        parts += ["## Failed", failed]
    return "\n\n".join(part for part in parts if part) + "\n"


def task_table(report: Mapping[str, Any]) -> str:
    """List the tasks, each with its mean, the majority baseline, and what the paper gives for released models."""
    rows = []
    for task in report["tasks"]:
        published = {entry["model"]: entry for entry in task["published"]}
        ours = [_with_other_metric(task, published.get("mmBERT-base"))]
        theirs = [f"{published[model]['score']:.1f}" if model in published else "" for model in _SHOWN]
        zero = task["zero_shot"]
        rows.append(
            [
                _title(task),
                task["metric"],
                len(task["languages"]),
                f"{task['rows']['test']:,}" if "test" in task["rows"] else "",
                len(task["seeds"]),
                written(task),
                written(zero) if zero and zero["languages"] < len(task["languages"]) else "",
                f"{100 * task['baseline']:.1f}",
                *ours,
                *theirs,
            ]
        )
    header = ["task", "metric", "languages", "test rows", "seeds", "mean", "zero-shot languages", "majority baseline"]
    header.append("in the paper's metric")
    return markdown_table([*header, *(f"{model} (paper)" for model in _SHOWN)], rows, text_columns=2)


def group_table(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Average every task over the languages of a resource group."""
    return _grid("group", "groups", GROUPS, tasks, GROUP_NAMES)


def language_table(tasks: Sequence[Mapping[str, Any]]) -> str:
    """List every language of every task."""
    tags = sorted({tag for task in tasks for tag in task["languages"]})
    groups = {tag: entry["group"] for task in tasks for tag, entry in task["languages"].items()}
    tags.sort(key=lambda tag: (GROUPS.index(groups[tag]), tag))
    rows = [[tag, groups[tag], *(_cell_of(task["languages"].get(tag)) for task in tasks)] for tag in tags]
    return markdown_table(["language", "group", *(_title(task) for task in tasks)], rows, text_columns=2)


def _about(about: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in about.items())


def _title(task: Mapping[str, Any]) -> str:
    return task["title"] if task["choice"] == "dev" else f"{task['title']} (oracle)"


def _with_other_metric(task: Mapping[str, Any], published: Mapping[str, Any] | None) -> str:
    """Give our mean of the number that the paper prints, by the script that it used, where it is not the task's own."""
    if published is None:
        return ""
    entries, wanted = task["languages"].values(), published["metric"]
    if any(f"official_{wanted}" in entry["other"] for entry in entries):
        wanted = f"official_{wanted}"
    if wanted == task["metric"]:
        return written(task)
    known = [entry["other"][wanted] for entry in entries if wanted in entry["other"]]
    return f"{wanted} {100 * sum(known) / len(known):.1f}" if known else ""


def _setting_table(tasks: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for task in tasks:
        setting = task["setting"]
        chosen = f"on {task['choice']}, of {task['tried']}" if task["tried"] > 1 else "given, nothing to choose"
        rows.append(
            [
                _title(task),
                chosen,
                f"{setting['learning_rate']:g}",
                f"{setting['epochs']:g}",
                setting["batch_size"],
                setting["max_length"] or "whole",
                "LoRA" if setting["lora"] else "full",
                first_of(task["train_languages"], 4),
                f"{task['rows']['train']:,} / {task['rows']['dev']:,} / {task['rows']['test']:,}",
                ", ".join(map(str, task["seeds"])),
                f"{task['seconds']:,.0f} s",
            ]
        )
    header = ["task", "setting chosen", "learning rate", "epochs", "batch", "length", "weights", "trained on"]
    return markdown_table([*header, "rows train / dev / test", "seeds", "time a run"], rows, text_columns=2)


def script_table(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Average every task over the languages of a script."""
    names = sorted({script for task in tasks for script in task["scripts"]})[:_MANY_SCRIPTS]
    return _grid("script", "scripts", names, tasks, {})


def _grid(
    title: str, key: str, names: Sequence[str], tasks: Sequence[Mapping[str, Any]], long: Mapping[str, str]
) -> str:
    rows = []
    for name in names:
        found = [task[key].get(name) for task in tasks]
        if any(found):
            cells = [f"{written(entry)} ({entry['languages']})" if entry else "" for entry in found]
            rows.append([long.get(name, name), *cells])
    return markdown_table([title, *(_title(task) for task in tasks)], rows)


def _cell_of(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    few = ""
    if entry["rows"] < FEW_ROWS:
        ends = entry.get("interval")
        few = f" (n {entry['rows']}{f': {100 * ends[0]:.0f} to {100 * ends[1]:.0f}' if ends else ''})"
    return written(entry) + ("*" if entry["trained"] else "") + few


def _token_section(tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what the vocabulary makes of each language's test texts, and how many a length cut."""
    measured = [task for task in tasks if any(entry.get("tokens") for entry in task["languages"].values())]
    if not measured:
        return []
    tags = sorted({tag for task in measured for tag in task["languages"]})
    rows = [
        [tag, *(_token_cell((task["languages"].get(tag) or {}).get("tokens")) for task in measured)] for tag in tags
    ]
    words = (
        "Tokens per word of the test texts, or per character (`/char`) where no blanks are written; `cut`: the share of"
        " texts longer than the length that was read; `bytes`: the share of tokens that are single bytes, from 1 %."
    )
    return ["## Tokens", words, markdown_table(["language", *(_title(task) for task in measured)], rows)]


def _token_cell(tokens: Mapping[str, Any] | None) -> str:
    if not tokens:
        return ""
    per_word = tokens["tokens_per_word"]
    said = [f"{tokens['tokens_per_character']:.2f}/char" if per_word is None else f"{per_word:.2f}"]
    said += [
        f"{tokens[key]:.0%} {name}" for key, name in (("cut", "cut"), ("byte_share", "bytes")) if tokens[key] >= 0.005
    ]
    return ", ".join(said)


def _legend(tasks: Sequence[Mapping[str, Any]]) -> str:
    seeds = max(len(task["seeds"]) for task in tasks)
    words = f"mean ± standard deviation over up to {seeds} seeds" if seeds > 1 else "one seed, so no spread is known"
    rows = sorted({entry["rows"] for task in tasks for entry in task["languages"].values()})
    return (
        f"Per cent, {words}; `*`: training had rows of this language, all others are zero-shot. A language has "
        f"{rows[0]:,} to {rows[-1]:,} test rows per task; `n` tells where they are fewer than {FEW_ROWS}, "
        "with the interval of 95 % over rows."
    )


def _notes(task: Mapping[str, Any]) -> list[str]:
    from .catalogue import load_tasks

    known = load_tasks().get(task["name"])
    return [*task["notes"], *([known.note] if known and known.note else [])]
