"""The `%%exercise ID` cell: grade the text in a sandbox, show the report, keep what came of it, define what it defines.

Of the text itself only imports, definitions and plain assignments run in the notebook (`labkit.grading.definitions`),
and only where the whole came through in the sandbox: no cell can end the kernel, or change what runs in it. Whatever
goes wrong is shown by us: an error message of the kernel would stop Run All.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from labkit.errors import LabkitError, LessonError

if TYPE_CHECKING:
    from labkit.grading.verdict import Verdict
    from labkit.specs import Exercise

_lesson: str | None = None


def register(lesson: str | None, shell: Any = None) -> None:
    """Make `%%exercise` known to the notebook and say which lesson its ids belong to.

    Args:
        lesson: full lesson key; None to take it from the name of the notebook, where the server tells it.
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

    IPython knows a cell magic only on the first line, and none without a cell below it. The comments stay, below it, so
    the number of lines is kept.
    """
    for i, line in enumerate(lines):
        if line.startswith("%%exercise"):
            lines = [line, *lines[:i], *lines[i + 1 :]]
            return lines if "".join(lines[1:]).strip() else [line.rstrip("\n") + "\n", "#\n"]
        if line.strip() and not line.lstrip().startswith("#"):
            break
    return lines


INTERRUPTED = "The check was interrupted, and all that it had started has ended. Run the cell again to check it."


def _magic(line: str, cell: str) -> None:
    try:
        _check(line, cell)
    except KeyboardInterrupt:
        print(INTERRUPTED)


def _check(line: str, cell: str) -> None:
    from IPython import get_ipython
    from IPython.display import display

    from labkit.grading.progress import Progress

    shell = get_ipython()
    # The magic line was line 1: line numbers in messages stay those of the cell.
    text = "\n" + cell.removeprefix("\ufeff")
    try:
        lesson, exercise = _exercise(line)
    except LabkitError as error:
        print(error)
        return
    verdict, trouble = _grade(lesson, exercise, text, shell)
    try:
        keep(Progress(), verdict, text)
    except LabkitError as error:
        trouble = str(error)
    view = _view(verdict, text)
    _close_last(shell, view)
    display(view)
    if trouble:
        print(trouble)
    if verdict.top_level_ran:
        _define(exercise, lesson, text, shell)


def _exercise(line: str) -> tuple[str, Exercise]:
    """The lesson's key and the exercise that a `%%exercise` line means."""
    from labkit import specs

    key = _lesson
    if key is None:
        try:
            key = specs.resolve_key(Path(os.environ.get("JPY_SESSION_NAME", "")).name)
        except LessonError:
            raise LessonError("No lesson has been started here: run the first code cell, then this one.") from None
    words = line.split()
    return key, specs.exercise(key, words[0] if words else "")


def _grade(lesson: str, exercise: Exercise, text: str, shell: Any) -> tuple[Verdict, str]:
    """The verdict, and what kept the learner's progress from being read, if anything did."""
    from labkit.grading import runner
    from labkit.grading.progress import Progress

    stored, trouble = None, ""
    try:
        stored = Progress().failing(lesson, exercise.id)
    except LabkitError as error:
        trouble = str(error)
    hidden = getattr(shell, "user_ns_hidden", {})
    names = tuple(n for n in shell.user_ns if not n.startswith("_") and n not in hidden)
    return runner.check(lesson, exercise.id, text, names=names, stored=stored), trouble


def keep(progress: Any, verdict: Verdict, text: str) -> None:
    """Record an attempt: what was said, the failing sequence to try first next time, and the code that passed.

    A verdict on the machine is none on the code, and is not recorded.
    """
    if verdict.verdict == "machine":
        return
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")  # half a surrogate pair cannot be stored
    progress.record_attempt(verdict.lesson, verdict.exercise, verdict.verdict, verdict.rule, verdict.seconds, text)
    if verdict.passed:
        progress.save_pass(verdict.lesson, verdict.exercise, text)
    if verdict.verdict == "fail" and verdict.counterexample and verdict.kind != "not-written":
        ops = [[s.op, s.args] for s in verdict.counterexample.steps if s.op != "observe"]
        progress.save_failing(verdict.lesson, verdict.exercise, ops)
    elif verdict.passed or verdict.kind == "internal":
        progress.save_failing(verdict.lesson, verdict.exercise, None)


def _view(verdict: Verdict, text: str) -> Any:
    """The report as a widget; as text where there are no widgets, or no progress to say what comes next."""
    try:
        from labkit.widgets.report_view import report_view

        return report_view(verdict, text)
    except (ImportError, LabkitError):
        return PlainReport(verdict)


_reports: dict[str, Any] = {}  # by the id of the cell: the report that stands under it


def _close_last(shell: Any, view: Any) -> None:
    """Close the report of this cell's last run, which has left the page; a front end that names no cell keeps it."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell = parent.get("metadata", {}).get("cellId")
    if cell is None:
        return
    before = _reports.get(cell)
    if before is not None and hasattr(before, "close"):
        before.close()
    _reports[cell] = view


class PlainReport:
    """A verdict that prints itself."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict

    def __repr__(self) -> str:
        from labkit.grading import report

        return report.render(self.verdict)


@contextmanager
def _not_as_main(namespace: dict[str, Any], name: str) -> Iterator[None]:
    """What ran under limits is what runs here: code under `if __name__ == "__main__":` was not checked."""
    before = namespace.get("__name__", "__main__")
    sys.modules.setdefault(name, ModuleType(name))
    namespace["__name__"] = name
    try:
        yield
    finally:
        namespace["__name__"] = before


def _define(exercise: Exercise, lesson: str, text: str, shell: Any) -> None:
    """Do again in the notebook what the text imports, defines and assigns; an error is printed, never raised."""
    from labkit.grading import definitions
    from labkit.grading.source import MODULE, compile_kept, filename

    try:
        parts = definitions.split(text, exercise.spec.prelude)
        exec(compile(exercise.spec.prelude, "<prelude>", "exec", dont_inherit=True), shell.user_ns)
        with _not_as_main(shell.user_ns, MODULE):
            exec(compile_kept(text, parts, filename(lesson, exercise.id)), shell.user_ns)
    except (Exception, SystemExit) as error:
        print(f"Defining in the notebook what the cell defines raised {type(error).__name__}: {error}")
        return
    if said := definitions.sentence(parts):
        print(said)
