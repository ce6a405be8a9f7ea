"""Wrong and right implementations for lesson 05."""

from __future__ import annotations

from labkit.grading.mutants import Mutant, Right


def _slot(body: str) -> str:
    return f"def slot_of(blocks, position, block_size):\n    {body}\n"


def _mapping(body: str) -> str:
    return f"def slot_mapping(blocks, start, stop, block_size):\n    {body}\n"


_MISSING = """missing = blocks_needed(self.num_tokens + n, self.block_size) - len(self.blocks)
        """
_APPEND = _MISSING + """new = self.pool.allocate(missing)
        if new is None:
            return False
        self.blocks.extend(new)
        self.num_tokens += n
        return True"""
_SLOTS = """if stop > self.num_tokens:
            raise BlockError("no such token")
        return slot_mapping(self.blocks, start, stop, self.block_size)"""
_RELEASE = """self.pool.free(self.blocks[::-1])
        self.blocks = []
        self.num_tokens = 0"""


def _table(append: str = _APPEND, slots: str = _SLOTS, release: str = _RELEASE, init: str = "self.blocks = []",
           head: str = "") -> str:
    """A table in which one method differs from the plainest right one."""
    return f"""class BlockTable:
    {head}
    def __init__(self, pool, block_size):
        self.pool = pool
        self.block_size = block_size
        self.num_tokens = 0
        {init}

    def append(self, n=1):
        {append}

    def slot(self, position):
        return self.slots(position, position + 1)[0]

    def slots(self, start, stop):
        {slots}

    def release(self):
        {release}
"""


_GUARD = "if not 0 <= position < len(blocks) * block_size:\n        raise BlockError('outside')\n    "
_NAMES, _EDGES, _OFFSET, _OUTSIDE = (
    "the-table-names-the-block", "edges-belong-to-one-block", "the-offset-stays", "outside-is-refused")
_SLOT_OF = [
    ("position-is-the-slot", _NAMES, _GUARD + "return position",
     "The position in the sequence is taken for the place in memory, as if the sequence lay at the beginning of it."),
    ("runs-on-from-the-first", _NAMES, _GUARD + "return blocks[0] * block_size + position",
     "Only the first block is looked up, and the rest is taken to lie behind it; that is memory in one piece again."),
    ("logical-for-physical", _NAMES, _GUARD + "return (position // block_size) * block_size + position % block_size",
     "The number of the logical block is used as if it were the physical one; the table is never asked."),
    ("divided-the-other-way", _NAMES,
     _GUARD + "offset, logical = divmod(position, block_size)\n    return blocks[logical % len(blocks)] * block_size"
              " + offset",
     "Quotient and remainder stand in each other's place."),
    ("indexed-by-position", _NAMES,
     _GUARD + "return blocks[position % len(blocks)] * block_size + position % block_size",
     "The table has one entry for each block, not for each token: neighbours in a sequence mostly share a block."),
    ("block-without-its-size", _NAMES, _GUARD + "return blocks[position // block_size] + position % block_size",
     "A block number counts blocks; without the factor block_size it is added as if it counted slots."),
    ("offset-times-size", _NAMES,
     _GUARD + "return blocks[position // block_size] + position % block_size * block_size",
     "The factor block_size stands at the offset instead of at the block."),
    ("sixteen-everywhere", _NAMES,
     "if not 0 <= position < len(blocks) * block_size:\n        raise BlockError('outside')\n"
     "    return blocks[min(position // 16, len(blocks) - 1)] * 16 + position % 16",
     "The block size is a parameter; 16 is only the usual one."),
    ("last-block-always", _NAMES, _GUARD + "return blocks[-1] * block_size + position % block_size",
     "The last block is where the next token is written, but older tokens lie in the blocks before it."),
    ("sorted-blocks", _NAMES, _GUARD + "return sorted(blocks)[position // block_size] * block_size + "
                                       "position % block_size",
     "The order of the table is the order of the tokens; sorted, it says where nobody's tokens lie."),
    ("counts-from-one", _EDGES,
     _GUARD + "logical = max(position - 1, 0) // block_size\n"
              "    return blocks[logical] * block_size + position % block_size",
     "Positions are counted from 0, so the token at position block_size is already the first of the second block."),
    ("rounds-up", _NAMES,
     _GUARD + "logical = min(-(-position // block_size), len(blocks) - 1)\n"
              "    return blocks[logical] * block_size + position % block_size",
     "Rounding up is right for counting blocks; the block that a position lies in is found by rounding down."),
    ("last-place-goes-over", _EDGES,
     _GUARD + "logical = min((position + 1) // block_size, len(blocks) - 1)\n"
              "    return blocks[logical] * block_size + position % block_size",
     "The last place of a block is counted to the next block."),
    ("rounds-to-nearest", _NAMES,
     _GUARD + "logical = min(round(position / block_size), len(blocks) - 1)\n"
              "    return blocks[logical] * block_size + position % block_size",
     "Rounding to the nearest sends the second half of every block to the next one."),
    ("forgets-the-offset", _OFFSET, _GUARD + "return blocks[position // block_size] * block_size",
     "Every token of a block gets the first slot of it, and each overwrites the one before."),
    ("offset-from-one", _OFFSET,
     _GUARD + "return blocks[position // block_size] * block_size + min(position % block_size + 1, block_size - 1)",
     "Offsets are counted from 0, so the first token of a block lies at its very beginning."),
    ("offset-from-the-end", _OFFSET,
     _GUARD + "return blocks[position // block_size] * block_size + block_size - 1 - position % block_size",
     "The block is filled from its end, and everybody else reads it from its beginning."),
    ("trusts-the-list", _OUTSIDE,
     "return blocks[position // block_size] * block_size + position % block_size",
     "A negative position is a legal index in Python, which counts it from the end of the list; too large a one ends "
     "in IndexError."),
    ("checks-the-end-only", _OUTSIDE,
     "if position >= len(blocks) * block_size:\n        raise BlockError('outside')\n"
     "    return blocks[position // block_size] * block_size + position % block_size",
     "A negative position passes the check, and Python counts it from the end of the table."),
    ("one-too-far", _OUTSIDE,
     "if not 0 <= position <= len(blocks) * block_size:\n        raise BlockError('outside')\n"
     "    return (blocks + [0])[position // block_size] * block_size + position % block_size",
     "Positions are counted from 0, so the number of places is the first position that has none."),
    ("none-for-outside", _OUTSIDE,
     "if not 0 <= position < len(blocks) * block_size:\n        return None\n"
     "    return blocks[position // block_size] * block_size + position % block_size",
     "None would be carried on as if it were a slot; a position without a slot is a mistake of the caller."),
    ("last-slot-for-outside", _OUTSIDE,
     "position = min(max(position, 0), len(blocks) * block_size - 1)\n"
     "    return blocks[position // block_size] * block_size + position % block_size",
     "A position outside is bent to the nearest one inside, and overwrites the token there."),
    ("index-error", _OUTSIDE,
     "if position < 0:\n        raise BlockError('below 0')\n"
     "    return blocks[position // block_size] * block_size + position % block_size",
     "Behind the last block Python's own IndexError comes, where the docstring promises a BlockError."),
    ("shifts-bits", _NAMES,
     _GUARD + "shift = block_size.bit_length() - 1\n"
              "    return (blocks[position >> shift] << shift) | (position & (block_size - 1))",
     "Shifting bits divides by powers of two only; a block size can be any number."),
    ("exact-fractions", _OFFSET,
     _GUARD + "return int((blocks[position // block_size] + position / block_size % 1) * block_size)",
     "A fraction of a block, as a float, is not exact, and cutting it off lands one slot too low."),
    ("refuses-block-zero", _NAMES,
     _GUARD + "block = blocks[position // block_size]\n    if not block:\n        raise BlockError('no block')\n"
              "    return block * block_size + position % block_size",
     "Block 0 counts as false, and is a block like all others."),
    ("from-the-end", _OUTSIDE,
     "position = position % (len(blocks) * block_size or 1)\n    if not blocks:\n        raise BlockError('empty')\n"
     "    return blocks[position // block_size] * block_size + position % block_size",
     "A position outside is taken around to the other end, and overwrites the token there."),
    ("asserts", _OUTSIDE,
     "assert 0 <= position < len(blocks) * block_size\n"
     "    return blocks[position // block_size] * block_size + position % block_size",
     "An assertion raises an error of another kind, and is switched off where Python runs with -O."),
    ("a-pair", _NAMES, _GUARD + "return blocks[position // block_size], position % block_size",
     "Block and offset are two numbers; a slot is one, counted over all of memory."),
    ("float-slot", _NAMES,
     _GUARD + "return (blocks[position // block_size] + position % block_size / block_size) * block_size",
     "A division with one slash makes a float, and a float is no place in memory."),
    ("forgets-return", _NAMES, _GUARD + "slot = blocks[position // block_size] * block_size + position % block_size",
     "The slot is computed and then dropped: the function ends without a return."),
]

