"""What the event log says the cache looked like after so many operations.

The page does the same in `static/replay.js`, where scrubbing happens; this one is for sentences, for the text form and
for the tests that hold the two together.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from labkit.observe.events import RECORD, UNNAMED, EventLog, Kind

LOST = "lost"
"""Name under which a log keeps blocks that left the pool and that nobody holds."""


@dataclass
class LogData:
    """An event log as plain data, wherever it came from.

    Attributes:
        records: array of `RECORD`, shape (events,).
        names: sequence names by index; index 0 is nobody.
        labels: one sentence per step.
        meta: facts such as num_blocks and block_size.
    """

    records: np.ndarray
    names: list[str]
    labels: list[str]
    meta: dict[str, Any]

    @classmethod
    def of(cls, log: EventLog | LogData | dict[str, Any]) -> LogData:
        """From an `EventLog`, or from a verdict's dict {"data": base64, "names", "labels", "meta"}."""
        if isinstance(log, LogData):
            return log
        if isinstance(log, EventLog):
            return cls(log.records, list(log.names), list(log.labels), dict(log.meta))
        data = log["data"]
        raw = base64.b64decode(data) if isinstance(data, str) else bytes(data)
        records = np.frombuffer(raw, dtype=RECORD)
        return cls(records, list(log.get("names") or [""]), list(log.get("labels") or []), dict(log.get("meta") or {}))

    @property
    def num_steps(self) -> int:
        """Operations in the log."""
        last = int(self.records["step"][-1]) + 1 if len(self.records) else 0
        return max(len(self.labels), last)

    def up_to(self, steps: int) -> np.ndarray:
        """The records of the first `steps` operations."""
        return self.records[: int(np.searchsorted(self.records["step"], steps, side="left"))]

    @property
    def num_blocks(self) -> int:
        """From the meta, else one more than the highest block seen."""
        if self.meta.get("num_blocks"):
            return int(self.meta["num_blocks"])
        return int(self.records["block"].max()) + 1 if len(self.records) else 0


@dataclass
class PoolState:
    """Blocks and tables after some operations.

    Attributes:
        holders: for each block, the sequences (by index) that hold it, in the order they came.
        cached: for each block, whether its content can be found in the prefix cache.
        fill: for each block, tokens in it; -1 where the log does not say.
        tables: physical block of each logical block, by sequence index; -1 for a hole.
        clash: blocks that were allocated to somebody while they were held (a wrong pool did it), and still are.
        loose: sequences of which the log does not say which logical block is which; they have no holes.
    """

    holders: list[list[int]]
    cached: list[bool]
    fill: list[int]
    tables: dict[int, list[int]] = field(default_factory=dict)
    clash: set[int] = field(default_factory=set)
    loose: set[int] = field(default_factory=set)

    @classmethod
    def empty(cls, num_blocks: int) -> PoolState:
        """A pool in which every block is free."""
        return cls([[] for _ in range(num_blocks)], [False] * num_blocks, [-1] * num_blocks)

    def counts(self) -> tuple[int, int, int]:
        """(free, held, cached): every block is exactly one of the three."""
        held = sum(1 for holders in self.holders if holders)
        cached = sum(1 for holders, c in zip(self.holders, self.cached, strict=True) if c and not holders)
        return len(self.holders) - held - cached, held, cached

    def lost(self, names: Sequence[str]) -> list[int]:
        """The held blocks that only the name "lost" holds: nobody does."""
        nobody = {seq for seq, name in enumerate(names) if is_lost(name)}
        return [b for b, holders in enumerate(self.holders) if holders and nobody.issuperset(holders)] if nobody else []

    def tokens(self, seq: int) -> int | None:
        """Tokens of a sequence, None where the log does not say how full its blocks are."""
        total = 0
        for block in self.tables.get(seq, []):
            if not 0 <= block < len(self.fill) or self.fill[block] < 0:
                return None
            total += self.fill[block]
        return total

    def apply(self, kind: int, seq: int, block: int, arg: int) -> None:
        """Take one event into account. Events that make no sense (a wrong part wrote them) change what they can."""
        known = 0 <= block < len(self.holders)
        if kind == Kind.ALLOCATE:
            if known and self.holders[block]:
                self.clash.add(block)
            self._hold(seq, block, arg)
            if known:
                self.cached[block] = False
                self.fill[block] = -1
        elif kind in (Kind.SHARE, Kind.REUSE):
            self._hold(seq, block, arg)
        elif kind == Kind.COPY:
            self._copy(seq, block, arg)
        elif kind == Kind.FREE:
            self._let_go(seq, block)
        elif kind == Kind.STORED and known:
            self.cached[block] = True
        elif kind == Kind.REMOVED and known:
            self.cached[block] = False
        elif kind == Kind.CLEARED:
            self.cached = [False] * len(self.cached)
        elif kind == Kind.FILL and known:
            self.fill[block] = arg

    def _hold(self, seq: int, block: int, index: int) -> None:
        if 0 <= block < len(self.holders):
            self.holders[block].append(seq)
        if seq == UNNAMED:
            return
        if index < 0:
            self.loose.add(seq)
            if block < 0:
                return  # neither which block nor where: there is nothing to show
        table = self.tables.setdefault(seq, [])
        if index < 0 or index > len(table) + len(self.holders):
            index = len(table)
        while len(table) <= index:
            table.append(-1)
        table[index] = block

    def _copy(self, seq: int, block: int, source: int) -> None:
        if not 0 <= block < len(self.holders):
            return
        table = self.tables.setdefault(seq, []) if seq != UNNAMED else []
        if seq not in self.holders[block]:
            self.holders[block].append(seq)
        if source in table:
            at = table.index(source)
            if block in table and table.index(block) != at:
                del table[table.index(block)]
                at = table.index(source)
            table[at] = block
        elif seq != UNNAMED and block not in table:
            table.append(block)
        if 0 <= source < len(self.fill):
            self.fill[block] = self.fill[source]

    def _let_go(self, seq: int, block: int) -> None:
        if 0 <= block < len(self.holders):
            holders = self.holders[block]
            if seq in holders:
                holders.remove(seq)
            elif holders:  # whoever freed it did not say whose it was
                seq = holders.pop()
            if len(holders) < 2:
                self.clash.discard(block)
            if not holders and not self.cached[block]:
                self.fill[block] = -1
        table = self.tables.get(seq, [])
        for at in range(len(table) - 1, -1, -1):
            if table[at] == block:
                if seq in self.loose:
                    del table[at]  # no place is known, so none is left empty
                else:
                    table[at] = -1
                break
        while table and table[-1] == -1:
            table.pop()


def pool_state(log: LogData, steps: int, num_blocks: int) -> PoolState:
    """The pool after the first `steps` operations of `log`."""
    state = PoolState.empty(num_blocks)
    rows = log.up_to(steps)
    columns: Sequence[np.ndarray] = [rows[name] for name in ("kind", "seq", "block", "arg")]
    for kind, seq, block, arg in zip(*(column.tolist() for column in columns), strict=True):
        state.apply(kind, seq, block, arg)
    return state


def is_lost(name: str) -> bool:
    """Whether a log keeps lost blocks under this name."""
    return name.strip().lower() == LOST
