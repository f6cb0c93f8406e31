"""Size, speed and coverage of a trimmed checkpoint beside its parent.

    python benchmarks/trim.py CHECKPOINT --corpus CORPUS --output build/trim                 # three languages, 170M
    python benchmarks/trim.py CHECKPOINT --corpus CORPUS --languages eng_Latn --max-parameters 130M --output ...
    python benchmarks/trim.py --tokenizer tokenizer.json --corpus CORPUS --output ...        # base with random weights

Trims, then times both in turns in one process on one thread, and prints CPU seconds: loading weights and tokenizer,
the encoder's forward pass, an MLM's dense logits, a masked-LM training step. Medians. Coverage is that of held-out
documents (one in ten). Also checks that encoder outputs are equal bit for bit. Writes trim.json and trim.md.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from mmbert import MmBertConfig, MmBertForMaskedLM, trim_vocabulary
from mmbert.data import open_corpus
from mmbert.export import read_trim_report
from mmbert.modeling.tokenization_mmbert import build_tokenizer, save_tokenizer
from support import parser_of, write_results
from transformers import AutoTokenizer

ROWS, LENGTH = 2, 256


def main() -> None:
    """Trim, measure, print, write."""
    parser = parser_of(__doc__)
    parser.add_argument("checkpoint", nargs="?", help="masked LM with tokenizer; left out: base with random weights")
    parser.add_argument("--tokenizer", help="tokenizer.json of 256,000 words, for the random base")
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--languages", nargs="+", default=["eng_Latn", "deu_Latn", "cmn_Hans"])
    parser.add_argument("--max-parameters", type=float, default=170.0, help="millions")
    parser.add_argument("--word-lists", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("build/trim"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    whole = Path(options.checkpoint) if options.checkpoint else random_base(options)
    texts = {tag: read(options.corpus, tag) for tag in options.languages}
    limit = int(options.max_parameters * 1e6)
    small = options.output / "trimmed"
    start = time.process_time()
    if not small.exists():
        trim_vocabulary(whole, texts, small, max_parameters=limit, word_lists=options.word_lists)
    report = read_trim_report(small)
    record = {"trim_cpu_seconds": time.process_time() - start, **report.to_dict()}
    sample = [text for tag in options.languages for text in texts[tag][:20]]
    record["encoder_equal_bit_for_bit"] = same_outputs(whole, small, sample)
    record["cpu_seconds"] = times({"whole": whole, "trimmed": small}, options.rounds)
    report.draw(options.output / "trim.png")
    write_results(options.output, "trim", record, markdown(record, report))


def random_base(options: argparse.Namespace) -> Path:
    """Save base with random weights: sizes and times are those of the real one."""
    folder = options.output / "base"
    if not folder.exists():
        if not options.tokenizer:
            raise SystemExit("give a checkpoint, or --tokenizer for a base with random weights")
        tokenizer = build_tokenizer(options.tokenizer)
        MmBertForMaskedLM(MmBertConfig(vocab_size=len(tokenizer))).save_pretrained(folder)
        save_tokenizer(tokenizer, folder)
    return folder


def read(corpus: str, tag: str) -> list[str]:
    """All documents of one language."""
    opened = open_corpus(corpus, languages=[tag], heldout_fraction=0.0)
    return [document.text for document in opened.documents("train")]


def same_outputs(whole: Path, small: Path, texts: list[str]) -> bool:
    """Compare the encoders on texts whose every token was kept."""
    old = [int(line) for line in (small / "kept_ids.txt").read_text().split()]
    tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in (whole, small)]
    models = [MmBertForMaskedLM.from_pretrained(folder).eval().model for folder in (whole, small)]
    compared = 0
    for text in texts:
        before, after = (tokenizer(text[:300], return_tensors="pt") for tokenizer in tokenizers)
        if [old[token] for token in after["input_ids"][0].tolist()] != before["input_ids"][0].tolist():
            continue
        with torch.no_grad():
            if not torch.equal(models[0](**before).last_hidden_state, models[1](**after).last_hidden_state):
                return False
        compared += 1
    print(f"{compared} of {len(texts)} texts are covered whole; their outputs are equal")
    return compared > 0


def times(folders: dict[str, Path], rounds: int) -> dict[str, dict[str, float]]:
    """Median CPU seconds of each task, the contestants taking turns."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in folders}

    def clock(name: str, task: str, work):  # noqa: ANN001, ANN202
        start = time.process_time()
        result = work()
        found[name].setdefault(task, []).append(time.process_time() - start)
        return result

    for _ in range(rounds):
        for name, folder in folders.items():
            model = clock(name, "load weights", lambda folder=folder: MmBertForMaskedLM.from_pretrained(folder))
            clock(name, "load tokenizer", lambda folder=folder: AutoTokenizer.from_pretrained(folder))
            ids = torch.randint(300, 60_000, (ROWS, LENGTH), generator=torch.Generator().manual_seed(1))
            ids %= model.config.vocab_size
            model.eval().config.sparse_prediction = False
            with torch.no_grad():
                clock(name, "encoder forward", lambda model=model, ids=ids: model.model(input_ids=ids))
                clock(name, "forward with dense logits", lambda model=model, ids=ids: model(input_ids=ids))
            model.train().config.sparse_prediction = True
            labels = ids.masked_fill(torch.rand(ids.shape) > 0.3, -100)

            def step(model=model, ids=ids, labels=labels) -> None:  # noqa: ANN001
                model(input_ids=ids, labels=labels).loss.backward()

            clock(name, "masked-LM step, forward and backward", step)
    return {name: {task: statistics.median(values) for task, values in tasks.items()} for name, tasks in found.items()}


def markdown(record: dict, report) -> str:  # noqa: ANN001
    """Both tables."""
    lines = [
        report.to_markdown(),
        f"| CPU seconds, fp32, 1 thread, {ROWS} x {LENGTH} tokens | parent | trimmed | ratio |",
    ]
    lines.append("|---|---|---|---|")
    whole, small = record["cpu_seconds"]["whole"], record["cpu_seconds"]["trimmed"]
    lines += [f"| {task} | {whole[task]:.2f} | {small[task]:.2f} | {small[task] / whole[task]:.2f} |" for task in whole]
    lines.append(f"\nEncoder outputs equal bit for bit: {record['encoder_equal_bit_for_bit']}.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
