"""A small server with knobs, simulated at once: Llama 3.1 8B on one L4, two minutes of it.

The requests ask much and answer at length: prompts of about 550 tokens of which the first 256 are one of a dozen shared
instructions, answers of about 600 tokens. So memory that was enough for a prompt is not enough for its answer, and it
depends on the knobs whether those who run get in each other's way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from labkit import engine
from labkit.cache.checks import whole_number
from labkit.cache.eviction_policies import POLICIES
from labkit.cache.geometry import MODELS
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.errors import SimulationError
from labkit.observe.series import Series, Worth
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request
from labkit.simulate.clock import Moment, Simulation, simulate
from labkit.simulate.cost_model import CARDS, cost_model

BLOCK_SIZE = 16
WINDOW_S = 4.0
GATES: dict[str, dict[str, bool]] = {
    "full-sequence": {"full_sequence": True},
    "first-chunk": {"full_sequence": False},
    "reserve-to-max": {"reserve_to_max": True},
}
"""What is asked before a request starts, besides the watermark: settings of `SchedulerConfig` by name."""


@dataclass(frozen=True)
class StormSettings:
    """The knobs of the simulated server.

    Attributes:
        blocks: of 16 tokens. What an L4 has left beside the weights is about 3,000.
        arrivals_per_s: requests that come a second, as a Poisson process.
        watermark: share of the blocks that stays free for those who run.
        admission: one of `GATES`.
        victim: who gives its memory up; see `SchedulerConfig`.
        policy: who is evicted first, one of `labkit.cache.eviction_policies.POLICIES`.
        seats: requests that run at most.
        token_budget: tokens of a step at most.
        seconds: how long requests come and are served; what is unfinished then stays so.
        seed: of arrivals and lengths.

    Raises:
        SimulationError: numbers or names that cannot be; a `SchedulerError` for what the scheduler refuses.
    """

    blocks: int = 3000
    arrivals_per_s: float = 3.0
    watermark: float = 0.0
    admission: str = "full-sequence"
    victim: str = "last"
    policy: str = "LRU"
    seats: int = 64
    token_budget: int = 2048
    seconds: float = 120.0
    seed: int = 4711

    def __post_init__(self) -> None:
        for name, known in (("admission", GATES), ("policy", POLICIES)):
            if getattr(self, name) not in list(known):
                raise SimulationError(
                    f"{name} is {getattr(self, name)!r:.60}, but must be one of {', '.join(known)}: choose one."
                )
        whole_number(self.blocks, "blocks", at_least=1, error=SimulationError)
        whole_number(self.seed, "seed", error=SimulationError)
        for name, most in (("arrivals_per_s", 100.0), ("seconds", 3600.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
                raise SimulationError(
                    f"{name} is {value!r:.60}, but must be a number above 0 and at most {most:g}: give one."
                )
        _ = self.config  # refuses the rest

    @property
    def config(self) -> SchedulerConfig:
        """The scheduler's part of it."""
        return SchedulerConfig(
            seats=self.seats,
            token_budget=self.token_budget,
            watermark=self.watermark,
            victim=self.victim,
            **GATES[self.admission],  # type: ignore[arg-type]
        )


def storm_requests(settings: StormSettings) -> Iterator[Request]:
    """What comes, in order: the same people with the same questions whatever the rate, sooner or later."""
    rng = np.random.default_rng(settings.seed)
    at = 0.0
    number = 0
    while True:
        at += rng.exponential() / settings.arrivals_per_s
        instruction = min(int(rng.zipf(1.5)), 12)
        own, answer = (max(4, int(rng.gamma(2.0, mean / 2))) for mean in (300, 600))
        if at >= settings.seconds:
            return
        tokens = np.concatenate([np.full(256, 2**20 + instruction, np.uint32), np.full(own, number, np.uint32)])
        yield Request(number, tokens.tobytes(), answer, arrival=at)
        number += 1


def run_storm(settings: StormSettings | None = None, *, yours: bool = True) -> Series:
    """Simulate the server; windows of four seconds.

    Args:
        settings: the knobs.
        yours: False for the reference parts alone.
    """
    settings = settings or StormSettings()
    # The free queue is least recently used by itself, and where your LRU has passed, it takes its place.
    policy = None if settings.policy == "LRU" else POLICIES[settings.policy](settings.blocks)
    manager = engine.kv_cache_manager(settings.blocks, BLOCK_SIZE, policy=policy, regret=True, yours=yours)
    scheduler = engine.scheduler(manager, settings.config, yours=yours)
    cost = cost_model(CARDS["L4"], MODELS["Llama-3.1-8B"])
    meters: list[tuple[int, ...]] = []
    result = simulate(
        storm_requests(settings),
        scheduler,
        cost,
        most_seconds=settings.seconds,
        tell=lambda _: meters.append(_meters(manager)),
    )
    source = f"simulation, Llama 3.1 8B on one L4, seed {settings.seed}"
    return series_of(result, meters, settings.config, settings.blocks, source)


