"""Replicas behind a router: nobody is lost, each cache sees its own, and three routers differ as they should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import SimulationError
from labkit.simulate.capacity import serve
from labkit.simulate.generators import workload
from labkit.simulate.replicas import ROUTES, routed
from labkit.specs.capacity_and_slos.scenes import chats, server


@given(st.integers(1, 40), st.integers(1, 9), st.sampled_from(ROUTES), st.booleans(), st.integers(0, 9))
def test_each_request_goes_to_one_of_them(n: int, replicas: int, route: str, ids: bool, seed: int):
    trace = chats(6, seed, n) if ids else workload("poisson", n, seed)
    parts = routed(trace, replicas, route)
    assert len(parts) == replicas and sum(map(len, parts)) == n
    rows = sorted(
        (t, i, o) for p in parts for t, i, o in zip(p.arrival_s, p.input_tokens, p.output_tokens, strict=True)
    )
    assert rows == sorted(zip(trace.arrival_s, trace.input_tokens, trace.output_tokens, strict=True))
    assert all((np.diff(part.arrival_s) >= 0).all() for part in parts)
    if ids:
        assert sum(len(ids) for part in parts for ids in part.hash_ids) == sum(map(len, trace.hash_ids))


def test_a_cache_sees_a_part_of_the_repeats_and_affinity_alone_leaves_the_others_idle():
    trace = chats(6, n=120)
    one, dealt, greedy, balanced = (
        serve(server(), trace, replicas, route)
        for replicas, route in ((1, ROUTES[0]), (4, ROUTES[0]), (4, ROUTES[1]), (4, ROUTES[2]))
    )
    assert dealt.hit_rate < 0.8 * one.hit_rate and greedy.hit_rate == one.hit_rate
    assert greedy.requests == (120, 0, 0, 0) and min(balanced.requests) > 0
    assert balanced.hit_rate > dealt.hit_rate
    assert balanced.ttft.percentile(99) < dealt.ttft.percentile(99) < greedy.ttft.percentile(99)


def test_without_ids_nothing_is_found_and_the_load_is_spread():
    parts = routed(workload("poisson", 100, 1, per_s=50), 4, "done first")
    tokens = [int(part.input_tokens.sum()) for part in parts]
    assert max(tokens) < 2 * min(tokens)


@pytest.mark.parametrize(("replicas", "route"), [(0, "round robin"), (2.5, "round robin"), (2, "random")])
def test_what_cannot_be_is_refused(replicas: int, route: str):
    with pytest.raises(SimulationError):
        routed(chats(6, n=3), replicas, route)
