"""What a check says: plain data that the notebook, the terminal and the tests all read.

A verdict is one of six words. `pass`: every rule held. `fail`: a rule is broken and a shortest sequence of operations
shows it. `error`: the code could not be judged (syntax, a missing name, wrong parameters, memory, a dead process).
`timeout`: an operation did not come back. `missing`: there is nothing to judge. `machine`: this machine, not the code,
kept the check from its end; such a verdict is no attempt. `kind` says which sort of each.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any, Literal

COURSE_FAILED = "The check itself failed"
"""How a verdict begins that accuses nobody's code."""

VerdictWord = Literal["pass", "fail", "error", "timeout", "missing", "machine"]

WORDS = {
    "syntax": "not readable as Python",
    "endless-loop": "does not come back",
    "endless-run": "does not come to its end",
    "memory": "runs out of memory",
    "output": "prints without end",
    "exit": "ended the program",
    "missing-method": "a part is missing",
    "hidden-method": "a method is hidden",
    "missing-name": "the name is missing",
    "wrong-parameters": "other parameters than the stub",
    "undefined-name": "uses a name that is not there",
    "raised-at-top-level": "the cell itself fails",
    "empty": "nothing to check yet",
    "wrong-operations": "not a list of operations",
    "tampering": "changes what the check stands on",
    "internal": "the check itself failed",
    "own-part": "an earlier part of yours fails here",
    "slow": "too slow to be judged",
    "busy": "not judged, the machine is busy",
    "no-room": "not judged, the machine has no room",
}
"""What the kinds of verdict that name no rule are called, at the head of a report."""


@dataclass
class Step:
    """One line of a trace: what was called, what came back, what should have.

    `n` counts lines from 1. `op` and `args` are the plain data of the operation, so that it can be replayed; an
    observation that follows an operation (reading `num_free`) has op "observe". Values are texts, already
    shortened for reading.
    """

    n: int
    op: str
    args: dict[str, Any]
    label: str
    seen: str = ""
    expected: str | None = None
    note: str = ""
    broken: bool = False


def folded(steps: list[Step]) -> list[Step]:
    """The steps as a report lists them: of more than four equal ones in a row the first, and how many follow."""
    told: list[Step] = []
    for _, group in groupby(steps, lambda s: (s.label, s.seen, s.note, s.broken)):
        same = list(group)
        if len(same) > 4:
            same[1:] = [Step(same[-1].n, "observe", {}, f"... {len(same) - 1} times more")]
        told += same
    return told


@dataclass
class Counterexample:
    """The shortest sequence found on which a rule breaks.

    Attributes:
        setup: what the sequence runs on, e.g. "a pool of 4".
        steps: the lines of the trace; the last one is broken.
        failing: the `n` of the broken line.
        replay: the log of the same run as data, or None where nothing is drawn: what `to_data` of an `EventLog`
            ("kind": "events") or a `TreeLog` ("kind": "tree") gives, and "step", the step to open at, from 0.
        whose: the code whose answers are shown.
    """

    setup: str
    steps: list[Step]
    failing: int
    replay: dict[str, Any] | None = None
    whose: str = "yours"


@dataclass
class RuleState:
    """One rule of the specification and how it fared: held, broken, or unknown (not reached)."""

    name: str
    statement: str
    state: Literal["held", "broken", "unknown"]


@dataclass
class Verdict:
    """The outcome of one check.

    Attributes:
        lesson: full lesson key, e.g. "04_block_pool".
        exercise: exercise id.
        verdict: pass, fail, error, timeout, missing or machine.
        rule: name of the worst broken rule, None unless one is broken.
        kind: finer word, e.g. "rule", "not-written", "syntax", "missing-method", "endless-loop", "memory".
        message: one sentence: the cause, or what to do.
        counterexample: see `Counterexample`; None where there is no sequence to show.
        rules: every rule with its state, worst first.
        mutant: a sentence made for this very mistake, where the trace matches a known one.
        printed: what the code printed while it was checked, cut.
        over: "reference" or "mine": whose earlier parts the code ran on.
        seconds: time from asking to verdict.
        top_level_ran: whether the text came through its top level within limits, so that a notebook may run it.
        notes: further sentences (how short a break-it was, say).
        isolation: what held the code: "bubblewrap", a namespace of its own, or "process".
    """

    lesson: str
    exercise: str
    verdict: VerdictWord
    rule: str | None = None
    kind: str = ""
    message: str = ""
    counterexample: Counterexample | None = None
    rules: list[RuleState] = field(default_factory=list)
    mutant: str | None = None
    printed: str = ""
    over: str = "reference"
    seconds: float = 0.0
    top_level_ran: bool = False
    notes: list[str] = field(default_factory=list)
    isolation: str = "process"

    @property
    def passed(self) -> bool:
        """Whether every rule held."""
        return self.verdict == "pass"

    def to_dict(self) -> dict[str, Any]:
        """The verdict as JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Verdict:
        """The inverse of `to_dict`."""
        data = dict(data)
        if data.get("counterexample"):
            ce = dict(data["counterexample"])
            ce["steps"] = [Step(**s) for s in ce["steps"]]
            data["counterexample"] = Counterexample(**ce)
        data["rules"] = [RuleState(**r) for r in data.get("rules", [])]
        return cls(**data)
