"""The scheduler under a simulated clock: requests come when the trace says, and a step takes what the cost model says.

The scheduler and the cache are the real ones, the learner's parts where they have passed. Only computing is left out:
a token that comes out is a number that nobody else has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from labkit.cache.checks import whole_number
from labkit.errors import SimulationError
from labkit.scheduling.request import Request, State
from labkit.scheduling.scheduler import Scheduler
from labkit.scheduling.step import Step
from labkit.simulate.cost_model import CostModel
from labkit.simulate.traces import Trace


@dataclass
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
    """What happened: every request is finished, refused or unfinished."""

    lives: list[Life] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def finished(self) -> list[Life]:
        """Requests that were served to the end."""
        return [life for life in self.lives if life.request.state is State.FINISHED]

    @property
    def refused(self) -> list[Life]:
        """Requests that were sent away at the door; `request.why` says why."""
        return [life for life in self.lives if life.request.state is State.REFUSED]

    @property
    def unfinished(self) -> list[Life]:
        """Requests that the end of the simulation found waiting or running."""
        return [life for life in self.lives if life.request.state not in (State.FINISHED, State.REFUSED)]

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

    Prompts without block ids share nothing. Where the trace has ids, equal ids give equal tokens.
    """
    each = trace.block_tokens or block_size
    for index in range(len(trace)):
        length, output = max(1, int(trace.input_tokens[index])), max(1, int(trace.output_tokens[index]))
        if trace.hash_ids is None:
            prompt = np.full(length, index % 2**31, np.uint32)
        else:
            ids = np.asarray(trace.hash_ids[index], np.int64)
            prompt = (np.repeat(ids, each) % 2**31).astype(np.uint32)[:length]
        yield Request(index, prompt.tobytes(), output, arrival=float(trace.arrival_s[index]))


def simulate(
    trace: Trace | Iterable[Request],
    scheduler: Scheduler,
    cost: CostModel,
    *,
    most_seconds: float = float("inf"),
    most_steps: int = 10**7,
    tell: Callable[[Moment], None] | None = None,
) -> Simulation:
    """Serve requests until nobody is left, or time is up.

    Args:
        trace: what comes, in order of arrival.
        most_seconds, most_steps: where to stop; what then waits or runs is unfinished.
        tell: called after each step.

    Raises:
        SimulationError: requests that do not come in order.
    """
    whole_number(most_steps, "most_steps", at_least=1, error=SimulationError)
    manager = scheduler.manager
    coming = requests_of(trace, manager.block_size) if isinstance(trace, Trace) else iter(trace)
    result = Simulation()
    lives: dict[Request, Life] = {}
    upcoming = next(coming, None)
    now = 0.0
    for _ in range(most_steps):
        while upcoming is not None and upcoming.arrival <= now:
            life = lives[upcoming] = Life(upcoming)
            result.lives.append(life)
            scheduler.submit(upcoming)
            came, upcoming = upcoming.arrival, next(coming, None)
            if upcoming is not None and upcoming.arrival < came:
                raise SimulationError(
                    f"Request {upcoming.id!r:.60} comes at {upcoming.arrival:g} s, behind one of {came:g} s: sort them "
                    "by their time of arrival."
                )
        if not scheduler.unfinished:
            if upcoming is None:
                break
            now = upcoming.arrival
            continue
        if now >= most_seconds:
            break
        before, evicted = scheduler.totals, manager.counters.cached_blocks_evicted
        step = scheduler.schedule()
        seconds = cost.seconds(*work(step)) + cost.copying(*step.copied(manager.block_size))
        held = manager.num_held, manager.num_cached, manager.num_free
        running, waiting = len(scheduler.running), len(scheduler.waiting)
        began, now = now, now + seconds
        scheduler.prefill_tokens_per_s = step.num_tokens / seconds
        for request in step.sampling:
            _delivered(lives[request], now)
        for request in scheduler.update(step, [_token(request) for request in step.sampling]):
            lives.pop(request).end_s = now
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
        result.moments.append(moment)
        if tell is not None:
            tell(moment)
    result.seconds = now
    if upcoming is not None:
        result.lives += [Life(request) for request in [upcoming, *islice(coming, 10**9)]]
    return result


def work(step: Step) -> tuple[int, int, int]:
    """What a step costs: tokens computed, tokens of context read, and pairs of tokens that attend."""
    tokens = context = pairs = 0
    for request, n in step.plan:
        tokens += n
        context += request.computed + n
        pairs += n * request.computed + n * (n + 1) // 2
    return tokens, context, pairs


def _token(request: Request) -> int:
    """A token that no other request has at this place."""
    return (hash((request.id, len(request.output))) & 0x7FFFFFFF) | 0x80000000


def _delivered(life: Life, now: float) -> None:
    if life.first_s != life.first_s:
        life.first_s = now
    else:
        life.longest_gap_s = max(life.longest_gap_s, now - life.last_s)
    life.last_s = now
