"""Lesson 04: which rule of a pool a difference breaks, where `free` is called rightly and where wrongly."""

from __future__ import annotations

from typing import Any

from labkit.cache.block_pool import CheckedPool
from labkit.errors import BlockError
from labkit.grading.classes import Cause, ClassReferee
from labkit.grading.compare import whole
from labkit.grading.display import Words, show
from labkit.grading.language import Op
from labkit.grading.referee import Illegal
from labkit.observe.changes import State, block_ids, int32
from labkit.observe.recorder import watch
from labkit.words import choose, listed, plural

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class PoolReferee(ClassReferee):
    """A pool beside the solution's. Which of the free blocks it hands out is its own business; the replay shows these.

    Attributes:
        held: what it has handed out, in order, each with what the solution's handed out in its place.
        owners: a letter for the request that got it, for the replay.
        elsewhere: what another pool of the same class has handed out.
    """

    draws = True

    def do_new(self, num_blocks: int) -> None:
        self.held: dict[int, int] = {}
        self.owners: dict[int, str] = {}
        self.elsewhere: set[int] = set()
        self.setup_text = f"a pool of {num_blocks}"
        self.log.meta.update(num_blocks=num_blocks, block_size=1)
        self.make("counts-what-is-free", f"{self.spec.target}({num_blocks})", (num_blocks, num_blocks))
        self._check_size()

    def do_allocate(self, n: int) -> None:
        unchanged, due = "refused-means-unchanged", self.right.allocate(n)
        before = whole(self.read(unchanged, self.mine, "num_free")) if due is None else None
        letter = next((x for x in LETTERS if x not in self.owners.values()), "Z") if due is not None else ""
        with watch(self.log, State, letter) as call:
            awaited = "None" if due is None else "an answer"
            seen = self.call("all-or-nothing", f"allocate({n})", "allocate", n, on=self.mine, awaited=awaited)
            # Of an answer with more ids than there are blocks the first will do: drawing a million takes a second.
            call.taken = block_ids(seen[: self.right.num_blocks + 1] if isinstance(seen, list) else seen)
            if seen is None:
                call.refuse(int32(n))
        rule, expected, cause = self._wrong(seen, n, due)
        if rule:
            kind = "rule" if due is None or seen is None or isinstance(seen, list) else "wrong-type"
            self.require(rule, False, expected=Words(expected), kind=kind, cause=cause)
        elif due is not None:
            ids = block_ids(seen)
            self.held.update(zip(ids, due, strict=True))
            self.owners.update(dict.fromkeys(ids, letter))
            self._check_size()
        else:
            free = self.right.num_free
            self.note(f"right: only {free} {choose(free, 'is', 'are')} free")
            after = self.read(unchanged, self.mine, "num_free")
            if before is not None and before != whole(after):
                self.observe(unchanged, "num_free", after, before, self._why_changed(before, whole(after)))

    def _wrong(self, seen: Any, n: int, right: list[int] | None) -> tuple[str, str, str]:
        """The rule that an answer breaks, what is due, and a sentence; the rule is "" where the answer is right."""
        rule, due, size, free = "all-or-nothing", f"a list of {plural(n, 'id')}", *self._size()
        if right is None:
            cause = f"Only {_are(free)} free; a request for {n} is refused whole."
            return rule if seen is not None else "", "None", cause
        if seen is None:
            return rule, due, f"{_are(free + n)} free, enough for {n}; the pool refused all the same."
        if not isinstance(seen, list):
            return rule, due, "The answer to a request that fits is a list of block ids."
        if len(seen) != n:
            return rule, due, f"{plural(n, 'block')} {choose(n, 'was', 'were')} asked for and {len(seen)} came."
        for block, id in zip(seen, ids := block_ids(seen), strict=True):
            if isinstance(block, bool) or not 0 <= id < size:
                cause = f"{show(block)} is not the id of a block of this pool."
                if whole(block) is None:
                    cause = f"{show(block, 40)} stands where the id of a block is due, which is a whole number."
                return "ids-of-this-pool", f"ids from 0 to {size - 1}", cause
        twice = [block for i, block in enumerate(ids) if block in self.held or block in ids[:i]]
        cause = f"Block {listed(twice[:1])} now has two owners, which will overwrite each other's keys and values."
        return "never-handed-out-twice" if twice else "", "ids that nobody holds", cause

    def _why_changed(self, before: int, now: int | None) -> str:
        """What is wrong with the count of free blocks after a refusal; whose those are that are missing, is drawn."""
        if now is None or now > before:
            return "A refused request must leave every block where it was."
        try:  # what is neither held nor free is found by taking everything that is left
            rest = block_ids(self.mine.allocate(now))
        except Exception:  # a pool this broken cannot be asked; the sentence then gives the number alone
            rest = list(range(self.right.num_blocks))
        with watch(self.log, State, "lost") as call:
            call.taken = lost = [b for b in range(self.right.num_blocks) if b not in rest and b not in self.held]
        gone = "One block" if before - now == 1 else f"{before - now} blocks"
        if len(lost) == before - now:
            gone = f"{choose(len(lost), 'Block', 'Blocks')} {listed(lost)}"
        them = choose(before - now, "it", "them")
        return f"{gone} left the pool in a request that was refused, and nobody holds {them}."

    def do_num_free(self) -> None:
        """Read num_free, as a line of its own."""
        rule, (size, free) = "counts-what-is-free", self._size()
        seen = self.call(rule, "num_free", lambda: self.read(rule, self.mine, "num_free"))
        cause, kind = f"{len(self.held)} of {size} blocks are held.", "rule"
        if whole(seen) is None:
            cause, kind = "num_free is a count: a whole number.", "wrong-type"
        self.require(rule, whole(seen) == free, expected=free, kind=kind, cause=cause)

    def do_free(self, which: list[int]) -> None:
        self._free_held(self._at(which))

    def _free_held(self, freed: list[int], label: str = "") -> None:
        rule = "freed-blocks-come-back"
        blocks = [int(str(b)) for b in freed]  # equal to the ids that came, but other objects: ids are numbers

        def look() -> State:
            return State(
                {x: ([b for b in freed if self.owners.get(b) == x], 0) for x in dict.fromkeys(self.owners.values())}
            )

        with watch(self.log, look):
            answer = self.call(
                rule, label or f"free({show(blocks, 60)})", "free", blocks, on=self.mine, raises=BlockError
            )
            if not isinstance(answer, BlockError):
                self.owners = {block: letter for block, letter in self.owners.items() if block not in freed}
        legal = (
            "Giving back no block is legal, and" if not freed else f"The caller holds block {freed[0]}, and the call"
        )
        if len(freed) > 1:
            legal = f"The caller holds all {len(freed)} blocks, each is named once, and the call"
        cause = f"{legal} was refused with {type(answer).__name__}."
        if not self.require(rule, not isinstance(answer, BlockError), expected=Words("an answer"), cause=cause):
            return
        self.right.free([self.held.pop(block) for block in set(freed)])
        size, free = self._size()
        came = f"{plural(len(freed), 'block')} came back, so {free} of {size} are free now."
        if not self.look(rule, "num_free", cause=came if freed else "Nothing was returned, so nothing changes."):
            return
        blocks.clear()
        cause = "The pool kept the list that free was called with. Its owner has emptied it since, and the blocks went "
        seen = self.read(rule, self.mine, "num_free")
        if self.observe(rule, "num_free, once the caller emptied its list", seen, free, f"{cause}with it."):
            self._check_size()

    def do_other_pool(self, num_blocks: int) -> None:
        """Make a second pool and take everything in it; the first must not notice."""
        rule, cause = "pools-are-separate", "A second pool has blocks of its own; this one must not change."
        other = self.call(rule, f"other = {self.spec.target}({num_blocks})", self.implementation, num_blocks)
        new = "A new pool has all its own blocks free, whatever another one has handed out."
        if not self.look(rule, "num_free", cause=cause) or not self.observe(
            rule, "other.num_free", self.read(rule, other, "num_free"), num_blocks, new
        ):
            return
        taken = self.call(rule, f"other.allocate({num_blocks})", "allocate", num_blocks, on=other)
        if not self.look(rule, "num_free", cause=cause) or not isinstance(taken, list | tuple):
            return
        ids = [id for id in map(whole, list(taken)[:num_blocks]) if id is not None]
        first, self.elsewhere = ids[:1], set(ids[1:])
        if first:
            self.call(rule, f"other.free({first})", "free", first, on=other)
            self.look(rule, "num_free", cause=cause)

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if op.name == "new" and not bend and hasattr(self, "held"):
            raise Illegal("makes a second pool: have one pool only.")
        if "which" not in op.args:
            return op
        which, held = op.args["which"], len(self.held)
        if bend and not held:
            raise Illegal("names a held block, and there is none.")
        if bend:
            places = which % held if isinstance(which, int) else sorted({i % held for i in which})
            return Op(op.name, {**op.args, "which": places})
        if not isinstance(which, list) or any(type(i) is not int for i in which):
            raise Illegal('is free, which takes a list of positions among the blocks you hold, such as ("free", [0]).')
        if any(not -held <= i < held for i in which):
            then = f"and you hold {plural(held, 'block')} then: positions count from 0 among those."
            raise Illegal(f"gives back positions {which}, {then}")
        return op

    def _at(self, which: list[int]) -> list[int]:
        """The held blocks at these places."""
        held = list(self.held)
        return [held[i] for i in which]

    def _size(self) -> tuple[int, int]:
        """How many blocks there are, and how many of them are free."""
        return self.right.num_blocks, self.right.num_free

    def _check_size(self) -> bool:
        """num_blocks must be what the pool was made with."""
        made = f"The pool was made with {plural(self.right.num_blocks, 'block')}, and its size never changes."
        return self.look("counts-what-is-free", "num_blocks", cause=made)


