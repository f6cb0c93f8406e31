"""Evaluate one or several embedders on your copies of public sets, by language, resource group and script.

    python examples/evaluate_embeddings.py embedder other=another/folder --data tatoeba=tatoeba.parquet \
        --data xquad=xquad.parquet --data xquad-cross=xquad.parquet --output build/evaluated

Sets: tatoeba, xquad, xquad-cross, stsb, sib200, sib200-own, cosqa, code-search; their columns stand in
mmbert/evaluation/embedding_tasks.py. Writes report.json, report.md and report.png a model, and summary.md over all.
With --card, the scores of a model whose folder is local go into the README.md there. What was evaluated before, in the
same output folder and with the same model and files, is not evaluated again.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from mmbert import load_embedder
from mmbert.embeddings import model_fingerprint
from mmbert.evaluation import embedding_markdown, embedding_model_index, evaluate_embedder, summary_table
from mmbert.model_cards import add_embedding_scores, draw_benchmark


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="[NAME=]MODEL", help="Folder or Hub id, with a name for tables.")
    parser.add_argument("--data", action="append", required=True, metavar="SET=PATH", help="May be repeated.")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--dims", type=int, help="Keep only the first so many dimensions.")
    parser.add_argument("--max_seq_length", type=int)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device")
    parser.add_argument("--card", action="store_true", help="Write the scores into the model's README.md.")
    return parser.parse_args()


def named(entries: list[str]) -> dict[str, str]:
    """Read NAME=VALUE; a bare value is named by its last part."""
    found: dict[str, str] = {}
    for entry in entries:
        name, separator, value = entry.partition("=")
        found[name if separator else Path(entry).name] = value if separator else entry
    return found


def identity(model: Any, files: dict[str, str]) -> str:
    """Digest the model and the files."""
    digest = hashlib.sha256(model_fingerprint(model).encode())
    digest.update(f"{model.get_embedding_dimension()} {model.max_seq_length} {model.prompts}".encode())
    for name, place in sorted(files.items()):
        path = Path(place)
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            digest.update(f"{name} {file.name}".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def evaluated(name: str, place: str, files: dict[str, str], args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate a model, or read what was found before."""
    model = load_embedder(
        place, dims=args.dims, max_seq_length=args.max_seq_length, dtype=args.dtype, device=args.device
    )
    folder = args.output / name
    conditions = identity(model, files)
    if (folder / "report.json").is_file():
        before: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        if before["about"].get("conditions") == conditions:
            print(f"{name}: evaluated before")
            return before
    about = {"model": name, "dimensions": model.get_embedding_dimension(), "dtype": args.dtype}
    about |= {"most tokens": model.max_seq_length, "conditions": conditions}
    report = evaluate_embedder(model, files, about=about, tell=lambda line: print(f"{name}: {line}", flush=True))
    report["model_index"] = embedding_model_index(report)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(embedding_markdown(report), encoding="utf-8")
    try:
        draw_benchmark(report, folder / "report.png", f"{name}: scores by language")
    except ImportError as missing:
        print(f"no picture: {missing}", file=sys.stderr)
    (folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def main() -> None:
    """Evaluate all models and put them side by side."""
    args = options()
    files, models = named(args.data), named(args.models)
    if missing := next((place for place in files.values() if not Path(place).exists()), None):
        raise FileNotFoundError(f"--data: {missing} does not exist; write SET=PATH")
    reports = {name: evaluated(name, place, files, args) for name, place in models.items()}
    summary = summary_table(reports)
    (args.output / "summary.md").write_text(summary + "\n", encoding="utf-8")
    print(summary)
    for name, place in models.items():
        if args.card and Path(place).is_dir():
            print(f"scores written to {add_embedding_scores(place, reports[name])}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"evaluate_embeddings: {error}")
