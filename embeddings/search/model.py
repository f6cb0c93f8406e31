"""What an index remembers of its model, so that no other model's vectors or queries meet it.

Two models give vectors of the same size that have nothing to do with each other; a search among them finds at random
and says nothing. So an index holds a fingerprint of the weights, and every setting that changes a vector.
"""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...common.messages import name_of, speaks_python

_QUERY, _DOCUMENT = ("query",), ("document", "passage", "corpus")  # names of prompts, as sentence-transformers has them


@dataclass(frozen=True, slots=True)
class IndexModel:
    """The model of an index.

    Attributes:
        fingerprint: Of weights, pooling and vocabulary.
        dimensions: Of a vector.
        dtype: In which the network computes.
        pooling: How tokens become one vector.
        max_seq_length: Tokens after which a text is cut.
        query_prompt: Put before a query; None: nothing.
        document_prompt: Put before a passage; None: nothing.
        source: Options of `load_embedder` that load it again, `checkpoint` among them; None if that is not known.
        stamp: Of its files, if `NumpyEncoder` has been seen to give its vectors; queries then need no torch.
    """

    fingerprint: str
    dimensions: int
    dtype: str
    pooling: str | None
    max_seq_length: int
    query_prompt: str | None
    document_prompt: str | None
    source: dict[str, Any] | None
    stamp: str | None = None

    def check_types(self) -> None:
        """Refuse values that no index was written with."""
        kinds: dict[str, Any] = {
            "fingerprint": str,
            "dimensions": int,
            "dtype": str,
            "max_seq_length": int,
            "source": dict | None,
        }
        kinds |= dict.fromkeys(("pooling", "query_prompt", "document_prompt", "stamp"), str | None)
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name} is {getattr(self, name)!r}")

    @classmethod
    def of(cls, embedder: Any, source: dict[str, Any] | None = None) -> "IndexModel":
        """Describe an embedder, and how to load it again; refuse one whose vectors are not of length 1."""
        from ..encoding.fingerprint import model_fingerprint

        if not getattr(embedder, "normalize", True):
            raise ValueError("an index compares vectors of length 1; load the embedder with normalize=True")
        network = getattr(embedder[0], "model", None)
        return cls(
            fingerprint=model_fingerprint(embedder),
            dimensions=int(embedder.get_embedding_dimension()),
            dtype=str(getattr(network, "dtype", "exported")).removeprefix("torch."),
            pooling=next((module.pooling_mode for module in embedder if hasattr(module, "pooling_mode")), None),
            max_seq_length=int(embedder.max_seq_length),
            query_prompt=_prompt(embedder, _QUERY),
            document_prompt=_prompt(embedder, _DOCUMENT),
            source=source,
        )

    def load(self, checkpoint: str | os.PathLike[str] | None = None, device: str | None = None) -> Any:
        """Load the embedder again, from where it was or from its new place, with the settings of the index."""
        from ..encoding.load import load_embedder

        if checkpoint is None and self.source is None:
            raise ValueError("the index does not know where its model lies; open it with the embedder that made it")
        prompts = {"query": self.query_prompt or "", "document": self.document_prompt or ""}
        settings: dict[str, Any] = {"dims": self.dimensions, "max_seq_length": self.max_seq_length, "prompts": prompts}
        settings["dtype"] = None if self.dtype == "exported" else self.dtype
        settings["pooling"] = self.pooling if self.pooling in ("mean", "cls") else None
        settings |= {**(self.source or {}), **({} if device is None else {"device": device})}
        was = settings.pop("checkpoint", None)
        try:
            return load_embedder(checkpoint if checkpoint is not None else was, **settings)
        except FileNotFoundError as missing:
            if checkpoint is not None:
                raise
            raise FileNotFoundError(
                f"the index was made with {was}, which is not there ({missing}); name its new place (--model)"
            ) from missing

    def proven(self, embedder: Any) -> "IndexModel":
        """The same, with the stamp of its files if queries can be computed without loading it."""
        from ..encoding.numpy_encoder import proven_encoder

        if not self.source or self.source.get("backend", "torch") != "torch":
            return self
        return replace(self, stamp=proven_encoder(embedder, self.source["checkpoint"], self.query_prompt))

    def query_encoder(self, index: Path, checkpoint: str | os.PathLike[str] | None = None) -> Any:
        """What computes vectors of queries at once: a server of the index, or NumPy; None: the model must be loaded."""
        from ..encoding.numpy_encoder import NumpyEncoder, files_stamp
        from .served import find_server

        if (served := find_server(index)) is not None:
            return served
        place = checkpoint if checkpoint is not None else (self.source or {}).get("checkpoint")
        try:
            if self.stamp is None or place is None or files_stamp(Path(place)) != self.stamp:
                return None
            return NumpyEncoder(Path(place), self.pooling or "mean", self.dimensions, self.max_seq_length)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):  # it is said when the model is loaded
            return None

    def refuse_other(self, other: "IndexModel", index: Path, *, adding: bool = False) -> None:
        """Refuse a model whose vectors do not belong among those of the index, naming what differs."""
        if other.dimensions != self.dimensions:
            raise ValueError(
                f"{index} holds vectors of {self.dimensions} dimensions, this embedder gives {other.dimensions}; load "
                f"it with dims={self.dimensions}, or make another index"
            )
        same = ("dtype", "pooling", "fingerprint", "query_prompt")
        for name in (*same, "document_prompt", "max_seq_length") if adding else same:
            was, now = getattr(self, name), getattr(other, name)
            if was != now:
                word = "another model" if name == "fingerprint" else f"{name} {was!r}, this embedder has {now!r}"
                made = f", made from {self.source['checkpoint']}" if self.source else ""
                raise ValueError(f"{index} is the index of {word}{made}; give that embedder, or make another index")

    def check_cut(self, cut: dict[str, int] | None, embedder: Any) -> None:
        """See that a passage fits the model, with its prompt and what begins and ends a text."""
        if cut is None:
            return
        most = self.max_seq_length - len(embedder.tokenizer(self.document_prompt or "")["input_ids"])
        if not 8 <= cut["tokens"] <= most:
            raise ValueError(
                f"{name_of('passage_tokens')} must lie between 8 and {most}, what this model reads, got "
                f"{cut['tokens']}; {'None' if speaks_python() else '0'} embeds whole documents"
            )
        if not 0 <= cut["overlap"] <= cut["tokens"] // 2:
            raise ValueError(
                f"{name_of('overlap')} must lie between 0 and half of the {cut['tokens']} tokens of a passage, got "
                f"{cut['overlap']}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Give back plain values."""
        return asdict(self)


def loaded_from(embedder: Any, source: dict[str, Any] | None) -> tuple[Any, dict[str, Any] | None]:
    """An embedder, loaded if its place was given, and options of `load_embedder` that load it again, or None."""
    if not isinstance(embedder, str | os.PathLike):
        return embedder, source
    from ..encoding.load import load_embedder

    loaded: Any = load_embedder(embedder)
    place = Path(embedder)
    name = str(place.absolute()) if place.exists() else str(embedder)
    return loaded, {"checkpoint": name, "dtype": str(loaded[0].model.dtype).removeprefix("torch.")}


def _prompt(embedder: Any, names: tuple[str, ...]) -> str | None:
    prompts = embedder.prompts or {}
    found = next((prompts[name] for name in names if prompts.get(name)), None)
    return found or prompts.get(embedder.default_prompt_name) or None
