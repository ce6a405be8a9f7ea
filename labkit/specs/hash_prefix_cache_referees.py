"""Lesson 07: who follows a queue prefix cache and prompts on it, and says which rule broke.

A prompt is a word: each letter is a full block of two tokens, a full stop at the end a part-filled one. The hash of
a block is the word up to it, so a report can be read: block 1 of "abc" has the hash 'ab'.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from labkit.grading.compare import whole
from labkit.grading.display import Words, show
from labkit.grading.specification import Op, Referee, Step
from labkit.observe.events import Kind

BLOCK_SIZE = 2
NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


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


def handed_out(hashes: list[str]) -> list[str]:
    """The hashes as an implementation gets them, in a list of its own."""
    return [BlockHash(key) for key in hashes]


def hashes_of(prompt: str) -> list[str]:
    """The hash of every full block: all that is before it, and itself."""
    full = prompt.rstrip(".")
    return [full[: i + 1] for i in range(len(full))]


def tokens_of(prompt: str) -> int:
    """Tokens of a prompt; a part-filled block holds one."""
    return BLOCK_SIZE * len(prompt.rstrip(".")) + prompt.endswith(".")


@dataclass
class Running:
    """A sequence that holds blocks."""

    name: str
    prompt: str
    blocks: list[int] = field(default_factory=list)


class QueueReferee(Referee):
    """Follows which content lies in which block, who holds it, and in what order the unheld ones were let go of."""

    draws = True
    _opened: Op | None = None

    def do_new(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.running: list[Running] = []
        self.key_of: dict[int, str] = {}  # block -> hash, of what is findable
        self.queue: list[int] = []
        self.releases = 0
        self.released: dict[str, int] = {}  # hash -> the release that put it into the queue
        self.known: list[str] = []  # every chain that was ever asked for, the longest form of each
        self.setup_text = f"a pool of {num_blocks}; a letter is a full block, a full stop a part-filled one"
        self.log.meta.update(num_blocks=num_blocks, block_size=BLOCK_SIZE)
        self.refs = self.namespace["RefCounts"](self.namespace["BlockPool"](num_blocks))
        self.cache = self.call("no-block-is-lost", f"cache = {self.cache_name}(RefCounts(BlockPool({num_blocks})))",
                               self.make_cache)

    cache_name = "QueuePrefixCache"
    twice_rule = "registered-once"
    twice_cause = "It was registered before. Under its hash it now stands twice, and evicting it will take out one."

    def make_cache(self) -> Any:
        return self.implementation(self.refs)

    # ----- several calls make one operation --------------------------------------------------------------------

    def _line(self, label: str, observe: bool = False) -> Step:
        """Only the first line of an operation stands for it: whoever replays the lines must not do it again."""
        step = super()._line(label, observe)
        if self._opened is self._op:
            step.op, step.args = "observe", {}
        self._opened = self._op
        return step

    def caption(self) -> None:
        super().caption()
        lines = [line for line in self.steps[self.first_line:] if not line.expected]
        said = "; ".join(f"{line.label} \u2192 {line.seen}" if line.seen not in ("", "None") else line.label
                         for line in lines)
        self.log.labels[self.at] = said or self.log.labels[self.at]

    # ----- operations ------------------------------------------------------------------------------------------

    def do_request(self, prompt: str) -> None:
        """Somebody sends a prompt: look up, hold, allocate, register."""
        hashes, hit, fresh = self._plan(prompt)
        free = self._free()
        if fresh > self._room(hit):
            raise ValueError(f"there is no room for the request {show(prompt)}")
        self.remember(prompt)
        seen = self.call("finds-what-the-hash-says", f"lookup({show(hashes)}, {(tokens_of(prompt) - 1) // BLOCK_SIZE})",
                         "lookup", handed_out(hashes), (tokens_of(prompt) - 1) // BLOCK_SIZE, on=self.cache)
        if not self.require("finds-what-the-hash-says", seen == hit, expected=hit,
                            cause=f"This is what is cached of {show(prompt)}, its last token left out."):
            return
        if hit:
            self.call("stays-findable-after-release", f"hold({hit})", "hold", list(hit), on=self.cache)
            self.queue = [block for block in self.queue if block not in hit]
        one = self._start(prompt, hit)
        self._allocate(one, fresh, free)
        if not self.failures:
            self._register(one, hashes)

    def do_grow(self, which: int, letter: str) -> None:
        """A sequence fills one more block: the part-filled one, or a new one. All its blocks are registered."""
        one = self.running[which]
        free = self._free()
        if one.prompt.endswith("."):
            one.prompt = one.prompt[:-1]
            needs = 0
        else:
            needs = 1
        one.prompt += letter
        self.remember(one.prompt)
        if needs:
            self._allocate(one, 1, free)
        if not self.failures:
            self.log.emit(Kind.FILL, one.name, one.blocks[-1], BLOCK_SIZE)
            self._register(one, hashes_of(one.prompt))

    def do_finish(self, which: int) -> None:
        """A sequence lets go of its blocks."""
        one = self.running.pop(which)
        blocks = list(one.blocks)
        registered = [b for b in blocks if b in self.key_of]
        rule = "stays-findable-after-release" if registered else "the-rest-goes-back"
        self.call(rule, f"release({blocks})", "release", blocks, on=self.cache)
        unheld = [b for b in reversed(one.blocks) if not self._count(b)]
        for block in reversed(one.blocks):
            self.log.emit(Kind.FREE, one.name, block, self._count(block))
        self.queue += [b for b in unheld if b in self.key_of]
        self.releases += 1
        self.released.update({self.key_of[b]: self.releases for b in unheld if b in self.key_of})
        back = [b for b in unheld if b not in self.key_of]
        if not self._check_counts(one.blocks):
            return
        free = self._free()
        num_free = self.read("the-rest-goes-back", self.refs, "num_free")
        if num_free < free:
            if astray := [b for b in back if b in self.cache.queue]:
                self.observe("the-rest-goes-back", "the queue", list(self.cache.queue), self.queue,
                             f"{_named(astray)} in the queue, and an eviction will look for a hash that is not there.")
                return
            self.observe("the-rest-goes-back", "refs.num_free", num_free, free,
                         f"{_named(back)} never registered and nobody holds {_them(back)}, so the pool should have "
                         f"{_them(back)} again.")
            return
        if num_free > free:
            kept = [b for b in unheld if b in self.key_of]
            available = self.read("no-block-is-lost", self.cache, "num_available")
            if available > free + len(self.queue):
                both = [b for b in kept if b in self.cache.queue]
                self.observe("no-block-is-lost", "num_available", available, free + len(self.queue),
                             f"{_named(both)} in the queue and in the pool as well, and can be handed out twice.")
                return
            twins = bool(kept) and all(self._twins(b) for b in kept)
            self.observe("twins-are-kept" if twins else "stays-findable-after-release", "refs.num_free", num_free, free,
                         f"{_named(kept)} full and registered and should wait in the queue"
                         + (f", though block {self._twins(kept[0])[0]} holds the same." if twins else
                            f"; the pool will hand {_them(kept)} out as if nothing were in {_them(kept)}."))
            return
        available = self.read("no-block-is-lost", self.cache, "num_available")
        rule = "held-blocks-stay" if available > free + len(self.queue) else "no-block-is-lost"
        held = [b for b in one.blocks if self._count(b)]
        if not self.observe(rule, "num_available", available, free + len(self.queue),
                            f"{_named(held)} still held by {self._holder(held[0])}, and can be evicted now."
                            if rule == "held-blocks-stay" and held else
                            f"{free} in the pool and {len(self.queue)} in the queue can be had; the others are held."):
            return
        self._check_lookups("stays-findable-after-release",
                            "Nobody holds it any more, and nothing was evicted: it stays findable.")

    # ----- parts of operations ---------------------------------------------------------------------------------

    def _plan(self, prompt: str) -> tuple[list[str], list[int], int]:
        """(hashes, blocks that are hit, further blocks needed)."""
        hashes, tokens = hashes_of(prompt), tokens_of(prompt)
        hit = self._expected(hashes, (tokens - 1) // BLOCK_SIZE)
        return hashes, hit, -(-tokens // BLOCK_SIZE) - len(hit)

    def _start(self, prompt: str, hit: list[int]) -> Running:
        taken = {one.name for one in self.running}
        one = Running(next(n for n in NAMES if n not in taken), prompt, list(hit))
        self.running.append(one)
        for index, block in enumerate(hit):
            self.log.emit(Kind.REUSE, one.name, block, index)
        return one

    def _allocate(self, one: Running, n: int, free: int) -> None:
        """The base's `allocate`, which evicts from the front of the queue that the learner's `release` has filled."""
        held = {b for other in self.running for b in other.blocks}
        seen = self.call("no-block-is-lost", f"allocate({n})", "allocate", n, on=self.cache)
        if not self.require("no-block-is-lost", isinstance(seen, list), expected=Words(f"a list of {n} ids"),
                            cause=f"{free} blocks in the pool and {len(self.queue)} in the queue are enough for {n}."):
            return
        self.grant(one, [whole(b) for b in seen], free, held)

    def grant(self, one: Running, seen: list[Any], free: int, held: set[int], check: bool = True) -> bool:
        """What a sequence was given besides its hits: nobody's blocks, and the right ones were evicted for it."""
        evicted = self.queue[: max(0, len(seen) - free)]
        twice = [b for b in seen if b in held or seen.count(b) > 1]
        first = twice[0] if twice else -1
        whose = "was found for this very prompt" if first in one.blocks else f"is held by {self._holder(first)}"
        if not self.require("held-blocks-stay", not twice, expected=Words("blocks that nobody holds"),
                            cause=f"Block {first} {whose}, was evicted all the same, and is handed out a second time."):
            return False
        for block in seen:  # the picture shows what happened, right or wrong
            if block in self.queue:
                self.log.emit(Kind.REMOVED, block=block)
        before = {key for key in self.key_of.values()}
        early = [b for b in seen if b in self.queue and b not in evicted]
        keys = [self.key_of.pop(b) for b in evicted]
        self.queue = self.queue[len(evicted):]
        for index, block in enumerate(seen, len(one.blocks)):
            self.log.emit(Kind.ALLOCATE, one.name, block, index)
            self.log.emit(Kind.FILL, one.name, block, BLOCK_SIZE if index < len(hashes_of(one.prompt)) else 1)
        one.blocks += seen
        return not evicted or not check or self._check_evicted(evicted, early, keys, before)

    def _register(self, one: Running, hashes: list[str]) -> None:
        blocks = list(one.blocks)
        new = [b for b in blocks[: len(hashes)] if b not in self.key_of]
        rule = "full-blocks-become-findable" if new else "registered-once"
        again = {self.key_of[b]: self._entries(self.key_of[b]) for b in blocks[: len(hashes)] if b in self.key_of}
        self.call(rule, f"register({show(hashes)}, {blocks})", "register", handed_out(hashes), blocks, on=self.cache)
        self.registered(one, hashes, again)

    def registered(self, one: Running, hashes: list[str], again: dict[str, int]) -> None:
        """The model's half of register, and what must hold afterwards.

        Args:
            again: hashes of blocks that were registered before, and how many blocks stood under each.
        """
        for block, key in zip(one.blocks, hashes, strict=False):
            if block not in self.key_of:
                self.key_of[block] = key
                self.log.emit(Kind.STORED, one.name, block, -1)
        if not self._check_counts(one.blocks):
            return
        for block, key in zip(one.blocks, hashes, strict=False):
            if (seen := self.cache.hash_of.get(block, key)) != key:
                self.observe("finds-what-the-hash-says", f"hash_of[{block}]", seen, key,
                             f"Block {block} holds {key!r}; whoever looks for {seen!r} will be led to it.")
                return
        if not self._check_lookups("full-blocks-become-findable", "It is full, and register was told its hash."):
            return
        for key, blocks in again.items():
            if not self.observe(self.twice_rule, f"blocks under {key!r}", self._entries(key), blocks, self.twice_cause):
                return

    # ----- what must hold --------------------------------------------------------------------------------------

    def _expected(self, hashes: list[str], limit: int) -> list[int]:
        hit = []
        for key in hashes[:limit]:
            block = next((b for b, k in self.key_of.items() if k == key), None)
            if block is None:
                break
            hit.append(block)
        return hit

    def _check_lookups(self, missing: str, cause: str) -> bool:
        """Everything that was ever asked for is looked up; what is found must lie where the model has it."""
        for prompt in self.known:
            hashes = hashes_of(prompt)
            expected = self._expected(hashes, len(hashes))
            seen = self.call("finds-what-the-hash-says", f"lookup({show(hashes)}, {len(hashes)})",
                             lambda hashes=hashes: self.cache.lookup(handed_out(hashes), len(hashes)))
            line = self.steps.pop()  # asked after every operation; only what differs becomes a line
            if seen == expected:
                continue
            at = next((i for i, (a, b) in enumerate(zip(seen, expected, strict=False)) if a != b),
                      min(len(seen), len(expected)))
            if at < len(seen):
                key, block = hashes[at], seen[at]
                lies = self.key_of.get(block)
                if lies == key:  # a twin: which of two equal blocks is found first does not matter
                    continue
                self.observe("finds-what-the-hash-says", line.label, seen, expected,
                             f"{key!r} is looked for, and block {block} is named, which holds "
                             f"{_content(lies)}: its reader gets keys and values of another prompt.")
            else:
                key, block = hashes[at], expected[at]
                self.observe(missing, line.label, seen, expected,
                             f"Block {block} holds {key!r} and is not found. {cause}")
            return False
        return True

    def _check_evicted(self, evicted: list[int], early: list[int], keys: list[str], before: set[str]) -> bool:
        """Which contents are gone, seen from outside; compared with the front of the queue."""
        gone = {key for key in before if self._found(key) is None}
        due = {key for key in before if key not in self.key_of.values()}
        if gone == due and early:  # one of two twins: the content is there, and the other block went
            return self.observe("longest-unused-goes-first", "evicted", early, evicted,
                                f"Block {evicted[0]} has been let go of for longer than block {early[0]}.")
        if gone == due:
            return self._check_lookups("twins-are-kept", "Another block with this content was evicted, not this one.")
        wrong, kept = sorted(gone - due), sorted(due - gone)
        if kept and not wrong:
            stale = kept[0]
            self.observe("finds-what-the-hash-says", f"the block of {stale!r}", self._found(stale), None,
                         f"The block of {stale!r} was evicted and handed out, and its hash still leads to it.")
            return False
        # A parent and its child that were let go of together went in the wrong order; else it is one of two sequences.
        together = next((key[:-1] for key in sorted(before - gone) if key[:-1] in gone
                         and self.released.get(key) == self.released.get(key[:-1])), None)
        rule = "longest-unused-goes-first" if together is None else "tail-goes-first"
        twin = next((key for key in wrong if key in keys), None)
        if twin is not None:
            rule = "twins-are-kept"
            cause = f"Two blocks hold {twin!r}; one was evicted, and the other is no longer found."
        elif rule == "tail-goes-first":
            cause = (f"{together!r} went before what continues it: whatever stays behind it can never be found again, "
                     "and holds memory.")
        else:
            cause = (f"{wrong[0]!r} was evicted, though {keys[0]!r} has been let go of for longer."
                     if wrong else f"{kept[0]!r} has been let go of for longest, and is still there.")
        self.observe(rule, "evicted", sorted(gone), sorted(due), cause)
        return False

    def _found(self, key: str) -> Any:
        """The block that this hash alone leads to, wherever its beginning is."""
        return self.cache.by_hash.get(key)

    def _twins(self, block: int) -> list[int]:
        return [b for b, key in self.key_of.items() if key == self.key_of[block] and b != block]

    def _check_counts(self, blocks: list[int]) -> bool:
        for block in blocks:
            if not self.observe("counts-the-holders", f"refs.count({block})", self.refs.count(block),
                                self._count(block), f"Block {block} is held by {self._holder(block)}."):
                return False
        return True

    def _entries(self, key: str) -> int:
        """How many blocks stand under a hash: take them out through the public methods, and put them back."""
        table, found = self.cache.by_hash, []
        while (block := table.get(key)) is not None and len(found) <= self.num_blocks:
            table.remove(key, block)
            found.append(block)
        for block in found:
            table.add(key, block)
        return len(found)

    def _count(self, block: int) -> int:
        return sum(block in one.blocks for one in self.running)

    def _holder(self, block: int) -> str:
        names = [one.name for one in self.running if block in one.blocks]
        return " and ".join(names) if names else "nobody"

    def _free(self) -> int:
        held = {b for one in self.running for b in one.blocks}
        return self.num_blocks - len(held) - len(self.queue)

    def _room(self, hit: list[int]) -> int:
        """Blocks to be had beside those that were found."""
        return self._free() + len(self.queue) - sum(block in self.queue for block in hit)

    def remember(self, prompt: str) -> None:
        full = prompt.rstrip(".")
        if full and not any(known.startswith(full) for known in self.known):
            self.known = [known for known in self.known if not full.startswith(known)] + [full]

    # ----- what is legal now -----------------------------------------------------------------------------------

    def resolve(self, op: Op) -> Op | None:
        if op.name == "request":
            prompt = op.args["prompt"]
            _, hit, fresh = self._plan(prompt)
            return op if tokens_of(prompt) and fresh <= self._room(hit) and len(self.running) < len(NAMES) else None
        if op.name in ("finish", "grow"):
            if not self.running:
                return None
            which = op.args["which"] % len(self.running)
            fills = self.running[which].prompt.endswith(".")
            if op.name == "grow" and not fills and not self._free() + len(self.queue):
                return None
            return Op(op.name, {**op.args, "which": which})
        return op


