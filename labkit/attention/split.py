"""One long context read by many programs: the references of lesson 13, and what a split costs, in counted pages.

A decode step starts a program for each sequence and KV head. One sequence alone keeps as many multiprocessors busy as
there are KV heads. So its context is cut into ranges (`split_ranges`), each is attended by a program of its own, and
what comes out is merged by log-sum-exp (`merge_partials`), as in Flash-Decoding (Dao et al., 2023). The kernel is
`kernels/step4_split.py`, whose `num_splits` is the rule of FlashAttention-3; `choose_splits` is the same thought in
whole pages.

torch is not imported here: a picture asks for the counts alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LEAST_PAGES = 4
"""Pages that a range has at least: a shorter one is read before a second launch has begun."""


def split_ranges(length: int, page: int, splits: int) -> list[tuple[int, int]]:
    """The positions start ... stop - 1 of each of `splits` ranges of one context, cut between pages.

    Args:
        length: tokens of the context, 0 or more.
        page: tokens per page, 1 or more.
        splits: 1 or more. A launch has one number of splits for all its sequences, so a short one has empty ranges.

    Returns:
        `splits` pairs (start, stop) in order, start = stop = length where a range is empty; none has more pages than
        the pages shared by `splits`, rounded up.
    """
    pages = -(-length // page)
    each = -(-pages // splits) * page
    cuts = [min(i * each, length) for i in range(splits + 1)]
    return list(pairwise(cuts))


def pages_in_a_row(programs: int, pages: int, multiprocessors: int, splits: int) -> int:
    """Pages that the busiest multiprocessor reads one after another.

    A wave is as many programs as there are multiprocessors; each lasts as long as the longest range.

    Args:
        programs: of the launch without a split: sequences times KV heads.
        pages: of each context.
    """
    return -(-programs * splits // multiprocessors) * -(-pages // splits)


def choose_splits(programs: int, pages: int, multiprocessors: int) -> int:
    """How many ranges each context of a launch is cut into.

    Returns:
        The fewest ranges with which `pages_in_a_row` is at most a tenth above the least that any number of ranges
        gives, where no range is to have fewer than `LEAST_PAGES` pages; 1 where the context is shorter than two such.
    """
    count = {s: pages_in_a_row(programs, pages, multiprocessors, s) for s in range(1, max(1, pages // LEAST_PAGES) + 1)}
    least = min(count.values())
    return min(s for s, n in count.items() if 10 * n <= 11 * least)


def state_bytes(seqs: int, q_heads: int, head_dim: int, splits: int) -> int:
    """Bytes that a split adds: head_dim + 2 float32 for each query head and range, written and read; 0 without one."""
    return 8 * seqs * q_heads * splits * (head_dim + 2) if splits > 1 else 0


def merge_partials(outs: Tensor, lses: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over several ranges from attention over each of them.

    Args:
        outs: the output of each range, [splits, rows, dv]. That of an empty range may be anything, NaN too.
        lses: log of the sum of exp(score) over each range, [splits, rows]; -inf for an empty one.

    Returns:
        (out [rows, dv], lse [rows]) over all ranges: what one range over all of them gives. Where all are empty, out
        is 0 and lse -inf.
    """
    empty, top = lses.isneginf(), lses.amax(dim=0)
    base = top.masked_fill(top.isneginf(), 0.0)
    weights = (lses - base).exp()
    total = weights.sum(dim=0)
    known = outs.masked_fill(empty[..., None], 0.0)
    out = (weights[..., None] * known).sum(dim=0) / total.clamp(min=1.0)[:, None]  # the largest weight is 1
    return out, base + total.log()


def range_state(scores: Tensor, values: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """(out [rows, dv], lse [rows]) of the positions start ... stop - 1; NaN and -inf where there are none.

    Args:
        scores: [rows, n]. values: [n, dv].
    """
    if start == stop:
        nobody = values.new_full((len(scores), values.shape[1]), float("nan"))
        return nobody, scores.new_full((len(scores),), float("-inf"))
    s = scores[:, start:stop]
    return s.softmax(dim=1) @ values[start:stop], s.logsumexp(dim=1)


def split_attention(scores: Tensor, values: Tensor, ranges: Sequence[tuple[int, int]]) -> Tensor:
    """softmax(scores) @ values, [rows, dv], from ranges that share the positions among them."""
    import torch

    outs, lses = zip(*(range_state(scores, values, *each) for each in ranges), strict=True)
    return merge_partials(torch.stack(outs), torch.stack(lses))[0]
