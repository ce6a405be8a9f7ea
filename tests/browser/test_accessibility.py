"""Every widget of the gallery held to the rules of WCAG 2.2, A and AA, by axe-core, in a light and a dark JupyterLab.

What JupyterLab draws itself is left out. Contrast is part of the rules: 4.5 to 1 for text. Of some texts axe cannot say
what they stand on (one character, or over a canvas); those it passes over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.base")

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SCENES = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_photographs as scene
from labkit.lesson import finish, save_point
from labkit.kernels.ledger import Access, LaunchTraffic
from labkit.kernels.recording import Paged
from labkit.specs.paged_attention.scenes import one_request
from labkit.widgets import *
from labkit.kernels.offline import Compiled
from labkit.grading.quiz import load
from labkit.widgets.roofline import Work

TEN = [question.id for question in load("final").graded[:10]]
wide = Compiled("n", "bf16", "sm_90", "k", 118, 0, 39168, 128, {{"32": 4, "128": 33}}, 4, 1.0, "3.7.1")
narrow = Compiled("n", "bf16", "sm_90", "k", 255, 572, 22528, 128, {{"16": 128, "32": 50}}, 4, 1.0, "3.7.1")

def asked(lesson, mode="lesson"):
    quiz = QuizWidget(lesson, mode=mode, seed=3)
    for question in quiz.questions:  # one is open, all others are shown after a wrong answer
        state = dict(quiz.states[question["id"]], attempts=1)
        quiz.states = {{**quiz.states, question["id"]: state}}
        if question is not quiz.questions[-1]:
            quiz.reveal(question["id"])
    return quiz

def wrong_addresses():
    import numpy
    reads = [Access((p, 0, 0), "cache", numpy.arange(16) + 16 * b, False) for p, b in enumerate((4, 1, 5))]
    past = Access((2, 0, 0), "cache", numpy.array([999]), False)
    paged = Paged("cache", 8, 4, 4, (4, 1, 6), 10)
    return AddressPicture(LaunchTraffic("k", (3,), accesses=reads), paged, outside=past, sentence="It went too far.")

def hinted():
    texts = iter(["Which one?", "It is the smallest.", "n = ____"])
    report = CheckReport(scene.report().verdict, hints=3, on_hint=lambda: next(texts), on_solution=lambda: "n = 1")
    report.handle({{"type": "hint"}}, [])
    return report
"""
WIDGETS = (
    'OpeningCard("04")', 'finish("06")', 'save_point("04")', "ProgressOverview()", 'EngineMap(highlight="block_pool")',
    "hinted()", "scene.report()", 'asked("16")', 'asked("04")',
    'QuizWidget("final", [*TEN, "done-twice", "green-board", "one-step"], mode="final", seed=3)',
    "PageTable(scene.pool(48))", "PageTable(scene.wrong_pool())", 'MemoryMap(("First fit", scene.slots()), step=3)',
    "RadixTree(scene.tree(30))", "EvictionStrip(scene.evictions(40))", "scene.board()", "TokenCost()",
    "BlockSizePlay([17, 64, 100])", "AttentionPlay()", "RequestTimeline(scene.run_of(12))",
    "OnlineSoftmax(*one_request(), step=2)", "ChunkPlay(chunk=5, window=3, step=2)",
    "Roofline([Work('thin', 9, 9), Work('thick', 1, 9999)])", "KernelReport({'wide': wide, 'narrow': narrow})",
    "SplitView(splits=17)", "wrong_addresses()", "QuantPlay(largest=8.0)",
    "StormBoard(scene.windows(60))",
    "OwnWork()", 'DrillBoard("a-dozen-preemptions", seed=4711)',
)  # fmt: skip
"""Every widget, quiz cards with each of their questions, and a report with a hint."""
RUN = """async ([selector, rules]) => {
  const node = document.querySelector(selector);
  const found = await axe.run(node, { runOnly: rules });
  const why = (node) => [...node.any, ...node.all, ...node.none].map((check) => check.message).join(' ');
  const told = (rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 160)} | ${why(node)}`);
  const contrast = (rules) => rules.filter((rule) => rule.id === 'color-contrast').flatMap(told);
  return { broken: found.violations.flatMap(told), read: contrast(found.passes) };
}"""
SEEN = "() => { document.body.style.minHeight = '100vh'; }"
"""JupyterLab's body has no height and hides what overflows it, so axe would take everything in it for hidden."""
FAINT = """(selector) => document.querySelector(selector).insertAdjacentHTML(
  'beforeend', '<p id="faint" style="color: #aaa">faint</p>')"""


def test_no_widget_breaks_a_rule_of_wcag_in_either_theme(lab: Any, page: Any, browse: Any) -> None:
    page.set_viewport_size({"width": 1280, "height": 2400})  # what is not in view cannot be looked at
    browse.open_notebook(page, lab, lab.write_notebook("accessible.ipynb", [SCENES, *WIDGETS]))
    browse.run_all(page)
    page.evaluate(Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8"))
    page.evaluate(SEEN)
    broken = []
    for dark in (False, True):
        browse.set_theme(page, dark)
        rules = ["color-contrast"] if dark else RULES  # nothing else depends on the theme
        for index, widget in enumerate(WIDGETS, 1):
            card = browse.cell(page, f"cell-{index}").locator(".lk-card").first
            card.wait_for(state="visible")
            selector = f'.jp-Cell[data-windowed-list-index="{index}"] .lk-card'
            if index == 1 and not dark:  # a text that nobody can read is found, so what follows is looked at
                page.evaluate(FAINT, selector)
                assert any("faint" in what for what in page.evaluate(RUN, [selector, rules])["broken"])
                page.evaluate("() => document.getElementById('faint').remove()")
            steps = card.locator(".lkq-step")
            for step in range(max(1, steps.count())):
                if steps.count():
                    steps.nth(step).click()
                found = page.evaluate(RUN, [selector, rules])
                where = f"{'dark' if dark else 'light'} {widget} {step}"
                assert found["read"], where
                broken += [f"{where}: {what}" for what in found["broken"]]
    assert broken == []
    browse.assert_clean(page)
