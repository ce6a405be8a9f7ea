"""Lesson 05: who follows one table over a pool that others use as well."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from labkit.cache.block_table import blocks_needed
from labkit.cache.checks import whole_number
from labkit.errors import BlockError, DoubleFreeError
from labkit.grading.classes import ClassReferee
from labkit.grading.compare import whole
from labkit.grading.display import Words, error_text, show
from labkit.grading.functions import FunctionReferee
from labkit.grading.language import Op
from labkit.grading.referee import Illegal, StopSequence
from labkit.observe.changes import EMPTY, State, Table, block_ids, int32
from labkit.observe.recorder import watch
from labkit.words import choose, plural


class PlaceReferee(FunctionReferee):
    """Where an answer is due and an error came, it says why the call has one: `why_answered` of the specification."""

    def do_call(self, **args: Any) -> None:
        try:
            super().do_call(**args)
        except StopSequence:
            for failure in self.failures:
                due = " where an answer was due."
                if failure.cause.startswith("The call raised") and failure.cause.endswith(due):
                    what = failure.cause.removeprefix("The call").removesuffix(".")
                    failure.cause = f"{failure.step.label}{what}: {self.spec.why_answered(**args)}"  # type: ignore[attr-defined]
            raise


class ChunkReferee(PlaceReferee):
    """A range without a position asks for nothing: where it lies is nobody's business."""

    def resolve(self, op: Op, bend: bool = True) -> Op:
        blocks, start, stop = op.args["blocks"], op.args["start"], op.args["stop"]
        if start == stop and (start < 0 or stop > len(blocks) * op.args["block_size"]):
            raise Illegal("asks for no token, from nowhere.")
        return op


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
                raise DoubleFreeError(
                    f"Block {block} is free or named twice, but only what is held can be freed: free each block once."
                )
        self.held.difference_update(blocks)
        self._free.extend(blocks)
        self.returned += blocks


