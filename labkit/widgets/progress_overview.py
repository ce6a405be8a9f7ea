"""ProgressOverview: what is passed, what was answered, which hints were opened, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from labkit.widgets.base import LabWidget

if TYPE_CHECKING:
    from labkit.grading.progress import Progress


class ProgressOverview(LabWidget):
    """Progress over all lessons, or in one.

    Args:
        lesson: number or key of one lesson (the save point in its middle); None shows all.
        rows: instead of the learner's progress, dicts {number, title, current, hints, exercises: [{id, title,
            minutes, passed, attempts, stretch}], questions: {answered, correct, total}}.
        progress: where progress is kept; left out, this machine's.
    """

    _name: ClassVar[str] = "progress_overview"

    data = traitlets.Dict({}).tag(sync=True)

    def __init__(
        self,
        lesson: str | None = None,
        rows: Sequence[dict[str, Any]] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._lesson, self._progress = lesson, progress
        super().__init__(data=overview(progress_rows(lesson, progress) if rows is None else rows, lesson is not None))
        self._fixed = rows is not None

    def refresh(self) -> None:
        """Read the progress again."""
        if not self._fixed:
            self.data = overview(progress_rows(self._lesson, self._progress), self._lesson is not None)

    def summary(self) -> str:
        return f"{self.data['title']}: {self.data['headline']}"

    def text_form(self) -> str:
        lines = [self.summary()]
        for row in self.data["rows"]:
            done = sum(e["passed"] for e in row["exercises"])
            asked = row["questions"]
            total = asked["total"] or asked["answered"]
            lines.append(
                f"  {row['number']} {row['title']}: {done} of {len(row['exercises'])} exercises, "
                f"{asked['correct']} of {total} questions right"
            )
        if self.data["next"]:
            lines.append(f"Next: {self.data['next']}")
        return "\n".join(lines)


def overview(rows: Sequence[dict[str, Any]], one_lesson: bool) -> dict[str, Any]:
    """What the page draws: rows, a headline, and the next thing to do."""
    core = [e for row in rows for e in row["exercises"] if not e.get("stretch")]
    done = sum(e["passed"] for e in core)
    right = sum(row["questions"]["correct"] for row in rows)
    asked = sum(row["questions"]["total"] or row["questions"]["answered"] for row in rows)
    parts = [f"{done} of {len(core)} exercises passed" if core else "no exercises"]
    if asked:
        parts.append(f"{right} of {asked} questions right")
    return {
        "title": "Save point" if one_lesson else "Progress",
        "headline": " · ".join(parts),
        "rows": [dict(row) for row in rows],
        "next": next_thing(rows),
        "note": SAVED if one_lesson else "",
    }


def next_thing(rows: Sequence[dict[str, Any]]) -> str:
    """The first exercise that is open, else the first lesson whose questions are, else nothing."""
    for row in rows:
        for e in row["exercises"]:
            if not e["passed"] and not e.get("stretch"):
                return f"{e.get('title') or e['id']} ({e['id']}), lesson {row['number']}, {e['minutes']} minutes"
    for row in rows:
        if row["questions"]["answered"] < row["questions"]["total"]:
            return f"the questions at the end of lesson {row['number']}"
    return ""


SAVED = (
    "Everything up to here is kept. You can stop now and go on another day: then click into this cell and choose "
    "Run > Run All Above Selected Cell."
)


def progress_rows(lesson: str | None = None, progress: Progress | None = None) -> list[dict[str, Any]]:
    """One row a lesson, from the specifications, the quizzes and the learner's progress."""
    from labkit import specs
    from labkit.grading.progress import Progress

    progress = progress or Progress()
    kept = progress.summary()["lessons"]
    chosen = [specs.lesson(lesson)] if lesson is not None else specs.lessons()
    rows = []
    for entry in chosen:
        mine = kept.get(entry.key, {})
        tried = mine.get("exercises", {})
        graded = graded_questions(entry.key)
        answers = [a for id, a in progress.answers(entry.key).items() if id in graded] if graded else []
        rows.append(
            {
                "number": entry.number,
                "title": entry.title,
                "current": False,
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
    for row in rows:
        if any(not e["passed"] and not e["stretch"] for e in row["exercises"]):
            row["current"] = len(rows) > 1
            break
    return rows


def graded_questions(key: str) -> set[str]:
    """Ids of the questions that a lesson's quiz counts (a prediction is not right or wrong); empty without a quiz."""
    from labkit.errors import LabkitError
    from labkit.grading import quiz

    try:
        return {question.id for question in quiz.load(key).graded}
    except (LabkitError, OSError):
        return set()
