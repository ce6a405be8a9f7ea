"""Every type of quiz question in a real JupyterLab, by the keyboard alone: wrong, right, shown, and restored."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from labkit.grading.quiz import load

FILE = """
lesson: everything
title: One question of each type
questions:
  - id: single
    type: single
    text: Which fruit has a stone?
    shuffle: false
    options:
      - {text: apple, feedback: KEY-apple has pips}
      - {text: plum, right: true, feedback: KEY-plum has a stone}
      - {text: pear, feedback: KEY-pear has pips as well}
    explanation: KEY-stones and pips.
  - id: multiple
    type: multiple
    text: Which are even?
    shuffle: false
    options:
      - {text: two, right: true, feedback: KEY-two is even}
      - {text: three, feedback: KEY-three is odd}
      - {text: four, right: true, feedback: KEY-four is even}
  - id: numeric
    type: numeric
    text: How many bytes are 8 blocks of 97531 bytes?
    answer: 8 * 97531
    unit: bytes
    feedback: KEY-eight times ninety-seven thousand.
    near:
      - {value: 8 * 97530, feedback: KEY-a byte is missing in each.}
    otherwise: Multiply the two.
  - id: predict
    type: predict
    text: What does it print?
    code: |
      free = [4831, 4832]
      print(free.pop(), len(free))
    output: "4832 1"
    feedback: KEY-pop takes the last.
    otherwise: Go through it line by line.
  - id: ordering
    type: ordering
    text: Put them in order.
    items:
      - {text: first, feedback: KEY-one comes first}
      - {text: second, feedback: KEY-two comes second}
      - {text: third, feedback: KEY-three comes last}
  - id: matching
    type: matching
    text: Match each animal with its young.
    pairs:
      - {left: cat, right: kitten, feedback: KEY-kitten}
      - {left: dog, right: puppy, feedback: KEY-puppy}
      - {left: cow, right: calf, feedback: KEY-calf}
  - id: click
    type: click
    text: Choose the block that is shared.
    picture:
      size: [300, 70]
      label: Three blocks in a row.
      draw:
        - {write: "blocks", at: [10, 66]}
      regions:
        - {text: block 0, mark: "0", box: [9, 9, 60, 40], look: held, seq: A, feedback: KEY-zero is held once}
        - {text: block 1, mark: "1", box: [90, 9, 60, 40], look: shared, right: true, feedback: KEY-one is shared}
        - {text: block 2, mark: "2", box: [170, 10, 60, 40], look: free, feedback: KEY-two is free}
  - id: short
    type: short
    text: Why are pages used?
    rubric:
      need: 1
      min_words: 3
      points:
        - {name: fragmentation, any: [fragment*, hole*], found: KEY-you name holes, missing: Holes between pieces.}
        - {name: growth, any: [grow*, unknown], found: KEY-you name growth, missing: The length is unknown at first.}
    sample: KEY-pages leave no holes and can grow.
"""
ALL_KEYS = set(re.findall(r"KEY-[a-z ]+", FILE))
SHOW = """
from labkit.widgets import QuizWidget
QuizWidget({path!r})
"""
TYPES = ("single", "multiple", "numeric", "predict", "ordering", "matching", "click", "short")


class Keys:
    """One quiz card under the keyboard; the mouse is never used."""

    def __init__(self, page: Any, card: Any) -> None:
        self.page, self.card = page, card

    def press(self, *names: str) -> None:
        for name in names:
            self.page.keyboard.press(name)

    def tab_to(self, key: str, most: int = 30) -> None:
        """Press Tab until the control whose data-key begins with `key` has the focus."""
        for _ in range(most):
            if (self.focus() or "").startswith(key):
                return
            self.press("Tab")
        raise AssertionError(f"{key} cannot be reached with Tab; the focus is on {self.focus()}")

    def focus(self) -> str | None:
        return self.page.evaluate("() => document.activeElement?.getAttribute('data-key')")

    def check(self) -> None:
        self.tab_to("submit")
        self.press("Enter")

    def verdict(self, right: bool) -> None:
        """The live region says so, to whoever does not see the page."""
        live = self.card.locator("[aria-live]").first
        expect(live).to_contain_text("Right." if right else "Not right.")

    def next(self) -> None:
        self.tab_to("next")
        self.press("Enter")

    def order(self) -> list[str]:
        return [t.strip() for t in self.card.locator(".lkq-order .lkq-text > span:first-child").all_inner_texts()]

    def sort(self, wanted: list[str]) -> None:
        """Move each line up to where it should stand, by its own button."""
        for place, text in enumerate(wanted):
            while (at := self.order().index(text)) > place:
                up = self.card.get_by_role("button", name=f"Move up: {text}")
                self.back_to(up.get_attribute("data-key"))
                self.press("Enter")
                assert self.order().index(text) == at - 1

    def back_to(self, key: str) -> None:
        for _ in range(30):
            if self.focus() == key:
                return
            self.press("Shift+Tab" if self.is_after(key) else "Tab")
        raise AssertionError(f"{key} cannot be reached")

    def is_after(self, key: str) -> bool:
        """Whether the focus stands behind the control with this key."""
        return self.page.evaluate(
            """(key) => {
                 const there = document.querySelector(`.lk-quiz [data-key="${key}"]`);
                 return !!(there.compareDocumentPosition(document.activeElement) & Node.DOCUMENT_POSITION_FOLLOWING);
               }""",
            key,
        )


def what_the_page_shows(page: Any) -> str:
    """The whole document, hidden parts and attributes included, and what the cells would save."""
    return page.evaluate(
        """() => {
             const cells = window.jupyterapp.shell.currentWidget.content.model.cells, found = [];
             for (let i = 0; i < cells.length; i++) found.push(JSON.stringify(cells.get(i).toJSON()));
             return found.join('\\n') + document.documentElement.outerHTML;
           }"""
    )


def listen(page: Any) -> None:
    """Keep what comes over the page's sockets: what the browser was told, whether it shows it or not."""
    page.from_kernel = []

    def frame(payload: Any) -> None:
        page.from_kernel.append(payload if isinstance(payload, str) else payload.decode("utf-8", "replace"))

    page.on("websocket", lambda socket: socket.on("framereceived", frame))


