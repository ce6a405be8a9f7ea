"""The tournament: who shares a place, who is refused and why, and what a policy cannot see."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psutil
import pytest

from labkit.cache.eviction_policies import POLICIES
from labkit.errors import LabkitError, PolicyError
from labkit.grading.progress import Progress
from labkit.grading.runner import check
from labkit.sandbox import isolation
from labkit.simulate import tournament as tournament_module
from labkit.simulate.cache_replay import cache_replay
from labkit.simulate.hit_ratio import requests_of
from labkit.simulate.policy_bounds import (
    BLOCKS,
    SLOWER,
    Feed,
    memory_growth,
    names_lru,
    reaches_beyond,
    time_growth,
)
from labkit.simulate.prefix_patterns import cyclic_scan
from labkit.simulate.prefix_workload import draw_conversations
from labkit.simulate.tournament import Entrant, tournament

pytestmark = pytest.mark.early

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
        if len(self.heap) > 4 * len(self.may_go) + 64:
            self.heap = sorted((time, block) for block, time in self.may_go.items())
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
def traces():
    return [requests_of(draw_conversations(120, seed=seed), full_blocks_only=True) for seed in (3, 4, 5)]


def policy(text: str):
    """The class that a text defines."""
    namespace: dict = {}
    exec(text, namespace)
    return namespace["MyPolicy"]


# ----- who is ranked where --------------------------------------------------------------------------------------------


def test_a_policy_by_anybody_is_ranked_like_the_built_in_ones(traces):
    standings = tournament(traces, (100, 400), [Entrant("Mine", LRU)], "drawn")
    for capacity in (100, 400):
        rows = {row.policy: row for row in standings.rows if row.capacity == capacity}
        assert set(rows) == {*POLICIES, "Belady", "Mine"}
        mine, ours = rows["Mine"], rows["LRU"]
        assert (mine.hit_ratio, mine.evictions, mine.regret_ratio) == (
            ours.hit_ratio,
            ours.evictions,
            ours.regret_ratio,
        )
        assert mine.place == ours.place and rows["Belady"].place == 0
        assert all(row.behind >= 0 and row.place >= 0 for row in rows.values())
        outcomes = [cache_replay(requests, capacity, POLICIES["LRU"]) for requests in traces]
        assert mine.hit_ratio == pytest.approx(sum(o.hit_ratio for o in outcomes) / 3)
        # The floor of regret is Belady's: what it regrets nobody could have kept.
        assert rows["Belady"].regret_ratio == min(row.regret_ratio for row in rows.values())
    assert not standings.refused and standings.place_of("Mine") == standings.place_of("LRU")
    assert [row.hit_ratio for row in standings.overall] == sorted(
        (r.hit_ratio for r in standings.overall), reverse=True
    )
    assert json.loads(json.dumps(standings.to_dict()))["looked_up"] == sum(len(ids) for r in traces for ids in r)


def test_what_the_traces_do_not_tell_apart_shares_a_place():
    """One trace ranks by chance: here it puts one and the same policy first, and another puts it last."""
    drawn = [requests_of(draw_conversations(150, seed=seed), full_blocks_only=True) for seed in (4, 5, 6)]
    alone = {tournament([requests], (150,)).place_of("Random") for requests in drawn}
    assert len(alone) > 1
    together = {row.policy: row for row in tournament(drawn, (150,)).overall}
    assert together["Random"].place == together["LRU"].place == 1
    assert together["Random"].spread > 0 < together["LRU"].spread


def test_a_difference_that_every_trace_shows_is_a_rank():
    """On a ring that is a little too large LRU finds nothing, and the newest-first policy nearly all."""
    rings = [requests_of(cyclic_scan(60 + n, 6)) for n in range(3)]
    newest = Entrant("Newest", queue("return self.queue.popitem()[0]"))
    standings = tournament(rings, (55,), [newest])
    assert standings.place_of("Newest") == 1 < standings.place_of("LRU")
    assert next(row for row in standings.rows if row.policy == "LRU").hit_ratio == 0


def test_one_trace_has_no_spread_and_equal_hits_share_a_place():
    standings = tournament([requests_of(cyclic_scan(60, 3))], (40,), [Entrant("Mine", LRU)])
    assert {row.spread for row in standings.rows} == {0}
    assert standings.place_of("Mine") == standings.place_of("LRU") == standings.place_of("FIFO")


def test_bad_tournaments(traces):
    for wrong in ([], [[]]):
        with pytest.raises(LabkitError, match="a request and a capacity"):
            tournament(wrong, (10,))
    with pytest.raises(LabkitError, match="a request and a capacity"):
        tournament(traces, ())
    with pytest.raises(LabkitError, match="capacity is 0"):
        tournament(traces, (0,))
    with pytest.raises(LabkitError, match="same name"):
        tournament(traces, (10,), [Entrant("LRU", LRU)])


def test_one_that_is_refused_is_in_no_row(traces):
    standings = tournament(traces, (50,), [Entrant("Mine", queue("return -1")), Entrant("Other", LRU)])
    assert "named -1" in standings.refused["Mine"]
    assert standings.place_of("Mine") is None and standings.place_of("Other") is not None
    assert not [row for row in standings.rows if row.policy == "Mine"]


# ----- who is refused -------------------------------------------------------------------------------------------------

REFUSED = {
    "collector": ("import gc\n", "return 0", "Line 1 imports gc"),
    "generator": ("from labkit.simulate.prefix_workload import draw_conversations\n", "return 0", "imports labkit.sim"),
    "file": ("", "return open('trace.jsonl').read()", "uses open"),
    "import": ("", "return __import__('gc').get_objects()", "__import__"),
    "text": ("", "return 'one'", "returned 'one'"),
    "no-block": ("", "return -1", "named -1"),
    "a-held-one": ("", "self.queue.popitem(); return 10**9", "named 1000000000"),
    "raises": ("", "return [][0]", "raised IndexError in line 9, in evict: list index out of range"),
    "leaves": ("", "raise SystemExit", "SystemExit"),
    "recursion": ("", "return self.evict()", "RecursionError"),
    "not-written": ("", "raise NotImplementedError", "not written yet"),
    "syntax": ("def :\n", "return 0", "cannot read line 1"),
    "at-the-top": ("raise ValueError\n", "return 0", "raised ValueError"),
    "memory": ("", "self.more = [0] * (1 << 30); return 0", "ran out of memory"),
    "keeps": ("LOG = []\n", "b = self.queue.popitem()[0]; LOG.append((b,)); return b", "forget what has been evicted"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_reason(name):
    top, evict, reason = REFUSED[name]
    scan = requests_of(cyclic_scan(60, 3))
    with pytest.raises(PolicyError, match=reason):
        Entrant("Mine", queue(evict, top)).replay(scan, 40, check_memory=name == "keeps")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on processor time")
@pytest.mark.parametrize("evict", ["while True: pass", "1.5 in range(10**12)", "'x'.ljust(10**12)"])
def test_what_does_not_end_is_stopped(evict, monkeypatch):
    monkeypatch.setattr(tournament_module, "SECONDS", 0.5)
    with pytest.raises(PolicyError, match=r"had not come to an end|ran out of memory"):
        Entrant("Mine", queue(f"\n        {evict}")).replay(requests_of(cyclic_scan(60, 3)), 40, check_memory=False)


LOOKS = """
import random
os, FOUND = random.Random.seed.__globals__["_os"], []
def look(what):
    try:
        FOUND.append(str(what()))
    except (OSError, ImportError):
        pass
