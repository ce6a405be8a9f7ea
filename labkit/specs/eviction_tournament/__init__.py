"""Lesson 09, the eviction tournament: its rules, witnesses and hints."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

from labkit.cache.belady import NEVER
from labkit.cache.tokens import BLOCK_ID_BYTES, block_id_bytes
from labkit.errors import PolicyError
from labkit.grading.breakit import BreakIt
from labkit.grading.classes import ClassReferee
from labkit.grading.compare import whole
from labkit.grading.display import Words, show
from labkit.grading.functions import FunctionSpecification
from labkit.grading.language import Op, Rule, rules_from
from labkit.grading.referee import Illegal, StopSequence
from labkit.grading.specification import Specification
from labkit.simulate.cache_replay import cache_replay
from labkit.simulate.hit_ratio import requests_of
from labkit.simulate.policy_bounds import LARGE, SLOWER, SMALL, memory_growth, names_lru, reaches_beyond, time_growth
from labkit.simulate.prefix_patterns import zipf
from labkit.specs import Exercise, Lesson

PRELUDE = "from labkit.cache.eviction import Policy\n"
LAW, APART = "a-victim-may-go", "policies-are-separate"


class PolicyReferee(ClassReferee):
    """Calls a policy as a cache does, and knows which blocks may go and when each was let go of."""

    made_with: tuple[int, ...] = ()  # what its class is called with

    def do_new(self, num_blocks: int = 16) -> None:
        self.num_blocks = num_blocks
        self.time = 0
        self.released_at: dict[int, int] = {}  # of blocks that nobody holds
        self.first_released: dict[int, int] = {}  # when a block was let go of for the first time
        self.offered: list[int] = []  # blocks that may go, in the order in which they were added
        self.removed: set[int] = set()
        self.evicted: set[int] = set()
        self.told_to_other: set[int] = set()  # blocks of this number that another policy was told of, later
        self.setup_text = f"a cache of {num_blocks} blocks"
        self.policy = self.make_policy(LAW, "", *self.made_with)

    def make_policy(self, rule: str, name: str = "", *args: int) -> Any:
        """A new policy, the one under check or another one of this name."""
        label = f"{self.spec.target}({', '.join(map(str, args))})"
        return self.call(rule, f"{name} = {label}" if name else label, self.implementation, *args)

    def do_released(self, blocks: list[int]) -> None:
        self.time += 1
        self.tell("released", blocks)
        for block in blocks:
            self.released_at[block] = self.time
            self.first_released.setdefault(block, self.time)

    def do_add(self, block: int) -> None:
        self.tell("add", block)
        self.offered.append(block)
        self.removed.discard(block)
        self.evicted.discard(block)

    def do_remove(self, block: int) -> None:
        self.tell("remove", block)
        self.offered.remove(block)
        self.removed.add(block)

    def do_stored(self, blocks: list[int], depth: int) -> None:
        self.tell("stored", blocks, depth)
        for block in blocks:
            self.released_at.pop(block, None)  # it has another content now

    def do_hit(self, blocks: list[int]) -> None:
        self.tell("hit", blocks)

    def do_use(self, block: int) -> None:
        """A request takes a block and lets go of it."""
        if block in self.offered:
            self.do_remove(block)
        self.do_released([block])
        self.do_add(block)

    def do_evict(self) -> int:
        seen = self.call(LAW, "evict()", "evict", on=self.policy)
        victim = whole(seen)
        due = Words(f"block {' or '.join(map(str, sorted(self.offered)))}")
        cause = f"evict returned {show(seen, 40)}: the answer is the number of a block."
        self.insist(LAW, victim is not None, due, cause, kind="wrong-type")
        assert victim is not None
        why = "It was never added."
        if victim in self.evicted:
            why = "It was evicted before, and has not been added since: it is named a second time."
        elif victim in self.removed:
            why = "It was removed, because somebody uses it or something hangs from it, and was not added since."
        self.insist(LAW, victim in self.offered, due, f"Block {victim} may not go. {why}")
        self.rank_victim(victim)
        self.offered.remove(victim)
        self.evicted.add(victim)
        self.released_at.pop(victim, None)
        return victim

    def rank_victim(self, victim: int) -> None:
        """Whether the victim is the right one of those that may go."""

    def do_other_policy(self) -> None:
        """A second policy, which is told of a block; the first must not notice."""
        other = self.make_policy(APART, "other", *self.made_with)
        block = self.made_with[0] - 1 if self.made_with else 9  # one of its cache: a row of flags has no more
        for name, *args in (("stored", [block], 0), ("released", [block]), ("add", block)):
            self.call(APART, f"other.{name}({', '.join(map(str, args))})", name, *args, on=other)
        seen = self.call(APART, "other.evict()", "evict", on=other)
        cause = f"The other policy was told of block {block} alone, so that is all it can evict."
        self.require(APART, whole(seen) == block, expected=block, cause=cause)

    def tell(self, name: str, *args: Any) -> None:
        self.call(LAW, f"{name}({', '.join(show(a, 60) for a in args)})", name, *args, on=self.policy)


class LruReferee(PolicyReferee):
    """The victim has to be the one that was let go of longest ago."""

    def rank_victim(self, victim: int) -> None:
        oldest = min(self.released_at[b] for b in self.offered)
        right = [b for b in self.offered if self.released_at[b] == oldest]
        rule = "longest-unheld-first"
        why = f"Block {right[0]} has been held by nobody for longer than block {victim}."
        if self.told_to_other.intersection(right):
            rule = APART
            why += f" What the other policy was told of its own block {right[0]} is no business of this one."
        elif self.first_released[victim] < self.released_at[victim] and self.first_released[victim] <= oldest:
            rule = "a-new-use-makes-young"
            why = (
                f"Block {victim} was let go of first, but has been in use again since: it was let go of after block "
                f"{right[0]}."
            )
        elif self.offered.index(victim) < self.offered.index(right[0]):
            rule = "released-not-added"
            why = (
                f"Block {victim} was added before block {right[0]}, but let go of after it. Being added says only "
                "that a block may go now, not that somebody used it."
            )
        self.insist(rule, victim in right, Words(" or ".join(map(str, right))), why)

    def do_other_releases(self, blocks: list[int]) -> None:
        """A second policy is told of blocks with the same numbers, one after the other; they are not the first's."""
        other = self.make_policy(APART, "other")
        for block in blocks:
            self.call(APART, f"other.released([{block}])", "released", [block], on=other)
            self.told_to_other.add(block)

    def resolve(self, op: Op, bend: bool = True) -> Op:
        idle = [b for b in sorted(self.released_at) if b not in self.offered] if hasattr(self, "policy") else []
        if not bend:
            self._sensible(op, idle)
            return op
        if op.name == "released":
            blocks = [b for b in dict.fromkeys(b % self.num_blocks for b in op.args["blocks"]) if b not in self.offered]
            if blocks:
                return Op("released", {"blocks": blocks})
        elif op.name in ("add", "remove"):
            blocks = idle if op.name == "add" else sorted(self.offered)
            if blocks:
                return Op(op.name, {"block": blocks[op.args["block"] % len(blocks)]})
        elif op.name == "hit" and idle:
            return Op("hit", {"blocks": idle[:2]})
        elif op.name in ("new", "use", "other_policy", "other_releases") or (op.name == "evict" and self.offered):
            return op
        raise Illegal("is about blocks, and there are none for it.")

    def _sensible(self, op: Op, idle: list[int]) -> None:
        """Nothing may be asked that a cache would not ask."""
        value = op.args.get("blocks", op.args.get("block", []))
        blocks = value if isinstance(value, list) else [value]
        released, add, remove = (op.name == name for name in ("released", "add", "remove"))
        _no(op.name == "new" and hasattr(self, "policy"), "makes a second policy: have one only.")
        _no(op.name == "evict" and not self.offered, "asks for a victim, and no block may go then: add one first.")
        one = 'is released, which takes a list of blocks, such as ("released", [0]).'
        _no(released and not isinstance(value, list), one)
        odd = any(type(b) is not int or not 0 <= b < 16 for b in blocks)
        _no(odd, f"has the argument {show(value, 40)}; blocks are whole numbers from 0 to 15.")
        _no(len(set(blocks)) < len(blocks), "names a block twice: a block is let go of once.")
        both = sorted(set(self.offered).intersection(blocks)) if blocks else []
        may_go = "may be evicted then, so nobody holds it: remove it first, as a hit does."
        _no(released and both, f"releases block {min(both, default=0)}, which {may_go}")
        _no(add and both, f"adds block {value}, which was added before: remove it first.")
        _no(add and value not in idle, f"adds block {value}, which was never let go of: release it first.")
        _no(remove and not both, f"removes block {value}, which is not among those that may go: add it first.")


