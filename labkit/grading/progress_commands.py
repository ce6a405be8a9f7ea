"""`labkit progress show | export | import` and `labkit reset`: what a learner types about their own progress."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from labkit.errors import LabkitError, LessonError
from labkit.grading.progress import DRILLS, Progress

app = typer.Typer(help="What you have done so far: show it, take it to another machine.")
T = TypeVar("T")


@app.callback(invoke_without_command=True)
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        show(json_=False)


@app.command()
def show(json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Show attempts, passes, hints and quiz answers by lesson."""
    summary = _or_exit(lambda: Progress().summary())
    if json_:
        typer.echo(json.dumps(summary, ensure_ascii=False, indent=1))
        return
    typer.echo(as_text(summary))


def as_text(summary: dict[str, Any]) -> str:
    """The summary as lines for a terminal."""
    if not summary["lessons"]:
        return "Nothing is recorded yet: `labkit lab` opens the first lesson."
    lines = []
    for key, lesson in summary["lessons"].items():
        quiz = lesson["questions"]
        if key == DRILLS:
            lines.append(f"{key}: {quiz['answered']} played, {quiz['correct']} solved")
            continue
        asked = f", {quiz['correct']} of {quiz['answered']} answered questions right" if quiz["answered"] else ""
        lines.append(f"{key}: {len(lesson['passed'])} of {len(lesson['exercises'])} tried exercises passed{asked}")
        for name, entry in lesson["exercises"].items():
            state = "passed" if entry["passed"] else (entry["last"] or "not tried")
            hints = f", {entry['hints']} hint{'s' if entry['hints'] != 1 else ''}" if entry["hints"] else ""
            tries = f"{entry['attempts']} attempt{'s' if entry['attempts'] != 1 else ''}"
            lines.append(f"  {name:<28} {state:<8} {tries}{hints}")
    return "\n".join(lines)


@app.command("export")
def export(file: Annotated[Path, typer.Argument(metavar="FILE", help="A JSON file to write.")]) -> None:
    """Write everything to a JSON file, to keep or to take to another machine."""
    target = _or_exit(lambda: Progress().export(file))
    typer.echo(f"Progress was written to {target}.")


@app.command("import")
def import_(file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that export wrote.")]) -> None:
    """Take in a file that export wrote, whole or not at all; what is newer here stays. Passes are checked again."""
    progress = Progress()
    failed: list[str] = []
    counts = _or_exit(lambda: progress.import_(file, lambda *entry: _still_passes(failed, *entry)))
    kinds = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    typer.echo(f"Taken in from {file}: {kinds}.")
    if failed:
        typer.echo(
            f"Not taken as passed: {', '.join(failed)}. Their code is kept in {progress.home / 'set_aside'}; "
            "run it in its cell to see what the check says."
        )


def _still_passes(failed: list[str], lesson: str, exercise: str, text: str) -> bool:
    """Whether code passes its check here and now; what does not is added to `failed`."""
    from labkit.grading.runner import check

    typer.echo(f"Checking {lesson}/{exercise} ...", err=True)
    try:
        passed = check(lesson, exercise, text, over=("reference",), keep_spare=False).passed
    except LessonError:  # of another version of the course
        passed = False
    if not passed:
        failed.append(f"{lesson}/{exercise}")
    return passed


def reset(lesson: str, exercise: str | None = None) -> int:
    """Forget what was done in a lesson, or in one exercise of it; returns the exit status.

    Nothing is asked: code that had passed is kept in set_aside/, where the last line says.
    """
    from labkit.specs import resolve_key

    progress = Progress()
    key = _or_exit(lambda: resolve_key(lesson))
    if exercise is not None:
        _or_exit(lambda: _known_exercise(key, exercise))
    removed = _or_exit(lambda: progress.reset(key, exercise))
    what = f"exercise {exercise} of {key}" if exercise else f"lesson {key}"
    words = {"attempts": "attempts", "passes": "passes", "hints": "opened hints", "failing": "stored failures",
             "answers": "quiz answers"}  # fmt: skip
    gone = ", ".join(f"{number} {words[kind]}" for kind, number in removed.items() if number)
    typer.echo(f"Reset {what}: removed {gone}." if gone else f"Nothing was recorded for {what}.")
    if removed["passes"]:
        typer.echo(f"The code that had passed is kept in {progress.home / 'set_aside' / key}.")
    return 0


def _known_exercise(key: str, exercise: str) -> None:
    from labkit.specs import lesson

    lesson(key).exercise(exercise)


def _or_exit(work: Callable[[], T]) -> T:
    """The result of `work`; a LabkitError becomes its sentence on stderr and exit status 1."""
    try:
        return work()
    except LabkitError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