def start():
    pid = os.fork()
    if not pid:
        os._exit(0)
    return pid
parent = os.getppid()
for name in ("cmdline", "environ", "maps", "mem", "stat", "fd/0"):
    look(lambda: os.read(os.open(f"/proc/{parent}/{name}", 0), 10))
look(lambda: os.listdir(f"/proc/{parent}/fd"))
look(lambda: os.open("/tmp/mine.py", os.O_CREAT | os.O_WRONLY))
look(lambda: os.system("true") and 1 / 0 if os.getuid() else None)
look(lambda: __builtins__["__import__"]("ctypes"))
look(lambda: start() if os.getuid() else None)
FOUND = [found for found in FOUND if found not in ("None", "0")]
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks through /proc")
def test_a_policy_that_gets_hold_of_the_system_still_sees_nothing():
    """The limits are the operating system's: it does not matter how the text came by `os`."""
    text = queue("raise ValueError(','.join(FOUND) or 'nothing was found')", LOOKS)
    with pytest.raises(PolicyError, match="nothing was found"):
        Entrant("Mine", text).replay(requests_of(cyclic_scan(60, 3)), 40, check_memory=False)


def test_neither_the_seed_nor_the_trace_is_told_to_the_process(monkeypatch):
    """What the process gets: a command line without arguments of its own, a sandbox's environment, and the job."""
    seen: list = []
    popen = tournament_module.subprocess.Popen
    monkeypatch.setattr(
        tournament_module.subprocess, "Popen", lambda args, **kw: seen.append((args, kw["env"])) or popen(args, **kw)
    )
    monkeypatch.setenv("SEED", "7")
    Entrant("Mine", LRU).replay(requests_of(cyclic_scan(60, 3)), 40, check_memory=False)
    ((args, env),) = seen
    assert args[-3:] == ["-P", "-m", "labkit.simulate.policy_worker"]
    assert env == isolation.environment() and "SEED" not in env


