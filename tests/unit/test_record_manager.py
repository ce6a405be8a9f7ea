"""The recording manager: every physical event once, evictions exactly, and a log from which the pool can be rebuilt."""

from __future__ import annotations

import random

import pytest

from labkit.cache.eviction import LRU
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.cache.queue_backed_cache import queue_backed
from labkit.cache.swap import SwapPool
from labkit.errors import PolicyError, UnknownSequenceError
from labkit.observe.events import NULL_LOG, EventLog, Kind
from labkit.observe.evictions import evictions_of
from labkit.observe.record_manager import RecordingManager
from labkit.widgets.replay import LogData, pool_state


def recorded(num_blocks: int = 8, block_size: int = 4, **more) -> tuple[RecordingManager, EventLog]:
    log = EventLog()
    return RecordingManager(KVCacheManager(num_blocks, block_size, **more), log), log


def events(log: EventLog, step: int) -> list[tuple[str, str, int, int]]:
    return [(Kind(r["kind"]).name, log.names[r["seq"]], int(r["block"]), int(r["arg"]))
            for r in log.records if r["step"] == step]


def test_a_prompt_is_stored_freed_and_hit():
    manager, log = recorded()
    assert manager.allocate("A", range(10)).blocks == [0, 1, 2]
    manager.free("A")
    assert manager.allocate("B", range(9)).num_cached_tokens == 8
    assert events(log, 0) == [
        ("ALLOCATE", "A", 0, 0), ("ALLOCATE", "A", 1, 1), ("ALLOCATE", "A", 2, 2),
        ("FILL", "A", 0, 4), ("FILL", "A", 1, 4), ("FILL", "A", 2, 2),
        ("STORED", "A", 0, 0), ("STORED", "A", 1, 1),
    ]
    assert events(log, 1) == [("FREE", "A", 2, 0), ("FREE", "A", 1, 0), ("FREE", "A", 0, 0)]
    assert events(log, 2) == [
        ("REUSE", "B", 0, 0), ("REUSE", "B", 1, 1), ("ALLOCATE", "B", 3, 2), ("FILL", "B", 3, 1),
    ]
    assert log.labels == [
        "allocate(A, 10 tokens) -> nothing is cached; new blocks 0, 1, 2",
        "free(A) -> blocks 0, 1 stay findable; block 2 back in the pool",
        "allocate(B, 9 tokens) -> 8 tokens are cached: blocks 0, 1; new block 3",
    ]
    assert log.meta == {"num_blocks": 8, "block_size": 4}


def test_evictions_are_exact_and_told_before_the_block_is_given_away():
    manager, log = recorded(3)
    manager.allocate("A", range(12))
    manager.free("A")
    manager.allocate("B", range(100, 108))
    assert events(log, 2)[:4] == [
        ("REMOVED", "", 2, -1), ("REMOVED", "", 1, -1), ("ALLOCATE", "B", 2, 0), ("ALLOCATE", "B", 1, 1),
    ]
    assert log.labels[2].endswith("new blocks 2, 1; blocks 2, 1 evicted to make room")
    assert manager.counters.cached_blocks_evicted == 2


def test_content_numbers_pair_evictions_with_their_regret():
    manager, log = recorded(4)
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


def test_no_room_preemption_fork_copy_and_swap_are_told():
    manager, log = recorded(3, swap_pool=SwapPool(4))
    manager.allocate("A", range(6))
    assert not manager.allocate("B", range(50, 58))
    assert "no room: 2 blocks are needed, 1 can be had" in log.labels[-1]
    assert events(log, 1) == [("REFUSE", "B", -1, 2)]
    manager.fork("A", "C")
    manager.append("C", 7)
    assert "copy-on-write: block 1 is shared, token 6 to new block 2" in log.labels[-1]
    assert events(log, 3)[:2] == [("COPY", "C", 2, 1), ("FREE", "C", 1, 1)]
    assert manager.append("C", 8) and "block 2 is full and findable" in log.labels[-1]
    assert not manager.append("C", 9) and log.labels[-1].startswith("append(C) -> False: there is no room")
    manager.swap_out("C")
    assert events(log, 6)[-1][:2] == ("SWAP_OUT", "C")
    manager.swap_in("C")
    assert events(log, 7)[-1][:2] == ("SWAP_IN", "C") and "REUSE" in {row[0] for row in events(log, 7)}
    manager.release("C")
    assert events(log, 8)[-1] == ("PREEMPT", "C", -1, 8)
    manager.forget("C")
    assert log.labels[9] == "forget(C) -> given up" and events(log, 9) == [("FINISH", "C", -1, -1)]
    manager.swap_out("A")
    manager.forget("A")
    assert log.labels[11] == "forget(A) -> given up; 2 host blocks are free again"
    with pytest.raises(UnknownSequenceError):
        manager.free("Z")
    assert log.labels[-1].startswith("free(Z) -> UnknownSequenceError")


