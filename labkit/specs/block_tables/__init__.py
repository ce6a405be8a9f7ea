"""Lesson 05, block tables: its rules, witnesses and hints."""

from __future__ import annotations

import random
from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.compare import Mismatch, whole
from labkit.grading.display import show
from labkit.grading.functions import FunctionSpecification
from labkit.grading.language import Op, rules_from
from labkit.grading.specification import Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.block_tables.referees import ChunkReferee, PlaceReferee, TableReferee
from labkit.words import plural

# ----- slot_of and slot_mapping -------------------------------------------------------------------------------------


def _drawn_blocks(draw: random.Random) -> list[int]:
    return draw.sample(range(41), draw.randint(0, 6))


class SlotOf(FunctionSpecification):
    """Which slot holds one token."""

    exercise = "slot_of"
    referee = PlaceReferee
    refusal = "outside-is-refused"
    prelude = "from labkit.errors import BlockError\n"
    rules = rules_from(
        """
        the-table-names-the-block: The slot lies in the physical block that the table names.
            [7,1,3] 37 16
            [5,2] 6 4
            [7,1,3] 26 16
            [9] 2 4
            [0,9] 6 4
            [4,9] 8 6
            [6,2,8] 2 1
            [0,5,1] 5 4
            [3,0] 10 8
            [3,0] 10 6
            999..0 15000 16
        edges-belong-to-one-block: Logical block i holds the block_size positions from i * block_size on.
            ? Blocks hold 4 tokens. Which tokens does the first block hold, by number, and which is the first of the \
              second?
            [7,1,3] 16 16
            [7,1,3] 32 16
            [7,1,3] 15 16
            [4,0] 3 4
            [4,0] 0 4
        the-offset-stays: A token has the same offset in its physical block as in its logical one.
            ?
            [3,0] 13 12
            [7,1,3] 21 16
            [2] 1 8
            [2] 7 8
        outside-is-refused: A position that lies in no block of the table raises BlockError.
            ? What does Python answer to blocks[-1], and what to blocks[3] in a list of three?
            [7,1,3] 48 16
            [7,1,3] 100 16
            [7,1,3] -1 16
            [7,1,3] -48 16
            [] 0 4
        """
    )
    hints = (
        "Blocks hold 16 tokens. In which logical block is token 37, and how many tokens of that block come before it?",
        "position = logical block * block_size + offset, and slot = physical block * block_size + offset. Only the "
        "block changes its number; the offset does not.",
        "logical, offset = divmod(position, ____)\nif not 0 <= logical < ____:\n    raise BlockError(...)\n"
        "return blocks[____] * block_size + ____",
    )
    search = {"blocks": _drawn_blocks, "position": (-3, 40), "block_size": (1, 16)}

    def why_refused(self, blocks: list[int], position: int, block_size: int) -> str:
        holds = (
            f"The table has {plural(len(blocks), 'block')} of {block_size}, so positions 0 to "
            f"{len(blocks) * block_size - 1}"
            if blocks
            else "The table has no block and no position"
        )
        return f"{holds}, and {position} is none of them: BlockError is due."

    def why_answered(self, blocks: list[int], position: int, block_size: int) -> str:
        """Why an answer is due to this call."""
        last = "entry 0 alone" if len(blocks) == 1 else f"entries 0 to {len(blocks) - 1}"
        return (
            f"position {position} lies in logical block {position // block_size}, and a table of "
            f"{plural(len(blocks), 'block')} has {last}."
        )

    def rule_if_raised(self, rule: str, blocks: list[int], position: int, block_size: int) -> str:
        # Who refuses position 0 takes it for none, and is not mistaken about an edge.
        return rule if position else "the-table-names-the-block"

    def rule_for(self, blocks: list[int], position: int, block_size: int) -> str:
        return "the-table-names-the-block" if position % block_size else "edges-belong-to-one-block"

    def blame(self, rule: str, seen: Any, expected: Any, blocks: list[int], position: int, block_size: int) -> str:
        logical, offset = divmod(position, block_size)
        block = (whole(seen) or 0) // block_size
        if block == blocks[logical]:
            return "the-offset-stays"
        before = blocks[logical - 1 : logical] if offset == 0 and logical else []
        behind = blocks[logical + 1 : logical + 2] if offset == block_size - 1 else []
        return "edges-belong-to-one-block" if block in before + behind else "the-table-names-the-block"

    def cause(self, rule: str, seen: Any, expected: Any, blocks: list[int], position: int, block_size: int) -> str:
        logical, offset = divmod(position, block_size)
        block, place = divmod(whole(seen) or 0, block_size)
        if block < 0:
            return f"{whole(seen)} is no slot; they are counted from 0."
        if rule == "the-offset-stays":
            return (
                f"Token {position} has offset {offset} in logical block {logical}; slot {whole(seen)} is offset "
                f"{place} of physical block {block}."
            )
        if rule == "edges-belong-to-one-block":
            first = logical * block_size
            holds = f"tokens {first} to {first + block_size - 1}" if block_size > 1 else f"token {first} alone"
            beside = "before" if block in blocks[:logical] else "behind"
            return (
                f"Logical block {logical} holds {holds}, so {position} lies there; slot {whole(seen)} lies in the "
                f"block {beside} it."
            )
        whose = (
            "a block that is not in this table"
            if block not in blocks
            else f"which holds logical block {blocks.index(block)}"
        )
        return (
            f"Token {position} lies in logical block {logical}, which the table puts into physical block "
            f"{blocks[logical]}. Slot {whole(seen)} lies in block {block}, {whose}."
        )


