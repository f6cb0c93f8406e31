r"""Train a reranker: a cross-encoder that reads question and passage together.

    python examples/train_reranker.py --model jhu-clsp/mmBERT-base --output reranker \
        --train "qa.jsonl?anchor=question&positive=context" --mine_with embedder --negatives 4

A reranker learns from what the first search gets wrong: either the rows bring negatives, or --mine_with names the
embedder that finds them. The scores rank each held-out passage among 19 others.
"""

from mmbert.embeddings import train_reranker
from mmbert.embeddings.training.options import run_script, training_parser


def main() -> None:
    """Read the options and train."""
    parser = training_parser(__doc__ or "")
    options = parser.parse_args()
    print(run_script(train_reranker, options))


if __name__ == "__main__":
    main()
