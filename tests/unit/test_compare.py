"""What is said of an answer that is not of the right kind: which part of it, and what is due there."""

from __future__ import annotations

import pytest

from labkit import specs
from labkit.grading.compare import compare
from labkit.grading.job import _top_level


@pytest.mark.parametrize(("seen", "expected", "said"), [
    (0.5, 1, "The answer is a number (0.5) where a whole number is due."),
    ({"used": 0.5}, {"used": 1}, "The answer['used'] is a number (0.5) where a whole number is due."),
    ([(1, 2.0)], [(1, 2)], "The answer[0][1] is a number (2.0) where a whole number is due."),
    ([None], [1], "The answer[0] is None where a whole number is due."),
    (None, [1], "The answer is None where a list is due: is a return missing, or does one of them give None?"),
    ([2], [1], ""),
])  # fmt: skip
def test_the_part_that_is_of_another_kind_is_named(seen: object, expected: object, said: str) -> None:
    found = compare(seen, expected)
    assert found is not None and found.sentence == said


@pytest.mark.parametrize(("called", "hint"), [(("feed", 1), True), ([1], True), (type("Feed", (), {})(), False)])
def test_a_pair_that_is_called_lacks_a_comma(called: object, hint: bool) -> None:
    job = {"lesson": "01_attention_by_hand"}
    verdict = _top_level(lambda: called(("feed", 2)), specs.exercise("01", "break_the_mask").spec, job)  # type: ignore[operator]
    assert verdict is not None and verdict.kind == "raised-at-top-level"
    assert ("a comma may be missing" in verdict.message) == hint


def test_a_share_in_place_of_slots_is_told_by_its_kind() -> None:
    right = {"used": 5, "reservation": 4, "internal": 7, "external": 0, "free": 0}
    found = specs.exercise("03", "waste_by_kind").spec.compare({**right, "used": 0.3125}, right)
    assert found is not None and found.sentence.startswith("The answer['used'] is a number (0.3125)")
