"""Lesson 09, the eviction tournament: its rules, witnesses and hints."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from labkit.cache.belady import NEVER, belady_victim
from labkit.errors import PolicyError
from labkit.grading.breakit import BreakIt
from labkit.grading.compare import whole
from labkit.grading.display import Words, show
from labkit.grading.functions import FunctionSpecification
from labkit.grading.specification import Op, Referee, Rule, Specification, Witness, op
from labkit.simulate.cache_replay import cache_replay
from labkit.simulate.hit_ratio import requests_of
from labkit.simulate.policy_worker import OPERATIONS, Host, Refused
from labkit.simulate.prefix_patterns import zipf
from labkit.specs import Exercise, Lesson

PRELUDE = "from labkit.cache.eviction import Policy\n"


class PolicyReferee(Referee):
    """Calls a policy as a cache does, and knows which blocks may go and when each was let go of."""

    def do_new(self, num_blocks: int = 16) -> None:
        self.num_blocks = num_blocks
        self.time = self.adds = 0
        self.released_at: dict[int, int] = {}  # of blocks that nobody holds
        self.first_released: dict[int, int] = {}  # when a block was let go of for the first time
        self.offered: dict[int, int] = {}  # blocks that may go, and when they were added
        self.removed: set[int] = set()
        self.evicted: set[int] = set()
        self.told_to_other: set[int] = set()  # blocks of this number that another policy was told of, later
        self.setup_text = f"a cache of {num_blocks} blocks"
        self.policy = self.make()

    def make(self, label: str = "") -> Any:
        """A new policy."""
        return self.call(self.law, label or f"{self.spec.target}()", self.implementation)

    law = "a-victim-may-go"

    def do_released(self, blocks: list[int]) -> None:
        self.time += 1
        self.tell("released", blocks)
        for block in blocks:
            self.released_at[block] = self.time
            self.first_released.setdefault(block, self.time)

    def do_add(self, block: int) -> None:
        self.tell("add", block)
        self.adds += 1
        self.offered[block] = self.adds
        self.removed.discard(block)
        self.evicted.discard(block)

    def do_remove(self, block: int) -> None:
        self.tell("remove", block)
        del self.offered[block]
        self.removed.add(block)

    def do_stored(self, blocks: list[int], depth: int) -> None:
        self.tell("stored", blocks, depth)
        for block in blocks:
            self.forget(block)

    def do_hit(self, blocks: list[int]) -> None:
        self.tell("hit", blocks)

    def do_evict(self) -> None:
        seen = self.call(self.law, "evict()", "evict", on=self.policy)
        self.judge_victim(seen)

    def do_other_policy(self) -> None:
        """A second policy, which is told of a block; the first must not notice."""
        rule = "policies-are-separate"
        if rule not in {r.name for r in self.spec.rules}:
            return
        other = self.call(rule, f"other = {self.spec.target}()", self.implementation)
        self.call(rule, "other.released([9])", "released", [9], on=other)
        self.call(rule, "other.add(9)", "add", 9, on=other)
        seen = self.call(rule, "other.evict()", "evict", on=other)
        self.require(rule, whole(seen) == 9, expected=9,
                     cause="The other policy was told of block 9 alone, so that is all it can evict.")

    def do_other_releases(self, blocks: list[int]) -> None:
        """A second policy is told of blocks with the same numbers, one after the other; they are not the first's."""
        rule = "policies-are-separate"
        other = self.call(rule, f"other = {self.spec.target}()", self.implementation)
        for block in blocks:
            self.call(rule, f"other.released([{block}])", "released", [block], on=other)
            self.told_to_other.add(block)

    def tell(self, name: str, *args: Any) -> None:
        label = f"{name}({', '.join(show(a, 60) for a in args)})"
        self.call(self.law, label, name, *args, on=self.policy)

    def forget(self, block: int) -> None:
        """It has another content now."""
        self.released_at.pop(block, None)

    def judge_victim(self, seen: Any) -> None:
        victim = whole(seen)
        blocks = " or ".join(map(str, sorted(self.offered)))
        if not self.require(self.law, victim is not None and type(seen) is not bool,
                            expected=Words(f"block {blocks}"), kind="wrong-type",
                            cause=f"evict returned {show(seen, 40)}: the answer is the number of a block."):
            return
        assert victim is not None
        if victim not in self.offered:
            if victim in self.evicted:
                why = "It was evicted before, and has not been added since: it is named a second time."
            elif victim in self.removed:
                why = "It was removed, because somebody uses it or something hangs from it, and was not added since."
            else:
                why = "It was never added."
            self.require(self.law, False, expected=Words(f"block {blocks}"),
                         cause=f"Block {victim} may not go. {why}")
            return
        if self.rank_victim(victim):
            del self.offered[victim]
            self.evicted.add(victim)
            self.forget(victim)

    def rank_victim(self, victim: int) -> bool:
        """Whether the victim is the right one of those that may go."""
        return True

    def resolve(self, op: Op) -> Op | None:
        args = op.args
        if op.name == "released":
            blocks = [b % self.num_blocks for b in args["blocks"]]
            blocks = [b for b in dict.fromkeys(blocks) if b not in self.offered]
            return Op("released", {"blocks": blocks}) if blocks else None
        if op.name in ("add", "remove"):
            free = [b for b in sorted(self.released_at) if b not in self.offered]
            blocks = free if op.name == "add" else sorted(self.offered)
            return Op(op.name, {"block": blocks[args["block"] % len(blocks)]}) if blocks else None
        if op.name == "evict":
            return op if self.offered else None
        if op.name == "hit":
            blocks = [b for b in sorted(self.released_at) if b not in self.offered]
            return Op("hit", {"blocks": blocks[:2]}) if blocks else None
        if op.name == "stored":
            return None  # only where a witness says so: a content that is replaced was evicted before
        return op


