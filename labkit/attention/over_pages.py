"""Attention over pages in PyTorch: what the kernels do, for a machine without a GPU.

Each function takes what the kernel of its name takes (`kvkernels.decode`, `kvkernels.prefill`,
`kvkernels.cascade_decode`) and gives the same answer. Sequences that bring the same number of new tokens are attended
as one rectangle: the pages that they see are gathered, those of 8 bits times their scales, and PyTorch's own attention
takes the copy where nothing but a mask is asked of it (`labkit.attention.grouped`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from labkit.attention.grouped import grouped_attention, pack_groups, unpack_groups
from labkit.attention.plan import group_by_new, token_rows
from labkit.attention.states import attend_part, finish, merge

if TYPE_CHECKING:
    from kvkernels.host import SharedPrefix


class Pages(NamedTuple):
    """A cache and where its sequences lie in it.

    Attributes:
        k, v: [num_blocks, page, kv_heads, head_dim].
        tables: block ids, int [seqs, max_blocks]; what stands beyond a length is no block id.
        k_scale, v_scale: float32 [kv_heads], what a number of 8 bits is multiplied by; None for pages of floats.
    """

    k: Tensor
    v: Tensor
    tables: Tensor
    k_scale: Tensor | None = None
    v_scale: Tensor | None = None

    def gather(self, rows: Tensor, first: Tensor, last: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """The pages of sequences `rows` from page `first` to the position before `last`, both int64 [seqs].

        Returns:
            K and V [seqs, context, kv_heads, head_dim] in `dtype`, 0 from `last` on, and the position of each in its
            sequence, int64 [seqs, context].
        """
        page = self.k.shape[1]
        stop = (last + page - 1) // page
        width = max(int((stop - first).max()), 0) if len(rows) else 0
        at = first[:, None] + torch.arange(width, device=first.device)
        there = at < stop[:, None]
        ids = self.tables[rows].long().gather(1, at.clamp(max=max(self.tables.shape[1] - 1, 0))).where(there, 0)
        positions = (at[..., None] * page + torch.arange(page, device=at.device)).flatten(1)
        empty = (positions >= last[:, None]).flatten().nonzero()[:, 0]
        found = []
        for cache, scale in ((self.k, self.k_scale), (self.v, self.v_scale)):
            copy = cache.index_select(0, ids.flatten()).to(dtype)
            if scale is not None:
                copy *= scale.to(dtype)[:, None]
            # What nobody has written is read by no kernel; here it is copied, and may be NaN.
            copy.flatten(0, 1).index_fill_(0, empty, 0)
            found.append(copy.view(*positions.shape, *cache.shape[2:]))
        return found[0], found[1], positions


def prefill(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    starts: Tensor,
    *,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
    window: int | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """Causal attention of the newest tokens of each sequence over its pages; arguments as for `kvkernels.prefill`.

    Returns:
        [tokens, q_heads, head_dim], dtype of q; zeros for a token of a sequence of length 0.
    """
    pages = Pages(k_cache, v_cache, block_tables, k_scale, v_scale)
    out = torch.zeros_like(q)
    begins = starts.tolist()
    # Keys of 8 bits are exact in float32 only once they are multiplied.
    kind = torch.promote_types(q.dtype, torch.float32) if k_scale is not None else q.dtype
    for n, members in group_by_new(starts.diff().tolist()):
        if not n:
            continue
        of = token_rows(members, begins, n, q.device)
        rows = torch.tensor(members, device=q.device)
        last = lengths[rows].long()
        sees = (last - n)[:, None] + torch.arange(n, device=q.device)  # the last position that each token sees
        first = torch.zeros_like(last) if window is None else (sees[:, 0] - window + 1).clamp_min(0)
        keys, values, positions = pages.gather(rows, first // k_cache.shape[1], last, kind)
        hidden = positions[:, None] > sees[..., None]
        if window is not None:
            hidden |= positions[:, None] <= sees[..., None] - window
        asked = q[of].unflatten(0, (len(members), n)).to(kind)
        how = {"scale": scale, "softcap": softcap, "sinks": sinks}
        mask = hidden if bool(hidden.any()) else None
        out[of] = grouped_attention(asked, keys, values, mask, **how).flatten(0, 1).to(q.dtype)
    return out


def decode(q: Tensor, k_cache: Tensor, v_cache: Tensor, block_tables: Tensor, lengths: Tensor, **how: object) -> Tensor:
    """Attention of one query a sequence over its pages; `how` as for `prefill`, which this is with one token each."""
    starts = torch.arange(len(lengths) + 1, device=q.device)
    return prefill(q, k_cache, v_cache, block_tables, lengths, starts, **how)  # type: ignore[arg-type]


def cascade_decode(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    groups: Sequence[SharedPrefix],
    *,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """`decode`, with the leading pages that requests share gathered and attended once for all of them.

    Args:
        groups: from `kvkernels.share_groups`: every sequence in exactly one.
    """
    pages = Pages(k_cache, v_cache, block_tables, k_scale, v_scale)
    kv_heads, scale = k_cache.shape[2], q.shape[-1] ** -0.5 if scale is None else scale
    kind = torch.promote_types(q.dtype, torch.float32)
    out = torch.zeros_like(q)
    for group in groups:
        rows = torch.tensor(group.members, device=q.device)
        last, shared = lengths[rows].long(), group.tokens
        begin = torch.full_like(last, shared)
        keys, values, positions = pages.gather(rows, begin // k_cache.shape[1], last, kind)
        asked = pack_groups(q[rows][:, None], kv_heads)  # [members, kv_heads, group, head_dim]
        beyond = (positions >= last[:, None])[:, None, None]
        state = attend_part(asked, keys.transpose(1, 2), values.transpose(1, 2), beyond, scale=scale)
        if shared:
            one = rows[:1]
            keys, values, _ = pages.gather(one, torch.zeros_like(one), torch.full_like(one, shared), kind)
            stack = asked.transpose(0, 1).flatten(1, 2)  # [kv_heads, members * group, head_dim]
            prefix = attend_part(stack, keys[0].transpose(0, 1), values[0].transpose(0, 1), None, scale=scale)
            apart = (len(rows), asked.shape[2])
            prefix = type(prefix)(*(part.unflatten(1, apart).transpose(0, 1) for part in prefix))
            state = merge([prefix, state])
        out[rows] = unpack_groups(finish(state), 1)[:, 0].to(q.dtype)
    return out
