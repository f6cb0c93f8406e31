"""From token vectors to an embedding inside an exported graph: pooling, linear layers, cut, normalisation.

A SentenceTransformer's own modules decide; a plain encoder gets mean pooling and length 1, as `load_embedder` gives.
The cut comes before the normalisation, so cut vectors have length 1 too.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from torch import Tensor, nn
from torch.nn.functional import normalize

from ...common.files import read_json, write_json
from ...common.messages import require_known
from ...modeling.pooling import pool
from ..modernbert.st_modules import LENGTH, MODULES, SETTINGS, read_modules, write_old_layout

_KNOWN = ("Transformer", "Pooling", "Dense", "Normalize")
_ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid")


@dataclass(frozen=True, slots=True)
class EmbeddingHead:
    """How token vectors become one."""

    pooling: Literal["mean", "cls"] = "mean"  # mean over the tokens, or the first
    normalized: bool = True  # whether the result has length 1
    dims: int | None = None  # dimensions kept; None keeps all
    dense: tuple[Path, ...] = ()  # folders of linear layers behind the pooling
    layers: nn.Sequential | None = None  # what they hold, with their activations

    @classmethod
    def read(
        cls,
        folder: Path,
        width: int,
        pooling: str | None = None,
        normalize: bool | None = None,
        dims: int | None = None,
    ) -> "EmbeddingHead":
        """Take what a SentenceTransformer says (plain encoder: mean, length 1), and what the user says of the rest."""
        require_known("pooling", pooling, (None, "mean", "cls"))
        modules = read_modules(folder)
        if dims is None and (folder / SETTINGS).is_file():
            dims = read_json(folder / SETTINGS).get("truncate_dim")
        kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
        if unknown := [kind for kind in kinds if kind not in _KNOWN]:
            raise ValueError(
                f"{folder / 'modules.json'}: {unknown[0]} cannot be exported; known are {', '.join(_KNOWN)}"
            )
        saved = next(
            (_saved_pooling(folder / m["path"]) for m, k in zip(modules, kinds, strict=True) if k == "Pooling"), None
        )
        if any(_leaves_prompts_out(folder / m["path"]) for m, k in zip(modules, kinds, strict=True) if k == "Pooling"):
            raise ValueError(
                f"{folder}: its pooling leaves prompts out, which a graph cannot; export it for feature-extraction"
            )
        if saved is not None and pooling not in (None, saved):
            raise ValueError(f"the saved embedder was tuned with {saved!r} pooling, got {pooling!r}; leave it out")
        dense = tuple(folder / m["path"] for m, kind in zip(modules, kinds, strict=True) if kind == "Dense")
        layers = nn.Sequential(*(layer for path in dense for layer in _dense(path))) if dense else None
        width = int(read_json(dense[-1] / "config.json")["out_features"]) if dense else width
        if dims is not None and not 1 <= dims <= width:
            raise ValueError(f"dims must lie between 1 and the model's {width} dimensions, got {dims}")
        chosen: Any = saved or pooling or "mean"
        normalized = ("Normalize" in kinds or not modules) if normalize is None else normalize
        return cls(chosen, normalized, dims, dense, layers)

    def __call__(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Reduce (B, L, h), zero at padding, under a mask (B, L) to (B, dims)."""
        vector = pool(hidden, self.pooling, mask)
        if self.layers is not None:
            vector = self.layers(vector)
        if self.dims is not None:
            vector = vector[:, : self.dims]
        return normalize(vector, dim=-1) if self.normalized else vector

    def write_modules(self, folder: Path, width: int, saved: dict[str, Any]) -> None:
        """Write the modules as every sentence-transformers reads them, so that its `backend=` finds the graph."""
        names = ["Transformer", "Pooling", *["Dense"] * len(self.dense), *(["Normalize"] if self.normalized else [])]
        modules = [
            {"idx": i, "name": str(i), "path": f"{i}_{name}" if i else "", "type": name} for i, name in enumerate(names)
        ]
        layers = iter(self.dense)
        for module in modules[1:]:
            if module["type"] == "Dense":
                shutil.copytree(next(layers), folder / str(module["path"]))
            else:
                (folder / str(module["path"])).mkdir()
        write_json(folder / "1_Pooling" / "config.json", {"embedding_dimension": width, "pooling_mode": self.pooling})
        write_json(folder / MODULES, modules)
        write_old_layout(folder, saved["max_seq_length"])
        said = {name: saved[name] for name in ("prompts", "default_prompt_name")}
        fields = {"model_type": "SentenceTransformer", "similarity_fn_name": "cosine", "truncate_dim": self.dims}
        write_json(folder / SETTINGS, {**fields, **said})

    def as_fields(self) -> dict[str, Any]:
        """Return the head for the record of an export."""
        return {"pooling": self.pooling, "normalized": self.normalized, "dims": self.dims}