def _are(n: int) -> str:
    return f"{plural(n, 'block')} {choose(n, 'is', 'are')}"


class CheckedReferee(PoolReferee):
    """A pool whose `free` is also called wrongly: twice, for blocks it never had, for good and bad ones at once."""

    below = (
        "The pool below is the course's first, and yours after that: beside what CheckedPool keeps itself, only "
        "num_blocks, num_free, allocate and free can be counted on."
    )

    def make(self, rule: str, label: str, *pairs: tuple[Any, Any]) -> None:
        """The right one stands on the course's pool, whatever pool the learner's stands on."""
        super().make(rule, label, *pairs)
        self.right = CheckedPool(*(right for _, right in pairs))

    def do_allocate_and_pop(self, n: int) -> None:
        """Allocate, and give the blocks back one by one, each popped off the very list that was handed out."""
        self.do_allocate(n)
        blocks = self._seen
        self._answers = [answer for answer in self._answers if answer[1] is not blocks]  # changed here, not by a call
        while not self.failures and isinstance(blocks, list) and blocks:
            block = int(str(blocks.pop()))
            self._free_held([block], f"free([{block}]), popped off that list")

    def do_free_again(self, block: int) -> None:
        """Free one block that is free: never handed out, or returned already."""
        block = self._free_block(block)
        cause = self._twice(block, 0, ". Now it stands in the pool twice and will be given to two sequences.")
        if block in self.elsewhere:
            elsewhere = (
                f"Block {block} of this pool is free: who holds a block {block} has that of the other pool. Two pools "
                "share nothing, and what is held belongs to one of them."
            )
            self._refused([block], "double-free-refused", elsewhere)
        else:
            self._refused([block], "double-free-refused", cause)

    def do_free_twice_in_one_call(self, which: int, apart: bool = False) -> None:
        """Free one held block, named twice in the same call; with `apart`, all other held blocks stand between."""
        (block,) = self._at([which])
        between = [b for b in self.held if b != block] if apart else []
        cause = f"Block {block} is named twice in one call, and this was accepted: "
        lost = "whoever names it twice has lost count."
        self._refused([block, *between, block], "twice-in-one-call-refused", cause + lost)

    def do_free_foreign(self, block: int) -> None:
        """Free an id that no block of this pool has."""
        self.do_free_good_and_bad([], block)

    def do_free_good_and_bad(self, which: list[int], block: int) -> None:
        """Free held blocks and one foreign id in the same call, the good ones first."""
        size = self.right.num_blocks
        cause = f"{block} is not the id of a block of this pool, which has 0 to {size - 1}; accepted, it would be "
        self._refused([*self._at(which), block], "foreign-block-refused", f"{cause}handed out one day.")

    def do_free_good_and_free(self, which: list[int], block: int) -> None:
        """Free held blocks and one that is free already in the same call, the good ones first."""
        block = self._free_block(block)
        cause = self._twice(block, len(which), ", and stands in the pool twice now.")
        self._refused([*self._at(which), block], "double-free-refused", cause)

    def _twice(self, block: int, good: int, taken: str) -> Cause:
        """What to say of a free block that was accepted: the pool has taken it once more, or passed over it."""

        def say(seen: Any, due: Any) -> str:
            free = whole(self.mine.num_free)
            if free is None or free > self.right.num_free + good:
                return f"Block {block} was free already{taken}"
            return f"Block {block} was free already, and the call came back as if all were well: nobody learns of it."

        return say

    def _free(self, held: Any) -> list[int]:
        return [block for block in range(self.right.num_blocks) if block not in held]

    def _free_block(self, nth: int) -> int:
        free = self._free(self.held)
        return free[nth % len(free)]

    def _refused(self, blocks: list[int], rule: str, cause: Cause) -> None:
        unchanged, theirs = "refused-free-changes-nothing", self.held.values()
        twins = self.held | dict(zip(self._free(self.held), self._free(theirs), strict=True))
        right = ([twins.get(b, b) for b in blocks],)
        if not self.both(rule, "free", blocks, cause=cause, right=right, raises=(BlockError,)):
            return
        self.note("right: refused")

        def back(seen: Any, due: int) -> str:
            came = (whole(seen) or 0) - due
            if 0 < came < len(blocks):
                return f"The call was refused, and {plural(came, 'block')} of it went back to the pool all the same."
            return "The call was refused, and yet the pool counts other free blocks than before."

        if self.look(unchanged, "num_free", cause=back) and self.held:
            self._still_held()

    def _still_held(self) -> None:
        """Everything that is free can be taken and given back; none of it may be a block that is still held."""
        unchanged, legal, held = "refused-free-changes-nothing", "legal-calls-still-work", list(self.held)
        if self.right.num_free and not self._take_and_return(self.right.num_free):
            return
        label = f"free({show(held, 60)})"
        answer = self.call(unchanged, label, "free", list(held), on=self.mine, raises=BlockError)
        cause = "The refused call returned nothing, so these blocks are still held; the pool has forgotten it."
        if not self.require(unchanged, not isinstance(answer, BlockError), expected=Words("an answer"), cause=cause):
            return
        again = self.call(legal, f"allocate({len(held)})", "allocate", len(held), on=self.mine)
        due, cause = Words(f"a list of {plural(len(held), 'id')}"), "What was just given back cannot be taken again."
        good = isinstance(again, list | tuple) and len(again) == len(held)
        if self.require(legal, good, expected=due, cause=cause):
            self.held = dict(zip(block_ids(again), self.held.values(), strict=True))

    def _take_and_return(self, free: int) -> bool:
        """Whether everything that is free can be taken, holds nothing that is held, and can be given back."""
        unchanged, legal = "refused-free-changes-nothing", "legal-calls-still-work"
        taken = self.call(unchanged, f"allocate({free})", "allocate", free, on=self.mine)
        cause = f"{_are(free)} free, and allocate({free}) does not answer with a list."
        if not self.require(legal, isinstance(taken, list | tuple), expected=Words("a list of ids"), cause=cause):
            return False
        ids = [whole(b) for b in taken]
        cause = "After a call that was refused, a block that is still held was handed out."
        good = len(ids) == free and not set(ids) & set(self.held)
        if not self.require(unchanged, good, expected=Words("only blocks that are free"), cause=cause):
            return False
        self.call(legal, f"free({show(ids, 60)})", "free", list(ids), on=self.mine)
        return True

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if op.name in ("free_again", "free_good_and_free") and not self.right.num_free:
            raise Illegal("names a free block, and there is none.")
        op = super().resolve(op, bend)
        if op.name in ("free_foreign", "free_good_and_bad") and op.args["block"] >= 0:
            return Op(op.name, {**op.args, "block": op.args["block"] + self.right.num_blocks})
        return op
