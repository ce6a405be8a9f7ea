"""The bank proves the specifications: each known mistake falls to a witness, by the rule that names it.

The random search is left out for the mistakes on purpose: a verdict on what is known must not hang on what was drawn.
"""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from itertools import islice, product

import pytest

from labkit import engine, specs
from labkit.errors import LessonError
from labkit.grading import mistakes
from labkit.grading.breakit import BreakIt
from labkit.grading.judge import Judge
from labkit.grading.language import COMMON, Op
from labkit.grading.mistakes import Mistake, Right, bank, bare, edited, explain
from labkit.grading.solutions import solutions
from labkit.grading.source import Source
from labkit.grading.specification import GENERAL, Specification

EXERCISES = [(lesson, exercise) for lesson in specs.lessons() for exercise in lesson.exercises]
JUDGED = [(lesson, e) for lesson, e in EXERCISES if e.kind != "break"]
BREAKS = [(lesson, e) for lesson, e in EXERCISES if e.kind == "break"]
MISTAKES = [(lesson, m) for lesson in specs.lessons() for m in bank(lesson.key).mistakes]
RIGHTS = [(lesson, r) for lesson in specs.lessons() for r in bank(lesson.key).right]


def names(pairs: list) -> list[str]:
    return [
        f"{lesson.module}-{getattr(x, 'exercise', x.id if hasattr(x, 'id') else '')}-{getattr(x, 'name', '')}"
        for lesson, x in pairs
    ]


RUNS: dict[tuple, list] = {}
"""What each known mistake shows on each sequence that was asked about."""


@pytest.fixture(autouse=True)
def references_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the references a known mistake shows the same each time, and is asked once for each mistake beside it."""
    conduct = mistakes.conduct

    def kept(spec: Specification, mistake: Mistake, ops: Sequence[Op], manner: tuple[str, ...] = ()) -> list:
        key = (type(spec), mistake, repr(ops), manner)
        if key not in RUNS:
            RUNS[key] = conduct(spec, mistake, ops, manner)
        return RUNS[key]

    monkeypatch.setenv("LABKIT_PARTS", "reference")
    monkeypatch.setattr(mistakes, "conduct", kept)


def judge_of(exercise: specs.Exercise, text: str, search: bool) -> Judge:
    judge = Judge(exercise.spec, Source(exercise.spec, text, f"<exercise {exercise.id}>").namespace)
    if not search:
        judge._search = lambda: None  # type: ignore[method-assign]
    return judge


@pytest.mark.parametrize(("lesson", "mistake"), MISTAKES, ids=names(MISTAKES))
def test_a_mistake_is_rejected_by_the_rule_that_names_it_and_told_its_sentence(
    lesson: specs.Lesson, mistake: Mistake
) -> None:
    judge = judge_of(lesson.exercise(mistake.exercise), mistake.source, search=False)
    verdict = judge.verdict()
    assert not verdict.passed, "the witnesses alone must reject it"
    assert mistake.breaks in (verdict.rule, verdict.kind), (
        f"expected {mistake.breaks}, was rejected by {verdict.rule} ({verdict.kind}): {verdict.message}"
    )
    assert mistake.why.endswith(".") and len(mistake.why) > 25
    if verdict.verdict != "fail":
        return
    trace = verdict.counterexample
    assert trace is not None
    broken = [step for step in trace.steps if step.broken]
    assert [step.n for step in broken] == [trace.failing]
    assert broken[0].expected != broken[0].seen, "what is shown side by side must differ"
    if verdict.kind == "not-written":
        return
    told = explain(judge, verdict)
    if {step.op for step in trace.steps}.isdisjoint(judge.spec.measured):
        assert told == mistake.why, verdict.message
    else:
        assert told in (None, mistake.why), "what is measured may not tell two mistakes apart"


@pytest.mark.parametrize(("lesson", "right"), RIGHTS, ids=names(RIGHTS))
def test_a_right_answer_is_accepted(lesson: specs.Lesson, right: Right) -> None:
    verdict = judge_of(lesson.exercise(right.exercise), right.source, search=True).verdict()
    assert verdict.passed, f"{verdict.rule}: {verdict.message}"


@pytest.mark.parametrize(("lesson", "exercise"), JUDGED, ids=names(JUDGED))
def test_solution_and_reference_are_accepted(lesson: specs.Lesson, exercise: specs.Exercise) -> None:
    reference = engine.load_reference(exercise.reference)

    def namespace() -> dict:
        found: dict = {}
        exec(exercise.spec.prelude, found)
        return {**found, exercise.spec.target: reference}

    for judge in (Judge(exercise.spec, namespace), judge_of(exercise, solutions(lesson.key)[exercise.id], search=True)):
        verdict = judge.verdict()
        assert verdict.passed, f"{verdict.rule}: {verdict.message}"


@pytest.mark.parametrize(("lesson", "exercise"), JUDGED, ids=names(JUDGED))
def test_bank_is_large_enough_and_every_rule_is_proved(lesson: specs.Lesson, exercise: specs.Exercise) -> None:
    mine = [m for m in bank(lesson.key).mistakes if m.exercise == exercise.id]
    assert len(mine) >= 10
    assert len({m.name for m in mine}) == len(mine)
    assert len({m.source for m in mine}) == len(mine)
    assert len([r for r in bank(lesson.key).right if r.exercise == exercise.id]) >= 2
    rules = {rule.name for rule in exercise.spec.rules}
    assert {rule for rule, _ in exercise.spec.witnesses} == rules, "every rule has a witness"
    assert rules <= {m.breaks for m in mine}, "a rule that rejects no known mistake proves nothing"


def test_every_general_rule_rejects_some_mistake() -> None:
    assert {rule.name for rule in GENERAL} <= {m.breaks for _, m in MISTAKES}


@pytest.mark.parametrize(("lesson", "exercise"), EXERCISES, ids=names(EXERCISES))
def test_hints_and_rules_are_there(lesson: specs.Lesson, exercise: specs.Exercise) -> None:
    spec = exercise.spec
    assert len(spec.hints) == 3 and all(h.strip() for h in spec.hints)
    assert len({r.name for r in spec.rules}) == len(spec.rules)
    assert all(r.statement.endswith(".") for r in spec.rules)
    assert all(r.hint.endswith(("?", ".")) for r in spec.rules if r.hint)
    # The exercise's own is about the worst rule, and about how the wrong one falls; that of `GENERAL` about what a call
    # is given.
    others = [r for r in spec.rules[1:] if r.name not in (spec.stay, "the-wrong-one-falls")]
    undecided = [r.name for r in others if not r.hint]
    assert not undecided, "write a first hint below each of these rules, or `?` where the exercise's own is about it"
    said = [r.hint for r in spec.rules if r.hint not in ("", COMMON)]
    assert len(set(said)) == len(said), "one hint for two rules fits at most one of them"
    assert spec.hints[0] not in said, "write `?` alone for the exercise's own"
    assert 1 <= exercise.difficulty <= 5 and 1 <= exercise.importance <= 5 and exercise.minutes >= 1


def test_what_a_known_mistake_shows_is_its_own_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of each stay to be read (Triton does), whatever else was executed since."""
    spec, other = (specs.exercise("04", name).spec for name in ("BlockPool", "blocks_needed"))
    one, two = (Mistake(s.exercise, "same-name", "r", "Why.", f"x = {i}\n") for i, s in enumerate((spec, other)))
    texts = [mistakes._source(spec, one), mistakes._source(other, two)]
    lines = [linecache.getlines(source._code.co_filename) for source in texts]
    assert lines == [["x = 0\n"], ["x = 1\n"]]


