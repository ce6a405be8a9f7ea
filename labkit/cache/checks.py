"""The checks that many parts make on their arguments: a whole number, and large enough? One of the names there are?"""

from __future__ import annotations

import operator
from collections.abc import Iterable

from labkit.errors import BlockError, LabkitError


def whole_number(value: object, name: str, at_least: int = 0, error: type[LabkitError] = BlockError) -> int:
    """Return `value` as an int, or raise `error` if it is not a whole number of `at_least` or more.

    Integers of NumPy pass; 2.0 does not, because a float that counts blocks is a division written with
    the wrong slash, and better found here than at slot 31.999999.
    """
    if type(value) is int and value >= at_least:
        return value  # as nearly always
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or number < at_least:
        raise error(f"{name} is {value!r}, but must be a whole number, {at_least} or more: pass one that is.")
    return number


def one_of(value: object, name: str, known: Iterable[str], error: type[LabkitError]) -> None:
    """Raise `error` if `value` is none of the names in `known`."""
    names = list(known)
    if value not in names:
        raise error(f"{name} is {value!r:.60}, but must be one of {', '.join(names)}: choose one.")
