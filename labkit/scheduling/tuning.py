"""Calming a storm: how many seats a server has in its next window. Lesson 21.

Fewer by a factor where much is lost in preemptions, more by a step where somebody waits for a seat and hardly anything
is: the rule by which TCP finds its window (Chiu and Jain, Computer Networks and ISDN Systems 17, 1989).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.scheduling.config import SchedulerConfig

STORM, CALM = 0.15, 0.05
"""Share of the computed tokens that preemptions had thrown away: above the one, and up to the other."""
FEWER, MORE = 0.7, 2


def tune_storm(config: SchedulerConfig, board: Mapping[str, Any]) -> SchedulerConfig:
    """The knobs for the next window.

    What is computed again after preemptions says that those who run take each other's memory, and fewer of them do not.
    Evictions that are regretted say something else: prefixes that do not fit, which no number of seats changes.

    Args:
        config: those of the window that has just ended.
        board: by figure the values of all windows so far, as a `labkit.observe.series.Series`; NaN for unknown.
    """
    running, waiting, computed, again = (board[name][-1] for name in ("running", "waiting", "computed", "recomputed"))
    if again > STORM * computed:
        return replace(config, seats=max(1, int(FEWER * min(running, config.seats))))
    if waiting > 0 and running >= config.seats and again <= CALM * computed:
        return replace(config, seats=config.seats + MORE)
    return config
