"""The quiz card: one question at a time, answered in the page, graded here.

What the page holds is `Instance.shown()` of each question and, once an answer was given, what may be said to it. The
key stays in Python: a page that never held it cannot leak it, into a saved notebook either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import traitlets

from labkit.errors import AnswerError, LabkitError, LessonError
from labkit.grading.quiz import Instance, Outcome, QuizFile, load
from labkit.grading.quiz_grade import grade_instance, key_outcome
from labkit.grading.quiz_question import plain
from labkit.widgets.base import LabWidget

if TYPE_CHECKING:
    from labkit.grading.progress import Progress

Mode = Literal["lesson", "prediction", "placement", "final"]
GAVE_UP, COMPARED = "gave_up", "compared"
"""What is kept in place of an answer, with the answer under it: shown on request, and held against the cell."""


class QuizWidget(LabWidget):
    """Questions of one quiz file in one card.

    Args:
        quiz_file: a lesson ("04"), a path, or what `labkit.grading.quiz.load` returned.
        question_ids: which questions, in this order; left out: all that are no predictions.
        mode: "lesson" and "final": try until it is right or shown. "placement": each question once, then what the
            score means. "prediction": asked once; what was predicted is kept, and compared when the learner says so.
        progress: where answers are kept; left out, this machine's.
        seed: for the numbers; left out, the learner's own.

    Raises:
        LessonError: no such quiz or question, or nothing to ask. QuizFileError: the file is malformed.
    """

    _name: ClassVar[str] = "quiz"

    head = traitlets.Dict(help="title, mode, lesson, intro").tag(sync=True)
    questions = traitlets.List(help="what is shown of each question; never its key").tag(sync=True)
    states = traitlets.Dict(help="by question id: the answer given and what was said to it").tag(sync=True)
    result = traitlets.Dict(help="how many are right, and what that means").tag(sync=True)
    at = traitlets.Int(0, help="index of the question in front").tag(sync=True)

    def __init__(
        self,
        quiz_file: QuizFile | str | Path,
        question_ids: Iterable[str] | None = None,
        mode: Mode = "lesson",
        progress: Progress | None = None,
        seed: int | None = None,
    ) -> None:
        if mode not in ("lesson", "prediction", "placement", "final"):
            raise ValueError(f"mode is {mode!r}; it must be lesson, prediction, placement or final")
        if progress is None:
            from labkit.grading.progress import Progress

            progress = Progress()
        self._quiz = quiz_file if isinstance(quiz_file, QuizFile) else load(quiz_file)
        self._mode = mode
        self._progress = progress
        self._trouble = ""
        if question_ids is None:
            chosen = self._quiz.predictions if mode == "prediction" else self._quiz.graded
        else:
            chosen = [self._quiz.question(id) for id in question_ids]
        if not chosen:
            kind = "predictions" if mode == "prediction" else "questions"
            raise LessonError(
                f"the quiz of {self._quiz.lesson} has no {kind} to ask; add one to {self._quiz.source.path}"
            )
        if seed is None:
            seed = self._seed()
        self._instances: dict[str, Instance] = {q.id: q.instance(seed) for q in chosen}
        kept = self._kept()
        states = {id: self._restored(instance, kept.get(id)) for id, instance in self._instances.items()}
        number, _, _ = self._quiz.lesson.partition("_")
        open_ones = [i for i, id in enumerate(self._instances) if not states[id]["done"]]
        super().__init__(
            head={
                "title": self._quiz.title,
                "lesson": number if number.isdigit() else "",
                "mode": mode,
                "intro": self._quiz.intro,
            },
            questions=[i.shown() for i in self._instances.values()],
            states=states,
            result=self._result(states),
            at=open_ones[0] if open_ones else 0,
        )

    # -- progress -------------------------------------------------------------------------------------------

    def _seed(self) -> int:
        try:
            return self._progress.seed()
        except LabkitError as error:
            self._trouble = str(error)
            return 0

    def _kept(self) -> dict[str, dict[str, Any]]:
        try:
            return self._progress.answers(self._quiz.lesson)
        except LabkitError as error:
            self._trouble = str(error)
            return {}

    def _keep(self, id: str, answer: Any, correct: bool, score: float) -> str:
        """Keep an answer; a sentence where that failed, since a graded answer is worth showing all the same."""
        try:
            self._progress.save_answer(self._quiz.lesson, id, answer, correct, score)
        except LabkitError as error:
            return f"This answer could not be kept: {error}"
        return ""

    def _restored(self, instance: Instance, kept: dict[str, Any] | None) -> dict[str, Any]:
        """The state of a question from what was kept of it; unanswered where the file has changed since."""
        if kept is None:
            return _state(trouble=self._trouble)
        answer, attempts = kept["answer"], int(kept["attempts"])
        if isinstance(answer, dict) and GAVE_UP in answer:
            return self._given_up(instance, attempts, answer[GAVE_UP])
        compared = isinstance(answer, dict) and COMPARED in answer
        try:
            outcome = grade_instance(instance, answer[COMPARED] if compared else answer)
        except AnswerError:
            return _state(attempts=attempts)
        return self._state_of(instance, outcome, attempts, compared=compared)

    def _given_up(self, instance: Instance, attempts: int, last: Any) -> dict[str, Any]:
        """The key; among options to choose from, the last choice stays marked."""
        outcome = key_outcome(instance)
        if instance.question.picked:
            try:
                outcome = replace(grade_instance(instance, last), note="")
            except AnswerError:
                last = None
        return self._state_of(instance, outcome, attempts, gave_up=True, last=last)

    # -- states ---------------------------------------------------------------------------------------------

    def _state_of(
        self,
        instance: Instance,
        outcome: Outcome,
        attempts: int,
        gave_up: bool = False,
        last: Any = None,
        compared: bool = False,
    ) -> dict[str, Any]:
        answer = instance.to_ids(last if gave_up else outcome.answer)
        if self._mode == "prediction" and not compared:
            kept = " ".join(filter(None, ("Your prediction is kept.", instance.reveals)))
            return _state(answer=answer, attempts=attempts, done=True, waiting=True, note=kept)
        once = self._mode in ("placement", "prediction")
        reveal = outcome.correct or gave_up or once
        return _state(
            answer=answer,
            attempts=attempts,
            done=reveal,
            correct=outcome.correct,
            gave_up=gave_up,
            outcome=self._public(instance, outcome, reveal),
        )

    def _public(self, instance: Instance, outcome: Outcome, reveal: bool) -> dict[str, Any]:
        public = outcome.public(reveal)
        del public["answer"]  # the state holds it in ids
        ids = {o.plain: o.id for o in instance.options} | {plain(p.left): p.id for p in instance.pairs}
        for said in public["feedback"]:
            said["id"] = ids.get(said["text"], "")
        return public

    def _result(self, states: dict[str, dict[str, Any]]) -> dict[str, Any]:
        total, right = len(states), sum(s["correct"] for s in states.values())
        done = sum(s["done"] for s in states.values())
        text = ""
        if self._mode != "prediction" and done == total:
            text = f"{right} of {total} right."
            skip = self._quiz.skip
            if self._mode == "placement" and skip is not None:
                text += f" {skip.enough if right >= skip.score else skip.below}"
        return {"total": total, "right": right, "done": done, "text": text}

    def _set(self, id: str, state: dict[str, Any]) -> None:
        states = {**self.states, id: state}
        with self.hold_sync():
            self.states = states
            self.result = self._result(states)

    # -- messages -------------------------------------------------------------------------------------------

    def handle(self, content: dict[str, Any], buffers: list[memoryview]) -> None:
        """`answer`, `reveal` and `compare`, each with the `id` of a question."""
        instance = self._instances.get(str(content.get("id")))
        if instance is None:
            return
        match content.get("type"):
            case "answer":
                try:
                    self.answer(instance.question.id, instance.from_ids(content.get("answer")))
                except AnswerError as error:
                    self.send({"type": "refused", "id": instance.question.id, "text": str(error)})
            case "reveal":
                self.reveal(instance.question.id)
            case "compare":
                self.compare(instance.question.id)

    def answer(self, id: str, answer: Any) -> None:
        """Grade an answer (in texts, as `grade` takes them), keep it and show what is said to it.

        Raises:
            AnswerError: it has the wrong shape; nothing is kept.
        """
        if self.states[id]["done"]:
            return
        instance = self._instances[id]
        outcome = grade_instance(instance, answer)
        trouble = self._keep(id, outcome.answer, outcome.correct, outcome.score)
        state = self._state_of(instance, outcome, self.states[id]["attempts"] + 1)
        self._set(id, {**state, "trouble": trouble})

    def reveal(self, id: str) -> None:
        """Show the key of a question that was tried and not met; kept as given up."""
        before = self.states[id]
        if before["done"] or not before["attempts"]:
            return
        instance = self._instances[id]
        last = self._kept().get(id, {}).get("answer")
        trouble = self._keep(id, {GAVE_UP: last}, False, 0.0)
        self._set(id, {**self._given_up(instance, before["attempts"], last), "trouble": trouble})

    def compare(self, id: str) -> None:
        """Show what is said to a prediction, once the learner has run the cell that reveals it; it stays shown."""
        before = self.states[id]
        if not before["waiting"]:
            return
        instance = self._instances[id]
        outcome = grade_instance(instance, instance.from_ids(before["answer"]))
        trouble = self._keep(id, {COMPARED: outcome.answer}, outcome.correct, outcome.score)
        state = self._state_of(instance, outcome, before["attempts"], compared=True)
        self._set(id, {**state, "trouble": trouble})

    # -- text ------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """One line: title and number of questions."""
        count = len(self._instances)
        kinds = {"prediction": "Prediction", "placement": "Placement quiz", "final": "Final quiz"}
        kind = kinds.get(self._mode, "Quiz")
        return f"{kind}: {self._quiz.title} ({count} question{'s' if count != 1 else ''})"

    def text_form(self) -> str:
        """The questions as plain text, without the key."""
        several = len(self._instances) > 1
        parts = [i.as_text(f"{n}. " if several else "") for n, i in enumerate(self._instances.values(), 1)]
        return "\n\n".join([self.summary(), *parts])


def _state(**given: Any) -> dict[str, Any]:
    base = {"answer": None, "attempts": 0, "done": False, "correct": False, "gave_up": False, "waiting": False}
    return {**base, "outcome": None, "note": "", "trouble": "", **given}
