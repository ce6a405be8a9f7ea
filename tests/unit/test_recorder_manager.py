"""The recording manager: every physical event once, evictions exactly, and a log from which the pool can be rebuilt."""

from __future__ import annotations

import random
from typing import Any

import pytest

from labkit.engine import kv_cache_manager
from labkit.errors import UnknownSequenceError
from labkit.observe.events import NULL_LOG, EventLog, Kind
from labkit.observe.evictions import evictions_of
from labkit.observe.pool_state import LogData, pool_state
from labkit.observe.recorder import record


def recorded(num_blocks: int = 8, block_size: int = 4, **more) -> tuple[Any, EventLog]:
    log = EventLog()
    return record(kv_cache_manager(num_blocks, block_size, **more), log), log


def events(log: EventLog, step: int) -> list[tuple[str, str, int, int]]:
    return [
        (Kind(r["kind"]).name, log.names[r["seq"]], int(r["block"]), int(r["arg"]))
        for r in log.records
        if r["step"] == step
    ]


def test_a_prompt_is_stored_freed_and_hit():
    manager, log = recorded()
    assert manager.allocate("A", range(10)).blocks == [0, 1, 2]
    manager.free("A")
    assert manager.allocate("B", range(9)).num_cached_tokens == 8
    assert events(log, 0) == [
        ("ALLOCATE", "A", 0, 0),
        ("ALLOCATE", "A", 1, 1),
        ("ALLOCATE", "A", 2, 2),
        ("FILL", "A", 0, 4),
        ("FILL", "A", 1, 4),
        ("FILL", "A", 2, 2),
        ("STORED", "A", 0, 0),
        ("STORED", "A", 1, 1),
    ]
    assert events(log, 1) == [("FREE", "A", 2, 0), ("FREE", "A", 1, 0), ("FREE", "A", 0, 0)]
    assert events(log, 2) == [
        ("REUSE", "B", 0, 0),
        ("REUSE", "B", 1, 1),
        ("ALLOCATE", "B", 3, 2),
        ("FILL", "B", 3, 1),
    ]
    assert log.labels == [
        "allocate(A, 10 tokens) -> nothing is cached; tokens 0 to 9 need 3 new blocks: blocks 0, 1, 2",
        "free(A) -> blocks 0, 1 stay findable; block 2 back in the pool",
        "allocate(B, 9 tokens) -> 8 tokens are cached: blocks 0, 1; token 8 needs a new block: block 3",
    ]
    assert log.meta == {"num_blocks": 8, "block_size": 4}


def test_evictions_are_exact_and_told_before_the_block_is_given_away():
    manager, log = recorded(3)
    manager.allocate("A", range(12))
    manager.free("A")
    manager.allocate("B", range(100, 108))
    assert events(log, 2)[:4] == [
        ("REMOVED", "", 2, -1),
        ("REMOVED", "", 1, -1),
        ("ALLOCATE", "B", 2, 0),
        ("ALLOCATE", "B", 1, 1),
    ]
    assert log.labels[2].endswith("2 new blocks: blocks 2, 1; blocks 2, 1 evicted to make room")
    assert manager.counters.cached_blocks_evicted == 2


def test_content_numbers_pair_evictions_with_their_regret():
    manager, log = recorded(4, regret=True)
    for prompt in (range(12), range(100, 108), range(12)):
        assert manager.allocate("A", prompt)
        manager.free("A")
    found = evictions_of(log)
    assert [(e.block, e.wanted_again) for e in found] == [(2, 4), (2, None)]
    assert manager.counters.cached_blocks_evicted == 2 and manager.counters.regretted_evictions == 1


def test_salts_give_equal_tokens_different_contents():
    manager, log = recorded()
    manager.allocate("A", range(4), salt=b"a")
    manager.allocate("B", range(4), salt=b"b")
    stored = [row for step in (0, 1) for row in events(log, step) if row[0] == "STORED"]
    assert [row[3] for row in stored] == [0, 1]
    # A prompt that does not fill a block keeps its salt until it does, and so do its forks.
    manager.allocate("C", range(2), salt=b"a")
    manager.fork("C", "D")
    manager.extend("C", [2, 3]), manager.extend("D", [2, 3])
    assert [row[3] for row in events(log, 4) + events(log, 5) if row[0] == "STORED"] == [0, 0]


