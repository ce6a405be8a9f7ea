"""How smoothly the large widgets move in the page, in headless Chromium: frames per second.

    python benchmarks/widgets.py            # writes benchmarks/results/widgets.json

A real JupyterLab shows a `PageTable` of 10,000 blocks and a `RadixTree` of 2,000 nodes; a script in the page then moves
the slider once a frame, as a hand would, and takes the time of every frame. Four ways to move: small steps forward,
small steps back (each back step starts from a keyframe), jumps to anywhere (the worst case: nearly everything changes),
and the whole picture painted anew each time. The tree is measured folded, whole, and in readable size, where it is
scrolled as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "widgets.json"

CELL = """
import random
from labkit.observe.events import EventLog, Kind
from labkit.widgets import PageTable

def busy_log(num_blocks, operations, sequences, seed=4711, block_size=16):
    draw, log = random.Random(seed), EventLog(num_blocks=num_blocks, block_size=block_size)
    free, tables = list(range(num_blocks)), {{}}
    draw.shuffle(free)
    for _ in range(operations):
        name = f"r{{draw.randrange(sequences)}}"
        table = tables.setdefault(name, [])
        if len(table) > 1.6 * num_blocks / sequences or len(free) < 5:
            log.begin(f"release({{name}})")
            for block in table:
                log.emit(Kind.FREE, name, block, 0)
            free += table
            tables[name] = []
            continue
        log.begin(f"append({{name}})")
        for _ in range(draw.randint(1, 5)):
            block = free.pop(0)
            log.emit(Kind.ALLOCATE, name, block, len(table))
            log.emit(Kind.FILL, name, block, draw.randint(1, block_size))
            table.append(block)
    return log

log = busy_log({blocks}, {operations}, {sequences})
print("EVENTS", len(log))
PageTable(log, title="{blocks} blocks")
"""

TREE_CELL = """
import random
from labkit.cache.radix_node import RadixNode
from labkit.cache.radix_tree import evict_leaf, insert, lock, unlock
from labkit.observe.trees import TreeLog
from labkit.widgets import RadixTree

