"""A language report as a plain dict, as JSON and as a Markdown table."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = "language_report.json"
_WORTH_A_RATIO = 1e-4  # below a share of 0.01 % chance decides how far the seen share is from its target


def language_report(record: Mapping[str, Any], step: int) -> dict[str, Any]:
    """Take the report out of a run's record.

    Args:
        record: Run record, of a run that may not have ended.
        step: Steps done.

    Returns:
        `step`, `phase`, `phases` begun, `tokens_seen`, `loss_step` and `masking_ratio` of the losses, and `languages`:
        by tag, most text first, `group`, `tokens` of text, `shares` by phase begun (`target`, `seen`), `epochs` over
        all phases and `loss` (None where it was not measured).
    """
    begun = {name: shares for name, shares in record["shares"].items() if any(s["seen"] for s in shares.values())}
    last = record["evaluations"][-1] if record["evaluations"] else {"step": None, "loss": {}}
    known = record["data"]["languages"]
    languages = {}
    for tag in sorted(known, key=lambda tag: (-known[tag]["tokens"], tag)):
        shares = {name: of_phase[tag] for name, of_phase in begun.items() if tag in of_phase}
        languages[tag] = {
            "group": known[tag]["group"],
            "tokens": known[tag]["tokens"],
            "shares": {name: {key: share[key] for key in ("target", "seen")} for name, share in shares.items()},
            "epochs": sum(share["epochs"] for share in shares.values()),
            "loss": last["loss"].get(tag),
        }
    return {
        "recipe": record["recipe"]["name"],
        "variant": record["variant"],
        "step": step,
        "phase": list(begun)[-1] if begun else None,
        "phases": list(begun),
        "tokens_seen": round(sum(entry["epochs"] * entry["tokens"] for entry in languages.values())),
        "loss_step": last["step"],
        "masking_ratio": record["recipe"]["evaluation_masking_ratio"],
        "languages": languages,
    }


def write_report(report: dict[str, Any], directory: Path) -> Path:
    """Write a report as JSON and as Markdown.

    Args:
        report: From `language_report`.
        directory: The run's folder.

    Returns:
        The JSON file; the Markdown lies beside it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / FILE
    for path, text in (
        (target, json.dumps(report, indent=1, ensure_ascii=False)),
        (target.with_suffix(".md"), as_markdown(report)),
    ):
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path)
    return target


def as_markdown(report: dict[str, Any]) -> str:
    """Write a report as a table, most text first.

    Args:
        report: From `language_report`.

    Returns:
        Markdown with two columns a phase begun, in percent of the phase's tokens.
    """
    languages, phases = report["languages"], report["phases"]
    header = ["language", "group", "text", *(f"{name} {word}" for name in phases for word in ("target %", "seen %"))]
    header += ["epochs", f"loss at {100 * report['masking_ratio']:g} %"]
    rows = [header, ["---", "---", *["---:"] * (len(header) - 2)]]
    for tag, entry in languages.items():
        shares = [entry["shares"].get(name) for name in phases]
        cells = [f"{100 * share[key]:.4g}" if share else "" for share in shares for key in ("target", "seen")]
        loss = "" if entry["loss"] is None else f"{entry['loss']:.3f}"
        rows.append([tag, entry["group"], f"{entry['tokens']:,}", *cells, f"{entry['epochs']:.2f}", loss])
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"# Languages after step {report['step']:,}\n\n{_summary(report)}\n\n{table}"


def _summary(report: dict[str, Any]) -> str:
    name = f"{report['recipe']}, {report['variant']}" if report["variant"] else report["recipe"]
    words = [f"Recipe {name}: {report['tokens_seen']:,} tokens read, phase {report['phase']}."]
    measured = {
        tag: share["seen"] / share["target"] - 1
        for tag, entry in report["languages"].items()
        if (share := entry["shares"].get(report["phase"])) and share["target"] > _WORTH_A_RATIO
    }
    if measured:
        furthest = max(measured, key=lambda tag: abs(measured[tag]))
        words.append(f"Furthest from its target in this phase: {furthest}, {100 * measured[furthest]:+.1f} %.")
    if report["loss_step"] is not None:
        words.append(f"Losses were measured after step {report['loss_step']:,}.")
    return " ".join(words)
