"""A trace against a memory: who fits, who waits, and where the slots go.

The clock is the simplest that shows memory: all running sequences advance by one token per step, and every step takes
equally long. That is wrong about latency, which lessons 16 to 20 care about, and right about memory, which is all that
is asked here. Requests are served first come, first served; the first in the queue waits until it fits, and everybody
behind it waits too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from labkit.cache.base import BlockPoolLike, BlockTableLike, ContiguousAllocator
from labkit.cache.checks import whole_number
from labkit.cache.contiguous import Waste, waste_by_kind
from labkit.engine import part
from labkit.errors import ReservationError
from labkit.simulate.trace import Trace

KINDS = ("used", "reservation", "internal", "external", "free")
"""The kinds of slots, in the order in which figures stack them; see `labkit.cache.waste`."""


# --- Without a clock: what a reservation is worth ---


def useful_share(trace: Trace, max_tokens: int | Sequence[int]) -> np.ndarray:
    """If every request reserves `max_tokens` slots: the share of them that hold a token when it ends.

    Averaged over requests; a request that would get longer is stopped at the maximum and counts as 1. This flatters the
    reservation, because nothing is said of the time before the end: compare `useful_share_over_time`.

    Args:
        max_tokens: one maximum or several.

    Returns:
        float64, of the shape of `max_tokens`: shares from 0 to 1.
    """
    maxima = np.asarray(max_tokens, np.int64)
    return np.mean(np.minimum(trace.total_tokens, maxima[..., None]) / maxima[..., None], axis=-1)


def useful_share_over_time(trace: Trace, max_tokens: int | Sequence[int]) -> np.ndarray:
    """The same share averaged over slots and steps, from a request's first step to its last.

    A request starts with its prompt in the cache and adds a token per step, so halfway it has half its output; long
    answers count for more, because they hold their slots for longer. This is the share of the "reserved" memory that
    holds token states in the sense of the PagedAttention paper's Fig. 2, which counts external waste beside it.
    """
    maxima = np.asarray(max_tokens, np.int64)
    shares = np.empty(maxima.shape)
    for i, maximum in np.ndenumerate(maxima):
        served = trace.capped(int(maximum))
        steps = served.output_tokens + 1  # the prompt is there before the first output token
        slot_steps = steps * served.input_tokens + steps * served.output_tokens / 2
        shares[i] = slot_steps.sum() / (maximum * steps.sum())
    return shares


# --- With a clock ---


class Memory(Protocol):
    """What a replay needs of a memory. `ContiguousMemory` and `PagedMemory` make one of any allocator or pool."""

    num_slots: int

    def admit(self, seq: str, tokens: int, final: int) -> bool:
        """Write the first `tokens` tokens of a sequence that will have `final`; False if there is no room."""
        ...

    def grow(self, seq: str) -> bool:
        """Write one token more; False if there is no room."""
        ...

    def release(self, seq: str) -> None:
        """The sequence has ended."""
        ...

    def waste(self, wanted: int) -> Waste:
        """Every slot by kind, while somebody waits who will have `wanted` tokens (0: nobody waits)."""
        ...


class ContiguousMemory:
    """A memory of contiguous reservations.

    Each sequence asks for exactly the tokens it will have in the end. No real engine knows that number: so the
    replay is as kind to `Buddy` and `FirstFit` as the paper is to its "Pow2" and "Oracle" baselines. `ReserveMax`
    ignores it.
    """

    def __init__(self, allocator: ContiguousAllocator) -> None:
        self.allocator = allocator
        self.num_slots = allocator.num_slots
        self._tokens: dict[str, int] = {}

    def admit(self, seq: str, tokens: int, final: int) -> bool:
        if self.allocator.reserve(seq, final) is None:
            return False
        self.allocator.use(seq, tokens)
        self._tokens[seq] = tokens
        return True

    def grow(self, seq: str) -> bool:
        self._tokens[seq] += 1
        self.allocator.use(seq, self._tokens[seq])
        return True  # what was reserved is there: that is the point of reserving

    def release(self, seq: str) -> None:
        self.allocator.release(seq)
        del self._tokens[seq]

    def waste(self, wanted: int) -> Waste:
        return self.allocator.waste(wanted)


class PagedMemory:
    """A memory of blocks. Nothing is reserved, so a sequence may find no block when it grows.

    Its waste is counted as that of the others: the free end of a last block is a reservation if tokens are still to
    come there, and internal waste if not. External waste cannot be: any free block serves anybody.

    Args:
        num_slots: all of memory; what does not fill a block is not used.
        block_size: tokens per block.
        pool: another pool of num_slots // block_size blocks; by default the `BlockPool` of the engine.
        table: makes the table of a sequence, given the pool, the block size and the sequence's name; the same.
    """

    def __init__(
        self,
        num_slots: int,
        block_size: int,
        pool: BlockPoolLike | None = None,
        table: Callable[[BlockPoolLike, int, str], BlockTableLike] | None = None,
    ) -> None:
        self.block_size = whole_number(block_size, "block_size", at_least=1, error=ReservationError)
        self.pool = part("BlockPool")(num_slots // block_size) if pool is None else pool
        self.num_slots = self.pool.num_blocks * block_size
        make = part("BlockTable")
        self._new_table = table or (lambda pool, block_size, seq: make(pool, block_size))
        self._tables: dict[str, tuple[BlockTableLike, int]] = {}

    def admit(self, seq: str, tokens: int, final: int) -> bool:
        table = self._new_table(self.pool, self.block_size, seq)
        if not table.append(tokens):
            return False
        self._tables[seq] = (table, final)
        return True

    def grow(self, seq: str) -> bool:
        return self._tables[seq][0].append(1)

    def release(self, seq: str) -> None:
        self._tables.pop(seq)[0].release()

    def waste(self, wanted: int) -> Waste:
        held = []
        for table, final in self._tables.values():
            length = len(table.blocks) * self.block_size
            held.append((0, length, table.num_tokens, min(final, length)))
        # To whoever needs blocks, free blocks are one hole, wherever they lie. If it is too small for the one who
        # waits, it is still not lost: somebody who runs will grow into it.
        return Waste(**waste_by_kind(held, [(0, self.pool.num_free * self.block_size)], 0))


@dataclass(repr=False)
class Replay:
    """What happened.

    Attributes:
        name: of the memory.
        num_slots: all of memory.
        time_s: float64, shape (samples,).
        slots: int64, shape (samples, 5): slots by kind, in the order of `KINDS`.
        running, waiting: int64, shape (samples,): sequences.
        finished: requests served to the end.
        turned_away: requests larger than all of memory.
        preemptions: times a running sequence had to give its memory back and start again.
        steps: until the last request ended.
        wait_s: for each request served, from its arrival to its first admission.
    """

    name: str
    num_slots: int
    time_s: np.ndarray = field(default_factory=lambda: np.empty(0))
    slots: np.ndarray = field(default_factory=lambda: np.empty((0, len(KINDS)), np.int64))
    running: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    waiting: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    finished: int = 0
    turned_away: int = 0
    preemptions: int = 0
    steps: int = 0
    wait_s: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __repr__(self) -> str:
        return (
            f"Replay({self.name}: {self.finished:,} finished in {self.steps:,} steps, {self.preemptions:,} preemptions)"
        )

    def shares(self, under_pressure: bool = True) -> dict[str, float]:
        """Mean share of memory by kind: the five add up to 1.

        Args:
            under_pressure: average only over the moments when somebody waited, because a slot nobody wants is not
                wasted; over all moments if nobody ever did.
        """
        slots = self.slots[self._counted(under_pressure)]
        return dict(zip(KINDS, (slots.mean(axis=0) / self.num_slots).tolist(), strict=True))

    def mean_running(self, under_pressure: bool = True) -> float:
        """Mean number of sequences in memory at once; see `shares`."""
        return float(self.running[self._counted(under_pressure)].mean())

    def _counted(self, under_pressure: bool) -> np.ndarray:
        pressed = self.waiting > 0
        return pressed if under_pressure and pressed.any() else np.ones(len(pressed), bool)


@dataclass
class _Request:
    index: int
    tokens: int
    final: int


def sequence_name(index: int) -> str:
    """A, B, ... Z, AA, AB, ...: a sequence keeps its letter in every picture."""
    name = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        name = chr(ord("A") + letter) + name
    return name


def replay(
    trace: Trace,
    memory: Memory,
    *,
    name: str = "",
    step_s: float = 0.03,
    sample_every: int = 10,
    max_steps: int = 10**6,
) -> Replay:
    """Serve a trace out of a memory.

    In each step: requests that have come join the queue; the first in the queue are admitted while they fit;
    everybody who runs writes a token; who is complete releases its memory. Where a running sequence finds no room
    to grow (only paging lets this happen), the one admitted last gives back its memory, goes to the front of the
    queue and later starts again with what it had (lesson 18 is about doing this well).

    Args:
        trace: what to serve. A reservation to a maximum needs `trace.capped(maximum)`; to compare memories fairly, give
            all of them the same.
        step_s: seconds per step. At 0.03 a sequence gets 33 tokens per second.
        sample_every: steps between two looks at memory.
        max_steps: give up after so many.

    Raises:
        ReservationError: not done after `max_steps`.
    """
    queue: deque[_Request] = deque()
    running: dict[str, _Request] = {}  # in the order of admission
    result = Replay(name, memory.num_slots)
    samples: list[tuple[Any, ...]] = []
    waits_s: dict[int, float] = {}
    arrived = step = 0
    while arrived < len(trace) or queue or running:
        now_s = step * step_s
        while arrived < len(trace) and trace.arrival_s[arrived] <= now_s:
            prompt = max(int(trace.input_tokens[arrived]), 1)
            final = prompt + int(trace.output_tokens[arrived])
            if final > memory.num_slots:
                result.turned_away += 1
            else:
                queue.append(_Request(arrived, prompt, final))
            arrived += 1

        while queue and memory.admit(sequence_name(queue[0].index), queue[0].tokens, queue[0].final):
            request = queue.popleft()
            running[sequence_name(request.index)] = request
            waits_s.setdefault(request.index, now_s - float(trace.arrival_s[request.index]))

        if step % sample_every == 0:
            waste = memory.waste(queue[0].final if queue else 0)
            samples.append((now_s, tuple(waste.as_dict().values()), len(running), len(queue)))

        for seq in list(running):
            if seq not in running:  # given up for somebody before it
                continue
            if running[seq].tokens == running[seq].final:
                memory.release(seq)
                del running[seq]
                result.finished += 1
                continue
            while not memory.grow(seq):
                victim = next(reversed(running))
                memory.release(victim)
                queue.appendleft(running.pop(victim))
                result.preemptions += 1
                if victim == seq:
                    break
            else:
                running[seq].tokens += 1

        step += 1
        if step > max_steps:
            raise ReservationError(
                f"Not done after {max_steps:,} steps: give a shorter trace, more memory or more steps."
            )
    result.steps = step
    result.time_s = np.array([sample[0] for sample in samples])
    result.slots = np.array([sample[1] for sample in samples], np.int64).reshape(-1, len(KINDS))
    result.running = np.array([sample[2] for sample in samples], np.int64)
    result.waiting = np.array([sample[3] for sample in samples], np.int64)
    result.wait_s = np.array([waits_s[index] for index in sorted(waits_s)])
    return result
