"""Lesson 18: requests as data, a victim of one call, a manager that is preempted in, host blocks, and a hit rate.

A request of a witness is `name:computed:priority:arrival`, what is left out being 0, and several stand between commas.
`300xA` in the place of a name makes 300 of them.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.cache.tokens import TOKEN_BYTES, token_array
from labkit.engine import kv_cache_manager
from labkit.errors import LabkitError, SchedulerError, UnknownSequenceError
from labkit.grading.classes import ClassReferee
from labkit.grading.compare import whole
from labkit.grading.display import Words, show
from labkit.grading.language import Op
from labkit.grading.referee import Illegal, Referee, StopSequence
from labkit.observe.changes import block_ids
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request, State
from labkit.scheduling.scheduler import Scheduler
from labkit.specs.continuous_batching.referees import Named
from labkit.words import choose, listed, plural

BLOCK_SIZE = 2
NAMES = "ABCDEFGH"


def states(request: Request) -> dict[str, Any]:
    """What a request carries."""
    return {name: show(getattr(request, name), 400) for name in Request.__slots__}


def readable(request: Request, name: str, kind: bool = False) -> str:
    """A field of it, tokens as numbers; with `kind` what the course keeps as bytes or as an array is named so."""
    value = getattr(request, name)
    if name == "prompt" and isinstance(value, bytes) and len(value) % TOKEN_BYTES == 0:
        return f"{'bytes of ' * kind}{show(token_array(value).tolist(), 60)}"
    return f"{'array ' * kind}{show(value.tolist(), 60)}" if isinstance(value, array) else show(value, 60)


def told(mine: Request, right: Request, name: str) -> str:
    """What a field is and was; its kind only where nothing else tells the two apart."""
    alike = readable(mine, name) == readable(right, name)
    return f"{name} is {readable(mine, name, alike)} and was {readable(right, name, alike)}"


def summary(request: Request) -> str:
    """The same in a few words."""
    return f"computed {request.computed} of {request.prompt_tokens}+{len(request.output)} tokens, {request.state!s}"


# ----- choose_victim --------------------------------------------------------------------------------------------------


def running_from(text: str) -> list[Request]:
    """The requests of a witness, in order of admission."""
    found: list[Request] = []
    for one in filter(None, text.split(",")):
        name, *numbers = one.split(":")
        computed, priority, arrival = [int(n) for n in numbers] + [0] * (3 - len(numbers))
        many, _, letter = name.rpartition("x")
        for i in range(int(many or 1)):
            # Whoever came earlier knows more tokens that are not computed: what is known is not what is in memory.
            known = max(1, computed) + 40 * (text.count(",") - text[: text.index(one)].count(","))
            request = Named(f"{letter}{i}" if many else letter, range(known), 9)
            request.priority, request.arrival, request.state = priority, float(arrival), State.RUNNING
            request.computed = request.most_computed = computed
            found.append(request)
    return found


class VictimReferee(Referee):
    """Calls the function once, on requests of its own."""

    due: dict[str, str] = {
        "last": "last-in-goes-first",
        "priority": "the-least-urgent-goes-first",
        "least-computed": "least-computed-goes-first",
        "most-blocks": "most-blocks-goes-first",
    }

    def do_call(self, running: str, how: str) -> None:
        given, again = running_from(running), running_from(running)
        more = [how] if how else []
        label = f"{self.spec.target}({', '.join(show(value, 60) for value in (given, *more))})"
        said = [f"{r}: computed {r.computed} of {r.num_tokens}" + self._urgency(r, how) for r in given[:6]]
        self.setup_text = "; ".join([*said, "..."] if len(given) > 6 else said)
        before = [*map(states, given)]
        unknown = how not in ("", *self.due)
        try:
            expected = self.spec.solution()(again, *more)
        except SchedulerError:
            expected = None
        rule = "another-way-is-refused" if unknown else "one-of-them"
        due = SchedulerError if unknown else None
        seen = self.call(rule, label, self.implementation, given, *more, raises=SchedulerError, due=due)
        if unknown:
            chosen = "somebody was chosen" if isinstance(seen, Request) else f"the answer is {show(seen, 40)}"
            cause = f"There is no way to choose that is called {show(how)}, and {chosen} all the same."
            ok = isinstance(seen, SchedulerError)
            self.require(rule, ok, expected=Words("raises SchedulerError"), cause=cause)
            return
        name = str(expected)
        cause = f"{show(how or 'last')} is one of the ways to choose, and was refused."
        if not self.require(self.due[how or "last"], not isinstance(seen, SchedulerError), expected=name, cause=cause):
            return
        changed = next((r for r, was in zip(given, before, strict=True) if states(r) != was), None)
        cause = f"The call has changed a field of {changed}: choosing takes nothing from anybody."
        if self.require(self.spec.stay, changed is None, expected=Words(name), cause=cause):
            self._judge(given, seen, again.index(expected), how or "last")

    def _urgency(self, request: Request, how: str) -> str:
        return f", priority {request.priority}, came at {request.arrival:g}" if how == "priority" else ""

    def _judge(self, running: list[Request], seen: Any, right: int, how: str) -> None:
        victim = running[right]
        due = Words(str(victim))
        if not any(seen is request for request in running):
            cause = f"The answer is {show(seen, 40)}, which is none of the requests that run."
            self.require("one-of-them", False, expected=due, cause=cause, kind="wrong-type")
            return
        place = next(i for i, request in enumerate(running) if request is seen)
        if place == right:
            return
        if how != "priority" and place == 0:
            cause = f"{seen} came first of those who run, and {listed(running[1:2])} is there to give way."
            self.require("the-first-is-spared", False, expected=due, cause=cause)
            return
        if how == "last":
            cause = f"{victim} was let in after {seen}."
        elif how == "priority":
            cause = f"{victim} has priority {victim.priority}, {seen} has {seen.priority}: "
            cause += "the higher number is the less urgent."
            if victim.priority == seen.priority:
                cause = f"Both have priority {seen.priority}; {victim} came at {victim.arrival:g}, which is later than "
                cause += f"{seen}, at {seen.arrival:g}."
        else:
            cause = f"{victim} has computed {plural(victim.computed, 'token')}, {seen} {seen.computed}."
        same = how != "last" and (seen.computed == victim.computed if how != "priority" else
                                  (seen.priority, seen.arrival) == (victim.priority, victim.arrival))  # fmt: skip
        if same:
            cause = f"{seen} and {victim} are equal in this, and {victim} was let in later."
        self.require("where-equal-the-later-goes" if same else self.due[how], False, expected=due, cause=cause)


# ----- preempt_recompute ----------------------------------------------------------------------------------------------


class RecomputeReferee(Referee):
    """Preempts in a manager of the course's own, beside one in which the solution does it.

    Attributes:
        mine, right: the managers; requests: by name, the learner's and the solution's.
    """

    mine: KVCacheManager
    right: KVCacheManager

    def do_new(self, num_blocks: int) -> None:
        self.mine, self.right = (kv_cache_manager(num_blocks, BLOCK_SIZE, yours=False) for _ in range(2))
        self.requests: dict[str, tuple[Request, Request]] = {}
        self.due = Words("")
        self._line(f"{num_blocks} blocks of {BLOCK_SIZE} tokens")

    def do_run(self, name: str, prompt: int, output: int, left: int = 1) -> None:
        both = []
        for manager in (self.mine, self.right):
            request = Named(name, range(1000 * ord(name[0]), 1000 * ord(name[0]) + prompt), prompt + output + 9)
            request.arrival, request.priority, request.state = float(len(self.requests)), 1, State.RUNNING
            request.output.extend(range(7, 7 + output))
            request.computed = request.most_computed = request.num_tokens - left
            manager.allocate(name, request.tokens(0, request.computed))
            both.append(request)
        self.requests[name] = both[0], both[1]
        more = f"{plural(prompt, 'token')} of prompt, {output} generated, {plural(both[0].computed, 'token')} computed"
        self._line(f"{name} runs: {more}")

    def do_preempt(self, name: str) -> None:
        mine, right = self.requests[name]
        before, others = states(right), {other: states(pair[0]) for other, pair in self.requests.items()}
        memory = "memory-is-given-back"
        self.spec.solution()(self.right, right)
        label = f"{self.spec.target}(manager, {name})"
        self.call(memory, label, self.implementation, self.mine, mine, keep=False)
        seen, due = states(mine), states(right)
        self.steps[-1].seen, self.due = summary(mine), Words(summary(right))
        held = f"{name} still has its {plural(len(self.mine.blocks(name)), 'block')}" if name in self.mine else ""
        self._insist(memory, not held, f"{held}: whoever needed them finds nothing.")
        lost = [field for field in ("output", "prompt", "prompt_tokens", "max_tokens") if seen[field] != before[field]]
        now = listed([told(mine, right, field) for field in lost[:2]])
        cause = f"Of {name}, {now}: "
        said = "its user has these tokens already" if "output" in lost else "what was asked for has not changed"
        self._insist("what-was-generated-stays", not lost, f"{cause}{said}.")
        cause = f"computed is {seen['computed']}, and nothing of {name} is in memory any more."
        self._insist("all-is-computed-again", mine.computed == 0, cause)
        state = (
            f"State.{mine.state.name}" if isinstance(mine.state, State) else f"{show(mine.state)}, which is no State"
        )
        cause = f"The state of {name} is {state}: it gave its memory up and comes back, and that is State.PREEMPTED."
        self._insist("it-waits-as-preempted", mine.state == State.PREEMPTED, cause)
        cause = f"most_computed is {seen['most_computed']} and was {before['most_computed']}: what {name} computes "
        cause += "below that mark, it computes for the second time."
        self._insist("what-was-computed-is-remembered", seen["most_computed"] == before["most_computed"], cause)
        cause = f"{name} was preempted {plural(right.preemptions, 'time')}, and its count says {seen['preemptions']}."
        self._insist("it-is-counted-once", mine.preemptions == right.preemptions, cause)
        ours, theirs = self.mine.counters.preemptions, self.right.counters.preemptions
        cause = f"The manager has heard of {plural(ours, 'preemption')}, and there {choose(theirs, 'was', 'were')} "
        cause += f"{theirs}: it takes {name} for a request that has ended."
        self._insist("the-manager-is-told", ours == theirs, cause)
        wrong = [o for o, was in others.items() if o != name and states(self.requests[o][0]) != was]
        wrong += [o for o in map(str, self.right.sequences()) if o not in self.mine]
        wrong += [field for field in seen if seen[field] != due[field]]
        cause = f"{listed(wrong[:1])} was changed by it, which has nothing to do with this."
        self._insist("nothing-else-changes", not wrong, cause)

    def do_again(self, name: str, left: int = 1) -> None:
        mine, right = self.requests[name]
        for manager, request in ((self.mine, mine), (self.right, right)):
            got = manager.allocate(name, request.tokens(0, request.num_tokens + 1 - left))
            request.state, request.computed = State.RUNNING, request.num_tokens - left
            request.most_computed = max(request.most_computed, request.computed)
        found = plural(getattr(got, "num_cached_tokens", 0), "token")
        far = f", and has {right.computed} computed" if left > 1 else ""
        self._line(f"{name} comes back, and finds {found} of its own{far}")
        ours, due = self.mine.counters, self.right.counters
        cause = f"{plural(ours.hit_tokens - due.hit_tokens, 'token')} that {name} found of its own count as hits of a "
        cause += f"new prompt: the hit rate says {self._rate(ours)}, and no two prompts share anything."
        same = (ours.queried_tokens, ours.hit_tokens) == (due.queried_tokens, due.hit_tokens)
        self.due = Words("no hits")
        self._insist("the-manager-is-told", same, cause)

    def _rate(self, counters: Any) -> str:
        return f"{counters.hit_tokens / max(1, counters.queried_tokens):.0%}"

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if op.name == "new":
            return op
        args = dict(op.args)
        here = [name for name in self.requests if name in self.right]
        away = [name for name in self.requests if name not in self.right]
        if op.name == "run":
            args["name"] = next(name for name in [*NAMES, "Z"] if name not in self.requests)
            room = BLOCK_SIZE * self.right.num_available
            args["output"] = max(0, min(args["output"], room - 2))
            args["prompt"] = max(2, min(args["prompt"], room - args["output"]))
            known = args["prompt"] + args["output"]
            args["left"] = min(args.get("left", 1), known - 1)
            if room < 2 or args["name"] == "Z":
                return Op("preempt", {"name": here[0]}) if here else Op("again", {"name": away[0]})
            return Op("run", args)
        names = here if op.name == "preempt" else away
        if names:
            name = args["name"] if args["name"] in names else names[0]
            if op.name == "preempt":
                return Op("preempt", {"name": name})
            left = min(args.get("left") or 1, self.requests[name][1].num_tokens - 1)
            return Op("again", {"name": name, "left": left} if left > 1 else {"name": name})
        return self.resolve(Op("run", {"name": "A", "prompt": 3, "output": 1}))

    def _insist(self, rule: str, ok: bool, cause: str) -> None:
        if not self.require(rule, ok, expected=self.due, cause=cause):
            raise StopSequence


# ----- SwapPool -------------------------------------------------------------------------------------------------------


class SwapReferee(ClassReferee):
    """A swap pool beside the solution's. Which host blocks it takes is its own business.

    Attributes:
        hosts: the host blocks of each that is swapped out, in order.
    """

    def do_new(self, num_blocks: int) -> None:
        self.hosts: dict[str, list[int]] = {}
        self.refused: set[str] = set()  # whose coming back was refused once
        self.size = num_blocks
        self.device = 100  # ids of the device that no host block has
        self.setup_text = f"{plural(num_blocks, 'host block')}"
        self.make("counts-what-is-free", f"SwapPool({num_blocks})", (num_blocks, num_blocks))
        self._count("counts-what-is-free", "Nothing has been swapped out yet.")

    def do_out(self, name: str, n: int) -> None:
        blocks = self._device(n)
        label = f"swap_out({show(name)}, {show(blocks, 60)})"
        if name in self.hosts:
            self._refused("swap_out", SchedulerError, f"{name} is swapped out already.", label, name, blocks)
            return
        due = self.right.swap_out(name, blocks)
        rule = "all-or-nothing"
        awaited = "None" if due is None else "an answer"
        seen = self.call(rule, label, "swap_out", name, blocks, on=self.mine, awaited=awaited)
        free = self.right.num_free
        if due is None:
            cause = f"{plural(free, 'host block')} {choose(free, 'is', 'are')} free, and {n} are needed."
            self.insist(rule, seen is None, "None", cause)
            self.note(f"right: only {free} {choose(free, 'is', 'are')} free")
            self._count(rule, f"{name} was refused, and nothing may change.")
            return
        pairs = self._pairs("pairs-in-order", seen, n, f"{plural(n, 'pair')} (device block, host block)")
        wrong = [device for device, _ in pairs] != blocks
        cause = "Each pair says which block of the device is copied to which of the host, in the order of the blocks."
        self.insist("pairs-in-order", not wrong, show([(d, "?") for d in blocks], 60), cause)
        hosts = [host for _, host in pairs]
        used = {host for theirs in self.hosts.values() for host in theirs}
        taken = [host for i, host in enumerate(hosts) if host in hosts[:i] or host in used]
        size = self.size
        outside = [host for host in hosts if not 0 <= host < size]
        self.insist("ids-of-the-host", not outside, f"ids from 0 to {size - 1}",
                    f"{listed(outside[:1])} is no block of the host.")  # fmt: skip
        cause = f"Host block {listed(taken[:1])} holds something already, which is written over."
        self.insist("one-content-in-a-block", not taken, "host blocks that hold nothing", cause)
        self.hosts[name] = hosts
        self._count("counts-what-is-free", f"{plural(n, 'host block')} {choose(n, 'was', 'were')} taken.")

    def do_back(self, name: str, found: int = 0, more: int = 0) -> None:
        if name not in self.hosts:
            blocks = self._device(1)
            label = f"swap_in({show(name)}, {blocks})"
            self._refused("swap_in", UnknownSequenceError, f"{name} is not swapped out.", label, name, blocks)
            return
        hosts = self.hosts[name]
        blocks = self._device(len(hosts) + more)
        label = f"swap_in({show(name)}, {show(blocks, 60)}{f', found={found}' if found else ''})"
        if more:
            cause = f"{name} left {plural(len(hosts), 'block')}, and {len(blocks)} were named for it."
            self._refused("swap_in", SchedulerError, cause, label, name, blocks)
            self.refused.add(name)
            return
        self.right.swap_in(name, blocks, found)
        rule = "what-makes-no-sense-is-refused" if name in self.refused else "back-where-it-was"
        seen = self.call(rule, label, "swap_in", name, blocks, *([found] if found else []), on=self.mine)
        due = list(zip(hosts, blocks, strict=True))[found:]
        what = f"{plural(len(due), 'pair')} (host block, device block)"
        pairs = self._pairs("back-where-it-was", seen, None, what)
        rule, cause = "back-where-it-was", f"Block number i of {name} went to the host with pair i, and comes back so."
        if found and pairs != due and len(pairs) != len(due):
            rule = "what-was-found-is-not-copied"
            cause = f"The first {found} of {name} are on the device already: {len(due)} are left to copy."
        elif found and pairs != due and set(pairs) <= set(zip(hosts, blocks, strict=True)):
            cause = f"What was found is the beginning of {name}; its end is left to copy."
            rule = "what-was-found-is-not-copied"
        self.insist(rule, pairs == due, show(due, 60), cause)
        self._gone(name, "came back")

    def do_forget(self, name: str) -> None:
        label = f"forget({show(name)})"
        if name not in self.hosts:
            self._refused("forget", UnknownSequenceError, f"{name} is not swapped out.", label, name)
            return
        self.right.forget(name)
        self.call("host-blocks-come-back", label, "forget", name, on=self.mine, keep=False)
        self._gone(name, "was forgotten")

    def do_other(self, num_blocks: int) -> None:
        other = self.call("pools-are-separate", f"other = SwapPool({num_blocks})", self.implementation, num_blocks,
                          keep=False)  # fmt: skip
        self.call("pools-are-separate", 'other.swap_out("Z", [1])', "swap_out", "Z", [1], on=other)
        self._count("pools-are-separate", "Something went out to another pool.")

    def resolve(self, op: Op, bend: bool = True) -> Op:
        args = dict(op.args)
        if op.name == "back" and args["name"] in self.hosts:
            args["found"] = min(args.get("found") or 0, len(self.hosts[args["name"]]))
        return Op(op.name, args)

    def _device(self, n: int) -> list[int]:
        self.device += n
        return list(range(self.device - 1, self.device - 1 - n, -1))

    def _pairs(self, rule: str, seen: Any, n: int | None, expected: str) -> list[tuple[int, int]]:
        cause = f"The answer is {show(seen, 60)}; a list of pairs is due."
        ok = isinstance(seen, list) and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in seen)
        self.insist(rule, ok, expected, cause, kind="rule" if seen is None else "wrong-type")
        pairs = [(one[0], other[0]) for one, other in ((block_ids([a]), block_ids([b])) for a, b in seen)]
        if n is not None:
            self.insist(rule, len(pairs) == n, expected, f"{plural(n, 'block')} go out, and {len(pairs)} are named.")
        return pairs

    def _gone(self, name: str, how: str) -> None:
        n = len(self.hosts.pop(name))
        self._count("host-blocks-come-back", f"{name} {how}, and the host need not keep its {plural(n, 'block')}.")

    def _refused(self, method: str, due: type[LabkitError], why: str, label: str, *args: Any) -> None:
        rule = "what-makes-no-sense-is-refused"
        seen = self.call(rule, label, method, *args, on=self.mine, raises=due, due=due)
        self.insist(rule, isinstance(seen, due), f"raises {due.__name__}", why)
        self._count(rule, f"The call was refused, and nothing may change. {why}")

    def _count(self, rule: str, cause: str) -> None:
        free = whole(self.read(rule, self.mine, "num_free"))
        if not self.observe(rule, "num_free", free, self.right.num_free, cause):
            raise StopSequence


# ----- break it: the hit rate -----------------------------------------------------------------------------------------


@dataclass
class HitRate:
    """The right meter: what new prompts find in the cache. What a preempted request finds is its own."""

    queried: int = 0
    hits: int = 0

    def admitted(self, request: Request, cached: int) -> None:
        """A request was let in, and found so many leading tokens."""
        if not request.preemptions:
            self.queried += request.num_tokens
            self.hits += cached


class RateReferee(Referee):
    """Serves prompts that share nothing, and compares two meters when all have ended."""

    scheduler: Scheduler

    def do_new(self, num_blocks: int) -> None:
        self.scheduler = Scheduler(kv_cache_manager(num_blocks, BLOCK_SIZE, yours=False), SchedulerConfig())
        self.right, self.came = HitRate(), set[str]()
        self.mine = self.call(self.spec.rules[0].name, "HitRate()", self.implementation, keep=False)
        self.steps[-1].label = f"a server with {plural(num_blocks, 'block')} of {BLOCK_SIZE} tokens"

    def do_come(self, name: str, prompt: int, max_tokens: int) -> None:
        first = 1000 * ord(name[0])
        self.came.add(name)
        self.scheduler.submit(Named(name, range(first, first + prompt), max_tokens, arrival=len(self.steps)))
        self._line(f"{name} comes: {plural(prompt, 'token')} that nobody else has, {max_tokens} to generate")

    def do_run(self) -> None:
        rule = self.spec.rules[0].name
        while self.scheduler.unfinished:
            step = self.scheduler.schedule()
            for request in step.admitted:
                back = ", which was preempted," if request.preemptions else ""
                label = f"{request}{back} is let in, {plural(request.cached, 'token')} of {request.num_tokens} found"
                self.call(rule, label, "admitted", request, request.cached, on=self.mine, keep=False)
                self.right.admitted(request, request.cached)
                seen = self.read(rule, self.mine, "hits")
                cause = f"{request} found {plural(request.cached, 'token')} of its own. No two prompts share anything, "
                cause += f"and the board shows {seen} hits of {self.read(rule, self.mine, 'queried')} tokens."
                if not self.require(rule, seen == self.right.hits, expected=Words("no hit"), cause=cause):
                    raise StopSequence
            self.scheduler.update(step, [7] * len(step.sampling))

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if op.name == "new" and hasattr(self, "scheduler"):
            raise Illegal("makes a second server: have one only.")
        if op.name == "come":
            name, wanted = op.args["name"], op.args["prompt"] + op.args["max_tokens"] - 1
            manager = self.scheduler.manager
            if name in self.came:
                raise Illegal(f"brings {name}, which was there already, with the same prompt: take another letter.")
            if wanted > manager.num_blocks * BLOCK_SIZE:
                slots = manager.num_blocks * BLOCK_SIZE
                raise Illegal(f"brings {name}, which never fits into {slots} slots: ask for fewer tokens.")
        return op
