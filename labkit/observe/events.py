"""The event log: everything that happens to the cache, as small records of fixed width.

A part of the engine never draws and never counts; it is watched (see `labkit.observe.recorder`) and what it did is
appended here. Widgets, counters and replays are views of this log. One record is 16 bytes, so that a whole log
reaches the browser as one binary buffer and scrubbing happens there.

The names follow vLLM's KV cache events (stored, removed, cleared) where those exist, so that the log of a real
server can be read by the same views.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np

RECORD = np.dtype([("step", "<u4"), ("kind", "u1"), ("flags", "u1"), ("seq", "<u2"), ("block", "<i4"), ("arg", "<i4")])
"""One event, 16 bytes, little endian. `seq` indexes `EventLog.names`. Fields without meaning are -1, flags 0."""

UNNAMED = 0
"""Index of the sequence that has no name: a block may be held without one."""


class Kind(IntEnum):
    """What happened. The comment says what `block` and `arg` hold, and what flag there may be.

    A new kind is a line here, a sentence in `labkit.observe.sentences`, and what it does to the pictures in
    `labkit.observe.pool_state` and `static/replay.js`.
    """

    ALLOCATE = 1  # block: given to seq; arg: logical index in the sequence, -1 if unknown
    SHARE = 2  # block: now also held by seq; arg: logical index
    COPY = 3  # block: the new private copy; arg: the block it was copied from
    FREE = 4  # block: let go of by seq; arg: references left; UNHELD: held by nobody, and not yet in the pool
    STORED = 5  # block: full and findable in the prefix cache; arg: the number of its content, -1 if none is kept
    REMOVED = 6  # block: no longer findable, to make room (an eviction); TWIN: not so, another block has the content
    CLEARED = 7  # the whole prefix cache was dropped
    REUSE = 8  # block: a cached block hit by seq; arg: logical index
    FILL = 9  # block: now holds arg tokens of seq
    PREEMPT = 11  # arg: computed tokens lost
    FINISH = 15  # seq was preempted and does not come back
    RESERVE = 16  # contiguous memory: seq holds slots [block, block + arg)
    RELEASE = 17  # contiguous memory: slots [block, block + arg) are free again
    REFUSE = 18  # block: how many could be had; arg: how many were wanted; NEVER: not even by an empty memory
    USE = 19  # contiguous memory: seq has written arg slots of its reservation


UNHELD = TWIN = NEVER = 1
"""The one flag that a FREE, a REMOVED and a REFUSE may have."""


class EventLog:
    """An append-only log of `RECORD`s, with one sentence (label) a step.

    A step is one operation as the lesson speaks of it ("append(B)"); the events between two `begin` calls belong
    to the step the first of them opened. Appending costs a list append; the array is built when somebody reads.

    Args:
        meta: facts about the world the views need, e.g. `num_blocks`, `block_size`.
    """

    def __init__(self, **meta: int | str) -> None:
        self.meta: dict[str, int | str] = dict(meta)
        self.recorder: Any = None  # what parts that are recorded here share, see `labkit.observe.recorder`
        self.contents: dict[str, str] = {}  # number of a content -> what a picture calls it, where it has a word
        self.names: list[str] = [""]
        self.labels: list[str] = []
        self._index: dict[str, int] = {"": 0}
        self._rows: list[tuple[int, int, int, int, int, int]] = []
        self._listeners: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def num_steps(self) -> int:
        """Operations begun so far."""
        return len(self.labels)

    def begin(self, label: str) -> int:
        """Open the next step and return its number, counted from 0."""
        self.labels.append(label)
        for tell in self._listeners:
            tell()
        return len(self.labels) - 1

    def relabel(self, label: str) -> None:
        """Replace the sentence of the step that is open, once its outcome is known."""
        if self.labels:
            self.labels[-1] = label

    def emit(self, kind: Kind, seq: str | None = None, block: int = -1, arg: int = -1, flags: int = 0) -> None:
        """Append one event to the open step (step 0 is opened, without a sentence, if none is)."""
        if not self.labels:
            self.labels.append("")
        self._rows.append((len(self.labels) - 1, int(kind), flags, self._seq(seq), block, arg))
        for tell in self._listeners:
            tell()

    def listen(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Call `tell()` after every change; returns the function that stops it. Views batch: see `LabWidget`."""
        self._listeners.append(tell)
        return lambda: self._listeners.remove(tell) if tell in self._listeners else None

    def rows(self, start: int = 0) -> list[tuple[int, int, int, int, int, int]]:
        """The events from number `start` on, each as (step, kind, flags, seq, block, arg)."""
        return self._rows[start:]

    @property
    def records(self) -> np.ndarray:
        """All events as an array of `RECORD`, shape (len(self),)."""
        return np.array(self._rows, dtype=RECORD)

    def to_bytes(self, start: int = 0) -> bytes:
        """The events from number `start` on, as the browser reads them: 16 bytes each, little endian."""
        return np.array(self._rows[start:], dtype=RECORD).tobytes()

    def to_data(self) -> dict[str, Any]:
        """The log as JSON-able data, as a verdict carries it; `labkit.observe.pool_state.LogData.of` reads it."""
        data = base64.b64encode(self.to_bytes()).decode("ascii")
        told = {"kind": "events", "data": data, "names": self.names, "labels": self.labels, "meta": self.meta}
        return {**told, "contents": self.contents} if self.contents else told

    def _seq(self, name: str | None) -> int:
        name = name or ""
        index = self._index.get(name)
        if index is None:
            index = self._index[name] = len(self.names)
            self.names.append(name)
        return index


class _NullLog(EventLog):
    """The log when no one listens: every call returns at once and keeps nothing."""

    def begin(self, label: str) -> int:
        return 0

    def relabel(self, label: str) -> None:
        return None

    def emit(self, kind: Kind, seq: str | None = None, block: int = -1, arg: int = -1, flags: int = 0) -> None:
        return None


NULL_LOG = _NullLog()
"""Hand this to a part that wants a log when nobody is listening."""
