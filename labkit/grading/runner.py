"""The asking side of a check: a text goes into a sandbox, and a verdict comes back, whatever the text does."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from time import monotonic
from typing import Any

from labkit.errors import LabkitError
from labkit.grading.display import error_text
from labkit.grading.judge import LIMIT_SEEN, limit_message
from labkit.grading.language import Op
from labkit.grading.source import syntax_message
from labkit.grading.specification import Specification
from labkit.grading.verdict import COURSE_FAILED, Counterexample, RuleState, Step, Verdict
from labkit.sandbox import host

LIMITS = host.Limits()

BUSY = (
    "This machine is too busy to judge your code: twice the check got too little processor time to come to its end. "
    "That says nothing about your code; close what else is computing, then run the cell again."
)


def check(
    lesson: str,
    exercise: str,
    text: str,
    *,
    names: tuple[str, ...] = (),
    stored: list[Any] | None = None,
    over: tuple[str, ...] | None = None,
    keep_spare: bool = True,
    prelude: str | None = None,
    isolated: bool = False,
) -> Verdict:
    """Grade a text. It never raises for anything that the text does.

    Args:
        lesson: any form that names a lesson.
        exercise: exercise id.
        text: the cell, without its `%%exercise` line.
        names: names that other cells of the notebook define; only used to explain a NameError.
        stored: the operations that failed last time, as JSON.
        over: on whose earlier parts to run: ("reference",), or ("reference", "mine"). None: "mine" is added if the
            learner has passed anything.
        keep_spare: whether to start the next worker already (an interactive session) or not (a single command).
        prelude: import lines to run before the text instead of those of the exercise's specification.
        isolated: whether the text is somebody else's (`labkit.sandbox.isolation`).

    Returns:
        The verdict; `seconds` is the time from this call to its return, `isolation` what held the code.
    """
    from labkit import specs

    started = monotonic()
    key = specs.resolve_key(lesson)
    spec = specs.exercise(key, exercise).spec
    verdict = _syntax(key, exercise, text)
    if verdict is None:
        job = {
            "lesson": key,
            "exercise": exercise,
            "text": text,
            "names": list(names),
            "stored": stored or [],
            "over": list(over or _over()),
            "prelude": prelude,
        }
        # Torch is loaded before the memory limit is set: under it, its start ends the process.
        torch = spec.needs_torch or "torch" in text + (prelude or "")
        outcome = host.run(
            "labkit.grading.job:grade",
            job,
            limits=LIMITS,
            preload=_preload(torch, spec.needs_triton),
            isolated=isolated,
            keep_spare=keep_spare,
        )
        verdict = _verdict(outcome, spec)
        verdict.lesson, verdict.exercise, verdict.isolation = key, exercise, outcome.isolation
    if not verdict.rules:
        verdict.rules = [RuleState(r.name, r.statement, "unknown") for r in spec.rules]
    verdict.seconds = monotonic() - started
    return verdict


def warm(torch: bool = False, triton: bool = False) -> None:
    """Start the spare worker, so that the first check does not wait for imports."""
    host.warm(_preload(torch, triton))


def _preload(torch: bool, triton: bool) -> tuple[str, ...]:
    kernels = triton and find_spec("triton") is not None  # where there is none, the cell's own import says so
    return ("labkit.grading.job", *(["torch"] if torch else []), *(["kvkernels._triton"] if kernels else []))


def _verdict(outcome: host.Outcome, spec: Specification) -> Verdict:
    """The worker's verdict; where it left none, what can be said without."""
    if outcome.ended == "answer":
        try:
            return Verdict.from_dict(outcome.answer)
        except (AttributeError, TypeError, KeyError, ValueError):
            return _error("exit", "What came back from the check is no verdict: the code wrote into its channel.")
    if outcome.ended == "busy":
        return Verdict("", "", "machine", kind="busy", message=BUSY)
    if outcome.ended == "machine":
        return Verdict(
            "",
            "",
            "machine",
            kind="no-room",
            message=f"The check could not be started on this machine ({outcome.reason}). That says nothing about your "
            "code: make room in the folder for temporary files, or end other programs, and run the cell again.",
        )
    if outcome.ended == "error":
        verdict = _error("internal", f"{COURSE_FAILED}. This is a fault of the course, not of your code.")
        verdict.printed = outcome.reason[-2000:]
        return verdict
    if outcome.ended == "channel":
        return _error(
            "tampering", "The code closes file descriptors that it has not opened, and with them the check's own."
        )
    trace = _trace(outcome, spec)
    if outcome.ended == "memory":
        return _error("memory", limit_message("memory", 0), trace)
    if outcome.ended == "exit":
        message = limit_message("exit", 0)
        if outcome.crash and outcome.crash != "SIGTERM":
            message = (
                f"The code brought the whole program down ({outcome.crash}): look for a recursion without end, or for "
                "memory that is used from outside of Python."
            )
        return _error("exit", message, trace)
    return _out_of_time(outcome, spec, trace)


