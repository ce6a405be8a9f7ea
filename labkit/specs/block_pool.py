"""Lesson 04, the block pool: its rules, witnesses and hints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.cache.block_pool import find_leak
from labkit.errors import BlockError, DoubleFreeError, ForeignBlockError
from labkit.grading.breakit import BreakIt
from labkit.grading.compare import Mismatch, whole
from labkit.grading.display import Words, show
from labkit.grading.functions import FunctionSpecification
from labkit.grading.specification import Op, Referee, Rule, Specification, Witness, op
from labkit.observe.events import Kind
from labkit.specs import Exercise, Lesson


class BlocksNeeded(FunctionSpecification):
    """How many blocks hold a number of tokens."""

    exercise = "blocks_needed"
    rules = (
        Rule("a-started-block-counts", "A block that holds at least one token is needed whole."),
        Rule("full-blocks-have-no-spare", "Where every token has its place, no further block is needed."),
        Rule("nothing-needs-nothing", "Zero tokens need zero blocks."),
    )
    witnesses = (
        Witness("a-started-block-counts", op("call", num_tokens=17, block_size=16)),
        Witness("a-started-block-counts", op("call", num_tokens=1, block_size=16)),
        Witness("a-started-block-counts", op("call", num_tokens=15, block_size=16)),
        Witness("a-started-block-counts", op("call", num_tokens=4096 * 3 + 1, block_size=4096)),
        Witness("a-started-block-counts", op("call", num_tokens=131_071, block_size=16)),
        Witness("full-blocks-have-no-spare", op("call", num_tokens=16, block_size=16)),
        Witness("full-blocks-have-no-spare", op("call", num_tokens=64, block_size=32)),
        Witness("full-blocks-have-no-spare", op("call", num_tokens=5, block_size=1)),
        Witness("full-blocks-have-no-spare", op("call", num_tokens=48, block_size=16)),
        Witness("full-blocks-have-no-spare", op("call", num_tokens=131_072, block_size=16)),
        Witness("nothing-needs-nothing", op("call", num_tokens=0, block_size=16)),
    )
    hints = (
        "How many blocks do 16 tokens need at 16 tokens a block? And 17?",
        "The answer is the smallest whole number n with n * block_size >= num_tokens.",
        "return (num_tokens + ____) // block_size",
    )

    def oracle(self, num_tokens: int, block_size: int) -> int:
        return -(-num_tokens // block_size)

    def arguments(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"num_tokens": st.integers(0, 10_000), "block_size": st.integers(1, 256)}

    def rule_for(self, num_tokens: int, block_size: int) -> str:
        if num_tokens == 0:
            return "nothing-needs-nothing"
        return "a-started-block-counts" if num_tokens % block_size else "full-blocks-have-no-spare"

    def blame(self, rule: str, seen: Any, expected: Any, num_tokens: int, block_size: int) -> str:
        if num_tokens == 0:
            return rule
        return "full-blocks-have-no-spare" if seen > expected else "a-started-block-counts"

    def cause(self, rule: str, seen: Any, expected: Any, num_tokens: int, block_size: int) -> str:
        seen = whole(seen)
        if seen < 0:
            return f"{seen} is no number of blocks."
        if num_tokens == 0:
            return f"There is no token to hold, and your {_count(seen)} would stay empty."
        if seen < expected:
            hold = "block holds" if seen == 1 else "blocks hold"
            return (f"{seen} {hold} {seen * block_size} tokens: {num_tokens - seen * block_size} of the "
                    f"{num_tokens} {'has' if num_tokens - seen * block_size == 1 else 'have'} no place.")
        hold = "1 block holds" if expected == 1 else f"{expected} blocks hold"
        tokens = "the one token" if num_tokens == 1 else f"all {num_tokens} tokens"
        return f"{hold} {tokens} already; {seen - expected} of your {seen} would stay empty."


class PoolReferee(Referee):
    """Follows a pool: which ids are held, and therefore how many must be free."""

    draws = True

    def do_new(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.held: list[int] = []
        self.given: list[tuple[list[Any], list[int]]] = []  # what allocate answered with, and what it said then
        self.owners: dict[int, str] = {}  # for the picture: a letter for each request that was served
        self.setup_text = f"a pool of {num_blocks}"
        self.log.meta.update(num_blocks=num_blocks, block_size=1)
        self.pool = self.call("counts-what-is-free", f"{self.spec.target}({num_blocks})", self.implementation,
                              num_blocks)
        self._check_size()

    def do_allocate(self, n: int) -> None:
        free = self.num_blocks - len(self.held)
        before = self.read("refused-means-unchanged", self.pool, "num_free") if n > free else None
        seen = self.call("all-or-nothing", f"allocate({n})", "allocate", n, on=self.pool)
        if n > free:
            if not self.require("all-or-nothing", seen is None, expected=Words("None"),
                                cause=f"Only {_blocks(free)} free; a request for {n} is refused whole."):
                return
            self.note(f"right: only {free} {'is' if free == 1 else 'are'} free")
            self.log.emit(Kind.REFUSE, arg=min(n, 2**31 - 1))
            after = self.read("refused-means-unchanged", self.pool, "num_free")
            if (was := whole(before)) is not None and (now := whole(after)) != was:
                lost = self._lost(now) if now is not None and now < was else []
                self.observe("refused-means-unchanged", "num_free", after, was,
                             _left(was - now, lost) if now is not None and now < was else
                             "A refused request must leave every block where it was.")
            return
        if not self.require("all-or-nothing", seen is not None, expected=Words(f"a list of {_ids(n)}"),
                            cause=f"{_blocks(free)} free, enough for {n}; the pool refused all the same."):
            return
        if not self.require("all-or-nothing", isinstance(seen, list | tuple), expected=Words(f"a list of {_ids(n)}"),
                            kind="wrong-type", cause="The answer to a request that fits is a list of block ids."):
            return
        answer = list(seen)
        if not self.require("all-or-nothing", len(answer) == n, expected=Words(f"a list of {_ids(n)}"),
                            cause=f"{_count(n)} {'was' if n == 1 else 'were'} asked for and {len(answer)} came."):
            return
        bad = [b for b in answer if (id := whole(b)) is None or not 0 <= id < self.num_blocks]
        if not self.require("ids-of-this-pool", not bad, expected=Words(f"ids from 0 to {self.num_blocks - 1}"),
                            cause=f"{show(bad[0]) if bad else ''} is not the id of a block of this pool."):
            return
        ids = [whole(b) or 0 for b in answer]
        held = set(self.held)
        twice = [b for i, b in enumerate(ids) if b in held or b in ids[:i]]
        letter = self._letter()
        for block in ids:
            self.log.emit(Kind.ALLOCATE, seq=letter, block=block)
        if not self.require("never-handed-out-twice", not twice, expected=Words("ids that nobody holds"),
                            cause=f"Block {twice[0] if twice else ''} now has two owners, which will overwrite each "
                                  "other's keys and values."):
            return
        self.owners.update(dict.fromkeys(ids, letter))
        self.held += ids
        if not self._check_given():
            return
        if isinstance(seen, list):
            self.given.append((seen, ids))
        self._check_size()

    def do_num_free(self) -> None:
        """Read num_free, as a line of its own."""
        seen = self.call("counts-what-is-free", "num_free", lambda: self.read("counts-what-is-free", self.pool,
                                                                             "num_free"))
        expected = self.num_blocks - len(self.held)
        self.require("counts-what-is-free", whole(seen) == expected, expected=expected,
                     kind="rule" if whole(seen) is not None else "wrong-type",
                     cause=f"{len(self.held)} of {self.num_blocks} blocks are held." if whole(seen) is not None else
                     "num_free is a count: a whole number.")

    def do_free(self, which: list[int]) -> None:
        freed = [self.held[i] for i in which]
        blocks = [int(str(b)) for b in freed]  # equal to the ids that came, but other objects: ids are numbers
        answer = self.call("freed-blocks-come-back", f"free({show(blocks, 60)})", "free", blocks, on=self.pool,
                           raises=BlockError)
        if not self.require("freed-blocks-come-back", not isinstance(answer, BlockError), expected=Words("an answer"),
                            cause=f"The caller holds all {len(freed)} blocks, each is named once, and the "
                                  f"call was refused with {type(answer).__name__}." if len(freed) > 1 else
                                  f"The caller holds block {freed[0]}, and the call was refused with "
                                  f"{type(answer).__name__}." if freed else
                                  f"Giving back no block is legal, and was refused with {type(answer).__name__}."):
            return
        gone = set(freed)
        self.held = [b for b in self.held if b not in gone]
        self.given = [(answer, ids) for answer, ids in self.given if not gone & set(ids)]
        for block in freed:
            self.log.emit(Kind.FREE, seq=self.owners.pop(block, None), block=block, arg=0)
        now = self.num_blocks - len(self.held)
        if not self.check_count(f"{_count(len(freed))} came back, so {now} of {self.num_blocks} are free now."
                                if freed else "Nothing was returned, so nothing changes.",
                                rule="freed-blocks-come-back"):
            return
        blocks.clear()
        if self.check_count("The pool kept the list that free was called with. Its owner has emptied it since, and the "
                            "blocks went with it.", rule="freed-blocks-come-back",
                            label="num_free, once the caller emptied its list"):
            self._check_given() and self._check_size()

    def do_other_pool(self, num_blocks: int) -> None:
        """Make a second pool and take everything in it; the first must not notice."""
        rule, cause = "pools-are-separate", "A second pool has blocks of its own; this one must not change."
        other = self.call(rule, f"other = {self.spec.target}({num_blocks})", self.implementation, num_blocks)
        if not self.check_count(cause, rule=rule):
            return
        if not self.observe(rule, "other.num_free", self.read(rule, other, "num_free"), num_blocks,
                            "A new pool has all its own blocks free, whatever another one has handed out."):
            return
        taken = self.call(rule, f"other.allocate({num_blocks})", "allocate", num_blocks, on=other)
        if not self.check_count(cause, rule=rule) or not isinstance(taken, list | tuple):
            return
        first = [id for id in map(whole, list(taken)[:1]) if id is not None]
        if first:
            self.call(rule, f"other.free({first})", "free", first, on=other)
            self.check_count(cause, rule=rule)

    def resolve(self, op: Op) -> Op | None:
        if op.name == "free":
            if not self.held:
                return None
            which = sorted({i % len(self.held) for i in op.args["which"]})
            return Op("free", {"which": which})
        return op

    def check_count(self, cause: str, rule: str, label: str = "num_free") -> bool:
        """num_free must be what the model says."""
        expected = self.num_blocks - len(self.held)
        return self.observe(rule, label, self.read(rule, self.pool, "num_free"), expected, cause)

    def _letter(self) -> str:
        """The next letter that owns no block now."""
        taken = set(self.owners.values())
        return next((x for x in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if x not in taken), "Z")

    def _lost(self, free: int) -> list[int]:
        """Which blocks are neither held nor free, for the picture: found by taking everything that is left."""
        try:
            rest = {whole(b) for b in self.pool.allocate(free)}
        except Exception:
            return []  # a pool this broken cannot be asked; the sentence then gives the number alone
        lost = [b for b in range(self.num_blocks) if b not in rest and b not in self.owners]
        for block in lost:
            self.log.emit(Kind.ALLOCATE, seq="lost", block=block)
        return lost

    def _check_size(self) -> bool:
        """num_blocks must be what the pool was made with."""
        return self.observe("counts-what-is-free", "num_blocks",
                            self.read("counts-what-is-free", self.pool, "num_blocks"), self.num_blocks,
                            f"The pool was made with {_count(self.num_blocks)}, and its size never changes.")

    def _check_given(self) -> bool:
        """Lists that were handed out belong to whoever asked; nothing may be written into them later."""
        for answer, ids in self.given:
            if not self.observe("never-handed-out-twice", f"the list that allocate({len(ids)}) gave", list(answer), ids,
                                "The pool wrote into a list that it had handed out before: whoever holds it now reads "
                                "other blocks than it was given."):
                return False
        return True


def _left(n: int, lost: list[int]) -> str:
    if len(lost) == n:
        ids = f"Block {lost[0]}" if n == 1 else "Blocks " + ", ".join(map(str, lost[:-1])) + f" and {lost[-1]}"
        return f"{ids} left the pool in a request that was refused, and nobody holds {'it' if n == 1 else 'them'}."
    if n == 1:
        return "One block left the pool in a request that was refused, and nobody holds it."
    return f"{n} blocks left the pool in a request that was refused, and nobody holds them."


def _count(n: int) -> str:
    return "1 block" if n == 1 else f"{n} blocks"


def _blocks(n: int) -> str:
    return "1 block is" if n == 1 else f"{n} blocks are"


def _named(blocks: list[int]) -> str:
    if len(blocks) == 1:
        return f"Block {blocks[0]} is"
    if len(blocks) > 6:
        return f"Blocks {blocks[0]}, {blocks[1]}, {blocks[2]} and {len(blocks) - 3} others are"
    return f"Blocks {', '.join(map(str, blocks[:-1]))} and {blocks[-1]} are"


def _ids(n: int) -> str:
    return "1 id" if n == 1 else f"{n} ids"


class Pool(Specification):
    """BlockPool: all-or-nothing allocation over a fixed set of blocks."""

    exercise = "BlockPool"
    referee = PoolReferee
    rules = (
        Rule("never-handed-out-twice", "A block that is held is never handed out again."),
        Rule("ids-of-this-pool", "Every id is a whole number from 0 to num_blocks - 1."),
        Rule("counts-what-is-free", "num_free is the number of blocks that nobody holds, num_blocks that of all."),
        Rule("refused-means-unchanged", "A request that is refused leaves the pool as it was."),
        Rule("all-or-nothing", "allocate(n) answers with exactly n ids, or None if fewer than n are free."),
        Rule("freed-blocks-come-back", "What is freed can be allocated again."),
        Rule("pools-are-separate", "Two pools share nothing."),
    )
    witnesses = (
        Witness("never-handed-out-twice", op("new", num_blocks=4), op("allocate", n=2), op("allocate", n=2)),
        Witness("never-handed-out-twice", op("new", num_blocks=4), op("allocate", n=3), op("free", which=[0]),
                op("allocate", n=1), op("allocate", n=1)),
        Witness("ids-of-this-pool", op("new", num_blocks=3), op("allocate", n=3)),
        Witness("refused-means-unchanged", op("new", num_blocks=4), op("allocate", n=3), op("allocate", n=2)),
        Witness("refused-means-unchanged", op("new", num_blocks=4), op("allocate", n=1), op("allocate", n=9),
                op("allocate", n=3)),
        Witness("all-or-nothing", op("new", num_blocks=4), op("allocate", n=4)),
        Witness("all-or-nothing", op("new", num_blocks=2), op("allocate", n=0), op("allocate", n=2),
                op("allocate", n=0), op("allocate", n=1)),
        Witness("all-or-nothing", op("new", num_blocks=0), op("allocate", n=1)),
        Witness("freed-blocks-come-back", op("new", num_blocks=3), op("allocate", n=3), op("free", which=[0, 1, 2]),
                op("allocate", n=3)),
        Witness("freed-blocks-come-back", op("new", num_blocks=4), op("allocate", n=2), op("free", which=[1]),
                op("allocate", n=3)),
        Witness("freed-blocks-come-back", op("new", num_blocks=4), op("allocate", n=4), op("free", which=[1, 2]),
                op("allocate", n=2)),
        Witness("freed-blocks-come-back", op("new", num_blocks=3), op("allocate", n=2), op("allocate", n=1),
                op("free", which=[1, 2]), op("free", which=[0]), op("allocate", n=3)),
        Witness("freed-blocks-come-back", op("new", num_blocks=300), op("allocate", n=300),
                op("free", which=list(range(300))), op("allocate", n=300)),
        Witness("never-handed-out-twice", op("new", num_blocks=4), op("allocate", n=4), op("free", which=[3, 1]),
                op("allocate", n=1), op("free", which=[2]), op("allocate", n=2)),
        Witness("never-handed-out-twice", op("new", num_blocks=7), op("allocate", n=2), op("allocate", n=3),
                op("free", which=[1]), op("allocate", n=1), op("free", which=[0, 3]), op("allocate", n=6),
                op("allocate", n=2), op("allocate", n=5), op("num_free"), op("allocate", n=2),
                op("free", which=[5, 2, 0]),
                op("allocate", n=4), op("allocate", n=3), op("free", which=[0, 1, 2, 3, 4, 5, 6]), op("allocate", n=7)),
        Witness("counts-what-is-free", op("new", num_blocks=5), op("num_free")),
        Witness("counts-what-is-free", op("new", num_blocks=5), op("allocate", n=2), op("num_free"),
                op("free", which=[1]), op("num_free")),
        Witness("pools-are-separate", op("new", num_blocks=3), op("other_pool", num_blocks=3),
                op("allocate", n=3)),
        Witness("pools-are-separate", op("new", num_blocks=3), op("allocate", n=1), op("other_pool", num_blocks=2),
                op("allocate", n=2)),
    )
    rule_hints = {
        "never-handed-out-twice": "After a block was handed out, where does your pool still know it as free? And after "
                                  "some came back, could it hand out one that did not?",
        "ids-of-this-pool": "Which number does the first block have, and which the last, in a pool of 4?",
        "counts-what-is-free": "What does num_free say before anything was allocated, and after 2 of 5 were?",
        "freed-blocks-come-back": "Follow one block through free: where does it stand afterwards, so that "
                                  "allocate finds it?",
        "pools-are-separate": "Where is the list of free blocks made: once for each pool, or once for all?",
        "all-or-nothing": "What does your allocate answer if n is 0, if n is just what is free, and if n is one more?",
    }
    hints = (
        "When a request cannot be met, which lines of your code have already run?",
        "At every moment the ids that are free and the ids that are held make up 0 .. num_blocks - 1, each id once.",
        "if n > ____:\n    return None\nreturn [self._free.____() for _ in range(n)]",
    )

    def setup(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"num_blocks": st.integers(0, 8)}

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        from hypothesis import strategies as st

        return {
            "allocate": {"n": st.integers(0, 5)},
            "free": {"which": st.lists(st.integers(0, 7), max_size=4)},
            "num_free": {},
            "other_pool": {"num_blocks": st.integers(0, 4)},
        }


class CheckedReferee(PoolReferee):
    """A pool whose `free` is also called wrongly: twice, for blocks it never had, for good and bad ones at once."""

    def do_free_again(self, block: int) -> None:
        """Free one block that is free: never handed out, or returned already."""
        block = self._free_block(block)
        self._refused([block], DoubleFreeError, "double-free-refused",
                      f"Block {block} was free already. Now it stands in the pool twice and will be given to two "
                      "sequences.")

    def do_free_twice_in_one_call(self, which: int, apart: bool = False) -> None:
        """Free one held block, named twice in the same call; with `apart`, all other held blocks stand between."""
        block = self.held[which]
        between = [b for b in self.held if b != block] if apart else []
        self._refused([block, *between, block], DoubleFreeError, "twice-in-one-call-refused",
                      f"Block {block} is named twice in one call; accepting it puts the block into the pool twice.")

    def do_free_foreign(self, block: int) -> None:
        """Free an id that no block of this pool has."""
        self._refused([block], ForeignBlockError, "foreign-block-refused", self._why_foreign(block))

    def do_free_good_and_bad(self, which: list[int], block: int) -> None:
        """Free held blocks and one foreign id in the same call, the good ones first."""
        blocks = [*(self.held[i] for i in which), block]
        self._refused(blocks, ForeignBlockError, "foreign-block-refused", self._why_foreign(block))

    def do_free_good_and_free(self, which: list[int], block: int) -> None:
        """Free held blocks and one that is free already in the same call, the good ones first."""
        block = self._free_block(block)
        self._refused([*(self.held[i] for i in which), block], DoubleFreeError, "double-free-refused",
                      f"Block {block} was free already, and stands in the pool twice now.")

    def _why_foreign(self, block: int) -> str:
        return (f"{block} is not the id of a block of this pool, which has 0 to {self.num_blocks - 1}; accepted, "
                "it would be handed out one day.")

    def _free_block(self, nth: int) -> int:
        free = [b for b in range(self.num_blocks) if b not in self.held]
        return free[nth % len(free)]

    def _refused(self, blocks: list[int], error: type[Exception], rule: str, cause: str) -> None:
        unchanged = "refused-free-changes-nothing"
        answer = self.call(rule, f"free({blocks})", "free", list(blocks), on=self.pool, raises=BlockError, due=error)
        if not isinstance(answer, error):
            if isinstance(answer, BlockError):
                cause = f"The call is refused, with {type(answer).__name__} where {error.__name__} is due."
            self.require(rule, False, expected=Words(f"raises {error.__name__}"), cause=cause)
            return
        self.note("right: refused")
        expected = self.num_blocks - len(self.held)
        after = self.read(unchanged, self.pool, "num_free")
        back = (whole(after) or 0) - expected
        if not self.observe(unchanged, "num_free", after, expected,
                            f"The call was refused, and {_count(back)} of it went back to the pool all the same."
                            if 0 < back < len(blocks) else
                            "The call was refused, and yet the pool counts other free blocks than before."):
            return
        self._still_held()

    def _still_held(self) -> None:
        """Everything that is free can be taken and given back; none of it may be a block that is still held."""
        unchanged, legal = "refused-free-changes-nothing", "legal-calls-still-work"
        free = self.num_blocks - len(self.held)
        if not self.held:
            return
        if free and not self._take_and_return(free):
            return
        answer = self.call(unchanged, f"free({self.held})", "free", list(self.held), on=self.pool, raises=BlockError)
        if not self.require(unchanged, not isinstance(answer, BlockError), expected=Words("an answer"),
                            cause="The refused call returned nothing, so these blocks are still held; the pool has "
                                  "forgotten it."):
            return
        again = self.call(legal, f"allocate({len(self.held)})", "allocate", len(self.held), on=self.pool)
        if self.require(legal, isinstance(again, list | tuple) and len(again) == len(self.held),
                        expected=Words(f"a list of {_ids(len(self.held))}"),
                        cause="What was just given back cannot be taken again."):
            self.held = [whole(b) or 0 for b in again]
            self.given = []

    def _take_and_return(self, free: int) -> bool:
        """Whether everything that is free can be taken, holds nothing that is held, and can be given back."""
        unchanged, legal = "refused-free-changes-nothing", "legal-calls-still-work"
        taken = self.call(unchanged, f"allocate({free})", "allocate", free, on=self.pool)
        if not self.require(legal, isinstance(taken, list | tuple), expected=Words("a list of ids"),
                            cause=f"{_blocks(free)} free, and allocate({free}) does not answer with a list."):
            return False
        ids = [whole(b) for b in taken]
        if not self.require(unchanged, len(ids) == free and not set(ids) & set(self.held),
                            expected=Words("only blocks that are free"),
                            cause="After a call that was refused, a block that is still held was handed out."):
            return False
        self.call(legal, f"free({ids})", "free", list(ids), on=self.pool)
        return True

    def resolve(self, op: Op) -> Op | None:
        held = getattr(self, "held", [])
        if op.name == "free_again":
            return op if len(held) < self.num_blocks else None
        if op.name == "free_twice_in_one_call":
            return Op(op.name, {**op.args, "which": op.args["which"] % len(held)}) if held else None
        if op.name == "free_foreign":
            return Op(op.name, {"block": self._foreign(op.args["block"])})
        if op.name in ("free_good_and_bad", "free_good_and_free"):
            if not held or (op.name == "free_good_and_free" and len(held) == self.num_blocks):
                return None
            which = sorted({i % len(held) for i in op.args["which"]})
            block = op.args["block"]
            return Op(op.name, {"which": which,
                                "block": self._foreign(block) if op.name == "free_good_and_bad" else block})
        return super().resolve(op)

    def _foreign(self, n: int) -> int:
        return n if n < 0 else self.num_blocks + n


class Checked(Pool):
    """CheckedPool: a pool that refuses what its caller does not hold."""

    exercise = "CheckedPool"
    referee = CheckedReferee
    prelude = "from labkit.mine import BlockPool\nfrom labkit.errors import DoubleFreeError, ForeignBlockError\n"
    rules = (
        Rule("legal-calls-still-work", "allocate, and free for held blocks, work as in the pool below."),
        Rule("double-free-refused", "Freeing a block that is free already raises DoubleFreeError."),
        Rule("twice-in-one-call-refused", "A block named twice in one call raises DoubleFreeError."),
        Rule("foreign-block-refused", "An id that no block of this pool has raises ForeignBlockError."),
        Rule("refused-free-changes-nothing", "A call to free that is refused returns none of its blocks."),
    )
    witnesses = (
        Witness("double-free-refused", op("new", num_blocks=4), op("allocate", n=2), op("free", which=[0]),
                op("free_again", block=0)),
        Witness("double-free-refused", op("new", num_blocks=4), op("allocate", n=1), op("free_again", block=2)),
        Witness("double-free-refused", op("new", num_blocks=3), op("free_again", block=0)),
        Witness("double-free-refused", op("new", num_blocks=2), op("allocate", n=2), op("free", which=[0, 1]),
                op("allocate", n=2), op("free", which=[0]), op("free_again", block=0)),
        Witness("double-free-refused", op("new", num_blocks=3), op("allocate", n=3), op("free", which=[0, 1, 2]),
                op("free_again", block=1), op("free_again", block=2)),
        Witness("double-free-refused", op("new", num_blocks=2), op("other_pool", num_blocks=2),
                op("free_again", block=1)),
        Witness("twice-in-one-call-refused", op("new", num_blocks=4), op("allocate", n=2),
                op("free_twice_in_one_call", which=1)),
        Witness("twice-in-one-call-refused", op("new", num_blocks=4), op("allocate", n=3),
                op("free_twice_in_one_call", which=0, apart=True)),
        Witness("foreign-block-refused", op("new", num_blocks=4), op("allocate", n=4), op("free_foreign", block=4)),
        Witness("foreign-block-refused", op("new", num_blocks=4), op("allocate", n=4), op("free_foreign", block=-1)),
        Witness("foreign-block-refused", op("new", num_blocks=4), op("allocate", n=1), op("free_foreign", block=99)),
        Witness("refused-free-changes-nothing", op("new", num_blocks=4), op("allocate", n=3),
                op("free_good_and_bad", which=[0, 1], block=7)),
        Witness("refused-free-changes-nothing", op("new", num_blocks=2), op("allocate", n=2),
                op("free_twice_in_one_call", which=0)),
        Witness("refused-free-changes-nothing", op("new", num_blocks=3), op("allocate", n=2),
                op("free_good_and_bad", which=[1], block=-1)),
        Witness("refused-free-changes-nothing", op("new", num_blocks=4), op("allocate", n=3),
                op("free_good_and_free", which=[0, 2], block=0)),
        Witness("legal-calls-still-work", op("new", num_blocks=4), op("allocate", n=3), op("free", which=[0, 2]),
                op("allocate", n=3), op("free", which=[0, 1, 2, 3]), op("allocate", n=4)),
        Witness("legal-calls-still-work", op("new", num_blocks=2), op("allocate", n=3), op("allocate", n=2),
                op("free", which=[]), op("free", which=[1]), op("allocate", n=1)),
        Witness("legal-calls-still-work", op("new", num_blocks=2), op("other_pool", num_blocks=2),
                op("allocate", n=2), op("free", which=[0, 1])),
    )
    hints = (
        "What would the pool have to know about a block to tell that its caller does not hold it?",
        "A block is held or free, never both; free may change anything only after every id in the call was found to "
        "be held, each once.",
        "for block in blocks:\n    if not 0 <= block < ____:\n        raise ForeignBlockError(...)\n"
        "    if block not in self._held or ____:\n        raise DoubleFreeError(...)\n# only now: change something",
    )

    def rename(self, rule: str) -> str:
        # The pool's own rules are one rule here: whoever builds CheckedPool has passed the pool's check before.
        return rule if rule in {r.name for r in self.rules} else "legal-calls-still-work"

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        from hypothesis import strategies as st

        return {
            **super().operations(),
            "free_again": {"block": st.integers(0, 7)},
            "free_twice_in_one_call": {"which": st.integers(0, 7), "apart": st.booleans()},
            "free_foreign": {"block": st.integers(-3, 3)},
            "free_good_and_bad": {"which": st.lists(st.integers(0, 7), max_size=3), "block": st.integers(-3, 3)},
            "free_good_and_free": {"which": st.lists(st.integers(0, 7), max_size=3), "block": st.integers(0, 7)},
        }


class FindLeak(FunctionSpecification):
    """Which blocks are neither free nor held."""

    exercise = "find_leak"
    rules = (
        Rule("lost-blocks-are-found", "Every block that is neither free nor in a table is in the answer."),
        Rule("held-is-not-lost", "A block that some table holds is not in the answer."),
        Rule("free-is-not-lost", "A block that is free is not in the answer."),
        Rule("ascending-and-once", "The answer lists each lost block once, in ascending order."),
    )
    witnesses = (
        Witness("lost-blocks-are-found", op("call", num_blocks=6, free_blocks=[4, 5], tables=[[0, 1], [3]])),
        Witness("lost-blocks-are-found", op("call", num_blocks=3, free_blocks=[], tables=[])),
        Witness("lost-blocks-are-found", op("call", num_blocks=4, free_blocks=[1, 2], tables=[[3]])),
        Witness("lost-blocks-are-found", op("call", num_blocks=4, free_blocks=[0], tables=[[1], [2]])),
        Witness("lost-blocks-are-found", op("call", num_blocks=5, free_blocks=[4], tables=[[0, 1], [0, 1]])),
        Witness("held-is-not-lost", op("call", num_blocks=4, free_blocks=[3], tables=[[0, 1], [0, 2]])),
        Witness("held-is-not-lost", op("call", num_blocks=3, free_blocks=[], tables=[[2], [], [0, 1]])),
        Witness("free-is-not-lost", op("call", num_blocks=3, free_blocks=[2, 0, 1], tables=[])),
        Witness("free-is-not-lost", op("call", num_blocks=0, free_blocks=[], tables=[])),
        Witness("free-is-not-lost", op("call", num_blocks=5, free_blocks=[4, 0], tables=[[2, 1, 3], [1]])),
        Witness("ascending-and-once", op("call", num_blocks=12, free_blocks=[9, 4], tables=[[7], [6, 0]])),
    )
    hints = (
        "In a pool without a leak, where can a block be? List every place.",
        "free + held + lost = all blocks, and no block is in two of the three.",
        "known = set(free_blocks)\nfor table in tables:\n    known.____(table)\n"
        "return [b for b in range(num_blocks) if ____]",
    )

    def oracle(self, num_blocks: int, free_blocks: list[int], tables: list[list[int]]) -> list[int]:
        return find_leak(num_blocks, free_blocks, tables)

    def arguments(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        ids = st.integers(0, 9)
        return {"num_blocks": st.just(10), "free_blocks": st.lists(ids, unique=True, max_size=6),
                "tables": st.lists(st.lists(ids, unique=True, max_size=4), max_size=3)}

    def rule_for(self, num_blocks: int, free_blocks: list[int], tables: list[list[int]]) -> str:
        if find_leak(num_blocks, free_blocks, tables):
            return "lost-blocks-are-found"
        return "held-is-not-lost" if any(tables) else "free-is-not-lost"

    def compare(self, seen: Any, expected: Any) -> Mismatch | None:
        if isinstance(seen, list | tuple):
            wrong = [b for b in seen if whole(b) is None]
            if wrong:
                return Mismatch("wrong-type", f"The answer holds {show(wrong[0], 40)}, which is not the id of a block.")
        return super().compare(seen, expected)

    def blame(self, rule: str, seen: Any, expected: Any, num_blocks: int, free_blocks: list[int],
              tables: list[list[int]]) -> str:
        held, seen = {b for table in tables for b in table}, [whole(b) for b in seen]
        if set(expected) - set(seen):
            return "lost-blocks-are-found"
        if held & set(seen):
            return "held-is-not-lost"
        if set(free_blocks) & set(seen):
            return "free-is-not-lost"
        return "ascending-and-once"

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        seen = [whole(b) for b in seen]
        missing, extra = sorted(set(expected) - set(seen)), sorted(set(seen) - set(expected))
        held = {b for table in args["tables"] for b in table}
        if rule == "lost-blocks-are-found" and missing:
            them = "it" if len(missing) == 1 else "them"
            return f"{_named(missing)} in no table and not free, and your answer does not name {them}."
        if rule == "held-is-not-lost":
            return f"{_named([b for b in extra if b in held])} in a table: in use, not lost."
        if rule == "free-is-not-lost":
            return f"{_named([b for b in extra if b in args['free_blocks']])} in free_blocks: free, not lost."
        if extra:
            return f"{extra[0]} is not the id of a block of this pool, which has 0 to {args['num_blocks'] - 1}."
        return "The right blocks, but not each once in ascending order."


class BreakTheTwoPiles(BreakIt):
    """A pool that keeps never-used and returned blocks in two piles and never mixes them."""

    exercise = "break_two_piles"
    largest = 1000
    base = Pool()
    reference = "labkit.cache.block_pool:BlockPool"
    bug = '''
class BlockPool:
    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        self.fresh = list(range(num_blocks))
        self.returned = []

    @property
    def num_free(self):
        return len(self.fresh) + len(self.returned)

    def allocate(self, n):
        for pile in (self.returned, self.fresh):
            if n <= len(pile):
                return [pile.pop(0) for _ in range(n)]
        return None

    def free(self, blocks):
        self.returned.extend(blocks)
'''
    shortest = (op("new", num_blocks=2), op("allocate", n=1), op("free", which=[0]), op("allocate", n=2))
    hints = (
        "Into which pile does a block go that comes back, and when is it taken from there?",
        "Can num_free be large enough for a request while neither pile alone is? What brings a pool there?",
        '[("BlockPool", 2), ("allocate", 1), ("____", [0]), ("allocate", ____)]',
    )

    def parse(self, item: Any) -> Op:
        if isinstance(item, list | tuple) and item and item[0] == "BlockPool":
            item = ("new", *item[1:])
        return super().parse(item)

    @property
    def example(self) -> str:
        return '("BlockPool", 2)'

    def names_shown(self) -> list[str]:
        return ["BlockPool" if name == "new" else name for name in super().names_shown()]

    def sense(self, ops: list[Op]) -> str:
        """Follow how many blocks are held: positions must lie among them, and numbers be numbers."""
        size = held = 0
        for i, step in enumerate(ops, 1):
            if i == 1 and step.name != "new":
                return 'There is no pool yet: let the list begin with ("BlockPool", 2), or another size.'
            if step.name == "free":
                which = step.args["which"]
                if not isinstance(which, list) or any(type(w) is not int for w in which):
                    return (f"Operation {i} is free, which takes a list of positions among the blocks you hold, such "
                            'as ("free", [0]).')
                if any(not -held <= w < held for w in which):
                    return (f"Operation {i} gives back positions {which}, and you hold {_count(held)} then: positions "
                            "count from 0 among those.")
                held -= len({w % held for w in which})
                continue
            for value in step.args.values():
                if type(value) is not int or not 0 <= value <= self.largest:
                    return (f"Operation {i} has the argument {show(value, 40)}; a whole number from 0 to "
                            f"{self.largest} is due there.")
            if step.name == "new":
                size, held = step.args["num_blocks"], 0
            elif step.name == "allocate" and step.args["n"] <= size - held:
                held += step.args["n"]
        return ""


LESSON = Lesson(
    key="04_block_pool",
    title="The block pool",
    part="I. Memory",
    minutes=70,
    builds="A pool that hands out blocks of KV memory, all or nothing, and notices when one is returned twice or lost.",
    symptom="A server answers fewer and fewer requests at once; its memory is full, and nobody can say of what.",
    lights="block_pool",
    exercises=(
        Exercise("blocks_needed", "Blocks for a number of tokens", 5, 1, 4, BlocksNeeded(),
                 "labkit.cache.block_table:blocks_needed"),
        Exercise("BlockPool", "The pool", 12, 2, 5, Pool(), "labkit.cache.block_pool:BlockPool", slot="block_pool",
                 kind="class"),
        Exercise("CheckedPool", "A pool that notices", 12, 3, 4, Checked(), "labkit.cache.block_pool:CheckedPool",
                 kind="class"),
        Exercise("break_two_piles", "Break it: the pool with two piles", 5, 3, 3, BreakTheTwoPiles(), kind="break"),
        Exercise("find_leak", "Find the leak", 8, 2, 3, FindLeak(), "labkit.cache.block_pool:find_leak",
                 stretch=True),
    ),
)
