"""Who made a part: the learner once the check has passed, else the reference; everywhere that asks."""

from __future__ import annotations

import random

import pytest

from labkit import engine, mine, specs
from labkit.bench.shadow import Shadow, random_operations
from labkit.cache.block_pool import BlockPool as Reference
from labkit.errors import BlockError, CacheError, LessonError, PartError, SchedulerError
from labkit.grading.progress import Progress
from labkit.grading.solutions import solutions
from labkit.widgets.engine_map import map_data

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
    assert engine.part("BlockPool") is Reference and engine.owner("block_pool") == "reference"
    Progress().save_pass("04_block_pool", "BlockPool", MINE)
    assert engine.part("BlockPool").made_by == "the learner" and engine.owner("block_pool") == "yours"
    assert mine.BlockPool is engine.part("BlockPool")
    Progress().reset("04_block_pool")
    assert engine.part("BlockPool") is Reference


def test_a_new_pass_replaces_the_old_one() -> None:
    Progress().save_pass("04_block_pool", "BlockPool", MINE)
    first = engine.part("BlockPool")
    Progress().save_pass("04_block_pool", "BlockPool", MINE.replace("the learner", "a second thought"))
    assert engine.part("BlockPool") is not first
    assert engine.part("BlockPool").made_by == "a second thought"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import gone_for_good\n" + MINE, "now raises ModuleNotFoundError"),
        ("raise SystemExit\n" + MINE.replace("BlockPool", "Pool"), "is made by code of the cell"),
        (MINE.replace("list(range", "sorted(KEPT or range") + "KEPT = [print(i) for i in ()]\n", "uses KEPT"),
    ],
)
def test_what_passed_once_and_cannot_be_loaded_gives_way_to_the_reference_in_a_sentence(
    text: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Progress().save_pass("04_block_pool", "BlockPool", text)
    assert engine.part("BlockPool") is Reference and mine.BlockPool is Reference
    assert engine.owner("block_pool") == "reference" and not engine.Parts().is_yours("BlockPool")
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and why in said and "the reference stands in" in said


def test_only_references_where_blame_must_be_fair(monkeypatch: pytest.MonkeyPatch) -> None:
    Progress().save_pass("04_block_pool", "BlockPool", MINE)
    monkeypatch.setenv("LABKIT_PARTS", "reference")
    assert engine.part("BlockPool") is Reference and engine.owner("block_pool") == "reference"


def test_the_model_answers_through_the_learners_pool() -> None:
    from labkit.serving import load

    model = load("tiny")
    before = model.generate("one two three", max_new_tokens=20, cache=model.paged_cache(8, 4))
    Progress().save_pass("04_block_pool", "BlockPool", MINE)
    cache = model.paged_cache(8, 4)
    after = model.generate("one two three", max_new_tokens=20, cache=cache)
    assert cache.manager.cache.refs.pool.made_by == "the learner"
    # A stack hands out other blocks than a queue, and no text may depend on which.
    assert after.token_ids == before.token_ids


def test_every_name_that_a_lesson_hands_out_resolves() -> None:
    exported = engine.exported()
    assert {"blocks_needed", "BlockPool", "CheckedPool", "find_leak"} <= set(exported)
    for name, (lesson, exercise) in exported.items():
        assert getattr(mine, name) is engine.load_reference(specs.exercise(lesson, exercise).reference)


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(LessonError, match="block_pool"):
        engine.owner("blockpool")
    with pytest.raises(LessonError, match="BlockPool"):
        mine.BlokPool  # noqa: B018


def test_every_slot_and_link_of_the_map_is_known() -> None:
    names = {slot.name for slot in engine.SLOTS}
    assert len({(slot.row, slot.column) for slot in engine.SLOTS}) == len(engine.SLOTS)
    assert {name for link in engine.LINKS for name in link} <= names
    for lesson in specs.lessons():
        for slot in {exercise.slot for exercise in lesson.exercises} - {None}:
            assert engine.slot(slot).lesson == lesson.number
    assert "RefCounts" in next(box["about"] for box in map_data()["boxes"] if box["name"] == "sharing")


def test_a_slot_is_yours_once_all_that_fills_it_has_passed() -> None:
    assert engine.owner("sharing") == "reference" and engine.owner("model") == "reference"
    for exercise, text in solutions("06").items():
        assert engine.owner("sharing") == "reference" or specs.exercise("06", exercise).kind == "break"
        Progress().save_pass("06_sharing", exercise, text)
    assert engine.owner("sharing") == "yours"


def pass_all(*lessons: str) -> None:
    for lesson in lessons:
        for exercise, text in solutions(lesson).items():
            if specs.exercise(lesson, exercise).kind != "break":
                Progress().save_pass(specs.resolve_key(lesson), exercise, text)


@pytest.mark.parametrize("kind", ["hash", "radix"])
def test_a_manager_of_the_references_and_of_solved_parts_serves_alike(kind: str) -> None:
    """Every solution so far under one engine: `Shadow` looks at each slot."""

    def drive():
        shadow = Shadow(engine.kv_cache_manager(24, 4, prefix_cache=kind), thorough=False)
        served = random_operations(shadow, random.Random(5), 300)
        shadow.finish()
        return served, type(shadow.manager.cache.refs)

    reference = drive()
    pass_all("04", "05", "06", "07", "08", "09", "10", "16", "17", "18", "21")
    solved = drive()
    assert solved[1] is engine.part("RefCounts") is not reference[1]
    assert {engine.owner(slot.name) for slot in engine.SLOTS} == {"yours"}
    assert solved[0] == reference[0]


BROKEN = {
    "append": ("05", "BlockTable", "self.num_tokens = total", "self.num_tokens = totall", "NameError"),
    "drop": ("06", "RefCounts", "self._counts[block] -= 1", "self._counts[block] -= 1 / 0", "ZeroDivisionError"),
    "lookup": ("07", "longest_hit", "hit.append(cached[key])", "hit.append(cached['x'])", "KeyError"),
    "evict": ("09", "LRU", "return block", "return 77", "named 77"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_part_that_breaks_in_mid_run_ends_it_with_one_sentence(case: str) -> None:
    lesson, exercise, old, new, why = BROKEN[case]
    pass_all("04")
    text = solutions(lesson)[exercise]
    assert old in text
    Progress().save_pass(specs.resolve_key(lesson), exercise, text.replace(old, new))
    manager = engine.kv_cache_manager(4, 2)
    said = []
    for _ in range(3):  # it is over at once, and stays over
        with pytest.raises(PartError) as caught:
            for name in range(9):
                manager.allocate(name, [name, 0, 0, 0, 0])
                manager.lookup([name, 0, 0])
                manager.free(name)
        said.append(str(caught.value))
    assert len(set(said)) == 1
    assert said[0].startswith(f"Your {exercise} of lesson {lesson} ended this run: ") and why in said[0]
    assert said[0].endswith(f"`labkit reset {specs.resolve_key(lesson)} {exercise}`.")


STEPS = {
    "grow": ("scheduler.grow(", "scheduler.groww(", "AttributeError"),
    "no-plan": ("return plan", "return None", "TypeError"),
    "strangers": ("plan.append((head, n))", "plan.append((head, 0))", "planned 0 tokens"),
}


@pytest.mark.parametrize("case", STEPS)
def test_a_step_that_breaks_in_mid_run_ends_it_with_one_sentence(case: str) -> None:
    from labkit.scheduling.request import Request

    old, new, why = STEPS[case]
    text = solutions("16")["step"]
    assert text.count(old) == 1
    Progress().save_pass("16_continuous_batching", "step", text.replace(old, new))
    scheduler = engine.scheduler(engine.kv_cache_manager(4, 2, yours=False))
    scheduler.submit(Request("A", [1, 2, 3], 3))
    said = []
    for _ in range(3):
        with pytest.raises(PartError) as caught:
            for _ in range(3):
                step = scheduler.schedule()
                scheduler.update(step, [7] * len(step.sampling))
        said.append(str(caught.value))
    assert len(set(said)) == 1 and said[0].startswith("Your step of lesson 16 ended this run: ") and why in said[0]


def test_a_step_is_not_blamed_for_what_a_part_below_it_broke() -> None:
    from labkit.scheduling.request import Request

    pass_all("16")
    text = solutions("07")["longest_hit"]
    Progress().save_pass("07_hash_prefix_cache", "longest_hit", text.replace("cached[key]", "cached['x']"))
    scheduler = engine.scheduler(engine.kv_cache_manager(8, 2))
    for name in "AB":
        scheduler.submit(Request(name, [1, 2, 3], 3))
    with pytest.raises(PartError, match=r"^Your longest_hit of lesson 07 ended this run"):
        scheduler.schedule()
    with pytest.raises(SchedulerError):  # and the caller's own nonsense ends nothing
        scheduler.submit(Request("B", [1], 1))


def test_a_part_that_answers_nonsense_ends_the_run_although_it_raises_nothing() -> None:
    Progress().save_pass(
        "04_block_pool", "BlockPool", MINE.replace("[self.stack.pop() for _ in range(n)]", "['?'] * n")
    )
    manager = engine.kv_cache_manager(4, 2)
    with pytest.raises(PartError, match="Your BlockPool of lesson 04 ended this run: one of them answered what led to"):
        manager.allocate("a", [1, 2, 3])


ATTENTION = {
    "raises": ("paged_attention", "acc / l[:, None]", "acc / ll[:, None]", "NameError"),
    "raises-below": ("online_update", "p @ v", "p @ vv", "NameError"),
    "other-shape": ("paged_attention", "return out", "return out[:1, :1]", "where torch.Size"),
    "nothing": ("paged_attention", "return out", "return None", "answered NoneType"),
    "prefill-raises": ("chunk_prefill", "math.sqrt(q.shape[2])", "math.sqrt(d)", "NameError"),
    "prefill-mask-raises": ("causal_window_mask", "key <= query", "key <= queries", "NameError"),
    "prefill-nothing": ("chunk_prefill", "return out", "return None", "answered NoneType"),
}


@pytest.mark.parametrize("case", ATTENTION)
def test_attention_that_breaks_while_the_model_decodes_ends_the_run_with_one_sentence(case: str) -> None:
    from labkit.serving import load

    exercise, old, new, why = ATTENTION[case]
    lesson = "14" if case.startswith("prefill") else "10"
    pass_all(lesson)
    text = solutions(lesson)[exercise]
    assert text.count(old) == 1
    Progress().save_pass(specs.resolve_key(lesson), exercise, text.replace(old, new))
    model = load("tiny")
    cache, said = model.paged_cache(16, 4), []
    for _ in range(2):
        with pytest.raises(PartError) as caught:
            model.generate("one two three", max_new_tokens=3, stop=False, cache=cache)
        said.append(str(caught.value))
    assert said[0] == said[1] and said[0].startswith("Your ") and f"of lesson {lesson} ended this run: " in said[0]
    assert why in said[0] and exercise in said[0]
    references = model.paged_cache(16, 4, parts=engine.Parts(yours=False))
    assert model.generate("one two three", max_new_tokens=3, cache=references).token_ids


def test_what_the_caller_asks_wrongly_ends_no_run() -> None:
    pass_all("04", "05")
    manager = engine.kv_cache_manager(4, 2)
    for wrong in (lambda: manager.free("nobody"), lambda: manager.allocate("a", []), lambda: manager.append("x", 1)):
        with pytest.raises(CacheError):
            wrong()
    assert manager.allocate("a", [1, 2, 3])
    with pytest.raises(BlockError):
        manager.slots("a", 0, 9)
    manager.free("a")
