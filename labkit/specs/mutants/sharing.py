"""Wrong and right implementations for lesson 06."""

from __future__ import annotations

from labkit.grading.mutants import Mutant, Right


def _refs(init: str = "self._counts = {}", count: str = "return self._counts.get(block, 0)",
          allocate: str = """blocks = self.pool.allocate(n)
        if blocks is None:
            return None
        for block in blocks:
            self._counts[block] = 1
        return blocks""",
          share: str = """for block in blocks:
            self._counts[block] += 1""",
          drop: str = """unheld = []
        for block in blocks:
            self._counts[block] -= 1
            if self._counts[block] == 0:
                unheld.append(block)
        return unheld""",
          recycle: str = "self.pool.free(blocks)", free: str = "self.recycle(self.drop(blocks))",
          head: str = "") -> str:
    """Counts in which one method differs from the plainest right one."""
    return f"""class RefCounts:
    {head}
    def __init__(self, pool):
        self.pool = pool
        {init}

    @property
    def num_blocks(self):
        return self.pool.num_blocks

    @property
    def num_free(self):
        return self.pool.num_free

    def count(self, block):
        {count}

    def allocate(self, n):
        {allocate}

    def share(self, blocks):
        {share}

    def drop(self, blocks):
        {drop}

    def recycle(self, blocks):
        {recycle}

    def free(self, blocks):
        {free}
"""


def _fork(body: str) -> str:
    return f"def fork(table):\n    {body}\n"


def _append(copy: str = "n > 0 and table.num_tokens % table.block_size > 0 and refs.count(table.blocks[-1]) > 1",
            ask: str = "missing + copy", move: str = """shared, own = table.blocks[-1], fresh.pop()
        refs.free([shared])
        table.blocks[-1] = own
        copies.append((shared, own))""", grow: str = """table.blocks.extend(fresh)
    table.num_tokens = total""", answer: str = "return copies",
            missing: str = "blocks_needed(total, table.block_size) - len(table.blocks)",
            refuse: str = "return None") -> str:
    """An append in which one part differs from the plainest right one."""
    return f"""def append_cow(table, n=1):
    refs, copies = table.pool, []
    total = table.num_tokens + n
    missing = {missing}
    copy = {copy}
    fresh = refs.allocate({ask})
    if fresh is None:
        {refuse}
    if copy:
        {move}
    {grow}
    {answer}
"""


_BACK, _COUNTS, _REFUSED = "only-recycle-returns-blocks", "counts-the-holders", "refused-means-unchanged"
_AGAIN, _UNHELD, _RETURN = "unheld-blocks-come-back-into-use", "drop-names-the-unheld", "recycled-blocks-return"
_PASSES, _SEPARATE = "passes-on-what-the-pool-answers", "counts-are-separate"

