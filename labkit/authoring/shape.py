"""The shape every lesson keeps, as far as a program can see it in the master.

What it cannot see (whether the symptom is one, whether the prediction is worth making) is in CONTRIBUTING.md.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from labkit.authoring import layout, names
from labkit.authoring.finding import Finding
from labkit.authoring.master import FOLD, LEARNER_ONLY, SOLVED_ONLY, Master, MasterCell

if TYPE_CHECKING:
    from labkit.specs import Lesson

_UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
_TEMPLATE = re.compile(r"«[^»]*»?")
_HEADING = re.compile(r"^(#{1,6})\s+(.*)$", re.MULTILINE)
WIDEST_LINE = 96
"""Characters of a code line that a notebook shows on a screen of 1,280 pixels, beside the file browser."""
FOLDED_SECTIONS = ("in production", "verify it")


def check(master: Master, lesson: Lesson | None) -> Iterator[Finding]:
    """Everything about one master that breaks the shape; `lesson` is its registry entry where it has one."""
    yield from _text(master)
    if layout.is_lesson(master.key):
        yield from _names(master, lesson)
        yield from _order(master, lesson)
        yield from _folds(master, lesson)


def calls_of(master: Master, function: str) -> list[tuple[int, MasterCell, ast.Call]]:
    """Calls of one of `labkit.lesson`'s functions outside exercises: (index of the cell, cell, call)."""
    found = []
    for index, cell in enumerate(master.cells):
        if cell.kind == "code" and cell.exercise is None:
            tree = names.parse(cell.solved_source)
            found += [(index, cell, call) for _, call in names.calls(tree, function)]
    return found


def heading(cell: MasterCell) -> tuple[int, str] | None:
    """(level, text) of the first heading of a markdown cell, or None."""
    match = _HEADING.search(cell.source) if cell.kind == "markdown" else None
    return (len(match[1]), match[2].strip()) if match else None


def folded(master: Master) -> set[str]:
    """Ids of the cells that JupyterLab hides when the lesson is opened: those under a heading tagged `fold`."""
    hidden: set[str] = set()
    level: int | None = None
    for cell in master.cells:
        found = heading(cell)
        if found and level is not None and found[0] <= level:
            level = None
        if level is not None:
            hidden.add(cell.id)
        elif FOLD in cell.tags and found:
            level = found[0]
    return hidden


def _text(master: Master) -> Iterator[Finding]:
    for cell in master.cells:
        template = _TEMPLATE.search(cell.source)
        if template:
            yield Finding(
                master.path, cell.id, "template", f"still holds the template's text {template[0][:50]!r}; write yours."
            )
        unfinished = _UNFINISHED.search(cell.source)
        if unfinished:
            yield Finding(master.path, cell.id, "unfinished", f"says {unfinished[0]}; finish it or take it out.")
        if cell.kind == "code":
            wide = max((len(line) for line in cell.solved_source.splitlines()), default=0)
            if wide > WIDEST_LINE and layout.is_lesson(master.key):
                yield Finding(
                    master.path,
                    cell.id,
                    "wide",
                    f"has a line of {wide} characters; a laptop shows {WIDEST_LINE}, so break it.",
                )
            tree = names.parse(cell.solved_source)
            last = next((line for line in reversed(cell.solved_source.splitlines()) if line.strip()), "")
            if last.split("#")[0].rstrip().endswith(";"):
                yield Finding(
                    master.path, cell.id, "semicolon", "ends in `;`, which strict nbval fails on; assign to `_`."
                )
            if names.calls(tree, "update_display"):
                yield Finding(
                    master.path, cell.id, "update-display", "calls update_display, which nbval fails on; use a widget."
                )


def _names(master: Master, lesson: Lesson | None) -> Iterator[Finding]:
    """Cells stand on their own feet: Run All on an untouched notebook raises nothing, and a check needs one cell."""
    learners: dict[str, str] = {}
    for name, cell in master.exercises.items():
        for defined in names.defined(names.parse(cell.solved_source)):
            learners[defined] = name
    available: set[str] = set()
    for cell, source in master.forms(solved=False):
        if cell.kind != "code":
            continue
        tree = names.parse(source)
        if cell.exercise is None:
            for name in names.used(tree):
                if name in learners and name not in available:
                    yield Finding(
                        master.path,
                        cell.id,
                        "learner-name",
                        f"uses {name}, which the learner writes; begin the cell with `from labkit.mine import {name}`.",
                    )
            available |= names.defined(tree)
    for name, cell in master.exercises.items():
        prelude: set[str] = set()
        if lesson is not None:
            spec = next((e.spec for e in lesson.exercises if e.id == name), None)
            if spec is not None:
                prelude = names.defined(ast.parse(spec.prelude))
        for form, source in (("solution", cell.solved_source), ("stub", cell.learner_source)):
            for missing in sorted(set(names.needed(names.parse(source))) - prelude):
                yield Finding(
                    master.path,
                    cell.id,
                    "not-self-contained",
                    f"the {form} uses {missing}, which neither the cell nor its prelude defines; import it in the "
                    "cell or add it to the specification's prelude.",
                )
        kind = next((e.kind for e in lesson.exercises if e.id == name), "") if lesson else ""
        if kind != "break":
            for missing in names.undocumented(names.parse(cell.learner_source)):
                yield Finding(
                    master.path,
                    cell.id,
                    "docstring",
                    f"{missing} has no docstring; say what comes in and out: shapes, units, errors.",
                )


