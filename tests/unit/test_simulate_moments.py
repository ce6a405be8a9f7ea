"""The worst refusal of a replay is one that really happened, and the worst."""

from __future__ import annotations

import numpy as np
import pytest

from labkit.cache.contiguous import FirstFit
from labkit.errors import ReservationError
from labkit.simulate.moments import worst_refusal
from labkit.simulate.traces import Trace
from labkit.simulate.workload import draw


def trace_of(*requests: tuple[int, int]) -> Trace:
    tokens = np.array(requests, np.int64)
    return Trace("hand-made", "this test", np.zeros(len(tokens)), tokens[:, 0], tokens[:, 1])


def test_refused_with_most_of_memory_free() -> None:
    # A and C end at once, B stays between them, and D wants more than either leaves behind.
    moment = worst_refusal(trace_of((40, 1), (10, 50), (40, 1), (60, 1)), FirstFit(150))
    assert moment.wanted == 61
    assert moment.longest < moment.wanted <= moment.free
    assert sum(r.length for r in moment.reservations) + moment.free == moment.num_slots == 150


def test_slots_are_accounted_for_on_a_drawn_workload() -> None:
    moment = worst_refusal(draw(120, seed=1).capped(2048), FirstFit(12_000))
    runs = sorted([(r.start, r.length) for r in moment.reservations] + [tuple(h) for h in moment.holes])
    ends = [start + length for start, length in runs]
    assert [start for start, _ in runs] == [0, *ends[:-1]] and ends[-1] == 12_000
    assert moment.longest < moment.wanted


def test_nobody_refused() -> None:
    with pytest.raises(ReservationError, match="Nobody was ever refused"):
        worst_refusal(trace_of((5, 5), (5, 5)), FirstFit(1000))
