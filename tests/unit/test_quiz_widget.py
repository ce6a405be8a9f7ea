"""The quiz card from the Python side: what is sent, kept and restored; its text and its picture."""

# ruff: noqa: E501 (tables read better with a case a line)

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labkit.errors import AnswerError, LessonError, ProgressError
from labkit.grading.progress import Progress
from labkit.grading.quiz import load
from labkit.widgets.quiz import QuizWidget

FILE = """
lesson: card
title: The card
questions:
  - id: one
    type: single
    text: Which?
    options:
      - {text: apple, right: true, feedback: apple is it}
      - {text: pear, feedback: a pear has another stem}
      - {text: plum, feedback: a plum is smaller}
    explanation: Because.
  - id: order
    type: ordering
    text: Order?
    items: [{text: a1, feedback: f1}, {text: b2, feedback: f2}, {text: c3, feedback: f3}]
  - id: match
    type: matching
    text: Match?
    pairs: [{left: x, right: "1", feedback: gx}, {left: y, right: "2", feedback: gy}]
  - id: guess
    type: single
    prediction: true
    reveals: The next cell counts.
    text: What will it say?
    options:
      - {text: two, right: true, feedback: two were left}
      - {text: four, feedback: four is the whole}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "card.yaml"
    path.write_text(FILE, encoding="utf-8")
    return path


def click(widget: QuizWidget, id: str, text: str) -> None:
    """Answer as the page does: by the id of the option."""
    shown = next(q for q in widget.questions if q["id"] == id)
    option = next(o["id"] for o in shown["options"] if o["text"] == text)
    widget._on_page_message(widget, {"type": "answer", "id": id, "answer": option}, [])


def test_a_wrong_answer_gets_its_own_feedback_and_no_other(file: Path) -> None:
    widget = QuizWidget(file)
    click(widget, "one", "pear")
    state = widget.states["one"]
    assert [f["say"] for f in state["outcome"]["feedback"]] == ["a pear has another stem"]
    assert not state["done"] and state["attempts"] == 1
    assert "apple is it" not in str(widget.get_state()) and "Because." not in str(widget.get_state())
    click(widget, "one", "apple")
    state = widget.states["one"]
    assert state["done"] and state["correct"] and state["attempts"] == 2
    assert len(state["outcome"]["feedback"]) == 3 and state["outcome"]["explanation"] == "Because."
    click(widget, "one", "pear")  # what is done stays done
    assert widget.states["one"]["attempts"] == 2


def test_answers_are_kept_and_restored(file: Path) -> None:
    widget = QuizWidget(file)
    click(widget, "one", "pear")
    widget.answer("order", ["b2", "a1", "c3"])
    widget.answer("match", {"x": "1", "y": "2"})
    kept = Progress().answers("card")
    assert kept["one"]["answer"] == "pear" and kept["one"]["correct"] is False
    again = QuizWidget(file)
    assert again.states == widget.states
    assert again.result["right"] == 1
    assert again.at == 0
    click(again, "one", "apple")
    assert Progress().answers("card")["one"]["attempts"] == 2
    assert QuizWidget(file).at == 1  # the first question that is not done


def test_giving_up_shows_the_key_once_tried_and_is_kept(file: Path) -> None:
    widget = QuizWidget(file)
    widget.reveal("one")
    assert not widget.states["one"]["done"]  # not before a try
    click(widget, "one", "plum")
    widget.reveal("one")
    for state in (widget.states["one"], QuizWidget(file).states["one"]):
        assert state["gave_up"] and state["done"] and not state["correct"]
        assert {f["text"]: (f["chosen"], f["right"]) for f in state["outcome"]["feedback"]} == {
            "apple": (False, True), "pear": (False, False), "plum": (True, False),
        }  # fmt: skip
    assert Progress().answers("card")["one"]["correct"] is False
    widget.answer("order", ["c3", "b2", "a1"])
    widget.reveal("order")
    assert [f["text"] for f in widget.states["order"]["outcome"]["feedback"]] == ["a1", "b2", "c3"]


def test_a_prediction_is_asked_once_and_compared_later(file: Path) -> None:
    widget = QuizWidget(file, ["guess"], mode="prediction")
    click(widget, "guess", "four")
    state = widget.states["guess"]
    assert state["waiting"] and state["outcome"] is None
    assert state["note"] == "Your prediction is kept. The next cell counts."
    click(widget, "guess", "two")
    assert Progress().answers("card")["guess"]["answer"] == "four"
    assert QuizWidget(file, ["guess"], mode="prediction").states["guess"] == state
    widget._on_page_message(widget, {"type": "compare", "id": "guess"}, [])
    state = widget.states["guess"]
    assert not state["waiting"] and not state["correct"] and len(state["outcome"]["feedback"]) == 2
    again = QuizWidget(file, ["guess"], mode="prediction")  # the cell is run once more, as by Run All
    assert {**again.states["guess"], "attempts": 0} == {**state, "attempts": 0}
    again.compare("guess")
    again.answer("guess", "two")
    assert again.states["guess"]["answer"] == state["answer"]


def test_predictions_and_questions_are_told_apart(file: Path) -> None:
    assert [q["id"] for q in QuizWidget(file).questions] == ["one", "order", "match"]
    assert [q["id"] for q in QuizWidget(file, mode="prediction").questions] == ["guess"]
    with pytest.raises(LessonError, match="no question 'none'"):
        QuizWidget(file, ["none"])
    with pytest.raises(ValueError, match="mode"):
        QuizWidget(file, mode="exam")  # type: ignore[arg-type]


@pytest.mark.parametrize("right", [6, 5, 4])
def test_placement_says_what_the_score_means(right: int) -> None:
    quiz = load("placement")
    widget = QuizWidget(quiz, mode="placement")
    seed = Progress().seed()
    for n, question in enumerate(quiz.questions):
        widget.answer(question.id, _answer(question.instance(seed), n < right))
        assert widget.states[question.id]["done"]  # each is asked once
    assert quiz.skip is not None
    meaning = quiz.skip.enough if right >= 5 else quiz.skip.below
    assert widget.result["text"] == f"{right} of 6 right. {meaning}"


def _answer(instance: Any, right: bool) -> Any:
    if instance.options:
        return next(o.plain for o in instance.options if o.right is right)
    if instance.pairs:
        return {p.left: p.right if right else instance.sides[-1] for p in instance.pairs}
    return instance.answer + (0 if right else 1000)


def test_malformed_messages_are_answered_or_ignored(file: Path) -> None:
    widget = QuizWidget(file)
    sent: list[Any] = []
    widget.send = lambda content, buffers=None: sent.append(content)  # type: ignore[method-assign]
    before = dict(widget.states)
    for message in (
        None, 3, {}, {"type": "answer"}, {"type": "answer", "id": "nope", "answer": "a"}, {"type": "other", "id": "one"},
        {"type": "compare", "id": "one"}, {"type": "reveal", "id": "one"},
    ):  # fmt: skip
        widget._on_page_message(widget, message, [])
    assert sent == []
    for answer in ("zz", None, ["a"], {}):
        widget._on_page_message(widget, {"type": "answer", "id": "one", "answer": answer}, [])
    widget._on_page_message(widget, {"type": "answer", "id": "match", "answer": {"a": "a"}}, [])
    widget._on_page_message(widget, {"type": "answer", "id": "order", "answer": ["a", "a", "b"]}, [])
    assert [m["type"] for m in sent] == ["refused"] * 6
    assert widget.states == before and Progress().answers("card") == {}
    with pytest.raises(AnswerError):
        widget.answer("one", "")


def test_a_file_that_changed_since_forgets_the_answer_and_not_the_attempts(file: Path) -> None:
    widget = QuizWidget(file)
    click(widget, "one", "pear")
    file.write_text(FILE.replace("text: pear", "text: quince"), encoding="utf-8")
    state = QuizWidget(file).states["one"]
    assert state["answer"] is None and state["outcome"] is None and state["attempts"] == 1


class BrokenProgress:
    """A progress store whose disk is gone."""

    def seed(self) -> int:
        raise ProgressError("the progress file cannot be read; free some space")

    answers = save_answer = lambda self, *args: self.seed()


def test_without_progress_the_quiz_still_works_and_says_so(file: Path) -> None:
    widget = QuizWidget(file, progress=BrokenProgress())  # type: ignore[arg-type]
    assert "cannot be read" in widget.states["one"]["trouble"]
    click(widget, "one", "apple")
    state = widget.states["one"]
    assert state["correct"] and state["trouble"].startswith("This answer could not be kept:")


def test_text_form_is_stable_and_holds_no_key(file: Path) -> None:
    text = repr(QuizWidget(file))
    assert text == repr(QuizWidget(file))
    assert text.startswith("Quiz: The card (3 questions)\n\n1. Which?\n   (a) ")
    for kept in ("apple is it", "Because", "f1", "gx", "0x"):
        assert kept not in text
    order = [line.strip()[4:] for line in text.splitlines() if line.strip()[4:] in ("a1", "b2", "c3")]
    assert len(order) == 3 and order != ["a1", "b2", "c3"]
