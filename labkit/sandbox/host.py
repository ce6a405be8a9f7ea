"""The asking side of a sandbox: one worker a job, one spare kept warm, and the limits that only a parent can hold.

`run` always comes back, whatever the code does: a worker that dies or does not answer is ended with all that it
started, and its journal tells what it was doing.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal

import psutil

from labkit.sandbox import isolation, journal
from labkit.sandbox.clock import processor_seconds, queued_seconds
from labkit.sandbox.isolation import Isolation
from labkit.sandbox.worker import CHANNEL_CLOSED

Ended = Literal["answer", "exit", "time", "memory", "busy", "machine", "error", "channel"]

WALL_SECONDS = 60.0
"""After this long on the wall a job that got less than its processor time is given up: the machine is busy, unless the
job slept nearly all the time."""

ALONE_SECONDS = 60.0
"""How long the second try of such a job waits for the jobs of this person's other processes to end."""

ANSWER_BYTES = 32 << 20
"""More than this is not read from a worker."""

CLOSE_SECONDS = 8.0
"""How long a supervisor has to end what is below it."""


@dataclass(frozen=True)
class Limits:
    """What a job may use from when it calls `Session.begin`.

    Attributes:
        processor_seconds: processor time of the worker and of what it started.
        memory_bytes: how much it may allocate beyond what it holds then.
    """

    processor_seconds: float = 15.0
    memory_bytes: int = 400 << 20


@dataclass
class Outcome:
    """How a job ended.

    Attributes:
        ended: "answer"; "exit": the process ended before it answered; "time", "memory": a limit of the job; "busy": it
            got too little processor time, twice; "machine": it could not be started (`reason` says why); "error": the
            job's own function raised (`reason` is the traceback); "channel": the code closed the pipe of the answer.
        answer: what the job's function returned, as JSON has it.
        crash: the name of the signal that ended the process; "" where none did.
        reason: see `ended`.
        journal: what was running; see `labkit.sandbox.journal`.
        isolation: what held the code.
    """

    ended: Ended
    answer: Any = None
    crash: str = ""
    reason: str = ""
    journal: journal.Entries = field(default_factory=journal.Entries)
    isolation: Isolation = "process"


_spare: Worker | None = None
_spare_lock = threading.Lock()


def run(
    call: str,
    argument: Any,
    *,
    limits: Limits = Limits(),
    preload: tuple[str, ...] = (),
    isolated: bool = False,
    keep_spare: bool = False,
) -> Outcome:
    """Call a function of labkit in a sandbox.

    Args:
        call: "module:function"; the function takes the argument and a `labkit.sandbox.worker.Session`.
        argument: JSON-able.
        limits: what it may use.
        preload: modules that the worker imports while it waits; what is imported later counts against the limits.
        isolated: whether the code is somebody else's, to be held in a namespace where the machine can.
        keep_spare: whether to start the next worker already.

    Raises:
        KeyboardInterrupt: this process was interrupted; the worker and all that it started have ended.
    """
    isolated = isolated and isolation.strongest() == "bubblewrap"
    outcome = Outcome("busy")
    with _interrupts_held() as interrupted:
        for alone in (False, True):
            with _beside_others(alone, interrupted):
                outcome = _once(call, argument, limits, preload, isolated, interrupted)
            if keep_spare:
                warm(preload, isolated)
            if outcome.ended != "busy" or interrupted.is_set():
                break
    return outcome


@contextmanager
def _interrupts_held() -> Iterator[threading.Event]:
    """An interrupt is noted, and raised at the end: one in mid-start or in mid-end would leave a worker behind."""
    interrupted = threading.Event()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupted
        return
    signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if interrupted.is_set():
        raise KeyboardInterrupt


def warm(preload: tuple[str, ...] = (), isolated: bool = False) -> None:
    """Start the spare worker, so that the next job does not wait for imports; where it cannot be, `run` says why."""
    global _spare
    isolated = isolated and isolation.strongest() == "bubblewrap"
    with _spare_lock:
        if _spare is None or not _spare.fits(preload, isolated):
            if _spare is not None:
                _spare.close()
                _spare = None
            try:
                _spare = Worker(preload, isolated)
            except OSError:
                _spare = None


def close() -> None:
    """End the spare worker."""
    global _spare
    with _spare_lock:
        if _spare is not None:
            _spare.close()
            _spare = None


atexit.register(close)


def _once(
    call: str, argument: Any, limits: Limits, preload: tuple[str, ...], isolated: bool, interrupted: threading.Event
) -> Outcome:
    global _spare
    worker: Worker | None = None
    try:
        with _spare_lock:
            if _spare is not None and _spare.fits(preload, isolated):
                worker, _spare = _spare, None
        worker = worker or Worker(preload, isolated)
        outcome = worker.run(call, argument, limits, interrupted)
        outcome.isolation = "bubblewrap" if isolated else "process"
        return outcome
    except OSError as error:
        return Outcome("machine", reason=error.strerror or str(error))
    finally:
        if worker is not None:
            worker.close()


@contextmanager
def _beside_others(alone: bool, interrupted: threading.Event) -> Iterator[None]:
    """Run beside the jobs of this person's other processes, or with none; after ALONE_SECONDS in any case."""
    try:
        import fcntl

        file = open(Path(tempfile.gettempdir()) / f"labkit-jobs-{os.getuid()}", "a")  # noqa: SIM115
    except (ImportError, OSError):  # Windows, or no temporary folder, of which `Worker` will tell
        yield
        return
    with file:
        end = monotonic() + ALONE_SECONDS
        while monotonic() < end and not interrupted.is_set():
            try:
                fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                break
            except OSError:
                sleep(0.1)
        yield


