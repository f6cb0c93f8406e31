"""What the four training scripts share: options, the rows that they name, the run and its report."""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...common.checkpoints.reader import require_start
from ...common.files import refuse_existing
from ...common.options import HelpWithDefaults
from ...common.progress import duration
from ..encoding.backend import known_device
from ..pairs.cleaning import read_pairs
from ..pairs.pair_set import PairSet
from ..pairs.sources import read_texts
from ..retrievers.load import require_one_output
from .presets import PRESETS, TrainingPreset, preset
from .run import TrainingReport, refuse_bad_numbers

_log = logging.getLogger(__name__)

_KINDS = {"scored": "scored pairs"}
_SETTINGS = {
    "batch_size": (int, "Rows of a step; the preset's if left out."),
    "learning_rate": (float, "At its highest; the preset's if left out."),
    "epochs": (float, "Passes over the rows; the preset's if left out."),
    "warmup": (float, "Share of the steps in which the rate rises; the preset's if left out."),
    "max_seq_length": (int, "Cut texts after so many tokens while training; the preset's if left out."),
    "max_steps": (int, "Stop after so many steps, whatever --epochs says."),
}
_TOLD = ("logging_steps", "report_to", "run_name")  # of TrainingArguments, as they are


def training_parser(description: str, default_preset: str = "pairs") -> argparse.ArgumentParser:
    """Return a parser with the options of every training script, for scripts to add to."""
    parser = argparse.ArgumentParser(description=description, formatter_class=HelpWithDefaults)
    parser.add_argument("--model", required=True, help="Folder or Hub id of the encoder to start from.")
    parser.add_argument("--output", required=True, type=Path, help="Folder to write; report.json and scores.md in it.")
    parser.add_argument("--train", nargs="+", default=[], help="PLACE?role=column&...: parquet, jsonl, CSV, Hub id.")
    parser.add_argument("--dev", nargs="+", default=[], help="Held-out pairs; left out: --heldout rows of --train.")
    parser.add_argument(
        "--exclude",
        nargs="+",
        default=[],
        help="Files whose texts must not be trained on, alone or inside longer ones.",
    )
    parser.add_argument("--preset", default=default_preset, choices=PRESETS, help="Settings to start from.")
    parser.add_argument("--heldout", type=int, help="Rows held out for scores; 0: none.")
    parser.add_argument("--max_rows", type=int, help="Draw so many of the rows.")
    parser.add_argument("--negatives", type=int, help="Hard negatives a row; read, or mined with --mine_with.")
    parser.add_argument("--mine_with", help="Embedder that mines the negatives of pairs.")
    parser.add_argument(
        "--relative_margin", type=float, default=0.05, help="Share by which a mined negative is less similar."
    )
    add_settings(parser)
    parser.add_argument("--mini_batch_tokens", type=int, help="Compute a batch in parts of so many tokens (GradCache).")
    parser.add_argument(
        "--active_vocabulary",
        type=true_or_false,
        help="False: train embedding rows that no training row reads, too.",
    )
    parser.add_argument("--logging_steps", type=int, help="Steps between two lines of progress.")
    parser.add_argument("--report_to", nargs="+", help="tensorboard (into runs/ beside --output), wandb, trackio, ...")
    parser.add_argument("--run_name", help="Of the run in these services; the output's name if left out.")
    return parser


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add what `mmbert train distilled` has too."""
    for name, (kind, told) in _SETTINGS.items():
        parser.add_argument(f"--{name}", type=kind, help=told)
    parser.add_argument("--bf16", action="store_true", default=None, help="Compute in bfloat16; weights stay in fp32.")
    parser.add_argument("--seed", type=int, default=0, help="Of batches, dropout and new weights.")
    parser.add_argument("--device", help="Such as cpu or cuda:1; the best if left out.")


def true_or_false(word: str) -> bool:
    """Read the value of an option that is true or false."""
    if word.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{word} must be true or false")
    return word.lower() == "true"


def run_script(train: Callable[..., TrainingReport], options: argparse.Namespace, **own: Any) -> str:
    """Read the rows, train with one of the four `train_...` functions and write the report."""
    from transformers.utils import logging as transformers_logging

    from .retrievers import train_reranker, train_sparse_encoder

    transformers_logging.disable_progress_bar()
    if options.device:
        known_device(options.device)
    refuse_existing(options.output)  # now, and not after an hour of mining
    require_start(options.model, masked_lm=train is train_sparse_encoder)
    if train is train_reranker:
        require_one_output(options.model)
    settings = settings_of(options)
    pairs, dev = rows_of(options, settings)
    spoken = f" in {count} languages" if (count := len(set(pairs.languages))) > 1 else ""
    _log.info("%d %s%s, left out: %s", len(pairs), _KINDS.get(pairs.kind, pairs.kind), spoken, pairs.left_out())
    limits = {name: getattr(options, name) for name in ("max_steps", "seed", "device")}
    told = {name: value for name in _TOLD if (value := getattr(options, name)) is not None}
    limits["arguments"] = told
    return write_report(train(options.model, pairs, options.output, settings=settings, dev=dev, **limits, **own))


def settings_of(options: argparse.Namespace, without: tuple[str, ...] = ("train",)) -> TrainingPreset:
    """Return the preset with what the user named; options `without` are no settings."""
    fields = TrainingPreset.__dataclass_fields__.keys() - set(without)
    given = {name: value for name, value in vars(options).items() if name in fields}
    return preset(options.preset, **given)


def rows_of(options: argparse.Namespace, settings: TrainingPreset) -> tuple[PairSet, PairSet | None]:
    """Read, clean and split the rows that the options name, mine negatives where asked: train rows, dev rows."""
    refuse_bad_numbers(settings)
    sources = options.train or settings.train
    if not sources:
        raise ValueError("--train is missing; name a file of pairs, or a preset that has its data")
    miner = None
    if options.mine_with:  # a wrong one is told before rows are read
        from ..encoding.load import load_embedder

        miner = load_embedder(options.mine_with, device=options.device)
    pairs = read_pairs(*sources, negatives=None if options.mine_with else options.negatives, max_rows=options.max_rows)
    if options.exclude:
        pairs = pairs.without_excluded(set().union(*map(read_texts, options.exclude)))
    if options.dev:
        dev: PairSet | None = read_pairs(*options.dev)
        pairs = pairs.without({text for row in dev.rows for text in row}, "in --dev") if dev else pairs
    elif heldout := min(settings.heldout, len(pairs) // 10):  # none of fewer than ten rows
        pairs, dev = pairs.split(heldout, settings.seed)
    else:
        dev = None
    if len(pairs) < 2:
        raise ValueError(
            f"{len(pairs)} rows are left to train on (left out: {pairs.left_out()}); give more, or other --dev"
        )
    if miner is not None:
        from .hard_negatives import mine_negatives

        miner.max_seq_length = min(miner.max_seq_length or settings.max_seq_length, settings.max_seq_length)
        wanted = options.negatives or 1
        pairs = mine_negatives(miner, pairs, negatives=wanted, relative_margin=options.relative_margin)
    return pairs, dev


def write_report(report: TrainingReport) -> str:
    """Write report.json and scores.md beside the model in the first process; return what to show there."""
    from accelerate import PartialState

    if not PartialState().is_main_process:
        return ""
    report.save(report.output / "report.json")
    (report.output / "scores.md").write_text(report.table() + "\n", encoding="utf-8")
    steps = f"{report.steps} step{'' if report.steps == 1 else 's'}"
    return f"{report.output}: {steps} in {duration(report.seconds)}\n\n{report.table()}"
