"""Nothing but the evidence tells which verdict on a claim is right: with claims made up, and over the course."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.grading.quiz import load_all
from labkit.grading.quiz_lint import Finding, lint, lint_course
from labkit.grading.quiz_verify import VERDICTS, right_verdict

EVIDENCE = {
    "True": "the table of both runs says so",
    "False": "the table of both runs denies it",
    "Too broad": "it holds for the first row",
}
FOUR = ("True", "False", "Too broad", "Too broad")


def claim(folder: Path, right: int, verdicts: tuple[str, ...] = FOUR, longer: int = 0, name: str = "claim") -> Path:
    lines = [
        f'lesson: "{name}"',
        "title: A claim",
        "questions:",
        "  - id: verify",
        "    type: single",
        "    text: So it is.",
    ]
    lines.append("    options:")
    for i, verdict in enumerate(verdicts):
        text = f"{verdict}; {EVIDENCE.get(verdict, 'perhaps')}, row {i}"
        text = text.ljust(46, ".") + "." * (longer if i == right else 0)
        lines.append(f"      - {{text: '{text}', feedback: look at row {i}{', right: true' if i == right else ''}}}")
    path = folder / f"{name}.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def errors(found: list[Finding]) -> list[str]:
    return [f.problem for f in found if f.level == "error"]


def test_a_lone_too_broad_is_fine_where_it_is_wrong(tmp_path: Path) -> None:
    assert errors(lint(claim(tmp_path, 0, ("True", "True", "False", "Too broad")))) == []


@pytest.mark.parametrize("right", range(4))
def test_a_claim_with_all_verdicts_is_good_whichever_is_right(tmp_path: Path, right: int) -> None:
    assert errors(lint(claim(tmp_path, right))) == []


@pytest.mark.parametrize(
    ("verdicts", "longer", "problem"),
    [
        (("True", "True", "Too broad", "Too broad"), 0, "hold no `False`"),
        (("False", "False", "Too broad", "Too broad"), 0, "hold no `True`"),
        (("True", "False", "True", "False"), 0, "hold no `Too broad`"),
        (("Too broad", "False", "True", "True"), 0, "leave the right one alone in its caution"),
        (("Maybe", "True", "False", "Too broad", "Too broad"), 0, "do not all begin with a verdict"),
        (FOUR, 5, "give the right one away: it has 51 characters, and no other more than 46"),
    ],
)
def test_a_claim_that_gives_itself_away(tmp_path: Path, verdicts: tuple[str, ...], longer: int, problem: str) -> None:
    assert errors(lint(claim(tmp_path, 0, verdicts, longer))) == [problem]


def course(folder: Path, verdicts: str) -> list[str]:
    """What is said of lessons whose claims are, by their first letters, true, false and too broad (B)."""
    folder = folder / verdicts
    folder.mkdir()
    paths = [claim(folder, "TFB".index(verdict), name=f"{i:02}") for i, verdict in enumerate(verdicts)]
    return errors(lint_course(paths))


def test_the_verdicts_of_a_course_are_balanced(tmp_path: Path) -> None:
    assert course(tmp_path, "TFBBTFBTFFTFBB") == []
    assert course(tmp_path, "TFBTFBTFB") == []
    assert course(tmp_path, "TFBFBFBFB") == ["`True` is the right verdict in 1 of 9 lessons"]
    assert course(tmp_path, "BTBFBTBB") == [
        "`False` is the right verdict in 1 of 8 lessons",
        "`Too broad` is the right verdict in 5 of 8 lessons",
    ]
    assert course(tmp_path, "TFBBBTF") == ["`Too broad` is right three times in a row"]


def test_the_claims_of_the_course() -> None:
    quizzes = load_all()
    claims = [q for quiz in quizzes for q in quiz.questions if q.id == "verify"]
    assert len(claims) >= 14 and {right_verdict(q) for q in claims} == set(VERDICTS)
    assert errors(lint_course(quiz.source.path for quiz in quizzes)) == []
