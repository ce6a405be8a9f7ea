"""How smoothly the page table scrubs in the page: frames a second with 10,000 blocks, in headless Chromium.

    python benchmarks/widgets.py            # writes benchmarks/results/widgets.json

A real JupyterLab shows a `PageTable`; a script in the page then moves its slider once a frame, as a hand would, and
takes the time of every frame. Four ways to move: small steps forward, small steps back (each back step starts from a
keyframe), jumps to anywhere (the worst case: nearly every block changes), and the whole picture painted anew each time.
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

# One move of the slider and one frame at a time; the time of a frame is what requestAnimationFrame says.
MEASURE = """
async ([way, frames]) => {
  const root = document.querySelector('.lk-page-table');
  const slider = root.querySelector('input[type=range]');
  const board = root.lkBoard;
  const last = Number(slider.max);
  const next = () => new Promise((go) => requestAnimationFrame(go));
  let seed = 12345;
  const draw = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
  const move = (to) => { slider.value = to; slider.dispatchEvent(new Event('input', { bubbles: true })); };
  const stride = Math.max(1, Math.floor(last / 400));
  const at = { forward: (i) => (last * 0.2 + i * stride) % last, back: (i) => last - ((i * stride) % last),
               jump: () => Math.floor(draw() * last), redraw: (i) => Math.floor(last * 0.9) + (i % 2) }[way];
  move(at(0)); await next(); await next();
  const times = [];
  let before = performance.now();
  for (let i = 1; i <= frames; i++) {
    if (way === 'redraw') board.repaint();
    move(at(i));
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


def measure(blocks: int, operations: int, sequences: int, scale: float, frames: int) -> dict[str, Any]:
    """Open a page table of so many blocks and scrub it; figures by way of moving."""
    sys.path.insert(0, str(ROOT / "tests" / "browser"))
    import conftest as browse
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = browse.lab.__wrapped__ if hasattr(browse.lab, "__wrapped__") else browse.lab._get_wrapped_function()
        lives = server(_Folders(Path(folder)))
        lab = next(lives)
        chromium = playwright.chromium.launch(executable_path=browse.find_chromium(), args=browse.CHROME_ARGS)
        try:
            view = chromium.new_context(viewport={"width": 1280, "height": 1000}, device_scale_factor=scale)
            page = view.new_page()
            cell = CELL.format(blocks=blocks, operations=operations, sequences=sequences)
            panel = browse.open_notebook(page, lab, lab.write_notebook("benchmark.ipynb", [cell]))
            browse.run_all(page)
            card = panel.locator(".lk-page-table")
            card.wait_for()
            card.scroll_into_view_if_needed()
            page.wait_for_timeout(1500)
            told = panel.locator(".jp-OutputArea-output", has_text="EVENTS").first.inner_text()
            events = int(told.split()[1])
            figures = {}
            for way in ("forward", "back", "jump", "redraw"):
                figures[way] = summarise(page.evaluate(MEASURE, [way, frames]))
            return {"blocks": blocks, "events": events, "operations": operations, "pixel_ratio": scale, "ways": figures}
        finally:
            chromium.close()
            next(lives, None)


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
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    runs = [measure(10_000, 20_000, 110, scale, options.frames) for scale in (1.0, 2.0)]
    machine = {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()}
    load = [round(x, 1) for x in os.getloadavg()] if hasattr(os, "getloadavg") else []
    result = {"at": time.strftime("%Y-%m-%d"), "machine": machine, "load_average": load, "runs": runs}
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for run in runs:
        print(f"{run['blocks']:,} blocks, {run['events']:,} events, pixel ratio {run['pixel_ratio']:g}")
        for way, figures in run["ways"].items():
            print(f"  {way:8} {figures['frames_per_second']:6.1f} frames/s, p95 {figures['p95_ms']:.0f} ms")


if __name__ == "__main__":
    main()
