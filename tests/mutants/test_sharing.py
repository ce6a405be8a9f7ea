"""Lesson 06: every known mistake is told a sentence, and it is its own wherever its trace is."""

from __future__ import annotations

import pytest

from labkit import specs
from labkit.grading.judge import Judge
from labkit.grading.mutants import Mutant, bank, explain
from labkit.grading.source import Source

LESSON = specs.lesson("06")
MUTANTS = [m for m in bank(LESSON.module)[0] if m.breaks in {r.name for r in LESSON.exercise(m.exercise).spec.rules}]

# On their shortest sequence these do what the other does, so they share a sentence, which must be true of both.
LOOKS_LIKE = {
    "drop-and-recycle-both": "drop-tells-the-pool",
    "frees-at-one": "frees-at-the-first-drop",
    "names-every-unheld-block": "names-in-a-set",
    "recycle-looks-the-wrong-way": "recycle-forgets-the-pool",
    "free-only-drops": "recycle-forgets-the-pool",
    "module-level-counts": "class-level-counts",
    "shares-the-last-only": "tells-nobody",
    "shallow-copy": "one-list-for-both",
    "parent-writes-in-place": "plain-append",
    "asks-after-sharing-ended": "copies-a-single-token-only",
    "copies-the-first-block": "tells-the-new-twice",
    "frees-the-new-block": "keeps-the-reference",
    "always-wants-a-spare": "asks-for-one-too-many",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=[f"{m.exercise}-{m.name}" for m in MUTANTS])
def test_a_mistake_is_told_its_own_sentence(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_PARTS", "reference")
    exercise = LESSON.exercise(mutant.exercise)
    judge = Judge(exercise.spec, Source(exercise.spec, mutant.source, f"<exercise 06/{exercise.id}>").namespace)
    judge._search = lambda: None  # type: ignore[method-assign]
    verdict = judge.verdict()
    assert verdict.rule == mutant.breaks
    told = {m.name: m.why for m in MUTANTS if m.exercise == mutant.exercise}
    assert explain(exercise, verdict) == told[LOOKS_LIKE.get(mutant.name, mutant.name)], verdict.message
