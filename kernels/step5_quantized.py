"""Step 5: pages in 8 bits, half the bytes of bf16, with one scale per KV head for K and one for V.

A decode step takes as long as reading K and V takes, so half the bytes is half the time, and twice the tokens fit. What
is kept is x / scale, rounded to int8 (-127 ... 127) or fp8 (e4m3: 3 bits of fraction, up to 448); what is read is that
times the scale. With one scale per head both factors leave the loop:

    scores = q . (k8 * k_scale) = (q . k8) * k_scale           a factor on the softmax scale
    result = sum p * (v8 * v_scale) = (sum p * v8) * v_scale    a factor on the result

so dequantising costs one multiplication per head instead of one per number. The error: with int8 a number is off by at
most scale / 2, with fp8 by at most a 16th of itself. Scales are measured once (`head_scales`) and kept: a token is
quantised when it is written, and is never touched again, which is what lets pages be shared.

The kernel is step 4's; only what stands around the loop is new. The quantising write is `kvkernels.write_kv`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kvkernels._triton import OPTIONS, tl, triton
from kvkernels.inputs import check_decode, check_scales, need, softmax_scale
from kvkernels.step3_grouped import attend_range, constants, load_group, store_group
from kvkernels.step4_split import MAX_SPLITS, merge, scratch, split_bounds, store_state


@triton.jit
def quantized_decode_kernel(
    out, partial_acc, partial_ml, q, k_cache, v_cache, k_scale, v_scale, block_tables, lengths, max_blocks, scale,
    SPLITS: tl.constexpr,
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
        query, k_cache, v_cache, block_tables + seq * max_blocks, kv_head, start, stop,
        scale * tl.load(k_scale + kv_head), KV_HEADS, HEAD_DIM, HEAD_PAD, PAGE, TILE, ROWS,
    )  # fmt: skip
    acc *= tl.load(v_scale + kv_head)
    if SPLITS == 1:
        result = acc / tl.where(l > 0, l, 1.0)[:, None]
        store_group(out, result, seq, kv_head, Q_HEADS, GROUP, HEAD_DIM, HEAD_PAD, ROWS)
    else:
        store_state(
            partial_acc, partial_ml, m, l, acc, seq, kv_head, split, SPLITS, Q_HEADS, GROUP, HEAD_DIM, HEAD_PAD, ROWS
        )


def quantized_decode(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    k_scale: Tensor,
    v_scale: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    *,
    splits: int = 1,
    scale: float | None = None,
    tile: int | None = None,
    options: Mapping[str, Any] = OPTIONS,
    validate: bool | None = None,
) -> Tensor:
    """Attention of one query a sequence over pages of int8 or fp8.

    Args:
        q: [seqs, q_heads, head_dim], float32, float16 or bfloat16.
        k_cache, v_cache: [num_blocks, page, kv_heads, head_dim], int8 or float8_e4m3fn.
        k_scale, v_scale: float32 [kv_heads]; what a number in a page stands for is that number times the scale.
        splits: programs for each context, see `kvkernels.split_decode`.
        block_tables, lengths, scale, tile, options, validate: as for `kvkernels.grouped_decode`.

    Returns:
        [seqs, q_heads, head_dim], dtype of q; zeros where a length is 0.

    Raises:
        KernelInputError: also for scales that do not fit. KernelPlatformError: also for fp8 on a GPU that has none.
    """
    need(1 <= splits <= MAX_SPLITS, f"A context can be cut into 1 to {MAX_SPLITS} ranges, not into {splits}.")
    shape = check_decode(q, k_cache, v_cache, block_tables, lengths, validate=validate, quantised=True)
    check_scales(k_cache, k_scale, v_scale)
    out = torch.empty_like(q)
    if shape.seqs:
        acc, ml = scratch(q, splits) if splits > 1 else (out, out)
        quantized_decode_kernel[(shape.seqs, shape.kv_heads, splits)](
            out, acc, ml, q, k_cache, v_cache, k_scale, v_scale, block_tables, lengths, shape.max_blocks,
            softmax_scale(scale, shape.head_dim), SPLITS=splits, **constants(shape, q.dtype, tile), **options,
        )  # fmt: skip
        if splits > 1:
            merge(out, acc, ml)
    return out
