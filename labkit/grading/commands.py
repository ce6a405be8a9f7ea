"""`labkit lessons` and `labkit check`: the same grading in the terminal."""

from __future__ import annotations

import ast
import json as json_module
import sys
from pathlib import Path
from typing import Any

from labkit import specs
from labkit.errors import LabkitError, LessonError, UnreadableError
from labkit.grading import report, runner
from labkit.grading.source import strip_magic
from labkit.grading.verdict import Verdict
from labkit.reading import read_json, read_python
from labkit.sandbox import host

MOST_OF_A_NOTEBOOK = 256 << 20
"""Bytes. A notebook that was saved with its widgets' state has a few million."""


def lessons_data() -> list[dict[str, Any]]:
    """Every lesson with its exercises, minutes, difficulty and number of questions, as JSON-able data."""
    from labkit.grading.quiz import load

    data = []
    for lesson in specs.lessons():
        try:
            questions = len(load(lesson.key).graded)  # a prediction is not counted
        except FileNotFoundError:
            questions = 0
        data.append(
            {
                "key": lesson.key,
                "number": lesson.number,
                "title": lesson.title,
                "part": lesson.part,
                "minutes": lesson.minutes,
                "paths": list(lesson.paths),
                "questions": questions,
                "exercises": [
                    {
                        "id": e.id,
                        "title": e.title,
                        "kind": e.kind,
                        "minutes": e.minutes,
                        "difficulty": e.difficulty,
                        "importance": e.importance,
                        "stretch": e.stretch,
                        "rules": [r.name for r in e.spec.rules],
                    }
                    for e in lesson.exercises
                ],
            }
        )
    return data


def lessons(json: bool) -> int:
    """Print the lessons; returns the exit status."""
    data = lessons_data()
    if json:
        print(json_module.dumps(data, indent=2))
        return 0
    for lesson in data:
        print(
            f"{lesson['number']}  {lesson['title']}  ({lesson['part']}, {lesson['minutes']} min, "
            f"{lesson['questions']} {'question' if lesson['questions'] == 1 else 'questions'})"
        )
        for e in lesson["exercises"]:
            star = " *" if e["stretch"] else ""
            print(f"      {e['id']:<20} {e['minutes']:>2} min  difficulty {e['difficulty']}  {e['title']}{star}")
    return 0


def check(lesson_name: str, file: Path | None = None, solved: bool = False, json: bool = False) -> int:
    """Grade every exercise of a lesson and print the verdicts; 0 only if all pass.

    With `json` the output is JSON in any case: where nothing can be graded, {"error": sentence}, and the status is 2.
    """
    try:
        unknown = _unknown_ids(lesson_name, file)
        verdicts = check_all(lesson_name, file, solved)
    except LabkitError as error:
        if not json:
            raise
        print(json_module.dumps({"error": str(error)}))
        print(f"labkit: {error}", file=sys.stderr)
        return 2
    if json:
        print(
            json_module.dumps(
                {
                    "lesson": specs.resolve_key(lesson_name),
                    "exercises": [brief(v) for v in verdicts],
                    "unknown": unknown,
                },
                indent=2,
            )
        )
    else:
        for verdict in verdicts:
            print(report.render(verdict))
            print()
        for id in unknown:
            there = ", ".join(e.id for e in specs.lesson(lesson_name).exercises)
            print(report.visible(f"The file has a cell for {id!r}, which is no exercise here; there are: {there}."))
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
        texts = _from_file(file, list(lesson.exercises))
    elif solved:
        from labkit.grading.solutions import solutions

        texts = dict(solutions(lesson.key))
    else:
        texts = _last_attempts(lesson)
    others = file is not None
    over = ("reference",) if solved or others else None
    # In a file as a whole, the imports that one exercise is given must not be missing under another.
    preludes = "\n".join(dict.fromkeys(e.spec.prelude for e in lesson.exercises if e.spec.prelude))
    whole = preludes if file is not None and len(set(texts.values())) == 1 and len(texts) > 1 else None
    there = [e.id for e in lesson.exercises if texts.get(e.id, "").strip()]
    try:
        return [
            runner.check(
                lesson.key,
                e.id,
                texts.get(e.id, ""),
                over=over,
                keep_spare=e.id in there[:-1],
                prelude=whole,
                isolated=others,
            )
            for e in lesson.exercises
        ]
    finally:
        host.close()


