"""The swap pool: host memory for sequences that had to leave.

A sequence that loses its blocks can be computed again later, or its K and V can be copied to the host and
back. Early vLLM did the second for sequences it could not recompute; today's offload tiers keep whole
caches there. Which of the two is cheaper is the subject of lesson 18; here is only the bookkeeping. Source
of the idea: PagedAttention (Kwon et al., SOSP 2023, section 4.5).
"""

from __future__ import annotations

from collections.abc import Hashable

from labkit.cache.block_pool import BlockPool
from labkit.cache.checks import whole_number
from labkit.errors import CacheError, UnknownSequenceError


class SwapPool:
    """Blocks in host memory, a pool of their own with ids of their own.

    Args:
        num_blocks: host blocks, 0 or more, of the size of those on the device.
    """

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = whole_number(num_blocks, "num_blocks", error=CacheError)
        self._pool = BlockPool(self.num_blocks)
        self._held: dict[Hashable, list[int]] = {}
        self.swapped_out = 0
        """Blocks copied to the host so far."""
        self.swapped_in = 0
        """Blocks that left the host for the device again, so far."""

    @property
    def num_free(self) -> int:
        """Host blocks that hold nothing."""
        return self._pool.num_free

    def __contains__(self, seq_id: Hashable) -> bool:
        return seq_id in self._held

    def blocks(self, seq_id: Hashable) -> list[int]:
        """The host blocks of a sequence in logical order, a copy."""
        return list(self._blocks(seq_id))

    def store(self, seq_id: Hashable, n: int) -> list[int] | None:
        """`n` host blocks for a sequence; None, and nothing changed, if there are fewer.

        Raises:
            CacheError: the sequence has host blocks already.
        """
        try:
            there = seq_id in self._held
        except TypeError:
            raise CacheError(f"A sequence cannot be called {seq_id!r:.60}, which has no hash: name it by a number or a "
                             "string.") from None
        if there:
            raise CacheError(f"The sequence {seq_id!r} is in the swap pool already: take it out first.")
        host = self._pool.allocate(n)
        if host is not None:
            self._held[seq_id] = host
            self.swapped_out += n
        return None if host is None else list(host)

    def take(self, seq_id: Hashable) -> list[int]:
        """The host blocks of a sequence, which are free from now on; their content must be copied before `store`.

        Raises:
            UnknownSequenceError: the sequence has none.
        """
        host = self._blocks(seq_id)
        self.discard(seq_id)
        self.swapped_in += len(host)
        return host

    def discard(self, seq_id: Hashable) -> None:
        """The sequence will not come back: its host blocks are free, and nothing is copied.

        Raises:
            UnknownSequenceError: the sequence has none.
        """
        self._pool.free(self._blocks(seq_id))
        del self._held[seq_id]

    def _blocks(self, seq_id: Hashable) -> list[int]:
        try:
            return self._held[seq_id]
        except (KeyError, TypeError):
            raise UnknownSequenceError(f"The sequence {seq_id!r} is not in the swap pool: store it first.") from None
