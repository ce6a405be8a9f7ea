"""Answers as they are given: from a widget, from a file, typed by hand. Here they become what can be graded.

A malformed answer (wrong shape, an unknown option, no number) raises AnswerError and counts as no attempt; a wrong
answer is graded.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from typing import Any

from labkit.errors import AnswerError
from labkit.grading.quiz_question import Instance, Option, plain, same_value

LONGEST = 200
"""Characters of a number as it is typed."""

_BYTES = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4}
_BYTES |= {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
_FAMILIES: tuple[dict[str, float], ...] = (
    {name.lower(): float(factor) for name, factor in _BYTES.items()} | {"byte": 1.0},
    {"s": 1.0, "second": 1.0, "ms": 1e-3, "millisecond": 1e-3, "us": 1e-6, "µs": 1e-6, "microsecond": 1e-6,
     "min": 60.0, "minute": 60.0},
    {"%": 0.01, "percent": 0.01, "share": 1.0},
)  # fmt: skip
_NUMBER = re.compile(
    r"^\s*([+-]?(?:\d{1,3}(?:[,_ \u202f]\d{3})+|\d+)?(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*(?:/\s*(\d+))?\s*([^\d\s,;.].*)?$"
)


def canonical(instance: Instance, answer: Any) -> Any:
    """The answer in the form that is graded and kept: plain texts of options, a float in the question's unit.

    Raises:
        AnswerError: the answer has the wrong shape; one sentence says what was expected.
    """
    question = instance.question
    if answer is None or (isinstance(answer, str) and not answer.strip()):
        raise AnswerError(f"'{question.id}' has no answer yet; {expected(instance)}")
    if question.picked and not question.several:
        return _option(instance, answer)
    match question.type:
        case "multiple" | "sentences":
            if not isinstance(answer, list | tuple) or not answer:
                raise AnswerError(f"the answer to '{question.id}' is no list of options; {expected(instance)}")
            chosen = [_option(instance, a) for a in answer]
            return [o.plain for o in instance.options if o.plain in chosen]
        case "ordering":
            if not isinstance(answer, list | tuple):
                raise AnswerError(f"the answer to '{question.id}' is no list of items; {expected(instance)}")
            items = [_option(instance, a) for a in answer]
            if sorted(items) != sorted(instance.order):
                raise AnswerError(
                    f"the answer to '{question.id}' must hold each of the {len(instance.order)} items once; "
                    f"it holds {len(items)}, {len(set(items))} of them different"
                )
            return items
        case "matching":
            return _matching(instance, answer)
        case "numeric":
            number(instance, answer)
            return answer if isinstance(answer, str) else float(answer)
        case _:
            if not isinstance(answer, str):
                raise AnswerError(f"the answer to '{question.id}' is no text; {expected(instance)}")
            return answer.strip("\n") if question.type == "predict" else answer.strip()


def expected(instance: Instance) -> str:
    """What an answer to this question looks like, as the second half of a sentence."""
    question = instance.question
    letters = ", ".join(o.id for o in instance.options)
    if question.picked and not question.several:
        return f"give one of the letters {letters}, or the text of an option"
    return {
        "multiple": f"give a list of one or more of the letters {letters}, or of the texts of the options",
        "sentences": f"give a list of one or more of the letters {letters}, or of the sentences",
        "ordering": f"give a list of the letters {letters}, or of the texts, from first to last",
        "matching": "give an object with each left side and the right side that belongs to it",
        "numeric": f"give a number{f' in {instance.unit}' if instance.unit else ''}",
        "predict": "give the text that the code shows",
        "short": "give a sentence or two",
    }[question.type]


def _option(instance: Instance, answer: Any) -> str:
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        raise AnswerError(f"the answer to '{instance.question.id}' is no option; {expected(instance)}")
    text = plain(str(answer))
    # An option's own text wins over a letter: an option may read "a".
    letter = text.lower().strip("().")
    tests: tuple[Callable[[Option], bool], ...] = (
        lambda o: o.plain == text,
        lambda o: o.id == text,
        lambda o: o.plain.casefold() == text.casefold(),
        lambda o: o.id == letter,
    )
    for test in tests:
        for option in instance.options:
            if test(option):
                return option.plain
    raise AnswerError(f"'{text}' is no option of '{instance.question.id}'; {expected(instance)}")


def _matching(instance: Instance, answer: Any) -> dict[str, str]:
    name = instance.question.id
    if isinstance(answer, list | tuple) and all(isinstance(a, list | tuple) and len(a) == 2 for a in answer):
        answer = {str(left): right for left, right in answer}
    if not isinstance(answer, dict):
        raise AnswerError(f"the answer to '{name}' is no object; {expected(instance)}")
    lefts = {plain(p.left): plain(p.left) for p in instance.pairs}
    lefts |= {p.id: plain(p.left) for p in instance.pairs if p.id not in lefts}
    sides = {plain(s) for s in instance.sides}
    folded = {s.casefold(): s for s in sides}
    out: dict[str, str] = {}
    for left, side in answer.items():
        if plain(str(left)) not in lefts:
            raise AnswerError(f"'{left}' is no left side of '{name}'; those are: {', '.join(lefts)}")
        if plain(str(side)).casefold() not in folded:
            raise AnswerError(f"'{side}' is no right side of '{name}'; those are: {', '.join(sorted(sides))}")
        text = plain(str(side))
        out[lefts[plain(str(left))]] = text if text in sides else folded[text.casefold()]
    missing = [plain(p.left) for p in instance.pairs if plain(p.left) not in out]
    if missing:
        raise AnswerError(f"the answer to '{name}' leaves out: {', '.join(missing)}; {expected(instance)}")
    return out


def number(instance: Instance, answer: Any) -> float:
    """A numeric answer in the question's unit: 18432, "18 KiB", "1,024", "3/4", "2.5e3 tokens".

    Raises:
        AnswerError: no finite number, or a unit that cannot be turned into the question's.
    """
    name = instance.question.id
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        if isinstance(answer, int) and abs(answer) >= 1 << 1000:
            raise AnswerError(f"the answer to '{name}' is larger than any number here; {expected(instance)}")
        if not math.isfinite(answer):
            raise AnswerError(f"the answer to '{name}' is {answer}, which is no finite number; {expected(instance)}")
        return float(answer)
    if isinstance(answer, str) and len(answer) > LONGEST:
        raise AnswerError(
            f"the answer to '{name}' has {len(answer):,} characters, too many for a number; {expected(instance)}"
        )
    match = _NUMBER.match(answer) if isinstance(answer, str) else None
    digits = re.sub(r"[,_ \u202f]", "", match.group(1)) if match else ""
    try:
        value = float(digits)
    except ValueError:
        decimal = isinstance(answer, str) and re.fullmatch(r"\s*-?\d+,\d+\s*", answer)
        more = " (write a point, not a comma, before decimals)" if decimal else ""
        raise AnswerError(f"'{answer}' is no number{more}; {expected(instance)}") from None
    assert match is not None
    if match.group(2):
        if int(match.group(2)) == 0:
            raise AnswerError(f"'{answer}' divides by zero; {expected(instance)}")
        value /= int(match.group(2))
    value *= _factor(instance, match.group(3), answer)
    if not math.isfinite(value):
        raise AnswerError(f"'{answer}' is no finite number; {expected(instance)}")
    return value


def _factor(instance: Instance, given: str | None, answer: str) -> float:
    if not given:
        return 1.0
    unit, want = _unit(given), _unit(instance.unit)
    if unit == want:
        return 1.0
    if want:
        for family in _FAMILIES:
            if unit in family and want in family:
                return family[unit] / family[want]
    if not want and unit in ("%", "percent"):
        return 0.01
    wanted = f"in {instance.unit}" if instance.unit else "without a unit"
    raise AnswerError(f"'{answer}' has the unit '{given.strip()}', and the answer is wanted {wanted}")


def _unit(text: str) -> str:
    text = " ".join(text.strip().rstrip(".").split()).lower()
    return text[:-1] if len(text) > 2 and text.endswith("s") and text not in ("ms", "us", "µs") else text


def is_decimal_mixup(instance: Instance, answer: Any) -> bool:
    """Whether "18 kB" was written where 18 KiB is right: the number is right, the unit is not."""
    if not isinstance(answer, str):
        return False
    swapped = re.sub(r"(?i)\b([kmgt])b\b", r"\1iB", answer)
    swapped = re.sub(r"(?i)(?<=\d)([kmgt])b\b", r"\1iB", swapped)
    if swapped == answer:
        return False
    try:
        return abs(number(instance, swapped) - instance.answer) <= instance.tolerance
    except AnswerError:
        return False


def same_output(given: str, output: str) -> bool:
    """Whether two outputs are the same: line by line without trailing space, or equal as Python values."""
    tidy_given, tidy_output = ("\n".join(line.rstrip() for line in t.strip().splitlines()) for t in (given, output))
    if tidy_given == tidy_output:
        return True
    try:
        return same_value(ast.literal_eval(tidy_given), ast.literal_eval(tidy_output))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        pass
    # "None, 2" and "(None, 2)" are what somebody writes who has worked out "None 2".
    squeeze = [re.sub(r"[\s,()]+", " ", t).strip("'\" ") for t in (tidy_given, tidy_output)]
    return squeeze[0] == squeeze[1]
