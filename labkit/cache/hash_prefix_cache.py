"""The prefix cache by hash chains: finding blocks that an earlier request has computed.

The keys and values of a block depend on its own tokens and on every token before them. So a block can be used again by
another sequence exactly if both sequences agree up to its end, and a chain of hashes says so in one number: the hash of
a block covers its tokens and the hash of the block before it.

    "the cat sat on | the mat and said"       hash_0 = h(nothing, "the cat sat on")
                                              hash_1 = h(hash_0, "the mat and said")

Only full blocks are hashed, because a part-filled one still changes. A salt stands in front of the first block's tokens
and so reaches every hash of the chain. The design is vLLM's (`vllm/v1/core/block_pool.py` and `kv_cache_utils.py`).

**A hash is not a proof.** Two different prefixes may have the same hash, by chance or by somebody's design
(CVE-2025-25183), and then one user's block would be handed to another. So the hash is SHA-256, for which nobody can
find such a pair, and it is trusted, as in vLLM. The radix cache compares tokens instead.

Which blocks have which hash, and which of them wait for somebody, is kept by the class of lesson 07, whose free queue
evicts what has waited longest. Under any other policy the same class works over a queue whose front the policy names
(`labkit.cache.policy_queue`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from struct import iter_unpack
from typing import Any

from labkit.cache.base import EvictionPolicy, RefCountsLike
from labkit.cache.block_hashes import sha256_block
from labkit.cache.checks import whole_number
from labkit.cache.no_prefix_cache import NoPrefixCache
from labkit.cache.policy_queue import PolicyQueue
from labkit.cache.queue_prefix_cache import QueuePrefixCache, longest_hit
from labkit.errors import CacheError

HashBlock = Callable[[tuple[Any, bytes]], Any]
"""Hashes a pair (hash of the block before, tokens of the block); `hash` is one."""


def chain_hashes(
    tokens: bytes, page_bytes: int, salt: bytes = b"", hash_block: HashBlock = hash
) -> tuple[list[Any], list[bytes]]:
    """The hash of every full block of a prompt, and the tokens it was computed from.

    Args:
        tokens: the prompt (see `labkit.cache.tokens`).
        page_bytes: bytes of the tokens of one block.
        salt: goes in front of the first block's tokens (see `salted`).
        hash_block: hashes the pair (hash of the block before, tokens of the block); None stands before the first.

    Returns:
        (hashes, pages), both of length len(tokens) // page_bytes; the end of a part-filled block is left out.

    Raises:
        CacheError: `page_bytes` is not a whole number of 1 or more.
    """
    page_bytes = whole_number(page_bytes, "page_bytes", at_least=1, error=CacheError)
    # iter_unpack cuts in C, twice as fast as a slice per block.
    pages = [page for (page,) in iter_unpack(f"{page_bytes}s", tokens[: len(tokens) // page_bytes * page_bytes])]
    if salt and pages:
        pages[0] = salt + pages[0]
    hashes: list[Any] = []
    parent: Any = None
    for page in pages:
        parent = hash_block((parent, page))
        hashes.append(parent)
    return hashes, pages


class Hit(list[int]):
    """The blocks of a cached prefix, and the hashes of the whole prompt."""

    __slots__ = ("hashes", "salt")

    hashes: list[Any]
    salt: bytes


class Place:
    """What a sequence knows of itself: the hashes of its full blocks, and how many of them are registered."""

    __slots__ = ("hashes", "registered", "salt")

    def __init__(self, hashes: list[Any], salt: bytes, registered: int) -> None:
        self.hashes, self.salt, self.registered = hashes, salt, registered


class HashPrefixCache(NoPrefixCache):
    """Keeps what blocks hold findable after their last holder has let go.

    The same content can lie in two blocks: two requests computed it at the same time, or the last block of a prompt was
    computed again because one token always must be. As in vLLM the tables stay as they are; the second block is kept
    as a twin of the first, and evicting one leaves the other.

    Args:
        refs: the counted blocks.
        page_bytes: bytes of the tokens of one block.
        policy: who goes first; None for the free queue of lesson 07, which evicts what was let go of longest ago.
        blocks: makes the class of lesson 07 over `refs`.
        chain_hashes, longest_hit: the two functions of lesson 07.
        hash_block: see `chain_hashes`. It is trusted; weaken it only to see what happens.
    """

    keeps_twins = True

    def __init__(
        self,
        refs: RefCountsLike,
        page_bytes: int,
        policy: EvictionPolicy | None = None,
        *,
        blocks: Callable[[Any], Any] = QueuePrefixCache,
        chain_hashes: Callable[..., Any] = chain_hashes,
        longest_hit: Callable[..., list[int]] = longest_hit,
        hash_block: HashBlock = sha256_block,
    ) -> None:
        super().__init__(refs)
        self.page_bytes = page_bytes
        self.blocks = blocks(refs)
        self._queue = None if policy is None else PolicyQueue(policy, self.blocks)
        if self._queue is not None:
            self.blocks.queue = self._queue
        self._chain_hashes, self._longest_hit, self._hash_block = chain_hashes, longest_hit, hash_block

    @property
    def num_evictable(self) -> int:  # type: ignore[override]
        """Blocks that nobody holds and whose content is findable."""
        return len(self.blocks.queue)

    # ----- what a sequence does --------------------------------------------------------------------------------

    def lookup(self, tokens: bytes, salt: bytes, limit: int) -> list[int]:
        """The blocks of the longest cached prefix, `limit` at most. Nothing changes."""
        hashes, _ = self._chain_hashes(tokens, self.page_bytes, salt, self._hash_block)
        hit = Hit(self._longest_hit(hashes, self.blocks.by_hash.first, limit))
        hit.hashes, hit.salt = hashes, salt
        return hit

    def num_unheld(self, hit: list[int]) -> int:
        """How many of these blocks nobody holds: using them leaves so many fewer to evict."""
        return self.blocks.num_unheld(hit)

    def hold(self, hit: list[int]) -> Place:
        """A sequence uses the blocks that `lookup` has just found."""
        assert isinstance(hit, Hit)
        self.blocks.hold(hit)
        if self._queue is not None and hit:
            self._queue.policy.hit(hit)
        return Place(hit.hashes, hit.salt, len(hit))

    def register(self, place: Place, tokens: bytes, blocks: Sequence[int]) -> None:
        """A sequence has filled its next blocks, with these tokens: make them findable."""
        start, hashes = place.registered, place.hashes
        for at in range(len(hashes) - start, len(blocks)):  # the others were hashed with the prompt
            page = tokens[at * self.page_bytes : (at + 1) * self.page_bytes]
            hashes.append(self._hash_block((hashes[-1], page) if hashes else (None, place.salt + page)))
        if not blocks:
            return
        place.registered = start + len(blocks)
        keys, parent = hashes[start : place.registered], hashes[start - 1] if start else None
        if self._queue is not None:
            self._queue.stored(keys, blocks, parent, start)
        self.blocks.register(keys, blocks)
        for listener in self.listeners:
            after = None if parent is None else self.blocks.by_hash.get(parent)
            listener.stored(blocks, tokens, after, place.salt)

    def fork(self, place: Place) -> Place:
        """A second sequence stands at the same place."""
        return Place(list(place.hashes), place.salt, place.registered)

    def free(self, blocks: Iterable[int]) -> None:
        """One table lets go of its blocks, the last one first. What is findable waits; the rest goes to the pool."""
        self.blocks.release(list(blocks)[::-1])
        if self._queue is not None:
            self._queue.settle()

    def evict(self, n: int) -> list[int]:
        """Forget what is in `n` blocks, which go back to the pool; in the order of eviction.

        Raises:
            CacheError: fewer than `n` can be evicted; then nothing has changed.
            PolicyError: the policy named a block that it was not offered.
        """
        self._check_evictable(n)
        gone = self.blocks.evict(n)
        self.evictions += n
        for listener in self.listeners:
            listener.removed(gone)
        return gone

    def contents(self) -> dict[int, Hashable]:
        """The blocks whose content can be found, each with its hash."""
        return dict(self.blocks.hash_of)
