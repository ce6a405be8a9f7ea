"""Lesson 06: which rule of reference counts, forks and copy-on-write a difference breaks."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from labkit.cache.block_table import blocks_needed
from labkit.cache.copy_on_write import append_cow
from labkit.cache.ref_counts import checked_twin
from labkit.grading.classes import Cause, ClassReferee, Face
from labkit.grading.compare import whole
from labkit.grading.display import Words, show
from labkit.grading.language import Op
from labkit.grading.referee import Illegal, StopSequence
from labkit.grading.specification import GENERAL
from labkit.grading.verdict import Step
from labkit.observe.changes import Call, State, block_ids
from labkit.observe.recorder import watch
from labkit.words import choose, listed, plural

LETTERS = "ABCDEFGH"

_NO_ANSWER = "The method has no answer."
_NOT_IN_ORDER = "The right blocks, but not each once and in the order in which they were named"


class CountsReferee(ClassReferee):
    """RefCounts over a pool that remembers what it was given back; blocks are named by their place in `out`."""

    draws = True

    def do_new(self, num_blocks: int, in_use: int = 0) -> None:
        """Counts over a pool, some of whose blocks may be in use by somebody who does not count."""
        self.setup_text = f"a pool of {num_blocks}" + (f", {in_use} of them in use" if in_use else "")
        self.log.meta.update(num_blocks=num_blocks, block_size=1)
        self.made = num_blocks, in_use
        self.calls: list[tuple[str, Any]] = []  # what was called so far, with what
        self.counted: dict[
            int, tuple[int, int]
        ] = {}  # block -> the line behind which it was counted last, and the count
        self.out: list[int] = []  # counted blocks out of the pool, in the order in which they left it
        mine, right = (Face(self.namespace["BlockPool"](num_blocks), hear="free") for _ in range(2))
        self.pools = mine, right
        for pool in self.pools:
            pool.allocate(in_use)
        self.make("counts-the-holders", f"refs = RefCounts(BlockPool({num_blocks}))", self.pools)
        self._check("counts-the-holders", "Nothing was handed out yet, so nobody holds a block.")
        for name in ("num_free", "num_blocks"):
            self.look("passes-on-what-the-pool-answers", name, cause=f"{name} is the pool's own.")

    def do_allocate(self, n: int) -> None:
        rule, free = "passes-on-what-the-pool-answers", self.right.num_free
        self.calls.append(("allocate", n))
        if n > free:
            refused = "refused-means-unchanged"
            cause = f"Of the pool's blocks {_free(free)}; it refuses a request for {n}."
            if self.both(refused, "allocate", n, differs=rule, cause=cause, awaited="None"):
                self.note(f"right: {_free(free)}")
                left = "The request was refused, and blocks left the pool all the same."
                self.look(refused, "num_free", cause=left)
                self._check(refused, "The request was refused, so no count may change.")
        elif self.both(rule, "allocate", n, cause="Whoever asked must get just what the pool handed out."):
            blocks = range(self.right.num_blocks)
            taken = [block for block in blocks if self.right.count(block) and block not in self.out]
            self.out += taken
            self.look(rule, "num_free", cause=f"{plural(n, 'block')} {choose(n, 'was', 'were')} asked for.")
            self._check("counts-the-holders", "{Block} was handed out, so one table holds it.", taken)

    def do_share(self, which: list[int]) -> None:
        rule, cause = "counts-the-holders", "share makes one holder more for {block}."
        if not all(self.right.count(self.out[i]) for i in which):
            rule = "unheld-blocks-come-back-into-use"
            cause = "Nobody held {block}, and it was not recycled; one table shares it now."
        self._change("share", which, rule, cause)

    def do_drop(self, which: list[int]) -> None:
        cause = "drop makes one holder fewer for {block}."
        self._change("drop", which, "drop-names-the-unheld", cause, self._why_named)

    def do_recycle(self, which: list[int]) -> None:
        self._change("recycle", which, "recycled-blocks-return", "{Block} is in the pool, so nobody holds it.")

    def do_free(self, which: list[int]) -> None:
        self._change("free", which, "recycled-blocks-return", "free makes one holder fewer for {block}.")

    def do_other(self, num_blocks: int) -> None:
        """Count over a second pool; the first counts must not notice."""
        rule, cause = "counts-are-separate", "A second RefCounts has blocks of its own; this one must not change."
        pool = self.namespace["BlockPool"](num_blocks)
        other = self.call(rule, f"other = RefCounts(BlockPool({num_blocks}))", self.implementation, pool, keep=False)
        self._check(rule, cause)
        blocks = self.call(rule, f"other.allocate({num_blocks})", "allocate", num_blocks, on=other)
        self._check(rule, cause)
        if isinstance(blocks, list) and blocks:
            self.call(rule, f"other.share({blocks})", "share", list(blocks), on=other)
            self._check(rule, cause)

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if "which" not in op.args:
            return op
        size = len(self._named_by(op.name))
        if not size:
            raise Illegal("names a block, and there is none.")
        return Op(op.name, {"which": list(dict.fromkeys(i % size for i in op.args["which"]))})

    def _named_by(self, method: str) -> list[int]:
        """The blocks that a method may be called with."""
        held = [block for block in self.out if self.right.count(block)]
        return {"share": self.out, "recycle": [b for b in self.out if b not in held]}.get(method, held)

    def _change(self, method: str, which: list[int], rule: str, cause: str, differs: Cause = _NO_ANSWER) -> None:
        """Call a method of both with these blocks, and compare what the pools got back, and the counts."""
        named = self._named_by(method)
        ids = [named[i] for i in which]
        given = list(ids)
        for pool in self.pools:
            pool.given = []
        self.calls.append((method, list(ids)))
        self.both(rule, method, given, cause=differs)
        same = "The answer is the very list that the call was given: whoever empties that loses the answer with it."
        self.require(GENERAL[1].name, self._seen is not given, expected=Words("a list of its own"), cause=same)
        back, due = ([-1 if (id := whole(b)) is None else id for b in pool.given] for pool in self.pools)
        self.out = [b for b in self.out if b not in due]
        if back != due:
            lost, early = [b for b in due if b not in back], [b for b in back if b not in due]
            broken = "recycled-blocks-return" if lost or not early else "only-recycle-returns-blocks"
            self.observe(broken, "what the pool got back", back, due, self._why_back(lost, early))
        self.look("passes-on-what-the-pool-answers", "num_free", cause=partial(self._why_free, method))
        self._check(rule if method == "share" else "counts-the-holders", cause, ids)

    def _why_named(self, seen: Any, due: list[int]) -> str:
        """What is wrong with the blocks that drop named."""
        named = [whole(b) for b in seen]
        missing, wrong = [b for b in due if b not in named], [b for b in named if b not in due]
        if missing:
            return f"Block {missing[0]} has no holder left, and the answer does not name it: it will never go back."
        if wrong:
            left = plural(self.right.count(wrong[0]), "other holder") if wrong[0] in self.out else "no holder"
            return f"Block {wrong[0]} is named, and {left} is left."
        return f"{_NOT_IN_ORDER}; it decides what is reused."

    def _why_free(self, method: str, seen: Any, due: int) -> str:
        """What is wrong with num_free where the pool got back what it should."""
        has = self.pools[0].num_free
        if has == whole(seen):
            return f"{method} takes no block out of the pool, and {plural(due - has, 'block')} left it in this call."
        return f"num_free is the pool's own, and of the pool's blocks {_free(has)}."

    def _why_back(self, lost: list[int], early: list[Any]) -> str:
        """What is wrong with the blocks that the pool got back."""
        if lost:
            return f"Nobody holds block {lost[0]}, and the pool did not get it back: it is lost."
        if not early:
            return f"{_NOT_IN_ORDER}; what comes back first is reused first."
        holders = self.right.count(early[0]) if early[0] in self.out else 0
        if not holders:
            return f"Block {early[0]} went back to the pool before it was recycled, so nobody can keep what it holds."
        held = f"{plural(holders, 'table')} {choose(holders, 'holds', 'hold')} it"
        return f"Block {early[0]} went back to the pool while {held}; its next owner writes over their tokens."

    def _check(self, rule: str, cause: str, about: list[int] | None = None) -> None:
        """count(block) for every block; of one that the call was not about it is said how many hold it."""

        def why(block: int, seen: Any, due: int) -> str:
            if about is None or block in about:
                return cause.format(block=f"block {block}", Block=f"Block {block}")
            return f"{plural(due, 'table') if due else 'Nobody'} {'hold' if due > 1 else 'holds'} block {block}."

        for block in range(self.right.num_blocks):
            if not self.look(rule, "count", block, cause=partial(why, block)):
                self._tell_if_kept(block)
                return
            self.counted[block] = len(self.steps), self.right.count(block)

    def _tell_if_kept(self, block: int) -> None:
        """Where an object that was never asked says the right count, the earlier call is part of the trace."""
        (place, before), failure = self.counted.get(block, (0, -1)), self.failures[-1]
        if not place or failure.seen != show(before) or self._afresh(block) != self.right.count(block):
            return
        earlier = Step(0, "observe", {}, f"count({block})", seen=show(before))
        self.steps.insert(place, earlier)
        self.first_line += place <= self.first_line
        for n, step in enumerate(self.steps, 1):
            step.n = n
        failure.cause = (
            f"count({block}) was {before} when it was asked before, and is asked again here: the answer must be "
        )
        failure.cause += "what the count is now. Asked for the first time here, it is right."

    def _afresh(self, block: int) -> int | None:
        """What a new object says of a block after the same calls, none of which asked it for a count."""
        num_blocks, in_use = self.made
        try:
            pool = self.namespace["BlockPool"](num_blocks)
            pool.allocate(in_use)
            refs = self.implementation(pool)
            for method, argument in self.calls:
                getattr(refs, method)(copy.copy(argument))
            return whole(refs.count(block))
        except Exception:  # code that is wrong in other ways as well
            return None


# ----- sequences that share -----------------------------------------------------------------------------------


class SharingReferee(ClassReferee):
    """Sequences by letter over counted blocks, and KV memory itself: which token was written where.

    A right implementation is one after which every sequence still reads its own tokens. Which of the free blocks a
    table gets is its own business, so what is compared are the sequences, not the numbers of their blocks.
    """

    draws = True
    counts_rule: str  # the rule that a wrong count breaks

    def do_new(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks, self.block_size = num_blocks, block_size
        self.setup_text = f"a pool of {num_blocks}, block size {block_size}"
        self.log.meta.update(num_blocks=num_blocks, block_size=block_size)
        self.refs = Face(checked_twin(self.namespace["RefCounts"])(self.namespace["BlockPool"](num_blocks)))
        self.tables: dict[str, Any] = {}
        self.refused: set[str] = set()
        self.texts: dict[str, list[str]] = {}
        self.memory: dict[int, dict[int, str]] = {}  # block -> offset -> the token that was written there
        self._line(f"refs = RefCounts(BlockPool({num_blocks}))")

    def do_prompt(self, seq: str, n: int) -> None:
        """A new sequence of n tokens; without room for them there is none."""
        table = self.namespace["BlockTable"](self.refs, self.block_size)
        step = self._line(f"{seq} = a sequence of {plural(n, 'token')}")
        with self.drawn(seq) as call:
            if not table.append(n):
                step.seen = "no room"
                self.refused.add(seq)
                call.refuse()
                return
            self.tables[seq], self.texts[seq] = table, []
        step.seen = f"blocks {show(list(table.blocks), 60)}"
        self.write(seq, n)

    def do_release(self, seq: str) -> None:
        self._line(f"{seq}.release()")
        with self.drawn(seq):
            self.tables.pop(seq).release()
        del self.texts[seq]
        self.check_counts()

    def drawn(self, seq: str) -> AbstractContextManager[Call]:
        """What happens to the tables in the `with` block is drawn in the replay."""
        return watch(self.log, self._state, seq)

    def _state(self) -> State:
        return State({name: (block_ids(table.blocks), table.num_tokens) for name, table in self.tables.items()})

    def who(self, block: int, other: str = "") -> list[str]:
        """The sequences whose tables list a block, without `other`."""
        return [name for name, table in self.tables.items() if block in table.blocks and name != other]

    def write(self, seq: str, n: int) -> None:
        """Write the next `n` tokens of a sequence where its table says."""
        blocks, text = list(self.tables[seq].blocks), self.texts[seq]
        for position in range(len(text), len(text) + n):
            text.append(f"token {position} of {seq}")
            index, offset = divmod(position, self.block_size)
            self.memory.setdefault(blocks[index], {})[offset] = text[-1]

    def copy(self, pairs: list[tuple[int, int]]) -> None:
        """Make the copies: all slots of a block, also those that hold nothing."""
        for source, target in pairs:
            self.memory[target] = dict(self.memory.get(source, {}))

    def check_others(self, rule: str, seq: str, before: dict[str, list[int]], cause: str) -> None:
        """An append to one sequence leaves the tables of the others as they were."""
        for name, blocks in before.items():
            now = list(self.tables[name].blocks)
            if name != seq and not self.observe(rule, f"{name}.blocks", now, blocks, cause.format(name=name)):
                raise StopSequence

    def check_counts(self, rule: str = "") -> bool:
        """Every count is the number of tables that hold the block, and what none holds is free."""
        rule = rule or self.counts_rule
        listing = Counter(block for table in self.tables.values() for block in table.blocks)
        for block in range(self.num_blocks):
            seen, due = self.refs.count(block), listing[block]
            if seen != due:
                held = f"{listed(self.who(block), 'Nobody')} {'hold' if due > 1 else 'holds'} block {block}"
                return self.observe(rule, f"refs.count({block})", seen, due, f"{held}; the count says {seen}.")
        used, seen = len(listing), self.refs.num_free
        lost = self.num_blocks - used - seen
        cause = "A block is in the pool while a table holds it."
        if lost > 0:
            cause = f"{plural(used, 'block')} of {self.num_blocks} {choose(used, 'is', 'are')} in a table; "
            cause += f"{plural(lost, 'block')} left the pool and nobody holds {choose(lost, 'it', 'them')}."
        return self.observe(rule, "refs.num_free", seen, self.num_blocks - used, cause)

    def check_texts(self, rule: str, explain: Callable[[str, int, str], str]) -> bool:
        """Every sequence must read back what it wrote."""
        for name, table in self.tables.items():
            blocks = list(table.blocks)
            for position, token in enumerate(self.texts[name]):
                index, offset = divmod(position, self.block_size)
                found = self.memory.get(blocks[index], {}).get(offset, "nothing")
                if found != token:
                    label = f"what {name} reads at position {position}"
                    return self.observe(rule, label, Words(found), Words(token), explain(name, position, found))
        return True

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if op.name == "new":
            if not bend and hasattr(self, "tables"):
                raise Illegal("makes a second pool: have one pool only.")
            return op
        args, names = dict(op.args), list(self.tables)
        made = {"prompt": "seq", "fork": "child"}.get(op.name, "")
        if bend:
            args[made] = next(name for name in LETTERS if name not in names)
            if op.name != "prompt" and names and args["seq"] not in names:
                args["seq"] = names[LETTERS.index(args["seq"]) % len(names)]
            if made and len(names) > 4:
                raise Illegal("makes one sequence more than is looked at.")
            if op.name == "prompt":
                args["n"] = min(args["n"], self.refs.num_free * self.block_size)
        seq = args["seq"]
        if op.name != "prompt" and seq in self.refused - set(names):
            raise Illegal(
                f"is about {seq}, and there was no room for {seq} when it began, so there is no such sequence: take a "
                "larger pool, or fewer tokens."
            )
        if op.name == "fork" and seq not in names and args[made] in names:
            raise Illegal(f"forks {seq}, which there is not, and {args[made]} there is: the parent comes first.")
        if op.name != "prompt" and seq not in names:
            raise Illegal(f'is about {seq}, which there is not: begin it with ("prompt", "{seq}", 3).')
        if made and args[made] in names:
            raise Illegal(f"makes {args[made]}, which there is already: take another letter.")
        if op.name == "prompt" and blocks_needed(args["n"], self.block_size) > self.num_blocks:
            raise Illegal(
                f"starts {seq} with {args['n']} tokens, more than the whole pool has slots: take a larger pool, or "
                "fewer tokens."
            )
        return Op(op.name, {name: args[name] for name in self.spec.declared(op.name)})


class ForkReferee(SharingReferee):
    """Judges fork; appends are the course's own."""

    counts_rule = "every-block-counts-both"

    def do_fork(self, seq: str, child: str) -> None:
        parent = self.tables[seq]
        blocks, tokens, free = list(parent.blocks), parent.num_tokens, self.refs.num_free
        same, apart, stays = "child-reads-the-same-tokens", "tables-are-separate", "parent-is-left-as-it-was"
        table = self.call(same, f"{child} = fork({seq})", self.implementation, parent)
        none = "The answer is None where a table is due: is a return missing?"
        self.insist(same, table is not None, "a table", none, kind="wrong-type")
        itself = f"The answer is {seq} itself: what {child} appends would be appended to {seq}."
        twin = next((name for name, other in self.tables.items() if table is other), "")
        if twin:
            self.steps[-1].seen = f"{twin} itself"
        self.insist(apart, table is not parent, "a second table", itself)
        again = f"The answer is {twin} itself, an earlier child: what {child} appends would be appended to {twin}."
        self.insist(apart, not twin, "a table that nobody has yet", again)
        theirs = self.read(same, table, "blocks")
        self.steps[-1].seen = f"blocks {show(theirs, 60)}"
        no_list = f"The child's blocks are {show(theirs, 40)}; a table keeps them in a list."
        due = Words(f"blocks {blocks}")
        self.insist(same, isinstance(theirs, list), due, no_list, kind="wrong-type")
        took = free - self.refs.num_free
        cause = f"fork took {plural(took, 'block')} from the pool; the child reads the parent's."
        if took < 0:
            cause = "fork gave blocks back to the pool that the parent still holds."
        self.observe("nothing-is-copied", "refs.num_free", self.refs.num_free, free, cause)
        others = f"{seq} has its tokens in blocks {blocks}; {child} lists {show(theirs, 60)}."
        self.require(same, bool(took) or [whole(b) for b in theirs] == blocks, expected=due, cause=others)
        pool = (
            "The child's pool is another object than the parent's: what it takes and returns there is not counted here."
        )
        its_own = self.read(same, table, "pool") is self.refs
        self.require(same, its_own, expected=Words("the pool of the parent"), cause=pool)
        left = f"Forking {seq} may change nothing about {seq}."
        size = "The blocks are the same, so is their size."
        counted = self.read(same, table, "num_tokens")
        has = f"{seq} has {plural(tokens, 'token')}, and {child}.num_tokens is {show(counted, 20)}."
        self.observe(same, f"{child}.num_tokens", counted, tokens, has)
        self.observe(same, f"{child}.block_size", self.read(same, table, "block_size"), self.block_size, size)
        self.observe(stays, f"{seq}.blocks", list(parent.blocks), blocks, left)
        self.observe(stays, f"{seq}.num_tokens", parent.num_tokens, tokens, left)
        with self.drawn(child):
            self.tables[child], self.texts[child] = table, list(self.texts[seq])
        if not self.failures:
            self.check_counts()

    def do_append(self, seq: str, n: int) -> None:
        table, rule = self.tables[seq], "tables-are-separate"
        before = {name: list(t.blocks) for name, t in self.tables.items()}
        step = self._line(f"append_cow({seq}, {n})")
        with self.drawn(seq):
            copies = append_cow(table, n)
        step.seen = show(copies)
        if copies is None:
            return
        self.copy(copies)
        took = f"{seq} took a block, and it is in the table of {{name}} too"
        if any(other.blocks is table.blocks for name, other in self.tables.items() if name != seq):
            took += ": the two keep one and the same list"
        self.check_others(rule, seq, before, f"{took}.")
        self.write(seq, n)
        wrote = f"{seq} wrote {plural(n, 'token')} of its own, and {{}} reads something else since."
        self.check_texts(rule, lambda name, at, found: wrote.format(name))
        self.check_counts()


