"""The pool of the tables: counted blocks, and no prefix caching. Its two children find prefixes.

Alone it serves a manager without caching (vLLM: `--no-enable-prefix-caching`). `HashPrefixCache` and `RadixPrefixCache`
add what makes blocks findable, and evict when the pool alone is not enough.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from labkit.cache.base import CacheListener, RefCountsLike
from labkit.errors import CacheError


class NoPrefixCache:
    """A `PrefixCache` that finds nothing; see `labkit.cache.base` for every method.

    Args:
        refs: the counted blocks.
    """

    keeps_twins = False
    num_evictable = 0

    def __init__(self, refs: RefCountsLike) -> None:
        self.refs = refs
        self.num_blocks = refs.num_blocks
        self.taken = 0
        self.evictions = 0
        self.listeners: list[CacheListener] = []
        self.count = refs.count
        self.share = refs.share

    @property
    def num_free(self) -> int:
        """Blocks that `allocate` could hand out: in the pool, and those that can be evicted."""
        return self.refs.num_free + self.num_evictable

    @property
    def num_cached(self) -> int:
        """Blocks that nobody holds and whose content is findable."""
        return self.num_evictable

    def make_room(self, n: int) -> bool:
        """Evict until the pool has `n` blocks; False, and nothing changed, if it cannot have so many."""
        missing = n - self.refs.num_free
        if missing > 0:
            if missing > self.num_evictable:
                return False
            self.evict(missing)
        return True

    def allocate(self, n: int) -> list[int] | None:
        """`n` blocks, held once: from the pool, and by evicting; None, and nothing changed, if there are fewer."""
        if self.num_evictable and not self.make_room(n):
            return None
        blocks = self.refs.allocate(n)
        self.taken += len(blocks or ())
        return blocks

    def free(self, blocks: Iterable[int]) -> None:
        """One table lets go of its blocks; what nobody else holds goes back to the pool."""
        self.refs.free(blocks)

    def lookup(self, tokens: bytes, salt: bytes, limit: int) -> list[int]:
        """Nothing is found."""
        return []

    def num_unheld(self, hit: list[int]) -> int:
        """Nothing was found."""
        return 0

    def hold(self, hit: list[int]) -> Any:
        """Nothing to hold."""

    def register(self, place: Any, tokens: bytes, blocks: Sequence[int]) -> None:
        """Nothing becomes findable."""

    def fork(self, place: Any) -> Any:
        """Nothing to know."""

    def leave(self, place: Any) -> None:
        """Nothing to forget."""

    def evict(self, n: int) -> list[int]:
        """There is nothing to evict."""
        self._check_evictable(n)
        return []

    def clear(self) -> None:
        """Forget everything that nobody holds. Nobody needs the room, so it does not count as eviction."""
        evictions, listeners = self.evictions, self.listeners
        self.listeners = []
        self.evict(self.num_evictable)
        self.evictions, self.listeners = evictions, listeners
        for listener in listeners:
            listener.cleared()

    def contents(self) -> dict[int, Hashable]:
        """Nothing can be found."""
        return {}

    def _check_evictable(self, n: int) -> None:
        if n > self.num_evictable:
            raise CacheError(f"{n} blocks cannot be evicted, {self.num_evictable} can: ask for at most as many.")
