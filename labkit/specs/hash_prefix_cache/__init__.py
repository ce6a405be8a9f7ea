"""Lesson 07, hash chains: its rules, witnesses and hints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.cache.queue_prefix_cache import longest_hit
from labkit.grading.breakit import BreakIt
from labkit.grading.compare import Mismatch, compare
from labkit.grading.display import show
from labkit.grading.functions import FunctionSpecification, spelled
from labkit.grading.language import rules_from
from labkit.grading.search import text
from labkit.grading.specification import GENERAL, Specification
from labkit.specs import Exercise, Lesson
from labkit.specs.hash_prefix_cache.referees import PromptReferee, QueueReferee
from labkit.words import choose, plural

# ----- chain_hashes -------------------------------------------------------------------------------------------


class Falsy(str):
    """A hash that counts as false, as the number 0 does."""

    def __bool__(self) -> bool:
        return False


class Readable:
    """Makes hashes that can be read: everything that went into one, the oldest first.

    Args:
        kind: what hashes are made of.
    """

    def __init__(self, kind: type[str]) -> None:
        self.kind = kind

    def __call__(self, *given: Any) -> str:
        if len(given) != 1:
            raise TypeError(f"hash_block takes one pair (hash before, tokens), not {len(given)} arguments")
        (pair,) = given
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(f"hash_block takes one pair (hash before, tokens), not {show(pair, 40)}")
        parent, page = pair
        text = page.decode() if isinstance(page, bytes) else f"<{page}>"
        return self.kind(text if parent is None else f"{parent}>{text}")

    def __repr__(self) -> str:
        return "h" if self.kind is str else "h (each of its hashes counts as false)"


class ChainHashes(FunctionSpecification):
    """The hash of every full block of a prompt; tokens are letters here, one byte each."""

    exercise = "chain_hashes"
    rules = rules_from(
        """
        a-hash-covers-all-before-it: The hash of a block is made from its tokens and the hash of the block before; \
          None stands before the first.
            abcdef 2 salt="" hash_block=h
            aaaa 1 salt="" hash_block=h
            abcdefgh 4 salt="" hash_block=h
            abcdef 2 salt="" hash_block=falsy
            a200b200 2 salt="" hash_block=h
            a600b600 1 salt="" hash_block=h
        salt-reaches-every-hash: The salt stands in front of the first block's tokens, and nowhere else.
            ? Which one block has nothing before it, so that whatever goes in there is in every hash after it?
            abcdef 2 salt=S: hash_block=h
            abc 3 salt=tenant-7: hash_block=h
            abcdef 2 salt=S: hash_block=falsy
        full-blocks-only: Every full block has a hash, and a part-filled one at the end has none.
            ? How many full blocks of 4 are there in 3 bytes, in 4, in 11?
            abcde 2 salt="" hash_block=h
            abc 4 salt="" hash_block=h
            abc 4 salt=S: hash_block=h
            abcd 4 salt="" hash_block=h
            abcdabcdabc 4 salt=S: hash_block=h
            "" 4 salt=S: hash_block=h
            abc 4 salt=null hash_block=null
        pages-are-what-was-hashed: pages[i] is the bytes that hashes[i] was made from, without the parent.
            ? What exactly did you hand to hash_block as the second of the pair?
            abcdefg 3 salt="" hash_block=h
            abcdef 3 salt=S: hash_block=h
            abababab 2 salt="" hash_block=h
        """
    )
    hints = (
        "Two prompts end in the same block and begin differently. Which value of yours is different for the two?",
        "A hash depends on everything from the salt to the end of its block, and on nothing else: on its own page "
        "directly, and on all before it through one value. There are as many hashes as full pages.",
        "pages = [tokens[i * page_bytes:____] for i in range(len(tokens) ____ page_bytes)]\n"
        "if pages:\n    pages[0] = ____\nparent = None\nfor page in pages:\n"
        "    parent = hash_block((____, page))\n    hashes.append(____)",
    )
    search = {"tokens": text("ab", 9), "page_bytes": (1, 4), "salt": ["", "S:", "ab"], "hash_block": ["h", "falsy"]}

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {"tokens": spelled(args["tokens"]).encode(), "page_bytes": args["page_bytes"]}
        if args["salt"] is not None:
            values["salt"] = args["salt"].encode()
        if args["hash_block"] is not None:
            values["hash_block"] = Readable(Falsy if args["hash_block"] == "falsy" else str)
        return values

    def label(self, args: Mapping[str, Any]) -> str:
        return f"chain_hashes({', '.join(show(v, 60) for v in self.decode(args).values())})"

    def rule_for(self, **args: Any) -> str:
        blocks = len(spelled(args["tokens"])) // args["page_bytes"]
        if args["salt"] and blocks:
            return "salt-reaches-every-hash"
        return "a-hash-covers-all-before-it" if blocks > 1 else "full-blocks-only"

    def compare(self, seen: Any, expected: Any) -> Mismatch | None:
        if not isinstance(seen, list | tuple):
            return compare(seen, expected)
        if seen and all(map(_is_pair, seen)):
            return Mismatch(
                "wrong-type", "The answer is a list of pairs where two lists are due: the hashes, the pages."
            )
        if seen and isinstance(seen[0], str):
            return Mismatch("wrong-type", "The answer is one list where two are due: the hashes, and the pages.")
        if len(seen) != 2:
            parts = plural(len(seen), "part")
            return Mismatch("wrong-type", f"The answer has {parts} where two lists are due: the hashes, and the pages.")
        hashes, pages = (part if isinstance(part, list | tuple) else [] for part in seen)
        if wrong := [page for page in pages if not isinstance(page, bytes)]:
            return Mismatch("wrong-type", f"pages holds {show(wrong[0], 40)}, where the bytes of a block are due.")
        made = {type(key) for key in expected[0]}
        if wrong := [key for key in hashes if made and isinstance(key, str) and type(key) not in made]:
            return Mismatch("wrong-type", f"{show(wrong[0], 40)} is a hash that another hash_block made.")
        return compare(tuple(seen), expected)

    def blame(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        salt = args["salt"]
        if not isinstance(seen, list | tuple) or [isinstance(part, list | tuple) for part in seen] != [True, True]:
            return rule
        hashes = list(seen[0])
        if len(hashes) != len(expected[0]):
            return "full-blocks-only"
        if hashes == expected[0]:
            return "pages-are-what-was-hashed"
        if salt and any(salt in str(h) for h in expected[0]) and not self._chained(hashes, expected, salt):
            return "salt-reaches-every-hash"
        return "a-hash-covers-all-before-it"

    @staticmethod
    def _chained(hashes: list[Any], expected: Any, salt: str) -> bool:
        """Whether the first hash has the salt right, so that what is wrong comes after it."""
        return hashes[0] == expected[0][0] and not any(salt in str(h).split(">")[-1] for h in hashes[1:])

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        tokens, page_bytes, salt = spelled(args["tokens"]), args["page_bytes"], args["salt"]
        if rule == "full-blocks-only":
            got = len(seen[0]) if isinstance(seen, list | tuple) and len(seen) == 2 else None
            left = len(tokens) % page_bytes
            part = f", and {plural(left, 'byte')} of a part-filled one" if left else ""
            made = "other hashes" if got is None else plural(got, "hash", "hashes")
            full = plural(len(tokens) // page_bytes, "full block")
            return f"{plural(len(tokens), 'byte')} at {page_bytes} per block are {full}{part}; you made {made}."
        if rule == "salt-reaches-every-hash":
            return (
                f"Under another salt than {show(salt)} the same tokens must give other hashes, all of them, and "
                "the salt goes in once."
            )
        if rule == "pages-are-what-was-hashed":
            return "The hashes are right; the pages are not the bytes that they were made from."
        wrong = next((i for i, (a, b) in enumerate(zip(seen[0], expected[0], strict=False)) if a != b), 0)
        if not wrong:
            return "The first block hangs from None, and its hash covers its tokens."
        made = f"The hash of block {wrong} was made from {show(seen[0][wrong], 40)}"
        return (
            f"{made}; it is made from the hash of the block before and its own tokens: {show(expected[0][wrong], 40)}."
        )


def _is_pair(part: Any) -> bool:
    """Whether this is a hash and a page."""
    pair = isinstance(part, list | tuple) and len(part) == 2
    return pair and isinstance(part[1], bytes) and not isinstance(part[0], bytes)


# ----- longest_hit --------------------------------------------------------------------------------------------


class LongestHit(FunctionSpecification):
    """The blocks of the longest cached prefix."""

    exercise = "longest_hit"
    rules = rules_from(
        """
        stops-at-the-first-miss: What stands behind a hash that is not cached is no hit.
            ["p","q","r","s"] {"p":4,"q":5,"r":6} 4
            ["p","q","r"] {"p":4,"r":6} 3
            ["p","q","r"] {"q":5,"r":6} 3
            ["p","q","r","s","t"] {"p":1,"r":3,"s":4,"t":5} 5
            ["p"] {} 1
        limit-is-kept: There are never more hits than `limit`, so that a token is left to compute.
            ? What does your code do if limit is 0, and if it is less than the hashes that are cached?
            ["p","q","r"] {"p":4,"q":5,"r":6} 1
            ["p","q"] {"p":4,"q":5} 0
            ["p","q","r","s"] {"p":4,"q":5,"r":6,"s":2} 2
        every-leading-hit-counts: Every cached hash before the first miss, within the limit, is a hit.
            ? There may be more hashes than `limit`, and fewer. How often does your loop go round in either case, and \
              which hashes does it look at?
            ["p","q","r"] {"p":4,"q":5,"r":6} 3
            ["p","q","r"] {"p":4,"q":5} 3
            ["p","q"] {"p":4,"q":5,"x":9} 7
            ["p"] {"p":3} 1
            [] {"p":3} 2
            ["p","q","r"] {"p":4,"q":5,"r":6} 5
            ["","q"] {"":4,"q":5} 2
            300 280 290
            1200 1150 1180
        block-0-is-a-block: Block 0 is a block like any other.
            ? What does your code ask to find out that a hash is not cached, and what does 0 count as in an if?
            ["p","q"] {"p":0,"q":5} 2
            ["p","q","r"] {"p":2,"q":1,"r":0} 3
        blocks-in-order: The answer lists the blocks, in the order of the prompt.
            ? What is in the answer: hashes, places, or blocks? And whose order is it?
            ["p","q","r"] {"r":1,"p":9,"q":4} 3
            ["t","s","r"] {"r":5,"s":3,"t":8} 2
        """
    )
    hints = (
        "Block 0 misses, block 1 is cached. What is in block 1, and what would have to be in front of it?",
        "Block i of the answer holds hash i of the prompt. So nothing may be left out in between, and the answer is as "
        "long as that allows.",
        "for key in hashes[:____]:\n    block = cached.get(key)\n    if block is ____:\n        break\n"
        "    hit.append(block)",
    )
    search = {
        "hashes": lambda draw: draw.sample("pqrst", draw.randint(0, 5)),
        "cached": lambda draw: {key: draw.randint(0, 9) for key in draw.sample("pqrst", draw.randint(0, 5))},
        "limit": (0, 5),
    }

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(args["hashes"], int):  # so many hashes, of which so many are cached
            hashes = [f"h{i}" for i in range(args["hashes"])]
            args = {**args, "hashes": hashes, "cached": {key: i + 1 for i, key in enumerate(hashes[: args["cached"]])}}
        return super().decode(args)

    def label(self, args: Mapping[str, Any]) -> str:
        return super().label(self.decode(args))

    def rule_for(self, **args: Any) -> str:
        hashes, cached, limit = self.decode(args).values()
        hit = longest_hit(hashes, cached, limit)
        if any(key in cached for key in hashes[len(hit) + 1 : limit]):
            return "stops-at-the-first-miss"
        if len(longest_hit(hashes, cached, len(hashes))) > limit:
            return "limit-is-kept"
        return "block-0-is-a-block" if 0 in hit else "every-leading-hit-counts"

    def blame(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        _, cached, limit = self.decode(args).values()
        if not isinstance(seen, list | tuple):
            return rule
        seen = list(seen)
        if any(b is None for b in seen):
            return "stops-at-the-first-miss"
        if len(seen) > limit and seen[: len(expected)] == expected and all(b in cached.values() for b in seen):
            return "limit-is-kept"
        if 0 in expected and seen in ([b for b in expected if b], expected[: expected.index(0)]):
            return "block-0-is-a-block"
        if all(b in cached.values() for b in seen) and [b for b in seen if b not in expected]:
            return "stops-at-the-first-miss"
        if len(seen) < len(expected) and seen == expected[: len(seen)]:
            return "every-leading-hit-counts"
        return "blocks-in-order"

    def cause(self, rule: str, seen: Any, expected: Any, **args: Any) -> str:
        hashes, cached, limit = self.decode(args).values()
        if rule == "limit-is-kept":
            return (
                f"{plural(limit, 'block')} may be hits and you name {len(seen)}: if every token comes from the "
                "cache, nothing is computed, and nothing predicts the next token."
            )
        if rule == "block-0-is-a-block":
            key = next(key for key in hashes if cached.get(key) == 0)
            return f"{key!r} is cached, in block 0, and your answer treats it as a miss."
        if rule == "stops-at-the-first-miss":
            miss = next((key for key in hashes if key not in cached), "?")
            wrong = next(b for b in seen if b not in expected)
            if wrong is None:
                return f"{miss!r} is not cached, and None is no block: the answer ends before it."
            return (
                f"{miss!r} is not cached, and block {wrong} holds what comes after it. Blocks stand in a table in the "
                f"order of the prompt, so block {wrong} would be read in the place of {miss!r}, at other positions "
                "than it was computed for."
            )
        if rule == "every-leading-hit-counts":
            leading = f"{plural(len(expected), 'leading hash', 'leading hashes')} {choose(len(expected), 'is', 'are')}"
            return f"{leading} cached and within the limit; you name {len(seen)}."
        if not expected:
            return "The first hash is not cached, or nothing may be a hit: the answer is an empty list."
        return f"The hits lie in blocks {show(expected)}, in this order."


# ----- register and release -----------------------------------------------------------------------------------

_WORLD = "from labkit.mine import BlockPool, RefCounts\nfrom labkit.cache.queue_prefix_cache import QueueCacheBase\n"


_SEARCH = {
    "num_blocks": (1, 7),
    "prompt": lambda draw: text("ab", 3)(draw) + draw.choice(("", ".")),
    "which": (0, 3),
    "letter": "abc",
}


class RegisterRelease(Specification):
    """QueuePrefixCache: register and release over a queue that is the evictor."""

    exercise = "register_release"
    defines = "QueuePrefixCache"
    referee = QueueReferee
    prelude = _WORLD
    rules = rules_from(
        """
        held-blocks-stay: A block that somebody holds is never evicted.
            ? A block goes into the queue in release. Who may still hold it at that moment?
            new 3; request a.; request a.; finish 0; request b
            new 4; request ab.; finish 0; request ab.; request c; finish 1; request d
        finds-what-the-hash-says: A hash leads to the block that holds its content, and to no other.
            ? Which block belongs to hashes[0], and which to hashes[1]?
            new 6; request abc; request abc.
            new 4; request ab.; finish 0; request cdef; finish 0; request ab
        counts-the-holders: A block's count is the number of sequences that hold it.
            ? A sequence lets go of its blocks. Which method of refs says so, and how often for each?
            new 4; request ab; finish 0
            new 4; request ab.; request ab.; finish 1; finish 0
        no-block-is-lost: Every block is held, in the queue or in the pool, and in one of them only.
            ? After release each block is in one of three places. Follow one block of each kind.
            new 3; request ab.; finish 0; request cd.; finish 0
            new 4; request ab.; request a.; finish 0; finish 0; request cde.
        full-blocks-become-findable: After register every full block of the sequence is found by its hash.
            ? blocks can be longer than hashes, and some are registered already. Which does your loop reach?
            new 4; request ab
            new 1; request a; finish 0; request a
            new 5; request abc.; request abc.
            new 4; request .; grow 0 a; grow 0 b; grow 0 c
            new 5; request ab.; grow 0 c; grow 0 d
            new 150; request a80b60.; finish 0; request a80b60c.
            new 3; request z.; finish 0; request z.
        stays-findable-after-release: A registered block that nobody holds waits in the queue and is found.
            ?
            new 4; request ab; finish 0; request ab.
            new 4; request ab.; finish 0; request ab.; finish 0; request abc
        the-rest-goes-back: A block that was never registered and that nobody holds goes back to the pool.
            ? What becomes of the part-filled last block, which has no hash?
            new 3; request ab.; finish 0
            new 2; request .; finish 0; request a.
            new 4; request a.; request a.; finish 0; finish 0; request b
        tail-goes-first: Of one sequence the last block is evicted first, so no block outlives what is before it.
            ? In which order do the blocks of one sequence enter the queue, and which of them is no use without the \
              others?
            new 3; request abc; finish 0; request d
            new 6; request abc.; request abx.; finish 0; finish 0; request efgh
            new 2; request a; request b; finish 1; finish 0; request cd; finish 0
        longest-unused-goes-first: What was let go of first is evicted first.
            ? Where in the queue does a block belong that was let go of just now?
            new 3; request a; request b; request c; finish 1; finish 0; finish 0; request d
            new 3; request a; finish 0; request b; finish 0; request a.; finish 0; request cd
            new 4; request ab; request cd; finish 0; finish 0; request e; request f
            new 3; request a; request a; request c; finish 0; finish 1; finish 0; request d
        twins-are-kept: Two blocks with the same content both stay findable; evicting one leaves the other.
            ? Two blocks hold the same content. What happens to the hash when one of them is evicted?
            new 3; request a; request a; finish 0; request b.; finish 0
            new 3; request a; request a; finish 1; request b.; finish 0; finish 0
        registered-once: Registering a block again changes nothing.
            ? register is called again when a sequence has grown, with all its hashes. What happens to the first ones?
            new 4; request a; grow 0 b; finish 0
            new 4; request ab.; finish 0; request abc; finish 0
        """
    )
    hints = (
        "After release a block is in one of three places: with another holder, in the queue, or in the pool. What "
        "decides?",
        "After register, hash_of and by_hash say the same of every full block. After release, a block that nobody "
        "holds waits in the queue if somebody could find it, and is in the pool if nobody could; and no block stands "
        "in front of one that continues it.",
        "for key, block in zip(hashes, blocks):  # register\n    if block ____:\n        self.hash_of[block] = key\n"
        "        self.by_hash.add(____, block)\n\nfor block in self.refs.drop(____):  # release\n"
        "    if block in self.hash_of:\n        self.queue.append(block)\n    else:\n        self.refs.____([block])",
    )
    search = _SEARCH


class AllocatePrompt(Specification):
    """allocate_prompt: look up, see whether there is room, hold, allocate, register; all or nothing."""

    exercise = "allocate_prompt"
    referee = PromptReferee
    prelude = "from labkit.mine import BlockPool, QueuePrefixCache, RefCounts, blocks_needed\n"
    rules = rules_from(
        """
        held-blocks-stay: What was found is not evicted to make room for the rest.
            ? Between lookup and the end of your function something may be evicted. Can it be a block that lookup has \
              named?
            new 3; request abc; finish 0; request ab.
            new 3; request a; finish 0; request b; request c; finish 0; finish 0; request a.
        finds-what-the-hash-says: A hash leads to the block that holds its content, and to no other.
            ? Which blocks do you hand to register, and is the first of them the block of the first hash?
            new 5; request abc.; finish 0; request xyzvw; finish 0; request abc
        counts-the-holders: The sequence counts as a holder of every one of its blocks.
            ? Which call makes the sequence a holder of what was found, and which of what is new? How often is it made?
            new 5; request ab.; request ab.; finish 0; finish 0
            new 5; request ab.; finish 0; request ab.
        refused-means-unchanged: A prompt that is refused leaves the cache as it was.
            ? Which of your lines have run when you find that there is no room?
            new 3; request ab; finish 0; request abcd
            new 3; request ab.; request ab.
            new 3; request a; finish 0; request b; request cde
            new 3; request a; request b; finish 0; finish 0; request acde
        one-token-is-left: At least one token of the prompt is left to compute.
            ? How many full blocks may come from the cache, if the last token must be computed?
            new 5; request ab; request ab
            new 3; request a; finish 0; request a
        uses-what-is-cached: Cached blocks stand in front, as many as there are.
            ? What did lookup answer, and where in the table must these blocks stand?
            new 7; request abc.; request abx; finish 0; request abc.
            new 4; request ab; finish 0; request ab.
            new 150; request a80b60.; finish 0; request a80b60c.
        refuses-only-without-room: The answer is None if, and only if, there are too few blocks for it.
            ?
            new 3; request abc; finish 0; request ab.
            new 3; request abc; finish 0; request abcd
            new 2; request ab; finish 0; request ab.
            new 3; request ab; request ab.; request c
        room-for-every-token: There are as many blocks as the tokens need, and no more.
            ? How many blocks do the tokens need, and how many of these are there already?
            new 6; request ab.; request .; request ab
        full-blocks-become-findable: The full blocks of the prompt are registered.
            ? Which call makes the blocks of this prompt findable for the next one?
            new 4; request ab.
            new 7; request ab; request abcd
        answers-blocks-and-cached-tokens: The answer is (blocks, cached tokens).
            ? The second number is in tokens. How many does one block hold?
            new 6; request ab.; request ab.
            new 6; request abc
        """
    )
    hints = (
        "num_available counts the blocks in the queue. Which of them are about to be yours?",
        "What was found and waits in the queue counts as available until it is held. Whether there is room is known "
        "before anything changes, and what was found is held before anything can be evicted.",
        "hit = cache.lookup(hashes, (num_tokens - ____) // block_size)\n"
        "fresh = blocks_needed(num_tokens, block_size) - len(hit)\n"
        "if fresh > cache.num_available - ____:\n    return None\ncache.hold(hit)\n"
        "blocks = hit + cache.allocate(fresh)\ncache.register(____, blocks)",
    )
    search = _SEARCH

    def rename(self, rule: str) -> str:
        # The cache below is right: what it shows of twins and of registering is this function's doing.
        here = {"twins-are-kept": "full-blocks-become-findable", "registered-once": "finds-what-the-hash-says"}
        known = {r.name for r in (*self.rules, *GENERAL)}
        return here.get(rule, rule if rule in known else "counts-the-holders")


# ----- break it -----------------------------------------------------------------------------------------------


class BreakTheStaleHash(BreakIt):
    """A cache that forgets, on some evictions, to forget."""

    exercise = "break_stale_hash"
    base = RegisterRelease()
    reference = "labkit.cache.queue_prefix_cache:QueuePrefixCache"
    bug = """
