"""Figures of where memory goes, in the look of the course (`labkit.theme`); matplotlib is loaded when one is drawn.

Each returns a `Picture`, which a notebook shows as its last expression. Every kind of slot has a look of its
own that can be told apart without colour: written slots are solid, reservations hatched, internal waste dotted,
external waste crossed, free slots blank.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from labkit import theme
from labkit.simulate.moments import Refusal
from labkit.simulate.replay import KINDS, Replay, useful_share, useful_share_over_time
from labkit.simulate.trace import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS: dict[str, dict[str, Any]] = {
    "used": {"facecolor": theme.sequence_color("A"), "hatch": None},
    "reservation": {"facecolor": "#c9dcf6", "hatch": "////"},
    "internal": {"facecolor": "#f7e3d4", "hatch": "...."},
    "external": {"facecolor": "#f3d5d2", "hatch": "xxxx"},
    "free": {"facecolor": theme.LIGHT["bg"], "hatch": None},
}
"""Fill and hatch of each kind of slot."""

EDGE = theme.LIGHT["dim"]
PAPER_SHARES = (0.204, 0.382)
"""Share of KV memory that held token states: "Orca (Max)" and "Orca (Oracle)" in Kwon et al., SOSP 2023, Fig. 2."""


class Picture:
    """A drawn figure and the sentence that says what is on it.

    Attributes:
        figure: the matplotlib figure.
        says: what somebody who cannot see it should read; it is the repr, the same in every run.
    """

    def __init__(self, figure: Figure, says: str) -> None:
        self.figure = figure
        self.says = says

    def __repr__(self) -> str:
        return self.says

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        # No Software or date chunk: the same picture gives the same bytes.
        self.figure.savefig(out, format="png", dpi=120, metadata={"Software": None})
        return out.getvalue()


def blank(height: float, width: float = 7.5) -> Figure:
    """An empty figure in the course's style, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    theme.use_mpl()
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def _box(axes: Axes, left: float, width: float, kind: str, y: float = 0.0, height: float = 1.0) -> None:
    if width > 0:
        axes.barh(y, width, left=left, height=height, edgecolor=EDGE, linewidth=0.6, **LOOKS[kind])


def _legend(axes: Axes, kinds: Sequence[str], **kwargs: Any) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(edgecolor=EDGE, linewidth=0.6, label=kind, **LOOKS[kind]) for kind in kinds]
    axes.legend(handles=handles, ncols=len(kinds), handlelength=1.6, handleheight=1.1, columnspacing=1.4, **kwargs)


def moment(refusal: Refusal) -> Picture:
    """Memory from the first slot to the last at one moment, and above it, to scale, the run that fits nowhere."""
    figure = blank(2.3)
    axes = figure.subplots()
    for start, length, used, final in refusal.reservations:
        _box(axes, start, used, "used")
        _box(axes, start + used, final - used, "reservation")
        _box(axes, start + final, length - final, "internal")
    for start, length in refusal.holes:
        _box(axes, start, length, "external" if length < refusal.wanted else "free")
        axes.text(
            start + length / 2,
            -0.62,
            f"{length:,}",
            ha="center",
            va="top",
            fontsize=7.5,
            color=theme.LIGHT["dim"],
            rotation=0 if length > refusal.num_slots / 25 else 90,
        )
    at = next((start for start, length in refusal.holes if length == refusal.longest), 0)
    at = min(at, refusal.num_slots - refusal.wanted)  # where the hole ends memory, the frame reaches into its neighbour
    axes.barh(
        1.05,
        refusal.wanted,
        left=at,
        height=0.55,
        facecolor="none",
        edgecolor=theme.LIGHT["bad"],
        linestyle="--",
        linewidth=1.4,
    )
    side = "left" if at + refusal.wanted * 2.6 < refusal.num_slots else "right"
    axes.text(
        at + refusal.wanted * (1.06 if side == "left" else -0.06),
        1.05,
        f"wanted: {refusal.wanted:,} slots in one piece",
        va="center",
        ha=side,
        fontsize=9,
        color=theme.LIGHT["bad"],
    )
    axes.set(xlim=(0, refusal.num_slots), ylim=(-1.15, 1.5), yticks=[], xlabel="slot (tokens)")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)
    free, slots = f"{refusal.free:,}", f"{refusal.num_slots:,}"
    axes.set_title(f"{free} of {slots} slots are free; the longest hole has {refusal.longest:,}")
    _legend(axes, ("used", "reservation", "external"), loc="upper center", bbox_to_anchor=(0.5, -0.3))
    said = f"Memory at one moment: {len(refusal.reservations)} runs with {len(refusal.holes)} holes between them"
    return Picture(figure, f"{said}; {refusal.wanted:,} slots are wanted, the longest hole has {refusal.longest:,}.")


