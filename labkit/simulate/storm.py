"""A small server with knobs, simulated at once: Llama 3.1 8B on one L4, two minutes of it.

The requests ask much and answer at length: prompts of about 550 tokens of which the first 256 are one of a dozen shared
instructions, answers of about 600 tokens. So memory that was enough for a prompt is not enough for its answer, and it
depends on the knobs whether those who run get in each other's way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from labkit import engine
from labkit.cache.checks import one_of, whole_number
from labkit.cache.eviction_policies import POLICIES
from labkit.cache.geometry import MODELS
from labkit.errors import SimulationError
from labkit.observe.series import Series
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request
from labkit.simulate.clock import simulate
from labkit.simulate.cost_model import CARDS, cost_model
from labkit.simulate.metrics import WORTH, Metrics

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
            one_of(getattr(self, name), name, known, SimulationError)
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
    metrics = Metrics(scheduler, window_s=WINDOW_S)
    simulate(storm_requests(settings), scheduler, cost, most_seconds=settings.seconds, keep=False, metrics=metrics)
    series = Series(f"simulation, Llama 3.1 8B on one L4, seed {settings.seed}", WORTH)
    for row in metrics.series.rows():
        if row["seconds"] > WINDOW_S / 2:  # what the last step took beyond the end is no window to look at
            series.add(**row)
    return series