class TokenHead(nn.Module):
    """From token vectors to those of a multi-vector (ColBERT) model: projections and length 1.

    Which tokens a retriever leaves out of a passage (its skip list) is not in the graph.

    Args:
        layers: Linear layers, each with its activation.
        normalized: Whether the results have length 1.
    """

    def __init__(self, layers: list[nn.Module], normalized: bool) -> None:
        super().__init__()
        self.layers, self.normalized = nn.Sequential(*layers), normalized

    @classmethod
    def read(cls, folder: Path) -> "TokenHead":
        """Read the modules behind the encoder."""
        layers: list[nn.Module] = []
        kinds = []
        for module in read_modules(folder)[1:]:
            kinds.append(module["type"].rsplit(".", 1)[-1])
            if kinds[-1] == "Dense":
                layers += _dense(folder / module["path"])
            elif kinds[-1] not in ("MultiVectorMask", "Normalize"):
                raise ValueError(f"{folder / MODULES}: {kinds[-1]} cannot be exported; known are Dense, Normalize")
        return cls(layers, "Normalize" in kinds)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Project (B, L, h) under a mask (B, L) to (B, L, dims), zero at padding."""
        vectors = cast(Tensor, self.layers(hidden))
        vectors = normalize(vectors, dim=-1) if self.normalized else vectors
        return vectors * mask.to(vectors.dtype)[..., None]


def _dense(folder: Path) -> list[nn.Module]:
    from safetensors.torch import load_file

    said, weights = read_json(folder / "config.json"), load_file(folder / "model.safetensors")
    name = str(said.get("activation_function", "")).rsplit(".", 1)[-1]
    if name not in _ACTIVATIONS:
        raise ValueError(f"{folder / 'config.json'}: {name} cannot be exported; known are {', '.join(_ACTIVATIONS)}")
    layer = nn.Linear(said["in_features"], said["out_features"], bias="linear.bias" in weights)
    layer.load_state_dict({key.removeprefix("linear."): value.float() for key, value in weights.items()})
    return [layer, getattr(nn, name)()]


def saved_settings(folder: Path, tokenizer: Any | None, limit: int) -> dict[str, Any]:
    """Read what an embedder does with a text beside its network: prompts, limit of tokens, pooling."""
    said, old = (read_json(folder / name) if (folder / name).is_file() else {} for name in (SETTINGS, LENGTH))
    lengths = (limit, getattr(tokenizer, "model_max_length", None), old.get("max_seq_length"))
    found = {
        "prompts": said.get("prompts") or {},
        "default_prompt_name": said.get("default_prompt_name"),
        "max_seq_length": min(int(length) for length in lengths if length),
    }
    for module in read_modules(folder):
        if module["type"].endswith("Pooling"):
            found["pooling"] = _saved_pooling(folder / module["path"])
            found["include_prompt"] = not _leaves_prompts_out(folder / module["path"])
    return found


def _leaves_prompts_out(folder: Path) -> bool:
    return read_json(folder / "config.json").get("include_prompt") is False


def _saved_pooling(folder: Path) -> str:
    fields = read_json(folder / "config.json")
    modes = [fields["pooling_mode"]] if "pooling_mode" in fields else []
    modes += [name for name in ("mean", "cls") if fields.get(f"pooling_mode_{name}_token{'s' * (name == 'mean')}")]
    others = [key for key, value in fields.items() if key.startswith("pooling_mode_") and value is True]
    if len(modes) != 1 or modes[0] not in ("mean", "cls") or len(others) > 1:
        raise ValueError(f"{folder / 'config.json'}: its pooling cannot be exported; known are mean and cls")
    return str(modes[0])
