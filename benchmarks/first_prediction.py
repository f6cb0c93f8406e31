"""From nothing to the first prediction: a fresh environment, the wheel, the commands of five tasks, timed one by one.

    python benchmarks/first_prediction.py [--installer uv] [--folder FOLDER]

Files are sentences made here, the network has random weights (a download of the released ones is not counted): what is
timed is installation, imports, reading, training of a few steps and predicting. Prints a table in Markdown; wall time
depends on who else uses the machine, processor time less.
"""

import argparse
import csv
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORDS = {
    "eng": "the river rises every spring and people cross the old bridge to work".split(),
    "deu": "der Fluss steigt in jedem Frühling und Leute gehen über die alte Brücke".split(),
}
MODEL = """
import json, mmbert
from mmbert.modeling.tokenization_mmbert import save_tokenizer
texts = [json.loads(line)["text"] for line in open("rows.jsonl", encoding="utf-8")]
tokenizer = mmbert.train_tokenizer(texts * 4, 400)
sizes = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=2)
mmbert.MmBertForMaskedLM(mmbert.MmBertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained("model")
save_tokenizer(tokenizer, "model")
"""
FINE_TUNE = "mmbert finetune {0} --model model --data {1} --output {0} --dev_split none --epochs 1 --batch-size 8"
TASKS = {
    "classification": (
        FINE_TUNE.format("classification", "rows.csv"),
        "mmbert predict classification rows.csv -o a.jsonl",
    ),
    "tagging": (FINE_TUNE.format("tagging", "tags.jsonl"), "mmbert predict tagging tags.jsonl -o b.jsonl"),
    "answers": (FINE_TUNE.format("qa", "qa.jsonl"), "mmbert predict qa qa.jsonl -o c.jsonl"),
    "choices": (FINE_TUNE.format("choice", "choice.jsonl"), "mmbert predict choice choice.jsonl -o d.jsonl"),
    "search": (
        "mmbert train embedder --model model --train pairs.jsonl --output embedder --epochs 1 --batch-size 8",
        "mmbert search index documents --model embedder --output index",
        "mmbert search query index bridge",
    ),
}  # fmt: skip


def write_files(folder: Path) -> None:
    """Write the rows of every task: 60 to train on, 20 to test."""
    draw = random.Random(0)
    tables: dict[str, list[dict]] = {name: [] for name in ("rows", "tags", "qa", "choice", "pairs")}
    for place in range(80):
        language, split = "eng" if place % 2 else "deu", "train" if place < 60 else "test"
        words = draw.choices(WORDS[language], k=8)
        text, answer = " ".join(words), words[2]
        tables["rows"].append({"text": text, "label": language, "split": split})
        tags = ["B-BIG" if word[0].isupper() else "O" for word in words]
        tables["tags"].append({"tokens": words, "tags": tags, "split": split})
        answers = {"text": [answer], "answer_start": [len(" ".join(words[:2])) + 1]}
        tables["qa"].append(
            {"id": str(place), "question": "what?", "context": text, "answers": answers, "split": split}
        )
        choices = {"choice1": "the bridge", "choice2": "die Brücke", "label": int(language == "deu")}
        tables["choice"].append({"premise": text, **choices, "split": split})
        tables["pairs"].append({"anchor": text, "positive": text.upper()})
    for name, rows in tables.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, tables["rows"][0])
        writer.writeheader()
        writer.writerows(tables["rows"])
    (folder / "documents").mkdir(exist_ok=True)
    (folder / "documents" / "one.txt").write_text("\n\n".join(row["text"] for row in tables["rows"]), encoding="utf-8")


def timed(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Run a command; wall and processor seconds. One that fails ends the benchmark with what it said."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Time every step and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the environment and the results lie; a temporary folder")
    parser.add_argument("--installer", default="pip", choices=["pip", "uv"])
    parser.add_argument("--extras", default="embeddings,finetune,search")
    parser.add_argument("--installed", action="store_true", help="FOLDER has the environment: time the tasks alone")
    options = parser.parse_args()
    folder = (options.folder or Path(tempfile.mkdtemp())).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    python = folder / "venv" / "bin" / "python"
    environment = {**plain, "PATH": f"{python.parent}:{plain['PATH']}", "HF_HUB_OFFLINE": "1"}
    rows: list[tuple[str, float, float]] = []

    def step(name: str, *command: object) -> None:
        rows.append((name, *timed([str(word) for word in command], folder, environment)))
        print(f"{name}: {rows[-1][1]:.1f} s, {rows[-1][2]:.1f} s of a processor", file=sys.stderr, flush=True)

    environment["VIRTUAL_ENV"] = str(folder / "venv")
    if not options.installed:
        shutil.rmtree(folder / "wheel", ignore_errors=True)
        step("build the wheel", sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder / "wheel", ROOT)
        wheel = next((folder / "wheel").glob("mmbert-*.whl"))
        step("python -m venv", sys.executable, "-m", "venv", "--clear", folder / "venv")
        installer = [python, "-m", "pip"] if options.installer == "pip" else ["uv", "pip"]
        constraints = ("-c", ROOT / "constraints.txt")
        step(f"{options.installer} install", *installer, "install", "-q", *constraints, f"{wheel}[{options.extras}]")
    write_files(folder)
    for name in ("model", "classification", "tagging", "qa", "choice", "embedder", "index"):
        shutil.rmtree(folder / name, ignore_errors=True)
    step("a network of random weights", python, "-c", MODEL)
    for task, commands in TASKS.items():
        for number, command in enumerate(commands, 1):
            step(f"{task} {number}: `{' '.join(command.split()[:3])}`", *command.split())
    print("| step | s | processor s |\n|---|---:|---:|")
    for name, wall, cpu in rows:
        print(f"| {name} | {wall:.1f} | {cpu:.1f} |")
    for task in TASKS:
        wall, cpu = (sum(row[part] for row in rows if row[0].startswith(f"{task} ")) for part in (1, 2))
        print(f"| **{task}: files to prediction** | **{wall:.0f}** | {cpu:.0f} |")
    first = json.loads((folder / "a.jsonl").read_text(encoding="utf-8").splitlines()[0])
    print(f"\nThe first prediction: {json.dumps(first, ensure_ascii=False)}")


if __name__ == "__main__":
    main()
