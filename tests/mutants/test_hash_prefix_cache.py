"""Lesson 07: a known mistake is told a sentence that is true of it."""

from __future__ import annotations

import pytest

from labkit import specs
from labkit.grading.judge import Judge
from labkit.grading.mutants import Mutant, bank, explain
from labkit.grading.source import Source

LESSON = specs.lesson("07")
MUTANTS = [m for m in bank(LESSON.module)[0] if m.breaks in {r.name for r in LESSON.exercise(m.exercise).spec.rules}]

# On their shortest sequence these do what the other does, so they share a sentence, which must be true of both.
LOOKS_LIKE = {
    "parent-never-moves": "no-chain",
    "continue-for-break": "skips-misses",
    "from-the-end": "last-hit-wins",
    "stops-before-the-last": "limit-minus-one",
    "greater-than-zero": "zero-is-false",
    "forgets-hashes-on-release": "recycles-everything",
    "sorted-ids": "head-first",
    "holds-and-evicts-then-asks": "evicts-then-asks",
    "needs-everything-fresh": "all-hits-count-against",
    "full-hit-by-hashes": "full-hit",
    "never-holds": "allocates-before-holding",
    "registers-hits-only": "never-registers",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=[f"{m.exercise}-{m.name}" for m in MUTANTS])
def test_a_mistake_is_told_its_own_sentence(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_PARTS", "reference")
    exercise = LESSON.exercise(mutant.exercise)
    judge = Judge(exercise.spec, Source(exercise.spec, mutant.source, f"<exercise 07/{exercise.id}>").namespace)
    judge._search = lambda: None  # type: ignore[method-assign]
    verdict = judge.verdict()
    assert verdict.rule == mutant.breaks
    told = {m.name: m.why for m in MUTANTS if m.exercise == mutant.exercise}
    assert explain(exercise, verdict) == told[LOOKS_LIKE.get(mutant.name, mutant.name)], verdict.message


@pytest.mark.parametrize("guess", ["-len(self.hash_of.get(b, ''))", "self.hash_of.get(b, '')"])
def test_no_place_in_the_sequence_can_be_read_off_a_hash(guess: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_PARTS", "reference")
    mutant = next(m for m in bank(LESSON.module)[0] if f"lambda b: {guess.replace(chr(39), chr(34))}" in m.source)
    exercise = LESSON.exercise("register_release")
    verdict = Judge(exercise.spec, Source(exercise.spec, mutant.source, "<exercise 07>").namespace).verdict()
    assert verdict.kind == "raised" and verdict.counterexample is not None
    step = verdict.counterexample.steps[verdict.counterexample.failing - 1]
    assert "does not say where its block stands" in step.seen
