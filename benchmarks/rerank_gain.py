"""What a reranker gains: questions look for their passage, the reranker reorders the first 20 that a search found.

    python benchmarks/rerank_gain.py xquad.parquet --embedder embedder --reranker reranker --output build/rerank

The file has columns lang, question and context (SQuAD's layout). Two first searches are reranked: the embedder, and
BM25 over words (k1 1.2, b 0.75), which needs no training. Further retrievers (--colbert, --sparse) search by
themselves. MRR@10 and nDCG@10 count a passage that is not among the 20 as not found.
"""

import math
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from mmbert import load_embedder
from mmbert.embeddings import load_multi_vector, load_reranker, load_sparse_encoder
from pyarrow import parquet
from support import parser_of, write_results

TOP = 20


def bm25(questions: list[str], passages: list[str]) -> np.ndarray:
    """Return (questions, passages) scores; texts without blanks are read by characters."""
    cut = [Counter(re.findall(r"[ぁ-鿿ก-๛]|\w+", text.lower())) for text in [*passages, *questions]]
    documents, asked = cut[: len(passages)], cut[len(passages) :]
    frequency = Counter(word for document in documents for word in document)
    mean = sum(map(Counter.total, documents)) / len(documents)
    scores = np.zeros((len(asked), len(documents)))
    for column, document in enumerate(documents):
        norm = 1.2 * (0.25 + 0.75 * document.total() / mean)
        for row, question in enumerate(asked):
            for word in question.keys() & document.keys():
                rarity = math.log(1 + (len(documents) - frequency[word] + 0.5) / (frequency[word] + 0.5))
                scores[row, column] += rarity * document[word] * 2.2 / (document[word] + norm)
    return scores


def scores(order: np.ndarray, right: list[int]) -> dict[str, float]:
    """Score rankings (questions, places) of passage numbers."""
    places = [list(row[:10]).index(own) if own in row[:10] else None for row, own in zip(order, right, strict=True)]
    mrr = [0.0 if place is None else 1 / (place + 1) for place in places]
    ndcg = [0.0 if place is None else 1 / math.log2(place + 2) for place in places]
    found = [own in row[:TOP] for row, own in zip(order, right, strict=True)]
    return {"mrr@10": float(np.mean(mrr)), "ndcg@10": float(np.mean(ndcg)), f"in top {TOP}": float(np.mean(found))}


def rerank(model: Any, questions: list[str], passages: list[str], order: np.ndarray) -> np.ndarray:
    """Reorder the first passages of each question by the reranker's score."""
    asked = [(question, passages[n]) for question, row in zip(questions, order, strict=True) for n in row[:TOP]]
    scores = model.predict(asked, batch_size=16, show_progress_bar=False).reshape(len(questions), -1)
    return np.take_along_axis(order[:, :TOP], np.argsort(-scores, axis=1, kind="stable"), axis=1)


def search(model: Any, questions: list[str], passages: list[str]) -> np.ndarray:
    """Rank all passages by a retriever of sentence-transformers."""
    options = {"batch_size": 32, "show_progress_bar": False}
    if hasattr(model, "encode_query"):
        asked, read = model.encode_query(questions, **options), model.encode_document(passages, **options)
    else:
        asked, read = model.encode(questions, **options), model.encode(passages, **options)
    return np.argsort(-np.asarray(model.similarity(asked, read)), axis=1, kind="stable")


def main() -> None:
    """Search, rerank, score, write."""
    parser = parser_of(__doc__)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--embedder", required=True)
    parser.add_argument("--reranker", required=True)
    parser.add_argument("--colbert")
    parser.add_argument("--sparse")
    parser.add_argument("--languages", default="eng_Latn,deu_Latn,tur_Latn")
    parser.add_argument("--limit", type=int, default=100, help="Questions a language, drawn with seed 0.")
    parser.add_argument("--max_seq_length", type=int, default=192)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    length = {"max_seq_length": options.max_seq_length}
    reranker = load_reranker(options.reranker, **length)
    retrievers = {"embedder": load_embedder(options.embedder, dtype="float32", **length)}
    if options.colbert:
        retrievers["ColBERT"] = load_multi_vector(options.colbert, **length)
    if options.sparse:
        retrievers["SPLADE"] = load_sparse_encoder(options.sparse, **length)
    results: dict[str, dict[str, dict[str, float]]] = {}
    rows = parquet.read_table(options.questions).to_pylist()
    for tag in options.languages.split(","):
        own = [row for row in rows if row["lang"] == tag]
        passages = sorted({row["context"] for row in own})
        drawn = random.Random(0).sample(own, min(options.limit, len(own)))
        questions, right = [row["question"] for row in drawn], [passages.index(row["context"]) for row in drawn]
        orders = {"BM25": np.argsort(-bm25(questions, passages), axis=1, kind="stable")}
        orders |= {name: search(model, questions, passages) for name, model in retrievers.items()}
        for first in ("BM25", "embedder"):
            orders[f"{first} + reranker"] = rerank(reranker, questions, passages, orders[first])
        results[tag] = {name: scores(order, right) for name, order in orders.items()}
    lines = ["| language | search | MRR@10 | nDCG@10 | in the first 20 |", "|---|---|---:|---:|---:|"]
    for tag, one in results.items():
        lines += [
            f"| {tag} | {name} | " + " | ".join(f"{v:.3f}" for v in got.values()) + " |" for name, got in one.items()
        ]
    write_results(options.output, "rerank", results, "\n".join(lines))


if __name__ == "__main__":
    main()
