r"""Train a reranker: a cross-encoder that reads question and passage together.

    python examples/train_reranker.py --model jhu-clsp/mmBERT-base --output reranker \
        --train "qa.jsonl?anchor=question&positive=context" --mine_with embedder --negatives 4

A reranker learns from what the first search gets wrong: either the rows bring negatives, or --mine_with names the
embedder that finds them. The scores rank each held-out passage among 19 others.
"""

import logging
import sys

from mmbert.embeddings import train_reranker
from mmbert.embeddings.training_options import rows_of, settings_of, training_parser, write_report
from transformers.utils import logging as transformers_logging


def main() -> None:
    """Read, train, score, save."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    transformers_logging.disable_progress_bar()
    parser = training_parser(__doc__ or "")
    options = parser.parse_args()
    settings = settings_of(options)
    pairs, dev = rows_of(options, settings)
    print(f"{len(pairs):,} {pairs.kind}, left out: {pairs.skipped or 'none'}")
    report = train_reranker(
        options.model,
        pairs,
        options.output,
        settings=settings,
        dev=dev,
        max_steps=options.max_steps,
        seed=options.seed,
        device=options.device,
    )
    print(write_report(report))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
