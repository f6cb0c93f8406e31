r"""Train an embedder on your own pairs, triplets, scored pairs, NLI or parallel text.

    python examples/train_embeddings.py --model jhu-clsp/mmBERT-small --preset parallel --output embedder \
        --train "ntrex.parquet?key=line&text=text&language=lang" --matryoshka 256,128,64 --exclude tatoeba.parquet

    python examples/train_embeddings.py --model jhu-clsp/mmBERT-base --preset msmarco --output mmbert-embed

A source is PLACE?role=column&...: a file, a folder or a Hub id; columns of the usual names are found by themselves.
Rows that teach nothing are left out and counted. Scores on held-out rows before, during and after training stand in
scores.md of the output, everything else of the run in report.json. The output loads in plain sentence-transformers.
"""

import logging
import sys

from mmbert.embeddings import train_embedder
from mmbert.embeddings.training_options import rows_of, settings_of, training_parser, write_report
from transformers.utils import logging as transformers_logging


def main() -> None:
    """Read, train, score, save."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    transformers_logging.disable_progress_bar()
    parser = training_parser(__doc__ or "")
    parser.add_argument("--objective", help="contrastive, gist, distill (both with --teacher) or scored.")
    parser.add_argument("--teacher", help="SentenceTransformer to be guided by, or to learn from.")
    parser.add_argument("--matryoshka", default="", help="Dimensions that shall be good on their own: 512,256,128,64.")
    parser.add_argument("--temperature", type=float, help="Language draw: 0 all alike, 1 by size; left out: as preset.")
    parser.add_argument("--both_directions", action="store_true", default=None, help="Passages look for questions too.")
    parser.add_argument("--lora_rank", type=int, help="Train low-rank updates only, merged at the end.")
    options = parser.parse_args()
    settings = settings_of(options)
    pairs, dev = rows_of(options, settings)
    print(f"{len(pairs):,} {pairs.kind} in {len(set(pairs.languages))} languages, left out: {pairs.skipped or 'none'}")
    report = train_embedder(
        options.model,
        pairs,
        options.output,
        settings=settings,
        dev=dev,
        matryoshka=[int(dims) for dims in options.matryoshka.split(",") if dims],
        teacher=options.teacher,
        lora_rank=options.lora_rank,
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
