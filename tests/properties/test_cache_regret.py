"""Regret is counted exactly, whatever cache, policy and pool; by one meter, which replays use as well."""

from __future__ import annotations

import random

import pytest

from labkit.bench.shadow import Shadow, random_operations
from labkit.cache.eviction_policies import POLICIES
from labkit.engine import kv_cache_manager
from labkit.observe.regret import Regret


def shadow(num_blocks, block_size, kind, policy=None):
    return Shadow(kv_cache_manager(num_blocks, block_size, prefix_cache=kind, policy=policy, regret=True, yours=False))


@pytest.mark.parametrize("kind", ["hash", "radix"])
@pytest.mark.parametrize("name", [None, *POLICIES])
def test_regret_is_what_was_evicted_and_came_back(kind, name):
    regretted = 0
    for seed in range(12):
        rng = random.Random(seed)
        num_blocks = rng.choice([1, 2, 3, 4, 6, 9, 16])
        side = shadow(num_blocks, rng.choice([1, 1, 2, 3]), kind, POLICIES[name](num_blocks) if name else None)
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


def test_of_two_copies_the_last_one_counts():
    regret = Regret()
    regret.stored("aab"), regret.removed("a"), regret.stored("a")
    assert regret.count == 0
    regret.removed("aab"), regret.stored("ba")
    assert regret.count == 2
    regret.removed("a"), regret.cleared(), regret.stored("a")
    assert regret.count == 2  # all is forgotten: what comes back is something else


def test_without_a_meter_the_counter_says_that_nobody_counts():
    assert kv_cache_manager(4, 4).counters.regretted_evictions is None
