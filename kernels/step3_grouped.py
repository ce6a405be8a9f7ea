"""Step 3: the query heads of a group ride together, so that K and V are read once per KV head.

With grouped-query attention G query heads look at the same keys. Steps 1 and 2 give each its own program, and each
program asks for the same bytes again: G times the bytes that are needed, unless a cache happens to help. Here one
program serves a whole group. Its queries are a matrix [ROWS, head_dim], and a tile of keys meets all of them in one
matrix product, which the tensor cores do:

    scores [ROWS, TILE] = queries [ROWS, head_dim] @ keys [TILE, head_dim]^T
    acc    [ROWS, head_dim] += weights [ROWS, TILE] @ values [TILE, head_dim]

A tensor core takes at least 16 rows. A group of 4 fills 4 of them and the others are zeros; that costs nothing that
matters, since the time goes into reading K and V, not into arithmetic: 2 G / (bytes per number) operations per byte is
far below what a GPU can do.

The loop is a function, `attend_range`, since every later step is this loop over another range of positions: a part of
the context (step 4), pages in 8 bits (step 5), a shared prefix (step 7). The grid is (seqs, kv_heads).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kvkernels._triton import OPTIONS, tl, triton
from kvkernels.inputs import Shape, check_decode, power_of_2, softmax_scale


@triton.jit
def attend_range(
    query, k_cache, v_cache, table, kv_head, start, stop, scale,
    KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr, PAGE: tl.constexpr, TILE: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    """ROWS queries over the positions start ... stop - 1 of one sequence: its (m, l, acc), not divided yet."""
    d = tl.arange(0, HEAD_PAD)
    in_head = d < HEAD_DIM
    m = tl.full([ROWS], float("-inf"), tl.float32)
    l = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, HEAD_PAD], tl.float32)
    for first in range(start, stop, TILE):
        position = first + tl.arange(0, TILE)
        used = position < stop
        block = tl.load(table + position // PAGE, mask=used, other=0).to(tl.int64)
        row = (block * PAGE + position % PAGE) * KV_HEADS + kv_head
        where = row[:, None] * HEAD_DIM + d[None, :]
        there = used[:, None] & in_head[None, :]

        # Pages in 8 bits become the queries' dtype in registers; for others `.to` does nothing.
        keys = tl.load(k_cache + where, mask=there, other=0.0).to(query.dtype)
        values = tl.load(v_cache + where, mask=there, other=0.0).to(query.dtype)
        score = tl.dot(query, tl.trans(keys), input_precision="ieee") * scale
        score = tl.where(used[None, :], score, float("-inf"))

        new_m = tl.maximum(m, tl.max(score, 1))
        old = tl.exp2(m - new_m)
        p = tl.exp2(score - new_m[:, None])
        l = l * old + tl.sum(p, 1)
        acc = acc * old[:, None] + tl.dot(p.to(query.dtype), values, input_precision="ieee")
        m = new_m
    return m, l, acc


@triton.jit
def load_group(q, seq, kv_head, Q_HEADS: tl.constexpr, GROUP: tl.constexpr, HEAD_DIM: tl.constexpr,
               HEAD_PAD: tl.constexpr, ROWS: tl.constexpr):  # fmt: skip
    """The queries of one group, [ROWS, HEAD_PAD]; rows and numbers beyond those that there are, are 0."""
    r = tl.arange(0, ROWS)
    d = tl.arange(0, HEAD_PAD)
    where = (seq * Q_HEADS + kv_head * GROUP + r[:, None]) * HEAD_DIM + d[None, :]
    return tl.load(q + where, mask=(r < GROUP)[:, None] & (d < HEAD_DIM)[None, :], other=0.0)


@triton.jit
def store_group(out, result, seq, kv_head, Q_HEADS: tl.constexpr, GROUP: tl.constexpr, HEAD_DIM: tl.constexpr,
                HEAD_PAD: tl.constexpr, ROWS: tl.constexpr):  # fmt: skip
    """The other way: rows of one group back to their heads."""
    r = tl.arange(0, ROWS)
    d = tl.arange(0, HEAD_PAD)
    where = (seq * Q_HEADS + kv_head * GROUP + r[:, None]) * HEAD_DIM + d[None, :]
    there = (r < GROUP)[:, None] & (d < HEAD_DIM)[None, :]
    tl.store(out + where, result.to(out.dtype.element_ty), mask=there)


@triton.jit
def grouped_decode_kernel(
    out, q, k_cache, v_cache, block_tables, lengths, max_blocks, scale,
    Q_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr, PAGE: tl.constexpr,
    TILE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    seq = tl.program_id(0)
    kv_head = tl.program_id(1)
    GROUP: tl.constexpr = Q_HEADS // KV_HEADS
    query = load_group(q, seq, kv_head, Q_HEADS, GROUP, HEAD_DIM, HEAD_PAD, ROWS)
    _, l, acc = attend_range(
        query, k_cache, v_cache, block_tables + seq * max_blocks, kv_head, 0, tl.load(lengths + seq), scale,
        KV_HEADS, HEAD_DIM, HEAD_PAD, PAGE, TILE, ROWS,
    )  # fmt: skip
    result = acc / tl.where(l > 0, l, 1.0)[:, None]
    store_group(out, result, seq, kv_head, Q_HEADS, GROUP, HEAD_DIM, HEAD_PAD, ROWS)


def tile_for(head_dim: int, dtype: torch.dtype, rows: int) -> int:
    """Positions per tile: 8 Ki numbers of K, and half as many where 64 rows and more hold registers too.

    For queries in float32 2 Ki: keys and values are in registers then, not in tensor cores, and of longer tiles a few
    spill on some architecture with one release of the compiler or another.
    """
    numbers = 2048 if dtype == torch.float32 else 8192
    return max(16, min(64, numbers // power_of_2(head_dim)) // (2 if rows >= 64 else 1))


def most_rows(head_dim: int, dtype: torch.dtype) -> int:
    """Rows of one program that its registers hold beside a tile.

    float32 takes fewer: tensor cores would round it, so its products are made number by number in registers.
    """
    return 16 if dtype == torch.float32 else 64 if head_dim <= 128 else 32


def constants(shape: Shape, dtype: torch.dtype, tile: int | None = None, rows: int | None = None) -> dict[str, int]:
    """What the compiler is told about a launch of this loop; rows and tile are chosen from the shapes by default."""
    rows = max(16, power_of_2(shape.group), rows or 0)
    return {
        "Q_HEADS": shape.q_heads,
        "KV_HEADS": shape.kv_heads,
        "HEAD_DIM": shape.head_dim,
        "HEAD_PAD": power_of_2(shape.head_dim),
        "PAGE": shape.page,
        "TILE": tile or tile_for(shape.head_dim, dtype, rows),
        "ROWS": rows,
    }


def grouped_decode(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    *,
    scale: float | None = None,
    tile: int | None = None,
    options: Mapping[str, Any] = OPTIONS,
    validate: bool | None = None,
    kernel: Any = None,
) -> Tensor:
    """Attention of one query a sequence over its pages, each byte of K and V read by one program.

    Args:
        tile: positions per tile, a power of two, 16 or more; chosen from the shapes by default.
        options: of the compiler: num_warps, num_stages, enable_fp_fusion.
        kernel: another kernel with the parameters of `grouped_decode_kernel`, in its place.
        q, k_cache, v_cache, block_tables, lengths, scale, validate: as for `kvkernels.paged_decode`.

    Returns:
        [seqs, q_heads, head_dim], dtype of q; zeros where a length is 0.

    Raises:
        KernelInputError, KernelPlatformError: see `kvkernels.inputs.check_decode`.
    """
    shape = check_decode(q, k_cache, v_cache, block_tables, lengths, validate=validate)
    out = torch.empty_like(q)
    if shape.seqs:
        (kernel or grouped_decode_kernel)[(shape.seqs, shape.kv_heads)](
            out, q, k_cache, v_cache, block_tables, lengths, shape.max_blocks, softmax_scale(scale, shape.head_dim),
            **constants(shape, q.dtype, tile), **options,
        )  # fmt: skip
    return out
