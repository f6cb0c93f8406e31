r"""Train a multi-vector encoder (ColBERT, late interaction): a vector a token, compared by MaxSim.

    python examples/train_colbert.py --model jhu-clsp/mmBERT-small --output colbert \
        --train "qa.jsonl?anchor=question&positive=context" --dims 128

The scores search each held-out passage among all held-out ones.
"""

import logging
import sys

from mmbert.embeddings import train_multi_vector
from mmbert.embeddings.training_options import rows_of, settings_of, training_parser, write_report
from transformers.utils import logging as transformers_logging


def main() -> None:
    """Read, train, score, save."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    transformers_logging.disable_progress_bar()
    parser = training_parser(__doc__ or "")
    parser.add_argument("--dims", type=int, default=128, help="Dimensions of the vector of a token.")
    options = parser.parse_args()
    settings = settings_of(options)
    pairs, dev = rows_of(options, settings)
    print(f"{len(pairs):,} {pairs.kind}, left out: {pairs.skipped or 'none'}")
    report = train_multi_vector(
        options.model,
        pairs,
        options.output,
        settings=settings,
        dev=dev,
        dims=options.dims,
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