class AppendReferee(SharingReferee):
    """Judges append_cow; forks are the learner's, or the course's own."""

    counts_rule = "counts-stay-true"

    def do_fork(self, seq: str, child: str) -> None:
        step = self._line(f"{child} = fork({seq})")
        with self.drawn(child):
            self.tables[child], self.texts[child] = self.namespace["fork"](self.tables[seq]), list(self.texts[seq])
        step.seen = f"blocks {show(list(self.tables[child].blocks), 60)}"

    def do_append(self, seq: str, n: int) -> None:
        table, size = self.tables[seq], self.block_size
        old, before, free = table.num_tokens, list(table.blocks), self.refs.num_free
        tables = {name: list(t.blocks) for name, t in self.tables.items()}
        sharing = self.who(before[-1], seq) if before else []
        copy, need = n > 0 and old % size > 0 and bool(sharing), blocks_needed(old + n, size)
        wanted = need - len(before) + copy
        room, only = "room-for-every-token", "refuses-only-without-room"
        rule, awaited = (only, "None") if wanted > free else (room, "an answer")
        with self.drawn(seq) as call:
            if wanted > free:
                call.refuse(wanted, free)
            label = f"append_cow({seq}, {n})"
            seen = self.call(rule, label, self.implementation, table, n, keep=False, awaited=awaited)
        blocks: list[Any] = [whole(b) for b in table.blocks]
        tokens = table.num_tokens
        needs = f"{plural(wanted, 'block')} {choose(wanted, 'is', 'are')} needed"
        if wanted > free:
            hold = choose(len(sharing), "holds", "hold")
            also = f", one for the copy of block {before[-1]} that {listed(sharing)} {hold} too," if copy else ""
            cause = f"{needs}{also} and {_free(free)}: no room, and None says so."
            if self.require(only, seen is None, expected=Words("None"), cause=cause):
                self.note(f"right: {wanted} needed, {free or 'none'} free")
                self._unchanged(seq, before, old, free, blocks, tokens)
            return
        due = "a list of copies" if copy else "[]"
        cause = f"{needs} and {_free(free)}, and the answer is None: no room, or is a return missing?"
        self.insist(only, seen is not None, due, cause)
        pairs = _pairs(seen)
        cause = f"The answer is {show(seen, 40)}; a list of pairs (source, destination) is due."
        self.insist("copies-are-told", pairs is not None, due, cause, kind="wrong-type")
        if len(blocks) != need or None in blocks:
            listing = Words(show(table.blocks, 40))
            cause = f"{old + n} tokens at {size} per block need {plural(need, 'block')}; the table lists {listing}."
            self.observe(room, f"{seq}.blocks", listing, Words(plural(need, "block")), cause)
            return
        others = f"{seq} appended, and the table of {{name}} changed."
        self.check_others("shared-block-is-never-written", seq, tables, others)
        self._written_alone(seq, old, n, blocks)
        cause = f"{seq} had {plural(old, 'token')} and got {f'{n} more' if n else 'none'}."
        self.observe(room, f"{seq}.num_tokens", tokens, old + n, cause)
        self.copy(pairs or [])
        self.write(seq, n)
        why = partial(self._why_other, seq, seen, pairs, before, old)
        self.check_texts("every-sequence-reads-its-own-tokens", why)
        if not self.failures:
            self._only_what_must(before, blocks, old % size, sharing, copy, seen, pairs)
        self.check_counts()

    def _only_what_must(
        self, before: list[int], blocks: list[Any], filled: int, sharing: list[str], copy: bool, seen: Any, pairs: Any
    ) -> None:
        """No block is exchanged but the one that has to be copied, and the answer says so."""
        copied = [(was, now) for was, now in zip(before, blocks, strict=False) if was != now]
        needless = [(was, now) for was, now in copied if not copy or was != before[-1]]
        if needless:
            was, now = needless[0]
            why = "is held by nobody else" if not sharing else "is not written: no token is added"
            if was != before[-1] or not filled:
                why = "is full, and never written again"
            cause = f"Block {was} was exchanged for block {now}, though it {why}."
            self.require("copies-only-when-it-must", False, expected=Words(f"no copy of block {was}"), cause=cause)
            return
        told = f"Block {before[-1]} must be copied to block {copied[0][1]}" if copied else "Nothing has to be copied"
        cause = f"{told}, and the answer says {show(seen, 40)}."
        self.require("copies-are-told", pairs == copied, expected=copied, cause=cause)

    def _written_alone(self, seq: str, old: int, n: int, blocks: list[int]) -> None:
        """The table holds alone each block that the new tokens go to."""
        for index in range(old // self.block_size, len(blocks) if n else 0):
            block, first = blocks[index], max(old, index * self.block_size)
            others, goes = self.who(block, seq), f"Token {first} of {seq} goes to block {block}, which"
            cause = f"{goes} stands in the table twice: one part of the sequence is written over another."
            if others:
                held = f"{listed(others)} {choose(len(others), 'holds', 'hold')} too"
                cause = f"{goes} {held}. Each writes its next token into the same slot, and the last one wins."
            alone = not others and blocks.count(block) == 1
            self.insist("shared-block-is-never-written", alone, "a block that it holds alone", cause)

    def _unchanged(self, seq: str, before: list[int], old: int, free: int, blocks: list[Any], tokens: Any) -> None:
        rule, refused = "refused-means-unchanged", "The request was refused, and"
        again = "whoever asks again later starts from a table that has lost what it held."
        self.observe(rule, f"{seq}.blocks", blocks, before, f"{refused} the table changed; {again}")
        self.observe(rule, f"{seq}.num_tokens", tokens, old, f"{refused} yet tokens were counted.")
        taken = free - self.refs.num_free
        cause = "blocks went back that are still held"
        if taken > 0:
            cause = f"{plural(taken, 'block')} left the pool all the same"
        self.observe(rule, "refs.num_free", self.refs.num_free, free, f"{refused} {cause}.")
        if not self.failures:
            self.check_counts(rule)

    def _why_other(
        self, seq: str, seen: Any, pairs: Any, before: list[int], old: int, name: str, position: int, found: str
    ) -> str:
        """Why a sequence reads something else than it wrote."""
        index = position // self.block_size
        now = list(self.tables[name].blocks)[index]
        block = before[index] if name == seq and position < old else None
        target = next((target for source, target in pairs if source == block), None)
        if target is not None and target != now:
            return (
                f"The answer {show(seen, 40)} has block {block} copied to block {target}, and in its place the table "
                f"of {seq} lists block {now}."
            )
        if block is not None:
            return (
                f"{seq} moved to another block, and what it had written before is not there: the answer of append_cow, "
                f"{show(seen, 40)}, has to say what must be copied."
            )
        if name != seq and found == "nothing":
            return f"A copy that the answer names, {show(seen, 40)}, goes over what {name} had written."
        return f"{name} reads what another sequence has written."


def _free(n: int) -> str:
    return "none is free" if not n else f"{n} {choose(n, 'is', 'are')} free"


def _pairs(answer: Any) -> list[tuple[Any, Any]] | None:
    """The answer of append_cow as pairs of block ids; None where it is nothing of the kind."""
    if not isinstance(answer, list | tuple):
        return None
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in answer):
        return None
    pairs = [(whole(source), whole(target)) for source, target in answer]
    return pairs if all(None not in pair for pair in pairs) else None
