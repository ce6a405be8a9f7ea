"""Lesson 04, the block pool: its rules, witnesses and hints."""

from __future__ import annotations

from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.compare import Mismatch, whole
from labkit.grading.display import show
from labkit.grading.functions import FunctionSpecification
from labkit.grading.language import rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.block_pool.referees import CheckedReferee, PoolReferee
from labkit.words import choose, listed, plural


class BlocksNeeded(FunctionSpecification):
    """How many blocks hold a number of tokens."""

    exercise = "blocks_needed"
    rules = rules_from(
        """
        a-started-block-counts: A block that holds at least one token is needed whole.
            17 16
            17 4
            1 16
            15 16
            12289 4096
            131071 16
            20 16
        full-blocks-have-no-spare: Where every token has its place, no further block is needed.
            ?
            16 16
            64 32
            5 1
            48 16
            131072 16
            3 3
        nothing-needs-nothing: Zero tokens need zero blocks.
            ? How many blocks does a sequence hold that has no token yet?
            0 16
        """
    )
    hints = (
        "How many blocks do 16 tokens need at 16 tokens per block? And 17?",
        "The answer is the smallest whole number n with n * block_size >= num_tokens.",
        "return (num_tokens + ____) // block_size",
    )
    search = {"num_tokens": (0, 10_000), "block_size": (1, 256)}

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
            return f"There is no token to hold, and your {plural(seen, 'block')} would stay empty."
        if seen < expected:
            hold = "block holds" if seen == 1 else "blocks hold"
            return (
                f"{seen} {hold} {seen * block_size} tokens: {num_tokens - seen * block_size} of the "
                f"{num_tokens} {'has' if num_tokens - seen * block_size == 1 else 'have'} no place."
            )
        hold = "1 block holds" if expected == 1 else f"{expected} blocks hold"
        tokens = "the one token" if num_tokens == 1 else f"all {num_tokens} tokens"
        return f"{hold} {tokens} already; {seen - expected} of your {seen} would stay empty."


class Pool(Specification):
    """BlockPool: all-or-nothing allocation over a fixed set of blocks."""

    exercise = "BlockPool"
    referee = PoolReferee
    rules = rules_from(
        """
        never-handed-out-twice: A block that is held is never handed out again.
            ? After a block was handed out, where does your pool still know it as free? And after some came back, \
              could it hand out one that did not?
            new 4; allocate 2; allocate 2
            new 4; allocate 3; free 0; allocate 1; allocate 1
            new 4; allocate 4; free 3 1; allocate 1; free 2; allocate 2
            new 7; allocate 2; allocate 3; free 1; allocate 1; free 0 3; allocate 6; allocate 2; allocate 5; \
              num_free; allocate 2; free 5 2 0; allocate 4; allocate 3; free 0 1 2 3 4 5 6; allocate 7
        ids-of-this-pool: Every id is a whole number from 0 to num_blocks - 1.
            ? What stands in the list that allocate answers with: numbers? Which one does the first block of a pool \
              of 4 have, and which the last?
            new 3; allocate 3
        counts-what-is-free: num_free is the number of blocks that nobody holds, num_blocks that of all.
            ? What does num_free say before anything was allocated, and after 2 of 5 were?
            new 5; num_free
            new 5; allocate 2; num_free; free 1; num_free
        refused-means-unchanged: A request that is refused leaves the pool as it was.
            ?
            new 4; allocate 3; allocate 2
            new 4; allocate 1; allocate 9; allocate 3
        all-or-nothing: allocate(n) answers with exactly n ids, or None if fewer than n are free.
            ? What does your allocate answer if n is 0, if n is just what is free, and if n is one more?
            new 4; allocate 4
            new 2; allocate 0; allocate 2; allocate 0; allocate 1
            new 0; allocate 1
            new 2; allocate 0; allocate 0
        freed-blocks-come-back: What is freed can be allocated again.
            ? Follow one block through free: where does it stand afterwards, so that allocate finds it?
            new 3; allocate 3; free 0 1 2; allocate 3
            new 4; allocate 2; free 1; allocate 3
            new 4; allocate 4; free 1 2; allocate 2
            new 3; allocate 2; allocate 1; free 1 2; free 0; allocate 3
            new 300; allocate 300; free 0..299; allocate 300
            new 257; allocate 8; allocate 16; allocate 32; allocate 64; allocate 128; free 0..247; allocate 256
        pools-are-separate: Two pools share nothing.
            ? Where is the list of free blocks made: once for each pool, or once for all?
            new 3; other_pool 3; allocate 3
            new 3; allocate 1; other_pool 2; allocate 2
        """
    )
    hints = (
        "When a request cannot be met, which lines of your code have already run?",
        "At every moment the ids that are free and the ids that are held make up 0 .. num_blocks - 1, each id once.",
        "if n > ____:\n    return None\nreturn [self._free.____() for _ in range(n)]",
    )
    search = {"num_blocks": (0, 8), "other_pool.num_blocks": (0, 4), "n": (0, 5), "which": [(0, 7), 4]}


