"""Break it: the learner writes the operations that a right implementation survives and a quietly wrong one does not.

The cell defines `ops`, a list of tuples: the name of an operation, then its arguments. The shortest list wins.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from labkit.grading.compare import whole
from labkit.grading.functions import FunctionSpecification
from labkit.grading.judge import Judge, Run
from labkit.grading.source import Source
from labkit.grading.specification import Op, Rule, Specification, show
from labkit.grading.verdict import RuleState, Verdict


class BreakIt(Specification):
    """Base class. A subclass sets `exercise`, `base`, `bug`, `reference`, `shortest`, `hints`.

    Class attributes to set:
        base: the specification whose operations and rules are used.
        bug: source text of the wrong implementation; it defines `base.target`.
        reference: "module:name" of the right one.
        shortest: the shortest sequence known; a test holds that it works, and its length is the par.
        most: how many operations are allowed.
    """

    defines = "ops"
    stateful = False
    base: Specification
    bug: str
    reference: str
    shortest: tuple[Op, ...]
    most: int = 12
    rules = (
        Rule("the-right-one-survives", "A right implementation must keep every rule under your operations."),
        Rule("the-wrong-one-falls", "The wrong implementation must break a rule under your operations."),
    )

    def parse(self, item: Any) -> Op:
        """One element of the learner's list to an operation; ValueError with a sentence where it is none.

        By default ("name", argument, ...) with the arguments in the order of the referee's `do_NAME`, or of the
        function's parameters.
        """
        if not isinstance(item, list | tuple) or not item or not isinstance(item[0], str):
            raise ValueError(f"{show(item)} is not an operation: write a tuple such as {self.example}.")
        name, *values = item
        if name not in self._names():
            raise ValueError(f"{show(name)} is not an operation here; there are: {', '.join(self.names_shown())}.")
        parameters = self._parameters(name)
        if len(values) != len(parameters):
            count = f"{len(parameters)} argument" + ("" if len(parameters) == 1 else "s")
            raise ValueError(f"{name} takes {count}" + (f" ({', '.join(parameters)})" if parameters else "")
                             + f"; {show(item)} has {len(values)}.")
        return Op(name, dict(zip(parameters, (_plain(v, item) for v in values), strict=True)))

    @property
    def example(self) -> str:
        """An operation to show to whoever wrote none."""
        first = self.shortest[0]
        return f"({', '.join(show(v) for v in (first.name, *first.args.values()))})"

    def names_shown(self) -> list[str]:
        """The operations as the learner may write them."""
        return self._names()

    def sense(self, ops: list[Op]) -> str:
        """A sentence for operations that make no sense one after the other; "" where they do."""
        return ""

    def why_it_stands(self, ops: list[Op]) -> str:
        """What to say of operations under which the wrong implementation keeps every rule."""
        return f"The wrong implementation kept every rule through all {len(ops)} operations."

    def _names(self) -> list[str]:
        return [n.removeprefix("do_") for n in vars(self.base.referee) if n.startswith("do_")] or ["call"]

    def _parameters(self, name: str) -> list[str]:
        if isinstance(self.base, FunctionSpecification):
            return self.base.parameters()
        return [p for p in inspect.signature(getattr(self.base.referee, "do_" + name)).parameters if p != "self"]

    def right_one(self) -> Mapping[str, Any]:
        """A namespace with the right implementation."""
        from labkit.parts import load_reference

        namespace: dict[str, Any] = {}
        exec(self.base.prelude, namespace)
        return {**namespace, self.base.target: load_reference(self.reference)}

    def duel(self, ops: list[Op]) -> tuple[Run, Run]:
        """Run the operations on the right and on the wrong implementation."""
        right = Judge(self.base, self.right_one).run(ops)
        wrong = Judge(self.base, Source(self.base, self.bug, f"<bug {self.exercise}>").namespace).run(ops)
        return right, wrong

    def judge(self, judge: Judge, namespace: Mapping[str, Any], stored: list[Op]) -> Verdict:
        given = namespace["ops"]
        if not isinstance(given, list | tuple):
            return self._error(f"ops is {show(given)}; write a list of tuples.")
        try:
            given = [*given]
        except Exception:
            return self._error("ops cannot be read as a list; write a list of tuples.")
        if not given:
            return self._verdict("fail", 1, "ops is empty: with no operation nothing can break.", kind="not-written")
        if len(given) > self.most:
            return self._error(f"ops has {len(given)} operations; {self.most} are allowed, and fewer are better.")
        try:
            ops = [self.parse(item) for item in given]
            if problem := self.sense(ops):
                return self._error(problem)
            right, wrong = self.duel(ops)
        except ValueError as error:
            return self._error(str(error))
        except (IndexError, KeyError, TypeError, AttributeError) as error:
            return self._error(f"These operations make no sense together ({type(error).__name__}: {error}): "
                               "check that each uses only what the ones before it made.")
        if not right.ok:
            return self._verdict("fail", 0, "A right implementation does not survive this either, so it convicts "
                                            f"nobody: {_reason(right)}", judge, right)
        if wrong.ok:
            return self._verdict("fail", 1, self.why_it_stands(ops), judge, wrong)
        verdict = self._verdict("pass", None, "")
        used, par = len(wrong.ops), len(self.shortest)
        verdict.notes = [
            f"It falls at operation {used}, by the rule {wrong.failures[0].rule}: {_reason(wrong)}"
            if wrong.failures else f"It falls at operation {used}: {_reason(wrong)}",
            "No shorter sequence is known." if len(ops) <= par else
            f"You used {len(ops)} operations; {par} are enough.",
        ]
        return verdict

    def _verdict(self, word: str, broken: int | None, message: str, judge: Judge | None = None,
                 run: Run | None = None, kind: str = "rule") -> Verdict:
        states = [RuleState(r.name, r.statement, "broken" if i == broken else "held") for i, r in
                  enumerate(self.rules)]
        if broken == 0:
            states[1].state = "unknown"
        trace = judge.counterexample(run) if judge and run else None
        return Verdict("", self.exercise, word, rule=None if broken is None else self.rules[broken].name,  # type: ignore[arg-type]
                       kind="" if word == "pass" else kind, message=message, counterexample=trace, rules=states)

    def _error(self, message: str) -> Verdict:
        return Verdict("", self.exercise, "error", kind="wrong-operations", message=message)


def _plain(value: Any, item: Any) -> Any:
    """An argument as JSON has it: NumPy integers become ints; ranges, tuples, sets and arrays lists."""
    if value is None or isinstance(value, bool | str) or type(value) in (int, float):
        return value
    number = whole(value)
    if number is not None:
        return number
    if isinstance(value, float):
        return float(value)
    if isinstance(value, dict):
        return {str(k): _plain(v, item) for k, v in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple | range):
        return [_plain(v, item) for v in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(v, item) for v in value), key=str)
    raise ValueError(f"{show(item)} is not an operation: its arguments are whole numbers and lists of them.")


def _reason(run: Run) -> str:
    if run.failures:
        return run.failures[0].cause
    if run.limit and run.limit.kind == "memory":
        return "it runs out of memory."
    return str(run.unjudgeable or "it does not come back.")
