"""Taking steps together is taking them one by one: every figure, time, counter and block table, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from labkit.cache.block_pool import BlockPool
from labkit.cache.eviction import LRU
from labkit.cache.eviction_policies import FIFO, LFU
from labkit.engine import kv_cache_manager
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.horizon import Crowd, has_horizon
from labkit.scheduling.preemption import VICTIMS
from labkit.scheduling.request import Request, State
from labkit.scheduling.scheduler import Rules, Scheduler
from labkit.scheduling.step import step
from labkit.scheduling.swap import SwapCost
from labkit.scheduling.waiting import ORDERS
from labkit.simulate.clock import simulate
from labkit.simulate.cost_model import CostModel
from labkit.simulate.metrics import Metrics
from labkit.simulate.workload import draw as draw_chats

COSTS = (
    CostModel(
        fixed_s=0.1, weights_s=0.3, context_s=0.007, token_s=0.011, pair_s=0.0013, copy_fixed_s=0.05, copy_s=0.02
    ),
    CostModel(fixed_s=0, weights_s=0.05, context_s=1 / 3, token_s=0.5, pair_s=0.3),  # now reading counts, now computing
)
CACHES: dict[str, Any] = {
    "none": lambda n, size: kv_cache_manager(n, size, yours=False, prefix_cache=None),
    "hash": lambda n, size: kv_cache_manager(n, size, yours=False, regret=True),
    "hash FIFO": lambda n, size: kv_cache_manager(n, size, yours=False, policy=FIFO(), regret=True),
    "radix": lambda n, size: kv_cache_manager(n, size, yours=False, prefix_cache="radix", regret=True),
    "radix LFU": lambda n, size: kv_cache_manager(n, size, yours=False, prefix_cache="radix", policy=LFU()),
    "hash LRU": lambda n, size: kv_cache_manager(n, size, yours=False, policy=LRU()),
}


@st.composite
def loads(draw: Any) -> tuple[int, int, list[dict[str, Any]]]:
    """Blocks, their size, and requests in order of arrival, some of which begin alike and some of which never fit."""
    size = draw(st.sampled_from([1, 2, 3, 8]))
    num_blocks = draw(st.integers(3, 14))
    requests, now = [], 0.0
    for number in range(draw(st.integers(2, 12))):
        now += draw(st.sampled_from([0.0, 0.0, 0.3, 1.0, 7.0]))
        most = num_blocks * size + 1
        slots = max(draw(st.integers(1, most)), draw(st.integers(1, most)))
        prompt = min(draw(st.integers(1, slots)), draw(st.integers(1, 2 + slots // 4)))  # mostly short: many decode
        shared = draw(st.integers(0, prompt))
        family = draw(st.integers(1, 2))
        requests.append(
            dict(
                id=number,
                prompt=[family] * shared + [10 + number] * (prompt - shared),
                max_tokens=slots + 1 - prompt,
                arrival=now,
                priority=draw(st.integers(0, 2)),
            )
        )
    return num_blocks, size, requests


knobs = st.fixed_dictionaries(
    {
        "token_budget": st.sampled_from([1, 3, 16, 64, 1000, 1000]),
        "seats": st.sampled_from([1, 3, 16, 16]),
        "longest_chunk": st.sampled_from([None, None, 1, 3]),
        "chunked_prefill": st.sampled_from([True, True, False]),
        "queue": st.sampled_from(ORDERS),
        "patience": st.integers(1, 3),
        "victim": st.sampled_from(sorted(VICTIMS)),
        "watermark": st.sampled_from([0.0, 0.0, 0.1, 0.4]),
        "full_sequence": st.booleans(),
        "reserve_to_max": st.sampled_from([False, False, False, True]),
        "latency_target_s": st.sampled_from([None, None, None, 2.0]),
        "most_queued": st.sampled_from([None, None, None, 3]),
    }
)
swaps = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "preemption": st.just("swap"),
            "host_blocks": st.sampled_from([2, 8, 30]),
            "swap_cost": st.sampled_from([None, SwapCost(0.05, 0.02, 0.011, 0.0013)]),
        }
    ),
)
knobs = st.builds(lambda some, swap: {**some, **swap}, knobs, swaps)


def run(load: Any, config: dict[str, Any], cache: str, cost: CostModel, together: bool, stop: float) -> dict[str, Any]:
    """All that a person could compare of a run."""
    num_blocks, size, requests = load
    manager = CACHES[cache](num_blocks, size)
    scheduler = Scheduler(manager, SchedulerConfig(**config))
    everybody = [Request(**request) for request in requests]
    metrics = Metrics(scheduler, window_s=1.7)
    ended: list[Any] = []
    whole = metrics.ended

    def see(request: Request, first_s: float, end_s: float) -> None:
        whole(request, first_s, end_s)
        ended.append((request.id, first_s, end_s))

    metrics.ended = see  # type: ignore[method-assign]
    result = simulate(
        everybody,
        scheduler,
        cost,
        most_seconds=stop,
        keep=False,
        metrics=metrics,
        tell=None if together else lambda moment: None,
    )
    return {
        "rows": list(metrics.series.rows()),
        "totals": result.totals,
        "ended": ended,
        "seconds": result.seconds,
        "stopped": result.stopped,
        "tokens": scheduler.totals,
        "counters": manager.counters,
        "queue": [request.id for request in scheduler.waiting],
        "running": [request.id for request in scheduler.running],
        "refusals": scheduler.refusals,
        "requests": [
            (r.id, r.state, list(r.output), r.computed, r.most_computed, r.cached, r.preemptions, r.why)
            for r in everybody
        ],
        "tables": {name: manager.blocks(name) for name in manager.sequences()},
        "sequences": {name: (s.table.num_tokens, s.tail, s.room) for name, s in manager._sequences.items()},
        "contents": list(manager.contents().items()),
        "pool": manager.cache.refs.pool.allocate(manager.num_free),
    }


@contextmanager
def counted() -> Iterator[dict[str, int]]:
    """How often steps are taken together, how many they are, and how often the crowd is dissolved."""
    taken = {"jumps": 0, "steps": 0, "dissolved": 0}
    advance, dissolve = Crowd.advance, Crowd.dissolve

    def jumped(crowd: Crowd, steps: int) -> Any:
        taken["jumps"] += 1
        taken["steps"] += steps
        return advance(crowd, steps)

    def dissolved(crowd: Crowd) -> Any:
        taken["dissolved"] += 1
        return dissolve(crowd)

    Crowd.advance, Crowd.dissolve = jumped, dissolved  # type: ignore[method-assign]
    try:
        yield taken
    finally:
        Crowd.advance, Crowd.dissolve = advance, dissolve  # type: ignore[method-assign]


@settings(max_examples=200)
@given(
    loads(), knobs, st.sampled_from(sorted(CACHES)), st.sampled_from(COSTS), st.sampled_from([float("inf"), 4.0, 15.0])
)
def test_steps_taken_together_come_out_as_one_by_one(load, config, cache, cost, stop):
    with counted() as taken:
        together = run(load, config, cache, cost, True, stop)
    event("jumped" if taken["jumps"] else "never jumped")
    event("preempted" if together["counters"].preemptions else "nobody preempted")
    alone = run(load, config, cache, cost, False, stop)
    for name, value in alone.items():
        np.testing.assert_equal(together[name], value, err_msg=name)


@pytest.mark.parametrize("cache", ["none", "hash", "radix"])
def test_a_load_like_a_server_s_comes_out_the_same_and_most_of_its_steps_are_jumped(cache):
    """Chats in memory for a dozen of them: some are preempted, the queue grows and empties, much is evicted."""
    trace = draw_chats(70, seed=4)
    requests = [
        dict(
            id=i,
            prompt=[i % 5] * (int(trace.input_tokens[i]) // 8) + [100 + i] * 9,
            max_tokens=int(trace.output_tokens[i]) // 4 + 1,
            arrival=float(trace.arrival_s[i]) / 6,
        )
        for i in range(len(trace))
    ]
    cost = CostModel(fixed_s=0.004, weights_s=0.008, context_s=6.5e-8, token_s=2.7e-5, pair_s=8.8e-10)
    config = {"token_budget": 512, "watermark": 0.01}
    with counted() as taken:
        together = run((130, 16, requests), config, cache, cost, True, float("inf"))
    alone = run((130, 16, requests), config, cache, cost, False, float("inf"))
    for name, value in alone.items():
        np.testing.assert_equal(together[name], value, err_msg=name)
    assert together["counters"].preemptions and taken["dissolved"]
    assert taken["steps"] > 4 * taken["jumps"] > 100


def test_who_has_a_horizon():
    """All parts the reference; a policy may be anybody's. Whoever has none is stepped, and says the same."""

    def made(**more: Any) -> Scheduler:
        return Scheduler(kv_cache_manager(8, 2, yours=False, **more))

    assert has_horizon(made()) and has_horizon(made(prefix_cache=None)) and has_horizon(made(policy=FIFO()))

    class Mine(BlockPool):
        """Somebody's own."""

    assert not has_horizon(made(pool=Mine(8)))
    own_step = made()
    own_step.rules = own_step.rules._replace(step=lambda scheduler: step(scheduler))
    assert not has_horizon(own_step)
    own_gate = Scheduler(own_step.manager, None, Rules(watermark_gate=lambda *numbers: True))
    assert not has_horizon(own_gate)
    guarded = made()
    guarded.manager.extend = guarded.manager.extend  # type: ignore[method-assign]  # as the engine wraps yours
    assert not has_horizon(guarded)
    own_plan = made()
    own_plan.plan_chunks = lambda *what: []
    assert not has_horizon(own_plan)


