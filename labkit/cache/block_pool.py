"""The block pool: who may write in which block of KV memory.

KV memory is cut once, at start-up, into `num_blocks` blocks of equal size. From then on nothing is ever
moved or resized; the pool only says which blocks are free. Because every block is as good as any other,
a request for n blocks can be refused for one reason only: fewer than n are free. There are no holes
that are too small.

The idea is that of PagedAttention (Kwon et al., SOSP 2023, section 4.2), and of page frames in any
operating system.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

from labkit.cache.checks import whole_number
from labkit.errors import DoubleFreeError, ForeignBlockError


class BlockPool:
    """Hands out block ids 0 .. num_blocks - 1 and takes them back.

    The free ids stand in a queue: taken from the front, returned at the back. It is a list and the place of
    its front, so that n blocks are one slice; what lies before the front is cut off once it is more than half,
    which moves fewer ids than have been taken since the last time. So n blocks cost O(n) whatever the size of
    the pool, averaged over many calls, and no scan ever looks for a free block.

    Any order would be correct here. The queue is chosen for what comes later: the block that has been
    free longest is reused first, so what an old block still holds survives as long as possible. When
    lesson 07 keeps the contents of free blocks findable, this same queue is the LRU evictor (compare
    vLLM's `FreeKVCacheBlockQueue`). It is also why a sequence is returned tail first; see
    `BlockTable.release`.

    The pool trusts its caller: it does not notice a block returned twice. `CheckedPool` does.

    Args:
        num_blocks: how many blocks there are, 0 or more.

    Raises:
        BlockError: `num_blocks` is negative or not a whole number.
    """

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = whole_number(num_blocks, "num_blocks")
        self._free = list(range(self.num_blocks))
        self._front = 0  # ids before it have been taken

    @property
    def num_free(self) -> int:
        """Blocks that can be allocated now."""
        return len(self._free) - self._front

    def allocate(self, n: int) -> list[int] | None:
        """Take `n` blocks, all or none.

        Returns:
            `n` different block ids, or None if fewer than `n` are free; then nothing has changed. Being
            full is an ordinary answer that a scheduler asks for many times per second, so it is a value
            and not an exception. A fresh pool hands out 0, 1, 2, ... in this order. `allocate(0)` is
            `[]`, also on a full pool.

        Raises:
            BlockError: `n` is negative or not a whole number.
        """
        free, front = self._free, self._front
        end = front + whole_number(n, "n")
        # Asking first is what makes this all or nothing: taking blocks one by one and giving up halfway would
        # leave blocks that left the queue and that nobody holds.
        if end > len(free):
            return None
        blocks = free[front:end]
        if 2 * end > len(free):
            del free[:end]
            end = 0
        self._front = end
        return blocks

    def free(self, blocks: Iterable[int]) -> None:
        """Return `blocks` to the pool; the first of them will be reused before the others."""
        self._free.extend(blocks)


class CheckedPool(BlockPool):
    """A `BlockPool` that refuses to take back what its caller does not hold.

    A block freed twice stands in the queue twice and is one day given to two sequences, which then
    write over each other's keys and values. Nothing crashes; the text goes wrong, much later, in a
    request that did nothing wrong. So the mistake is caught where it is made.

    It uses only the public methods of the pool below it, plus one set: the ids that are out.
    """

    def __init__(self, num_blocks: int) -> None:
        super().__init__(num_blocks)
        self._held: set[int] = set()

    def allocate(self, n: int) -> list[int] | None:
        """As `BlockPool.allocate`."""
        blocks = super().allocate(n)
        if blocks is not None:
            self._held.update(blocks)
        return blocks

    def free(self, blocks: Iterable[int]) -> None:
        """Return `blocks`, all or none: nothing has changed after an error.

        Raises:
            ForeignBlockError: an id that no block of this pool has.
            DoubleFreeError: a block that is free already, or named twice in this call.
        """
        blocks = list(blocks)  # a generator can be read only once, and is needed twice
        seen: set[int] = set()
        for block in blocks:
            if not self._owns(block):
                raise ForeignBlockError(
                    f"Block {block!r} is not one of this pool's blocks 0 to {self.num_blocks - 1}: "
                    "return it to the pool that it came from."
                )
            if block not in self._held or block in seen:
                where = "named twice in this call" if block in seen else "already free"
                raise DoubleFreeError(
                    f"Block {block} is {where}, but can be freed once only: free it where it is held."
                )
            seen.add(block)
        super().free(blocks)
        self._held -= seen

    def _owns(self, block: object) -> bool:
        try:
            return 0 <= operator.index(block) < self.num_blocks  # type: ignore[arg-type]
        except TypeError:
            return False


def find_leak(num_blocks: int, free_blocks: Iterable[int], tables: Iterable[Sequence[int]]) -> list[int]:
    """The blocks that are lost: neither free nor held by any table.

    In a sound cache every block is free or held, so free + held = `num_blocks` and the answer is `[]`.
    A leak shows as a pool that fills up while fewer and fewer sequences run.

    Args:
        num_blocks: size of the pool.
        free_blocks: ids that the pool could still hand out.
        tables: for each living sequence, the ids it holds. A block shared by two tables is held, not lost.

    Returns:
        The lost ids in ascending order.
    """
    accounted = set(free_blocks).union(*tables)
    return [block for block in range(num_blocks) if block not in accounted]
