"""The process between the asking side and the worker: it waits for the worker's end, and ends what the worker left.

On Linux it is the one to which orphans fall (PR_SET_CHILD_SUBREAPER), so a new session, a double fork or a daemon is
still found below it. It goes, and all below it, when the asking side closes its end of standard input: also by dying.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import sys
from time import monotonic
from typing import Any

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

END_SECONDS = 5.0
"""How long descendants are looked for and ended; those of other users cannot be."""

LOOK_SECONDS = 0.5
"""How often it looks whether the asking process is still there, should somebody else hold its end of the pipe."""


def supervise(folder: str = "") -> None:
    """Fork. The child returns, to be the worker; this process stays, and never returns.

    Args:
        folder: the job's own, which goes with the job where the asking side has died and cannot remove it.
    """
    asking = os.getppid()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    here = os.getpid()
    worker = os.fork()
    if worker == 0:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != here:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.close(woken)
        os.close(wake)
        return
    try:
        ended = _until_the_end(worker, asking, woken)
        end_descendants()
        if ended is not None:
            os.write(1, b"\n" + json.dumps({"ended": ended}).encode() + b"\n")
        if folder and os.getppid() != asking:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os._exit(0)


def _until_the_end(worker: int, asking: int, woken: int) -> dict[str, Any] | None:
    """Wait for the worker, or for the asking side to close; how the worker ended, None if it has not."""
    poll = select.poll()
    poll.register(0, 0)  # only that it is closed; what comes through it is for the worker
    poll.register(woken, select.POLLIN)
    while True:
        events = dict(poll.poll(LOOK_SECONDS * 1000))
        if woken in events:
            os.read(woken, 4096)
        pid, status, used = os.wait4(worker, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return {"code": code, "processor_seconds": used.ru_utime + used.ru_stime}
        if 0 in events or os.getppid() != asking:
            return None


def end_descendants() -> None:
    """Kill every process below this one, until there is none: the orphans of those killed fall to this one."""
    end = monotonic() + END_SECONDS
    this = psutil.Process()
    while monotonic() < end:
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break
        below = this.children(recursive=True)
        if not below:
            return
        for process in below:  # stopped first, so that none forks away while the others are killed
            _signal(process, signal.SIGSTOP)
        for process in below:
            _signal(process, signal.SIGKILL)


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


def _prctl(option: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


if __name__ == "__main__":
    # python -m labkit.sandbox.supervisor ARGUMENT... supervises another Python, with nothing of this one loaded in it.
    supervise()
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
