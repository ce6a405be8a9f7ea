"""Eviction policies: which cached block goes first when a new one is needed.

A block whose reference count is 0 and whose content is still findable costs nothing until somebody needs
room. Then one has to go, and the choice decides how much will be computed again. A policy only ranks; what
may go is decided by the cache: blocks that nobody holds and that have no cached children, because a child
without its parent can never be found again and would lie in memory for nothing.

The cache tells a policy what happens and asks for a victim:

    stored(blocks, depth)   their content has become findable; blocks[i] is block number depth + i of its prompt
    hit(blocks)             a request has found them
    released(blocks)        nobody holds them any more; the end of a sequence comes first
    add(block)              may be evicted from now on
    remove(block)           may not, because it was hit or got a child
    evict() -> block        the victim; for the policy that is its end

`items` are block ids here and node ids under the radix cache; a policy never looks behind the number. Adding
and removing cost O(log n), and in a chain of evictions (a block, then its parent, then its parent) O(1).

A policy remembers something of each number. Some of it outlives the eviction, and is written over when the number
stands for another content; numbers are small and used again, so memory is bounded by the cache and not by what has
passed through. The other policies stand in `labkit.cache.eviction_policies`, the optimum of one who knows the future
in `labkit.cache.belady`.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush, heappushpop
from typing import Any, Protocol, runtime_checkable

from labkit.errors import PolicyError


@runtime_checkable
class EvictionPolicy(Protocol):
    """What a cache needs of a policy; see the module's text for when each is called.

    Law: `evict` names a block that was added and since then neither removed nor evicted.
    """

    def stored(self, blocks: Sequence[int], depth: int) -> None: ...

    def hit(self, blocks: Sequence[int]) -> None: ...

    def released(self, blocks: Sequence[int]) -> None: ...

    def add(self, block: int) -> None: ...

    def remove(self, block: int) -> None: ...

    def evict(self) -> int: ...


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

    The block added last is kept in hand and not pushed yet. In a chain of evictions the parent that has
    just become evictable is often the next to go, and `heappushpop` then hands it straight back.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[Any, int]] = []
        self._rank: dict[int, Any] = {}  # of the blocks that may be evicted
        self._in_hand: tuple[Any, int] | None = None
        # What is remembered of each block. A list, which takes a fourth of a dict's memory, and nothing leaves it: what
        # stands there of an evicted block is written over before anybody asks for it.
        self._noted: list[Any] = []

    def rank(self, block: int) -> Any:
        """Where `block` stands in the order of eviction, now that it is added; by default what was noted of it."""
        return self._noted[block]

    def add(self, block: int) -> None:
        """`block` may be evicted from now on."""
        rank = self.rank(block)
        if self._in_hand is not None:
            heappush(self._heap, self._in_hand)
        self._rank[block] = rank
        self._in_hand = (rank, block)

    def remove(self, block: int) -> None:
        """`block` may not be evicted until it is added again."""
        del self._rank[block]
        # A workload that hits much and evicts little would fill the heap with what was forgotten.
        if len(self._heap) > 2 * len(self._rank) + 64:
            self._heap = [(rank, block) for block, rank in self._rank.items()]
            heapify(self._heap)
            self._in_hand = None

    def exchange(self, block: int) -> int:
        """`add(block)` and then `evict()`, in one step. A cache that follows a chain upwards asks for nothing else."""
        rank = self.rank(block)
        # Mostly the block is the first of all, and then it never enters the heap.
        if self._in_hand is None and not (self._heap and self._heap[0] < (rank, block)):
            return block
        heappush(self._heap, (rank, block))
        self._rank[block] = rank
        return self.evict()

    def evict(self) -> int:
        """The block with the smallest rank.

        Raises:
            PolicyError: no block may be evicted.
        """
        while True:
            if self._in_hand is not None:
                rank, block = heappushpop(self._heap, self._in_hand)
                self._in_hand = None
            elif self._heap:
                rank, block = heappop(self._heap)
            else:
                raise PolicyError("No block may be evicted: ask only while the cache has evictable blocks.")
            if block in self._rank and self._rank[block] == rank:
                del self._rank[block]
                return block


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
