"""The whole course as a learner goes through it: every solution entered in its cell, in order, in one home.

Nothing is answered and nothing else is run: what the cells around the exercises show is in the stored notebooks, which
nbval runs. There every check runs in its sandbox and searches as well; here it runs the witnesses alone, in this
process, over the parts that have passed before, since that is what only the whole path can show.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from labkit import engine, exercise_magic, mine, specs
from labkit.authoring import layout, master
from labkit.grading import job
from labkit.grading.judge import Judge
from labkit.grading.progress import Progress
from labkit.reports.certificate import facts
from labkit.sandbox import host

HAS_TRITON = importlib.util.find_spec("triton") is not None
if not os.path.exists("/dev/nvidiactl"):
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before anything imports Triton, see `kvkernels._triton`


def at_once(_call: str, asked: dict[str, Any], **_: Any) -> host.Outcome:
    """In place of the sandbox: the verdict over the learner's own parts alone."""
    journal = SimpleNamespace(restart=lambda: None, append=lambda _line: None)
    session: Any = SimpleNamespace(journal=journal, output=SimpleNamespace(text=""))
    exercise = specs.exercise(asked["lesson"], asked["exercise"])
    verdict = job._judge(exercise, asked | {"over": ["mine"]}, session, None)  # type: ignore[arg-type]
    return host.Outcome("answer", answer=verdict.to_dict())


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A notebook's shell without a notebook; `shell.shown` is what a cell displays."""
    monkeypatch.setenv("LABKIT_PARTS", "mine")
    monkeypatch.setattr(host, "run", at_once)
    monkeypatch.setattr(Judge, "_search", lambda self: None)
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False
    shell.shown = []
    monkeypatch.setattr("IPython.display.display", lambda *things, **_: shell.shown.extend(things))
    yield shell
    InteractiveShell.clear_instance()


def test_every_solution_in_order_makes_every_part_the_learners(shell: Any) -> None:
    slots = {slot.name: slot.lesson for slot in engine.SLOTS if engine.owner(slot.name) != "later"}
    assert slots and {engine.owner(name) for name in slots} == {"reference"}
    for lesson in specs.lessons():
        cells = master.read(layout.files(lesson.key).master).exercises
        here = [exercise for exercise in lesson.exercises if HAS_TRITON or not exercise.spec.needs_triton]
        assert set(cells) == {exercise.id for exercise in lesson.exercises}
        exercise_magic.register(lesson.key, shell)  # as the first cell does
        shell.user_ns.clear()
        for exercise in here:
            cell = cells[exercise.id]
            assert shell.run_cell(cell.learner_source).success, cell.where
            assert not Progress().passed(lesson.key, exercise.id), f"{cell.where}: what the learner finds passes"
            assert shell.run_cell(cell.solved_source).success, cell.where
            assert Progress().passed(lesson.key, exercise.id), f"{cell.where}: {shell.shown[-1]!r}"
        parts = engine.Parts()
        for name in (exercise.spec.target for exercise in here if exercise.reference):
            assert getattr(mine, name) is parts.part(name)  # what `from labkit.mine import NAME` hands out
            assert parts.yours[name] == engine.exported()[name], name
        owners = {name: engine.owner(name) for name in slots}
        assert owners == {n: "yours" if at <= lesson.number else "reference" for n, at in slots.items()}, lesson.key
    told = facts()
    assert told["says"][0] == f"All {len(slots)} parts of the engine are built by the learner."
    assert all(part["whose"] == "later" or not part["others"] for part in told["parts"])
    work = [exercise for row in told["lessons"] for exercise in row["exercises"]]
    assert not HAS_TRITON or {(e["state"], e["tries"]) for e in work} == {("passed", 2)}
    assert told["says"][2].startswith("There is no final score: 0 of") and not told["whole"]
