"""A widget that needs its kernel says so within five seconds where the kernel is gone, and waits for a busy one."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from labkit.widgets.base import STATIC

SENTENCE = "run this cell again"

SCENE = """
from labkit.observe.events import EventLog
from labkit.widgets import CheckReport, PagePlay, PageTable
from labkit.widgets.quiz import QuizWidget
from labkit.widgets.token_cost import TokenCost
from labkit.widgets.tournament_board import TournamentBoard

def compute(trace, capacities):
    share = {"chat": 0.5, "ring": 0.25}[trace]
    row = {"hit_rate": [share] * len(capacities), "evictions": [8] * len(capacities), "regret": [0.1] * len(capacities)}
    return {"LRU": row, "Belady": row}

verdict = {
    "exercise": "take", "lesson": "04", "verdict": "fail", "kind": "", "rule": "takes-one", "message": "It took two.",
    "rules": [{"name": "takes-one", "state": "broken", "statement": "One block is taken."}],
}
"""
CELLS = [
    SCENE,
    'QuizWidget("04", ["q1"])',
    'CheckReport(verdict, hints=2, on_hint=lambda: "Look at the end.", on_solution=lambda: "return 1")',
    "TokenCost()",
    'TournamentBoard(compute, {"chat": "people talk", "ring": "blocks in a ring"}, [4, 8, 16])',
    "PageTable(EventLog(num_blocks=4, block_size=4), live=True)",
    "PagePlay()",
]


def restart(page: Any) -> None:
    """A new kernel in the place of the old one, as the menu does it."""
    page.evaluate(
        "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
    )


def shut_down(page: Any) -> None:
    page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.sessionContext.shutdown(); }")


def replace_silently(page: Any) -> None:
    """The kernel loses its widgets, and the page is not told: as where its process died and another began."""
    page.evaluate(
        """async () => {
             const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
             const code = "get_ipython().kernel.comm_manager.comms.clear()";
             await kernel.requestExecute({ code }).done;
           }"""
    )


def test_the_page_waits_less_than_five_seconds():
    """Told by its own numbers: on a busy machine any time on the wall passes."""
    waits = dict(re.findall(r"const KERNEL_(\w+) = (\d+);", (STATIC / "kernel.js").read_text(encoding="utf-8")))
    assert int(waits["SILENCE"]) + int(waits["LOOK"]) < 5_000


@pytest.mark.parametrize("lose", [restart, shut_down, replace_silently])
def test_every_widget_that_needs_its_kernel_says_that_it_is_gone(lab, page, browse, lose):
    lab.start_over()  # a question that another test answered takes no answer
    panel = browse.open_notebook(page, lab, lab.write_notebook(f"gone_{lose.__name__}.ipynb", CELLS))
    browse.run_all(page)
    lose(page)

    quiz = browse.cell(page, "cell-1").locator(".lk-quiz")
    quiz.locator(".lkq-body input").fill("1")
    quiz.get_by_role("button", name="Check answer").click()
    expect(quiz).to_contain_text(SENTENCE)
    expect(quiz.get_by_role("button", name="Check answer")).to_be_enabled()

    report = browse.cell(page, "cell-2").locator(".lk-check-report")
    for name in ("Hint 1 of 2", "Solution"):
        asks = report.get_by_role("button", name=name)
        asks.click()
        expect(report).to_contain_text(SENTENCE)
        expect(asks).to_be_enabled()
    expect(report.get_by_role("alert")).to_have_count(1)

    cost = browse.cell(page, "cell-3").locator(".lk-token-cost")
    number = cost.get_by_role("slider").first
    before = number.inner_text()
    number.press("ArrowRight" if number.get_attribute("aria-valuenow") == "0" else "ArrowLeft")
    expect(cost).to_contain_text(SENTENCE)
    expect(number).to_have_text(before)  # what the answer below it stands for

    board = browse.cell(page, "cell-4").locator(".lk-tournament-board")
    board.get_by_label("trace").select_option("ring")
    expect(board).to_contain_text(SENTENCE)
    expect(board.get_by_label("trace")).to_have_value("chat")
    expect(board.locator(".lk-tour-about")).to_have_text("people talk")
    expect(board).not_to_contain_text("waiting for the kernel")

    play = browse.cell(page, "cell-6").locator(".lk-page-play")
    play.get_by_role("button", name="let C in").click()
    expect(play).to_contain_text(SENTENCE)
    expect(play).to_have_attribute("aria-busy", "false")
    play.get_by_role("button", name="First step").click()  # the picture itself needs nobody
    expect(play).to_contain_text("before the first step")
    browse.assert_clean(page)
    expect(panel).not_to_contain_text("Error displaying widget")


TOO_LATE = """
const real = AbortSignal.timeout;
AbortSignal.timeout = (ms) => {
  if (ms !== 2000) return real.call(AbortSignal, ms);
  const now = new AbortController();
  queueMicrotask(() => now.abort());
  return now.signal;
};
"""
"""Every widget comes later than anywidget waits for it, as in a page that was busy for two seconds."""


BUSY = """
import os, pathlib, time
pathlib.Path("pid").write_text(str(os.getpid()))
while not pathlib.Path("go").exists():
    time.sleep(0.05)
"""


def test_a_busy_kernel_is_waited_for_and_heard_in_a_page_that_was_busy(lab, page, browse):
    page.add_init_script(TOO_LATE)
    pid, go = lab.work / "pid", lab.work / "go"
    go.touch()
    browse.open_notebook(page, lab, lab.write_notebook("busy.ipynb", [*CELLS, BUSY]))
    browse.run_all(page)
    board = browse.cell(page, "cell-4").locator(".lk-tournament-board")
    expect(board.locator(".lk-tour-about")).to_have_text("people talk")
    go.unlink()
    browse.cell(page, f"cell-{len(CELLS)}")
    browse.command(page, "notebook:run-cell")
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'"
    )
    page.wait_for_timeout(500)
    board = browse.cell(page, "cell-4").locator(".lk-tournament-board")
    os.kill(int(pid.read_text()), signal.SIGSTOP)  # busy through and through: its subshell, too, answers nobody
    board.get_by_label("trace").select_option("ring")
    expect(board).to_contain_text("waiting for the kernel")
    expect(board.locator(".lk-tour-about")).to_have_text("people talk")  # the curves are still those of the old trace
    page.wait_for_timeout(5_000)
    expect(board).not_to_contain_text(SENTENCE)
    os.kill(int(pid.read_text()), signal.SIGCONT)
    go.touch()
    expect(board.locator(".lk-tour-about")).to_have_text("blocks in a ring")
    assert any("Failed to initialize model" in error for error in page.page_errors), "no widget came too late"
    browse.assert_clean(page)
