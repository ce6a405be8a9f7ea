"""The mutant bank proves the specifications: each wrong implementation falls to a witness, by the rule that names it.

The random search is left out on purpose. It depends on where modules are installed; a verdict must not.
"""

from __future__ import annotations

import pytest

from labkit import parts, specs
from labkit.grading.breakit import BreakIt
from labkit.grading.judge import Judge
from labkit.grading.mutants import Mutant, Right, bank
from labkit.grading.source import Source
from labkit.grading.verdict import Verdict

EXERCISES = [(lesson, exercise) for lesson in specs.lessons() for exercise in lesson.exercises]
JUDGED = [(lesson, e) for lesson, e in EXERCISES if e.kind != "break"]
BREAKS = [(lesson, e) for lesson, e in EXERCISES if e.kind == "break"]
MUTANTS = [(lesson, m) for lesson in specs.lessons() for m in bank(lesson.module)[0]]
RIGHTS = [(lesson, r) for lesson in specs.lessons() for r in bank(lesson.module)[1]]


def names(pairs: list) -> list[str]:
    return [f"{lesson.module}-{getattr(x, 'exercise', x.id if hasattr(x, 'id') else '')}-{getattr(x, 'name', '')}"
            for lesson, x in pairs]


@pytest.fixture(autouse=True)
def references_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_PARTS", "reference")


def verdict_on(exercise: specs.Exercise, text: str, search: bool) -> Verdict:
    judge = Judge(exercise.spec, Source(exercise.spec, text, f"<bank {exercise.id}>").namespace)
    if not search:
        judge._search = lambda: None  # type: ignore[method-assign]
    return judge.verdict()


@pytest.mark.parametrize(("lesson", "mutant"), MUTANTS, ids=names(MUTANTS))
def test_mutant_is_rejected_by_the_rule_that_names_its_fault(lesson: specs.Lesson, mutant: Mutant) -> None:
    verdict = verdict_on(lesson.exercise(mutant.exercise), mutant.source, search=False)
    assert not verdict.passed, "the witnesses alone must reject it"
    assert mutant.breaks in (verdict.rule, verdict.kind), (
        f"expected {mutant.breaks}, was rejected by {verdict.rule} ({verdict.kind}): {verdict.message}")
    if verdict.verdict == "fail":
        assert verdict.counterexample and verdict.counterexample.steps[verdict.counterexample.failing - 1].broken
    assert mutant.why.endswith(".") and len(mutant.why) > 25


@pytest.mark.parametrize(("lesson", "right"), RIGHTS, ids=names(RIGHTS))
def test_right_variant_is_accepted(lesson: specs.Lesson, right: Right) -> None:
    verdict = verdict_on(lesson.exercise(right.exercise), right.source, search=True)
    assert verdict.passed, f"{verdict.rule}: {verdict.message}"


@pytest.mark.parametrize(("lesson", "exercise"), JUDGED, ids=names(JUDGED))
def test_reference_is_accepted(lesson: specs.Lesson, exercise: specs.Exercise) -> None:
    reference = parts.load_reference(exercise.reference)

    def namespace() -> dict:
        found: dict = {}
        exec(exercise.spec.prelude, found)
        return {**found, exercise.spec.target: reference}

    verdict = Judge(exercise.spec, namespace).verdict()
    assert verdict.passed, f"{verdict.rule}: {verdict.message}"


@pytest.mark.parametrize(("lesson", "exercise"), JUDGED, ids=names(JUDGED))
def test_bank_is_large_enough_and_every_rule_is_proved(lesson: specs.Lesson, exercise: specs.Exercise) -> None:
    mutants, rights = bank(lesson.module)
    mine = [m for m in mutants if m.exercise == exercise.id]
    assert len(mine) >= 10
    assert len({m.name for m in mine}) == len(mine)
    assert len({m.source for m in mine}) == len(mine)
    assert len([r for r in rights if r.exercise == exercise.id]) >= 2
    rules = {rule.name for rule in exercise.spec.rules}
    assert {w.rule for w in exercise.spec.witnesses} == rules, "every rule has a witness, and every witness a rule"
    assert rules <= {m.breaks for m in mine}, "a rule that rejects no known mistake proves nothing"


@pytest.mark.parametrize(("lesson", "exercise"), BREAKS, ids=names(BREAKS))
def test_break_it_can_be_won_and_lost(lesson: specs.Lesson, exercise: specs.Exercise) -> None:
    spec = exercise.spec
    assert isinstance(spec, BreakIt)
    right, wrong = spec.duel(list(spec.shortest))
    assert right.ok and not wrong.ok
    assert spec.duel(list(spec.shortest[:-1]))[1].ok, "the par must need every operation"


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES, ids=names(EXERCISES))
def test_hints_and_rules_are_there(lesson: specs.Lesson, exercise: specs.Exercise) -> None:
    spec = exercise.spec
    assert len(spec.hints) == 3 and all(h.strip() for h in spec.hints)
    assert len({r.name for r in spec.rules}) == len(spec.rules)
    assert all(r.statement.endswith(".") for r in spec.rules)
    assert 1 <= exercise.difficulty <= 5 and 1 <= exercise.importance <= 5 and exercise.minutes >= 1
