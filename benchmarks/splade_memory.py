"""SPLADE pooling, forward and backward: peak memory and CPU time, ours beside sentence-transformers' modules.

    python benchmarks/splade_memory.py --shapes 4x128,8x256 --words 256000 --hidden 384

Every measurement is a process of its own, one thread, fp32. Input is the head's output for rows x length tokens and the
table of words; the stock way computes all logits and hands them to SpladePooling, ours to `max_linear`. Memory is the
peak above what stood there before the first product; the gradient of the table (words x hidden) is in both.
"""

import argparse
import json
import subprocess
import sys

from support import parser_of


def measure(kind: str, rows: int, length: int, words: int, hidden: int) -> dict[str, float]:
    """Run one pooling forward and backward in this process."""
    import torch
    from mmbert.embeddings.retrievers.splade import max_linear, splade_scores
    from mmbert.evaluation.efficiency.memory import measure_peak
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokens = torch.randn(rows, length, hidden, requires_grad=True)
    # as in a trained model, few words score: the bias lies four standard deviations below zero
    table = (torch.randn(words, hidden) * hidden**-0.5).requires_grad_()
    bias = torch.full((words,), -3.0, requires_grad=True)
    pooling = SpladePooling("max").train()
    found: dict[str, float] = {}

    def work() -> None:
        if kind == "ours":
            scores = splade_scores(max_linear(tokens.flatten(0, 1), table, bias, [length] * rows))
        else:
            logits = torch.nn.functional.linear(tokens, table, bias)
            features = {"token_embeddings": logits, "attention_mask": torch.ones(rows, length)}
            scores = pooling(features)["sentence_embedding"]
            del logits, features
        found["active"] = float((scores > 0).sum(1).float().mean())
        scores.sum().backward()
        found["scores"] = float(scores.detach().double().sum())

    peak = measure_peak(work)
    checks = [found["scores"], float(tokens.grad.double().abs().sum())]
    return {"MB": peak.over_weights / 2**20, "seconds": peak.cpu_seconds, "active": found["active"], "checks": checks}


def main() -> None:
    """Measure every shape in both ways, print a table."""
    parser = parser_of(__doc__)
    parser.add_argument("--shapes", default="4x128,8x256")
    parser.add_argument("--words", type=int, default=256_000)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        kind, rows, length = options.one.split(",")
        print(json.dumps(measure(kind, int(rows), int(length), options.words, options.hidden)))
        return
    print("| rows x length | words | words that score | stock MB | ours MB | stock CPU s | ours CPU s | difference |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for shape in options.shapes.split(","):
        rows, length = shape.split("x")
        both = {}
        for kind in ("stock", "ours"):
            sizes = ["--words", str(options.words), "--hidden", str(options.hidden)]
            command = [sys.executable, __file__, *sizes, "--one", f"{kind},{rows},{length}"]
            both[kind] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        stock, ours = both["stock"], both["ours"]
        error = max(abs(a - b) / abs(b) for a, b in zip(ours["checks"], stock["checks"], strict=True))
        memory = f"{stock['MB']:,.0f} | {ours['MB']:,.0f}"
        seconds = f"{stock['seconds']:.1f} | {ours['seconds']:.1f}"
        print(f"| {shape} | {options.words:,} | {ours['active']:,.0f} | {memory} | {seconds} | {error:.0e} |")


if __name__ == "__main__":
    main()
