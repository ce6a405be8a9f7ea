"""What can be wrong with a quiz file that its schema cannot see: over many seeds, with the numbers drawn.

Errors make a question wrong for somebody; warnings make it worse than it could be. Each names file, line, field and
remedy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from labkit.errors import QuizFileError
from labkit.grading import quiz_verify
from labkit.grading.quiz_answer import same_output
from labkit.grading.quiz_file import Key, field_name
from labkit.grading.quiz_question import Instance, Question, plain
from labkit.grading.quiz_rubric import find_points
from labkit.grading.quiz_run import shown

SEEDS = range(120)
"""The seeds that every question is drawn for."""

MOST_RUN = 12
"""Of a question, how many of the drawn forms are run."""

VERIFY = "verify"
"""The id of the claim that a lesson asks to be verified; what holds for it is in `quiz_verify`."""

CELL_NAME = re.compile(r"^[A-Za-z0-9_-]+$")


@dataclass(frozen=True)
class Finding:
    """One thing to mend."""

    level: Literal["error", "warning"]
    file: str
    line: int
    field: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.level}: {self.field}: {self.problem}; {self.remedy}"


def lint(path: str | Path, seeds: Iterable[int] = SEEDS, run_code: bool = True) -> list[Finding]:
    """Everything to mend in one quiz file, errors before warnings, by line.

    Args:
        path: the file, or the name of a lesson.
        seeds: the seeds to draw numbers for.
        run_code: run the code of predict questions and compare what it shows.
    """
    from labkit.grading.quiz import load

    try:
        quiz = load(path, validate=True)
    except QuizFileError as error:
        return [_from_error(error)]
    found: list[Finding] = []
    for question in quiz.questions:
        found += _question(question, list(seeds), run_code)
    found += _whole(quiz)
    # The same complaint for many seeds is one complaint.
    unique = {(f.line, f.field, re.sub(r"\d+", "", f.problem)): f for f in reversed(found)}
    return sorted(unique.values(), key=lambda f: (f.level, f.line))


def lint_course(paths: Iterable[str | Path]) -> list[Finding]:
    """What is wrong with the lessons' quizzes together, in reading order; files that cannot be read are left out."""
    from labkit.grading.quiz import load

    claims = []
    for path in paths:
        with suppress(QuizFileError):
            claims += [q for q in load(path).questions if q.id == VERIFY]
    said = quiz_verify.over_lessons(claims)
    return [_make("error", q, q.key, problem, remedy) for q, problem, remedy in said]


def _from_error(error: QuizFileError) -> Finding:
    return Finding("error", error.file, error.line, error.field, error.problem, error.remedy)


def _make(level: Literal["error", "warning"], question: Question, key: Key, problem: str, remedy: str) -> Finding:
    source = question.source
    return Finding(level, str(source.path), source.line(key), field_name(key), problem, remedy)


def _question(question: Question, seeds: list[int], run_code: bool) -> list[Finding]:
    found: list[Finding] = []
    seen_texts: set[str] = set()
    drawn: list[Instance] = []
    for seed in seeds:
        try:
            instance = question.instance(seed)
        except QuizFileError as error:
            return [*found, _from_error(error)]
        state = repr((instance.values, instance.text))
        if state in seen_texts:
            continue
        seen_texts.add(state)
        found += _lengths(instance)
        found += _near(instance)
        if len(drawn) < MOST_RUN:
            drawn.append(instance)
        if any(f.level == "error" for f in found):
            return found
    if run_code and question.type == "predict" and question.data.get("run", True) is not False:
        found += _code(drawn)
    found += _rubric(question.instance(0)) if question.type == "short" else []
    found += _form(question)
    if "params" in question.data and len(seen_texts) == 1:
        key = (*question.key, "params")
        found.append(_make("warning", question, key, "draws the same numbers for every seed", "widen it or drop it"))
    return found


def _lengths(instance: Instance) -> Iterator[Finding]:
    """The longest option is too often the right one: all of them should be about as long."""
    question = instance.question
    if not instance.options or question.type not in ("single", "multiple", "predict"):
        return
    lengths = [len(o.plain) for o in instance.options]
    short, long = min(lengths), max(lengths)
    base: Key = (*question.key, "options")
    if long > 1.5 * short + 12:
        problem = f"are {short} to {long} characters long"
        yield _make("warning", question, base, problem, "bring them to about equal length")
        return
    right = [len(o.plain) for o in instance.options if o.right]
    wrong = [len(o.plain) for o in instance.options if not o.right]
    if question.type == "single" and wrong and right and right[0] > 1.2 * max(wrong) + 6:
        yield _make("warning", question, base, "the right one is the longest by far", "lengthen another or shorten it")


def _near(instance: Instance) -> Iterator[Finding]:
    question = instance.question
    for i, near in enumerate(instance.near):
        if question.type == "numeric":
            if isinstance(near.value, bool) or not isinstance(near.value, int | float):
                problem = f"is {near.value!r} for seed {instance.seed}, which is no number"
                yield _make("error", question, (*near.key, "value"), problem, "write an expression that gives a number")
                continue
            same = abs(near.value - instance.answer) <= instance.tolerance
            twin = any(
                isinstance(other.value, int | float)
                and abs(other.value - near.value) <= max(instance.tolerance, 1e-9 * abs(near.value))
                for other in instance.near[:i]
            )
        else:
            same = same_output(str(near.value), instance.output)
            twin = any(same_output(str(near.value), str(other.value)) for other in instance.near[:i])
        if same:
            problem = f"is the right answer for seed {instance.seed}"
            yield _make("error", question, (*near.key, "value"), problem, "narrow `where` so that they differ")
        elif twin:
            problem = f"is another near answer as well for seed {instance.seed}"
            yield _make("warning", question, (*near.key, "value"), problem, "narrow `where` so that they differ")


