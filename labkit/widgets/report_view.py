"""The report of an exercise cell as a widget, wired to the learner's progress, the hints and the solution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.widgets.check_report import CheckReport

if TYPE_CHECKING:
    from labkit.grading.progress import Progress
    from labkit.grading.verdict import Verdict
    from labkit.specs import Lesson


def report_view(verdict: Verdict, text: str) -> CheckReport:
    """The widget for a verdict on `text`, the learner's cell."""
    from labkit import specs
    from labkit.grading import report, solutions
    from labkit.grading.progress import Progress

    lesson = specs.lesson(verdict.lesson)
    exercise = lesson.exercise(verdict.exercise)
    progress = Progress()
    begun = verdict.kind != "not-written" or any(rule.state == "held" for rule in verdict.rules)
    hints = [hint for hint in exercise.spec.hints_for(*(_broken(verdict) if begun else (None,))) if hint]
    level = min(progress.hint_level(lesson.key, exercise.id), len(hints))

    def show_solution() -> str | None:
        text = solutions.solution(lesson.key, exercise.id)
        return text and solutions.brief(text)

    def open_hint() -> str | None:
        opened = progress.open_hint(lesson.key, exercise.id)
        return hints[opened - 1] if 0 < opened <= len(hints) else None

    return CheckReport(
        verdict,
        report.render(verdict),
        heading=exercise.title,
        opened=[] if verdict.passed else hints[:level],
        hints=0 if verdict.passed else len(hints),
        on_hint=open_hint,
        on_solution=None if verdict.passed else show_solution,
        difference=solutions.difference(lesson.key, exercise.id, text) if verdict.passed else "",
        next_step=next_step(lesson, exercise.id, progress) if verdict.passed else "",
    )


def _broken(verdict: Verdict) -> tuple[str | None, str]:
    """The rule that a report is about and the kind of its verdict; "rule" where another exception was due."""
    steps = verdict.counterexample.steps if verdict.counterexample else []
    due = next((step.expected or "" for step in steps if step.broken), "")
    return verdict.rule, "rule" if due.startswith("raises ") else verdict.kind


def next_step(lesson: Lesson, done: str, progress: Progress) -> str:
    """What comes after the exercise `done`: what is open in the lesson, those behind it first, else the next lesson."""
    from labkit import specs
    from labkit.grading.standing import open_in, progress_rows

    (row,) = progress_rows(lesson.key, progress)
    for exercise in row["exercises"]:
        exercise["passed"] |= exercise["id"] == done
    if words := open_in(row, done):
        return words
    key = specs.following(lesson.key)
    return f"lesson {key[:2]}, {specs.lesson(key).title}: the end of this lesson opens it" if key else ""
