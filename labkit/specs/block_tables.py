"""Lesson 05, block tables: its rules, witnesses and hints."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from labkit.cache.block_table import blocks_needed, slot_mapping, slot_of
from labkit.cache.checks import whole_number
from labkit.errors import BlockError, DoubleFreeError
from labkit.grading.breakit import BreakIt
from labkit.grading.compare import Mismatch, whole
from labkit.grading.display import Words, show
from labkit.grading.functions import FunctionReferee, FunctionSpecification
from labkit.grading.specification import Op, Referee, Rule, Specification, Witness, op
from labkit.observe.events import Kind
from labkit.specs import Exercise, Lesson

OUTSIDE = "outside-is-refused"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


# ----- slot_of and slot_mapping -------------------------------------------------------------------------------------


class RangeReferee(FunctionReferee):
    """A function of positions, some of which no block holds; for those a BlockError is the right answer."""

    def do_call(self, **args: Any) -> None:
        spec = self.spec
        assert isinstance(spec, RangeSpecification)
        args = {name: args[name] for name in spec.parameters()}
        why = spec.why_outside(**args)
        if not why:
            super().do_call(**args)
            return
        answer = self.call(OUTSIDE, spec.label(args), self.implementation, *spec.decode(args).values(),
                           raises=BlockError, due=BlockError)
        if self.require(OUTSIDE, isinstance(answer, BlockError), expected=Words("raises BlockError"), cause=why):
            self.note("right: refused")

    def resolve(self, op: Op) -> Op | None:
        # A range without a position asks for nothing: where it lies is nobody's business.
        args = op.args
        return None if "start" in args and args["start"] == args["stop"] and self.spec.is_off(**args) else op


class RangeSpecification(FunctionSpecification):
    """Base of the two."""

    referee = RangeReferee

    def why_outside(self, **args: Any) -> str:
        """Why no slot is due; "" where one is."""
        raise NotImplementedError


class SlotOf(RangeSpecification):
    """Which slot holds one token."""

    exercise = "slot_of"
    prelude = "from labkit.errors import BlockError\n"
    rules = (
        Rule("the-table-names-the-block", "The slot lies in the physical block that the table names."),
        Rule("edges-belong-to-one-block", "Logical block i holds the block_size positions from i * block_size on."),
        Rule("the-offset-stays", "A token has the same offset in its physical block as in its logical one."),
        Rule(OUTSIDE, "A position that lies in no block of the table raises BlockError."),
    )
    witnesses = (
        Witness("the-table-names-the-block", op("call", blocks=[7, 1, 3], position=37, block_size=16)),
        Witness("the-table-names-the-block", op("call", blocks=[5, 2], position=6, block_size=4)),
        Witness("the-table-names-the-block", op("call", blocks=[7, 1, 3], position=26, block_size=16)),
        Witness("the-table-names-the-block", op("call", blocks=[9], position=2, block_size=4)),
        # The same length and position as above in another table: what one call knew is not true in the next.
        Witness("the-table-names-the-block", op("call", blocks=[0, 9], position=6, block_size=4)),
        # A block size need not be a power of two, and a fraction of it need not be exact.
        Witness("the-table-names-the-block", op("call", blocks=[4, 9], position=8, block_size=6)),
        Witness("the-offset-stays", op("call", blocks=[3, 0], position=13, block_size=12)),
        Witness("the-table-names-the-block", op("call", blocks=[6, 2, 8], position=2, block_size=1)),
        Witness("the-table-names-the-block", op("call", blocks=[0, 5, 1], position=5, block_size=4)),
        Witness("the-table-names-the-block", op("call", blocks=[3, 0], position=10, block_size=8)),
        Witness("edges-belong-to-one-block", op("call", blocks=[7, 1, 3], position=16, block_size=16)),
        Witness("edges-belong-to-one-block", op("call", blocks=[7, 1, 3], position=32, block_size=16)),
        Witness("edges-belong-to-one-block", op("call", blocks=[7, 1, 3], position=15, block_size=16)),
        Witness("edges-belong-to-one-block", op("call", blocks=[4, 0], position=3, block_size=4)),
        Witness("edges-belong-to-one-block", op("call", blocks=[4, 0], position=0, block_size=4)),
        Witness("the-offset-stays", op("call", blocks=[7, 1, 3], position=21, block_size=16)),
        Witness("the-offset-stays", op("call", blocks=[2], position=1, block_size=8)),
        Witness("the-offset-stays", op("call", blocks=[2], position=7, block_size=8)),
        Witness(OUTSIDE, op("call", blocks=[7, 1, 3], position=48, block_size=16)),
        Witness(OUTSIDE, op("call", blocks=[7, 1, 3], position=100, block_size=16)),
        Witness(OUTSIDE, op("call", blocks=[7, 1, 3], position=-1, block_size=16)),
        Witness(OUTSIDE, op("call", blocks=[7, 1, 3], position=-48, block_size=16)),
        Witness(OUTSIDE, op("call", blocks=[], position=0, block_size=4)),
    )
    hints = (
        "Blocks hold 16 tokens. In which logical block is token 37, and how many tokens of that block come before it?",
        "position = logical block * block_size + offset, and slot = physical block * block_size + offset. Only the "
        "block changes its number; the offset does not.",
        "logical, offset = divmod(position, ____)\nif not 0 <= logical < ____:\n    raise BlockError(...)\n"
        "return blocks[____] * block_size + ____",
    )
    rule_hints = {
        "edges-belong-to-one-block": "Blocks hold 4 tokens. Which tokens does the first block hold, by number, and "
                                     "which is the first of the second?",
        OUTSIDE: "What does Python answer to blocks[-1], and what to blocks[3] in a list of three?",
    }

    def oracle(self, blocks: list[int], position: int, block_size: int) -> int:
        return slot_of(blocks, position, block_size)

    def arguments(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"blocks": st.lists(st.integers(0, 40), unique=True, max_size=6), "position": st.integers(-3, 40),
                "block_size": st.integers(1, 16)}

    def why_outside(self, blocks: list[int], position: int, block_size: int) -> str:
        if 0 <= position < len(blocks) * block_size:
            return ""
        holds = f"The table has {_count(len(blocks), 'block')} of {block_size}, so positions 0 to " \
                f"{len(blocks) * block_size - 1}" if blocks else "The table has no block, so no position"
        return f"{holds}; whoever writes to the slot you gave for {position} overwrites another token."

    def rule_for(self, blocks: list[int], position: int, block_size: int) -> str:
        return "the-table-names-the-block" if position % block_size else "edges-belong-to-one-block"

    def blame(self, rule: str, seen: Any, expected: Any, blocks: list[int], position: int, block_size: int) -> str:
        logical, offset = divmod(position, block_size)
        block = whole(seen) // block_size
        if block == blocks[logical]:
            return "the-offset-stays"
        before = blocks[logical - 1 : logical] if offset == 0 and logical else []
        behind = blocks[logical + 1 : logical + 2] if offset == block_size - 1 else []
        return "edges-belong-to-one-block" if block in before + behind else "the-table-names-the-block"

    def cause(self, rule: str, seen: Any, expected: Any, blocks: list[int], position: int, block_size: int) -> str:
        logical, offset = divmod(position, block_size)
        block, place = divmod(whole(seen), block_size)
        if block < 0:
            return f"{whole(seen)} is no slot; they are counted from 0."
        if rule == "the-offset-stays":
            return (f"Token {position} has offset {offset} in logical block {logical}; slot {whole(seen)} is offset "
                    f"{place} of physical block {block}.")
        if rule == "edges-belong-to-one-block":
            first = logical * block_size
            holds = f"tokens {first} to {first + block_size - 1}" if block_size > 1 else f"token {first} alone"
            beside = "before" if block in blocks[:logical] else "behind"
            return (f"Logical block {logical} holds {holds}, so {position} lies there; slot {whole(seen)} lies in the "
                    f"block {beside} it.")
        whose = "a block that is not in this table" if block not in blocks else \
            f"which holds logical block {blocks.index(block)}"
        return (f"Token {position} lies in logical block {logical}, which the table puts into physical block "
                f"{blocks[logical]}. Slot {whole(seen)} lies in block {block}, {whose}.")


class SlotMapping(RangeSpecification):
    """The slots of a chunk of new tokens."""

    exercise = "slot_mapping"
    prelude = "from labkit.mine import slot_of\nfrom labkit.errors import BlockError\n"
    rules = (
        Rule("begins-at-start", "The first entry is the slot of position start, wherever in a block that is."),
        Rule("goes-on-in-the-table", "Behind the last place of a block comes the first place of the table's next one."),
        Rule("one-slot-a-token", "There are stop - start entries: one for each token, and none for position stop."),
        Rule(OUTSIDE, "A start above stop, or a position that no block holds, raises BlockError."),
    )
    witnesses = (
        Witness("begins-at-start", op("call", blocks=[7, 1, 3], start=20, stop=22, block_size=16)),
        Witness("begins-at-start", op("call", blocks=[7, 1, 3], start=37, stop=38, block_size=16)),
        Witness("begins-at-start", op("call", blocks=[5, 2, 9], start=6, stop=11, block_size=4)),
        Witness("begins-at-start", op("call", blocks=[5, 2, 9], start=8, stop=10, block_size=4)),
        Witness("goes-on-in-the-table", op("call", blocks=[7, 1, 3], start=14, stop=18, block_size=16)),
        Witness("goes-on-in-the-table", op("call", blocks=[5, 2, 9], start=0, stop=12, block_size=4)),
        Witness("goes-on-in-the-table", op("call", blocks=[5, 2, 9, 0], start=3, stop=13, block_size=4)),
        Witness("goes-on-in-the-table", op("call", blocks=[9, 4, 6], start=0, stop=3, block_size=1)),
        Witness("goes-on-in-the-table", op("call", blocks=[3, 8, 1], start=2, stop=14, block_size=5)),
        Witness("goes-on-in-the-table", op("call", blocks=[2, 9, 5], start=0, stop=12, block_size=4)),
        Witness("one-slot-a-token", op("call", blocks=[5, 2, 9], start=4, stop=8, block_size=4)),
        Witness("one-slot-a-token", op("call", blocks=[5, 2], start=1, stop=6, block_size=4)),
        Witness("one-slot-a-token", op("call", blocks=[5], start=0, stop=1, block_size=4)),
        Witness("one-slot-a-token", op("call", blocks=[7, 1, 3], start=3, stop=3, block_size=16)),
        Witness("one-slot-a-token", op("call", blocks=[7, 1, 3], start=0, stop=0, block_size=16)),
        Witness("one-slot-a-token", op("call", blocks=[5, 2], start=8, stop=8, block_size=4)),
        Witness(OUTSIDE, op("call", blocks=[7, 1, 3], start=40, stop=49, block_size=16)),
        Witness(OUTSIDE, op("call", blocks=[7, 1, 3], start=48, stop=64, block_size=16)),
        Witness(OUTSIDE, op("call", blocks=[7, 1, 3], start=5, stop=4, block_size=16)),
        Witness(OUTSIDE, op("call", blocks=[7, 1, 3], start=-2, stop=2, block_size=16)),
        Witness(OUTSIDE, op("call", blocks=[], start=0, stop=1, block_size=4)),
    )
    hints = (
        "A chunk is tokens 14 to 17, blocks hold 16, the table is [7, 1, 3]. Which blocks does it touch, and at which "
        "offsets?",
        "Entry i is the slot of position start + i, and of nothing else: neither the length of the chunk nor the "
        "entries before it change that.",
        "if start > ____:\n    raise BlockError(...)\nreturn [slot_of(blocks, ____, block_size) for ____ in "
        "range(____, ____)]",
    )
    rule_hints = {
        OUTSIDE: "Which ranges can nobody have a slot for? What does range(5, 4) give?",
        "one-slot-a-token": "How many slots are due for tokens 4 to 7, that is start = 4 and stop = 8? And for none?",
    }

    def oracle(self, blocks: list[int], start: int, stop: int, block_size: int) -> list[int]:
        return slot_mapping(blocks, start, stop, block_size)

    def arguments(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"blocks": st.lists(st.integers(0, 40), unique=True, max_size=6), "start": st.integers(-2, 20),
                "stop": st.integers(-2, 30), "block_size": st.integers(1, 8)}

    @staticmethod
    def is_off(blocks: list[int], start: int, stop: int, block_size: int) -> bool:
        """Whether a position lies in no block."""
        return start < 0 or stop > len(blocks) * block_size

    def why_outside(self, blocks: list[int], start: int, stop: int, block_size: int) -> str:
        if start > stop:
            return f"start is {start} and stop {stop}: no chunk of tokens ends before it begins."
        if start == stop or not self.is_off(blocks, start, stop, block_size):
            return ""
        position = start if start < 0 or start >= len(blocks) * block_size else len(blocks) * block_size
        if not blocks:
            return f"The table has no block, and position {position} has no place."
        return (f"The table has {_count(len(blocks), 'block')} of {block_size}, so positions 0 to "
                f"{len(blocks) * block_size - 1}, and {position} is none of them.")

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
        return super().compare(seen, expected)

    def blame(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        if expected and seen and whole(seen[0]) != expected[0]:
            return "begins-at-start"
        if any(whole(a) != b for a, b in zip(seen, expected, strict=False)):
            return "goes-on-in-the-table"
        return "one-slot-a-token"

    def cause(self, rule: str, seen: Any, expected: Any, blocks: list[int], start: int, stop: int,
              block_size: int) -> str:
        if rule == "one-slot-a-token":
            return (f"Positions {start} to {stop - 1} are {_count(stop - start, 'token')}; your mapping has "
                    f"{_count(len(seen), 'entry').replace('entrys', 'entries')}." if stop > start else
                    f"From {start} to {stop} there is no token, and your mapping has {len(seen)}.")
        at = next(i for i, (a, b) in enumerate(zip(seen, expected, strict=False)) if whole(a) != b)
        position, slot = start + at, whole(seen[at])
        block, offset = divmod(slot, block_size)
        where = f"holds position {blocks.index(block) * block_size + offset}" if block in blocks else \
            f"lies in block {block}, which is not in this table"
        return (f"Entry {at} is for position {position}, which lies in physical block {blocks[position // block_size]} "
                f"at offset {position % block_size}; your slot {slot} {where}.")


# ----- BlockTable ---------------------------------------------------------------------------------------------------


class WatchedPool:
    """A pool whose blocks never come in order, and which remembers what one call took and returned."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.held: set[int] = set()
        # 1, 6, 3, 0, 5, ... of eight: whoever takes blocks for neighbours is wrong at the first edge.
        self._free = deque(sorted(range(num_blocks), key=lambda block: ((block * 5 + 3) % 8, -block)))
        self.taken: list[int] = []
        self.returned: list[int] = []

    @property
    def num_free(self) -> int:
        return len(self._free)

    def forget(self) -> None:
        """Begin a new call."""
        self.taken, self.returned = [], []

    def allocate(self, n: int) -> list[int] | None:
        n = whole_number(n, "n")
        if n > len(self._free):
            return None
        blocks = [self._free.popleft() for _ in range(n)]
        self.held.update(blocks)
        self.taken += blocks
        return blocks

    def free(self, blocks: Iterable[int]) -> None:
        blocks = list(blocks)
        for i, block in enumerate(blocks):
            if block not in self.held or block in blocks[:i]:
                raise DoubleFreeError(f"Block {block} is free or named twice, but only what is held can be freed: free "
                                      "each block once.")
        self.held.difference_update(blocks)
        self._free.extend(blocks)
        self.returned += blocks