class LruReferee(PolicyReferee):
    """The victim has to be the one that was let go of longest ago."""

    def rank_victim(self, victim: int) -> bool:
        oldest = min(self.released_at[b] for b in self.offered)
        if self.released_at[victim] == oldest:
            return True
        right = [b for b in self.offered if self.released_at[b] == oldest]
        rule = "longest-unheld-first"
        why = f"Block {right[0]} has been held by nobody for longer than block {victim}."
        if self.first_released[victim] < self.released_at[victim] and self.first_released[victim] <= oldest:
            rule = "a-new-use-makes-young"
            why = (f"Block {victim} was let go of first, but has been in use again since: it was let go of after block "
                   f"{right[0]}.")
        elif self.offered[victim] < self.offered[right[0]]:
            rule = "released-not-added"
            why = (f"Block {victim} was added before block {right[0]}, but let go of after it. Being added says only "
                   "that a block may go now, not that somebody used it.")
        if self.told_to_other.intersection(right):
            rule = "policies-are-separate"
            why = (f"Block {right[0]} has been held by nobody for longer than block {victim}. What the other policy "
                   f"was told of its own block {right[0]} is no business of this one.")
        expected = right[0] if len(right) == 1 else Words(" or ".join(map(str, right)))
        self.require(rule, False, expected=expected, cause=why)
        return False


def _long_life() -> list[Op]:
    """Twelve blocks that come and go in an order of their own, hit here and there; then all of them are evicted."""
    ops: list[Op] = []
    blocks = [(7 * n) % 12 for n in range(12)]
    for turn in range(3):
        for block in blocks:
            if turn:
                ops.append(op("remove", block=block))
            ops += [op("released", blocks=[block]), op("add", block=block)]
        blocks = blocks[5:] + blocks[:5]
    return ops + [op("evict")] * 12


