"""Step 4: one long context is shared among many programs, and their answers are merged.

Step 3 starts seqs x kv_heads programs. A batch of one with 8 KV heads is 8 programs on a GPU of 132 multiprocessors:
124 of them watch while 8 read 128,000 keys one tile after another. Attention over a range of positions is the state (m,
l, acc), and two such states merge exactly, in any order:

    m = max(m1, m2)    l = l1 e^(m1 - m) + l2 e^(m2 - m)    acc = acc1 e^(m1 - m) + acc2 e^(m2 - m)

So the context is cut into S ranges, each gets a program of its own, (seqs, kv_heads, S) of them, and a second small
kernel merges the S states of each head (Flash-Decoding, Dao et al., 2023). The price is the states: S x (head_dim + 2)
numbers of 4 bytes per head, written and read again. A range without positions leaves m = -inf and l = 0, and the merge
gives it the weight 0; without that care it would be -inf - -inf, which is not a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kvkernels._triton import OPTIONS, tl, triton
from kvkernels.inputs import Shape, check_decode, need, power_of_2, softmax_scale
from kvkernels.step3_grouped import attend_range, constants, grouped_decode, load_group

MAX_SPLITS = 128
LOWEST = tl.constexpr(-1e30)  # below any score of numbers that attention can meet


@triton.jit
def split_bounds(length, split, SPLITS: tl.constexpr, TILE: tl.constexpr):
    """Positions start ... stop - 1 of one split: whole tiles, so that only the last one has idle lanes."""
    tiles = (length + TILE - 1) // TILE
    per_split = (tiles + SPLITS - 1) // SPLITS * TILE
    start = tl.minimum(split * per_split, length)
    return start, tl.minimum(start + per_split, length)


@triton.jit
def store_state(
    partial_acc, partial_ml, m, l, acc, seq, kv_head, split, SPLITS: tl.constexpr, Q_HEADS: tl.constexpr,
    GROUP: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """The state of a group's queries, to its place in [seqs, q_heads, SPLITS, ...]."""
    r = tl.arange(0, ROWS)
    d = tl.arange(0, HEAD_PAD)
    place = (seq * Q_HEADS + kv_head * GROUP + r).to(tl.int64) * SPLITS + split
    tl.store(partial_ml + place * 2, m, mask=r < GROUP)
    tl.store(partial_ml + place * 2 + 1, l, mask=r < GROUP)
    there = (r < GROUP)[:, None] & (d < HEAD_DIM)[None, :]
    tl.store(partial_acc + place[:, None] * HEAD_DIM + d[None, :], acc, mask=there)


@triton.jit
def merge_states(partial_acc, partial_ml, row, SPLITS: tl.constexpr, SPLITS_PAD: tl.constexpr,
                 HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr):  # fmt: skip
    """The answer of one query head from its SPLITS states: [HEAD_PAD]."""
    s = tl.arange(0, SPLITS_PAD)
    d = tl.arange(0, HEAD_PAD)
    place = row.to(tl.int64) * SPLITS + s
    m = tl.load(partial_ml + place * 2, mask=s < SPLITS, other=float("-inf"))
    l = tl.load(partial_ml + place * 2 + 1, mask=s < SPLITS, other=0.0)
    # A state without positions has m = -inf; compared with a number that every score exceeds, its weight is 0.
    weight = tl.exp2(m - tl.maximum(tl.max(m, 0), LOWEST))
    there = (l > 0)[:, None] & (d < HEAD_DIM)[None, :]
    acc = tl.load(partial_acc + place[:, None] * HEAD_DIM + d[None, :], mask=there, other=0.0)
    total = tl.sum(l * weight, 0)
    return tl.sum(acc * weight[:, None], 0) / tl.where(total > 0, total, 1.0)


