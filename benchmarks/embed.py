"""Embedding real texts: mmbert against plain sentence-transformers, on the same weights and on XLM-R and MiniLM shapes.

    python benchmarks/embed.py TEXTS --output build/embed                         # both corpora, all layers: hours
    python benchmarks/embed.py TEXTS --corpora short --output build/embed         # up to 512 tokens, minutes
    python benchmarks/embed.py TEXTS --corpora mixed --layers 3 --documents 16 --output build/embed

TEXTS is a folder of parquet tables with a column `text`. `mixed` joins them to documents of 10 to 8,192 tokens, `short`
to 10 to 512. Every run is a process of its own that loads a saved folder as a user does, embeds the corpus once, and
tells CPU time and peak memory; rounds go through all contestants in turn, and the median counts. Weights are random:
what a layer costs does not depend on them. Prints a table; writes embed.json after every run, and embed.md.
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from embed_contestants import Job, Run, write_checkpoint, write_exported
from embed_corpus import documents, log_uniform, real_texts
from embed_lineup import BACKENDS, MMBERT, PLAIN, Contestant, contestants
from mmbert.evaluation.efficiency.models import OURS, XLM_R
from mmbert.evaluation.efficiency.report import conditions
from mmbert.modeling import train_tokenizer
from support import parser_of
from transformers import AutoTokenizer

LONGEST = {"mixed": 8192, "short": 512}
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05}  # between twins, of vectors of length 1; finer is for the tests


class Bench:
    """Checkpoints, corpora and results in one folder.

    Args:
        options: The command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.folder = options, options.output
        self.folder.mkdir(parents=True, exist_ok=True)
        self._texts = real_texts(options.texts)
        if options.tokenizer:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(options.tokenizer)
        else:
            self._tokenizer = train_tokenizer(self._texts[:20_000], 8_000)
        self.results: dict[str, list[dict[str, Any]]] = {}

    def corpus(self, name: str) -> tuple[Path, int, int]:
        """Write a corpus; return its file, its documents and its tokens."""
        lengths = log_uniform(self.options.documents, 10, LONGEST[name])
        found = documents(self._texts, self._tokenizer, lengths)
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(found), encoding="utf-8")
        return path, len(found), sum(len(self._tokenizer(text)["input_ids"]) for text in found)

    def checkpoint(self, one: Contestant) -> Path:
        """Return the folder of a contestant's weights, written or exported when it is first asked for."""
        folder: Path = self.folder / f"{one.network}-{one.size}-{self.options.layers or 'all'}"
        if not folder.is_dir():
            write_checkpoint(folder, one.network, one.size, self.options.layers, self._tokenizer)
        if one.backend == "torch":
            return folder
        exported = folder.with_name(f"{folder.name}-{one.backend}-{one.dtype}")
        if not exported.is_dir():
            write_exported(folder, exported, one.backend, "int8" if one.dtype == "int8" else "none")
        return exported

    def run(self, one: Contestant, corpus: Path) -> Run:
        """Embed the corpus in a process of its own."""
        vectors = self._vectors(one, corpus)
        job = Job(
            folder=str(self.checkpoint(one)),
            loader=one.loader,
            dtype=one.dtype,
            backend=one.backend,
            corpus=str(corpus),
            threads=self.options.threads,
            vectors=str(vectors),
            batch_size=one.rows,
        )
        script = Path(__file__).with_name("embed_contestants.py")
        command = [sys.executable, str(script), json.dumps(asdict(job))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"{one} failed with status {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
        self._refuse_other_vectors(one, corpus, vectors)
        return Run(**json.loads(done.stdout.strip().splitlines()[-1]))

    def _vectors(self, one: Contestant, corpus: Path) -> Path:
        name: Path = self.folder / f"{corpus.stem} {one}.npy".replace(" ", "-").replace(",", "")
        return name

    def _refuse_other_vectors(self, one: Contestant, corpus: Path, path: Path) -> None:
        """A race between those who compute different things says nothing."""
        twin = replace(one, loader=PLAIN, rows=None, backend="torch")
        other = self._vectors(twin, corpus)
        if one.dtype in TOLERANCE and other != path and other.is_file():
            apart = float(np.abs(np.load(path) - np.load(other)).max())
            if not apart <= TOLERANCE[one.dtype]:
                raise ValueError(f"{one} and {twin} differ by {apart:.1e} on the same weights")


def measure(bench: Bench, name: str) -> list[dict[str, Any]]:
    """Run all contestants on one corpus, round after round."""
    path, count, tokens = bench.corpus(name)
    lineup = contestants(name, bench.options.sizes, bench.options.backends)
    runs: dict[Contestant, list[Run]] = {one: [] for one in lineup}
    rows: list[dict[str, Any]] = []
    for number in range(bench.options.rounds):
        for one in runs:
            runs[one].append(bench.run(one, path))
            print(f"{name}, round {number + 1}: {one}: {runs[one][-1].cpu_seconds:.1f} s of CPU", file=sys.stderr)
            rows = [row(name, other, done, count, tokens, bench.options) for other, done in runs.items() if done]
            bench.results[name] = rows
            text = json.dumps({"conditions": conditions(), "rows": bench.results}, indent=1)
            (bench.folder / "embed.json").write_text(text + "\n", encoding="utf-8")
    return rows


def row(
    name: str, one: Contestant, runs: list[Run], count: int, tokens: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Sum the runs of one contestant up."""
    seconds = statistics.median(run.cpu_seconds if options.threads == 1 else run.wall_seconds for run in runs)
    return {
        "corpus": name,
        **asdict(one),
        "layers": options.layers,
        "threads": options.threads,
        "rounds": len(runs),
        "documents": count,
        "tokens": tokens,
        "seconds": seconds,
        "documents_per_second": count / seconds,
        "tokens_per_second": tokens / seconds,
        "peak": max(run.peak for run in runs),
        "peak_over_loaded": max(run.peak - run.before for run in runs),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Write rows as a Markdown table, each beside the first row of the same corpus and dtype."""
    head = "corpus | network | size | loader | backend | dtype | rows | documents/s | tokens/s | peak | over loaded"
    lines = [f"| {head} |", "|---|---|---|---|---|---|---:|---:|---:|---:|---:|"]
    for one in rows:
        cells = [one[key] for key in ("corpus", "network", "size", "loader", "backend", "dtype")]
        cells.append(str(one["rows"] or ""))
        cells += [f"{one['documents_per_second']:.2f}", f"{one['tokens_per_second']:,.0f}"]
        cells += [f"{one['peak'] / 1e6:,.0f} MB", f"{one['peak_over_loaded'] / 1e6:,.0f} MB"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def targets(rows: list[dict[str, Any]]) -> str:
    """Compare with what the project set out to reach."""

    def find(corpus: str, network: str, size: str, loader: str, dtype: str) -> dict[str, Any] | None:
        wanted = (corpus, network, size, loader, dtype, None, "torch")
        keys = ("corpus", "network", "size", "loader", "dtype", "rows", "backend")
        return next((one for one in rows if tuple(one[key] for key in keys) == wanted), None)

    lines = ["| ours | against | target | measured |", "|---|---|---:|---:|"]
    for dtype, limit in (("float32", 2), ("bfloat16", 3)):
        for size in ("base", "small"):
            ours, peer = (find("mixed", OURS, size, loader, dtype) for loader in (MMBERT, PLAIN))
            if ours and peer:
                said = f"{size} {dtype}, mixed"
                speed = ours["tokens_per_second"] / peer["tokens_per_second"]
                lines.append(f"| {said} | plain, same weights | {limit}x | {speed:.2f}x |")
                for key, of in (("peak", "peak memory"), ("peak_over_loaded", "peak over loaded")):
                    lines.append(f"| {said} | plain, {of} | 0.50 | {ours[key] / peer[key]:.2f} |")
    peer = find("short", XLM_R, "base", PLAIN, "default")
    for size, limit in (("base", 2), ("small", 4)):
        ours = find("short", OURS, size, MMBERT, "default")
        if ours and peer:
            speed = ours["tokens_per_second"] / peer["tokens_per_second"]
            lines.append(f"| {size} as installed, short | XLM-R base as installed | {limit}x | {speed:.2f}x |")
    return "\n".join(lines)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__)
    parser.add_argument("texts", type=Path, metavar="TEXTS", help="folder of parquet tables with a column text")
    parser.add_argument("--output", type=Path, required=True, help="folder for checkpoints and results")
    parser.add_argument("--corpora", nargs="+", choices=list(LONGEST), default=list(LONGEST))
    parser.add_argument("--sizes", nargs="+", choices=["base", "small"], default=["base", "small"])
    parser.add_argument("--backends", nargs="*", choices=list(BACKENDS), default=list(BACKENDS), help="beside the pair")
    parser.add_argument("--documents", type=int, default=64, help="documents of each corpus")
    parser.add_argument("--layers", type=int, help="layers of every network, in place of its own number")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokenizer", help="folder or Hub id; if left out, one of 8,000 words is trained on the texts")
    return parser.parse_args()


def main() -> None:
    """Measure corpus by corpus."""
    bench = Bench(parse_options())
    rows = [one for name in bench.options.corpora for one in measure(bench, name)]
    text = "\n\n".join([table(rows), targets(rows)])
    print(text)
    with (bench.folder / "embed.md").open("a", encoding="utf-8") as file:
        file.write(text + "\n\n")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
