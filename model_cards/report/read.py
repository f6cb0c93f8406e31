"""What a page shows of a run, from the records that runs leave: facts, curves, tables, heat maps, predictions.

    run_record.json (pre-training)    fine_tune_record.json, one per seed, with predictions_*.jsonl
    report.json (mmbert evaluate, mmbert train, evaluate_embeddings.py)    retrieval.json (bitext accuracy)

A run is a plain dict that JSON can hold; nothing is recomputed but means over seeds and languages.
"""

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...common.deprecation import renamed_keys
from ...common.files import read_json
from ...languages.tags import entry_phase, language_name

RECORDS = ("run_record.json", "fine_tune_record.json", "report.json", "retrieval.json")
_POINTS = 500  # of a curve
_CELLS = 400  # rows of a heat map, beyond which scripts stand for languages
_LABELS = 40  # classes of a confusion matrix
_SHOWN = 2_000  # characters of a text

Run = dict[str, Any]


def read_run(place: str | Path, predictions: int = 5_000) -> list[Run]:
    """Read what a run left.

    Args:
        place: Its output folder, a folder of such folders (variants, seeds, models), or one of its records.
        predictions: Most predictions shown of a data set, wrong ones first.

    Returns:
        A page's part for each run: `title`, `kind`, `facts`, `curves`, `tables`, `heat`, `predictions`, `notes`.

    Raises:
        FileNotFoundError: If there is no record.
        ValueError: If a record is damaged or of another shape.
    """
    path = Path(place)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the output folder of a run")
    files = [path] if path.is_file() else _records(path)
    if not files:
        raise FileNotFoundError(f"{path} holds none of {', '.join(RECORDS)}, nor do its folders; give a run's output")
    runs: list[Run] = []
    seeds = [one for one in files if one.name == "fine_tune_record.json" and one.parent.name.startswith("seed-")]
    groups = [seeds, *([one] for one in files if one not in seeds)] if seeds else [[one] for one in files]
    for group in groups:
        title = path.name if len(group) > 1 or group[0].parent == path or path.is_file() else group[0].parent.name
        record = [read_json(one) for one in group]
        try:
            run = _part(record, group, predictions)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise ValueError(f"{group[0]} has not the shape of a record ({type(error).__name__}: {error})") from None
        runs.append({"title": title or str(path), **run})
    return runs


def _records(folder: Path) -> list[Path]:
    """The records of a folder, else those of its folders; retrieval beside a pre-training belongs to that."""
    for depth in ("", "*/", "*/*/"):
        every = [one for name in RECORDS for one in sorted(folder.glob(depth + name)) if one.is_file()]
        found = list({one.resolve(): one for one in reversed(every)}.values())[::-1]  # a link to a run is no other run
        if found:
            return [one for one in found if one.name != "retrieval.json" or not (one.parent / RECORDS[0]).is_file()]
    return []


def _part(records: Sequence[Mapping[str, Any]], files: Sequence[Path], predictions: int) -> Run:
    first = records[0]
    empty: Run = {"facts": [], "curves": [], "tables": [], "heat": [], "predictions": [], "notes": []}
    if "recipe" in first and "steps" in first:
        side = files[0].with_name("retrieval.json")
        return empty | _pretraining(first, read_json(side) if side.is_file() else None)
    if "by_language" in first and "scores" in first:
        return empty | _fine_tuning(records, [one.parent for one in files], predictions)
    if "tasks" in first:
        return empty | _evaluation(first)
    if "losses" in first:
        return empty | _embedder_training(first)
    if "languages" in first or "after" in first:
        return empty | {"kind": "Retrieval of translations", **_retrieval(first, {})}
    raise ValueError(f"it has {', '.join(list(first)[:8]) or 'nothing'}")


# Each kind of run


