"""The tables of `scaling.py`: what a run computes, how long it takes, what a GPU holds and what goes over the wires."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mmbert import MmBertConfig
from training_costs import (
    H100,
    PUBLISHED,
    STATE_BYTES,
    Stage,
    all_reduce_seconds,
    days,
    flops_a_token,
    flops_of,
    implied_mfu,
    memory_a_device,
    parameters,
    step_time,
)

CONFIGS: dict[str, Callable[[], MmBertConfig]] = {"base": MmBertConfig, "small": MmBertConfig.small}
REPORTED_DAYS = {"base": 40.0, "small": 10.0}  # README of the release: 8 H100, "about"
REPORTED_DEVICES = 8
CHECKPOINT_TOKENS = 10e9  # the released YAMLs
CHECKPOINT_TENSORS = ("weights", "StableAdamW moments")


@dataclass(frozen=True, slots=True)
class Speed:
    """A share of the peak, and where it comes from."""

    name: str
    mfu: float


def speeds(size: str, options: argparse.Namespace) -> list[Speed]:
    """Return the speed that the published run implies, and the one asked for."""
    implied = implied_mfu(CONFIGS[size](), PUBLISHED, H100, REPORTED_DEVICES, REPORTED_DAYS[size])
    return [Speed("as published", implied), Speed("assumed", options.mfu)]


def work_table(size: str, stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """Say what is computed, phase by phase."""
    config, found = CONFIGS[size](), []
    for stage in stages:
        whole = flops_a_token(config, stage.context, stage.masked)
        # A sequence of one token has next to no attention; without masks there is no decoder.
        found.append(
            {
                "size": size,
                "phase": stage.name + (f" x {stage.runs}" if stage.runs > 1 else ""),
                "tokens": f"{stage.runs * stage.tokens / 1e9:,.0f}B",
                "steps": f"{stage.steps:,.0f}",
                "GFLOP a token": round(whole / 1e9, 3),
                "decoder": f"{1 - flops_a_token(config, stage.context, 0.0) / whole:.0%}",
                "attention": f"{1 - flops_a_token(config, 1, stage.masked) / whole:.0%}",
                "EFLOP": round(stage.runs * stage.tokens * whole / 1e18),
            }
        )
    return found


def time_table(size: str, stages: Sequence[Stage], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Say how long it takes and what it costs."""
    config, found = CONFIGS[size](), []
    tokens = sum(stage.runs * stage.tokens for stage in stages)
    for devices in options.devices:
        for speed in speeds(size, options):
            length = days(config, stages, H100, devices, speed.mfu)
            hours = 24 * length * devices
            ideal = flops_of(config, stages) / (H100.flops * speed.mfu * devices) / 86_400
            found.append(
                {
                    "size": size,
                    "GPUs": devices,
                    "speed": speed.name,
                    "MFU": f"{speed.mfu:.1%}",
                    "days": round(length, 2),
                    "GPU hours": f"{hours:,.0f}",
                    "cost": f"{hours * options.price:,.0f}",
                    "tokens/s a GPU": f"{tokens / (length * 86_400 * devices):,.0f}",
                    "not computing": f"{1 - ideal / length:.1%}",
                }
            )
    return found


def step_table(size: str, stages: Sequence[Stage], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Take one step of the first phase apart."""
    config, stage, found = CONFIGS[size](), stages[0], []
    for devices in options.devices:
        for speed in speeds(size, options):
            step = step_time(config, stage, H100, devices, speed.mfu)
            found.append(
                {
                    "size": size,
                    "GPUs": devices,
                    "speed": speed.name,
                    "rows a GPU": round(stage.rows / devices, 1),
                    "compute ms": milliseconds(step.compute),
                    "all-reduce ms": milliseconds(all_reduce_seconds(config, H100, devices)),
                    "of it exposed ms": milliseconds(step.exposed),
                    "optimizer ms": milliseconds(step.optimizer),
                    "limit": limit(step.compute, step.exposed, step.optimizer),
                }
            )
    return found


def limit(compute: float, exposed: float, optimizer: float) -> str:
    """Name what a faster GPU would not help against, once it takes a tenth of the step."""
    whole = compute + exposed + optimizer
    largest, name = max((exposed, "gradients on the wire"), (optimizer, "memory rate in the optimizer"))
    return name if largest > 0.1 * whole else "compute"


def milliseconds(seconds: float) -> float:
    """Round for a table."""
    return round(1e3 * seconds, 1)


def memory_table(size: str, stages: Sequence[Stage], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Say what a GPU holds, for the phase that masks most."""
    config, found = CONFIGS[size](), []
    stage = max(stages, key=lambda one: one.masked)
    for sharded in (False, True):
        for checkpointing in (False, True):
            held = memory_a_device(
                config, stage, options.micro_tokens, options.devices[0], sharded=sharded, checkpointing=checkpointing
            )
            states = sum(held[name] for name in STATE_BYTES)
            copies = held["all"] - states - held["activations"] - held["logits"]
            found.append(
                {
                    "size": size,
                    "scheme": f"FSDP2 over {options.devices[0]}" if sharded else "DDP",
                    "checkpointing": "yes" if checkpointing else "no",
                    "states GB": gigabytes(states),
                    "copies, buckets GB": gigabytes(copies),
                    "activations GB": gigabytes(held["activations"]),
                    "logits GB": gigabytes(held["logits"]),
                    "all GB": gigabytes(held["all"]),
                    "fits 80 GB": "yes" if held["all"] < 0.9 * H100.memory else "no",
                }
            )
    return found


def loader_table(size: str, stages: Sequence[Stage], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Say what the stream must deliver, in the phase that reads fastest."""
    config, found = CONFIGS[size](), []
    for speed in speeds(size, options):
        rates = {s.name: H100.flops * speed.mfu / flops_a_token(config, s.context, s.masked) for s in stages}
        name, rate = max(rates.items(), key=lambda item: item[1])
        found.append(
            {
                "size": size,
                "speed": speed.name,
                "phase": name,
                "tokens/s a GPU": f"{rate:,.0f}",
                "tokens/s a node of 8": f"{rate * H100.a_node:,.0f}",
                "cores a node": round(rate * H100.a_node / options.loader_rate, 2),
            }
        )
    return found


def checkpoint_table(size: str, stages: Sequence[Stage], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Say what keeping the state costs: written once, read once for its checksum."""
    config = CONFIGS[size]()
    held = parameters(config) * sum(STATE_BYTES[name] for name in CHECKPOINT_TENSORS)
    seconds = 2 * held / options.disk_rate
    count = sum(stage.runs * stage.tokens for stage in stages) / CHECKPOINT_TOKENS
    fastest = days(config, stages, H100, max(options.devices), options.mfu) * 86_400
    return [
        {
            "size": size,
            "checkpoint GB": gigabytes(held),
            "seconds": round(seconds, 1),
            "checkpoints": round(count),
            f"share of the run, {max(options.devices)} GPUs": f"{count * seconds / (fastest + count * seconds):.1%}",
        }
    ]


def gigabytes(size: float) -> float:
    """Round for a table."""
    return round(size / 1e9, 1)


TABLES: dict[str, tuple[str, Callable[..., list[dict[str, Any]]]]] = {
    "work": ("Work", lambda size, stages, _options: work_table(size, stages)),
    "time": ("Days and cost", time_table),
    "step": ("One step of the first phase", step_table),
    "memory": ("Memory of a GPU", memory_table),
    "loader": ("What the stream must deliver", loader_table),
    "checkpoint": ("Checkpoints", checkpoint_table),
}
