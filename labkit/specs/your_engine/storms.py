"""Lesson 21: servers whose knobs are turned while they run, to see what becomes of a storm.

Each is Llama 3.1 8B on one L4, simulated for 200 seconds in windows of ten seconds, over the reference parts alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from heapq import merge
from typing import Any, NamedTuple

import numpy as np

from labkit import engine
from labkit.cache.geometry import MODELS
from labkit.drills.world import BLOCK_SIZE, Stream, World
from labkit.errors import DrillError
from labkit.observe.series import Series
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.scheduler import Scheduler
from labkit.simulate.clock import simulate
from labkit.simulate.cost_model import CARDS, cost_model
from labkit.simulate.metrics import Metrics

SECONDS, WINDOW_S = 200.0, 10.0
BEGINS_S, SETTLED_S = 30.0, 70.0
"""When more begin to come, and when a storm that came with them should be over."""
Tune = Callable[[SchedulerConfig, Series], Any]
Heard = Callable[[int, SchedulerConfig, Any], SchedulerConfig]


def _world(*streams: Stream, blocks: int, cache: str | None = None, **knobs: Any) -> World:
    return World(streams, blocks=blocks, cache=cache, config=SchedulerConfig(**{"seats": 64} | knobs))


FEW = Stream(0.5, 300, 60)
DOCUMENTS = Stream(0.6, 3000, 120, start_s=BEGINS_S, spread=0.3)
STORMS = {
    # Prompts of thousands of tokens, let in by their first chunk.
    "documents": _world(FEW, DOCUMENTS, blocks=2500, full_sequence=False),
    # Answers for which nobody kept room.
    "answers": _world(FEW, Stream(1.0, 600, 300, start_s=BEGINS_S, spread=0.3), blocks=1200),
    # Something of both.
    "both": _world(FEW, Stream(0.8, 1500, 200, start_s=BEGINS_S, spread=0.4), blocks=1600, full_sequence=False),
}
"""Servers that compute a fifth to a half of their tokens twice, by name, as long as nobody turns anything."""

PASSING = _world(
    Stream(1.4, 300, 80), Stream(0.6, 3000, 120, start_s=BEGINS_S, end_s=90, spread=0.3), blocks=2500,
    full_sequence=False,
)  # fmt: skip
"""A storm that goes when the documents do; those who were there before still want their seats."""
CALM = {
    # Somebody waits, because so many come; memory has nothing to do with it.
    "overload": _world(
        Stream(0.7, 400, 100), Stream(1.5, 400, 150, start_s=50), blocks=900, reserve_to_max=True
    ),
    # A cache that is full, and documents that come once.
    "scan": _world(
        Stream(1.0, 150, 80, head=900, heads=5), Stream(0.3, 2500, 10, start_s=BEGINS_S, spread=0.3),
        blocks=2000, cache="hash",
    ),
    # Prompts begin in more ways than the cache has room for: no number of seats changes that.
    "beginnings": _world(
        Stream(1.0, 200, 80, head=1500, heads=4), Stream(2.0, 200, 80, head=1500, heads=10, start_s=BEGINS_S),
        blocks=1900, cache="hash",
    ),
    # Hardly anybody comes, and for whole windows nobody.
    "quiet": _world(Stream(0.04, 300, 60), blocks=1000),
}  # fmt: skip
"""Servers for which seats and the watermark can do nothing."""

FEW_SEATS = _world(Stream(2.0, 300, 80), blocks=6000, seats=6)
KINDS = STORMS | CALM | {"passing": PASSING, "few-seats": FEW_SEATS}


class Outcome(NamedTuple):
    """What became of a server.

    Attributes:
        board: its windows.
        seats: in each window.
        twice: share of the computed tokens that had been computed before, once it should have settled.
        delivered: tokens per second from then on.
        waiting: requests that wait at the end.
    """

    board: Series
    seats: list[int]
    twice: float
    delivered: float
    waiting: int


def serve(kind: str, seed: int, heard: Heard | None = None, hole: int | None = None) -> Outcome:
    """Serve such a server's requests.

    Args:
        heard: called after each window with its number, the knobs, and the board so far; answers with the next knobs.
        hole: a window of which the board knows nothing.

    Raises:
        DrillError: no such kind.
    """
    if kind not in KINDS:
        raise DrillError(f"There is no server {kind!r:.60}; there are {', '.join(KINDS)}.")
    world = KINDS[kind]
    manager = engine.kv_cache_manager(
        world.blocks, BLOCK_SIZE, prefix_cache=world.cache, regret=world.cache is not None, yours=False
    )
    scheduler, board, seats = Scheduler(manager, world.config), Series(kind), []

    def ended(metrics: Metrics) -> None:
        seats.append(scheduler.seats)
        *_, row = metrics.series.rows()
        known = len(board) != hole
        board.add(**row if known else {name: row[name] for name in ("end_s", "seconds")})
        if heard is not None:
            scheduler.retune(heard(len(board) - 1, scheduler.config, board))

    metrics = Metrics(scheduler, window_s=WINDOW_S, tell=ended)
    numbers = enumerate(zip(world.streams, np.random.default_rng(seed).spawn(len(world.streams)), strict=True))
    coming = (stream.requests(kind, rng, 1.0, SECONDS) for kind, (stream, rng) in numbers)
    simulate(
        merge(*coming, key=lambda request: request.arrival), scheduler,
        cost_model(CARDS["L4"], MODELS["Llama-3.1-8B"]), most_seconds=SECONDS, keep=False, metrics=metrics,
    )  # fmt: skip
    late = metrics.series.end_s > SETTLED_S
    figures = {name: metrics.series[name][late] for name in ("computed", "recomputed", "regretted", "delivered")}
    again = np.nansum(figures["recomputed"]) + BLOCK_SIZE * np.nansum(figures["regretted"])
    twice = float(again / max(1.0, np.nansum(figures["computed"])))
    return Outcome(board, seats, twice, float(np.nanmean(figures["delivered"])), len(scheduler.waiting))


@lru_cache(maxsize=64)
def untouched(kind: str, seed: int) -> Outcome:
    """The same where nobody turns anything."""
    return serve(kind, seed)
