"""The board in a terminal: what a series says now, how it came there, and what each figure is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from labkit.observe.series import FIGURES, Series, Worth

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 40
"""Windows that the small curves show."""
MARKS = {Worth.EXACT: " ", Worth.PROXY: "≈", Worth.ABSENT: "-"}
SHARES = {"recomputed": "computed", "regretted": "evicted"}
"""Figures that are a part of another one: the part says more than the number."""
SHORT = ("delivered", "computed", "evicted", "regretted", "preempted", "running", "waiting", "held", "ttft_p99")
"""What a plain line says."""


def board(series: Series, problem: str = "", note: str = "") -> RenderableType:
    """A table of all figures, the last window and the `WIDTH` before it.

    Args:
        problem: why the last question gave nothing.
        note: a line below, such as where it is recorded.
    """
    table = Table(box=None, pad_edge=False, expand=True)
    for title, justify in (("", "left"), ("now", "right"), ("", "left"), ("", "left")):
        table.add_column(title, justify=justify, no_wrap=title == "now", overflow="fold")  # type: ignore[arg-type]
    before = ""
    for name, figure in FIGURES.items():
        worth, sentence = series.worth(name)
        values = series[name][-WIDTH:]
        told = Text("" if worth is Worth.ABSENT else value(name, values[-1] if len(values) else math.nan))
        style = "dim" if worth is Worth.ABSENT else ""
        shown, before = "as above" if sentence and sentence == before else sentence, sentence
        shown = "  ".join(filter(None, [share(series, name), shown]))
        table.add_row(
            Text(f"{MARKS[worth]} {figure.title}", style), told, Text(curve(values), "cyan"), Text(shown, "dim")
        )
    end = series.end_s[-1] if len(series) else 0.0
    lines: list[RenderableType] = [Text(f"{series.source}   {end:,.0f} s", "bold"), table]
    lines.append(
        Text(f"{MARKS[Worth.PROXY]} a sign of the figure, {MARKS[Worth.ABSENT]} not told by this server", "dim")
    )
    if problem:
        lines.append(Text(problem, "bold red"))
    if note:
        lines.append(Text(note, "dim"))
    return Group(*lines)


def line(series: Series, row: Mapping[str, float]) -> str:
    """One window as one line of text."""
    parts = []
    for name in SHORT:
        worth = series.worth(name)[0]
        if name in row:
            parts.append(f"{name} {'≈' if worth is Worth.PROXY else ''}{value(name, row[name])}")
    return f"{row['end_s']:8.1f} s  " + ", ".join(parts)


def legend(series: Series) -> str:
    """What is not exact, a line a figure."""
    told = [(name, *series.worth(name)) for name in FIGURES]
    return "\n".join(f"  {MARKS[worth]} {name}: {why}" for name, worth, why in told if worth is not Worth.EXACT)


def share(series: Series, name: str) -> str:
    """ "27.4 % of blocks evicted": the last window's share of a figure in the one that it is a part of; "" for none."""
    whole = SHARES.get(name)
    if whole is None or not len(series) or not series[whole][-1] > 0 or math.isnan(series[name][-1]):
        return ""
    return f"{100 * series[name][-1] / series[whole][-1]:.1f} % of {FIGURES[whole].title}"


def value(name: str, number: float) -> str:
    """A figure in the words of its unit; "" where it is not known."""
    if math.isnan(number):
        return ""
    unit = FIGURES[name].unit
    if unit == "share":
        return f"{100 * number:.1f} %"
    if unit == "s":
        return f"{1000 * number:.1f} ms" if number < 1 else f"{number:.2f} s"
    if unit == "flop":
        return f"{number:.3g} flop"
    digits = 0 if unit == "requests" or number >= 100 or number == 0 else 2
    return f"{number:,.{digits}f} {unit}"


def curve(values: np.ndarray) -> str:
    """Numbers as bars from 0 to the largest of them; a space where one is not known."""
    most = np.nanmax(values) if len(values) and not np.isnan(values).all() else 0.0
    if not most > 0:
        return "".join(" " if math.isnan(number) else BARS[0] for number in values)
    return "".join(" " if math.isnan(n) else BARS[min(7, max(0, int(8 * n / most)))] for n in values)
