"""The rooms of a lesson beside its master: registry, specification, bank of mistakes and quiz."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labkit.authoring import layout, shape
from labkit.authoring.finding import Finding
from labkit.authoring.master import Master
from labkit.authoring.names import text_argument
from labkit.errors import LabkitError

if TYPE_CHECKING:
    from labkit.grading.quiz import QuizFile
    from labkit.specs import Exercise, Lesson

CORE_MINUTES = 35
WRONG, RIGHT = 10, 2
QUESTIONS, EARLIER = 5, 1


def lesson(master: Master) -> tuple[Lesson | None, list[Finding]]:
    """The registry entry of a master's lesson, and what is wrong with it."""
    from labkit import specs

    files = layout.files(master.key)
    if master.key not in specs.KEYS:
        message = f'is not in the registry; add "{master.key}" to KEYS in labkit/specs/__init__.py.'
        return None, [Finding(files.master, "", "not-registered", message)]
    try:
        return specs.lesson(master.key), []
    except ModuleNotFoundError as error:
        if error.name != f"labkit.specs.{layout.name_of(master.key)}":
            return None, [Finding(files.spec, "", "spec", f"cannot be imported: {error}.")]
        return None, [Finding(files.spec, "", "spec", f"is missing; lay it out with `labkit author new {master.key}`.")]
    except Exception as error:
        return None, [Finding(files.spec, "", "spec", f"cannot be imported: {type(error).__name__}: {error}.")]


def check(master: Master, found: Lesson | None) -> Iterator[Finding]:
    """What the other rooms of the lesson lack."""
    files = layout.files(master.key)
    for path in (files.spec, files.mistakes, files.quiz):
        if path.is_file():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if "«" in line:
                    message = f"line {number} still holds the template's text: {line.strip()[:60]}; write yours."
                    yield Finding(path, "", "template", message)
    if found is not None:
        yield from _exercises(master, found)
        yield from _bank(found)
    yield from _quiz(master)


def _exercises(master: Master, found: Lesson) -> Iterator[Finding]:
    path = layout.files(master.key).spec
    have, told = list(master.exercises), [e.id for e in found.exercises]
    for name in have:
        if name not in told:
            cell = master.exercises[name].id
            yield Finding(master.path, cell, "spec", f"exercise {name} has no entry in LESSON of {path.name}; add one.")
    for name in told:
        if name not in have:
            yield Finding(path, "", "spec", f"LESSON names exercise {name}, which no cell of the master holds.")
    if set(have) == set(told) and have != told:
        yield Finding(path, "", "spec", f"LESSON lists {', '.join(told)}; the notebook's order is {', '.join(have)}.")
    core = sum(e.minutes for e in found.exercises if not e.stretch and e.kind != "break")
    if core > CORE_MINUTES:
        yield Finding(path, "", "minutes", f"core exercises take {core} minutes; {CORE_MINUTES} are the most: cut one.")
    if found.exercises and not 60 <= found.minutes <= 75:
        yield Finding(path, "", "minutes", f"the core takes {found.minutes} minutes; a lesson has 60 to 75.")
    for exercise in found.exercises:
        yield from _specification(master, exercise)


def _specification(master: Master, exercise: Exercise) -> Iterator[Finding]:
    path, spec, name = layout.files(master.key).spec, exercise.spec, exercise.id

    def wrong(rule: str, message: str) -> Finding:
        return Finding(path, "", rule, f"exercise {name}: {message}")

    if spec.exercise != name:
        yield wrong("spec", f"its specification calls itself {spec.exercise!r}; the two must be the same.")
    for field, value in (("difficulty", exercise.difficulty), ("importance", exercise.importance)):
        if not 1 <= value <= 5:
            yield wrong("spec", f"{field} is {value}; it goes from 1 to 5.")
    if not 5 <= exercise.minutes <= 15:
        yield wrong("minutes", f"takes {exercise.minutes} minutes; an exercise takes 5 to 15: split or merge it.")
    hints = [hint for hint in spec.hints if hint.strip()]
    if len(hints) != 3 or len(set(hints)) != 3:
        yield wrong("hints", f"has {len(set(hints))} hints; write three: a question, the invariant, code with a blank.")
    if not spec.rules and exercise.kind != "break":
        yield wrong("spec", "has no rules; name at least one thing that must hold.")
    for rule in spec.rules:
        if not rule.witnesses and exercise.kind != "break":
            yield wrong("witness", f"rule {rule.name} has no witness; write a short sequence that breaks it.")