class TableReferee(ClassReferee):
    """A table beside the solution's, each over a pool that others use as well.

    The solution's is over a copy of the pool, made before each call; in which order a table lists what it got at
    once, is its own business.
    """

    draws = True

    def do_new(self, num_blocks: int, block_size: int) -> None:
        self.pool, self.block_size = WatchedPool(num_blocks), block_size
        self.others: list[int] = []  # what others took from the pool
        self.setup_text = f"a pool of {num_blocks}, blocks of {block_size}"
        self.log.meta.update(num_blocks=num_blocks, block_size=block_size)
        label, pools = f"{self.spec.target}(pool, {block_size})", (self.pool, WatchedPool(num_blocks))
        self.make("tokens-are-counted", label, pools, (block_size, block_size))
        self._looks_as_due("tokens-are-counted", "A new table holds no token and no block.")

    def do_append(self, n: int) -> None:
        self._append(f"append({n})", n, (n,))

    def do_append_one(self) -> None:
        """append without an argument, as decoding does it."""
        self._append("append()", 1, ())

    def _append(self, label: str, n: int, args: tuple[int, ...]) -> None:
        before, tokens, free = list(self.right.blocks), self.right.num_tokens, self.pool.num_free
        missing = blocks_needed(tokens + n, self.block_size) - len(before)
        self._copy_pool()
        due = self.right.append(*args)
        rule = "tokens-are-counted" if due else "refused-means-unchanged"
        answer = self.call(rule, label, "append", *args, on=self.mine, raises=BlockError)
        kept = [block for block in self.pool.taken if block in self.pool.held]
        error = isinstance(answer, BlockError)
        self._draw((before, tokens), tokens + n if due else tokens, None if due or error else missing)
        boolean = isinstance(answer, bool) or type(answer).__name__ == "bool_"
        if due:
            ends = f"the call ends in {type(answer).__name__}: {error_text(answer, 120)}" if error else "append refused"
            cause = f"{_are(missing)} missing and {_are(free)} free, and {ends.removesuffix('.')}."
            if not error and not boolean:
                cause = "The answer is True or False: the scheduler asks whether there was room."
        else:
            says = ". That is an everyday answer, False, and no error." if error else ", so the answer is False."
            cause = f"{plural(missing, 'block')} would be needed and {_are(free)} free{says}"
        kind = "rule" if boolean or error else "wrong-type"
        if not self.require(rule, boolean and bool(answer) == due, expected=due, kind=kind, cause=cause):
            return
        if due:
            self._grown(n, before, kept)
            return
        self.note(f"right: {missing} needed, {free} free")
        left = free - self.pool.num_free
        gone = "blocks went back to the pool that hold tokens"
        if left > 0:
            gone = f"{plural(left, 'block')} left the pool all the same"
        cause = f"The call was refused, and {gone}."
        if self.observe(rule, "pool.num_free", self.pool.num_free, free, cause):
            self._looks_as_due(rule, "The call was refused, so the table must be as it was.")

    def _grown(self, n: int, before: list[int], kept: list[int]) -> None:
        """The table must now hold n tokens more, in the blocks it had and the new ones behind them."""
        seen = self._table_blocks()
        if seen is None:
            return
        tokens, due = self.right.num_tokens, len(self.right.blocks)
        if seen[: len(before)] != before:
            at = next((i for i, (a, b) in enumerate(zip(seen, before, strict=False)) if a != b), len(seen))
            first, last = at * self.block_size, min((at + 1) * self.block_size, tokens - n) - 1
            tokens_there = f"token {first} are" if first == last else f"tokens {first} to {last} are"
            now = f"is {seen[at]} now" if at < len(seen) else "is gone from the table"
            cause = f"Logical block {at} was physical block {before[at]} and {now}: the keys and values of "
            cause += f"{tokens_there} still in the old place."
            expected = [*before, *(b for b in kept if b not in before)]
            self.observe("tokens-stay-where-they-are", "blocks", seen, expected, cause)
        elif wrong := self._not_its_own(seen, kept):
            self._tell("blocks-come-from-the-pool", seen, f"{plural(due, 'block')} that the pool handed out", wrong)
        elif len(seen) != due:
            free_end = len(before) * self.block_size - tokens + n
            need = f"{plural(tokens, 'token')} need{'s' if tokens == 1 else ''} {plural(due, 'block')}"
            cause = f"{need} of {self.block_size}, and the table has {len(seen)}"
            if free_end and len(seen) > due:
                cause += f"; the last block had room for {free_end} of the {n} new tokens"
            self._tell("as-many-blocks-as-needed", seen, plural(due, "block"), f"{cause}.")
        else:
            self.right.blocks = seen
            self._looks_as_due("tokens-are-counted", f"{n} came to {tokens - n}, so there are {tokens} now.")

    def _not_its_own(self, seen: list[int], kept: list[int]) -> str:
        """Why these are not just the blocks that the table took; "" where they are."""
        for i, block in enumerate(seen):
            if block in seen[:i]:
                return f"Block {block} stands in the table twice, so two tokens share each of its slots."
            if block in self.others:
                return f"Block {block} is in the table, and somebody else holds it: each will overwrite the other."
            if block not in self.pool.held:
                return f"Block {block} is in the table, and the pool has not handed it out: somebody else may get it."
        lost = [block for block in kept if block not in seen]
        return f"Block {lost[0]} was taken from the pool and is not in the table: it is lost." if lost else ""

    def do_slot(self, position: int) -> None:
        """The slot of one token."""
        self._slots("slot", position)

    def do_slots(self, start: int, stop: int) -> None:
        self._slots("slots", start, stop)

    def _slots(self, method: str, *args: int) -> None:
        start, stop, tokens = args[0], args[-1] + (method == "slot"), self.right.num_tokens
        room, blocks = len(self.right.blocks) * self.block_size, show(self.right.blocks)
        cause = f"The table is {blocks}: tokens {start} to {stop - 1} lie in other slots."
        if not 0 <= start <= stop <= tokens:
            cause = f"The table holds {f'tokens 0 to {tokens - 1}' if tokens else 'no token'}"
            if start > stop:
                cause = f"start is {start} and stop {stop}: no tokens lie between."
            elif tokens < stop <= room:
                cause += f". Its last block has room for {room - tokens} more, but room is no token."
            else:
                cause += f", and {start} to {stop - 1} are not all among them."
        elif method == "slot":
            cause = f"The table is {blocks}: token {start} lies in another slot."
        elif start == stop:
            cause = "There is no token in this range."

        def why(seen: Any, due: Any) -> str:
            held = due is not None and isinstance(seen, BlockError)
            if held and start == stop:
                return "There is no token in this range, so the answer is the empty list."
            if start < stop and isinstance(due, list) and isinstance(seen, list) and len(seen) != len(due):
                asked = f"position {start}" if stop == start + 1 else f"positions {start} to {stop - 1}"
                return f"{plural(len(due), 'token')} at {asked}: your answer has {plural(len(seen), 'slot')}."
            these = f"token {start} has a slot" if stop == start + 1 else f"tokens {start} to {stop - 1} have slots"
            return f"The table holds {plural(tokens, 'token')}, counted from 0, so {these}." if held else cause

        self.both("slots-of-tokens-only", method, *args, cause=why, raises=(BlockError,))

    def do_release(self) -> None:
        rule, blocks, held = "release-returns-all", list(self.right.blocks), set(self.pool.held)
        self._copy_pool()
        self.right.release()
        answer = self.call(rule, "release()", "release", on=self.mine, raises=BlockError)
        self._passed("A", returned=self.pool.returned)
        left = [b for b in blocks if b in self.pool.held]
        gone = sorted(held - set(blocks) - self.pool.held)
        if isinstance(answer, BlockError):
            expected, cause = "an answer", f"The pool refused what came back ({type(answer).__name__}): the table "
            cause += "returned a block twice, or one that it did not hold."
        elif left:
            expected, cause = f"{_are(len(blocks))} returned", f"The sequence has ended, and block {left[0]} did not "
            cause += "go back to the pool: nobody holds it and nobody can have it."
        elif gone:
            expected = "only its own blocks returned"
            cause = f"Block {gone[0]} went back to the pool, and is somebody else's."
        else:
            empty = "A released table holds no token and no block, and can be used again."
            if self._looks_as_due(rule, empty):
                self._judge_order(list(self.pool.returned), self.right.pool.returned)
            return
        self.require(rule, False, expected=Words(expected), cause=cause)

    def _judge_order(self, back: list[int], due: list[int]) -> None:
        early, late = next(((a, b) for a, b in zip(back, due, strict=False) if a != b), ("", ""))
        self.require(
            "tail-goes-first",
            back == due,
            expected=Words(f"{show(due)} returned, in this order"),
            seen=Words(f"{show(back)} returned"),
            cause=f"Block {early} came back before block {late}, which holds later tokens. What comes back "
            "first is reused first, and the end of a sequence is worth less than its beginning.",
        )

    def do_others_take(self, n: int) -> None:
        """Somebody else takes blocks from the same pool."""
        self.pool.forget()
        self.call("blocks-come-from-the-pool", f"(others take {plural(n, 'block')})", self.pool.allocate, n)
        self._passed("others", taken=self.pool.taken)

    def do_others_return(self) -> None:
        """All of them give back what they have."""
        blocks, self.others = self.others, []
        label = f"(others return {plural(len(blocks), 'block')})"
        self.call("blocks-come-from-the-pool", label, self.pool.free, blocks)
        self._passed("others", returned=blocks)

    def do_second_table(self, n: int, own_pool: bool = False) -> None:
        """Another table of n tokens, over the same pool or over one of its own; the first must not notice."""
        rule, cause = "tables-are-separate", "Another sequence came, with a table of its own; this one must not change."
        pool, name = (WatchedPool(n), "another pool") if own_pool else (self.pool, "pool")
        free = self.pool.num_free
        self.pool.forget()
        label = f"other = {self.spec.target}({name}, {self.block_size})"
        other = self.call(rule, label, self.implementation, pool, self.block_size, keep=False)
        self.call(rule, f"other.append({n})", "append", n, on=other, raises=BlockError)
        self._passed("others", taken=[block for block in self.pool.taken if block in self.pool.held])
        seen = self.read(rule, other, "num_tokens")
        own = "The other table has a pool of its own and took from this one."
        if own_pool and not self.observe(rule, "pool.num_free", self.pool.num_free, free, own):
            return
        if self._looks_as_due(rule, cause):
            self.observe(rule, "other.num_tokens", seen, n, "The other table is new and got these tokens alone.")

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if not bend:
            if op.name == "new" and hasattr(self, "mine"):
                raise Illegal("makes a second table; let the list begin with one, and have no other.")
            return op
        free, args = self.pool.num_free if hasattr(self, "pool") else 0, op.args
        if op.name == "others_take" and free:
            return Op(op.name, {"n": min(args["n"], free)})
        if (
            op.name == "others_take"
            or (op.name == "others_return" and not self.others)
            or (op.name == "second_table" and not args["own_pool"] and blocks_needed(args["n"], self.block_size) > free)
        ):
            raise Illegal("asks for blocks that are not there.")
        if op.name == "slots" and args["start"] == args["stop"] < 0:
            raise Illegal("asks for no token, below 0: that is nobody's business.")
        return op

    def _copy_pool(self) -> None:
        """Before a call: what the solution's table takes and returns is what the learner's ought to."""
        self.pool.forget()
        self.right.pool = copy.deepcopy(self.pool)

    def _table_blocks(self) -> list[int] | None:
        """The table's blocks as it shows them, or None after a failure."""
        rule = "blocks-come-from-the-pool"
        seen = self.read(rule, self.mine, "blocks")
        ids = [whole(b) for b in seen] if isinstance(seen, list | tuple) else [None]
        if None in ids:
            cause = "blocks is the list of the table's physical blocks, in the order of the tokens."
            self._tell(rule, seen, "a list of block ids", cause, kind="wrong-type")
            return None
        return [b for b in ids if b is not None]

    def _looks_as_due(self, rule: str, cause: str) -> bool:
        """blocks and num_tokens must be the solution's."""
        return (
            self._table_blocks() is not None
            and self.look(rule, "blocks", cause=cause)
            and self.look(rule, "num_tokens", cause=cause)
        )

    def _tell(self, rule: str, seen: Any, due: str, cause: str, kind: str = "rule") -> None:
        """The table's blocks, as a line of its own in the trace, and what is wrong with them."""
        self._line("blocks", observe=True).seen = show(seen)
        self.log.begin(f"blocks \u2192 {show(seen)}, expected {due}")
        self.require(rule, False, expected=Words(due), seen=seen, cause=cause, kind=kind)

    # ----- the replay -----------------------------------------------------------------------------------------

    def _draw(self, before: Table, tokens: int, wanted: int | None) -> None:
        """What an append took: in the table where the table has it, else lost; `wanted` where it was refused."""
        try:
            listed = block_ids(self.mine.blocks)
        except Exception:  # a table this broken has nothing to show
            listed = before[0]
        if listed[: len(before[0])] != before[0]:  # the table is another one
            self._passed("A", returned=before[0][::-1])
            before = EMPTY
        held = self.pool.held.difference(self.others)
        table = [block for block in dict.fromkeys(listed) if block in held]
        looks = iter([State({"A": before}), State({"A": (table, tokens)})])
        with watch(self.log, lambda: next(looks), "A") as call:
            if wanted is not None:
                call.refuse(int32(wanted))
        self._passed("lost", taken=sorted(held.difference(table)))

    def _passed(self, name: str, taken: Sequence[int] = (), returned: Sequence[int] = ()) -> None:
        """Blocks went from the pool to somebody, or back."""
        if name == "others":
            self.others += taken
        with watch(self.log, State, name) as call:
            call.counted, call.taken, call.returned = True, list(taken), [(block, 0, 0) for block in returned]


def _are(n: int) -> str:
    return f"{plural(n, 'block')} {choose(n, 'is', 'are')}"
