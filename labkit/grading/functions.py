"""Specifications of functions: one call an example, compared with an oracle.

An author states the parameters, the oracle, and for given arguments which rule the call is about; comparing, telling
apart a wrong type, a wrong shape, NaN and a wrong value, and changed arguments are done here.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from labkit.grading.compare import Mismatch, compare
from labkit.grading.specification import Op, Referee, Specification, show


class _NoneIsRight:
    """Stands for None where None is the right answer: to `require`, None says that nothing is expected."""

    def __repr__(self) -> str:
        return "None"


class FunctionReferee(Referee):
    """Calls the function once and compares the answer with the oracle's."""

    def do_call(self, **args: Any) -> None:
        spec = self.spec
        assert isinstance(spec, FunctionSpecification)
        args = {name: args[name] for name in spec.parameters()}
        rule = spec.rule_for(**args)
        expected = spec.oracle(**spec.decode(args))
        values = spec.decode(args)
        seen = self.call(rule, spec.label(args), self.implementation, *values.values())
        mismatch = spec.compare(seen, expected)
        if mismatch is None:
            return
        if mismatch.kind == "rule":
            rule = spec.blame(rule, seen, expected, **args)
        cause = mismatch.sentence or spec.cause(rule, seen, expected, **args)
        shown = _NoneIsRight() if expected is None else expected
        self.require(rule, False, expected=shown, cause=cause, kind=mismatch.kind)


class FunctionSpecification(Specification):
    """Base class for function exercises.

    To override: `oracle` always; `rule_for` where there is more than one rule; `cause`; `decode` where arguments are
    not plain JSON (tensors); `arguments` for the random search; `tolerance` for floats; `blame` where the wrong
    answer itself tells which rule it breaks.

    The arguments of a "call" are given by name in the order of the function's parameters.
    """

    referee = FunctionReferee
    stateful = False
    examples = 100
    tolerance: float = 1e-6

    def oracle(self, **args: Any) -> Any:
        """The right answer for decoded arguments."""
        raise NotImplementedError

    def parameters(self) -> list[str]:
        """The parameter names in order: those of the oracle."""
        return list(inspect.signature(self.oracle).parameters)

    def arguments(self) -> Mapping[str, Any]:
        """Hypothesis strategies for the arguments, by name; {} leaves the search out."""
        return {}

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        arguments = self.arguments()
        return {"call": arguments} if arguments else {}

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """JSON arguments to the values the function takes; called afresh for every use, so nothing is shared."""
        import copy

        return {name: copy.deepcopy(value) for name, value in args.items()}

    def label(self, args: Mapping[str, Any]) -> str:
        """How the call is written in the report."""
        return f"{self.target}({', '.join(show(v, 60) for v in args.values())})"

    def describe(self, op: Op) -> str:
        return self.label(op.args)

    def rule_for(self, **args: Any) -> str:
        """The rule that a call with these (JSON) arguments is about; the first rule by default."""
        return self.rules[0].name

    def blame(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        """The rule that this wrong answer breaks; `rule` by default."""
        return rule

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        """One sentence on what went wrong; never the patch. The rule's statement by default."""
        return next(r.statement for r in self.rules if r.name == rule)

    def compare(self, seen: Any, expected: Any) -> Mismatch | None:
        """None where `seen` is right."""
        return compare(seen, expected, self.tolerance)
