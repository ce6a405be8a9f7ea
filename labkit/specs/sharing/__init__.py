"""Lesson 06, sharing and copy-on-write: its rules, witnesses and hints."""

from __future__ import annotations

from labkit.grading.breakit import BreakIt
from labkit.grading.language import rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.sharing.referees import AppendReferee, CountsReferee, ForkReferee


class Counts(Specification):
    """RefCounts: a pool whose blocks can be held more than once."""

    exercise = "RefCounts"
    referee = CountsReferee
    prelude = "from labkit.mine import BlockPool\n"
    rules = rules_from(
        """
        only-recycle-returns-blocks: A block goes back to the pool when it is recycled, and never before.
            ? Which of your methods talk to the pool, and who names the blocks to them? Write down what your drop \
              answers for a block that two tables hold.
            new 3; allocate 2; share 0; free 0 1
            new 3; allocate 2; drop 0 1
            new 4; allocate 3; share 0 1; share 0; free 0 1; free 0 1 2; free 0
        counts-the-holders: count(block) is the number of tables that hold the block, 0 where none does.
            ?
            new 4; allocate 2
            new 4; allocate 2; share 1; share 0 1
            new 1; allocate 1; share; drop; recycle
            new 4 in_use=2
            new 1; allocate 1; 260 x share 0; free 0
            new 90; allocate 89; 5 x share 88 70 7; drop 88 60; free 70 87; allocate 2
        refused-means-unchanged: A request that the pool refuses changes no count.
            ? What does the pool answer when it has no room, and what does your next line do with that answer?
            new 3; allocate 2; allocate 2
            new 0; allocate 1; allocate 0
            new 4; allocate 2; share 0 1; allocate 4; allocate 2
        unheld-blocks-come-back-into-use: A block that was dropped and not recycled can be shared again.
            ? A block was dropped and not recycled. What does your object still know about it when share names it?
            new 2; allocate 1; drop 0; share 0
            new 3; allocate 3; drop 0 2; share 0 1; free 0 1
        drop-names-the-unheld: drop answers with the blocks that nobody holds any more, in the order named.
            ? Follow one block that two tables hold through two drops. When is it named?
            new 4; allocate 3; share 1; drop 2 1 0
        recycled-blocks-return: What is recycled goes back to the pool, each block once, in the order named.
            ? Where does a block go that nobody holds, and does it go there exactly once?
            new 4; allocate 3; drop 2 0 1; recycle 2 0; recycle 0; allocate 4
            new 3; allocate 3; free 2 0 1; allocate 3
            new 12; allocate 12; free 11 3 7 0 9 1
        passes-on-what-the-pool-answers: allocate alone takes blocks, and answers what the pool answers; sizes are \
            the pool's own.
            ? What do you hand to whoever called allocate, with room and without? Which method but that one takes \
              blocks, and where does num_free come from?
            new 3; allocate 3; allocate 0; allocate 1
        counts-are-separate: Two objects that count over two pools share nothing.
            ? Where are the counts made: once for each object, or once for all?
            new 3; allocate 1; other 3
            new 2; other 2; allocate 2
        """
    )
    hints = (
        "Write down the count of one block: allocated, shared, dropped, dropped again. Which line of yours makes each "
        "of these changes?",
        "A block's count is the number of tables that hold it; it may go back to the pool only when that is 0 and "
        "somebody recycles it.",
        "for block in blocks:\n    self._counts[block] -= 1\nreturn [block for block in blocks if ____]",
    )
    search = {"num_blocks": (0, 6), "other.num_blocks": (0, 3), "n": (0, 4), "which": [(0, 5), 4]}


SEQUENCES = {"num_blocks": (1, 8), "block_size": (1, 4), "n": (0, 7), "seq": "ABCD"}


class Fork(Specification):
    """fork: a second table over the same blocks."""

    exercise = "fork"
    referee = ForkReferee
    prelude = "from labkit.mine import BlockPool, BlockTable, RefCounts\n"
    rules = rules_from(
        """
        every-block-counts-both: Every block that both tables hold is counted once for each.
            ? Two tables hold each block from now on. Whom must you tell?
            new 4 2; prompt A 3; fork A B
            new 4 2; prompt A 1; fork A B
        tables-are-separate: The child is a table of its own: when one grows, the other does not change.
            ? After child.blocks = table.blocks, how many lists are there?
            new 4 2; prompt A 2; fork A B; append B 1
        nothing-is-copied: fork takes no block from the pool.
            ? Which block does the child need that nobody has?
            new 8 2; prompt A 5; fork A B
            new 3 2; prompt A 5; fork A B; fork A C
        child-reads-the-same-tokens: The child has the parent's blocks, in the same order, and its tokens.
            ?
            new 6 4; prompt A 9; prompt B 4; fork A C
            new 4 3; prompt A 7; release A; prompt A 9; fork A B
            new 2 2; prompt A 0; fork A B; append B 1
        parent-is-left-as-it-was: Forking changes nothing about the parent.
            ? Which of your lines assigns to an attribute of the table you were given, or changes a list of its own?
            new 4 2; prompt A 3; fork A B; fork A C
            new 90 4; prompt A 350; fork A B; append B 1; release A
        """
    )
    hints = (
        "What does a table consist of? Name its four attributes, and say for each whether the child needs the same one "
        "or one of its own.",
        "Afterwards both tables list the same blocks, in two lists, and each of these blocks is counted once more.",
        "child = BlockTable(table.pool, table.block_size)\ntable.pool.____(table.blocks)\n"
        "child.blocks = ____\nchild.num_tokens = table.num_tokens\nreturn child",
    )
    search = SEQUENCES


