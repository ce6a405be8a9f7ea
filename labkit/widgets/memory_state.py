"""Where memory goes after so many operations of an event log, by what becomes of each slot.

The same as `static/memory_replay.js`, for the text form. The kinds are those of `labkit.cache.waste`, judged in
hindsight: how far a reservation gets filled is known from the rest of the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from labkit.observe.events import Kind
from labkit.observe.pool_state import LogData

KINDS = ("used", "reservation", "internal", "external", "free")
"""In the order in which figures stack them."""


@dataclass
class Piece:
    """Slots `start` to `start + length - 1`, held by one sequence (by index): `used` now, `final` at the end."""

    seq: int
    start: int
    length: int
    used: int
    final: int


@dataclass
class MemoryState:
    """Held pieces in order of place, and how long a run the next sequence waits for (0: nobody waits)."""

    num_slots: int
    paged: bool
    pieces: list[Piece] = field(default_factory=list)
    wanted: int = 0

    def holes(self) -> list[tuple[int, int]]:
        """Free runs (start, length)."""
        found, at = [], 0
        for piece in self.pieces:
            if piece.start > at:
                found.append((at, piece.start - at))
            at = max(at, piece.start + piece.length)
        if at < self.num_slots:
            found.append((at, self.num_slots - at))
        return found

    def counts(self) -> dict[str, int]:
        """Slots by kind; together all of memory."""
        out = dict.fromkeys(KINDS, 0)
        for piece in self.pieces:
            final = max(piece.used, piece.final)
            out["used"] += piece.used
            out["reservation"] += final - piece.used
            out["internal"] += piece.length - final
        wanted = 0 if self.paged else self.wanted
        for _, length in self.holes():
            out["free" if length >= wanted else "external"] += length
        return out


def memory_state(log: LogData, steps: int, num_slots: int, block_size: int = 0, wanted: int = 0) -> MemoryState:
    """Memory after the first `steps` operations. `block_size` 0 is contiguous; `wanted` 0 takes it from refusals."""
    rows = log.records.tolist()
    final = _foresee(rows)
    size = block_size or 1
    runs: dict[int, Piece] = {}
    blocks: dict[int, Piece] = {}
    waiting: dict[int, int] = {}
    for i, (step, kind, _, seq, block, arg) in enumerate(rows):
        if step >= steps:
            break
        if kind == Kind.RESERVE:
            runs[seq] = Piece(seq, block, arg, 0, min(arg, final[i]))
            waiting.pop(seq, None)
        elif kind == Kind.USE and seq in runs:
            runs[seq].used = min(runs[seq].length, max(0, arg))
        elif kind == Kind.RELEASE:
            runs.pop(seq, None)
        elif kind == Kind.REFUSE:
            waiting[seq] = max(0, arg)
        elif kind == Kind.ALLOCATE:
            blocks[block] = Piece(seq, block * size, size, 0, min(size, final[i]))
            waiting.pop(seq, None)
        elif kind == Kind.FILL and block in blocks:
            blocks[block].used = min(size, max(0, arg))
        elif kind == Kind.FREE and arg <= 0:
            blocks.pop(block, None)
    held = [piece for piece in (*runs.values(), *blocks.values()) if piece.start >= 0 and piece.length > 0]
    held.sort(key=lambda piece: piece.start)
    last = wanted or (list(waiting.values())[-1] if waiting else 0)
    return MemoryState(num_slots, block_size > 0, held, last)


def _foresee(rows: list[tuple[int, ...]]) -> list[int]:
    """For each RESERVE and ALLOCATE, the most tokens it will hold before the next one in its place."""
    final = [0] * len(rows)
    runs: dict[int, int] = {}
    blocks: dict[int, int] = {}
    for i, (_, kind, _, seq, block, arg) in enumerate(rows):
        if kind == Kind.RESERVE:
            runs[seq] = i
        elif kind == Kind.ALLOCATE:
            blocks[block] = i
        elif kind == Kind.USE and seq in runs:
            final[runs[seq]] = max(final[runs[seq]], arg)
        elif kind == Kind.FILL and block in blocks:
            final[blocks[block]] = max(final[blocks[block]], arg)
    return final
