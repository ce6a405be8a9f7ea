"""Lesson 06: who follows reference counts, forks and copy-on-write, and says which rule broke."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from labkit.cache.block_table import blocks_needed
from labkit.cache.copy_on_write import append_cow
from labkit.grading.compare import whole
from labkit.grading.display import Words, show
from labkit.grading.specification import Op, Referee, StopSequence
from labkit.observe.events import Kind

LETTERS = "ABCDEFGH"


# ----- RefCounts ----------------------------------------------------------------------------------------------


class _WatchedPool:
    """The pool below the counts: remembers what one call took from it and gave back to it."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.taken: list[int] = []
        self.back: list[Any] = []

    @property
    def num_blocks(self) -> int:
        return self._pool.num_blocks

    @property
    def num_free(self) -> int:
        return self._pool.num_free

    def allocate(self, n: int) -> list[int] | None:
        blocks = self._pool.allocate(n)
        self.taken += blocks or []
        return blocks

    def free(self, blocks: Any) -> None:
        blocks = list(blocks)
        self.back += blocks
        self._pool.free(blocks)

    def forget(self) -> None:
        self.taken, self.back = [], []


class CountsReferee(Referee):
    """Follows how many tables hold each block that is out of the pool; 0 where a block waits to be recycled."""

    draws = True

    def do_new(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.counts: dict[int, int] = {}  # blocks out of the pool, in the order in which they left it
        self.given: list[tuple[list[Any], list[int]]] = []  # what allocate answered with, and what it said then
        self.setup_text = f"a pool of {num_blocks}"
        self.log.meta.update(num_blocks=num_blocks, block_size=1)
        self.pool = _WatchedPool(self.namespace["BlockPool"](num_blocks))
        self.refs = self.call("counts-the-holders", f"refs = RefCounts(BlockPool({num_blocks}))", self.implementation,
                              self.pool)
        self._check("counts-the-holders", "Nothing was handed out yet, so nobody holds a block.")
        self._check_size()

    def do_allocate(self, n: int) -> None:
        rule, refused = "passes-on-what-the-pool-answers", "refused-means-unchanged"
        free = self.num_blocks - len(self.counts)
        self.pool.forget()
        seen = self.call(refused if n > free else rule, f"allocate({n})", "allocate", n, on=self.refs)
        if n > free:
            if not self.require(rule, seen is None, expected=Words("None"),
                                cause=f"Of the pool's blocks {_free(free)}; it refuses a request for {n}."):
                return
            self.note(f"right: {_free(free)}")
            self.log.emit(Kind.REFUSE, arg=min(n, 2**31 - 1))
            self._check_free(refused, "The request was refused, and blocks left the pool all the same.")
            self._check(refused, "The request was refused, so no count may change.")
            return
        due = Words(f"a list of {_count(n, 'id')}")
        if not self.require(rule, seen is not None, expected=due,
                            cause="The pool handed out blocks, and the answer is None: is a return missing?"):
            return
        if not self.require(rule, isinstance(seen, list | tuple), expected=due, kind="wrong-type",
                            cause="The answer to a request that fits is a list of block ids, as from the pool."):
            return
        if not self.require(rule, sorted(map(str, seen)) == sorted(map(str, self.pool.taken)) and len(seen) == n,
                            expected=self.pool.taken,
                            cause=f"The pool handed out {_named(self.pool.taken)}; whoever asked must get just these."):
            return
        for block in self.pool.taken:
            self.counts[block] = 1
            self.log.emit(Kind.ALLOCATE, block=block)
        if isinstance(seen, list):
            self.given.append((seen, list(self.pool.taken)))
        self._check_free(rule, f"{_count(n, 'block')} {'was' if n == 1 else 'were'} asked for.")
        self._check("counts-the-holders", {b: f"allocate handed out block {b}, so one table holds it."
                                           for b in self.pool.taken})

    def do_share(self, which: list[int]) -> None:
        ids = self._out(which)
        unheld = [b for b in ids if not self.counts[b]]
        rule = "unheld-blocks-come-back-into-use" if unheld else "counts-the-holders"
        self.pool.forget()
        self.call(rule, f"share({ids})", "share", list(ids), on=self.refs)
        causes = {}
        for block in ids:
            self.counts[block] += 1
            self.log.emit(Kind.SHARE, block=block)
            causes[block] = (f"Nobody held block {block}, and it was not recycled; one table shares it now."
                             if block in unheld else f"share makes one holder more for block {block}.")
        self._check_back([])
        self._check(rule, causes)

    def do_drop(self, which: list[int]) -> None:
        ids = self._held(which)
        self.pool.forget()
        seen = self.call("drop-names-the-unheld", f"drop({ids})", "drop", list(ids), on=self.refs)
        due = self._let_go(ids)
        self._check_back([])
        kind = "rule"
        if not isinstance(seen, list | tuple):
            kind, cause = "wrong-type", ("The answer is None where a list is due: is a return missing?" if seen is None
                                         else f"The answer is {show(seen, 40)}, where a list of block ids is due.")
        elif [whole(b) for b in seen] == due:
            cause = ""
        elif sorted(map(str, seen)) == sorted(map(str, due)):
            cause = "The right blocks, but not in the order in which they were named; the order decides what is reused."
        else:
            wrong = [b for b in seen if whole(b) not in due]
            missing = [b for b in due if b not in [whole(s) for s in seen]]
            cause = (f"Block {missing[0]} has no holder left, and the answer does not name it: it will never go back."
                     if missing else f"Block {show(wrong[0], 20)} is named, and "
                     f"{_count(self.counts.get(whole(wrong[0]) or 0, 0), 'other holder')} is left."
                     if wrong else "A block is named twice.")
        self.require("drop-names-the-unheld", not cause, expected=due, cause=cause, kind=kind)
        self._check("counts-the-holders", {b: f"drop makes one holder fewer for block {b}." for b in ids})

    def do_recycle(self, which: list[int]) -> None:
        unheld = [b for b, count in self.counts.items() if not count]
        ids = [unheld[i] for i in which]
        self.pool.forget()
        self.call("recycled-blocks-return", f"recycle({ids})", "recycle", list(ids), on=self.refs)
        for block in ids:
            del self.counts[block]
        self._check_back(ids)
        self._check("counts-the-holders", {b: f"Block {b} is in the pool, so nobody holds it." for b in ids})

    def do_free(self, which: list[int]) -> None:
        ids = self._held(which)
        self.pool.forget()
        self.call("recycled-blocks-return", f"free({ids})", "free", list(ids), on=self.refs)
        due = self._let_go(ids)
        for block in due:
            del self.counts[block]
        self._check_back(due)
        self._check("counts-the-holders", {b: f"free makes one holder fewer for block {b}." for b in ids})

    def do_other(self, num_blocks: int) -> None:
        """Count over a second pool; the first counts must not notice."""
        rule, cause = "counts-are-separate", "A second RefCounts has blocks of its own; this one must not change."
        pool = _WatchedPool(self.namespace["BlockPool"](num_blocks))
        other = self.call(rule, f"other = RefCounts(BlockPool({num_blocks}))", self.implementation, pool)
        self._check(rule, cause)
        blocks = self.call(rule, f"other.allocate({num_blocks})", "allocate", num_blocks, on=other)
        self._check(rule, cause)
        if isinstance(blocks, list) and blocks:
            self.call(rule, f"other.share({blocks})", "share", list(blocks), on=other)
            self._check(rule, cause)

    # ----- what is legal now --------------------------------------------------------------------------------------

    def resolve(self, op: Op) -> Op | None:
        if "which" not in op.args:
            return op
        some = {"share": len(self.counts), "recycle": sum(not c for c in self.counts.values())}
        size = some.get(op.name, sum(bool(c) for c in self.counts.values()))
        if not size:
            return None
        return Op(op.name, {"which": list(dict.fromkeys(i % size for i in op.args["which"]))})

    def _out(self, which: list[int]) -> list[int]:
        out = list(self.counts)
        return [out[i] for i in which]

    def _held(self, which: list[int]) -> list[int]:
        held = [b for b, count in self.counts.items() if count]
        return [held[i] for i in which]

    def _let_go(self, ids: list[int]) -> list[int]:
        for block in ids:
            self.counts[block] -= 1
            self.log.emit(Kind.FREE, block=block, arg=self.counts[block])
        return [b for b in ids if not self.counts[b]]

    # ----- what must hold after every call ------------------------------------------------------------------------

    def _check(self, rule: str, cause: str | Mapping[int, str]) -> None:
        """count(block) for every block; a right answer is no line of the trace."""
        for block in range(self.num_blocks):
            expected = self.counts.get(block, 0)
            try:
                seen = self.call(rule, f"count({block})", "count", block, on=self.refs)
            except StopSequence:
                self.steps[-1].op, self.steps[-1].args = "observe", {}
                raise
            self.steps.pop()
            held = f"{_count(expected, 'table')} {'holds' if expected == 1 else 'hold'} block {block}." if expected \
                else f"Nobody holds block {block}."
            why = cause if isinstance(cause, str) else cause.get(block, held)
            if not self.observe(rule, f"count({block})", seen, expected, why):
                return
        for answer, ids in self.given:
            if not self.observe("passes-on-what-the-pool-answers", f"the list that allocate({len(ids)}) gave",
                                list(answer), ids, "A list that was handed out belongs to whoever asked for it, and "
                                                   "something was written into it since."):
                return

    def _check_free(self, rule: str, cause: str) -> None:
        self.observe(rule, "num_free", self.read(rule, self.refs, "num_free"), self.num_blocks - len(self.counts),
                     cause)

    def _check_size(self) -> None:
        rule = "passes-on-what-the-pool-answers"
        self._check_free(rule, "num_free is the pool's own.")
        self.observe(rule, "num_blocks", self.read(rule, self.refs, "num_blocks"), self.num_blocks,
                     "num_blocks is the pool's own.")

    def _check_back(self, due: list[int]) -> None:
        """What the pool was given back in this call must be what was recycled, in that order."""
        back = [whole(b) for b in self.pool.back]
        for block in due:
            if block not in back:
                self.observe("recycled-blocks-return", "what the pool got back", self.pool.back, due,
                             f"Nobody holds block {block}, and the pool did not get it back: it is lost.")
                return
        early = [b for b in back if b not in due]
        if early:
            count = self.counts.get(early[0] or 0, 0)
            self.observe("only-recycle-returns-blocks", "what the pool got back", self.pool.back, due,
                         f"Block {early[0]} went back to the pool while {_count(count, 'table')} "
                         f"{'holds' if count == 1 else 'hold'} it; its next owner writes over their tokens." if count
                         else f"Block {early[0]} went back to the pool before it was recycled, so nobody can keep what "
                              "it holds.")
        elif back != due:
            self.observe("recycled-blocks-return", "what the pool got back", self.pool.back, due,
                         "The right blocks, but not each once and in the order in which they were named; what comes "
                         "back first is reused first.")
        else:
            self._check_free("recycled-blocks-return", "num_free is the pool's own.")


# ----- sequences that share -----------------------------------------------------------------------------------


class SharingReferee(Referee):
    """Sequences by letter over counted blocks, and KV memory itself: which token was written in which slot.

    A right implementation is one after which every sequence still reads its own tokens.
    """

    draws = True

    def new(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks, self.block_size = num_blocks, block_size
        self.setup_text = f"a pool of {num_blocks}, block size {block_size}"
        self.log.meta.update(num_blocks=num_blocks, block_size=block_size)
        self.refs = self.namespace["RefCounts"](self.namespace["BlockPool"](num_blocks))
        self.tables: dict[str, Any] = {}
        self.texts: dict[str, list[str]] = {}
        self.memory: dict[int, str] = {}
        self._line(f"refs = RefCounts(BlockPool({num_blocks}))")

    def prompt(self, seq: str, n: int) -> None:
        """A new sequence of n tokens; without room for them there is none."""
        table = self.namespace["BlockTable"](self.refs, self.block_size)
        step = self._line(f"{seq} = a sequence of {_count(n, 'token')}")
        if not table.append(n):
            step.seen = "no room"
            self.log.emit(Kind.REFUSE, seq)
            return
        self.tables[seq], self.texts[seq] = table, []
        step.seen = f"blocks {show(list(table.blocks), 60)}"
        for index, block in enumerate(table.blocks):
            self.log.emit(Kind.ALLOCATE, seq, block, index)
        self.write(seq, 0, n)

    def living(self, seq: str) -> Any:
        """The table of a sequence; ValueError where a list of operations goes on with one that found no room."""
        if seq not in self.tables:
            raise ValueError(f"There was no room for {seq} when it began, so there is no such sequence: take a larger "
                             "pool, or fewer tokens.")
        return self.tables[seq]

    def release(self, seq: str) -> None:
        table = self.living(seq)
        del self.tables[seq]
        del self.texts[seq]
        blocks = list(table.blocks)[::-1]
        self._line(f"{seq}.release()")
        table.release()
        for block in blocks:
            self.log.emit(Kind.FREE, seq, block, self.holders(block))

    def write(self, seq: str, first: int, stop: int) -> None:
        """Write tokens `first` to `stop - 1` of a sequence where its table says."""
        blocks, size = list(self.tables[seq].blocks), self.block_size
        for position in range(first, stop):
            token = f"token {position} of {seq}"
            self.texts[seq].append(token)
            self.memory[blocks[position // size] * size + position % size] = token
        for index in range(first // size, -(-stop // size)):
            self.log.emit(Kind.FILL, seq, blocks[index], min(size, stop - index * size))

    def copy(self, source: int, target: int) -> None:
        for i in range(self.block_size):
            token = self.memory.pop(source * self.block_size + i, None)
            self.memory.pop(target * self.block_size + i, None)
            if token is not None:
                self.memory[source * self.block_size + i] = self.memory[target * self.block_size + i] = token

    def holders(self, block: int) -> int:
        """How many tables hold a block."""
        return sum(list(table.blocks).count(block) for table in self.tables.values())

    def with_whom(self, block: int, seq: str) -> list[str]:
        return [name for name, table in self.tables.items() if name != seq and block in table.blocks]

    def check_counts(self, rule: str) -> bool:
        """Every count is the number of tables that hold the block, and what none holds is free."""
        for block in range(self.num_blocks):
            due = self.holders(block)
            who = [name for name, table in self.tables.items() if block in table.blocks]
            held = f"{_and(who) if who else 'Nobody'} {'hold' if due > 1 else 'holds'} block {block}"
            seen = self.refs.count(block)
            if not self.observe(rule, f"refs.count({block})", seen, due, f"{held}; the count says {seen}."):
                return False
        held = {block for table in self.tables.values() for block in table.blocks}
        free = self.num_blocks - len(held)
        seen = self.refs.num_free
        return self.observe(rule, "refs.num_free", seen, free,
                            f"{_count(len(held), 'block')} of {self.num_blocks} "
                            f"{'is' if len(held) == 1 else 'are'} in a table; "
                            f"{_count(free - seen, 'block')} left the pool and nobody holds "
                            f"{'it' if free - seen == 1 else 'them'}." if seen < free
                            else "A block is in the pool while a table holds it.")

    def check_texts(self, rule: str, explain: Callable[[str, int, str], str]) -> bool:
        """Every sequence must read back what it wrote."""
        for name, table in self.tables.items():
            blocks = list(table.blocks)
            for position, token in enumerate(self.texts[name]):
                block = blocks[position // self.block_size]
                found = self.memory.get(block * self.block_size + position % self.block_size, "nothing")
                if found != token:
                    return self.observe(rule, f"what {name} reads at position {position}", Words(found), Words(token),
                                        explain(name, position, found))
        return True

    def alive(self, seq: str) -> str | None:
        """The sequence of a random operation: itself, or one that is alive."""
        names = list(getattr(self, "tables", {}))
        if seq in names or not names:
            return seq if seq in names else None
        return names[LETTERS.index(seq) % len(names)]

    def resolve(self, op: Op) -> Op | None:
        if op.name == "new":
            return op
        fresh = next((name for name in LETTERS if name not in self.tables), None)
        if op.name == "prompt":
            room = self.refs.num_free * self.block_size
            return Op("prompt", {"seq": fresh, "n": min(op.args["n"], room)}) if fresh else None
        seq = self.alive(op.args["seq"])
        if seq is None or (op.name == "fork" and (fresh is None or len(self.tables) > 4)):
            return None
        return Op(op.name, {**op.args, "seq": seq, **({"child": fresh} if op.name == "fork" else {})})


class ForkReferee(SharingReferee):
    """Judges fork; appends are the course's own."""

    def do_new(self, num_blocks: int, block_size: int) -> None:
        self.new(num_blocks, block_size)

    def do_prompt(self, seq: str, n: int) -> None:
        self.prompt(seq, n)

    def do_fork(self, seq: str, child: str) -> None:
        parent = self.tables[seq]
        blocks, tokens, free = list(parent.blocks), parent.num_tokens, self.refs.num_free
        same, apart, both = "child-reads-the-same-tokens", "tables-are-separate", "every-block-counts-both"
        table = self.call(same, f"{child} = fork({seq})", self.implementation, parent)
        if not self.require(same, table is not None, expected=Words("a table"), kind="wrong-type",
                            cause="The answer is None where a table is due: is a return missing?"):
            return
        if not self.require(apart, table is not parent, expected=Words("a second table"),
                            cause=f"The answer is {seq} itself: what {child} appends would be appended to {seq}."):
            return
        theirs = self.read(same, table, "blocks")
        self.steps[-1].seen = f"blocks {show(theirs, 60)}"
        if not self.require(same, isinstance(theirs, list), expected=Words("a list of block ids"), kind="wrong-type",
                            cause=f"The child's blocks are {show(theirs, 40)}; a table keeps them in a list."):
            return
        left = self.refs.num_free
        self.require("nothing-is-copied", left == free, expected=Words(f"blocks {blocks}"),
                     cause=f"fork took {_count(free - left, 'block')} from the pool; the child reads the parent's."
                     if left < free else "fork gave blocks back to the pool that the parent still holds.")
        self.require(same, left != free or [whole(b) for b in theirs] == blocks, expected=Words(f"blocks {blocks}"),
                     cause=f"{seq} has its tokens in blocks {blocks}, and so has {child}.")
        self.require(apart, theirs is not parent.blocks,
                     cause="Both tables keep one and the same list: a block that one of them takes is in both.")
        self.observe(same, f"{child}.num_tokens", self.read(same, table, "num_tokens"), tokens,
                     f"{seq} has {_count(tokens, 'token')}, and so has {child}.")
        self.observe(same, f"{child}.block_size", self.read(same, table, "block_size"), self.block_size,
                     "The blocks are the same, so is their size.")
        self.require(same, self.read(same, table, "pool") is self.refs, expected=Words("the pool of the parent"),
                     cause="The child's pool is another object than the parent's: what it takes and returns there is "
                           "not counted here.")
        self.observe("parent-is-left-as-it-was", f"{seq}.blocks", list(parent.blocks), blocks,
                     f"Forking {seq} may change nothing about {seq}.")
        self.observe("parent-is-left-as-it-was", f"{seq}.num_tokens", parent.num_tokens, tokens,
                     f"Forking {seq} may change nothing about {seq}.")
        self.tables[child], self.texts[child] = table, list(self.texts[seq])
        for index, block in enumerate(blocks):
            self.log.emit(Kind.SHARE, child, block, index)
        if not self.failures:
            self.check_counts(both)

    def do_append(self, seq: str, n: int) -> None:
        table = self.tables[seq]
        old = table.num_tokens
        step = self._line(f"append_cow({seq}, {n})")
        before = {name: list(t.blocks) for name, t in self.tables.items()}
        copies = append_cow(table, n)
        step.seen = show(copies)
        if copies is None:
            return
        for source, target in copies:
            self.copy(source, target)
            self.log.emit(Kind.COPY, seq, target, source)
            self.log.emit(Kind.FREE, seq, source, self.holders(source))
        for index, block in enumerate(list(table.blocks)[len(before[seq]):], len(before[seq])):
            self.log.emit(Kind.ALLOCATE, seq, block, index)
        for name, blocks in before.items():
            if name != seq and not self.observe("tables-are-separate", f"{name}.blocks", list(self.tables[name].blocks),
                                                blocks, f"{seq} took a block, and it is in the table of {name} too."):
                return
        self.write(seq, old, old + n)
        self.check_texts("tables-are-separate", lambda name, at, found:
                         f"{seq} wrote {_count(n, 'token')} of its own, and {name} reads something else since.")
        self.check_counts("every-block-counts-both")

    def do_release(self, seq: str) -> None:
        self.release(seq)
        self.check_counts("every-block-counts-both")


class AppendReferee(SharingReferee):
    """Judges append_cow; forks are the learner's, or the course's own."""

    def do_new(self, num_blocks: int, block_size: int) -> None:
        self.new(num_blocks, block_size)

    def do_prompt(self, seq: str, n: int) -> None:
        self.prompt(seq, n)

    def do_fork(self, seq: str, child: str) -> None:
        parent = self.living(seq)
        step = self._line(f"{child} = fork({seq})")
        self.tables[child] = self.namespace["fork"](parent)
        self.texts[child] = list(self.texts[seq])
        step.seen = f"blocks {show(list(self.tables[child].blocks), 60)}"
        for index, block in enumerate(self.tables[child].blocks):
            self.log.emit(Kind.SHARE, child, block, index)

    def do_append(self, seq: str, n: int) -> None:
        table, size = self.living(seq), self.block_size
        old, before, free = table.num_tokens, list(table.blocks), self.refs.num_free
        others = {name: list(t.blocks) for name, t in self.tables.items() if name != seq}
        sharing = self.with_whom(before[-1], seq) if before else []
        copy = n > 0 and old % size > 0 and bool(sharing)
        wanted = blocks_needed(old + n, size) - len(before) + copy
        written = "shared-block-is-never-written"
        rule = "refused-means-unchanged" if wanted > free else "room-for-every-token"
        seen = self.call(rule, f"append_cow({seq}, {n})", self.implementation, table, n)
        blocks, tokens = _ids(table.blocks), table.num_tokens
        if wanted > free:
            needs = f"{_count(wanted, 'block')} {'is' if wanted == 1 else 'are'} needed" + (
                f", one for the copy of block {before[-1]} that {_and(sharing)} "
                f"{'holds' if len(sharing) == 1 else 'hold'} too," if copy else "")
            self.log.emit(Kind.REFUSE, seq, arg=wanted)
            if not self.require("refuses-only-without-room", seen is None, expected=Words("None"),
                                cause=f"{needs} and {_free(free)}."):
                return
            self.note(f"right: {wanted} needed, {free or 'none'} free")
            self._unchanged(seq, before, old, free, blocks, tokens)
            return
        due = Words("a list of copies" if copy else "[]")
        if not self.require("refuses-only-without-room", seen is not None, expected=due,
                            cause=f"{'1 block is' if wanted == 1 else f'{wanted} blocks are'} needed and "
                                  f"{_free(free)}, and the answer is None: no room, or is a return missing?"):
            return
        pairs = _pairs(seen)
        if not self.require("copies-are-told", pairs is not None, expected=due, kind="wrong-type",
                            cause=f"The answer is {show(seen, 40)}; a list of pairs (source, destination) is due."):
            return
        need = blocks_needed(old + n, size)
        room = "room-for-every-token"
        copied = [(was, now) for was, now in zip(before, blocks, strict=False) if was != now]
        if all(block in range(self.num_blocks) for block in blocks):
            self._draw(seq, before, blocks, copied)
        if len(blocks) != need or None in blocks:
            self.observe(room, f"{seq}.blocks", Words(show(table.blocks, 40)), Words(_count(need, "block")),
                         f"{old + n} tokens at {size} a block need {_count(need, 'block')}; the table lists "
                         f"{show(table.blocks, 40)}.")
            return
        for name, theirs in others.items():
            if not self.observe(written, f"{name}.blocks", list(self.tables[name].blocks), theirs,
                                f"{seq} appended, and the table of {name} changed."):
                return
        touched = {i: blocks[i] for i in range(old // size, need)} if n else {}
        for index, block in touched.items():
            with_whom = self.with_whom(block, seq)
            if with_whom or blocks.count(block) > 1:
                how = (f"which {_and(with_whom)} {'holds' if len(with_whom) == 1 else 'hold'} too. Each writes its "
                       "next token into the same slot, and the last one wins.") if with_whom else \
                    "which stands in the table twice: one part of the sequence is written over another."
                self.log.emit(Kind.FILL, seq, block, min(size, old + n - index * size))
                self.require(written, False, expected=Words("a block that it holds alone"),
                             cause=f"Token {max(old, index * size)} of {seq} goes to block {block}, {how}")
                return
        self.observe(room, f"{seq}.num_tokens", tokens, old + n,
                     f"{seq} had {_count(old, 'token')} and got {f'{n} more' if n else 'none'}.")
        self._texts(seq, n, seen, pairs, copy, before, old)
        needless = [pair for pair in copied if not copy or pair[0] != before[-1]]
        if not self.failures and needless:
            was, now = needless[0]
            full = before.index(was) < len(before) - 1 or old % size == 0
            why = "is full, and never written again" if full else "is held by nobody else" if not sharing else \
                "is not written: no token is added"
            self.require("copies-only-when-it-must", False, expected=Words(f"no copy of block {was}"),
                         cause=f"Block {was} was exchanged for block {now}, though it {why}.")
        expected = [[was, now] for was, now in copied] if copy else []
        if not self.failures:
            told = f"Block {before[-1]} must be copied to block {blocks[len(before) - 1]}" if copy \
                else "Nothing has to be copied"
            self.require("copies-are-told", [list(p) for p in pairs] == expected,
                         expected=[tuple(p) for p in expected], cause=f"{told}, and the answer says {show(seen, 40)}.")
        if not any(f.rule == written for f in self.failures):
            self.check_counts("counts-stay-true")

    def do_release(self, seq: str) -> None:
        self.release(seq)
        self.check_counts("counts-stay-true")

    def _unchanged(self, seq: str, before: list[int], old: int, free: int, blocks: list[Any], tokens: Any) -> None:
        rule = "refused-means-unchanged"
        again = "whoever asks again later starts from a table that has lost what it held."
        self.observe(rule, f"{seq}.blocks", blocks, before, f"The request was refused, and the table changed; {again}")
        self.observe(rule, f"{seq}.num_tokens", tokens, old, "The request was refused, and yet tokens were counted.")
        seen = self.refs.num_free
        self.observe(rule, "refs.num_free", seen, free,
                     f"The request was refused, and {_count(free - seen, 'block')} left the pool all the same."
                     if seen < free else "The request was refused, and blocks went back that are still held.")
        if not self.failures:
            self.check_counts(rule)

    def _texts(self, seq: str, n: int, seen: Any, pairs: list[tuple[int, int]], copy: bool,
               before: list[int], old: int) -> None:
        """Make the copies that were told, write the tokens, and let everybody read."""
        for source, target in pairs:
            self.copy(source, target)
        self.write(seq, old, old + n)

        def explain(name: str, position: int, found: str) -> str:
            now = self.tables[name].blocks[position // self.block_size]
            block = before[position // self.block_size] if name == seq and position < old else None
            target = next((target for source, target in pairs if source == block), None)
            if target is not None and target != now:
                return (f"The answer {show(seen, 40)} has block {block} copied to block {target}, and in its place the "
                        f"table of {seq} lists block {now}.")
            if block is not None:
                return (f"{seq} moved to another block, and what it had written before is not there: the answer of "
                        f"append_cow, {show(seen, 40)}, has to say what must be copied.")
            if name != seq and found == "nothing":
                return f"A copy that the answer names, {show(seen, 40)}, goes over what {name} had written."
            return f"{name} reads what another sequence has written."

        self.check_texts("every-sequence-reads-its-own-tokens", explain)

    def _draw(self, seq: str, before: list[int], blocks: list[int], copied: list[tuple[int, int]]) -> None:
        for was, now in copied:
            self.log.emit(Kind.COPY, seq, now, was)
            self.log.emit(Kind.FREE, seq, was, self.holders(was))
        for index, block in enumerate(blocks[len(before):], len(before)):
            self.log.emit(Kind.ALLOCATE, seq, block, index)


# ----- words --------------------------------------------------------------------------------------------------


def _count(n: int, what: str) -> str:
    return f"1 {what}" if n == 1 else f"{n} {what}s"


def _free(n: int) -> str:
    return "none is free" if not n else "1 is free" if n == 1 else f"{n} are free"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + f" and {names[-1]}" if names else "nobody"


def _named(blocks: list[int]) -> str:
    return f"block {blocks[0]}" if len(blocks) == 1 else f"blocks {_and([str(b) for b in blocks])}"


def _ids(blocks: Any) -> list[Any]:
    return [whole(b) for b in blocks] if isinstance(blocks, list | tuple) else []


def _pairs(answer: Any) -> list[tuple[int, int]] | None:
    """The answer of append_cow as pairs of block ids; None where it is nothing of the kind."""
    if not isinstance(answer, list | tuple):
        return None
    pairs = []
    for pair in answer:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or None in (ids := [whole(b) for b in pair]):
            return None
        pairs.append((ids[0], ids[1]))
    return pairs
