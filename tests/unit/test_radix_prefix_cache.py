"""The radix tree's functions, and the prefix cache that is built on them."""

from __future__ import annotations

import pytest

from labkit.cache.block_pool import BlockPool, CheckedPool
from labkit.cache.eviction import LRU
from labkit.cache.ghosts import GENERATIONS
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.cache.radix_ghosts import RadixGhosts
from labkit.cache.radix_node import RadixNode
from labkit.cache.radix_prefix_cache import LONGEST_EDGE, RadixPrefixCache
from labkit.cache.radix_tree import evict_leaf, insert, lock, match, shared_pages, split, unlock
from labkit.cache.ref_counts import RefCounts
from labkit.cache.tree_backed_cache import tree_backed
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


def spelled(node: RadixNode) -> dict[bytes, list[int]]:
    """Every node below by what the way to it spells."""
    found = {}
    for child in node.children.values():
        found[child.key] = child.blocks
        found.update({child.key + below: blocks for below, blocks in spelled(child).items()})
    return found


@pytest.mark.parametrize("pages", [1, 2, 7, 8, 9, 64])
@pytest.mark.parametrize("page_bytes", [1, 4])
def test_shared_pages_finds_every_place_at_which_two_runs_part(pages, page_bytes):
    key = bytes(i % 251 for i in range(pages * page_bytes))
    for at in range(pages * page_bytes):
        other = b"xy" + key[:at] + bytes([key[at] ^ 1]) + key[at + 1 :]
        assert shared_pages(key, other, 2, page_bytes) == at // page_bytes
        assert shared_pages(key, b"xy" + key[:at], 2, page_bytes) == at // page_bytes
    assert shared_pages(key, key + b"more", 0, page_bytes) == pages


def test_match_ends_at_the_root_inside_an_edge_and_at_a_node():
    root, (carbon, cart) = tree(b"carbon", b"cart")
    assert match(root, b"dog", 1) == (root, 0, [])
    assert match(root, b"", 1) == (root, 0, [])
    assert match(root, b"carb", 1) == (carbon, 1, [0, 1, 2, 3])
    assert match(root, b"cartoon", 1) == (cart, 1, [0, 1, 2, 9])
    assert match(carbon.parent, b"bon", 1) == (carbon, 3, [3, 4, 5])
    assert match(carbon.parent, b"x", 1) == (carbon.parent, 3, [])


def test_match_leaves_started_pages_out_and_gives_a_list_of_its_own():
    root, _ = tree(b"aabbcc", page_bytes=2)
    _, pages, blocks = match(root, b"aabbc", 2)
    assert pages == 2 and blocks == [0, 1]
    blocks.append(9)
    assert match(root, b"aabbcc", 2)[2] == [0, 1, 2]


def test_split_keeps_the_end_and_copies_locks_and_time():
    root, (end,) = tree(b"carbon")
    lock(end, now=5)
    lock(end, now=7)
    upper = split(end, 2, 1)
    assert (upper.key, upper.blocks, upper.locks, upper.last_used) == (b"ca", [0, 1], 2, 7)
    assert (end.key, end.blocks, end.locks, end.parent) == (b"rbon", [2, 3, 4, 5], 2, upper)
    assert root.children == {b"c": upper} and upper.children == {b"r": end} and upper.parent is root


@pytest.mark.parametrize("pages", [-1, 0, 6, 7])
def test_split_refuses_an_empty_side(pages):
    root, (end,) = tree(b"carbon")
    with pytest.raises(CacheError, match="at least one page"):
        split(end, pages, 1)
    assert root.children == {b"c": end} and end.key == b"carbon"


def test_insert_keeps_the_blocks_that_are_there():
    root, _ = tree(b"carbon", b"cart", b"ca", b"carbon")
    assert spelled(root) == {b"ca": [0, 1], b"car": [2], b"carbon": [3, 4, 5], b"cart": [9]}
    node, found = insert(root, b"carbo", range(20, 25), 1)
    assert found == 5 and node.key == b"bo"


def test_insert_refuses_tokens_and_blocks_that_do_not_go_together():
    root, _ = tree(b"aabb", page_bytes=2)
    with pytest.raises(CacheError, match="a block for each"):
        insert(root, b"aac", [7, 8], 2)
    assert spelled(root) == {b"aabb": [0, 1]}


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


