"""The batch as one stream of real tokens: padding leaves once, before the embeddings, and returns once, at the end.

Letters in shapes: B rows, L columns of the caller's padded batch; N sequences (= B for padded input); T real tokens.

Sequences lie in the stream in order of length, so that those of equal length are neighbours: attention over whole
sequences then runs on plain views of the stream, one call for every length, without padding and without a mask.
Trade-off: that order needs the lengths on the host, one synchronisation a forward on a GPU; packed input on a
FlashAttention backend, which does not care about order, goes without.

While a graph is traced (`torch.compile`, `torch.export`) nothing is known about the values of a tensor. So padding
stays in the stream there, marked by `keep`, and attention masks it; packed sequences keep the caller's order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch
from torch import Tensor


def tracing() -> bool:
    """Return True while a graph is being recorded, when no value of a tensor may be looked at."""
    return torch.compiler.is_compiling() or bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


@dataclass(frozen=True, slots=True)
class TokenStream:
    """Where every token of the stream came from and where its sequence begins and ends.

    Attributes:
        rows: (T,) index of the sequence a token belongs to, in the caller's order.
        columns: (T,) place of a token in its sequence; a hole in an attention mask leaves a gap.
        cu_seq_lens: (N + 1,) int32, where each sequence of the stream begins, and T.
        max_length: Tokens in the longest sequence.
        groups: (sequences, length) for every run of equally long sequences, in stream order; None if not known.
        shape: (N, width): the rows and columns of the dense form, (B, L) for padded input.
        caller_tokens: Tokens that the caller gave and expects back, padding included.
        source: (T,) index of each token in the caller's flattened input; None if that is the stream already.
        keep: (B, L) bool, False at padding that stayed in the stream; None if none did.
    """

    rows: Tensor
    columns: Tensor
    cu_seq_lens: Tensor
    max_length: int
    groups: tuple[tuple[int, int], ...] | None
    shape: tuple[int, int]
    caller_tokens: int
    source: Tensor | None = None
    keep: Tensor | None = None

    def take(self, tokens: Tensor) -> Tensor:
        """Return the caller's flattened tokens (B * L, ...) as the stream (T, ...)."""
        return tokens if self.source is None else tokens[self.source]

    def restore(self, tokens: Tensor) -> Tensor:
        """Return the stream (T, ...) as the caller's flattened tokens (B * L, ...), with zeros at padding."""
        if self.keep is not None:
            return torch.where(self.keep.view(-1, *[1] * (tokens.dim() - 1)), tokens, 0)
        if self.source is None:
            return tokens
        restored = tokens.new_zeros(self.caller_tokens, *tokens.shape[1:])
        return restored.index_copy(0, self.source, tokens)

    def to_dense(self, tokens: Tensor) -> Tensor:
        """Return the stream (T, ...) as (N, width, ...), with zeros where there is no token."""
        sequences, width = self.shape
        dense = tokens.new_zeros(sequences * width, *tokens.shape[1:]).index_copy(0, self._places(), tokens)
        return dense.view(sequences, width, *tokens.shape[1:])

    def from_dense(self, dense: Tensor) -> Tensor:
        """Return the tokens of (N, width, ...) as the stream (T, ...)."""
        return dense.flatten(0, 1)[self._places()]

    def segments(self) -> Tensor:
        """Return (T,) the sequence of each token, -1 at padding: only tokens of one number may see each other."""
        return self.rows if self.keep is None else torch.where(self.keep.view(-1), self.rows, -1)

    def _places(self) -> Tensor:
        return self.rows * self.shape[1] + self.columns


