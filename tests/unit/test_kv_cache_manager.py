"""The KV-cache manager: what each call answers, and what it refuses."""

from __future__ import annotations

import pytest

from labkit.cache.base import Allocation, NoRoom
from labkit.cache.block_pool import BlockPool, CheckedPool
from labkit.cache.eviction import LRU
from labkit.engine import kv_cache_manager
from labkit.errors import BlockError, CacheError, PartError, PolicyError, TokenError, UnknownSequenceError

KINDS = pytest.mark.parametrize("kind", ["hash", "radix"])
ALL_KINDS = pytest.mark.parametrize("kind", ["hash", "radix", None])


def prompt(start: int, tokens: int) -> list[int]:
    return list(range(start, start + tokens))


@KINDS
def test_a_prompt_that_comes_again_is_computed_from_its_last_block_on(kind):
    manager = kv_cache_manager(16, 4, prefix_cache=kind)
    first = manager.allocate("a", prompt(0, 12))
    assert first == Allocation([0, 1, 2], 0)
    again = manager.allocate("b", prompt(0, 12))
    # All three blocks are known; the last is computed again, because one token always is.
    assert again.num_cached_tokens == 8 and again.blocks[:2] == first.blocks[:2] and again.blocks[2] != first.blocks[2]
    assert manager.lookup(prompt(0, 13)) == 12 and manager.lookup(prompt(0, 12)) == 8


@KINDS
def test_only_full_blocks_are_found(kind):
    manager = kv_cache_manager(16, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 7))
    assert manager.lookup(prompt(0, 8)) == 4
    manager.append("a", 7)
    assert manager.lookup(prompt(0, 9)) == 8  # the block has filled up while the sequence ran


@KINDS
@pytest.mark.parametrize(
    "other",
    [
        dict(salt=b"tenant"),
        dict(salt=b"\x00"),
        dict(salt=b"adapter"),
        dict(extra_keys=["adapter"]),
        dict(extra_keys=[b"adapter"]),
        dict(extra_keys=["adap", "ter"]),
    ],
)
def test_a_salt_or_an_extra_key_keeps_equal_tokens_apart(kind, other):
    manager = kv_cache_manager(64, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 3), **other)  # the first block is not full yet: the salt must wait for it
    manager.extend("a", prompt(3, 8))
    assert manager.lookup(prompt(0, 11)) == 0
    assert manager.lookup(prompt(0, 11), salt=b"somebody else") == 0
    assert manager.lookup(prompt(0, 11), **other) == 8


@ALL_KINDS
def test_no_room_is_a_false_value_that_says_why(kind):
    manager = kv_cache_manager(4, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 9))
    no = manager.allocate("b", prompt(100, 8))
    assert not no and no == NoRoom(needed=2, available=1, fits_empty=True)
    never = manager.allocate("c", prompt(100, 17))
    assert not never and never.fits_empty is False
    assert manager.num_free == 1 and "b" not in manager


@KINDS
def test_blocks_that_are_found_are_not_room_as_well(kind):
    """A hit on cached blocks that nobody holds uses up blocks that could have been evicted."""
    manager = kv_cache_manager(4, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 16))
    manager.free("a")
    assert manager.num_available == 4
    assert manager.allocate("b", prompt(0, 20)) == NoRoom(needed=1, available=0, fits_empty=False)
    assert manager.allocate("b", prompt(0, 16)).num_cached_tokens == 12


@ALL_KINDS
def test_a_fork_shares_and_the_first_to_write_copies(kind):
    manager = kv_cache_manager(8, 4, prefix_cache=kind)
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
    manager = kv_cache_manager(2, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 6))
    manager.fork("a", "b")
    assert manager.append("a", 1) is False and manager.append_each(["a", "b"], [1, 1]) is False
    assert manager.blocks("a") == manager.blocks("b") and manager.num_tokens("a") == 6 and not manager.copies
    manager.free("b")
    assert manager.append("a", 1) is True


@ALL_KINDS
def test_a_bulk_append_serves_all_or_none(kind):
    manager = kv_cache_manager(3, 4, prefix_cache=kind)
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
    manager = kv_cache_manager(32, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 3))
    manager.allocate("b", prompt(50, 8))
    assert manager.append_each(["a", "b"], [1, 2, 3, 4, 5, 6])
    assert manager.num_tokens("a") == 6 and manager.num_tokens("b") == 11
    if kind:
        assert manager.lookup([0, 1, 2, 1, 9]) == 4  # the first token of a's three filled its block
    assert manager.append_each([], []) is True