class Checked(Pool):
    """CheckedPool: a pool that refuses what its caller does not hold."""

    exercise = "CheckedPool"
    referee = CheckedReferee
    prelude = "from labkit.mine import BlockPool\nfrom labkit.errors import DoubleFreeError, ForeignBlockError\n"
    rules = rules_from(
        """
        legal-calls-still-work: allocate, and free for held blocks, work as in the pool below.
            ? What does allocate of the pool below answer where there is no room, and what does yours make of \
              that? Which blocks of a legal free reach the pool below?
            new 4; allocate 3; free 0 2; allocate 3; free 0 1 2 3; allocate 4
            new 2; allocate 3; allocate 2; free; free 1; allocate 1
            new 2; other_pool 2; allocate 2; free 0 1
            new 4; allocate_and_pop 2; allocate 3
        double-free-refused: Freeing a block that is free already raises DoubleFreeError.
            ?
            new 4; allocate 2; free 0; free_again 0
            new 4; allocate 1; free_again 2
            new 3; free_again 0
            new 2; allocate 2; free 0 1; allocate 2; free 0; free_again 0
            new 3; allocate 3; free 0 1 2; free_again 1; free_again 2
            new 2; other_pool 2; free_again 1
            new 300; allocate 300; free 0..149; free_again 0; free_again 149
        twice-in-one-call-refused: A block named twice in one call raises DoubleFreeError.
            ? In free([1, 1]), what does your class know of block 1 when it comes to the second mention?
            new 4; allocate 2; free_twice_in_one_call 1
            new 4; allocate 3; free_twice_in_one_call 0 apart=true
        foreign-block-refused: An id that no block of this pool has raises ForeignBlockError.
            ? Which ids does a pool of 4 have? What does your free say of 4, of -1 and of 99?
            new 4; allocate 4; free_foreign 4
            new 4; allocate 4; free_foreign -1
            new 4; allocate 1; free_foreign 99
        refused-free-changes-nothing: A call to free that is refused returns none of its blocks.
            ? free([0, 7]) is refused because of 7. What has happened to block 0 by then?
            new 4; allocate 3; free_good_and_bad [0,1] 7
            new 2; allocate 2; free_twice_in_one_call 0
            new 3; allocate 2; free_good_and_bad [1] -1
            new 4; allocate 3; free_good_and_free [0,2] 0
        """
    )
    hints = (
        "What would the pool have to know about a block to tell that its caller does not hold it?",
        "A block is held or free, never both; free may change anything only after every id in the call was found to "
        "be held, each once.",
        "for block in blocks:\n    if not 0 <= block < ____:\n        raise ForeignBlockError(...)\n"
        "    if block not in self._held or ____:\n        raise DoubleFreeError(...)\n# only now: change something",
    )
    search = {
        **Pool.search,
        "block": (-3, 3),
        "free_again.block": (0, 7),
        "free_good_and_free.block": (0, 7),
        "free_twice_in_one_call.which": (0, 7),
        "apart": [False, True],
    }

    def rename(self, rule: str) -> str:
        # The pool's own rules are one rule here: whoever builds CheckedPool has passed the pool's check before.
        return rule if rule in {r.name for r in self.rules} else "legal-calls-still-work"


