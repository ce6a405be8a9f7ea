"""What holds for the pages of every lesson: they begin with a picture, and neither a prediction nor a claim to judge is
given away by what stands around it.
"""

from __future__ import annotations

import json
import re

import pytest

from labkit import specs
from labkit.authoring import layout, master
from labkit.grading.quiz import load
from labkit.grading.quiz_verify import VERDICTS, verdict

# Where the right answer is no number: how a text would say it.
SAID = {
    "01": ("mask, none", "all four"),
    "03": ("slot 0", "48 slots"),
    "04": ("None, and",),
    "05": ("Refused", "False"),
    "06": ("5 blocks", "one copy", "never copies"),
    "07": ("last block again", "whole block"),
    "09": ("nothing, in", "none of them"),
    "12": ("exactly", "as many", "the same sectors", "times"),
    "11": ("somebody else", "behind src"),
    "15": ("eight", "hardly", "costs the others"),
    "16": ("a fifth",),
    "17": ("within one per cent", "times as long", "stay about"),
    "18": ("hundred",),
    "19": ("most of the storms", "a third of the"),
    "21": ("thirty",),
}
CLAIMS = {
    "01": "True", "02": "False", "03": "Too broad", "04": "Too broad", "05": "True", "06": "False", "07": "Too broad",
    "08": "True", "09": "False", "10": "True", "11": "Too broad", "12": "False", "13": "True", "14": "Too broad",
    "15": "True", "16": "False", "17": "True", "18": "False",
    "19": "Too broad", "20": "Too broad", "21": "False",
}  # fmt: skip
LESSONS = [lesson.number for lesson in specs.lessons() if lesson.number != "00"]
PICTURES = dict.fromkeys(LESSONS, "play-widget") | {"00": "destination-picture", "01": "play"}
"""The cell with the opening picture."""


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


@pytest.mark.parametrize(("number", "picture"), PICTURES.items())
def test_at_most_eight_lines_of_code_stand_above_the_opening_picture(number: str, picture: str) -> None:
    """That leaves room for picture, legend and replay in a window of 1400 x 900."""
    (path,) = layout.masters([specs.lesson(number).key])
    found = {cell.id: cell for cell in master.read(path).cells if cell.kind == "code"}
    assert len(found[picture].source.splitlines()) <= 8
    above = list(found)[: list(found).index(picture)]
    symptom = ([], ["doctor"], ["symptom-numbers"], ["symptom-times"], ["symptom-numbers", "symptom-curves"])
    assert above[0] == "start" and above[1:] in symptom


@pytest.mark.parametrize("number", [number for number in LESSONS if number > "10"])
def test_no_table_is_wider_than_a_small_window(number: str) -> None:
    """A window of 1100 pixels with its side bar shows 84 characters; a longer line breaks, and its columns are lost."""
    notebook = json.loads(layout.files(specs.lesson(number).key).solved.read_text(encoding="utf-8"))
    outputs = [(cell["id"], output) for cell in notebook["cells"] for output in cell.get("outputs", ())]
    printed = [(id, "".join(it["text"]).splitlines()) for id, it in outputs if it["output_type"] == "stream"]
    alike = [(id, rows) for id, lines in printed for rows in zip(lines, lines[1:], lines[2:], strict=False)]
    assert alike
    tables = {id for id, rows in alike if min(map(len, rows)) > 84}
    assert not tables


@pytest.mark.parametrize(("number", "right"), CLAIMS.items())
def test_a_claim_s_verdict_cannot_be_told_from_its_form(number: str, right: str) -> None:
    """Beside what `labkit quiz lint` holds for all of them (`labkit.grading.quiz_verify`)."""
    options = load(number).question("verify").instance(0).options
    verdicts = [verdict(option.plain) for option in options]
    assert set(verdicts) == set(VERDICTS)
    assert [v for v, option in zip(verdicts, options, strict=True) if option.right] == [right]
    lengths = [len(option.plain) for option in options]
    if number < "10":
        assert max(lengths) - min(lengths) <= 12 and max(lengths) <= 1.15 * min(lengths)
    if number in ("08", "09"):  # the right judgement is not enough: there is a wrong reason for it
        assert verdicts.count(right) == 2