_RANGE = "if start > stop:\n        raise BlockError('start is above stop')\n    "
_BEGINS, _ON, _ONE = "begins-at-start", "goes-on-in-the-table", "one-slot-a-token"
_MAPPING = [
    ("from-zero", _BEGINS,
     _RANGE + "return [slot_of(blocks, position, block_size) for position in range(stop - start)]",
     "The chunk is counted from 0 as if it were the first one; it is right only for the beginning of a prompt."),
    ("all-up-to-stop", _BEGINS,
     _RANGE + "return [slot_of(blocks, position, block_size) for position in range(stop)]",
     "The mapping lists every token so far; those before start are written already."),
    ("whole-block-of-start", _BEGINS,
     _RANGE + "first = start // block_size * block_size\n"
              "    return [slot_of(blocks, position, block_size) for position in range(first, stop)]",
     "The chunk may begin in the middle of a block; its first places hold older tokens."),
    ("chunk-in-a-new-block", _BEGINS,
     _RANGE + "if start == stop:\n        return []\n    slot_of(blocks, start, block_size)\n"
              "    slot_of(blocks, stop - 1, block_size)\n"
              "    first = -(-start // block_size)\n"
              "    n = len(blocks) - 1\n"
              "    return [blocks[min(first + i // block_size, n)] * block_size + i % block_size"
              " for i in range(stop - start)]",
     "Every chunk is laid out from the beginning of a block; the free end of the block before stays empty."),
    ("offset-of-chunk", _BEGINS,
     _RANGE + "if start < stop:\n        slot_of(blocks, start, block_size)\n"
              "    return [slot_of(blocks, p, block_size) // block_size * block_size + (p - start) % block_size"
              " for p in range(start, stop)]",
     "The block is found by position, the offset by the place in the chunk: right only if chunks begin at block edges."),
    ("start-after", _BEGINS,
     _RANGE + "if start < stop:\n        slot_of(blocks, start, block_size)\n"
              "    last = len(blocks) * block_size - 1\n"
              "    if stop - 1 > last:\n        raise BlockError('outside')\n"
              "    return [slot_of(blocks, min(p + 1, last), block_size) for p in range(start, stop)]",
     "Every token is written one place late, so the first place is never filled."),
    ("runs-on", _ON,
     _RANGE + "if start == stop:\n        return []\n    slot_of(blocks, stop - 1, block_size)\n"
              "    first = slot_of(blocks, start, block_size)\n"
              "    return list(range(first, first + stop - start))",
     "Only the first slot is looked up and the rest counted on from it, over the edge of the block into a block of "
     "somebody else."),
    ("wraps-in-its-block", _ON,
     _RANGE + "if start == stop:\n        return []\n    slot_of(blocks, stop - 1, block_size)\n"
              "    first = slot_of(blocks, start, block_size)\n"
              "    base = first - first % block_size\n"
              "    return [base + (first + i) % block_size for i in range(stop - start)]",
     "At the end of the block the mapping begins again at its front, where older tokens lie."),
    ("keeps-the-offset", _ON,
     _RANGE + "out, offset = [], start % block_size\n"
              "    for p in range(start, stop):\n"
              "        block = slot_of(blocks, p, block_size) // block_size\n"
              "        if out and out[-1] // block_size != block:\n"
              "            offset = start % block_size\n"
              "        out.append(block * block_size + offset % block_size)\n"
              "        offset += 1\n"
              "    return out",
     "In every further block the offset of start is taken again; only the first block is entered in the middle."),
    ("skips-the-edge", _ON,
     _RANGE + "return [slot_of(blocks, p, block_size) for p in range(start, stop) "
              "if p == start or p % block_size or block_size == 1]",
     "The first place of every further block is left out."),
    ("ascending", _ON,
     _RANGE + "found = [slot_of(blocks, p, block_size) for p in range(start, stop)]\n"
              "    return found[:1] + sorted(found[1:])",
     "The slots are sorted; their order is that of the tokens, whatever their numbers are."),
    ("reads-physical-order", _ON,
     _RANGE + "if start == stop:\n        return []\n    slot_of(blocks, stop - 1, block_size)\n"
              "    first = slot_of(blocks, start, block_size)\n"
              "    rest = sorted(blocks)\n"
              "    at = rest.index(first // block_size)\n"
              "    out = [first]\n"
              "    while len(out) < stop - start:\n"
              "        after = out[-1] + 1\n"
              "        if after % block_size == 0:\n"
              "            at = (at + 1) % len(rest)\n"
              "            after = rest[at] * block_size\n"
              "        out.append(after)\n"
              "    return out",
     "At the edge the next higher block number is taken; the next one is the one that the table names next."),
    ("stop-included", _ONE,
     _RANGE + "last = min(stop, len(blocks) * block_size - 1)\n"
              "    if stop > len(blocks) * block_size:\n        raise BlockError('outside')\n"
              "    return [slot_of(blocks, p, block_size) for p in range(start, last + 1)]",
     "stop is the first position that is not asked for, as in every range of Python."),
    ("asks-for-stop-too", _ONE,
     _RANGE + "return [slot_of(blocks, p, block_size) for p in range(start, stop + 1)]",
     "stop is asked for as well; it is the first position that is not, and behind a full table it has no place."),
    ("last-place-refused", _ONE,
     "if not 0 <= start <= stop < len(blocks) * block_size:\n        raise BlockError('outside')\n"
     "    return [slot_of(blocks, p, block_size) for p in range(start, stop)]",
     "stop may be the end of the last block: the last position that is asked for is stop - 1."),
    ("one-short", _ONE,
     _RANGE + "if start < stop:\n        slot_of(blocks, stop - 1, block_size), slot_of(blocks, start, block_size)\n"
              "    return [slot_of(blocks, p, block_size) for p in range(start, stop - 1)]",
     "The last token of the chunk has no slot, so its keys and values are never written."),
    ("whole-last-block", _ONE,
     _RANGE + "if start == stop:\n        return []\n    slot_of(blocks, stop - 1, block_size)\n"
              "    end = -(-stop // block_size) * block_size\n"
              "    return [slot_of(blocks, p, block_size) for p in range(start, end)]",
     "The mapping goes on to the end of the last block; those places belong to tokens that do not exist yet."),
    ("one-slot-for-nothing", _ONE,
     _RANGE + "if start == stop:\n        return [slot_of(blocks, min(start, len(blocks) * block_size - 1), block_size)]"
              "\n    return [slot_of(blocks, p, block_size) for p in range(start, stop)]",
     "An empty chunk has no token, so there is no slot to write."),
    ("blocks-not-slots", _BEGINS,
     _RANGE + "return [slot_of(blocks, p, block_size) // block_size for p in range(start, stop)]",
     "These are the blocks; the places within them are missing."),
    ("empty-for-backwards", _OUTSIDE,
     "return [slot_of(blocks, p, block_size) for p in range(start, stop)]",
     "A range of Python that goes backwards is empty, so the caller's mistake is answered with an empty list."),
    ("cuts-at-the-end", _OUTSIDE,
     _RANGE + "if start < 0:\n        raise BlockError('below 0')\n"
              "    return [slot_of(blocks, p, block_size) for p in range(start, min(stop, len(blocks) * block_size))]",
     "What has no place is left out without a word, and those tokens are never written."),
    ("skips-what-fails", _OUTSIDE,
     _RANGE + "out = []\n    for p in range(start, stop):\n        try:\n"
              "            out.append(slot_of(blocks, p, block_size))\n"
              "        except BlockError:\n            pass\n    return out",
     "The error of a single position is swallowed; the caller gets fewer slots than tokens."),
    ("index-error", _OUTSIDE,
     _RANGE + "if start < 0:\n        raise BlockError('below 0')\n"
              "    return [blocks[p // block_size] * block_size + p % block_size for p in range(start, stop)]",
     "Behind the last block Python's IndexError comes, where the docstring promises a BlockError."),
    ("negative-start", _OUTSIDE,
     _RANGE + "if stop > len(blocks) * block_size:\n        raise BlockError('outside')\n"
              "    return [blocks[p // block_size] * block_size + p % block_size for p in range(start, stop)]",
     "A negative position is a legal index in Python, which counts it from the end of the table."),
    ("swaps-quietly", _OUTSIDE,
     "start, stop = sorted((start, stop))\n"
     "    return [slot_of(blocks, p, block_size) for p in range(start, stop)]",
     "Exchanging the two hides the caller's mistake and answers a question that nobody asked."),
    ("two-blocks-only", _ON,
     "if not 0 <= start <= stop <= len(blocks) * block_size:\n        raise BlockError('outside')\n"
     "    logical = start // block_size\n"
     "    after = blocks[min(logical + 1, len(blocks) - 1)]\n"
     "    edge = (logical + 1) * block_size\n"
     "    return [(blocks[logical] * block_size + p % block_size if p < edge else after * block_size + p - edge)"
     " for p in range(start, stop)]",
     "One edge is taken care of; a chunk that crosses two of them runs on behind the second block."),
    ("backwards", _BEGINS, _RANGE + "return [slot_of(blocks, p, block_size) for p in reversed(range(start, stop))]",
     "The slots come from the last token to the first; their order is that of the tokens."),
    ("a-set", _BEGINS, _RANGE + "return list({slot_of(blocks, p, block_size) for p in range(start, stop)})",
     "A set has no order, and the order of the slots is that of the tokens."),
    ("empty-is-refused", _ONE,
     "if not start < stop:\n        raise BlockError('nothing asked for')\n"
     "    return [slot_of(blocks, p, block_size) for p in range(start, stop)]",
     "A chunk without tokens is no mistake: its mapping is the empty list."),
    ("start-and-length", _BEGINS,
     "if start < 0 or start > stop:\n        raise BlockError('outside')\n"
     "    return [slot_of(blocks, p, block_size) for p in range(start, start + stop)]",
     "stop is taken for the length of the chunk; it is the first position that is not asked for."),
    ("generator", _BEGINS,
     _RANGE + "return (slot_of(blocks, p, block_size) for p in range(start, stop))",
     "A generator can be read once only, and has no length; a list is promised."),
    ("first-and-count", _ON,
     _RANGE + "if start == stop:\n        return []\n    slot_of(blocks, stop - 1, block_size)\n"
              "    return slot_of(blocks, start, block_size), stop - start",
     "A start and a length describe a run in one piece, which is what a paged sequence is not."),
]

