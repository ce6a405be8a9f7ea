"""A learner's way through lesson 07 in a real JupyterLab: a stub fails, a wrong cache shows why, a right one passes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from labkit.grading.progress import Progress
from labkit.grading.quiz import load

KEY = "07_hash_prefix_cache"
CACHE = """%%exercise register_release
class QueuePrefixCache(QueueCacheBase):
    def register(self, hashes, blocks) -> None:
        for i, key in enumerate(hashes):
            if blocks[i] not in self.hash_of:
                self.hash_of[blocks[i]] = key
                self.by_hash.add(key, blocks[i])

    def release(self, blocks) -> None:
        for block in self.refs.drop({order}):
            if block in self.hash_of:
                self.queue.append(block)
            else:
                self.refs.recycle([block])
"""
RIGHT = CACHE.format(order="blocks[::-1]")
HEAD_FIRST = CACHE.format(order="blocks")


@pytest.fixture(scope="module")
def notebook(lab: Any) -> str:
    return lab.fresh_copy(KEY)


def test_a_learner_steps_fails_passes_and_answers(lab: Any, page: Any, browse: Any, notebook: str) -> None:
    browse.open_notebook(page, lab, notebook)
    browse.run_all(page)

    # The widget at the top opens where two requests have left, and moves with the keyboard.
    play = browse.cell(page, "play-widget")
    expect(play).to_contain_text("blocks 0, 1, 3, 4 stay findable")
    step = play.get_by_role("slider", name="Step", exact=True).first
    step.focus()
    page.keyboard.press("End")
    expect(play).to_contain_text("12 tokens are cached: blocks 0, 1, 3")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(play).to_contain_text("block 4 evicted to make room")
    browse.shoot(page, "lesson-07-play", play)

    # The untouched stub fails, and the notebook ran to its end on the reference.
    expect(browse.report(page, "ex-register-release")).to_contain_text("not written yet")
    expect(browse.cell(page, "at-work")).to_contain_text("The prefix cache at work: reference")

    # A wrong one: the rule, the sentence for this mistake, and the replay of its blocks.
    browse.set_source(page, "ex-register-release", HEAD_FIRST)
    browse.run_cell(page, "ex-register-release")
    wrong = browse.report(page, "ex-register-release")
    expect(wrong).to_contain_text("tail-goes-first")
    expect(wrong).to_contain_text("The first block of the sequence enters the queue first")
    wrong.get_by_role("button", name=re.compile("^Replay from")).click()
    expect(wrong.get_by_role("slider", name="Step", exact=True)).to_be_visible()
    browse.shoot(page, "lesson-07-wrong", wrong)

    # A right one passes, fills its box of the engine map, and the manager runs on it.
    browse.set_source(page, "ex-register-release", RIGHT)
    browse.run_cell(page, "ex-register-release")
    expect(browse.report(page, "ex-register-release")).to_contain_text(re.compile("passed|11 rules hold"))
    assert Progress(lab.home).passed(KEY, "register_release")
    browse.run_cell(page, "at-work")
    expect(browse.cell(page, "at-work")).to_contain_text("The prefix cache at work: yours")
    browse.run_cell(page, "finish")
    box = browse.cell(page, "finish").get_by_label(re.compile("^Prefix cache, lesson 07")).first
    expect(box).to_have_attribute("aria-label", re.compile("yours"))

    # Operations that convict nobody are told so.
    browse.run_cell(page, "ex-break-it")
    expect(browse.report(page, "ex-break-it")).to_contain_text("kept every rule")

    # A question, answered with the keyboard.
    question = next(q for q in load(KEY).graded if q.id == "q1").instance(Progress(lab.home).seed())
    field = browse.cell(page, "quiz").locator(".lk-quiz").get_by_role("textbox").first
    field.focus()
    page.keyboard.type(str(question.answer))
    page.keyboard.press("Enter")
    expect(browse.cell(page, "quiz")).to_contain_text("Whole blocks that are equal to their end")
    assert Progress(lab.home).answers(KEY)["q1"]["correct"]
    browse.assert_clean(page)
