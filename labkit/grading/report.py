"""A verdict as plain text: for the terminal, for nbval, for a screen without widgets.

The text holds nothing that differs from run to run (no times), so that a stored notebook can be compared with a new
one.
"""

from __future__ import annotations

import re
import textwrap

from labkit.grading.answers import core, side_by_side
from labkit.grading.verdict import WORDS, Counterexample, Verdict, folded

WIDTH = 96
PRINTED_LINES = 12

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""All but tab and end of line; also what turns the direction of writing."""


def headline(verdict: Verdict) -> str:
    """The first line: what was judged and how it went."""
    number = verdict.lesson.split("_")[0]
    name = f"{number} {verdict.exercise}"
    broken = sum(r.state == "broken" for r in verdict.rules)
    if verdict.passed:
        count = len(verdict.rules)
        return f"{name}: passed" + (f", {count} of {count} rules hold" if count else "")
    if verdict.kind == "not-written":
        return f"{name}: not written yet"
    if verdict.verdict == "fail":
        return f"{name}: {max(broken, 1)} of {len(verdict.rules)} rules broken"
    return f"{name}: {WORDS.get(verdict.kind, verdict.verdict)}"


def render(verdict: Verdict) -> str:
    """The whole report as text."""
    lines = [headline(verdict)]
    if not verdict.passed:
        if verdict.rule:
            statement = next((r.statement for r in verdict.rules if r.name == verdict.rule), "")
            setup = verdict.counterexample.setup if verdict.counterexample else ""
            lines += ["", verdict.rule + (f"   ({setup})" if setup else "")]
            lines += _wrap(statement, "  ")
        if verdict.counterexample:
            lines += ["", *trace_lines(verdict.counterexample)]
        lines += ["", *_wrap(verdict.message)]
        if verdict.mutant:
            lines += _wrap(verdict.mutant)
        if verdict.over == "mine" and verdict.kind != "own-part":  # which says so itself
            lines += _wrap("It passes over the reference parts and fails over your own earlier ones: look there first.")
    lines += [line for note in verdict.notes for line in _wrap(note)]
    if verdict.printed:
        printed = verdict.printed.rstrip().splitlines()
        more = [f"... and {len(printed) - PRINTED_LINES} lines more"] if len(printed) > PRINTED_LINES else []
        lines += ["", "Your code printed:", *(f"  {line}" for line in printed[:PRINTED_LINES] + more)]
    return visible("\n".join(lines))


def visible(text: str) -> str:
    """A text with its control characters written out: what code prints must not steer the terminal that shows it."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def trace_lines(trace: Counterexample) -> list[str]:
    """One line per step; the broken one is marked and says what was expected beside what was seen.

    Where the two are too long for the line they stand below it, one below the other, with what differs underlined.
    """
    number = max(len(str(s.n)) for s in trace.steps)
    label = min(max(len(s.label) for s in trace.steps), 48)
    lines = []
    for step in folded(trace.steps):
        below: list[str] = []
        result = f"-> {step.seen}" if step.seen else ""
        if step.broken and step.expected is not None:
            result = f"expected {step.expected}, {trace.whose} {step.seen or 'nothing'}"
            if number + label + len(result) + 6 > WIDTH:
                below = _answers(step.expected, step.seen or "nothing", trace.whose, number + 4)
                result = ""
        note = f"   {step.note}" if step.note else ""
        mark = ">" if step.broken else " "
        lines += [f"{mark} {step.n:>{number}}  {step.label:<{label}}  {result}{note}".rstrip(), *below]
    return lines


def _answers(expected: str, seen: str, whose: str, indent: int) -> list[str]:
    """Both answers, a row of theirs in a line; below a row of the seen one its differing items are underlined."""
    wide = max(len("expected"), len(whose)) + 1
    found = []
    for name, rows in zip(("expected", whose), side_by_side(expected, seen), strict=True):
        for i, row in enumerate(rows):
            head = " " * indent + f"{name if i == 0 else '':<{wide}}"
            found.append((head + " ".join(piece.text for piece in row)).rstrip())
            if name == whose and any(piece.differs for piece in row):
                under = " ".join(_under(piece.text) if piece.differs else " " * len(piece.text) for piece in row)
                found.append((" " * len(head) + under).rstrip())
    return found


def _under(item: str) -> str:
    inner = core(item)
    return (" " * item.index(inner) + "^" * len(inner)).ljust(len(item))


def _wrap(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent) if text else []
