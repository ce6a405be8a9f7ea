"""Wrong and right implementations for lesson 04."""

from __future__ import annotations

from dataclasses import replace

from labkit.grading.mutants import Mutant, Right


def _pool(init: str = "self._free = list(range(num_blocks))", count: str = "return len(self._free)",
          allocate: str = """if n > len(self._free):
            return None
        return [self._free.pop(0) for _ in range(n)]""",
          free: str = "self._free.extend(blocks)", head: str = "") -> str:
    """A pool in which one method differs from the plainest right one."""
    return f"""class BlockPool:
    {head}
    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        {init}

    @property
    def num_free(self):
        {count}

    def allocate(self, n):
        {allocate}

    def free(self, blocks):
        {free}
"""


def _needed(body: str) -> str:
    return f"def blocks_needed(num_tokens, block_size):\n    {body}\n"


def _checked(body: str, init: str = "self._held = set()", allocate: str = """blocks = super().allocate(n)
        if blocks is not None:
            self._held.update(blocks)
        return blocks""") -> str:
    return f"""class CheckedPool(BlockPool):
    def __init__(self, num_blocks):
        super().__init__(num_blocks)
        {init}

    def allocate(self, n):
        {allocate}

    def free(self, blocks):
        {body}
"""


def _leak(body: str) -> str:
    return f"def find_leak(num_blocks, free_blocks, tables):\n    {body}\n"


_SPARE = "full-blocks-have-no-spare"
_NEEDED = [
    ("floor", "a-started-block-counts", "return num_tokens // block_size",
     "Whole division rounds down, so the tokens of the last, part-filled block are not counted."),
    ("always-one-more", _SPARE, "return num_tokens // block_size + 1",
     "Adding one block after the division is right only when something is left over."),
    ("max-one", "nothing-needs-nothing", "return max(1, -(-num_tokens // block_size))",
     "A sequence without tokens holds no block; one block is not the least."),
    ("round", "a-started-block-counts", "return round(num_tokens / block_size)",
     "Rounding to the nearest drops a last block that is less than half full."),
    ("almost-one-more", "a-started-block-counts", "return int(num_tokens / block_size + 0.999)",
     "Adding almost one before cutting off loses a last block that is nearly empty, where blocks are large."),
    ("float-result", "a-started-block-counts", "import math\n    return float(math.ceil(num_tokens / block_size))",
     "A number of blocks is counted, so it is a whole number and not a float."),
    ("swapped", "a-started-block-counts", "return -(-block_size // num_tokens) if num_tokens else 0",
     "The two numbers stand in each other's place: tokens are divided by the block size."),
    ("short-by-one", "a-started-block-counts",
     "return (num_tokens + block_size - 2) // block_size if num_tokens else 0",
     "Adding block_size - 2 loses the block that holds exactly one token."),
    ("adds-block-size", _SPARE, "return (num_tokens + block_size) // block_size if num_tokens else 0",
     "Adding a whole block before the division gives full blocks one too many."),
    ("only-sixteen", "a-started-block-counts", "return -(-num_tokens // 16)",
     "The block size is a parameter; 16 is only the usual one."),
    ("forgets-return", "a-started-block-counts", "needed = -(-num_tokens // block_size)",
     "The number is computed and then dropped: the function ends without a return."),
    ("remainder", _SPARE,
     "return num_tokens // block_size + num_tokens % block_size",
     "What is left over needs one block together, not one block for each token."),
    ("float-when-full", _SPARE, "if num_tokens % block_size == 0:\n        return num_tokens / block_size\n"
     "    return num_tokens // block_size + 1",
     "A division with one slash gives a float, also where nothing is left over."),
    ("loop-one-round-more", _SPARE, "n = 0\n    while n * block_size <= num_tokens:\n        n += 1\n    return n",
     "The loop goes on while the blocks hold exactly enough, and takes one more."),
    ("half-full", "a-started-block-counts",
     "return num_tokens // block_size + (num_tokens % block_size >= block_size / 2)",
     "A last block that is less than half full holds tokens all the same."),
    ("nothing-for-nothing", "nothing-needs-nothing",
     "if not num_tokens:\n        return None\n    return -(-num_tokens // block_size)",
     "Zero blocks is a number, and the caller computes with it."),
    ("calls-itself", "recursion",
     "return 0 if num_tokens <= 0 else 1 + blocks_needed(num_tokens - block_size, block_size)",
     "One call for each block nests thousands deep for a long context, and Python stops at a thousand."),
    ("string", "a-started-block-counts", "return str(-(-num_tokens // block_size))",
     "The caller computes with the answer, so it must be a number and not a text."),
]

