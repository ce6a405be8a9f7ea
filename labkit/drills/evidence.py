"""What a pin on a board shows. It is computed from the board that was pinned, so no list of right windows is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from labkit.errors import DrillError
from labkit.observe.series import FIGURES, Series, Worth

LEAST_WINDOWS = 3
"""Windows of a pin at least, since one alone may be chance. Half the board is the most: more points at nothing."""


class Pin(NamedTuple):
    """A figure of the board and the windows `first` to `last` of it, both included."""

    figure: str
    first: int
    last: int

    def checked(self, board: Series) -> Pin:
        """Itself, if there is such a thing on the board.

        Raises:
            DrillError: no such figure or windows, or too few of them.
        """
        if self.figure not in shown(board):
            raise DrillError(
                f"There is no figure {self.figure!r:.60} on the board: pin one of {', '.join(shown(board))}."
            )
        most = len(board) // 2
        inside = 0 <= self.first <= self.last < len(board)
        if not (inside and LEAST_WINDOWS <= self.last - self.first + 1 <= most):
            raise DrillError(
                f"Windows {self.first} to {self.last} cannot be pinned: take {LEAST_WINDOWS} to {most} in a row, from "
                f"0 to {len(board) - 1}."
            )
        return self

    def mean(self, board: Series, figure: str = "") -> float:
        """The mean of its figure, or of another one in the same windows; NaN where it is not known."""
        values = board[figure or self.figure][self.first : self.last + 1]
        known = values[np.isfinite(values)]
        return float(known.mean()) if len(known) else math.nan


class Evidence(NamedTuple):
    """What a pin on a figure must show.

    Attributes:
        shows: whether the windows of a pin on it show that.
        because: what it says then, one sentence.
    """

    figure: str
    shows: Callable[[Series, Pin], bool]
    because: str

    def holds(self, board: Series, pin: Pin) -> bool:
        """Whether this pin is that evidence."""
        return pin.figure == self.figure and bool(self.shows(board, pin))

    def nearly_holds(self, board: Series, pin: Pin) -> bool:
        """Whether it is but for one window at an edge of it: nobody drags to the pixel."""
        tight = (pin._replace(first=pin.first + 1), pin._replace(last=pin.last - 1))
        near = (pin, *(one for one in tight if one.last - one.first + 1 >= LEAST_WINDOWS))
        return any(self.holds(board, one) for one in near)

    def best(self, board: Series) -> Pin | None:
        """A pin that shows it, the longest and latest; None if the board has none."""
        for length in range(len(board) // 2, LEAST_WINDOWS - 1, -1):
            for last in range(len(board) - 1, length - 2, -1):
                pin = Pin(self.figure, last - length + 1, last)
                if self.shows(board, pin):
                    return pin
        return None


def shown(board: Series) -> list[str]:
    """The figures that a board has: those that are known in some window."""
    return [
        name for name in FIGURES if board.worth(name)[0] is not Worth.ABSENT and bool(np.isfinite(board[name]).any())
    ]


# ----- the forms of evidence --------------------------------------------------------------------------------------


def at_least(figure: str, level: float, because: str, of: str = "") -> Evidence:
    """Its mean is so high, or so large a share of another figure's."""
    return Evidence(figure, lambda board, pin: pin.mean(board) >= level * _whole(board, pin, of), because)


def at_most(figure: str, level: float, because: str, of: str = "") -> Evidence:
    """Its mean is so low, or so small a share of another figure's."""
    return Evidence(figure, lambda board, pin: pin.mean(board) <= level * _whole(board, pin, of), because)


def never_above(figure: str, level: float, because: str) -> Evidence:
    """It is so low in each of the windows, and these are a third of the board at least."""

    def shows(board: Series, pin: Pin) -> bool:
        long = pin.last - pin.first + 1 >= len(board) / 3
        return long and bool(np.nanmax(board[figure][pin.first : pin.last + 1]) <= level)

    return Evidence(figure, shows, because)


def never_below(figure: str, level: float, because: str) -> Evidence:
    """It is so high in each of the windows."""
    return Evidence(figure, lambda board, pin: bool(np.min(board[figure][pin.first : pin.last + 1]) >= level), because)


def rises(figure: str, factor: float, because: str, of: str = "") -> Evidence:
    """In the last third of the windows it, or its share of another figure, is so many times as high as in the first."""
    return Evidence(figure, lambda board, pin: _grows(board, pin, of) >= factor, because)


def falls(figure: str, factor: float, because: str) -> Evidence:
    """In the last third of the windows it is at most so large a share of what it is in the first."""
    return Evidence(figure, lambda board, pin: _grows(board, pin, "") <= factor, because)


def flat(figure: str, within: float, because: str, of: str = "") -> Evidence:
    """Over a third of the board at least, its last third, or its share of another figure there, is within a share of
    its first.
    """

    def shows(board: Series, pin: Pin) -> bool:
        long = pin.last - pin.first + 1 >= len(board) / 3
        return long and abs(_grows(board, pin, of) - 1) <= within

    return Evidence(figure, shows, because)


def both(one: Evidence, other: Evidence) -> Evidence:
    """A pin on the figure of the first, in windows in which the second holds of its own figure."""

    def shows(board: Series, pin: Pin) -> bool:
        return one.shows(board, pin) and other.shows(board, pin._replace(figure=other.figure))

    return Evidence(one.figure, shows, one.because)


def _whole(board: Series, pin: Pin, of: str) -> float:
    return pin.mean(board, of) if of else 1.0


def _grows(board: Series, pin: Pin, of: str) -> float:
    """Its last third over its first; NaN, which is no evidence, where the first is nothing."""
    third = max(1, (pin.last - pin.first + 1) // 3)
    first, last = pin._replace(last=pin.first + third - 1), pin._replace(first=pin.last - third + 1)
    before, after = (
        part.mean(board) / _whole(board, part, of) if _whole(board, part, of) else math.nan for part in (first, last)
    )
    return after / before if before else math.nan