def grown(nodes, steps, seed=4711, page=64):
    draw, root, log, now, held = random.Random(seed), RadixNode(), TreeLog(page_bytes=page), 0, []
    stems = [draw.randbytes(page * draw.randint(1, 6)) for _ in range(24)]
    def everything():
        found = [root]
        for node in found:
            found += node.children.values()
        return found
    def one():
        stem = draw.choice(stems)
        if draw.random() < 0.25:
            stems.append(stem + draw.randbytes(page * draw.randint(1, 3)))
        prompt = stem[: page * draw.randint(1, len(stem) // page)] + draw.randbytes(page * draw.randint(1, 4))
        node, _ = insert(root, prompt, range(len(prompt) // page), page)
        lock(node, now)
        held.append(node)
        if len(held) > 40:
            unlock(held.pop(0), now)
        return node
    while len(everything()) < nodes:
        now += 1
        one()
    for step in range(steps):
        now += 1
        if step % 2 == 0:
            log.snapshot(root, f"insert, operation {{step}}", path=[one()])
            continue
        free = [node for node in everything() if node.parent and not node.children and not node.locks]
        for leaf in sorted(free, key=lambda node: node.last_used)[:2]:
            evict_leaf(leaf, 9, page)
        log.snapshot(root, f"evict, operation {{step}}")
    return log

log = grown({nodes}, {operations})
print("EVENTS", len(log))
RadixTree(log, title="{nodes} nodes")
"""

# One move of the slider and one frame at a time; the time of a frame is what requestAnimationFrame says.
MEASURE = """
async ([selector, way, frames]) => {
  const root = document.querySelector(selector);
  const slider = root.querySelector('input[type=range]');
  const board = root.lkBoard;
  const last = Number(slider.max);
  const next = () => new Promise((go) => requestAnimationFrame(go));
  let seed = 12345;
  const draw = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
  const move = (to) => { slider.value = to; slider.dispatchEvent(new Event('input', { bubbles: true })); };
  const stride = Math.max(1, Math.floor(last / 400));
  const at = { forward: (i) => (last * 0.2 + i * stride) % last, back: (i) => last - ((i * stride) % last),
               jump: () => Math.floor(draw() * last), redraw: (i) => Math.floor(last * 0.9) + (i % 2),
               scroll: () => last }[way];
  move(at(0)); await next(); await next();
  const times = [];
  let before = performance.now();
  for (let i = 1; i <= frames; i++) {
    if (way === 'redraw') board.repaint();
    if (way === 'scroll') board.view.scrollTop = (i * 23) % (board.view.scrollHeight - board.view.clientHeight);
    else move(at(i));
    await next();
    const now = performance.now();
    times.push(now - before);
    before = now;
  }
  return times;
}
"""


def summarise(times: list[float]) -> dict[str, float]:
    """Frames a second and the slow end of the frame times, in milliseconds."""
    ordered = sorted(times)
    return {
        "frames": len(times),
        "frames_per_second": round(1000 * len(times) / sum(times), 1),
        "median_ms": round(statistics.median(times), 1),
        "p95_ms": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
    }


@contextmanager
def opened(cell: str, selector: str, scale: float) -> Iterator[tuple[Any, Any, int]]:
    """(page, the widget's card, events in its log): the cell run in a real JupyterLab at so many pixels a CSS pixel."""
    sys.path.insert(0, str(ROOT / "tests" / "browser"))
    import conftest as browse
    from playwright.sync_api import sync_playwright

    from labkit.authoring.photographs import find_chromium

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = browse.lab.__wrapped__ if hasattr(browse.lab, "__wrapped__") else browse.lab._get_wrapped_function()
        lives = server(_Folders(Path(folder)))
        lab = next(lives)
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=browse.CHROME_ARGS)
        try:
            view = chromium.new_context(viewport={"width": 1280, "height": 1000}, device_scale_factor=scale)
            page = view.new_page()
            panel = browse.open_notebook(page, lab, lab.write_notebook("benchmark.ipynb", [cell]))
            browse.run_all(page)
            card = panel.locator(selector)
            card.wait_for()
            card.scroll_into_view_if_needed()
            page.wait_for_timeout(1500)
            told = panel.locator(".jp-OutputArea-output", has_text="EVENTS").first.inner_text()
            yield page, card, int(told.split()[1])
        finally:
            chromium.close()
            next(lives, None)


def measure(blocks: int, operations: int, sequences: int, scale: float, frames: int) -> dict[str, Any]:
    """Open a page table of so many blocks and scrub it; figures by way of moving."""
    cell = CELL.format(blocks=blocks, operations=operations, sequences=sequences)
    selector = ".lk-page-table"
    with opened(cell, selector, scale) as (page, _, events):
        figures = {}
        for way in ("forward", "back", "jump", "redraw"):
            figures[way] = summarise(page.evaluate(MEASURE, [selector, way, frames]))
    return {"blocks": blocks, "events": events, "operations": operations, "pixel_ratio": scale, "ways": figures}


def measure_tree(nodes: int, operations: int, scale: float, frames: int) -> dict[str, Any]:
    """Open a radix tree of so many nodes and scrub it, in three of its forms; figures by form and way of moving."""
    selector = ".lk-radix-tree"
    figures = {}
    with opened(TREE_CELL.format(nodes=nodes, operations=operations), selector, scale) as (page, card, events):

        def form(name: str, ways: tuple[str, ...]) -> None:
            for way in ways:
                figures[f"{name}, {way}"] = summarise(page.evaluate(MEASURE, [selector, way, frames]))

        scrubbed = ("forward", "back", "jump", "redraw")
        form("folded", scrubbed)
        card.get_by_role("button", name="Unfold").click()
        page.wait_for_timeout(500)
        form("whole", scrubbed)
        for _ in range(5):
            card.get_by_role("button", name="Larger").click()
        page.wait_for_timeout(500)
        form("readable", (*scrubbed, "scroll"))
    return {"nodes": nodes, "events": events, "operations": operations, "pixel_ratio": scale, "ways": figures}


class _Folders:
    """What the server fixture asks of pytest: a fresh folder by name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def mktemp(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir()
        return folder


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=120, help="frames a way of moving (default 120)")
    parser.add_argument("--only", choices=("table", "tree"), help="one of the two widgets")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    runs = []
    if options.only != "tree":
        runs += [measure(10_000, 20_000, 110, scale, options.frames) for scale in (1.0, 2.0)]
    if options.only != "table":
        runs += [measure_tree(2_000, 1_000, scale, options.frames) for scale in (1.0, 2.0)]
    machine = {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()}
    load = [round(x, 1) for x in os.getloadavg()] if hasattr(os, "getloadavg") else []
    at = time.strftime("%Y-%m-%d")
    for run in runs:
        run |= {"at": at, "load_average": load}
    if options.only and options.out.exists():
        # The other widget's figures stay as they were measured.
        before = json.loads(options.out.read_text(encoding="utf-8"))
        stamp = {"at": before["at"], "load_average": before["load_average"]}
        other = "blocks" if options.only == "tree" else "nodes"
        kept = [{**stamp, **run} for run in before["runs"] if other in run]
        runs = kept + runs if options.only == "tree" else runs + kept
    result = {"at": at, "machine": machine, "load_average": load, "runs": runs}
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for run in runs:
        size = f"{run['blocks']:,} blocks" if "blocks" in run else f"{run['nodes']:,} nodes"
        print(f"{size}, {run['events']:,} events, pixel ratio {run['pixel_ratio']:g}")
        for way, figures in run["ways"].items():
            print(f"  {way:18} {figures['frames_per_second']:6.1f} frames/s, p95 {figures['p95_ms']:.0f} ms")


if __name__ == "__main__":
    main()
