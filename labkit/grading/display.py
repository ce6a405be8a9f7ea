"""Values as a report writes them: short, the same in every run, whatever a learner's object does."""

from __future__ import annotations

import re
from typing import Any


class Words(str):
    """A text that a report writes as it is, where a value would stand: "a list of 2 ids"."""

    __repr__ = str.__str__


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
    if len(text) > 4 * limit + 1000:  # a repr of megabytes is not searched from end to end
        text = f"{text[: 2 * limit]} ... {text[-2 * limit :]}"
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    text = re.sub(r"[\x00-\x1f\x7f\u2028\u2029]+\s*", " ", text)  # a trace has one line for each step
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")  # half a surrogate pair cannot be printed
    if len(text) <= limit:
        return text
    keep = (limit - 5) // 2
    return f"{text[:keep]} ... {text[-keep:]}"


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
