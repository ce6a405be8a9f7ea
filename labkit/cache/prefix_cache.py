"""What the manager needs of a prefix cache, whether it finds prefixes by hashes or in a tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from labkit.cache.ref_counts import RefCounts


class PrefixCache(Protocol):
    """Finds blocks that were computed before, and keeps them findable after their last holder has let go.

    For each sequence the cache makes a `chain`, which the manager keeps and hands back at every call and never
    looks into. It knows the tokens of the sequence's full blocks.

    Laws: a block that somebody holds is never evicted. Evicting never leaves a content whose beginning is
    gone. After `n <= num_evictable`, `evict(n)` succeeds.
    """

    refs: RefCounts
    keeps_twins: bool
    """Whether one content can be findable in two blocks; else the second stays private to who computed it."""
    num_evictable: int
    """Blocks that `evict` can recycle, one after another."""
    num_cached: int
    """Blocks that nobody holds and whose content is findable."""
    evictions: int
    """Blocks evicted so far."""
    regrets: int
    """Contents that were evicted and then computed again."""

    def chain(self, tokens: bytes, salt: bytes = b"") -> Any:
        """What the cache has to know of a prompt; see `labkit.cache.tokens` for the bytes."""
        ...

    def lookup(self, chain: Any, limit: int) -> list[int]:
        """The blocks of the longest cached prefix, `limit` at most. Nothing changes."""
        ...

    def num_unheld(self, hit: list[int]) -> int:
        """How many blocks of a hit can no longer be evicted once it is held."""
        ...

    def num_pages(self, chain: Any) -> int:
        """Full blocks whose tokens the chain knows."""
        ...

    def fork(self, chain: Any, blocks: list[int]) -> Any:
        """A second sequence holds all blocks of one that is held; returns the chain of the second."""
        ...

    def hold(self, chain: Any, hit: list[int]) -> None:
        """A sequence uses the blocks that `lookup` has just found for its chain."""
        ...

    def register(self, chain: Any, blocks: Sequence[int], stop: int) -> int:
        """Make the first `stop` blocks of a sequence findable; returns how many of its blocks are."""
        ...

    def push(self, chain: Any, page: bytes, blocks: Sequence[int]) -> None:
        """A sequence with these blocks has filled one more of them, with these tokens: make it findable."""
        ...

    def release(self, chain: Any, blocks: list[int]) -> None:
        """A sequence lets go of all its blocks, whose last reference may be this one."""
        ...

    def audit(self) -> None:
        """Look at all of the cache's own books (slow; for tests): AssertionError if they do not agree."""
        ...

    def evict(self, n: int) -> list[int]:
        """Drop the content of `n` blocks, which go back to the pool; returns them."""
        ...
