"""Step 6: many new tokens per sequence, whole prompts or chunks of them, beside decodes, over the same pages.

A step of continuous batching is ragged: one sequence brings a chunk of 500 prompt tokens, thirty bring one token each.
Laid end to end the queries are [tokens, q_heads, head_dim], and `starts` says where each sequence begins (variable
length, "varlen"). Their keys and values are in pages already, those of the new tokens too (`kvkernels.write_kv` ran
before), so a chunk reads its past and itself by the same way, and the same tokens in other chunks see the same keys.

One program takes ROWS rows, a few tokens with all query heads of one group: token r // G, head r % G. A tile of keys is
used by all of them, so each byte that is read does ROWS times the work of step 1; with hundreds of tokens the
arithmetic, not the memory, is what takes the time.

Which program has which tokens: `tiles[i]` counts the programs before sequence i, and a program looks for its number in
this list by halving it. A token sees itself and what came before, within `window` tokens where there is one, so a
program starts and ends its walk over the keys where the first of its tokens begins to see and the last ends.

Beside the scores: a soft cap, cap * tanh(score / cap), as Gemma 2 has it, and sinks, one score per query head that
takes weight and brings no value, as GPT-OSS has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kvkernels._triton import OPTIONS, tl, triton
from kvkernels.inputs import (
    check_pages,
    check_queries,
    check_runs,
    check_scales,
    check_tables,
    need,
    power_of_2,
)
from kvkernels.step3_grouped import most_rows, tile_for

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def sequence_of(tiles, program, seqs, STEPS: tl.constexpr):
    """The sequence i with tiles[i] <= program < tiles[i + 1], by halving."""
    low = tl.full([], 0, tl.int32)
    high = low + seqs
    for _ in tl.static_range(STEPS):
        middle = (low + high) // 2
        beyond = tl.load(tiles + middle) > program
        high = tl.where(beyond, middle, high)
        low = tl.where(beyond, low, middle)
    return low


@triton.jit
def prefill_kernel(
    out, q, k_cache, v_cache, k_scale, v_scale, sinks, block_tables, lengths, starts, tiles, seqs, max_blocks,
    scale, cap, window,
    Q_HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr, PAGE: tl.constexpr,
    TILE: tl.constexpr, ROWS: tl.constexpr, STEPS: tl.constexpr, SCALED: tl.constexpr, CAPPED: tl.constexpr,
    WINDOWED: tl.constexpr, SINKS: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    kv_head = tl.program_id(1)
    if program < tl.load(tiles + seqs):  # there are a few programs too many: their number is a bound
        GROUP: tl.constexpr = Q_HEADS // KV_HEADS
        TOKENS: tl.constexpr = ROWS // GROUP
        seq = sequence_of(tiles, program, seqs, STEPS)
        begin = tl.load(starts + seq)
        new = tl.load(starts + seq + 1) - begin
        past = tl.load(lengths + seq) - new

        r = tl.arange(0, ROWS)
        d = tl.arange(0, HEAD_PAD)
        in_head = d < HEAD_DIM
        first_token = (program - tl.load(tiles + seq)) * TOKENS
        token = first_token + r // GROUP
        head = kv_head * GROUP + r % GROUP
        asked = (r < TOKENS * GROUP) & (token < new)
        at = ((begin + token).to(tl.int64) * Q_HEADS + head)[:, None] * HEAD_DIM + d[None, :]
        query = tl.load(q + at, mask=asked[:, None] & in_head[None, :], other=0.0)

        if SCALED:
            scale *= tl.load(k_scale + kv_head)
        m = tl.full([ROWS], float("-inf"), tl.float32)
        l = tl.zeros([ROWS], tl.float32)
        if SINKS:  # a score that every row has seen before the first key
            m = tl.load(sinks + head, mask=asked, other=0.0).to(tl.float32) * LOG2E
            l += 1.0
        acc = tl.zeros([ROWS, HEAD_PAD], tl.float32)

        sees_to = past + token  # the last position that each row sees
        stop = past + tl.minimum(first_token + TOKENS, new)
        start = tl.full([], 0, tl.int32)
        if WINDOWED:
            start = tl.maximum(past + first_token - window + 1, 0) // TILE * TILE
        table = block_tables + seq * max_blocks
        for first in range(start, stop, TILE):
            position = first + tl.arange(0, TILE)
            used = position < stop
            block = tl.load(table + position // PAGE, mask=used, other=0).to(tl.int64)
            row = (block * PAGE + position % PAGE) * KV_HEADS + kv_head
            where = row[:, None] * HEAD_DIM + d[None, :]
            there = used[:, None] & in_head[None, :]
            keys = tl.load(k_cache + where, mask=there, other=0.0).to(query.dtype)
            values = tl.load(v_cache + where, mask=there, other=0.0).to(query.dtype)

            score = tl.dot(query, tl.trans(keys), input_precision="ieee") * scale
            if CAPPED:  # tanh(x) = 1 - 2 / (1 + e^(2x))
                score = cap - 2 * cap / (1 + tl.exp2(score * (2 * LOG2E / cap)))
            visible = position[None, :] <= sees_to[:, None]
            if WINDOWED:
                visible &= position[None, :] > sees_to[:, None] - window
            score = tl.where(visible, score * LOG2E, float("-inf"))

            # A row may see nothing in this tile and nothing before it: then its maximum is -inf still.
            new_m = tl.maximum(m, tl.max(score, 1))
            finite = tl.where(new_m == float("-inf"), 0.0, new_m)
            old = tl.exp2(m - finite)
            p = tl.exp2(score - finite[:, None])
            l = l * old + tl.sum(p, 1)
            acc = acc * old[:, None] + tl.dot(p.to(query.dtype), values, input_precision="ieee")
            m = new_m

        if SCALED:
            acc *= tl.load(v_scale + kv_head)
        result = acc / tl.where(l > 0, l, 1.0)[:, None]
        tl.store(out + at, result.to(out.dtype.element_ty), mask=asked[:, None] & in_head[None, :])


def prefill(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    starts: Tensor,
    *,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
    window: int | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    scale: float | None = None,
    rows: int | None = None,
    tile: int | None = None,
    options: Mapping[str, Any] = OPTIONS,
    validate: bool | None = None,
    kernel: Any = None,
) -> Tensor:
    """Causal attention of the newest tokens of each sequence over its pages.

    Args:
        q: [tokens, q_heads, head_dim], sequence after sequence, float32, float16 or bfloat16.
        k_cache, v_cache: [num_blocks, page, kv_heads, head_dim], the new tokens' K and V written already; dtype of
            q, or int8 or float8_e4m3fn with scales.
        block_tables: page ids, int32 [seqs, max_blocks].
        lengths: tokens of each sequence, the new ones included, int32 [seqs].
        starts: int32 [seqs + 1]; sequence i brings the rows starts[i] ... starts[i + 1] - 1 of q, maybe none.
        k_scale, v_scale: float32 [kv_heads], for pages in 8 bits alone.
        window: a token sees this many, itself among them; None sees all.
        softcap: scores become softcap * tanh(score / softcap).
        sinks: float [q_heads], one score per head that takes weight and brings no value.
        scale: factor on the scores; head_dim ** -0.5 by default.
        rows: rows of one program, 16 or more and at least the group, a power of two; by default what registers hold.
        tile: positions per tile, a power of two, 16 or more; chosen from the shapes by default.
        options: of the compiler: num_warps, num_stages, enable_fp_fusion.
        validate: look at page ids, lengths and starts; None looks on the CPU alone.
        kernel: another kernel with the same parameters in place of this file's.

    Returns:
        [tokens, q_heads, head_dim], dtype of q.

    Raises:
        KernelInputError, KernelPlatformError: something does not fit; the message says what.
    """
    check_runs(q, k_cache, v_cache, block_tables, lengths, starts)
    num_blocks, page, kv_heads, head_dim = check_pages(k_cache, v_cache, quantised=None)
    check_queries(q, k_cache, "tokens")
    seqs, (tokens, q_heads, _) = len(lengths), q.shape
    look = q.device.type == "cpu" if validate is None else validate
    check_tables(block_tables, lengths, seqs, num_blocks, page, look)
    need(
        starts.dtype == torch.int32 and starts.shape == (seqs + 1,) and starts.is_contiguous(),
        f"Starts are int32 [seqs + 1], here [{seqs + 1}]; these are {starts.dtype} {list(starts.shape)}.",
    )
    need(window is None or window >= 1, f"A window is 1 token or more, not {window}.")
    need(softcap is None or softcap > 0, f"A soft cap is above 0, not {softcap}.")
    rows = most_rows(head_dim, q.dtype) if rows is None else rows
    need(rows >= 16 and rows == power_of_2(rows), f"A program takes 16, 32, 64, ... rows, not {rows}.")
    need(
        sinks is None or (sinks.shape == (q_heads,) and sinks.is_contiguous() and sinks.device == q.device),
        f"Sinks are one number per query head, contiguous [{q_heads}] on {q.device}; these are not.",
    )
    if look:
        new = starts.long().diff()
        need(
            int(starts[0]) == 0 and int(starts[-1]) == tokens and bool((new >= 0).all()),
            f"Starts go from 0 to the number of query rows, {tokens}, and never fall; these are {starts.tolist()}.",
        )
        need(bool((new <= lengths).all()), "A sequence brings more new tokens than it has: its length counts them too.")
    scaled = check_scales(k_cache, k_scale, v_scale)

    out = torch.empty_like(q)
    if tokens:
        per_program = rows // (q_heads // kv_heads)
        programs = (starts.diff() + per_program - 1) // per_program
        tiles = torch.nn.functional.pad(programs.cumsum(0), (1, 0)).to(torch.int32)
        (prefill_kernel if kernel is None else kernel)[(tokens // per_program + seqs, kv_heads)](
            out, q, k_cache, v_cache, k_scale if scaled else q, v_scale if scaled else q, q if sinks is None else sinks,
            block_tables, lengths, starts, tiles, seqs, block_tables.shape[1],
            head_dim**-0.5 if scale is None else scale, softcap or 0.0, window or 0,
            Q_HEADS=q_heads, KV_HEADS=kv_heads, HEAD_DIM=head_dim, HEAD_PAD=power_of_2(head_dim), PAGE=page,
            TILE=tile or tile_for(head_dim, q.dtype, rows), ROWS=rows, STEPS=seqs.bit_length(), SCALED=scaled,
            CAPPED=softcap is not None, WINDOWED=window is not None, SINKS=sinks is not None,
            **options,
        )  # fmt: skip
    return out
