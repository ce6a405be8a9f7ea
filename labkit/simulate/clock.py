"""The scheduler under a simulated clock: requests come when the trace says, and a step takes what the cost model says.

The scheduler and the cache are the real ones, the learner's parts where they have passed. Only computing is left out:
a token that comes out is a number that nobody else has.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from labkit.cache.checks import whole_number
from labkit.cache.tokens import TOKEN_BYTES
from labkit.errors import SimulationError
from labkit.scheduling.horizon import Crowd, has_horizon
from labkit.scheduling.request import Request, State
from labkit.scheduling.scheduler import Scheduler
from labkit.scheduling.step import Step
from labkit.simulate.cost_model import CostModel
from labkit.simulate.metrics import Metrics
from labkit.simulate.trace import Trace

PIECE = 1_000
"""Rows of a trace that are numbers of Python's at a time."""


@dataclass(slots=True)
class Life:
    """What became of a request, in seconds of the simulated clock; NaN for what did not happen.

    Attributes:
        first_s: when its first token came out.
        end_s: when its last one did.
        longest_gap_s: the longest time between two of its tokens.
    """

    request: Request
    first_s: float = float("nan")
    end_s: float = float("nan")
    last_s: float = float("nan")
    longest_gap_s: float = 0.0

    @property
    def ttft_s(self) -> float:
        """Time to the first token."""
        return self.first_s - self.request.arrival


@dataclass
class Moment:
    """One step as the board sees it.

    Attributes:
        at_s, seconds: when it began, and how long it took.
        delivered: tokens that came out; computed: tokens that went through the model; recomputed: of those, for the
            second time.
        running, waiting: requests, after the step was planned.
        held, cached, free: blocks.
        evicted: cached blocks that were evicted in it.
        preempted: requests that gave their memory up.
    """

    at_s: float
    seconds: float
    delivered: int
    computed: int
    recomputed: int
    running: int
    waiting: int
    held: int
    cached: int
    free: int
    evicted: int
    preempted: int


