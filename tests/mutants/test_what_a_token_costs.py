"""Lesson 02: what a learner is told about a known mistake is about that mistake.

A mutant's sentence is shown where the learner's trace equals the mutant's. So the calls must tell the mistakes apart.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from labkit import specs
from labkit.grading.judge import Judge
from labkit.grading.mutants import Mutant, bank, explain
from labkit.grading.source import Source

LESSON = specs.lesson("02")
MUTANTS = [m for m in bank(LESSON.module)[0] if m.breaks in {r.name for r in LESSON.exercise(m.exercise).spec.rules}]

WRONG_BYTES = """
def kv_bytes(num_layers, num_kv_heads, head_dim, bytes_per_value):
    return 2 * (num_layers - 1) * num_kv_heads * head_dim * bytes_per_value
"""
RIGHT_OPS = 'ops = [("Gate", 1, 0, 1, 16), ("request", 17)]\n'


@pytest.mark.parametrize("mutant", MUTANTS, ids=[f"{m.exercise}-{m.name}" for m in MUTANTS])
def test_a_mistake_is_told_its_own_sentence(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_PARTS", "reference")
    exercise = LESSON.exercise(mutant.exercise)
    judge = Judge(exercise.spec, Source(exercise.spec, mutant.source, f"<exercise 02/{exercise.id}>").namespace)
    judge._search = lambda: None  # type: ignore[method-assign]
    verdict = judge.verdict()
    assert verdict.rule == mutant.breaks
    said = explain(exercise, verdict)
    assert said == mutant.why, verdict.message


def test_a_file_of_all_exercises_is_graded_one_by_one(tmp_path: Path) -> None:
    """Torch at the top of a file stops no exercise that has no use for it, and a wrong one fails alone."""
    path = tmp_path / "mine.py"
    rights = {r.exercise: r.source for r in bank(LESSON.module)[1]}
    path.write_text("import torch\n\n" + "\n".join([*rights.values(), WRONG_BYTES, RIGHT_OPS]), encoding="utf-8")
    ran = subprocess.run([sys.executable, "-m", "labkit.cli", "check", "02", "--file", str(path), "--json"],
                         capture_output=True, text=True)
    found = {e["id"]: (e["verdict"], e["rule"]) for e in json.loads(ran.stdout)["exercises"]}
    assert ran.returncode == 1
    assert found.pop("kv_bytes") == ("fail", "every-layer-keeps-its-own")
    assert found == dict.fromkeys(("attend_last", "decode_cached", "break_the_gate", "blocks_that_fit"), ("pass", None))
