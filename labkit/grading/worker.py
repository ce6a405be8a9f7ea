"""The process that runs the learner's code: one job on standard input, one verdict in a file, then the end.

It is started with `python -P -m labkit.grading.worker`, kept warm until a job comes, and never used twice. The verdict
goes through a file of its own, so that nothing the code prints can be taken for it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labkit import specs
from labkit.grading import limits
from labkit.grading.display import error_text, show
from labkit.grading.journal import Journal
from labkit.grading.judge import Judge, limit_message
from labkit.grading.mutants import bank, explain
from labkit.grading.seal import Seal
from labkit.grading.source import Source, filename
from labkit.grading.specification import Op, Specification, describe_name_error
from labkit.grading.verdict import Verdict

MEMORY_BYTES = 400 << 20
"""How much a check may allocate beyond what the worker holds when the job comes."""

TOP_LEVEL_SECONDS = 3.0
"""Limit for executing the text itself (imports and definitions)."""


SLOW_TOP_LEVEL_SECONDS = 0.1
"""A text that takes longer than this at its top level is run once for all sequences."""


class Tampered(Exception):
    """The code changed something that the check stands on; the message names it."""


def main() -> None:
    """Wait for one job, do it, write the verdict, exit."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    import hypothesis.stateful  # noqa: F401  (the slow import, done while nobody waits)

    if "--torch" in sys.argv:
        import torch  # noqa: F401
    line = sys.stdin.readline()
    if not line.strip():
        return
    job = json.loads(line)
    _close_standard_streams()
    if hasattr(os, "register_at_fork"):
        # A copy of this process would go on checking beside it and write a verdict of its own.
        os.register_at_fork(after_in_child=lambda: os._exit(0))
    output = limits.CountedOutput()
    sys.stdout = sys.stderr = output  # type: ignore[assignment]
    spec = specs.exercise(job["lesson"], job["exercise"]).spec
    seal = Seal(spec)
    verdict: Verdict | None = None
    error: BaseException | None = None
    try:
        verdict = grade(job, output, seal)
    except BaseException as raised:
        error = raised
    broken = seal.broken()  # before anything else: it puts the builtins back
    if isinstance(error, Tampered):
        broken = str(error)
    if broken:
        seal.restore()
        verdict = Verdict(job["lesson"], job["exercise"], "error", kind="tampering",
                          message=f"The cell changes {broken}, which the check itself stands on: leave it as it is.")
    elif verdict is None:
        assert error is not None
        verdict = _of_the_check(error, job)
    verdict.printed = verdict.printed or output.text
    write_verdict(Path(job["verdict_path"]), verdict, job["token"])
    os._exit(0)  # threads or atexit hooks of the code under check must not hold the process


def _of_the_check(error: BaseException, job: dict[str, Any]) -> Verdict:
    """A verdict for what came up between operations: a limit reached there, or a fault of the check itself."""
    if isinstance(error, MemoryError):
        error = limits.OutOfMemory()
    if isinstance(error, SystemExit | KeyboardInterrupt):
        error = limits.Exited()
    if isinstance(error, limits.LimitReached):
        word: Any = "timeout" if error.kind == "endless-loop" else "error"
        return Verdict(job["lesson"], job["exercise"], word, kind=error.kind, message=limit_message(error.kind, 1))
    return Verdict(job["lesson"], job["exercise"], "error", kind="internal",
                   message=f"The check itself failed ({type(error).__name__}: {error_text(error, 200)}). "
                           "This is a fault of the course, not of your code.",
                   printed="".join(traceback.format_exception(error))[-2000:])


def _end_with_parent(parent: int) -> None:
    """End this process once the one that started it is gone: a killed kernel cannot take its worker along."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def grade(job: dict[str, Any], output: limits.CountedOutput, seal: Seal) -> Verdict:
    """Judge the text over the references, then over the learner's own earlier parts."""
    exercise = specs.exercise(job["lesson"], job["exercise"])
    spec = exercise.spec
    bank(exercise.module)  # imported while there are file descriptors to do so
    if spec.needs_torch:
        import torch

        torch.set_num_threads(1)
    journal = Journal(Path(job["journal_path"]))
    limits.limit_memory(job.get("memory_bytes", MEMORY_BYTES))
    verdict = Verdict(job["lesson"], spec.exercise, "missing")
    for over in job.get("over", ["reference"]):
        os.environ["LABKIT_PARTS"] = over
        verdict = _grade_over(spec, job, journal, seal)
        verdict.over = over
        if not verdict.passed:
            break
    verdict.lesson, verdict.exercise = job["lesson"], job["exercise"]
    verdict.printed = output.text
    if verdict.verdict == "fail":
        os.environ["LABKIT_PARTS"] = "reference"
        try:
            verdict.mutant = explain(exercise, verdict)
        except Exception:
            verdict.mutant = None  # the code may have left nothing to work with; the verdict stands without
    return verdict


