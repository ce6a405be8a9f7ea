"""Ghosts: what was evicted, remembered for a while, so that regret can be counted.

An eviction is harmless if nobody ever asks for the content again. It is a regret if somebody does, and then
the content is computed a second time. Telling the two apart takes a memory of what was evicted; the name
is that of ARC's ghost lists (Megiddo and Modha, FAST 2003).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence


class Ghosts:
    """The keys of the last `size` evictions or more, at most twice as many, and which of them came back.

    Two sets, a young and an old one: when the young one is full, it becomes the old one and the old one is
    forgotten. That bounds the memory without keeping an order.

    Args:
        size: evictions that are remembered at least. A content that is wanted again only after more than
            that many other evictions would have needed a memory several times as large to survive, and is not
            counted as regret.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._young: set[Hashable] = set()
        self._old: set[Hashable] = set()

    def add(self, keys: Sequence[Hashable]) -> None:
        """These contents have been evicted."""
        self._young.update(keys)
        if len(self._young) >= self.size:
            self._old, self._young = self._young, set()

    def take(self, keys: Sequence[Hashable]) -> int:
        """These contents are there again: how many of them had been evicted? They are ghosts no longer."""
        back: set[Hashable] = set()
        for ghosts in (self._young, self._old):
            if ghosts:
                found = ghosts.intersection(keys)
                if found:
                    ghosts -= found
                    back |= found
        return len(back)
