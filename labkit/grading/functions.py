"""Specifications of functions: one call an example, compared with the solution.

An author states for given arguments which rule the call is about; comparing, telling apart a wrong type, a wrong
shape, NaN and a wrong value, and changed arguments are done here.
"""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from labkit.errors import LabkitError
from labkit.grading.compare import Mismatch, compare
from labkit.grading.display import Words, show
from labkit.grading.language import Argument, Op, declared_by
from labkit.grading.referee import Referee
from labkit.grading.specification import Specification


class _NoneIsRight:
    """Stands for None where None is the right answer: to `require`, None says that nothing is expected."""

    def __repr__(self) -> str:
        return "None"


class FunctionReferee(Referee):
    """Calls the function once and compares the answer with the solution's."""

    spec: FunctionSpecification

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.passed: dict[str, Any] = {}  # what a careless caller passes again

    def do_call(self, **args: Any) -> None:
        spec = self.spec
        args = {name: args[name] for name in spec.parameters()}
        rule = spec.rule_for(**args)
        seen, expected = self.ask(rule, args)
        if isinstance(expected, LabkitError):
            due = Words(f"raises {type(expected).__name__}")
            if self.require(spec.refusal, seen is not None, expected=due, cause=spec.why_refused(**args)):
                self.note("right: refused")
            return
        self.judge(rule, seen, expected, args)

    def judge(self, rule: str, seen: Any, expected: Any, args: dict[str, Any]) -> None:
        """Compare the answer with the right one."""
        spec = self.spec
        mismatch = spec.compare(seen, expected)
        if mismatch is None:
            return
        rule, question = spec.accuse(rule, mismatch, seen, expected, self.implementation, **args)
        if question is not None and question != args:
            # The trace shows the question that named the rule, which is about one thing, not the first call.
            first, setup = self.steps.pop(), self.setup_text
            told, due = self.ask(rule, question)
            other = spec.compare(told, due)
            if other is None:  # it answers differently the second time
                self.steps[-1], self.setup_text, self._op = first, setup, Op("call", args)
            else:
                seen, expected, mismatch, args = told, due, other, question
        nan = spec.nan(seen, **args) if mismatch.kind == "nan" else ""
        cause = nan or mismatch.sentence or spec.cause(rule, seen, expected, **args)
        shown = _NoneIsRight() if expected is None else expected
        self.require(rule, False, expected=shown, cause=cause, kind=mismatch.kind)

    def ask(self, rule: str, args: Mapping[str, Any]) -> tuple[Any, Any]:
        """Call the learner's function and write the line for it: what it said, and what is right.

        When thorough, it is called by keyword, with tensors that are slices of larger ones, and with the objects of
        the call before, filled anew. Where the solution raises, its exception is what is right, and what was said is
        None if the learner's did not raise it.
        """
        spec = self.spec
        self.setup_text = spec.setup_line(**args)
        self._op = Op("call", args)
        values, expected = spec.decode(args), spec.right(args)
        if "slices" in self.thorough:
            values = {name: _slice(value) for name, value in values.items()}
        if "refills" in self.thorough:
            values = {name: _refilled(self.passed.setdefault(name, value), value) for name, value in values.items()}
        named = values if self.thorough else {}
        raises = type(expected) if isinstance(expected, LabkitError) else None
        seen = self.call(
            spec.refusal if raises else spec.rule_if_raised(rule, **args),
            spec.label(args),
            self.implementation,
            *(() if named else values.values()),
            raises=raises or (),
            due=raises,
            **named,
        )
        return (seen if raises is None or isinstance(seen, raises) else None), expected

    def resolve(self, op: Op, bend: bool = True) -> Op:
        """A random operation may give sizes and a seed; the numbers are made here."""
        if not bend or "seed" not in op.args or "seed" in self.spec.parameters():
            return op
        sizes = {name: value for name, value in op.args.items() if name != "seed"}
        return Op(op.name, self.spec.numbers(random.Random(op.args["seed"]), **sizes))


def _slice(value: Any) -> Any:
    """The same tensor cut out of a larger one: equal, and its rows do not lie one behind the other."""
    if not hasattr(value, "new_full") or not value.ndim:
        return value
    larger = value.new_full((*value.shape[:-1], value.shape[-1] + 1, 2), 7)
    larger[..., :-1, 0] = value
    return larger[..., :-1, 0]


def _refilled(passed: Any, value: Any) -> Any:
    """The object that was passed before, with the content of `value`; `value` where that cannot be."""
    if type(passed) is not type(value):
        return value
    if isinstance(value, list):
        passed[:] = list(value)
    elif isinstance(value, dict):
        content = dict(value)
        passed.clear()
        passed.update(content)
    elif hasattr(value, "set_") and passed.dtype == value.dtype:
        passed.set_(value)
    else:
        return value
    return passed


