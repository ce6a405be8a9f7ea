"""Specifications of functions: one call an example, compared with an oracle.

An author states the parameters, the oracle, and for given arguments which rule the call is about; comparing, telling
apart a wrong type, a wrong shape, NaN and a wrong value, and changed arguments are done here.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labkit.grading.specification import Op, Referee, Specification, show


@dataclass(frozen=True)
class Mismatch:
    """How an answer differs: kind "wrong-type", "wrong-shape", "nan" or "rule", and a sentence ("" for plain "rule")."""

    kind: str
    sentence: str = ""


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
        self.require(rule, False, expected=expected, cause=cause, kind=mismatch.kind)


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


def compare(seen: Any, expected: Any, tolerance: float = 1e-6) -> Mismatch | None:
    """Compare an answer with the right one.

    Whole numbers must be whole numbers (a bool is not one; NumPy integers are), floats agree within `tolerance`
    (absolute plus relative), tensors and arrays must have the shape, lists and tuples the length and elements.
    """
    if _is_tensor(expected):
        return _compare_tensors(seen, expected, tolerance)
    if expected is None or isinstance(expected, bool | str):
        if type(seen) is not type(expected) and not (isinstance(expected, bool) and type(seen).__name__ == "bool_"):
            return Mismatch("wrong-type" if seen is not None or isinstance(expected, str) else "rule",
                            _type_sentence(seen, expected)) if expected is not None else Mismatch("rule")
        return None if bool(seen == expected) else Mismatch("rule")
    if isinstance(expected, int):
        number = _whole(seen)
        if number is None:
            return Mismatch("wrong-type", _type_sentence(seen, expected))
        return None if number == expected else Mismatch("rule")
    if isinstance(expected, float):
        number = _float(seen)
        if number is None:
            return Mismatch("wrong-type", _type_sentence(seen, expected))
        if math.isnan(number) and not math.isnan(expected):
            return Mismatch("nan", "The answer is not a number (NaN): look for 0/0 or inf - inf.")
        close = math.isclose(number, expected, rel_tol=tolerance, abs_tol=tolerance)
        return None if close or number == expected else Mismatch("rule")
    if isinstance(expected, dict):
        if not isinstance(seen, Mapping):
            return Mismatch("wrong-type", _type_sentence(seen, expected))
        if set(seen) != set(expected):
            return Mismatch("rule", f"The answer has the keys {sorted(map(str, seen))}; expected "
                                    f"{sorted(map(str, expected))}.")
        return next((m for k in expected if (m := compare(seen[k], expected[k], tolerance))), None)
    if isinstance(expected, list | tuple):
        if not isinstance(seen, list | tuple):
            return Mismatch("wrong-type", _type_sentence(seen, expected))
        if len(seen) != len(expected):
            return Mismatch("rule")
        return next((m for a, b in zip(seen, expected, strict=True) if (m := compare(a, b, tolerance))), None)
    return None if seen == expected else Mismatch("rule")


def _compare_tensors(seen: Any, expected: Any, tolerance: float) -> Mismatch | None:
    if not _is_tensor(seen) or type(seen).__module__.split(".")[0] != type(expected).__module__.split(".")[0]:
        return Mismatch("wrong-type", _type_sentence(seen, expected))
    if tuple(seen.shape) != tuple(expected.shape):
        return Mismatch("wrong-shape",
                        f"The answer has shape {tuple(seen.shape)}; expected {tuple(expected.shape)}.")
    a = [float(x) for x in seen.reshape(-1).tolist()]
    b = [float(x) for x in expected.reshape(-1).tolist()]
    if any(math.isnan(x) and not math.isnan(y) for x, y in zip(a, b, strict=True)):
        return Mismatch("nan", "The answer contains NaN: look for a row in which everything is masked, or inf - inf.")
    for x, y in zip(a, b, strict=True):
        if x != y and not math.isclose(x, y, rel_tol=tolerance, abs_tol=tolerance):
            return Mismatch("rule")
    return None


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "reshape") and hasattr(value, "tolist") \
        and type(value).__module__.split(".")[0] in ("torch", "numpy") and _ndim(value)


def _ndim(value: Any) -> bool:
    # A NumPy scalar counts as a number, a 0-d tensor as a tensor.
    return type(value).__module__.split(".")[0] == "torch" or type(value).__name__ == "ndarray"


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int) or (hasattr(value, "__index__") and not hasattr(value, "reshape")):
        return int(value)
    if hasattr(value, "dtype") and hasattr(value, "__index__") and getattr(value, "ndim", 1) == 0:
        try:
            return value.__index__()
        except TypeError:
            return None
    return None


def _float(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:
        try:
            return float(value)
        except (TypeError, ValueError):
            return None
    return None


def _type_sentence(seen: Any, expected: Any) -> str:
    names = {"int": "a whole number", "float": "a number", "list": "a list", "tuple": "a tuple", "dict": "a dict",
             "Tensor": "a torch tensor", "ndarray": "a NumPy array", "str": "a text", "bool": "True or False",
             "NoneType": "None"}

    def name(value: Any) -> str:
        return names.get(type(value).__name__, f"an object of type {type(value).__name__}")

    if seen is None:
        return f"The answer is None where {name(expected)} is due: is a return missing?"
    return f"The answer is {name(seen)} ({show(seen, 60)}) where {name(expected)} is due."
