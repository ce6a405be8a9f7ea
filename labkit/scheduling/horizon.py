"""How far ahead a scheduler's decisions are known, and a way there that asks nobody.

Whoever decodes takes one token in every step until it ends, and one block whenever its last one is full: for as long as
the budget and memory have that for everybody, there is nothing to decide about them. So they are kept as one crowd. Of
each member only two numbers are known, the step at which it ends and the steps at which it comes to the edge of a
block, and a step costs the same whether the crowd is two or two hundred.

What is left of a step are prompts, in pieces, and the queue, and those are asked as ever: the same `plan_chunks`,
`grow`, `head`, `admit` and gates. Where memory or the budget is short the crowd is dissolved and `Scheduler.schedule`
decides. Nothing is estimated: a property test holds each counter, block table and time to those of stepping.

A scheduler with parts of the learner's, or with other rules, has no horizon and is stepped.
"""

from __future__ import annotations

import sys
from array import array
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from operator import attrgetter, itemgetter
from typing import Any

from labkit.cache.block_table import BlockTable
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.cache.no_prefix_cache import NoPrefixCache
from labkit.scheduling import planning
from labkit.scheduling.request import Request
from labkit.scheduling.scheduler import Rules, Scheduler
from labkit.scheduling.step import Step, let_in


def has_horizon(scheduler: Scheduler) -> bool:
    """Whether all that a step asks is the reference, whose answers are known; a policy of eviction may be anybody's."""
    manager, refs = scheduler.manager, scheduler.manager.cache.refs
    parts = (scheduler, scheduler.waiting, manager, manager.cache, refs, getattr(refs, "pool", None))
    return (
        all(type(part).__module__.startswith(("labkit.cache.", "labkit.scheduling.")) for part in parts)
        and not vars(scheduler).keys() & vars(Scheduler).keys()  # methods that somebody has wrapped
        and not vars(manager).keys() & vars(KVCacheManager).keys()
        and manager._make_table is BlockTable
        and scheduler.rules == Rules()
        and scheduler.plan_decodes is planning.plan_decodes
        and scheduler.plan_chunks is planning.plan_chunks
    )


@dataclass(slots=True, eq=False)
class _Member:
    """One of the crowd: `offset` + steps so far are its computed tokens; `place` is its place among all who run."""

    request: Request
    place: int
    offset: int
    sequence: Any  # of the manager
    blocks: list[int]  # of its table


_place = attrgetter("place")


