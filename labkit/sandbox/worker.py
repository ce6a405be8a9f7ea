"""The process that runs one job: it waits for it on standard input, and answers through what was its standard output.

It is started with `python -P -m labkit.sandbox.worker MODULE...`, imports those modules while it waits, and is never
used twice. Its answer goes through a pipe that is moved away before the job begins: nothing that the code prints
reaches it, and nothing that the code starts inherits it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from labkit.sandbox import limits, supervisor
from labkit.sandbox.journal import Journal

CHANNEL_CLOSED = 77
"""Exit status where the answer could not be sent: the code closed the pipe."""

_dumps, _write, _exit = json.dumps, os.write, os._exit


class Session:
    """What a job's function gets beside its argument.

    Attributes:
        journal: where every operation is written before it runs.
        output: stands in for standard output and standard error.
    """

    def __init__(self, job: dict[str, Any], channel: int) -> None:
        self.journal = Journal(Path(job["journal"]))
        self.output = limits.CountedOutput()
        self._memory_bytes: int = job["memory_bytes"]
        self._processor_seconds: float = job["processor_seconds"]
        self._channel = channel

    def begin(self) -> None:
        """Say that the code's own work begins: what was loaded before counts towards no limit."""
        limits.limit_process(self._memory_bytes, self._processor_seconds)
        self.send({"begun": True})

    def send(self, message: dict[str, Any]) -> None:
        """Write one message to the asking side; a process that cannot has nothing left to do."""
        data = b"\n" + _dumps(message, default=_text).encode() + b"\n"
        try:
            while data:
                data = data[_write(self._channel, data) :]
        except OSError:
            _exit(CHANNEL_CLOSED)


def main() -> None:
    """Wait for one job, do it, answer, exit."""
    if hasattr(os, "fork"):
        supervisor.supervise(os.getcwd())
    for name in sys.argv[1:]:
        importlib.import_module(name)
    line = sys.stdin.readline()
    if not line.strip():
        return
    job = json.loads(line)
    session = Session(job, _move_channel())
    if hasattr(os, "register_at_fork"):
        # A copy of this process would go on beside it and send an answer of its own.
        os.register_at_fork(after_in_child=lambda: _exit(0))
    sys.stdout = sys.stderr = session.output
    message: dict[str, Any]
    try:
        module, _, name = str(job["call"]).partition(":")
        message = {"answer": getattr(importlib.import_module(module), name)(job["argument"], session)}
    except BaseException as error:
        message = {"error": "".join(traceback.format_exception(error))[-4000:]}
    session.send(message)
    _exit(0)  # threads or atexit hooks of the code must not hold the process


def _text(value: Any) -> str:
    """What JSON has no form for; never an error, whatever the value does."""
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _move_channel() -> int:
    """Move the answer's pipe away from descriptor 1, and point the three standard ones at the null device."""
    if sys.platform == "win32":
        channel = os.dup(1)
    else:
        import fcntl
        import resource

        # High up, where code that closes "all" descriptors below a few hundred does not meet it.
        highest = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1
        channel = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, max(3, min(highest, 4096)))
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    return channel


if __name__ == "__main__":
    main()
