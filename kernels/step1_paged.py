"""Step 1: one program per query head, which follows the block table.

In a decode step each sequence brings one token, so one query per head: q [seqs, q_heads, head_dim]. The keys and values
of its past lie in pages, cache [num_blocks, page, kv_heads, head_dim], and `block_tables[seq]` names the pages in
order. Gathering them into one tensor first would read every byte, write it, and read it again. A kernel needs no copy:
it asks the table where the next page is, and reads it there (PagedAttention, Kwon et al., SOSP 2023, section 4.3).

The grid is (seqs, q_heads). Each program keeps three things in registers while it goes from page to page:

    m    the largest score so far          (a number)
    l    the sum of e^(score - m) so far   (a number)
    acc  the sum of e^(score - m) * value  (head_dim numbers)

When a page brings a larger score, what was summed up under the old maximum is scaled down once; nothing is read twice
(online softmax: Milakov and Gimelshein, 2018, arXiv 1805.02867). At the end acc / l is the answer.

What is not right yet: the query heads of a group read the same keys, each for itself; a page of 16 tokens is the most
that is asked for at once; and a batch of one keeps only q_heads programs busy. Steps 2, 3 and 4.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kvkernels._triton import OPTIONS, tl, triton
from kvkernels.inputs import check_decode, power_of_2, softmax_scale


@triton.jit
def paged_decode_kernel(
    out, q, k_cache, v_cache, block_tables, lengths, max_blocks, scale,
    Q_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr, PAGE: tl.constexpr,
):  # fmt: skip
    seq = tl.program_id(0)
    head = tl.program_id(1)
    kv_head = head // (Q_HEADS // KV_HEADS)
    length = tl.load(lengths + seq)

    # `tl.arange` counts to powers of two only; heads of 80 or 96 are 128 lanes of which some are idle.
    d = tl.arange(0, HEAD_PAD)
    in_head = d < HEAD_DIM
    slot = tl.arange(0, PAGE)
    query = tl.load(q + (seq * Q_HEADS + head) * HEAD_DIM + d, mask=in_head, other=0.0).to(tl.float32)

    m = tl.full([], float("-inf"), tl.float32)
    l = tl.full([], 0.0, tl.float32)
    acc = tl.zeros([HEAD_PAD], tl.float32)
    for first in range(0, length, PAGE):
        # The one indirection that paging costs: which page holds the tokens first, first + 1, ...
        # 64 bits, since a cache has more than 2**31 numbers soon.
        block = tl.load(block_tables + seq * max_blocks + first // PAGE).to(tl.int64)
        row = (block * PAGE + slot) * KV_HEADS + kv_head
        where = row[:, None] * HEAD_DIM + d[None, :]
        # The last page is part-filled, and its other slots hold what somebody left there: they are never read.
        used = first + slot < length
        there = used[:, None] & in_head[None, :]

        # Both are asked for before either is used: the second read does not wait for the arithmetic of the first.
        keys = tl.load(k_cache + where, mask=there, other=0.0).to(tl.float32)
        values = tl.load(v_cache + where, mask=there, other=0.0).to(tl.float32)
        score = tl.where(used, tl.sum(query[None, :] * keys, 1) * scale, float("-inf"))

        new_m = tl.maximum(m, tl.max(score, 0))
        old = tl.exp2(m - new_m)
        p = tl.exp2(score - new_m)
        l = l * old + tl.sum(p, 0)
        acc = acc * old + tl.sum(p[:, None] * values, 0)
        m = new_m

    # A sequence without a token has nothing to look at: its row is 0, not 0 / 0.
    result = acc / tl.where(l > 0, l, 1.0)
    tl.store(out + (seq * Q_HEADS + head) * HEAD_DIM + d, result.to(out.dtype.element_ty), mask=in_head)


def paged_decode(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    *,
    scale: float | None = None,
    validate: bool | None = None,
    kernel: Any = None,
) -> Tensor:
    """Attention of one query a sequence over its pages.

    Args:
        q: [seqs, q_heads, head_dim], float32, float16 or bfloat16.
        k_cache, v_cache: [num_blocks, page, kv_heads, head_dim], dtype of q.
        block_tables: page ids, int32 [seqs, max_blocks]; what lies beyond a length is not read.
        lengths: tokens of each sequence, int32 [seqs].
        scale: factor on the scores; head_dim ** -0.5 by default.
        validate: look at page ids and lengths; None looks on the CPU alone.
        kernel: another kernel with the same parameters in place of this file's.

    Returns:
        [seqs, q_heads, head_dim], dtype of q; zeros where a length is 0.

    Raises:
        KernelInputError, KernelPlatformError: see `kvkernels.inputs.check_decode`.
    """
    shape = check_decode(q, k_cache, v_cache, block_tables, lengths, validate=validate)
    out = torch.empty_like(q)
    if shape.seqs:
        (kernel or paged_decode_kernel)[(shape.seqs, shape.q_heads)](
            out, q, k_cache, v_cache, block_tables, lengths, shape.max_blocks, softmax_scale(scale, shape.head_dim),
            Q_HEADS=shape.q_heads, KV_HEADS=shape.kv_heads, HEAD_DIM=shape.head_dim,
            HEAD_PAD=power_of_2(shape.head_dim), PAGE=shape.page, **OPTIONS,
        )  # fmt: skip
    return out
