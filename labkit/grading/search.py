"""The random search: sequences of operations are drawn, and a failure is shortened as long as it still fails.

A verdict must be the same on every machine. So the numbers come from one seed, and drawing and shortening are bounded
by counted examples, never by a clock. (Hypothesis, which the project's own tests use, draws from constants that it
reads in the sources around, and takes milliseconds for each operation; here some thousand examples have to fit into a
second.) `Specification.search` says what is drawn for an argument:

    (0, 6)                a whole number from 0 to 6
    "ABCD"                one of these letters, or of the elements of any list
    [(0, 5)], [..., 4]    a list of up to 6, or of up to 4, of these
    a function            what it makes of a `random.Random`
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labkit.grading.language import Op

if TYPE_CHECKING:
    from labkit.grading.judge import Judge, Run
    from labkit.grading.specification import Specification

SEED = 6
SHORTER = 600
"""How many sequences are tried to shorten a failure."""


def find(judge: Judge) -> Run | None:
    """Search for a failing sequence and shorten it; None where every example held."""
    spec, draw = judge.spec, random.Random(SEED)
    kinds = _kinds(spec)
    if not kinds:
        return None
    for _ in range(spec.examples):
        run = judge.run(_sequence(kinds, spec, draw), bend=True)
        if not run.ok:
            return run if run.unjudgeable or run.limit else _shortened(judge, run, kinds)
    return None


def text(letters: str, most: int) -> Any:
    """A kind: a text of up to so many of these letters."""
    return lambda draw: "".join(draw.choice(letters) for _ in range(draw.randint(0, most)))


def _kinds(spec: Specification) -> dict[str, dict[str, Any]]:
    """Operation -> argument -> what is drawn for it; for a function also what its referee makes arguments of."""
    if not spec.stateful:
        return {"call": dict(spec.search)} if spec.search else {}
    found = {}
    for name in spec.drawn or spec.names():
        kinds = {a: spec.search.get(f"{name}.{a}", spec.search.get(a)) for a in spec.declared(name)}
        given = {a: kind for a, kind in kinds.items() if kind is not None}
        if given or not kinds:
            found[name] = given
    return found if spec.search else {}


def _sequence(kinds: Mapping[str, Mapping[str, Any]], spec: Specification, draw: random.Random) -> list[Op]:
    names = [name for name in kinds if name != "new"]
    first = ["new"] if "new" in kinds else []
    more = [draw.choice(names) for _ in range(draw.randint(1, spec.steps) if spec.stateful else 1)]
    return [Op(name, {a: _drawn(kind, draw) for a, kind in kinds[name].items()}) for name in first + more]


def _drawn(kind: Any, draw: random.Random) -> Any:
    if callable(kind):
        return kind(draw)
    if isinstance(kind, tuple):
        return draw.randint(*kind)
    if _is_choice(kind):
        return draw.choice(kind)
    most = kind[1] if len(kind) > 1 else 6
    return [_drawn(kind[0], draw) for _ in range(draw.randint(0, most))]


def _is_choice(kind: Any) -> bool:
    """Whether one of several is drawn, and no list of them."""
    if not isinstance(kind, list):
        return isinstance(kind, str)
    many = len(kind) == 1 or (len(kind) == 2 and type(kind[1]) is int)
    return not (many and isinstance(kind[0], tuple | str))


# ----- shortening ---------------------------------------------------------------------------------------------


def _shortened(judge: Judge, run: Run, kinds: Mapping[str, Mapping[str, Any]]) -> Run:
    """The run of a sequence that cannot do without any operation, nor with a smaller argument, as far as was tried."""
    left, again = SHORTER, True
    while again and left > 0:
        again = False
        for ops in _smaller(run.ops, kinds):
            left -= 1
            if left < 0:
                break
            try:
                other = judge.run(ops, bend=True)
            except Exception:  # a sequence that makes no sense even to the referee explains nothing
                continue
            if other.failures and _size(other.ops) < _size(run.ops):
                run, again = other, True
                break
    return run


def _smaller(ops: Sequence[Op], kinds: Mapping[str, Mapping[str, Any]]) -> Iterator[list[Op]]:
    """Sequences with fewer operations, many at a time first; then with smaller arguments, as they could be drawn."""
    length, first = len(ops), ops[0].name == "new"
    cut = length // 2
    while cut:
        for at in range(length - cut, first - 1, -cut):
            yield [*ops[:at], *ops[at + cut :]]
        cut //= 2
    for at, op in enumerate(ops):
        for name, value in op.args.items():
            for smaller in _simpler(value, kinds.get(op.name, {}).get(name)):
                yield [*ops[:at], Op(op.name, {**op.args, name: smaller}), *ops[at + 1 :]]


def _simpler(value: Any, kind: Any = None) -> Iterator[Any]:
    """Values that are simpler, and that could have been drawn for this kind."""
    if _is_choice(kind):
        yield from (other for other in kind if len(repr(other)) < len(repr(value)))
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int) and not callable(kind):
        least = kind[0] if isinstance(kind, tuple) else min(0, value)
        simpler = (least, 0, value // 2, value - 1)
        yield from dict.fromkeys(n for n in simpler if n >= least and abs(n) < abs(value))
    elif isinstance(value, str):
        yield from (value[:at] + value[at + 1 :] for at in range(len(value) - 1, -1, -1))
    elif isinstance(value, list):
        yield from ([*value[:at], *value[at + 1 :]] for at in range(len(value) - 1, -1, -1))
        inner = kind[0] if isinstance(kind, list) else None
        for at, element in enumerate([] if callable(kind) else value):  # what a function draws may hang together
            yield from ([*value[:at], smaller, *value[at + 1 :]] for smaller in _simpler(element, inner))


def _size(ops: Sequence[Op]) -> tuple[int, int, str]:
    written = repr([list(op.args.values()) for op in ops])
    return len(ops), len(written), written
