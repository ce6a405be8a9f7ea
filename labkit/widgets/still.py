"""Pen and paper for the widgets' still pictures: what a page shows where no kernel runs.

The pictures themselves are in `still_boards` and `still_cards`. All of them are drawn in pixels on one pair of axes
900 wide with y down, so that they can follow the page's layout.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from labkit import theme
from labkit.widgets.base import blank_figure, pixel_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 900
"""Pixels across, at the style's 120 dots an inch."""

MARGIN = 14
_C = theme.LIGHT


def canvas(height: float) -> tuple[Figure, Axes]:
    """A figure `WIDTH` by `height` pixels with a card's frame, and its pixel axes."""
    figure = blank_figure(height=height / 120, width=WIDTH / 120)
    axes = pixel_axes(figure, WIDTH, height)
    rounded(axes, 1, 1, WIDTH - 2, height - 2, radius=10, fill=_C["panel"], edge=_C["line"], zorder=0)
    return figure, axes


def stacked(*figures: Figure) -> Figure:
    """Figures from `canvas`, one below the other, as one."""
    import numpy as np

    pictures = []
    for figure in figures:
        figure.set_dpi(120)
        figure.canvas.draw()
        pictures.append(np.asarray(figure.canvas.buffer_rgba()))  # type: ignore[attr-defined]
        figure.clear()
    whole = np.vstack(pictures)
    paper = blank_figure(height=whole.shape[0] / 120, width=WIDTH / 120)
    paper.figimage(whole, origin="upper")
    return paper


def text(axes: Axes, x: float, y: float, words: str, size: float = 12, color: str = "ink", **kwargs: Any) -> Any:
    """Text at (x, y): size in pixels, colour a token name or `#rrggbb`. A dollar sign is a dollar sign."""
    kwargs.setdefault("va", "center")
    return axes.text(
        x, y, words, fontsize=size * 0.6, color=_C.get(color, color), parse_math=False, **kwargs
    )  # 0.6 points a pixel at 120 dots an inch


def mono(axes: Axes, x: float, y: float, words: str, size: float = 11.5, color: str = "ink", **kwargs: Any) -> Any:
    """Like `text`, in the monospaced face."""
    return text(axes, x, y, words, size, color, family="monospace", **kwargs)


def rounded(
    axes: Axes,
    x: float,
    y: float,
    w: float,
    h: float,
    radius: float = 3,
    fill: str = "none",
    edge: str = "none",
    **kw: Any,
) -> Any:
    """A box with round corners."""
    from matplotlib.patches import FancyBboxPatch

    radius = min(radius, w / 2, h / 2)
    box = FancyBboxPatch(
        (x + radius, y + radius),
        w - 2 * radius,
        h - 2 * radius,
        boxstyle=f"round,pad={radius},rounding_size={radius}",
        facecolor=fill,
        edgecolor=edge,
        linewidth=kw.pop("linewidth", 0.7),
        **kw,
    )
    axes.add_patch(box)
    return box


def rects(
    axes: Axes, boxes: Iterable[tuple[float, float, float, float, str]], edge: str = "none", **kwargs: Any
) -> None:
    """Many plain boxes (x, y, w, h, colour) as one collection: 10,000 of them are one artist."""
    from matplotlib.collections import PolyCollection

    corners, colors = [], []
    for x, y, w, h, color in boxes:
        corners.append([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
        colors.append(color)
    if corners:
        axes.add_collection(PolyCollection(corners, facecolors=colors, edgecolors=edge, **kwargs), autolim=False)


def wrap(words: str, columns: int) -> list[str]:
    """Lines of at most `columns` characters; a line break in `words` stays one."""
    import textwrap

    lines: list[str] = []
    for line in words.splitlines() or [""]:
        lines += textwrap.wrap(line, columns, break_long_words=True) or [""]
    return lines


def tint(color: str, share: float) -> str:
    """`color` mixed with white: `share` of it, from 0 to 1."""
    mixed = [round(int(color[i : i + 2], 16) * share + 255 * (1 - share)) for i in (1, 3, 5)]
    return "#{:02x}{:02x}{:02x}".format(*mixed)