def test_nothing_is_recorded_or_wrapped_where_no_one_listens():
    inner = KVCacheManager(4, 4)
    cache = inner.cache
    manager = RecordingManager(inner, NULL_LOG)
    assert manager.allocate("A", range(6)).blocks == [0, 1]
    assert manager.append_each(["A"], [1]) and inner.cache is cache


CACHES = {"hash": "hash", "radix": "radix", "queue": queue_backed(), "none": None}


@pytest.mark.parametrize("keyed_by", ["tokens", "blocks"])
@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("seed", range(6))
def test_the_pool_can_be_rebuilt_from_the_log(seed: int, cache: str, keyed_by: str):
    """Holders, tables and cached blocks of a random run, after every step, against the manager itself."""
    rng = random.Random(seed)
    manager, log = recorded(10, 2, swap_pool=SwapPool(6), keyed_by=keyed_by, prefix_cache=CACHES[cache])
    plain = KVCacheManager(10, 2, swap_pool=SwapPool(6), keyed_by=keyed_by, prefix_cache=CACHES[cache])
    names, out = [f"s{i}" for i in range(5)], set()
    for _ in range(160):
        running = manager.sequences()
        name = rng.choice(names)
        op = rng.choice("allocate allocate append append each free release fork swap forget".split())
        if op == "allocate" and name not in manager and name not in out:
            n = rng.randint(1, 9)
            prompt = [rng.randint(0, 1) for _ in range(n if keyed_by == "tokens" else n // 2)]
            more = {} if keyed_by == "tokens" else {"num_tokens": n}
            assert manager.allocate(name, prompt, **more) == plain.allocate(name, prompt, **more)
        elif op == "append" and name in manager:
            assert manager.append(name, 1) == plain.append(name, 1)
        elif op == "each" and running:
            assert manager.append_each(running, [0] * len(running)) == plain.append_each(running, [0] * len(running))
        elif op in ("free", "release") and name in manager:
            getattr(manager, op)(name), getattr(plain, op)(name)
        elif op == "fork" and running and name not in manager and name not in out:
            manager.fork(running[0], name), plain.fork(running[0], name)
        elif op == "forget" and name in out:
            manager.forget(name), plain.forget(name)
            out.remove(name)
        elif op == "swap" and name in out:
            assert manager.swap_in(name) == plain.swap_in(name)
            out -= {name} if name in manager else set()
        elif op == "swap" and name in manager:
            assert manager.swap_out(name) == plain.swap_out(name)
            out |= set() if name in manager else {name}
        state = pool_state(LogData.of(log), log.num_steps, 10)
        assert state.counts() == (manager.num_free, manager.num_held, manager.num_cached)
        for seq in manager.sequences():
            assert state.tables[log.names.index(seq)] == manager.blocks(seq) == plain.blocks(seq)
            assert state.tokens(log.names.index(seq)) == manager.num_tokens(seq)
    assert manager.counters == plain.counters and not state.clash
    removed = sum(1 for row in log.records if row["kind"] == Kind.REMOVED and not row["flags"])
    assert removed == manager.counters.cached_blocks_evicted


@pytest.mark.parametrize("method", ["free", "release"])
def test_who_let_go_although_the_policy_raised_is_recorded(method):
    policy = LRU()
    policy.released = lambda blocks: 1 / 0
    manager, log = recorded(4, policy=policy)
    manager.allocate("A", range(6))
    with pytest.raises(PolicyError, match="ZeroDivisionError"):
        getattr(manager, method)("A")
    assert "A" not in manager and log.labels[-1].startswith(f"{method}(A) -> PolicyError")
    state = pool_state(LogData.of(log), log.num_steps, 4)
    assert state.counts() == (manager.num_free, manager.num_held, manager.num_cached) == (3, 0, 1)


def test_a_refused_swap_out_passes_the_policys_error_on():
    policy = LRU()
    policy.stored = lambda blocks, depth: 1 / 0
    manager, _log = recorded(8, policy=policy, swap_pool=SwapPool(4))
    manager.allocate("away", [1])
    manager.swap_out("away")
    for name in ("away", "nobody", "here"):
        manager.allocate("before", range(100, 109))  # an error is pending afterwards
        with pytest.raises(PolicyError, match="ZeroDivisionError"):
            manager.swap_out(name)
        manager.free("before")
        manager._inner.cache.clear()


def test_a_name_without_a_hash_is_refused_in_the_log_as_well():
    manager, _log = recorded(swap_pool=SwapPool(4))
    for method in ("free", "release", "swap_out"):
        with pytest.raises(UnknownSequenceError, match="no hash"):
            getattr(manager, method)([])
