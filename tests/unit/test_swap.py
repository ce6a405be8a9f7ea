"""Preemption by swap: the pool, the break-even, and what the scheduler does with them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.cache.geometry import MODELS
from labkit.engine import kv_cache_manager
from labkit.errors import SchedulerError, UnknownSequenceError
from labkit.observe.timeline import AGAIN, RESTORED, Doing, Timeline
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request, State
from labkit.scheduling.scheduler import Scheduler
from labkit.scheduling.swap import SwapCost, SwapPool, break_even
from labkit.simulate.clock import simulate
from labkit.simulate.cost_model import CARDS, cost_model


def test_host_blocks_are_taken_whole_and_come_back():
    pool = SwapPool(5)
    assert pool.swap_out("A", [7, 3, 9]) == [(7, 0), (3, 1), (9, 2)] and pool.num_free == 2
    assert pool.swap_out("B", [1, 2, 4]) is None and pool.num_free == 2
    with pytest.raises(SchedulerError, match="swapped out already"):
        pool.swap_out("A", [1])
    with pytest.raises(SchedulerError, match="left 3 blocks and comes into 2"):
        pool.swap_in("A", [1, 2])
    assert pool.swap_in("A", [5, 6, 8], found=1) == [(1, 6), (2, 8)] and pool.num_free == 5
    for call in (pool.forget, lambda name: pool.swap_in(name, [])):
        with pytest.raises(UnknownSequenceError, match="not swapped out"):
            call("A")


costs = st.floats(0, 10).map(lambda x: round(x, 2))


@given(costs, costs, costs, costs, st.integers(0, 60))
def test_the_break_even_is_the_first_length_at_which_a_swap_is_cheaper(fixed, copy, token, pair, most):
    cheaper = [n for n in range(1, most + 1) if 2 * (fixed + n * copy) < n * token + n * (n + 1) / 2 * pair]
    assert break_even(fixed, copy, token, pair, most) == min(cheaper, default=None)
    assert not cheaper or cheaper[-1] == most or pair == 0  # what is worth it stays so


def run(blocks: int, requests: list[tuple[str, int, int]], **knobs: Any) -> tuple[Scheduler, list[Any], Timeline]:
    """Serve requests that come one per step, without prefix caching."""
    manager = kv_cache_manager(blocks, 2, yours=False, prefix_cache=None)
    scheduler, steps, seen, coming = Scheduler(manager, SchedulerConfig(**knobs)), [], Timeline(), list(requests)
    while coming or scheduler.unfinished:
        if coming:
            name, prompt, most = coming.pop(0)
            scheduler.submit(Request(name, range(prompt), most, arrival=len(steps)))
        steps.append(scheduler.schedule())
        seen.see(scheduler, steps[-1])
        scheduler.update(steps[-1], [7] * len(steps[-1].sampling))
    return scheduler, steps, seen


SWAP = {"preemption": "swap", "host_blocks": 8, "full_sequence": False}


def test_a_victim_goes_to_the_host_and_computes_nothing_twice():
    scheduler, steps, seen = run(4, [("A", 3, 5), ("B", 3, 4)], **SWAP)
    out = next(step for step in steps if step.preempted)
    back = next(step for step in steps[steps.index(out) :] if step.admitted)
    assert [request.id for request in out.preempted] == [request.id for request in back.admitted] == ["B"]
    assert len(out.swapped_out) == 2 and [host for _, host in out.swapped_out] == [host for host, _ in back.swapped_in]
    assert back.plan[-1][1] == 1 and scheduler.totals.recomputed == 0
    counters = scheduler.manager.counters
    assert counters.preemptions == 1 and counters.recomputed_tokens == 0 and counters.queried_tokens == 6
    assert scheduler.swapper.pool.num_free == 8
    cells = seen.cells()
    assert (cells["doing"] == Doing.SWAPPED).sum() == (cells["flags"] & RESTORED > 0).sum() == 1
    assert not (cells["flags"] & AGAIN).any() and "o" in seen.rows()[1]["steps"]


@pytest.mark.parametrize("knobs", [{"host_blocks": 1}, {"swap_cost": SwapCost(9.0, 1.0, 1.0, 0.0)}])
def test_where_the_host_is_full_or_it_does_not_pay_it_is_computed_again(knobs):
    scheduler, steps, _ = run(4, [("A", 3, 5), ("B", 3, 4)], **SWAP | knobs)
    assert scheduler.totals.recomputed and not any(step.swapped_out for step in steps)
    assert scheduler.totals.delivered == 9


def test_whoever_leaves_while_swapped_out_leaves_the_host_too():
    manager = kv_cache_manager(4, 2, yours=False, prefix_cache=None)
    scheduler = Scheduler(manager, SchedulerConfig(**SWAP))
    gone = Request("B", range(3), 4, arrival=1)
    for request in (Request("A", range(3), 5), gone):
        scheduler.submit(request)
    while gone.state is not State.PREEMPTED:
        step = scheduler.schedule()
        scheduler.update(step, [7] * len(step.sampling))
    assert scheduler.swapper.pool.num_free == 6
    assert scheduler.cancel("B") and scheduler.swapper.pool.num_free == 8


@pytest.mark.parametrize(
    "knobs", [{"preemption": "swap"}, {"host_blocks": 3}, {"preemption": "drop"}, {"host_blocks": -1}]
)
def test_settings_that_do_not_go_together_are_refused(knobs):
    with pytest.raises(SchedulerError):
        SchedulerConfig(**knobs)


def test_the_clock_charges_for_copies():
    def seconds(copy_fixed_s: float, **knobs: Any) -> float:
        manager = kv_cache_manager(4, 2, yours=False, prefix_cache=None)
        cost = cost_model(CARDS["H100"], MODELS["Llama-3.1-8B"], copy_fixed_s=copy_fixed_s)
        coming = [Request("A", range(3), 5), Request("B", range(3), 4)]
        return simulate(coming, Scheduler(manager, SchedulerConfig(**knobs)), cost).seconds

    assert seconds(0.5, **SWAP) - seconds(0.25, **SWAP) == pytest.approx(2 * 0.25)  # one out, one back
    assert seconds(0.5, full_sequence=False) == seconds(0.25, full_sequence=False)
