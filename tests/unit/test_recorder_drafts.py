"""Watching counted blocks: the sentence of each step, its events, and a replay that agrees with the tables."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.cache.block_pool import BlockPool, CheckedPool
from labkit.cache.block_table import BlockTable
from labkit.cache.copy_on_write import append_cow, fork
from labkit.cache.ref_counts import RefCounts
from labkit.errors import BlockError
from labkit.observe.events import EventLog, Kind
from labkit.observe.pool_state import LogData, pool_state
from labkit.observe.recorder import record
from labkit.specs.sharing.drafts import Drafts


def world(num_blocks: int = 12, block_size: int = 4) -> tuple[Any, EventLog]:
    log = EventLog(num_blocks=num_blocks, block_size=block_size)
    refs = record(RefCounts(CheckedPool(num_blocks)), log)
    return record(Drafts(refs, block_size, BlockTable, fork, append_cow), log), log


def events(log: EventLog, step: int) -> list[tuple[str, str, int, int]]:
    return [
        (Kind(r["kind"]).name, log.names[r["seq"]], int(r["block"]), int(r["arg"]))
        for r in log.records
        if r["step"] == step
    ]


def play(chats: Any, steps: str) -> Any:
    """Calls written as in "fork A B; append B 1"; what the last of them answers."""
    for name, *args in (step.split() for step in steps.split("; ")):
        answer = getattr(chats, name)(*(int(arg) if arg.isdigit() else arg for arg in args))
    return answer


def test_each_step_is_a_sentence():
    chats, log = world()
    assert play(chats, "prompt A 10; fork A B; fork A C; append B 1; append A 1; append C 1; append B 5; append A 0")
    assert not play(chats, "append A 40")
    play(chats, "release C; release A")
    assert log.labels == [
        "prompt(A, 10) -> tokens 0 to 9 need 3 new blocks: blocks 0, 1, 2",
        "fork(A, B) -> B holds blocks 0, 1, 2 as well: no block is taken, nothing is copied",
        "fork(A, C) -> C holds blocks 0, 1, 2 as well: no block is taken, nothing is copied",
        "append(B) -> copy-on-write: block 2 is shared with A and C, the token goes to new block 3",
        "append(A) -> copy-on-write: block 2 is shared with C, the token goes to new block 4",
        "append(C) -> token 10 goes to block 2, which it holds alone",
        "append(B, 5) -> token 11 goes to block 3; tokens 12 to 15 need a new block: block 5",
        "append(A, 40) -> False: 10 blocks are wanted, 6 are free",
        "release(C) -> block 2 back in the pool; blocks 1, 0 stay with A and B",
        "release(A) -> block 4 back in the pool; blocks 1, 0 stay with B",
    ]


def test_a_copy_and_the_blocks_beyond_it_in_one_sentence():
    chats, log = world()
    play(chats, "prompt A 6; fork A B; append B 5")
    assert log.labels[-1] == (
        "append(B, 5) -> copy-on-write: block 1 is shared with A, the tokens go to new blocks 2, 3"
    )
    assert events(log, 2) == [
        ("COPY", "B", 2, 1),
        ("FREE", "B", 1, 1),
        ("ALLOCATE", "B", 3, 2),
        ("FILL", "B", 2, 4),
        ("FILL", "B", 3, 3),
    ]


def test_the_replay_agrees_with_the_tables_at_every_step():
    chats, log = world()
    seen = []
    steps = (
        "prompt A 6; fork A B; append A 3; fork B C; append C; append B 4; release A; fork C A; append A 2; release C; "
        "release B; append A 7"
    )
    for step in steps.split("; "):
        play(chats, step)
        tables = {name: list(t.blocks) for name, t in chats.tables.items()}
        tokens = {name: t.num_tokens for name, t in chats.tables.items()}
        seen.append((tables, [chats.refs.count(b) for b in range(12)], tokens))
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
    assert events(log, 0) == [("REFUSE", "A", 2, 3)]


@pytest.mark.parametrize("act", ["append Z", "fork Z B", "release Z", "prompt A 1", "fork A A"])
def test_unknown_and_taken_names_are_refused(act):
    chats, log = world()
    chats.prompt("A", 5)
    events_before = len(log)
    with pytest.raises(BlockError):
        play(chats, act)
    assert list(chats.tables) == ["A"] and len(log) == events_before
    assert "BlockError: There is " in log.labels[-1]


def test_a_table_that_leaks_what_it_took_is_seen_to():
    def leaky(table, n=1):
        table.pool.allocate(1)
        return append_cow(table, n)

    log = EventLog(num_blocks=6, block_size=4)
    chats = record(Drafts(record(RefCounts(BlockPool(6)), log), 4, BlockTable, fork, leaky), log)
    chats.prompt("A", 2)
    assert ("ALLOCATE", "A", 0, -1) in events(log, 0) and ("ALLOCATE", "A", 1, 0) in events(log, 0)