def _code(instances: list[Instance]) -> Iterator[Finding]:
    """Whether the codes show what the key says; one that does not is enough to tell."""
    ran = shown([(each.code, each.question.data.get("setup", "")) for each in instances])
    for instance, outcome in zip(instances, ran, strict=False):
        question = instance.question
        key = (*question.key, "code")
        if "fails" in outcome:
            yield _make(
                "error", question, key, outcome["fails"], "add what is missing to `setup`, or write `run: false`"
            )
            return
        wanted = instance.output or next(o.plain for o in instance.options if o.right)
        if not same_output(wanted, outcome["shown"]):
            problem = f"shows `{outcome['shown']}` for seed {instance.seed}, and the key says `{wanted}`"
            yield _make("error", question, key, problem, "mend the key or the code")
            return


def _rubric(instance: Instance) -> Iterator[Finding]:
    question = instance.question

    def score(text: str) -> int:
        return sum(f.found for f in find_points(text, instance.points, instance.min_words))

    if score(instance.sample) < instance.need:
        key = (*question.key, "sample")
        yield _make("error", question, key, "does not pass the rubric", "widen the points or mend the sample")
    for i, text in enumerate(question.data.get("fails", [])):
        if score(text) >= instance.need:
            key = (*question.key, "fails", i)
            yield _make("error", question, key, "passes the rubric", "narrow the points that find it")


def _form(question: Question) -> Iterator[Finding]:
    """Feedback that repeats itself, links that no cell can have."""
    data = question.data
    for name, entries in (("options", data.get("options", [])), ("near", data.get("near", []))):
        said: dict[str, int] = {}
        for i, entry in enumerate(entries):
            text = plain(entry["feedback"])
            if text in said:
                key = (*question.key, name, i, "feedback")
                problem = f"repeats that of {name}[{said[text]}]"
                yield _make("warning", question, key, problem, "say what this choice in particular leads to")
            said[text] = i
    if question.type == "matching":
        yield from _elsewhere(question)
    if question.id == VERIFY:
        for problem, remedy in quiz_verify.in_one(question):
            yield _make("error", question, (*question.key, "options"), problem, remedy)
    for key, cell in _cells(data, question.key):
        if not CELL_NAME.match(cell):
            yield _make("error", question, key, f"`{cell}` is no id of a cell", "use letters, digits and dashes")


def _elsewhere(question: Question) -> Iterator[Finding]:
    """A wrong pair is answered with why it is wrong: each right side says what it takes."""
    sides = [str(raw) for raw in (*(pair["right"] for pair in question.data["pairs"]), *question.data.get("extra", []))]
    said = question.data.get("elsewhere", {})
    for side in dict.fromkeys(sides):
        if side not in said:
            problem = f"says nothing of `{side}`, so a wrong pair with it is answered with nothing"
            remedy = "say what it takes for that one to be right"
            yield _make("error", question, (*question.key, "elsewhere"), problem, remedy)
    for side in said:
        if side not in sides:
            key = (*question.key, "elsewhere", side)
            yield _make("error", question, key, "no right side is called so", "write it as `pairs` or `extra` do")


def _cells(node: Any, key: Key) -> Iterator[tuple[Key, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "cell" and isinstance(value, str):
                yield (*key, name), value
            else:
                yield from _cells(value, (*key, name))
    elif isinstance(node, list):
        for i, item in enumerate(node):
            yield from _cells(item, (*key, i))


def _whole(quiz: Any) -> Iterator[Finding]:
    """The shape of a lesson's quiz: five questions of its own, and from lesson 02 on one seen earlier."""
    number = quiz.lesson.partition("_")[0]
    file = str(quiz.source.path)
    if quiz.skip is not None and quiz.skip.score > len(quiz.graded):
        key: Key = ("skip", "score")
        problem = f"asks for {quiz.skip.score} of {len(quiz.graded)} questions"
        yield Finding("error", file, quiz.source.line(key), "skip.score", problem, "ask for fewer")
    if not number.isdigit():
        return
    earlier = [q for q in quiz.graded if q.seen_in and q.seen_in != number]
    for q in earlier:
        if q.seen_in > number:
            yield _make("error", q, (*q.key, "from"), f"lesson {q.seen_in} comes later", "name an earlier lesson")
    line = quiz.source.line(("questions",))
    if int(number) >= 1 and len(quiz.graded) - len(earlier) < 5:
        problem = f"holds {len(quiz.graded) - len(earlier)} questions on this lesson"
        yield Finding("warning", file, line, "questions", problem, "write five")
    if int(number) >= 2 and not earlier:
        remedy = 'add one with `from: "..."`'
        yield Finding("warning", file, line, "questions", "none is from an earlier lesson", remedy)
    if int(number) >= 1 and not quiz.predictions:
        yield Finding("warning", file, line, "questions", "there is no prediction", "add one with `prediction: true`")