_REFS = [
    ("frees-at-the-first-drop", _BACK, _refs(free="self.drop(blocks)\n        self.recycle(blocks)"),
     "A block goes back when one of its two holders lets go, while the other still reads it."),
    ("drop-tells-the-pool", _BACK, _refs(drop="""unheld = []
        for block in blocks:
            self._counts[block] -= 1
            if self._counts[block] == 0:
                unheld.append(block)
        self.pool.free(unheld)
        return unheld""", recycle="pass"),
     "drop gives the blocks back itself, so nobody can keep what they hold until it is wanted again."),
    ("drop-and-recycle-both", _BACK, _refs(drop="""unheld = []
        for block in blocks:
            self._counts[block] -= 1
            if self._counts[block] == 0:
                unheld.append(block)
        self.pool.free(unheld)
        return unheld"""),
     "The block goes back twice, once in drop and once in recycle, and will have two owners."),
    ("frees-at-one", _BACK, _refs(drop="""unheld = []
        for block in blocks:
            if self._counts[block] <= 2:
                unheld.append(block)
            self._counts[block] -= 1
        return unheld"""),
     "The count is looked at before it is lowered, against the wrong number: one holder is left."),
    ("frees-every-unheld-block", _BACK, _refs(drop="""for block in blocks:
            self._counts[block] -= 1
        return [block for block, count in self._counts.items() if count == 0]"""),
     "drop looks at all blocks and not only at those that were named, so one that was dropped earlier goes back too."),
    ("counts-from-zero", _COUNTS, _refs(allocate="""blocks = self.pool.allocate(n)
        if blocks is None:
            return None
        for block in blocks:
            self._counts[block] = 0
        return blocks"""),
     "Whoever asked for the block holds it, so it starts with one holder and not with none."),
    ("share-sets-two", _COUNTS, _refs(share="""for block in blocks:
            self._counts[block] = 2"""),
     "A third table makes three holders; the count is raised, not set."),
    ("share-takes-the-first", _COUNTS, _refs(share="self._counts[blocks[0]] += 1 if blocks else 0").replace(
        "self._counts[blocks[0]] += 1 if blocks else 0", "if blocks:\n            self._counts[blocks[0]] += 1"),
     "Only the first block of the list gets its new holder."),
    ("share-does-nothing", _COUNTS, _refs(share="return list(blocks)"),
     "Nobody is told that there is one holder more."),
    ("allocate-adds-one", _COUNTS, _refs(init="self._counts = {block: 0 for block in range(pool.num_blocks)}",
                                         drop="""unheld = []
        for block in blocks:
            self._counts[block] -= 1
            if self._counts[block] == 0:
                unheld.append(block)
                self._counts[block] = 1
        return unheld""", allocate="""blocks = self.pool.allocate(n)
        if blocks is None:
            return None
        for block in blocks:
            self._counts[block] += 1
        return blocks"""),
     "The count does not come down to 0 when the last holder lets go, so the next owner starts too high."),
    ("count-of-all", _COUNTS, _refs(count="return sum(self._counts.values())"),
     "The sum over all blocks is returned; one block is asked about."),
    ("count-forgets-the-pool", _COUNTS, _refs(count="return self._counts[block]"),
     "A block that was never handed out has no entry, and asking for its count must still have an answer."),
    ("drop-stops-at-the-first", _COUNTS, _refs(drop="""for block in blocks:
            self._counts[block] -= 1
            if self._counts[block] == 0:
                return [block]
        return []"""),
     "The method returns in the middle of its loop, and the blocks behind keep their count."),
    ("counts-the-refused", _REFUSED, _refs(allocate="""blocks = self.pool.allocate(n) or []
        for block in blocks or range(n):
            self._counts[block] = 1
        return blocks or None if n else blocks"""),
     "A request that the pool refused is counted as if it had been granted."),
    ("none-is-no-list", _REFUSED, _refs(allocate="""blocks = self.pool.allocate(n)
        for block in blocks:
            self._counts[block] = 1
        return blocks"""),
     "The pool answers None where it has no room, and a loop over None raises."),
    ("one-by-one", _REFUSED, _refs(allocate="""blocks = []
        for _ in range(n):
            one = self.pool.allocate(1)
            if one is None:
                return None
            self._counts[one[0]] = 1
            blocks += one
        return blocks"""),
     "Blocks are asked for one at a time, and those already taken stay out when the pool runs dry halfway."),
    ("asks-num-free-after", _REFUSED, _refs(allocate="""for block in range(n):
            self._counts.setdefault(block, 1)
        blocks = self.pool.allocate(n)
        if blocks is None:
            return None
        for block in blocks:
            self._counts[block] = 1
        return blocks"""),
     "Counts are made before the pool has said whether there is room."),
    ("forgets-the-unheld", _AGAIN, _refs(drop="""unheld = []
        for block in blocks:
            self._counts[block] -= 1
            if self._counts[block] == 0:
                del self._counts[block]
                unheld.append(block)
        return unheld"""),
     "A block that nobody holds is forgotten, and whoever wants to share it before it is recycled finds no entry."),
    ("shares-only-the-held", _AGAIN, _refs(share="""for block in blocks:
            if self._counts[block] > 0:
                self._counts[block] += 1"""),
     "A block with no holder is passed over, though it still is out of the pool and somebody wants it."),
    ("revives-with-two", _AGAIN, _refs(share="""for block in blocks:
            self._counts[block] = max(self._counts[block], 1) + 1"""),
     "A block that nobody held has one holder once it is shared, not two."),
    ("names-all", _UNHELD, _refs(drop="""for block in blocks:
            self._counts[block] -= 1
        return list(blocks)""", free="self.recycle([b for b in self.drop(blocks) if not self._counts[b]])"),
     "Every block that was dropped is named, also those that others still hold."),
    ("names-none", _UNHELD, _refs(drop="""for block in blocks:
            self._counts[block] -= 1""", free="""self.drop(blocks)
        self.recycle([b for b in blocks if not self._counts[b]])"""),
     "The method ends without an answer, and its caller does not learn which blocks may go back."),
    ("names-the-still-held", _UNHELD, _refs(drop="""for block in blocks:
            self._counts[block] -= 1
        return [block for block in blocks if self._counts[block] > 0]""",
        free="""self.drop(blocks)
        self.recycle([b for b in blocks if not self._counts[b]])"""),
     "The condition is the wrong way round: what is named still has a holder."),
    ("names-in-a-set", _UNHELD, _refs(drop="""for block in blocks:
            self._counts[block] -= 1
        return sorted(block for block in blocks if self._counts[block] == 0)"""),
     "The order in which the blocks were named is lost, and with it which is reused first."),
    ("names-every-unheld-block", _UNHELD, _refs(drop="""for block in blocks:
            self._counts[block] -= 1
        return [block for block, count in self._counts.items() if count == 0]""", free="""self.drop(blocks)
        self.recycle([b for b in blocks if not self._counts[b]])"""),
     "Blocks that were dropped earlier, or are in the pool, are named once more."),
    ("recycle-forgets-the-pool", _RETURN, _refs(recycle="for block in blocks:\n            self._counts[block] = 0"),
     "Blocks that nobody holds never get back to the pool: they are neither held nor free."),
    ("recycle-looks-the-wrong-way", _RETURN, _refs(recycle="self.pool.free([b for b in blocks if self._counts[b]])"),
     "Only blocks that somebody holds are given back, and those are just the ones that may not be."),
    ("recycles-backwards", _RETURN, _refs(recycle="self.pool.free(list(blocks)[::-1])"),
     "The blocks go back in the reverse order, so another one is reused first than the caller meant."),
    ("free-only-drops", _RETURN, _refs(free="self.drop(blocks)"),
     "The answer of drop is thrown away: what nobody holds any more goes nowhere."),
    ("allocate-returns-nothing", _PASSES, _refs(allocate="""for block in self.pool.allocate(n) or []:
            self._counts[block] = 1"""),
     "The blocks are counted and not handed on: the method ends without a return."),
    ("no-room-is-an-empty-list", _PASSES, _refs(allocate="""blocks = self.pool.allocate(n) or []
        for block in blocks:
            self._counts[block] = 1
        return blocks"""),
     "An empty list says that nothing was asked for; the pool's None must be handed on."),
    ("empty-list-is-none", _PASSES, _refs(allocate="""blocks = self.pool.allocate(n)
        if not blocks:
            return None
        for block in blocks:
            self._counts[block] = 1
        return blocks"""),
     "An empty list is false in Python too: no blocks asked for is no refusal."),
    ("clears-what-it-gave", _PASSES, _refs(drop="""for block in blocks:
            self._counts[block] -= 1
        self._last.clear()
        return [b for b in blocks if self._counts[b] == 0]""", allocate="""blocks = self._last = self.pool.allocate(n)
        for block in blocks or []:
            self._counts[block] = 1
        return blocks""", init="self._counts, self._last = {}, []"),
     "The list that was handed out is kept and emptied later, and whoever holds it loses its blocks."),
    ("class-level-counts", _SEPARATE, _refs(head="_counts = {}", init="pass"),
     "The counts are made once for all, outside of __init__, so every object writes into the same ones."),
    ("module-level-counts", _SEPARATE, "_COUNTS = {}\n\n" + _refs(init="_COUNTS.clear()").replace(
        "self._counts", "_COUNTS"),
     "The counts live in the module, so every object writes into the same ones."),
]

