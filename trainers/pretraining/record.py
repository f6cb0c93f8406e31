"""The run record: everything a card, a table or a picture needs to know of a run, as plain JSON."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

if TYPE_CHECKING:
    from .trainer import MlmTrainer

FILE = "run_record.json"


def run_record(trainer: "MlmTrainer") -> dict[str, Any]:
    """Describe a run from its own history; every rank must call.

    Args:
        trainer: The trainer, after training or at any step of it.

    Returns:
        The record: recipe, model, data, logged steps, language shares, evaluations, seconds and versions.
    """
    stream, history = trainer.stream, trainer.state.log_history
    recipe = stream.recipe.to_dict()
    recipe["phases"] = [
        {**phase.to_dict(), "languages": stream.languages if phase.reads_all else list(phase.languages)}
        for phase in stream.road.phases
    ]
    return {
        "recipe": recipe,
        "variant": stream.variant,
        "model": _model(trainer),
        "data": _data(trainer),
        "steps": [_step(entry) for entry in history if "loss" in entry],
        "shares": _shares(trainer),
        "evaluations": [_evaluation(entry, trainer) for entry in history if "language_loss" in entry],
        "seconds": sum(float(entry.get("train_runtime", 0.0)) for entry in history),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def write_record(record: dict[str, Any], directory: Path) -> Path:
    """Write a record beside the run's model.

    Args:
        record: The record.
        directory: The run's directory.

    Returns:
        The file.
    """
    path = directory / FILE
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def read_group_losses(directory: Path) -> dict[str, float]:
    """Read the held-out losses that a run ended with.

    Args:
        directory: The run's directory.

    Returns:
        Loss by resource group.
    """
    record = json.loads((directory / FILE).read_text(encoding="utf-8"))
    losses: dict[str, float] = record["evaluations"][-1]["group_loss"]
    return losses


def _model(trainer: "MlmTrainer") -> dict[str, Any]:
    config = trainer.model.config
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    return {"parameters": trainer.model.num_parameters(), **{name: getattr(config, name) for name in sizes}}


def _data(trainer: "MlmTrainer") -> dict[str, Any]:
    shards = trainer.stream.shards
    return {
        "sources": shards.index["sources"],
        "fingerprint": shards.fingerprint,
        "skipped": shards.index["skipped"],
        "languages": {
            language: {
                "tokens": shards.token_counts[language],
                "documents": shards.document_counts[language],
                "group": trainer.groups[language],
            }
            for language in shards.languages
        },
    }


def _step(entry: dict[str, Any]) -> dict[str, Any]:
    keys = ("step", "tokens", "tokens_seen", "phase", "loss", "masking_ratio", "learning_rate", "tokens_per_second")
    return {key: entry[key] for key in (*keys, "mfu", "gemm_fraction") if key in entry}


def _shares(trainer: "MlmTrainer") -> dict[str, Any]:
    ledger, counts, stream = trainer.ledger, trainer.ledger_tokens(), trainer.stream
    shares: dict[str, Any] = {}
    for index, (phase, reader) in enumerate(zip(ledger.phases, stream.readers, strict=True)):
        total = max(int(counts[index].sum()), 1)
        shares[phase] = {
            language: {
                "target": target,
                "seen": int(counts[index, ledger.languages.index(language)]) / total,
                "epochs": int(counts[index, ledger.languages.index(language)]) / stream.shards.token_counts[language],
            }
            for language, target in reader.shares.items()
        }
    return shares


def _evaluation(entry: dict[str, Any], trainer: "MlmTrainer") -> dict[str, Any]:
    groups = {key.removeprefix("eval_loss_"): value for key, value in entry.items() if key.startswith("eval_loss_")}
    return {
        "step": entry["step"],
        "tokens": entry.get("tokens", 0),
        "phase": entry.get("phase"),
        "loss": entry["language_loss"],
        "group_loss": groups,
    }
