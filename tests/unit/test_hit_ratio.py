"""The replays against published figures, against exhaustive search, and on what they refuse."""

from __future__ import annotations

from functools import cache as remember
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import LabkitError
from labkit.simulate.hit_ratio import HitCount, demand_replay, replay, requests_of
from labkit.simulate.traces import Trace, read_trace
from labkit.simulate.workload import draw

MOONCAKE = Path(__file__).resolve().parents[3] / "shared" / "data" / "mooncake_conversation.jsonl"
REPLAYS = [replay, demand_replay]
POLICIES = ["lru", "random", "belady"]


@pytest.fixture(scope="module")
def mooncake():
    if not MOONCAKE.exists():
        pytest.skip(f"{MOONCAKE.name} is not in {MOONCAKE.parent}")
    trace = read_trace(MOONCAKE)
    return {full: requests_of(trace, full_blocks_only=full) for full in (False, True)}


@pytest.mark.parametrize(
    ("full_blocks_only", "capacity", "ratio"),
    [
        (False, 1000, 0.045),
        (False, 3000, 0.065),
        (False, 10_000, 0.212),
        (False, 30_000, 0.326),
        (False, None, 0.366),
        (True, 1000, 0.047),
        (True, 10_000, 0.224),
        (True, 30_000, 0.345),
        (True, None, 0.382),
    ],
)
def test_mooncake_under_lru(mooncake, full_blocks_only, capacity, ratio):
    count = replay(mooncake[full_blocks_only], capacity)
    assert count.looked_up == (276_491 if full_blocks_only else 288_500)
    assert count.ratio == pytest.approx(ratio, abs=0.0006)


@pytest.mark.parametrize(("capacity", "ratio"), [(1000, 0.046), (3000, 0.078)])
def test_random_beats_lru_on_mooncake(mooncake, capacity, ratio):
    requests = mooncake[False]
    on_demand, at_once = (play(requests, capacity).hits for play in (demand_replay, replay))
    for seed in range(2):
        chance = demand_replay(requests, capacity, "random", seed)
        assert chance.ratio == pytest.approx(ratio, abs=0.001)
        assert chance.hits > on_demand
        assert replay(requests, capacity, "random", seed).hits > at_once


def test_belady_on_mooncake(mooncake):
    ratios = [replay(mooncake[False], capacity, "belady").ratio for capacity in (1000, 3000, 10_000)]
    assert ratios == pytest.approx([0.191, 0.294, 0.366], abs=0.0006)
    # With the future known, 10,000 blocks find all that can be found: nothing thrown out is wanted again.
    assert replay(mooncake[False], 10_000, "belady").regret == 0


@pytest.mark.parametrize("play", REPLAYS)
def test_a_cyclic_scan(play):
    scan = [[turn % 1100] for turn in range(1100 * 50)]
    assert play(scan, 1000).hits == 0
    assert play(scan, 1000, "random").ratio == pytest.approx(0.81, abs=0.01)
    assert play(scan, 1100).hits == 49 * 1100


def test_by_hand():
    requests = [[1, 2, 3], [4, 5], [1, 2, 6], [1, 2, 3]]
    # Of 1 2 3 at first, 4 5 throws out the tail, 3; then 1 2 hit, and 6 throws out 5.
    assert replay(requests, 4) == HitCount(looked_up=11, hits=4, evicted=3, regret=1)
    assert replay(requests, None) == HitCount(11, 5, 0, 0)
    assert replay(requests, None).ratio == 5 / 11
    assert replay([], 5).ratio == 0


@pytest.mark.parametrize("policy", POLICIES)
def test_of_a_request_longer_than_the_cache_the_front_stays(policy):
    assert replay([[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]], 3, policy).hits == 3


@st.composite
def prompts(draw_from):
    """Prompts over two tokens, one token per block, as lists of ids that are equal where prefixes are."""
    ids: dict[tuple, int] = {}
    texts = draw_from(st.lists(st.lists(st.booleans(), max_size=3), max_size=9))
    return [[ids.setdefault(tuple(text[: n + 1]), len(ids)) for n in range(len(text))] for text in texts]


def most_hits(requests, capacity):
    """The most hits of any choice of what to keep after each request, by trying all."""

    @remember
    def best(now: int, cached: frozenset) -> int:
        if now == len(requests):
            return 0
        blocks = requests[now]
        matched = next((n for n, block in enumerate(blocks) if block not in cached), len(blocks))
        kept = sorted(cached.union(blocks))
        choices = combinations(kept, min(capacity, len(kept)))
        return matched + max(best(now + 1, frozenset(choice)) for choice in choices)

    return best(0, frozenset())


def most_demand_hits(references, capacity):
    @remember
    def best(now: int, cached: frozenset) -> int:
        if now == len(references):
            return 0
        block = references[now]
        if block in cached:
            return 1 + best(now + 1, cached)
        if len(cached) < capacity:
            return best(now + 1, cached | {block})
        return max(best(now + 1, cached - {victim} | {block}) for victim in cached)

    return best(0, frozenset())


@given(prompts(), st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_belady_is_the_optimum(requests, capacity):
    assert replay(requests, capacity, "belady").hits == most_hits(requests, capacity)
    references = [block for blocks in requests for block in blocks]
    assert demand_replay(requests, capacity, "belady").hits == most_demand_hits(references, capacity)


@given(prompts(), st.integers(1, 6), st.sampled_from(POLICIES), st.sampled_from(REPLAYS), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_laws(requests, capacity, policy, play, seed):
    count = play(requests, capacity, policy, seed)
    unbounded = play(requests, None, policy, seed)
    asked = [block for blocks in requests for block in blocks]
    assert count == play(requests, capacity, policy, seed)
    assert count.looked_up == len(asked)
    assert count.hits <= play(requests, capacity, "belady").hits <= unbounded.hits == len(asked) - len(set(asked))
    assert count.regret <= count.evicted
    # A miss is of a block never seen, or of one thrown out; what came in and did not leave is in there still.
    assert count.looked_up - count.hits == len(set(asked)) + count.regret
    assert count.looked_up - count.hits - count.evicted == min(len(set(asked)), capacity)


def test_requests_of():
    ids = tuple(np.array(row) for row in ([7, 8], [7], [9]))
    trace = Trace("t", "t", np.zeros(3), np.array([600, 512, 5]), np.ones(3, np.int64), ids)
    assert requests_of(trace) == [[7, 8], [7], [9]]
    assert requests_of(trace, full_blocks_only=True) == [[7], [7], []]
    with pytest.raises(LabkitError, match=r"does not say which prompts begin alike.*hash_ids"):
        requests_of(draw(3))


@pytest.mark.parametrize("play", REPLAYS)
def test_refusals(play):
    for capacity in (0, -1, 2.5):
        with pytest.raises(LabkitError, match="capacity is"):
            play([[1]], capacity)
    with pytest.raises(LabkitError, match="policy is 'mru'"):
        play([[1]], 1, "mru")
    with pytest.raises(LabkitError, match="seed is -1"):
        play([[1]], 1, "random", -1)
