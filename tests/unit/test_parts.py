"""Who made a part: the learner once the check has passed, else the reference; everywhere that asks."""

from __future__ import annotations

import pytest

from labkit import mine, parts, specs
from labkit.cache.block_pool import BlockPool as Reference
from labkit.errors import LessonError
from labkit.grading.progress import Progress

MINE = """
class BlockPool:
    made_by = "the learner"

    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        self.stack = list(range(num_blocks))

    @property
    def num_free(self):
        return len(self.stack)

    def allocate(self, n):
        return None if n > len(self.stack) else [self.stack.pop() for _ in range(n)]

    def free(self, blocks):
        self.stack.extend(blocks)
"""


def test_the_reference_stands_in_until_the_check_has_passed() -> None:
    assert parts.get("block_pool") is Reference and parts.owner("block_pool") == "reference"
    Progress().save_pass("04_block_pool", "BlockPool", MINE)
    assert parts.get("block_pool").made_by == "the learner" and parts.owner("block_pool") == "yours"
    assert mine.BlockPool is parts.get("block_pool")
    Progress().reset("04_block_pool")
    assert parts.get("block_pool") is Reference


def test_a_new_pass_replaces_the_old_one() -> None:
    Progress().save_pass("04_block_pool", "BlockPool", MINE)
    first = parts.get("block_pool")
    Progress().save_pass("04_block_pool", "BlockPool", MINE.replace("the learner", "a second thought"))
    assert parts.get("block_pool") is not first
    assert parts.get("block_pool").made_by == "a second thought"


def test_only_references_where_blame_must_be_fair(monkeypatch: pytest.MonkeyPatch) -> None:
    Progress().save_pass("04_block_pool", "BlockPool", MINE)
    monkeypatch.setenv("LABKIT_PARTS", "reference")
    assert parts.get("block_pool") is Reference and parts.owner("block_pool") == "reference"


def test_the_model_answers_through_the_learners_pool() -> None:
    from labkit.serving import load

    model = load("tiny")
    before = model.generate("one two three", max_new_tokens=20, cache=model.paged_cache(8, 4))
    Progress().save_pass("04_block_pool", "BlockPool", MINE)
    cache = model.paged_cache(8, 4)
    after = model.generate("one two three", max_new_tokens=20, cache=cache)
    assert cache.pool.made_by == "the learner"
    # A stack hands out other blocks than a queue, and no text may depend on which.
    assert after.token_ids == before.token_ids


def test_every_name_that_a_lesson_hands_out_resolves() -> None:
    exported = parts.exported()
    assert {"blocks_needed", "BlockPool", "CheckedPool", "find_leak"} <= set(exported)
    for name, (lesson, exercise) in exported.items():
        assert getattr(mine, name) is parts.load_reference(specs.exercise(lesson, exercise).reference)


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(LessonError, match="block_pool"):
        parts.get("blockpool")
    with pytest.raises(LessonError, match="still to come"):
        parts.get("scheduler")
    with pytest.raises(LessonError, match="BlockPool"):
        mine.BlokPool  # noqa: B018


def test_every_slot_and_link_of_the_map_is_known() -> None:
    names = {slot.name for slot in parts.SLOTS}
    assert len({(slot.row, slot.column) for slot in parts.SLOTS}) == len(parts.SLOTS)
    assert {name for link in parts.LINKS for name in link} <= names
    assert {lesson.lights for lesson in specs.lessons()} - {""} <= names
    for slot in parts.SLOTS:
        if slot.exercise:
            assert specs.exercise(slot.lesson, slot.exercise).slot == slot.name


def test_a_manager_of_the_references_and_of_solved_parts_serves_alike() -> None:
    """Every solution of lessons 04 to 09 under one engine: `Shadow` looks at each slot."""
    import random

    from labkit.grading.solutions import solutions
    from labkit.simulate.shadow import Shadow, random_operations

    def drive(**settings):
        shadow = Shadow(parts.kv_cache_manager(24, 4, **settings), thorough=False)
        served = random_operations(shadow, random.Random(5), 300)
        shadow.finish()
        return served, type(shadow.manager.refs), type(shadow.manager.cache)

    reference = drive()
    for lesson in ("04", "05", "06", "07", "09"):
        for exercise, text in solutions(lesson).items():
            if specs.exercise(lesson, exercise).kind != "break":
                Progress().save_pass(specs.resolve_key(lesson), exercise, text)
    solved = drive()
    assert solved[1] is parts.implementation("06", "RefCounts") is not reference[1]
    assert solved[2] is not reference[2] and parts.owner("prefix_cache") == parts.owner("eviction") == "yours"
    assert solved[0] == reference[0] == drive(prefix_cache="hash", policy=parts.get("eviction")())[0]
