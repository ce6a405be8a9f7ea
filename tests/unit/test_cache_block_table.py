"""BlockTable and the arithmetic of slots."""

from __future__ import annotations

import pytest

from labkit.cache.base import BlockTableLike
from labkit.cache.block_pool import BlockPool, CheckedPool
from labkit.cache.block_table import BlockTable, blocks_needed, slot_mapping, slot_of
from labkit.errors import BlockError, DoubleFreeError


@pytest.mark.parametrize(
    ("tokens", "size", "blocks"),
    [(0, 16, 0), (1, 16, 1), (15, 16, 1), (16, 16, 1), (17, 16, 2), (5, 1, 5), (10**18 + 1, 2, 5 * 10**17 + 1)],
)
def test_blocks_needed_rounds_up(tokens, size, blocks):
    assert blocks_needed(tokens, size) == blocks


@pytest.mark.parametrize(("tokens", "size"), [(-1, 16), (1, 0), (1, -2), (1.5, 16), (1, 2.0)])
def test_blocks_needed_refuses_what_is_not_a_count(tokens, size):
    with pytest.raises(BlockError):
        blocks_needed(tokens, size)


def test_slots_follow_the_blocks():
    blocks = [7, 1, 3]
    assert slot_of(blocks, 37, 16) == 53
    assert slot_of(blocks, 0, 16) == 112
    assert slot_of(blocks, 15, 16) == 127
    assert slot_of(blocks, 16, 16) == 16
    assert slot_mapping(blocks, 14, 18, 16) == [126, 127, 16, 17]
    assert slot_mapping(blocks, 3, 3, 16) == []


@pytest.mark.parametrize("position", [-1, 48, 1.0])
def test_a_position_outside_the_blocks_is_an_error(position):
    with pytest.raises(BlockError):
        slot_of([7, 1, 3], position, 16)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (0, 49), (5, 4)])
def test_a_range_outside_the_blocks_is_an_error(start, stop):
    with pytest.raises(BlockError):
        slot_mapping([7, 1, 3], start, stop, 16)


def test_a_table_takes_a_block_when_the_last_is_full():
    pool = BlockPool(4)
    table = BlockTable(pool, 2)
    assert isinstance(table, BlockTableLike)
    assert [(table.append(), list(table.blocks)) for _ in range(3)] == [(True, [0]), (True, [0]), (True, [0, 1])]
    assert table.append(0) is True
    assert table.num_tokens == 3
    assert pool.num_free == 2


def test_a_refused_append_changes_neither_table_nor_pool():
    pool = BlockPool(3)
    table = BlockTable(pool, 2)
    table.append(3)
    assert table.append(4) is False
    assert (table.blocks, table.num_tokens, pool.num_free) == ([0, 1], 3, 1)
    assert table.append(3) is True


def test_slots_of_tokens_only():
    table = BlockTable(BlockPool(4), 4)
    table.append(5)
    assert table.slot(4) == 4
    assert table.slots(2, 5) == [2, 3, 4]
    for ask in (lambda: table.slot(5), lambda: table.slot(-1), lambda: table.slots(0, 6), lambda: table.slots(3, 2)):
        with pytest.raises(BlockError):
            ask()


def test_release_gives_back_the_tail_first_and_once():
    pool = CheckedPool(3)
    table = BlockTable(pool, 1)
    table.append(3)
    table.release()
    table.release()
    assert (table.blocks, table.num_tokens, pool.num_free) == ([], 0, 3)
    assert pool.allocate(3) == [2, 1, 0]


def test_a_refused_release_leaves_the_table_as_it_was():
    pool = CheckedPool(2)
    table = BlockTable(pool, 1)
    table.append(2)
    pool.free([0])  # somebody else's mistake
    with pytest.raises(DoubleFreeError):
        table.release()
    assert (table.blocks, table.num_tokens) == ([0, 1], 2)


@pytest.mark.parametrize("bad", [0, -1, 1.5])
def test_a_block_holds_at_least_one_token(bad):
    with pytest.raises(BlockError):
        BlockTable(BlockPool(1), bad)


def test_a_count_of_tokens_is_a_whole_number():
    table = BlockTable(BlockPool(1), 4)
    with pytest.raises(BlockError):
        table.append(-1)
    assert table.num_tokens == 0
