"""What a simulation tells of itself, and the ways in which it can end."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from labkit.engine import kv_cache_manager
from labkit.errors import SimulationError
from labkit.observe.regret import Regret
from labkit.observe.series import FIGURES, Worth
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request
from labkit.scheduling.scheduler import Scheduler
from labkit.simulate.clock import Simulation, simulate
from labkit.simulate.cost_model import CostModel
from labkit.simulate.metrics import Metrics, Target
from labkit.simulate.workload import draw

SECOND = CostModel(fixed_s=1.0, weights_s=0, context_s=0, token_s=0, pair_s=0)
TARGET = Target(ttft_s=2.0, tpot_s=1.0)


def run(requests: Any, num_blocks: int, *, window: float = 5.0, most: float = 1e9, **knobs: Any) -> Simulation:
    scheduler = Scheduler(kv_cache_manager(num_blocks, 4, yours=False, prefix_cache=None), SchedulerConfig(**knobs))
    metrics = Metrics(scheduler, window_s=window, target=TARGET)
    return simulate(requests, scheduler, SECOND, keep=False, metrics=metrics, most_seconds=most)


def stream(n: int, gap_s: float, prompt: int = 6, answer: int = 4) -> list[Request]:
    return [Request(i, [i] * prompt, answer, arrival=i * gap_s) for i in range(n)]


def test_rows_add_up_to_the_totals():
    result = run(stream(20, 1.5), 16)
    series, totals = result.metrics.series, result.totals
    seconds = series.seconds
    assert seconds.sum() == pytest.approx(result.seconds) and np.all(np.diff(series.end_s) > 0)
    for name, total in (
        ("delivered", 80),
        ("computed", totals["computed_tokens_per_second"] * result.seconds),
        ("finished", 20),
        ("arrived", 20),
        ("recycled", totals["blocks_recycled"]),
        ("preempted", totals["preemptions"]),
        ("recomputed", totals["recomputed_tokens"]),
        ("goodput", totals["goodput"] * result.seconds),
    ):
        assert (series[name] * seconds).sum() == pytest.approx(total), name
    np.testing.assert_allclose(series["held"] + series["cached"] + series["free"], 1)
    known = {name for name in FIGURES if series.worth(name)[0] is Worth.EXACT}
    assert known == set(FIGURES) - {"flops_per_token"} and not np.isnan(series["running"]).any()


def test_times_are_those_of_requests():
    """Every step takes a second: A's first token comes 1 s after it came, and each other a second later."""
    result = run([Request("A", range(6), 3, arrival=2.0), Request("B", range(6), 2, arrival=2.5)], 16)
    totals = result.totals
    assert totals["ttft_p50_s"] == pytest.approx(1.0, rel=0.01) and totals["itl_p99_s"] == pytest.approx(1, rel=0.01)
    assert totals["finished"] == 2 and totals["goodput"] * result.seconds == pytest.approx(2)
    assert totals["seconds_simulated"] == 5.0 and totals["tokens_per_second"] == 1.0


def test_a_run_that_cannot_keep_up_says_so_and_others_do_not():
    """Three blocks are one request of four steps at a time; 40 of them come, a little slower or faster than that."""
    for gap, saturated in ((4.2, False), (3.0, True)):
        assert run(stream(40, gap), 3).totals["saturated"] is saturated
    assert not run(stream(40, 0.0), 1000, seats=1000).totals["saturated"], "a burst that all of memory takes"
    assert run(stream(40, 3.0), 3, most=100).totals["saturated"], "stopped before all had come"


def test_nothing_is_lost():
    everybody = [Request(i, range(1 + 3 * i), 8, arrival=i) for i in range(12)]
    result = run(iter(everybody), 8, most=20)
    totals = result.totals
    assert totals["requests"] == 12 == totals["finished"] + totals["refused"] + totals["unfinished"]
    assert totals["finished"] and totals["refused"] and totals["unfinished"] and result.stopped == "time is up"
    trace = draw(30, seed=1)
    stopped = run(trace, 2000, most=3)
    assert stopped.totals["requests"] == 30 and stopped.totals["unfinished"] > 0


def test_an_interrupt_keeps_what_was_computed():
    def requests() -> Iterator[Request]:
        yield from stream(10, 2.0)
        raise KeyboardInterrupt

    result = run(requests(), 16)
    totals = result.totals
    assert result.stopped == "interrupted" and totals["finished"] > 0
    assert totals["requests"] == totals["finished"] + totals["unfinished"] + totals["refused"]
    assert len(result.metrics.series) and result.metrics.series.end_s[-1] == result.seconds


def test_lives_and_moments_are_kept_where_asked_and_nowhere_else():
    scheduler = Scheduler(kv_cache_manager(16, 4, yours=False))
    kept = simulate(stream(5, 1), scheduler, SECOND)
    assert len(kept.lives) == 5 and kept.moments and kept.totals["finished"] == 5 == kept.requests
    forgotten = run(stream(5, 1), 16)
    with pytest.raises(SimulationError, match="keep=True"):
        _ = forgotten.finished


def endless(n: int) -> Iterator[Request]:
    for i in range(n):
        yield Request(i, b"\0\0\0\0" * 6, 4, arrival=i * 1.3)


def test_memory_stays_flat_with_the_length_of_the_run():
    peaks = []
    for n in (200, 1600):
        scheduler = Scheduler(kv_cache_manager(64, 4, yours=False))
        metrics = Metrics(scheduler, window_s=n / 5)
        tracemalloc.start()
        simulate(endless(n), scheduler, SECOND, keep=False, metrics=metrics)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_a_meter_of_regret_may_forget_and_counts_what_it_forgot():
    meter = Regret(most=2)
    for content in "abc":
        meter.stored([content])
        meter.removed([content])
    assert meter.forgotten == 1
    meter.stored("abc")
    assert meter.count == 2


def test_nonsense_is_refused_in_a_sentence():
    scheduler = Scheduler(kv_cache_manager(4, 4, yours=False))
    for window in (0, -1, math.nan, math.inf):
        with pytest.raises(SimulationError, match="window"):
            Metrics(scheduler, window_s=window)
    with pytest.raises(SimulationError, match="ttft_s"):
        Target(ttft_s=0)
    free = CostModel(0, 0, 0, 0, 0)
    for keep in (True, False):
        with pytest.raises(SimulationError, match="no time"):
            simulate(stream(2, 0), Scheduler(kv_cache_manager(8, 4, yours=False)), free, keep=keep)