# ----- the bank's own language --------------------------------------------------------------------------------

SOLUTION = bare(
    'def f(a, b=2):\n    """Doc."""\n    x = a\n    # a comment\n\n    if b:\n        x += b\n    return x\n'
)


@pytest.mark.parametrize(("body", "lines"), [
    (["~ += b => -= b"], ["def f(a, b=2):", "    x = a", "    if b:", "        x -= b", "    return x"]),
    (["~ x = a =>"], ["def f(a, b=2):", "    if b:", "        x += b", "    return x"]),
    (["- if b:", "-     x += b", "+ x += b"], ["def f(a, b=2):", "    x = a", "    x += b", "    return x"]),
    (["  x = a", "+ x = 1", "~ return x => return a"],
     ["def f(a, b=2):", "    x = a", "    x = 1", "    if b:", "        x += b", "    return a"]),
    (["~ x = a => x = 1 ~ += b => -= b"],
     ["def f(a, b=2):", "    x = 1", "    if b:", "        x -= b", "    return x"]),
    (["~ if b => if a", "+     x = 2"],
     ["def f(a, b=2):", "    x = a", "    if a:", "        x = 2", "        x += b", "    return x"]),
    (["- x = a", "- ...", "+ pass"], ["def f(a, b=2):", "    pass"]),
    (["- x = a", "- ...", "- return x", "+ return a"], ["def f(a, b=2):", "    return a"]),
    (["= f => return b"], ["def f(a, b=2):", "    return b"]),
    (["= f", "+ if a:", "+     return b"], ["def f(a, b=2):", "    if a:", "        return b"]),
    (["+ return b"], ["def f(a, b=2):", "    return b"]),
    (["+ def f(a):", "+     return 1"], ["def f(a):", "    return 1"]),
])  # fmt: skip
def test_an_edit_changes_the_solution(body: list[str], lines: list[str]) -> None:
    assert edited(SOLUTION, body, "f", "here").splitlines() == lines


