"""OpeningCard: how a lesson begins: its symptom, what is built, how long it takes, which box lights up."""

from __future__ import annotations

from typing import Any, ClassVar

import traitlets

from labkit.widgets.base import LabWidget
from labkit.widgets.engine_map import map_data
from labkit.words import plural


class OpeningCard(LabWidget):
    """The first thing a lesson shows.

    Args:
        lesson: a lesson by number or key, looked up in `labkit.specs`; or its facts as a dict with the keys number,
            title, part, symptom, builds, minutes, lights, questions, exercises ([{id, title, minutes, stretch,
            passed}]); all but number and title may be left out.
        map: the engine map to draw beside it, as `labkit.widgets.engine_map.map_data` gives it; by default the
            engine's own where the lesson lights up a box, and none otherwise.
    """

    _name: ClassVar[str] = "opening_card"

    lesson = traitlets.Dict({}).tag(sync=True)
    map = traitlets.Dict({}).tag(sync=True)

    def __init__(self, lesson: str | dict[str, Any], map: dict[str, Any] | None = None) -> None:
        facts = {**_BLANK, **(lesson_facts(lesson) if isinstance(lesson, str) else lesson)}
        if map is None:
            map = map_data(facts["lights"]) if facts["lights"] else {"boxes": [], "links": [], "highlight": ""}
        lit = next((box for box in map["boxes"] if box["name"] == facts["lights"]), None)
        note = "" if lit is None else f"{lit['title']} is yours." if lit["state"] == "yours" else LIGHTS.format(**lit)
        super().__init__(lesson=facts, map={**map, "note": note})

    def summary(self) -> str:
        stretches = sum(bool(e.get("stretch")) for e in self.lesson["exercises"])
        exercises = plural(len(self.lesson["exercises"]) - stretches, "exercise")
        more = f" and {stretches} to stretch" if stretches else ""  # they count towards nothing
        return (
            f"Lesson {self.lesson['number']}: {self.lesson['title']} ({self.lesson['minutes']} minutes, "
            f"{exercises}{more})"
        )

    def text_form(self) -> str:
        lines = [self.summary()]
        lines += [self.lesson["symptom"]] if self.lesson["symptom"] else []
        lines += [f"You build: {self.lesson['builds']}"] if self.lesson["builds"] else []
        return "\n".join(lines)


LIGHTS = "{title} lights up when its check passes."

_BLANK: dict[str, Any] = {
    "part": "",
    "symptom": "",
    "builds": "",
    "minutes": 0,
    "lights": "",
    "questions": 0,
    "exercises": [],
}


def lesson_facts(name: str) -> dict[str, Any]:
    """The facts of a lesson and of the learner's progress in it."""
    from labkit import specs
    from labkit.grading.progress import Progress
    from labkit.grading.standing import graded_questions

    lesson = specs.lesson(name)
    passed = {id for key, id in Progress().passed_all() if key == lesson.key}
    return {
        "number": lesson.number,
        "title": lesson.title,
        "part": lesson.part,
        "symptom": lesson.symptom,
        "builds": lesson.builds,
        "minutes": lesson.minutes,
        "lights": lesson.lights,
        "questions": len(graded_questions(lesson.key)),
        "exercises": [
            {"id": e.id, "title": e.title, "minutes": e.minutes, "stretch": e.stretch, "passed": e.id in passed}
            for e in lesson.exercises
        ],
    }
