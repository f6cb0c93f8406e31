"""Tokenizer files that every engine reads alike.

Words are cut before each U+2581, the mark of a space. `Metaspace` says so by `split=true`, which transformers.js,
openvino-tokenizers and llama.cpp leave aside: they read a run of blanks as one token, so indented code gets other ids.
Exports write the same cut as a mark that is put in front and a regular expression, which those engines run too.

Trade-off: two steps for one, some per cent of the tokenizer's time.
"""

import json
from pathlib import Path
from typing import Any

from ...common.files import read_json, write_json
from ...modeling.tokenization_mmbert import SPACE

_WORDS = f"{SPACE}[^{SPACE}]*|[^{SPACE}]+"
_VERSION_5_ONLY = ("backend", "is_local", "local_files_only")  # bookkeeping that version 4 would take for options


def portable_cut(pre_tokenizer: Any) -> Any:
    """Write a pre-tokenizer's cut before every mark so that all engines know it; others stay as they are."""
    if not isinstance(pre_tokenizer, dict):
        return pre_tokenizer
    if pre_tokenizer.get("type") == "Sequence":
        parts = [portable_cut(part) for part in pre_tokenizer.get("pretokenizers", [])]
        flat = [p for part in parts for p in (part["pretokenizers"] if part.get("type") == "Sequence" else [part])]
        return {**pre_tokenizer, "pretokenizers": flat}
    if pre_tokenizer.get("type") != "Metaspace" or pre_tokenizer.get("replacement") != SPACE:
        return pre_tokenizer
    if not pre_tokenizer.get("split", True):
        return pre_tokenizer
    split = {"type": "Split", "pattern": {"Regex": _WORDS}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [{**pre_tokenizer, "split": False}, split]}


def write_portable_cut(path: Path) -> None:
    """Rewrite the cut of a tokenizer.json, if there is one; see `portable_cut`."""
    if not path.is_file():
        return
    document = read_json(path)
    cut = portable_cut(document.get("pre_tokenizer"))
    if cut != document.get("pre_tokenizer"):
        document["pre_tokenizer"] = cut
        path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8", newline="\n")


def check_tokenizer(path: Path, rows: int) -> None:
    """Refuse a tokenizer that gives ids for which the model has no embedding."""
    if not path.is_file():
        return
    tokenizer = read_json(path)
    try:
        vocabulary = tokenizer["model"]["vocab"]  # by token, or a list in the order of ids
        ids = list(vocabulary.values()) if isinstance(vocabulary, dict) else [len(vocabulary) - 1]
        largest = max([*ids, *(token["id"] for token in tokenizer.get("added_tokens") or [])])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: not a tokenizer ({error!r}); save the tokenizer again") from None
    if largest >= rows:
        raise ValueError(
            f"{path}: gives ids up to {largest}, the model has {rows} embeddings; it is the tokenizer of another model"
        )


def rewrite_tokenizer_config(path: Path, max_length: int) -> None:
    """Make tokenizer_config.json, where there is one, readable by transformers 4 and 5 alike."""
    if not path.is_file():
        return
    fields = {key: value for key, value in read_json(path).items() if key not in _VERSION_5_ONLY}
    if isinstance(fields.get("extra_special_tokens"), list):  # version 4 wants a dict there, and this name for a list
        fields["additional_special_tokens"] = fields.pop("extra_special_tokens")
    # Without these, version 4 hands token_type_ids to a model that has none and eats spaces while decoding.
    fields.setdefault("model_input_names", ["input_ids", "attention_mask"])
    fields.setdefault("clean_up_tokenization_spaces", False)
    if not 0 < fields.get("model_max_length", 0) <= max_length:
        fields["model_max_length"] = max_length
    write_json(path, {**fields, "tokenizer_class": "PreTrainedTokenizerFast"})
