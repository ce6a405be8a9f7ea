"""Lesson 07: requests on the learner's cache and on the right one, and which rule a difference breaks.

A prompt is a word: each letter is a full block of two tokens, a full stop at the end a part-filled one. The hash of
a block is the word up to it, so a report can be read: block 1 of "abc" has the hash 'ab'.
"""

from __future__ import annotations

import copy
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from labkit.cache.block_pool import BlockPool
from labkit.cache.ref_counts import CheckedRefCounts, checked_twin
from labkit.grading.classes import ClassReferee
from labkit.grading.compare import no_block, whole
from labkit.grading.display import Words, show
from labkit.grading.functions import spelled
from labkit.grading.language import Op
from labkit.grading.referee import Failure, Illegal, StopSequence
from labkit.grading.verdict import Step
from labkit.observe.changes import Call, State
from labkit.observe.recorder import watch
from labkit.words import choose, listed, plural

BLOCK_SIZE = 2
NAMES = "PQRSTUVWXYZ"
"""Of sequences: other letters than those of prompts begin with, so that a picture can show both."""


class BlockHash(str):
    """A hash that a person can read and code can only look up: like a digest, it has neither length nor order.

    So whoever guesses a block's place in its sequence from the hash is told, where real hashes would tell nothing.
    """

    def __len__(self) -> int:
        raise TypeError("a hash does not say where its block stands; take no length of it")

    def __bool__(self) -> bool:
        return True

    def _no_order(self, other: object) -> bool:
        raise TypeError("a hash does not say where its block stands; hashes have no order")

    __lt__ = __le__ = __gt__ = __ge__ = _no_order


