"""What the drill board shows: the panels of the storm board, and beside them all else that can be pinned."""

from __future__ import annotations

from labkit.widgets.storm_panels import PANELS, Line, Panel

_BY_TITLE = {panel.title: panel for panel in PANELS}

DRILL_PANELS: tuple[Panel, ...] = (
    *(panel for panel in PANELS if panel.big),
    _BY_TITLE["Blocks"],
    Panel(
        "Requests",
        (
            Line("running", "running", "s0", "area"),
            Line("waiting", "waiting", "s3"),
            Line("waiting_for_memory", "for memory", "s6", "dash"),
        ),
        "",
        says=(
            "{running} run",
            "{waiting} wait",
            "{waiting_for_memory} of them for memory (all or none, as the last step had room)",
        ),
    ),
    _BY_TITLE["First token after"],
    _BY_TITLE["Between tokens"],
    Panel(
        "Found in the cache",
        (Line("hit_rate", "of prompt tokens", "s2", "area"),),
        "{hit_rate}",
        says=("{hit_rate} of the prompt tokens found in the cache",),
    ),
    Panel(
        "Requests/s",
        (
            Line("arrived", "came", "s6"),
            Line("finished", "finished", "s0"),
            Line("goodput", "in time", "s2", "dash"),
        ),
        "",
        says=("{arrived} requests/s came", "{goodput} finished in time"),
    ),
    Panel("Refused/s", (Line("refused", "at the door", "bad", "area"),), "{refused}"),
    Panel("Last token after", (Line("e2e_p99", "p99", "s1", "dash"),), "{e2e_p99}"),
)
"""Every figure on which evidence of a drill stands, and as many on which none does."""
