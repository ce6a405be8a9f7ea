"""What a check does in its sandbox: run the learner's text under limits, judge it, and say so as plain data."""

from __future__ import annotations

import os
import re
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from labkit import specs
from labkit.grading.breakit import BreakIt
from labkit.grading.display import error_text
from labkit.grading.earlier_parts import to_blame
from labkit.grading.judge import Judge, limit_message
from labkit.grading.language import Op
from labkit.grading.mistakes import bank, explain
from labkit.grading.referee import describe_name_error
from labkit.grading.source import Source, filename, syntax_message
from labkit.grading.specification import Specification
from labkit.grading.verdict import COURSE_FAILED, Verdict
from labkit.sandbox import limits
from labkit.sandbox.journal import Journal
from labkit.sandbox.seal import Seal
from labkit.sandbox.worker import Session

TOP_LEVEL_SECONDS = 3.0
"""Limit for executing the text itself (imports and definitions)."""


class Tampered(Exception):
    """The code changed something that the check stands on; the message names it."""


def grade(job: dict[str, Any], session: Session) -> dict[str, Any]:
    """The verdict on a text, as JSON-able data.

    Args:
        job: what `labkit.grading.runner` puts together.
        session: the sandbox's side.
    """
    exercise = specs.exercise(job["lesson"], job["exercise"])
    bank(job["lesson"])  # read while there are file descriptors to do so
    if exercise.spec.needs_torch:
        import torch

        torch.set_num_threads(1)
    spec = exercise.spec
    seal = Seal("the rules of the exercise", lambda: repr((spec.rules, spec.witnesses)))
    verdict: Verdict | None = None
    error: BaseException | None = None
    session.begin()
    try:
        verdict = _judge(exercise, job, session, seal)
    except BaseException as raised:
        error = raised
    broken = seal.broken()  # before anything else: it puts the builtins back
    if isinstance(error, Tampered):
        broken = str(error)
    if broken:
        seal.restore()
        verdict = Verdict(
            "",
            "",
            "error",
            kind="tampering",
            message=f"The cell changes {broken}, which the check itself stands on: leave it as it is.",
        )
    elif verdict is None:
        assert error is not None
        verdict = _of_the_check(error)
    verdict.lesson, verdict.exercise = job["lesson"], job["exercise"]
    verdict.printed = verdict.printed or session.output.text
    return verdict.to_dict()


def _of_the_check(error: BaseException) -> Verdict:
    """A verdict for what came up between operations: a limit reached there, or a fault of the check itself."""
    if isinstance(error, MemoryError):
        error = limits.OutOfMemory()
    if isinstance(error, SystemExit | KeyboardInterrupt):
        error = limits.Exited()
    if isinstance(error, limits.LimitReached):
        word: Any = "timeout" if error.kind == "endless-loop" else "error"
        return Verdict("", "", word, kind=error.kind, message=limit_message(error.kind, 1))
    return Verdict(
        "",
        "",
        "error",
        kind="internal",
        message=f"{COURSE_FAILED} ({type(error).__name__}: {error_text(error, 200)}). "
        "This is a fault of the course, not of your code.",
        printed="".join(traceback.format_exception(error))[-2000:],
    )


def _judge(exercise: specs.Exercise, job: dict[str, Any], session: Session, seal: Seal) -> Verdict:
    """Judge the text over the references, then over the learner's own earlier parts."""
    spec, verdict, began = exercise.spec, Verdict("", "", "missing"), time.process_time()
    for over in job.get("over", ["reference"]):
        os.environ["LABKIT_PARTS"] = over
        try:
            verdict = _grade_over(spec, job, session.journal, seal)
        except Tampered:
            raise
        except Exception as error:
            if over != "mine":
                raise
            # Over the references the check came to its end, so it is a part of the learner's that it fell over.
            verdict = _over_theirs(spec, error)
        verdict.over = over
        if not verdict.passed:
            break
    verdict.printed = session.output.text
    if verdict.over == "mine" and not verdict.passed:
        again = partial(_grade_over, spec, job, session.journal)
        verdict.notes += filter(None, [to_blame(spec, lambda: again().passed, began)])
    return verdict


