# %% [markdown] id="gallery"
# # The widgets, in every state
#
# For whoever works on them: one cell a state. Look at each in the light and in the dark theme, narrow and wide, with the
# keyboard alone. `benchmarks/widgets.py` measures the large ones in the page, and `tests/browser/test_widgets.py` opens
# this notebook.

# %% id="setup"
import random

from labkit.cache import radix_tree
from labkit.cache.block_pool import BlockPool
from labkit.cache.block_table import BlockTable
from labkit.cache.contiguous import FirstFit, ReserveMax
from labkit.engine import Parts, kv_cache_manager
from labkit.cache.radix_node import RadixNode
from labkit.observe.events import EventLog, Kind
from labkit.observe.recorder import record
from labkit.observe.trees import TreeLog
from labkit.widgets import (
    CheckReport,
    EngineMap,
    Layout,
    MemoryMap,
    OpeningCard,
    PagePlay,
    PageTable,
    ProgressOverview,
    RadixTree,
)
from labkit.widgets.engine_map import map_data

# %% [markdown] id="page-table"
# ## Page table
#
# Shared, copied and cached blocks come with later lessons; here their events are written by hand.

# %% id="page-table-fork"
fork = EventLog(num_blocks=48, block_size=16)
for block in (2, 10, 11, 24, 25, 36):
    fork.begin(f"prompt of E -> block {block} stays findable")
    fork.emit(Kind.ALLOCATE, "E", block, 0)
    fork.emit(Kind.FILL, "E", block, 16)
    fork.emit(Kind.STORED, None, block)
    fork.emit(Kind.FREE, "E", block, 0)


def grow(seq: str, blocks: list[int], tokens: int) -> None:
    """One step for each block of a sequence of `tokens` tokens."""
    for index, block in enumerate(blocks):
        fork.begin(f"append({seq}) -> a new block: {block}")
        fork.emit(Kind.ALLOCATE, seq, block, index)
        fork.emit(Kind.FILL, seq, block, min(16, tokens - 16 * index))


grow("A", [7, 21, 3, 30], 55)
fork.begin("fork(A, B) -> B reads blocks 7, 21 and 3 with A")
for index, block in enumerate((7, 21, 3)):
    fork.emit(Kind.SHARE, "B", block, index)
fork.begin("append(B) -> copy-on-write: block 3 is shared with A, the token goes to new block 12")
fork.emit(Kind.ALLOCATE, "B", 12, 2)
fork.emit(Kind.COPY, "B", 12, 3)
fork.emit(Kind.FREE, "B", 3, 1)
fork.emit(Kind.FILL, "B", 12, 13)
grow("C", [40, 15], 20)
grow("D", [33, 8, 26, 44, 19], 80)
fork.begin("reuse(F) -> blocks 2 and 10 were computed before")
fork.emit(Kind.REUSE, "F", 2, 0)
fork.emit(Kind.REUSE, "F", 10, 1)
fork.begin("evict -> block 11 makes room")
fork.emit(Kind.REMOVED, None, 11)
fork.begin("release(C) -> blocks 15 and 40 back in the pool")
fork.emit(Kind.FREE, "C", 15, 0)
fork.emit(Kind.FREE, "C", 40, 0)

PageTable(fork, step=12, subtitle="Fork of A at block 2: B reads blocks 7 and 21 with A, and writes its own block 12.")

# %% id="page-table-end"
PageTable(fork, title="The same, at the end of its log")

# %% id="page-table-recorded"
log = EventLog(num_blocks=16, block_size=4)
pool = record(BlockPool(16), log)
tables = {name: record(BlockTable(pool, 4), log, name) for name in "ABC"}
for name, tokens in (("A", 10), ("B", 18), ("C", 7), ("A", 6), ("C", 40)):
    tables[name].append(tokens)
tables["B"].release()
tables["C"].append(3)
PageTable(log, title="Recorded from a real pool", subtitle="One request in it was refused.")

# %% id="page-table-nobody"
plain_log = EventLog(num_blocks=4)
plain = record(BlockPool(4), plain_log)
held = plain.allocate(3)
plain.allocate(2)
plain.free(held[:1])
PageTable(plain_log, title="A pool alone", subtitle="Blocks are held, but by no sequence with a name.")

# %% id="page-table-empty"
PageTable(EventLog(num_blocks=24, block_size=16), title="Before anything happened")

# %% id="page-table-zero"
PageTable(EventLog(num_blocks=0, block_size=16), title="A pool of no blocks")

# %% id="page-table-one"
one = EventLog(num_blocks=1, block_size=16)
one.begin("append(A) -> the only block")
one.emit(Kind.ALLOCATE, "A", 0, 0)
one.emit(Kind.FILL, "A", 0, 3)
PageTable(one, title="One block")

# %% id="page-table-long-text"
wordy = EventLog(num_blocks=12, block_size=8)
wordy.begin(
    "append(a-request-with-a-very-long-name, 5) -> tokens 0 to 4 need a new block, and this sentence goes on for long "
    "enough to show what happens to one that does not fit on a single line of the card, <b>even with markup in it</b>"
)
wordy.emit(Kind.ALLOCATE, "a-request-with-a-very-long-name", 5, 0)
wordy.emit(Kind.FILL, "a-request-with-a-very-long-name", 5, 5)
wordy.begin("append(request-17)")
wordy.emit(Kind.ALLOCATE, "request-17", 6, 0)
wordy.emit(Kind.FILL, "request-17", 6, 8)
PageTable(wordy, title="Long names, long sentences")

