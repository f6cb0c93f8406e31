"""What an evaluation found, as one dict: each task with its languages, groups and scripts, mean and spread over seeds.

    records of runs -> `build_report` -> report.json, report.md, heat map, model card

A task's mean counts every language alike, as XTREME does; its spread is the standard deviation over seeds of that mean
(n - 1 in the denominator; unknown with one seed). Languages are grouped by the phase in which mmBERT first reads them
and by script. `baseline` is the score of somebody who knows the training labels and nothing of the text.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...languages.tags import entry_phase
from ...tasks.language_scores import SHARES
from ...tasks.metrics.intervals import interval_over_seeds, share_interval
from .catalogue import load_tasks, published_scores
from .sweep import choose, mean_score

GROUPS = ("phase 1", "phase 2", "phase 3", "unread")
GROUP_NAMES = {
    "phase 1": "phase 1 (mmBERT's first 60)",
    "phase 2": "phase 2 (added for the 110)",
    "phase 3": "phase 3 (added for the 1,833)",
    "unread": "never read by mmBERT",
}
CHOICES = {"final": "dev", "oracle": "test (oracle)"}
_MODELS = ("mmBERT-small", "mmBERT-base", "XLM-R base", "Multilingual MiniLM", "mGTE base")

Record = Mapping[str, Any]


def build_report(
    records: Iterable[Record], failures: Mapping[str, str] | None = None, about: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Sum up records as `about`, `tasks` (an oracle's choice is an entry of its own) and `failures`, by task."""
    by_entry: dict[tuple[str, str], list[Record]] = {}
    sweeps: dict[str, list[Record]] = {}
    everything = sorted(records, key=lambda record: record["seed"])
    for record in everything:
        if record["stage"] == "sweep":
            sweeps.setdefault(record["task"], []).append(record)
        else:
            by_entry.setdefault((record["task"], record["stage"]), []).append(record)
    for (name, stage), runs in list(by_entry.items()):
        if stage == "oracle":  # the sweep of an oracle was evaluated on test too; only the best setting is its choice
            sweeps.setdefault(name, []).extend(run for run in runs if run["seed"] == runs[0]["seed"])
            best = choose(sweeps[name], runs[0]["metric"], "test").to_dict()
            by_entry[name, stage] = [run for run in runs if run["setting"] == best]
    tasks = [_entry(name, stage, runs, sweeps.get(name, [])) for (name, stage), runs in sorted(by_entry.items())]
    order = {name: place for place, name in enumerate(load_tasks())}
    tasks.sort(key=lambda task: (order.get(task["name"], len(order)), task["name"], task["choice"] != "dev"))
    return {"about": dict(about or {}), "tasks": tasks, "failures": dict(failures or {})}


def _entry(name: str, stage: str, runs: Sequence[Record], sweep: Sequence[Record]) -> dict[str, Any]:
    first, metric = runs[0], runs[0]["metric"]
    languages = {tag: _language(tag, runs, metric) for tag in _languages(name, runs)}
    means = [mean_score(run["scores"]["test"], metric) for run in runs]
    return {
        "name": name,
        "title": first["title"],
        "metric": metric,
        "choice": CHOICES[stage],
        "setting": first["setting"],
        "tried": len({repr(run["setting"]) for run in sweep}) or 1,
        "seeds": [run["seed"] for run in runs],
        "train_languages": first["train_languages"],
        "rows": first["rows"],
        "mean": statistics.fmean(means),
        "sd": spread(means),
        "dev": statistics.fmean(mean_score(run["scores"]["dev"], metric) for run in runs),
        "baseline": mean_score(first["baseline"]["test"], metric),
        "languages": languages,
        "groups": _by("group", languages, runs, metric),
        "scripts": _by("script", languages, runs, metric),
        "zero_shot": _subset([tag for tag in languages if not languages[tag]["trained"]], runs, metric),
        "published": _published(name),
        "notes": first["notes"],
        "seconds": round(statistics.fmean(run["seconds"] for run in runs), 1),
        "cpu_seconds": round(sum(run["cpu_seconds"] for run in (*runs, *sweep)), 1),
    }


