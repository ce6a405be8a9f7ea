"""Limits of time, memory and output, held for every single operation.

Whatever breaks a limit is raised as a BaseException, so that it leaves Hypothesis at once: an ordinary exception would
be taken for a failing example and shrunk until the time is up.
"""

from __future__ import annotations

import ctypes
import io
import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from labkit.sandbox.clock import Stopwatch

OUTPUT_LIMIT = 100_000
"""Characters that the code under check may print in one operation."""

KEPT_OUTPUT = 2_000
"""Characters of it that are shown."""


class LimitReached(BaseException):
    """Base of the limits. `kind` is the kind of the verdict."""

    kind = "limit"


class OperationTimeout(LimitReached):
    """One operation did not come back in time."""

    kind = "endless-loop"


class OutOfMemory(LimitReached):
    """The memory limit of the process was reached."""

    kind = "memory"


class OutputFlood(LimitReached):
    """More was printed than any reader would read."""

    kind = "output"


class Exited(LimitReached):
    """The code under check raised SystemExit or KeyboardInterrupt."""

    kind = "exit"


WALL_FACTOR = 2.0
"""An operation may take this many times its limit by the clock on the wall: a sleep uses no processor time."""


class _Alarms:
    """Whether the signals are ours now, and of the block that `time_limit` holds: its time on the wall, its watch."""

    held = False
    block: tuple[float, Stopwatch] | None = None

    def ring(self, signum: int, _frame: object) -> None:
        if self.block is not None and (signum == signal.SIGPROF or self.block[1].own() >= 0.9 * self.block[0]):
            raise OperationTimeout


_alarms = _Alarms()


@contextmanager
def alarms() -> Iterator[None]:
    """Hold the signals of `time_limit` for many blocks: to take them for each takes longer than most of the blocks."""
    if _alarms.held or not (hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()):
        yield
        return
    old_wall, old_cpu = signal.signal(signal.SIGALRM, _alarms.ring), signal.signal(signal.SIGPROF, _alarms.ring)
    _alarms.held = True
    try:
        yield
    finally:
        _alarms.held = False
        signal.signal(signal.SIGALRM, old_wall)
        signal.signal(signal.SIGPROF, old_cpu)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise OperationTimeout in the main thread if the block takes too long.

    The limit is processor time, so that a busy machine does not turn a slow answer into a wrong one; WALL_FACTOR
    times as much may pass on the wall, less what went by waiting for a processor. Both alarms repeat, so that code
    which swallows the first is interrupted again; code that swallows all of them is ended by the parent's limit on the
    whole check.
    """
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
        wall = seconds * WALL_FACTOR
        with alarms():
            _alarms.block = wall, Stopwatch(recent=True)
            signal.setitimer(signal.ITIMER_REAL, wall, wall)
            signal.setitimer(signal.ITIMER_PROF, seconds, seconds)
            try:
                yield
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.setitimer(signal.ITIMER_REAL, 0)
                _alarms.block = None
    else:
        timer = threading.Timer(seconds * WALL_FACTOR, _raise_in, args=(threading.get_ident(), OperationTimeout))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _raise_in(thread: int, exception: type[BaseException]) -> None:
    """Where there is no interval timer (Windows): ask the interpreter to raise at the next bytecode."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(exception))


_start_bytes = 0
_extra_bytes = 0


def limit_process(extra_bytes: int, processor_seconds: float) -> None:
    """Let the process grow by `extra_bytes` beyond what it maps now, and compute for so long beyond what it has.

    Memory: Linux; elsewhere the asking side watches. Time: the asking side ends the process before this limit does,
    which is for a process that nobody watches any more.
    """
    global _start_bytes, _extra_bytes
    if sys.platform == "win32":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    last = math.ceil(used.ru_utime + used.ru_stime + processor_seconds) + 5
    resource.setrlimit(resource.RLIMIT_CPU, (last, last))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform.startswith("linux"):
        mapped, _start_bytes = _pages(0), _pages(1)
        _extra_bytes = extra_bytes
        resource.setrlimit(resource.RLIMIT_AS, (mapped + extra_bytes, mapped + extra_bytes))


def mostly_used() -> bool:
    """Whether much of the memory limit is in use: a slow machine may ring the alarm before the limit is hit."""
    return bool(_extra_bytes) and _pages(1) - _start_bytes > _extra_bytes // 4


def _pages(field: int) -> int:
    import resource

    with open("/proc/self/statm") as file:
        return int(file.read().split()[field]) * resource.getpagesize()


class CountedOutput(io.TextIOBase):
    """Stands in for sys.stdout and sys.stderr: keeps the beginning, counts the rest, and stops a flood."""

    def __init__(self, limit: int = OUTPUT_LIMIT, keep: int = KEPT_OUTPUT) -> None:
        self.limit, self.keep, self.count = limit, keep, 0
        self._kept: list[str] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self.count += len(text)
        if self._length < self.keep:
            part = text[: self.keep - self._length]
            self._kept.append(part)
            self._length += len(part)
        if self.count > self.limit:
            self.count = 0  # the next flood, should this one be swallowed, is stopped again
            raise OutputFlood
        return len(text)

    def start_operation(self) -> None:
        """Count anew: the limit holds for one operation, so that a print for debugging is no flood."""
        self.count = 0

    @property
    def text(self) -> str:
        """What was kept, without halves of surrogate pairs, which nothing can print."""
        return "".join(self._kept).encode("utf-8", "backslashreplace").decode("utf-8")
