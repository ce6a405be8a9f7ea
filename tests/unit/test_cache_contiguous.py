"""Holes, reservations and waste, on examples worked by hand."""

from __future__ import annotations

import pytest

from labkit.cache.base import ContiguousAllocator
from labkit.cache.contiguous import (
    Buddy,
    FirstFit,
    ReserveMax,
    Waste,
    carve,
    first_fit,
    release_coalesce,
    waste_by_kind,
)
from labkit.errors import ReservationError
from labkit.observe.events import EventLog, Kind
from labkit.observe.recorder import record


def everyone():
    return [ReserveMax(64, 16), Buddy(64), FirstFit(64)]


@pytest.mark.parametrize(
    ("holes", "size", "start"),
    [
        ([(0, 8)], 8, 0),
        ([(0, 8)], 9, None),
        ([], 1, None),
        ([(2, 3), (10, 6), (20, 5)], 4, 10),
        ([(2, 3), (10, 6), (20, 5)], 5, 10),  # the first that fits, not the best
        ([(2, 3), (10, 6), (20, 5)], 3, 2),
    ],
)
def test_first_fit(holes, size, start):
    assert first_fit(holes, size) == start


@pytest.mark.parametrize(
    ("holes", "start", "length", "after"),
    [
        ([], 3, 2, [(3, 2)]),
        ([(0, 2)], 4, 2, [(0, 2), (4, 2)]),  # touches nothing
        ([(0, 2)], 2, 2, [(0, 4)]),  # joins the hole before
        ([(4, 2)], 2, 2, [(2, 4)]),  # joins the hole after
        ([(0, 2), (4, 2)], 2, 2, [(0, 6)]),  # closes the gap
        ([(0, 1), (4, 2), (9, 1)], 6, 2, [(0, 1), (4, 4), (9, 1)]),
        ([(6, 1)], 0, 2, [(0, 2), (6, 1)]),
    ],
)
def test_release_coalesce(holes, start, length, after):
    given = list(holes)
    assert release_coalesce(holes, start, length) == after
    assert holes == given


@pytest.mark.parametrize(("start", "length"), [(0, 1), (3, 2), (7, 3), (4, 10), (9, 1)])
def test_what_is_free_already_cannot_be_released(start, length):
    holes = [(0, 4), (9, 2)]
    with pytest.raises(ReservationError, match="free already"):
        release_coalesce(holes, start, length)
    assert holes == [(0, 4), (9, 2)]


def test_carve():
    assert carve([(0, 8)], 0, 8) == []
    assert carve([(0, 8)], 0, 3) == [(3, 5)]
    assert carve([(0, 8)], 2, 3) == [(0, 2), (5, 3)]
    for start, length in ((6, 4), (9, 1)):
        with pytest.raises(ReservationError):
            carve([(0, 8), (10, 2)], start, length)


def test_waste_by_kind_is_the_paper_s():
    # 20 slots. A: 8 held, 3 written, 5 in the end. B: 4 held, all written. Holes of 2 and 6.
    reservations = [(0, 8, 3, 5), (10, 4, 4, 4)]
    holes = [(8, 2), (14, 6)]
    assert waste_by_kind(reservations, holes, 5) == {
        "used": 7, "reservation": 2, "internal": 3, "external": 2, "free": 6,
    }  # fmt: skip
    assert waste_by_kind(reservations, holes, 0)["external"] == 0  # nobody waits: no hole is too short
    assert waste_by_kind(reservations, holes, 7)["external"] == 8
    assert waste_by_kind([], [], 1) == dict.fromkeys(("used", "reservation", "internal", "external", "free"), 0)


def test_useful_share():
    assert Waste(used=3, reservation=1, internal=4, external=2, free=90).useful_share == 0.3
    assert Waste(0, 0, 0, 0, 8).useful_share == 1.0


@pytest.mark.parametrize("allocator", everyone(), ids=lambda a: type(a).__name__)
def test_everyone_fits_the_protocol(allocator):
    assert isinstance(allocator, ContiguousAllocator)
    assert allocator.holes() == [(0, 64)]


def test_what_each_reserves():
    assert [a.run_length(9) for a in everyone()] == [16, 16, 9]
    assert [a.run_length(1) for a in everyone()] == [16, 1, 1]
    assert [a.run_length(16) for a in everyone()] == [16, 16, 16]


