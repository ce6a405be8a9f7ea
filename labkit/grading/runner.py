"""The asking side of a check: one worker process each, one spare kept warm, and the limits that only a parent can hold.

`check` never raises for anything the learner's code does, and always comes back: a worker that dies or does not answer
is ended with its whole process group, and the journal tells what it was doing.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from labkit.grading import journal
from labkit.grading.display import error_text
from labkit.grading.judge import LIMIT_SEEN, limit_message
from labkit.grading.verdict import Counterexample, Step, Verdict, VerdictWord
from labkit.grading.worker import MEMORY_BYTES, syntax_message

CHECK_SECONDS = 9.0
"""Longest time a check may take. Multiplied by LABKIT_PATIENCE where that is set, for slow machines."""

_spare: Worker | None = None


def check(lesson: str, exercise: str, text: str, *, names: tuple[str, ...] = (), stored: list[Any] | None = None,
          over: tuple[str, ...] | None = None, keep_spare: bool = True, prelude: str | None = None) -> Verdict:
    """Grade a text.

    Args:
        lesson: any form that names a lesson.
        exercise: exercise id.
        text: the cell, without its `%%exercise` line.
        names: names that other cells of the notebook define; only used to explain a NameError.
        stored: the operations that failed last time, as JSON.
        over: on whose earlier parts to run: ("reference",), or ("reference", "mine"). None: "mine" is added if the
            learner has passed anything.
        prelude: import lines to run before the text instead of those of the exercise's specification.
        keep_spare: whether to start the next worker already (an interactive session) or not (a single command).

    Returns:
        The verdict; `seconds` is the time from this call to its return.
    """
    from labkit import specs

    started = time.monotonic()
    key = specs.resolve_key(lesson)
    entry = specs.exercise(key, exercise)
    verdict = _syntax(key, exercise, text)
    if verdict is None:
        job = {"lesson": key, "exercise": exercise, "text": text, "names": list(names), "stored": stored or [],
               "over": list(over or _over()), "memory_bytes": MEMORY_BYTES, "token": secrets.token_hex(8),
               "prelude": prelude}
        # Torch is loaded before the memory limit is set: under it, its start ends the process.
        torch = entry.spec.needs_torch or "torch" in text + (prelude or "")
        verdict = _in_worker(job, torch, keep_spare)
    if not verdict.rules:
        from labkit.grading.verdict import RuleState

        verdict.rules = [RuleState(r.name, r.statement, "unknown") for r in entry.spec.rules]
    verdict.seconds = time.monotonic() - started
    return verdict


def warm(torch: bool = False) -> None:
    """Start the spare worker, so that the first check does not wait for imports."""
    global _spare
    if _spare is None or not _spare.fits(torch):
        if _spare is not None:
            _spare.close()
        _spare = Worker(torch)


def close() -> None:
    """End the spare worker."""
    global _spare
    if _spare is not None:
        _spare.close()
        _spare = None


atexit.register(close)


class Worker:
    """One worker process, waiting for its only job.

    Args:
        torch: whether it loads torch while it waits.
    """

    def __init__(self, torch: bool) -> None:
        self.torch = torch
        self.folder = Path(tempfile.mkdtemp(prefix="labkit-check-"))
        self.journal_path = self.folder / "journal"
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-P", "-m", "labkit.grading.worker", *(["--torch"] if torch else [])]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env,
            cwd=self.folder, start_new_session=True, text=True)
        self.home = os.environ.get("LABKIT_HOME")

    def fits(self, torch: bool) -> bool:
        """Whether it is alive and was started for the same home, with torch if that is asked for."""
        return (self.process.poll() is None and self.home == os.environ.get("LABKIT_HOME")
                and (self.torch or not torch))

    def run(self, job: dict[str, Any]) -> tuple[Verdict | None, str]:
        """Give the job and wait. Returns the verdict, or None and the word for what ended it."""
        self.verdict_path = self.folder / f"verdict-{job['token']}"
        job = {**job, "verdict_path": str(self.verdict_path), "journal_path": str(self.journal_path)}
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.close()
        except (BrokenPipeError, OSError):
            return None, "exit"
        ended = self._wait(CHECK_SECONDS * float(os.environ.get("LABKIT_PATIENCE", "1")), int(job["memory_bytes"]))
        self.end_group()
        try:
            written = json.loads(self.verdict_path.read_text(encoding="utf-8"))
            if written["token"] != job["token"]:
                return None, ended
            return Verdict.from_dict(written["verdict"]), ended
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None, ended

    def crash(self) -> str:
        """The name of the signal that ended the process; "" where none did, or it was ours."""
        code = self.process.returncode
        if code is None or code >= 0 or code == -signal.SIGTERM:
            return ""
        try:
            return signal.Signals(-code).name
        except ValueError:
            return ""

    def _wait(self, seconds: float, memory_bytes: int) -> str:
        end = time.monotonic() + seconds
        watch = None if sys.platform.startswith("linux") else _Memory(self.process.pid, memory_bytes)
        pause = 0.005
        while time.monotonic() < end:
            try:
                self.process.wait(pause)
                return "exit"
            except subprocess.TimeoutExpired:
                pause = min(pause * 1.5, 0.05)
            if watch is not None and watch.exceeded():
                self._kill()
                return "memory"
        self._kill()
        return "endless-loop"

    def _kill(self) -> None:
        try:
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        except (ProcessLookupError, PermissionError):
            pass
        self.process.wait()

    def end_group(self) -> None:
        """End what the code started and left running; its process group outlives the worker."""
        try:
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    def close(self) -> None:
        """End the process, whatever it is doing, and remove its folder."""
        if self.process.poll() is None:
            self._kill()
        if self.process.stdin and not self.process.stdin.closed:
            try:
                self.process.stdin.close()
            except OSError:
                pass
        shutil.rmtree(self.folder, ignore_errors=True)


class _Memory:
    """Watches the resident memory of a process where the operating system cannot limit it for us."""

    def __init__(self, pid: int, extra_bytes: int) -> None:
        import psutil

        self._process = psutil.Process(pid)
        self._limit = self._process.memory_info().rss + extra_bytes

    def exceeded(self) -> bool:
        try:
            return bool(self._process.memory_info().rss > self._limit)
        except Exception:
            return False


def _in_worker(job: dict[str, Any], torch: bool, keep_spare: bool) -> Verdict:
    global _spare
    if _spare is not None and _spare.fits(torch):
        worker, _spare = _spare, None
    else:
        worker = Worker(torch)
    try:
        verdict, ended = worker.run(job)
        if verdict is None:
            verdict = _from_journal(job, ended, worker.journal_path, worker.crash())
        return verdict
    finally:
        worker.close()
        if keep_spare:
            warm(torch)


def _from_journal(job: dict[str, Any], ended: str, path: Path, crash: str = "") -> Verdict:
    """The worker left no verdict: say which operation it was in."""
    from labkit import specs

    spec = specs.exercise(job["lesson"], job["exercise"]).spec
    try:
        ops = journal.read(path)
    except (ValueError, TypeError, AttributeError):  # the code wrote into it
        ops = []
    steps = [Step(i, op.name, dict(op.args), spec.describe(op)) for i, op in enumerate(ops, 1)]
    trace = None
    if steps:
        steps[-1].broken = True
        steps[-1].seen = LIMIT_SEEN[ended]
        trace = Counterexample("", steps, len(steps))
    word: VerdictWord = "timeout" if ended == "endless-loop" else "error"
    message = limit_message(ended, spec.op_seconds)
    if ended == "endless-loop":
        message = ("The check did not come to its end: a call is very slow, or it swallowed the signal that should "
                   "have stopped it; look for a loop around a bare except.")
    elif ended == "exit" and crash:
        message = (f"The code brought the whole program down ({crash}): look for a recursion without end, or for "
                   "memory that is used from outside of Python.")
    return Verdict(job["lesson"], job["exercise"], word, kind=ended, message=message, counterexample=trace)


def _syntax(lesson: str, exercise: str, text: str) -> Verdict | None:
    """A verdict at once for what needs no process: nothing there, or not Python."""
    if not text.strip():
        return Verdict(lesson, exercise, "missing", kind="empty",
                       message="There is no code to check: write it in the cell that begins with "
                               f"%%exercise {exercise} and run it.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text.removeprefix("\ufeff"), "<exercise>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return Verdict(lesson, exercise, "error", kind="syntax", message=syntax_message(error))
    except ValueError as error:
        return Verdict(lesson, exercise, "error", kind="syntax",
                       message=f"Python cannot read your cell: {error_text(error, 160)}.")
    except (RecursionError, MemoryError, OverflowError):
        return Verdict(lesson, exercise, "error", kind="syntax",
                       message="Python cannot read your cell: an expression in it is nested too deep.")
    return None


def _over() -> tuple[str, ...]:
    from labkit.grading.progress import Progress

    return ("reference", "mine") if Progress().passed_all() else ("reference",)
