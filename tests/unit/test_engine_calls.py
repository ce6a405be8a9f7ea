"""Your parts really run the engine: every passed solution counts its calls, and is called where the course says so.

For each exercise of lessons 04 to 21 that names a part the solution has passed, and counts its calls. It
must be called by the engine's manager under a workload that shares, copies, evicts and comes back, or by its scheduler;
by the play cells of the later lessons; by the model's `generate`, and by its engine. That kernels are launched, where
kernels run, is held by `tests/kernels/test_engine.py`.
"""

from __future__ import annotations

import ast
import os
import re
from collections import Counter
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch

from labkit import engine, specs
from labkit.errors import PartError
from labkit.grading import source
from labkit.grading.progress import Progress
from labkit.grading.solutions import solutions
from labkit.lesson import LIVE_QUESTIONS
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request
from labkit.scheduling.swap import SwapCost
from labkit.widgets import Storm

if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before anything imports Triton, see `kvkernels._triton`

MASTERS = Path(__file__).resolve().parents[2] / "notebooks" / "masters"
LESSONS = ("04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21")

TABLES = {"blocks_needed", "BlockPool", "slot_of", "slot_mapping", "BlockTable", "RefCounts"}
SHARING = {"fork", "append_cow"}
CHAINS = {"chain_hashes", "longest_hit", "register_release"}
TREE = {"match", "split", "insert", "evict_leaf"}
STEP = {"plan_decodes", "plan_chunks", "step"}
GATES = {"can_ever_fit", "watermark_gate", "full_sequence_gate", "latency_gate"}
BOARD = {"thrash_alert"}
ATTENTION = {"online_update", "paged_attention"}
PREFILL = {"gather_kv", "causal_window_mask", "chunk_prefill"}
KERNELS = set(engine.KERNELS)
LOOP = {"engine_step", "cancel"}
GIVE_WAY = {"choose_victim", "preempt_recompute", "break_even", "SwapPool"}

