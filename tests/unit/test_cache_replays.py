"""Traces through the real caches: the published figures of the Mooncake trace, and what the replays refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from labkit.cache.belady import Belady
from labkit.cache.eviction_policies import GDSF, LFU, POLICIES, SLRU, Random, recompute_cost
from labkit.errors import LabkitError, PolicyError
from labkit.simulate.block_ids import BlockIds
from labkit.simulate.cache_replay import cache_replay, demand_replay, manager_replay
from labkit.simulate.hit_ratio import demand_replay as plain_demand_replay
from labkit.simulate.hit_ratio import replay as plain_replay
from labkit.simulate.hit_ratio import requests_of
from labkit.simulate.traces import Trace, read_trace

MOONCAKE = Path(__file__).resolve().parents[3] / "shared" / "data" / "mooncake_conversation.jsonl"
PUBLISHED = {
    False: {1000: 0.045, 10_000: 0.212, 30_000: 0.326, 200_000: 0.366},
    True: {1000: 0.047, 10_000: 0.224, 30_000: 0.345, 200_000: 0.382},
}


@pytest.fixture(scope="module")
def mooncake():
    if not MOONCAKE.exists():
        pytest.skip(f"{MOONCAKE.name} is not in {MOONCAKE.parent}")
    return read_trace(MOONCAKE)


@pytest.mark.parametrize("full_blocks_only", [False, True])
def test_the_real_cache_gives_the_published_ratios(mooncake, full_blocks_only):
    requests = requests_of(mooncake, full_blocks_only)
    for blocks, published in PUBLISHED[full_blocks_only].items():
        outcome = cache_replay(requests, blocks, POLICIES["LRU"])
        assert outcome.hit_ratio == pytest.approx(published, abs=0.0006)
        plain = plain_replay(requests, blocks)
        assert (outcome.hits, outcome.evictions, outcome.regret) == (plain.hits, plain.evicted, plain.regret)


def test_the_manager_gives_the_published_ratios(mooncake):
    for blocks, published in PUBLISHED[True].items():
        outcome = manager_replay(mooncake, blocks, POLICIES["LRU"])
        assert outcome.hit_ratio == pytest.approx(published, abs=0.001)
        assert not outcome.refused


def test_random_beats_lru_on_mooncake(mooncake):
    requests = requests_of(mooncake)
    for blocks in (1000, 3000):
        lru, chance = (cache_replay(requests, blocks, POLICIES[name]) for name in ("LRU", "Random"))
        assert chance.hits > lru.hits
        assert demand_replay(requests, blocks, POLICIES["LRU"]).hits == plain_demand_replay(requests, blocks).hits


def trace(*requests: list[int], block_tokens: int | None = 4) -> Trace:
    n = len(requests)
    tokens = np.array([4 * len(ids) for ids in requests], np.int64)
    return Trace(
        "made",
        "by hand",
        np.arange(n, dtype=float),
        tokens,
        np.ones(n, np.int64),
        hash_ids=BlockIds.of(requests),
        block_tokens=block_tokens,
    )


def test_counts_by_hand():
    # Two blocks; [1, 2] is stored, [3] evicts 2 (the tail), [1, 2] finds 1 and regrets 2, for which 3 must go.
    outcome = cache_replay([[1, 2], [3], [1, 2]], 2, POLICIES["LRU"])
    assert (outcome.looked_up, outcome.hits, outcome.evictions, outcome.regret) == (5, 1, 2, 1)
    assert outcome.hit_ratio == 0.2 and outcome.regret_ratio == 0.2
    assert cache_replay([], 2, POLICIES["LRU"]).hit_ratio == 0


def test_belady_knows_better_by_hand():
    """A B C A B with two blocks: Belady lets go of B for C and keeps A; LRU throws out A."""
    requests = [[key] for key in [1, 2, 3, 1, 2]]
    assert demand_replay(requests, 2).hits == 1
    assert demand_replay(requests, 2, POLICIES["LRU"]).hits == 0
    assert demand_replay(requests, 2).behind(demand_replay(requests, 2)) == 0


def test_an_engine_computes_the_last_token_and_refuses_what_does_not_fit():
    prompts = trace([1, 2], [1, 2], [1, 2, 3, 4])
    outcome = manager_replay(prompts, 3, POLICIES["LRU"])
    assert (outcome.looked_up, outcome.hits, outcome.refused) == (8, 1, 1)
    assert manager_replay(prompts, 3).hits == 1


def test_each_request_is_told():
    told: list[tuple] = []
    cache_replay([[1, 2], [3], [1]], 2, POLICIES["LRU"], on_request=lambda *args: told.append(args))
    assert told == [(0, [1, 2], 0, []), (1, [3], 0, [2]), (2, [1], 1, [])]


def test_what_is_refused():
    with pytest.raises(LabkitError, match="num_blocks is 0"):
        cache_replay([[1]], 0, POLICIES["LRU"])
    with pytest.raises(LabkitError, match=r"num_blocks is 2\.0"):
        demand_replay([[1]], 2.0, POLICIES["LRU"])
    with pytest.raises(LabkitError, match="no block ids of a known size"):
        manager_replay(trace([1], block_tokens=None), 2)
    with pytest.raises(PolicyError, match="protected share is 2"):
        SLRU(4, 2)
    with pytest.raises(PolicyError, match="seed is"):
        Random("five")
    belady = Belady([[1]])
    belady.begin()
    with pytest.raises(PolicyError, match="the future has 1"):
        belady.begin()


@pytest.mark.parametrize("victim", [7, -1, None, "1"])
def test_a_victim_that_was_not_offered(victim):
    class Liar(LFU):
        def evict(self):
            return victim

    for replay in (cache_replay, demand_replay):
        with pytest.raises(PolicyError, match="named"):
            replay([[1], [2], [3]], 2, lambda blocks: Liar())


def test_recompute_cost_grows_with_depth():
    costs = [recompute_cost(depth) for depth in (0, 10, 48)]
    assert costs == sorted(costs) and costs[0] == 1
    assert recompute_cost(6, block_tokens=4096) == 2  # position 6 h: scores cost as much as the matrices


def test_gdsf_keeps_what_is_dear():
    """Two blocks used alike: the deeper one costs more to compute again and stays longer."""
    policy = GDSF(cost=lambda depth: 1 + depth)
    policy.stored([0, 1], 0)
    policy.released([1, 0])
    policy.add(1)
    policy.add(0)
    assert [policy.evict(), policy.evict()] == [0, 1]


@pytest.mark.parametrize("name", POLICIES)
def test_memory_is_bounded_by_the_cache(name):
    """Ten thousand contents pass through eight blocks; nothing of them stays in the policy."""
    kept: list = []

    def make(blocks):
        kept.append(POLICIES[name](blocks))
        return kept[-1]

    cache_replay([[10 * i + j for j in range(5)] for i in range(2000)], 8, make)
    sizes = [len(value) for value in vars(kept[0]).values() if hasattr(value, "__len__")]
    assert max(sizes) <= 2 * 8 + 64