_BOTH, _APART, _SAME = "every-block-counts-both", "tables-are-separate", "child-reads-the-same-tokens"
_NO_COPY, _PARENT = "nothing-is-copied", "parent-is-left-as-it-was"

_FORK = [
    ("tells-nobody", _BOTH, _fork("""child = BlockTable(table.pool, table.block_size)
    child.blocks = list(table.blocks)
    child.num_tokens = table.num_tokens
    return child"""),
     "A block of which the counts were not told goes back to the pool when the first of the two ends."),
    ("shares-full-blocks-only", _BOTH, _fork("""child = BlockTable(table.pool, table.block_size)
    full = table.num_tokens // table.block_size
    table.pool.share(table.blocks[:full])
    child.blocks = list(table.blocks)
    child.num_tokens = table.num_tokens
    return child"""),
     "The part-filled block is in both tables as well, and counted for one of them."),
    ("shares-the-last-only", _BOTH, _fork("""child = BlockTable(table.pool, table.block_size)
    table.pool.share(table.blocks[-1:])
    child.blocks = list(table.blocks)
    child.num_tokens = table.num_tokens
    return child"""),
     "Only the block that may be copied one day is counted; the child holds all of them."),
    ("shares-twice", _BOTH, _fork("""child = BlockTable(table.pool, table.block_size)
    child.blocks = list(table.blocks)
    child.num_tokens = table.num_tokens
    for t in (table, child):
        t.pool.share(t.blocks)
    return child"""),
     "The parent was counted already; one new table is one more holder, not two."),
    ("one-list-for-both", _APART, _fork("""child = BlockTable(table.pool, table.block_size)
    table.pool.share(table.blocks)
    child.blocks = table.blocks
    child.num_tokens = table.num_tokens
    return child"""),
     "An assignment gives the one list a second name; it makes no second list."),
    ("hands-out-the-parent", _APART, _fork("""table.pool.share(table.blocks)
    return table"""),
     "The answer is the parent itself: there is one table where two are due."),
    ("shallow-copy", _APART, _fork("""import copy
    child = copy.copy(table)
    child.pool.share(child.blocks)
    return child"""),
     "copy.copy makes a second object around the same list of blocks."),
    ("deep-copy", _SAME, _fork("""import copy
    child = copy.deepcopy(table)
    table.pool.share(table.blocks)
    return child"""),
     "The child has a pool of its own (deepcopy makes one as well), and from then on two pools hand out the same "
     "blocks."),
    ("forgets-the-tokens", _SAME, _fork("""child = BlockTable(table.pool, table.block_size)
    table.pool.share(table.blocks)
    child.blocks = list(table.blocks)
    return child"""),
     "The child has blocks and believes them empty: its first token would be written over the parent's."),
    ("full-blocks-tokens", _SAME, _fork("""child = BlockTable(table.pool, table.block_size)
    table.pool.share(table.blocks)
    child.blocks = list(table.blocks)
    child.num_tokens = len(table.blocks) * table.block_size
    return child"""),
     "The last block is rarely full; the parent knows how many tokens it has."),
    ("leaves-the-last-out", _SAME, _fork("""child = BlockTable(table.pool, table.block_size)
    full = table.num_tokens // table.block_size
    child.blocks = table.blocks[:full]
    child.num_tokens = full * table.block_size
    table.pool.share(child.blocks)
    return child"""),
     "The tokens in the part-filled block are the parent's too, and the child begins without them."),
    ("sorted-blocks", _SAME, _fork("""child = BlockTable(table.pool, table.block_size)
    table.pool.share(table.blocks)
    child.blocks = sorted(table.blocks)
    child.num_tokens = table.num_tokens
    return child"""),
     "A table lists its blocks in the order of its tokens; sorted, the sentence is read in another order."),
    ("no-answer", _SAME, _fork("""child = BlockTable(table.pool, table.block_size)
    table.pool.share(table.blocks)
    child.blocks = list(table.blocks)
    child.num_tokens = table.num_tokens"""),
     "The child is made and dropped: the function ends without a return."),
    ("fixed-block-size", _SAME, _fork("""child = BlockTable(table.pool, 16)
    table.pool.share(table.blocks)
    child.blocks = list(table.blocks)
    child.num_tokens = table.num_tokens
    return child"""),
     "The blocks are the parent's, so their size is the parent's too; 16 is only the usual one."),
    ("appends-anew", _NO_COPY, _fork("""child = BlockTable(table.pool, table.block_size)
    child.append(table.num_tokens)
    return child"""),
     "The child takes blocks of its own, as if there were nothing to share."),
    ("takes-then-points", _NO_COPY, _fork("""child = BlockTable(table.pool, table.block_size)
    child.append(table.num_tokens)
    table.pool.share(table.blocks)
    child.blocks = list(table.blocks)
    child.num_tokens = table.num_tokens
    return child"""),
     "Blocks are taken for the child and then forgotten in favour of the parent's: they are lost."),
    ("empties-the-parent", _PARENT, _fork("""child = BlockTable(table.pool, table.block_size)
    table.pool.share(table.blocks)
    child.blocks, table.blocks = table.blocks, []
    child.num_tokens = table.num_tokens
    return child"""),
     "The blocks move to the child where both should have them."),
    ("pops-from-the-parent", _PARENT, _fork("""child = BlockTable(table.pool, table.block_size)
    table.pool.share(table.blocks)
    child.num_tokens, table.num_tokens = table.num_tokens, 0
    child.blocks = list(table.blocks)
    return child"""),
     "The parent goes on afterwards, and must know how many tokens it has."),
]

