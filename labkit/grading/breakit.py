"""Break it: the learner writes the operations that a right implementation survives and a quietly wrong one does not.

The cell defines `ops`, a list of tuples: the name of an operation, then its arguments. The shortest list wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from labkit.errors import LessonError
from labkit.grading.compare import whole
from labkit.grading.display import show
from labkit.grading.judge import Judge, Run
from labkit.grading.language import COMMON, Op, Rule
from labkit.grading.mistakes import bank
from labkit.grading.near_miss import near_miss
from labkit.grading.solutions import code_above, solutions
from labkit.grading.source import Source
from labkit.grading.specification import Specification
from labkit.grading.verdict import RuleState, Verdict, VerdictWord
from labkit.words import plural


class BreakIt(Specification):
    """Base class. A subclass sets `exercise`, `base`, `hints`.

    The wrong implementation is the code in the cell above the exercise, and the par is the solution in the master: a
    test holds that it works, that no operation of it can be spared, and that no shorter list of such operations works.

    Class attributes to set:
        base: the specification whose operations and rules are used.
        bug: the wrong implementation, where the learner is not shown it: its source text, which defines `base.target`,
            or the name of the known mistake that it is.
        reference: "module:name" of the right one, where it is not the solution of the exercise that `base` is about.
        most: how many operations are allowed.
        largest: the largest number that an argument may be.
        example: an operation to show to whoever wrote none; the first of the shortest sequence where none is given.
        allowed: the operations there are; all of `base` where none is given.
        words: argument -> the pattern of its texts, and what is said to be due where one does not match.
        without: operation -> what to say of a list that convicts nobody and has no such operation, first things first.
        renamed: how the learner writes an operation that is called otherwise here, e.g. {"BlockPool": "new"}.
    """

    defines = "ops"
    stateful = False
    base: Specification
    bug: str = ""
    reference: str = ""
    most: int = 12
    largest: int = 64
    renamed: Mapping[str, str] = {}
    words: Mapping[str, tuple[str, str]] = {}
    without: Mapping[str, str] = {}
    example: str = ""
    allowed: tuple[str, ...] = ()
    rules = (
        Rule(
            "the-right-one-survives",
            "A right implementation must keep every rule under your operations.",
            "Which of your operations asks for what no implementation may do? Take it out: what convicts is legal.",
        ),
        Rule("the-wrong-one-falls", "The wrong implementation must break a rule under your operations.", COMMON),
    )

    @cached_property
    def shortest(self) -> tuple[Op, ...]:
        """The shortest sequence known."""
        namespace: dict[str, Any] = {}
        known = solutions(self.lesson)
        if self.exercise not in known:
            raise LessonError(f"The master of {self.lesson} has no cell of {self.exercise}: write its solution first.")
        exec(known[self.exercise], namespace)
        return tuple(self.operation(item) for item in namespace["ops"])

    def wrong_one(self) -> str:
        """The text of the wrong implementation."""
        known = {m.name: m.source for m in bank(self.lesson).mistakes if m.exercise == self.base.exercise}
        return known.get(self.bug) or self.bug or code_above(self.lesson, self.exercise)

    def operation(self, item: Any) -> Op:
        """One element of the learner's list to an operation; ValueError with a sentence where it is none.

        It is ("name", argument, ...) with the arguments in the order of the operation's declaration.
        """
        if not isinstance(item, list | tuple) or not item or not isinstance(item[0], str):
            raise ValueError(f"{show(item)} is not an operation: write {self._tuple_for(item)}.")
        name, values = self.renamed.get(item[0], item[0]), list(item[1:])
        if name not in (self.allowed or self.base.names()) or item[0] in self.renamed.values():
            raise ValueError(f"{show(item[0])} is not an operation here; there are: {', '.join(self.names_shown())}.")
        declared = self.base.declared(name)
        parameters = [p for p, argument in declared.items() if not argument.optional] or list(declared)[: len(values)]
        if len(values) != len(parameters):
            raise ValueError(
                f"{item[0]} takes {plural(len(parameters), 'argument')}"
                + (f" ({', '.join(parameters)})" if parameters else "")
                + f"; {show(item)} has {len(values)}."
            )
        args = dict(zip(parameters, (_plain(v, item) for v in values), strict=True))
        for value, due in self._not_allowed(op := Op(name, args)):
            raise ValueError(f"{show(item)} has the argument {show(value, 20)}; {due} is due there.")
        return op

    def _not_allowed(self, op: Op) -> Iterator[tuple[Any, str]]:
        """The arguments that are not of their kind, each with what is due there."""
        for argument, value in op.args.items():
            kind = self.base.search.get(f"{op.name}.{argument}", self.base.search.get(argument))
            if due := self._another_kind(value, self.words.get(argument, kind)):
                yield value, due

    def _another_kind(self, value: Any, kind: Any) -> str:
        """What is due in place of a value that is not of its kind, as `words` or `search` tell it; "" for another."""
        if isinstance(kind, tuple) and isinstance(kind[0], str):
            return "" if isinstance(value, str) and re.fullmatch(kind[0], value) else kind[1]
        if isinstance(kind, tuple) and isinstance(kind[0], int):
            if type(value) is not int or not kind[0] <= value <= self.largest:
                return f"a whole number from {kind[0]} to {self.largest:,}"
        elif isinstance(kind, str) and (not isinstance(value, str) or not value.isidentifier() or len(value) > 8):
            return f'a letter such as "{kind[0]}"'
        return ""

    def _tuple_for(self, item: Any) -> str:
        """What to write where a name stands alone: its tuple, with arguments that make sense if it takes any."""
        name = self.renamed.get(item, item) if isinstance(item, str) else None
        if item not in self.names_shown() or name is None:
            return f"a tuple such as {self.shown()}"
        if all(argument.optional for argument in self.base.declared(name).values()):
            return f'("{item}",), with its comma'
        known = next((op.args.values() for op in self.shortest if op.name == name), None)
        return f"a tuple such as ({', '.join(map(show, (item, *known)))})" if known else "a tuple with its arguments"

    def shown(self) -> str:
        """The first operation as a learner writes it."""
        first = self.shortest[0]
        return self.example or f"({', '.join(show(v) for v in (first.name, *first.args.values()))})"

    def names_shown(self) -> list[str]:
        """The operations as the learner may write them."""
        shown = {new: old for old, new in self.renamed.items()}
        return [shown.get(name, name) for name in self.allowed or self.base.names()]

    def why_it_stands(self, ops: list[Op]) -> str:
        """What to say of operations under which the wrong implementation keeps every rule."""
        through = "its one operation" if len(ops) == 1 else f"all {len(ops)} operations"
        kept = f"The wrong implementation kept every rule through {through}."
        return next((said for name, said in self.without.items() if name not in {op.name for op in ops}), kept)

    def near_miss(self, ops: list[Op]) -> str:
        """Whether one change of these operations convicts, and where; "" where none does."""

        def convicts(changed: list[Op]) -> bool:
            if any(True for op in changed for _ in self._not_allowed(op)):
                return False  # it would be refused, were it written
            try:
                right, wrong = self.duel(changed)
            except Exception:  # operations that make no sense together
                return False
            return right.ok and not wrong.ok

        return near_miss(ops, self.shortest, convicts)

    def right_one(self) -> Mapping[str, Any]:
        """A namespace with the right implementation."""
        from labkit.engine import load_reference

        namespace: dict[str, Any] = {}
        exec(self.base.prelude, namespace)
        right = load_reference(self.reference) if self.reference else self.base.solution()
        return {**namespace, self.base.target: right}

    def duel(self, ops: list[Op]) -> tuple[Run, Run]:
        """Run the operations on the right and on the wrong implementation.

        Raises:
            ValueError: an operation makes no sense where it stands; the sentence says why.
        """
        if "new" in (self.allowed or self.base.names()) and ops[0].name != "new":
            raise ValueError(f"Let the list begin with {self.shown()}.")
        right = Judge(self.base, self.right_one).run(ops, bend=False)
        wrong = Judge(self.base, Source(self.base, self.wrong_one(), f"<bug {self.exercise}>").namespace).run(ops)
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
            ops = [self.operation(item) for item in given]
            right, wrong = self.duel(ops)
        except ValueError as error:
            return self._error(str(error))
        except (IndexError, KeyError, TypeError, AttributeError) as error:
            return self._error(
                f"These operations make no sense together ({type(error).__name__}: {error}): "
                "check that each uses only what the ones before it made."
            )
        if not right.ok:
            return self._verdict(
                "fail",
                0,
                f"A right implementation does not survive this either, so it convicts nobody: {_reason(right)}",
                judge,
                right,
                whose="the right one",
            )
        if wrong.ok:
            said = " ".join(filter(None, (self.why_it_stands(ops), self.near_miss(ops))))
            return self._verdict("fail", 1, said, judge, wrong)
        verdict = self._verdict("pass", None, "", judge, wrong)
        used, par = len(wrong.ops), len(self.shortest)
        trace = verdict.counterexample
        line = f" (line {trace.failing} of the report)" if trace and trace.failing != used else ""
        rule = f", by the rule {wrong.failures[0].rule}" if wrong.failures else ""
        verdict.notes = [
            f"It falls at operation {used}{line}{rule}: {_reason(wrong)}",
            "No shorter sequence is known."
            if len(ops) <= par
            else f"You used {len(ops)} operations; {par} are enough.",
        ]
        return verdict

    def _verdict(
        self,
        word: VerdictWord,
        broken: int | None,
        message: str,
        judge: Judge | None = None,
        run: Run | None = None,
        kind: str = "rule",
        whose: str = "the wrong one",
    ) -> Verdict:
        states = [RuleState(r.name, r.statement, "broken" if i == broken else "held") for i, r in enumerate(self.rules)]
        if broken == 0:
            states[1].state = "unknown"
        trace = judge.counterexample(run) if judge and run else None
        if trace:
            trace.whose = whose
        return Verdict(
            "",
            self.exercise,
            word,
            rule=None if broken is None else self.rules[broken].name,
            kind="" if word == "pass" else kind,
            message=message,
            counterexample=trace,
            rules=states,
        )

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
