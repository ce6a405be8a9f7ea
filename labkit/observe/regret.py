"""The meter of regret: what was evicted and had to be computed again.

Regret is a share: of all blocks asked for, found or not, those that had been evicted and were wanted again. The meter
counts what stands above the line of that fraction, the regretted evictions; whoever knows what was asked for divides.

An eviction is harmless if nobody ever asks for the content again. It is regretted if somebody does, and then the
content is computed a second time. Telling the two apart takes a memory of what was evicted. There is one such meter,
for the manager's caches and for replays alike: it hears what is stored and what is removed, and keeps books of its own.
It remembers every eviction since it was attached, about a hundred bytes each; or the last so many, where a long run
must not grow, and then an eviction that is wanted again later than that goes uncounted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any


class Regret:
    """Counts the contents that come back after they were evicted.

    Args:
        most: evictions that are remembered, the last ones; None for all.

    Attributes:
        count: contents stored again after their last copy was removed.
        forgotten: evictions that are remembered no longer. While it is 0 the count is exact.
    """

    def __init__(self, most: int | None = None) -> None:
        self.count = self.forgotten = 0
        self.most = most
        self._copies: dict[Hashable, int] = {}
        # The oldest first. In a plain dict the oldest is found ever more slowly, the more before it have been deleted.
        self._gone: OrderedDict[Hashable, None] = OrderedDict()

    def stored(self, contents: Iterable[Hashable]) -> None:
        """These contents are there now, or once more."""
        copies, gone = self._copies, self._gone
        for content in contents:
            if content in gone:
                del gone[content]
                self.count += 1
            copies[content] = copies[content] + 1 if content in copies else 1

    def removed(self, contents: Iterable[Hashable]) -> None:
        """A copy of each of these contents is gone. It may have been there before the meter was attached."""
        copies, gone = self._copies, self._gone
        for content in contents:
            left = copies.pop(content, 0) - 1
            if left > 0:
                copies[content] = left
            else:
                gone[content] = None
        while self.most is not None and len(gone) > self.most:
            gone.popitem(last=False)
            self.forgotten += 1

    def cleared(self) -> None:
        """Everything is gone, and was not evicted: what comes back is something else."""
        self._copies.clear()
        self._gone.clear()


class _OfBlocks:
    """Tells a meter by contents what a prefix cache tells by blocks (`labkit.cache.base.CacheListener`)."""

    def __init__(self, regret: Regret, page_bytes: int, block_size: int) -> None:
        self._regret, self._page_bytes, self._block_size = regret, page_bytes, block_size
        self._content: dict[int | None, Hashable] = {}

    def stored(self, blocks: Sequence[int], tokens: bytes, after: int | None, salt: bytes) -> None:
        of, size, times = self._content, self._page_bytes, self._block_size
        each = size // times
        content: Hashable = salt if after is None else of[after]
        contents = []
        for block, at in zip(blocks, range(0, len(tokens), size), strict=True):
            page = tokens[at : at + each]
            if not tokens.startswith(page * times, at):  # else one token stands for its page, as in traces of block ids
                page = tokens[at : at + size]
            content = of[block] = hash((content, page))
            contents.append(content)
        self._regret.stored(contents)

    def removed(self, blocks: Sequence[int]) -> None:
        self._regret.removed(map(self._content.pop, blocks))

    def cleared(self) -> None:
        self._content.clear()
        self._regret.cleared()


def regret_rate(events: Iterable[tuple[float, str, Hashable]], window_s: float, windows: int) -> list[float]:
    """Regretted evictions per second, window by window, from a stream of events such as vLLM's KV events.

    Args:
        events: (seconds, kind, content) in order of time, from 0 up to, not including, windows * window_s. "stored": a
            block with this content became findable; "removed": one was evicted; "cleared": all are gone, by no
            eviction, and what was evicted before is forgotten. A content that is removed and was never stored was there
            before.
        window_s: seconds of a window, above 0. windows: how many, 1 or more.

    Returns:
        For each window how many contents were stored, by the second, whose last block had been evicted before.
    """
    meter, counts = Regret(), [0] * windows
    for at_s, kind, content in events:
        before = meter.count
        if kind == "stored":
            meter.stored([content])
        elif kind == "removed":
            meter.removed([content])
        else:
            meter.cleared()
        counts[int(at_s // window_s)] += meter.count - before
    return [count / window_s for count in counts]


def watch_regret(manager: Any, most: int | None = None) -> Regret:
    """Attach a meter to a `KVCacheManager` in which nothing is cached yet; its counters say what it counts.

    It costs a hash for each block that becomes findable, so it is off until somebody asks for it; `most` as for
    `Regret`.
    """
    manager.regret = Regret(most)
    manager.cache.listeners.append(_OfBlocks(manager.regret, manager.cache.page_bytes, manager.block_size))
    return manager.regret
