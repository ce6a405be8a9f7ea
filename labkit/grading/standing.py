"""Where a learner stands: what is passed and answered in each lesson, and the one thing that comes next.

Whatever says "next" asks `whats_next`: the map, the progress card, the report of a check and the end of a lesson. So
they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from labkit import specs
from labkit.grading.progress import Progress
from labkit.words import plural

Row = Mapping[str, Any]


def progress_rows(lesson: str | None = None, progress: Progress | None = None) -> list[dict[str, Any]]:
    """One row per lesson, from the specifications, the quizzes and the learner's progress.

    Args:
        lesson: number or key of one lesson; None for all.
        progress: where progress is kept; left out, this machine's.

    Returns:
        {number, title, hints, exercises: [{id, title, minutes, stretch, passed, attempts}],
        questions: {answered, correct, total}} of each.
    """
    progress = progress or Progress()
    kept = progress.summary()["lessons"]
    chosen = [specs.lesson(lesson)] if lesson is not None else specs.lessons()
    rows = []
    for entry in chosen:
        tried = kept.get(entry.key, {}).get("exercises", {})
        graded = graded_questions(entry.key)
        answers = [a for id, a in progress.answers(entry.key).items() if id in graded] if graded else []
        rows.append(
            {
                "number": entry.number,
                "title": entry.title,
                "hints": sum(e["hints"] for e in tried.values()),
                "exercises": [
                    {
                        "id": e.id,
                        "title": e.title,
                        "minutes": e.minutes,
                        "stretch": e.stretch,
                        "passed": bool(tried.get(e.id, {}).get("passed")),
                        "attempts": int(tried.get(e.id, {}).get("attempts", 0)),
                    }
                    for e in entry.exercises
                ],
                "questions": {
                    "answered": len(answers),
                    "correct": sum(bool(a["correct"]) for a in answers),
                    "total": len(graded),
                },
            }
        )
    return rows


def graded_questions(key: str) -> frozenset[str]:
    """Ids of the questions that a lesson's quiz counts (a prediction is not right or wrong); empty without a quiz."""
    from labkit.errors import LabkitError
    from labkit.grading.quiz_file import quiz_path

    try:
        path = quiz_path(key)
        return _graded(path, path.stat().st_mtime_ns)
    except (LabkitError, OSError):
        return frozenset()


@cache
def _graded(path: Path, _changed: int) -> frozenset[str]:
    """Reading all quizzes takes a second, and every report of a check asks for them; `_changed` is when one did."""
    from labkit.grading import quiz

    return frozenset(question.id for question in quiz.load(path).graded)


def core(row: Row) -> list[Mapping[str, Any]]:
    """The exercises of a lesson that count."""
    return [e for e in row["exercises"] if not e.get("stretch")]


def sums(rows: Sequence[Row]) -> str:
    """ "3 of 4 exercises passed · 5 of 6 questions right": stretches count towards nothing."""
    exercises = [e["passed"] for row in rows for e in core(row)]
    right = sum(row["questions"]["correct"] for row in rows)
    asked = sum(row["questions"]["total"] or row["questions"]["answered"] for row in rows)
    parts = [f"{sum(exercises)} of {plural(len(exercises), 'exercise')} passed"] if exercises else []
    parts += [f"{right} of {plural(asked, 'question')} right"] if asked else []
    return " · ".join(parts)


def open_in(row: Row, after: str = "") -> str:
    """What is open in a lesson, in a few words: its first exercise, else its questions; "" where nothing is.

    A lesson without exercises is a tour, and its questions are part of it.

    Args:
        after: the id of an exercise; those behind it come first.
    """
    places = [e["id"] for e in row["exercises"]]
    start = places.index(after) + 1 if after in places else 0
    waiting = [e for e in (*row["exercises"][start:], *row["exercises"][:start]) if e in core(row) and not e["passed"]]
    if waiting:
        first = waiting[0]
        above = ", which is still open above" if places.index(first["id"]) < start else ""
        return f"{first.get('title') or first['id']} ({first['id']}, {first['minutes']} minutes){above}"
    if row["exercises"] and row["questions"]["answered"] < row["questions"]["total"]:
        return "the questions at the end of the lesson"
    return ""


def begun(row: Row) -> bool:
    """Whether anything was tried in a lesson."""
    return row["questions"]["answered"] > 0 or any(e["passed"] or e["attempts"] for e in row["exercises"])


def whats_next(rows: Sequence[Row], here: str = "") -> tuple[str, str]:
    """The number of the lesson in which it goes on, and what comes next there in words; ("", "") when all is done.

    It goes on in the last lesson that was begun, as long as anything is open in it, then in the next one in reading
    order, whether it has a box on the map or not. What was left out before comes when the last lesson is done.

    Args:
        rows: of all lessons, in reading order.
        here: the number of the lesson to go on from; left out, the last one that was begun.
    """
    at = next((i for i, row in enumerate(rows) if row["number"] == here), -1)
    if at < 0:
        at = max((i for i, row in enumerate(rows) if begun(row)), default=0)
    order = [*rows[at:], *rows[:at]]
    for row in order:
        if words := open_in(row):
            lesson = f"lesson {row['number']}" if row is rows[at] else f"lesson {row['number']}, {row['title']}"
            return row["number"], f"{lesson}: {words}"
    return "", ""