def _languages(name: str, runs: Sequence[Record]) -> list[str]:
    evaluated = {tuple(run["scores"]["test"]) for run in runs}
    if len(evaluated) > 1:
        raise ValueError(f"{name}: its runs evaluate different languages; put them into folders of their own")
    return list(runs[0]["scores"]["test"])


def _language(tag: str, runs: Sequence[Record], metric: str) -> dict[str, Any]:
    phase = entry_phase(tag)
    values = [run["scores"]["test"][tag][metric] for run in runs]
    own = runs[0]["scores"]["test"][tag]
    interval = interval_over_seeds(run.get("intervals", {}).get(tag, {}).get(metric) for run in runs)
    if interval is None and metric in SHARES:  # records of 0.1
        interval = share_interval(statistics.fmean(values), own["rows"])
    others = [key for key in own if key not in ("rows", "trained", metric)]
    return {
        "mean": statistics.fmean(values),
        "sd": spread(values),
        "rows": own["rows"],
        "trained": own["trained"],
        "baseline": runs[0]["baseline"]["test"][tag][metric],
        "group": f"phase {phase}" if phase else "unread",
        "script": tag.partition("_")[2] or "none",
        "interval": interval,
        "tokens": runs[0].get("tokens", {}).get(tag),
        "other": {key: statistics.fmean(run["scores"]["test"][tag][key] for run in runs) for key in others},
    }


def _by(key: str, languages: Mapping[str, Any], runs: Sequence[Record], metric: str) -> dict[str, Any]:
    """Average over the languages of each group or script, then over seeds."""
    names = sorted({entry[key] for entry in languages.values()})
    return {
        name: _subset([tag for tag, entry in languages.items() if entry[key] == name], runs, metric) for name in names
    }


def _subset(tags: Sequence[str], runs: Sequence[Record], metric: str) -> dict[str, Any] | None:
    if not tags:
        return None
    means = [mean_score({tag: run["scores"]["test"][tag] for tag in tags}, metric) for run in runs]
    baseline = mean_score({tag: runs[0]["baseline"]["test"][tag] for tag in tags}, metric)
    return {"languages": len(tags), "mean": statistics.fmean(means), "sd": spread(means), "baseline": baseline}


def _published(name: str) -> list[dict[str, Any]]:
    rows = [row for row in published_scores() if row.task == name]
    rows.sort(key=lambda row: _MODELS.index(row.model) if row.model in _MODELS else len(_MODELS))
    return [{"model": row.model, "metric": row.metric, "score": row.score, "place": row.place} for row in rows]


def spread(values: Sequence[float]) -> float | None:
    """Return the standard deviation over seeds."""
    return statistics.stdev(values) if len(values) > 1 else None


def model_index(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Turn a report into keyword arguments of `EvalResult`; the Hub has no place for an oracle's choice."""
    kinds = {"labels": "text-classification", "score": "sentence-similarity", "answers": "question-answering"}
    kinds["choices"] = "text-classification"
    entries = []
    for task in report["tasks"]:
        if task["choice"] != "dev":
            continue
        known = load_tasks().get(task["name"])
        part = known.parts.get("test") if known else None
        shared = {
            "task_type": kinds.get(known.head if known else "", "token-classification"),
            "dataset_type": part.hub if part else task["name"],
            "dataset_split": "test",
            "metric_type": task["metric"],
            "metric_name": f"{task['metric']}, mean of {len(task['seeds'])} seed(s), settings chosen on dev",
        }
        words = f"mean over {len(task['languages'])} languages" if len(task["languages"]) > 1 else "test"
        values = {"all": (words, task["mean"])} if len(task["languages"]) > 1 else {}
        values |= {tag: (tag, entry["mean"]) for tag, entry in task["languages"].items()}
        entries += [
            {
                **shared,
                "dataset_name": f"{task['title']} ({name})",
                "dataset_config": config,
                "metric_value": round(100 * value, 2),
            }
            for config, (name, value) in values.items()
        ]
    return entries
