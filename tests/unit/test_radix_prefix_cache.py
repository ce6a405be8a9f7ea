"""The prefix cache that is built on the radix tree, and what lesson 08 does not ask of the tree's functions.

The rest of them is held to that lesson's rules (tests/mutants/test_bank.py).
"""

from __future__ import annotations

import pytest

from labkit.cache.block_pool import BlockPool, CheckedPool
from labkit.cache.eviction import LRU
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.cache.radix_node import RadixNode
from labkit.cache.radix_prefix_cache import LONGEST_EDGE, RadixPrefixCache
from labkit.cache.radix_tree import evict_leaf, insert, lock, match, shared_pages, split, unlock
from labkit.cache.ref_counts import RefCounts
from labkit.engine import kv_cache_manager
from labkit.errors import CacheError, PolicyError

# ----- the functions ------------------------------------------------------------------------------------------------


def tree(*words: bytes, page_bytes: int = 1) -> tuple[RadixNode, list[RadixNode]]:
    """A tree of these words, blocks counted up, and the node at which each ends."""
    root, ends, block = RadixNode(), [], 0
    for word in words:
        pages = len(word) // page_bytes
        ends.append(insert(root, word, range(block, block + pages), page_bytes)[0])
        block += pages
    return root, ends


@pytest.mark.parametrize("pages", [1, 2, 7, 8, 9, 64])
@pytest.mark.parametrize("page_bytes", [1, 4])
def test_shared_pages_finds_every_place_at_which_two_runs_part(pages, page_bytes):
    key = bytes(i % 251 for i in range(pages * page_bytes))
    for at in range(pages * page_bytes):
        other = b"xy" + key[:at] + bytes([key[at] ^ 1]) + key[at + 1 :]
        assert shared_pages(key, other, 2, page_bytes) == at // page_bytes
        assert shared_pages(key, b"xy" + key[:at], 2, page_bytes) == at // page_bytes
    assert shared_pages(key, key + b"more", 0, page_bytes) == pages


@pytest.mark.parametrize("pages", [-1, 0, 6, 7])
def test_split_refuses_an_empty_side(pages):
    root, (end,) = tree(b"carbon")
    with pytest.raises(CacheError, match="at least one page"):
        split(end, pages, 1)
    assert root.children == {b"c": end} and end.key == b"carbon"


def test_insert_refuses_tokens_and_blocks_that_do_not_go_together():
    root, _ = tree(b"aabb", page_bytes=2)
    with pytest.raises(CacheError, match="a block for each"):
        insert(root, b"aac", [7, 8], 2)
    assert [child.blocks for child in root.children.values()] == [[0, 1]]


def test_locks_count_the_requests_whose_way_goes_through():
    root, (carbon, cart) = tree(b"carbon", b"cart")
    assert lock(carbon) == 6
    assert lock(cart) == 1  # the way to it was locked
    assert carbon.parent.locks == 2
    assert unlock(carbon) == 3
    assert unlock(cart) == 4
    with pytest.raises(CacheError, match="locked by nobody"):
        unlock(cart)
    assert carbon.parent.locks == 0 and root.locks == 0
    lock(carbon.parent)
    assert lock(cart, top=carbon.parent) == 1 and carbon.parent.locks == 1


# ----- the cache ----------------------------------------------------------------------------------------------------


def manager_of(num_blocks: int = 12, block_size: int = 2, **options) -> KVCacheManager:
    return kv_cache_manager(num_blocks, block_size, prefix_cache="radix", pool=CheckedPool(num_blocks), **options)


def test_a_lookup_cuts_nothing_and_a_hit_cuts_where_it_ends():
    manager = manager_of()
    manager.allocate("a", [1, 2, 3, 4, 5, 6])
    assert manager.lookup([1, 2, 3, 4, 9]) == 4
    assert manager.cache.num_nodes == 1
    assert manager.allocate("b", [1, 2, 3, 4, 9]).num_cached_tokens == 4
    assert manager.cache.num_nodes == 2


def test_a_page_that_is_known_and_held_keeps_its_block_and_the_other_returns():
    manager = manager_of()
    first = manager.allocate("a", [1, 2, 3, 4]).blocks
    again = manager.allocate("b", [1, 2, 3, 4])
    assert again.num_cached_tokens == 2 and again.blocks[0] == first[0] and again.blocks[1] != first[1]
    manager.free("a")
    # "b" locks the tree's second page and holds its own: cached, held by nobody, and not to be evicted.
    assert (manager.num_cached, manager.cache.num_evictable) == (1, 0)
    manager.free("b")
    assert (manager.num_cached, manager.cache.num_evictable, manager.num_free) == (2, 2, 10)


