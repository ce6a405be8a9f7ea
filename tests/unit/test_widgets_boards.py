"""PageTable and MemoryMap: what they say, and how a live log reaches the page."""

from __future__ import annotations

import time

import numpy as np
import pytest

from labkit.cache.contiguous import FirstFit
from labkit.cache.waste import waste_by_kind
from labkit.observe.events import RECORD, EventLog, Kind
from labkit.observe.pool_state import LogData, PoolState, pool_state
from labkit.observe.recorder import record
from labkit.widgets import Layout, MemoryMap, PageTable
from labkit.widgets.memory_state import memory_state


def forked() -> EventLog:
    """A writes two blocks, B shares the first and copies the second, A leaves; block 3 stays cached."""
    log = EventLog(num_blocks=6, block_size=4)
    log.begin("append(A, 7)")
    for index, (block, tokens) in enumerate(((3, 4), (0, 3))):
        log.emit(Kind.ALLOCATE, "A", block, index)
        log.emit(Kind.FILL, "A", block, tokens)
    log.emit(Kind.STORED, None, 3)
    log.begin("fork(A, B)")
    log.emit(Kind.SHARE, "B", 3, 0)
    log.emit(Kind.SHARE, "B", 0, 1)
    log.begin("append(B) -> copy-on-write")
    log.emit(Kind.ALLOCATE, "B", 5, 1)
    log.emit(Kind.COPY, "B", 5, 0)
    log.emit(Kind.FREE, "B", 0, 1)
    log.emit(Kind.FILL, "B", 5, 4)
    for name, blocks in (("A", (0, 3)), ("B", (5, 3))):
        log.begin(f"release({name})")
        for block in blocks:
            log.emit(Kind.FREE, name, block, 0)
    return log


def test_state_step_by_step():
    log = LogData.of(forked())
    counts = [pool_state(log, step, 6).counts() for step in range(6)]
    assert counts == [(6, 0, 0), (4, 2, 0), (4, 2, 0), (3, 3, 0), (4, 2, 0), (5, 0, 1)]
    shared = pool_state(log, 2, 6)
    assert shared.holders[3] == [1, 2] and shared.tables == {1: [3, 0], 2: [3, 0]}
    assert (shared.tokens(1), shared.tokens(2)) == (7, 7)
    copied = pool_state(log, 3, 6)
    assert copied.tables == {1: [3, 0], 2: [3, 5]} and copied.fill[5] == 4 and copied.tokens(1) == 7


def test_a_block_held_twice_by_a_wrong_pool_is_shown_twice():
    state = PoolState.empty(4)
    for block in (2, 2, 9, -1):
        state.apply(Kind.ALLOCATE, 0, block, -1)
    assert state.holders[2] == [0, 0] and state.counts() == (3, 1, 0)
    for _ in range(3):
        state.apply(Kind.FREE, 0, 2, 0)
    assert state.counts() == (4, 0, 0)


def test_repr_says_what_is_shown_and_where():
    table = PageTable(forked(), step=3)
    assert repr(table) == "PageTable(6 blocks: 3 held, 0 cached, 3 free; step 3 of 5)"
    assert repr(PageTable(forked())) == "PageTable(6 blocks: 0 held, 1 cached, 5 free; step 5 of 5)"
    assert PageTable(forked(), step=99).shown_step() == 5
    assert repr(PageTable(EventLog(num_blocks=1))) == "PageTable(1 block: 0 held, 0 cached, 1 free; step 0 of 0)"


def test_a_verdicts_events_are_read_too():
    import base64

    log = forked()
    data = {
        "data": base64.b64encode(log.to_bytes()).decode(),
        "names": log.names,
        "labels": log.labels,
        "meta": log.meta,
    }
    table = PageTable(data)
    assert table.records == log.to_bytes() and table.num_blocks == 6 and repr(table) == repr(PageTable(log))


def test_live_needs_a_log_that_grows():
    with pytest.raises(TypeError, match="EventLog"):
        PageTable(LogData.of(forked()), live=True)


