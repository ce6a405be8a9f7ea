"""Step 7: a prefix that many requests share is read once, not once per request.

Requests with one system prompt have the same leading pages in their tables (lesson 07). Step 4 reads these pages for
each of B requests anew: B (P + s) tokens for a prefix of P and suffixes of s. But a tile of keys does not care whose
queries meet it. So the queries of all who share the prefix are stacked, GROUP rows per request, and go over the prefix
together: P + B s tokens are read. What each request has for itself is then a range like any other, and step 4's merge
puts the states together (cascade inference, FlashInfer, 2024; Hydragen, Juravsky et al., 2024).

    prefix   programs (stack of queries, kv_head, split)  -> states 0 ... PREFIX_SPLITS - 1 of each head
    suffix   programs (seq, kv_head, split)               -> the states after them
    merge    programs (seq x head)

Who shares what is seen in the block tables: `kvkernels.share_groups` sorts the batch by its leading pages. That is work
for the scheduler, once per change of the batch, on the host.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kvkernels._triton import OPTIONS, tl, triton
from kvkernels.host import SharedPrefix
from kvkernels.inputs import check_decode, need, softmax_scale
from kvkernels.step3_grouped import attend_range, constants, load_group, most_rows
from kvkernels.step4_split import MAX_SPLITS, merge, scratch, split_bounds, store_state


@triton.jit
def prefix_kernel(
    partial_acc, partial_ml, q, k_cache, v_cache, block_tables, stacks, members, max_blocks, scale,
    SPLITS: tl.constexpr, ALL_SPLITS: tl.constexpr,
    Q_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr, PAGE: tl.constexpr,
    TILE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    stack = stacks + 3 * tl.program_id(0)
    kv_head = tl.program_id(1)
    split = tl.program_id(2)
    GROUP: tl.constexpr = Q_HEADS // KV_HEADS
    first, count, shared = tl.load(stack), tl.load(stack + 1), tl.load(stack + 2)

    r = tl.arange(0, ROWS)
    d = tl.arange(0, HEAD_PAD)
    there = (r // GROUP) < count
    seq = tl.load(members + first + r // GROUP, mask=there, other=0)
    head = seq * Q_HEADS + kv_head * GROUP + r % GROUP
    full = there[:, None] & (d < HEAD_DIM)[None, :]
    query = tl.load(q + head[:, None] * HEAD_DIM + d[None, :], mask=full, other=0.0)

    start, stop = split_bounds(shared, split, SPLITS, TILE)
    table = block_tables + tl.load(members + first) * max_blocks  # the prefix is the same in the table of each of them
    m, l, acc = attend_range(
        query, k_cache, v_cache, table, kv_head, start, stop, scale,
        KV_HEADS, HEAD_DIM, HEAD_PAD, PAGE, TILE, ROWS,
    )  # fmt: skip
    place = head.to(tl.int64) * ALL_SPLITS + split
    tl.store(partial_ml + place * 2, m, mask=there)
    tl.store(partial_ml + place * 2 + 1, l, mask=there)
    tl.store(partial_acc + place[:, None] * HEAD_DIM + d[None, :], acc, mask=full)


@triton.jit
def suffix_kernel(
    partial_acc, partial_ml, q, k_cache, v_cache, block_tables, lengths, shared, max_blocks, scale,
    SPLITS: tl.constexpr, ALL_SPLITS: tl.constexpr,
    Q_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr, PAGE: tl.constexpr,
    TILE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    seq = tl.program_id(0)
    kv_head = tl.program_id(1)
    split = tl.program_id(2)
    GROUP: tl.constexpr = Q_HEADS // KV_HEADS
    prefix = tl.load(shared + seq)
    start, stop = split_bounds(tl.load(lengths + seq) - prefix, split, SPLITS, TILE)
    query = load_group(q, seq, kv_head, Q_HEADS, GROUP, HEAD_DIM, HEAD_PAD, ROWS)
    m, l, acc = attend_range(
        query, k_cache, v_cache, block_tables + seq * max_blocks, kv_head, prefix + start, prefix + stop, scale,
        KV_HEADS, HEAD_DIM, HEAD_PAD, PAGE, TILE, ROWS,
    )  # fmt: skip
    store_state(
        partial_acc, partial_ml, m, l, acc, seq, kv_head, ALL_SPLITS - SPLITS + split, ALL_SPLITS, Q_HEADS, GROUP,
        HEAD_DIM, HEAD_PAD, ROWS,
    )  # fmt: skip


def cascade_decode(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    groups: Sequence[SharedPrefix],
    *,
    splits: int = 1,
    prefix_splits: int = 1,
    rows: int | None = None,
    scale: float | None = None,
    tile: int | None = None,
    validate: bool | None = None,
) -> Tensor:
    """Attention of one query a sequence over its pages, shared leading pages read once per stack of queries.

    Args:
        groups: from `share_groups`: every sequence in exactly one.
        splits, prefix_splits: programs for each suffix and for each prefix.
        rows: query rows of one stack, a power of two from 16, by default what registers hold; rows // (query heads per
            KV head) requests ride together.
        q, k_cache, v_cache, block_tables, lengths, scale, tile, validate: as for `kvkernels.grouped_decode`.

    Returns:
        [seqs, q_heads, head_dim], dtype of q; zeros where a length is 0.

    Raises:
        KernelInputError: also for groups that are not a partition of the batch or whose prefix is not in every table.
        KernelPlatformError: see `kvkernels.inputs.check_decode`.
    """
    shape = check_decode(q, k_cache, v_cache, block_tables, lengths, validate=validate)
    all_splits = splits + prefix_splits
    need(
        splits >= 1 and prefix_splits >= 1 and all_splits <= MAX_SPLITS,
        f"Prefixes and suffixes have at most {MAX_SPLITS} ranges together, not {prefix_splits} and {splits}.",
    )
    members = [i for group in groups for i in group.members]
    need(
        sorted(members) == list(range(shape.seqs)),
        f"Each of {shape.seqs} sequences is in one group, once; got {members}.",
    )
    if q.device.type == "cpu" if validate is None else validate:
        for group in groups:
            pages = group.tokens // shape.page
            rows_of = block_tables[list(group.members), :pages]
            same = group.tokens % shape.page == 0 and bool((rows_of == rows_of[:1]).all())
            need(same and all(int(lengths[i]) >= group.tokens for i in group.members),
                 f"The sequences {list(group.members)} do not share {group.tokens} tokens in whole pages.")  # fmt: skip
    out = torch.empty_like(q)
    if not shape.seqs:
        return out
    of_prefix = constants(shape, q.dtype, tile, most_rows(shape.head_dim, q.dtype) if rows is None else rows)
    per_stack = of_prefix["ROWS"] // shape.group
    stacks, shared, first = [], [0] * shape.seqs, 0
    for group in groups:
        for i in group.members:
            shared[i] = group.tokens
        for begin in range(0, len(group.members), per_stack):
            count = min(per_stack, len(group.members) - begin)
            stacks.append((first + begin, count, group.tokens))
        first += len(group.members)

    def on_device(numbers: Sequence[object]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int32, device=q.device)

    acc, ml = scratch(q, all_splits)
    known = constants(shape, q.dtype, tile)
    where = (shape.max_blocks, softmax_scale(scale, shape.head_dim))
    prefix_kernel[(len(stacks), shape.kv_heads, prefix_splits)](
        acc, ml, q, k_cache, v_cache, block_tables, on_device(stacks), on_device(members), *where,
        SPLITS=prefix_splits, ALL_SPLITS=all_splits, **of_prefix,
        **OPTIONS,
    )  # fmt: skip
    suffix_kernel[(shape.seqs, shape.kv_heads, splits)](
        acc, ml, q, k_cache, v_cache, block_tables, lengths, on_device(shared), *where,
        SPLITS=splits, ALL_SPLITS=all_splits, **known, **OPTIONS,
    )  # fmt: skip
    merge(out, acc, ml)
    return out
