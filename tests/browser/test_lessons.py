"""Each lesson in a real JupyterLab, as a learner goes through it; only the data below tells one from the other.

The untouched notebook runs to its end and every stub has its report; the play widget moves by keyboard; a mistake of
the lesson's bank shows its rule, its sentence and its replay; a right answer passes, and from then on is at work; a
prediction and a question are answered by keyboard; the page stays clean in both themes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import expect

from labkit import specs
from labkit.authoring import build, layout, master
from labkit.grading.mistakes import bank
from labkit.grading.progress import Progress
from labkit.grading.quiz import load
from labkit.grading.solutions import solutions
from labkit.widgets import EngineMap


@dataclass(frozen=True)
class Walk:
    """What is done in one lesson.

    Attributes:
        exercise, mistake: the exercise that is answered, and the mistake of the bank that is made first.
        play: keys pressed on the widget at the top, each with what it shows then; "" presses nothing.
        untouched: what cells show before anything has passed, by cell id.
        passed: what they show after all of the lesson's parts have passed.
    """

    exercise: str
    mistake: str
    play: tuple[tuple[str, str], ...] = ()
    untouched: tuple[tuple[str, str], ...] = ()
    passed: tuple[tuple[str, str], ...] = ()


WALKS = {
    "01": Walk("attend", "naive-exp"),
    "02": Walk("kv_bytes", "keys-only"),
    "03": Walk("first_fit", "zero-is-false"),
    "04": Walk(
        "BlockPool",
        "takes-then-gives-up",
        play=(("End", "append(D, 10)"), ("ArrowLeft", "release(B)")),
        untouched=(("pool-play", "BlockPool: reference"), ("live", "Block pool: reference")),
        passed=(("pool-play", "BlockPool: yours"), ("live", "Block pool: yours")),
    ),
    "05": Walk(
        "BlockTable",
        "ignores-the-free-end",
        play=(("End", "append(A, 8)"), ("ArrowLeft", "append(C, 16)")),
        untouched=(("decode-widget", "The table at work: reference"), ("table-play", "BlockTable: reference")),
        passed=(
            ("decode-widget", "The table at work: yours"),
            ("table-play", "BlockTable: yours"),
            ("live", "Block table: yours"),
        ),
    ),
    "06": Walk(
        "append_cow",
        "plain-append",
        play=(
            ("", "copy-on-write: block 2 is shared with A and C"),
            ("ArrowRight", ""),
            ("ArrowRight", "which it holds alone"),
        ),
        untouched=(("use-fork", "63 blocks"),),
    ),
    "07": Walk(
        "register_release",
        "head-first",
        play=(
            ("", "blocks 0, 1, 3, 4 stay findable"),
            ("End", "12 tokens are cached: blocks 0, 1, 3"),
            ("ArrowLeft", ""),
            ("ArrowLeft", "block 4 evicted to make room"),
        ),
        untouched=(("at-work", "The prefix cache at work: reference"),),
        passed=(("at-work", "The prefix cache at work: yours"),),
    ),
    "08": Walk(
        "split",
        "forgets-the-locks",
        play=(
            ("", "16 of 24 letters were cached"),
            ("Home", ""),
            ("ArrowRight", "0 of 24 letters were cached"),
            ("End", 'F asks: "Be kind. What is a leaf?"'),
        ),
        untouched=(("one-trace", "entries"),),
        passed=(("one-trace", "radix  hit rate"),),
    ),
    "09": Walk(
        "LRU",
        "first-use-counts",
        play=(("", "Belady's regret: only more memory moves it."), ("", "of the blocks asked for had been evicted")),
        untouched=(
            ("lru-at-work", "The policy at work: reference"),
            ("use-regret-per-minute", "123 blocks evicted     43 wanted again"),
        ),
        passed=(("lru-at-work", "yours"),),
    ),
    "10": Walk(
        "paged_attention",
        "no-scale",
        play=(
            ("Home", "Nothing is read yet"),
            ("ArrowRight", "is the first m"),
            ("End", "The output is what two passes give."),
        ),
        untouched=(("both-ways", "100 tokens: 38,400"), ("live", "Attention: reference")),
        passed=(("both-ways", "same output: True"), ("live", "Attention: yours")),
    ),
    "11": Walk(
        "gather_page",
        "logical-as-physical",
        play=(
            ("Home", "Nothing has run yet"),
            ("ArrowRight", "slots 0 to 3 of block 4, page 0"),
            ("End", "slots 0 to 1 of block 6, page 2"),
        ),
        untouched=(
            ("wild-read", "ended by SIGSEGV"),
            ("picture-gather-page", "gather_page: the reference"),
            ("live", "the same tokens as PyTorch: True"),
        ),
        passed=(("picture-gather-page", "gather_page: your kernel"), ("live", "the same tokens as PyTorch: True")),
    ),
    "12": Walk(
        "tile_addresses",
        "one-page-per-tile",
        play=(("", "a decode, keys read per query head: 2.15 GB"), ("", "memory is what it waits for")),
        untouched=(("ledger", "418,336"), ("page-curve", "16,640"), ("compiled", "registers of a thread")),
        passed=(("group-bytes", "4 times less"),),
    ),
    "13": Walk(
        "merge_partials",
        "nan-times-zero",
        play=(("", "8,192 pages one after another"),),
        untouched=(("symptom-numbers", "16,400                 87"), ("use-split-decode", "same output True")),
        passed=(("any-split", "37 of them empty; as in one range: True"), ("use-choose-splits", "256 ->    16")),
    ),
    "14": Walk(
        "chunk_prefill",
        "mask-begins-at-zero",
        play=(
            ("Home", "No chunk has come yet"),
            ("ArrowRight", "reads no key of earlier chunks and 5 of its own"),
            ("End", "In all 46 keys were read and 136 cells seen"),
        ),
        untouched=(("pages-after", "left out: token 2"), ("live", "Prefill: reference")),
        passed=(("through-the-quantizer", "50 + 50                   0.0000"), ("live", "Prefill: yours")),
    ),
    "15": Walk(
        "quantize_heads",
        "truncates",
        play=(("", "int8, one scale for this head: 1 / 127"),),
        untouched=(("use-quantized-scores", "5,120 bytes"), ("reveal-p1", "7.7 times")),
        passed=(("reveal-p1", "7.7 times"),),
    ),
    "16": Walk(
        "step",
        "waits-for-the-whole-batch",
        untouched=(("at-work-widget", "The scheduler at work: reference"), ("recorded", "74 of 74 steps")),
        passed=(("at-work-widget", "The scheduler at work: yours"),),
    ),
    "17": Walk(
        "full_sequence_gate",
        "found-and-free",
        untouched=(("never-fits", "running 0, waiting 2"), ("two-recordings", "4 preemptions, as vLLM decided: True")),
        passed=(("two-recordings", "2 preemptions, as vLLM decided: True"),),
    ),
    "18": Walk(
        "preempt_recompute",
        "keeps-computed",
        untouched=(("recorded", "num_preemptions is behind in 19 of 74 steps"), ("reveal-p1", "2,158")),
        passed=(("use-choose-victim", "most-blocks     C"),),
    ),
    "19": Walk(
        "regret_rate",
        "never-found-again",
        untouched=(
            ("use-regret-rate", "as the server's own meter has it: True"),
            ("drills", "What on this board proves the cause?"),
        ),
        passed=(("league", "15 of 15 storms told"),),
    ),
    "20": Walk(
        "capacity_search",
        "only-doubles",
        untouched=(("symptom-numbers", "1.3    16%"), ("how-many-blocks", "5,000 blocks, found by 10 simulations")),
        passed=(("how-many-cards", "cards: 6"),),
    ),
    "21": Walk(
        "engine_step",
        "all-the-rows",
        play=(("End", "free(D)"), ("ArrowLeft", "extend(D, 1 token)")),
        untouched=(("live", "The loop: the reference"), ("use-tune", "beginnings")),
        passed=(
            ("live-picture", "three requests, your engine"),
            ("live", "The loop: yours"),
        ),
    ),
}
"""By the lesson's number; `test_every_lesson_with_exercises_is_walked` holds that none is missing."""