class FunctionSpecification(Specification):
    """Base class for function exercises.

    To override: `rule_for` where there is more than one rule; `cause`; `decode` where arguments are not plain JSON
    (tensors); `tolerance` for floats; `blame` where the wrong answer itself tells which rule it breaks, `accuse` where
    further questions to the learner's function do. Where the solution raises, that is due: set `refusal`, the rule
    about it, and override `why_refused`.

    The arguments of a "call" are given by name in the order of the function's parameters.
    """

    referee = FunctionReferee
    stateful = False
    examples = 2000
    tolerance: float = 1e-6
    refusal: str = ""

    def oracle(self, *args: Any, **named: Any) -> Any:
        """The right answer for decoded arguments: the solution's."""
        return self.solution()(*args, **named)

    def right(self, args: Mapping[str, Any]) -> Any:
        """The right answer for JSON arguments, or the exception that is due."""
        try:
            return self.oracle(**self.decode(args))
        except LabkitError as error:
            return error

    def parameters(self) -> list[str]:
        """The parameter names in order."""
        return list(self.declared("call"))

    def declared(self, operation: str) -> Mapping[str, Argument]:
        if operation != "call" or type(self).oracle is FunctionSpecification.oracle:
            return super().declared(operation) if operation != "call" else declared_by(self.solution())
        return declared_by(self.oracle)

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """JSON arguments to the values the function takes; called afresh for every use, so nothing is shared."""
        return {name: copy.deepcopy(value) for name, value in args.items()}

    def label(self, args: Mapping[str, Any]) -> str:
        """How the call is written in the report."""
        return f"{self.target}({', '.join(show(v, 60) for v in self.decode(args).values())})"

    def setup_line(self, **args: Any) -> str:
        """What stands above the trace."""
        return ""

    def numbers(self, draw: random.Random, **sizes: Any) -> dict[str, Any]:
        """Arguments of the given sizes, where `search` draws sizes and a seed."""
        raise NotImplementedError

    def describe(self, op: Op) -> str:
        return self.label(op.args)

    def rule_for(self, **args: Any) -> str:
        """The rule that a call with these (JSON) arguments is about; the first rule by default."""
        return self.rules[0].name

    def blame(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        """The rule that this wrong answer breaks; `rule` by default."""
        return rule

    def rule_if_raised(self, rule: str, **args: Any) -> str:
        """The rule that an exception breaks in a call that is about `rule`."""
        return rule

    def accuse(
        self, rule: str, mismatch: Mismatch, seen: Any, expected: Any, call: Callable[..., Any], **args: Any
    ) -> tuple[str, dict[str, Any] | None]:
        """The rule that this wrong answer breaks, and the arguments that show it best (None: those of the call)."""
        return (self.blame(rule, seen, expected, **args) if mismatch.kind == "rule" else rule), None

    def first_wrong(self, call: Callable[..., Any], *questions: Iterable[Any]) -> dict[str, Any] | None:
        """The first of these questions (values in the order of the parameters) that gets a wrong answer."""
        for values in questions:
            args = dict(zip(self.parameters(), values, strict=True))
            if self.compare(answer_of(call, *self.decode(args).values()), self.right(args)) is not None:
                return args
        return None

    def why_refused(self, **args: Any) -> str:
        """Why no answer is due to this call, where the solution raises."""
        return ""

    def nan(self, seen: Any, **args: Any) -> str:
        """The sentence for an answer with NaN in it; "" for the general one."""
        return ""

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        """One sentence on what went wrong; never the patch. The rule's statement by default."""
        return next(r.statement for r in self.rules if r.name == rule)

    def compare(self, seen: Any, expected: Any) -> Mismatch | None:
        """None where `seen` is right."""
        return compare(seen, expected, self.tolerance)


def answer_of(call: Callable[..., Any], *args: Any) -> Any:
    """What the learner's function says, None where it fails."""
    try:
        return call(*args)
    except Exception:
        return None


# ----- numbers ------------------------------------------------------------------------------------------------------


def row(draw: random.Random, width: int) -> list[float]:
    """Numbers with one decimal: exact enough to be read in a report."""
    return [draw.randint(-20, 20) / 10 for _ in range(width)]


def rows(draw: random.Random, count: int, width: int) -> list[list[float]]:
    """`count` rows of `width`."""
    return [row(draw, width) for _ in range(count)]


def spelled(text: str) -> str:
    """A text of a witness, in which a number says how often the letter before it stands there: "a300b"."""
    return re.sub(r"(\D)(\d+)", lambda found: found[1] * int(found[2]), text)