class Crowd:
    """Those who decode, advanced together; who else runs is kept beside them.

    Made after a step in which each of those who decode has got a token. From then on nobody else may call the
    scheduler, but for `submit`, until `dissolve`, which is the end of it.

    Args:
        scheduler: one that has a horizon.
        token: what a request generates, the same at every place.

    Attributes:
        steps: taken so far.
        context: tokens in memory of all members together.
        piece: of the one prompt that is computed up to the horizon, tokens in each step, and tokens computed before.
    """

    def __init__(self, scheduler: Scheduler, token: Callable[[Request], int]) -> None:
        self.scheduler, self._token = scheduler, token
        self._cache, self._size = scheduler.manager.cache, scheduler.manager.block_size
        self.steps = self.context = 0
        self.piece = 0, 0
        self._members: dict[Request, _Member] = {}
        self._begun: dict[Request, int] = {}  # those who run and do not decode, and their places among all who run
        self._places = len(scheduler.running)
        self._edges: list[list[_Member]] = [[] for _ in range(self._size)]  # by steps, modulo it, that take a block
        self._ends: list[tuple[int, int, _Member]] = []
        self._late: list[Request] = []  # have joined without a token in the step before: what follows is to be planned
        self._kept_out = 0  # who waited when the queue was asked last and would be told the same again
        for place, request in enumerate(scheduler.running):
            if request.decodes:
                self._join(request, place)
            else:
                self._begun[request] = place

    def __len__(self) -> int:
        return len(self._members)

    def dissolve(self) -> list[Request]:
        """Hand over to `schedule`: all requests and tables are as if every step had been planned. Returns those who
        have got a token in the last one.
        """
        for member in self._members.values():
            request, sequence, size = member.request, member.sequence, self._size
            self._settle(member)
            used = request.computed % size
            sequence.tail = array("I", request.tokens(request.computed - used, request.computed))
            sequence.room = size - used if used else 0
            sequence.table.num_tokens = max(sequence.table.num_tokens, (len(sequence.table.blocks) - 1) * size + 1)
        return [request for request in self._members if request not in self._late]

    # ----- steps in which nobody is asked ------------------------------------------------------------------------

    def horizon(self) -> int:
        """Steps from here in which every member takes one token, and either nothing else happens or one prompt gets
        what they leave of the budget and is not through; in the last one somebody may end. 0: the next step is to be
        planned.

        Whoever is kept out by memory or a gate stays out meanwhile: what is available only shrinks.
        """
        scheduler, running, size = self.scheduler, len(self._members), self._size
        piece = computed = 0
        if self._late or running > scheduler.budget:
            return 0
        steps = self._ends[0][0] - self.steps if running else sys.maxsize
        if self._begun:
            first = next(iter(self._begun))
            piece, computed, longest = scheduler.budget - running, first.computed, scheduler.longest_chunk
            if not piece or (longest or piece) < piece:
                return 0
            steps = min(steps, (first.missing - 1) // piece)
        elif not running or len(scheduler.waiting) != self._kept_out:
            return 0
        self.piece = piece, computed
        # An eviction may change whose turn it is by the longest prefix.
        ranked = not piece and self._kept_out and scheduler.config.queue == "longest-prefix"
        free = scheduler.manager.num_free if ranked else self._cache.num_free
        if free < running * (steps // size + 1) + piece * steps // size + 1:
            free -= computed // -size  # the blocks that the prompt has are none that it takes
            taken = 0
            for step in range(steps):
                taken += len(self._edges[(self.steps + step) % size])
                if taken - (computed + (step + 1) * piece) // -size > free:
                    return step
        return steps

    def advance(self, steps: int) -> list[Request]:
        """Take so many steps, `horizon()` at most. Returns those that have finished with the last one."""
        piece, _ = self.piece
        if piece:
            step = Step([(next(iter(self._begun)), piece)])
            self.scheduler.begin()
            for _ in range(steps):
                self._take(1, step.plan)
                self.scheduler.computed(step, ())
        else:
            self._take(steps)
        return self._finish([])

    # ----- a step in which prompts and the queue are asked -------------------------------------------------------

    def step(self) -> Step | None:
        """Decide a step. Its plan leaves the members out, each of whom takes one token more. None: memory or budget is
        short, so `dissolve` and let `schedule` decide.
        """
        scheduler, size, begun = self.scheduler, self._size, self._begun
        budget = scheduler.budget - len(self._members)
        chunks = scheduler.plan_chunks(list(begun), budget, scheduler.longest_chunk) if begun else []
        needed = len(self._edges[self.steps % size])
        for request, n in chunks:
            needed += -(-(request.computed + n) // size) - -(-request.computed // size)
            budget -= n
        if budget < 0 or self._late or needed > self._cache.num_free:
            return None
        scheduler.begin()
        self._take(1, chunks)
        plan = list(chunks)
        let_in(scheduler, plan, budget)
        for request in scheduler.admitted:
            begun[request] = self._places
            self._places += 1
        self._kept_out = 0 if plan else len(scheduler.waiting)
        return Step(plan, scheduler.admitted, [], [], *scheduler.swapper.copies())

    def update(self, step: Step, sampling: Sequence[Request]) -> list[Request]:
        """That step has been computed, and these are its `sampling`. Returns those that have finished with it; their
        memory is free.
        """
        done = self.scheduler.computed(step, [self._token(request) for request in sampling])
        finished = [(self._begun.pop(request), request) for request in done]
        for request, _ in step.plan:
            if request.decodes and request in self._begun:
                self._join(request, self._begun.pop(request))
                if request not in sampling:
                    self._late.append(request)
        return self._finish(finished)

    # ----- inside ------------------------------------------------------------------------------------------------

    def _join(self, request: Request, place: int) -> None:
        """It decodes from the next step on."""
        offset = request.computed - self.steps
        sequence = self.scheduler.manager._sequences[request.id]
        member = self._members[request] = _Member(request, place, offset, sequence, sequence.table.blocks)
        self.context += request.computed
        self._kept_out = 0
        insort(self._edges[-offset % self._size], member, key=_place)
        heappush(self._ends, (self.steps + request.max_tokens - len(request.output), place, member))

    def _take(self, count: int, chunks: Sequence[tuple[Request, int]] = ()) -> None:
        """So many steps: slots for a token of each member in each of them, and for the chunks of the one: in the order
        of steps, and in each step in the order of admission.
        """
        edges, size, cache, steps = self._edges, self._size, self._cache, range(self.steps, self.steps + count)
        tokens = count * len(self._members)
        self.steps += count
        self.context += tokens
        self.scheduler._delivered += tokens
        self.scheduler._computed += tokens
        if type(cache) is NoPrefixCache and not chunks:  # nothing becomes findable: all at once are the same blocks
            takers: list[_Member] = []
            for step in steps:
                takers += edges[step % size]
            if takers:
                for member, block in zip(takers, cache.allocate(len(takers)) or (), strict=True):
                    member.blocks.append(block)
            return
        for step in steps:
            take, fill = edges[step % size], edges[(step + 1) % size]
            if not (take or fill or chunks):
                continue
            todo: list[tuple[int, Any, int]] = [(self._begun[request], request, n) for request, n in chunks]
            if take or fill:
                todo += [(member.place, member, 0) for member in {*take, *fill}]
                todo.sort(key=itemgetter(0))
            for _, who, n in todo:
                if n:
                    self.scheduler.grow(who, n)
                else:
                    self._edge(who, step)

    def _edge(self, member: _Member, step: int) -> None:
        """A member takes a block in this step, or fills one, or both."""
        size, sequence = self._size, member.sequence
        table, at = sequence.table, member.offset + step
        if not at % size:
            table.append(len(table.blocks) * size - table.num_tokens + 1)
        if not (at + 1) % size:
            page = sequence.tail.tobytes()
            new = self._token(member.request).to_bytes(4, sys.byteorder)
            self._cache.register(sequence.place, page + new * (size - len(sequence.tail)), table.blocks[-1:])
            del sequence.tail[:]

    def _settle(self, member: _Member) -> None:
        """Tell a request of the steps that it has taken."""
        request, computed = member.request, member.offset + self.steps
        request.output.extend(array("I", (self._token(request),)) * (computed - request.computed))
        request.computed = computed
        request.most_computed = max(request.most_computed, computed)

    def _finish(self, done: list[tuple[int, Request]]) -> list[Request]:
        ends = self._ends
        while ends and ends[0][0] == self.steps:
            _, place, member = heappop(ends)
            self._settle(member)
            self.context -= member.request.computed
            self._edges[-member.offset % self._size].remove(member)
            del self._members[member.request]
            done.append((place, member.request))
        if not done:
            return []
        self._kept_out = 0
        done.sort(key=itemgetter(0))
        for _, request in done:
            self.scheduler.finish(request)
        return [request for _, request in done]
