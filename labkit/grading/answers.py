"""An expected answer and the one that was seen, laid out to be read beside each other, with what differs marked.

Both are texts by now (`labkit.grading.display`). A list of lists, or a tensor, has a line for each of its rows; an
answer is taken apart between its items and never within one; items that stand in the same place are as wide as each
other, so that the two line up.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import NamedTuple

_OPEN, _CLOSE = "[({", "])}"
CUT = "..."
"""What stands for the middle of an answer that is too long (`display.shorten`)."""
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|<[^<>]*>""")

_KIND = re.compile(r"(?<=[])}]) \((?:[^()]|\([^()]*\))*\)$")
"""What `display.show_both` puts behind an answer to tell its type, dtype and shape."""

_RAISED = re.compile(r"[A-Za-z_]\w*(?:Error|Exception|Iteration|Interrupt|Exit): ")
"""How an exception is shown, where no answer came back."""


class Piece(NamedTuple):
    """An item of an answer with the brackets and the comma that it touches, and whether the other answer has another.

    `text` is as wide as the item in the same place of the other answer, filled up with blanks.
    """

    text: str
    differs: bool = False


Line = list[Piece]


def side_by_side(expected: str, seen: str) -> tuple[list[Line], list[Line]]:
    """Two answers as lines of pieces, the expected one first. Where nothing agrees, nothing is marked."""
    due, mine = lines(expected), lines(seen)
    same_form = [len(line) for line in due] == [len(line) for line in mine]
    if same_form:
        marks = [[core(a) != core(b) for a, b in zip(x, y, strict=True)] for x, y in zip(due, mine, strict=True)]
        marked = marks, marks
    else:
        marked = _marks(due, mine)
    nothing_agrees = bool(_RAISED.match(seen)) or any(all(mark for row in side for mark in row) for side in marked)
    if nothing_agrees:
        marked = [[False] * len(line) for line in due], [[False] * len(line) for line in mine]
    widths = _widths([*due, *mine]) if same_form and (len(due) > 1 or not nothing_agrees) else []
    return _pieces(due, marked[0], widths), _pieces(mine, marked[1], widths)


def lines(text: str) -> list[list[str]]:
    """The items of an answer in lines: where lists stand in a list, a line for each of them."""
    if kind := _KIND.search(text):
        *rows, last = lines(text[: kind.start()])
        return [*rows, [*last, kind[0].strip()]]
    items: list[tuple[str, int]] = []  # with how many brackets are open behind each
    depth = deepest = begin = at = 0
    while at < len(text):
        if quoted := _QUOTED.match(text, at):
            at = quoted.end()
            continue
        sign = text[at]
        depth += (sign in _OPEN) - (sign in _CLOSE)
        deepest = max(deepest, depth)
        if sign == " " and at > begin and text[at - 1] != ":":
            if text[begin:at] == CUT:  # how many brackets are open is known from the end
                rest = _QUOTED.sub("", text[at:])
                depth = sum(rest.count(b) for b in _CLOSE) - sum(rest.count(b) for b in _OPEN)
            items.append((text[begin:at], depth))
            begin = at + 1
        at += 1
    items.append((text[begin:], depth))
    if deepest < 2 or text[:1] not in _OPEN:
        return [[item for item, _ in items]]
    found: list[list[str]] = []
    before = deepest  # how many brackets are open where a line begins; as many blanks stand there
    for item, behind in items:
        if not found or (before < deepest and found[-1][-1].endswith((",", CUT))):
            found.append([" " * (before if found else 0) + item])
        else:
            found[-1].append(item)
        before = behind
    return found


def core(item: str) -> str:
    """What is compared of an item: it without the brackets and the comma that the place asks for."""
    return item.strip(" ,[](){}") or item


def _marks(due: list[list[str]], mine: list[list[str]]) -> tuple[list[list[bool]], list[list[bool]]]:
    """What differs between answers of another form: what has no counterpart in the same order."""
    left, right = ([core(item) for line in side for item in line] for side in (due, mine))
    matched: tuple[set[int], set[int]] = (set(), set())
    for block in SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks():
        matched[0].update(range(block.a, block.a + block.size))
        matched[1].update(range(block.b, block.b + block.size))

    def of(side: list[list[str]], same: set[int]) -> list[list[bool]]:
        count = iter(range(sum(map(len, side))))
        return [[next(count) not in same for _ in line] for line in side]

    return of(due, matched[0]), of(mine, matched[1])


def _widths(rows: list[list[str]]) -> list[int]:
    """How wide each column is; none where the rows are not equally long."""
    if len({len(row) for row in rows}) != 1:
        return []
    return [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]


def _pieces(rows: list[list[str]], marks: list[list[bool]], widths: list[int]) -> list[Line]:
    return [
        [
            Piece(item.ljust(widths[i]) if widths and i < len(row) - 1 else item, mark)
            for i, (item, mark) in enumerate(zip(row, marked, strict=True))
        ]
        for row, marked in zip(rows, marks, strict=True)
    ]
