"""The workloads of lesson 16, and what it says of them."""

from __future__ import annotations

import random

import numpy as np
import pytest

from labkit.cache.geometry import MODELS
from labkit.engine import kv_cache_manager
from labkit.observe.timeline import Doing
from labkit.scheduling import planning
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request
from labkit.scheduling.scheduler import Scheduler
from labkit.scheduling.step import Step
from labkit.simulate.cost_model import CARDS, cost_model
from labkit.specs.continuous_batching import scenes


def test_static_batching_lets_nobody_in_while_anybody_runs():
    static, continuous, small = scenes.three_ways().values()
    cells = static.cells()
    busy = cells[(cells["doing"] == Doing.PREFILL) | (cells["doing"] == Doing.DECODE)]
    first, last = ({row: f(busy["step"][busy["row"] == row]) for row in range(7)} for f in (min, max))
    assert {first[row] for row in range(4)} == {0}
    assert {first[row] for row in range(4, 7)} == {max(last[row] for row in range(4)) + 1}
    assert len(continuous) < len(static)
    # What the lesson asks to look for: the long prompt of D makes a step as high as it is long, or takes several.
    prefill = {
        run: [c["tokens"] for c in run.cells() if c["row"] == 3 and c["doing"] == Doing.PREFILL]
        for run in (static, continuous, small)
    }
    assert prefill[static] == prefill[continuous] == [22] and len(prefill[small]) > 1


def test_a_smaller_budget_shortens_the_pauses_and_delays_the_report():
    cost = cost_model(CARDS["H100"], MODELS["Llama-3.1-8B"])
    pauses, firsts = [], []
    for budget in (20_000, 1_024, 256):
        run = scenes.simulated(scenes.make(3_000, token_budget=budget), scenes.chats_and_a_report(16_000), cost)
        pauses.append(max(life.longest_gap_s for life in run.lives[:8]))
        firsts.append(run.lives[8].ttft_s)
    assert pauses == sorted(pauses, reverse=True) and firsts == sorted(firsts)


def test_prefill_first_has_the_better_first_token_and_the_longer_pauses():
    cost = cost_model(CARDS["H100"], MODELS["Llama-3.1-8B"])
    decodes, prefill = (
        scenes.simulated(scenes.make(20_000, step=how, token_budget=2_048), scenes.stream(40, 0.06, 2_000, 30), cost)
        for how in (None, scenes.queue_first_step)
    )
    assert prefill.percentile("ttft_s", 50) < decodes.percentile("ttft_s", 50)
    assert prefill.percentile("longest_gap_s", 99) > 10 * decodes.percentile("longest_gap_s", 99)
    assert scenes.tokens_per_s(prefill) < scenes.tokens_per_s(decodes)
    assert not sum(moment.preempted for moment in prefill.moments)


class InOrderOfAdmission(Scheduler):
    """It goes by the order of admission alone, as vLLM does: what decodes is a piece of one token like any other."""

    def schedule(self) -> Step:
        wanted = planning.plan_chunks(self.running, self.budget, self.longest_chunk)
        self.plan_decodes, self.plan_chunks = (lambda running, budget: []), (lambda *_: wanted)
        return super().schedule()


@pytest.mark.parametrize("seed", range(60))
def test_the_order_of_admission_gives_the_same_steps_as_decodes_first(seed: int):
    draw = random.Random(seed)
    blocks, size, cache = draw.randint(4, 30), draw.choice([1, 2, 4]), draw.choice([None, "hash"])
    knobs = SchedulerConfig(
        token_budget=draw.randint(1, 12),
        seats=draw.randint(1, 6),
        longest_chunk=draw.choice([None, None, 1, 2, 3, 5]),
        full_sequence=draw.random() < 0.7,
        victim=draw.choice(["last", "least-computed", "most-blocks", "priority"]),
    )
    both = [
        make(kv_cache_manager(blocks, size, prefix_cache=cache, yours=False), knobs)
        for make in (Scheduler, InOrderOfAdmission)
    ]
    coming = [(draw.randint(1, 20), draw.randint(1, 12), draw.randint(0, 25)) for _ in range(10)]
    for now in range(400):
        decided = []
        for scheduler in both:
            for name, (prompt, answer, arrival) in enumerate(coming):
                if arrival == now:
                    scheduler.submit(Request(name, np.full(prompt, name), answer, arrival=now, priority=name % 3))
            planned = scheduler.schedule()
            decided.append(([(r.id, n) for r, n in planned.plan], [r.id for r in planned.preempted]))
            scheduler.update(planned, [7] * len(planned.sampling))
        assert decided[0] == decided[1]
