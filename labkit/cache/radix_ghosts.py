"""Ghosts of a radix tree: what was evicted, remembered by runs of pages, so that regret can be counted.

It answers what `labkit.cache.ghosts` answers, for a cache that has no hash for every page. An eviction leaves a
run of pages, remembered under a hash of the whole prefix up to and including its first page. A prompt that is inserted
later is asked once, where its new part begins; only if a run begins there is it asked again, where the two part.
"""

from __future__ import annotations

from labkit.cache.radix_tree import shared_pages


class RadixGhosts:
    """The pages of the last `size` evictions or more, at most about twice as many, and which of them came back.

    Two generations, as in `Ghosts`: when the young one holds `size` pages, it is time to `forget`.

    Args:
        size: pages that are remembered at least.
        page_bytes: bytes of one page.
    """

    def __init__(self, size: int, page_bytes: int) -> None:
        self.size = size
        self.page_bytes = page_bytes
        self._young: dict[int, bytes] = {}
        self._old: dict[int, bytes] = {}
        self.num_young = 0
        """Pages remembered in the young generation."""

    def add(self, salt: bytes, prefix: bytes, run: bytes) -> None:
        """The pages `run`, which came after `prefix`, have been evicted."""
        self._young[hash((salt, prefix + run[: self.page_bytes]))] = run
        self.num_young += len(run) // self.page_bytes

    def forget(self) -> None:
        """The young generation becomes the old one, and the old one is forgotten."""
        self._old, self._young, self.num_young = self._young, {}, 0

    def take(self, salt: bytes, tokens: bytes, start: int) -> int:
        """The pages of `tokens` from byte `start` on are there again: how many of them had been evicted?

        They are ghosts no longer. What was evicted behind them and is not followed this time stays a ghost.
        """
        size, begin = self.page_bytes, start
        while start < len(tokens):
            key = hash((salt, tokens[: start + size]))
            ghosts = self._young if key in self._young else self._old
            run = ghosts.pop(key, None)
            if run is None:
                break
            pages = shared_pages(run, tokens, start, size)
            if ghosts is self._young:
                self.num_young -= pages
            start += pages * size
            if pages * size < len(run):
                rest = run[pages * size :]
                ghosts[hash((salt, tokens[:start] + rest[:size]))] = rest
                if not pages:
                    break  # two prefixes with one hash
        return (start - begin) // size
