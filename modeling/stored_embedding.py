"""An embedding table that stays in the dtype and the place of its file while the network computes in a wider one.

Of 256,000 rows a text reads a few dozen. A table in bf16 that is widened to fp32 takes four bytes a number for all of
them, 0.8 GB in base; one that stays as it was mapped has only the rows in memory that were asked for, and these are
widened on the way: the same numbers. A table in int8 has a scale a row. What sees the whole table (training, a state
dict, other weights) gets it wide.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class StoredEmbedding(nn.Embedding):
    """A table whose rows are widened as they are read.

    Args:
        table: The table as it was loaded.
        into: Dtype of what it gives.
        scale: (rows, 1) fp32, of a table in int8.
    """

    def __init__(self, table: nn.Embedding, into: torch.dtype, scale: Tensor | None = None) -> None:
        nn.Module.__init__(self)
        self.__dict__.update({name: value for name, value in vars(table).items() if not name.startswith("_")})
        self.into, self.scale = into, scale
        if scale is None:
            self.weight = table.weight
        else:
            self.register_buffer("weight", table.weight.data, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """Embed token ids of any shape."""
        rows = super().forward(input)
        return (rows if self.scale is None else rows * self.scale[input]).to(self.into)

    def train(self, mode: bool = True) -> "StoredEmbedding":
        """Widen the table, in the parameter that optimizers know, before it is trained."""
        if mode:
            self._widen()
        return super().train(mode)

    def _widen(self) -> None:
        self.weight.data, self.scale = self._wide(), None

    def _wide(self) -> Tensor:
        rows = self.weight.detach()
        return (rows if self.scale is None else rows * self.scale).to(self.into)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self.into = fn(torch.empty(0, dtype=self.into)).dtype
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        if self.weight.dtype == self.into:
            super()._save_to_state_dict(destination, prefix, keep_vars)
        else:
            destination[prefix + "weight"] = self._wide()

    def _load_from_state_dict(self, *args: Any) -> None:
        self._widen()
        super()._load_from_state_dict(*args)


def widen_all_but_table(model: Any, into: torch.dtype) -> None:
    """Let a network compute in a wider dtype than that of its file, and leave the embedding table in the file."""
    table = model.get_input_embeddings()
    for module in model.modules():
        for parameter in module.parameters(recurse=False) if module is not table else ():
            parameter.data = parameter.data.to(into)
    model.set_input_embeddings(StoredEmbedding(table, into))
    model.config.dtype = into


__all__ = ["StoredEmbedding", "widen_all_but_table"]
