"""The block table: where in KV memory the tokens of one sequence lie.

A sequence counts its tokens 0, 1, 2, ... as if its memory were in one piece. The table maps each
logical block of `block_size` positions to whichever physical block the pool had free:

    position 37, block_size 16      logical block 37 // 16 = 2, offset 37 % 16 = 5
    blocks = [7, 1, 3]              physical block blocks[2] = 3
    slot                            3 * 16 + 5 = 53

A slot is the place of one token in all of KV memory, counted from 0; kernels call a list of them a slot
mapping. Source of the idea: PagedAttention (Kwon et al., SOSP 2023, section 4.3).
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.cache.base import BlockPoolLike
from labkit.cache.checks import whole_number
from labkit.errors import BlockError


def blocks_needed(num_tokens: int, block_size: int) -> int:
    """How many blocks of `block_size` tokens hold `num_tokens` tokens: the quotient, rounded up.

    Raises:
        BlockError: `num_tokens` is negative, `block_size` is below 1, or either is not a whole number.
    """
    num_tokens = whole_number(num_tokens, "num_tokens")
    block_size = whole_number(block_size, "block_size", at_least=1)
    # // rounds down; negated twice it rounds up, and no float is ever involved.
    return -(-num_tokens // block_size)


def slot_of(blocks: Sequence[int], position: int, block_size: int) -> int:
    """The slot in which token number `position` of a sequence lies.

    Args:
        blocks: the sequence's physical blocks in logical order.
        position: from 0; must fall in one of `blocks`.
        block_size: tokens per block.

    Raises:
        BlockError: `position` lies outside the blocks.
    """
    block_size = whole_number(block_size, "block_size", at_least=1)
    position = whole_number(position, "position")
    logical, offset = divmod(position, block_size)
    if logical >= len(blocks):
        raise BlockError(
            f"Position {position} lies in logical block {logical}, but the table has {len(blocks)}: "
            "append tokens before asking for their slots."
        )
    return blocks[logical] * block_size + offset


def slot_mapping(blocks: Sequence[int], start: int, stop: int, block_size: int) -> list[int]:
    """The slots of positions `start` to `stop - 1`, in order: where a chunk of new K and V is written.

    Returns:
        `stop - start` slots.

    Raises:
        BlockError: `start > stop`, or a position that lies outside the blocks.
    """
    start = whole_number(start, "start")
    stop = whole_number(stop, "stop")
    if start > stop:
        raise BlockError(f"start is {start} and stop is {stop}, but start must not be above stop: swap them.")
    return [slot_of(blocks, position, block_size) for position in range(start, stop)]


class BlockTable:
    """The blocks of one sequence, which grows token by token and gives everything back at the end.

    `blocks[i]` holds positions i * block_size to (i + 1) * block_size - 1. Only the last block may be
    part filled, so a sequence never wastes more than block_size - 1 slots, and over many sequences
    about half a block each.

    Args:
        pool: where blocks come from, shared with other sequences.
        block_size: tokens per block, 1 or more.
    """

    def __init__(self, pool: BlockPoolLike, block_size: int) -> None:
        self.pool = pool
        self.block_size = whole_number(block_size, "block_size", at_least=1)
        self.blocks: list[int] = []
        self.num_tokens = 0

    def append(self, n: int = 1) -> bool:
        """Make room for `n` more tokens, taking the blocks they need beyond the last one's free end.

        Returns:
            True, or False if the pool has too few blocks; then neither the table nor the pool has changed.

        Raises:
            BlockError: `n` is negative or not a whole number.
        """
        num_tokens = self.num_tokens + whole_number(n, "n")
        missing = -(-num_tokens // self.block_size) - len(self.blocks)  # as `blocks_needed`, without its checks
        new_blocks = self.pool.allocate(missing)
        if new_blocks is None:
            return False
        self.blocks.extend(new_blocks)
        self.num_tokens = num_tokens
        return True

    def slot(self, position: int) -> int:
        """The slot of token number `position`; BlockError unless 0 <= position < num_tokens."""
        return self.slots(position, whole_number(position, "position") + 1)[0]

    def slots(self, start: int, stop: int) -> list[int]:
        """The slots of tokens `start` to `stop - 1`; BlockError unless 0 <= start <= stop <= num_tokens."""
        # Stricter than slot_mapping: the free end of the last block is memory, but holds no token yet.
        if whole_number(stop, "stop") > self.num_tokens:
            raise BlockError(
                f"Token {stop - 1} has no slot, the table holds {self.num_tokens} tokens: append it first."
            )
        return slot_mapping(self.blocks, start, stop, self.block_size)

    def release(self) -> None:
        """Give every block back and be empty. Releasing an empty table does nothing."""
        # Tail first. Whatever is freed first is reused first, and the end of a sequence is worth least:
        # the start (a system prompt, say) is what another request may have in common with this one. See
        # lesson 07.
        self.pool.free(self.blocks[::-1])
        # Only now: had the pool refused, the table would still hold what it held.
        self.blocks = []
        self.num_tokens = 0
