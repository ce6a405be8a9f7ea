"""Values as a report writes them: short, the same in every run, whatever a learner's object does."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any


class Words(str):
    """A text that a report writes as it is, where a value would stand: "a list of 2 ids"."""

    __repr__ = str.__str__


LINE, ROWS = 120, 320
"""How many characters of a value a report shows: in one line, and of a tensor, whose rows stand below each other."""


def show(value: Any, limit: int = LINE) -> str:
    """A value as the report writes it: repr, shortened, floats to six digits, tensors as nested lists."""
    try:
        if isinstance(value, Words):
            return shorten(str(value), max(limit, ROWS))
        if hasattr(value, "tolist") and hasattr(value, "shape"):
            shape = tuple(value.shape)
            if len(shape) and _size(shape) > 24:
                return f"{type(value).__name__} of shape {shape}"
            value = value.tolist()
            limit = ROWS if limit == LINE else limit
        return shorten(_repr(value), limit)
    except Exception as error:
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"


def show_both(seen: Any, expected: Any) -> tuple[str, str]:
    """Two values that differ, as the report writes them; where they would read alike, with what tells them apart."""
    one, other = show(seen), show(expected)
    if one != other or isinstance(expected, Words):
        return one, other
    try:
        kinds = [(a, b) for a, b in zip(_kind(seen), _kind(expected), strict=True) if a != b]
        if kinds:
            return f"{one} ({', '.join(a for a, _ in kinds if a)})", f"{other} ({', '.join(b for _, b in kinds if b)})"
        places = list(_differences(seen, expected, ""))
        far = [
            p for p in places if not (isinstance(p[1], float) and math.isclose(p[1], p[2], rel_tol=1e-6, abs_tol=1e-6))
        ]
        for place, a, b in (far or places)[:1]:
            there, due = show(a, 60), show(b, 60)
            if there == due:
                there, due = shorten(repr(a), 60), shorten(repr(b), 60)
            return f"{one}, where {place} is {there}", f"{other}, where {place} is {due}"
    except Exception:  # a learner's object may raise anything; the cause says what differs
        pass
    return one, other


def _kind(value: Any) -> tuple[str, str, str]:
    """Type, dtype and shape, the latter two "" where there are none."""
    return type(value).__name__, str(getattr(value, "dtype", "")), str(tuple(getattr(value, "shape", ())) or "")


def _differences(seen: Any, expected: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Where two values of the same kind differ: the place, and what stands there."""
    seen, expected = (value.tolist() if hasattr(value, "tolist") else value for value in (seen, expected))
    if isinstance(seen, list | tuple) and isinstance(expected, list | tuple):
        for i, (a, b) in enumerate(zip(seen, expected, strict=False)):
            yield from _differences(a, b, f"{place}[{i}]")
        if len(seen) != len(expected):
            yield "the length", len(seen), len(expected)
    elif isinstance(seen, dict) and isinstance(expected, dict):
        for key in [*seen, *(key for key in expected if key not in seen)]:
            yield from _differences(seen.get(key), expected.get(key), f"{place}[{show(key, 40)}]")
    elif isinstance(seen, str) and isinstance(expected, str) and seen != expected:
        at = next(
            (i for i, (a, b) in enumerate(zip(seen, expected, strict=False)) if a != b), min(len(seen), len(expected))
        )
        yield f"{place}[{at}:]", seen[at : at + 40], expected[at : at + 40]
    elif seen != expected and not (seen != seen and expected != expected):
        yield place or "it", seen, expected


def shorten(text: str, limit: int) -> str:
    """Cut a text in the middle so that both ends stay readable; memory addresses are removed.

    A list is cut between two items, where there is such a place near the middle.
    """
    if len(text) > 4 * limit + 1000:  # a repr of megabytes is not searched from end to end
        text = f"{text[: 2 * limit]} ... {text[-2 * limit :]}"
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    text = re.sub(r"[\x00-\x1f\x7f\u2028\u2029]+\s*", " ", text)  # a trace has one line for each step
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")  # half a surrogate pair cannot be printed
    if len(text) <= limit:
        return text
    keep = (limit - 5) // 2
    head, tail = text[:keep], text[-keep:]
    if text[0] in "[({":
        head = head[: head.rfind(", ", keep // 2) + 1] or head
        tail = tail[tail.find(", ", 0, keep // 2) + 1 :].lstrip()
    return f"{head} ... {tail}"


def error_text(error: BaseException, limit: int) -> str:
    """The message of an exception, shortened; "" where even asking for it fails."""
    try:
        return shorten(str(error), limit)
    except Exception:
        return ""


def _repr(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return repr(value)
    if hasattr(value, "dtype") and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()  # 3, not np.int64(3)
    if hasattr(value, "dtype") and hasattr(value, "tolist") and 0 < getattr(value, "numel", int)() <= 24:
        return f"tensor({_repr(value.tolist())})"
    if isinstance(value, float):
        text = f"{value:.6g}"
        return text + ".0" if text.lstrip("-").isdigit() else text
    if type(value) is list:
        return f"[{_items(value)}]"
    if type(value) is tuple:
        return f"({_items(value)}{',' if len(value) == 1 else ''})"
    return repr(value)


def _items(values: list[Any] | tuple[Any, ...]) -> str:
    """What stands between the brackets; of very many, those at both ends, between which a report cuts."""
    if len(values) > 2000:
        values = [*values[:1000], *values[-1000:]]
    return ", ".join(_repr(v) for v in values)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
