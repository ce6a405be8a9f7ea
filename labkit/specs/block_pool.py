"""Lesson 04, the block pool: its rules, witnesses and hints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.grading.functions import FunctionSpecification
from labkit.grading.specification import Op, Referee, Rule, Specification, Witness, op
from labkit.observe.events import Kind
from labkit.specs import Exercise, Lesson


class BlocksNeeded(FunctionSpecification):
    """How many blocks hold a number of tokens."""

    exercise = "blocks_needed"
    rules = (
        Rule("a-started-block-counts", "A block that holds at least one token is needed whole."),
        Rule("full-blocks-have-no-spare", "Tokens that fill their blocks exactly need no further block."),
        Rule("nothing-needs-nothing", "Zero tokens need zero blocks."),
    )
    witnesses = (
        Witness("a-started-block-counts", op("call", num_tokens=17, block_size=16)),
        Witness("a-started-block-counts", op("call", num_tokens=1, block_size=16)),
        Witness("a-started-block-counts", op("call", num_tokens=15, block_size=16)),
        Witness("a-started-block-counts", op("call", num_tokens=10**17 + 1, block_size=10)),
        Witness("full-blocks-have-no-spare", op("call", num_tokens=16, block_size=16)),
        Witness("full-blocks-have-no-spare", op("call", num_tokens=5, block_size=1)),
        Witness("full-blocks-have-no-spare", op("call", num_tokens=48, block_size=16)),
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

    def cause(self, rule: str, seen: Any, expected: Any, num_tokens: int, block_size: int) -> str:
        if seen < expected:
            return (f"{seen} blocks hold {seen * block_size} tokens: {num_tokens - seen * block_size} of the "
                    f"{num_tokens} have no place.")
        return f"{expected} blocks hold all {num_tokens} tokens already; the rest of your {seen} would stay empty."


class PoolReferee(Referee):
    """Follows a pool: which ids are held, and therefore how many must be free."""

    draws = True

    def do_new(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.held: list[int] = []
        self.setup_text = f"a pool of {num_blocks}"
        self.log.meta.update(num_blocks=num_blocks, block_size=1)
        self.pool = self.call("counts-what-is-free", f"{self.spec.target}({num_blocks})", self.implementation,
                              num_blocks)
        self.check_count("A new pool has all its blocks free.")

    def do_allocate(self, n: int) -> None:
        free = self.num_blocks - len(self.held)
        seen = self.call("all-or-nothing", f"allocate({n})", "allocate", n, on=self.pool)
        if n > free:
            if not self.require("all-or-nothing", seen is None, expected=None,
                                cause=f"Only {_blocks(free)} free; a request for {n} is refused whole."):
                return
            self.note(f"right: only {free} {'is' if free == 1 else 'are'} free")
            self.log.emit(Kind.REFUSE, seq="held", arg=n)
            self.check_count("A refused request must leave every block where it was.", rule="refused-means-unchanged",
                             lost="Block {} left the pool and nobody holds it.")
            return
        if not self.require("all-or-nothing", seen is not None, expected=f"a list of {_ids(n)}",
                            cause=f"{_blocks(free)} free, enough for {n}; the pool refused all the same."):
            return
        if not self.require("all-or-nothing", isinstance(seen, list | tuple), expected=f"a list of {_ids(n)}",
                            kind="wrong-type", cause="The answer to a request that fits is a list of block ids."):
            return
        if not self.require("all-or-nothing", len(seen) == n, expected=f"a list of {_ids(n)}",
                            cause=f"{n} blocks were asked for and {len(seen)} came."):
            return
        bad = [b for b in seen if isinstance(b, bool) or not isinstance(b, int) or not 0 <= b < self.num_blocks]
        if not self.require("ids-of-this-pool", not bad, expected=f"ids from 0 to {self.num_blocks - 1}",
                            cause=f"{bad[:1]} is not the id of a block of this pool."):
            return
        twice = [b for b in seen if b in self.held or list(seen).count(b) > 1]
        if not self.require("never-handed-out-twice", not twice, expected="ids that nobody holds",
                            cause=f"Block {twice[0] if twice else ''} now has two owners, which will overwrite each "
                                  "other's keys and values."):
            return
        for block in seen:
            self.log.emit(Kind.ALLOCATE, seq="held", block=block)
        self.held += list(seen)
        self.check_count(f"{len(self.held)} of {self.num_blocks} blocks are held.")

    def do_free(self, which: list[int]) -> None:
        blocks = [self.held[i] for i in which]
        self.call("freed-blocks-come-back", f"free({blocks})", "free", blocks, on=self.pool)
        self.held = [b for b in self.held if b not in blocks]
        for block in blocks:
            self.log.emit(Kind.FREE, seq="held", block=block, arg=0)
        self.check_count("What was returned can be handed out again.", rule="freed-blocks-come-back")

    def do_other_pool(self, num_blocks: int) -> None:
        """Make a second pool and take everything in it; the first must not notice."""
        other = self.call("pools-are-separate", f"other = {self.spec.target}({num_blocks})", self.implementation,
                          num_blocks)
        self.call("pools-are-separate", f"other.allocate({num_blocks})", "allocate", num_blocks, on=other)
        self.check_count("A second pool has blocks of its own; this one must not change.", rule="pools-are-separate")

    def resolve(self, op: Op) -> Op | None:
        if op.name == "free":
            if not self.held:
                return None
            which = sorted({i % len(self.held) for i in op.args["which"]})
            return Op("free", {"which": which})
        return op

    def check_count(self, cause: str, rule: str = "counts-what-is-free", lost: str = "") -> None:
        """num_free must be what the model says; where ids went missing, say which."""
        expected = self.num_blocks - len(self.held)
        seen = self.read(rule, self.pool, "num_free")
        if lost and isinstance(seen, int) and expected - seen == 1 and len(self.held) == self.num_blocks - 1:
            only = (set(range(self.num_blocks)) - set(self.held)).pop()
            cause = lost.format(only)
        self.observe(rule, "num_free", seen, expected, cause)


def _blocks(n: int) -> str:
    return "1 block is" if n == 1 else f"{n} blocks are"


def _ids(n: int) -> str:
    return "1 id" if n == 1 else f"{n} ids"


class Pool(Specification):
    """BlockPool: all-or-nothing allocation over a fixed set of blocks."""

    exercise = "BlockPool"
    referee = PoolReferee
    rules = (
        Rule("never-handed-out-twice", "A block that is held is never handed out again."),
        Rule("ids-of-this-pool", "Every id is a whole number from 0 to num_blocks - 1."),
        Rule("refused-means-unchanged", "A request that is refused leaves the pool as it was."),
        Rule("all-or-nothing", "allocate(n) answers with exactly n ids, or None if fewer than n are free."),
        Rule("freed-blocks-come-back", "What is freed can be allocated again."),
        Rule("counts-what-is-free", "num_free is the number of blocks that nobody holds."),
        Rule("pools-are-separate", "Two pools share nothing."),
    )
    witnesses = (
        Witness("never-handed-out-twice", op("new", num_blocks=4), op("allocate", n=2), op("allocate", n=2)),
        Witness("never-handed-out-twice", op("new", num_blocks=4), op("allocate", n=3), op("free", which=[0]),
                op("allocate", n=1), op("allocate", n=1)),
        Witness("ids-of-this-pool", op("new", num_blocks=3), op("allocate", n=3)),
        Witness("refused-means-unchanged", op("new", num_blocks=4), op("allocate", n=3), op("allocate", n=2)),
        Witness("refused-means-unchanged", op("new", num_blocks=2), op("allocate", n=3), op("allocate", n=2)),
        Witness("all-or-nothing", op("new", num_blocks=4), op("allocate", n=4)),
        Witness("all-or-nothing", op("new", num_blocks=2), op("allocate", n=0), op("allocate", n=2),
                op("allocate", n=0), op("allocate", n=1)),
        Witness("all-or-nothing", op("new", num_blocks=0), op("allocate", n=1)),
        Witness("freed-blocks-come-back", op("new", num_blocks=3), op("allocate", n=3), op("free", which=[0, 1, 2]),
                op("allocate", n=3)),
        Witness("freed-blocks-come-back", op("new", num_blocks=4), op("allocate", n=2), op("free", which=[1]),
                op("allocate", n=3)),
        Witness("counts-what-is-free", op("new", num_blocks=5)),
        Witness("counts-what-is-free", op("new", num_blocks=5), op("allocate", n=2), op("free", which=[])),
        Witness("pools-are-separate", op("new", num_blocks=3), op("other_pool", num_blocks=3),
                op("allocate", n=3)),
    )
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
            "other_pool": {"num_blocks": st.integers(0, 4)},
        }


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
    ),
)