_POOL, _STAY, _REFUSED, _NEEDED, _COUNTED, _RETURNS, _TOKENS, _TAIL, _SEPARATE = (
    "blocks-come-from-the-pool", "tokens-stay-where-they-are", "refused-means-unchanged", "as-many-blocks-as-needed",
    "tokens-are-counted", "release-returns-all", "slots-of-tokens-only", "tail-goes-first", "tables-are-separate")
_TABLE = [
    ("invents-block-ids", _POOL, _table(append=_MISSING + """if self.pool.allocate(missing) is None:
            return False
        for _ in range(missing):
            self.blocks.append(len(self.blocks))
        self.num_tokens += n
        return True"""),
     "The pool is asked for blocks, and then others than those it gave are written into the table."),
    ("keeps-only-one", _POOL, _table(append=_APPEND.replace("self.blocks.extend(new)", "self.blocks.extend(new[-1:])")),
     "Only one of the new blocks goes into the table; the others are held by nobody."),
    ("asks-for-all-again", _POOL, _table(append="""new = self.pool.allocate(blocks_needed(self.num_tokens + n, self.block_size))
        if new is None:
            return False
        self.blocks += new[len(self.blocks):]
        self.num_tokens += n
        return True"""),
     "Blocks for all tokens are taken, though most of them are in the table already; those that are not used are lost."),
    ("appends-the-list", _POOL, _table(append=_APPEND.replace(".extend(new)", ".append(new)")),
     "The list of new blocks goes into the table as one entry, where each block should be one."),
    ("one-block-many-times", _POOL, _table(append=_MISSING + """new = self.pool.allocate(missing)
        if new is None:
            return False
        self.blocks += new[:1] * missing
        self.num_tokens += n
        return True"""),
     "The first of the new blocks is written several times, so tokens far apart share a slot."),
    ("neighbours", _POOL, _table(append=_MISSING + """new = self.pool.allocate(missing)
        if new is None:
            return False
        for i in range(missing):
            self.blocks.append(new[0] + i)
        self.num_tokens += n
        return True"""),
     "The blocks are taken to lie side by side; the pool hands out whichever are free."),
    ("new-blocks-first", _STAY, _table(append=_APPEND.replace("self.blocks.extend(new)", "self.blocks = new + self.blocks")),
     "New blocks are put in front, so every token that is written already is looked for in another block."),
    ("sorted-table", _STAY, _table(append=_APPEND.replace("self.blocks.extend(new)", "self.blocks = sorted(self.blocks + new)")),
     "The order of the table is the order of the tokens; sorting it by block number mixes them."),
    ("replaces-the-table", _STAY, _table(append=_APPEND.replace("self.blocks.extend(new)", "self.blocks = new")),
     "The table is replaced by the new blocks, and the old ones are forgotten with all their tokens."),
    ("moves-on-growth", _STAY, _table(append="""needed = blocks_needed(self.num_tokens + n, self.block_size)
        if needed - len(self.blocks) > self.pool.num_free:
            return False
        self.pool.free(self.blocks)
        self.blocks = self.pool.allocate(needed)
        self.num_tokens += n
        return True"""),
     "All blocks are given back and taken anew, as a list grows in memory; but nobody copies the keys and values."),
    ("counts-before-asking", _REFUSED, _table(append="""self.num_tokens += n
        missing = blocks_needed(self.num_tokens, self.block_size) - len(self.blocks)
        new = self.pool.allocate(missing)
        if new is None:
            return False
        self.blocks.extend(new)
        return True"""),
     "The tokens are counted before the pool was asked, and stay counted when it refuses."),
    ("one-by-one", _REFUSED, _table(append="""for _ in range(n):
            if self.num_tokens == len(self.blocks) * self.block_size:
                new = self.pool.allocate(1)
                if new is None:
                    return False
                self.blocks += new
            self.num_tokens += 1
        return True"""),
     "The tokens are stored one by one, and those that had room are stored although the whole was refused."),
    ("blocks-one-by-one", _REFUSED, _table(append=_MISSING + """for _ in range(missing):
            new = self.pool.allocate(1)
            if new is None:
                return False
            self.blocks += new
        self.num_tokens += n
        return True"""),
     "Blocks are taken one at a time, and those already taken stay in the table when the pool runs dry."),
    ("leaks-on-refusal", _REFUSED, _table(append=_MISSING + """new = []
        for _ in range(missing):
            one = self.pool.allocate(1)
            if one is None:
                return False
            new += one
        self.blocks += new
        self.num_tokens += n
        return True"""),
     "Blocks are taken one at a time into a list that is dropped when the pool runs dry; nobody holds them then."),
    ("raises-when-full", _REFUSED, _table(append=_APPEND.replace("return False", "raise BlockError('no room')")),
     "Being full is an everyday answer that the scheduler asks for; an error would end its step."),
    ("ignores-none", _REFUSED, _table(append=_MISSING + """self.blocks.extend(self.pool.allocate(missing))
        self.num_tokens += n
        return True"""),
     "The pool may answer None, and None is no list of blocks."),
    ("or-empty", _REFUSED, _table(append=_MISSING + """self.blocks.extend(self.pool.allocate(missing) or [])
        self.num_tokens += n
        return True"""),
     "A refusal is taken for an empty list, so tokens are counted that have no block."),
    ("answers-none", _REFUSED, _table(append=_APPEND.replace("return False", "return None")),
     "append answers True or False; None is the pool's word, not the table's."),
    ("releases-when-refused", _REFUSED, _table(append=_MISSING + """new = self.pool.allocate(missing)
        if new is None:
            self.release()
            return False
        self.blocks.extend(new)
        self.num_tokens += n
        return True"""),
     "A sequence that finds no room keeps what it has; whether it must give way is for the scheduler to decide."),
    ("ignores-the-free-end", _NEEDED, _table(append=_APPEND.replace(
        "blocks_needed(self.num_tokens + n, self.block_size) - len(self.blocks)", "blocks_needed(n, self.block_size)")),
     "Every append begins a new block, though the last one has room; each call leaves a part-filled block in the middle."),
    ("room-only-if-all-fits", _NEEDED, _table(append="""room = len(self.blocks) * self.block_size - self.num_tokens
        new = self.pool.allocate(0 if n <= room else blocks_needed(n, self.block_size))
        if new is None:
            return False
        self.blocks.extend(new)
        self.num_tokens += n
        return True"""),
     "The free end of the last block is used if all new tokens fit there, and forgotten if only some do."),
    ("one-at-most", _NEEDED, _table(append="""new = []
        if self.num_tokens + n > len(self.blocks) * self.block_size:
            new = self.pool.allocate(1)
        if new is None:
            return False
        self.blocks.extend(new)
        self.num_tokens += n
        return True"""),
     "One block is right while tokens come one by one; a chunk can need several."),
    ("rounds-down", _NEEDED, _table(append=_APPEND.replace(
        "blocks_needed(self.num_tokens + n, self.block_size)", "max((self.num_tokens + n) // self.block_size, len(self.blocks))")),
     "The division rounds down, so a last block that would be part filled is not taken."),
    ("one-ahead", _NEEDED, _table(append=_APPEND.replace(
        "blocks_needed(self.num_tokens + n, self.block_size)", "((self.num_tokens + n) // self.block_size + 1)")),
     "A block is taken as soon as the last one is full, before there is a token for it."),
    ("edge-too-early", _NEEDED, _table(append="""new = []
        if n == 1 and self.num_tokens % self.block_size == self.block_size - 1:
            new = self.pool.allocate(1)
        else:
            new = self.pool.allocate(max(0, blocks_needed(self.num_tokens + n, self.block_size) - len(self.blocks)))
        if new is None:
            return False
        self.blocks.extend(new)
        self.num_tokens += n
        return True"""),
     "The token that fills a block needs no further one; the next token does."),
    ("full-is-room", _NEEDED, _table(append="""missing = (self.num_tokens + n - 2) // self.block_size + 1 - len(self.blocks)
        new = self.pool.allocate(max(0, missing))
        if new is None:
            return False
        self.blocks.extend(new)
        self.num_tokens += n
        return True"""),
     "A full block is taken to have one place more, so the first token of every block is missing its block."),
    ("forgets-to-count", _COUNTED, _table(append=_APPEND.replace("self.num_tokens += n\n", "pass\n")),
     "The blocks are taken and the tokens are not counted, so the next call thinks that there is still room."),
    ("counts-one", _COUNTED, _table(append=_APPEND.replace("self.num_tokens += n", "self.num_tokens += 1")),
     "One token is counted whatever n is; that is right in decoding and wrong for a prompt."),
    ("counts-places", _COUNTED, _table(append=_APPEND.replace("self.num_tokens += n",
                                                              "self.num_tokens = len(self.blocks) * self.block_size")),
     "The places of all blocks are counted, also those of the last one that hold no token yet."),
    ("no-return", _COUNTED, _table(append=_APPEND.replace("        return True", "        pass")),
     "The call ends without a return, so the scheduler reads None, which counts as a refusal."),
    ("answers-with-blocks", _COUNTED, _table(append=_APPEND.replace("return True", "return new")),
     "The new blocks are returned; where none was needed that is an empty list, which counts as False."),
    ("zero-is-refused", _COUNTED, _table(append="if n == 0:\n            return False\n        " + _APPEND),
     "Zero tokens always have room: the answer is True, and nothing changes."),
    ("true-only-if-new", _COUNTED, _table(append=_APPEND.replace("return True", "return bool(new)")),
     "Where the tokens fit into the last block no new one is needed, and that is not a refusal."),
    ("compares-with-all-needed", _COUNTED, _table(append="""needed = blocks_needed(self.num_tokens + n, self.block_size)
        if needed > self.pool.num_free:
            return False
        self.blocks += self.pool.allocate(needed - len(self.blocks))
        self.num_tokens += n
        return True"""),
     "All blocks of the sequence are compared with the free ones, though it holds most of them already."),
    ("keeps-one-free", _COUNTED, _table(append=_MISSING + """if missing and missing >= self.pool.num_free:
            return False
        self.blocks += self.pool.allocate(missing)
        self.num_tokens += n
        return True"""),
     "The last free block is never taken, though it would be enough."),
    ("frees-nothing", _RETURNS, _table(release="self.blocks = []\n        self.num_tokens = 0"),
     "The table forgets its blocks without returning them: every sequence that ends makes the pool smaller."),
    ("frees-the-last-only", _RETURNS, _table(release="self.pool.free(self.blocks[-1:])\n        self.blocks = []\n        self.num_tokens = 0"),
     "Only the last block comes back; the others are lost."),
    ("frees-full-blocks-only", _RETURNS, _table(release="""full = self.num_tokens // self.block_size
        self.pool.free(self.blocks[:full][::-1])
        self.blocks = []
        self.num_tokens = 0"""),
     "The part-filled last block is left out, and lost."),
    ("stays-full", _RETURNS, _table(release="self.pool.free(self.blocks[::-1])"),
     "The blocks go back and stay in the table: it goes on reading and writing what is somebody else's now."),
    ("keeps-the-count", _RETURNS, _table(release="self.pool.free(self.blocks[::-1])\n        self.blocks = []"),
     "The blocks are gone and the tokens still counted, so the next append takes too many."),
    ("empties-first", _RETURNS, _table(release="self.blocks = []\n        self.num_tokens = 0\n        self.pool.free(self.blocks[::-1])"),
     "The list is emptied before it is given to the pool, so nothing comes back."),
    ("frees-by-range", _RETURNS, _table(release="self.pool.free(list(range(len(self.blocks)))[::-1])\n        self.blocks = []\n        self.num_tokens = 0"),
     "As many blocks come back as were held, but not the ones that were held."),
    ("frees-everything-twice", _RETURNS, _table(release="""for block in self.blocks[::-1]:
            self.pool.free(self.blocks[::-1])
        self.blocks = []
        self.num_tokens = 0"""),
     "The whole list is given back once for every block in it."),
    ("new-list-kept", _RETURNS, _table(release="""self.pool.free(self.blocks[::-1])
        self.blocks = []
        self.num_tokens = self.num_tokens % self.block_size"""),
     "Nothing is left of the sequence, not even what stood in its last block."),
    ("room-is-a-token", _TOKENS, _table(slots="return slot_mapping(self.blocks, start, stop, self.block_size)"),
     "The free end of the last block is memory, and holds no token yet; whoever reads there reads what was left behind."),
    ("off-by-one-late", _TOKENS, _table(slots=_SLOTS.replace("stop > self.num_tokens", "stop > self.num_tokens + 1")),
     "One position behind the last token passes the check."),
    ("off-by-one-early", _TOKENS, _table(slots=_SLOTS.replace("stop > self.num_tokens", "stop >= self.num_tokens")),
     "stop is the first position not asked for, so it may be the number of tokens."),
    ("checks-start-only", _TOKENS, _table(slots=_SLOTS.replace("stop > self.num_tokens", "start >= self.num_tokens")),
     "The beginning of the range is checked, and its end may lie behind the last token."),
    ("cuts-to-tokens", _TOKENS, _table(slots="return slot_mapping(self.blocks, start, min(stop, self.num_tokens), self.block_size) "
                                             "if 0 <= start <= self.num_tokens else []"),
     "What is not there is left out without a word; the caller takes the list for complete."),
    ("slots-run-on", _TOKENS, _table(slots="""if not 0 <= start <= stop <= self.num_tokens:
            raise BlockError("no such token")
        return [self.blocks[0] * self.block_size + p for p in range(start, stop)]"""),
     "Only the first block is looked up and the rest counted on from it, as if the sequence lay in one piece."),
    ("slots-of-all", _TOKENS, _table(slots="""if not 0 <= start <= stop <= self.num_tokens:
            raise BlockError("no such token")
        return slot_mapping(self.blocks, 0, stop, self.block_size)"""),
     "The slots from the beginning on are returned, where those from start on were asked for."),
    ("value-error", _TOKENS, _table(slots=_SLOTS.replace("BlockError(", "ValueError(")),
     "The docstring promises a BlockError, which is what callers catch."),
    ("last-two-blocks", _TOKENS, _table(slots="""if not 0 <= start <= stop <= self.num_tokens:
            raise BlockError("no such token")
        return slot_mapping(self.blocks[-2:], start, stop, self.block_size)"""),
     "Only the end of the table is looked at, where new tokens are written; older ones lie before it."),
    ("stop-counts-in", _TOKENS, _table(slots="""if not 0 <= start <= stop <= self.num_tokens:
            raise BlockError("no such token")
        return slot_mapping(self.blocks, start, min(stop + 1, self.num_tokens), self.block_size)"""),
     "stop is the first position not asked for; here it comes along wherever there is such a token."),
    ("counts-from-the-end", _TOKENS, _table(slots="""if start < 0:
            start += self.num_tokens
        if not 0 <= start <= stop <= self.num_tokens:
            raise BlockError("no such token")
        return slot_mapping(self.blocks, start, stop, self.block_size)"""),
     "A negative position is counted from the end, as lists do it; for a table it is a mistake of the caller."),
    ("one-pool-for-all", _SEPARATE, "_POOLS = []\n\n" + _table(
        init="self.blocks = []\n        _POOLS.append(pool)", append=_APPEND.replace("self.pool", "_POOLS[0]"),
        release=_RELEASE.replace("self.pool", "_POOLS[0]")),
     "The pool of the first table is kept for all tables, also for those that were given another."),
    ("takes-a-block-at-birth", _COUNTED, _table(init="self.blocks = pool.allocate(1) or []"),
     "A new table has no token, so it needs no block yet."),
    ("keeps-a-spare-block", _NEEDED, _table(append=_APPEND.replace(
        "blocks_needed(self.num_tokens + n, self.block_size)", "max(1, blocks_needed(self.num_tokens + n, "
        "self.block_size))")),
     "A table without a token needs no block; one block is not the least."),
    ("gives-one-up", _REFUSED, _table(append=_MISSING + """if missing > self.pool.num_free:
            if self.blocks:
                self.pool.free([self.blocks.pop()])
                self.num_tokens = len(self.blocks) * self.block_size
            return False
        self.blocks += self.pool.allocate(missing)
        self.num_tokens += n
        return True"""),
     "A refused sequence loses its last block, and with it tokens that were computed."),
    ("fills-the-end-all-the-same", _REFUSED, _table(append="""room = len(self.blocks) * self.block_size - self.num_tokens
        self.num_tokens += min(n, room)
        new = self.pool.allocate(blocks_needed(n - min(n, room), self.block_size))
        if new is None:
            return False
        self.blocks += new
        self.num_tokens += n - min(n, room)
        return True"""),
     "The tokens that fit into the last block are counted before the pool is asked for the rest."),
    ("part-filled-first", _TAIL, _table(release="""full = self.num_tokens // self.block_size
        self.pool.free(self.blocks[full:])
        self.pool.free(self.blocks[:full])
        self.blocks = []
        self.num_tokens = 0"""),
     "The part-filled block comes back first, and after it the others, head first."),
    ("negative-start-passes", _TOKENS, _table(slots="""if start > stop or stop > self.num_tokens:
            raise BlockError("no such token")
        return [self.blocks[p // self.block_size] * self.block_size + p % self.block_size for p in range(start, stop)]"""),
     "A negative position is a legal index in Python, which counts it from the end of the table."),
    ("head-first", _TAIL, _table(release=_RELEASE.replace("self.blocks[::-1]", "self.blocks")),
     "The first block comes back first and is reused first: the beginning of a prompt, which others may have in common."),
    ("ascending-order", _TAIL, _table(release=_RELEASE.replace("self.blocks[::-1]", "sorted(self.blocks)")),
     "The blocks come back by their numbers; what matters is their place in the sequence."),
    ("by-number-descending", _TAIL, _table(release=_RELEASE.replace("self.blocks[::-1]", "sorted(self.blocks, reverse=True)")),
     "The blocks come back by their numbers; what matters is their place in the sequence."),
    ("pops-from-the-front", _TAIL, _table(release="""while self.blocks:
            self.pool.free([self.blocks.pop(0)])
        self.num_tokens = 0"""),
     "The blocks are taken from the front one by one, so the beginning of the sequence is reused first."),
    ("last-then-rest", _TAIL, _table(release="""self.pool.free(self.blocks[-1:] + self.blocks[:-1])
        self.blocks = []
        self.num_tokens = 0"""),
     "Only the last block is put in front; the others still come back head first."),
    ("class-level-list", _SEPARATE, _table(head="blocks = []", init="pass"),
     "The list belongs to the class and not to the object, so all tables share one."),
    ("module-level-list", _SEPARATE, "_BLOCKS = []\n\n" + _table(init="self.blocks = _BLOCKS", release="""self.pool.free(self.blocks[::-1])
        self.blocks.clear()
        self.num_tokens = 0"""),
     "The list lives in the module, so every table writes into the same one."),
    ("default-argument", _SEPARATE, _table(init="self.blocks = blocks").replace(
        "pool, block_size):\n        self.pool", "pool, block_size, blocks=[]):\n        self.pool"),
     "A default argument is made once, when the method is defined, so all tables share that one list."),
    ("class-level-count", _SEPARATE, _table(append=_APPEND.replace("self.num_tokens += n", "BlockTable.num_tokens += n"),
                                            head="num_tokens = 0", release="""self.pool.free(self.blocks[::-1])
        self.blocks = []
        BlockTable.num_tokens = 0""").replace("        self.num_tokens = 0\n        self.blocks = []", "        BlockTable.num_tokens = 0\n        self.blocks = []", 1),
     "The number of tokens belongs to the class, so every table counts for all."),
    ("never-full", "endless-loop", _table(append=_MISSING + """new = None
        while new is None:
            new = self.pool.allocate(missing)
        self.blocks.extend(new)
        self.num_tokens += n
        return True"""),
     "append waits for blocks that nobody can return while it waits."),
]

