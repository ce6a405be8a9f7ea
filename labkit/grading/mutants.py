"""The mutant bank: wrong implementations that learners really write, each with the sentence that explains it.

They prove the specification (each must be rejected, by the rule that names its fault) and they help the learner: when
the trace of a failing check equals the trace of a known mutant, that mutant's sentence is shown beside the cause.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.grading.judge import Judge, Run
from labkit.grading.source import Source
from labkit.grading.specification import Op, Specification
from labkit.grading.verdict import Verdict

if TYPE_CHECKING:
    from labkit.specs import Exercise

EXPLAIN_SECONDS = 1.0


@dataclass(frozen=True)
class Mutant:
    """A wrong implementation.

    Attributes:
        exercise: the exercise id.
        name: short hyphenated name of the mistake.
        breaks: the rule that must reject it; or the kind of an error verdict ("endless-loop") for those that no
            rule can name.
        why: one sentence that explains the mistake to somebody who made it, without giving the patch.
        source: what a learner would have typed, complete.
    """

    exercise: str
    name: str
    breaks: str
    why: str
    source: str


@dataclass(frozen=True)
class Right:
    """A right implementation written in another style; it must be accepted."""

    exercise: str
    name: str
    source: str


def bank(module: str) -> tuple[list[Mutant], list[Right]]:
    """The mutants and the right variants of a lesson, from `labkit.specs.mutants.MODULE`; empty if it has none."""
    try:
        found = importlib.import_module(f"labkit.specs.mutants.{module}")
    except ModuleNotFoundError as error:
        if error.name != f"labkit.specs.mutants.{module}":
            raise
        return [], []
    return list(found.MUTANTS), list(found.RIGHT)


def explain(exercise: Exercise, verdict: Verdict) -> str | None:
    """The sentence of the mutant whose trace on the same operations equals the learner's, if there is one."""
    trace = verdict.counterexample
    if trace is None or verdict.kind == "not-written":
        return None
    ops = [Op(s.op, s.args) for s in trace.steps if s.op != "observe"]
    seen = [(s.label, s.seen) for s in trace.steps]
    end = time.monotonic() + EXPLAIN_SECONDS
    for mutant in bank(exercise.module)[0]:
        if mutant.exercise != exercise.id or mutant.breaks != verdict.rule or time.monotonic() > end:
            continue
        run = run_ops(exercise.spec, mutant.source, ops)
        if run.ok or run.limit or [(s.label, s.seen) for s in run.referee.steps] != seen:
            continue
        # Two mistakes may look alike on one sequence. The sentence is this mutant's only where its own report would
        # have shown the same sequence.
        own = _by_witnesses(exercise.spec, mutant.source).counterexample
        if own is not None and [(s.label, s.seen) for s in own.steps] == seen:
            return mutant.why
    return None


def _by_witnesses(spec: Specification, text: str) -> Verdict:
    judge = Judge(spec, Source(spec, text, f"<bank {spec.exercise}>").namespace)
    judge._search = lambda: None  # type: ignore[method-assign]
    return judge.verdict()


def run_ops(spec: Specification, text: str, ops: list[Op]) -> Run:
    """Run one sequence against a trusted text."""
    return Judge(spec, Source(spec, text, f"<bank {spec.exercise}>").namespace).run(ops)
