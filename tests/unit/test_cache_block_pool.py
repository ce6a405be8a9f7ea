"""BlockPool, CheckedPool and find_leak."""

from __future__ import annotations

import numpy as np
import pytest

from labkit.cache.base import BlockPoolLike
from labkit.cache.block_pool import BlockPool, CheckedPool, find_leak
from labkit.errors import BlockError, DoubleFreeError, ForeignBlockError

POOLS = pytest.mark.parametrize("Pool", [BlockPool, CheckedPool])


@POOLS
def test_a_fresh_pool_hands_out_the_lowest_ids_in_order(Pool):
    pool = Pool(5)
    assert isinstance(pool, BlockPoolLike)
    assert pool.allocate(2) == [0, 1]
    assert pool.allocate(3) == [2, 3, 4]
    assert pool.num_free == 0


@POOLS
def test_no_room_is_an_answer_and_changes_nothing(Pool):
    pool = Pool(4)
    pool.allocate(3)
    assert pool.allocate(2) is None
    assert pool.num_free == 1
    assert pool.allocate(1) == [3]


@POOLS
def test_nothing_can_always_be_allocated(Pool):
    pool = Pool(1)
    assert pool.allocate(0) == []
    pool.allocate(1)
    assert pool.allocate(0) == []
    assert Pool(0).allocate(1) is None


@POOLS
@pytest.mark.parametrize("n", [-1, 1.0, "1", None, [1]])
def test_what_is_not_a_count_is_an_error(Pool, n):
    pool = Pool(4)
    with pytest.raises(BlockError, match="whole number"):
        pool.allocate(n)
    assert pool.num_free == 4
    with pytest.raises(BlockError, match="num_blocks"):
        Pool(n)


@POOLS
@pytest.mark.parametrize("kind", [list, tuple, set, iter, np.array, lambda ids: (i for i in ids)])
def test_free_takes_any_iterable(Pool, kind):
    pool = Pool(4)
    held = pool.allocate(3)
    pool.free(kind(held))
    assert pool.num_free == 4
    assert sorted(pool.allocate(4)) == [0, 1, 2, 3]


@POOLS
def test_the_block_free_longest_is_reused_first(Pool):
    pool = Pool(3)
    pool.allocate(3)
    pool.free([2])
    pool.free([0, 1])
    assert pool.allocate(3) == [2, 0, 1]


def test_a_plain_pool_trusts_its_caller_and_pays_for_it():
    pool = BlockPool(2)
    blocks = pool.allocate(1)
    pool.free(blocks)
    pool.free(blocks)
    assert pool.num_free == 3  # one more than there are: this is what CheckedPool is for
    assert pool.allocate(3) == [1, 0, 0]


@pytest.mark.parametrize(
    ("blocks", "error"),
    [
        ([0], DoubleFreeError),  # given back before
        ([3], DoubleFreeError),  # never handed out: it is free already
        ([1, 1], DoubleFreeError),
        ([1, 2, 0], DoubleFreeError),
        ([4], ForeignBlockError),
        ([-1], ForeignBlockError),
        ([1, 99], ForeignBlockError),
        (["1"], ForeignBlockError),
        ([1.0], ForeignBlockError),
        ([None], ForeignBlockError),
    ],
)
def test_a_checked_pool_refuses_the_whole_call_and_changes_nothing(blocks, error):
    pool = CheckedPool(4)
    pool.allocate(3)
    pool.free([0])
    with pytest.raises(error):
        pool.free(iter(blocks))
    assert pool.num_free == 2
    pool.free([1, 2])
    assert sorted(pool.allocate(4)) == [0, 1, 2, 3]


def test_messages_say_what_was_wrong_and_what_to_do():
    pool = CheckedPool(4)
    with pytest.raises(DoubleFreeError, match="Block 2 is already free, but can be freed once only: "):
        pool.free([2])
    with pytest.raises(ForeignBlockError, match="Block 9 is not one of this pool's blocks 0 to 3: "):
        pool.free([9])


def test_find_leak():
    assert find_leak(6, [0, 1], [[2], [3, 4]]) == [5]
    assert find_leak(6, iter([5, 0]), [[3, 4], [4]]) == [1, 2]  # block 4 is shared, not lost
    assert find_leak(3, [0, 1, 2], []) == []
    assert find_leak(3, [], []) == [0, 1, 2]
    assert find_leak(0, [], []) == []
