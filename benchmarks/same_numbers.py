"""Bit for bit: write down what this tree computes, and hold another tree's numbers against it.

    python benchmarks/same_numbers.py record OUT.json         # of the mmbert that Python finds; PYTHONPATH chooses
    python benchmarks/same_numbers.py compare BEFORE.json AFTER.json

For a change that moves code and may change no number. Everything is tiny, drawn from fixed seeds, on one thread of the
CPU, through public names, the `mmbert` command and the scripts in examples/. Tensors are hashed by name; losses and
scores are kept as numbers. Both recordings want the same machine and packages. Exit status 1 if anything differs.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

import mmbert
import onnxruntime
import torch
from safetensors.torch import load_file
from torch.nn.utils.rnn import pad_sequence

Values = dict[str, Any]  # by name: a hash, or numbers as they are
EXAMPLES = next(home / "examples" for home in Path(mmbert.__file__).parents if (home / "examples/run_mlm.py").is_file())
STABLE = ("stable", "trunk")  # the folder of the phases before the variants: its name now, and in 0.1
COMMAND = ("-c", "from mmbert.cli import main; main()")
ALPHABETS = "etaoinshrdlucm оеаинтсрвлкмдпуы αοιετσνηυρπκμλάέό اليمونرتبةعدسفه करनसतमहपयलवाेि्".split()
LETTERS = dict(zip(("eng_Latn", "rus_Cyrl", "ell_Grek", "arb_Arab", "hin_Deva"), ALPHABETS, strict=True))
RECIPE = """
name: same-numbers
seed: 7
model: {size: small, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 4, num_attention_heads: 2}
data: {corpus: corpus, vocabulary_size: 600, heldout_fraction: 0.1, text_unit: line}
phases:
  - {name: pretrain, languages: [eng_Latn, ell_Grek], temperature: 0.7, masking_ratio: 0.3, context_length: 32,
     rope_theta: 10000, tokens: 6144, batch_rows: 16, learning_rate: 2e-3, warmup_tokens: 1024}
  - {name: midtrain, languages: {add: [rus_Cyrl, arb_Arab]}, temperature: 0.5, masking_ratio: 0.15, context_length: 64,
     rope_theta: 160000, tokens: 6144, batch_rows: 8}
  - {name: decay, languages: all, temperature: 0.3, masking_ratio: 0.05, tokens: 4096, decay: 1-sqrt}
