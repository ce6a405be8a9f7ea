"""`labkit lessons` and `labkit check`: the same grading in the terminal."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Any

from labkit import specs
from labkit.errors import LessonError
from labkit.grading import report, runner
from labkit.grading.source import strip_magic
from labkit.grading.verdict import Verdict


def lessons_data() -> list[dict[str, Any]]:
    """Every lesson with its exercises, minutes, difficulty and number of questions, as JSON-able data."""
    from labkit.grading.quiz import load

    data = []
    for lesson in specs.lessons():
        try:
            questions = len(load(lesson.key).questions)
        except FileNotFoundError:
            questions = 0
        data.append({
            "key": lesson.key, "number": lesson.number, "title": lesson.title, "part": lesson.part,
            "minutes": lesson.minutes, "paths": list(lesson.paths), "questions": questions,
            "exercises": [
                {"id": e.id, "title": e.title, "kind": e.kind, "minutes": e.minutes, "difficulty": e.difficulty,
                 "importance": e.importance, "stretch": e.stretch, "rules": [r.name for r in e.spec.rules]}
                for e in lesson.exercises
            ],
        })
    return data


def lessons(json: bool) -> int:
    """Print the lessons; returns the exit status."""
    data = lessons_data()
    if json:
        print(json_module.dumps(data, indent=2))
        return 0
    for lesson in data:
        print(f"{lesson['number']}  {lesson['title']}  ({lesson['part']}, {lesson['minutes']} min, "
              f"{lesson['questions']} questions)")
        for e in lesson["exercises"]:
            star = " *" if e["stretch"] else ""
            print(f"      {e['id']:<20} {e['minutes']:>2} min  difficulty {e['difficulty']}  {e['title']}{star}")
    return 0


def check(lesson_name: str, file: Path | None = None, solved: bool = False, json: bool = False) -> int:
    """Grade every exercise of a lesson and print the verdicts; 0 only if all pass."""
    verdicts = check_all(lesson_name, file, solved)
    if json:
        print(json_module.dumps({"lesson": specs.resolve_key(lesson_name), "exercises": [brief(v) for v in verdicts]},
                                indent=2))
    else:
        for verdict in verdicts:
            print(report.render(verdict))
            print()
        passed = sum(v.passed for v in verdicts)
        print(f"{passed} of {len(verdicts)} exercises pass.")
    return 0 if all(v.passed for v in verdicts) else 1


def check_all(lesson_name: str, file: Path | None = None, solved: bool = False) -> list[Verdict]:
    """Grade every exercise of a lesson: from a file, from the solved notebook, or what the learner last ran.

    Nothing is written to the learner's progress.

    Raises:
        LessonError: no such lesson, the file cannot be read, or both a file and `solved` are given.
    """
    lesson = specs.lesson(lesson_name)
    if file is not None and solved:
        raise LessonError("Give either a file or --solved, not both.")
    if file is not None:
        texts = _from_file(file, [e.id for e in lesson.exercises])
    elif solved:
        from labkit.grading.solutions import solutions

        texts = dict(solutions(lesson.key))
    else:
        texts = _last_attempts(lesson)
    over = ("reference",) if solved or file is not None else None
    try:
        return [runner.check(lesson.key, e.id, texts.get(e.id, ""), over=over, keep_spare=len(lesson.exercises) > 1)
                for e in lesson.exercises]
    finally:
        runner.close()


def brief(verdict: Verdict) -> dict[str, Any]:
    """A verdict as the JSON of `labkit check` has it."""
    data = verdict.to_dict()
    keys = ("verdict", "rule", "kind", "message", "mutant", "counterexample", "seconds")
    trace = data["counterexample"]
    if trace:
        trace.pop("events")
    return {"id": verdict.exercise, **{k: data[k] for k in keys}}


def _from_file(file: Path, ids: list[str]) -> dict[str, str]:
    """The text for each exercise: its own cell where the file has `# %%exercise ID` lines, else the whole file."""
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LessonError(f"The file {file} cannot be read ({error}); give a Python file in UTF-8.") from None
    if file.suffix == ".ipynb":
        raise LessonError(f"{file.name} is a notebook; give a Python file, or open the notebook and run its cells.")
    cells: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in content.splitlines():
        id, _ = strip_magic(line)
        if id is not None:
            current = cells.setdefault(id, [])
        elif current is not None:
            current.append("" if line.startswith("# %%") else line)
    if cells:
        return {id: "\n".join(lines) + "\n" for id, lines in cells.items()}
    return {id: content for id in ids}


def _last_attempts(lesson: Any) -> dict[str, str]:
    from labkit.grading.progress import Progress

    progress = Progress()
    texts = {}
    for exercise in lesson.exercises:
        attempts = progress.attempts(lesson.key, exercise.id)
        text = attempts[-1]["text"] if attempts else progress.passed(lesson.key, exercise.id)
        if text:
            texts[exercise.id] = text
    return texts
