"""Where the eviction strip puts things: every eviction by itself where there is room, exact counts in bins where not.

The page lays out in the same way (`static/eviction_strip.js`); a browser test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.observe.evictions import Eviction

ROWS = 5
"""Ticks that would touch stand one below the other, in at most so many rows; where that does not suffice, bins do."""
TICK_PITCH = 4.0
"""Pixels from one tick to the next in a row."""
BIN_PIXELS = 4.0
ARC_BINS = 6
"""Bins whose arcs are drawn as one."""


def places(steps: Sequence[int]) -> np.ndarray:
    """Where on the axis of steps each eviction stands: the m of one step share its width evenly, shape (n,)."""
    at = np.asarray(steps, dtype=np.int64)
    if not len(at):
        return np.zeros(0)
    first = np.flatnonzero(np.r_[True, at[1:] != at[:-1]])
    counts = np.diff(np.r_[first, len(at)])
    order = np.arange(len(at)) - np.repeat(first, counts)
    return at + (order + 0.5) / np.repeat(counts, counts)


def tick_rows(x: Sequence[float]) -> list[int] | None:
    """The row of each tick at ascending pixels `x`, the first where it does not touch; None where rows run out."""
    ends = [-np.inf] * ROWS
    rows = []
    for place in x:
        row = next((r for r in range(ROWS) if place - ends[r] >= TICK_PITCH), None)
        if row is None:
            return None
        ends[row] = place
        rows.append(row)
    return rows


@dataclass(frozen=True)
class Bins:
    """Counts of evictions by bins of equal width over a window of steps.

    Attributes:
        total, regretted: evictions in each bin, and those of them that were wanted again, shape (count,).
        arcs: (group of the eviction, group in which it was wanted, how many), a group being `ARC_BINS` bins; a group
            past the last stands for all that comes after the window.
    """

    total: np.ndarray
    regretted: np.ndarray
    arcs: list[tuple[int, int, int]]


def bins(at: np.ndarray, wanted: np.ndarray, start: float, stop: float, width: float) -> Bins:
    """Count the evictions at places `at` within [start, stop) on `width` pixels; `wanted` is -1 for never."""
    count = max(1, int(width // BIN_PIXELS))
    groups = -(-count // ARC_BINS)
    inside = (at >= start) & (at < stop)
    bin_of = _bin(at[inside], start, stop, count)
    regrets = wanted[inside] >= 0
    total = np.bincount(bin_of, minlength=count)
    regretted = np.bincount(bin_of[regrets], minlength=count)
    source = bin_of[regrets] // ARC_BINS
    later = wanted[inside][regrets]
    target = np.where(later < stop, _bin(later, start, stop, count) // ARC_BINS, groups)
    pairs, many = np.unique(source * (groups + 1) + target, return_counts=True)
    arcs = [(int(p // (groups + 1)), int(p % (groups + 1)), int(n)) for p, n in zip(pairs, many, strict=True)]
    return Bins(total, regretted, arcs)


def _bin(x: np.ndarray, start: float, stop: float, count: int) -> np.ndarray:
    return np.minimum(count - 1, np.floor((x - start) / (stop - start) * count)).astype(np.int64)


def regret_so_far(steps: np.ndarray, wanted: np.ndarray, moments: Sequence[int]) -> np.ndarray:
    """At the end of each of the steps `moments`: evictions wanted again by then, as a share of those made by then.

    `steps` ascend; `wanted` is -1 for never. NaN before the first eviction. Shape (len(moments),).
    """
    made = np.searchsorted(steps, moments, side="right").astype(float)
    again = np.searchsorted(np.sort(wanted[wanted >= 0]), moments, side="right")
    return np.divide(again, made, out=np.full(len(made), np.nan), where=made > 0)


def overview(evictions: Sequence[Eviction], steps: int) -> str:
    """One sentence about all of them."""
    count = len(evictions)
    if not count:
        return f"Nothing was evicted in {_count(steps, 'step')}."
    gaps = sorted(e.wanted_again - e.step for e in evictions if e.wanted_again is not None)
    if not gaps:
        return f"{_count(count, 'eviction')} in {_count(steps, 'step')}, and nothing that was evicted was wanted again."
    head = f"Of {_count(count, 'eviction')} {len(gaps):,} ({100 * len(gaps) / count:.1f}%) were regretted: "
    if len(gaps) == 1:
        return head.replace("were", "was") + f"the content was wanted again {_count(gaps[0], 'step')} later."
    half = gaps[(len(gaps) - 1) // 2]
    return head + f"their content was wanted again, for half of them within {_count(half, 'step')}."


def _count(number: int, word: str) -> str:
    return f"1 {word}" if number == 1 else f"{number:,} {word}s"
