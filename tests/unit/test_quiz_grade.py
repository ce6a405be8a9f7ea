"""Every type of question graded right, partly right, wrong and malformed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.errors import AnswerError, LessonError
from labkit.grading.quiz import Outcome, QuizFile, grade, load

EVERY_TYPE = """
lesson: every
title: Every type
questions:
  - id: one
    type: single
    text: "{n} tokens in blocks of {b}: how many blocks?"
    params: {n: {range: [17, 90, 1]}, b: {choose: [8, 16]}}
    where: n % b != 0
    answer: blocks_needed(n, b)
    options:
      - {value: "blocks_needed(n, b)", feedback: part-filled counts, cell: symptom}
      - {value: "n // b", feedback: rounded down}
      - {value: n, feedback: block size 1}
    explanation: "{n} / {b} rounded up"
  - id: several
    type: multiple
    text: Which are `even`?
    options:
      - {text: two, right: true, feedback: two is}
      - {text: four, right: true, feedback: four is}
      - {text: three, feedback: three is not}
      - {text: five, feedback: five is not}
  - id: draft
    type: sentences
    text: Click what is too broad.
    options:
      - {text: Blocks are of one size., feedback: so they are}
      - {text: Paging *always* helps., right: true, feedback: not one long request, cell: symptom}
      - {text: "Tables map them.", feedback: so they do}
      - {text: "It has no cost at all.", right: true, feedback: a lookup per block}
  - id: bytes
    type: numeric
    text: How many bytes?
    answer: 18 * 1024
    unit: B
    tolerance: "1%"
    feedback: eighteen kibibytes
    otherwise: neither
    near:
      - {value: 9 * 1024, feedback: half of it}
  - id: show
    type: predict
    text: What does it show?
    code: "(None, {n} - 2)"
    params: {n: {choose: [4, 5]}}
    output: "(None, {n - 2})"
    feedback: as it runs
    otherwise: run it in your head
    near:
      - {value: "(None, 0)", feedback: leaked}
  - id: order
    type: ordering
    text: In which order?
    items:
      - {text: first, feedback: begins}
      - {text: second, feedback: follows first}
      - {text: third, feedback: follows second}
      - {text: fourth, feedback: ends}
  - id: match
    type: matching
    text: Who drops what?
    pairs:
      - {left: FIFO, right: A, feedback: the oldest arrival}
      - {left: LRU, right: B, feedback: the longest unused}
      - {left: Belady, right: C, feedback: the furthest next use}
    extra: [D]
    elsewhere:
      A: A is the oldest arrival, and that is not what this one looks at
      B: B has been unused for longest, and that is not what this one looks at
      C: C is wanted last, and that is not what this one looks at
      D: D has just come in
  - id: panel
    type: click
    text: Click the panel that acquits.
    picture:
      size: [300, 100]
      label: three panels
      regions:
        - {text: tokens, box: [0, 0, 90, 90], note: "+4%", feedback: the headline}
        - {text: regret, box: [100, 0, 90, 90], note: "2%", right: true, feedback: hardly any was wanted again}
        - {text: evictions, box: [200, 0, 90, 90], note: x6, feedback: the accusation}
  - id: why
    type: short
    text: How would you verify it?
    rubric:
      need: 1
      min_words: 4
      points:
        - {name: a measurement, any: [measur*, benchmark], found: you measure, missing: nothing is measured}
        - {name: a source, any: [paper], with: [read*], found: you read, missing: no source is named}
    sample: I would measure it on our own trace.
    fails: [It sounds right to me at once.]
