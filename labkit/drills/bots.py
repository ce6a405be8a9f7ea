"""Players without understanding, which keep the score honest, and one that knows everything.

Each sees what a player sees (board, headline, then the options) and makes its moves. The oracle alone looks
at the drill.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from labkit.drills.drill import CAUSES, COSTS, HEALTHY, NOTHING, Drill
from labkit.drills.evidence import LEAST_WINDOWS, Evidence, Pin, Trouble, shown
from labkit.drills.play import Play
from labkit.errors import DrillError
from labkit.observe.alerts import done_twice, firings
from labkit.observe.series import Series

MOST_DONE_TWICE = {HEALTHY: 0.25, "overload": 0.1}
"""The share of its work that a board may do twice in any 20 seconds, less than that, if this is its cause: more would
be a cause of its own, and lesson 19 calls a quarter a storm.
"""

Bot = Callable[[Play, np.random.Generator], Play]
"""Takes a play that has not begun, and returns it done."""


def at_random(play: Play, rng: np.random.Generator) -> Play:
    """Any figures, windows and options, and one change: three at random would only get in each other's way."""
    figures = rng.permutation(shown(play.board))
    play = play.convict(_any_window(str(figures[0]), play.board, rng))
    play = play.rule_out(_any_window(str(figures[1]), play.board, rng), str(rng.choice(list(CAUSES))))
    case = play.options
    look = case.looks[rng.integers(len(case.looks))]
    play = play.look_up(look.name, [str(rng.choice(case.diagnoses)) for _ in look.outcomes])
    play = play.diagnose(str(rng.choice(case.diagnoses)))
    changes = ["", *(fix.name for fix in case.fixes)]
    change = changes[rng.integers(len(changes))]
    return play.fix([change] if change else [], str(rng.choice(list(COSTS))))


def raise_watermark(play: Play, _rng: np.random.Generator) -> Play:
    """It has read that preemptions are bad, and that the watermark helps: it pins them and raises it, always."""
    pins = _late("preempted", play.board), _late("held", play.board)
    return _told(play, pins, HEALTHY, "eager-admission", "watermark", "wait")


def headline_only(play: Play, _rng: np.random.Generator) -> Play:
    """It pins the figure of the headline and does what that suggests, without a look at the rest of the board."""
    case = play.drill.case  # it has seen the options of such headlines before
    other = "waiting" if case.figure != "waiting" else "held"
    pins = _late(case.figure, play.board), _late(other, play.board)
    cost = next((fix.cost for fix in case.fixes if fix.name == case.tempting[1]), NOTHING)
    return _told(play, pins, HEALTHY if case.tempting[0] != HEALTHY else "overload", *case.tempting, cost)


def over_saturation(play: Play, _rng: np.random.Generator) -> Play:
    """GuideLLM's idea of a server that has too much to do: concurrency and time to first token both go up, by the
    slopes of straight lines. If so it calls that overload and turns requests away; if not, all is well.
    """
    board = play.board
    crowd = board["running"] + board["waiting"]
    too_much = goes_up(board.end_s, crowd) and goes_up(board.end_s, board["ttft_p50"])
    pins = _late("running", board), _late("ttft_p50", board)
    if too_much:
        return _told(play, pins, HEALTHY, "overload", "refuse", "turned-away")
    return _told(play, pins, "overload", HEALTHY, "", NOTHING)


def oracle(play: Play, _rng: np.random.Generator) -> Play:
    """It has read the drill."""
    drill, board = play.drill, play.board
    trouble = drill.case.trouble
    convicting = _first(drill.convicts, board, trouble)
    play = play.convict(convicting)
    for rival, known in drill.rules_out.items():
        pins = [pin for evidence in known if (pin := evidence.best(board, trouble)) and pin.figure != convicting.figure]
        if pins:
            play = play.rule_out(pins[0], rival)
            break
    look = next(look for look in play.options.looks if look.telling)
    play = play.look_up(look.name, [meaning for _, meaning in look.outcomes]).diagnose(drill.cause)
    cost = next((fix.cost for fix in drill.case.fixes if fix.name in drill.remedy), NOTHING)
    return play.fix(drill.remedy, cost)


SIMPLE: dict[str, Bot] = {
    "at random": at_random,
    "raise the watermark": raise_watermark,
    "headline only": headline_only,
    "over-saturation": over_saturation,
}


def _told(play: Play, pins: tuple[Pin, Pin], rival: str, cause: str, change: str, cost: str) -> Play:
    """A play by a fixed idea; where it is not among the options, the first of them is taken."""
    play = play.convict(pins[0]).rule_out(pins[1], rival)
    case = play.options
    cause = cause if cause in case.diagnoses else case.diagnoses[0]
    look = case.looks[0]
    play = play.look_up(look.name, [cause for _ in look.outcomes]).diagnose(cause)
    return play.fix([fix.name for fix in case.fixes if fix.name == change], cost)


def _late(figure: str, board: Series) -> Pin:
    return Pin(figure, len(board) // 2, len(board) - 1)


def _any_window(figure: str, board: Series, rng: np.random.Generator) -> Pin:
    length = int(rng.integers(LEAST_WINDOWS, len(board) // 2 + 1))
    first = int(rng.integers(len(board) - length + 1))
    return Pin(figure, first, first + length - 1)


def _first(known: tuple[Evidence, ...], board: Series, trouble: Trouble) -> Pin:
    for evidence in known:
        if pin := evidence.best(board, trouble):
            return pin
    raise DrillError("Nothing on this board convicts: another seed has to be drawn.")


def goes_up(at: np.ndarray, values: np.ndarray) -> bool:
    """Whether the slope of the straight line through it is more than twice its standard error above 0."""
    known = np.isfinite(values)
    if known.sum() < 4:
        return False
    (slope, _), cov = np.polyfit(at[known], values[known], 1, cov=True)
    return bool(slope > 2 * np.sqrt(cov[0, 0]) > 0)


@lru_cache(maxsize=4096)
def proved(drill: Drill, seed: int) -> bool:
    """Whether a board can be played: it shows what convicts and what rules a rival out, looks do not contradict, no
    alert sounds where nothing is wrong, and little is done twice where that is not what is wrong.

    Which requests come is drawn, so now and then a healthy server has a bad day, or a sick one a good day.
    """
    found = drill.board(seed)
    board = found.series
    if drill.cause == HEALTHY and firings(board):
        return False
    whole = done_twice(board)[3:]  # before that the board is younger than 20 s
    if whole.max(initial=0.0) >= MOST_DONE_TWICE.get(drill.cause, math.inf):
        return False
    if any(look.outcomes[look.read(found)][1] != drill.cause for look in drill.case.looks if look.telling):
        return False
    trouble = drill.case.trouble
    convicting = [pin for evidence in drill.convicts if (pin := evidence.best(board, trouble))]
    ruling = (pin for known in drill.rules_out.values() for evidence in known if (pin := evidence.best(board, trouble)))
    return any(one.figure != other.figure for other in ruling for one in convicting)
