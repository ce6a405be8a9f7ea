"""Solved notebooks, executed again by nbval and compared strictly; afterwards every exercise has passed."""

from __future__ import annotations

from labkit import specs
from labkit.authoring import layout
from labkit.grading.progress import Progress


def test_solved_notebook_shows_what_is_stored_and_every_solution_passes(any_master, nbval, prepared_home):
    nbval(layout.files(any_master.stem).solved, "--nbval")
    if layout.is_lesson(any_master.stem):
        found = Progress(prepared_home).summary()["lessons"].get(any_master.stem, {}).get("exercises", {})
        assert {exercise: state["last"] for exercise, state in found.items()} == {
            exercise.id: "pass" for exercise in specs.lesson(any_master.stem).exercises
        }
        passed = {exercise for lesson, exercise in Progress(prepared_home).passed_all() if lesson == any_master.stem}
        assert passed == set(found)