class FindLeak(FunctionSpecification):
    """Which blocks are neither free nor held."""

    exercise = "find_leak"
    rules = rules_from(
        """
        lost-blocks-are-found: Every block that is neither free nor in a table is in the answer.
            6 [4,5] [0,1] [3]
            3 []
            4 [1,2] [[3]]
            4 [0] [1] [2]
            5 [4] [0,1] [0,1]
            700 100..199 0..99 201..509 521..697
        held-is-not-lost: A block that some table holds is not in the answer.
            ? A block stands in two tables, or in the last of three. Does your code know that it is held?
            4 [3] [0,1] [0,2]
            3 [] [2] [] [0,1]
        free-is-not-lost: A block that is free is not in the answer.
            ? In a pool of which every block is free, what does your code answer?
            3 [2,0,1]
            0 []
            5 [4,0] [2,1,3] [1]
        ascending-and-once: The answer lists each lost block once, in ascending order.
            ? How often does your code name a block that is lost, and in which order do the blocks come?
            12 [9,4] [7] [6,0]
            400 199..100 0..99 201..397
        """
    )
    hints = (
        "In a pool without a leak, where can a block be? List every place.",
        "free + held + lost = all blocks, and no block is in two of the three.",
        "known = set(free_blocks)\nfor table in tables:\n    known.____(table)\n"
        "return [b for b in range(num_blocks) if ____]",
    )
    search = {
        "num_blocks": [10],
        "free_blocks": lambda draw: draw.sample(range(10), draw.randint(0, 6)),
        "tables": lambda draw: [draw.sample(range(10), draw.randint(0, 4)) for _ in range(draw.randint(0, 3))],
    }

    def rule_for(self, num_blocks: int, free_blocks: list[int], tables: list[list[int]]) -> str:
        if self.oracle(num_blocks, free_blocks, tables):
            return "lost-blocks-are-found"
        return "held-is-not-lost" if any(tables) else "free-is-not-lost"

    def rule_if_raised(self, rule: str, num_blocks: int, free_blocks: list[int], tables: list[list[int]]) -> str:
        held = [block for table in tables for block in table]
        return "held-is-not-lost" if len(set(held)) < len(held) else rule  # what is shared is what is special here

    def compare(self, seen: Any, expected: Any) -> Mismatch | None:
        if isinstance(seen, list | tuple):
            wrong = [b for b in seen if whole(b) is None]
            if wrong:
                return Mismatch("wrong-type", f"The answer holds {show(wrong[0], 40)}, which is not the id of a block.")
        return super().compare(seen, expected)

    def blame(
        self, rule: str, seen: Any, expected: Any, num_blocks: int, free_blocks: list[int], tables: list[list[int]]
    ) -> str:
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
            return f"{_these(missing)} in no table and not free, and your answer does not name {them}."
        if rule == "held-is-not-lost":
            return f"{_these([b for b in extra if b in held])} in a table: in use, not lost."
        if rule == "free-is-not-lost":
            return f"{_these([b for b in extra if b in args['free_blocks']])} in free_blocks: free, not lost."
        if extra:
            return f"{extra[0]} is not the id of a block of this pool, which has 0 to {args['num_blocks'] - 1}."
        return "The right blocks, but not each once in ascending order."


def _these(blocks: list[int]) -> str:
    """ "Block 3 is", "Blocks 1 and 3 are"."""
    return f"{choose(len(blocks), 'Block', 'Blocks')} {_few(blocks)} {choose(len(blocks), 'is', 'are')}"


def _few(blocks: list[int]) -> str:
    if len(blocks) <= 6:
        return listed(blocks)
    return f"{', '.join(map(str, blocks[:3]))} and {len(blocks) - 3} others"


class BreakTheTwoPiles(BreakIt):
    """A pool that keeps never-used and returned blocks in two piles and never mixes them."""

    exercise = "break_two_piles"
    largest = 1000
    base = Pool()
    reference = "labkit.cache.block_pool:BlockPool"
    hints = (
        "Into which pile does a block go that comes back, and when is it taken from there?",
        "Can num_free be large enough for a request while neither pile alone is? What brings a pool there?",
        '[("BlockPool", 2), ("allocate", 1), ("____", [0]), ("allocate", ____)]',
    )

    renamed = {"BlockPool": "new"}
    allowed = ("new", "allocate", "free")
    example = '("BlockPool", 2)'


POOL, TABLE = "labkit.cache.block_pool:", "labkit.cache.block_table:"

LESSON = Lesson(
    key="04_block_pool",
    title="The block pool",
    part="I. Memory",
    minutes=70,
    builds="A pool that hands out blocks of KV memory, all or nothing, and notices when one is returned twice or lost.",
    symptom="A server answers fewer and fewer requests at once; its memory is full, and nobody can say of what.",
    exercises=(
        Exercise("blocks_needed", "Blocks for a number of tokens", 5, 1, 4, BlocksNeeded(), TABLE + "blocks_needed"),
        Exercise("BlockPool", "The pool", 12, 2, 5, Pool(), POOL + "BlockPool", slot="block_pool", kind="class"),
        Exercise("CheckedPool", "A pool that notices", 12, 3, 4, Checked(), POOL + "CheckedPool", kind="class"),
        Exercise("break_two_piles", "Break it: the pool with two piles", 5, 3, 3, BreakTheTwoPiles(), kind="break"),
        Exercise("find_leak", "Find the leak", 8, 2, 3, FindLeak(), POOL + "find_leak", stretch=True),
    ),
    ending="I can say of every block whether it is held or free, and what a pool must leave as it was when it says "
    "no. Where the two do not add up to the pool, I can name the blocks that were lost.",
)
