"""Training with the embedding rows that occur in the training rows, exactly as with the whole table.

Of the 256,000 rows of mmBERT's table a fine-tuning reads some thousands, yet every row has a gradient, two moments and
a pass of clipping and AdamW per step: a third of the step, and most of the memory. `shrink` puts an `ActiveEmbedding`
in the place of the table. It trains the active rows and keeps the others in a file. That changes no result: the
gradient of a row that does not occur is zero and so are its moments, and decoupled weight decay multiplies it by
1 - rate * decay in each step. These products are made up for when somebody asks for the rows, step by step, so that it
does not matter when that is: 25 ms per step for the whole table, on one core, where the optimizer took a second.

From outside it is the whole table: `state_dict`, and with it checkpoints and pushes, holds all rows, loading takes all
rows, and outside training every token id is embedded. `restore` puts a plain table back.

Trade-off: an optimizer whose update of a zero gradient is not that product (StableAdamW and Adafactor, which scale by
the size of a whole tensor; L2 weight decay) is refused, and so is a table that is also the decoder (masked LM, SPLADE).
"""

import mmap
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .modeling_mmbert import MmBertPreTrainedModel

_ROWS_PER_WRITE = 16_384
_NUMBERS_PER_PASS = 65_536  # fit a second-level cache


class ActiveEmbedding(nn.Embedding):
    """An embedding table of which some rows are trained and the others lie in a file.

    Args:
        table: The whole table.
        token_ids: Ids of the rows to train.
        directory: Where the file of the table lies while this object lives; None: the system's temporary folder.
    """

    token_ids: Tensor
    slots: Tensor

    def __init__(self, table: nn.Embedding, token_ids: Tensor, directory: Path | None = None) -> None:
        nn.Module.__init__(self)
        whole = table.weight.detach()
        self.num_embeddings, self.embedding_dim = whole.shape
        self.padding_idx, self.max_norm, self.norm_type = table.padding_idx, None, 2.0
        self.scale_grad_by_freq = self.sparse = False
        slots = torch.full((len(whole),), -1, dtype=torch.int32, device=whole.device)
        slots[token_ids] = torch.arange(len(token_ids), dtype=torch.int32, device=whole.device)
        self.register_buffer("token_ids", token_ids, persistent=False)
        self.register_buffer("slots", slots, persistent=False)
        self.weight = nn.Parameter(whole[token_ids].clone())
        self.weight.token_ids = token_ids.cpu()  # type: ignore[attr-defined]  # an optimizer's state is saved with them
        self._directory, self._factors = directory, list[float]()  # of weight decay, since the file was written
        self._handle, self._rows = _in_file(whole.split(_ROWS_PER_WRITE), whole, directory)

    def forward(self, input: Tensor) -> Tensor:
        """Embed token ids of any shape; ids whose rows are not active only outside training."""
        places = self.slots[input]
        padding = None if self.padding_idx is None else int(self.slots[self.padding_idx])
        out = functional.embedding(places.clamp(min=0), self.weight, None if padding == -1 else padding)
        absent = places < 0
        if not bool(absent.any()):
            return out
        ids = input[absent]
        if self.training and torch.is_grad_enabled():
            raise ValueError(
                f"token id {int(ids[0])} occurs in a training batch, but not among the trained ids; count "
                "the ids of all training rows, or train the whole table (active_vocabulary=False)"
            )
        return out.masked_scatter(absent[..., None], _decayed(self._rows[ids.cpu()], self._factors).to(out.device))

    @torch.no_grad()
    def whole(self) -> Tensor:
        """Return the table (vocabulary, width) as it is now, on the CPU."""
        table = torch.empty_like(self._rows)
        for part, rows in zip(table.split(_ROWS_PER_WRITE), self._parts(), strict=True):
            part.copy_(rows)
        if self._factors:
            self._handle, self._rows = _in_file(table.split(_ROWS_PER_WRITE), table, self._directory)
            self._factors.clear()
        return table.index_copy_(0, self.token_ids.cpu(), self._trained(table.dtype))

    @torch.no_grad()
    def mapped(self) -> Tensor:
        """Return the table as `whole` does; only rows that somebody reads come from the file into memory."""
        if self._factors:
            self._handle, self._rows = _in_file(self._parts(), self._rows, self._directory)
            self._factors.clear()
        return self._rows.index_copy_(0, self.token_ids.cpu(), self._trained(self._rows.dtype))

    def _trained(self, dtype: torch.dtype) -> Tensor:
        return self.weight.detach().to("cpu", dtype)

    def _parts(self) -> Iterator[Tensor]:
        """Yield the rows of the file, decayed, some at a time; read through the map, all would stay in memory."""
        if self._handle is not None:
            self._handle.seek(0)
        for rows in self._rows.split(_ROWS_PER_WRITE):
            part = rows.clone() if self._handle is None else torch.empty_like(rows)
            if self._handle is not None:
                self._handle.readinto(_bytes_of(part))
            yield _decayed(part, self._factors)

    def __getstate__(self) -> dict[str, Any]:
        """Take the rows along on the way to a copy or another process, which has no handle of the file."""
        return {**self.__dict__, "_handle": None, "_rows": self._rows.clone()}

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """Let inactive rows decay in every step of AdamW (or of Adam or SGD without decay) as all others do."""
        groups = [group for group in optimizer.param_groups if any(p is self.weight for p in group["params"])]
        if not groups:
            raise ValueError("the optimizer was made before the vocabulary was shrunk; shrink the model first")
        if reason := optimizer_obstacle(optimizer, groups[0]):
            raise ValueError(f"{reason}; train the whole table (active_vocabulary=False)")
        (group,) = groups

        def decay(*_: Any) -> None:
            share = float(group["lr"]) * float(group["weight_decay"])
            # Less than that leaves every number as it is.
            if share >= torch.finfo(self.weight.dtype).eps / 4:
                self._factors.append(1 - share)

        optimizer.register_step_post_hook(decay)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination[prefix + "weight"] = self.whole()

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, strict: bool, *lists: Any
    ) -> None:
        missing, _, errors = lists
        whole = state_dict.get(prefix + "weight")
        if whole is None:
            if strict:
                missing.append(prefix + "weight")
        elif whole.shape != (self.num_embeddings, self.embedding_dim):
            expected = (self.num_embeddings, self.embedding_dim)
            errors.append(f"{prefix}weight has shape {tuple(whole.shape)}, the table {expected}")
        else:
            with torch.no_grad():
                self.weight.copy_(whole[self.token_ids.to(whole.device)])
            self._factors.clear()
            table = whole.to(self.weight.dtype)
            self._handle, self._rows = _in_file(table.split(_ROWS_PER_WRITE), table, self._directory)

    def extra_repr(self) -> str:
        """Say the sizes, as nn.Embedding does."""
        return f"{self.num_embeddings}, {self.embedding_dim}, active={len(self.weight)}"


