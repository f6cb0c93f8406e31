"""What mmBERT's vocabulary does to languages: the shipped table, and a table of any corpus.

    python benchmarks/language_facts.py TOKENIZER --udhr udhr/data/udhr --output languages/fertility.csv
    python benchmarks/language_facts.py TOKENIZER --texts text_*/data.parquet --markdown table.md --plot fertility.png

The shipped table is measured on the Universal Declaration of Human Rights (public domain), as the XML files of
github.com/eric-muller/udhr have it (data/udhr at f93dd61), in NFC, a text per article; files of no ISO 639-3 code or
less than 400 characters are left out. A language with several versions takes all of them; its ratio is the median over
articles of its tokens against those of the English article. Only numbers are written, no text. Other corpora are
parquet with columns `lang` and `text`.
"""

import csv
import json
import statistics
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet as pq
from mmbert.languages import LanguageFacts, canonical_tag, measure_texts
from mmbert.languages.fertility import count_texts
from mmbert.model_cards import draw_fertility
from mmbert.modeling import build_tokenizer
from support import parser_of
from transformers import PreTrainedTokenizerBase

COLUMNS = ("language", "texts", "characters", "words", "tokens", "byte_tokens", "ratio", "over_128", "over_512")
HEAD = (
    "| tag | language | phase | texts | tokens per word | per character | x English | bytes | over 128 | over 512 |"
    " 510 hold |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
)


def articles_of(folder: Path) -> Iterator[dict[str, Any]]:
    """Read the declaration's XML files: tag, number of the article (0: the preamble) and text."""
    space = "{http://efele.net/udhr}"
    for path in sorted(folder.glob("udhr_*.xml")):
        root = ElementTree.parse(path).getroot()
        code, script = root.get("iso639-3", "und"), root.get("iso15924", "")
        if code == "und" or not script:
            continue
        rows = []
        for part in root.iter():
            if part.tag in (f"{space}preamble", f"{space}article"):
                lines = (" ".join("".join(para.itertext()).split()) for para in part.iter(f"{space}para"))
                text = unicodedata.normalize("NFC", "\n".join(line for line in lines if line))
                if text:
                    number = int(part.get("number", 0))
                    tag = canonical_tag(f"{code}_{script}") or f"{code}_{script}"
                    rows.append({"lang": tag, "article": number, "text": text})
        if sum(len(row["text"]) for row in rows) >= 400:
            yield from rows


def declaration_table(tokenizer: PreTrainedTokenizerBase, rows: Iterable[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """Measure the declaration, a row per language."""
    texts: dict[str, list[str]] = defaultdict(list)
    articles: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        texts[row["lang"]].append(row["text"])
        articles[row["lang"]].append(row["article"])
    english: dict[int, float] = {}
    for tag in ["eng_Latn", *sorted(set(texts) - {"eng_Latn"})]:
        counts = count_texts(texts[tag], tokenizer)
        by_article: dict[int, list[int]] = defaultdict(list)
        for article, length in zip(articles[tag], counts.lengths, strict=True):
            by_article[article].append(length - 2)
        means = {article: statistics.fmean(found) for article, found in by_article.items()}
        english = english or means
        ratio = statistics.median(mean / english[article] for article, mean in means.items() if article in english)
        over = [sum(length > limit for length in counts.lengths) / counts.texts for limit in (128, 512)]
        numbers = (counts.texts, counts.characters, counts.words, counts.tokens, counts.byte_tokens)
        yield tag, *numbers, *(f"{value:.4f}" for value in (ratio, *over))


def corpus_facts(tokenizer: PreTrainedTokenizerBase, paths: Sequence[Path], most: int) -> list[LanguageFacts]:
    """Measure the texts of a corpus by language, at most so many characters of each."""
    texts: dict[str, list[str]] = defaultdict(list)
    sizes: dict[str, int] = defaultdict(int)
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(columns=["lang", "text"]):
            for row in batch.to_pylist():
                if row["lang"] and row["text"] and sizes[row["lang"]] < most:
                    texts[row["lang"]].append(row["text"])
                    sizes[row["lang"]] += len(row["text"])
    return [measure_texts(tag, texts[tag], tokenizer) for tag in sorted(texts)]


def markdown(facts: Iterable[LanguageFacts]) -> str:
    """Write facts as a table, the costliest first."""
    lines = []
    for one in sorted(facts, key=lambda one: (-(one.relative_to_english or 0), -one.tokens_per_character)):
        words = "" if one.tokens_per_word is None else f"{one.tokens_per_word:.2f}"
        relative = "" if one.relative_to_english is None else f"{one.relative_to_english:.1f}"
        measures = f"{words} | {one.tokens_per_character:.2f} | {relative} | {one.byte_share:.1%}"
        over = f"{one.over[128]:.0%} | {one.over[512]:.0%} | {one.english_tokens_in_510 or ''}"
        lines.append(f"| {one.tag} | {one.name} | {one.phase or '-'} | {one.texts:,} | {measures} | {over} |")
    return HEAD + "\n".join(lines) + "\n"


def main() -> None:
    """Run the command line."""
    parser = parser_of(__doc__)
    parser.add_argument("tokenizer")
    parser.add_argument("--udhr", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--texts", type=Path, nargs="+")
    parser.add_argument("--characters", type=int, default=200_000, help="most characters of a language")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    tokenizer = build_tokenizer(options.tokenizer)
    if options.udhr:
        with options.output.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(declaration_table(tokenizer, articles_of(options.udhr)))
    if options.texts:
        facts = corpus_facts(tokenizer, options.texts, options.characters)
        if options.json:
            options.json.write_text(json.dumps([one.to_dict() for one in facts], ensure_ascii=False), encoding="utf-8")
        if options.markdown:
            options.markdown.write_text(markdown(facts), encoding="utf-8")
        if options.plot:
            draw_fertility([one.to_dict() for one in facts], options.plot)


if __name__ == "__main__":
    main()