@pytest.mark.parametrize(("body", "words"), [
    (["~ y => z"], "found 0 times"),
    (["~ x => y"], "times in the solution"),
    (["- y = a", "+ y = b"], "found 0 times"),
    (["= g => return 1"], "0 functions"),
    (["- x = a", "- ...", "- return y"], "'return y' is not found below"),
])  # fmt: skip
def test_an_edit_whose_lines_are_not_found_once_is_an_error(body: list[str], words: str) -> None:
    with pytest.raises(LessonError, match=words):
        edited(SOLUTION, body, "f", "here")


@pytest.mark.parametrize(("text", "words"), [
    ("+ return 1\n", "belongs to no mistake"),
    ("diff f\nname: Why.\n+ return 1\n", "no name of a mistake under a rule"),
    ("diff f\n@@ r @@\nNot a name: Why.\n", "no name of a mistake"),
    ("diff g\n@@ r @@\nname: Why.\n+ return 1\n", "no exercise 'g'"),
    ("diff f\n@@ r @@\nname = other\n+ return 1\n", "no mistake 'other'"),
    ("diff f\n@@ r @@\nname ^ other: Why.\n~ 1 => 2\n", "no answer 'other' above"),
])  # fmt: skip
def test_a_bank_that_cannot_be_read_says_where(text: str, words: str) -> None:
    with pytest.raises(LessonError, match=words):
        mistakes._bank(text, (("f", "def f():\n    return 2\n"),), "specs/here")


def test_an_answer_may_be_an_edit_of_any_answer_above_it() -> None:
    text = "diff f\n@@ right @@\na\n+ return 1 + 1\n@@ r @@\nb ^ a: Why.\n~ 1 + => 3 +\nc ^ b = b\n~ 3 => 4\n"
    found = mistakes._bank(text, (("f", "def f():\n    return 2\n"),), "specs/here")
    assert [m.source for m in found.mistakes] == ["def f():\n    return 3 + 1\n", "def f():\n    return 4 + 1\n"]
    assert [m.why for m in found.mistakes] == ["Why.", "Why."]


def test_a_mistake_is_an_edit_of_each_variant_as_well_where_it_fits() -> None:
    text = (
        "diff f\n@@ variant @@\na\n~ x + 1 => 1 + x\n@@ r @@\n"
        "b: Why.\n~ return => return -\nc: Why else.\n~ x + => x -\nd = b\n+ return 0\n"
    )
    found = mistakes._bank(text, (("f", "def f(x):\n    return x + 1\n"),), "specs/here")
    assert [right.name for right in found.right] == ["a"]
    assert [(m.name, m.source.splitlines()[1].strip(), m.why, m.like) for m in found.mistakes] == [
        ("b", "return - x + 1", "Why.", ""),
        ("b, a", "return - 1 + x", "Why.", "b"),
        ("c", "return x - 1", "Why else.", ""),
        ("d", "return 0", "Why.", "b"),
    ]


# ----- break it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lesson", "exercise"), BREAKS, ids=names(BREAKS))
def test_break_it_can_be_won_and_lost(lesson: specs.Lesson, exercise: specs.Exercise) -> None:
    spec = exercise.spec
    assert isinstance(spec, BreakIt)
    right, wrong = spec.duel(list(spec.shortest))
    assert right.ok and not wrong.ok
    assert spec.duel(list(spec.shortest[:-1]))[1].ok or len(spec.shortest) == 1, "the par must need every operation"


MOST = 600
"""How many lists are tried of one break-it: of three operations behind the first with all their neighbours, all."""


@pytest.mark.parametrize(("lesson", "exercise"), BREAKS, ids=names(BREAKS))
def test_no_list_shorter_than_the_par_convicts_and_none_breaks_the_check(
    lesson: specs.Lesson, exercise: specs.Exercise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BreakIt, "near_miss", lambda *_: "")  # which tries as many lists again for each
    spec, moves, par = exercise.spec, [], len(exercise.spec.shortest)
    shown = {new: old for old, new in spec.renamed.items()}
    first, *others = [(shown.get(op.name, op.name), *op.args.values()) for op in spec.shortest]
    for move in others:
        moves += [near for near in (move, *neighbours(move)) if near not in moves]
    every = ([first, *rest] for length in range(par) for rest in product(moves, repeat=length))
    lists = list(islice(every, MOST))
    convict = [ops for ops in lists if spec.judge(Judge(spec, dict), {"ops": ops}, []).passed]
    assert {len(ops) for ops in convict} <= {par}
    assert convict or len(lists) == MOST, "the par is among them, unless there are too many to come to it"


def neighbours(move: tuple) -> list[tuple]:
    """The operation with one of its numbers one lower, or one higher."""
    numbers = [i for i, argument in enumerate(move) if type(argument) is int]
    return [(*move[:i], move[i] + by, *move[i + 1 :]) for i in numbers for by in (-1, 1)]
