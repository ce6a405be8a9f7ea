"""Lessons 04 and 05 give a reason where the learner's code only raises: what the call asks for, and what is below."""

from __future__ import annotations

import pytest

from labkit.grading.judge import Judge
from labkit.grading.solutions import solutions
from labkit.grading.source import Source
from labkit.specs import exercise


def told(lesson: str, name: str, *edit: str) -> str:
    text = solutions(lesson)[name]
    for old, new in zip(edit[::2], edit[1::2], strict=True):
        assert text.count(old) == 1
        text = text.replace(old, new)
    spec = exercise(lesson, name).spec
    return Judge(spec, Source(spec, text, f"<exercise {name}>").namespace).verdict().message


@pytest.mark.parametrize("reach", ["self.ids", "self._free_blocks"])
def test_who_reaches_into_the_pool_below_is_told_which_pool_that_is(reach: str):
    message = told("04", "CheckedPool", "block not in self._held", f"block in {reach}")
    assert "raised AttributeError" in message
    assert "The pool below is the course's first, and yours after that" in message


def test_another_error_says_nothing_of_the_pool_below():
    message = told("04", "CheckedPool", "self._held -= seen", "self._held.remove(self.num_blocks)")
    assert "raised KeyError" in message and "below" not in message


def test_a_slot_that_was_due_says_in_which_logical_block_its_token_lies():
    message = told("05", "slot_of", "blocks[logical]", "blocks[logical + 2]")
    assert "raised IndexError" in message
    assert "position 37 lies in logical block 2, and a table of 3 blocks has entries 0 to 2." in message