def shrink(model: nn.Module, token_ids: Iterable[int], directory: Path | None = None) -> ActiveEmbedding:
    """Train only some rows of a model's embedding table; before an optimizer is made.

    Args:
        model: An encoder, a head on it, or a model that holds one (a SentenceTransformer).
        token_ids: Ids that occur in the training rows; those of special tokens are added.
        directory: Where the other rows lie meanwhile; None: the system's temporary folder.

    Returns:
        What took the place of the table.

    Raises:
        ValueError: If the result would not be that of training the whole table.
    """
    if reason := model_obstacle(model):
        raise ValueError(f"{reason}; train the whole table (active_vocabulary=False)")
    network = _network(model)
    table = network.get_input_embeddings()
    config = network.config
    names = ("pad", "bos", "eos", "cls", "sep", "mask", "unk")
    special = {getattr(config, f"{name}_token_id", None) for name in names}
    wanted = {int(i) for i in token_ids} | {i for i in special if isinstance(i, int) and 0 <= i < len(table.weight)}
    if wanted and (min(wanted) < 0 or max(wanted) >= len(table.weight)):
        raise ValueError(f"token ids run to {max(wanted)}, the table has {len(table.weight):,} rows")
    active = ActiveEmbedding(table, torch.tensor(sorted(wanted), device=table.weight.device), directory)
    active.train(table.training)
    network.base_model.set_input_embeddings(active)
    return active