def _pretraining(record: Mapping[str, Any], retrieval: Mapping[str, Any] | None) -> Run:
    data, evaluated = record["data"]["languages"], record["evaluations"]
    heat = []
    if evaluated:
        times = [f"{row['tokens']:,}" for row in evaluated]
        heat = [_heat("Held-out loss", times, {tag: [row["loss"].get(tag) for row in evaluated] for tag in data})]
    more: Run = {"tables": [], "heat": []}
    if retrieval is not None:
        more = _retrieval(retrieval, {tag: str(one.get("group")) for tag, one in data.items()})
    skipped = record["data"].get("skipped") or {}
    return {
        "kind": "Pre-training",
        "facts": _pretraining_facts(record),
        "curves": _pretraining_curves(record["steps"], evaluated),
        "tables": [_pretraining_languages(record), *more["tables"]],
        "heat": heat + more["heat"],
        "notes": [f"left out of the data: {count:,} {why}" for why, count in skipped.items()],
    }


def _pretraining_facts(record: Mapping[str, Any]) -> list[list[Any]]:
    last = record["steps"][-1] if record["steps"] else {}
    return [
        ["recipe", record["recipe"].get("name")],
        ["variant", record.get("variant")],
        *([name.replace("_", " "), value] for name, value in record["model"].items()),
        ["languages", len(record["data"]["languages"])],
        ["steps", last.get("step")],
        ["tokens read", last.get("tokens")],
        ["hours", round(record.get("seconds", 0) / 3600, 2)],
        *record.get("versions", {}).items(),
    ]


def _pretraining_curves(steps: Sequence[Mapping[str, Any]], evaluated: Sequence[Mapping[str, Any]]) -> list[Run]:
    """Held-out loss by group, with the languages of each, then what every step tells, over phases."""
    phases: list[list[Any]] = []
    for row in steps:
        if not phases or phases[-1][0] != row.get("phase"):
            phases.append([row.get("phase"), row["tokens"], row["tokens"]])
        phases[-1][2] = row["tokens"]
    curves = []
    if evaluated:

        def lines(key: str) -> list[Run]:
            names = sorted({name for row in evaluated for name in row[key]})
            return [_series(name, [(row["tokens"], row[key].get(name)) for row in evaluated]) for name in names]

        unit = "loss (nats per masked token)"
        curve = _curve("Held-out loss by language group", "tokens read", unit, lines("group_loss"))
        curves.append(curve | {"more": lines("loss"), "phases": phases})
    for title, key, unit in (
        ("Training loss", "loss", "loss (nats per masked token)"),
        ("Masking ratio", "masking_ratio", "share of tokens masked"),
        ("Learning rate", "learning_rate", "learning rate"),
        ("Speed", "tokens_per_second", "tokens per second"),
    ):
        points = [(row["tokens"], row.get(key)) for row in steps]
        if any(y is not None for _, y in points):
            curves.append(_curve(title, "tokens read", unit, [_series(key.replace("_", " "), points)], phases=phases))
    return curves


def _pretraining_languages(record: Mapping[str, Any]) -> Run:
    evaluated, shares = record["evaluations"], record["shares"]
    ends, first = (evaluated[-1]["loss"], evaluated[0]["loss"]) if evaluated else ({}, {})
    columns = ["group", "#tokens", "#documents", ".loss at first", ".loss at the end", *(f"%{n}, seen" for n in shares)]
    rows = [
        [*_named(tag), one.get("group"), one["tokens"], one["documents"], first.get(tag), ends.get(tag)]
        + [part.get(tag, {}).get("seen") for part in shares.values()]
        for tag, one in record["data"]["languages"].items()
    ]
    return _table("Languages", columns, rows)


def _retrieval(record: Mapping[str, Any], groups: Mapping[str, str]) -> Run:
    parts = {name: record[name] for name in ("before", "after") if record.get(name)} or {"accuracy": record}
    tags = sorted({tag for part in parts.values() for tag in part["languages"]})
    columns = ["group", "#pairs", "%chance", *(f"%{name}" for name in parts)]
    rows = []
    for tag in tags:
        known = [part["languages"].get(tag, {}) for part in parts.values()]
        rows.append(
            [*_named(tag), groups.get(tag), known[-1].get("pairs"), known[-1].get("chance")]
            + [one.get("accuracy") for one in known]
        )
    values = {tag: [part["languages"].get(tag, {}).get("accuracy") for part in parts.values()] for tag in tags}
    heat = _heat("Retrieval of translations", list(parts), values, percent=True)
    return {"tables": [_table("Retrieval of translations", columns, rows)], "heat": [heat]}