@triton.jit
def split_decode_kernel(
    partial_acc, partial_ml, q, k_cache, v_cache, block_tables, lengths, max_blocks, scale, SPLITS: tl.constexpr,
    Q_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr, PAGE: tl.constexpr,
    TILE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    seq = tl.program_id(0)
    kv_head = tl.program_id(1)
    split = tl.program_id(2)
    GROUP: tl.constexpr = Q_HEADS // KV_HEADS
    start, stop = split_bounds(tl.load(lengths + seq), split, SPLITS, TILE)
    query = load_group(q, seq, kv_head, Q_HEADS, GROUP, HEAD_DIM, HEAD_PAD, ROWS)
    m, l, acc = attend_range(
        query, k_cache, v_cache, block_tables + seq * max_blocks, kv_head, start, stop, scale,
        KV_HEADS, HEAD_DIM, HEAD_PAD, PAGE, TILE, ROWS,
    )  # fmt: skip
    store_state(
        partial_acc, partial_ml, m, l, acc, seq, kv_head, split, SPLITS, Q_HEADS, GROUP, HEAD_DIM, HEAD_PAD, ROWS
    )


@triton.jit
def merge_kernel(out, partial_acc, partial_ml, SPLITS: tl.constexpr, SPLITS_PAD: tl.constexpr, HEAD_DIM: tl.constexpr,
                 HEAD_PAD: tl.constexpr):  # fmt: skip
    row = tl.program_id(0)
    d = tl.arange(0, HEAD_PAD)
    result = merge_states(partial_acc, partial_ml, row, SPLITS, SPLITS_PAD, HEAD_DIM, HEAD_PAD)
    tl.store(out + row * HEAD_DIM + d, result.to(out.dtype.element_ty), mask=d < HEAD_DIM)


def scratch(q: Tensor, splits: int) -> tuple[Tensor, Tensor]:
    """Room for the states: acc [seqs, q_heads, splits, head_dim] and (m, l) [seqs, q_heads, splits, 2], float32."""
    seqs, q_heads, head_dim = q.shape
    ml = q.new_empty((seqs, q_heads, splits, 2), dtype=torch.float32)
    return q.new_empty((seqs, q_heads, splits, head_dim), dtype=torch.float32), ml


def merge(out: Tensor, partial_acc: Tensor, partial_ml: Tensor) -> None:
    """Merge the states of every head into `out` [seqs, q_heads, head_dim]."""
    seqs, q_heads, splits, head_dim = partial_acc.shape
    merge_kernel[(seqs * q_heads,)](
        out, partial_acc, partial_ml, SPLITS=splits, SPLITS_PAD=power_of_2(splits), HEAD_DIM=head_dim,
        HEAD_PAD=power_of_2(head_dim), **OPTIONS,
    )  # fmt: skip


def num_splits(shape: Shape, longest: int, tile: int, multiprocessors: int) -> int:
    """How many ranges a context is cut into.

    One where the batch fills the chip by itself (four fifths of its multiprocessors) or a context has at most four
    tiles. Else the smallest number of ranges whose last wave of programs leaves few multiprocessors idle: at least 85%
    of what the best number would do. (The rule is that of FlashAttention-3's heuristic.)

    Args:
        longest: tokens of the longest context, or a bound on it.
        multiprocessors: of the GPU.
    """
    programs, tiles = shape.seqs * shape.kv_heads, -(-longest // tile)
    if programs >= 0.8 * multiprocessors or tiles <= 4:
        return 1
    most = min(MAX_SPLITS, multiprocessors, tiles)
    used = {s: programs * s / multiprocessors for s in range(1, most + 1)}
    efficiency = {s: waves / -(-waves // 1) for s, waves in used.items()}
    best = max(efficiency.values())
    return min(s for s, e in efficiency.items() if e >= 0.85 * best)


def split_decode(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    *,
    splits: int,
    scale: float | None = None,
    tile: int | None = None,
    options: Mapping[str, Any] = OPTIONS,
    validate: bool | None = None,
    kernel: Any = None,
) -> Tensor:
    """Attention of one query a sequence over its pages, `splits` programs for each context.

    Args:
        splits: ranges of each context, 1 to 128; `num_splits` has a rule. 1 is step 3, without a merge.
        kernel: another kernel with the same parameters in place of this file's; what it leaves is merged here.
        q, k_cache, v_cache, block_tables, lengths, scale, tile, options, validate: as for `kvkernels.grouped_decode`.

    Returns:
        [seqs, q_heads, head_dim], dtype of q; zeros where a length is 0.

    Raises:
        KernelInputError: also for splits out of range. KernelPlatformError: see `kvkernels.inputs.check_decode`.
    """
    need(1 <= splits <= MAX_SPLITS, f"A context can be cut into 1 to {MAX_SPLITS} ranges, not into {splits}.")
    if splits == 1:
        known: dict[str, Any] = {"scale": scale, "tile": tile, "options": options, "validate": validate}
        return grouped_decode(q, k_cache, v_cache, block_tables, lengths, **known)
    shape = check_decode(q, k_cache, v_cache, block_tables, lengths, validate=validate)
    out = torch.empty_like(q)
    if shape.seqs:
        acc, ml = scratch(q, splits)
        (kernel or split_decode_kernel)[(shape.seqs, shape.kv_heads, splits)](
            acc, ml, q, k_cache, v_cache, block_tables, lengths, shape.max_blocks,
            softmax_scale(scale, shape.head_dim), SPLITS=splits, **constants(shape, q.dtype, tile), **options,
        )  # fmt: skip
        merge(out, acc, ml)
    return out
