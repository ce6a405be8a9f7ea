"""StormBoard: a server's life in windows, what users get beside what it costs, with alerts that convict."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import starmap
from typing import Any, ClassVar, NamedTuple

import numpy as np
import traitlets

from labkit.errors import BoardError, LabkitError
from labkit.observe.alerts import RULES, Rule, firings
from labkit.observe.series import FIGURES, Series
from labkit.widgets.base import LabWidget
from labkit.widgets.storm_panels import PANELS, Panel, as_data, figures_of
from labkit.words import plural

BATCH_SECONDS = 0.1
"""A live board sends at most ten batches per second: Jupyter Server stops all output past 1,000 messages per second."""

WHOLE_SECONDS = 1.0
"""How often a live board syncs all windows, for a page that was not there when a batch went out."""


class Knob(NamedTuple):
    """Something to turn.

    Attributes:
        name: of the setting.
        title: what a person reads.
        values: what it can be, in order; numbers are a slider, words a list to choose from.
    """

    name: str
    title: str
    values: tuple[Any, ...]


Rerun = Callable[[dict[str, Any]], Series]


class StormBoard(LabWidget):
    """Panels over time with one cursor, the numbers and a sentence at the cursor, and the alerts that fire there.

    Left and right go from window to window, Home and End to the ends, Escape lets the cursor go: then the board shows
    the last window. Each figure says what it is worth: a proxy has a mark that tells its bias, an absent one is not
    drawn and says why. Where knobs are turned, the run is compared with the one that the board opened with.

    Args:
        series: the windows. It may grow; `update()` shows what it has gained.
        title: what stands above.
        knobs: what the page can turn, each as in `Knob`, with its value in `settings`.
        settings: by knob its value now.
        rerun: gives the series for the settings that the page has chosen.
        rules: of the alerts. panels: what is shown.

    Raises:
        BoardError: something else than a `Series`, knobs without `rerun`, or a setting that its knob does not have.
    """

    _name: ClassVar[str] = "storm_board"

    title = traitlets.Unicode("").tag(sync=True)
    source = traitlets.Unicode("").tag(sync=True)
    panels = traitlets.List([]).tag(sync=True)
    figures = traitlets.Dict({}).tag(sync=True)  # by name: title, unit, worth, why
    names = traitlets.List([]).tag(sync=True)  # of the columns of `rows`
    rows = traitlets.Bytes(b"").tag(sync=True)  # float32 [windows, names], little-endian
    before = traitlets.Bytes(b"").tag(sync=True)  # the windows of the first run, once a knob has been turned
    alerts = traitlets.List([]).tag(sync=True)
    live = traitlets.Bool(False).tag(sync=True)
    knobs = traitlets.List([]).tag(sync=True)
    settings = traitlets.Dict({}).tag(sync=True)  # by knob: place of its value
    answer = traitlets.Dict({}).tag(sync=True)  # the settings that are shown, and a sentence about the change

    def __init__(
        self,
        series: Series,
        title: str = "Storm board",
        *,
        knobs: Sequence[tuple[str, str, tuple[Any, ...]]] = (),
        settings: Mapping[str, Any] | None = None,
        rerun: Rerun | None = None,
        rules: Sequence[Rule] = RULES,
        panels: tuple[Panel, ...] = PANELS,
    ) -> None:
        if not isinstance(series, Series):
            raise BoardError(f"{series!r:.60} is no Series: give the windows of a simulation, an engine or a server.")
        if knobs and rerun is None:
            raise BoardError("Knobs without `rerun` turn nothing: give the function that runs again with new settings.")
        self._knobs = {knob.name: knob for knob in starmap(Knob, knobs)}
        self._rerun, self._rules = rerun, rules
        self._columns = figures_of(panels)
        self._sent = 0
        self._batch_at = self._whole_at = -math.inf
        self._ready = False
        places = {name: self._place(name, (settings or {}).get(name)) for name in self._knobs}
        super().__init__(
            title=title,
            panels=[as_data(panel) for panel in panels],
            names=["end_s", "seconds", *self._columns],
            knobs=[
                {
                    "name": knob.name,
                    "title": knob.title,
                    "words": isinstance(knob.values[0], str),
                    "values": [value_text(value) for value in knob.values],
                }
                for knob in self._knobs.values()
            ],
            settings=places,
            answer={"settings": places, "sentence": "", "problem": ""},
        )
        self._show(series)
        self._opened = series, dict(self.settings), self.rows
        self._ready = True

    def _place(self, name: str, value: Any) -> int:
        values = self._knobs[name].values
        if value not in values:
            raise BoardError(
                f"{name} is {value!r:.60}, which its knob does not have: choose one of {', '.join(map(str, values))}."
            )
        return values.index(value)

    # ----- what is shown ---------------------------------------------------------------------------------------

    def _show(self, series: Series) -> None:
        self.series = series
        with self.hold_sync():
            self._whole()

    def _whole(self) -> None:
        worths = {name: self.series.worth(name) for name in self._columns}
        self.source = self.series.source  # a server that is watched says what it is once it has answered
        self.figures = {
            name: {"title": FIGURES[name].title, "unit": FIGURES[name].unit, "worth": str(worth), "why": why}
            for name, (worth, why) in worths.items()
        }
        self.rows = self._packed(self.series)
        self.alerts = self._found()
        self._sent = len(self.series)
        self._whole_at = time.monotonic()

    def _packed(self, series: Series, first: int = 0) -> bytes:
        columns = [series.end_s, series.seconds, *(series[name] for name in self._columns)]
        with np.errstate(over="ignore"):  # a figure too large for the page is none
            return np.stack(columns, axis=1)[first:].astype("<f4").tobytes()

    def _found(self) -> list[dict[str, Any]]:
        return [firing._asdict() for firing in firings(self.series, self._rules)]

    # ----- a series that grows ---------------------------------------------------------------------------------

    def update(self) -> None:
        """Show what the series has gained; call it as often as you like."""
        now = time.monotonic()
        if len(self.series) == self._sent or now - self._batch_at < BATCH_SECONDS:
            return
        self.live = True
        self._batch_at = now
        if now - self._whole_at >= max(WHOLE_SECONDS, len(self.rows) / 2_000_000):
            with self.hold_sync():
                self._whole()
            return
        rows, first = self._packed(self.series, self._sent), self._sent
        self._sent = len(self.series)
        self.send({"type": "rows", "from": first, "alerts": self._found()}, buffers=[rows])

    def close_live(self) -> None:
        """The series has ended: the board holds all of it and no longer says that it is live."""
        with self.hold_sync():
            self._whole()
            self.live = False

    # ----- knobs -----------------------------------------------------------------------------------------------

    def chosen(self) -> dict[str, Any]:
        """By knob the value that is chosen."""
        return {name: self._knobs[name].values[place] for name, place in self.settings.items()}

    @traitlets.validate("settings")
    def _checked(self, proposal: dict[str, Any]) -> dict[str, int]:
        settings = proposal["value"]
        right = set(settings) == set(self._knobs) and all(
            isinstance(place, int) and not isinstance(place, bool) and 0 <= place < len(self._knobs[name].values)
            for name, place in settings.items()
        )
        if not right:
            raise traitlets.TraitError(f"{settings!r:.80} are no settings of this board")
        return dict(settings)

    @traitlets.observe("settings")
    def _turned(self, change: Any) -> None:
        if not self._ready or self._rerun is None:
            return
        settings, shown = change["new"], self.answer["settings"]
        opened, began, rows = self._opened
        sentence, problem, series = self.answer["sentence"], "", self.series
        try:
            series = self._rerun(self.chosen())
        except LabkitError as error:
            problem = str(error)
        except KeyboardInterrupt:
            problem = "The simulation was interrupted; the one before it is shown."
        except Exception as error:  # whatever a part of the learner's does wrong is told in the page
            problem = f"The simulation stopped with {type(error).__name__}: {error}".rstrip(". :") + "."
        with self.hold_sync():
            if not problem:
                turned = [
                    f"{knob.title} {value_text(knob.values[began[name]])} → {value_text(knob.values[settings[name]])}"
                    for name, knob in self._knobs.items()
                    if began[name] != settings[name]
                ]
                sentence = f"{', '.join(turned)}: {compared(opened, series)}" if turned else ""
                shown = settings
                self.before = rows if turned else b""
                self._show(series)
            self.answer = {"for": settings, "settings": shown, "sentence": sentence, "problem": problem}

    # ----- what is shown where no page runs --------------------------------------------------------------------

    def summary(self) -> str:
        if not len(self.series):
            return f"StormBoard({self.source}: nothing has happened yet)"
        fired = [f"{firing['title']} from {firing['from_s']:.0f} s" for firing in self.alerts]
        return f"StormBoard({self.source}: {overview(self.series)}; {', '.join(fired) or 'no alert'})"


def value_text(value: Any) -> str:
    """A setting as a person reads it."""
    return value if isinstance(value, str) else f"{value:,}"


def totals(series: Series) -> dict[str, float]:
    """Over the whole series: delivered and computed per second, preemptions, and the shares that were done again.

    NaN for what is not known.
    """
    seconds = series.seconds

    def amount(name: str) -> float:
        values = series[name]
        known = ~np.isnan(values)
        return float((values * seconds)[known].sum()) if known.any() else math.nan

    lasted = float(seconds.sum())
    computed, evicted = amount("computed"), amount("evicted")
    return {
        "delivered": amount("delivered") / lasted if lasted else math.nan,
        "computed": computed / lasted if lasted else math.nan,
        "preempted": amount("preempted"),
        "recomputed": amount("recomputed") / computed if computed else math.nan,
        "regretted": amount("regretted") / evicted if evicted else math.nan,
    }


_TOTALS = (
    ("delivered", "{:,.0f} tokens/s delivered"),
    ("computed", "{:,.0f} computed"),
    ("preempted", "{:,.0f} preemptions"),
    ("recomputed", "{:.0%} of the tokens computed again"),
    ("regretted", "{:.0%} of the evictions regretted"),
)


def overview(series: Series) -> str:
    """One line about all of a series."""
    known = totals(series)
    said = [text.format(known[name]) for name, text in _TOTALS if not math.isnan(known[name])]
    return f"{plural(len(series), 'window')}; {', '.join(said)}"


def compared(before: Series, after: Series) -> str:
    """One sentence about what changed between two runs."""
    was, now = totals(before), totals(after)
    said = []
    for name, text in _TOTALS:
        if not math.isnan(was[name] + now[name]):
            number, _, words = text.partition("}")
            number += "}"
            said.append(f"{number.format(was[name])} → {number.format(now[name])}{words}")
    return ", ".join(said) + "."
