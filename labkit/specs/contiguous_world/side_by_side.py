"""One small workload in several memories at once, as event logs that a memory map shows side by side.

Every log has one step for each tick of the clock, so that step n is the same moment in all of them: everybody who runs
has written a token, some have ended, and those who fit have been let in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from labkit.cache.base import BlockPoolLike, BlockTableLike
from labkit.cache.contiguous import Buddy, FirstFit, ReserveMax, Waste
from labkit.engine import part
from labkit.observe.changes import State
from labkit.observe.events import EventLog
from labkit.observe.recorder import watch
from labkit.simulate.replay import ContiguousMemory, Memory, PagedMemory, replay
from labkit.simulate.trace import Trace

TWELVE = (
    *((1, 6, 3), (1, 3, 5), (1, 8, 4), (1, 4, 6), (2, 2, 4), (3, 8, 5)),
    *((4, 3, 8), (5, 9, 5), (6, 2, 3), (7, 5, 8), (8, 10, 3), (9, 3, 4)),
)
"""Requests A to L of lesson 03: step of arrival, tokens of the prompt, tokens of the answer."""


class _Narrated:
    """A memory that writes down, tick by tick, what happens in it. `replay` asks for its waste once a tick: that is the
    clock.

    Args:
        look: what can be seen of it.
        wanted: how many slots must be free for a sequence of so many tokens now, and so many in the end.
    """

    def __init__(
        self, memory: Memory, log: EventLog, look: Callable[[], State], wanted: Callable[[int, int], int]
    ) -> None:
        self.num_slots, self.log = memory.num_slots, log
        self._memory, self._look, self._wanted = memory, look, wanted
        self._to_come: dict[str, int] = {}  # tokens that a sequence has yet to write
        self._said: list[str] = []
        log.begin("")

    def admit(self, seq: str, tokens: int, final: int) -> bool:
        with watch(self.log, self._look, seq) as call:
            admitted = self._memory.admit(seq, tokens, final)
            if admitted:
                self._to_come[seq] = final - tokens
                self._said.append(f"{seq} comes in with {tokens} tokens")
            else:
                wanted = self._wanted(tokens, final)
                self._said.append(f"{seq} waits for room for {wanted} tokens")
                call.refuse(wanted)
        return admitted

    def grow(self, seq: str) -> bool:
        with watch(self.log, self._look, seq):
            grown = self._memory.grow(seq)
        self._to_come[seq] -= grown
        return grown

    def release(self, seq: str) -> None:
        with watch(self.log, self._look, seq):
            self._memory.release(seq)
        ended = not self._to_come[seq]
        self._said.append(f"{seq} ends" if ended else f"no block is left: {seq} goes back to the queue")

    def waste(self, wanted: int) -> Waste:
        self.close()
        self.log.begin("")
        return self._memory.waste(wanted)

    def close(self) -> None:
        """Give the tick that ends its sentence."""
        self.log.relabel("; ".join(self._said) or "everybody who runs writes a token")
        self._said = []


def _contiguous(allocator: ReserveMax | Buddy | FirstFit) -> _Narrated:
    def look() -> State:
        return State(runs={seq: run[:3] for seq, run in allocator.reservations().items()})

    log = EventLog(num_slots=allocator.num_slots)
    return _Narrated(ContiguousMemory(allocator), log, look, lambda tokens, final: allocator.run_length(final))


def _paged(num_slots: int, block_size: int) -> _Narrated:
    tables: dict[str, BlockTableLike] = {}

    def table(pool: BlockPoolLike, block_size: int, seq: str) -> BlockTableLike:
        tables[seq] = part("BlockTable")(pool, block_size)
        return tables[seq]

    def look() -> State:
        return State({seq: (list(table.blocks), table.num_tokens) for seq, table in tables.items()})

    log = EventLog(num_blocks=num_slots // block_size, block_size=block_size)
    return _Narrated(PagedMemory(num_slots, block_size, table=table), log, look, lambda tokens, final: tokens)


def side_by_side(trace: Trace, num_slots: int, max_tokens: int, block_size: int) -> Mapping[str, EventLog]:
    """Serve a small trace out of `num_slots` slots in four ways.

    Args:
        trace: up to a few dozen requests, none longer than `max_tokens`.
        num_slots: all of memory, the same for each; a multiple of `block_size`.
        max_tokens: what `ReserveMax` reserves for everybody.
        block_size: tokens per block of the paged memory.

    Returns:
        A log for each, by name, in the order in which the lesson speaks of them.
    """
    memories = {
        f"Reserve {max_tokens}": _contiguous(ReserveMax(num_slots, max_tokens)),
        "Buddy": _contiguous(Buddy(num_slots)),
        "First fit": _contiguous(FirstFit(num_slots)),
        f"Paged, {block_size} per block": _paged(num_slots, block_size),
    }
    for memory in memories.values():
        replay(trace, memory, step_s=1.0, sample_every=1)
        memory.close()
    return {name: memory.log for name, memory in memories.items()}


def small_trace(requests: Sequence[tuple[float, int, int]], first_step: int = 0) -> Trace:
    """A trace of (arrival, prompt tokens, answer tokens) rows, in order of arrival.

    Args:
        requests: the rows; an arrival is in seconds, and `side_by_side` takes one step per second.
        first_step: what the first second is called. Pictures count steps from 1, so with 1 a request that arrives
            "at 5" is let in, if there is room, in the step that a picture calls 5.
    """
    rows = np.array(requests, float).reshape(-1, 3)
    tokens = rows[:, 1:].astype(np.int64)
    return Trace("small", "made by hand", rows[:, 0] - first_step, tokens[:, 0], tokens[:, 1])
