r"""Train a multi-vector encoder (ColBERT, late interaction): a vector a token, compared by MaxSim.

    python examples/train_colbert.py --model jhu-clsp/mmBERT-small --output colbert \
        --train "qa.jsonl?anchor=question&positive=context" --dims 128

The scores search each held-out passage among all held-out ones.
"""

from mmbert.embeddings import train_multi_vector
from mmbert.embeddings.training.options import run_script, training_parser


def main() -> None:
    """Read the options and train."""
    parser = training_parser(__doc__ or "")
    parser.add_argument("--dims", type=int, default=128, help="Dimensions of the vector of a token.")
    options = parser.parse_args()
    print(run_script(train_multi_vector, options, dims=options.dims))


if __name__ == "__main__":
    main()
