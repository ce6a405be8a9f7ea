"""The ten claims and the tasks of practice: their evidence is there, and their figures are those of the lessons."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from labkit.cache.waste import waste_by_kind
from labkit.grading.quiz import grade, load
from labkit.grading.quiz_grade import grade_instance
from labkit.grading.quiz_lint import lint
from labkit.paths import masters_dir

FACTS = load("facts")
PRACTICE = load("practice")


def solved(number: str) -> dict[str, str]:
    """What the cells of an executed lesson show, by their ids; the source of those that show nothing."""
    folder = masters_dir().parent / "solved"
    (path,) = folder.glob(f"{number}_*.ipynb")
    node = nbformat.read(path, as_version=4)
    return {cell.id: "".join(o.get("text", "") for o in cell.get("outputs", [])) or cell.source for cell in node.cells}


@pytest.mark.parametrize("quiz", [FACTS, PRACTICE], ids=["facts", "practice"])
def test_nothing_is_to_be_mended_and_every_cell_that_is_named_is_there(quiz: object) -> None:
    assert [str(f) for f in lint(quiz.source.path)] == []  # type: ignore[attr-defined]
    for question in quiz.questions:  # type: ignore[attr-defined]
        named = [question.data.get("cell"), *(o.get("cell") for o in question.data.get("options", []))]
        named += [n.get("cell") for n in question.data.get("near", [])]
        for cell in filter(None, named):
            assert cell in solved(question.seen_in), (question.id, cell)


def test_ten_claims_of_all_three_kinds_each_with_its_evidence() -> None:
    assert len(FACTS.questions) == 10
    verdicts = []
    for question in FACTS.questions:
        options = question.instance(1).options
        assert {re.match(r"True|False|Too broad", o.text).group() for o in options} == {"True", "False", "Too broad"}  # type: ignore[union-attr]
        assert all(o.cell for o in options)
        verdicts += [o.text.split(";")[0] for o in options if o.right]
    assert {v: verdicts.count(v) for v in set(verdicts)} == {"True": 3, "False": 4, "Too broad": 3}


FIGURES = {
    "twenty-to-thirty-eight": ("03", "curve-numbers", ["reserve 2,048: 56%", "reserve 8,192: 17%"]),
    "last-block": ("05", "block-size-costs", ["7.5 ", "0.54%", "8.09%"]),
    "evictions-hurt": ("09", "counters", ["1,537", "334", "317"]),
    "common-tokens": ("07", "volatile-heads", ["0.925", "0.000", "0.912"]),
    "swap-brings-back": ("18", "reveal-p1", ["2,139", "2,158", "2,627"]),
    "watermark-free": ("17", "reveal-p1", ["1.07 s", "1.11 s", "3.08 s", "164", "82", "1,296", "1,295"]),
    "small-budgets": ("16", "reveal-p1", ["392 ms", "14 ms", "1,341 ms", "3,560 ms"]),
    "larger-models": ("02", "real-models-table", ["512.0 KiB", "320.0 KiB"]),
    "batching-pays": ("16", "batching-pays", ["12.1 ms", "16.2 ms"]),
    "never-fits": ("17", "never-fits", ["after 1,000 steps ended 0, running 0, waiting 2"]),
}


@pytest.mark.parametrize("id", FIGURES)
def test_the_figures_of_a_claim_are_those_that_its_cell_shows(id: str) -> None:
    number, cell, figures = FIGURES[id]
    shown = solved(number)[cell]
    assert [figure for figure in figures if figure not in shown] == []


def test_the_draft_has_five_sentences_to_click_and_each_says_where_it_was_seen() -> None:
    question = PRACTICE.question("draft")
    right = [o.plain for o in question.instance(0).options if o.right]
    assert len(right) == 5 and len(question.instance(0).options) == 12
    assert grade(question, right, 3).correct and not grade(question, right[:4], 3).correct
    said = [o.feedback for o in question.instance(0).options]
    assert (
        sum(bool(re.search(r"[Ll]essons? \d\d|[Tt]his lesson|this lesson|[Tt]he paper", text)) for text in said) == 12
    )
    seen = solved("18")["reveal-p1"] + solved("16")["batching-pays"] + solved("18")["recorded"]
    seen += solved("05")["compare-numbers"]
    for figure in ("2,139", "2,627", "16.2 ms", "12.1", "39 of them", "119 of them", "95.8%", "62.2%"):
        assert figure in seen


STEP = (
    "I would halve the token budget and replay our own trace twice. If the longest pause of a chat stays the same or "
    "grows, I was mistaken about where it comes from."
)
NO_OUTCOME = (
    "I would halve the token budget and replay our own trace twice, and then look at the longest pause of a chat for "
    "several days in a row."
)


HONEST = (
    "I would raise the watermark from nothing to a fiftieth and replay our trace with it. If preemptions do not fall "
    "by half, I was wrong and give it up.",
    "I doubt that a larger batch always helps. I would run vLLM with 64, 128 and 256 seats under the same load, and "
    "count tokens. Should 256 give more than 128 everywhere, then I have no case against the sentence.",
)


@pytest.mark.parametrize("id", ["next-step", "second-step"])
@pytest.mark.parametrize("text", HONEST)
def test_an_outcome_may_be_said_in_other_words(id: str, text: str) -> None:
    said = grade(PRACTICE.question(id), text, 0)
    assert said.correct, [f.text for f in said.feedback if not f.right]


@pytest.mark.parametrize("id", ["next-step", "second-step"])
def test_a_step_needs_an_experiment_and_an_outcome_that_refutes_it(id: str) -> None:
    question = PRACTICE.question(id)
    assert grade(question, STEP, 0).correct
    outcome = grade(question, NO_OUTCOME, 0)
    assert not outcome.correct and "cannot tell whether what you wrote is true" in outcome.note
    assert [f.text for f in outcome.feedback if not f.right] == ["the outcome that would refute it"]


@pytest.mark.parametrize("seed", range(8))
def test_the_kinds_are_those_that_lesson_03_counts(seed: int) -> None:
    instance = PRACTICE.question("three-kinds").instance(seed)
    v = instance.values
    kinds = waste_by_kind([(0, v["length"], v["used"], v["final"])], [(v["length"], v["hole"])], v["wanted"])
    words = {"reserved": "reservation", "internal": "internal", "external": "external", "token states": "used"}
    answer = {
        pair.left: str(next(kinds[kind] for word, kind in words.items() if word in pair.left))
        for pair in instance.pairs
    }
    assert grade_instance(instance, answer).correct


def test_the_files_stand_where_the_course_looks_for_them() -> None:
    assert Path(FACTS.source.path).name == "facts.yaml" and not FACTS.predictions
    assert PRACTICE.question("reconcile").type == "numeric"