def restore(model: nn.Module) -> None:
    """Put the whole table back where `shrink` took it away; harmless elsewhere.

    Args:
        model: As for `shrink`.
    """
    network = _network(model)
    active = network.get_input_embeddings() if network is not None else None
    if not isinstance(active, ActiveEmbedding):
        return
    with torch.device("meta"):
        table = nn.Embedding(active.num_embeddings, active.embedding_dim, active.padding_idx)
    table.weight = nn.Parameter(active.mapped().to(active.weight.device), requires_grad=active.weight.requires_grad)
    table.train(active.training)
    network.base_model.set_input_embeddings(table)


def model_obstacle(model: nn.Module) -> str | None:
    """Say why a model cannot be trained with an active vocabulary; None if it can."""
    network = _network(model)
    if network is None:
        return f"{type(model).__name__} holds no mmBERT encoder"
    table = network.get_input_embeddings()
    if type(table) is not nn.Embedding:
        return f"its embeddings are {type(table).__name__} already"
    if not table.weight.requires_grad:
        return "its embeddings are frozen"
    if table.max_norm is not None or table.sparse or table.scale_grad_by_freq:
        return "its embedding table has rules of its own (max_norm, sparse or scale_grad_by_freq)"
    others = [name for name, p in model.named_parameters(remove_duplicate=False) if p is table.weight]
    if len(others) > 1:
        return f"its decoder reads the whole embedding table ({others[-1]})"
    if type(table.weight) is not nn.Parameter or table.weight.is_meta:
        return "its embedding table is sharded or quantised"
    return None


def optimizer_obstacle(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> str | None:
    """Say why an optimizer trains an active vocabulary otherwise than the whole table; None if it does not."""
    kind = type(optimizer)
    if kind not in (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD):
        return f"{kind.__name__} may change rows without a gradient in ways of its own"
    if group["weight_decay"] and not group.get("decoupled_weight_decay", kind is torch.optim.AdamW):
        return f"the weight decay of {kind.__name__} goes through the gradient"
    return None


def _network(model: nn.Module) -> Any:
    """Find the outermost mmBERT network in a model."""
    return next((module for module in model.modules() if isinstance(module, MmBertPreTrainedModel)), None)


def _decayed(rows: Tensor, factors: list[float]) -> Tensor:
    """Multiply rows by one factor after the other, in place, as the optimizer would have."""
    for part in rows.view(-1).split(_NUMBERS_PER_PASS) if factors else ():
        for factor in factors:
            part.mul_(factor)
    return rows


def _in_file(parts: Iterable[Tensor], like: Tensor, directory: Path | None) -> tuple[Any, Tensor]:
    """Write the parts of a table to a file that vanishes with its handle; return that and the rows, read when asked."""
    handle = tempfile.TemporaryFile(dir=directory)
    for part in parts:
        handle.write(_bytes_of(part.detach().cpu().contiguous()))
    handle.flush()
    mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_COPY)
    return handle, torch.frombuffer(mapped, dtype=like.dtype).view(like.shape)


def _bytes_of(rows: Tensor) -> memoryview:
    return memoryview(cast(Any, rows.view(torch.uint8).numpy())).cast("B")


__all__ = ["ActiveEmbedding", "model_obstacle", "optimizer_obstacle", "restore", "shrink"]
