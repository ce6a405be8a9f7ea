"""RefCounts, fork and append_cow: who holds which block, and who may write in it."""

from __future__ import annotations

import numpy as np
import pytest

from labkit.cache.base import BlockPoolLike
from labkit.cache.block_pool import BlockPool, CheckedPool
from labkit.cache.block_table import BlockTable
from labkit.cache.copy_on_write import append_cow, fork
from labkit.cache.ref_counts import CheckedRefCounts, RefCounts
from labkit.errors import BlockError, DoubleFreeError, ForeignBlockError


def refs_of(num_blocks: int = 6) -> RefCounts:
    return CheckedRefCounts(CheckedPool(num_blocks))


def counts(refs: RefCounts) -> list[int]:
    return [refs.count(block) for block in range(refs.num_blocks)]


def table_of(refs: RefCounts, tokens: int = 0, block_size: int = 4) -> BlockTable:
    table = BlockTable(refs, block_size)
    assert table.append(tokens)
    return table


# ----- RefCounts ----------------------------------------------------------------------------------------------


def test_it_is_a_pool():
    assert isinstance(refs_of(), BlockPoolLike)


def test_a_block_goes_back_when_the_last_holder_lets_go():
    refs = refs_of(3)
    blocks = refs.allocate(2)
    refs.share(blocks[:1])
    assert counts(refs) == [2, 1, 0] and refs.num_free == 1
    refs.free(blocks)
    assert counts(refs) == [1, 0, 0] and refs.num_free == 2
    refs.free(blocks[:1])
    assert counts(refs) == [0, 0, 0] and refs.num_free == 3


def test_a_refused_request_counts_nobody():
    refs = refs_of(2)
    assert refs.allocate(3) is None
    assert counts(refs) == [0, 0] and refs.num_free == 2
    assert refs.allocate(0) == []


def test_drop_names_the_unheld_in_order_and_the_pool_is_not_told():
    refs = refs_of(4)
    blocks = refs.allocate(4)
    refs.share([blocks[1]])
    assert refs.drop(blocks[::-1]) == [3, 2, 0]
    assert refs.num_free == 0 and counts(refs) == [0, 1, 0, 0]
    assert refs.allocate(1) is None  # held by nobody is not free


def test_an_unheld_block_is_brought_back_by_share():
    refs = refs_of(2)
    (block,) = refs.allocate(1)
    assert refs.drop([block]) == [block]
    refs.share([block])
    assert refs.count(block) == 1
    refs.free([block])
    assert refs.num_free == 2


def test_a_block_held_twice_may_be_dropped_twice_in_one_call():
    refs = refs_of(2)
    (block,) = refs.allocate(1)
    refs.share([block])
    assert refs.drop([block, block]) == [block]


@pytest.mark.parametrize("blocks", [[0, 6], [0, -1], [0, "1"], [0, 1.0], [0, None], [0, 10**20]])
@pytest.mark.parametrize("method", ["share", "drop", "free", "recycle"])
def test_a_foreign_block_is_refused_and_nothing_changes(method, blocks):
    refs = refs_of()
    refs.allocate(3)
    if method == "recycle":
        refs.drop([0])
    before = counts(refs), refs.num_free
    with pytest.raises(ForeignBlockError):
        getattr(refs, method)(blocks)
    assert (counts(refs), refs.num_free) == before
    if method == "recycle":
        refs.recycle([0])  # it still is what it was: held by nobody, and not in the pool
        assert refs.num_free == 4


def test_what_is_in_the_pool_cannot_be_shared():
    refs = refs_of(3)
    refs.allocate(2)
    with pytest.raises(BlockError, match="Block 2 is in the pool"):
        refs.share([0, 2])
    assert counts(refs) == [1, 1, 0]


@pytest.mark.parametrize("method", ["drop", "free"])
@pytest.mark.parametrize("blocks", [[0, 2], [0, 1, 1], [1, 0, 0, 0]])
def test_dropping_more_often_than_held_is_refused_and_nothing_changes(method, blocks):
    refs = refs_of(3)
    refs.allocate(2)
    refs.share([0])
    with pytest.raises(DoubleFreeError):
        getattr(refs, method)(blocks)
    assert counts(refs) == [2, 1, 0] and refs.num_free == 1


def test_only_what_nobody_holds_can_be_recycled_and_once():
    refs = refs_of(4)
    refs.allocate(3)
    refs.drop([0, 1])
    for blocks, error in [([0, 2], BlockError), ([0, 3], DoubleFreeError), ([0, 0], DoubleFreeError)]:
        with pytest.raises(error):
            refs.recycle(blocks)
        assert refs.num_free == 1
    refs.recycle([1, 0])
    assert refs.num_free == 3


