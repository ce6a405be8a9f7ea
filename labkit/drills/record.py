"""What a learner has played: for each drill the best run, kept among the answers of the learner's progress."""

from __future__ import annotations

from typing import Any, NamedTuple, TypedDict

from labkit.drills.play import Play
from labkit.drills.score import Score
from labkit.errors import LabkitError
from labkit.grading.progress import DRILLS, Progress

GOOD = 80
"""Points from which a drill counts as solved."""


class Best(TypedDict):
    """The best run of a drill.

    Attributes:
        points: of 100, and parts: of each part in order.
        pins: [figure, first window, last window], the one that convicts first.
        changes: how many were made; at_risk: requests that came while it was looked at.
    """

    points: float
    parts: list[float]
    seed: int
    pins: list[list[Any]]
    changes: int
    at_risk: int


class Kept(NamedTuple):
    """How often a drill was played, and the best of it."""

    plays: int
    best: Best


class Record:
    """The plays of one learner. A progress that cannot be used is no reason not to play.

    Args:
        progress: where they are kept; left out, this machine's.

    Attributes:
        trouble: the sentence of the last thing that went wrong, "" for none.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress, self.trouble = progress or Progress(), ""

    def seed(self) -> int:
        """The learner's number; 0 where there is none to be had."""
        try:
            return self._progress.seed()
        except LabkitError as error:
            self.trouble = str(error)
            return 0

    def played(self) -> dict[str, Kept]:
        """By name of the drill."""
        try:
            answers = self._progress.answers(DRILLS)
        except LabkitError as error:
            self.trouble = str(error)
            return {}
        return {name: kept for name, row in answers.items() if (kept := _kept(row["answer"]))}

    def keep(self, play: Play, score: Score, at_risk: int) -> None:
        """Keep a play that is over, if it is not worse than the best one."""
        assert play.convicting is not None and play.ruling_out is not None
        run: Best = {
            "points": score.points,
            "parts": [part.points for part in score.parts],
            "seed": play.seed,
            "pins": [list(play.convicting), list(play.ruling_out)],
            "changes": len(play.fixes),
            "at_risk": at_risk,
        }
        before = self.played().get(play.drill.name)
        best = run if before is None or run["points"] >= before.best["points"] else before.best
        answer = {"plays": before.plays + 1 if before else 1, "best": best}
        try:
            self._progress.save_answer(
                DRILLS, play.drill.name, answer, best["points"] >= GOOD, min(1.0, best["points"] / 100)
            )
        except LabkitError as error:
            self.trouble = f"This play could not be kept: {error}"


def _kept(answer: Any) -> Kept | None:
    """What was kept, or None for something else: the file may come from somewhere else."""
    try:
        plays, best = answer["plays"], answer["best"]
        run: Best = {
            "points": float(best["points"]),
            "parts": [float(part) for part in best["parts"]],
            "seed": int(best["seed"]),
            "pins": [[str(figure), int(first), int(last)] for figure, first, last in best["pins"]],
            "changes": int(best["changes"]),
            "at_risk": int(best["at_risk"]),
        }
        return Kept(int(plays), run)
    except (TypeError, ValueError, KeyError):
        return None