@KINDS
def test_the_five_counters_are_kept_apart(kind):
    manager = kv_cache_manager(4, 4, prefix_cache=kind, regret=True)
    manager.allocate("a", prompt(0, 16))
    manager.free("a")
    counters = manager.counters
    assert (counters.blocks_recycled, counters.cached_blocks_evicted, counters.regretted_evictions) == (0, 0, 0)
    manager.allocate("b", prompt(100, 14))  # evicts all four
    counters = manager.counters
    assert (counters.blocks_recycled, counters.cached_blocks_evicted, counters.regretted_evictions) == (4, 4, 0)
    manager.preempt("b")  # three full blocks stay cached, the fourth was never findable
    counters = manager.counters
    assert (counters.blocks_recycled, counters.cached_blocks_evicted, counters.preemptions) == (5, 4, 1)
    manager.allocate("a", prompt(0, 12))  # evicts two of the three, and computes again what was evicted
    counters = manager.counters
    assert (counters.cached_blocks_evicted, counters.regretted_evictions, counters.recomputed_tokens) == (6, 3, 0)
    manager.free("a")
    assert manager.allocate("b", prompt(100, 14)).num_cached_tokens == 4
    assert manager.counters.recomputed_tokens == 10 and manager.counters.preemptions == 1


def test_who_was_preempted_can_be_given_up():
    manager = kv_cache_manager(4, 4)
    manager.allocate("a", range(8))
    manager.preempt("a")
    manager.forget("a")
    assert manager.num_cached == 2 and manager._preempted == {}
    with pytest.raises(UnknownSequenceError, match="not preempted"):
        manager.forget("a")
    # The name is as good as new: what comes under it has lost nothing.
    assert manager.allocate("a", range(100, 108)) and manager.counters.recomputed_tokens == 0
    with pytest.raises(UnknownSequenceError, match="free it if it is in memory"):
        manager.forget("a")
    assert manager.num_tokens("a") == 8


def test_a_fork_by_the_name_of_one_that_was_preempted_is_another_sequence():
    manager = kv_cache_manager(4, 4)
    manager.allocate("a", range(6)), manager.allocate("b", range(3))
    manager.preempt("b")
    manager.fork("a", "b")
    with pytest.raises(UnknownSequenceError):
        manager.forget("b")
    manager.free("b")
    assert manager.allocate("b", [7]) and manager.counters.recomputed_tokens == 0


def test_without_a_cache_nothing_is_found_and_everything_returns():
    manager = kv_cache_manager(4, 4, prefix_cache=None)
    manager.allocate("a", prompt(0, 16))
    manager.free("a")
    assert manager.num_free == 4 and manager.lookup(prompt(0, 16)) == 0 and manager.num_cached == 0
    assert manager.counters.blocks_recycled == 4 and manager.counters.cached_blocks_evicted == 0


@ALL_KINDS
def test_slots_follow_the_blocks(kind):
    manager = kv_cache_manager(8, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 4))
    manager.allocate("b", prompt(50, 1))
    manager.extend("a", [9, 9])
    assert manager.slots("a", 2, 6) == [2, 3, 8, 9]
    with pytest.raises(BlockError, match="append them first"):
        manager.slots("a", 0, 7)


@pytest.mark.parametrize("num_blocks", [0, -1, 2.5, "8", None])
def test_sizes_that_cannot_be(num_blocks):
    with pytest.raises(CacheError, match=r"num_blocks is .*whole number"):
        kv_cache_manager(num_blocks)
    with pytest.raises(CacheError, match=r"block_size is .*whole number"):
        kv_cache_manager(8, num_blocks)


@pytest.mark.parametrize(("setting", "value"), [("prefix_cache", "trie"), ("policy", LRU)])
def test_settings_that_do_not_exist(setting, value):
    with pytest.raises(CacheError, match=setting):
        kv_cache_manager(8, **{setting: value})


@pytest.mark.parametrize("token", [-1, 2**32, 1.0, "a", None])
@ALL_KINDS
def test_tokens_that_cannot_be(kind, token):
    manager = kv_cache_manager(8, 4, prefix_cache=kind)
    manager.allocate("a", [1, 2, 3])
    for call in (
        lambda: manager.allocate("b", [1, token]),
        lambda: manager.append("a", token),
        lambda: manager.append_each(["a"], [token]),
        lambda: manager.extend("a", [5, token]),
        lambda: manager.lookup([token]),
    ):
        with pytest.raises(TokenError, match="whole number from 0 to"):
            call()
    assert manager.num_tokens("a") == 3 and "b" not in manager and manager.num_free == 7


@ALL_KINDS
def test_sequences_that_are_not_there(kind):
    manager = kv_cache_manager(8, 4, prefix_cache=kind)
    manager.allocate("a", [1, 2, 3])
    manager.free("a")
    for call in (
        lambda: manager.free("a"),
        lambda: manager.preempt("a"),
        lambda: manager.append("a", 1),
        lambda: manager.append_each(["a"], [1]),
        lambda: manager.extend("a", [1]),
        lambda: manager.fork("a", "b"),
        lambda: manager.blocks("a"),
    ):
        with pytest.raises(UnknownSequenceError, match="'a' is not in memory"):
            call()
    assert manager.counters.preemptions == 0 and manager.num_held == 0