# %% id="page-table-wrong"
wrong = EventLog(num_blocks=6, block_size=4)
for call, blocks in (("allocate(3)", (0, 1, 2)), ("allocate(2)", (2, 3)), ("allocate(2)", (9, -1))):
    wrong.begin(f"{call} -> {list(blocks)}")
    for block in blocks:
        wrong.emit(Kind.ALLOCATE, None, block)
wrong.begin("free([0, 0])")
wrong.emit(Kind.FREE, None, 0, 0)
wrong.emit(Kind.FREE, None, 0, 0)
PageTable(wrong, title="A wrong pool", subtitle="Block 2 was given out twice, and two blocks do not exist.")


# %% id="busy-log"
def busy_log(num_blocks: int, operations: int, sequences: int, seed: int = 4711, block_size: int = 16) -> EventLog:
    """A log of requests that come, grow and go; some of what they leave stays cached."""
    draw = random.Random(seed)
    log = EventLog(num_blocks=num_blocks, block_size=block_size)
    free = list(range(num_blocks))
    draw.shuffle(free)
    tables: dict[str, list[int]] = {}
    longest = 1.6 * num_blocks / sequences
    for _ in range(operations):
        name = f"r{draw.randrange(sequences)}"
        table = tables.setdefault(name, [])
        if table and (draw.random() < 0.02 or len(table) > longest):
            log.begin(f"release({name}) -> {len(table)} blocks back in the pool")
            for block in reversed(table):
                if draw.random() < 0.3:
                    log.emit(Kind.STORED, None, block)
                log.emit(Kind.FREE, name, block, 0)
            free += reversed(table)
            tables[name] = []
            continue
        wanted = draw.randint(1, 5)
        if len(free) < wanted:
            log.begin(f"append({name}) -> False: {wanted} blocks are wanted, {len(free)} are free")
            log.emit(Kind.REFUSE, name, arg=wanted)
            continue
        log.begin(f"append({name}, {wanted * block_size}) -> {wanted} new blocks")
        for _ in range(wanted):
            block = free.pop(0)
            log.emit(Kind.ALLOCATE, name, block, len(table))
            log.emit(Kind.FILL, name, block, draw.randint(1, block_size))
            table.append(block)
    return log


# %% id="page-table-hundreds"
PageTable(busy_log(300, 160, 12), title="300 blocks, 12 sequences")

# %% id="page-table-thousand"
PageTable(busy_log(1_000, 800, 40), title="1,000 blocks, 40 sequences")

# %% id="page-table-large"
PageTable(busy_log(10_000, 20_000, 110), title="10,000 blocks, 110 sequences, 20,000 operations")

# %% id="page-table-live"
live = EventLog(num_blocks=64, block_size=4)
live_pool = record(BlockPool(64), live)
live_tables = {name: record(BlockTable(live_pool, 4), live, name) for name in "ABC"}
board = PageTable(live, live=True, title="Live", subtitle="The next cell makes it grow.")
board

# %% id="page-table-live-grow"
for turn in range(60):
    live_tables["ABC"[turn % 3]].append(2 if turn % 7 else 5)
board.close_live()

# %% [markdown] id="page-play"
# ## Page play
#
# A pool to play with, and a page table: each button is one operation in the kernel.

# %% id="page-play-pool"
reference = Parts(yours=False)
PagePlay(parts=reference)

# %% id="page-play-full"
played = PagePlay(tables=True, parts=reference)
for _ in range(4):
    played.do("admit")
played

# %% id="page-play-twice"
twice = PagePlay(parts=reference)
twice.do("end_twice", "A")
for _ in range(4):
    twice.do("admit")
twice

# %% id="page-play-refused"
guarded = PagePlay(pool="CheckedPool", parts=reference)
guarded.do("end_twice", "A")
guarded

# %% id="page-play-empty"
PagePlay(1, admitted=0, parts=reference)

# %% [markdown] id="memory-map"
# ## Memory map

# %% id="memory-map-typical"
WORKLOAD = [("A", 96, 40), ("B", 30, 24), ("C", 64, 64), ("D", 50, 18), ("E", 120, 70), ("F", 20, 20)]


def run(make, slots: int, last: int = 120) -> EventLog:
    """The workload on one allocator: prompts arrive, grow, every other one leaves, one more wants in."""
    log = EventLog(num_slots=slots)
    memory = record(make(slots), log)
    placed = []
    for name, tokens, final in WORKLOAD:
        if memory.reserve(name, tokens) is not None:
            placed.append((name, final))
    for share in (0.3, 0.6, 1.0):
        for name, final in placed:
            memory.use(name, max(1, int(final * share)))
    for name, _ in placed[::2]:
        memory.release(name)
    memory.reserve("G", last)
    return log


paged_log = EventLog(num_blocks=32, block_size=16)
paged_pool = record(BlockPool(32), paged_log)
paged = {name: record(BlockTable(paged_pool, 16), paged_log, name) for name, _, _ in WORKLOAD}
done = dict.fromkeys(paged, 0)
for share in (0.3, 0.6, 1.0):
    for name, _, final in WORKLOAD:
        goal = max(1, int(final * share))
        paged[name].append(goal - done[name])
        done[name] = goal
for name in list(paged)[::2]:
    paged[name].release()