class Lru(Specification):
    """LRU, told of events and asked for victims."""

    exercise = "LRU"
    referee = LruReferee
    prelude = PRELUDE
    rules = (
        Rule("a-victim-may-go", "evict() names a block that was added and since then neither removed nor evicted."),
        Rule("longest-unheld-first", "Of the blocks that may go, the one let go of longest ago goes first."),
        Rule("released-not-added", "What counts is when a block was let go of, not when it was added."),
        Rule("a-new-use-makes-young", "A block that was used and let go of again counts from the last time."),
        Rule("policies-are-separate", "Two policies share nothing."),
    )
    witnesses = (
        Witness("a-victim-may-go", op("new", num_blocks=4), op("released", blocks=[2]), op("add", block=2),
                op("evict")),
        Witness("a-victim-may-go", op("new", num_blocks=4), op("released", blocks=[0]), op("add", block=0),
                op("released", blocks=[1]), op("add", block=1), op("remove", block=0), op("evict")),
        Witness("a-victim-may-go", op("new", num_blocks=4), op("released", blocks=[0]), op("released", blocks=[1]),
                op("add", block=1), op("evict")),
        Witness("a-victim-may-go", op("new", num_blocks=4), op("released", blocks=[0]), op("add", block=0), op("evict"),
                op("released", blocks=[1]), op("add", block=1), op("evict")),
        Witness("a-victim-may-go", op("new", num_blocks=4), op("released", blocks=[3]), op("add", block=3),
                op("remove", block=3), op("released", blocks=[1]), op("add", block=1), op("released", blocks=[3]),
                op("add", block=3), op("remove", block=3), op("evict")),
        Witness("a-victim-may-go", op("new", num_blocks=4), op("stored", blocks=[0, 1, 2], depth=0),
                op("released", blocks=[2, 1, 0]), op("add", block=2), op("evict"), op("add", block=1), op("evict"),
                op("add", block=0), op("evict")),
        Witness("a-victim-may-go", op("new", num_blocks=4), op("released", blocks=[1, 0]), op("add", block=1),
                op("remove", block=1), op("hit", blocks=[0, 1]), op("released", blocks=[1, 0]), op("add", block=1),
                op("evict"), op("add", block=0), op("evict")),
        Witness("released-not-added", op("new", num_blocks=4), op("released", blocks=[0]), op("released", blocks=[1]),
                op("add", block=1), op("add", block=0), op("evict")),
        Witness("released-not-added", op("new", num_blocks=6), op("released", blocks=[2, 1, 0]), op("add", block=2),
                op("released", blocks=[4, 3]), op("add", block=4), op("evict"), op("add", block=1), op("evict"),
                op("add", block=0), op("evict"), op("evict")),
        Witness("released-not-added", op("new", num_blocks=4), op("released", blocks=[0]), op("add", block=0),
                op("released", blocks=[1]), op("add", block=1), op("remove", block=0), op("add", block=0), op("evict")),
        Witness("a-new-use-makes-young", op("new", num_blocks=4), op("released", blocks=[0]), op("add", block=0),
                op("released", blocks=[1]), op("add", block=1), op("remove", block=0), op("hit", blocks=[0]),
                op("released", blocks=[0]), op("add", block=0), op("evict"), op("evict")),
        Witness("a-new-use-makes-young", op("new", num_blocks=4), op("released", blocks=[0]),
                op("released", blocks=[1]), op("released", blocks=[0]), op("add", block=0), op("add", block=1),
                op("evict")),
        Witness("a-new-use-makes-young", op("new", num_blocks=6), op("released", blocks=[0]), op("add", block=0),
                op("released", blocks=[1]), op("add", block=1), op("released", blocks=[2]), op("add", block=2),
                op("remove", block=0), op("released", blocks=[0]), op("add", block=0), op("remove", block=1),
                op("released", blocks=[1]), op("add", block=1), op("evict"), op("evict"), op("evict")),
        Witness("longest-unheld-first", op("new", num_blocks=4), op("released", blocks=[3]), op("add", block=3),
                op("released", blocks=[0]), op("add", block=0), op("evict"), op("evict")),
        Witness("longest-unheld-first", op("new", num_blocks=4), op("released", blocks=[0]), op("add", block=0),
                op("released", blocks=[3]), op("add", block=3), op("released", blocks=[1]), op("add", block=1),
                op("evict"), op("evict"), op("evict")),
        Witness("longest-unheld-first", op("new", num_blocks=4), op("released", blocks=[2]), op("add", block=2),
                op("evict"), op("released", blocks=[1]), op("add", block=1), op("stored", blocks=[2], depth=0),
                op("released", blocks=[2]), op("add", block=2), op("evict"), op("evict")),
        Witness("longest-unheld-first", op("new", num_blocks=14), op("released", blocks=[13]), op("add", block=13),
                op("released", blocks=[2]), op("add", block=2), op("released", blocks=[10]), op("add", block=10),
                op("released", blocks=[1]), op("add", block=1), op("evict"), op("evict"), op("evict"), op("evict")),
        Witness("longest-unheld-first", op("new", num_blocks=16), *_long_life()),
        Witness("policies-are-separate", op("new", num_blocks=4), op("released", blocks=[0]), op("add", block=0),
                op("other_policy"), op("evict")),
        Witness("policies-are-separate", op("new", num_blocks=4), op("released", blocks=[0]), op("add", block=0),
                op("released", blocks=[1]), op("add", block=1), op("other_releases", blocks=[2, 3, 0]), op("evict")),
    )
    rule_hints = {
        "a-victim-may-go": "Which blocks does your evict choose from? Follow one through add, remove and evict.",
        "released-not-added": "A parent is added when its last child has gone. When was it used last: then, or before?",
        "a-new-use-makes-young": "What does your policy still know of a block from the time before it was hit?",
        "policies-are-separate": "Where are your dictionaries made: once for each policy, or once for all?",
    }
    hints = (
        "Two questions are asked of a block: may it go, and when was it let go of? Which call answers which?",
        "The victim has the smallest time of release among the blocks that were added and not removed since.",
        "block = min(self.may_go, key=____)\nself.may_go.____(block)\nreturn block",
    )

    def setup(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"num_blocks": st.integers(2, 6)}

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        from hypothesis import strategies as st

        block = st.integers(0, 5)
        return {
            "released": {"blocks": st.lists(block, min_size=1, max_size=3, unique=True)},
            "add": {"block": block},
            "remove": {"block": block},
            "evict": {},
        }