_WRITTEN, _READS = "shared-block-is-never-written", "every-sequence-reads-its-own-tokens"
_TRUE, _ONLY, _ROOM = "counts-stay-true", "refuses-only-without-room", "room-for-every-token"
_MUST, _TOLD = "copies-only-when-it-must", "copies-are-told"
_SHARED = "refs.count(table.blocks[-1]) > 1"
_PART = "table.num_tokens % table.block_size > 0"
_NONE = "A missing return answers None, and so does a test for which an empty list is the same as None."

_APPEND = [
    ("plain-append", _WRITTEN, "def append_cow(table, n=1):\n    return [] if table.append(n) else None\n",
     "Two tables hold the last block, which is one too many, and it is written all the same."),
    ("parent-writes-in-place", _WRITTEN, _append(copy=f"n > 0 and {_PART} and refs.count(table.blocks[-1]) > 2"),
     "A count of 2 means already that somebody else reads the block."),
    ("tells-but-keeps", _WRITTEN, _append(move="""shared, own = table.blocks[-1], fresh.pop()
        refs.free([own])
        copies.append((shared, own))"""),
     "The copy is announced, and the table goes on pointing to the shared block."),
    ("copies-a-single-token-only", _WRITTEN, _append(copy=f"n == 1 and {_PART} and {_SHARED}"),
     "A chunk of several tokens begins in the same part-filled block as a single one."),
    ("asks-after-sharing-ended", _WRITTEN, """def append_cow(table, n=1):
    refs, copies = table.pool, []
    total = table.num_tokens + n
    fresh = refs.allocate(blocks_needed(total, table.block_size) - len(table.blocks))
    if fresh is None:
        return None
    table.blocks.extend(fresh)
    if n and table.num_tokens % table.block_size and refs.count(table.blocks[-1]) > 1:
        own = refs.allocate(1)
        if own is None:
            return None
        copies.append((table.blocks[-1], own[0]))
        refs.free([table.blocks[-1]])
        table.blocks[-1] = own[0]
    table.num_tokens = total
    return copies
""",
     "After new blocks were added, the last block is another one, and its count says nothing about the shared one."),
    ("swapped-pair", _READS, _append(move="""shared, own = table.blocks[-1], fresh.pop()
        refs.free([shared])
        table.blocks[-1] = own
        copies.append((own, shared))"""),
     "Source and destination are swapped: the empty block is copied over the tokens of the others."),
    ("never-tells", _READS, _append(answer="return []"),
     "The table points to a new block, and nobody is told to copy what the old one holds."),
    ("tells-the-new-twice", _READS, _append(move="""own = fresh.pop()
        refs.free([table.blocks[-1]])
        table.blocks[-1] = own
        copies.append((table.blocks[-1], own))"""),
     "The old block is looked up after it was replaced, so the copy goes from the new block to itself."),
    ("tells-another-block", _READS, _append(move="""shared, own = table.blocks[-1], fresh[-1]
        refs.free([shared])
        table.blocks.pop()
        copies.append((shared, own))"""),
     "Where several blocks are new, the one that stands in the place of the old one is not the one named as its copy."),
    ("copies-the-first-block", _READS, _append(move="""shared, own = table.blocks[-1], fresh.pop()
        refs.free([shared])
        table.blocks[-1] = own
        copies.append((table.blocks[0], own))"""),
     "The wrong block is copied: the tokens that must move along are in the last one."),
    ("keeps-the-reference", _TRUE, _append(move="""shared, own = table.blocks[-1], fresh.pop()
        table.blocks[-1] = own
        copies.append((shared, own))"""),
     "The table let go of the shared block and nobody was told: its count never comes down to 0, and it is lost."),
    ("frees-the-new-block", _TRUE, _append(move="""shared, own = table.blocks[-1], fresh.pop()
        refs.free([own])
        table.blocks[-1] = own
        copies.append((shared, own))"""),
     "The block that goes back is the one that the table has just taken."),
    ("frees-for-everybody", _TRUE, _append(move="""shared, own = table.blocks[-1], fresh.pop()
        while refs.count(shared):
            refs.free([shared])
        table.blocks[-1] = own
        copies.append((shared, own))"""),
     "The block is freed for all its holders, and theirs to read is somebody else's to write."),
    ("shares-the-copy", _TRUE, _append(move="""shared, own = table.blocks[-1], fresh.pop()
        refs.free([shared])
        refs.share([own])
        table.blocks[-1] = own
        copies.append((shared, own))"""),
     "A new block starts with one holder; sharing it counts a table that there is not."),
    ("drops-without-recycling-all", _TRUE, _append(move="""shared, own = table.blocks[-1], fresh.pop()
        refs.drop(table.blocks)
        table.blocks[-1] = own
        copies.append((shared, own))"""),
     "One block is let go of, and the counts of all blocks of the table are lowered."),
    ("takes-one-more", _TRUE, _append(ask="missing + 1", grow="""table.blocks.extend(fresh[:missing])
    table.num_tokens = total"""),
     "A block is taken for a copy also where there is none, and then belongs to nobody."),
    ("copy-first-then-the-rest", "refused-means-unchanged", """def append_cow(table, n=1):
    refs, copies = table.pool, []
    total = table.num_tokens + n
    if n and table.num_tokens % table.block_size and refs.count(table.blocks[-1]) > 1:
        own = refs.allocate(1)
        if own is None:
            return None
        copies.append((table.blocks[-1], own[0]))
        refs.free([table.blocks[-1]])
        table.blocks[-1] = own[0]
    fresh = refs.allocate(blocks_needed(total, table.block_size) - len(table.blocks))
    if fresh is None:
        return None
    table.blocks.extend(fresh)
    table.num_tokens = total
    return copies
""",
     "The pool is asked twice. If it grants the copy and refuses the rest, the table has changed and the copy is "
     "forgotten."),
    ("rest-first-then-the-copy", "refused-means-unchanged", """def append_cow(table, n=1):
    refs, copies = table.pool, []
    total, at = table.num_tokens + n, len(table.blocks) - 1
    copy = n > 0 and table.num_tokens % table.block_size > 0 and refs.count(table.blocks[-1]) > 1
    fresh = refs.allocate(blocks_needed(total, table.block_size) - len(table.blocks))
    if fresh is None:
        return None
    table.blocks.extend(fresh)
    if copy:
        own = refs.allocate(1)
        if own is None:
            return None
        copies.append((table.blocks[at], own[0]))
        refs.free([table.blocks[at]])
        table.blocks[at] = own[0]
    table.num_tokens = total
    return copies
""",
     "The blocks are in the table when the request for the copy is refused."),
    ("counts-tokens-first", "refused-means-unchanged", """def append_cow(table, n=1):
    refs, copies = table.pool, []
    copy = n > 0 and table.num_tokens % table.block_size > 0 and refs.count(table.blocks[-1]) > 1
    table.num_tokens += n
    fresh = refs.allocate(blocks_needed(table.num_tokens, table.block_size) - len(table.blocks) + copy)
    if fresh is None:
        return None
    if copy:
        shared, own = table.blocks[-1], fresh.pop()
        refs.free([shared])
        table.blocks[-1] = own
        copies.append((shared, own))
    table.blocks.extend(fresh)
    return copies
""",
     "The tokens are counted before the pool has said whether there is room for them."),
    ("drops-before-asking", "refused-means-unchanged", """def append_cow(table, n=1):
    refs, copies = table.pool, []
    total = table.num_tokens + n
    copy = n > 0 and table.num_tokens % table.block_size > 0 and refs.count(table.blocks[-1]) > 1
    if copy:
        refs.free([table.blocks[-1]])
    fresh = refs.allocate(blocks_needed(total, table.block_size) - len(table.blocks) + copy)
    if fresh is None:
        return None
    if copy:
        shared, own = table.blocks[-1], fresh.pop()
        table.blocks[-1] = own
        copies.append((shared, own))
    table.blocks.extend(fresh)
    table.num_tokens = total
    return copies
""",
     "The shared block is let go of before there is another one; if there is none, the table lists a block that it "
     "does not hold."),
    ("copy-not-asked-for", "refused-means-unchanged", """def append_cow(table, n=1):
    refs, copies = table.pool, []
    total, at = table.num_tokens + n, len(table.blocks) - 1
    copy = n > 0 and table.num_tokens % table.block_size > 0 and refs.count(table.blocks[-1]) > 1
    fresh = refs.allocate(blocks_needed(total, table.block_size) - len(table.blocks))
    if fresh is None:
        return None
    table.blocks.extend(fresh)
    table.num_tokens = total
    if copy:
        own = refs.allocate(1)[0]
        copies.append((table.blocks[at], own))
        refs.free([table.blocks[at]])
        table.blocks[at] = own
    return copies
""",
     "Whether there is a block for the copy is not asked, and the answer None is taken apart as if it were a list."),
    ("no-room-is-false", _ONLY, _append(refuse="return False"),
     "The answer for no room is None; False is what append gives, whose other answer is True."),
    ("no-room-is-no-copies", _ONLY, _append(refuse="return []"),
     "An empty list says that all went well and nothing has to be copied."),
    ("asks-for-one-too-many", _ONLY, _append(ask="missing + copy", refuse="return None").replace(
        "    fresh = ", "    if refs.num_free <= missing + copy:\n        return None\n    fresh = "),
     "Exactly enough is enough, and nothing at all can always be had: more is asked for than is needed."),
    ("answers-nothing", _ONLY, _append(answer="copies"), _NONE),
    ("no-blocks-is-none", _ONLY, _append().replace("if fresh is None", "if not fresh"), _NONE),
    ("no-copies-is-none", _ONLY, _append(answer="return copies or None"), _NONE),
    ("always-wants-a-spare", _ONLY, _append(copy=f"n > 0 and {_PART} and {_SHARED}").replace(
        "    fresh = ", "    if table.blocks and refs.num_free < missing + 1:\n        return None\n    fresh = "),
     "A block is wanted for a copy also where nothing will be copied."),
    ("forgets-the-tokens", _ROOM, _append(grow="table.blocks.extend(fresh)"),
     "The blocks are there and the tokens are not counted, so the next append writes over these."),
    ("counts-one-token", _ROOM, _append(grow="""table.blocks.extend(fresh)
    table.num_tokens += 1"""),
     "A chunk has n tokens; one is only the usual case."),
    ("forgets-the-new-blocks", _ROOM, _append(grow="table.num_tokens = total"),
     "The blocks beyond the last one were taken and are in no table."),
    ("keeps-the-spare", _ROOM, _append(move="""shared, own = table.blocks[-1], fresh[0]
        refs.free([shared])
        table.blocks[-1] = own
        copies.append((shared, own))"""),
     "The block of the copy stays among the new ones, and stands in the table twice."),
    ("one-block-a-call", _ROOM, _append(missing="1 if table.num_tokens % table.block_size == 0 and n else 0"),
     "A chunk may need several blocks, also one that begins in a block with room."),
    ("copies-full-blocks", _MUST, _append(copy=f"bool(n > 0 and table.blocks and {_SHARED})"),
     "A full block is never written again, so two tables may share it for good."),
    ("copies-the-sole-holders", _MUST, _append(copy=f"n > 0 and {_PART}"),
     "A block that nobody else holds is copied all the same; writing in place harms nobody."),
    ("copies-for-nothing", _MUST, _append(copy=f"{_PART} and {_SHARED}"),
     "Where no token is added nothing is written, and nothing has to be copied."),
    ("copies-by-the-first", _MUST, _append(copy=f"n > 0 and {_PART} and refs.count(table.blocks[0]) > 1"),
     "That the beginning is shared says nothing about the block that will be written."),
    ("copies-everything", _MUST, _append(
        copy=f"n > 0 and {_PART} and {_SHARED}", ask="missing + len(table.blocks) * copy", move="""old = table.blocks
        table.blocks, fresh = fresh[:len(old)], fresh[len(old):]
        refs.free(old)
        copies.extend(zip(old, table.blocks))"""),
     "All blocks are copied where one is written; sharing then lasts for a single token."),
    ("pairs-as-dict", _TOLD, _append(answer="return dict(copies)"),
     "A list of pairs is due; a dict keeps one destination for each source, and loses the others in a batch."),
    ("a-bare-pair", _TOLD, _append(answer="return copies[0] if copies else []"),
     "One pair is not yet a list of pairs."),
    ("tells-the-new-blocks-too", _TOLD, _append(
        answer="return copies + [(table.blocks[0], b) for b in fresh if not copies]"),
     "A block that is new holds nothing yet, and nothing is copied into it."),
    ("true-when-nothing", _TOLD, _append(answer="return copies or True"),
     "Nothing to copy is an empty list, which a caller can walk through."),
    ("tells-only-when-new", _TOLD, _append(answer="return copies if copies else [(table.blocks[-1], table.blocks[-1])] "
                                                  "if table.blocks else []"),
     "A copy from a block to itself is work for nothing; no copy is an empty list."),
]

