"""Days, cost, memory and traffic of pre-training base and small on 8 and 256 GPUs: computed, not measured.

    python benchmarks/scaling.py --output build/scaling
    python benchmarks/scaling.py --devices 8 64 256 --price 3 --mfu 0.35
    python benchmarks/scaling.py --recipe my.yaml --devices 8

The arithmetic is in `training_costs.py`. Two speeds are shown: the one that the published runs imply (8 H100, about 40
days for base and 10 for small), and the one given by --mfu.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from mmbert import Recipe
from scaling_tables import CONFIGS, TABLES
from support import parser_of, write_results
from training_costs import H100, PUBLISHED, Device, stages_of

MICRO_TOKENS = 48 * 1024  # the released YAMLs: 48 rows of 1,024, or 6 of 8,192


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Write rows as a Markdown table; what is a number stands on the right."""
    names = list(rows[0])
    right = [str(rows[0][name])[:1].isdigit() for name in names]
    cells = [[str(row[name]) for name in names] for row in rows]
    lines = [names, ["---:" if flag else "---" for flag in right], *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def describe(device: Device) -> str:
    """Say what is assumed of the hardware."""
    return (
        f"{device.name}: {device.flops / 1e12:.0f} TFLOP/s dense bf16, {device.memory / 1e9:.0f} GB at "
        f"{device.memory_rate / 1e12:.2f} TB/s, {device.inside_rate / 1e9:.0f} GB/s to its node, "
        f"{device.outside_rate / 1e9:.0f} GB/s to others; {device.attained:.0%} of the rates are reached."
    )


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__, "folder for scaling.json and scaling.md")
    parser.add_argument("--sizes", nargs="+", choices=list(CONFIGS), default=list(CONFIGS))
    parser.add_argument("--devices", nargs="+", type=int, default=[8, 256], help="numbers of GPUs")
    parser.add_argument("--price", type=float, default=2.5, help="of one GPU for an hour, in any currency")
    parser.add_argument("--mfu", type=float, default=0.35, help="assumed share of the peak, 0 to 1")
    parser.add_argument("--micro-tokens", type=int, default=MICRO_TOKENS, help="tokens of a micro-batch on one GPU")
    parser.add_argument("--loader-rate", type=float, default=3e6, help="tokens a second of one core: benchmarks/stream")
    parser.add_argument("--disk-rate", type=float, default=1e9, help="bytes a second to where checkpoints go")
    parser.add_argument("--recipe", help="phases of this recipe instead of the published ones")
    options = parser.parse_args()
    if not 0 < options.mfu <= 1:
        parser.error(f"--mfu is a share of the peak between 0 and 1, got {options.mfu}; write 0.35 for 35 %")
    if min(options.devices) < 1 or min(options.micro_tokens, options.loader_rate, options.disk_rate) <= 0:
        parser.error("--devices, --micro-tokens, --loader-rate and --disk-rate must be above 0")
    return options


def main() -> None:
    """Compute, print the tables, and write them."""
    options = parse_options()
    stages = stages_of(Recipe.load(options.recipe)) if options.recipe else PUBLISHED
    tables = {
        name: [row for size in options.sizes for row in table(size, stages, options)]
        for name, (_, table) in TABLES.items()
    }
    parts = [f"**{TABLES[name][0]}**\n\n{markdown(rows)}" for name, rows in tables.items()]
    text = "\n\n".join([describe(H100), *parts])
    assumed = {name: value for name, value in vars(options).items() if name != "output"}
    write_results(options.output, "scaling", {"assumed": assumed, "device": describe(H100), **tables}, text)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
