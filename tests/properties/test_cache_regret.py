"""Regret is counted exactly as long as the cache remembers what it evicted, whatever cache, policy and pool."""

from __future__ import annotations

import random

import pytest

from labkit.cache.eviction_policies import POLICIES
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.cache.queue_backed_cache import queue_backed
from labkit.cache.swap import SwapPool
from labkit.simulate.shadow import Shadow, random_operations

EVER = 10**9


def shadow(num_blocks, block_size, kind, policy=None, host=None):
    cache = queue_backed() if kind == "queue" else kind
    manager = KVCacheManager(
        num_blocks, block_size, prefix_cache=cache, policy=policy, swap_pool=None if host is None else SwapPool(host)
    )
    manager.cache._ghosts.size = EVER  # it never forgets, so the model, which does not forget either, must agree
    return Shadow(manager, remembered=EVER)


@pytest.mark.parametrize("kind, name", [("queue", None), *((k, n) for k in ("hash", "radix") for n in POLICIES)])
def test_regret_is_what_was_evicted_and_came_back(kind, name):
    regretted = 0
    for seed in range(12):
        rng = random.Random(seed)
        num_blocks = rng.choice([1, 2, 3, 4, 6, 9, 16])
        policy = POLICIES[name](num_blocks) if name else None
        side = shadow(num_blocks, rng.choice([1, 1, 2, 3]), kind, policy, host=rng.randint(0, 12))
        random_operations(side, rng, 250, tokens=rng.choice([1, 2, 2, 3]), longest=rng.choice([3, 8, 24]))
        side.finish()
        regretted += side.regretted
    assert regretted > 100  # else the workload shows nothing


def test_a_victim_whose_edge_is_cut_by_another_prompt_is_remembered_under_its_own_prefix():
    side = shadow(3, 1, "radix")
    side.allocate("a", [1, 0, 0])
    side.free("a")
    side.allocate("b", [1])  # one page of the edge is evicted, and the rest is cut behind its first page
    side.append("b", 1)  # [1, 1] was never there; what was evicted is [1, 0, 0], and now [1, 0]
    assert side.manager.counters.regretted_evictions == 0


def test_two_evicted_runs_that_begin_alike_are_both_remembered():
    side = shadow(3, 1, "radix")
    for name, tokens in enumerate([[0, 0, 0], [1, 1, 1], [0, 1, 1], [1, 1, 1], [0, 0]]):
        side.allocate(name, tokens)
        side.free(name)
    # [1, 1, 1] comes back whole: 3. Of [0, 1, 1] and [0, 0] only what was there before: 1, and 2.
    assert side.manager.counters.regretted_evictions == 6
