"""Each stub fails its check and each solution passes it, every exercise alone in a kernel that ran nothing but start().

nbval cannot show this: a cell that is allowed to fail also passes there when it does not.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit import specs
from labkit.authoring import build, layout, master
from labkit.grading.progress import Progress

EXERCISES = [(lesson.key, exercise.id) for lesson in specs.lessons() for exercise in lesson.exercises]
TAUGHT = [key for key in dict.fromkeys(key for key, _ in EXERCISES)]


def run_exercises(key: str, solved: bool, scratch: Path, home: Path) -> dict[str, dict]:
    """Run start() and the exercise cells of a lesson; what the progress file then says of each exercise."""
    from nbformat.v4 import new_code_cell, new_notebook

    lesson = master.read(layout.files(key).master)
    begin = new_code_cell(f"from labkit.lesson import start\nstart({key!r})", id="begin")
    cells = [
        new_code_cell(cell.solved_source if solved else cell.learner_source, id=cell.id)
        for cell in lesson.exercises.values()
    ]
    node = new_notebook(cells=[begin, *cells])
    build.run(node, scratch, home, name=key)
    shown = {cell.id: cell.outputs for cell in node.cells}
    assert all(outputs for id, outputs in shown.items() if id != "begin"), "a check said nothing"
    return Progress(home).summary()["lessons"][key]["exercises"]


@pytest.mark.parametrize("key", TAUGHT)
def test_every_stub_fails(key, tmp_path, fresh_home):
    found = run_exercises(key, solved=False, scratch=tmp_path, home=fresh_home)
    assert set(found) == {exercise for lesson, exercise in EXERCISES if lesson == key}
    for exercise, state in found.items():
        assert not state["passed"], exercise
        assert state["last"] in ("fail", "error"), exercise
    assert Progress(fresh_home).passed_all() == {}


@pytest.mark.parametrize("key", TAUGHT)
def test_every_solution_passes(key, tmp_path, fresh_home):
    found = run_exercises(key, solved=True, scratch=tmp_path, home=fresh_home)
    assert {exercise: state["last"] for exercise, state in found.items()} == {
        exercise: "pass" for lesson, exercise in EXERCISES if lesson == key
    }
