"""The copy behind copy-on-write: whole pages, K and V of every layer, in one launch.

When a sequence is about to write into a page that others read too, it gets a page of its own with the same content
(lesson 06). Which page becomes which is a list of pairs from the block manager; here it is only bytes. The grid is
(pairs, layers, pieces of a page), and each program copies one piece of K and the same of V.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kvkernels._triton import OPTIONS, tl, triton
from kvkernels.inputs import check_runs, need

PIECE = 1024


@triton.jit
def copy_blocks_kernel(k_cache, v_cache, pairs, num_blocks, NUMBERS: tl.constexpr, PIECE: tl.constexpr):
    pair = tl.program_id(0)
    layer = tl.program_id(1).to(tl.int64) * num_blocks
    within = tl.program_id(2) * PIECE + tl.arange(0, PIECE)
    source = (layer + tl.load(pairs + 2 * pair)) * NUMBERS + within
    target = (layer + tl.load(pairs + 2 * pair + 1)) * NUMBERS + within
    there = within < NUMBERS
    tl.store(k_cache + target, tl.load(k_cache + source, mask=there), mask=there)
    tl.store(v_cache + target, tl.load(v_cache + source, mask=there), mask=there)


def copy_blocks(k_cache: Tensor, v_cache: Tensor, pairs: Tensor, *, validate: bool | None = None) -> None:
    """Copy pages within a cache.

    Args:
        k_cache, v_cache: [layers, num_blocks, page, kv_heads, head_dim], any dtype.
        pairs: int64 [pairs, 2], (source, target) pages; no target is a source, or a target, of another pair, since
            pairs are copied in no order.
        validate: look at the pairs; None looks on the CPU alone.

    Raises:
        KernelInputError, KernelPlatformError: something does not fit.
    """
    check_runs(k_cache, v_cache, pairs)
    need(
        k_cache.dim() == 5,
        f"A cache has shape [layers, num_blocks, page, kv_heads, head_dim]; got {list(k_cache.shape)}.",
    )
    need(k_cache.shape == v_cache.shape and k_cache.dtype == v_cache.dtype, "K and V have one shape and one dtype.")
    need(k_cache.is_contiguous() and v_cache.is_contiguous(), "A cache is copied page by page, and must be contiguous.")
    need(
        pairs.dtype == torch.int64 and pairs.dim() == 2 and pairs.shape[1] == 2 and pairs.is_contiguous(),
        f"Pairs are contiguous int64 [pairs, 2]; these are {pairs.dtype} {list(pairs.shape)}.",
    )
    if not len(pairs):
        return
    layers, num_blocks, page, kv_heads, head_dim = k_cache.shape
    if k_cache.device.type == "cpu" if validate is None else validate:
        low, high = int(pairs.min()), int(pairs.max())
        need(low >= 0 and high < num_blocks, f"Pairs name pages {low} to {high}; the cache has 0 to {num_blocks - 1}.")
        targets = pairs[:, 1]
        clash = torch.isin(targets, pairs[:, 0]).any() or len(targets.unique()) < len(targets)
        need(not clash, "A page is written by one pair and read or written by another: copy in two calls, in order.")
    # Bytes are copied as they are, whatever they stand for, and four at a time where a page allows it: a thread then
    # moves 16 at once.
    words = torch.int32 if page * kv_heads * head_dim * k_cache.element_size() % 4 == 0 else torch.uint8
    k_words, v_words = (cache.flatten(2).view(words) for cache in (k_cache, v_cache))
    numbers = k_words.shape[2]
    copy_blocks_kernel[(len(pairs), layers, -(-numbers // PIECE))](
        k_words, v_words, pairs, num_blocks, NUMBERS=numbers, PIECE=PIECE, **OPTIONS
    )
