r"""Train an embedder on your own pairs, triplets, scored pairs, NLI or parallel text.

    python examples/train_embeddings.py --model jhu-clsp/mmBERT-small --preset parallel --output embedder \
        --train "ntrex.parquet?key=line&text=text&language=lang" --matryoshka 256,128,64 --exclude tatoeba.parquet

    python examples/train_embeddings.py --model jhu-clsp/mmBERT-base --preset msmarco --output mmbert-embed

A source is PLACE?role=column&...: a file, a folder or a Hub id; columns of the usual names are found by themselves.
Rows that teach nothing are left out and counted. Scores on held-out rows before, during and after training stand in
scores.md of the output, everything else of the run in report.json. The output loads in plain sentence-transformers.
"""

from mmbert.embeddings import train_embedder
from mmbert.embeddings.training.options import run_script, training_parser


def dimensions(text: str) -> list[int]:
    """Read 512,256,128."""
    return [int(part) for part in text.split(",") if part]


def main() -> None:
    """Read the options and train."""
    parser = training_parser(__doc__ or "")
    parser.add_argument("--objective", help="contrastive, gist, distill (both with --teacher) or scored.")
    parser.add_argument("--teacher", help="SentenceTransformer to be guided by, or to learn from.")
    parser.add_argument(
        "--matryoshka", type=dimensions, default=[], help="Dimensions that shall be good on their own: 512,256,128,64."
    )
    parser.add_argument("--temperature", type=float, help="Language draw: 0 all alike, 1 by size; left out: as preset.")
    parser.add_argument("--both_directions", action="store_true", default=None, help="Passages look for questions too.")
    parser.add_argument("--lora_rank", type=int, help="Train low-rank updates only, merged at the end.")
    options = parser.parse_args()
    own = {name: getattr(options, name) for name in ("matryoshka", "teacher", "lora_rank")}
    print(run_script(train_embedder, options, **own))


if __name__ == "__main__":
    main()