def _fine_tuning(records: Sequence[Mapping[str, Any]], folders: Sequence[Path], predictions: int) -> Run:
    first = records[0]
    facts = [["checkpoint", Path(str(first["checkpoint"])).name], ["head", first.get("head")]]
    facts += [["seeds", ", ".join(str(one.get("options", {}).get("seed")) for one in records)]]
    facts += [[f"rows, {name}", count] for name, count in first.get("rows", {}).items()]
    facts += [["steps", first.get("steps")], ["best step", first.get("best_step")]]
    for part, scores in first["scores"].items():
        for name in (name for name in scores if name != "null_threshold"):
            values = [one["scores"][part][name] for one in records]
            sd = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
            facts.append([f"{part}, {name}", f"{100 * statistics.fmean(values):.1f}{sd}"])
    curves = []
    for title, wanted in (("Training loss", ("loss",)), ("Scores on dev while training", ())):
        series = []
        for record in records:
            history, seed = record.get("history", []), record.get("options", {}).get("seed")
            names = wanted or sorted(
                {key for row in history for key in row if key.startswith("eval_") and _is_score(key)}
            )
            for name in names:
                points = [(row["step"], row[name]) for row in history if name in row]
                label = name.removeprefix("eval_") + (f", seed {seed}" if len(records) > 1 else "")
                series += [_series(label, points)] if points else []
        curves += [_curve(title, "step", "loss" if wanted else "score", series)] if series else []
    tables, heat = [], []
    for part, languages in first["by_language"].items():
        names = [key for key in next(iter(languages.values()), {}) if key not in ("rows", "trained")]
        rows = []
        for tag, one in languages.items():
            means = [statistics.fmean(record["by_language"][part][tag][name] for record in records) for name in names]
            known = [record.get("intervals", {}).get(part, {}).get("languages", {}) for record in records]
            ends = [each.get(tag, {}).get(names[0]) for each in known]
            both = [statistics.fmean(side) for side in zip(*ends, strict=True)] if all(ends) else [None, None]
            rows.append([*_named(tag), "trained" if one["trained"] else _phase(tag), one["rows"], *means, *both])
        columns = ["group", "#rows", *(f"%{name}" for name in names), *_bounds(names[:1])]
        tables.append(_table(f"Scores on {part}", columns, rows))
        heat.append(_heat(f"Scores on {part}", names, {row[0]: row[5:-2] for row in rows}, percent=True))
    shown = []
    for folder in folders:
        for file in sorted(folder.glob("predictions_*.jsonl")):
            name = file.stem.removeprefix("predictions_") + (f", {folder.name}" if len(folders) > 1 else "")
            one, confusion = _predictions(name, file, predictions)
            shown.append(one)
            heat += [confusion] if confusion else []
    kind = {"kind": "Fine-tuning", "facts": facts, "curves": curves, "tables": tables, "heat": heat}
    dropped = first.get("dropped") or []
    return {**kind, "predictions": shown, "notes": [str(one) for one in dropped]}


def _embedder_training(report: Mapping[str, Any]) -> Run:
    curves = [_curve("Training loss", "step", "loss", [_series("loss", report["losses"])])]
    names = dict.fromkeys(name for _, scores in report["scores"] for name in scores)
    lines = [_series(name, [(step, scores.get(name)) for step, scores in report["scores"]]) for name in names]
    curves += [_curve("Scores on held-out rows", "step", "score", lines)] if lines else []
    facts = [[name, report.get(name)] for name in ("output", "rows", "steps", "seconds")]
    facts[0][1] = Path(str(facts[0][1])).name
    notes = [f"left out: {count:,} {why}" for why, count in report.get("skipped", {}).items()]
    return {"kind": "Training of an embedder", "facts": facts, "curves": curves, "notes": notes}


