"""What a scheduler decided, request by request and step by step: who waited, who computed, who was preempted.

    timeline = Timeline()
    while scheduler.unfinished:
        step = scheduler.schedule()
        timeline.see(scheduler, step)
        scheduler.update(step, ...)

A cell says what one request did in one step. A request has no cell before it came and after it ended.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from labkit.scheduling.scheduler import Scheduler
    from labkit.scheduling.step import Step

CELL = np.dtype(
    [("step", "<u4"), ("row", "<u4"), ("tokens", "<u4"), ("doing", "u1"), ("flags", "u1"), ("again", "<u2")]
)
"""One cell, 16 bytes, little endian. `again` is how many of the tokens had been computed before, 65,535 at most."""


class Doing(IntEnum):
    """What a request does in a step."""

    WAITING = 0
    PREFILL = 1
    DECODE = 2
    PREEMPTED = 3  # it gave its memory up in this step
    IDLE = 4  # in memory, and nothing of it was computed: the budget was spent
    SWAPPED = 5  # it gave its memory up in this step, and what it has computed went to the host


BEGINS = 1
"""Flag: it was let in in this step; `CACHED` beside it: a part of it was found in the prefix cache."""
CACHED = 2
AGAIN = 4
"""Flag: what is computed had been computed before."""
RESTORED = 8
"""Flag: what it has computed came back from the host."""


class Timeline:
    """The cells of a run.

    Attributes:
        names: of the requests, in the order in which they came.
        budgets: for each step, the tokens that it might have computed.
    """

    def __init__(self) -> None:
        self.names: list[Hashable] = []
        self.budgets: list[int] = []
        self._rows: dict[Hashable, int] = {}
        self._cells: list[tuple[int, int, int, int, int, int]] = []

    def __len__(self) -> int:
        return len(self.budgets)

    def __repr__(self) -> str:
        return f"Timeline({len(self.names)} requests, {len(self)} steps)"

    def see(self, scheduler: Scheduler, step: Step) -> None:
        """Note a step that was planned and is not computed yet."""
        number = len(self.budgets)
        self.budgets.append(scheduler.budget)
        planned = dict(step.plan)
        for request in sorted([*scheduler.running, *scheduler.waiting], key=lambda request: request.arrival):
            n, flags, again = planned.get(request, 0), 0, 0
            if request in step.preempted:
                doing = Doing.SWAPPED if request.computed else Doing.PREEMPTED
            elif request in planned:
                doing = Doing.DECODE if request.decodes else Doing.PREFILL
                again = max(0, min(request.most_computed - request.computed, n, 65_535))
                flags = AGAIN * (again > 0)
                if request in step.admitted:
                    flags |= BEGINS | CACHED * bool(request.cached) | RESTORED * (request.computed > request.cached)
            else:
                doing = Doing.IDLE if request in scheduler.running else Doing.WAITING
            self._cells.append((number, self._row(request.id), n, int(doing), flags, again))

    def cells(self) -> np.ndarray:
        """All cells as an array of `CELL`."""
        return np.array(self._cells, dtype=CELL)

    def rows(self) -> list[dict[str, Any]]:
        """The cells as text a person can read: for each request its name and a letter per step.

        A digit or more for a chunk of a prompt is written as `[n]`, a decode as `d`, waiting as `.`, preempted as `x`,
        swapped out as `o`, in memory without budget as `-`, and a blank where it is not there.
        """
        letters = {Doing.WAITING: ".", Doing.DECODE: "d", Doing.PREEMPTED: "x", Doing.IDLE: "-", Doing.SWAPPED: "o"}
        table = [[" "] * len(self) for _ in self.names]
        for number, row, n, doing, _, _ in self._cells:
            table[row][number] = f"[{n}]" if doing == Doing.PREFILL else letters[Doing(doing)]
        return [{"name": name, "steps": cells} for name, cells in zip(self.names, table, strict=True)]

    def _row(self, name: Hashable) -> int:
        if name not in self._rows:
            self._rows[name] = len(self.names)
            self.names.append(name)
        return self._rows[name]
