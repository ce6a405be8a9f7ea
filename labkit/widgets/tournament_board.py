"""TournamentBoard: hit rate and regret of eviction policies against capacity, computed as the learner asks for them."""

from __future__ import annotations

import ctypes
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import traitlets

from labkit.errors import BoardError, LabkitError
from labkit.widgets.base import LabWidget
from labkit.widgets.tournament_results import (
    MOST_CAPACITIES,
    MOST_POLICIES,
    Score,
    percent,
    read_results,
    sentence,
    shown_capacities,
    standings,
)

Compute = Callable[[str, list[int]], Mapping[str, Mapping[str, Any]]]
BATCH_SECONDS = 0.4
"""A call of `compute` is given as many capacities as take about this long, so that curves grow before one's eyes."""


NOTHING_YET = {
    "for": {},
    "range": [1, 1],
    **{name: [] for name in ("capacities", "policies", "tables", "sentences", "refused")},
    "done": 0,
    "total": 0,
    "problem": "",
}
"""The answer before the first one, for a page that draws in between."""


class TournamentBoard(LabWidget):
    """Two panels of one size: hit rate against capacity, and regret against capacity, one curve per policy.

    Both are shares of the blocks asked for. Under the bound's curve regret is shaded: only more memory moves that part.

    The learner chooses the trace, the smallest and the largest capacity, and moves a cursor over the capacities; a
    table and a sentence say how the policies stand there. The board knows no policy. It asks `compute` for what it has
    not asked before, and keeps the answers.

    Args:
        compute: `compute(trace_name, capacities)` gives, by policy name, {"hit_rate": [...], "evictions": [...],
            "regret": [...]} with one number per capacity: share of the blocks asked for that hit, cached blocks
            evicted, and share of the blocks asked for that had been evicted before. {"refused": reason} stands in for
            a policy that may not take part. What it raises is shown as a sentence.
        traces: one line about each trace, by name. The first is shown at first unless `trace` names another.
        capacities: blocks, from which the ends of the range are chosen; at most 12.
        mine: name of the learner's own policy, drawn in the accent and dashed; None where there is none.
        bound: name of the curve that no policy can pass.
        points: capacities drawn in a range; between few offered ones more are put.
        cursor: the capacity at which the table opens; by default the middle one.
        title, subtitle: what stands above the picture.

    Raises:
        BoardError: no trace, no capacity, or a trace or capacity that is not offered.
    """

    _name: ClassVar[str] = "tournament_board"

    traces = traitlets.Dict({}).tag(sync=True)
    offered = traitlets.List([]).tag(sync=True)
    choice = traitlets.Dict({}).tag(sync=True)
    cursor = traitlets.Int(0).tag(sync=True)
    answer = traitlets.Dict({}).tag(sync=True)
    mine = traitlets.Unicode("").tag(sync=True)
    bound = traitlets.Unicode("").tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    subtitle = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        compute: Compute,
        traces: Mapping[str, str],
        capacities: Sequence[int],
        mine: str | None = None,
        bound: str = "Belady",
        trace: str | None = None,
        points: int = 9,
        cursor: int | None = None,
        title: str = "Eviction tournament",
        subtitle: str = "",
    ) -> None:
        if not traces:
            raise BoardError("There is no trace to replay; give `traces` at least one name with a line about it.")
        trace = next(iter(traces)) if trace is None else trace
        if trace not in traces:
            raise BoardError(f"There is no trace {trace!r}; choose one of {', '.join(traces)}.")
        offered = sorted(set(capacities))
        wrong = [c for c in offered if not isinstance(c, int) or isinstance(c, bool) or c < 1]
        if wrong or not 1 <= len(offered) <= MOST_CAPACITIES:
            what = f"{wrong[0]!r} is among them" if wrong else f"there are {len(offered)}"
            raise BoardError(f"capacities should be 1 to {MOST_CAPACITIES} different counts of blocks, but {what}.")
        self._compute = compute
        self._points = max(2, min(points, MOST_CAPACITIES))
        self._scores: dict[str, dict[str, dict[int, Score]]] = {}
        self._refused: dict[str, dict[str, str]] = {}
        self._looks: dict[str, int] = {}
        # A choice made in the page is computed in a thread, so that the page can change its mind or stop it meanwhile.
        self._lock = threading.RLock()
        self._worker: threading.Thread | None = None
        self._turn = 0
        self._asking: tuple[int, int] | None = None  # (turn, thread) of the call of `compute` that is under way
        self._stop = self._from_page = self._ready = False
        super().__init__(
            traces=dict(traces),
            offered=offered,
            choice={"trace": trace, "low": offered[0], "high": offered[-1]},
            answer=NOTHING_YET,
            cursor=0,
            mine=mine or "",
            bound=bound,
            title=title,
            subtitle=subtitle,
        )
        self._ready = True
        shown = self.shown()
        self.cursor = shown[len(shown) // 2] if cursor is None else cursor
        self._update()

    # What the learner's choice leads to.

    def shown(self) -> list[int]:
        """The capacities of the range that is chosen, in blocks, ascending."""
        return shown_capacities(self.offered, self.choice["low"], self.choice["high"], self._points)

    @traitlets.observe("choice")
    def _changed(self, change: dict[str, Any]) -> None:
        if self._from_page:
            self._begin()
        elif self._ready:
            self._update()

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """A change that comes from the page."""
        self._from_page = True
        try:
            super().set_state(sync_data)
        finally:
            self._from_page = False

    @traitlets.validate("choice")
    def _checked(self, proposal: dict[str, Any]) -> dict[str, Any]:
        choice = proposal["value"]
        if choice.get("trace") not in self.traces:
            raise traitlets.TraitError(f"there is no trace {choice.get('trace')!r}")
        low, high = choice.get("low"), choice.get("high")
        if low not in self.offered or high not in self.offered or low > high:
            raise traitlets.TraitError(f"{low!r} to {high!r} is no range of the capacities offered")
        return choice

    def handle(self, content: dict[str, Any], buffers: list[memoryview]) -> None:
        if content.get("type") == "again":
            self._begin()
        elif content.get("type") == "stop":
            self.stop()

    def stop(self) -> None:
        """Break off the replay that the page waits for; one that is written in Python stops within a line of it."""
        asking = self._asking
        if asking is None:
            return
        turn, ident = asking
        # Where the page has chosen anew meanwhile, only the replay of the old choice stops, and the new one begins.
        self._stop = turn == self._turn
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(KeyboardInterrupt))

    def wait(self, seconds: float | None = None) -> None:
        """Wait until what the page has chosen is computed."""
        if self._worker is not None:
            self._worker.join(seconds)

    def _begin(self) -> None:
        self._turn += 1
        self._stop = False
        self._worker = threading.Thread(target=self._work, args=(self._turn,), daemon=True)
        self._worker.start()

    def _work(self, turn: int) -> None:
        try:
            self._update(turn)
        except KeyboardInterrupt:  # it came just after the call that it was meant for
            if turn == self._turn:
                self.answer = self._answer(self.shown(), problem=self._stopped())

    def _stopped(self) -> str:
        return f"The replay of {self.choice['trace']} was interrupted; what was computed before is shown."

    def _update(self, turn: int | None = None) -> None:
        """Compute what the choice needs and is not known yet, and tell the page as it grows.

        `turn` numbers the choices of the page: a later one takes the place of an earlier one that still computes.
        """
        if turn is None:
            self._turn += 1
            turn, self._stop = self._turn, False
        with self._lock:
            trace, shown = self.choice["trace"], self.shown()
            known = self._scores.setdefault(trace, {})
            missing = [c for c in shown if c not in known.get(self.bound, {})]
            total, size = len(missing), 1
            while missing and turn == self._turn:
                self.answer = self._answer(shown, done=total - len(missing), total=total)
                batch = missing[:size]
                began = time.monotonic()
                problem = self._stopped() if self._stop else self._ask(trace, batch, turn)
                if turn != self._turn:
                    break
                if problem:
                    self.answer = self._answer(shown, problem=problem)
                    return
                missing = missing[size:]
                size = max(1, min(2 * size, int(size * BATCH_SECONDS / max(1e-3, time.monotonic() - began))))
            if turn == self._turn:
                self.answer = self._answer(shown)

    def _ask(self, trace: str, capacities: list[int], turn: int) -> str:
        """One call of `compute`, its results kept; the sentence that says what went wrong, or ''."""
        try:
            self._asking = (turn, threading.get_ident())
            try:
                results = self._compute(trace, list(capacities))
            finally:
                self._asking = None
            scores, refused = read_results(results, capacities, self.bound)
            known = self._scores[trace]
            names = set(known) | set(self._refused.get(trace, {}))
            if names and names != set(scores) | set(refused):
                raise BoardError(
                    f"compute gave {', '.join([*scores, *refused])} now and {', '.join(sorted(names))} before; "
                    "the same policies should take part at every capacity of a trace."
                )
        except LabkitError as error:
            return str(error)
        except KeyboardInterrupt:
            return self._stopped()
        except Exception as error:  # whatever a policy does wrong is told in the page, where the learner looks
            words = str(error).strip().rstrip(".")
            return f"The replay of {trace} stopped with {type(error).__name__}{': ' if words else ''}{words}."
        for name, column in scores.items():
            known.setdefault(name, {}).update(zip(capacities, column, strict=True))
        self._refused.setdefault(trace, {}).update(refused)
        for name in [*scores, *refused]:
            if name not in (self.mine, self.bound) and name not in self._looks:
                self._looks[name] = len(self._looks)
        return ""

    def _answer(self, shown: list[int], done: int = 0, total: int = 0, problem: str = "") -> dict[str, Any]:
        """All that the page draws and says, for what is known so far. `for` repeats the choice it answers."""
        trace = self.choice["trace"]
        refused = self._refused.get(trace, {})
        # A policy that was refused at one capacity takes no part at the others either.
        curves = {name: known for name, known in self._scores[trace].items() if name not in refused}
        known = [c for c in shown if c in curves.get(self.bound, {})]
        tables = [standings({name: curve[c] for name, curve in curves.items()}, self.bound) for c in known]
        return {
            "for": dict(self.choice),
            "range": [shown[0], shown[-1]],
            "capacities": known,
            "policies": [
                {
                    "name": name,
                    "role": "bound" if name == self.bound else "mine" if name == self.mine else "",
                    "look": self._looks.get(name, 0),
                    "hit_rate": [curve[c].hit_rate for c in known],
                    "regret": [curve[c].regret for c in known],
                }
                for name, curve in curves.items()
            ],
            "tables": tables,
            "sentences": [
                sentence(c, rows, self.mine or None, self.bound) for c, rows in zip(known, tables, strict=True)
            ],
            "refused": [{"name": name, "reason": reason} for name, reason in refused.items()],
            "done": done,
            "total": total,
            "problem": problem,
        }

    # What is shown where no page runs.

    def at(self) -> int | None:
        """Index into `answer["capacities"]` of the one nearest to the cursor, by ratio; None where there is none."""
        known = self.answer["capacities"]
        if not known:
            return None
        return min(range(len(known)), key=lambda i: (abs(math.log(known[i] / max(1, self.cursor))), i))

    def summary(self) -> str:
        index, trace = self.at(), self.choice["trace"]
        if index is None:
            return f"TournamentBoard({trace}: {self.answer['problem'] or 'nothing computed'})"
        known = self.answer["capacities"]
        rows = "; ".join(f"{r['name']} {percent(r['hit_rate'])}" for r in self.answer["tables"][index])
        sizes = "1 capacity" if len(known) == 1 else f"{len(known)} capacities"
        problem = f"; {self.answer['problem']}" if self.answer["problem"] else ""
        return f"TournamentBoard({trace}, {sizes}; hit rate at {known[index]:,} blocks: {rows}{problem})"


__all__ = ["MOST_CAPACITIES", "MOST_POLICIES", "TournamentBoard"]
