"""Widgets come back: after a reload, after a restart, and in a notebook that is opened again without its kernel."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

SCENE = """
from labkit.observe.events import EventLog, Kind
from labkit.widgets import PageTable

def table(n):
    log = EventLog(num_blocks=8, block_size=4)
    log.begin(f"take {n % 8}")
    log.emit(Kind.ALLOCATE, "A", n % 8, 0)
    return PageTable(log, title=f"Table {n}")
"""
MANY = 80

SURVEY = """async () => {
  const panel = window.jupyterapp.shell.currentWidget.content, cells = panel.model.cells, found = [];
  for (let i = 0; i < cells.length; i++) {
    const cell = cells.get(i);
    if (cell.type !== 'code' || !cell.outputs.length) continue;
    await panel.scrollToItem(i, 'smart');
    const wanted = () => {
      let n = 0;
      for (let j = 0; j < cell.outputs.length; j++)
        if (cell.outputs.get(j).data['application/vnd.jupyter.widget-view+json']) n++;
      return n;
    };
    const cards = () => panel.widgets[i].node.querySelectorAll('.lk-card').length;
    for (let tries = 0; tries < 100 && cards() < wanted(); tries++) await new Promise((go) => setTimeout(go, 100));
    found.push({ id: cell.id, wanted: wanted(), cards: cards() });
  }
  return found;
}"""


def survey(page: Any) -> list[dict[str, Any]]:
    """Walk down the notebook so that all of it is drawn: how many widgets each cell has and how many are shown."""
    return page.evaluate(SURVEY)


def missing(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [cell for cell in found if cell["cards"] != cell["wanted"]]


def imports(page: Any) -> int:
    return page.evaluate("() => globalThis.__labkit?.imports ?? 0")


def end_kernel(page: Any) -> None:
    page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.sessionContext.shutdown(); }")


def test_eighty_widgets_load_the_code_once_and_survive_a_reload(lab, page, browse):
    cells = [SCENE, *(f"table({n})" for n in range(MANY))]
    name = lab.write_notebook("eighty.ipynb", cells)
    browse.open_notebook(page, lab, name)
    browse.run_all(page)
    assert missing(survey(page)) == [] and imports(page) == 1
    browse.save(page)
    saved = json.loads((lab.work / name).read_text())["metadata"]["widgets"]
    states = saved["application/vnd.jupyter.widget-state+json"]["state"]
    kinds = [entry["state"].get("_kind") for entry in states.values()]
    assert kinds.count("page_table") == MANY and len(kinds) == MANY + 2  # and the library, and one layout
    for _ in range(2):
        browse.open_notebook(page, lab, name)
        assert missing(survey(page)) == [] and imports(page) == 1
    browse.assert_clean(page)


def test_a_lesson_reopens_as_it_was(lab, page, browse):
    """Lesson 04, run and saved, has all it showed when it is opened with a new kernel; so it has saved once more."""
    name = lab.fresh_copy("04", "reopened.ipynb")
    browse.open_notebook(page, lab, name)
    browse.run_all(page)
    before = survey(page)
    assert missing(before) == [] and sum(cell["wanted"] for cell in before) > 10
    for _ in range(2):
        browse.save(page)  # the second time no widget has a kernel, and JupyterLab alone would save none of them
        end_kernel(page)
        browse.open_notebook(page, lab, name)
        assert survey(page) == before
    expect(page.locator(browse.PANEL)).not_to_contain_text("Error displaying widget")


def test_a_widget_that_jupyterlab_gave_up_on_is_shown(lab, page, browse):
    """`model not found` is final in JupyterLab, even where the model came a moment later; here it is drawn again."""
    name = lab.write_notebook("late.ipynb", [SCENE, "table(1)"])
    panel = browse.open_notebook(page, lab, name)
    browse.run_all(page)
    card = panel.locator(".lk-page-table")
    expect(card).to_be_visible()
    # What JupyterLab leaves where it gives up on an output of a busy page: the model is there, and no view of it.
    left = page.evaluate(
        """async () => {
             const area = window.jupyterapp.shell.currentWidget.content.widgets[1].outputArea;
             const inside = (widget) => [widget, ...[...(widget.children?.() ?? [])].flatMap(inside)];
             const renderer = inside(area).find((widget) => widget._manager);
             const manager = await renderer._manager.promise;
             const output = area.model.get(0).data['application/vnd.jupyter.widget-view+json'];
             const model = await manager.get_model(output.model_id);
             model.views = {};
             renderer.node.textContent = "Error displaying widget: model not found";
             const left = area.node.querySelectorAll('.lk-page-table').length;
             manager.restored.emit();
             return left;
           }"""
    )
    assert left == 0
    expect(card).to_be_visible()
    browse.assert_clean(page)


def test_the_code_comes_again_after_its_model_was_closed(lab, page, browse):
    name = lab.write_notebook("closed.ipynb", [SCENE, "import ipywidgets; ipywidgets.Widget.close_all()", "table(1)"])
    panel = browse.open_notebook(page, lab, name)
    browse.run_cell(page, "cell-0")
    browse.run_cell(page, "cell-2")
    browse.run_cell(page, "cell-1")
    page.evaluate("() => { globalThis.__labkit.modules.clear(); }")
    browse.run_cell(page, "cell-2")
    expect(panel.locator(".lk-page-table")).to_be_visible()
    assert imports(page) == 2
    browse.assert_clean(page)


def test_a_second_run_of_a_check_keeps_the_page_still_and_leaves_one_report(lab, page, browse):
    wrong = (
        "%%exercise blocks_needed\ndef blocks_needed(num_tokens, block_size):\n    return num_tokens // block_size\n"
    )
    name = lab.write_notebook("again.ipynb", ['from labkit.lesson import start\nstart("04")', wrong])
    panel = browse.open_notebook(page, lab, name)
    browse.run_all(page)
    report = browse.cell(page, "cell-1").locator(".lk-check-report")
    expect(report).to_be_visible()
    before = page.evaluate(
        """() => {
             const cell = window.jupyterapp.shell.currentWidget.content.widgets[1].node;
             const outputs = globalThis.outputs = cell.querySelector('.jp-Cell-outputWrapper');
             globalThis.lowest = Infinity;
             const look = () => {
               globalThis.lowest = Math.min(globalThis.lowest, outputs.offsetHeight);
               requestAnimationFrame(look);
             };
             look();
             return outputs.offsetHeight;
           }"""
    )
    browse.run_cell(page, "cell-1")
    expect(report).to_be_visible()
    page.wait_for_function("() => globalThis.outputs.style.minHeight === ''")
    assert before > 100  # a report, not an empty cell
    assert page.evaluate("() => globalThis.lowest") > 0.95 * before
    expect(panel.locator(".lk-check-report")).to_have_count(1)
    browse.save(page)
    saved = json.loads((lab.work / name).read_text())["metadata"]["widgets"]
    states = saved["application/vnd.jupyter.widget-state+json"]["state"].values()
    assert [entry["state"].get("_kind") for entry in states].count("check_report") == 1
    browse.assert_clean(page)
