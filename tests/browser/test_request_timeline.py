"""The request timeline drawn from its saved state alone: every cell says what happened, by keys and by pointer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from labkit.engine import kv_cache_manager
from labkit.observe.timeline import Doing, Timeline
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request
from labkit.scheduling.scheduler import Scheduler
from labkit.specs.continuous_batching.scenes import watched
from labkit.widgets import RequestTimeline

SAYS = {
    Doing.WAITING: " waits.",
    Doing.PREFILL: " of what it has",
    Doing.DECODE: "computes one token and gives the next",
    Doing.PREEMPTED: "gives its memory up",
    Doing.IDLE: "the budget is spent before it",
}


def timeline(num_blocks: int, requests: list[tuple[str, int, int]], **knobs: Any) -> Timeline:
    manager = kv_cache_manager(num_blocks, 4, yours=False, prefix_cache=None)
    scheduler = Scheduler(manager, SchedulerConfig(full_sequence=False, **knobs))
    return watched(scheduler, [Request(name, range(prompt), max_tokens) for name, prompt, max_tokens in requests])


def open_widget(page: Any, browse: Any, folder: Path, widget: RequestTimeline) -> Any:
    browse.open_mounted(page, folder, widget)
    board = page.locator(".lk-request-timeline")
    expect(board).to_have_attribute("data-steps", str(len(next(iter(widget.timelines.values())))))
    return board


def test_every_cell_says_what_its_request_did(page: Any, browse: Any, tmp_path: Path) -> None:
    seen = timeline(6, [("A", 6, 8), ("B", 9, 8), ("C", 12, 2)], token_budget=8, longest_chunk=4)
    board = open_widget(page, browse, tmp_path, RequestTimeline(seen))
    canvas, sentence = board.locator("canvas").first, board.locator(".lk-timeline-sentence")
    expect(sentence).to_contain_text("3 requests in")
    canvas.focus()
    said = {}
    for row in range(3):
        page.keyboard.press("Home")
        for step in range(len(seen)):
            if step:
                page.keyboard.press("ArrowRight")
            expect(board).to_have_attribute("data-focus", f"{row},{step}")
            said[row, step] = sentence.text_content()
        page.keyboard.press("ArrowDown")
    cells = {(int(cell["row"]), int(cell["step"])): cell for cell in seen.cells()}
    assert {Doing(int(cell["doing"])) for cell in cells.values()} >= {Doing.WAITING, Doing.PREEMPTED, Doing.DECODE}
    for place, text in said.items():
        if place in cells:
            assert SAYS[Doing(int(cells[place]["doing"]))] in text, (place, text)
            again, tokens = int(cells[place]["again"]), int(cells[place]["tokens"])
            some = f"{again} of them computed before" if again < tokens else "has, computed before"
            assert not again or some in text, (place, text)
        else:
            assert "has ended" in text or "has not come" in text
    page.keyboard.press("Escape")
    expect(board).to_have_attribute("data-focus", "")


def test_many_requests_are_zoomed_and_moved_and_runs_are_changed(page: Any, browse: Any, tmp_path: Path) -> None:
    many = timeline(400, [(f"r{i}", 1 + 7 * i % 40, 1 + 5 * i % 60) for i in range(300)], token_budget=64)
    few = timeline(16, [("A", 3, 4), ("B", 5, 2)])
    board = open_widget(page, browse, tmp_path, RequestTimeline({"many": many, "few": few}))
    expect(board).to_have_attribute("data-rows", "300")
    canvas = board.locator("canvas").first
    canvas.focus()
    for _ in range(3):
        page.keyboard.press("+")
    page.keyboard.press("End")
    expect(board.locator(".lk-timeline-window")).to_contain_text(f"to {len(many) - 1} of {len(many)}")
    board.get_by_role("button", name="few").click()
    expect(board).to_have_attribute("data-steps", str(len(few)))
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 80, box["y"] + 5)
    expect(board.locator(".lk-timeline-sentence")).to_contain_text("Step 0, A:")


def test_what_is_computed_again_is_hatched_however_narrow_its_cell(page: Any, browse: Any, tmp_path: Path) -> None:
    """A number is left out where its plate would cover the hatch."""
    seen = timeline(10, [("A", 6, 26), ("B", 9, 26)], token_budget=9)
    board = open_widget(page, browse, tmp_path, RequestTimeline(seen))
    again = [[int(cell["row"]), int(cell["step"])] for cell in seen.cells() if cell["again"]]
    for width in (700, 900, 1200):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(200)
        rows = board.evaluate(
            """(board, cells) => {
                 const canvas = board.querySelector("canvas"), scale = canvas.width / canvas.clientWidth;
                 const wide = Math.min(46, (canvas.clientWidth - 78) / board.dataset.steps);
                 return cells.map(([row, step]) => {
                   const long = Math.floor((wide - 2) * scale), at = Math.round((22 * row + 11) * scale);
                   const from = Math.round((76 + step * wide) * scale);
                   const data = canvas.getContext("2d").getImageData(from, at, long, 1).data;
                   return Array.from({ length: long }, (_, i) => data[4 * i] + data[4 * i + 1] + data[4 * i + 2]);
                 });
               }""",
            again,
        )
        assert len(rows) > 1 and len(rows[0]) > 10
        for pixels in rows:
            for end in (pixels[:5], pixels[-5:]):
                assert max(end) - min(end) > 120, (width, pixels)
