"""vLLM's prefix cache: the free queue is the evictor.

A block that nobody holds any more and whose content is findable stands in a queue. A hit takes it out again; whoever
needs a block and finds the pool empty gets the one at the front. That is all of it: least recently used, and nothing
else is possible. Source: `vllm/v1/core/block_pool.py` (BlockPool, BlockHashToBlockMap) and
`kv_cache_utils.py` (FreeKVCacheBlockQueue).

Two things make it right without any further rule:

- **The tail goes first.** A sequence lets go of its last block first, so behind every block in the queue, or
  in somebody's hands, is one with the content before it. No parent is ever evicted before its child.
- **The hash is trusted.** There is no comparison of tokens, so the hashes must be cryptographic; see
  `labkit.cache.block_hashes`.

`HashPrefixCache` gives this class the face that the engine's manager needs, and a policy in the queue's place where one
is wanted (lesson 09), which then needs a rule about children (`labkit.cache.policy_queue`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from labkit.cache.base import RefCountsLike
from labkit.cache.block_table import blocks_needed
from labkit.cache.checks import whole_number
from labkit.cache.free_queue import FreeQueue
from labkit.errors import CacheError


def longest_hit(hashes: Sequence[Hashable], cached: Mapping[Any, int], limit: int) -> list[int]:
    """The blocks of the longest prefix that is cached: up to the first hash that is not, `limit` at most.

    Args:
        hashes: of a prompt's full blocks, in order.
        cached: the block that holds what a hash stands for.
        limit: blocks; (tokens - 1) // block_size leaves one token to compute, without which there is
            nothing to predict the next one from.
    """
    hit = []
    for key in hashes[:limit]:
        block = cached.get(key)
        if block is None:
            break
        hit.append(block)
    return hit


class BlocksByHash:
    """Which blocks hold the content that a hash stands for: usually one, sometimes several with the same content.

    Two requests may compute the same block at the same time, and the last block of a prompt is computed again where
    nothing else is left to compute. Tables never change, so both blocks stay, and evicting one leaves the other.

    Attributes:
        first: for each hash the block that was added first.
    """

    def __init__(self) -> None:
        self.first: dict[Hashable, int] = {}
        self._twins: dict[Hashable, list[int]] = {}  # the others, where there are any

    def get(self, key: Hashable) -> int | None:
        """A block with this content, the one that was added first; None if there is none."""
        return self.first.get(key)

    def blocks(self, key: Hashable) -> list[int]:
        """All blocks with this content."""
        return [self.first[key], *self._twins.get(key, ())] if key in self.first else []

    def add(self, key: Hashable, block: int) -> None:
        """`block` holds this content too."""
        if key in self.first:
            self._twins.setdefault(key, []).append(block)
        else:
            self.first[key] = block

    def remove(self, key: Hashable, block: int) -> None:
        """`block` does not hold it any more."""
        blocks = self.blocks(key)
        blocks.remove(block)
        self._twins.pop(key, None)
        del self.first[key]
        if blocks:
            self.first[key], *twins = blocks
            if twins:
                self._twins[key] = twins

    def __contains__(self, key: Hashable) -> bool:
        return key in self.first

    def __len__(self) -> int:
        return len(self.first)


class QueueCacheBase:
    """Everything about the cache but `register` and `release`, which a subclass adds.

    Attributes:
        refs: the counted blocks, with `allocate`, `share`, `drop` and `recycle`.
        hash_of: block -> hash, for every block whose content is findable.
        by_hash: hash -> blocks, the same the other way round.
        queue: the findable blocks that nobody holds, the longest unused one in front.
        evictions: blocks evicted so far.
    """

    def __init__(self, refs: RefCountsLike) -> None:
        self.refs = refs
        self.hash_of: dict[int, Hashable] = {}
        self.by_hash = BlocksByHash()
        self.queue = FreeQueue()
        self.evictions = 0

    @property
    def num_available(self) -> int:
        """Blocks that `allocate` could hand out: those in the pool and those in the queue."""
        return self.refs.num_free + len(self.queue)

    def lookup(self, hashes: Sequence[Hashable], limit: int) -> list[int]:
        """The blocks of the longest cached prefix, `limit` at most. Nothing changes."""
        return longest_hit(hashes, self.by_hash.first, limit)

    def num_unheld(self, hit: Sequence[int]) -> int:
        """How many blocks of a hit stand in the queue: once held, they are no longer to be had."""
        return sum(block in self.queue for block in hit)

    def hold(self, hit: Sequence[int]) -> None:
        """One more sequence holds these cached blocks. Those that nobody held leave the queue, wherever they stand."""
        self.refs.share(hit)
        for block in hit:
            if block in self.queue:
                self.queue.remove(block)

    def allocate(self, n: int) -> list[int] | None:
        """`n` blocks, held once: from the pool first, and then by evicting. None, and nothing changed, if there
        are fewer.
        """
        n = whole_number(n, "n", error=CacheError)
        if n > self.num_available:
            return None
        self.evict(max(0, n - self.refs.num_free))
        return self.refs.allocate(n)

    def evict(self, n: int) -> list[int]:
        """Forget the content of the `n` blocks at the front of the queue; they go back to the pool.

        Raises:
            CacheError: the queue holds fewer than `n`, or `n` is no whole number; then nothing has changed.
        """
        n = whole_number(n, "n", error=CacheError)
        if n > len(self.queue):
            raise CacheError(f"{n} blocks cannot be evicted, {len(self.queue)} can: ask for at most as many.")
        gone = [self.queue.popleft() for _ in range(n)]
        for block in gone:
            self.by_hash.remove(self.hash_of.pop(block), block)
        self.refs.recycle(gone)
        self.evictions += n
        return gone


class QueuePrefixCache(QueueCacheBase):
    """A prefix cache whose free queue is its evictor. Lesson 07 builds these two methods."""

    def register(self, hashes: Sequence[Hashable], blocks: Sequence[int]) -> None:
        """Make full blocks of a sequence findable.

        Args:
            hashes: of its full blocks, in order.
            blocks: its blocks in the same order; there may be more of them, which are not full. Those that are
                registered already stay as they are.
        """
        for key, block in zip(hashes, blocks, strict=False):
            if block not in self.hash_of:
                self.hash_of[block] = key
                self.by_hash.add(key, block)

    def release(self, blocks: Sequence[int]) -> None:
        """A sequence lets go of all its blocks, the last one first.

        Those that somebody else holds stay where they are. Of the others, what is registered goes to the back of the
        queue, and what is not goes back to the pool.
        """
        for block in self.refs.drop(list(reversed(blocks))):
            if block in self.hash_of:
                self.queue.append(block)
            else:
                self.refs.recycle([block])


def allocate_prompt(
    cache: QueueCacheBase, hashes: Sequence[Hashable], num_tokens: int, block_size: int
) -> tuple[list[int], int] | None:
    """Blocks for a prompt: cached ones as far as they go, fresh ones for the rest.

    Args:
        cache: a `QueuePrefixCache`.
        hashes: of the prompt's full blocks, num_tokens // block_size of them.
        num_tokens: 1 or more.
        block_size: tokens per block.

    Returns:
        (blocks, cached tokens), or None if there is no room; then nothing has changed. At least one token is left
        to compute, and the full blocks are registered.
    """
    hit = cache.lookup(hashes, (num_tokens - 1) // block_size)
    fresh = blocks_needed(num_tokens, block_size) - len(hit)
    # What was found and is held by nobody counts as available until it is held.
    if fresh > cache.num_available - cache.num_unheld(hit):
        return None
    cache.hold(hit)  # before allocating, which might evict it
    blocks = hit + (cache.allocate(fresh) or [])
    cache.register(hashes, blocks)  # type: ignore[attr-defined]
    return blocks, len(hit) * block_size