def test_the_horizon_is_the_step_in_which_something_changes():
    """Two decode, ten blocks of two tokens. A ends first; then B alone would fill memory."""
    scheduler = Scheduler(kv_cache_manager(10, 2, yours=False, prefix_cache=None))
    a, b = Request("A", [1, 2, 3], 5), Request("B", [4], 12)
    for request in (a, b):
        scheduler.submit(request)
    scheduler.update(scheduler.schedule(), [7, 7])
    crowd = Crowd(scheduler, lambda request: 7)
    assert len(crowd) == 2 and crowd.context == 4
    assert crowd.horizon() == 4, "A has 4 tokens to go"
    assert crowd.advance(3) == [] and crowd.horizon() == 1 and crowd.context == 10
    assert crowd.advance(1) == [a] and a.state is State.FINISHED and list(a.output) == [7] * 5
    assert crowd.horizon() == 7 and len(crowd) == 1
    crowd.advance(2)
    scheduler.submit(Request("C", [5], 1))
    assert crowd.horizon() == 0, "somebody waits, and may be let in"
    crowd.dissolve()
    assert b.computed == 7 and len(b.output) == 7 and scheduler.manager.num_tokens("B") == 7
    assert len(scheduler.manager.blocks("B")) == 4


def test_a_prompt_that_takes_the_rest_of_the_budget_is_known_until_its_last_piece():
    """A decodes, B has 20 tokens and gets three a step, C waits for its turn."""
    config = SchedulerConfig(token_budget=4)
    scheduler = Scheduler(kv_cache_manager(40, 2, yours=False, prefix_cache=None), config)
    a, b, c = Request("A", [1], 30), Request("B", [2] * 20, 2), Request("C", [3], 1)
    scheduler.submit(a)
    scheduler.update(scheduler.schedule(), [7])
    crowd = Crowd(scheduler, lambda request: 7)
    scheduler.submit(b)
    scheduler.submit(c)
    assert crowd.horizon() == 0, "B may be let in"
    step = crowd.step()
    crowd.update(step, step.sampling)
    assert step.plan == [(b, 3)] and crowd.horizon() == 5 and crowd.piece == (3, 3)
    assert crowd.advance(4) == [] and (b.computed, crowd.horizon()) == (15, 1)
    assert crowd.advance(1) == [] and b.computed == b.most_computed == 18 and len(scheduler.manager.blocks("B")) == 9
    assert crowd.horizon() == 0, "B's last two tokens leave one of the budget, and C may have it"
    assert crowd.step().plan == [(b, 2), (c, 1)]
    assert scheduler.totals.computed == 1 + 7 + 18, "A's prompt, a token of A in each step since, and B's pieces"


def test_the_horizon_ends_where_memory_does():
    scheduler = Scheduler(kv_cache_manager(4, 2, yours=False, prefix_cache=None), SchedulerConfig(full_sequence=False))
    for name in "AB":
        scheduler.submit(Request(name, [1], 7))
    scheduler.update(scheduler.schedule(), [7, 7])
    crowd = Crowd(scheduler, lambda request: 7)
    assert crowd.horizon() == 3, "after three more tokens each, both want a third block and there is none"
    crowd.advance(3)
    assert crowd.horizon() == 0 and crowd.step() is None
    crowd.dissolve()
    assert [request.id for request in scheduler.schedule().preempted] == ["B"]
