"""Every contract of the cache on one page: what its parts must be able to do, whoever wrote them.

The engine is put together by these protocols only (`labkit/engine.py`). Anything that has the methods fits: the
reference in this package, or the class that you wrote in a lesson. Nobody inherits from a protocol, and nobody looks at
a private name. From the bottom up:

    BlockPoolLike      lesson 04    which blocks are free
    BlockTableLike     lesson 05    which block holds which tokens of a sequence
    RefCountsLike      lesson 06    how many tables hold a block
    PrefixCache        07 and 08    the pool of the tables, which remembers what blocks hold
    EvictionPolicy     lesson 09    which of the blocks that may go goes first
    ContiguousAllocator    03       memory as it was before blocks

A call that finds no room answers None, False or `NoRoom`, and nothing has changed: being full is an ordinary answer
that a scheduler asks for many times per second.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

# ----- what stands above nothing ----------------------------------------------------------------------------------


@runtime_checkable
class BlockPoolLike(Protocol):
    """Hands out blocks of equal size. Law: free and held blocks together are 0 .. num_blocks - 1, each once."""

    @property
    def num_blocks(self) -> int:
        """Blocks in all."""
        ...

    @property
    def num_free(self) -> int:
        """Blocks that can be allocated now."""
        ...

    def allocate(self, n: int) -> list[int] | None:
        """`n` different free blocks, now the caller's; None, and nothing changed, if there are fewer."""
        ...

    def free(self, blocks: Iterable[int]) -> None:
        """Take back blocks that the caller holds."""
        ...


@runtime_checkable
class BlockTableLike(Protocol):
    """Maps the positions of one sequence to slots.

    Law: len(blocks) is what num_tokens need and no more; a refused append changes neither table nor pool.
    """

    pool: Any
    block_size: int
    blocks: list[int]
    num_tokens: int

    def append(self, n: int = 1) -> bool:
        """Make room for `n` more tokens; False, and nothing changed, if the pool is too empty."""
        ...

    def slot(self, position: int) -> int:
        """Where token `position` lies in KV memory, in slots."""
        ...

    def slots(self, start: int, stop: int) -> list[int]:
        """Where tokens `start` to `stop - 1` lie."""
        ...

    def release(self) -> None:
        """Give every block back, the last one first; the table is empty afterwards."""
        ...


class RefCountsLike(BlockPoolLike, Protocol):
    """A pool whose blocks can be held more than once.

    A block is in the pool, or held by one table or more, or, between `drop` and `recycle`, neither: then a cache may
    keep what is in it findable, and `share` brings it back into use.
    """

    def count(self, block: int) -> int:
        """How many tables hold `block`; 0 if none does, whether it is in the pool or not."""
        ...

    def share(self, blocks: Sequence[int]) -> None:
        """One more table holds each of these blocks, none of which is in the pool."""
        ...

    def drop(self, blocks: Sequence[int]) -> list[int]:
        """One table fewer holds each of these blocks; returns those that nobody holds now, in the order given."""
        ...

    def recycle(self, blocks: Sequence[int]) -> None:
        """Return blocks that nobody holds to the pool, in this order."""
        ...


# ----- prefix caches and policies ---------------------------------------------------------------------------------


class PrefixCache(Protocol):
    """The pool that block tables take from, and that keeps what blocks hold findable after their last holder has left.

    To a table it is a pool of counted blocks. `num_free` is what a table can have: blocks that hold nothing, and those
    that it can evict. Beside that it finds prefixes. Its answer to `lookup` is a list of blocks that goes back to
    `hold`; what it must know of a sequence it keeps in a `place`, which the caller keeps and never looks into.

    Laws: a block that somebody holds is never evicted. Evicting never leaves a content whose beginning is gone. After
    `n <= num_free`, `allocate(n)` succeeds. Which policy evicts changes what is found, and never what has room.
    """

    refs: RefCountsLike
    num_blocks: int
    num_evictable: int
    """Blocks that `evict` can empty, one after another."""

    @property
    def num_free(self) -> int: ...

    @property
    def num_cached(self) -> int:
        """Blocks that nobody holds and whose content is findable."""
        ...

    keeps_twins: bool
    """Whether one content can be findable in two blocks; else the second stays private to who computed it."""
    evictions: int
    """Blocks evicted so far."""
    taken: int
    """Blocks handed out so far."""
    listeners: list[CacheListener]
    """Who is told what becomes findable and what is evicted."""

    def make_room(self, n: int) -> bool:
        """Evict until the pool has `n` blocks; False, and nothing changed, if it cannot have so many."""
        ...

    def allocate(self, n: int) -> list[int] | None: ...

    def free(self, blocks: Iterable[int]) -> None: ...

    def share(self, blocks: Sequence[int]) -> None: ...

    def count(self, block: int) -> int: ...

    def lookup(self, tokens: bytes, salt: bytes, limit: int) -> list[int]:
        """The blocks of the longest cached prefix, `limit` at most. Nothing changes."""
        ...

    def num_unheld(self, hit: list[int]) -> int:
        """How many blocks of a hit can no longer be evicted once it is held."""
        ...

    def hold(self, hit: list[int]) -> Any:
        """A sequence uses the blocks that `lookup` has just found; returns its place, also where nothing was found."""
        ...

    def register(self, place: Any, tokens: bytes, blocks: Sequence[int]) -> None:
        """A sequence has filled its next blocks, with these tokens: make them findable."""
        ...

    def fork(self, place: Any) -> Any:
        """A second sequence stands at the same place and holds the same blocks; returns its place."""
        ...

    def leave(self, place: Any) -> None:
        """A sequence has given its blocks back (`free`), and its place is needed no longer."""
        ...

    def evict(self, n: int) -> list[int]:
        """Forget what is in `n` blocks that nobody holds; they go back to the pool. Returns them."""
        ...

    def clear(self) -> None:
        """Forget everything that nobody holds. That is no eviction."""
        ...

    def contents(self) -> dict[int, Hashable]:
        """The blocks whose content can be found, held or not, each with a key of that content: equal for equal tokens
        behind an equal beginning. Slow; for whoever watches.
        """
        ...


