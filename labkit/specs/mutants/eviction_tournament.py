"""Wrong and right implementations for lesson 09."""

from __future__ import annotations

from labkit.grading.mutants import Mutant, Right


def _lru(init: str = "self.time = 0; self.last = {}; self.may_go = set()",
         released: str = "self.time += 1\n        for b in blocks:\n            self.last[b] = self.time",
         add: str = "self.may_go.add(block)", remove: str = "self.may_go.remove(block)",
         evict: str = """block = min(self.may_go, key=lambda b: self.last[b])
        self.may_go.remove(block)
        return block""", head: str = "", more: str = "") -> str:
    """An LRU in which one method differs from the plainest right one."""
    return f"""class LRU(Policy):
    {head}
    def __init__(self):
        {init}

    def released(self, blocks):
        {released}

    def add(self, block):
        {add}

    def remove(self, block):
        {remove}

    def evict(self):
        {evict}
{more}"""


_HEAP = "self.time = 0; self.last = {}; self.heap = []; self.may_go = {}"
_PUSH = "self.may_go[block] = self.last[block]\n        heapq.heappush(self.heap, (self.last[block], block))"
_POP = """while True:
            time, block = heapq.heappop(self.heap)
            if self.may_go.get(block) == time:
                del self.may_go[block]
                return block"""


def _heap(**parts: str) -> str:
    return "import heapq\n\n" + _lru(**{"init": _HEAP, "add": _PUSH, "remove": "del self.may_go[block]", "evict": _POP,
                                        **parts})


_LAW, _ADDED, _YOUNG, _ORDER = "a-victim-may-go", "released-not-added", "a-new-use-makes-young", "longest-unheld-first"

