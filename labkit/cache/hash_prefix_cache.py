"""The prefix cache by hash chains: finding blocks that an earlier request has computed.

The keys and values of a block depend on its own tokens and on every token before them. So a block can be
used again by another sequence exactly if both sequences agree up to its end, and a chain of hashes says so
in one number: the hash of a block covers its tokens and the hash of the block before it.

    "the cat sat on | the mat and said"       hash_0 = h(nothing, "the cat sat on")
                                              hash_1 = h(hash_0, "the mat and said")

Only full blocks are hashed, because a part-filled one still changes. A salt stands in front of the first
block's tokens and so reaches every hash of the chain. The design is vLLM's (`vllm/v1/core/block_pool.py`
and `kv_cache_utils.py`); what differs is said below.

**A hash is not a proof.** Two different prefixes may have the same hash, by chance or by somebody's design
(CVE-2025-25183), and then one user's block would be handed to another. vLLM answers with SHA-256, for which
nobody can find such a pair. Here the hash is Python's own (SipHash of the tokens, keyed by a secret of the
process, and mixed with the parent's hash), which is five times as fast and could be fooled; so every block
also remembers its tokens and the hash it hangs from, a hit compares both, and no hash ever stands for two
contents at a time. By induction from the first block, equal means equal all the way.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from struct import iter_unpack
from typing import Any

from labkit.cache.checks import whole_number
from labkit.cache.eviction import LRU, EvictionPolicy, checked_policy
from labkit.cache.ghosts import Ghosts
from labkit.cache.ref_counts import RefCounts
from labkit.errors import CacheError, PolicyError

ROOT = None
"""What the first block of a prompt hangs from: no hash."""

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
        hash_block: hashes the pair (hash of the block before, tokens of the block).

    Returns:
        (hashes, pages), both of length len(tokens) // page_bytes; the end of a part-filled block is left out.

    Raises:
        CacheError: `page_bytes` is not a whole number of 1 or more.
    """
    page_bytes = whole_number(page_bytes, "page_bytes", at_least=1, error=CacheError)
    # iter_unpack cuts in C, twice as fast as a slice a block.
    pages = [page for (page,) in iter_unpack(f"{page_bytes}s", tokens[: len(tokens) // page_bytes * page_bytes])]
    if salt and pages:
        pages[0] = salt + pages[0]
    hashes: list[Any] = []
    parent: Any = ROOT
    for page in pages:
        parent = hash_block((parent, page))
        hashes.append(parent)
    return hashes, pages


def longest_hit(hashes: Sequence[Any], cached: Mapping[Any, int], limit: int) -> list[int]:
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


class HashChain:
    """What a sequence knows of its own hashes: one for each full block, and how many the cache has.

    Attributes:
        hashes, pages: see `chain_hashes`.
        salt: what stands in front of the first block's tokens, for a prompt that does not fill a block yet.
        registered: leading blocks that are in the cache under these hashes.
    """

    __slots__ = ("hashes", "pages", "registered", "salt")

    def __init__(self, hashes: list[Any], pages: list[bytes], salt: bytes = b"", registered: int = 0) -> None:
        self.hashes = hashes
        self.pages = pages
        self.salt = salt
        self.registered = registered


class HashPrefixCache:
    """Keeps what blocks hold findable after their last holder has let go.

    It stands above `RefCounts` and changes nothing there. A block that nobody holds any more goes back to the
    pool if its content was never registered; otherwise it stays, evictable, and its content can be hit
    until the policy names it as a victim.

    The same content can lie in two blocks: two requests computed it at the same time, or the last block of a
    prompt was computed again because one token always must be. As in vLLM the tables stay as they are; the
    second block is kept as a twin of the first, and evicting one leaves the other.

    Unlike vLLM's free queue, a policy may be anything here, so the cache itself sees to it that no child
    outlives its parent: only contents without cached children may go, or one of two twins.

    Args:
        refs: the counted blocks.
        page_bytes: bytes of the tokens of one block.
        policy: who goes first; least recently used by default.
        hash_block: see `chain_hashes`.

    Raises:
        CacheError: `page_bytes` is not a whole number of 1 or more. PolicyError: the policy is none.
    """

    keeps_twins = True

    def __init__(
        self,
        refs: RefCounts,
        page_bytes: int,
        policy: EvictionPolicy | None = None,
        hash_block: HashBlock = hash,
    ) -> None:
        blocks = refs.num_blocks
        self.refs = refs
        self.page_bytes = whole_number(page_bytes, "page_bytes", at_least=1, error=CacheError)
        self.policy = LRU() if policy is None else checked_policy(policy)
        self.hash_block = hash_block
        self.num_evictable = 0
        """Blocks that nobody holds and whose content is cached. All of them can be evicted, one after another."""
        self.evictions = 0
        """Blocks evicted so far."""
        self.regrets = 0
        """Contents that were evicted and then computed again."""
        self._ghosts = Ghosts(blocks)
        self._block_of: dict[Any, int] = {}
        self._twins: dict[Any, list[int]] = {}  # other blocks with the same content
        self._hash_of: list[Any] = [None] * blocks  # None: not registered
        self._page_of: list[bytes | None] = [None] * blocks
        self._parent_of: list[Any] = [None] * blocks  # the hash that it hangs from
        self._children = array("I", [0]) * blocks  # cached contents that hang from it; kept at the first of twins
        self._unheld = bytearray(blocks)  # cached, and nobody holds it
        self._offered = bytearray(blocks)  # the policy may choose it

    # ----- what a sequence does --------------------------------------------------------------------------------

    def chain(self, tokens: bytes, salt: bytes = b"") -> HashChain:
        """The hashes of a prompt, for the calls below."""
        return HashChain(*chain_hashes(tokens, self.page_bytes, salt, self.hash_block), salt)

    def lookup(self, chain: HashChain, limit: int) -> list[int]:
        """The blocks of the longest cached prefix, `limit` at most. Nothing changes."""
        hit = longest_hit(chain.hashes, self._block_of, limit)
        page_of, parent_of = self._page_of, self._parent_of
        parent: Any = ROOT
        for i, (block, page, key) in enumerate(zip(hit, chain.pages, chain.hashes, strict=False)):
            if page_of[block] != page or parent_of[block] != parent:
                return hit[:i]  # the hash lied
            parent = key
        return hit

    def num_unheld(self, hit: list[int]) -> int:
        """How many of these cached blocks nobody holds: using them leaves so many fewer to evict."""
        unheld = self._unheld
        return sum([unheld[block] for block in hit])

    def num_pages(self, chain: HashChain) -> int:
        """Full blocks whose tokens the chain knows."""
        return len(chain.pages)

    @property
    def num_cached(self) -> int:
        """Blocks that nobody holds and whose content is findable."""
        return self.num_evictable

    def fork(self, chain: HashChain, blocks: list[int]) -> HashChain:
        """A second sequence holds all blocks of one that is held, with a chain of its own."""
        self.refs.share(blocks)
        return HashChain(list(chain.hashes), list(chain.pages), chain.salt, chain.registered)

    def hold(self, chain: HashChain, hit: list[int]) -> None:
        """A sequence uses the blocks that `lookup` found."""
        chain.registered = len(hit)
        if not hit:
            return
        self.refs.share(hit)
        unheld = self._unheld
        for block in hit:
            if unheld[block]:
                unheld[block] = 0
                self.num_evictable -= 1
        # Of a chain only the end can be without children; twins are the exception.
        for block in hit if self._twins else hit[-1:]:
            if self._offered[block]:
                self._offered[block] = 0
                self.policy.remove(block)
        self.policy.hit(hit)

    def register(self, chain: HashChain, blocks: Sequence[int], stop: int) -> int:
        """Make the first `stop` blocks of a sequence findable, from where the last call ended.

        Returns:
            How many of its blocks are findable now. Fewer than `stop` where a hash stands for another content
            already: what hangs from it could not be told apart, so the chain ends there.
        """
        start = chain.registered
        hashes, pages = chain.hashes, chain.pages
        block_of, hash_of, page_of, parent_of = self._block_of, self._hash_of, self._page_of, self._parent_of
        children, twins = self._children, self._twins
        parent = hashes[start - 1] if start else ROOT
        above = block_of[parent] if start else None
        for i in range(start, stop):
            key, page, block = hashes[i], pages[i], blocks[i]
            first = block_of.setdefault(key, block)
            if hash_of[block] is not None:
                pass  # a fork that holds the same block has been here
            elif first != block:
                if page_of[first] != page or parent_of[first] != parent:
                    stop = i
                    break
                twins.setdefault(key, []).append(block)
            elif above is not None:
                children[above] += 1
            hash_of[block], page_of[block], parent_of[block] = key, page, parent
            if twins and key in twins:
                self._review(first)  # it has a twin, so it may go even though it has children
            parent, above = key, first
        if stop > start:
            chain.registered = stop
            self.regrets += self._ghosts.take(hashes[start:stop])
            self.policy.stored(blocks[start:stop], start)
        return chain.registered

    def push(self, chain: HashChain, page: bytes, blocks: Sequence[int]) -> None:
        """The sequence has filled one more block, with the tokens `page`: make it findable."""
        hashes = chain.hashes
        if not hashes:
            page = chain.salt + page
        hashes.append(self.hash_block((hashes[-1] if hashes else ROOT, page)))
        chain.pages.append(page)
        self.register(chain, blocks, len(hashes))

    def release(self, chain: HashChain, blocks: list[int]) -> None:
        """A sequence lets go of all its blocks. Those that nobody else holds stay cached, or go back to the pool."""
        # Tail first, so that what many prompts have in common is let go of last, and evicted last.
        let_go = self.refs.drop(blocks[::-1])
        # Two runs: what was never registered stands at the end of the sequence, and so in front here.
        loose = 0
        while loose < len(let_go) and self._hash_of[let_go[loose]] is None:
            loose += 1
        if loose:
            self.refs.recycle(let_go[:loose])
            let_go = let_go[loose:]
        if not let_go:
            return
        unheld = self._unheld
        for block in let_go:
            unheld[block] = 1
        self.num_evictable += len(let_go)
        self.policy.released(let_go)
        # As in `hold`: whoever has its successor in front of it has a child.
        for block in let_go if self._twins else let_go[:1]:
            self._review(block)

    # ----- room ------------------------------------------------------------------------------------------------

    def evict(self, n: int) -> list[int]:
        """Drop the content of `n` blocks, which go back to the pool.

        Returns:
            The blocks, in the order of eviction.

        Raises:
            CacheError: fewer than `n` can be evicted, or `n` is no whole number; then nothing has changed.
            PolicyError: the policy named a block that it was not offered. After this, or after anything that the policy
                itself raises, the blocks that it named before are back in the pool.
        """
        n = whole_number(n, "n", error=CacheError)
        if n > self.num_evictable:
            raise CacheError(f"{n} blocks cannot be evicted, {self.num_evictable} can: ask for at most as many.")
        block_of, hash_of, parent_of, children = self._block_of, self._hash_of, self._parent_of, self._children
        unheld, offered, twins, policy = self._unheld, self._offered, self._twins, self.policy
        exchange = getattr(policy, "exchange", None)
        gone, lost = [], []
        above = None  # what the last victim hung from, if it may go now
        try:
            while len(gone) < n:
                # In a chain of evictions the parent is offered and the next victim asked for in one call; mostly it is
                # that parent.
                if above is None:
                    block = policy.evict()
                elif exchange is not None:
                    block = exchange(above)
                else:
                    policy.add(above)
                    block = policy.evict()
                if above is None or block != above:
                    if above is not None:
                        offered[above] = 1
                    if not self._may_go(block):
                        raise PolicyError(
                            f"The policy {type(policy).__name__} named {block!r} as its victim, which it was not "
                            "offered: evict() returns a block that was added and not removed since."
                        )
                    offered[block] = 0
                unheld[block] = 0
                gone.append(block)
                key = hash_of[block]
                hash_of[block] = above = None
                if twins and key in twins:
                    self._lose_twin(key, block)
                    continue
                lost.append(key)
                del block_of[key]
                parent = block_of.get(parent_of[block])
                if parent is not None:
                    children[parent] -= 1
                    if unheld[parent] and not children[parent] and not offered[parent]:
                        above = parent
            if above is not None:
                policy.add(above)
        finally:  # whatever a policy raises, what has gone has gone, and nothing is lost
            if above is not None:
                offered[above] = 1
            self.num_evictable -= len(gone)
            self.evictions += len(gone)
            self._ghosts.add(lost)
            self.refs.recycle(gone)
        return gone

    def clear(self) -> None:
        """Drop every content that nobody holds. What is held stays findable."""
        self.evict(self.num_evictable)

    def _may_go(self, block: object) -> bool:
        """Whether the policy was offered this; it may say anything."""
        return type(block) is int and 0 <= block < len(self._offered) and bool(self._offered[block])

    # ----- which blocks may go ---------------------------------------------------------------------------------

    def _lose_twin(self, key: Any, block: int) -> None:
        """One of several blocks with the same content is gone; if it was the first, the next takes its place."""
        twins = self._twins[key]
        if self._block_of[key] == block:
            heir = twins.pop(0)
            self._block_of[key] = heir
            self._children[heir], self._children[block] = self._children[block], 0
        else:
            twins.remove(block)
        if not twins:
            del self._twins[key]
        self._review(self._block_of[key])

    def _review(self, block: int) -> None:
        """Offer a block to the policy, or take it back, after the number of its twins has changed."""
        may_go = self._unheld[block] and (not self._children[block] or self._hash_of[block] in self._twins)
        if may_go and not self._offered[block]:
            self._offered[block] = 1
            self.policy.add(block)
        elif not may_go and self._offered[block]:
            self._offered[block] = 0
            self.policy.remove(block)

    # ----- for tests -------------------------------------------------------------------------------------------

    def audit(self) -> None:
        """Look at all of the cache's own books (slow): AssertionError if they do not agree."""
        blocks = range(self.refs.num_blocks)
        registered = [block for block in blocks if self._hash_of[block] is not None]
        copies: dict[Any, list[int]] = {}
        for block in registered:
            copies.setdefault(self._hash_of[block], []).append(block)
        assert set(copies) == set(self._block_of), "a hash has no block, or a block's hash is not known"
        children = dict.fromkeys(blocks, 0)
        for key, same in copies.items():
            first = self._block_of[key]
            assert sorted([first, *self._twins.get(key, [])]) == same, "twins are not all known"
            parent = self._parent_of[first]
            contents = {(self._page_of[block], self._parent_of[block]) for block in same}
            assert len(contents) == 1, "a hash stands for two contents"
            assert parent is ROOT or parent in self._block_of, "a child has outlived its parent"
            if parent is not ROOT:
                children[self._block_of[parent]] += 1
        for block in blocks:
            assert self._children[block] == children[block], "children are not counted right"
            unheld = self._hash_of[block] is not None and self.refs.count(block) == 0
            assert bool(self._unheld[block]) == unheld, "who holds a cached block is not known"
            may_go = unheld and (not children[block] or self._hash_of[block] in self._twins)
            assert bool(self._offered[block]) == may_go, "the policy is offered too much or too little"
        assert self.num_evictable == sum(self._unheld), "what can be evicted is not counted right"
