"""The paged KV cache: keys and values in blocks, found through a block table a sequence.

Source of the idea: PagedAttention (Kwon et al., SOSP 2023, section 4.1).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from labkit.attention.backend import kernels_for
from labkit.attention.plan import AttentionPlan, Rectangle, group_by_new, hidden_positions, token_rows
from labkit.engine import Parts, decode_attention, ended_by, kv_cache_manager, own_kernels, prefill_attention
from labkit.observe.events import EventLog


class PagedKVCache:
    """Keys and values of many sequences in blocks of `block_size` tokens.

    This class owns the tensors and moves numbers. It decides nothing about memory: which block holds position 37, which
    is free and what may be used again is known by the manager, which is made of the engine's parts. So a pool that you
    wrote serves the model without a change here.

    Layout: K and V are each one tensor [layers, num_blocks, block_size, kv_heads, head_dim]. `k[layer]` seen as
    [num_blocks * block_size, kv_heads, head_dim] is indexed by slot.

    Args:
        layers, kv_heads, head_dim: of the model.
        num_blocks: blocks of memory.
        block_size: tokens per block.
        dtype, device: of the tensors.
        log: if given, everything that the manager does is recorded there.
        kernels: whether Triton's kernels write and attend, see `labkit.attention.backend`; None where there is a GPU.
        parts: as for `labkit.engine.kv_cache_manager`. Without `prefix_cache`, nothing is kept of who has gone.
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
        log: EventLog | None = None,
        kernels: bool | None = None,
        **parts: Any,
    ) -> None:
        used = parts.pop("parts", None) or Parts(parts.pop("yours", True))
        self.manager = kv_cache_manager(num_blocks, block_size, **{"prefix_cache": None} | parts, parts=used)
        self._decode_attention = decode_attention(parts=used)
        self._prefill_attention = prefill_attention(parts=used)
        self.block_size = self.manager.block_size
        self.num_blocks = self.manager.num_blocks
        self.log = log
        if log is not None:
            from labkit.observe.recorder import record

            self.manager = record(self.manager, log)
        shape = (layers, self.num_blocks, self.block_size, kv_heads, head_dim)
        self.k = torch.zeros(shape, dtype=dtype, device=device)
        self.v = torch.zeros(shape, dtype=dtype, device=device)
        own = own_kernels(used)
        self._kernels = kernels_for(self.k, self.v, kernels, own)
        if self._kernels and own:
            self._kernels.attend = ended_by(used, own, self._kernels.attend)  # type: ignore[method-assign]
            self._kernels.write = ended_by(used, own, self._kernels.write)  # type: ignore[method-assign]

    @property
    def num_bytes(self) -> int:
        """Memory of K and V together, in bytes."""
        return 2 * self.k.numel() * self.k.element_size()

    def lookup(self, prompt: Sequence[int]) -> int:
        """Leading tokens of a prompt whose K and V are here already."""
        return self.manager.lookup(prompt)

    def extend(self, seq: str, tokens: Sequence[int]) -> bool:
        """Make room for more tokens of `seq`; False, and nothing changed, if there are too few blocks.

        A new sequence uses what is here already of its beginning (`lookup`).
        """
        manager = self.manager
        if seq not in manager:
            return bool(manager.allocate(seq, tokens))
        if len(tokens) == 1:
            served = manager.append(seq, tokens[0])
        else:
            served = manager.extend(seq, tokens)
        self.copy(manager.copies)
        manager.copies.clear()
        return served

    def copy(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Copy blocks in every layer, (source, destination) one after the other."""
        for source, own in pairs:
            if self._kernels:
                self._kernels.copy(source, own)
                continue
            self.k[:, own] = self.k[:, source]
            self.v[:, own] = self.v[:, source]

    def length(self, seq: str) -> int:
        """Tokens of `seq` that have room; 0 for a sequence that is not here."""
        return self.manager.num_tokens(seq) if seq in self.manager else 0

    def drop(self, seq: str) -> None:
        """Give the blocks of `seq` back; nothing happens if it has none."""
        if seq in self.manager:
            self.manager.free(seq)

    def plan(self, seqs: Sequence[str], num_new: Sequence[int]) -> AttentionPlan:
        """Work out a step in which the last `num_new[i]` tokens of `seqs[i]` are computed."""
        device = self.k.device
        manager = self.manager
        lengths = [manager.num_tokens(seq) for seq in seqs]
        tables = [manager.blocks(seq) for seq in seqs]
        positions: list[int] = []
        slots: list[int] = []
        starts: list[int] = []
        fresh: list[int] = []
        for seq, blocks, stop, n in zip(seqs, tables, lengths, num_new, strict=True):
            first = stop - n
            starts.append(len(positions))
            positions.extend(range(first, stop))
            slots.extend(manager.slots(seq, first, stop))
            # The blocks whose first slot is written in this step. Their other slots still hold what the last owner
            # left, see `write`.
            fresh.extend(blocks[-(-first // self.block_size) : -(-stop // self.block_size)])

        rectangles = []
        for n, members in group_by_new(num_new):
            longest = max(len(tables[i]) for i in members)
            context = longest * self.block_size
            # Shorter tables are padded with a block of their own: whatever is read there is hidden by the mask,
            # but a number that another request left (a NaN, say) would get through, since 0 * NaN is NaN.
            padded = array("q")  # one buffer: a tensor of lists of lists takes several times as long to make
            for i in members:
                padded.extend(tables[i])
                padded.extend(tables[i][:1] * (longest - len(tables[i])))
            rectangles.append(
                Rectangle(
                    tokens=token_rows(members, starts, n, device),
                    num_seqs=len(members),
                    num_new=n,
                    context=context,
                    where=torch.frombuffer(padded, dtype=torch.int64).view(len(members), longest).to(device),
                    hidden=hidden_positions([lengths[i] for i in members], n, context, device),
                    lengths=torch.tensor([lengths[i] for i in members], device=device),
                )
            )
        return AttentionPlan(
            positions=torch.tensor(positions, device=device),
            slots=torch.tensor(slots, device=device),
            last=torch.tensor([start + n - 1 for start, n in zip(starts, num_new, strict=True)], device=device),
            fresh=torch.tensor(fresh, dtype=torch.int64, device=device),
            rectangles=tuple(rectangles),
        )

    def runs_as_graphs(self, q_heads: int) -> bool:
        """Whether decode steps of a model with so many query heads are launches on a GPU and nothing else."""
        return self._kernels is not None and self.k.is_cuda and self._kernels.knows(q_heads) and not self._by_page()

    def wipe(self, blocks: Tensor) -> None:
        """Zeros in every layer of blocks that change hands, for a step that is written without `fresh`."""
        if len(blocks):
            self.k[:, blocks] = 0
            self.v[:, blocks] = 0

    def write(self, layer: int, plan: AttentionPlan, k: Tensor, v: Tensor) -> None:
        """Scatter the new K and V [tokens, kv_heads, head_dim] of one layer to their slots."""
        if len(plan.fresh):
            # A block that changes hands is wiped, for the reason given in `plan`: one poisoned request must not
            # reach the next owner of its blocks.
            self.k[layer, plan.fresh] = 0
            self.v[layer, plan.fresh] = 0
        if self._kernels:
            self._kernels.write(layer, plan.slots, k, v)
            return
        self.k[layer].flatten(0, 1).index_copy_(0, plan.slots, k)
        self.v[layer].flatten(0, 1).index_copy_(0, plan.slots, v)

    def read(self, layer: int, rectangle: Rectangle) -> tuple[Tensor, Tensor]:
        """Gather K and V through the block tables: each [seqs, context, kv_heads, head_dim], a copy.

        Attention over pages skips this copy and follows the table itself: see `decode`.
        """
        shape = (rectangle.num_seqs, rectangle.context, *self.k.shape[-2:])
        ids = rectangle.where.flatten()
        return self.k[layer].index_select(0, ids).view(shape), self.v[layer].index_select(0, ids).view(shape)

    def decode(self, layer: int, rectangle: Rectangle, q: Tensor) -> Tensor | None:
        """By your `paged_attention` (lesson 10), which reads pages where they lie; where kernels run, by your kernel of
        lessons 11 to 13, or, where there is neither, the course's (`labkit.attention.backend`). Else None.
        """
        if not self._by_page():
            return self._by_kernels(layer, rectangle, q)
        assert self._decode_attention is not None
        out: Tensor = self._decode_attention(q, self.k[layer], self.v[layer], rectangle.where, rectangle.lengths)
        return out

    def prefill(self, layer: int, rectangle: Rectangle, q: Tensor) -> Tensor | None:
        """By your `chunk_prefill` (lesson 14), with the mask of each chunk; by kernels where they run; else None."""
        if self._prefill_attention is None or (self._kernels and self._kernels.owns("prefill")):
            return self._by_kernels(layer, rectangle, q)
        starts = torch.arange(0, len(q) + 1, rectangle.num_new, device=q.device)
        out: Tensor = self._prefill_attention(
            q, self.k[layer], self.v[layer], rectangle.where, rectangle.lengths, starts
        )
        return out

    def _by_page(self) -> bool:
        """Whether the learner's `paged_attention` decodes."""
        return self._decode_attention is not None and not (self._kernels and self._kernels.owns("decode"))

    def _by_kernels(self, layer: int, rectangle: Rectangle, q: Tensor) -> Tensor | None:
        return self._kernels.attend(layer, rectangle, q) if self._kernels else None
