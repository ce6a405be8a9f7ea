"""Who gives memory back when there is none left, and how: lesson 18.

vLLM V1 computes a victim again (`vllm/v1/core/sched/scheduler.py`, `_preempt_request`): its blocks are freed, what it
has generated is kept, and it goes to the head of the queue. What its blocks hold stays findable for a while, so that
coming back may cost little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from labkit.errors import SchedulerError
from labkit.scheduling.request import Request, State

VICTIMS: dict[str, Callable[[int, Request], Any]] = {
    "last": lambda place, request: place,
    "priority": lambda place, request: (request.priority, request.arrival, place),
    "least-computed": lambda place, request: (-request.computed, place),
    "most-blocks": lambda place, request: (request.computed, place),
}
"""How a victim is chosen: by what it is the greatest. A later admission decides where two are equal."""


def choose_victim(running: Sequence[Request], how: str = "last") -> Request:
    """Which of the running requests gives its memory back.

    The first of them is spared while there is another: it ends some day, whatever happens to the rest, and so everybody
    comes to be the first. Under "priority" the most urgent is spared anyway.

    Args:
        running: in order of admission, one at least.
        how: one of `VICTIMS`.
    """
    rank = VICTIMS.get(how)
    if rank is None:
        raise SchedulerError(f"Victims cannot be chosen by {how!r:.60}: choose one of {', '.join(VICTIMS)}.")
    spared = len(running) > 1 and how != "priority"
    return running[max(range(spared, len(running)), key=lambda place: rank(place, running[place]))]


def preempt_recompute(manager: Any, request: Request) -> None:
    """Take a request's memory. What it has generated is kept, and all of it is to be computed again."""
    manager.preempt(request.id)
    request.state = State.PREEMPTED
    request.computed = 0
    request.preemptions += 1
