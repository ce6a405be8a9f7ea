"""The KV-cache manager: what each call answers, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from labkit.cache.allocation import Allocation, NoRoom
from labkit.cache.block_pool import CheckedPool
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.cache.swap import SwapPool
from labkit.errors import BlockError, CacheError, TokenError, UnknownSequenceError

KINDS = pytest.mark.parametrize("kind", ["hash", "radix"])
ALL_KINDS = pytest.mark.parametrize("kind", ["hash", "radix", None])


def prompt(start: int, tokens: int) -> list[int]:
    return list(range(start, start + tokens))


@KINDS
def test_a_prompt_that_comes_again_is_computed_from_its_last_block_on(kind):
    manager = KVCacheManager(16, 4, prefix_cache=kind)
    first = manager.allocate("a", prompt(0, 12))
    assert first == Allocation([0, 1, 2], 0)
    again = manager.allocate("b", prompt(0, 12))
    # All three blocks are known; the last is computed again, because one token always is.
    assert again.num_cached_tokens == 8 and again.blocks[:2] == first.blocks[:2] and again.blocks[2] != first.blocks[2]
    assert manager.lookup(prompt(0, 13)) == 12 and manager.lookup(prompt(0, 12)) == 8


@KINDS
def test_only_full_blocks_are_found(kind):
    manager = KVCacheManager(16, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 7))
    assert manager.lookup(prompt(0, 8)) == 4
    manager.append("a", 7)
    assert manager.lookup(prompt(0, 9)) == 8  # the block has filled up while the sequence ran


@KINDS
@pytest.mark.parametrize("other", [
    dict(salt=b"tenant"), dict(salt=b"\x00"), dict(salt=b"adapter"),
    dict(extra_keys=["adapter"]), dict(extra_keys=[b"adapter"]), dict(extra_keys=["adap", "ter"]),
])
def test_a_salt_or_an_extra_key_keeps_equal_tokens_apart(kind, other):
    manager = KVCacheManager(64, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 3), **other)  # the first block is not full yet: the salt must wait for it
    manager.extend("a", prompt(3, 8))
    assert manager.lookup(prompt(0, 11)) == 0
    assert manager.lookup(prompt(0, 11), salt=b"somebody else") == 0
    assert manager.lookup(prompt(0, 11), **other) == 8


@ALL_KINDS
def test_no_room_is_a_false_value_that_says_why(kind):
    manager = KVCacheManager(4, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 9))
    no = manager.allocate("b", prompt(100, 8))
    assert not no and no == NoRoom(needed=2, available=1, fits_empty=True)
    never = manager.allocate("c", prompt(100, 17))
    assert not never and never.fits_empty is False and not manager.can_ever_fit(17) and manager.can_ever_fit(16)
    assert manager.num_free == 1 and "b" not in manager


@KINDS
def test_blocks_that_are_found_are_not_room_as_well(kind):
    """A hit on cached blocks that nobody holds uses up blocks that could have been evicted."""
    manager = KVCacheManager(4, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 16))
    manager.free("a")
    assert manager.num_available == 4
    assert manager.allocate("b", prompt(0, 20)) == NoRoom(needed=1, available=0, fits_empty=False)
    assert manager.allocate("b", prompt(0, 16)).num_cached_tokens == 12


@ALL_KINDS
def test_a_fork_shares_and_the_first_to_write_copies(kind):
    manager = KVCacheManager(8, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 6))
    manager.fork("a", "b")
    assert manager.blocks("a") == manager.blocks("b") == [0, 1] and manager.num_held == 2
    assert manager.append("b", 100) and manager.copies == [(1, manager.blocks("b")[1])]
    manager.copies.clear()
    assert manager.append("a", 200) and manager.copies == []  # a has the block to itself again
    assert manager.blocks("a") == [0, 1] and manager.blocks("b")[0] == 0 and manager.num_held == 3
    assert manager.append_each(["a", "b"], [1, 1]) and manager.num_tokens("a") == manager.num_tokens("b") == 8


@ALL_KINDS
def test_a_copy_that_finds_no_room_changes_nothing(kind):
    manager = KVCacheManager(2, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 6))
    manager.fork("a", "b")
    assert manager.append("a", 1) is False and manager.append_each(["a", "b"], [1, 1]) is False
    assert manager.blocks("a") == manager.blocks("b") and manager.num_tokens("a") == 6 and not manager.copies
    manager.free("b")
    assert manager.append("a", 1) is True


@ALL_KINDS
def test_a_bulk_append_serves_all_or_none(kind):
    manager = KVCacheManager(3, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 4))
    manager.allocate("b", prompt(100, 4))
    manager.free("a")
    manager.allocate("c", prompt(200, 2))
    # c has room, b needs a block: with nothing to evict it would be the third.
    assert manager.append_each(["c", "b"], [7, 8]) is True
    manager.fork("b", "d")
    before = [manager.num_tokens(seq) for seq in "bcd"]
    assert manager.append_each(["c", "b", "d"], [7, 8, 9]) is False
    assert [manager.num_tokens(seq) for seq in "bcd"] == before


@ALL_KINDS
def test_k_tokens_for_many(kind):
    manager = KVCacheManager(32, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 3))
    manager.allocate("b", prompt(50, 8))
    assert manager.append_each(["a", "b"], [1, 2, 3, 4, 5, 6])
    assert manager.num_tokens("a") == 6 and manager.num_tokens("b") == 11
    if kind:
        assert manager.lookup([0, 1, 2, 1, 9]) == 4  # the first token of a's three filled its block
    assert manager.append_each([], []) is True


@KINDS
def test_the_five_counters_are_kept_apart(kind):
    manager = KVCacheManager(4, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 16))
    manager.free("a")
    counters = manager.counters
    assert (counters.blocks_recycled, counters.cached_blocks_evicted, counters.regretted_evictions) == (0, 0, 0)
    manager.allocate("b", prompt(100, 14))  # evicts all four
    counters = manager.counters
    assert (counters.blocks_recycled, counters.cached_blocks_evicted, counters.regretted_evictions) == (4, 4, 0)
    manager.release("b")  # three full blocks stay cached, the fourth was never findable
    counters = manager.counters
    assert (counters.blocks_recycled, counters.cached_blocks_evicted, counters.preemptions) == (5, 4, 1)
    manager.allocate("a", prompt(0, 12))  # evicts two of the three, and computes again what was evicted
    counters = manager.counters
    assert (counters.cached_blocks_evicted, counters.regretted_evictions, counters.recomputed_tokens) == (6, 3, 0)
    manager.free("a")
    assert manager.allocate("b", prompt(100, 14)).num_cached_tokens == 4
    assert manager.counters.recomputed_tokens == 10 and manager.counters.preemptions == 1


def test_who_was_preempted_can_be_given_up():
    manager = KVCacheManager(4, 4)
    manager.allocate("a", range(8))
    manager.release("a")
    manager.forget("a")
    assert manager.num_cached == 2 and manager._preempted == {}
    with pytest.raises(UnknownSequenceError, match="neither preempted nor swapped out"):
        manager.forget("a")
    # The name is as good as new: what comes under it has lost nothing.
    assert manager.allocate("a", range(100, 108)) and manager.counters.recomputed_tokens == 0
    with pytest.raises(UnknownSequenceError, match="free it if it is in memory"):
        manager.forget("a")
    assert manager.num_tokens("a") == 8


def test_a_fork_by_the_name_of_one_that_was_preempted_is_another_sequence():
    manager = KVCacheManager(4, 4)
    manager.allocate("a", range(6)), manager.allocate("b", range(3))
    manager.release("b")
    manager.fork("a", "b")
    with pytest.raises(UnknownSequenceError):
        manager.forget("b")
    manager.free("b")
    assert manager.allocate("b", [7]) and manager.counters.recomputed_tokens == 0


def test_who_was_swapped_out_can_be_given_up():
    swap = SwapPool(3)
    manager = KVCacheManager(4, 4, swap_pool=swap)
    manager.allocate("a", range(10))
    assert manager.swap_out("a") and swap.num_free == 0
    manager.forget("a")
    assert swap.num_free == 3 and "a" not in swap and (swap.swapped_out, swap.swapped_in) == (3, 0)
    assert manager.lookup(range(10)) == 8  # what it had computed is still findable
    for call in (manager.forget, manager.swap_in):
        with pytest.raises(UnknownSequenceError):
            call("a")
    assert manager.allocate("a", range(10)).num_cached_tokens == 8


def test_without_a_cache_nothing_is_found_and_everything_returns():
    manager = KVCacheManager(4, 4, prefix_cache=None)
    manager.allocate("a", prompt(0, 16))
    manager.free("a")
    assert manager.num_free == 4 and manager.lookup(prompt(0, 16)) == 0 and manager.num_cached == 0
    assert manager.counters.blocks_recycled == 4 and manager.counters.cached_blocks_evicted == 0


@ALL_KINDS
def test_the_null_block_is_nobodys(kind):
    manager = KVCacheManager(4, 4, prefix_cache=kind, null_block=True)
    assert manager.null_block == 0 and manager.num_free == 3 and manager.num_held == 0
    assert not manager.allocate("a", prompt(0, 16)) and not manager.can_ever_fit(13)
    assert 0 not in manager.allocate("a", prompt(0, 12)).blocks
    manager.free("a")
    assert manager.num_free + manager.num_cached + manager.num_held + 1 == 4


@KINDS
def test_a_trace_names_its_blocks(kind):
    manager = KVCacheManager(32, 512, prefix_cache=kind, keyed_by="blocks")
    manager.allocate(0, [7, 8, 9], num_tokens=1_200)  # 9 is part filled
    assert manager.lookup([7, 8, 9], num_tokens=1_600) == 1_024
    assert manager.grow(0, 500) and manager.num_tokens(0) == 1_700
    manager.free(0)
    # What filled up with tokens that nobody named is not found again.
    assert manager.allocate(1, [7, 8, 9, 10], num_tokens=2_048).num_cached_tokens == 1_024


@ALL_KINDS
def test_out_to_the_host_and_back(kind):
    manager = KVCacheManager(4, 4, prefix_cache=kind, swap_pool=SwapPool(3))
    manager.allocate("a", prompt(0, 10))
    out = manager.swap_out("a")
    assert [block for block, _ in out] == [0, 1, 2] and "a" not in manager and manager.swap_pool.num_free == 0
    assert manager.num_available == 4
    manager.allocate("b", prompt(100, 5))
    assert manager.swap_out("b") is None and "b" in manager  # the host is full
    assert manager.swap_in("a") is None or kind  # without a cache two blocks are too few
    manager.free("b")
    if "a" not in manager:
        assert manager.swap_in("a") is not None
    assert manager.num_tokens("a") == 10 and manager.swap_pool.num_free == 3
    assert manager.append("a", 1)


@KINDS
def test_what_is_still_cached_is_not_copied_back(kind):
    manager = KVCacheManager(8, 4, prefix_cache=kind, swap_pool=SwapPool(8))
    manager.allocate("a", prompt(0, 10))
    manager.swap_out("a")
    assert len(manager.swap_in("a")) == 1  # the part-filled block alone


def test_other_parts_fit_in():
    pool = CheckedPool(8)
    manager = KVCacheManager(8, 4, pool=pool)
    manager.allocate("a", prompt(0, 9))
    assert pool.num_free == 5


@ALL_KINDS
def test_slots_follow_the_blocks(kind):
    manager = KVCacheManager(8, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 4))
    manager.allocate("b", prompt(50, 1))
    manager.extend("a", [9, 9])
    assert manager.slots("a", 2, 6) == [2, 3, 8, 9]
    with pytest.raises(BlockError, match="append it first"):
        manager.slots("a", 0, 7)


@pytest.mark.parametrize("num_blocks", [0, -1, 2.5, "8", None])
def test_sizes_that_cannot_be(num_blocks):
    with pytest.raises(CacheError, match=r"num_blocks is .*whole number"):
        KVCacheManager(num_blocks)
    with pytest.raises(CacheError, match=r"block_size is .*whole number"):
        KVCacheManager(8, num_blocks)


@pytest.mark.parametrize("setting, value", [("prefix_cache", "trie"), ("keyed_by", "words")])
def test_settings_that_do_not_exist(setting, value):
    with pytest.raises(CacheError, match=setting):
        KVCacheManager(8, **{setting: value})


@pytest.mark.parametrize("token", [-1, 2**32, 1.0, "a", None])
@ALL_KINDS
def test_tokens_that_cannot_be(kind, token):
    manager = KVCacheManager(8, 4, prefix_cache=kind)
    manager.allocate("a", [1, 2, 3])
    for call in (lambda: manager.allocate("b", [1, token]), lambda: manager.append("a", token),
                 lambda: manager.append_each(["a"], [token]), lambda: manager.extend("a", [5, token]),
                 lambda: manager.lookup([token])):
        with pytest.raises(TokenError, match="whole number from 0 to"):
            call()
    assert manager.num_tokens("a") == 3 and "b" not in manager and manager.num_free == 7


@ALL_KINDS
def test_sequences_that_are_not_there(kind):
    manager = KVCacheManager(8, 4, prefix_cache=kind, swap_pool=SwapPool(4))
    manager.allocate("a", [1, 2, 3])
    manager.free("a")
    for call in (lambda: manager.free("a"), lambda: manager.release("a"), lambda: manager.append("a", 1),
                 lambda: manager.append_each(["a"], [1]), lambda: manager.extend("a", [1]), lambda: manager.grow("a"),
                 lambda: manager.fork("a", "b"), lambda: manager.blocks("a"), lambda: manager.swap_out("a")):
        with pytest.raises(UnknownSequenceError, match="'a' is not in memory"):
            call()
    with pytest.raises(UnknownSequenceError, match="not swapped out"):
        manager.swap_in("a")
    assert manager.counters.preemptions == 0 and manager.num_held == 0


@ALL_KINDS
def test_calls_that_contradict_themselves(kind):
    manager = KVCacheManager(8, 4, prefix_cache=kind)
    manager.allocate("a", [1, 2, 3])
    with pytest.raises(CacheError, match="in memory already"):
        manager.allocate("a", [1])
    with pytest.raises(CacheError, match="name of its own"):
        manager.fork("a", "a")
    with pytest.raises(CacheError, match="prompt is empty"):
        manager.allocate("b", [])
    with pytest.raises(CacheError, match="named twice"):
        manager.append_each(["a", "a"], [1, 2])
    manager.allocate("other", [1])
    with pytest.raises(CacheError, match="3 tokens do not go into 2 sequences"):
        manager.append_each(["a", "other"], [1, 2, 3])
    with pytest.raises(CacheError, match="salt is 'x'"):
        manager.allocate("b", [1], salt="x")
    with pytest.raises(CacheError, match="extra key"):
        manager.allocate("b", [1], extra_keys=[None])
    with pytest.raises(CacheError, match="swap_pool"):
        manager.swap_out("a")
    with pytest.raises(CacheError, match="block ids"):
        KVCacheManager(8, 4, keyed_by="blocks").allocate("a", [1], num_tokens=9)
    with pytest.raises(CacheError, match="num_tokens"):
        KVCacheManager(8, 4, keyed_by="blocks").allocate("a", [1])
    assert manager.num_tokens("a") == 3 and len(manager) == 2


def test_a_batch_that_stays_the_same_is_looked_up_anew_as_soon_as_it_does_not():
    manager = KVCacheManager(16, 4, swap_pool=SwapPool(4))
    for name in "abc":
        manager.allocate(name, [1, 2])
    names = ["a", "b"]
    assert manager.append_each(names, [3, 3]) and manager.append_each(names, [4, 4])
    names[1] = "c"  # the caller's own list, changed in place
    assert manager.append_each(names, [5, 5])
    assert [manager.num_tokens(name) for name in "abc"] == [5, 4, 3]
    manager.free("a")
    with pytest.raises(UnknownSequenceError, match="'a'"):
        manager.append_each(names, [6, 6])
    manager.allocate("a", [9])  # another one by the same name
    assert manager.append_each(names, [7, 7]) and manager.append_each(tuple(names), [8, 8])
    assert (manager.num_tokens("a"), manager.num_tokens("c")) == (3, 5)
    manager.swap_out("c")
    with pytest.raises(UnknownSequenceError, match="swapped out"):
        manager.append_each(names, [6, 6])
    manager.swap_in("c")
    assert manager.append_each(np.array([], dtype=int), []) and manager.append_each(names, [6, 6])
    assert (manager.num_tokens("a"), manager.num_tokens("c")) == (4, 6)
    manager.release("a")
    with pytest.raises(UnknownSequenceError, match="not in memory"):
        manager.append_each(names, [6, 6])
    with pytest.raises(CacheError, match="twice"):
        manager.append_each(["c", "c"], [6, 6])
    manager.allocate("a", [9])
    assert manager.append_each(names, [6, 6])
    with pytest.raises(UnknownSequenceError, match="has no hash"):
        manager.append_each([np.array([1, 2]), "c"], [6, 6])  # nor can it be compared with another name
    assert (manager.num_tokens("a"), manager.num_tokens("c")) == (2, 7)


def test_names_from_an_iterator_are_read_once():
    manager = KVCacheManager(4, 4)
    manager.allocate("a", [1])
    assert manager.append_each(iter(["a"]), [2]) and manager.num_tokens("a") == 2


def test_host_blocks_that_somebody_threw_away_take_no_block_with_them():
    manager = KVCacheManager(8, 4, swap_pool=SwapPool(4))
    manager.allocate("a", range(10))
    manager.swap_out("a")
    manager.swap_pool.discard("a")
    before = (manager.num_free, manager.num_held, manager.num_available)
    with pytest.raises(UnknownSequenceError, match="not in the swap pool"):
        manager.swap_in("a")
    assert (manager.num_free, manager.num_held, manager.num_available) == before


def test_a_pool_that_fails_is_not_counted_as_having_given():
    class Failing(CheckedPool):
        def allocate(self, n):
            raise OSError("out of order")

    manager = KVCacheManager(4, 4, pool=Failing(4))
    with pytest.raises(OSError):
        manager.allocate("a", [1])
    assert manager.counters.blocks_recycled == 0 and manager.num_free == 4