_POOL = [
    ("takes-then-gives-up", "refused-means-unchanged", _pool(allocate="""blocks = []
        for _ in range(n):
            if not self._free:
                return None
            blocks.append(self._free.pop(0))
        return blocks"""),
     "Blocks are taken one by one, and those already taken stay out when the pool runs dry halfway."),
    ("counter-first", "refused-means-unchanged", _pool(
        init="self._free = list(range(num_blocks)); self._count = num_blocks", count="return self._count",
        allocate="""self._count -= n
        if self._count < 0:
            return None
        return [self._free.pop(0) for _ in range(n)]""",
        free="self._free.extend(blocks); self._count += len(blocks)"),
     "The counter is lowered before the pool knows whether it can serve the request, and never raised again."),
    ("gives-what-it-has", "all-or-nothing", _pool(allocate="""blocks, self._free = self._free[:n], self._free[n:]
        return blocks"""),
     "A slice of a short list is short: the caller asked for all and silently gets some."),
    ("empty-list-for-no-room", "all-or-nothing", _pool(allocate="""if n > len(self._free):
            return []
        return [self._free.pop(0) for _ in range(n)]"""),
     "An empty list says that zero blocks were asked for; a refusal must be told apart from that."),
    ("raises-when-full", "all-or-nothing", _pool(allocate="""if n > len(self._free):
            raise RuntimeError("no room")
        return [self._free.pop(0) for _ in range(n)]"""),
     "Being full is an everyday answer that the scheduler asks for; an exception would end its step."),
    ("off-by-one-strict", "all-or-nothing", _pool(allocate="""if n >= len(self._free):
            return None
        return [self._free.pop(0) for _ in range(n)]"""),
     "A request for exactly as many blocks as are free can be served; the comparison refuses it."),
    ("never-removes", "never-handed-out-twice", _pool(allocate="""if n > len(self._free):
            return None
        return self._free[:n]"""),
     "The ids are read from the free list but stay in it, so the next request gets them again."),
    ("bump-pointer", "never-handed-out-twice", _pool(
        init="self._next = 0", count="return self.num_blocks - self._next",
        allocate="""if n > self.num_free:
            return None
        self._next += n
        return list(range(self._next - n, self._next))""",
        free="self._next -= len(blocks)"),
     "A pointer that moves back on free forgets which blocks came back; only the last ones may do so."),
    ("same-id-n-times", "never-handed-out-twice", _pool(allocate="""if n > len(self._free):
            return None
        blocks = [self._free[0] for _ in range(n)] if n else []
        self._free = self._free[n:]
        return blocks"""),
     "The same position is read in every round, so one block is handed out several times in one answer."),
    ("ids-from-one", "ids-of-this-pool", _pool(init="self._free = list(range(1, num_blocks + 1))"),
     "The ids run from 1 to num_blocks; the last of them points past the end of KV memory."),
    ("free-forgets", "freed-blocks-come-back", _pool(free="pass"),
     "Nothing is put back, so the pool can serve every block exactly once."),
    ("free-returns-only-first", "freed-blocks-come-back", _pool(free="self._free.extend(list(blocks)[:1])"),
     "Only the first block of the list comes back; the others are lost."),
    ("free-appends-the-list", "ids-of-this-pool", _pool(free="self._free.append(blocks)"),
     "The whole list is put back as one element, so the pool counts one block and hands out a list as an id."),
    ("count-of-all", "counts-what-is-free", _pool(count="return self.num_blocks"),
     "The size of the pool is returned, which never changes; free is what nobody holds."),
    ("count-of-held", "counts-what-is-free", _pool(count="return self.num_blocks - len(self._free)"),
     "This is the number of blocks that are held; the free ones are asked for."),
    ("class-level-list", "pools-are-separate", _pool(
        head="_free = []", init="self._free.clear(); self._free.extend(range(num_blocks))"),
     "The list belongs to the class and not to the object, so every pool shares it with all others."),
    ("module-level-list", "pools-are-separate", "_FREE = []\n\n" + _pool(
        init="_FREE[:] = range(num_blocks)", count="return len(_FREE)",
        allocate="""if n > len(_FREE):
            return None
        return [_FREE.pop(0) for _ in range(n)]""", free="_FREE.extend(blocks)"),
     "The free list lives in the module, so every pool writes into the same one."),
    ("class-level-list-grows", "pools-are-separate", _pool(
        head="_free = []", init="self._free.extend(range(num_blocks))", allocate="""if n > len(self._free):
            return None
        return [self._free.pop() for _ in range(n)]"""),
     "The list belongs to the class, so every new pool adds its blocks to those of all others."),
    ("default-argument", "pools-are-separate", _pool(
        init="self._used = used", count="return self.num_blocks - len(self._used)", allocate="""if n > self.num_free:
            return None
        blocks = [b for b in range(self.num_blocks) if b not in self._used][:n]
        self._used.update(blocks)
        return blocks""", free="self._used.difference_update(blocks)").replace(
            "num_blocks):", "num_blocks, used=set()):"),
     "A default argument is made once, when the method is defined, so all pools share that one set."),
    ("size-shrinks", "counts-what-is-free", _pool(allocate="""if n > len(self._free):
            return None
        self.num_blocks -= n
        return [self._free.pop(0) for _ in range(n)]""",
        free="self._free.extend(blocks); self.num_blocks += len(blocks)"),
     "num_blocks is the size of the pool and stays what it was; what shrinks is num_free."),
    ("hands-out-its-own-list", "never-handed-out-twice", _pool(
        init="self._free = list(range(num_blocks)); self._out = []", allocate="""if n > len(self._free):
            return None
        self._out.clear()
        for _ in range(n):
            self._out.append(self._free.pop(0))
        return self._out"""),
     "One list is filled anew for every request, so whoever got it before reads the ids of somebody else."),
    ("keeps-the-callers-list", "freed-blocks-come-back", _pool(free="""if self._free:
            self._free += blocks
        else:
            self._free = blocks"""),
     "The pool keeps the very list it was given, and loses its blocks when the caller clears that list."),
    ("frees-the-first-ids", "never-handed-out-twice", _pool(free="self._free.extend(range(len(blocks)))"),
     "As many ids come back as were returned, but they are not the ones that were returned."),
    ("starts-over", "freed-blocks-come-back", _pool(free="self._free = list(range(self.num_blocks))"),
     "Every block is free after any free, also those that somebody still holds."),
    ("adjacent-only", "all-or-nothing", _pool(init="self._used = [False] * num_blocks",
                                              count="return self._used.count(False)",
                                              allocate="""for start in range(self.num_blocks - n + 1):
            if not any(self._used[start:start + n]):
                self._used[start:start + n] = [True] * n
                return list(range(start, start + n))
        return None""", free="for b in blocks:\n            self._used[b] = False"),
     "The blocks need not be neighbours; whoever looks for a run of them brings external waste back."),
    ("zero-is-not-true", "freed-blocks-come-back", _pool(free="self._free.extend(b for b in blocks if b)"),
     "Block 0 counts as false and is left out."),
    ("compares-by-identity", "freed-blocks-come-back", _pool(
        init="self._held = []; self._free = list(range(num_blocks))", count="return self.num_blocks - len(self._held)",
        allocate="""if n > len(self._free):
            return None
        blocks = [self._free.pop(0) for _ in range(n)]
        self._held += blocks
        return blocks""",
        free="""for b in blocks:
            self._held = [h for h in self._held if h is not b]
            self._free.append(b)"""),
     "`is` asks for the same object; two equal numbers above 256 are two objects in Python."),
    ("one-id-is-no-list", "all-or-nothing", _pool(allocate="""if n > len(self._free):
            return None
        blocks = [self._free.pop(0) for _ in range(n)]
        return blocks[0] if n == 1 else blocks"""),
     "A single block comes as a bare number where every caller expects a list."),
    ("last-slice-of-zero", "all-or-nothing", _pool(allocate="""if n > len(self._free):
            return None
        blocks, self._free = self._free[-n:], self._free[:-n]
        return blocks"""),
     "For n = 0 the slice [-0:] is the whole list."),
    ("keeps-one-back", "all-or-nothing", _pool(allocate="""if n > len(self._free) - 1:
            return None
        return [self._free.pop(0) for _ in range(n)]"""),
     "The last block is never given away, though the request would fit."),
    ("refuses-zero", "all-or-nothing", _pool(allocate="""if n > len(self._free) or n == 0:
            return None
        return [self._free.pop(0) for _ in range(n)]"""),
     "Zero blocks can always be given: the answer is an empty list, not a refusal."),
    ("loops-until-free", "endless-loop", _pool(allocate="""while n > len(self._free):
            continue
        return [self._free.pop(0) for _ in range(n)]"""),
     "The pool waits for blocks that nobody can return while it waits."),
]

