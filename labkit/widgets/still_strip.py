"""Still picture of the eviction strip: ticks or bins with their arcs, and the share of regret so far below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from labkit import theme
from labkit.observe.evictions import Eviction
from labkit.widgets.still import MARGIN, WIDTH, canvas, rects, rounded, text, wrap
from labkit.widgets.strip_layout import ARC_BINS, bins, places, regret_so_far, tick_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_C = theme.LIGHT
ARCS, TICK, BARS, SHARE = 104, 10, 54, 76
LEFT, RIGHT = MARGIN + 40, WIDTH - MARGIN - 10
PLOT = RIGHT - LEFT


def strip(
    evictions: Sequence[Eviction], steps: int, only_regretted: bool, overview: str, title: str, subtitle: str
) -> Figure:
    """All of a log's evictions; the share below counts every one, also where `only_regretted` hides some."""
    words = wrap(overview, 118)
    top = 62 if subtitle else 40
    height = top + ARCS + 8 + BARS + 34 + SHARE + 50 + 16 * len(words) + 44
    figure, axes = canvas(height)
    text(axes, MARGIN, 20, title, 14, weight="bold")
    if subtitle:
        text(axes, MARGIN, 40, subtitle, 12, "dim")
    again = sum(e.regretted for e in evictions)
    counted = f"{len(evictions):,} eviction{'s' * (len(evictions) != 1)} · {again:,} wanted again"
    if evictions:
        counted += f" · {100 * again / len(evictions):.1f}% regretted"
    text(axes, WIDTH - MARGIN, 20, counted, 12, "dim", ha="right")
    base, end = top + ARCS + 8, max(1, steps)
    at = places([e.step for e in evictions])
    wanted = np.array([-1 if e.wanted_again is None else e.wanted_again for e in evictions], dtype=np.int64)
    kept = wanted >= 0 if only_regretted else np.ones(len(at), dtype=bool)
    x = LEFT + at[kept] / end * PLOT
    rects(axes, [(LEFT, base - 0.5, PLOT, 1, _C["edge"])])
    rows = tick_rows(x)
    drawn = f"{int(kept.sum()):,} {'regretted ' * only_regretted}eviction{'s' * (int(kept.sum()) != 1)}, "
    if rows is not None:
        _ticks(axes, base, x, wanted[kept], rows, end)
        drawn += "each drawn"
    else:
        drawn += _binned(axes, base, at[kept], wanted[kept], end)
    y = base + BARS + 34
    _share(axes, y, np.array([e.step for e in evictions], dtype=np.int64), wanted, end)
    y += SHARE + 46
    if evictions:
        text(axes, MARGIN, y, drawn + ("; arcs go to where the content was wanted again" if again else ""), 11, "dim")
    y += 14
    rounded(axes, MARGIN, y, WIDTH - 2 * MARGIN, 16 * len(words) + 10, radius=6, fill=_C["sunk"])
    for i, line in enumerate(words):
        text(axes, MARGIN + 8, y + 13 + 16 * i, line, 12)
    return figure


def _arcs(
    axes: Axes, base: float, ends: Sequence[tuple[float, float]], widths: float | list[float], alpha: float
) -> None:
    from matplotlib.collections import LineCollection

    angles = np.linspace(np.pi, 0, 40)
    lines = []
    for x0, x1 in ends:
        reach = max(2.0, x1 - x0)
        high = min(ARCS, 12 + ARCS * np.sqrt(reach / PLOT))
        points = np.column_stack([x0 + reach / 2 * (1 + np.cos(angles)), base - high * np.sin(angles)])
        lines.append(points[points[:, 0] <= RIGHT + 9])
    axes.add_collection(
        LineCollection(lines, colors=_C["bad"], linewidths=widths, alpha=alpha, capstyle="butt"), autolim=False
    )


