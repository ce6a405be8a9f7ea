"""The bank of a lesson: known mistakes, each an edit of the one solution, and right answers in other styles.

They prove the specification: each mistake must be rejected by the rule that names its fault, each right answer
accepted. And they help the learner: a mistake that does the same as their code on every witness is explained to them.

A bank is a text file, `labkit/specs/LESSON/mistakes.diff`, that reads like a diff:

    diff RefCounts                                      the exercise that what follows is about
    @@ counts-the-holders @@                            the rule that must reject it; `right` for right answers, and
                                                        `variant` for those whose makers make the same mistakes: what is
                                                        below is an edit of them as well, wherever it fits
    counts-from-zero: Whoever asked for it holds it.    a name, and the sentence for whoever made the mistake
    ~ [block] = 1 => [block] = 0                        a piece of a line of the solution, and what stands in its place
    share-does-nothing: Nobody is told.
    -     for block in blocks:                          whole lines of the solution (`  ` before a line that stays)
    -         self._counts[block] += 1
    +     pass                                          and what stands in their place
    class-level-counts = module-level-counts            no sentence of its own: it does the same as that one
    = drop => return list(blocks)                       the whole body of a function; a longer one below it, with `+`
    sorted-ids: The order is lost.                      new lines alone: the body of the function, or a whole text
    + return sorted(blocks)
    removes-nothing ^ a-queue: Its block stays.         an edit not of the solution, but of the answer `a-queue` above
    = remove => pass
    two-ends: Both ends are off by one.                 several pieces, one after the other
    ~ [0] => [1] ~ [-1] => [-2]
    told-twice: The second call undoes the first.       new lines after the line in which a piece was exchanged
    ~ .update( => .add(
    + self._tell(blocks)
    never-looks: Nothing is looked at.                  `- ...`: the lines down to the next old one, or to the end of
    - for block in blocks:                              the block
    - ...
    + return []

Lines of the solution are those in the master, without docstrings, comments and empty lines; how far the first of them
is indented does not matter. An old text must be found exactly once. An old line after a new one begins another edit.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from labkit import specs
from labkit.errors import LessonError
from labkit.grading.judge import Judge, Run
from labkit.grading.language import Op
from labkit.grading.solutions import solutions
from labkit.grading.source import Source
from labkit.grading.specification import Specification
from labkit.grading.verdict import Verdict

_NAME = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9.-]*)(?: \^ (?P<base>[a-z0-9.-]+))?(?:: (?P<why>.*)| = (?P<like>[a-z0-9.-]+)|)"
)


@dataclass(frozen=True)
class Mistake:
    """A wrong answer.

    Attributes:
        exercise: the exercise id.
        name: short hyphenated name of the mistake.
        breaks: the rule that must reject it; or the kind of an error verdict ("endless-loop") for those that no
            rule can name.
        why: one sentence that explains the mistake to somebody who made it, without giving the patch.
        source: the answer, complete.
        like: the name of the mistake whose sentence is told, where the two do the same; else "".
    """

    exercise: str
    name: str
    breaks: str
    why: str
    source: str
    like: str = ""


@dataclass(frozen=True)
class Right:
    """A right answer written in another style; it must be accepted."""

    exercise: str
    name: str
    source: str


@dataclass
class _Entry:
    """One entry of the file, as it is read."""

    exercise: str
    rule: str
    name: str
    why: str
    like: str
    base: str
    line: int
    body: list[str] = field(default_factory=list)


class Bank:
    """The mistakes and the right answers of one lesson."""

    def __init__(self, mistakes: list[Mistake], right: list[Right]) -> None:
        self.mistakes, self.right = mistakes, right


def bank(lesson: str) -> Bank:
    """The bank of a lesson; empty where it has none.

    Raises:
        LessonError: an entry cannot be read, or the lines that it changes are not found exactly once.
    """
    key = specs.resolve_key(lesson)
    path = Path(specs.__file__).parent / key.split("_", 1)[1] / "mistakes.diff"
    if not path.exists():
        return Bank([], [])
    return _bank(path.read_text(encoding="utf-8"), tuple(solutions(key).items()), f"labkit/specs/{path.parent.name}")


@lru_cache(maxsize=32)
def _bank(text: str, solutions: tuple[tuple[str, str], ...], where: str) -> Bank:
    bare_lines = {exercise: bare(solution) for exercise, solution in solutions}
    found = Bank([], [])
    above: dict[tuple[str, str], list[str]] = {}
    variants: dict[str, list[str]] = {}
    sentences: dict[tuple[str, str], str] = {}
    for entry in _entries(text, where):
        at = f"{where}/mistakes.diff, line {entry.line}, {entry.name}"
        if entry.exercise not in bare_lines:
            raise LessonError(f"{at}: the master has no exercise {entry.exercise!r}; name one of {[*bare_lines]}.")
        lines = bare_lines[entry.exercise]
        if entry.base:
            lines = above.get((entry.exercise, entry.base), [])
            if not lines:
                raise LessonError(f"{at}: there is no answer {entry.base!r} above it that it could be an edit of.")
        source = edited(lines, entry.body, entry.exercise, at)
        above.setdefault((entry.exercise, entry.name), source.splitlines())
        if entry.rule in ("right", "variant"):
            found.right.append(Right(entry.exercise, entry.name, source))
            if entry.rule == "variant":
                variants.setdefault(entry.exercise, []).append(entry.name)
            continue
        if entry.like and (entry.exercise, entry.like) not in sentences:
            raise LessonError(f"{at}: there is no mistake {entry.like!r} above it whose sentence it could share.")
        why = sentences[entry.exercise, entry.like] if entry.like else entry.why
        sentences[entry.exercise, entry.name] = why
        found.mistakes.append(Mistake(entry.exercise, entry.name, entry.rule, why, source, entry.like))
        for variant in () if entry.base else variants.get(entry.exercise, ()):
            with suppress(LessonError):  # its pieces do not stand there
                twin = edited(above[entry.exercise, variant], entry.body, entry.exercise, at)
                if twin != source:
                    name, like = f"{entry.name}, {variant}", entry.like or entry.name
                    found.mistakes.append(Mistake(entry.exercise, name, entry.rule, why, twin, like))
    return found


def _entries(text: str, where: str) -> list[_Entry]:
    found: list[_Entry] = []
    exercise = rule = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("diff "):
            exercise, rule = line.split()[1], ""
        elif line.startswith("@@ "):
            rule = line.strip("@ ")
        elif line[:1] in ("+", "-", "=", "~") or line.startswith("  "):
            if not found or not rule:
                raise LessonError(f"{where}/mistakes.diff, line {number}: {line!r} belongs to no mistake.")
            found[-1].body.append(line)
        elif line.startswith(" ") and found and not found[-1].body:
            found[-1].why += line
        elif line.strip() and not line.startswith("#"):
            match = _NAME.fullmatch(line)
            if not match or not rule or not exercise:
                raise LessonError(
                    f"{where}/mistakes.diff, line {number}: {line[:60]!r} is no name of a mistake under a rule; write "
                    "`name: The sentence.` below a line `@@ rule @@` below a line `diff exercise`."
                )
            parts: dict[str, Any] = {part: text or "" for part, text in match.groupdict().items()}
            found.append(_Entry(exercise, rule, line=number, **parts))
    return found


def bare(solution: str) -> list[str]:
    """The lines of a solution without docstrings, comments of their own and empty lines."""
    lines = solution.splitlines()
    drop: set[int] = set()
    for node in ast.walk(ast.parse(solution)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Module) and ast.get_docstring(node) is not None:
            first = node.body[0]
            drop.update(range(first.lineno - 1, first.end_lineno or first.lineno))
    return [line for i, line in enumerate(lines) if i not in drop and line.strip() and line.strip()[0] != "#"]


def edited(lines: list[str], body: list[str], exercise: str, at: str) -> str:
    """The solution after the edits of one entry."""
    if all(line[:1] == "+" for line in body):
        text = textwrap.dedent("\n".join(_text(line) for line in body)) + "\n"
        return text if _defines(text, exercise) else _with_body(lines, exercise.split(".")[-1], text.splitlines(), at)
    lines = [*lines]
    for edit in _edits(body):
        first, new = edit[0], [_text(line) for line in edit if line[0] != "-"]
        if first[0] == "=":
            name, arrow, rest = _text(first).partition(" =>")
            lines = _with_body(lines, name.strip(), [rest.strip()] if arrow else new[1:], at).splitlines()
        elif first[0] == "~":
            for piece in _text(first).split(" ~ "):
                place = _place_of_piece(lines, piece.partition(" =>")[0], at)
                before = lines[place]
                lines[place] = before.replace(*_old_and_new(piece))
            lines[place + 1 : place + 1] = _moved(new[1:], before, "")
            lines = [line for line in lines if line.strip()]
        else:
            old = [_text(line) for line in edit if line[0] != "+"]
            start, end = _place_of_lines(lines, old, at)
            lines = [*lines[:start], *_moved(new, lines[start], old[0]), *lines[end:]]
    return "\n".join(lines) + "\n"


def _edits(body: list[str]) -> list[list[str]]:
    edits: list[list[str]] = []
    for line in body:
        if not edits or line[0] in "=~" or (line[0] != "+" and edits[-1][-1][0] in "+=~"):
            edits.append([])
        edits[-1].append(line)
    return edits


def _text(line: str) -> str:
    return line[2:].rstrip()


def _moved(block: list[str], to: str, first: str | None = None) -> list[str]:
    """A block of lines, moved so that `first` (or its own first line) is indented like the line `to`."""
    by = _indent(to) - _indent(block[0] if first is None else first)
    return [" " * (_indent(line) + by) + line.lstrip() for line in block]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _defines(text: str, name: str) -> bool:
    return re.search(rf"^(?:def|class) {name}\b|^{name}\b.* = ", text, re.MULTILINE) is not None


def _old_and_new(piece: str) -> tuple[str, str]:
    old, _, new = piece.partition(" =>")
    return old, new.removeprefix(" ")


def _place_of_piece(lines: list[str], old: str, at: str) -> int:
    """The line in which a piece stands."""
    found = sum(line.count(old) for line in lines)
    if found != 1:
        raise LessonError(f"{at}: {old!r} is found {found} times in the solution, and must be found once.")
    return next(i for i, line in enumerate(lines) if old in line)


def _place_of_lines(lines: list[str], old: list[str], at: str) -> tuple[int, int]:
    """Where the old lines of an edit stand: the first, and the one after the last."""
    cut = next((i for i, line in enumerate(old) if line.strip() == "..."), len(old))
    head, tail = old[:cut], old[cut + 1 :]
    if not head:
        raise LessonError(f"{at}: `- ...` has no old line above it: write the line from which it goes on.")

    def stands(block: list[str], i: int) -> bool:
        return _moved(block, lines[i], old[0]) == lines[i : i + len(block)]

    places = [i for i in range(len(lines)) if stands(head, i)]
    if len(places) != 1:
        raise LessonError(
            f"{at}: the lines to change are found {len(places)} times in the solution, and must be found once: "
            f"{' / '.join(line.strip() for line in head)}."
        )
    start = places[0]
    end = start + len(head)
    if cut < len(old):
        last = _moved(tail, lines[start], old[0])
        while end < len(lines) and (lines[end : end + len(tail)] != last if tail else _inside(lines, start, end)):
            end += 1
        if end == len(lines) and tail:
            raise LessonError(f"{at}: {tail[0].strip()!r} is not found below {head[-1].strip()!r}.")
        end += len(tail)
    return start, end


def _inside(lines: list[str], start: int, i: int) -> bool:
    return _indent(lines[i]) >= _indent(lines[start])


def _with_body(lines: list[str], name: str, body: list[str], at: str) -> str:
    """The lines with another body for the function or method of that name."""
    places = [i for i, line in enumerate(lines) if re.match(rf"\s*def {name}\b", line)]
    if len(places) != 1:
        raise LessonError(f"{at}: {len(places)} functions of the solution are called {name!r}, and must be one.")
    first = places[0]
    # The head of a function may go over several lines, of which only the last ends in a colon.
    start = next(i for i in range(first, len(lines)) if lines[i].rstrip().endswith(":")) + 1
    end = next((i for i in range(start, len(lines)) if _indent(lines[i]) <= _indent(lines[first])), len(lines))
    new = textwrap.indent(textwrap.dedent("\n".join(body)), " " * (_indent(lines[first]) + 4))
    return "\n".join([*lines[:start], new, *lines[end:]]) + "\n"


def explain(judge: Judge, verdict: Verdict) -> str | None:
    """The sentence of the known mistake that does the same as the code that was judged; None where there is none.

    The same on the sequence that the report shows, and on every witness: two mistakes may look alike on one. Where two
    with different sentences look alike on all of them, nothing is said.
    """
    trace = verdict.counterexample
    if verdict.verdict != "fail" or verdict.kind == "not-written" or trace is None or not judge.witnessed:
        return None
    ops = [Op(step.op, step.args) for step in trace.steps if step.op != "observe"]
    shown = _trace(judge.run(ops, thorough=judge.manner))
    told: set[str] = set()
    for mistake in bank(judge.spec.lesson).mistakes:
        if mistake.exercise != judge.spec.exercise or mistake.breaks not in (verdict.rule, verdict.kind):
            continue
        if conduct(judge.spec, mistake, ops, judge.manner) == shown and all(
            conduct(judge.spec, mistake, run.ops) == _trace(run) for run in judge.witnessed
        ):
            told.add(mistake.why)
    return told.pop() if len(told) == 1 else None


def conduct(
    spec: Specification, mistake: Mistake, ops: Sequence[Op], manner: tuple[str, ...] = ()
) -> list[tuple[str, ...]]:
    """What a known mistake shows on a sequence, over the parts that stand below it now."""
    return _trace(Judge(spec, _source(spec, mistake).namespace).run(ops, thorough=manner))


@lru_cache(maxsize=128)
def _source(spec: Specification, mistake: Mistake) -> Source:
    # Under a name that no other has: Triton reads the lines of a function again whenever the text is executed.
    return Source(spec, mistake.source, f"<bank {spec.lesson}/{spec.exercise} {mistake.name}>")


def _trace(run: Run) -> list[tuple[str, ...]]:
    """What a run shows, but for the lines of the text; of what was measured only the rules."""
    if not {op.name for op in run.ops}.isdisjoint(run.referee.spec.measured):
        return [(failure.rule,) for failure in run.failures]
    causes = [re.sub(r" in line \d+ of your cell", "", failure.cause) for failure in run.failures]
    return [*((step.label, step.seen) for step in run.referee.steps), *((cause,) for cause in causes)]
