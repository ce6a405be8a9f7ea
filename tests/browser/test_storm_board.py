"""The storm board: drawn from saved state alone, then in a real JupyterLab with knobs and rows that come."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from labkit.observe.series import Series, Worth
from labkit.widgets import Storm, StormBoard
from labkit.widgets.storm_panels import PANELS, PROMISE_PANELS

INK = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colors = new Set();
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] > 200) colors.add(`${data[i] >> 4},${data[i + 1] >> 4},${data[i + 2] >> 4}`);
  }
  return colors.size;
}"""


def open_board(page: Any, browse: Any, folder: Path, widget: StormBoard, dark: bool = False) -> Any:
    browse.open_mounted(page, folder, widget, dark)
    board = page.locator(".lk-storm-board")
    expect(board).to_have_attribute("data-windows", str(len(widget.series)))
    return board


def a_server() -> Series:
    """A hundred seconds; in the second half a third is computed again. Not every figure is told."""
    series = Series(
        "a server",
        {
            "evicted": (Worth.PROXY, "It counts every block that is recycled."),
            "regretted": (Worth.ABSENT, "Nobody tells it."),
            "ttft_p50": (Worth.ABSENT, "It has no clock."),
            "ttft_p99": (Worth.ABSENT, "It has no clock."),
        },
    )
    for at in range(25):
        again = {"recomputed": 300.0, "preempted": 2.0} if at >= 12 else {"recomputed": 0.0, "preempted": 2.0}
        known = {} if 5 <= at < 7 else {"delivered": 500.0 + at, "computed": 900.0, **again}
        series.add(4.0 * at + 4, 4.0, evicted=40.0, held=0.8, cached=0.15, free=0.05, waiting=3, **known)
    return series


def test_every_window_says_its_numbers_and_absent_figures_say_so(page: Any, browse: Any, tmp_path: Path) -> None:
    series = a_server()
    board = open_board(page, browse, tmp_path, StormBoard(series))
    track, sentence = board.get_by_role("slider", name="Time"), board.locator(".lk-storm-sentence")
    track.focus()
    page.keyboard.press("Home")
    for at in range(len(series)):
        expect(board).to_have_attribute("data-at", str(at))
        delivered, said = series["delivered"][at], sentence.inner_text()
        if math.isnan(delivered):
            assert "tokens/s delivered" not in said
        else:
            assert f"At {4 * at + 4} s: {delivered:.0f} tokens/s delivered, 900 computed" in said
        assert "40 cached blocks/s evicted; " in said and "regretted" not in said and "wanted again" not in said
        assert "80% of the blocks held, 15% cached" in said and "3 wait" in said
        assert said in (track.get_attribute("aria-valuetext") or "")
        page.keyboard.press("ArrowRight")
    fired = [(alert["first"], alert["last"]) for alert in StormBoard(series).alerts]
    assert len(fired) == 1
    expect(board.locator(".lk-storm-alert")).to_contain_text("Recomputation")
    page.keyboard.press("Home")
    expect(board.locator(".lk-storm-alerts")).to_contain_text("No alert in this window. 1 alert at another time")
    expect(board).to_have_attribute("data-alerts", "")

    # What is absent is not drawn and says why; a proxy tells its bias by keyboard.
    panels = board.locator(".lk-storm-panel")
    first_token = panels.filter(has_text="First token after")
    expect(first_token.locator(".lk-storm-none")).to_have_text("Not told by this source. It has no clock.")
    expect(first_token.locator("canvas")).to_be_hidden()
    assert board.locator(".lk-storm-panel canvas:visible").count() == 6
    for canvas in board.locator(".lk-storm-panel canvas:visible").all()[:5]:
        assert canvas.evaluate(INK) > 4, "a panel is blank"
    mark = board.get_by_role("button", name="cached blocks evicted: proxy. Why?")
    mark.focus()
    page.keyboard.press("Enter")
    expect(board.locator(".lk-storm-why")).to_have_text(
        "Cached blocks evicted: a proxy. It counts every block that is recycled."
    )
    board.get_by_role("button", name="evicted and wanted again: absent. Why?").click()
    expect(board.locator(".lk-storm-why")).to_have_text("Evicted and wanted again: absent. Nobody tells it.")

    # One cursor over all panels, under the pointer too; leaving lets it go.
    box = panels.nth(2).locator(".lk-storm-plot").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    expect(board).to_have_attribute("data-at", "12")
    assert board.locator(".lk-storm-plot .lk-storm-cursor:visible").count() == 6
    page.mouse.move(5, 5)
    track.focus()
    page.keyboard.press("Escape")
    expect(board).to_have_attribute("data-at", "24")
    assert not page.page_errors and not page.console_errors


