"""Whatever the question, the page never holds the key before an answer, nor the order of options betray it."""

# ruff: noqa: E501 (tables read better with a case a line)

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.grading.quiz import Question, load, load_all
from labkit.grading.quiz_grade import grade_instance, key_outcome
from labkit.widgets.quiz import QuizWidget

ROOT = Path(__file__).resolve().parents[2]

MADE = """
lesson: made
title: Made
questions:
  - {id: s, type: single, text: t, options: [{text: aa, right: true, feedback: "§1"}, {text: bb, feedback: "§2"}], explanation: "§0"}
  - {id: m, type: multiple, text: t, options: [{text: aa, right: true, feedback: "§1"}, {text: bb, feedback: "§2"}]}
  - {id: d, type: sentences, text: t, options: [{text: aa, right: true, feedback: "§1"}, {text: bb, feedback: "§2"}, {text: cc, feedback: "§3"}]}
  - {id: n, type: numeric, text: t, params: {n: {range: [1, 900, 1]}}, answer: n * 1000 + 77, feedback: "§1", otherwise: "§2", near: [{value: n, feedback: "§3"}]}
  - {id: p, type: predict, text: t, code: "6 * 7 * 1234", output: "51828", feedback: "§1", otherwise: "§2", near: [{value: "3", feedback: "§3"}]}
  - {id: po, type: predict, text: t, code: "1", options: [{text: "1", right: true, feedback: "§1"}, {text: "2", feedback: "§2"}]}
  - {id: o, type: ordering, text: t, items: [{text: i1, feedback: "§1"}, {text: i2, feedback: "§2"}, {text: i3, feedback: "§3"}]}
  - {id: x, type: matching, text: t, pairs: [{left: l1, right: rr, feedback: "§1"}, {left: l2, right: qq, feedback: "§2"}]}
  - {id: c, type: click, text: t, picture: {size: [9, 9], label: p, regions: [{text: aa, box: [0, 0, 1, 1], right: true, feedback: "§1"}, {text: bb, box: [2, 2, 1, 1], feedback: "§2"}]}}
  - {id: w, type: short, text: t, rubric: {points: [{name: "§n", any: [kwaste], found: "§1", missing: "§2"}]}, sample: the kwaste}
  - {id: g, type: single, prediction: true, reveals: r, text: t, options: [{text: aa, right: true, feedback: "§1"}, {text: bb, feedback: "§2"}]}
"""


@functools.cache
def questions() -> tuple[tuple[Any, Question], ...]:
    import tempfile

    path = Path(tempfile.mkdtemp()) / "made.yaml"
    path.write_text(MADE, encoding="utf-8")
    return tuple((quiz, question) for quiz in [load(path), *load_all()] for question in quiz.questions)


def secrets(question: Question, seed: int) -> set[str]:
    """Every text that only the key holds."""
    instance = question.instance(seed)
    out = {f.say for f in key_outcome(instance).feedback} | {instance.explanation, instance.sample, instance.otherwise}
    out |= {n.feedback for n in instance.near} | {p.found for p in instance.points}
    out |= {word for p in instance.points for word in p.any if "*" in word or question.lesson == "made"}
    if question.type == "numeric" and question.lesson == "made":
        out.add(str(instance.answer))
    if question.lesson == "made" and question.type == "predict" and instance.output:
        out.add(instance.output)
    return {text for text in out if text}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), seed=st.integers(0, 2**31))
def test_nothing_of_the_key_is_in_the_state_before_an_answer(data: st.DataObject, seed: int) -> None:
    quiz, question = data.draw(st.sampled_from(questions()))
    mode = "prediction" if question.prediction else "lesson"
    widget = QuizWidget(quiz, [question.id], mode=mode, seed=seed)
    state = widget.get_state()
    assert state.pop("_esm")
    text = json.dumps(state, default=str, ensure_ascii=False)
    for secret in secrets(question, seed):
        assert json.dumps(secret, ensure_ascii=False)[1:-1] not in text
    for shown in state["questions"]:
        assert set(shown) <= {
            "id", "type", "text", "code", "from", "prediction", "options", "unit", "within", "lefts", "sides", "picture",
        }  # fmt: skip
        for part in (*shown.get("options", []), *shown.get("lefts", []), *shown.get("sides", [])):
            assert set(part) == {"id", "text"}
        for region in shown.get("picture", {}).get("regions", []):
            assert set(region) <= {"id", "text", "box", "look", "mark", "note", "seq", "fill"}
    for secret in secrets(question, seed):
        assert secret not in repr(widget)


@pytest.mark.parametrize("kind", ["s", "m", "o", "x"])
def test_the_place_of_an_option_does_not_tell_the_key(kind: str) -> None:
    quiz = questions()[0][0]
    places = []
    for seed in range(120):
        instance = quiz.question(kind).instance(seed)
        if kind == "x":
            places.append(instance.sides.index("rr"))
        else:
            wanted = instance.order[0] if kind == "o" else "aa"
            places.append([o.plain for o in instance.options].index(wanted))
    counts = [places.count(i) for i in range(3 if kind == "o" else 2)]
    assert min(counts) > (12 if kind == "o" else 40), counts


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), seed=st.integers(0, 2**31))
def test_the_key_grades_as_right_and_what_is_kept_grades_the_same(data: st.DataObject, seed: int) -> None:
    _, question = data.draw(st.sampled_from(questions()))
    instance = question.instance(seed)
    match question.type:
        case "multiple" | "sentences":
            key: Any = [o.plain for o in instance.options if o.right]
        case "ordering":
            key = list(instance.order)
        case "matching":
            key = {p.left: p.right for p in instance.pairs}
        case "numeric":
            key = instance.answer
        case "short":
            key = instance.sample
        case _:
            key = next((o.plain for o in instance.options if o.right), instance.output)
    outcome = grade_instance(instance, key)
    assert outcome.correct and outcome.score == 1.0
    assert grade_instance(instance, json.loads(json.dumps(outcome.answer))) == outcome
    if question.type != "numeric":
        assert instance.from_ids(instance.to_ids(outcome.answer)) == outcome.answer


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.data(),
    answer=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
)
def test_any_answer_is_graded_or_refused_in_one_sentence(data: st.DataObject, answer: Any) -> None:
    from labkit.errors import AnswerError

    _, question = data.draw(st.sampled_from(questions()))
    try:
        outcome = grade_instance(question.instance(7), answer)
    except AnswerError as error:
        assert str(error)
    else:
        assert 0 <= outcome.score <= 1 and outcome.correct is (outcome.score == 1)