def test_generators_and_numpy_ids_are_taken():
    refs = refs_of(4)
    blocks = refs.allocate(3)
    refs.share(block for block in blocks)
    refs.share(np.array(blocks))
    assert counts(refs) == [3, 3, 3, 0]
    assert refs.drop(np.array(blocks)) == []
    refs.free(iter(blocks))
    refs.free(iter(blocks))
    assert refs.num_free == 4


def test_two_counts_share_nothing():
    one, other = refs_of(2), refs_of(2)
    one.share(one.allocate(1))
    assert counts(one) == [2, 0] and counts(other) == [0, 0]


# ----- fork ---------------------------------------------------------------------------------------------------


def test_fork_takes_no_block_and_counts_every_one():
    refs = refs_of()
    parent = table_of(refs, 10)
    child = fork(parent)
    assert child.blocks == parent.blocks == [0, 1, 2] and child.blocks is not parent.blocks
    assert (child.num_tokens, child.block_size, child.pool) == (10, 4, refs)
    assert counts(refs)[:3] == [2, 2, 2] and refs.num_free == 3


def test_the_child_outlives_its_parent():
    refs = refs_of()
    parent = table_of(refs, 10)
    child = fork(parent)
    parent.release()
    assert child.blocks == [0, 1, 2] and refs.num_free == 3
    child.release()
    assert refs.num_free == 6 and counts(refs) == [0] * 6


def test_an_empty_table_forks_to_an_empty_one():
    child = fork(table_of(refs_of()))
    assert child.blocks == [] and child.num_tokens == 0


# ----- append_cow ---------------------------------------------------------------------------------------------


def test_the_first_to_write_copies_and_the_last_holder_writes_in_place():
    refs = refs_of()
    a = table_of(refs, 6)
    b, c = fork(a), fork(a)
    assert append_cow(b) == [(1, 2)] and b.blocks == [0, 2]
    assert append_cow(a) == [(1, 3)] and a.blocks == [0, 3]
    assert append_cow(c) == [] and c.blocks == [0, 1]
    assert [t.num_tokens for t in (a, b, c)] == [7, 7, 7]
    assert counts(refs) == [3, 1, 1, 1, 0, 0]


def test_a_full_block_is_never_copied():
    refs = refs_of()
    a = table_of(refs, 8)
    b = fork(a)
    assert append_cow(b, 3) == [] and b.blocks == [0, 1, 2] and a.blocks == [0, 1]
    assert counts(refs)[:3] == [2, 2, 1]


def test_nothing_to_write_copies_nothing():
    refs = refs_of()
    a = table_of(refs, 6)
    b = fork(a)
    assert append_cow(b, 0) == [] and b.blocks == [0, 1] and refs.num_free == 4


def test_a_chunk_takes_the_copy_and_the_blocks_beyond_in_one_request():
    refs = refs_of()
    a = table_of(refs, 6)
    b = fork(a)
    assert append_cow(b, 5) == [(1, 2)] and b.blocks == [0, 2, 3] and b.num_tokens == 11


@pytest.mark.parametrize(("num_blocks", "n"), [(2, 1), (3, 3), (4, 7)])
def test_without_room_for_all_of_it_nothing_changes(num_blocks, n):
    refs = refs_of(num_blocks)
    a = table_of(refs, 6)
    b = fork(a)
    before = counts(refs), refs.num_free
    assert append_cow(b, n) is None
    assert (counts(refs), refs.num_free) == before
    assert b.blocks == a.blocks == [0, 1] and b.num_tokens == 6


@pytest.mark.parametrize("n", [-1, 1.5, "2", None])
def test_a_number_of_tokens_is_a_whole_number(n):
    refs = refs_of()
    a = table_of(refs, 6)
    with pytest.raises(BlockError):
        append_cow(a, n)
    assert a.num_tokens == 6 and refs.num_free == 4


def test_over_the_plain_pool_of_lesson_04():
    refs = RefCounts(BlockPool(4))
    a = table_of(refs, 3)
    b = fork(a)
    assert append_cow(b) == [(0, 1)]
    a.release()
    b.release()
    assert refs.num_free == 4


def test_a_block_that_is_shared_after_others_were_let_go_of_stays_with_its_second_holder():
    refs = RefCounts(BlockPool(4))
    first, second = refs.allocate(2)
    refs.share([first, second])
    assert refs.drop([first, second]) == [] and refs.drop([second]) == [second] and counts(refs) == [1, 0, 0, 0]
    refs.share([second])  # nobody held it, so nobody shares it
    assert refs.drop([second, first]) == [second, first]
    refs.share([first]), refs.share([first])
    assert refs.drop([first]) == [] and refs.drop([first]) == [first] and counts(refs) == [0, 0, 0, 0]
