"""Grading: an answer to a question becomes an `Outcome`, with feedback for every option.

Partial credit: multiple and sentences: (rightly chosen - wrongly chosen) / right ones, not below 0; ordering: the share
of neighbours of the right order that follow each other directly; matching: the share of pairs matched; short: points
found / points needed. All other types score 0 or 1. `correct` means a score of 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from labkit.grading.quiz_answer import canonical, is_decimal_mixup, number, same_output
from labkit.grading.quiz_question import Instance, Question, plain
from labkit.grading.quiz_rubric import HONEST, find_points, words_of
from labkit.grading.quiz_values import show


@dataclass(frozen=True)
class Feedback:
    """What is said to one option, pair, item or point.

    Attributes:
        text: the option's text; matching: the left side; short: the name of the point.
        chosen: whether the answer holds it.
        right: whether it belongs to the key; ordering: whether it stands in its place; matching: whether the pair
            is right; short: whether the point was found.
        say: the feedback itself.
        cell: id of the notebook cell to look at, or "".
        given: matching: the right side that was given; short: the words it was found by.
    """

    text: str
    chosen: bool
    right: bool
    say: str
    cell: str = ""
    given: str = ""


@dataclass(frozen=True)
class Outcome:
    """What an answer is worth, and what is said to it.

    Attributes:
        answer: the answer in the form that is kept.
        score: 0 to 1.
        feedback: for every option, in the order shown.
        note: one sentence about the whole answer, or "".
        key: the right answer in words.
        explanation: the file's explanation, or "".
        cell: id of the notebook cell that shows the answer, or "".
    """

    id: str
    type: str
    answer: Any
    correct: bool
    score: float
    feedback: tuple[Feedback, ...]
    note: str
    key: str
    explanation: str
    cell: str = ""

    def public(self, reveal: bool | None = None) -> dict[str, Any]:
        """What may be shown: with `reveal` (left out: when correct) everything, else what concerns the answer."""
        reveal = self.correct if reveal is None else reveal
        said = [asdict(f) for f in self.feedback if reveal or f.chosen]
        out = {"id": self.id, "type": self.type, "answer": self.answer, "correct": self.correct}
        out |= {"score": round(self.score, 4), "note": self.note, "feedback": said, "revealed": reveal}
        if reveal:
            out |= {"key": self.key, "explanation": self.explanation, "cell": self.cell}
        return out


def grade(question: Question, answer: Any, seed: int | None = None) -> Outcome:
    """Grade an answer to the question that the learner with this seed was asked.

    Args:
        question: from `load(lesson)`.
        answer: as `labkit.grading.quiz` describes for each type.
        seed: the learner's; left out, that of this machine's progress.

    Raises:
        AnswerError: the answer has the wrong shape; nothing was graded.
        QuizFileError: the file's expressions fail for this seed.
    """
    if seed is None:
        from labkit.grading.progress import Progress

        seed = Progress().seed()
    return grade_instance(question.instance(seed), answer)


def grade_instance(instance: Instance, answer: Any) -> Outcome:
    """As `grade`, for a question whose numbers are drawn already."""
    question = instance.question
    given = canonical(instance, answer)
    grader = _choice if question.picked and not question.several else _GRADERS[question.type]
    score, feedback, note = grader(instance, given)
    return Outcome(
        question.id, question.type, given, score >= 1.0, score, tuple(feedback), note,
        key_text(instance), instance.explanation, instance.cell,
    )  # fmt: skip


def key_outcome(instance: Instance) -> Outcome:
    """The whole key, for one who gave up: no answer, no score."""
    question = instance.question
    said = [Feedback(o.plain, False, o.right, o.feedback, o.cell) for o in instance.options]
    if question.type == "ordering":
        by_text = {o.plain: o for o in instance.options}
        said = [Feedback(t, False, True, by_text[t].feedback, by_text[t].cell) for t in instance.order]
    said += [Feedback(plain(p.left), False, True, p.feedback, p.cell, plain(p.right)) for p in instance.pairs]
    if instance.feedback:
        said.append(Feedback(key_text(instance), False, True, instance.feedback))
    said += [Feedback(_near_text(instance, n.value), False, False, n.feedback, n.cell) for n in instance.near]
    said += [Feedback(p.name, False, False, p.missing, p.cell) for p in instance.points]
    return Outcome(
        question.id, question.type, None, False, 0.0, tuple(said), "", key_text(instance),
        instance.explanation, instance.cell,
    )  # fmt: skip


def key_text(instance: Instance) -> str:
    """The right answer in words."""
    match instance.question.type:
        case "ordering":
            return "; ".join(f"{i}. {t}" for i, t in enumerate(instance.order, 1))
        case "matching":
            return "; ".join(f"{plain(p.left)}: {plain(p.right)}" for p in instance.pairs)
        case "numeric":
            return f"{show(instance.answer)} {instance.unit}".strip()
        case "predict" if not instance.options:
            return instance.output
        case "short":
            return instance.sample
        case _:
            return "; ".join(o.plain for o in instance.options if o.right)


Graded = tuple[float, list[Feedback], str]


def _choice(instance: Instance, given: str) -> Graded:
    said = [Feedback(o.plain, o.plain == given, o.right, o.feedback, o.cell) for o in instance.options]
    return float(any(f.chosen and f.right for f in said)), said, ""


def _multiple(instance: Instance, given: list[str]) -> Graded:
    said = [Feedback(o.plain, o.plain in given, o.right, o.feedback, o.cell) for o in instance.options]
    rights = sum(f.right for f in said)
    hits = sum(f.right and f.chosen for f in said)
    wrong = sum(f.chosen and not f.right for f in said)
    # How many are right is part of what is asked.
    note = "What is chosen is right, and it is not all." if not wrong and 0 < hits < rights else ""
    return max(0.0, (hits - wrong) / rights), said, note


def _ordering(instance: Instance, given: list[str]) -> Graded:
    by_text = {o.plain: o for o in instance.options}
    order = list(instance.order)
    follows = sum(given.index(b) == given.index(a) + 1 for a, b in pairwise(order))
    score = follows / (len(order) - 1)
    if given == order:
        said = [Feedback(t, True, True, by_text[t].feedback, by_text[t].cell) for t in given]
        return 1.0, said, "Every step stands in its place."
    first = next(i for i, (a, b) in enumerate(zip(given, order, strict=True)) if a != b)
    said = []
    for i, text in enumerate(given):
        option = by_text[text]
        # Up to the first step out of place the answer has shown that it knows; what follows is not told yet.
        said.append(Feedback(text, i <= first, text == order[i], option.feedback, option.cell))
    early = order.index(given[first]) > first
    standing = ("Step", "The first stands right; step")[first] if first < 2 else f"The first {first} stand right; step"
    note = f"{standing} {first + 1} comes too {'early' if early else 'late'}."
    return min(score, 0.99), said, note


def _matching(instance: Instance, given: dict[str, str]) -> Graded:
    said = []
    for pair in instance.pairs:
        side = given[plain(pair.left)]
        right = side == plain(pair.right)
        # A wrong pair is told what its right side takes; the explanation of the right one would give that away.
        say, cell = (pair.feedback, pair.cell) if right else (instance.elsewhere[side], "")
        said.append(Feedback(plain(pair.left), True, right, say, cell, side))
    return sum(f.right for f in said) / len(said), said, ""


def _near_text(instance: Instance, value: Any) -> str:
    return f"{show(value)} {instance.unit}".strip()


def _numeric(instance: Instance, given: Any) -> Graded:
    value = number(instance, given)
    text = given if isinstance(given, str) else f"{show(given)} {instance.unit}".strip()

    def is_at(target: float) -> bool:
        return abs(value - target) <= max(instance.tolerance, 1e-9 * abs(target))

    right = is_at(instance.answer)
    said = [Feedback(_near_text(instance, n.value), False, False, n.feedback, n.cell) for n in instance.near]
    if right:
        return 1.0, [Feedback(text, True, True, instance.feedback), *said], ""
    said.append(Feedback(_near_text(instance, instance.answer), False, True, instance.feedback))
    if is_decimal_mixup(instance, given):
        say = "The number is right, the unit is not: kB, MB and GB count in thousands, KiB, MiB and GiB in 1,024s."
        return 0.0, [Feedback(text, True, False, say), *said], ""
    for i, near in enumerate(instance.near):
        if is_at(float(near.value)):
            hit = Feedback(text, True, False, near.feedback, near.cell)
            return 0.0, [hit, *said[:i], *said[i + 1 :]], ""
    return 0.0, [Feedback(text, True, False, instance.otherwise), *said], ""


def _predict(instance: Instance, given: str) -> Graded:
    said = [Feedback(str(n.value), False, False, n.feedback, n.cell) for n in instance.near]
    if same_output(given, instance.output):
        return 1.0, [Feedback(given, True, True, instance.feedback), *said], ""
    said.append(Feedback(instance.output, False, True, instance.feedback))
    for i, near in enumerate(instance.near):
        if same_output(given, str(near.value)):
            hit = Feedback(given, True, False, near.feedback, near.cell)
            return 0.0, [hit, *said[:i], *said[i + 1 :]], ""
    return 0.0, [Feedback(given, True, False, instance.otherwise), *said], ""


def _short(instance: Instance, given: str) -> Graded:
    found = find_points(given, instance.points, instance.min_words)
    hits = sum(f.found for f in found)
    said = [
        Feedback(f.point.name, True, f.found, f.point.found if f.found else f.point.missing, f.point.cell, f.words)
        for f in found
    ]
    words = len(set(words_of(given)))
    if words < instance.min_words:
        note = f"{words} different words are too few to judge; write at least {instance.min_words}. {HONEST}"
    else:
        note = f"{hits} of {len(found)} points found, {instance.need} needed. {HONEST}"
    return min(1.0, hits / instance.need), said, note


_GRADERS: dict[str, Callable[[Instance, Any], Graded]] = {
    "multiple": _multiple,
    "sentences": _multiple,
    "ordering": _ordering,
    "matching": _matching,
    "numeric": _numeric,
    "predict": _predict,
    "short": _short,
}