@dataclass
class Simulation:
    """What happened: every request is finished, refused or unfinished.

    Attributes:
        lives, moments: of every request and step, where they were kept (`kept`).
        seconds: of simulated time.
        requests: all there were to serve, those included that had not come when the run ended.
        metrics: figures by windows of time, and totals.
        stopped: why the run ended before everybody was served, "" if it did not.
        wall_seconds: how long a person has waited for it.
    """

    lives: list[Life] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    seconds: float = 0.0
    requests: int = 0
    metrics: Metrics = field(kw_only=True)
    stopped: str = ""
    wall_seconds: float = 0.0
    kept: bool = True

    @property
    def totals(self) -> dict[str, Any]:
        """The figures of the whole run; see `Metrics.totals`."""
        return self.metrics.totals(self.requests, self.seconds)

    @property
    def finished(self) -> list[Life]:
        """Requests that were served to the end, of those kept."""
        return self._lives(State.FINISHED)

    @property
    def refused(self) -> list[Life]:
        """Requests that were sent away at the door; `request.why` says why."""
        return self._lives(State.REFUSED)

    @property
    def unfinished(self) -> list[Life]:
        """Requests that the end of the simulation found waiting or running."""
        return self._lives(State.WAITING, State.RUNNING, State.PREEMPTED)

    def _lives(self, *states: State) -> list[Life]:
        if not self.kept:
            raise SimulationError(
                "The requests of this run were not kept: ask for `totals`, or simulate with keep=True."
            )
        return [life for life in self.lives if life.request.state in states]

    def rate(self, what: str, window_s: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """A quantity of `Moment` a second, over windows.

        Args:
            what: "computed", "delivered", "recomputed", "evicted" or "preempted".

        Returns:
            float64 arrays of equal length: the beginnings of the windows, and the rates.
        """
        edges = np.arange(0.0, max(self.seconds, window_s) + window_s, window_s)
        at = [moment.at_s for moment in self.moments]
        amounts = [getattr(moment, what) for moment in self.moments]
        return edges[:-1], np.histogram(at, edges, weights=amounts)[0] / window_s

    def percentile(self, what: str, share: float) -> float:
        """A percentile over the finished requests, in seconds: of "ttft_s" or "longest_gap_s"."""
        values = [getattr(life, what) for life in self.finished]
        return float(np.percentile(values, share)) if values else float("nan")


def requests_of(trace: Trace, block_size: int) -> Iterator[Request]:
    """The requests of a trace, made when they are asked for.

    Where the trace has block ids, equal ids give equal tokens. What they do not cover (the tail of a prompt with fewer
    ids than it has blocks, or all of a prompt without ids) is the request's own and shared with nobody.
    """
    each = trace.block_tokens or block_size
    columns = trace.input_tokens, trace.output_tokens, trace.arrival_s
    for start in range(0, len(trace), PIECE):
        rows = zip(*(column[start : start + PIECE].tolist() for column in columns), strict=True)
        for index, (length, output, arrival) in enumerate(rows, start):
            tokens = max(1, int(length))
            given = None if trace.hash_ids is None else trace.hash_ids[index]
            ids = [] if given is None else np.asarray(given)[: -(-tokens // each)].tolist()
            parts = [(id % 2**31).to_bytes(TOKEN_BYTES, sys.byteorder) * each for id in ids]
            left = tokens - each * len(ids)
            if left < 0:  # the last block is part filled
                parts[-1] = parts[-1][: left * TOKEN_BYTES]
            own = 2**31 + index % 2**31  # ids give tokens below 2**31, so this is none of them
            parts.append(own.to_bytes(TOKEN_BYTES, sys.byteorder) * left)
            yield Request(index, b"".join(parts), max(1, int(output)), arrival=float(arrival))


def simulate(
    trace: Trace | Iterable[Request],
    scheduler: Scheduler,
    cost: CostModel,
    *,
    most_seconds: float = float("inf"),
    most_steps: int = 10**7,
    tell: Callable[[Moment], None] | None = None,
    keep: bool = True,
    metrics: Metrics | None = None,
) -> Simulation:
    """Serve requests until nobody is left, or time is up. An interrupt (Ctrl-C) ends the run and keeps what it has.

    Args:
        trace: what comes, in order of arrival.
        most_seconds, most_steps: where to stop; what then waits or runs is unfinished.
        tell: called after each step.
        keep: whether every life and every moment is kept. If not, a life is forgotten when it ends, memory stays flat,
            and steps whose decisions are known are taken together (`labkit.scheduling.horizon`), unless somebody is to
            be told of each.
        metrics: where the figures go; fresh ones in windows of ten seconds without.

    Raises:
        SimulationError: requests that do not come in order, or steps that take no time.
    """
    whole_number(most_steps, "most_steps", at_least=1, error=SimulationError)
    coming = requests_of(trace, scheduler.manager.block_size) if isinstance(trace, Trace) else iter(trace)
    run = _Run(coming, scheduler, cost, metrics or Metrics(scheduler), keep, tell)
    result, began = run.result, time.perf_counter()
    try:
        result.stopped = run.until_nobody_is_left(most_seconds, most_steps)
        run.dissolve()
        if isinstance(trace, Trace):
            result.requests = len(trace)
        elif run.upcoming is not None and not keep:
            result.requests += 1 + sum(1 for _ in coming)
    except KeyboardInterrupt:
        result.stopped = "interrupted"
        result.requests = len(trace) if isinstance(trace, Trace) else result.requests
    if run.upcoming is not None and keep and result.stopped != "interrupted":
        result.lives += [Life(request) for request in [run.upcoming, *islice(coming, 10**9)]]
        result.requests = len(result.lives)
    result.seconds, result.wall_seconds = run.now, time.perf_counter() - began
    run.metrics.finish(run.now)
    if result.stopped:
        run.metrics.last_came(run.now)
    return result


class _Run:
    """One simulation under way."""

    def __init__(
        self,
        coming: Iterator[Request],
        scheduler: Scheduler,
        cost: CostModel,
        metrics: Metrics,
        keep: bool,
        tell: Callable[[Moment], None] | None,
    ) -> None:
        self.scheduler, self.cost, self.metrics = scheduler, cost, metrics
        self.result = Simulation(metrics=metrics, kept=keep)
        self.now = 0.0
        self.steps = 0
        self._seconds = 0.0  # of the last step
        self.upcoming = next(coming, None)
        self._coming, self._keep, self._tell = coming, keep, tell
        self._lives: dict[Request, Life] = {}
        self._times_queue = scheduler.config.latency_target_s is not None
        self._jumps = not (keep or tell or self._times_queue) and has_horizon(scheduler)
        self._crowd: Crowd | None = None  # those who decode, while they are advanced together

    def until_nobody_is_left(self, most_seconds: float, most_steps: int) -> str:
        """Runs; returns why it stopped before everybody was served."""
        scheduler, metrics = self.scheduler, self.metrics
        while self.steps < most_steps:
            if metrics.until <= self.now:
                config = scheduler.config
                metrics.close(self.now)
                if scheduler.config is not config:  # whoever was told has turned a knob
                    self.dissolve()
            if self.upcoming is not None and self.upcoming.arrival <= self.now:
                self._arrive()
            if not scheduler.unfinished:
                if self.upcoming is None:
                    return ""
                self.now = self.upcoming.arrival
                continue
            if self.now >= most_seconds:
                return "time is up"
            if self._crowd is None:
                self._step()
            elif not (self._jump(self._crowd, most_seconds, most_steps) or self._step_together(self._crowd)):
                self.dissolve()
                self._step()
        return "steps are up"

    def _arrive(self) -> None:
        """Whoever has come by now goes to the door."""
        upcoming = self.upcoming
        while upcoming is not None and upcoming.arrival <= self.now:
            life = Life(upcoming)
            served = self.scheduler.submit(upcoming)
            if served:
                self._lives[upcoming] = life
            if self._keep:
                self.result.lives.append(life)
            self.metrics.submitted(served)
            self.result.requests += 1
            came, upcoming = upcoming.arrival, next(self._coming, None)
            if upcoming is not None and upcoming.arrival < came:
                raise SimulationError(
                    f"Request {upcoming.id!r:.60} comes at {upcoming.arrival:g} s, behind one of {came:g} s: sort them "
                    "by their time of arrival."
                )
        self.upcoming = upcoming
        if upcoming is None:
            self.metrics.last_came(self.now)

    def _step(self) -> None:
        """One step that the scheduler plans."""
        scheduler, manager = self.scheduler, self.scheduler.manager
        watched = self._keep or self._tell is not None
        if watched:
            before, evicted = scheduler.totals, manager.counters.cached_blocks_evicted
        queued = scheduler.waiting.tokens
        step = scheduler.schedule()
        copied = step.copied(manager.block_size)
        began, seconds = self.now, self._spend(*work(step), copied)
        running, waiting = len(scheduler.running), len(scheduler.waiting)
        if self._times_queue and waiting:
            scheduler.queue_speed.see(queued - scheduler.waiting.tokens, seconds)
        if watched:
            held = manager.num_held, manager.num_cached, manager.num_free
        self._delivered(step.sampling, began)
        self._ended(scheduler.update(step, [token_of(request) for request in step.sampling]))
        if watched:
            after = scheduler.totals
            moment = Moment(
                began,
                seconds,
                after.delivered - before.delivered,
                after.computed - before.computed,
                after.recomputed - before.recomputed,
                running,
                waiting,
                *held,
                manager.counters.cached_blocks_evicted - evicted,
                len(step.preempted),
            )
            if self._keep:
                self.result.moments.append(moment)
            if self._tell is not None:
                self._tell(moment)
        elif self._jumps and not step.preempted:
            decoding = (self._lives[request] for request in scheduler.running if request.decodes)
            if all(life.last_s == self.now for life in decoding):
                self._crowd = Crowd(scheduler, token_of)

    # ----- many steps at once, which come out as one by one ------------------------------------------------------

    def _jump(self, crowd: Crowd, most_seconds: float, most_steps: int) -> bool:
        """The steps whose decisions are known, to the next arrival or the end of the window; False: there are none."""
        until, began = min(self.metrics.until, most_seconds), self.steps
        if self.upcoming is not None and self.upcoming.arrival < until:
            until = self.upcoming.arrival
        while self.now < until and (known := min(crowd.horizon(), most_steps - self.steps)):
            tokens = len(crowd)
            self.now, seconds = self.cost.decodes(tokens, crowd.context, self.now, until, known, *crowd.piece)
            if tokens:
                self.metrics.itl.add_rising(seconds, tokens)
            self.steps += len(seconds)
            if finished := crowd.advance(len(seconds)):
                self._ended(finished)
        return self.steps > began

    def _step_together(self, crowd: Crowd) -> bool:
        """A step in which only prompts and the queue are asked; False if memory or the budget is short."""
        members = len(crowd)
        step = crowd.step()
        if step is None:
            return False
        tokens, context, pairs = work(step)
        began, copied = self.now, step.copied(self.scheduler.manager.block_size)
        seconds = self._spend(tokens + members, context + crowd.context, pairs + crowd.context, copied)
        if members:
            self.metrics.itl.add(seconds, members)
        self._delivered(step.sampling, began)
        self._ended(crowd.update(step, step.sampling))
        return True

    def dissolve(self) -> None:
        """From here on every request and table says what it would after stepping."""
        if self._crowd is not None:
            for request in self._crowd.dissolve():
                self._lives[request].last_s = self.now
            self._crowd = None

    # ----- what every step does ----------------------------------------------------------------------------------

    def _spend(self, tokens: int, context: int, pairs: int, copied: tuple[int, int]) -> float:
        """Time goes on by one step. Returns its seconds."""
        seconds = self.cost.seconds(tokens, context, pairs) + self.cost.copying(*copied)
        if not seconds > 0:
            raise SimulationError("A step takes no time: give the cost model a fixed cost, or a cost of tokens.")
        self.now += seconds
        self.steps += 1
        self._seconds = seconds
        return seconds

    def _delivered(self, requests: Iterable[Request], began: float) -> None:
        """Each of these has got a token in the step that ends now."""
        now, metrics, others = self.now, self.metrics, 0
        for request in requests:
            life = self._lives[request]
            if life.first_s != life.first_s:
                life.first_s = now
                metrics.ttft.add(now - request.arrival)
            else:
                gap = now - life.last_s
                if gap > life.longest_gap_s:
                    life.longest_gap_s = gap
                if life.last_s == began:  # as nearly all: they are counted together
                    others += 1
                else:
                    metrics.itl.add(gap)
            life.last_s = now
        if others:
            metrics.itl.add(self._seconds, others)

    def _ended(self, requests: Iterable[Request]) -> None:
        for request in requests:
            life = self._lives.pop(request)
            life.end_s = self.now
            self.metrics.ended(request, life.first_s, self.now)


def work(step: Step) -> tuple[int, int, int]:
    """What a step costs: tokens computed, tokens of context read, and pairs of tokens that attend."""
    tokens = context = pairs = 0
    for request, n in step.plan:
        tokens += n
        context += request.computed + n
        pairs += n * request.computed + n * (n + 1) // 2
    return tokens, context, pairs


def token_of(request: Request) -> int:
    """What a request generates, over and over: a token that is in no prompt, and that no other request has."""
    return (hash(request.id) & 0x7FFFFFFF) | 0x80000000