def _is_score(key: str) -> bool:
    return not key.endswith(("_runtime", "_per_second", "_loss_sum", "eval_loss"))


def _evaluation(report: Mapping[str, Any]) -> Run:
    tasks = renamed_keys(report["tasks"], trivial="baseline")
    embedding = bool(tasks) and all(task["name"].startswith("embedding/") for task in tasks)
    titles = [task["title"] + ("" if task.get("choice", "dev") == "dev" else f" ({task['choice']})") for task in tasks]
    rows = [
        [title, task["metric"], task["mean"], task["sd"], task["baseline"], len(task["languages"]), len(task["seeds"]),
         sum(one["rows"] for one in task["languages"].values())]
        for title, task in zip(titles, tasks, strict=True)
    ]  # fmt: skip
    columns = ["metric", "%mean", "%sd", "%majority baseline", "#languages", "#seeds", "#test rows"]
    tags = sorted({tag for task in tasks for tag in task["languages"]})
    groups = {tag: one["group"] for task in tasks for tag, one in task["languages"].items()}
    values = {tag: [task["languages"].get(tag, {}).get("mean") for task in tasks] for tag in tags}
    by_language = [[*_named(tag), groups[tag], *values[tag]] for tag in tags]
    behind = [[*_named(tag), *_behind(tag, tasks)] for tag in tags]
    counted = [name for title in titles for name in (f"#rows, {title}", *_bounds([title]))]
    scripts = sorted({script for task in tasks for script in task["scripts"]})
    by_script = {one: [(task["scripts"].get(one) or {}).get("mean") for task in tasks] for one in scripts}
    heat = [_heat("Scores by language", titles, values, percent=True)]
    if len(tags) <= _CELLS:  # else the languages were drawn by script already
        heat.append(_grid("Scores by script", titles, by_script, percent=True))
    table = _table("Tasks", columns, rows, first=["task"])
    notes = [f"{task['title']}: {note}" for task in tasks for note in task.get("notes", [])]
    notes += [f"{name} failed: {why}" for name, why in report.get("failures", {}).items()]
    return {
        "kind": "Evaluation of embeddings" if embedding else "Evaluation",
        "facts": [[str(name), value] for name, value in report.get("about", {}).items()],
        "tables": [
            table,
            _table("Languages", ["group", *(f"%{title}" for title in titles)], by_language),
            _table("Rows and 95 % intervals over rows", counted, behind),
        ],
        "heat": heat,
        "notes": notes,
    }


def _bounds(names: Sequence[str]) -> list[str]:
    return [f"%{name}, 95 % {end}" for name in names for end in ("from", "to")]


