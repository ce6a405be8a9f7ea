"""Lesson 06, break it: what a list of operations is told that makes no sense, or convicts nobody."""

from __future__ import annotations

import pytest

from labkit import specs
from labkit.grading.judge import Judge
from labkit.grading.source import Source

SPEC = specs.exercise("06", "break_two_requests").spec


def told(ops: object) -> tuple[str, str]:
    judge = Judge(SPEC, Source(SPEC, f"ops = {ops!r}", "<exercise 06/break_two_requests>").namespace)
    verdict = SPEC.judge(judge, judge.namespace(), [])
    return verdict.verdict, verdict.message or " ".join(verdict.notes)


@pytest.mark.parametrize(("ops", "words"), [
    ([("prompt", "A", 3)], 'begin with ("BlockPool", 4, 2)'),
    ([("BlockPool", 4, 2), ("BlockPool", 4, 2)], "one pool only"),
    ([("BlockPool", 4, 0)], "1 or more"),
    ([("BlockPool", -1, 2)], "0 to 64"),
    ([("BlockPool", 4)], "takes 2 arguments"),
    ([("BlockPool", 4, 2), ("append", "B", 1)], "is about B, which there is not"),
    ([("BlockPool", 4, 2), ("prompt", "A", 2.5)], "whole number"),
    ([("BlockPool", 4, 2), ("prompt", 7, 2)], 'a letter such as "A"'),
    ([("BlockPool", 4, 2), ("prompt", "A", 9)], "more than the whole pool"),
    ([("BlockPool", 4, 2), ("prompt", "A", 2), ("prompt", "A", 2)], "there is already"),
    ([("BlockPool", 4, 2), ("prompt", "A", 2), ("fork", "A", "A")], "there is already"),
    ([("BlockPool", 4, 2), ("prompt", "A", 2), ("release", "A"), ("append", "A", 1)], "which there is not"),
    ([("BlockPool", 4, 2), ("write", "A", 2)], "there are: BlockPool, prompt, fork, append, release"),
    ("all of them", "list of tuples"),
])  # fmt: skip
def test_what_makes_no_sense_is_said(ops: object, words: str) -> None:
    verdict, message = told(ops)
    assert verdict == "error" and words in message, message


@pytest.mark.parametrize(("ops", "words"), [
    ([], "ops is empty"),
    ([("BlockPool", 2, 2), ("prompt", "A", 1), ("append", "A", 9)], "Nothing is shared"),
    ([("BlockPool", 9, 2), ("prompt", "A", 1), ("fork", "A", "B"), ("append", "B", 2)], "kept every rule"),
    ([("BlockPool", 2, 2), ("prompt", "A", 1), ("fork", "A", "B"), ("append", "B", 1)], "kept every rule"),
])  # fmt: skip
def test_what_convicts_nobody_is_said(ops: list, words: str) -> None:
    verdict, message = told(ops)
    assert verdict == "fail" and words in message, message


def test_a_second_prompt_without_room_is_no_sequence() -> None:
    for last in [("append", "B", 1), ("fork", "B", "C"), ("release", "B")]:
        verdict, message = told([("BlockPool", 2, 2), ("prompt", "A", 3), ("prompt", "B", 2), last])
        assert verdict == "error" and "no room for B when it began" in message


def test_the_conviction_and_its_length() -> None:
    ops = [("BlockPool", 3, 4), ("prompt", "A", 6), ("fork", "A", "B"), ("release", "A"), ("fork", "B", "C"),
           ("append", "C", 7)]
    verdict, message = told(ops)
    assert verdict == "pass" and "4 are enough" in message
