"""Time as a process had it: what it computed, and what it waited for a processor because others had it.

A limit on the wall clock accuses right code on a busy machine. So limits count processor time, and where a process may
as well sleep, the time on the wall less what it spent waiting in the run queue, as far as the system tells (Linux:
/proc/PID/schedstat, of the main thread).
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import psutil


def processor_seconds(pid: int) -> float:
    """Processor time of a process, its threads and the children it waited for, in seconds; 0.0 where it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system + getattr(times, "children_user", 0) + getattr(times, "children_system", 0))


def queued_seconds(pid: int | str = "self") -> float:
    """How long the main thread of a process was ready to run without a processor; 0.0 where nobody says."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


RECENT_SECONDS = 0.01
_told = [-RECENT_SECONDS, 0.0]  # when the kernel was asked last about this process, and what it said


def _recently_queued() -> float:
    """`queued_seconds` of this process, as it was RECENT_SECONDS ago at most: to ask takes longer than most calls."""
    now = monotonic()
    if not 0 <= now - _told[0] < RECENT_SECONDS:
        _told[:] = now, queued_seconds()
    return _told[1]


class Stopwatch:
    """Time from now on for one process.

    Args:
        pid: the process; "self" for this one.
        recent: whether, for this process, as much as RECENT_SECONDS in the run queue before now may count as after it.
    """

    def __init__(self, pid: int | str = "self", recent: bool = False) -> None:
        self._pid = pid
        self._start = monotonic()
        self._queued = _recently_queued() if recent else queued_seconds(pid)

    def wall(self) -> float:
        """Seconds on the wall."""
        return monotonic() - self._start

    def own(self) -> float:
        """Seconds on the wall less those in the run queue: what an idle machine would have taken, at most."""
        return self.wall() - (queued_seconds(self._pid) - self._queued)
