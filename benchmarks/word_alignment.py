"""What word-aware tokenisation gains over `is_split_into_words=True`, with the same model, seeds and labels.

    python benchmarks/word_alignment.py CHECKPOINT --pos ud_pos/data.parquet --ner uner/data.parquet --output out

English trains (EWT's dev part, 2,001 sentences), for a fixed number of epochs, and all languages are evaluated,
each on its first `--rows` test sentences. Contestants:

    running text   words in running text, tokens cut at borders of words (mmbert.data.encode_words)
    uncut          running text as it is: two words may share a token, and then share a prediction
    split words    transformers' recipe: is_split_into_words=True, the first token of each word has its label

Words that a contestant loses count as wrong. `--count` trains nothing and counts what reading does, all rows of --pos,
for a checkpoint or a tokenizer's folder alone.
"""

import argparse
import logging
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, disable_progress_bars
from mmbert.data import RunningText, WordEncoding, WordRows, join_words, read_labelled, tag_names, tag_numbers
from mmbert.data.features.words import encode_running
from mmbert.languages.scripts import UNSPACED, script_of
from mmbert.tasks.metrics.classification import entity_scheme, span_scores, tag_scores
from mmbert.trainers import FineTuningArguments, fine_tune
from support import parser_of, write_results
from transformers import AutoTokenizer, DataCollatorForTokenClassification
from transformers.utils import logging as transformers_logging

LOST = -1
Encoder = Callable[[Any, list[dict[str, Any]]], list[WordEncoding]]


def running(tokenizer: Any, rows: list[dict[str, Any]], borders: str = "cut") -> list[WordEncoding]:
    """Read words in running text."""
    texts = [join_words(row["tokens"], text=row.get("text")) for row in rows]
    return encode_running(tokenizer, texts, max_length=512, borders=borders)  # type: ignore[arg-type]


def uncut(tokenizer: Any, rows: list[dict[str, Any]]) -> list[WordEncoding]:
    """Read running text and leave its tokens whole."""
    return running(tokenizer, rows, "keep")


def split(tokenizer: Any, rows: list[dict[str, Any]]) -> list[WordEncoding]:
    """Read words one by one, as transformers' own example does."""
    words = [list(row["tokens"]) for row in rows]
    read = tokenizer(words, is_split_into_words=True, truncation=True, max_length=512)
    found = []
    for number, one in enumerate(words):
        owner = read.word_ids(number)
        column = [owner.index(word) if word in owner else LOST for word in range(len(one))]
        text = RunningText(" ".join(one), join_words(one, joiner=" ").spans)
        window = np.zeros(len(one), dtype=np.int64)
        found.append(WordEncoding(text, [read["input_ids"][number]], window, np.array(column, dtype=np.int64)))
    return found


CONTESTANTS: dict[str, Encoder] = {"running text": running, "uncut": uncut, "split words": split}


def encoded(encode: Encoder, tokenizer: Any, sentences: Dataset, names: list[str]) -> WordRows:
    """Make a trainer's rows; the first of two words at one place keeps its label, lost words have none."""
    rows = [row for row in sentences if row["tokens"]]
    encodings = encode(tokenizer, rows)
    gold = [tag_numbers(row["tags"], names, unknown="ignore") for row in rows]
    columns: dict[str, list[Any]] = {"input_ids": [], "attention_mask": [], "labels": [], "language": [], "row": []}
    for number, (encoding, numbers, row) in enumerate(zip(encodings, gold, rows, strict=True)):
        labels = [[-100] * len(window) for window in encoding.windows]
        for window, column, label in zip(encoding.window, encoding.column, numbers, strict=True):
            if column != LOST and labels[window][column] == -100:
                labels[window][column] = label
        columns["input_ids"] += encoding.windows
        columns["attention_mask"] += [[1] * len(window) for window in encoding.windows]
        columns["labels"] += labels
        columns["language"] += [row["language"]] * len(encoding.windows)
        columns["row"] += [number] * len(encoding.windows)
    return WordRows(Dataset.from_dict(columns), encodings, gold, names)


