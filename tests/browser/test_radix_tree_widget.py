"""RadixTree in a real JupyterLab: steps, keys, pointer, folding, 2,000 nodes, both themes, nothing from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

# The tree of the unit test, as the kernel's own module.
TREE = (Path(__file__).resolve().parents[1] / "unit" / "test_radix_tree_widget.py").read_text(encoding="utf-8")
SCENE = "\n".join(
    [
        "import random",
        "from labkit.cache.radix_node import RadixNode",
        "from labkit.observe.trees import TreeLog",
        "from labkit.widgets import RadixTree",
        "class Tree" + TREE.split("class Tree", 1)[1].split("\ndef story", 1)[0],
        """
def story():
    tree, log = Tree(4), TreeLog(page_bytes=4)
    log.snapshot(tree.root, "an empty tree")
    paths = {}
    for name, text in (("A", b"You are a cat. Why do you purr? "), ("B", b"You are a cow. What do you eat? ")):
        paths[name] = tree.insert(text)
        tree.lock(paths[name][-1], 1)
        log.snapshot(tree.root, f"insert({name}) -> {len(paths[name])} nodes", path=paths[name])
    tree.lock(paths["A"][-1], -1)
    log.snapshot(tree.root, "release(A)", note="Its blocks stay until the room is needed.")
    found = tree.match(b"You are a cat. When?")
    log.snapshot(tree.root, "match(C)", path=[n for n, _ in found], matched_pages=sum(p for _, p in found))
    tree.evict()
    log.snapshot(tree.root, "evict(1) -> the leaf of A")
    return log

def grown(nodes, steps, seed=7, page=16, lock=0.05):
    draw, tree, log = random.Random(seed), Tree(page), TreeLog(page)
    stems, held, count = [draw.randbytes(page * draw.randint(1, 6)) for _ in range(24)], [], 0
    def one():
        stem = draw.choice(stems)
        if draw.random() < 0.25:
            stems.append(stem + draw.randbytes(page * draw.randint(1, 3)))
        whole = len(stem) // page
        path = tree.insert(stem[: page * draw.randint(1, whole)] + draw.randbytes(page * draw.randint(1, 4)))
        if draw.random() < lock:
            tree.lock(path[-1], 1)
            held.append(path[-1])
        return path
    while len(tree.nodes()) < nodes:
        one()
    for step in range(steps):
        if step % 5 == 4:
            for _ in range(3):
                tree.evict()
            log.snapshot(tree.root, f"evict {step}")
        else:
            log.snapshot(tree.root, f"insert {step}", path=one())
    return log
