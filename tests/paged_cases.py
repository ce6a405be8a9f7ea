"""Inputs that are hard on a paged kernel, and the dense attention in float64 that it is held to.

Pages lie shuffled in the cache, every slot that must not be read holds NaN, table entries beyond a length name pages
that do not exist, and results are poisoned before the launch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

GUARD = 2  # pages of NaN in front of and behind those that are used

TOLERANCE = {torch.float32: 3e-6, torch.float16: 3e-3, torch.bfloat16: 2e-2}
"""Largest error against float64, for values of about 1: a rounding of the result, and of each weight in `tl.dot`."""


@dataclass(frozen=True)
class Case:
    q: Tensor
    k_cache: Tensor
    v_cache: Tensor
    block_tables: Tensor
    lengths: Tensor

    @property
    def args(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return self.q, self.k_cache, self.v_cache, self.block_tables, self.lengths

    def keys_and_values(self, seq: int) -> tuple[Tensor, Tensor]:
        """Of one sequence, gathered: each [length, kv_heads, head_dim] in float64."""
        length, page = int(self.lengths[seq]), self.k_cache.shape[1]
        ids = self.block_tables[seq, : -(-length // page)].long()
        return tuple(c[ids].flatten(0, 1)[:length].double() for c in (self.k_cache, self.v_cache))  # type: ignore[return-value]


def make(
    lengths: Sequence[int],
    *,
    page: int = 16,
    q_heads: int = 4,
    kv_heads: int = 2,
    head_dim: int = 64,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    rows: int | None = None,
    shared: int = 0,
) -> Case:
    """A batch of sequences.

    Args:
        rows: queries; one per sequence by default.
        shared: leading pages that all sequences have in common.
    """
    g = torch.Generator().manual_seed(seed)
    blocks = [-(-length // page) for length in lengths]
    own = [max(0, n - shared) for n in blocks]
    total = shared + sum(own) + 2 * GUARD
    order = (torch.randperm(total - 2 * GUARD, generator=g) + GUARD).tolist()
    common, rest = order[:shared], iter(order[shared:])
    tables = torch.full((len(lengths), max([*blocks, 1]) + 1), 2**30, dtype=torch.int32)
    cache = torch.full((2, total, page, kv_heads, head_dim), torch.nan)
    for seq, (length, n) in enumerate(zip(lengths, blocks, strict=True)):
        ids = common[:n] + [next(rest) for _ in range(n - len(common[:n]))]
        tables[seq, :n] = torch.tensor(ids, dtype=torch.int32)
        for at, block in enumerate(ids):
            used = min(page, length - at * page)
            if seq and at < shared:
                continue
            cache[:, block, :used] = torch.randn(2, used, kv_heads, head_dim, generator=g)
    q = torch.randn(len(lengths) if rows is None else rows, q_heads, head_dim, generator=g)
    k, v = cache.to(dtype)
    return Case(q.to(dtype), k.contiguous(), v.contiguous(), tables, torch.tensor(lengths, dtype=torch.int32))


def dense(
    case: Case,
    new: Sequence[int] | None = None,
    *,
    window: int | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """Attention without pages in float64: the newest `new[i]` tokens of each sequence, one by default.

    Returns:
        [sum(new), q_heads, head_dim]; zeros where a sequence has no token.
    """
    group = case.q.shape[1] // case.k_cache.shape[2]
    out = torch.zeros(case.q.shape, dtype=torch.float64)
    row = 0
    for seq, length in enumerate(case.lengths.tolist()):
        n = 1 if new is None else new[seq]
        begin, row = row, row + n
        if not length or not n:
            continue
        keys, values = (x.repeat_interleave(group, 1) for x in case.keys_and_values(seq))
        score = torch.einsum("qhd,lhd->hql", case.q[begin:row].double(), keys) * case.q.shape[2] ** -0.5
        if softcap:
            score = softcap * torch.tanh(score / softcap)
        at, key = torch.arange(length - n, length)[:, None], torch.arange(length)[None]
        seen = (key <= at) & (key > at - (window or length + 1))
        score = score.masked_fill(~seen, -torch.inf)
        if sinks is not None:
            score = torch.cat([score, sinks.double()[:, None, None].expand(-1, n, 1)], -1)
        weights = score.softmax(-1)[..., :length]
        out[begin:row] = torch.einsum("hql,lhd->qhd", weights, values)
    return out


def assert_close(got: Tensor, want: Tensor, dtype: torch.dtype, times: float = 1.0) -> None:
    assert not got.isnan().any(), "a slot that must not be read was read, or a row was not written"
    error = (got.double() - want).abs().max().item() if got.numel() else 0.0
    assert error <= times * TOLERANCE[dtype], f"largest error {error:.2e}, allowed {times * TOLERANCE[dtype]:.0e}"
