"""The run record: everything a card, a table or a picture needs to know of a run, as plain JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers import PreTrainedModel

from ...common.files import read_json, write_json
from ...data.pretraining.dataset import MlmStream

FILE = "run_record.json"


def run_record(
    stream: MlmStream,
    model: PreTrainedModel,
    history: Sequence[Mapping[str, Any]],
    *,
    groups: Mapping[str, str],
    tokens: NDArray[np.int64],
) -> dict[str, Any]:
    """Describe a run from its own history: recipe, model, data, steps, language shares, evaluations, versions."""
    recipe, shards = stream.recipe.to_dict(), stream.shards
    recipe["phases"] = [
        {**phase.to_dict(), "languages": stream.languages if phase.reads_all else list(phase.languages)}
        for phase in stream.schedule.phases
    ]
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    return {
        "recipe": recipe,
        "variant": stream.variant,
        "model": {"parameters": model.num_parameters(), **{name: getattr(model.config, name) for name in sizes}},
        "data": {
            "sources": shards.index["sources"],
            "fingerprint": shards.fingerprint,
            "skipped": shards.index["skipped"],
            "languages": {
                language: {
                    "tokens": shards.token_counts[language],
                    "documents": shards.document_counts[language],
                    "group": groups[language],
                }
                for language in shards.languages
            },
        },
        "steps": [_step(entry) for entry in history if "loss" in entry],
        "shares": _shares(stream, tokens),
        "evaluations": [_evaluation(entry) for entry in history if "language_loss" in entry],
        "seconds": _seconds(history),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def write_record(record: dict[str, Any], directory: Path) -> Path:
    """Write a record into the run's directory."""
    path = directory / FILE
    write_json(path, record, indent=1)
    return path


def read_group_losses(directory: Path) -> dict[str, float]:
    """Read the held-out losses, by resource group, that the run of a directory ended with."""
    losses: dict[str, float] = read_json(directory / FILE)["evaluations"][-1]["group_loss"]
    return losses


def _step(entry: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("step", "tokens", "tokens_seen", "phase", "loss", "masking_ratio", "learning_rate", "tokens_per_second")
    return {key: entry[key] for key in (*keys, "mfu", "gemm_fraction") if key in entry}


def _seconds(history: Sequence[Mapping[str, Any]]) -> float:
    """Sum the time of all steps, those before a resume or a variant's start too; evaluations and saves are no steps."""
    lines = [entry for entry in history if entry.get("tokens_per_second")]
    if not lines:
        return sum(float(entry.get("train_runtime", 0.0)) for entry in history)
    tokens = [0, *(int(entry["tokens"]) for entry in lines)]
    rates = [float(entry["tokens_per_second"]) for entry in lines]
    return sum((end - start) / rate for start, end, rate in zip(tokens, tokens[1:], rates, strict=False))


def _shares(stream: MlmStream, tokens: NDArray[np.int64]) -> dict[str, Any]:
    shares: dict[str, Any] = {}
    for phase, row, reader in zip(stream.schedule.phases, tokens, stream.readers, strict=True):
        read, total = dict(zip(stream.languages, row.tolist(), strict=True)), max(int(row.sum()), 1)
        shares[phase.name] = {
            language: {
                "target": target,
                "seen": read[language] / total,
                "epochs": read[language] / stream.shards.token_counts[language],
            }
            for language, target in reader.shares.items()
        }
    return shares


def _evaluation(entry: Mapping[str, Any]) -> dict[str, Any]:
    groups = {key.removeprefix("eval_loss_"): value for key, value in entry.items() if key.startswith("eval_loss_")}
    return {
        "step": entry["step"],
        "tokens": entry.get("tokens", 0),
        "phase": entry.get("phase"),
        "loss": entry["language_loss"],
        "group_loss": groups,
    }
