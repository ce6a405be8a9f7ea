"""Reference counts: how many tables hold a block.

Two sequences that begin alike can hold the same blocks, as two processes share the pages of a program. A block may go
back to the pool only when the last of its holders lets go, so somebody has to count.

`RefCounts` wraps a pool and does nothing else. It has the pool's own methods, `allocate` and `free`, so that whoever
held blocks of a pool (a `BlockTable`, say) can hold counted ones without knowing. Source of the idea: PagedAttention
(Kwon et al., SOSP 2023, section 4.4).
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable

from labkit.cache.base import BlockPoolLike
from labkit.errors import BlockError, DoubleFreeError, ForeignBlockError


class RefCounts:
    """A pool whose blocks can be held more than once; see `labkit.cache.base.RefCountsLike` for the laws.

    It trusts its caller, as `BlockPool` does: a block let go of twice is not noticed. `CheckedRefCounts` notices.

    Args:
        pool: where blocks come from and go back to. Nobody else may allocate from it.
    """

    def __init__(self, pool: BlockPoolLike) -> None:
        self.pool = pool
        self.num_blocks = pool.num_blocks
        """Blocks in all."""
        self._counts = [0] * pool.num_blocks
        self._shares = 0  # holders beyond the first, of all blocks together

    @property
    def num_free(self) -> int:
        """Blocks in the pool."""
        return self.pool.num_free

    def count(self, block: int) -> int:
        """How many tables hold `block`: 0 if none does, whether it is in the pool or not."""
        return self._counts[block]

    def allocate(self, n: int) -> list[int] | None:
        """`n` blocks from the pool, each now held once; None, and nothing changed, if there are fewer."""
        blocks, counts = self.pool.allocate(n), self._counts
        for block in blocks or ():
            counts[block] = 1
        return blocks

    def share(self, blocks: Iterable[int]) -> None:
        """One more table holds each of `blocks`, none of which is in the pool."""
        counts = self._counts
        for block in blocks:
            if counts[block]:
                self._shares += 1
            counts[block] += 1

    def drop(self, blocks: Iterable[int]) -> list[int]:
        """One table fewer holds each of `blocks`; the pool is not told.

        Returns:
            Those that nobody holds any more, in the order in which they were named. The caller now answers for them:
            `recycle` returns them to the pool, `share` brings them back into use.
        """
        blocks, counts, unheld = list(blocks), self._counts, []
        if not self._shares or [*map(counts.__getitem__, blocks)].count(1) == len(blocks):  # none of them is shared
            for block in blocks:
                counts[block] = 0
            return blocks
        for block in blocks:
            counts[block] = left = counts[block] - 1
            if left:
                self._shares -= 1
            else:
                unheld.append(block)
        return unheld

    def recycle(self, blocks: Iterable[int]) -> None:
        """Return blocks that nobody holds to the pool, in this order."""
        self.pool.free(blocks)

    def free(self, blocks: Iterable[int]) -> None:
        """Let go of `blocks` as one holder; those that nobody else holds return to the pool, in this order."""
        self.recycle(self.drop(blocks))


class CheckedRefCounts(RefCounts):
    """A `RefCounts` that refuses what cannot be, and then changes nothing: for tests, and to find who lets go twice.

    Raises:
        ForeignBlockError: an id that no block has.
        DoubleFreeError: a block is let go of or recycled more often than it is held.
        BlockError: a block is shared that is in the pool, or recycled while somebody holds it.
    """

    def __init__(self, pool: BlockPoolLike) -> None:
        super().__init__(pool)
        self._out: set[int] = set()  # not in the pool

    def allocate(self, n: int) -> list[int] | None:
        """As `RefCounts.allocate`."""
        blocks = super().allocate(n)
        self._out.update(blocks or ())
        return blocks

    def count(self, block: int) -> int:
        """As `RefCounts.count`."""
        return super().count(self._own(block))

    def share(self, blocks: Iterable[int]) -> None:
        """As `RefCounts.share`; a block may stand in `blocks` once only."""
        blocks = [self._own(block) for block in blocks]
        for block in blocks:
            if block not in self._out:
                raise BlockError(f"Block {block} is in the pool, so it cannot be shared: share blocks that are held.")
        super().share(blocks)

    def drop(self, blocks: Iterable[int]) -> list[int]:
        """As `RefCounts.drop`."""
        blocks = [self._own(block) for block in blocks]
        for block, times in Counter(blocks).items():
            if times > self._counts[block]:
                raise DoubleFreeError(
                    f"Block {block} is held {self._counts[block]} times and let go of {times} times in this call: name "
                    "it once for each holder."
                )
        return super().drop(blocks)

    def recycle(self, blocks: Iterable[int]) -> None:
        """As `RefCounts.recycle`."""
        blocks = [self._own(block) for block in blocks]
        for block, times in Counter(blocks).items():
            if self._counts[block]:
                raise BlockError(f"Block {block} is still held: drop it before recycling it.")
            if block not in self._out or times > 1:
                raise DoubleFreeError(f"Block {block} is recycled twice, or in the pool: recycle it once, after drop.")
        super().recycle(blocks)
        self._out.difference_update(blocks)

    def _own(self, block: object) -> int:
        try:
            number = operator.index(block)  # type: ignore[arg-type]
        except TypeError:
            number = -1
        if 0 <= number < self.num_blocks:
            return number
        raise ForeignBlockError(
            f"Block {block!r} is not one of this pool's blocks 0 to {self.num_blocks - 1}: name what came from it."
        )


def checked_twin(counts: type) -> type:
    """`CheckedRefCounts` for the reference, anything else as it is: a check over the references notices more."""
    return CheckedRefCounts if counts is RefCounts else counts
