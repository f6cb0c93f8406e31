"""Reads what a Composer run was started with: its YAML, or FlexBERT's configuration as JSON.

The YAMLs of ModernBERT and mmBERT repeat a value by `${name}`, as OmegaConf reads it; a whole value of that form is
looked up here, so that nothing more has to be installed. Anything cleverer is refused by name.
"""

import re
from pathlib import Path
from typing import Any

from ..modeling.checkpoint import read_json

NEEDED = (
    "num_hidden_layers hidden_size intermediate_size num_attention_heads rotary_emb_base sliding_window "
    "global_attn_every_n_layers head_pred_act hidden_act norm_kwargs"
).split()
_WORDS = ("head_pred_act", "hidden_act")
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_DEPTH = 8  # references to references


def read_run(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a run's YAML and, in it, FlexBERT's configuration; a JSON is the configuration itself.

    Args:
        path: The file.

    Returns:
        Of the data loader the `..._token_id` and `dataset.max_seq_len`, where given; and the configuration.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is damaged, lacks a key, or a value is of another kind.
    """
    import yaml

    if path.suffix == ".json":
        raw: Any = read_json(path)
    elif not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give the YAML that the run was started with")
    else:
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    run = raw if isinstance(raw, dict) else {}
    model = run.get("model")
    flex = (model.get("model_config") if isinstance(model, dict) else None) or raw
    flex = _looked_up(flex, run, path) if flex is not raw else flex
    if not isinstance(flex, dict) or (missing := [key for key in NEEDED if flex.get(key) is None]):
        told = ", ".join(missing) if isinstance(flex, dict) else "model.model_config"
        raise ValueError(f"{path}: lacks {told}; give the YAML that the run was started with")
    for key in NEEDED:
        kind: Any = str if key in _WORDS else dict if key == "norm_kwargs" else (int, float)
        if not isinstance(flex[key], kind):
            wanted = "word" if kind is str else "dict" if kind is dict else "number"
            raise ValueError(f"{path}: {key} is {flex[key]!r}; write a {wanted}")
    loader = run.get("train_loader")
    loader = loader if isinstance(loader, dict) else {}
    dataset = loader.get("dataset")
    length = {"max_seq_len": dataset["max_seq_len"]} if isinstance(dataset, dict) and "max_seq_len" in dataset else {}
    tokens = {key: value for key, value in loader.items() if str(key).endswith("_token_id")}
    return _looked_up({**tokens, "dataset": length}, run, path), flex


def _looked_up(value: Any, run: dict[str, Any], path: Path, depth: int = 0) -> Any:
    if isinstance(value, dict):
        return {key: _looked_up(inner, run, path, depth) for key, inner in value.items()}
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    target: Any = run
    for part in found[1].split("."):
        if not isinstance(target, dict) or part not in target or depth == _DEPTH:
            raise ValueError(f"{path}: {value} leads nowhere; write the value itself")
        target = target[part]
    return _looked_up(target, run, path, depth + 1)