NO_ENGINE_CALLS = {
    "CheckedPool": "it is the pool for whoever looks for a block that is returned twice; the engine's is `BlockPool`",
    "find_leak": "an engine that needed it would have lost a block already",
    "allocate_prompt": "it is the order of calls that the manager itself is; one of the two has to make them",
    "belady_victim": "it knows the future, which no engine does",
    "regret_rate": "it counts from a stream that is over; the meter hears each event, and a test holds them together",
    "MyPolicy": "it runs where it is sent: in the tournament, and in a manager that is given it",
    "copy_masked": "it is the first kernel there is, and nobody needs a copy",
    "gather_page": "it copies pages, and a kernel that follows the table needs no copy",
    "page_scores": "`paged_decode` does what it does, and goes on",
    "expected_bytes": "it predicts what a kernel reads; the kernel reads it",
    "tile_addresses": "`grouped_decode` computes these addresses for itself",
    "split_ranges": "`split_decode` computes its range for itself",
    "merge_partials": "it is the merge in PyTorch; the kernel of the course merges what `split_decode` leaves",
    "choose_splits": "it counts pages; `kvkernels` has a rule of its own, which knows tiles and what was measured",
    "quantize_heads": "the model's pages have 16 bits or 32; lesson 15 lets it answer over pages of 8",
    "quantized_scores": "as `quantize_heads`",
    "quantize_or_evict": "it decides how a cache is set up, before there is one",
    "goodput": "the simulator counts each request when it ends, and forgets it; this is for runs whose lives were kept",
    "capacity_search": "it is handed whole simulations; it runs where lesson 20 looks for a size",
    "tune_storm": "it turns an engine's knobs from outside, between the windows of a board, as lesson 21 does",
    "column_map": "it is asked about a file's header, by whoever brings the file, before `read_trace` opens it",
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """All solutions have passed; what the engine loads of them counts its calls here, by exercise."""
    counter: Counter[str] = Counter()
    load = source.load_passed

    def counted(exercise: str, function: Any) -> Any:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            counter[exercise] += 1
            return function(*args, **kwargs)

        return call

    def load_counted(spec: Any, text: str, name: str) -> Any:
        made = load(spec, text, name)
        if hasattr(made, "fn"):
            return made  # a kernel
        if not isinstance(made, type):
            return counted(spec.exercise, made)
        for attribute, value in list(vars(made).items()):
            if callable(value) and not attribute.startswith("_"):
                setattr(made, attribute, counted(spec.exercise, value))
        return made

    monkeypatch.setattr(source, "load_passed", load_counted)
    monkeypatch.setattr(engine.Parts, "_loaded", {})
    for lesson in LESSONS:
        for exercise, text in solutions(lesson).items():
            if specs.exercise(lesson, exercise).kind != "break":
                Progress().save_pass(specs.resolve_key(lesson), exercise, text)
    return counter


def test_every_exercise_is_called_by_the_engine_or_has_a_reason_not_to_be():
    exercises = {e.id: e for lesson in LESSONS for e in specs.lesson(lesson).exercises if e.kind != "break"}
    called = TABLES | SHARING | CHAINS | TREE | STEP | GATES | GIVE_WAY | BOARD | ATTENTION | PREFILL | KERNELS | LOOP
    called |= {"LRU"}
    assert called | set(NO_ENGINE_CALLS) == set(exercises) and not called & set(NO_ENGINE_CALLS)
    # What is called without a box of its own is called by table or attention, which have one, or looks from outside.
    unboxed = {"blocks_needed", "slot_of", "slot_mapping"} | BOARD | PREFILL | KERNELS
    assert {id for id in called if not exercises[id].slot} == unboxed
    assert not any(exercises[id].slot for id in NO_ENGINE_CALLS)


@pytest.mark.parametrize(("kind", "finds"), [("hash", CHAINS), ("radix", TREE)])
def test_the_manager_calls_them(calls: Counter[str], kind: str, finds: set[str]):
    manager = engine.kv_cache_manager(6, 4, prefix_cache=kind)
    assert manager.allocate("a", range(10))
    manager.fork("a", "b")
    assert manager.append_each(["a", "b"], [1, 2]) and len(manager.copies) == 1
    assert manager.allocate("shares", [*range(4), 9])
    assert manager.slots("a", 0, 11)
    for name in ("a", "b", "shares"):
        manager.free(name)
    assert manager.allocate("evicts", range(100, 118)) and manager.counters.cached_blocks_evicted
    manager.preempt("evicts")
    assert manager.allocate("evicts", range(100, 118)).num_cached_tokens
    assert set(calls) == TABLES | SHARING | finds | {"LRU"}


def test_the_scheduler_calls_them(calls: Counter[str]):
    manager = engine.kv_cache_manager(6, 4)
    scheduler = engine.scheduler(manager, SchedulerConfig(token_budget=8, latency_target_s=1.0))
    for name, prompt, max_tokens in (("A", 5, 9), ("B", 14, 2)):
        scheduler.submit(Request(name, range(prompt), max_tokens))
    while scheduler.unfinished:
        step = scheduler.schedule()
        scheduler.update(step, [7] * len(step.sampling))
    assert set(calls) >= STEP | GATES and calls["step"] >= 9
    asked = sum(calls.values())
    engine.scheduler(manager, yours=False).schedule()
    assert sum(calls.values()) == asked


SWAP = {"preemption": "swap", "host_blocks": 9, "swap_cost": SwapCost(0.0, 0.1, 1.0, 0.0)}


@pytest.mark.parametrize(
    ("knobs", "called", "not_called"),
    [
        ({}, {"choose_victim", "preempt_recompute"}, {"break_even"}),
        (SWAP, {"choose_victim", "break_even", "SwapPool"}, {"preempt_recompute"}),
    ],
)
def test_whoever_gives_way_does_so_by_them(
    calls: Counter[str], knobs: dict[str, Any], called: set[str], not_called: set[str]
):
    manager = engine.kv_cache_manager(4, 4, prefix_cache=None)
    scheduler = engine.scheduler(manager, SchedulerConfig(**knobs))
    for name, prompt, max_tokens in (("A", 5, 9), ("B", 4, 9)):
        scheduler.submit(Request(name, range(prompt), max_tokens))
    while scheduler.unfinished:
        step = scheduler.schedule()
        scheduler.update(step, [7] * len(step.sampling))
    assert called <= set(calls) and not not_called & set(calls) and calls["break_even"] <= 1
    assert manager.counters.preemptions and bool(scheduler.totals.recomputed) == (not knobs)


def test_a_board_with_knobs_asks_it_beside_the_rules(calls: Counter[str]):
    assert {rule.name for rule in Storm(["seats"], seconds=20.0)._rules} > {"yours"}
    assert calls["thrash_alert"]
    asked = calls["thrash_alert"]
    Storm(["seats"], seconds=20.0, yours=False)
    assert calls["thrash_alert"] == asked


def test_no_module_of_a_lesson_holds_on_to_a_part():
    """What is imported with the module stays what it was when another one passes: a scene asks when it is called."""
    for path in Path(specs.__file__).parent.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            assert not (isinstance(node, ast.ImportFrom) and node.module == "labkit.mine"), (
                f"{path.name}: {node.lineno}"
            )


def cell(lesson: str, id: str) -> str:
    (master,) = MASTERS.glob(f"{lesson}_*.py")
    return re.search(rf'(?ms)^# %% id="{id}"[^\n]*\n(.*?)(?=^# %%)', master.read_text(encoding="utf-8"))[1]


@pytest.mark.parametrize(
    ("lesson", "parts"),
    [
        ("05", {"BlockPool", "BlockTable", "blocks_needed"}),
        ("06", {"BlockPool", "BlockTable", "blocks_needed"}),
        ("07", {"BlockPool", "BlockTable", "RefCounts"}),  # nobody forks there
        ("08", {"BlockPool", "BlockTable", "RefCounts"}),  # a tree needs no hashes
        ("09", {"BlockPool", "RefCounts", *CHAINS}),  # whole requests are replayed: there is nothing to put in a table
        ("16", {"BlockPool", "BlockTable", "RefCounts", *CHAINS}),
        ("17", {"BlockPool", "BlockTable", "RefCounts"}),  # nothing is kept findable there
        ("18", {"BlockPool", "BlockTable", "RefCounts", *CHAINS, *STEP, "choose_victim", "preempt_recompute"}),
        ("20", {"BlockPool", "BlockTable", "RefCounts", *STEP, "watermark_gate", "choose_victim"}),
        ("21", {"BlockPool", "BlockTable", "RefCounts", *CHAINS, *STEP, "preempt_recompute", "LRU", "cancel"}),
    ],
)
def test_the_play_cells_of_later_lessons_call_them(calls: Counter[str], lesson: str, parts: set[str]):
    exec(compile(cell(lesson, "play-widget"), f"play cell of {lesson}", "exec"), {"__name__": "__main__"})
    assert parts <= set(calls)


@pytest.mark.parametrize(("kind", "finds"), [(None, set()), ("hash", CHAINS), ("radix", {"match", "insert"})])
def test_the_model_answers_through_them(calls: Counter[str], kind: str | None, finds: set[str]):
    from labkit.serving import load

    model = load("tiny")
    cache = model.paged_cache(16, 4, prefix_cache=kind)
    for _ in range(2):
        assert model.generate("one two three", max_new_tokens=6, cache=cache).token_ids
    assert (TABLES | ATTENTION | PREFILL | finds) <= set(
        calls
    )  # each answers one prompt once, so there is nothing to fork or to copy


def test_what_it_answers_through_them_is_what_it_answers_without(calls: Counter[str]):
    from labkit.serving import load

    model, said = load("tiny"), []
    for parts in (engine.Parts(yours=False), engine.Parts()):
        cache = model.paged_cache(16, 4, parts=parts)
        answers = model.generate_many(["one two", "three four five"], max_new_tokens=9, stop=False, cache=cache)
        said.append([answer.token_ids for answer in answers])
    assert said[0] == said[1] and calls["paged_attention"] and calls["chunk_prefill"]


SERVED = TABLES | SHARING | STEP | GATES | ATTENTION | PREFILL | LOOP | {"LRU", "choose_victim"}


@pytest.mark.parametrize(
    ("kind", "knobs", "called"),
    [
        ("hash", {}, SERVED | CHAINS | {"preempt_recompute"}),
        ("radix", SWAP, SERVED | TREE | {"break_even", "SwapPool"}),
    ],
)
def test_the_engine_serves_on_them(calls: Counter[str], kind: str, knobs: dict[str, Any], called: set[str]):
    """A crowd that shares, forks, evicts and gives way: what it says is what it says without them."""
    from labkit.serving import load
    from labkit.serving.request import Request as Asked

    model, said = load("tiny", dtype=torch.float64), []
    config = SchedulerConfig(token_budget=24, latency_target_s=60.0, **knobs)
    for yours in (False, True):
        before = sum(calls.values())
        llm = model.engine(12, 4, config=config, prefix_cache=kind, yours=yours)
        for i, length in enumerate((9, 6, 13, 9, 21, 7)):
            llm.submit(Asked(f"R{i}", list(range(10 + 10 * (i == 4), 10 + length)), 12, n=1 + (i == 0)))
        for _ in range(4):
            llm.step()
        assert llm.cancel("R3")
        list(llm.stream())
        said.append({name: answer.token_ids for name, answer in llm.answers.items()})
        assert bool(llm.yours) == yours == (sum(calls.values()) > before)
    assert said[0] == said[1] and called <= set(calls)
    assert llm.cache.manager.counters.preemptions and llm.cache.manager.counters.cached_blocks_evicted


@pytest.mark.parametrize(
    ("lesson", "exercise", "breaks", "said"),
    [
        ("04", "BlockPool", "def allocate(self, n", "Your BlockPool of lesson 04 ended this run: allocate raised "),
        ("06", "append_cow", "def append_cow(", "Your append_cow of lesson 06 ended this run: append_cow raised "),
        ("10", "paged_attention", "def paged_attention(", "Your paged_attention of lesson 10 ended this run: "),
        ("16", "step", "def step(", "Your step of lesson 16 ended this run: step raised RuntimeError: broken"),
        ("18", "choose_victim", "def choose_victim(", "Your choose_victim of lesson 18 ended this run: "),
        ("21", "engine_step", "def engine_step(", "Your engine_step of lesson 21 ended this run: engine_step raised "),
    ],
)
def test_a_part_that_fails_ends_the_engine_in_a_sentence(lesson: str, exercise: str, breaks: str, said: str):
    from labkit.serving import load
    from labkit.serving.request import Request as Asked

    text, at = solutions(lesson)[exercise], 0
    at = text.index("\n", text.index('"""', text.index('"""', text.index(breaks)) + 3)) + 1  # behind its docstring
    indent = " " * (len(text[at:]) - len(text[at:].lstrip(" ")))
    Progress().save_pass(
        specs.resolve_key(lesson), exercise, f'{text[:at]}{indent}raise RuntimeError("broken")\n{text[at:]}'
    )
    llm = load("tiny").engine(8, 4)
    for i in range(3):
        llm.submit(Asked(f"R{i}", [10 + i] * 9, 12, n=2))
    with pytest.raises(PartError, match=re.escape(said)) as ended:
        list(llm.stream())
    assert "\n" not in str(ended.value)
    assert {answer.finish_reason for answer in llm.answers.values()} <= {"cancelled", "length"} and not llm.has_work
    for again in (llm.step, lambda: llm.submit(Asked("R", [1], 1))):  # it is over
        with pytest.raises(PartError, match=re.escape(said)):
            again()


@pytest.mark.parametrize(
    ("lesson", "asked"),
    [
        ("04", {"BlockPool"} | ATTENTION),
        ("05", {"BlockPool", "BlockTable", "slot_mapping", "slot_of"}),
        ("10", {"BlockPool", "BlockTable"} | ATTENTION),
        ("14", {"BlockPool", "BlockTable"} | PREFILL),
    ],
)
def test_the_live_answers_at_the_end_of_the_lessons_run_on_them(
    calls: Counter[str], capsys: pytest.CaptureFixture[str], lesson: str, asked: set[str]
):
    """The cell as it stands in the notebook, on the stand-in model: whose parts it names, those it has called."""
    exec(compile(cell(lesson, "live"), f"live cell of {lesson}", "exec"), {"__name__": "__main__"})
    assert asked <= set(calls) and all(calls[name] > 3 for name in asked)
    told = capsys.readouterr().out
    assert "Block pool: yours" in told and ("Block table: yours" in told) == (lesson != "04")
    assert ("Attention: yours" in told) == (lesson in ("10", "14")) and ("Prefill: yours" in told) == (lesson == "14")
    asked_in_00 = cell("00", "destination-live")
    assert all(question in told and f'"{question}"' in asked_in_00 for question in LIVE_QUESTIONS.values())