def brief(verdict: Verdict) -> dict[str, Any]:
    """A verdict as the JSON of `labkit check` has it."""
    data = verdict.to_dict()
    keys = ("verdict", "rule", "kind", "message", "mutant", "counterexample", "seconds", "isolation")
    trace = data["counterexample"]
    if trace:
        trace.pop("replay")
    return {"id": verdict.exercise, **{k: data[k] for k in keys}}


def _from_file(file: Path, exercises: list[Any]) -> dict[str, str]:
    """The text for each exercise that the file has something for.

    A notebook has a cell for each; line numbers are those of the cell. A Python file with `# %%exercise ID` lines holds
    a cell after each, up to the next `# %%` line; what stands above the first cell (imports, say) belongs to every one.
    A file without such lines is one text that may define any of them. Line numbers stay those of the file.
    """
    if file.suffix == ".ipynb":
        return dict(_exercise_cells(file))  # of two cells for one, the later counts
    content = _read(file)
    lines = content.split("\n")
    starts = _starts(lines)
    if not starts:
        names = bound_names(content)
        return {e.id: content for e in exercises if names is None or e.spec.target in names}
    head = lines[: starts[0][0]]
    if any(line.startswith("# %%") for line in head):
        head = [""] * len(head)  # other cells of a notebook, not a head of the file
    texts: dict[str, str] = {}
    for at, id in starts:
        end = next(
            (
                i
                for i in range(at + 1, len(lines))
                if lines[i].lstrip("# ").startswith("%%exercise") or lines[i].startswith("# %%")
            ),
            len(lines),
        )
        blank = [""] * (at + 1 - len(head))
        texts[id] = "\n".join([*head, *blank, *lines[at + 1 : end]]) + "\n"  # of two cells for one, the later counts
        if not "".join(lines[at + 1 : end]).strip():
            texts[id] = ""
    return texts


def _exercise_cells(file: Path) -> list[tuple[str, str]]:
    """The cells of exercises in a notebook: each one's id and its text, the empty ones as ""."""
    try:
        notebook = read_json(file, most=MOST_OF_A_NOTEBOOK, bits=128)
    except UnreadableError as error:
        raise LessonError(
            f"The notebook {file} cannot be read ({error.reason}); give one that JupyterLab has saved."
        ) from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise LessonError(f"The notebook {file} has no cells; give one that JupyterLab has saved.")
    found = []
    for cell in cells:
        source = cell.get("source", "") if isinstance(cell, dict) and cell.get("cell_type") == "code" else ""
        text = source if isinstance(source, str) else "".join(line for line in source if isinstance(line, str))
        id, body = strip_magic(text)
        if id is not None:
            found.append((id, body if body.strip() else ""))
    return found


def _read(file: Path) -> str:
    try:
        return read_python(file, most=1 << 20)
    except UnreadableError as error:
        raise LessonError(f"The file {file} cannot be read ({error.reason}); give a Python file in UTF-8.") from None


def _starts(lines: list[str]) -> list[tuple[int, str]]:
    """Where the cells of exercises begin in a file, each with its id."""
    return [
        (i, id)
        for i, line in enumerate(lines)
        if line.lstrip("# ").startswith("%%exercise") and (id := strip_magic(line)[0]) is not None
    ]


def _unknown_ids(lesson_name: str, file: Path | None) -> list[str]:
    """The ids in a file that the lesson has no exercise for."""
    known = {e.id for e in specs.lesson(lesson_name).exercises}
    if file is None:
        return []
    if file.suffix == ".ipynb":
        ids = {id for id, _ in _exercise_cells(file)}
    else:
        ids = {id for _, id in _starts(_read(file).split("\n"))}
    return sorted(ids - known)


def bound_names(text: str) -> set[str] | None:
    """Every name that a text may bind outside of functions and classes; None where that cannot be told."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    names: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names):
            return None
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(a.asname or a.name).split(".")[0] for a in node.names}
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif node.id in ("exec", "globals", "setattr", "vars"):
                return None
        waiting += ast.iter_child_nodes(node)
    return names


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
