"""Watching counted blocks: the sentence of each step, its events, and a replay that agrees with the tables."""

from __future__ import annotations

import pytest

from labkit.cache.block_pool import BlockPool, CheckedPool
from labkit.cache.block_table import BlockTable
from labkit.cache.copy_on_write import append_cow, fork
from labkit.cache.protocols import BlockPoolLike
from labkit.cache.ref_counts import RefCounts
from labkit.errors import BlockError, DoubleFreeError
from labkit.observe.events import EventLog, Kind
from labkit.observe.record_sharing import RecordingRefCounts, RecordingSharing
from labkit.widgets.replay import LogData, pool_state


def world(num_blocks: int = 12, block_size: int = 4) -> tuple[RecordingSharing, EventLog]:
    log = EventLog(num_blocks=num_blocks, block_size=block_size)
    return RecordingSharing(RefCounts(CheckedPool(num_blocks)), log, BlockTable, fork, append_cow), log


def events(log: EventLog, step: int) -> list[tuple[str, str, int, int]]:
    return [(Kind(r["kind"]).name, log.names[r["seq"]], int(r["block"]), int(r["arg"]))
            for r in log.records if r["step"] == step]


def test_each_step_is_a_sentence():
    chats, log = world()
    chats.prompt("A", 10)
    chats.fork("A", "B")
    chats.fork("A", "C")
    for name, n in [("B", 1), ("A", 1), ("C", 1), ("B", 5), ("A", 0)]:
        assert chats.append(name, n)
    assert not chats.append("A", 40)
    chats.release("C")
    chats.release("A")
    assert log.labels == [
        "prompt(A, 10) -> tokens 0 to 9 need 3 new blocks: blocks 0, 1, 2",
        "fork(A, B) -> B holds blocks 0, 1, 2 as well: no block is taken, nothing is copied",
        "fork(A, C) -> C holds blocks 0, 1, 2 as well: no block is taken, nothing is copied",
        "append(B) -> copy-on-write: block 2 is shared with A and C, the token goes to new block 3",
        "append(A) -> copy-on-write: block 2 is shared with C, the token goes to new block 4",
        "append(C) -> token 10 goes to block 2, which it holds alone",
        "append(B, 5) -> tokens 11 to 15 need a new block: block 5",
        "append(A, 0) -> nothing to do",
        "append(A, 40) -> None: 10 blocks are wanted, 6 are free",
        "release(C) -> block 2 back in the pool; blocks 1, 0 stay with A and B",
        "release(A) -> block 4 back in the pool; blocks 1, 0 stay with B",
    ]
    assert chats.copies == [(2, 3), (2, 4)]


def test_a_copy_and_the_blocks_beyond_it_in_one_sentence():
    chats, log = world()
    chats.prompt("A", 6)
    chats.fork("A", "B")
    chats.append("B", 5)
    assert log.labels[-1] == (
        "append(B, 5) -> copy-on-write: block 1 is shared with A, the tokens go to new blocks 2, 3")
    assert events(log, 2) == [("COPY", "B", 2, 1), ("FREE", "B", 1, 1), ("ALLOCATE", "B", 3, 2), ("FILL", "B", 2, 4),
                              ("FILL", "B", 3, 3)]


def test_the_replay_agrees_with_the_tables_at_every_step():
    chats, log = world()
    seen = []

    def note():
        seen.append(({name: list(t.blocks) for name, t in chats.tables.items()},
                     [chats.refs.count(b) for b in range(12)],
                     {name: t.num_tokens for name, t in chats.tables.items()}))

    steps = [lambda: chats.prompt("A", 6), lambda: chats.fork("A", "B"), lambda: chats.append("A", 3),
             lambda: chats.fork("B", "C"), lambda: chats.append("C"), lambda: chats.append("B", 4),
             lambda: chats.release("A"), lambda: chats.fork("C", "A"), lambda: chats.append("A", 2),
             lambda: chats.release("C"), lambda: chats.release("B"), lambda: chats.append("A", 7)]
    for step in steps:
        step()
        note()
    data = LogData.of(log)
    for i, (tables, counts, tokens) in enumerate(seen, 1):
        state = pool_state(data, i, 12)
        assert {log.names[seq]: table for seq, table in state.tables.items() if table} == tables
        assert [len(holders) for holders in state.holders] == counts
        assert {name: state.tokens(log.names.index(name)) for name in tables} == tokens
        assert not state.clash


def test_a_refused_start_leaves_no_sequence():
    chats, log = world(2)
    assert chats.prompt("A", 9) is False and chats.tables == {}
    assert events(log, 0) == [("REFUSE", "A", -1, 3)]


@pytest.mark.parametrize("act", [
    lambda w: w.append("Z"), lambda w: w.fork("Z", "B"), lambda w: w.release("Z"), lambda w: w.prompt("A", 1),
    lambda w: w.fork("A", "A"),
])  # fmt: skip
def test_unknown_and_taken_names_are_refused(act):
    chats, log = world()
    chats.prompt("A", 5)
    steps = log.num_steps
    with pytest.raises(BlockError):
        act(chats)
    assert list(chats.tables) == ["A"] and log.num_steps == steps


def test_the_counts_alone():
    log = EventLog(num_blocks=6, block_size=4)
    refs = RecordingRefCounts(RefCounts(BlockPool(6)), log, "A")
    assert isinstance(refs, BlockPoolLike)
    blocks = refs.allocate(3)
    refs.share(blocks[:2])
    unheld = refs.drop(blocks)
    refs.recycle(unheld)
    refs.free(iter(blocks[:2]))
    assert refs.allocate(9) is None
    with pytest.raises(DoubleFreeError):
        refs.drop([0])
    assert (refs.num_blocks, refs.num_free, refs.count(0)) == (6, 6, 0)
    assert log.labels[:6] == [
        "allocate(3) for A -> blocks 0, 1, 2",
        "share([0, 1]) for A -> blocks 0, 1 now have 2 references",
        "drop([0, 1, 2]) for A -> block 2 held by nobody now, and not yet in the pool; "
        "blocks 0, 1 still have 1 reference",
        "recycle([2]) for A -> block 2 back in the pool, 4 are free",
        "free([0, 1]) for A -> blocks 0, 1 back in the pool",
        "allocate(9) for A -> None: 9 blocks are wanted, 6 are free",
    ]
    assert log.labels[6].startswith("drop([0]) for A -> DoubleFreeError: Block 0")
    assert events(log, 2) == [("FREE", "A", 0, 1), ("FREE", "A", 1, 1), ("FREE", "A", 2, 0)]


def test_a_table_that_leaks_what_it_took_is_seen_to():
    def leaky(table, n=1):
        table.pool.allocate(1)
        return append_cow(table, n)

    log = EventLog(num_blocks=6, block_size=4)
    chats = RecordingSharing(RefCounts(BlockPool(6)), log, BlockTable, fork, leaky)
    chats.prompt("A", 2)
    assert ("ALLOCATE", "A", 0, -1) in events(log, 0) and ("ALLOCATE", "A", 1, 0) in events(log, 0)