from labkit.cache.queue_prefix_cache import QueuePrefixCache as Right


class QueuePrefixCache(Right):
    def evict(self, n):
        gone = [self.queue.popleft() for _ in range(n)]
        for block in gone:
            key = self.hash_of.pop(block)
            if self.by_hash.get(key) == block:
                self.by_hash.remove(key, block)
        self.refs.recycle(gone)
        self.evictions += n
        return gone
"""
    hints = (
        "When an evicted block is not the one that its hash finds, what does this cache do about it?",
        "Two blocks with the same content are needed. How do two requests come to compute the same block, and which of "
        "the two must be evicted first?",
        '[("QueuePrefixCache", 2), ("request", "a"), ("request", ____), ("finish", ____), (____)]',
    )

    renamed = {"QueuePrefixCache": "new"}
    example = '("QueuePrefixCache", 2)'
    without = {
        "finish": "Nobody lets go of a block here, so none waits in the queue, and none can be evicted.",
        "request": "Nobody sends a prompt here, so no block has a hash.",
    }

    words = {
        "prompt": (
            "[a-z]{1,31}[.]?|[.]",
            'a word of small letters, one for each full block, that may end in a full stop, such as "ab.",',
        ),
        "letter": ("[a-z]", "one small letter, the block that is filled,"),
    }


LESSON = Lesson(
    key="07_hash_prefix_cache",
    title="Prefix cache I: hash chains",
    part="I. Memory",
    minutes=72,
    builds="A cache that finds blocks which an earlier request has computed, and keeps them findable until the room is "
    "needed.",
    symptom="The same system prompt is computed again for every request; one day the hit rate falls to nothing, and "
    "nobody has changed the cache.",
    exercises=(
        Exercise("chain_hashes", "A hash for everything up to here", 8, 2, 5, ChainHashes(),
                 "labkit.cache.hash_prefix_cache:chain_hashes", slot="prefix_cache"),
        Exercise("longest_hit", "The longest cached prefix", 8, 2, 5, LongestHit(),
                 "labkit.cache.hash_prefix_cache:longest_hit", slot="prefix_cache"),
        Exercise("register_release", "Findable after the last holder", 12, 3, 5, RegisterRelease(),
                 "labkit.cache.queue_prefix_cache:QueuePrefixCache", slot="prefix_cache", kind="class"),
        Exercise("break_stale_hash", "Break it: the hash that stayed", 6, 4, 3, BreakTheStaleHash(), kind="break"),
        Exercise("allocate_prompt", "Room for a prompt, hits first", 12, 4, 4, AllocatePrompt(),
                 "labkit.cache.queue_prefix_cache:allocate_prompt", stretch=True),
    ),
    ending="I can say why a cached block counts only with everything before it, so that one changed word at the "
    "beginning costs the whole prompt, and why a hit must be held before anything else is taken.",
)  # fmt: skip
