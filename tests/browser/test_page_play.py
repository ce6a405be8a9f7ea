"""The page table to play with, in a real JupyterLab: by click and by key, until it is full, and cancelled twice."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from labkit.widgets import PagePlay

CELLS = [
    "from labkit.widgets import PagePlay\nPagePlay(tables=True)",
    'PagePlay(pool="CheckedPool")',
]


def wait(card: Any, done: int) -> None:
    """Until the kernel has done so many operations."""
    expect(card).to_have_attribute("data-done", str(done))


def test_let_in_until_full_then_cancelled_twice(lab: Any, page: Any, browse: Any) -> None:
    panel = browse.open_notebook(page, lab, lab.write_notebook("page-play.ipynb", CELLS))
    browse.set_theme(page, dark=False)
    browse.run_all(page)
    trusting, checked = (panel.locator(".lk-page-play").nth(i) for i in range(2))
    board = trusting.locator("[data-step]")
    expect(trusting).to_contain_text("BlockTable: reference")

    for done, name in enumerate("CDEF", start=1):
        trusting.get_by_role("button", name=f"let {name} in").click()
        wait(trusting, done)
    expect(trusting).to_contain_text("Full: F wants 3 blocks, and 0 are free. 5 requests are in.")
    expect(board).to_have_attribute("data-held", "12")
    browse.shoot(page, "page-play-full-light", trusting)

    # B is chosen and grows by keys; nothing of it reaches the notebook.
    cells = panel.locator(".jp-CodeCell").count()
    page.keyboard.press("2")
    expect(trusting.get_by_role("button", name="request B")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("g")
    wait(trusting, 5)
    expect(trusting.get_by_role("button", name="request B, 6 tokens")).to_be_visible()
    expect(board).to_have_attribute("data-step", "7")
    page.keyboard.press("t")
    wait(trusting, 6)
    expect(trusting).to_contain_text(
        "came back twice, and no error was raised: num_free says 4, where 2 of 12 are free"
    )
    for done in (7, 8):
        page.keyboard.press("n")
        wait(trusting, done)
    expect(trusting).to_contain_text("this race counts for nothing")
    assert panel.locator(".jp-CodeCell").count() == cells

    # The replay of what was played goes back and forth; a button plays on from the end.
    trusting.get_by_role("button", name="First step").click()
    expect(board).to_have_attribute("data-held", "0")
    page.keyboard.press("0")
    wait(trusting, 9)
    expect(board).to_have_attribute("data-step", "2")
    expect(trusting.get_by_role("button", name="start over")).to_be_visible()

    checked.get_by_role("button", name="request A").click()
    checked.get_by_role("button", name="cancel A twice").click()
    wait(checked, 1)
    expect(checked).to_contain_text("Refused the second time. The course's CheckedPool raised DoubleFreeError")
    expect(checked).to_contain_text("num_free 10")
    browse.set_theme(page, dark=True)
    browse.shoot(page, "page-play-checked-dark", checked)
    page.set_viewport_size({"width": 900, "height": 900})
    for card in (trusting, checked):
        assert card.evaluate("(node) => node.scrollWidth - node.clientWidth") <= 1
    browse.shoot(page, "page-play-narrow-dark", trusting)
    browse.set_theme(page, dark=False)
    browse.assert_clean(page)


def test_saved_it_is_a_picture_that_says_where_to_play(page: Any, browse: Any, tmp_path: Any) -> None:
    shown = PagePlay(tables=True)
    for _ in range(4):
        shown.do("admit")
    browse.open_mounted(page, tmp_path, shown)
    card = page.locator(".lk-page-play")
    expect(card.locator("[data-step]")).to_have_attribute("data-held", "12")
    expect(card).to_contain_text("Full: F wants 3 blocks")
    card.get_by_role("button", name="end E").click()
    expect(card).to_contain_text("This page has no kernel.")
    browse.shoot(page, "page-play-saved", card)
