"""Forking a sequence, and copying a block only when somebody writes in it.

Parallel sampling and beam search continue one prompt in several ways. `fork` gives a second sequence the
same blocks at the cost of a count; `append_cow` copies the one block that two sequences are about to fill
differently, and no other. Source of the idea: PagedAttention (Kwon et al., SOSP 2023, section 4.4).
"""

from __future__ import annotations

from labkit.cache.block_table import BlockTable, blocks_needed
from labkit.cache.checks import whole_number


def fork(table: BlockTable) -> BlockTable:
    """A second table over the same tokens in the same blocks, which are now shared. No K or V is copied.

    Args:
        table: its `pool` counts references (see `RefCounts`).
    """
    child = BlockTable(table.pool, table.block_size)
    table.pool.share(table.blocks)  # type: ignore[attr-defined]
    child.blocks = list(table.blocks)
    child.num_tokens = table.num_tokens
    return child


def append_cow(table: BlockTable, n: int = 1) -> list[tuple[int, int]] | None:
    """Make room for `n` more tokens in a table whose blocks may be shared.

    Only the last block can be written to again, and only where it is part filled: a full block never
    changes. So at most one block is copied, and only if somebody else holds it as well.

    Args:
        table: its `pool` counts references (see `RefCounts`).
        n: tokens, 0 or more.

    Returns:
        The copies that must be made before the tokens are written, as (source block, destination block):
        none or one. None if the pool has too few blocks; then nothing has changed.
    """
    refs = table.pool
    n = whole_number(n, "n")
    total = table.num_tokens + n
    missing = blocks_needed(total, table.block_size) - len(table.blocks)
    last_is_part_filled = table.num_tokens % table.block_size > 0
    copy = bool(n and last_is_part_filled and refs.count(table.blocks[-1]) > 1)  # type: ignore[attr-defined]
    # One request for all of it: asking twice could succeed once and fail once.
    fresh = refs.allocate(missing + copy)
    if fresh is None:
        return None
    copies = []
    if copy:
        shared, own = table.blocks[-1], fresh.pop(0)
        table.blocks[-1] = own
        refs.free([shared])
        copies.append((shared, own))
    table.blocks.extend(fresh)
    table.num_tokens = total
    return copies