class TableReferee(Referee):
    """Follows one table over a pool that others use as well."""

    draws = True

    def do_new(self, num_blocks: int, block_size: int) -> None:
        self.pool, self.block_size = WatchedPool(num_blocks), block_size
        self.blocks: list[int] = []  # what the table holds, in its order
        self.tokens = 0
        self.others: list[list[int]] = []  # what others took from the pool, call by call
        self.setup_text = f"a pool of {num_blocks}, blocks of {block_size}"
        self.log.meta.update(num_blocks=num_blocks, block_size=block_size)
        self.table = self.call("tokens-are-counted", f"{self.spec.target}(pool, {block_size})", self.implementation,
                               self.pool, block_size, keep=False)
        self._looks_as_due("tokens-are-counted", "A new table holds no token and no block.")

    def do_append(self, n: int) -> None:
        self._append(f"append({n})", n, (n,))

    def do_append_one(self) -> None:
        """append without an argument, as decoding does it."""
        self._append("append()", 1, ())

    def _append(self, label: str, n: int, args: tuple[int, ...]) -> None:
        missing = blocks_needed(self.tokens + n, self.block_size) - len(self.blocks)
        free = self.pool.num_free
        self.pool.forget()
        if missing > free:
            self._refused(label, n, args, missing, free)
            return
        answer = self.call("tokens-are-counted", label, "append", *args, on=self.table, raises=BlockError)
        self._draw_taken(n)
        if not self.require("tokens-are-counted", not isinstance(answer, BlockError), expected=True,
                            cause=f"{_blocks(missing)} missing and {_blocks(free)} free, and the call ends in "
                                  f"{type(answer).__name__}."):
            return
        if not self.require("tokens-are-counted", isinstance(answer, bool) or type(answer).__name__ == "bool_",
                            expected=True, kind="wrong-type",
                            cause="The answer is True or False: the scheduler asks whether there was room."):
            return
        if not self.require("tokens-are-counted", bool(answer), expected=True,
                            cause=f"{_blocks(missing)} missing and {_blocks(free)} free, and append refused."):
            return
        self._grown(n)

    def _grown(self, n: int) -> None:
        """The table must now hold n tokens more, in the blocks it had and the new ones behind them."""
        seen = self._table_blocks()
        if seen is None:
            return
        before, tokens = self.blocks, self.tokens + n
        due = blocks_needed(tokens, self.block_size)
        kept = [b for b in self.pool.taken if b in self.pool.held]
        if seen[: len(before)] != before:
            at = next((i for i, (a, b) in enumerate(zip(seen, before, strict=False)) if a != b), len(seen))
            first, last = at * self.block_size, min((at + 1) * self.block_size, self.tokens) - 1
            tokens_there = f"token {first} are" if first == last else f"tokens {first} to {last} are"
            now = f"is {seen[at]} now" if at < len(seen) else "is gone from the table"
            self.observe("tokens-stay-where-they-are", "blocks", seen, [*before, *(b for b in kept if b not in before)],
                         f"Logical block {at} was physical block {before[at]} and {now}: the keys and values of "
                         f"{tokens_there} still in the old place.")
            return
        if wrong := self._not_its_own(seen, kept):
            expected = Words(f"{_count(due, 'block')} that the pool handed out")
            self._line_of("blocks", seen, expected)
            self.require("blocks-come-from-the-pool", False, expected=expected, cause=wrong)
            return
        if len(seen) != due:
            free_end = len(before) * self.block_size - self.tokens
            self._line_of("blocks", seen, Words(_count(due, "block")))
            need = f"{_count(tokens, 'token')} need{'s' if tokens == 1 else ''} {_count(due, 'block')}"
            had_room = f"; the last block had room for {free_end} of the {n} new tokens" if free_end else ""
            self.require("as-many-blocks-as-needed", False, expected=Words(_count(due, "block")),
                         cause=f"{need} of {self.block_size}, and the table has {len(seen)}"
                               f"{had_room if len(seen) > due else ''}.")
            return
        self.blocks, self.tokens = seen, tokens
        self._looks_as_due("tokens-are-counted", f"{n} came to {tokens - n}, so there are {tokens} now.")

    def _not_its_own(self, seen: list[int], kept: list[int]) -> str:
        """Why these are not just the blocks that the table took; "" where they are."""
        for i, block in enumerate(seen):
            if block in seen[:i]:
                return f"Block {block} stands in the table twice, so two tokens share each of its slots."
            if any(block in taken for taken in self.others):
                return f"Block {block} is in the table, and somebody else holds it: each will overwrite the other."
            if block not in self.pool.held:
                return f"Block {block} is in the table, and the pool has not handed it out: somebody else may get it."
        for block in kept:
            if block not in seen:
                return f"Block {block} was taken from the pool and is not in the table: it is lost."
        return ""

    def _refused(self, label: str, n: int, args: tuple[int, ...], missing: int, free: int) -> None:
        rule = "refused-means-unchanged"
        answer = self.call(rule, label, "append", *args, on=self.table, raises=BlockError)
        too_few = f"{_count(missing, 'block')} would be needed and {_blocks(free)} free"
        if not self.require(rule, not isinstance(answer, BlockError), expected=False,
                            cause=f"{too_few}. That is an everyday answer, False, and no error."):
            return
        said = answer is False or (type(answer).__name__ == "bool_" and not answer)
        self.log.emit(Kind.REFUSE, "A", arg=min(missing, 2**31 - 1))
        if not self.require(rule, said, expected=False, kind="rule" if isinstance(answer, bool) else "wrong-type",
                            cause=f"{too_few}, so the answer is False."):
            return
        self.note(f"right: {missing} needed, {free} free")
        kept = [b for b in self.pool.taken if b in self.pool.held]
        for block in kept:
            self.log.emit(Kind.ALLOCATE, "lost", block)
        if not self.observe(rule, "pool.num_free", self.pool.num_free, free,
                            f"The call was refused, and {_count(free - self.pool.num_free, 'block')} left the pool all "
                            "the same." if self.pool.num_free < free else
                            "The call was refused, and blocks went back to the pool that hold tokens."):
            return
        self._looks_as_due(rule, "The call was refused, so the table must be as it was.")

    def do_slots(self, start: int, stop: int) -> None:
        rule = "slots-of-tokens-only"
        good = 0 <= start <= stop <= self.tokens
        answer = self.call(rule, f"slots({start}, {stop})", "slots", start, stop, on=self.table, raises=BlockError,
                           due=None if good else BlockError)
        if not good:
            holds = f"holds tokens 0 to {self.tokens - 1}" if self.tokens else "holds no token"
            room = len(self.blocks) * self.block_size
            self.require(rule, isinstance(answer, BlockError), expected=Words("raises BlockError"),
                         cause=f"start is {start} and stop {stop}: no tokens lie between." if start > stop else
                         f"The table {holds}"
                         + (f". Its last block has room for {room - self.tokens} more, but room is no token."
                            if self.tokens < stop <= room else f", and {start} to {stop - 1} are not all among them."))
            return
        due = slot_mapping(self.blocks, start, stop, self.block_size)
        if not self.require(rule, not isinstance(answer, BlockError), expected=due,
                            cause=f"The table holds {_count(self.tokens, 'token')}, so these have slots."):
            return
        if not self.require(rule, isinstance(answer, list | tuple), expected=due, kind="wrong-type",
                            cause="The answer is a list of slots."):
            return
        self.require(rule, [whole(s) for s in answer] == due, expected=due,
                     cause=f"The table is {self.blocks}: tokens {start} to {stop - 1} lie in other slots." if due else
                     "There is no token in this range.")

    def do_release(self) -> None:
        rule = "release-returns-all"
        blocks, held = self.blocks, self.pool.held
        self.pool.forget()
        answer = self.call(rule, "release()", "release", on=self.table, raises=BlockError)
        back = list(self.pool.returned)
        for block in back:
            self.log.emit(Kind.FREE, "A", block, 0)
        if not self.require(rule, not isinstance(answer, BlockError), expected=Words("an answer"),
                            cause=f"The pool refused what came back ({type(answer).__name__}): the table returned a "
                                  "block twice, or one that it did not hold."):
            return
        left = [b for b in blocks if b in self.pool.held]
        if not self.require(rule, not left, expected=Words(f"{_blocks(len(blocks))} returned"),
                            cause=f"The sequence has ended, and block {left[0] if left else ''} did not go back to the "
                                  "pool: nobody holds it and nobody can have it."):
            return
        gone = sorted(held - set(blocks) - self.pool.held)
        if not self.require(rule, not gone, expected=Words("only its own blocks returned"),
                            cause=f"Block {gone[0] if gone else ''} went back to the pool, and is somebody else's."):
            return
        self.blocks, self.tokens = [], 0
        if not self._looks_as_due(rule, "A released table holds no token and no block, and can be used again."):
            return
        due = blocks[::-1]
        early, late = next(((a, b) for a, b in zip(back, due, strict=False) if a != b), ("", ""))
        self.require("tail-goes-first", back == due, expected=Words(f"{due} returned, in this order"),
                     seen=Words(f"{back} returned"),
                     cause=f"Block {early} came back before block {late}, which holds later tokens. What comes back "
                           "first is reused first, and the end of a sequence is worth less than its beginning.")

    def do_others_take(self, n: int) -> None:
        """Somebody else takes blocks from the same pool."""
        self.call("blocks-come-from-the-pool", f"(others take {_count(n, 'block')})", self.pool.allocate, n)
        blocks = self.pool.taken[-n:] if n else []
        self.others.append(blocks)
        for block in blocks:
            self.log.emit(Kind.ALLOCATE, "others", block)

    def do_others_return(self) -> None:
        """All of them give back what they have."""
        blocks = [b for taken in self.others for b in taken]
        label = f"(others return {_count(len(blocks), 'block')})"
        self.call("blocks-come-from-the-pool", label, self.pool.free, blocks)
        self.others = []
        for block in blocks:
            self.log.emit(Kind.FREE, "others", block, 0)

    def do_second_table(self, n: int, own_pool: bool = False) -> None:
        """Another table of n tokens, over the same pool or over one of its own; the first must not notice."""
        rule, cause = "tables-are-separate", "Another sequence came, with a table of its own; this one must not change."
        pool, name = (WatchedPool(n), "another pool") if own_pool else (self.pool, "pool")
        free = self.pool.num_free
        self.pool.forget()
        other = self.call(rule, f"other = {self.spec.target}({name}, {self.block_size})", self.implementation, pool,
                          self.block_size, keep=False)
        self.call(rule, f"other.append({n})", "append", n, on=other, raises=BlockError)
        taken = list(self.pool.taken)
        self.others.append(taken)
        for block in taken:
            self.log.emit(Kind.ALLOCATE, "others", block)
        seen = self.read(rule, other, "num_tokens")
        if own_pool and not self.observe(rule, "pool.num_free", self.pool.num_free, free,
                                         "The other table has a pool of its own and took from this one."):
            return
        if self._looks_as_due(rule, cause):
            self.observe(rule, "other.num_tokens", seen, n, "The other table is new and got these tokens alone.")

    def resolve(self, op: Op) -> Op | None:
        free = self.pool.num_free if hasattr(self, "pool") else 0
        if op.name == "others_take":
            return Op(op.name, {"n": min(op.args["n"], free)}) if free else None
        if op.name == "others_return":
            return op if self.others else None
        if op.name == "second_table":
            return op if op.args["own_pool"] or blocks_needed(op.args["n"], self.block_size) <= free else None
        if op.name == "slots":
            # Whether a range without a token in it may lie below 0 is nobody's business.
            return None if op.args["start"] == op.args["stop"] < 0 else op
        return op

    def _table_blocks(self) -> list[int] | None:
        """The table's blocks as it shows them, or None after a failure."""
        rule = "blocks-come-from-the-pool"
        seen = self.read(rule, self.table, "blocks")
        ids = [whole(b) for b in seen] if isinstance(seen, list | tuple) else [None]
        if None in ids:
            self._line_of("blocks", seen, Words("a list of block ids"))
            self.require(rule, False, expected=Words("a list of block ids"), kind="wrong-type",
                         cause="blocks is the list of the table's physical blocks, in the order of the tokens.")
            return None
        return [b for b in ids if b is not None]

    def _looks_as_due(self, rule: str, cause: str) -> bool:
        """blocks and num_tokens must be what the model says."""
        seen = self._table_blocks()
        return seen is not None and self.observe(rule, "blocks", seen, self.blocks, cause) and self.observe(
            rule, "num_tokens", self.read(rule, self.table, "num_tokens"), self.tokens, cause)

    def _line_of(self, label: str, seen: Any, expected: Any) -> None:
        """Something read, as a line of its own in the trace."""
        self._line(label, observe=True).seen = show(seen)
        self.log.begin(f"{label} \u2192 {show(seen)}, expected {show(expected)}")

    def _draw_taken(self, n: int) -> None:
        """What the call took, for the picture: in the table where the table has it, else lost."""
        try:
            blocks = [whole(b) for b in self.table.blocks]
        except Exception:  # a table this broken has nothing to show
            blocks = []
        taken = [b for b in self.pool.taken if b in self.pool.held]
        for block in taken:
            inside = block in blocks
            self.log.emit(Kind.ALLOCATE, "A" if inside else "lost", block, blocks.index(block) if inside else -1)
        tokens = self.tokens + n
        for i in range(self.tokens // self.block_size, len(blocks)):
            if blocks[i] is not None:  # a block that is too many holds nothing, and is drawn so
                amount = max(0, min(self.block_size, tokens - i * self.block_size))
                self.log.emit(Kind.FILL, "A", blocks[i], amount)


def _blocks(n: int) -> str:
    return "1 block is" if n == 1 else f"{n} blocks are"


class Table(Specification):
    """BlockTable: the blocks of one sequence, which grows and gives everything back."""

    exercise = "BlockTable"
    referee = TableReferee
    prelude = "from labkit.mine import blocks_needed, slot_mapping\nfrom labkit.errors import BlockError\n"
    rules = (
        Rule("blocks-come-from-the-pool", "The table holds the blocks that it took from the pool, all of them, each "
                                          "once."),
        Rule("tokens-stay-where-they-are", "The blocks that a table has keep their places; new ones go behind them."),
        Rule("as-many-blocks-as-needed", "The table has as many blocks as its tokens need: the last one's free end is "
                                         "filled first."),
        Rule("tokens-are-counted", "append(n) answers True where there is room, and num_tokens has grown by n."),
        Rule("refused-means-unchanged", "If the pool has too few blocks, append answers False, and table and pool are "
                                        "as before."),
        Rule("release-returns-all", "After release every block is back in the pool, and the table is as new."),
        Rule("slots-of-tokens-only", "slots answers for tokens that are there, and raises BlockError for others."),
        Rule("tail-goes-first", "release returns the last block of the table first."),
        Rule("tables-are-separate", "Two tables share nothing but the pool."),
    )
    witnesses = (
        Witness("blocks-come-from-the-pool", op("new", num_blocks=8, block_size=4), op("append", n=4),
                op("others_take", n=2), op("append", n=4), op("append", n=4)),
        Witness("blocks-come-from-the-pool", op("new", num_blocks=8, block_size=4), op("append", n=5)),
        Witness("tokens-stay-where-they-are", op("new", num_blocks=8, block_size=2), op("append", n=3),
                op("append", n=3), op("append", n=3)),
        Witness("refused-means-unchanged", op("new", num_blocks=3, block_size=2), op("append", n=3),
                op("append", n=4), op("append", n=3)),
        Witness("refused-means-unchanged", op("new", num_blocks=4, block_size=2), op("append", n=3),
                op("others_take", n=2), op("append", n=2), op("append", n=1), op("append", n=1)),
        Witness("refused-means-unchanged", op("new", num_blocks=1, block_size=4), op("append", n=9),
                op("append", n=4)),
        Witness("refused-means-unchanged", op("new", num_blocks=0, block_size=4), op("append", n=1)),
        Witness("refused-means-unchanged", op("new", num_blocks=2, block_size=4), op("append", n=7), op("append", n=2),
                op("append", n=1), op("append_one")),
        Witness("as-many-blocks-as-needed", op("new", num_blocks=8, block_size=4), op("append", n=3),
                op("append", n=1)),
        Witness("as-many-blocks-as-needed", op("new", num_blocks=8, block_size=4), op("append", n=4),
                op("append", n=1)),
        Witness("as-many-blocks-as-needed", op("new", num_blocks=8, block_size=4), op("append", n=3),
                op("append", n=5)),
        Witness("as-many-blocks-as-needed", op("new", num_blocks=8, block_size=4), op("append", n=2),
                op("append", n=3), op("append", n=9)),
        Witness("as-many-blocks-as-needed", op("new", num_blocks=8, block_size=4), op("append", n=1),
                op("append", n=12)),
        Witness("as-many-blocks-as-needed", op("new", num_blocks=8, block_size=4), *(op("append_one"),) * 9),
        Witness("as-many-blocks-as-needed", op("new", num_blocks=8, block_size=1), op("append", n=2),
                op("append", n=1)),
        Witness("as-many-blocks-as-needed", op("new", num_blocks=40, block_size=16), op("append", n=130),
                op("append", n=14), op("append", n=1)),
        Witness("tokens-are-counted", op("new", num_blocks=4, block_size=4), op("append", n=3), op("append_one")),
        Witness("tokens-are-counted", op("new", num_blocks=2, block_size=4), op("append", n=8), op("append", n=0)),
        Witness("tokens-are-counted", op("new", num_blocks=2, block_size=4), op("append", n=0)),
        Witness("tokens-are-counted", op("new", num_blocks=2, block_size=4), op("append", n=5), op("append", n=3)),
        Witness("release-returns-all", op("new", num_blocks=4, block_size=2), op("append", n=5), op("release"),
                op("append", n=8)),
        Witness("release-returns-all", op("new", num_blocks=4, block_size=2), op("append", n=3), op("release"),
                op("release"), op("append", n=1), op("append", n=2)),
        Witness("release-returns-all", op("new", num_blocks=6, block_size=2), op("others_take", n=2),
                op("append", n=3), op("release"), op("others_take", n=1), op("append", n=4), op("others_return"),
                op("release")),
        Witness("release-returns-all", op("new", num_blocks=2, block_size=4), op("release"), op("append", n=1)),
        Witness("slots-of-tokens-only", op("new", num_blocks=4, block_size=4), op("append", n=5),
                op("slots", start=2, stop=5)),
        Witness("slots-of-tokens-only", op("new", num_blocks=4, block_size=4), op("append", n=5),
                op("slots", start=1, stop=3)),
        Witness("slots-of-tokens-only", op("new", num_blocks=6, block_size=2), op("append", n=9),
                op("slots", start=0, stop=9), op("slots", start=3, stop=6)),
        Witness("slots-of-tokens-only", op("new", num_blocks=4, block_size=4), op("append", n=5),
                op("slots", start=-2, stop=5)),
        Witness("slots-of-tokens-only", op("new", num_blocks=4, block_size=4), op("append", n=5),
                op("slots", start=5, stop=6)),
        Witness("slots-of-tokens-only", op("new", num_blocks=4, block_size=4), op("append", n=5),
                op("slots", start=3, stop=7)),
        Witness("slots-of-tokens-only", op("new", num_blocks=4, block_size=4), op("append", n=5),
                op("slots", start=4, stop=9)),
        Witness("slots-of-tokens-only", op("new", num_blocks=4, block_size=4), op("append", n=5),
                op("slots", start=-1, stop=2)),
        Witness("slots-of-tokens-only", op("new", num_blocks=4, block_size=4), op("append", n=5),
                op("slots", start=3, stop=2)),
        Witness("slots-of-tokens-only", op("new", num_blocks=4, block_size=4), op("slots", start=0, stop=0),
                op("slots", start=0, stop=1)),
        Witness("slots-of-tokens-only", op("new", num_blocks=4, block_size=4), op("append", n=8),
                op("slots", start=0, stop=8), op("slots", start=7, stop=8), op("slots", start=8, stop=8)),
        Witness("slots-of-tokens-only", op("new", num_blocks=4, block_size=4), op("append", n=6), op("release"),
                op("slots", start=0, stop=1)),
        Witness("tail-goes-first", op("new", num_blocks=4, block_size=2), op("append", n=5), op("release")),
        Witness("tail-goes-first", op("new", num_blocks=8, block_size=2), op("append", n=4), op("append", n=9),
                op("release")),
        Witness("tables-are-separate", op("new", num_blocks=4, block_size=2), op("append", n=3),
                op("second_table", n=2), op("append", n=1), op("slots", start=0, stop=4)),
        Witness("tables-are-separate", op("new", num_blocks=4, block_size=2), op("second_table", n=3),
                op("append", n=1), op("release")),
        Witness("tables-are-separate", op("new", num_blocks=4, block_size=2), op("append", n=1),
                op("second_table", n=3, own_pool=True), op("append", n=4), op("release")),
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
    rule_hints = {
        "blocks-come-from-the-pool": "Which blocks did the pool give in this call, and where in your code do they go?",
        "tokens-stay-where-they-are": "The keys and values of the first tokens are written. What must not happen to "
                                      "the beginning of the list of blocks?",
        "refused-means-unchanged": "When the pool says None, what has your append changed already?",
        "tokens-are-counted": "What does append answer, and what has become of num_tokens, if n is 0, and if the "
                              "tokens fit without a new block?",
        "release-returns-all": "After release, what do blocks and num_tokens say, and what does the pool say?",
        "slots-of-tokens-only": "Five tokens in blocks of four: the table has room for eight. Which of the eight has a "
                                "slot that somebody may read?",
        "tail-goes-first": "In which order does the pool see the blocks that you return, and which of them would you "
                           "give away first?",
        "tables-are-separate": "Where is the list of blocks made: once for each table, or once for all?",
    }

    def setup(self) -> Mapping[str, Any]:
        from hypothesis import strategies as st

        return {"num_blocks": st.integers(0, 8), "block_size": st.integers(1, 4)}

    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        from hypothesis import strategies as st

        return {
            "append": {"n": st.integers(0, 9)},
            "append_one": {},
            "slots": {"start": st.integers(-1, 10), "stop": st.integers(-1, 12)},
            "release": {},
            "others_take": {"n": st.integers(1, 3)},
            "others_return": {},
            "second_table": {"n": st.integers(0, 4), "own_pool": st.booleans()},
        }


class BreakTheRoom(BreakIt):
    """A table that counts the free end of its last block, and goes on counting after a release."""

    exercise = "break_counted_room"
    base = Table()
    reference = "labkit.cache.block_table:BlockTable"
    bug = '''
class BlockTable:
    def __init__(self, pool, block_size):
        self.pool = pool
        self.block_size = block_size
        self.blocks = []
        self.num_tokens = 0
        self.room = 0

    def append(self, n=1):
        missing = blocks_needed(max(n - self.room, 0), self.block_size)
        new_blocks = self.pool.allocate(missing)
        if new_blocks is None:
            return False
        self.blocks.extend(new_blocks)
        self.num_tokens += n
        self.room += missing * self.block_size - n
        return True

    def slots(self, start, stop):
        if stop > self.num_tokens:
            raise BlockError("there is no such token")
        return slot_mapping(self.blocks, start, stop, self.block_size)

    def release(self):
        self.pool.free(self.blocks[::-1])
        self.blocks = []
        self.num_tokens = 0
'''
    shortest = (op("new", num_blocks=1, block_size=2), op("append", n=1), op("release"), op("append", n=1))
    hints = (
        "room says how many places are free in the last block. Follow it through every method: where is it right, and "
        "where is it only what it used to be?",
        "room = len(blocks) * block_size - num_tokens must hold after every call. After which call does it not?",
        '[("BlockTable", 4, 4), ("append", ____), ("____",), ("append", ____)]',
    )
    largest = 1000

    def parse(self, item: Any) -> Op:
        if isinstance(item, list | tuple) and item and item[0] == "BlockTable":
            item = ("new", *item[1:])
        return super().parse(item)

    @property
    def example(self) -> str:
        return '("BlockTable", 4, 2)'

    def names_shown(self) -> list[str]:
        return ["BlockTable", "append", "slots", "release"]

    def sense(self, ops: list[Op]) -> str:
        for i, step in enumerate(ops, 1):
            if (i == 1) != (step.name == "new"):
                return 'Let the list begin with one table, such as ("BlockTable", 4, 2): 4 blocks of 2 tokens.'
            for name, value in step.args.items():
                least = 1 if name == "block_size" else 0
                if type(value) is not int or not least <= value <= self.largest:
                    return (f"Operation {i} has the argument {show(value, 40)}; a whole number from {least} to "
                            f"{self.largest} is due there.")
        return ""

    def why_it_stands(self, ops: list[Op]) -> str:
        if not any(step.name == "release" for step in ops):
            return (f"The wrong table kept every rule through all {len(ops)} operations. In the life of one sequence, "
                    "from the first token to the last, it makes no mistake.")
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
        return (f"{kept} It was released and used again, and had as many blocks as it needed all the same. Work out "
                "what room was at the release, and with how many tokens that would show.")


LESSON = Lesson(
    key="05_block_tables",
    title="Block tables",
    part="I. Memory",
    minutes=65,
    builds="A block table: where each token of a sequence lies, one block more when the last is full, all or nothing.",
    symptom="Replies begin well and go on in somebody else's text, but only when the server is busy.",
    lights="block_table",
    exercises=(
        Exercise("slot_of", "The slot of one token", 5, 1, 5, SlotOf(), "labkit.cache.block_table:slot_of"),
        Exercise("slot_mapping", "The slots of a chunk", 8, 2, 4, SlotMapping(),
                 "labkit.cache.block_table:slot_mapping"),
        Exercise("BlockTable", "The block table", 15, 3, 5, Table(), "labkit.cache.block_table:BlockTable",
                 slot="block_table", kind="class"),
        Exercise("break_counted_room", "Break it: the room that was counted", 5, 3, 3, BreakTheRoom(), kind="break"),
    ),
)