_FOREIGN = """for block in blocks:
            if not 0 <= block < self.num_blocks:
                raise ForeignBlockError(f"{block} is not a block of this pool")
"""

_CHECKED = [
    ("accepts-double-free", "double-free-refused", _checked("super().free(blocks)"),
     "Nothing is checked: the block goes back a second time."),
    ("checks-range-only", "double-free-refused", _checked(_FOREIGN + "        super().free(blocks)"),
     "The id is checked against the size of the pool, but not whether anybody holds the block."),
    ("ignores-silently", "double-free-refused", _checked("""good = [b for b in blocks if b in self._held]
        self._held -= set(good)
        super().free(good)"""),
     "The bad id is skipped without a word, so the caller never learns of its mistake."),
    ("never-forgets", "double-free-refused", _checked(_FOREIGN + """            if block not in self._held:
                raise DoubleFreeError(f"{block} is free")
        super().free(blocks)"""),
     "What comes back stays in the set of held blocks, so a second return looks legal."),
    ("one-call-twice", "twice-in-one-call-refused", _checked(_FOREIGN + """            if block not in self._held:
                raise DoubleFreeError(f"{block} is free")
        self._held -= set(blocks)
        super().free(blocks)"""),
     "Each id is compared with the held set as it was before the call, so both mentions look held."),
    ("dedups-quietly", "twice-in-one-call-refused", _checked(_FOREIGN + """            if block not in self._held:
                raise DoubleFreeError(f"{block} is free")
        self._held -= set(blocks)
        super().free(list(set(blocks)))"""),
     "The repetition is removed instead of reported; the caller's table still holds the block twice."),
    ("foreign-is-double", "foreign-block-refused", _checked("""seen = set()
        for block in blocks:
            if block not in self._held or block in seen:
                raise DoubleFreeError(f"{block} is free")
            seen.add(block)
        self._held -= seen
        super().free(blocks)"""),
     "An id that the pool never had is reported as a double free, which sends the reader after the wrong mistake."),
    ("negative-allowed", "foreign-block-refused", _checked("""seen = set()
        for block in blocks:
            if block >= self.num_blocks:
                raise ForeignBlockError(f"{block} is not a block of this pool")
            if block >= 0 and (block not in self._held or block in seen):
                raise DoubleFreeError(f"{block} is free")
            seen.add(block)
        self._held -= seen
        super().free(blocks)"""),
     "Only the upper end is checked; a negative id passes and, as a Python index, means a block at the end."),
    ("upper-off-by-one", "foreign-block-refused", _checked("""seen = set()
        for block in blocks:
            if not 0 <= block <= self.num_blocks:
                raise ForeignBlockError(f"{block} is not a block of this pool")
            if block < self.num_blocks and (block not in self._held or block in seen):
                raise DoubleFreeError(f"{block} is free")
            seen.add(block)
        self._held -= seen
        super().free(blocks)"""),
     "The id num_blocks is one past the last block, and the comparison lets it through."),
    ("frees-while-checking", "refused-free-changes-nothing", _checked("""for block in blocks:
            if not 0 <= block < self.num_blocks:
                raise ForeignBlockError(f"{block} is not a block of this pool")
            if block not in self._held:
                raise DoubleFreeError(f"{block} is free")
            self._held.remove(block)
            super().free([block])"""),
     "Each block is returned as soon as it was found good, so those before the bad one are gone when the call fails."),
    ("forgets-while-checking", "refused-free-changes-nothing", _checked("""for block in blocks:
            if not 0 <= block < self.num_blocks:
                raise ForeignBlockError(f"{block} is not a block of this pool")
            if block not in self._held:
                raise DoubleFreeError(f"{block} is free")
            self._held.remove(block)
        super().free(blocks)"""),
     "The record of who holds what changes during the check, so after a refusal good blocks can never be returned."),
    ("frees-then-checks", "refused-free-changes-nothing", _checked("""blocks = list(blocks)
        super().free(blocks)
        seen = set()
        for block in blocks:
            if not 0 <= block < self.num_blocks:
                raise ForeignBlockError(f"{block} is not a block of this pool")
            if block not in self._held or block in seen:
                raise DoubleFreeError(f"{block} is free")
            seen.add(block)
        self._held -= seen"""),
     "The pool below takes the blocks back before anything was checked."),
    ("frees-while-checking-double", "refused-free-changes-nothing", _checked(_FOREIGN + """
        if len(set(blocks)) < len(blocks):
            raise DoubleFreeError("named twice")
        for block in blocks:
            if block not in self._held:
                raise DoubleFreeError(f"{block} is free")
            self._held.remove(block)
            super().free([block])"""),
     "Foreign ids are looked for first, but blocks are returned while the search for free ones goes on."),
    ("forgets-while-checking-double", "refused-free-changes-nothing", _checked(_FOREIGN + """
        if len(set(blocks)) < len(blocks):
            raise DoubleFreeError("named twice")
        for block in blocks:
            if block not in self._held:
                raise DoubleFreeError(f"{block} is free")
            self._held.remove(block)
        super().free(blocks)"""),
     "Blocks that stood before the bad one are no longer known to be held."),
    ("returns-the-error", "double-free-refused", _checked("""for block in blocks:
            if not 0 <= block < self.num_blocks:
                return ForeignBlockError(block)
            if block not in self._held:
                return DoubleFreeError(block)
        self._held -= set(blocks)
        super().free(blocks)"""),
     "An error that is returned is a value like any other; nobody looks at it."),
    ("value-error", "double-free-refused", _checked(_FOREIGN + """            if block not in self._held:
                raise ValueError(f"{block} is free")
        self._held -= set(blocks)
        super().free(blocks)"""),
     "The caller waits for DoubleFreeError and does not catch a ValueError."),
    ("first-id-only", "foreign-block-refused", _checked("""if blocks and not 0 <= blocks[0] < self.num_blocks:
            raise ForeignBlockError(blocks[0])
        for block in blocks:
            if block not in self._held or blocks.count(block) > 1:
                raise DoubleFreeError(block)
        self._held -= set(blocks)
        super().free(blocks)"""),
     "Only the first id of the call is compared with the size of the pool."),
    ("refused-allocate-crashes", "legal-calls-still-work", _checked("""seen = set()
        for block in blocks:
            if not 0 <= block < self.num_blocks:
                raise ForeignBlockError(f"{block} is not a block of this pool")
            if block not in self._held or block in seen:
                raise DoubleFreeError(f"{block} is free")
            seen.add(block)
        self._held -= seen
        super().free(blocks)""", allocate="""blocks = super().allocate(n)
        self._held.update(blocks)
        return blocks"""),
     "The pool below answers None when there is no room, and None cannot be added to a set."),
    ("forgets-to-return", "legal-calls-still-work", _checked("""seen = set()
        for block in blocks:
            if not 0 <= block < self.num_blocks:
                raise ForeignBlockError(f"{block} is not a block of this pool")
            if block not in self._held or block in seen:
                raise DoubleFreeError(f"{block} is free")
            seen.add(block)
        self._held -= seen
        super().free(blocks)""", allocate="""blocks = super().allocate(n)
        if blocks is not None:
            self._held.update(blocks)"""),
     "The blocks are recorded and then dropped: allocate ends without returning them."),
    ("remembers-only-last", "legal-calls-still-work", _checked("""seen = set()
        for block in blocks:
            if not 0 <= block < self.num_blocks:
                raise ForeignBlockError(f"{block} is not a block of this pool")
            if block not in self._held or block in seen:
                raise DoubleFreeError(f"{block} is free")
            seen.add(block)
        self._held -= seen
        super().free(blocks)""", allocate="""blocks = super().allocate(n)
        if blocks is not None:
            self._held = set(blocks)
        return blocks"""),
     "The set is replaced at every allocation, so blocks of earlier requests look free."),
]