MemoryMap(
    Layout("Reserve to maximum (128)", run(lambda slots: ReserveMax(slots, 128), 512)),
    Layout("First fit", run(FirstFit, 512)),
    Layout("Paged, 16 tokens per block", paged_log),
    step=14,
    subtitle="Six requests in 512 slots, three ways.",
)

# %% id="memory-map-hole"
MemoryMap(Layout("First fit", run(FirstFit, 420, last=150)), title="A request that no hole fits")

# %% id="memory-map-large"
MemoryMap(Layout("Paged, 8,192 slots", busy_log(512, 600, 30)), title="8,192 slots")

# %% id="memory-map-empty"
MemoryMap(title="No memory at all")

# %% [markdown] id="radix-tree"
# ## Radix tree
#
# The tree of lesson 08, one letter per token, four letters per page; the log looks at it after each operation.


# %% id="radix-tree-story"
PAGE = 4
prompts = {
    "A": b"You are a helpful assistant. What is a page table?  ",
    "B": b"You are a helpful assistant. What is a block? ",
    "C": b"Translate into German: good morning ",
    "D": b"You are a helpful assistant. Why? ",
}
top, tree_log, ends = RadixNode(), TreeLog(page_bytes=PAGE), {}
tree_log.snapshot(top, "an empty tree")
for now, (name, prompt) in enumerate(prompts.items(), 1):
    prompt = prompt[: len(prompt) // PAGE * PAGE]
    node, pages, found = radix_tree.match(top, prompt, PAGE)
    sentence = f"match({name}) -> {len(found)} of {len(prompt) // PAGE} pages are there"
    tree_log.snapshot(top, sentence, path=[node], matched_pages=len(found))
    fresh = range(100 * now, 100 * now + len(prompt) // PAGE - len(found))
    ends[name], _ = radix_tree.insert(top, prompt, [*found, *fresh], PAGE)
    tree_log.snapshot(top, f"insert({name}) -> new pages: {len(fresh)}", path=[ends[name]])
    radix_tree.lock(ends[name], now)
    tree_log.snapshot(top, f"lock({name})", path=[ends[name]])
for name in "AC":
    now += 1
    radix_tree.unlock(ends[name], now)
    tree_log.snapshot(top, f"unlock({name})", note=f"What only {name} held stays cached until the room is needed.")
for name, count in (("A", 2), ("A", 9), ("C", 9)):
    blocks = radix_tree.evict_leaf(ends[name], count, PAGE)
    tree_log.snapshot(top, f"evict_leaf(the leaf of {name}, {count}) -> blocks {', '.join(map(str, blocks))}")
RadixTree(tree_log, show=bytes.decode, step=12, subtitle="D leaves the way of A and B inside an edge: it is cut there.")

# %% id="radix-tree-end"
RadixTree(tree_log, show=bytes.decode, title="The same, at the end of its log")

# %% id="radix-tree-managed"
managed = kv_cache_manager(24, 4, prefix_cache="radix")
managed_log = TreeLog(page_bytes=16)
stem = [*range(100, 108)]
for name, prompt in (("A", [*stem, 1, 2, 3, 4, 5]), ("B", [*stem, 6, 7, 8, 9, 1]), ("C", [*range(40, 59)])):
    managed.allocate(name, prompt)
    managed_log.snapshot(managed.cache.root, f"allocate({name}, {len(prompt)} tokens)")
for name, count in (("A", 9), ("C", 7)):
    for token in range(count):
        managed.append(name, token)
    managed_log.snapshot(managed.cache.root, f"append({name}), {count} times -> what is full is added to the tree")
for name in "AC":
    managed.free(name)
    managed_log.snapshot(managed.cache.root, f"free({name})")
managed.allocate("D", [*range(200, 250)])
managed_log.snapshot(managed.cache.root, "allocate(D, 50 tokens) -> pages that nobody locks make room, the ends of leaves first")
RadixTree(managed_log, title="Under the manager", subtitle="Tokens are shown as ids where nobody says otherwise.")

# %% id="radix-tree-empty"
RadixTree(TreeLog(page_bytes=4), title="Before anything happened")

# %% id="radix-tree-broken"
bad_root, bad_log = RadixNode(), TreeLog(page_bytes=4)
bad_leaf, _ = radix_tree.insert(bad_root, b"<b>What</b> is this?", range(5), 4)
bad_log.snapshot(bad_root, "insert -> five pages, five blocks, and <i>markup that stays text</i>", path=[bad_leaf])
bad_leaf.key = bad_leaf.key[:12]
bad_log.snapshot(bad_root, "split -> the key was cut and the blocks were not", note="A wrong tree is shown as it is.")
RadixTree(bad_log, show=bytes.decode, title="A wrong tree")

# %% id="radix-tree-deep"
deep_root, deep_log = RadixNode(), TreeLog(page_bytes=4)
for turn in range(1, 15):
    deep_leaf, _ = radix_tree.insert(deep_root, b"".join(b"t%02d " % i for i in range(turn)), range(turn), 4)
    radix_tree.lock(deep_leaf, turn)
    deep_log.snapshot(deep_root, f"turn {turn} of one chat", path=[deep_leaf])
RadixTree(deep_log, show=bytes.decode, title="A chat of fourteen turns")


# %% id="radix-tree-grown"
def grown(nodes: int, steps: int, seed: int = 4711, page: int = 64) -> TreeLog:
    """A tree of many prompts over shared stems, then `steps` operations: insertions, now and then evictions."""
    draw, root, log, now = random.Random(seed), RadixNode(), TreeLog(page_bytes=page), 0
    stems = [draw.randbytes(page * draw.randint(1, 6)) for _ in range(24)]
    held: list[RadixNode] = []

    def one() -> RadixNode:
        nonlocal now
        now += 1
        stem = draw.choice(stems)
        if draw.random() < 0.25:
            stems.append(stem + draw.randbytes(page * draw.randint(1, 3)))
        prompt = stem[: page * draw.randint(1, len(stem) // page)] + draw.randbytes(page * draw.randint(1, 4))
        node, _ = radix_tree.insert(root, prompt, range(len(prompt) // page), page)
        radix_tree.lock(node, now)
        held.append(node)
        if len(held) > 40:
            radix_tree.unlock(held.pop(0), now)
        return node

    def everything() -> list[RadixNode]:
        found = [root]
        for node in found:
            found += node.children.values()
        return found

    while len(everything()) < nodes:
        one()
    for step in range(steps):
        if step % 5 < 4:
            log.snapshot(root, f"insert, operation {step}", path=[one()])
            continue
        free = [node for node in everything() if node.parent and not node.children and not node.locks]
        for leaf in sorted(free, key=lambda node: node.last_used)[:3]:
            radix_tree.evict_leaf(leaf, 2, page)
        log.snapshot(root, f"evict, operation {step}")
    return log


RadixTree(grown(2001, 100), title="2,000 nodes")

# %% id="radix-tree-whole"
RadixTree(grown(2001, 40), title="2,000 nodes, unfolded", fold=False)

# %% [markdown] id="check-report"
# ## Check report

# %% id="check-report-data"
RULES = [
    ("refused-means-unchanged", "When there is no room, `allocate` returns None and the pool is as it was."),
    ("one-holder", "A block that is held is not handed out again until it was freed."),
    ("count-is-right", "`num_free` is the number of blocks that can be allocated now."),
    ("all-or-nothing", "`allocate(n)` gives n different blocks or None."),
    ("freed-is-free", "What was freed can be allocated again."),
    ("ids-in-range", "Block ids are 0 to num_blocks - 1."),
]


def verdict(word: str, broken: str | None = None, **more) -> dict:
    """A verdict as `labkit.grading.verdict.Verdict.to_dict` gives it."""
    states = {"pass": "held", "fail": "held"}
    rules = [
        {"name": name, "statement": text, "state": "broken" if name == broken else states.get(word, "unknown")}
        for name, text in RULES
    ]
    base = {"lesson": "04_block_pool", "exercise": "BlockPool", "verdict": word, "rule": broken, "kind": "rule"}
    return {**base, "message": "", "counterexample": None, "rules": rules, "mutant": None, "seconds": 0.8, **more}


def line(n: int, label: str, seen: str = "", op: str = "allocate", **more) -> dict:
    """One line of a trace."""
    step = {"n": n, "op": op, "args": {}, "label": label, "seen": seen, "expected": None, "note": "", "broken": False}
    return {**step, **more}


leaky = EventLog(num_blocks=4)
leaky.begin("allocate(3) -> blocks 0, 1, 2")
for block in range(3):
    leaky.emit(Kind.ALLOCATE, None, block)
leaky.begin("allocate(2) -> None: 2 blocks are wanted, 1 is free")
leaky.emit(Kind.REFUSE, None, arg=2)

HINTS = [
    "What does your pool look like after a call that returns None?",
    "Invariant: free blocks and held blocks together are all blocks, before and after every call.",
    "Look before you take:\n    if n > len(self._free):\n        return ____",
]

failed = verdict(
    "fail",
    "refused-means-unchanged",
    message="Block 3 left the pool and nobody holds it.",
    mutant="Blocks were taken one by one until the list was empty, and the ones already taken were not put back.",
    counterexample={
        "setup": "a pool of 4",
        "steps": [
            line(1, "allocate(3)", "[0, 1, 2]"),
            line(2, "allocate(2)", "None", note="right: only 1 is free"),
            line(3, "num_free", "0", op="observe", expected="1", broken=True),
        ],
        "failing": 3,
        "replay": {**leaky.to_data(), "step": leaky.num_steps - 1},
    },
)


def report(data: dict, **more) -> CheckReport:
    """A report whose hints and solution are the ones above."""
    left = iter(HINTS[len(more.get("opened", ())) :])
    return CheckReport(
        data, hints=3, on_hint=lambda: next(left), on_solution=lambda: "class BlockPool:\n    ...", **more
    )


# %% id="check-report-failed"
report(failed)

# %% id="check-report-tree"
report(
    verdict(
        "fail",
        "cut-at-the-page",
        message="The upper part is three pages long and has five blocks.",
        counterexample={
            "setup": "a tree with pages of 4 letters",
            "steps": [
                line(1, "insert(root, b'<b>What</b> is this?', [0, 1, 2, 3, 4], 4)", "(the node, 0)"),
                line(2, "split(the node, 3, 4)", "3 pages, 5 blocks", expected="3 pages, 3 blocks", broken=True),
            ],
            "failing": 2,
            "replay": {**bad_log.to_data(), "step": bad_log.num_steps - 1},
        },
    )
)

# %% id="check-report-hints"
report(failed, opened=HINTS)

# %% id="check-report-mine"
report({**failed, "over": "mine", "printed": "taking 3\ntaking 2\n", "notes": ["Your shortest sequence so far has 3 operations."]})

# %% id="check-report-passed"
DIFF = """--- yours
+++ solution
@@ -3,5 +3,4 @@
 def allocate(self, n):
-    if len(self.free_blocks) < n:
-        return None
+    if n > len(self._free):
+        return None
     return [self._free.popleft() for _ in range(n)]"""
CheckReport(verdict("pass", kind=""), heading="BlockPool", difference=DIFF, next_step="CheckedPool (10 minutes)")

# %% id="check-report-not-written"
report(
    verdict("fail", kind="not-written", message="`allocate` is not written yet: replace `raise NotImplementedError`."),
    heading="BlockPool",
)

# %% id="check-report-syntax"
report(verdict("error", kind="syntax", message="Line 7 cannot be read as Python: '(' was never closed."), heading="BlockPool")

# %% id="check-report-timeout"
looping = {"setup": "a pool of 1", "failing": 1, "replay": None}
looping["steps"] = [line(1, "allocate(2)", "did not come back", broken=True)]
report(
    verdict("timeout", kind="endless-loop", message="`allocate(2)` did not come back within 0.3 s.", counterexample=looping),
    heading="BlockPool",
)

# %% id="check-report-long"
many = [line(n, f"free([{n}, {n + 1}])", "None", op="free") for n in range(1, 19)]
many.append(
    line(
        19,
        "allocate(120, reason='a call with an argument that is much too long to fit beside its result')",
        "[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8]",
        expected="120 different blocks, each between 0 and 127",
        broken=True,
    )
)
report(
    verdict(
        "fail",
        "all-or-nothing",
        message="Every block was handed out twice in one call. " * 3,
        counterexample={"setup": "a pool of 128", "steps": many, "failing": 19, "replay": None},
    )
)

# %% [markdown] id="engine-map"
# ## Engine map

# %% id="engine-map-start"
EngineMap()

# %% id="engine-map-middle"
boxes = map_data()["boxes"]
mine = {"block_pool", "block_table", "scheduler"}
halfway = [{**box, "state": "yours" if box["name"] in mine else box["state"]} for box in boxes]
EngineMap(highlight="block_pool", path="storms", boxes=halfway, links=map_data()["links"])

# %% id="engine-map-done"
EngineMap(path="kernels", boxes=[{**box, "state": "yours"} for box in boxes], links=map_data()["links"])

# %% [markdown] id="opening-card"
# ## Opening card

# %% id="opening-card-typical"
OpeningCard(
    {
        "number": "04",
        "title": "The block pool",
        "part": "I. Memory",
        "symptom": "A server has been up for nine days. Every night it answers fewer requests at once than the night before.",
        "builds": "The part that hands out the blocks of the cache and takes them back, all or nothing.",
        "minutes": 60,
        "lights": "block_pool",
        "questions": 6,
        "exercises": [
            {"id": "blocks_needed", "title": "Blocks needed", "minutes": 5, "stretch": False, "passed": True},
            {"id": "BlockPool", "title": "The pool", "minutes": 12, "stretch": False, "passed": False},
            {"id": "CheckedPool", "title": "The checked pool", "minutes": 10, "stretch": False, "passed": False},
            {"id": "find_leak", "title": "Find the leak", "minutes": 8, "stretch": True, "passed": False},
        ],
    }
)

# %% id="opening-card-bare"
OpeningCard({"number": "00", "title": "Start here"})

# %% [markdown] id="progress"
# ## Progress overview


# %% id="progress-data"
def row(number: str, title: str, passed: int, of: int, right: int, questions: int, hints: int = 0, **more) -> dict:
    """One lesson of an overview."""
    exercises = [
        {"id": f"exercise_{i}", "title": f"Exercise {i}", "minutes": 8, "passed": i < passed, "attempts": i <= passed,
         "stretch": i == of - 1 and of > 3}
        for i in range(of)
    ]
    asked = {"answered": right, "correct": right, "total": questions}
    return {"number": number, "title": title, "current": False, "hints": hints, "exercises": exercises,
            "questions": asked, **more}


rows = [
    row("00", "Start here", 0, 0, 4, 6),
    row("01", "Attention by hand", 4, 4, 5, 6, 2),
    row("02", "What a token costs", 3, 4, 6, 6),
    row("03", "The contiguous world", 1, 3, 0, 6, 1, current=True),
    row("04", "The block pool", 0, 4, 0, 6),
]
ProgressOverview(rows=rows)

# %% id="progress-one"
ProgressOverview(lesson="04", rows=[row("04", "The block pool", 2, 4, 0, 6, 1)])

# %% id="progress-empty"
ProgressOverview(rows=[])

# %% [markdown] id="attention-play"
# ## Attention by hand: the playground

# %% id="attention-play-first"
from labkit.widgets import AttentionPlay

AttentionPlay()

# %% id="attention-play-masked"
AttentionPlay(maskable=True, hidden=[2], title="One query, three keys, one of them hidden")

# %% id="attention-play-equal"
AttentionPlay(query=(0, 0), title="A query of zero: all scores are equal")

# %% id="attention-play-one"
AttentionPlay(keys=[(1, 2)], values=[(-1, -2)], title="One key alone")

# %% id="attention-play-most"
AttentionPlay(
    query=(-3, 3),
    keys=[(3, -3), (-3, 3), (0, 0), (2.5, 2.5), (-3, -3)],
    values=[(3, 3), (3, 3), (-3, 0), (0, -3), (1, -1)],
    maskable=True,
    title="Five keys, the largest scores, two values in one place",
)

# %% [markdown] id="token-cost"
# ## What a token costs: the calculator

# %% id="token-cost-first"
from labkit.widgets import TokenCost

TokenCost()

# %% id="token-cost-several-gpus"
TokenCost(model="Llama-3.1-70B", gpus=16, context=2048)

# %% id="token-cost-many-requests"
TokenCost(model="Falcon-7B", bytes_per_value=1, gpu_gib=192, share=0.95, context=512)

# %% id="token-cost-less-than-one"
TokenCost(model="Llama-2-7B", gpu_gib=24, context=131072)

# %% id="token-cost-window"
TokenCost(model="Gemma-2-9B", context=32768)

# %% id="token-cost-latent"
TokenCost(model="DeepSeek-V3", gpus=16, gpu_gib=141)

# %% id="token-cost-too-large"
TokenCost(model="Llama-3.1-70B", gpu_gib=80)

# %% id="token-cost-uneven"
TokenCost(model="Falcon-7B", gpus=2)

# %% [markdown] id="split-view"
# ## Programs over multiprocessors

# %% id="split-view-one-long"
from labkit.widgets import SplitView

SplitView()

# %% id="split-view-two-waves"
SplitView(splits=17)

# %% id="split-view-full"
SplitView(seqs=16, tokens=8192, splits=2, card="A100")

# %% [markdown] id="tournament-board"
# ## Tournament board
#
# The policies of the library on drawn traces, and one policy as a learner may write it.

# %% id="tournament-compute"
from collections.abc import Sequence

from labkit.cache.eviction import LRU
from labkit.cache.eviction_policies import CLOCK, FIFO, GDSF, LFU, SLRU, Random
from labkit.simulate import prefix_patterns
from labkit.simulate.cache_replay import demand_replay
from labkit.simulate.hit_ratio import requests_of
from labkit.widgets import EvictionStrip, TournamentBoard


class SecondUse(LRU):
    """What was hit since it was stored goes last."""

    def __init__(self) -> None:
        super().__init__()
        self._trusted: set[int] = set()

    def stored(self, blocks: Sequence[int], depth: int) -> None:
        """New contents are not trusted."""
        self._trusted.difference_update(blocks)

    def hit(self, blocks: Sequence[int]) -> None:
        """A second use."""
        self._trusted.update(blocks)

    def rank(self, block: int) -> tuple[bool, int]:
        """Those not trusted first, by time."""
        return block in self._trusted, self._noted[block]


TRACES = {
    "popular": (prefix_patterns.zipf(600, 150, seed=1), "a few prompts are popular, most are rare"),
    "scan": (prefix_patterns.one_time_scan(12, 60, 100, 4, seed=1), "a scan of prompts that come once, in between"),
    "ring": (prefix_patterns.cyclic_scan(100, 8), "100 prompts, one after the other, eight times"),
    "chats": (prefix_patterns.multi_turn(60, seed=1), "conversations that grow and go on at the same time"),
}
POLICIES = {
    "FIFO": lambda n: FIFO(),
    "LRU": lambda n: LRU(),
    "LFU": lambda n: LFU(),
    "CLOCK": lambda n: CLOCK(),
    "SLRU": SLRU,
    "GDSF": lambda n: GDSF(),
    "random": lambda n: Random(7),
    "MyPolicy": lambda n: SecondUse(),
    "Belady": None,
}


def compute(trace: str, capacities: list[int]) -> dict:
    """What the board asks for, by demand replay."""
    requests = requests_of(TRACES[trace][0])
    found = {}
    for name, make in POLICIES.items():
        outcomes = [demand_replay(requests, blocks, make) for blocks in capacities]
        found[name] = {
            "hit_rate": [o.hit_ratio for o in outcomes],
            "evictions": [o.evictions for o in outcomes],
            "regret": [o.regret_ratio for o in outcomes],
        }
    return found


ABOUT = {name: about for name, (_, about) in TRACES.items()}
TournamentBoard(compute, ABOUT, [16, 32, 64, 128, 256, 512], mine="MyPolicy", points=11)

# %% id="tournament-ring"
TournamentBoard(compute, ABOUT, [25, 50, 90, 99, 110], trace="ring", mine="MyPolicy", cursor=90, points=8,
                title="A ring", subtitle="Random beats LRU, until the ring fits.")

# %% id="tournament-one-capacity"
TournamentBoard(compute, ABOUT, [64], trace="scan", mine="MyPolicy", title="One capacity")


# %% id="tournament-refused"
def without(trace: str, capacities: list[int]) -> dict:
    """The same, with the learner's policy shut out."""
    reason = "it needs more operations a decision than are allowed"
    return {**compute(trace, capacities), "MyPolicy": {"refused": reason}}


TournamentBoard(without, ABOUT, [32, 128], mine="MyPolicy", points=4, title="A policy that may not take part")


# %% id="tournament-broken"
def broken(trace: str, capacities: list[int]) -> dict:
    """A policy that raises."""
    raise KeyError(17)


TournamentBoard(broken, ABOUT, [32, 128], title="A replay that stops")

# %% [markdown] id="eviction-strip"
# ## Eviction strip

# %% id="eviction-strip-few"
from labkit.observe.evictions import Eviction, pair_evictions
from labkit.simulate.cache_replay import cache_replay


def evicted(trace: str, blocks: int, policy: str = "LRU", **more) -> EvictionStrip:
    """What a prefix cache of so many blocks evicts for each request, and when it is asked for again."""
    requests, removals, asked = requests_of(TRACES[trace][0]), [], []

    def note(step: int, ids: Sequence[int], hits: int, gone: list[int]) -> None:
        asked.extend((step, key) for key in ids)
        removals.extend((step, key, -1) for key in gone)

    cache_replay(requests, blocks, POLICIES[policy], on_request=note)
    found = pair_evictions(removals, asked, lambda key: f"block {key} of the trace")
    return EvictionStrip(found, asked=map(len, requests), **more)


evicted("scan", 160, title="The scan, under LRU", subtitle="160 blocks; a request a step.")

# %% id="eviction-strip-mine"
evicted("scan", 160, "MyPolicy", title="The same under a policy that waits for a second use")

# %% id="eviction-strip-regretted"
evicted("popular", 128, only_regretted=True, title="Only what was regretted")

# %% id="eviction-strip-many"
many = [Eviction(n // 3, n % 64, "", n // 3 + 1 + n % 977 if n % 5 < 2 else None) for n in range(20_000)]
EvictionStrip(many, title="20,000 evictions")

# %% id="eviction-strip-none"
EvictionStrip([], steps=300, title="A cache with room for all")

# %% [markdown] id="storm-board"
# ## Storm board
#
# A run with all its knobs; a server that does not tell everything; thousands of windows; one that has just begun.

# %% id="storm-board-knobs"
from labkit.observe.series import Series, Worth
from labkit.widgets import Storm, StormBoard

storm = Storm(seats=128, yours=False)
storm

# %% id="storm-board-turned"
turned = Storm(["seats", "watermark"], yours=False)
turned.settings = {**turned.settings, "seats": 6}
turned

# %% id="storm-board-worth"
server = Series("a server that does not tell everything", {
    "regretted": (Worth.ABSENT, "No metric tells what was evicted and asked for again."),
    "evicted": (Worth.PROXY, "Every recycled block counts, not only cached ones: too high."),
    "recomputed": (Worth.ABSENT, "Tokens are counted when they are computed, for the first time or again."),
    "cached": (Worth.ABSENT, "Blocks that nobody holds count as free, cached or not."),
    "free": (Worth.PROXY, "Cached blocks that nobody holds are in it."),
    "ttft_p50": (Worth.ABSENT, "Nobody has been answered yet."),
    "ttft_p99": (Worth.ABSENT, "Nobody has been answered yet."),
})
told = {"end_s", "seconds", "delivered", "computed", "evicted", "preempted", "finished", "held", "free", "waiting",
        "itl_p50", "itl_p99"}
for row in storm.series.rows():
    server.add(**{name: value for name, value in row.items() if name in told})
StormBoard(server, title="Live board")

# %% id="storm-board-many"
draw = random.Random(5)
day = Series("five thousand windows")
for second in range(5000):
    load = 1 + draw.random() + (second > 3000)
    day.add(second + 1, 1, delivered=400 * load, computed=700 * load, recomputed=9 * load, evicted=40 * load,
            regretted=draw.random(), preempted=int(draw.random() < 0.02), held=0.3 * load, cached=1 - 0.3 * load, free=0,
            waiting=draw.randrange(9), waiting_for_memory=0, ttft_p50=0.2 * load, ttft_p99=load, itl_p50=0.02 * load,
            itl_p99=0.03 * load)
StormBoard(day)

# %% id="storm-board-none"
StormBoard(Series("a server that has just started"))

# %% [markdown] id="drill-board"
# ## Drill board
#
# A drill as it opens; the options, after the evidence; a score with what the change did; and a server that nothing
# was wrong with. Plays go to a progress of their own.

# %% id="drill-board-open"
import tempfile

from labkit.drills.bots import oracle
from labkit.grading.progress import Progress
from labkit.widgets import DrillBoard

drills = Progress(tempfile.mkdtemp())
DrillBoard("after-you", seed=4711, progress=drills)

# %% id="drill-board-played"
def played(name, until, **other):
    board = DrillBoard(name, seed=4711, progress=drills)
    right = oracle(board.play, None)
    moves = [
        ("convict", right.convicting._asdict()),
        ("rule_out", {"rival": right.rival, **right.ruling_out._asdict()}),
        ("look", {"look": right.look, "meanings": right.meanings}),
        ("diagnose", {"cause": right.diagnosis}),
        ("fix", {"fixes": right.fixes, "cost": right.cost, **other}),
    ]
    for move, what in moves[:until]:
        board.move(move, **{name: list(value) if isinstance(value, tuple) else value for name, value in what.items()})
    return board


played("after-you", 3)

# %% id="drill-board-score"
played("room-for-the-answer", 5)

# %% id="drill-board-healthy"
played("a-dozen-preemptions", 5, cost="wait")
played("a-dozen-preemptions", 5)

# %% [markdown] id="quiz"
# ## Quiz
#
# One question of each type, from a file made here. The answers go to a progress file of their own.

# %% id="quiz-file"
import tempfile
from pathlib import Path

from labkit.grading.progress import Progress
from labkit.widgets import QuizWidget

QUESTIONS = """
lesson: gallery
title: One question of each type
intro: The cards below show each type as it is asked, answered wrong, answered right, and shown.
skip: {lesson: "04", score: 2, enough: Enough to go on., below: Not enough to go on.}
questions:
  - id: single
    type: single
    text: A pool of 8 blocks has given away 5. How many can be allocated with `allocate(n)`, all or nothing?
    options:
      - {text: "**3**, and no more", right: true, feedback: Three are free.}
      - {text: "any number, one after the other", feedback: A refusal gives nothing at all.}
      - {text: "5", feedback: Those are the ones that are held.}
    explanation: What is free can be allocated, and nothing else.
  - id: multiple
    type: multiple
    text: Which of these leave keys and values in the cache?
    options:
      - {text: each layer, right: true, feedback: Every layer keeps its own.}
      - {text: each KV head, right: true, feedback: A key and a value each.}
      - {text: each query head, feedback: A query asks once and is not kept.}
  - id: numeric
    type: numeric
    text: How many bytes are 16 tokens of 96 bytes each?
    answer: 16 * 96
    unit: bytes
    tolerance: 0.01
    feedback: Sixteen times ninety-six.
    otherwise: Multiply the two.
  - id: predict
    type: predict
    text: What do these lines print?
    code: |
      free = [0, 1, 2]
      print(free.pop(), len(free))
      print(free)
    output: |
      2 2
      [0, 1]
    feedback: The last one is taken.
    otherwise: Write down the list after each line.
  - id: ordering
    type: ordering
    text: Put the life of a block into its order.
    items:
      - {text: It is free., feedback: That is how a pool begins.}
      - {text: It is allocated., feedback: Somebody holds it.}
      - {text: It is freed., feedback: It can be allocated again.}
  - id: matching
    type: matching
    text: Match each kind of waste with where it lies.
    pairs:
      - {left: internal, right: behind the last token, feedback: Held and never written.}
      - {left: external, right: between the pieces, feedback: Free and of no use.}
      - {left: reserved, right: where tokens will come, feedback: Held too early.}
  - id: click
    type: click
    text: Click the block that two sequences hold.
    picture:
      size: [330, 84]
      label: Four blocks in a row. A holds block 0, A and B hold block 1, block 2 is free, B holds half of block 3.
      draw:
        - {write: "A", at: [36, 80]}
        - {write: "B", at: [276, 80]}
      regions:
        - {text: block 0, mark: "0", box: [10, 14, 60, 44], look: held, seq: A, feedback: A holds it alone.}
        - {text: block 1, mark: "1", box: [90, 14, 60, 44], look: shared, seq: A, right: true, feedback: Both do.}
        - {text: block 2, mark: "2", box: [170, 14, 60, 44], look: free, feedback: Nobody holds it.}
        - {text: block 3, mark: "3", note: half, box: [250, 14, 60, 44], look: held, seq: B, fill: 0.5,
           feedback: B holds it alone.}
  - id: short
    type: short
    text: Why is a cache cut into blocks?
    rubric:
      need: 1
      min_words: 4
      points:
        - {name: fragmentation, any: [fragment*, hole*], found: You name the holes., missing: Holes between pieces.}
        - {name: growth, any: [grow*, unknown], found: You name growth., missing: How long a text gets is not known.}
    sample: Pieces of one size leave no holes, and a sequence can grow block by block.
  - id: guess
    type: single
    prediction: true
    reveals: The next cell counts.
    text: What will `num_free` say after a refused request?
    options:
      - {text: as much as before, right: true, feedback: A refusal changes nothing.}
      - {text: "0", feedback: That pool keeps what it took before it gave up.}
"""
folder = Path(tempfile.mkdtemp())
(folder / "gallery.yaml").write_text(QUESTIONS, encoding="utf-8")
RIGHT = {
    "single": "**3**, and no more",
    "multiple": ["each layer", "each KV head"],
    "numeric": "1536",
    "predict": "2 2\n[0, 1]",
    "ordering": ["It is free.", "It is allocated.", "It is freed."],
    "matching": {
        "internal": "behind the last token", "external": "between the pieces", "reserved": "where tokens will come"},
    "click": "block 1",
    "short": "Pieces of one size leave no holes between them.",
}
WRONG = {
    "single": "5",
    "multiple": ["each layer", "each query head"],
    "numeric": "96",
    "predict": "2 3\n[0, 1, 2]",
    "ordering": ["It is freed.", "It is allocated.", "It is free."],
    "matching": {
        "internal": "between the pieces", "external": "behind the last token", "reserved": "where tokens will come"},
    "click": "block 3",
    "short": "because somebody thought it was nice",
}


def quiz(name: str, answers: dict, shown: bool = False, **more) -> QuizWidget:
    """The quiz with these answers given, in a progress file of its own."""
    card = QuizWidget(folder / "gallery.yaml", progress=Progress(folder / name), seed=1, **more)
    for id, answer in answers.items():
        card.answer(id, answer)
        if shown:
            card.reveal(id)
    return card


# %% id="quiz-asked"
quiz("asked", {})

# %% id="quiz-wrong"
quiz("wrong", WRONG)

# %% id="quiz-right"
quiz("right", RIGHT)

# %% id="quiz-shown"
quiz("shown", WRONG, shown=True)

# %% id="quiz-placement"
quiz("placement", {"single": RIGHT["single"], "numeric": WRONG["numeric"]}, question_ids=["single", "numeric"],
     mode="placement")

# %% id="quiz-prediction"
quiz("prediction", {}, mode="prediction")

# %% id="quiz-prediction-kept"
quiz("guessed", {"guess": "0"}, mode="prediction")

# %% id="quiz-prediction-compared"
compared = quiz("compared", {"guess": "0"}, mode="prediction")
compared.compare("guess")
compared
