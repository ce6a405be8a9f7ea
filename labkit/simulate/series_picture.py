"""A run over time on four panels, one below the other; matplotlib is loaded when one is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from labkit import theme
from labkit.errors import SimulationError
from labkit.observe.series import Series

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_series(series: Series, path: Path) -> None:
    """Draw a series into a file, whose name says in which form.

    Raises:
        SimulationError: no window, or a form that matplotlib does not write.
    """
    if not len(series):
        raise SimulationError("There is no window to draw: simulate more than no time.")
    figure = drawn(series)
    if path.suffix[1:].lower() not in figure.canvas.get_supported_filetypes():
        raise SimulationError(f"{path.name} has no form that can be drawn: end its name in .png, .svg or .pdf.")
    figure.savefig(path)


def drawn(series: Series) -> Figure:
    """The figure of a series that has a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    theme.use_mpl()
    figure = Figure(figsize=(9, 9), layout="constrained")
    FigureCanvasAgg(figure)
    at = series.end_s
    speed, evictions, memory, waiting = figure.subplots(4, sharex=True)
    speed.set_title(series.source)
    speed.set_ylabel("tokens/s")
    for name, style in (("computed", "--"), ("delivered", "-"), ("recomputed", ":")):
        speed.plot(at, series[name], style, label=name)
    evictions.set_ylabel("a second")
    for name, style in (("evicted", "-"), ("regretted", "--"), ("preempted", ":")):
        evictions.plot(at, series[name], style, label={"regretted": "evicted, wanted again"}.get(name, name))
    if not any(np.nan_to_num(series[name]).any() for name in ("evicted", "regretted", "preempted")):
        evictions.set_ylim(0, 1)
    memory.set_ylabel("share of blocks")
    memory.set_ylim(0, 1)
    looks = {"held": theme.LIGHT["held"], "cached": theme.LIGHT["cached"], "free": theme.LIGHT["free"]}
    memory.stackplot(at, *(series[name] for name in looks), labels=list(looks), colors=list(looks.values()))
    waiting.set_ylabel("requests")
    waiting.set_xlabel("simulated time, s")
    for name, style in (("running", "-"), ("waiting", "--"), ("waiting_for_memory", ":")):
        waiting.plot(at, series[name], style, label=name.replace("_", " "))
    for axes in (speed, evictions, memory, waiting):
        # Above its panel: inside it would lie on the curves.
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, borderaxespad=0.2)
        axes.margins(x=0)
    return figure
