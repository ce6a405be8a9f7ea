"""What one lesson shows and no other: the page loaded again, the picture in the README, trees that are none."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from labkit.grading.mistakes import bank
from labkit.grading.progress import Progress

CYCLE = """%%exercise insert
def insert(root, tokens, blocks, page_bytes):
    leaf = RadixNode(tokens, blocks, root)
    root.children[tokens[:page_bytes]] = leaf
    leaf.children[b"zz"] = root
    return leaf, 0
"""


def mistake(lesson: str, exercise: str, name: str) -> str:
    found = next(m for m in bank(lesson).mistakes if (m.exercise, m.name) == (exercise, name))
    return f"%%exercise {exercise}\n{found.source}"


def test_lesson_04_is_as_it_was_left_when_the_page_is_loaded_again(lab: Any, page: Any, browse: Any) -> None:
    notebook = lab.fresh_copy("04_block_pool", "left.ipynb")
    browse.open_notebook(page, lab, notebook)
    browse.run_all(page)
    browse.set_source(page, "ex-block-pool", mistake("04", "BlockPool", "takes-then-gives-up"))
    browse.run_cell(page, "ex-block-pool")
    wrong = browse.report(page, "ex-block-pool")
    wrong.get_by_role("button", name=re.compile("^Hint 1 of 3")).click()
    wrong.get_by_role("button", name=re.compile("^Replay from")).click()
    expect(wrong.get_by_role("slider", name="Step", exact=True)).to_be_visible()
    page.set_viewport_size({"width": 1180, "height": 1020})
    browse.command(page, "application:toggle-left-area")  # the picture in the README
    page.evaluate("() => document.querySelector('.jp-WindowedPanel-outer').scrollBy(0, 240)")
    browse.shoot(page, "readme")
    browse.command(page, "application:toggle-left-area")

    right = next(r for r in bank("04").right if r.exercise == "BlockPool")
    browse.set_source(page, "ex-block-pool", f"%%exercise BlockPool\n{right.source}")
    browse.run_cell(page, "ex-block-pool")
    browse.cell(page, "predict-p1").get_by_role("radio").first.focus()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(browse.cell(page, "predict-p1")).to_contain_text("Your prediction is kept")
    page.keyboard.press("Enter")  # the focus is on "Compare with what the cell showed"
    expect(browse.cell(page, "predict-p1")).to_contain_text("Two blocks are free, three were asked for")
    browse.save(page)

    browse.open_notebook(page, lab, notebook)
    browse.set_theme(page, dark=True)
    browse.run_all(page)
    expect(browse.report(page, "ex-block-pool")).to_contain_text(re.compile(r"passed|\d rules hold"))
    box = browse.cell(page, "finish").get_by_label(re.compile("^Block pool, lesson 04")).first
    expect(box).to_have_attribute("aria-label", re.compile("yours"))
    expect(browse.cell(page, "predict-p1").get_by_role("radio").first).to_be_checked()
    assert Progress(lab.home).answers("04_block_pool")["p1"]["correct"]
    browse.assert_clean(page)


def test_the_trees_of_lesson_08_are_replayed_also_where_they_are_none(lab: Any, page: Any, browse: Any) -> None:
    browse.open_notebook(page, lab, lab.fresh_copy("08_radix_prefix_cache", "trees.ipynb"))
    browse.run_cell(page, "start")
    browse.set_source(page, "ex-split", mistake("08", "split", "forgets-the-locks"))
    browse.run_cell(page, "ex-split")
    wrong = browse.report(page, "ex-split")
    button = wrong.get_by_role("button", name=re.compile("^Replay from"))
    failing = int(re.search(r"\d+", button.inner_text())[0])
    button.click()
    replay = wrong.locator(".lk-replay")
    expect(replay).to_have_attribute("data-step", str(failing))
    expect(replay).to_have_attribute("data-nodes", "2")
    expect(replay).to_have_attribute("data-locked", "1")
    expect(replay).to_contain_text("This step breaks locks-go-with-the-way.")
    replay.get_by_role("slider", name="Step", exact=True).focus()
    page.keyboard.press("ArrowLeft")
    expect(replay).to_have_attribute("data-nodes", "1")
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
    browse.assert_clean(page)