class FalsyHash(BlockHash):
    """A hash that counts as false, as the number 0 does: that of a block that begins with z."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"{str(self)!r} (counts as false)"


@dataclass
class Running:
    """A sequence that holds blocks, in the order of its prompt."""

    name: str
    prompt: str
    blocks: list[int]

    @property
    def tokens(self) -> int:
        """Tokens of the prompt; a part-filled block holds one."""
        return BLOCK_SIZE * len(self.prompt.rstrip(".")) + self.prompt.endswith(".")

    @property
    def limit(self) -> int:
        """How many blocks may be hits, so that a token is left to compute."""
        return (self.tokens - 1) // BLOCK_SIZE

    def hashes(self) -> list[Any]:
        """The hash of every full block, in a list of its own: all that is before it, and itself."""
        full = self.prompt.rstrip(".")
        kind = FalsyHash if full.startswith("z") else BlockHash
        return [kind(full[: i + 1]) for i in range(len(full))]


class QueueReferee(ClassReferee):
    """Asks both caches the same, one call after another, and compares what they show.

    Attributes:
        mine, right: the caches.
        running: the sequences, oldest first.
        released: of each block in the queue, the release that put it there.
    """

    draws = True
    mine: Any = None
    _opened: Op | None = None
    _watched: ExitStack
    _drawn: Call

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.running: list[Running] = []
        self.released: dict[int, int] = {}
        self.releases = 0
        self.same_as: dict[int, int] = {}  # block of the right cache -> the learner's for the same content

    def do_new(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.setup_text = f"a pool of {num_blocks}; a letter is a full block, a full stop a part-filled one"
        self.log.meta.update(num_blocks=num_blocks, block_size=BLOCK_SIZE)
        label = f"cache = QueuePrefixCache(RefCounts(BlockPool({num_blocks})))"
        self.mine = self.call("no-block-is-lost", label, self.namespace["QueuePrefixCache"], self.refs())
        self.right = self.right_cache()

    def right_cache(self) -> Any:
        return self.spec.solution()(self.refs())

    def refs(self) -> Any:
        return checked_twin(self.namespace["RefCounts"])(self.namespace["BlockPool"](self.num_blocks))

    # ----- what the report and the replay show ----------------------------------------------------------------

    def apply(self, op: Op) -> list[Failure]:
        with ExitStack() as self._watched:
            self._drawn = self._watched.enter_context(watch(self.log, self.state))
            return super().apply(op)

    def state(self) -> State:
        """What there is to see of the learner's cache."""
        tables = {one.name: (list(one.blocks), one.tokens) for one in self.running}
        hash_of = {block: key for block, key in self.mine.hash_of.items() if whole(block) is not None}
        return State(tables, hash_of, evictions=self.mine.evictions)

    def _line(self, label: str, observe: bool = False) -> Step:
        """Only the first line of an operation stands for it: whoever replays the lines must not do it again."""
        if observe:  # a step of the replay: what has happened until now belongs to the one before
            self._watched.close()
        step = super()._line(label, observe)
        if self._opened is self._op:
            step.op, step.args = "observe", {}
        self._opened = self._op
        return step

    def caption(self) -> None:
        super().caption()
        lines = [line for line in self.steps[self.first_line :] if not line.expected]
        said = [f"{line.label} \u2192 {line.seen}" if line.seen not in ("", "None") else line.label for line in lines]
        self.log.labels[self.at] = "; ".join(said) or self.log.labels[self.at]

    # ----- operations -----------------------------------------------------------------------------------------

    def do_request(self, prompt: str) -> None:
        """Somebody sends a prompt: look up, hold, allocate, register."""
        one = self.next(prompt)
        seen, hit = self.ask("finds-what-the-hash-says", "lookup", one.hashes(), one.limit)
        what = f"This is what is cached of {show(one.prompt, 60)}, its last token left out."
        self.insist("finds-what-the-hash-says", seen == hit, show(hit), what)
        if hit:
            self.ask("stays-findable-after-release", "hold", hit)
        one.blocks = list(hit)
        self._drawn.cached = BLOCK_SIZE * len(hit)
        self.running.append(one)
        self.take(one, -(-one.tokens // BLOCK_SIZE) - len(hit))
        self.register(one)

    def do_grow(self, which: int, letter: str) -> None:
        """A sequence fills one more block: the part-filled one, or a new one. All its blocks are registered."""
        one = self.running[which]
        if not one.prompt.endswith("."):
            self.take(one, 1)
        one.prompt = one.prompt.rstrip(".") + letter
        self.register(one)

    def do_finish(self, which: int) -> None:
        """A sequence lets go of its blocks."""
        one = self.running.pop(which)
        before = list(self.right.queue)
        full = [block for block in one.blocks if block in self.right.hash_of]
        self.ask("stays-findable-after-release" if full else "the-rest-goes-back", "release", list(one.blocks))
        self.releases += 1
        self.released |= {block: self.releases for block in self.right.queue if block not in before}
        self.counts(one.blocks)
        self.places(one)
        missing = "Nobody holds it any more, and nothing was evicted: it stays findable."
        self.index("stays-findable-after-release", missing)

    # ----- parts of operations --------------------------------------------------------------------------------

    def next(self, prompt: str) -> Running:
        taken = {one.name for one in self.running}
        return Running(next(name for name in NAMES if name not in taken), spelled(prompt), [])

    def ask(self, rule: str, method: str, *args: Any) -> tuple[Any, Any]:
        """What a method of both caches answers: the learner's answer, and the right one."""
        self.same_luck()
        due = getattr(self.right, method)(*copy.copy(args))
        label = f"{method}({', '.join(show(arg) for arg in args)})"
        self.same_luck()
        return self.call(rule, label, method, *args, on=self.mine), due

    def take(self, one: Running, n: int) -> None:
        """Blocks for what was not found; for them is evicted what the learner's `release` has put in front."""
        seen, due = self.ask("no-block-is-lost", "allocate", n)
        what = f"{plural(n, 'block')} can be had for {one.name}."
        self.hold("no-block-is-lost", seen == due, f"allocate({n})", seen, due, what)
        one.blocks += due

    def register(self, one: Running) -> None:
        hashes = one.hashes()
        new = [block for block in one.blocks[: len(hashes)] if block not in self.right.hash_of]
        rule = "full-blocks-become-findable" if new else "registered-once"
        self.ask(rule, "register", hashes, list(one.blocks))
        self.sides()
        self.counts(one.blocks)
        self.index("full-blocks-become-findable", "It is full, and register was told its hash.")

    # ----- what must hold -------------------------------------------------------------------------------------

    def hold(self, rule: str, ok: object, label: str, seen: Any, expected: Any, cause: str) -> None:
        """A rule about what can be seen after a call; where it does not hold, the operation ends here."""
        if not ok:
            self.observe(rule, label, Words(show(seen)), Words(show(expected)), cause)
            raise StopSequence

    def sides(self) -> None:
        """From block to hash, and from hash to block: neither is entered the wrong way round."""
        rule = "full-blocks-become-findable"
        turned = [key for key in self.mine.hash_of if whole(key) is None]
        what = f"hash_of leads from a block to its hash, and {show(turned[:1])[1:-1]} is no block."
        self.hold(rule, not turned, "list(hash_of)", list(self.mine.hash_of), list(self.right.hash_of), what)
        by_hash, known = self.mine.by_hash.first, self.right.by_hash.first
        turned = [key for key in by_hash if key not in known and whole(key) is not None]
        what = f"by_hash leads from a hash to its blocks, and {show(turned[:1])[1:-1]} is no hash: add takes the hash, "
        what += "and then the block."
        self.hold(rule, not turned, "list(by_hash.first)", list(by_hash), list(known), what)

    def counts(self, blocks: list[int]) -> None:
        """Each block is held by those that have it in their table."""
        for block in blocks:
            seen, due = self.mine.refs.count(block), len(self.holders(block))
            what = f"Block {block} is held by {listed(self.holders(block))}; the count says {show(seen, 20)}."
            self.hold("counts-the-holders", seen == due, f"refs.count({block})", seen, due, what)

    def holders(self, block: int) -> list[str]:
        return [one.name for one in self.running if block in one.blocks]

    def whose(self, blocks: list[int]) -> str:
        """Who holds the first of these blocks."""
        return listed(self.holders(*blocks[:1])) if blocks else ""

    def places(self, one: Running) -> None:
        """Where the blocks are of a sequence that has ended: with another holder, in the queue, or in the pool."""
        queue, due = list(self.mine.queue), list(self.right.queue)
        lines = Words(f"queue {show(queue)}"), Words(f"queue {show(due)}")
        self.hold("stays-findable-after-release", not no_block(queue), "the queue", *lines, no_block(queue))
        free, due_free = self.mine.refs.num_free, self.right.refs.num_free
        hash_of, by_hash = self.right.hash_of, self.right.by_hash
        held = [block for block in queue if self.holders(block)]
        odd = [block for block in queue if block not in hash_of]
        gone = [block for block in due if block not in queue]
        twins = [block for block in gone if len(by_hash.blocks(hash_of[block])) > 1]
        rest = [block for block in one.blocks if block not in hash_of and not self.holders(block)]
        both = [block for block in one.blocks if block in queue]
        more, wait = free > due_free, "full and registered and should wait in the queue"
        back = "never registered and nobody holds what lies there: back to the pool with it."
        shown = Words(f"queue {show(queue)}, {free} in the pool"), Words(f"queue {show(due)}, {due_free} in the pool")
        for wrong, rule, which, what in (
            (held, "held-blocks-stay", held, f"still held by {self.whose(held)}, and can be evicted now."),
            (odd, "the-rest-goes-back", odd, "in the queue, and an eviction will look for a hash that is not there."),
            (more and gone and twins == gone, "twins-are-kept", gone, f"{wait}, though another block holds the same."),
            (more and gone, "stays-findable-after-release", gone, f"{wait}; the pool will hand out what is there."),
            (more, "no-block-is-lost", both, "in the queue and in the pool as well, and can be handed out twice."),
            (gone, "no-block-is-lost", gone, "held by nobody, and neither in the queue nor in the pool."),
            (free < due_free, "the-rest-goes-back", rest, back),
        ):
            self.hold(rule, not wrong, "the queue and the pool", *shown, f"{_are(which)} {what}")
        first, instead = next(((a, b) for a, b in zip(queue, due, strict=False) if a != b), (0, 0))
        if first != instead:
            early, late = hash_of[first], hash_of[instead]
            rule, what = "longest-unused-goes-first", f", though {late!r} has been let go of for longer."
            if self.released[first] == self.released[instead]:
                rule = "tail-goes-first"
                what = f" before {late!r}, which continues it: whatever stays behind it is found by no lookup until "
                what += "somebody computes that again, and holds memory."
            mine, right = ([hash_of[block] for block in row] for row in (queue, due))
            self.hold(rule, False, "the queue", mine, right, f"{early!r} will be evicted{what}")

    def index(self, missing: str, why: str) -> None:
        """What is findable, by block and by hash; `missing` is broken where something is not."""
        by_hash, mine = self.mine.by_hash, self.mine.hash_of
        due = {self.same_as.get(block, block): key for block, key in self.right.hash_of.items()}
        for block, key in mine.items():
            lies = repr(due[block]) if block in due else "nothing that is findable"
            what = f"Whoever looks for {key!r} gets keys and values of another prompt: block {block} holds {lies}."
            seen = due.get(block)
            self.hold("finds-what-the-hash-says", seen == key, f"hash_of[{block}]", key, seen, what)
        for key in list(by_hash.first):
            stale = [block for block in by_hash.blocks(key) if due.get(block) != key]
            what = f"The hash {key!r} leads to block {listed(stale)}, which does not hold that any more."
            seen = list(by_hash.blocks(key))
            left = [block for block in seen if block not in stale]
            self.hold("finds-what-the-hash-says", not stale, f"by_hash.blocks({key!r})", seen, left, what)
        for block, key in due.items():
            seen = list(by_hash.blocks(key))
            twins = [other for other in seen if other != block]
            rule, what = missing, f"Block {block} holds {key!r} and is not found. {why}"
            if twins:
                rule, what = (
                    "twins-are-kept",
                    f"Blocks {block} and {twins[0]} both hold {key!r}, and both are to be found.",
                )
            label, both = f"by_hash.blocks({key!r})", [*twins, block]
            self.hold(rule, block in seen, label, seen, both, what)
            if block in seen:
                what = f"The hash {key!r} leads to block {block}, and hash_of does not say that it is registered. {why}"
                self.hold(missing, block in mine, f"hash_of.get({block})", mine.get(block), key, what)
            what = f"Block {block} stands twice under its hash now, and evicting it will take out one."
            self.hold("registered-once", seen.count(block) == 1, label, seen, both, what)

    # ----- what is legal now ----------------------------------------------------------------------------------

    def resolve(self, op: Op, bend: bool = True) -> Op:
        args, running = dict(op.args), len(self.running)
        if op.name == "new":
            if self.mine is not None:
                raise Illegal("makes a second cache; one is enough.")
            return op
        if "which" in args:
            if not running or (args["which"] >= running and not bend):
                raise Illegal(f"names request {args['which']}, and {running} run then: places count from 0.")
            args["which"] %= running
        elif running == len(NAMES) or not args["prompt"]:
            raise Illegal(f"is no request: a prompt has a token, and {len(NAMES)} at most run at a time.")
        if self.needs(op.name, args) > self.right.num_available:
            raise Illegal("finds no room: take fewer blocks, finish a request before, or make more blocks.")
        return Op(op.name, args)

    def needs(self, name: str, args: dict[str, Any]) -> int:
        """Blocks that an operation takes from the pool or the queue, those that it finds in the queue among them."""
        if name == "request":
            one = self.next(args["prompt"])
            hit = self.right.lookup(one.hashes(), one.limit)
            return -(-one.tokens // BLOCK_SIZE) - len(hit) + self.right.num_unheld(hit)
        return int(name == "grow" and not self.running[args["which"]].prompt.endswith("."))


class PromptReferee(QueueReferee):
    """The same world, of a right cache; prompts come in through the learner's `allocate_prompt`, also without room."""

    def right_cache(self) -> Any:
        return self.mine

    def refs(self) -> Any:
        # The cache is copied at every operation; a pool of the learner's may hold what cannot be, a lock, say.
        return CheckedRefCounts(BlockPool(self.num_blocks))

    def apply(self, op: Op) -> list[Failure]:
        self.right = copy.deepcopy(self.mine)
        self.same_as = {}
        return super().apply(op)

    def do_request(self, prompt: str) -> None:
        one = self.next(prompt)
        hit, total = self.right.lookup(one.hashes(), one.limit), -(-one.tokens // BLOCK_SIZE)
        fresh, available = total - len(hit), self.right.num_available
        room = available - self.right.num_unheld(hit)
        all_cached = self.right.lookup(one.hashes(), total)
        due = self.spec.solution()(self.right, one.hashes(), one.tokens, BLOCK_SIZE)
        label = f"allocate_prompt(cache, {show(one.hashes())}, {one.tokens}, {BLOCK_SIZE})"
        rule = "refuses-only-without-room"
        given = (self.mine, one.hashes(), one.tokens, BLOCK_SIZE)
        seen = self.call(rule, label, self.implementation, *given)
        need = f"{plural(fresh, 'block')} {choose(fresh, 'is', 'are')} needed"
        need += f" beside the {len(hit)} found" if hit else ""
        had = f"{plural(room, 'block')} {choose(room, 'is', 'are')} to be had"
        had += "" if room == available else ": those found are in the queue, and no longer once they are held"
        pair = isinstance(seen, tuple | list) and len(seen) == 2 and isinstance(seen[0], list | tuple)
        if due is None:
            rule = "room-for-every-token" if pair and len(seen[0]) < total else rule
            self.insist(rule, seen is None, "None", f"{need}, {had}.")
            self.note(f"right: {need}, {had}")
            self.unchanged()
            return
        self.insist(rule, seen is not None, "blocks and a number of cached tokens", f"{need}, {had}: there is room.")
        rule = "answers-blocks-and-cached-tokens"
        blocks = [id for block in seen[0] if (id := whole(block)) is not None] if pair else []
        what = "The answer is a pair: the list of blocks, and how many tokens of the prompt are cached."
        what = no_block(seen[0]) or what if pair else what
        self.insist(rule, pair and len(blocks) == len(seen[0]), "(blocks, cached tokens)", what, "wrong-type")
        # A block that was evicted for the rest may come back as a fresh one, at the very same place.
        n = len(all_cached)
        taken = n > len(hit) and blocks[:n] == all_cached != due[0][:n]
        what = f"All {one.tokens} tokens come from the cache, so nothing is computed, and nothing is there to choose "
        what += "the next token from."
        if taken and whole(seen[1]) != one.tokens:
            what = "Every block was found, and the token that is left to compute would be written into block "
            what += f"{blocks[-1]}, which others may read."
        more = f"{hit} and {plural(fresh, 'block')} more"
        self.insist("one-token-is-left", not taken, more, what)
        what = f"{one.tokens} tokens at {BLOCK_SIZE} per block need {total}, the cached among them."
        self.insist("room-for-every-token", len(blocks) == total, plural(total, "block"), what)
        what = f"{_are(hit)} there and cached; the sequence got other blocks for these tokens."
        self.insist("uses-what-is-cached", blocks[: len(hit)] == hit, f"{hit} in front", what)
        what = f"{plural(len(hit), 'block')} of {BLOCK_SIZE} tokens were found; a scheduler computes the others."
        self.insist(rule, whole(seen[1]) == due[1], f"{due[1]} cached tokens", what)
        held = {block for other in self.running for block in other.blocks} | set(hit)
        for block in blocks[len(hit) :]:
            whose = "was found for this very prompt" if block in hit else f"is held by {self.whose([block])}"
            what = f"Block {block} {whose}, was evicted all the same, and is handed out a second time."
            again = block in held or blocks.count(block) > 1
            self.insist("held-blocks-stay", not again, "blocks that nobody holds", what)
        self.same_as = dict(zip(due[0], blocks, strict=True))
        one.blocks = blocks
        self._drawn.cached = due[1]
        self.running.append(one)
        self.counts(blocks)
        self.index("full-blocks-become-findable", "It is full, and the full blocks of the prompt are registered.")

    def shows(self, cache: Any) -> dict[str, Any]:
        """What a refusal leaves as it was."""
        counts = {f"refs.count({block})": cache.refs.count(block) for block in range(self.num_blocks)}
        free = {"refs.num_free": cache.refs.num_free, "num_available": cache.num_available}
        return {**free, "evictions": cache.evictions, "queue": list(cache.queue), **counts}

    def unchanged(self) -> None:
        """After a refusal the cache is as it was."""
        what = "The prompt was refused, and the cache is not as it was."
        for (name, seen), due in zip(self.shows(self.mine).items(), self.shows(self.right).values(), strict=True):
            self.hold("refused-means-unchanged", seen == due, name, seen, due, what)
        self.index("refused-means-unchanged", "The prompt was refused, so nothing may be evicted for it.")

    def needs(self, name: str, args: dict[str, Any]) -> int:
        return 0 if name == "request" else super().needs(name, args)


def _are(blocks: list[int]) -> str:
    """ "Block 3 is", "Blocks 3 and 4 are"."""
    return f"{choose(len(blocks), 'Block', 'Blocks')} {listed(blocks, none='0')} {choose(len(blocks), 'is', 'are')}"