def _bank(found: Lesson) -> Iterator[Finding]:
    from labkit.grading import mistakes

    path = layout.files(found.key).mistakes

    def wrong(message: str) -> Finding:
        return Finding(path, "", "mistakes", message)

    graded = [e for e in found.exercises if e.kind != "break"]
    if graded and not path.is_file():
        yield wrong(f"is missing; lay it out with `labkit author new {found.key}`.")
        return
    try:
        bank = mistakes.bank(found.key)
    except LabkitError as error:
        yield wrong(str(error))
        return
    for exercise in graded:
        here = [m for m in bank.mistakes if m.exercise == exercise.id]
        styles = [r for r in bank.right if r.exercise == exercise.id]
        if len(here) < WRONG:
            yield wrong(f"exercise {exercise.id} has {len(here)} known mistakes; write {WRONG}.")
        if len(styles) < RIGHT:
            yield wrong(f"exercise {exercise.id} has {len(styles)} right answers in another style; write {RIGHT}.")
        for mistake in here:
            if not mistake.why.strip().endswith("."):
                yield wrong(f"{mistake.name} does not say why in a sentence.")
    known = {e.id for e in found.exercises}
    entries: list[mistakes.Mistake | mistakes.Right] = [*bank.mistakes, *bank.right]
    for entry in entries:
        if entry.exercise not in known:
            yield wrong(f"{entry.name} is for {entry.exercise!r}, which is no exercise here.")


def _quiz(master: Master) -> Iterator[Finding]:
    from labkit.grading import quiz

    path = layout.files(master.key).quiz
    if not path.is_file():
        if master.exercises:
            yield Finding(path, "", "quiz", f"is missing; lay it out with `labkit author new {master.key}`.")
        return
    try:
        found = quiz.load(path)
    except LabkitError as error:
        yield Finding(path, "", "quiz", str(error))
        return
    ids = {cell.id for cell in master.cells}
    for cell in sorted(_cells_named(found) - ids):
        yield Finding(path, "", "quiz", f"links to the cell {cell!r}, which the master does not have.")
    asked = {text for _, _, call in shape.calls_of(master, "predict") if (text := text_argument(call, 1)) is not None}
    for id in sorted(asked - {q.id for q in found.predictions}):
        yield Finding(path, "", "quiz", f"has no question {id!r} with `prediction: true`, which the master asks.")
    for id in sorted({q.id for q in found.predictions} - asked):
        yield Finding(path, "", "quiz", f"prediction {id!r} is never asked; call predict(...) in the master.")
    if not master.exercises:
        return
    own = [q for q in found.graded if not q.seen_in]
    earlier = [q for q in found.graded if q.seen_in]
    if len(own) < QUESTIONS:
        yield Finding(path, "", "quiz", f"has {len(own)} questions on this lesson; write {QUESTIONS}.")
    if len(earlier) < EARLIER and master.key[:2] > "01":
        yield Finding(path, "", "quiz", 'has no question from an earlier lesson (`from: "02"`); add one.')


def _cells_named(found: QuizFile) -> set[str]:
    """Cell ids that questions of this lesson link to; questions from elsewhere link into their own lesson."""
    named: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("cell"), str):
                named.add(value["cell"])
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    for question in found.questions:
        if not question.seen_in:
            walk(question.data)
    return named
