"""TIES merges of three variants by mmbert and by mergekit: seconds and peak memory, side by side.

    python benchmarks/merge.py --mergekit MERGEKIT_ENV/bin/mergekit-yaml --output build/merge

mergekit lives in an environment of its own (`pip install mergekit==0.1.5`), because it pins other versions. The models
are mmBERT-base with random weights, fp32: the base, and three variants that each moved every weight by a normal draw.
Both merge with density 0.2 and scale 1; mergekit trims each tensor alone (it has no other way), mmbert is timed with
the global trim of the paper and with mergekit's. Contestants take turns; every merge is a process of its own, whose
peak memory the operating system tells. A child's peak never falls below its parent's at the fork, so this process
loads neither torch nor mmbert. Files are in the page cache for all of them after a first read.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from support import parser_of, write_results

VARIANTS = ("one", "two", "three")
OURS = "from mmbert import merge_ties; merge_ties('{base}', {variants}, '{output}', trim='{trim}')"
YAML = """merge_method: ties
base_model: {base}
models:
{models}
parameters: {{density: 0.2, weight: 1.0, normalize: true}}
dtype: float32
"""


def make_models(folder: Path, size: str) -> None:
    """Write base and variants as `modernbert`, the type that other software knows."""
    import torch
    from mmbert import MmBertConfig, MmBertForMaskedLM, export_modernbert

    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(0)
    model = MmBertForMaskedLM(MmBertConfig() if size == "base" else MmBertConfig.small())
    start = {name: value.clone() for name, value in model.named_parameters()}
    for place, name in enumerate(("base", *VARIANTS)):
        generator = torch.Generator().manual_seed(place)
        with torch.no_grad():
            for key, value in model.named_parameters():
                value.copy_(start[key])
                if place:
                    value.add_(torch.randn(value.shape, generator=generator), alpha=1e-3)
        model.save_pretrained(folder / "local" / name)
        export_modernbert(folder / "local" / name, folder / name)
        shutil.rmtree(folder / "local" / name)
    (folder / "whole").touch()


def command(contestant: str, folder: Path, output: Path, mergekit: str) -> list[str]:
    """Spell the command of one merge."""
    if contestant == "mergekit":
        models = "".join(f"  - model: {folder / name}\n" for name in VARIANTS)
        (folder / "ties.yaml").write_text(YAML.format(base=folder / "base", models=models))
        return [mergekit, str(folder / "ties.yaml"), str(output)]
    trim = "global" if contestant == "mmbert" else "tensor"
    variants = [str(folder / name) for name in VARIANTS]
    return [sys.executable, "-c", OURS.format(base=folder / "base", variants=variants, output=output, trim=trim)]


def measure(words: list[str], threads: int) -> dict[str, float]:
    """Run a command in a process of its own; seconds of the wall and of the CPU, and peak memory in GB."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads)) | {"HF_HUB_OFFLINE": "1"}
    started = time.monotonic()
    child = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    told = child.stderr.read() if child.stderr else b""
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise RuntimeError(f"{words[0]} ended with status {status}: {told.decode()[-2000:]}")
    return {
        "wall": time.monotonic() - started,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * (1024 if sys.platform.startswith("linux") else 1) / 1e9,
    }


def table(rows: dict[str, list[dict[str, float]]]) -> str:
    """Compare medians; the last two columns are shares of mergekit's."""
    middle = {name: {key: median(run[key] for run in runs) for key in runs[0]} for name, runs in rows.items()}
    peer = middle.get("mergekit")
    lines = [
        [
            name,
            f"{row['wall']:.0f}",
            f"{row['cpu']:.0f}",
            f"{row['peak']:.2f}",
            f"{row['cpu'] / peer['cpu']:.2f}" if peer else "",
            f"{row['peak'] / peer['peak']:.2f}" if peer else "",
        ]
        for name, row in middle.items()
    ]
    header = ["contestant", "wall s", "CPU s", "peak GB", "CPU / mergekit", "peak / mergekit"]
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))


def main() -> None:
    """Run the benchmark."""
    parser = parser_of(__doc__)
    parser.add_argument("--mergekit", help="mergekit-yaml of an environment that has mergekit; left out if absent")
    parser.add_argument("--size", choices=("base", "small"), default="base")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", type=Path, default=Path("build/merge_models"))
    parser.add_argument("--output", type=Path, default=Path("build/merge"))
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make_models(options.models, options.size)
        return
    if not (options.models / "whole").is_file():
        own = [sys.executable, __file__, "--make", "--size", options.size, "--models", str(options.models)]
        subprocess.run(own, check=True)
    options.output.mkdir(parents=True, exist_ok=True)
    contestants = ["mmbert", "mmbert, trim by tensor", *(["mergekit"] if options.mergekit else [])]
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for _ in range(options.rounds):
        for name in contestants:
            merged = options.output / "merged"
            shutil.rmtree(merged, ignore_errors=True)
            rows[name].append(measure(command(name, options.models, merged, options.mergekit), options.threads))
            print(name, rows[name][-1], flush=True)
            shutil.rmtree(merged)
    told = {"size": options.size, "threads": options.threads, "dtype": "float32", "variants": len(VARIANTS)}
    write_results(options.output, "merge", {**told, "runs": rows}, table(rows))


if __name__ == "__main__":
    main()
