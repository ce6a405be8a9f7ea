"""A learner's way through lesson 05 in a real JupyterLab: a stub fails, a wrong table shows why, a right one passes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from labkit.grading.progress import Progress
from labkit.grading.quiz import load

KEY = "05_block_tables"
TABLE = """%%exercise BlockTable
class BlockTable:
    def __init__(self, pool, block_size: int) -> None:
        self.pool = pool
        self.block_size = block_size
        self.blocks = []
        self.num_tokens = 0

    def append(self, n: int = 1) -> bool:
        needed = {needed}
        taken = self.pool.allocate(needed)
        if taken is None:
            return False
        self.blocks += taken
        self.num_tokens += n
        return True

    def slot(self, position: int) -> int:
        return self.slots(position, position + 1)[0]

    def slots(self, start: int, stop: int) -> list[int]:
        if stop > self.num_tokens:
            raise BlockError("no such token")
        return slot_mapping(self.blocks, start, stop, self.block_size)

    def release(self) -> None:
        while self.blocks:
            self.pool.free([self.blocks.pop()])
        self.num_tokens = 0
"""
RIGHT = TABLE.format(needed="blocks_needed(self.num_tokens + n, self.block_size) - len(self.blocks)")
EVERY_APPEND_ANEW = TABLE.format(needed="blocks_needed(n, self.block_size)")


@pytest.fixture(scope="module")
def notebook(lab: Any) -> str:
    return lab.fresh_copy(KEY)


def test_a_learner_steps_fails_passes_and_answers(lab: Any, page: Any, browse: Any, notebook: str) -> None:
    browse.open_notebook(page, lab, notebook)
    browse.run_all(page)

    # The widget at the top moves with the keyboard: the last step is A's, in blocks that B had.
    play = browse.cell(page, "play-widget")
    step = play.get_by_role("slider", name="Step", exact=True).first
    step.focus()
    page.keyboard.press("End")
    expect(play).to_contain_text("append(A, 8)")
    page.keyboard.press("ArrowLeft")
    expect(play).to_contain_text("append(C, 16)")
    browse.shoot(page, "lesson-05-play", play)

    # The block size follows the arrow keys and the pointer, and the sentence follows the block size.
    size = browse.cell(page, "block-size-play")
    number = size.get_by_role("slider", name="tokens a block")
    number.focus()
    page.keyboard.press("Home")
    expect(number).to_have_attribute("aria-valuetext", "1 token a block")
    expect(size).to_contain_text("leave 0 slots empty")
    box = number.bounding_box()
    page.mouse.move(box["x"] + 4, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 4 + 18 * 4, box["y"] + 8, steps=6)
    page.mouse.up()
    expect(number).to_have_text("16")
    expect(size).to_contain_text("(B − 1) / 2 is 7.5")
    browse.shoot(page, "lesson-05-block-size", size)

    # The untouched stub fails, and the notebook ran to its end on the reference.
    expect(browse.report(page, "ex-block-table")).to_contain_text("not written yet")
    expect(browse.cell(page, "decode-widget")).to_contain_text("The table at work: reference")

    # A wrong one: the rule, the sentence for this mistake, the replay at the failing step.
    browse.set_source(page, "ex-block-table", EVERY_APPEND_ANEW)
    browse.run_cell(page, "ex-block-table")
    wrong = browse.report(page, "ex-block-table")
    expect(wrong).to_contain_text("as-many-blocks-as-needed")
    expect(wrong).to_contain_text("Every append begins a new block")
    wrong.get_by_role("button", name=re.compile("^Replay from")).click()
    expect(wrong.get_by_role("slider", name="Step", exact=True)).to_be_visible()
    browse.shoot(page, "lesson-05-wrong", wrong)

    # A right one passes, fills its box of the engine map and runs under the next picture.
    browse.set_source(page, "ex-block-table", RIGHT)
    browse.run_cell(page, "ex-block-table")
    expect(browse.report(page, "ex-block-table")).to_contain_text(re.compile("passed|9 rules hold"))
    assert Progress(lab.home).passed(KEY, "BlockTable")
    browse.run_cell(page, "decode-widget")
    expect(browse.cell(page, "decode-widget")).to_contain_text("The table at work: yours")
    browse.run_cell(page, "finish")
    box = browse.cell(page, "finish").get_by_label(re.compile("^Block table, lesson 05")).first
    expect(box).to_have_attribute("aria-label", re.compile("yours"))

    # A question, answered with the keyboard.
    question = next(q for q in load(KEY).graded if q.id == "q1").instance(Progress(lab.home).seed())
    field = browse.cell(page, "quiz").locator(".lk-quiz").get_by_role("textbox").first
    field.focus()
    page.keyboard.type(str(question.answer))
    page.keyboard.press("Enter")
    expect(browse.cell(page, "quiz")).to_contain_text("the offset stays")
    assert Progress(lab.home).answers(KEY)["q1"]["correct"]
    browse.shoot(page, "lesson-05-quiz", browse.cell(page, "quiz"))
    browse.assert_clean(page)