_LRU = [
    ("queue-of-adds", _ADDED, _lru(init="self.queue = {}", released="pass", add="self.queue[block] = True",
                                   remove="del self.queue[block]",
                                   evict="block = next(iter(self.queue))\n        del self.queue[block]\n"
                                         "        return block"),
     "The queue is in the order of the calls of add, so a parent that is added when its child has gone looks freshly "
     "used."),
    ("time-of-add", _ADDED, _lru(init="self.time = 0; self.last = {}; self.may_go = set()", released="pass",
                                 add="self.time += 1; self.last[block] = self.time; self.may_go.add(block)"),
     "The time is taken when a block is added, not when it was let go of."),
    ("add-refreshes", _ADDED, _lru(add="self.time += 1; self.last[block] = self.time; self.may_go.add(block)"),
     "The time of release is written over by the time of the add."),
    ("first-use-counts", _YOUNG, _lru(released="self.time += 1\n        for b in blocks:\n"
                                               "            self.last.setdefault(b, self.time)",
                                      evict="""block = min(self.may_go, key=lambda b: self.last[b])
        self.may_go.remove(block); del self.last[block]
        return block"""),
     "setdefault keeps the first time that a block was let go of: that is FIFO."),
    ("first-use-ever", _YOUNG, _lru(released="self.time += 1\n        for b in blocks:\n"
                                              "            self.last.setdefault(b, self.time)"),
     "setdefault keeps the first time that a block was let go of, over hits and even over evictions."),
    ("stale-entry", _YOUNG, _heap(init="self.time = 0; self.last = {}; self.heap = []; self.gone = set()",
                                  add="self.gone.discard(block)\n"
                                      "        heapq.heappush(self.heap, (self.last[block], block))",
                                  remove="self.gone.add(block)",
                                  evict="""while True:
            time, block = heapq.heappop(self.heap)
            if block not in self.gone:
                return block"""),
     "The heap still has the entry from before the hit, and once the block is added again nothing tells it from the "
     "new one."),
    ("never-removes-stale", _LAW, _heap(remove="pass", evict="return heapq.heappop(self.heap)[1]"),
     "What is removed stays in the heap and comes out as a victim while somebody uses it."),
    ("ignores-remove", _LAW, _lru(remove="pass"),
     "A block that was hit stays among those that may go."),
    ("most-recent", _ORDER, _lru(evict="""block = max(self.may_go, key=lambda b: self.last[b])
        self.may_go.remove(block)
        return block"""),
     "max takes the block that was used last: that is MRU."),
    ("stack", _ORDER, _lru(init="self.stack = []", released="pass", add="self.stack.append(block)",
                           remove="self.stack.remove(block)", evict="return self.stack.pop()"),
     "pop() takes from the end, where the youngest stands."),
    ("smallest-number", _ORDER, _lru(evict="block = min(self.may_go)\n        self.may_go.remove(block)\n"
                                           "        return block"),
     "The smallest block number goes, which says nothing of when it was used."),
    ("any", _ORDER, _lru(evict="return self.may_go.pop()"),
     "A set has no order: pop takes any."),
    ("counts-uses", _ORDER, _lru(released="for b in blocks:\n            self.last[b] = self.last.get(b, 0) + 1"),
     "How often a block was used is LFU; here it is about when."),
    ("all-that-is-known", _LAW, _lru(evict="block = min(self.last, key=self.last.get)\n"
                                           "        self.may_go.discard(block); del self.last[block]\n"
                                           "        return block"),
     "The oldest of all blocks that were ever let go of is taken, whether it may go or not."),
    ("keeps-evicted", _LAW, _lru(evict="return min(self.may_go, key=lambda b: self.last[b])"),
     "The victim stays among those that may go and is named again."),
    ("adds-on-release", _LAW, _lru(released="self.time += 1\n        for b in blocks:\n"
                                            "            self.last[b] = self.time; self.may_go.add(b)",
                                   remove="self.may_go.discard(block)"),
     "A block that nobody holds may still have children; it may go when add says so."),
    ("returns-a-list", _LAW, _lru(evict="""block = min(self.may_go, key=lambda b: self.last[b])
        self.may_go.remove(block)
        return [block]"""),
     "One block is asked for, and its number is the answer, not a list."),
    ("returns-pair", _LAW, _heap(evict="""while True:
            time, block = heapq.heappop(self.heap)
            if self.may_go.get(block) == time:
                del self.may_go[block]
                return time, block"""),
     "The heap's entry is returned whole; the block is its second half."),
    ("forgets-return", _LAW, _lru(evict="block = min(self.may_go, key=lambda b: self.last[b])\n"
                                        "        self.may_go.remove(block)"),
     "The victim is found and then dropped: the method ends without a return."),
    ("clock-stands", _ORDER, _lru(released="for b in blocks:\n            self.last[b] = self.time"),
     "The clock never moves, so all blocks are equally old."),
    ("clock-on-evict", _ORDER, _lru(released="for b in blocks:\n            self.last[b] = self.time",
                                    evict="""block = min(self.may_go, key=lambda b: self.last[b])
        self.may_go.remove(block); self.time += 1
        return block"""),
     "The clock moves with evictions only; what is let go of in between has one time."),
    ("clock-on-add", _YOUNG, _lru(released="for b in blocks:\n            self.last[b] = self.time",
                                  add="self.time += 1; self.may_go.add(block)"),
     "The clock moves with add: whatever is let go of between two adds counts as equally old."),
    ("only-the-first-block", "raised", _lru(released="self.time += 1\n        self.last[blocks[0]] = self.time"),
     "Only the first block of the call gets its time; the parents have none when their turn comes."),
    ("class-level", "policies-are-separate", _lru(head="last = {}; may_go = set(); time = 0", init="pass",
                                                  released="LRU.time += 1\n        for b in blocks:\n"
                                                           "            self.last[b] = self.time"),
     "The sets belong to the class, so every policy evicts the blocks of all others."),
    ("class-level-times", "policies-are-separate", _lru(head="last = {}", init="self.time = 0; self.may_go = set()"),
     "The times belong to the class, so one policy writes over those of all others."),
    ("remove-forgets-time", "raised", _lru(remove="self.may_go.remove(block); del self.last[block]",
                                           more=""),
     "A block that is removed keeps its time of release: it is added again without a new one when its child goes."),
    ("second-oldest-of-many", _YOUNG, _lru(evict="""oldest = sorted(self.may_go, key=lambda b: self.last[b])
        block = oldest[1] if len(oldest) > 5 else oldest[0]
        self.may_go.remove(block)
        return block"""),
     "Where many blocks may go, the second oldest is taken."),
    ("clock-of-eight", _YOUNG, _lru(released="self.time = (self.time + 1) % 8\n        for b in blocks:\n"
                                             "            self.last[b] = self.time"),
     "The clock begins again at eight, and what is young then looks old."),
    ("no-second-place", _YOUNG, _lru(init="self.queue = []; self.may_go = set()",
                                     released="self.queue += [b for b in blocks if b not in self.queue]",
                                     evict="""block = next(b for b in self.queue if b in self.may_go)
        self.queue.remove(block); self.may_go.remove(block)
        return block"""),
     "A block that is let go of again keeps its old place in the queue."),
    ("remove-leaves-the-queue", _ADDED, _lru(
        init="self.queue = []; self.may_go = set()",
        released="self.queue = [b for b in self.queue if b not in blocks] + blocks",
        add="self.may_go.add(block)\n        if block not in self.queue:\n            self.queue.append(block)",
        remove="self.may_go.remove(block); self.queue.remove(block)",
        evict="""block = next(b for b in self.queue if b in self.may_go)
        self.queue.remove(block); self.may_go.remove(block)
        return block"""),
     "A block that is removed loses its place in the order, although nobody may have used it."),
    ("block-zero-is-false", _LAW, _lru(evict="""block = min(self.may_go, key=lambda b: self.last[b]) or 1
        self.may_go.discard(block)
        return block"""),
     "Block 0 counts as false, and another one is named in its place."),
    ("reversed-list", "changed-inputs", _lru(released="self.time += 1\n        blocks.reverse()\n"
                                                      "        for b in blocks:\n            self.last[b] = self.time"),
     "reverse() turns the caller's own list around."),
    ("hit-is-a-release", _YOUNG, _lru(init="self.time = 0; self.last = {}; self.may_go = set(); self.hits = set()",
                                      released="self.time += 1\n        for b in blocks:\n"
                                               "            if b not in self.hits:\n"
                                               "                self.last[b] = self.time\n"
                                               "            self.hits.discard(b)",
                                      more="\n    def hit(self, blocks):\n        self.hits.update(blocks)\n"),
     "The release after a hit is passed over, as though the hit had not been a use."),
]

