"""One step of the scheduler: what it computes, and lesson 16's decision of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from labkit.scheduling.planning import Plan
from labkit.scheduling.request import Request

if TYPE_CHECKING:
    from labkit.scheduling.scheduler import Scheduler


@dataclass
class Step:
    """What one step computes.

    Attributes:
        plan: who computes how many tokens, in order.
        admitted: those that began or came back in this step.
        preempted: those that gave their memory up in it, in order.
        swapped_out: blocks to copy to the host before all else, as (device, host).
        copies: blocks to copy before anything is written, as (source, destination).
        swapped_in: blocks to copy from the host after that, before anything is computed, as (host, device).
        sampling: those of whom a token comes out: all that they have is computed in this step.
    """

    plan: Plan = field(default_factory=list)
    admitted: list[Request] = field(default_factory=list)
    preempted: list[Request] = field(default_factory=list)
    copies: list[tuple[int, int]] = field(default_factory=list)
    swapped_out: list[tuple[int, int]] = field(default_factory=list)
    swapped_in: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sampling = [request for request, n in self.plan if n == request.missing]

    @property
    def num_tokens(self) -> int:
        """Tokens that are computed."""
        return sum(n for _, n in self.plan)

    def copied(self, block_size: int) -> tuple[int, int]:
        """Requests whose keys and values are copied to the host or back, and tokens, by whole blocks."""
        if not (self.swapped_out or self.swapped_in):
            return 0, 0  # as nearly always
        moved = sum(r.computed > 0 for r in self.preempted) + sum(r.computed > r.cached for r in self.admitted)
        return moved, block_size * (len(self.swapped_out) + len(self.swapped_in))


def step(scheduler: Scheduler) -> Plan:
    """One step: first those who run, then, if nobody was preempted, the queue.

    Args:
        scheduler: gives `running`, `waiting`, `budget`, `longest_chunk`, `seats`, `preempted` and the two calls that
            find memory, `grow(request, n)` and `admit(request, n)`, which answer whether they did.

    Returns:
        Who computes how many tokens: those who run in order of admission, then those that were let in.
    """
    plan: Plan = []
    budget, longest = scheduler.budget, scheduler.longest_chunk
    decodes = scheduler.plan_decodes(scheduler.running, budget)
    begun = [request for request in scheduler.running if not request.decodes]
    wanted = dict(decodes + scheduler.plan_chunks(begun, budget - len(decodes), longest))
    for request in list(scheduler.running):
        if request in wanted and request not in scheduler.preempted and scheduler.grow(request, wanted[request]):
            plan.append((request, wanted[request]))
    let_in(scheduler, plan, budget - sum(n for _, n in plan))
    return plan


def let_in(scheduler: Scheduler, plan: Plan, budget: int) -> None:
    """The second half of a step: the queue gets what those who run have left, head first.

    Args:
        plan: gets whoever is let in.
        budget: tokens that are left.
    """
    while scheduler.waiting and not scheduler.preempted and len(scheduler.running) < scheduler.seats:
        request = scheduler.waiting.head()
        n = scheduler.admit(request, budget)
        if not n:
            break
        plan.append((request, n))
        budget -= n
