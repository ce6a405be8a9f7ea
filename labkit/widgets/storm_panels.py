"""What the storm board shows, as data: a panel is a title, lines over time, and the words for them.

In `headline`, `note` and `says`, `{name}` stands for a figure of the window in its unit, `{part/whole}` for a share of
two. A text with a figure that is not known in the window is left out.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from labkit.errors import BoardError
from labkit.observe.series import FIGURES


class Line(NamedTuple):
    """A figure over time.

    Attributes:
        figure: its name in a series.
        label: in the legend.
        color: a token of the theme (`labkit/theme.py`).
        look: "area" (a line over a tint), "line", "dash", or "held", "cached", "free": parts of a stack.
        over: the figure of which its share is drawn, on a scale of its own from 0 to 100%; "" for the figure itself.
    """

    figure: str
    label: str
    color: str
    look: str = "line"
    over: str = ""


class Panel(NamedTuple):
    """One picture of the board.

    Attributes:
        lines: at most three.
        big: in the first row.
        headline, note: the large text of the window in the cursor, and the small one behind it.
        says: clauses for the sentence below the pictures.
    """

    title: str
    lines: tuple[Line, ...]
    headline: str
    note: str = ""
    says: tuple[str, ...] = ()
    big: bool = False


PANELS: tuple[Panel, ...] = (
    Panel(
        "Tokens/s",
        (Line("delivered", "delivered", "s0", "area"), Line("computed", "computed", "s5", "dash")),
        "{delivered}",
        "delivered",
        ("{delivered} tokens/s delivered", "{computed} computed"),
        big=True,
    ),
    Panel(
        "Evictions/s",
        (Line("evicted", "cached blocks", "s4", "area"), Line("regretted", "regretted", "bad", "dash")),
        "{evicted}",
        "{regretted/evicted} regretted",
        ("{evicted} cached blocks/s evicted", "{regretted} wanted again"),
        big=True,
    ),
    Panel(
        "Preemptions/s",
        (
            Line("preempted", "preempted", "s1", "area"),
            Line("recomputed", "tokens recomputed", "bad", "dash", over="computed"),
        ),
        "{preempted}",
        "{recomputed/computed} recomputed",
        ("{preempted} preemptions/s", "{recomputed/computed} of the computed tokens were computed before"),
        big=True,
    ),
    Panel(
        "Blocks",
        (
            Line("held", "held", "held", "held"),
            Line("cached", "cached", "edge", "cached"),
            Line("free", "free", "line", "free"),
        ),
        "{held} held",
        says=("{held} of the blocks held, {cached} cached",),
    ),
    Panel(
        "Waiting",
        (Line("waiting", "waiting", "s3", "area"), Line("waiting_for_memory", "for memory", "s6", "dash")),
        "{waiting}",
        says=("{waiting} wait", "{waiting_for_memory} of them for memory"),
    ),
    Panel(
        "First token after",
        (Line("ttft_p50", "median", "s2"), Line("ttft_p99", "p99", "s2", "dash")),
        "",
        says=("first token after {ttft_p50} (p99 {ttft_p99})",),
    ),
    Panel(
        "Between tokens",
        (Line("itl_p50", "median", "s7"), Line("itl_p99", "p99", "s7", "dash")),
        "",
        says=("{itl_p50} between tokens (p99 {itl_p99})",),
    ),
)
"""The board of the course: what users get, and beside it, as large, what it costs."""

PROMISE_PANELS: tuple[Panel, ...] = (
    Panel(
        "Requests/s",
        (
            Line("goodput", "served well", "s2", "area"),
            Line("finished", "finished", "s0"),
            Line("arrived", "came", "dim", "dash"),
        ),
        "{goodput}",
        "served well",
        ("{arrived} requests/s came", "{finished} finished", "{goodput} were served well"),
        big=True,
    ),
    *(panel for panel in PANELS if panel.title in ("Tokens/s", "Blocks", "First token after")),
)
"""What was promised, beside what it takes: for somebody who looks for the size that is enough."""

_PLACE = re.compile(r"\{(\w+)(?:/(\w+))?\}")


def figures_of(panels: tuple[Panel, ...]) -> list[str]:
    """The names of all figures that panels draw or speak of, in the order of `FIGURES`.

    Raises:
        BoardError: a panel names a figure that there is not.
    """
    used: set[str] = set()
    for panel in panels:
        used |= {name for line in panel.lines for name in (line.figure, line.over)}
        for text in (panel.headline, panel.note, *panel.says):
            used |= {name for place in _PLACE.findall(text) for name in place}
    unknown = used - set(FIGURES) - {""}
    if unknown:
        raise BoardError(f"There is no figure {min(unknown)!r:.60} in a series; there are {', '.join(FIGURES)}.")
    return [name for name in FIGURES if name in used]


def as_data(panel: Panel) -> dict[str, Any]:
    """A panel as the page reads it."""
    return panel._asdict() | {"lines": [line._asdict() for line in panel.lines]}
