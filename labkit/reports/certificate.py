"""The certificate: what of the engine the learner built and what is the reference's, what was passed and answered.

One page that needs no network, no script and no other file. It repeats the learner's own progress, and names what is
not passed as plainly as what is. In a notebook, `certificate("Ada Lovelace")` writes it and shows it.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import labkit
from labkit import engine, specs, theme
from labkit.drills.catalog import DRILLS
from labkit.drills.record import GOOD, Record
from labkit.errors import LabkitError, ReportError
from labkit.grading.progress import Progress
from labkit.grading.standing import graded_questions, progress_rows
from labkit.words import choose, plural
from labkit.writing import write_atomically

LONGEST_NAME = 200  # characters
BREAK = timedelta(minutes=30)
"""A longer pause between two tries is no work on the exercise."""


def facts(name: str = "", on: date | None = None) -> dict[str, Any]:
    """All that the page says, as plain data from this machine's progress; the same progress and date give the same.

    Args:
        name: the learner's, as they want it to be read; "" for none.
        on: the date that the page bears; today where left out.

    Raises:
        ReportError: a name that is too long. ProgressError: progress cannot be read.
    """
    name = " ".join(name.encode("utf-8", "backslashreplace").decode("utf-8").split())
    if len(name) > LONGEST_NAME:
        raise ReportError(f"The name has {len(name):,} characters, and there is room for {LONGEST_NAME}: shorten it.")
    progress, parts = Progress(), _parts()
    lessons, drills = _lessons(progress), _drills(progress)
    exercises = [exercise for lesson in lessons for exercise in lesson["exercises"]]
    passed = [exercise["passed"] for exercise in exercises if not exercise["stretch"]]
    built, final = _built(parts), _final(progress)
    solved = sum(drill["points"] >= GOOD for drill in drills)
    return {
        "name": name,
        "date": (on or date.today()).isoformat(),
        "version": labkit.__version__,
        "model": _model(),
        "whole": all(passed) and built.startswith("All") and final.startswith("Final check"),
        "says": [
            built,
            f"{sum(passed)} of {plural(len(passed), 'exercise')} passed, stretches aside.",
            final,
            f"Drills: {solved} of {len(DRILLS)} solved, {len(DRILLS) - len(drills)} not played.",
        ],
        "days": sorted({day for exercise in exercises for day in exercise["days"]}),
        "parts": parts,
        "lessons": lessons,
        "drills": drills,
        "good": GOOD,
    }


def _built(parts: Sequence[dict[str, Any]]) -> str:
    mine, others = (sum(part["whose"] == whose for part in parts) for whose in ("yours", "reference"))
    if not others:
        return f"All {mine} parts of the engine are built by the learner."
    if not mine:
        return (
            f"None of the {others} parts of the engine is built by the learner yet: the course's reference stands in."
        )
    built = f"{mine} of the {mine + others} parts of the engine {choose(mine, 'is', 'are')} built by the learner"
    return f"{built}; for the other {others} the course's reference stands in."


def _parts() -> list[dict[str, Any]]:
    """The slots of the engine map; of each whose it is ("yours", "reference", "later") and what it is made of."""
    parts, rows = engine.Parts(), []
    for slot in engine.SLOTS:
        names = [exercise.spec.target for _, exercise in engine.exercises(slot.name)]
        mine = [name for name in names if parts.is_yours(name)]
        others = [name for name in names if name not in mine]
        rows.append(vars(slot) | {"whose": engine.owner(slot.name), "mine": mine, "others": others})
    return rows


def _lessons(progress: Progress) -> list[dict[str, Any]]:
    """As `progress_rows`, and of each exercise what it took."""
    kept, rows = progress.summary()["lessons"], progress_rows(progress=progress)
    for lesson, row in zip(specs.lessons(), rows, strict=True):
        for exercise in row["exercises"]:
            entry = kept.get(lesson.key, {}).get("exercises", {}).get(exercise["id"], {})
            exercise |= _work(progress.attempts(lesson.key, exercise["id"]), entry)
    return rows


def _work(attempts: Sequence[dict[str, Any]], entry: dict[str, Any]) -> dict[str, Any]:
    """What it took until the first pass: tries, hints, minutes between tries, breaks left out; and the days of it."""
    tried = sorted((datetime.fromisoformat(a["at"]).astimezone(UTC), a["verdict"]) for a in attempts)
    ends = next((i for i, (_, verdict) in enumerate(tried, 1) if verdict == "pass"), len(tried))
    times = [time for time, _ in tried[:ends]]
    worked = [later - earlier for earlier, later in pairwise(times) if later - earlier <= BREAK]
    days = [time.date().isoformat() for time in times]
    if not days and entry.get("at"):  # passed on another machine
        days = [entry["at"][:10]]
    return {
        "tries": len(times),
        "hints": entry.get("hints", 0),
        "worked": round(sum(worked, timedelta()).total_seconds() / 60) if worked else None,
        "days": days,
        "state": "passed" if entry.get("passed") else "not passed" if days else "not tried",
    }


def _final(progress: Progress) -> str:
    """The final score in a sentence, or that there is none."""
    asked = graded_questions("final")
    answers = [answer for id, answer in progress.answers("final").items() if id in asked]
    if len(answers) < len(asked):
        return f"There is no final score: {len(answers)} of the {len(asked)} questions of the final check are answered."
    right = [answer["attempts"] for answer in answers if answer["correct"]]
    return f"Final check: {len(right)} of {len(asked)} questions right, {right.count(1)} of them at the first try."


def _drills(progress: Progress) -> list[dict[str, Any]]:
    """The best plays, in the order of the catalog."""
    played = Record(progress).played()
    return [
        {"name": name.replace("-", " "), "points": round(played[name].best["points"]), "plays": played[name].plays}
        for name in DRILLS
        if name in played
    ]


def _model() -> str:
    from labkit.serving import weights

    folder = weights.model_dir()
    if weights.is_present(folder):
        return f"{weights.NAME} ({weights.source_of(folder)})"
    return f"a tiny one with random weights, since {weights.NAME} is not on this machine"


def page(told: dict[str, Any]) -> str:
    """The HTML of `facts`: one file, nothing to load, text from outside as text."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return templates.get_template("certificate.html.j2").render(told, light=theme.LIGHT, dark=theme.DARK)


