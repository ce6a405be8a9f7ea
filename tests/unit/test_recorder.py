"""The recording proxies: every physical event once, with its sequence; no part is ever disturbed."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import numpy as np
import pytest

import labkit.widgets
from labkit.cache.block_pool import BlockPool, CheckedPool
from labkit.cache.block_table import BlockTable
from labkit.cache.ref_counts import CheckedRefCounts
from labkit.errors import DoubleFreeError
from labkit.observe.changes import State
from labkit.observe.events import NULL_LOG, EventLog, Kind
from labkit.observe.recorder import record, watch


def events(log: EventLog, step: int | None = None) -> list[tuple[str, str, int, int]]:
    return [
        (Kind(r["kind"]).name, log.names[r["seq"]], int(r["block"]), int(r["arg"]))
        for r in log.records
        if step is None or r["step"] == step
    ]


def test_a_table_over_a_recorded_pool_logs_each_block_once_with_name_and_index():
    log = EventLog(num_blocks=4, block_size=4)
    table = record(BlockTable(record(BlockPool(4), log), 4), log, "A")
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
    for wrap in (lambda pool, log: pool, record):
        log = EventLog(num_blocks=8, block_size=2)
        table = record(BlockTable(wrap(BlockPool(8), log), 2), log, "A")
        table.append(3)
        table.append()
        table.append(2)
        table.release()
        # In which order a pool nobody watches got its blocks back cannot be seen: that label may differ.
        logs.append((log.labels[:3], sorted(events(log))))
    assert logs[0] == logs[1]


def test_appending_within_a_block_logs_only_its_fill():
    log = EventLog(num_blocks=4, block_size=4)
    table = record(BlockTable(BlockPool(4), 4), log, "A")
    table.append(2)
    table.append()
    assert events(log, 1) == [("FILL", "A", 0, 3)]
    assert log.labels[1] == "append(A) -> token 2 goes to block 0, which has room"


def test_a_block_that_is_one_too_many_holds_nothing():
    log = EventLog(num_blocks=4, block_size=4)
    looks = iter([State(), State({"A": ([2, 0], 3)})])
    with watch(log, lambda: next(looks), "A"):
        pass
    assert events(log)[2:] == [("FILL", "A", 2, 3), ("FILL", "A", 0, 0)]


def test_refusal_says_how_many_are_wanted_and_how_many_are_free():
    log = EventLog(num_blocks=2, block_size=4)
    table = record(BlockTable(record(BlockPool(2), log), 4), log, "A")
    table.append(4)
    assert table.append(8) is False
    assert events(log, 1) == [("REFUSE", "A", 1, 2)]
    assert log.labels[1] == "append(A, 8) -> False: 2 blocks are wanted, 1 is free"


def test_release_logs_every_block_tail_first():
    log = EventLog(num_blocks=4, block_size=1)
    table = record(BlockTable(record(CheckedPool(4), log), 1), log, "A")
    table.append(3)
    table.release()
    assert events(log, 1) == [("FREE", "A", 2, 0), ("FREE", "A", 1, 0), ("FREE", "A", 0, 0)]


def test_a_table_that_forgets_to_free_logs_no_free():
    class Leaky(BlockTable):
        def release(self) -> None:
            self.blocks = []
            self.num_tokens = 0

    log = EventLog(num_blocks=4, block_size=1)
    table = record(Leaky(record(BlockPool(4), log), 1), log, "A")
    table.append(3)
    table.release()
    assert events(log, 1) == []


def test_a_pool_alone_opens_a_step_a_call_and_names_its_owner():
    log = EventLog(num_blocks=4)
    pool = record(BlockPool(4), log, "A")
    assert pool.allocate(3) == [0, 1, 2]
    assert pool.allocate(2) is None
    pool.free([1])
    assert events(log) == [
        ("ALLOCATE", "A", 0, -1),
        ("ALLOCATE", "A", 1, -1),
        ("ALLOCATE", "A", 2, -1),
        ("REFUSE", "A", 1, 2),
        ("FREE", "A", 1, 0),
    ]
    assert log.labels == [
        "allocate(3) for A -> blocks 0, 1, 2",
        "allocate(2) for A -> None: 2 blocks are wanted, 1 is free",
        "free([1]) for A -> block 1 back in the pool",
    ]


def test_two_owners_may_share_one_pool():
    log = EventLog(num_blocks=4)
    inner = BlockPool(4)
    a, b = record(inner, log, "A"), record(inner, log, "B")
    a.allocate(1)
    b.allocate(1)
    assert events(log) == [("ALLOCATE", "A", 0, -1), ("ALLOCATE", "B", 1, -1)]


def test_an_error_passes_through_and_is_the_sentence_of_its_step():
    log = EventLog(num_blocks=4)
    pool = record(CheckedPool(4), log)
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
    table = record(Breaks(record(BlockPool(4), log), 4), log, "A")
    with pytest.raises(RuntimeError):
        table.append(1)
    assert events(log) == [("ALLOCATE", "A", 0, -1)]
    assert log.labels == ["append(A) -> RuntimeError: halfway"]
    record(BlockPool(1), log).allocate(1)  # the table is no longer at work: a pool speaks for itself again
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
    pool = record(Nonsense(), log)
    assert pool.allocate(1) is answer
    assert pool.free([3]) is answer
    assert pool.free(answer) is answer
    assert [kind for kind, _, block, _ in events(log) if (kind, block) == ("FREE", 3)] == ["FREE"]
    assert all(-1 <= block <= 2**31 - 1 for _, _, block, _ in events(log))


def test_labels_stay_one_short_line():
    class Unspeakable:
        def __repr__(self):
            raise RuntimeError

    log = EventLog(num_blocks=100)
    pool = record(BlockPool(100), log)
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
    assert list(record(Lazy(), log).allocate(2)) == [0, 1]


def test_a_generator_to_free_still_can_be_read_only_once():
    class ReadsTwice:
        num_free = 0

        def free(self, blocks):
            self.seen = (list(blocks), list(blocks))

    inner = ReadsTwice()
    record(inner, EventLog()).free(i for i in (1, 2))
    assert inner.seen == ([1, 2], [])


@pytest.mark.parametrize(("blocks", "num_tokens"), [(None, None), ("ab", "c"), ([None], 3), ([1, 2], -5), (7, 2**50)])
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
    table = record(Odd(), log, "A")
    assert table.append(1) == "maybe"
    table.release()
    assert {kind for kind, _, _, _ in events(log)} <= {"ALLOCATE", "FILL"}


def test_a_missing_method_is_the_learners_own_attribute_error():
    log = EventLog()
    with pytest.raises(AttributeError, match="allocate"):
        record(object(), log).allocate(1)


def test_a_proxy_is_used_as_its_part_and_can_be_copied():
    log = EventLog(block_size=2)
    pool = record(BlockPool(2), log)
    table = record(BlockTable(pool, 2), log, "A")
    assert (pool.num_blocks, pool.num_free, table.blocks, table.num_tokens) == (2, 2, [], 0)
    assert copy.copy(pool).num_blocks == 2
    table.append(3)
    assert table.slot(2) == 2
    assert table.slots(0, 3) == [0, 1, 2]


def test_nothing_is_kept_when_nobody_listens():
    pool = BlockPool(2)
    assert record(pool, NULL_LOG) is pool and len(NULL_LOG) == 0


def test_the_counts_alone():
    log = EventLog(num_blocks=6, block_size=4)
    refs = record(CheckedRefCounts(BlockPool(6)), log, "A")
    blocks = refs.allocate(3)
    refs.share(blocks[:2])
    unheld = refs.drop(blocks)
    refs.recycle(unheld)  # they were let go of before: no event, and no step
    refs.free(iter(blocks[:2]))
    assert refs.allocate(9) is None
    with pytest.raises(DoubleFreeError):
        refs.drop([0])
    assert (refs.num_blocks, refs.num_free, refs.count(0)) == (6, 6, 0)
    assert log.labels[:5] == [
        "allocate(3) for A -> blocks 0, 1, 2",
        "share([0, 1]) for A -> blocks 0, 1 now have 2 references",
        "drop([0, 1, 2]) for A -> block 2 held by nobody now, and not yet in the pool; blocks 0, 1 stay with A",
        "free([0, 1]) for A -> blocks 0, 1 back in the pool",
        "allocate(9) for A -> None: 9 blocks are wanted, 6 are free",
    ]
    assert log.labels[5].startswith("drop([0]) for A -> DoubleFreeError: Block 0")
    assert events(log, 2) == [("FREE", "A", 0, 1), ("FREE", "A", 1, 1), ("FREE", "A", 2, 0)]


def test_where_time_is_out_nothing_more_is_asked_of_a_part():
    class OutOfTime(BaseException):
        pass

    class Endless(BlockTable):
        asked = 0

        @property
        def num_tokens(self) -> int:
            self.asked += 1
            return 0

        @num_tokens.setter
        def num_tokens(self, value: int) -> None:
            pass

        def append(self, n: int = 1) -> bool:
            raise OutOfTime

    log = EventLog(num_blocks=4, block_size=2)
    inner = Endless(BlockPool(4), 2)
    table = record(inner, log, "A")
    with pytest.raises(OutOfTime):
        table.append()
    assert inner.asked == 1 and len(log) == 0
    assert record(BlockPool(4), log).allocate(1) == [0] and log.labels == ["allocate(1) -> block 0"]


def test_what_a_call_sets_is_set_on_the_part():
    table = record(BlockTable(BlockPool(4), 2), EventLog(), "A")
    table.num_tokens = 3
    assert table._part.num_tokens == 3


def test_the_page_numbers_the_kinds_as_the_kernel_does():
    script = (Path(labkit.widgets.__file__).parent / "static" / "common.js").read_text(encoding="utf-8")
    table = script.split("const KIND = Object.freeze({", 1)[1].split("})", 1)[0]
    assert {name: int(number) for name, number in re.findall(r"(\w+): (\d+)", table)} == {k.name: k for k in Kind}


def test_who_drives_parts_itself_gets_the_events_into_the_step_that_is_open():
    """As a referee does: a function of its own, a look of its own, over a recorded pool."""
    log = EventLog(num_blocks=4, block_size=2)
    pool = record(BlockPool(4), log, steps=False)
    tables = {"A": BlockTable(pool, 2)}

    def look() -> State:
        return State({name: (list(table.blocks), table.num_tokens) for name, table in tables.items()})

    def grow(n: int) -> None:
        log.begin(f"grow({n})")
        with watch(log, look, "A") as call:
            if not tables["A"].append(n):
                call.refuse()

    grow(3)
    grow(9)
    assert events(log, 0) == [
        ("ALLOCATE", "A", 0, 0),
        ("ALLOCATE", "A", 1, 1),
        ("FILL", "A", 0, 2),
        ("FILL", "A", 1, 1),
    ]
    assert events(log, 1) == [("REFUSE", "A", 2, 4)]
    assert log.labels == ["grow(3)", "grow(9)"]
