"""No prefix cache: what nobody holds goes back to the pool at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labkit.cache.ref_counts import RefCounts
from labkit.errors import CacheError


class NoPrefixCache:
    """A `PrefixCache` that finds nothing, for a manager without caching (vLLM: `--no-enable-prefix-caching`)."""

    keeps_twins = False
    num_evictable = num_cached = evictions = regrets = 0

    def __init__(self, refs: RefCounts, page_bytes: int = 0, policy: object = None) -> None:
        self.refs = refs

    def chain(self, tokens: bytes, salt: bytes = b"") -> None:
        """Nothing is kept of a prompt."""

    def lookup(self, chain: Any, limit: int) -> list[int]:
        """Nothing is found."""
        return []

    def num_unheld(self, hit: list[int]) -> int:
        """Nothing was found."""
        return 0

    def num_pages(self, chain: Any) -> int:
        """Nothing is known."""
        return 0

    def fork(self, chain: Any, blocks: list[int]) -> None:
        """A second holder of all blocks."""
        self.refs.share(blocks)

    def hold(self, chain: Any, hit: list[int]) -> None:
        """Nothing to hold."""

    def register(self, chain: Any, blocks: Sequence[int], stop: int) -> int:
        """Nothing becomes findable."""
        return 0

    def push(self, chain: Any, page: bytes, blocks: Sequence[int]) -> None:
        """Nothing is kept."""

    def release(self, chain: Any, blocks: list[int]) -> None:
        """Back to the pool, the tail first."""
        self.refs.free(blocks[::-1])

    def audit(self) -> None:
        """There are no books."""

    def evict(self, n: int) -> list[int]:
        """There is nothing to evict."""
        if n:
            raise CacheError(f"{n} blocks cannot be evicted, nothing is cached: ask for none.")
        return []
