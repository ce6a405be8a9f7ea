"""Comparing an answer with the right one, and saying in which way it differs."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.grading.display import show


@dataclass(frozen=True)
class Mismatch:
    """How an answer differs: kind "wrong-type", "wrong-shape", "nan" or "rule"; a sentence ("" for "rule")."""

    kind: str
    sentence: str = ""


def compare(seen: Any, expected: Any, tolerance: float = 1e-6) -> Mismatch | None:
    """Compare an answer with the right one.

    Whole numbers must be whole numbers (a bool is not one; NumPy integers are), floats agree within `tolerance`
    (absolute plus relative), tensors and arrays must have the shape, lists and tuples the length and elements.
    """
    if _is_tensor(expected):
        return _compare_tensors(seen, expected, tolerance)
    if expected is None or isinstance(expected, bool | str):
        if type(seen) is not type(expected) and not (isinstance(expected, bool) and _is_numpy_bool(seen)):
            return (
                Mismatch(
                    "wrong-type" if seen is not None or isinstance(expected, str) else "rule",
                    _type_sentence(seen, expected),
                )
                if expected is not None
                else Mismatch("rule")
            )
        return None if bool(seen == expected) else Mismatch("rule")
    if isinstance(expected, int):
        number = whole(seen)
        if number is None:
            return Mismatch("wrong-type", _type_sentence(seen, expected))
        return None if number == expected else Mismatch("rule")
    if isinstance(expected, float):
        real = _float(seen)
        if real is None:
            return Mismatch("wrong-type", _type_sentence(seen, expected))
        if math.isnan(real) and not math.isnan(expected):
            return Mismatch("nan", "The answer is not a number (NaN): look for 0/0 or inf - inf.")
        close = math.isclose(real, expected, rel_tol=tolerance, abs_tol=tolerance)
        return None if close or real == expected else Mismatch("rule")
    if isinstance(expected, dict):
        if not isinstance(seen, Mapping):
            return Mismatch("wrong-type", _type_sentence(seen, expected))
        if set(seen) != set(expected):
            return Mismatch(
                "rule", f"The answer has the keys {sorted(map(str, seen))}; expected {sorted(map(str, expected))}."
            )
        return next((_at(repr(k), m) for k in expected if (m := compare(seen[k], expected[k], tolerance))), None)
    if isinstance(expected, list | tuple):
        if not isinstance(seen, list | tuple):
            return Mismatch("wrong-type", _type_sentence(seen, expected))
        if len(seen) != len(expected):
            return Mismatch("rule")
        pairs = enumerate(zip(seen, expected, strict=True))
        return next((_at(str(i), m) for i, (a, b) in pairs if (m := compare(a, b, tolerance))), None)
    return None if seen == expected else Mismatch("rule")


NO_RETURN = ": is a return missing, or does one of them give None?"


def _at(place: str, inner: Mismatch) -> Mismatch:
    """What is said of an item of the answer: where it stands, as an index would say it."""
    begins = re.match(r"The answer(\[| )", inner.sentence)
    said = f"The answer[{place}]{inner.sentence[len('The answer') :]}" if begins else inner.sentence
    return Mismatch(inner.kind, said.replace(NO_RETURN, "."))


def _compare_tensors(seen: Any, expected: Any, tolerance: float) -> Mismatch | None:
    if not _is_tensor(seen) or type(seen).__module__.split(".")[0] != type(expected).__module__.split(".")[0]:
        return Mismatch("wrong-type", _type_sentence(seen, expected))
    if tuple(seen.shape) != tuple(expected.shape):
        return Mismatch("wrong-shape", f"The answer has shape {tuple(seen.shape)}; expected {tuple(expected.shape)}.")
    a = [float(x) for x in seen.reshape(-1).tolist()]
    b = [float(x) for x in expected.reshape(-1).tolist()]
    if any(math.isnan(x) and not math.isnan(y) for x, y in zip(a, b, strict=True)):
        return Mismatch("nan", "The answer contains NaN: look for a row in which everything is masked, or inf - inf.")
    for x, y in zip(a, b, strict=True):
        if x != y and not math.isclose(x, y, rel_tol=tolerance, abs_tol=tolerance):
            return Mismatch("rule")
    return None


def _is_tensor(value: Any) -> bool:
    return (
        hasattr(value, "shape")
        and hasattr(value, "reshape")
        and hasattr(value, "tolist")
        and type(value).__module__.split(".")[0] in ("torch", "numpy")
        and _ndim(value)
    )


def _is_numpy_bool(value: Any) -> bool:
    # NumPy 2 calls its truth value `bool`, NumPy 1 `bool_`.
    return type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")


def _ndim(value: Any) -> bool:
    # A NumPy scalar counts as a number, a 0-d tensor as a tensor.
    return type(value).__module__.split(".")[0] == "torch" or type(value).__name__ == "ndarray"


def whole(value: Any) -> int | None:
    """The value as an int if it is a whole number (NumPy integers are, a bool is not), else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int) or (hasattr(value, "__index__") and not hasattr(value, "reshape")):
        try:
            return int.__add__(operator.index(value), 0)  # a plain int, whatever subclass it was
        except TypeError:
            return None
    if hasattr(value, "dtype") and hasattr(value, "__index__") and getattr(value, "ndim", 1) == 0:
        try:
            return value.__index__()
        except TypeError:
            return None
    return None


def no_block(blocks: Iterable[Any]) -> str:
    """A sentence about the first of these that cannot be the id of a block; "" where all can."""
    wrong = [block for block in blocks if whole(block) is None]
    return f"{show(wrong[0], 40)} stands where the id of a block is due, which is a whole number." if wrong else ""


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


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "list": "a list",
    "tuple": "a tuple",
    "dict": "a dict",
    "Tensor": "a torch tensor",
    "ndarray": "a NumPy array",
    "str": "a text",
    "bool": "True or False",
    "NoneType": "None",
}


def kind_of(value: Any) -> str:
    """What a value is, as a sentence names it: "a list", "an object of type Node"."""
    return _KINDS.get(type(value).__name__, f"an object of type {type(value).__name__}")


def _type_sentence(seen: Any, expected: Any) -> str:
    if seen is None:
        return f"The answer is None where {kind_of(expected)} is due{NO_RETURN}"
    return f"The answer is {kind_of(seen)} ({show(seen, 60)}) where {kind_of(expected)} is due."
