"""How far a list of operations is from one that convicts: whether a single change would do, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from labkit.grading.language import Op

TRIED = 100
"""How many changed lists are tried."""

NUMBERS = range(10)
"""What is tried in the place of a number, beside the numbers that are there already."""


def near_miss(ops: Sequence[Op], known: Sequence[Op], convicts: Callable[[list[Op]], bool]) -> str:
    """A sentence that says where one change would be enough, and not which; "" where none was found.

    Args:
        ops: a list that convicts nobody.
        known: one that does; its operations and arguments are among those that are tried.
        convicts: whether a list does.
    """
    tried = islice(_changed(list(ops), list(known)), TRIED)
    return next((f"You are close: {where}, and it falls." for where, changed in tried if convicts(changed)), "")


def _changed(ops: list[Op], known: list[Op]) -> Iterator[tuple[str, list[Op]]]:
    """Lists that are one change away, each with what was changed: the last operations first."""
    moves: list[Op] = []
    moves += [op for op in (*known[1:], *ops[1:]) if op not in moves]
    for at in reversed(range(len(ops))):
        for op in _others(ops[at], [*ops, *known]):
            yield f"change one argument of operation {at + 1}", [*ops[:at], op, *ops[at + 1 :]]
        if at:
            behind = f"write one more operation behind operation {at + 1}"
            yield from ((behind, [*ops[: at + 1], op, *ops[at + 1 :]]) for op in moves)
    for at in range(1, len(ops) - 1):
        where = f"let operations {at + 1} and {at + 2} change places"
        yield where, [*ops[:at], ops[at + 1], ops[at], *ops[at + 2 :]]


def _others(op: Op, seen: list[Op]) -> Iterator[Op]:
    """The operation with another value for one of its arguments."""
    for name, value in op.args.items():
        values = [other.args[name] for other in seen if other.name == op.name and name in other.args]
        if type(value) is int:
            values += sorted(NUMBERS, key=lambda number: abs(number - value))
        tried: list[Any] = [value]
        for other in values:
            if type(other) is type(value) and other not in tried:
                tried.append(other)
                yield Op(op.name, {**op.args, name: other})
