"""What a lesson's notebook calls: one line to start, then quizzes, predictions, the save point and the end.

    from labkit.lesson import start, predict, quiz, save_point, finish
    start("04")

Importing this is cheap; widgets are loaded when they are shown.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def start(name: str) -> Any:
    """Open a lesson: makes `%%exercise` known, starts the warm worker and returns the opening card."""
    from labkit import exercise_magic, specs
    from labkit.grading import runner
    from labkit.widgets import OpeningCard

    lesson = specs.lesson(name)
    exercise_magic.register(lesson.key)
    if lesson.exercises:
        checks = [exercise.spec for exercise in lesson.exercises]
        kernels = any(s.needs_triton for s in checks)
        runner.warm(torch=any(s.needs_torch for s in checks), triton=kernels)
        if kernels and not Path("/dev/nvidiactl").exists():
            # Before some part of torch imports Triton: at its first import it decides how kernels are run.
            os.environ.setdefault("TRITON_INTERPRET", "1")
    return OpeningCard(lesson.number)


def quiz(name: str, first: int | None = None) -> Any:
    """The questions at the end of a lesson: five of its own and one from an earlier lesson.

    Args:
        name: a lesson; or "placement", "facts", "practice" or "final", which belong to the whole course.
        first: only so many of them, from the beginning; left out, all.
    """
    from labkit.grading.quiz import load
    from labkit.widgets import QuizWidget

    mode = name if name in ("placement", "final") else "lesson"
    questions = load(name)
    return QuizWidget(questions, [question.id for question in questions.graded[:first]], mode=mode)


def predict(name: str, question: str) -> Any:
    """One prediction, asked before the cell that shows what happens.

    The question "verify" is a claim to be judged after the fact, so it is answered at once like those at the end.
    """
    from labkit.widgets import QuizWidget

    return QuizWidget(name, [question], mode="lesson" if question == "verify" else "prediction")


def save_point(name: str) -> Any:
    """The middle of a lesson: what is passed so far, and that one may stop here."""
    from labkit.widgets import ProgressOverview

    return ProgressOverview(lesson=name)


def finish(name: str) -> Any:
    """The end of a lesson: what the learner can say now, what of the engine is theirs, and the next notebook."""
    from labkit.widgets import LessonEnd

    return LessonEnd(name)


LIVE_QUESTIONS = {
    "A": "Why is the sky blue?",
    "B": "What do bees do all day?",
    "C": "Tell me about Paris.",
}
"""What the model is asked in lesson 00, and again on the learner's own parts."""


def live_answer(*slots: str) -> None:
    """Lesson 00's live answer: three questions answered at once by the model, on the parts in use, watched as it runs.

    Args:
        slots: boxes of the engine map, such as "block_pool"; whose each of them is, is printed.
    """
    from IPython.display import display

    from labkit import engine
    from labkit.observe.events import EventLog
    from labkit.serving import load
    from labkit.widgets import PageTable

    whose = " · ".join(f"{engine.slot(name).title}: {engine.owner(name)}" for name in slots)
    model, log = load(), EventLog(num_blocks=24, block_size=16)
    board = PageTable(log, live=True, title=model.name, subtitle=whose)
    display(board)
    try:
        answers = model.generate_many(
            list(LIVE_QUESTIONS.values()),
            requests=list(LIVE_QUESTIONS),
            max_new_tokens=56,
            stop=False,
            num_blocks=24,
            log=log,
            release=False,
        )
    finally:
        board.close_live()
    print(whose)
    for (name, question), answer in zip(LIVE_QUESTIONS.items(), answers, strict=True):
        print(f"\n{name}: {question}\n   {answer.text.strip()}")


def show_check(name: str, exercise: str, mistake: str) -> Any:
    """The report on a known mistake, for the tour: nothing is recorded, no hint counts as opened.

    Args:
        name: the lesson.
        exercise: the exercise id.
        mistake: name of a mistake in the lesson's bank, or "" for the solution.

    Raises:
        LessonError: there is no such mistake; the message names those there are.
    """
    from labkit import specs
    from labkit.errors import LessonError
    from labkit.grading import report, runner
    from labkit.grading.mistakes import bank
    from labkit.grading.solutions import solutions
    from labkit.widgets import CheckReport

    entry = specs.exercise(name, exercise)
    texts = {m.name: m.source for m in bank(name).mistakes if m.exercise == exercise}
    texts[""] = solutions(name)[exercise]
    if mistake not in texts:
        raise LessonError(f"There is no mistake {mistake!r} here; name one of: {', '.join(filter(None, texts))}.")
    verdict = runner.check(name, exercise, texts[mistake], over=("reference",))
    hints = [] if verdict.passed else list(entry.spec.hints_for(verdict.rule, verdict.kind))
    waiting = iter(hints)
    return CheckReport(
        verdict, report.render(verdict), heading=entry.title, hints=len(hints), on_hint=lambda: next(waiting, None)
    )
