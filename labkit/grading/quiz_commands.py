"""`labkit quiz`: lint quiz files, show a quiz as text, grade answers from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from labkit.errors import AnswerError, LabkitError, UnreadableError
from labkit.reading import read_json
from labkit.words import plural

ANSWERS_BYTES = 1 << 20

app = typer.Typer(help="Quizzes: lint the files, show one as text, grade answers.", no_args_is_help=True)

_ANSWERS = "\n\n".join(
    (
        "The answers file is one JSON object, question id -> answer. Per type, the answer is:",
        'single, click: the text of the option, or its letter as `labkit quiz show` prints it, "c".',
        'multiple, sentences: a list of those, ["a", "d"].',
        'numeric: a number in the unit asked for, or text with a unit: 18432, "18 KiB", "1,024", "3/4".',
        'ordering: the items from first to last, each once, ["b", "a", "c"].',
        'matching: left side -> right side, {"FIFO": "A", "LRU": "B"}; the letter of a left side will do.',
        'predict: the text that the code shows, "None, 2"; with options, as single.',
        "short: a sentence or two.",
        "Numbers are drawn from the learner's seed; --seed names another. Predictions may be answered and need not be. "
        "Exit code 0: every question of the quiz is answered and right; 1: not so; 2: nothing could be graded.",
    )
)


def _fail(error: LabkitError) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(2)


@app.command()
def lint(
    files: Annotated[list[str] | None, typer.Argument(help="Quiz files or lessons; all of the course if none.")] = None,
    seeds: Annotated[int, typer.Option(help="For how many seeds numbers are drawn.")] = 120,
    run_code: Annotated[bool, typer.Option(help="Run the code of predict questions and compare.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Findings as JSON.")] = False,
) -> None:
    """Say what is wrong with quiz files: file, line, field and remedy. Exit code 1 where there is an error.

    Without a file, what holds for all lessons together is looked at as well.
    """
    from labkit.grading.quiz_file import quiz_path
    from labkit.grading.quiz_lint import lint as lint_file
    from labkit.grading.quiz_lint import lint_course
    from labkit.paths import quizzes_dir

    try:
        paths = [quiz_path(f) for f in files] if files else sorted(quizzes_dir().glob("*.yaml"))
    except LabkitError as error:
        raise _fail(error) from None
    found = [finding for path in paths for finding in lint_file(path, range(seeds), run_code)]
    found += [] if files else lint_course(paths)
    errors = sum(f.level == "error" for f in found)
    if as_json:
        typer.echo(json.dumps([vars(f) for f in found], indent=1, ensure_ascii=False))
    else:
        for finding in found:
            typer.echo(str(finding))
        counts = plural(len(paths), "file"), plural(errors, "error"), plural(len(found) - errors, "warning")
        typer.echo("{}: {}, {}.".format(*counts))
    raise typer.Exit(1 if errors else 0)


@app.command()
def show(
    lesson: Annotated[str, typer.Argument(help='A lesson ("04"), "final", "placement", or a quiz file.')],
    seed: Annotated[int | None, typer.Option(help="Draw the numbers for this seed.")] = None,
) -> None:
    """Print a quiz as the learner sees it, with the ids and letters that an answers file uses."""
    from labkit.grading.quiz import load

    try:
        quiz = load(lesson)
        number = _seed(seed)
        typer.echo(f"{quiz.title} (seed {number})")
        for question in quiz.questions:
            mark = ", a prediction" if question.prediction else ""
            typer.echo(f"\n[{question.id}] {question.type}{mark}\n{question.instance(number).as_text()}")
    except LabkitError as error:
        raise _fail(error) from None


@app.command(epilog=_ANSWERS)
def grade(
    lesson: Annotated[str, typer.Argument(help='A lesson ("04"), "final", "placement", or a quiz file.')],
    answers: Annotated[Path, typer.Option(help="JSON file: question id -> answer.")],
    as_json: Annotated[bool, typer.Option("--json", help="The outcome as JSON.")] = False,
    seed: Annotated[int | None, typer.Option(help="Draw the numbers for this seed.")] = None,
    save: Annotated[bool, typer.Option(help="Keep the answers in progress, as the notebook would.")] = False,
) -> None:
    """Grade answers from a file. Feedback is given for what was answered; the key only where it was right.

    Nothing is kept without --save: `finish` in the notebook and `labkit progress` count what was kept.
    """
    from labkit.grading.quiz import load

    try:
        quiz = load(lesson)
        given = read_answers(answers)
        report = grade_all(quiz, given, _seed(seed), save)
    except LabkitError as error:
        raise _fail(error) from None
    if as_json:
        typer.echo(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        _print(report)
    raise typer.Exit(0 if report["all_right"] else 1)


def _seed(seed: int | None) -> int:
    if seed is not None:
        return seed
    from labkit.grading.progress import Progress

    return Progress().seed()


def read_answers(path: Path) -> dict[str, Any]:
    """The answers file as an object.

    Raises:
        AnswerError: it is not there, or no JSON object.
    """
    wanted = "write one JSON object, question id -> answer"
    try:
        data = read_json(path, ANSWERS_BYTES)
    except UnreadableError as error:
        where = f"{path}:{error.line}" if error.line else f"{path}"
        raise AnswerError(f"the answers file {where} cannot be read ({error.reason}); {wanted}") from None
    if not isinstance(data, dict):
        raise AnswerError(f"{path} holds a JSON {type(data).__name__}; {wanted}")
    return data


def grade_all(quiz: Any, given: dict[str, Any], seed: int, save: bool = False) -> dict[str, Any]:
    """Every answer graded, and what is missing, unknown or malformed said in words.

    Returns:
        {lesson, seed, all_right, right, total, score, questions: [{id, type, status: right|wrong|malformed|missing,
        correct, score, message, feedback, ...}], unknown: [{id, message}]}.
    """
    from labkit.grading.quiz import grade as grade_one
    from labkit.grading.quiz_answer import expected

    questions: list[dict[str, Any]] = []
    for question in quiz.questions:
        base = {"id": question.id, "type": question.type, "prediction": question.prediction, "lesson": question.seen_in}
        none = {"correct": False, "score": 0.0, "feedback": []}
        if question.id not in given:
            if not question.prediction:
                message = f"'{question.id}' has no answer; {expected(question.instance(seed))}"
                questions.append({**base, "status": "missing", **none, "message": message})
            continue
        try:
            outcome = grade_one(question, given[question.id], seed)
        except AnswerError as error:
            questions.append({**base, "status": "malformed", **none, "message": str(error)})
            continue
        if save:
            from labkit.grading.progress import Progress

            Progress().save_answer(quiz.lesson, question.id, outcome.answer, outcome.correct, outcome.score)
        status = "right" if outcome.correct else "wrong"
        questions.append({**base, "status": status, "message": outcome.note, **outcome.public()})
    known = ", ".join(quiz.ids)
    unknown = [
        {"id": id, "message": f"'{id}' is no question of {quiz.lesson}; its questions are: {known}"}
        for id in given
        if id not in quiz.ids
    ]
    counted = [q for q in questions if not q["prediction"]]
    right = sum(q["correct"] for q in counted)
    return {
        "lesson": quiz.lesson,
        "seed": seed,
        "all_right": right == len(counted) and not unknown and all(q["correct"] for q in questions),
        "right": right,
        "total": len(counted),
        "score": round(sum(q["score"] for q in counted) / max(1, len(counted)), 4),
        "questions": questions,
        "unknown": unknown,
    }


def _print(report: dict[str, Any]) -> None:
    for q in report["questions"]:
        typer.echo(f"{q['status']:9}  {q['id']}" + (f"  ({q['score']:.0%})" if 0 < q["score"] < 1 else ""))
        if q["message"]:
            typer.echo(f"           {q['message']}")
        for said in q["feedback"]:
            if said["chosen"]:
                lesson = q["lesson"] or report["lesson"][:2]
                cell = f" (lesson {lesson}, cell {said['cell']})" if said.get("cell") else ""
                typer.echo(f"           {said['text']}: {said['say']}{cell}")
    for entry in report["unknown"]:
        typer.echo(f"unknown    {entry['message']}")
    typer.echo(f"{report['right']} of {report['total']} right (seed {report['seed']}).")
