"""The question that asks for sentences of a text, in a real JupyterLab: by mouse, and by the keyboard alone."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from labkit.grading.quiz import load

SHOW = """
from labkit.widgets import OwnWork, QuizWidget
QuizWidget("practice", ["draft"])
"""


def test_sentences_are_chosen_by_mouse_and_by_keyboard(lab: Any, page: Any, browse: Any) -> None:
    options = load("practice").question("draft").instance(0).options
    right = [o for o in options if o.right]
    wrong = next(o for o in options if not o.right)
    notebook = lab.write_notebook("sentences.ipynb", [SHOW, "OwnWork()"])
    browse.open_notebook(page, lab, notebook)
    browse.run_all(page)
    card = page.locator(browse.PANEL).locator(".lk-quiz")
    boxes = card.get_by_role("checkbox")
    expect(boxes).to_have_count(len(options))
    assert right[0].feedback not in page.content()

    # The mouse: two sentences, one of them wrong; each is told about, and no other.
    card.get_by_text(right[0].plain).click()
    card.get_by_text(wrong.plain).click()
    card.get_by_role("button", name="Check answer").click()
    expect(card.locator("[aria-live]").first).to_contain_text("Not right.")
    expect(card).to_contain_text(wrong.feedback)
    expect(card.locator(".lkq-points li")).to_have_count(2)
    assert right[1].feedback not in page.content()

    # The keyboard: the wrong one away, the others there, Enter checks.
    cells = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    boxes.first.focus()
    before = page.evaluate(cells)
    for at, option in enumerate(options):
        assert boxes.nth(at).evaluate("(node) => node === document.activeElement"), option.plain
        if boxes.nth(at).is_checked() != option.right:
            page.keyboard.press("Space")
        if at + 1 < len(options):
            page.keyboard.press("Tab")
    assert [boxes.nth(at).is_checked() for at in range(len(options))] == [o.right for o in options]
    browse.shoot(page, "quiz-sentences-light", card)
    page.keyboard.press("Enter")
    expect(card.locator("[aria-live]").first).to_contain_text("Right.")
    expect(card.locator(".lkq-points li")).to_have_count(len(options))
    assert page.evaluate(cells) == before

    # Beside it the form for one's own work, kept and shown again after the kernel has gone and come.
    form = page.locator(browse.PANEL).locator(".lk-own-work")
    form.get_by_label("Your project").fill("a help desk <b>&")
    form.get_by_role("button", name="Keep it").focus()
    page.keyboard.press("Enter")
    expect(form).to_contain_text("Kept on this machine. 3 of 4 fields are empty.")
    browse.save(page)
    browse.open_notebook(page, lab, notebook)
    browse.set_theme(page, dark=True)
    browse.run_all(page)
    expect(form.get_by_label("Your project")).to_have_value("a help desk <b>&")
    expect(boxes.nth(options.index(right[0]))).to_be_checked()
    browse.shoot(page, "quiz-sentences-dark", card)
    browse.shoot(page, "own-work-dark", form)
    browse.assert_clean(page)