def test_evict_leaf_shortens_and_then_removes():
    root, (carbon, _) = tree(b"carbon", b"cart")
    assert evict_leaf(carbon, 2, 1) == [5, 4]
    assert spelled(root) == {b"car": [0, 1, 2], b"carb": [3], b"cart": [9]}
    assert evict_leaf(carbon, 2, 1) == [3]
    assert spelled(root) == {b"car": [0, 1, 2], b"cart": [9]}


def test_evict_leaf_refuses_what_others_need():
    root, (carbon, cart) = tree(b"carbon", b"cart")
    lock(cart)
    for node, why in ((root, "children"), (carbon.parent, "locked"), (cart, "locked"), (RadixNode(), "root")):
        with pytest.raises(CacheError, match=why):
            evict_leaf(node, 1, 1)
    assert len(spelled(root)) == 3


# ----- ghosts -------------------------------------------------------------------------------------------------------


def test_ghosts_are_taken_as_far_as_they_are_followed():
    ghosts = RadixGhosts(100, 1)
    ghosts.add(b"", b"ab", b"cdef")
    ghosts.add(b"", b"abcdef", b"gh")
    assert ghosts.take(b"salt", b"abcd", 2) == 0
    assert ghosts.take(b"", b"abcdx", 2) == 2
    assert ghosts.take(b"", b"abcdx", 2) == 0
    assert ghosts.take(b"", b"abcdefghi", 4) == 4


def test_ghosts_forget_the_oldest_generation():
    ghosts = RadixGhosts(4 * GENERATIONS, 1)
    assert ghosts.size == 4  # so many pages are one generation
    ghosts.add(b"", b"", b"abc")
    ghosts.forget()
    ghosts.add(b"", b"", b"xy")
    for _ in range(GENERATIONS - 1):
        ghosts.forget()
    assert ghosts.take(b"", b"a", 0) == 1  # the rest keeps its age
    ghosts.forget()
    assert ghosts.take(b"", b"abc", 1) == 0
    assert ghosts.take(b"", b"xy", 0) == 2


# ----- the cache ----------------------------------------------------------------------------------------------------


def manager_of(num_blocks: int = 12, block_size: int = 2, **options) -> KVCacheManager:
    return KVCacheManager(num_blocks, block_size, prefix_cache="radix", pool=CheckedPool(num_blocks), **options)


def test_a_lookup_cuts_nothing_and_a_hit_cuts_where_it_ends():
    manager = manager_of()
    manager.allocate("a", [1, 2, 3, 4, 5, 6])
    assert manager.lookup([1, 2, 3, 4, 9]) == 4
    assert manager.cache.num_nodes == 1
    assert manager.allocate("b", [1, 2, 3, 4, 9]).num_cached_tokens == 4
    assert manager.cache.num_nodes == 2


def test_a_page_that_is_known_keeps_its_block_and_the_other_returns():
    manager = manager_of()
    first = manager.allocate("a", [1, 2, 3, 4]).blocks
    again = manager.allocate("b", [1, 2, 3, 4])
    assert again.num_cached_tokens == 2 and again.blocks[0] == first[0] and again.blocks[1] != first[1]
    manager.free("a")
    # "b" locks the tree's second page and holds its own: cached, held by nobody, and not to be evicted.
    assert (manager.num_cached, manager.cache.num_evictable) == (1, 0)
    manager.free("b")
    assert (manager.num_cached, manager.cache.num_evictable, manager.num_free) == (2, 2, 10)


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
    manager = KVCacheManager(pages + 1, block_size, prefix_cache="radix")
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
    manager = manager_of(6)
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
    cache = RadixPrefixCache(RefCounts(BlockPool(4)), 4)
    for i in range(50):
        blocks = cache.refs.allocate(2)
        chain = cache.chain(bytes([i] * 8))
        cache.register(chain, blocks, 2)
        cache.release(chain, blocks)
        cache.evict(2)
    assert len(cache._nodes) == 1 and cache.num_nodes == 0


def test_the_cache_runs_on_functions_that_are_given_to_it():
    called = []

    def counted(name, function):
        def call(*args):
            called.append(name)
            return function(*args)

        return call

    functions = {f.__name__: counted(f.__name__, f) for f in (match, split, insert, evict_leaf)}
    manager = KVCacheManager(4, 2, prefix_cache=tree_backed(**functions))
    manager.allocate("a", [1, 2, 3, 4, 5])
    manager.free("a")
    manager.allocate("b", [1, 2, 9])
    manager.free("b")
    manager.allocate("c", [7] * 8)
    assert set(called) == {"match", "split", "insert", "evict_leaf"}
