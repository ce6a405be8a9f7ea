"""One play of a drill, as a value: each move gives a new one, and what does not come in order is refused.

Evidence comes first, while nobody has seen an option; then the look, with what each of its outcomes would mean, before
its outcome is told; then the diagnosis; then the fix and its cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeVar

import numpy as np

from labkit.drills.drill import CAUSES, COSTS, Case, Drill, Look
from labkit.drills.evidence import Pin, figure_name
from labkit.errors import DrillError
from labkit.observe.series import Series
from labkit.words import listed

MOST_CHANGES = 3
LOOKS = 3
"""So many looks are shown of those that a case has."""
T = TypeVar("T")


class Stage(IntEnum):
    """What is asked next."""

    CONVICT = 0
    RULE_OUT = 1
    LOOK = 2
    DIAGNOSE = 3
    FIX = 4
    DONE = 5


@dataclass(frozen=True)
class Play:
    """Where a play is.

    Attributes:
        drill, seed: what is played. Whoever shows a play shows `board`, `headline` and, once they are, `options`.
        convicting: the pin that convicts.
        ruling_out, rival: the pin that rules a rival out.
        look: what was looked up, and meanings: what each of its outcomes would mean, a diagnosis or None.
        diagnosis: what is wrong.
        fixes: what is changed, and cost: what that costs.
    """

    drill: Drill
    seed: int
    stage: Stage = Stage.CONVICT
    convicting: Pin | None = None
    ruling_out: Pin | None = None
    rival: str = ""
    look: str = ""
    meanings: tuple[str | None, ...] = ()
    diagnosis: str = ""
    fixes: tuple[str, ...] = ()
    cost: str = ""

    @property
    def board(self) -> Series:
        """All there is to see at first."""
        return self.drill.board(self.seed).series

    @property
    def headline(self) -> str:
        """What somebody says of it."""
        return self.drill.case.told(self.board)

    @property
    def options(self) -> Case:
        """Looks, diagnoses and fixes, in an order that the seed draws: no place among them tells anything.

        Raises:
            DrillError: the evidence is not all in.
        """
        if self.stage < Stage.LOOK:
            raise DrillError("The options are shown after the evidence: pin what convicts and what rules a rival out.")
        case, numbers = self.drill.case, np.random.default_rng([self.seed, LOOKS])
        others = _shuffled([look for look in case.looks if not look.telling], numbers)
        looks = [*(look for look in case.looks if look.telling), *others][:LOOKS]
        return replace(
            case,
            looks=tuple(_shuffled(looks, numbers)),
            diagnoses=tuple(_shuffled(case.diagnoses, numbers)),
            fixes=tuple(_shuffled(case.fixes, numbers)),
        )

    def convict(self, pin: Pin) -> Play:
        """The first move: the pin that convicts.

        Raises:
            DrillError: in this and all moves, it is not their turn, or they name what there is not.
        """
        self._now(Stage.CONVICT)
        return replace(self, stage=Stage.RULE_OUT, convicting=pin.checked(self.board))

    def rule_out(self, pin: Pin, rival: str) -> Play:
        """The second: a pin on another figure, and the cause that it rules out, one of `CAUSES`."""
        self._now(Stage.RULE_OUT)
        _one_of(rival, CAUSES, "a rival")
        assert self.convicting is not None
        if pin.figure == self.convicting.figure:
            raise DrillError(
                f"{figure_name(pin.figure)}: that is pinned already, and what rules a rival out is another figure."
            )
        return replace(self, stage=Stage.LOOK, ruling_out=pin.checked(self.board), rival=rival)

    def look_up(self, name: str, meanings: Iterable[str | None]) -> Play:
        """The third: what to look up, and what each of its outcomes would mean, None for nothing at all."""
        self._now(Stage.LOOK)
        look, meant = self._look(name), tuple(meanings)
        if len(meant) != len(look.outcomes):
            raise DrillError(f"{name} has {len(look.outcomes)} outcomes: say of each what it would mean.")
        for meaning in meant:
            if meaning is not None:
                _one_of(meaning, self.options.diagnoses, "a diagnosis")
        return replace(self, stage=Stage.DIAGNOSE, look=name, meanings=meant)

    @property
    def outcome(self) -> str:
        """What was looked up says.

        Raises:
            DrillError: nothing was yet.
        """
        if not self.look:
            raise DrillError("Nothing has been looked up yet: choose a look.")
        look = self._look(self.look)
        return look.outcomes[look.read(self.drill.board(self.seed))][0]

    def diagnose(self, cause: str) -> Play:
        """The fourth: what is wrong."""
        self._now(Stage.DIAGNOSE)
        _one_of(cause, self.options.diagnoses, "a diagnosis")
        return replace(self, stage=Stage.FIX, diagnosis=cause)

    def fix(self, names: Iterable[str], cost: str) -> Play:
        """The last: up to three changes, none where nothing is wrong, and what they cost, one of `COSTS`."""
        self._now(Stage.FIX)
        chosen = tuple(dict.fromkeys(names))
        for name in chosen:
            _one_of(name, [fix.name for fix in self.options.fixes], "a change")
        _one_of(cost, COSTS, "a cost")
        if len(chosen) > MOST_CHANGES:
            raise DrillError(f"{len(chosen)} changes at once are too many to learn from: make {MOST_CHANGES} at most.")
        return replace(self, stage=Stage.DONE, fixes=chosen, cost=cost)

    def _now(self, stage: Stage) -> None:
        if self.stage is not stage:
            raise DrillError(f"That move is not next: the play is at {self.stage.name.lower().replace('_', ' ')}.")

    def _look(self, name: str) -> Look:
        _one_of(name, [look.name for look in self.options.looks], "a look")
        return next(look for look in self.options.looks if look.name == name)


def _shuffled(options: Sequence[T], numbers: np.random.Generator) -> list[T]:
    return [options[at] for at in numbers.permutation(len(options))]


def _one_of(name: str, known: Iterable[str], what: str) -> None:
    if name not in (names := list(known)):
        raise DrillError(f"{name!r:.60} is not {what} here: choose {listed(names).replace(' and ', ' or ')}.")