def test_every_lesson_with_exercises_is_walked() -> None:
    assert [*WALKS] == [lesson.key[:2] for lesson in specs.lessons() if lesson.exercises]


@pytest.mark.parametrize("number", WALKS)
def test_a_learner_plays_fails_passes_and_answers(lab: Any, page: Any, browse: Any, number: str) -> None:
    walk, lesson = WALKS[number], specs.lesson(number)
    (path,) = layout.masters([lesson.key])
    cells = {cell.source.split("\n")[0]: cell.id for cell in build.notebook(master.read(path), solved=False).cells}
    lab.start_over()
    progress = Progress(lab.home)
    browse.open_notebook(page, lab, lab.fresh_copy(lesson.key))
    browse.run_all(page, 240)

    # The untouched stubs: each has a report, and the notebook has run to its end on the course's own parts.
    for exercise in lesson.exercises:
        stub = browse.report(page, cells[f"%%exercise {exercise.id}"])
        expect(stub).to_contain_text("the-wrong-one-falls" if exercise.kind == "break" else "not written yet")
    for cell, text in walk.untouched:
        expect(browse.cell(page, cell)).to_contain_text(text)

    # The widget at the top, by keyboard.
    for key, text in walk.play:
        widget = browse.cell(page, "play-widget")
        if key:
            widget.get_by_role("slider", name="Step", exact=True).first.focus()
            page.keyboard.press(key)
        if text:
            expect(widget).to_contain_text(text)

    # A mistake: its rule, its sentence, a hint, and the replay at the failing step where the exercise has one.
    answers = bank(lesson.key)
    wrong = next(m for m in answers.mistakes if (m.exercise, m.name) == (walk.exercise, walk.mistake))
    where = cells[f"%%exercise {walk.exercise}"]
    browse.set_source(page, where, f"%%exercise {walk.exercise}\n{wrong.source}")
    browse.run_cell(page, where)
    report = browse.report(page, where)
    expect(report).to_contain_text(wrong.breaks)
    expect(report).to_contain_text(wrong.why.replace("`", ""))  # which the report shows as code
    report.get_by_role("button", name=re.compile("^Hint 1 of 3")).click()
    expect(report.get_by_role("button", name=re.compile("^Hint 2 of 3"))).to_be_visible()
    replay = report.get_by_role("button", name=re.compile("^Replay from"))
    if replay.count():
        failing = re.search(r"\d+", replay.inner_text())[0]
        replay.click()
        expect(report.get_by_role("slider", name="Step", exact=True)).to_have_value(failing)
    browse.shoot(page, f"lesson-{number}-wrong", report)

    # A right one, in another style than the solution: it passes, and the engine runs on it. A box of the map is the
    # learner's once all exercises that fill it are.
    right = next(r for r in answers.right if r.exercise == walk.exercise)
    for exercise in lesson.exercises:
        if exercise.reference and exercise.id != walk.exercise:
            progress.save_pass(lesson.key, exercise.id, solutions(lesson.key)[exercise.id])
    browse.set_source(page, where, f"%%exercise {walk.exercise}\n{right.source}")
    browse.run_cell(page, where)
    expect(browse.report(page, where)).to_contain_text(re.compile(r"passed|\d+ rules hold"))
    assert Progress(lab.home).passed(lesson.key, walk.exercise)
    for cell, text in walk.passed:
        browse.run_cell(page, cell)
        expect(browse.cell(page, cell)).to_contain_text(text)
    browse.run_cell(page, "finish")
    for box in EngineMap().data["boxes"]:
        if box["lesson"] == number and box["state"] != "later":
            label = browse.cell(page, "finish").get_by_label(re.compile(f"^{box['title']}, lesson {number}")).first
            expect(label).to_have_attribute("aria-label", re.compile("yours"))

    # A prediction and a question, by keyboard.
    prediction = browse.cell(page, cells[f'predict("{number}", "p1")'])
    radios = prediction.get_by_role("radio")
    (radios if radios.count() else prediction.locator(".lk-quiz").get_by_role("textbox")).first.focus()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(prediction).to_contain_text("Your prediction is kept")
    graded = [question.instance(progress.seed()) for question in load(lesson.key).graded]
    asked, typed = next(
        (i, q) for i, q in enumerate(graded, 1) if q.question.type in ("numeric", "predict") and not q.options
    )
    quiz = browse.cell(page, "quiz")
    if asked > 1:
        quiz.get_by_role("button", name=re.compile(f"^Question {asked}")).click()
    quiz.locator(".lk-quiz").get_by_role("textbox").first.focus()
    page.keyboard.type(typed.output or str(typed.answer))
    page.keyboard.press("Enter")
    expect(quiz.get_by_role("button", name=re.compile(f"^Question {asked}, .*right"))).to_be_visible()
    assert Progress(lab.home).answers(lesson.key)[typed.question.id]["correct"]

    for dark in (True, False):
        browse.set_theme(page, dark)
        browse.shoot(page, f"lesson-{number}-{'dark' if dark else 'light'}", browse.report(page, where))
    browse.assert_clean(page)


