"""A learner's way through lesson 08 in a real JupyterLab: stepping, failing, passing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from labkit.grading.progress import Progress
from labkit.grading.quiz import load

KEY = "08_radix_prefix_cache"
SPLIT = """%%exercise split
def split(node, pages, page_bytes):
    if not 0 < pages < len(node.blocks):
        raise CacheError("cut inside the edge")
    cut = pages * page_bytes
    upper = RadixNode(key=node.key[:cut], blocks=node.blocks[:pages], parent=node.parent)
    upper.locks, upper.last_used = {locks}, node.last_used
    node.parent.children[upper.key[:page_bytes]] = upper
    node.parent, node.key, node.blocks = upper, node.key[cut:], node.blocks[pages:]
    upper.children[node.key[:page_bytes]] = node
    return upper
"""
RIGHT = SPLIT.format(locks="node.locks")
FORGETS = SPLIT.format(locks="0")


@pytest.fixture(scope="module")
def notebook(lab: Any) -> str:
    return lab.fresh_copy(KEY)


def test_a_learner_steps_fails_passes_and_answers(lab: Any, page: Any, browse: Any, notebook: str) -> None:
    browse.open_notebook(page, lab, notebook)
    browse.run_all(page)

    # The tree at the top opens where the first edge was cut, and moves with the keyboard.
    play = browse.cell(page, "play-widget")
    expect(play).to_contain_text("16 of 24 letters were cached")
    step = play.get_by_role("slider", name="Step", exact=True).first
    step.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(play).to_contain_text("0 of 24 letters were cached")
    page.keyboard.press("End")
    expect(play).to_contain_text('F asks: "Be kind. What is a leaf?"')
    browse.shoot(page, "lesson-08-play", play)

    # The untouched stubs fail, and the notebook ran to its end on the reference.
    expect(browse.report(page, "ex-match")).to_contain_text("not written yet")
    expect(browse.cell(page, "one-trace")).to_contain_text("entries")

    # A wrong one: the rule, and the sentence for this mistake.
    browse.set_source(page, "ex-split", FORGETS)
    browse.run_cell(page, "ex-split")
    wrong = browse.report(page, "ex-split")
    expect(wrong).to_contain_text("locks-go-with-the-way")
    expect(wrong).to_contain_text("the new node is locked by nobody")
    browse.shoot(page, "lesson-08-wrong", wrong)

    # A right one passes and is kept, and the two caches run on it.
    browse.set_source(page, "ex-split", RIGHT)
    browse.run_cell(page, "ex-split")
    expect(browse.report(page, "ex-split")).to_contain_text(re.compile("passed|8 rules hold"))
    assert Progress(lab.home).passed(KEY, "split")
    browse.run_cell(page, "one-trace")
    expect(browse.cell(page, "one-trace")).to_contain_text("radix  hit rate")

    # Operations that convict nobody are told why.
    browse.run_cell(page, "ex-break-it")
    expect(browse.report(page, "ex-break-it")).to_contain_text("no edge was cut here")

    # A question, answered with the keyboard.
    question = next(q for q in load(KEY).graded if q.id == "q1").instance(Progress(lab.home).seed())
    field = browse.cell(page, "quiz").locator(".lk-quiz").get_by_role("textbox").first
    field.focus()
    page.keyboard.type(str(question.answer))
    page.keyboard.press("Enter")
    expect(browse.cell(page, "quiz")).to_contain_text("Whole pages only")
    assert Progress(lab.home).answers(KEY)["q1"]["correct"]
    browse.assert_clean(page)