def _no(wrong: object, why: str) -> None:
    if wrong:
        raise Illegal(why)


class Lru(Specification):
    """LRU, told of events and asked for victims."""

    exercise = "LRU"
    referee = LruReferee
    prelude = PRELUDE
    rules = rules_from(
        """
        a-victim-may-go: evict() names a block that was added and since then neither removed nor evicted.
            ? Which blocks does your evict choose from? Follow one through add, remove and evict.
            new num_blocks=4; released 2; add 2; evict
            new num_blocks=4; released 0; add 0; released 1; add 1; remove 0; evict
            new num_blocks=4; released 0; released 1; add 1; evict
            new num_blocks=4; released 0; add 0; evict; released 1; add 1; evict
            new num_blocks=4; released 3; add 3; remove 3; released 1; add 1; released 3; add 3; remove 3; evict
            new num_blocks=4; stored [0,1,2] 0; released 2 1 0; add 2; evict; add 1; evict; add 0; evict
            new num_blocks=4; released 1 0; add 1; remove 1; hit 0 1; released 1 0; add 1; evict; add 0; evict
            new num_blocks=4; released 0; add 0; remove 0; released 1 0; add 1; evict
        longest-unheld-first: Of the blocks that may go, the one let go of longest ago goes first.
            ? Two blocks may go. What do you compare of them, and is the smaller or the larger one the older?
            new num_blocks=4; released 3; add 3; released 0; add 0; evict; evict
            new num_blocks=4; released 0; add 0; released 3; add 3; released 1; add 1; evict; evict; evict
            new num_blocks=4; released 2; add 2; evict; released 1; add 1; stored [2] 0; released 2; add 2; evict; evict
            new num_blocks=14; released 13; add 13; released 2; add 2; released 10; add 10; released 1; add 1; evict; \
              evict; evict; evict
            new num_blocks=16; use 0; use 7; use 2; use 9; use 4; use 11; use 6; use 1; use 8; use 3; use 10; use 5; \
              use 11; use 6; use 1; use 8; use 3; use 10; use 5; use 0; use 7; use 2; use 9; use 4; use 10; use 5; use \
              0; use 7; use 2; use 9; use 4; use 11; use 6; use 1; use 8; use 3; 12 x evict
            new; use 3000; 255 x released 70; add 70; evict
            new num_blocks=1300; released 0..1199; add 5; use 1200; use 1201; evict
        released-not-added: What counts is when a block was let go of, not when it was added.
            ? A parent is added when its last child has gone. When was it used last: then, or before?
            new num_blocks=4; released 0; released 1; add 1; add 0; evict
            new num_blocks=6; released 2 1 0; add 2; released 4 3; add 4; evict; add 1; evict; add 0; evict; evict
            new num_blocks=4; released 0; add 0; released 1; add 1; remove 0; add 0; evict
        a-new-use-makes-young: A block that was used and let go of again counts from the last time.
            ? What does your policy still know of a block from the time before it was hit?
            new num_blocks=4; released 0; add 0; released 1; add 1; remove 0; hit 0; released 0; add 0; evict; evict
            new num_blocks=4; released 0; released 1; released 0; add 0; add 1; evict
            new num_blocks=4; released 1; released 0; released 1; released 0; add 1; add 0; evict
            new num_blocks=4; released 0; released 1; released 1; released 0; add 0; add 1; evict
            new num_blocks=4; released 1; released 2; released 3 1; add 1; add 2; evict
            new num_blocks=4; released 1; released 2; released 1 3; add 1; add 2; evict
            new num_blocks=6; released 0; add 0; released 1; add 1; released 2; add 2; remove 0; released 0; add 0; \
              remove 1; released 1; add 1; evict; evict; evict
        policies-are-separate: Two policies share nothing.
            ? Where are your dictionaries made: once for each policy, or once for all?
            new num_blocks=4; released 0; add 0; other_policy; evict
            new num_blocks=4; released 0; add 0; released 1; add 1; other_releases 2 3 0; evict
        """
    )
    hints = (
        "Two questions are asked of a block: may it go, and when was it let go of? Which call answers which?",
        "Whenever evict is called, two things are known: which blocks may go at this moment, and for each of them when "
        "it was let go of for the last time, also if that was long before it was added.",
        "block = min(self.may_go, key=____)\nself.may_go.____(block)\nreturn block",
    )
    search = {"num_blocks": (2, 6), "blocks": lambda draw: draw.sample(range(6), draw.randint(1, 3)), "block": (0, 5)}
    drawn = ("new", "released", "add", "remove", "evict")