def test_a_page_that_is_known_and_held_by_nobody_takes_the_new_block_and_gives_its_own_back():
    manager = manager_of()
    first = manager.allocate("a", [1, 2, 3, 4]).blocks
    manager.free("a")
    again = manager.allocate("b", [1, 2, 3, 4])
    assert again.blocks[0] == first[0] and again.blocks[1] != first[1]
    # The second page lies where "b" computed it: no block is spent on a copy that nobody reads.
    assert set(manager.contents()) == set(again.blocks) and (manager.num_cached, manager.num_free) == (0, 10)


def test_a_sequence_lengthens_its_own_leaf_and_no_other():
    manager = manager_of()
    manager.allocate("a", [1, 2, 3])
    manager.append("a", 4)
    assert manager.cache.num_nodes == 1
    manager.fork("a", "b")
    manager.extend("a", [5, 6])
    manager.extend("b", [7, 8])
    assert manager.cache.num_nodes == 3
    assert manager.lookup([1, 2, 3, 4, 7, 8, 9]) == 6


def test_a_long_prompt_hangs_as_several_nodes():
    block_size = 16
    pages = 2 * LONGEST_EDGE // (4 * block_size) + 3
    manager = kv_cache_manager(pages + 1, block_size, prefix_cache="radix")
    prompt = list(range(pages * block_size + 1))
    manager.allocate("a", prompt)
    assert manager.cache.num_nodes == 3
    assert manager.lookup(prompt) == pages * block_size
    manager.free("a")
    manager.cache.clear()
    assert manager.num_free == pages + 1 and manager.cache.num_nodes == 0


def test_each_salt_has_a_tree_that_is_forgotten_when_it_is_empty():
    manager = manager_of()
    manager.allocate("a", [1, 2, 3], salt=b"tenant")
    assert manager.lookup([1, 2, 3]) == 0 and manager.lookup([1, 2, 3], salt=b"tenant") == 2
    assert manager.cache.root.children == {}
    manager.free("a")
    manager.cache.clear()
    assert manager.lookup([1, 2, 3], salt=b"tenant") == 0
    assert list(manager.cache._roots) == [b""]


def test_eviction_takes_the_oldest_leaf_from_its_end_and_counts_regret():
    manager = manager_of(6, regret=True)
    for name, prompt in (("a", [1, 2, 3, 4, 5]), ("b", [1, 2, 6, 7, 8])):
        manager.allocate(name, prompt)
        manager.free(name)
    assert manager.num_cached == 3
    manager.allocate("c", [9] * 9)  # five blocks; the oldest leaf and the next go
    assert manager.lookup([1, 2, 3, 4, 5]) == 2
    manager.free("c")
    manager.allocate("a", [1, 2, 3, 4, 5])
    counters = manager.counters
    assert (counters.cached_blocks_evicted, counters.regretted_evictions) == (3, 1)


def test_evicting_more_than_there_is_changes_nothing():
    manager = manager_of()
    manager.allocate("a", [1, 2, 3])
    manager.free("a")
    with pytest.raises(CacheError, match="2 blocks cannot be evicted"):
        manager.cache.evict(2)
    assert manager.cache.num_evictable == 1 and manager.num_cached == 1


def test_a_policy_that_names_what_it_was_not_offered_is_found_out():
    class Wrong(LRU):
        def evict(self):
            return super().evict() + 1

    manager = manager_of(policy=Wrong())
    manager.allocate("a", [1, 2, 3])
    manager.free("a")
    with pytest.raises(PolicyError, match="not offered"):
        manager.cache.evict(1)


def test_numbers_of_nodes_are_used_again():
    cache = RadixPrefixCache(RefCounts(BlockPool(4)), 4, LRU())
    for i in range(50):
        place = cache.hold(cache.lookup(bytes([i] * 8), b"", 1))
        blocks = cache.allocate(2)
        cache.register(place, bytes([i] * 8), blocks)
        assert set(cache._nodes) == {0}
        cache.free(blocks[::-1])
        cache.leave(place)
        cache.evict(2)
    assert cache.num_nodes == 0


def test_the_cache_runs_on_functions_that_are_given_to_it():
    called = []

    def counted(name, function):
        def call(*args):
            called.append(name)
            return function(*args)

        return call

    functions = {f.__name__: counted(f.__name__, f) for f in (match, split, insert, evict_leaf)}
    manager = KVCacheManager(RadixPrefixCache(RefCounts(BlockPool(4)), 8, LRU(), **functions), 2)
    manager.allocate("a", [1, 2, 3, 4, 5])
    manager.free("a")
    manager.allocate("b", [1, 2, 9])
    manager.free("b")
    manager.allocate("c", [7] * 8)
    assert set(called) == {"match", "split", "insert", "evict_leaf"}
