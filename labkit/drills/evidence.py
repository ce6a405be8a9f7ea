"""What a pin on a board shows. It is computed from the board that was pinned, so no list of right windows is kept.

A pin is judged in those of its windows in which the trouble is (`Trouble`), and what is told of it afterwards is what
was computed: each claim gives its value and its line.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from labkit.errors import DrillError
from labkit.observe.series import FIGURES, Series, Worth
from labkit.words import listed

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

    def span(self, board: Series) -> str:
        """When it is, as the axis has it: "60 to 120 s"."""
        return f"{_begin(board, self.first):g} to {board.end_s[self.last]:g} s"


class Trouble(NamedTuple):
    """When that happens which the headline tells of.

    Attributes:
        figure: the one that shows it, and at_least, at_most: what it is then.
        when: a clause for it, such as "while blocks are evicted".
        gap, margin: so many windows without it still belong to it between two that show it, and at its edges:
            preemptions are few, and what they cost comes after them.
    """

    figure: str
    when: str
    at_least: float = -math.inf
    at_most: float = math.inf
    gap: int = 0
    margin: int = 0

    def windows(self, board: Series) -> np.ndarray:
        """bool [n]: the windows of a board in which it is."""
        with np.errstate(invalid="ignore"):
            there = (board[self.figure] >= self.at_least) & (board[self.figure] <= self.at_most)
        at = np.flatnonzero(there)
        for one, other in pairwise(at):
            if other - one <= self.gap + 1:
                there[one:other] = True
        for here in np.flatnonzero(there):
            there[max(0, here - self.margin) : here + self.margin + 1] = True
        return there

    def spans(self, board: Series) -> str:
        """When it is, in seconds: "from 60 to 120 s"; of more than three stretches the whole."""
        there = np.flatnonzero(self.windows(board))
        parts = np.split(there, np.flatnonzero(np.diff(there) > 1) + 1)
        if len(parts) > 3:
            return f"here and there from {_begin(board, int(there[0])):g} to {board.end_s[there[-1]]:g} s"
        told = (f"{_begin(board, int(part[0])):g} to {board.end_s[part[-1]]:g} s" for part in parts if len(part))
        return f"from {listed(told, none='no second on')}"


class Claim(NamedTuple):
    """One number of a board, and the bounds that it must keep.

    Attributes:
        figure, of: the figure, or its share of another one.
        how: its "mean", its "least" or "most" in a window, or what it has become: how many times what it was at
            first, in the first third of the board, or in the pin's own first third, whichever shows more ("grown",
            "fallen"); or in the last third of the judged windows against their first ("steady").
        times: what it is multiplied by: a block has 16 tokens.
    """

    figure: str
    how: Literal["mean", "least", "most", "grown", "fallen", "steady"]
    at_least: float = -math.inf
    at_most: float = math.inf
    of: str = ""
    times: float = 1.0

    def value(self, board: Series, pin: Pin, at: np.ndarray) -> float:
        """Over the windows `at`, int [m], those of the pin in which the trouble is; NaN where it is not known."""
        match self.how:
            case "least" | "most":
                values = board[self.figure][at]
                return float(values.min() if self.how == "least" else values.max())
            case "mean":
                return self._mean(board, at)
            case "steady":
                third = max(1, len(at) // 3)
                return _ratio(self._mean(board, at[-third:]), self._mean(board, at[:third]))
        windows = np.arange(pin.first, pin.last + 1)
        third, now = max(1, len(windows) // 3), self._mean(board, windows)
        within = _ratio(self._mean(board, windows[-third:]), self._mean(board, windows[:third]))
        since = _ratio(now, self._mean(board, np.arange(len(board) // 3)))
        known = [ratio for ratio in (within, since) if math.isfinite(ratio)]
        return (max if self.how == "grown" else min)(known, default=math.nan)

    def holds(self, value: float) -> bool:
        """Whether a value keeps the bounds; one that is not known does not."""
        return self.at_least <= value <= self.at_most

    def says(self, value: float) -> str:
        """The value and its line: "preemptions: 0.4 per second (what counts: at most 0.02 per second)"."""
        plain = self.how in ("mean", "least", "most")
        each = _EACH.get(self.of)
        unit = "times" if not plain else "number" if self.of == "delivered" else "share" if self.of else ""
        unit = unit or FIGURES[self.figure].unit
        bounds = [
            f"at {word} {_number(bound, unit)}"
            for word, bound in (("least", self.at_least), ("most", self.at_most))
            if math.isfinite(bound)
        ]
        lead = {"least": "the least in a window ", "most": "the most in a window ", "steady": "in the end "}
        told = "not known in all of them" if math.isnan(value) else _number(value, unit)
        whole = f" of {figure_name(self.of)}" if plain and self.of and not each else ""
        ends = {"grown": " what it was before", "fallen": " what it was before", "steady": " what it was at first"}
        title = figure_name(self.figure) + (
            f" per {each or figure_name(self.of)}" if self.of and (each or not plain) else ""
        )
        return f"{title}: {lead.get(self.how, '')}{told}{whole}{ends.get(self.how, '')} (what counts: {listed(bounds)})"

    def _mean(self, board: Series, at: np.ndarray) -> float:
        """Its mean over what is known, or as a share of the other's; none of nothing is 0."""
        mean = self.times * _known_mean(board[self.figure][at])
        if not self.of:
            return mean
        whole = _known_mean(board[self.of][at])
        return mean / whole if whole else (0.0 if mean == 0 else math.inf)


