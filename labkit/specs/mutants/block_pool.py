"""Wrong and right implementations for lesson 04."""

from __future__ import annotations

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
    ("float-ceil", "a-started-block-counts", "import math\n    return math.ceil(num_tokens / block_size)",
     "A float has 53 bits: for large numbers the quotient is rounded before it is rounded up."),
    ("float-result", "a-started-block-counts", "import math\n    return float(math.ceil(num_tokens / block_size))",
     "A number of blocks is counted, so it is a whole number and not a float."),
    ("swapped", "a-started-block-counts", "return -(-block_size // num_tokens) if num_tokens else 0",
     "The two numbers stand in each other's place: tokens are divided by the block size."),
    ("short-by-one", "a-started-block-counts", "return (num_tokens + block_size - 2) // block_size if num_tokens else 0",
     "Adding block_size - 2 loses the block that holds exactly one token."),
    ("adds-block-size", _SPARE, "return (num_tokens + block_size) // block_size if num_tokens else 0",
     "Adding a whole block before the division gives full blocks one too many."),
    ("only-sixteen", _SPARE, "return -(-num_tokens // 16)",
     "The block size is a parameter; 16 is only the usual one."),
    ("forgets-return", "a-started-block-counts", "needed = -(-num_tokens // block_size)",
     "The number is computed and then dropped: the function ends without a return."),
    ("remainder", "a-started-block-counts",
     "return num_tokens // block_size + num_tokens % block_size",
     "What is left over needs one block together, not one block for each token."),
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

RIGHT = [
    Right("blocks_needed", "divmod", _needed("full, rest = divmod(num_tokens, block_size)\n    return full + (rest > 0)")),
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
]
