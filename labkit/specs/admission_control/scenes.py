"""Lesson 17: workloads that want more memory than there is, and what a person sees of a run."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from labkit import theme
from labkit.engine import kv_cache_manager, scheduler
from labkit.observe.timeline import Timeline
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request, State
from labkit.scheduling.scheduler import Scheduler
from labkit.simulate.clock import Moment, Simulation, simulate
from labkit.simulate.cost_model import CostModel
from labkit.simulate.pictures import Picture
from labkit.specs.continuous_batching.scenes import watched

GATES: dict[str, dict[str, Any]] = {
    "optimistic": {"full_sequence": False},
    "watermark 0.02": {"watermark": 0.02},
    "watermark 0.1": {"watermark": 0.1},
    "reserve to max": {"reserve_to_max": True},
}
"""Ways to let requests in, as knobs of `SchedulerConfig`."""


def few_requests() -> list[Request]:
    """Six that do not fit together: answers that grow, and a long prompt among them."""
    sizes = {"A": (6, 18), "B": (5, 16), "C": (22, 6), "D": (4, 14), "E": (6, 8), "F": (3, 10)}
    return [
        Request(name, np.full(prompt, i, np.uint32).tobytes(), answer, arrival=2 * (i // 2))
        for i, (name, (prompt, answer)) in enumerate(sizes.items())
    ]


def busy_minute(n: int = 160, per_s: float = 7.0, seed: int = 4) -> list[Request]:
    """Requests whose answers are much longer than their prompts, so that they grow for most of their life."""
    draw, at, coming = random.Random(seed), 0.0, []
    for i in range(n):
        at += draw.expovariate(per_s)
        prompt, answer = draw.randint(100, 300), min(2000, 50 + int(draw.expovariate(1 / 450)))
        coming.append(Request(i, np.full(prompt, i, np.uint32).tobytes(), answer, arrival=at))
    return coming


def make(num_blocks: int, block_size: int = 16, **knobs: Any) -> Scheduler:
    """A scheduler of the parts in use, without prefix caching: what a victim had is computed again, all of it."""
    manager = kv_cache_manager(num_blocks, block_size, prefix_cache=None)
    return scheduler(manager, SchedulerConfig(**knobs))


def three_gates() -> dict[str, Timeline]:
    """The first picture: the same six requests, by what each is asked before it gets memory."""
    questions: dict[str, dict[str, Any]] = {
        "is there a block?": {"full_sequence": False},
        "is a quarter left?": {"watermark": 0.25},
        "could all of us grow?": {"reserve_to_max": True},
    }
    return {
        question: watched(make(16, 4, seats=8, token_budget=12, **knobs), few_requests())
        for question, knobs in questions.items()
    }


class Served(NamedTuple):
    """A run, and where its requests spent their time, in seconds, in the mean of those that finished.

    Attributes:
        outside_s: before they began; again_s: in the queue once more, after a preemption; inside_s: in memory.
        preemptions, recomputed: requests that gave memory up, and tokens computed for the second time.
        delivered_per_s: tokens that came out, by the second.
    """

    run: Simulation
    outside_s: float
    again_s: float
    inside_s: float
    preemptions: int
    recomputed: int
    delivered_per_s: float


def served(made: Scheduler, requests: Iterable[Request], cost: CostModel) -> Served:
    """Serve requests, and look after each step who waits again, and who runs."""
    again, inside = 0.0, 0.0

    def look(moment: Moment) -> None:
        nonlocal again, inside
        again += moment.seconds * sum(request.state is State.PREEMPTED for request in made.waiting)
        inside += moment.seconds * moment.running

    run = simulate(requests, made, cost, tell=look)
    n = len(run.finished)
    total = sum(life.end_s - life.request.arrival for life in run.finished)
    preemptions, recomputed, delivered = (
        sum(getattr(moment, what) for moment in run.moments) for what in ("preempted", "recomputed", "delivered")
    )
    return Served(
        run,
        (total - inside - again) / n,
        again / n,
        inside / n,
        preemptions,
        recomputed,
        delivered / run.seconds,
    )


def queue_picture(runs: dict[str, Served]) -> Picture:
    """How many requests waited over time, before they had begun or after a preemption."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    theme.use_mpl()
    figure = Figure(figsize=(7.5, 2.8))
    FigureCanvasAgg(figure)
    axes, said = figure.subplots(), []
    for (name, it), letter, dash in zip(runs.items(), "ABCD", ("-", "--", "-.", ":"), strict=False):
        at, waiting = zip(*((moment.at_s, moment.waiting) for moment in it.run.moments), strict=True)
        axes.plot(at, waiting, dash, color=theme.sequence_color(letter), label=name, linewidth=1.6)
        said.append(f"{name}: {max(waiting)} at most, the last at {it.run.seconds:.0f} s")
    axes.set(xlabel="seconds", ylabel="requests that wait", ylim=(0, None), xlim=(0, None))
    axes.legend(loc="upper right")
    axes.set_title("The queue")
    return Picture(figure, f"Requests that wait, over time. {'; '.join(said)}.")
