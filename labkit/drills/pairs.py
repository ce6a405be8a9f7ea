"""The before and after of a play: what its changes do on the hidden pairs of runs, figure by figure."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from labkit.drills.drill import Goal
from labkit.drills.play import Play
from labkit.drills.score import HIDDEN_SEEDS
from labkit.drills.world import run
from labkit.observe.series import FIGURES

HEALTHY_FIGURES = ("tokens_per_second", "goodput")
"""What is compared beside the headline's figure where nothing was wrong."""

_TITLES = {
    "tokens_per_second": "tokens delivered, tokens/s",
    "ttft_p50_s": "time to first token, median, s",
    "ttft_p99_s": "time to first token, 99th percentile, s",
    "goodput": "requests finished within the target, 1/s",
    "recomputed_tokens": "tokens computed again after a preemption",
}


class Compared(NamedTuple):
    """One figure on all hidden pairs.

    Attributes:
        title: what a person reads, with the unit.
        role: "target", "guard", or "seen" for one that no goal is set for.
        goal: in words, "" for none, and its bounds as ratios, None for none.
        before, after: of each pair, without and with the changes.
        met: on how many pairs the goal is met.
    """

    title: str
    role: str
    goal: str
    at_least: float | None
    at_most: float | None
    before: tuple[float, ...]
    after: tuple[float, ...]
    met: int


def compared(play: Play, tell: Callable[[int], None] = lambda _: None) -> list[Compared]:
    """What the changes of a play do: target and guards first. Empty where nothing was changed.

    Args:
        tell: is called with the number of pairs that have been run, before each.
    """
    if not play.fixes:
        return []
    drill, fixed = play.drill, play.drill.fixed(play.fixes)
    runs = []
    for number, seed in enumerate(HIDDEN_SEEDS):
        tell(number)
        runs.append((run(drill.world, seed), run(fixed, seed)))
    if drill.target is None:
        goals = [("seen", Goal(figure)) for figure in (drill.case.figure, *HEALTHY_FIGURES)]
    else:
        goals = [("target", drill.target), *(("guard", guard) for guard in drill.guards)]
    return [
        Compared(
            figure_title(goal.figure),
            role,
            "" if role == "seen" else str(goal).removeprefix(f"{goal.figure} "),
            goal.at_least or None,
            None if math.isinf(goal.at_most) else goal.at_most,
            tuple(before.measure(goal.figure) for before, _ in runs),
            tuple(after.measure(goal.figure) for _, after in runs),
            sum(goal.met(after, before) for before, after in runs),
        )
        for role, goal in goals
    ]


def figure_title(name: str) -> str:
    """A figure of `Run.measure` as a person reads it."""
    if name in FIGURES:
        figure = FIGURES[name]
        return f"{figure.title}, {figure.unit}"
    return _TITLES.get(name, name.replace("_", " "))
