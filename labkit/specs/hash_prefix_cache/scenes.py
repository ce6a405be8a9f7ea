"""What lesson 07 shows at work: requests that begin alike, on a cache of the parts of the lesson."""

from __future__ import annotations

from labkit.observe.events import EventLog
from labkit.observe.recorder import record


def five_requests() -> EventLog:
    """Five requests on twelve blocks of four tokens; the first two blocks of all but one are the same."""
    from labkit.engine import kv_cache_manager

    log = EventLog()
    manager = record(kv_cache_manager(12, block_size=4), log)
    instructions = list(range(1, 9))
    manager.allocate("A", [*instructions, 20, 21, 22])
    manager.allocate("B", [*instructions, 30, 31, 32, 33, 34])
    for token in (35, 36, 37):
        manager.append("B", token)
    manager.free("A")
    manager.free("B")
    manager.allocate("C", [*instructions, 20, 21])
    manager.allocate("D", list(range(50, 79)))
    manager.free("C")
    manager.allocate("E", [*instructions, 30, 31, 32, 33, 60])
    return log
