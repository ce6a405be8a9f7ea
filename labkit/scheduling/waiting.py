"""The queue: who waits, and whose turn it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from labkit.errors import SchedulerError
from labkit.scheduling.request import Request, State

ORDERS = ("fcfs", "priority", "shortest", "longest-prefix")
LOOKED_THROUGH = 128
"""Waiting requests among which the longest cached prefix is looked for (SGLang gives up above as many)."""


class WaitingQueue:
    """Requests that wait.

    Whoever was preempted comes first, the last one preempted before the others, under every order but "priority": what
    it has computed is lost to others with every step that it waits. Requests that came earlier than `patience`
    admissions ago, and were passed over since, come next: so nobody waits for ever.

    Args:
        order: "fcfs", first come first served; "priority", the lowest number, then who came first; "shortest", the
            fewest tokens to compute; "longest-prefix", the most tokens in the prefix cache.
        cached: how many leading tokens of a request are cached now; asked by "longest-prefix" alone.
        patience: admissions that may pass a request over.
    """

    def __init__(self, order: str = "fcfs", cached: Callable[[Request], int] = lambda request: 0, patience: int = 64):
        if order not in ORDERS:
            raise SchedulerError(f"The order of the queue is {order!r:.60}, but must be one of {', '.join(ORDERS)}.")
        self.order, self.patience = order, patience
        self.tokens = 0
        """Tokens of prompts that wait for the first time."""
        self._cached = cached
        self._back: deque[Request] = deque()  # preempted ones
        self._new: deque[Request] = deque()  # in order of arrival
        self._passed = 0  # times that the first of the new ones was passed over

    def __len__(self) -> int:
        return len(self._back) + len(self._new)

    def __iter__(self) -> Iterator[Request]:
        yield from self._back
        yield from self._new

    def push(self, request: Request) -> None:
        """Somebody new joins, or somebody preempted comes back."""
        if request.state is State.PREEMPTED:
            self._back.appendleft(request)
        else:
            self._new.append(request)
            self.tokens += request.prompt_tokens

    def head(self) -> Request:
        """Whose turn it is; it stays in the queue. IndexError: nobody waits."""
        if self.order == "priority":
            return min(self, key=lambda request: (request.priority, request.arrival))
        if self._back:
            return self._back[0]
        first = self._new[0]
        if self.order == "fcfs" or self._passed >= self.patience:
            return first
        if self.order == "shortest":
            return min(self._new, key=lambda request: request.missing)
        few = (self._new[i] for i in range(min(len(self._new), LOOKED_THROUGH)))
        return max(few, key=self._cached)

    def remove(self, request: Request) -> None:
        """It has been admitted, or its user has gone."""
        if request.state is State.PREEMPTED:
            self._back.remove(request)
            return
        self._passed = 0 if request is self._new[0] else self._passed + 1
        self._new.remove(request)
        self.tokens -= request.prompt_tokens