def _meters(manager: KVCacheManager) -> tuple[int, ...]:
    counters = manager.counters
    return counters.blocks_recycled, counters.regretted_evictions or 0, counters.queried_tokens, counters.hit_tokens


def series_of(
    result: Simulation,
    meters: Sequence[tuple[int, ...]],
    config: SchedulerConfig,
    num_blocks: int,
    source: str,
    window_s: float = WINDOW_S,
) -> Series:
    """The windows of a simulation.

    Args:
        meters: after each step, the manager's counters: recycled, regretted, queried tokens, hit tokens.
        config, num_blocks: of the scheduler, for the reason of waiting and for shares.
    """
    series = Series(
        source,
        {
            "itl_p50": (Worth.PROXY, STEP_TIME),
            "itl_p99": (Worth.PROXY, STEP_TIME),
            "goodput": (Worth.ABSENT, "No target was set."),
            "flops_per_token": (Worth.ABSENT, "The simulation counts seconds, not operations."),
        },
    )
    moments = result.moments
    if not moments:
        return series
    edges = np.arange(max(1, round(result.seconds / window_s)) + 1) * window_s
    edges[-1] = result.seconds  # the last window is as long as it is
    of_step = np.searchsorted(edges, [moment.at_s for moment in moments], side="right") - 1
    steps = np.searchsorted(of_step, np.arange(len(edges)))  # the first step of each window
    counted = np.diff(np.array(meters), axis=0, prepend=0)
    sums: dict[str, Any] = {
        name: np.array([getattr(moment, name) for moment in moments])
        for name in ("delivered", "computed", "recomputed", "evicted", "preempted")
    }
    sums |= {"recycled": counted[:, 0], "regretted": counted[:, 1]}
    seconds = np.array([moment.seconds for moment in moments])
    comes = {
        "arrived": [life.request.arrival for life in result.lives],
        "finished": [life.end_s for life in result.finished],
        "refused": [life.request.arrival for life in result.refused],
    }
    counts = {name: np.histogram(times, edges)[0] for name, times in comes.items()}
    firsts = sorted((life.first_s, life.ttft_s) for life in result.lives if life.first_s == life.first_s)
    ends = sorted((life.end_s, life.end_s - life.request.arrival) for life in result.finished)
    last = Moment(0, 0, 0, 0, 0, 0, 0, 0, 0, num_blocks, 0, 0)
    for at, (begin, end) in enumerate(pairwise(edges)):
        own = slice(steps[at], steps[at + 1])
        last = moments[steps[at + 1] - 1] if steps[at + 1] > steps[at] else last
        row = {name: float(values[own].sum()) / (end - begin) for name, values in sums.items()}
        row |= {name: float(values[at]) / (end - begin) for name, values in counts.items()}
        blocked = last.running < config.seats and last.computed < config.token_budget
        row |= {"running": last.running, "waiting": last.waiting, "waiting_for_memory": last.waiting * blocked}
        row |= {name: getattr(last, name) / num_blocks for name in ("held", "cached", "free")}
        asked, hit = counted[own, 2].sum(), counted[own, 3].sum()
        if asked:
            row["hit_rate"] = float(hit / asked)
        row |= _percentiles([wait for time, wait in firsts if begin < time <= end], ttft_p50=50, ttft_p99=99)
        row |= _percentiles([took for time, took in ends if begin < time <= end], e2e_p99=99)
        row |= _percentiles(np.repeat(seconds[own], sums["delivered"][own]), itl_p50=50, itl_p99=99)
        series.add(float(end), float(end - begin), **row)
    return series


STEP_TIME = (
    "The time of a step, counted for each token that comes out of it. What a preempted request waits between two of "
    "its tokens is not in it, so the slowest are slower than this."
)


def _percentiles(values: Any, **shares: float) -> dict[str, float]:
    return {name: float(np.percentile(values, at)) for name, at in shares.items()} if len(values) else {}