def measure(checkpoint: Path, source: Path, task: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate every contestant with every seed on one task."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    part = "dev"  # English UD and UNER have no train part here
    train = read_labelled(source, split=part, languages=["eng_Latn"])
    test = first_rows(read_labelled(source, split="test"), options.rows)
    names = tag_names(train["tags"])
    spans = any(name.startswith("B-") for name in names)
    result: dict[str, Any] = {"task": task, "score": "f1" if spans else "accuracy", "seeds": options.seeds}
    result["languages"] = sorted(set(test["language"]))
    result["share"] = {}
    scores: dict[str, dict[str, list[float]]] = {}
    for name in options.contestants:
        learned = encoded(CONTESTANTS[name], tokenizer, train, names)
        evaluated = encoded(CONTESTANTS[name], tokenizer, test, names)
        result["share"][name] = shares(evaluated)

        def score(predictions: list[np.ndarray], rows: Dataset, evaluated: WordRows = evaluated) -> dict[str, float]:
            guesses, truth = evaluated.with_gold(predictions, rows)
            for guess, number in zip(guesses, dict.fromkeys(rows["row"]), strict=True):
                columns = evaluated.encodings[number].column[np.array(evaluated.gold[number]) != -100]
                for word in np.flatnonzero(columns == LOST):
                    guess[word] = "LOST"
            return span_scores(guesses, truth, entity_scheme(names)) if spans else tag_scores(guesses, truth)

        for seed in range(options.seeds):
            began = time.process_time()
            plan = FineTuningArguments(
                num_train_epochs=options.epochs,
                learning_rate=options.learning_rate,
                per_device_train_batch_size=16,
                seed=seed,
                overwrite_output_dir=True,  # seeds follow each other in one folder
                use_cpu=True,
            )
            fitted = fine_tune(
                checkpoint,
                "tokens",
                learned.rows,
                tests={"test": evaluated.rows},
                tokenizer=tokenizer,
                labels=names,
                collator=DataCollatorForTokenClassification(tokenizer),
                metrics=score,
                output_dir=options.output / "networks" / task / name.replace(" ", "_"),
                args=plan,
            )
            for tag, found in fitted.by_language["test"].items():
                scores.setdefault(name, {}).setdefault(tag, []).append(found[result["score"]])
            logging.info("%s, %s, seed %d: %.0f CPU seconds", task, name, seed, time.process_time() - began)
    result["scores"] = scores
    result["glued"] = sorted({row["language"] for row in test if script_of("".join(row["tokens"])) in _GLUED})
    return result


_GLUED = UNSPACED | {"Jpan"}


def first_rows(rows: Dataset, count: int) -> Dataset:
    """Keep the first rows of each language."""
    seen: dict[str, int] = {}
    keep = []
    for number, tag in enumerate(rows["language"]):
        seen[tag] = seen.get(tag, 0) + 1
        if seen[tag] <= count:
            keep.append(number)
    return rows.select(keep)


def shares(evaluated: WordRows) -> dict[str, float]:
    """Count words that were lost, and words that stand where another stands, as shares of all."""
    words = lost = doubled = 0
    for encoding in evaluated.encodings:
        places = [pair for pair in zip(encoding.window, encoding.column, strict=True) if pair[1] != LOST]
        words += len(encoding.column)
        lost += len(encoding.column) - len(places)
        doubled += len(places) - len(set(places))
    return {"words": words, "lost": lost / words, "doubled": doubled / words}


def table(result: dict[str, Any]) -> str:
    """Write scores a language and a group of languages, and the differences to split words."""
    names = list(result["scores"])
    reference = names[-1]
    lines = [
        f"{result['task']}: {result['score']} x 100, mean of {result['seeds']} seeds ± their sd; gain: first less last",
        "",
        f"| language | {' | '.join(names)} | gain |",
        "|---|" + "---:|" * (len(names) + 1),
    ]
    groups = {
        "mean, scripts with spaces": [tag for tag in result["languages"] if tag not in result["glued"]],
        "mean, scripts without spaces": result["glued"],
        "mean of all": result["languages"],
    }
    rows = [(f"**{name}** ({len(tags)})", tags) for name, tags in groups.items() if tags]
    for label, tags in rows + [(tag, [tag]) for tag in result["languages"]]:
        by_name = {name: per_seed(result["scores"][name], tags) for name in names}
        gains = [a - b for a, b in zip(by_name[names[0]], by_name[reference], strict=True)]
        cells = " | ".join(spread(by_name[name]) for name in names)
        lines.append(f"| {label} | {cells} | {spread(gains, sign=True)} |")
    share = result["share"]
    lines += ["", "| | words lost | words at another's place |", "|---|---:|---:|"]
    lines += [f"| {name} | {share[name]['lost']:.2%} | {share[name]['doubled']:.2%} |" for name in names]
    return "\n".join(lines)


def count(tokenizer: Any, source: Path) -> str:
    """Count, by language, words with a mark that running text lacks, words without a token, and tokens."""
    totals: dict[str, Counter[str]] = {}
    rows = list(read_labelled(source))
    for start in range(0, len(rows), 2000):
        part = rows[start : start + 2000]
        for row, kept, apart in zip(part, uncut(tokenizer, part), split(tokenizer, part), strict=True):
            text, spans = kept.running.text, kept.running.spans
            found = Counter(
                words=len(spans),
                marked=sum(begin > 0 and not text[begin - 1].isspace() for begin, _ in spans),
                doubled=len(spans) - len(set(zip(kept.window, kept.column, strict=True))),
                running=sum(map(len, kept.windows)),
                apart=sum(map(len, apart.windows)),
            )
            for tag in (row["language"], "**all**"):
                totals.setdefault(tag, Counter()).update(found)
    lines = [
        "| language | words | marked by splitting alone | at another word's token if uncut | tokens, split to running |"
    ]
    lines.append("|---|---:|---:|---:|---:|")
    for tag, one in sorted(totals.items(), key=lambda item: -item[1]["doubled"] / item[1]["words"]):
        shares = f"{one['marked'] / one['words']:.1%} | {one['doubled'] / one['words']:.1%}"
        lines.append(f"| {tag} | {one['words']:,} | {shares} | {one['apart'] / one['running']:.3f} |")
    return "\n".join(lines)


def per_seed(scores: dict[str, list[float]], tags: list[str]) -> list[float]:
    """Average over languages, seed by seed."""
    return [statistics.fmean(values) for values in zip(*(scores[tag] for tag in tags), strict=True)]


def spread(values: list[float], sign: bool = False) -> str:
    """Write mean and standard deviation, times 100."""
    mean = f"{100 * statistics.fmean(values):{'+' if sign else ''}.1f}"
    return mean + (f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else "")


def main() -> None:
    """Measure the tasks that were given, print and write their tables."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    parser = parser_of(__doc__)
    parser.add_argument("checkpoint", type=Path, help="encoder to start from")
    parser.add_argument("--pos", type=Path, help="sentences with parts of speech")
    parser.add_argument("--ner", type=Path, help="sentences with names")
    parser.add_argument("--contestants", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    parser.add_argument("--count", action="store_true", help="count what reading does to --pos, and train nothing")
    parser.add_argument("--rows", type=int, default=150, help="sentences scored in a language")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning_rate", type=float, default=5e-4)
    parser.add_argument("--output", type=Path, required=True, help="folder for the tables, as markdown and JSON")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.count:
        lines = count(AutoTokenizer.from_pretrained(options.checkpoint), options.pos)
        (options.output / "count.md").write_text(lines + "\n", encoding="utf-8")
        print(lines)
        return
    for task, source in (("pos", options.pos), ("ner", options.ner)):
        if source is not None:
            result = measure(options.checkpoint, source, task, options)
            write_results(options.output, task, result, table(result))


if __name__ == "__main__":
    main()
