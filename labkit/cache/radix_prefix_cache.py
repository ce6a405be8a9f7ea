"""The prefix cache by a radix tree: the same promise as hash chains, kept by nodes and not by blocks.

It stands above `RefCounts` as `HashPrefixCache` does, and the manager cannot tell the two apart. What differs is what
is kept: a node for each run of blocks that all prompts so far have in common, and no key for every block. Tokens are
compared with tokens, so there is no hash that could be fooled.

    lookup     walks down; nothing changes
    hold       cuts the edge in which the hit ends, locks the way there, takes references
    register   hangs what is new below that, and locks it
    push       one more full page: lengthens the last node, if no other sequence's path goes through it
    release    unlocks; what nobody locks any more may be evicted, its leaves first
    evict      takes pages off the ends of leaves, in the order of the policy

A lock is not a reference. A reference says that a block stands in a table and must not be written by anybody else; a
lock says that a node is on the path of a running sequence and must not be evicted. Mostly the two go together. They
part where a sequence has computed a page that the tree has already, in another block (the last page of a prompt that
is known whole, because one token always is computed): the tree keeps its own block, the table keeps the sequence's,
which returns to the pool at the end; and the sequence locks a page that it does not hold.

The design is SGLang's (`srt/mem_cache/radix_cache.py`). There a finished request's duplicate is freed in favour of the
tree's as well; unlike there, prefixes become findable at allocation, so that both caches here tell the same story.
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.cache.checks import whole_number
from labkit.cache.eviction import LRU, EvictionPolicy, checked_policy
from labkit.cache.radix_ghosts import RadixGhosts
from labkit.cache.radix_node import RadixNode
from labkit.cache.radix_tree import evict_leaf, insert, lock, match, split, unlock
from labkit.cache.ref_counts import RefCounts
from labkit.errors import CacheError, PolicyError

LONGEST_EDGE = 16_384
"""Bytes of tokens on one edge. A prompt that is longer hangs as several nodes in a row, because cutting an edge and
taking a page off its end copy what is left of it."""


class Hit(list[int]):
    """The blocks of a cached prefix, and where in the tree it ends: after `pages` pages of the edge of `node`."""

    __slots__ = ("node", "pages")

    node: RadixNode
    pages: int


class Namespace(RadixNode):
    """The root of all prompts with one salt."""

    __slots__ = ("salt",)

    def __init__(self, salt: bytes) -> None:
        super().__init__()
        self.salt = salt


class RadixChain:
    """What a sequence knows of its own path.

    Attributes:
        salt: names the tree that it belongs to.
        node: where the path that it locks ends; None while it locks nothing.
        registered: pages on that path.
        private: its own blocks on that path that the tree does not have, each with the tree's block for the same page;
            None if there are none.
    """

    __slots__ = ("node", "private", "pushed", "registered", "salt", "tokens")

    def __init__(self, tokens: bytes, salt: bytes = b"") -> None:
        self.tokens = tokens  # of the prompt, a started page at its end included
        self.pushed: list[bytes] = []  # pages that were filled since
        self.salt = salt
        self.node: RadixNode | None = None
        self.registered = 0
        self.private: dict[int, int] | None = None

    def all_tokens(self, page_bytes: int) -> bytes:
        """The tokens of all pages. A started page may follow, but only while no page has been pushed."""
        if self.pushed:
            # Joined when somebody asks: page by page, the text of a long answer would be copied again and again.
            whole = len(self.tokens) - len(self.tokens) % page_bytes
            self.tokens = b"".join([self.tokens[:whole], *self.pushed])
            self.pushed = []
        return self.tokens


class RadixPrefixCache:
    """Keeps what blocks hold findable after their last holder has let go, in a radix tree for each salt.

    A policy ranks nodes, by their `number`, and is told of nodes what it is told of blocks by the hash cache:

        stored([node], depth)   depth is the number of pages in front of the node's first. A node of many pages is one
                                item; its pages are taken last first, and computing one of them again costs what its
                                own depth says, which is never less than the node's. What `split` cuts off above
                                a node is a new item, which has been stored and hit at the time of the cut.
        hit(nodes)              the nodes of a hit, the root's child first
        released(nodes)         nobody locks them any more, the end of the path first
        add, remove             the node is an unlocked leaf, is one no longer
        evict()                 the victim. All of its pages go before another is asked for, as long as room is needed;
                                if it is wanted again before the last of them, what is left of it is stored anew.

    Args:
        refs: the counted blocks.
        page_bytes: bytes of the tokens of one block.
        policy: who goes first; least recently used by default.

    Raises:
        CacheError: `page_bytes` is not a whole number of 1 or more. PolicyError: the policy is none.
    """

    keeps_twins = False

    # What does the work on the tree; `tree_backed` puts others in their place.
    match, split, insert, evict_leaf = map(staticmethod, (match, split, insert, evict_leaf))

    def __init__(self, refs: RefCounts, page_bytes: int, policy: EvictionPolicy | None = None) -> None:
        self.refs = refs
        self.page_bytes = page_bytes = whole_number(page_bytes, "page_bytes", at_least=1, error=CacheError)
        self.policy = LRU() if policy is None else checked_policy(policy)
        self.root = Namespace(b"")
        """The tree of prompts without a salt."""
        self.num_evictable = 0
        """Pages in nodes that nobody locks. All of them can be evicted, one after another."""
        self.evictions = 0
        """Blocks evicted so far."""
        self.regrets = 0
        """Contents that were evicted and then computed again."""
        self._roots = {b"": self.root}
        self._longest = max(1, LONGEST_EDGE // page_bytes)  # pages of one edge
        self._clock = 0
        self._nodes: list[RadixNode | None] = []  # by number
        self._numbers: list[int] = []  # that are not in use
        self._offered: set[int] = set()  # the policy may choose them
        self._victim: RadixNode | None = None  # it was chosen, and some of its pages are left
        self._victim_key = b""  # its key when it was chosen
        self._haunted: set[int] = set()  # nodes below whose pages something may have been evicted
        self._ghosts = RadixGhosts(refs.num_blocks, page_bytes)
        # Blocks of the tree whose page some sequence locks and has in another block: how many do.
        self._unused: dict[int, int] = {}

    # ----- looking ---------------------------------------------------------------------------------------------

    @property
    def num_cached(self) -> int:
        """Blocks that nobody holds and whose content is findable: those that can be evicted, and those that are
        locked by sequences that have the same content in a block of their own.
        """
        return self.num_evictable + sum(not self.refs.count(block) for block in self._unused)

    @property
    def num_nodes(self) -> int:
        """Nodes of all trees, without the roots."""
        return len(self._nodes) - len(self._numbers)

    def chain(self, tokens: bytes, salt: bytes = b"") -> RadixChain:
        """What the calls below need of a prompt."""
        return RadixChain(tokens, salt)

    def num_pages(self, chain: RadixChain) -> int:
        """Full blocks whose tokens the chain knows."""
        return len(chain.all_tokens(self.page_bytes)) // self.page_bytes

    def lookup(self, chain: RadixChain, limit: int) -> Hit:
        """The blocks of the longest cached prefix, `limit` at most. Nothing changes, no edge is cut."""
        root = self._roots.get(chain.salt)
        if root is None:
            return Hit()
        size = self.page_bytes
        tokens = chain.all_tokens(size) if chain.pushed else chain.tokens
        node, pages, blocks = self.match(root, tokens[: limit * size], size)
        hit = Hit(blocks)
        hit.node, hit.pages = node, pages
        return hit

    def num_unheld(self, hit: Hit) -> int:
        """How many blocks of a hit nobody locks: using them leaves so many fewer to evict."""
        if not hit:
            return 0
        node, pages, unheld = hit.node, hit.pages, 0
        while not node.locks and node.parent is not None:
            unheld += pages
            node = node.parent
            pages = len(node.blocks)
        return unheld

    # ----- what a sequence does --------------------------------------------------------------------------------

    def hold(self, chain: RadixChain, hit: Hit) -> None:
        """A sequence uses the blocks that `lookup` has just found."""
        if not hit:
            return
        self.refs.share(hit)
        node = hit.node
        if hit.pages < len(node.blocks):
            before = self._victim_bytes()
            node = self.split(node, hit.pages, self.page_bytes)
            self._victim_was_cut(before)
        self._lock(chain, node, len(hit))
        path = []
        while node.parent is not None:
            path.append(node.number)
            node = node.parent
        path.reverse()
        self.policy.hit(path)

    def register(self, chain: RadixChain, blocks: Sequence[int], stop: int) -> int:
        """Make the first `stop` blocks of a sequence findable, from where the last call ended.

        Returns:
            How many of its blocks are on its path now: `stop`, or what the last call said if that is more.
        """
        size = self.page_bytes
        tokens = chain.all_tokens(size)
        while chain.registered < stop:
            start = chain.registered
            end = min(stop, start + self._longest)
            self._insert(chain, tokens[start * size : end * size], blocks[start:end])
        return chain.registered

    def push(self, chain: RadixChain, page: bytes, blocks: Sequence[int]) -> None:
        """The sequence has filled one more block, with the tokens `page`: make it findable."""
        chain.pushed.append(page)
        node = chain.node
        if (
            node is not None
            and node.locks == 1  # so this sequence's path is the only one that goes through, and it ends here
            and not node.children
            and len(node.blocks) < self._longest
            and node.number not in self._haunted
        ):
            node.key += page
            node.blocks.append(blocks[chain.registered])
            chain.registered += 1
        else:
            self._insert(chain, page, blocks[chain.registered : chain.registered + 1])

    def fork(self, chain: RadixChain, blocks: list[int]) -> RadixChain:
        """A second sequence holds all blocks of one that is held, with a chain of its own."""
        self.refs.share(blocks)
        twin = RadixChain(chain.all_tokens(self.page_bytes), chain.salt)
        twin.node, twin.registered = chain.node, chain.registered
        if twin.node is not None:
            lock(twin.node, self._tick())
        if chain.private:
            twin.private = dict(chain.private)
            for block in twin.private.values():
                self._unused[block] += 1
        return twin

    def release(self, chain: RadixChain, blocks: list[int]) -> None:
        """A sequence lets go of all its blocks. Those in the tree stay there; the others go back to the pool, if nobody
        else holds them.
        """
        kept, loose = blocks[: chain.registered], blocks[chain.registered :]
        if chain.private:
            loose = [block for block in kept if block in chain.private] + loose
            kept = [block for block in kept if block not in chain.private]
            for block in chain.private.values():
                self._unused[block] -= 1
                if not self._unused[block]:
                    del self._unused[block]
            chain.private = None
        if kept:
            self.refs.drop(kept)
        if loose:
            self.refs.free(loose[::-1])
        node = chain.node
        if node is None:
            return
        chain.node, chain.registered = None, 0
        self.num_evictable += unlock(node, self._tick())
        if node.locks:
            return
        released, end = [], node
        while not node.locks and node.parent is not None:
            released.append(node.number)
            node = node.parent
        self.policy.released(released)
        if not end.children:
            self._offer(end)

    # ----- room ------------------------------------------------------------------------------------------------

    def evict(self, n: int) -> list[int]:
        """Drop the content of `n` blocks, which go back to the pool.

        Returns:
            The blocks, in the order of eviction.

        Raises:
            CacheError: fewer than `n` can be evicted, or `n` is no whole number; then nothing has changed.
            PolicyError: the policy named a node that it was not offered. After this, or after anything that the policy
                itself raises, the blocks of the nodes that it named before are back in the pool.
        """
        n = whole_number(n, "n", error=CacheError)
        if n > self.num_evictable:
            raise CacheError(f"{n} blocks cannot be evicted, {self.num_evictable} can: ask for at most as many.")
        gone: list[int] = []
        try:
            while len(gone) < n:
                victim = self._victim or self._choose()
                above = victim.parent
                gone += self.evict_leaf(victim, n - len(gone), self.page_bytes)
                if not victim.blocks:
                    self._forget(victim, above)
        finally:
            self.num_evictable -= len(gone)
            self.evictions += len(gone)
            self._age()
            self.refs.recycle(gone)
        return gone

    def clear(self) -> None:
        """Drop every content that nobody holds. What is held stays findable."""
        self.evict(self.num_evictable)

    # ----- inside ----------------------------------------------------------------------------------------------

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _insert(self, chain: RadixChain, tokens: bytes, blocks: Sequence[int]) -> None:
        """Put the next pages of a sequence's path into the tree, and lock them."""
        top = chain.node
        if top is None:
            top = self._roots.get(chain.salt)
            if top is None:
                top = self._roots[chain.salt] = Namespace(chain.salt)
        before = self._victim_bytes()
        node, found = self.insert(top, tokens, blocks, self.page_bytes)
        self._victim_was_cut(before)
        new = len(blocks) - found
        self.num_evictable += new  # locked in a moment
        end = chain.registered + len(blocks)
        self._lock(chain, node, end, top)
        if found:
            self._keep_apart(chain, blocks[:found], node, top)
        if new and (node.parent.parent is None or node.parent.number in self._haunted):
            size = self.page_bytes
            back = self._ghosts.take(chain.salt, chain.all_tokens(size)[: end * size], (end - new) * size)
            if back:
                self.regrets += back
                self._haunted.add(node.number)

    def _lock(self, chain: RadixChain, node: RadixNode, end: int, top: RadixNode | None = None) -> None:
        """A sequence's path now ends at `node`, `end` pages from the root; it is locked down to `top` already."""
        below, depth = node, end
        while below is not top and below.parent is not None:
            depth -= len(below.blocks)
            if below.number < 0:
                self._number(below, depth)
            elif below.number in self._offered:
                self._offered.remove(below.number)
                self.policy.remove(below.number)
            elif below is self._victim:
                self._spare(depth)
            below = below.parent
        self.num_evictable -= lock(node, self._tick(), top)
        chain.node, chain.registered = node, end

    def _number(self, node: RadixNode, depth: int) -> None:
        """A node that is new in the tree becomes an item of the policy."""
        if self._numbers:
            node.number = self._numbers.pop()
            self._nodes[node.number] = node
        else:
            node.number = len(self._nodes)
            self._nodes.append(node)
        for lower in node.children.values():  # it was cut off above this one
            if lower.number in self._haunted:
                self._haunted.add(node.number)
        self.policy.stored([node.number], depth)

    def _keep_apart(self, chain: RadixChain, own: Sequence[int], node: RadixNode, top: RadixNode) -> None:
        """The tree has pages of a sequence in other blocks: remember which, and that the sequence only locks them."""
        trees: list[int] = []
        while node is not top:
            trees[:0] = node.blocks
            node = node.parent  # type: ignore[assignment]
        if chain.private is None:
            chain.private = {}
        for block, trees_block in zip(own, trees, strict=False):
            chain.private[block] = trees_block
            self._unused[trees_block] = self._unused.get(trees_block, 0) + 1

    def _offer(self, node: RadixNode) -> None:
        """The node is an unlocked leaf."""
        self._offered.add(node.number)
        self.policy.add(node.number)

    def _choose(self) -> RadixNode:
        """The next node to lose its pages."""
        number = self.policy.evict()
        if type(number) is not int or number not in self._offered:
            raise PolicyError(
                f"The policy {type(self.policy).__name__} named {number!r} as its victim, which it was not offered: "
                "evict() returns a node that was added and not removed since."
            )
        self._offered.remove(number)
        victim = self._nodes[number]
        assert victim is not None
        self._victim, self._victim_key = victim, victim.key
        return victim

    def _victim_bytes(self) -> int:
        """Bytes of tokens that are left of the victim."""
        return 0 if self._victim is None else len(self._victim.key)

    def _victim_was_cut(self, before: int) -> None:
        """An edge may have been cut. If it was the victim's, of `before` bytes, its front is no longer its own."""
        cut = before - self._victim_bytes()
        if cut:
            self._victim_key = self._victim_key[cut:]

    def _spare(self, depth: int) -> None:
        """The victim is wanted again before all of its pages are gone."""
        victim = self._victim
        assert victim is not None
        self._bury(victim)
        self._victim = None
        self.policy.stored([victim.number], depth)

    def _forget(self, victim: RadixNode, above: RadixNode) -> None:
        """All pages of the victim are gone, and it has left the tree."""
        self._victim = None
        self._haunt(above, self._victim_key)
        number = victim.number
        self._haunted.discard(number)
        self._nodes[number] = None
        self._numbers.append(number)
        victim.number = -1
        if isinstance(above, Namespace):
            if above.salt and not above.children:
                del self._roots[above.salt]
            return
        self._haunted.add(above.number)
        if not above.children and not above.locks:
            self._offer(above)

    def _bury(self, victim: RadixNode) -> None:
        """Some pages of the victim are gone: remember them."""
        lost = self._victim_key[len(victim.key) :]
        if lost:
            self._haunt(victim, lost)
            self._haunted.add(victim.number)
            self._victim_key = victim.key

    def _age(self) -> None:
        """An eviction is over: let the ghosts forget, if they remember enough."""
        victim, young = self._victim, self._ghosts.num_young
        if victim is not None:
            young += (len(self._victim_key) - len(victim.key)) // self.page_bytes
        if young >= self._ghosts.size:
            if victim is not None:
                self._bury(victim)
            self._ghosts.forget()

    def _haunt(self, above: RadixNode, run: bytes) -> None:
        """The pages `run` behind `above` have been evicted."""
        keys: list[bytes] = []
        while above.parent is not None:
            keys.append(above.key)
            above = above.parent
        keys.reverse()
        assert isinstance(above, Namespace)
        self._ghosts.add(above.salt, b"".join(keys), run)

    # ----- for tests -------------------------------------------------------------------------------------------

    def audit(self) -> None:
        """Look at all of the cache's own books (slow): AssertionError if they do not agree."""
        size, seen, numbers, evictable = self.page_bytes, set(), set(), 0
        todo: list[RadixNode] = list(self._roots.values())
        while todo:
            node = todo.pop()
            todo += node.children.values()
            for first, child in node.children.items():
                assert child.parent is node and child.key[:size] == first, "a child is not where its first page says"
                assert node.parent is None or node.locks >= child.locks, "a child is locked more often than its parent"
            if node.parent is None:
                continue
            assert node.blocks and len(node.key) == size * len(node.blocks), "an edge has not one block a page"
            assert self._nodes[node.number] is node, "a node is not known by its number"
            numbers.add(node.number)
            assert not seen.intersection(node.blocks), "a block stands in two places"
            seen.update(node.blocks)
            leaf = not node.locks and not node.children
            chosen = node.number in self._offered or node is self._victim
            assert chosen == leaf, "the policy is offered too much or too little"
            if not node.locks:
                evictable += len(node.blocks)
                assert not any(map(self.refs.count, node.blocks)), "somebody holds a block that nobody locks"
        assert len(numbers) == self.num_nodes, "a number belongs to no node"
        assert self.num_evictable == evictable, "what can be evicted is not counted right"
