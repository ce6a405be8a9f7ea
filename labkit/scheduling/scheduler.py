"""The scheduler: who runs in the next step, on how many tokens, and in whose memory.

It decides and spends no time: an executor computes what was decided, for real or by a simulated clock, and says which
tokens came out. One step is

    step = scheduler.schedule()
    scheduler.update(step, executor.run(step))

Those who run come first, each with its next token or the next chunk of its prompt, as far as the token budget goes.
Where one of them finds no block, somebody gives its memory up: what it has computed is lost, or swapped to the host.
Then the queue is let in, head first, until a gate, the budget, a seat or memory says no. A step that has preempted lets
nobody in.

The decisions are small functions, those of lessons 16 to 18, which `labkit.engine` hands in, yours or the reference.
The order of events is that of vLLM V1 (`vllm/v1/core/sched/scheduler.py`); what differs on purpose:

- decodes get the budget before chunks (vLLM goes by order of admission, which comes to the same as long as the queue
  gets only what those who run leave: lesson 16 has the proof);
- a request that can never fit is refused when it comes (vLLM lets it wait, and everybody behind it);
- whoever has its tokens of a step is no victim in it (vLLM under "priority" takes them back);
- whatever chooses the victims, the first of those who run is spared (see `choose_victim`), which vLLM's two ways do by
  themselves: nothing can go round in circles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from labkit.cache.base import NoRoom
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.errors import SchedulerError
from labkit.scheduling import admission, doors, planning, preemption
from labkit.scheduling.cancel import cancel
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request, State
from labkit.scheduling.step import Step, step
from labkit.scheduling.swap import Swapper, SwapPool, break_even
from labkit.scheduling.waiting import WaitingQueue

MADE_OF = ("queue", "patience", "preemption", "host_blocks", "swap_cost")
"""Knobs that are turned before a scheduler is made."""


class Totals(NamedTuple):
    """Tokens since the beginning: what was delivered, what was computed, and what of it was computed again."""

    delivered: int
    computed: int
    recomputed: int


class Rules(NamedTuple):
    """The decisions that a scheduler asks for, each the function of a lesson."""

    plan_decodes: Any = planning.plan_decodes
    plan_chunks: Any = planning.plan_chunks
    step: Any = step
    can_ever_fit: Any = admission.can_ever_fit
    watermark_gate: Any = admission.watermark_gate
    full_sequence_gate: Any = admission.full_sequence_gate
    latency_gate: Any = admission.latency_gate
    choose_victim: Any = preemption.choose_victim
    preempt_recompute: Any = preemption.preempt_recompute
    break_even: Any = break_even
    SwapPool: Any = SwapPool
    cancel: Any = cancel


class Scheduler:
    """Iteration-level continuous batching over a KV-cache manager.

    Args:
        manager: where the memory is; nobody else allocates in it.
        config: the knobs.
        rules: the decisions.

    Attributes:
        running: those in memory, in order of admission.
        waiting: the queue.
        preempted, admitted: those preempted in the step that is being planned, and those let in.
        short_of_memory: whether the first in the queue was kept out of the last step by memory, or by a gate before it.
        refusals: requests that were refused at the door, counted by reason.
        queue_speed: how fast the queue moves, told by whoever has a clock.
    """

    def __init__(
        self, manager: KVCacheManager, config: SchedulerConfig | None = None, rules: Rules | None = None
    ) -> None:
        self.manager = manager
        self.config = config = config or SchedulerConfig()
        self.rules = rules = rules or Rules()
        self.plan_decodes, self.plan_chunks = rules.plan_decodes, rules.plan_chunks
        self.budget, self.seats = config.token_budget, config.seats
        self.running: list[Request] = []
        self.waiting = WaitingQueue(config.queue, self._cached, config.patience)
        self.preempted: list[Request] = []
        self.admitted: list[Request] = []
        self.short_of_memory = False
        self.swapper = Swapper(manager, config, rules)
        self.refusals: Counter[str] = Counter()
        self.queue_speed = doors.QueueSpeed()
        self._known: dict[Hashable, Request] = {}
        self._grown: set[Request] = set()
        self._delivered = self._computed = self._recomputed = 0

    # ----- who comes and goes ----------------------------------------------------------------------------------

    def submit(self, request: Request) -> bool:
        """A request comes to the door. False: it was refused, and `request.why` says why.

        Raises:
            SchedulerError: its name belongs to another one, or it has been here before.
        """
        if request.id in self._known or request.state is not State.WAITING or request.computed:
            raise SchedulerError(f"There is a request {request.id!r:.60} already: give the new one a name of its own.")
        reason, request.why = doors.refusal(self, request)
        if reason:
            request.state = State.REFUSED
            self.refusals[reason] += 1
            return False
        self._known[request.id] = request
        self.waiting.push(request)
        return True

    def cancel(self, id: Hashable) -> bool:
        """Its user has gone: its memory is free at once. False: there is no such request, or no longer."""
        request = self._known.pop(id, None)
        if request is None:
            return False
        self.rules.cancel(self, request)
        request.state, request.why = State.FINISHED, "cancelled"
        return True

    def retune(self, config: SchedulerConfig) -> None:
        """Other knobs from the next step on. Nobody who runs is preempted for it: fewer seats are reached as they end.

        Raises:
            SchedulerError: it changes what the scheduler is made of (`MADE_OF`). Nothing is changed then.
        """
        fixed = [name for name in MADE_OF if getattr(config, name) != getattr(self.config, name)]
        if fixed:
            raise SchedulerError(
                f"{fixed[0]} would be {getattr(config, fixed[0])!r:.60}, but stays what it is as long as the scheduler "
                "runs: make a new one for that."
            )
        self.config = self.swapper.config = config
        self.budget, self.seats = config.token_budget, config.seats

    def fork(self, request: Request, other: Request, token: int, ended: bool = False) -> None:
        """A second answer to a prompt that is computed in the step under way: it shares the blocks of the first.

        Called before `update`, as long as the first has generated nothing. Without a seat it gives its memory up again
        and waits.

        Args:
            request: the first, which runs.
            other: a new one, with the same prompt.
            token: the first that it generates.
            ended: whether that is its last.

        Raises:
            SchedulerError: its name is taken, or the first does not stand where its prompt ends.
        """
        if other.id in self._known or other.state is not State.WAITING or other.output:
            raise SchedulerError(f"There is a request {other.id!r:.60} already: give the new one a name of its own.")
        whole = request.state is State.RUNNING and self.manager.num_tokens(request.id) == other.prompt_tokens
        if not whole or request.output or request.prompt != other.prompt:
            raise SchedulerError(f"{request!r:.60} cannot be forked: its prompt is to be computed, and nothing beyond.")
        other.output.append(token)
        self._delivered += 1
        if ended or other.max_tokens == 1:
            other.state = State.FINISHED
            return
        self.manager.fork(request.id, other.id)
        self._known[other.id] = other
        other.state = State.RUNNING
        other.computed = other.most_computed = other.cached = other.prompt_tokens
        if len(self.running) < self.seats:
            self.running.append(other)
        else:
            self.rules.preempt_recompute(self.manager, other)
            self.waiting.push(other)

    @property
    def unfinished(self) -> int:
        """Requests that run or wait."""
        return len(self._known)

    @property
    def totals(self) -> Totals:
        """Tokens delivered, computed and recomputed so far."""
        return Totals(self._delivered, self._computed, self._recomputed)

    # ----- one step --------------------------------------------------------------------------------------------

    def schedule(self) -> Step:
        """Decide the next step. Its memory is taken from now on; `update` must follow before the next one."""
        self.begin()
        plan = self.rules.step(self)
        self.short_of_memory |= bool(self.preempted)
        for request in self.preempted:  # each to the head: whoever was preempted last had come before the others
            self.waiting.push(request)
        copies, self.manager.copies = self.manager.copies, []
        return Step(plan, self.admitted, self.preempted, copies, *self.swapper.copies())

    def begin(self) -> None:
        """A step begins: nobody has been let in, preempted or given slots in it."""
        self.preempted, self.admitted, self._grown = [], [], set()
        self.short_of_memory = False

    def update(self, step: Step, tokens: Sequence[int], ended: Sequence[Request] = ()) -> list[Request]:
        """A step has been computed.

        Args:
            tokens: one for each of `step.sampling`, in that order.
            ended: those of them that end with it, though they might have had more (a stop token).

        Returns:
            Those that have finished with it. Their memory is free.
        """
        finished = self.computed(step, tokens, ended)
        for request in finished:
            self.finish(request)
        return finished

    def computed(self, step: Step, tokens: Sequence[int], ended: Sequence[Request] = ()) -> list[Request]:
        """As `update`, and those that have finished still have their memory: `finish` each of them next."""
        for request, token in zip(step.sampling, tokens, strict=True):
            request.output.append(token)
        self._delivered += len(step.sampling)
        finished = []
        for request, n in step.plan:
            self._computed += n
            before, most = request.computed, request.most_computed
            request.computed = now = before + n
            if before < most:
                self._recomputed += min(most - before, n)
            if now > most:
                request.most_computed = now
            if len(request.output) >= request.max_tokens or request in ended:
                finished.append(request)
        return finished

    def finish(self, request: Request) -> None:
        """One that runs has all its tokens: its memory is free."""
        self.running.remove(request)
        self.manager.free(request.id)
        del self._known[request.id]
        request.state = State.FINISHED

    # ----- what `step` calls -----------------------------------------------------------------------------------

    @property
    def longest_chunk(self) -> int | None:
        """Tokens of a prompt in one step at most; whoever is alone may have the whole budget."""
        return self.config.longest_chunk if len(self._known) > 1 else None

    def grow(self, request: Request, n: int) -> bool:
        """Slots for `n` more tokens of one that runs, whoever must give memory up for them; False: itself.

        A victim is one that has not grown in this step: what others may find in its blocks would never be computed.
        """
        start = request.computed
        while not self.manager.extend(request.id, request.tokens(start, start + n)):
            left = [other for other in self.running if other not in self._grown]
            victim = self.rules.choose_victim(left, self.config.victim)
            self.running.remove(victim)
            if not self.swapper.swap_out(victim):
                self.rules.preempt_recompute(self.manager, victim)
            self.preempted.append(victim)
            if victim is request:
                return False
        self._grown.add(request)
        return True

    def admit(self, request: Request, budget: int) -> int:
        """Let in one that waits, if the gates and memory allow.

        Returns:
            Tokens of it that are computed in this step, `budget` at most. 0: it stays outside, and nothing has changed.
        """
        if budget < 1:
            return 0

        def gate(cached: int, available: int) -> bool:
            return doors.may_start(self, request, cached, available, budget)

        piece = min(budget, self.longest_chunk or budget)
        kept = request.computed  # of one that was swapped out: it needs slots for that, and a piece beyond
        tokens = request.tokens(0, kept + piece if kept else request.num_tokens)
        limit = None if kept or piece >= request.num_tokens else piece
        got = self.manager.allocate(request.id, tokens, salt=request.salt, limit=limit, gate=gate)
        if isinstance(got, NoRoom):
            self.short_of_memory = self.config.chunked_prefill or request.num_tokens <= budget
            return 0
        self.waiting.remove(request)
        self.running.append(request)
        self.admitted.append(request)
        request.state = State.RUNNING
        request.cached = got.num_cached_tokens
        request.computed = max(kept, request.cached)
        if kept:
            self.swapper.swap_in(request, kept)
        return min(request.num_tokens, (kept or request.cached) + piece) - request.computed

    # ----- inside ----------------------------------------------------------------------------------------------

    def _cached(self, request: Request) -> int:
        return self.manager.lookup(request.prompt, salt=request.salt)
