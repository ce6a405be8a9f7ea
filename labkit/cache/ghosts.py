"""Ghosts: what was evicted, remembered for a while, so that regret can be counted.

An eviction is harmless if nobody ever asks for the content again. It is a regret if somebody does, and then
the content is computed a second time. Telling the two apart takes a memory of what was evicted; the name
is that of ARC's ghost lists (Megiddo and Modha, FAST 2003).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Hashable, Sequence

import numpy as np

from labkit.cache.checks import whole_number
from labkit.errors import CacheError

GENERATIONS = 12
"""Old generations. Both caches forget in the same way, so that they count the same regret."""


class _Run:
    """Evictions that followed one another: 9 bytes for each."""

    __slots__ = ("back", "hashes", "mark")

    def __init__(self, hashes: array, mark: int) -> None:
        self.hashes = hashes  # of the keys, in ascending order
        self.back = bytearray(len(hashes))  # 1: the content came back
        self.mark = mark  # what stands for this run in `Ghosts._seen`


class Ghosts:
    """The keys of the last `size` evictions or more, and which of them came back.

    A set takes 80 bytes a key and more, so only the young, those evicted last, are kept in one. When they are a
    twelfth of `size`, they become a run of sorted hashes, and the oldest of more than twelve runs is forgotten. In a
    run, contents are told apart by Python's `hash` of their keys: 61 bits for a number, else 64.

    Mostly what is looked for is no ghost. A table of bytes says so at once: each slot names the youngest run that has a
    hash with these low bits, and only that run and older ones are searched.

    In memory are `size` and a twelfth at most, and what the calls that filled up a run have added beyond. A key costs
    13 to 17 bytes on average, and 100 while it is young.

    Args:
        size: evictions that are remembered at least, 1 or more. A content that is wanted again only after more than
            that many other evictions would have needed a larger memory to survive, and may not be counted as regret.

    Raises:
        CacheError: `size` is not a whole number of 1 or more.
    """

    def __init__(self, size: int) -> None:
        size = whole_number(size, "size", at_least=1, error=CacheError)
        self.size = -(-size // GENERATIONS)
        """Evictions of one generation."""
        self._young: set[Hashable] = set()
        self._runs: list[_Run] = []  # the youngest first
        self._mark = 0  # of the youngest run; they go from 1 to 255 and begin again
        slots = 1 << (4 * (size + self.size) - 1).bit_length()
        self._low = slots - 1
        self._seen = bytearray(slots)  # low bits of a hash -> mark of the youngest run that has such a hash, or 0

    def add(self, keys: Sequence[Hashable]) -> None:
        """These contents have been evicted."""
        self._young.update(keys)
        if len(self._young) >= self.size:
            self._age()

    def take(self, keys: Sequence[Hashable]) -> int:
        """These contents are there again: how many of them had been evicted? They are ghosts no longer.

        Args:
            keys: of one prompt, in order; if there are several, the first was not in the cache until now. Whatever is
                evicted goes after all that hangs from it, and is forgotten no sooner. So behind a content that is
                neither cached nor a ghost there is no ghost, and nobody looks.
        """
        back = 0
        for key in keys:
            if key in self._young:
                self._young.remove(key)
            else:
                number = hash(key)
                mark = self._seen[number & self._low]
                if not mark or not self._take_old(number, mark):
                    break
            back += 1
        return back

    def _take_old(self, number: int, mark: int) -> bool:
        """Whether this is the hash of a ghost in the run with that mark or an older one. It is a ghost no longer."""
        for run in self._runs[(self._mark - mark) % 255 :]:
            at = bisect_left(run.hashes, number)
            if at < len(run.hashes) and run.hashes[at] == number:
                # If it stands in an older run as well, it came back before it was evicted once more.
                was_back, run.back[at] = run.back[at], 1
                return not was_back
        return False

    def _age(self) -> None:
        """The young become a run, and the oldest run is forgotten."""
        hashes = np.fromiter(map(hash, self._young), np.int64, len(self._young))
        hashes.sort()
        self._young.clear()
        seen = np.frombuffer(self._seen, np.uint8)
        if len(self._runs) == GENERATIONS:
            seen[seen == self._runs.pop().mark] = 0
        self._mark = self._mark % 255 + 1
        seen[hashes & self._low] = self._mark
        self._runs.insert(0, _Run(array("q", hashes.tobytes()), self._mark))