variants: {decay-eng: {languages: {add: []}, shares: {eng_Latn: 0.5}}, decay-all: {}}
"""
TRAINING = "--recipe recipe.yaml --output_dir trained --use_cpu --save_steps 2 --logging_steps 1"
TUNING = "--model encoder --data rows.jsonl --use_cpu --seeds 1 --dev_split none --max_steps 12 --learning_rate 2e-3"


def sentences(language: str, count: int, seed: int) -> list[str]:
    """Draw sentences of 3 to 24 words out of 80 made-up words of a language."""
    words, draw = random.Random(language), random.Random(f"{language}/{seed}")
    known = ["".join(words.choices(LETTERS[language], k=words.randint(2, 9))) for _ in range(80)]
    return [" ".join(draw.choices(known, k=draw.randint(3, 24))) for _ in range(count)]


def digest(values: Any) -> str:
    """Hash bytes, or dtype, shape and bytes of a tensor or array."""
    if not isinstance(values, bytes):
        tensor = torch.as_tensor(values).detach().contiguous()
        head = f"{tensor.dtype} {tuple(tensor.shape)} ".encode()
        values = head + tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(values).hexdigest()


def tensors(folder: Path, label: str = "") -> Values:
    """Hash every tensor of the safetensors files in a folder, by name."""
    files = sorted(folder.glob("*.safetensors"))
    return {f"{label}{name}": digest(tensor) for file in files for name, tensor in sorted(load_file(file).items())}


def run(*command: str | Path) -> str:
    """Run Python on a script or a command of this tree; return what it says."""
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)
    if done.returncode != 0:
        raise ValueError(f"exit status {done.returncode} of {' '.join(map(str, command))}:\n{done.stderr[-3000:]}")
    return done.stdout + done.stderr


def prepare() -> None:
    """Write the corpus, the rows of both fine-tunings, and a network with its tokenizer."""
    found = run("-c", "import importlib.util; print(importlib.util.find_spec('mmbert').origin)").strip()
    if found != mmbert.__file__:
        raise ValueError(f"commands would use {found}, this script uses {mmbert.__file__}; set PYTHONPATH")
    Path("recipe.yaml").write_text(RECIPE, encoding="utf-8")
    Path("corpus").mkdir()
    rows, texts = [], []
    for language, size in zip(LETTERS, (300, 150, 80, 80, 20), strict=True):
        texts += (lines := sentences(language, size, seed=0))
        Path("corpus", f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
        for number, text in enumerate(sentences(language, 48, seed=1)):
            row = {"lang": language, "split": "train" if number < 32 else "test", "tokens": text.split(), "text": text}
            row["label"] = "early" if text[0] in LETTERS[language][:6] else "late"
            rows.append(json.dumps(row | {"tags": ["B-LONG" if len(word) > 5 else "O" for word in row["tokens"]]}))
    Path("rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    tokenizer = mmbert.train_tokenizer(texts, 700)
    tokenizer.save_pretrained("encoder")
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = mmbert.MmBertConfig(vocab_size=len(tokenizer), local_attention=8, initializer_range=0.1, **sizes)
    mmbert.MmBertForMaskedLM(config).save_pretrained("encoder")


def pretraining() -> Values:
    """Train a recipe, kill it in its second phase, give the same command again."""
    command = (EXAMPLES / "run_mlm.py", *TRAINING.split())
    with subprocess.Popen([sys.executable, *map(str, command)], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not any(Path(f"trained/{name}/checkpoint-14").is_dir() for name in STABLE):
            time.sleep(0.005)
        process.kill()
    if process.returncode != -signal.SIGKILL or " goes on from " not in run(*command):
        raise ValueError("the run ended before it was killed; kill it at an earlier checkpoint")
    found = {"tokenizer.json": digest(Path("trained/data/tokenizer/tokenizer.json").read_bytes())}
    for part in ("trunk", "decay-eng", "decay-all"):
        home = next(Path("trained", name) for name in (part, *STABLE) if Path("trained", name).is_dir())
        found |= tensors(home / "final", f"{part}, ")
        files = home.glob("checkpoint-*/trainer_state.json")
        states = [json.loads(path.read_text()) for path in files]
        for entry in max(states, key=lambda state: state["global_step"])["log_history"]:
            kept = (name for name in entry if name.startswith(("loss", "eval_loss", "grad_norm", "learning_rate")))
            found |= {f"{part}, step {entry['step']}, {name}": entry[name] for name in kept}
    return found


def fine_tuning() -> Values:
    """Fine-tune a classifier and a tagger, one seed; weights, predictions, scores."""
    found: Values = {}
    for task in ("classification", "token_classification"):
        run(EXAMPLES / f"run_{task}.py", "--output_dir", task, *TUNING.split())
        found |= tensors(Path(task), f"{task}, ")
        found |= {str(path): digest(path.read_bytes()) for path in sorted(Path(task).glob("predictions*.jsonl"))}
        found[f"{task}, scores"] = json.loads(Path(task, "fine_tune_record.json").read_text())["scores"]
    return found


def vectors() -> Values:
    """Embed 500 texts in float32."""
    texts = [text for language in LETTERS for text in sentences(language, 100, seed=2)]
    embedder = mmbert.load_embedder("encoder", dtype="float32", device="cpu")
    return {"vectors": digest(embedder.encode(texts, show_progress_bar=False))}


def merges() -> Values:
    """Merge three variants of the network."""
    for seed, variant in enumerate(variants := ["one", "two", "three"]):
        torch.manual_seed(seed)
        model = mmbert.MmBertForMaskedLM.from_pretrained("encoder")
        model.load_state_dict({name: old + 0.1 * torch.randn_like(old) for name, old in model.state_dict().items()})
        model.save_pretrained(variant)
    ties = mmbert.merge_ties("encoder", variants, "ties", density=0.3, weights=[1.0, 2.0, 0.5])
    average = mmbert.merge_weighted_average(variants, "average", weights=[1.0, 2.0, 0.5])
    return tensors(ties, "ties, ") | tensors(average, "average, ")


def graphs() -> Values:
    """Export ONNX graphs and run them."""
    ids = torch.randint(5, 300, (3, 40), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(40) < torch.tensor([[40], [25], [7]])).long()
    batch = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
    settings, found = onnxruntime.SessionOptions(), {}
    settings.intra_op_num_threads = 1
    for task in ("fill-mask", "embedding"):
        run(*COMMAND, "export", "encoder", task, "--format", "onnx", "--task", task)
        session = onnxruntime.InferenceSession(next(Path(task).rglob("*.onnx")), settings)
        for output, values in zip(session.get_outputs(), session.run(None, batch), strict=True):
            found[f"{task}, {output.name}"] = digest(values)
    return found


def trims() -> Values:
    """Trim the network by command and by function."""
    options = "--corpus corpus --languages rus_Cyrl,ell_Grek --max-tokens 448 --output by-command"
    run(*COMMAND, "trim", "encoder", *options.split())
    mmbert.trim_vocabulary("encoder", sentences("rus_Cyrl", 50, seed=3), "by-function")
    found = {}
    for folder in map(Path, ("by-command", "by-function")):
        found[f"{folder}, tokenizer.json"] = digest((folder / "tokenizer.json").read_bytes())
        found |= tensors(folder, f"{folder}, ")
    return found


def gradients() -> Values:
    """Run the network forward and backward: float32 and bfloat16, padded and packed."""
    draw, lengths, found = torch.Generator().manual_seed(1), [40, 23, 1, 64], {}
    ids = torch.randint(5, 300, (sum(lengths),), generator=draw)
    labels = torch.where(torch.rand(ids.shape, generator=draw) < 0.3, ids, -100)
    rows, real = (pad_sequence(part.split(lengths), batch_first=True) for part in (ids, torch.ones_like(ids)))
    borders = torch.tensor([0, *lengths]).cumsum(0).int()
    padded = pad_sequence(labels.split(lengths), batch_first=True, padding_value=-100)
    batches = {
        "padded": ({"input_ids": rows, "attention_mask": real}, padded),
        "packed": ({"input_ids": ids[None], "cu_seq_lens_q": borders}, labels[None]),
    }
    for dtype in (torch.float32, torch.bfloat16):
        for layout, (batch, targets) in batches.items():
            model = mmbert.MmBertForMaskedLM.from_pretrained("encoder").to(dtype).train()
            (loss := model(**batch, labels=targets).loss).backward()
            label = f"{dtype} {layout}"
            found |= {f"{label}, loss": loss.item(), f"{label}, logits": digest(model(**batch).logits)}
            found |= {f"{label}, gradient of {name}": digest(p.grad) for name, p in model.named_parameters()}
    return found


def record(output: Path) -> None:
    """Compute everything and write it down."""
    items: dict[str, Values] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        prepare()
        for compute in (pretraining, fine_tuning, vectors, merges, graphs, trims, gradients):
            began = time.monotonic()
            items[compute.__name__] = compute()
            print(f"{compute.__name__}: {time.monotonic() - began:.0f} s", flush=True)
    made_by = {"mmbert": mmbert.__file__, **{name: version(name) for name in ("torch", "transformers", "onnxruntime")}}
    output.write_text(json.dumps({"made_by": made_by, "items": items}, indent=1) + "\n", encoding="utf-8")


def compare(one: Path, other: Path) -> None:
    """Print a line an item; exit with 1 if a value differs or is missing on a side."""
    sides = [json.loads(path.read_text(encoding="utf-8")) for path in (one, other)]
    print(*(side["made_by"] for side in sides), sep="\n", end="\n\n")
    print("| item | values | verdict | differing |\n|---|---:|---|---|")
    verdicts = set()
    for item in sides[0]["items"] | sides[1]["items"]:
        first, second = (side["items"].get(item, {}) for side in sides)
        wrong = [name for name in first | second if name not in first or first[name] != second.get(name)]
        verdicts.add("differs" if wrong or not first else "equal")
        print(f"| {item} | {len(first)} | {'differs' if wrong or not first else 'equal'} | {'; '.join(wrong[:3])} |")
    sys.exit(int(verdicts != {"equal"}))


def main() -> None:
    """Record or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["record", "compare"])
    parser.add_argument("files", type=Path, nargs="+", help="the one to write, or the two to compare")
    options = parser.parse_args()
    if len(options.files) != (1 if options.verb == "record" else 2):
        parser.error("record takes one file, compare takes two")
    (record if options.verb == "record" else compare)(*options.files)


if __name__ == "__main__":
    main()
