"""The free queue of lesson 07 with a policy that names its front.

The queue of lesson 07 needs no rule about children: what is let go of tail first is evicted tail first. A policy may
rank by anything, so here it is offered only what may go: a block whose content no other cached content hangs from, or
that is there twice. A content without its beginning cannot be found until that is computed again: dead weight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from labkit.cache.base import EvictionPolicy
from labkit.errors import PolicyError


class PolicyQueue:
    """Stands where `FreeQueue` stands, in `queue` of a `QueuePrefixCache`.

    Args:
        policy: names who goes.
        cache: whose queue this is; its `hash_of` and `by_hash` say which content lies where.
    """

    def __init__(self, policy: EvictionPolicy, cache: Any) -> None:
        self.policy = policy
        self._cache = cache
        self._waiting: dict[int, None] = {}  # findable, and nobody holds them
        self._new: list[int] = []  # of these, what the policy has not been told of
        self._offered: set[int] = set()  # the policy may name them
        self._copies: Counter[Hashable] = Counter()  # blocks of each content
        self._children: Counter[Hashable] = Counter()  # cached contents that hang from each
        self._parent: dict[Hashable, Hashable] = {}

    def stored(self, keys: Sequence[Hashable], blocks: Sequence[int], parent: Hashable, depth: int) -> None:
        """These blocks are about to become findable; the first hangs from `parent`, which is None at the front."""
        for key in keys:
            self._copies[key] += 1
            if self._copies[key] == 1:
                self._parent[key] = parent
                self._children[parent] += 1
            else:
                self._review(key)
            parent = key
        self.policy.stored(blocks, depth)

    def append(self, block: int) -> None:
        """Nobody holds `block` any more. The policy hears of it in `settle`."""
        self._waiting[block] = None
        self._new.append(block)

    def settle(self) -> None:
        """Tell the policy of all blocks that were let go of together."""
        new, self._new = self._new, []
        if new:
            self.policy.released(new)
        for block in new:
            self._offer(block)

    def remove(self, block: int) -> None:
        """Somebody holds `block` again."""
        del self._waiting[block]
        self._withdraw(block)

    def popleft(self) -> int:
        """The block that goes.

        Raises:
            PolicyError: the policy named one that it was not offered.
        """
        block = self.policy.evict()
        if block not in self._offered:
            raise PolicyError(
                f"The policy {type(self.policy).__name__} named {block!r} as its victim, which it was not offered: "
                "evict() returns a block that was added and since then neither removed nor evicted."
            )
        self._offered.remove(block)
        del self._waiting[block]
        key = self._cache.hash_of[block]
        self._copies[key] -= 1
        if not self._copies[key]:
            del self._copies[key], self._children[key]
            key = self._parent.pop(key)
            self._children[key] -= 1
        self._review(key)
        return block

    def _review(self, key: Hashable) -> None:
        """Something hangs from this content no longer, or another block of it has come or gone: who may go now?"""
        for block in self._cache.by_hash.blocks(key):
            if block in self._waiting:
                self._offer(block)

    def _may_go(self, block: int) -> bool:
        key = self._cache.hash_of[block]
        return not self._children[key] or self._copies[key] > 1

    def _offer(self, block: int) -> None:
        """Offer a block that waits, if it may go, and else take it back."""
        if not self._may_go(block):
            self._withdraw(block)
        elif block not in self._offered:
            self._offered.add(block)
            self.policy.add(block)

    def _withdraw(self, block: int) -> None:
        if block in self._offered:
            self._offered.remove(block)
            self.policy.remove(block)

    def __contains__(self, block: object) -> bool:
        return block in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[int]:
        return iter(self._waiting)
