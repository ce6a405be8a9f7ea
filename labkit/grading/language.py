"""The language of a specification: rules, their hints and their witnesses as text.

    rules = rules_from('''
        counts-the-holders: count(block) is the number of tables that hold the block.
            ? A first hint for whoever broke this rule; `?` alone where the exercise's own is about it.
            new 3; allocate 2; share 0 1
            new 2; allocate 1; drop 0
    ''')

Under each rule stand its witnesses, one a line: operations, each its name and then its arguments in the order of its
declaration, the referee's `do_NAME`. A list that comes last is written without brackets; other values as in JSON, and
a word that is no JSON is a text. `300 x share 0` is that operation 300 times. The only operation of a function is its
call, whose name is left out. A backslash at the end of a line goes on in the next, as everywhere in Python.

What is large is written short: `0..299` and `299..0` are the whole numbers from one to the other, `300*[0,3]+[10,1]`
the 300 lists [0, 3], [10, 4], [20, 5] and so on, and `70x4` (`x4`) 70 rows of 4 (4) numbers, the same in every run.
"""

from __future__ import annotations

import inspect
import json
import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from labkit.errors import LessonError

COMMON = "?"
"""The hint of a rule that the exercise's own first hint is about."""


@dataclass(frozen=True)
class Rule:
    """One thing that must hold: a short hyphenated name and a sentence that a learner can read.

    Attributes:
        hint: a first hint for whoever broke it; `COMMON` where the exercise's own is about it, "" for the first.
        witnesses: sequences of operations that expose the plainest violations, as text.
    """

    name: str
    statement: str
    hint: str = ""
    witnesses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Op:
    """One operation as plain data."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> list[Any]:
        """[name, args]."""
        return [self.name, dict(self.args)]

    @classmethod
    def from_json(cls, data: Iterable[Any]) -> Op:
        """The inverse of `to_json`."""
        name, args = data
        return cls(str(name), dict(args))


class Argument(NamedTuple):
    """What is declared of an argument: whether it is a list, and whether it may be left out (or written `name=`)."""

    is_list: bool
    optional: bool


Declaration = Callable[[str], Mapping[str, Argument]]
"""Operation name -> its arguments in order; LessonError where there is no such operation."""


def declared_by(function: Callable[..., Any]) -> dict[str, Argument]:
    """The arguments of a function by its signature, `self` left out."""
    return {
        p.name: Argument(str(p.annotation).startswith(("list", "Sequence")), p.default is not p.empty)
        for p in inspect.signature(function).parameters.values()
        if p.name != "self"
    }


def rules_from(text: str) -> tuple[Rule, ...]:
    """The rules of a text, worst first, with their hints and witnesses.

    Raises:
        LessonError: a line belongs to no rule.
    """
    found: list[dict[str, Any]] = []
    for line in text.splitlines():
        words = " ".join(line.split())
        head = re.fullmatch(r"([a-z0-9-]+): (.+)", words)
        if head:
            found.append({"name": head[1], "statement": head[2], "hint": "", "witnesses": []})
        elif words and not found:
            raise LessonError(f"{words[:60]!r} belongs to no rule: begin with `name-of-the-rule: What must hold.`")
        elif words.startswith("?"):
            found[-1]["hint"] = words[1:].strip() or COMMON
        elif words:
            found[-1]["witnesses"].append(words)
    return tuple(Rule(**{**rule, "witnesses": tuple(rule["witnesses"])}) for rule in found)


def parse(text: str, declared: Declaration, function: bool = False) -> tuple[Op, ...]:
    """The operations of a witness.

    Raises:
        LessonError: no such operation, or other arguments than it has.
    """
    sequence: list[list[str]] = []
    for words in map(_words, _split(text)):
        times = 1
        if len(words) > 2 and words[0].isdigit() and words[1] == "x":
            times, words = int(words[0]), words[2:]
        sequence += [["call", *words] if function else words] * times
    return tuple(_op(words[0], words[1:], declared, text) for words in sequence)


def _op(name: str, words: list[str], declared: Declaration, text: str) -> Op:
    parameters = declared(name)
    args: dict[str, Any] = {}
    named = [word for word in words if word.partition("=")[0] in parameters]
    words = [word for word in words if word not in named]
    places = [parameter for parameter, argument in parameters.items() if not argument.optional]
    for i, parameter in enumerate(places):
        if parameters[parameter].is_list and i == len(places) - 1 and not _is_one_list(words):
            args[parameter], words = [_value(word) for word in words], []
        elif words:
            args[parameter], words = _value(words[0]), words[1:]
        else:
            raise LessonError(f"The witness {text!r} has too few arguments for {name} ({', '.join(parameters)}).")
    if words:
        raise LessonError(f"The witness {text!r} has too many arguments for {name} ({', '.join(parameters)}).")
    return Op(name, args | {word.partition("=")[0]: _value(word.partition("=")[2]) for word in named})


def write(op: Op, declared: Declaration, function: bool = False) -> str:
    """An operation as a witness writes it: the inverse of `parse`."""
    parameters = declared(op.name)
    places = [parameter for parameter, argument in parameters.items() if not argument.optional]
    words = [] if function else [op.name]
    for parameter in places:
        value = op.args[parameter]
        spread = parameters[parameter].is_list and parameter == places[-1] and not (len(value) == 1 and _is_list(value))
        words += [_word(v) for v in value] if spread else [_word(value)]
    return " ".join([*words, *(f"{k}={_word(v)}" for k, v in op.args.items() if k not in places)])


def _is_list(value: list[Any]) -> bool:
    return isinstance(value[0], list)


def _is_one_list(words: list[str]) -> bool:
    return len(words) == 1 and isinstance(_value(words[0]), list)


def _split(text: str) -> list[str]:
    """The operations of a text; a semicolon within a text in quotes separates nothing."""
    return [part.strip() for part in re.findall(r'(?:[^;"]|"(?:[^"\\]|\\.)*")+', text)]


def _words(text: str) -> list[str]:
    """Words between blanks; lists, mappings and texts in quotes are one word each."""
    words, depth = [""], 0
    for piece in re.findall(r'"(?:[^"\\]|\\.)*"|\s+|.', text):
        depth += (piece in "[{") - (piece in "]}")
        if piece.isspace() and not depth:
            words.append("")
        else:
            words[-1] += piece
    return [word for word in words if word]


def _value(word: str) -> Any:
    if found := re.fullmatch(r"(\d+)\.\.(\d+)", word):
        first, last = int(found[1]), int(found[2])
        return list(range(first, last + 1) if first <= last else range(first, last - 1, -1))
    if found := re.fullmatch(r"(\d+)\*(\[.*\])\+(\[.*\])", word):
        begin, by = json.loads(found[2]), json.loads(found[3])
        return [[a + i * b for a, b in zip(begin, by, strict=True)] for i in range(int(found[1]))]
    if re.fullmatch(r"\d*(x\d+)+", word):
        draw = random.Random(word)
        return _rows(draw, [int(size) for size in word.split("x") if size])
    try:
        return json.loads(word)
    except ValueError:
        return word


def _rows(draw: random.Random, sizes: list[int]) -> Any:
    """Numbers with one decimal, exact enough to be read in a report, in lists of these sizes."""
    return [_rows(draw, sizes[1:]) for _ in range(sizes[0])] if sizes else draw.randint(-20, 20) / 10


def _word(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r'[^\s;"\[\]{}]+', value) and _value(value) is value:
        return value
    return json.dumps(value, separators=(",", ":"))