@ALL_KINDS
def test_calls_that_contradict_themselves(kind):
    manager = kv_cache_manager(8, 4, prefix_cache=kind)
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
    assert manager.num_tokens("a") == 3 and len(manager) == 2


def test_a_batch_that_stays_the_same_is_looked_up_anew_as_soon_as_it_does_not():
    manager = kv_cache_manager(16, 4)
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
    manager.preempt("a")
    with pytest.raises(UnknownSequenceError, match="not in memory"):
        manager.append_each(names, [6, 6])
    assert manager.append_each(["c"], iter([6])) and manager.num_tokens("c") == 6


@KINDS
def test_what_a_preempted_sequence_finds_again_is_no_hit_of_a_new_prompt(kind):
    """vLLM issue 25780: prompts that share nothing showed a hit rate."""
    manager = kv_cache_manager(64, 16, prefix_cache=kind)
    for name in range(20):
        tokens = prompt(1000 * name, 160)
        manager.allocate(name, tokens)
        manager.preempt(name)
        manager.allocate(name, tokens)
        manager.free(name)
    counters = manager.counters
    assert (counters.queried_tokens, counters.hit_tokens) == (20 * 160, 0)
    assert (counters.preempted_queried_tokens, counters.preempted_hit_tokens) == (20 * 160, 20 * 144)
    assert counters.recomputed_tokens == 20 * 16


@KINDS
def test_all_contents_are_forgotten_when_they_are_wrong(kind):
    manager = kv_cache_manager(8, 4, prefix_cache=kind, regret=True)
    manager.allocate("a", prompt(0, 12))
    assert manager.reset_prefix_cache() is False and manager.lookup(prompt(0, 12)) == 8  # somebody reads them
    manager.free("a")
    assert manager.reset_prefix_cache() is True
    assert manager.lookup(prompt(0, 12)) == 0 and manager.num_free == 8 and manager.contents() == {}
    manager.allocate("a", prompt(0, 12))
    assert (manager.counters.cached_blocks_evicted, manager.counters.regretted_evictions) == (0, 0)


@ALL_KINDS
def test_the_contents_are_those_that_a_lookup_can_find(kind):
    manager = kv_cache_manager(8, 4, prefix_cache=kind)
    manager.allocate("a", prompt(0, 9))
    manager.allocate("b", prompt(0, 10), salt=b"b")
    found = manager.contents()
    assert sorted(found) == ([0, 1, 3, 4] if kind else []) and len(set(found.values())) == len(found)


def test_another_pool_fits_in_if_it_is_fresh_and_of_this_size():
    pool = CheckedPool(8)
    manager = kv_cache_manager(8, 4, pool=pool)
    manager.allocate("a", prompt(0, 9))
    assert pool.num_free == 5
    for wrong in (pool, BlockPool(4)):
        with pytest.raises(CacheError, match="give a fresh pool"):
            kv_cache_manager(8, 4, pool=wrong)


@KINDS
def test_a_policy_that_is_none(kind):
    for wrong, why in ((LRU, "the class LRU"), (object(), "no stored, hit, released, add, remove, evict")):
        with pytest.raises(PolicyError, match=why):
            kv_cache_manager(8, 4, prefix_cache=kind, policy=wrong)


@KINDS
@pytest.mark.parametrize("answer", [None, -1, 10**9, "a"])
def test_a_victim_that_was_not_offered_ends_the_run_with_one_sentence(kind, answer):
    policy = LRU()
    policy.evict = lambda: answer
    manager = kv_cache_manager(2, 4, prefix_cache=kind, policy=policy)
    manager.allocate("a", prompt(0, 8))
    manager.free("a")
    with pytest.raises(PolicyError, match=r"LRU named .* which it was not offered"):
        manager.allocate("b", prompt(100, 8))


def test_a_table_that_refuses_what_there_is_room_for_ends_the_run_with_one_sentence():
    manager = kv_cache_manager(4, 4)
    manager.allocate("a", [1])

    class Refusing(type(manager._sequences["a"].table)):
        def append(self, n=1):
            return False

    manager._make_table = Refusing
    with pytest.raises(PartError, match="BlockTable broke its law: append was refused, though 1 block"):
        manager.allocate("b", [2])


def test_tokens_in_any_wrapping_are_as_many():
    for tokens in (b"\1\0\0\0", bytearray(b"\1\0\0\0"), memoryview(b"\1\0\0\0"), [1], (1,), iter([1])):
        manager = kv_cache_manager(4, 4)
        manager.allocate("a", [5])
        assert manager.append_each(["a"], tokens) and manager.num_tokens("a") == 2
