"""The modules of a SentenceTransformer, such as its pooling: folders beside the encoder that go where it goes."""

import shutil
from pathlib import Path
from typing import Any

from ...common.checkpoints.integrity import refuse_pickles
from ...common.files import inside, read_json, read_list, write_json

MODULES = "modules.json"
LENGTH, SETTINGS = "sentence_bert_config.json", "config_sentence_transformers.json"
MODULE_FILES = (MODULES, LENGTH, SETTINGS)
_OLD_NAMES = "sentence_transformers.models."  # versions 5 and 6 both know these; 6 maps them to its own
MODULE_NAMES = ("module_input_name", "module_output_name")  # keys that version 5 does not know
_EMBEDDER_MODULES = ("Transformer", "Pooling", "Dense", "Normalize")
_POOLINGS = {  # of version 6 -> the flag of version 5
    "cls": "cls_token",
    "mean": "mean_tokens",
    "max": "max_tokens",
    "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "weightedmean": "weightedmean_tokens",
    "lasttoken": "lasttoken",
}


def copy_modules(source: Path, target: Path) -> None:
    """Copy the folders that modules.json names; where there is none, do nothing."""
    for name in (module["path"] for module in read_modules(source)):
        if not name or not (source / name).is_dir():
            continue
        inside(source, name, source / MODULES)
        refuse_pickles(source / name)
        shutil.copytree(source / name, target / name)


def read_modules(folder: Path) -> list[dict[str, str]]:
    """Type and path of each module of a SentenceTransformer's modules.json; empty without one."""
    path = folder / MODULES
    if not path.is_file():
        return []
    try:
        return [{"type": str(module["type"]), "path": str(module["path"])} for module in read_list(path)]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: not a list of modules with a type and a path each ({error!r})") from None


def saved_kind(folder: Path) -> str | None:
    """Which class of sentence-transformers saved a folder (version 5 names none); None for a plain checkpoint."""
    if not (folder / MODULES).is_file():
        return None
    said = read_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
    return str(said.get("model_type") or "SentenceTransformer")


def write_old_layout(folder: Path, max_seq_length: int | None) -> None:
    """Rewrite a saved embedder in the form that sentence-transformers 5 and 6 both read, with the same meaning.

    Version 6 saves class names, keys of the pooling and of sentence_bert_config.json that version 5 does not know, and
    no limit of tokens, without which some readers cut at 512. Folders with other modules stay as they are.
    """
    modules = read_list(folder / MODULES)
    kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
    if kinds[:1] != ["Transformer"] or not set(kinds) <= set(_EMBEDDER_MODULES):
        return
    pooled = False
    for module, kind in zip(modules, kinds, strict=True):
        path = folder / module["path"] / "config.json"
        if kind == "Pooling":
            pooled = True
            write_json(path, old_pooling(read_json(path)))
        elif kind != "Transformer" and path.is_file():
            fields = {k: v for k, v in read_json(path).items() if k not in MODULE_NAMES}
            write_json(path, fields)
        module["type"] = f"{_OLD_NAMES}{kind}"
    if pooled:
        write_json(folder / MODULES, modules)
        limit = {} if max_seq_length is None else {"max_seq_length": max_seq_length}
        write_json(folder / LENGTH, {**limit, "do_lower_case": False})


def old_pooling(fields: dict[str, Any]) -> dict[str, Any]:
    """Give the settings of a pooling in the keys of sentence-transformers 5, which version 6 reads too."""
    if "pooling_mode" not in fields:
        return fields
    said = fields["pooling_mode"]
    modes = [said] if isinstance(said, str) else list(said)
    flags = {f"pooling_mode_{flag}": name in modes for name, flag in _POOLINGS.items()}
    width = fields.get("embedding_dimension", fields.get("word_embedding_dimension"))
    return {"word_embedding_dimension": width, **flags, "include_prompt": fields.get("include_prompt", True)}