class AppendCow(Specification):
    """append_cow: room for more tokens in a table whose blocks may be shared."""

    exercise = "append_cow"
    referee = AppendReferee
    prelude = "from labkit.mine import BlockPool, BlockTable, RefCounts, blocks_needed, fork\n"
    rules = rules_from(
        """
        shared-block-is-never-written: New tokens go only to blocks that this table holds alone.
            new 4 4; prompt A 2; fork A B; append B 1
            new 8 4; prompt A 5; fork A B; append B 6
            new 6 4; prompt A 1; fork A B; append B 2
            new 6 4; prompt A 1; fork A B; fork A C; fork A D; append D 1
        every-sequence-reads-its-own-tokens: Once the copies are made and the tokens written, every sequence reads \
            what it wrote.
            ? The table points to a new block. What is in it at that moment, and who will see to it that the old \
              tokens are?
            new 4 4; prompt A 3; fork A B; append B 1; append A 1
            new 6 3; prompt A 4; fork A B; append B 4; append A 1
        counts-stay-true: Every count is the number of tables that hold the block, and what none holds is free.
            ? The table let go of one block and took another. Which two counts change, and by how much?
            new 5 2; prompt A 3; fork A B; fork A C; append B 1
        refused-means-unchanged: A request that is refused changes neither table nor pool.
            ? What have your lines changed, in the table and in the counts, by the time the pool answers None?
            new 3 2; prompt A 3; fork A B; append B 3
            new 2 2; prompt A 3; fork A B; append B 1
            new 3 2; prompt A 3; append A 6
            new 4 2; prompt A 4; fork A B; append B 5
        copies-only-when-it-must: Only the last block is copied, and only if it is part filled, shared and about to \
            be written.
            ? Which block will be written, and can anybody but this table ever look at the slots that will be?
            new 6 2; prompt A 3; append A 1
            new 6 2; prompt A 4; fork A B; append B 1
            new 6 2; prompt A 3; fork A B; append B 0
            new 6 2; prompt A 3; fork A B; release A; append B 1
        room-for-every-token: The table has just the blocks that its tokens need, and counts the tokens.
            ? Without sharing, this is BlockTable.append: what does it change, in what order?
            new 6 2; prompt A 0; append A 4
            new 6 2; prompt A 0; append A 0; append A 4; append A 1
            new 6 4; prompt A 5; fork A B; append B 7
            new 6 3; prompt A 1; append A 5
            new 99 4; prompt A 301; fork A B; append B 90; append A 2; release A
            new 5 1; prompt A 2; fork A B; append B 1; append A 2
        refuses-only-without-room: The answer is None if, and only if, the pool has too few blocks for all of it.
            ? Count by hand how many blocks this append needs, the copy included. Does your answer say that there is \
              room for just so many, and None where there is not?
            new 3 2; prompt A 3; fork A B; append B 1
            new 2 2; prompt A 3; append A 1; append A 0
            new 2 2; prompt A 3; fork A B; append B 0
            new 3 2; prompt A 4; fork A B; append B 2
        copies-are-told: The answer lists the copies to make, as (source, destination).
            ? Whoever called you moves the bytes. From where to where, and what if nothing has to move?
            new 6 4; prompt A 5; fork A B; append B 1
        """
    )
    hints = (
        "Which one block of the table can a new token fall into that already holds tokens, and who else may hold it?",
        "Before a token is written, this table is the only holder of the block that it falls into. And until the pool "
        "has said yes to everything at once, nothing has changed.",
        "copy = n > 0 and table.num_tokens % table.block_size > 0 and table.pool.count(____) > 1\n"
        "fresh = table.pool.allocate(missing + ____)\nif fresh is None:\n    return None\n"
        "if copy:\n    shared, own = table.blocks[-1], fresh.pop()\n    table.blocks[-1] = ____\n"
        "    table.pool.free([____])",
    )
    search = SEQUENCES


class BreakTheTwoRequests(BreakIt):
    """An append_cow that takes the block for the copy first, and asks for the others afterwards."""

    exercise = "break_two_requests"
    base = AppendCow()
    renamed = {"BlockPool": "new"}
    allowed = ("new", "prompt", "fork", "append", "release")
    example = '("BlockPool", 4, 2)'
    hints = (
        "After which answer of the pool has this append changed something already?",
        "The first request must be granted and the second refused: what has to be free, and how many blocks must the "
        "append need?",
        '[("BlockPool", ____, 2), ("prompt", "A", ____), ("fork", "A", "B"), ("append", ____, ____)]',
    )

    without = {"fork": "Nothing is shared in these operations, so nothing has to be copied, and nothing can go wrong."}


LESSON = Lesson(
    key="06_sharing",
    title="Sharing and copy-on-write",
    part="I. Memory",
    minutes=70,
    builds="Sequences that share the blocks of a common beginning, and part where they begin to differ.",
    symptom="Somebody asks for four answers per prompt, and a server that was half empty is full: every prompt is "
    "there four times.",
    exercises=(
        Exercise("RefCounts", "Who holds a block, and how often", 12, 2, 5, Counts(),
                 "labkit.cache.ref_counts:RefCounts", slot="sharing", kind="class"),
        Exercise("fork", "A second sequence from the same tokens", 6, 2, 4, Fork(),
                 "labkit.cache.copy_on_write:fork", slot="sharing"),
        Exercise("append_cow", "Copy when two would write", 15, 4, 5, AppendCow(),
                 "labkit.cache.copy_on_write:append_cow", slot="sharing"),
        Exercise("break_two_requests", "Break it: the copy that was forgotten", 5, 3, 3, BreakTheTwoRequests(),
                 kind="break"),
    ),
    ending="I can say who holds a block, and why the last to let go of it gives it back. Several answers to one "
    "prompt keep it once, and a block is copied only when somebody writes into it and is not alone.",
)  # fmt: skip
