"""What a timeline keeps of a run, and what its widget says in one line."""

from __future__ import annotations

import pytest

from labkit.engine import kv_cache_manager
from labkit.errors import BoardError
from labkit.observe.timeline import AGAIN, BEGINS, Timeline
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request
from labkit.scheduling.scheduler import Scheduler
from labkit.specs.continuous_batching.scenes import watched
from labkit.widgets import RequestTimeline


def test_a_timeline_adds_up_to_what_the_scheduler_counted():
    manager = kv_cache_manager(6, 4, yours=False, prefix_cache=None)
    scheduler = Scheduler(manager, SchedulerConfig(token_budget=8, full_sequence=False))
    sizes = [("A", 6, 8), ("B", 9, 8), ("C", 12, 2)]
    seen = watched(scheduler, [Request(name, range(prompt), most) for name, prompt, most in sizes])
    cells = seen.cells()
    assert seen.names == ["A", "B", "C"] and int(cells["tokens"].sum()) == scheduler.totals.computed
    assert int((cells["flags"] & BEGINS > 0).sum()) == 3 + manager.counters.preemptions
    assert int((cells["flags"] & AGAIN > 0).sum()) > 0
    assert int(cells["again"].sum()) == scheduler.totals.recomputed > 0
    assert [row["steps"][0] for row in seen.rows()] == ["[6]", "[2]", "."]
    told = repr(RequestTimeline(seen))
    assert told.startswith("RequestTimeline(3 requests in 16 steps") and "4 preemptions" in told


def test_what_is_no_timeline_is_refused():
    with pytest.raises(BoardError, match="no Timeline"):
        RequestTimeline([1, 2])
    with pytest.raises(BoardError, match="no Timeline to show"):
        RequestTimeline({})
    assert repr(RequestTimeline(Timeline())) == "RequestTimeline(Nothing has run yet)"
