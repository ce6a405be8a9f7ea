"""What stands below a prediction is on the page before the cell between them has run: it does not answer."""

from __future__ import annotations

import re

import pytest

from labkit import specs
from labkit.authoring import layout, master
from labkit.grading.quiz import load

# Where the right answer is no number: how a text would say it.
SAID = {
    "01": ("mask, none", "all four"),
    "03": ("slot 0", "48 slots"),
    "04": ("None, and",),
    "05": ("Refused", "False"),
    "06": ("5 blocks", "one copy", "never copies"),
    "07": ("last block again", "whole block"),
    "09": ("nothing, in", "none of them"),
    "16": ("a fifth",),
    "17": ("within one per cent", "times as long", "stay about"),
    "18": ("hundred",),
    "19": ("most of the storms", "a third of the"),
}
LESSONS = [lesson.number for lesson in specs.lessons() if lesson.number != "00"]


def below(number: str) -> str:
    """All text between the cell that reveals the first prediction of a lesson and the next heading."""
    (path,) = layout.masters([specs.lesson(number).key])
    cells = master.read(path).cells
    at = next(i for i, cell in enumerate(cells) if f'predict("{number}", "p1")' in cell.source)
    text = next(cell.source for cell in cells[at + 2 :] if cell.kind == "markdown")
    return text.split("\n## ")[0].split("\n### ")[0]


@pytest.mark.parametrize("number", LESSONS)
def test_it_does_not_say_the_answer(number: str) -> None:
    question = load(number).question("p1").instance(0)
    asked = {*re.findall(r"\d[\d,.]*\d|\d", question.question.data["text"])}
    right = [option.plain for option in question.options if option.right] or [question.output or f"{question.answer:g}"]
    numbers = {n for n in re.findall(r"\d[\d,.]*\d|\d\d", right[0]) if n not in asked}
    text = below(number)
    assert text
    assert not [n for n in numbers if re.search(rf"(?<![\d,.]){re.escape(n)}(?![\d,])", text)]
    assert not [words for words in SAID.get(number, ()) if words.lower() in text.lower()]
    assert numbers or number in SAID, "say in SAID how a text would give it away"
