"""`mmbert train embedder|distilled|reranker|colbert|splade`: options in, a trained folder with its scores out."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import typer

from ...common.command import run_command
from ...common.library_output import sort_library_output
from ...common.options import one_line_errors, require_reporters, with_known_names
from ...common.run_file import remember_words, result_place

_SOURCES = """
A source is PLACE?role=column&...: a file, a folder or a Hub id; columns of the usual names are found. Rows that teach
nothing are left out and counted. Scores on held-out rows before, during and after training are in scores.md of the
output, everything else of the run in report.json. The output loads in plain sentence-transformers.
"""
_EMBEDDER = rf"""Train an embedder on your own pairs, triplets, scored pairs, NLI or parallel text.

    mmbert train embedder --model jhu-clsp/mmBERT-small --preset parallel --output embedder \
        --train "ntrex.parquet?key=line&text=text&language=lang" --matryoshka 256,128,64 --exclude tatoeba.parquet
{_SOURCES}"""
_DISTILLED = r"""Train an embedder to give the vectors of another one, its teacher.

    mmbert train distilled --model jhu-clsp/mmBERT-small --teacher intfloat/multilingual-e5-base --output student \
        --train "sentences.parquet?text=sentence" "ntrex.parquet?key=line&text=text&language=lang"
    mmbert train distilled --static --model jhu-clsp/mmBERT-small --teacher "command:python label.py" \
        --train sentences.txt --output table

A teacher is a SentenceTransformer; command:PROGRAM, which reads {"id": 0, "text": ...} lines and writes a JSON list of
numbers a line; lines:PROGRAM, which reads plain lines; http://HOST:PORT?model=NAME, an OpenAI-compatible endpoint; or
a file of vectors, vectors.npy?texts=texts.txt or vectors.parquet?text=COLUMN&vector=COLUMN. Each text is asked for
once: vectors are kept in --labels, and a run that was stopped goes on.

A source is a text file; PLACE?text=COLUMN, single texts; or pairs and translations as for `mmbert train embedder`,
where both sides learn the teacher's vector of the first. Its width may differ from the student's: a linear layer is
added. Scores are cosine to the teacher on held-out texts, and how often its vector is the nearest.
"""
_RERANKER = rf"""Train a reranker: a cross-encoder that reads question and passage together.

    mmbert train reranker --model jhu-clsp/mmBERT-base --output reranker \
        --train "qa.jsonl?anchor=question&positive=context" --mine_with embedder --negatives 4

A reranker learns from what the first search gets wrong: either the rows bring negatives, or --mine_with names the
embedder that finds them. The scores rank each held-out passage among 19 others.
{_SOURCES}"""
_COLBERT = rf"""Train a multi-vector encoder (ColBERT, late interaction): one vector per token, compared by MaxSim.

    mmbert train colbert --model jhu-clsp/mmBERT-small --output colbert \
        --train "qa.jsonl?anchor=question&positive=context" --dims 128

The scores search each held-out passage among all held-out ones.
{_SOURCES}"""
_SPLADE = rf"""Train a SPLADE encoder: texts become weights of tokens of the vocabulary, for inverted indexes.

    mmbert train splade --model jhu-clsp/mmBERT-base --output splade \
        --train "qa.jsonl?anchor=question&positive=context" --document_weight 3e-5 --query_weight 5e-5

The model must have its masked-LM head. Logits over the vocabulary are computed chunk by chunk, so that 256,000 tokens
do not limit the batch. The two weights are the price of tokens that score: higher ones make sparser vectors.
{_SOURCES}"""


def embedder(arguments: list[str]) -> None:
    """Train an embedder."""
    from ...embeddings import train_embedder
    from ...embeddings.training.losses import OBJECTIVES

    parser = _parser("embedder", _EMBEDDER)
    parser.add_argument("--objective", choices=OBJECTIVES, help="gist and distill need --teacher.")
    parser.add_argument("--teacher", help="SentenceTransformer to be guided by, or to learn from.")
    parser.add_argument(
        "--matryoshka", type=_dimensions, default=[], help="Dimensions that must be good on their own: 512,256,128,64."
    )
    parser.add_argument("--temperature", type=float, help="Language draw: 0 all alike, 1 by size; default: the preset.")
    parser.add_argument("--both_directions", action="store_true", default=None, help="Passages search questions too.")
    parser.add_argument("--lora_rank", type=int, help="Train low-rank updates only, merged at the end.")
    _train(parser, arguments, train_embedder, "matryoshka", "teacher", "lora_rank")


def distilled(arguments: list[str]) -> None:
    """Distil an embedder from a teacher."""
    from ...embeddings.training.distillation.options import distillation_parser, run_distillation

    parser = distillation_parser(_DISTILLED)
    parser.prog = "mmbert train distilled"
    typer.echo(run_distillation(_parsed(parser, arguments)))


def reranker(arguments: list[str]) -> None:
    """Train a reranker."""
    from ...embeddings import train_reranker

    _train(_parser("reranker", _RERANKER), arguments, train_reranker)


def colbert(arguments: list[str]) -> None:
    """Train a multi-vector encoder."""
    from ...embeddings import train_multi_vector

    parser = _parser("colbert", _COLBERT)
    parser.add_argument("--dims", type=int, default=128, help="Dimensions of a token's vector.")
    _train(parser, arguments, train_multi_vector, "dims")


def splade(arguments: list[str]) -> None:
    """Train a SPLADE encoder."""
    from ...embeddings import train_sparse_encoder

    parser = _parser("splade", _SPLADE)
    parser.add_argument("--query_weight", type=float, default=5e-5, help="Price of tokens in questions.")
    parser.add_argument("--document_weight", type=float, default=3e-5, help="Price of tokens in passages.")
    _train(parser, arguments, train_sparse_encoder, "query_weight", "document_weight")


def main(kind: str) -> None:
    """Train with the options of the command line an `embedder`, `distilled`, `reranker`, `colbert` or `splade`."""
    run_command(lambda: globals()[kind](sys.argv[1:]))


def _parser(kind: str, description: str) -> argparse.ArgumentParser:
    from ...embeddings.training.options import training_parser

    parser = training_parser(description)
    parser.prog = f"mmbert train {kind}"
    return parser


def _train(parser: argparse.ArgumentParser, arguments: list[str], train: Any, *own: str) -> None:
    """Read the options, train, print the scores; `own` are those that only this kind has."""
    from ...embeddings.training.options import run_script

    options = _parsed(parser, arguments)
    typer.echo(run_script(train, options, **{name: getattr(options, name) for name in own}))


def _parsed(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """Read the options, by the names that people know."""
    known = [word[2:] for action in parser._actions for word in action.option_strings if word[:2] == "--"]
    flags = [word[2:] for action in parser._actions if action.nargs == 0 for word in action.option_strings]
    one_line_errors(parser)
    words = with_known_names(arguments, known, parser.prog, flags)
    remember_words(parser.prog, words)
    options = parser.parse_args(words)
    require_reporters(getattr(options, "report_to", None) or ())
    sort_library_output(result_place())
    return options


def _dimensions(text: str) -> list[int]:
    """Read 512,256,128."""
    try:
        return [int(part) for part in text.split(",") if part]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} must be whole numbers with commas between: 512,256,128") from None
