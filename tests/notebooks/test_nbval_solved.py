"""Solved notebooks, executed again by nbval and compared strictly; afterwards every exercise has passed."""

from __future__ import annotations

from labkit.authoring import layout
from labkit.grading.progress import Progress


def test_solved_notebook_shows_what_is_stored(any_master, nbval, prepared_home):
    nbval(layout.files(any_master.stem).solved, "--nbval")
    if layout.is_lesson(any_master.stem):
        from labkit import specs

        passed = {exercise for lesson, exercise in Progress(prepared_home).passed_all() if lesson == any_master.stem}
        assert passed == {exercise.id for exercise in specs.lesson(any_master.stem).exercises}
