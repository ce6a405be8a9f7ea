"""The prefix cache by a radix tree: the same promise as hash chains, kept by nodes and not by blocks.

The manager cannot tell it from `HashPrefixCache`. What differs is what is kept: a node for each run of blocks that all
prompts so far have in common, and no key for every block. Tokens are compared with tokens, so there is no hash that
could be fooled.

    lookup     walks down; nothing changes
    hold       cuts the edge in which the hit ends, locks the way there, takes references
    register   hangs what is new below that, and locks it; one more page lengthens the last node, if no other sequence's
               path goes through it
    leave      unlocks; what nobody locks any more may be evicted, its leaves first
    evict      takes pages off the ends of leaves, in the order of the policy

A lock is not a reference. A reference says that a block stands in a table and must not be written by anybody else; a
lock says that a node is on the path of a running sequence and must not be evicted. Mostly the two go together. They
part where a sequence has computed a page that the tree has already, in a block that somebody else holds (the last page
of a prompt that is known whole, because one token always is computed): the tree keeps its block, the table keeps the
sequence's, which returns to the pool at the end. If nobody holds the tree's block, the tree takes the new one and gives
its own back. So what is held, and what has room, never depends on what happened to be evicted.

The design is SGLang's (`srt/mem_cache/radix_cache.py`); unlike there, prefixes become findable at allocation, so that
both caches here tell the same story.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from labkit.cache import radix_tree
from labkit.cache.base import EvictionPolicy, RefCountsLike
from labkit.cache.no_prefix_cache import NoPrefixCache
from labkit.cache.radix_node import RadixNode
from labkit.cache.radix_tree import lock, unlock
from labkit.errors import PartError, PolicyError

LONGEST_EDGE = 16_384
"""Bytes of tokens on one edge. A prompt that is longer hangs as several nodes in a row, because cutting an edge and
taking a page off its end copy what is left of it."""


class Hit(list[int]):
    """The blocks of a cached prefix, and where in the tree it ends: after `pages` pages of the edge of `node`."""

    __slots__ = ("node", "pages", "salt")

    node: RadixNode
    pages: int
    salt: bytes


class Place:
    """Where a sequence's path ends: at `node`, `pages` pages from the root. None while it locks nothing."""

    __slots__ = ("node", "pages", "salt")

    def __init__(self, salt: bytes, node: RadixNode | None = None, pages: int = 0) -> None:
        self.salt, self.node, self.pages = salt, node, pages


