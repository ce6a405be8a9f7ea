"""A learner's way through lesson 04 in a real JupyterLab: stub, replay, pass, a quiz by keyboard, a reload."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import expect

from labkit.grading.progress import Progress
from labkit.grading.quiz import load

KEY = "04_block_pool"
POOL = """%%exercise BlockPool
class BlockPool:
    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.waiting = list(range(num_blocks))

    @property
    def num_free(self) -> int:
        return len(self.waiting)

    def allocate(self, n: int) -> list[int] | None:
        {allocate}

    def free(self, blocks: list[int]) -> None:
        self.waiting += blocks
"""
RIGHT = POOL.format(allocate="if n > len(self.waiting):\n            return None\n"
                             "        return [self.waiting.pop(0) for _ in range(n)]")
LEAKY = POOL.format(allocate="out = []\n        for _ in range(n):\n            if not self.waiting:\n"
                             "                return None\n            out.append(self.waiting.pop(0))\n"
                             "        return out")


@pytest.fixture(scope="module")
def notebook(lab: Any) -> str:
    return lab.fresh_copy(KEY)


def pool_box(browse: Any, page: Any, cell_id: str) -> Any:
    return browse.cell(page, cell_id).get_by_label(re.compile("^Block pool, lesson 04")).first


def test_a_learner_fails_replays_passes_and_comes_back(lab: Any, page: Any, browse: Any, notebook: str) -> None:
    browse.open_notebook(page, lab, notebook)
    browse.run_all(page)

    # The untouched stub: a verdict with a counterexample, and the notebook runs to its end.
    stub = browse.report(page, "ex-block-pool")
    expect(stub).to_contain_text("not written yet")
    expect(stub.get_by_role("listitem").first).to_contain_text("BlockPool(")
    expect(pool_box(browse, page, "finish")).to_have_attribute("aria-label", re.compile("reference"))
    stub.get_by_role("button", name=re.compile("^Replay from")).click()
    expect(stub.get_by_role("slider", name="Step", exact=True)).to_be_visible()
    browse.shoot(page, "lesson-04-stub")

    # A wrong one: the rule, the failing line, and the replay opens there.
    browse.set_source(page, "ex-block-pool", LEAKY)
    browse.run_cell(page, "ex-block-pool")
    wrong = browse.report(page, "ex-block-pool")
    expect(wrong).to_contain_text("refused-means-unchanged")
    expect(wrong.locator(".lk-op-broken")).to_contain_text("num_free")
    expect(wrong).to_contain_text("one by one")
    wrong.get_by_role("button", name=re.compile("^Hint 1 of 3")).click()
    expect(wrong).to_contain_text("which lines of your code have already run")
    replay = wrong.get_by_role("button", name=re.compile("^Replay from"))
    failing = int(re.search(r"\d+", replay.inner_text()).group())
    replay.click()
    step = wrong.get_by_role("slider", name="Step", exact=True)
    expect(step).to_be_visible()
    assert int(step.input_value()) == failing
    browse.shoot(page, "lesson-04-wrong", wrong)
    page.set_viewport_size({"width": 1180, "height": 1020})
    browse.command(page, "application:toggle-left-area")  # this one is the picture in the README
    page.evaluate("() => document.querySelector('.jp-WindowedPanel-outer').scrollBy(0, 240)")
    page.wait_for_timeout(500)
    browse.shoot(page, "readme")
    browse.command(page, "application:toggle-left-area")

    # A right one: passed, and the engine map turns.
    browse.set_source(page, "ex-block-pool", RIGHT)
    browse.run_cell(page, "ex-block-pool")
    right = browse.report(page, "ex-block-pool")
    expect(right).to_contain_text(re.compile("passed|7 rules hold"))
    browse.run_cell(page, "finish")
    expect(pool_box(browse, page, "finish")).to_have_attribute("aria-label", re.compile("yours"))
    assert Progress(lab.home).passed(KEY, "BlockPool")

    # A quiz with the keyboard alone: number key and Enter, then a typed answer.
    browse.cell(page, "predict-p1").get_by_role("radio").first.focus()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(browse.cell(page, "predict-p1")).to_contain_text("Your prediction is kept")
    page.keyboard.press("Enter")  # the focus is on "Compare with what the cell showed"
    expect(browse.cell(page, "predict-p1")).to_contain_text("Two blocks are free, three were asked for")
    first = next(q for q in load(KEY).graded if q.id == "q1").instance(Progress(lab.home).seed())
    n = int(re.search(r"BlockPool\((\d+)\)", json.dumps(first.shown())).group(1))
    field = browse.cell(page, "quiz").locator(".lk-quiz").get_by_role("textbox").first
    field.focus()
    page.keyboard.type(f"None {n - 2}")
    page.keyboard.press("Enter")
    expect(browse.cell(page, "quiz")).to_contain_text("a refusal changes nothing")
    browse.shoot(page, "lesson-04-quiz", browse.cell(page, "quiz"))
    browse.save(page)

    # Everything is still there after the page is loaded again, in the dark as well.
    browse.open_notebook(page, lab, notebook)
    browse.set_theme(page, dark=True)
    browse.run_all(page)
    assert "self.waiting += blocks" in page.evaluate(
        "() => JSON.stringify(window.jupyterapp.shell.currentWidget.content.model.toJSON())")
    expect(browse.report(page, "ex-block-pool")).to_contain_text(re.compile("passed|7 rules hold"))
    expect(pool_box(browse, page, "finish")).to_have_attribute("aria-label", re.compile("yours"))
    expect(browse.cell(page, "quiz").get_by_role("button", name=re.compile("^Question 1, .*right"))).to_be_visible()
    expect(browse.cell(page, "predict-p1").get_by_role("radio").first).to_be_checked()
    browse.cell(page, "ex-block-pool")
    browse.shoot(page, "lesson-04-dark")
    answers = Progress(lab.home).answers(KEY)
    assert answers["q1"]["correct"] and answers["p1"]["correct"]
    browse.assert_clean(page)
