"""Numbers for quiz questions: seeded draws, safe expressions, and text with expressions in braces.

A quiz file may say `params: {n: {range: [17, 90, 1]}}` and `answer: blocks_needed(n, 16)`. The draw depends on the
learner's seed, the lesson, the question and the name of the parameter only, so it is the same on every machine and
does not move when another question is added. An expression is a small subset of Python: numbers, text, lists,
arithmetic, comparisons, `a if c else b`, and calls of the functions in `FUNCTIONS` and `MODULES`. There is no
attribute access, no subscript by name and no comprehension: a quiz file computes, it does not program.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labkit.errors import LabkitError

MODULES = (
    "labkit.cache.geometry",
    "labkit.cache.block_table",
)
"""Every public function and class written in these modules can be called in an expression by its name."""

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "min": min,
    "max": max,
    "sum": sum,
    "len": len,
    "round": round,
    "int": int,
    "float": float,
    "str": str,
    "sorted": sorted,
    "list": list,
    "range": lambda *a: list(range(*a)) if len(range(*a)) <= 10_000 else _too_big(),
    "ceil": math.ceil,
    "floor": math.floor,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "log2": math.log2,
    "ceil_div": lambda a, b: -(-a // b),
}
"""Plain functions that expressions may call, beside those of `MODULES`."""

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}


class ExpressionError(LabkitError):
    """An expression in a quiz file cannot be read or evaluated."""


def _too_big() -> Any:
    raise ExpressionError("the expression makes a value larger than a quiz needs; use smaller numbers")


def _function(name: str) -> Callable[..., Any] | None:
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    if name.startswith("_"):
        return None
    for module_name in MODULES:
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            continue
        found = getattr(module, name, None)
        if callable(found) and getattr(found, "__module__", None) == module_name:
            return found
    return None


def function_names() -> list[str]:
    """The names that an expression may call, sorted."""
    names = set(FUNCTIONS)
    for module_name in MODULES:
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            continue
        names |= {
            n
            for n, v in vars(module).items()
            if not n.startswith("_") and callable(v) and getattr(v, "__module__", None) == module_name
        }
    return sorted(names)


def evaluate(expression: str, values: Mapping[str, Any]) -> Any:
    """The value of `expression` with the names in `values`.

    Raises:
        ExpressionError: it cannot be read, names something unknown, or its evaluation fails.
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise ExpressionError(f"`{expression}` is not an expression: {error.args[0]}") from None
    try:
        value = _walk(tree.body, values)
    except ExpressionError:
        raise
    except RecursionError:
        raise ExpressionError(f"`{expression[:40]}...` is nested too deeply") from None
    except Exception as error:
        raise ExpressionError(f"`{expression}` fails: {error}") from None
    return value


def _walk(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.Name(id=name):
            if name in values:
                return values[name]
            known = ", ".join(sorted(values)) or "none"
            raise ExpressionError(f"the name `{name}` is unknown; the parameters of this question are: {known}")
        case ast.List(elts=items) | ast.Tuple(elts=items):
            out = [_walk(item, values) for item in items]
            return out if isinstance(node, ast.List) else tuple(out)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_walk(operand, values))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            a, b = _walk(left, values), _walk(right, values)
            _guard(op, a, b)
            return _BINARY[type(op)](a, b)
        case ast.BoolOp():
            return _either(node, values)
        case ast.Compare():
            return _compared(node, values)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _walk(body if _walk(test, values) else orelse, values)
        case ast.Subscript(value=base, slice=index) if isinstance(base, ast.Name | ast.List | ast.Tuple | ast.Call):
            return _walk(base, values)[_walk(index, values)]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            return _called(name, args, keywords, values)
    raise ExpressionError(
        f"`{ast.unparse(node)}` is not allowed in a quiz expression: only arithmetic, comparisons and calls of "
        "named functions are"
    )


def _either(node: ast.BoolOp, values: Mapping[str, Any]) -> Any:
    want = isinstance(node.op, ast.Or)
    value: Any = not want
    for part in node.values:
        value = _walk(part, values)
        if bool(value) is want:
            break
    return value


def _compared(node: ast.Compare, values: Mapping[str, Any]) -> bool:
    a = _walk(node.left, values)
    for op, right in zip(node.ops, node.comparators, strict=True):
        if type(op) not in _COMPARE:
            raise ExpressionError("`is` has no meaning in a quiz expression; use ==")
        b = _walk(right, values)
        if not _COMPARE[type(op)](a, b):
            return False
        a = b
    return True


