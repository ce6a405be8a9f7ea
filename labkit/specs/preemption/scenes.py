"""Lesson 18: workloads that do not fit, what vLLM's counters say of a recording, and pictures of a run."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from labkit import theme
from labkit.engine import kv_cache_manager, scheduler
from labkit.observe.timeline import Timeline
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request
from labkit.scheduling.scheduler import Scheduler
from labkit.simulate.clock import Simulation, simulate
from labkit.simulate.cost_model import CostModel
from labkit.simulate.pictures import Picture
from labkit.simulate.recordings import Recording
from labkit.specs.continuous_batching.scenes import watched


def few_requests() -> list[Request]:
    """Five whose answers do not fit together."""
    sizes = {"A": (6, 16), "B": (9, 14), "C": (14, 10), "D": (5, 12), "E": (7, 5)}
    return [
        Request(name, range(1000 * i, 1000 * i + prompt), answer, arrival=i)
        for i, (name, (prompt, answer)) in enumerate(sizes.items())
    ]


def chats(n: int = 60, per_s: float = 30.0, seed: int = 3) -> list[Request]:
    """Chats that come within two seconds, with answers about as long as their prompts: they grow most of their life."""
    draw, at, coming = random.Random(seed), 0.0, []
    for i in range(n):
        at += draw.expovariate(per_s)
        prompt, answer = draw.randint(200, 1_000), draw.randint(300, 900)
        coming.append(Request(i, np.full(prompt, i, np.uint32).tobytes(), answer, arrival=at))
    return coming


def make(num_blocks: int, block_size: int = 16, *, cache: str | None = None, **knobs: Any) -> Scheduler:
    """A scheduler of the parts in use; without prefix caching, unless a kind is named."""
    return scheduler(kv_cache_manager(num_blocks, block_size, prefix_cache=cache), SchedulerConfig(**knobs))


def four_servers() -> dict[str, Timeline]:
    """The first picture: the same five requests where all fit, and by what becomes of those who lose their memory."""
    servers = {
        "enough memory": make(30, 4, token_budget=32),
        "computed again": make(16, 4, token_budget=32),
        "with a prefix cache": make(16, 4, token_budget=32, cache="hash"),
        "swapped": make(16, 4, token_budget=32, preemption="swap", host_blocks=20),
    }
    return {name: watched(server, few_requests()) for name, server in servers.items()}


class Served(NamedTuple):
    """A run in a few figures.

    Attributes:
        preemptions: how often somebody gave memory up; recomputed: tokens computed again.
        delivered_per_s, computed_per_s: tokens that came out, and that went through the model, by the second.
    """

    run: Simulation
    preemptions: int
    recomputed: int
    delivered_per_s: float
    computed_per_s: float


def served(made: Scheduler, requests: Iterable[Request], cost: CostModel) -> Served:
    """Serve requests to their end by the simulated clock."""
    run = simulate(requests, made, cost)
    preemptions, totals = made.manager.counters.preemptions, made.totals
    return Served(run, preemptions, totals.recomputed, totals.delivered / run.seconds, totals.computed / run.seconds)


class Counted(NamedTuple):
    """One step of a recording: what happened up to it, and what vLLM's counters say then.

    Attributes:
        preempted, computed, recomputed, found: requests that gave memory up; tokens computed, and of those again;
            tokens that a preempted request found in the cache.
        num_preemptions, prompt_tokens, generation_tokens, queries, hits: the counters of these names.
    """

    preempted: int = 0
    computed: int = 0
    recomputed: int = 0
    found: int = 0
    num_preemptions: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    queries: int = 0
    hits: int = 0


def counted(recording: Recording) -> list[Counted]:
    """The counters of vLLM 0.33.0 over a recording's steps, by the rules that its code has for them.

    A preemption is counted with the victim's next token. A prompt is counted when it is computed for the first time,
    whole. Queries and hits leave out requests that were preempted.
    """
    prompts = [len(wanted["prompt"]) for wanted in recording["requests"]]
    known, computed, most, waits = [*prompts], [0] * len(prompts), [0] * len(prompts), [0] * len(prompts)
    now, seen = Counted(), []
    for step in recording["steps"]:
        got = now._asdict()
        for id in step["preempted"]:
            computed[id] = 0
            waits[id] += 1
            got["preempted"] += 1
        for id, cached in step["new"].items():
            computed[int(id)] = cached
            got["queries"] += prompts[int(id)]
            got["hits"] += cached
        for id, cached in step["resumed"].items():
            computed[int(id)] = cached
            got["found"] += cached
        for id, n in step["scheduled"]:
            got["computed"] += n
            got["recomputed"] += max(0, min(n, most[id] - computed[id]))
            computed[id] += n
            most[id] = max(most[id], computed[id])
            if computed[id] == known[id]:  # a token comes out
                got["prompt_tokens"] += prompts[id] * (known[id] == prompts[id])
                known[id] += 1
                got["generation_tokens"] += 1
                got["num_preemptions"] += waits[id]
                waits[id] = 0
        now = Counted(**got)
        seen.append(now)
    return seen


def two_curves(runs: dict[str, Simulation], window_s: float = 1.0) -> Picture:
    """Tokens computed and delivered per second, over time, one panel a run."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    theme.use_mpl()
    figure = Figure(figsize=(8.2, 2.9), layout="constrained")
    FigureCanvasAgg(figure)
    said = []
    for axes, (name, run) in zip(figure.subplots(1, len(runs), sharey=True, sharex=True), runs.items(), strict=True):
        for what, letter, dash in (("computed", "B", "-"), ("delivered", "A", "--")):
            at, rate = run.rate(what, window_s)
            axes.plot(at, rate, dash, color=theme.sequence_color(letter), label=what, linewidth=1.7)
            said.append(f"{name}, {what}: {sum(getattr(m, what) for m in run.moments) / run.seconds:,.0f} in the mean")
        axes.set(title=name, xlabel="seconds", ylim=(0, None), xlim=(0, max(it.seconds for it in runs.values())))
    figure.axes[0].set_ylabel("tokens per second")
    figure.axes[0].yaxis.set_major_formatter("{x:,.0f}")
    figure.axes[0].legend(loc="upper right")
    return Picture(figure, f"Tokens a second over time. {'; '.join(said)}.")
