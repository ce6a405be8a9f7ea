"""Malformed quiz files: each gives the file, the line, the field and what to do."""

# ruff: noqa: E501 (tables read better with a case a line)

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.errors import QuizFileError
from labkit.grading.quiz import Question, load, load_all
from labkit.grading.quiz_lint import lint
from labkit.observe.servers import SGLANG, VLLM

GOOD = """\
lesson: good
title: Good
questions:
  - id: blocks
    type: single
    text: "{n} tokens, block size {b}. How many blocks?"
    params: {n: {range: [17, 90, 1]}, b: {choose: [8, 16]}}
    where: n % b != 0
    let: {need: "blocks_needed(n, b)"}
    answer: need
    options:
      - {value: need, feedback: part-filled counts}
      - {value: need - 1, feedback: rounded down}
      - {value: n, feedback: block size 1}
  - id: bytes
    type: numeric
    text: How many?
    answer: 4 * 2
    feedback: yes, eight
    otherwise: count again
    near:
      - {value: 4 + 2, feedback: added}
  - id: why
    type: short
    text: Why?
    rubric:
      points:
        - {name: waste, any: [waste], found: said, missing: not said}
    sample: It cuts the waste.
    fails: [It is faster.]
  - id: shows
    type: predict
    text: What does it show?
    code: |
      x = {n} + 1
      print(x)
    params: {n: {choose: [1, 2]}}
    output: "{n + 1}"
    feedback: runs
    otherwise: no
"""

# (what is replaced, by what, line, field, a word of the problem, a word of the remedy)
BROKEN = [
    ("type: single", "type: singel", 5, "questions[0].type", "`singel` is unknown", "did you mean `single`?"),
    ("    text: How many?\n", "", 15, "questions[1].text", "is missing", "add `text:`"),
    ("    otherwise: count again\n", "", 15, "questions[1].otherwise", "is missing", "what to say to any other number"),
    ("title: Good\n", "title: Good\ntitel: Bad\n", 3, "titel", "no field", "did you mean `title`?"),
    ("title: Good\n", "", 1, "title", "is missing", "add `title:`"),
    ("lesson: good", "lesson: bad", 1, "lesson", "is `bad`", "write the file's name, `good`"),
    ("id: bytes", "id: blocks", 15, "questions[1].id", "stands twice", "give this one another name"),
    ("id: bytes", "id: Bytes of", 15, "questions[1].id", "wrong form", "lower-case letters, digits and dashes"),
    (", feedback: rounded down}", "}", 13, "questions[0].options[1].feedback", "is missing", "the consequence"),
    ("feedback: rounded down", "feedback: 12", 13, "questions[0].options[1].feedback", "holds a whole number", "double quotes"),
    ("answer: 4 * 2", "answer: 4 * two", 18, "questions[1].answer", "the name `two` is unknown", "mend the expression"),
    ("answer: 4 * 2", "answer: 4 / 0", 18, "questions[1].answer", "division by zero", "mend the expression"),
    ("answer: 4 * 2", "answer: str(4)", 18, "questions[1].answer", "no finite number", "gives a number"),
    ("answer: 4 * 2", "answer: open('x')", 18, "questions[1].answer", "no function that a quiz may call", "mend"),
    ("value: 4 + 2", "value: 4 + 4", 22, "questions[1].near[0].value", "is the right answer", "narrow `where`"),
    ("value: need - 1", "value: need", 13, "questions[0].options[1]", "as option 1 does", "make the options differ"),
    ("answer: need\n", "answer: need + 7\n", 11, "questions[0].options", "0 options are right", "exactly one right"),
    ("    answer: need\n", "", 11, "questions[0].options[0]", "", ""),
    ("range: [17, 90, 1]", "range: [90, 17, 1]", 4, "questions[0]", "is empty", "`params`"),
    ("where: n % b != 0", "where: n < 0", 4, "questions[0]", "no draw", "`params`"),
    ("range: [17, 90, 1]", "random: 3", 7, "questions[0].params.n.random", "no field that belongs here", "choose, range"),
    ('text: "{n} tokens', 'text: "{m} tokens', 6, "questions[0].text", "the name `m` is unknown", "mend"),
    ('text: "{n} tokens', 'text: "{n tokens', 6, "questions[0].text", "", "mend"),
    ("text: How many?", "text: How many: these?", 17, "file", "is not YAML", "double quotes"),
    ("    sample: It cuts the waste.\n", "", 23, "questions[2].sample", "is missing", "an answer that passes the rubric"),
    ("sample: It cuts the waste.", "sample: It is better.", 29, "questions[2].sample", "does not pass", "widen the points"),
    ("fails: [It is faster.]", "fails: [Waste is fine.]", 30, "questions[2].fails[0]", "passes the rubric", "narrow"),
    ("found: said, ", "", 28, "questions[2].rubric.points[0].found", "is missing", "add `found:`"),
    ('output: "{n + 1}"', 'output: "{n + 2}"', 34, "questions[3].code", "and the key says", "mend the key or the code"),
    ("print(x)", "print(y)", 34, "questions[3].code", "NameError", "setup"),
    ('    output: "{n + 1}"\n', "", 31, "questions[3]", "needs `output` or `options`", "write the output"),
    ("    otherwise: count again\n", "    otherwise: count again\n    otherwise: no\n", 21, "questions[1].otherwise", "stands twice", "keep one"),
    ("    text: How many?\n", "    text: How many?\n    prediction: true\n", 15, "questions[1].reveals", "is missing", "next cell"),
    ("    text: How many?\n", "    text: How many?\n    from: 3\n", 18, "questions[1].from", "holds a whole number", "double quotes"),
    ("    text: How many?\n", "    text: How many?\n    tolerance: -1\n", 18, "questions[1].tolerance", "wrong form", "2%"),
]  # fmt: skip


