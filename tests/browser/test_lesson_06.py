"""A learner's way through lesson 06 in a real JupyterLab: stub, a replayed mistake, a pass, the widget, a question."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from labkit.grading.progress import Progress
from labkit.grading.quiz import load

KEY = "06_sharing"
COUNTS = """%%exercise RefCounts
from collections import Counter

class RefCounts:
    def __init__(self, pool) -> None:
        self.pool, self.holders = pool, Counter()

    @property
    def num_blocks(self) -> int:
        return self.pool.num_blocks

    @property
    def num_free(self) -> int:
        return self.pool.num_free

    def count(self, block: int) -> int:
        return self.holders[block]

    def allocate(self, n: int) -> list[int] | None:
        blocks = self.pool.allocate(n)
        self.holders.update(blocks or [])
        return blocks

    def share(self, blocks: list[int]) -> None:
        self.holders.update(blocks)

    def drop(self, blocks: list[int]) -> list[int]:
        self.holders.subtract(blocks)
        return [block for block in blocks if not self.holders[block]]

    def recycle(self, blocks: list[int]) -> None:
        self.pool.free(blocks)

    def free(self, blocks: list[int]) -> None:
        self.recycle(self.drop(blocks))
"""
IN_PLACE = """%%exercise append_cow
def append_cow(table: BlockTable, n: int = 1) -> list[tuple[int, int]] | None:
    return [] if table.append(n) else None
"""


@pytest.fixture(scope="module")
def notebook(lab: Any) -> str:
    return lab.fresh_copy(KEY)


def test_a_learner_fails_replays_and_passes(lab: Any, page: Any, browse: Any, notebook: str) -> None:
    browse.open_notebook(page, lab, notebook)
    browse.run_all(page, 240)

    # The untouched stubs fail, and the notebook runs to its end on the course's own parts.
    expect(browse.report(page, "ex-ref-counts")).to_contain_text("not written yet")
    expect(browse.report(page, "ex-append-cow")).to_contain_text("not written yet")
    expect(browse.cell(page, "use-fork")).to_contain_text("63 blocks")

    # A right one in another style passes.
    browse.set_source(page, "ex-ref-counts", COUNTS)
    browse.run_cell(page, "ex-ref-counts")
    expect(browse.report(page, "ex-ref-counts")).to_contain_text(re.compile("passed|8 rules hold"))
    assert Progress(lab.home).passed(KEY, "RefCounts")

    # One that writes where somebody else reads: the rule, the sentence, and a replay with a shared block.
    browse.set_source(page, "ex-append-cow", IN_PLACE)
    browse.run_cell(page, "ex-append-cow")
    wrong = browse.report(page, "ex-append-cow")
    expect(wrong).to_contain_text("shared-block-is-never-written")
    expect(wrong).to_contain_text("which A holds too")
    wrong.get_by_role("button", name=re.compile("^Replay from")).click()
    board = wrong.locator(".lk-board").first
    expect(board).to_be_visible()
    expect(wrong.locator(".lk-badges text").first).to_have_text("2")
    browse.shoot(page, "lesson-06-wrong", wrong)

    # The learner's counts are under the play widget now; it moves by keyboard and shows the copy as it is made.
    browse.run_cell(page, "play-widget")
    card = browse.cell(page, "play-widget").locator(".lk-page-table")
    expect(card).to_have_attribute("data-step", "4")
    expect(card.locator(".lk-board-sentence")).to_contain_text("copy-on-write: block 2 is shared with A and C")
    expect(card.locator(".lk-badges text")).to_have_text(["2", "3", "3"])
    browse.shoot(page, "lesson-06-play", card)
    card.get_by_role("slider", name="Step", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(card).to_have_attribute("data-step", "6")
    expect(card.locator(".lk-board-sentence")).to_contain_text("which it holds alone")
    page.keyboard.press("End")
    expect(card).to_have_attribute("data-held", "0")

    # A question, answered by keyboard.
    values = next(q for q in load(KEY).graded if q.id == "q1").instance(Progress(lab.home).seed())
    t, b, n = (int(x) for x in re.findall(r"\d+", values.shown()["text"])[:3])
    field = browse.cell(page, "quiz").locator(".lk-quiz").get_by_role("textbox").first
    field.focus()
    page.keyboard.type(str(t // b + n))
    page.keyboard.press("Enter")
    expect(browse.cell(page, "quiz")).to_contain_text("a part-filled one for each sequence")
    for number in "4":
        browse.cell(page, "quiz").get_by_role("button", name=re.compile(f"^Question {number}")).click()
        browse.shoot(page, f"lesson-06-quiz-{number}", browse.cell(page, "quiz"))

    browse.set_theme(page, dark=True)
    browse.shoot(page, "lesson-06-dark", browse.cell(page, "beams-widget"))
    browse.assert_clean(page)
