"""The free queue: cached blocks that nobody holds, in the order in which they were let go of.

Its front is what has gone unused for longest, so the queue is an evictor of the least recently used without ever
sorting anything. A hit takes a block out of the middle, and that must not cost a walk through the queue: vLLM links
its blocks in both directions (`FreeKVCacheBlockQueue` in `vllm/v1/core/kv_cache_utils.py`), and so does Python's
`OrderedDict`, which this class wraps.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from labkit.errors import CacheError


class FreeQueue:
    """Block ids in a row; every method takes O(1), wherever in the row the block stands."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def append(self, block: int) -> None:
        """Put `block` at the back.

        Raises:
            CacheError: it stands in the queue already.
        """
        if block in self._blocks:
            raise CacheError(f"Block {block} stands in the queue already: let go of it once, when nobody holds it.")
        self._blocks[block] = None

    def remove(self, block: int) -> None:
        """Take `block` out, wherever it stands.

        Raises:
            CacheError: it is not there.
        """
        if block not in self._blocks:
            raise CacheError(f"Block {block} is not in the queue, so it cannot be taken out: ask with `in` first.")
        del self._blocks[block]

    def popleft(self) -> int:
        """Take out the block at the front.

        Raises:
            CacheError: the queue is empty.
        """
        if not self._blocks:
            raise CacheError("The queue is empty, so nothing can be evicted: ask for its length first.")
        return self._blocks.popitem(last=False)[0]

    def __contains__(self, block: object) -> bool:
        return block in self._blocks

    def __len__(self) -> int:
        return len(self._blocks)

    def __iter__(self) -> Iterator[int]:
        return iter(self._blocks)

    def __repr__(self) -> str:
        return f"FreeQueue({list(self._blocks)})"
