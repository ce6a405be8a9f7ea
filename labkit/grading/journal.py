"""A journal of the operations of the sequence that is running, in a memory-mapped file.

Every operation is written before it runs. The map survives any death of the process that writes it (`os._exit`, a
segmentation fault, a kill), so the parent can always tell which sequence was the last one.
"""

from __future__ import annotations

import json
import mmap
import struct
from pathlib import Path

from labkit.grading.specification import Op

_SIZE = 1 << 16
_HEAD = struct.Struct("<I")


class Journal:
    """The writing side. `path` is created with a fixed size; a sequence too long for it keeps its beginning."""

    def __init__(self, path: Path) -> None:
        with open(path, "w+b") as file:
            file.truncate(_SIZE)
            self._map = mmap.mmap(file.fileno(), _SIZE)
        self._end = _HEAD.size

    def restart(self) -> None:
        """Begin a new sequence."""
        self._end = _HEAD.size
        _HEAD.pack_into(self._map, 0, 0)

    def append(self, op: Op) -> None:
        """Write one operation; the length is advanced last, so a torn write is never read."""
        line = (json.dumps(op.to_json()) + "\n").encode()
        if self._end + len(line) > _SIZE:
            return
        self._map[self._end : self._end + len(line)] = line
        self._end += len(line)
        _HEAD.pack_into(self._map, 0, self._end - _HEAD.size)


def read(path: Path) -> list[Op]:
    """The operations of the last sequence, the last of which had begun; [] where nothing was written."""
    try:
        data = path.read_bytes()
    except OSError:
        return []
    if len(data) < _HEAD.size:
        return []
    (length,) = _HEAD.unpack_from(data)
    lines = data[_HEAD.size : _HEAD.size + length].decode(errors="replace").splitlines()
    return [Op.from_json(json.loads(line)) for line in lines]