def _ticks(axes: Axes, base: float, x: np.ndarray, wanted: np.ndarray, rows: Sequence[int], end: int) -> None:
    again = LEFT + wanted / end * PLOT
    regrets = wanted >= 0
    _arcs(axes, base, list(zip(x[regrets], again[regrets], strict=True)), 0.6, 0.45 if len(x) > 60 else 0.7)
    boxes = []
    for place, row, regret in zip(x, rows, regrets, strict=True):
        top = base + 2 + row * TICK
        box = (0, 8, _C["bad"]) if regret else (2, 5, _C["dim"])
        boxes.append((place - 1, top + box[0], 2, box[1], box[2]))
    rects(axes, boxes)
    low = np.array([base + 3 + row * TICK for row in rows])
    axes.plot(x[regrets], low[regrets], "o", color=_C["bad"], markersize=2.8, markeredgewidth=0, snap=False)
    axes.plot(again[regrets], np.full(int(regrets.sum()), base), "o", markersize=2.2, markerfacecolor=_C["panel"],
              markeredgecolor=_C["bad"], markeredgewidth=0.7, snap=False)  # fmt: skip


def _binned(axes: Axes, base: float, at: np.ndarray, wanted: np.ndarray, end: int) -> str:
    counted = bins(at, wanted, 0.0, float(end), PLOT)
    count = len(counted.total)
    pitch, groups = PLOT / count, -(-count // ARC_BINS)

    def middle(group: int) -> float:
        return LEFT + min(PLOT, (group + 0.5) * ARC_BINS * pitch)

    most = max([1, *(many for _, _, many in counted.arcs)])
    ends = [
        (middle(a), middle(a) + 3 if a == b else RIGHT + 20 if b == groups else middle(b)) for a, b, _ in counted.arcs
    ]
    _arcs(axes, base, ends, [0.3 + 3.3 * many / most for _, _, many in counted.arcs], 0.3)
    top = max(1, int(counted.total.max()))
    full, rest = [], []
    for b in np.flatnonzero(counted.total):
        total, regretted = BARS * counted.total[b] / top, BARS * counted.regretted[b] / top
        full.append((LEFT + b * pitch, base + 1, pitch - 0.8, regretted, _C["bad"]))
        if total > regretted:
            rest.append((LEFT + b * pitch, base + 1 + regretted, pitch - 0.8, total - regretted, _C["free"]))
    rects(axes, full)
    rects(axes, rest, edge=_C["dim"], linewidths=0.4)
    text(axes, LEFT - 6, base + BARS, f"{top:,}", 10, "dim", ha="right")
    text(axes, LEFT - 6, base + 4, "0", 10, "dim", ha="right")
    return f"counted in {count:,} bins (full: wanted again, open: never)"


def _share(axes: Axes, top: float, steps: np.ndarray, wanted: np.ndarray, end: int) -> None:
    text(axes, LEFT, top - 11, "share of the evictions so far that were wanted again so far", 10, "dim")
    for share in (0.0, 0.5, 1.0):
        y = top + SHARE * (1 - share)
        axes.plot([LEFT, RIGHT], [y, y], color=_C["line"], linewidth=0.6)
        text(axes, LEFT - 6, y, f"{100 * share:.0f}%", 10, "dim", ha="right")
    pixels = np.arange(0, PLOT + 1)
    shares = regret_so_far(steps, wanted, np.floor(pixels / PLOT * end))
    axes.plot(LEFT + pixels, top + SHARE * (1 - shares), color=_C["bad"], linewidth=1.2)
    rough = end * 110 / PLOT
    power = 10 ** int(np.floor(np.log10(max(1.0, rough))))
    gap = next(m * power for m in (1, 2, 5, 10) if m * power >= rough or m == 10)
    for step in range(0, end + 1, gap):
        x = LEFT + step / end * PLOT
        axes.plot([x, x], [top + SHARE, top + SHARE + 4], color=_C["edge"], linewidth=0.6)
        text(axes, x, top + SHARE + 12, f"{step:,}", 10, "dim", ha="center")
    text(axes, LEFT + PLOT / 2, top + SHARE + 26, "step", 10, "dim", ha="center")
