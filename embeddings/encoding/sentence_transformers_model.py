"""A SentenceTransformer that checks its input, normalises what it gives back, and saves what everybody can load.

Import this file only behind `load_embedder`: it needs sentence-transformers. Five things differ from the class that it
extends. Batches are cut by a budget of tokens instead of a number of rows, and nothing in them is padded. Input that is
not text is refused by row, before any of it is computed. Cut vectors are normalised after the cut (the stock class
normalises before it, so its cut vectors are shorter than 1). A save has `model_type` `modernbert` and stock modules, so
plain sentence-transformers reads it without this package. Weights that were rounded for speed without the user's word
are neither trained (AdamW's small steps vanish in bf16) nor saved.

Trade-off: a save keeps the cut of `dims`; who wants all dimensions again names them when it is loaded.
"""

import json
import logging
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.util.decorators import deprecated_kwargs

from ...common.checkpoints.reader import all_finite
from ...common.checkpoints.writer import atomic_directory
from ...common.files import read_json, write_json
from ...export.modernbert.st_modules import saved_kind, write_old_layout
from ...modeling.configuration_mmbert import MmBertConfig
from ...modeling.int8_format import int8_table
from ...modeling.tokenization_mmbert import save_tokenizer
from .backend import known_device
from .packed import EncodingRecord, can_encode, encode_texts
from .texts import check_text

_log = logging.getLogger(__name__)
_NO_ROW_LIMIT = sys.maxsize
# What sentence-transformers' `encode` resolves before it calls `_inference`.
_RESOLVED = (
    "prompt", "batch_size", "show_progress_bar", "output_value", "save_to_cpu", "normalize_embeddings", "truncate_dim",
)  # fmt: skip
_STOCK_ROWS = 32  # default of sentence-transformers, where it encodes for us


class NonFiniteVector(ValueError):
    """A vector that holds NaN or infinity, of the text `row`."""

    def __init__(self, row: int) -> None:
        self.row = row
        super().__init__(f"the vector of text {row} is not finite; embed in float32")


class Int8Transformer(Transformer):
    """Reads int8 weights into our network, where plain sentence-transformers would have them widened."""

    def _load_config(self, model_name_or_path: str, *args: Any) -> Any:
        return MmBertConfig.from_pretrained(model_name_or_path), False


