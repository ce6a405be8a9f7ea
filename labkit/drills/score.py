"""What a play is worth, of 100: evidence 30, look and prediction 15, diagnosis 20, fix 35. Each part says why."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from labkit.drills.drill import CAUSES, COSTS, HEALTHY, NOTHING, Drill, Goal, figure_name, in_a_sentence
from labkit.drills.evidence import Evidence, Pin
from labkit.drills.play import Play, Stage
from labkit.drills.refutations import refutations
from labkit.drills.world import run
from labkit.errors import DrillError
from labkit.observe.series import Series
from labkit.words import listed

HIDDEN_SEEDS = tuple(range(90_001, 90_011))
CAUSE = "the cause"
NEEDED = 9
"""Of the pairs of hidden runs, how many a fix must be good on."""


class Part(NamedTuple):
    """A part of the score: points of how many, and the sentence to it."""

    name: str
    points: float
    of: int
    says: str


@dataclass(frozen=True)
class Score:
    """All parts of it, in order."""

    parts: tuple[Part, ...]

    @property
    def points(self) -> float:
        """Of 100."""
        return sum(part.points for part in self.parts)


def score(play: Play) -> Score:
    """The score of a play that is done.

    Raises:
        DrillError: it is not.
    """
    if play.stage is not Stage.DONE:
        raise DrillError("The play is not over, and only then has a score: make the remaining moves.")
    return Score((_convicts(play), _rules_out(play), _look(play), _diagnosis(play), _fix(play)))


def _convicts(play: Play) -> Part:
    assert play.convicting is not None
    return _evidence("what convicts", play, play.convicting, play.drill.convicts, CAUSE)


def _rules_out(play: Play) -> Part:
    assert play.ruling_out is not None
    rival = CAUSES[play.rival]
    if play.rival == play.drill.cause:
        return Part("what it rules out", 0, 15, "You ruled out what was the cause.")
    known = refutations(play.drill, play.rival)
    return _evidence("what it rules out", play, play.ruling_out, known, f'the rival "{rival}"')


def _evidence(name: str, play: Play, pin: Pin, known: tuple[Evidence, ...], of: str) -> Part:
    title, board = figure_name(pin.figure), play.board
    for evidence in known:
        if evidence.nearly_holds(board, pin):
            return Part(name, 15, 15, evidence.because)
    if same := tuple(evidence for evidence in known if evidence.figure == pin.figure):
        says = f"The figure ({title}) tells of {of}, and these windows of it do not show it."
        return Part(name, 5, 15, f"{says}{_instead(board, same)}")
    says = (
        f"This drill knows nothing of the figure ({title}) against {of}."
        if of != CAUSE
        else f"The figure ({title}) alone does not tell this cause from another."
    )
    return Part(name, 0, 15, f"{says}{_instead(board, known)}")


def _instead(board: Series, known: tuple[Evidence, ...]) -> str:
    """Evidence that there is on a board, for who has pinned another."""
    for evidence in known:
        if pin := evidence.best(board):
            title = figure_name(pin.figure)
            return f" What does show it: {title}, windows {pin.first} to {pin.last}. {evidence.because}"
    return ""


def _look(play: Play) -> Part:
    name, look = "next look and prediction", next(look for look in play.options.looks if look.name == play.look)
    if not look.useful:
        return Part(name, 0, 15, "Whatever that look says, you would know as much as before.")
    right = sum(meant == true for meant, (_, true) in zip(play.meanings, look.outcomes, strict=True))
    of = len(look.outcomes)
    says = f"The look tells the rivals apart, and you said of {right} of its {of} outcomes what it would mean."
    if right < of:
        right_ones = (
            f"“{said}” means: {in_a_sentence(CAUSES[true]) if true else 'nothing'}" for said, true in look.outcomes
        )
        says += f" {'; '.join(right_ones)}."
    return Part(name, 5 + 10 * right / of, 15, says)


def _diagnosis(play: Play) -> Part:
    cause = play.drill.cause
    if play.diagnosis == cause:
        return Part("diagnosis", 20, 20, f"{CAUSES[cause]}: right.")
    return Part("diagnosis", 0, 20, f"It was this: {in_a_sentence(CAUSES[cause])}.")


def _fix(play: Play) -> Part:
    """20 points for the target, 10 for the guards, 5 for naming the cost."""
    drill, chosen = play.drill, play.fixes
    if drill.cause == HEALTHY or not chosen:
        if drill.cause != HEALTHY:
            return Part("fix", 0, 35, "Nothing was changed, and it goes on as before.")
        if chosen:
            return Part("fix", 0, 35, "Nothing was wrong: the change has a cost and buys nothing.")
        named = play.cost == NOTHING
        return Part("fix", 30 + 5 * named, 35, "Nothing was wrong, and you left it alone.")
    assert drill.target is not None
    wins = good_pairs(drill, chosen, (drill.target,))
    if wins < NEEDED:
        return Part("fix", 0, 35, f"The target ({drill.target}) was missed on too many of the hidden pairs of runs.")
    broken = [guard for guard in drill.guards if good_pairs(drill, chosen, (guard,)) < NEEDED]
    costs = {fix.cost for fix in drill.case.fixes if fix.name in chosen}
    says = [f"The target ({drill.target}) was reached on {wins} of {len(HIDDEN_SEEDS)} hidden pairs of runs"]
    says.append(f"but not the guard {listed(map(str, broken))}" if broken else "the guards held")
    says.append(
        "you named the cost"
        if play.cost in costs
        else f"the cost was: {listed(in_a_sentence(COSTS[cost]) for cost in sorted(costs))}"
    )
    return Part("fix", 20 + 10 * (not broken) + 5 * (play.cost in costs), 35, ", ".join(says) + ".")


@lru_cache(maxsize=4096)
def good_pairs(drill: Drill, fixes: tuple[str, ...], goals: tuple[Goal, ...]) -> int:
    """On how many of the hidden pairs, a run with the fixes beside one without, all goals are met.

    Counting ends when too many have missed: what is returned is then less than `NEEDED`, and no more is known.
    """
    world, good, missed = drill.fixed(fixes), 0, 0
    for seed in HIDDEN_SEEDS:
        unfixed = run(drill.world, seed)
        met = all(goal.met(run(world, seed), unfixed) for goal in goals)
        good, missed = good + met, missed + (not met)
        if missed > len(HIDDEN_SEEDS) - NEEDED:
            break
    return good
