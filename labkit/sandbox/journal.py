"""A journal of what is running, in a memory-mapped file: every operation is written before it runs.

The map survives any death of the process that writes it (`os._exit`, a segmentation fault, a kill), so the asking side
can always tell which sequence was the last one, and how long its last operation had been running.
"""

from __future__ import annotations

import json
import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

_SIZE = 1 << 16
_HEAD = struct.Struct("<IId")
"""Bytes of the present sequence, operations in all, and when the last one began."""


def create(path: Path) -> None:
    """Make the file. It is written in full: a map of a file with holes ends its process where the disk is full."""
    path.write_bytes(bytes(_SIZE))


class Journal:
    """The writing side, over a file that `create` made; a sequence too long for it keeps its beginning."""

    def __init__(self, path: Path) -> None:
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), _SIZE)
        self._end = _HEAD.size
        self._count = 0

    def restart(self) -> None:
        """Begin a new sequence."""
        self._end = _HEAD.size
        _HEAD.pack_into(self._map, 0, 0, self._count, monotonic())

    def append(self, line: Any) -> None:
        """Write one operation, JSON-able data; the length is advanced last, so a torn write is never read."""
        data = (json.dumps(line) + "\n").encode()
        if self._end + len(data) <= _SIZE:
            self._map[self._end : self._end + len(data)] = data
            self._end += len(data)
        self._count += 1
        _HEAD.pack_into(self._map, 0, self._end - _HEAD.size, self._count, monotonic())


@dataclass
class Entries:
    """What a journal holds.

    Attributes:
        lines: the operations since the last restart; the last of them had begun.
        count: how many operations there were in all.
        in_last: seconds on the wall since the last one began.
    """

    lines: list[Any] = field(default_factory=list)
    count: int = 0
    in_last: float = 0.0


def read(path: Path) -> Entries:
    """The journal as it is now; empty where nothing was written, or where the code wrote into it."""
    try:
        data = path.read_bytes()[:_SIZE]
        length, count, began = _HEAD.unpack_from(data)
        lines = data[_HEAD.size : _HEAD.size + length].decode(errors="replace").splitlines()
        return Entries([json.loads(line) for line in lines], count, monotonic() - began if count else 0.0)
    except (OSError, ValueError, struct.error, RecursionError):
        return Entries()
