"""The eviction policies of the tournament: FIFO, LFU, CLOCK, SLRU, a cost-aware one, and chance.

Each answers the same question, which block will not be missed, with another guess:

    FIFO     what has been cached for longest
    LRU      what has not been held for longest (`labkit.cache.eviction`)
    CLOCK    what has been cached for longest and not hit since somebody looked last
    LFU      what has been hit least often
    SLRU     what has never been hit; then what has not been held for longest
    GDSF     what is hit least often for the work that it saves, and has been for a while
    Random   anything

None can be best on every trace, because each is wrong about some: see lesson 09. Swapping one for another never
changes what a model answers, only how much of it is computed again.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from numbers import Real

from labkit.cache.base import EvictionPolicy
from labkit.cache.checks import whole_number
from labkit.cache.eviction import LRU, Policy, RankedPolicy, note
from labkit.errors import PolicyError


class FIFO(RankedPolicy):
    """First in, first out: what was stored first goes first, whether it has been hit or not."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def stored(self, blocks: Sequence[int], depth: int) -> None:
        """The blocks take their places at the end of the queue."""
        note(self._noted, blocks, None)
        for block in blocks:
            self._count += 1
            self._noted[block] = self._count


class LFU(LRU):
    """Least frequently used: fewest hits first, and of those with as many the one not held for longest.

    What was popular once stays for a long time after the last request for it: counts are never aged.
    """

    def __init__(self) -> None:
        super().__init__()
        self._hits: list[int] = []

    def stored(self, blocks: Sequence[int], depth: int) -> None:
        """New contents, never hit."""
        note(self._hits, blocks, 0)

    def hit(self, blocks: Sequence[int]) -> None:
        """One hit more for each."""
        hits = self._hits
        for block in blocks:
            hits[block] += 1

    def rank(self, block: int) -> tuple[int, int]:
        """Hits, then when it was let go of."""
        return self._hits[block], self._noted[block]


class CLOCK(FIFO):
    """FIFO with a second chance (Corbato, "A paging experiment with the Multics system", 1968).

    A block that was hit since the hand last came by is passed over once and goes to the end of the queue. The hand
    passes over blocks that may not be evicted now, and they keep their place. Each turn of a block is paid for by a
    hit, so an eviction costs O(log n) in the long run.
    """

    def __init__(self) -> None:
        super().__init__()
        self._hit_since: set[int] = set()

    def hit(self, blocks: Sequence[int]) -> None:
        """A second chance for each."""
        self._hit_since.update(blocks)

    def evict(self) -> int:
        """The first block in the queue without a second chance."""
        while True:
            block = super().evict()
            if block not in self._hit_since:
                return block
            self._hit_since.remove(block)
            self.stored((block,), 0)
            self.add(block)


class SLRU(LRU):
    """Segmented LRU (Karedla, Love and Wherry, "Caching strategies to improve disk system performance", 1994).

    New contents are on probation, and a hit moves them to the protected segment. Probation is emptied first, so a scan
    that nobody asks for twice passes through it and leaves alone what has been useful. The protected segment holds a
    share of the cache at most: what falls out of its far end is on probation again, as the youngest there.

    Args:
        num_blocks: blocks of the cache.
        protected: share of them that the protected segment may hold, 0 to 1.
    """

    def __init__(self, num_blocks: int, protected: float = 0.8) -> None:
        super().__init__()
        num_blocks = whole_number(num_blocks, "num_blocks", at_least=1, error=PolicyError)
        if not (isinstance(protected, Real) and 0 <= protected <= 1):
            raise PolicyError(f"The protected share is {protected!r}, but must be from 0 to 1: give a share.")
        self._most: int = int(protected * num_blocks)
        self._protected: OrderedDict[int, None] = OrderedDict()  # hit longest ago first

    def hit(self, blocks: Sequence[int]) -> None:
        """Protected, the front of the prompt most of all."""
        protected = self._protected
        for block in reversed(blocks):
            protected[block] = None
            protected.move_to_end(block)
        while len(protected) > self._most:
            fallen, _ = protected.popitem(last=False)
            self._clock += 1
            note(self._noted, (fallen,), self._clock)
            if fallen in self._rank:
                self.remove(fallen)
                self.add(fallen)

    def rank(self, block: int) -> tuple[bool, int]:
        """The segment, then when it was let go of."""
        return block in self._protected, self._noted[block]

    def evict(self) -> int:
        """See `RankedPolicy.evict`."""
        block = super().evict()
        self._protected.pop(block, None)
        return block


