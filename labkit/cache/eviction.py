"""Eviction policies: which cached block goes first when a new one is needed.

A block whose reference count is 0 and whose content is still findable costs nothing until somebody needs
room. Then one has to go, and the choice decides how much will be computed again. A policy only ranks; what
may go is decided by the cache: blocks that nobody holds and that have no cached children, because a child
without its parent cannot be found until somebody computes the parent again, and lies there for nothing until then.

What the cache tells a policy and asks of it stands in `labkit.cache.base.EvictionPolicy`. Adding and removing cost
O(log n).

A policy remembers something of each number. Some of it outlives the eviction, and is written over when the number
stands for another content; numbers are small and used again, so memory is bounded by the cache and not by what has
passed through. The other policies stand in `labkit.cache.eviction_policies`, the optimum of one who knows the future
in `labkit.cache.belady`.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from labkit.cache.base import EvictionPolicy
from labkit.errors import PolicyError


def checked_policy(policy: object) -> EvictionPolicy:
    """`policy`, if it has all that a cache calls.

    Raises:
        PolicyError: a method is missing, or it is a class and not an object of one.
    """
    if isinstance(policy, type):
        raise PolicyError(f"The policy is the class {policy.__name__}, but must be an object of it: call it.")
    names = ("stored", "hit", "released", "add", "remove", "evict")
    missing = [name for name in names if not callable(getattr(policy, name, None))]
    if missing:
        raise PolicyError(
            f"The policy is {policy!r:.60}, which has no {', '.join(missing)}: give it every method of EvictionPolicy."
        )
    return policy  # type: ignore[return-value]


class Policy:
    """A base for policies: takes notice of nothing, and leaves `add`, `remove` and `evict` to be written."""

    def stored(self, blocks: Sequence[int], depth: int) -> None:
        """Nothing to note."""

    def hit(self, blocks: Sequence[int]) -> None:
        """Nothing to note."""

    def released(self, blocks: Sequence[int]) -> None:
        """Nothing to note."""


def note(notes: list[Any], blocks: Sequence[int], value: Any) -> None:
    """notes[block] = value for each of the blocks; the list grows up to the largest of them."""
    try:
        for block in blocks:
            notes[block] = value
    except IndexError:
        notes += [None] * (max(blocks) + 1 - len(notes))
        for block in blocks:
            notes[block] = value


class RankedPolicy(Policy):
    """A policy that gives each evictable block a rank when it is added; the smallest goes first.

    A heap finds the smallest. Taking a block out of the middle of a heap is slow, so `remove` only forgets
    that the block is in it, and what was forgotten is passed over when it comes to the top.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[Any, int]] = []
        self._rank: dict[int, Any] = {}  # of the blocks that may be evicted
        # What is remembered of each block. A list, which takes a fourth of a dict's memory, and nothing leaves it: what
        # stands there of an evicted block is written over before anybody asks for it.
        self._noted: list[Any] = []

    def rank(self, block: int) -> Any:
        """Where `block` stands in the order of eviction, now that it is added; by default what was noted of it."""
        return self._noted[block]

    def add(self, block: int) -> None:
        """`block` may be evicted from now on."""
        self._rank[block] = rank = self.rank(block)
        heappush(self._heap, (rank, block))

    def remove(self, block: int) -> None:
        """`block` may not be evicted until it is added again."""
        del self._rank[block]
        # A workload that hits much and evicts little would fill the heap with what was forgotten.
        if len(self._heap) > 2 * len(self._rank) + 64:
            self._heap = [(rank, block) for block, rank in self._rank.items()]
            heapify(self._heap)

    def evict(self) -> int:
        """The block with the smallest rank.

        Raises:
            PolicyError: no block may be evicted.
        """
        while self._heap:
            rank, block = heappop(self._heap)
            if block in self._rank and self._rank[block] == rank:
                del self._rank[block]
                return block
        raise PolicyError("No block may be evicted: ask only while the cache has evictable blocks.")


class LRU(RankedPolicy):
    """Least recently used first: what has not been held for longest.

    The clock counts releases. The blocks of one table are released together, and of those only the last one
    has no child, so ties never meet.
    """

    def __init__(self) -> None:
        super().__init__()
        self._clock = 0

    def released(self, blocks: Sequence[int]) -> None:
        """The blocks were in use until now: that is what is noted of them, and how they are ranked."""
        self._clock += 1
        note(self._noted, blocks, self._clock)