_LEAKS = [
    ("ignores-free", "free-is-not-lost", "held = {b for t in tables for b in t}\n"
     "    return [b for b in range(num_blocks) if b not in held]",
     "A block that nobody holds may simply be free; only what is neither is lost."),
    ("ignores-tables", "held-is-not-lost", "return [b for b in range(num_blocks) if b not in set(free_blocks)]",
     "A block in a table is in use, even though it is not free."),
    ("first-table-only", "held-is-not-lost", "known = set(free_blocks) | set(tables[0] if tables else [])\n"
     "    return [b for b in range(num_blocks) if b not in known]",
     "Only the first table is read; the others hold blocks too."),
    ("last-table-wins", "held-is-not-lost", "held = set()\n    for t in tables:\n        held = set(t)\n"
     "    return [b for b in range(num_blocks) if b not in held and b not in free_blocks]",
     "Each table replaces what the ones before it held."),
    ("only-counts", "lost-blocks-are-found", "return num_blocks - len(free_blocks) - sum(len(t) for t in tables)",
     "The number of lost blocks does not say which they are, and shared blocks are counted twice."),
    ("last-block-forgotten", "lost-blocks-are-found", "known = set(free_blocks).union(*tables)\n"
     "    return [b for b in range(num_blocks - 1) if b not in known]",
     "The ids run to num_blocks - 1; range must stop after that one and not before it."),
    ("first-block-forgotten", "lost-blocks-are-found", "known = set(free_blocks).union(*tables)\n"
     "    return [b for b in range(1, num_blocks) if b not in known]",
     "Block 0 is a block like every other."),
    ("up-to-highest-known", "lost-blocks-are-found", "known = set(free_blocks).union(*tables)\n"
     "    return [b for b in range(max(known, default=-1)) if b not in known]",
     "The search ends at the highest id that somebody knows, so a lost block above it is missed."),
    ("returns-set", "lost-blocks-are-found", "return set(range(num_blocks)) - set(free_blocks).union(*tables)",
     "A set has no order; the answer is a list."),
    ("descending", "ascending-and-once", "known = set(free_blocks).union(*tables)\n"
     "    return [b for b in reversed(range(num_blocks)) if b not in known]",
     "The blocks are the right ones, listed from the highest down."),
    ("once-per-table", "ascending-and-once", "lost = []\n    everything = set(free_blocks).union(*tables)\n"
     "    for t in tables or [[]]:\n        lost += [b for b in range(num_blocks) if b not in everything]\n"
     "    return lost",
     "The search runs once for each table, so every lost block is named several times."),
    ("shared-is-lost", "held-is-not-lost", "count = {}\n    for t in tables:\n        for b in t:\n"
     "            count[b] = count.get(b, 0) + 1\n"
     "    return [b for b in range(num_blocks) if count.get(b, 0) != 1 and b not in free_blocks]",
     "A block in two tables is shared, and held all the same."),
    ("default-argument", "lost-blocks-are-found", "known.update(free_blocks)\n    for t in tables:\n"
     "        known.update(t)\n    return [b for b in range(num_blocks) if b not in known]",
     "The default set is made once and remembers what earlier calls put into it."),
    ("pairs", "lost-blocks-are-found", "known = set(free_blocks).union(*tables)\n"
     "    return [(b, 'lost') for b in range(num_blocks) if b not in known]",
     "The answer is a list of ids, without anything beside them."),
    ("sorted-as-text", "ascending-and-once", "known = set(free_blocks).union(*tables)\n"
     "    return sorted((b for b in range(num_blocks) if b not in known), key=str)",
     "As texts, 10 comes before 2."),
    ("none-for-none", "held-is-not-lost", "known = set(free_blocks).union(*tables)\n"
     "    return [b for b in range(num_blocks) if b not in known] or None",
     "Nothing lost is an empty list; whoever loops over the answer cannot loop over None."),
    ("returns-in-the-loop", "lost-blocks-are-found", "known = set(free_blocks)\n    for t in tables:\n"
     "        known.update(t)\n        return [b for b in range(num_blocks) if b not in known]\n    return []",
     "The return stands inside the loop, so it ends after the first table."),
    ("removes-while-iterating", "held-is-not-lost", "left = list(range(num_blocks))\n    for b in left:\n"
     "        if b in free_blocks or any(b in t for t in tables):\n            left.remove(b)\n    return left",
     "Taking elements out of the list that is being looped over skips the ones that follow them."),
    ("mutates-input", "changed-inputs", "for t in tables:\n        free_blocks.extend(t)\n"
     "    free_blocks.sort()\n    return [b for b in range(num_blocks) if b not in free_blocks]",
     "The caller's own list of free blocks is filled with held ones and is wrong from then on."),
]

