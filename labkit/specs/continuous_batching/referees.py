"""Lesson 16: requests as data, plans of one function, and a scheduler that is driven beside the solution's.

A request of a witness is `name:prompt:computed:output`, its tokens by number, and behind them how often it was
preempted, if it was: `A:5:5:1:2`. Several stand between commas. `300xA` in the place of a name makes 300 of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import partial
from itertools import zip_longest
from typing import Any

from labkit.engine import kv_cache_manager
from labkit.grading.compare import whole
from labkit.grading.display import Words, show
from labkit.grading.language import Op
from labkit.grading.referee import Illegal, Referee, StopSequence
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request, State
from labkit.scheduling.scheduler import Rules, Scheduler
from labkit.scheduling.step import Step
from labkit.words import choose, listed, plural

BLOCK_SIZE = 2
NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MANY = 12
"""Of longer plans than this the first difference is told, and not the order of all."""


class Named(Request):
    """A request that a report writes as its name."""

    # An AttributeError names the class that the lesson knows.
    __qualname__ = "Request"

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self.id)


def requests_from(text: str) -> list[Request]:
    """The requests of a witness; ValueError where more would be computed than there is, as a shortened one may say."""
    found: list[Request] = []
    for one in filter(None, text.split(",")):
        name, *sizes = one.split(":")
        prompt, computed, output, *preempted = map(int, sizes)
        if computed > prompt + output:
            raise ValueError(f"{one} has computed more tokens than it has.")
        many, _, letter = name.rpartition("x")
        for i in range(int(many or 1)):
            request = Named(f"{letter}{i}" if many else letter, range(prompt), prompt + output + 9)
            request.computed = request.most_computed = computed
            request.output.extend(range(output))
            request.state, request.preemptions = State.RUNNING, sum(preempted)
            request.arrival = 1000.0 - (len(found) ^ 1)  # not the order of admission, nor its reverse
            found.append(request)
    return found


def _said(request: Request) -> str:
    """A request as a report writes it above the call."""
    again = f", preempted {plural(request.preemptions, 'time')} before" if request.preemptions else ""
    return (
        f"{request}: prompt {request.prompt_tokens}, output {len(request.output)}, computed {request.computed}{again}"
    )


def pairs_of(plan: Any) -> list[tuple[Request, int]] | None:
    """A plan as pairs of a request and a whole number; None where it is none."""
    found = []
    for pair in plan if isinstance(plan, list | tuple) else [None]:
        request, n = pair if isinstance(pair, list | tuple) and len(pair) == 2 else (None, None)
        tokens = whole(n)
        if not isinstance(request, Request) or tokens is None:
            return None
        found.append((request, tokens))
    return found


def no_plan(answer: Any) -> str:
    """What to say of an answer that is no plan: what is wrong with its first pair, where it has one."""
    said = f"The answer is {show(answer, 60)}; a list of pairs is due, a request and how many tokens of it"
    for pair in answer if isinstance(answer, list | tuple) else ():
        if not (isinstance(pair, list | tuple) and len(pair) == 2):
            break
        request, n = pair
        if isinstance(request, Request) and whole(n) is None:
            return f"{said}: the tokens of {request} are {show(n, 30)}, which is no whole number."
        if not isinstance(request, Request):
            where = "the request itself comes first" if isinstance(n, Request) else "the request itself is due"
            return f"{said}: {show(request, 30)} is no request, {where}."
    return f"{said}."


class PlanReferee(Referee):
    """Calls the function once, on requests of its own, and says which rule its answer breaks.

    Class attributes to set:
        typed: the rule that an answer breaks which is no plan, or names a request twice.
        fills: the rule that a plan breaks which leaves some of the budget.
    """

    typed: str
    fills: str

    def judge(self, requests: str, budget: int, *more: Any) -> None:
        given = requests_from(requests)
        label = f"{self.spec.target}({', '.join(show(value, 60) for value in (given, budget, *more))})"
        said = [_said(request) for request in given[:6]]
        self.setup_text = "; ".join([*said, "..."] if len(given) > 6 else said)
        before, due = [*map(_fields, given)], self.spec.solution()(requests_from(requests), budget, *more)
        seen = self.call(self.spec.rules[0].name, label, self.implementation, given, budget, *more)
        plan, expected = pairs_of(seen), Words(show(due))
        changed = [
            f"The call has changed `{name}` of {request} from {was[name]} to {now}: a plan says what will be computed, "
            "no more."
            for request, was in zip(given, before, strict=True)
            for name, now in _fields(request).items()
            if now != was[name]
        ]
        if not self.require(self.spec.stay, not changed, expected=expected, cause="".join(changed[:1])):
            return
        if plan is None:
            self.require(self.typed, False, expected=expected, cause=no_plan(seen), kind="wrong-type")
        elif fault := self.fault(plan, [(request.id, n) for request, n in due], budget, *more):
            self.require(fault[0], False, expected=expected, cause=fault[1])

    def fault(
        self, plan: list[tuple[Request, int]], due: list[tuple[Any, int]], budget: int, longest: int | None = None
    ) -> tuple[str, str] | None:
        """The rule that a plan breaks, and what to say; None where it is right."""
        total, names, right = sum(n for _, n in plan), [r.id for r, _ in plan], [name for name, _ in due]
        if total > budget:
            return "budget-is-kept", f"{plural(total, 'token')} planned, and the budget is {budget}."
        if found := next(filter(None, (self.piece(request, n, longest) for request, n in plan)), None):
            return found
        if twice := [name for name in names if names.count(name) > 1]:
            return self.typed, f"{twice[0]} stands in the plan twice: it has one turn in a step."
        if len(names) < len(right) and names == right[: len(names)]:
            name, n = due[len(names)]
            return self.fills, f"{name} gets nothing, and the budget has {plural(n, 'token')} for it."
        if names != right and max(len(names), len(right)) > MANY:
            places = enumerate(zip_longest(names, right, fillvalue="nobody"), 1)
            place, (mine, first) = next((place, pair) for place, pair in places if pair[0] != pair[1])
            return "in-order", f"Place {place} of the plan belongs to {first}, and in yours to {mine}."
        if names != right:
            return "in-order", _order(names, right)
        less = ((request, n, most) for (request, n), (_, most) in zip(plan, due, strict=True) if n != most)
        return next(
            ((self.fills, f"{r} gets {plural(n, 'token')}, where {m} can be computed.") for r, n, m in less), None
        )

    def piece(self, request: Request, n: int, longest: int | None) -> tuple[str, str] | None:
        """What is wrong with one of the pieces."""
        raise NotImplementedError


class DecodesReferee(PlanReferee):
    """Judges plan_decodes."""

    typed, fills = "one-token-each", "nobody-is-left-out"

    def do_call(self, running: str, budget: int) -> None:
        self.judge(running, budget)

    def piece(self, request: Request, n: int, longest: int | None) -> tuple[str, str] | None:
        if not request.decodes:
            last = "the last token of its prompt" if request.missing == 1 else plural(request.missing, "token")
            again = ", of which some were computed before it was preempted" if request.output else ""
            return "prompts-do-not-decode", f"{request} still has to compute {last}{again}."
        more = f"{request} gets {plural(n, 'token')}; it knows one that is not computed."
        return None if n == 1 else ("one-token-each", more)


class ChunksReferee(PlanReferee):
    """Judges plan_chunks."""

    typed, fills = "one-piece-each", "the-budget-is-spent"

    def do_call(self, requests: str, budget: int, longest: int | None = None) -> None:
        self.judge(requests, budget, *([] if longest is None else [longest]))

    def piece(self, request: Request, n: int, longest: int | None) -> tuple[str, str] | None:
        if n > request.missing:
            has = f"{request} has {plural(request.missing, 'token')} to compute"
            return "no-more-than-is-missing", f"{has}, and is given {n}."
        if longest is not None and n > longest:
            return "longest-is-kept", f"The piece of {request} has {n} tokens, and {longest} is the most."
        nothing = f"{request} is in the plan with {n} tokens: nothing of it is computed."
        return None if n > 0 else ("one-piece-each", nothing)


def _fields(request: Request) -> dict[str, str]:
    """What a request carries, readable."""
    values = ((name, getattr(request, name)) for name in Request.__slots__ if name != "prompt")
    return {name: show(value.tolist() if isinstance(value, array) else value, 400) for name, value in values}


def _order(names: list[Any], right: list[Any]) -> str:
    """Where the names of a plan first differ from those that are due."""
    mine, due = next((pair for pair in zip_longest(names, right) if pair[0] != pair[1]), (None, None))
    if due is None:
        return f"{mine} is in the plan, and nothing of it is computed in this step."
    if mine is None:
        return f"{due} is missing from the plan."
    return f"{due} comes before {mine}: the order is {listed(right)}, and yours is {listed(names)}."


# ----- step -----------------------------------------------------------------------------------------------------------


class StepReferee(Referee):
    """Drives two schedulers through one workload, one with the learner's step, and compares each of their steps.

    Attributes:
        mine, right: the schedulers.
        found: tokens for which a request found memory in this step, by its name.
        known: of those that compute in this step, how many tokens were computed and generated before it.
    """

    mine: Scheduler
    right: Scheduler

    def do_new(self, num_blocks: int, budget: int, seats: int, longest: int | None = None) -> None:
        knobs = SchedulerConfig(token_budget=budget, seats=seats, longest_chunk=longest)
        made = [
            Scheduler(kv_cache_manager(num_blocks, BLOCK_SIZE, prefix_cache=None, yours=False), knobs, Rules(step=step))
            for step in (self._watched, self.spec.solution())
        ]
        self.mine, self.right = made
        grow, admit = self.mine.grow, self.mine.admit
        self.mine.grow, self.mine.admit = partial(self._grow, grow), partial(self._admit, admit)  # type: ignore[method-assign]
        most = f", pieces of {longest} at most" if longest else ""
        self._line(f"{num_blocks} blocks of {BLOCK_SIZE} tokens, a budget of {budget}, {plural(seats, 'seat')}{most}")

    def do_come(self, name: str, prompt: int, max_tokens: int, many: int = 0) -> None:
        comes = f"{many} requests come, each" if many else f"{name} comes:"
        self._line(f"{comes} {plural(prompt, 'token')}, {max_tokens} to generate")
        for each in [f"{name}{i}" for i in range(many)] or [name]:
            for scheduler in (self.mine, self.right):
                scheduler.submit(Named(each, range(prompt), max_tokens, arrival=len(self.steps)))

    def do_step(self) -> None:
        self.found: dict[Any, int] = {}
        self.known = {request: _known(request) for request in self.mine.running}
        self.refused = ""
        theirs = self.right.schedule()
        self.due = Words(show(theirs.plan))
        ours = self.mine.schedule()
        self._compare(ours, theirs)
        if not self.failures:
            for scheduler, step in ((self.mine, ours), (self.right, theirs)):
                scheduler.update(step, [7] * len(step.sampling))

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if op.name == "new":
            if not bend and hasattr(self, "mine"):
                raise Illegal("makes a second scheduler: have one only.")
            return op
        if op.name == "step":
            if not self.right.unfinished:
                raise Illegal("computes nothing, since nobody is there, or not any more: let a request come first.")
            return op
        args, known = dict(op.args), {request.id for request in [*self.right.running, *self.right.waiting]}
        if args["name"] in known:
            if not bend:
                raise Illegal(f"brings {args['name']}, which is there already: take another letter.")
            args["name"] = next(name for name in NAMES if name not in known)
        slots = self.right.manager.num_blocks * BLOCK_SIZE
        if args["prompt"] + args["max_tokens"] - 1 > slots:
            if not bend:
                raise Illegal(f"brings {args['name']}, which never fits into {slots} slots: take more blocks.")
            args["prompt"], args["max_tokens"] = min(args["prompt"], slots), 1
        return Op("come", args)

    # ----- what the learner's step does ---------------------------------------------------------------------------

    def _watched(self, scheduler: Scheduler) -> Any:
        plan = self.call("memory-before-computing", "step(scheduler)", self.implementation, scheduler, keep=False)
        pairs = pairs_of(plan)
        self._insist("memory-before-computing", pairs is not None, no_plan(plan), kind="wrong-type")
        return pairs

    def _grow(self, grow: Callable[[Request, int], bool], request: Request, n: int) -> bool:
        gone = f"grow({request}, {n}) was asked for after {request} had given its memory up in this step."
        self._insist("preempted-computes-nothing", request not in self.mine.preempted, gone)
        answer = grow(request, n)
        if answer:
            self.found[request.id] = self.found.get(request.id, 0) + n
        return answer

    def _admit(self, admit: Callable[[Request, int], int], request: Request, budget: int) -> int:
        head = self.mine.waiting.head() if self.mine.waiting else None
        n = admit(request, budget)
        if not n:
            self.refused = self.refused or str(request.id)
            return n
        self.found[request.id], self.known[request] = n, _known(request)
        victims = self.mine.preempted
        gone = f"{show(victims, 30)} gave memory up in this step, and {request} was let in to it."
        self._insist("who-preempts-admits-nobody", not victims, gone)
        late = f"{request} was let in though {self.refused or head}, which came before, is still waiting."
        self._insist("one-refused-head-stops-the-queue", not self.refused and request is head, late)
        return n

    # ----- what must hold -----------------------------------------------------------------------------------------

    def _compare(self, ours: Step, theirs: Step) -> None:
        wrong = next((request for request, n in ours.plan if n == 0), None)
        none = f"{wrong} is in the plan with 0 tokens: `admit` answers 0 where it has refused."
        self._insist("memory-before-computing", wrong is None, none)
        wrong = next((request for request, _ in ours.plan if request in ours.preempted), None)
        gone = f"{wrong} gave its memory up in this step, and is in its plan."
        self._insist("preempted-computes-nothing", wrong is None, gone)
        wrong = next((request for request, _ in ours.plan if _known(request) != self.known.get(request)), None)
        done = f"The call has changed {wrong} itself: what is decided here is computed and counted afterwards."
        self._insist("nothing-is-computed-yet", wrong is None or wrong not in self.known, done)
        over = f"{plural(ours.num_tokens, 'token')} planned, and the budget is {self.mine.budget}."
        self._insist("budget-is-kept", ours.num_tokens <= self.mine.budget, over)
        self._insist("memory-before-computing", *self._memory(ours))
        run, seats = len(self.mine.running), self.mine.seats
        taken = f"{plural(run, 'request')} {choose(run, 'runs', 'run')}, and there {choose(seats, 'is', 'are')} "
        self._insist("seats-are-kept", run <= seats, f"{taken}{plural(seats, 'seat')}.")
        self._same(ours, theirs)

    def _memory(self, ours: Step) -> tuple[bool, str]:
        """Whether everybody computes as many tokens as memory was found for, and what to say if not."""
        names = [request.id for request, _ in ours.plan]
        for request, n in ours.plan:
            got = self.found.get(request.id, 0)
            if n != got or names.count(request.id) > 1:
                return False, f"{request} is planned with {plural(n, 'token')}, and found memory for {got}."
        lost = [name for name in self.found if name not in names]
        return not lost, f"{listed(lost)} found memory, and nothing is computed there."

    def _same(self, ours: Step, theirs: Step) -> None:
        seen, due = ({r.id: n for r, n in step.plan} for step in (ours, theirs))
        new = [request.id for request in ours.admitted]
        gone, gone_due = ([Words(request.id) for request in step.preempted] for step in (ours, theirs))
        cause = f"{show(gone_due)} must give memory up, and here it is {show(gone)}: whoever came first grows first."
        self._insist("in-order-of-admission", gone == gone_due, cause)
        for request, n in theirs.plan:
            got, begins = seen.get(request.id, 0), request in theirs.admitted
            if got >= n or begins:
                continue
            less = f"{request}, which runs, gets {plural(got, 'token')} where {n} can be computed"
            if request.decodes:
                self._insist("decodes-before-chunks", False, f"{less}: it waits for its next token.")
            taken = f", and {listed(new)} {choose(len(new), 'was', 'were')} let in" if new else ""
            self._insist("running-before-the-queue", False, f"{less}{taken}.")
        for request in theirs.admitted:
            n = due[request.id]
            cause = f"{request} waits, though a seat, {plural(n, 'token')} of the budget and memory are left for it."
            self._insist("the-queue-is-let-in", seen.get(request.id, 0) >= n, cause)
        more = next((name for name in due if seen.get(name, 0) > due[name]), None)
        cause = f"{more} gets {plural(seen.get(more, 0), 'token')}, where a piece of it has {due.get(more)} at most."
        self._insist("running-before-the-queue", more is None, cause)
        self._insist("in-order-of-admission", [*seen] == [*due], _order([*seen], [*due]))

    def _insist(self, rule: str, ok: bool, cause: str, kind: str = "rule") -> None:
        if not self.require(rule, ok, expected=self.due, cause=cause, kind=kind):
            raise StopSequence


def _known(request: Request) -> tuple[int, int]:
    return request.computed, len(request.output)


def workload(letters: str = "ABCD") -> Callable[[Any], str]:
    """A kind for the search: a few requests as text, in all stages."""

    def draw(random: Any) -> str:
        found = []
        for letter in letters[: random.randint(0, len(letters))]:
            prompt, output = random.randint(1, 9), random.choice([0, 0, 1, 1, 2, 4])
            known = prompt + output
            computed = known - 1 if output and random.random() < 0.6 else random.randint(0, known - 1)
            preempted = random.choice(["", ":1"]) if output else ""
            found.append(f"{letter}:{prompt}:{computed}:{output}{preempted}")
        return ",".join(found)

    return draw