class Embedder(SentenceTransformer):
    """A SentenceTransformer on the mmBERT network; made by `load_embedder`.

    Attributes:
        normalize: Whether `encode` gives back vectors of length 1 unless it is told otherwise.
        rounded_from: The checkpoint's dtype if `load_embedder` rounded its weights unasked, or to int8, or if it is in
            int8; else None.
        token_budget: Most tokens of a batch; a longer text is a batch of its own. None: what suits the device.
        last_encoding: What the last `encode` in this process did, in tokens; None before it, and where
            sentence-transformers or a pool of processes did it.
    """

    normalize: bool = True
    rounded_from: str | None = None
    token_budget: int | None = None
    last_encoding: EncodingRecord | None = None

    def _load_module_class_from_ref(self, class_ref: str, model_name_or_path: str, *args: Any, **kwargs: Any) -> type:
        found: type = super()._load_module_class_from_ref(class_ref, model_name_or_path, *args, **kwargs)
        settings = Path(model_name_or_path) / "config.json"
        rounded = found is Transformer and settings.is_file() and int8_table(read_json(settings)) is not None
        return Int8Transformer if rounded else found

    @deprecated_kwargs(sentences="inputs")
    def encode(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        *args: Any,
        normalize_embeddings: bool | None = None,
        **options: Any,
    ) -> Any:
        """Turn texts into vectors; see `SentenceTransformer.encode` for the further options.

        Args:
            inputs: One text, or a list of texts. An empty text has a well-defined vector (that of `<bos> <eos>`).
            prompt_name: Name of the prompt to put before every text.
            prompt: The prompt itself.
            batch_size: Most texts of a batch, beside the budget of tokens; None: no limit.
            *args: Further arguments of `SentenceTransformer.encode`, in its order.
            normalize_embeddings: Length 1 or as pooled; None: as the embedder was loaded.
            **options: Further options of `SentenceTransformer.encode`, by name.

        Returns:
            Shape (dimensions,) for one text, (texts, dimensions) for several, in the order of the input.

        Raises:
            ValueError: If something is not a text, or holds half a surrogate pair, or a vector is not finite.
        """
        several = hasattr(inputs, "__iter__") and not isinstance(inputs, str | Mapping)
        texts = list(inputs) if several else [inputs]
        for row, text in enumerate(texts):
            check_text(text, f"row {row}")
        normalize = self.normalize if normalize_embeddings is None else normalize_embeddings
        checked = inputs if isinstance(inputs, str) else texts
        rows = _NO_ROW_LIMIT if batch_size is None else batch_size
        self._refuse_dims(options.get("truncate_dim"))
        self.last_encoding = None
        options["normalize_embeddings"] = normalize
        found = super().encode(checked, prompt_name, prompt, rows, *args, **options)
        _refuse_not_finite(found)  # of a pool, too
        return found

    @deprecated_kwargs(sentences="inputs")
    def encode_query(self, inputs: Any, *args: Any, **options: Any) -> Any:
        """Turn queries into vectors, with the prompt named `query` if there is one; see `encode`."""
        return super().encode_query(inputs, *args, **self._without_row_limit(args, options))

    @deprecated_kwargs(sentences="inputs")
    def encode_document(self, inputs: Any, *args: Any, **options: Any) -> Any:
        """Turn documents into vectors, with a prompt named `document` or like it if there is one; see `encode`."""
        return super().encode_document(inputs, *args, **self._without_row_limit(args, options))

    def start_multi_process_pool(self, target_devices: list[str] | None = None) -> Any:
        """Start a process a device; see `SentenceTransformer.start_multi_process_pool`."""
        for name in target_devices or ():
            known_device(name)
        return super().start_multi_process_pool(target_devices)

    @torch.inference_mode()
    def _inference(self, inputs: list[Any], **options: Any) -> Any:
        """Encode in this process: what `encode` and the workers of a pool call, with all options resolved."""
        named = {name: options.pop(name) for name in _RESOLVED}
        device = options.pop("device", None)
        if named["output_value"] != "sentence_embedding" or not can_encode(self, options):
            named["batch_size"] = _STOCK_ROWS if named["batch_size"] == _NO_ROW_LIMIT else named["batch_size"]
            with _wanting_tokens(self[0]):
                return super()._inference(inputs, device=device, **named, **options)
        self.eval()
        vectors, record = encode_texts(
            self,
            inputs,
            prompt=named["prompt"],
            max_rows=named["batch_size"],
            show_progress=named["show_progress_bar"],
            to_cpu=named["save_to_cpu"],
            normalize=named["normalize_embeddings"],
            dims=named["truncate_dim"],
            device=self._resolve_inference_device(device),
            task=options.get("task"),
        )
        self.last_encoding = record
        if multiprocessing.parent_process() is None:  # an error in a pool's worker would leave its parent waiting
            _refuse_not_finite(vectors)
        if record.cut:
            _log.warning(
                "%d of %d texts had more than %d tokens and were cut there", record.cut, record.texts, record.limit
            )
        return vectors

    @staticmethod
    def _without_row_limit(args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
        """Take the stock default of 32 rows away; batch_size may be the third positional argument."""
        return options if len(args) > 2 else {"batch_size": _NO_ROW_LIMIT, **options}

    def _refuse_dims(self, dims: int | None) -> None:
        with self.truncate_embeddings(None):
            width = self.get_embedding_dimension()
        if dims is not None and width is not None and not 1 <= dims <= width:
            raise ValueError(f"truncate_dim must lie between 1 and the model's {width} dimensions, got {dims}")

    def save(self, path: str, *args: Any, **options: Any) -> None:
        """Save so that plain sentence-transformers loads it; see `SentenceTransformer.save`."""
        self._refuse_if_rounded("saved")
        super().save(path, *args, **options)
        make_portable(Path(path), self.max_seq_length)
        save_tokenizer(self.tokenizer, path)

    def train(self, mode: bool = True) -> Self:
        """Switch to training, or with False to embedding; see `torch.nn.Module.train`."""
        if mode:
            self._refuse_if_rounded("trained")
        super().train(mode)
        return self

    def _refuse_if_rounded(self, done: str) -> None:
        if self.rounded_from == "int8":
            raise ValueError(f"int8 weights are for running only and cannot be {done}; take the checkpoint they are of")
        if self.rounded_from is not None:
            raise ValueError(
                f"the weights were rounded from {self.rounded_from} to embed faster and must not be {done} like that; "
                f'load with load_embedder(..., dtype="{self.rounded_from}")'
            )


def _refuse_not_finite(vectors: Any) -> None:
    """Refuse NaN and infinity before anything is rounded to int8 or kept; other outputs than vectors are left alone."""
    rows = vectors if isinstance(vectors, list) else [vectors]
    first = 0
    for part in rows:
        if isinstance(part, np.ndarray) and part.dtype.kind == "f":
            part = torch.from_numpy(part)
        if not isinstance(part, torch.Tensor) or not part.is_floating_point() or part.is_sparse or part.ndim > 2:
            continue
        flat = part if part.ndim == 2 else part[None]
        if not all_finite(flat):
            raise NonFiniteVector(first + int((~flat.isfinite().all(dim=1)).int().argmax()))
        first += len(flat)


def save_embedder(embedder: SentenceTransformer, output: str | os.PathLike[str]) -> Path:
    """Write an embedder as a folder that is either absent or whole.

    Args:
        embedder: What `load_embedder` gave, tuned or not.
        output: Folder to write; it must not exist, or be empty.

    Returns:
        The folder.

    Raises:
        ValueError: If the folder is in use or cannot be written.
    """
    with atomic_directory(output) as partial:
        # no card here: model_cards writes it from the run's records
        embedder.save_pretrained(str(partial), create_model_card=False)
        make_portable(partial, embedder.max_seq_length)
        save_tokenizer(embedder.tokenizer, partial)
    return Path(output)


def make_portable(folder: Path, max_seq_length: int | None = None) -> None:
    """Rewrite a saved SentenceTransformer for stock ModernBERT and sentence-transformers 5 and 6 to load."""
    if saved_kind(folder) == "SentenceTransformer":
        write_old_layout(folder, max_seq_length)
    path = folder / "config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    if fields.get("model_type") != MmBertConfig.model_type:
        return
    fields["model_type"] = "modernbert"
    fields["architectures"] = ["ModernBertModel"]
    fields["sparse_prediction"] = False  # as in the released configs: stock heads would give no logits
    fields.pop("auto_map", None)
    write_json(path, fields)


def to_float32(module: Any, inputs: Any, features: dict[str, Any]) -> dict[str, Any]:
    """Hand the encoder's vectors on in fp32, so that pooling and normalisation round nothing; a forward hook.

    sentence-transformers rounds what it pooled to the encoder's dtype. Measured with the demo's embedder in bf16, which
    places texts close together: 99 % of 591 texts keep the nearest neighbour that they have in fp32; with vectors that
    were pooled and normalised in bf16, 81 %.

    Args:
        module: The encoder's module.
        inputs: What it was called with.
        features: What it gave back.

    Returns:
        `features`, with fp32 token embeddings.
    """
    features[module.module_output_name] = features[module.module_output_name].float()
    return features


@contextmanager
def _wanting_tokens(module: Any) -> Iterator[None]:
    """Have the graph of an exported encoder give vectors of tokens too; other modules give them anyway."""
    if not hasattr(module, "wants_tokens"):
        yield
        return
    module.wants_tokens = True
    try:
        yield
    finally:
        module.wants_tokens = False
