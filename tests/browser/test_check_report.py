"""A report as it is read: answers one below the other, rows that line up, and a card that stays while it checks."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from labkit.grading.mistakes import bank
from labkit.grading.solutions import solutions

PLACES = """(nodes) => nodes.map((node) => {
  const box = node.getBoundingClientRect();
  return { left: Math.round(box.left), top: Math.round(box.top), text: node.textContent };
})"""
BROKEN = """(nodes) => nodes.filter((node) => {
  const line = parseFloat(getComputedStyle(node).lineHeight);
  return node.getBoundingClientRect().height > 1.5 * line;
}).map((node) => node.textContent)"""


def report_of(lab: Any, page: Any, browse: Any, lesson: str, exercise: str, source: str, name: str) -> Any:
    start = f'from labkit.lesson import start\nstart("{lesson}")'
    browse.open_notebook(page, lab, lab.write_notebook(name, [start, f"%%exercise {exercise}\n{source}"]))
    browse.run_all(page)
    report = browse.report(page, "cell-1")
    expect(report).to_be_visible()
    return report


def wrong(lesson: str, exercise: str, name: str) -> str:
    return next(m.source for m in bank(lesson).mistakes if (m.exercise, m.name) == (exercise, name))


@pytest.mark.parametrize("width", [1400, 700])
def test_both_answers_line_up_and_what_differs_is_underlined(lab: Any, page: Any, browse: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    source = (
        "def waste_by_kind(reservations, holes, wanted):\n"
        "    return {'used': 3, 'reservation': 4, 'internal': 8, 'external': 0, 'free': 0}\n"
    )
    report = report_of(lab, page, browse, "03", "waste_by_kind", source, f"waste-{width}.ipynb")
    words = report.locator(".lk-op-word")
    expect(words).to_have_text(["expected", "yours"])
    due, mine = report.locator(".lk-answers code").evaluate_all(PLACES)
    assert due["left"] == mine["left"] and due["top"] < mine["top"]
    items = [side.locator(".lk-item").evaluate_all(PLACES) for side in report.locator(".lk-answers code").all()]
    assert [item["left"] for item in items[0]] == [item["left"] for item in items[1]], "item stands below item"
    assert report.locator(".lk-item").evaluate_all(BROKEN) == [], "no item of a list is broken in two"
    marks = report.locator(".lk-answers mark")
    assert marks.count() >= 2
    assert "underline" in marks.first.evaluate("(node) => getComputedStyle(node).textDecorationLine")
    browse.shoot(page, f"report-answers-{width}", report)
    browse.assert_clean(page)


def test_a_tensor_has_a_line_for_each_row(lab: Any, page: Any, browse: Any) -> None:
    pytest.importorskip("torch")
    source = "def causal_attend(Q, K, V):\n    return V.clone()\n"
    report = report_of(lab, page, browse, "01", "causal_attend", source, "tensor.ipynb")
    rows = [side.locator(".lk-row-of").evaluate_all(PLACES) for side in report.locator(".lk-answers code").all()]
    assert len(rows[0]) == len(rows[1]) >= 2
    assert len({row["left"] for side in rows for row in side}) == 1
    tops = [row["top"] for side in rows for row in side]
    assert tops == sorted(set(tops)), "one below the other, the expected ones first"
    browse.set_theme(page, True)
    browse.shoot(page, "report-tensor-dark", report)
    browse.assert_clean(page)


def test_a_passed_break_it_shows_how_the_wrong_one_fell(lab: Any, page: Any, browse: Any) -> None:
    source = solutions("06")["break_two_requests"]
    report = report_of(lab, page, browse, "06", "break_two_requests", source, "fell.ipynb")
    expect(report.locator(".lk-tag")).to_contain_text("2 of 2 rules hold")
    expect(report.locator(".lk-op-broken .lk-op-word")).to_have_text(["expected", "the wrong one"])
    report.get_by_role("button", name="Replay").click()
    expect(report.get_by_role("slider", name="Step", exact=True)).to_be_visible()
    browse.shoot(page, "report-break-it", report)
    browse.assert_clean(page)


def test_the_old_report_says_checking_until_the_new_one_is_there(lab: Any, page: Any, browse: Any) -> None:
    source = wrong("04", "BlockPool", "takes-then-gives-up")
    report_of(lab, page, browse, "04", "BlockPool", source, "checking.ipynb")
    page.evaluate(
        """() => {
             const cell = window.jupyterapp.shell.currentWidget.content.widgets[1].node;
             const outputs = cell.querySelector('.jp-Cell-outputWrapper');
             globalThis.seen = [];
             const look = () => {
               const ghost = outputs.querySelector('.lk-checking');
               if (ghost) globalThis.seen.push({
                 tag: ghost.querySelector('.lk-tag').textContent, inert: ghost.inert, height: ghost.offsetHeight,
                 faint: getComputedStyle(ghost.querySelector('.lk-ops')).opacity,
               });
               requestAnimationFrame(look);
             };
             look();
           }"""
    )
    before = browse.report(page, "cell-1").evaluate("(node) => node.offsetHeight")
    browse.run_cell(page, "cell-1")
    page.wait_for_function("() => globalThis.seen.length && !document.querySelector('.lk-checking')")
    seen = page.evaluate("() => globalThis.seen")
    assert {(each["tag"], each["inert"]) for each in seen} == {("checking", True)}
    assert all(abs(each["height"] - before) <= 2 for each in seen) and max(float(each["faint"]) for each in seen) < 0.6
    expect(browse.report(page, "cell-1").locator(".lk-tag")).to_contain_text("1 of 7 rules broken")
    browse.assert_clean(page)