def stream_of_padded(attention_mask: Tensor | None, batch: int, length: int, device: torch.device) -> TokenStream:
    """The tokens whose `attention_mask` (B, L) is not zero; a row of padding is a sequence of no tokens."""
    if not tracing() and (batch < 1 or length < 1):
        raise ValueError(f"the batch has {batch} rows of {length} tokens; give at least one row of one token")
    if attention_mask is None:
        return _whole_rows(batch, length, device, keep=None)
    if attention_mask.shape != (batch, length):
        raise ValueError(
            f"attention_mask has shape {tuple(attention_mask.shape)} for a batch of {(batch, length)}; "
            "give one number a token, 0 at padding"
        )
    keep = attention_mask.to(device).bool()
    if tracing() or keep.is_meta:
        return _whole_rows(batch, length, device, keep)
    lengths: list[int] = keep.sum(1).tolist()
    if sum(lengths) == batch * length:
        return _whole_rows(batch, length, device, keep=None)
    order = sorted(range(batch), key=lengths.__getitem__)
    lengths = [lengths[row] for row in order]
    rows_in_order = torch.tensor(order, device=device)
    places, columns = keep[rows_in_order].nonzero(as_tuple=True)
    rows = rows_in_order[places]
    return TokenStream(
        rows=rows,
        columns=columns,
        cu_seq_lens=_boundaries(lengths, device),
        max_length=lengths[-1],
        groups=_groups(lengths),
        shape=(batch, length),
        caller_tokens=batch * length,
        source=rows * length + columns,
    )


def stream_of_packed(
    cu_seq_lens: Tensor, max_length: int | None, tokens: int, device: torch.device, *, by_length: bool
) -> TokenStream:
    """Describe sequences that the caller has packed behind each other."""
    if cu_seq_lens.dim() != 1 or len(cu_seq_lens) < 2 or cu_seq_lens.is_floating_point():
        raise ValueError(
            f"cu_seq_lens must be one row of integers from 0 to {tokens}, got {cu_seq_lens.dtype} of shape "
            f"{tuple(cu_seq_lens.shape)}"
        )
    number = len(cu_seq_lens) - 1
    boundaries = cu_seq_lens.to(device, torch.int32)
    if tracing():
        return _traced_packed(boundaries, max_length, tokens)
    order: Sequence[int] = range(number)
    groups = None
    if by_length or max_length is None or not cu_seq_lens.is_cuda:
        ends: list[int] = cu_seq_lens.tolist()
        lengths = [end - start for start, end in pairwise(ends)]
        max_length = _checked_max_length(ends, lengths, max_length, tokens)
        if by_length:
            order = sorted(order, key=lengths.__getitem__)
            groups = _groups([lengths[row] for row in order])
    rows_in_order = torch.tensor(order, device=device)
    starts, sizes = boundaries[:-1].long()[rows_in_order], boundaries.diff().long()[rows_in_order]
    rows = rows_in_order.repeat_interleave(sizes, output_size=tokens)
    stream_starts = sizes.cumsum(0) - sizes
    columns = torch.arange(tokens, device=device) - stream_starts.repeat_interleave(sizes, output_size=tokens)
    same_order = list(order) == list(range(number))
    return TokenStream(
        rows=rows,
        columns=columns,
        cu_seq_lens=boundaries if same_order else torch.nn.functional.pad(sizes.cumsum(0), (1, 0)).int(),
        max_length=max_length,
        groups=groups,
        shape=(number, max_length),
        caller_tokens=tokens,
        source=None if same_order else starts.repeat_interleave(sizes, output_size=tokens) + columns,
    )


def boundaries_of(
    position_ids: Tensor | None, seq_idx: Tensor | None, attention_mask: Tensor | None, shape: Sequence[int]
) -> Tensor | None:
    """Find packed sequences in a row whose caller gave no `cu_seq_lens`, as collators that flatten a batch write it."""
    name, given = ("seq_idx", seq_idx) if seq_idx is not None else ("position_ids", position_ids)
    if given is None:
        return None
    if given.dim() != 2 or given.shape[0] not in (1, shape[0]) or given.shape[1] != shape[1]:
        raise ValueError(f"{name} has shape {tuple(given.shape)} for a batch of {tuple(shape)}")
    if torch.jit.is_tracing() or torch.compiler.is_exporting():  # type: ignore[attr-defined, no-untyped-call]
        raise ValueError(f"an exported graph cannot look for packed sequences in {name}; leave it out")
    found: Tensor | None = _boundaries_in(name, given, attention_mask, shape)
    return found


