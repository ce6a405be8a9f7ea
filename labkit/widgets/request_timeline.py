"""RequestTimeline: what each request did in each step, and how much of the token budget was spent."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import traitlets

from labkit.errors import BoardError
from labkit.observe.timeline import Doing, Timeline
from labkit.theme import sequence_slot
from labkit.widgets.base import LabWidget
from labkit.words import plural


class RequestTimeline(LabWidget):
    """A row for each request, a column for each step, and below them the tokens that each step computed.

    Arrow keys and the pointer go from cell to cell, and a sentence says what happened there; plus and minus zoom.

    Args:
        timeline: what was seen, or several such by their names: then the first is shown, and buttons change it.
        title, subtitle: what stands above the picture.

    Raises:
        BoardError: something else than a `Timeline`.
    """

    _name: ClassVar[str] = "request_timeline"

    runs = traitlets.List([]).tag(sync=True)
    shown = traitlets.Int(0).tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    subtitle = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self, timeline: Timeline | dict[str, Timeline], title: str = "Who computes in which step", subtitle: str = ""
    ) -> None:
        named = timeline if isinstance(timeline, dict) else {"": timeline}
        for one in named.values():
            if not isinstance(one, Timeline):
                raise BoardError(f"{one!r:.60} is no Timeline: make one, and let it see every step of a scheduler.")
        if not named:
            raise BoardError("There is no Timeline to show: give one.")
        self.timelines = named
        super().__init__(runs=[_run(name, one) for name, one in named.items()], title=title, subtitle=subtitle)

    def summary(self) -> str:
        said = [f"{name}: {overview(one)}" if name else overview(one) for name, one in self.timelines.items()]
        return f"RequestTimeline({' '.join(said).rstrip('.')})"


def _run(name: str, timeline: Timeline) -> dict[str, object]:
    names = [str(name) for name in timeline.names]
    return {
        "name": name,
        "names": names,
        "slots": [sequence_slot(name) for name in names],
        "budgets": timeline.budgets,
        "cells": timeline.cells().tobytes(),
        "swaps": bool(np.any(timeline.cells()["doing"] == Doing.SWAPPED)),
        "overview": overview(timeline),
    }


def overview(timeline: Timeline) -> str:
    """One sentence about a run."""
    cells = timeline.cells()
    if not len(timeline):
        return "Nothing has run yet."
    preempted, swapped = (int(np.sum(cells["doing"] == doing)) for doing in (Doing.PREEMPTED, Doing.SWAPPED))
    again = int(cells["again"].sum())
    computed, budget = int(cells["tokens"].sum()), sum(timeline.budgets)
    told = (
        f"{plural(len(timeline.names), 'request')} in {plural(len(timeline), 'step')}: {plural(computed, 'token')} "
        f"computed, {computed / budget:.0%} of the budget"
    )
    if preempted or swapped:
        told += f"; {plural(preempted + swapped, 'preemption')}"
        told += f", {swapped:,} by swap" if swapped else ""
        told += f", and {plural(again, 'token')} computed again"
    return told + "."
