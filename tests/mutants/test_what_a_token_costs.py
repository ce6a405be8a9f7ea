"""Lesson 02: what a learner is told about a known mistake is about that mistake.

A mutant's sentence is shown where the learner's trace equals the mutant's. So the calls must tell the mistakes apart.
"""

from __future__ import annotations

import pytest

from labkit import specs
from labkit.grading.judge import Judge
from labkit.grading.mutants import Mutant, bank, explain
from labkit.grading.source import Source

LESSON = specs.lesson("02")
MUTANTS = [m for m in bank(LESSON.module)[0] if m.breaks in {r.name for r in LESSON.exercise(m.exercise).spec.rules}]


@pytest.mark.parametrize("mutant", MUTANTS, ids=[f"{m.exercise}-{m.name}" for m in MUTANTS])
def test_a_mistake_is_told_its_own_sentence(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_PARTS", "reference")
    exercise = LESSON.exercise(mutant.exercise)
    judge = Judge(exercise.spec, Source(exercise.spec, mutant.source, f"<exercise 02/{exercise.id}>").namespace)
    judge._search = lambda: None  # type: ignore[method-assign]
    verdict = judge.verdict()
    assert verdict.rule == mutant.breaks
    said = explain(exercise, verdict)
    assert said == mutant.why, verdict.message
