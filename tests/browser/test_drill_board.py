"""The drill board: a play to its score with mouse and keyboard, and what a saved page of it does without a kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from labkit.drills.bots import oracle
from labkit.drills.catalog import drill
from labkit.drills.course import playable
from labkit.drills.drill import CAUSES, COSTS
from labkit.drills.play import Play
from labkit.widgets import DrillBoard

HEALTHY, STORM = "a-dozen-preemptions", "room-for-the-answer"


def right(name: str, seed: int) -> Play:
    found = drill(name)
    return oracle(Play(found, playable(found, seed)), np.random.default_rng(0))


def question(board: Any, text: str) -> None:
    expect(board.locator(".lkd-question")).to_contain_text(text)


def drag(page: Any, plot: Any, first: int, last: int, windows: int) -> None:
    """From the middle of one window of a panel to that of another."""
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    at = [box["x"] + box["width"] * (window + 0.5) / windows for window in (first, last)]
    page.mouse.move(at[0], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(sum(at) / 2, box["y"] + 30, steps=3)
    page.mouse.move(at[1], box["y"] + 30, steps=3)
    page.mouse.up()


def test_a_drill_is_played_to_its_score_with_mouse_and_keyboard(lab: Any, page: Any, browse: Any) -> None:
    play = right(STORM, 4711)
    assert play.convicting and play.ruling_out and play.convicting.figure == "recomputed"
    name = lab.write_notebook(
        "drill.ipynb", [f"from labkit.widgets import DrillBoard\nboard = DrillBoard({STORM!r}, seed=4711)\nboard"]
    )
    panel = browse.open_notebook(page, lab, name)
    browse.set_theme(page, dark=False)
    browse.run_all(page)
    board = panel.locator(".lk-drill-board")
    question(board, "What on this board proves the cause?")
    assert "Raise the watermark" not in board.inner_text()

    # By mouse: a click on the figure, a drag over its panel; too short a stretch is refused in a sentence.
    pick = board.get_by_role("button", name="tokens recomputed")
    expect(board.locator(".lkd-pin")).to_have_text("No figure yet; 0–15 s (windows 0 to 2)")  # where no trouble is
    pick.click()
    expect(pick).to_have_attribute("aria-pressed", "true")
    plot = board.locator(".lk-storm-panel").filter(has_text="Preemptions/s").locator(".lk-storm-plot")
    drag(page, plot, 20, 21, 24)
    expect(board.locator(".lkd-pin")).to_contain_text("windows 20 to 21; 3 windows at least")
    pin_it = board.get_by_role("button", name="Pin it", exact=True)
    pin_it.click()
    expect(board.get_by_role("alert")).to_contain_text("Windows 20 to 21 cannot be pinned")
    drag(page, plot, play.convicting.last, play.convicting.first, 24)
    windows = f"(windows {play.convicting.first} to {play.convicting.last})"
    seconds = f"{5 * play.convicting.first}–{5 * play.convicting.last + 5} s"
    expect(board.locator(".lkd-pin")).to_have_text(f"tokens computed again after a preemption, {seconds} {windows}")
    browse.shoot(page, "drill-pin", board)
    pin_it.click()
    question(board, "What rules another cause out?")
    expect(board.locator(".lkd-budget-text")).not_to_contain_text("400 of 400")

    # By keyboard from here on: its keys stay in the widget, and focus goes on with the question.
    expect(board.locator(".lkd-question")).to_be_focused()
    page.keyboard.press("Tab")
    expect(board.get_by_label("It is not this")).to_be_focused()
    page.keyboard.type(CAUSES[play.rival][:12])
    page.keyboard.press("Tab")
    page.keyboard.type("time between tokens, 99")
    expect(board.get_by_label("Figure")).to_have_value("itl_p99")
    page.keyboard.press("Tab")
    for name, at in (("To", play.ruling_out.last), ("From", play.ruling_out.first)):
        field = board.get_by_label(name, exact=True)
        field.focus()
        page.keyboard.press("Home")
        for _ in range(at):
            page.keyboard.press("ArrowRight")
        expect(field).to_have_value(str(at))
    expect(board.get_by_label("To", exact=True)).to_have_value(str(play.ruling_out.last))
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    question(board, "Where do you look next?")
    expect(board.locator(".lkd-story")).to_contain_text(f"“{CAUSES[play.rival]}”")

    look = next(look for look in play.options.looks if look.name == play.look)
    radio = board.get_by_role("radio", name=look.what)
    board.get_by_role("radio").first.focus()
    page.keyboard.press("Space")
    while not radio.is_checked():
        page.keyboard.press("ArrowDown")
    expect(radio).to_be_focused()
    for says, meaning in look.outcomes:
        board.get_by_label(says).select_option(meaning or "nothing")
    board.get_by_role("button", name="Look", exact=True).press("Enter")
    question(board, "What is the cause?")
    expect(board.locator(".lkd-story")).to_contain_text(play.outcome)

    # A move is taken back and made again.
    board.get_by_role("radio", name=CAUSES["small-pool"]).check()
    board.get_by_role("button", name="This is it").click()
    question(board, "What do you change?")
    board.get_by_role("button", name="Take the last move back").click()
    question(board, "What is the cause?")
    board.get_by_role("radio", name=CAUSES[play.diagnosis]).check()
    board.get_by_role("button", name="This is it").click()
    for fix in play.fixes:
        title = next(one.title for one in play.drill.case.fixes if one.name == fix)
        board.get_by_role("checkbox", name=title).check()
    board.get_by_label("And what does that cost?").select_option(label=COSTS[play.cost])
    browse.shoot(page, "drill-change", board)
    board.get_by_role("button", name="Change it, and see").click()
    question(board, "100 of 100")
    expect(board.locator(".lkd-debrief")).to_contain_text("10 pairs of runs with the same requests")
    expect(board.get_by_role("link", name=play.drill.incident.name)).to_have_attribute("href", play.drill.incident.link)
    board.get_by_role("button", name="As it was").click()
    expect(board.locator(".lkd-stands")).to_have_count(2)
    for dark in (True, False):
        browse.set_theme(page, dark)
        browse.shoot(page, f"drill-score-{'dark' if dark else 'light'}", board)

    # The best run stands beside the next, whose numbers are others.
    board.get_by_role("button", name="Again, with other numbers").click()
    question(board, "What on this board proves the cause?")
    expect(board).to_contain_text("best run 100 of 100, 1 change")
    assert "seed=4711" not in board.locator(".lkd-share").inner_text()
    browse.assert_clean(page)


@pytest.mark.parametrize("dark", [False, True])
def test_a_saved_play_stands_as_it_was_and_says_that_it_has_no_kernel(
    page: Any, browse: Any, tmp_path: Path, dark: bool
) -> None:
    widget = DrillBoard(HEALTHY, seed=4711)
    play = right(HEALTHY, 4711)
    assert play.convicting is not None
    widget.move("convict", **play.convicting._asdict())
    browse.open_mounted(page, tmp_path, widget, dark)
    board = page.locator(".lk-drill-board")
    question(board, "What rules another cause out?")
    expect(board.locator(".lkd-mark.lkd-stands")).to_have_count(1)
    board.locator(".lk-storm-track").press("Home")
    expect(board.locator(".lk-storm-sentence")).to_contain_text("At 5 s")
    assert board.get_by_role("alert").count() == 0  # to look at a saved board needs no kernel
    board.get_by_label("It is not this").select_option(play.rival)
    board.get_by_label("Figure").select_option("held")
    board.get_by_role("button", name="Pin it, and show the options").click()
    expect(board.get_by_role("alert")).to_contain_text("This page has no kernel.")
    expect(board.get_by_label("It is not this")).to_have_value(play.rival)  # what was chosen is not lost
    if not dark:
        for width in (700, 420):
            page.set_viewport_size({"width": width, "height": 1000})
            assert board.evaluate("(node) => node.scrollWidth - node.clientWidth") <= 1
            first, last = (board.get_by_label(end, exact=True).bounding_box() for end in ("From", "To"))
            assert first["y"] == last["y"] and abs(first["width"] - last["width"]) < 2  # one window, one line
        browse.shoot(page, "drill-narrow", board)
        page.set_viewport_size({"width": 1280, "height": 1000})
    assert not page.page_errors and not page.console_errors
