"""Free memory as a list of holes.

A hole is a run of free slots, (start, length). A list of holes is kept in order of start, and no two holes touch: what
could be one hole is one. Every function here returns a new list and leaves the one it was given alone, so a caller that
fails halfway has changed nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from labkit.errors import ReservationError


class Hole(NamedTuple):
    """Free slots `start` to `start + length - 1`. Equal to the plain tuple (start, length)."""

    start: int
    length: int


def first_fit(holes: Sequence[tuple[int, int]], size: int) -> int | None:
    """Where a run of `size` slots fits first.

    Args:
        holes: free runs (start, length) in order of start.
        size: slots wanted, 1 or more.

    Returns:
        The first slot of the lowest hole that is long enough, or None if no hole is.
    """
    for start, length in holes:
        if length >= size:
            return start
    return None


def carve(holes: Sequence[tuple[int, int]], start: int, length: int) -> list[Hole]:
    """The holes that remain once slots `start` to `start + length - 1` are taken.

    Raises:
        ReservationError: the slots are not all free.
    """
    stop = start + length
    remaining: list[Hole] = []
    found = False
    for hole_start, hole_length in holes:
        hole_stop = hole_start + hole_length
        if hole_start <= start and stop <= hole_stop:
            found = True
            if hole_start < start:
                remaining.append(Hole(hole_start, start - hole_start))
            if stop < hole_stop:
                remaining.append(Hole(stop, hole_stop - stop))
        else:
            remaining.append(Hole(hole_start, hole_length))
    if not found:
        raise ReservationError(f"Slots {start} to {stop - 1} do not lie in one hole, but must: take free slots only.")
    return remaining


def release_coalesce(holes: Sequence[tuple[int, int]], start: int, length: int) -> list[Hole]:
    """The holes once slots `start` to `start + length - 1` are free again, joined with what they touch.

    Without joining, memory that is all free would still be cut at every place where a sequence once ended, and a long
    sequence would find no hole in an empty memory.

    Args:
        holes: free runs (start, length), in order of start, no two touching.
        start, length: the run that is given back; none of it is free yet.

    Returns:
        The new holes, in order of start, no two touching.

    Raises:
        ReservationError: some of the slots are free already. A slot that is free twice would be given to two sequences,
            which then write over each other's keys and values.
    """
    stop = start + length
    for hole_start, hole_length in holes:
        if hole_start < stop and start < hole_start + hole_length:
            raise ReservationError(
                f"Slots {start} to {stop - 1} are given back, but {max(start, hole_start)} to "
                f"{min(stop, hole_start + hole_length) - 1} are free already: give back only what is held, and once."
            )
    before = [Hole(*hole) for hole in holes if hole[0] < start]
    after = [Hole(*hole) for hole in holes if hole[0] >= start]
    if before and before[-1].start + before[-1].length == start:
        start = before.pop().start
    if after and stop == after[0].start:
        stop = after[0].start + after.pop(0).length
    return [*before, Hole(start, stop - start), *after]
