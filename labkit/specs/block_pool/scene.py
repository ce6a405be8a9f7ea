"""A short life of a few sequences, written as one line, for the picture at the top of lessons 04 and 05."""

from __future__ import annotations

from labkit.cache.base import BlockPoolLike
from labkit.errors import LessonError
from labkit.observe.events import EventLog
from labkit.observe.recorder import record


def lives(script: str, pool: BlockPoolLike, block_size: int) -> EventLog:
    """The log of sequences that grow and end over one pool; their tables are yours, where yours has passed.

    Args:
        script: what happens, in order, as in "A 10, B 7, A 1, B ends": a name and the tokens that are appended, or
            "ends", which releases the sequence.
        pool: where all of them take their blocks.
        block_size: tokens per block, 1 or more.

    Raises:
        LessonError: something else stands in the script.
    """
    from labkit.mine import BlockTable  # when it runs: by then another one may have passed

    log = EventLog(num_blocks=pool.num_blocks, block_size=block_size)
    shared = record(pool, log)
    tables = {}
    for words in (part.split() for part in script.split(",")):
        if len(words) != 2 or not (words[1] == "ends" or words[1].isdecimal()):
            raise LessonError(f'{" ".join(words)!r:.60} is no step of a life: write a name and "ends" or a number.')
        name, what = words
        if name not in tables:
            tables[name] = record(BlockTable(shared, block_size), log, name)
        if what == "ends":
            tables[name].release()
        else:
            tables[name].append(int(what))
    return log