def _behind(tag: str, tasks: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Rows and both ends of the interval of a language, task by task."""
    entries = [task["languages"].get(tag) or {} for task in tasks]
    return [cell for one in entries for cell in (one.get("rows"), *(one.get("interval") or (None, None)))]


def _predictions(name: str, file: Path, most: int) -> tuple[Run, Run | None]:
    """Predictions of a data set, and its confusion matrix where the labels are classes."""
    rows = []
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            row["error"] = round(1 - row["f1"], 4) if "f1" in row else _error(row.get("right"), row.get("predicted"))
            rows.append(row)
    pairs = Counter((str(row.get("right")), str(row.get("predicted"))) for row in rows if _is_class(row))
    labels = sorted({label for pair in pairs for label in pair})
    confusion = None
    if rows and sum(pairs.values()) == len(rows) and len(labels) <= _LABELS:
        counts = {right: [pairs.get((right, said), 0) for said in labels] for right in labels}
        confusion = _grid(f"Right labels (rows) and predicted ones (columns) of {name}", labels, counts)
        confusion["rowwise"] = True
    kept = sorted(rows, key=lambda row: -row["error"])[:most]
    shown = [{key: _short(value) for key, value in row.items() if key != "spans"} for row in kept]
    numbers = bool(rows) and isinstance(rows[0].get("right"), float)
    return {"title": name, "rows": shown, "all": len(rows), "numbers": numbers}, confusion


def _is_class(row: Mapping[str, Any]) -> bool:
    return all(isinstance(row.get(key), str | int) for key in ("right", "predicted"))


def _error(right: Any, said: Any) -> float:
    """0 for what is right; a distance for numbers, the share of unequal tags for words, else 1."""
    if isinstance(right, float) and isinstance(said, int | float):
        return round(abs(right - said), 4)
    if isinstance(right, list) and isinstance(said, list) and len(right) == len(said) and right:
        return float(round(sum(one != other for one, other in zip(right, said, strict=True)) / len(right), 4))
    return float(bool(right != said) and not (isinstance(right, list) and isinstance(said, str) and said in right))


# Parts of a page


def _curve(title: str, x: str, y: str, series: list[Run], **more: Any) -> Run:
    return {"title": title, "x": x, "y": y, "series": series, "phases": [], "more": [], **more}


def _series(name: str, points: Iterable[tuple[Any, Any]]) -> Run:
    """A line, of at most `_POINTS` points, the last among them."""
    whole = [[x, _number(y)] for x, y in points if _number(y) is not None]
    step = -(-len(whole) // _POINTS) or 1
    thin = whole[::step]
    return {"name": name, "points": thin if not whole or thin[-1] is whole[-1] else [*thin, whole[-1]]}


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], first: Sequence[str] = ()) -> Run:
    """A table; `#` before a column means a count, `%` a share of one, `.` another number."""
    names = [*(first or ("tag", "language", "script")), *columns]
    kinds = [{"#": "count", "%": "percent", ".": "number"}.get(name[:1], "text") for name in names]
    heads = [name[1:] if kind != "text" else name for name, kind in zip(names, kinds, strict=True)]
    cells = [[_number(cell) if kind != "text" else cell for cell, kind in zip(row, kinds, strict=True)] for row in rows]
    return {"title": title, "columns": heads, "kinds": kinds, "rows": cells}


def _heat(title: str, columns: list[str], values: Mapping[str, Sequence[Any]], *, percent: bool = False) -> Run:
    """Languages against columns; means by script where there are many languages."""
    if len(values) <= _CELLS:
        return _grid(title, columns, values, percent=percent)
    scripts: dict[str, list[Sequence[Any]]] = {}
    for tag, row in values.items():
        scripts.setdefault(tag.partition("_")[2] or "none", []).append(row)
    means = {}
    for script, rows in sorted(scripts.items()):
        numbers = [[x for x in column if _number(x) is not None] for column in zip(*rows, strict=True)]
        means[f"{script} ({len(rows)})"] = [statistics.fmean(column) if column else None for column in numbers]
    return _grid(f"{title}, means of {len(values):,} languages by script", columns, means, percent=percent)


def _grid(title: str, columns: list[str], values: Mapping[str, Sequence[Any]], *, percent: bool = False) -> Run:
    rows = [[name, *(_number(one) for one in row)] for name, row in values.items()]
    return {"title": title, "columns": columns, "rows": rows, "percent": percent}


def _named(tag: str) -> list[str]:
    try:
        name = language_name(tag)
    except (ValueError, KeyError, LookupError):
        name = tag
    return [tag, name, tag.partition("_")[2]]


def _phase(tag: str) -> str:
    phase = entry_phase(tag)
    return f"zero-shot, phase {phase}" if phase else "zero-shot, not read"


def _number(value: Any) -> float | int | None:
    """A number for JSON: six significant digits, None for what is none or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.6g}")


def _short(value: Any) -> Any:
    return value if not isinstance(value, str) or len(value) <= _SHOWN else value[:_SHOWN] + " ..."