_EACH = {"running": "request that runs", "delivered": "token delivered"}


def _number(value: float, unit: str) -> str:
    if unit == "times":
        return f"{value:.3g} times"
    if unit == "share":
        return f"{value:.2g}%" if 0 < (value := 100 * value) < 10 else f"{value:.0f}%"
    told = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}"
    return told + {"1/s": " per second", "number": "", "requests": ""}.get(unit, f" {unit}")


def _known_mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _ratio(after: float, before: float) -> float:
    return after / before if before else math.nan


def _begin(board: Series, window: int) -> float:
    return float(board.end_s[window] - board.seconds[window])


class Judged(NamedTuple):
    """What became of a pin: whether it shows what was looked for, and why, in a sentence with the numbers."""

    holds: bool
    why: str


class Evidence(NamedTuple):
    """What a pin on a figure must show.

    Attributes:
        figure: the one that is pinned.
        claims: all of them must hold; the first is of that figure.
        because: what it says then, one sentence; "{when}" in it is the clause of the trouble.
        least: of how large a part of the board it must be seen.
    """

    figure: str
    claims: tuple[Claim, ...]
    because: str
    least: float = 0.0

    def told(self, trouble: Trouble) -> str:
        """Its sentence on a server with this trouble."""
        says = self.because.format(when=trouble.when)
        return says[:1].upper() + says[1:]

    def judge(self, board: Series, pin: Pin, trouble: Trouble) -> Judged:
        """Whether this pin, on this figure, is that evidence. At least `LEAST_WINDOWS` of its windows must be in the
        trouble; of a figure that is 0 all over the board, one.
        """
        at, wanted = self._windows(pin, trouble.windows(board)), self._wanted(board)
        if len(at) < wanted:
            seconds = float(board.seconds[pin.first])
            return Judged(
                False,
                f"Of that pin {len(at) * seconds:g} s lie in the trouble, which is {trouble.spans(board)}: pin "
                f"{wanted * seconds:g} s of it at least.",
            )
        found = [(claim, claim.value(board, pin, at)) for claim in self.claims]
        missed = [claim.says(value) for claim, value in found if not claim.holds(value)]
        if missed:
            return Judged(False, f"In these windows, {'; '.join(missed)}.")
        return Judged(True, f"{self.told(trouble)} Here, {'; '.join(claim.says(value) for claim, value in found)}.")

    def holds(self, board: Series, pin: Pin, trouble: Trouble) -> bool:
        """Whether this pin is that evidence."""
        return pin.figure == self.figure and self._holds(board, pin, trouble.windows(board), self._wanted(board))

    def nearly(self, board: Series, pin: Pin, trouble: Trouble) -> Judged:
        """Whether it is but for one window at an edge of it: nobody drags to the pixel."""
        tight = (pin._replace(first=pin.first + 1), pin._replace(last=pin.last - 1))
        near = (pin, *(one for one in tight if one.last - one.first + 1 >= LEAST_WINDOWS))
        judged = [self.judge(board, one, trouble) for one in near]
        return next((one for one in judged if one.holds), judged[0])

    def best(self, board: Series, trouble: Trouble) -> Pin | None:
        """A pin that shows it, with as much as can be of the trouble and little else, and the latest such; None if the
        board has none.
        """
        if self.figure not in shown(board):
            return None
        there, wanted, n = trouble.windows(board), self._wanted(board), len(board)
        inside = np.concatenate([[0], np.cumsum(there)])
        pins = [
            (inside[first] - inside[first + length], length, -first)
            for length in range(LEAST_WINDOWS, n // 2 + 1)
            for first in range(n - length + 1)
        ]
        for _, length, first in sorted(pins):
            pin = Pin(self.figure, -first, length - first - 1)
            if self._holds(board, pin, there, wanted):
                return pin
        return None

    def _holds(self, board: Series, pin: Pin, there: np.ndarray, wanted: int) -> bool:
        at = self._windows(pin, there)
        return len(at) >= wanted and all(claim.holds(claim.value(board, pin, at)) for claim in self.claims)

    def _windows(self, pin: Pin, there: np.ndarray) -> np.ndarray:
        """Int [m]: those of a pin that are in the trouble."""
        return pin.first + np.flatnonzero(there[pin.first : pin.last + 1])

    def _wanted(self, board: Series) -> int:
        never = not np.nan_to_num(board[self.figure], nan=1.0).any()
        return 1 if never else max(LEAST_WINDOWS, math.ceil(self.least * len(board)))


def shown(board: Series) -> list[str]:
    """The figures that a board has: those that are known in some window."""
    return [
        name for name in FIGURES if board.worth(name)[0] is not Worth.ABSENT and bool(np.isfinite(board[name]).any())
    ]


def figure_name(name: str) -> str:
    """The title of a figure of the board, as it is read alone."""
    return "requests waiting for memory" if name == "waiting_for_memory" else FIGURES[name].title


# ----- the forms of evidence --------------------------------------------------------------------------------------


def _one(figure: str, how: str, because: str, low: float, high: float, of: str = "", least: float = 0.0) -> Evidence:
    return Evidence(figure, (Claim(figure, how, low, high, of),), because, least)  # type: ignore[arg-type]


def at_least(figure: str, level: float, because: str, of: str = "", times: float = 1.0) -> Evidence:
    """Its mean, or so many times it, is so high, or so large a share of another figure's."""
    return Evidence(figure, (Claim(figure, "mean", level, math.inf, of, times),), because)


def at_most(figure: str, level: float, because: str, of: str = "", least: float = 0.0) -> Evidence:
    """Its mean is so low, or so small a share of another figure's; over so large a part of the board."""
    return _one(figure, "mean", because, -math.inf, level, of, least)


def never_above(figure: str, level: float, because: str) -> Evidence:
    """It is so low in each of the windows."""
    return _one(figure, "most", because, -math.inf, level)


def never_below(figure: str, level: float, because: str) -> Evidence:
    """It is so high in each of the windows."""
    return _one(figure, "least", because, level, math.inf)


def rises(figure: str, factor: float, because: str, of: str = "") -> Evidence:
    """It, or its share of another figure, is so many times what it was: at first, or as the pin begins."""
    return _one(figure, "grown", because, factor, math.inf, of)


def falls(figure: str, factor: float, because: str) -> Evidence:
    """It is at most so large a part of what it was: at first, or as the pin begins."""
    return _one(figure, "fallen", because, -math.inf, factor)


def rises_no_more(figure: str, factor: float, because: str) -> Evidence:
    """It is at most so many times what it was: at first, and as the pin begins."""
    return _one(figure, "grown", because, -math.inf, factor)


def flat(figure: str, within: float, because: str, of: str = "") -> Evidence:
    """Over a third of the board at least, its last third, or its share of another figure there, is within a share of
    its first.
    """
    return _one(figure, "steady", because, 1 - within, 1 + within, of, 1 / 3)


def both(one: Evidence, *others: Evidence) -> Evidence:
    """A pin on the figure of the first, in windows in which the others hold of their own figures."""
    return one._replace(claims=(*one.claims, *(claim for other in others for claim in other.claims)))
