"""Quizzes: one YAML file per lesson in `quizzes/`, graded here, in Python; the key never reaches the browser.

For those who write questions
=============================

`quizzes/04_block_pool.yaml` belongs to lesson 04_block_pool. `labkit quiz lint` tells what is wrong with it, by file,
line, field and remedy; `labkit quiz show 04` prints it as a learner sees it.

    lesson: 04_block_pool            # the file's own name
    title: The block pool
    questions:
      - id: last-blocks              # lower case and dashes; progress is kept under it
        type: single
        text: "{n} tokens, block size {b}. How many blocks?"
        cell: ex-blocks-needed       # optional: the notebook cell that shows the answer
        params:                      # each learner gets other numbers, the same ones every time
          n: {range: [17, 90, 1]}    # first, last (included), step
          b: {choose: [8, 16]}
        where: n % b != 0            # optional: draws must meet this
        let: {need: "blocks_needed(n, b)"}      # optional: names for expressions
        answer: need                 # with `value:` options: the option of this value is right
        options:
          - {value: need, feedback: "The part-filled block counts whole."}
          - {value: need - 1, feedback: "Rounding down leaves the last tokens without a place.", cell: symptom}
          - {value: n, feedback: "One block a token is what block size 1 would take."}
        explanation: "{n} / {b} rounded up is {need}."     # shown with the whole key

Text, code, feedback and options take `{expression}` and `{expression:,}`; write `{{` for a brace. An expression is
arithmetic, comparisons, `a if c else b` and calls of the functions of `labkit.cache.geometry` and
`labkit.cache.block_table` (`blocks_needed`, `slot_of`, `kv_bytes_per_token`, ...) and a few of Python's
(`labkit.grading.quiz_values`). In text, `code` and **bold** are shown as such.

Every question may have `code:`, `cell:`, `explanation:`, `from: "02"` (an earlier lesson where it was seen),
`prediction: true` with `reveals: "..."` (asked once by `predict(lesson, id)` before the cell that reveals it; `reveals`
says what that cell will show). Every option has its own `feedback`, which names the consequence, and may name a `cell`.

    type: single     options: [{text | value, right: true | expression, feedback, cell}], or `answer:` with values
    type: multiple   the same; one or more are right
                     score: (rightly chosen - wrongly chosen) / right ones, not below 0
    type: sentences  the same, for the sentences of a text, in their order: those that are asked for
    type: numeric    answer: expression; unit: blocks; tolerance: 0.5 or "2%" (0 when left out)
                     near: [{value: expression, feedback}]   what a particular mistake would answer
                     feedback: for the right number; otherwise: for any other number
                     bytes (B, KiB, MiB, GiB, kB, MB, GB), times (s, ms, us) and shares (%) are converted
    type: predict    code: ...; output: "None, {n - 2}"  typed by the learner, compared as a Python value or as text
                     near, feedback, otherwise as numeric; or options as single
                     setup: lines before it that are not shown; lint runs the code and compares (run: false: not)
    type: ordering   items: [{text, feedback}] in the right order; feedback says why it stands where it stands
                     score: share of neighbouring pairs of the right order that stand in order
    type: matching   pairs: [{left, right, feedback}]; extra: [right sides that match nothing]
                     elsewhere: {right side: said to whoever gives it to a left one that it does not belong to}
                     score: share of pairs matched
    type: click      picture: {size: [400, 120], label: "what it shows",
                       draw: [{write: "free", at: [10, 14]}, {line: [[0, 20], [400, 20]], dash: true},
                              {box: [0, 30, 40, 40], look: held, seq: A, fill: 0.5, mark: A}],
                       regions: [{text: "block 3", box: [50, 30, 40, 40], look: cached, mark: "3", note: "61%",
                                  right: true, feedback: ...}]}
                     looks: plain held shared cached free accent; seq A-F gives the sequence's colour; one is right
    type: short      rubric: {need: 1, min_words: 6, points: [{name: a measurement, any: [measur*, benchmark],
                       with: [optional second list], found: ..., missing: ...}]}
                     sample: an answer that passes; fails: [answers that must not]; lint holds the rubric to both
                     score: points found / points needed

A placement quiz also has `skip: {lesson: "01", score: 5, enough: ..., below: ...}`.

Single and multiple options and matching sides are shuffled by seed, or sorted where all are numbers (`shuffle: false`
keeps the order of the file); ordering items are always shuffled.

Answers, as `grade` and `labkit quiz grade` take them: the text of the option, or its letter as shown (single, click,
predict with options); a list of them (multiple, sentences, and ordering from first to last); an object left -> right
(matching); a number or text with a unit, "18 KiB" (numeric); text (predict, short).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import LessonError
from labkit.grading.quiz_file import QuizSource, quiz_path, read
from labkit.grading.quiz_grade import Feedback, Outcome, grade
from labkit.grading.quiz_question import Instance, Option, Question
from labkit.paths import quizzes_dir

__all__ = ["Feedback", "Instance", "Option", "Outcome", "Question", "QuizFile", "Skip", "grade", "load", "load_all"]


@dataclass(frozen=True)
class Skip:
    """What the score of a placement quiz means."""

    lesson: str
    score: int
    enough: str
    below: str


@dataclass(frozen=True)
class QuizFile:
    """A quiz file that obeys the schema. `questions` are in the order of the file, predictions included."""

    lesson: str
    title: str
    intro: str
    questions: tuple[Question, ...]
    skip: Skip | None
    source: QuizSource

    def __iter__(self) -> Iterator[Question]:
        return iter(self.questions)

    @property
    def ids(self) -> list[str]:
        """The ids of all questions."""
        return [q.id for q in self.questions]

    @property
    def graded(self) -> list[Question]:
        """The questions of the quiz itself: all but the predictions."""
        return [q for q in self.questions if not q.prediction]

    @property
    def predictions(self) -> list[Question]:
        """The questions asked before a cell that reveals them."""
        return [q for q in self.questions if q.prediction]

    def question(self, id: str) -> Question:
        """The question named `id`.

        Raises:
            LessonError: there is none.
        """
        for question in self.questions:
            if question.id == id:
                return question
        raise LessonError(
            f"the quiz of {self.lesson} has no question '{id}'; it has: {', '.join(self.ids)}. Name one of these"
        )


def load(lesson: str | Path, validate: bool | None = None) -> QuizFile:
    """Read the quiz of a lesson ("04", "04_block_pool", "block_pool", "final", "placement") or a quiz file.

    Args:
        lesson: which.
        validate: whether to hold the file to the schema; by default where it is not one of the course, whose files
            are held to it when the course is tested and built.

    Raises:
        LessonError: there is no such quiz.
        QuizFileError: the file is malformed; the message names file, line, field and remedy.
    """
    path = quiz_path(lesson)
    source = read(path, path.parent != quizzes_dir() if validate is None else validate)
    data = source.data
    questions = tuple(
        Question(data["lesson"], raw, source, ("questions", i)) for i, raw in enumerate(data["questions"])
    )
    skip = Skip(**data["skip"]) if "skip" in data else None
    return QuizFile(data["lesson"], data["title"], data.get("intro", ""), questions, skip, source)


def load_all() -> list[QuizFile]:
    """Every quiz file of the course, in the order of their names."""
    return [load(path) for path in sorted(quizzes_dir().glob("*.yaml"))]
