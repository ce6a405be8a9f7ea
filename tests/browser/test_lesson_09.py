"""A learner's way through lesson 09 in a real JupyterLab: the board, a stub, a wrong and a right policy, a question."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from labkit.grading.progress import Progress

KEY = "09_eviction_tournament"
LRU = """%%exercise LRU
class LRU(Policy):
    def __init__(self) -> None:
        self.now, self.when, self.ready = 0, {{}}, set()

    def released(self, blocks: list[int]) -> None:
        {released}

    def add(self, block: int) -> None:
        self.ready.add(block)

    def remove(self, block: int) -> None:
        self.ready.remove(block)

    def evict(self) -> int:
        block = min(self.ready, key=self.when.get)
        self.ready.remove(block)
        return block
"""
RIGHT = LRU.format(released="self.now += 1\n        self.when |= dict.fromkeys(blocks, self.now)")
FIRST_USE = LRU.format(released="self.now += 1\n        for block in blocks:\n"
                                "            self.when.setdefault(block, self.now)")


@pytest.fixture(scope="module")
def notebook(lab: Any) -> str:
    return lab.fresh_copy(KEY)


def test_a_learner_plays_fails_and_passes(lab: Any, page: Any, browse: Any, notebook: str) -> None:
    browse.open_notebook(page, lab, notebook)
    browse.run_all(page, seconds=240)
    expect(browse.report(page, "ex-lru")).to_contain_text("not written yet")
    expect(browse.report(page, "ex-my-policy")).to_contain_text("not written yet")

    # The board: on the ring LRU finds nothing just before the ring fits.
    board = browse.cell(page, "play-widget").locator(".lk-tournament-board")
    board.get_by_role("combobox", name="trace").select_option("ring")
    expect(board).to_have_attribute("aria-busy", "false")
    expect(board.locator(".lk-tour-about")).to_contain_text("110 prompts")
    row = board.locator("tbody tr", has=page.get_by_role("button", name="LRU", exact=True))
    expect(row).to_contain_text("0.0%")
    browse.shoot(page, "lesson-09-ring", board)

    browse.set_source(page, "ex-lru", FIRST_USE)
    browse.run_cell(page, "ex-lru")
    wrong = browse.report(page, "ex-lru")
    expect(wrong).to_contain_text("a-new-use-makes-young")
    expect(wrong).to_contain_text("setdefault keeps the first time")
    browse.shoot(page, "lesson-09-wrong", wrong)

    browse.set_source(page, "ex-lru", RIGHT)
    browse.run_cell(page, "ex-lru")
    expect(browse.report(page, "ex-lru")).to_contain_text(re.compile("passed|5 rules hold"))
    browse.run_cell(page, "lru-at-work")
    expect(browse.cell(page, "lru-at-work")).to_contain_text("yours")
    browse.run_cell(page, "finish")
    expect(browse.cell(page, "finish").get_by_label(re.compile("^Eviction, lesson 09")).first).to_have_attribute(
        "aria-label", re.compile("yours"))
    assert Progress(lab.home).passed(KEY, "LRU")

    # The prediction, with the keyboard alone.
    browse.cell(page, "predict-p1").get_by_role("radio").first.focus()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(browse.cell(page, "predict-p1")).to_contain_text("Your prediction is kept")
    browse.assert_clean(page)


def test_the_solved_lesson_in_both_themes(lab: Any, page: Any, browse: Any) -> None:
    name = lab.fresh_copy(KEY, "solved-09.ipynb", solved=True)
    browse.open_notebook(page, lab, name)
    browse.run_all(page, seconds=240)
    for dark in (False, True):
        browse.set_theme(page, dark=dark)
        for cell in ("play-widget", "ex-lru", "strip-back", "counters", "ex-break-it", "board-with-mine",
                     "tournament", "ex-my-policy"):
            browse.shoot(page, f"lesson-09-{cell}-{'dark' if dark else 'light'}", browse.cell(page, cell))
    strip = browse.cell(page, "strip-once").locator(".lk-eviction-strip").first
    expect(strip).to_contain_text("nothing that was evicted was wanted again")
    expect(browse.cell(page, "counters")).to_contain_text("answers outgrow memory")
    browse.assert_clean(page)
