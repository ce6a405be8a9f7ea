"""Four memories on one clock: their logs have the steps of the same moments and tell what happened."""

from __future__ import annotations

import numpy as np
import pytest

from labkit.observe.events import Kind
from labkit.specs.contiguous_world.side_by_side import side_by_side, small_trace

REQUESTS = [(0, 6, 3), (0, 3, 5), (0, 8, 4), (0, 4, 6), (1, 2, 4), (2, 8, 5), (3, 3, 8), (4, 9, 5)]


@pytest.fixture
def logs() -> dict:
    return dict(side_by_side(small_trace(REQUESTS), num_slots=64, max_tokens=16, block_size=4))


def test_four_memories_on_one_clock(logs: dict) -> None:
    assert list(logs) == ["Reserve 16", "Buddy", "First fit", "Paged, 4 per block"]
    for log in logs.values():
        assert all(log.labels)
        assert "A comes in with 6 tokens" in log.labels[0]
        assert log.num_steps == int(log.records["step"][-1]) + 1


def test_everything_taken_comes_back(logs: dict) -> None:
    for log in logs.values():
        taken = {Kind.RESERVE: Kind.RELEASE, Kind.ALLOCATE: Kind.FREE}
        kinds = log.records["kind"]
        for come, go in taken.items():
            assert np.sum(kinds == come) == np.sum(kinds == go)
    reserved = logs["Reserve 16"].records
    assert set(reserved["arg"][reserved["kind"] == Kind.RESERVE]) == {16}
    exact = logs["First fit"].records
    assert sorted(exact["arg"][exact["kind"] == Kind.RESERVE]) == sorted(p + a for _, p, a in REQUESTS)


def test_the_last_token_of_everybody_is_seen(logs: dict) -> None:
    for name, log in logs.items():
        if name.startswith("Paged"):
            continue
        records = log.records
        most = dict.fromkeys(range(1, len(REQUESTS) + 1), 0)
        for record in records[records["kind"] == Kind.USE]:
            most[int(record["seq"])] = max(most[int(record["seq"])], int(record["arg"]))
        assert sorted(most.values()) == sorted(p + a for _, p, a in REQUESTS)


def test_a_full_pool_sends_somebody_back() -> None:
    log = side_by_side(small_trace([(0, 4, 8), (0, 4, 8), (0, 4, 8)]), 24, 12, 4)["Paged, 4 per block"]
    assert any("goes back to the queue" in label for label in log.labels)
    assert log.labels[-1].endswith("ends")


def test_arrivals_may_be_counted_as_pictures_count_steps() -> None:
    requests = [(arrival + 1, prompt, answer) for arrival, prompt, answer in REQUESTS]
    trace = small_trace(requests, first_step=1)
    assert trace.arrival_s.tolist() == small_trace(REQUESTS).arrival_s.tolist()
    log = side_by_side(trace, num_slots=64, max_tokens=16, block_size=4)["First fit"]
    for name, (step, _, _) in zip("ABCDEFGH", requests, strict=True):
        heard = next(
            n for n, label in enumerate(log.labels, start=1) if f"{name} comes in" in label or f"{name} waits" in label
        )
        assert heard >= step and (heard == step or name not in "ABCDE")


def test_arrivals_keep_their_fractions() -> None:
    assert small_trace([(0.05, 1, 1), (0.1, 1, 1)]).arrival_s.tolist() == [0.05, 0.1]
