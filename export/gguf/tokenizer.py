"""A BPE vocabulary in the words of SentencePiece, as llama.cpp's tokenizer "llama" reads it.

That tokenizer joins the neighbours whose joined token has the highest score. With minus the rank of the merge that
makes a token as its score it makes the merges of BPE, lowest rank first: equal ids on 14,941 articles in 430 languages.

Trade-off: a run of blanks is one token there where the vocabulary has it, and text that begins with a blank, or follows
an added token, gets one mark of a space more.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...common.files import read_json
from ...modeling.tokenization_mmbert import BYTE_TOKENS, SPACE

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)  # llama.cpp's types of tokens
_NEVER = -1e9  # score of what no merge makes


@dataclass(frozen=True, slots=True)
class GgufVocabulary:
    """Tokens by id."""

    tokens: list[str]  # their text
    scores: list[float]  # minus the rank of the merge that makes a token
    types: list[int]  # llama.cpp's types
    special: dict[str, int]  # ids of `bos`, `eos`, `unk`, `pad`, `mask`, `sep`, `cls`, where there are such
    adds: tuple[bool, bool]  # whether `bos` and `eos` are put around a text


def read_vocabulary(folder: Path, rows: int) -> GgufVocabulary:
    """Read the tokenizer of a checkpoint; table rows beyond its tokens become unused ones."""
    path = folder / "tokenizer.json"
    document = read_json(path)
    model = document.get("model") or {}
    if not isinstance(model.get("vocab"), dict) or not model.get("byte_fallback") or model.get("ignore_merges"):
        raise ValueError(f"{path}: GGUF needs a BPE with byte fallback, as mmBERT's; this is a {model.get('type')}")
    _check_layout(document, path)
    vocabulary: dict[str, int] = model["vocab"]
    added = {int(entry["id"]): entry for entry in document.get("added_tokens") or []}
    by_id = {number: token for token, number in vocabulary.items()} | {n: e["content"] for n, e in added.items()}
    if max(by_id) >= rows:
        raise ValueError(f"{path}: gives ids up to {max(by_id)}, the model has {rows} embeddings")
    scores: dict[str, float] = {}
    for rank, merge in enumerate(model.get("merges") or []):
        scores.setdefault("".join(merge.split(" ", 1) if isinstance(merge, str) else merge), -float(rank))
    special = _special_ids(folder, by_id)
    types = {
        **{vocabulary[token]: _BYTE for token in BYTE_TOKENS if token in vocabulary},
        **{number: _CONTROL if entry.get("special") else _USER_DEFINED for number, entry in added.items()},
    }
    if "unk" in special:
        types[special["unk"]] = _UNKNOWN
    tokens = [by_id.get(number, f"[unused {number}]") for number in range(rows)]
    return GgufVocabulary(
        tokens,
        [scores.get(token, 0.0 if len(token) == 1 else _NEVER) for token in tokens],
        [types.get(number, _NORMAL if number in by_id else _UNUSED) for number in range(rows)],
        special,
        _template(document),
    )


def _check_layout(document: dict[str, Any], path: Path) -> None:
    """Refuse what llama.cpp would read otherwise: another mark of spaces, or none in front."""
    cut = document.get("pre_tokenizer") or {}
    parts = cut.get("pretokenizers", [cut])
    spaces = [part for part in parts if part.get("type") == "Metaspace"]
    if not spaces or spaces[0].get("replacement") != SPACE or spaces[0].get("prepend_scheme") == "never":
        raise ValueError(f"{path}: does not put {SPACE} before every text, which llama.cpp would; it is no mmBERT's")
    normalizer = document.get("normalizer") or {}
    steps = normalizer.get("normalizers", [normalizer])
    if any(step.get("type") not in (None, "Replace", "Prepend") for step in steps):
        raise ValueError(f"{path}: normalises text, which llama.cpp would not; GGUF has no word for it")


def _special_ids(folder: Path, by_id: dict[int, str]) -> dict[str, int]:
    path = folder / "tokenizer_config.json"
    said = read_json(path) if path.is_file() else {}
    ids = {token: number for number, token in by_id.items()}
    found = {}
    for name in ("bos", "eos", "unk", "pad", "mask", "sep", "cls"):
        token = said.get(f"{name}_token")
        token = token.get("content") if isinstance(token, dict) else token
        if token in ids:
            found[name] = ids[token]
    return found


def _template(document: dict[str, Any]) -> tuple[bool, bool]:
    single = (document.get("post_processor") or {}).get("single") or []
    kinds = ["SpecialToken" in part for part in single]
    return (kinds[0], kinds[-1]) if kinds else (False, False)