def _called(name: str, args: list[ast.expr], keywords: list[ast.keyword], values: Mapping[str, Any]) -> Any:
    function = _function(name)
    if function is None:
        raise ExpressionError(f"`{name}` is no function that a quiz may call; those are: {', '.join(function_names())}")
    if any(k.arg is None for k in keywords) or any(isinstance(a, ast.Starred) for a in args):
        raise ExpressionError("`*` and `**` have no meaning in a quiz expression; write the arguments out")
    return function(*[_walk(a, values) for a in args], **{str(k.arg): _walk(k.value, values) for k in keywords})


def _guard(op: ast.operator, a: Any, b: Any) -> None:
    """Keep a slip (`10 ** 10 ** 10`, `"x" * n`) from eating the machine."""
    if isinstance(op, ast.Pow) and not (isinstance(b, int | float) and abs(b) <= 64 and abs(a) <= 1e6):
        _too_big()
    if isinstance(op, ast.Mult):
        for text, count in ((a, b), (b, a)):
            if isinstance(text, str | list | tuple) and (not isinstance(count, int) or count * len(text) > 10_000):
                _too_big()


# --- draws -------------------------------------------------------------------------------------------------


def stable_hash(*parts: object) -> int:
    """A whole number that depends on `parts` only: the same on every machine, in every process."""
    text = "\x1f".join(str(p) for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def choices(spec: Mapping[str, Any]) -> list[Any]:
    """The values that a parameter may take: `{choose: [...]}` or `{range: [first, last, step]}`, last included."""
    if "choose" in spec:
        return list(spec["choose"])
    first, last, *rest = spec["range"]
    step = rest[0] if rest else 1
    if step <= 0 or last < first:
        raise ExpressionError(f"the range [{first}, {last}, {step}] is empty; write [first, last, step] upwards")
    count = int((last - first) / step + 1e-9) + 1
    if count > 1_000_000:
        _too_big()
    return [first + i * step for i in range(count)]


def draw(data: Mapping[str, Any], seed: int, key: Sequence[str]) -> dict[str, Any]:
    """The parameters of one question for one learner, then the names of its `let`.

    Args:
        data: the question as read: `params`, `let`, `where` are used.
        seed: the learner's seed.
        key: what names the question, e.g. (lesson, id).

    Raises:
        ExpressionError: no draw meets `where` within 500 tries, or an expression fails.
    """
    params = {name: choices(spec) for name, spec in (data.get("params") or {}).items()}
    where = data.get("where")
    for attempt in range(500):
        values: dict[str, Any] = {}
        for name, options in params.items():
            values[name] = options[stable_hash(seed, *key, name, attempt) % len(options)]
        for name, expression in (data.get("let") or {}).items():
            values[name] = evaluate(expression, values) if isinstance(expression, str) else expression
        if where is None or evaluate(where, values):
            return values
    raise ExpressionError(f"no draw of the parameters meets `where: {where}`; widen the parameters or the condition")


def shuffled(items: Sequence[Any], seed: int, key: Sequence[str], fixed_order_is_key: bool = False) -> list[Any]:
    """`items` in an order that depends on the seed; never the given order if that order would be the answer."""
    order = list(range(len(items)))
    for attempt in range(100):
        order.sort(key=lambda i: stable_hash(seed, *key, "order", attempt, i))
        if not fixed_order_is_key or len(items) < 2 or order != list(range(len(items))):
            break
    return [items[i] for i in order]


# --- text --------------------------------------------------------------------------------------------------

_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_SPEC = re.compile(r"^(.*):([,_]?(?:\.\d{1,2})?[dfeg%]?|,)$", re.DOTALL)


def show(value: Any) -> str:
    """A value as a learner would write it: 4 rather than 4.0, and no long tails of digits."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
    return str(value)


def interpolate(text: str, values: Mapping[str, Any]) -> str:
    """`text` with `{expression}` and `{expression:,}` replaced; `{{` and `}}` are braces.

    Raises:
        ExpressionError: an expression fails or a brace stands alone.
    """

    def replace(match: re.Match[str]) -> str:
        if match.group(0) in ("{{", "}}"):
            return match.group(0)[0]
        inner = match.group(1)
        if inner is None or not inner.strip():
            raise ExpressionError(
                f"a brace stands alone in `{text.strip()[:60]}`; write {{{{ and }}}} where a brace is meant"
            )
        spec = _SPEC.match(inner)
        if spec:
            return format(evaluate(spec.group(1), values), spec.group(2))
        return show(evaluate(inner, values))

    return _BRACES.sub(replace, text)