def test_reserve_max_is_full_when_all_rooms_are_taken():
    memory = ReserveMax(40, 16)
    assert [memory.reserve(seq, 3) for seq in "ABC"] == [0, 16, None]
    memory.use("A", 2)
    assert memory.waste(wanted=3).as_dict() == {
        "used": 2, "reservation": 4, "internal": 26, "external": 8, "free": 0,
    }  # fmt: skip
    memory.release("A")
    assert memory.reserve("C", 16) == 0
    with pytest.raises(ReservationError, match="longer than the maximum"):
        memory.reserve("D", 17)


def test_first_fit_scatters():
    memory = FirstFit(12)
    for seq, tokens in (("A", 4), ("B", 2), ("C", 6)):
        memory.reserve(seq, tokens)
    memory.release("A")
    memory.release("C")
    assert memory.holes() == [(0, 4), (6, 6)]
    assert memory.reserve("D", 7) is None  # 10 slots are free
    assert memory.waste(wanted=7).external == 10
    memory.release("B")
    assert memory.holes() == [(0, 12)]


def test_buddy_splits_and_merges():
    memory = Buddy(16)
    assert memory.reserve("A", 3) == 0
    assert memory.holes() == [(4, 4), (8, 8)]
    assert memory.reserve("B", 4) == 4
    assert memory.reserve("C", 1) == 8
    assert memory.holes() == [(9, 1), (10, 2), (12, 4)]
    memory.release("B")
    assert memory.holes() == [(4, 4), (9, 1), (10, 2), (12, 4)]
    memory.release("A")
    assert memory.holes() == [(0, 8), (9, 1), (10, 2), (12, 4)]
    memory.release("C")
    assert memory.holes() == [(0, 16)]


def test_buddy_of_a_length_that_is_no_power_of_two():
    memory = Buddy(12)
    assert memory.holes() == [(0, 8), (8, 4)]
    assert memory.reserve("A", 4) == 8
    assert memory.reserve("B", 9) is None
    assert memory.reserve("C", 5) == 0
    for seq in "AC":
        memory.release(seq)
    assert memory.holes() == [(0, 8), (8, 4)]


@pytest.mark.parametrize("memory", everyone(), ids=lambda a: type(a).__name__)
def test_calls_that_make_no_sense_change_nothing(memory):
    memory.reserve("A", 5, final=3)
    memory.use("A", 2)
    before = (memory.reservations(), memory.holes())
    for call in (
        lambda: memory.reserve("A", 1),
        lambda: memory.reserve("B", 0),
        lambda: memory.reserve("B", 2.0),
        lambda: memory.reserve("B", 5, final=6),
        lambda: memory.use("A", 1),
        lambda: memory.use("A", 17),
        lambda: memory.use("B", 1),
        lambda: memory.release("B"),
    ):
        with pytest.raises(ReservationError):
            call()
    assert (memory.reservations(), memory.holes()) == before


def test_a_sequence_that_outgrows_its_final_length_moves_it():
    memory = FirstFit(16)
    memory.reserve("A", 8, final=3)
    memory.use("A", 5)
    assert memory.waste().as_dict() == {"used": 5, "reservation": 0, "internal": 3, "external": 0, "free": 8}


def test_another_rule_can_be_plugged_in():
    def best_fit(holes, size):
        fitting = [(length, start) for start, length in holes if length >= size]
        return min(fitting)[1] if fitting else None

    memory = FirstFit(20, find=best_fit, give_back=lambda holes, start, length: sorted([*holes, (start, length)]))
    for seq, tokens in (("A", 8), ("B", 2), ("C", 4), ("D", 6)):
        memory.reserve(seq, tokens)
    memory.release("A")
    memory.release("C")
    assert memory.reserve("E", 4) == 10
    memory.release("B")
    assert memory.holes() == [(0, 8), (8, 2)]  # this rule does not coalesce


def test_recording_an_allocator():
    log = EventLog(num_slots=16)
    memory = record(Buddy(16), log)
    memory.reserve("A", 5)
    memory.use("A", 4)
    assert memory.reserve("B", 9) is None
    memory.release("A")
    with pytest.raises(ReservationError):
        memory.release("A")
    assert [(Kind(r["kind"]).name, log.names[r["seq"]], int(r["block"]), int(r["arg"])) for r in log.records] == [
        ("RESERVE", "A", 0, 8),
        ("USE", "A", 0, 4),
        ("REFUSE", "B", 8, 9),
        ("RELEASE", "A", 0, 8),
    ]
    assert log.labels[:4] == [
        "reserve(A, 5) -> slots 0 to 7",
        "use(A, 4) -> 4 of 8 reserved slots are written",
        "reserve(B, 9) -> None: no hole fits, though 8 slots are free",
        "release(A) -> slots 0 to 7 are free again",
    ]
    assert log.labels[4].startswith("release(A) -> ReservationError: ")