def test_a_live_log_arrives_in_batches(monkeypatch: pytest.MonkeyPatch):
    log = EventLog(num_blocks=2000, block_size=1)
    table, sent = PageTable(log, live=True), []
    monkeypatch.setattr(table, "send", lambda content, buffers=None: sent.append((content, buffers)))
    for block in range(2000):
        log.begin(f"append {block}")
        log.emit(Kind.ALLOCATE, "A", block, block)
    table.flush()
    table.close_live()
    assert table.records == log.to_bytes() and table.labels == log.labels
    assert 1 <= len(sent) < 20, "batches, not a message an event"
    arrived = b"".join(bytes(buffers[0]) for _, buffers in sent)
    whole = np.frombuffer(log.to_bytes(), dtype=RECORD)
    # A batch starts where the last one ended; the rest came with a sync of the whole log.
    assert np.array_equal(np.frombuffer(arrived, dtype=RECORD), whole[: len(arrived) // 16])
    log.emit(Kind.FREE, "A", 0, 0)
    time.sleep(0.15)
    assert len(table.records) == 16 * 2000, "a closed board no longer follows"


def contiguous() -> tuple[EventLog, FirstFit]:
    log = EventLog(num_slots=100)
    inner = FirstFit(100)
    memory = record(inner, log)
    memory.reserve("A", 30)
    memory.reserve("B", 20)
    memory.reserve("C", 40)
    memory.use("A", 10)
    memory.use("B", 5)
    memory.use("A", 25)
    memory.release("C")
    memory.reserve("D", 60)
    return log, inner


def test_waste_is_that_of_the_cache():
    log, inner = contiguous()
    state = memory_state(LogData.of(log), 8, 100)
    held = [(p.start, p.length, p.used, max(p.used, p.final)) for p in state.pieces]
    assert state.wanted == 60 and state.counts() == waste_by_kind(held, inner.holes(), 60)
    assert state.counts() == {"used": 30, "reservation": 0, "internal": 20, "external": 50, "free": 0}


def test_hindsight_tells_reservation_from_internal():
    log, _ = contiguous()
    before = memory_state(LogData.of(log), 5, 100)
    # A will use 25 of its 30 slots and holds 10; B will use 5 of 20; C never uses any of its 40.
    assert before.counts() == {"used": 15, "reservation": 15, "internal": 60, "external": 0, "free": 10}


def test_memory_map_says_both():
    log, _ = contiguous()
    shown = MemoryMap(("First fit", log), Layout("Paged", forked()), step=3)
    first, paged = shown.states()
    assert sum(first.counts().values()) == 100 and sum(paged.counts().values()) == 24
    assert paged.counts()["external"] == 0
    assert repr(shown).startswith("MemoryMap(First fit: used 0, ")
    assert repr(MemoryMap()) == "MemoryMap(nothing)"


def wrong() -> EventLog:
    """A pool without logical indices: A lets its first block go, B is given A's last, and blocks 5 and 6 are lost."""
    log = EventLog(num_blocks=8, block_size=4)
    log.begin("allocate(3)")
    for block in range(3):
        log.emit(Kind.ALLOCATE, "A", block)
    log.begin("free([0])")
    log.emit(Kind.FREE, "A", 0, 0)
    log.begin("allocate(2)")
    log.emit(Kind.ALLOCATE, "B", 2)
    log.emit(Kind.ALLOCATE, "B", 3)
    log.begin("allocate(9) -> None")
    for block in (5, 6):
        log.emit(Kind.ALLOCATE, "lost", block)
    log.begin("free([2])")
    log.emit(Kind.FREE, "A", 2, 0)
    return log


def test_blocks_without_a_logical_index_stand_in_order_without_holes():
    log = LogData.of(wrong())
    assert [pool_state(log, step, 8).tables.get(1) for step in (1, 2)] == [[0, 1, 2], [1, 2]]
    log = EventLog(num_blocks=8)
    log.begin("x")
    for block in (-1, 4, -1, 2):
        log.emit(Kind.ALLOCATE, "A", block)
    assert pool_state(LogData.of(log), 1, 8).tables[1] == [4, 2]


def test_two_owners_and_lost_blocks_are_told_apart():
    log = LogData.of(wrong())
    assert [pool_state(log, step, 8).clash for step in range(6)] == [set(), set(), set(), {2}, {2}, set()]
    assert pool_state(log, 4, 8).lost(log.names) == [5, 6]
    assert repr(PageTable(log, step=4)) == "PageTable(8 blocks: 3 held, 0 cached, 3 free, 2 lost; step 4 of 5)"


def test_a_closed_board_is_no_longer_live():
    table = PageTable(EventLog(num_blocks=4), live=True)
    assert table.live
    table.close_live()
    assert not table.live


def test_step_nought_is_the_start():
    table = PageTable(forked(), step=0)
    assert table.step == 0 and table.state().counts() == (6, 0, 0)
