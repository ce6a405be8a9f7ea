"""Ghosts of a radix tree: what was evicted, remembered by runs of pages, so that regret can be counted.

It answers what `labkit.cache.ghosts` answers, for a cache that has no hash for every page. An eviction leaves a
run of pages, remembered under a hash of the whole prefix up to and including its first page. A prompt that is inserted
later is asked once, where its new part begins; only if a run begins there is it asked again, where the two part.
"""

from __future__ import annotations

from labkit.cache.ghosts import GENERATIONS
from labkit.cache.radix_tree import shared_pages


class RadixGhosts:
    """The pages of the last `pages` evictions or more, at most about a twelfth more, and which of them came back.

    They are kept in generations, as in `Ghosts`: when the young one holds `size` pages, it is time to `forget` the
    oldest. Its tokens are all that a page costs, but for what is kept once a run.

    Args:
        pages: that are remembered at least.
        page_bytes: bytes of one page.
    """

    def __init__(self, pages: int, page_bytes: int) -> None:
        self.size = -(-pages // GENERATIONS)
        """Pages of one generation."""
        self.page_bytes = page_bytes
        self._generations: list[dict[int, bytes]] = [{}]  # the young one first
        self.num_young = 0
        """Pages remembered in the young generation."""

    def add(self, salt: bytes, prefix: bytes, run: bytes) -> None:
        """The pages `run`, which came after `prefix`, have been evicted."""
        self._generations[0][hash((salt, prefix + run[: self.page_bytes]))] = run
        self.num_young += len(run) // self.page_bytes

    def forget(self) -> None:
        """The young generation is one of the old ones from now on, and the oldest is forgotten."""
        self._generations = [{}, *self._generations[:GENERATIONS]]
        self.num_young = 0

    def take(self, salt: bytes, tokens: bytes, start: int) -> int:
        """The pages of `tokens` from byte `start` on are there again: how many of them had been evicted?

        They are ghosts no longer. What was evicted behind them and is not followed this time stays a ghost.
        """
        size, begin = self.page_bytes, start
        while start < len(tokens):
            key = hash((salt, tokens[: start + size]))
            for ghosts in self._generations:
                if key in ghosts:
                    break
            else:
                break
            run = ghosts.pop(key)
            pages = shared_pages(run, tokens, start, size)
            if ghosts is self._generations[0]:
                self.num_young -= pages
            start += pages * size
            if pages * size < len(run):
                rest = run[pages * size :]
                ghosts[hash((salt, tokens[:start] + rest[:size]))] = rest
                if not pages:
                    break  # two prefixes with one hash
        return (start - begin) // size
