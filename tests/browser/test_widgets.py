"""The widgets in a real JupyterLab: every state of the gallery, keys, pointer, both themes, nothing from outside."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

ROOT = Path(__file__).resolve().parents[2]
GALLERY = ROOT / "notebooks" / "masters" / "gallery.py"

SCENE = """
from labkit.cache.block_pool import BlockPool
from labkit.cache.block_table import BlockTable
from labkit.observe.events import EventLog, Kind
from labkit.observe.recorder import record
from labkit.widgets import CheckReport, EngineMap, PageTable

log = EventLog(num_blocks=16, block_size=4)
pool = record(BlockPool(16), log)
tables = {name: record(BlockTable(pool, 4), log, name) for name in "AB"}
for name, tokens in (("A", 10), ("B", 18), ("A", 6)):
    tables[name].append(tokens)
tables["B"].release()
"""


def gallery_cells() -> list[tuple[str, str]]:
    """(id, source) of each cell of the gallery's master; markdown becomes a comment."""
    cells = re.split(r"^# %%", GALLERY.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = []
    for cell in cells:
        head, _, body = cell.partition("\n")
        id = re.search(r'id="([^"]+)"', head)
        found.append((id.group(1) if id else "", body.strip()))
    return found


@pytest.fixture
def show(lab: Any, page: Any, browse: Any, request: pytest.FixtureRequest):
    """Run cells in a notebook of their own; returns the panel."""

    def run(*cells: str) -> Any:
        name = lab.write_notebook(f"{request.node.name}.ipynb", cells)
        panel = browse.open_notebook(page, lab, name)
        browse.set_theme(page, dark=False)
        browse.run_all(page)
        return panel

    return run


def active_cell(page: Any) -> int:
    return page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex")


def test_every_state_in_both_themes_and_narrow(show, page, browse):
    cells = gallery_cells()
    panel = show(*[source for _, source in cells])
    shown = [
        i
        for i, (_, source) in enumerate(cells)
        if re.search(
            r"^(PageTable|PagePlay|twice$|guarded$|MemoryMap|RadixTree|CheckReport|report|Engine|Opening|Progress|Tournament|EvictionStrip|evicted|board$|DrillBoard|played|Storm|storm$|turned$)",
            source.split("\n\n")[-1],
            re.M,
        )
    ]
    assert len(shown) > 25
    for dark, width in ((False, 1280), (True, 1280), (False, 900)):
        page.set_viewport_size({"width": width, "height": 1000})
        browse.set_theme(page, dark)
        for i in shown:
            page.evaluate("(i) => window.jupyterapp.shell.currentWidget.content.scrollToItem(i, 'start')", i)
            card = panel.locator(f'.jp-Cell[data-windowed-list-index="{i}"] .lk-card').first
            expect(card).to_be_visible()
            too_wide = card.evaluate("(node) => node.scrollWidth - node.clientWidth")
            assert too_wide <= 1, f"{cells[i][0]} is {too_wide} pixels too wide at {width}"
        browse.shoot(page, f"gallery-{'dark' if dark else 'light'}-{width}")
    browse.assert_clean(page)


def test_the_page_and_python_agree_on_every_log(show, page):
    """A random log, right and wrong events alike, replayed in the page and in Python: the same counts at every step."""
    make = """
import json, random
def noise(seed):
    draw, log = random.Random(seed), EventLog(num_blocks=12, block_size=4)
    kinds = [Kind.ALLOCATE] * 4 + [Kind.FREE] * 4 + [Kind.SHARE, Kind.COPY, Kind.STORED, Kind.REMOVED, Kind.REUSE]
    kinds += [Kind.FILL, Kind.CLEARED]
    for step in range(700):
        log.begin(f"step {step}")
        for _ in range(draw.randint(0, 3)):
            kind = draw.choice(kinds)
            arg = draw.randint(-1, 5) if kind != Kind.COPY else draw.randrange(12)
            log.emit(kind, draw.choice([None, "A", "B", "C"]), draw.randrange(-1, 13), arg)
    return log
table = PageTable(noise(3))
table
"""
    told = """
def plain(state):
    tables = {seq: table for seq, table in state.tables.items() if table}
    return [list(state.counts()), sorted(map(len, state.holders)), tables]
print("TRUTH" + json.dumps([plain(table.state(step)) for step in range(0, 701, 7)]))
"""
    panel = show(SCENE, make, told)
    text = panel.locator(".jp-OutputArea-output", has_text="TRUTH").inner_text()
    truth = json.loads(text.split("TRUTH", 1)[1])
    # Backwards, so that keyframes are used, then forwards.
    ask = """
      (steps) => {
        const { replay } = document.querySelector('.lk-page-table').lkBoard;
        return steps.map((step) => {
          replay.seek(step);
          const c = replay.counts();
          const held = [...replay.tables].filter(([, table]) => table.length);
          const tables = Object.fromEntries(held.map(([seq, table]) => [seq, table.slice()]));
          return [[c.free, c.held, c.cached], replay.holders.map((h) => h.length).sort((a, b) => a - b), tables];
        });
      }"""
    steps = list(range(0, 701, 7))
    backwards = page.evaluate(ask, steps[::-1])[::-1]
    assert backwards == truth
    assert page.evaluate(ask, steps) == truth


def test_steps_by_keyboard_stay_in_the_widget(show, page, browse):
    panel = show(SCENE, "PageTable(log)", "1 + 1", "2 + 2")
    card = panel.locator(".lk-page-table")
    slider = card.get_by_role("slider", name="Step")
    slider.focus()
    before = active_cell(page)
    expect(card).to_have_attribute("data-step", "4")
    page.keyboard.press("Home")
    expect(card).to_have_attribute("data-step", "0")
    expect(card).to_have_attribute("data-free", "16")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(card).to_have_attribute("data-step", "2")
    expect(card.locator(".lk-board-sentence")).to_contain_text("append(B, 18)")
    page.keyboard.press("ArrowLeft")
    expect(card).to_have_attribute("data-held", "3")
    page.keyboard.press("End")
    expect(card).to_have_attribute("data-step", "4")
    page.keyboard.press("Home")
    expect(card).to_have_attribute("data-step", "0")  # else the 4 below may still be the one above
    page.keyboard.press("Space")
    expect(card).to_have_attribute("data-step", "4")
    back = card.get_by_role("button", name="One step back")
    back.focus()
    page.keyboard.press("Space")
    expect(card).to_have_attribute("data-step", "3")
    page.keyboard.press("ArrowRight")
    expect(card).to_have_attribute("data-step", "4")
    assert active_cell(page) == before
    browse.assert_clean(page)


BUSY = """
import random
def busy(num_blocks, operations, names, seed=5):
    draw, log = random.Random(seed), EventLog(num_blocks=num_blocks, block_size=8)
    free, tables = list(range(num_blocks)), {name: [] for name in names}
    for step in range(operations):
        name = draw.choice(names)
        if len(free) < 4 or len(tables[name]) > 1.7 * num_blocks / len(names):
            log.begin(f"release({name})")
            for block in tables[name]:
                log.emit(Kind.FREE, name, block, 0)
                if block % 3:
                    log.emit(Kind.STORED, None, block)
            free += tables[name]
            tables[name] = []
            continue
        log.begin(f"append({name})")
        for _ in range(draw.randint(1, 3)):
            block = free.pop(0)
            log.emit(Kind.ALLOCATE, name, block, len(tables[name]))
            log.emit(Kind.FILL, name, block, draw.randint(1, 8))
            tables[name].append(block)
        if step % 5 == 0:
            other = draw.choice(names)
            log.emit(Kind.SHARE if step % 10 else Kind.ALLOCATE, other, block, -1)
    return log
"""

# After each move the canvases as they are, and then as a full redraw makes them: the places where the two differ.
REPAINTED = """
async ([id, moves]) => {
  const frames = async () => { for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame); };
  const root = document.querySelectorAll('.lk-page-table')[id], board = root.lkBoard;
  const shown = () => [...root.querySelectorAll('canvas')].map((c) => c.toDataURL());
  const wrong = [];
  for (const [what, value] of moves) {
    if (what === 'step') board.bar.seek(value);
    else {
      const canvas = root.querySelectorAll('canvas')[value[0]], box = canvas.getBoundingClientRect();
      const at = { clientX: box.left + value[1] * box.width, clientY: box.top + value[2] * box.height, bubbles: true };
      canvas.dispatchEvent(new PointerEvent(what, at));
    }
    await frames();
    const before = shown();
    board.repaint();
    await frames();
    shown().forEach((url, i) => url === before[i] || wrong.push([what, value, i]));
  }
  return wrong;
}
"""


def test_any_way_to_a_step_gives_the_pixels_of_a_full_redraw(show, page, browse):
    boards = ["busy(48, 60, 'ABCD')", "busy(90, 60, ['A', 'chat', 'req-11'])", "busy(400, 120, 'ABCDEF')"]
    boards += ["busy(1500, 200, [f'r{i}' for i in range(30)])"]
    panel = show(SCENE, BUSY, *(f"PageTable({board})" for board in boards))
    draw = random.Random(3)
    session = page.context.new_cdp_session(page)
    for width, ratio in ((1280, 1), (900, 1.25), (1180, 2), (1280, 1)):
        size = {"width": width, "height": 1000, "deviceScaleFactor": ratio, "mobile": False}
        session.send("Emulation.setDeviceMetricsOverride", size)
        for i in range(len(boards)):
            # JupyterLab takes cells that are far from the window out of the page, and puts them back a moment later.
            browse.cell(page, f"cell-{i + 2}")
            page.wait_for_timeout(400)
            card = panel.locator(".lk-page-table").nth(i)
            card.scroll_into_view_if_needed()
            expect(card).to_be_visible()
            moves: list[tuple[str, Any]] = []
            for _ in range(12 if i < 2 else 6):
                step = draw.randrange(60)
                moves += [("step", step), ("step", step + 1)]
                for what in ("pointermove", "click"):
                    moves.append((what, (draw.randrange(2), draw.random(), draw.random())))
            # The steps that follow on a resize are painted over what the resize left.
            assert page.evaluate(REPAINTED, [i, moves]) == [], (boards[i], width, ratio)
            shapes = card.locator("canvas").evaluate_all(
                "(all, r) => all.map((c) => [c.width, c.height, c.clientWidth * r, c.clientHeight * r])", ratio
            )
            assert all(x > 9 and abs(w - x) <= 1 and abs(h - y) <= 1 for w, h, x, y in shapes), (
                shapes,
                boards[i],
                width,
                ratio,
            )
            expect(card.locator(".lk-board-counts")).to_contain_text("free")
    browse.assert_clean(page)


def test_a_letter_is_whole_at_every_fill_height(show, page, browse):
    """A block's letter has one colour, and where the fill ends behind it a rim keeps both grounds off it."""
    make = """
full = EventLog(num_blocks=16, block_size=15)
full.begin("one block of every height")
for block in range(16):
    full.emit(Kind.ALLOCATE, "HXEZ"[block % 4], block, block // 4)
    full.emit(Kind.FILL, "HXEZ"[block % 4], block, block)
PageTable(full)
"""
    card = show(SCENE, make).locator(".lk-page-table")
    # By block: pixels of the letter's box that are exactly ink, onfill; the least contrast between such a pixel and
    # fill or empty ground within two pixels of it (one on, the edge is smoothed).
    look = """
(root) => {
  const probe = root.appendChild(document.createElement('span'));
  const over = (c, under, a) => c.map((v, k) => under[k] + (v - under[k]) * a);
  const color = (name, under = [0, 0, 0]) => {
    probe.style.color = `var(--lk-${name})`;
    const [r, g, b, alpha = 1] = getComputedStyle(probe).color.match(/[0-9.]+/g).map(Number);
    return over([r, g, b], under, alpha);
  };
  const panel = color('panel'); // the canvas is transparent, and so, a little, is JupyterLab's ink
  const letters = [color('ink', panel), color('onfill')];
  probe.remove();
  const ctx = root.querySelectorAll('canvas')[1].getContext('2d');
  const light = (c) => {
    const [r, g, b] = c.map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  return root.lkBoard.cells().map(([x, y, side]) => {
    const w = side - 6;
    const { data } = ctx.getImageData(x + 3, y + 3, w, w);
    const at = (i) => over([0, 1, 2].map((k) => data[4 * i + k]), panel, data[4 * i + 3] / 255);
    const same = (a, b) => a.every((v, k) => Math.abs(v - b[k]) < 10);
    const count = [0, 0];
    const worst = [21, 21];
    for (let i = 0; i < w * w; i++) letters.forEach((c, n) => {
      if (!same(at(i), c)) return;
      count[n] += 1;
      for (const d of [-2, -1, 1, 2, -2 * w, -w, w, 2 * w]) {
        const j = Math.max(0, Math.min(w * w - 1, i + d));
        const ground = at(j - (j % w)); // of its row: no letter reaches the first pixel
        if (same(at(j), ground)) worst[n] = Math.min(worst[n], contrast(c, ground));
      }
    });
    return [count, worst];
  });
}"""
    for dark in (False, True):
        browse.set_theme(page, dark)
        page.wait_for_timeout(300)
        shown = card.evaluate(look)
        browse.shoot(page, f"letters-{'dark' if dark else 'light'}", card)
        for level, ((ink, onfill), (of_ink, of_onfill)) in enumerate(shown):
            whole = shown[level % 4][0][0]  # the same letter in an empty block
            of_letter = of_ink if ink else of_onfill
            assert abs(ink - whole) <= 2 if ink else onfill >= 8, f"level {level}, dark {dark}: {ink} of {whole} pixels"
            assert of_letter >= 4.5, f"level {level}, dark {dark}: contrast {of_letter:.2f}"
        assert shown[0][0][0] >= 8 and not shown[15][0][0], "ink on the empty ground, the fill's own colour on the fill"
    browse.assert_clean(page)


def test_arrows_step_after_a_click_and_walk_after_tab_or_enter(show, page, browse):
    panel = show(SCENE, "PageTable(log, step=0)", "1 + 1")
    card = panel.locator(".lk-page-table")
    keys, detail = card.locator(".lk-keys"), card.locator(".lk-board-detail")
    expect(card).to_have_attribute("data-step", "0")
    expect(keys).to_have_text("click, then ←→ step space play", use_inner_text=True)
    for target in (
        card.locator("canvas").nth(1),
        card.locator("canvas").nth(0),
        card.locator("h3"),
        card.locator(".lk-legend"),
    ):
        target.click()
        expect(keys).to_have_text("←→ step space play", use_inner_text=True)
        page.keyboard.press("ArrowRight")
        expect(card).to_have_attribute("data-step", "1")
        page.keyboard.press("ArrowLeft")
        expect(card).to_have_attribute("data-step", "0")
    page.keyboard.press("ArrowRight")
    card.locator("canvas").nth(1).click(position={"x": 10, "y": 20})
    page.keyboard.press("Enter")
    expect(keys).to_have_text("←→↑↓ block Esc back to steps", use_inner_text=True)
    page.keyboard.press("ArrowRight")
    expect(detail).to_contain_text("block 1 ")
    expect(card).to_have_attribute("data-step", "1")
    page.keyboard.press("Escape")
    expect(keys).to_have_text("←→ step space play", use_inner_text=True)
    page.keyboard.press("ArrowRight")
    expect(card).to_have_attribute("data-step", "2")
    # By Tab: from the heading's side of the card the first stop is the left picture.
    page.keyboard.press("Shift+Tab")
    while page.evaluate("() => document.activeElement.tagName") != "CANVAS":
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Home")
    expect(detail).to_contain_text("block 0 ")
    expect(card).to_have_attribute("data-step", "2")
    page.keyboard.press("Escape")
    page.keyboard.press("Home")
    expect(card).to_have_attribute("data-step", "0")
    page.keyboard.press("Space")
    expect(card).to_have_attribute("data-step", "4")
    browse.assert_clean(page)


def test_lost_blocks_two_owners_and_a_legend_of_what_is_there(show, page, browse):
    make = """
wrong = EventLog(num_blocks=8, block_size=4)
wrong.begin("allocate(3)")
for block in range(3):
    wrong.emit(Kind.ALLOCATE, "A", block)
wrong.begin("free([0])")
wrong.emit(Kind.FREE, "A", 0, 0)
wrong.begin("allocate(2)")
for block in (2, 3):
    wrong.emit(Kind.ALLOCATE, "B", block)
wrong.begin("allocate(9) -> None")
for block in (5, 6):
    wrong.emit(Kind.ALLOCATE, "lost", block)
PageTable(wrong)
"""
    panel = show(SCENE, make, "PageTable(log)")
    bad, good = panel.locator(".lk-page-table").nth(0), panel.locator(".lk-page-table").nth(1)
    legend = bad.locator(".lk-legend > span")
    expect(legend).to_have_text(
        ["held (letter = sequence)", "two owners: given out twice", "lost: nobody holds it", "free"]
    )
    expect(good.locator(".lk-legend > span")).to_have_text(["held (letter = sequence, height = fill)", "free"])
    expect(bad.locator(".lk-board-wrong")).to_have_text("block 2 has two owners")
    expect(bad.locator(".lk-board-counts")).to_have_text("free 3 · held 3 · lost 2")
    tables = bad.evaluate("(root) => Object.fromEntries(root.lkBoard.replay.tables)")
    assert tables == {"1": [1, 2], "2": [2, 3], "3": [5, 6]}
    bad.locator("canvas").nth(1).focus()
    for _ in range(6):  # the first goes to block 0
        page.keyboard.press("ArrowRight")
    expect(bad.locator(".lk-board-detail")).to_have_text("block 5 · lost: nobody holds it")
    browse.assert_clean(page)


def test_hover_and_focus_link_one_block(show, page, browse):
    panel = show(SCENE, "PageTable(log, step=3)")
    card = panel.locator(".lk-page-table")
    logical, physical = card.locator("canvas").nth(0), card.locator("canvas").nth(1)
    link, detail = card.locator(".lk-link"), card.locator(".lk-board-detail")
    physical.focus()
    page.keyboard.press("Home")
    expect(detail).to_have_text("block 0 · held by A (logical 0) · 4 of 4 tokens")
    expect(link).to_have_attribute("d", re.compile(r"^M"))
    for _ in range(15):
        page.keyboard.press("ArrowRight")
    expect(detail).to_have_text("block 15 · free")
    expect(link).to_have_attribute("d", "")
    page.keyboard.press("Escape")
    expect(detail).to_have_text("")
    logical.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(detail).to_contain_text("held by B (logical 0)")
    box = physical.bounding_box()
    page.mouse.move(box["x"] + 14, box["y"] + 20)
    expect(detail).to_contain_text("block 0")
    page.mouse.move(box["x"] + 14, box["y"] - 60)
    browse.assert_clean(page)


def test_a_live_board_follows_its_log(show, page, browse):
    panel = show(
        SCENE,
        "live = EventLog(num_blocks=64, block_size=4)\n"
        "live_table = record(BlockTable(record(BlockPool(64), live), 4), live, 'A')\n"
        "board = PageTable(live, live=True)\nboard",
        "import time\nfor _ in range(100):\n    live_table.append(1)\n    time.sleep(0.01)",
        "",
    )
    card = panel.locator(".lk-page-table")
    expect(card).to_have_attribute("data-step", "100")
    expect(card).to_have_attribute("data-held", "25")
    expect(card.locator(".lk-live")).to_be_visible()
    browse.set_source(page, "cell-3", "board.close_live()")
    browse.run_cell(page, "cell-3")
    expect(card.locator(".lk-live")).to_be_hidden()
    browse.assert_clean(page)


FAILED = """
def line(n, op, label, seen, **more):
    base = {"n": n, "op": op, "args": {}, "label": label, "seen": seen, "expected": None, "note": "", "broken": False}
    return {**base, **more}
run = EventLog(num_blocks=4)
run.begin("allocate(3) -> blocks 0, 1, 2")
for block in range(3):
    run.emit(Kind.ALLOCATE, None, block)
run.begin("allocate(2) -> None")
run.emit(Kind.REFUSE, None, arg=2)
example = {
    "setup": "a pool of 4",
    "failing": 3,
    "steps": [
        line(1, "allocate", "allocate(3)", "[0, 1, 2]"),
        line(2, "allocate", "allocate(2)", "None", note="right"),
        line(3, "observe", "num_free", "0", expected="1", broken=True),
    ],
    "replay": {**run.to_data(), "step": 1},
}
verdict = {
    "verdict": "fail", "kind": "rule", "rule": "refused-means-unchanged", "exercise": "BlockPool",
    "message": "Block 3 is lost.", "counterexample": example,
    "rules": [
        {"name": "refused-means-unchanged", "statement": "x", "state": "broken"},
        {"name": "one-holder", "statement": "y", "state": "held"},
    ],
}
hints = iter(["first <b>hint</b>", "second hint"])
CheckReport(verdict, hints=2, on_hint=lambda: next(hints), on_solution=lambda: "return 42")
"""


def test_a_report_replays_hints_and_solves(show, page, browse):
    panel = show(SCENE, FAILED)
    card = panel.locator(".lk-check-report")
    expect(card.locator(".lk-tag").first).to_have_text("✕ 1 of 2 rules broken")
    expect(card.locator(".lk-op-broken")).to_contain_text("expected")
    replay = card.get_by_role("button", name="Replay from 2")
    replay.focus()
    page.keyboard.press("Enter")
    board = card.locator(".lk-replay")
    expect(board).to_have_attribute("data-step", "2")
    expect(board).to_have_attribute("data-held", "3")
    page.keyboard.press("Enter")
    expect(board).to_be_hidden()
    card.get_by_role("button", name="Hint 1 of 2").click()
    expect(card.locator(".lk-hint").first).to_contain_text("first <b>hint</b>")
    card.get_by_role("button", name="Hint 2 of 2").click()
    expect(card.get_by_role("button", name="No more hints")).to_be_disabled()
    card.get_by_role("button", name="Solution").click()
    expect(card).to_contain_text("return 42")
    card.get_by_role("button", name="1 rule holds").click()
    expect(card.locator(".lk-rules")).to_contain_text("one-holder")
    browse.assert_clean(page)


def test_engine_map_by_keyboard(show, page, browse):
    panel = show(SCENE, "EngineMap(highlight='block_pool')")
    card = panel.locator(".lk-engine-map")
    expect(card.locator(".lk-map-detail h4")).to_have_text("Block pool")
    card.locator('[data-box="block_pool"]').focus()
    page.keyboard.press("ArrowLeft")
    expect(card.locator(".lk-map-detail h4")).to_have_text("Sharing")
    card.get_by_role("radio", name="storms").check(force=True)
    expect(card.locator(".lk-map-off")).not_to_have_count(0)
    page.keyboard.press("ArrowRight")
    expect(card.get_by_role("radio", name="kernels")).to_be_checked()
    browse.assert_clean(page)


def test_found_blocks_and_fresh_ones_look_different_and_the_card_keeps_its_height(
    page: Any, browse: Any, tmp_path: Path
) -> None:
    """Lesson 07's opening picture: E finds three blocks and takes a fourth."""
    from labkit.specs.hash_prefix_cache.scenes import five_requests
    from labkit.widgets import PageTable

    page.set_viewport_size({"width": 1000, "height": 700})
    browse.open_mounted(page, tmp_path, PageTable(five_requests(), step=0))
    card = page.locator(".lk-page-table")
    found, outlined, heights = card.locator(".lk-found"), card.locator(".lk-outline").nth(2), set()
    card.get_by_role("slider", name="Step", exact=True).focus()
    for step in range(12):
        expect(card).to_have_attribute("data-step", str(step))
        heights.add(round(card.bounding_box()["height"]))
        page.keyboard.press("ArrowRight")
    assert len(heights) == 1, heights
    # One `M` begins each square: the found blocks have a second one; all four, and the link's end, have the first.
    expect(found).to_have_attribute("d", re.compile(r"^(M[^M]*){3}$"))
    expect(outlined).to_have_attribute("d", re.compile(r"^(M[^M]*){5}$"))
    expect(card.locator(".lk-legend")).to_contain_text("double outline: found or shared")
    browse.shoot(page, "page-table-found", card)


def test_a_cached_block_of_a_replay_says_what_it_holds(page: Any, browse: Any, tmp_path: Path) -> None:
    from labkit import specs
    from labkit.grading.judge import Judge
    from labkit.widgets import CheckReport

    spec = specs.exercise("07", "break_stale_hash").spec
    ops = [("QueuePrefixCache", 3), ("request", "ab."), ("finish", 0)]
    browse.open_mounted(page, tmp_path, CheckReport(spec.judge(Judge(spec, dict), {"ops": ops}, [])))
    page.get_by_role("button", name=re.compile("^Replay from")).click()
    blocks = page.get_by_label(re.compile("^Physical blocks"))
    expect(page.locator(".lk-legend")).to_contain_text("small letters = content")
    blocks.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".lk-board-detail")).to_contain_text(re.compile("cached, reference 0 · content ab?"))