def _error(kind: str, message: str, trace: Counterexample | None = None) -> Verdict:
    return Verdict("", "", "error", kind=kind, message=message, counterexample=trace)


def _out_of_time(outcome: host.Outcome, spec: Specification, trace: Counterexample | None) -> Verdict:
    """One call that does not end, or many that each do: only the first is a loop."""
    seconds = LIMITS.processor_seconds
    if outcome.journal.count > 1 and outcome.journal.in_last < 2 * spec.op_seconds:
        message = (
            f"The check had not come to its end after {seconds:g} s of processor time, in which it made "
            f"{outcome.journal.count} calls: each ends, but takes long. Look for work that every call does again."
        )
        return Verdict("", "", "timeout", kind="slow", message=message)
    message = (
        "The check did not come to its end: a call does not come back, and it swallowed the signal that should have "
        "stopped it; look for a loop around a bare except."
    )
    return Verdict("", "", "timeout", kind="endless-loop", message=message, counterexample=trace)


def _trace(outcome: host.Outcome, spec: Specification) -> Counterexample | None:
    """The operations of the journal as a trace; the last is the one that the worker was in."""
    try:
        ops = [Op.from_json(line) for line in outcome.journal.lines]
        steps = [Step(i, op.name, dict(op.args), spec.describe(op)) for i, op in enumerate(ops, 1)]
    except (ValueError, TypeError, AttributeError):  # the code wrote into it
        return None
    if not steps:
        return None
    steps[-1].broken = True
    steps[-1].seen = LIMIT_SEEN["endless-loop" if outcome.ended == "time" else outcome.ended]
    return Counterexample("", steps, len(steps))


def _syntax(lesson: str, exercise: str, text: str) -> Verdict | None:
    """A verdict at once for what needs no process: nothing there, or not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(text.removeprefix("\ufeff"), "<exercise>", "exec", dont_inherit=True)
        if not (code.co_names or code.co_consts != (None,)):
            message = f"There is no code to check: write it in the cell that begins with %%exercise {exercise}."
            return Verdict(lesson, exercise, "missing", kind="empty", message=message)
    except SyntaxError as error:
        return Verdict(lesson, exercise, "error", kind="syntax", message=syntax_message(error))
    except ValueError as error:
        return Verdict(
            lesson, exercise, "error", kind="syntax", message=f"Python cannot read your cell: {error_text(error, 160)}."
        )
    except (RecursionError, MemoryError, OverflowError):
        return Verdict(
            lesson,
            exercise,
            "error",
            kind="syntax",
            message="Python cannot read your cell: an expression in it is nested too deep.",
        )
    return None


def _over() -> tuple[str, ...]:
    from labkit.grading.progress import Progress

    try:
        return ("reference", "mine") if Progress().passed_all() else ("reference",)
    except LabkitError:  # progress that cannot be read is told by whoever records the attempt
        return ("reference",)
