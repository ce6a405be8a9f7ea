"""CheckReport, EngineMap, OpeningCard and ProgressOverview, as text and as answers to the page."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.grading.verdict import RuleState, Verdict
from labkit.observe.events import EventLog
from labkit.widgets import CheckReport, EngineMap, OpeningCard, ProgressOverview
from labkit.widgets.check_report import replay_line, tag_of
from labkit.widgets.engine_map import map_data
from labkit.widgets.report_view import report_view

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
    assert states["block_pool"] == states["admission"] == "reference" and states["attention"] == "later"
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


def row(number: str, passed: int, of: int, answered: int, total: int) -> dict[str, Any]:
    exercises = [
        {"id": f"e{i}", "title": f"E{i}", "minutes": 5, "passed": i < passed, "attempts": 0, "stretch": False}
        for i in range(of)
    ]
    questions = {"answered": answered, "correct": answered, "total": total}
    return {
        "number": number,
        "title": "T",
        "current": False,
        "hints": 0,
        "exercises": exercises,
        "questions": questions,
    }


def test_what_comes_next():
    assert (
        ProgressOverview(rows=[row("01", 2, 2, 0, 3), row("02", 1, 2, 0, 3)]).data["next"]
        == "E1 (e1), lesson 02, 5 minutes"
    )
    assert ProgressOverview(rows=[row("01", 2, 2, 1, 3)]).data["next"] == "the questions at the end of lesson 01"
    assert ProgressOverview(rows=[row("01", 2, 2, 3, 3)]).data["next"] == ""


def test_progress_in_words():
    full = ProgressOverview(rows=[row("01", 2, 3, 1, 3)])
    assert "1 of 3 questions right" in repr(full)
    assert repr(ProgressOverview(rows=[])) == "Progress: no exercises"
