"""Values as a report writes them: short, the same in every run, whatever a learner's object does."""

from __future__ import annotations

import re
from typing import Any


def show(value: Any, limit: int = 120) -> str:
    """A value as the report writes it: repr, shortened, floats to six digits, tensors as nested lists."""
    try:
        if hasattr(value, "tolist") and hasattr(value, "shape"):
            shape = tuple(value.shape)
            if len(shape) and _size(shape) > 24:
                return f"{type(value).__name__} of shape {shape}"
            value = value.tolist()
        return shorten(_repr(value), limit)
    except Exception as error:
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"


def shorten(text: str, limit: int) -> str:
    """Cut a text in the middle so that both ends stay readable; memory addresses are removed."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    if len(text) <= limit:
        return text
    keep = (limit - 5) // 2
    return f"{text[:keep]} ... {text[-keep:]}"


def _repr(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, float):
        text = f"{value:.6g}"
        return text + ".0" if text.lstrip("-").isdigit() else text
    if type(value) is list:
        return "[" + ", ".join(_repr(v) for v in value) + "]"
    if type(value) is tuple:
        return "(" + ", ".join(_repr(v) for v in value) + ("," if len(value) == 1 else "") + ")"
    return repr(value)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