class BeladyVictim(FunctionSpecification):
    """Which content goes, if one knows the future."""

    exercise = "belady_victim"
    rules = rules_from(
        """
        a-cached-one: The answer is one of the contents that are cached.
            ? Can something be evicted that is not in the cache?
            {"A":0,"B":1} A B X Y Z
            {"A":0,"B":1} B X A
        wanted-last-goes-first: Of contents that are asked for again, the one whose turn comes last goes.
            ? Which of the contents could be away for longest without being missed?
            {"A":0,"B":0,"C":0} B A C
            {"C":0,"A":0,"B":0} C A D B
            {"A":3,"B":1} A B
            {"A":0} A
        the-next-use-counts: What counts is when a content is asked for next, not how often or when last.
            ? A content stands in the future several times. Which of these places costs the first miss?
            {"A":0,"B":0} A B A
            {"A":0,"B":0,"C":0} A B B B C A
            {"A":0,"B":0,"C":0} C A C B C C A
        never-wanted-goes-before: What is never asked for again goes before everything that is.
            ? At which place of the future does a content stand that is never asked for again?
            {"A":0,"B":1,"C":2} A C
            {"A":0,"B":0,"C":9} C B C B C B
            {"B":0}
            {"A":0,"B":0} many-X A
            {"system":0,"sys":0} X system
        of-those-the-deepest: Of contents that are never asked for again, the deepest in its prompt goes; of several \
          as deep, the first in `cached`.
            ? If the front of a prompt goes and its end stays, who can still find the end?
            {"A":1,"B":2,"C":0}
            {"A":3,"B":7,"C":8,"D":5} C X
            {"D":1,"A":1,"B":0} X
            {"A":1,"D":1,"B":0} B B
        """.replace("many-X", "X " * 1200)
    )
    hints = (
        "For each cached content: at which place of the future does it stand for the first time?",
        "Whatever stays is asked for before the victim is, if both are; and where neither is, it lies no deeper.",
        "return max(cached, key=lambda key: (____(key), cached[key]))",
    )
    search = {
        "cached": lambda draw: {name: draw.randint(0, 3) for name in draw.sample("ABCDE", draw.randint(1, 4))},
        "future": ["ABCDEX", 8],
    }

    def rule_for(self, cached: dict[str, int], future: list[str]) -> str:
        unwanted = [key for key in cached if key not in future]
        if len(unwanted) > 1:
            return "of-those-the-deepest"
        return "never-wanted-goes-before" if unwanted else "wanted-last-goes-first"

    def blame(self, rule: str, seen: Any, expected: Any, cached: dict[str, int], future: list[str]) -> str:
        if not isinstance(seen, str) or seen not in cached:
            return "a-cached-one"
        if expected not in future:
            return "never-wanted-goes-before" if seen in future else "of-those-the-deepest"
        last = {key: len(future) - 1 - future[::-1].index(key) for key in cached}
        counted = {key: future.count(key) for key in cached}
        by_last, by_count = max(last, key=last.__getitem__), min(counted, key=counted.__getitem__)
        if seen in (by_last, by_count) and len(future) > len(set(future)):
            return "the-next-use-counts"
        return "wanted-last-goes-first"

    def cause(self, rule: str, seen: Any, expected: Any, cached: dict[str, int], future: list[str]) -> str:
        if rule == "a-cached-one":
            return f"{show(seen, 40)} is not in the cache, which holds {', '.join(cached)}: only what is there can go."
        at, seen_at = (future.index(key) + 1 if key in future else NEVER for key in (expected, seen))
        if rule == "of-those-the-deepest":
            if cached[expected] > cached[seen]:
                return (
                    f"Neither {expected} nor {seen} is asked for again. {seen} lies at depth {cached[seen]}, "
                    f"{expected} at {cached[expected]}, and what lies deeper goes first: it is not found without what "
                    "lies above it."
                )
            return f"{expected} and {seen} are alike in everything; the one that stands first in cached goes."
        when = "never" if at == NEVER else f"as request {at} from now"
        return (
            f"{seen} is asked for as request {seen_at} from now, {expected} {when}: evicting {seen} costs a miss "
            f"sooner."
        )


