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
CYCLE = """%%exercise insert
def insert(root, tokens, blocks, page_bytes):
    leaf = RadixNode(tokens, blocks, root)
    root.children[tokens[:page_bytes]] = leaf
    leaf.children[b"zz"] = root
    return leaf, 0
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

    # The replay opens at the failing step, and goes back to the tree as it was before.
    button = wrong.get_by_role("button", name=re.compile("^Replay from"))
    failing = int(re.search(r"\d+", button.inner_text()).group())
    button.click()
    replay = wrong.locator(".lk-replay")
    expect(replay).to_have_attribute("data-step", str(failing))
    expect(replay).to_have_attribute("data-nodes", "2")
    expect(replay).to_have_attribute("data-locked", "1")
    expect(replay).to_contain_text("This step breaks locks-go-with-the-way.")
    for dark in (True, False):
        browse.set_theme(page, dark)
        browse.shoot(page, f"lesson-08-wrong-{'dark' if dark else 'light'}", browse.report(page, "ex-split"))
    replay.get_by_role("slider", name="Step", exact=True).focus()
    page.keyboard.press("ArrowLeft")
    expect(replay).to_have_attribute("data-nodes", "1")
    expect(replay).to_contain_text("a request locks the way to 'aabb'")
    page.keyboard.press("Home")
    expect(replay).to_contain_text("before the first step")
    button.click()
    expect(replay).to_be_hidden()

    # A tree that bites its tail is drawn as far as it goes.
    browse.set_source(page, "ex-insert", CYCLE)
    browse.run_cell(page, "ex-insert")
    cycle = browse.report(page, "ex-insert")
    expect(cycle).to_contain_text("links-fit")
    cycle.get_by_role("button", name=re.compile("^Replay from")).click()
    expect(cycle.locator(".lk-replay")).to_have_attribute("data-nodes", "1")
    expect(cycle.locator(".lk-replay")).to_contain_text("hangs a node that has its place elsewhere in the tree")

    # A right one passes and is kept, and the two caches run on it.
    browse.set_source(page, "ex-split", RIGHT)
    browse.run_cell(page, "ex-split")
    expect(browse.report(page, "ex-split")).to_contain_text(re.compile("passed|8 rules hold"))
    assert Progress(lab.home).passed(KEY, "split")
    browse.run_cell(page, "one-trace")
    expect(browse.cell(page, "one-trace")).to_contain_text("radix  hit rate")

    # Operations that convict nobody are told why.
    browse.run_cell(page, "ex-break-it")
    broken = browse.report(page, "ex-break-it")
    expect(broken).to_contain_text("no edge was cut here")
    broken.get_by_role("button", name=re.compile("^Replay from")).click()
    expect(broken.locator(".lk-replay canvas")).to_be_visible()

    # A question, answered with the keyboard.
    question = next(q for q in load(KEY).graded if q.id == "q1").instance(Progress(lab.home).seed())
    field = browse.cell(page, "quiz").locator(".lk-quiz").get_by_role("textbox").first
    field.focus()
    page.keyboard.type(str(question.answer))
    page.keyboard.press("Enter")
    expect(browse.cell(page, "quiz")).to_contain_text("Whole pages only")
    assert Progress(lab.home).answers(KEY)["q1"]["correct"]
    browse.assert_clean(page)