LOW = {"width": 690, "height": 700}
"""A notebook's column in a window of 1100 by 700, beside JupyterLab's list of files."""
PANE = 579
"""What such a window shows of a notebook at once, in pixels."""


def test_what_is_looked_at_together_fits_on_a_low_screen(page: Any, browse: Any, tmp_path: Path) -> None:
    from labkit.specs.contiguous_world.side_by_side import TWELVE, side_by_side, small_trace
    from labkit.widgets import AttentionPlay, MemoryMap, Storm

    page.set_viewport_size(LOW)
    logs = side_by_side(small_trace(TWELVE, first_step=1), num_slots=64, max_tokens=16, block_size=4)
    strips = MemoryMap(*logs.items(), step=9, title="One workload, four memories", subtitle="Who is let in?")
    for widget, last in (
        (strips, ".lk-memory-log"),
        (AttentionPlay(), ".lka-say"),
        (Storm(["seats"], title="A server"), ".lk-storm-big .lk-storm-panel:nth-child(3)"),
    ):
        browse.open_mounted(page, tmp_path, widget)
        card, end = page.locator(".lk-card").first, page.locator(last)
        expect(end).to_be_visible()
        page.wait_for_timeout(300)  # what draws itself to the width of the page has done so
        top, below = card.bounding_box(), end.bounding_box()
        assert below["y"] + below["height"] - top["y"] <= PANE, type(widget).__name__


def test_what_a_cell_prints_is_broken_between_words(show: Any, page: Any) -> None:
    panel = show("from labkit.widgets import EngineMap\nEngineMap()", "print('preemptions ' * 60)")
    printed = panel.locator(".jp-RenderedText pre")
    expect(printed).to_contain_text("preemptions")
    assert printed.evaluate("(node) => getComputedStyle(node).wordBreak") == "normal"
