"""What breaks a server that no knob of it would break: faults of other people's code, made small.

Each takes a scheduler before its first request and wraps one call of it, or hands it another decision, so that all the
rest is the code of the course.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from labkit.scheduling.planning import Plan, plan_chunks
from labkit.scheduling.request import Request
from labkit.scheduling.scheduler import Scheduler
from labkit.scheduling.step import let_in
from labkit.scheduling.swap import Pairs

PIN = "pin"
"""How the name of a pin begins: it is a sequence of the manager's that belongs to no request."""


def leaked_pins(every: int) -> Callable[[Scheduler], None]:
    """One in so many requests leaves a pin behind: its blocks stay held after it has ended, for ever.

    Source of the idea: a patch of vLLM for DeepSeek V4 (its pull request 54), where 0.45 to 0.79 percentage points of
    the pool were lost with each request.
    """

    def leak(scheduler: Scheduler) -> None:
        manager, free, ended = scheduler.manager, scheduler.manager.free, 0

        def leaking(seq_id: Hashable) -> None:
            nonlocal ended
            # A pin is set by whoever ends a request, not by `preempt`, which calls this too.
            if scheduler._known.get(seq_id) is not None and _is_over(scheduler._known[seq_id]):
                ended += 1
                if ended % every == 0:
                    manager.fork(seq_id, (PIN, seq_id))
            free(seq_id)

        manager.free = leaking  # type: ignore[method-assign]

    return leak


def _is_over(request: Request) -> bool:
    return len(request.output) >= request.max_tokens


def prompts_first(scheduler: Scheduler) -> None:
    """Prompts have the budget before those who generate, who get what is left: nothing, while prompts come.

    Source of the idea: SGLang issue 40443, where decodes starved behind prefills.
    """

    def step(scheduler: Scheduler) -> Plan:
        begun = [request for request in scheduler.running if not request.decodes]
        plan: Plan = []
        for request, n in plan_chunks(begun, scheduler.budget, scheduler.longest_chunk):
            if request not in scheduler.preempted and scheduler.grow(request, n):
                plan.append((request, n))
        decoding = [request for request in scheduler.running if request.decodes]
        let_in(scheduler, plan, scheduler.budget - sum(n for _, n in plan))
        if plan:  # whoever generates waits until no prompt is left to compute
            return plan
        for request in decoding[: scheduler.budget]:
            if request not in scheduler.preempted and scheduler.grow(request, 1):
                plan.append((request, 1))
        return plan

    scheduler.rules = scheduler.rules._replace(step=step)


def offloads_block_by_block(scheduler: Scheduler) -> None:
    """When a request begins, all blocks of its prompt are copied to the host, found ones too, and the step waits.

    Each block is a copy of its own, and launching it takes nine times as long as its bytes do.

    Source of the idea: vLLM issue 44294, where offloading a prefix that all requests shared halved the throughput.
    """
    manager, copies = scheduler.manager, scheduler.swapper.copies

    def offloading() -> tuple[Pairs, Pairs]:
        out, back = copies()
        blocks = [block for request in scheduler.admitted for block in manager.blocks(request.id)]
        return out + 10 * list(zip(blocks, blocks, strict=True)), back

    scheduler.swapper.copies = offloading  # type: ignore[method-assign]


def two_formulas(factor: float, patience_s: float) -> Callable[[Scheduler], None]:
    """The gate before memory wants so many times the blocks that a prompt needs. A prompt for which all of memory is
    too little by that formula is never let in, and all wait behind it, until its user gives up.

    Source of the idea: vLLM issue 39734, where the gate and the allocation counted by different formulas.
    """

    def gated(scheduler: Scheduler) -> None:
        manager, admit, submit = scheduler.manager, scheduler.admit, scheduler.submit
        now = 0.0

        def clocked(request: Request) -> bool:
            nonlocal now
            now = request.arrival  # whoever comes brings the time with it: a scheduler has no clock
            while len(scheduler.waiting) and scheduler.waiting.head().arrival < now - patience_s:
                scheduler.cancel(scheduler.waiting.head().id)
            return submit(request)

        def admitting(request: Request, budget: int) -> int:
            if factor * request.prompt_tokens > manager.num_blocks * manager.block_size:
                scheduler.short_of_memory = True
                return 0
            return admit(request, budget)

        scheduler.submit, scheduler.admit = clocked, admitting  # type: ignore[method-assign]

    return gated


class _Forgetful(dict[Hashable, int]):
    """Who was preempted; whoever asks is told that it was not."""

    def pop(self, name: Hashable, *_: object) -> None:  # type: ignore[override]
        super().pop(name, None)


def counts_who_comes_back(scheduler: Scheduler) -> None:
    """The hit rate counts what preempted requests find when they come back: what they had computed themselves.

    Source of the idea: vLLM issue 25780, where prompts of random tokens had a hit rate of 30%.
    """
    scheduler.manager._preempted = _Forgetful()
