"""What the learner wrote of their own work: four fields, kept beside the answers to quizzes, and sent nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.errors import AnswerError
from labkit.grading.progress import Progress

FIELDS = {
    "project": "Your project",
    "detail": "One detail of it that this course touches",
    "claim": "A claim about it that you want to be sure of",
    "checked": "Where you checked it, and what you saw",
}
"""The fields by name, and what a person reads."""
LONGEST = 4000
"""Characters of a field."""
_PLACE = ("practice", "own-work")


def own_work(progress: Progress | None = None) -> dict[str, str]:
    """What was written, by what a person reads, empty fields left out."""
    return {FIELDS[name]: text for name, text in fields(progress).items() if text.strip()}


def fields(progress: Progress | None = None) -> dict[str, str]:
    """All four fields, "" where nothing was written. Raises ProgressError."""
    lesson, question = _PLACE
    kept = (progress or Progress()).answers(lesson).get(question, {}).get("answer")
    kept = kept if isinstance(kept, dict) else {}
    return {name: str(kept.get(name, "")) for name in FIELDS}


def keep(written: Mapping[str, Any], progress: Progress | None = None) -> dict[str, str]:
    """Keep the fields and return them as kept; those that are left out become empty.

    Raises:
        AnswerError: a field that there is not, no text, or too much of it. ProgressError: it cannot be kept.
    """
    for name, text in written.items():
        if name not in FIELDS:
            raise AnswerError(f"There is no field {name!r:.40}; there are {', '.join(FIELDS)}.")
        if not isinstance(text, str) or len(text) > LONGEST:
            raise AnswerError(f"{FIELDS[name]}: must be text of at most {LONGEST:,} characters; shorten it.")
    whole = {name: written.get(name, "").strip() for name in FIELDS}
    done = all(whole.values())
    (progress or Progress()).save_answer(*_PLACE, whole, done, float(done))
    return whole
