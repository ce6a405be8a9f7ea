"""What changes pages, in PyTorch: new keys and values to their slots, quantised on the way, and copies of pages.

Arguments and answers are those of `kvkernels.write_kv` and `kvkernels.copy_blocks`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def quantise(x: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """x [tokens, kv_heads, head_dim] as numbers of 8 bits, times `scale` [kv_heads]: cut to what fits, and rounded.

    int8 rounds half up, fp8 in the cast, as the kernel does.
    """
    from kvkernels.host import LARGEST

    x = (x.float() / scale[:, None]).clamp_(-LARGEST[dtype], LARGEST[dtype])
    return (torch.floor(x + 0.5) if dtype == torch.int8 else x).to(dtype)


def write_kv(
    k: Tensor,
    v: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    slots: Tensor,
    *,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
) -> None:
    """Write new keys and values [tokens, kv_heads, head_dim] to their slots; a slot below 0 leaves its token out."""
    used = slots >= 0
    if not bool(used.all()):
        k, v, slots = k[used], v[used], slots[used]
    for new, cache, scale in ((k, k_cache, k_scale), (v, v_cache, v_scale)):
        small = new if scale is None else quantise(new, scale, cache.dtype)
        target = cache.flatten(0, 1)
        if cache.element_size() == 1:  # bytes: fp8 has no scatter of its own
            target, small = target.view(torch.uint8), small.view(torch.uint8)
        target.index_copy_(0, slots, small)


def copy_blocks(k_cache: Tensor, v_cache: Tensor, pairs: Tensor) -> None:
    """Copy pages within a cache [layers, num_blocks, ...], in every layer: int64 [pairs, 2], (source, target)."""
    source, target = pairs.unbind(1)
    for cache in (k_cache, v_cache):
        cache[:, target] = cache[:, source]