class MyPolicyReferee(PolicyReferee):
    """A real cache asks; any order of eviction is right, as long as every victim may go."""

    def do_new(self, num_blocks: int) -> None:
        from labkit.engine import prefix_cache

        self.made_with = (num_blocks,)
        super().do_new(num_blocks)
        told = {name: getattr(self, f"do_{name}") for name in ("stored", "hit", "released", "add", "remove", "evict")}
        self.cache = prefix_cache(num_blocks, BLOCK_ID_BYTES, policy=SimpleNamespace(**told), yours=False)
        self.running: list[tuple[Any, list[int]]] = []

    def tell(self, name: str, *args: Any) -> None:
        super().tell(name, *(arg if isinstance(arg, int) else [*arg] for arg in args))

    def do_begin(self, prompt: list[int]) -> None:
        """A request whose blocks have these contents takes its memory, if there is room."""
        tokens = block_id_bytes(prompt)
        hit = self.cache.lookup(tokens, b"", len(prompt))
        needed = len(prompt) - len(hit)
        if needed > self.cache.num_free - self.cache.num_unheld(hit):
            return
        place = self.cache.hold(hit)
        fresh = self.cache.allocate(needed) or []
        self.cache.register(place, tokens[BLOCK_ID_BYTES * len(hit) :], fresh)
        self.running.append((place, [*hit, *fresh]))

    def do_end(self, which: int) -> None:
        """The request that began as number `which` of those that run gives its memory back."""
        place, blocks = self.running.pop(which)
        self.cache.free(blocks[::-1])
        self.cache.leave(place)

    def do_request(self, prompt: list[int]) -> None:
        """A request begins and ends."""
        before = len(self.running)
        self.do_begin(prompt)
        if len(self.running) > before:
            self.do_end(before)

    def do_read(self) -> None:
        """The text itself: what it imports and names, and what it calls that may look at much or keep something."""
        rule, text = "works-with-what-it-is-told", _text_of(self.implementation)
        texts = {"": text, "your LRU": _text_of(self.namespace.get("LRU")) if names_lru(text) else ""}
        self.call(rule, "what it imports", lambda: None)
        self.steps[-1].seen = _calls(text)
        for whose, text in texts.items():
            found = reaches_beyond(text, whose)
            self.require(rule, not found, expected=Words("what a cache tells"), seen=Words("more"), cause=found)

    def do_replay(self, num_blocks: int, requests: int, prompts: int) -> None:
        """A longer trace through a whole cache."""
        trace = requests_of(zipf(requests, prompts, 0.9, blocks_per_prompt=2, seed=3))
        label = f"{requests:,} requests, {num_blocks:,} blocks"
        seen = self.measure(LAW, label, lambda make: cache_replay(trace, num_blocks, make))
        self.steps[-1].seen = f"{seen.hit_ratio:.1%} hits"

    def do_grow(self) -> None:
        """The same work at two sizes of the cache."""
        rule = "time-does-not-grow"
        seen = self.measure(rule, f"an eviction and a hit, {SMALL:,} and {LARGE:,} blocks", time_growth)
        times, due = Words(f"{seen.ratio:.1f} times as long"), Words(f"at most {SLOWER:g} times")
        self.require(rule, not seen.sentence, expected=due, seen=times, cause=seen.sentence)

    def do_remember(self, phase: str) -> None:
        """A long run of evictions, or of hits."""
        rule = "memory-is-bounded"
        seen = self.measure(rule, f"a long run of {phase}", lambda make: memory_growth(make, [phase]))
        kept = Words(f"{seen.first_bytes / 1000:,.0f} kB, then {seen.second_bytes / 1000:,.0f} kB")
        self.require(rule, not seen.sentence, expected=Words("as much as before"), seen=kept, cause=seen.sentence)

    def measure(self, rule: str, label: str, run: Callable[[Callable[[int], Any]], Any]) -> Any:
        """What a run of many calls shows; it comes to its end only where every victim could go."""
        seen = self.call(rule, label, lambda: run(self.implementation), raises=PolicyError)
        refused, lawful = isinstance(seen, PolicyError), Words("victims that may go")
        if not self.require(LAW, not refused, expected=lawful, seen=Words("refused"), cause=str(seen)):
            raise StopSequence
        return seen

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if op.name != "end" or not bend:
            return op
        if not self.running:
            raise Illegal("ends a request, and none runs.")
        return Op("end", {"which": op.args["which"] % len(self.running)})


