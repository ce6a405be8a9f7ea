"""The scheduler under random loads: everybody ends, and what comes out depends on nobody else.

The engine here is memory and arithmetic. Each slot holds a digest of a token and of all before it, as K and V do; the
next token is made of what a sequence reads in its slots. So a block that was shared, copied, evicted, swapped or
preempted wrongly changes the text.
"""

from __future__ import annotations

import zlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.engine import kv_cache_manager
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.preemption import VICTIMS
from labkit.scheduling.request import Request, State
from labkit.scheduling.scheduler import Scheduler
from labkit.scheduling.step import Step
from labkit.scheduling.swap import SwapCost
from labkit.scheduling.waiting import ORDERS

BLOCK = 2


class Memory:
    """Computes steps over the slots of a manager, and checks that every sequence reads what it wrote."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.manager = scheduler.manager
        self.slots: dict[int, int] = {}
        self.host: dict[int, int] = {}

    def run(self, step: Step) -> list[int]:
        """The next token of each of `step.sampling`."""
        copy(step.swapped_out, self.slots, self.host)
        copy(step.copies, self.slots, self.slots)
        copy(step.swapped_in, self.host, self.slots)
        for request, n in step.plan:
            for position in range(request.computed, request.computed + n):
                before = self.read(request, position)
                (slot,) = self.manager.slots(request.id, position, position + 1)
                self.slots[slot] = zlib.crc32(request.tokens(position, position + 1), before)
        return [self.read(request, request.num_tokens) % 3 for request in step.sampling]

    def read(self, request: Request, length: int) -> int:
        """What the last of the first `length` tokens left in memory; 0 before the first."""
        return self.slots[self.manager.slots(request.id, length - 1, length)[0]] if length else 0


def copy(pairs: list[tuple[int, int]], source: dict[int, int], target: dict[int, int]) -> None:
    """Copy blocks, of which a block that was never written holds 0."""
    for one, other in pairs:
        for at in range(BLOCK):
            target[other * BLOCK + at] = source.get(one * BLOCK + at, 0)


def alone(prompt: list[int], max_tokens: int) -> list[int]:
    """What a request generates with nobody beside it."""
    known, digest, output = list(prompt), 0, []
    for token in known:
        digest = zlib.crc32(token.to_bytes(4, "little"), digest)
    while len(output) < max_tokens:
        output.append(digest % 3)
        digest = zlib.crc32(output[-1].to_bytes(4, "little"), digest)
    return output


@st.composite
def loads(draw: Any) -> tuple[int, list[tuple[list[int], int, int, int]]]:
    """Blocks, and requests of which a few are too many: (prompt, max_tokens, the step before which it comes, priority).

    The longest take all of memory, and one in some is a slot longer than that.
    """
    num_blocks = draw(st.integers(4, 14))
    requests = []
    for _ in range(draw(st.integers(2, 10))):
        slots = draw(st.integers(2, num_blocks * BLOCK + 1))
        prompt = draw(st.lists(st.integers(0, 1), min_size=1, max_size=slots))
        requests.append((prompt, slots + 1 - len(prompt), draw(st.integers(0, 6)), draw(st.integers(0, 2))))
    return num_blocks, requests


knobs = st.fixed_dictionaries(
    {
        "token_budget": st.integers(1, 24),
        "seats": st.integers(1, 6),
        "longest_chunk": st.sampled_from([None, 1, 3]),
        "chunked_prefill": st.booleans(),
        "queue": st.sampled_from(ORDERS),
        "patience": st.integers(1, 3),
        "victim": st.sampled_from(sorted(VICTIMS)),
        "host_blocks": st.sampled_from([0, 0, 1, 3, 200]),
        "swap_cost": st.sampled_from([None, SwapCost(1.0, 1.0, 1.0, 1.0), SwapCost(1.0, 1.0, 1.0, 0.0)]),
        "watermark": st.sampled_from([0.0, 0.2, 0.9]),
        "full_sequence": st.booleans(),
        "reserve_to_max": st.booleans(),
    }
)


@settings(max_examples=300)
@given(loads(), knobs, st.sampled_from(["hash", "radix", None]))
def test_everybody_ends_with_the_text_of_a_request_alone(load, knobs, cache):
    num_blocks, wanted = load
    knobs = knobs | {"preemption": "swap" if knobs["host_blocks"] else "recompute"}
    manager = kv_cache_manager(num_blocks, BLOCK, yours=False, prefix_cache=cache)
    scheduler = Scheduler(manager, SchedulerConfig(**knobs))
    memory = Memory(scheduler)
    coming = sorted(enumerate(wanted), key=lambda item: item[1][2])
    everybody: list[tuple[Request, Any]] = []
    now = idle = 0
    while coming or scheduler.unfinished:
        while coming and coming[0][1][2] <= now:
            name, (prompt, max_tokens, arrival, priority) = coming.pop(0)
            request = Request(name, prompt, max_tokens, arrival=arrival, priority=priority)
            everybody.append((request, prompt))
            fits = -(-(len(prompt) + max_tokens - 1) // BLOCK) <= num_blocks
            fits = fits and (knobs["chunked_prefill"] or request.most_slots <= knobs["token_budget"])
            assert scheduler.submit(request) == fits
        step = scheduler.schedule()
        assert step.num_tokens <= knobs["token_budget"] and len(scheduler.running) <= knobs["seats"]
        assert bool(step.plan) == bool(scheduler.unfinished) or step.preempted, "a step that computes nothing"
        assert not (step.preempted and step.admitted)
        finished = scheduler.update(step, memory.run(step))
        # Somebody ends within the steps that everybody would need one after the other, a token per step.
        idle = 0 if finished or not scheduler.unfinished else idle + 1
        assert idle <= num_blocks * BLOCK * len(wanted), "nobody ends any more"
        now += 1
    for request, prompt in everybody:
        if request.state is State.FINISHED:
            assert list(request.output) == alone(prompt, request.max_tokens)
        else:
            assert request.state is State.REFUSED and request.why
    delivered, computed, recomputed = scheduler.totals
    done = [request for request, _ in everybody if request.state is State.FINISHED]
    assert delivered == sum(request.max_tokens for request in done)
    assert manager.num_held == 0 and manager.num_free + manager.num_cached == num_blocks
    assert not knobs["host_blocks"] or scheduler.swapper.pool.num_free == knobs["host_blocks"]
    assert recomputed == 0 or knobs["host_blocks"] < 200 or knobs["swap_cost"] or cache
    assert 0 <= recomputed <= computed and (recomputed == 0 or manager.counters.preemptions)
    if cache is None:
        assert computed - recomputed == sum(request.most_slots for request in done)
    if knobs["reserve_to_max"] and cache is None:
        assert manager.counters.preemptions == 0


def test_two_requests_that_would_wait_for_each_other_both_end():
    """Seven blocks; one needs 4 and 1, the other 3 and 1 (vLLM PR 57104): with everybody let in, neither would end."""
    for full in (True, False):
        manager = kv_cache_manager(7, BLOCK, yours=False, prefix_cache=None)
        scheduler = Scheduler(manager, SchedulerConfig(token_budget=4, longest_chunk=2, full_sequence=full))
        memory = Memory(scheduler)
        for name, prompt in (("A", 9), ("B", 7)):
            scheduler.submit(Request(name, [1] * prompt, 2, arrival=ord(name)))
        for _ in range(40):
            step = scheduler.schedule()
            scheduler.update(step, memory.run(step))
        assert not scheduler.unfinished


def test_two_that_take_each_others_memory_do_not_go_round_in_circles():
    """Three blocks. Each has more than the other in turn, so each would be the other's victim for ever."""
    manager = kv_cache_manager(3, BLOCK, yours=False, prefix_cache=None)
    scheduler = Scheduler(manager, SchedulerConfig(longest_chunk=1, victim="most-blocks", full_sequence=False))
    memory = Memory(scheduler)
    for now in range(30):
        if now in (1, 2):
            scheduler.submit(Request(now, [1] * (4 - now), 2 + now, arrival=now))
        step = scheduler.schedule()
        scheduler.update(step, memory.run(step))
    assert not scheduler.unfinished and manager.counters.preemptions