class RadixPrefixCache(NoPrefixCache):
    """Keeps what blocks hold findable after their last holder has let go, in a radix tree for each salt.

    A policy ranks nodes, by their `number`. A node of many pages is one item, and its depth is that of its first page;
    its pages are taken last first, all of them before another victim is asked for, as long as room is needed. If it is
    wanted again before the last of them, what is left is stored anew. What `split` cuts off above a node is a new item,
    which has been stored and hit at the time of the cut.

    Args:
        refs: the counted blocks.
        page_bytes: bytes of the tokens of one block.
        policy: who goes first.
        match, split, insert, evict_leaf: what does the work on the tree, as in `labkit.cache.radix_tree`.
    """

    def __init__(
        self,
        refs: RefCountsLike,
        page_bytes: int,
        policy: EvictionPolicy,
        *,
        match: Callable[..., Any] = radix_tree.match,
        split: Callable[..., Any] = radix_tree.split,
        insert: Callable[..., Any] = radix_tree.insert,
        evict_leaf: Callable[..., Any] = radix_tree.evict_leaf,
    ) -> None:
        super().__init__(refs)
        self.page_bytes = page_bytes
        self.policy = policy
        self.root = RadixNode()
        """The tree of prompts without a salt."""
        self.num_evictable = 0
        self._findable: set[int] = set()
        self._match, self._split, self._insert, self._evict_leaf = match, split, insert, evict_leaf
        self._roots = {b"": self.root}
        self._longest = max(1, LONGEST_EDGE // page_bytes)  # pages of one edge
        self._clock = 0
        self._nodes: dict[int, RadixNode] = {}  # by number
        self._numbers = list(range(refs.num_blocks))[::-1]  # that are not in use: no node is without a block
        self._offered: set[int] = set()  # the policy may choose them
        self._victim: RadixNode | None = None  # it was chosen, and some of its pages are left

    # ----- looking ---------------------------------------------------------------------------------------------

    @property
    def num_cached(self) -> int:
        """Blocks that nobody holds and whose content is findable: those that can be evicted, and those that are locked
        by sequences that have the same content in a block of their own. Counted when asked for.
        """
        return [*map(self.count, self._findable)].count(0)

    @property
    def num_nodes(self) -> int:
        """Nodes of all trees, without the roots."""
        return len(self._nodes)

    def lookup(self, tokens: bytes, salt: bytes, limit: int) -> list[int]:
        """The blocks of the longest cached prefix, `limit` at most. Nothing changes, no edge is cut."""
        root = self._roots.get(salt)
        if root is None:
            hit = Hit()
        else:
            if len(tokens) >= (limit + 1) * self.page_bytes:  # a started page is never found, so that need not be cut
                tokens = tokens[: limit * self.page_bytes]
            node, pages, blocks = self._match(root, tokens, self.page_bytes)
            hit = Hit(blocks)
            hit.node, hit.pages = node, pages
        hit.salt = salt
        return hit

    def num_unheld(self, hit: list[int]) -> int:
        """How many blocks of a hit nobody locks: using them leaves so many fewer to evict."""
        if not hit:
            return 0
        assert isinstance(hit, Hit)
        node, pages, unheld = hit.node, hit.pages, 0
        while not node.locks and node.parent is not None:
            unheld += pages
            node = node.parent
            pages = len(node.blocks)
        return unheld

    # ----- what a sequence does --------------------------------------------------------------------------------

    def hold(self, hit: list[int]) -> Place:
        """A sequence uses the blocks that `lookup` has just found."""
        assert isinstance(hit, Hit)
        place = Place(hit.salt)
        if not hit:
            return place
        self.share(hit)
        node = hit.node
        if hit.pages < len(node.blocks):
            node = self._split(node, hit.pages, self.page_bytes)
        self._lock(place, node, len(hit))
        path = []
        while node.parent is not None:
            path.append(node.number)
            node = node.parent
        path.reverse()
        self.policy.hit(path)
        return place

    def register(self, place: Place, tokens: bytes, blocks: Sequence[int]) -> None:
        """A sequence has filled its next blocks, with these tokens: make them findable."""
        node, size = place.node, self.page_bytes
        if (
            len(blocks) == 1
            and node is not None
            and node.locks == 1  # so this sequence's path is the only one that goes through, and it ends here
            and not node.children
            and len(node.blocks) < self._longest
        ):
            after = node.blocks[-1]
            node.key += tokens
            node.blocks += blocks
            place.pages += 1
            self._findable.add(blocks[0])
            for listener in self.listeners:
                listener.stored(blocks, tokens, after, place.salt)
            return
        for start in range(0, len(blocks), self._longest):
            end = start + self._longest
            self._hang(place, tokens[start * size : end * size], blocks[start:end])

    def fork(self, place: Place) -> Place:
        """A second sequence stands at the same place."""
        if place.node is not None:
            lock(place.node, self._tick())
        return Place(place.salt, place.node, place.pages)

    def free(self, blocks: Iterable[int]) -> None:
        """One table lets go of its blocks. What is in the tree stays there; the rest goes back to the pool, if nobody
        else holds it.
        """
        findable = self._findable
        loose = [block for block in self.refs.drop(blocks) if block not in findable]  # type: ignore[arg-type]
        if loose:
            self.refs.recycle(loose)

    def leave(self, place: Place) -> None:
        """A sequence has given its blocks back: unlock its path."""
        node = place.node
        if node is None:
            return
        place.node = None
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
        """Forget what is in `n` blocks, which go back to the pool; in the order of eviction.

        Raises:
            CacheError: fewer than `n` can be evicted; then nothing has changed.
            PolicyError: the policy named a node that it was not offered.
        """
        self._check_evictable(n)
        gone: list[int] = []
        while len(gone) < n:
            victim = self._victim or self._choose()
            above = victim.parent
            last = self._evict_leaf(victim, n - len(gone), self.page_bytes)
            if not last:
                raise PartError("evict_leaf", "took no page off a leaf that nobody locks")
            gone += last
            if not victim.blocks:
                assert above is not None
                self._forget(victim, above)
        self.num_evictable -= len(gone)
        self.evictions += len(gone)
        self._findable.difference_update(gone)
        for listener in self.listeners:
            listener.removed(gone)
        self.refs.recycle(gone)
        return gone

    def contents(self) -> dict[int, Hashable]:
        """The blocks in the tree, each with a hash of the tokens up to its end."""
        found: dict[int, Hashable] = {}
        todo: list[tuple[RadixNode, Hashable]] = [(root, salt) for salt, root in self._roots.items()]
        while todo:
            node, key = todo.pop()
            for at, block in enumerate(node.blocks):
                key = found[block] = hash((key, node.key[at * self.page_bytes : (at + 1) * self.page_bytes]))
            todo += [(child, key) for child in node.children.values()]
        return found

    # ----- inside ----------------------------------------------------------------------------------------------

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _hang(self, place: Place, tokens: bytes, blocks: Sequence[int]) -> None:
        """Put the next pages of a sequence's path into the tree, and lock them."""
        top = place.node
        if top is None:
            top = self._roots.setdefault(place.salt, self.root if not place.salt else RadixNode())
        after = top.blocks[-1] if top.blocks else None
        node, found = self._insert(top, tokens, blocks, self.page_bytes)
        self.num_evictable += len(blocks) - found  # locked in a moment
        self._lock(place, node, place.pages + len(blocks), top)
        if found:
            after = self._take_over(place, blocks[:found], node, top, after)
        self._findable.update(blocks[found:])
        for listener in self.listeners if found < len(blocks) else ():
            listener.stored(blocks[found:], tokens[found * self.page_bytes :], after, place.salt)

    def _lock(self, place: Place, node: RadixNode, end: int, top: RadixNode | None = None) -> None:
        """A sequence's path now ends at `node`, `end` pages from the root; it is locked down to `top` already."""
        below, depth = node, end
        while below is not top and below.parent is not None:
            depth -= len(below.blocks)
            if below.number < 0:  # new in the tree
                below.number = self._numbers.pop()
                self._nodes[below.number] = below
                self.policy.stored([below.number], depth)
            elif below.number in self._offered:
                self._offered.remove(below.number)
                self.policy.remove(below.number)
            elif below is self._victim:  # wanted again before all of its pages are gone
                self._victim = None
                self.policy.stored([below.number], depth)
            below = below.parent
        self.num_evictable -= lock(node, self._tick(), top)
        place.node, place.pages = node, end

    def _take_over(
        self, place: Place, own: Sequence[int], node: RadixNode, top: RadixNode, after: int | None
    ) -> int | None:
        """The tree has these pages of a sequence in other blocks. Where nobody holds one, take the sequence's instead.

        Returns:
            The tree's block of the last of these pages.
        """
        path = []
        while node is not top:
            path.append(node)
            node = node.parent  # type: ignore[assignment]
        places = [(below, at) for below in reversed(path) for at in range(len(below.blocks))]
        for block, (below, at) in zip(own, places, strict=False):
            old = below.blocks[at]
            if old != block and not self.count(old):
                below.blocks[at] = block
                self._findable.remove(old)
                self._findable.add(block)
                for listener in self.listeners:
                    page = below.key[at * self.page_bytes : (at + 1) * self.page_bytes]
                    listener.stored([block], page, after, place.salt)
                    listener.removed([old])
                self.refs.recycle([old])
            after = below.blocks[at]
        return after

    def _offer(self, node: RadixNode) -> None:
        """The node is an unlocked leaf."""
        self._offered.add(node.number)
        self.policy.add(node.number)

    def _choose(self) -> RadixNode:
        """The next node to lose its pages."""
        number = self.policy.evict()
        if number not in self._offered:
            raise PolicyError(
                f"The policy {type(self.policy).__name__} named {number!r} as its victim, which it was not offered: "
                "evict() returns a node that was added and not removed since."
            )
        self._offered.remove(number)
        self._victim = self._nodes[number]
        return self._victim

    def _forget(self, victim: RadixNode, above: RadixNode) -> None:
        """All pages of the victim are gone, and it has left the tree."""
        self._victim = None
        del self._nodes[victim.number]
        self._numbers.append(victim.number)
        victim.number = -1
        if above.parent is None:
            if not above.children:
                self._roots = {salt: root for salt, root in self._roots.items() if root is not above or not salt}
        elif not above.children and not above.locks:
            self._offer(above)