class SlotMapping(FunctionSpecification):
    """The slots of a chunk of new tokens."""

    exercise = "slot_mapping"
    referee = ChunkReferee
    refusal = "outside-is-refused"
    prelude = "from labkit.mine import slot_of\nfrom labkit.errors import BlockError\n"
    rules = rules_from(
        """
        begins-at-start: The first entry is the slot of position start, wherever in a block that is.
            [7,1,3] 20 22 16
            [7,1,3] 37 38 16
            [5,2,9] 6 11 4
            [5,2,9] 8 10 4
        goes-on-in-the-table: Behind the last place of a block comes the first place of the table's next one.
            ?
            [7,1,3] 14 18 16
            [5,2,9] 0 12 4
            [5,2,9,0] 3 13 4
            [9,4,6] 0 3 1
            [3,8,1] 2 14 5
            [2,9,5] 0 12 4
            299..0 5 4795 16
        one-slot-a-token: There are stop - start entries: one for each token, and none for position stop.
            ? How many slots are due for tokens 4 to 7, that is start = 4 and stop = 8? And for none?
            [5,2,9] 4 8 4
            [5,2] 1 6 4
            [5] 0 1 4
            [7,1,3] 3 3 16
            [7,1,3] 0 0 16
            [5,2] 8 8 4
        outside-is-refused: A start above stop, or a position that no block holds, raises BlockError.
            ? Which ranges can nobody have a slot for? What does range(5, 4) give?
            [7,1,3] 40 49 16
            [7,1,3] 48 64 16
            [7,1,3] 5 4 16
            [7,1,3] -2 2 16
            [] 0 1 4
        """
    )
    hints = (
        "A chunk is tokens 14 to 17, blocks hold 16, the table is [7, 1, 3]. Which blocks does it touch, and at which "
        "offsets?",
        "Entry i is the slot of position start + i, and of nothing else: neither the length of the chunk nor the "
        "entries before it change that.",
        "if start > ____:\n    raise BlockError(...)\nreturn [slot_of(blocks, ____, block_size) for ____ in "
        "range(____, ____)]",
    )
    search = {"blocks": _drawn_blocks, "start": (-2, 20), "stop": (-2, 30), "block_size": (1, 8)}

    def why_refused(self, blocks: list[int], start: int, stop: int, block_size: int) -> str:
        if start > stop:
            return f"start is {start} and stop {stop}: no chunk of tokens ends before it begins."
        position = start if start < 0 or start >= len(blocks) * block_size else len(blocks) * block_size
        if not blocks:
            return f"The table has no block, and position {position} has no place."
        return (
            f"The table has {plural(len(blocks), 'block')} of {block_size}, so positions 0 to "
            f"{len(blocks) * block_size - 1}, and {position} is none of them."
        )

    def why_answered(self, blocks: list[int], start: int, stop: int, block_size: int) -> str:
        """Why an answer is due to this call."""
        if start == stop:
            return f"from {start} to {stop} there is no token, and the answer is the empty list."
        return (
            f"the table has {plural(len(blocks), 'block')} of {block_size}, so each of the positions {start} to "
            f"{stop - 1} has a slot."
        )

    def rule_for(self, blocks: list[int], start: int, stop: int, block_size: int) -> str:
        # At the very end of the table the mistake is one of counting: stop itself has no place, and is not asked for.
        if start == stop or stop == len(blocks) * block_size:
            return "one-slot-a-token"
        return "goes-on-in-the-table" if start // block_size < (stop - 1) // block_size else "begins-at-start"

    def compare(self, seen: Any, expected: Any) -> Mismatch | None:
        if isinstance(seen, list | tuple):
            wrong = [slot for slot in seen if whole(slot) is None]
            if wrong:
                return Mismatch("wrong-type", f"The answer holds {show(wrong[0], 40)}, which is not a slot number.")
        mismatch = super().compare(seen, expected)
        if mismatch is None and isinstance(seen, tuple):
            cause = "The answer is a tuple where a list of slots is due: memory is indexed with it."
            return Mismatch("wrong-type", cause)
        return mismatch

    def blame(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        if expected and seen and whole(seen[0]) != expected[0]:
            return "begins-at-start"
        if any(whole(a) != b for a, b in zip(seen, expected, strict=False)):
            return "goes-on-in-the-table"
        return "one-slot-a-token"

    def cause(
        self, rule: str, seen: Any, expected: Any, blocks: list[int], start: int, stop: int, block_size: int
    ) -> str:
        if rule == "one-slot-a-token":
            return (
                f"Positions {start} to {stop - 1} are {plural(stop - start, 'token')}; your mapping has "
                f"{plural(len(seen), 'entry', 'entries')}."
                if stop > start
                else f"From {start} to {stop} there is no token, and your mapping has {len(seen)}."
            )
        at = next(i for i, (a, b) in enumerate(zip(seen, expected, strict=False)) if whole(a) != b)
        position, slot = start + at, whole(seen[at]) or 0
        block, offset = divmod(slot, block_size)
        where = (
            f"holds position {blocks.index(block) * block_size + offset}"
            if block in blocks
            else f"lies in block {block}, which is not in this table"
        )
        return (
            f"Entry {at} is for position {position}, which lies in physical block {blocks[position // block_size]} "
            f"at offset {position % block_size}; your slot {slot} {where}."
        )


# ----- BlockTable ---------------------------------------------------------------------------------------------------


class Table(Specification):
    """BlockTable: the blocks of one sequence, which grows and gives everything back."""

    exercise = "BlockTable"
    referee = TableReferee
    prelude = "from labkit.mine import blocks_needed, slot_mapping\nfrom labkit.errors import BlockError\n"
    rules = rules_from(
        """
        blocks-come-from-the-pool: The table holds the blocks that it took from the pool, all of them, each once.
            ? Which blocks did the pool give in this call, and where in your code do they go?
            new 8 4; append 4; others_take 2; append 4; append 4
            new 8 4; append 5
        tokens-stay-where-they-are: The blocks that a table has keep their places; new ones go behind them.
            ? The keys and values of the first tokens are written. What must not happen to the beginning of the list \
              of blocks?
            new 8 2; append 3; append 3; append 3
        as-many-blocks-as-needed: The table has as many blocks as its tokens need: the last one's free end is filled \
            first.
            ?
            new 8 4; append 3; append 1
            new 8 4; append 4; append 1
            new 8 4; append 3; append 5
            new 8 4; append 2; append 3; append 9
            new 8 4; append 1; append 12
            new 8 4; append_one; append_one; append_one; append_one; append_one; append_one; append_one; append_one; \
              append_one
            new 8 1; append 2; append 1
            new 40 16; append 130; append 14; append 1
            new 300 16; append 4000; append 700; append 1
        tokens-are-counted: append(n) answers True where there is room, and num_tokens has grown by n.
            ? What does append answer, and what has become of num_tokens, if n is 0, and if the tokens fit without a \
              new block?
            new 4 4; append 3; append_one
            new 2 4; append 8; append 0
            new 2 4; append 0
            new 2 4; append 5; append 3
        refused-means-unchanged: If the pool has too few blocks, append answers False, and table and pool are as \
            before.
            ? When the pool says None, what has your append changed already?
            new 3 2; append 3; append 4; append 3
            new 4 2; append 3; others_take 2; append 2; append 1; append 1
            new 1 4; append 9; append 4
            new 0 4; append 1
            new 2 4; append 7; append 2; append 1; append_one
        release-returns-all: After release every block is back in the pool, and the table is as new.
            ? After release, what do blocks and num_tokens say, and what does the pool say?
            new 4 2; append 5; release; append 8
            new 4 2; append 3; release; release; append 1; append 2
            new 6 2; others_take 2; append 3; release; others_take 1; append 4; others_return; release
            new 2 4; release; append 1
            new 300 16; append 4799; release; append 4800
        slots-of-tokens-only: slots answers for tokens that are there, and raises BlockError for others.
            ? Five tokens in blocks of four: the table has room for eight. Which of the eight has a slot that \
              somebody may read?
            new 4 4; append 5; slots 2 5
            new 4 4; append 5; slots 1 3
            new 6 2; append 9; slots 0 9; slots 3 6
            new 300 16; append 4001; slots 0 4001; slots 4000 4001; slots 0 4002
            new 4 4; append 5; slots -2 5
            new 4 4; append 5; slots 5 6
            new 4 4; append 5; slots 7 7
            new 4 4; append 5; slots 0 5; slots 0 5
            new 4 4; append 5; slots 3 7
            new 4 4; append 5; slots 4 9
            new 4 4; append 5; slots -1 2
            new 4 4; append 5; slots 3 2
            new 4 4; slots 0 0; slots 0 1
            new 4 4; append 8; slots 0 8; slots 7 8; slots 8 8
            new 4 4; append 6; release; slots 0 1
            new 8 4; append 6; slots 0 6; release; append 6; slots 0 6
            new 4 4; append 5; slot 0; slot 4; slot 5
        tail-goes-first: release returns the last block of the table first.
            ? In which order does the pool see the blocks that you return, and which of them would you give away \
              first?
            new 4 2; append 5; release
            new 8 2; append 4; append 9; release
        tables-are-separate: Two tables share nothing but the pool.
            ? Where is the list of blocks made: once for each table, or once for all?
            new 4 2; append 3; second_table 2; append 1; slots 0 4
            new 4 2; second_table 3; append 1; release
            new 4 2; append 1; second_table 3 own_pool=true; append 4; release
        """
    )
    hints = (
        "The table has 5 tokens in blocks of 4. How many tokens go into the blocks it has, before it needs another?",
        "After every call, len(blocks) == blocks_needed(num_tokens, block_size), and after a refused one nothing at "
        "all has changed: neither the blocks, nor the number of tokens, nor the pool.",
        "# append\nmissing = blocks_needed(____, self.block_size) - ____\nnew_blocks = self.pool.allocate(missing)\n"
        "if new_blocks is None:\n    return ____\n# only now: change something\n\n# slots\nif stop > ____:\n"
        "    raise BlockError(...)\nreturn slot_mapping(____, start, stop, self.block_size)\n\n# release\n"
        "self.pool.free(____)\nself.blocks, self.num_tokens = ____, ____",
    )
    search = {
        "num_blocks": (0, 8),
        "block_size": (1, 4),
        "n": (0, 9),
        "start": (-1, 10),
        "position": (-1, 10),
        "stop": (-1, 12),
        "others_take.n": (1, 3),
        "second_table.n": (0, 4),
        "own_pool": [False, True],
    }


class BreakTheRoom(BreakIt):
    """A table that counts the free end of its last block, and goes on counting after a release."""

    exercise = "break_counted_room"
    base = Table()
    reference = "labkit.cache.block_table:BlockTable"
    hints = (
        "room says how many places are free in the last block. Follow it through every method: where is it right, and "
        "where is it only what it used to be?",
        "room = len(blocks) * block_size - num_tokens must hold after every call. After which call does it not?",
        '[("BlockTable", 4, 4), ("append", ____), ("____",), ("append", ____)]',
    )
    largest = 1000

    renamed = {"BlockTable": "new"}
    example = '("BlockTable", 4, 2)'
    allowed = ("new", "append", "slots", "release")

    def why_it_stands(self, ops: list[Op]) -> str:
        if not any(step.name == "release" for step in ops):
            return (
                f"The wrong table kept every rule through all {len(ops)} operations. In the life of one sequence, "
                "from the first token to the last, it makes no mistake."
            )
        released, tokens, again = False, 0, 0
        for step in ops[1:]:
            if step.name == "release":
                released, tokens = released or tokens > 0, 0
            elif step.name.startswith("append"):
                tokens += step.args.get("n", 1)
                again += step.args.get("n", 1) if released else 0
        kept = f"The wrong table kept every rule through all {len(ops)} operations."
        if not released:
            return f"{kept} A release of a table without tokens leaves everything as it was."
        if not again:
            return f"{kept} It was released, and no token came afterwards; a mistake shows only where it is used."
        return (
            f"{kept} It was released and used again, and had as many blocks as it needed all the same. Work out "
            "what room was at the release, and with how many tokens that would show."
        )


TABLE = "labkit.cache.block_table:"

LESSON = Lesson(
    key="05_block_tables",
    title="Block tables",
    part="I. Memory",
    minutes=65,
    builds="A block table: where each token of a sequence lies, one block more when the last is full, all or nothing.",
    symptom="Replies begin well and go on in somebody else's text, but only when the server is busy.",
    exercises=(
        Exercise("slot_of", "The slot of one token", 5, 1, 5, SlotOf(), TABLE + "slot_of"),
        Exercise("slot_mapping", "The slots of a chunk", 8, 2, 4, SlotMapping(), TABLE + "slot_mapping"),
        Exercise(
            "BlockTable", "The block table", 15, 3, 5, Table(), TABLE + "BlockTable", slot="block_table", kind="class"
        ),
        Exercise("break_counted_room", "Break it: the room that was counted", 5, 3, 3, BreakTheRoom(), kind="break"),
    ),
    ending="I can follow a token from its position through the table to its slot. So I can say why a sequence needs "
    "no two blocks side by side, and what it looks like when somebody writes as if it did.",
)