def _text_of(cls: Any) -> str:
    """The text in which a learner's class was written; "" for a class of the course."""
    for value in vars(cls).values() if isinstance(cls, type) else ():
        if isinstance(value, FunctionType) and value.__code__.co_filename.startswith("<"):
            return "".join(linecache.getlines(value.__code__.co_filename))
    return ""


_FEW = ("super", "__init__", "len", "next", "iter", "get", "range", "enumerate")


def _calls(text: str) -> str:
    """What a text calls, where it loops, and what stands outside of its classes: by this, mistakes are told apart.

    What looks at a thing or two, however many there are, is left out: `_FEW`, `min(a, 3)`, `for block in blocks`.
    """
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module) and any(isinstance(line, ast.Assign) for line in node.body):
            found.add("a name outside of the class")
        elif isinstance(node, ast.For | ast.comprehension):
            over = {name.id for name in ast.walk(node.iter) if isinstance(name, ast.Name)}
            if "blocks" not in over:
                found.add("a loop")
        elif isinstance(node, ast.While):
            found.add("a loop")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name not in _FEW and (name not in ("min", "max") or len(node.args) == 1):
                found.add(name)
    return ", ".join(sorted(found))


class OwnPolicy(Specification):
    """Any policy that keeps the law, within bounds."""

    exercise = "MyPolicy"
    referee = MyPolicyReferee
    prelude = PRELUDE + "from labkit.mine import LRU\n"
    op_seconds = 4.0
    examples = 30
    steps = 15
    rules = rules_from(
        f"""
        works-with-what-it-is-told: A policy imports nothing that reaches beyond it, opens nothing, and raises nothing.
            ? What does your policy use that no cache has told it?
            new 8; read
        a-victim-may-go: evict() names a block that was added and since then neither removed nor evicted.
            ? Which blocks does your evict choose from? Follow one through add, remove and evict.
            new 2; request 1; request 2; request 3
            new 2; stored [0] 0; released 0; add 0; stored [1] 0; released 1; add 1; evict; evict
            new 2; stored [0] 0; released 0; add 0; stored [1] 0; released 1; add 1; remove 0; evict
            new 2; stored [0] 0; released 0; add 0; remove 0; add 0; stored [1] 0; released 1; add 1; evict; evict
            new 3; request 1 2; request 3; begin 1 2; begin 4; end 0; request 5 6
            new 4; request 1 2 3 4; request 1 2; request 5 6 7 8; request 9 8
            new 3; begin 1; begin 1 2; end 0; end 0; request 1; request 7 8 9; request 1 2 3
            new 4; request 0 0; request 1 1; request 2 2; request 0 3; request 1 4; request 2 5; request 0 6; request \
              1 7; request 2 8; request 0 9; request 1 10; request 2 11
            new 2; request 1; request 1; request 2; request 2; begin 1; request 3
            new 64; replay 64 900 400
        time-does-not-grow: At {LARGE // SMALL} times as many blocks an eviction and a hit take at most {SLOWER:g} \
          times as long.
            ? Which line of your evict looks at all blocks? A heap, or a dict kept in order, looks at a few.
            new {SMALL}; grow
        memory-is-bounded: What is kept does not grow with what has passed through the cache.
            ? What is put into your lists and dicts in each request, and what takes it out again?
            new 8; remember evictions
            new 8; remember hits
        policies-are-separate: Two policies share nothing.
            ? Where are your dictionaries made: once for each policy, or once for all?
            new 4; request 1 2; other_policy; request 3 4 5
        """
    )
    hints = (
        "What do you know of a block that will be wanted again: its hits, its age, its depth, its neighbours?",
        "Any order is right. Two things hold at every call: whatever evict names may go at that moment, and what is "
        "kept is at most a few things for each block of the cache, those included that a hit has made outdated.",
        "def add(self, block):\n    self.rank[block] = (____, self.last[block])\n"
        "    heapq.heappush(self.heap, (self.rank[block], block))",
    )
    search = {
        "num_blocks": (1, 6),
        "prompt": lambda draw: [draw.randint(0, 2) for _ in range(draw.randint(1, 4))],
        "which": (0, 3),
    }
    drawn = ("new", "request", "begin", "end")
    measured = ("grow", "remember")
    long = ("replay", *measured)

    def judge(self, judge: Any, namespace: Any, stored: list[Op]) -> Any:
        """As ever; what costs too much has nothing to do with the order of eviction, and any order is right.

        So a known mistake that costs too much is the learner's where its text calls the same and it costs as much.
        """
        verdict = super().judge(judge, namespace, stored)
        if verdict.rule in ("time-does-not-grow", "memory-is-bounded"):
            telling = {"read", *self.measured}
            judge.witnessed = [run for run in judge.witnessed if telling.intersection(op.name for op in run.ops)]
        return verdict


