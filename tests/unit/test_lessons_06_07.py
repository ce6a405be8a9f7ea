"""What lessons 06 and 07 show and say: their pictures, their stories, and the questions that they do not give away."""

from __future__ import annotations

import re
from typing import Any

import pytest

from labkit import specs
from labkit.authoring import layout, master
from labkit.grading.judge import Judge
from labkit.grading.mistakes import bank
from labkit.grading.quiz import load
from labkit.grading.solutions import solutions
from labkit.grading.source import Source
from labkit.grading.verdict import Counterexample
from labkit.observe.pool_state import LogData, pool_state
from labkit.specs.hash_prefix_cache.scenes import five_requests
from labkit.specs.sharing.scenes import one_prompt_several_drafts, three_beams
from labkit.widgets import report_replay


def cells(number: str) -> dict[str, str]:
    (path,) = layout.masters([specs.lesson(number).key])
    return {cell.id: cell.source for cell in master.read(path).cells}


def story(lesson: str, exercise: str, mistake: str) -> Counterexample:
    """What the report on a known mistake shows."""
    spec = specs.exercise(lesson, exercise).spec
    found = bank(specs.lesson(lesson).key).mistakes
    source = next(m.source for m in found if (m.exercise, m.name) == (exercise, mistake))
    verdict = Judge(spec, Source(spec, source, f"<exercise {lesson}/{exercise}>").namespace).verdict()
    assert verdict.counterexample is not None
    return verdict.counterexample


def test_the_scenes_end_as_their_lessons_say() -> None:
    for log, blocks, held in ((one_prompt_several_drafts(), 24, 0), (three_beams(), 24, 6), (five_requests(), 12, 12)):
        data = LogData.of(log)
        assert pool_state(data, data.num_steps, blocks).counts()[1] == held


def test_a_list_for_both_shows_what_was_expected_and_the_block_that_came_to_the_other() -> None:
    shown = story("06", "fork", "one-list-for-both")
    broken = shown.steps[-1]
    assert [step.label for step in shown.steps[1:]] == [
        "A = a sequence of 2 tokens", "B = fork(A)", "append_cow(B, 1)", "A.blocks",
    ]  # fmt: skip
    assert (broken.expected, broken.seen) == ("[0]", "[0, 1]")


@pytest.mark.parametrize(("lesson", "exercise"), [
    ("06", "RefCounts"), ("06", "fork"), ("06", "append_cow"), ("07", "register_release"), ("07", "allocate_prompt"),
])  # fmt: skip
def test_a_story_ends_with_the_line_that_broke(lesson: str, exercise: str) -> None:
    for mistake in [m for m in bank(specs.lesson(lesson).key).mistakes if m.exercise == exercise][:6]:
        shown = story(lesson, exercise, mistake.name)
        assert shown.steps[-1].broken and shown.failing == len(shown.steps), mistake.name


def test_a_table_without_blocks_is_appended_to_at_once() -> None:
    shown = story("06", "append_cow", "plain-append")
    assert not any(step.label.endswith(", 0)") for step in shown.steps)


def test_sequences_and_contents_of_a_replay_have_letters_of_their_own() -> None:
    shown = story("07", "register_release", "head-first")
    page = report_replay.for_page(shown.replay or {}, shown.setup)
    contents = set(page["contents"].values())
    assert contents and not {name.lower() for name in page["names"]} & contents
    assert all(re.fullmatch("[a-o]+", content) for content in contents)


def test_a_question_uses_nothing_that_only_a_stretch_exercise_explains() -> None:
    code = [shown["code"] for q in load("07").graded if (shown := q.instance(0).shown()).get("code")]
    assert code and not any("num_available" in text for text in code)


def test_no_sentence_says_that_an_orphan_is_never_found_again() -> None:
    text = " ".join(" ".join(cells("07").values()).split())
    assert "until somebody computes the parent again" in text and "never be found" not in text


RIGHT_POOLS = {right.name: right.source for right in bank("04_block_pool").right if right.exercise == "BlockPool"}


@pytest.mark.parametrize(("lesson", "exercise"), [("06", "RefCounts"), ("06", "append_cow"),
                                                  ("07", "register_release"), ("07", "allocate_prompt")])  # fmt: skip
@pytest.mark.parametrize("name", ["random-order", "locked-with-checks", "generator-based"])
def test_a_right_pool_of_any_style_carries_what_is_built_on_it(lesson: str, exercise: str, name: str) -> None:
    pool: dict[str, Any] = {}
    exec(RIGHT_POOLS[name], pool)
    spec = specs.exercise(lesson, exercise).spec
    source = Source(spec, solutions(specs.lesson(lesson).key)[exercise], f"<exercise {lesson}/{exercise}>")
    judge = Judge(spec, lambda: {**source.namespace(), "BlockPool": pool["BlockPool"]})
    for _, ops in spec.witnesses:
        run = judge.run(ops)
        assert run.ok, run.failures or run.unjudgeable or run.limit