MUTANTS = [
    *(Mutant("blocks_needed", name, breaks, why, _needed(body)) for name, breaks, body, why in _NEEDED),
    *(Mutant("BlockPool", name, breaks, why, source) for name, breaks, source, why in _POOL),
    *(Mutant("CheckedPool", name, breaks, why, source) for name, breaks, source, why in _CHECKED),
    *(Mutant("find_leak", name, breaks, why, _leak(body)) for name, breaks, body, why in _LEAKS),
]
MUTANTS = [replace(m, source=m.source.replace("tables):", "tables, known=set()):"))
           if (m.exercise, m.name) == ("find_leak", "default-argument") else m for m in MUTANTS]

RIGHT = [
    Right("blocks_needed", "divmod",
          _needed("full, rest = divmod(num_tokens, block_size)\n    return full + (rest > 0)")),
    Right("blocks_needed", "loop",
          _needed("n = 0\n    while n * block_size < num_tokens:\n        n += 1\n    return n")),
    Right("blocks_needed", "steps-of-a-range", _needed("return len(range(0, num_tokens, block_size))")),
    Right("blocks_needed", "lambda", "blocks_needed = lambda t, b: -(-t // b)\n"),
    Right("blocks_needed", "float-ceil", "import math\n" + _needed("return math.ceil(num_tokens / block_size)")),
    Right("blocks_needed", "add-and-divide", _needed("return (num_tokens + block_size - 1) // block_size")),
    Right("blocks_needed", "counting", _needed("n = num_tokens // block_size\n"
                                              "    while n * block_size < num_tokens:\n        n += 1\n    return n")),
    Right("BlockPool", "stack", _pool(allocate="""if n > len(self._free):
            return None
        return [self._free.pop() for _ in range(n)]""", free="self._free += list(blocks)")),
    Right("BlockPool", "deque", "from collections import deque\n\n" + _pool(
        init="self.queue = deque(range(num_blocks))", count="return len(self.queue)",
        allocate="""return None if n > len(self.queue) else [self.queue.popleft() for _ in range(n)]""",
        free="for b in blocks:\n            self.queue.append(b)")),
    Right("BlockPool", "bitmap", _pool(
        init="self.used = [False] * num_blocks", count="return self.used.count(False)",
        allocate="""ids = [i for i, u in enumerate(self.used) if not u][:n]
        if len(ids) < n:
            return None
        for i in ids:
            self.used[i] = True
        return ids""", free="for b in blocks:\n            self.used[b] = False")),
    Right("BlockPool", "set-and-rollback", _pool(
        init="self._available = set(range(num_blocks))", count="return len(self._available)",
        allocate="""taken = []
        while len(taken) < n and self._available:
            taken.append(self._available.pop())
        if len(taken) < n:
            self._available.update(taken)
            return None
        return taken""", free="self._available.update(blocks)")),
    Right("BlockPool", "heap-of-lowest", "import heapq\n\n" + _pool(
        allocate="""if len(self._free) < n:
            return None
        return [heapq.heappop(self._free) for _ in range(n)]""",
        free="for b in blocks:\n            heapq.heappush(self._free, b)")),
    Right("CheckedPool", "counter-of-mentions", "from collections import Counter\n\n" + _checked(
        """blocks = list(blocks)
        for block, times in Counter(blocks).items():
            if block < 0 or block >= self.num_blocks:
                raise ForeignBlockError(str(block))
            if times > 1 or block not in self._held:
                raise DoubleFreeError(str(block))
        self._held.difference_update(blocks)
        super().free(blocks)""")),
    Right("CheckedPool", "flags", _checked("""trial = list(self.out)
        for block in blocks:
            if block not in range(self.num_blocks):
                raise ForeignBlockError(str(block))
            if not trial[block]:
                raise DoubleFreeError(str(block))
            trial[block] = False
        self.out = trial
        super().free(blocks)""", init="self.out = [False] * num_blocks", allocate="""ids = super().allocate(n)
        for i in ids or ():
            self.out[i] = True
        return ids""")),
    Right("find_leak", "set-arithmetic", _leak("rest = set(range(num_blocks)) - set(free_blocks)\n"
                                              "    for t in tables:\n        rest -= set(t)\n    return sorted(rest)")),
    Right("find_leak", "flags", _leak("seen = [False] * num_blocks\n    for b in free_blocks:\n        seen[b] = True\n"
                                     "    for t in tables:\n        for b in t:\n            seen[b] = True\n"
                                     "    return [b for b, s in enumerate(seen) if not s]")),
    Right("BlockPool", "deque-slots", '''from collections import deque
class BlockPool:
    __slots__ = ("num_blocks", "_q")
    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._q = deque(range(num_blocks))
    num_free = property(lambda self: len(self._q))
    allocate = lambda self, n: None if n > len(self._q) else [self._q.popleft() for _ in range(n)]
    free = lambda self, blocks: self._q.extend(blocks)
'''),
    Right("BlockPool", "bitmask", '''class BlockPool:
    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        self.mask = (1 << num_blocks) - 1
    @property
    def num_free(self):
        return bin(self.mask).count("1")
    def allocate(self, n):
        if self.num_free < n: return None
        out = []
        while len(out) < n:
            low = self.mask & -self.mask
            out.append(low.bit_length() - 1)
            self.mask ^= low
        return out
    def free(self, blocks):
        for b in blocks: self.mask |= 1 << b
'''),
    Right("BlockPool", "numpy-flags", '''import numpy as np
class BlockPool:
    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        self.is_free = np.ones(num_blocks, dtype=bool)
    @property
    def num_free(self):
        return self.is_free.sum()
    def allocate(self, n):
        ids = np.flatnonzero(self.is_free)
        if len(ids) < n: return None
        ids = ids[:n]
        self.is_free[ids] = False
        return list(ids)
    def free(self, blocks):
        self.is_free[np.array(blocks, dtype=int)] = True
'''),
    Right("BlockPool", "dataclass-future", '''from __future__ import annotations
from dataclasses import dataclass, field
@dataclass
class BlockPool:
    """Pool."""
    num_blocks: int
    _free: list[int] = field(default_factory=list)
    def __post_init__(self) -> None:
        self._free = list(range(self.num_blocks))
    @property
    def num_free(self) -> int:
        return len(self._free)
    def allocate(self, n: int) -> list[int] | None:
        if n > self.num_free: return None
        taken, self._free = self._free[:n], self._free[n:]
        return taken
    def free(self, blocks: list[int]) -> None:
        self._free = self._free + list(blocks)
'''),
    Right("BlockPool", "linked-list", '''class _Node:
    def __init__(self, id, next): self.id, self.next = id, next
class BlockPool:
    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        self.head = None
        self.num_free = 0
        self.free(range(num_blocks))
    def allocate(self, n):
        if n > self.num_free: return None
        out = []
        for _ in range(n):
            out.append(self.head.id); self.head = self.head.next
        self.num_free -= n
        return out
    def free(self, blocks):
        for b in blocks:
            self.head = _Node(b, self.head)
            self.num_free += 1
'''),
    Right("BlockPool", "tuple-top-first", '''class BlockPool:
    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        self.stock = tuple(range(num_blocks))
    @property
    def num_free(self): return len(self.stock)
    def allocate(self, n):
        if n > len(self.stock): return None
        cut = len(self.stock) - n
        out, self.stock = self.stock[cut:], self.stock[:cut]
        return out
    def free(self, blocks): self.stock += tuple(blocks)
'''),
    Right("BlockPool", "generator-based", '''class BlockPool:
    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        self._used = set()
    def _ids(self):
        for i in range(self.num_blocks):
            if i not in self._used:
                yield i
    @property
    def num_free(self): return sum(1 for _ in self._ids())
    def allocate(self, n):
        from itertools import islice
        out = list(islice(self._ids(), n))
        if len(out) < n: return None
        self._used.update(out)
        return out
    def free(self, blocks):
        self._used -= set(blocks)
'''),
    Right("BlockPool", "random-order", '''import random
class BlockPool:
    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        self._free = set(range(num_blocks))
    @property
    def num_free(self): return len(self._free)
    def allocate(self, n):
        if n > len(self._free): return None
        out = random.sample(sorted(self._free), n)
        self._free -= set(out)
        return out
    def free(self, blocks): self._free |= set(blocks)
'''),
    Right("BlockPool", "super-helper", '''from typing import List, Optional, Iterable, NamedTuple
class Stats(NamedTuple):
    free: int
class _Base:
    def __init__(self, size: int): self._size = size; self._ids = {i: None for i in range(size)}
class BlockPool(_Base):
    @property
    def num_blocks(self) -> int: return self._size
    @property
    def num_free(self) -> int: return Stats(len(self._ids)).free
    def allocate(self, n: int) -> Optional[List[int]]:
        if (have := len(self._ids)) < n:
            return None
        return [self._ids.popitem()[0] for _ in range(n)]
    def free(self, blocks: Iterable[int]) -> None:
        for b in blocks: self._ids[b] = None
'''),
    Right("BlockPool", "locked-with-checks", '''import threading
class BlockPool:
    def __init__(self, num_blocks):
        if num_blocks < 0: raise ValueError("negative")
        self.num_blocks = num_blocks
        self._lock = threading.Lock()
        self._free = [True] * num_blocks
        self._n = num_blocks
    @property
    def num_free(self):
        with self._lock: return self._n
    def allocate(self, n):
        if n < 0: raise ValueError(n)
        with self._lock:
            if n > self._n: return None
            out = []
            for i, f in enumerate(self._free):
                if len(out) == n: break
                if f:
                    self._free[i] = False
                    out.append(i)
            self._n -= n
            return out
    def free(self, blocks):
        with self._lock:
            for b in blocks:
                assert not self._free[b]
                self._free[b] = True
                self._n += 1
    def __repr__(self): return f"BlockPool({self._n}/{self.num_blocks})"
    def __len__(self): return self._n
    def __eq__(self, other): raise RuntimeError
    __hash__ = None
'''),
    Right("CheckedPool", "standalone", '''class CheckedPool:
    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        self._state = [0] * num_blocks
    @property
    def num_free(self): return self._state.count(0)
    def allocate(self, n):
        f = [i for i, s in enumerate(self._state) if not s]
        if n > len(f): return None
        for i in f[:n]: self._state[i] = 1
        return f[:n]
    def free(self, blocks):
        if any(not 0 <= b < self.num_blocks for b in blocks): raise ForeignBlockError("x")
        if len(set(blocks)) != len(blocks) or not all(self._state[b] for b in blocks): raise DoubleFreeError("y")
        for b in blocks: self._state[b] = 0
'''),
    Right("CheckedPool", "composition", '''class CheckedPool(BlockPool):
    def __init__(self, num_blocks):
        self.inner = BlockPool(num_blocks)
        self.num_blocks = num_blocks
        self.out = []
    @property
    def num_free(self): return self.inner.num_free
    def allocate(self, n):
        r = self.inner.allocate(n)
        if r is None: return r
        self.out.extend(r)
        return r
    def free(self, blocks):
        left = self.out[:]
        for b in blocks:
            if b not in range(self.num_blocks): raise ForeignBlockError(b)
            try: left.remove(b)
            except ValueError: raise DoubleFreeError(b) from None
        self.out = left
        self.inner.free(blocks)
'''),
    Right("CheckedPool", "numpy", '''import numpy as np
class CheckedPool(BlockPool):
    def __init__(self, num_blocks):
        super().__init__(num_blocks)
        self.held = np.zeros(num_blocks, dtype=bool)
    def allocate(self, n):
        got = super().allocate(n)
        if got is not None: self.held[np.array(got, dtype=int)] = True
        return got
    def free(self, blocks):
        ids = np.array(blocks, dtype=int)
        if ((ids < 0) | (ids >= self.num_blocks)).any(): raise ForeignBlockError(str(ids))
        if len(np.unique(ids)) < len(ids) or not self.held[ids].all(): raise DoubleFreeError(str(ids))
        self.held[ids] = False
        super().free(blocks)
'''),
    Right("CheckedPool", "rollback", '''class CheckedPool(BlockPool):
    def __init__(self, num_blocks):
        super().__init__(num_blocks)
        self._held = frozenset()
    def allocate(self, n):
        blocks = super().allocate(n)
        self._held |= frozenset(blocks or ())
        return blocks
    def free(self, blocks):
        before = self._held
        try:
            for b in blocks:
                if not 0 <= b < self.num_blocks: raise ForeignBlockError(f"{b}")
                if b not in self._held: raise DoubleFreeError(f"{b}")
                self._held -= {b}
        except Exception:
            self._held = before
            raise
        super().free(blocks)
'''),
    Right("CheckedPool", "sub-errors", '''class NeverAllocated(DoubleFreeError): pass
class CheckedPool(BlockPool):
    def __init__(self, num_blocks):
        super().__init__(num_blocks)
        self.owner = dict.fromkeys(range(num_blocks), "pool")
    def allocate(self, n):
        out = super().allocate(n)
        if out is None: return None
        self.owner.update(dict.fromkeys(out, "user"))
        return out
    def free(self, blocks):
        unknown = [b for b in blocks if b not in self.owner]
        if unknown: raise ForeignBlockError(f"unknown {unknown}")
        for i, b in enumerate(blocks):
            if self.owner[b] == "pool" or b in blocks[:i]: raise NeverAllocated(b)
        super().free(blocks)
        self.owner.update(dict.fromkeys(blocks, "pool"))
'''),
    Right("find_leak", "chain", '''from itertools import chain
def find_leak(num_blocks, free_blocks, tables):
    return sorted(set(range(num_blocks)).difference(free_blocks, chain.from_iterable(tables)))
'''),
    Right("find_leak", "numpy", '''import numpy as np
def find_leak(num_blocks, free_blocks, tables):
    m=np.ones(num_blocks,dtype=bool)
    m[np.array(free_blocks,dtype=int)]=False
    for t in tables: m[np.array(t,dtype=int)]=False
    return list(np.flatnonzero(m))
'''),
    Right("find_leak", "counter", '''from collections import Counter
def find_leak(num_blocks, free_blocks, tables):
    c=Counter(free_blocks)
    for t in tables: c.update(t)
    return [b for b in range(num_blocks) if not c[b]]
'''),
    Right("find_leak", "discard", '''def find_leak(num_blocks, free_blocks, tables):
    lost=set(range(num_blocks))
    for b in free_blocks: lost.discard(b)
    for t in tables:
        for b in t: lost.discard(b)
    return sorted(lost)
'''),
]
