"""Every widget of the gallery held to the rules of WCAG 2.2, A and AA, by axe-core, in a light and a dark JupyterLab.

What JupyterLab draws itself is left out. Contrast is part of the rules: 4.5 to 1 for text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.base")

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
MORE = [
    'from labkit.lesson import finish\nfinish("06")',
    # A right answer, a wrong one, and one that is shown.
    "from labkit.widgets import QuizWidget\n"
    'quiz = QuizWidget("16")\n'
    "first, *_ = [q['id'] for q in quiz.questions]\n"
    "quiz.answer(first, 3)\n"
    "quiz.reveal(first)\n"
    "quiz",
    "from labkit.grading import runner\n"
    "from labkit.widgets.report_view import report_view\n"
    'text = "def plan_chunks(requests, budget, longest=None):\\n    return [(r, r.missing) for r in requests]\\n"\n'
    'report = report_view(runner.check("16", "plan_chunks", text), text)\n'
    'report.handle({"type": "hint"}, [])\n'
    "report",
]
RUN = """async ([selector, rules]) => {
  const nodes = [...document.querySelectorAll(selector)];
  const found = await axe.run(nodes, { runOnly: { type: 'tag', values: rules }, resultTypes: ['violations'] });
  const why = (node) => [...node.any, ...node.all, ...node.none].map((check) => check.message).join(' ');
  const told = (rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 160)} | ${why(node)}`);
  return found.violations.flatMap(told);
}"""


@pytest.fixture
def gallery(lab: Any, page: Any, browse: Any) -> list[tuple[int, str]]:
    """The gallery and more, run in JupyterLab: index and id of each cell that shows a widget."""
    import nbformat

    name = lab.fresh_copy("gallery", "accessible.ipynb", solved=True)
    book = nbformat.read(lab.work / name, 4)
    book.cells += [nbformat.v4.new_code_cell(source, id=f"more-{i}") for i, source in enumerate(MORE)]
    nbformat.write(book, lab.work / name)
    browse.open_notebook(page, lab, name)
    browse.run_all(page)
    page.evaluate(Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8"))
    return page.evaluate(
        """() => {
             const cells = window.jupyterapp.shell.currentWidget.content.model.cells, found = [];
             for (let i = 0; i < cells.length; i++) {
               const cell = cells.get(i);
               if (cell.type !== 'code') continue;
               const shown = Array.from({ length: cell.outputs.length }, (_, j) => cell.outputs.get(j).data);
               if (shown.some((data) => data['application/vnd.jupyter.widget-view+json'])) found.push([i, cell.id]);
             }
             return found;
           }"""
    )


def test_no_widget_breaks_a_rule_of_wcag_in_either_theme(
    page: Any, browse: Any, gallery: list[tuple[int, str]]
) -> None:
    assert len(gallery) > 30
    broken = []
    for dark in (False, True):
        browse.set_theme(page, dark)
        for index, cell_id in gallery:
            located = browse.cell(page, cell_id)
            located.locator(".lk-card").first.wait_for(state="visible")
            selector = f'.jp-Cell[data-windowed-list-index="{index}"] .lk-card'
            broken += [
                f"{'dark' if dark else 'light'} {cell_id}: {what}" for what in page.evaluate(RUN, [selector, RULES])
            ]
    assert broken == []
    browse.assert_clean(page)
