"""The contiguous KV cache: one unbroken row per sequence, reserved to the maximum length before its first token.

This is how engines kept keys and values before paging (compare `labkit.cache.contiguous.ReserveMax`), and it is
the plain cache that the paged one is tested against.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from labkit.attention.plan import AttentionPlan, Rectangle, group_by_new, hidden_positions, token_rows
from labkit.observe.events import EventLog, Kind


class ContiguousKVCache:
    """Keys and values of at most `max_seqs` sequences of at most `max_tokens` tokens each.

    Layout: K and V are each one tensor [layers, max_seqs, max_tokens, kv_heads, head_dim]. A sequence takes a whole
    row when it comes and gives it back when it leaves; a short one wastes the rest of it meanwhile.

    Args:
        layers, kv_heads, head_dim: of the model.
        max_seqs: rows, and so the most sequences that can be here at once.
        max_tokens: slots per row.
        dtype, device: of the tensors.
        log: if given, reservations and their use are recorded there (slots are counted through all rows).
    """

    def __init__(
        self,
        *,
        layers: int,
        kv_heads: int,
        head_dim: int,
        max_seqs: int,
        max_tokens: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        log: EventLog | None = None,
    ) -> None:
        self.max_seqs = max_seqs
        self.max_tokens = max_tokens
        shape = (layers, max_seqs, max_tokens, kv_heads, head_dim)
        self.k = torch.zeros(shape, dtype=dtype, device=device)
        self.v = torch.zeros(shape, dtype=dtype, device=device)
        self.log = log
        if log is not None:
            log.meta.update(num_slots=max_seqs * max_tokens)
        self._free_rows = list(range(max_seqs))
        self._row: dict[str, int] = {}
        self._length: dict[str, int] = {}

    @property
    def num_bytes(self) -> int:
        """Memory of K and V together, in bytes."""
        return 2 * self.k.numel() * self.k.element_size()

    def lookup(self, prompt: Sequence[int]) -> int:
        """Nothing is kept of whoever has gone."""
        return 0

    def extend(self, seq: str, tokens: Sequence[int]) -> bool:
        """Make room for more tokens of `seq`; False, and nothing changed, if its row or all rows are full."""
        n = len(tokens)
        length = self.length(seq) + n
        if length > self.max_tokens:
            return self._refused(seq, n)
        if seq not in self._row:
            if not self._free_rows:
                return self._refused(seq, self.max_tokens)
            self._row[seq] = self._free_rows.pop(0)
        is_new = seq not in self._length
        self._length[seq] = length
        if self.log is not None:
            first = self._row[seq] * self.max_tokens
            self.log.begin(f"extend({seq}, {n}) -> {length} of {self.max_tokens} reserved slots are used")
            if is_new:
                self.log.emit(Kind.RESERVE, seq, block=first, arg=self.max_tokens)
            self.log.emit(Kind.USE, seq, block=first, arg=length)
        return True

    def length(self, seq: str) -> int:
        """Tokens of `seq` that have room; 0 for a sequence that is not here."""
        return self._length.get(seq, 0)

    def drop(self, seq: str) -> None:
        """Give the row of `seq` back."""
        if seq in self._row:
            row = self._row.pop(seq)
            length = self._length.pop(seq)
            # The next owner masks what it has not written, but a NaN left here would get through the mask, since
            # 0 * NaN is NaN: one poisoned request must not reach another.
            self.k[:, row, :length] = 0
            self.v[:, row, :length] = 0
            self._free_rows.append(row)
            if self.log is not None:
                self.log.begin(f"drop({seq}) -> {self.max_tokens} slots are free again")
                self.log.emit(Kind.RELEASE, seq, block=row * self.max_tokens, arg=self.max_tokens)

    def plan(self, seqs: Sequence[str], num_new: Sequence[int]) -> AttentionPlan:
        """Work out a step in which the last `num_new[i]` tokens of `seqs[i]` are computed."""
        device = self.k.device
        positions: list[int] = []
        slots: list[int] = []
        starts: list[int] = []
        for seq, n in zip(seqs, num_new, strict=True):
            stop = self._length[seq]
            base = self._row[seq] * self.max_tokens
            starts.append(len(positions))
            positions.extend(range(stop - n, stop))
            slots.extend(range(base + stop - n, base + stop))
        rectangles = []
        for n, members in group_by_new(num_new):
            lengths = [self._length[seqs[i]] for i in members]
            context = max(lengths)
            rectangles.append(
                Rectangle(
                    tokens=token_rows(members, starts, n, device),
                    num_seqs=len(members),
                    num_new=n,
                    context=context,
                    where=torch.tensor([self._row[seqs[i]] for i in members], device=device),
                    hidden=hidden_positions(lengths, n, context, device),
                    lengths=torch.tensor(lengths, device=device),
                )
            )
        return AttentionPlan(
            positions=torch.tensor(positions, device=device),
            slots=torch.tensor(slots, device=device),
            last=torch.tensor([start + n - 1 for start, n in zip(starts, num_new, strict=True)], device=device),
            fresh=torch.empty(0, dtype=torch.int64, device=device),
            rectangles=tuple(rectangles),
        )

    def write(self, layer: int, plan: AttentionPlan, k: Tensor, v: Tensor) -> None:
        """Store the new K and V [tokens, kv_heads, head_dim] of one layer."""
        self.k[layer].flatten(0, 1).index_copy_(0, plan.slots, k)
        self.v[layer].flatten(0, 1).index_copy_(0, plan.slots, v)

    def read(self, layer: int, rectangle: Rectangle) -> tuple[Tensor, Tensor]:
        """K and V of the rectangle's rows: each [seqs, context, kv_heads, head_dim]; of one row, without a copy."""
        if rectangle.num_seqs == 1:
            row = int(rectangle.where[0])
            return (
                self.k[layer, row : row + 1, : rectangle.context],
                self.v[layer, row : row + 1, : rectangle.context],
            )
        rows, context = rectangle.where, rectangle.context
        return self.k[layer, :, :context].index_select(0, rows), self.v[layer, :, :context].index_select(0, rows)

    def decode(self, layer: int, rectangle: Rectangle, q: Tensor) -> Tensor | None:
        """None: there are no pages, and a row is read as it is."""
        return None

    def prefill(self, layer: int, rectangle: Rectangle, q: Tensor) -> Tensor | None:
        """None, as `decode`."""
        return None

    def _refused(self, seq: str, wanted: int) -> bool:
        if self.log is not None:
            self.log.begin(f"{seq} wants {wanted} more slots -> no room")
            self.log.emit(Kind.REFUSE, seq, arg=wanted)
        return False
