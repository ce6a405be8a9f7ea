"""The manager's face for a queue prefix cache: yours from lesson 07, or the course's own.

    KVCacheManager(num_blocks, prefix_cache=queue_backed(QueuePrefixCache))
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import Any

from labkit.cache.block_hashes import sha256_block
from labkit.cache.checks import whole_number
from labkit.cache.ghosts import Ghosts
from labkit.cache.hash_prefix_cache import HashBlock, HashChain, chain_hashes
from labkit.cache.queue_prefix_cache import QueueCacheBase, QueuePrefixCache
from labkit.cache.ref_counts import RefCounts
from labkit.errors import CacheError


class QueueBackedCache:
    """A `PrefixCache` that hashes prompts and leaves the rest to a queue prefix cache.

    Args:
        refs: the counted blocks.
        page_bytes: bytes of the tokens of one block.
        policy: must be None. The queue is the policy.
        make: (refs) -> a cache with the methods of `QueuePrefixCache`.
        hash_block: see `chain_hashes`. It is trusted, so it must be cryptographic; weaken it only to see what happens.

    Raises:
        CacheError: a policy was given, or `page_bytes` is not a whole number of 1 or more.
    """

    keeps_twins = True

    def __init__(
        self,
        refs: RefCounts,
        page_bytes: int,
        policy: Any = None,
        make: Callable[[RefCounts], QueueCacheBase] = QueuePrefixCache,
        hash_block: HashBlock = sha256_block,
    ) -> None:
        if policy is not None:
            raise CacheError(
                f"The queue evicts by age alone, and was given the policy {type(policy).__name__}: "
                'leave it out, or use prefix_cache="hash".'
            )
        self.refs = refs
        self.page_bytes = whole_number(page_bytes, "page_bytes", at_least=1, error=CacheError)
        self.hash_block = hash_block
        self.queue_cache: Any = make(refs)
        self.regrets = 0
        self._ghosts = Ghosts(refs.num_blocks)

    @property
    def num_evictable(self) -> int:
        """Blocks in the queue."""
        return len(self.queue_cache.queue)

    @property
    def num_cached(self) -> int:
        """Blocks that nobody holds and whose content is findable: the same blocks."""
        return len(self.queue_cache.queue)

    @property
    def evictions(self) -> int:
        """Blocks evicted so far."""
        return self.queue_cache.evictions

    def chain(self, tokens: bytes, salt: bytes = b"") -> HashChain:
        """The hashes of a prompt."""
        return HashChain(*chain_hashes(tokens, self.page_bytes, salt, self.hash_block), salt)

    def lookup(self, chain: HashChain, limit: int) -> list[int]:
        """The blocks of the longest cached prefix, `limit` at most. Nothing changes."""
        return self.queue_cache.lookup(chain.hashes, limit)

    def num_unheld(self, hit: list[int]) -> int:
        """How many of them stand in the queue."""
        return self.queue_cache.num_unheld(hit)

    def num_pages(self, chain: HashChain) -> int:
        """Full blocks whose tokens the chain knows."""
        return len(chain.pages)

    def hold(self, chain: HashChain, hit: list[int]) -> None:
        """A sequence uses the blocks that `lookup` found."""
        chain.registered = len(hit)
        self.queue_cache.hold(hit)

    def register(self, chain: HashChain, blocks: Sequence[int], stop: int) -> int:
        """Make the first `stop` blocks of a sequence findable; returns how many are."""
        start = chain.registered
        if stop > start:
            hashes: list[Hashable] = chain.hashes[start:stop]
            self.regrets += self._ghosts.take(hashes)
            self.queue_cache.register(hashes, list(blocks[start:stop]))
            chain.registered = stop
        return chain.registered

    def push(self, chain: HashChain, page: bytes, blocks: Sequence[int]) -> None:
        """The sequence has filled one more block: make it findable."""
        if not chain.hashes:
            page = chain.salt + page  # the prompt was shorter than a block
        chain.hashes.append(self.hash_block((chain.hashes[-1] if chain.hashes else None, page)))
        chain.pages.append(page)
        self.register(chain, blocks, len(chain.hashes))

    def release(self, chain: HashChain, blocks: list[int]) -> None:
        """A sequence lets go of all its blocks."""
        self.queue_cache.release(blocks)

    def fork(self, chain: HashChain, blocks: list[int]) -> HashChain:
        """A second sequence holds all blocks of one that is held, with a chain of its own."""
        self.refs.share(blocks)
        return HashChain(list(chain.hashes), list(chain.pages), chain.salt, chain.registered)

    def evict(self, n: int) -> list[int]:
        """Drop the content of the `n` blocks at the front of the queue, which go back to the pool."""
        n = whole_number(n, "n", error=CacheError)
        cache = self.queue_cache
        keys = [cache.hash_of[block] for block in islice(cache.queue, n)]
        gone = cache.evict(n)
        self._ghosts.add([key for key in keys if key not in cache.by_hash])  # a twin leaves the content findable
        return gone

    def audit(self) -> None:
        """Look at the cache's own books (slow; for tests): AssertionError if they do not agree."""
        cache = self.queue_cache
        assert all(cache.refs.count(block) == 0 for block in cache.queue), "a block in the queue is held"
        unheld = {block for block in cache.hash_of if cache.refs.count(block) == 0}
        assert unheld == set(cache.queue), "the queue is not what is findable and held by nobody"
        assert {cache.by_hash.get(key) is not None for key in cache.hash_of.values()} <= {True}, "a hash has no block"


def queue_backed(make: Callable[[RefCounts], QueueCacheBase] = QueuePrefixCache, hash_block: HashBlock = sha256_block):
    """A maker for `KVCacheManager(prefix_cache=...)`: its prefix cache is then `make(refs)`, behind the protocol."""

    def prefix_cache(refs: RefCounts, page_bytes: int, policy: Any = None) -> QueueBackedCache:
        return QueueBackedCache(refs, page_bytes, policy, make, hash_block)

    return prefix_cache
