"""Speed of encoding: mmbert, stock ModernBERT, XLM-R and MiniLM in the paper's four settings, on a CPU.

    python benchmarks/encode.py --output build/encode                  # everything, hours on one core
    python benchmarks/encode.py --quick                                # a few layers, minutes: does it run?
    python benchmarks/encode.py --settings variable-512 --output ...   # one setting; rows add up in the same folder
    python benchmarks/encode.py --dtypes bfloat16 int8 --settings variable-512 --sizes base --networks mmbert

Prints the table and the targets of the project; writes encode.json after every setting (with the ratio int8_over_bf16
where both ran), encode.md, and a picture for each number of threads. The roofline of int8 is that of the dtype between
its matrices, so it may pass 1.
"""

import argparse
import logging
from dataclasses import asdict, replace

from mmbert.common.progress import Progress
from mmbert.evaluation.efficiency.measurement import SETTINGS, Case, Entry, Plan, Setting, fits, measure
from mmbert.evaluation.efficiency.models import COMPILED, INT8, MINILM, OURS, STOCK, XLM_R
from mmbert.evaluation.efficiency.report import Report, conditions, markdown_table
from mmbert.model_cards import draw_efficiency
from support import parser_of
from targets import Runner, Target, targets_table

# XLM-R's short batches also run in the rounds of 8,192, in fp32, which is what it is installed as.
LONG_AGAINST = {"fixed-8192": ("fixed-512", "variable-512")}
# A quick run keeps the proportion of the layers: 22 of ours against 12.
INT8_OVER_BF16 = Target(1.4, *(Runner(OURS, "base", dtype, "variable-512") for dtype in (INT8, "bfloat16")))
QUICK_LAYERS = {OURS: 4, COMPILED: 4, STOCK: 4, XLM_R: 2, MINILM: 2}


def targets(sizes: list[str]) -> list[Target]:
    """List what the project set out to reach (one thread)."""
    roofline = {
        "float32": {"fixed-512": 0.85, "variable-512": 0.85, "fixed-8192": 0.85},
        "bfloat16": {"fixed-512": 0.80, "variable-512": 0.80, "fixed-8192": 0.60},
    }
    stock = {
        "float32": {"variable-512": 1.6, "fixed-8192": 1.9, "variable-8192": 2.5},
        "bfloat16": {"variable-512": 1.9, "fixed-8192": 3.0, "variable-8192": 4.0},
    }
    found = []
    for size in sizes:
        for dtype in ("float32", "bfloat16"):
            for setting, limit in roofline[dtype].items():
                found.append(Target(limit, Runner(OURS, size, dtype, setting)))
            for setting, limit in stock[dtype].items():
                found.append(Target(limit, *(Runner(network, size, dtype, setting) for network in (OURS, STOCK))))
            limit = {"base": 1.15, "small": 2.7}[size]
            ours, peer = Runner(OURS, size, dtype, "variable-512"), Runner(XLM_R, "base", dtype, "variable-512")
            found.append(Target(limit, ours, peer))
    installed = Runner(XLM_R, "base", "float32", "variable-512")
    if "small" in sizes:
        full = replace(installed, setting="fixed-512")
        found.append(Target(0.95, Runner(OURS, "small", "float32", "fixed-8192"), full))
    if "base" in sizes:
        found.append(INT8_OVER_BF16)
        found.append(Target(2.4, Runner(OURS, "base", "bfloat16", "variable-512"), installed))
        found.append(Target(1.0, Runner(OURS, "base", "bfloat16", "fixed-8192"), installed))
    return found


