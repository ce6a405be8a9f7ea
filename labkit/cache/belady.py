"""Belady's optimum: evict what is wanted again last.

It needs the future, so no server can run it. It is the measuring stick: for a fixed string of requests and equal costs
no policy can have more hits (Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems
Journal 5(2), 1966; proved by Mattson et al., same journal 9(2), 1970). Its distance to what you run is what a better
policy could still win; the rest is lost to capacity, and only more memory brings that back.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from labkit.cache.eviction import RankedPolicy
from labkit.errors import PolicyError

NEVER = 1 << 62
"""The number of the request that never comes."""


class Belady(RankedPolicy):
    """Evicts the block whose content is wanted again last; of those wanted in the same request, or never, the deepest.

    The tie matters: what is wanted at all is wanted together with everything before it, so with this rule no block
    is evicted before one that hangs from it.

    Policies are told of blocks and not of contents, so this one has to be told when a request begins:

        policy = Belady(future)
        for request in future:
            policy.begin()
            ...   the cache serves the request: hits, evictions, new contents

    Args:
        future: for each request, the keys of its blocks' contents in order; equal keys mean equal contents.

    Raises:
        PolicyError: the future is no such list; or a request begins that is not in it.
    """

    def __init__(self, future: Sequence[Sequence[Hashable]]) -> None:
        super().__init__()
        self.future = future
        self._now = -1
        last: dict[Hashable, int] = {}
        self._next: list[list[int]] = []  # for each request and block: the request that wants it next
        try:
            self._next += [[]] * len(future)
            for request in range(len(future) - 1, -1, -1):
                self._next[request] = [last.get(key, NEVER) for key in future[request]]
                last.update(dict.fromkeys(future[request], request))
        except (TypeError, LookupError):
            raise PolicyError(
                f"The future is {future!r:.60}, but must be a list of requests, each a list of keys that have a hash: "
                "give every request in the order in which they come."
            ) from None
        self._content: dict[int, tuple[Hashable, int]] = {}  # block -> its key, and how deep it lies
        self._wanted: dict[Hashable, int] = {}  # cached content -> the request that wants it next
        self._blocks: dict[Hashable, list[int]] = {}  # cached content -> where it lies, twice at times

    def begin(self) -> None:
        """The next request of the future begins: what it asks for is wanted again only after it."""
        self._now += 1
        if self._now >= len(self.future):
            raise PolicyError(f"Request number {self._now} begins, but the future has {len(self.future)}: give it all.")
        for key, wanted in zip(self.future[self._now], self._next[self._now], strict=True):
            blocks = self._blocks.get(key)
            if blocks:
                self._wanted[key] = wanted
                for block in blocks:
                    if block in self._rank:  # it may be evicted, and stands where it was wanted earlier
                        self.remove(block)
                        self.add(block)

    def stored(self, blocks: Sequence[int], depth: int) -> None:
        """The blocks now hold contents of the present request."""
        keys, wanted = self.future[self._now], self._next[self._now]
        for at, block in enumerate(blocks, depth):
            self._content[block] = (keys[at], at)
            self._wanted[keys[at]] = wanted[at]
            self._blocks.setdefault(keys[at], []).append(block)

    def rank(self, block: int) -> tuple[int, int]:
        """Wanted last first; then the deepest."""
        key, depth = self._content[block]
        return -self._wanted[key], -depth

    def evict(self) -> int:
        """See `RankedPolicy.evict`."""
        block = super().evict()
        key, _ = self._content.pop(block)
        self._blocks[key].remove(block)
        if not self._blocks[key]:
            del self._blocks[key], self._wanted[key]
        return block


def belady_victim(cached: Mapping[Hashable, int], future: Sequence[Hashable]) -> Hashable:
    """The content to evict if one knows what is asked for next: the one that is wanted last.

    Args:
        cached: the contents that may go, and for each how deep it lies in its prompt; at least one.
        future: the contents that will be asked for, the next one first.

    Returns:
        A key of `cached`. What is never asked for goes before all that is; of several such, the deepest; of several
        as deep, the one that stands first in `cached`.

    Raises:
        PolicyError: `cached` is no mapping or empty, or `future` is no list of keys.
    """
    if not isinstance(cached, Mapping) or not cached:
        raise PolicyError(
            f"cached is {cached!r:.60}, but must be a dict with a content at least: give each that may go its depth."
        )
    position: dict[Hashable, int] = {}
    try:
        for at, key in enumerate(future):
            position.setdefault(key, at)
    except TypeError:
        raise PolicyError(
            f"The future is {future!r:.60}, but must be a list of keys that have a hash: give what is asked for, the "
            "next one first."
        ) from None
    return max(cached, key=lambda key: (position.get(key, NEVER), cached[key]))