def test_thousands_of_windows_are_smooth(page: Any, browse: Any, tmp_path: Path) -> None:
    series = Series("a long day")
    for at in range(6000):
        series.add(at + 1.0, 1.0, delivered=500.0 + at % 97, computed=900.0 + at % 61, evicted=at % 7, held=0.5)
    board = open_board(page, browse, tmp_path, StormBoard(series))
    took = board.locator(".lk-storm-track").evaluate(
        """async (track) => {
             const box = track.getBoundingClientRect(), frames = [];
             for (let i = 0; i < 40; i++) {
               const began = performance.now();
               const at = { clientX: box.left + 12 * i, clientY: box.top + 4 };
               track.dispatchEvent(new PointerEvent("pointermove", at));
               await new Promise(requestAnimationFrame);
               frames.push(performance.now() - began);
             }
             return frames.sort((a, b) => a - b)[20];
           }"""
    )
    assert took < 100, f"a move of the cursor takes {took:.0f} ms in the median"
    expect(board).not_to_have_attribute("data-at", "5999")


def test_a_knob_without_a_kernel_says_so_and_turns_back(page: Any, browse: Any, tmp_path: Path) -> None:
    board = open_board(page, browse, tmp_path, Storm(["seats"], seconds=8.0, yours=False), dark=True)
    seats = board.get_by_role("slider", name="Seats")
    seats.press("End")
    expect(board.locator(".lk-storm-status")).to_contain_text("This page has no kernel.")
    expect(seats).to_have_attribute("aria-valuetext", "64")
    board.locator(".lk-storm-track").press("Home")
    expect(board).to_have_attribute("data-at", "0")
    assert not page.page_errors and not page.console_errors


def test_a_knob_runs_again_and_rows_come_while_it_shows(lab: Any, page: Any, browse: Any) -> None:
    name = lab.write_notebook(
        "storm.ipynb",
        [
            "from labkit.widgets import Storm\nStorm(['seats', 'victim'], seconds=24.0, arrivals_per_s=4.0)",
            "from labkit.observe.series import Series\nfrom labkit.widgets import StormBoard\n"
            "import time\nseries = Series('a feed')\nlive = StormBoard(series, title='Live')\nlive",
            "for at in range(20):\n    series.add(at + 1, 1, delivered=at, computed=at)\n    live.update()\n"
            "    time.sleep(0.06)",
        ],
    )
    panel = browse.open_notebook(page, lab, name)
    browse.set_theme(page, dark=False)
    browse.run_all(page)
    storm, live = panel.locator(".lk-storm-board").nth(0), panel.locator(".lk-storm-board").nth(1)
    expect(storm).to_have_attribute("data-windows", "6")
    status, seats = storm.locator(".lk-storm-status"), storm.get_by_role("slider", name="Seats")
    expect(seats).to_have_attribute("aria-valuetext", "64")
    seats.focus()
    page.keyboard.press("Home")  # a slider's keys stay its own
    expect(status).to_contain_text("Seats 64 → 16: ")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")  # while the first of them is computed
    expect(status).to_contain_text("→ 48: ")
    expect(seats).to_be_focused()
    storm.get_by_role("combobox", name="Who is preempted").select_option("most-blocks")
    expect(status).to_contain_text("Seats 64 → 48, Who is preempted last → most-blocks: ")
    expect(storm.locator(".lk-storm-marks")).to_contain_text("Dotted: the run that the board opened with.")
    expect(live).to_have_attribute("data-at", str(int(live.get_attribute("data-windows") or 0) - 1))
    assert int(live.get_attribute("data-windows") or 0) >= 15 and "live" in live.inner_text()
    browse.set_source(page, "cell-2", "live.close_live()")
    browse.run_cell(page, "cell-2")
    expect(live).to_have_attribute("data-windows", "20")
    expect(live.locator(".lk-storm-sentence")).to_contain_text("At 20 s: 19 tokens/s delivered, 19 computed")
    for dark in (False, True):
        browse.set_theme(page, dark)
        # The canvases are painted anew in the colours of the theme: the upper rule has that of `--lk-line`.
        expect(storm).to_have_attribute("data-line", "rgb(44, 54, 67)" if dark else "rgb(223, 227, 232)")
        browse.shoot(page, f"storm-board-{'dark' if dark else 'light'}", storm)
        assert storm.locator("canvas").first.evaluate(INK) > 4
    browse.set_theme(page, dark=False)
    browse.assert_clean(page)


@pytest.mark.parametrize("width", [1040, 740])
def test_what_users_get_and_what_it_costs_stand_in_one_row(page: Any, browse: Any, tmp_path: Path, width: int) -> None:
    """As wide as the notebook in a window of 1400 and of 1100 pixels: nothing is cut, and no place is empty."""
    page.set_viewport_size({"width": width, "height": 900})
    for shown, big in ((PANELS, 3), (PROMISE_PANELS, 2)):
        board = open_board(page, browse, tmp_path, StormBoard(a_server(), panels=shown))
        panels = board.locator(".lk-storm-big .lk-storm-panel")
        expect(panels).to_have_count(big)
        boxes = [panel.bounding_box() for panel in panels.all()]
        assert len({box["y"] for box in boxes}) == 1
        assert sum(box["width"] for box in boxes) > 0.9 * board.bounding_box()["width"]
        cut = board.evaluate(
            """(board) => [...board.querySelectorAll(".lk-storm-head, .lk-storm-legend, .lk-storm-entry")]
                 .filter((node) => node.scrollWidth > node.clientWidth + 1).map((node) => node.textContent)"""
        )
        assert cut == []
    browse.shoot(page, f"storm-{width}", board)
