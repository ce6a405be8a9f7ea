"""Lesson 07: whoever reads a block's place in its sequence off a hash is told that a hash does not say it."""

from __future__ import annotations

import pytest

from labkit import specs
from labkit.grading.judge import Judge
from labkit.grading.mistakes import bank
from labkit.grading.source import Source


@pytest.mark.parametrize("name", ["longest-hash-first", "greatest-hash-first"])
def test_no_place_in_the_sequence_can_be_read_off_a_hash(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_PARTS", "reference")
    (mistake,) = [m for m in bank("07").mistakes if m.name == name]
    spec = specs.exercise("07", mistake.exercise).spec
    verdict = Judge(spec, Source(spec, mistake.source, "<exercise>").namespace).verdict()
    assert verdict.kind == "raised" and verdict.counterexample is not None
    assert (
        "does not say where its block stands" in verdict.counterexample.steps[verdict.counterexample.failing - 1].seen
    )