"""


@pytest.fixture
def every(tmp_path: Path) -> QuizFile:
    path = tmp_path / "every.yaml"
    path.write_text(EVERY_TYPE, encoding="utf-8")
    return load(path)


def give(quiz: QuizFile, id: str, answer: object, seed: int = 5) -> Outcome:
    return grade(quiz.question(id), answer, seed)


RIGHT = {
    "several": ["two", "four"],
    "draft": ["Paging *always* helps.", "It has no cost at all."],
    "bytes": 18 * 1024,
    "show": None,  # depends on the seed
    "order": ["first", "second", "third", "fourth"],
    "match": {"FIFO": "A", "LRU": "B", "Belady": "C"},
    "panel": "regret",
    "why": "I would measure it twice on our own trace.",
}


@pytest.mark.parametrize("seed", [0, 1, 2, 77])
def test_right_answers_are_right(every: QuizFile, seed: int) -> None:
    for id, answer in RIGHT.items():
        instance = every.question(id).instance(seed)
        outcome = give(every, id, instance.output if id == "show" else answer, seed)
        assert outcome.correct and outcome.score == 1.0, id
        assert outcome.feedback and all(f.say for f in outcome.feedback), id
    values = every.question("one").instance(seed).values
    blocks = -(-values["n"] // values["b"])
    outcome = give(every, "one", str(blocks), seed)
    assert outcome.correct and outcome.explanation == f"{values['n']} / {values['b']} rounded up"


def test_single_by_text_and_by_letter(every: QuizFile) -> None:
    instance = every.question("one").instance(5)
    right = next(o for o in instance.options if o.right)
    wrong = next(o for o in instance.options if not o.right)
    assert give(every, "one", right.id).correct
    assert give(every, "one", right.text).correct
    assert give(every, "one", int(right.text)).correct
    outcome = give(every, "one", wrong.id)
    assert not outcome.correct and outcome.score == 0
    assert [f.say for f in outcome.feedback if f.chosen] == [wrong.feedback]


def test_numbers_stand_in_order_of_size(every: QuizFile) -> None:
    for seed in range(20):
        shown = [int(o.text) for o in every.question("one").instance(seed).options]
        assert shown == sorted(shown)


def test_multiple_partial_credit(every: QuizFile) -> None:
    assert give(every, "several", ["two"]).score == 0.5
    assert give(every, "several", ["two", "three"]).score == 0
    assert give(every, "several", ["two", "four", "three"]).score == 0.5
    assert give(every, "several", ["three", "five"]).score == 0
    outcome = give(every, "several", ["two", "four", "three"])
    assert not outcome.correct and outcome.note == ""
    assert give(every, "several", ["two"]).note == "What is chosen is right, and it is not all."
    told = [give(every, "several", chosen).note for chosen in (["two"], ["two", "three"], ["three"])]
    assert not any(re.search(r"\d", note) for note in told), "how many are right is part of what is asked"


def test_sentences_stand_in_the_order_of_the_file_and_are_judged_each(every: QuizFile) -> None:
    question = every.question("draft")
    orders = {tuple(o.text for o in question.instance(seed).options) for seed in range(20)}
    assert len(orders) == 1 and next(iter(orders))[0] == "Blocks are of one size."
    outcome = give(every, "draft", ["a", "b"])
    assert outcome.score == 0 and outcome.note == ""
    # What was not chosen is not told before the answer is right.
    assert [f["say"] for f in outcome.public()["feedback"]] == ["so they are", "not one long request"]
    assert len(give(every, "draft", ["b", "d"]).public()["feedback"]) == 4
    with pytest.raises(AnswerError, match="letters a, b, c, d, or of the sentences"):
        give(every, "draft", "b")


@pytest.mark.parametrize(
    ("answer", "correct"),
    [
        (18432, True), (18432.0, True), ("18432", True), ("18,432", True), ("18432 B", True), ("18432 bytes", True),
        ("18 KiB", True), ("18kib", True), ("18.0 KiB", True), ("18432.9", True), ("36864/2", True), ("1.8432e4", True),
        (9216, False), ("9 KiB", False), (17000, False), ("18 MiB", False), ("-18432", False),
    ],
)  # fmt: skip
def test_numeric_units_and_tolerance(every: QuizFile, answer: object, correct: bool) -> None:
    assert give(every, "bytes", answer).correct is correct


def test_numeric_says_which_mistake_it_was(every: QuizFile) -> None:
    said = {a: next(f.say for f in give(every, "bytes", a).feedback if f.chosen) for a in (9216, 5)}
    assert said == {9216: "half of it", 5: "neither"}
    kb = give(every, "bytes", "18 kB")
    assert not kb.correct and "KiB" in next(f.say for f in kb.feedback if f.chosen)


def test_predict_is_compared_as_a_value(every: QuizFile) -> None:
    output = every.question("show").instance(1).output
    assert give(every, "show", output.replace(" ", ""), 1).correct
    assert give(every, "show", f"  {output}\n", 1).correct
    leaked = give(every, "show", "None, 0", 1)
    assert not leaked.correct and next(f.say for f in leaked.feedback if f.chosen) == "leaked"
    assert next(f.say for f in give(every, "show", "4", 1).feedback if f.chosen) == "run it in your head"


def test_ordering_partial_credit_and_first_step_out_of_place(every: QuizFile) -> None:
    swapped = give(every, "order", ["first", "third", "second", "fourth"])
    assert not swapped.correct and swapped.score == 0
    assert swapped.note == "The first stands right; step 2 comes too early."
    assert [(f.text, f.right) for f in swapped.feedback if f.chosen] == [("first", True), ("third", False)]
    moved = give(every, "order", ["fourth", "first", "second", "third"])
    assert moved.score == pytest.approx(2 / 3)
    assert give(every, "order", ["fourth", "third", "second", "first"]).score == 0


def test_matching_partial_credit(every: QuizFile) -> None:
    outcome = give(every, "match", {"FIFO": "A", "LRU": "C", "Belady": "B"})
    assert outcome.score == pytest.approx(1 / 3) and outcome.note == ""
    assert [(f.text, f.given, f.right) for f in outcome.feedback] == [
        ("FIFO", "A", True), ("LRU", "C", False), ("Belady", "B", False),
    ]  # fmt: skip
    assert give(every, "match", [["FIFO", "A"], ["LRU", "B"], ["Belady", "C"]]).correct
    assert give(every, "match", {"a": "A", "b": "B", "c": "C"}).correct


def test_a_wrong_pair_is_told_why_it_is_wrong_and_not_what_is_right(every: QuizFile) -> None:
    outcome = give(every, "match", {"FIFO": "A", "LRU": "C", "Belady": "D"})
    assert [f.say for f in outcome.feedback] == [
        "the oldest arrival", "C is wanted last, and that is not what this one looks at", "D has just come in",
    ]  # fmt: skip
    told = str(outcome.public())
    assert "the longest unused" not in told and "the furthest next use" not in told


def test_click(every: QuizFile) -> None:
    wrong = give(every, "panel", "evictions")
    assert not wrong.correct and [f.say for f in wrong.feedback if f.chosen] == ["the accusation"]
    assert give(every, "panel", "b").correct


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("I would measure it twice on our own trace.", ["a measurement"]),
        ("I would read the paper and run our benchmark.", ["a measurement", "a source"]),
        ("The paper is somewhere on the internet.", []),  # it stands there, and nobody reads it
        ("I would not measure it, it is clear.", []),
        ("I never believe it without measuring it first.", ["a measurement"]),
        ("I do not know, but I measure it anyway.", ["a measurement"]),
        ("Without a benchmark, only by asking again.", []),
        ("benchmark benchmark benchmark benchmark", []),
        ("paper read measure", []),
        ("It sounds right to me at once.", []),
    ],
)
def test_short_finds_words_and_says_so(every: QuizFile, text: str, points: list[str]) -> None:
    outcome = give(every, "why", text)
    assert [f.text for f in outcome.feedback if f.right] == points
    assert outcome.correct is bool(points)
    assert "cannot tell whether what you wrote is true" in outcome.note
    assert {f.text for f in outcome.feedback} == {"a measurement", "a source"}  # found and not found are both named


@pytest.mark.parametrize(
    ("id", "answer", "words"),
    [
        ("one", None, "no answer yet"),
        ("one", "z", "'z' is no option"),
        ("one", ["a"], "is no option"),
        ("one", True, "is no option"),
        ("several", "two", "no list of options"),
        ("several", [], "no list of options"),
        ("several", ["two", "six"], "'six' is no option"),
        ("bytes", "many", "is no number"),
        ("bytes", "1,5", "write a point, not a comma"),
        ("bytes", "18 tokens", "has the unit 'tokens'"),
        ("bytes", float("nan"), "no finite number"),
        ("bytes", "3/0", "divides by zero"),
        ("bytes", True, "is no number"),
        ("bytes", [1], "is no number"),
        ("bytes", "1e999", "no finite number"),
        ("bytes", 10**400, "larger than any number"),
        ("bytes", "9" * 5000, "5,000 characters"),
        ("show", 3, "is no text"),
        ("order", ["first", "second"], "each of the 4 items once"),
        ("order", ["first", "first", "third", "fourth"], "3 of them different"),
        ("order", "first", "no list of items"),
        ("match", {"FIFO": "A"}, "leaves out: LRU, Belady"),
        ("match", {"FIFO": "Z", "LRU": "B", "Belady": "C"}, "'Z' is no right side"),
        ("match", {"fifo": "A"}, "'fifo' is no left side"),
        ("match", "A", "is no object"),
        ("panel", "nowhere", "is no option"),
        ("why", "   ", "no answer yet"),
        ("why", 7, "is no text"),
    ],
)
def test_malformed_answers_are_refused_in_words(every: QuizFile, id: str, answer: object, words: str) -> None:
    with pytest.raises(AnswerError, match=words) as caught:
        give(every, id, answer)
    assert "\n" not in str(caught.value)


def test_without_a_seed_the_learners_own_is_taken(every: QuizFile) -> None:
    from labkit.grading.progress import Progress

    question = every.question("one")
    right = next(o.text for o in question.instance(Progress().seed()).options if o.right)
    assert grade(question, right).correct


def test_only_what_concerns_the_answer_is_public_until_it_is_right(every: QuizFile) -> None:
    instance = every.question("one").instance(5)
    wrong = next(o for o in instance.options if not o.right)
    right = next(o for o in instance.options if o.right)
    told = str(give(every, "one", wrong.id).public())
    assert right.feedback not in told and "explanation" not in told and "key" not in told
    assert right.feedback in str(give(every, "one", wrong.id).public(reveal=True))
    assert "explanation" in give(every, "one", right.id).public()


def test_unknown_question_and_quiz() -> None:
    with pytest.raises(LessonError, match="there is no quiz for 'nine'"):
        load("nine")
    with pytest.raises(LessonError, match="has no question 'nope'; it has: main-idea"):
        load("final").question("nope")