def share_curve(trace: Trace, maxima: Sequence[int], marked: Sequence[int] = ()) -> Picture:
    """Useful share of a reservation against its length: when a request ends, and over its whole life."""
    figure = blank(3.7)
    axes = figure.subplots()
    # Only the system that reserves a maximum: to one that knows every length no reservation corresponds.
    paper = 100 * PAPER_SHARES[0]
    axes.axhline(paper, color=theme.LIGHT["dim"], linestyle=":", linewidth=1.2)
    axes.text(
        maxima[-1],
        paper + 1,
        f"PagedAttention paper, Orca (Max): {paper:.1f} %  ",
        va="bottom",
        ha="right",
        fontsize=8.5,
        color=theme.LIGHT["dim"],
    )
    axes.plot(maxima, 100 * useful_share(trace, maxima), color=theme.sequence_color("A"), label="when a request ends")
    axes.plot(
        maxima,
        100 * useful_share_over_time(trace, maxima),
        color=theme.sequence_color("B"),
        linestyle="--",
        label="over its whole life",
    )
    for maximum, share in zip(marked, 100 * useful_share(trace, list(marked)), strict=True):
        axes.plot([maximum], [share], "o", color=theme.sequence_color("A"), markersize=5)
        axes.annotate(f"{share:.0f} %", (maximum, share), xytext=(5, 5), textcoords="offset points", fontsize=9)
    axes.set_xscale("log", base=2)
    axes.set_xticks([2**k for k in range(9, 16) if maxima[0] <= 2**k <= maxima[-1]])
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()
    axes.set(
        xlabel="slots reserved for every request (tokens)",
        ylabel="slots that hold a token (%)",
        ylim=(0, 70),
        xlim=(maxima[0], maxima[-1]),
    )
    axes.set_title("What a reservation is worth")
    axes.legend(loc="upper right")
    ends = f"{100 * float(useful_share(trace, maxima[0])):.0f} % at {maxima[0]:,} slots to "
    ends += f"{100 * float(useful_share(trace, maxima[-1])):.0f} % at {maxima[-1]:,}"
    return Picture(figure, f"Useful share of a reservation when a request ends, from {ends}.")


def by_kind(runs: Sequence[Replay]) -> Picture:
    """Mean share of memory by kind while somebody waited, one bar a memory, and how many requests ran at once."""
    figure = blank(0.62 * len(runs) + 1.35)
    axes = figure.subplots()
    for row, run in enumerate(runs):
        left = 0.0
        for kind, share in run.shares().items():
            _box(axes, left, 100 * share, kind, y=row, height=0.62)
            if kind == "used":
                axes.text(
                    left + 50 * share,
                    row,
                    f"{100 * share:.0f} %",
                    ha="center",
                    va="center",
                    fontsize=9,
                    color=theme.LIGHT["onaccent"],
                )
            left += 100 * share
        axes.text(102, row, f"{run.mean_running():.1f}", va="center", fontsize=10)
    axes.text(102, -0.62, "requests\nat once", va="bottom", fontsize=8.5, color=theme.LIGHT["dim"])
    axes.set_yticks(range(len(runs)), [run.name for run in runs])
    axes.tick_params(axis="y", length=0, labelcolor=theme.LIGHT["ink"])
    axes.set(xlim=(0, 100), ylim=(len(runs) - 0.5, -0.5), xlabel="share of memory while somebody waited (%)")
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    shown = [kind for kind in KINDS if any(run.shares()[kind] > 0 for run in runs)]
    _legend(axes, shown, loc="upper center", bbox_to_anchor=(0.45, -0.62 / (0.62 * len(runs))))
    shares = "; ".join(f"{run.name}: {run.shares()['used']:.0%} used, {run.mean_running():.1f} at once" for run in runs)
    return Picture(figure, f"Memory by kind. {shares}.")
