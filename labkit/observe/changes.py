"""What a call did: the events that lie between what could be seen of a part before it and what can be seen after it."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from labkit.observe.events import NEVER, TWIN, Kind

COLLECTIONS = (list, tuple, set, frozenset, deque, range, np.ndarray)
"""What may be read without using it up; a generator that a part returns is handed on unread."""

INT32_MAX = 2**31 - 1

Table = tuple[list[int], int]
"""The blocks of a sequence in logical order, and its tokens."""

EMPTY: Table = ([], 0)


@dataclass(frozen=True)
class State:
    """What public reads show of a part, or of several parts that belong together.

    Attributes:
        tables: the sequences in memory, by name.
        contents: the blocks whose content can be found again, each with a key of that content: equal for equal tokens
            behind an equal beginning.
        runs: in contiguous memory, by name of a sequence: its first slot, how many it has, how many it has written.
        evictions: cached blocks evicted so far; -1 where nobody counts.
    """

    tables: Mapping[str, Table] = field(default_factory=dict)
    contents: Mapping[int, Hashable] = field(default_factory=dict)
    runs: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    evictions: int = -1


@dataclass
class Call:
    """One call while it runs: what arguments and answers show, where `State` does not.

    Attributes:
        name: the sequence that what is taken here belongs to, as long as no table says so; "" for nobody in particular.
        taken: blocks that a recorded pool handed out, in order.
        returned: blocks that were given back to one, with the references that are left, and UNHELD where nobody holds
            them and they are not back in the pool.
        shared: blocks that got one more holder.
        counted: whether a recorded pool speaks; then a block is handed out when it says so, not when a table has it.
        cached: leading tokens of a new sequence that were found; None where nobody said.
        asked: (how many blocks were wanted, how many could be had) when a recorded pool last refused.
        refused, never: see `refuse`.
        meaning: what the call means beside what it changes: PREEMPT, FINISH or CLEARED.
        answer: the answer in words, where it belongs into the sentence of the step.
    """

    name: str = ""
    taken: list[int] = field(default_factory=list)
    returned: list[tuple[int, int, int]] = field(default_factory=list)
    shared: list[int] = field(default_factory=list)
    counted: bool = False
    cached: int | None = None
    asked: tuple[int, int] | None = None
    refused: tuple[int, int] | None = None
    never: bool = False
    meaning: Kind | None = None
    answer: str = ""

    def told(self) -> int:
        """How much a recorded pool has said so far."""
        return len(self.taken) + len(self.returned) + len(self.shared)

    def refuse(self, wanted: int = -1, had: int = -1, never: bool = False) -> None:
        """The call was refused: so many were wanted, so many could be had; `never`: an empty memory would refuse it."""
        self.refused, self.never = self.asked or (wanted, had), never


class Event(NamedTuple):
    """One event to be: the arguments of `EventLog.emit`. The `arg` of a STORED is still the key of its content."""

    kind: Kind
    seq: str = ""
    block: int = -1
    arg: Any = -1
    flags: int = 0


def changes(before: State, after: State, call: Call, block_size: int) -> Iterator[Event]:
    """The events of a call, in the order in which a replay needs them.

    Args:
        before, after: what could be seen.
        call: what was seen on the way.
        block_size: tokens per block; below 1 where it is not known: then nothing is said of how full blocks are.
    """
    if call.refused is not None:
        wanted, had = call.refused
        yield Event(Kind.REFUSE, call.name, had, wanted, NEVER if call.never else 0)
    kept = {block for block, key in before.contents.items() if after.contents.get(block, _NOTHING) == key}
    grown = [
        _Grown(name, before, table, kept, call, block_size)
        for name, table in after.tables.items()
        if table != before.tables.get(name)
    ]
    for one in grown:
        yield from one.found
    if not grown:
        yield from (Event(Kind.SHARE, call.name, block) for block in call.shared)
    fresh = {event.block for one in grown for event in (*one.copied, *one.new)}
    if call.meaning == Kind.CLEARED:
        yield Event(Kind.CLEARED)
    else:
        yield from _removed(before, after, kept - fresh)
    for one in grown:
        yield from one.copied
    yield from _freed(before, after, call)
    for one in grown:
        yield from one.new
    yield from (Event(Kind.ALLOCATE, call.name, block) for block in call.taken if block not in fresh)
    for one in grown:
        yield from one.filled
    yield from _stored(after, kept - fresh)
    yield from _runs(before, after)
    if call.meaning not in (None, Kind.CLEARED):
        yield Event(call.meaning, call.name, arg=before.tables.get(call.name, (None, -1))[1])


class _Grown:
    """What one sequence found, copied, took and wrote."""

    def __init__(self, name: str, before: State, table: Table, kept: set[int], call: Call, size: int) -> None:
        (old, old_tokens), (blocks, tokens) = before.tables.get(name, EMPTY), table
        held = {block for other, (some, _) in before.tables.items() if other != name for block in some}
        cached = None if call.cached is None or old else call.cached // max(size, 1)
        self.found: list[Event] = []
        self.copied: list[Event] = []
        self.new: list[Event] = []
        self.filled: list[Event] = []
        inherited = set()
        for index, block in enumerate(blocks):
            was = old[index] if index < len(old) else -1
            if block == was:
                continue
            if call.counted:
                is_new = block in call.taken
            elif cached is not None:
                is_new = index >= cached
            else:
                is_new = block not in held and block not in kept
            if not is_new:
                again = not call.counted and (cached is not None or block not in held)
                self.found.append(Event(Kind.REUSE if again else Kind.SHARE, name, block, index))
                inherited.add(index)
            elif index < len(old):
                self.copied.append(Event(Kind.COPY, name, block, was))
            else:
                self.new.append(Event(Kind.ALLOCATE, name, block, index))
        written = range(old_tokens // max(size, 1), -(-tokens // max(size, 1)) if tokens > old_tokens else 0)
        new = {event.arg for event in self.new}  # one that is too many holds nothing
        if size > 0:
            self.filled = [
                Event(Kind.FILL, name, block, min(size, max(tokens - i * size, 0)))
                for i, block in enumerate(blocks)
                if (i in written or i in new) and i not in inherited
            ]


def _freed(before: State, after: State, call: Call) -> Iterator[Event]:
    lost = [
        (name, block)
        for name, (old, _) in before.tables.items()
        for block in reversed(old)  # the tail goes first
        if block not in after.tables.get(name, EMPTY)[0]
    ]
    if call.counted:
        whose = {block: name for name, block in lost}
        for block, left, flag in call.returned:
            yield Event(Kind.FREE, whose.get(block, call.name), block, left, flag)
        return
    for name, block in lost:
        left = sum(block in blocks for blocks, _ in after.tables.values())
        yield Event(Kind.FREE, name, block, left)


def _removed(before: State, after: State, kept: set[int]) -> Iterator[Event]:
    """What can no longer be found. What somebody held until now was not evicted: its content has a twin elsewhere; nor
    was what a tree has moved to another block, where more is gone than it has evicted.
    """
    held = {block for blocks, _ in before.tables.values() for block in blocks}
    gone = [block for block in before.contents if block not in kept]
    order = [block for blocks, _ in after.tables.values() for block in blocks if block in gone]  # as they went away
    moved = [block for block in gone if block not in held and before.contents[block] in after.contents.values()]
    counted = min(before.evictions, after.evictions) >= 0
    not_evicted = len(set(gone) - held) - (after.evictions - before.evictions) if counted else 0
    twins = held.union(moved[: max(not_evicted, 0)])
    for block in dict.fromkeys([*order, *gone]):
        yield Event(Kind.REMOVED, block=block, flags=TWIN if block in twins else 0)


def _stored(after: State, kept: set[int]) -> Iterator[Event]:
    new = {block: key for block, key in after.contents.items() if block not in kept}
    for name, (blocks, _) in after.tables.items():
        for block in blocks:
            if block in new:
                yield Event(Kind.STORED, name, block, new.pop(block))
    for block, key in new.items():
        yield Event(Kind.STORED, "", block, key)


def _runs(before: State, after: State) -> Iterator[Event]:
    for name, (start, length, _) in before.runs.items():
        if name not in after.runs:
            yield Event(Kind.RELEASE, name, start, length)
    for name, (start, length, used) in after.runs.items():
        old = before.runs.get(name)
        if old is None:
            yield Event(Kind.RESERVE, name, start, length)
        if used != (old[2] if old else 0):
            yield Event(Kind.USE, name, start, used)


_NOTHING = object()


def int32(value: object) -> int:
    """`value` if it is a whole number that a record can hold, else -1."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return -1
    return number if 0 <= number <= INT32_MAX else -1


def block_ids(value: object) -> list[int]:
    """The blocks in a collection; what cannot be the number of a block is -1. Nothing where it is no collection."""
    return [int32(block) for block in value] if isinstance(value, COLLECTIONS) else []
