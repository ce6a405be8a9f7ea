"""One small workload in several memories at once, as event logs that a memory map shows side by side.

Every log has one step for each tick of the clock, so that step n is the same moment in all of them: everybody who runs
has written a token, some have ended, and those who fit have been let in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from labkit.cache.contiguous import Buddy, FirstFit, ReserveMax, Waste
from labkit.observe.events import EventLog, Kind
from labkit.simulate.replay import ContiguousMemory, PagedMemory, replay
from labkit.simulate.traces import Trace


class _Narrated:
    """A memory that writes down, tick by tick, what it did.

    `replay` asks for its waste once a tick: that is the clock.
    """

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self._said: list[str] = []
        log.begin("")

    def admit(self, seq: str, tokens: int, final: int) -> bool:
        admitted: bool = super().admit(seq, tokens, final)  # type: ignore[misc]
        if admitted:
            self._said.append(f"{seq} comes in with {tokens} tokens")
            self._written(seq, 0)
        else:
            wanted = self._wanted(seq, tokens, final)
            self._said.append(f"{seq} waits for room for {wanted} tokens")
            self.log.emit(Kind.REFUSE, seq, arg=wanted)
        return admitted

    def grow(self, seq: str) -> bool:
        before = self._mark(seq)
        grown: bool = super().grow(seq)  # type: ignore[misc]
        if grown:
            self._written(seq, before)
        return grown

    def waste(self, wanted: int) -> Waste:
        self.close()
        self.log.begin("")
        return super().waste(wanted)  # type: ignore[misc]

    def close(self) -> None:
        """Give the tick that ends its sentence."""
        self.log.relabel("; ".join(self._said) or "everybody who runs writes a token")
        self._said = []

    def _wanted(self, seq: str, tokens: int, final: int) -> int:
        raise NotImplementedError

    def _written(self, seq: str, before: int) -> None:
        raise NotImplementedError

    def _mark(self, seq: str) -> int:
        return 0


class _Contiguous(_Narrated, ContiguousMemory):
    def __init__(self, allocator: ReserveMax | Buddy | FirstFit) -> None:
        _Narrated.__init__(self, EventLog(num_slots=allocator.num_slots))
        ContiguousMemory.__init__(self, allocator)
        self._known: set[str] = set()

    def _wanted(self, seq: str, tokens: int, final: int) -> int:
        return self.allocator.run_length(final)  # type: ignore[attr-defined]

    def _written(self, seq: str, before: int) -> None:
        start, length, used, _ = self.allocator.reservations()[seq]  # type: ignore[attr-defined]
        if seq not in self._known:
            self._known.add(seq)
            self.log.emit(Kind.RESERVE, seq, start, length)
        self.log.emit(Kind.USE, seq, start, used)

    def release(self, seq: str) -> None:
        start, length, _, _ = self.allocator.reservations()[seq]  # type: ignore[attr-defined]
        super().release(seq)
        self._known.discard(seq)
        self._said.append(f"{seq} ends")
        self.log.emit(Kind.RELEASE, seq, start, length)


class _Paged(_Narrated, PagedMemory):
    def __init__(self, num_slots: int, block_size: int) -> None:
        PagedMemory.__init__(self, num_slots, block_size)
        _Narrated.__init__(self, EventLog(num_blocks=num_slots // block_size, block_size=block_size))

    def _wanted(self, seq: str, tokens: int, final: int) -> int:
        return tokens

    def _mark(self, seq: str) -> int:
        return self._tables[seq][0].num_tokens

    def _written(self, seq: str, before: int) -> None:
        table, size = self._tables[seq][0], self.block_size
        for i in range(-(-before // size), len(table.blocks)):
            self.log.emit(Kind.ALLOCATE, seq, table.blocks[i], i)
        for i in range(before // size, len(table.blocks)):
            self.log.emit(Kind.FILL, seq, table.blocks[i], min(size, table.num_tokens - i * size))

    def release(self, seq: str) -> None:
        table, final = self._tables[seq]
        blocks = list(table.blocks)
        ended = table.num_tokens >= final
        super().release(seq)
        self._said.append(f"{seq} ends" if ended else f"no block is left: {seq} goes back to the queue")
        for block in blocks:
            self.log.emit(Kind.FREE, seq, block, 0)


def side_by_side(trace: Trace, num_slots: int, max_tokens: int, block_size: int) -> Mapping[str, EventLog]:
    """Serve a small trace out of `num_slots` slots in four ways.

    Args:
        trace: up to a few dozen requests, none longer than `max_tokens`.
        num_slots: all of memory, the same for each; a multiple of `block_size`.
        max_tokens: what `ReserveMax` reserves for everybody.
        block_size: tokens a block of the paged memory.

    Returns:
        A log for each, by name, in the order in which the lesson speaks of them.
    """
    memories: dict[str, _Contiguous | _Paged] = {
        f"Reserve {max_tokens}": _Contiguous(ReserveMax(num_slots, max_tokens)),
        "Buddy": _Contiguous(Buddy(num_slots)),
        "First fit": _Contiguous(FirstFit(num_slots)),
        f"Paged, {block_size} a block": _Paged(num_slots, block_size),
    }
    for memory in memories.values():
        replay(trace, memory, step_s=1.0, sample_every=1)
        memory.close()
    return {name: memory.log for name, memory in memories.items()}


def small_trace(requests: Sequence[tuple[float, int, int]], first_step: int = 0) -> Trace:
    """A trace of (arrival, prompt tokens, answer tokens) rows, in order of arrival.

    Args:
        requests: the rows; an arrival is in seconds, and `side_by_side` takes one step a second.
        first_step: what the first second is called. Pictures count steps from 1, so with 1 a request that arrives
            "at 5" is let in, if there is room, in the step that a picture calls 5.
    """
    rows = np.array(requests, float).reshape(-1, 3)
    tokens = rows[:, 1:].astype(np.int64)
    return Trace("small", "made by hand", rows[:, 0] - first_step, tokens[:, 0], tokens[:, 1])
