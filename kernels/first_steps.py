"""Three kernels before the first that attends: a masked copy, one page, and the scores of a query over one page.

They are what lesson 11 builds, and no launcher calls them.
"""

from __future__ import annotations

from kvkernels._triton import tl, triton


@triton.jit
def copy_masked(out, src, n, BLOCK: tl.constexpr):
    """Copy the first n numbers of src to out, BLOCK of them per program; grid (cdiv(n, BLOCK),)."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = at < n
    tl.store(out + at, tl.load(src + at, mask=there), mask=there)


@triton.jit
def gather_page(out, cache, block_table, length, HEAD_DIM: tl.constexpr, PAGE: tl.constexpr):
    """Copy the tokens of one sequence out of their pages; program j copies page j, grid (cdiv(length, PAGE),).

    cache is [num_blocks, PAGE, HEAD_DIM] and out [length, HEAD_DIM]; a cache has more than 2**31 numbers soon, so the
    block's number is made 64 bits wide before it is multiplied.
    """
    page = tl.program_id(0)
    block = tl.load(block_table + page).to(tl.int64)
    slot = tl.arange(0, PAGE)
    d = tl.arange(0, HEAD_DIM)
    token = page * PAGE + slot
    used = (token < length)[:, None]
    source = (block * PAGE + slot)[:, None] * HEAD_DIM + d[None, :]
    target = token[:, None] * HEAD_DIM + d[None, :]
    tl.store(out + target, tl.load(cache + source, mask=used), mask=used)


@triton.jit
def page_scores(
    out, q, k_cache, block_table, length, scale,
    GROUP: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr, PAGE: tl.constexpr,
):  # fmt: skip
    """Scores of every query head over one page per program; grid (q_heads, cdiv(length, PAGE)).

    q is [q_heads, HEAD_DIM], k_cache [num_blocks, PAGE, KV_HEADS, HEAD_DIM], out [q_heads, length] in float32.
    """
    head = tl.program_id(0)
    page = tl.program_id(1)
    d = tl.arange(0, HEAD_PAD)
    in_head = d < HEAD_DIM
    slot = tl.arange(0, PAGE)
    token = page * PAGE + slot
    used = token < length
    query = tl.load(q + head * HEAD_DIM + d, mask=in_head, other=0.0).to(tl.float32)
    block = tl.load(block_table + page).to(tl.int64)
    row = (block * PAGE + slot) * KV_HEADS + head // GROUP
    there = used[:, None] & in_head[None, :]
    keys = tl.load(k_cache + row[:, None] * HEAD_DIM + d[None, :], mask=there, other=0.0).to(tl.float32)
    score = tl.sum(query[None, :] * keys, 1) * scale
    tl.store(out + head * length + token, score, mask=used)