def write(folder: Path, text: str) -> Path:
    path = folder / "good.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_good_file_is_good(tmp_path: Path) -> None:
    assert lint(write(tmp_path, GOOD)) == []


@pytest.mark.parametrize("case", BROKEN, ids=[f"{i}-{c[3]}" for i, c in enumerate(BROKEN)])
def test_broken_files(tmp_path: Path, case: tuple[str, str, int, str, str, str]) -> None:
    old, new, line, field, problem, remedy = case
    assert GOOD.count(old) >= 1
    path = write(tmp_path, GOOD.replace(old, new, 1))
    if field == "questions[0].options[0]":  # without an answer none of the options is the key
        field, problem, remedy = "questions[0].options", "none is right", "right: true"
        line = 10
    errors = [f for f in lint(path) if f.level == "error"]
    assert errors, "nothing was found"
    found = errors[0]
    assert (found.file, found.line, found.field) == (str(path), line, field), str(found)
    assert problem in found.problem and remedy in found.remedy, str(found)
    assert re.fullmatch(r"[^\n]+:\d+: error: [^\n]+: [^\n]+; [^\n]+", str(found))


def test_errors_of_the_form_are_raised_by_load(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("type: single", "type: singel"))
    with pytest.raises(QuizFileError) as caught:
        load(path)
    error = caught.value
    assert (error.file, error.line, error.field) == (str(path), 5, "questions[0].type")
    assert str(error).startswith(f"{path}:5: questions[0].type: `singel` is unknown; did you mean")


@pytest.mark.parametrize(
    "text", ["", "- a\n- b\n", "just text", "lesson: [", "\x00", "a: !!python/object:os.system {}"]
)
def test_what_is_no_quiz_at_all(tmp_path: Path, text: str) -> None:
    with pytest.raises(QuizFileError):
        load(write(tmp_path, text))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_bytes(b"lesson: \xff\xfe")
    with pytest.raises(QuizFileError, match="UTF-8"):
        load(path)


def test_warnings(tmp_path: Path) -> None:
    long = GOOD.replace(
        "value: n, feedback", "text: a much longer option than either of the others is, value: n, feedback"
    )
    twice = GOOD.replace("feedback: block size 1", "feedback: rounded down")
    same = GOOD.replace("params: {n: {choose: [1, 2]}}", "params: {n: {choose: [1]}}")
    for text, field in ((long, "options"), (twice, "feedback"), (same, "params")):
        found = lint(write(tmp_path, text))
        assert [f.level for f in found] == ["warning"] and field in found[0].field, found