class PromptReferee(QueueReferee):
    """The same world; prompts come in through the learner's `allocate_prompt`, also where there is no room."""

    twice_rule = "finds-what-the-hash-says"
    twice_cause = "A block that does not hold this content stands under its hash, and will be found one day."

    def make_cache(self) -> Any:
        return self.namespace["QueuePrefixCache"](self.refs)

    def do_request(self, prompt: str) -> None:
        hashes, hit, fresh = self._plan(prompt)
        tokens, free = tokens_of(prompt), self._free()
        room = self._room(hit)
        self.remember(prompt)
        held = {b for one in self.running for b in one.blocks} | set(hit)
        before = self._look()
        rule = "refuses-only-without-room"
        seen = self.call(rule, f"allocate_prompt(cache, {show(hashes)}, {tokens}, {BLOCK_SIZE})",
                         self.implementation, self.cache, handed_out(hashes), tokens, BLOCK_SIZE)
        need = f"{_blocks(fresh)} needed beside the {len(hit)} found" if hit else f"{_blocks(fresh)} needed"
        had = f"{_blocks(room)} to be had" + ("" if room == free + len(self.queue) else
                                              ": those found are in the queue, and no longer once they are held")
        if fresh > room:
            if isinstance(seen, tuple | list) and seen and isinstance(seen[0], list | tuple) \
                    and len(seen[0]) < len(hit) + fresh:
                rule = "room-for-every-token"
            if not self.require(rule, seen is None, expected=Words("None"), cause=f"{need}, {had}."):
                return
            self.note(f"right: {need}, {had}")
            after = self._look()
            if after != before:
                name = next(name for name in before if before[name] != after[name])
                self.observe("refused-means-unchanged", name, after[name], before[name],
                             "The prompt was refused, and the cache is not as it was.")
                return
            self._check_lookups("refused-means-unchanged", "The prompt was refused, so nothing may be evicted for it.")
            return
        if not self.require(rule, seen is not None, expected=Words("blocks and a number of cached tokens"),
                            cause=f"{need}, {had}: there is room."):
            return
        due = Words("(blocks, cached tokens)")
        if not self.require("answers-blocks-and-cached-tokens",
                            isinstance(seen, tuple | list) and len(seen) == 2 and isinstance(seen[0], list | tuple),
                            expected=due, kind="wrong-type", cause="The answer is a pair: the list of blocks, and how "
                            "many tokens of the prompt are cached."):
            return
        blocks, cached = [whole(b) for b in seen[0]], seen[1]
        if not self._check_answer(blocks, cached, hashes, hit, fresh, tokens):
            return
        self.queue = [b for b in self.queue if b not in hit]
        one = self._start(prompt, hit)
        if self.grant(one, blocks[len(hit):], free, held, check=False):
            keys = [self.key_of[b] for b in one.blocks[: len(hashes)] if b in self.key_of]
            self.registered(one, hashes, {key: list(self.key_of.values()).count(key) for key in keys})

    def _check_answer(
        self, blocks: list[Any], cached: Any, hashes: list[str], hit: list[int], fresh: int, tokens: int
    ) -> bool:
        total = len(hit) + fresh
        all_cached = self._expected(hashes, len(hashes))
        # A block that had to be evicted for the rest may come back as a fresh one, at the very same place.
        fresh_again = [b for b in self.queue if b not in hit][: max(0, fresh - self._free())]
        taken = len(all_cached) > len(hit) and blocks[: len(all_cached)] == all_cached \
            and all_cached[len(hit)] not in fresh_again
        if not self.require("one-token-is-left", not taken, expected=Words(f"{hit} and {_blocks(fresh, '')} more"),
                            cause=f"All {tokens} tokens come from the cache, so nothing is computed, and nothing is "
                                  "there to choose the next token from."):
            return False
        if not self.require("room-for-every-token", len(blocks) == total, expected=Words(f"{total} blocks"),
                            cause=f"{tokens} tokens at {BLOCK_SIZE} a block need {total}, the cached among them."):
            return False
        if not self.require("uses-what-is-cached", blocks[: len(hit)] == hit, expected=Words(f"{hit} in front"),
                            cause=f"{_named(hit)} there and cached; the sequence got other blocks for these tokens."):
            return False
        return self.require("answers-blocks-and-cached-tokens", whole(cached) == len(hit) * BLOCK_SIZE,
                            expected=Words(f"{len(hit) * BLOCK_SIZE} cached tokens"),
                            kind="rule" if whole(cached) is not None else "wrong-type",
                            cause=f"{_blocks(len(hit), '')} of {BLOCK_SIZE} tokens were found; a scheduler computes "
                                  "the others.")

    def _look(self) -> dict[str, Any]:
        return {"refs.num_free": self.refs.num_free, "num_available": self.cache.num_available,
                "counts": [self.refs.count(b) for b in range(self.num_blocks)], "evictions": self.cache.evictions,
                "the order of the queue": list(self.cache.queue)}

    def resolve(self, op: Op) -> Op | None:
        if op.name == "request":
            return op if tokens_of(op.args["prompt"]) and len(self.running) < len(NAMES) else None
        return super().resolve(op)


def _blocks(n: int, verb: str | None = None) -> str:
    what = "1 block" if n == 1 else f"{n} blocks"
    return what + (" is" if n == 1 else " are") if verb is None else what


def _them(blocks: list[int]) -> str:
    return "it" if len(blocks) == 1 else "them"


def _named(blocks: list[int]) -> str:
    if not blocks:
        return "No block is"
    if len(blocks) == 1:
        return f"Block {blocks[0]} is"
    return f"Blocks {', '.join(map(str, blocks[:-1]))} and {blocks[-1]} are"


def _content(key: str | None) -> str:
    return "nothing that is findable" if key is None else repr(key)