def write_certificate(out: Path, name: str = "", on: date | None = None) -> dict[str, Any]:
    """Write the page, whole or not at all, and return what it says.

    Raises:
        ReportError: a place that cannot be written, or a name that is too long. ProgressError: as `facts`.
    """
    if out.suffix.lower() != ".html":
        raise ReportError(f"{out.name} is no name for a page: end it in .html.")
    told = facts(name, on)
    try:
        write_atomically(out, page(told))
    except OSError as error:
        raise ReportError(f"{out} cannot be written ({error.strerror}): name another file.") from None
    return told


class Certificate:
    """The certificate as a notebook shows it: the page below a link to the file, or its sentences."""

    def __init__(self, told: dict[str, Any], out: Path) -> None:
        self.told, self.out = told, out

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        shown, file = html.escape(page(self.told)), html.escape(self.out.name)
        frame = (
            f'<iframe sandbox title="Certificate" srcdoc="{shown}" style="width:100%;height:40rem;border:0"></iframe>'
        )
        link = f'<p><a href="{file}" target="_blank">{file}</a></p>'
        return {"text/plain": "\n".join(self.told["says"]), "text/html": link + frame}


def certificate(name: str = "", out: str = "certificate.html") -> Certificate | None:
    """Write the certificate beside the notebook and show it; where that cannot be done, a sentence says why."""
    try:
        return Certificate(write_certificate(Path(out), name), Path(out))
    except LabkitError as error:
        print(error)
        return None