def test_every_type_of_question_by_keyboard(lab: Any, page: Any, browse: Any, tmp_path: Path) -> None:
    path = tmp_path / "everything.yaml"
    path.write_text(FILE, encoding="utf-8")
    assert [q.type for q in load(path).graded] == list(TYPES)
    notebook = lab.write_notebook("quiz.ipynb", [SHOW.format(path=str(path)), "1 + 1"])
    listen(page)
    browse.open_notebook(page, lab, notebook)
    browse.set_theme(page, dark=False)
    browse.run_all(page)
    card = page.locator(browse.PANEL).locator(".lk-quiz")
    expect(card.get_by_role("group", name="Which fruit has a stone?")).to_be_visible()
    browse.wait_idle(page)

    # Before anything is answered, nothing of the key was sent or shown.
    told = "\n".join(page.from_kernel)
    assert "Which fruit has a stone?" in told, "the frames are read"
    for secret in ("KEY-", "780248", "4832 1", '"right": true', "kitten, puppy"):
        assert secret not in told.replace("\\", ""), f"{secret} was sent to the page"
        assert secret not in what_the_page_shows(page)
    assert "apple" in what_the_page_shows(page)

    keys = Keys(page, card)
    card.get_by_role("radio", name="apple").focus()  # the cell is entered; from here on keys alone
    before = page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex")

    # single: a number key chooses, Enter checks; the wrong one gets its own feedback and no other.
    keys.press("1", "Enter")
    keys.verdict(False)
    expect(card).to_contain_text("KEY-apple has pips")
    assert "KEY-plum" not in "\n".join(page.from_kernel)
    keys.tab_to("single-")
    keys.press("ArrowDown", "Enter")
    keys.verdict(True)
    expect(card).to_contain_text("KEY-stones and pips.")
    keys.next()

    # multiple: Space ticks; half of it is not right.
    keys.tab_to("multiple-")
    keys.press("Space")
    keys.check()
    keys.verdict(False)
    keys.back_to(card.get_by_role("checkbox", name="four").get_attribute("data-key"))
    keys.press("Space")
    keys.check()
    keys.verdict(True)
    keys.next()

    # numeric: nothing typed is refused with a sentence, then wrong, then right.
    keys.tab_to("submit")
    keys.press("Enter")
    expect(card.locator(".lkq-refused")).to_contain_text("Write a number first.")
    for number, right in (("780247", False), ("780248", True)):
        keys.back_to("numeric-field")
        keys.press("Control+A")
        page.keyboard.type(number)
        keys.press("Enter")
        keys.verdict(right)
    others = card.get_by_role("button", name="Another answer, and what leads to it")
    expect(others).to_have_attribute("aria-expanded", "false")
    expect(card.get_by_text("KEY-a byte is missing in each.")).to_be_hidden()
    others.focus()
    keys.press("Enter")
    expect(card.get_by_text("KEY-a byte is missing in each.")).to_be_visible()
    keys.next()

    # predict: the letters of the answer are no shortcuts of the notebook.
    for text, right in (("4831 1", False), ("4832 1", True)):
        keys.tab_to("predict-field") if not right else keys.back_to("predict-field")
        keys.press("Control+A")
        page.keyboard.type(text)
        keys.press("Enter")
        keys.verdict(right)
    keys.next()

    # ordering: the arrows move, each line by buttons of its own; moved twice it is in order.
    for wanted, right in ((["third", "second", "first"], False), (["first", "second", "third"], True)):
        keys.sort(wanted)
        assert keys.order() == wanted
        keys.check()
        keys.verdict(right)
    keys.next()

    # matching: lists of the browser, chosen by their first letters.
    for answers, right in ((("puppy", "kitten", "calf"), False), (("kitten", "puppy", "calf"), True)):
        for animal, young in zip(("cat", "dog", "cow"), answers, strict=True):
            keys.back_to(card.get_by_role("combobox", name=animal).get_attribute("data-key"))
            page.keyboard.type(young)
        keys.check()
        keys.verdict(right)
    keys.next()

    # click: arrows go through the places, Enter chooses, Enter once more checks.
    keys.tab_to("click-")
    keys.press("Enter", "Enter")
    keys.verdict(False)
    expect(card).to_contain_text("KEY-zero is held once")
    keys.back_to(card.get_by_role("button", name="block 0").get_attribute("data-key"))
    keys.press("ArrowRight", "Enter", "Enter")
    keys.verdict(True)
    browse.shoot(page, "quiz-click-light", card)
    keys.next()

    # short: points found and not found; then given up, which shows an answer.
    keys.tab_to("short-field")
    page.keyboard.type("because somebody wanted them")
    keys.check()
    keys.verdict(False)
    expect(card).to_contain_text("Holes between pieces.")
    assert "KEY-pages leave no holes" not in "\n".join(page.from_kernel)
    keys.tab_to("reveal")
    keys.press("Enter")
    expect(card).to_contain_text("KEY-pages leave no holes and can grow.")
    expect(card.locator(".lkq-result")).to_have_text("7 of 8 right.")
    assert card.evaluate("(node) => node.contains(document.activeElement)"), "the focus stays in the card"
    assert page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex") == before
    assert page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.cells.length") == 2
    browse.save(page)
    # The saved card reopens as it was, so it holds what was told. What nobody was told is not in the file.
    saved = json.dumps(json.loads((lab.work / notebook).read_text(encoding="utf-8")), ensure_ascii=False)
    keys_told = {key for key in ALL_KEYS if key in "\n".join(page.from_kernel)}
    assert {key for key in ALL_KEYS if key in saved} <= keys_told < ALL_KEYS

    # Loaded again, in the dark: each question as it was left.
    browse.open_notebook(page, lab, notebook)
    browse.set_theme(page, dark=True)
    browse.run_all(page)
    expect(card.locator(".lkq-result")).to_have_text("7 of 8 right.")
    steps = card.get_by_role("navigation", name="questions").get_by_role("button")
    for i, kind in enumerate(TYPES):
        keys_on = Keys(page, card)
        steps.nth(i).focus()
        keys_on.press("Enter")
        how = "shown" if kind == "short" else "right"
        expect(steps.nth(i)).to_have_attribute("aria-label", f"Question {i + 1}, {how}")
        controls = card.locator(".lkq-body").locator("input, textarea, select, .lkq-region")
        assert all(controls.nth(n).is_disabled() for n in range(controls.count()))
        if kind == "single":
            expect(card.get_by_role("radio", name="plum")).to_be_checked()
        elif kind == "multiple":
            expect(card.get_by_role("checkbox", name="three")).not_to_be_checked()
        elif kind in ("numeric", "predict"):
            expect(card.locator(".lkq-field")).to_have_value("780248" if kind == "numeric" else "4832 1")
        elif kind == "ordering":
            assert keys_on.order() == ["first", "second", "third"]
        elif kind == "matching":
            chosen = card.locator("select").evaluate_all("(nodes) => nodes.map((n) => n.selectedOptions[0].text)")
            young = {"cat": "kitten", "dog": "puppy", "cow": "calf"}
            assert chosen == [young[animal] for animal in card.locator(".lkq-left").all_inner_texts()]
        elif kind == "click":
            expect(card.get_by_role("button", name="block 1")).to_have_attribute("aria-pressed", "true")
        if kind in ("single", "ordering", "matching", "click", "short"):
            browse.shoot(page, f"quiz-{kind}-dark", card)
    browse.assert_clean(page)