class BeladyVictim(FunctionSpecification):
    """Which content goes, if one knows the future."""

    exercise = "belady_victim"
    rules = (
        Rule("a-cached-one", "The answer is one of the contents that are cached."),
        Rule("wanted-last-goes-first", "Of contents that are asked for again, the one whose turn comes last goes."),
        Rule("the-next-use-counts", "What counts is when a content is asked for next, not how often or when last."),
        Rule("never-wanted-goes-before", "What is never asked for again goes before everything that is."),
        Rule("of-those-the-deepest", "Of contents that are never asked for again, the deepest in its prompt goes; of "
                                     "several as deep, the first in `cached`."),
    )
    witnesses = (
        Witness("wanted-last-goes-first", op("call", cached={"A": 0, "B": 0, "C": 0}, future=["B", "A", "C"])),
        Witness("wanted-last-goes-first", op("call", cached={"C": 0, "A": 0, "B": 0}, future=["C", "A", "D", "B"])),
        Witness("wanted-last-goes-first", op("call", cached={"A": 3, "B": 1}, future=["A", "B"])),
        Witness("wanted-last-goes-first", op("call", cached={"A": 0}, future=["A"])),
        Witness("a-cached-one", op("call", cached={"A": 0, "B": 1}, future=["A", "B", "X", "Y", "Z"])),
        Witness("a-cached-one", op("call", cached={"A": 0, "B": 1}, future=["B", "X", "A"])),
        Witness("never-wanted-goes-before", op("call", cached={"A": 0, "B": 1, "C": 2}, future=["A", "C"])),
        Witness("never-wanted-goes-before", op("call", cached={"A": 0, "B": 0, "C": 9}, future=["C", "B"] * 3)),
        Witness("never-wanted-goes-before", op("call", cached={"B": 0}, future=[])),
        Witness("never-wanted-goes-before", op("call", cached={"A": 0, "B": 0}, future=["X"] * 200 + ["A"])),
        Witness("never-wanted-goes-before", op("call", cached={"system": 0, "sys": 0}, future=["X", "system"])),
        Witness("the-next-use-counts", op("call", cached={"A": 0, "B": 0}, future=["A", "B", "A"])),
        Witness("the-next-use-counts", op("call", cached={"A": 0, "B": 0, "C": 0},
                                          future=["A", "B", "B", "B", "C", "A"])),
        Witness("the-next-use-counts", op("call", cached={"A": 0, "B": 0, "C": 0},
                                          future=["C", "A", "C", "B", "C", "C", "A"])),
        Witness("of-those-the-deepest", op("call", cached={"A": 1, "B": 2, "C": 0}, future=[])),
        Witness("of-those-the-deepest", op("call", cached={"A": 3, "B": 7, "C": 8, "D": 5}, future=["C", "X"])),
        Witness("of-those-the-deepest", op("call", cached={"D": 1, "A": 1, "B": 0}, future=["X"])),
        Witness("of-those-the-deepest", op("call", cached={"A": 1, "D": 1, "B": 0}, future=["B", "B"])),
    )
    rule_hints = {
        "never-wanted-goes-before": "At which place of the future does a content stand that is never asked for again?",
        "of-those-the-deepest": "If the front of a prompt goes and its end stays, who can still find the end?",
        "a-cached-one": "Can something be evicted that is not in the cache?",
    }
    hints = (
        "For each cached content: at which place of the future does it stand for the first time?",
        "The victim has the largest (place of its next use, depth), where never is larger than every place.",
        "return max(cached, key=lambda key: (____(key), cached[key]))",
    )

    def oracle(self, cached: dict[str, int], future: list[str]) -> str:
        return belady_victim(cached, future)

    def arguments(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {
            "cached": st.dictionaries(st.sampled_from("ABCDE"), st.integers(0, 3), min_size=1, max_size=4),
            "future": st.lists(st.sampled_from("ABCDEX"), max_size=8),
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
                return (f"Neither {expected} nor {seen} is asked for again. {seen} lies at depth {cached[seen]}, "
                        f"{expected} at {cached[expected]}: without what is above it, it could not be found.")
            return f"{expected} and {seen} are alike in everything; the one that stands first in cached goes."
        when = "never" if at == NEVER else f"as request {at} from now"
        return (f"{seen} is asked for as request {seen_at} from now, {expected} {when}: evicting {seen} costs a miss "
                f"sooner.")


class MyPolicyReferee(PolicyReferee):
    """A real cache asks; any order of eviction is right, as long as every victim may go."""

    def make(self, label: str = "") -> Any:
        return self.call(self.law, f"{self.spec.target}({self.num_blocks})", self.implementation, self.num_blocks)

    def do_new(self, num_blocks: int) -> None:
        from labkit.cache.block_pool import BlockPool
        from labkit.cache.hash_prefix_cache import HashPrefixCache
        from labkit.cache.ref_counts import RefCounts
        from labkit.cache.tokens import BLOCK_ID_BYTES

        super().do_new(num_blocks)
        self.refs = RefCounts(BlockPool(num_blocks))
        self.cache = HashPrefixCache(self.refs, BLOCK_ID_BYTES, _Told(self))
        self.running: list[tuple[Any, list[int]]] = []

    def do_begin(self, prompt: list[int]) -> None:
        """A request whose blocks have these contents takes its memory, if there is room."""
        from labkit.cache.tokens import block_id_bytes

        chain = self.cache.chain(block_id_bytes(prompt))
        hit = self.cache.lookup(chain, len(prompt))
        needed = len(prompt) - len(hit)
        if needed > self.refs.num_free + self.cache.num_evictable - self.cache.num_unheld(hit):
            return
        self.cache.hold(chain, hit)
        if needed > self.refs.num_free:
            self.cache.evict(needed - self.refs.num_free)
        blocks = hit + (self.refs.allocate(needed) or [])
        self.cache.register(chain, blocks, len(blocks))
        self.running.append((chain, blocks))

    def do_end(self, which: int) -> None:
        """The request that began as number `which` of those that run gives its memory back."""
        chain, blocks = self.running.pop(which)
        self.cache.release(chain, blocks)

    def do_request(self, prompt: list[int]) -> None:
        """A request begins and ends."""
        before = len(self.running)
        self.do_begin(prompt)
        if len(self.running) > before:
            self.do_end(before)

    def do_replay(self, num_blocks: int, requests: int, prompts: int) -> None:
        """A longer trace, with every operation counted."""
        rule = "operations-are-bounded"
        text = _text_of(self.implementation)
        label = f"{requests:,} requests, {num_blocks:,} blocks"
        self.call(rule, label, lambda: None)
        if text is None:
            return  # one of the course's own parts
        trace = requests_of(zipf(requests, prompts, 0.2, blocks_per_prompt=1, seed=3))
        parts = {} if (own := _text_of(self.namespace.get("LRU"))) is None else {"LRU": own}
        hosts: list[Host] = []

        def make(blocks: int) -> _Hosted:
            hosts.append(Host(text, self.spec.target, blocks, self.spec.prelude, parts))
            return type(self.spec.target, (_Hosted,), {})(hosts[0])  # errors of the cache name its class

        try:
            outcome = cache_replay(trace, num_blocks, make)
            account = hosts[0].account()
        except Refused as refused:
            if refused.rule == "unwritten":
                self.require(rule, False, expected=Words("an answer"), seen=Words("not written yet"),
                             kind="not-written", cause=str(refused))
                return
            rule = {"operations": rule, "state": "memory-is-bounded", "victim": self.law}.get(refused.rule,
                                                                                            "works-with-what-it-is-told")
            cause = str(refused)
            if "has no attribute" in cause and "LRU" in text:
                cause += (" If it is something that your own LRU keeps: a check begins with the course's LRU, which "
                          "keeps other things. Only the five calls and evict are the same.")
            self.require(rule, False, expected=Words("a policy that comes through"),
                         seen=Words(f"refused: {refused.short}" if refused.short else "refused"), cause=cause)
            return
        except PolicyError as error:
            self.require(self.law, False, expected=Words("victims that may go"), seen=Words("refused"),
                         cause=str(error))
            return
        self.steps[-1].seen = f"{account['operations'] / account['told']:.0f} operations a block"
        self.note(f"{outcome.hit_ratio:.1%} hits")

    def do_other_policy(self) -> None:
        rule = "policies-are-separate"
        other = self.call(rule, f"other = {self.spec.target}(4)", self.implementation, 4)
        for name, *args in (("stored", [9], 0), ("released", [9]), ("add", 9)):
            self.call(rule, f"other.{name}({', '.join(map(str, args))})", name, *args, on=other)
        seen = self.call(rule, "other.evict()", "evict", on=other)
        self.require(rule, whole(seen) == 9, expected=9,
                     cause="The other policy was told of block 9 alone, so that is all it can evict.")

    def resolve(self, op: Op) -> Op | None:
        if op.name == "end":
            return Op("end", {"which": op.args["which"] % len(self.running)}) if self.running else None
        return op


class _Told:
    """The policy as the cache sees it: each call becomes a line of the report."""

    def __init__(self, referee: MyPolicyReferee) -> None:
        self.referee = referee

    def stored(self, blocks: Any, depth: int) -> None:
        self.referee.do_stored(list(blocks), depth)

    def hit(self, blocks: Any) -> None:
        self.referee.do_hit(list(blocks))

    def released(self, blocks: Any) -> None:
        self.referee.do_released(list(blocks))

    def add(self, block: int) -> None:
        self.referee.do_add(block)

    def remove(self, block: int) -> None:
        self.referee.do_remove(block)

    def evict(self) -> int:
        from labkit.grading.specification import StopSequence

        referee = self.referee
        seen = referee.call(referee.law, "evict()", "evict", on=referee.policy)
        referee.judge_victim(seen)
        if referee.failures:
            raise StopSequence
        return whole(seen) or 0


class _Hosted:
    """The policy under the tournament's rules, in this process."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def stored(self, blocks: Any, depth: int) -> None:
        self.host.tell("stored", list(blocks), depth)

    def hit(self, blocks: Any) -> None:
        self.host.tell("hit", list(blocks))

    def released(self, blocks: Any) -> None:
        self.host.tell("released", list(blocks))

    def add(self, block: int) -> None:
        self.host.tell("add", block)

    def remove(self, block: int) -> None:
        self.host.tell("remove", block)

    def evict(self) -> int:
        return self.host.victim()


def _text_of(cls: Any) -> str | None:
    """The text in which a learner's class was written; None for a class of the course."""
    for value in vars(cls).values() if isinstance(cls, type) else ():
        if isinstance(value, FunctionType) and value.__code__.co_filename.startswith("<"):
            return "".join(linecache.getlines(value.__code__.co_filename)) or None
    return None


class MyPolicySpecification(Specification):
    """Any policy that keeps the law, within bounds."""

    exercise = "MyPolicy"
    referee = MyPolicyReferee
    prelude = PRELUDE + "from labkit.mine import LRU\n"
    op_seconds = 4.0
    examples = 30
    steps = 15
    rules = (
        Rule("works-with-what-it-is-told", "A policy imports nothing that reaches beyond it, opens nothing, and raises "
                                           "nothing."),
        Rule("a-victim-may-go", "evict() names a block that was added and since then neither removed nor evicted."),
        Rule("operations-are-bounded", f"At most {OPERATIONS} operations, on the average, for each block that it is "
                                       "told of or asked for."),
        Rule("memory-is-bounded", "What is kept does not grow with what has passed through the cache."),
        Rule("policies-are-separate", "Two policies share nothing."),
    )
    witnesses = (
        Witness("a-victim-may-go", op("new", num_blocks=2), op("request", prompt=[1]), op("request", prompt=[2]),
                op("request", prompt=[3])),
        Witness("a-victim-may-go", op("new", num_blocks=3), op("request", prompt=[1, 2]), op("request", prompt=[3]),
                op("begin", prompt=[1, 2]), op("begin", prompt=[4]), op("end", which=0), op("request", prompt=[5, 6])),
        Witness("a-victim-may-go", op("new", num_blocks=4), op("request", prompt=[1, 2, 3, 4]),
                op("request", prompt=[1, 2]), op("request", prompt=[5, 6, 7, 8]), op("request", prompt=[9, 8])),
        Witness("a-victim-may-go", op("new", num_blocks=3), op("begin", prompt=[1]), op("begin", prompt=[1, 2]),
                op("end", which=0), op("end", which=0), op("request", prompt=[1]), op("request", prompt=[7, 8, 9]),
                op("request", prompt=[1, 2, 3])),
        Witness("a-victim-may-go", op("new", num_blocks=4), *(op("request", prompt=[n % 3, n]) for n in range(12))),
        Witness("operations-are-bounded", op("new", num_blocks=600), op("replay", num_blocks=600, requests=1800,
                                                                       prompts=9000)),
        Witness("memory-is-bounded", op("new", num_blocks=8), op("replay", num_blocks=8, requests=4000, prompts=10)),
        Witness("works-with-what-it-is-told", op("new", num_blocks=8), op("replay", num_blocks=8, requests=40,
                                                                         prompts=20)),
        Witness("policies-are-separate", op("new", num_blocks=4), op("request", prompt=[1, 2]), op("other_policy"),
                op("request", prompt=[3, 4, 5])),
    )
    rule_hints = {
        "operations-are-bounded": "Which line of your evict looks at all blocks? A heap, or a dict kept in order, "
                                  "looks at a few.",
        "memory-is-bounded": "What is put into your lists and dicts in each request, and what takes it out again?",
        "works-with-what-it-is-told": "What does your policy use that no cache has told it?",
    }
    hints = (
        "What do you know of a block that will be wanted again: its hits, its age, its depth, its neighbours?",
        "Any order is right as long as the victim may go. Keep a rank for each block that may, and a heap of them; an "
        "entry of the heap whose rank is no longer the block's is passed over.",
        "def add(self, block):\n    self.rank[block] = (____, self.last[block])\n"
        "    heapq.heappush(self.heap, (self.rank[block], block))",
    )

    def setup(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"num_blocks": st.integers(1, 6)}

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        from hypothesis import strategies as st

        prompt = st.lists(st.integers(0, 2), min_size=1, max_size=4)
        return {"request": {"prompt": prompt}, "begin": {"prompt": prompt}, "end": {"which": st.integers(0, 3)}}


class BreakTheStaleEntry(BreakIt):
    """An LRU whose heap keeps an entry that a hit should have made worthless."""

    exercise = "break_stale_entry"
    base = Lru()
    reference = "labkit.cache.eviction:LRU"
    most = 16
    bug = '''
import heapq

class LRU(Policy):
    def __init__(self):
        self.time = 0
        self.last = {}
        self.heap = []
        self.taken_back = set()

    def released(self, blocks):
        self.time += 1
        for block in blocks:
            self.last[block] = self.time

    def add(self, block):
        self.taken_back.discard(block)
        heapq.heappush(self.heap, (self.last[block], block))

    def remove(self, block):
        self.taken_back.add(block)

    def evict(self):
        while True:
            time, block = heapq.heappop(self.heap)
            if block not in self.taken_back:
                return block
'''
    shortest = (
        op("new"), op("released", blocks=[0, 1]), op("add", block=0), op("add", block=1), op("remove", block=0),
        op("released", blocks=[0]), op("add", block=0), op("evict"),
    )
    hints = (
        "A block is hit: which entries of it are in the heap while it is in use, and which once it may go again?",
        "After remove and a second add, a block has two entries, and nothing tells the outdated one from the other.",
        '[("LRU",), ("released", [0, 1]), ("add", 0), ("add", 1), ("remove", 0), ("____", [0]), ("add", ____), '
        '("evict",)]',
    )
    rules = (
        Rule("the-right-one-survives", "A right LRU must keep every rule under your operations."),
        Rule("the-wrong-one-falls", "The wrong LRU must break a rule under your operations."),
    )

    def parse(self, item: Any) -> Op:
        if isinstance(item, list | tuple) and item and item[0] == "LRU":
            item = ("new", *item[1:])
        return super().parse(item)

    def _names(self) -> list[str]:
        return ["new", "released", "add", "remove", "evict"]

    def _parameters(self, name: str) -> list[str]:
        return [] if name == "new" else super()._parameters(name)

    def names_shown(self) -> list[str]:
        return ["LRU", "released", "add", "remove", "evict"]

    @property
    def example(self) -> str:
        return '("released", [0])'

    def sense(self, ops: list[Op]) -> str:
        """Follow which blocks may go: nothing may be asked that a cache would not ask."""
        idle: dict[int, int] = {}  # nobody holds it, since then
        offered: set[int] = set()
        for i, step in enumerate(ops, 1):
            if (i == 1) != (step.name == "new"):
                return 'The list begins with ("LRU",), which makes the policy, and has it only once.'
            if step.name == "new":
                continue
            if step.name == "evict":
                if not offered:
                    return f"Operation {i} asks for a victim, and no block may go then: add one first."
                victim = min(offered, key=lambda b: (idle[b], b))
                offered.remove(victim)
                del idle[victim]
                continue
            value = step.args.get("blocks", step.args.get("block"))
            blocks = value if isinstance(value, list) else [value]
            if step.name == "released" and not isinstance(value, list):
                return f'Operation {i} is released, which takes a list of blocks, such as ("released", [0]).'
            if step.name != "released" and isinstance(value, list):
                return f'Operation {i} is {step.name}, which takes one block, such as ("{step.name}", 0).'
            if any(type(b) is not int or not 0 <= b < 16 for b in blocks):
                return f"Operation {i} has the argument {show(value, 40)}; blocks are whole numbers from 0 to 15."
            if step.name == "released":
                if len(set(blocks)) < len(blocks):
                    return f"Operation {i} names a block twice: a block is let go of once."
                if both := offered.intersection(blocks):
                    return (f"Operation {i} releases block {min(both)}, which may be evicted then, so nobody holds it: "
                            "remove it first, as a hit does.")
                idle |= dict.fromkeys(blocks, i)
            elif step.name == "add":
                if blocks[0] in offered:
                    return f"Operation {i} adds block {blocks[0]}, which was added before: remove it first."
                if blocks[0] not in idle:
                    return f"Operation {i} adds block {blocks[0]}, which was never let go of: release it first."
                offered.add(blocks[0])
            else:
                if blocks[0] not in offered:
                    return (f"Operation {i} removes block {blocks[0]}, which is not among those that may go: add it "
                            "first.")
                offered.discard(blocks[0])
        return ""


LESSON = Lesson(
    key="09_eviction_tournament",
    title="Eviction tournament",
    part="I. Memory",
    minutes=70,
    builds="An eviction policy for the prefix cache, measured against seven others and one that knows the future.",
    symptom="A dashboard shows hundreds of evictions a second: one day that means nothing, the next day trouble.",
    lights="eviction",
    exercises=(
        Exercise("LRU", "Least recently used", 12, 3, 5, Lru(), "labkit.cache.eviction:LRU", slot="eviction",
                 kind="class"),
        Exercise("belady_victim", "If one knew the future", 8, 2, 4, BeladyVictim(),
                 "labkit.cache.belady:belady_victim"),
        Exercise("break_stale_entry", "Break it: the entry that outlives a hit", 6, 3, 4, BreakTheStaleEntry(),
                 kind="break"),
        Exercise("MyPolicy", "A policy of your own", 15, 4, 3, MyPolicySpecification(),
                 "labkit.cache.eviction_policies:SLRU", kind="class", stretch=True),
    ),
)
