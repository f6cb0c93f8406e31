"""The report on languages at every phase boundary and at the end: planned share, share read, epochs, loss, by language.

It is made from the run's record and computes nothing of its own, so it and the model card cannot disagree. The files
are replaced as a whole; a reader never finds half a table.
"""

import copy
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..common.files import write_json, write_text
from ..model_cards.markdown import markdown_table
from ..recipes import TrainingSchedule
from .stream_of import stream_of

logger = logging.getLogger(__name__)

FILE = "language_report.json"
_WORTH_A_RATIO = 1e-4  # below a share of 0.01 % chance decides how far the seen share is from its target


class LanguageReportCallback(TrainerCallback):
    """Writes `language_report.json` and `.md` into the run's folder, and a picture if it is given a function for it.

    `MlmTrainer` has one by default and binds its record to it; every rank must have one, rank 0 writes.

    Args:
        draw: Draws a report, `draw(report, path)`; such as `mmbert.model_cards.draw_language_report`. None: no picture.
    """

    def __init__(self, draw: Callable[[dict[str, Any], Path], Any] | None = None) -> None:
        self.draw = draw
        self._record: Callable[[], dict[str, Any]] | None = None
        self._schedule: TrainingSchedule | None = None
        self._written: tuple[int, int] | None = None

    def bound_to(self, record: Callable[[], dict[str, Any]]) -> Self:
        """A callback like this one for one run, whose `record`, called on every rank, gives its record so far."""
        bound = copy.copy(self)
        bound._record = record
        return bound

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        """Find the phases."""
        if self._record is None:
            raise ValueError("LanguageReportCallback needs the record of an MlmTrainer; a plain Trainer keeps none.")
        self._schedule = stream_of(train_dataloader, type(self).__name__).schedule
        self._written = None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Report at a phase boundary that no evaluation follows."""
        if self._at_phase_end(state) and not control.should_evaluate:
            self._report(args, state)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Report at a phase boundary with the losses just measured."""
        if self._at_phase_end(state):
            self._report(args, state)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report where training ends, at a phase boundary or not."""
        self._report(args, state)

    def _at_phase_end(self, state: TrainerState) -> bool:
        return self._schedule is not None and self._schedule.is_phase_end(state.global_step)

    def _report(self, args: TrainingArguments, state: TrainerState) -> None:
        content = (state.global_step, sum("eval_loss" in entry for entry in state.log_history))
        if self._record is None or self._written == content:
            return
        self._written = content
        record = self._record()  # on every rank: the counts are summed over them
        if not state.is_world_process_zero:
            return
        report = language_report(record, state.global_step)
        path = write_report(report, Path(str(args.output_dir)))
        if self.draw is not None:
            self.draw(report, path.with_suffix(".png"))
        logger.info("languages: %s", path)


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
    """Write a report as JSON and, beside it, as Markdown; return the JSON file."""
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / FILE
    write_json(target, report, indent=1)
    write_text(target.with_suffix(".md"), as_markdown(report) + "\n")
    return target


def as_markdown(report: dict[str, Any]) -> str:
    """Write a report as a table, most text first, with two columns per phase begun in percent of the phase's tokens."""
    languages, phases = report["languages"], report["phases"]
    header = ["language", "group", "text", *(f"{name} {word}" for name in phases for word in ("target %", "seen %"))]
    header += ["epochs", f"loss at {100 * report['masking_ratio']:g} %"]
    rows = []
    for tag, entry in languages.items():
        shares = [entry["shares"].get(name) for name in phases]
        cells = [f"{100 * share[key]:.4g}" if share else "" for share in shares for key in ("target", "seen")]
        loss = "" if entry["loss"] is None else f"{entry['loss']:.3f}"
        rows.append([tag, entry["group"], f"{entry['tokens']:,}", *cells, f"{entry['epochs']:.2f}", loss])
    table = markdown_table(header, rows, text_columns=2)
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