@torch.compiler.disable  # type: ignore[untyped-decorator]  # looks at values
def _boundaries_in(name: str, given: Tensor, attention_mask: Tensor | None, shape: Sequence[int]) -> Tensor | None:
    rows, length = shape
    ids, owner = given.expand(rows, length), torch.arange(rows, device=given.device)[:, None].expand(rows, length)
    is_padded = attention_mask is not None and not bool(attention_mask.all())
    if attention_mask is not None and is_padded:
        real = attention_mask.to(given.device).bool()
        ids, owner = ids[real], owner[real]
    ids, owner = ids.flatten(), owner.flatten()
    if not len(ids):
        return None
    is_first = torch.nn.functional.pad(owner.diff() != 0, (1, 0), value=True)
    first = ids[is_first][is_first.cumsum(0) - 1]  # of the row, for every token
    steps = torch.nn.functional.pad(ids.diff(), (1, 0), value=1)
    begins = ~is_first & (steps != 0 if name == "seq_idx" else (steps <= 0) & (ids == first))
    remedy = "give one sequence per row, or one row without padding and cu_seq_lens_q"
    if name == "position_ids" and bool((~is_first & (steps < 0) & (ids != first)).any()):
        raise ValueError(
            "position_ids fall within a row, and not to the position where the row starts: whether a new sequence "
            f"begins there is not clear; {remedy}"
        )
    if not bool(begins.any()):
        return None
    if rows != 1 or is_padded:
        batch = "a padded row" if rows == 1 else f"a row of a batch of {rows}"
        raise ValueError(f"several sequences lie in {batch}, as {name} says; {remedy}")
    starts = begins.nonzero()[:, 0]
    return torch.nn.functional.pad(torch.cat((starts, starts.new_tensor([length]))), (1, 0)).int()


def _whole_rows(batch: int, length: int, device: torch.device, keep: Tensor | None) -> TokenStream:
    """Return the stream of B * L tokens from which nothing was removed."""
    return TokenStream(
        rows=torch.arange(batch, device=device)[:, None].expand(batch, length).reshape(-1),
        columns=torch.arange(length, device=device).expand(batch, length).reshape(-1),
        cu_seq_lens=torch.arange(batch + 1, device=device, dtype=torch.int32) * length,
        max_length=length,
        groups=((batch, length),),
        shape=(batch, length),
        caller_tokens=batch * length,
        keep=keep,
    )


def _traced_packed(boundaries: Tensor, max_length: int | None, tokens: int) -> TokenStream:
    """Return the stream of packed sequences without looking at where they begin."""
    places = torch.arange(tokens, device=boundaries.device, dtype=torch.int32)
    rows = torch.searchsorted(boundaries[1:].contiguous(), places, right=True)
    longest = tokens if max_length is None else max_length
    return TokenStream(
        rows=rows,
        columns=places - boundaries[rows],
        cu_seq_lens=boundaries,
        max_length=longest,
        groups=None,
        shape=(len(boundaries) - 1, longest),
        caller_tokens=tokens,
    )


def _boundaries(lengths: list[int], device: torch.device) -> Tensor:
    return torch.tensor([0, *lengths], device=device).cumsum(0).int()


def _groups(lengths: list[int]) -> tuple[tuple[int, int], ...]:
    return tuple((len(list(run)), length) for length, run in groupby(lengths) if length)


def _checked_max_length(ends: list[int], lengths: list[int], max_length: int | None, tokens: int) -> int:
    if ends[0] != 0 or ends[-1] != tokens or min(lengths) < 1:
        raise ValueError(
            f"cu_seq_lens must rise from 0 to {tokens}, the number of packed tokens; got {ends[0]} to {ends[-1]} with "
            f"a shortest sequence of {min(lengths)}"
        )
    longest = max(lengths)
    if max_length is not None and longest > max_length:
        raise ValueError(f"the longest packed sequence has {longest} tokens, max_length_q says {max_length}")
    return longest


def refuse_ids_beyond(what: str, ids: Tensor, size: int) -> None:
    """Refuse ids outside [0, size), where looking is free: on a CPU, not while a graph is traced."""
    if tracing() or ids.device.type != "cpu" or ids.numel() == 0:
        return
    low, high = (int(bound) for bound in torch.aminmax(ids))
    if low < 0 or high >= size:
        raise ValueError(
            f"{what} {low if low < 0 else high} is outside the model's {size} (0 to {size - 1}); "
            "tokenizer, labels and model must belong together"
        )
