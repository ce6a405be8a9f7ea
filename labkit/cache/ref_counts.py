"""Reference counts: how many tables hold a block.

Two sequences that begin alike can hold the same blocks, as two processes share the pages of a program. A
block may go back to the pool only when the last of its holders lets go, so somebody has to count.

`RefCounts` wraps a pool and does nothing else. It has the pool's own methods, `allocate` and `free`, so
that whoever held blocks of a pool (a `BlockTable`, say) can hold counted ones without knowing. Source of
the idea: PagedAttention (Kwon et al., SOSP 2023, section 4.4).
"""

from __future__ import annotations

from collections.abc import Iterable

from labkit.cache.protocols import BlockPoolLike
from labkit.errors import BlockError, DoubleFreeError, ForeignBlockError

NOBODY = -1
"""Where a count would stand: the block is in the pool."""


class RefCounts:
    """A pool whose blocks can be held more than once.

    A block is in one of three states: in the pool; held by one table or more; or held by nobody and not
    yet in the pool. The third exists for caches: between `drop` and `recycle` a cache may decide to keep
    what a block holds findable, and `share` brings such a block back into use (lesson 07).

    Args:
        pool: where blocks come from and go back to. Nobody else may allocate from it.

    Raises:
        BlockError: `pool` is none.
    """

    def __init__(self, pool: BlockPoolLike) -> None:
        if not all(hasattr(pool, name) for name in ("num_blocks", "num_free", "allocate", "free")):
            raise BlockError(f"The pool is {pool!r:.60}, but must have num_blocks, num_free, allocate and free: "
                             "pass a BlockPool.")
        self.pool = pool
        self._counts = [NOBODY] * pool.num_blocks

    @property
    def num_blocks(self) -> int:
        """Blocks in all."""
        return self.pool.num_blocks

    @property
    def num_free(self) -> int:
        """Blocks in the pool."""
        return self.pool.num_free

    def count(self, block: int) -> int:
        """How many tables hold `block`: 0 if none does, whether it is in the pool or not."""
        return max(self._counts[self._own(block)], 0)

    def allocate(self, n: int) -> list[int] | None:
        """`n` blocks from the pool, each now held once; None, and nothing changed, if there are fewer."""
        blocks = self.pool.allocate(n)
        if blocks is not None:
            counts = self._counts
            for block in blocks:
                counts[block] = 1
        return blocks

    def share(self, blocks: Iterable[int]) -> None:
        """One more table holds each of `blocks`, in which a block may stand once only.

        Raises:
            ForeignBlockError: an id that no block has.
            BlockError: a block that is in the pool: what it held is not to be relied on.
            Nothing has changed after either.
        """
        blocks = _listed(blocks)
        counts = self._counts
        try:
            # Looking before counting keeps it all or nothing. min() finds a block in the pool without a Python loop.
            if (blocks and min([counts[block] for block in blocks]) == NOBODY) or min(blocks, default=0) < 0:
                self._refuse_share(blocks)
        except (IndexError, TypeError):
            self._refuse_share(blocks)
        for block in blocks:
            counts[block] += 1

    def drop(self, blocks: Iterable[int]) -> list[int]:
        """One table fewer holds each of `blocks`; the pool is not told.

        Returns:
            Those that nobody holds any more, in the order in which they were named. The caller now answers for
            them: `recycle` returns them to the pool, `share` brings them back into use.

        Raises:
            ForeignBlockError, DoubleFreeError: a block that is not there, or is held less often than it is named.
            Nothing has changed after either.
        """
        blocks = _listed(blocks)
        counts = self._counts
        unheld = []
        rest = iter(blocks)  # where the loop stands, known without counting
        try:
            for block in rest:
                left = counts[block] - 1
                if left < 0 or block < 0:
                    raise IndexError
                counts[block] = left
                if not left:
                    unheld.append(block)
        except (IndexError, TypeError):
            self._refuse_drop(blocks, len(blocks) - len([*rest]) - 1)
        return unheld

    def recycle(self, blocks: Iterable[int]) -> None:
        """Return blocks that nobody holds to the pool.

        Raises:
            ForeignBlockError, DoubleFreeError: a block that is not there, is in the pool already, or is named twice.
            BlockError: a block that somebody holds. Nothing has changed after any of these.
        """
        blocks = _listed(blocks)
        counts = self._counts
        rest = iter(blocks)
        try:
            for block in rest:
                if counts[block] or block < 0:
                    raise IndexError
                counts[block] = NOBODY
        except (IndexError, TypeError):
            self._refuse_recycle(blocks, len(blocks) - len([*rest]) - 1)
        self.pool.free(blocks)

    def free(self, blocks: Iterable[int]) -> None:
        """Let go of `blocks` as one holder; those that nobody else holds return to the pool, in this order."""
        self.recycle(self.drop(blocks))

    # ----- what went wrong, said once it has -------------------------------------------------------------------

    def _own(self, block: int) -> int:
        if type(block) is int and 0 <= block < len(self._counts):
            return block
        try:
            number = block.__index__()
        except (AttributeError, TypeError):
            number = -1
        if 0 <= number < len(self._counts):
            return number
        raise ForeignBlockError(
            f"Block {block!r} is not one of this pool's blocks 0 to {len(self._counts) - 1}: "
            "name blocks that came from it."
        )

    def _refuse_share(self, blocks: list[int]) -> None:
        for block in blocks:
            if self._counts[self._own(block)] == NOBODY:
                raise BlockError(f"Block {block} is in the pool, so it cannot be shared: share blocks that are held.")

    def _refuse_drop(self, blocks: list[int], done: int) -> None:
        """Undo what was done before block number `done`, and say what was wrong with it."""
        for block in blocks[:done]:
            self._counts[block] += 1
        block = blocks[done]
        count = max(self._counts[self._own(block)], 0)
        if count == 0:
            raise DoubleFreeError(f"Block {block} is held by nobody, so nobody can let go of it: drop what is held.")
        raise DoubleFreeError(
            f"Block {block} is held {_times(count)} and named more often in this call: name it once for each holder."
        )

    def _refuse_recycle(self, blocks: list[int], done: int) -> None:
        """As `_refuse_drop`."""
        for block in blocks[:done]:
            self._counts[block] = 0
        block = blocks[done]
        count = self._counts[self._own(block)]
        if count > 0:
            raise BlockError(f"Block {block} is still held, {_times(count)}: drop it before recycling it.")
        where = "in the pool already" if count == NOBODY else "named twice in this call"
        raise DoubleFreeError(f"Block {block} is {where}: recycle it once, after drop.")


def _listed(blocks: Iterable[int]) -> list[int]:
    try:
        return list(blocks)
    except TypeError:
        raise BlockError(f"blocks is {blocks!r:.60}, but must be several blocks: pass a list of them.") from None


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"
