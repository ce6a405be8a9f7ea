"""What a KV-cache manager answers: blocks, or why there are none, and what has happened so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Allocation(NamedTuple):
    """What a sequence got.

    Attributes:
        blocks: its blocks in logical order; the list belongs to the manager.
        num_cached_tokens: leading tokens whose K and V are there already.
    """

    blocks: list[int]
    num_cached_tokens: int


@dataclass
class Counters:
    """What has happened so far. The five that a dashboard must keep apart come first.

    Attributes:
        blocks_recycled: blocks that went back to the pool, whatever was in them.
        cached_blocks_evicted: of those, blocks whose content was findable until then.
        regretted_evictions: contents that were evicted and came back: computed again, or copied back from the host.
            A cache remembers at least as many evictions as it has blocks; what comes back after more may be missed.
        preemptions: sequences that gave up their memory before they were finished, to be computed again. Those that
            were copied to the host are counted by the swap pool.
        recomputed_tokens: tokens that such a sequence had computed and had to compute again.
        queried_tokens, hit_tokens: prompt tokens asked for, and found in the cache.
    """

    blocks_recycled: int = 0
    cached_blocks_evicted: int = 0
    regretted_evictions: int = 0
    preemptions: int = 0
    recomputed_tokens: int = 0
    queried_tokens: int = 0
    hit_tokens: int = 0


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
