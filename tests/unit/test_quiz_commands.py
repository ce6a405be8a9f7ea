"""`labkit quiz` on the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from quiz_keys import right
from typer.testing import CliRunner

from labkit.grading.progress import Progress
from labkit.grading.quiz import load
from labkit.grading.quiz_commands import app

SEED = 7
FINAL_RIGHT = {q.id: right(q.instance(SEED)) for q in load("final").questions}
ALL = len(FINAL_RIGHT)


def run(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(args))
    return result.exit_code, result.output


def graded(
    tmp_path: Path, answers: Any, *more: str, lesson: str = "final", seed: int = SEED
) -> tuple[int, dict[str, Any]]:
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(answers), encoding="utf-8")
    code, out = run("grade", lesson, "--answers", str(path), "--json", "--seed", str(seed), *more)
    return code, json.loads(out)


def test_all_right(tmp_path: Path) -> None:
    code, report = graded(tmp_path, FINAL_RIGHT)
    assert code == 0 and report["all_right"] and report["right"] == report["total"] == ALL and report["score"] == 1
    assert {q["status"] for q in report["questions"]} == {"right"}
    assert Progress().answers("final") == {}


def test_wrong_missing_malformed_and_unknown(tmp_path: Path) -> None:
    answers = {**FINAL_RIGHT, "best-fit": "z", "main-idea": "nonsense", "no-such": 1}
    answers["central-concept"] = "serving throughput"
    del answers["bad-use"]
    code, report = graded(tmp_path, answers)
    assert code == 1 and not report["all_right"] and report["right"] == ALL - 4
    by_id = {q["id"]: q for q in report["questions"]}
    assert by_id["central-concept"]["status"] == "wrong"
    assert [f["text"] for f in by_id["central-concept"]["feedback"]] == ["serving throughput"]
    assert "key" not in by_id["central-concept"]
    assert (
        by_id["bad-use"]["status"] == "missing"
        and "has no answer; give one of the letters" in by_id["bad-use"]["message"]
    )
    assert by_id["best-fit"]["status"] == "malformed" and "'z' is no option" in by_id["best-fit"]["message"]
    assert report["unknown"][0]["id"] == "no-such" and "its questions are: main-idea" in report["unknown"][0]["message"]


def test_an_unknown_id_alone_is_not_all_right(tmp_path: Path) -> None:
    assert graded(tmp_path, {**FINAL_RIGHT, "more": "a"})[0] == 1


def test_the_help_says_that_nothing_is_kept_without_save() -> None:
    assert "Nothing is kept without --save" in " ".join(run("grade", "--help")[1].split())


def test_save_keeps_the_answers(tmp_path: Path) -> None:
    graded(tmp_path, FINAL_RIGHT, "--save")
    kept = Progress().answers("final")
    assert set(kept) == set(FINAL_RIGHT) and all(k["correct"] for k in kept.values())


def test_seed_changes_the_numbers(tmp_path: Path) -> None:
    key = load("placement").question("causal-mask").instance(1).answer
    reports = [graded(tmp_path, {"causal-mask": key}, seed=s, lesson="placement")[1] for s in (1, 2, 3, 4)]
    correct = [r["questions"][2]["correct"] for r in reports]
    assert correct[0] and not all(correct)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1, 2]", "holds a JSON list; write one JSON object"),
        ("{", "answers.json:1 cannot be read (it is not JSON"),
        (None, "cannot be read"),
    ],
)
def test_answers_files_that_cannot_be_graded(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "answers.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    code, out = run("grade", "final", "--answers", str(path))
    assert code == 2 and words in out


def test_text_output_and_unknown_lesson(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    path.write_text(json.dumps({"central-concept": "the KV cache"}), encoding="utf-8")
    code, out = run("grade", "final", "--answers", str(path))
    assert code == 1 and "wrong      central-concept" in out and "Near, because" in out and f"0 of {ALL} right" in out
    code, out = run("grade", "nine", "--answers", str(path))
    assert code == 2 and "there is no quiz for 'nine'" in out


def test_lint(tmp_path: Path) -> None:
    code, out = run("lint")
    assert code == 0 and re.search(r"^\d+ files: 0 errors", out), out
    assert run("lint", "16")[1] == "1 file: 0 errors, 0 warnings.\n"
    bad = tmp_path / "bad.yaml"
    bad.write_text("lesson: bad\ntitle: Bad\nquestions:\n  - {id: a, type: single, text: t}\n", encoding="utf-8")
    code, out = run("lint", str(bad))
    assert code == 1 and f"{bad}:4: error: questions[0].options: is missing; add `options:`" in out.replace("\n", "")
    code, out = run("lint", str(bad), "--json")
    assert json.loads(out)[0]["field"] == "questions[0].options"
    assert run("lint", str(tmp_path / "none.yaml"))[0] == 2


HOSTILE = {
    "exit": ("import sys; sys.exit(0)", "ends the program"),
    "hard-exit": ("import os; os._exit(0)", "ends the program"),
    "loop": ("while True: pass", "had not come to an end"),
    "raises": ("1 / 0", "fails when it is run: ZeroDivisionError: division by zero"),
    "memory": ("[0] * (1 << 34)", "MemoryError"),
    "flood": ("print('x' * 10**7)", "shows `xxx"),
    "answers-itself": ("import os; os.write(1, b'12')", "shows `2`"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_lint_survives_what_the_code_of_a_question_does(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that lint finds is never a success, whatever the code does to the process it runs in."""
    from labkit.grading import quiz_run

    monkeypatch.setattr(quiz_run, "SECONDS", 1.0)
    code, problem = HOSTILE[name]
    quiz = {
        "lesson": "hostile", "title": "Hostile",
        "questions": [{"id": "a", "type": "predict", "text": "What does it show?", "code": code, "output": "1",
                       "feedback": "It shows that.", "otherwise": "Run it."}],
    }  # fmt: skip
    path = tmp_path / "hostile.yaml"
    path.write_text(json.dumps(quiz))
    status, out = run("lint", str(path), "--json")
    (finding,) = [f for f in json.loads(out) if f["level"] == "error"]
    assert status == 1 and finding["field"] == "questions[0].code" and problem in finding["problem"]


def test_show_prints_no_key() -> None:
    code, out = run("show", "placement", "--seed", "3")
    assert code == 0 and "[causal-mask] numeric" in out and "Count row by row" not in out


def test_help_tells_the_answer_format_of_every_type() -> None:
    out = run("grade", "--help")[1]
    for kind in ("single", "click", "multiple", "sentences", "numeric", "ordering", "matching", "predict", "short"):
        assert kind in out
