"""Where new keys and values go: scattered to their slots, and quantised on the way where pages have 8 bits.

A slot is a place for one token, page * PAGE + position in the page; the block table says which (lesson 05). One program
takes one token: it loads the K and the V of all heads, [kv_heads, head_dim] each, which lie together in a page too, and
stores them in one piece. For pages in 8 bits the same program divides by the scale of each head and rounds, so that the
numbers never go to memory in 16 bits only to be read again.

A slot below 0 stands for a token that is to be left out: padding of a batch whose size is fixed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kvkernels._triton import OPTIONS, tl, triton
from kvkernels.host import LARGEST
from kvkernels.inputs import FLOATS, check_pages, check_runs, check_scales, need, power_of_2


@triton.jit
def quantize(x, scale, LIMIT: tl.constexpr, ROUND: tl.constexpr):
    """x / scale, cut to what fits; int8 needs whole numbers, rounded half up, and fp8 rounds in the cast."""
    x = tl.minimum(tl.maximum(x / scale, -LIMIT), LIMIT)
    return tl.floor(x + 0.5) if ROUND else x


@triton.jit
def write_kv_kernel(
    k_cache, v_cache, k, v, slots, k_scale, v_scale,
    KV_HEADS: tl.constexpr, HEADS_PAD: tl.constexpr, HEAD_DIM: tl.constexpr, HEAD_PAD: tl.constexpr,
    LIMIT: tl.constexpr, ROUND: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0)
    slot = tl.load(slots + token)
    if slot >= 0:
        head = tl.arange(0, HEADS_PAD)
        d = tl.arange(0, HEAD_PAD)
        within = head[:, None] * HEAD_DIM + d[None, :]
        there = (head < KV_HEADS)[:, None] & (d < HEAD_DIM)[None, :]
        source = token.to(tl.int64) * (KV_HEADS * HEAD_DIM) + within
        target = slot * (KV_HEADS * HEAD_DIM) + within
        key = tl.load(k + source, mask=there)
        value = tl.load(v + source, mask=there)
        if LIMIT > 0:
            heads = head < KV_HEADS
            key = quantize(key.to(tl.float32), tl.load(k_scale + head, heads, 1.0)[:, None], LIMIT, ROUND)
            value = quantize(value.to(tl.float32), tl.load(v_scale + head, heads, 1.0)[:, None], LIMIT, ROUND)
        tl.store(k_cache + target, key.to(k_cache.dtype.element_ty), mask=there)
        tl.store(v_cache + target, value.to(v_cache.dtype.element_ty), mask=there)


def write_kv(
    k: Tensor,
    v: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    slots: Tensor,
    *,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
    validate: bool | None = None,
    kernel: Any = None,
) -> None:
    """Write new keys and values to their slots.

    Args:
        k, v: [tokens, kv_heads, head_dim], float32, float16 or bfloat16.
        k_cache, v_cache: [num_blocks, page, kv_heads, head_dim], dtype of k, or int8 or float8_e4m3fn with scales.
        slots: int64 [tokens], page * page size + position in the page; below 0: the token is left out.
        k_scale, v_scale: float32 [kv_heads], for pages in 8 bits alone.
        validate: look at the slots; None looks on the CPU alone.
        kernel: another kernel with the same parameters in place of this file's.

    Raises:
        KernelInputError, KernelPlatformError: something does not fit, or a slot is not in the cache.
    """
    check_runs(k, v, k_cache, v_cache, slots)
    num_blocks, page, kv_heads, head_dim = check_pages(k_cache, v_cache, quantised=None)
    for name, new in (("keys", k), ("values", v)):
        need(
            new.shape == (len(slots), kv_heads, head_dim),
            f"New {name} have shape {[len(slots), kv_heads, head_dim]} here, one row per slot; these have "
            f"{list(new.shape)}.",
        )
        need(
            new.is_contiguous(), f"The new {name} are not contiguous (strides {list(new.stride())}): call contiguous()."
        )
    need(k.dtype == v.dtype, f"New keys and values are {k.dtype} and {v.dtype}: make them one dtype.")
    need(k.dtype in FLOATS, f"New keys and values are {k.dtype}; kernels take float32, float16 and bfloat16.")
    quantised = check_scales(k_cache, k_scale, v_scale)
    need(
        quantised or k.dtype == k_cache.dtype,
        f"New keys and values are {k.dtype} and the cache {k_cache.dtype}: make them one dtype.",
    )
    need(
        slots.dtype == torch.int64 and slots.dim() == 1 and slots.is_contiguous(),
        f"Slots are contiguous int64 [tokens]; these are {slots.dtype} {list(slots.shape)}.",
    )
    if not len(slots):
        return
    if k.device.type == "cpu" if validate is None else validate:
        last, size = int(slots.max()), num_blocks * page
        need(last < size, f"A slot is {last}, and the cache has slots 0 to {size - 1}.")
        used = slots[slots >= 0]
        need(len(used.unique()) == len(used), "A slot is named twice, and only one token can be kept there.")
    (write_kv_kernel if kernel is None else kernel)[(len(slots),)](
        k_cache, v_cache, k, v, slots, k_scale if quantised else k, v_scale if quantised else v,
        KV_HEADS=kv_heads, HEADS_PAD=power_of_2(kv_heads), HEAD_DIM=head_dim, HEAD_PAD=power_of_2(head_dim),
        LIMIT=LARGEST.get(k_cache.dtype, 0.0), ROUND=k_cache.dtype == torch.int8, **OPTIONS,
    )  # fmt: skip
