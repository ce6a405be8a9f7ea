"""The scheduler under a simulated clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from labkit.cache.geometry import MODELS
from labkit.engine import kv_cache_manager
from labkit.errors import SimulationError
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request
from labkit.scheduling.scheduler import Scheduler
from labkit.simulate.clock import Simulation, requests_of, simulate
from labkit.simulate.cost_model import CARDS, CostModel, cost_model
from labkit.simulate.traces import Trace
from labkit.simulate.workload import draw

SECOND = CostModel(fixed_s=1.0, weights_s=0, context_s=0, token_s=0, pair_s=0)
"""Every step takes a second."""


def run(requests: Any, num_blocks: int, cost: CostModel = SECOND, *, most: float = 1e9, **knobs: Any) -> Simulation:
    manager = kv_cache_manager(num_blocks, 4, yours=False, prefix_cache=None)
    return simulate(requests, Scheduler(manager, SchedulerConfig(**knobs)), cost, most_seconds=most)


def test_a_request_is_timed_from_its_arrival():
    a, b = Request("A", range(6), 3, arrival=2.0), Request("B", range(6), 2, arrival=2.5)
    result = run([a, b], 16)
    lives = {life.request.id: life for life in result.lives}
    assert lives["A"].ttft_s == 1.0 and lives["A"].end_s == 5.0 and lives["A"].longest_gap_s == 1.0
    assert lives["B"].ttft_s == 1.5  # A's first step was under way
    assert [m.delivered for m in result.moments] == [1, 2, 2] and [m.computed for m in result.moments] == [6, 7, 2]


def test_nothing_is_lost_finished_refused_and_unfinished_are_all():
    requests = [Request(i, range(1 + 3 * i), 8, arrival=i) for i in range(12)]
    result = run(requests, 8, most=20)
    counts = [len(result.finished), len(result.refused), len(result.unfinished)]
    assert sum(counts) == 12 == len(result.lives) and all(counts)


def test_less_memory_never_delivers_more_and_preemption_is_computed_twice():
    trace = draw(80, seed=3)
    cost = cost_model(CARDS["L4"], MODELS["Llama-3.1-8B"])
    wide, tight = (run(trace, blocks, cost, seats=64) for blocks in (40_000, 2_500))
    assert len(wide.finished) == len(tight.finished) == 80
    assert not any(m.preempted for m in wide.moments) and any(m.preempted for m in tight.moments)
    assert sum(m.recomputed for m in tight.moments) > 0 == sum(m.recomputed for m in wide.moments)
    assert tight.seconds > wide.seconds
    for result in (wide, tight):
        assert sum(m.delivered for m in result.moments) == int(trace.output_tokens.clip(1).sum())
        at, rate = result.rate("delivered", 5.0)
        assert len(at) == len(rate) and rate.sum() * 5 == pytest.approx(int(trace.output_tokens.clip(1).sum()))


def test_a_decode_reads_and_a_prompt_computes():
    cost = cost_model(CARDS["H100"], MODELS["Llama-3.1-8B"])
    one, many = cost.seconds(1, 1000, 1000), cost.seconds(64, 64_000, 64_000)
    assert one < many < 4 * one  # the weights are read once for all
    assert cost.seconds(8192, 8192, 8192 * 4096) > 10 * one


def test_nonsense_is_refused_in_a_sentence():
    with pytest.raises(SimulationError, match="sort them"):
        run([Request("A", [1], 1, arrival=2), Request("B", [1], 1, arrival=1)], 4)
    with pytest.raises(SimulationError, match="share"):
        cost_model(CARDS["L4"], MODELS["Llama-3.1-8B"], share=2)
    with pytest.raises(SimulationError, match="seconds"):
        CostModel(-1, 0, 0, 0, 0)


def test_what_block_ids_do_not_cover_is_a_prompts_own():
    ids = [np.array(row) for row in ([7, 8], [7], [], [7, 8, 9], [2**62])]
    tokens = np.array([10, 10, 10, 9, 0])
    trace = Trace("t", "t", np.arange(5.0), tokens, np.ones(5, int), [*ids[:2], None, *ids[3:]], block_tokens=4)
    for given in (trace, replace(trace, hash_ids=ids)):
        prompts = [np.frombuffer(request.prompt, np.uint32).tolist() for request in requests_of(given, 16)]
        assert [len(prompt) for prompt in prompts] == [10, 10, 10, 9, 1]
        assert prompts[0][:8] == prompts[3][:8] and prompts[0][:4] == prompts[1][:4]  # shared: as far as ids are equal
        own = [set(prompts[0][8:]), set(prompts[1][4:]), set(prompts[2]), set(prompts[3])]
        assert sum(map(len, own)) == len(set().union(*own)) == 1 + 1 + 1 + 3
    lengths = [request.prompt_tokens for request in requests_of(replace(trace, hash_ids=None), 16)]
    assert lengths == [10, 10, 10, 9, 1]
