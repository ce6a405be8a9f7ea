"""The queue prefix cache: its queue, its laws over random runs, and the manager on top of it."""

from __future__ import annotations

import random

import pytest

from labkit.bench.audit import audit
from labkit.bench.shadow import Shadow, random_operations
from labkit.cache.block_hashes import sha256_block, weak_block
from labkit.cache.block_pool import BlockPool
from labkit.cache.eviction_policies import POLICIES
from labkit.cache.free_queue import FreeQueue
from labkit.cache.hash_prefix_cache import chain_hashes
from labkit.cache.queue_prefix_cache import QueuePrefixCache, allocate_prompt
from labkit.cache.ref_counts import RefCounts
from labkit.cache.tokens import token_bytes
from labkit.engine import kv_cache_manager
from labkit.errors import CacheError


def prefixes(prompt: str) -> list[str]:
    """One letter is a full block; what stands before a block is its hash, so nothing collides and all can be read."""
    return [prompt[: i + 1] for i in range(len(prompt))]


def test_the_queue_gives_back_in_order_and_lets_go_of_its_middle():
    queue = FreeQueue()
    for block in (4, 1, 7, 2):
        queue.append(block)
    queue.remove(7)
    assert list(queue) == [4, 1, 2] and 7 not in queue and queue.popleft() == 4 and len(queue) == 2
    with pytest.raises(CacheError, match="already"):
        queue.append(1)
    with pytest.raises(CacheError, match="not in the queue"):
        queue.remove(7)
    queue.popleft(), queue.popleft()
    with pytest.raises(CacheError, match="empty"):
        queue.popleft()


def test_hashes_chain_and_cover_the_parent():
    pages = token_bytes(range(12))
    for hash_block in (sha256_block, weak_block):
        hashes, cut = chain_hashes(pages, 16, b"", hash_block)
        assert len(set(hashes)) == 3 and hashes[1] != chain_hashes(pages[16:], 16, b"", hash_block)[0][0]
        assert hash_block((hashes[0], cut[1])) == hashes[1]
    assert max(chain_hashes(pages, 16, b"", weak_block)[0]) < 2**16


def test_never_cached_blocks_go_first_and_then_the_front_of_the_queue():
    cache = QueuePrefixCache(RefCounts(BlockPool(5)))
    a = cache.allocate(3)
    cache.register(prefixes("ab"), a)
    cache.release(a)  # two findable, the third back in the pool
    assert list(cache.queue) == [a[1], a[0]] and cache.num_available == 5
    assert cache.allocate(3) is not None and len(cache.queue) == 2
    assert cache.allocate(1) == [a[1]] and cache.lookup(prefixes("ab"), 2) == [a[0]] and cache.evictions == 1
    assert cache.allocate(2) is None and len(cache.queue) == 1
    with pytest.raises(CacheError, match="cannot be evicted"):
        cache.evict(2)


def test_evicting_one_of_two_twins_leaves_the_other():
    cache = QueuePrefixCache(RefCounts(BlockPool(2)))
    first, second = cache.allocate(1), cache.allocate(1)
    cache.register(["a"], first)
    cache.register(["a"], second)
    cache.release(first)
    assert cache.allocate(1) == first and cache.lookup(["a"], 1) == second


def test_a_full_hit_still_leaves_a_token_and_hits_are_no_free_room():
    cache = QueuePrefixCache(RefCounts(BlockPool(3)))
    a, cached = allocate_prompt(cache, prefixes("abc"), 12, 4)
    assert cached == 0
    cache.release(a)
    # Two hits stand in the queue, and the third block of the queue is all that is left: exactly enough.
    again, cached = allocate_prompt(cache, prefixes("abc"), 12, 4)
    assert cached == 8 and again[:2] == a[:2]
    cache.release(again)
    assert allocate_prompt(cache, prefixes("abcd"), 16, 4) is None and cache.num_available == 3


@pytest.mark.parametrize("seed", range(8))
def test_no_block_is_lost_and_no_child_outlives_its_parent(seed: int):
    rng = random.Random(seed)
    refs = RefCounts(BlockPool(9))
    cache = QueuePrefixCache(refs)
    running: list[list[int]] = []
    for _ in range(400):
        prompt = "".join(rng.choice("ab") for _ in range(rng.randint(0, 4)))
        if rng.random() < 0.55:
            before = (refs.num_free, list(cache.queue), dict(cache.hash_of))
            got = allocate_prompt(cache, prefixes(prompt), 2 * len(prompt) + rng.randint(0 if prompt else 1, 1), 2)
            if got is None:
                assert before == (refs.num_free, list(cache.queue), dict(cache.hash_of))
            else:
                running.append(got[0])
        elif running:
            cache.release(running.pop(rng.randrange(len(running))))
        held = {block for blocks in running for block in blocks}
        assert refs.num_free + len(cache.queue) + len(held) == 9 and not held & set(cache.queue)
        assert all(refs.count(b) == sum(b in blocks for blocks in running) for b in range(9))
        assert all(key in cache.by_hash for block, key in cache.hash_of.items())
        assert all(len(key) == 1 or key[:-1] in cache.by_hash for key in cache.hash_of.values())


@pytest.mark.parametrize("name", [None, *POLICIES])
def test_any_policy_stands_in_the_queues_place_and_without_pressure_all_find_the_same(name):
    rng = random.Random(3)
    managers = [kv_cache_manager(4000, 2), kv_cache_manager(4000, 2, policy=POLICIES[name](4000) if name else None)]
    for i in range(300):
        prompt = [rng.randint(0, 1) for _ in range(rng.randint(1, 9))]
        hits = [m.allocate(i, prompt).num_cached_tokens for m in managers]
        assert hits[0] == hits[1]
        name, grows = rng.choice(managers[0].sequences()), rng.random() < 0.6
        for manager in managers:
            manager.append(name, 1) if grows else manager.free(name)
    for manager in managers:
        audit(manager.cache)


def test_a_weak_hash_hands_out_anothers_block_and_sha_256_does_not():
    def last_token(pair):  # a hash that sees the last token alone
        return pair[1][-4:]

    for manager, cached in ((kv_cache_manager(8, 2, hash_block=last_token), 2), (kv_cache_manager(8, 2), 0)):
        manager.allocate("A", [1, 7, 0])
        assert manager.lookup([2, 7, 0]) == cached


@pytest.mark.parametrize("name", ["LRU", "FIFO", "Random"])
def test_a_policy_is_offered_no_parent_before_its_child(name):
    """The rule that the queue does without: whatever the policy ranks by, no content outlives its beginning."""
    rng = random.Random(5)
    shadow = Shadow(kv_cache_manager(12, 2, policy=POLICIES[name](12), yours=False))
    assert random_operations(shadow, rng, 400) > 100
    shadow.finish()
