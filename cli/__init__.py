"""The `mmbert` command: one thin file a verb.

An error that a user can mend is one line on standard error and exit status 2; MMBERT_TRACEBACK=1 tells the whole story.
"""

import logging
import os
import sys

import typer
from transformers.utils import logging as transformers_logging

from .bench import bench
from .card import card
from .demo import demo
from .doctor import doctor
from .embed import embed
from .evaluate import evaluate
from .export import export
from .merge import merge
from .push import push
from .recipe import recipe
from .search import search
from .tokenize import tokenize
from .trim import trim

app = typer.Typer(
    name="mmbert",
    help="Train, merge, embed with and publish mmBERT, the multilingual ModernBERT.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (demo, doctor, recipe, tokenize, merge, export, trim, embed, evaluate, bench, card, push):
    app.command()(verb)
app.add_typer(search, name="search")


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    for chatty in ("httpx", "sentence_transformers", "transformers", "datasets", "matplotlib"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    transformers_logging.disable_progress_bar()  # of reading and writing weights, a moment each
    try:
        app()
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get("MMBERT_TRACEBACK"):
            raise
        sys.stderr.write(f"mmbert: {' '.join(str(error).split())}\n")
        sys.exit(2)