def _over_theirs(spec: Specification, error: Exception) -> Verdict:
    """What is said of an exception that the check met outside of the text, over the learner's own earlier parts."""
    return Verdict(
        "",
        spec.exercise,
        "error",
        kind="own-part",
        top_level_ran=True,
        message="This cell passes over the reference parts. Over your own earlier ones the check could not go on: "
        f"{type(error).__name__}: {error_text(error, 160)}.",
    )


def _grade_over(spec: Specification, job: dict[str, Any], journal: Journal, seal: Seal | None = None) -> Verdict:
    journal.restart()
    name = filename(job["lesson"], spec.exercise)
    namespace: dict[str, Any] = {}
    again: Callable[[], dict[str, Any]] = dict

    def run() -> None:
        nonlocal again
        source = Source(spec, job["text"], name, tuple(job.get("names", ())), job.get("prelude"))
        namespace.update(source.namespace())
        again = source.renewing(namespace)

    broken = _top_level(run, spec, job)
    if seal is not None and (name_changed := seal.broken()):
        raise Tampered(name_changed)
    if broken is not None:
        return broken
    if spec.target not in namespace:
        return Verdict(
            "",
            spec.exercise,
            "missing",
            kind="missing-name",
            top_level_ran=True,
            message=f"The cell does not define {spec.target}; keep the name of the stub.",
        )
    judge = Judge(spec, again, journal)
    verdict = spec.judge(judge, namespace, _stored(job))
    try:
        verdict.mutant = explain(judge, verdict)
    except Exception:
        verdict.mutant = None  # the code may have left nothing to work with; the verdict stands without
    verdict.top_level_ran = True
    return verdict


def _stored(job: dict[str, Any]) -> list[Op]:
    """The sequence that failed last time; one that is none any more is dropped."""
    try:
        return [Op.from_json(line) for line in job.get("stored", [])]
    except (TypeError, ValueError):
        return []


def _top_level(run: Callable[[], object], spec: Specification, job: dict[str, Any]) -> Verdict | None:
    """Execute the text once under limits; None if it came through."""
    try:
        with limits.time_limit(TOP_LEVEL_SECONDS):
            run()
        return None
    except limits.OperationTimeout:
        return Verdict(
            "",
            spec.exercise,
            "timeout",
            kind="endless-loop",
            message=f"Running the cell itself had not ended after {TOP_LEVEL_SECONDS:g} s: look for a "
            "loop outside of any function.",
        )
    except limits.LimitReached as limit:
        return Verdict("", spec.exercise, "error", kind=limit.kind, message=limit_message(limit.kind, 0))
    except MemoryError:
        return Verdict("", spec.exercise, "error", kind="memory", message=limit_message("memory", 0))
    except (SystemExit, KeyboardInterrupt):
        return Verdict("", spec.exercise, "error", kind="exit", message=limit_message("exit", 0))
    except SyntaxError as error:
        return Verdict("", spec.exercise, "error", kind="syntax", message=syntax_message(error))
    except NameError as error:
        names = {"__labkit_notebook_names__": tuple(job.get("names", ()))}
        told = describe_name_error(error, names)
        if isinstance(spec, BreakIt):
            told = f"{error.name} is no name here: an operation begins with a text, in quotes, such as {spec.shown()}."
        return Verdict("", spec.exercise, "error", kind="undefined-name", message=told)
    except NotImplementedError:
        return Verdict(
            "",
            spec.exercise,
            "fail",
            rule=spec.rules[0].name,
            kind="not-written",
            message="This cell is not written yet: it ends in NotImplementedError.",
        )
    except BaseException as error:
        line = _last_line(error, filename(job["lesson"], spec.exercise))
        if _as_if_called(error):
            line += ": a comma may be missing in front of a bracket"
        return Verdict(
            "",
            spec.exercise,
            "error",
            kind="raised-at-top-level",
            message=f"Running the cell itself raised {type(error).__name__}: {error_text(error, 160)}{line}.",
        )


def _as_if_called(error: BaseException) -> bool:
    """Whether a pair, a list, a text or a number was called as a function, as `(1, 2) (3, 4)` does."""
    said = re.fullmatch(r"'(tuple|list|str|int|float|dict)' object is not callable", error_text(error, 160))
    return isinstance(error, TypeError) and said is not None


def _last_line(error: BaseException, name: str) -> str:
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == name]
    return f" (line {lines[-1]} of your cell)" if lines else ""
