"""The server of a drill: who comes, on what it runs, and what is wrong with it.

It is simulated by the scheduler and cache of the course (`labkit.simulate.clock`), over the reference parts alone, so
that a drill is the same for everybody who has its seed. The seed draws the size of the server and how much comes,
besides who comes when: two people with two seeds look at other numbers of the same incident.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from heapq import merge
from typing import Any, cast

import numpy as np

from labkit import engine
from labkit.cache.checks import whole_number
from labkit.cache.eviction_policies import POLICIES
from labkit.cache.geometry import MODELS
from labkit.errors import DrillError
from labkit.observe.regret import watch_regret
from labkit.observe.series import FIGURES, Series
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request
from labkit.scheduling.scheduler import Scheduler
from labkit.simulate.clock import Moment, Simulation, simulate
from labkit.simulate.cost_model import CARDS, cost_model
from labkit.simulate.metrics import Metrics, Target

BLOCK_SIZE = 16
WINDOW_S = 5.0
SECONDS = 120.0
TARGET = Target(ttft_s=4.0, tpot_s=0.2)
"""What counts as goodput: a token takes this server 0.1 s, and nobody reads ten a second."""

Fault = Callable[[Scheduler], None]
"""Breaks a scheduler, or the manager below it, before the first request comes; see `labkit.drills.faults`."""


@dataclass(frozen=True)
class Stream:
    """One kind of request; a server has a few.

    Attributes:
        per_s: how many come a second, as a Poisson process.
        own: tokens of a prompt that nobody shares, on average, and answer: tokens of an answer.
        head: tokens with which its prompts begin, one of `heads` different beginnings, the first of them the most
            popular.
        spread: standard deviation of lengths over their mean.
        start_s, end_s: when it comes.
        stamped_from_s: from then on each prompt begins with what no other has, such as the time of day.
        salted: whether each prompt is kept apart from all others in the prefix cache (`cache_salt`).
        round: for more than 0 the prompts are so many documents, in the same order over and over.
    """

    per_s: float
    own: int
    answer: int
    head: int = 0
    heads: int = 1
    spread: float = 0.6
    start_s: float = 0.0
    end_s: float = math.inf
    stamped_from_s: float = math.inf
    salted: bool = False
    round: int = 0

    def requests(self, kind: int, rng: np.random.Generator, scale: float, until: float) -> Iterator[Request]:
        """Those that come before `until`, seconds; `scale` times as many."""
        at, number = self.start_s, 0
        shape = self.spread**-2
        while True:
            # All numbers are drawn whatever they are used for: a change of one thing leaves the others as they were.
            wait, popular = rng.exponential(), rng.random()
            longer, more = rng.gamma(shape, 1 / shape, 2)
            at += wait / (self.per_s * scale)
            if at >= min(until, self.end_s):
                return
            number += 1
            which = number % self.round if self.round else number
            mine = 2**24 * (kind + 1) + which
            own = self.own if self.round else max(4, round(self.own * longer))
            head = np.full(self.head, 2**20 * (kind + 1) + int(self.heads * popular**2), np.uint32)
            if at >= self.stamped_from_s:
                head[:BLOCK_SIZE] = mine
            prompt = np.concatenate([head, np.full(own, mine, np.uint32)]).tobytes()
            salt = str(mine).encode() if self.salted else b""
            yield Request((kind, number), prompt, max(2, round(self.answer * more)), arrival=at, salt=salt)


@dataclass(frozen=True)
class World:
    """A server and its users.

    Attributes:
        streams: who comes.
        blocks: of KV cache, of 16 tokens.
        config: the knobs of the scheduler.
        cache: the kind of prefix cache, "hash", "radix" or None.
        policy: who is evicted first, one of `labkit.cache.eviction_policies.POLICIES`; None for the cache's own.
        fault: what is broken, if something is.
    """

    streams: tuple[Stream, ...]
    blocks: int = 1500
    config: SchedulerConfig = field(default_factory=SchedulerConfig)
    cache: str | None = "hash"
    policy: str | None = None
    fault: Fault | None = None

    def with_knobs(self, **knobs: Any) -> World:
        """The same with other knobs of the scheduler."""
        return replace(self, config=replace(self.config, **knobs))

    def with_stream(self, at: int, **what: Any) -> World:
        """The same with another stream in the place of one."""
        streams = list(self.streams)
        streams[at] = replace(streams[at], **what)
        return replace(self, streams=tuple(streams))


def kind_of(request: Request) -> int:
    """Which stream of its world a request belongs to, counted from 0."""
    kind, _ = cast("tuple[int, int]", request.id)
    return kind


class Run:
    """Two minutes of a world.

    Attributes:
        world, seed: what was run.
        scheduler: as it was left.
        series: the board, in windows of five seconds.
        totals: the figures of the whole run; see `labkit.simulate.metrics.Metrics.totals`.
    """

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seed = world, whole_number(seed, "seed", error=DrillError)
        result, self.scheduler = self._simulated(None)
        self.series = _whole_windows(result.metrics.series)
        self.totals = result.totals

    def measure(self, name: str) -> float:
        """A figure of `totals`, or the mean of a figure of the board over the second half; NaN where there is none."""
        if name in self.totals:
            return float(self.totals[name])
        if name not in FIGURES:
            raise DrillError(f"Nothing called {name!r:.60} is measured: name one of {', '.join(self.totals)}.")
        late = self.series[name][len(self.series) // 2 :]
        return float(np.nanmean(late)) if np.isfinite(late).any() else math.nan

    @cached_property
    def moments(self) -> list[Moment]:
        """Every step of it, for a closer look: it is run again, step by step."""
        found: list[Moment] = []
        self._simulated(found.append)
        return found

    def requests(self) -> Iterator[Request]:
        """What comes, in order, as new requests: what a log would show of it."""
        numbers = np.random.default_rng(self.seed)
        size = _size(numbers)
        kinds = enumerate(zip(self.world.streams, numbers.spawn(len(self.world.streams)), strict=True))
        coming = (stream.requests(kind, rng, size, SECONDS) for kind, (stream, rng) in kinds)
        return merge(*coming, key=lambda request: request.arrival)

    def _simulated(self, tell: Callable[[Moment], None] | None) -> tuple[Simulation, Scheduler]:
        world = self.world
        blocks = round(world.blocks * _size(np.random.default_rng(self.seed)))
        policy = None if world.policy is None else POLICIES[world.policy](blocks)
        manager = engine.kv_cache_manager(blocks, BLOCK_SIZE, prefix_cache=world.cache, policy=policy, yours=False)
        if world.cache is not None:
            watch_regret(manager)
        scheduler = Scheduler(manager, world.config)
        if world.fault is not None:
            world.fault(scheduler)
        metrics = Metrics(scheduler, window_s=WINDOW_S, target=TARGET, source="a server that somebody else runs")
        result = simulate(
            self.requests(),
            scheduler,
            cost_model(CARDS["L4"], MODELS["Llama-3.1-8B"]),
            most_seconds=SECONDS,
            keep=False,
            metrics=metrics,
            tell=tell,
        )
        return result, scheduler


def _size(numbers: np.random.Generator) -> float:
    """How large a server is, and its crowd: a seed's first number."""
    return float(numbers.uniform(0.85, 1.2))


def _whole_windows(series: Series) -> Series:
    """Without the splinter of a window in which the last step ends."""
    whole = Series(series.source, {name: worth for name in FIGURES if (worth := series.worth(name))[1]})
    for row in series.rows():
        if row["end_s"] <= SECONDS:
            whole.add(**row)
    return whole


@lru_cache(maxsize=4096)
def run(world: World, seed: int) -> Run:
    """A world with the numbers of a seed, simulated once.

    Raises:
        DrillError: no seed.
    """
    return Run(world, seed)
