"""Taking steps together is taking them one by one: every figure, time, counter and block table, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from labkit.cache.eviction import LRU
from labkit.cache.eviction_policies import FIFO, LFU
from labkit.engine import kv_cache_manager
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.horizon import Crowd
from labkit.scheduling.preemption import VICTIMS
from labkit.scheduling.request import Request
from labkit.scheduling.scheduler import Scheduler
from labkit.scheduling.waiting import ORDERS
from labkit.simulate.clock import simulate
from labkit.simulate.cost_model import CostModel
from labkit.simulate.metrics import Metrics

COSTS = (
    CostModel(fixed_s=0.1, weights_s=0.3, context_s=0.007, token_s=0.011, pair_s=0.0013),
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
    num_blocks = draw(st.integers(3, 24))
    requests, now = [], 0.0
    for number in range(draw(st.integers(1, 14))):
        now += draw(st.sampled_from([0.0, 0.0, 0.3, 1.0, 7.0]))
        slots = draw(st.integers(1, num_blocks * size + 1))
        prompt = draw(st.integers(1, slots))
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
        "token_budget": st.sampled_from([1, 2, 5, 16, 64, 1000]),
        "seats": st.sampled_from([1, 2, 4, 16]),
        "longest_chunk": st.sampled_from([None, 1, 3]),
        "chunked_prefill": st.booleans(),
        "queue": st.sampled_from(ORDERS),
        "patience": st.integers(1, 3),
        "victim": st.sampled_from(sorted(VICTIMS)),
        "watermark": st.sampled_from([0.0, 0.1, 0.4]),
        "full_sequence": st.booleans(),
        "reserve_to_max": st.booleans(),
        "latency_target_s": st.sampled_from([None, None, 2.0]),
        "most_queued": st.sampled_from([None, None, 3]),
    }
)


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
        "pool": list(manager.cache.refs.pool._free),
    }


@settings(max_examples=400)
@given(
    loads(), knobs, st.sampled_from(sorted(CACHES)), st.sampled_from(COSTS), st.sampled_from([float("inf"), 4.0, 15.0])
)
def test_steps_taken_together_come_out_as_one_by_one(load, config, cache, cost, stop):
    taken = {"jumps": 0, "steps": 0}
    advance, one = Crowd.advance, Crowd.step

    def counted(crowd: Crowd, steps: int) -> Any:
        taken["jumps"] += 1
        taken["steps"] += steps
        return advance(crowd, steps)

    Crowd.advance = counted  # type: ignore[method-assign]
    try:
        together = run(load, config, cache, cost, True, stop)
    finally:
        Crowd.advance, Crowd.step = advance, one  # type: ignore[method-assign]
    event("jumped" if taken["jumps"] else "never jumped")
    event("preempted" if together["counters"].preemptions else "nobody preempted")
    alone = run(load, config, cache, cost, False, stop)
    for name, value in alone.items():
        np.testing.assert_equal(together[name], value, err_msg=name)
