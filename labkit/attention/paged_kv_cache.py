"""The paged KV cache: keys and values in blocks, found through a block table a sequence.

Source of the idea: PagedAttention (Kwon et al., SOSP 2023, section 4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from labkit.attention.plan import AttentionPlan, Rectangle, group_by_new, hidden_positions, token_rows
from labkit.cache.protocols import BlockPoolLike, BlockTableLike
from labkit.observe.events import EventLog


class PagedKVCache:
    """Keys and values of many sequences in blocks of `block_size` tokens.

    This class owns the tensors and moves numbers. It decides nothing about memory: which block is free is the
    pool's knowledge, which block holds position 37 is the block table's. Both come from outside, so that a pool
    you wrote serves the model without a change here.

    Layout: K and V are each one tensor [layers, num_blocks, block_size, kv_heads, head_dim]. `k[layer]` seen as
    [num_blocks * block_size, kv_heads, head_dim] is indexed by slot.

    Args:
        layers, kv_heads, head_dim: of the model.
        num_blocks: size of the pool; ignored if `pool` is given.
        block_size: tokens a block.
        dtype, device: of the tensors.
        pool: a block pool; the `block_pool` part of the engine if not given.
        table_cls: makes the block table of a new sequence from (pool, block_size); the engine's part if not given.
        log: if given, everything that pool and tables do is recorded there.
    """

    def __init__(
        self,
        *,
        layers: int,
        kv_heads: int,
        head_dim: int,
        num_blocks: int,
        block_size: int = 16,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        pool: BlockPoolLike | None = None,
        table_cls: Callable[[BlockPoolLike, int], BlockTableLike] | None = None,
        log: EventLog | None = None,
    ) -> None:
        self.pool = pool if pool is not None else _part("block_pool")(num_blocks)
        self._make_table = table_cls if table_cls is not None else _part("block_table")
        self.block_size = block_size
        self.num_blocks = self.pool.num_blocks
        self.log = log
        if log is not None:
            from labkit.observe.record import RecordingPool

            log.meta.update(num_blocks=self.num_blocks, block_size=block_size)
            self.pool = RecordingPool(self.pool, log)
        shape = (layers, self.num_blocks, block_size, kv_heads, head_dim)
        self.k = torch.zeros(shape, dtype=dtype, device=device)
        self.v = torch.zeros(shape, dtype=dtype, device=device)
        self.tables: dict[str, BlockTableLike] = {}
        """The block table of each sequence. A scheduler that keeps its own tables may put them here."""

    @property
    def num_bytes(self) -> int:
        """Memory of K and V together, in bytes."""
        return 2 * self.k.numel() * self.k.element_size()

    def extend(self, seq: str, n: int) -> bool:
        """Make room for `n` more tokens of `seq`; False, and nothing changed, if the pool has too few blocks."""
        table = self.tables.get(seq)
        if table is None:
            table = self._new_table(seq)
            if not table.append(n):
                return False
            self.tables[seq] = table
            return True
        return bool(table.append(n))

    def length(self, seq: str) -> int:
        """Tokens of `seq` that have room; 0 for a sequence that is not here."""
        return self.tables[seq].num_tokens if seq in self.tables else 0

    def drop(self, seq: str) -> None:
        """Give the blocks of `seq` back to the pool."""
        if seq in self.tables:
            self.tables[seq].release()
            del self.tables[seq]

    def plan(self, seqs: Sequence[str], num_new: Sequence[int]) -> AttentionPlan:
        """Work out a step in which the last `num_new[i]` tokens of `seqs[i]` are computed."""
        device = self.k.device
        tables = [self.tables[seq] for seq in seqs]
        positions: list[int] = []
        slots: list[int] = []
        starts: list[int] = []
        fresh: list[int] = []
        for table, n in zip(tables, num_new, strict=True):
            first, stop = table.num_tokens - n, table.num_tokens
            starts.append(len(positions))
            positions.extend(range(first, stop))
            slots.extend(table.slots(first, stop))
            # The blocks whose first slot is written in this step. Their other slots still hold what the last owner
            # left, see `write`.
            fresh.extend(table.blocks[-(-first // self.block_size) : -(-stop // self.block_size)])

        rectangles = []
        for n, members in group_by_new(num_new):
            blocks = [list(tables[i].blocks) for i in members]
            longest = max(len(ids) for ids in blocks)
            context = longest * self.block_size
            lengths = [tables[i].num_tokens for i in members]
            # Shorter tables are padded with a block of their own: whatever is read there is hidden by the mask,
            # but a number that another request left (a NaN, say) would get through, since 0 * NaN is NaN.
            padded = [ids + ids[:1] * (longest - len(ids)) for ids in blocks]
            rectangles.append(
                Rectangle(
                    tokens=token_rows(members, starts, n, device),
                    num_seqs=len(members),
                    num_new=n,
                    context=context,
                    where=torch.tensor(padded, dtype=torch.int64, device=device),
                    hidden=hidden_positions(lengths, n, context, device),
                )
            )
        return AttentionPlan(
            positions=torch.tensor(positions, device=device),
            slots=torch.tensor(slots, device=device),
            last=torch.tensor([start + n - 1 for start, n in zip(starts, num_new, strict=True)], device=device),
            fresh=torch.tensor(fresh, dtype=torch.int64, device=device),
            rectangles=tuple(rectangles),
        )

    def write(self, layer: int, plan: AttentionPlan, k: Tensor, v: Tensor) -> None:
        """Scatter the new K and V [tokens, kv_heads, head_dim] of one layer to their slots."""
        if len(plan.fresh):
            # A block that changes hands is wiped, for the reason given in `plan`: one poisoned request must not
            # reach the next owner of its blocks.
            self.k[layer, plan.fresh] = 0
            self.v[layer, plan.fresh] = 0
        self.k[layer].flatten(0, 1).index_copy_(0, plan.slots, k)
        self.v[layer].flatten(0, 1).index_copy_(0, plan.slots, v)

    def read(self, layer: int, rectangle: Rectangle) -> tuple[Tensor, Tensor]:
        """Gather K and V through the block tables: each [seqs, context, kv_heads, head_dim], a copy.

        A kernel made for pages skips this copy and follows the table itself (lessons 10 to 13).
        """
        shape = (rectangle.num_seqs, rectangle.context, *self.k.shape[-2:])
        ids = rectangle.where.flatten()
        return self.k[layer].index_select(0, ids).view(shape), self.v[layer].index_select(0, ids).view(shape)

    def _new_table(self, seq: str) -> BlockTableLike:
        table = self._make_table(self.pool, self.block_size)
        if self.log is None:
            return table
        from labkit.observe.record import RecordingTable

        return RecordingTable(table, self.log, seq)


def _part(slot: str) -> Callable[..., Any]:
    """What stands in a slot of the engine: yours if it passed its check, else the reference."""
    # Imported late: `labkit.parts` may in turn look at code that imports torch.
    from labkit import parts

    return parts.get(slot)
