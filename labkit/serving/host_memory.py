"""Pages of a KV cache that were swapped out, in host memory.

Which host block holds what is decided by the scheduler (`labkit.scheduling.swap`); here numbers are copied.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from labkit.attention.paged_kv_cache import PagedKVCache


class HostMemory:
    """Host blocks of the same shape as those of the cache.

    Args:
        cache: whose pages are swapped.
        num_blocks: of the host, 0 or more.
    """

    def __init__(self, cache: PagedKVCache, num_blocks: int) -> None:
        self.cache = cache
        layers, _, *page = cache.k.shape
        # A GPU reads pinned memory without a detour, at the full width of the bus.
        how = {"dtype": cache.k.dtype, "pin_memory": cache.k.is_cuda}
        self.k, self.v = (torch.empty((layers, num_blocks, *page), **how) for _ in range(2))

    def out(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Copy blocks of the cache to the host, in every layer: (device, host)."""
        if pairs:
            device, host = map(list, zip(*pairs, strict=True))
            self.k[:, host], self.v[:, host] = self.cache.k[:, device].cpu(), self.cache.v[:, device].cpu()

    def back(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Copy blocks of the host to the cache, in every layer: (host, device)."""
        if pairs:
            host, device = map(list, zip(*pairs, strict=True))
            where = self.cache.k.device
            self.cache.k[:, device], self.cache.v[:, device] = self.k[:, host].to(where), self.v[:, host].to(where)
