"""The tables of a card, each a function from the run's record to Markdown.

Numbers are rounded to what a reader compares (three digits for losses, tenths of a per cent); the exact ones are in
`run_record.json`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from .plots.style import GROUPS, NAMES, short_count

_METHODS = {
    "ties": "TIES merge ([arXiv:2306.01708](https://arxiv.org/abs/2306.01708))",
    "weighted_average": "Weighted average",
    "task_arithmetic": "Task arithmetic ([arXiv:2212.04089](https://arxiv.org/abs/2212.04089))",
}


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]], *, text_columns: int = 1) -> str:
    """Write a Markdown table, the first `text_columns` aligned left, bars and line ends in cells made harmless."""
    rule = ["---" if place < text_columns else "---:" for place in range(len(header))]
    lines = [header, rule, *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


def phase_table(record: dict[str, Any]) -> str:
    """List the recipe's phases: languages, temperature, masking, context, RoPE, tokens, learning rate."""
    rows, known = [], set[str]()
    for phase in record["recipe"]["phases"]:
        tags = set(phase["languages"])
        natural = tags - {"code"}
        new = len(natural - known)
        rows.append(
            (
                phase["name"],
                f"{len(natural)}{' + code' if 'code' in tags else ''}",
                new,
                f"{phase['temperature']:g}",
                f"{100 * phase['masking_ratio']:g} %",
                f"{phase['context_length']:,}",
                f"{phase['rope_theta']:,.0f}",
                short_count(phase["tokens"]),
                f"{phase['learning_rate']:g}",
            )
        )
        known |= natural
    header = ("phase", "languages", "new", "temperature", "masked", "context", "RoPE theta", "tokens", "learning rate")
    return markdown_table(header, rows)


def source_table(record: dict[str, Any]) -> str:
    """List the data sources with version and licence."""
    rows = [
        (f"[{source['name']}]({source['url']})", source["version"], source["licence"])
        for source in record["data"]["sources"]
    ]
    return markdown_table(("source", "version", "licence"), rows, text_columns=3)


def group_loss_table(record: dict[str, Any]) -> str:
    """Show each group's loss at the last evaluation of every phase."""
    ends = last_evaluations(record)
    if not ends:
        return ""
    members = Counter(entry["group"] for entry in record["data"]["languages"].values())
    rows = [
        (NAMES[group], members[group], *(_loss(row["group_loss"].get(group)) for row in ends.values()))
        for group in GROUPS
        if any(group in row["group_loss"] for row in ends.values())
    ]
    return markdown_table(("group", "languages", *(f"after {name}" for name in ends)), rows)


def last_evaluations(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Pick the last evaluation of each phase."""
    return {row["phase"]: row for row in record["evaluations"]}


def retrieval_table(retrieval: dict[str, Any]) -> str:
    """Show retrieval accuracy before and after tuning by group and as the mean over languages."""
    before, after = retrieval["before"], retrieval["after"]
    rows = [
        (NAMES.get(group, group), _percent(before["groups"].get(group)), _percent(after["groups"][group]))
        for group in sorted(after["groups"], key=lambda group: (GROUPS.index(group) if group in GROUPS else 9, group))
    ]
    rows.append(("mean over languages", _percent(before["macro"]), _percent(after["macro"])))
    return markdown_table(("group", "before", "after"), rows)


def merge_table(merge: dict[str, Any]) -> str:
    """Tell how variants were merged and agree, and compare losses where `merge` (merge.json) has them."""
    settings = ", ".join(f"{key} {_setting(value)}" for key, value in merge["parameters"].items() if value is not None)
    parents = ", ".join(f"`{parent['name']}`" for parent in merge["parents"])
    text = f"{_METHODS.get(merge['method'], merge['method'])} of {parents} ({settings})."
    agreement = merge.get("report", {}).get("whole", {}).get("sign_agreement")
    if agreement is not None:
        text += f" Where two variants or more kept a change, {_percent(agreement)} of the changes have one sign."
    if not merge.get("losses"):
        return text
    losses = merge["losses"]
    groups = [group for group in GROUPS if any(group in by_group for by_group in losses.values())]
    rows = [(name, *(_loss(by_group.get(group)) for group in groups)) for name, by_group in losses.items()]
    return f"{text}\n\n{markdown_table(('variant', *(NAMES[group] for group in groups)), rows)}"


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return "/".join(map(_setting, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def language_table(record: dict[str, Any], retrieval: dict[str, Any] | None) -> str:
    """List every language with its data, how often it was read, its losses and its retrieval.

    Args:
        record: Run record.
        retrieval: {"before": ..., "after": ...} or None.

    Returns:
        A Markdown table, most data first.
    """
    ends = last_evaluations(record)
    languages = record["data"]["languages"]
    header = ["language", "group", "tokens", "epochs", *(f"loss after {name}" for name in ends)]
    header += ["retrieval before", "retrieval after"] if retrieval else []
    rows = []
    for tag in sorted(languages, key=lambda tag: (-languages[tag]["tokens"], tag)):
        epochs = sum(shares[tag]["epochs"] for shares in record["shares"].values() if tag in shares)
        row = [tag, languages[tag]["group"], f"{languages[tag]['tokens']:,}", f"{epochs:.2f}"]
        row += [_loss(evaluation["loss"].get(tag)) for evaluation in ends.values()]
        if retrieval:
            scores = [retrieval[when]["languages"].get(tag) for when in ("before", "after")]
            row += [_percent(score and score["accuracy"]) for score in scores]
        rows.append(row)
    return markdown_table(header, rows, text_columns=2)


def _loss(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
