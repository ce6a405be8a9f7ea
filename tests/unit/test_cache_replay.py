"""Useful shares of reservations, and replays of a workload through each kind of memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from labkit.cache.block_pool import CheckedPool
from labkit.cache.block_table import BlockTable
from labkit.cache.contiguous import Buddy, FirstFit, ReserveMax
from labkit.errors import ReservationError
from labkit.observe.events import EventLog
from labkit.observe.recorder import record
from labkit.simulate.replay import (
    KINDS,
    ContiguousMemory,
    PagedMemory,
    replay,
    sequence_name,
    useful_share,
    useful_share_over_time,
)
from labkit.simulate.traces import Trace, read_trace
from labkit.simulate.workload import draw

AZURE = Path(__file__).resolve().parents[3] / "shared" / "data" / "azure_llm_2023_conv.csv"
MAX_TOKENS = 2048
SLOTS = 8 * MAX_TOKENS


def made(*requests: tuple[float, int, int]) -> Trace:
    arrival_s, inputs, outputs = (np.array(column) for column in zip(*requests, strict=True))
    return Trace("made", "by hand", arrival_s.astype(float), inputs, outputs)


def memories(slots: int = SLOTS, max_tokens: int = MAX_TOKENS):
    return {
        "max": ContiguousMemory(ReserveMax(slots, max_tokens)),
        "buddy": ContiguousMemory(Buddy(slots)),
        "first fit": ContiguousMemory(FirstFit(slots)),
        "paged": PagedMemory(slots, 16),
    }


def test_useful_share_by_hand():
    trace = made((0, 4, 4), (0, 6, 10), (0, 1, 1))
    assert useful_share(trace, 16) == pytest.approx((8 + 16 + 2) / 3 / 16)
    assert useful_share(trace, [8, 16]) == pytest.approx([(8 + 8 + 2) / 3 / 8, (8 + 16 + 2) / 3 / 16])
    # Over time: 2 tokens, then 3 and 4 in a reservation of 8.
    assert useful_share_over_time(made((0, 2, 2)), 8) == pytest.approx((2 + 3 + 4) / 3 / 8)
    assert useful_share_over_time(trace, 16) <= useful_share(trace, 16)


def test_useful_share_on_the_real_trace():
    if not AZURE.exists():
        pytest.skip(f"{AZURE.name} is not in {AZURE.parent}")
    assert useful_share(read_trace(AZURE), [2048, 4096, 8192]) == pytest.approx([0.56, 0.33, 0.17], abs=0.005)


def test_the_drawn_workload_has_the_useful_share_of_the_real_one():
    for seed in range(3):
        assert useful_share(draw(20_000, seed), [2048, 4096, 8192]) == pytest.approx([0.56, 0.33, 0.17], abs=0.01)


def test_a_replay_by_hand():
    # One request: 2 tokens at step 0, 3 at step 1, 4 at step 2 and then it ends; 8 slots, reserved to the maximum of 6.
    result = replay(made((0, 2, 2)), ContiguousMemory(ReserveMax(8, 6)), step_s=1, sample_every=1)
    assert result.slots.tolist() == [[2, 2, 2, 0, 2], [3, 1, 2, 0, 2], [4, 0, 2, 0, 2]]
    assert (result.finished, result.steps, result.running.tolist(), result.waiting.tolist()) == (1, 3, [1] * 3, [0] * 3)
    assert result.shares() == pytest.approx(dict(zip(KINDS, (9 / 24, 3 / 24, 6 / 24, 0, 6 / 24), strict=True)))


def test_the_first_in_the_queue_waits_and_the_rest_behind_it():
    trace = made((0, 4, 2), (0, 4, 2), (0, 1, 1))
    result = replay(trace, ContiguousMemory(FirstFit(8)), step_s=1, sample_every=1)
    assert result.running[0] == 1  # the third would fit, but it is not its turn
    assert result.slots[0].tolist() == [4, 2, 0, 2, 0]
    assert result.wait_s.tolist() == [0, 3, 3]


def test_a_paged_replay_by_hand():
    # Blocks of 4. At the start the prompt of 3 has one block: 3 used, 1 to come. Two steps on, 5 tokens in 2 blocks.
    result = replay(made((0, 3, 2)), PagedMemory(16, 4), step_s=1, sample_every=1)
    assert result.slots.tolist() == [[3, 1, 0, 0, 12], [4, 0, 0, 0, 12], [5, 0, 3, 0, 8]]


def test_where_growth_finds_no_room_the_last_admitted_starts_again():
    trace = made((0, 4, 8), (0, 4, 8))
    result = replay(trace, PagedMemory(16, 4), step_s=1, sample_every=1)
    assert (result.finished, result.preemptions) == (2, 1)
    assert result.running.max() == 2


@pytest.mark.parametrize("name", ["max", "buddy", "first fit", "paged"])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_request_is_served_and_every_slot_counted(name, seed):
    memory = memories()[name]
    trace = draw(200, seed).capped(MAX_TOKENS)
    result = replay(trace, memory, name=name)
    assert (result.finished, result.turned_away, len(result.wait_s)) == (200, 0, 200)
    assert np.all(result.slots.sum(axis=1) == SLOTS)
    assert result.slots.min() >= 0
    assert sum(result.shares().values()) == pytest.approx(1)
    assert memory.waste(0).free == SLOTS


def test_paging_wastes_least_and_runs_most():
    trace = draw(300, 1).capped(MAX_TOKENS)
    results = {name: replay(trace, memory) for name, memory in memories().items()}
    used = [results[name].shares()["used"] for name in ("max", "buddy", "first fit", "paged")]
    assert used == sorted(used)
    assert used[-1] > 0.9
    shares = results["paged"].shares()
    assert shares["reservation"] + shares["internal"] + shares["external"] < 0.04  # the paper's "under 4%"
    assert results["max"].shares()["internal"] > results["buddy"].shares()["internal"] > 0
    assert results["first fit"].shares()["external"] > 0
    assert results["paged"].mean_running() > 1.5 * results["max"].mean_running()


def test_a_request_larger_than_memory_is_turned_away():
    result = replay(made((0, 50, 50), (0, 2, 2)), PagedMemory(32, 4))
    assert (result.turned_away, result.finished) == (1, 1)


def test_a_replay_that_does_not_end_is_an_error():
    with pytest.raises(ReservationError, match="Not done after 5 steps"):
        replay(made((0, 2, 20)), PagedMemory(32, 4), max_steps=5)


def test_a_replay_can_be_recorded():
    log = EventLog(num_blocks=8, block_size=4)
    memory = PagedMemory(
        32,
        4,
        pool=record(CheckedPool(8), log),
        table=lambda pool, block_size, seq: record(BlockTable(pool, block_size), log, seq),
    )
    replay(made((0, 3, 2), (0, 5, 1)), memory)
    assert log.names[1:] == ["A", "B"]
    assert "release(B) -> blocks 2, 1 back in the pool" in log.labels
    log = EventLog(num_slots=32)
    replay(made((0, 3, 2), (0, 5, 1)), ContiguousMemory(record(Buddy(32), log)))
    assert "reserve(A, 5) -> slots 0 to 7" in log.labels


def test_sequence_names():
    names = [sequence_name(i) for i in (0, 1, 25, 26, 51, 52, 701, 702)]
    assert names == ["A", "B", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]