_LRU_RIGHT = [
    ("min-over-a-set", _lru()),
    ("heap", _heap()),
    ("ordered-dict-of-releases", """from collections import OrderedDict

class LRU(Policy):
    def __init__(self):
        self.order, self.allowed = OrderedDict(), set()

    def released(self, blocks):
        for block in blocks:
            self.order[block] = None
            self.order.move_to_end(block)

    def add(self, block):
        self.allowed.add(block)

    def remove(self, block):
        self.allowed.discard(block)

    def evict(self):
        for block in self.order:
            if block in self.allowed:
                break
        self.allowed.discard(block)
        del self.order[block]
        return block
"""),
    ("sorted-list", """import bisect

class LRU(Policy):
    def __init__(self):
        self.now, self.when, self.row = 0, {}, []

    def released(self, blocks):
        for block in blocks:
            self.now += 1
            self.when[block] = self.now

    def add(self, block):
        bisect.insort(self.row, (self.when[block], block))

    def remove(self, block):
        self.row.remove((self.when[block], block))

    def evict(self):
        return self.row.pop(0)[1]
"""),
    ("two-dicts-and-no-base", """class LRU:
    def __init__(self):
        self.clock = 0
        self.idle = {}
        self.ready = {}

    def stored(self, blocks, depth):
        pass

    def hit(self, blocks):
        for block in blocks:
            self.idle.pop(block, None)

    def released(self, blocks):
        self.clock += 1
        self.idle |= dict.fromkeys(blocks, self.clock)

    def add(self, block):
        self.ready[block] = self.idle[block]

    def remove(self, block):
        self.ready.pop(block)

    def evict(self):
        oldest = sorted(self.ready.items(), key=lambda item: item[1])[0][0]
        self.ready.pop(oldest)
        return oldest
"""),
    ("reverse-clock", _lru(released="self.time -= 1\n        for b in blocks:\n            self.last[b] = self.time",
                           evict="""block = max(self.may_go, key=self.last.get)
        self.may_go.discard(block)
        return block""")),
]


