"""A request whose user has gone: lesson 21.

What it has must be free at once, wherever it is: a client that disconnects in mid-stream, a stop button, a timeout in
front of the server. Compare vLLM's `finish_requests` (`vllm/v1/core/sched/scheduler.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.scheduling.request import Request, State

if TYPE_CHECKING:
    from labkit.scheduling.scheduler import Scheduler


def cancel(scheduler: Scheduler, request: Request) -> None:
    """Take a request out of the scheduler, and give back all that it has.

    Args:
        scheduler: gives `running`, `waiting`, `manager` and, where victims are swapped, `swapper.pool`.
        request: one that waits, runs, or was preempted, to be computed again or swapped out (`computed` above 0).
    """
    if request.state is State.RUNNING:
        scheduler.running.remove(request)
        scheduler.manager.free(request.id)
        return
    scheduler.waiting.remove(request)
    if request.state is State.PREEMPTED:
        scheduler.manager.forget(request.id)
        if request.computed:
            scheduler.swapper.pool.forget(request.id)