def _grade_over(spec: Specification, job: dict[str, Any], journal: Journal, seal: Seal | None = None) -> Verdict:
    journal.restart()
    name = filename(job["lesson"], spec.exercise)
    namespace: dict[str, Any] = {}
    started = 0.0

    def first_run() -> None:
        nonlocal started
        source = _load(spec, job, name)
        source.run_prelude()
        started = time.process_time()
        namespace.update(source.namespace())

    broken = _top_level(first_run, spec, job)
    own_time = time.process_time() - started
    if seal is not None and (name_changed := seal.broken()):
        raise Tampered(name_changed)
    if broken is not None:
        return broken
    if spec.target not in namespace:
        return Verdict("", spec.exercise, "missing", kind="missing-name", top_level_ran=True,
                       message=f"The cell does not define {spec.target}; keep the name of the stub.")
    source = _load(spec, job, name)
    # Every sequence begins with the text run afresh, unless that alone takes long.
    slow = own_time > SLOW_TOP_LEVEL_SECONDS

    def fresh() -> dict[str, Any]:
        if slow:
            return dict(namespace)
        try:
            return source.namespace()
        except Exception:  # it came through once; now it is out of threads, say
            return dict(namespace)

    judge = Judge(spec, fresh, journal)
    verdict = spec.judge(judge, namespace, [Op.from_json(o) for o in job.get("stored", [])])
    verdict.top_level_ran = True
    return verdict


def _load(spec: Specification, job: dict[str, Any], name: str) -> Source:
    return Source(spec, job["text"], name, tuple(job.get("names", ())), job.get("prelude"))


def _top_level(run: Callable[[], object], spec: Specification, job: dict[str, Any]) -> Verdict | None:
    """Execute the text once under limits; None if it came through."""
    try:
        with limits.time_limit(TOP_LEVEL_SECONDS):
            run()
        return None
    except limits.OperationTimeout:
        return Verdict("", spec.exercise, "timeout", kind="endless-loop",
                       message=f"Running the cell itself had not ended after {TOP_LEVEL_SECONDS:g} s: look for a "
                               "loop outside of any function.")
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
        return Verdict("", spec.exercise, "error", kind="undefined-name", message=describe_name_error(error, names))
    except NotImplementedError:
        return Verdict("", spec.exercise, "fail", rule=spec.rules[0].name, kind="not-written",
                       message="This cell is not written yet: it ends in NotImplementedError.")
    except BaseException as error:
        line = _last_line(error, filename(job["lesson"], spec.exercise))
        return Verdict("", spec.exercise, "error", kind="raised-at-top-level",
                       message=f"Running the cell itself raised {type(error).__name__}: "
                               f"{error_text(error, 160)}{line}.")


def syntax_message(error: SyntaxError) -> str:
    """One sentence with the line and the text of it."""
    text = (error.text or "").strip()
    return f"Python cannot read line {error.lineno} of your cell: {error.msg}" + (f" ({text})." if text else ".")


def _last_line(error: BaseException, name: str) -> str:
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == name]
    return f" (line {lines[-1]} of your cell)" if lines else ""


def write_verdict(path: Path, verdict: Verdict, token: str) -> None:
    """Write the verdict in one piece: a reader sees all of it or nothing.

    The code under check may have used up every file descriptor, or removed the folder. The token tells this verdict
    from one that the code wrote itself.
    """
    text = json.dumps({"token": token, "verdict": verdict.to_dict()}, default=show)
    os.closerange(3, 4096)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _close_standard_streams() -> None:
    """Point the three standard descriptors at the null device: even os.write(1, ...) reaches nobody."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


if __name__ == "__main__":
    main()
