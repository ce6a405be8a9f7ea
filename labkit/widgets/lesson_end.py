"""LessonEnd: how a lesson ends: what the learner can say now, what of the engine is theirs, and what comes next."""

from __future__ import annotations

from typing import Any, ClassVar

import traitlets

from labkit.grading.standing import core, open_in, progress_rows, sums
from labkit.widgets.base import LabWidget
from labkit.widgets.engine_map import map_data


class LessonEnd(LabWidget):
    """The last thing a lesson shows.

    Args:
        lesson: a lesson by number or key.
    """

    _name: ClassVar[str] = "lesson_end"

    data = traitlets.Dict({}).tag(sync=True)

    def __init__(self, lesson: str) -> None:
        self._lesson = lesson
        super().__init__(data=end_of(lesson))

    def refresh(self) -> None:
        """Read the progress again."""
        self.data = end_of(self._lesson)

    def summary(self) -> str:
        return f"The end of lesson {self.data['number']}: {self.data['title']}"

    def text_form(self) -> str:
        data = self.data
        yours = [box["title"] for box in data["map"]["boxes"] if box["state"] == "yours"]
        owned = data["map"]["headline"] + (f": {', '.join(yours)}" if yours else "")
        lines = [self.summary(), f"{data['says']}: {data['ending']}", data["sums"], owned]
        lines += [f"Still open here: {data['open']}"] if data["open"] else []
        lines += [f"Next: {data['next']['words']}"]
        return "\n".join(line for line in lines if line)


def end_of(name: str) -> dict[str, Any]:
    """What the page draws: the ending, the sums of the lesson, the map, what is open here, and the next lesson."""
    from labkit import specs

    lesson = specs.lesson(name)
    (row,) = progress_rows(lesson.key)
    all_passed = all(exercise["passed"] for exercise in core(row))
    return {
        "number": lesson.number,
        "title": lesson.title,
        "says": "What you take along" if all_passed else "What you take along once the exercises are passed",
        "ending": lesson.ending,
        "sums": sums([row]),
        "map": map_data(lesson.lights),
        "open": open_in(row),
        "next": _next(specs.following(lesson.key)),
    }


def _next(key: str | None) -> dict[str, str]:
    """The next lesson and its notebook; after the last one, what it ends with."""
    from labkit import specs

    if key is None:
        last = specs.lessons()[-1]
        words = f"the final check and your certificate, in lesson {last.number}"
        return {"words": words, "file": f"{last.key}.ipynb"}
    return {"words": f"lesson {key[:2]}, {specs.lesson(key).title}", "file": f"{key}.ipynb"}
