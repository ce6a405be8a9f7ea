"""A server's life in windows: what a board draws, what an alert reads, what a log keeps.

A simulation, our own engine and a server behind `/metrics` all give the same figures, one row per window of time. Not
every source knows every figure, and some know it only by a sign of it: for each figure a series says which.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from labkit.errors import SeriesError


class Worth(StrEnum):
    """What a figure is worth."""

    EXACT = "exact"
    PROXY = "proxy"  # a sign of it, with a bias that a sentence names
    ABSENT = "absent"  # this source does not tell


class Figure(NamedTuple):
    """One figure: its name in a series, what a person reads, and its unit."""

    name: str
    title: str
    unit: str


FIGURES = {
    figure.name: figure
    for figure in (
        # A second, over the window.
        Figure("delivered", "tokens delivered", "tokens/s"),
        Figure("computed", "tokens computed", "tokens/s"),
        Figure("recomputed", "tokens computed again after a preemption", "tokens/s"),
        Figure("recycled", "blocks recycled", "blocks/s"),
        Figure("evicted", "cached blocks evicted", "blocks/s"),
        Figure("regretted", "evicted and wanted again", "blocks/s"),
        Figure("preempted", "preemptions", "1/s"),
        Figure("arrived", "requests that came", "1/s"),
        Figure("finished", "requests finished", "1/s"),
        Figure("refused", "requests refused at the door", "1/s"),
        # At the end of the window.
        Figure("running", "requests running", "requests"),
        Figure("waiting", "requests waiting", "requests"),
        Figure("waiting_for_memory", "of them, for memory", "requests"),
        Figure("held", "blocks held", "share"),
        Figure("cached", "blocks cached", "share"),
        Figure("free", "blocks free", "share"),
        # Over what happened in the window.
        Figure("hit_rate", "prompt tokens found in the cache", "share"),
        Figure("ttft_p50", "time to first token, median", "s"),
        Figure("ttft_p99", "time to first token, 99th percentile", "s"),
        Figure("itl_p50", "time between tokens, median", "s"),
        Figure("itl_p99", "time between tokens, 99th percentile", "s"),
        Figure("e2e_p99", "time from arrival to the last token, 99th percentile", "s"),
        Figure("goodput", "requests finished within the target", "1/s"),
        Figure("flops_per_token", "floating-point operations a delivered token", "flop"),
    )
}
"""All figures, in the order in which they are written."""


class Series:
    """Rows of figures in order of time.

    Args:
        source: what it is of, for the title of a board: "simulation, seed 7", "vLLM 0.33.0 at http://...".
        worth: for each figure that is not exact, its worth and a sentence that names the bias, or why it is absent.

    Raises:
        SeriesError: `worth` names a figure that there is not.
    """

    def __init__(self, source: str = "", worth: Mapping[str, tuple[Worth, str]] | None = None) -> None:
        self.describe(source, worth or {})
        self._ends: list[float] = []
        self._seconds: list[float] = []
        self._columns: dict[str, list[float]] = {name: [] for name in FIGURES}

    def __len__(self) -> int:
        return len(self._ends)

    def __repr__(self) -> str:
        return f"Series({self.source!r}, {len(self)} windows)"

    def add(self, end_s: float, seconds: float, **figures: float) -> None:
        """One window.

        Args:
            end_s: when it ended, in seconds since the series began.
            seconds: how long it was.
            figures: those that are known; the others are NaN in it.

        Raises:
            SeriesError: it ends before the one before it, has no length, or a figure that there is not. Nothing is
                added then.
        """
        if not (math.isfinite(end_s) and math.isfinite(seconds) and seconds > 0):
            raise SeriesError(
                f"A window of {seconds!r:.40} s that ends at {end_s!r:.40} s is none: give finite seconds, more than 0."
            )
        if self._ends and end_s < self._ends[-1]:
            raise SeriesError(
                f"A window that ends at {end_s:g} s follows one that ends at {self._ends[-1]:g} s: add them in order."
            )
        for name in figures:
            _known(name)
        for name, column in self._columns.items():
            column.append(float(figures.get(name, math.nan)))
        self._seconds.append(float(seconds))
        self._ends.append(float(end_s))  # last: whoever reads in another thread counts these

    def describe(self, source: str, worth: Mapping[str, tuple[Worth, str]]) -> None:
        """Say anew what it is of, and what its figures are worth: a server may come back as another version.

        Raises:
            SeriesError: `worth` names a figure that there is not. Nothing is changed then.
        """
        for name in worth:
            _known(name)
        self.source, self._worth = source, dict(worth)

    def worth(self, name: str) -> tuple[Worth, str]:
        """What a figure is worth here, and the sentence to it ("" for an exact one)."""
        _known(name)
        return self._worth.get(name, (Worth.EXACT, ""))

    @property
    def end_s(self) -> np.ndarray:
        """float64 [n]: when each window ended, seconds."""
        return np.array(self._ends)

    @property
    def seconds(self) -> np.ndarray:
        """float64 [n]: how long each window was."""
        return np.array(self._seconds[: len(self)])

    def __getitem__(self, name: str) -> np.ndarray:
        """float64 [n]: a figure in each window, NaN where it is not known."""
        _known(name)
        return np.array(self._columns[name][: len(self)])

    def rows(self) -> Iterator[dict[str, Any]]:
        """The windows as plain data: `end_s`, `seconds`, and the figures that are known in it."""
        for at in range(len(self)):
            row = {"end_s": self._ends[at], "seconds": self._seconds[at]}
            row |= {name: column[at] for name, column in self._columns.items() if not math.isnan(column[at])}
            yield row


def _known(name: str) -> None:
    if name not in FIGURES:
        raise SeriesError(f"There is no figure {name!r:.60} in a series; there are {', '.join(FIGURES)}.")