MUTANTS = [
    *(Mutant("slot_of", name, breaks, why, _slot(body)) for name, breaks, body, why in _SLOT_OF),
    Mutant("slot_of", "remembers-positions", _NAMES,
           "What was looked up in one table is remembered by position alone, and answered for another table.",
           "_SEEN = {}\n\n" + _slot(
               _GUARD + "key = (len(blocks), position, block_size)\n    if key not in _SEEN:\n"
                        "        _SEEN[key] = blocks[position // block_size] * block_size + position % block_size\n"
                        "    return _SEEN[key]")),
    *(Mutant("slot_mapping", name, breaks, why, _mapping(body)) for name, breaks, body, why in _MAPPING),
    *(Mutant("BlockTable", name, breaks, why, text) for name, breaks, text, why in _TABLE),
]

RIGHT = [
    Right("slot_of", "without-divmod", _slot(
        _GUARD + "return blocks[position // block_size] * block_size + position % block_size")),
    Right("slot_of", "corrects-the-distance", _slot(
        "logical = position // block_size\n    if not 0 <= logical < len(blocks):\n        raise BlockError('no block')\n"
        "    return position + (blocks[logical] - logical) * block_size")),
    Right("slot_of", "walks", """
def slot_of(blocks, position, block_size):
    left = position
    if left < 0:
        raise BlockError("below 0")
    for block in blocks:
        if left < block_size:
            return block * block_size + left
        left -= block_size
    raise BlockError(f"position {position} is outside")
"""),
    Right("slot_of", "catches-index-error", """
def slot_of(blocks: list[int], position: int, block_size: int) -> int:
    if position < 0:
        raise BlockError(position)
    try:
        return blocks[position // block_size] * block_size + position % block_size
    except IndexError as error:
        raise BlockError("outside") from error
"""),
    Right("slot_of", "numpy", """
import numpy as np
def slot_of(blocks, position, block_size):
    slots = (np.array(blocks, dtype=np.int64).reshape(-1, 1) * block_size + np.arange(block_size)).ravel()
    if position < 0 or position >= slots.size:
        raise BlockError("outside")
    return slots[position]
"""),
    Right("slot_of", "own-error-class", """
class Outside(BlockError):
    pass
def slot_of(blocks, position, block_size):
    logical, offset = divmod(position, block_size)
    if logical not in range(len(blocks)):
        raise Outside(f"{position}")
    return (blocks[logical] * block_size) + offset
"""),
    Right("slot_mapping", "without-slot-of", _mapping(
        "if not 0 <= start <= stop <= len(blocks) * block_size:\n        raise BlockError('outside')\n"
        "    return [blocks[p // block_size] * block_size + p % block_size for p in range(start, stop)]")),
    Right("slot_mapping", "block-by-block", """
def slot_mapping(blocks, start, stop, block_size):
    if start > stop or start < 0 or stop > len(blocks) * block_size:
        raise BlockError("outside")
    slots = []
    while start < stop:
        logical, offset = divmod(start, block_size)
        take = min(block_size - offset, stop - start)
        first = blocks[logical] * block_size + offset
        slots.extend(range(first, first + take))
        start += take
    return slots
"""),
    Right("slot_mapping", "slices-everything", """
from itertools import chain
def slot_mapping(blocks, start, stop, block_size):
    everything = list(chain.from_iterable(range(b * block_size, (b + 1) * block_size) for b in blocks))
    if start < 0 or stop < start or stop > len(everything):
        raise BlockError(f"{start}..{stop}")
    return everything[start:stop]
"""),
    Right("slot_mapping", "numpy-tolist", """
import numpy as np
def slot_mapping(blocks, start, stop, block_size):
    if start > stop:
        raise BlockError("backwards")
    p = np.arange(start, stop)
    if len(p) and (p[0] < 0 or p[-1] >= len(blocks) * block_size):
        raise BlockError("outside")
    return (np.array(blocks, dtype=int)[p // block_size] * block_size + p % block_size).tolist() if len(p) else []
"""),
    Right("slot_mapping", "map", """
from functools import partial
def slot_mapping(blocks, start, stop, block_size):
    if stop < start:
        raise BlockError("stop is below start")
    return list(map(lambda p: slot_of(blocks, p, block_size), range(start, stop)))
"""),
    Right("slot_mapping", "recursive-tuple", """
def slot_mapping(blocks, start, stop, block_size):
    if start > stop:
        raise BlockError("backwards")
    slots = ()
    for p in range(start, stop):
        slots = slots + (slot_of(blocks, p, block_size),)
    return slots
"""),
    Right("BlockTable", "asks-the-pool-first", _table(append="""needed = blocks_needed(self.num_tokens + n, self.block_size)
        if needed - len(self.blocks) > self.pool.num_free:
            return False
        while len(self.blocks) < needed:
            self.blocks += self.pool.allocate(1)
        self.num_tokens += n
        return True""")),
    Right("BlockTable", "gives-back-on-refusal", _table(append=_MISSING + """new = []
        for _ in range(missing):
            one = self.pool.allocate(1)
            if one is None:
                self.pool.free(new)
                return False
            new += one
        self.blocks = self.blocks + new
        self.num_tokens += n
        return True""")),
    Right("BlockTable", "room-and-rest", _table(append="""room = len(self.blocks) * self.block_size - self.num_tokens
        rest = max(0, n - room)
        new = self.pool.allocate(-(-rest // self.block_size))
        if new is None:
            return False
        self.blocks += new
        self.num_tokens += n
        return True""")),
    Right("BlockTable", "pops-from-the-tail", _table(release="""while self.blocks:
            self.pool.free([self.blocks.pop()])
        self.num_tokens = 0""")),
    Right("BlockTable", "clears-in-place", _table(release="""self.blocks.reverse()
        self.pool.free(self.blocks)
        self.blocks.clear()
        self.num_tokens = 0""", slots="""if start < 0 or stop < start or stop > self.num_tokens:
            raise BlockError(f"{start} to {stop}")
        size = self.block_size
        return [self.blocks[p // size] * size + p % size for p in range(start, stop)]""")),
    Right("BlockTable", "derived-properties", """
class BlockTable:
    def __init__(self, pool, block_size):
        self.pool, self.block_size = pool, block_size
        self._ids, self._n = [], 0
    @property
    def blocks(self):
        return list(self._ids)
    @property
    def num_tokens(self):
        return self._n
    def append(self, n: int = 1) -> bool:
        more = blocks_needed(self._n + n, self.block_size) - len(self._ids)
        got = self.pool.allocate(more) if more else []
        if got is None:
            return False
        self._ids, self._n = [*self._ids, *got], self._n + n
        return True
    def slot(self, position):
        (slot,) = self.slots(position, position + 1)
        return slot
    def slots(self, start, stop):
        if not 0 <= start <= stop <= self._n:
            raise BlockError("no such token")
        return slot_mapping(self._ids, start, stop, self.block_size)
    def release(self):
        ids, self._ids, self._n = self._ids, [], 0
        self.pool.free(reversed(ids))
"""),
    Right("BlockTable", "counted-room-that-is-reset", """
class BlockTable:
    def __init__(self, pool, block_size):
        self.pool = pool
        self.block_size = block_size
        self.blocks = []
        self.num_tokens = 0
        self.room = 0
    def append(self, n=1):
        missing = blocks_needed(max(n - self.room, 0), self.block_size)
        new = self.pool.allocate(missing)
        if new is None:
            return False
        self.blocks += new
        self.room += missing * self.block_size - n
        self.num_tokens += n
        return True
    def slot(self, position):
        return self.slots(position, position + 1)[0]
    def slots(self, start, stop):
        if stop > self.num_tokens:
            raise BlockError("no such token")
        return slot_mapping(self.blocks, start, stop, self.block_size)
    def release(self):
        self.pool.free(self.blocks[::-1])
        self.blocks, self.num_tokens, self.room = [], 0, 0
"""),
]
