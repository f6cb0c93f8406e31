"""Encodes a few short texts with NumPy alone, for programs that shall answer at once.

Importing torch, transformers and sentence-transformers takes seconds of CPU time, a query some milliseconds. So a query
is computed here: the network of `modeling/modeling_mmbert.py` as plain formulas in fp32, one text at a time, on weights
that are memory-mapped. Who uses it compares it with the loaded embedder first (`agrees`), on texts of many scripts.

Trade-off: only what a saved mmBERT or ModernBERT of one file, with GELU and plain rotary angles, needs, and what a
distilled one has behind its pooling; a long text takes L x L numbers per head. Everything else is for `load_embedder`.
"""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}  # BF16 is the upper half of an F32
_KINDS = re.compile(r"Transformer Pooling( Dense)*( Normalize)?")
_ACTIVATIONS: dict[str, Any] = {"Identity": lambda values: values, "Tanh": np.tanh}
_PROBES = ("Which number is valid?", "red blue house", "ที่นี่มีหนังสือ", "بيت كبير", "大きい家", "नदी \n\t x=1;")
# Largest distance of vectors of length 1: bf16 rounds every activation of a trained network, 0.06 were seen.
_ALIKE = {"float32": 1e-4, "bfloat16": 1e-1, "float16": 1e-2}
_ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)  # Abramowitz and Stegun 7.1.26: 1.5e-7


class NumpyEncoder:
    """An mmBERT or ModernBERT encoder with mean or cls pooling, and dense layers behind it; vectors have length 1.

    Args:
        checkpoint: Folder of the saved encoder or SentenceTransformer.
        pooling: mean or cls.
        dims: Dimensions that are kept.
        max_seq_length: Tokens after which a text is cut.

    Raises:
        ValueError: If the folder holds what is not computed here; `load_embedder` may read it.
    """

    def __init__(self, checkpoint: str | Path, pooling: str, dims: int, max_seq_length: int) -> None:
        from tokenizers import Tokenizer

        folder = _encoder_folder(Path(checkpoint))
        self.pooling, self.dims = pooling, dims
        self._config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._weights = _open_weights(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_seq_length)
        if self._config.get("hidden_activation", "gelu") != "gelu" or pooling not in ("mean", "cls"):
            raise ValueError(f"{folder} needs load_embedder: only GELU and mean or cls pooling are computed here")
        self._kinds = _layer_kinds(self._config)
        self._dense = [
            (_open_weights(one / "model.safetensors"), _ACTIVATIONS[_activation(one)])
            for one in _dense_folders(checkpoint)
        ]

    def encode(self, texts: Sequence[str], *, prompt: str | None = None, **_: Any) -> Floats:
        """Return (texts, dims) vectors, as `load_embedder(...).encode` gives them in fp32."""
        vectors = [self._vector(self._tokenizer.encode((prompt or "") + text).ids) for text in texts]
        return np.stack(vectors) if vectors else np.empty((0, self.dims), np.float32)

    def agrees(self, embedder: Any, prompt: str | None) -> bool:
        """Tell whether the vectors of some texts are those of an embedder, as near as its dtype allows."""
        dtype = str(embedder[0].model.dtype).removeprefix("torch.")
        own = self.encode(_PROBES, prompt=prompt)
        distance = np.linalg.norm(own - embedder.encode(list(_PROBES), prompt=prompt, show_progress_bar=False), axis=1)
        return bool((distance <= _ALIKE.get(dtype, 0)).all())

    def _vector(self, ids: list[int]) -> Floats:
        if not ids:
            return np.zeros(self.dims, np.float32)
        hidden = self._norm("embeddings.norm", _floats(self._weights["embeddings.tok_embeddings.weight"][ids]))
        tables = {kind: _rotation(self._config, kind, len(ids)) for kind in set(self._kinds)}
        distance = np.abs(np.subtract.outer(np.arange(len(ids)), np.arange(len(ids))))
        far = distance > self._config.get("local_attention", 128) // 2
        for number, kind in enumerate(self._kinds):
            name = f"layers.{number}"
            read = self._norm(f"{name}.attn_norm", hidden) if number else hidden
            hidden = hidden + self._attend(f"{name}.attn", read, tables[kind], None if kind[0] == "f" else far)
            inner = self._linear(f"{name}.mlp.Wi", self._norm(f"{name}.mlp_norm", hidden))
            value, gate = np.split(inner, 2, axis=1)
            hidden = hidden + self._linear(f"{name}.mlp.Wo", _gelu(value) * gate)
        tokens = self._norm("final_norm", hidden)
        vector = tokens.mean(axis=0) if self.pooling == "mean" else tokens[0]
        for weights, activation in self._dense:
            vector = _floats(weights["linear.weight"]) @ vector
            vector = activation(vector + _floats(weights["linear.bias"]) if "linear.bias" in weights else vector)
        vector = vector[: self.dims]
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)

    def _attend(self, name: str, hidden: Floats, rotation: tuple[Floats, Floats], far: Any) -> Floats:
        heads = int(self._config["num_attention_heads"])
        qkv = self._linear(f"{name}.Wqkv", hidden).reshape(len(hidden), 3, heads, -1).transpose(1, 2, 0, 3)
        queries, keys = _turn(qkv[0], *rotation), _turn(qkv[1], *rotation)
        scores = queries @ keys.transpose(0, 2, 1) / math.sqrt(queries.shape[-1])
        if far is not None:
            scores[:, far] = -np.inf
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ qkv[2]
        return self._linear(f"{name}.Wo", mixed.transpose(1, 0, 2).reshape(len(hidden), -1))

    def _linear(self, name: str, hidden: Floats) -> Floats:
        return self._plus_bias(name, hidden @ _floats(self._weights[f"{name}.weight"]).T)

    def _norm(self, name: str, hidden: Floats) -> Floats:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._config.get("norm_eps", 1e-5))
        return self._plus_bias(name, centred / scale * _floats(self._weights[f"{name}.weight"]))

    def _plus_bias(self, name: str, found: Floats) -> Floats:
        bias = self._weights.get(f"{name}.bias")
        return found if bias is None else found + _floats(bias)