def _victim(body: str) -> str:
    return f"def belady_victim(cached, future):\n    {body}\n"


_CACHED, _NEVER, _NEXT, _LAST, _DEEP = ("a-cached-one", "never-wanted-goes-before", "the-next-use-counts",
                                        "wanted-last-goes-first", "of-those-the-deepest")
_PLACE = ("place = {}\n    for i, key in enumerate(future):\n        place.setdefault(key, i)\n"
          "    never = len(future)\n    ")
_BELADY = [
    ("wanted-first", _LAST, _PLACE + "return min(cached, key=lambda k: place.get(k, never))",
     "min takes what is wanted next: the one content that must stay."),
    ("last-use", _NEXT, "place = {key: i for i, key in enumerate(future)}\n"
                        "    return max(cached, key=lambda k: (place.get(k, len(future)), cached[k]))",
     "The dict keeps the last place of each content, and the next one counts."),
    ("fewest-uses", _LAST, "return min(cached, key=lambda k: (future.count(k), -cached[k]))",
     "How often a content is wanted does not say how soon."),
    ("minus-one-for-never", _NEVER, _PLACE.replace("never = len(future)", "never = -1")
     + "return max(cached, key=lambda k: (place.get(k, never), cached[k]))",
     "With -1 for never, what is never wanted looks as if it were wanted at once."),
    ("find-minus-one", _NEVER, "text = ''.join(future)\n"
                               "    return max(cached, key=lambda k: (text.find(k), cached[k]))",
     "find answers -1 for what is not there, which is smaller than every place."),
    ("only-the-wanted", _NEVER, _PLACE + "wanted = [k for k in cached if k in place]\n"
                                         "    return max(wanted or cached, key=lambda k: (place.get(k, 0), cached[k]))",
     "What is never wanted again is left out of the choice, and it is the best choice of all."),
    ("raises-for-never", "raised", "return max(cached, key=lambda k: (future.index(k), cached[k]))",
     "index raises for what is not in the future."),
    ("no-tie", _DEEP, _PLACE + "return max(cached, key=lambda k: place.get(k, never))",
     "Of several that are never wanted the first goes, whichever lies above it in the prompt."),
    ("shallowest", _DEEP, _PLACE + "return max(cached, key=lambda k: (place.get(k, never), -cached[k]))",
     "The front of a prompt goes first, and what hangs from it can no longer be found."),
    ("last-of-ties", _DEEP, _PLACE + "return sorted(cached, key=lambda k: (place.get(k, never), cached[k]))[-1]",
     "The last of a sorted list is, among equals, the one that stands last in cached."),
    ("depth-first", _LAST, _PLACE + "return max(cached, key=lambda k: (cached[k], place.get(k, never)))",
     "Depth is compared before the time of the next use, and it only settles a tie."),
    ("last-of-the-future", _CACHED, "return future[-1] if future else max(cached, key=lambda k: cached[k])",
     "The last request of the future may be for something that is not cached."),
    ("adds-depth", _LAST, "never = 10 ** 9\n    return max(cached, key=lambda k: cached[k] + (future.index(k) if k in "
                          "future else never))",
     "Depth and time are added, as though a block of depth were as long as a request."),
    ("skips-the-next", _LAST, "later = future[1:]\n    return max(cached, key=lambda k: (later.index(k) if k in "
                              "later else 10 ** 9, cached[k]))",
     "The very next request is left out, so what it asks for looks unwanted."),
    ("looks-five-ahead", _NEVER, "near = future[:5]\n    return max(cached, key=lambda k: (near.index(k) if k in "
                                 "near else 9, cached[k]))",
     "Beyond five requests nothing is seen, so far is taken for never."),
    ("a-hundred-is-never", _NEVER, "return max(cached, key=lambda k: (future.index(k) if k in future else 100, "
                                   "cached[k]))",
     "A hundred stands for never, and a future may be longer than that."),
    ("finds-parts-of-names", _NEVER, "text = ' '.join(future)\n    return max(cached, key=lambda k: (text.index(k) "
                                     "if k in text else 10 ** 9, cached[k]))",
     "A short name is found inside a longer one, and looks wanted."),
    ("returns-place", "wrong-type", _PLACE + "return max((place.get(k, never), cached[k], k) for k in cached)[0]",
     "The place is returned where the content is asked for."),
    ("returns-depth", "wrong-type", _PLACE + "return max((place.get(k, never), cached[k]) for k in cached)[1]",
     "The depth is returned where the content is asked for."),
    ("alphabet-tie", _DEEP, _PLACE + "return max((place.get(k, never), cached[k], k) for k in cached)[2]",
     "Of several as deep the last in the alphabet goes; the first in cached is asked for."),
    ("removes-it", "changed-inputs", _PLACE + "best = max(cached, key=lambda k: (place.get(k, never), cached[k]))\n"
                                              "    cached.pop(best)\n    return best",
     "The caller's dict is changed: only the choice is asked for."),
    ("least-recent", _LAST, "return next(iter(cached))",
     "The first in the dict goes: that is FIFO, and the future was not looked at."),
    ("first-unwanted-stops", _DEEP, "for k in cached:\n        if k not in future:\n            return k\n"
                                    "    return max(cached, key=future.index)",
     "The first that is never wanted is taken, before a deeper one has been looked at."),
    ("none-at-the-end", _NEVER, "for key in reversed(future):\n        if key in cached and future.index(key) == "
                                "len(future) - 1 - future[::-1].index(key):\n            return key\n"
                                "    return max(cached, key=lambda k: cached[k])",
     "The future is read from its end, so what stands in it at all is found before what does not."),
]
_BELADY_RIGHT = [
    ("places", _victim(_PLACE + "return max(cached, key=lambda k: (place.get(k, never), cached[k]))")),
    ("loop", _victim("""best, best_rank = None, None
    for key, depth in cached.items():
        when = future.index(key) if key in future else float("inf")
        if best is None or (when, depth) > best_rank:
            best, best_rank = key, (when, depth)
    return best""")),
    ("reversed-dict", _victim("""nxt = dict(zip(reversed(future), range(len(future), 0, -1)))
    never = [k for k in cached if k not in nxt]
    if never:
        deepest = max(cached[k] for k in never)
        return [k for k in never if cached[k] == deepest][0]
    return max(cached, key=nxt.get)""")),
    ("cross-off", _victim("""left = dict(cached)
    for key in future:
        if len(left) == 1:
            break
        left.pop(key, None)
    return max(left, key=left.get)""")),
]


