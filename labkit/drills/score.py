"""What a play is worth, of 100: evidence 30, look and prediction 15, diagnosis 20, fix 35. Each part says why."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import NamedTuple

from labkit.drills.drill import CAUSES, COSTS, HEALTHY, NOTHING, Drill, Goal, in_a_sentence, quoted
from labkit.drills.evidence import Evidence, Pin, figure_name
from labkit.drills.play import Play, Stage
from labkit.drills.refutations import ALONE, ASKED_ABOUT, NO_ACQUITTAL, UNTOLD, refutations, unjudged
from labkit.drills.world import run
from labkit.errors import DrillError
from labkit.words import listed, plural

HIDDEN_SEEDS = tuple(range(90_001, 90_011))
LONG_QUEUE = 20
"""Requests that wait, on average, and are told of after a fix that has left them."""
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
    return _evidence("what convicts", play, play.convicting, play.drill.convicts, "")


def _rules_out(play: Play) -> Part:
    assert play.ruling_out is not None
    name, pin, rival = "what it rules out", play.ruling_out, play.rival
    if rival == play.drill.cause:
        return Part(name, 0, 15, f"You ruled out what was the cause: {quoted(CAUSES[rival])}.")
    return _evidence(name, play, pin, refutations(play.drill, rival), rival)


def _evidence(name: str, play: Play, pin: Pin, known: tuple[Evidence, ...], rival: str) -> Part:
    """15 points for evidence, 5 for windows in which a figure that tells does not; `rival` is "" for what convicts."""
    board, trouble = play.board, play.drill.case.trouble
    same = [evidence for evidence in known if evidence.figure == pin.figure]
    judged = [evidence.nearly(board, pin, trouble) for evidence in same]
    for one in judged:
        if one.holds:
            return Part(name, 15, 15, one.why)
    other = play.convicting if rival else play.ruling_out
    assert other is not None
    instead = _instead(play, known, pin, other, rival)
    if judged:
        apart = UNTOLD.get((rival, pin.figure))
        more = f" Apart from that this figure cannot tell: {apart}." if apart else ""
        return Part(name, 5, 15, f"{judged[0].why}{more}{instead}")
    title = figure_name(pin.figure)
    if rival:
        says = f"Not judged: {title} cannot tell {quoted(CAUSES[rival])} from what is wrong here, because "
        return Part(name, 0, 15, f"{says}{unjudged(rival, pin.figure)}.{instead}")
    if play.drill.cause == HEALTHY:
        asked = pin.figure == play.drill.case.figure
        why = ASKED_ABOUT if asked else NO_ACQUITTAL.get(pin.figure, ALONE[pin.figure])
        return Part(name, 0, 15, f"Not judged: {title} does not acquit this server, because {why}.{instead}")
    why = ALONE[pin.figure]
    return Part(
        name, 0, 15, f"Not judged: {title} alone does not tell this cause from another, because {why}.{instead}"
    )


def _instead(play: Play, known: tuple[Evidence, ...], pin: Pin, other: Pin, rival: str) -> str:
    """Evidence that there is on a board, for who has pinned another: on the figure of this pin if that has any, and
    never on that of the other pin, which stands already.
    """
    board, trouble = play.board, play.drill.case.trouble
    free = [evidence for evidence in known if evidence.figure != other.figure]
    for evidence in sorted(free, key=lambda one: one.figure != pin.figure):
        if best := evidence.best(board, trouble):
            title, span = figure_name(best.figure), best.span(board)
            return f" What does show it: {title}, {span}. {evidence.told(trouble)}"
    if any(evidence.figure == other.figure and evidence.best(board, trouble) for evidence in known):
        better = "name a rival that another figure rules out" if rival else "pin it here, and another for a rival"
        return f" Only {figure_name(other.figure)} shows it, which is your other pin and counts once: {better}."
    return " No other figure of this board shows it either."


def _look(play: Play) -> Part:
    name, look = "next look and prediction", next(look for look in play.drill.case.looks if look.name == play.look)
    right = sum(meant == true for meant, (_, true) in zip(play.meanings, look.outcomes, strict=True))
    of = len(look.outcomes)
    meanings = [true for _, true in look.outcomes if true]
    told = listed(quoted(CAUSES[true]) for true in dict.fromkeys(meanings))
    if look.telling:
        points, says = 5 + 10 * right / of, f"The look tells {told} apart"
        if left := [cause for cause in play.drill.case.diagnoses if cause not in meanings]:
            says += f", and says nothing of the other {plural(len(left), 'diagnosis', 'diagnoses')}"
    elif meanings:
        points, says = 5 * right / of, f"The look tests {told} alone, and leaves all the others"
    else:
        points, says = 0.0, "Whatever that look says, you would know as much as before"
    says += f". You said of {right} of its {of} outcomes what it would mean."
    if right < of:
        right_ones = (
            f"{quoted(said)} means {quoted(CAUSES[true]) if true else 'none of them'}" for said, true in look.outcomes
        )
        says += f" {'; '.join(right_ones)}."
    return Part(name, points, 15, says)


def _diagnosis(play: Play) -> Part:
    cause = play.drill.cause
    if play.diagnosis == cause:
        return Part("diagnosis", 20, 20, f"Right: {quoted(CAUSES[cause])}.")
    return Part("diagnosis", 0, 20, f"It was {quoted(CAUSES[cause])}.")


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
        missed = f"The target ({drill.target}) was missed on too many of the hidden pairs of runs."
        notes = (fix.note for fix in drill.case.fixes if fix.name in chosen and fix.note)
        return Part("fix", 0, 35, " ".join([missed, *notes]))
    broken = [guard for guard in drill.guards if good_pairs(drill, chosen, (guard,)) < NEEDED]
    costs = set().union(*(fix.costs for fix in drill.case.fixes if fix.name in chosen))
    says = [f"The target ({drill.target}) was reached on {wins} of {len(HIDDEN_SEEDS)} hidden pairs of runs"]
    says.append(f"but not the guard {listed(map(str, broken))}" if broken else "the guards held")
    says.append(
        "you named the cost"
        if play.cost in costs
        else f"the cost was: {listed(in_a_sentence(COSTS[cost]) for cost in sorted(costs))}"
    )
    of_cost = (fix.also[1] for fix in drill.case.fixes if fix.name in chosen and fix.also and fix.also[0] == play.cost)
    told = " ".join([", ".join(says) + ".", *of_cost])
    return Part("fix", 20 + 10 * (not broken) + 5 * (play.cost in costs), 35, told + _left(play))


def _left(play: Play) -> str:
    """What the changes leave unmended: a queue that is long without them and with them."""
    worlds = play.drill.world, play.drill.fixed(play.fixes)
    before, after = (fmean(run(world, seed).measure("waiting") for seed in HIDDEN_SEEDS) for world in worlds)
    if after < LONG_QUEUE:
        return ""
    says = (
        f" What it leaves: in the second minute {after:.0f} requests wait on average, {before:.0f} without the change."
    )
    if before < after / 2:
        return f"{says} That is a queue of its own making."
    return f"{says} More comes than this server can serve, and that takes turning some away, or a second server."


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