class Worker:
    """One worker process with its supervisor, waiting for its only job.

    Args:
        preload: modules that it imports while it waits.
        isolated: whether it runs in a namespace.

    Raises:
        OSError: there is no temporary folder, no room in it, or no process to be had.
    """

    def __init__(self, preload: tuple[str, ...], isolated: bool) -> None:
        self.preload, self.isolated = preload, isolated
        self.environment = isolation.environment(isolated)
        self.folder = Path(tempfile.mkdtemp(prefix="labkit-job-"))
        self.messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.mark = self.folder.name
        try:
            journal.create(self.folder / "journal")
            self.process = subprocess.Popen(
                isolation.command(list(preload), self.folder, isolated),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**self.environment, "LABKIT_JOB": self.mark},
                cwd=self.folder,
                start_new_session=True,
            )
        except OSError:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        threading.Thread(target=self._read, daemon=True).start()

    def fits(self, preload: tuple[str, ...], isolated: bool) -> bool:
        """Whether it is alive, and was started in the same way with no less loaded."""
        return (
            self.process.poll() is None
            and self.isolated == isolated
            and set(preload) <= set(self.preload)
            and self.environment == isolation.environment(isolated)
        )

    def run(self, call: str, argument: Any, limits: Limits, interrupted: threading.Event) -> Outcome:
        """Give the job, wait, and end all that the code started."""
        job = {
            "call": call,
            "argument": argument,
            "journal": str(self.folder / "journal"),
            "memory_bytes": limits.memory_bytes,
            "processor_seconds": limits.processor_seconds,
        }
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            pass  # it is gone, and its last message says how
        outcome = self._wait(limits, interrupted)
        outcome.journal = journal.read(self.folder / "journal")
        self.end()
        return outcome

    def _wait(self, limits: Limits, interrupted: threading.Event) -> Outcome:
        """Wait for the answer or the end. The limits count from when the worker says that it begins."""
        seconds, began, look, memory = limits.processor_seconds, monotonic(), 0.0, 0
        begun, computed, queued = False, 0.0, {}
        while True:
            try:
                message = self._message(0.1)
            except queue.Empty:
                message = {}
            if message is None:  # the pipe is closed: all have ended, the supervisor too
                return Outcome("exit", crash=_signal_name(self.process.poll()))
            if interrupted.is_set():
                return Outcome("busy")
            if "begun" in message and not begun:
                begun, began, computed, queued = True, monotonic(), self._computed(), self._queued()
                memory = self._resident() + limits.memory_bytes
            if "answer" in message:
                return Outcome("answer", message["answer"])
            if "error" in message:
                return Outcome("error", reason=str(message["error"]))
            if "ended" in message:
                code = int(message["ended"].get("code", 0))
                return Outcome("channel" if code == CHANNEL_CLOSED else "exit", crash=_signal_name(code))
            if begun and not sys.platform.startswith("linux") and self._resident() > memory:
                return Outcome("memory")
            wall = monotonic() - began
            if begun and wall > max(look, seconds):
                look = wall + 0.3
                worked = self._computed() - computed
                waited = max((now - queued.get(pid, 0.0) for pid, now in self._queued().items()), default=0.0)
                asleep = wall - waited - worked
                entries = journal.read(self.folder / "journal")
                in_last = entries.in_last if entries.count else wall
                if worked > seconds or (asleep > seconds and in_last > seconds):
                    return Outcome("time")
                if wall > max(WALL_SECONDS, 2 * seconds):
                    return Outcome("time" if asleep > 0.8 * wall else "busy")
            if not begun and wall > WALL_SECONDS:
                return Outcome("busy")

    def _message(self, seconds: float) -> dict[str, Any] | None:
        """The next message; None after the last. What is not one was written by the code, and is no message."""
        line = self.messages.get(timeout=seconds)
        if line is None:
            return None
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return {}
        return message if isinstance(message, dict) else {}

    def _read(self) -> None:
        """In a thread of its own: pass on the lines of the answer's pipe, as far as they are of a sane size."""
        left = ANSWER_BYTES
        assert self.process.stdout is not None
        try:
            while left > 0 and (line := self.process.stdout.readline(left)):
                left -= len(line)
                if line.strip():
                    self.messages.put(line)
        except (OSError, ValueError):
            pass
        self.messages.put(None)

    def _tree(self) -> list[psutil.Process]:
        try:
            top = psutil.Process(self.process.pid)
            return [top, *top.children(recursive=True)]
        except psutil.Error:
            return []

    def _computed(self) -> float:
        return sum(processor_seconds(process.pid) for process in self._tree())

    def _queued(self) -> dict[int, float]:
        return {process.pid: queued_seconds(process.pid) for process in self._tree()}

    def _resident(self) -> int:
        total = 0
        for process in self._tree():
            try:
                total += int(process.memory_info().rss)
            except psutil.Error:
                continue
        return total

    def end(self) -> None:
        """End the process and all that it started.

        Closing its input tells the supervisor to do that. Where the code has ended or stopped the supervisor, what it
        left is known by a mark in its environment.
        """
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        if not hasattr(os, "fork"):
            for process in reversed(self._tree()):
                _kill(process)
        try:
            orderly = self.process.wait(CLOSE_SECONDS) == 0
        except subprocess.TimeoutExpired:
            orderly = False
        if not orderly:
            for process in self._tree() + _marked(self.mark):
                _kill(process)
            self.process.wait()

    def close(self) -> None:
        """End the process, whatever it is doing, and remove its folder."""
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LABKIT_JOB") == mark:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        process.kill()


def _signal_name(code: int | None) -> str:
    """The signal that ended a process with this exit status; "" where none did."""
    try:
        return signal.Signals(-(code or 0)).name
    except ValueError:
        return ""
