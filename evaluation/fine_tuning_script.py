"""What the fine-tuning scripts have in common: options, rows, training with several seeds, the table, errors in a line.

    run_fine_tuning(ScriptOptions, train, require=("tokens", "tags"), tell=print)

A script is what differs: a dataclass of its own options, and a function that trains with them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..data.labelled_sources import LabelledSources
from .language_table import write_language_table

if TYPE_CHECKING:
    from ..trainers import FineTuned

Script = TypeVar("Script", bound=LabelledSources)


def run_fine_tuning(
    script: type[Script],
    train: Callable[..., list[FineTuned]],
    *,
    require: Sequence[str | tuple[str, ...]],
    score: str | None = None,
    draw: Callable[[dict[str, Any], Path], Any] | None = None,
    tell: Callable[[str], Any] = lambda _: None,
) -> None:
    """Run a fine-tuning script on the command line; what is wrong with its input ends it with one line.

    Args:
        script: Dataclass of its own options.
        train: Called as `train(own, rows, **given)` with the script's own options; gives one result a seed. `given` is
            what every task takes: `tokenizer`, `output_dir`, `options` (hyper-parameters), `seeds`, `score`, `facts`.
        require: Columns that rows need, see `mmbert.data.read_labelled`.
        score: Name of the script's option that says which score the table shows.
        draw: Draws the table, see `write_language_table`; left out where matplotlib is absent.
        tell: Told the table at the end, such as `print`.
    """
    try:
        told = _run(script, train, require, score, draw)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
    if told:
        tell(told)


def _run(
    script: type[Script],
    train: Callable[..., list[FineTuned]],
    require: Sequence[str | tuple[str, ...]],
    score: str | None,
    draw: Callable[[dict[str, Any], Path], Any] | None,
) -> str:
    import datasets
    from accelerate import PartialState
    from transformers import AutoTokenizer
    from transformers.utils import logging as transformers_logging

    from ..trainers import parse_fine_tuning

    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    options, training, seeds, output = parse_fine_tuning(script, sys.argv[1:])
    shown = None if score is None else getattr(options, score)
    pretrained_on = options.pretrained_on()  # a wrong path is told now, not after the training
    rows = options.read(require=require)
    results = train(
        options,
        rows,
        tokenizer=AutoTokenizer.from_pretrained(options.model),
        output_dir=output,
        options=training,
        seeds=seeds,
        score=shown,
        facts={"data": options.where()},
    )
    told = ""
    if PartialState().is_main_process and "test" in rows:
        table = write_language_table(
            [result.record for result in results],
            output,
            score=shown,
            pretrained_on=pretrained_on,
            draw=draw if find_spec("matplotlib") else None,  # pip install "mmbert[plots]"
        )
        told = f"{table}\nnetworks, predictions and tables are in {output}"
    PartialState().destroy_process_group()
    return told
