"""The recording proxies: every physical event once, with its sequence; no part is ever disturbed."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from labkit.cache.block_pool import BlockPool, CheckedPool
from labkit.cache.block_table import BlockTable
from labkit.cache.protocols import BlockPoolLike, BlockTableLike
from labkit.errors import DoubleFreeError
from labkit.observe.events import NULL_LOG, EventLog, Kind
from labkit.observe.record import RecordingPool, RecordingTable


def events(log: EventLog, step: int | None = None) -> list[tuple[str, str, int, int]]:
    return [
        (Kind(r["kind"]).name, log.names[r["seq"]], int(r["block"]), int(r["arg"]))
        for r in log.records
        if step is None or r["step"] == step
    ]


def test_a_table_over_a_recorded_pool_logs_each_block_once_with_name_and_index():
    log = EventLog(num_blocks=4, block_size=4)
    table = RecordingTable(BlockTable(RecordingPool(BlockPool(4), log), 4), log, "A")
    assert table.append(5) is True
    assert events(log) == [
        ("ALLOCATE", "A", 0, 0),
        ("ALLOCATE", "A", 1, 1),
        ("FILL", "A", 0, 4),
        ("FILL", "A", 1, 1),
    ]
    assert log.labels == ["append(A, 5) -> tokens 0 to 4 need 2 new blocks: blocks 0, 1"]


def test_a_table_over_a_plain_pool_logs_the_same():
    logs = []
    for wrap in (lambda pool, log: pool, RecordingPool):
        log = EventLog(num_blocks=8, block_size=2)
        table = RecordingTable(BlockTable(wrap(BlockPool(8), log), 2), log, "A")
        table.append(3)
        table.append()
        table.append(2)
        table.release()
        # In which order a pool nobody watches got its blocks back cannot be seen: that label may differ.
        logs.append((log.labels[:3], sorted(events(log))))
    assert logs[0] == logs[1]


def test_appending_within_a_block_logs_only_its_fill():
    log = EventLog(num_blocks=4, block_size=4)
    table = RecordingTable(BlockTable(BlockPool(4), 4), log, "A")
    table.append(2)
    table.append()
    assert events(log, 1) == [("FILL", "A", 0, 3)]
    assert log.labels[1] == "append(A) -> token 2 goes to block 0, which has room"


def test_refusal_says_how_many_are_wanted_and_how_many_are_free():
    log = EventLog(num_blocks=2, block_size=4)
    table = RecordingTable(BlockTable(RecordingPool(BlockPool(2), log), 4), log, "A")
    table.append(4)
    assert table.append(8) is False
    assert events(log, 1) == [("REFUSE", "A", -1, 2)]
    assert log.labels[1] == "append(A, 8) -> False: 2 blocks are wanted, 1 is free"


def test_release_logs_every_block_tail_first():
    log = EventLog(num_blocks=4, block_size=1)
    table = RecordingTable(BlockTable(RecordingPool(CheckedPool(4), log), 1), log, "A")
    table.append(3)
    table.release()
    assert events(log, 1) == [("FREE", "A", 2, 0), ("FREE", "A", 1, 0), ("FREE", "A", 0, 0)]


def test_a_table_that_forgets_to_free_logs_no_free():
    class Leaky(BlockTable):
        def release(self) -> None:
            self.blocks = []
            self.num_tokens = 0

    log = EventLog(num_blocks=4, block_size=1)
    table = RecordingTable(Leaky(RecordingPool(BlockPool(4), log), 1), log, "A")
    table.append(3)
    table.release()
    assert events(log, 1) == []


def test_a_pool_alone_opens_a_step_a_call_and_names_its_owner():
    log = EventLog(num_blocks=4)
    pool = RecordingPool(BlockPool(4), log, owner="A")
    assert pool.allocate(3) == [0, 1, 2]
    assert pool.allocate(2) is None
    pool.free([1])
    assert events(log) == [
        ("ALLOCATE", "A", 0, -1),
        ("ALLOCATE", "A", 1, -1),
        ("ALLOCATE", "A", 2, -1),
        ("REFUSE", "A", -1, 2),
        ("FREE", "A", 1, 0),
    ]
    assert log.labels == [
        "allocate(3) for A -> blocks 0, 1, 2",
        "allocate(2) for A -> None: 2 blocks are wanted, 1 is free",
        "free([1]) -> block 1 back in the pool, 2 are free",
    ]


def test_two_owners_may_share_one_pool():
    log = EventLog(num_blocks=4)
    inner = BlockPool(4)
    a, b = RecordingPool(inner, log, "A"), RecordingPool(inner, log, "B")
    a.allocate(1)
    b.allocate(1)
    assert events(log) == [("ALLOCATE", "A", 0, -1), ("ALLOCATE", "B", 1, -1)]


def test_an_error_passes_through_and_is_the_sentence_of_its_step():
    log = EventLog(num_blocks=4)
    pool = RecordingPool(CheckedPool(4), log)
    pool.allocate(1)
    with pytest.raises(DoubleFreeError):
        pool.free([0, 0])
    assert events(log, 1) == []
    assert log.labels[1].startswith("free([0, 0]) -> DoubleFreeError: Block 0 is named twice")


def test_events_before_an_error_inside_a_table_are_kept():
    class Breaks(BlockTable):
        def append(self, n: int = 1) -> bool:
            self.pool.allocate(1)
            raise RuntimeError("halfway")

    log = EventLog(num_blocks=4, block_size=4)
    table = RecordingTable(Breaks(RecordingPool(BlockPool(4), log), 4), log, "A")
    with pytest.raises(RuntimeError):
        table.append(1)
    assert events(log) == [("ALLOCATE", "A", 0, -1)]
    assert log.labels == ["append(A) -> RuntimeError: halfway"]
    RecordingPool(BlockPool(1), log).allocate(1)  # the table is no longer at work: a pool speaks for itself again
    assert log.labels[-1] == "allocate(1) -> block 0"


@pytest.mark.parametrize(
    "answer", [7, "xyz", ["x", None], [2**40], [-3], {1: 2}, np.array([1, 2]), (1, 1), object(), True, 2.5, [[1]]]
)
def test_nonsense_from_a_pool_is_handed_on_and_does_not_break_the_log(answer):
    class Nonsense:
        num_blocks = 4

        @property
        def num_free(self):
            raise ValueError("no idea")

        def allocate(self, n):
            return answer

        def free(self, blocks):
            return answer

    log = EventLog(num_blocks=4, block_size=2)
    pool = RecordingPool(Nonsense(), log)
    assert pool.allocate(1) is answer
    assert pool.free([3]) is answer
    assert pool.free(answer) is answer
    assert len(log.records) >= 1
    assert len(log.labels) == 3


def test_labels_stay_one_short_line():
    class Unspeakable:
        def __repr__(self):
            raise RuntimeError

    log = EventLog(num_blocks=100)
    pool = RecordingPool(BlockPool(100), log)
    pool.free(pool.allocate(100))
    pool.free(np.array([3, 4]))
    pool.free([Unspeakable()])
    assert log.labels[0] == "allocate(100) -> blocks 0, 1, 2, 3, 4, 5 and 94 more"
    assert log.labels[2].startswith("free([3, 4]) -> blocks 3, 4 back in the pool")
    assert all(len(label) < 200 and "\n" not in label for label in log.labels)


def test_a_returned_generator_is_handed_on_unread():
    class Lazy:
        def allocate(self, n):
            return (i for i in range(n))

    log = EventLog(num_blocks=4)
    assert list(RecordingPool(Lazy(), log).allocate(2)) == [0, 1]


def test_a_generator_to_free_still_can_be_read_only_once():
    class ReadsTwice:
        num_free = 0

        def free(self, blocks):
            self.seen = (list(blocks), list(blocks))

    inner = ReadsTwice()
    RecordingPool(inner, EventLog()).free(i for i in (1, 2))
    assert inner.seen == ([1, 2], [])


@pytest.mark.parametrize("blocks, num_tokens", [(None, None), ("ab", "c"), ([None], 3), ([1, 2], -5), (7, 2**50)])
def test_a_table_with_nonsense_inside_can_be_watched(blocks, num_tokens):
    class Odd:
        def __init__(self):
            self.blocks, self.num_tokens = [], 0

        def append(self, n=1):
            self.blocks, self.num_tokens = blocks, num_tokens
            return "maybe"

        def release(self):
            del self.blocks

    log = EventLog(num_blocks=4, block_size=2)
    table = RecordingTable(Odd(), log, "A")
    assert table.append(1) == "maybe"
    table.release()
    assert len(log.labels) == 2


def test_a_missing_method_is_the_learners_own_attribute_error():
    log = EventLog()
    with pytest.raises(AttributeError, match="allocate"):
        RecordingPool(object(), log).allocate(1)


def test_proxies_fit_the_protocols_and_can_be_copied():
    log = EventLog(block_size=2)
    pool = RecordingPool(BlockPool(2), log)
    table = RecordingTable(BlockTable(pool, 2), log, "A")
    assert isinstance(pool, BlockPoolLike)
    assert isinstance(table, BlockTableLike)
    assert (pool.num_blocks, pool.num_free, table.blocks, table.num_tokens) == (2, 2, [], 0)
    assert copy.copy(pool).num_blocks == 2
    table.append(3)
    assert table.slot(2) == 2
    assert table.slots(0, 3) == [0, 1, 2]


def test_nothing_is_kept_when_nobody_listens():
    pool = RecordingPool(BlockPool(2), NULL_LOG)
    table = RecordingTable(BlockTable(pool, 2), NULL_LOG, "A", block_size=2)
    assert table.append(3) is True
    table.release()
    assert pool.num_free == 2
    assert len(NULL_LOG) == 0
