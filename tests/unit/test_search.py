"""The random search is bounded by counted examples and gives the same answer at each run."""

from __future__ import annotations

import random

import pytest

from labkit import specs
from labkit.grading import search
from labkit.grading.judge import Judge
from labkit.grading.solutions import solutions
from labkit.grading.source import Source

SPEC = specs.exercise("06", "RefCounts").spec
TWO_HOLDERS = """
class RefCounts:
    def __init__(self, pool):
        self.pool, self.counts = pool, [0] * pool.num_blocks
    num_blocks = property(lambda self: self.pool.num_blocks)
    num_free = property(lambda self: self.pool.num_free)
    def count(self, block):
        return self.counts[block]
    def allocate(self, n):
        for block in (blocks := self.pool.allocate(n)) or []:
            self.counts[block] = 1
        return blocks
    def share(self, blocks):
        for block in blocks:
            self.counts[block] = min(self.counts[block] + 1, 2)
    def drop(self, blocks):
        for block in blocks:
            self.counts[block] -= 1
        return [block for block in blocks if self.counts[block] == 0]
    def recycle(self, blocks):
        self.pool.free(blocks)
    def free(self, blocks):
        self.recycle(self.drop(blocks))
"""


def found(text: str) -> list[tuple[str, dict]]:
    run = search.find(Judge(SPEC, Source(SPEC, text, "<exercise>").namespace))
    return [] if run is None else [(op.name, dict(op.args)) for op in run.ops]


def test_a_failure_is_found_and_shortened_to_the_same_sequence_each_time() -> None:
    first = found(TWO_HOLDERS)
    assert [name for name, _ in first] == ["new", "allocate", "share", "share"]
    assert found(TWO_HOLDERS) == first


def test_no_clock_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """All examples are tried, however late it is."""
    ran = []
    judge = Judge(SPEC, Source(SPEC, TWO_HOLDERS.replace(", 2)", ", 99)"), "<exercise>").namespace)
    run = judge.run
    monkeypatch.setattr(judge, "run", lambda *args, **kwargs: ran.append(1) or run(*args, **kwargs))
    assert search.find(judge) is None
    assert len(ran) >= SPEC.examples


def test_shrinking_ends_after_a_counted_number_of_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SHORTER", 3)
    assert found(TWO_HOLDERS), "what was found before is still told"


EXERCISES = [(lesson.key, e.id) for lesson in specs.lessons() for e in lesson.exercises if e.kind != "break"]


@pytest.mark.parametrize(("lesson", "id"), EXERCISES)
def test_what_is_tried_to_shorten_a_failure_makes_sense(lesson: str, id: str) -> None:
    """The solution holds on all of it. Only of what a function draws nobody knows what could have been drawn."""
    spec = specs.exercise(lesson, id).spec
    judge = Judge(spec, Source(spec, solutions(lesson)[id], "<exercise>").namespace)
    kinds, draw = search._kinds(spec), random.Random(1)
    blind = any(callable(kind) for given in kinds.values() for kind in given.values())
    for _ in range(4 if kinds else 0):
        for ops in [*search._smaller(search._sequence(kinds, spec, draw), kinds)][:20]:
            try:
                run = judge.run(ops, bend=True)
            except Exception:
                assert blind, ops
                continue
            assert run.ok, ops


def test_a_sequence_that_the_referee_cannot_judge_shortens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Judge(SPEC, Source(SPEC, TWO_HOLDERS, "<exercise>").namespace)
    run, kinds = judge.run, search._kinds(SPEC)

    def fragile(ops, **how):
        if len(ops) < 4:
            raise ZeroDivisionError
        return run(ops, **how)

    monkeypatch.setattr(judge, "run", fragile)
    found = search.find(judge)
    assert found is not None and found.failures and len(found.ops) == 4 and kinds
