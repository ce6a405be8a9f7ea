"""Lesson 09, break it: what a list of operations is told that no cache would ask, or that convicts nobody."""

from __future__ import annotations

import pytest

from labkit import specs
from labkit.grading.judge import Judge
from labkit.grading.source import Source

SPEC = specs.exercise("09", "break_stale_entry").spec
OFFERED = [("LRU",), ("released", [0]), ("add", 0)]


def told(ops: list) -> tuple[str, str]:
    judge = Judge(SPEC, Source(SPEC, f"ops = {ops!r}", "<exercise 09/break_stale_entry>").namespace)
    verdict = SPEC.judge(judge, judge.namespace(), [])
    return verdict.verdict, verdict.message or " ".join(verdict.notes)


@pytest.mark.parametrize(("ops", "words"), [
    ([("released", [0])], 'begin with ("LRU",)'),
    ([("LRU",), ("LRU",)], "a second policy"),
    ([("LRU",), ("evict",)], "no block may go then"),
    ([("LRU",), ("released", 0)], "takes a list of blocks"),
    ([("LRU",), ("released", [20])], "whole numbers from 0 to 15"),
    ([("LRU",), ("released", [0, 0])], "names a block twice"),
    ([*OFFERED, ("released", [0])], "remove it first, as a hit does"),
    ([*OFFERED, ("add", 0)], "added before"),
    ([("LRU",), ("add", 0)], "never let go of"),
    ([*OFFERED, ("evict",), ("add", 0)], "never let go of"),
    ([("LRU",), ("released", [0]), ("remove", 0)], "not among those that may go"),
    ([("LRU",), ("hit", [0])], "there are: LRU, released, add, remove, evict"),
])  # fmt: skip
def test_what_no_cache_asks_is_said(ops: list, words: str) -> None:
    verdict, message = told(ops)
    assert verdict == "error" and words in message, message


def test_what_convicts_nobody_is_said() -> None:
    verdict, message = told([*OFFERED, ("evict",)])
    assert verdict == "fail" and "kept every rule" in message