def cases(options: argparse.Namespace, setting: Setting) -> list[Case]:
    """List who runs in the rounds of one setting."""
    sizes = {OURS: options.sizes, STOCK: options.sizes, XLM_R: ["base"], MINILM: ["small"]}
    networks = [*options.networks, *([COMPILED] if options.compile else [])]
    found = []
    for dtype in options.dtypes:
        for network in [OURS] if dtype == INT8 else networks:
            for size in sizes.get(network, options.sizes):
                found.append(Case(entry(options, network, size, dtype), setting))
    if XLM_R in networks:
        beside = [scaled(options, SETTINGS[name]) for name in LONG_AGAINST.get(setting.name, ())]
        found += [Case(entry(options, XLM_R, "base", "float32"), other) for other in beside]
    return [case for case in found if fits(case)]


def entry(options: argparse.Namespace, network: str, size: str, dtype: str) -> Entry:
    """Describe a model, of fewer layers in a quick run."""
    overrides = {"num_hidden_layers": QUICK_LAYERS[network]} if options.quick else {}
    return Entry(network, size, dtype, overrides=overrides)


def scaled(options: argparse.Namespace, setting: Setting) -> Setting:
    """Give a setting the number of rows that was asked for; a quarter of its own in a quick run."""
    if options.rows is not None:
        return replace(setting, rows=options.rows)
    return replace(setting, rows=max(1, setting.rows // 4)) if options.quick else setting


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__, "folder for encode.json, encode.md and pictures")
    parser.add_argument("--sizes", nargs="+", choices=["base", "small"], default=["base", "small"])
    parser.add_argument("--dtypes", nargs="+", choices=["float32", "bfloat16", INT8], default=["float32", "bfloat16"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    networks = [OURS, STOCK, XLM_R, MINILM]
    parser.add_argument("--networks", nargs="+", choices=networks, default=networks)
    parser.add_argument("--compile", action="store_true", help="also measure mmbert compiled")
    parser.add_argument("--rows", type=int, help="rows of a batch, in place of the setting's own")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds, after one that is not timed")
    parser.add_argument("--seconds", type=float, default=90.0, help="no more rounds after so long, once there are two")
    parser.add_argument("--seed", type=int, default=0, help="of the lengths of rows")
    parser.add_argument("--no-memory", action="store_true", help="leave peak memory out")
    parser.add_argument("--quick", action="store_true", help="few layers, small batches, two rounds, no memory")
    return parser.parse_args()


def main() -> None:
    """Measure setting by setting; what was measured is written before the next one begins."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    options = parse_options()
    rounds, seconds = (2, 1.0) if options.quick else (options.rounds, options.seconds)
    now = conditions(quick=options.quick, rows=options.rows, seed=options.seed)
    file = options.output / "encode.json" if options.output else None
    report = Report.open(file, now) if file else Report(now)
    for threads in options.threads:
        plan = Plan(threads, rounds, seconds, options.seed, memory=not (options.no_memory or options.quick))
        for name in options.settings:
            setting = scaled(options, SETTINGS[name])
            with Progress(f"{name}, {threads} thread{'s' if threads > 1 else ''}", interval=60) as bar:
                report.add(measure(cases(options, setting), name, plan, bar.update_time))
            if file:
                report.write(file, int8_over_bf16=INT8_OVER_BF16.value(report.rows))
    tell_all(options, report)


def tell_all(options: argparse.Namespace, report: Report) -> None:
    """Print the tables, and write them beside the JSON with the pictures."""
    parts = [report.about, markdown_table(report.rows), targets_table(targets(options.sizes), report.rows)]
    if options.quick:
        parts.insert(1, "A quick run of a few layers: it shows that everything works, not how fast it is.")
    text = "\n\n".join(parts)
    print(text)
    if options.output:
        (options.output / "encode.md").write_text(text + "\n", encoding="utf-8")
        for threads in sorted({row.threads for row in report.rows}):
            rows = [row for row in report.rows if row.threads == threads]
            title = f"Encoding on {threads} thread{'s' if threads > 1 else ''}"
            draw_efficiency(
                [asdict(row) for row in rows],
                options.output / f"encode-{threads}.png",
                title,
                f"random weights; {report.about}",
            )


if __name__ == "__main__":
    main()
