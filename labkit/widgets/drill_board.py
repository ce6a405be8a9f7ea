"""DrillBoard: one play of a drill, from the first pin to what was done about the real one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import traitlets

from labkit.drills import course
from labkit.drills.board import board_lines
from labkit.drills.bots import oracle
from labkit.drills.catalog import DRILLS, drill
from labkit.drills.drill import CAUSES, COSTS, Drill
from labkit.drills.evidence import LEAST_WINDOWS, Pin, figure_name, shown
from labkit.drills.pairs import compared
from labkit.drills.play import MOST_CHANGES, Play, Stage
from labkit.drills.record import Record
from labkit.drills.score import HIDDEN_SEEDS, score
from labkit.drills.world import run
from labkit.errors import DrillError, LabkitError
from labkit.grading.progress import Progress
from labkit.widgets.drill_panels import DRILL_PANELS
from labkit.widgets.storm_board import StormBoard

BUDGET_S = 600
"""The error budget: as many requests as come to the server in so long."""
NO_KERNEL_TRIED = "The trial was interrupted: make the change again."


class DrillBoard(StormBoard):
    """A server that somebody else runs, and what is wrong with it: evidence, look, diagnosis, change, score.

    The page sends moves; `labkit.drills.play` takes or refuses them. What is not to be seen yet (options, what a look
    says, the drill's name) is not in the page either.

    Args:
        name: of the drill; left out, one by chance, without its name.
        seed: of its numbers, and without a name of the drill as well; left out, the learner's own.
        endless: one drill after the other: those of lesson 19 in an order of the learner's own, then by chance.
        progress: where best runs are kept; left out, this machine's.

    Raises:
        DrillError: no such drill or seed, or an endless board of one drill.
    """

    _name: ClassVar[str] = "drill_board"

    state = traitlets.Dict({}).tag(sync=True)  # all that is shown beside the board; see `_told`
    fixed = traitlets.Bytes(b"").tag(sync=True)  # the windows of the same requests with the changes, as `rows`

    def __init__(
        self,
        name: str | None = None,
        *,
        seed: int | None = None,
        endless: bool = False,
        progress: Progress | None = None,
    ) -> None:
        if endless and not (name is None and seed is None):
            raise DrillError("An endless board draws drills and numbers itself: leave out name and seed, or `endless`.")
        self._record = Record(progress)
        self._labelled, self._endless = name is not None, endless
        self._learner = self._record.seed()
        start = self._learner % course.SEEDS if seed is None else seed
        if name is not None:
            found = drill(name)
        elif endless:
            found = course.following(self._learner, self._record.played())
            start = course.seed_that_draws(found, start)
        else:
            found = course.drawn(start)
        self._set(found, start)
        super().__init__(self.play.board, "Drill", rules=(), panels=DRILL_PANELS)
        self._tell()

    def _set(self, found: Drill, seed: int) -> None:
        """A new play. `seed` is what draws it, `play.seed` the one of its numbers."""
        self._shared, self.play = seed, Play(found, course.playable(found, seed))
        self._past: list[Play] = []
        self._seen, self._hindsight = Stage.CONVICT, False
        self._began: float | None = None
        self._looked_s = 0.0
        self._debrief: dict[str, Any] = {}

    # ----- messages --------------------------------------------------------------------------------------------

    def handle(self, content: dict[str, Any], buffers: list[memoryview]) -> None:
        """`begin` (the page is looked at), `move`, `rewind`, `again` and `next`."""
        try:
            match content.get("type"):
                case "begin":
                    self._begin()
                    self._tell()
                case "move":
                    self._begin()
                    self.move(**{name: value for name, value in content.items() if name != "type"})
                case "rewind":
                    self._rewind()
                case "again":
                    self._after(self.play.drill, self._shared + 1)
                case "next":
                    self._next()
        except LabkitError as error:
            self._refuse(str(error))
        except KeyboardInterrupt:
            self._refuse(NO_KERNEL_TRIED)

    def _begin(self) -> None:
        """From now on somebody looks, until the play is over."""
        if self._began is None and self.play.stage is not Stage.DONE:
            self._began = time.monotonic()

    def _refuse(self, sentence: str) -> None:
        self.send({"type": "refused", "text": sentence})
        self._tell()

    def move(self, move: Any = None, **what: Any) -> None:
        """A move as the page makes it: "convict" (`figure`, `first`, `last`), "rule_out" (and `rival`), "look" (`look`,
        `meanings`), "diagnose" (`cause`), "fix" (`fixes`, `cost`).

        Raises:
            DrillError: it is none, or not next; nothing is changed then.
        """
        play = self._moved(move, what)
        if play.stage is Stage.DONE:
            # Nothing is changed before all of it is there: an interrupt leaves the play where it was.
            debrief, fixed = self._scored(play)
            self._looked_s, self._began = self._seconds(), None
            with self.hold_sync():
                self.play, self.fixed, self._debrief = play, fixed, debrief
                self._tell()
            return
        self._past, self.play = [*self._past, self.play], play
        self._seen = max(self._seen, play.stage)
        self._tell()

    def _moved(self, move: Any, content: Mapping[str, Any]) -> Play:
        play = self.play
        match move:
            case "convict":
                return play.convict(_pin(content))
            case "rule_out":
                return play.rule_out(_pin(content), str(content.get("rival")))
            case "look":
                meanings = content.get("meanings")
                if not isinstance(meanings, list):
                    raise DrillError("A look comes with what each of its outcomes would mean: say so of each.")
                return play.look_up(str(content.get("look")), [None if m is None else str(m) for m in meanings])
            case "diagnose":
                return play.diagnose(str(content.get("cause")))
            case "fix":
                fixes = content.get("fixes")
                if not isinstance(fixes, list):
                    raise DrillError("Changes come as a list of their names: an empty one for no change.")
                return play.fix([str(name) for name in fixes], str(content.get("cost")))
        raise DrillError(f"{move!r:.40} is no move: pin, look, diagnose or change.")

    def _rewind(self) -> None:
        if self.play.stage is Stage.DONE:
            raise DrillError("The score has been told, and nothing is taken back after it: play again.")
        if not self._past:
            raise DrillError("Nothing has been done yet that could be taken back: make the first move.")
        *self._past, self.play = self._past
        # Evidence that is given anew after the options, or a look after its outcome, is no prediction any more.
        self._hindsight |= self.play.stage <= Stage.LOOK and self._seen > max(self.play.stage, Stage.RULE_OUT)
        self._tell()

    def _next(self) -> None:
        if not self._endless:
            raise DrillError("This board has one drill: make an endless one for the next.")
        found = course.following(self._learner, self._record.played(), self.play.drill)
        self._after(found, course.seed_that_draws(found, self._shared + 1))

    def _after(self, found: Drill, seed: int) -> None:
        """Another play on the same board."""
        if self.play.stage is not Stage.DONE:
            raise DrillError("The play is not over: make the remaining moves first.")
        self._set(found, seed)
        with self.hold_sync():
            self.fixed = b""
            self._show(self.play.board)
            self._tell()

    # ----- what is shown ---------------------------------------------------------------------------------------

    def _seconds(self) -> float:
        """For how long it has been looked at."""
        return self._looked_s if self._began is None else self._looked_s + time.monotonic() - self._began

    def _tell(self) -> None:
        play = self.play
        board = play.board
        known = self._record.played()
        best = known.get(play.drill.name) if self._labelled or self._debrief else None
        self.state = {
            "stage": int(play.stage),
            "headline": play.headline,
            "name": play.drill.name if self._labelled or self._debrief else "",
            "share": f"DrillBoard({f'{play.drill.name!r}, ' if self._labelled else ''}seed={self._shared})",
            "figures": {name: figure_name(name) for name in shown(board) if name in self._columns},
            "least": LEAST_WINDOWS,
            "causes": CAUSES,
            "pins": [list(pin) for pin in (play.convicting, play.ruling_out) if pin is not None],
            "options": None if play.stage < Stage.LOOK else _options(play),
            "moves": {
                "rival": play.rival,
                "look": play.look,
                "meanings": list(play.meanings),
                "outcome": play.outcome if play.look else "",
                "cause": play.diagnosis,
                "fixes": list(play.fixes),
                "cost": play.cost,
            },
            "rewind": bool(self._past) and play.stage is not Stage.DONE,
            "hindsight": self._hindsight,
            "looked_s": self._seconds(),
            "looking": self._began is not None,
            "per_s": float(np.nanmean(board["arrived"])),
            "budget_s": BUDGET_S,
            "debrief": self._debrief,
            "ghost": best and dict(best.best),
            "endless": self._endless,
            "drills": [sum(one.lesson == course.UNLABELLED for one in DRILLS.values()), len(DRILLS)],
            "played": [
                {"name": name, "plays": kept.plays, "points": kept.best["points"]} for name, kept in known.items()
            ]
            if self._endless
            else [],
            "trouble": self._record.trouble,
        }

    def _scored(self, play: Play) -> tuple[dict[str, Any], bytes]:
        """All that is told after the score, and the windows after the changes; keeps the play."""
        known = self._record.played().get(play.drill.name)
        pairs = compared(play, lambda number: self.send({"type": "tried", "pairs": number}))
        got, found = score(play), play.drill
        at_risk = round(self._seconds() * float(np.nanmean(play.board["arrived"])))
        if not self._hindsight:
            self._record.keep(play, got, at_risk)
        par = oracle(Play(found, play.seed), np.random.default_rng(0))
        incident = found.incident
        debrief = {
            "points": got.points,
            "at_risk": at_risk,
            "parts": [part._asdict() for part in got.parts],
            "cause": CAUSES[found.cause],
            "pairs": [pair._asdict() for pair in pairs],
            "hidden": len(HIDDEN_SEEDS),
            "par": {
                "pins": [list(pin) for pin in (par.convicting, par.ruling_out) if pin is not None],
                "rival": CAUSES[par.rival],
                "look": next(look.what for look in found.case.looks if look.name == par.look),
                "fixes": [fix.title for fix in found.case.fixes if fix.name in par.fixes],
            },
            "before": known and dict(known.best),
            "incident": {"name": incident.name, "link": incident.link, "told": incident.told, "done": incident.done},
        }
        return debrief, self._packed(run(found.fixed(play.fixes), play.seed).series) if play.fixes else b""

    # ----- what is shown where no page runs --------------------------------------------------------------------

    def summary(self) -> str:
        return f"DrillBoard({self.state['headline']})"

    def text_form(self) -> str:
        return "\n".join([self.summary(), *board_lines(self.play.board)])


def _pin(content: Mapping[str, Any]) -> Pin:
    pin = Pin(*(content.get(name) for name in Pin._fields))  # type: ignore[arg-type]
    if not isinstance(pin.figure, str) or type(pin.first) is not int or type(pin.last) is not int:
        raise DrillError("A pin is the name of a figure and two whole numbers of windows: choose both on the board.")
    return pin


def _options(play: Play) -> dict[str, Any]:
    """Looks with their outcomes, diagnoses, changes and what they can cost; nothing of what is right."""
    case = play.options
    return {
        "looks": [
            {"name": look.name, "what": look.what, "outcomes": [says for says, _ in look.outcomes]}
            for look in case.looks
        ],
        "diagnoses": list(case.diagnoses),
        "fixes": [{"name": fix.name, "title": fix.title} for fix in case.fixes],
        "costs": COSTS,
        "most": MOST_CHANGES,
    }