def _mine(init: str = "self.queue = {}", add: str = "self.queue[block] = None", remove: str = "del self.queue[block]",
          evict: str = "block = next(iter(self.queue))\n        del self.queue[block]\n        return block",
          head: str = "", more: str = "") -> str:
    return f"""class MyPolicy(Policy):
    {head}
    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        {init}

    def add(self, block):
        {add}

    def remove(self, block):
        {remove}

    def evict(self):
        {evict}
{more}"""


_OPS, _MEMORY, _REACH = "operations-are-bounded", "memory-is-bounded", "works-with-what-it-is-told"
_MINE = [
    ("min-over-all", _OPS, _mine(evict="block = min(self.queue)\n        del self.queue[block]\n        return block"),
     "min looks at every block that may go, at each eviction."),
    ("sorted-each-time", _OPS, _mine(evict="block = sorted(self.queue)[0]\n        del self.queue[block]\n"
                                           "        return block"),
     "The blocks are sorted anew for each victim."),
    ("list-remove", _OPS, _mine(init="self.list = []", add="self.list.append(block)", remove="self.list.remove(block)",
                                evict="return self.list.pop(0)"),
     "pop(0) moves every element that is left by one place."),
    ("python-loop", _OPS, _mine(evict="""best = None
        for block in self.queue:
            if best is None or block < best:
                best = block
        del self.queue[best]
        return best"""),
     "A loop goes through all blocks at each eviction."),
    ("copies", _OPS, _mine(evict="block = list(self.queue)[0]\n        del self.queue[block]\n        return block"),
     "list() copies all blocks to look at the first."),
    ("keeps-a-global-log", _MEMORY, "LOG = []\n\n" + _mine(add="self.queue[block] = None; LOG.append(block)"),
     "A list outside of the class grows as well."),
    ("remembers-every-content", _MEMORY, _mine(
        init="self.queue = {}; self.count = 0; self.seen = set()",
        more="\n    def stored(self, blocks, depth):\n        for block in blocks:\n            self.count += 1\n"
             "            self.seen.add((self.count, block))\n"),
     "Something is kept of every content that ever came by."),
    ("looks-at-frames", _REACH, "import sys\n\n" + _mine(
        evict="sys._getframe(3)\n        return self.queue.popitem()[0]"),
     "sys leads to the caller's frames, and they lead to the cache and its requests."),
    ("uses-numpy", _REACH, "import numpy as np\n\n" + _mine(),
     "What NumPy does is not counted, so it takes no part."),
    ("returns-text", "a-victim-may-go", _mine(evict="return str(self.queue.popitem()[0])"),
     "The number of a block is asked for, not its text."),
    ("keeps-the-victim", "a-victim-may-go", _mine(evict="return next(iter(self.queue))"),
     "The victim stays in the queue and is named again."),
    ("keeps-a-log", _MEMORY, _mine(init="self.queue = {}; self.log = []",
                                   add="self.queue[block] = None; self.log.append(block)"),
     "A list of everything that happened grows with every request."),
    ("lazy-heap-that-grows", _MEMORY, "import heapq\n\n" + _mine(
        init="self.time = 0; self.heap = []; self.may_go = {}",
        add="self.time += 1; self.may_go[block] = -self.time\n"
            "        heapq.heappush(self.heap, (-self.time, block))",
        remove="del self.may_go[block]", evict="""while True:
            time, block = heapq.heappop(self.heap)
            if self.may_go.get(block) == time:
                del self.may_go[block]
                return block"""),
     "Outdated entries of the heap are passed over only if they come to the top; here they never do."),
    ("reads-a-file", _REACH, _mine(evict="future = open('trace.jsonl').read()\n        return 0"),
     "The future stands in a file, and no server has that file."),
    ("looks-through-the-collector", _REACH, "import gc\n\n" + _mine(),
     "gc.get_objects would find the trace in the memory of the replay; a policy is told what it may know."),
    ("draws-the-trace", _REACH, "from labkit.simulate.prefix_workload import draw_conversations\n\n" + _mine(),
     "The trace is drawn a second time, from the generator: that is the future."),
    ("looks-at-the-clock", _REACH, "import time\n\n" + _mine(add="self.queue[block] = time.time()"),
     "A clock on the wall gives another answer at each run; count events instead."),
    ("names-what-is-held", "a-victim-may-go", _mine(
        init="self.queue = {}; self.known = []", remove="self.queue.pop(block)",
        evict="return self.known.pop(0)",
        more="\n    def stored(self, blocks, depth):\n        self.known += blocks\n"),
     "The blocks are taken in the order in which they were stored, whether they may go or not."),
    ("ignores-remove", "a-victim-may-go", _mine(init="self.queue = []", add="self.queue.append(block)", remove="pass",
                                                evict="return self.queue.pop(0)"),
     "A block that was hit stays in the queue and is named while it is in use."),
    ("protects-for-ever", "a-victim-may-go", _mine(
        init="self.queue = {}; self.hits = set()",
        evict="""for block in self.queue:
            if block not in self.hits:
                del self.queue[block]
                return block
        return None""",
        more="\n    def hit(self, blocks):\n        self.hits.update(blocks)\n"),
     "Once all blocks that may go have been hit, no victim is left, and the cache needs one."),
    ("class-level", "policies-are-separate", _mine(head="queue = {}", init="pass"),
     "The queue belongs to the class, so every policy evicts the blocks of all others."),
    ("loops-for-ever", _OPS, _mine(evict="""while True:
            if len(self.queue) > 1000:
                return self.queue.popitem()[0]
            if len(self.queue) < 100:
                return self.queue.popitem()[0]"""),
     "The condition that would end the loop never comes true while it waits."),
    ("key-error", "raised", _mine(init="self.queue = {}; self.depth = {}",
                                  add="self.queue[block] = self.depth[block]",
                                  more="\n    def stored(self, blocks, depth):\n"
                                       "        self.depth[blocks[0]] = depth\n"),
     "Only the first of the blocks gets its depth; the others are asked for it later."),
]
_MINE_RIGHT = [
    ("fifo", _mine()),
    ("set", _mine(init="self.blocks = set()", add="self.blocks.add(block)", remove="self.blocks.remove(block)",
                  evict="return self.blocks.pop()")),
    ("bitmap", _mine(init="self.bits = 0", add="self.bits |= 1 << block", remove="self.bits &= ~(1 << block)",
                     evict="low = self.bits & -self.bits\n        self.bits ^= low\n"
                           "        return low.bit_length() - 1")),
    ("newest-first", _mine(evict="return self.queue.popitem()[0]")),
    ("lru-as-it-is", "class MyPolicy(LRU):\n    def __init__(self, num_blocks):\n        super().__init__()\n"),
    ("random", """import random

class MyPolicy(Policy):
    def __init__(self, num_blocks):
        self.rng = random.Random(1)
        self.row, self.place = [], {}

    def add(self, block):
        self.place[block] = len(self.row)
        self.row.append(block)

    def remove(self, block):
        at, last = self.place.pop(block), self.row.pop()
        if last != block:
            self.row[at] = last
            self.place[last] = at

    def evict(self):
        block = self.rng.choice(self.row)
        self.remove(block)
        return block
"""),
    ("second-use", """import heapq
from collections import defaultdict

class MyPolicy(Policy):
    def __init__(self, num_blocks):
        self.now = 0
        self.hits = defaultdict(int)
        self.when = {}
        self.heap = []
        self.entry = {}

    def stored(self, blocks, depth):
        for block in blocks:
            self.hits[block] = 0

    def hit(self, blocks):
        for block in blocks:
            self.hits[block] += 1

    def released(self, blocks):
        self.now += 1
        for block in blocks:
            self.when[block] = self.now

    def add(self, block):
        self.entry[block] = (min(self.hits[block], 3), self.when[block], block)
        heapq.heappush(self.heap, self.entry[block])
        if len(self.heap) > 4 * len(self.entry) + 50:
            self.heap = sorted(self.entry.values())

    def remove(self, block):
        self.entry.pop(block)

    def evict(self):
        while True:
            entry = heapq.heappop(self.heap)
            if self.entry.get(entry[-1]) is entry:
                return self.entry.pop(entry[-1])[-1]
"""),
]

MUTANTS = [
    *(Mutant("LRU", name, breaks, why, source) for name, breaks, source, why in _LRU),
    *(Mutant("belady_victim", name, breaks, why, _victim(body)) for name, breaks, body, why in _BELADY),
    *(Mutant("MyPolicy", name, breaks, why, source) for name, breaks, source, why in _MINE),
]
RIGHT = [
    *(Right("LRU", name, source) for name, source in _LRU_RIGHT),
    *(Right("belady_victim", name, source) for name, source in _BELADY_RIGHT),
    *(Right("MyPolicy", name, source) for name, source in _MINE_RIGHT),
]
