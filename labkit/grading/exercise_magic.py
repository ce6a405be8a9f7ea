"""The `%%exercise ID` cell: grade the text in a process of its own, run it in the notebook, show the report.

In this order: the text goes to a worker; only if its top level came through there within the limits is it executed in
the notebook, so that an `os._exit` or an endless loop at top level cannot take the kernel along. Whatever goes wrong is
shown by us: an error message of the kernel would stop Run All.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from labkit.errors import LabkitError
from labkit.grading import report, runner
from labkit.grading.source import MODULE, compile_text, filename
from labkit.grading.verdict import Verdict

_lesson: str | None = None


def register(lesson: str, shell: Any = None) -> None:
    """Make `%%exercise` known to the notebook and say which lesson its ids belong to.

    Args:
        lesson: full lesson key.
        shell: the IPython shell; the running one by default. Without one nothing happens.
    """
    global _lesson
    from IPython import get_ipython

    _lesson = lesson
    shell = shell or get_ipython()
    if shell is None:
        return
    shell.register_magic_function(_magic, magic_kind="cell", magic_name="exercise")
    transformers = shell.input_transformers_cleanup
    if lift_magic not in transformers:
        transformers.insert(0, lift_magic)


def lift_magic(lines: list[str]) -> list[str]:
    """Move a `%%exercise` line above the comments and blank lines that precede it.

    IPython knows a cell magic only on the first line. The comments stay, below it, so the number of lines is kept.
    """
    for i, line in enumerate(lines):
        if line.startswith("%%exercise"):
            return [line, *lines[:i], *lines[i + 1 :]] if i else lines
        if line.strip() and not line.lstrip().startswith("#"):
            break
    return lines


def _magic(line: str, cell: str) -> None:
    from IPython import get_ipython
    from IPython.display import display

    shell = get_ipython()
    try:
        verdict, text = grade_cell(line.strip(), cell, shell.user_ns)
    except LabkitError as error:
        print(error)
        return
    display(_view(verdict, text))
    if verdict.top_level_ran:
        _execute(verdict, text, shell)


def grade_cell(id: str, cell: str, user_ns: dict[str, Any]) -> tuple[Verdict, str]:
    """Grade one exercise cell and keep what came of it in the learner's progress."""
    from labkit import specs
    from labkit.errors import LessonError
    from labkit.grading.progress import Progress

    if _lesson is None:
        raise LessonError("No lesson has been started in this notebook: run its first code cell, then this one.")
    exercise = specs.exercise(_lesson, id.split()[0] if id else "")
    # The magic line was line 1: line numbers in messages stay those of the cell.
    text = "\n" + cell.removeprefix("\ufeff")
    progress = Progress()
    names = tuple(n for n in user_ns if not n.startswith("_"))
    verdict = runner.check(_lesson, exercise.id, text, names=names, stored=progress.failing(_lesson, exercise.id))
    keep(progress, verdict, text)
    return verdict, text


def keep(progress: Any, verdict: Verdict, text: str) -> None:
    """Record an attempt: what was said, the failing sequence to try first next time, and the code that passed."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")  # half a surrogate pair cannot be stored
    progress.record_attempt(verdict.lesson, verdict.exercise, verdict.verdict, verdict.rule, verdict.seconds, text)
    if verdict.passed:
        progress.save_pass(verdict.lesson, verdict.exercise, text)
        progress.save_failing(verdict.lesson, verdict.exercise, None)
    elif verdict.verdict == "fail" and verdict.counterexample and verdict.kind != "not-written":
        ops = [[s.op, s.args] for s in verdict.counterexample.steps if s.op != "observe"]
        progress.save_failing(verdict.lesson, verdict.exercise, ops)


def _view(verdict: Verdict, text: str) -> Any:
    """The report as a widget; as text where widgets cannot be made."""
    try:
        from labkit.widgets.report_view import report_view

        return report_view(verdict, text)
    except ImportError:
        return PlainReport(verdict)


class PlainReport:
    """A verdict that prints itself."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict

    def __repr__(self) -> str:
        return report.render(self.verdict)


@contextmanager
def _not_as_main(namespace: dict[str, Any]) -> Iterator[None]:
    """What ran under limits is what runs here: code under `if __name__ == "__main__":` was not checked."""
    name = namespace.get("__name__", "__main__")
    sys.modules.setdefault(MODULE, ModuleType(MODULE))
    namespace["__name__"] = MODULE
    try:
        yield
    finally:
        namespace["__name__"] = name


def _execute(verdict: Verdict, text: str, shell: Any) -> None:
    """Run the text in the notebook, prelude first; an error there is printed, never raised."""
    from labkit import specs

    spec = specs.exercise(verdict.lesson, verdict.exercise).spec
    name = filename(verdict.lesson, verdict.exercise)
    try:
        exec(compile(spec.prelude, "<prelude>", "exec", dont_inherit=True), shell.user_ns)
        with _not_as_main(shell.user_ns):
            exec(compile_text(text, name), shell.user_ns)
    except (Exception, SystemExit) as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == name]
        line = f" in line {frames[-1].lineno}" if frames else ""
        print(f"Running the cell in the notebook raised {type(error).__name__}{line}: {error}")


