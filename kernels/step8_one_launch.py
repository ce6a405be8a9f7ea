"""Step 8: the merge without a second launch: whoever finishes last does it.

At short contexts a decode step is over in a few microseconds, and a launch costs about as much: step 4 pays for two.
Here every program, when it has stored its state, adds 1 to a counter of its sequence and KV head. The one that finds
SPLITS - 1 there knows that all others are done; their states are still in the L2 cache, and it merges them. Then it
sets the counter back to 0 for the next launch, so no third kernel has to.

What makes this right is order between programs: a state must be visible before the counter says so. The barrier makes
sure that all threads of a program have stored; the atomic addition releases these stores and acquires those of the
programs that counted before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kvkernels._triton import OPTIONS, tl, triton
from kvkernels.inputs import check_decode, need, power_of_2, softmax_scale
from kvkernels.step3_grouped import attend_range, constants, grouped_decode, load_group
from kvkernels.step4_split import MAX_SPLITS, merge_states, scratch, split_bounds, store_state


@triton.jit
def one_launch_kernel(
    out, partial_acc, partial_ml, done, q, k_cache, v_cache, block_tables, lengths, max_blocks, scale,
    SPLITS: tl.constexpr, SPLITS_PAD: tl.constexpr,
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
    counter = done + seq * KV_HEADS + kv_head
    tl.debug_barrier()
    before = tl.atomic_add(counter, 1, sem="acq_rel")
    if before == SPLITS - 1:
        tl.debug_barrier()
        d = tl.arange(0, HEAD_PAD)
        for g in range(GROUP):
            row = seq * Q_HEADS + kv_head * GROUP + g
            result = merge_states(partial_acc, partial_ml, row, SPLITS, SPLITS_PAD, HEAD_DIM, HEAD_PAD)
            tl.store(out + row * HEAD_DIM + d, result.to(out.dtype.element_ty), mask=d < HEAD_DIM)
        tl.store(counter, 0)


def counters(q: Tensor, kv_heads: int) -> Tensor:
    """The counters of a batch, zeros int32 [seqs, kv_heads]: made once and used by every launch."""
    return torch.zeros((q.shape[0], kv_heads), dtype=torch.int32, device=q.device)


_KEPT: dict[tuple[torch.device, int], Tensor] = {}


def kept_counters(device: torch.device, stream: int, seqs: int, kv_heads: int) -> Tensor:
    """Counters that the launches of one stream use one after another: filling new ones would be a launch again.

    Args:
        stream: its number; launches of another stream may run at the same time, and get others.
    """
    size = seqs * kv_heads
    kept = _KEPT.get((device, stream))
    if kept is None or kept.numel() < size:
        kept = _KEPT[device, stream] = torch.zeros(max(1024, size), dtype=torch.int32, device=device)
    return kept[:size].view(seqs, kv_heads)


def one_launch_decode(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    *,
    splits: int,
    done: Tensor | None = None,
    scale: float | None = None,
    tile: int | None = None,
    options: Mapping[str, Any] = OPTIONS,
    validate: bool | None = None,
) -> Tensor:
    """`kvkernels.split_decode` in one launch.

    Args:
        done: from `counters`, all 0, and all 0 again afterwards; made anew by default, which costs a launch. Launches
            that may run at the same time need their own.
        q, k_cache, v_cache, block_tables, lengths, splits, scale, tile, options, validate: as for
            `kvkernels.split_decode`.

    Returns:
        [seqs, q_heads, head_dim], dtype of q; zeros where a length is 0.

    Raises:
        KernelInputError: also for splits or counters that do not fit. KernelPlatformError: see
            `kvkernels.inputs.check_decode`.
    """
    need(1 <= splits <= MAX_SPLITS, f"A context can be cut into 1 to {MAX_SPLITS} ranges, not into {splits}.")
    if splits == 1:
        known: dict[str, Any] = {"scale": scale, "tile": tile, "options": options, "validate": validate}
        return grouped_decode(q, k_cache, v_cache, block_tables, lengths, **known)
    shape = check_decode(q, k_cache, v_cache, block_tables, lengths, validate=validate)
    done = counters(q, shape.kv_heads) if done is None else done
    need(
        done.shape == (shape.seqs, shape.kv_heads) and done.dtype == torch.int32 and done.device == q.device,
        f"Counters are int32 [{shape.seqs}, {shape.kv_heads}] on {q.device}; these are {done.dtype} {list(done.shape)} "
        f"on {done.device}.",
    )
    out = torch.empty_like(q)
    if shape.seqs:
        acc, ml = scratch(q, splits)
        one_launch_kernel[(shape.seqs, shape.kv_heads, splits)](
            out, acc, ml, done, q, k_cache, v_cache, block_tables, lengths, shape.max_blocks,
            softmax_scale(scale, shape.head_dim), SPLITS=splits, SPLITS_PAD=power_of_2(splits),
            **constants(shape, q.dtype, tile), **options,
        )  # fmt: skip
    return out
