"""Learner's notebooks, untouched: Run All reaches the end, every check says no and nothing is kept as passed.

That a check said no is read in the progress that the kernel wrote: a cell that is allowed to fail also passes in nbval
when it does not.
"""

from __future__ import annotations

from labkit import specs
from labkit.authoring import layout
from labkit.grading.progress import Progress


def test_untouched_notebook_runs_to_its_end_and_every_stub_fails(lesson_master, nbval, prepared_home):
    nbval(layout.files(lesson_master.stem).learner, "--nbval-lax")
    progress = Progress(prepared_home)
    assert progress.passed_all() == {}
    tried = progress.summary()["lessons"].get(lesson_master.stem, {}).get("exercises", {})
    assert set(tried) == {exercise.id for exercise in specs.lesson(lesson_master.stem).exercises}
    for exercise, state in tried.items():
        assert not state["passed"], exercise
        assert state["last"] in ("fail", "error"), exercise