def test_the_first_picture_is_seen_while_it_fills(lab: Any, page: Any, browse: Any) -> None:
    """Lesson 00 on a laptop, by the keys it names: the picture stands above the cell that fills it, on the screen."""
    page.set_viewport_size({"width": 1400, "height": 900})
    lab.start_over()
    panel = browse.open_notebook(page, lab, lab.fresh_copy("00_start_here"))
    browse.run_cell(page, "start")
    browse.cell(page, "destination-picture").locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    picture = panel.locator(".lk-page-table").first
    expect(picture).to_contain_text("held 0")
    assert_on_screen(page)
    page.keyboard.press("Shift+Enter")  # over the text below it
    page.keyboard.press("Control+Enter")
    expect(picture).to_contain_text("held 18")
    browse.shoot(page, "lesson-00-picture")
    assert_on_screen(page)
    browse.assert_clean(page)


@pytest.mark.parametrize("number", ["16", "17", "18", "19", "20"])
def test_the_first_picture_is_seen_whole_below_its_code(lab: Any, page: Any, browse: Any, number: str) -> None:
    page.set_viewport_size({"width": 1400, "height": 900})
    lab.start_over()
    browse.open_notebook(page, lab, lab.fresh_copy(specs.lesson(number).key))
    if number == "19":
        browse.run_cell(page, "symptom-numbers")
    cell = browse.run_cell(page, "play-widget")
    expect(cell.locator(".lk canvas").first).to_be_visible()
    browse.shoot(page, f"lesson-{number}-picture")
    high, port = page.evaluate(
        """(cell) => [cell.getBoundingClientRect().height, cell.closest('.jp-WindowedPanel-outer').clientHeight]""",
        cell.element_handle(),
    )
    assert high <= port, f"code and picture are {high:.0f} px high, and {port:.0f} are seen"


def assert_on_screen(page: Any) -> None:
    """The first page table of the open notebook is seen whole, wherever the page has been left."""
    above, below = page.evaluate(
        """() => {
             const panel = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden)');
             const port = panel.querySelector('.jp-WindowedPanel-outer').getBoundingClientRect();
             const box = panel.querySelector('.lk-page-table').getBoundingClientRect();
             return [box.top - port.top, port.bottom - box.bottom];
           }"""
    )
    assert above >= 0 and below >= 0, f"the picture is cut off: {above:.0f} px of room above, {below:.0f} below"