class CacheListener(Protocol):
    """Hears of a prefix cache what vLLM's KV events tell of a server (BlockStored, BlockRemoved, AllBlocksCleared)."""

    def stored(self, blocks: Sequence[int], tokens: bytes, after: int | None, salt: bytes) -> None:
        """These tokens, a page a block, are findable now.

        `after` is a block with the page before the first of them; None if they begin the prompt, under this salt.
        """
        ...

    def removed(self, blocks: Sequence[int]) -> None:
        """What these blocks held is not findable in them any more."""
        ...

    def cleared(self) -> None:
        """Nothing is findable any more."""
        ...


@runtime_checkable
class EvictionPolicy(Protocol):
    """Ranks what may go. The cache decides what may: what nobody holds and what has no cached children.

    "Blocks" are numbers: of blocks under the hash cache, of nodes under the radix cache. They are small and used again,
    and a policy never looks behind them. Law: `evict` names one that was added and since then neither removed nor
    evicted.
    """

    def stored(self, blocks: Sequence[int], depth: int) -> None:
        """Their content has become findable; blocks[i] is block number depth + i of its prompt."""
        ...

    def hit(self, blocks: Sequence[int]) -> None:
        """A request has found them."""
        ...

    def released(self, blocks: Sequence[int]) -> None:
        """Nobody holds them any more; the end of a sequence comes first."""
        ...

    def add(self, block: int) -> None:
        """It may be evicted from now on."""
        ...

    def remove(self, block: int) -> None:
        """It may not, because it was hit or got a child."""
        ...

    def evict(self) -> int:
        """The victim; for the policy that is its end."""
        ...


# ----- what the manager answers -----------------------------------------------------------------------------------


class Allocation(NamedTuple):
    """What a sequence got.

    Attributes:
        blocks: its blocks in logical order; the list belongs to the manager.
        num_cached_tokens: leading tokens whose K and V are there already.
    """

    blocks: list[int]
    num_cached_tokens: int


class NoRoom(NamedTuple):
    """Why a sequence got nothing. It counts as false, so `if manager.allocate(...)` reads as it should.

    Attributes:
        needed: blocks that had to be found.
        available: blocks that could be, evicting everything that nobody holds.
        fits_empty: whether an empty cache would have room; if not, waiting does not help.
    """

    needed: int
    available: int
    fits_empty: bool

    def __bool__(self) -> bool:
        return False


@dataclass
class Counters:
    """What has happened so far. The five that a dashboard must keep apart come first.

    Attributes:
        blocks_recycled: blocks that went back to the pool, whatever was in them.
        cached_blocks_evicted: of those, blocks whose content was findable until then.
        regretted_evictions: contents that were evicted and computed again; None where no meter of regret watches
            (`labkit.observe.regret`).
        preemptions: sequences that gave up their memory before they were finished, to be computed again.
        recomputed_tokens: tokens that such a sequence had computed and had to compute again.
        queried_tokens, hit_tokens: tokens of new prompts, and those of them found in the cache.
        preempted_queried_tokens, preempted_hit_tokens: the same of sequences that come back after a preemption. What
            they find is mostly their own, and says nothing of how well prompts are shared.
    """

    blocks_recycled: int = 0
    cached_blocks_evicted: int = 0
    regretted_evictions: int | None = None
    preemptions: int = 0
    recomputed_tokens: int = 0
    queried_tokens: int = 0
    hit_tokens: int = 0
    preempted_queried_tokens: int = 0
    preempted_hit_tokens: int = 0


# ----- before blocks ----------------------------------------------------------------------------------------------


@runtime_checkable
class ContiguousAllocator(Protocol):
    """Gives each sequence one unbroken run of slots, as engines did before paging (`labkit.cache.contiguous`).

    Law: reservations never overlap, and reservations and holes together are all of memory. A refused call changes
    nothing.
    """

    @property
    def num_slots(self) -> int:
        """Slots in all; one slot holds the keys and values of one token."""
        ...

    def reserve(self, seq: str, tokens: int) -> int | None:
        """Slots for a sequence that may grow to `tokens` tokens: the first of them, None if no hole fits."""
        ...

    def use(self, seq: str, tokens: int) -> None:
        """Say that `seq` has now written `tokens` of its slots."""
        ...

    def release(self, seq: str) -> None:
        """Return the whole reservation of `seq`."""
        ...

    def holes(self) -> Sequence[tuple[int, int]]:
        """The free runs (start, length), from low slots to high."""
        ...

    def reservations(self) -> Mapping[str, Any]:
        """Who holds which run, a `labkit.cache.waste.Reservation` each."""
        ...

    def waste(self, wanted: int = 0) -> Any:
        """Every slot by what becomes of it, a `labkit.cache.waste.Waste`, while somebody waits for `wanted` tokens."""
        ...
