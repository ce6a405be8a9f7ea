"""Step 2: how much is read at once is decoupled from how memory is handed out.

Step 1 goes page by page, so the size of a page, chosen for the allocator's sake, decides how many bytes a program has
in flight: pages of 1 token make it crawl, pages of 256 do not fit its registers. Here a program goes tile by tile. A
tile is TILE positions, whatever pages they lie in, and each lane asks the table for the page of its own position:

    position  32 33 34 ... 47 48 ... 63        TILE = 32 positions
    page      table[32 // PAGE] ... table[63 // PAGE]
    slot      32 % PAGE ...

With PAGE a power of two known to the compiler, // and % are a shift and a mask. The ids of a tile are one small load
(neighbours that share a page load the same word, which costs one transaction), and the K and V loads behind it are as
wide as the hardware has, whatever the page: rows are HEAD_DIM numbers in one piece. The kernels of vLLM
(v1/attention/ops/triton_unified_attention.py) and SGLang decouple the two in the same way.

A second thing decides everything: whether the compiler knows that rows begin at multiples of 16 bytes. HEAD_DIM and
KV_HEADS are constants here, so it does; where they are run-time numbers it has to load two bytes at a time. Lesson 12
reads both in the compiled code.

The grid is that of step 1, (seqs, q_heads), and each group still reads its keys once per query head. Step 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kvkernels._triton import OPTIONS, tl, triton
from kvkernels.inputs import check_decode, power_of_2, softmax_scale


@triton.jit
def tile_addresses(
    out, block_table, length, kv_head,
    KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, PAGE: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """The idea alone: where the row of each position of one sequence begins in a cache, tile by tile.

    out is int64 and holds `length` numbers; the grid is (cdiv(length, TILE),). PAGE is any number of tokens here.
    """
    position = tl.program_id(0) * TILE + tl.arange(0, TILE)
    used = position < length
    block = tl.load(block_table + position // PAGE, mask=used, other=0).to(tl.int64)
    row = (block * PAGE + position % PAGE) * KV_HEADS + kv_head
    tl.store(out + position, row * HEAD_DIM, mask=used)


@triton.jit
def tiled_decode_kernel(
    out, q, k_cache, v_cache, block_tables, lengths, max_blocks, scale,
    Q_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr, PAGE: tl.constexpr,
    TILE: tl.constexpr,
):  # fmt: skip
    seq = tl.program_id(0)
    head = tl.program_id(1)
    kv_head = head // (Q_HEADS // KV_HEADS)
    length = tl.load(lengths + seq)

    d = tl.arange(0, HEAD_PAD)
    in_head = d < HEAD_DIM
    query = tl.load(q + (seq * Q_HEADS + head) * HEAD_DIM + d, mask=in_head, other=0.0).to(tl.float32)

    m = tl.full([], float("-inf"), tl.float32)
    l = tl.full([], 0.0, tl.float32)
    acc = tl.zeros([HEAD_PAD], tl.float32)
    for first in range(0, length, TILE):
        position = first + tl.arange(0, TILE)
        used = position < length
        block = tl.load(block_tables + seq * max_blocks + position // PAGE, mask=used, other=0).to(tl.int64)
        row = (block * PAGE + position % PAGE) * KV_HEADS + kv_head
        where = row[:, None] * HEAD_DIM + d[None, :]
        there = used[:, None] & in_head[None, :]

        keys = tl.load(k_cache + where, mask=there, other=0.0).to(tl.float32)
        values = tl.load(v_cache + where, mask=there, other=0.0).to(tl.float32)
        score = tl.where(used, tl.sum(query[None, :] * keys, 1) * scale, float("-inf"))

        new_m = tl.maximum(m, tl.max(score, 0))
        old = tl.exp2(m - new_m)
        p = tl.exp2(score - new_m)
        l = l * old + tl.sum(p, 0)
        acc = acc * old + tl.sum(p[:, None] * values, 0)
        m = new_m

    result = acc / tl.where(l > 0, l, 1.0)
    tl.store(out + (seq * Q_HEADS + head) * HEAD_DIM + d, result.to(out.dtype.element_ty), mask=in_head)


def tile_size(head_dim: int, bytes_per_number: int) -> int:
    """Positions per tile: about 8 KiB of K, so that a few tiles in flight fit the registers of 4 warps."""
    return max(16, min(128, 8192 // (power_of_2(head_dim) * bytes_per_number)))


def tiled_decode(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    *,
    scale: float | None = None,
    tile: int | None = None,
    validate: bool | None = None,
) -> Tensor:
    """Attention of one query a sequence over its pages, `tile` positions at a time.

    Args:
        tile: positions per tile, a power of two; chosen from the shapes by default.
        q, k_cache, v_cache, block_tables, lengths, scale, validate: as for `kvkernels.paged_decode`.

    Returns:
        [seqs, q_heads, head_dim], dtype of q; zeros where a length is 0.

    Raises:
        KernelInputError, KernelPlatformError: see `kvkernels.inputs.check_decode`.
    """
    shape = check_decode(q, k_cache, v_cache, block_tables, lengths, validate=validate)
    out = torch.empty_like(q)
    if shape.seqs:
        tiled_decode_kernel[(shape.seqs, shape.q_heads)](
            out, q, k_cache, v_cache, block_tables, lengths, shape.max_blocks, softmax_scale(scale, shape.head_dim),
            Q_HEADS=shape.q_heads, KV_HEADS=shape.kv_heads, HEAD_DIM=shape.head_dim,
            HEAD_PAD=power_of_2(shape.head_dim), PAGE=shape.page,
            TILE=tile or tile_size(shape.head_dim, k_cache.element_size()), **OPTIONS,
        )  # fmt: skip
    return out
