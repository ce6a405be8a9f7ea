"""The tournament: who is ranked, who is refused and why, and that the count is the same everywhere."""

from __future__ import annotations

import json

import pytest

from labkit.cache.eviction_policies import POLICIES
from labkit.errors import LabkitError, PolicyError
from labkit.simulate.cache_replay import cache_replay
from labkit.simulate.hit_ratio import requests_of
from labkit.simulate.policy_meter import Meter, TooMuch, load, state_size
from labkit.simulate.policy_worker import Guard, Host, Refused
from labkit.simulate.prefix_patterns import cyclic_scan
from labkit.simulate.prefix_workload import draw_conversations
from labkit.simulate.tournament import Entrant, tournament

LRU = """
import heapq
class MyPolicy:
    def __init__(self, num_blocks):
        self.time, self.last, self.may_go, self.heap = 0, {}, {}, []
    def released(self, blocks):
        self.time += 1
        for block in blocks:
            self.last[block] = self.time
    def add(self, block):
        self.may_go[block] = self.last[block]
        heapq.heappush(self.heap, (self.last[block], block))
    def remove(self, block):
        del self.may_go[block]
    def evict(self):
        while True:
            time, block = heapq.heappop(self.heap)
            if self.may_go.get(block) == time:
                del self.may_go[block]
                return block
"""
QUEUE = """
from collections import OrderedDict
class MyPolicy:
    def __init__(self):
        self.queue = OrderedDict()
    def released(self, blocks): pass
    def add(self, block): self.queue[block] = None
    def remove(self, block): del self.queue[block]
    def evict(self): {evict}
"""


def queue(evict: str = "return self.queue.popitem(last=False)[0]", top: str = "", more: str = "") -> str:
    return top + QUEUE.format(evict=evict) + more


@pytest.fixture(scope="module")
def requests():
    return requests_of(draw_conversations(250, seed=3), full_blocks_only=True)


def test_a_policy_by_anybody_is_ranked_like_the_built_in_ones(requests):
    standings = tournament(requests, (200, 800), [Entrant("Mine", LRU)], "drawn")
    for capacity in (200, 800):
        rows = {row.policy: row for row in standings.rows if row.capacity == capacity}
        assert set(rows) == {*POLICIES, "Belady", "Mine"}
        mine, ours = rows["Mine"], rows["LRU"]
        assert (mine.hit_ratio, mine.evictions, mine.place) == (ours.hit_ratio, ours.evictions, ours.place)
        assert all(row.behind >= 0 and (row.place or 0) >= 0 for row in rows.values())
        assert rows["Belady"].place == 0 and 1 < mine.operations < 20
        assert mine.hit_ratio == cache_replay(requests, capacity, POLICIES["LRU"]).hit_ratio
    assert not standings.refused and standings.place_of("Mine") is not None
    assert [h for _, h in standings.overall] == sorted((h for _, h in standings.overall), reverse=True)
    assert json.loads(json.dumps(standings.to_dict()))["looked_up"] == sum(map(len, requests))


def test_the_count_is_the_same_at_every_run(requests):
    first, second = (Entrant("Mine", LRU).replay(requests, 300)[1] for _ in range(2))
    assert first == second and first["operations"] > first["told"] > first["victims"] > 100


def test_the_count_is_the_same_on_every_machine_and_python():
    """The same numbers in Python 3.11, 3.12 and 3.13; the trace has nothing random in it."""
    account = Entrant("Mine", LRU).replay(requests_of(cyclic_scan(60, 3)), 40)[1]
    assert account == {"operations": 4419, "told": 680, "victims": 140, "things": 295}


