"""AttentionPlay: one query and a few keys in the plane, to be dragged; scores, weights and mixture follow exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import traitlets

from labkit import theme
from labkit.errors import LabkitError
from labkit.widgets.base import LabWidget, blank_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUERY = (1.0, 1.0)
KEYS = ((2.0, 0.5), (-1.5, 2.0), (-1.5, -1.0))
VALUES = ((-2.0, -1.5), (0.0, 2.0), (2.0, -1.0))
SPAN = 3.0
"""The planes reach from -SPAN to SPAN on both axes."""
MOST = 5

Point = tuple[float, float]


class AttentionPlay(LabWidget):
    """One query over n keys and values, all of them arrows or points in the plane (d = dv = 2).

    Args:
        query: [2]. keys, values: [n, 2], n from 1 to 5. Every number from -3 to 3.
        maskable: whether each key can be hidden, which makes its score minus infinity.
        hidden: the keys hidden at first.
        title: above the picture.
        task: what to try, under the title; "" for nothing.

    Raises:
        LabkitError: the shapes do not fit, a number is outside, or every key is hidden.
    """

    _name: ClassVar[str] = "attention_play"

    title = traitlets.Unicode().tag(sync=True)
    task = traitlets.Unicode().tag(sync=True)
    q = traitlets.List().tag(sync=True)
    K = traitlets.List().tag(sync=True)
    V = traitlets.List().tag(sync=True)
    hidden = traitlets.List(help="indices of hidden keys").tag(sync=True)
    maskable = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        query: Sequence[float] = QUERY,
        keys: Sequence[Sequence[float]] = KEYS,
        values: Sequence[Sequence[float]] = VALUES,
        maskable: bool = False,
        hidden: Sequence[int] = (),
        title: str = "One query, three keys",
        task: str = "",
    ) -> None:
        if not 1 <= len(keys) <= MOST or len(keys) != len(values):
            raise LabkitError(
                f"{len(keys)} keys and {len(values)} values were given; give as many values as keys, from 1 to {MOST}."
            )
        for point in (query, *keys, *values):
            if len(point) != 2 or any(not -SPAN <= x <= SPAN for x in point):
                raise LabkitError(f"{list(point)} is no point of the picture; give two numbers from -3 to 3.")
        if set(hidden) - set(range(len(keys))) or len(set(hidden)) == len(keys):
            raise LabkitError(f"hidden is {list(hidden)}; name keys by index and leave at least one to be seen.")
        super().__init__(
            title=title,
            task=task,
            q=[float(x) for x in query],
            K=[[float(x) for x in k] for k in keys],
            V=[[float(x) for x in v] for v in values],
            hidden=sorted(set(hidden)),
            maskable=maskable or bool(hidden),
        )

    def scores(self) -> list[float]:
        """The score of every key, [n]; -inf for a hidden one."""
        root = math.sqrt(2)
        return [
            -math.inf if i in self.hidden else sum(a * b for a, b in zip(self.q, k, strict=True)) / root
            for i, k in enumerate(self.K)
        ]

    def weights(self) -> list[float]:
        """Softmax of the scores, [n]."""
        s = self.scores()
        e = [math.exp(x - max(s)) for x in s]
        return [x / sum(e) for x in e]

    def mixture(self) -> Point:
        """What comes out: the values in the proportions of the weights."""
        w = self.weights()
        return tuple(sum(a * v[i] for a, v in zip(w, self.V, strict=True)) for i in (0, 1))  # type: ignore[return-value]

    def sentence(self) -> str:
        """What the picture shows, in one line."""
        w = self.weights()
        best = max(range(len(w)), key=w.__getitem__)
        x, y = self.mixture()
        score = self.scores()[best]
        return f"k{best} has the highest score, {score:.2f}; v{best} makes up {w[best]:.0%} of ({x:.2f}, {y:.2f})."

    def summary(self) -> str:
        """The numbers as one line."""
        shares = ", ".join(f"{w:.0%}" for w in self.weights())
        return f"AttentionPlay(query=({self.q[0]:g}, {self.q[1]:g}), weights: {shares})"

    def static_figure(self) -> Figure:
        """Three pictures side by side: query and keys, the numbers, values and mixture."""
        colors = theme.palette()
        figure = blank_figure(height=2.85)
        left = figure.add_axes((0.012, 0.05, 0.31, 0.80))
        table = figure.add_axes((0.35, 0.05, 0.32, 0.80))
        right = figure.add_axes((0.685, 0.05, 0.31, 0.80))
        figure.text(0.012, 0.92, "Query and keys", fontsize=10, fontweight="bold")
        figure.text(0.36, 0.92, "Scores and weights", fontsize=10, fontweight="bold")
        figure.text(0.685, 0.92, "Values and their mixture", fontsize=10, fontweight="bold")
        for axes in (left, right):
            _plane(axes, colors)
        for i, key in enumerate(self.K):
            _arrow(left, key, theme.sequence_color(str(i)), f"k{i}", hidden=i in self.hidden)
        _arrow(left, self.q, colors["accent"], "q", width=2.4)
        self._still_table(table, colors)
        mix = self.mixture()
        for i, (value, weight) in enumerate(zip(self.V, self.weights(), strict=True)):
            color = theme.sequence_color(str(i))
            right.plot(*zip(value, mix, strict=True), color=color, linewidth=0.6 + 4 * weight, zorder=2)
            _tip(right, value, color, f"v{i}", hidden=i in self.hidden)
        right.plot(*mix, marker="D", markersize=9, color=colors["accent"], markeredgecolor=colors["panel"], zorder=6)
        return figure

    def _still_table(self, axes: Axes, colors: dict[str, str]) -> None:
        axes.set_axis_off()
        axes.set_xlim(0, 10)
        axes.set_ylim(len(self.K) + 1.9, -0.2)
        mono = {"fontfamily": "monospace", "fontsize": 8.5, "va": "center"}
        for x, head in ((0.3, "key"), (3.0, "q.k"), (5.3, "score"), (6.1, "weight")):
            axes.text(
                x,
                0.3,
                head,
                fontsize=8.5,
                color=colors["dim"],
                va="center",
                ha="right" if head in ("q.k", "score") else "left",
            )
        for i, (score, weight) in enumerate(zip(self.scores(), self.weights(), strict=True)):
            color = theme.sequence_color(str(i))
            axes.text(0.3, i + 1.1, f"k{i}", color=color, fontweight="bold", **mono)
            product = sum(a * b for a, b in zip(self.q, self.K[i], strict=True))
            axes.text(3.0, i + 1.1, f"{product:.2f}", ha="right", **mono)
            axes.text(5.3, i + 1.1, f"{score:.2f}", ha="right", **mono)
            axes.barh(i + 1.1, 2.4 * weight, left=6.1, height=0.5, color=color)
            axes.text(6.25 + 2.4 * weight, i + 1.1, f"{weight:.0%}", **mono)
        x, y = self.mixture()
        axes.text(0.3, len(self.K) + 1.35, f"mixture = ({x:.2f}, {y:.2f})", color=colors["accent"], **mono)


def _plane(axes: Axes, colors: dict[str, str]) -> None:
    margin = 0.35  # for the dot of a tip that stands at the edge
    axes.set_xlim(-SPAN - margin, SPAN + margin)
    axes.set_ylim(-SPAN - margin, SPAN + margin)
    axes.set_aspect("equal")
    axes.set_xticks(range(-3, 4), labels=[])
    axes.set_yticks(range(-3, 4), labels=[])
    axes.tick_params(length=0)
    axes.grid(True, axis="both", color=colors["line"], linewidth=0.6)
    axes.axhline(0, color=colors["edge"], linewidth=0.8, zorder=1)
    axes.axvline(0, color=colors["edge"], linewidth=0.8, zorder=1)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _arrow(axes: Axes, tip: Sequence[float], color: str, name: str, width: float = 1.8, hidden: bool = False) -> None:
    axes.plot([0, tip[0]], [0, tip[1]], color=color, linewidth=width, linestyle=":" if hidden else "-", zorder=3)
    _tip(axes, tip, color, name, hidden)


def _tip(axes: Axes, at: Sequence[float], color: str, name: str, hidden: bool = False) -> None:
    face = theme.palette()["panel"] if hidden else color
    axes.plot(*at, marker="o", markersize=15, color=face, markeredgecolor=color, markeredgewidth=1.4, zorder=4)
    axes.text(
        *at,
        name,
        color=color if hidden else "#ffffff",
        fontsize=7.5,
        fontweight="bold",
        ha="center",
        va="center_baseline",
        zorder=5,
    )
