"""One masked-LM training step of each contestant, over one set of weights; run as a program it measures its memory.

The contestants share parameters, gradients and optimizer: the same objects, so that comparing them takes the room of
one.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from mmbert import MmBertConfig, MmBertForMaskedLM
from mmbert.evaluation.efficiency.memory import Peak, measure_peak, peak_in_child, print_peak
from mmbert.evaluation.efficiency.settings import make_batch
from mmbert.evaluation.efficiency.timing import with_threads
from transformers import ModernBertConfig, ModernBertForMaskedLM

OURS, PACKED, DENSE, SPARSE = "mmbert", "mmbert packed", "modernbert dense", "modernbert sparse"
MASKED = 0.3  # the recipe's first phase
QUICK = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 2, "vocab_size": 2000}
# Copies of dense logits that stock holds at once, a generous guess: logits, their fp32 log-softmax, two gradients.
DENSE_COPIES = 4
GIGABYTE = 1e9


@dataclass(frozen=True)
class Step:
    """What one step computes; plain data, so that a child process can be given it."""

    network: str
    size: str = "base"
    dtype: str = "float32"
    rows: int = 2
    length: int = 1024
    checkpointing: bool = False
    adamw: bool = False
    backward: bool = True
    quick: bool = False
    lengths: tuple[int, ...] = ()  # of rows that are not all of `length`
    device: str = "cpu"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Tokens of each row."""
        return tuple(self.lengths) or (self.length,) * self.rows

    def describe(self) -> str:
        """Name the step in a table."""
        work = "step" if self.backward else "forward"
        return f"{work}{', checkpointing' if self.checkpointing else ''}{', AdamW' if self.adamw else ''}"


def build(steps: list[Step]) -> list[tuple[Any, torch.optim.Optimizer | None]]:
    """Build the networks of steps that differ in `network` only, over one set of parameters and one optimizer."""
    torch.manual_seed(0)
    first = steps[0]
    size = MmBertConfig if first.size == "base" else MmBertConfig.small
    config = size(**(QUICK if first.quick else {}))
    dtype = getattr(torch, first.dtype)
    with torch.device(first.device):
        ours = MmBertForMaskedLM._from_config(config, dtype=dtype)
    optimizer = torch.optim.AdamW(ours.parameters(), lr=1e-6) if first.adamw else None
    found = []
    for step in steps:
        model = ours
        if step.network not in (OURS, PACKED):
            with torch.device(step.device):
                model = stock(config, dtype, step.network == SPARSE)
            model.load_state_dict(ours.state_dict(keep_vars=True), assign=True)  # the Parameters themselves
        if step.checkpointing:
            model.gradient_checkpointing_enable()
        found.append((model.train(step.backward), optimizer))
    return found


def stock(config: MmBertConfig, dtype: torch.dtype, sparse: bool) -> Any:
    """Build transformers' own network of the same shape."""
    fields = {**config.to_dict(), "sparse_prediction": sparse}
    fields.pop("model_type")
    return ModernBertForMaskedLM._from_config(ModernBertConfig(**fields), dtype=dtype)


def step_of(step: Step, model: Any, optimizer: torch.optim.Optimizer | None) -> Callable[[], float | None]:
    """Return a call that makes one step on rows of random tokens; its gradients do not outlive it."""
    batch = make_batch(list(step.sizes), model.config.vocab_size, model.config.pad_token_id or 0)
    ids, real = batch.input_ids, batch.attention_mask.bool()
    masked = (torch.rand(ids.shape, generator=torch.Generator().manual_seed(0)) < MASKED) & real
    inputs = {"input_ids": ids.masked_fill(masked, model.config.mask_token_id or 4)}
    inputs["labels"] = ids.masked_fill(~masked, -100)
    if step.network == PACKED:
        inputs = {name: tokens[real].view(1, -1) for name, tokens in inputs.items()}
        inputs["cu_seq_lens_q"] = torch.tensor([0, *step.sizes]).cumsum(0).int()
    elif step.network != OURS or step.lengths:
        inputs["attention_mask"] = batch.attention_mask
    inputs = {name: tokens.to(step.device) for name, tokens in inputs.items()}

    def call() -> float | None:
        if not step.backward:
            with torch.inference_mode():
                model.model(inputs["input_ids"])
            return None
        loss = model(**inputs).loss
        loss.backward()
        if optimizer is not None:
            optimizer.step()
        model.zero_grad(set_to_none=True)
        return float(loss.detach())

    return call


def peak_of(step: Step, threads: int) -> Peak:
    """Measure the peak of one step in a process of its own."""
    require_memory(step)
    return peak_in_child([sys.executable, __file__, json.dumps({"step": asdict(step), "threads": threads})])


def child(step: Step, threads: int) -> None:
    """Measure the step that the parent process asks for."""
    ((model, optimizer),) = build([step])
    with with_threads(threads):
        # Libraries set themselves up, and the optimizer makes its state: neither belongs to the step.
        step_of(replace(step, rows=1, length=16), model, optimizer)()
        print_peak(measure_peak(step_of(step, model, optimizer)))


def memory_needed(step: Step) -> float:
    """Estimate the bytes of a step, on the safe side: weights, gradients, optimizer, activations, dense logits."""
    if step.quick:
        return GIGABYTE
    tokens, wide = sum(step.sizes), 4 if step.dtype == "float32" else 2
    weights = {"base": 308e6, "small": 141e6}[step.size] * wide * (4 if step.adamw else 2)
    layers = (
        {"base": 1.6e6, "small": 0.9e6}[step.size] * tokens * (0.2 if step.checkpointing or not step.backward else 1)
    )
    logits = DENSE_COPIES * 4 * 256_000 * tokens if step.network == DENSE and step.backward else 0.0
    return weights + layers + logits + GIGABYTE


def require_memory(step: Step) -> None:
    """Refuse to start what would push the machine out of memory."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return
    fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
    needed = memory_needed(step)
    free = 1024 * int(fields["MemAvailable"].split()[0])
    if free < needed:
        raise ValueError(
            f"this needs about {needed / GIGABYTE:.0f} GB and {free / GIGABYTE:.0f} GB are free; take fewer --rows, "
            "--sizes small, or leave 'modernbert dense' out of --networks"
        )


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    child(Step(**asked["step"]), asked["threads"])