JOB = {
    "text": LRU,
    "target": "MyPolicy",
    "prelude": "",
    "parts": {},
    "num_blocks": 8,
    "seconds": 20.0,
    "check_memory": False,
}


@pytest.mark.skipif(not hasattr(os, "fork") or not sys.platform.startswith("linux"), reason="looks through /proc")
@pytest.mark.parametrize("how", ["its replay ends", "the tournament dies"])
def test_nothing_that_a_policy_starts_outlives_it(tmp_path, how):
    """As if a policy had got hold of `os` before the limits: a process in a session of its own."""
    mark = f"labkit-left-{tmp_path.name}"
    worker = tmp_path / "labkit_policy_worker_that_forks.py"
    worker.write_text(
        "import os, subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', {mark!r}], start_new_session=True)\n"
        "from labkit.simulate.policy_worker import main\nmain()\n"
    )
    code = (
        "import sys, os\n"
        "from labkit.simulate import tournament\n"
        "popen = tournament.subprocess.Popen\n"
        f"tournament.subprocess.Popen = lambda args, **kw: popen([*args[:-2], {str(worker)!r}], **kw)\n"
        f"remote = tournament._Remote({JOB!r})\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "remote.close() if sys.argv[1] == 'its replay ends' else None\n"
        "print('closed', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    asking = subprocess.Popen(
        [sys.executable, "-c", code, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert asking.stdin is not None and asking.stdout is not None
    assert asking.stdout.readline() == "ready\n"
    left = [process for process in psutil.process_iter() if mark in " ".join(said(process))]
    assert len(left) == 1
    if how == "the tournament dies":
        asking.kill()
    else:
        asking.stdin.write("\n")
        asking.stdin.flush()
        assert asking.stdout.readline() == "closed\n"
    gone, alive = psutil.wait_procs(left, timeout=20)
    asking.kill()
    asking.communicate()
    for process in alive:
        process.kill()
    assert len(gone) == 1


def said(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


# ----- bounds ---------------------------------------------------------------------------------------------------------

SLOW = {
    # Each looks at all blocks, at every eviction or hit.
    "min": "block = min(self.queue)",
    "min-with-key": "block = min(self.queue, key=lambda b: -b)",
    "list": "block = list(self.queue)[0]",
    "loop": "\n        for b in self.queue: block = b",
    "reduce-in-c": "block = reduce(min, self.queue)",
    "last-of-a-deque": "block = deque(self.queue, maxlen=1)[0]",
    "in-values": "block = next(iter(self.queue)); 5 in self.queue.values()",
    "swallows": "\n        block = next(iter(self.queue))\n        try:\n            sum(self.queue)\n        except:\n"
                "            pass",
    "match": "\n        match [*self.queue]:\n            case [block, *rest]: pass",
}  # fmt: skip
TOP = "from functools import reduce\nfrom collections import deque\n"


@pytest.mark.parametrize("name", SLOW)
def test_a_look_at_all_blocks_shows_in_the_time_it_takes(name):
    lines = SLOW[name] if SLOW[name].startswith("\n") else "\n        " + SLOW[name]
    growth = time_growth(lambda blocks: policy(queue(lines + "\n        del self.queue[block]; return block", TOP))())
    assert growth.ratio > SLOWER and "Look for a loop over all blocks" in growth.sentence


FAST = {
    "ordered-dict": queue(),
    "heap": LRU,
    "first-of-a-dict": queue("block = next(iter(self.queue)); del self.queue[block]; return block"),
    "newest": queue("return self.queue.popitem()[0]"),
    "deque": """
from collections import deque
class MyPolicy:
    def __init__(self): self.queue, self.may_go = deque(), set()
    def add(self, block):
        if len(self.queue) > 4 * len(self.may_go) + 64:
            self.queue = deque(block for block in dict.fromkeys(self.queue) if block in self.may_go)
        self.queue.append(block)
        self.may_go.add(block)
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
        if len(self.heap) > 4 * len(self.entries) + 64:
            self.heap = sorted(self.entries.values())
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
    scan = requests_of(cyclic_scan(100, 3))
    outcome = Entrant("Mine", FAST[name]).replay(scan, 80)
    assert outcome.evictions > 20


@pytest.mark.parametrize("name", [name for name in FAST if name != "on-top-of-lru"])
def test_their_time_and_memory_do_not_grow(name):
    found = policy(FAST[name])
    takes = found.__init__.__code__.co_argcount > 1
    make = found if takes else lambda blocks: found()
    assert time_growth(make).sentence == ""
    assert memory_growth(make).sentence == ""


def test_a_heap_that_is_cleaned_by_evictions_alone_grows_with_every_hit():
    growth = memory_growth(policy(LRU.replace("> 4 * len(self.may_go)", "> 10**9 * len(self.may_go)")))
    assert growth.phase == "hits" and "although nothing is evicted" in growth.sentence


KEPT = {
    "in-itself": ("self.log = []", "self.log.append(block)", "evictions"),
    "behind-a-method": ("hidden = []; self.keep = hidden.append", "self.keep(block)", "evictions"),
    "in-a-global": ("", "LOG.append(block)", "evictions"),
    "in-the-class": ("", "MyPolicy.more = (block, MyPolicy.more)", "evictions"),
    "in-bytes": ("self.log = bytearray()", "self.log += b'x'", "evictions"),
    "in-a-generator": ("self.run = self.keeps(); next(self.run)", "self.run.send(block)", "evictions"),
    "in-a-default": ("", "keep(block)", "evictions"),
    "one-a-hit": ("self.log = []", "self.hits and self.log.append(block)", "hits"),
    "nothing": ("", "pass", ""),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_is_measured_wherever_it_is(name):
    init, add, phase = KEPT[name]
    text = f"""
LOG = []
def keep(block, kept=[]):
    kept.append(block)
class MyPolicy:
    more = ()
    def __init__(self, num_blocks):
        self.queue, self.hits = {{}}, 0
        {init or "pass"}
    def keeps(self):
        kept = []
        while True:
            kept.append((yield))
    def hit(self, blocks): self.hits += 1
    def add(self, block):
        self.queue[block] = None
        {add}
    def remove(self, block): del self.queue[block]
    def evict(self): return self.queue.popitem()[0]
"""
    growth = memory_growth(policy(text))
    assert bool(growth.sentence) == bool(phase)
    if phase:
        assert growth.phase == phase and f"for a cache of {BLOCKS} blocks" in growth.sentence.lower()


def test_a_feed_tells_what_a_cache_tells():
    told: list = []

    class Listens:
        def __getattr__(self, name):
            return lambda *args: told.append((name, *args)) or 1

    feed = Feed(Listens(), 2)
    assert told == [
        (name, *args) for b in (0, 1) for name, *args in (("stored", [b], 0), ("released", [b]), ("add", b))
    ]
    told.clear()
    feed.hit(1)
    assert told == [("remove", 1), ("hit", [1]), ("released", [1]), ("add", 1)]
    told.clear()
    feed.miss()
    assert told == [("evict",), ("stored", [1], 0), ("released", [1]), ("add", 1)]
    feed.num_blocks = 1
    with pytest.raises(PolicyError, match="no block of the cache"):
        feed.miss()


# ----- an LRU of one's own --------------------------------------------------------------------------------------------


def test_own_lru_is_loaded_only_where_the_text_builds_on_it():
    own = LRU.replace("MyPolicy", "LRU").replace("self, num_blocks", "self")
    builds = "class MyPolicy(LRU):\n    pass\n"
    prelude = "from labkit.mine import LRU\n"
    scan = requests_of(cyclic_scan(60, 3))
    assert Entrant("Mine", builds, prelude=prelude, parts={"LRU": own}).replay(scan, 40, check_memory=False).hits == 0
    with_numpy = {"LRU": "\nimport numpy as np\n" + own}
    assert Entrant("Mine", queue(), prelude=prelude, parts=with_numpy).replay(scan, 40, check_memory=False).evictions
    with pytest.raises(PolicyError, match="Line 2 of your LRU imports numpy"):
        Entrant("Mine", builds, prelude=prelude, parts=with_numpy).replay(scan, 40)
    assert names_lru("from labkit.mine import LRU as Mine") and not names_lru("# LRU\nx = 'LRU'")
    assert reaches_beyond("import heapq\nfrom math import log\nfrom labkit.mine import LRU\n") == ""


def test_the_check_blames_the_cell_that_imports(tmp_path, monkeypatch):
    """An LRU with NumPy has passed. A policy without it passes too, and one on top of it hears whose line it is."""
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    own = "\nimport numpy as np\n" + LRU.replace("MyPolicy", "LRU(Policy)").replace("self, num_blocks", "self")
    Progress().save_pass("09_eviction_tournament", "LRU", own)
    assert check("09", "MyPolicy", FAST["heap"].replace("MyPolicy:", "MyPolicy(Policy):"), keep_spare=False).passed
    builds = "class MyPolicy(LRU):\n    def __init__(self, num_blocks):\n        super().__init__()\n"
    verdict = check("09", "MyPolicy", builds, keep_spare=False)
    assert verdict.rule == "works-with-what-it-is-told" and verdict.over == "mine"
    assert "Line 2 of your LRU imports numpy" in verdict.message
