"""The tournament board and the eviction strip in a real JupyterLab: keys, pointer, both themes, numbers that agree."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

REPLAYS = r'''
import random
from collections import Counter


def replay(trace, capacity, victim):
    """Demand replay, one block a request, every block of one cost, none pinned: (hit rate, evictions, regretted)."""
    future, following = [0] * len(trace), {}
    for i in range(len(trace) - 1, -1, -1):
        future[i] = following.get(trace[i], len(trace))
        following[trace[i]] = i
    cached, gone, uses = {}, set(), Counter()
    hits = evictions = regretted = 0
    for now, key in enumerate(trace):
        uses[key] += 1
        born = now
        if key in cached:
            hits += 1
            born = cached[key][0]
        else:
            regretted += key in gone
            gone.discard(key)
            if len(cached) == capacity:
                out = victim(cached, uses)
                del cached[out]
                gone.add(out)
                evictions += 1
        cached[key] = (born, now, future[now])
    return hits / len(trace), evictions, regretted


def makers():
    draw = random.Random(3)
    return {
        "FIFO": lambda cached, uses: min(cached, key=lambda k: cached[k][0]),
        "LRU": lambda cached, uses: min(cached, key=lambda k: cached[k][1]),
        "LFU": lambda cached, uses: min(cached, key=lambda k: (uses[k], cached[k][1])),
        "random": lambda cached, uses: draw.choice(sorted(cached)),
        "MyPolicy": lambda cached, uses: min(cached, key=lambda k: (uses[k] > 1, cached[k][1])),
        "Belady": lambda cached, uses: max(cached, key=lambda k: (cached[k][2], k)),
    }


draw = random.Random(7)
TRACES = {
    "chat": [min(399, int(draw.paretovariate(0.6))) for _ in range(1500)],
    "cyclic scan": [i % 100 for i in range(1500)],
}
ABOUT = {"chat": "a few blocks are asked for far more often than the rest", "cyclic scan": "100 blocks in a ring"}
calls = []


def compute(name, capacities):
    calls.append((name, list(capacities)))
    if broken.get(name):
        raise IndexError("victim 17 is not cached")
    out = {}
    for policy in makers():
        rows = [replay(TRACES[name], c, makers()[policy]) for c in capacities]
        out[policy] = dict(zip(("hit_rate", "evictions", "regret"), map(list, zip(*rows))))
    return out


broken = {}
'''

BOARD = """
from labkit.widgets import TournamentBoard
board = TournamentBoard(compute, ABOUT, [8, 16, 32, 64, 128, 256], mine="MyPolicy")
board
"""
TOLD = """
import json
print("TOLD" + json.dumps({"choice": board.choice, "cursor": board.cursor, "answer": board.answer, "calls": calls}))
"""


def active_cell(page: Any) -> int:
    return page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex")


def told(page: Any, browse: Any, cell: str = "cell-2") -> dict[str, Any]:
    """What Python holds now."""
    browse.wait_idle(page)
    text = browse.run_cell(page, cell).locator(".jp-OutputArea-output", has_text="TOLD").inner_text()
    return json.loads(text.split("TOLD", 1)[1])


STRIP = """
from labkit.observe.evictions import pair_evictions
from labkit.widgets import EvictionStrip


def evicted(trace, capacity):
    cached, free, removals = {}, list(range(capacity)), []
    for now, key in enumerate(trace):
        if key in cached:
            cached[key] = cached.pop(key)
            continue
        if not free:
            out = next(iter(cached))
            free.append(cached.pop(out))
            removals.append((now, out, free[-1]))
        cached[key] = free.pop()
    return pair_evictions(removals, list(enumerate(trace)), lambda content: f"content {content}")


strip = EvictionStrip(evicted(TRACES["chat"][:300], 16), 300)
strip
"""
LARGE = """
draw = random.Random(1)
busy = [min(20000, int(draw.paretovariate(0.45))) if draw.random() < 0.7 else 10**6 + i for i in range(40000)]
large = EvictionStrip(evicted(busy, 300), 40000, title="Many")
print(len(large.evictions))
large
"""


def test_slice(lab: Any, page: Any, browse: Any) -> None:
    cells = (REPLAYS, BOARD, TOLD, STRIP, LARGE)
    panel = browse.open_notebook(page, lab, lab.write_notebook("tournament.ipynb", cells))
    browse.set_theme(page, dark=False)
    browse.run_all(page)
    browse.cell(page, "cell-3")
    strip = panel.locator(".lk-eviction-strip").first
    expect(strip).to_be_visible()
    browse.shoot(page, "strip-light", strip)
    browse.cell(page, "cell-4")
    browse.shoot(page, "strip-large-light", panel.locator(".lk-eviction-strip").nth(1))
    browse.set_theme(page, dark=True)
    browse.shoot(page, "strip-large-dark", panel.locator(".lk-eviction-strip").nth(1))
    browse.assert_clean(page)