def test_every_quiz_of_the_course_is_without_errors() -> None:
    for quiz in load_all():
        assert [str(f) for f in lint(quiz.source.path) if f.level == "error"] == []


TEN = [
    "main-idea", "central-concept", "best-fit", "limitation", "eviction-panel", "assistant-next-step",
    "assistant-output", "verify-one-way", "responsible-use", "bad-use",
]  # fmt: skip
"""The ten ideas that the course began with, in their order: lesson 00 shows just these."""


def test_the_final_check_holds_the_ten_ideas_and_twenty_questions_across_all_parts() -> None:
    quiz = load("final")
    assert [q.id for q in quiz.questions[:10]] == TEN and len(quiz.questions) == 30
    new = quiz.questions[10:]
    assert {q.type for q in new} == {
        "single", "multiple", "numeric", "predict", "ordering", "matching", "click", "short",
    }  # fmt: skip
    parts = {"memory": range(1, 10), "kernels": range(10, 16), "scheduler": range(16, 22)}
    asked = [int(q.seen_in) for q in new]
    for part, lessons in parts.items():
        assert len(set(asked) & set(lessons)) >= 3, part


def test_whatever_is_said_in_the_final_check_says_where_it_was_seen() -> None:
    for question in load("final").questions:
        said = [o["feedback"] for o in question.data.get("options", [])]
        said += [o["feedback"] for o in question.data.get("near", [])]
        said += [o["feedback"] for o in question.data.get("pairs", [])]
        said += question.data.get("elsewhere", {}).values()
        said += [o["feedback"] for o in question.data.get("picture", {}).get("regions", [])]
        for words in said:
            assert re.search(r"[Ll]essons? \d\d", words), (question.id, words)
        assert said or question.type in ("short", "ordering"), question.id


def test_the_final_check_repeats_no_question_of_a_lesson() -> None:
    """Not in its words, and no number is computed as one of a lesson is."""

    def asks(question: Question) -> set[str]:
        words = {" ".join(question.data["text"].split())}
        return words | ({str(question.data["answer"])} if question.type == "numeric" else set())

    final = [asks(question) for question in load("final").questions]
    for quiz in load_all():
        for question in quiz.questions if quiz.lesson != "final" else ():
            assert not any(asks(question) & mine for mine in final), (quiz.lesson, question.id)


WHERE = {
    "tokens computed again after a preemption": ("recomputed", "from two counters of SGLang, and not in vLLM"),
    "evicted blocks that were wanted again": ("regretted", "in the `/metrics` of neither"),
    "the share of blocks that somebody holds": ("held", "in both, and exact"),
    "preemptions": ("preempted", "in both, and late in vLLM"),
}


def test_who_tells_what_is_the_key_that_the_tables_give() -> None:
    """The matching question of the final check, against what the course reads of both servers."""
    pairs = {pair["left"]: pair["right"] for pair in load("final").question("who-tells").data["pairs"]}
    assert pairs == {left: right for left, (_, right) in WHERE.items()}
    best = {
        (server.name, name): next((r for r in server.readings if r.figure == name and not r.opt_in), None)
        for server in (VLLM, SGLANG)
        for name, _ in WHERE.values()
    }
    assert [best["vLLM", name] is None for name, _ in WHERE.values()] == [True, True, False, False]
    assert [best["SGLang", name] is None for name, _ in WHERE.values()] == [False, True, False, False]
    late, held = best["vLLM", "preempted"], (best["vLLM", "held"], best["SGLang", "held"])
    assert late is not None and late.bias.startswith("Comes late") and all(r and not r.bias for r in held)
    assert (again := best["SGLang", "recomputed"]) is not None and len(again.terms) == 2
    assert (prompt := best["SGLang", "preempted"]) is not None and not prompt.bias


def test_the_placement_quiz_says_what_a_score_means() -> None:
    quiz = load("placement")
    assert len(quiz.questions) == 6
    assert quiz.skip is not None and quiz.skip.lesson == "01" and quiz.skip.score <= 6