MUTANTS = [Mutant(exercise, name, rule, why, source) for exercise, group in
           (("RefCounts", _REFS), ("fork", _FORK), ("append_cow", _APPEND)) for name, rule, source, why in group]

RIGHT = [
    Right("RefCounts", "a-dict", _refs()),
    Right("RefCounts", "a-list", _refs(init="self._counts = [0] * pool.num_blocks",
                                       count="return self._counts[block]")),
    Right("RefCounts", "a-counter", "from collections import Counter\n\n" + _refs(
        init="self.holders = Counter()", count="return self.holders[block]",
        allocate="""taken = self.pool.allocate(n)
        self.holders.update(taken or ())
        return taken""", share="self.holders.update(blocks)",
        drop="""self.holders.subtract(blocks)
        return [b for b in blocks if self.holders[b] == 0]""")),
    Right("RefCounts", "numpy", "import numpy as np\n\n" + _refs(
        init="self.n = np.zeros(pool.num_blocks, dtype=int)", count="return self.n[block]",
        allocate="""blocks = self.pool.allocate(n)
        if blocks:
            self.n[blocks] = 1
        return blocks""", share="if blocks:\n            self.n[list(blocks)] += 1",
        drop="""if not blocks:
            return []
        self.n[blocks] -= 1
        return [b for b in blocks if self.n[b] == 0]""")),
    Right("RefCounts", "forgets-and-finds-again", _refs(
        share="for block in blocks:\n            self._counts[block] = self._counts.get(block, 0) + 1",
        drop="""gone = []
        for block in blocks:
            if self._counts[block] == 1:
                del self._counts[block]
                gone.append(block)
            else:
                self._counts[block] -= 1
        return gone""")),
    Right("RefCounts", "sets-of-holders", _refs(
        init="self.holders = [[] for _ in range(pool.num_blocks)]", count="return len(self.holders[block])",
        allocate="""blocks = self.pool.allocate(n)
        for b in blocks or []:
            self.holders[b] = ["a table"]
        return blocks""", share="for b in blocks:\n            self.holders[b].append('a table')",
        drop="""for b in blocks:
            self.holders[b].pop()
        return [b for b in blocks if not self.holders[b]]""",
        recycle="for b in blocks:\n            self.pool.free([b])")),
    Right("fork", "as-given", _fork("""child = BlockTable(table.pool, table.block_size)
    table.pool.share(table.blocks)
    child.blocks = list(table.blocks)
    child.num_tokens = table.num_tokens
    return child""")),
    Right("fork", "one-by-one", _fork("""child = BlockTable(table.pool, table.block_size)
    for block in table.blocks:
        table.pool.share([block])
        child.blocks.append(block)
    child.num_tokens += table.num_tokens
    return child""")),
    Right("fork", "shallow-copy-with-its-own-list", _fork("""import copy
    child = copy.copy(table)
    child.blocks = table.blocks[:]
    child.pool.share(child.blocks)
    return child""")),
    Right("append_cow", "as-given", _append()),
    Right("append_cow", "uses-the-plain-append", """def append_cow(table, n=1):
    refs = table.pool
    if n == 0 or table.num_tokens % table.block_size == 0 or refs.count(table.blocks[-1]) == 1:
        return [] if table.append(n) else None
    new = blocks_needed(table.num_tokens + n, table.block_size) - len(table.blocks) + 1
    if refs.num_free < new:
        return None
    (own,) = refs.allocate(1)
    shared = table.blocks.pop()
    refs.free([shared])
    table.blocks.append(own)
    table.append(n)
    return [(shared, own)]
"""),
    Right("append_cow", "asks-twice-and-puts-back", """def append_cow(table, n=1):
    refs = table.pool
    room = len(table.blocks) * table.block_size - table.num_tokens
    beyond = -(-max(n - room, 0) // table.block_size)
    fresh = refs.allocate(beyond)
    if fresh is None:
        return None
    copies = []
    if room and n and refs.count(table.blocks[-1]) > 1:
        own = refs.allocate(1)
        if own is None:
            refs.free(fresh)
            return None
        copies = [(table.blocks[-1], own[0])]
        refs.recycle(refs.drop([table.blocks[-1]]))
        table.blocks = table.blocks[:-1] + own
    table.blocks = table.blocks + fresh
    table.num_tokens += n
    return copies
"""),
    Right("append_cow", "takes-the-first-for-the-copy", _append(move="""shared, own = table.blocks[-1], fresh[0]
        del fresh[0]
        table.blocks[-1] = own
        refs.free([shared])
        copies = [(shared, own)]""")),
    Right("append_cow", "tuples-of-tuples", _append(answer="return tuple(copies)")),
]
