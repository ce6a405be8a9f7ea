"""Lesson 06, sharing and copy-on-write: its rules, witnesses and hints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.display import show
from labkit.grading.specification import Op, Rule, Specification, Witness, op
from labkit.specs import Exercise, Lesson
from labkit.specs.sharing_referees import AppendReferee, CountsReferee, ForkReferee


class Counts(Specification):
    """RefCounts: a pool whose blocks can be held more than once."""

    exercise = "RefCounts"
    referee = CountsReferee
    prelude = "from labkit.mine import BlockPool\n"
    rules = (
        Rule("only-recycle-returns-blocks", "A block goes back to the pool when it is recycled, and never before."),
        Rule("counts-the-holders", "count(block) is the number of tables that hold the block, 0 where none does."),
        Rule("refused-means-unchanged", "A request that the pool refuses changes no count."),
        Rule("unheld-blocks-come-back-into-use", "A block that was dropped and not recycled can be shared again."),
        Rule("drop-names-the-unheld", "drop answers with the blocks that nobody holds any more, in the order named."),
        Rule("recycled-blocks-return", "What is recycled goes back to the pool, each block once, in the order named."),
        Rule("passes-on-what-the-pool-answers", "allocate answers what the pool answers; sizes are the pool's own."),
        Rule("counts-are-separate", "Two objects that count over two pools share nothing."),
    )
    witnesses = (
        Witness("only-recycle-returns-blocks", op("new", num_blocks=3), op("allocate", n=2), op("share", which=[0]),
                op("free", which=[0, 1])),
        Witness("only-recycle-returns-blocks", op("new", num_blocks=3), op("allocate", n=2), op("drop", which=[0, 1])),
        Witness("only-recycle-returns-blocks", op("new", num_blocks=4), op("allocate", n=3), op("share", which=[0, 1]),
                op("share", which=[0]), op("free", which=[0, 1]), op("free", which=[0, 1, 2]), op("free", which=[0])),
        Witness("counts-the-holders", op("new", num_blocks=4), op("allocate", n=2)),
        Witness("counts-the-holders", op("new", num_blocks=4), op("allocate", n=2), op("share", which=[1]),
                op("share", which=[0, 1])),
        Witness("counts-the-holders", op("new", num_blocks=3), op("allocate", n=2), op("share", which=[0]),
                op("share", which=[0]), op("drop", which=[0]), op("drop", which=[0]), op("drop", which=[0])),
        Witness("counts-the-holders", op("new", num_blocks=2), op("allocate", n=2), op("share", which=[0]),
                op("free", which=[0, 1]), op("allocate", n=1), op("free", which=[0, 1]), op("allocate", n=2)),
        Witness("counts-the-holders", op("new", num_blocks=2), op("allocate", n=1), op("drop", which=[0]),
                op("recycle", which=[0]), op("allocate", n=1), op("share", which=[0])),
        Witness("counts-the-holders", op("new", num_blocks=9), op("allocate", n=8), op("share", which=list(range(8))),
                op("share", which=[7, 2, 5]), op("drop", which=[7, 6])),
        Witness("counts-the-holders", op("new", num_blocks=1), op("allocate", n=1), op("share", which=[]),
                op("drop", which=[]), op("recycle", which=[])),
        Witness("refused-means-unchanged", op("new", num_blocks=3), op("allocate", n=2), op("allocate", n=2)),
        Witness("refused-means-unchanged", op("new", num_blocks=0), op("allocate", n=1), op("allocate", n=0)),
        Witness("refused-means-unchanged", op("new", num_blocks=4), op("allocate", n=2), op("share", which=[0, 1]),
                op("allocate", n=4), op("allocate", n=2)),
        Witness("unheld-blocks-come-back-into-use", op("new", num_blocks=2), op("allocate", n=1),
                op("drop", which=[0]), op("share", which=[0])),
        Witness("unheld-blocks-come-back-into-use", op("new", num_blocks=3), op("allocate", n=3),
                op("drop", which=[0, 2]), op("share", which=[0, 1]), op("free", which=[0, 1])),
        Witness("drop-names-the-unheld", op("new", num_blocks=4), op("allocate", n=3), op("share", which=[1]),
                op("drop", which=[2, 1, 0])),
        Witness("drop-names-the-unheld", op("new", num_blocks=2), op("allocate", n=1), op("share", which=[0]),
                op("drop", which=[0]), op("drop", which=[0])),
        Witness("drop-names-the-unheld", op("new", num_blocks=3), op("allocate", n=3), op("drop", which=[1]),
                op("drop", which=[0]), op("drop", which=[0])),
        Witness("recycled-blocks-return", op("new", num_blocks=4), op("allocate", n=3), op("drop", which=[2, 0, 1]),
                op("recycle", which=[2, 0]), op("recycle", which=[0]), op("allocate", n=4)),
        Witness("recycled-blocks-return", op("new", num_blocks=3), op("allocate", n=3), op("free", which=[2, 0, 1]),
                op("allocate", n=3)),
        Witness("recycled-blocks-return", op("new", num_blocks=12), op("allocate", n=12),
                op("free", which=[11, 3, 7, 0, 9, 1])),
        Witness("passes-on-what-the-pool-answers", op("new", num_blocks=3), op("allocate", n=3), op("allocate", n=0),
                op("allocate", n=1)),
        Witness("counts-are-separate", op("new", num_blocks=3), op("allocate", n=1), op("other", num_blocks=3)),
        Witness("counts-are-separate", op("new", num_blocks=2), op("other", num_blocks=2), op("allocate", n=2)),
    )
    rule_hints = {
        "only-recycle-returns-blocks": "Which of your methods talk to the pool? Which of them runs while somebody may "
                                       "still hold the block?",
        "refused-means-unchanged": "What does the pool answer when it has no room, and what does your next line do "
                                   "with that answer?",
        "unheld-blocks-come-back-into-use": "A block was dropped and not recycled. What does your object still know "
                                            "about it when share names it?",
        "drop-names-the-unheld": "Follow one block that two tables hold through two drops. When is it named?",
        "recycled-blocks-return": "Where does a block go that nobody holds, and does it go there exactly once?",
        "passes-on-what-the-pool-answers": "What do you hand to whoever called allocate, if there is room and if there "
                                           "is none?",
        "counts-are-separate": "Where are the counts made: once for each object, or once for all?",
    }
    hints = (
        "Write down the count of one block: allocated, shared, dropped, dropped again. Which line of yours makes each "
        "of these changes?",
        "A block's count is the number of tables that hold it; it may go back to the pool only when that is 0 and "
        "somebody recycles it.",
        "for block in blocks:\n    self._counts[block] -= 1\nreturn [block for block in blocks if ____]",
    )

    def setup(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"num_blocks": st.integers(0, 6)}

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        from hypothesis import strategies as st

        which = {"which": st.lists(st.integers(0, 5), max_size=4)}
        return {"allocate": {"n": st.integers(0, 4)}, "share": which, "drop": which, "recycle": which, "free": which,
                "other": {"num_blocks": st.integers(0, 3)}}


def _sharing_operations() -> dict[str, dict[str, Any]]:
    from hypothesis import strategies as st

    seq = st.sampled_from("ABCD")
    return {"prompt": {"n": st.integers(0, 7)}, "fork": {"seq": seq}, "append": {"seq": seq, "n": st.integers(0, 7)},
            "release": {"seq": seq}}


def _sharing_setup() -> dict[str, Any]:
    from hypothesis import strategies as st

    return {"num_blocks": st.integers(1, 8), "block_size": st.integers(1, 4)}


class Fork(Specification):
    """fork: a second table over the same blocks."""

    exercise = "fork"
    referee = ForkReferee
    prelude = "from labkit.mine import BlockPool, BlockTable, RefCounts\n"
    rules = (
        Rule("every-block-counts-both", "Every block that both tables hold is counted once for each."),
        Rule("tables-are-separate", "The child is a table of its own: when one grows, the other does not change."),
        Rule("nothing-is-copied", "fork takes no block from the pool."),
        Rule("child-reads-the-same-tokens", "The child has the parent's blocks, in the same order, and its tokens."),
        Rule("parent-is-left-as-it-was", "Forking changes nothing about the parent."),
    )
    witnesses = (
        Witness("every-block-counts-both", op("new", num_blocks=4, block_size=2), op("prompt", seq="A", n=3),
                op("fork", seq="A", child="B")),
        Witness("every-block-counts-both", op("new", num_blocks=4, block_size=2), op("prompt", seq="A", n=6),
                op("fork", seq="A", child="B"), op("fork", seq="B", child="C"), op("release", seq="A"),
                op("release", seq="C"), op("release", seq="B")),
        Witness("tables-are-separate", op("new", num_blocks=4, block_size=2), op("prompt", seq="A", n=2),
                op("fork", seq="A", child="B"), op("append", seq="B", n=1)),
        Witness("tables-are-separate", op("new", num_blocks=5, block_size=2), op("prompt", seq="A", n=3),
                op("fork", seq="A", child="B"), op("append", seq="B", n=2), op("append", seq="A", n=1),
                op("release", seq="A"), op("append", seq="B", n=1)),
        Witness("child-reads-the-same-tokens", op("new", num_blocks=6, block_size=4), op("prompt", seq="A", n=9),
                op("prompt", seq="B", n=4), op("fork", seq="A", child="C")),
        Witness("child-reads-the-same-tokens", op("new", num_blocks=4, block_size=3), op("prompt", seq="A", n=7),
                op("release", seq="A"), op("prompt", seq="A", n=9), op("fork", seq="A", child="B")),
        Witness("child-reads-the-same-tokens", op("new", num_blocks=2, block_size=2), op("prompt", seq="A", n=0),
                op("fork", seq="A", child="B"), op("append", seq="B", n=1)),
        Witness("nothing-is-copied", op("new", num_blocks=8, block_size=2), op("prompt", seq="A", n=5),
                op("fork", seq="A", child="B")),
        Witness("nothing-is-copied", op("new", num_blocks=3, block_size=2), op("prompt", seq="A", n=5),
                op("fork", seq="A", child="B"), op("fork", seq="A", child="C")),
        Witness("parent-is-left-as-it-was", op("new", num_blocks=4, block_size=2), op("prompt", seq="A", n=3),
                op("fork", seq="A", child="B"), op("fork", seq="A", child="C")),
    )
    rule_hints = {
        "every-block-counts-both": "Two tables hold each block from now on. Whom must you tell?",
        "tables-are-separate": "After child.blocks = table.blocks, how many lists are there?",
        "nothing-is-copied": "Which block does the child need that nobody has?",
    }
    hints = (
        "What does a table consist of? Name its four attributes, and say for each whether the child needs the same one "
        "or one of its own.",
        "Afterwards both tables list the same blocks, in two lists, and each of these blocks is counted once more.",
        "child = BlockTable(table.pool, table.block_size)\ntable.pool.____(table.blocks)\n"
        "child.blocks = ____\nchild.num_tokens = table.num_tokens\nreturn child",
    )

    def setup(self) -> Mapping[str, Any]:
        return _sharing_setup()

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        return _sharing_operations()


class AppendCow(Specification):
    """append_cow: room for more tokens in a table whose blocks may be shared."""

    exercise = "append_cow"
    referee = AppendReferee
    prelude = "from labkit.mine import BlockPool, BlockTable, RefCounts, blocks_needed, fork\n"
    rules = (
        Rule("shared-block-is-never-written", "New tokens go only to blocks that this table holds alone."),
        Rule("every-sequence-reads-its-own-tokens", "Once the copies are made and the tokens written, every sequence "
                                                    "reads what it wrote."),
        Rule("counts-stay-true", "Every count is the number of tables that hold the block, and what none holds is "
                                 "free."),
        Rule("refused-means-unchanged", "A request that is refused changes neither table nor pool."),
        Rule("copies-only-when-it-must", "Only the last block is copied, and only if it is part filled, shared and "
                                         "about to be written."),
        Rule("room-for-every-token", "The table has just the blocks that its tokens need, and counts the tokens."),
        Rule("refuses-only-without-room", "The answer is None if, and only if, the pool has too few blocks for all of "
                                          "it."),
        Rule("copies-are-told", "The answer lists the copies to make, as (source, destination)."),
    )
    witnesses = (
        Witness("copies-only-when-it-must", op("new", num_blocks=6, block_size=2), op("prompt", seq="A", n=3),
                op("append", seq="A", n=1)),
        Witness("shared-block-is-never-written", op("new", num_blocks=4, block_size=4), op("prompt", seq="A", n=2),
                op("fork", seq="A", child="B"), op("append", seq="B", n=1)),
        Witness("shared-block-is-never-written", op("new", num_blocks=4, block_size=4), op("prompt", seq="A", n=2),
                op("fork", seq="A", child="B"), op("append", seq="A", n=1)),
        Witness("shared-block-is-never-written", op("new", num_blocks=6, block_size=2), op("prompt", seq="A", n=3),
                op("fork", seq="A", child="B"), op("fork", seq="A", child="C"), op("append", seq="C", n=1),
                op("append", seq="A", n=1), op("append", seq="B", n=1)),
        Witness("shared-block-is-never-written", op("new", num_blocks=8, block_size=4), op("prompt", seq="A", n=5),
                op("fork", seq="A", child="B"), op("append", seq="B", n=6)),
        Witness("every-sequence-reads-its-own-tokens", op("new", num_blocks=4, block_size=4),
                op("prompt", seq="A", n=3), op("fork", seq="A", child="B"), op("append", seq="B", n=1),
                op("append", seq="A", n=1)),
        Witness("every-sequence-reads-its-own-tokens", op("new", num_blocks=6, block_size=3),
                op("prompt", seq="A", n=4), op("fork", seq="A", child="B"), op("append", seq="B", n=4),
                op("append", seq="A", n=1)),
        Witness("counts-stay-true", op("new", num_blocks=5, block_size=2), op("prompt", seq="A", n=3),
                op("fork", seq="A", child="B"), op("append", seq="B", n=1), op("release", seq="A"),
                op("release", seq="B")),
        Witness("counts-stay-true", op("new", num_blocks=5, block_size=2), op("prompt", seq="A", n=3),
                op("fork", seq="A", child="B"), op("fork", seq="A", child="C"), op("append", seq="B", n=1)),
        Witness("refused-means-unchanged", op("new", num_blocks=3, block_size=2), op("prompt", seq="A", n=3),
                op("fork", seq="A", child="B"), op("append", seq="B", n=3)),
        Witness("refused-means-unchanged", op("new", num_blocks=2, block_size=2), op("prompt", seq="A", n=3),
                op("fork", seq="A", child="B"), op("append", seq="B", n=1)),
        Witness("refused-means-unchanged", op("new", num_blocks=3, block_size=2), op("prompt", seq="A", n=3),
                op("append", seq="A", n=6)),
        Witness("refused-means-unchanged", op("new", num_blocks=4, block_size=2), op("prompt", seq="A", n=4),
                op("fork", seq="A", child="B"), op("append", seq="B", n=5)),
        Witness("refuses-only-without-room", op("new", num_blocks=3, block_size=2), op("prompt", seq="A", n=3),
                op("fork", seq="A", child="B"), op("append", seq="B", n=1)),
        Witness("refuses-only-without-room", op("new", num_blocks=2, block_size=2), op("prompt", seq="A", n=3),
                op("append", seq="A", n=1), op("append", seq="A", n=0)),
        Witness("refuses-only-without-room", op("new", num_blocks=4, block_size=2), op("prompt", seq="A", n=3),
                op("fork", seq="A", child="B"), op("append", seq="B", n=3)),
        Witness("refuses-only-without-room", op("new", num_blocks=2, block_size=2), op("prompt", seq="A", n=3),
                op("fork", seq="A", child="B"), op("append", seq="B", n=0)),
        Witness("refuses-only-without-room", op("new", num_blocks=3, block_size=2), op("prompt", seq="A", n=4),
                op("fork", seq="A", child="B"), op("append", seq="B", n=2)),
        Witness("room-for-every-token", op("new", num_blocks=6, block_size=2), op("prompt", seq="A", n=3),
                op("append", seq="A", n=1), op("append", seq="A", n=1), op("append", seq="A", n=4)),
        Witness("room-for-every-token", op("new", num_blocks=6, block_size=2), op("prompt", seq="A", n=0),
                op("append", seq="A", n=0), op("append", seq="A", n=4), op("append", seq="A", n=1)),
        Witness("room-for-every-token", op("new", num_blocks=6, block_size=4), op("prompt", seq="A", n=5),
                op("fork", seq="A", child="B"), op("append", seq="B", n=7)),
        Witness("room-for-every-token", op("new", num_blocks=5, block_size=1), op("prompt", seq="A", n=2),
                op("fork", seq="A", child="B"), op("append", seq="B", n=1), op("append", seq="A", n=2)),
        Witness("copies-only-when-it-must", op("new", num_blocks=6, block_size=2), op("prompt", seq="A", n=4),
                op("fork", seq="A", child="B"), op("append", seq="B", n=1)),
        Witness("copies-only-when-it-must", op("new", num_blocks=6, block_size=2), op("prompt", seq="A", n=3),
                op("fork", seq="A", child="B"), op("append", seq="B", n=0)),
        Witness("copies-only-when-it-must", op("new", num_blocks=6, block_size=2), op("prompt", seq="A", n=3),
                op("fork", seq="A", child="B"), op("release", seq="A"), op("append", seq="B", n=1)),
        Witness("copies-only-when-it-must", op("new", num_blocks=8, block_size=2), op("prompt", seq="A", n=5),
                op("fork", seq="A", child="B"), op("append", seq="B", n=1), op("append", seq="B", n=1)),
        Witness("copies-only-when-it-must", op("new", num_blocks=8, block_size=2), op("prompt", seq="A", n=4),
                op("fork", seq="A", child="B"), op("append", seq="B", n=1), op("append", seq="A", n=1),
                op("append", seq="A", n=1), op("append", seq="B", n=2)),
        Witness("copies-are-told", op("new", num_blocks=6, block_size=4), op("prompt", seq="A", n=5),
                op("fork", seq="A", child="B"), op("append", seq="B", n=1)),
        Witness("copies-are-told", op("new", num_blocks=6, block_size=4), op("prompt", seq="A", n=5),
                op("append", seq="A", n=1), op("append", seq="A", n=4)),
    )
    rule_hints = {
        "every-sequence-reads-its-own-tokens": "The table points to a new block. What is in it at that moment, and who "
                                               "will see to it that the old tokens are?",
        "counts-stay-true": "The table let go of one block and took another. Which two counts change, and by how much?",
        "refused-means-unchanged": "How often do you ask the pool? What has happened when the second answer is None?",
        "refuses-only-without-room": "Count by hand how many blocks this append needs, the copy included. How many do "
                                     "you ask for?",
        "room-for-every-token": "Without sharing, this is BlockTable.append: what does it change, in what order?",
        "copies-only-when-it-must": "Which block will be written, and can anybody but this table ever look at the "
                                    "slots that will be?",
        "copies-are-told": "Whoever called you moves the bytes. From where to where, and what if nothing has to move?",
    }
    hints = (
        "Which one block of the table can a new token fall into that already holds tokens, and who else may hold it?",
        "A copy is due if tokens are added, the last block is part filled, and its count is above 1; it takes one "
        "block more, in the same request as the others.",
        "copy = n > 0 and table.num_tokens % table.block_size > 0 and table.pool.count(____) > 1\n"
        "fresh = table.pool.allocate(missing + ____)\nif fresh is None:\n    return None\n"
        "if copy:\n    shared, own = table.blocks[-1], fresh.pop()\n    table.blocks[-1] = ____\n"
        "    table.pool.free([____])",
    )

    def setup(self) -> Mapping[str, Any]:
        return _sharing_setup()

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        return _sharing_operations()


class BreakTheTwoRequests(BreakIt):
    """An append_cow that takes the block for the copy first, and asks for the others afterwards."""

    exercise = "break_two_requests"
    base = AppendCow()
    reference = "labkit.cache.copy_on_write:append_cow"
    largest = 64
    bug = '''
def append_cow(table, n=1):
    refs, copies = table.pool, []
    part_filled = table.num_tokens % table.block_size > 0
    if n and part_filled and refs.count(table.blocks[-1]) > 1:
        own = refs.allocate(1)
        if own is None:
            return None
        copies.append((table.blocks[-1], own[0]))
        refs.free([table.blocks[-1]])
        table.blocks[-1] = own[0]
    total = table.num_tokens + n
    more = refs.allocate(blocks_needed(total, table.block_size) - len(table.blocks))
    if more is None:
        return None
    table.blocks.extend(more)
    table.num_tokens = total
    return copies
'''
    shortest = (op("new", num_blocks=2, block_size=2), op("prompt", seq="A", n=1), op("fork", seq="A", child="B"),
                op("append", seq="B", n=2))
    hints = (
        "After which answer of the pool has this append changed something already?",
        "The first request must be granted and the second refused: what has to be free, and how many blocks must the "
        "append need?",
        '[("BlockPool", 2, 2), ("prompt", "A", 1), ("fork", "A", "B"), ("append", "B", ____)]',
    )

    def parse(self, item: Any) -> Op:
        if isinstance(item, list | tuple) and item and item[0] == "BlockPool":
            item = ("new", *item[1:])
        return super().parse(item)

    @property
    def example(self) -> str:
        return '("BlockPool", 4, 2)'

    def names_shown(self) -> list[str]:
        return ["BlockPool" if name == "new" else name for name in super().names_shown()]

    def sense(self, ops: list[Op]) -> str:
        """Follow which sequences there are, and hold numbers to be numbers."""
        alive: set[str] = set()
        for i, step in enumerate(ops, 1):
            if (i == 1) != (step.name == "new"):
                return 'Let the list begin with ("BlockPool", 4, 2), blocks and tokens a block, and have one pool only.'
            for name, value in step.args.items():
                if name in ("seq", "child"):
                    if not isinstance(value, str) or not value.isidentifier() or len(value) > 8:
                        return f'Operation {i} names a sequence {show(value, 20)}; a letter such as "A" is due there.'
                elif type(value) is not int or not 0 <= value <= self.largest:
                    return (f"Operation {i} has the argument {show(value, 20)}; a whole number from 0 to "
                            f"{self.largest} is due there.")
            if step.name == "new":
                if not step.args["block_size"]:
                    return "A block holds one token at least: let the last number of BlockPool be 1 or more."
                size, free = step.args["block_size"], step.args["num_blocks"]
                continue
            seq = step.args["seq"]
            if step.name == "prompt":
                if seq in alive:
                    return f"Operation {i} starts {seq}, which there is already: take another letter."
                if -(-step.args["n"] // size) > free:
                    return (f"Operation {i} starts {seq} with {step.args['n']} tokens, more than the whole pool has "
                            "slots: take a larger pool, or fewer tokens.")
                alive.add(seq)
            elif seq not in alive:
                return f'Operation {i} is about {seq}, which there is not: begin it with ("prompt", "{seq}", 3).'
            elif step.name == "fork":
                if step.args["child"] in alive:
                    return f"Operation {i} makes {step.args['child']}, which there is already: take another letter."
                alive.add(step.args["child"])
            elif step.name == "release":
                alive.discard(seq)
        return ""

    def why_it_stands(self, ops: list[Op]) -> str:
        if not any(step.name == "fork" for step in ops):
            return "Nothing is shared in these operations, so nothing has to be copied, and there is nothing to go " \
                   "wrong with."
        return super().why_it_stands(ops)


LESSON = Lesson(
    key="06_sharing",
    title="Sharing and copy-on-write",
    part="I. Memory",
    minutes=70,
    builds="Sequences that share the blocks of a common beginning, and part where they begin to differ.",
    symptom="Somebody asks for four answers a prompt, and a server that was half empty is full: every prompt is there "
            "four times.",
    lights="",
    exercises=(
        Exercise("RefCounts", "Who holds a block, and how often", 12, 2, 5, Counts(),
                 "labkit.cache.ref_counts:RefCounts", kind="class"),
        Exercise("fork", "A second sequence from the same tokens", 6, 2, 4, Fork(), "labkit.cache.copy_on_write:fork"),
        Exercise("append_cow", "Copy when two would write", 15, 4, 5, AppendCow(),
                 "labkit.cache.copy_on_write:append_cow"),
        Exercise("break_two_requests", "Break it: the copy that was forgotten", 5, 3, 3, BreakTheTwoRequests(),
                 kind="break"),
    ),
)