class BreakTheStaleEntry(BreakIt):
    """An LRU whose heap keeps an entry that a hit should have made worthless."""

    exercise = "break_stale_entry"
    base = Lru()
    most = 16
    hints = (
        "A block is hit: which entries of it are in the heap while it is in use, and which once it may go again?",
        "After remove and a second add, a block has two entries, and nothing tells the outdated one from the other.",
        '[("LRU",), ("released", [0, 1]), ("add", 0), ("add", 1), ____, ____, ____, ("evict",)]',
    )
    rules = (
        Rule(
            "the-right-one-survives",
            "A right LRU must keep every rule under your operations.",
            "Which of your calls would no cache make? Follow each block through released, add and remove.",
        ),
        Rule("the-wrong-one-falls", "The wrong LRU must break a rule under your operations."),
    )
    renamed = {"LRU": "new"}
    example = '("LRU",)'
    allowed = ("new", "released", "add", "remove", "evict")
    bug = "stale-entry"


LESSON = Lesson(
    key="09_eviction_tournament",
    title="Eviction tournament",
    part="I. Memory",
    minutes=70,
    builds="An eviction policy for the prefix cache, measured against seven others and one that knows the future.",
    symptom="A dashboard shows hundreds of evictions per second: one day that means nothing, the next day trouble.",
    exercises=(
        Exercise("LRU", "Least recently used", 12, 3, 5, Lru(), "labkit.cache.eviction:LRU",
                 slot="eviction", kind="class"),
        Exercise("belady_victim", "If one knew the future", 8, 2, 4, BeladyVictim(),
                 "labkit.cache.belady:belady_victim"),
        Exercise("break_stale_entry", "Break it: the entry that outlives a hit", 6, 3, 4, BreakTheStaleEntry(),
                 kind="break"),
        Exercise("MyPolicy", "A policy of your own", 15, 4, 3, OwnPolicy(), "labkit.cache.eviction_policies:SLRU",
                 kind="class", stretch=True),
    ),
    ending="I can tell a cache that evicts all day and is healthy from one that throws out what it will need: not by "
    "evictions, but by regret. And I know what no policy can mend, because it wants memory.",
)  # fmt: skip
