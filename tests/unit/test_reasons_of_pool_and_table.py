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


def test_who_raises_where_there_is_no_room_is_told_the_answer_that_is_due():
    for lesson, name, *edit in (
        ("04", "BlockPool", "            return None", "            raise RuntimeError"),
        ("06", "RefCounts", "in blocks or []", "in blocks"),
    ):
        message = told(lesson, name, *edit)
        assert message.startswith("The call raised ") and message.endswith(" where None was due."), message


def test_what_is_no_number_is_told_as_such():
    message = told("04", "BlockPool", "extend", "append")
    assert message == "[] stands where the id of a block is due, which is a whole number."


def test_an_init_that_leaves_out_the_one_above_is_told():
    message = told("04", "CheckedPool", "super().__init__(num_blocks)", "self.size = num_blocks")
    assert message.endswith(
        "CheckedPool.__init__ does not call that of BlockPool, which may be what makes it: is "
        "super().__init__(...) missing?"
    ), message


def test_a_misspelt_attribute_is_told_with_the_one_that_was_meant_and_not_with_what_the_pool_below_keeps():
    assert "Is self._held meant?" in told("04", "CheckedPool", "not in self._held", "not in self._helt")
    assert "Is self.pool meant?" in told("06", "RefCounts", "self.pool.allocate", "self.pools.allocate")
    assert "meant" not in told("04", "CheckedPool", "not in self._held", "not in self._fre")


def test_who_lets_a_request_in_without_room_is_told_what_says_that_there_is_none():
    message = told("06", "append_cow", "        return None", "        return []")
    assert message == "3 blocks are needed and 1 is free: no room, and None says so."


def test_a_fork_that_differs_from_its_parent_is_told_what_each_of_them_says():
    assert told("06", "fork", "list(table.blocks)", "table.blocks[::-1]") == (
        "A has its tokens in blocks [0, 1]; B lists [1, 0]."
    )
    assert told("06", "fork", "child.num_tokens = table.num_tokens", "pass") == (
        "A has 3 tokens, and B.num_tokens is 0."
    )
