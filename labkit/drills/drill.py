"""A drill as data: a server, what is wrong with it, and what proves that.

Drills come in cases of two that look alike: all that a player is shown besides the board (headline, looks, diagnoses,
fixes) belongs to the case, so nothing of it tells the twins apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from labkit.drills.evidence import Evidence, Trouble, figure_name
from labkit.drills.world import Run, World, run
from labkit.observe.series import FIGURES, Series

HEALTHY = "healthy"
NOTHING = "nothing"

CAUSES = {
    HEALTHY: "Nothing is wrong: this is what such a server does",
    "overload": "More comes than it can serve, and there is nothing more to it",
    "small-pool": "The KV cache is too small for what runs",
    "eager-admission": "Requests are let in as if their answers took no memory",
    "first-chunk": "Long prompts are let in on the strength of their first chunk",
    "prompts-first": "Prompts take the budget before those who generate",
    "volatile-heads": "Prompts that are meant to begin alike no longer do",
    "scan": "Something that comes once pushes out of the cache what comes often",
    "crowded-out": "So many run at once that they leave the prefix cache no room",
    "bad-policy": "What is evicted first is what will be wanted first",
    "leaked-pins": "Blocks stay held after their requests have ended",
    "long-prompt": "A very long prompt takes most of each step, and everybody waits for it",
    "offload": "Steps wait for copies to the memory of the host",
    "shut-gate": "The gate before memory keeps out who fits, and with it all behind",
    "own-hits": "The hit rate counts what preempted requests find again of their own",
    "hangs": "A process hangs now and then and needs a restart",
}
"""What may be wrong, for every drill: the rivals that a player can name before any options are shown."""

COSTS = {
    NOTHING: "Nothing, since nothing is changed",
    "wait": "New requests wait longer for their first token",
    "turned-away": "Requests are turned away",
    "release": "A change of code and its release; users lose nothing",
    "cold": "The prefix cache begins cold, and what runs is lost",
    "hits": "Some prompts find less in the cache, and are computed whole",
    "throughput": "Fewer tokens per second in all",
}
"""What a fix can cost."""


_TITLES = {
    "tokens_per_second": "tokens delivered, tokens/s",
    "ttft_p50_s": "time to first token, median, s",
    "ttft_p99_s": "time to first token, 99th percentile, s",
    "itl_p99_s": "time between tokens, 99th percentile, s",
    "goodput": "requests finished within the target, 1/s",
    "recomputed_tokens": "tokens computed again after a preemption",
}


def figure_title(name: str) -> str:
    """A figure of `Run.measure` as a person reads it."""
    if name in FIGURES:
        return f"{figure_name(name)}, {FIGURES[name].unit}"
    return _TITLES.get(name, name.replace("_", " "))


def in_a_sentence(text: str) -> str:
    """A cause or a cost within a sentence: its first letter small, and "KV" as it is."""
    return text[:1].lower() + text[1:]


def quoted(text: str) -> str:
    """A cause or an outcome as it stands among the options: several begin like sentences of ours."""
    return f"“{text.removesuffix('.')}”"


@dataclass(frozen=True)
class Look:
    """Something to look up that the board does not show.

    Attributes:
        what: what one would look up.
        outcomes: what it may say, with the diagnosis that each would mean; None for one that leaves all others.
        read: which of them it says of a run, counted from 0.
    """

    name: str
    what: str
    outcomes: tuple[tuple[str, str | None], ...]
    read: Callable[[Run], int]

    @property
    def telling(self) -> bool:
        """Whether it tells apart what the board leaves open: each of its outcomes means one diagnosis. One with an
        outcome that means none tests a single rival.
        """
        return None not in (meanings := {meaning for _, meaning in self.outcomes}) and len(meanings) > 1

    def testing(self, rival: str) -> Look:
        """The same look where nothing but this rival is in question."""
        return replace(self, outcomes=tuple((says, rival if one == rival else None) for says, one in self.outcomes))


@dataclass(frozen=True)
class Fix:
    """A change that may be made. It never adds capacity.

    Attributes:
        change: what it does to a world.
        cost: what it costs, one of `COSTS`; also: another of them that is right as well, with
            a sentence about it.
        note: why it does no good where it does none, "" where the figures say so.
    """

    name: str
    title: str
    change: Callable[[World], World]
    cost: str
    also: tuple[str, str] | None = None
    note: str = ""

    @property
    def costs(self) -> set[str]:
        """All that may be named as its cost."""
        return {self.cost, *(self.also[:1] if self.also else ())}


@dataclass(frozen=True)
class Goal:
    """What a figure must come to, as a ratio to the same server without the fix.

    Attributes:
        figure: of `Run.measure`.
        at_most, at_least: bounds of the ratio; a guard is one that must only not get worse.
    """

    figure: str
    at_most: float = np.inf
    at_least: float = 0.0

    def met(self, fixed: Run, unfixed: Run) -> bool:
        """Whether it is, on one pair of runs."""
        after, before = fixed.measure(self.figure), unfixed.measure(self.figure)
        return bool(self.at_least * before <= after and (self.at_most == np.inf or after <= self.at_most * before))

    @property
    def bounds(self) -> str:
        """In words: "at most 0.5x"."""
        words = [
            f"at {word} {bound:g}x"
            for word, bound in (("least", self.at_least), ("most", self.at_most))
            if 0 < bound < np.inf
        ]
        return " and ".join(words)

    def __str__(self) -> str:
        return f"{figure_title(self.figure)}: {self.bounds} of what it was"


@dataclass(frozen=True)
class Case:
    """What two twins share.

    Attributes:
        headline: what somebody says of the server; {early} and {late} stand for a figure in its first and
            last thirds, {most} for the most that it comes to.
        figure: that figure.
        looks, diagnoses, fixes: the options; diagnoses are names of `CAUSES`. A play shows the looks that tell the
            twins apart, and two others, in an order of its own.
        tempting: the diagnosis, and the fix, that the headline alone suggests.
        trouble: when that happens which the headline tells of.
    """

    headline: str
    figure: str
    looks: tuple[Look, ...]
    diagnoses: tuple[str, ...]
    fixes: tuple[Fix, ...]
    tempting: tuple[str, str]
    trouble: Trouble

    def told(self, board: Series) -> str:
        """The headline of a board."""
        values, third = board[self.figure], len(board) // 3
        early, late = np.nanmean(values[:third]), np.nanmean(values[-third:])
        return self.headline.format(early=early, late=late, most=np.nanmax(values))


@dataclass(frozen=True)
class Incident:
    """The real one: its name, its page ("" where it is not known), what happened there and what was done."""

    name: str
    link: str
    told: str
    done: str


@dataclass(frozen=True, eq=False)
class Drill:
    """One drill.

    Attributes:
        name: by which it is asked for.
        lesson: the one that it belongs to; "19" for those that are drawn there without a label.
        case: what it shares with its twin.
        world: the server.
        cause: what is wrong, one of `case.diagnoses`.
        convicts: any of these shows the cause.
        rules_out: what shows, for a rival, that it is not the cause.
        remedy: names of fixes that reach the target; none where nothing is wrong.
        target: what a fix must reach; guards: what it must leave as it is.
        incident: told after it.
    """

    name: str
    lesson: str
    case: Case
    world: World
    cause: str
    convicts: tuple[Evidence, ...]
    rules_out: Mapping[str, tuple[Evidence, ...]]
    remedy: tuple[str, ...]
    target: Goal | None
    guards: tuple[Goal, ...]
    incident: Incident

    def board(self, seed: int) -> Run:
        """What a player with this seed looks at."""
        return run(self.world, seed)

    def fixed(self, names: tuple[str, ...]) -> World:
        """The server after these fixes, in the order of the options."""
        chosen = (fix for fix in self.case.fixes if fix.name in names)
        return reduce(lambda world, fix: fix.change(world), chosen, self.world)
