"""Lesson 16: small workloads, schedulers that decide in other ways, and what a person sees of a run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from labkit.engine import kv_cache_manager, scheduler
from labkit.observe.timeline import Timeline
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.planning import Plan
from labkit.scheduling.request import Request
from labkit.scheduling.scheduler import Scheduler
from labkit.scheduling.step import let_in
from labkit.scheduling.step import step as reference_step
from labkit.simulate.clock import Simulation, simulate
from labkit.simulate.cost_model import CostModel


def lengths(n: int, seed: int = 6) -> list[int]:
    """Tokens of answers: most are short, a few are long."""
    draw = random.Random(seed)
    return [1 + int(draw.expovariate(1 / 12)) for _ in range(n)]


def few_requests() -> list[Request]:
    """A handful that fits on a screen: a long prompt among short ones, and answers of all lengths."""
    sizes = {"A": (3, 4), "B": (5, 12), "C": (4, 3), "D": (22, 5), "E": (3, 8), "F": (6, 3), "G": (2, 5)}
    first = {name: 1000 * i for i, name in enumerate(sizes)}
    return [
        Request(name, range(first[name], first[name] + prompt), answer, arrival=max(0, i - 3))
        for i, (name, (prompt, answer)) in enumerate(sizes.items())
    ]


def chats_and_a_report(report: int = 32_000) -> list[Request]:
    """Eight people chat, and after a second a ninth pastes a report."""
    chats = [Request(f"chat {i}", np.full(300, i, np.uint32).tobytes(), 400) for i in range(8)]
    return [*chats, Request("report", np.full(report, 99, np.uint32).tobytes(), 100, arrival=1.0)]


def stream(n: int = 60, gap_s: float = 0.08, prompt: int = 2_000, answer: int = 150) -> list[Request]:
    """Prompts that come one after the other, a little slower than they can be computed."""
    return [Request(i, np.full(prompt, i, np.uint32).tobytes(), answer, arrival=i * gap_s) for i in range(n)]


def seats_over_time(answers: dict[str, int], seats: int, way: str) -> list[str]:
    """A row for each seat: a letter for each token that somebody gets, a dot where nobody can use it.

    Args:
        answers: tokens of each answer, by a letter, in the order of the queue.
        way: "static" or "continuous".
    """
    rows = [""] * seats
    for i, (name, tokens) in enumerate(answers.items()):
        if way == "static" and i % seats == 0:
            rows = [row.ljust(max(map(len, rows)), ".") for row in rows]
        seat = i % seats if way == "static" else min(range(seats), key=lambda seat: len(rows[seat]))
        rows[seat] += name * tokens
    return [row.ljust(max(map(len, rows)), ".") for row in rows]


def static_step(scheduler: Scheduler) -> Plan:
    """Static batching: nobody is let in while anybody runs."""
    waiting = scheduler.waiting
    if scheduler.running:
        scheduler.waiting = ()  # type: ignore[assignment]
    plan = reference_step(scheduler)
    scheduler.waiting = waiting
    return plan


def queue_first_step(scheduler: Scheduler) -> Plan:
    """Prefill first: the queue, then pieces of prompts that have begun, and decodes only in a step without either."""
    plan: Plan = []
    left = scheduler.budget
    for request, n in scheduler.plan_chunks([r for r in scheduler.running if not r.decodes], left):
        if scheduler.grow(request, n):
            plan.append((request, n))
            left -= n
    let_in(scheduler, plan, left)
    return plan or reference_step(scheduler)


def make(num_blocks: int, block_size: int = 16, step: Callable[[Any], Plan] | None = None, **knobs: Any) -> Scheduler:
    """A scheduler over a fresh manager, of the parts in use; `step` in place of theirs."""
    made = scheduler(kv_cache_manager(num_blocks, block_size), SchedulerConfig(**knobs))
    if step is not None:
        made.rules = made.rules._replace(step=step)
    return made


def watched(made: Scheduler, requests: Iterable[Request]) -> Timeline:
    """Run requests to their end; `arrival` counts steps."""
    timeline, coming = Timeline(), list(requests)
    while coming or made.unfinished:
        while coming and coming[0].arrival <= len(timeline):
            made.submit(coming.pop(0))
        step = made.schedule()
        timeline.see(made, step)
        made.update(step, [7] * len(step.sampling))
    return timeline


def three_ways() -> dict[str, Timeline]:
    """The first picture: the same seven requests in static batches, decided at every step, and with a small budget."""
    deciders = {
        "static batching": make(60, 4, static_step, seats=4, token_budget=40),
        "continuous": make(60, 4, seats=4, token_budget=40),
        "continuous, 8 tokens per step": make(60, 4, seats=4, token_budget=8),
    }
    return {name: watched(scheduler, few_requests()) for name, scheduler in deciders.items()}


def simulated(made: Scheduler, requests: Iterable[Request], cost: CostModel) -> Simulation:
    """The same by a simulated clock."""
    return simulate(requests, made, cost)


def tokens_per_s(simulation: Simulation) -> float:
    """Tokens a second of the median request, once its first token is there."""
    rates = [(life.request.max_tokens - 1) / (life.end_s - life.first_s) for life in simulation.finished]
    return float(np.median(rates))
