"""The scores of a query over one page of 8 bits: where a scale per head leaves the loop.

What lesson 15 builds on the way to `step5_quantized`, and no launcher calls it. A score is a sum over the numbers of a
head, and all of them have the same scale:

    sum over d of q[d] * (k8[d] * k_scale) = (sum over d of q[d] * k8[d]) * k_scale

so a page of PAGE * HEAD_DIM numbers is dequantised by PAGE products.
"""

from __future__ import annotations

from kvkernels._triton import tl, triton


@triton.jit
def quantized_scores(
    out, q, k_cache, k_scale, block_table, length, scale,
    Q_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, PAGE: tl.constexpr,
):  # fmt: skip
    """Scores of one query over the 8-bit keys of a sequence; grid (pages of the sequence, Q_HEADS)."""
    page = tl.program_id(0)
    head = tl.program_id(1)
    kv_head = head // (Q_HEADS // KV_HEADS)
    d = tl.arange(0, HEAD_DIM)
    position = page * PAGE + tl.arange(0, PAGE)
    there = position < length
    block = tl.load(block_table + page).to(tl.int64)
    row = (block * PAGE + tl.arange(0, PAGE)) * KV_HEADS + kv_head
    query = tl.load(q + head * HEAD_DIM + d)
    k = tl.load(k_cache + row[:, None] * HEAD_DIM + d[None, :], mask=there[:, None], other=0.0)
    s = tl.sum(query[None, :] * k.to(tl.float32), axis=1)
    s = s * (scale * tl.load(k_scale + kv_head))
    tl.store(out + head * length + position, s, mask=there)
