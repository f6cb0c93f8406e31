"""The three retrievers as classes whose every save, a trainer's too, plain sentence-transformers loads without mmbert.

Import this file only behind the loaders: it needs sentence-transformers.
"""

import os
from pathlib import Path
from typing import Any

from sentence_transformers import CrossEncoder, MultiVectorEncoder, SparseEncoder

from ...common.files import read_json, read_list, write_json
from ...export.modernbert.st_modules import MODULES, read_modules
from ...modeling.tokenization_mmbert import save_tokenizer
from ..encoding.sentence_transformers_model import make_portable


class _Portable:
    """Gives what sentence-transformers saved stock names of network and modules, and tokenizer files for all."""

    def save(self, path: str | os.PathLike[str], *args: Any, **options: Any) -> None:
        """Save so that plain sentence-transformers loads it; see its `save`."""
        super().save(str(path), *args, **options)  # type: ignore[misc]
        folder = Path(path)
        architectures = read_json(folder / "config.json").get("architectures") or []
        make_portable(folder)
        stock = [name.replace("MmBert", "ModernBert") for name in architectures]
        write_json(folder / "config.json", read_json(folder / "config.json") | {"architectures": stock})
        if any(module["type"].startswith(f"{__package__}.") for module in read_modules(folder)):
            _name_stock_modules(folder / MODULES)
        save_tokenizer(self.tokenizer, folder)  # type: ignore[attr-defined]


class Reranker(_Portable, CrossEncoder):  # type: ignore[misc]
    """A CrossEncoder; made by `load_reranker`."""


class MultiVector(_Portable, MultiVectorEncoder):  # type: ignore[misc]
    """A MultiVectorEncoder; made by `load_multi_vector`."""


class Splade(_Portable, SparseEncoder):  # type: ignore[misc]
    """A SparseEncoder; made by `load_sparse_encoder`."""


def _name_stock_modules(path: Path) -> None:
    from .splade import STOCK_MODULES

    modules = read_list(path)
    for module in modules:
        module["type"] = STOCK_MODULES.get(module["type"].rpartition(".")[2], module["type"])
    write_json(path, modules)
