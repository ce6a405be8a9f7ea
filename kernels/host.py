"""What is worked out before a launch, on the host: who shares a prefix, and the scales of pages in 8 bits.

Torch alone is needed here, so that attention without kernels groups and quantises in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kvkernels.errors import need

LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
"""The largest number that each kind of page can hold."""


@dataclass(frozen=True)
class SharedPrefix:
    """Requests of a batch with the same leading pages.

    Attributes:
        members: their places in the batch.
        tokens: how many leading tokens they share, whole pages; 0 for those who share nothing worth a stack.
    """

    members: tuple[int, ...]
    tokens: int


def share_groups(tables: Sequence[Sequence[int]], lengths: Sequence[int], page: int) -> list[SharedPrefix]:
    """Who of a batch shares a prefix with whom: requests whose first page is the same one.

    Args:
        tables: page ids of each request, in order.
        lengths: tokens of each request; its last page may be part-filled, and only full ones are shared.
        page: tokens per page.

    Returns:
        Each request in exactly one group, those who share nothing together in one with 0 tokens.
    """
    by_first: dict[int, list[int]] = {}
    alone: list[int] = []
    for i, (table, length) in enumerate(zip(tables, lengths, strict=True)):
        if length >= page:
            by_first.setdefault(table[0], []).append(i)
        else:
            alone.append(i)
    groups = []
    for members in by_first.values():
        if len(members) == 1:
            alone += members
            continue
        blocks = min(lengths[i] // page for i in members)
        common = next(
            (at for at in range(blocks) if any(tables[i][at] != tables[members[0]][at] for i in members)), blocks
        )
        groups.append(SharedPrefix(tuple(members), common * page))
    return [*groups, SharedPrefix(tuple(sorted(alone)), 0)] if alone else groups


def head_scales(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The scale of each KV head that just holds the numbers seen.

    Args:
        x: keys or values [tokens, kv_heads, head_dim], those that the scales are measured on.
        dtype: torch.int8 or torch.float8_e4m3fn.

    Returns:
        float32 [kv_heads], positive. Larger numbers that come later are cut to the largest that fits.

    Raises:
        KernelInputError: another dtype, or no token to measure on.
    """
    need(dtype in LARGEST, f"Pages are quantised to int8 or float8_e4m3fn, not to {dtype}.")
    need(x.dim() == 3 and len(x) > 0, f"Scales are measured on [tokens, kv_heads, head_dim]; got {list(x.shape)}.")
    return x.float().abs().amax(dim=(0, 2)).clamp_min(1e-12) / LARGEST[dtype]