def _order(master: Master, lesson: Lesson | None) -> Iterator[Finding]:
    cells = master.cells
    first = cells[0] if cells else None
    if first is None or (heading(first) or (0, ""))[0] != 1 or len(first.source.split("\n", 1)) < 2:
        yield Finding(
            master.path,
            first.id if first else "",
            "symptom-first",
            "a lesson opens with a markdown cell that holds the title (`# ...`) and below it the symptom.",
        )
    code = [i for i, cell in enumerate(cells) if cell.kind == "code"]
    starts = calls_of(master, "start")
    if not starts or starts[0][0] != code[0]:
        yield Finding(
            master.path,
            cells[code[0]].id if code else "",
            "start",
            f'the first code cell must call start("{master.key[:2]}"), which shows the opening card.',
        )
    for function in ("start", "quiz", "predict", "save_point", "finish"):
        for _, cell, call in calls_of(master, function):
            said = names.text_argument(call, 0)
            own = said in (master.key, master.key[:2], layout.name_of(master.key))
            elsewhere = function == "quiz" and said in ("final", "placement", "facts", "practice")
            if not own and not elsewhere:
                yield Finding(
                    master.path,
                    cell.id,
                    "other-lesson",
                    f'{function}({said!r}) names another lesson; write "{master.key[:2]}".',
                )
    quizzes = calls_of(master, "quiz")
    if not quizzes:
        yield Finding(
            master.path,
            "",
            "quiz-at-the-end",
            f'no cell calls quiz("{master.key[:2]}"); end the lesson with its questions.',
        )
    if not master.exercises:
        return  # a lesson without exercises, such as the tour, has neither core nor save point
    exercises = [i for i, cell in enumerate(cells) if cell.exercise]
    hidden = folded(master)
    core = [i for i in exercises if cells[i].id not in hidden]
    yield from _prediction(master)
    yield from _play_first(master, starts, core)
    saves = calls_of(master, "save_point")
    if len(saves) != 1 or not core or not core[0] < saves[0][0] < core[-1]:
        yield Finding(
            master.path,
            saves[0][1].id if saves else "",
            "save-point",
            f'there must be one save_point("{master.key[:2]}"), between the first core exercise and the last.',
        )
    breaks = [i for i, cell in enumerate(cells) if heading(cell) and "break it" in heading(cell)[1].lower()]  # type: ignore[index]
    if not breaks:
        yield Finding(master.path, "", "break-it", 'has no heading "Break it" with a wrong part to be caught.')
    elif lesson is not None and not any(e.kind == "break" for e in lesson.exercises):
        yield Finding(
            master.path,
            cells[breaks[0]].id,
            "break-it",
            'no exercise of the lesson is of kind "break"; give the learner a wrong part to catch.',
        )
    if quizzes:
        last_core = max([*core, *breaks], default=0)
        if quizzes[-1][0] < last_core:
            yield Finding(
                master.path,
                quizzes[-1][1].id,
                "quiz-at-the-end",
                "comes before the last core exercise; move the questions behind it.",
            )
        for cell in cells[quizzes[-1][0] + 1 :]:
            closing = cell.kind == "code" and names.calls(names.parse(cell.solved_source), "finish", "certificate")
            if cell.kind == "code" and cell.id not in hidden and not closing:
                yield Finding(
                    master.path,
                    cell.id,
                    "quiz-at-the-end",
                    "runs after the quiz and is not folded; only finish(...), the certificate and folded sections may "
                    "follow it.",
                )


def _prediction(master: Master) -> Iterator[Finding]:
    hidden = folded(master)  # a folded section may ask for a claim to be marked, where nothing follows
    predictions = [found for found in calls_of(master, "predict") if found[1].id not in hidden]
    if not predictions:
        yield Finding(
            master.path,
            "",
            "prediction",
            f'no cell calls predict("{master.key[:2]}", "ID"); ask for one before the cell that reveals it.',
        )
    for index, cell, _ in predictions:
        follows = [c for c in master.cells[index + 1 :] if c.kind == "code"]
        if not follows or names.calls(names.parse(follows[0].solved_source), "quiz", "finish", "save_point"):
            yield Finding(
                master.path,
                cell.id,
                "prediction",
                "no cell after it reveals the answer; put it before the one that does.",
            )


def _play_first(master: Master, starts: list[tuple[int, MasterCell, ast.Call]], core: list[int]) -> Iterator[Finding]:
    if not core or not starts:
        return
    between = [c for c in master.cells[starts[0][0] + 1 : core[0]] if c.kind == "code"]
    if not between:
        yield Finding(
            master.path,
            master.cells[core[0]].id,
            "play-first",
            "nothing can be played with before the first exercise; show a widget between start(...) and it.",
        )


def _folds(master: Master, lesson: Lesson | None) -> Iterator[Finding]:
    if not master.exercises:
        return
    hidden = folded(master)
    stretch = {e.id for e in lesson.exercises if e.stretch} if lesson else set()
    for name, cell in master.exercises.items():
        if lesson is None or LEARNER_ONLY in cell.tags or SOLVED_ONLY in cell.tags:
            continue
        if name in stretch and cell.id not in hidden:
            yield Finding(master.path, cell.id, "fold", 'is a stretch exercise; put it below a heading tagged "fold".')
        if name not in stretch and cell.id in hidden:
            yield Finding(master.path, cell.id, "fold", "is a core exercise below a folded heading; move it out.")
    for section in FOLDED_SECTIONS:
        found = [c for c in master.cells if (heading(c) or (0, ""))[1].lower().startswith(section)]
        if not found:
            yield Finding(master.path, "", "section", f'has no section "{section.capitalize()}"; add it, folded.')
        for cell in found:
            if FOLD not in cell.tags and cell.id not in hidden:
                yield Finding(master.path, cell.id, "fold", 'tag this heading "fold": it is not part of the core.')