CHEATERS = {
    # Peeking.
    "collector": ("import gc\n", "return 0", "imports gc"),
    "frames": ("import sys\n", "return 0", "imports sys"),
    "file": ("", "return open('trace.jsonl').read()", "uses open"),
    "generator": ("from labkit.simulate.prefix_workload import draw_conversations\n", "return 0", "imports labkit.sim"),
    "import": ("", "return __import__('gc').get_objects()", "__import__"),
    "globals": ("", "return self.evict.__func__", "__func__"),
    "subclasses": ("", "return object.__subclasses__()", "__subclasses__"),
    "traceback": ("", "\n        try:\n            1 / 0\n        except Exception as e:\n            return "
                  "e.__traceback__", "__traceback__"),
    "frame-attribute": ("", "return (i for i in ()).gi_frame", "gi_frame"),
    "getattr": ("", "return getattr(self.evict, '__fu' + 'nc__')", "attribute __func__"),
    "eval": ("", "return eval('1')", "uses eval"),
    "module-behind-a-module": ("import random\n", "return random._os.listdir('.')", "AttributeError"),
    "attrgetter": ("from operator import attrgetter\n", "return 0", "ImportError"),
    "evaluates-text": ("from typing import ForwardRef\n", "return 0", "ImportError"),
    "a-list-that-is-none": ("from collections import UserList\n", "return 0", "ImportError"),
    "makes-a-class": ("", "return type('X', (), {})", "makes a class"),
    "hides-in-a-module": ("import math\n", "math.kept = [1]; return 0", "sets kept in a module"),
    "the-counter": ("", "return __tick__.__self__", "__self__"),
    "replaces-the-counter": ("__tick__ = lambda n=1: True\n", "return 0", "uses __tick__"),
    "clock": ("import time\n", "return 0", "imports time"),
    # Breaking the law.
    "not-offered": ("", "return -1", "named -1"),
    "none": ("", "pass", "returned None"),
    "text": ("", "return '3'", "returned '3'"),
    # Falling over.
    "raises": ("", "return {}[0]", "raised KeyError in line"),
    "exits": ("", "raise SystemExit", "SystemExit"),
    "recursion": ("", "return self.evict()", "operations|RecursionError"),
    "syntax": ("def :\n", "return 0", "cannot read line 1"),
    "no-class": ("raise ValueError\n", "return 0", "raised ValueError"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHEATERS)
def test_refused_with_the_reason(name):
    top, evict, reason = CHEATERS[name]
    scan = requests_of(cyclic_scan(60, 3))
    with pytest.raises(PolicyError, match=reason):
        Entrant("Mine", queue(evict, top)).replay(scan, 40)


SLOW = {
    # Each looks at all blocks at every eviction; n is 2,000.
    "min": "block = min(self.queue)",
    "min-with-key": "block = min(self.queue, key=lambda b: -b)",
    "sorted": "block = sorted(self.queue)[0]",
    "list": "block = list(self.queue)[0]",
    "display": "block = [*self.queue][0]",
    "unpacking": "block, *_ = self.queue",
    "comprehension": "block = [b for b in self.queue][0]",
    "generator": "block = max(b for b in self.queue)",
    "loop": "\n        for b in self.queue: block = b",
    "reduce": "block = reduce(lambda a, b: a, self.queue)",
    "reduce-in-c": "block = reduce(min, self.queue)",
    "map": "block = min(map(abs, self.queue))",
    "last-of-a-deque": "block = deque(self.queue, maxlen=1)[0]",
    "islice": "block = next(islice(self.queue, len(self.queue) - 1, None))",
    "copy": "block = next(iter(self.queue.copy()))",
    "in-values": "block = next(iter(self.queue)); 5 in self.queue.values()",
    "equal": "block = next(iter(self.queue)); self.queue == dict(self.queue)",
    "dict-union": "block = next(iter({} | self.queue))",
    "c-callback": "block = min(self.queue, key=tuple(self.queue).index)",
    "format": "block = next(iter(self.queue)); f'{self.queue}'",
    "times": "block = next(iter(self.queue)); [0] * 5000",
    "swallows": "\n        block = next(iter(self.queue))\n        try:\n            sum(self.queue)\n        except:\n"
                "            pass",
    "finally": "\n        while True:\n            try:\n                sum(self.queue)\n            finally:\n"
               "                continue",
    "endless": "\n        while True: pass",
    "long-number": "block = next(iter(self.queue)); self.bits = 1 << 500000",
    "partial": "block = partial(min, self.queue)()",
    "through-getattr": "block = getattr(self.queue, 'copy')() and next(iter(self.queue))",
    "starred-call": "block = max(*self.queue)",
    "match": "\n        match [*self.queue]:\n            case [block, *rest]: pass",
}  # fmt: skip
TOP = "from functools import partial, reduce\nfrom itertools import islice\nfrom collections import deque\n"


@pytest.mark.parametrize("name", SLOW)
def test_work_in_c_is_counted(name):
    """Without a process, which only makes it slower: the counter is the same."""
    lines = SLOW[name] if SLOW[name].startswith("\n") else "\n        " + SLOW[name]
    host = Host(queue(lines + "\n        del self.queue[block]; return block", TOP), "MyPolicy", 2000)
    with pytest.raises(Refused, match="operations for each block"):
        for block in range(2000):
            host.tell("stored", [block], 0)
            host.tell("released", [block])
            host.tell("add", block)
        for _ in range(1500):
            host.victim()


LISTS = {
    "pop-front": ("add", "self.list.append(block)", "return self.list.pop(0)"),
    "insert-front": ("add", "self.list.insert(0, block)", "return self.list.pop()"),
    "del-front": ("add", "self.list.append(block)", "block = self.list[0]; del self.list[0]; return block"),
    "slice": ("add", "self.list.append(block)", "block = self.list[0]; self.list = self.list[1:]; return block"),
    "slice-store": ("add", "self.list[0:0] = [block]", "return self.list.pop()"),
    "concatenate": ("add", "self.list = self.list + [block]", "return self.list.pop()"),
    "tuple-grows": ("add", "self.kept += (block,)", "block, *self.list = self.kept; return block"),
    "remove": ("add", "self.list.append(block); self.list.remove(self.list[-1]); self.list.append(block)",
               "return self.list.pop()"),
    "in": ("add", "block in self.list or self.list.append(block)", "return self.list.pop()"),
    "index": ("add", "self.list.append(block); self.list.index(block)", "return self.list.pop()"),
    "sort": ("add", "self.list.append(block); self.list.sort()", "return self.list.pop()"),
    "insort": ("add", "insort(self.list, block)", "return self.list.pop()"),
    "heapify": ("add", "self.list.append(block); heapify(self.list)", "return heappop(self.list)"),
    "deque-middle": ("add", "self.deque.append(block); self.deque[len(self.deque) // 2]", "return self.deque.pop()"),
    "deque-remove": ("add", "self.deque.append(block); self.deque.remove(block); self.deque.append(block)",
                     "return self.deque.pop()"),
    "unbound": ("add", "list.insert(self.list, 0, block)", "return self.list.pop()"),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_charged_for_what_they_move(name):
    _, add, evict = LISTS[name]
    text = f"""
from bisect import insort
from collections import deque
from heapq import heapify, heappop
class MyPolicy:
    def __init__(self):
        self.list, self.deque, self.kept = [], deque(), ()
    def add(self, block):
        {add}
    def remove(self, block): pass
    def evict(self):
        {evict}
"""
    host = Host(text, "MyPolicy", 4000)
    with pytest.raises(Refused, match="operations for each block"):
        for block in range(4000):
            host.tell("add", block)
        for _ in range(4000):
            host.victim()


FAST = {
    "ordered-dict": queue(),
    "heap": LRU,
    "first-of-a-dict": queue("block = next(iter(self.queue)); del self.queue[block]; return block"),
    "newest": queue("return self.queue.popitem()[0]"),
    "deque": """
from collections import deque
class MyPolicy:
    def __init__(self): self.queue, self.may_go = deque(), set()
    def add(self, block): self.queue.append(block); self.may_go.add(block)
    def remove(self, block): self.may_go.discard(block)
    def evict(self):
        while True:
            block = self.queue.popleft()
            if block in self.may_go:
                self.may_go.remove(block)
                return block
""",
    "list-stack": """
class MyPolicy:
    def __init__(self): self.list, self.place = [], {}
    def add(self, block): self.place[block] = len(self.list); self.list.append(block)
    def remove(self, block):
        last, at = self.list.pop(), self.place.pop(block)
        if last != block: self.list[at] = last; self.place[last] = at
    def evict(self):
        block = self.list[-1]
        self.remove(block)
        return block
""",
    "dataclass-entries": """
from __future__ import annotations
from dataclasses import dataclass, field
from heapq import heappush, heappop
from typing import NamedTuple
import random
@dataclass(order=True)
class Entry:
    draw: float
    block: int = field(compare=False)
    gone: bool = field(default=False, compare=False)
class Pair(NamedTuple):
    a: int
    b: int
class MyPolicy:
    def __init__(self, num_blocks): self.heap, self.entries = [], {}; self.rng = random.Random(num_blocks)
    def add(self, block):
        self.entries[block] = Entry(self.rng.random(), Pair(block, 0).a)
        heappush(self.heap, self.entries[block])
    def remove(self, block): self.entries.pop(block).gone = True
    def evict(self):
        while (entry := heappop(self.heap)).gone: pass
        del self.entries[entry.block]
        return entry.block
""",
    "on-top-of-lru": """
from labkit.mine import LRU
class MyPolicy(LRU):
    def __init__(self, num_blocks): super().__init__(); self.hits = {}
    def stored(self, blocks, depth): super().stored(blocks, depth)
    def evict(self): return super().evict()
""",
}


@pytest.mark.parametrize("name", FAST)
def test_policies_of_a_logarithm_are_welcome(name):
    scan = requests_of(cyclic_scan(900, 3))
    outcome, account = Entrant("Mine", FAST[name]).replay(scan, 800)
    assert outcome.evictions == account["victims"] > 250
    assert account["operations"] < 20 * account["told"]


def test_own_lru_is_counted_too():
    own = LRU.replace("MyPolicy", "LRU").replace("self, num_blocks", "self")
    text = "from labkit.mine import LRU\nclass MyPolicy(LRU):\n    pass\n"
    scan = requests_of(cyclic_scan(60, 3))
    _, plain = Entrant("Mine", LRU).replay(scan, 40)
    outcome, counted = Entrant("Mine", text, parts={"LRU": own}).replay(scan, 40)
    assert counted["operations"] == plain["operations"] and outcome.hits == 0
    slow = own.replace("        while True:", "        min(self.last.values())\n        while True:")
    scan = requests_of(cyclic_scan(2200, 2))
    with pytest.raises(PolicyError, match="operations"):
        Entrant("Mine", text, parts={"LRU": slow}).replay(scan, 2000)


def test_what_is_kept_is_bounded():
    hoards = queue("block = self.queue.popitem()[0]; self.log.append((block,)); return block", more="    log = []\n")
    scan = requests_of(cyclic_scan(60, 100))
    with pytest.raises(PolicyError, match="forget what has been evicted"):
        Entrant("Mine", hoards).replay(scan, 30)
    assert Entrant("Mine", queue()).replay(scan, 30)[1]["things"] < 200


def test_state_is_found_wherever_it_is_kept():
    namespace = load("""
class Node:
    __slots__ = ("next",)
class A:
    kept = [1] * 100
    def __init__(self):
        self.dict = dict.fromkeys(range(100))
        self.node = Node()
        self.node.next = (1,) * 100
        hidden = set(range(100))
        self.function = lambda: hidden
        self.generator = self.run(list(range(100)))
    def run(self, more):
        yield more
MODULE = list(range(100))
""", Meter())
    assert state_size([namespace["A"](), namespace]) > 700
    assert state_size([1, 2.5, None, True]) == 4
    assert state_size("x" * 800) == 100


def test_what_gets_around_the_rules_is_seen_by_the_audit_hook():
    guard = Guard()
    guard.begin()
    with pytest.raises(Refused):
        guard.hook("open", ("/data/trace.jsonl", "r", 0))
    assert guard.end() == "opens trace.jsonl"
    guard.begin()
    guard.hook("open", ("/lib/heapq.py", "r", 0))
    guard.hook("exec", ())
    with pytest.raises(Refused):
        guard.hook("gc.get_objects", ())
    assert guard.end() == "calls gc.get_objects"
    guard.hook("open", ("/data/trace.jsonl", "r", 0))  # not while a policy runs


def test_the_hook_stands_in_the_process(tmp_path):
    """With a hole in the rules: what a policy reaches through it is refused all the same."""
    from labkit.simulate import policy_worker

    target = tmp_path / "future.txt"
    target.write_text("3 1 2")
    import subprocess
    import sys

    code = f"""
import sys
from labkit.simulate import policy_worker as w
guard = w.Guard(); sys.addaudithook(guard.hook)
host = w.Host({queue()!r}, "MyPolicy", 4, guard=guard)
host.policy.evict = lambda: int(open({str(target)!r}).read()[0])
host.tell("add", 3)
try:
    host.victim()
except w.Refused as refused:
    print(refused)
import gc
host.policy.evict = lambda: len(gc.get_objects())
try:
    host.victim()
except w.Refused as refused:
    print(refused)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "opens future.txt" in said and "calls gc.get_objects" in said
    assert policy_worker.OPERATIONS > 0


def test_results_do_not_change_by_being_counted():
    """A program of many kinds of statement gives the same with counters and without."""
    text = """
from collections import deque, OrderedDict, defaultdict, Counter
from functools import partial, reduce
from heapq import heappush, heappop, nsmallest
from itertools import chain, islice
import operator
def f(*args, k=1, **more):
    total = k
    for i, x in enumerate(args):
        if x % 3 == 0:
            continue
        total += x * i
    else:
        total -= 1
    while total > 100:
        total //= 2
    return total, more
class P:
    limit = 3
    def __init__(self): self.xs = [5, 3, 8]; self.d = defaultdict(list)
    @property
    def top(self): return max(self.xs)
    def __len__(self): return len(self.xs)
    def __contains__(self, x): return x in self.xs
def g():
    received = yield from range(3)
    try:
        yield 1 / 0
    except ZeroDivisionError as error:
        yield str(error)
    finally:
        yield "end"
def run():
    p = P(); q = deque([1, 2, 3]); q.rotate(1); h = []
    for x in (4, 1, 3): heappush(h, x)
    p.d["a"].append(1); p.d["a"] += [2]; p.xs[1:2] = [7, 7]; del p.xs[0]; del q[1], p.xs[-1:]
    a, *b = islice(chain(p.xs, q), 3)
    t = (1,); t += (2,); s = {1}; s |= {2}; n = 5; n <<= 70; n **= 2
    match [1, 2, 3]:
        case [first, *rest] if first < 2: m = rest
        case _: m = None
    word = "x"; word *= 3
    return (f(1, 2, 3, k=5, z=1), f(*[3, 4], **{"k": 2}), p.top, len(p), 3 in p, 9 not in p.xs, list(g()), a, b, t, s,
            n, m, word, q[0], q[-1], [heappop(h) for _ in range(2)], nsmallest(2, [3, 1, 2]), p.d["a"],
            1 < 2 < 3 in [3],
            {**{"a": 1}, "b": 2}, {x: y for x, y in zip("ab", [1, 2])}, sorted([3, 1], key=partial(operator.mul, -1)),
            reduce(operator.add, [1, 2, 3]), f"{n:>5}{p.xs!r}", (lambda u=3: u + 1)(), Counter("aab").most_common(1),
            isinstance(3, int), type(3) is int, p.xs[::-1], [1, 2] < [1, 3], not p.xs, "%d" % 3, -5 % 3, [*q, *h],
            max([1, 2], default=0), any(x > 2 for x in p.xs), dict.fromkeys([1], 2), hasattr(p, "xs"),
            getattr(p, "no", 1))
"""
    plain: dict = {}
    exec(text, plain)
    meter = Meter()
    counted = load(text, meter)
    assert counted["run"]() == plain["run"]()
    assert meter.spent > 150


def test_an_endless_loop_is_stopped_by_the_count():
    meter = Meter(10_000)
    namespace = load("def f():\n    while True:\n        try:\n            g()\n        except BaseException:\n"
                     "            pass\ndef g(): pass\n", meter)
    with pytest.raises(TooMuch):
        namespace["f"]()


def test_bad_tournaments(requests):
    with pytest.raises(LabkitError, match="a request and a capacity"):
        tournament([], (10,))
    with pytest.raises(LabkitError, match="a request and a capacity"):
        tournament(requests, ())
    with pytest.raises(LabkitError, match="capacity is 0"):
        tournament(requests, (0,))
    with pytest.raises(LabkitError, match="same name"):
        tournament(requests, (10,), [Entrant("LRU", LRU)])


def test_one_that_is_refused_is_in_no_row(requests):
    standings = tournament(requests, (200,), [Entrant("Mine", queue("return -1")), Entrant("Other", LRU)])
    assert "named -1" in standings.refused["Mine"]
    assert standings.place_of("Mine") is None and standings.place_of("Other") is not None
    assert not [row for row in standings.rows if row.policy == "Mine"]
