"""Any sequence of reserve, use and release: no slot is lost, shared or left in a hole that should have been joined."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from labkit.cache.contiguous import Buddy, FirstFit, ReserveMax, carve, first_fit, release_coalesce

NUM_SLOTS = 44  # 32 + 8 + 4: no power of two, and no multiple of the maximum
MAX_TOKENS = 10


class Memory(RuleBasedStateMachine):
    """What every allocator must keep to. Subclasses say how it is made, and what more holds for it."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = self.make()
        self.at_first = self.memory.holes()
        self.names: list[str] = []
        self.born = 0

    @rule(tokens=st.integers(1, MAX_TOKENS), short_by=st.integers(0, 3))
    def reserve(self, tokens, short_by):
        seq = f"S{self.born}"
        self.born += 1
        before = (self.memory.holes(), self.memory.reservations())
        fits = any(hole.length >= self.memory.run_length(tokens) for hole in before[0])
        start = self.memory.reserve(seq, tokens, final=max(tokens - short_by, 0))
        assert (start is not None) == fits
        if start is None:
            assert (self.memory.holes(), self.memory.reservations()) == before
        else:
            self.names.append(seq)
            assert self.memory.reservations()[seq].start == start

    @precondition(lambda self: self.names)
    @rule(data=st.data())
    def use(self, data):
        seq = data.draw(st.sampled_from(self.names))
        held = self.memory.reservations()[seq]
        self.memory.use(seq, data.draw(st.integers(held.used, held.length)))

    @precondition(lambda self: self.names)
    @rule(data=st.data())
    def release(self, data):
        seq = data.draw(st.sampled_from(self.names))
        self.names.remove(seq)
        self.memory.release(seq)

    @invariant()
    def every_slot_belongs_to_one_run_or_one_hole(self):
        runs = [(held.start, held.length) for held in self.memory.reservations().values()] + self.memory.holes()
        slots = [slot for start, length in runs for slot in range(start, start + length)]
        assert sorted(slots) == list(range(NUM_SLOTS))

    @invariant()
    def holes_are_in_order(self):
        holes = self.memory.holes()
        assert holes == sorted(holes)
        assert all(hole.length > 0 for hole in holes)

    @invariant()
    def waste_adds_up(self):
        for wanted in (0, 1, MAX_TOKENS):
            waste = self.memory.waste(wanted)
            assert waste.num_slots == NUM_SLOTS
            assert min(waste.as_dict().values()) >= 0
            assert waste.used == sum(held.used for held in self.memory.reservations().values())

    def teardown(self):
        for seq in self.names:
            self.memory.release(seq)
        assert self.memory.holes() == self.at_first
        assert self.memory.reservations() == {}


class Coalescing(Memory):
    @invariant()
    def no_two_holes_touch(self):
        holes = self.memory.holes()
        assert all(a.start + a.length < b.start for a, b in pairwise(holes))


class FirstFitMemory(Coalescing):
    def make(self):
        return FirstFit(NUM_SLOTS)


class ReserveMaxMemory(Coalescing):
    def make(self):
        return ReserveMax(NUM_SLOTS, MAX_TOKENS)

    @invariant()
    def a_free_room_is_never_too_short(self):
        assert self.memory.waste(1).external < MAX_TOKENS


class BuddyMemory(Memory):
    def make(self):
        return Buddy(NUM_SLOTS)

    @invariant()
    def runs_are_aligned_powers_of_two(self):
        runs = [(held.start, held.length) for held in self.memory.reservations().values()] + self.memory.holes()
        for start, length in runs:
            assert length & (length - 1) == 0
            assert start % length == 0

    @invariant()
    def no_two_buddies_are_both_free(self):
        holes = set(self.memory.holes())
        assert not any((start ^ length, length) in holes for start, length in holes)


@pytest.mark.hypothesis
@pytest.mark.parametrize("machine", [FirstFitMemory, ReserveMaxMemory, BuddyMemory])
def test_any_sequence_of_calls(machine):
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))


def holes_of(free: list[bool]) -> list[tuple[int, int]]:
    """The holes of a memory given slot by slot: the slow and obvious way."""
    holes, start = [], None
    for slot, is_free in enumerate([*free, False]):
        if is_free and start is None:
            start = slot
        elif not is_free and start is not None:
            holes.append((start, slot - start))
            start = None
    return holes


@given(free=st.lists(st.booleans(), max_size=24), size=st.integers(1, 8))
def test_first_fit_finds_what_a_scan_of_every_slot_finds(free, size):
    fitting = [start for start in range(len(free)) if start + size <= len(free) and all(free[start : start + size])]
    assert first_fit(holes_of(free), size) == (fitting[0] if fitting else None)


@given(free=st.lists(st.booleans(), min_size=1, max_size=24), data=st.data())
def test_release_and_carve_agree_with_every_slot_and_undo_each_other(free, data):
    start = data.draw(st.integers(0, len(free) - 1))
    length = data.draw(st.integers(1, len(free) - start))
    taken = [is_free and not start <= slot < start + length for slot, is_free in enumerate(free)]
    given_back = [is_free or start <= slot < start + length for slot, is_free in enumerate(taken)]
    assert release_coalesce(holes_of(taken), start, length) == holes_of(given_back)
    assert carve(holes_of(given_back), start, length) == holes_of(taken)
