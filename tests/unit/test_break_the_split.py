"""Lesson 08's break-it: whatever operations a learner writes are judged, and none shorter than the par convict."""

from __future__ import annotations

from itertools import product

import pytest

from labkit.grading.judge import Judge
from labkit.grading.verdict import Verdict
from labkit.specs.radix_prefix_cache import BreakTheSplit

SPEC = BreakTheSplit()
OPS = [("start", "a"), ("start", "ab"), ("finish", 0), ("finish", 1), ("evict", 1), ("evict", 2)]


def judged(ops: list[tuple[str, object]]) -> Verdict:
    namespace = {"ops": ops}
    return SPEC.judge(Judge(SPEC, lambda: namespace), namespace, [])


def test_a_request_that_cannot_end_convicts() -> None:
    verdict = judged([("start", "ab"), ("start", "a"), ("finish", 0), ("finish", 0)])
    assert verdict.verdict == "pass"
    assert "a-request-can-end" in verdict.notes[0] and "refuses to unlock" in verdict.notes[0]


def test_no_short_list_convicts_and_none_breaks_the_check() -> None:
    par, convicts = len(SPEC.shortest), 0
    for length in range(1, par + 1):
        for rest in product(OPS, repeat=length - 1):
            verdict = judged([("start", "ab"), *rest])
            if verdict.verdict == "pass":
                convicts += 1
                assert length == par, rest
    assert convicts


@pytest.mark.parametrize(
    ("ops", "said"),
    [
        ([("start", "ab"), ("start", "ab"), ("finish", 0), ("evict", 1)], "no edge was cut here"),
        ([("start", "ab"), ("start", "a"), ("evict", 2)], "No request has ended"),
        ([("start", "ab"), ("start", "a"), ("finish", 0)], "Nothing was evicted"),
        ([("start", "ab"), ("start", "a"), ("finish", 0), ("evict", 1)], "kept every promise"),
    ],
)
def test_operations_that_convict_nobody_are_told_why(ops: list[tuple[str, object]], said: str) -> None:
    verdict = judged(ops)
    assert verdict.verdict == "fail" and said in verdict.message
