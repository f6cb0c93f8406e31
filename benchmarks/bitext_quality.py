"""Tatoeba: does a sentence find its translation? By language and resource group, before and after tuning, and by dims.

    python benchmarks/bitext_quality.py tatoeba.parquet --models untuned=encoder tuned=embedder --output build/bitext

The file has columns lang, text and text_eng. Beside the models stands a baseline without a network: TF-IDF over
character trigrams, fitted on the sentences of the language pair at hand; it finds names, numbers and cognates. The last
model is evaluated once more with its vectors cut to fewer dimensions. Groups are those of mmBERT's phases: a language
entered among the first 60, for the 110, for the 1,833, or not at all.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmbert import load_embedder
from mmbert.evaluation import bitext_accuracy
from mmbert.languages.tags import entry_phase
from mmbert.model_cards.plots import style as canvas
from pyarrow import parquet
from support import parser_of, write_results

GROUPS = {1: "high (first 60)", 2: "mid (110)", 3: "low (1,833)", None: "not in mmBERT"}
TRIGRAMS = "char trigrams"


@dataclass(frozen=True)
class Pair:
    """A sentence and its English side."""

    language: str
    english: str
    text: str


class Trigrams:
    """Character-trigram TF-IDF with the `encode` of an embedder."""

    def encode(self, texts: list[str], /, *, batch_size: int) -> np.ndarray:
        """Fit on the texts and return their vectors, (texts, trigrams)."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        return TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), dtype=np.float32).fit_transform(texts).toarray()


class Remembered:
    """Vectors that were computed once, cut to the first dimensions."""

    def __init__(self, embedder: Any, texts: list[str], batch_size: int) -> None:
        vectors = embedder.encode(texts, batch_size=batch_size, normalize_embeddings=False, show_progress_bar=False)
        self.row = {text: n for n, text in enumerate(texts)}
        self.vectors, self.dims = np.asarray(vectors, dtype=np.float32), vectors.shape[1]

    def encode(self, texts: list[str], /, *, batch_size: int) -> np.ndarray:
        """Return the vectors of texts that were embedded, (texts, dims)."""
        return self.vectors[[self.row[text] for text in texts], : self.dims]


def read(path: Path, limit: int | None) -> list[Pair]:
    """Read the pairs, of each language at most `limit`."""
    taken: dict[str, int] = defaultdict(int)
    pairs = []
    for row in parquet.read_table(path, columns=["lang", "text", "text_eng"]).to_pylist():
        taken[row["lang"]] += 1
        if limit is None or taken[row["lang"]] <= limit:
            pairs.append(Pair(row["lang"], row["text_eng"], row["text"]))
    return pairs


def trigram_scores(pairs: list[Pair], groups: dict[str, str]) -> dict[str, Any]:
    """Score the baseline language by language: its vectors have as many dimensions as there are trigrams."""
    languages: dict[str, Any] = {}
    for tag in sorted({pair.language for pair in pairs}):
        one = bitext_accuracy(Trigrams(), [pair for pair in pairs if pair.language == tag])
        languages.update(one["languages"])
    means = defaultdict(list)
    for tag, scores in languages.items():
        means[groups[tag]].append(scores["accuracy"])
    macro = float(np.mean([scores["accuracy"] for scores in languages.values()]))
    return {"languages": languages, "macro": macro, "groups": {g: float(np.mean(v)) for g, v in means.items()}}


def table(results: dict[str, Any], groups: dict[str, str]) -> str:
    """Write accuracies by group, then by language, as Markdown."""
    names = list(results)
    lines = ["| | languages | " + " | ".join(names) + " |", "|---|---:|" + "---:|" * len(names)]
    for group in [*GROUPS.values(), "all"]:
        members = [tag for tag in groups if group in (groups[tag], "all")]
        if members:
            values = [one["macro"] if group == "all" else one["groups"][group] for one in results.values()]
            lines.append(f"| {group} | {len(members)} | " + " | ".join(f"{value:.1%}" for value in values) + " |")
    lines += ["", "| language | group | " + " | ".join(names) + " | chance |", "|---|---|" + "---:|" * (len(names) + 1)]
    best = results[names[-1]]["languages"]
    for tag in sorted(best, key=lambda tag: -best[tag]["accuracy"]):
        row = [one["languages"][tag]["accuracy"] for one in results.values()] + [best[tag]["chance"]]
        lines.append(f"| {tag} | {groups[tag]} | " + " | ".join(f"{value:.1%}" for value in row) + " |")
    return "\n".join(lines)


def picture(curve: dict[int, float], baseline: float, path: Path) -> None:
    """Draw accuracy over dimensions."""
    with canvas.style():
        title = "Matryoshka: accuracy by dimensions kept"
        figure = canvas.new_figure(6.4, 3.6, title, "Tatoeba, mean over languages; dashed: character trigrams")
        axes = figure.add_subplot()
        axes.plot(list(curve), [100 * value for value in curve.values()], marker="o")
        axes.axhline(100 * baseline, linestyle="--", linewidth=1)
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(curve), [str(dims) for dims in curve])
        axes.set_xlabel("dimensions")
        axes.set_ylabel("accuracy, %")
        axes.set_ylim(bottom=0)
        canvas.save(figure, path)


def main() -> None:
    """Embed, evaluate, write."""
    parser = parser_of(__doc__)
    parser.add_argument("tatoeba", type=Path)
    parser.add_argument("--models", nargs="+", required=True, help="NAME=FOLDER; the last is cut to fewer dimensions.")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="Pairs a language.")
    parser.add_argument("--batch_size", type=int, default=256)
    options = parser.parse_args()
    pairs = read(options.tatoeba, options.limit)
    groups = {tag: GROUPS[entry_phase(tag)] for tag in sorted({pair.language for pair in pairs})}
    results, curve = {TRIGRAMS: trigram_scores(pairs, groups)}, {}
    texts = sorted({side for pair in pairs for side in (pair.english, pair.text)}, key=len)
    for named in options.models:
        name, _, folder = named.partition("=")
        encoder = Remembered(load_embedder(folder, max_seq_length=64), texts, options.batch_size)
        results[name] = bitext_accuracy(encoder, pairs, groups=groups)
    for dims in [encoder.dims // 2**n for n in range(6) if encoder.dims // 2**n >= 8]:
        encoder.dims = dims
        curve[dims] = bitext_accuracy(encoder, pairs)["macro"]
    cuts = "| dimensions | accuracy |\n|---:|---:|\n" + "\n".join(f"| {d} | {v:.1%} |" for d, v in curve.items())
    record = {"pairs": len(pairs), "results": results, "matryoshka": curve}
    write_results(options.output, "bitext", record, f"{table(results, groups)}\n\n{cuts}")
    picture(curve, results[TRIGRAMS]["macro"], options.output / "matryoshka.png")


if __name__ == "__main__":
    main()
