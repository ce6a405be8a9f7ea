"""Lesson 21: an engine without a model, a scheduler that somebody leaves, and servers whose knobs are turned.

Scheduler and memory are the real ones. A row of logits is a digest of one request and all its tokens so far, so a wrong
row, a wrong order and a token that was left out all show.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from labkit.cache.tokens import TOKEN_BYTES, token_array
from labkit.engine import kv_cache_manager
from labkit.errors import UnknownSequenceError
from labkit.grading.compare import whole
from labkit.grading.display import Words, show
from labkit.grading.language import Op
from labkit.grading.referee import Illegal, Referee, StopSequence
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request, State
from labkit.scheduling.scheduler import Rules, Scheduler
from labkit.scheduling.step import Step
from labkit.specs.continuous_batching.referees import NAMES, Named
from labkit.words import choose, listed, plural

if TYPE_CHECKING:
    from labkit.specs.your_engine.storms import Outcome

BLOCK_SIZE = 2
VOCABULARY = 8
Tell = Callable[..., None]


def row_of(id: Any, tokens: bytes) -> np.ndarray:
    """float32 [VOCABULARY]: what a model would answer behind these tokens of this request."""
    digest = blake2b(f"{id}|".encode() + tokens, digest_size=VOCABULARY).digest()
    return np.frombuffer(digest, np.uint8).astype(np.float32)


def token_of(row: np.ndarray, id: Any, position: int) -> int:
    """What is drawn from a row of logits with this key."""
    return int.from_bytes(blake2b(row.tobytes() + f"{id}|{position}".encode(), digest_size=4).digest(), "little") % 1000


class SmallEngine:
    """What a step is given: a scheduler, and `move`, `run`, `sample` and `ends`, each of which is told before it acts.

    Args:
        tell: called with the name and the arguments of each call, and of `schedule` and `update`; raises to end it.
        stops: by request, how many tokens its text has at most; 0 for as many as it may generate.
    """

    def __init__(self, num_blocks: int, config: SchedulerConfig, tell: Tell, stops: dict[Any, int]) -> None:
        self.scheduler = Scheduler(kv_cache_manager(num_blocks, BLOCK_SIZE, yours=False), config)
        self._tell, self._stops = tell, stops
        self._requests: dict[Any, Request] = {}
        schedule, update = self.scheduler.schedule, self.scheduler.update

        def told_schedule() -> Step:
            tell("schedule")
            step = schedule()
            tell("decided", step)
            return step

        def told_update(step: Any, tokens: Any, ended: Any = ()) -> Any:
            tell("update", step, tokens, ended)
            return update(step, tokens, ended)

        self.scheduler.schedule, self.scheduler.update = told_schedule, told_update  # type: ignore[method-assign]

    def submit(self, request: Request) -> bool:
        """A request comes."""
        self._requests[request.id] = request
        return self.scheduler.submit(request)

    def move(self, step: Any) -> None:
        """Copy what the step says."""
        self._tell("move", step)

    def run(self, batch: Any) -> np.ndarray:
        """Compute; float32 [len(batch), VOCABULARY]."""
        self._tell("run", batch)
        known = ((id, self._requests[id].tokens(0, self._requests[id].computed) + new) for id, new in batch)
        return np.stack([row_of(id, tokens) for id, tokens in known])

    def sample(self, logits: Any, keys: Any) -> list[int]:
        """A token from each row."""
        self._tell("sample", logits, keys)
        return [token_of(row, request.id, at) for row, (request, at) in zip(logits, keys, strict=True)]

    def ends(self, request: Any, token: Any) -> bool:
        """Take a token into the text; True: it was the last."""
        self._tell("ends", request, token)
        length, stop = len(request.output) + 1, self._stops[request.id]
        return length >= request.max_tokens or length == stop


class LoopReferee(Referee):
    """Lets a step work on one engine and the solution's on another, and holds each call to what was decided.

    Attributes:
        mine, right: the engines.
        step: what the learner's scheduler has decided in this step, None before.
    """

    mine: SmallEngine
    right: SmallEngine

    def do_new(self, num_blocks: int, budget: int, seats: int, host: int = 0, longest: int | None = None) -> None:
        config = SchedulerConfig(
            token_budget=budget, seats=seats, longest_chunk=longest, host_blocks=host,
            preemption="swap" if host else "recompute",
        )  # fmt: skip
        stops: dict[Any, int] = {}
        self.stops, self.requests = stops, dict[Any, Request]()
        self.mine = SmallEngine(num_blocks, config, self._told, stops)
        self.right = SmallEngine(num_blocks, config, lambda *call: None, stops)
        most = f", pieces of {longest} at most" if longest else ""
        swap = f", {host} on the host" if host else ""
        self._line(
            f"{num_blocks} blocks of {BLOCK_SIZE} tokens{swap}, a budget of {budget}, {plural(seats, 'seat')}{most}"
        )

    def do_come(self, name: str, prompt: int, max_tokens: int, stop: int = 0, shared: int = 0, many: int = 0) -> None:
        comes = f"{many} requests come, each" if many else f"{name} comes:"
        last = f", and its text ends with token {stop}" if stop else ""
        begin = f", of which the first {shared} begin others too" if shared else ""
        self._line(f"{comes} {plural(prompt, 'token')}{begin}, {max_tokens} to generate at most{last}")
        for each in [f"{name}{i}" for i in range(many)] or [name]:
            first = 1000 * (1 + len(self.requests))
            tokens = [*range(min(shared, prompt)), *range(first + shared, first + prompt)]
            self.stops[each] = stop
            for engine in (self.right, self.mine):
                self.requests[each] = request = Named(each, tokens, max_tokens, arrival=len(self.steps))
                engine.submit(request)

    def do_step(self) -> None:
        self.step: Step | None = None
        self.called = ""
        self.moved = self.committed = False
        self.ran: list[Any] = []
        self.sampled: dict[Any, int] = {}
        self.asked: list[Any] = []
        self.last: set[Any] = set()
        self.due = Words(show(self.spec.solution()(self.right)))
        label = f"{self.spec.target}(engine)"
        seen = self.call(self.spec.rules[0].name, label, self.implementation, self.mine, keep=False)
        self._after(seen)

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if op.name == "new":
            return op
        if op.name == "step":
            if self.right.scheduler.unfinished:
                return op
            op = Op("come", {"name": "A", "prompt": 3, "max_tokens": 2})
        args, known = dict(op.args), self.requests
        if args["name"] in known:
            if not bend:
                raise Illegal(f"brings {args['name']}, which was there already: take another letter.")
            args["name"] = next((name for name in NAMES if name not in known), f"A{len(known)}")
        slots = self.right.scheduler.manager.num_blocks * BLOCK_SIZE
        args["prompt"] = min(args["prompt"], slots)
        args["max_tokens"] = min(args["max_tokens"], slots - args["prompt"] + 1)
        args["shared"] = min(args.get("shared") or 0, args["prompt"])
        return Op("come", args)

    # ----- what the learner's step calls --------------------------------------------------------------------------

    def _told(self, name: str, *args: Any) -> None:
        getattr(self, f"_on_{name}")(*args)
        self.called = name

    def _on_schedule(self) -> None:
        before = "schedule" if self.called == "decided" else self.called
        again = f"`schedule` is called a second time in one step, after `{before}`: memory is taken for both decisions."
        self._insist("one-decision-a-step", self.step is None, again)

    def _on_decided(self, step: Step) -> None:
        self.step = step
        self.planned = {request.id: (request, n) for request, n in step.plan}

    def _on_move(self, step: Any) -> None:
        wrong = f"`move` is given {show(step, 40)}; the step that the scheduler has decided is due."
        self._insist("copies-come-first", step is self.step and step is not None, wrong)
        late = "`move` is called after `run`: what was computed has read blocks that were not copied yet."
        self._insist("copies-come-first", not self.ran or not _copies(step), late)
        self._insist("copies-come-first", not self.moved, "`move` is called a second time: each copy is made once.")
        self.moved = True

    def _on_run(self, batch: Any) -> None:
        step = self._decided("run")
        rule = "what-was-planned-is-computed"
        self._insist(rule, bool(step.plan), "Nothing was planned, and `run` is called all the same.")
        pairs = batch if isinstance(batch, list | tuple) else [batch]
        for pair in pairs:
            id, new = pair if isinstance(pair, list | tuple) and len(pair) == 2 else (pair, None)
            named = f"{show(pair, 60)} is in the batch; a pair is due, the id of a request and its tokens."
            known = not isinstance(id, Request) and id in self.planned if _hashable(id) else False
            self._insist(rule, known, named)
            self._tokens(*self.planned[id], new)
        again = f"`run` is called again for {listed([pair[0] for pair in pairs])}: each call reads all weights anew."
        self._insist("one-pass-for-all", not self.ran, again)
        names, due = [pair[0] for pair in pairs], list(self.planned)
        if names and names == due[: len(names)]:
            self.ran = names  # what is missing is missed when the first token is sampled, or when the step ends
            return
        order = f"The batch is {listed(names)}, and the plan is {listed(due)}, in this order."
        self._insist(rule, False, order)

    def _tokens(self, request: Request, n: int, new: Any) -> None:
        rule, start = "the-tokens-that-are-missing", request.computed
        typed = f"The tokens of {request} are {show(new, 40)}; bytes are due, as `request.tokens` gives them."
        self._insist(rule, isinstance(new, bytes) and len(new) % TOKEN_BYTES == 0, typed)
        due = request.tokens(start, start + n)
        seen, right = (show(token_array(tokens).tolist(), 60) for tokens in (new, due))
        cause = f"{request} has computed {start} of {plural(request.num_tokens, 'token')}, and {n} were planned: those "
        cause += f"are {right}. The batch has {seen}."
        self._insist(rule, new == due, cause)

    def _on_sample(self, logits: Any, keys: Any) -> None:
        self._all_ran()
        keyed = "keyed-by-position"
        pairs = keys if isinstance(keys, list | tuple) else [keys]
        for pair in pairs:
            request, at = pair if isinstance(pair, list | tuple) and len(pair) == 2 else (pair, None)
            typed = f"A key is {show(pair, 60)}; a pair is due, the request and the position of its token."
            self._insist(keyed, isinstance(request, Request) and whole(at) is not None, typed)
        shape = getattr(logits, "shape", None)
        rows = f"`sample` is given {f'logits of shape {shape}' if shape is not None else show(logits, 40)} and "
        rows += f"{plural(len(pairs), 'key')}; a row of logits for each key is due, [{len(pairs)}, {VOCABULARY}]."
        self._insist("the-row-of-its-own", shape == (len(pairs), VOCABULARY), rows)
        known = {row_of(r.id, r.tokens(0, r.computed + n)).tobytes(): r for r, n in self.planned.values()}
        for row, (request, at) in zip(logits, pairs, strict=True):
            self._sampled(row, known.get(row.tobytes()), request, at)

    def _sampled(self, row: np.ndarray, whose: Request | None, request: Request, at: int) -> None:
        _, n = self.planned.get(request.id, (None, 0))
        left = request.missing - n
        what = f"{request} has {plural(left, 'known token')} to compute after this step"
        self._insist("no-token-in-mid-prompt", n > 0 and not left, f"{what}: what follows is known, and not sampled.")
        other = f"The row is that of {whose}" if whose else "The row is none that `run` has answered"
        self._insist("the-row-of-its-own", whose is request, f"{other}, and the key names {request}.")
        cause = f"{request} has {plural(request.num_tokens, 'token')}, so its next one is token {request.num_tokens}, "
        cause += f"counted from 0. The key says {show(at)}: with it, chance depends on how the scheduler cut the work."
        self._insist("keyed-by-position", at == request.num_tokens, cause)
        twice = f"A token of {request} is sampled twice in one step."
        self._insist("keyed-by-position", request.id not in self.sampled, twice)
        self.sampled[request.id] = token_of(row, request.id, at)

    def _on_ends(self, request: Any, token: Any) -> None:
        rule = "each-token-is-taken-once"
        mine = isinstance(request, Request) and request.id in self.sampled
        self._insist(rule, mine, f"`ends` is given {show(request, 40)}, of whom nothing was sampled in this step.")
        due = self.sampled[request.id]
        self._insist(rule, token == due, f"`ends` is given {show(token, 30)} for {request}, and {due} was sampled.")
        late = (
            f"`ends` is asked for {request} when the step is committed: if its text ends here, nobody frees its memory."
        )
        self._insist(rule, not self.committed, late)
        twice = f"`ends` is asked a second time for {request}: its text has the token twice."
        self._insist(rule, request.id not in self.asked, twice)
        self.asked.append(request.id)
        length = len(request.output) + 1
        if length >= request.max_tokens or length == self.stops[request.id]:
            self.last.add(request)

    def _on_update(self, step: Any, tokens: Any, ended: Any) -> None:
        rule, decided = "every-step-is-committed", self._decided("update")
        wrong = f"`update` is given {show(step, 40)}; the step that the scheduler has decided is due."
        self._insist(rule, step is decided, wrong)
        self._insist(rule, not self.committed, "`update` is called a second time in one step: all of it counts twice.")
        self.committed = True
        if not decided.plan:
            return
        self._moved_by_now(decided)
        self._all_ran()
        left_out = [request for request in decided.sampling if request.id not in self.sampled]
        missed = f"All tokens that {listed(left_out[:1])} has are computed after this step, and no next one is sampled."
        self._insist("nobody-is-left-out", not left_out, missed)
        due = [self.sampled[request.id] for request in decided.sampling]
        told = f"`update` is given {show(tokens, 60)}; the tokens of {listed(decided.sampling) or 'nobody'} are due, "
        told += f"in this order: {show(due, 60)}."
        self._insist(rule, isinstance(tokens, list | tuple) and [*tokens] == due, told)
        names = [*ended] if isinstance(ended, list | tuple | set | frozenset) else [ended]
        right = [request for request in decided.sampling if request in self.last]
        told = f"`ends` has said yes for {listed(right) or 'nobody'}, and `update` is told {show(ended, 60)}."
        self._insist("who-ends-is-told", len(names) == len(right) and all(r in names for r in right), told)

    # ----- what must hold by then ---------------------------------------------------------------------------------

    def _decided(self, before: str) -> Step:
        none = f"`{before}` is called before the scheduler was asked what to do."
        self._insist("one-decision-a-step", self.step is not None, none)
        assert self.step is not None
        return self.step

    def _moved_by_now(self, step: Step) -> None:
        many = plural(len(step.swapped_out) + len(step.swapped_in) + len(step.copies), "block")
        cause = f"The step says that {many} must be copied, and `move` was not called before: what lay there is lost."
        self._insist("copies-come-first", self.moved or not _copies(step), cause)

    def _all_ran(self) -> None:
        missing = [id for id in self.planned if id not in self.ran]
        cause = f"The plan has {listed([*self.planned])}, and nothing was computed of {listed(missing)}."
        self._insist("what-was-planned-is-computed", not missing, cause)

    def _after(self, seen: Any) -> None:
        step = self._decided("return")
        self._moved_by_now(step)
        if step.plan:
            self._all_ran()
            idle = "" if step.sampling else " Nothing was sampled in it, and it was computed all the same."
            cause = f"The step ends, and `update` was not called: the same tokens would be planned again.{idle}"
            self._insist("every-step-is-committed", self.committed, cause)
        late = [request for request in step.sampling if request.id not in self.asked]
        cause = f"The step ends, and `ends` was not asked for {listed(late[:1])}: its text lacks the token."
        self._insist("each-token-is-taken-once", not late, cause)
        pairs = zip(self.mine.scheduler.running, self.right.scheduler.running, strict=False)
        other = next((one for one, due in pairs if _counts(one) != _counts(due)), None)
        cause = f"{other} has computed {other and other.computed} tokens by its own count, and not what was planned: "
        self._insist("every-step-is-committed", other is None, f"{cause}`update` counts, and nobody else.")
        due = [(request, self.sampled[request.id]) for request in step.sampling]
        cause = f"{len(due)} {choose(len(due), 'token was', 'tokens were')} sampled: a pair is due for each, the "
        cause += "request and its token, in the order of the plan."
        right = isinstance(seen, list | tuple) and [_pair(one) for one in seen] == due
        self._insist("who-got-what", right, cause)

    def _insist(self, rule: str, ok: bool, cause: str) -> None:
        if not self.require(rule, ok, expected=self.due, cause=cause):
            raise StopSequence


def _copies(step: Any) -> bool:
    """Whether a step has anything to move."""
    return bool(step.swapped_out or step.copies or step.swapped_in)


def _counts(request: Request) -> tuple[Any, int, Sequence[int]]:
    return request.id, request.computed, request.output.tolist()


def _pair(one: Any) -> Any:
    return tuple(one) if isinstance(one, list | tuple) else one


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


# ----- cancel ---------------------------------------------------------------------------------------------------------


class CancelReferee(Referee):
    """Takes requests out of a scheduler in which the learner's function does it, beside one with the solution's."""

    mine: Scheduler
    right: Scheduler

    def do_new(self, num_blocks: int, seats: int, host: int) -> None:
        config = SchedulerConfig(
            token_budget=900, seats=seats, host_blocks=host, preemption="swap" if host else "recompute"
        )
        rules = Rules(), Rules(cancel=self.spec.solution())
        made = (Scheduler(kv_cache_manager(num_blocks, BLOCK_SIZE, yours=False), config, rule) for rule in rules)
        self.mine, self.right = made
        self.requests: dict[Any, tuple[Request, Request]] = {}
        swap = f", {host} on the host" if host else ""
        self._line(f"{num_blocks} blocks of {BLOCK_SIZE} tokens{swap}, {plural(seats, 'seat')}")

    def do_come(self, name: str, prompt: int, max_tokens: int, shared: int = 0, many: int = 0) -> None:
        comes = f"{many} requests come, each" if many else f"{name} comes:"
        begin = f", of which the first {shared} begin others too" if shared else ""
        self._line(f"{comes} {plural(prompt, 'token')}{begin}, {max_tokens} to generate")
        for each in [f"{name}{i}" for i in range(many)] or [name]:
            first = 1000 * (1 + len(self.requests))
            tokens = [*range(min(shared, prompt)), *range(first + shared, first + prompt)]
            both = [Named(each, tokens, max_tokens, arrival=len(self.steps)) for _ in range(2)]
            self.requests[each] = both[0], both[1]
            for scheduler, request in zip((self.mine, self.right), both, strict=True):
                scheduler.submit(request)

    def do_step(self, times: int = 1) -> None:
        for _ in range(times):
            for scheduler in (self.mine, self.right):
                step = scheduler.schedule()
                scheduler.update(step, [7] * len(step.sampling))
        running, waiting = (listed(requests, most=6) for requests in (self.right.running, self.right.waiting))
        self._line(f"{plural(times, 'step')}: {running} in memory, {waiting} waiting")

    def do_cancel(self, name: str) -> None:
        mine, right = self.requests[name]
        was, preempted = WAS[right.state, right.computed > 0], self.mine.manager.counters.preemptions
        rule = was.rule
        others = {r.id: _counts(r) for r, _ in self.requests.values() if r is not mine}
        self.right.cancel(name)
        label = f"cancel(scheduler, {name}), which {was.words}"
        self.due = Words(_memory(self.right))
        self.mine.rules = Rules(cancel=lambda *args: self.call(rule, label, self.implementation, *args, keep=False))
        self.mine.cancel(name)
        self.steps[-1].seen = _memory(self.mine)

        lists = {"running": self.mine.running, "waiting": [*self.mine.waiting]}
        held = next((where for where, requests in lists.items() if mine in requests), "")
        self._insist(rule, not held, f"{name} is still in `{held}`: the next step asks for it.")
        free, due = (s.manager.num_free + s.manager.num_cached for s in (self.mine, self.right))
        many = f"{plural(due - free, 'block')} of {name} {choose(due - free, 'is', 'are')} still held"
        self._insist(rule, name not in self.mine.manager, f"{many}: nobody will ever give them back.")
        try:
            self.mine.manager.forget(name)
            forgotten = False
        except UnknownSequenceError:
            forgotten = True
        cause = f"The manager still waits for {name} to come back: `forget` is for a preempted one that does not."
        self._insist("who-was-preempted-is-forgotten", forgotten, cause)
        hosts = [s.swapper.pool.num_free if s.swapper.pool else 0 for s in (self.mine, self.right)]
        lost = hosts[1] - hosts[0]
        cause = f"{plural(lost, 'block')} of the host {choose(lost, 'holds', 'hold')} what {name} has computed."
        self._insist("host-blocks-come-back", not lost, cause)
        gone = [other for other in others if _place(self.mine, other) != _place(self.right, other)]
        gone += [r.id for r, _ in self.requests.values() if r is not mine and _counts(r) != others[r.id]]
        cause = f"{listed(gone[:1])} was touched, whose user is still there."
        self._insist("nobody-else-is-touched", not gone and free == due, cause)
        now, found = self.mine.manager.counters.preemptions, self.mine.manager.num_cached
        cause = (
            f"The manager counts {plural(now - preempted, 'preemption')} more: {name} has left, and gave way to nobody."
        )
        self._insist("a-cancel-is-no-preemption", now == preempted, cause)
        there = self.right.manager.num_cached
        cause = f"{plural(there, 'block')} had a content that could be found, and now it is {found}."
        self._insist("what-it-computed-stays-findable", found == there, cause)
        cause = f"{plural(self.mine.waiting.tokens, 'token')} of prompts wait by the queue's count, and there are "
        cause += f"{self.right.waiting.tokens}: take a request out of it with `remove`."
        self._insist("who-waits-leaves-the-queue", self.mine.waiting.tokens == self.right.waiting.tokens, cause)

    def _insist(self, rule: str, ok: bool, cause: str) -> None:
        if not self.require(rule, ok, expected=self.due, cause=cause):
            raise StopSequence

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if op.name == "new":
            if not bend and hasattr(self, "mine"):
                raise Illegal("makes a second scheduler: have one only.")
            return op
        there = [request.id for request in [*self.right.running, *self.right.waiting]]
        args = dict(op.args)
        if op.name in ("step", "cancel") and not there:
            if not bend:
                raise Illegal("is about nobody, since nobody is there, or not any more: let a request come first.")
            op, args = Op("come", {}), {"name": "A", "prompt": 3, "max_tokens": 4}
        if op.name == "step":
            return Op("step", args)
        if op.name == "cancel":
            if not bend and args["name"] not in there:
                raise Illegal(f"is about {args['name']}, which there is not, or not any more.")
            return Op(
                "cancel", {"name": args["name"] if args["name"] in there else there[len(self.steps) % len(there)]}
            )
        if args["name"] in self.requests:
            if not bend:
                raise Illegal(f"brings {args['name']}, which was there already: take another letter.")
            args["name"] = next((name for name in NAMES if name not in self.requests), f"A{len(self.requests)}")
        slots = self.right.manager.num_blocks * BLOCK_SIZE
        if not bend and args["prompt"] + args["max_tokens"] - 1 > slots:
            raise Illegal(f"brings {args['name']}, which never fits into {slots} slots: take more blocks.")
        args["prompt"] = min(args["prompt"], slots)
        args["max_tokens"] = min(args["max_tokens"], slots - args["prompt"] + 1)
        return Op("come", args | ({"shared": min(args["shared"] or 0, args["prompt"])} if "shared" in args else {}))


class _Was(NamedTuple):
    """Where a request was: the rule about it, and the words."""

    rule: str
    words: str


WAS = {
    (State.RUNNING, False): _Was("who-runs-leaves-its-memory", "runs"),
    (State.RUNNING, True): _Was("who-runs-leaves-its-memory", "runs"),
    (State.WAITING, False): _Was("who-waits-leaves-the-queue", "waits and has not run"),
    (State.PREEMPTED, False): _Was("who-was-preempted-is-forgotten", "was preempted and waits"),
    (State.PREEMPTED, True): _Was("host-blocks-come-back", "was swapped out and waits"),
}
"""By its state, and whether something of it is computed."""


def _memory(scheduler: Scheduler) -> str:
    """Who holds what, in a few words."""
    manager, pool = scheduler.manager, scheduler.swapper.pool
    host = f", {pool.num_free} free on the host" if pool else ""
    return f"{plural(manager.num_held, 'block')} held, {len(scheduler.waiting)} waiting{host}"


def _place(scheduler: Scheduler, id: Any) -> str:
    """Where a request is."""
    waits = any(request.id == id for request in scheduler.waiting)
    return "running" if id in scheduler.manager else "waiting" if waits else "gone"


# ----- tune_storm -----------------------------------------------------------------------------------------------------


class TuneReferee(Referee):
    """Lets a function turn the knobs of servers while they run, and looks what has become of each."""

    def do_serve(self, kind: str, seeds: list[int]) -> None:
        # Who asks a second time, to be careless or over other parts, hears the same of one server.
        for seed in seeds[:1] if self.thorough or os.environ.get("LABKIT_PARTS") == "mine" else seeds:
            self._serve(kind, seed)

    def do_blind(self, kind: str, seed: int, window: int) -> None:
        self._served(kind, seed, window)

    def _served(self, kind: str, seed: int, hole: int | None = None) -> Outcome:
        told = f", and nothing is known of window {hole}" if hole is not None else ""
        label = f"tune_storm after each window of {kind}-{seed}{told}"
        after: Outcome = self.call(self.spec.rules[0].name, label, self._turned, kind, seed, hole, keep=False)
        figures = f"{after.twice:.0%} computed twice, {after.delivered:.0f} tokens/s"
        self.steps[-1].seen = f"seats {shortened(after.seats)}: {figures}"
        return after

    def _serve(self, kind: str, seed: int) -> None:
        from labkit.specs.your_engine.storms import CALM, STORMS, untouched

        before, after = untouched(kind, seed), self._served(kind, seed)
        seats = after.seats
        shown = f"Untouched, with {seats[0]} seats: {before.twice:.0%} computed twice, {before.delivered:.0f} tokens/s"
        if kind in STORMS:
            calmer = f"no more than {CALMER:.0%} of that computed twice"
            self._insist("a-storm-comes-to-rest", after.twice <= CALMER * before.twice, shown, calmer)
            share, rule = STRANGLED, "nobody-is-strangled"
        elif kind in CALM:
            share, rule = LEFT_ALONE, "the-healthy-are-left-alone"
        else:
            share, rule = BACK, "seats-come-back"
            shown += f". At the end {before.waiting} waited, and with yours {after.waiting}"
            before = before._replace(delivered=ROOM * before.delivered) if kind == "few-seats" else before
        due = share * before.delivered
        self._insist(rule, after.delivered >= due, shown, f"{due:.0f} tokens/s or more")

    def _turned(self, kind: str, seed: int, hole: int | None) -> Outcome:
        def heard(window: int, config: SchedulerConfig, board: Any) -> SchedulerConfig:
            answer = self.implementation(config, board)
            where = f"After window {window}"
            typed = f"{where} the answer is {show(answer, 60)}; a SchedulerConfig is due, the same one for no change."
            self._insist("answers-with-knobs", isinstance(answer, SchedulerConfig), typed, "a SchedulerConfig")
            names = [field.name for field in fields(config) if field.name not in ("seats", "watermark")]
            other = next((name for name in names if getattr(answer, name) != getattr(config, name)), "")
            turned = f"{where} {other} is turned as well; seats and the watermark are yours to turn."
            self._insist("two-knobs-alone", not other, turned, "another number of seats, or watermark")
            unknown = f"{where}, of which nothing is known, seats go from {config.seats} to {answer.seats} and the "
            unknown += f"watermark from {config.watermark:g} to {answer.watermark:g}."
            self._insist("unknown-is-no-reason", window != hole or answer == config, unknown, "no change")
            return answer

        from labkit.specs.your_engine.storms import serve  # what simulates takes long to load

        return serve(kind, seed, heard, hole)

    def _insist(self, rule: str, ok: bool, cause: str, due: str) -> None:
        if not self.require(rule, ok, expected=Words(due), cause=cause if cause.endswith(".") else f"{cause}."):
            raise StopSequence


CALMER, STRANGLED, LEFT_ALONE, BACK, ROOM = 0.65, 0.7, 0.97, 0.8, 2.0
"""Shares of what is so where nobody turns anything; with few seats, how many times as much can be delivered."""


def shortened(seats: list[int]) -> str:
    """Seats by window, equal ones next to each other once."""
    kept = [str(n) for i, n in enumerate(seats) if not i or n != seats[i - 1]]
    return " ".join(kept if len(kept) <= 14 else [*kept[:12], "...", kept[-1]])
