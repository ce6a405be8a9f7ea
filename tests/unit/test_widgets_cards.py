"""CheckReport, EngineMap, OpeningCard and ProgressOverview, as text and as answers to the page."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.grading.standing import whats_next
from labkit.grading.verdict import Counterexample, RuleState, Step, Verdict
from labkit.observe.events import EventLog
from labkit.widgets import CheckReport, EngineMap, LessonEnd, OpeningCard, ProgressOverview
from labkit.widgets.check_report import replay_line, tag_of
from labkit.widgets.engine_map import map_data
from labkit.widgets.report_view import next_step, report_view

RULES = [
    {"name": "refused-means-unchanged", "statement": "As it was.", "state": "broken"},
    {"name": "one-holder", "statement": "One holder.", "state": "held"},
]
STEP = {"args": {}, "expected": None, "note": "", "broken": False}
EXAMPLE = {
    "setup": "a pool of 4",
    "failing": 3,
    "replay": None,
    "steps": [
        {**STEP, "n": 1, "op": "allocate", "label": "allocate(3)", "seen": "[0, 1, 2]"},
        {**STEP, "n": 2, "op": "allocate", "label": "allocate(2)", "seen": "None"},
        {**STEP, "n": 3, "op": "observe", "label": "num_free", "seen": "0", "expected": "1", "broken": True},
    ],
}


def failed(**more: Any) -> dict[str, Any]:
    base = {"lesson": "04_block_pool", "exercise": "BlockPool", "verdict": "fail", "kind": "rule", "rules": RULES}
    return {**base, "rule": "refused-means-unchanged", "message": "Block 3 is lost.", "counterexample": EXAMPLE, **more}


def sending(widget: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: sent.append(content))
    return sent


@pytest.mark.parametrize(
    ("verdict", "mark", "words"),
    [
        (failed(), "✕", "1 of 2 rules broken"),
        (failed(verdict="pass", rule=None), "✓", "2 of 2 rules hold"),
        (failed(kind="not-written"), "○", "not written yet"),
        (failed(verdict="error", kind="syntax"), "✕", "not readable as Python"),
        (failed(verdict="timeout", kind="endless-loop"), "✕", "does not come back"),
        (failed(verdict="missing", kind="empty"), "○", "not written yet"),
    ],
)
def test_the_tag_says_it_without_colour(verdict, mark, words):
    tag = tag_of(verdict)
    assert (tag["mark"], tag["words"]) == (mark, words)


@pytest.mark.parametrize(
    ("kind", "state", "first"),
    [
        ("not-written", "broken", "1,000 blocks, a watermark of 0.02"),
        ("not-written", "held", "What does your function answer"),
        ("rule", "broken", "What does your function answer"),
    ],
)
def test_whoever_has_written_nothing_is_asked_how_to_begin(fresh_home, kind, state, first):
    rules = [RuleState("only-what-there-is", "", "broken"), RuleState("rounded-down", "", state)]
    verdict = Verdict(
        "17_admission_control", "watermark_gate", "fail", rule="only-what-there-is", kind=kind, rules=rules
    )
    report = report_view(verdict, "def watermark_gate(): ...")
    report.handle({"type": "hint"}, [])
    assert report.opened[0].startswith(first)


@pytest.mark.parametrize(
    ("rule", "kind", "expected", "first"),
    [
        ("nothing-is-changed", "rule", "1", "Does any line of yours sort"),
        ("nothing-is-changed", "raised", "an answer", "Which values do the names in the line that raised"),
        ("another-way-is-refused", "raised", "raises SchedulerError", "With which words may `how` be answered"),
        ("answers-stay-as-they-were", "changed-answer", "[1]", "Is what you return the same object"),
        (None, "endless-loop", None, "What does the condition of your loop read"),
        (None, "endless-run", None, "What does each call go through, and how long is that"),
        (None, "syntax", None, "Four requests run"),
    ],
)
def test_the_first_hint_is_about_what_went_wrong(fresh_home, rule, kind, expected, first):
    step = Step(1, "call", {}, "choose_victim()", "x", expected, broken=True)
    example = Counterexample("", [step], 1) if expected else None
    word = "fail" if rule else "error"
    verdict = Verdict("18_preemption", "choose_victim", word, rule=rule, kind=kind, counterexample=example)
    report = report_view(verdict, "def choose_victim(): ...")
    report.handle({"type": "hint"}, [])
    assert report.opened[0].startswith(first)


def test_both_answers_are_laid_out_for_the_page():
    steps = CheckReport(failed()).verdict["counterexample"]["steps"]
    assert [list(piece) for piece in steps[2]["answers"]["expected"][0]] == [["1", False]]
    assert "answers" not in steps[0]


def test_a_report_gives_its_text():
    report = CheckReport(failed(mutant="Blocks were taken one by one."), "04 BlockPool: 1 of 2 rules broken")
    assert repr(report) == "04 BlockPool: 1 of 2 rules broken"
    assert report.sentences == ["Block 3 is lost.", "Blocks were taken one by one."]
    assert report.replay_from == 2
    assert repr(CheckReport(failed())) == "CheckReport(BlockPool: ✕ 1 of 2 rules broken)"


def test_a_verdict_object_is_taken_too():
    from labkit.grading.verdict import Verdict

    report = CheckReport(Verdict.from_dict(failed()))
    assert report.verdict["counterexample"]["steps"][2]["broken"] is True


def test_the_replay_starts_at_the_last_real_operation():
    assert replay_line(EXAMPLE) == 2
    only = {**EXAMPLE, "failing": 1, "steps": [{**EXAMPLE["steps"][2], "n": 1}]}
    assert replay_line(only) == 1


def test_hints_come_one_at_a_time_and_no_more_than_there_are(monkeypatch):
    hints = iter(["look before", "the invariant"])
    report = CheckReport(failed(), hints=2, on_hint=lambda: next(hints), on_solution=lambda: "code")
    assert "look before" not in str(report.get_state()), "no hint is in the page before it is asked for"
    sent = sending(report, monkeypatch)
    for _ in range(3):
        report._on_page_message(report, {"type": "hint"}, [])
    report._on_page_message(report, {"type": "solution"}, [])
    assert [m["type"] for m in sent] == ["hint", "hint", "solution"]
    assert report.opened == ["look before", "the invariant"] and sent[2]["text"] == "code"


def test_a_replay_can_come_from_a_callback(monkeypatch):
    log = EventLog(num_blocks=4)
    log.begin("allocate(3)")
    report = CheckReport(failed(), on_replay=lambda: log)
    assert report.replay == {}
    report._on_page_message(report, {"type": "replay"}, [])
    assert report.replay["labels"] == ["allocate(3)"] and report.replay["meta"] == {"num_blocks": 4}
    nothing = CheckReport(failed(), on_replay=lambda: None)
    sent = sending(nothing, monkeypatch)
    nothing._on_page_message(nothing, {"type": "replay"}, [])
    assert sent[0]["type"] == "problem"


def test_the_engine_map_starts_with_the_reference_and_turns(monkeypatch):
    from labkit import engine as parts

    engine = EngineMap(highlight="block_pool")
    states = {box["name"]: box["state"] for box in engine.data["boxes"]}
    assert states["block_pool"] == states["admission"] == states["model"] == "reference"
    assert repr(engine) == f"EngineMap(0 of {len(states)} parts are yours)"
    monkeypatch.setattr(parts, "owner", lambda name: "yours" if name == "block_pool" else "reference")
    engine.refresh()
    assert "Block pool" in repr(engine) and engine.data["headline"].startswith("1 of")


def test_the_paths_are_those_of_the_curriculum():
    paths = {box["name"]: box["paths"] for box in map_data()["boxes"]}
    assert paths["block_pool"] == ["storms", "kernels", "whole"]
    assert paths["attention"] == ["kernels", "whole"] and paths["eviction"] == ["storms", "whole"]
    with pytest.raises(ValueError, match="storms"):
        EngineMap(path="scenic")


def test_opening_card_from_facts():
    card = OpeningCard(
        {"number": "04", "title": "The block pool", "symptom": "Memory is full.", "lights": "block_pool"}
    )
    assert repr(card).splitlines() == ["Lesson 04: The block pool (0 minutes, 0 exercises)", "Memory is full."]
    assert card.map["note"] == "Block pool lights up when its check passes."


def test_a_card_counts_stretches_apart_as_the_save_point_does():
    card = OpeningCard({"number": "x", "title": "X", "exercises": [{"id": "a"}, {"id": "b", "stretch": True}]})
    assert card.summary() == "Lesson x: X (0 minutes, 1 exercise and 1 to stretch)"


def test_opening_card_and_progress_of_a_real_lesson():
    from labkit.grading.progress import Progress

    assert repr(OpeningCard("04")).startswith("Lesson 04: ")
    before = ProgressOverview(lesson="04")
    Progress().save_pass("04_block_pool", "BlockPool", "class BlockPool: ...")
    assert " passed" in before.data["headline"] and before.data["title"] == "Save point"
    was = before.data["headline"]
    before.refresh()
    assert before.data["headline"] != was
    assert any(e["passed"] for e in OpeningCard("04").lesson["exercises"])


def test_opening_card_of_a_lesson_whose_box_is_lit():
    boxes = [{**map_data()["boxes"][0], "name": "block_pool", "title": "Block pool", "state": "yours"}]
    lit = OpeningCard({"number": "04", "title": "T", "lights": "block_pool"}, {**map_data(), "boxes": boxes})
    assert lit.map["note"] == "Block pool is yours."


def row(number: str, passed: int, of: int, answered: int, total: int, stretch: int = 0) -> dict[str, Any]:
    exercises = [
        {"id": f"e{i}", "title": f"E{i}", "minutes": 5, "passed": i < passed, "attempts": 0, "stretch": i >= of}
        for i in range(of + stretch)
    ]
    questions = {"answered": answered, "correct": answered, "total": total}
    return {"number": number, "title": "T", "hints": 0, "exercises": exercises, "questions": questions}


def test_it_goes_on_in_the_lesson_that_was_begun_last():
    def following(*rows: dict[str, Any], here: str = "") -> str:
        return whats_next(rows, here)[1]

    done, untouched = row("01", 2, 2, 3, 3), row("02", 0, 2, 0, 3)
    assert following(done, row("02", 1, 2, 0, 3)) == "lesson 02: E1 (e1, 5 minutes)"
    assert following(row("01", 2, 2, 1, 3), untouched) == "lesson 01: the questions at the end of the lesson"
    assert following(done, untouched) == "lesson 02, T: E0 (e0, 5 minutes)"
    assert following(done) == "" and whats_next([]) == ("", "")
    # A lesson that was left out waits until the last one is done, and a tour asks for nothing.
    assert following(row("01", 0, 2, 0, 3), row("02", 2, 2, 3, 3), row("03", 0, 1, 0, 3)).startswith("lesson 03")
    assert following(row("01", 0, 2, 0, 3), row("02", 2, 2, 3, 3)) == "lesson 01, T: E0 (e0, 5 minutes)"
    assert following(row("00", 0, 0, 0, 1), row("01", 0, 2, 0, 3)) == "lesson 01, T: E0 (e0, 5 minutes)"
    assert following(done, untouched, here="01") == following(done, untouched)


def test_no_lesson_is_skipped_whether_it_has_a_box_or_not(fresh_home):
    """The map, the progress card and the end of the lesson before name the same lesson, all the way."""
    from labkit import specs
    from labkit.grading import standing
    from labkit.grading.progress import Progress

    progress, seen = Progress(), []
    for lesson in specs.lessons():
        for exercise in lesson.exercises:
            progress.save_pass(lesson.key, exercise.id, "")
        for question in standing.graded_questions(lesson.key):
            progress.save_answer(lesson.key, question, "", True, 1.0)
        card, engine, end = ProgressOverview(), EngineMap(), LessonEnd(lesson.key)
        after = specs.following(lesson.key)
        if after is None:
            assert card.data["next"] == "" and "next" not in engine.data["headline"]
            assert "final check" in end.data["next"]["words"]
            break
        assert card.data["next"].startswith(end.data["next"]["words"] + ": ")
        assert engine.data["headline"].endswith(f"next: {card.data['next']}")
        assert [r["number"] for r in card.data["rows"] if r["next"]] == [after[:2]]
        assert end.data["next"]["file"] == f"{after}.ipynb" and end.data["open"] == ""
        seen.append(after)
    assert seen == list(specs.KEYS[1:])


@pytest.mark.parametrize(
    ("exercises", "answered", "done", "says"),
    [
        ("", False, "blocks_needed", "The pool (BlockPool, "),
        ("blocks_needed", False, "CheckedPool", "Break it: the pool with two piles (break_two_piles, "),
        ("blocks_needed CheckedPool break_two_piles", False, "find_leak", "minutes), which is still open above"),
        ("blocks_needed BlockPool CheckedPool", False, "break_two_piles", "the questions at the end of the lesson"),
        ("blocks_needed BlockPool CheckedPool", True, "break_two_piles", "lesson 05, Block tables"),
        ("blocks_needed BlockPool CheckedPool break_two_piles", True, "find_leak", "lesson 05, Block tables"),
    ],
)
def test_a_report_says_what_comes_next(fresh_home, exercises, answered, done, says):
    from labkit import specs
    from labkit.grading.progress import Progress
    from labkit.grading.standing import graded_questions

    lesson, progress = specs.lesson("04"), Progress()
    for id in exercises.split():
        progress.save_pass(lesson.key, id, "")
    for question in graded_questions(lesson.key) if answered else ():
        progress.save_answer(lesson.key, question, "", True, 1.0)
    assert says in next_step(lesson, done, progress)


def test_the_end_of_a_lesson(fresh_home):
    from labkit import specs
    from labkit.grading.progress import Progress

    end = LessonEnd("04")
    assert "once the exercises are passed" in repr(end) and "Still open here: " in repr(end)
    for exercise in specs.lesson("04").exercises:
        Progress().save_pass("04_block_pool", exercise.id, "class BlockPool: ...")
    end.refresh()
    said = repr(end).splitlines()
    assert said[1] == f"What you take along: {specs.lesson('04').ending}"
    assert "1 of 11 parts is yours: Block pool" in said and "4 of 4 exercises passed · 0 of 6 questions right" in said


def test_every_lesson_has_an_ending_in_the_learners_voice():
    from labkit import specs

    for lesson in specs.lessons():
        assert lesson.ending.startswith("I ") and lesson.ending.endswith("."), lesson.key
        assert 80 < len(lesson.ending) < 240 and " you " not in lesson.ending, lesson.key


def test_progress_in_words():
    full = ProgressOverview(rows=[row("01", 2, 3, 1, 3, stretch=1)])
    assert "2 of 3 exercises passed · 1 of 3 questions right" in full.data["headline"]
    assert "  01 T: 2 of 3 exercises passed · 1 of 3 questions right" in repr(full), "a stretch counts nowhere"
    assert repr(ProgressOverview(rows=[])) == "Progress: no exercises"


def test_a_report_that_was_laid_out_is_laid_out_again():
    from labkit.widgets.check_report import CheckReport

    step = {
        "n": 1,
        "op": "allocate",
        "args": {},
        "label": "allocate(1)",
        "seen": "[0]",
        "expected": "[1]",
        "broken": True,
    }
    verdict = {"exercise": "x", "verdict": "fail", "counterexample": {"steps": [step], "failing": 1}}
    once = CheckReport(verdict, "").verdict
    assert CheckReport(once, "").verdict == once
