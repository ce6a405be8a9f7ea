"""Lesson 19: servers with and without a storm, and what an alarm owes to each.

The truth of a board is in its own figures: what share of all that was computed had been computed before. It is taken
over twenty seconds, and what lies between healthy and a storm is left to whoever writes the alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from labkit.drills.bots import goes_up
from labkit.drills.world import WINDOW_S, Run, Stream, World, run
from labkit.errors import DrillError
from labkit.observe.alerts import Rule, done_twice, firings
from labkit.observe.series import Series
from labkit.scheduling.config import SchedulerConfig
from labkit.words import choose

Alarm = Callable[[Series], Sequence[Any]]
"""Says of each window of a board whether it fires."""

STORM, HEALTHY = 0.25, 0.1
LASTING = 4
"""Windows of twenty seconds: what is looked at, and how long a storm has lasted, or been over, until that is due."""


def _world(*streams: Stream, blocks: int, cache: str | None = "hash", **knobs: Any) -> World:
    return World(streams, blocks=blocks, cache=cache, config=SchedulerConfig(seats=64, token_budget=2048, **knobs))


STORMS = {
    # Answers for which nobody kept room.
    "answers": _world(
        Stream(0.6, 500, 250, spread=0.3), Stream(1.0, 700, 500, start_s=35, spread=0.3), blocks=1500, cache=None
    ),
    # Few preemptions, each of a prompt of thousands of tokens (vLLM issue 25538).
    "chunk": _world(
        Stream(0.4, 300, 150), Stream(0.25, 6000, 400, start_s=35, spread=0.3),
        blocks=1900, cache=None, full_sequence=False,
    ),
    # More come, and those who run leave the prefix cache no room: more is delivered, and ever more computed twice.
    "crowding": _world(
        Stream(0.6, 120, 120, head=1000, heads=8), Stream(1.6, 120, 120, head=1000, heads=40, start_s=40), blocks=1900
    ),
    # Documents that come round and round.
    "round": _world(
        Stream(0.6, 200, 100, head=1024, heads=4), Stream(0.7, 1400, 20, start_s=30, round=26), blocks=2000
    ),
    # It ends with the crowd that brought it.
    "passing": _world(
        Stream(0.6, 120, 120, head=1000, heads=8), Stream(2.2, 120, 120, head=1000, heads=40, start_s=25, end_s=50),
        blocks=1600,
    ),
}  # fmt: skip
"""Servers that compute a great deal twice, by name."""

CALM = {
    # A cache that is full, and documents that come once.
    "scan": _world(
        Stream(1.0, 150, 120, head=900, heads=5), Stream(0.3, 2500, 10, start_s=35, spread=0.3), blocks=2000
    ),
    # A few preemptions while a crowd comes and goes.
    "lunch": _world(
        Stream(0.7, 300, 250, spread=0.3), Stream(6, 300, 60, start_s=60, end_s=64), blocks=900, cache=None
    ),
    # Now and then something that was evicted is wanted again.
    "trickle": _world(Stream(1.0, 300, 150), Stream(0.06, 60, 60, head=320, heads=6), blocks=1500),
    # More comes than can be served, and waits outside.
    "overload": _world(
        Stream(0.7, 400, 200), Stream(1.0, 400, 200, start_s=45), blocks=900, cache=None, reserve_to_max=True
    ),
    # More comes, and all of it is served.
    "growing": _world(Stream(0.5, 300, 150), Stream(1.2, 300, 150, start_s=45), blocks=6000),
    # Hardly anybody comes, and for a while nobody.
    "quiet": _world(Stream(0.08, 300, 60), blocks=1000),
}  # fmt: skip
"""Servers that have nothing of that kind, some of them with other troubles."""

KINDS = STORMS | CALM


def server(name: str) -> Run:
    """Two minutes of a server, by kind and seed: "crowding-3".

    Raises:
        DrillError: no such kind, or no seed.
    """
    kind, _, seed = name.partition("-")
    if kind not in KINDS or not seed.isdigit():
        raise DrillError(f"There is no board {name!r:.60}: give a kind ({', '.join(KINDS)}) and a seed, as scan-3.")
    return run(KINDS[kind], int(seed))


@lru_cache(maxsize=1024)
def board(name: str) -> Series:
    """What an alarm gets of a server: its figures in windows of five seconds, and no word of what it is.

    Args:
        name: a kind and a seed. "scan-3:14" is what there is after 14 windows; "scan-3?6" lacks all figures of window
            6, as if nobody had answered then.

    Raises:
        DrillError: there is no such board.
    """
    whole, _, cut = name.partition(":")
    whole, _, hole = whole.partition("?")
    found = Series("a server that somebody else runs")
    for at, row in enumerate(server(whole).series.rows()):
        if at < int(cut or 10**6):
            found.add(**row if at != int(hole or -1) else {"end_s": row["end_s"], "seconds": row["seconds"]})
    return found


class Truth(NamedTuple):
    """What is due to a board of n windows.

    Attributes:
        fires: bool [n], an alarm must fire here: a quarter was computed twice, for a while.
        silent: bool [n], it must not: hardly anything was, for a while.
        bad_windows: bool [n], in this window alone more than a tenth was.
    """

    fires: np.ndarray
    silent: np.ndarray
    bad_windows: np.ndarray

    def __repr__(self) -> str:
        """As a report says it: "it is silent in windows 0 to 9, and fires in windows 17 to 23" """
        due = {"is silent": self.silent, "fires": self.fires}
        return "it " + ", and ".join(f"{does} in {windows_of(at)}" for does, at in due.items() if at.any())


def windows_of(answers: np.ndarray) -> str:
    """Where bool [n] is true, in words: "windows 9 to 12, 20" """
    at = np.flatnonzero(answers)
    runs = np.split(at, np.flatnonzero(np.diff(at) > 1) + 1)
    spans = [f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs[:3]]
    return f"{choose(len(at), 'window', 'windows')} {', '.join(spans)}{' and more' if len(runs) > 3 else ''}"


@lru_cache(maxsize=1024)
def truth(board: Series) -> Truth:
    """What an alarm owes to a board. Between the two it may do as it likes."""
    twice = done_twice(board, LASTING * WINDOW_S)

    def lasting(state: np.ndarray) -> np.ndarray:
        return np.array([state[max(0, at - LASTING + 1) : at + 1].all() for at in range(len(state))], dtype=bool)

    # No storm is older than the board: what fires has to have been seen for as long.
    fires = lasting(twice >= STORM) & (np.arange(len(twice)) >= LASTING - 1)
    return Truth(fires, lasting(twice < HEALTHY), done_twice(board, WINDOW_S) >= HEALTHY)


# ----- other people's alarms, and how well they all do -----------------------------------------------------------


def over_saturation(board: Series) -> list[bool]:
    """GuideLLM's idea: a server has too much to do where concurrency and time to first token both go up.

    In each window by the slopes of straight lines through all that was seen so far.
    """
    crowd, first, ends = board["running"] + board["waiting"], board["ttft_p50"], board.end_s
    return [goes_up(ends[:n], crowd[:n]) and goes_up(ends[:n], first[:n]) for n in range(1, len(board) + 1)]


def firing(rules: Sequence[Rule]) -> Alarm:
    """The alarm that fires where one of these rules does."""

    def alarm(board: Series) -> list[bool]:
        found = firings(board, rules)
        return [any(one.first <= at <= one.last for one in found) for at in range(len(board))]

    return alarm


class Score(NamedTuple):
    """How an alarm did on some boards.

    Attributes:
        told, storms: storms in which it fired while it had to, of how many.
        false, healthy: boards without a storm on which it fired, of how many.
    """

    told: int
    storms: int
    false: int
    healthy: int


def score(alarm: Alarm, names: Iterable[str]) -> Score:
    """Let an alarm look at boards. A board between healthy and a storm is not counted."""
    told, false, storms, healthy = 0, 0, 0, 0
    for name in names:
        seen = board(name)
        due, fired = truth(seen), np.array(alarm(seen), dtype=bool)
        if due.fires.any():
            storms += 1
            told += bool((fired & due.fires).any())
        elif due.silent.all():
            healthy += 1
            false += bool(fired.any())
    return Score(told, storms, false, healthy)
