"""Any sequence of reserve, use and release: no slot is lost, shared or left in a hole that should have been joined."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from labkit.cache.contiguous import Buddy, FirstFit, ReserveMax

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


@pytest.mark.parametrize("machine", [FirstFitMemory, ReserveMaxMemory, BuddyMemory])
def test_any_sequence_of_calls(machine):
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