def recompute_cost(depth: int, block_tokens: int = 512, hidden: int = 4096) -> float:
    """The work of computing a block again, in units of a prompt's very first tokens.

    A token at position c costs 24 h^2 operations per layer in the matrices of a block of the usual shape (4 h^2 weights
    in attention, 8 h^2 in the MLP, two operations each) and 4 c h for its scores and the weighted sum over c tokens
    before it. The ratio of the second to the first is c / (6 h): small for a short prompt, and 1 at position 6 h.
    Counting as in Kaplan et al. 2020, section 2.1.

    Args:
        depth: number of the block in its prompt, from 0.
        block_tokens: tokens per block.
        hidden: h, the width of the model.
    """
    return 1 + depth * block_tokens / (6 * hidden)


class GDSF(LRU):
    """Cost-aware: GreedyDual-Size-Frequency (Cherkasova 1998; GreedyDual: Young 1994), for blocks of one size.

    The value of a block is L + hits * cost, where the cost is the work of computing it again. The least valuable
    goes first and L rises to its value, so that what is not hit for long is overtaken by newcomers however valuable
    it once was. Ties: not held for longest first.

    Args:
        cost: the work of computing block number `depth` of a prompt again, in any unit; grows with depth by default.
    """

    def __init__(self, cost: Callable[[int], float] = recompute_cost) -> None:
        super().__init__()
        if not callable(cost):
            raise PolicyError(f"cost is {cost!r:.60}, but must be a function of a block's depth: pass one.")
        self._cost = cost
        self._inflation = 0.0
        self._worth: dict[int, tuple[int, int, float]] = {}  # uses, depth, value

    def stored(self, blocks: Sequence[int], depth: int) -> None:
        """New contents, used once."""
        for at, block in enumerate(blocks, depth):
            self._worth[block] = (1, at, self._inflation + self._cost(at))

    def hit(self, blocks: Sequence[int]) -> None:
        """One use more for each, counted from what L is now."""
        for block in blocks:
            uses, depth, _ = self._worth[block]
            self._worth[block] = (uses + 1, depth, self._inflation + (uses + 1) * self._cost(depth))

    def rank(self, block: int) -> tuple[float, int]:
        """The value, then when it was let go of."""
        return self._worth[block][2], self._noted[block]

    def evict(self) -> int:
        """See `RankedPolicy.evict`; L rises to the value of the victim."""
        block = super().evict()
        self._inflation = max(self._inflation, self._worth.pop(block)[2])
        return block


class Random(Policy):
    """Any block that may be evicted, each with the same probability: the policy that no trace can be built against.

    Args:
        seed: of the draws.
    """

    def __init__(self, seed: int = 0) -> None:
        self._draw = random.Random(whole_number(seed, "seed", error=PolicyError)).random
        self._blocks: list[int] = []
        self._place: dict[int, int] = {}  # block -> where it stands in the list

    def add(self, block: int) -> None:
        """`block` may be evicted from now on."""
        self._place[block] = len(self._blocks)
        self._blocks.append(block)

    def remove(self, block: int) -> None:
        """`block` may not be evicted until it is added again; the last in the list takes its place."""
        place, last = self._place.pop(block), self._blocks.pop()
        if last != block:
            self._blocks[place] = last
            self._place[last] = place

    def evict(self) -> int:
        """A block drawn from those that may go.

        Raises:
            PolicyError: no block may be evicted.
        """
        if not self._blocks:
            raise PolicyError("No block may be evicted: ask only while the cache has evictable blocks.")
        block = self._blocks[int(self._draw() * len(self._blocks))]
        self.remove(block)
        return block


POLICIES: dict[str, Callable[[int], EvictionPolicy]] = {
    "FIFO": lambda num_blocks: FIFO(),
    "LRU": lambda num_blocks: LRU(),
    "CLOCK": lambda num_blocks: CLOCK(),
    "LFU": lambda num_blocks: LFU(),
    "SLRU": SLRU,
    "GDSF": lambda num_blocks: GDSF(),
    "Random": lambda num_blocks: Random(),
}
"""Makers of the policies that do not know the future, by name; the argument is the number of blocks of the cache."""
