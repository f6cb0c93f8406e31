"""`mmbert train distilled`: its options, and the run that they name."""

import argparse
import logging
from pathlib import Path

from ....common.checkpoints.reader import require_start
from ....common.files import refuse_existing
from ....common.options import HelpWithDefaults
from ...encoding.backend import known_device
from ...pairs.sources import read_texts
from ..options import add_settings, settings_of, write_report
from ..run import refuse_bad_numbers
from .label_store import label_texts
from .losses import refuse_bad_weights
from .rows import DistillationRows, read_distillation_rows
from .run import DEFAULT_LOSS, TeacherOptions, distil_embedder, distil_static, refuse_bad_start
from .targets import CENTRES
from .teachers import open_teacher

_log = logging.getLogger(__name__)


def distillation_parser(description: str) -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(description=description, formatter_class=HelpWithDefaults)
    add = parser.add_argument
    add("--model", help="Folder or Hub id of the student; with --static of the tokenizer.")
    add("--teacher", required=True, help="Folder, Hub id, command:..., lines:..., URL, or file of vectors; see above.")
    add("--output", type=Path, help="Folder to write; report.json and scores.md in it.")
    add("--train", nargs="+", default=[], required=True, help="Texts, pairs, translations: PLACE?role=column&...")
    add("--exclude", nargs="+", default=[], help="Files whose texts must not be trained on, alone or inside others.")
    add("--labels", type=Path, help="Folder that keeps the teacher's vectors; left out: OUTPUT-labels.")
    add("--labels_only", action="store_true", help="Compute the teacher's vectors and stop.")
    add("--teacher_prompt", help="Put before every text for the teacher, such as 'query: '.")
    add("--static", action="store_true", help="A table of token vectors in closed form; no network, no training.")
    add("--start", default="model", help="tokens: begin with that table, for new networks; or the folder of one.")
    add("--ridge", type=float, default=1.0, help="Penalty of the regression from tokens to the teacher.")
    add("--loss", type=_weights, default=dict(DEFAULT_LOSS), help="Weights: cosine=1,contrastive=0.5,mse=0,kl=0.")
    add("--center", choices=CENTRES, default="none", help="Mean that is taken off the teacher's vectors.")
    add("--loss_temperature", type=float, default=0.05, help="Of contrastive and kl.")
    add("--margin", type=float, default=0.05, help="Wrong answers that the teacher finds this near are left out.")
    add("--heldout", type=int, help="Rows held out for scores; 0: none.")
    add_settings(parser)
    parser.set_defaults(preset="distilled")
    return parser


def run_distillation(options: argparse.Namespace) -> str:
    """Read the rows, ask the teacher, train, report."""
    labels = _labels_folder(options)
    settings = settings_of(options, without=("train", "seed"))
    refuse_bad_numbers(settings)
    refuse_bad_weights(options.loss, options.loss_temperature, options.margin)
    refuse_bad_start(options.start)
    if options.device:
        known_device(options.device)
    if not options.labels_only:
        refuse_existing(options.output)
        if not options.static:
            require_start(options.model)
    teacher = open_teacher(options.teacher, prompt=options.teacher_prompt, device=options.device)
    rows = read_distillation_rows(*options.train, exclude=set().union(*map(read_texts, options.exclude)))
    _log.info(
        "%d rows on %d texts of the teacher, left out: %s",
        len(rows),
        len(rows.teacher_texts),
        rows.pairs.left_out(),
    )
    if options.labels_only:
        store = label_texts(teacher, rows.teacher_texts, labels)
        return f"{labels}: {len(store):,} vectors of {store.dimensions} dimensions"
    dev: DistillationRows | None = None
    if heldout := min(settings.heldout, len(rows) // 10):
        rows, dev = rows.split(heldout, settings.seed)
    given: TeacherOptions = {"teacher": teacher, "labels": labels, "dev": dev}
    given |= {"centre": options.center, "ridge": options.ridge}
    if options.static:
        return write_report(distil_static(options.model, rows, options.output, settings=settings, **given))
    report = distil_embedder(
        options.model,
        rows,
        options.output,
        settings=settings,
        loss=options.loss,
        temperature=options.loss_temperature,
        margin=options.margin,
        start=options.start,
        max_steps=options.max_steps,
        seed=options.seed,
        device=options.device,
        **given,
    )
    return write_report(report)


def _labels_folder(options: argparse.Namespace) -> Path:
    """Return where labels lie, after a look at options that need each other."""
    if not options.labels_only and (missing := [n for n in ("model", "output") if getattr(options, n) is None]):
        raise ValueError(f"--{missing[0]} is missing; only --labels_only does without it")
    if options.labels is None and options.output is None:
        raise ValueError("--labels is missing; name the folder that the teacher's vectors shall go to")
    folder: Path = options.labels or options.output.with_name(f"{options.output.name}-labels")
    return folder


def _weights(text: str) -> dict[str, float]:
    """Read cosine=1,contrastive=0.5."""
    found = {}
    for part in text.split(","):
        name, sign, number = part.partition("=")
        try:
            found[name.strip()] = float(number) if sign else 1.0
        except ValueError:
            raise argparse.ArgumentTypeError(f"{part!r} is no weight; write cosine=1,contrastive=0.5") from None
    try:
        refuse_bad_weights(found)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return found