def test_no_room_preemption_fork_and_copy_are_told():
    manager, log = recorded(3)
    manager.allocate("A", range(6))
    assert not manager.allocate("B", range(50, 58))
    assert "no room: 2 blocks are wanted, 1 is free" in log.labels[-1]
    assert events(log, 1) == [("REFUSE", "B", 1, 2)]
    manager.fork("A", "C")
    manager.append("C", 7)
    assert "copy-on-write: block 1 is shared with A, the token goes to new block 2" in log.labels[-1]
    assert events(log, 3)[:2] == [("COPY", "C", 2, 1), ("FREE", "C", 1, 1)]
    assert manager.append("C", 8) and "block 2 is full and findable" in log.labels[-1]
    assert not manager.append("C", 9) and log.labels[-1].startswith("append(C) -> False: there is no room")
    manager.preempt("C")
    assert events(log, 6)[-1][:2] == ("PREEMPT", "C")
    manager.forget("C")
    assert log.labels[7] == "forget(C) -> given up" and events(log, 7) == [("FINISH", "C", -1, -1)]
    assert not manager.reset_prefix_cache()
    manager.free("A")
    assert manager.reset_prefix_cache() and "CLEARED" in {row[0] for row in events(log, log.num_steps - 1)}
    with pytest.raises(UnknownSequenceError):
        manager.free("Z")
    assert log.labels[-1].startswith("free(Z) -> UnknownSequenceError")


def test_nothing_is_recorded_or_wrapped_where_no_one_listens():
    inner = kv_cache_manager(4, 4)
    cache = inner.cache
    manager = record(inner, NULL_LOG)
    assert manager.allocate("A", range(6)).blocks == [0, 1]
    assert manager.append_each(["A"], [1]) and inner.cache is cache


CACHES = {"hash": "hash", "radix": "radix", "none": None}


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("seed", range(6))
def test_the_pool_can_be_rebuilt_from_the_log(seed: int, cache: str):
    """Holders, tables and cached blocks of a random run, after every step, against the manager itself."""
    rng = random.Random(seed)
    manager, log = recorded(10, 2, prefix_cache=CACHES[cache])
    plain = kv_cache_manager(10, 2, prefix_cache=CACHES[cache])
    names = [f"s{i}" for i in range(5)]
    for _ in range(160):
        running = manager.sequences()
        name = rng.choice(names)
        op = rng.choice("allocate allocate append append each free preempt fork forget".split())
        if op == "allocate" and name not in manager:
            prompt = [rng.randint(0, 1) for _ in range(rng.randint(1, 9))]
            assert manager.allocate(name, prompt) == plain.allocate(name, prompt)
        elif op == "append" and name in manager:
            assert manager.append(name, 1) == plain.append(name, 1)
        elif op == "each" and running:
            assert manager.append_each(running, [0] * len(running)) == plain.append_each(running, [0] * len(running))
        elif op in ("free", "preempt") and name in manager:
            getattr(manager, op)(name), getattr(plain, op)(name)
        elif op == "fork" and running and name not in manager:
            manager.fork(running[0], name), plain.fork(running[0], name)
        elif op == "forget" and name in manager._preempted:
            manager.forget(name), plain.forget(name)
        state = pool_state(LogData.of(log), log.num_steps, 10)
        assert state.counts() == (manager.num_free, manager.num_held, manager.num_cached)
        for seq in manager.sequences():
            assert state.tables[log.names.index(seq)] == manager.blocks(seq) == plain.blocks(seq)
            assert state.tokens(log.names.index(seq)) == manager.num_tokens(seq)
    assert manager.counters == plain.counters and not state.clash
    removed = sum(1 for row in log.records if row["kind"] == Kind.REMOVED and not row["flags"])
    assert removed == manager.counters.cached_blocks_evicted


def test_forgetting_all_contents_is_one_event_and_a_refused_one_is_none():
    manager, log = recorded()
    manager.allocate("A", range(8))
    assert manager.reset_prefix_cache() is False and log.num_steps == 1
    manager.free("A")
    assert manager.reset_prefix_cache() is True
    assert events(log, 2) == [("CLEARED", "", -1, -1)]
    assert log.labels[2] == "reset_prefix_cache() -> nothing can be found any more"
    assert pool_state(LogData.of(log), 3, 8).counts() == (8, 0, 0)