""",
    ]
)


@pytest.fixture
def show(lab: Any, page: Any, browse: Any, request: pytest.FixtureRequest):
    """Run cells in a notebook of their own; returns the panel."""

    def run(*cells: str) -> Any:
        name = lab.write_notebook(f"{request.node.name}.ipynb", [SCENE, *cells])
        panel = browse.open_notebook(page, lab, name)
        browse.set_theme(page, dark=False)
        browse.run_all(page)
        return panel

    return run


def active_cell(page: Any) -> int:
    return page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex")


def test_steps_by_keyboard_stay_in_the_widget(show, page, browse):
    card = show("RadixTree(story(), show=bytes.decode)", "1 + 1", "2 + 2").locator(".lk-radix-tree")
    card.get_by_role("slider", name="Step").focus()
    before = active_cell(page)
    expect(card).to_have_attribute("data-step", "6")
    expect(card).to_have_attribute("data-gone", "1")
    page.keyboard.press("Home")
    expect(card).to_have_attribute("data-nodes", "0")
    page.keyboard.press("ArrowRight")
    expect(card.locator(".lk-tree-facts")).to_have_text("The tree is empty.")
    page.keyboard.press("ArrowRight")
    expect(card).to_have_attribute("data-nodes", "1")
    page.keyboard.press("ArrowRight")
    expect(card).to_have_attribute("data-nodes", "3")
    expect(card.locator(".lk-board-sentence").last).to_have_text("3  insert(B) → 2 nodes")
    page.keyboard.press("ArrowRight")
    expect(card.locator(".lk-tree-note")).to_have_text("Its blocks stay until the room is needed.")
    expect(card).to_have_attribute("data-locked", "8")
    page.keyboard.press("Home")
    expect(card).to_have_attribute("data-step", "0")
    page.keyboard.press("Space")
    expect(card).to_have_attribute("data-step", "6")
    assert active_cell(page) == before
    browse.assert_clean(page)


def test_arrows_walk_the_tree_once_it_was_entered(show, page, browse):
    card = show("RadixTree(story(), show=bytes.decode, step=4)", "1 + 1").locator(".lk-radix-tree")
    canvas, facts, text = card.locator("canvas"), card.locator(".lk-tree-facts"), card.locator(".lk-tree-text")
    keys = card.locator(".lk-keys")
    expect(card).to_have_attribute("data-step", "4")
    canvas.click(position={"x": 5, "y": 5})
    before = active_cell(page)
    page.keyboard.press("ArrowLeft")
    expect(card).to_have_attribute("data-step", "3")  # a click leaves the arrows to the steps
    page.keyboard.press("ArrowRight")
    canvas.click(position={"x": 5, "y": 5})
    page.keyboard.press("Enter")
    expect(keys).to_have_text("←→↑↓ node Esc back to steps", use_inner_text=True)
    page.keyboard.press("Home")
    expect(facts).to_have_text("root · 1 child")
    page.keyboard.press("ArrowRight")
    expect(text).to_have_text("You are ")
    expect(facts).to_contain_text(
        "node 2 · 2 pages (pages 0 to 1 of a prompt) · blocks 0, 1 · locks 1 · last used 2 (latest)"
    )
    page.keyboard.press("ArrowRight")
    expect(text).to_have_text("a cat. Why do you purr? ")
    expect(facts).to_contain_text(
        "(pages 2 to 7 of a prompt) · blocks 2, 3, 4, 5, 6, 7 · locks 0 · last used 1 (1 ago)"
    )
    page.keyboard.press("ArrowDown")
    expect(text).to_have_text("a cow. What do you eat? ")
    page.keyboard.press("ArrowDown")
    expect(text).to_have_text("a cow. What do you eat? ")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    expect(text).to_have_text("You are ")
    expect(card).to_have_attribute("data-step", "4")
    for key in "ddxab":
        page.keyboard.press(key)  # JupyterLab would delete, cut and insert cells
    page.keyboard.press("Escape")
    expect(keys).to_have_text("←→ step space play", use_inner_text=True)
    page.keyboard.press("ArrowRight")
    expect(card).to_have_attribute("data-step", "5")
    assert active_cell(page) == before
    cells = "() => window.jupyterapp.shell.currentWidget.content.model.cells.length"
    assert page.evaluate(cells) == 3
    browse.assert_clean(page)


def test_pointing_at_a_node_or_its_edge_tells_of_it(show, page, browse):
    card = show("RadixTree(story(), show=bytes.decode)").locator(".lk-radix-tree")
    expect(card).to_have_attribute("data-step", "6")
    spots = {i: (x, y) for i, x, y in card.evaluate("(root) => root.lkBoard.spots()")}
    canvas, facts = card.locator("canvas"), card.locator(".lk-tree-facts")
    x, y = spots[1]
    canvas.hover(position={"x": x + 20, "y": y})
    expect(facts).to_contain_text("node 1 · 6 pages")
    expect(facts).to_contain_text("evicted in this step")
    expect(card.locator(".lk-tree-ring")).to_be_visible()
    x, y = spots[3]
    canvas.hover(position={"x": x - 40, "y": y})
    expect(facts).to_contain_text("node 3 · 6 pages")
    card.locator("h3").hover()
    expect(facts).to_have_text("Point at a node for its text, blocks, locks and last use.")
    expect(card.locator(".lk-tree-ring")).to_be_hidden()
    card.get_by_role("slider", name="Step").focus()
    page.keyboard.press("ArrowLeft")
    canvas.hover(position={"x": spots[1][0] + 20, "y": spots[1][1]})
    expect(facts).to_contain_text("on the match path: 2 of 6 pages found")
    browse.assert_clean(page)


def test_the_page_and_python_agree_on_every_step(show, page):
    told = """