def proven_encoder(embedder: Any, checkpoint: str | Path, prompt: str | None) -> str | None:
    """Tell by which files `NumpyEncoder` gives the vectors of a loaded embedder; None if it does not."""
    kinds = " ".join(type(module).__name__ for module in embedder)
    if not _KINDS.fullmatch(kinds) or not Path(checkpoint).is_dir():
        return None
    try:
        dims, limit = int(embedder.get_embedding_dimension()), int(embedder.max_seq_length)
        encoder = NumpyEncoder(checkpoint, embedder[1].pooling_mode, dims, limit)
        return files_stamp(checkpoint) if encoder.agrees(embedder, prompt) else None
    except (ValueError, KeyError, TypeError, OSError, IndexError):  # a checkpoint of another shape
        return None


def files_stamp(checkpoint: str | Path) -> str:
    """Sizes and times of change of the files that `NumpyEncoder` reads: equal for files nobody wrote since."""
    folder = _encoder_folder(Path(checkpoint))
    files = [folder / name for name in ("config.json", "model.safetensors", "tokenizer.json")]
    files += [one / "model.safetensors" for one in _dense_folders(checkpoint)]
    found = [one.stat() for one in files]
    return " ".join(f"{one.st_size}:{one.st_mtime_ns}" for one in found)


def _encoder_folder(folder: Path) -> Path:
    modules = _modules(folder)
    return folder / modules[0]["path"] if modules else folder


def _dense_folders(checkpoint: str | Path) -> list[Path]:
    folder = Path(checkpoint)
    return [folder / one["path"] for one in _modules(folder) if one["type"].endswith(".Dense")]


def _activation(dense: Path) -> str:
    name = json.loads((dense / "config.json").read_text(encoding="utf-8"))["activation_function"]
    return str(name).rpartition(".")[2]


def _modules(folder: Path) -> list[dict[str, str]]:
    file = folder / "modules.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []


def _open_weights(path: Path) -> dict[str, Any]:
    """Memory-mapped tensors of a safetensors file by their name in the encoder; those of a head are left out."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    bytes_ = np.memmap(path, np.uint8, "r", offset=8 + length)
    found = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] in _DTYPES:
            start, end = entry["data_offsets"]
            found[name.removeprefix("model.")] = bytes_[start:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return found


def _floats(stored: Any) -> Floats:
    if stored.dtype == np.uint16:
        stored = (stored.astype(np.uint32) << 16).view(np.float32)
    return np.asarray(stored, np.float32)


def _layer_kinds(config: dict[str, Any]) -> list[str]:
    every = config.get("global_attn_every_n_layers", 3)
    plan = ("sliding_attention" if one % every else "full_attention" for one in range(config["num_hidden_layers"]))
    return list(config.get("layer_types") or plan)


def _rotation(config: dict[str, Any], kind: str, length: int) -> tuple[Floats, Floats]:
    """Cosines and sines (length, D / 2) of the rotary angles of a kind of layers."""
    parameters = (config.get("rope_parameters") or {}).get(kind, {})
    if parameters.get("rope_type", "default") != "default" or config.get("rope_scaling"):
        raise ValueError("scaled rotary angles need load_embedder")
    flat = "global_rope_theta" if kind[0] == "f" else "local_rope_theta"
    theta = float(parameters["rope_theta"] if "rope_theta" in parameters else config[flat])
    channels = config["hidden_size"] // config["num_attention_heads"]
    angles = np.arange(length, dtype=np.float32)[:, None] / np.float32(theta) ** (
        np.arange(0, channels, 2, dtype=np.float32) / channels
    )
    return np.cos(angles), np.sin(angles)


def _turn(vectors: Floats, cosine: Floats, sine: Floats) -> Floats:
    first, second = np.split(vectors, 2, axis=-1)
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def _gelu(values: Floats) -> Floats:
    scaled = np.abs(values) / np.float32(math.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * scaled)
    erf = 1 - np.polyval(np.asarray((*_ERF, 0), np.float32), t) * np.exp(-(scaled**2))
    return np.asarray(values * (1 + np.sign(values) * erf) / 2, np.float32)
