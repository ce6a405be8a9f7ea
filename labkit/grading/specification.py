"""Executable specifications: named rules, operations as plain data, and the referee that follows them.

One specification has three uses. It tests the reference implementation, it is the learner's check, and it is itself
proved by a bank of wrong implementations that it must reject, each by the right rule.

Three ideas hold it together:

- An operation is plain data: a name and JSON arguments. Any sequence can be stored, printed and replayed.
- The referee (`labkit.grading.referee`) applies operations to the implementation and looks at nothing but what public
  calls give. It never looks at a private attribute, so a list, a deque or a bitmap are judged alike.
- Rules are listed worst first. When several break at once, the learner sees the first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from labkit.errors import LessonError
from labkit.grading.display import show
from labkit.grading.language import COMMON, Argument, Op, Rule, declared_by, parse

if TYPE_CHECKING:
    from labkit.grading.referee import Referee

GENERAL = (
    Rule(
        "arguments-stay-as-they-were",
        "What a call is given is left as it was.",
        "Which line of yours writes into what it was given, by `append`, `sort`, `pop`, `+=` or an index on the left?",
    ),
    Rule(
        "answers-stay-as-they-were",
        "What a call answered is not changed by a later one, nor shared with it.",
        "Is what you return the same object that you keep, or that you were given? Where is a new one made?",
    ),
)
"""Rules that hold for every exercise. They come last, and a report names them only where one of them is broken."""

FIRST_HINTS = {
    "raised": "Which values do the names in the line that raised have, in the call that is marked above? Follow that "
    "call on paper up to the line.",
    "recursion": "For which arguments does your function answer without calling itself, and does each call come nearer "
    "to them?",
    "endless-loop": "What does the condition of your loop read, and which line inside of the loop changes that?",
    "endless-run": "What does each call go through, and how long is that after thousands of calls? And what ends each "
    "of your loops?",
    "memory": "Which list or tensor grows with each round, and what ends the rounds?",
}
"""First hints for code that has no answer which could break a rule, by the kind of the verdict."""


class Specification:
    """Base class of all specifications. A subclass is one exercise; see `labkit/specs/sharing` for a model.

    Class attributes to set:
        exercise: the exercise id, which is also the name the learner defines.
        rules: worst first, with their witnesses and hints; `rules_from` reads them from a text.
        hints: three strings: a question, the invariant, code with a blank.
        referee: subclass of `Referee`.
        search: argument -> what the random search draws for it, see `labkit.grading.search`; "operation.argument"
            where it differs from one operation to another. What is not here `resolve` fills in.
        drawn: the operations that are drawn; all where none is given.
        measured: operations whose lines show measured values, other ones at each run.
        long: operations that stand for many calls: a report shows one only where no other witness fails as badly.
        prelude: import lines that run before the learner's text.
        stateful: True for a class driven by a sequence of operations, False for a function (one "call").
        examples, steps: size of the random search (`steps` only where stateful).
        op_seconds: limit for one operation.
        needs_torch: whether the worker should have torch loaded.
        needs_triton: whether it should have torch and Triton's interpreter loaded.
        defines: the name the learner must define, where it differs from `exercise`.
        stay: the rule that a changed argument breaks, where the exercise has one of its own.
    """

    exercise: str = ""
    rules: tuple[Rule, ...] = ()
    hints: tuple[str, str, str] = ("", "", "")
    referee: type[Referee]
    search: Mapping[str, Any] = {}
    drawn: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    long: tuple[str, ...] = ()
    prelude: str = ""
    stateful: bool = True
    examples: int = 300
    steps: int = 30
    op_seconds: float = 1.0
    needs_torch: bool = False
    needs_triton: bool = False
    defines: str = ""
    stay: str = GENERAL[0].name

    @property
    def target(self) -> str:
        """The name that the learner's text must define."""
        return self.defines or self.exercise

    @property
    def lesson(self) -> str:
        """The name of the lesson that it belongs to, e.g. "block_pool": its module below `labkit.specs`."""
        return type(self).__module__.split(".")[2]

    def declared(self, operation: str) -> Mapping[str, Argument]:
        """The arguments of an operation; LessonError where there is no such one."""
        method = getattr(self.referee, "do_" + operation, None)
        if method is None:
            raise LessonError(
                f"{self.exercise}: there is no operation {operation!r}; there are: {', '.join(self.names())}."
            )
        return declared_by(method)

    def names(self) -> list[str]:
        """The operations there are, in the order of the referee."""
        classes = reversed(self.referee.__mro__)
        found = [n.removeprefix("do_") for cls in classes for n in vars(cls) if n.startswith("do_")]
        return list(dict.fromkeys(found))

    def parse(self, text: str) -> tuple[Op, ...]:
        """Operations written as in a witness."""
        return parse(text, self.declared, function=self.names() == ["call"])

    @cached_property
    def witnesses(self) -> tuple[tuple[str, tuple[Op, ...]], ...]:
        """The hand-written sequences, each with the rule it is about."""
        return tuple((rule.name, self.parse(text)) for rule in self.rules for text in rule.witnesses)

    def solution(self) -> Any:
        """What the one solution of this exercise defines, over the parts in use: the right one to compare with."""
        return _solution(self, os.environ.get("LABKIT_PARTS"))

    def hints_for(self, rule: str | None, kind: str = "") -> tuple[str, ...]:
        """The hints for a learner whose code broke this rule, in this way (the kind of the verdict)."""
        own = next((r.hint for r in (*self.rules, *GENERAL) if r.name == rule), "")
        if not own and rule == self.stay:
            own = GENERAL[0].hint
        first = FIRST_HINTS.get(kind) or ("" if own == COMMON else own)
        return (first or self.hints[0], *self.hints[1:])

    def describe(self, op: Op) -> str:
        """An operation as the report writes it, where only the journal tells what ran."""
        args = ", ".join(show(v, 40) for v in op.args.values())
        return f"{self.target}({args})" if op.name in ("new", "call") else f"{op.name}({args})"

    def judge(self, judge: Any, namespace: Mapping[str, Any], stored: list[Op]) -> Any:
        """The verdict on an implementation that `judge` can run; exercises of another kind override this."""
        return judge.verdict(stored)

    def rename(self, rule: str) -> str:
        """The name under which a rule of a shared referee is known here; a layer may fold many rules into one."""
        return rule

    def rank(self, rule: str) -> int:
        """Position of a rule, worst first; unknown names raise KeyError so that a typo cannot hide."""
        for i, known in enumerate((*self.rules, *GENERAL)):
            if known.name == self.rename(rule):
                return i
        raise KeyError(f"{self.exercise}: no rule is called {rule!r}; the rules are {[r.name for r in self.rules]}")


@cache
def _solution(spec: Specification, _parts: str | None) -> Any:
    from labkit.grading.solutions import solutions
    from labkit.grading.source import Source

    namespace = Source(spec, solutions(spec.lesson)[spec.exercise], f"<solution {spec.exercise}>").namespace()
    return namespace[spec.target]
