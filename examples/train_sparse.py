r"""Train a SPLADE encoder: texts become scores of words of the vocabulary, for inverted indexes.

    python examples/train_sparse.py --model jhu-clsp/mmBERT-base --output splade \
        --train "qa.jsonl?anchor=question&positive=context" --document_weight 3e-5 --query_weight 5e-5

The model must have its masked-LM head. Logits over the vocabulary are computed chunk by chunk, so that 256,000 words do
not limit the batch. The two weights are the price of words that score: higher ones make sparser vectors.
"""

import logging
import sys

from mmbert.embeddings import train_sparse_encoder
from mmbert.embeddings.training_options import rows_of, settings_of, training_parser, write_report
from transformers.utils import logging as transformers_logging


def main() -> None:
    """Read, train, score, save."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    transformers_logging.disable_progress_bar()
    parser = training_parser(__doc__ or "")
    parser.add_argument("--query_weight", type=float, default=5e-5, help="Price of words in questions.")
    parser.add_argument("--document_weight", type=float, default=3e-5, help="Price of words in passages.")
    options = parser.parse_args()
    settings = settings_of(options)
    pairs, dev = rows_of(options, settings)
    print(f"{len(pairs):,} {pairs.kind}, left out: {pairs.skipped or 'none'}")
    report = train_sparse_encoder(
        options.model,
        pairs,
        options.output,
        settings=settings,
        dev=dev,
        query_weight=options.query_weight,
        document_weight=options.document_weight,
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
