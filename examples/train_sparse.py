r"""Train a SPLADE encoder: texts become scores of words of the vocabulary, for inverted indexes.

    python examples/train_sparse.py --model jhu-clsp/mmBERT-base --output splade \
        --train "qa.jsonl?anchor=question&positive=context" --document_weight 3e-5 --query_weight 5e-5

The model must have its masked-LM head. Logits over the vocabulary are computed chunk by chunk, so that 256,000 words do
not limit the batch. The two weights are the price of words that score: higher ones make sparser vectors.
"""

from mmbert.embeddings import train_sparse_encoder
from mmbert.embeddings.training.options import run_script, training_parser


def main() -> None:
    """Read the options and train."""
    parser = training_parser(__doc__ or "")
    parser.add_argument("--query_weight", type=float, default=5e-5, help="Price of words in questions.")
    parser.add_argument("--document_weight", type=float, default=3e-5, help="Price of words in passages.")
    options = parser.parse_args()
    prices = {name: getattr(options, name) for name in ("query_weight", "document_weight")}
    print(run_script(train_sparse_encoder, options, **prices))


if __name__ == "__main__":
    main()