import json
def plain(log, step):
    state = log.state(step)
    nodes = sorted([n.node, n.parent, len(n.key) // 2, list(n.blocks), n.locks, n.last_used, n.gone] for n in state)
    return [nodes, sorted([n.node, n.found] for n in state if n.found >= 0)]
print("TRUTH" + json.dumps([plain(log, step) for step in range(0, log.num_steps + 1, 3)]))
"""
    panel = show("log = grown(60, 400, page=2, lock=0.2)\nRadixTree(log)", told)
    truth = json.loads(panel.locator(".jp-OutputArea-output", has_text="TRUTH").inner_text().split("TRUTH", 1)[1])
    ask = """
      (root, steps) => steps.map((step) => {
        const { replay } = root.lkBoard;
        const tree = replay.tree(step);
        const nodes = [...tree.row].sort((a, b) => a[0] - b[0]).map(([id, i]) => [id, replay.parent[i],
          replay.pages[replay.key[i]], [...replay.blocksOf(i)], replay.locks[i], replay.used[i], tree.gone.has(id)]);
        return [nodes, [...tree.path].sort((a, b) => a[0] - b[0])];
      })"""
    card = panel.locator(".lk-radix-tree")
    steps = list(range(0, 401, 3))
    assert len(truth) == len(steps) and len(truth[-1][0]) > 60
    assert card.evaluate(ask, steps[::-1])[::-1] == truth
    assert card.evaluate(ask, steps) == truth


# After each move the canvas as it is, and then as a full redraw makes it: the moves after which the two differ.
REPAINTED = """
async (root, moves) => {
  const frames = async () => { for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame); };
  const { lkBoard: board } = root, canvas = root.querySelector('canvas'), wrong = [];
  for (const [what, value] of moves) {
    if (what === 'step') board.bar.seek(value);
    else if (what === 'scroll') { board.view.scrollTop = value; board.view.scrollLeft = value; }
    else [...root.querySelectorAll('.lk-tree-tools button')][value].click();
    await frames();
    const before = canvas.toDataURL(), place = [board.view.scrollLeft, board.view.scrollTop];
    board.repaint();
    await frames();
    if (canvas.toDataURL() !== before || String(place) !== String([board.view.scrollLeft, board.view.scrollTop]))
      wrong.push([what, value]);
  }
  return wrong;
}
"""


def test_any_way_to_a_step_gives_the_pixels_of_a_full_redraw(show, page, browse):
    panel = show("RadixTree(story(), show=bytes.decode)", "RadixTree(grown(250, 60))")
    expect(panel.locator(".lk-radix-tree")).to_have_count(2)
    small, large = panel.locator(".lk-radix-tree").all()
    for card in (small, large):
        card.scroll_into_view_if_needed()
        last = int(card.get_by_role("slider", name="Step").get_attribute("max"))
        moves: list[tuple[str, int]] = []
        for i in range(12):
            moves += [("step", (5 * i) % (last + 1)), ("scroll", 37 * i), ("step", (5 * i + 1) % (last + 1))]
            if i % 3 == 2:
                moves.append(("press", (i // 3) % 3))
        assert card.evaluate(REPAINTED, moves) == []
    browse.assert_clean(page)


def test_two_thousand_nodes_folded_and_whole(show, page, browse):
    panel = show("RadixTree(grown(2001, 60))")
    card = panel.locator(".lk-radix-tree")
    expect(card).to_have_attribute("data-folded", "true")
    assert int(card.get_attribute("data-nodes")) >= 1990
    few = card.evaluate("(root) => root.lkBoard.spots().length")
    assert few < 120, "folded around what the step is about"
    assert panel.locator(".lk-radix-tree *").count() < 120, "one canvas, not a node of the page for each of the tree"
    expect(card.locator(".lk-tree-head")).to_contain_text("nodes folded away")
    # A mark of folded nodes opens by a key and by a click.
    marks = card.evaluate("(root) => root.lkBoard.spots().filter(([id]) => id < 0).length")
    assert marks > 3
    canvas = card.locator("canvas")
    canvas.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    for _ in range(12):
        page.keyboard.press("ArrowDown")
        if "Enter or a click opens them" in card.locator(".lk-tree-facts").inner_text():
            break
    page.keyboard.press("Enter")
    page.wait_for_timeout(200)
    more = card.evaluate("(root) => root.lkBoard.spots().length")
    assert more > few
    browse.shoot(page, "radix-tree-2000-folded", card)
    card.get_by_role("button", name="Unfold").click()
    expect(card).to_have_attribute("data-folded", "false")
    assert card.evaluate("(root) => root.lkBoard.spots().length") >= 1990
    expect(card.locator(".lk-tree-head")).not_to_contain_text("folded away")
    fits = """({ lkBoard: { view: v } }) =>
      v.scrollHeight <= v.clientHeight + 1 && v.scrollWidth <= v.clientWidth + 1"""
    assert card.evaluate(fits), "the smallest size shows the whole tree"
    browse.shoot(page, "radix-tree-2000-whole", card)
    larger = card.get_by_role("button", name="Larger")
    for _ in range(5):
        larger.click()
    expect(card).to_have_attribute("data-level", "0")
    assert not card.evaluate(fits)
    painted = """
      (root) => {
        const canvas = root.querySelector('canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return data.reduce((n, v, i) => n + (i % 4 === 3 && v > 0 ? 1 : 0), 0);
      }"""
    assert card.evaluate(painted) > 2000, "what the step is about is in view"
    browse.assert_clean(page)


def test_both_themes_and_narrow(show, page, browse):
    panel = show("RadixTree(story(), show=bytes.decode, step=3)", "RadixTree(grown(120, 20), fold=False)")
    for dark, width in ((False, 1280), (True, 1280), (True, 760)):
        page.set_viewport_size({"width": width, "height": 1000})
        browse.set_theme(page, dark)
        page.wait_for_timeout(300)
        for i, card in enumerate(panel.locator(".lk-radix-tree").all()):
            card.scroll_into_view_if_needed()
            assert card.evaluate("(node) => node.scrollWidth - node.clientWidth") <= 1
            browse.shoot(page, f"radix-tree-{i}-{'dark' if dark else 'light'}-{width}", card)
        # Ink of the theme is on the canvas: text is drawn in the colours of the page that is shown now.
        light = """
          (root) => {
            const canvas = root.querySelector('canvas');
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let dark = 0, bright = 0;
            for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) {
              const mean = (data[i] + data[i + 1] + data[i + 2]) / 3;
              if (mean < 70) dark++;
              if (mean > 215) bright++;
            }
            return [dark, bright];
          }"""
        inky, bright = panel.locator(".lk-radix-tree").first.evaluate(light)
        assert bright > 200 if dark else inky > 200
    browse.assert_clean(page)


def test_a_broken_tree_says_so_and_text_is_never_markup(show, page, browse):
    broken = """
tree, log = Tree(4), TreeLog(4)
(leaf,) = tree.insert(b"<b>a</b> <script>x</script> ")
leaf.blocks.pop()
log.snapshot(tree.root, "insert -> <i>a sentence</i>", path=[leaf], note="<u>note</u>")
RadixTree(log, show=bytes.decode, title="<b>title</b>")
"""
    card = show(broken).locator(".lk-radix-tree")
    expect(card.locator(".lk-tree-fault")).to_have_text("The tree is broken: node 1: 7 pages but 6 blocks")
    expect(card.locator("h3")).to_have_text("<b>title</b>")
    expect(card.locator(".lk-board-sentence").last).to_have_text("1  insert → <i>a sentence</i>")
    assert card.locator("script, b, i:not(.lk-swatch), u").count() == 0
    card.locator("canvas").focus()
    expect(card.locator(".lk-tree-text")).to_have_text("<b>a</b> <script>x</script> ")
    browse.assert_clean(page)


def test_the_picture_of_lesson_08_cuts_no_text_where_there_is_room(show, page, browse):
    """Picture, transport and legend of its six requests in one view, every label whole, blocks in every box."""
    scene = (
        "from labkit.specs.radix_prefix_cache.scenes import letters, six_requests\nfrom labkit.widgets import RadixTree"
    )
    show(f"{scene}\nRadixTree(six_requests(), show=letters, step=2)")
    page.set_viewport_size({"width": 1400, "height": 900})
    card = page.locator(".lk-radix-tree")
    browse.cell(page, "cell-1")
    assert card.bounding_box()["height"] < 560
    card.locator("input[type=range]").focus()
    page.keyboard.press("Home")
    for step in range(12):
        expect(card).to_have_attribute("data-step", str(step))
        expect(card).to_have_attribute("data-folded", "false")
        page.wait_for_timeout(50)
        assert card.evaluate("(node) => node.lkBoard.cut()") == [], f"step {step}"
        page.keyboard.press("ArrowRight")
    for width in (1400, 1100):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(200)
        assert card.evaluate("(node) => node.dataset.level") in "01", "blocks stand in the boxes"
